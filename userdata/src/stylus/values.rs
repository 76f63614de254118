//! The rules of single values under `stylus.site`.

use super::site::{Endpoint, HostId};
use crate::finding::Rule;
use crate::place::is_host_name;
use crate::secret::Secret;

/// Why a text is refused: rule, reason, advice.
pub(super) type Fault = (Rule, String, &'static str);

pub(super) fn read_endpoint(text: &str) -> Result<Endpoint, Fault> {
    let advice = "write only the host name, or host:port, such as `api.spectrocloud.com`";
    let fault = |reason: &str| Err((Rule::Endpoint, reason.to_owned(), advice));
    if text.contains("://") {
        return fault("an address with a scheme stands here");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return fault("the host name has a blank");
    }
    if text.contains(['/', '?', '#', '@']) {
        return fault("more than a host name stands here");
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => return fault("the port is not a number from 1 to 65535"),
    };
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match in_brackets {
        Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => {}
        None if is_host_name(host) || is_placeholder(host) => {}
        _ => return fault("this is neither a host name nor an address"),
    }
    Ok(Endpoint {
        host: host.to_owned(),
        port,
    })
}

pub(super) fn read_token(text: &str) -> Result<Secret, Fault> {
    one_word(text).map(Secret::new)
}

pub(super) fn read_url(text: &str) -> Result<String, Fault> {
    let text = one_word(text)?;
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(text),
        _ => Err((
            Rule::RegistrationUrl,
            "the QR code cannot lead here: this is not an http or https address".to_owned(),
            "write the whole address, such as `https://register.example.com`",
        )),
    }
}

/// What Palette refuses in an edge host ID (`reference/palette.md` 2.3), and the backslash and backtick with it.
const NOT_IN_HOST_ID: &str = "/?#&+%,$~!@*(){}|=;:<>'.^\"\\`";
/// Where Palette cuts an edge host ID, in characters.
pub(super) const LONGEST_HOST_ID: usize = 128;

pub(super) fn read_host_id(text: &str) -> Result<HostId, Fault> {
    if text == "$random" {
        return Ok(HostId::Random);
    }
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || NOT_IN_HOST_ID.contains(c);
    match text.chars().find(|&c| forbidden(c)) {
        Some(found) => {
            let reason = format!("the edge host ID cannot have `{found}`");
            Err((Rule::HostId, reason, "use letters, digits and dashes"))
        }
        None => Ok(HostId::Fixed(text.to_owned())),
    }
}

pub(super) fn read_host_name(text: &str) -> Result<String, Fault> {
    if is_host_name(text) || is_placeholder(text) {
        return Ok(text.to_owned());
    }
    Err((
        Rule::Name,
        "this is not a host name".to_owned(),
        "use letters, digits and dashes, at most 63 between dots",
    ))
}

pub(super) fn read_prefix(text: &str) -> Result<String, Fault> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Ok(text.to_owned());
    }
    Err((
        Rule::Prefix,
        "the prefix has other characters than letters, digits and `-`".to_owned(),
        "remove them",
    ))
}

pub(super) fn one_word(text: &str) -> Result<String, Fault> {
    if text.contains(char::is_whitespace) {
        return Err((
            Rule::Value,
            "there is a blank in this value".to_owned(),
            "remove it",
        ));
    }
    one_line(text)
}

pub(super) fn one_line(text: &str) -> Result<String, Fault> {
    if text.contains(char::is_control) {
        return Err((
            Rule::Value,
            "there is a control character in this value".to_owned(),
            "remove it",
        ));
    }
    Ok(text.to_owned())
}

/// A value that somebody forgot to fill in; it gets a finding of its own (rule U34).
pub(super) fn is_placeholder(text: &str) -> bool {
    text.starts_with('<') && text.ends_with('>')
}

/// Whether a text is the id of a project: 24 hexadecimal digits.
pub(super) fn is_project_uid(text: &str) -> bool {
    text.len() == 24 && text.chars().all(|c| c.is_ascii_hexdigit())
}
