//! What can go wrong when a document is fetched: a stable code, one sentence, and what to do next.

use std::time::Duration;

use crate::{cause::Cause, tls::TlsFault, trust::TrustError};

/// Every code of this room; each has its section in `docs/errors.md`.
pub const CODES: [&str; 20] = [
    "LF-N01", "LF-N02", "LF-N03", "LF-N04", "LF-N05", "LF-N06", "LF-N10", "LF-N11", "LF-N12",
    "LF-N13", "LF-N14", "LF-N15", "LF-N20", "LF-N21", "LF-N22", "LF-N23", "LF-N24", "LF-N30",
    "LF-N31", "LF-N32",
];

/// Why a document was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url} cannot be fetched: {} {}", self.reason(), self.action())]
pub struct FetchError {
    /// The address without account, query and fragment.
    pub url: String,
    /// What went wrong.
    pub fault: Fault,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The address is not one of http or https.
    Url,
    /// No answer came, or it broke off.
    Transport {
        /// Host and port of the server.
        endpoint: String,
        /// Why.
        cause: Cause,
    },
    /// The server answered, and it was not a success.
    Status {
        /// The HTTP status.
        status: u16,
        /// The pause that the server asked for.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    Redirect {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The document is larger than it may be.
    TooLarge {
        /// The most that is taken, in bytes.
        limit: u64,
    },
    /// The document is not UTF-8.
    NotText,
    /// The document cannot be kept.
    Sink {
        /// The words of the operating system.
        reason: String,
    },
}

impl FetchError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match &self.fault {
            Fault::Url => "LF-N30",
            Fault::Transport { cause, .. } => cause_code(cause),
            Fault::Status { status, .. } if is_passing(*status) => "LF-N21",
            Fault::Status { .. } => "LF-N20",
            Fault::Redirect { .. } => "LF-N22",
            Fault::TooLarge { .. } => "LF-N23",
            Fault::NotText => "LF-N24",
            Fault::Sink { .. } => "LF-N32",
        }
    }

    /// What is the matter, one sentence.
    pub fn reason(&self) -> String {
        match &self.fault {
            Fault::Url => "It is not an address of http or https.".to_owned(),
            Fault::Transport { endpoint, cause } => cause_reason(cause, endpoint),
            Fault::Status { status, .. } => format!("The server answers with status {status}."),
            Fault::Redirect { reason } => format!("The server redirects, and {reason}."),
            Fault::TooLarge { limit } => format!("It is larger than {limit} bytes."),
            Fault::NotText => "It is not UTF-8 text.".to_owned(),
            Fault::Sink { reason } => format!("It cannot be written: {reason}."),
        }
    }

    /// What an operator does next, one sentence.
    pub fn action(&self) -> &'static str {
        match &self.fault {
            Fault::Url => "Write it as https://host/path.",
            Fault::Transport { cause, .. } => cause_action(cause),
            Fault::Status {
                status: 401 | 403, ..
            } => "Check whether the server lets this machine read it.",
            Fault::Status { status, .. } if is_passing(*status) => {
                "Try again later; if it lasts, ask who runs the server."
            }
            Fault::Status { .. } => "Check the address.",
            Fault::Redirect { .. } => {
                "Write the address it leads to, and check whether a portal answers in its place."
            }
            Fault::TooLarge { .. } => "Check the address, or make the document smaller.",
            Fault::NotText => "Check the address; a document of text is needed.",
            Fault::Sink { .. } => "Check the room on the disk and the path.",
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn may_pass(&self) -> bool {
        match &self.fault {
            Fault::Transport { cause, .. } => !matches!(cause, Cause::Tls(_) | Cause::Proxy),
            Fault::Status { status, .. } => is_passing(*status),
            _ => false,
        }
    }

    /// The pause that the server asked for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match &self.fault {
            Fault::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

fn cause_code(cause: &Cause) -> &'static str {
    match cause {
        Cause::NoNetwork => "LF-N01",
        Cause::Dns => "LF-N02",
        Cause::Refused => "LF-N03",
        Cause::Timeout => "LF-N04",
        Cause::Broken => "LF-N05",
        Cause::Proxy => "LF-N06",
        Cause::Tls(TlsFault::UnknownIssuer) => "LF-N10",
        Cause::Tls(TlsFault::Expired { .. }) => "LF-N11",
        Cause::Tls(TlsFault::NotYetValid { .. }) => "LF-N12",
        Cause::Tls(TlsFault::WrongName { .. }) => "LF-N13",
        Cause::Tls(TlsFault::Other(_)) => "LF-N14",
        Cause::Tls(TlsFault::Clock { .. }) => "LF-N15",
    }
}

fn cause_reason(cause: &Cause, endpoint: &str) -> String {
    match cause {
        Cause::NoNetwork => "This machine has no network address or no route.".to_owned(),
        Cause::Dns => format!("The name of {endpoint} cannot be resolved."),
        Cause::Refused => format!("{endpoint} refuses the connection."),
        Cause::Timeout => format!("{endpoint} does not answer in time."),
        Cause::Broken => format!("The connection to {endpoint} broke off."),
        Cause::Proxy => "The proxy does not let the connection through.".to_owned(),
        Cause::Tls(fault) => fault.reason(endpoint),
    }
}

fn cause_action(cause: &Cause) -> &'static str {
    match cause {
        Cause::NoNetwork => "Check the cable, the VLAN and the DHCP server.",
        Cause::Dns => "Check the DNS server and the spelling of the address.",
        Cause::Refused | Cause::Timeout | Cause::Broken => {
            "Check that the firewall allows TCP to the server, and whether a proxy is necessary."
        }
        Cause::Proxy => "Check the address and the account of the proxy.",
        Cause::Tls(TlsFault::UnknownIssuer) => {
            "Add the CA of the server, or of the proxy that opens TLS, to the trusted certificates."
        }
        Cause::Tls(TlsFault::Expired { .. } | TlsFault::NotYetValid { .. }) => {
            "Check the clock of this machine; if it is right, renew the certificate."
        }
        Cause::Tls(TlsFault::WrongName { .. }) => {
            "Write the address as the certificate has it, or renew the certificate."
        }
        Cause::Tls(TlsFault::Other(_)) => {
            "Check that the server speaks TLS 1.2 or newer and what stands in between."
        }
        Cause::Tls(TlsFault::Clock { .. }) => {
            "Set the clock in the firmware, or give a reachable NTP server."
        }
    }
}

/// Why no client can be made of the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A certificate, or the library.
    #[error("{0}; give each certificate as a PEM block")]
    Trust(#[from] TrustError),
    /// The address of a proxy.
    #[error("the address of the proxy is none; write it as http://host:port")]
    Proxy,
}

impl SettingsError {
    /// The stable code.
    pub const CODE: &'static str = "LF-N31";
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn faults() -> Vec<Fault> {
        let now = SystemTime::UNIX_EPOCH;
        let tls = [
            TlsFault::UnknownIssuer,
            TlsFault::Expired {
                not_after: None,
                now,
            },
            TlsFault::NotYetValid {
                not_before: None,
                now,
            },
            TlsFault::WrongName {
                presented: Vec::new(),
            },
            TlsFault::Other("bad record".to_owned()),
            TlsFault::Clock { now },
        ];
        let causes = [
            Cause::NoNetwork,
            Cause::Dns,
            Cause::Refused,
            Cause::Timeout,
            Cause::Broken,
            Cause::Proxy,
        ];
        let causes = causes.into_iter().chain(tls.map(Cause::Tls));
        let status = |status| Fault::Status {
            status,
            retry_after: None,
        };
        let others = [
            status(404),
            status(503),
            Fault::Redirect {
                reason: "too often",
            },
            Fault::TooLarge { limit: 7 },
            Fault::NotText,
            Fault::Url,
            Fault::Sink {
                reason: "full".to_owned(),
            },
        ];
        causes
            .map(|cause| Fault::Transport {
                endpoint: "a.example:443".to_owned(),
                cause,
            })
            .chain(others)
            .collect()
    }

    #[test]
    fn every_code_is_used_once_and_has_its_section_in_the_documentation() {
        let page = include_str!("../../docs/errors.md");
        let mut codes: Vec<&str> = faults()
            .into_iter()
            .map(|fault| {
                let url = "https://a.example/".to_owned();
                FetchError { url, fault }.code()
            })
            .collect();
        codes.push(SettingsError::CODE);
        codes.sort_unstable();
        assert_eq!(codes, CODES);
        for code in CODES {
            assert!(page.contains(&format!("### {code}\n")), "{code}");
        }
    }

    #[test]
    fn every_error_names_the_place_the_reason_and_what_to_do() {
        for fault in faults() {
            let url = "https://a.example/x".to_owned();
            let error = FetchError { url, fault };
            let text = error.to_string();
            assert!(
                text.starts_with("https://a.example/x cannot be fetched: "),
                "{text}"
            );
            assert!(
                text.ends_with(error.action()) && text.ends_with('.'),
                "{text}"
            );
        }
    }

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        let again: Vec<&str> = faults()
            .into_iter()
            .map(|fault| FetchError {
                url: String::new(),
                fault,
            })
            .filter(FetchError::may_pass)
            .map(|error| error.code())
            .collect();
        assert_eq!(
            again,
            ["LF-N01", "LF-N02", "LF-N03", "LF-N04", "LF-N05", "LF-N21"]
        );
    }
}
