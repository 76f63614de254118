//! The rules that every layout keeps, and the errors that name the one that is broken.

use std::collections::HashSet;

use uuid::Uuid;

use crate::{
    layout::{FIRST, Geometry, Layout, Partition, Table},
    role::{Filesystem, Role},
    units::{Bytes, SectorSize},
};

/// Entries of a GPT: the least the specification allows, and what everybody makes.
const GPT_ENTRIES: usize = 128;
const MBR_ENTRIES: usize = 4;
/// 2^32 - 1 sectors of 512 bytes.
const MBR_REACH: Bytes = Bytes::new(0xFFFF_FFFF * 512);
const NAME_UNITS: usize = 36;

/// Why there is no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The disk is smaller than what is wanted on it.
    #[error(
        "the disk is too small: it has {} MiB ({} bytes), {} MiB ({} bytes) are needed",
        .have.get() >> 20, .have.get(), .need.get().div_ceil(1 << 20), .need.get()
    )]
    TooSmall {
        /// The smallest disk that would do, in bytes.
        need: Bytes,
        /// The size of this disk, in bytes.
        have: Bytes,
    },
    /// The wanted sizes add up to more than 2^64 bytes.
    #[error("the wanted sizes are larger than any disk")]
    Overflow,
    /// Two partitions are to take the rest of the disk.
    #[error(
        "partitions {first} and {second} both have size 0; only one can take the rest of the disk"
    )]
    TwoTakeTheRest {
        /// The first of them.
        first: String,
        /// The second of them.
        second: String,
    },
    /// A partition name is empty or holds characters that names cannot have.
    #[error(
        "{name:?} is no partition name: it is empty or has control characters, '/' or surrounding spaces"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// A partition name does not fit a GPT entry (the `gpt` crate would cut it silently).
    #[error("partition name {name:?} has {units} UTF-16 units, 36 fit")]
    NameTooLong {
        /// The name.
        name: String,
        /// Its length in UTF-16 units.
        units: usize,
    },
    /// Two partitions have the same name, so `/dev/disk/by-partlabel` could show only one.
    #[error("two partitions have the name {name:?}")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A filesystem label is empty, does not fit, or is on a partition without a filesystem.
    #[error(
        "label {label:?} of partition {name} is empty, has control characters or is over {most} bytes ({filesystem})"
    )]
    BadLabel {
        /// The partition.
        name: String,
        /// The label.
        label: String,
        /// The filesystem.
        filesystem: Filesystem,
        /// How many bytes fit.
        most: usize,
    },
    /// Two filesystems have the same label.
    #[error("two partitions have the label {label:?}")]
    DuplicateLabel {
        /// The label.
        label: String,
    },
    /// An extra partition has a label by which the system finds its own parts.
    #[error(
        "label {label:?} of partition {name}: labels that begin with COS_ belong to the system"
    )]
    ReservedLabel {
        /// The partition.
        name: String,
        /// The label.
        label: String,
    },
    /// More partitions than a table has entries.
    #[error("{wanted} partitions are wanted, {most} fit")]
    TooManyPartitions {
        /// How many are wanted.
        wanted: usize,
        /// How many fit.
        most: usize,
    },
    /// A GUID is nil or is there twice.
    #[error("GUID {guid} is nil or used twice")]
    BadGuid {
        /// The GUID.
        guid: Uuid,
    },
    /// Extra partitions are wanted on an MBR disk, whose four primary partitions are taken.
    #[error(
        "extra partition {name}: an MBR disk has room for oem, recovery, state and persistent only"
    )]
    ExtraOnMbr {
        /// The first extra partition.
        name: String,
    },
    /// An MBR is wanted on a disk that it cannot describe: its numbers are 32 bits of 512-byte sectors.
    #[error("an MBR reaches {most} and the disk has {have}; use GPT")]
    TooLargeForMbr {
        /// What an MBR reaches.
        most: Bytes,
        /// The size of the disk.
        have: Bytes,
    },
    /// An MBR is wanted on a disk with 4096-byte sectors, from which no BIOS boots.
    #[error("an MBR is for BIOS machines, and none boots from a disk with 4096-byte sectors")]
    MbrOn4Kn,
    /// A partition is not where the rules put it (only from a file that somebody edited).
    #[error("partition {name}: {rule}")]
    Misplaced {
        /// The partition.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

/// Checks all rules; the first one that is broken is the error.
pub(crate) fn check(layout: &Layout) -> Result<(), LayoutError> {
    check_table(layout)?;
    check_places(layout)?;
    check_names(layout.partitions())?;
    check_labels(layout.partitions())?;
    check_guids(layout)
}

fn check_table(layout: &Layout) -> Result<(), LayoutError> {
    let most = if layout.table() == Table::Gpt {
        GPT_ENTRIES
    } else {
        MBR_ENTRIES
    };
    let wanted = layout.partitions().len();
    if wanted > most {
        return Err(LayoutError::TooManyPartitions { wanted, most });
    }
    if layout.table() == Table::Mbr {
        let Geometry { size, sector } = layout.geometry();
        if sector == SectorSize::B4096 {
            return Err(LayoutError::MbrOn4Kn);
        }
        if size > MBR_REACH {
            return Err(LayoutError::TooLargeForMbr {
                most: MBR_REACH,
                have: size,
            });
        }
    }
    Ok(())
}

fn check_places(layout: &Layout) -> Result<(), LayoutError> {
    let have = layout.geometry().size;
    let mut free = FIRST;
    for (part, number) in layout.partitions().iter().zip(1..) {
        let end = part.end().ok_or(LayoutError::Overflow)?;
        let rule = if part.number != number {
            Some("numbers count from 1 without gaps")
        } else if part.start < free {
            Some("it begins before the one in front of it ends")
        } else if part.size.is_zero() {
            Some("it has no size")
        } else if !part.start.is_aligned(Bytes::MIB) || !part.size.is_aligned(Bytes::MIB) {
            Some("start and size are whole MiB")
        } else {
            None
        };
        if let Some(rule) = rule {
            return Err(LayoutError::Misplaced {
                name: part.name.clone(),
                rule,
            });
        }
        free = end;
    }
    match layout.geometry().usable_end() {
        Some(end) if free <= end => Ok(()),
        _ => {
            let need = free
                .checked_add(layout.geometry().backup_size())
                .ok_or(LayoutError::Overflow)?;
            Err(LayoutError::TooSmall { need, have })
        }
    }
}

fn check_names(partitions: &[Partition]) -> Result<(), LayoutError> {
    let mut seen = HashSet::new();
    for Partition { role, name, .. } in partitions {
        if let Some(fixed) = role.partition_name().filter(|fixed| fixed != name) {
            return Err(LayoutError::Misplaced {
                name: fixed.to_owned(),
                rule: "its name is part of the contract",
            });
        }
        if name.is_empty()
            || name.trim() != name
            || name.contains(|c: char| c.is_control() || c == '/')
        {
            return Err(LayoutError::BadName { name: name.clone() });
        }
        let units = name.encode_utf16().count();
        if units > NAME_UNITS {
            return Err(LayoutError::NameTooLong {
                name: name.clone(),
                units,
            });
        }
        if !seen.insert(name) {
            return Err(LayoutError::DuplicateName { name: name.clone() });
        }
    }
    Ok(())
}

/// Characters that a FAT volume label cannot have (FAT specification 1.03, "long directory entries" and 8.3 names).
const FAT_FORBIDS: [char; 16] = [
    '"', '*', '+', ',', '.', '/', ':', ';', '<', '=', '>', '?', '[', '\\', ']', '|',
];

fn check_labels(partitions: &[Partition]) -> Result<(), LayoutError> {
    let mut seen = HashSet::new();
    for Partition {
        role,
        name,
        label,
        filesystem,
        ..
    } in partitions
    {
        if *role != Role::Extra && label.as_deref() != role.filesystem_label() {
            return Err(LayoutError::Misplaced {
                name: name.clone(),
                rule: "its label is part of the contract",
            });
        }
        let Some(label) = label else { continue };
        let most = filesystem.longest_label();
        let unwritable = |c: char| {
            c.is_control() || (*filesystem == Filesystem::Vfat && FAT_FORBIDS.contains(&c))
        };
        if label.is_empty() || label.len() > most || label.contains(unwritable) {
            let (name, label) = (name.clone(), label.clone());
            return Err(LayoutError::BadLabel {
                name,
                label,
                filesystem: *filesystem,
                most,
            });
        }
        if *role == Role::Extra && label.starts_with("COS_") {
            return Err(LayoutError::ReservedLabel {
                name: name.clone(),
                label: label.clone(),
            });
        }
        if !seen.insert(label) {
            return Err(LayoutError::DuplicateLabel {
                label: label.clone(),
            });
        }
    }
    Ok(())
}

fn check_guids(layout: &Layout) -> Result<(), LayoutError> {
    let mut seen = HashSet::new();
    let mut guids =
        std::iter::once(layout.disk_guid()).chain(layout.partitions().iter().map(|part| part.guid));
    match guids.find(|guid| guid.is_nil() || !seen.insert(*guid)) {
        Some(guid) => Err(LayoutError::BadGuid { guid }),
        None => Ok(()),
    }
}
