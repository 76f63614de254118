//! The registration client against the simulated Palette, over real TLS on loopback.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests may end the test; the lint sees only functions marked as tests"
)]

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use palette::{
    ApiError, Client, Facts, Health, HostState, Inventory, Pairing, Secret, Settings, State,
    Status,
    error::{Meaning, TlsFault},
    inventory::Nic,
    worker::{Control, run},
};
use qemu_tests::palette_sim::{self, Answer, Sim, SimOptions, Validity};
use reqwest::Method;

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

#[test]
fn a_host_with_a_token_registers_and_reports_health() {
    let sim = sim();
    let client = client(&sim);
    let registered = client.register(&inventory()).unwrap();
    assert_eq!(
        (registered.uid.as_str(), registered.state),
        (UID, HostState::Ready)
    );
    let host = &sim.hosts()[0];
    assert_eq!(
        (host.uid.as_str(), host.name.as_str()),
        (UID, "berlin-line-4")
    );
    assert_eq!(
        (host.address.as_str(), host.service.as_str()),
        ("10.0.2.15", "landfall 0.1.0")
    );
    assert_eq!(
        (host.state, host.health),
        (palette_sim::HostState::Ready, None)
    );
    assert_eq!(host.device["cpu"]["cores"], 2);

    client
        .report_health(UID, Health::Healthy, "fine", "0.1.0")
        .unwrap();
    assert_eq!(
        sim.hosts()[0].health,
        Some(palette_sim::HealthState::Healthy)
    );
    // At its next boot the host registers again; nothing is lost by it.
    assert_eq!(
        client.register(&inventory()).unwrap().state,
        HostState::Ready
    );
    assert_eq!(sim.hosts().len(), 1);
}

#[test]
fn the_certificate_must_come_from_a_trusted_authority() {
    let (sim, other) = (sim(), sim());
    let wrong = Settings {
        ca_certs: vec![other.ca_pem().to_owned()],
        ..settings(&sim)
    };
    let error = refusal(&Client::new(wrong).unwrap());
    assert_eq!(error.code(), "LF-P10");
    assert_eq!(fault(error), TlsFault::UnknownIssuer);
    let nobody = Settings {
        ca_certs: Vec::new(),
        ..settings(&sim)
    };
    assert_eq!(
        fault(refusal(&Client::new(nobody).unwrap())),
        TlsFault::UnknownIssuer
    );
    assert_eq!(sim.hosts(), [], "nothing was sent");
}

#[test]
fn an_authority_counts_in_a_list_of_two_in_base64_and_in_the_systems_bundle() {
    let (sim, other) = (sim(), sim());
    let both = vec![other.ca_pem().to_owned(), sim.ca_pem().to_owned()];
    let in_base64 = vec![base64_of(sim.ca_pem().as_bytes())];
    let bundle = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut bundle.as_file(), sim.ca_pem().as_bytes()).unwrap();
    let in_bundle = Settings {
        ca_certs: Vec::new(),
        ca_bundle: bundle.path().to_owned(),
        ..settings(&sim)
    };
    for settings in [
        Settings {
            ca_certs: both,
            ..settings(&sim)
        },
        Settings {
            ca_certs: in_base64,
            ..settings(&sim)
        },
        in_bundle,
    ] {
        let registered = Client::new(settings)
            .unwrap()
            .register(&inventory())
            .unwrap();
        assert_eq!(registered.state, HostState::Ready);
    }
}

/// A few lines, so that the test does not depend on what it tests with.
fn base64_of(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            text.push(char::from(DIGITS[(group >> (18 - 6 * i)) as usize & 63]));
        }
        text.push_str(&"=".repeat(3 - chunk.len()));
    }
    text
}

#[test]
fn an_expired_certificate_is_named_with_its_date() {
    let sim = start(SimOptions {
        validity: Validity::Expired,
        ..SimOptions::default()
    });
    let error = refusal(&client(&sim));
    assert_eq!(error.code(), "LF-P11");
    assert!(
        error
            .reason()
            .contains("expired on 01 Jan 2021 00:00 UTC; the clock here says"),
        "{error}"
    );
}

#[test]
fn a_certificate_of_the_future_is_the_clocks_fault_only_if_the_clock_is_behind_the_build() {
    let sim = start(SimOptions {
        validity: Validity::NotYet,
        ..SimOptions::default()
    });
    let error = refusal(&client(&sim));
    assert_eq!(error.code(), "LF-P12");
    assert!(
        error
            .reason()
            .contains("not valid yet before 01 Jan 2090 00:00 UTC"),
        "{error}"
    );
    let tomorrow = SystemTime::now() + Duration::from_hours(24);
    let behind = Settings {
        clock_floor: tomorrow,
        ..settings(&sim)
    };
    let error = refusal(&Client::new(behind).unwrap());
    assert_eq!(error.code(), "LF-P15");
    assert!(
        error
            .reason()
            .starts_with("The clock of this machine is wrong: it says"),
        "{error}"
    );
}

#[test]
fn a_certificate_for_other_names_is_refused_with_those_names() {
    let names = vec!["palette.example".to_owned(), "10.9.8.7".to_owned()];
    let sim = start(SimOptions {
        names,
        ..SimOptions::default()
    });
    let error = refusal(&client(&sim));
    assert_eq!(error.code(), "LF-P13");
    let presented = ["palette.example", "10.9.8.7"].map(str::to_owned).to_vec();
    assert_eq!(fault(error), TlsFault::WrongName { presented });
}

#[test]
fn an_old_protocol_is_refused() {
    // A server that answers the greeting with the TLS alert "protocol version".
    let endpoint = raw_server(vec![0x15, 3, 1, 0, 2, 2, 70]);
    let error = refusal(&Client::new(Settings::new(endpoint.to_string())).unwrap());
    assert_eq!(error.code(), "LF-P14", "{error}");
}

#[test]
fn a_server_without_tls_is_refused() {
    let endpoint = raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec());
    let error = refusal(&Client::new(Settings::new(endpoint.to_string())).unwrap());
    assert_eq!(error.code(), "LF-P14", "{error}");
}

/// Sends the same bytes to whoever connects, after reading a little.
fn raw_server(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut greeting = [0; 2048];
            if std::io::Read::read(&mut stream, &mut greeting).is_err()
                || std::io::Write::write_all(&mut stream, &answer).is_err()
            {
                return;
            }
        }
    });
    addr
}

#[test]
fn a_closed_port_an_unknown_name_and_a_broken_connection_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let broken = raw_server(Vec::new());
    for (endpoint, code) in [
        (closed.to_string(), "LF-P03"),
        ("palette.invalid".to_owned(), "LF-P02"),
        (broken.to_string(), "LF-P05"),
    ] {
        let error = refusal(&Client::new(Settings::new(endpoint)).unwrap());
        assert_eq!(error.code(), code, "{error:?}");
    }
}

#[test]
fn a_proxy_that_refuses_is_named() {
    let sim = sim();
    let proxy = raw_server(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec());
    let proxied = Settings {
        proxy: Some(Secret::new(format!("http://{proxy}"))),
        ..settings(&sim)
    };
    let client = Client::new(proxied.clone()).unwrap();
    assert_eq!(refusal(&client), ApiError::Proxy);
    let direct = Settings {
        no_proxy: Some("10.0.0.0/8,127.0.0.1".to_owned()),
        ..proxied
    };
    assert!(Client::new(direct).unwrap().register(&inventory()).is_ok());
}

#[test]
fn token_and_project_are_refused_with_the_words_of_the_server() {
    let sim = start(SimOptions {
        project: Some("p-1".to_owned()),
        ..SimOptions::default()
    });
    let wrong = Settings {
        token: Some(Secret::new("wrong-token")),
        ..settings(&sim)
    };
    let error = refusal(&Client::new(wrong).unwrap());
    assert_eq!(
        (error.code(), meaning(&error)),
        ("LF-P21", Some(Meaning::Unauthorized))
    );
    assert_eq!(
        error.reason(),
        "Palette refuses the registration token (401). It says: The registration token is invalid or has expired"
    );
    let other = Settings {
        project_uid: Some("p-2".to_owned()),
        ..settings(&sim)
    };
    let error = refusal(&Client::new(other).unwrap());
    assert_eq!(
        (error.code(), meaning(&error)),
        ("LF-P22", Some(Meaning::Forbidden))
    );
    let right = Settings {
        project_uid: Some("p-1".to_owned()),
        ..settings(&sim)
    };
    assert!(Client::new(right).unwrap().register(&inventory()).is_ok());
}

#[test]
fn a_host_without_a_token_waits_until_it_is_added() {
    let sim = sim();
    let client = client_without_token(&sim);
    assert_eq!(meaning(&refusal(&client)), Some(Meaning::NotAdded));
    sim.add_host(UID).unwrap();
    assert_eq!(
        client.register(&inventory()).unwrap().state,
        HostState::Ready
    );
    client
        .report_health(UID, Health::Healthy, "", "0.1.0")
        .unwrap();
    sim.delete_host(UID).unwrap();
    let error = client
        .report_health(UID, Health::Healthy, "", "0.1.0")
        .unwrap_err();
    assert_eq!(meaning(&error), Some(Meaning::NotAdded));
}

#[test]
fn the_servers_own_faults_are_sorted_by_status_and_code() {
    let sim = sim();
    let client = client(&sim);
    for (status, body, code) in [
        (
            400,
            r#"{"code":"ValidationFailed","message":"no"}"#,
            "LF-P20",
        ),
        (
            400,
            r#"{"code":"AlreadyRegisteredEdgeHostDevice"}"#,
            "LF-P25",
        ),
        (404, "not json", "LF-P24"),
        (409, "", "LF-P25"),
        (429, r#"{"code":"TooManyRequests"}"#, "LF-P26"),
        (500, "<html>", "LF-P27"),
        (503, "", "LF-P27"),
        (418, "", "LF-P28"),
        (200, "<html>Welcome to the hotel</html>", "LF-P31"),
        (200, "[]", "LF-P31"),
    ] {
        sim.fail_next(1, status, body);
        assert_eq!(refusal(&client).code(), code, "{status} {body}");
    }
    assert!(
        client.register(&inventory()).is_ok(),
        "and then all is well again"
    );
}

#[test]
fn deeply_nested_json_is_refused_and_ends_nothing() {
    let sim = sim();
    sim.fail_next(1, 200, &"[".repeat(500_000));
    assert_eq!(refusal(&client(&sim)), ApiError::NotUnderstood);
}

#[test]
fn retry_after_is_heeded_up_to_ten_minutes() {
    let sim = sim();
    for (value, seconds) in [("7", 7), ("99999", 600)] {
        let headers = vec![("Retry-After", value.to_owned())];
        sim.answer_next(Answer {
            status: 429,
            headers,
            ..Answer::default()
        });
        let asked = refusal(&client(&sim)).retry_after();
        assert_eq!(asked, Some(Duration::from_secs(seconds)));
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let (sim, elsewhere) = (sim(), sim());
    for status in [301, 302, 303, 307, 308] {
        let target = format!(
            "https://127.0.0.1:{}/v1/edgehosts/register?s=1",
            elsewhere.addr().port()
        );
        let headers = vec![("Location", target)];
        sim.answer_next(Answer {
            status,
            headers,
            ..Answer::default()
        });
        let target = Some("https://127.0.0.1".to_owned());
        assert_eq!(refusal(&client(&sim)), ApiError::Redirect { target });
    }
    assert_eq!((sim.hosts(), elsewhere.hosts()), (vec![], vec![]));
}

#[test]
fn a_body_of_ten_megabytes_is_refused_for_success_and_failure() {
    let sim = sim();
    for status in [200, 500] {
        sim.fail_next(1, status, &" ".repeat(10 * 1024 * 1024));
        assert_eq!(refusal(&client(&sim)), ApiError::TooLarge);
    }
    sim.fail_next(1, 200, &format!("{{}}{}", " ".repeat(1024 * 1024 - 2)));
    assert!(
        client(&sim).register(&inventory()).is_ok(),
        "1 MiB is allowed"
    );
}

#[test]
fn a_compressed_answer_is_not_unpacked() {
    let sim = sim();
    let headers = vec![("Content-Encoding", "gzip".to_owned())];
    sim.answer_next(Answer {
        status: 200,
        headers,
        body: "{}".to_owned(),
        ..Answer::default()
    });
    assert!(
        client(&sim).register(&inventory()).is_ok(),
        "the bytes are read as they are"
    );
}

#[test]
fn more_than_fifty_calls_at_once_are_told_to_slow_down() {
    let sim = sim();
    let client = client(&sim);
    let refused = (0..400).find_map(|_| client.register(&inventory()).err());
    let error = refused.expect("the limit is reached");
    assert_eq!(meaning(&error), Some(Meaning::TooManyRequests));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
}

#[test]
fn the_token_is_in_no_text_even_if_the_server_echoes_it() {
    let sim = sim();
    let client = client(&sim);
    sim.fail_next(
        1,
        401,
        &format!(r#"{{"message":"bad token {TOKEN}, go away"}}"#),
    );
    let error = refusal(&client);
    assert_eq!(
        error.reason(),
        "Palette refuses the registration token (401). It says: bad token ***, go away"
    );
    let registered = client.register(&inventory()).unwrap();
    let shown = format!(
        "{error:?} {error} {client:?} {:?} {registered:?} {:?}",
        settings(&sim),
        sim.hosts()
    );
    assert!(!shown.contains(TOKEN), "{shown}");
}

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

#[test]
fn an_operator_needs_the_api_key_and_a_host_does_not() {
    let sim = start(SimOptions {
        api_key: Some("k".to_owned()),
        ..SimOptions::default()
    });
    assert!(client(&sim).register(&inventory()).is_ok());
    let authority = reqwest::Certificate::from_pem(sim.ca_pem().as_bytes()).unwrap();
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let http = reqwest::blocking::Client::builder()
        .tls_certs_only([authority])
        .build()
        .unwrap();
    let base = format!("https://{}", sim.addr());
    let status = |method: Method, path: &str, key: &str, body: &str| {
        let request = http
            .request(method, format!("{base}{path}"))
            .header("ApiKey", key);
        let request = request
            .header("Content-Type", "application/json")
            .body(body.to_owned());
        request.send().unwrap().status().as_u16()
    };
    let one = format!("/v1/edgehosts/{UID}");
    let new = r#"{"metadata":{"uid":"edge-2","labels":{"name":"two"}}}"#;
    for (method, path, key, body, wanted) in [
        (Method::GET, one.as_str(), "", "", 401),
        (Method::GET, one.as_str(), "k", "", 200),
        (Method::GET, "/v1/edgehosts/edge-9", "k", "", 404),
        (Method::POST, "/v1/edgehosts", "wrong", new, 401),
        (Method::POST, "/v1/edgehosts", "k", new, 201),
        (Method::POST, "/v1/edgehosts", "k", new, 400),
        (Method::GET, "/v1/edgehosts/metadata", "", "", 401),
        (Method::GET, "/v1/edgehosts/metadata", "k", "", 200),
        (Method::DELETE, one.as_str(), "", "", 401),
        (Method::DELETE, one.as_str(), "k", "", 204),
        (Method::DELETE, one.as_str(), "k", "", 404),
        (Method::GET, "/?appliance-id=edge-1", "", "", 200),
        (Method::GET, "/v2", "k", "", 404),
    ] {
        assert_eq!(
            status(method.clone(), path, key, body),
            wanted,
            "{method} {path} {key}"
        );
    }
    let ids: Vec<String> = sim.hosts().into_iter().map(|host| host.name).collect();
    assert_eq!(ids, ["two"]);
}
