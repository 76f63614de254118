//! `hostname`: a name, or a template of one such as `node-{{ trunc 4 .MachineID }}`.

use serde::Serialize;

use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::place::is_host_name;
use crate::tree::Node;

/// The name of a host, or how it is made of what is known about the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct HostName {
    text: String,
    parts: Vec<Part>,
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.text
    }
}

/// A piece of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Action(Value, Vec<Function>),
}

/// What a template may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    MachineId,
    ProtectedId,
    Uuid,
    Random,
}

/// What a template may do with a value, as Sprig's functions of these names do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Lower,
    Upper,
    /// So many characters of the front, or of the end if negative.
    Trunc(isize),
    /// From one place to before another; negative: from the start, to the end.
    Substr(isize, isize),
}

/// What a template is filled with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameValues {
    /// `.MachineID`: machine-id(5).
    pub machine_id: Option<String>,
    /// `.ProtectedID`: made of the machine-id, which cannot be found from it.
    pub protected_id: Option<String>,
    /// `.UUID`: random, another at every boot.
    pub uuid: String,
    /// `.Random`: 32 random letters and digits, others at every boot.
    pub random: String,
}

impl HostName {
    /// Reads a name or a template, or says why it is neither.
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((action, behind)) = after.split_once("}}") else {
                return Err("`{{` has no `}}`".to_owned());
            };
            parts.push(Part::Text(before.to_owned()));
            parts.push(action_of(action)?);
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        let text = text.to_owned();
        Ok(Self { text, parts })
    }

    /// The name, filled in.
    ///
    /// # Errors
    ///
    /// If a value is not known, or the result is no host name; in one sentence.
    pub fn fill(&self, values: &NameValues) -> Result<String, String> {
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Action(value, functions) => {
                    let text = value.of(values)?.to_owned();
                    let text = functions
                        .iter()
                        .fold(text, |text, function| function.of(&text));
                    name.push_str(&text);
                }
            }
        }
        if is_host_name(&name) {
            Ok(name)
        } else {
            Err(format!("{name:?} is not a host name"))
        }
    }

    /// Whether the name is another at every boot.
    fn changes(&self) -> bool {
        let random = |part: &Part| matches!(part, Part::Action(Value::Uuid | Value::Random, _));
        self.parts.iter().any(random)
    }
}

impl Value {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            ".MachineID" => Self::MachineId,
            ".ProtectedID" => Self::ProtectedId,
            ".UUID" => Self::Uuid,
            ".Random" => Self::Random,
            _ => return None,
        })
    }

    fn of(self, values: &NameValues) -> Result<&str, String> {
        let known = match self {
            Self::MachineId => values.machine_id.as_deref(),
            Self::ProtectedId => values.protected_id.as_deref(),
            Self::Uuid => Some(values.uuid.as_str()),
            Self::Random => Some(values.random.as_str()),
        };
        known.ok_or_else(|| "the machine has no machine-id yet".to_owned())
    }
}

impl Function {
    fn named(words: &[&str]) -> Option<Self> {
        let number = |word: &str| word.parse::<isize>().ok();
        Some(match words {
            ["lower"] => Self::Lower,
            ["upper"] => Self::Upper,
            ["trunc", count] => Self::Trunc(number(count)?),
            ["substr", start, end] => Self::Substr(number(start)?, number(end)?),
            _ => return None,
        })
    }

    fn of(self, text: &str) -> String {
        let letters: Vec<char> = text.chars().collect();
        let cut = |start: usize, end: usize| -> String {
            let end = end.min(letters.len());
            letters.get(start..end).unwrap_or_default().iter().collect()
        };
        match self {
            Self::Lower => text.to_ascii_lowercase(),
            Self::Upper => text.to_ascii_uppercase(),
            Self::Trunc(count) if count < 0 => cut(
                letters.len().saturating_sub(count.unsigned_abs()),
                letters.len(),
            ),
            Self::Trunc(count) => cut(0, count.unsigned_abs()),
            Self::Substr(start, end) => {
                let end = usize::try_from(end).unwrap_or(letters.len());
                cut(usize::try_from(start).unwrap_or(0), end)
            }
        }
    }
}

/// Reads `trunc 4 .MachineID`, `.MachineID | trunc 4 | upper`.
fn action_of(action: &str) -> Result<Part, String> {
    // The marks that take blanks away around an action; a name has none.
    let action = action.strip_prefix('-').unwrap_or(action);
    let action = action.strip_suffix('-').unwrap_or(action);
    let unknown = |words: &[&str]| {
        let words = words.join(" ");
        format!("`{words}` is nothing that a template of a host name can do here")
    };
    let mut commands = action
        .split('|')
        .map(|part| part.split_whitespace().collect::<Vec<_>>());
    let first = commands.next().unwrap_or_default();
    let (Some(value), Some(words)) = (
        first.last().and_then(|word| Value::named(word)),
        first.len().checked_sub(1).and_then(|end| first.get(..end)),
    ) else {
        return Err(unknown(&first));
    };
    let mut functions = Vec::new();
    if !words.is_empty() {
        functions.push(Function::named(words).ok_or_else(|| unknown(words))?);
    }
    for words in commands {
        functions.push(Function::named(&words).ok_or_else(|| unknown(&words))?);
    }
    Ok(Part::Action(value, functions))
}

/// Reads `hostname`. A template must make a host name of values as they usually are.
pub(super) fn read(
    node: Option<&Node>,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<HostName> {
    let node = node?;
    let path = path.key("hostname");
    let parsed = HostName::parse(node.as_text()?).and_then(|name| {
        let usual = NameValues {
            machine_id: Some("0123456789abcdef".repeat(2)),
            protected_id: Some("0123456789abcdef".repeat(4)),
            uuid: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
            random: "0123456789abcdef".repeat(2),
        };
        name.fill(&usual).map(|_| name)
    });
    match parsed {
        Ok(name) => {
            if name.changes() {
                let reason = "the host has another name after every restart";
                let advice = "use `.MachineID` for one that stays";
                findings.warning(Rule::Name, node.position, path, reason, advice);
            }
            Some(name)
        }
        Err(reason) => {
            let advice = "use letters, digits and dashes, at most 63 between dots, or a value such as `{{ trunc 8 .MachineID }}`";
            findings.error(Rule::Name, node.position, path, &reason, advice);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let values = NameValues {
            machine_id: Some("0123456789ABCDEF".into()),
            protected_id: Some("fedc".into()),
            uuid: "u-u".into(),
            random: "r".into(),
        };
        HostName::parse(text)?.fill(&values)
    }

    #[test]
    fn values_are_filled_in_and_cut() {
        for (text, expected) in [
            ("shop-1", "shop-1"),
            ("node-{{ trunc 4 .MachineID }}", "node-0123"),
            ("{{.MachineID|trunc -4|lower}}-x", "cdef-x"),
            (
                "{{- substr 2 4 .MachineID -}}.{{ .ProtectedID | upper }}",
                "23.FEDC",
            ),
            ("{{ substr 4 -1 .MachineID | trunc 99 }}", "456789ABCDEF"),
            ("{{ .UUID }}{{ .Random }}", "u-ur"),
            ("a{{ substr 9 2 .MachineID }}", "a"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_no_template_can_do_is_said_before_the_host_runs() {
        for (text, word) in [
            ("a_b", "not a host name"),
            ("", "not a host name"),
            ("{{ .MachineID", "no `}}`"),
            ("{{ }}", "nothing that"),
            ("{{ .Values.os.name }}", "`.Values.os.name`"),
            ("{{ sha256sum .MachineID }}", "`sha256sum`"),
            ("{{ trunc x .MachineID }}", "`trunc x`"),
            ("{{ .MachineID | nospace }}", "`nospace`"),
            (
                "{{ .MachineID }}{{ .MachineID }}{{ .MachineID }}{{ .MachineID }}x",
                "not a host name",
            ),
        ] {
            let reason = filled(text).unwrap_err();
            assert!(reason.contains(word), "{text}: {reason}");
        }
    }

    #[test]
    fn a_machine_without_an_id_has_no_such_name() {
        let name = HostName::parse("n-{{ .MachineID }}").unwrap();
        assert!(
            name.fill(&NameValues::default())
                .unwrap_err()
                .contains("machine-id")
        );
    }
}
