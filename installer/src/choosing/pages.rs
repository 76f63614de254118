//! The pages of a choice: keys in, screens out. Nothing here touches the machine.

use tui::plain::human_bytes;
use tui::{Choice, ChoiceScreen, Entry, Fact, Hint, Mood};
use userdata::Mode;

use super::document::to_copy;
use super::words::{bus, gist, joined, lost, row};
use super::{Candidate, Question};
use crate::keys::Key;
use crate::report::Next;

/// The word that must be typed before data is lost.
pub const WORD: &str = "ERASE";

/// What can follow an installation, in the order of the screen.
const AFTERWARDS: [(Next, &str); 3] = [
    (Next::Reboot, "Restart into the installed system"),
    (Next::Poweroff, "Switch the machine off"),
    (
        Next::Wait,
        "Keep the screen until somebody restarts the machine",
    ),
];

/// What can become of the data on a disk, in the order of the screen.
const DATA: [(Mode, &str, &str); 2] = [
    (
        Mode::Fresh,
        "Erase everything",
        "The disk is laid out anew. All data on it are lost.",
    ),
    (
        Mode::KeepData,
        "Keep the data",
        "Both systems and the boot files are new. The persistent and extra partitions stay, and so does the registration.",
    ),
];

/// Where the choice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Disk,
    Data,
    Afterwards,
    Confirm,
}

/// A choice while it is being made.
#[derive(Debug, Clone)]
pub struct Pages {
    question: Question,
    page: Page,
    /// Row of the list of disks.
    disk: usize,
    /// Row of [`DATA`].
    data: usize,
    /// Row of [`AFTERWARDS`].
    next: usize,
    /// Digits of a row number that may go on.
    digits: String,
    /// What was typed of [`WORD`].
    typed: String,
    remark: String,
}

impl Pages {
    /// The first page, with the cursor on the first disk that can be chosen.
    pub fn new(question: Question) -> Self {
        let disk = question
            .candidates
            .iter()
            .position(|candidate| candidate.chosen_by.is_ok());
        let next = AFTERWARDS
            .iter()
            .position(|(next, _)| *next == question.next);
        Self {
            question,
            page: Page::Disk,
            disk: disk.unwrap_or(0),
            data: 0,
            next: next.unwrap_or(0),
            digits: String::new(),
            typed: String::new(),
            remark: String::new(),
        }
    }

    /// What a key does; the document once the choice is made and confirmed.
    pub fn key(&mut self, key: Key) -> Option<String> {
        self.remark.clear();
        match (self.page, key) {
            (Page::Confirm, key) if self.mode() == Mode::Fresh => return self.type_in(key),
            (Page::Confirm, key) => return self.agree(key),
            (_, Key::Char(digit @ '0'..='9')) => self.digit(digit),
            (_, Key::Up) => self.step(usize::checked_sub),
            (_, Key::Down) => self.step(usize::checked_add),
            (Page::Disk, Key::Enter) => match &self.candidate()?.chosen_by {
                Ok(_) if self.asks_about_data() => self.turn(Page::Data),
                Ok(_) => self.turn(Page::Afterwards),
                Err(reason) => {
                    let disk = self.candidate()?.disk.path.display();
                    self.remark = format!("{disk} cannot be chosen: it {reason}.");
                }
            },
            (Page::Afterwards, Key::Enter) => self.turn(Page::Confirm),
            (Page::Afterwards, Key::Escape) if self.asks_about_data() => self.turn(Page::Data),
            (Page::Data, Key::Enter) => self.turn(Page::Afterwards),
            (Page::Data | Page::Afterwards, Key::Escape) => self.turn(Page::Disk),
            (_, Key::Char(_) | Key::Backspace | Key::Escape) => {}
        }
        if !matches!(key, Key::Char('0'..='9')) {
            self.digits.clear();
        }
        None
    }

    fn type_in(&mut self, key: Key) -> Option<String> {
        match key {
            // A key that is held down does not fill the screen, and what is too long is not the word.
            Key::Char(letter) if self.typed.len() < WORD.len() + 3 => self.typed.push(letter),
            Key::Backspace => drop(self.typed.pop()),
            Key::Escape => self.turn(Page::Afterwards),
            Key::Enter if self.typed == WORD => return self.document(),
            Key::Enter => {
                self.typed.clear();
                self.remark = format!("That was not {WORD}; nothing was done.");
            }
            Key::Char(_) | Key::Up | Key::Down => {}
        }
        None
    }

    /// Where nothing is lost, one key is enough; it is none that a page before takes.
    fn agree(&mut self, key: Key) -> Option<String> {
        match key {
            Key::Char('y' | 'Y') => return self.document(),
            Key::Escape => self.turn(Page::Afterwards),
            _ => self.remark = "Press Y to install; nothing was done.".into(),
        }
        None
    }

    /// The document as it stands.
    fn document(&self) -> Option<String> {
        let (next, _) = AFTERWARDS.get(self.next)?;
        self.question.document(self.disk, *next, self.mode())
    }

    /// Whether it is open what becomes of the data on the disk.
    fn asks_about_data(&self) -> bool {
        let can_keep = self.candidate().is_some_and(|one| one.can_keep);
        can_keep && self.question.mode == Mode::Fresh
    }

    /// What becomes of the data, as far as it is chosen.
    fn mode(&self) -> Mode {
        match DATA.get(self.data) {
            Some((mode, ..)) if self.asks_about_data() => *mode,
            _ => self.question.mode,
        }
    }

    fn candidate(&self) -> Option<&Candidate> {
        self.question.candidates.get(self.disk)
    }

    fn turn(&mut self, page: Page) {
        self.page = page;
        self.digits.clear();
        self.typed.clear();
    }

    /// The row of the cursor and the number of rows.
    fn rows(&mut self) -> (&mut usize, usize) {
        match self.page {
            Page::Disk => (&mut self.disk, self.question.candidates.len()),
            Page::Data => (&mut self.data, DATA.len()),
            Page::Afterwards | Page::Confirm => (&mut self.next, AFTERWARDS.len()),
        }
    }

    fn step(&mut self, by: impl Fn(usize, usize) -> Option<usize>) {
        let (row, count) = self.rows();
        if let Some(to) = by(*row, 1).filter(|to| *to < count) {
            *row = to;
        }
    }

    /// Goes to the row of a number; a second digit makes it longer where there are so many rows.
    fn digit(&mut self, digit: char) {
        let mut digits = std::mem::take(&mut self.digits);
        digits.push(digit);
        let (row, count) = self.rows();
        let number = |digits: &str| {
            let number: usize = digits.parse().ok()?;
            number.checked_sub(1).filter(|row| *row < count)
        };
        let alone = digit.to_string();
        let found = match number(&digits) {
            Some(to) => Some((to, digits)),
            None => number(&alone).map(|to| (to, alone)),
        };
        if let Some((to, digits)) = found {
            *row = to;
            self.digits = digits;
        }
    }

    /// The present page.
    pub fn screen(&self) -> ChoiceScreen {
        let base = ChoiceScreen {
            version: env!("CARGO_PKG_VERSION").into(),
            remark: self.remark.clone(),
            ..ChoiceScreen::default()
        };
        match self.page {
            Page::Disk => self.disks(base),
            Page::Data => self.data(base),
            Page::Afterwards => self.afterwards(base),
            Page::Confirm if self.mode() == Mode::Fresh => self.confirm(base),
            Page::Confirm => self.confirm_keeping(base),
        }
    }

    fn disks(&self, base: ChoiceScreen) -> ChoiceScreen {
        let trouble = &self.question.trouble;
        let sizes = self.question.candidates.iter();
        let sizes = sizes.map(|one| human_bytes(one.disk.size).len());
        let wide = sizes.max().unwrap_or(0);
        ChoiceScreen {
            title: "Choose a disk".into(),
            mood: Mood::Warning,
            headline: match self.question.mode {
                Mode::Fresh => "Which disk shall be erased for the new system?",
                Mode::KeepData => "Which disk shall get the new system and keep its data?",
                Mode::Repair => "Which disk shall be repaired?",
            }
            .into(),
            // The list of disks that the reason may bring is the one below.
            text: vec![format!("{}  {}.", trouble.code, gist(&trouble.reason))],
            choices: self
                .question
                .candidates
                .iter()
                .map(|one| row(one, wide))
                .collect(),
            chosen: self.disk,
            hints: Hint::list(&[("↑↓", "choose"), ("1-9", "choose"), ("Enter", "go on")]),
            ..base
        }
    }

    fn data(&self, base: ChoiceScreen) -> ChoiceScreen {
        let choice = |(_, text, detail): &(Mode, &str, &str)| Choice {
            cells: vec![(*text).to_owned()],
            detail: (*detail).to_owned(),
            enabled: true,
        };
        ChoiceScreen {
            title: "Choose what becomes of the data".into(),
            mood: Mood::Question,
            headline: "What shall become of its data?".into(),
            facts: self.facts("Holds"),
            choices: DATA.iter().map(choice).collect(),
            chosen: self.data,
            hints: Hint::list(&[
                ("↑↓", "choose"),
                ("1-2", "choose"),
                ("Enter", "go on"),
                ("Esc", "go back"),
            ]),
            ..base
        }
    }

    fn afterwards(&self, base: ChoiceScreen) -> ChoiceScreen {
        let choice = |(_, text): &(Next, &str)| Choice {
            cells: vec![(*text).to_owned()],
            detail: String::new(),
            enabled: true,
        };
        ChoiceScreen {
            title: "Choose what follows".into(),
            mood: Mood::Question,
            headline: "What shall the machine do after the installation?".into(),
            facts: self.facts(match self.mode() {
                Mode::Fresh => "Lost",
                Mode::KeepData | Mode::Repair => "Holds",
            }),
            choices: AFTERWARDS.iter().map(choice).collect(),
            chosen: self.next,
            hints: Hint::list(&[
                ("↑↓", "choose"),
                ("1-3", "choose"),
                ("Enter", "go on"),
                ("Esc", "go back"),
            ]),
            ..base
        }
    }

    fn confirm(&self, base: ChoiceScreen) -> ChoiceScreen {
        ChoiceScreen {
            title: "Erase a disk".into(),
            mood: Mood::Danger,
            headline: format!("Everything on {} will be lost", self.path()),
            facts: [self.facts("Lost"), vec![self.then()]].concat(),
            document: to_copy(&self.document().unwrap_or_default()),
            entry: Some(Entry {
                question: format!("Type {WORD} in capitals and press Enter"),
                typed: self.typed.clone(),
            }),
            hints: Hint::list(&[("Enter", "erase the disk and install"), ("Esc", "go back")]),
            ..base
        }
    }

    fn confirm_keeping(&self, base: ChoiceScreen) -> ChoiceScreen {
        let (kept, new) = match self.mode() {
            Mode::Repair => (
                "persistent and extra partitions, user-data and registration on oem",
                "both systems, recovery, boot files",
            ),
            Mode::Fresh | Mode::KeepData => (
                "persistent and extra partitions, registration on oem",
                "both systems, recovery, boot files, the files of the user-data",
            ),
        };
        let facts = [fact("Kept", kept), fact("New", new), self.then()];
        ChoiceScreen {
            title: "Keep the data of a disk".into(),
            mood: Mood::Warning,
            headline: format!(
                "The system on {} will be replaced, its data stay",
                self.path()
            ),
            facts: [self.facts("Holds"), facts.into()].concat(),
            document: to_copy(&self.document().unwrap_or_default()),
            hints: Hint::list(&[("Y", "keep the data and install"), ("Esc", "go back")]),
            ..base
        }
    }

    fn path(&self) -> String {
        let candidate = self.candidate();
        candidate.map_or_else(String::new, |one| one.disk.path.display().to_string())
    }

    fn then(&self) -> Fact {
        let text = AFTERWARDS.get(self.next).map(|(_, text)| *text);
        fact("Then", text.unwrap_or_default())
    }

    /// What is known about the disk; `holds` names what is on it.
    fn facts(&self, holds: &str) -> Vec<Fact> {
        let Some(Candidate { disk, .. }) = self.candidate() else {
            return Vec::new();
        };
        let drive = [
            disk.path.display().to_string(),
            human_bytes(disk.size),
            disk.model.clone(),
        ];
        vec![
            fact("Disk", &joined(&drive)),
            fact(
                "Serial",
                &joined(&[disk.serial.clone(), bus(disk.transport).into()]),
            ),
            fact(holds, &lost(disk)),
        ]
    }
}

fn fact(name: &str, value: &str) -> Fact {
    Fact {
        name: name.into(),
        value: value.into(),
    }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
