//! What can go wrong in a call to Palette, sorted by what an operator can do about it.
//!
//! Each error has a stable code, one sentence that says what is the matter, and one that says what to do next. The
//! codes:
//!
//! | code | meaning |
//! | --- | --- |
//! | `LF-P01` | no network: no address or no route |
//! | `LF-P02` | the name of the endpoint does not resolve |
//! | `LF-P03` | connection refused |
//! | `LF-P04` | no answer in time |
//! | `LF-P05` | connection broken |
//! | `LF-P06` | the proxy refuses |
//! | `LF-P10` | TLS: unknown issuer |
//! | `LF-P11` | TLS: certificate expired |
//! | `LF-P12` | TLS: certificate not yet valid |
//! | `LF-P13` | TLS: certificate of another host |
//! | `LF-P14` | TLS: anything else |
//! | `LF-P15` | TLS fails because the clock of this machine is wrong |
//! | `LF-P20` | 400 |
//! | `LF-P21` | 401: token refused |
//! | `LF-P22` | 403: project refused |
//! | `LF-P23` | 404: not added to Palette yet |
//! | `LF-P24` | 404: not the API of Palette |
//! | `LF-P25` | another host has this ID |
//! | `LF-P26` | 429: too many requests |
//! | `LF-P27` | 5xx |
//! | `LF-P28` | any other status |
//! | `LF-P29` | redirect |
//! | `LF-P30` | answer too large |
//! | `LF-P31` | answer not understood |
//! | `LF-P41` to `LF-P45` | edge host ID, see [`HostIdError`](crate::HostIdError) |
//! | `LF-P50` to `LF-P53` | settings, see [`SettingsError`](crate::SettingsError) and [`QrError`](crate::qr::QrError) |

use std::time::Duration;

pub use fetch::{MAX_RETRY_AFTER, TlsFault};

/// A failed call to Palette.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
#[non_exhaustive]
pub enum ApiError {
    /// This machine has no address, or no route to the endpoint.
    NoNetwork,
    /// The endpoint's name has no address.
    Dns {
        /// The name.
        host: String,
    },
    /// The endpoint refuses the connection.
    Refused {
        /// Host and port.
        endpoint: String,
    },
    /// The endpoint does not answer in time.
    Timeout {
        /// Host and port.
        endpoint: String,
    },
    /// The connection broke, or what came over it is no HTTP.
    Broken {
        /// Host and port.
        endpoint: String,
    },
    /// The proxy does not let the connection through.
    Proxy,
    /// The identity of the endpoint cannot be verified.
    Tls {
        /// Host and port.
        endpoint: String,
        /// What is wrong with it.
        fault: TlsFault,
    },
    /// Palette answered, and it was not a success.
    Status {
        /// The HTTP status.
        status: u16,
        /// What it means here.
        meaning: Meaning,
        /// `message` of the body, cleaned of control characters and of the token, at most 200 characters.
        message: String,
        /// `Retry-After`, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
    /// The endpoint sends us elsewhere; a captive portal or a proxy does so, the API does not.
    Redirect {
        /// Scheme and host of the target, if it names one.
        target: Option<String>,
    },
    /// The answer is larger than the API ever sends.
    TooLarge,
    /// The answer is a success and not the JSON of the API.
    NotUnderstood,
}

/// What a status and the `code` of its body mean on this path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Meaning {
    /// 400: the request is malformed in Palette's eyes.
    BadRequest,
    /// 401: the registration token is wrong, expired or inactive.
    Unauthorized,
    /// 403: the token is good, the project is not.
    Forbidden,
    /// 404 of the API: nobody has added this host yet.
    NotAdded,
    /// 404 of something that is not the API.
    NotPalette,
    /// 409, or a duplicate by its code: another record has this ID.
    AlreadyRegistered,
    /// 429.
    TooManyRequests,
    /// 500 to 599.
    Server,
    /// Any other status.
    Unexpected,
}

impl Meaning {
    /// Sorts a status; the `code` of the body decides where several cases share one status.
    pub(crate) fn of(status: u16, code: &str) -> Self {
        match (status, code) {
            (_, "AlreadyRegisteredEdgeHostDevice") | (409, _) => Self::AlreadyRegistered,
            (_, "EdgeHostDeviceNotRegistered") | (404, "ResourceNotFound") => Self::NotAdded,
            (429, _) | (_, "TooManyRequests") => Self::TooManyRequests,
            (400 | 422, _) => Self::BadRequest,
            (401, _) => Self::Unauthorized,
            (403, _) => Self::Forbidden,
            (404, _) => Self::NotPalette,
            (500..=599, _) => Self::Server,
            _ => Self::Unexpected,
        }
    }
}

impl ApiError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoNetwork => "LF-P01",
            Self::Dns { .. } => "LF-P02",
            Self::Refused { .. } => "LF-P03",
            Self::Timeout { .. } => "LF-P04",
            Self::Broken { .. } => "LF-P05",
            Self::Proxy => "LF-P06",
            Self::Tls { fault, .. } => tls_code(fault),
            Self::Status { meaning, .. } => meaning.code(),
            Self::Redirect { .. } => "LF-P29",
            Self::TooLarge => "LF-P30",
            Self::NotUnderstood => "LF-P31",
        }
    }

    /// What is the matter, one sentence.
    pub fn reason(&self) -> String {
        match self {
            Self::NoNetwork => "This machine has no network address or no route.".to_owned(),
            Self::Dns { host } => format!("The name {host} cannot be resolved."),
            Self::Refused { endpoint } => format!("{endpoint} refuses the connection."),
            Self::Timeout { endpoint } => format!("{endpoint} does not answer in time."),
            Self::Broken { endpoint } => format!("The connection to {endpoint} broke off."),
            Self::Proxy => "The proxy does not let the connection through.".to_owned(),
            Self::Tls { endpoint, fault } => fault.reason(endpoint),
            Self::Status {
                status,
                meaning,
                message,
                ..
            } => {
                let said = if message.is_empty() {
                    String::new()
                } else {
                    format!(" It says: {message}")
                };
                format!("{} ({status}).{said}", meaning.reason())
            }
            Self::Redirect { target } => match target {
                Some(target) => {
                    format!("The endpoint redirects to {target}, as a captive portal does.")
                }
                None => {
                    "The endpoint answers with a redirect, as a captive portal does.".to_owned()
                }
            },
            Self::TooLarge => "The endpoint sends more than the Palette API ever does.".to_owned(),
            Self::NotUnderstood => {
                "The endpoint's answer is not that of the Palette API.".to_owned()
            }
        }
    }

    /// What an operator does next, one sentence.
    pub fn action(&self) -> &'static str {
        match self {
            Self::NoNetwork => {
                "Check the cable, the VLAN and the DHCP server, or set a static address."
            }
            Self::Dns { .. } => {
                "Check the DNS server and the spelling of stylus.site.paletteEndpoint."
            }
            Self::Refused { .. } | Self::Timeout { .. } | Self::Broken { .. } => {
                "Check that the firewall allows TCP to the endpoint, and whether a proxy is necessary."
            }
            Self::Proxy => "Check the proxy's address and account in stylus.site.network.",
            Self::Tls { fault, .. } => tls_action(fault),
            Self::Status { meaning, .. } => meaning.action(),
            Self::Redirect { .. } | Self::TooLarge | Self::NotUnderstood => {
                "Check stylus.site.paletteEndpoint and whether a portal or proxy answers in its place."
            }
        }
    }

    /// The pause that the server asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn tls_code(fault: &TlsFault) -> &'static str {
    match fault {
        TlsFault::UnknownIssuer => "LF-P10",
        TlsFault::Expired { .. } => "LF-P11",
        TlsFault::NotYetValid { .. } => "LF-P12",
        TlsFault::WrongName { .. } => "LF-P13",
        TlsFault::Other(_) => "LF-P14",
        TlsFault::Clock { .. } => "LF-P15",
    }
}

fn tls_action(fault: &TlsFault) -> &'static str {
    match fault {
        TlsFault::UnknownIssuer => {
            "Add the CA of Palette, or of the proxy that opens TLS, to stylus.site.caCerts."
        }
        TlsFault::Expired { .. } | TlsFault::NotYetValid { .. } => {
            "Check the clock of this machine and its NTP servers; if it is right, renew the certificate."
        }
        TlsFault::Clock { .. } => "Set the clock in the firmware, or give a reachable NTP server.",
        TlsFault::WrongName { .. } => {
            "Write stylus.site.paletteEndpoint as the certificate has it, or renew the certificate."
        }
        TlsFault::Other(_) => {
            "Check that the endpoint speaks TLS 1.2 or newer and what stands in between."
        }
    }
}

impl Meaning {
    fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "LF-P20",
            Self::Unauthorized => "LF-P21",
            Self::Forbidden => "LF-P22",
            Self::NotAdded => "LF-P23",
            Self::NotPalette => "LF-P24",
            Self::AlreadyRegistered => "LF-P25",
            Self::TooManyRequests => "LF-P26",
            Self::Server => "LF-P27",
            Self::Unexpected => "LF-P28",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Palette does not accept the registration",
            Self::Unauthorized => "Palette refuses the registration token",
            Self::Forbidden => "Palette does not allow this project",
            Self::NotAdded => "This host is waiting to be added in Palette",
            Self::NotPalette => "The endpoint is not the API of Palette",
            Self::AlreadyRegistered => "Palette already has another host with this ID",
            Self::TooManyRequests => "Palette asks this host to slow down",
            Self::Server => "Palette has an error of its own",
            Self::Unexpected => "Palette gives an unexpected answer",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::BadRequest => "Check name and tags in the user-data; its message says which.",
            Self::Unauthorized => {
                "Make a new registration token in Palette and give it to this host."
            }
            Self::Forbidden => {
                "Check stylus.site.projectName or projectUid and the token's project."
            }
            Self::NotAdded => {
                "Add the edge host ID in Palette (Clusters > Edge Hosts), or scan the QR code."
            }
            Self::NotPalette => "Check stylus.site.paletteEndpoint.",
            Self::AlreadyRegistered => {
                "Delete the old record in Palette, or give this host another name."
            }
            Self::TooManyRequests => "Nothing: this host tries again by itself.",
            Self::Server => {
                "Nothing: this host tries again by itself; if it lasts, ask the Palette team."
            }
            Self::Unexpected => "Check stylus.site.paletteEndpoint and its version.",
        }
    }
}

#[cfg(test)]
mod tests;
