//! The loop that carries out what [`Pairing`] says, for a thread of its own.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    client::{Client, Health},
    error::ApiError,
    inventory::Inventory,
    pairing::{Action, Outcome, Pairing, Status},
};

/// Stops the loop, or wakes it before its time; clones speak to the same loop.
#[derive(Debug, Clone, Default)]
pub struct Control {
    shared: Arc<(Mutex<Wish>, Condvar)>,
}

#[derive(Debug, Default)]
struct Wish {
    stop: bool,
    retry: bool,
}

impl Control {
    /// A control for a new loop.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the loop as soon as the call under way is over, 30 seconds at most.
    pub fn stop(&self) {
        self.change(|wish| wish.stop = true);
    }

    /// Ends the pause: the operator has changed something.
    pub fn retry_now(&self) {
        self.change(|wish| wish.retry = true);
    }

    fn change(&self, change: impl FnOnce(&mut Wish)) {
        change(&mut self.lock());
        self.shared.1.notify_all();
    }

    fn stopped(&self) -> bool {
        self.lock().stop
    }

    /// Waits on the monotonic clock: a clock that NTP sets meanwhile changes nothing.
    fn wait(&self, delay: Duration) {
        let end = Instant::now() + delay;
        let mut wish = self.lock();
        while !wish.stop && !wish.retry {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.1.wait_timeout(wish, left);
            wish = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        wish.retry = false;
    }

    fn lock(&self) -> MutexGuard<'_, Wish> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pairs and reports health until [`Control::stop`].
///
/// `inventory` is asked before every registration, because the address of a machine comes and goes. `on_status` gets
/// the status at the beginning and after every call; counting down `next_try_in` is the screen's part.
pub fn run(
    client: &Client,
    mut pairing: Pairing,
    mut inventory: impl FnMut() -> Inventory,
    mut on_status: impl FnMut(&Status),
    control: &Control,
) {
    let mut facts = inventory();
    on_status(pairing.status());
    while !control.stopped() {
        let outcome = match pairing.next().clone() {
            Action::Wait(delay) => {
                control.wait(delay);
                Outcome::Waited
            }
            Action::Register => {
                facts = inventory();
                let registered = client.register(&facts);
                registered.map_or_else(|e| failed(e, &facts), Outcome::Registered)
            }
            Action::ReportHealth { uid } => {
                let message = "The host is registered and waits for a cluster.";
                let taken =
                    client.report_health(&uid, Health::Healthy, message, &facts.service_version);
                taken.map_or_else(
                    |e| {
                        facts = inventory();
                        failed(e, &facts)
                    },
                    |()| Outcome::HealthReported,
                )
            }
        };
        let waited = outcome == Outcome::Waited;
        let status = pairing.observe(outcome);
        if !waited {
            on_status(status);
        }
    }
}

/// A name that does not resolve on a machine without an address is no matter of the name server.
fn failed(error: ApiError, inventory: &Inventory) -> Outcome {
    let no_address = inventory.facts.address().is_none();
    match error {
        ApiError::Dns { .. } if no_address => Outcome::Failed(ApiError::NoNetwork),
        other => Outcome::Failed(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Facts, Nic};

    #[test]
    fn a_pause_is_cut_short_by_stop_and_by_retry_but_only_once() {
        let control = Control::new();
        control.retry_now();
        let start = Instant::now();
        control.wait(Duration::from_mins(1));
        assert!(start.elapsed() < Duration::from_secs(30));
        // The wish is used up: this pause takes its time.
        let start = Instant::now();
        control.wait(Duration::from_millis(20));
        assert!(start.elapsed() >= Duration::from_millis(20));
        control.stop();
        let start = Instant::now();
        control.wait(Duration::from_mins(1));
        assert!(start.elapsed() < Duration::from_secs(30) && control.stopped());
    }

    #[test]
    fn a_name_that_does_not_resolve_without_an_address_is_no_network() {
        let dns = || ApiError::Dns {
            host: "p.example".to_owned(),
        };
        let none = Inventory::default();
        assert_eq!(failed(dns(), &none), Outcome::Failed(ApiError::NoNetwork));
        let nic = Nic {
            ip: Some("10.0.2.15".parse().unwrap()),
            ..Nic::default()
        };
        let facts = Facts {
            nics: vec![nic],
            ..Facts::default()
        };
        assert_eq!(
            failed(dns(), &Inventory { facts, ..none }),
            Outcome::Failed(dns())
        );
    }
}
