//! The PARTUUID of a partition, from the disk itself.
//!
//! Kernels before 6.13 do not tell it, and of two disks with the same one `/dev/disk/by-partuuid` names whichever udev
//! saw last.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Sector sizes that disks have.
const SECTORS: [u64; 2] = [512, 4096];

/// Reads the PARTUUID of partition `number` (from 1) as Linux writes it, in lower case; `None` if there is no table or
/// it cannot be read.
pub(crate) fn partuuid(disk: &Path, number: u32) -> Option<String> {
    let mut disk = File::open(disk).ok()?;
    let mut sector = [0; 512];
    read_at(&mut disk, 0, &mut sector)?;
    let gpt = SECTORS
        .iter()
        .find_map(|size| gpt_partuuid(&mut disk, *size, number));
    gpt.or_else(|| mbr_partuuid(&sector, number))
}

/// UEFI 2.10, 5.3: the header in sector 1, its array of entries, and 16 bytes of GUID at byte 16 of an entry.
fn gpt_partuuid(disk: &mut File, sector_size: u64, number: u32) -> Option<String> {
    let mut header = [0; 92];
    read_at(disk, sector_size, &mut header)?;
    if header.get(..8)? != b"EFI PART" {
        return None;
    }
    let (count, size) = (u32_at(&header, 80)?, u32_at(&header, 84)?);
    if !(1..=count).contains(&number) || !(128..=4096).contains(&size) {
        return None;
    }
    let array = u64::from_le_bytes(header.get(72..80)?.try_into().ok()?);
    let entry = array
        .checked_mul(sector_size)?
        .checked_add(u64::from(number - 1) * u64::from(size))?;
    let mut guid = [0; 16];
    read_at(disk, entry.checked_add(16)?, &mut guid)?;
    // The first three groups are little-endian numbers, the rest is bytes in order.
    let (first, middle) = (u32_at(&guid, 0)?, u32_at(&guid, 4)?);
    let rest = u64::from_be_bytes(guid.get(8..)?.try_into().ok()?);
    guid.iter().any(|byte| *byte != 0).then(|| {
        format!(
            "{first:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            middle & 0xffff,
            middle >> 16,
            rest >> 48,
            rest & 0xffff_ffff_ffff
        )
    })
}

/// An MBR partition has the signature of its disk and its number.
fn mbr_partuuid(sector: &[u8], number: u32) -> Option<String> {
    let signature = u32_at(sector, 440)?;
    let is_mbr = sector.get(510..512)? == [0x55, 0xaa];
    (is_mbr && signature != 0).then(|| format!("{signature:08x}-{number:02x}"))
}

fn read_at(disk: &mut File, offset: u64, bytes: &mut [u8]) -> Option<()> {
    disk.seek(SeekFrom::Start(offset)).ok()?;
    disk.read_exact(bytes).ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::Tree;

    /// A disk with a table in which partition 5 has a GUID that is easy to know.
    pub(crate) fn gpt(sector_size: usize) -> Vec<u8> {
        let mut disk = vec![0; sector_size * 10];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let header = sector_size;
        disk[header..header + 8].copy_from_slice(b"EFI PART");
        disk[header + 72] = 2;
        disk[header + 80] = 128;
        disk[header + 84] = 128;
        let guid = 2 * sector_size + 4 * 128 + 16;
        for (at, byte) in (0..16).zip(0xa0_u8..) {
            disk[guid + at] = byte;
        }
        disk
    }

    pub(crate) const GUID: &str = "a3a2a1a0-a5a4-a7a6-a8a9-aaabacadaeaf";

    #[test]
    fn the_id_is_read_from_tables_of_both_sector_sizes() {
        for size in [512, 4096] {
            let tree = Tree::new();
            tree.file("disk", &gpt(size));
            assert_eq!(
                partuuid(&tree.at("disk"), 5).as_deref(),
                Some(GUID),
                "{size}"
            );
            for number in [0, 4, 129] {
                assert_eq!(partuuid(&tree.at("disk"), number), None, "{number}");
            }
        }
    }

    #[test]
    fn an_mbr_gives_signature_and_number_and_anything_else_nothing() {
        let tree = Tree::new();
        let mut disk = vec![0; 4096];
        disk[440..444].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
        tree.file("blank", &disk);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        tree.file("mbr", &disk);
        tree.file("short", b"x");
        let id = partuuid(&tree.at("mbr"), 6);
        assert_eq!(id.as_deref(), Some("12345678-06"));
        for name in ["blank", "short", "missing"] {
            assert_eq!(partuuid(&tree.at(name), 6), None, "{name}");
        }
    }

    #[test]
    fn root_the_id_is_what_an_independent_writer_put() {
        use host::{Argv, Host, Linux};
        let tree = Tree::new();
        tree.file("disk", &[]);
        let file = std::fs::File::options().write(true).open(tree.at("disk"));
        file.unwrap().set_len(8 << 20).unwrap();
        let id = "0fc63daf-8483-4772-8e79-3d69d8477de4";
        let argv = Argv::new("sgdisk").args(["-n", "2:2048:+1M", "-u", &format!("2:{id}")]);
        Linux.run(&argv.arg(tree.at("disk"))).unwrap();
        assert_eq!(partuuid(&tree.at("disk"), 2).as_deref(), Some(id));
    }
}
