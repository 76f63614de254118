//! Palette's rate limit: ten calls a second for each source address, with a burst of fifty.

use std::{collections::HashMap, net::IpAddr, time::Instant};

const PER_SECOND: f64 = 10.0;
const BURST: f64 = 50.0;

/// A token bucket for each source address.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    buckets: HashMap<IpAddr, (f64, Instant)>,
}

impl RateLimit {
    /// Whether a call from this address is allowed now.
    pub(super) fn allows(&mut self, source: IpAddr, now: Instant) -> bool {
        let (left, seen) = self.buckets.entry(source).or_insert((BURST, now));
        let refilled = *left + now.saturating_duration_since(*seen).as_secs_f64() * PER_SECOND;
        *left = refilled.min(BURST);
        *seen = now;
        let allowed = *left >= 1.0;
        if allowed {
            *left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn fifty_calls_at_once_pass_and_then_ten_a_second() {
        let mut limit = RateLimit::default();
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Instant::now();
        let passed = |limit: &mut RateLimit, source, now| {
            (0..100).filter(|_| limit.allows(source, now)).count()
        };
        assert_eq!(passed(&mut limit, a, start), 50);
        assert_eq!(passed(&mut limit, b, start), 50);
        assert_eq!(passed(&mut limit, a, start + Duration::from_secs(1)), 10);
        assert_eq!(passed(&mut limit, a, start + Duration::from_mins(1)), 50);
    }
}
