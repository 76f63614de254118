//! Waiting with a limit: the one place in these tests that lets time pass.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The first pause between two probes; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Short enough for times in a summary, long enough to leave the processor to the guest.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Probes until there is an answer, and returns it.
///
/// `what` completes the sentence "waited 30 s for ...". The probe runs at least once after `limit`, so
/// that a machine too busy to probe in time is not blamed for it.
///
/// # Errors
/// The first error of the probe, or the sentence above when `limit` has passed.
pub fn wait_until<T>(
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let late = start.elapsed() >= limit;
        if let Some(answer) = probe()? {
            return Ok(answer);
        }
        if late {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_the_wait() {
        let mut probes = 0;
        let answer = wait_until(Duration::from_secs(5), "three", || {
            probes += 1;
            Ok((probes == 3).then_some(probes))
        });
        assert_eq!(answer.unwrap(), 3);
    }

    #[test]
    fn the_limit_ends_the_wait_and_says_what_was_missing() {
        let mut probes = 0;
        let error = wait_until(Duration::ZERO, "a sign of life", || {
            probes += 1;
            Ok(None::<()>)
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s for a sign of life");
        assert_eq!(probes, 1);
    }

    #[test]
    fn an_error_of_the_probe_ends_the_wait_at_once() {
        let start = Instant::now();
        let error = wait_until(Duration::from_mins(1), "nothing", || {
            Err::<Option<()>, _>(anyhow::anyhow!("gone"))
        });
        assert_eq!(error.unwrap_err().to_string(), "gone");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
