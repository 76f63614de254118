//! What is wrong in a document, where, and what to write instead.

use std::fmt;

use serde::Serialize;

pub use crate::rule::Rule;

/// A place in the source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The first character of a document; where findings about the whole document point.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is accepted, but will probably not do what its author meant.
    Warning,
    /// The document is accepted and does what it says; there is a better way to say it.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// One thing that somebody should know about a document.
///
/// Its text never repeats a secret and has no control characters, whatever the document contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the document, as given to the parser.
    pub file: String,
    /// Where it is.
    #[serde(flatten)]
    pub position: Position,
    /// How much it matters.
    pub severity: Severity,
    /// Which check found it.
    #[serde(rename = "id")]
    pub rule: Rule,
    /// The path of keys, such as `stylus.site.tags`; empty for the document itself.
    pub path: String,
    /// What is wrong.
    pub reason: String,
    /// What to do instead, in the imperative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(
            f,
            "{}:{line}:{column}: {}[{}] ",
            self.file, self.severity, self.rule
        )?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// Whether any finding is an error, that is, whether the document is refused.
pub fn has_errors(findings: &[Finding]) -> bool {
    findings
        .iter()
        .any(|finding| finding.severity == Severity::Error)
}

/// Replaces control characters by their escapes: a document must not steer the terminal that shows its findings.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Most findings of one document that are kept; nobody reads more, and a hostile document could have 100,000.
const MAX_FINDINGS: usize = 500;

/// Longest part of a finding, in characters: keys and values of a hostile document are repeated in them.
const MAX_PART: usize = 300;

fn part(text: &str) -> String {
    match text.char_indices().nth(MAX_PART) {
        Some((end, _)) => printable(text.get(..end).unwrap_or_default()) + "...",
        None => printable(text),
    }
}

/// How much of what is doubtful is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tolerance {
    /// All of it: somebody is there to mend the document.
    Strict,
    /// Unknown keys are only warned about: the document may be for a newer version.
    UnknownKeys,
    /// Nobody is there, and what can run has to run: neither unknown nor refused keys take their step with them.
    AtBoot,
}

/// Collects the findings of one document.
#[derive(Debug)]
pub(crate) struct Findings {
    file: String,
    tolerance: Tolerance,
    found: Vec<Finding>,
    errors: usize,
}

impl Findings {
    pub(crate) fn new(file: &str) -> Self {
        Self::tolerating(file, Tolerance::Strict)
    }

    pub(crate) fn tolerating(file: &str, tolerance: Tolerance) -> Self {
        Self {
            file: printable(file),
            tolerance,
            found: Vec::new(),
            errors: 0,
        }
    }

    fn add(
        &mut self,
        severity: Severity,
        rule: Rule,
        position: Position,
        path: &dyn fmt::Display,
        reason: &str,
        advice: &str,
    ) {
        let is_error = severity == Severity::Error;
        // The first error is always kept: without it the document would count as accepted.
        if self.found.len() >= MAX_FINDINGS && !(is_error && self.errors == 0) {
            return;
        }
        self.errors = self.errors.saturating_add(usize::from(is_error));
        self.found.push(Finding {
            file: self.file.clone(),
            position,
            severity,
            rule,
            path: part(&path.to_string()),
            reason: part(reason),
            advice: (!advice.is_empty()).then(|| part(advice)),
        });
    }

    pub(crate) fn error(
        &mut self,
        rule: Rule,
        position: Position,
        path: impl fmt::Display,
        reason: &str,
        advice: &str,
    ) {
        self.add(Severity::Error, rule, position, &path, reason, advice);
    }

    /// A key that no table has, in a mapping that allows no other (rule U08).
    pub(crate) fn unknown_key(
        &mut self,
        position: Position,
        path: impl fmt::Display,
        reason: &str,
        advice: &str,
    ) {
        let severity = match self.tolerance {
            Tolerance::Strict => Severity::Error,
            Tolerance::UnknownKeys | Tolerance::AtBoot => Severity::Warning,
        };
        self.add(severity, Rule::UnknownKey, position, &path, reason, advice);
    }

    /// A key that is never carried out: an error, unless the document is read at boot.
    pub(crate) fn refusal(
        &mut self,
        rule: Rule,
        position: Position,
        path: impl fmt::Display,
        reason: &str,
        advice: &str,
    ) {
        let severity = match self.tolerance {
            Tolerance::AtBoot => Severity::Warning,
            Tolerance::Strict | Tolerance::UnknownKeys => Severity::Error,
        };
        self.add(severity, rule, position, &path, reason, advice);
    }

    pub(crate) fn warning(
        &mut self,
        rule: Rule,
        position: Position,
        path: impl fmt::Display,
        reason: &str,
        advice: &str,
    ) {
        self.add(Severity::Warning, rule, position, &path, reason, advice);
    }

    pub(crate) fn info(
        &mut self,
        rule: Rule,
        position: Position,
        path: impl fmt::Display,
        reason: &str,
        advice: &str,
    ) {
        self.add(Severity::Info, rule, position, &path, reason, advice);
    }

    /// Names the document of the findings that follow.
    pub(crate) fn rename(&mut self, file: &str) {
        self.file = printable(file);
    }

    /// Takes over findings of another document.
    pub(crate) fn extend(&mut self, others: Vec<Finding>) {
        let errors = others
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        self.errors = self.errors.saturating_add(errors.count());
        self.found.extend(others);
    }

    /// How many errors there are; compared before and after a part, it tells whether that part is usable.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Gives the findings in the order of the text.
    pub(crate) fn finish(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|finding| finding.position);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(path: &str, reason: &str) -> Finding {
        let mut findings = Findings::new("user-data");
        findings.error(
            Rule::Syntax,
            Position { line: 4, column: 7 },
            path,
            reason,
            "write `y` instead",
        );
        findings.finish().remove(0)
    }

    #[test]
    fn a_finding_is_one_sentence() {
        assert_eq!(
            finding("stylus.site.x", "`x` is wrong").to_string(),
            "user-data:4:7: error[U02] stylus.site.x: `x` is wrong; write `y` instead"
        );
        assert_eq!(
            finding("", "no").to_string(),
            "user-data:4:7: error[U02] no; write `y` instead"
        );
    }

    #[test]
    fn a_finding_cannot_steer_the_terminal() {
        let text = finding("a\u{1b}[2J", "b\nc").to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }

    #[test]
    fn a_finding_as_json_has_a_flat_position_and_its_id() {
        let json = serde_json::to_value(finding("a", "b")).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "file": "user-data", "line": 4, "column": 7, "severity": "error", "id": "U02",
                "path": "a", "reason": "b", "advice": "write `y` instead"
            })
        );
    }
}
