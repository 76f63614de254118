//! What somebody wants on a disk, before the disk is known, and how large that makes each partition.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    check::LayoutError,
    layout::Table,
    role::{Filesystem, Role},
    units::Bytes,
};

/// The BIOS boot partition: GRUB's core image is at most 480 KiB.
const BIOS: Bytes = Bytes::MIB;
/// Room for several signed boot chains and for firmware updates beside them.
const EFI: Bytes = Bytes::mib(256);
/// What Kairos makes, and enough for a boot chain of 8 MiB.
const EFI_LEAST: Bytes = Bytes::mib(64);
const OEM: Bytes = Bytes::mib(64);
/// Below this ext4 has no room for its journal.
const OEM_LEAST: Bytes = Bytes::mib(16);
const PERSISTENT_LEAST: Bytes = Bytes::mib(512);
const EXTRA_LEAST: Bytes = Bytes::MIB;
/// Three slot images at once (active, passive, transition) and room for GRUB, filesystem and upgrades.
pub(crate) const STATE_IMAGES: u64 = 3;
pub(crate) const STATE_MORE: Bytes = Bytes::mib(1000);
/// The medium's payload twice, so that it can be replaced without a moment in which there is none.
pub(crate) const RECOVERY_PAYLOADS: u64 = 2;
pub(crate) const RECOVERY_MORE: Bytes = Bytes::mib(200);

/// What is wanted on a disk. Sizes are rounded up to whole MiB; `None` stands for the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The kind of partition table.
    pub table: Table,
    /// The size of one slot image, from which the least size of `state` follows: 3 times this and 1000 MiB.
    pub image: Bytes,
    /// The size of the medium's content, from which the least size of `recovery` follows: 2 times this and 200 MiB.
    pub payload: Bytes,
    /// The EFI system partition: 256 MiB by default, 64 MiB at least.
    pub efi: Option<Bytes>,
    /// The OEM partition: 64 MiB by default, 16 MiB at least.
    pub oem: Option<Bytes>,
    /// The recovery partition: by default what `payload` needs, and never less.
    pub recovery: Option<Bytes>,
    /// The state partition: by default what `image` needs, and never less.
    pub state: Option<Bytes>,
    /// The persistent partition: by default, and with zero, the rest of the disk; 512 MiB at least.
    pub persistent: Option<Bytes>,
    /// Further partitions in the user's order.
    pub extra: Vec<Extra>,
}

/// A partition that the user asked for (`install.extra-partitions`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// Its GPT partition name.
    pub name: String,
    /// Its size; zero takes the rest of the disk.
    pub size: Bytes,
    /// What it is formatted with.
    pub filesystem: Filesystem,
    /// The label of the filesystem, if it gets one.
    pub label: Option<String>,
}

/// Something that was decided otherwise than the user wrote it, and that the user is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum Note {
    /// A size below the least one was raised to it.
    Raised {
        /// The partition's name.
        name: String,
        /// What the user wrote, rounded up to whole MiB.
        wanted: Bytes,
        /// What it became.
        given: Bytes,
    },
    /// No partition had size zero, so the last one got what was left of the disk.
    Extended {
        /// The partition's name.
        name: String,
        /// What the user wrote, rounded up to whole MiB.
        wanted: Bytes,
        /// What it became.
        given: Bytes,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raised {
                name,
                wanted,
                given,
            } => {
                write!(
                    out,
                    "partition {name} needs more than the {wanted} asked for and gets {given}"
                )
            }
            Self::Extended {
                name,
                wanted,
                given,
            } => {
                write!(
                    out,
                    "partition {name} is the last and gets all that is left, {given} instead of {wanted}"
                )
            }
        }
    }
}

/// One partition without a place yet.
#[derive(Debug, Clone)]
pub(crate) struct Unplaced {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) label: Option<String>,
    pub(crate) filesystem: Filesystem,
    /// The size it has, or for the last one: the size it has at least.
    pub(crate) size: Bytes,
    /// Whether zero was asked for, so that taking the rest is what the user expects.
    pub(crate) takes_rest: bool,
}

impl Wanted {
    /// The defaults for a GPT disk that will hold slot images of `image` bytes and a recovery medium of `payload` bytes.
    pub const fn new(image: Bytes, payload: Bytes) -> Self {
        Self {
            table: Table::Gpt,
            image,
            payload,
            efi: None,
            oem: None,
            recovery: None,
            state: None,
            persistent: None,
            extra: Vec::new(),
        }
    }

    /// The partitions in their order on the disk; the last one is the one that takes the rest.
    pub(crate) fn in_order(&self) -> Result<(Vec<Unplaced>, Vec<Note>), LayoutError> {
        let mut notes = Vec::new();
        let mut parts = Vec::new();
        if self.table == Table::Gpt {
            parts.push(fixed(Role::BiosBoot, BIOS));
            parts.push(at_least(
                Role::Esp,
                Some(self.efi.unwrap_or(EFI)),
                EFI_LEAST,
                &mut notes,
            )?);
        } else if let Some(first) = self.extra.first() {
            // The four primary partitions of an MBR are taken.
            return Err(LayoutError::ExtraOnMbr {
                name: first.name.clone(),
            });
        }
        let recovery = formula(self.payload, RECOVERY_PAYLOADS, RECOVERY_MORE)?;
        let state = formula(self.image, STATE_IMAGES, STATE_MORE)?;
        parts.push(at_least(
            Role::Oem,
            Some(self.oem.unwrap_or(OEM)),
            OEM_LEAST,
            &mut notes,
        )?);
        parts.push(at_least(
            Role::Recovery,
            self.recovery,
            recovery,
            &mut notes,
        )?);
        parts.push(at_least(Role::State, self.state, state, &mut notes)?);

        let sized = self.persistent.filter(|size| !size.is_zero());
        let mut persistent = at_least(Role::Persistent, sized, PERSISTENT_LEAST, &mut notes)?;
        persistent.takes_rest = sized.is_none();
        parts.push(persistent);
        for extra in &self.extra {
            parts.push(unplaced_extra(extra)?);
        }
        last_takes_rest(&mut parts)?;
        Ok((parts, notes))
    }
}

/// Moves the one partition that takes the rest to the end, where the growing of a disk can extend it.
fn last_takes_rest(parts: &mut [Unplaced]) -> Result<(), LayoutError> {
    let mut takers = parts.iter().filter(|part| part.takes_rest);
    if let (Some(first), Some(second)) = (takers.next(), takers.next()) {
        return Err(LayoutError::TwoTakeTheRest {
            first: first.name.clone(),
            second: second.name.clone(),
        });
    }
    // A stable sort by a two-valued key: all others keep their order.
    parts.sort_by_key(|part| part.takes_rest);
    Ok(())
}

fn fixed(role: Role, size: Bytes) -> Unplaced {
    Unplaced {
        role,
        name: role.partition_name().unwrap_or_default().to_owned(),
        label: role.filesystem_label().map(ToOwned::to_owned),
        filesystem: role.filesystem().unwrap_or(Filesystem::Raw),
        size,
        takes_rest: false,
    }
}

fn at_least(
    role: Role,
    wanted: Option<Bytes>,
    least: Bytes,
    notes: &mut Vec<Note>,
) -> Result<Unplaced, LayoutError> {
    let mut part = fixed(role, least);
    if let Some(wanted) = wanted {
        let wanted = whole_mib(wanted)?;
        part.size = wanted.max(least);
        if wanted < least {
            notes.push(Note::Raised {
                name: part.name.clone(),
                wanted,
                given: least,
            });
        }
    }
    Ok(part)
}

fn unplaced_extra(extra: &Extra) -> Result<Unplaced, LayoutError> {
    Ok(Unplaced {
        role: Role::Extra,
        name: extra.name.clone(),
        label: extra.label.clone(),
        filesystem: extra.filesystem,
        size: whole_mib(extra.size)?.max(EXTRA_LEAST),
        takes_rest: extra.size.is_zero(),
    })
}

pub(crate) fn formula(content: Bytes, times: u64, more: Bytes) -> Result<Bytes, LayoutError> {
    whole_mib(content)?
        .checked_mul(times)
        .and_then(|size| size.checked_add(more))
        .ok_or(LayoutError::Overflow)
}

fn whole_mib(size: Bytes) -> Result<Bytes, LayoutError> {
    size.align_up(Bytes::MIB).ok_or(LayoutError::Overflow)
}
