//! The registration client against the simulated Palette, over real TLS on loopback.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests may end the test; the lint sees only functions marked as tests"
)]

mod answers;
mod identity;
mod pairing;

use std::collections::BTreeMap;

use palette::{
    ApiError, Client, Facts, Inventory, Secret, Settings,
    error::{Meaning, TlsFault},
    inventory::Nic,
};
use qemu_tests::palette_sim::{Sim, SimOptions};

const TOKEN: &str = "d1e9b8f0c4a74c2fb8e1tokentoken42";
const UID: &str = "edge-03163342f7f0e6fe20de095ed8548c93";

fn sim() -> Sim {
    start(SimOptions::default())
}

fn start(options: SimOptions) -> Sim {
    let options = SimOptions {
        token: Some(TOKEN.to_owned()),
        ..options
    };
    Sim::start(options).expect("the simulated Palette starts")
}

/// Settings that fit the simulation: its authority and no other, its address, its token.
fn settings(sim: &Sim) -> Settings {
    Settings {
        ca_certs: vec![sim.ca_pem().to_owned()],
        token: Some(Secret::new(TOKEN)),
        ca_bundle: "/nonexistent/bundle".into(),
        ..Settings::new(format!("127.0.0.1:{}", sim.addr().port()))
    }
}

fn client(sim: &Sim) -> Client {
    Client::new(settings(sim)).expect("good settings")
}

fn client_without_token(sim: &Sim) -> Client {
    Client::new(Settings {
        token: None,
        ..settings(sim)
    })
    .expect("good settings")
}

fn inventory() -> Inventory {
    let nic = Nic {
        name: "ens3".to_owned(),
        ip: "10.0.2.15".parse().ok(),
        ..Nic::default()
    };
    Inventory {
        host_uid: UID.to_owned(),
        labels: BTreeMap::from([("name".to_owned(), "berlin-line-4".to_owned())]),
        service_version: "0.1.0".to_owned(),
        facts: Facts {
            architecture: "amd64".to_owned(),
            cores: 2,
            nics: vec![nic],
            ..Facts::default()
        },
    }
}

fn refusal(client: &Client) -> ApiError {
    client.register(&inventory()).expect_err("a refusal")
}

fn meaning(error: &ApiError) -> Option<Meaning> {
    match error {
        ApiError::Status { meaning, .. } => Some(*meaning),
        _ => None,
    }
}

fn fault(error: ApiError) -> TlsFault {
    match error {
        ApiError::Tls { fault, .. } => fault,
        other => panic!("not a TLS error: {other:?}"),
    }
}
