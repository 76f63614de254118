//! A layout as a GPT on a disk.
//!
//! Sector 0 decides: without a protective MBR neither Linux nor a BIOS takes a disk for a GPT disk. It is written last
//! of the table, at first without boot code, so that the kernel sees the partitions but no BIOS boots; the installer
//! writes the boot code with [`protective_mbr`] when everything else is verified.

use std::io::{self, Read, Seek, SeekFrom, Write};

use gpt::{
    GptConfig, GptError,
    disk::LogicalBlockSize,
    mbr::{PartRecord, ProtectiveMBR},
    partition::Partition as GptPartition,
    partition_types::{OperatingSystem, Type},
};

use crate::{
    ends::Ends,
    layout::{Geometry, Layout, Partition, Table},
    units::{Bytes, SectorSize},
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

/// Writes the primary and the backup GPT and the protective MBR, the latter with `boot_code` or, with `None`, with none.
///
/// The order is: backup, primary, flush, sector 0, flush. Syncing the device is the caller's. A sector of 4096 bytes is
/// written whole; an old table between the ends is not looked at (see [`crate::wipe_ranges`]).
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

pub(crate) fn protected_sectors(geometry: Geometry) -> u32 {
    u32::try_from(geometry.sectors().saturating_sub(1)).unwrap_or(u32::MAX)
}

pub(crate) fn block_size(sector: SectorSize) -> LogicalBlockSize {
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
