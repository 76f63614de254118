//! What is wrong in a document, where, and what to write instead.

use std::fmt;

use serde::{Serialize, Serializer};

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

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal),* $(,)?) => {
        /// The stable identity of a check; its id is documented and never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule { $($(#[$doc])* $name),* }

        impl Rule {
            /// Every rule, in the order of its id.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The id that people look up, such as `U02`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),* }
            }
        }
    };
}

rules! {
    /// `#cloud-config` is not the first line.
    Header = "U01",
    /// The text is not YAML, or uses a part of YAML on which readers disagree.
    Syntax = "U02",
    /// A tab indents.
    Tab = "U03",
    /// A key stands twice in one mapping.
    DuplicateKey = "U04",
    /// Nothing stands where a value is needed.
    Empty = "U05",
    /// The value has the wrong type.
    Type = "U06",
    /// The key belongs to another block.
    Misplaced = "U07",
    /// The key is unknown.
    UnknownKey = "U08",
    /// `managementMode` is not one that works here.
    ManagementMode = "U09",
    /// A host that Palette manages has no `paletteEndpoint`.
    NoEndpoint = "U10",
    /// There is neither a token nor a registration page.
    NoRegistration = "U11",
    /// `paletteEndpoint` is not `host` or `host:port`.
    Endpoint = "U12",
    /// There is a token, but no project.
    NoProject = "U13",
    /// `projectUid` is not an id of a project.
    ProjectUid = "U14",
    /// Both `projectUid` and `projectName` are given.
    TwoProjects = "U15",
    /// The edge host ID cannot be used.
    HostId = "U16",
    /// The prefix of a generated ID has other characters than letters, digits and dashes.
    Prefix = "U17",
    /// An item of `deviceUIDPaths` has no file, or its expression is not RE2.
    DeviceUid = "U18",
    /// A static interface lacks its address, prefix length or gateway, or the gateway is elsewhere.
    StaticInterface = "U19",
    /// An address, a network or a URL under `network` is not one.
    Network = "U20",
    /// No interface has a static address.
    NoStaticAddress = "U21",
    /// A CA certificate is neither PEM nor base64 of one.
    CaCertificate = "U22",
    /// A list item that EKS Hybrid Nodes needs is missing.
    EksHybrid = "U23",
    /// A path is not absolute and clean.
    Path = "U24",
    /// `poweroff` and `reboot` are both true.
    PowerOffAndReboot = "U25",
    /// The host reboots after the installation, with the medium perhaps still in it.
    RebootLoop = "U26",
    /// An extra partition has no name, or the last one will be larger than its size.
    ExtraPartition = "U27",
    /// `install.device` names no disk.
    Device = "U28",
    /// A password stands in clear text.
    ClearPassword = "U29",
    /// The key has a newer name.
    Legacy = "U30",
    /// `registrationURL` is not an http or https address.
    RegistrationUrl = "U31",
    /// One registry and several registries are given.
    TwoRegistries = "U32",
    /// Nobody can log in.
    NoUser = "U33",
    /// A `<placeholder>` was left in a value.
    Placeholder = "U34",
    /// The text is too large, too deep, not UTF-8, or more than one document.
    Limit = "U35",
    /// The key is valid, but this version does not carry it out.
    NotCarriedOut = "U36",
    /// The value would weaken the host and is not honoured.
    Insecure = "U37",
    /// A name has characters that would mean something else where it is written.
    Name = "U38",
    /// The value is outside of what the key allows.
    Value = "U39",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
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

    #[test]
    fn ids_are_unique_and_ascending() {
        let ids: Vec<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    }
}
