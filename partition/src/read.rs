//! The table of a disk, as it really is.
//!
//! Reading is strict: the installer verifies its own work with it. It never follows a table to places outside the two
//! ends of the disk, and no table makes it panic.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom},
};

use gpt::{
    GptConfig,
    disk::LogicalBlockSize,
    header::{Header, HeaderError},
    mbr::{PartRecord, ProtectiveMBR},
    partition::{Partition as GptPartition, file_read_partitions},
};
use uuid::Uuid;

use crate::{
    ends::Ends,
    layout::{Geometry, Layout, Partition, Table},
    mbr,
    table::{BootCode, TableError, block_size, protected_sectors},
    units::{Bytes, Lba, SectorSize},
};

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

pub(crate) fn read_entries(
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
pub(crate) fn check_entry_size(ends: &mut Ends, geometry: Geometry) -> Result<(), TableError> {
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
