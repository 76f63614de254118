//! Values that must never be drawn, logged or serialised.

use std::fmt;

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// What stands in the place of a secret wherever it would be shown.
pub const MASK: &str = "***";

/// Parts of keys whose values are never shown, in lower case.
pub(crate) const SECRET_KEYS: &[&str] = &[
    "token", "passw", "secret", "proxy", "apikey", "api_key", "private",
];

/// Whether the value of a key may be a secret: by its name, or since it is a text that others made.
pub(crate) fn may_be_secret(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    SECRET_KEYS.iter().any(|part| lower.contains(part))
        || matches!(
            lower.as_str(),
            "content" | "entity" | "url" | "config_url" | "if" | "env" | "environment"
        )
}

/// A token, password or other text that only its consumer may see.
///
/// `Debug`, `Display` and `Serialize` give [`MASK`]; the memory is zeroed on drop. Comparing two secrets is not
/// constant-time: this type guards against leaks into text, not against timing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a clear text.
    pub fn new(clear: impl Into<String>) -> Self {
        Self(Zeroizing::new(clear.into()))
    }

    /// Gives the clear text; call it where the secret is used and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_only_where_it_is_revealed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** *** ***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
