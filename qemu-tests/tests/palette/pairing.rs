//! The loop, from the first call to healthy.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use palette::{
    Client, Pairing, State, Status,
    worker::{Control, run},
};

use crate::{UID, client, client_without_token, inventory, sim};

/// Runs the loop until `wanted` is shown; gives every state on the way, without repetitions.
fn states_until(client: Client, wanted: State, mut on_status: impl FnMut(&Status)) -> Vec<State> {
    let control = Control::new();
    let (sender, statuses) = mpsc::channel();
    let worker = {
        let control = control.clone();
        let pairing = Pairing::new(Box::new(|| 0));
        thread::spawn(move || {
            run(
                &client,
                pairing,
                inventory,
                |status| drop(sender.send(status.clone())),
                &control,
            );
        })
    };
    let mut states = Vec::new();
    let limit = Instant::now() + Duration::from_secs(40);
    while states.last() != Some(&wanted) {
        let left = limit.saturating_duration_since(Instant::now());
        let status = statuses
            .recv_timeout(left)
            .unwrap_or_else(|_| panic!("only {states:?}"));
        on_status(&status);
        states.push(status.state);
        states.dedup();
        // An operator with no patience.
        control.retry_now();
    }
    control.stop();
    worker.join().expect("the loop ends");
    states
}

#[test]
fn the_loop_goes_from_waiting_to_healthy_when_the_host_is_added() {
    let sim = sim();
    let client = client_without_token(&sim);
    let mut waits = 0;
    let states = states_until(client, State::Healthy, |status| {
        if status.state == State::Waiting {
            assert!(
                status
                    .next_try_in
                    .is_some_and(|wait| wait <= Duration::from_secs(5))
            );
            waits += 1;
            if waits == 2 {
                sim.add_host(UID).unwrap();
            }
        }
    });
    assert_eq!(
        states,
        [
            State::Registering,
            State::Waiting,
            State::Ready,
            State::Healthy
        ]
    );
}

#[test]
fn the_loop_gets_over_a_server_with_faults() {
    let sim = sim();
    sim.fail_next(2, 500, "");
    sim.fail_next(1, 401, "");
    let states = states_until(client(&sim), State::Healthy, |_| ());
    let wanted = [
        State::Registering,
        State::Unreachable,
        State::Rejected,
        State::Ready,
        State::Healthy,
    ];
    assert_eq!(states, wanted);
}

#[test]
fn the_loop_registers_again_when_the_record_is_deleted() {
    let sim = sim();
    let mut deleted = false;
    let client = client(&sim);
    let states = states_until(client, State::Waiting, |status| {
        if status.state == State::Healthy && !deleted {
            deleted = sim.delete_host(UID).is_ok();
        }
    });
    assert!(
        states.ends_with(&[State::Healthy, State::Waiting]),
        "{states:?}"
    );
}
