//! Regular expressions as Go's programs read them (RE2): no look-around, no back-references.

use regex::{Regex, RegexBuilder};

/// What a compiled expression may cost, in bytes; a hostile one is refused by it.
const MAX_COMPILED: usize = 1 << 20;

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
