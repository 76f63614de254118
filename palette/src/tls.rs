//! TLS: whom to trust, and why a handshake failed.

use std::{
    error::Error,
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::{error::TlsFault, settings::SettingsError};

/// Further into the future than this after the build, a clock is taken for wrong when a certificate seems expired.
const CREDIBLE_AGE: Duration = Duration::from_hours(20 * 365 * 24);

/// Trust in the given authorities and, where it is readable, in the system's bundle; TLS 1.2 and 1.3 only.
pub(crate) fn config(ca_certs: &[String], bundle: &Path) -> Result<ClientConfig, SettingsError> {
    let mut roots = RootCertStore::empty();
    for (index, text) in ca_certs.iter().enumerate() {
        let refused = |reason: String| SettingsError::CaCert {
            number: index + 1,
            reason,
        };
        for cert in parse_pem(text).map_err(refused)? {
            roots.add(cert).map_err(|e| refused(e.to_string()))?;
        }
    }
    // Without a bundle the given authorities are all there is; a self-hosted Palette needs no others.
    if let Ok(pem) = fs::read(bundle) {
        let readable = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        roots.add_parsable_certificates(readable);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|e| SettingsError::Client {
            reason: e.to_string(),
        })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Certificates of one entry of `stylus.site.caCerts`: a PEM text (what every vendor sample has), or base64 of one
/// (what the vendor's table says). One entry may hold several certificates.
fn parse_pem(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = if text.contains("-----BEGIN") {
        text.as_bytes().to_vec()
    } else {
        let compact: String = text.split_whitespace().collect();
        BASE64_STANDARD
            .decode(compact)
            .map_err(|e| format!("neither PEM nor base64 of PEM: {e}"))?
    };
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certs {
        Ok(certs) if certs.is_empty() => Err("it holds no certificate".to_owned()),
        Ok(certs) => Ok(certs),
        Err(e) => Err(e.to_string()),
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
    fn what_is_no_certificate_is_refused_with_its_number() {
        for (text, reason) in [
            ("", "it holds no certificate"),
            (
                "%%%",
                "neither PEM nor base64 of PEM: Invalid symbol 37, offset 0.",
            ),
            ("aGVsbG8=", "it holds no certificate"),
        ] {
            let error = config(&[text.to_owned()], Path::new("/nonexistent")).unwrap_err();
            assert_eq!(
                error,
                SettingsError::CaCert {
                    number: 1,
                    reason: reason.to_owned()
                }
            );
        }
        // The vendor's template has six dashes: that is not PEM, and must not pass for an empty list.
        let six = "------BEGIN CERTIFICATE-----\nAAAA\n------END CERTIFICATE-----\n";
        assert!(config(&[six.to_owned()], Path::new("/nonexistent")).is_err());
    }
}
