//! Pairing as a pure state machine: it says which call comes next and how long to wait, and learns the outcome.
//!
//! It knows no clock and makes no call. Pace: while an operator is expected to add the host, every five seconds at
//! most; after a refusal that only a person can lift, once a minute; after any other failure from one second on,
//! doubling to a minute, with jitter so that a thousand hosts do not come back as one. That stays far below Palette's
//! limit of ten calls a second for all hosts behind one address.

use std::{fmt, time::Duration};

use crate::{
    client::{HostState, Registered},
    error::{ApiError, Meaning},
};

/// Between two attempts while the host waits to be added.
pub const WAITING_INTERVAL: Duration = Duration::from_secs(5);
/// Between two health reports.
pub const HEALTH_INTERVAL: Duration = Duration::from_secs(30);
/// Between two attempts after a refusal that only a person can lift.
pub const REJECTED_INTERVAL: Duration = Duration::from_mins(1);
/// Longest back-off.
pub const MAX_BACK_OFF: Duration = Duration::from_mins(1);

const FIRST_BACK_OFF: Duration = Duration::from_secs(1);

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Call [`Client::register`](crate::Client::register).
    Register,
    /// Call [`Client::report_health`](crate::Client::report_health) for this record.
    ReportHealth {
        /// UID of the record.
        uid: String,
    },
    /// Do nothing for this long; it may be cut short.
    Wait(Duration),
}

/// What became of the [`Action`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The registration succeeded.
    Registered(Registered),
    /// The health report was taken.
    HealthReported,
    /// The time is over.
    Waited,
    /// The call failed.
    Failed(ApiError),
}

/// Where this host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No address or no route.
    NoNetwork,
    /// Palette cannot be reached, or something else answers in its place.
    Unreachable,
    /// The identity of the endpoint cannot be verified.
    Tls,
    /// Palette is reached; somebody must add this host.
    Waiting,
    /// A registration is on its way.
    Registering,
    /// Palette refuses this host.
    Rejected,
    /// Registered, no health report taken yet.
    Ready,
    /// Registered, and the last health report was taken.
    Healthy,
}

impl State {
    /// The word of the `pairing` event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoNetwork => "no-network",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Waiting => "waiting",
            Self::Registering => "registering",
            Self::Rejected => "rejected",
            Self::Ready => "ready",
            Self::Healthy => "healthy",
        }
    }

    fn of(error: &ApiError) -> Self {
        match error {
            ApiError::NoNetwork => Self::NoNetwork,
            ApiError::Tls { .. } => Self::Tls,
            ApiError::Status { meaning, .. } => match meaning {
                Meaning::NotAdded => Self::Waiting,
                Meaning::TooManyRequests => Self::Registering,
                Meaning::BadRequest
                | Meaning::Unauthorized
                | Meaning::Forbidden
                | Meaning::AlreadyRegistered => Self::Rejected,
                Meaning::NotPalette | Meaning::Server | Meaning::Unexpected => Self::Unreachable,
            },
            _ => Self::Unreachable,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a screen and an event show; holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where this host stands.
    pub state: State,
    /// One sentence: what is the matter, or what is going on.
    pub reason: String,
    /// One sentence: what an operator does next; empty when there is nothing to do.
    pub action: String,
    /// The stable code, when something is wrong.
    pub code: Option<&'static str>,
    /// How long until the next call, counted from the moment of this status.
    pub next_try_in: Option<Duration>,
}

/// A source of jitter: any function that gives 32 random bits.
pub type Random = Box<dyn FnMut() -> u32 + Send>;

/// The state machine.
pub struct Pairing {
    next: Action,
    /// What [`Pairing::next`] becomes when a wait is over.
    after_wait: Action,
    record: Option<String>,
    failures: u32,
    status: Status,
    random: Random,
}

impl fmt::Debug for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairing")
            .field("next", &self.next)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Pairing {
    /// A host that has not called yet.
    pub fn new(random: Random) -> Self {
        let status = Status {
            state: State::Registering,
            reason: "Contacting Palette.".to_owned(),
            action: String::new(),
            code: None,
            next_try_in: None,
        };
        Self {
            next: Action::Register,
            after_wait: Action::Register,
            record: None,
            failures: 0,
            status,
            random,
        }
    }

    /// What is to be done now.
    pub fn next(&self) -> &Action {
        &self.next
    }

    /// Where this host stands.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Takes in what became of [`Pairing::next`].
    pub fn observe(&mut self, outcome: Outcome) -> &Status {
        match outcome {
            Outcome::Registered(registered) => self.registered(registered),
            Outcome::HealthReported => self.health_reported(),
            Outcome::Waited => {
                self.next = self.after_wait.clone();
                self.status.next_try_in = None;
            }
            Outcome::Failed(error) => self.failed(&error),
        }
        &self.status
    }

    fn registered(&mut self, registered: Registered) {
        self.failures = 0;
        // The record exists and Palette has not paired it: that is waiting too, though no error.
        if registered.state == HostState::Unpaired {
            self.record = None;
            self.show(
                State::Waiting,
                "Palette knows this host and has not paired it yet.",
            );
            let delay = self.spread(WAITING_INTERVAL);
            self.wait(delay, Action::Register);
            return;
        }
        self.next = Action::ReportHealth {
            uid: registered.uid.clone(),
        };
        self.record = Some(registered.uid);
        self.show(State::Ready, "Registered in Palette.");
    }

    fn health_reported(&mut self) {
        self.failures = 0;
        self.show(State::Healthy, "Registered in Palette and healthy.");
        let then = self.call();
        self.wait(HEALTH_INTERVAL, then);
    }

    fn failed(&mut self, error: &ApiError) {
        let state = State::of(error);
        if is_refusal(state) {
            // The record is gone or no longer ours: begin again, under the same ID.
            self.record = None;
        }
        let delay = self.delay(error, state);
        self.failures = self.failures.saturating_add(1);
        // A host that was told to slow down is still registered.
        let shown = match (state, &self.record) {
            (State::Registering, Some(_)) => State::Ready,
            _ => state,
        };
        self.status = Status {
            state: shown,
            reason: error.reason(),
            action: error.action().to_owned(),
            code: Some(error.code()),
            next_try_in: None,
        };
        let then = self.call();
        self.wait(delay, then);
    }

    fn delay(&mut self, error: &ApiError, state: State) -> Duration {
        let own = match state {
            State::Waiting => self.spread(WAITING_INTERVAL),
            State::Rejected => REJECTED_INTERVAL,
            _ => {
                let doubled = FIRST_BACK_OFF.saturating_mul(2_u32.saturating_pow(self.failures));
                self.spread(doubled.min(MAX_BACK_OFF)).max(FIRST_BACK_OFF)
            }
        };
        match error.retry_after() {
            // Never earlier than asked for, and not all hosts in the same second.
            Some(asked) => own.max(asked + self.fraction(asked / 10)),
            None => own,
        }
    }

    /// Between half of a duration and the whole of it.
    fn spread(&mut self, duration: Duration) -> Duration {
        duration / 2 + self.fraction(duration / 2)
    }

    fn fraction(&mut self, duration: Duration) -> Duration {
        duration.mul_f64(f64::from((self.random)()) / f64::from(u32::MAX))
    }

    fn call(&self) -> Action {
        match &self.record {
            Some(uid) => Action::ReportHealth { uid: uid.clone() },
            None => Action::Register,
        }
    }

    fn wait(&mut self, delay: Duration, then: Action) {
        self.next = Action::Wait(delay);
        self.after_wait = then;
        self.status.next_try_in = Some(delay);
    }

    fn show(&mut self, state: State, reason: &str) {
        self.status = Status {
            state,
            reason: reason.to_owned(),
            action: String::new(),
            code: None,
            next_try_in: None,
        };
        if state == State::Waiting {
            "Add the edge host ID in Palette (Clusters > Edge Hosts), or scan the QR code."
                .clone_into(&mut self.status.action);
        }
    }
}

/// Whether Palette itself says that it does not know or want this host.
fn is_refusal(state: State) -> bool {
    matches!(state, State::Waiting | State::Rejected)
}

#[cfg(test)]
mod tests;
