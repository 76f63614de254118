//! What can be chosen, and the screen that says so. Nothing here touches the machine.

use std::time::Duration;

use tui::{ChoiceScreen, Entry, Hint, Mood, Outcome};

use crate::code::Code;
use crate::keys::Key;
use crate::plan::reset::Depth;
use crate::report::{self, Finished};

/// The word that must be typed before data is lost.
const WORD: &str = "RESET";

/// What somebody chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Restart into the default menu entry.
    Restart,
    /// Write both systems again.
    Again(Depth),
    /// Switch off.
    PowerOff,
}

/// How an attempt was refused or failed.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What was attempted.
    pub depth: Depth,
    /// Its end.
    pub finished: Finished,
}

/// Where the choice stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Page {
    List,
    /// A repair is to be confirmed.
    Repair,
    /// A reset is to be confirmed; with what was typed of [`WORD`].
    Reset(String),
}

/// The choice while it is being made.
#[derive(Debug, Clone)]
pub struct Menu {
    /// How an attempt before ended.
    ended: Option<Ended>,
    /// Row of [`CHOICES`].
    row: usize,
    page: Page,
    /// The word was not the right one.
    mistyped: bool,
}

impl Menu {
    /// A menu; `ended` is how a repair or a reset before it was refused or failed.
    pub const fn new(ended: Option<Ended>) -> Self {
        Self {
            ended,
            row: 0,
            page: Page::List,
            mistyped: false,
        }
    }

    /// What a key does.
    pub fn key(&mut self, key: Key) -> Option<Choice> {
        match &mut self.page {
            Page::List => self.choose(key),
            Page::Repair => {
                if key == Key::Escape {
                    self.page = Page::List;
                }
                (key == Key::Enter).then_some(Choice::Again(Depth::Repair))
            }
            Page::Reset(typed) => {
                match key {
                    Key::Char(letter) if typed.len() < WORD.len() => typed.push(letter),
                    Key::Char(_) | Key::Up | Key::Down => {}
                    Key::Backspace => drop(typed.pop()),
                    Key::Enter if typed == WORD => return Some(Choice::Again(Depth::Reset)),
                    Key::Enter | Key::Escape => {
                        self.mistyped = key == Key::Enter;
                        self.page = Page::List;
                    }
                }
                None
            }
        }
    }

    /// A key on the list.
    fn choose(&mut self, key: Key) -> Option<Choice> {
        self.mistyped = false;
        match key {
            Key::Char(digit @ '1'..='4') => self.row = digit as usize - '1' as usize,
            Key::Up => self.row = self.row.saturating_sub(1),
            Key::Down => self.row = (self.row + 1).min(CHOICES.len() - 1),
            _ => {}
        }
        if !matches!(key, Key::Char('1'..='4') | Key::Enter) {
            return None;
        }
        let (choice, _) = CHOICES.get(self.row)?;
        self.page = match choice {
            Choice::Restart | Choice::PowerOff => return Some(*choice),
            Choice::Again(Depth::Repair) => Page::Repair,
            Choice::Again(Depth::Reset) => Page::Reset(String::new()),
        };
        None
    }

    /// The screen, `left` before the machine restarts by itself.
    pub fn screen(&self, left: Duration) -> ChoiceScreen {
        let minutes = left.as_secs().div_ceil(60);
        let base = ChoiceScreen {
            version: env!("CARGO_PKG_VERSION").into(),
            title: "Recovery".into(),
            clock: format!("Without a key, the machine restarts in {minutes} min."),
            ..ChoiceScreen::default()
        };
        match &self.page {
            Page::Repair => ChoiceScreen {
                mood: Mood::Question,
                headline: "Write both systems again and keep all data?".into(),
                text: WHAT_A_REPAIR_IS.map(str::to_owned).into(),
                hints: Hint::list(&[("Enter", "repair"), ("Esc", "go back")]),
                ..base
            },
            Page::Reset(typed) => ChoiceScreen {
                mood: Mood::Danger,
                headline: "All data on the persistent partition will be lost".into(),
                text: WHAT_A_RESET_IS.map(str::to_owned).into(),
                entry: Some(Entry {
                    question: format!("Type {WORD} in capitals and press Enter"),
                    typed: typed.clone(),
                }),
                hints: Hint::list(&[("Enter", "reset"), ("Esc", "go back")]),
                ..base
            },
            Page::List => ChoiceScreen {
                choices: CHOICES.map(|(_, text)| row(text)).into(),
                chosen: self.row,
                remark: if self.mistyped {
                    format!("That was not {WORD}; nothing was done.")
                } else {
                    String::new()
                },
                hints: Hint::list(&[("1-4", "do it"), ("↑↓", "choose"), ("Enter", "do it")]),
                ..self.what_is_true(base)
            },
        }
    }

    /// What led here.
    fn what_is_true(&self, base: ChoiceScreen) -> ChoiceScreen {
        let Some(Ended {
            depth,
            finished: end,
        }) = &self.ended
        else {
            return ChoiceScreen {
                mood: Mood::Warning,
                headline: format!("{WHAT_THIS_IS}  {}", Code::RecoveryOnly),
                text: vec![UNCHANGED.into()],
                ..base
            };
        };
        let refused = end.result == report::Outcome::Refused;
        let verb = if refused { "was refused" } else { "failed" };
        let code = end.code.as_deref().unwrap_or_default();
        let unchanged = refused.then(|| UNCHANGED.to_owned());
        let text = [end.reason.clone(), unchanged, end.action.clone()];
        ChoiceScreen {
            mood: Mood::Danger,
            headline: format!("The {} {verb}  {code}", depth.word()),
            text: text.into_iter().flatten().collect(),
            ..base
        }
    }
}

/// What can be chosen, in the order of the screen.
const CHOICES: [(Choice, &str); 4] = [
    (Choice::Restart, "Restart the normal system"),
    (
        Choice::Again(Depth::Repair),
        "Repair: write both systems again, keep data and user-data",
    ),
    (
        Choice::Again(Depth::Reset),
        "Reset: write both systems again, all data is lost",
    ),
    (Choice::PowerOff, "Switch the machine off"),
];

const WHAT_THIS_IS: &str = "The recovery system: the installed system does not run now";
/// Each fits a line of the smallest console.
const WHAT_A_REPAIR_IS: [&str; 3] = [
    "A repair writes both systems and the boot files again from recovery.",
    "Data, user-data, registration and extra partitions stay as they are.",
    "Each system is replaced when the new one was read back.",
];
const WHAT_A_RESET_IS: [&str; 2] = [
    "A reset writes both systems and the boot files again from recovery.",
    "User-data, registration and extra partitions are kept.",
];
const UNCHANGED: &str = Outcome::DISK_UNTOUCHED;

fn row(text: &str) -> tui::Choice {
    tui::Choice {
        cells: vec![text.to_owned()],
        detail: String::new(),
        enabled: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Trouble;
    use crate::screens::drawn_choice;

    fn after(depth: Depth, finished: Finished) -> Menu {
        Menu::new(Some(Ended { depth, finished }))
    }

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
        assert_eq!(type_in(&mut Menu::new(None), "x4"), Some(Choice::PowerOff));
    }

    #[test]
    fn a_reset_needs_the_whole_word_and_enter() {
        for (typed, choice) in [
            ("3RESET\r", Some(Choice::Again(Depth::Reset))),
            ("3RESX<ET\r", Some(Choice::Again(Depth::Reset))),
            ("3RESET", None),
            ("3\r", None),
            ("3reset\r", None),
            ("3RESE\r", None),
            ("3RESET!\r", None),
            ("3!1", Some(Choice::Restart)),
        ] {
            assert_eq!(type_in(&mut Menu::new(None), typed), choice, "{typed:?}");
        }
    }

    #[test]
    fn a_repair_is_asked_about_once_and_only_enter_says_yes() {
        for (typed, choice) in [
            ("2", None),
            ("2\r", Some(Choice::Again(Depth::Repair))),
            ("22y RESET2", None),
            ("2xy\r", Some(Choice::Again(Depth::Repair))),
            ("2!", None),
            ("2!1", Some(Choice::Restart)),
            ("2!\r", None),
            ("2!\r\r", Some(Choice::Again(Depth::Repair))),
        ] {
            assert_eq!(type_in(&mut Menu::new(None), typed), choice, "{typed:?}");
        }
    }

    #[test]
    fn every_page_fits_the_smallest_console() {
        let trouble = Trouble::new(Code::ResetFailed, "the machine still starts");
        let finished = Finished::trouble(report::Outcome::Failed, &trouble, Duration::ZERO);
        let depth = Depth::Repair;
        let mut menu = after(depth, finished);
        let mut pages = vec![drawn(&menu)];
        for keys in ["2", "!3RES"] {
            type_in(&mut menu, keys);
            pages.push(drawn(&menu));
        }
        insta::assert_snapshot!(pages.join("\n~~~~\n"));
    }

    fn drawn(menu: &Menu) -> String {
        drawn_choice(&menu.screen(Duration::from_mins(10)))
    }

    #[test]
    fn cursor_keys_and_enter_choose_as_well() {
        let mut menu = Menu::new(None);
        assert_eq!(type_in(&mut menu, "!"), None);
        assert_eq!(menu.key(Key::Down), None);
        assert_eq!(menu.key(Key::Down), None);
        assert_eq!(menu.key(Key::Enter), None, "a reset needs its word");
        assert_eq!(
            type_in(&mut menu, "RESET\r"),
            Some(Choice::Again(Depth::Reset))
        );
        let mut menu = Menu::new(None);
        for _ in 0..9 {
            menu.key(Key::Down);
        }
        assert_eq!(menu.key(Key::Enter), Some(Choice::PowerOff));
    }

    #[test]
    fn while_the_word_is_typed_no_digit_is_a_choice() {
        let mut menu = Menu::new(None);
        assert_eq!(type_in(&mut menu, "313"), None);
        let screen = menu.screen(Duration::ZERO);
        assert_eq!(screen.entry.unwrap().typed, "13");
        assert_eq!(menu.key(Key::Enter), None);
        assert!(
            menu.screen(Duration::ZERO)
                .remark
                .contains("nothing was done")
        );
    }

    #[test]
    fn the_screen_says_what_this_is_that_nothing_changed_and_when_it_ends() {
        let screen = Menu::new(None).screen(Duration::from_secs(541));
        assert_eq!(screen.title, "Recovery");
        assert!(screen.headline.contains("LF-R01"), "{}", screen.headline);
        assert_eq!(screen.text, [UNCHANGED]);
        assert!(screen.clock.contains("restarts in 10 min"));
        assert_eq!(screen.choices.len(), 4);
    }

    #[test]
    fn a_reset_that_failed_is_never_said_to_leave_a_disk_that_does_not_boot_or_did_not_change() {
        let trouble = Trouble::new(Code::ResetFailed, "the machine still starts");
        let end = Finished::trouble(report::Outcome::Failed, &trouble, Duration::ZERO);
        let screen = after(Depth::Reset, end).screen(Duration::from_mins(10));
        assert_eq!(screen.headline, "The reset failed  LF-R05");
        let text = screen.text.join(" ");
        assert!(text.starts_with("the machine still starts"), "{text}");
        for wrong in [UNCHANGED, Outcome::DISK_BROKEN] {
            assert!(!text.contains(wrong), "{text}");
        }
    }

    #[test]
    fn a_repair_that_was_refused_says_its_code_and_that_nothing_changed() {
        let trouble = Trouble::new(Code::RecoveryPayload, "chunk 3");
        let end = Finished::trouble(report::Outcome::Refused, &trouble, Duration::ZERO);
        let screen = after(Depth::Repair, end).screen(Duration::ZERO);
        assert_eq!(screen.headline, "The repair was refused  LF-R04");
        assert!(screen.text.contains(&UNCHANGED.to_owned()));
    }
}
