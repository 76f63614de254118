//! A layout as a GPT on a disk, and any table back from a disk.
//!
//! Sector 0 decides: without a protective MBR neither Linux nor a BIOS takes a disk for a GPT disk. It is written last
//! of the table, at first without boot code, so that the kernel sees the partitions but no BIOS boots; the installer
//! writes the boot code with [`protective_mbr`] when everything else is verified.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom, Write},
};

use gpt::{
    GptConfig, GptError,
    disk::LogicalBlockSize,
    header::{Header, HeaderError},
    mbr::{PartRecord, ProtectiveMBR},
    partition::{Partition as GptPartition, file_read_partitions},
    partition_types::{OperatingSystem, Type},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ends::Ends,
    layout::{Geometry, Layout, Partition, Table},
    mbr,
    units::{Bytes, Lba, SectorSize},
};

/// The part of sector 0 that a BIOS runs; what follows is the disk signature and the partition records.
pub type BootCode = [u8; 440];

/// Why a table cannot be written, read or accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The disk could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The layout is for the other kind of table.
    #[error("the layout is for a table of kind {0:?}")]
    WrongTable(Table),
    /// The disk does not have the size for which the layout was made.
    #[error("the disk has {found}, the layout is for one of {expected}")]
    DiskChanged {
        /// The size in the layout, in bytes.
        expected: Bytes,
        /// The size of the disk, in bytes.
        found: Bytes,
    },
    /// The disk is too small to hold any table.
    #[error("a disk of {0} is too small for a partition table")]
    TooSmall(Bytes),
    /// The `gpt` crate refused to encode the table.
    #[error("encoding the GPT: {0}")]
    Gpt(#[from] GptError),
    /// The `mbrman` crate refused to encode or decode the table.
    #[error("MBR: {0}")]
    Mbr(#[from] mbrman::Error),
    /// A value does not fit the table.
    #[error("{0} does not fit the partition table")]
    Unencodable(&'static str),
    /// There is no partition table on the disk.
    #[error("no partition table on the disk")]
    NoTable,
    /// One of the two copies of a GPT cannot be used.
    #[error("the {copy} GPT is damaged: {reason}")]
    Damaged {
        /// `primary` or `backup`.
        copy: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The two copies of a GPT are valid and do not say the same.
    #[error("the primary and the backup GPT differ in their {0}")]
    CopiesDiffer(&'static str),
    /// Sector 0 does not protect the GPT as it should.
    #[error("the protective MBR is wrong: {0}")]
    NotProtective(&'static str),
    /// The table is valid and uses something that Landfall never writes.
    #[error("the partition table has {0}, which is not supported")]
    Unsupported(&'static str),
    /// The table is not the one of the layout.
    #[error("the table on the disk differs: {what} is {found}, expected {expected}")]
    Differs {
        /// What differs.
        what: String,
        /// What the layout says.
        expected: String,
        /// What the disk says.
        found: String,
    },
}

/// Some bytes of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteRange {
    /// Where they begin.
    pub start: Bytes,
    /// How many they are.
    pub size: Bytes,
}

/// A partition table as it is on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTable {
    /// Its kind.
    pub table: Table,
    /// Size and sectors of the disk.
    pub geometry: Geometry,
    /// The GUID of a GPT disk.
    pub disk_guid: Option<Uuid>,
    /// The 32-bit signature of an MBR; on a GPT disk nobody uses it and Landfall leaves it zero.
    pub signature: u32,
    /// What a BIOS would run.
    pub boot_code: BootCode,
    /// Whether any record of sector 0 has the active flag.
    pub active: bool,
    /// The partitions by number.
    pub partitions: Vec<ReadPartition>,
}

/// A partition as it is on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPartition {
    /// Its number, from 1.
    pub number: u32,
    /// Where it begins, in bytes.
    pub start: Bytes,
    /// How large it is, in bytes.
    pub size: Bytes,
    /// Its GPT name; empty on MBR.
    pub name: String,
    /// Its type: a GUID on GPT; on MBR nil but for the last byte, which is the type number.
    pub kind: Uuid,
    /// Its GUID; nil on MBR.
    pub guid: Uuid,
    /// Its GPT attribute bits; zero on MBR.
    pub attributes: u64,
}

/// Writes the primary and the backup GPT and the protective MBR, the latter with `boot_code` or, with `None`, with none.
///
/// The order is: backup, primary, flush, sector 0, flush. Syncing the device is the caller's. A sector of 4096 bytes is
/// written whole; an old table between the ends is not looked at (see [`wipe_ranges`]).
///
/// # Errors
/// [`TableError::DiskChanged`] when `disk` does not have the size of the layout: nothing was written then.
/// [`TableError::WrongTable`] for an MBR layout.
pub fn write_gpt<D>(
    layout: &Layout,
    disk: &mut D,
    boot_code: Option<&BootCode>,
) -> Result<(), TableError>
where
    D: Read + Write + Seek + ?Sized,
{
    let mut ends = encode_gpt(layout)?;
    let sector_0 = protective_mbr(layout, boot_code.unwrap_or(&[0; 440]), false)?;
    *ends
        .boot_sector_mut()
        .ok_or(TableError::TooSmall(layout.geometry().size))? = sector_0;
    check_size(layout, disk)?;
    ends.write(disk, layout.geometry())?;
    Ok(())
}

/// The first 512 bytes of a GPT disk: boot code, one record of type 0xEE over the whole disk, signature.
///
/// Above 2 TiB (of 512-byte sectors) the record's size is `0xFFFF_FFFF` (UEFI 2.10, table 5.4). `active` sets the active
/// flag on it: the specification wants it clear, and some BIOSes boot no disk without it.
///
/// # Errors
/// [`TableError::WrongTable`] for an MBR layout, whose table it would destroy.
pub fn protective_mbr(
    layout: &Layout,
    boot_code: &BootCode,
    active: bool,
) -> Result<[u8; 512], TableError> {
    if layout.table() != Table::Gpt {
        return Err(TableError::WrongTable(layout.table()));
    }
    let mut record = PartRecord::new_protective(Some(protected_sectors(layout.geometry())));
    record.boot_indicator = if active {
        mbrman::BOOT_ACTIVE
    } else {
        mbrman::BOOT_INACTIVE
    };
    let mut sector_0 = ProtectiveMBR::new();
    sector_0.set_bootcode(*boot_code);
    sector_0.set_partition(0, record);
    Ok(sector_0.to_bytes())
}

/// What to erase so that nobody finds what was on the disk before: the first and the last 1 MiB of the disk and of every
/// partition, sorted and without overlaps. To be done before the table is written, which lies in the first of them.
pub fn wipe_ranges(layout: &Layout) -> Vec<ByteRange> {
    let whole = layout.geometry().whole().unwrap_or(layout.geometry().size);
    let areas = layout
        .partitions()
        .iter()
        .filter_map(|part| Some((part.start, part.end()?)));
    let mut spans: Vec<(Bytes, Bytes)> = std::iter::once((Bytes::ZERO, whole))
        .chain(areas)
        .flat_map(|(start, end)| {
            let after = start.checked_add(Bytes::MIB).unwrap_or(end).min(end);
            let before = end.checked_sub(Bytes::MIB).unwrap_or(start).max(start);
            [(start, after), (before, end)]
        })
        .collect();
    spans.sort_unstable();
    let mut merged: Vec<(Bytes, Bytes)> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    let range = |(start, end): (Bytes, Bytes)| {
        Some(ByteRange {
            start,
            size: end.checked_sub(start)?,
        })
    };
    merged.into_iter().filter_map(range).collect()
}

/// Reads the table of a disk strictly: a GPT counts only with both copies valid and equal and a right protective MBR.
///
/// # Errors
/// [`TableError::NoTable`] on an empty disk; otherwise what is wrong with the table.
pub fn read_back<D>(disk: &mut D, sector: SectorSize) -> Result<ReadTable, TableError>
where
    D: Read + Seek + ?Sized,
{
    let geometry = Geometry {
        size: Bytes::new(disk.seek(SeekFrom::End(0))?),
        sector,
    };
    let mut ends = Ends::read(disk, geometry)?.ok_or(TableError::TooSmall(geometry.size))?;
    let boot_sector = *ends
        .boot_sector()
        .ok_or(TableError::TooSmall(geometry.size))?;
    let Ok(records) = ProtectiveMBR::from_bytes(&boot_sector, LogicalBlockSize::Lb512) else {
        return Err(TableError::NoTable);
    };
    let used: Vec<PartRecord> = (0..4)
        .filter_map(|at| records.partition(at))
        .filter(|it| it.os_type != 0)
        .collect();
    let (table, disk_guid, partitions) = if used.iter().any(|record| record.os_type == 0xEE) {
        check_protective(&used, geometry)?;
        let (guid, partitions) = decode_gpt(&mut ends, geometry)?;
        (Table::Gpt, Some(guid), partitions)
    } else if used.is_empty() {
        return Err(TableError::NoTable);
    } else {
        (Table::Mbr, None, mbr::decode(&boot_sector, sector)?)
    };
    Ok(ReadTable {
        table,
        geometry,
        disk_guid,
        signature: u32::from_le_bytes(*records.disk_signature()),
        boot_code: *records.bootcode(),
        active: used
            .iter()
            .any(|record| record.boot_indicator == mbrman::BOOT_ACTIVE),
        partitions,
    })
}

impl ReadTable {
    /// Checks that this is the table of `layout`: kind, identities, and every partition. The boot code and the active
    /// flag are not compared: they come last.
    ///
    /// # Errors
    /// [`TableError::Differs`] with the first difference.
    pub fn verify(&self, layout: &Layout) -> Result<(), TableError> {
        let (disk_guid, signature) = match layout.table() {
            Table::Gpt => (Some(layout.disk_guid()), 0),
            Table::Mbr => (None, layout.mbr_signature()),
        };
        same("the kind of table", &layout.table(), &self.table)?;
        same(
            "the sector size",
            &layout.geometry().sector,
            &self.geometry.sector,
        )?;
        same(
            "the number of sectors",
            &layout.geometry().sectors(),
            &self.geometry.sectors(),
        )?;
        same("the disk GUID", &disk_guid, &self.disk_guid)?;
        same("the disk signature", &signature, &self.signature)?;
        same(
            "the number of partitions",
            &layout.partitions().len(),
            &self.partitions.len(),
        )?;
        for (expected, found) in layout.partitions().iter().zip(&self.partitions) {
            let expected = ReadPartition::of(expected, layout.table());
            same(&format!("partition {}", expected.number), &expected, found)?;
        }
        Ok(())
    }
}

impl ReadPartition {
    fn of(part: &Partition, table: Table) -> Self {
        let Partition {
            number,
            start,
            size,
            ..
        } = *part;
        match table {
            Table::Gpt => Self {
                number,
                start,
                size,
                name: part.name.clone(),
                kind: part.role.type_guid(),
                guid: part.guid,
                attributes: part.role.attributes(),
            },
            Table::Mbr => Self::mbr(number, start, size, mbr::LINUX),
        }
    }

    pub(crate) fn mbr(number: u32, start: Bytes, size: Bytes, os_type: u8) -> Self {
        let kind = Uuid::from_u128(os_type.into());
        Self {
            number,
            start,
            size,
            name: String::new(),
            kind,
            guid: Uuid::nil(),
            attributes: 0,
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &T,
    found: &T,
) -> Result<(), TableError> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
    Err(TableError::Differs {
        what: what.to_owned(),
        expected,
        found,
    })
}

/// Refuses a disk that changed its size since the layout was made: the backup table would be in the wrong place.
pub(crate) fn check_size(
    layout: &Layout,
    disk: &mut (impl Seek + ?Sized),
) -> Result<(), TableError> {
    let found = Bytes::new(disk.seek(SeekFrom::End(0))?);
    let Geometry {
        size: expected,
        sector,
    } = layout.geometry();
    if sector.sectors_in(found) == sector.sectors_in(expected) {
        Ok(())
    } else {
        Err(TableError::DiskChanged { expected, found })
    }
}

fn protected_sectors(geometry: Geometry) -> u32 {
    u32::try_from(geometry.sectors().saturating_sub(1)).unwrap_or(u32::MAX)
}

fn check_protective(used: &[PartRecord], geometry: Geometry) -> Result<(), TableError> {
    let [record] = used else {
        return Err(TableError::NotProtective(
            "it has other records (a hybrid MBR)",
        ));
    };
    if record.lb_start != 1 || record.lb_size != protected_sectors(geometry) {
        return Err(TableError::NotProtective("it does not cover the disk"));
    }
    Ok(())
}

fn block_size(sector: SectorSize) -> LogicalBlockSize {
    match sector {
        SectorSize::B512 => LogicalBlockSize::Lb512,
        SectorSize::B4096 => LogicalBlockSize::Lb4096,
    }
}

fn encode_gpt(layout: &Layout) -> Result<Ends, TableError> {
    if layout.table() != Table::Gpt {
        return Err(TableError::WrongTable(layout.table()));
    }
    let geometry = layout.geometry();
    let mut ends = Ends::empty(geometry).ok_or(TableError::TooSmall(geometry.size))?;
    let entries = layout
        .partitions()
        .iter()
        .map(|part| (part.number, gpt_entry(part, geometry.sector)))
        .collect();
    let config = GptConfig::new()
        .writable(true)
        .logical_block_size(block_size(geometry.sector));
    let mut disk = config.create_from_device(&mut ends, Some(layout.disk_guid()))?;
    disk.update_partitions(entries)?;
    disk.write()?;
    Ok(ends)
}

fn gpt_entry(part: &Partition, sector: SectorSize) -> GptPartition {
    GptPartition {
        part_type_guid: Type {
            guid: part.role.type_guid(),
            os: OperatingSystem::None,
        },
        part_guid: part.guid,
        first_lba: part.first_lba(sector).get(),
        last_lba: part.last_lba(sector).get(),
        flags: part.role.attributes(),
        name: part.name.clone(),
    }
}

fn decode_gpt(
    ends: &mut Ends,
    geometry: Geometry,
) -> Result<(Uuid, Vec<ReadPartition>), TableError> {
    let lb_size = block_size(geometry.sector);
    check_entry_size(ends, geometry)?;
    let config = GptConfig::new().logical_block_size(lb_size);
    let disk = config
        .open_from_device(&mut *ends)
        .map_err(|error| damaged("primary", &error))?;
    let primary = usable("primary", disk.primary_header())?;
    let backup = usable("backup", disk.backup_header())?;
    let entries = disk.partitions().clone();
    let backup_entries =
        file_read_partitions(ends, &backup, lb_size).map_err(|error| damaged("backup", &error))?;

    let last = geometry.sectors().saturating_sub(1);
    if (primary.current_lba, primary.backup_lba) != (1, last)
        || (backup.current_lba, backup.backup_lba) != (last, 1)
    {
        return Err(TableError::CopiesDiffer("places"));
    }
    if primary.disk_guid != backup.disk_guid {
        return Err(TableError::CopiesDiffer("disk GUIDs"));
    }
    if (primary.first_usable, primary.last_usable) != (backup.first_usable, backup.last_usable) {
        return Err(TableError::CopiesDiffer("usable areas"));
    }
    if entries != backup_entries {
        return Err(TableError::CopiesDiffer("partitions"));
    }
    Ok((primary.disk_guid, read_entries(entries, geometry.sector)?))
}

fn read_entries(
    entries: BTreeMap<u32, GptPartition>,
    sector: SectorSize,
) -> Result<Vec<ReadPartition>, TableError> {
    let read = |(number, entry): (u32, GptPartition)| {
        let sectors = entry
            .last_lba
            .checked_sub(entry.first_lba)?
            .checked_add(1)?;
        Some(ReadPartition {
            number,
            start: sector.offset(Lba::new(entry.first_lba))?,
            size: sector.offset(Lba::new(sectors))?,
            name: entry.name,
            kind: entry.part_type_guid.guid,
            guid: entry.part_guid,
            attributes: entry.flags,
        })
    };
    let used = entries.into_iter().filter(|(_, entry)| entry.is_used());
    used.map(|entry| {
        read(entry).ok_or(TableError::Unsupported(
            "a partition that ends before it begins",
        ))
    })
    .collect()
}

/// The `gpt` crate panics on entries that are not of 128 bytes, so these are refused before it looks.
fn check_entry_size(ends: &mut Ends, geometry: Geometry) -> Result<(), TableError> {
    let backup = geometry
        .whole()
        .and_then(|size| size.checked_sub(geometry.sector.bytes()))
        .unwrap_or_default();
    for at in [geometry.sector.bytes(), backup] {
        let mut header = [0; 88];
        ends.seek(SeekFrom::Start(at.get()))?;
        ends.read_exact(&mut header)?;
        let is_header = header.starts_with(b"EFI PART");
        if is_header && header.last_chunk() != Some(&128_u32.to_le_bytes()) {
            return Err(TableError::Unsupported("entries that are not of 128 bytes"));
        }
    }
    Ok(())
}

fn usable(copy: &'static str, header: Result<&Header, HeaderError>) -> Result<Header, TableError> {
    header.cloned().map_err(|error| damaged(copy, &error))
}

fn damaged(copy: &'static str, error: &dyn std::error::Error) -> TableError {
    TableError::Damaged {
        copy,
        reason: error.to_string(),
    }
}
