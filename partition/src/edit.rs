//! Changes to a GPT that is there: partitions are added at its end, the last one grows.
//!
//! Nothing moves, shrinks or vanishes. The disk may have become larger since its table was made, as the disk of a virtual
//! machine does: then the backup is at the old end, and writing puts it at the new one.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom, Write},
};

use gpt::{
    GptConfig,
    mbr::{PartRecord, ProtectiveMBR},
    partition::Partition as GptPartition,
    partition_types::{OperatingSystem, Type},
};
use uuid::Uuid;

use crate::{
    ends::Ends,
    layout::Geometry,
    read::{ReadPartition, check_entry_size, read_entries},
    table::{TableError, block_size, protected_sectors},
    units::{Bytes, SectorSize},
};

/// Why a table cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no partition that could grow.
    #[error("the disk has no partition")]
    Empty,
    /// The last partition is larger than it is to become.
    #[error("partition {number} has {size} and cannot shrink to {wanted}")]
    Shrinks {
        /// Its number.
        number: u32,
        /// Its size, in bytes.
        size: Bytes,
        /// The size that was asked for, in bytes.
        wanted: Bytes,
    },
    /// There is not so much room behind the last partition.
    #[error("{wanted} do not fit: {free} are free behind the last partition")]
    NoRoom {
        /// What was asked for, in bytes.
        wanted: Bytes,
        /// What is free, in bytes.
        free: Bytes,
    },
    /// All entries of the table are used.
    #[error("the partition table is full")]
    Full,
}

/// A partition that is to be added behind the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Its GPT name, at most 36 units of UTF-16.
    pub name: String,
    /// Its size in bytes; `None` for all that is free.
    pub size: Option<Bytes>,
    /// Its GPT type.
    pub kind: Uuid,
    /// Its GPT attribute bits.
    pub attributes: u64,
    /// Its GUID.
    pub guid: Uuid,
}

/// A GPT as it shall become.
#[derive(Debug)]
pub struct Edit {
    old: Ends,
    geometry: Geometry,
    disk_guid: Uuid,
    partitions: Vec<ReadPartition>,
    changed: bool,
}

/// Entries that a GPT of ours has.
const ENTRIES: u32 = 128;

impl Edit {
    /// Reads the GPT of a disk; both copies must be good, but for a backup that a larger disk has left behind.
    ///
    /// # Errors
    /// [`TableError::NoTable`] or [`TableError::NotProtective`] without a GPT, [`TableError::Damaged`] with a damaged one,
    /// [`TableError::Unsupported`] for gaps in the numbers (the encoder would close them) and for other tables that it
    /// would not write as they are.
    pub fn read<D>(disk: &mut D, sector: SectorSize) -> Result<Self, TableError>
    where
        D: Read + Seek + ?Sized,
    {
        let size = Bytes::new(disk.seek(SeekFrom::End(0))?);
        let geometry = Geometry { size, sector };
        let mut old = Ends::read(disk, geometry)?.ok_or(TableError::TooSmall(size))?;
        check_records(&old)?;
        check_entry_size(&mut old, geometry)?;
        let config = GptConfig::new().logical_block_size(block_size(sector));
        let damaged = |copy, error: &dyn std::error::Error| TableError::Damaged {
            copy,
            reason: error.to_string(),
        };
        let table = config
            .open_from_device(&mut old)
            .map_err(|error| damaged("primary", &error))?;
        let primary = table
            .primary_header()
            .map_err(|error| damaged("primary", &error))?;
        let last = geometry.sectors().saturating_sub(1);
        if primary.current_lba != 1 || primary.part_start != 2 || primary.num_parts != ENTRIES {
            return Err(TableError::Unsupported(
                "a table in an unusual place or of an unusual size",
            ));
        }
        if primary.backup_lba > last {
            return Err(TableError::Unsupported(
                "a backup behind the end of the disk",
            ));
        }
        let moved = primary.backup_lba != last;
        if !moved {
            let backup = table
                .backup_header()
                .map_err(|error| damaged("backup", &error))?;
            if backup.crc32_parts != primary.crc32_parts || backup.disk_guid != primary.disk_guid {
                return Err(TableError::CopiesDiffer("partitions"));
            }
        }
        let disk_guid = primary.disk_guid;
        let partitions = read_entries(table.partitions().clone(), sector)?;
        check_numbers(&partitions)?;
        Ok(Self {
            old,
            geometry,
            disk_guid,
            partitions,
            changed: false,
        })
    }

    /// The partitions as they shall become, by number.
    pub fn partitions(&self) -> &[ReadPartition] {
        &self.partitions
    }

    /// Whether anything is to be written.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The partition that lies last on the disk, whatever its number.
    pub fn last(&self) -> Option<&ReadPartition> {
        self.partitions.iter().max_by_key(|part| part.start)
    }

    /// What is free behind the last partition, in whole MiB.
    pub fn free(&self) -> Bytes {
        let start = self.next_start().unwrap_or_default();
        let end = self.end().unwrap_or_default();
        end.checked_sub(start).unwrap_or_default()
    }

    /// Makes the last partition as large as asked for, or with `None` as large as it can be. One that has the size already,
    /// and one that has no MiB to grow into, stays as it is.
    ///
    /// # Errors
    /// If it would have to shrink, or if there is not so much room.
    pub fn grow_last(&mut self, size: Option<Bytes>) -> Result<u32, EditError> {
        let last = self.last().ok_or(EditError::Empty)?.clone();
        let end = self.end().unwrap_or_default();
        let most = end
            .checked_sub(last.start)
            .unwrap_or_default()
            .max(last.size);
        let wanted = size.unwrap_or(most);
        if wanted < last.size {
            return Err(EditError::Shrinks {
                number: last.number,
                size: last.size,
                wanted,
            });
        }
        if wanted > most {
            let free = most.checked_sub(last.size).unwrap_or_default();
            let wanted = wanted.checked_sub(last.size).unwrap_or_default();
            return Err(EditError::NoRoom { wanted, free });
        }
        let found = self
            .partitions
            .iter_mut()
            .find(|part| part.number == last.number);
        if let (Some(part), true) = (found, wanted > last.size) {
            part.size = wanted;
            self.changed = true;
        }
        Ok(last.number)
    }

    /// Adds a partition behind the last one, at a whole MiB, with the next number.
    ///
    /// # Errors
    /// If there is no room for it, or no entry.
    pub fn add(&mut self, added: Added) -> Result<&ReadPartition, EditError> {
        let free = self.free();
        let size = added.size.unwrap_or(free);
        if size > free || size < Bytes::MIB {
            return Err(EditError::NoRoom {
                wanted: size.max(Bytes::MIB),
                free,
            });
        }
        let used = u32::try_from(self.partitions.len()).unwrap_or(ENTRIES);
        if used >= ENTRIES {
            return Err(EditError::Full);
        }
        let start = self.next_start().unwrap_or_default();
        self.changed = true;
        self.partitions.push(ReadPartition {
            number: used.saturating_add(1),
            start,
            size,
            name: added.name,
            kind: added.kind,
            guid: added.guid,
            attributes: added.attributes,
        });
        self.partitions.last().ok_or(EditError::Empty)
    }

    /// Writes the table: backup, primary, flush, sector 0, flush. Boot code and active flag stay as they are. Syncing the
    /// device is the caller's.
    ///
    /// # Errors
    /// If the disk has changed its size, cannot be written, or the encoder refuses.
    pub fn write<D>(&self, disk: &mut D) -> Result<(), TableError>
    where
        D: Read + Write + Seek + ?Sized,
    {
        let found = Bytes::new(disk.seek(SeekFrom::End(0))?);
        if found != self.geometry.size {
            let expected = self.geometry.size;
            return Err(TableError::DiskChanged { expected, found });
        }
        let too_small = TableError::TooSmall(found);
        let mut ends = Ends::empty(self.geometry).ok_or(too_small)?;
        let config = GptConfig::new()
            .writable(true)
            .logical_block_size(block_size(self.geometry.sector));
        let mut table = config.create_from_device(&mut ends, Some(self.disk_guid))?;
        table.update_partitions(self.entries()?)?;
        table.write()?;
        ends.copy_first_sector(&self.old, self.geometry);
        let sector_0 = ends.boot_sector_mut().ok_or(TableError::NoTable)?;
        protect(sector_0, self.geometry)?;
        ends.write(disk, self.geometry)?;
        Ok(())
    }

    fn entries(&self) -> Result<BTreeMap<u32, GptPartition>, TableError> {
        let sector = self.geometry.sector;
        let entry = |part: &ReadPartition| {
            let first = sector.lba(part.start)?.get();
            let sectors = sector.sectors_in(part.size);
            let last_lba = first.checked_add(sectors)?.checked_sub(1)?;
            let entry = GptPartition {
                part_type_guid: Type {
                    guid: part.kind,
                    os: OperatingSystem::None,
                },
                part_guid: part.guid,
                first_lba: first,
                last_lba,
                flags: part.attributes,
                name: part.name.clone(),
            };
            Some((part.number, entry))
        };
        let entries = self.partitions.iter().map(entry);
        let whole: Option<BTreeMap<_, _>> = entries.collect();
        whole.ok_or(TableError::Unencodable("a partition"))
    }

    fn next_start(&self) -> Option<Bytes> {
        let ends = self
            .partitions
            .iter()
            .filter_map(|part| part.start.checked_add(part.size));
        ends.max()
            .unwrap_or(Bytes::MIB)
            .max(Bytes::MIB)
            .align_up(Bytes::MIB)
    }

    /// Where partitions of whole MiB must end.
    fn end(&self) -> Option<Bytes> {
        self.geometry.usable_end()?.align_down(Bytes::MIB)
    }
}

/// One record of type 0xEE, and no other: a hybrid MBR means something to somebody.
fn check_records(ends: &Ends) -> Result<(), TableError> {
    let sector = ends.boot_sector().ok_or(TableError::NoTable)?;
    let Ok(records) = ProtectiveMBR::from_bytes(sector, block_size(SectorSize::B512)) else {
        return Err(TableError::NoTable);
    };
    let used: Vec<PartRecord> = (0..4)
        .filter_map(|at| records.partition(at))
        .filter(|record| record.os_type != 0)
        .collect();
    match used.as_slice() {
        [] => Err(TableError::NoTable),
        [only] if only.os_type == 0xEE && only.lb_start == 1 => Ok(()),
        [only] if only.os_type != 0xEE => Err(TableError::Unsupported("no GPT")),
        _ => Err(TableError::NotProtective(
            "it has other records (a hybrid MBR)",
        )),
    }
}

/// The encoder writes entries without gaps: what has gaps would get other numbers.
fn check_numbers(partitions: &[ReadPartition]) -> Result<(), TableError> {
    let numbers = partitions.iter().map(|part| part.number);
    if numbers
        .zip(1..)
        .all(|(number, expected)| number == expected)
    {
        Ok(())
    } else {
        Err(TableError::Unsupported(
            "gaps in the numbers of its partitions",
        ))
    }
}

/// Lets the record that protects the GPT cover a disk that has grown; nothing else of the sector changes.
fn protect(sector_0: &mut [u8; 512], geometry: Geometry) -> Result<(), TableError> {
    let mut records = ProtectiveMBR::from_bytes(sector_0, block_size(SectorSize::B512))
        .or(Err(TableError::NoTable))?;
    let at = (0..4).find(|at| records.partition(*at).is_some_and(|it| it.os_type == 0xEE));
    let at = at.ok_or(TableError::NoTable)?;
    if let Some(mut record) = records.partition(at) {
        let whole = PartRecord::new_protective(Some(protected_sectors(geometry)));
        record.lb_size = whole.lb_size;
        (record.end_head, record.end_sector, record.end_track) =
            (whole.end_head, whole.end_sector, whole.end_track);
        records.set_partition(at, record);
    }
    *sector_0 = records.to_bytes();
    Ok(())
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
