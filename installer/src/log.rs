//! The log of an install: what an operator reads on the host afterwards.

use std::fs;

use crate::documents::Account;
use crate::plan::Plan;
use crate::report::Event;

/// Lines with the time since the machine started.
#[derive(Debug, Default)]
pub struct Log {
    lines: Vec<String>,
    account: Option<Account>,
}

impl Log {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what an event says; progress is for screens and leaves no line, except when it is complete.
    pub fn event(&mut self, event: &Event) {
        if let Event::UserData(account) = event {
            self.account = Some(account.clone());
        }
        let Some(text) = text(event) else { return };
        let at = uptime();
        self.lines
            .extend(text.lines().map(|line| format!("[{at:>9.3}] {line}")));
    }

    /// Log and report, by the names they have on the host.
    pub fn files(&self, plan: &Plan) -> Vec<(String, Vec<u8>)> {
        let report = serde_json::json!({
            "v": 1,
            "landfall": env!("CARGO_PKG_VERSION"),
            "uptime_s": uptime(),
            "user_data": self.account,
            "plan": plan,
        });
        let mut log = self.lines.join("\n");
        log.push('\n');
        vec![
            ("install.log".to_owned(), log.into_bytes()),
            (
                "install-report.json".to_owned(),
                format!("{report:#}\n").into_bytes(),
            ),
        ]
    }
}

/// Seconds since the kernel started; 0 where `/proc` is not mounted.
pub fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(0.0)
}

fn text(event: &Event) -> Option<String> {
    Some(match event {
        Event::Started {
            program, version, ..
        } => format!("Landfall {version}: {program}"),
        Event::Step {
            index, of, text, ..
        } => format!("{index}/{of} {text}"),
        Event::Progress {
            what,
            done,
            total,
            rate,
            ..
        } if done == total => format!(
            "{what}: {} at {}",
            tui::plain::human_bytes(*total),
            tui::plain::human_rate(*rate)
        ),
        Event::Progress { .. } | Event::Waiting { .. } => return None,
        Event::UserData(account) => account.to_string(),
        Event::Target {
            disk,
            image_id,
            image_version,
        } => {
            format!("installing image {image_version} ({image_id}) on {disk}")
        }
        Event::Note { text } => format!("note: {text}"),
        Event::Asking { code, .. } => format!("{code}: asking on the screen"),
        Event::Chosen { document } => format!("chosen on the screen:\n{}", document.trim_end()),
        Event::Finished(end) => match (&end.code, &end.reason) {
            (Some(code), Some(reason)) => format!("{code}: {reason}"),
            _ => format!("installed in {:.1} s", end.seconds),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_the_user_data_is_in_the_log_and_in_the_report() {
        let account = Account {
            documents: vec!["a".into(), "b".into()],
            decisions: Vec::new(),
        };
        let mut log = Log::new();
        log.event(&Event::UserData(account.clone()));
        assert!(
            log.lines[0].ends_with("] User-data: a, then b"),
            "{:?}",
            log.lines
        );
        assert_eq!(log.account, Some(account));
    }

    #[test]
    fn steps_and_finished_progress_are_kept_and_the_rest_of_the_progress_is_not() {
        let mut log = Log::new();
        log.event(&Event::Step {
            index: 1,
            of: 2,
            phase: crate::report::Phase::Prepare,
            text: "wipe".into(),
        });
        for done in [1, 2] {
            log.event(&Event::Progress {
                what: "x".into(),
                done,
                total: 2,
                rate: 1,
                left_s: 0.0,
            });
        }
        let lines: Vec<&str> = log.lines.iter().map(|line| &line[12..]).collect();
        assert_eq!(lines[0], "1/2 wipe");
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}
