//! Why no answer came: the errors of the HTTP library, sorted by what an operator can do about them.

use std::{
    error::Error,
    io,
    time::{Duration, SystemTime},
};

use reqwest::header;

use crate::tls::{self, TlsFault};

/// Longest pause that a server can ask for with `Retry-After`; it caps a mistake of the server, and of an attacker.
pub const MAX_RETRY_AFTER: Duration = Duration::from_mins(10);

/// Why no answer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// This machine has no address, or no route to the server.
    NoNetwork,
    /// The name of the server has no address.
    Dns,
    /// The server refuses the connection.
    Refused,
    /// The server does not answer in time.
    Timeout,
    /// The connection broke, or what came over it is no HTTP.
    Broken,
    /// The proxy does not let the connection through.
    Proxy,
    /// The identity of the server cannot be verified.
    Tls(TlsFault),
}

impl Cause {
    /// Sorts an error of the HTTP library, or one of reading an answer. `floor` is a time that has certainly passed.
    pub fn of(error: &(dyn Error + 'static), floor: SystemTime) -> Self {
        if let Some(tls) = tls::find(error) {
            return Self::Tls(tls::fault(tls, SystemTime::now(), floor));
        }
        let chain = Chain(error);
        if chain.says("dns error") {
            return Self::Dns;
        }
        if chain.says("tunnel error") || chain.says("proxy authorization required") {
            return Self::Proxy;
        }
        match chain.io_kind() {
            Some(
                io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::AddrNotAvailable,
            ) => Self::NoNetwork,
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            Some(io::ErrorKind::TimedOut) => Self::Timeout,
            _ if chain.timed_out() => Self::Timeout,
            _ => Self::Broken,
        }
    }
}

/// An error with all that caused it.
struct Chain<'a>(&'a (dyn Error + 'static));

impl<'a> Chain<'a> {
    fn each(&self) -> impl Iterator<Item = &'a (dyn Error + 'static)> + use<'a> {
        std::iter::successors(Some(self.0), |&error| cause(error))
    }

    /// The HTTP library has no public type for these cases, only their words.
    fn says(&self, words: &str) -> bool {
        self.each().any(|error| error.to_string().contains(words))
    }

    /// The kind of the innermost error of the operating system.
    fn io_kind(&self) -> Option<io::ErrorKind> {
        let kinds = self
            .each()
            .filter_map(|error| error.downcast_ref::<io::Error>());
        kinds
            .map(io::Error::kind)
            .filter(|kind| *kind != io::ErrorKind::Other)
            .last()
    }

    fn timed_out(&self) -> bool {
        self.each().any(|e| {
            e.downcast_ref::<reqwest::Error>()
                .is_some_and(reqwest::Error::is_timeout)
        })
    }
}

/// An `io::Error` hides what it wraps from `source`, so it is opened by hand.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// `Retry-After` in seconds or as a date. A date is measured against the server's own `Date`, because the clock here
/// may be wrong.
pub fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let now = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    let then = httpdate::parse_http_date(text).ok()?;
    let wanted = then.duration_since(now).unwrap_or_default();
    Some(wanted.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped() {
        let date = "Fri, 20 Nov 2026 09:00:00 GMT";
        for (value, wanted) in [
            ("7", Some(7)),
            ("0", Some(0)),
            ("86400", Some(600)),
            ("Fri, 20 Nov 2026 09:00:30 GMT", Some(30)),
            ("Fri, 20 Nov 2026 08:00:00 GMT", Some(0)),
            ("Sat, 21 Nov 2026 08:00:00 GMT", Some(600)),
            ("-1", None),
            ("soon", None),
        ] {
            let mut headers = header::HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            headers.insert(header::DATE, date.parse().unwrap());
            assert_eq!(
                retry_after(&headers),
                wanted.map(Duration::from_secs),
                "{value}"
            );
        }
        assert_eq!(retry_after(&header::HeaderMap::new()), None);
    }
}
