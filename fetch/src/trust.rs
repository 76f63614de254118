//! Whom to trust, and the HTTP client that every call starts from.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{blocking::ClientBuilder, redirect::Policy};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Where Debian, and with it our provider image, keeps the certificates of public authorities.
pub const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The authorities whose certificates are believed. There is no way to believe all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Certificates, each entry PEM or base64 of PEM; an entry may hold several.
    pub certificates: Vec<String>,
    /// The bundle of public authorities, [`SYSTEM_BUNDLE`] outside tests; may be missing.
    pub bundle: PathBuf,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            bundle: PathBuf::from(SYSTEM_BUNDLE),
        }
    }
}

/// Why no client can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// An entry of the certificates is none.
    #[error("CA certificate {number}: {reason}")]
    Certificate {
        /// Its number, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP library does not start.
    #[error("the HTTP client cannot start: {reason}")]
    Library {
        /// Its own words.
        reason: String,
    },
}

impl Trust {
    /// A client that has these authorities, follows no redirect, knows no proxy (the environment is never asked), and
    /// waits ten seconds for a connection.
    ///
    /// # Errors
    ///
    /// If a certificate is none.
    pub fn http(&self) -> Result<ClientBuilder, TrustError> {
        Ok(reqwest::blocking::Client::builder()
            .tls_backend_preconfigured(self.config()?)
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION"))))
    }

    /// Trust in the given authorities and, where it is readable, in the system's bundle; TLS 1.2 and 1.3 only.
    fn config(&self) -> Result<ClientConfig, TrustError> {
        let mut roots = RootCertStore::empty();
        for (index, text) in self.certificates.iter().enumerate() {
            let refused = |reason: String| TrustError::Certificate {
                number: index + 1,
                reason,
            };
            for cert in parse_pem(text).map_err(refused)? {
                roots.add(cert).map_err(|e| refused(e.to_string()))?;
            }
        }
        // Without a bundle the given authorities are all there is; a self-hosted Palette needs no others.
        if let Ok(pem) = fs::read(&self.bundle) {
            let readable = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
            roots.add_parsable_certificates(readable);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|e| TrustError::Library {
                reason: e.to_string(),
            })?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// Certificates of one entry: a PEM text (what every vendor sample has), or base64 of one
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

/// When this program was built: `SOURCE_DATE_EPOCH` of its build if there was one, so that builds stay reproducible,
/// else the beginning of 2026, when its first line was not yet written.
pub fn build_time() -> SystemTime {
    const BEGIN_OF_2026: u64 = 1_767_225_600;
    let built = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    SystemTime::UNIX_EPOCH + Duration::from_secs(built.unwrap_or(BEGIN_OF_2026))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Trust {
        Trust {
            certificates: vec![text.to_owned()],
            bundle: PathBuf::from("/nonexistent"),
        }
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
            let error = with(text).http().unwrap_err();
            assert_eq!(
                error,
                TrustError::Certificate {
                    number: 1,
                    reason: reason.to_owned()
                }
            );
        }
        // The vendor's template has six dashes: that is not PEM, and must not pass for an empty list.
        let six = "------BEGIN CERTIFICATE-----\nAAAA\n------END CERTIFICATE-----\n";
        assert!(with(six).http().is_err());
    }
}
