//! The form of user-data as tables: which keys there are and what each holds.
//!
//! A table says everything that can be said about one key alone: its name, its type, what it is for, whether it is old
//! or not carried out. What needs two keys or the content of a value is said where the value is read. A new key is a line
//! in a table; the JSON Schema and the reference for people come from the same lines.

use crate::finding::{Findings, Rule, Severity};
use crate::hint::did_you_mean;
use crate::key_path::KeyPath;
use crate::tree::{Entry, Node, Value};

/// What a key holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Text. A bare number is refused: other readers would not take it for text.
    Text,
    /// Text, one of these. Which of them it is, is checked where it is read.
    Choice(&'static [&'static str]),
    /// Text or a number, kept as written.
    Scalar,
    /// `true` or `false`, unquoted.
    Bool,
    /// A whole number in decimal, from 0.
    Count,
    /// A list of texts.
    Texts,
    /// A text or a list of texts.
    TextOrTexts,
    /// A mapping from any name to a scalar.
    Scalars,
    /// A mapping from any name to a list of texts.
    NamedTexts,
    /// A mapping with known keys.
    Object(&'static Schema),
    /// A list of such mappings.
    Objects(&'static Schema),
    /// A mapping from any name to such mappings.
    Named(&'static Schema),
    /// A list of such mappings, or a mapping from any name to them.
    ObjectsOrNamed(&'static Schema),
    /// Stages with their steps; checked where they are read, since a broken step must not take its neighbours with it.
    Stages,
    /// A list of such mappings, one of which may be the text `default`; checked where it is read.
    Users(&'static Schema),
    /// Anything, kept as it is.
    Any,
}

/// What is known about a key beyond its shape.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Status {
    /// Nothing else.
    Current,
    /// There is a newer way to say it (rule U30); the text is the advice.
    Legacy(Severity, &'static str),
    /// Accepted and kept, but this version does not act on it (rule U36).
    NotCarriedOut,
    /// Never acted on, and going on without it would mislead (rule U36); the text is the advice. In a file that is read
    /// at boot it is a warning: the other parts of its step still run.
    Refused(&'static str),
}

/// One key.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) status: Status,
    /// What the key is for, for editors and the reference.
    pub(crate) doc: &'static str,
}

/// What becomes of keys that are in no table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unknown {
    /// They are errors.
    Refused,
    /// They are warnings: nobody would act on them.
    Warned,
    /// They belong to somebody else; only those that look misspelt are warned about.
    Kept,
    /// They are names of the author's own, each with a scalar.
    Scalars,
}

/// The keys of one mapping.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) fields: &'static [&'static [Field]],
    /// Keys that are often put here but belong elsewhere (rule U07), with the advice.
    pub(crate) misplaced: &'static [(&'static str, &'static str)],
    pub(crate) unknown: Unknown,
}

/// A current key.
pub(crate) const fn field(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    with_status(name, shape, Status::Current, doc)
}

/// A key with a newer name, which some readers no longer know. Its value is read as if it stood under the new name.
pub(crate) const fn renamed(
    name: &'static str,
    shape: Shape,
    advice: &'static str,
    doc: &'static str,
) -> Field {
    let status = Status::Legacy(Severity::Warning, advice);
    with_status(name, shape, status, doc)
}

/// A key that no longer does anything.
pub(crate) const fn obsolete(
    name: &'static str,
    shape: Shape,
    advice: &'static str,
    doc: &'static str,
) -> Field {
    let status = Status::Legacy(Severity::Info, advice);
    with_status(name, shape, status, doc)
}

/// A key that is kept but not acted on.
pub(crate) const fn not_carried_out(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    with_status(name, shape, Status::NotCarriedOut, doc)
}

/// A key that is not acted on and without which the document would not do what it says.
pub(crate) const fn refused(name: &'static str, advice: &'static str, doc: &'static str) -> Field {
    with_status(name, Shape::Any, Status::Refused(advice), doc)
}

const fn with_status(name: &'static str, shape: Shape, status: Status, doc: &'static str) -> Field {
    Field {
        name,
        shape,
        status,
        doc,
    }
}

/// The keys of a mapping that refuses all others.
pub(crate) const fn strict(fields: &'static [&'static [Field]]) -> Schema {
    Schema {
        fields,
        misplaced: &[],
        unknown: Unknown::Refused,
    }
}

/// The keys of a mapping that warns about all others.
pub(crate) const fn tolerant(fields: &'static [&'static [Field]]) -> Schema {
    Schema {
        fields,
        misplaced: &[],
        unknown: Unknown::Warned,
    }
}

impl Field {
    /// Whether this version does nothing about the key.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.status, Status::NotCarriedOut | Status::Refused(_))
    }
}

impl Schema {
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields
            .iter()
            .flat_map(|group| group.iter())
            .find(|field| field.name == name)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields
            .iter()
            .flat_map(|group| group.iter())
            .map(|field| field.name)
    }
}

/// Adds a key to a path of keys that is kept.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Checks a mapping and everything below it against its table.
pub(crate) fn check_object(
    node: &Node,
    schema: &Schema,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) {
    if !matches!(node.value, Value::Map(_)) {
        return wrong_type(node, "a mapping", path, findings);
    }
    for entry in node.entries() {
        check_entry(entry, schema, path, findings);
    }
}

fn check_entry(entry: &Entry, schema: &Schema, path: &KeyPath<'_>, findings: &mut Findings) {
    let full = path.key(&entry.key);
    let Some(field) = schema.field(&entry.key) else {
        return unknown_key(entry, schema, &full, findings);
    };
    match field.status {
        Status::Current => {}
        Status::Legacy(Severity::Info, advice) => {
            let reason = "this no longer does anything";
            findings.info(Rule::Legacy, entry.position, full, reason, advice);
        }
        Status::Legacy(_, advice) => {
            let reason =
                "this is an old name; it is read as the new one, other programs may pass over it";
            findings.warning(Rule::Legacy, entry.position, full, reason, advice);
        }
        Status::NotCarriedOut => {
            let reason = "this is valid but not carried out by this version";
            findings.warning(Rule::NotCarriedOut, entry.position, full, reason, "");
        }
        Status::Refused(advice) => {
            let reason = "this is valid elsewhere, but never carried out here";
            findings.refusal(Rule::NotCarriedOut, entry.position, full, reason, advice);
        }
    }
    check(&entry.node, field.shape, &full, findings);
}

fn unknown_key(entry: &Entry, schema: &Schema, full: &KeyPath<'_>, findings: &mut Findings) {
    if matches!(schema.unknown, Unknown::Scalars) {
        return check(&entry.node, Shape::Scalar, full, findings);
    }
    if let Some((_, advice)) = schema.misplaced.iter().find(|(key, _)| *key == entry.key) {
        return findings.error(
            Rule::Misplaced,
            entry.position,
            full,
            "this key belongs elsewhere",
            advice,
        );
    }
    let hint = did_you_mean(&entry.key, schema.names());
    let advice = hint.map_or_else(String::new, |name| {
        format!("write `{name}` if that is meant")
    });
    let reason = "there is no such key";
    match schema.unknown {
        Unknown::Refused => {
            let advice = if advice.is_empty() {
                "remove it"
            } else {
                &advice
            };
            findings.unknown_key(entry.position, full, reason, advice);
        }
        Unknown::Warned => {
            findings.warning(Rule::UnknownKey, entry.position, full, reason, &advice);
        }
        Unknown::Kept if hint.is_some() => {
            findings.warning(
                Rule::UnknownKey,
                entry.position,
                full,
                "no part of the host is known to read this key",
                &advice,
            );
        }
        Unknown::Kept | Unknown::Scalars => {}
    }
}

/// Checks one value.
pub(crate) fn check(node: &Node, shape: Shape, path: &KeyPath<'_>, findings: &mut Findings) {
    if matches!(node.value, Value::Null)
        && !matches!(shape, Shape::Any | Shape::Stages | Shape::Users(_))
    {
        let advice = "write a value or remove the key";
        return findings.error(
            Rule::Empty,
            node.position,
            path,
            "nothing stands here",
            advice,
        );
    }
    match shape {
        Shape::Any | Shape::Stages | Shape::Users(_) => {}
        Shape::Scalar => {
            if node.as_scalar().is_none() {
                wrong_type(node, "text or a number", path, findings);
            }
        }
        Shape::Bool => check_bool(node, path, findings),
        Shape::Count => check_count(node, path, findings),
        Shape::Texts => check_list(node, "a list of texts", Shape::Text, path, findings),
        Shape::TextOrTexts if matches!(node.value, Value::List(_)) => {
            check(node, Shape::Texts, path, findings);
        }
        Shape::Text | Shape::Choice(_) | Shape::TextOrTexts => check_text(node, path, findings),
        Shape::Scalars => check_named(node, Shape::Scalar, path, findings),
        Shape::NamedTexts => check_named(node, Shape::Texts, path, findings),
        Shape::Named(schema) => check_named(node, Shape::Object(schema), path, findings),
        Shape::Object(schema) => check_object(node, schema, path, findings),
        Shape::ObjectsOrNamed(schema) if matches!(node.value, Value::Map(_)) => {
            check_named(node, Shape::Object(schema), path, findings);
        }
        Shape::Objects(schema) | Shape::ObjectsOrNamed(schema) => {
            let expected = "a list of mappings";
            check_list(node, expected, Shape::Object(schema), path, findings);
        }
    }
}

fn check_text(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    match &node.value {
        Value::Text(_) => {}
        Value::Number(_) | Value::Bool(_) => {
            // The value itself is not repeated: it may be a password.
            let reason = format!("text is needed, but readers take this for {}", node.kind());
            findings.error(
                Rule::Type,
                node.position,
                path,
                &reason,
                "put it in double quotes",
            );
        }
        _ => wrong_type(node, "text", path, findings),
    }
}

fn check_bool(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    let Value::Text(text) = &node.value else {
        if !matches!(node.value, Value::Bool(_)) {
            wrong_type(node, "`true` or `false`", path, findings);
        }
        return;
    };
    let advice = match text.text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => "write `true` without quotes",
        "false" | "no" | "off" | "n" => "write `false` without quotes",
        _ => "write `true` or `false` without quotes",
    };
    findings.error(
        Rule::Type,
        node.position,
        path,
        "`true` or `false` is needed, this is text",
        advice,
    );
}

fn check_count(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    match &node.value {
        Value::Number(number) if number.integer.is_some_and(|value| value >= 0) => {}
        Value::Number(_) => {
            let reason = "a whole number from 0 is needed, in decimal and without leading zeroes";
            findings.error(
                Rule::Type,
                node.position,
                path,
                reason,
                "write it in decimal",
            );
        }
        _ => wrong_type(node, "a whole number", path, findings),
    }
}

fn check_list(
    node: &Node,
    expected: &str,
    item: Shape,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) {
    if !matches!(node.value, Value::List(_)) {
        return wrong_type(node, expected, path, findings);
    }
    for (index, node) in node.items().iter().enumerate() {
        check(node, item, &path.item(index), findings);
    }
}

fn check_named(node: &Node, value: Shape, path: &KeyPath<'_>, findings: &mut Findings) {
    if !matches!(node.value, Value::Map(_)) {
        return wrong_type(node, "a mapping", path, findings);
    }
    for entry in node.entries() {
        check(&entry.node, value, &path.key(&entry.key), findings);
    }
}

/// Reports that `expected` should stand here.
pub(crate) fn wrong_type(node: &Node, expected: &str, path: &KeyPath<'_>, findings: &mut Findings) {
    let reason = format!("{expected} is needed, this is {}", node.kind());
    findings.error(Rule::Type, node.position, path, &reason, "");
}
