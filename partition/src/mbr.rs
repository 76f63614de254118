//! A layout as a plain MBR, for machines whose BIOS boots no GPT.
//!
//! Such a machine needs neither an ESP nor a BIOS boot partition (GRUB's core image goes into the gap before the first
//! partition), and what remains - oem, recovery, state, persistent - are the four primary partitions that an MBR has.
//! Logical partitions are therefore never written, and none is read: `mbrman` 0.6 computes their places in 32 bits and
//! would be wrong above 4 GiB.

use std::io::{Cursor, Read, Seek, Write};

use mbrman::{BOOT_ACTIVE, BOOT_INACTIVE, CHS, MBRHeader, MBRPartitionEntry};

use crate::{
    ends::Ends,
    layout::{Layout, Partition, Table},
    read::ReadPartition,
    role::Role,
    table::{BootCode, TableError, check_size},
    units::{Lba, SectorSize},
};

/// The partition type of everything that Linux mounts.
pub(crate) const LINUX: u8 = 0x83;
/// The geometry that every BIOS of the large-disk era pretends (255 heads, 63 sectors, 1024 cylinders).
const HEADS: u8 = 255;
const TRACK: u8 = 63;
const CYLINDERS: u16 = 1024;

/// Writes an MBR and erases what a GPT may have left at both ends of the disk, with `boot_code` or, with `None`, none.
///
/// This also erases sectors 1 to 33, where GRUB's core image goes: embed it afterwards. The `state` partition gets the
/// active flag, without which some BIOSes of that age boot no disk.
///
/// # Errors
/// [`TableError::DiskChanged`] when `disk` does not have the size of the layout: nothing was written then.
/// [`TableError::WrongTable`] for a GPT layout.
pub fn write_mbr<D>(
    layout: &Layout,
    disk: &mut D,
    boot_code: Option<&BootCode>,
) -> Result<(), TableError>
where
    D: Read + Write + Seek + ?Sized,
{
    let sector_0 = mbr_sector(layout, boot_code.unwrap_or(&[0; 440]))?;
    let geometry = layout.geometry();
    let mut ends = Ends::empty(geometry).ok_or(TableError::TooSmall(geometry.size))?;
    *ends
        .boot_sector_mut()
        .ok_or(TableError::TooSmall(geometry.size))? = sector_0;
    check_size(layout, disk)?;
    ends.write(disk, geometry)?;
    Ok(())
}

/// The first 512 bytes of an MBR disk: boot code, disk signature, the partitions, signature.
///
/// # Errors
/// [`TableError::WrongTable`] for a GPT layout.
pub fn mbr_sector(layout: &Layout, boot_code: &BootCode) -> Result<[u8; 512], TableError> {
    if layout.table() != Table::Mbr {
        return Err(TableError::WrongTable(layout.table()));
    }
    let mut header = MBRHeader::new(layout.mbr_signature().to_le_bytes());
    header.bootstrap_code = *boot_code;
    for part in layout.partitions() {
        let at = usize::try_from(part.number).ok();
        let slot = at
            .and_then(|at| header.get_mut(at))
            .ok_or(TableError::Unencodable("a fifth partition"))?;
        *slot = entry(part, layout.geometry().sector)?;
    }
    let mut sector = [0; 512];
    header.write_into(&mut Cursor::new(sector.as_mut_slice()))?;
    Ok(sector)
}

fn entry(part: &Partition, sector: SectorSize) -> Result<MBRPartitionEntry, TableError> {
    let small = |number: u64, what| {
        u32::try_from(number)
            .ok()
            .ok_or(TableError::Unencodable(what))
    };
    Ok(MBRPartitionEntry {
        boot: if part.role == Role::State {
            BOOT_ACTIVE
        } else {
            BOOT_INACTIVE
        },
        first_chs: chs(part.first_lba(sector)),
        sys: LINUX,
        last_chs: chs(part.last_lba(sector)),
        starting_lba: small(part.first_lba(sector).get(), "a start above 2 TiB")?,
        sectors: small(part.sectors(sector), "a size above 2 TiB")?,
    })
}

/// The old address of a sector, or, where it has none, the highest one, which says "use the sector number".
fn chs(lba: Lba) -> CHS {
    let exact = u32::try_from(lba.get())
        .ok()
        .and_then(|lba| CHS::from_lba_exact(lba, CYLINDERS, HEADS, TRACK).ok());
    exact.unwrap_or_else(|| CHS::new(1023, 254, 63))
}

/// The primary partitions in a sector 0.
pub(crate) fn decode(
    boot_sector: &[u8; 512],
    sector: SectorSize,
) -> Result<Vec<ReadPartition>, TableError> {
    let header = MBRHeader::read_from(&mut Cursor::new(boot_sector.as_slice()))?;
    let used = header.iter().filter(|(_, entry)| entry.is_used());
    used.map(|(number, entry)| {
        if entry.is_extended() {
            return Err(TableError::Unsupported("logical partitions"));
        }
        let place = |sectors: u32| sector.offset(Lba::new(sectors.into()));
        let number = u32::try_from(number).ok();
        number
            .zip(place(entry.starting_lba).zip(place(entry.sectors)))
            .map(|(number, (start, size))| ReadPartition::mbr(number, start, size, entry.sys))
            .ok_or(TableError::Unsupported(
                "a partition past the end of the world",
            ))
    })
    .collect()
}
