//! TLS: why a handshake failed.

use std::{
    error::Error,
    io,
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError,
    pki_types::{ServerName, UnixTime},
};

/// Further into the future than this after the build, a clock is taken for wrong when a certificate seems expired.
const CREDIBLE_AGE: Duration = Duration::from_hours(20 * 365 * 24);

/// Why the identity of a server cannot be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFault {
    /// No trusted authority issued its certificate.
    UnknownIssuer,
    /// Its certificate has expired.
    Expired {
        /// The end of its validity.
        not_after: Option<SystemTime>,
        /// The clock of this machine.
        now: SystemTime,
    },
    /// Its certificate is not valid yet.
    NotYetValid {
        /// The start of its validity.
        not_before: Option<SystemTime>,
        /// The clock of this machine.
        now: SystemTime,
    },
    /// The clock of this machine is certainly wrong: earlier than the build of this program, or decades later.
    Clock {
        /// The clock of this machine.
        now: SystemTime,
    },
    /// Its certificate is for other names.
    WrongName {
        /// The names it is for, at most three.
        presented: Vec<String>,
    },
    /// Anything else, in the words of the TLS library: old protocol, weak or broken signature, revoked.
    Other(String),
}

impl TlsFault {
    /// What is the matter, one sentence; `endpoint` is host and port of the server.
    pub fn reason(&self, endpoint: &str) -> String {
        let on = |time: &Option<SystemTime>, word: &str| {
            time.map(|time| format!(" {word} {}", date(time)))
                .unwrap_or_default()
        };
        match self {
            Self::UnknownIssuer => {
                format!(
                    "The certificate of {endpoint} is from an authority that this machine does not trust."
                )
            }
            Self::Expired { not_after, now } => format!(
                "The certificate of {endpoint} expired{}; the clock here says {}.",
                on(not_after, "on"),
                date(*now)
            ),
            Self::NotYetValid { not_before, now } => format!(
                "The certificate of {endpoint} is not valid yet{}; the clock here says {}.",
                on(not_before, "before"),
                date(*now)
            ),
            Self::Clock { now } => format!(
                "The clock of this machine is wrong: it says {}.",
                date(*now)
            ),
            Self::WrongName { presented } => {
                let names = if presented.is_empty() {
                    "nobody".to_owned()
                } else {
                    presented.join(", ")
                };
                format!("The certificate of {endpoint} is for {names}.")
            }
            Self::Other(words) => format!("No secure connection to {endpoint}: {words}."),
        }
    }
}

/// The TLS error inside an error of the HTTP library, if that is what it was. An `io::Error` hides what it wraps
/// from `source`, so it is opened by hand.
pub(crate) fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    let wrapped = wrapped.and_then(|inner| find(inner));
    wrapped.or_else(|| error.source().and_then(find))
}

/// Sorts a TLS error. `floor` is a time that has certainly passed: the build of this program.
pub(crate) fn fault(error: &rustls::Error, now: SystemTime, floor: SystemTime) -> TlsFault {
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return TlsFault::Other(sentence(error));
    };
    match certificate {
        // A signature that fails is what an authority gives that was made anew under its old name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFault::UnknownIssuer,
        CertificateError::NotValidYet => too_early(None, now, floor),
        CertificateError::NotValidYetContext { not_before, .. } => {
            too_early(Some(*not_before), now, floor)
        }
        CertificateError::Expired => too_late(None, now, floor),
        CertificateError::ExpiredContext { not_after, .. } => {
            too_late(Some(*not_after), now, floor)
        }
        CertificateError::NotValidForName => TlsFault::WrongName {
            presented: Vec::new(),
        },
        CertificateError::NotValidForNameContext { presented, .. } => TlsFault::WrongName {
            presented: presented
                .iter()
                .take(3)
                .map(|name| plain_name(name))
                .collect(),
        },
        _ => TlsFault::Other(sentence(error)),
    }
}

fn too_early(not_before: Option<UnixTime>, now: SystemTime, floor: SystemTime) -> TlsFault {
    if now < floor {
        return TlsFault::Clock { now };
    }
    TlsFault::NotYetValid {
        not_before: not_before.map(system_time),
        now,
    }
}

fn too_late(not_after: Option<UnixTime>, now: SystemTime, floor: SystemTime) -> TlsFault {
    let not_after = not_after.map(system_time);
    // A certificate that ended before this program was built has expired whatever the clock says.
    let expired_for_sure = not_after.is_some_and(|end| end < floor);
    if !expired_for_sure && now > floor + CREDIBLE_AGE {
        return TlsFault::Clock { now };
    }
    TlsFault::Expired { not_after, now }
}

fn system_time(time: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs())
}

/// The library prints a name as `DnsName("a.example")` or `IpAddress(10.0.0.1)`; an operator wants the name alone.
fn plain_name(presented: &str) -> String {
    let inner = presented
        .split_once('(')
        .map_or(presented, |(_, rest)| rest.trim_end_matches(')'));
    let name: String = inner
        .trim_matches('"')
        .chars()
        .filter(|c| !c.is_control())
        .take(80)
        .collect();
    match ServerName::try_from(name.as_str()) {
        Ok(_) => name,
        Err(_) if name.starts_with("*.") => name,
        Err(_) => presented
            .chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect(),
    }
}

fn sentence(error: &rustls::Error) -> String {
    error
        .to_string()
        .chars()
        .filter(|c| !c.is_control())
        .take(120)
        .collect()
}

/// `20 Nov 2026 09:46 UTC`.
fn date(time: SystemTime) -> String {
    // An HTTP date counts from 1970 on and panics before; a clock before it is shown as 1970.
    let text = httpdate::fmt_http_date(time.max(SystemTime::UNIX_EPOCH));
    // `Fri, 20 Nov 2026 09:46:52 GMT`: without the day of the week and the seconds.
    let shown = text.get(5..22).unwrap_or(&text);
    format!("{shown} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn floor() -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * 20_000
    }

    fn unix(time: SystemTime) -> UnixTime {
        UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap())
    }

    fn not_yet(now: SystemTime, not_before: SystemTime) -> TlsFault {
        let error = CertificateError::NotValidYetContext {
            time: unix(now),
            not_before: unix(not_before),
        };
        fault(&rustls::Error::InvalidCertificate(error), now, floor())
    }

    fn expired(now: SystemTime, not_after: SystemTime) -> TlsFault {
        let error = CertificateError::ExpiredContext {
            time: unix(now),
            not_after: unix(not_after),
        };
        fault(&rustls::Error::InvalidCertificate(error), now, floor())
    }

    #[test]
    fn a_clock_before_the_build_is_blamed_for_a_certificate_not_yet_valid() {
        let (early, late) = (floor() - DAY, floor() + DAY);
        assert_eq!(not_yet(early, late), TlsFault::Clock { now: early });
        let not_before = late + DAY;
        assert_eq!(
            not_yet(late, not_before),
            TlsFault::NotYetValid {
                not_before: Some(not_before),
                now: late
            }
        );
    }

    #[test]
    fn a_clock_decades_after_the_build_is_blamed_for_an_expired_certificate() {
        let far = floor() + CREDIBLE_AGE + DAY;
        assert_eq!(expired(far, floor() + DAY), TlsFault::Clock { now: far });
        // Expired before this program was built: the clock has no part in it.
        let end = floor() - DAY;
        assert_eq!(
            expired(far, end),
            TlsFault::Expired {
                not_after: Some(end),
                now: far
            }
        );
        let now = floor() + DAY * 2;
        let end = floor() + DAY;
        assert_eq!(
            expired(now, end),
            TlsFault::Expired {
                not_after: Some(end),
                now
            }
        );
    }

    #[test]
    fn other_faults_are_sorted() {
        let now = floor();
        let sorted = |error| fault(&error, now, now);
        let invalid = rustls::Error::InvalidCertificate;
        assert_eq!(
            sorted(invalid(CertificateError::UnknownIssuer)),
            TlsFault::UnknownIssuer
        );
        let wrong = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("x.example").unwrap(),
            presented: [
                "DnsName(\"a.example\")",
                "DnsName(\"*.b.example\")",
                "IpAddress(10.0.0.1)",
                "d",
            ]
            .map(str::to_owned)
            .to_vec(),
        };
        let presented = ["a.example", "*.b.example", "10.0.0.1"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(sorted(invalid(wrong)), TlsFault::WrongName { presented });
        let text = "peer sent no certificates";
        assert_eq!(
            sorted(rustls::Error::NoCertificatesPresented),
            TlsFault::Other(text.to_owned())
        );
    }

    #[test]
    fn an_error_is_found_inside_io_errors() {
        let tls = || rustls::Error::NoCertificatesPresented;
        let nested = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls()));
        assert_eq!(find(&nested), Some(&tls()));
        assert_eq!(find(&io::Error::other("no")), None);
    }

    #[test]
    fn a_clock_before_1970_does_not_panic() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(9);
        assert_eq!(date(before), "01 Jan 1970 00:00 UTC");
    }
}
