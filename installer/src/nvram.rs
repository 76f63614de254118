//! The firmware's own list of what to start: boot entries in variables (UEFI 2.10, section 3.3), as the kernel shows
//! them in efivarfs.
//!
//! An install puts an entry of its own first and leaves the order of all others. A machine starts without it as well,
//! by the name `EFI/BOOT/BOOTX64.EFI`: so whatever fails here is a remark, never the end of an install.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host::files::write_in_one;
use host::{Host, Mount};
use partition::{SectorSize, read_back};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::machine::{Disk, Firmware, Machine};
use crate::plan::Content;

mod load_option;

pub use load_option::{LoadOption, PartitionPath};

/// Where the kernel shows the variables.
pub const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// What the firmware's menu shows for an installed disk.
pub const LABEL: &str = "Landfall";

/// The boot file as an entry names it.
const FILE: &str = r"\EFI\BOOT\BOOTX64.EFI";

/// `EFI_GLOBAL_VARIABLE`, to which everything about the boot order belongs.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Kept over a restart, seen by firmware and system.
const ATTRIBUTES: [u8; 4] = [7, 0, 0, 0];

/// Number of a boot entry; shown as the firmware does, `Boot0007`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub u16);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Boot{:04X}", self.0)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The boot entries of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootEntries {
    /// The order in which the firmware tries them; it may name entries that do not exist.
    pub order: Vec<Number>,
    /// The entries that can be read.
    pub entries: BTreeMap<Number, LoadOption>,
    /// Numbers that are taken, also by entries that cannot be read.
    pub taken: BTreeSet<Number>,
}

/// What an install changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The entry that is written.
    pub entry: Number,
    /// Its content.
    pub content: Content,
    /// The order after it.
    pub order: Vec<Number>,
    /// Entries of earlier installs whose disk is gone or is being installed again.
    pub removed: Vec<Number>,
}

/// What a plan must know of the firmware.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Its entries.
    pub entries: BootEntries,
    /// Partitions of the machine's disks, without those of the disk that is installed.
    pub alive: BTreeSet<Uuid>,
}

/// Reads what a plan for `disk` must know; `None` on a BIOS machine and for a disk that is no disk of this machine.
pub fn known(machine: &Machine, disk: &Disk, efivars: &Path) -> Option<Result<Known>> {
    if machine.firmware == Firmware::Bios || !machine.disks.contains(disk) {
        return None;
    }
    let others = machine.disks.iter().filter(|other| *other != disk);
    let alive = others.flat_map(partitions).collect();
    Some(read(efivars).map(|entries| Known { entries, alive }))
}

/// GUIDs of the partitions of a disk; none if its table is not sound.
fn partitions(disk: &Disk) -> Vec<Uuid> {
    let read = || {
        let sector = SectorSize::try_from(u64::from(disk.sector)).ok()?;
        read_back(&mut fs::File::open(&disk.path).ok()?, sector).ok()
    };
    let table = read().map(|table| table.partitions).unwrap_or_default();
    table.iter().map(|partition| partition.guid).collect()
}

/// Decides: one entry for this EFI system partition, first; the others keep their order; those of ours that lead nowhere
/// go. `alive` are the partitions of the machine's other disks.
///
/// The number of an entry that goes is used again, so that no install makes the list longer. In a full store even that
/// may have no room: Linux wants it for the new value before it gives up the old one. `None` if no number is free.
pub fn change(found: &BootEntries, esp: &PartitionPath, alive: &BTreeSet<Uuid>) -> Option<Change> {
    let stale = |option: &LoadOption| {
        option.description == LABEL && option.partition.is_some_and(|guid| !alive.contains(&guid))
    };
    let mut removed: BTreeSet<Number> = found
        .entries
        .iter()
        .filter(|(_, option)| stale(option))
        .map(|(number, _)| *number)
        .collect();
    let entry = removed.pop_first().or_else(|| free(found))?;
    let others = found.order.iter().copied();
    let others = others.filter(|number| *number != entry && !removed.contains(number));
    Some(Change {
        entry,
        content: Content(load_option::render(LABEL, esp, FILE)),
        order: std::iter::once(entry).chain(others).collect(),
        removed: removed.into_iter().collect(),
    })
}

fn free(found: &BootEntries) -> Option<Number> {
    (0..=u16::MAX)
        .map(Number)
        .find(|number| !found.taken.contains(number) && !found.order.contains(number))
}

/// The first entry in the order that starts from one of these partitions.
pub fn entry_for(found: &BootEntries, partitions: &[Uuid]) -> Option<Number> {
    let leads = |number: &&Number| {
        let option = found.entries.get(number);
        option
            .and_then(|option| option.partition)
            .is_some_and(|guid| partitions.contains(&guid))
    };
    found.order.iter().find(leads).copied()
}

/// Reads the entries in a folder of efivarfs.
pub fn read(efivars: &Path) -> Result<BootEntries> {
    let mut found = BootEntries::default();
    let list = fs::read_dir(efivars).with_context(|| format!("reading {}", efivars.display()))?;
    for file in list {
        let file = file.with_context(|| format!("reading {}", efivars.display()))?;
        let name = file.file_name().to_string_lossy().into_owned();
        let Some(number) = entry_number(&name) else {
            continue;
        };
        found.taken.insert(number);
        // An entry that cannot be read is somebody else's; it keeps its place.
        if let Ok(bytes) = fs::read(file.path())
            && let Some(option) = bytes.get(ATTRIBUTES.len()..).and_then(load_option::parse)
        {
            found.entries.insert(number, option);
        }
    }
    match fs::read(variable(efivars, "BootOrder")) {
        Ok(bytes) => {
            let (units, _) = bytes
                .get(ATTRIBUTES.len()..)
                .unwrap_or_default()
                .as_chunks();
            found.order = units
                .iter()
                .map(|unit| Number(u16::from_le_bytes(*unit)))
                .collect();
        }
        // A machine that never had an order.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context("reading BootOrder"),
    }
    Ok(found)
}

/// `Boot0007-<global>` is entry 7.
fn entry_number(file: &str) -> Option<Number> {
    let digits = file
        .strip_suffix(GLOBAL)?
        .strip_suffix('-')?
        .strip_prefix("Boot")?;
    let plain = digits.len() == 4
        && digits
            .bytes()
            .all(|c| c.is_ascii_digit() || (b'A'..=b'F').contains(&c));
    plain.then(|| u16::from_str_radix(digits, 16).ok().map(Number))?
}

fn variable(efivars: &Path, name: &str) -> PathBuf {
    efivars.join(format!("{name}-{GLOBAL}"))
}

/// Carries out a change. The order is written when the entry is there; entries go when nothing names them any more.
pub(crate) fn apply(efivars: &Path, change: &Change) -> Result<()> {
    let entry = variable(efivars, &change.entry.to_string());
    let fresh = !entry.exists();
    put(&entry, &change.content.0)?;
    let order: Vec<u8> = change
        .order
        .iter()
        .flat_map(|number| number.0.to_le_bytes())
        .collect();
    if let Err(error) = put(&variable(efivars, "BootOrder"), &order) {
        if fresh {
            // What nothing names is of no use; the first error is the one that counts.
            drop(fs::remove_file(&entry));
        }
        return Err(error);
    }
    for number in &change.removed {
        let path = variable(efivars, &number.to_string());
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

/// Lets the next start, and only that, use this entry.
pub(crate) fn set_next(efivars: &Path, entry: Number) -> Result<()> {
    put(&variable(efivars, "BootNext"), &entry.0.to_le_bytes())
}

fn put(path: &Path, value: &[u8]) -> Result<()> {
    let bytes = [&ATTRIBUTES, value].concat();
    write_in_one(path, &bytes).with_context(|| format!("writing {}", path.display()))
}

/// Makes the variables visible where nobody has done so yet.
pub(crate) fn mount(host: &mut impl Host) -> Result<()> {
    let at = Path::new(EFIVARS);
    let empty = fs::read_dir(at).is_ok_and(|mut list| list.next().is_none());
    if empty {
        host.mount(&Mount::new("efivarfs", at, "efivarfs"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
