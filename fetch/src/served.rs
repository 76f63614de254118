//! Fetching from a real server: TLS, redirects, bounds, attempts.

mod server;

use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::{Bounds, Client, FetchError, Once, Progress, Proxies, Secret, Settings, Trust};
use server::{Answer, Authority, Server, answer, raw};

const BOUNDS: Bounds = Bounds {
    bytes: 1000,
    time: Duration::from_secs(20),
};

/// Trusts these authorities alone and tries three times with short pauses.
fn client(authorities: &[&Authority]) -> Client {
    client_with(authorities, Proxies::default())
}

fn client_with(authorities: &[&Authority], proxies: Proxies) -> Client {
    let trust = Trust {
        certificates: authorities.iter().map(|ca| ca.pem.clone()).collect(),
        bundle: PathBuf::from("/nonexistent"),
    };
    Client::new(Settings {
        trust,
        proxies,
        attempts: 3,
        pause: Duration::from_millis(5),
        silence: Duration::from_secs(5),
        ..Settings::default()
    })
    .unwrap()
}

fn plain(answers: Vec<Answer>) -> (Server, String) {
    let server = Server::start(None, answers);
    let url = format!("http://127.0.0.1:{}/a?token=hunter2", server.port);
    (server, url)
}

/// The code of the error, after a look at whether the error keeps the secret of the address.
fn code<T: std::fmt::Debug>(result: Result<T, FetchError>) -> &'static str {
    let error = result.unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
    error.code()
}

#[test]
fn a_document_comes_over_tls_from_a_server_that_is_trusted() {
    let ca = Authority::new();
    let server = Server::start(
        Some(ca.tls("localhost", 2095)),
        vec![answer("200 OK", "", "hello")],
    );
    let url = format!("https://localhost:{}/a", server.port);
    assert_eq!(client(&[&ca]).get_text(&url, BOUNDS).unwrap(), "hello");
    assert_eq!(server.asked(), ["GET /a HTTP/1.1"]);
}

#[test]
fn a_server_that_cannot_be_verified_is_asked_nothing_and_not_tried_again() {
    let (ca, other) = (Authority::new(), Authority::new());
    for (trusted, name, end, wanted) in [
        (&other, "localhost", 2095, "LF-N10"),
        (&ca, "localhost", 2021, "LF-N11"),
        (&ca, "other.example", 2095, "LF-N13"),
    ] {
        let good = answer("200 OK", "", "hello");
        let server = Server::start(Some(ca.tls(name, end)), vec![good.clone(), good]);
        let url = format!("https://localhost:{}/a?token=hunter2", server.port);
        assert_eq!(code(client(&[trusted]).get_text(&url, BOUNDS)), wanted);
        assert_eq!(server.asked(), [""; 0], "{wanted}");
    }
}

#[test]
fn a_redirect_is_followed_but_never_from_https_to_http() {
    let ca = Authority::new();
    let (target, url) = plain(vec![answer("200 OK", "", "open")]);
    let location = format!("Location: {url}\r\n");
    let server = Server::start(
        Some(ca.tls("localhost", 2095)),
        vec![
            answer("302 Found", &location, ""),
            answer("301 Moved", "Location: /b\r\n", ""),
            answer("200 OK", "", "hello"),
        ],
    );
    let start = format!("https://localhost:{}/a", server.port);
    assert_eq!(code(client(&[&ca]).get_text(&start, BOUNDS)), "LF-N22");
    assert_eq!(target.asked(), [""; 0]);
    assert_eq!(client(&[&ca]).get_text(&start, BOUNDS).unwrap(), "hello");
    assert_eq!(server.asked().last().unwrap(), "GET /b HTTP/1.1");
}

#[test]
fn redirects_that_never_end_or_lead_nowhere_are_refused() {
    let (server, url) = plain(vec![answer("302 Found", "Location: /a\r\n", ""); 9]);
    assert_eq!(code(client(&[]).get_text(&url, BOUNDS)), "LF-N22");
    assert_eq!(server.asked().len(), 6);
    for headers in ["", "Location: file:///etc/shadow\r\n"] {
        let (server, url) = plain(vec![answer("302 Found", headers, "")]);
        assert_eq!(code(client(&[]).get_text(&url, BOUNDS)), "LF-N22");
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn a_server_in_trouble_is_tried_again_and_one_that_refuses_is_not() {
    let busy = || answer("500 Oops", "", "");
    let good = || answer("200 OK", "", "hello");
    let (server, url) = plain(vec![busy(), busy(), good()]);
    assert_eq!(client(&[]).get_text(&url, BOUNDS).unwrap(), "hello");
    assert_eq!(server.asked().len(), 3);

    let (server, url) = plain(vec![busy(), busy(), busy(), good()]);
    assert_eq!(code(client(&[]).get_text(&url, BOUNDS)), "LF-N21");
    assert_eq!(server.asked().len(), 3);

    for (status, wanted) in [
        ("404 No", "LF-N20"),
        ("403 No", "LF-N20"),
        ("407 No", "LF-N06"),
    ] {
        let (server, url) = plain(vec![answer(status, "", ""), good()]);
        assert_eq!(code(client(&[]).get_text(&url, BOUNDS)), wanted);
        assert_eq!(server.asked().len(), 1, "{status}");
    }
}

#[test]
fn a_pause_that_the_server_asks_for_is_kept_unless_it_is_longer_than_the_time() {
    let busy = |seconds: u32| {
        let header = format!("Retry-After: {seconds}\r\n");
        answer("429 Slow", &header, "")
    };
    let (_server, url) = plain(vec![busy(1), answer("200 OK", "", "hello")]);
    let start = Instant::now();
    assert_eq!(client(&[]).get_text(&url, BOUNDS).unwrap(), "hello");
    assert!(start.elapsed() >= Duration::from_secs(1));

    let (server, url) = plain(vec![busy(60), answer("200 OK", "", "hello")]);
    assert_eq!(code(client(&[]).get_text(&url, BOUNDS)), "LF-N21");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_document_that_is_too_large_is_not_taken_whether_or_not_the_server_says_its_size() {
    let body = "x".repeat(1001);
    let (_server, url) = plain(vec![answer("200 OK", "", &body)]);
    assert_eq!(code(client(&[]).get_bytes(&url, BOUNDS)), "LF-N23");
    let (_server, url) = plain(vec![raw(format!("HTTP/1.1 200 OK\r\n\r\n{body}"))]);
    assert_eq!(code(client(&[]).get_bytes(&url, BOUNDS)), "LF-N23");
    let (_server, url) = plain(vec![answer("200 OK", "", &body[..1000])]);
    assert_eq!(client(&[]).get_bytes(&url, BOUNDS).unwrap().len(), 1000);
}

#[test]
fn a_truncated_document_is_fetched_anew_into_a_sink_that_can_forget() {
    let cut = || raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel");
    let good = || answer("200 OK", "", "hello, you");
    let (_server, url) = plain(vec![cut(), good()]);
    assert_eq!(client(&[]).get_text(&url, BOUNDS).unwrap(), "hello, you");

    let (_server, url) = plain(vec![cut(), good()]);
    let mut file = tempfile::tempfile().unwrap();
    client(&[])
        .get(&url, BOUNDS, &mut file, &mut |_| ())
        .unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello, you");

    let (server, url) = plain(vec![cut(), good()]);
    let mut once = Once(Vec::new());
    let result = client(&[]).get(&url, BOUNDS, &mut once, &mut |_| ());
    assert_eq!(code(result), "LF-N05");
    assert_eq!((once.0.as_slice(), server.asked().len()), (&b"hel"[..], 1));
}

#[test]
fn a_server_that_drips_or_falls_silent_ends_with_the_time() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".to_vec();
    let parts = std::iter::once(head).chain(std::iter::repeat_n(b"x".to_vec(), 30));
    let drips = Answer {
        parts: parts.collect(),
        pause: Duration::from_millis(100),
    };
    let silent = Answer {
        parts: vec![Vec::new(), Vec::new()],
        pause: Duration::from_secs(30),
    };
    let bounds = Bounds {
        time: Duration::from_millis(500),
        ..BOUNDS
    };
    for slow in [drips, silent] {
        let (_server, url) = plain(vec![slow]);
        let start = Instant::now();
        assert_eq!(code(client(&[]).get_bytes(&url, bounds)), "LF-N04");
        assert!(start.elapsed() < Duration::from_secs(3));
    }
}

#[test]
fn nobody_there_is_said_so() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let url = format!("http://u:hunter2@127.0.0.1:{port}/a");
    let error = client(&[]).get_text(&url, BOUNDS).unwrap_err();
    assert_eq!(error.code(), "LF-N03");
    assert_eq!(error.url, format!("http://127.0.0.1:{port}/a"));
}

#[test]
fn progress_is_told_and_what_is_no_text_is_refused_as_text() {
    let (_server, url) = plain(vec![answer("200 OK", "", "hello")]);
    let mut seen = Vec::new();
    let mut note = |progress: Progress| seen.push(progress);
    let received = client(&[])
        .get(&url, BOUNDS, &mut Vec::new(), &mut note)
        .unwrap();
    assert_eq!(received.bytes, 5);
    assert!(received.url.ends_with("/a"), "{received:?}");
    let last = seen.last().unwrap();
    assert_eq!((last.received, last.total), (5, Some(5)));

    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff";
    let (_server, url) = plain(vec![raw(&bytes[..])]);
    assert_eq!(code(client(&[]).get_text(&url, BOUNDS)), "LF-N24");
}

#[test]
fn a_proxy_is_used_but_for_the_hosts_that_need_none() {
    let good = || answer("200 OK", "", "by proxy");
    let proxy = Server::start(None, vec![good()]);
    let proxies = |no_proxy: &str| Proxies {
        http: Some(Secret::new(format!("http://127.0.0.1:{}", proxy.port))),
        https: None,
        no_proxy: Some(no_proxy.to_owned()),
    };
    let through = client_with(&[], proxies("other.example"));
    let text = through.get_text("http://host.invalid/a", BOUNDS).unwrap();
    assert_eq!(text, "by proxy");
    assert_eq!(proxy.asked(), ["GET http://host.invalid/a HTTP/1.1"]);

    let (direct, url) = plain(vec![answer("200 OK", "", "direct")]);
    let past = client_with(&[], proxies("127.0.0.1"));
    assert_eq!(past.get_text(&url, BOUNDS).unwrap(), "direct");
    assert_eq!(direct.asked().len(), 1);
}
