//! Why a text cannot be read, where, and what was probably meant.

use serde_yaml::granit_parser::{ErrorKind, ScanError};

use crate::finding::{Position, Rule};

/// Why reading stops here.
pub(super) struct Refusal {
    pub(super) rule: Rule,
    pub(super) position: Position,
    pub(super) reason: String,
    pub(super) advice: &'static str,
}

impl Refusal {
    pub(super) fn new(
        rule: Rule,
        position: Position,
        reason: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self {
            rule,
            position,
            reason: reason.into(),
            advice,
        }
    }
}

/// The position of a place of the parser, which counts columns from 0.
pub(super) fn position_of(line: usize, column: usize) -> Position {
    Position {
        line,
        column: column.saturating_add(1),
    }
}

/// Turns an error of the parser into a refusal, with advice where the text shows what was meant.
pub(super) fn refusal(error: &ScanError, text: &str) -> Refusal {
    let mut position = position_of(error.marker().line(), error.marker().col());
    let (rule, advice) = match error.kind() {
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => {
            position = first_tab(text, position).unwrap_or(position);
            (Rule::Tab, "indent with blanks")
        }
        ErrorKind::RecursionLimitExceeded => (Rule::Limit, "nest less deeply"),
        ErrorKind::UnknownAnchor => (Rule::Syntax, "quote the text if it starts with `*`"),
        _ => match misplaced_switch(text, position.line) {
            Some(found) => {
                position = found.position;
                (Rule::Syntax, found.advice)
            }
            None => (
                Rule::Syntax,
                "indent keys of one mapping by the same number of blanks, and quote text that has `: ` or ` #`",
            ),
        },
    };
    Refusal::new(
        rule,
        position,
        format!("the text is not valid YAML: {}", error.info()),
        advice,
    )
}

/// The first tab of the line; the parser points behind it.
fn first_tab(text: &str, position: Position) -> Option<Position> {
    let line = text.lines().nth(position.line.checked_sub(1)?)?;
    let column = line.chars().position(|c| c == '\t')?;
    Some(position_of(position.line, column))
}

struct MisplacedSwitch {
    position: Position,
    advice: &'static str,
}

/// Finds `reboot` or `poweroff` at a broken indentation, the best known slip of published samples (rule U02).
fn misplaced_switch(text: &str, line: usize) -> Option<MisplacedSwitch> {
    let candidates = [line, line.saturating_sub(1)];
    candidates.into_iter().find_map(|number| {
        let source = text.lines().nth(number.checked_sub(1)?)?;
        let key = source.trim_start_matches(' ');
        let advice = if key.starts_with("reboot:") {
            "`reboot` belongs under `install:`, indented by two blanks"
        } else if key.starts_with("poweroff:") {
            "`poweroff` belongs under `install:`, indented by two blanks"
        } else {
            return None;
        };
        let indent = source.len().saturating_sub(key.len());
        (indent > 0).then(|| MisplacedSwitch {
            position: position_of(number, indent),
            advice,
        })
    })
}
