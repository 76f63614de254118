//! Disks that hold something: what is said of them, that a refusal changes no byte, and that after leave was given
//! nothing of it is found again.
//!
//! What is there was made by the programs that make it, where they run without the device mapper and without MD in the
//! kernel; the rest is written as its format says.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use host::{Argv, Host as _, Linux, LoopRequest};
use installer::contents::{Contents, Owner, look};
use installer::report::{Finished, Outcome};
use userdata::Wipe;

use crate::lab::{DISK, Lab, MIB, fingerprint, put};
use crate::readers::{Part, run};

/// A disk with something on it: a name for messages, how it is made, and a part of what is said of it.
type Case = (&'static str, fn(&Path), &'static str);

const FOREIGN: &[Case] = &[
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

fn tool(disk: &Path, program: &str, args: &[&str]) {
    run(&Argv::new(program).args(args).arg(disk));
}

fn mark(disk: &Path, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(disk).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// Removes its loop device when it goes.
struct Loop(PathBuf);

impl Loop {
    fn over(image: &Path, offset: u64, size: Option<u64>) -> Self {
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
fn volume_group(disk: &Path) {
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

fn blank(path: &Path) {
    File::create(path).unwrap().set_len(DISK).unwrap();
}

fn seen(disk: &Path) -> Contents {
    look(disk, fs::metadata(disk).unwrap().len(), 512, &mut Linux)
}

fn install(lab: &Lab, disk: &Path, wipe: Option<Wipe>) -> Finished {
    let mut request = lab.request(disk);
    request.wipe = wipe;
    installer::install::install(&request, &mut Linux, &mut |_| ())
}

#[track_caller]
fn assert_refused(finished: &Finished, code: &str) {
    let found = (finished.result, finished.exit, finished.code.as_deref());
    assert_eq!(found, (Outcome::Refused, 1, Some(code)), "{finished:?}");
}

/// What `wipefs` (libblkid, every signature it knows) finds on the disk, and what `blkid` finds on each partition.
fn assert_only_ours(disk: &Path, was: &str) {
    let said = run(&Argv::new("wipefs")
        .args(["--no-act", "--noheadings", "--output", "TYPE"])
        .arg(disk));
    let mut kinds: Vec<&str> = said.split_whitespace().collect();
    kinds.dedup();
    assert_eq!(kinds, ["gpt", "PMBR"], "{was}");
    for (number, kind) in [
        (1, ""),
        (2, "vfat"),
        (3, "ext4"),
        (4, "ext4"),
        (5, "ext4"),
        (6, "ext4"),
    ] {
        let args = ["--no-act", "--noheadings", "--output", "TYPE"];
        let said = Part::of(disk, number).run("wipefs", &args);
        let mut kinds: Vec<&str> = said.split_whitespace().collect();
        kinds.dedup();
        assert_eq!(kinds.join(" "), kind, "{was}: partition {number}");
    }
}

#[test]
fn root_fault_18_a_disk_that_holds_something_is_refused_without_leave_and_no_byte_changes() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    for (was, make, words) in FOREIGN {
        blank(&disk);
        make(&disk);
        let contents = seen(&disk);
        assert_eq!(contents.owner, Owner::Foreign, "{was}: {contents}");
        assert!(contents.to_string().contains(words), "{was}: {contents}");
        let before = fingerprint(&disk);
        for wipe in [None, Some(Wipe::Never), Some(Wipe::Ours)] {
            let finished = install(&lab, &disk, wipe);
            assert_refused(&finished, "LF-D09");
            let reason = finished.reason.unwrap_or_default();
            assert!(
                reason.contains(words) && reason.contains("`landfall.wipe: foreign`"),
                "{reason}"
            );
        }
        assert_eq!(fingerprint(&disk), before, "{was}: a refusal wrote");
    }
}

#[test]
fn root_fault_19_with_leave_nothing_of_the_old_content_is_found_and_a_neighbour_keeps_every_byte() {
    assert_erased(FOREIGN.iter().step_by(2));
}

#[test]
fn root_fault_19_nor_of_the_other_half_of_them() {
    assert_erased(FOREIGN.iter().skip(1).step_by(2));
}

fn assert_erased<'a>(cases: impl Iterator<Item = &'a Case>) {
    let lab = Lab::with_tiny_payload();
    let (disk, neighbour) = (lab.disk(), lab.at("neighbour.img"));
    for (was, make, _) in cases {
        for image in [&disk, &neighbour] {
            blank(image);
            make(image);
        }
        let before = fingerprint(&neighbour);
        let finished = install(&lab, &disk, Some(Wipe::Foreign));
        assert_eq!(finished.result, Outcome::Installed, "{was}: {finished:?}");
        assert_only_ours(&disk, was);
        assert_eq!(
            fingerprint(&neighbour),
            before,
            "{was}: another disk was written"
        );
        // The next run takes it for its own.
        let contents = seen(&disk);
        assert_eq!(contents.owner, Owner::Ours, "{was}: {contents}");
    }
}

/// Old partitions that begin where no partition of ours does, one with a signature at its start and at its end.
#[test]
fn root_fault_19_signatures_in_old_partitions_are_erased_wherever_these_lie() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    blank(&disk);
    tool(
        &disk,
        "sgdisk",
        &["--new=1:1234MiB:+300M", "--new=2:1777MiB:+300M"],
    );
    for (start, size) in [(1234 * MIB, 300 * MIB), (1777 * MIB, 300 * MIB)] {
        let part = Loop::over(&disk, start, Some(size));
        tool(&part.0, "mkfs.xfs", &["-q", "-f"]);
        drop(part);
        mark(&disk, start + size - 4096, b"a signature of a vendor");
    }
    assert!(seen(&disk).to_string().contains("xfs"), "{}", seen(&disk));
    let finished = install(&lab, &disk, Some(Wipe::Foreign));
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    let file = File::open(&disk).unwrap();
    for start in [1234 * MIB, 1777 * MIB] {
        for at in [start, start + 300 * MIB - 4096] {
            let mut bytes = [0; 64];
            file.read_exact_at(&mut bytes, at).unwrap();
            assert!(
                !bytes.starts_with(b"XFSB") && !bytes.starts_with(b"a sig"),
                "{at}"
            );
        }
    }
}

#[test]
fn root_an_installation_of_ours_is_erased_by_default_and_kept_when_nothing_may_be() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    blank(&disk);
    // A blank disk needs no leave.
    let finished = install(&lab, &disk, Some(Wipe::Never));
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    let contents = seen(&disk);
    assert_eq!(contents.owner, Owner::Ours);
    let words = contents.to_string();
    assert!(
        words.starts_with("Landfall, installed 20")
            && words.len() == "Landfall, installed 2026-11-20".len(),
        "{words}"
    );

    let before = fingerprint(&disk);
    assert_refused(&install(&lab, &disk, Some(Wipe::Never)), "LF-D09");
    assert_eq!(fingerprint(&disk), before);
    assert_eq!(install(&lab, &disk, None).result, Outcome::Installed);
}

#[test]
fn root_a_half_finished_installation_is_ours_wherever_it_stopped() {
    use crate::door::Failing;
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    blank(&disk);
    for word in ["attach", "mkfs.vfat", "/state (ext4", "BOOTX64.NEW", "mren"] {
        let mut request = lab.request(&disk);
        request.wipe = None;
        let finished = installer::install::install(&request, &mut Failing::at(word), &mut |_| ());
        assert_eq!(finished.result, Outcome::Failed, "{word}: {finished:?}");
        let contents = seen(&disk);
        assert_eq!(contents.owner, Owner::Ours, "{word}: {contents}");
        assert_eq!(
            contents.to_string(),
            "Landfall, an installation that did not finish"
        );
    }
    // Between the wipe of the first bytes and that of the last only the second copy of the table is left.
    mark(&disk, 0, &vec![0; 1 << 20]);
    let contents = seen(&disk);
    assert_eq!(
        (contents.owner, contents.words.len()),
        (Owner::Ours, 1),
        "{contents}"
    );
    assert_eq!(install(&lab, &disk, None).result, Outcome::Installed);
}

#[test]
fn root_fault_41_a_disk_that_changes_between_choice_and_lock_is_refused_unchanged() {
    use host::{LoopRequest, Mount, Output};

    /// The real machine; right after the last look at the disk, somebody else changes it.
    struct Meddling<'a> {
        looks: usize,
        meddle: &'a dyn Fn(),
    }
    impl host::Host for Meddling<'_> {
        fn run(&mut self, argv: &Argv) -> anyhow::Result<Output> {
            let said = Linux.run(argv);
            if argv.program == "blkid" {
                self.looks += 1;
                if self.looks == 1 {
                    (self.meddle)();
                }
            }
            said
        }
        fn mount(&mut self, mount: &Mount) -> anyhow::Result<()> {
            Linux.mount(mount)
        }
        fn unmount(&mut self, at: &Path) -> anyhow::Result<()> {
            Linux.unmount(at)
        }
        fn attach_loop(&mut self, request: &LoopRequest) -> anyhow::Result<PathBuf> {
            Linux.attach_loop(request)
        }
        fn detach_loop(&mut self, device: &Path) -> anyhow::Result<()> {
            Linux.detach_loop(device)
        }
    }

    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    let formatted = || volume_group(&disk);
    let grown = || {
        File::options()
            .write(true)
            .open(&disk)
            .unwrap()
            .set_len(DISK + MIB)
            .unwrap();
    };
    let replaced = || {
        blank(&lab.at("another.img"));
        tool(&lab.at("another.img"), "mkfs.ext4", &["-q", "-F"]);
        fs::rename(lab.at("another.img"), &disk).unwrap();
    };
    let ways: [(&dyn Fn(), &str); 3] =
        [(&formatted, "LVM"), (&grown, "it is"), (&replaced, "ext4")];
    for (meddle, says) in ways {
        blank(&disk);
        let mut request = lab.request(&disk);
        request.wipe = None;
        let mut door = Meddling { looks: 0, meddle };
        let finished = installer::install::install(&request, &mut door, &mut |_| ());
        assert_refused(&finished, "LF-D12");
        let reason = finished.reason.unwrap_or_default();
        assert!(reason.contains(says), "{reason}");
        fs::remove_file(&disk).unwrap();
    }
}

#[test]
fn a_plan_says_what_is_destroyed_in_words_and_in_json() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    blank(&disk);
    tool(&disk, "mkswap", &["-q", "-L", "page"]);
    let prepared = installer::install::prepare(&lab.request(&disk), &mut Linux).unwrap();
    let words = "Linux swap \"page\" 3.0 GiB";
    assert!(
        prepared.plan.to_string().contains(words),
        "{}",
        prepared.plan
    );
    let json = serde_json::to_value(&prepared.plan).unwrap();
    assert!(
        json["destroys"].as_str().unwrap().ends_with(words),
        "{}",
        json["destroys"]
    );
    assert_eq!(json["disk"]["contents"]["owner"], "foreign");
    assert_eq!(json["disk"]["contents"]["words"][0], words);
}

#[test]
fn leave_in_the_user_data_counts_and_the_command_line_wins_over_it() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    blank(&disk);
    tool(&disk, "mkswap", &["-q"]);
    let mut text = String::from_utf8(fs::read(lab.at("user-data")).unwrap()).unwrap();
    text.push_str("landfall: {wipe: foreign}\n");
    put(&lab.at("user-data"), text.as_bytes());
    let mut request = lab.request(&disk);
    for (wipe, allowed) in [
        (None, true),
        (Some(Wipe::Never), false),
        (Some(Wipe::Ours), false),
    ] {
        request.wipe = wipe;
        let said = installer::install::prepare(&request, &mut Linux);
        assert_eq!(said.is_ok(), allowed, "{wipe:?}");
    }
}
