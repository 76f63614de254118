//! Turns bytes done into rate and time left.

use std::time::{Duration, Instant};

use crate::report::Event;

/// How often an event is sent: often enough for a calm bar, seldom enough for a serial line.
const PERIOD: Duration = Duration::from_millis(250);

/// Measures one long step.
#[derive(Debug)]
pub struct Meter {
    what: &'static str,
    started: Instant,
    sent: Option<Instant>,
}

impl Meter {
    /// Starts to measure now.
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            started: Instant::now(),
            sent: None,
        }
    }

    /// Sends an event if it is time for one, and always the last.
    pub fn report(&mut self, done: u64, total: u64, on_event: &mut dyn FnMut(&Event)) {
        let now = Instant::now();
        if done < total && self.sent.is_some_and(|sent| now - sent < PERIOD) {
            return;
        }
        self.sent = Some(now);
        on_event(&event(self.what, done, total, now - self.started));
    }
}

/// The event for `done` of `total` bytes after `elapsed`, at the mean rate so far.
fn event(what: &str, done: u64, total: u64, elapsed: Duration) -> Event {
    let seconds = elapsed.as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate for people: 53 bits are plenty"
    )]
    let per_second = if seconds > 0.0 {
        done as f64 / seconds
    } else {
        0.0
    };
    #[expect(clippy::cast_precision_loss, reason = "a time for people")]
    let left_s = if per_second > 0.0 {
        total.saturating_sub(done) as f64 / per_second
    } else {
        0.0
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive and below 2^63"
    )]
    let rate = per_second as u64;
    Event::Progress {
        what: what.to_owned(),
        done,
        total,
        rate,
        left_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_follow_from_what_was_done_so_far() {
        let event = event("x", 50, 200, Duration::from_secs(5));
        let Event::Progress { rate, left_s, .. } = event else {
            panic!("not a progress event")
        };
        assert_eq!(rate, 10);
        assert!((left_s - 15.0).abs() < 1e-9);
    }

    #[test]
    fn the_last_report_is_always_sent_and_others_only_now_and_then() {
        let mut meter = Meter::new("x");
        let mut seen = Vec::new();
        for done in 0..=1000 {
            meter.report(done, 1000, &mut |event| seen.push(event.clone()));
        }
        assert!(seen.len() < 100, "{} events", seen.len());
        assert!(matches!(
            seen.last(),
            Some(Event::Progress { done: 1000, .. })
        ));
    }
}
