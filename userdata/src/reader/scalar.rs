//! What a scalar is, by its style and its tag.

use std::borrow::Cow;

use serde_yaml::granit_parser::{ScalarStyle, Tag};

use super::refusal::Refusal;
use crate::finding::{Position, Rule};
use crate::tree::{Node, Text, Value, resolve_plain};

pub(super) fn scalar(
    text: Cow<'_, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
    position: Position,
) -> Result<Node, Refusal> {
    let value = match tag {
        None if style == ScalarStyle::Plain => resolve_plain(&text),
        Some(tag) if tag.core_suffix() != Some("str") => return Err(unknown_tag(tag, position)),
        _ => Value::Text(Text {
            text: text.into_owned(),
            plain: false,
        }),
    };
    Ok(Node { position, value })
}

pub(super) fn check_tag(
    tag: Option<&Tag>,
    expected: &str,
    position: Position,
) -> Result<(), Refusal> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(expected) => Err(unknown_tag(tag, position)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, position: Position) -> Refusal {
    let reason = format!(
        "the tag `{}{}` is not used in user-data",
        tag.original_handle(),
        tag.suffix()
    );
    Refusal::new(
        Rule::Syntax,
        position,
        reason,
        "remove the tag, or quote the text if it starts with `!`",
    )
}
