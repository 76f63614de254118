//! Which disk: the decision that must never be wrong.

mod selector;

use std::path::{Path, PathBuf};

use userdata::{DiskSelector, Wipe};

use crate::code::{Code, Trouble};
use crate::contents::Owner;
use crate::machine::{Disk, Machine, Transport};

/// What the operator said about the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The only disk that can be meant.
    Auto,
    /// This one (a device node; links below `/dev/disk/` are already resolved).
    Path(PathBuf),
    /// The only disk that is like this.
    Like(DiskSelector),
}

/// What a disk must keep to beside the wish.
pub struct Limits<'a> {
    /// The disk that holds the install medium.
    pub medium: Option<&'a Path>,
    /// What may be erased.
    pub wipe: Wipe,
    /// Says which disk does not suit what is wanted: too small, or nothing on it to keep. It is asked where no disk is
    /// named.
    pub fits: &'a dyn Fn(&Disk) -> Result<(), Trouble>,
}

impl std::fmt::Debug for Limits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits")
            .field("medium", &self.medium)
            .field("wipe", &self.wipe)
            .finish_non_exhaustive()
    }
}

/// Picks the disk, or says why none is picked.
///
/// A disk that is named is taken if nothing speaks against it. Otherwise exactly one disk must be left: the medium, what
/// can be taken out, what is protected, in use or too small, and what holds data that may not be erased, is left out.
pub fn choose(wish: &Wish, machine: &Machine, limits: &Limits<'_>) -> Result<Disk, Trouble> {
    match wish {
        Wish::Path(path) => named(path, machine, limits),
        Wish::Auto => only_one(&|_| true, false, machine, limits),
        Wish::Like(selector) => {
            let like = |disk: &Disk| selector::matches(selector, disk);
            only_one(&like, selector::is_deliberate(selector), machine, limits)
        }
    }
}

fn named(path: &Path, machine: &Machine, limits: &Limits<'_>) -> Result<Disk, Trouble> {
    let Some(disk) = machine.disks.iter().find(|disk| disk.path == path) else {
        let known = list(machine.disks.iter().map(ToString::to_string));
        return Err(Trouble::new(
            Code::DiskNotFound,
            format!(
                "{} is not a disk of this machine; its disks are: {known}",
                path.display()
            ),
        ));
    };
    usable(disk, &machine.disks, limits)?;
    Ok(disk.clone())
}

/// Refuses a disk that was named and cannot be used; `disks` are all that the machine has.
pub fn usable(disk: &Disk, disks: &[Disk], limits: &Limits<'_>) -> Result<(), Trouble> {
    match why_not(disk, disks, limits) {
        None => Ok(()),
        Some((code, reason)) => Err(Trouble::new(code, format!("{disk} {reason}"))),
    }
}

/// The only disk of those that `meant` takes against which nothing speaks.
fn only_one(
    meant: &dyn Fn(&Disk) -> bool,
    removable: bool,
    machine: &Machine,
    limits: &Limits<'_>,
) -> Result<Disk, Trouble> {
    let mut eligible = Vec::new();
    let mut rejected = Vec::new();
    for disk in machine.disks.iter().filter(|disk| meant(disk)) {
        let reason = why_not(disk, &machine.disks, limits);
        let reason = reason.or_else(|| taken_out(disk).filter(|_| !removable));
        if let Some((code, reason)) = reason {
            rejected.push((code, format!("{disk} {reason}")));
        } else if let Err(trouble) = (limits.fits)(disk) {
            rejected.push((trouble.code, trouble.reason));
        } else {
            eligible.push(disk);
        }
    }
    let reasons = || list(rejected.iter().map(|(_, reason)| reason.clone()));
    match eligible.as_slice() {
        [disk] => Ok((*disk).clone()),
        [] if rejected.is_empty() => Err(none_meant(machine)),
        [] => Err(Trouble::new(
            code_of(&rejected),
            format!("no disk of this machine can be used: {}", reasons()),
        )),
        several => {
            let holding = |disk: &&Disk| match &disk.contents {
                Some(contents) => format!("{disk} holds {contents}"),
                None => disk.to_string(),
            };
            let all = list(several.iter().map(holding));
            let left_out = if rejected.is_empty() {
                String::new()
            } else {
                format!("; left out: {}", reasons())
            };
            let count = several.len();
            Err(Trouble::new(
                Code::SeveralDisks,
                format!("{count} disks could be meant and none is named: {all}{left_out}"),
            ))
        }
    }
}

fn none_meant(machine: &Machine) -> Trouble {
    if machine.disks.is_empty() {
        return Trouble::new(Code::NoDisk, "this machine has no disk");
    }
    let known = list(machine.disks.iter().map(|disk| {
        let wwn = Some(&disk.wwn).filter(|wwn| !wwn.is_empty());
        wwn.map_or(disk.to_string(), |wwn| format!("{disk} with WWN {wwn}"))
    }));
    let reason = format!("no disk of this machine is as `landfall.disk` says: {known}");
    Trouble::new(Code::DiskNotFound, reason)
}

/// The code that tells most: that of the only reason beside those that say what kind of device it is.
fn code_of(rejected: &[(Code, String)]) -> Code {
    let kinds = [Code::NoDisk, Code::DiskIsMedium, Code::DiskReadOnly];
    let mut others = rejected
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| !kinds.contains(code));
    match others.next() {
        Some(first) if others.all(|code| code == first) => first,
        _ => Code::NoDisk,
    }
}

/// What speaks against a disk, even if it is named.
fn why_not(disk: &Disk, disks: &[Disk], limits: &Limits<'_>) -> Option<(Code, String)> {
    if limits.medium == Some(disk.path.as_path()) {
        return Some((Code::DiskIsMedium, "holds the install medium".to_owned()));
    }
    if disk.read_only {
        return Some((Code::DiskReadOnly, "is write-protected".to_owned()));
    }
    if !disk.in_use.is_empty() {
        let users = disk.in_use.join(", ");
        return Some((Code::DiskBusy, format!("is in use: {users}")));
    }
    if let Some(twin) = other_path(disk, disks) {
        let (twin, wwn) = (twin.display(), &disk.wwn);
        let reason = format!("and {twin} are two paths to one disk ({wwn})");
        return Some((Code::DiskPaths, reason));
    }
    refuse_contents(disk, limits.wipe).err()
}

/// A disk beside `auto` that a person may pull out while nobody looks.
fn taken_out(disk: &Disk) -> Option<(Code, String)> {
    if disk.removable {
        Some((Code::NoDisk, "is removable".to_owned()))
    } else if disk.transport == Transport::Usb {
        Some((Code::NoDisk, "is attached by USB".to_owned()))
    } else {
        None
    }
}

/// Another node of the same disk: the same world wide name, and the same serial number and size, since cheap drives
/// share names. Names that the kernel makes up itself (`t10.…`) prove nothing.
fn other_path<'a>(disk: &Disk, disks: &'a [Disk]) -> Option<&'a Path> {
    let real = ["naa.", "eui.", "nvme."]
        .iter()
        .any(|kind| disk.wwn.starts_with(kind));
    if !real {
        return None;
    }
    let same = |other: &&Disk| {
        other.path != disk.path
            && (&other.wwn, &other.serial, other.size) == (&disk.wwn, &disk.serial, disk.size)
    };
    disks.iter().find(same).map(|other| other.path.as_path())
}

/// Whether what is on a disk may be erased; the error is the reason in words.
fn refuse_contents(disk: &Disk, wipe: Wipe) -> Result<(), (Code, String)> {
    let Some(contents) = &disk.contents else {
        let reason = "was not looked at, so nobody knows what is on it";
        return Err((Code::DiskUnreadable, reason.to_owned()));
    };
    let needed = match contents.owner {
        Owner::Nobody => return Ok(()),
        Owner::Unreadable => {
            let reason = format!("cannot be looked at: {contents}");
            return Err((Code::DiskUnreadable, reason));
        }
        Owner::Ours => Wipe::Ours,
        Owner::Foreign => Wipe::Foreign,
    };
    if wipe >= needed {
        return Ok(());
    }
    let allowed = if needed == Wipe::Ours {
        "ours` or `foreign"
    } else {
        "foreign"
    };
    Err((
        Code::DiskHoldsData,
        format!("holds {contents}, which is erased only with `landfall.wipe: {allowed}`"),
    ))
}

fn list(items: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = items.collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join("; ")
    }
}

#[cfg(test)]
#[path = "choose/tests.rs"]
mod tests;
