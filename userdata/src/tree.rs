//! The document as a tree in which everything knows its position.
//!
//! Plain scalars keep the text they were written with. Readers of user-data disagree about it (`0644` is octal for Go's
//! YAML and decimal for YAML 1.2, `yes` is true for one and text for the other), so only the same text has the same
//! meaning for all of them.

use std::collections::BTreeMap;
use std::fmt;

use crate::finding::Position;

/// One value of the document. Its `Debug` shows shapes and positions, never values: they may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its position, and its value.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// The key was written without quotes.
    pub(crate) plain: bool,
    pub(crate) position: Position,
    pub(crate) node: Node,
}

/// A plain scalar that some YAML reader takes for a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    /// As written.
    pub(crate) raw: String,
    /// The value, when every reader agrees on it and it fits.
    pub(crate) integer: Option<i64>,
}

/// A piece of text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// Written without quotes; some readers may then take it for something else.
    pub(crate) plain: bool,
}

impl Node {
    pub(crate) fn text(position: Position, text: impl Into<String>) -> Self {
        Self {
            position,
            value: Value::Text(Text {
                text: text.into(),
                plain: false,
            }),
        }
    }

    /// The value under `key`, if this is a map that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value under a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter()
            .try_fold(self, |node, key| node.entry(key).map(|entry| &entry.node))
    }

    /// The entries of a map; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a text node.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    /// The text of any scalar but null, as it was written.
    pub(crate) fn as_scalar(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) => Some(text.text.clone()),
            Value::Number(number) => Some(number.raw.clone()),
            Value::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// Whether the switch under `key` is on.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.at(&[key])
            .is_some_and(|node| node.value == Value::Bool(true))
    }

    /// The text under `key`; an empty one counts as not given.
    pub(crate) fn text_at(&self, key: &str) -> Option<String> {
        self.at(&[key])
            .and_then(Self::as_text)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    /// The whole number under `key`.
    pub(crate) fn count_at(&self, key: &str) -> Option<u64> {
        match &self.at(&[key])?.value {
            Value::Number(number) => number.integer.and_then(|value| value.try_into().ok()),
            _ => None,
        }
    }

    /// The texts of a list.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.items()
            .iter()
            .filter_map(Self::as_text)
            .map(str::to_owned)
            .collect()
    }

    /// The texts of the list under `key`.
    pub(crate) fn texts_at(&self, key: &str) -> Vec<String> {
        self.at(&[key]).map(Self::texts).unwrap_or_default()
    }

    /// The scalars of a mapping, as they were written.
    pub(crate) fn scalars(&self) -> BTreeMap<String, String> {
        self.entries()
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), entry.node.as_scalar()?)))
            .collect()
    }

    /// A word for what this is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}:{}",
            self.kind(),
            self.position.line,
            self.position.column
        )
    }
}

/// Whether a plain scalar is `null` to YAML 1.2.
pub(crate) fn is_null(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null" | "Null" | "NULL")
}

/// What a plain scalar is to YAML 1.2, where `yes` and `on` are text.
pub(crate) fn resolve_plain(plain: &str) -> Value {
    match plain {
        _ if is_null(plain) => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(plain) => Value::Number(Number {
            raw: plain.to_owned(),
            integer: agreed_integer(plain),
        }),
        _ => Value::Text(Text {
            text: plain.to_owned(),
            plain: true,
        }),
    }
}

/// Whether YAML 1.1 or 1.2 readers take this for a number: integers of any base, floats, `1_000`, `.inf`.
pub(crate) fn is_number(plain: &str) -> bool {
    let body = plain.strip_prefix(['-', '+']).unwrap_or(plain);
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(plain, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = body.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|c| c == '_' || c.is_digit(radix));
        }
    }
    is_decimal(body)
}

fn is_decimal(body: &str) -> bool {
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)),
        ),
        None => (body, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.chars().all(|c| c == '_' || c.is_ascii_digit());
    let starts_well = whole.is_empty() || whole.starts_with(|c: char| c.is_ascii_digit());
    starts_well
        && digits(whole)
        && digits(fraction)
        && mantissa.contains(|c: char| c.is_ascii_digit())
        && exponent.is_none_or(|e| !e.is_empty() && e.chars().all(|c| c.is_ascii_digit()))
}

/// The value of a decimal integer without leading zeroes or separators.
fn agreed_integer(plain: &str) -> Option<i64> {
    let body = plain.strip_prefix(['-', '+']).unwrap_or(plain);
    let agreed =
        body == "0" || (!body.starts_with('0') && body.chars().all(|c| c.is_ascii_digit()));
    if agreed { plain.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Expected<'a> = &'a dyn Fn(&str) -> Value;

    #[test]
    fn plain_scalars_resolve_as_yaml_1_2_does_and_doubtful_integers_have_no_value() {
        let number = |integer| {
            move |raw: &str| {
                Value::Number(Number {
                    raw: raw.to_owned(),
                    integer,
                })
            }
        };
        let text = |raw: &str| {
            Value::Text(Text {
                text: raw.to_owned(),
                plain: true,
            })
        };
        let cases: &[(&str, Expected<'_>)] = &[
            ("", &|_| Value::Null),
            ("~", &|_| Value::Null),
            ("NULL", &|_| Value::Null),
            ("nUll", &text),
            ("true", &|_| Value::Bool(true)),
            ("False", &|_| Value::Bool(false)),
            ("yes", &text),
            ("off", &text),
            ("12", &number(Some(12))),
            ("-3", &number(Some(-3))),
            ("+3", &number(Some(3))),
            ("0", &number(Some(0))),
            ("0644", &number(None)),
            ("0o644", &number(None)),
            ("0x1F", &number(None)),
            ("1_000", &number(None)),
            ("1.5", &number(None)),
            (".5", &number(None)),
            ("1e3", &number(None)),
            ("-.inf", &number(None)),
            (".nan", &number(None)),
            ("99999999999999999999", &number(None)),
            ("1.2.3", &text),
            ("e3", &text),
            ("_1", &text),
            ("-", &text),
            (".", &text),
            ("0x", &text),
            ("10:30", &text),
            ("12ab", &text),
        ];
        for (raw, expected) in cases {
            assert!(resolve_plain(raw) == expected(raw), "{raw:?}");
        }
    }

    #[test]
    fn a_node_shows_no_value() {
        let node = Node::text(Position::START, "hunter2");
        assert_eq!(format!("{node:?}"), "text at 1:1");
    }
}
