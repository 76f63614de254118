//! What stands in the table of any disk, sound or not: for telling people what is there before it is erased.

use std::io::{self, Read, Seek, SeekFrom};

use gpt::{GptConfig, disk::LogicalBlockSize, mbr::ProtectiveMBR};

use crate::{
    ends::Ends,
    layout::{Geometry, Table},
    read::{ReadPartition, check_entry_size, read_back, read_entries},
    table::{BootCode, TableError, block_size},
    units::{Bytes, Lba, SectorSize},
};

/// What the ends of a disk say of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The kind of table.
    pub table: Table,
    /// The partitions by number; of an MBR also the one that has the logical ones in it.
    pub partitions: Vec<ReadPartition>,
    /// What a BIOS would run.
    pub boot_code: BootCode,
    /// What is wrong with the table; `None` if [`read_back`] accepts it.
    pub flaw: Option<String>,
}

/// Reads whatever table a disk has. One copy of a GPT is enough; of an MBR every record counts that lies on the disk.
/// `None`: there is none. It reads the two ends of the disk only.
///
/// # Errors
/// The disk cannot be read.
pub fn survey<D>(disk: &mut D, sector: SectorSize) -> io::Result<Option<Survey>>
where
    D: Read + Seek + ?Sized,
{
    let geometry = Geometry {
        size: Bytes::new(disk.seek(SeekFrom::End(0))?),
        sector,
    };
    let Some(mut ends) = Ends::read(disk, geometry)? else {
        return Ok(None);
    };
    let Some(boot_sector) = ends.boot_sector().copied() else {
        return Ok(None);
    };
    let mut boot_code = [0; 440];
    boot_code.copy_from_slice(boot_sector.first_chunk::<440>().unwrap_or(&[0; 440]));
    let flaw = match read_back(disk, sector) {
        Ok(read) => {
            return Ok(Some(Survey {
                table: read.table,
                partitions: read.partitions,
                boot_code,
                flaw: None,
            }));
        }
        Err(TableError::Io(error)) => return Err(error),
        Err(error) => error,
    };
    let found = |table, partitions| Survey {
        table,
        partitions,
        boot_code,
        flaw: Some(flaw.to_string()),
    };
    if let Some(partitions) = either_gpt(&mut ends, geometry) {
        return Ok(Some(found(Table::Gpt, partitions)));
    }
    let partitions = records(&boot_sector, geometry);
    Ok((!partitions.is_empty()).then(|| found(Table::Mbr, partitions)))
}

/// The partitions of whichever copy of a GPT is sound.
fn either_gpt(ends: &mut Ends, geometry: Geometry) -> Option<Vec<ReadPartition>> {
    check_entry_size(ends, geometry).ok()?;
    let config = GptConfig::new().logical_block_size(block_size(geometry.sector));
    let disk = config.open_from_device(&mut *ends).ok()?;
    read_entries(disk.partitions().clone(), geometry.sector).ok()
}

/// The records of a boot sector, if it looks like a table: the first sector of a FAT or NTFS has code in their place.
fn records(boot_sector: &[u8; 512], geometry: Geometry) -> Vec<ReadPartition> {
    let Ok(records) = ProtectiveMBR::from_bytes(boot_sector, LogicalBlockSize::Lb512) else {
        return Vec::new();
    };
    let all = (1..).zip((0..4).filter_map(|at| records.partition(at)));
    let mut partitions = Vec::new();
    for (number, record) in all {
        if record.boot_indicator & 0x7f != 0 {
            return Vec::new();
        }
        if record.os_type == 0 {
            continue;
        }
        let bytes = |sectors: u32| geometry.sector.offset(Lba::new(sectors.into()));
        let place = bytes(record.lb_start).zip(bytes(record.lb_size));
        match place {
            Some((start, size)) if start < geometry.size && size > Bytes::ZERO => {
                partitions.push(ReadPartition::mbr(number, start, size, record.os_type));
            }
            _ => return Vec::new(),
        }
    }
    partitions
}
