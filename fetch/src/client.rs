//! Fetches a document: attempts, redirects, bounds.

use std::fmt;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use reqwest::blocking::Response;
use reqwest::{StatusCode, Url, header};

use crate::cause::{Cause, retry_after};
use crate::error::{Fault, FetchError, SettingsError};
use crate::proxies::Proxies;
use crate::sink::Sink;
use crate::trust::{Trust, build_time};

/// Most redirects that are followed.
const REDIRECTS: usize = 5;

/// Longest pause between two attempts that no server asked for.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How documents are fetched.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whom to trust.
    pub trust: Trust,
    /// The proxies of the site.
    pub proxies: Proxies,
    /// A time that has certainly passed, to tell a wrong clock from a bad certificate.
    pub clock_floor: SystemTime,
    /// How often a document is asked for; at least once.
    pub attempts: u32,
    /// The pause after the first attempt that failed; it doubles after each further one, up to 30 s.
    pub pause: Duration,
    /// The longest silence of a server.
    pub silence: Duration,
}

impl Default for Settings {
    /// The system's authorities, no proxy, five attempts with pauses of 1, 2, 4 and 8 s, 30 s of silence.
    fn default() -> Self {
        Self {
            trust: Trust::default(),
            proxies: Proxies::default(),
            clock_floor: build_time(),
            attempts: 5,
            pause: Duration::from_secs(1),
            silence: Duration::from_secs(30),
        }
    }
}

/// What one document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes that are taken.
    pub bytes: u64,
    /// Longest time for everything: redirects, attempts and pauses included.
    pub time: Duration,
}

/// How far a document has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes so far, of this attempt.
    pub received: u64,
    /// All bytes, if the server says how many.
    pub total: Option<u64>,
}

/// A document that came whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its size.
    pub bytes: u64,
    /// Where it came from in the end, without account, query and fragment.
    pub url: String,
}

/// Fetches documents.
pub struct Client {
    http: reqwest::blocking::Client,
    settings: Settings,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// If a certificate or the address of a proxy is none.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        // The timeout of the client is that of the answer and of each read of it; `Attempt` looks after the whole.
        let mut builder = settings.trust.http()?.timeout(settings.silence);
        for proxy in settings.proxies.parse()? {
            builder = builder.proxy(proxy);
        }
        let http = builder
            .build()
            .map_err(|error| crate::TrustError::Library {
                reason: error.to_string(),
            })?;
        Ok(Self { http, settings })
    }

    /// Fetches a document into a sink. What may pass by itself (no network, a broken connection, 408, 429, 5xx) is tried
    /// again; a server that cannot be verified and every other status is not.
    ///
    /// A sink may hold a part of the document when this fails.
    ///
    /// # Errors
    ///
    /// That of the last attempt.
    pub fn get(
        &self,
        url: &str,
        bounds: Bounds,
        sink: &mut dyn Sink,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Received, FetchError> {
        let start = parse(url)?;
        let mut attempt = Attempt {
            client: self,
            url: start.clone(),
            deadline: Instant::now() + bounds.time,
            limit: bounds.bytes,
            written: 0,
        };
        let (mut number, mut pause) = (1, self.settings.pause);
        loop {
            attempt.url.clone_from(&start);
            let error = match attempt.carry_out(sink, progress) {
                Ok(received) => return Ok(received),
                Err(error) => error,
            };
            let wait = error.retry_after().unwrap_or(pause);
            let left = attempt.left();
            if number >= self.settings.attempts || !error.may_pass() || wait >= left {
                return Err(error);
            }
            if attempt.written > 0 && !sink.restart().map_err(|error| attempt.sink(&error))? {
                return Err(error);
            }
            thread::sleep(wait);
            pause = (pause * 2).min(MAX_PAUSE);
            number += 1;
        }
    }

    /// Fetches a document into memory.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn get_bytes(&self, url: &str, bounds: Bounds) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        self.get(url, bounds, &mut bytes, &mut |_| ())?;
        Ok(bytes)
    }

    /// Fetches a document of text into memory.
    ///
    /// # Errors
    ///
    /// As [`Client::get`], and if it is not UTF-8.
    pub fn get_text(&self, url: &str, bounds: Bounds) -> Result<String, FetchError> {
        let bytes = self.get_bytes(url, bounds)?;
        String::from_utf8(bytes).or_else(|_| {
            let fault = Fault::NotText;
            let url = shown(&parse(url)?);
            Err(FetchError { url, fault })
        })
    }
}

/// One way to a document, along its redirects.
struct Attempt<'a> {
    client: &'a Client,
    url: Url,
    deadline: Instant,
    limit: u64,
    written: u64,
}

impl Attempt<'_> {
    fn carry_out(
        &mut self,
        sink: &mut dyn Sink,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Received, FetchError> {
        self.written = 0;
        for _ in 0..=REDIRECTS {
            let response = self.ask()?;
            let status = response.status();
            if is_redirect(status) {
                self.follow(&response)?;
            } else if status.is_success() {
                return self.receive(response, sink, progress);
            } else {
                return Err(self.refused(&response));
            }
        }
        let reason = "does so again and again";
        Err(self.error(Fault::Redirect { reason }))
    }

    fn ask(&self) -> Result<Response, FetchError> {
        let silence = self.client.settings.silence;
        let request = self.client.http.get(self.url.clone());
        let request = request.timeout(silence.min(self.left()));
        request.send().map_err(|error| self.transport(&error))
    }

    fn follow(&mut self, response: &Response) -> Result<(), FetchError> {
        let refuse = |reason| Err(self.error(Fault::Redirect { reason }));
        let location = response.headers().get(header::LOCATION);
        let target = location
            .and_then(|value| value.to_str().ok())
            .and_then(|text| self.url.join(text).ok());
        let Some(target) = target.filter(is_web) else {
            return refuse("does not say where to");
        };
        if self.url.scheme() == "https" && target.scheme() != "https" {
            return refuse("leads from https to http");
        }
        self.url = target;
        Ok(())
    }

    fn refused(&self, response: &Response) -> FetchError {
        let status = response.status();
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return self.cause(Cause::Proxy);
        }
        self.error(Fault::Status {
            status: status.as_u16(),
            retry_after: retry_after(response.headers()),
        })
    }

    fn receive(
        &mut self,
        mut response: Response,
        sink: &mut dyn Sink,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Received, FetchError> {
        let too_large = Fault::TooLarge { limit: self.limit };
        let total = response.content_length();
        if total.is_some_and(|total| total > self.limit) {
            return Err(self.error(too_large));
        }
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = response
                .read(&mut buffer)
                .map_err(|error| self.transport(&error))?;
            if count == 0 {
                break;
            }
            if self.left().is_zero() {
                return Err(self.cause(Cause::Timeout));
            }
            let next = self.written.saturating_add(count as u64);
            if next > self.limit {
                return Err(self.error(too_large));
            }
            let part = buffer.get(..count).unwrap_or_default();
            sink.write_all(part).map_err(|error| self.sink(&error))?;
            self.written = next;
            progress(Progress {
                received: next,
                total,
            });
        }
        sink.flush().map_err(|error| self.sink(&error))?;
        Ok(Received {
            bytes: self.written,
            url: shown(&self.url),
        })
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn transport(&self, error: &(dyn std::error::Error + 'static)) -> FetchError {
        self.cause(Cause::of(error, self.client.settings.clock_floor))
    }

    fn cause(&self, cause: Cause) -> FetchError {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or_default();
        self.error(Fault::Transport {
            endpoint: format!("{host}:{port}"),
            cause,
        })
    }

    fn sink(&self, error: &std::io::Error) -> FetchError {
        let reason = error.to_string();
        self.error(Fault::Sink { reason })
    }

    fn error(&self, fault: Fault) -> FetchError {
        let url = shown(&self.url);
        FetchError { url, fault }
    }
}

fn parse(text: &str) -> Result<Url, FetchError> {
    match Url::parse(text.trim()) {
        Ok(url) if is_web(&url) => Ok(url),
        // What is no address may still hold a secret: only its beginning is shown.
        _ => Err(FetchError {
            url: format!("{:?}", beginning(text)),
            fault: Fault::Url,
        }),
    }
}

fn beginning(text: &str) -> String {
    let end = text.find(['@', '?', '#']).unwrap_or(text.len());
    let start = text.get(..end).unwrap_or_default();
    // What stands before an `@` is an account.
    let start = if text.get(end..).is_some_and(|rest| rest.starts_with('@')) {
        ""
    } else {
        start
    };
    start.chars().take(80).collect()
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// 304 is none: nothing was asked for that could be unchanged.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The address without account, query and fragment.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}"));
    format!(
        "{}://{host}{}{}",
        url.scheme(),
        port.unwrap_or_default(),
        url.path()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (url, wanted) in [
            ("https://u:pw@a.example/x?token=1#f", "https://a.example/x"),
            ("http://[fd00::1]:8080/", "http://[fd00::1]:8080/"),
            ("https://a.example", "https://a.example/"),
        ] {
            assert_eq!(shown(&parse(url).unwrap()), wanted);
        }
    }

    #[test]
    fn what_is_no_address_of_the_web_is_refused_without_its_secrets() {
        for (url, wanted) in [
            ("ftp://u:pw@a.example/x", "\"\""),
            ("file:///etc/shadow", "\"file:///etc/shadow\""),
            ("a.example/x?token=pw", "\"a.example/x\""),
            ("", "\"\""),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!((error.url.as_str(), error.code()), (wanted, "LF-N30"));
            assert!(!error.to_string().contains("pw"));
        }
    }
}
