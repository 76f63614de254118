//! A choice as lines: the page once, then one line for what a key changed.

use super::PlainLog;
use crate::{
    choice::{Choice, ChoiceScreen, DOCUMENT_TITLE, Hint},
    words::clean,
};

/// What of a choice was said.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    page: Vec<String>,
    prompt: Vec<String>,
}

impl PlainLog {
    /// The lines to print for the present state of a choice. The clock is left out: it would be a line every minute.
    pub fn choice(&mut self, screen: &ChoiceScreen) -> Vec<String> {
        let mut lines = Vec::new();
        let page = page(screen);
        if page != self.choice.page {
            lines.extend(page.iter().cloned());
            self.choice.page = page;
            self.choice.prompt.clear();
        }
        let prompt = prompt(screen);
        if prompt != self.choice.prompt {
            lines.extend(prompt.iter().cloned());
            self.choice.prompt = prompt;
        }
        lines.iter().map(|line| clean(line)).collect()
    }
}

/// What stays while keys are pressed.
fn page(screen: &ChoiceScreen) -> Vec<String> {
    // A blank line: what the kernel said before is not part of it.
    let mut lines = vec![String::new()];
    lines.push(format!("{}: {}", screen.title, screen.headline));
    lines.extend(screen.text.iter().cloned());
    lines.extend(
        screen
            .facts
            .iter()
            .map(|fact| format!("  {}: {}", fact.name, fact.value)),
    );
    for (at, choice) in screen.choices.iter().enumerate() {
        lines.push(format!("  {}", numbered(choice, at)));
        if !choice.detail.is_empty() {
            lines.push(format!("      {}", choice.detail));
        }
    }
    lines.extend(document(&screen.document));
    lines
}

/// Lines to copy: nothing stands in front of them.
pub(super) fn document(document: &[String]) -> Vec<String> {
    if document.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("{DOCUMENT_TITLE}:")];
    lines.extend(document.iter().cloned());
    lines.push(String::new());
    lines
}

/// What the last key changed, and what the next can do.
fn prompt(screen: &ChoiceScreen) -> Vec<String> {
    let mut lines = Vec::new();
    if !screen.remark.is_empty() {
        lines.push(screen.remark.clone());
    }
    if let Some(entry) = &screen.entry {
        lines.push(format!("{}: {}_", entry.question, entry.typed));
        return lines;
    }
    let hints: Vec<String> = screen.hints.iter().map(in_words).collect();
    let hints = hints.join(", ");
    lines.push(match screen.choices.get(screen.chosen) {
        Some(choice) => format!("> {}  [{hints}]", numbered(choice, screen.chosen)),
        None => format!("[{hints}]"),
    });
    lines
}

fn numbered(choice: &Choice, at: usize) -> String {
    format!("{:>2}  {}", at + 1, choice.cells.join("  "))
}

fn in_words(hint: &Hint) -> String {
    let key = if hint.key == "↑↓" {
        "Up/Down"
    } else {
        hint.key
    };
    format!("{key}: {}", hint.does)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Entry;

    fn screen() -> ChoiceScreen {
        let choice = |name: &str| Choice {
            cells: vec![name.into(), "8.0 GiB".into()],
            detail: "empty".into(),
            enabled: true,
        };
        ChoiceScreen {
            title: "Choose a disk".into(),
            headline: "Which disk shall be erased?".into(),
            choices: vec![choice("/dev/vda"), choice("/dev/vdb")],
            hints: vec![
                Hint {
                    key: "↑↓",
                    does: "choose",
                },
                Hint {
                    key: "Enter",
                    does: "go on",
                },
            ],
            ..ChoiceScreen::default()
        }
    }

    #[test]
    fn a_page_is_said_once_and_each_key_that_changes_something_is_one_line() {
        let mut log = PlainLog::new();
        let mut screen = screen();
        assert_eq!(
            log.choice(&screen),
            [
                "",
                "Choose a disk: Which disk shall be erased?",
                "   1  /dev/vda  8.0 GiB",
                "      empty",
                "   2  /dev/vdb  8.0 GiB",
                "      empty",
                ">  1  /dev/vda  8.0 GiB  [Up/Down: choose, Enter: go on]",
            ]
        );
        screen.clock = "restarts in 9 min".into();
        assert_eq!(log.choice(&screen), [""; 0]);
        screen.chosen = 1;
        assert_eq!(
            log.choice(&screen),
            [">  2  /dev/vdb  8.0 GiB  [Up/Down: choose, Enter: go on]"]
        );
    }

    #[test]
    fn what_is_typed_is_said_and_lines_to_copy_stand_alone() {
        let mut log = PlainLog::new();
        let mut screen = ChoiceScreen {
            document: vec!["install:".into(), "  device: /dev/vda".into()],
            entry: Some(Entry {
                question: "Type ERASE and press Enter".into(),
                typed: String::new(),
            }),
            choices: Vec::new(),
            ..screen()
        };
        let lines = log.choice(&screen);
        assert!(
            lines.contains(&"  device: /dev/vda".to_owned()),
            "{lines:?}"
        );
        screen.entry.as_mut().unwrap().typed.push_str("ER");
        screen.remark = "Not yet.".into();
        assert_eq!(
            log.choice(&screen),
            ["Not yet.", "Type ERASE and press Enter: ER_"]
        );
    }
}
