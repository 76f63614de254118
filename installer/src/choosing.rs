//! The choice of a disk by a person in front of the machine, after the installer could not choose by itself.
//!
//! ```text
//! refusal --> question --> disk --Enter--> data? --Enter--> afterwards --Enter--> confirm --ERASE, Enter--> document
//!                            ^ <---Esc----- ^ <----Esc--------- ^ <----Esc----------´`--Y, where data stay--´   |
//!            text -> config -> plan  <------ merged on top of the other documents -----------------------------'
//! ```
//!
//! What becomes of the data is asked only of a disk whose data can be kept, and only if the user-data say nothing of it.
//!
//! What comes out is user-data, and nothing else: the install that follows is the one that a file with these lines would
//! give. Nothing here chooses by itself, however long nobody presses a key.

use std::fmt;
use std::path::Path;

use userdata::{DiskSelector, Mode, Wipe};

use crate::choose::{Limits, Wish, choose};
use crate::code::{Code, Trouble};
use crate::config::Config;
use crate::contents::Owner;
use crate::machine::{Disk, Machine};
use crate::report::Next;

pub mod asking;
pub mod document;
pub mod pages;
mod words;

use document::{Choice, Named};
pub use pages::Pages;

/// What the document is called in findings.
pub const NAME: &str = "the choice on the screen";

/// A disk of this machine, as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The disk.
    pub disk: Disk,
    /// How user-data can name it, or why it cannot be chosen, as the end of a sentence that begins with the disk.
    pub chosen_by: Result<Named, String>,
    /// What must be allowed to be erased beyond what the user-data allow.
    pub wipe: Option<Wipe>,
    /// It holds an installation whose data can be kept.
    pub can_keep: bool,
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Why nothing was chosen.
    pub trouble: Trouble,
    /// All disks of this machine; at least one can be chosen.
    pub candidates: Vec<Candidate>,
    /// What the user-data say about the end.
    pub next: Next,
    /// What the user-data say about the data on the disk.
    pub mode: Mode,
}

/// What is known when a question is made.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The configuration without a choice.
    pub config: &'a Config,
    /// The machine, with what is on its disks.
    pub machine: &'a Machine,
    /// The disk that holds the install medium.
    pub medium: Option<&'a Path>,
    /// Stable links to disks, with what they lead to.
    pub links: &'a [document::Link],
    /// Says which disk does not suit what the user-data want.
    pub fits: &'a dyn Fn(&Disk) -> Result<(), Trouble>,
    /// Says on which disk there are data that can be kept.
    pub keeps: &'a dyn Fn(&Disk) -> bool,
}

impl fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("machine", self.machine)
            .field("medium", &self.medium)
            .finish_non_exhaustive()
    }
}

/// Whether a refusal is one that a choice of a disk can end. One about user-data, medium or payload is not. `chosen` says
/// that it came of a choice, which somebody can make again: that the data cannot be kept after all is no end then.
pub const fn can_be_answered(code: Code, chosen: bool) -> bool {
    let of_data = matches!(
        code,
        Code::NotInstalled | Code::NoRoomToKeep | Code::NothingToKeep | Code::OtherKind
    );
    if of_data {
        return chosen;
    }
    matches!(
        code,
        Code::NoDisk
            | Code::SeveralDisks
            | Code::DiskTooSmall
            | Code::DiskBusy
            | Code::DiskReadOnly
            | Code::DiskNotFound
            | Code::DiskIsMedium
            | Code::DiskHoldsData
            | Code::DiskUnreadable
            | Code::DiskPaths
            | Code::DiskChanged
    )
}

impl Question {
    /// The question after a refusal that can be answered; `None` if there is no disk that could be chosen.
    pub fn after(trouble: &Trouble, known: Known<'_>) -> Option<Self> {
        let candidate = |disk: &Disk| {
            let chosen_by = can_be_chosen(disk, known);
            Candidate {
                disk: disk.clone(),
                wipe: consent(disk, known.config.wipe),
                can_keep: chosen_by.is_ok() && (known.keeps)(disk),
                chosen_by,
            }
        };
        let candidates: Vec<Candidate> = known.machine.disks.iter().map(candidate).collect();
        candidates
            .iter()
            .any(|candidate| candidate.chosen_by.is_ok())
            .then(|| Self {
                trouble: trouble.clone(),
                candidates,
                next: known.config.next,
                mode: known.config.mode,
            })
    }

    /// The document for a candidate; `None` if it cannot be chosen.
    pub fn document(&self, candidate: usize, next: Next, mode: Mode) -> Option<String> {
        let candidate = self.candidates.get(candidate)?;
        let choice = Choice {
            disk: candidate.chosen_by.clone().ok()?,
            wipe: candidate.wipe,
            mode,
            next,
        };
        Some(choice.to_string())
    }
}

/// What the document must allow so that the disk may be erased. The person who chooses is told what is lost, and types
/// the consent.
fn consent(disk: &Disk, allowed: Wipe) -> Option<Wipe> {
    let needed = match disk.contents.as_ref()?.owner {
        Owner::Ours => Wipe::Ours,
        Owner::Foreign => Wipe::Foreign,
        Owner::Nobody | Owner::Unreadable => return None,
    };
    (allowed < needed).then_some(needed)
}

/// Whether a disk is taken if it is named and may be erased, by the rules that hold for one that a file names.
fn can_be_chosen(disk: &Disk, known: Known<'_>) -> Result<Named, String> {
    let (wish, named) = match &known.config.wish {
        // Two ways to name a disk do not go together, so the description stays and gets more exact.
        Wish::Like(selector) => {
            let named = Named::by_number(disk);
            let named = named.ok_or("has no number by which user-data could describe it")?;
            (Wish::Like(exactly(selector, &named)), named)
        }
        Wish::Auto | Wish::Path(_) => (Wish::Path(disk.path.clone()), Named::of(disk, known.links)),
    };
    let limits = Limits {
        medium: known.medium,
        wipe: Wipe::Foreign,
        fits: known.fits,
    };
    let short = |trouble: Trouble| match trouble.code {
        Code::DiskNotFound => "is not as `landfall.disk` in the user-data says".to_owned(),
        _ => about(disk, &trouble.reason),
    };
    choose(&wish, known.machine, &limits).map_err(short)?;
    (known.fits)(disk).map_err(short)?;
    Ok(named)
}

/// The description with the number of one disk.
fn exactly(selector: &DiskSelector, named: &Named) -> DiskSelector {
    let mut selector = selector.clone();
    match named {
        Named::Serial(serial) => selector.serial = Some(serial.clone()),
        Named::Wwn(wwn) => selector.wwn = Some(wwn.clone()),
        Named::Device(_) => {}
    }
    selector
}

/// A reason without the name of the disk, which stands beside it.
fn about(disk: &Disk, reason: &str) -> String {
    let name = disk.to_string();
    let reason = reason.split_once(&name).map_or(reason, |(_, after)| after);
    let reason = reason.trim_start_matches([':', ' ']);
    let path = format!("{} ", disk.path.display());
    let reason = reason.strip_prefix(&path).unwrap_or(reason);
    reason.to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::contents::Contents;
    use crate::machine::{Firmware, Transport};

    pub(crate) fn disk(name: &str, size: u64, model: &str, serial: &str) -> Disk {
        Disk {
            name: name.into(),
            path: Path::new("/dev").join(name),
            size,
            sector: 512,
            model: model.into(),
            serial: serial.into(),
            physical_sector: 512,
            wwn: String::new(),
            transport: Transport::Sata,
            removable: false,
            read_only: false,
            in_use: Vec::new(),
            contents: Some(Contents::BLANK),
        }
    }

    pub(crate) fn config() -> Config {
        let text = "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: a.example\ninstall:\n  poweroff: true\n";
        let user_data = userdata::parse("x", text.as_bytes()).user_data.unwrap();
        crate::config::configure(&user_data, "auto", &mut |_| String::new()).unwrap()
    }

    fn small(disk: &Disk) -> Result<(), Trouble> {
        if disk.size < 8 << 30 {
            let reason = format!("{disk} is too small: 8.0 GiB are needed");
            return Err(Trouble::new(Code::DiskTooSmall, reason));
        }
        Ok(())
    }

    fn known<'a>(config: &'a Config, machine: &'a Machine) -> Known<'a> {
        Known {
            config,
            machine,
            medium: Some(Path::new("/dev/sdc")),
            links: &[],
            fits: &small,
            keeps: &|disk| {
                let ours = |contents: &Contents| contents.owner == Owner::Ours;
                disk.contents.as_ref().is_some_and(ours)
            },
        }
    }

    fn machine() -> Machine {
        let windows = Disk {
            transport: Transport::Nvme,
            contents: Some(Contents {
                owner: Owner::Foreign,
                words: vec!["EFI system, Windows NTFS \"Data\" 930 GiB".into()],
                areas: Vec::new(),
            }),
            ..disk(
                "nvme0n1",
                931 << 30,
                "Samsung SSD 980 PRO with Heatsink 1TB",
                "S6WSNJ0T900001X",
            )
        };
        let stick = Disk {
            transport: Transport::Usb,
            removable: true,
            ..disk("sdc", 14 << 30, "SanDisk Cruzer Blade", "4C530001")
        };
        Machine {
            firmware: Firmware::Uefi,
            disks: vec![
                windows,
                disk("sdb", 2 << 30, "QEMU HARDDISK", ""),
                stick,
                disk("sdd", 9 << 40, "WDC WUS721010ALE6L4", "VCGX5P2N"),
            ],
        }
    }

    pub(crate) fn question() -> Question {
        question_about(&config(), &machine())
    }

    fn question_about(config: &Config, machine: &Machine) -> Question {
        let reason = "2 disks could be meant and none is named: one; two";
        let trouble = Trouble::new(Code::SeveralDisks, reason);
        Question::after(&trouble, known(config, machine)).unwrap()
    }

    /// As [`question`], with an installation on the last disk, and user-data that want `mode`.
    pub(crate) fn question_with_ours(mode: Mode) -> Question {
        let mut machine = machine();
        machine.disks[3].contents = Some(Contents {
            owner: Owner::Ours,
            words: vec!["Landfall, installed 2026-04-01".into()],
            areas: Vec::new(),
        });
        let config = Config { mode, ..config() };
        question_about(&config, &machine)
    }

    #[test]
    fn every_disk_is_listed_and_those_that_cannot_be_chosen_say_why() {
        let question = question();
        let why: Vec<_> = question
            .candidates
            .iter()
            .map(|one| one.chosen_by.clone().err().unwrap_or_default())
            .collect();
        let small = "is too small: 8.0 GiB are needed";
        assert_eq!(why, ["", small, "holds the install medium", ""]);
        assert_eq!(question.next, Next::Poweroff);
        assert_eq!(question.document(1, Next::Reboot, Mode::Fresh), None);
        assert_eq!(question.document(9, Next::Reboot, Mode::Fresh), None);
    }

    #[test]
    fn consent_is_in_the_document_where_it_is_needed_and_nowhere_else() {
        let question = question();
        let windows = question.document(0, Next::Wait, Mode::Fresh).unwrap();
        assert!(windows.contains("wipe: foreign"), "{windows}");
        let blank = question.document(3, Next::Wait, Mode::Fresh).unwrap();
        assert!(!blank.contains("wipe"), "{blank}");
        let ours = Disk {
            contents: Some(Contents {
                owner: Owner::Ours,
                ..Contents::BLANK
            }),
            ..disk("sda", 1, "", "")
        };
        assert_eq!(consent(&ours, Wipe::Never), Some(Wipe::Ours));
        assert_eq!(consent(&ours, Wipe::Ours), None);
    }

    #[test]
    fn a_description_in_the_user_data_stays_and_gets_the_number_of_the_disk() {
        let mut config = config();
        config.wish = Wish::Like(DiskSelector {
            model: Some("*SSD*".into()),
            ..DiskSelector::default()
        });
        let trouble = Trouble::new(Code::DiskHoldsData, "x");
        let question = Question::after(&trouble, known(&config, &machine())).unwrap();
        let first = &question.candidates[0].chosen_by;
        assert_eq!(*first, Ok(Named::Serial("S6WSNJ0T900001X".into())));
        let nameless = question.candidates[1].chosen_by.clone().unwrap_err();
        assert!(nameless.contains("no number"), "{nameless}");
        let other = question.candidates[3].chosen_by.clone().unwrap_err();
        assert_eq!(other, "is not as `landfall.disk` in the user-data says");
    }

    #[test]
    fn only_a_refusal_about_disks_is_asked_about_and_only_if_one_can_be_chosen() {
        let with_a_disk = machine();
        let mut without = machine();
        without.disks.drain(3..);
        without.disks.remove(0);
        for code in Code::ALL {
            let trouble = Trouble::new(code, "x");
            let asked = |machine| Question::after(&trouble, known(&config(), machine)).is_some();
            let about_disks = code.as_str().starts_with("LF-D") && code.as_str() < "LF-D20";
            let expected = about_disks && code != Code::LayoutImpossible;
            assert_eq!(can_be_answered(code, false), expected, "{code}");
            let about_data = code.as_str().starts_with("LF-K");
            assert_eq!(
                can_be_answered(code, true),
                expected || about_data,
                "{code}"
            );
            assert!(asked(&with_a_disk), "{code}");
            assert!(!asked(&without), "{code}: nothing is left to choose");
        }
    }
}
