//! What is on a disk, in words, and whose it is: what must be known before anything is erased.
//!
//! Everything is read from the raw disk and nothing is mounted: even a read-only mount of a journalled file system writes
//! to its disk. The table is read by the `partition` room; the signatures are read by `blkid`, which knows all of them.

mod ext;
mod lvm;
mod signature;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use host::Host;
use partition::{ByteRange, ReadPartition, SectorSize, Survey, Table, survey};
use serde::{Deserialize, Serialize};
use tui::plain::human_bytes;

use crate::calendar;
pub use signature::{Probe, Signature};

/// What is on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Whose it is.
    pub owner: Owner,
    /// What it is, in words, one part each: `Windows NTFS "Data" 450 GiB`; empty for a blank disk.
    #[serde(default)]
    pub words: Vec<String>,
    /// Where its partitions lie.
    #[serde(default)]
    pub areas: Vec<ByteRange>,
}

/// Whose the content of a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The disk is blank: no signature, no table, and nothing in its first and last MiB.
    Nobody,
    /// An installation of Landfall or Kairos, whole or half-finished.
    Ours,
    /// Anything else, also what nobody knows.
    Foreign,
    /// Its start or its end cannot be read, or cannot be probed.
    Unreadable,
}

impl Contents {
    /// A blank disk.
    pub const BLANK: Self = Self {
        owner: Owner::Nobody,
        words: Vec::new(),
        areas: Vec::new(),
    };

    fn unreadable(reason: String) -> Self {
        Self {
            owner: Owner::Unreadable,
            words: vec![reason],
            areas: Vec::new(),
        }
    }
}

impl std::fmt::Display for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.words.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&self.words.join(", "))
    }
}

/// Names of the partitions that every installation has (GPT).
const NAMES: [&str; 4] = ["oem", "recovery", "state", "persistent"];

/// Labels of the file systems of an installation. A single one of them is none: Kairos lets a second disk carry
/// `COS_PERSISTENT`.
const LABELS: [&str; 5] = [
    "COS_GRUB",
    "COS_OEM",
    "COS_RECOVERY",
    "COS_STATE",
    "COS_PERSISTENT",
];

/// Bytes at either end of a disk that are zero (or never written) on a blank one.
const EDGE: u64 = 1 << 20;

/// Most partitions that are probed; nobody reads more words.
const MOST: usize = 64;

/// What was read of one partition.
#[derive(Debug)]
struct Part {
    table: ReadPartition,
    probe: Probe,
    /// Name of the volume group, where one was found.
    group: Option<String>,
    /// When its ext4 file system was made, in seconds since 1970.
    made: Option<u64>,
}

/// What was read of a disk.
#[derive(Debug)]
struct Seen {
    blank: bool,
    whole: Probe,
    group: Option<String>,
    survey: Option<Survey>,
    parts: Vec<Part>,
    size: u64,
}

/// Looks at a disk or image file of `size` bytes with sectors of `sector` bytes; writes nothing and mounts nothing.
pub fn look(path: &Path, size: u64, sector: u32, host: &mut impl Host) -> Contents {
    match see(path, size, sector, host) {
        Ok(seen) => judge(&seen),
        Err(error) => Contents::unreadable(format!("{error:#}")),
    }
}

fn see(path: &Path, size: u64, sector: u32, host: &mut impl Host) -> anyhow::Result<Seen> {
    use anyhow::Context as _;
    let mut disk = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let blank = edges_are_blank(&disk, size)?;
    let sector = SectorSize::try_from(u64::from(sector))?;
    let survey = survey(&mut disk, sector).context("reading the partition table")?;
    if size == 0 {
        return Ok(Seen {
            blank,
            whole: Probe::Nothing,
            group: None,
            survey,
            parts: Vec::new(),
            size,
        });
    }
    let whole = signature::probe(path, None, host)?;
    let mut parts = Vec::new();
    let found = survey.iter().flat_map(|survey| &survey.partitions);
    for table in found.take(MOST) {
        let area = ByteRange {
            start: table.start,
            size: table.size,
        };
        let probe = signature::probe(path, Some(area), host)?;
        parts.push(Part {
            group: lvm::group(&disk, &probe, area.start.get()),
            made: ext::made(&disk, area.start.get()),
            table: table.clone(),
            probe,
        });
    }
    Ok(Seen {
        blank,
        group: lvm::group(&disk, &whole, 0),
        whole,
        survey,
        parts,
        size,
    })
}

/// Whether the first and the last MiB hold nothing: all zeroes, or all ones as flash memory has them when it is erased.
fn edges_are_blank(disk: &File, size: u64) -> anyhow::Result<bool> {
    use anyhow::Context as _;
    let mut blank = true;
    let length = EDGE.min(size);
    for at in [0, size - length] {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        disk.read_exact_at(&mut bytes, at)
            .with_context(|| format!("the {length} bytes from byte {at} on cannot be read"))?;
        let first = bytes.first().copied().unwrap_or_default();
        blank &= matches!(first, 0 | 0xff) && bytes.iter().all(|byte| *byte == first);
    }
    Ok(blank)
}

/// Decides whose it is and says it; pure.
fn judge(seen: &Seen) -> Contents {
    let mut areas: Vec<ByteRange> = Vec::new();
    if let Some(survey) = &seen.survey {
        areas.extend(survey.partitions.iter().map(|part| ByteRange {
            start: part.start,
            size: part.size,
        }));
    }
    let whole = in_words(&seen.whole, seen.group.as_deref(), None, seen.size);
    let (owner, words) = if is_ours(seen) && seen.whole == Probe::Nothing {
        (Owner::Ours, ours_in_words(seen))
    } else if let Some(survey) = &seen.survey {
        let mut words: Vec<String> = whole.into_iter().collect();
        words.extend(seen.parts.iter().map(part_in_words));
        let more = survey.partitions.len().saturating_sub(seen.parts.len());
        if more > 0 {
            words.push(format!("{more} more partitions"));
        }
        if words.is_empty() {
            words.push("an empty partition table".to_owned());
        }
        (Owner::Foreign, words)
    } else if let Some(whole) = whole {
        (Owner::Foreign, vec![whole])
    } else if seen.blank {
        (Owner::Nobody, Vec::new())
    } else {
        (
            Owner::Foreign,
            vec!["data that no known program wrote".to_owned()],
        )
    };
    Contents {
        owner,
        words,
        areas,
    }
}

/// Whether the partitions are those of an installation, be it without file systems yet or with one copy of its table.
fn is_ours(seen: &Seen) -> bool {
    let named = NAMES
        .iter()
        .all(|name| seen.parts.iter().any(|part| part.table.name == *name));
    let mut labels: Vec<&str> = seen
        .parts
        .iter()
        .filter_map(|part| part.probe.label())
        .filter(|label| LABELS.contains(label))
        .collect();
    labels.sort_unstable();
    labels.dedup();
    named || labels.len() >= 2 || is_begun_on_mbr(seen)
}

/// Whether an installation has begun on an MBR, whose partitions have no names: the boot sector says so, and what is in
/// the four partitions is of an installation, as far as there is something.
fn is_begun_on_mbr(seen: &Seen) -> bool {
    let begun = seen.survey.as_ref().is_some_and(|survey| {
        survey.table == Table::Mbr
            && survey.flaw.is_none()
            && survey.partitions.len() == NAMES.len()
            && crate::apply::is_unfinished(&survey.boot_code)
    });
    begun
        && seen.parts.iter().all(|part| {
            let label = part.probe.label();
            part.probe == Probe::Nothing || label.is_some_and(|label| LABELS.contains(&label))
        })
}

fn ours_in_words(seen: &Seen) -> Vec<String> {
    let named = |name: &str| seen.parts.iter().find(|part| part.table.name == name);
    // On a GPT Landfall always makes both, whatever the firmware is; Kairos makes no MBR.
    let on_mbr = seen.survey.as_ref().map(|survey| survey.table) == Some(Table::Mbr);
    let kind = if on_mbr || named("bios").is_some() && named("efi").is_some() {
        "Landfall"
    } else {
        "Kairos"
    };
    let state = seen
        .parts
        .iter()
        .find(|part| part.probe.label() == Some("COS_STATE"));
    let made = state.and_then(|part| part.made).filter(|made| *made > 0);
    let survey = seen.survey.as_ref();
    let unfinished = survey.is_some_and(|survey| {
        survey.flaw.is_some() || crate::apply::is_unfinished(&survey.boot_code)
    });
    let first = match made {
        _ if unfinished => format!("{kind}, an installation that did not finish"),
        Some(made) => format!("{kind}, installed {}", calendar::date(made)),
        None => kind.to_owned(),
    };
    let known = |part: &&Part| {
        NAMES.contains(&part.table.name.as_str())
            || ["bios", "efi"].contains(&part.table.name.as_str())
            || part
                .probe
                .label()
                .is_some_and(|label| LABELS.contains(&label))
    };
    // An MBR of ours has no others, and no names.
    let extra = seen.parts.iter().filter(|part| !on_mbr && !known(part));
    std::iter::once(first)
        .chain(extra.map(part_in_words))
        .collect()
}

fn part_in_words(part: &Part) -> String {
    let size = part.table.size.get();
    let name = Some(part.table.name.as_str()).filter(|name| !name.is_empty());
    in_words(&part.probe, part.group.as_deref(), name, size).unwrap_or_else(|| {
        let name = name.map_or_else(
            || format!("partition {}", part.table.number),
            |name| format!("partition \"{}\"", printable(name)),
        );
        format!("{name} {}", human_bytes(size))
    })
}

/// A signature in words; `None` where there is none.
fn in_words(probe: &Probe, group: Option<&str>, name: Option<&str>, size: u64) -> Option<String> {
    let size = human_bytes(size);
    match probe {
        Probe::Nothing => None,
        Probe::Several => Some(format!(
            "several signatures that contradict each other {size}"
        )),
        Probe::One(signature) => {
            let label = group.or(signature.label.as_deref()).or(name);
            let label = label.map(|label| format!(" \"{}\"", printable(label)));
            let kind = signature.kind_in_words();
            Some(format!("{kind}{} {size}", label.unwrap_or_default()))
        }
    }
}

/// A text of a foreign disk, fit to be shown on a terminal.
fn printable(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
    shown
}

/// Reads some bytes of a disk; what cannot be read is not there.
fn bytes_at(disk: &File, at: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    disk.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

#[cfg(test)]
#[path = "contents/tests.rs"]
mod tests;
