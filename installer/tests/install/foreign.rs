//! Makers of disks that belong to others.
//!
//! What is there was made by the programs that make it, where they run without the device mapper and without MD in the
//! kernel; the rest is written as its format says. `qemu-tests/tests/first_light/neighbours.rs` has those in a kernel.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use host::{Argv, Host as _, Linux, LoopRequest};

use crate::lab::DISK;
use crate::readers::run;

/// A disk with something on it: a name for messages, how it is made, and a part of what is said of it.
pub(crate) type Case = (&'static str, fn(&Path), &'static str);

pub(crate) const FOREIGN: &[Case] = &[
    (
        "ext4",
        |disk| tool(disk, "mkfs.ext4", &["-q", "-F", "-L", "data"]),
        "ext4 \"data\" 3.0 GiB",
    ),
    (
        "NTFS",
        |disk| tool(disk, "mkntfs", &["-Q", "-F", "-q", "-L", "Data"]),
        "Windows NTFS \"Data\"",
    ),
    (
        "XFS",
        |disk| tool(disk, "mkfs.xfs", &["-q", "-f", "-L", "shop"]),
        "xfs \"shop\"",
    ),
    (
        "btrfs",
        |disk| tool(disk, "mkfs.btrfs", &["-q", "-f", "-L", "pool"]),
        "btrfs \"pool\"",
    ),
    (
        "FAT",
        |disk| tool(disk, "mkfs.vfat", &["-F", "32", "-n", "CAMERA"]),
        "FAT \"CAMERA\"",
    ),
    (
        "swap",
        |disk| tool(disk, "mkswap", &["-q", "-L", "page"]),
        "Linux swap \"page\"",
    ),
    ("LVM", volume_group, "LVM \"vg0\" 3.0 GiB"),
    (
        "LUKS1",
        |disk| luks(disk, &["--type", "luks1"]),
        "encrypted by LUKS",
    ),
    (
        "LUKS2",
        |disk| luks(disk, &["--type", "luks2"]),
        "encrypted by LUKS",
    ),
    (
        "LUKS2 with its second header at 4 MiB",
        |disk| {
            luks(
                disk,
                &[
                    "--type",
                    "luks2",
                    "--luks2-metadata-size",
                    "4m",
                    "--luks2-keyslots-size",
                    "16m",
                ],
            );
        },
        "encrypted by LUKS",
    ),
    ("MD 0.90", md_0_90, "Linux RAID member"),
    (
        "MD 1.0",
        |disk| md_1(disk, (DISK / 512 - 16) & !7),
        "Linux RAID member \"shop:0\"",
    ),
    (
        "MD 1.1",
        |disk| md_1(disk, 0),
        "Linux RAID member \"shop:0\"",
    ),
    (
        "MD 1.2",
        |disk| md_1(disk, 8),
        "Linux RAID member \"shop:0\"",
    ),
    ("ZFS", zfs, "ZFS member"),
    ("VMFS", vmfs, "VMware VMFS"),
    ("BitLocker", bitlocker, "Windows BitLocker"),
    (
        "a GPT without partitions",
        |disk| tool(disk, "sgdisk", &["--clear"]),
        "an empty partition table",
    ),
    (
        "a GPT with data",
        |disk| {
            tool(
                disk,
                "sgdisk",
                &[
                    "--new=1:0:+64M",
                    "--typecode=1:8e00",
                    "--change-name=1:store",
                ],
            );
        },
        "partition \"store\" 64 MiB",
    ),
    ("an MBR", mbr, "partition 1 512 MiB"),
    (
        "bytes that nobody knows",
        |disk| mark(disk, 4096, b"a program of our own"),
        "no known program",
    ),
    (
        "bytes at the end",
        |disk| mark(disk, DISK - 100, b"a signature of a vendor"),
        "no known program",
    ),
];

pub(crate) fn tool(disk: &Path, program: &str, args: &[&str]) {
    run(&Argv::new(program).args(args).arg(disk));
}

pub(crate) fn mark(disk: &Path, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(disk).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// Removes its loop device when it goes.
pub(crate) struct Loop(pub(crate) PathBuf);

impl Loop {
    pub(crate) fn over(image: &Path, offset: u64, size: Option<u64>) -> Self {
        let request = LoopRequest {
            file: image.to_owned(),
            offset,
            size,
            read_only: false,
            sector_size: None,
        };
        Self(Linux.attach_loop(&request).unwrap())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        drop(Linux.detach_loop(&self.0));
    }
}

/// LVM wants a block device; without a driver it writes its signature all the same.
pub(crate) fn volume_group(disk: &Path) {
    let node = Loop::over(disk, 0, None);
    let only = format!("devices/filter=[\"a|^{}$|\",\"r|.*|\"]", node.0.display());
    let common = ["--driverloaded", "n", "--yes", "--config", &only];
    run(&Argv::new("pvcreate").args(common).arg(&node.0));
    run(&Argv::new("vgcreate").args(common).arg("vg0").arg(&node.0));
}

fn luks(disk: &Path, args: &[&str]) {
    let argv = Argv::new("cryptsetup").args(["luksFormat", "--batch-mode", "--key-file", "-"]);
    let quick = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    run(&argv.args(args).args(quick).arg(disk).stdin("secret"));
}

/// The superblock of MD 0.90 (the kernel's `md_p.h`): 64 KiB before the end, aligned to 64 KiB.
fn md_0_90(disk: &Path) {
    let mut block = vec![0; 4096];
    for (word, value) in [
        (0, 0xa92b_4efc_u32),
        (1, 0),
        (2, 90),
        (5, 7),
        (7, 1),
        (8, 1024),
        (9, 2),
        (10, 2),
    ] {
        block[word * 4..word * 4 + 4].copy_from_slice(&value.to_le_bytes());
    }
    mark(disk, (DISK & !0xffff) - 0x1_0000, &block);
}

/// The superblock of MD 1.x (`md_p.h`) at a sector.
fn md_1(disk: &Path, sector: u64) {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &0xa92b_4efc_u32.to_le_bytes());
    put(4, &1_u32.to_le_bytes());
    put(16, b"sixteen bytes id");
    put(32, b"shop:0");
    put(72, &1_u32.to_le_bytes());
    put(80, &1024_u64.to_le_bytes());
    put(92, &2_u32.to_le_bytes());
    put(144, &sector.to_le_bytes());
    // The checksum (kernel, calc_sb_1_csum): the words of the superblock up to its list of devices.
    let words = block[..256].chunks(4);
    let sum: u64 = words
        .map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())))
        .sum();
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    block[216..220].copy_from_slice(&u32::try_from(sum).unwrap().to_le_bytes());
    mark(disk, sector * 512, &block);
}

/// Uberblocks of ZFS in all four labels (`OpenZFS` on-disk format, 1.2 and 1.3): 128 KiB behind the start of each.
fn zfs(disk: &Path) {
    let label = 256 << 10;
    let end = DISK & !(label - 1);
    for start in [0, label, end - 2 * label, end - label] {
        for slot in 0..8 {
            mark(
                disk,
                start + (128 << 10) + slot * 1024,
                &0x00ba_b10c_u64.to_le_bytes(),
            );
        }
    }
}

/// A volume of VMFS and the file system in it (the magics that libblkid knows).
fn vmfs(disk: &Path) {
    mark(disk, 0x10_0000, &0xc001_d00d_u32.to_le_bytes());
    mark(disk, 0x20_0000, &0x2fab_f15e_u32.to_le_bytes());
}

/// The boot sector of a `BitLocker` volume of Windows 7 and later.
fn bitlocker(disk: &Path) {
    let mut sector = vec![0; 512];
    sector[..11].copy_from_slice(b"\xeb\x58\x90-FVE-FS-");
    sector[0xa0..0xb0].copy_from_slice(&[
        0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0,
        0x01,
    ]);
    sector[0xb0..0xb8].copy_from_slice(&0x1_0000_u64.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    mark(disk, 0, &sector);
    mark(disk, 0x1_0000, b"-FVE-FS-\0\0\x02\0");
}

fn mbr(disk: &Path) {
    let mut sector = vec![0; 512];
    sector[450] = 7;
    sector[454..458].copy_from_slice(&2048_u32.to_le_bytes());
    sector[458..462].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    mark(disk, 0, &sector);
}
