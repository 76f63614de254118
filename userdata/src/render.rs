//! Findings for people: one sentence, the line it is about, and a caret.

use crate::finding::{Finding, Severity, printable};
use crate::secret::{MASK, SECRET_KEYS};

/// Longest excerpt in characters; longer lines are cut around the caret.
const WIDTH: usize = 100;
/// What of [`WIDTH`] is shown before the caret.
const BEFORE: usize = 60;

/// Renders findings with excerpts of the source, in the order given.
///
/// `color` asks for ANSI colours. Values of secret keys are masked in the excerpts, and a terminal cannot be steered by
/// them. The text ends with a count, or is empty without findings.
pub fn render(findings: &[Finding], source_text: &str, color: bool) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let source: Vec<&str> = source_text.lines().collect();
    let mut lines = Vec::new();
    for finding in findings {
        let (start, end) = if color {
            (paint(finding.severity), "\u{1b}[0m")
        } else {
            ("", "")
        };
        lines.push(format!("{start}{finding}{end}"));
        let number = finding.position.line;
        if let Some(line) = number.checked_sub(1).and_then(|index| source.get(index)) {
            let (excerpt, caret) = excerpt(line, finding.position.column);
            let margin = " ".repeat(number.to_string().len());
            lines.push(format!("  {number} | {excerpt}"));
            lines.push(format!("  {margin} | {start}{}^{end}", " ".repeat(caret)));
        }
    }
    let count = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let errors = counted(count(Severity::Error), "error");
    let warnings = counted(count(Severity::Warning), "warning");
    lines.push(format!("{errors}, {warnings}\n"));
    lines.join("\n")
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn paint(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "\u{1b}[1;31m",
        Severity::Warning => "\u{1b}[1;33m",
        Severity::Info => "\u{1b}[1;36m",
    }
}

/// The line as it may be shown, and how many columns the caret stands from its start.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let shown = mask(line.trim_end().trim_start_matches('\u{feff}'));
    // One column for each character, so that the caret stays where it belongs.
    let shown: Vec<char> = shown
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let caret = column.saturating_sub(1).min(shown.len());
    let first = if shown.len() > WIDTH {
        caret.saturating_sub(BEFORE)
    } else {
        0
    };
    let excerpt: String = shown.iter().skip(first).take(WIDTH).collect();
    (printable(&excerpt), caret.saturating_sub(first))
}

/// Hides what stands behind a key that may hold a secret. Text and not tree: a broken line has no tree.
fn mask(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let Some((found, key)) = SECRET_KEYS
        .iter()
        .filter_map(|key| Some((lower.find(key)?, *key)))
        .min()
    else {
        return line.to_owned();
    };
    let after_key = found.saturating_add(key.len());
    let rest = line.get(after_key..).unwrap_or_default();
    // Without a colon the key ends at a blank: such a line is a mistake, its value may be a secret all the same.
    let gap = rest
        .find(':')
        .map(|colon| colon.saturating_add(1))
        .or_else(|| rest.find(char::is_whitespace));
    match gap.and_then(|gap| rest.split_at_checked(gap)) {
        Some((_, tail)) if !tail.trim().is_empty() => {
            let head = line
                .get(..line.len().saturating_sub(tail.len()))
                .unwrap_or_default();
            format!("{head} {MASK}")
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_keys_are_masked_even_in_lines_that_are_not_yaml() {
        let cases = [
            ("    edgeHostToken: abc", "    edgeHostToken: ***"),
            ("  - {name: a, passwd: 'x'}", "  - {name: a, passwd: ***"),
            ("\"password\": x", "\"password\": ***"),
            ("httpsProxy: http://u:p@h", "httpsProxy: ***"),
            ("  passwd:", "  passwd:"),
            ("  edgeHostToken abc", "  edgeHostToken ***"),
            ("commands:", "commands:"),
        ];
        for (line, expected) in cases {
            assert_eq!(mask(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(300), "b".repeat(300));
        let (shown, caret) = excerpt(&line, 301);
        assert_eq!(shown.chars().count(), WIDTH);
        assert_eq!(shown.chars().nth(caret), Some('X'));
    }

    #[test]
    fn the_caret_stays_under_the_line() {
        assert_eq!(excerpt("a\tb\u{1b}c", 5), ("a b c".to_owned(), 4));
        assert_eq!(excerpt("ab", 40), ("ab".to_owned(), 2));
        assert_eq!(excerpt("passwd: abc", 9), ("passwd: ***".to_owned(), 8));
    }
}
