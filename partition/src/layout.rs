//! The decided partitions of one disk.
//!
//! A [`Layout`] cannot exist in a wrong state: [`Wanted::layout`] and deserialisation both end in the same check. The
//! `gpt` crate checks nothing of this (it accepts overlaps and entries past the end of the disk), so it is done here.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    check::{self, LayoutError},
    role::{Filesystem, Role},
    units::{Bytes, Lba, SectorSize},
    wanted::{Note, Unplaced, Wanted},
};

/// The kind of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// GPT with a protective MBR: boots under BIOS and UEFI.
    Gpt,
    /// A plain MBR, for machines whose BIOS boots no GPT: no UEFI, no partition names, 2 TiB at most.
    Mbr,
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Gpt => "GPT",
            Self::Mbr => "MBR",
        })
    }
}

/// The size and the sectors of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// The size of the whole disk in bytes. An incomplete last sector (of an image file) is not used.
    pub size: Bytes,
    /// The logical sector size.
    pub sector: SectorSize,
}

/// One partition of a [`Layout`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number in the table, from 1.
    pub number: u32,
    /// What it is for.
    pub role: Role,
    /// Its GPT partition name. An MBR stores none; the name is then only for people.
    pub name: String,
    /// The label of the filesystem inside.
    pub label: Option<String>,
    /// What it is to be formatted with.
    pub filesystem: Filesystem,
    /// Its GPT partition GUID. An MBR stores none; see [`Layout::part_uuid`].
    pub guid: Uuid,
    /// Where it begins on the disk, in bytes; a multiple of 1 MiB.
    pub start: Bytes,
    /// How large it is, in bytes; a multiple of 1 MiB.
    pub size: Bytes,
}

impl Partition {
    /// The first byte after it; `None` above 2^64 bytes, which no checked layout has.
    pub fn end(&self) -> Option<Bytes> {
        self.start.checked_add(self.size)
    }

    /// Its first sector.
    pub fn first_lba(&self, sector: SectorSize) -> Lba {
        Lba::new(sector.sectors_in(self.start))
    }

    /// The number of its sectors.
    pub fn sectors(&self, sector: SectorSize) -> u64 {
        sector.sectors_in(self.size)
    }

    /// Its last sector, which belongs to it.
    pub fn last_lba(&self, sector: SectorSize) -> Lba {
        // A checked partition has at least one MiB and ends below 2^64: neither end of this saturates.
        Lba::new(
            self.first_lba(sector)
                .get()
                .saturating_add(self.sectors(sector))
                .saturating_sub(1),
        )
    }
}

/// The decided partitions of one disk: numbered 1.. without gaps in the order in which they lie, each a whole number of
/// MiB at a whole number of MiB, none over another, all inside what the table leaves usable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Layout {
    table: Table,
    geometry: Geometry,
    disk_guid: Uuid,
    partitions: Vec<Partition>,
    notes: Vec<Note>,
}

/// The fields of a [`Layout`] as they come from a file.
#[derive(Deserialize)]
struct Unchecked {
    table: Table,
    geometry: Geometry,
    disk_guid: Uuid,
    partitions: Vec<Partition>,
    notes: Vec<Note>,
}

impl TryFrom<Unchecked> for Layout {
    type Error = LayoutError;

    fn try_from(read: Unchecked) -> Result<Self, LayoutError> {
        let Unchecked {
            table,
            geometry,
            disk_guid,
            partitions,
            notes,
        } = read;
        Self {
            table,
            geometry,
            disk_guid,
            partitions,
            notes,
        }
        .checked()
    }
}

/// Space at the start of the disk for the tables and for alignment.
pub(crate) const FIRST: Bytes = Bytes::MIB;

impl Geometry {
    /// The size of the two tables' ends: entries and header, 33 sectors of 512 or 5 of 4096 bytes.
    pub(crate) const fn backup_size(self) -> Bytes {
        match self.sector {
            SectorSize::B512 => Bytes::new(33 * 512),
            SectorSize::B4096 => Bytes::new(5 * 4096),
        }
    }

    /// The number of whole sectors.
    pub const fn sectors(self) -> u64 {
        self.sector.sectors_in(self.size)
    }

    /// Where the backup table begins and partitions must end. An MBR disk keeps the space free as well: an old backup
    /// table there is erased, and none of it is ever inside a partition.
    pub(crate) fn usable_end(self) -> Option<Bytes> {
        self.whole()?.checked_sub(self.backup_size())
    }

    /// The size in whole sectors.
    pub(crate) fn whole(self) -> Option<Bytes> {
        self.sector.offset(Lba::new(self.sectors()))
    }
}

impl Wanted {
    /// The smallest disk, in bytes, that this fits on: what [`LayoutError::TooSmall`] calls `need`.
    ///
    /// # Errors
    /// Those of [`Wanted::layout`] that do not depend on the disk.
    pub fn smallest_disk(&self, sector: SectorSize) -> Result<Bytes, LayoutError> {
        let (parts, _) = self.in_order()?;
        smallest(
            &parts,
            Geometry {
                size: Bytes::ZERO,
                sector,
            },
        )
    }

    /// Decides where everything goes on a disk of this geometry.
    ///
    /// `next_guid` is asked once for the disk and then once for each partition in its order: the same answers give the
    /// same layout.
    ///
    /// # Errors
    /// A [`LayoutError`] that names what does not fit; nothing is cut or dropped to make it fit.
    pub fn layout(
        &self,
        geometry: Geometry,
        mut next_guid: impl FnMut() -> Uuid,
    ) -> Result<Layout, LayoutError> {
        let (mut parts, mut notes) = self.in_order()?;
        let need = smallest(&parts, geometry)?;
        let too_small = LayoutError::TooSmall {
            need,
            have: geometry.size,
        };
        let end = geometry
            .usable_end()
            .and_then(|end| end.align_down(Bytes::MIB))
            .ok_or(too_small.clone())?;

        if let Some((last, before)) = parts.split_last_mut() {
            let start = ends_at(before)?;
            let rest = end
                .checked_sub(start)
                .filter(|rest| *rest >= last.size)
                .ok_or(too_small)?;
            if !last.takes_rest && rest > last.size {
                notes.push(Note::Extended {
                    name: last.name.clone(),
                    wanted: last.size,
                    given: rest,
                });
            }
            last.size = rest;
        }
        let disk_guid = next_guid();
        let mut start = FIRST;
        let mut partitions = Vec::with_capacity(parts.len());
        for (part, number) in parts.into_iter().zip(1..) {
            let Unplaced {
                role,
                name,
                label,
                filesystem,
                size,
                takes_rest: _,
            } = part;
            let placed = Partition {
                number,
                role,
                name,
                label,
                filesystem,
                guid: next_guid(),
                start,
                size,
            };
            start = placed.end().ok_or(LayoutError::Overflow)?;
            partitions.push(placed);
        }
        Layout {
            table: self.table,
            geometry,
            disk_guid,
            partitions,
            notes,
        }
        .checked()
    }
}

fn ends_at(parts: &[Unplaced]) -> Result<Bytes, LayoutError> {
    parts
        .iter()
        .try_fold(FIRST, |end, part| end.checked_add(part.size))
        .ok_or(LayoutError::Overflow)
}

fn smallest(parts: &[Unplaced], geometry: Geometry) -> Result<Bytes, LayoutError> {
    ends_at(parts)?
        .checked_add(geometry.backup_size())
        .ok_or(LayoutError::Overflow)
}

impl Layout {
    /// The kind of partition table.
    pub const fn table(&self) -> Table {
        self.table
    }

    /// The disk that this layout is for.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The GUID of the disk. On an MBR disk only its first four bytes are stored; see [`Layout::mbr_signature`].
    pub const fn disk_guid(&self) -> Uuid {
        self.disk_guid
    }

    /// The partitions, in the order of their numbers and places.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// What was decided otherwise than the user wrote it.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The first partition with this role. An MBR disk has no `bios` and no `efi`.
    pub fn partition(&self, role: Role) -> Option<&Partition> {
        self.partitions.iter().find(|part| part.role == role)
    }

    /// The 32-bit disk signature of an MBR: the first four bytes of the disk's GUID as text shows them.
    pub fn mbr_signature(&self) -> u32 {
        self.disk_guid.as_fields().0
    }

    /// The `PARTUUID` by which Linux and `findfs` know a partition: the GUID on GPT, `signature-number` on MBR.
    pub fn part_uuid(&self, part: &Partition) -> String {
        match self.table {
            Table::Gpt => part.guid.to_string(),
            Table::Mbr => format!("{:08x}-{:02x}", self.mbr_signature(), part.number),
        }
    }

    fn checked(self) -> Result<Self, LayoutError> {
        check::check(&self)?;
        Ok(self)
    }
}

impl fmt::Display for Layout {
    /// A heading and one line for each partition.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:>2}  {:<12} {:>12} {:>12}  {:<5} LABEL",
            "#", "NAME", "START", "SIZE", "FS"
        )?;
        self.partitions
            .iter()
            .try_for_each(|part| writeln!(out, "{part}"))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            name,
            start,
            size,
            filesystem,
            ..
        } = self;
        let label = self.label.as_deref().unwrap_or("-");
        write!(
            out,
            "{number:>2}  {name:<12} {start:>12} {size:>12}  {filesystem:<5} {label}"
        )
    }
}
