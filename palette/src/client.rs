//! The HTTPS client: one call, one answer, or an [`ApiError`] that says what is the matter.
//!
//! Limits on what a server can do to us: TLS 1.2 or newer with verification that cannot be turned off; no redirects;
//! no content decoding; 10 s to connect, 30 s for a whole call; 1 MiB of body. Proxies come from the settings only,
//! never from the environment.

use std::{error::Error, fmt, io::Read, time::Duration};

use fetch::{Cause, Secret, Trust};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Url,
    blocking::{RequestBuilder, Response},
    header,
};
use serde_json::Value;

use crate::{
    body::{self, HealthReport, Refusal},
    error::{ApiError, Meaning},
    inventory::Inventory,
    settings::{Settings, SettingsError, parse_endpoint, parse_proxy},
};

/// Largest body of an answer that is read, in bytes.
pub const MAX_BODY: u64 = 1024 * 1024;

const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest `message` of a server that is shown, in characters.
const MAX_MESSAGE: usize = 200;

/// How this host feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// All is well.
    Healthy,
    /// Something is wrong; the message of the report says what.
    Unhealthy,
}

/// The state of the record in Palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// Created by an operator, not yet paired with a host.
    Unpaired,
    /// Paired.
    Ready,
    /// In a cluster.
    InUse,
}

/// A successful registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// UID of the record, for later calls.
    pub uid: String,
    /// Its state.
    pub state: HostState,
    /// The credential that Palette made for this host, if it did. How it is used is not published; it is kept for
    /// whoever learns it.
    pub service_token: Option<Secret>,
}

/// A client for one endpoint.
pub struct Client {
    http: reqwest::blocking::Client,
    base: Url,
    settings: Settings,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client; connects to nothing yet.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let base = parse_endpoint(&settings.endpoint)?;
        let trust = Trust {
            certificates: settings.ca_certs.clone(),
            bundle: settings.ca_bundle.clone(),
        };
        let mut builder = trust.http()?.https_only(true).timeout(CALL_TIMEOUT);
        if let Some(proxy) = &settings.proxy {
            builder = builder.proxy(parse_proxy(proxy, settings.no_proxy.as_deref())?);
        }
        let http = builder.build().map_err(|e| SettingsError::Client {
            reason: e.to_string(),
        })?;
        Ok(Self {
            http,
            base,
            settings,
        })
    }

    /// The endpoint as `host:port`, for texts.
    pub fn endpoint(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        format!(
            "{host}:{}",
            self.base.port_or_known_default().unwrap_or(443)
        )
    }

    /// Registers this host, or pairs it with the record that an operator has made. Safe to repeat.
    pub fn register(&self, inventory: &Inventory) -> Result<Registered, ApiError> {
        let body = body::register(&self.settings, inventory);
        let request = self
            .request(Method::POST, &["v1", "edgehosts", "register"])
            .json(&body);
        let answer = self.send(request)?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if !answer.is_object() {
            return Err(ApiError::NotUnderstood);
        }
        Ok(body::registered(&answer, &inventory.host_uid))
    }

    /// Reports the health of the host with this record UID; `version` is that of the reporting program.
    pub fn report_health(
        &self,
        uid: &str,
        health: Health,
        message: &str,
        version: &str,
    ) -> Result<(), ApiError> {
        let report = HealthReport::new(health, message, version);
        let request = self
            .request(Method::PATCH, &["v1", "edgehosts", uid, "health"])
            .json(&report);
        self.send(request).map(drop)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        let path: Vec<String> = path
            .iter()
            .map(|s| utf8_percent_encode(s, SEGMENT).to_string())
            .collect();
        url.set_path(&path.join("/"));
        // The timeout of the request covers its body too; that of the client covers each read alone.
        let request = self.http.request(method, url).timeout(CALL_TIMEOUT);
        match &self.settings.project_uid {
            Some(uid) => request.header("ProjectUid", uid),
            None => request,
        }
    }

    fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, ApiError> {
        let response = request.send().map_err(|e| self.transport_error(&e))?;
        let status = response.status();
        if status.is_redirection() {
            let target = response
                .headers()
                .get(header::LOCATION)
                .and_then(|v| origin(v.to_str().ok()?));
            return Err(ApiError::Redirect { target });
        }
        let retry_after = fetch::retry_after(response.headers());
        let body = self.read_body(response)?;
        if status.is_success() {
            return Ok(body);
        }
        // A body that is not the API's leaves the status to speak for itself.
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        Err(ApiError::Status {
            status: status.as_u16(),
            meaning: Meaning::of(status.as_u16(), &refusal.code),
            message: self.clean(&refusal.message),
            retry_after,
        })
    }

    fn read_body(&self, response: Response) -> Result<Vec<u8>, ApiError> {
        if response
            .content_length()
            .is_some_and(|length| length > MAX_BODY)
        {
            return Err(ApiError::TooLarge);
        }
        let mut body = Vec::new();
        response
            .take(MAX_BODY + 1)
            .read_to_end(&mut body)
            .map_err(|e| self.transport_error(&e))?;
        if body.len() as u64 > MAX_BODY {
            return Err(ApiError::TooLarge);
        }
        Ok(body)
    }

    /// A server's words, fit for a screen: one line, short, and without our token.
    fn clean(&self, message: &str) -> String {
        let secrets = [&self.settings.token, &self.settings.proxy];
        let redacted = secrets
            .into_iter()
            .flatten()
            .fold(message.to_owned(), |text, secret| secret.redact(&text));
        let plain: String = redacted
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        plain.trim().chars().take(MAX_MESSAGE).collect()
    }

    fn transport_error(&self, error: &(dyn Error + 'static)) -> ApiError {
        let endpoint = self.endpoint();
        match Cause::of(error, self.settings.clock_floor) {
            Cause::NoNetwork => ApiError::NoNetwork,
            Cause::Dns => ApiError::Dns {
                host: self.base.host_str().unwrap_or_default().to_owned(),
            },
            Cause::Refused => ApiError::Refused { endpoint },
            Cause::Timeout => ApiError::Timeout { endpoint },
            Cause::Broken => ApiError::Broken { endpoint },
            Cause::Proxy => ApiError::Proxy,
            Cause::Tls(fault) => ApiError::Tls { endpoint, fault },
        }
    }
}

/// What need not be encoded in a segment of a path.
const SEGMENT: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Scheme and host of a URL: enough to recognise a portal, and nothing of its query.
fn origin(location: &str) -> Option<String> {
    let url = Url::parse(location).ok()?;
    Some(format!("{}://{}", url.scheme(), url.host_str()?))
}

#[cfg(test)]
mod tests;
