//! Who is at the other end: reaching it, and verifying that it is Palette.

use std::{
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, SystemTime},
};

use palette::{ApiError, Client, HostState, Secret, Settings, error::TlsFault};
use qemu_tests::palette_sim::{SimOptions, Validity};

use crate::{client, fault, inventory, refusal, settings, sim, start};

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
