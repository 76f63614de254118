//! Seconds since 1970 as dates in UTC; nobody here needs more of a calendar.

/// Year, month, day, hour, minute, second in UTC (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(epoch: u64) -> [u64; 6] {
    let (days, second) = (epoch / 86_400, epoch % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    [
        year,
        month,
        day,
        second / 3600,
        second / 60 % 60,
        second % 60,
    ]
}

/// The day of a time: `2024-12-31`.
pub(crate) fn date(epoch: u64) -> String {
    let [year, month, day, ..] = civil(epoch);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time as RFC 3339 writes it.
pub(crate) fn rfc3339(epoch: u64) -> String {
    let [year, month, day, hour, minute, second] = civil(epoch);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A time as xorriso reads it: `YYYYMMDDhhmmss`.
pub(crate) fn compact_time(epoch: u64) -> String {
    let [year, month, day, hour, minute, second] = civil(epoch);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        // Checked against date(1).
        for (epoch, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(epoch), text);
        }
        assert_eq!(date(1_735_689_599), "2024-12-31");
        assert_eq!(compact_time(1_735_689_599), "20241231235959");
    }
}
