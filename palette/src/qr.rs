//! The text of the QR code: `stylus.site.registrationURL` with the edge host ID in a query parameter.
//!
//! A public sample web application for this flow reads the ID from `appliance-id` and nothing else. The path is kept
//! as given: vendor samples show it with and without a trailing slash.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Name of the query parameter that carries the ID.
pub const DEFAULT_PARAMETER: &str = "appliance-id";

/// Everything but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why there is no QR code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stylus.site.registrationURL is not an http or https address: {url:?}")]
pub struct QrError {
    /// The address as given.
    pub url: String,
}

impl QrError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        "LF-P53"
    }

    /// What an operator does about it.
    pub fn action(&self) -> &'static str {
        "Write the whole address, for example https://example.com/register, or leave the key out."
    }
}

/// Joins address and ID. A parameter of the same name in the address is replaced, other parameters and the fragment
/// stay where they are.
pub fn qr_text(registration_url: &str, parameter: &str, id: &str) -> Result<String, QrError> {
    let url = registration_url.trim();
    check(url)?;
    let (rest, fragment) = split_keeping(url, '#');
    let (path, query) = split_keeping(rest, '?');
    let name = utf8_percent_encode(parameter, ENCODED).to_string();
    let mut pairs: Vec<&str> = query
        .trim_start_matches('?')
        .split('&')
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(name.as_str()))
        .collect();
    let own = format!("{name}={}", utf8_percent_encode(id, ENCODED));
    pairs.push(&own);
    Ok(format!("{path}?{}{fragment}", pairs.join("&")))
}

fn check(url: &str) -> Result<(), QrError> {
    let refused = || QrError {
        url: url.to_owned(),
    };
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(refused());
    }
    match reqwest::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => Ok(()),
        Ok(_) | Err(_) => Err(refused()),
    }
}

/// The text before the separator, and the rest with the separator.
fn split_keeping(text: &str, separator: char) -> (&str, &str) {
    text.find(separator)
        .map_or((text, ""), |at| text.split_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_joined_to_every_form_of_address() {
        let cases = [
            (
                "https://a.example",
                "edge-1",
                "https://a.example?appliance-id=edge-1",
            ),
            (
                "https://a.example/",
                "edge-1",
                "https://a.example/?appliance-id=edge-1",
            ),
            (
                "https://a.example/reg",
                "edge-1",
                "https://a.example/reg?appliance-id=edge-1",
            ),
            (
                "https://a.example/reg/",
                "edge-1",
                "https://a.example/reg/?appliance-id=edge-1",
            ),
            (
                "https://a.example/r?",
                "edge-1",
                "https://a.example/r?appliance-id=edge-1",
            ),
            (
                "https://a.example/r?x=1",
                "edge-1",
                "https://a.example/r?x=1&appliance-id=edge-1",
            ),
            (
                "https://a.example/r?x=1&",
                "edge-1",
                "https://a.example/r?x=1&appliance-id=edge-1",
            ),
            (
                "https://a.example/r#top",
                "edge-1",
                "https://a.example/r?appliance-id=edge-1#top",
            ),
            (
                "https://a.example/r?x=1#t?u",
                "e",
                "https://a.example/r?x=1&appliance-id=e#t?u",
            ),
            (
                "https://a.example/r?appliance-id=&y=2",
                "e",
                "https://a.example/r?y=2&appliance-id=e",
            ),
            (
                "  http://10.0.2.2:8080/ ",
                "e",
                "http://10.0.2.2:8080/?appliance-id=e",
            ),
            (
                "https://[fd00::1]:8443/x",
                "e",
                "https://[fd00::1]:8443/x?appliance-id=e",
            ),
            (
                "https://a.example",
                "a b/ä&=_~",
                "https://a.example?appliance-id=a%20b%2F%C3%A4%26%3D_~",
            ),
        ];
        for (url, id, wanted) in cases {
            assert_eq!(qr_text(url, DEFAULT_PARAMETER, id).as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn the_parameter_name_is_configurable() {
        let text = qr_text("https://a.example/", "host id", "e-1");
        assert_eq!(text.as_deref(), Ok("https://a.example/?host%20id=e-1"));
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        for url in [
            "",
            "a.example/reg",
            "ftp://a.example",
            "https://",
            "https://a.exa mple",
            "mailto:a@b",
        ] {
            assert_eq!(
                qr_text(url, DEFAULT_PARAMETER, "e"),
                Err(QrError {
                    url: url.to_owned()
                })
            );
        }
    }
}
