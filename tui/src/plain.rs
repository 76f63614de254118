//! The same information as lines: for a serial console that cannot draw, for a pipe, for a log.

use std::time::Duration;

mod choice;

use crate::{
    install::{InstallScreen, Outcome, PhaseState, Progress},
    registration::RegistrationScreen,
    words::clean,
};

/// Bytes in units of 1024: `512 B`, `1.5 GiB`, `180 MiB`. One decimal below ten, rounded down, so that an unfinished
/// amount never looks finished.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = bytes.ilog2() / 10;
    let unit = UNITS.get(power as usize - 1).unwrap_or(&"EiB");
    let (whole, rest) = (bytes >> (10 * power), (bytes >> (10 * (power - 1))) & 1023);
    if whole < 10 {
        format!("{whole}.{} {unit}", rest * 10 / 1024)
    } else {
        format!("{whole} {unit}")
    }
}

/// Bytes a second: `180 MiB/s`.
pub fn human_rate(bytes_per_second: u64) -> String {
    format!("{}/s", human_bytes(bytes_per_second))
}

/// Seconds: `3 s`, `1 min 05 s`, `2 h 03 min`.
pub fn human_time(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s:02} s"),
        (h, min, _) => format!("{h} h {min:02} min"),
    }
}

impl Progress {
    /// Percent done, 0 to 100, rounded down; 100 only when all is done. 0 when the total is not known.
    pub fn percent(&self) -> u64 {
        if self.total == 0 {
            return 0;
        }
        let percent = u128::from(self.done.min(self.total)) * 100 / u128::from(self.total);
        u64::try_from(percent).unwrap_or(100)
    }
}

/// Turns successive states of a screen into the lines that say what is new.
///
/// It remembers what was said: a step is one line when it begins, progress is at most one line a second, an outcome is
/// said once.
#[derive(Debug, Clone, Default)]
pub struct PlainLog {
    title_said: bool,
    current: String,
    progress_at: Option<Duration>,
    outcome: Option<Outcome>,
    registration: Vec<String>,
    choice: choice::Said,
}

/// Progress is said at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

impl PlainLog {
    /// Makes a log that has said nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The lines to print for the present state of an installation, `uptime` after the start of the machine.
    pub fn install(&mut self, screen: &InstallScreen, uptime: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        let stamp = stamp(uptime);
        if !self.title_said {
            self.title_said = true;
            let disk = screen
                .disk
                .as_deref()
                .map(|disk| format!(", disk {disk}"))
                .unwrap_or_default();
            lines.push(format!("{stamp} Landfall {}{disk}", screen.version));
        }
        let current = current(screen);
        if !current.is_empty() && current != self.current {
            lines.push(format!("{stamp} {current}"));
            self.current.clone_from(&current);
            self.progress_at = None;
        }
        if let Some(progress) = screen
            .progress
            .as_ref()
            .filter(|_| screen.outcome.is_none())
        {
            let due = self
                .progress_at
                .is_none_or(|at| uptime.saturating_sub(at) >= PROGRESS_EVERY);
            if due {
                self.progress_at = Some(uptime);
                lines.push(format!("{stamp} {}", progress_line(&current, progress)));
            }
        }
        if screen.outcome != self.outcome {
            // The countdown to the reboot changes every second, and is no news.
            let known = matches!((&screen.outcome, &self.outcome), (Some(new), Some(old)) if new.is_same_kind(old));
            self.outcome.clone_from(&screen.outcome);
            if let Some(outcome) = screen.outcome.as_ref().filter(|_| !known) {
                lines.extend(
                    outcome_lines(screen, outcome)
                        .into_iter()
                        .map(|line| format!("{stamp} {line}")),
                );
                lines.extend(choice::document(&screen.document));
            }
        }
        lines.iter().map(|line| clean(line)).collect()
    }

    /// The lines to print for the present state of the registration; none while nothing but the countdown changes.
    pub fn registration(&mut self, screen: &RegistrationScreen, uptime: Duration) -> Vec<String> {
        let lines = registration_lines(screen);
        if lines == self.registration {
            return Vec::new();
        }
        self.registration.clone_from(&lines);
        let stamp = stamp(uptime);
        lines
            .iter()
            .map(|line| clean(&format!("{stamp} {line}")))
            .collect()
    }
}

fn stamp(uptime: Duration) -> String {
    format!("[{:>6.1} s]", uptime.as_secs_f64())
}

/// What is being done: the words of the caller, or else the phase at work.
fn current(screen: &InstallScreen) -> String {
    if !screen.current.is_empty() {
        return screen.current.clone();
    }
    let active = screen
        .phases
        .iter()
        .find(|phase| phase.state == PhaseState::Active);
    active.map(|phase| phase.name.clone()).unwrap_or_default()
}

fn progress_line(current: &str, progress: &Progress) -> String {
    let mut line = if progress.total == 0 {
        format!("{current}  {:>9}", human_bytes(progress.done))
    } else {
        format!("{current}  {:>3} %", progress.percent())
    };
    if let Some(rate) = progress.rate {
        line.push_str("  ");
        line.push_str(&human_rate(rate));
    }
    if let Some(left) = progress.left_s {
        line.push_str("  ");
        line.push_str(&human_time(left));
        line.push_str(" left");
    }
    line
}

fn outcome_lines(screen: &InstallScreen, outcome: &Outcome) -> Vec<String> {
    let failure = |word: &str, code: &str, disk: &str, reason: &str, action: &str| {
        vec![
            format!("{word} {code}: {reason}"),
            disk.to_owned(),
            format!("Next: {action}"),
        ]
    };
    match outcome {
        Outcome::Installed { next, seconds } => {
            let done = screen.work.done();
            vec![format!("{done} in {}; {next}", human_time(*seconds))]
        }
        Outcome::Refused {
            code,
            reason,
            action,
        } => failure("Refused", code, Outcome::DISK_UNTOUCHED, reason, action),
        Outcome::InstalledAlready {
            code,
            reason,
            action,
        } => failure(
            "Installed already",
            code,
            Outcome::DISK_UNTOUCHED,
            reason,
            action,
        ),
        Outcome::Failed {
            code,
            reason,
            action,
            last_lines,
        } => {
            let mut lines: Vec<String> =
                last_lines.iter().map(|line| format!("| {line}")).collect();
            lines.extend(failure(
                "Failed",
                code,
                Outcome::DISK_BROKEN,
                reason,
                action,
            ));
            lines
        }
    }
}

/// What the registration screen says, without what changes every second.
fn registration_lines(screen: &RegistrationScreen) -> Vec<String> {
    let mut lines = vec![format!("Edge host ID {}", screen.edge_host_id)];
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push(format!("  {name:<9} {value}"));
        }
    };
    field("state", Some(screen.state.name()));
    field("code", screen.code.as_deref());
    field("reason", screen.reason.as_deref());
    field("next", screen.action.as_deref());
    field("address", Some(&screen.addresses.join(" ")));
    field("palette", screen.endpoint.as_deref());
    field("page", screen.qr_text.as_deref());
    field("twin", screen.twin.as_deref());
    field("login", screen.login.as_deref());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{install::Phase, registration::State};

    #[test]
    fn bytes_are_rounded_down_with_one_decimal_below_ten() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024 - 1, "9.9 KiB"),
            (10 * 1024, "10 KiB"),
            (1024 * 1024 - 1, "1023 KiB"),
            (180 << 20, "180 MiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "15 EiB"),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(human_bytes(bytes), wanted, "{bytes}");
        }
        assert_eq!(human_rate(180 << 20), "180 MiB/s");
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, wanted) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 00 s"),
            (65, "1 min 05 s"),
            (3599, "59 min 59 s"),
            (7380, "2 h 03 min"),
        ] {
            assert_eq!(human_time(seconds), wanted, "{seconds}");
        }
    }

    #[test]
    fn percent_is_100_only_when_all_is_done() {
        let percent = |done, total| {
            Progress {
                done,
                total,
                rate: None,
                left_s: None,
            }
            .percent()
        };
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(1000, 1000), 100);
        assert_eq!(percent(1001, 1000), 100);
        assert_eq!(percent(5, 0), 0);
        assert_eq!(percent(u64::MAX / 2, u64::MAX), 49);
    }

    fn installing(done: u64) -> InstallScreen {
        InstallScreen {
            version: "0.1.0".into(),
            disk: Some("/dev/vda".into()),
            phases: vec![Phase {
                name: "write".into(),
                state: PhaseState::Active,
            }],
            current: "write active".into(),
            progress: Some(Progress {
                done,
                total: 1000,
                rate: Some(180 << 20),
                left_s: Some(3),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn progress_is_one_line_a_second_and_a_step_one_line() {
        let mut log = PlainLog::new();
        let mut at = |ms, screen: &InstallScreen| log.install(screen, Duration::from_millis(ms));
        assert_eq!(
            at(12_300, &installing(450)),
            [
                "[  12.3 s] Landfall 0.1.0, disk /dev/vda",
                "[  12.3 s] write active",
                "[  12.3 s] write active   45 %  180 MiB/s  3 s left",
            ]
        );
        assert_eq!(at(13_200, &installing(600)), [""; 0]);
        assert_eq!(
            at(13_300, &installing(700)),
            ["[  13.3 s] write active   70 %  180 MiB/s  3 s left"]
        );
        let next = InstallScreen {
            current: "write passive".into(),
            progress: None,
            ..installing(0)
        };
        assert_eq!(at(13_400, &next), ["[  13.4 s] write passive"]);
    }

    #[test]
    fn an_outcome_is_said_once_however_the_countdown_runs() {
        let mut log = PlainLog::new();
        let mut done = InstallScreen {
            version: "0.1.0".into(),
            ..Default::default()
        };
        log.install(&done, Duration::ZERO);
        let installed = |next: &str| {
            Some(Outcome::Installed {
                next: next.into(),
                seconds: 42,
            })
        };
        done.outcome = installed("rebooting in 5 s");
        assert_eq!(
            log.install(&done, Duration::from_mins(1)),
            ["[  60.0 s] Installed in 42 s; rebooting in 5 s"]
        );
        done.outcome = installed("rebooting in 4 s");
        assert_eq!(log.install(&done, Duration::from_secs(61)), [""; 0]);
    }

    #[test]
    fn a_failure_ends_with_what_to_do() {
        let mut log = PlainLog::new();
        let mut screen = InstallScreen {
            version: "0.1.0".into(),
            ..Default::default()
        };
        log.install(&screen, Duration::ZERO);
        screen.outcome = Some(Outcome::Failed {
            code: "LF-IMG-004".into(),
            reason: "chunk 17 is damaged".into(),
            action: "write the medium again".into(),
            last_lines: vec!["read 4 MiB at 68 MiB".into()],
        });
        assert_eq!(
            log.install(&screen, Duration::from_secs(9)),
            [
                "[   9.0 s] | read 4 MiB at 68 MiB",
                "[   9.0 s] Failed LF-IMG-004: chunk 17 is damaged",
                "[   9.0 s] The disk was changed and does not boot.",
                "[   9.0 s] Next: write the medium again",
            ]
        );
    }

    #[test]
    fn the_registration_is_repeated_only_when_something_but_the_countdown_changed() {
        let mut log = PlainLog::new();
        let mut screen = RegistrationScreen {
            edge_host_id: "edge-1".into(),
            state: State::Waiting,
            next_try_s: Some(12),
            addresses: vec!["10.0.2.15".into()],
            ..Default::default()
        };
        assert_eq!(
            log.registration(&screen, Duration::from_secs(20)),
            [
                "[  20.0 s] Edge host ID edge-1",
                "[  20.0 s]   state     waiting",
                "[  20.0 s]   address   10.0.2.15"
            ]
        );
        screen.next_try_s = Some(11);
        assert_eq!(log.registration(&screen, Duration::from_secs(21)), [""; 0]);
        screen.state = State::Ready;
        assert_eq!(log.registration(&screen, Duration::from_secs(22)).len(), 3);
    }
}
