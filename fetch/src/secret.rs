//! Text that is never shown.

use std::fmt;

/// A token, or a URL with a password in it: `Debug` and `Display` give `***`, and only [`Secret::reveal`] gives it out.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Gives the text itself; to be called only where it goes into a request.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Replaces every occurrence of the secret in a text that others wrote (a server may echo what it was sent).
    pub fn redact(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        text.replace(&self.0, "***")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_display_shows_the_text() {
        let secret = Secret::new("tok-123");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.reveal(), "tok-123");
    }

    #[test]
    fn an_echoed_secret_is_redacted_and_an_empty_one_changes_nothing() {
        assert_eq!(Secret::new("tok").redact("bad tok, tok!"), "bad ***, ***!");
        assert_eq!(Secret::new("").redact("as it is"), "as it is");
    }
}
