//! The HTTPS client: one call, one answer, or an [`ApiError`] that says what is the matter.
//!
//! Limits on what a server can do to us: TLS 1.2 or newer with verification that cannot be turned off; no redirects;
//! no content decoding; 10 s to connect, 30 s for a whole call; 1 MiB of body. Proxies come from the settings only,
//! never from the environment.

use std::{
    error::Error,
    fmt, io,
    io::Read,
    time::{Duration, SystemTime},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Url,
    blocking::{RequestBuilder, Response},
    header,
    redirect::Policy,
};
use serde_json::Value;

use crate::{
    body::{self, HealthReport, Refusal},
    error::{ApiError, MAX_RETRY_AFTER, Meaning},
    inventory::Inventory,
    secret::Secret,
    settings::{Settings, SettingsError, parse_endpoint, parse_proxy},
    tls,
};

/// Largest body of an answer that is read, in bytes.
pub const MAX_BODY: u64 = 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
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
        let mut builder = reqwest::blocking::Client::builder()
            .tls_backend_preconfigured(tls::config(&settings.ca_certs, &settings.ca_bundle)?)
            .https_only(true)
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION")));
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
        let retry_after = parse_retry_after(response.headers());
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
        if let Some(tls) = tls::find(error) {
            let fault = tls::fault(tls, SystemTime::now(), self.settings.clock_floor);
            return ApiError::Tls { endpoint, fault };
        }
        let chain = Chain(error);
        if chain.says("dns error") {
            return ApiError::Dns {
                host: self.base.host_str().unwrap_or_default().to_owned(),
            };
        }
        if chain.says("tunnel error") || chain.says("proxy authorization required") {
            return ApiError::Proxy;
        }
        match chain.io_kind() {
            Some(
                io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::AddrNotAvailable,
            ) => ApiError::NoNetwork,
            Some(io::ErrorKind::ConnectionRefused) => ApiError::Refused { endpoint },
            Some(io::ErrorKind::TimedOut) => ApiError::Timeout { endpoint },
            _ if chain.timed_out() => ApiError::Timeout { endpoint },
            _ => ApiError::Broken { endpoint },
        }
    }
}

/// What need not be encoded in a segment of a path.
const SEGMENT: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

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
fn parse_retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let now = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    let then = httpdate::parse_http_date(text).ok()?;
    let wanted = then.duration_since(now).unwrap_or_default();
    Some(wanted.min(MAX_RETRY_AFTER))
}

/// Scheme and host of a URL: enough to recognise a portal, and nothing of its query.
fn origin(location: &str) -> Option<String> {
    let url = Url::parse(location).ok()?;
    Some(format!("{}://{}", url.scheme(), url.host_str()?))
}

#[cfg(test)]
mod tests;
