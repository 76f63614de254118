//! From the tree back to text that every reader takes for the same.
//!
//! Structure is always block style. Plain scalars of the source stay as they were written, since only the same token
//! has the same meaning for YAML 1.1 and 1.2; everything else is quoted unless it is plainly a word.

use serde_yaml::DoubleQuoted;

use crate::tree::{Entry, Node, Text, Value, is_number};

/// Blanks for each level.
const STEP: usize = 2;

/// Writes a mapping as a YAML document without header.
pub(crate) fn to_yaml(node: &Node) -> String {
    let mut out = String::new();
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => write_map(entries, 0, &mut out),
        Value::List(items) if !items.is_empty() => write_list(items, 0, &mut out),
        _ => {
            write_scalar(node, STEP, &mut out);
            out.push('\n');
        }
    }
    out
}

fn write_map(entries: &[Entry], indent: usize, out: &mut String) {
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            pad(indent, out);
        }
        write_key(entry, out);
        out.push(':');
        write_value(&entry.node, indent, out);
    }
}

/// Writes what stands behind `key:`, with its line break.
fn write_value(node: &Node, indent: usize, out: &mut String) {
    let deeper = indent.saturating_add(STEP);
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            pad(deeper, out);
            write_map(entries, deeper, out);
        }
        Value::List(items) if !items.is_empty() => {
            out.push('\n');
            pad(deeper, out);
            write_list(items, deeper, out);
        }
        _ => {
            out.push(' ');
            write_scalar(node, deeper, out);
            out.push('\n');
        }
    }
}

fn write_list(items: &[Node], indent: usize, out: &mut String) {
    let deeper = indent.saturating_add(STEP);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(indent, out);
        }
        out.push_str("- ");
        match &item.value {
            Value::Map(entries) if !entries.is_empty() => write_map(entries, deeper, out),
            Value::List(items) if !items.is_empty() => write_list(items, deeper, out),
            _ => {
                write_scalar(item, deeper, out);
                out.push('\n');
            }
        }
    }
}

fn write_key(entry: &Entry, out: &mut String) {
    if is_word(&entry.key) && (entry.plain || !is_ambiguous(&entry.key)) {
        out.push_str(&entry.key);
    } else {
        out.push_str(&quote(&entry.key));
    }
}

fn write_scalar(node: &Node, indent: usize, out: &mut String) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.raw),
        Value::Text(text) => write_text(text, indent, out),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

fn write_text(Text { text, plain }: &Text, indent: usize, out: &mut String) {
    if is_word(text) && (*plain || !is_ambiguous(text)) {
        out.push_str(text);
    } else if fits_literal(text) {
        write_literal(text, indent, out);
    } else {
        out.push_str(&quote(text));
    }
}

/// Whether a text can stand without quotes in any place: no character that YAML could take for syntax.
fn is_word(text: &str) -> bool {
    let inner = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '_' | '-' | '.' | '/' | '+' | '=' | '@' | '~' | ' ')
    };
    let edge = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/');
    text.starts_with(edge) && !text.ends_with(' ') && text.chars().all(inner)
}

/// Whether some reader takes an unquoted text for a number, a date, a bool or null (YAML 1.1 type repository).
fn is_ambiguous(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let reserved = matches!(
        lower.as_str(),
        "" | "~"
            | "null"
            | "true"
            | "false"
            | "yes"
            | "no"
            | "on"
            | "off"
            | "y"
            | "n"
            | "nan"
            | "inf"
    );
    // A date or another number-like form of any reader starts with a digit; versions are quoted with them, no harm.
    reserved
        || is_number(text)
        || text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))
}

/// Whether a text of several lines can be a literal block: every line printable, and the first one not indented, since
/// its indentation would be taken for the block's.
fn fits_literal(text: &str) -> bool {
    let printable =
        |c: char| matches!(c, '\n' | '\t' | ' '..='~') || (c >= '\u{a0}' && !is_break_or_mark(c));
    let lines = text.trim_end_matches('\n');
    lines.contains('\n') && !lines.starts_with([' ', '\t', '\n']) && text.chars().all(printable)
        // Only blanks at the end of the last line would be lost with some readers.
        && !lines.ends_with([' ', '\t'])
}

/// Line breaks of YAML 1.1 and the byte-order mark.
fn is_break_or_mark(c: char) -> bool {
    matches!(
        c,
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

fn write_literal(text: &str, indent: usize, out: &mut String) {
    let body = text.trim_end_matches('\n');
    let breaks = text.len().saturating_sub(body.len());
    out.push_str(match breaks {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(indent, out);
            out.push_str(line);
        }
    }
    // The caller ends the last line; further breaks are empty lines kept by `|+`.
    out.extend(std::iter::repeat_n('\n', breaks.saturating_sub(1)));
}

/// Quotes with the escapes of the YAML crate; should it ever fail, JSON's form is YAML too.
fn quote(text: &str) -> String {
    match serde_yaml::to_string(&DoubleQuoted(text)) {
        Ok(quoted) => quoted.trim_end_matches('\n').to_owned(),
        Err(_) => format!("\"{}\"", text.escape_default()),
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::finding::{Findings, Position};
    use crate::tree::resolve_plain;

    fn text(text: &str) -> Node {
        Node::text(Position::START, text)
    }

    fn map(entries: Vec<(String, Node)>) -> Node {
        let entry = |(key, node)| Entry {
            key,
            plain: false,
            position: Position::START,
            node,
        };
        Node {
            position: Position::START,
            value: Value::Map(entries.into_iter().map(entry).collect()),
        }
    }

    /// The meaning without positions and style.
    fn meaning(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => serde_json::json!({ "number": number.raw }),
            Value::Text(text) => text.text.clone().into(),
            Value::List(items) => items.iter().map(meaning).collect::<Vec<_>>().into(),
            Value::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .map(|e| (format!("key {}", e.key), meaning(&e.node)))
                    .collect(),
            ),
        }
    }

    fn read(yaml: &str) -> Node {
        let mut findings = Findings::new("written");
        let node = crate::reader::read(yaml, &mut findings);
        node.unwrap_or_else(|| panic!("{:?}\n{yaml}", findings.finish()))
    }

    #[test]
    fn text_is_quoted_where_a_reader_could_take_it_for_something_else() {
        let cases = [
            ("kairos", "kairos"),
            ("/etc/aws", "/etc/aws"),
            ("two words", "two words"),
            ("yes", "\"yes\""),
            ("NULL", "\"NULL\""),
            ("", "\"\""),
            ("0644", "\"0644\""),
            ("2026-01-01", "\"2026-01-01\""),
            ("1.5", "\"1.5\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("*", "\"*\""),
            ("end ", "\"end \""),
            ("a\nb\n", "|\n    a\n    b"),
            ("a\nb", "|-\n    a\n    b"),
            ("a\n\n\tb\n\n", "|+\n    a\n\n    \tb\n"),
            ("a\rb", "\"a\\rb\""),
            (" a\nb", "\" a\\nb\""),
        ];
        for (given, expected) in cases {
            let yaml = to_yaml(&map(vec![("k".to_owned(), text(given))]));
            assert_eq!(
                yaml,
                format!("k: {}\n", expected.replace("\n    ", "\n  ")),
                "{given:?}"
            );
        }
    }

    #[test]
    fn plain_scalars_stay_as_they_were_written() {
        for plain in [
            "0644",
            "yes",
            "0x1F",
            "1_000",
            "1.10",
            "2026-01-01",
            "true",
            "~",
        ] {
            let yaml = to_yaml(&map(vec![(
                "k".to_owned(),
                Node {
                    position: Position::START,
                    value: resolve_plain(plain),
                },
            )]));
            let expected = if plain == "~" { "null" } else { plain };
            assert_eq!(yaml, format!("k: {expected}\n"));
        }
    }

    #[test]
    fn longest_keys_and_empty_collections_can_be_read_again() {
        let empty = |value| Node {
            position: Position::START,
            value,
        };
        let node = map(vec![
            ("x".repeat(512), text("v")),
            (
                "list".to_owned(),
                empty(Value::List(vec![map(vec![("'".repeat(512), text("w"))])])),
            ),
            ("none".to_owned(), empty(Value::List(Vec::new()))),
            ("void".to_owned(), empty(Value::Map(Vec::new()))),
        ]);
        assert_eq!(meaning(&read(&to_yaml(&node))), meaning(&node));
    }

    fn any_text() -> impl Strategy<Value = String> {
        let readable = |c: &char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
        prop_oneof![
            "[a-z /:#'\"\\\\|>%@`!&*?{}\\[\\],~0-9.+-]{0,12}",
            "[a-z \t\n#:-]{0,20}",
            "(yes|no|on|off|null|~|true|0[0-7]{1,4}|1_0|[0-9]{4}-[0-9]{2}-[0-9]{2}|<<|---|\\.\\.\\.)",
            proptest::collection::vec(any::<char>().prop_filter("YAML allows it", readable), 0..12)
                .prop_map(String::from_iter),
        ]
    }

    fn any_node() -> impl Strategy<Value = Node> {
        let plain = "(0644|12|-1|1\\.50|true|False|null|0x1f|abc|\\.inf)";
        let leaf = prop_oneof![
            any_text().prop_map(|value| text(&value)),
            plain.prop_map(|value| Node {
                position: Position::START,
                value: resolve_plain(&value)
            }),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(|items| Node {
                    position: Position::START,
                    value: Value::List(items)
                }),
                proptest::collection::btree_map(any_text(), inner, 0..5)
                    .prop_map(|entries| map(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_means_the_same_when_it_is_read_again(node in any_node()) {
            let yaml = to_yaml(&node);
            prop_assert_eq!(meaning(&read(&yaml)), meaning(&node), "{}", yaml);
        }

        #[test]
        fn another_reader_finds_the_same_texts(value in any_text()) {
            let yaml = to_yaml(&map(vec![("k".to_owned(), text(&value))]));
            let read: std::collections::BTreeMap<String, serde_json::Value> = serde_yaml::from_str(&yaml).unwrap();
            prop_assert_eq!(&read["k"], &serde_json::Value::String(value), "{}", yaml);
        }
    }
}
