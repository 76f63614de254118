//! Every transition.

use super::*;
use crate::error::TlsFault;

const UID: &str = "edge-1";

/// Without jitter downwards: every delay is the longest it can be.
fn longest() -> Pairing {
    Pairing::new(Box::new(|| u32::MAX))
}

fn shortest() -> Pairing {
    Pairing::new(Box::new(|| 0))
}

fn answer(status: u16, retry_after: Option<u64>) -> ApiError {
    let code = if status == 404 {
        "EdgeHostDeviceNotRegistered"
    } else {
        ""
    };
    ApiError::Status {
        status,
        meaning: Meaning::of(status, code),
        message: String::new(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

fn ready() -> Outcome {
    let state = HostState::Ready;
    Outcome::Registered(Registered {
        uid: UID.to_owned(),
        state,
        service_token: None,
    })
}

fn health() -> Action {
    Action::ReportHealth {
        uid: UID.to_owned(),
    }
}

fn wait(seconds: u64) -> Action {
    Action::Wait(Duration::from_secs(seconds))
}

fn endpoint() -> String {
    "p.example:443".to_owned()
}

#[test]
fn a_host_with_a_token_becomes_healthy_and_stays_so() {
    let mut pairing = longest();
    assert_eq!(
        (pairing.next(), pairing.status().state),
        (&Action::Register, State::Registering)
    );
    assert_eq!(pairing.observe(ready()).state, State::Ready);
    assert_eq!(pairing.next(), &health());
    for _ in 0..3 {
        assert_eq!(
            pairing.observe(Outcome::HealthReported).state,
            State::Healthy
        );
        assert_eq!(pairing.status().next_try_in, Some(Duration::from_secs(30)));
        assert_eq!((pairing.next(), pairing.status().code), (&wait(30), None));
        assert_eq!(pairing.observe(Outcome::Waited).state, State::Healthy);
        assert_eq!(
            (pairing.next(), pairing.status().next_try_in),
            (&health(), None)
        );
    }
}

#[test]
fn every_failure_of_a_registration_has_its_state_code_and_pause() {
    let fault = TlsFault::UnknownIssuer;
    for (error, state, code, seconds) in [
        (ApiError::NoNetwork, State::NoNetwork, "LF-P01", 1),
        (
            ApiError::Dns { host: endpoint() },
            State::Unreachable,
            "LF-P02",
            1,
        ),
        (
            ApiError::Refused {
                endpoint: endpoint(),
            },
            State::Unreachable,
            "LF-P03",
            1,
        ),
        (
            ApiError::Timeout {
                endpoint: endpoint(),
            },
            State::Unreachable,
            "LF-P04",
            1,
        ),
        (
            ApiError::Broken {
                endpoint: endpoint(),
            },
            State::Unreachable,
            "LF-P05",
            1,
        ),
        (ApiError::Proxy, State::Unreachable, "LF-P06", 1),
        (
            ApiError::Tls {
                endpoint: endpoint(),
                fault,
            },
            State::Tls,
            "LF-P10",
            1,
        ),
        (answer(400, None), State::Rejected, "LF-P20", 60),
        (answer(401, None), State::Rejected, "LF-P21", 60),
        (answer(403, None), State::Rejected, "LF-P22", 60),
        (answer(404, None), State::Waiting, "LF-P23", 5),
        (answer(409, None), State::Rejected, "LF-P25", 60),
        (answer(429, None), State::Registering, "LF-P26", 1),
        (answer(429, Some(7)), State::Registering, "LF-P26", 7),
        (answer(503, Some(40)), State::Unreachable, "LF-P27", 40),
        (answer(500, None), State::Unreachable, "LF-P27", 1),
        (answer(418, None), State::Unreachable, "LF-P28", 1),
        (
            ApiError::Redirect { target: None },
            State::Unreachable,
            "LF-P29",
            1,
        ),
        (ApiError::TooLarge, State::Unreachable, "LF-P30", 1),
        (ApiError::NotUnderstood, State::Unreachable, "LF-P31", 1),
    ] {
        // The shortest jitter for a server's wish, which must be kept; the longest for our own pauses.
        let mut pairing = if error.retry_after().is_some() {
            shortest()
        } else {
            longest()
        };
        let status = pairing.observe(Outcome::Failed(error.clone())).clone();
        assert_eq!((status.state, status.code), (state, Some(code)));
        assert_eq!(
            (status.reason, status.action.as_str()),
            (error.reason(), error.action())
        );
        assert_eq!(pairing.next(), &wait(seconds), "{code}");
        pairing.observe(Outcome::Waited);
        assert_eq!(pairing.next(), &Action::Register);
    }
}

#[test]
fn the_pause_doubles_to_a_minute_and_begins_anew_after_a_success() {
    let mut pairing = longest();
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        pairing.observe(Outcome::Failed(ApiError::NoNetwork));
        assert_eq!(pairing.next(), &wait(seconds));
        pairing.observe(Outcome::Waited);
    }
    pairing.observe(ready());
    pairing.observe(Outcome::Failed(ApiError::NoNetwork));
    assert_eq!(pairing.next(), &wait(1));
}

#[test]
fn jitter_takes_at_most_half_and_never_less_than_a_second() {
    let mut pairing = shortest();
    for millis in [1000, 1000, 2000, 4000, 8000, 16_000, 30_000] {
        pairing.observe(Outcome::Failed(ApiError::NoNetwork));
        assert_eq!(pairing.next(), &Action::Wait(Duration::from_millis(millis)));
        pairing.observe(Outcome::Waited);
    }
}

#[test]
fn waiting_never_slows_down() {
    let mut pairing = longest();
    for _ in 0..200 {
        pairing.observe(Outcome::Failed(answer(404, None)));
        assert_eq!(pairing.next(), &wait(5));
        pairing.observe(Outcome::Waited);
    }
    assert_eq!(pairing.observe(ready()).state, State::Ready);
}

#[test]
fn an_unpaired_record_is_waited_for() {
    let mut pairing = longest();
    let state = HostState::Unpaired;
    let unpaired = Registered {
        uid: UID.to_owned(),
        state,
        service_token: None,
    };
    let status = pairing.observe(Outcome::Registered(unpaired));
    assert_eq!((status.state, status.code), (State::Waiting, None));
    assert_eq!(pairing.next(), &wait(5));
    pairing.observe(Outcome::Waited);
    assert_eq!(pairing.next(), &Action::Register);
}

#[test]
fn a_registered_host_that_loses_the_network_goes_on_reporting_health() {
    let mut pairing = longest();
    pairing.observe(ready());
    pairing.observe(Outcome::HealthReported);
    pairing.observe(Outcome::Waited);
    assert_eq!(
        pairing.observe(Outcome::Failed(ApiError::NoNetwork)).state,
        State::NoNetwork
    );
    pairing.observe(Outcome::Waited);
    assert_eq!(pairing.next(), &health());
    assert_eq!(
        pairing.observe(Outcome::HealthReported).state,
        State::Healthy
    );
}

#[test]
fn a_registered_host_that_must_slow_down_is_shown_as_ready() {
    let mut pairing = shortest();
    pairing.observe(ready());
    let status = pairing.observe(Outcome::Failed(answer(429, Some(600))));
    assert_eq!((status.state, status.code), (State::Ready, Some("LF-P26")));
    assert_eq!(pairing.next(), &wait(600));
    pairing.observe(Outcome::Waited);
    assert_eq!(pairing.next(), &health());
}

#[test]
fn a_host_whose_record_was_deleted_registers_again() {
    for (status, state) in [
        (404, State::Waiting),
        (401, State::Rejected),
        (403, State::Rejected),
    ] {
        let mut pairing = longest();
        pairing.observe(ready());
        assert_eq!(
            pairing.observe(Outcome::Failed(answer(status, None))).state,
            state
        );
        pairing.observe(Outcome::Waited);
        assert_eq!(pairing.next(), &Action::Register, "{status}");
    }
}

#[test]
fn the_words_are_those_of_the_event() {
    let states = [
        State::NoNetwork,
        State::Unreachable,
        State::Tls,
        State::Waiting,
        State::Registering,
        State::Rejected,
        State::Ready,
        State::Healthy,
    ];
    let words = states.map(|state| state.to_string());
    let wanted = [
        "no-network",
        "unreachable",
        "tls",
        "waiting",
        "registering",
        "rejected",
        "ready",
        "healthy",
    ];
    assert_eq!(words, wanted);
}
