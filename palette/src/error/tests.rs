//! Codes and sentences.

use std::time::SystemTime;

use super::*;

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn tls(fault: TlsFault) -> ApiError {
    ApiError::Tls {
        endpoint: "p.example:443".to_owned(),
        fault,
    }
}

fn status(status: u16, code: &str, message: &str) -> ApiError {
    let meaning = Meaning::of(status, code);
    ApiError::Status {
        status,
        meaning,
        message: message.to_owned(),
        retry_after: None,
    }
}

type Row = (ApiError, &'static str, &'static str);

fn one_of_each() -> Vec<Row> {
    [transport(), identity(), statuses(), answers()].concat()
}

fn transport() -> Vec<Row> {
    let endpoint = || "p.example:443".to_owned();
    vec![
        (
            ApiError::NoNetwork,
            "LF-P01",
            "This machine has no network address or no route.",
        ),
        (
            ApiError::Dns {
                host: "p.example".to_owned(),
            },
            "LF-P02",
            "The name p.example cannot be resolved.",
        ),
        (
            ApiError::Refused {
                endpoint: endpoint(),
            },
            "LF-P03",
            "p.example:443 refuses the connection.",
        ),
        (
            ApiError::Timeout {
                endpoint: endpoint(),
            },
            "LF-P04",
            "p.example:443 does not answer in time.",
        ),
        (
            ApiError::Broken {
                endpoint: endpoint(),
            },
            "LF-P05",
            "The connection to p.example:443 broke off.",
        ),
        (
            ApiError::Proxy,
            "LF-P06",
            "The proxy does not let the connection through.",
        ),
    ]
}

fn identity() -> Vec<Row> {
    let now = time(1_795_168_012);
    vec![
        (
            tls(TlsFault::UnknownIssuer),
            "LF-P10",
            "The certificate of p.example:443 is from an authority that this machine does not trust.",
        ),
        (
            tls(TlsFault::Expired {
                not_after: Some(time(0)),
                now,
            }),
            "LF-P11",
            "The certificate of p.example:443 expired on 01 Jan 1970 00:00 UTC; \
             the clock here says 20 Nov 2026 09:46 UTC.",
        ),
        (
            tls(TlsFault::NotYetValid {
                not_before: None,
                now,
            }),
            "LF-P12",
            "The certificate of p.example:443 is not valid yet; the clock here says 20 Nov 2026 09:46 UTC.",
        ),
        (
            tls(TlsFault::WrongName {
                presented: vec!["a".to_owned(), "b".to_owned()],
            }),
            "LF-P13",
            "The certificate of p.example:443 is for a, b.",
        ),
        (
            tls(TlsFault::Other("bad record".to_owned())),
            "LF-P14",
            "No secure connection to p.example:443: bad record.",
        ),
        (
            tls(TlsFault::Clock { now: time(0) }),
            "LF-P15",
            "The clock of this machine is wrong: it says 01 Jan 1970 00:00 UTC.",
        ),
    ]
}

fn statuses() -> Vec<Row> {
    vec![
        (
            status(400, "", ""),
            "LF-P20",
            "Palette does not accept the registration (400).",
        ),
        (
            status(401, "x", "token expired"),
            "LF-P21",
            "Palette refuses the registration token (401). It says: token expired",
        ),
        (
            status(403, "", ""),
            "LF-P22",
            "Palette does not allow this project (403).",
        ),
        (
            status(404, "EdgeHostDeviceNotRegistered", ""),
            "LF-P23",
            "This host is waiting to be added in Palette (404).",
        ),
        (
            status(404, "", ""),
            "LF-P24",
            "The endpoint is not the API of Palette (404).",
        ),
        (
            status(409, "", ""),
            "LF-P25",
            "Palette already has another host with this ID (409).",
        ),
        (
            status(429, "", ""),
            "LF-P26",
            "Palette asks this host to slow down (429).",
        ),
        (
            status(503, "", ""),
            "LF-P27",
            "Palette has an error of its own (503).",
        ),
        (
            status(418, "", ""),
            "LF-P28",
            "Palette gives an unexpected answer (418).",
        ),
    ]
}

fn answers() -> Vec<Row> {
    vec![
        (
            ApiError::Redirect {
                target: Some("http://portal".to_owned()),
            },
            "LF-P29",
            "The endpoint redirects to http://portal, as a captive portal does.",
        ),
        (
            ApiError::TooLarge,
            "LF-P30",
            "The endpoint sends more than the Palette API ever does.",
        ),
        (
            ApiError::NotUnderstood,
            "LF-P31",
            "The endpoint's answer is not that of the Palette API.",
        ),
    ]
}

#[test]
fn every_error_has_its_code_and_its_sentence() {
    for (error, code, reason) in one_of_each() {
        assert_eq!((error.code(), error.reason().as_str()), (code, reason));
        assert_eq!(error.to_string(), reason);
        assert!(error.action().ends_with('.'), "{code}: {}", error.action());
    }
}

#[test]
fn no_two_errors_share_a_code() {
    let mut codes: Vec<_> = one_of_each().into_iter().map(|(_, code, _)| code).collect();
    codes.dedup();
    assert_eq!(codes.len(), 24);
}

#[test]
fn the_code_of_the_body_decides_where_the_status_does_not() {
    for (status, code, meaning) in [
        (
            400,
            "AlreadyRegisteredEdgeHostDevice",
            Meaning::AlreadyRegistered,
        ),
        (400, "EdgeHostDeviceNotRegistered", Meaning::NotAdded),
        (404, "ResourceNotFound", Meaning::NotAdded),
        (500, "TooManyRequests", Meaning::TooManyRequests),
        (422, "", Meaning::BadRequest),
        (599, "", Meaning::Server),
        (600, "", Meaning::Unexpected),
    ] {
        assert_eq!(Meaning::of(status, code), meaning, "{status} {code}");
    }
}
