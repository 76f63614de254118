//! What the client must know, and what of it can be wrong.

use std::{net::Ipv6Addr, path::PathBuf, time::SystemTime};

use fetch::{SYSTEM_BUNDLE, Secret, TrustError, build_time};
use reqwest::{NoProxy, Proxy, Url};

/// What the client must know; the binary fills it from user-data.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `stylus.site.paletteEndpoint`: host name or address, with `:port` if it is not 443.
    pub endpoint: String,
    /// `stylus.site.caCerts`: each entry PEM, or base64 of PEM.
    pub ca_certs: Vec<String>,
    /// `stylus.site.edgeHostToken`.
    pub token: Option<Secret>,
    /// `stylus.site.disableAutoRegister`: keep the token at home and wait until the host is added.
    pub disable_auto_register: bool,
    /// `stylus.site.projectUid`.
    pub project_uid: Option<String>,
    /// `stylus.site.projectName`.
    pub project_name: Option<String>,
    /// `stylus.site.network.httpsProxy`; a secret because it may hold a password.
    pub proxy: Option<Secret>,
    /// `stylus.site.network.noProxy`, comma-separated.
    pub no_proxy: Option<String>,
    /// The bundle of public authorities, [`SYSTEM_BUNDLE`] outside tests; may be missing.
    pub ca_bundle: PathBuf,
    /// A time that has certainly passed, [`build_time`] unless the image knows a later one.
    pub clock_floor: SystemTime,
}

impl Settings {
    /// Settings for an endpoint, everything else at its default.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            ca_certs: Vec::new(),
            token: None,
            disable_auto_register: false,
            project_uid: None,
            project_name: None,
            proxy: None,
            no_proxy: None,
            ca_bundle: PathBuf::from(SYSTEM_BUNDLE),
            clock_floor: build_time(),
        }
    }
}

/// Why no client can be made of the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The endpoint is not `host` or `host:port`.
    #[error("stylus.site.paletteEndpoint is not a host name or host:port: {endpoint:?}")]
    Endpoint {
        /// The endpoint as given.
        endpoint: String,
    },
    /// An entry of the CA list is not a certificate.
    #[error("stylus.site.caCerts, entry {number}: {reason}")]
    CaCert {
        /// Its number, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The proxy's address is not a URL.
    #[error("stylus.site.network.httpsProxy is not an http or https address")]
    Proxy,
    /// The HTTP library does not start.
    #[error("the HTTPS client cannot start: {reason}")]
    Client {
        /// Its own words.
        reason: String,
    },
}

impl From<TrustError> for SettingsError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Certificate { number, reason } => Self::CaCert { number, reason },
            TrustError::Library { reason } => Self::Client { reason },
        }
    }
}

impl SettingsError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "LF-P50",
            Self::CaCert { .. } => "LF-P51",
            Self::Proxy | Self::Client { .. } => "LF-P52",
        }
    }

    /// What an operator does about it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "Write the host name alone, for example api.spectrocloud.com.",
            Self::CaCert { .. } => {
                "Give each certificate as a PEM block, from -----BEGIN CERTIFICATE----- on, five dashes."
            }
            Self::Proxy => "Write the proxy as http://host:port.",
            Self::Client { .. } => "Restart the machine; if it stays, report it with its log.",
        }
    }
}

/// The base URL of an endpoint. A leading `https://` and trailing slashes are tolerated, nothing else is.
pub(crate) fn parse_endpoint(endpoint: &str) -> Result<Url, SettingsError> {
    let refused = || SettingsError::Endpoint {
        endpoint: endpoint.to_owned(),
    };
    let host = endpoint.trim();
    let host = host
        .strip_prefix("https://")
        .unwrap_or(host)
        .trim_end_matches('/');
    if host.is_empty()
        || host.contains(['/', '?', '#', '@', '\\'])
        || host.contains(char::is_whitespace)
    {
        return Err(refused());
    }
    let bare_v6 = host.parse::<Ipv6Addr>().is_ok();
    let url = if bare_v6 {
        format!("https://[{host}]")
    } else {
        format!("https://{host}")
    };
    match Url::parse(&url) {
        Ok(url) if url.has_host() && url.port() != Some(0) => Ok(url),
        Ok(_) | Err(_) => Err(refused()),
    }
}

/// The proxy for calls to the endpoint.
pub(crate) fn parse_proxy(proxy: &Secret, no_proxy: Option<&str>) -> Result<Proxy, SettingsError> {
    let url = proxy.reveal().trim();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(SettingsError::Proxy);
    }
    // The library's error would repeat the address, password and all.
    let proxy = Proxy::https(url).or(Err(SettingsError::Proxy))?;
    Ok(proxy.no_proxy(no_proxy.and_then(NoProxy::from_string)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_become_base_addresses() {
        for (endpoint, wanted) in [
            ("api.spectrocloud.com", Ok("https://api.spectrocloud.com/")),
            (
                " palette.example:8443 ",
                Ok("https://palette.example:8443/"),
            ),
            ("https://palette.example/", Ok("https://palette.example/")),
            ("10.0.2.2", Ok("https://10.0.2.2/")),
            ("[fd00::2]:8443", Ok("https://[fd00::2]:8443/")),
            ("fd00::2", Ok("https://[fd00::2]/")),
            ("", Err(())),
            ("http://palette.example", Err(())),
            ("palette.example/v1", Err(())),
            ("user@palette.example", Err(())),
            ("palette.example:0", Err(())),
            ("palette.example:99999", Err(())),
            ("pal ette", Err(())),
        ] {
            let base = parse_endpoint(endpoint);
            match wanted {
                Ok(wanted) => assert_eq!(base.unwrap().as_str(), wanted),
                Err(()) => {
                    assert_eq!(
                        base,
                        Err(SettingsError::Endpoint {
                            endpoint: endpoint.to_owned()
                        })
                    );
                }
            }
        }
    }
}
