//! What Palette answers, and what may be sent instead.

use std::time::Duration;

use palette::{ApiError, Client, Health, HostState, Secret, Settings, error::Meaning};
use qemu_tests::palette_sim::{self, Answer, SimOptions};
use reqwest::Method;

use crate::{
    TOKEN, UID, client, client_without_token, inventory, meaning, refusal, settings, sim, start,
};

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
