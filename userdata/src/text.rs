//! From bytes to text: what is refused before a parser sees it.

use crate::finding::{Findings, Position, Rule};

/// The largest document: 1 MiB. Kairos skips larger files, so a larger one would be lost later on.
pub const MAX_BYTES: usize = 1 << 20;

/// The byte-order mark that some editors put first.
const BOM: char = '\u{feff}';

/// The first line that makes a document user-data.
pub(crate) const HEADER: &str = "#cloud-config";

/// Gives the text of a document, or says why it is none.
pub(crate) fn decode<'a>(bytes: &'a [u8], findings: &mut Findings) -> Option<&'a str> {
    if bytes.len() > MAX_BYTES {
        let reason = format!(
            "the document has {} bytes, the limit is {MAX_BYTES}",
            bytes.len()
        );
        findings.error(
            Rule::Limit,
            Position::START,
            "",
            &reason,
            "move large files out of the user-data",
        );
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid =
                String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
            let at = position_of(&valid, valid.len());
            findings.error(
                Rule::Limit,
                at,
                "",
                "the text is not UTF-8",
                "save the file as UTF-8",
            );
            return None;
        }
    };
    match text.char_indices().find(|&(_, c)| is_forbidden(c)) {
        Some((offset, c)) => {
            let reason = format!("the control character U+{:04X} stands here", u32::from(c));
            let advice = "remove it, or write it as an escape between double quotes";
            findings.error(Rule::Limit, position_of(text, offset), "", &reason, advice);
            None
        }
        None => Some(text),
    }
}

/// Checks that the first line is the header, as the strictest reader of user-data does (rule U01).
pub(crate) fn check_header(text: &str, findings: &mut Findings) {
    let first = text.lines().next().unwrap_or_default().trim_end();
    if first == HEADER {
        return;
    }
    let advice = format!("write `{HEADER}` alone on line 1");
    let reason = if first.strip_prefix(BOM) == Some(HEADER) {
        findings.error(
            Rule::Header,
            Position::START,
            "",
            "a byte-order mark stands before the header",
            "save the file as UTF-8 without a byte-order mark",
        );
        return;
    } else if let Some(at) = text.lines().position(|line| line.trim() == HEADER) {
        format!(
            "the header `{HEADER}` stands on line {}, not alone at the start of line 1",
            at.saturating_add(1)
        )
    } else {
        format!("the first line is not `{HEADER}`")
    };
    findings.error(Rule::Header, Position::START, "", &reason, &advice);
}

/// Takes off a byte-order mark.
pub(crate) fn without_bom(text: &str) -> &str {
    text.strip_prefix(BOM).unwrap_or(text)
}

/// Controls that YAML does not allow unescaped; among them NUL and the escape that steers terminals.
fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'))
        || matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn position_of(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        .saturating_add(1);
    Position { line, column }
}
