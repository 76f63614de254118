//! Words for whoever stands in front of the machine.
//!
//! The kernel's log reaches every console, and the journal of the system that comes up; nothing else does both from the
//! initramfs.

use std::fs::OpenOptions;
use std::io::Write;

use crate::paths::Paths;

/// `KERN_ERR` (3) of facility daemon (3): a boot with `quiet` or `loglevel=4` shows it all the same.
const PRIORITY: u32 = 3 << 3 | 3;

/// The kernel refuses a longer record.
const LIMIT: usize = 900;

/// Says one line. A log that cannot be written to is no reason for anything.
pub(crate) fn say(paths: &Paths, text: &str) {
    let record = record(text);
    // One write is one record.
    let written = OpenOptions::new()
        .append(true)
        .open(paths.at("/dev/kmsg"))
        .and_then(|mut log| log.write_all(record.as_bytes()));
    drop(written);
}

fn record(text: &str) -> String {
    let mut line = format!("<{PRIORITY}>landfall: ");
    for letter in text.chars() {
        if line.len() + letter.len_utf8() > LIMIT {
            break;
        }
        line.push(if letter.is_control() { ' ' } else { letter });
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_short_line_at_a_level_that_quiet_does_not_hide() {
        assert_eq!(record("two\nlines\x1b["), "<27>landfall: two lines [\n");
        let long = record(&"é".repeat(2000));
        assert!(long.len() <= LIMIT + 1 && long.ends_with("é\n"));
    }
}
