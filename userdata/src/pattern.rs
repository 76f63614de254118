//! Regular expressions as Go's programs read them (RE2): no look-around, no back-references.

use regex::{Regex, RegexBuilder};
use serde::Serialize;

/// What a compiled expression may cost, in bytes; a hostile one is refused by it.
const MAX_COMPILED: usize = 1 << 20;

/// An expression that could be compiled when its document was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Expression(String);

impl Expression {
    /// Takes an expression, or says why it is none.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        compile(text).map(|_| Self(text.to_owned()))
    }

    /// Whether it is found anywhere in `text`, as Go's `MatchString` has it: `^` and `$` bind it to the ends.
    pub fn is_found_in(&self, text: &str) -> bool {
        compile(&self.0).is_ok_and(|regex| regex.is_match(text))
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Compiles an expression, or says why it is none.
pub(crate) fn compile(text: &str) -> Result<Regex, &'static str> {
    RegexBuilder::new(text)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the regular expression is too large",
            error => fault(&error.to_string()),
        })
}

/// The crate's own text has several lines; only what people mistake most is said in more words.
fn fault(error: &str) -> &'static str {
    if error.contains("look-around") {
        "the regular expression looks ahead or behind, which RE2 cannot"
    } else if error.contains("backreferences") {
        "the regular expression has a back-reference, which RE2 cannot do"
    } else {
        "this is not a regular expression"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_looked_for_anywhere_unless_it_is_bound() {
        let found =
            |expression: &str, text: &str| Expression::new(expression).unwrap().is_found_in(text);
        assert!(found("buntu", "Ubuntu 24.04"));
        assert!(!found("^buntu", "Ubuntu 24.04"));
        assert!(found("^(amd64|arm64)$", "arm64"));
        assert!(Expression::new("(").is_err());
    }

    #[test]
    fn what_re2_cannot_do_is_refused_by_name() {
        for good in [
            ".*",
            "edge-[0-9a-f]+",
            r"^\d{3}\w*$",
            r"(?i)serial: (?P<id>\S+)",
            r"\pL+",
        ] {
            assert!(compile(good).is_ok(), "{good}");
        }
        for (bad, word) in [
            ("(?=a)b", "looks ahead"),
            ("(?<!a)b", "looks ahead"),
            (r"(a)\1", "back-reference"),
            ("(", "not a regular"),
            ("*", "not a regular"),
            ("((a{99}){99}){99}", "too large"),
        ] {
            assert!(compile(bad).unwrap_err().contains(word), "{bad}");
        }
    }
}
