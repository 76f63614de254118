//! The pages of a choice: keys in, screens out. Nothing here touches the machine.

use tui::plain::human_bytes;
use tui::{Choice, ChoiceScreen, Entry, Fact, Hint, Mood};

use super::{Candidate, Question, document::to_copy};
use crate::contents::Owner;
use crate::machine::{Disk, Transport};
use crate::recovery::keys::Key;
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

/// Where the choice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Disk,
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
            (Page::Confirm, key) => return self.type_in(key),
            (_, Key::Char(digit @ '0'..='9')) => self.digit(digit),
            (_, Key::Up) => self.step(usize::checked_sub),
            (_, Key::Down) => self.step(usize::checked_add),
            (Page::Disk, Key::Enter) => match &self.candidate()?.chosen_by {
                Ok(_) => self.turn(Page::Afterwards),
                Err(reason) => {
                    let disk = self.candidate()?.disk.path.display();
                    self.remark = format!("{disk} cannot be chosen: it {reason}.");
                }
            },
            (Page::Afterwards, Key::Enter) => self.turn(Page::Confirm),
            (Page::Afterwards, Key::Escape) => self.turn(Page::Disk),
            (Page::Disk | Page::Afterwards, Key::Char(_) | Key::Backspace | Key::Escape) => {}
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

    /// The document as it stands.
    fn document(&self) -> Option<String> {
        let (next, _) = AFTERWARDS.get(self.next)?;
        self.question.document(self.disk, *next)
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
            Page::Afterwards => self.afterwards(base),
            Page::Confirm => self.confirm(base),
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
            headline: "Which disk shall be erased for the new system?".into(),
            // The list of disks that the reason may bring is the one below.
            text: vec![format!("{}  {}.", trouble.code, gist(&trouble.reason))],
            choices: self
                .question
                .candidates
                .iter()
                .map(|one| row(one, wide))
                .collect(),
            chosen: self.disk,
            hints: hints(&[("↑↓", "choose"), ("1-9", "choose"), ("Enter", "go on")]),
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
            facts: self.facts(),
            choices: AFTERWARDS.iter().map(choice).collect(),
            chosen: self.next,
            hints: hints(&[
                ("↑↓", "choose"),
                ("1-3", "choose"),
                ("Enter", "go on"),
                ("Esc", "go back"),
            ]),
            ..base
        }
    }

    fn confirm(&self, base: ChoiceScreen) -> ChoiceScreen {
        let disk = self
            .candidate()
            .map(|one| one.disk.path.display().to_string());
        let mut facts = self.facts();
        facts.push(Fact {
            name: "Then".into(),
            value: AFTERWARDS
                .get(self.next)
                .map(|(_, text)| (*text).to_owned())
                .unwrap_or_default(),
        });
        ChoiceScreen {
            title: "Erase a disk".into(),
            mood: Mood::Danger,
            headline: format!("Everything on {} will be lost", disk.unwrap_or_default()),
            facts,
            document: to_copy(&self.document().unwrap_or_default()),
            entry: Some(Entry {
                question: format!("Type {WORD} in capitals and press Enter"),
                typed: self.typed.clone(),
            }),
            hints: hints(&[("Enter", "erase the disk and install"), ("Esc", "go back")]),
            ..base
        }
    }

    /// What is known about the disk, and what will be lost with it.
    fn facts(&self) -> Vec<Fact> {
        let Some(Candidate { disk, .. }) = self.candidate() else {
            return Vec::new();
        };
        let drive = [
            disk.path.display().to_string(),
            human_bytes(disk.size),
            disk.model.clone(),
        ];
        let facts = [
            ("Disk", joined(&drive)),
            (
                "Serial",
                joined(&[disk.serial.clone(), bus(disk.transport).into()]),
            ),
            ("Lost", lost(disk)),
        ];
        facts
            .into_iter()
            .map(|(name, value)| Fact {
                name: name.into(),
                value,
            })
            .collect()
    }
}

/// A disk in the list.
fn row(candidate: &Candidate, wide: usize) -> Choice {
    let disk = &candidate.disk;
    let size = format!("{:>wide$}", human_bytes(disk.size));
    let serial = Some(&disk.serial).filter(|serial| !serial.is_empty());
    let serial = serial
        .map(|serial| format!("serial {serial}"))
        .unwrap_or_default();
    let drive = joined(&[bus(disk.transport).into(), serial]);
    let (enabled, text) = match &candidate.chosen_by {
        Ok(_) => (true, holds(disk)),
        Err(reason) => (false, reason.clone()),
    };
    Choice {
        cells: vec![disk.path.display().to_string(), size, disk.model.clone()],
        detail: format!("{drive}: {text}"),
        enabled,
    }
}

/// What is on a disk, for the list.
fn holds(disk: &Disk) -> String {
    match &disk.contents {
        Some(contents) if contents.owner == Owner::Nobody => "empty".into(),
        Some(contents) => contents.to_string(),
        None => "nobody looked at what is on it".into(),
    }
}

/// What is lost with a disk.
fn lost(disk: &Disk) -> String {
    match &disk.contents {
        Some(contents) if contents.owner == Owner::Nobody => "nothing: the disk is empty".into(),
        _ => holds(disk),
    }
}

const fn bus(transport: Transport) -> &'static str {
    match transport {
        Transport::Fc => "Fibre Channel",
        Transport::Iscsi => "iSCSI",
        Transport::Loop => "loop device",
        Transport::Mmc => "eMMC or card",
        Transport::Nvme => "NVMe",
        Transport::Sas => "SAS",
        Transport::Sata => "SATA",
        Transport::Scsi => "SCSI",
        Transport::Usb => "USB",
        Transport::Virtio => "virtio",
        Transport::Other => "another bus",
    }
}

/// The first part of a reason: lists of disks stand behind a colon.
fn gist(reason: &str) -> &str {
    reason.split_once(": ").map_or(reason, |(gist, _)| gist)
}

fn joined(parts: &[String]) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(", ")
}

fn hints(pairs: &[(&'static str, &'static str)]) -> Vec<Hint> {
    pairs.iter().map(|(key, does)| Hint { key, does }).collect()
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
