//! What can be chosen, and the screen that says so. Nothing here touches the machine.

use std::time::Duration;

use tui::{InstallScreen, Outcome};

use super::keys::Key;
use crate::code::Code;
use crate::report::{self, Finished};

/// The word that must be typed before data is lost.
const WORD: &str = "RESET";

/// What somebody chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Restart into the default menu entry.
    Restart,
    /// Reset.
    Reset,
    /// Switch off.
    PowerOff,
}

/// The choice while it is being made.
#[derive(Debug, Clone)]
pub struct Menu {
    /// How an attempt before ended.
    ended: Option<Finished>,
    /// What was typed of [`WORD`]; `None` while nothing is to be typed.
    typed: Option<String>,
    /// The word was not the right one.
    mistyped: bool,
}

impl Menu {
    /// A menu; `ended` is how a reset before it was refused or failed.
    pub const fn new(ended: Option<Finished>) -> Self {
        Self {
            ended,
            typed: None,
            mistyped: false,
        }
    }

    /// What a key does.
    pub fn key(&mut self, key: Key) -> Option<Choice> {
        let Some(typed) = &mut self.typed else {
            self.mistyped = false;
            return match key {
                Key::Char('1') => Some(Choice::Restart),
                Key::Char('2') => {
                    self.typed = Some(String::new());
                    None
                }
                Key::Char('3') => Some(Choice::PowerOff),
                _ => None,
            };
        };
        match key {
            Key::Char(letter) if typed.len() < WORD.len() => typed.push(letter),
            Key::Char(_) | Key::Up | Key::Down => {}
            Key::Backspace => drop(typed.pop()),
            Key::Enter if typed == WORD => return Some(Choice::Reset),
            Key::Enter | Key::Escape => {
                self.mistyped = key == Key::Enter;
                self.typed = None;
            }
        }
        None
    }

    /// What is to be done now. `left` is when the machine restarts by itself.
    fn prompt(&self, left: Option<Duration>) -> String {
        if let Some(typed) = &self.typed {
            return format!(
                "All data will be lost. Type {WORD} and press Enter, or go back with Esc: {typed}_"
            );
        }
        let mistyped = if self.mistyped {
            format!("That was not {WORD}; nothing was done. ")
        } else {
            String::new()
        };
        let clock = left.map_or_else(String::new, |left| {
            let minutes = left.as_secs().div_ceil(60);
            format!(" Without a key, it restarts in {minutes} min.")
        });
        format!("{mistyped}{KEYS}{clock}")
    }

    /// The same as lines, for a console that does not draw: the clock would make a new line every minute.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.typed.as_deref() == Some("") {
            lines.extend(WHAT_A_RESET_IS.map(str::to_owned));
        }
        lines.push(self.prompt(None));
        lines
    }

    /// What was wrong, or what this is, as lines for a console that does not draw.
    pub fn headlines(&self) -> Vec<String> {
        let Some(end) = &self.ended else {
            return vec![
                format!("{}: {WHAT_THIS_IS}", Code::RecoveryOnly),
                UNCHANGED.into(),
            ];
        };
        let mut lines = vec![trouble(end)];
        if end.result == report::Outcome::Refused {
            lines.push(UNCHANGED.into());
        }
        lines.extend(end.action.clone());
        lines
    }

    /// The screen, `left` before the machine restarts by itself.
    pub fn screen(&self, left: Duration) -> InstallScreen {
        let mut screen = InstallScreen {
            version: env!("CARGO_PKG_VERSION").into(),
            log_tail: WHAT_A_RESET_IS.map(str::to_owned).to_vec(),
            ..InstallScreen::default()
        };
        let prompt = self.prompt(Some(left));
        let refused = |code: &str, reason: &str| Outcome::Refused {
            code: code.to_owned(),
            reason: reason.to_owned(),
            action: prompt.clone(),
        };
        match &self.ended {
            None => screen.outcome = Some(refused(Code::RecoveryOnly.as_str(), WHAT_THIS_IS)),
            Some(end) if end.result == report::Outcome::Refused => {
                let code = end.code.as_deref().unwrap_or_default();
                screen.outcome = Some(refused(code, end.reason.as_deref().unwrap_or_default()));
            }
            // The outcome "failed" of an install says that the disk does not boot; a reset says itself what is true.
            Some(end) => {
                let action = end.action.as_deref().unwrap_or_default();
                screen.current = format!("{} {action} {prompt}", trouble(end));
            }
        }
        screen
    }
}

const WHAT_THIS_IS: &str =
    "This is the recovery system of this machine. The installed system does not run now.";
const KEYS: &str =
    "Press 1 to restart the normal system, 2 to reset it, 3 to switch the machine off.";
/// Each fits a line of the smallest console.
const WHAT_A_RESET_IS: [&str; 3] = [
    "A reset writes both systems and the boot files again from recovery.",
    "All data on the persistent partition is lost.",
    "User-data, registration and extra partitions are kept.",
];
const UNCHANGED: &str = Outcome::DISK_UNTOUCHED;

fn trouble(end: &Finished) -> String {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("Reset: {} {}", text(&end.code), text(&end.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Trouble;

    fn type_in(menu: &mut Menu, text: &str) -> Option<Choice> {
        let mut last = None;
        for letter in text.chars() {
            last = menu.key(match letter {
                '\r' => Key::Enter,
                '<' => Key::Backspace,
                '!' => Key::Escape,
                letter => Key::Char(letter),
            });
        }
        last
    }

    #[test]
    fn one_key_restarts_or_switches_off() {
        assert_eq!(type_in(&mut Menu::new(None), "1"), Some(Choice::Restart));
        assert_eq!(type_in(&mut Menu::new(None), "x3"), Some(Choice::PowerOff));
    }

    #[test]
    fn a_reset_needs_the_whole_word_and_enter() {
        for (typed, choice) in [
            ("2RESET\r", Some(Choice::Reset)),
            ("2RESX<ET\r", Some(Choice::Reset)),
            ("2RESET", None),
            ("2\r", None),
            ("2reset\r", None),
            ("2RESE\r", None),
            ("2RESET!\r", None),
            ("2!1", Some(Choice::Restart)),
        ] {
            assert_eq!(type_in(&mut Menu::new(None), typed), choice, "{typed:?}");
        }
    }

    #[test]
    fn while_the_word_is_typed_no_digit_is_a_choice() {
        let mut menu = Menu::new(None);
        assert_eq!(type_in(&mut menu, "213"), None);
        assert!(menu.lines().last().unwrap().ends_with("13_"));
        assert_eq!(menu.key(Key::Enter), None);
        assert!(menu.lines().last().unwrap().contains("nothing was done"));
    }

    #[test]
    fn the_screen_says_what_this_is_that_nothing_changed_and_what_can_be_done() {
        let screen = Menu::new(None).screen(Duration::from_secs(541));
        let Some(Outcome::Refused { code, action, .. }) = &screen.outcome else {
            panic!("{screen:?}")
        };
        assert_eq!(code, "LF-R01");
        for part in ["Press 1 ", " 2 to ", " 3 to ", "restarts in 10 min"] {
            assert!(action.contains(part), "{action}");
        }
    }

    #[test]
    fn a_console_of_lines_gets_a_new_line_for_a_key_and_none_for_the_clock() {
        let mut menu = Menu::new(None);
        let first = menu.lines();
        assert!(!first.concat().contains("min"));
        menu.key(Key::Char('2'));
        assert_eq!(menu.lines().len(), 4, "what a reset is is said once");
        assert!(
            menu.lines()
                .iter()
                .rev()
                .skip(1)
                .all(|line| line.len() <= 76)
        );
        menu.key(Key::Char('R'));
        assert_eq!(menu.lines().len(), 1);
        assert!(menu.lines()[0].ends_with(": R_"));
    }

    #[test]
    fn a_reset_that_failed_is_never_said_to_leave_a_disk_that_does_not_boot_or_did_not_change() {
        let trouble = Trouble::new(Code::ResetFailed, "the machine still starts");
        let end = Finished::trouble(report::Outcome::Failed, &trouble, Duration::ZERO);
        let menu = Menu::new(Some(end));
        let screen = menu.screen(Duration::from_mins(10));
        assert_eq!(screen.outcome, None);
        assert!(
            screen
                .current
                .starts_with("Reset: LF-R05 the machine still starts")
        );
        assert!(screen.current.contains("Press 1 "), "{}", screen.current);
        assert!(!menu.headlines().contains(&UNCHANGED.to_owned()));
    }

    #[test]
    fn a_reset_that_was_refused_says_its_code_and_that_nothing_changed() {
        let trouble = Trouble::new(Code::RecoveryPayload, "chunk 3");
        let end = Finished::trouble(report::Outcome::Refused, &trouble, Duration::ZERO);
        let menu = Menu::new(Some(end));
        assert!(menu.headlines().contains(&UNCHANGED.to_owned()));
        assert!(matches!(
            menu.screen(Duration::ZERO).outcome,
            Some(Outcome::Refused { code, .. }) if code == "LF-R04"
        ));
    }
}
