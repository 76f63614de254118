//! What user-data adds to a disk: further partitions, and accounts whose passwords must not reach it in clear.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use installer::report::Outcome;

use crate::lab::{DISK, Lab, MIB, find, put};
use crate::readers::{Part, extent, fact, sgdisk};

const PASSWORD: &str = "canary-password-c40b77";

const USER_DATA: &str = "\
#cloud-config
stylus:
  site:
    paletteEndpoint: palette.example.com
install:
  partitions:
    persistent: {size: 600}
  extra-partitions:
    - {name: exchange, size: 40, fs: vfat, label: EXCHANGE}
    - {name: untouched, size: 8, fs: none}
    - {name: old, size: 16, fs: ext2, label: OLD}
    - {name: data, size: 0, label: DATA}
stages:
  initramfs:
    - users:
        kairos:
          passwd: canary-password-c40b77
          groups: [sudo]
";

/// Something at the start of every MiB, where the superblocks and headers of most formats are.
fn leave_marks(disk: &Path) {
    let disk = File::options().write(true).open(disk).unwrap();
    for offset in (0..DISK).step_by(1 << 20) {
        disk.write_all_at(&[0xa5; 512], offset).unwrap();
    }
}

#[test]
fn root_extra_partitions_are_made_and_a_password_reaches_the_disk_only_as_a_hash() {
    let lab = Lab::with_tiny_payload();
    put(&lab.at("user-data"), USER_DATA.as_bytes());
    let disk = lab.disk();
    leave_marks(&disk);
    let finished = lab.install(&disk);
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");

    for (number, name, kind, label) in [
        (6, "persistent", "ext4", "COS_PERSISTENT"),
        (7, "exchange", "vfat", "EXCHANGE"),
        (9, "old", "ext2", "OLD"),
        (10, "data", "ext4", "DATA"),
    ] {
        let said = sgdisk(&disk, number);
        assert_eq!(fact(&said, "Partition name"), format!("'{name}'"));
        let part = Part::of(&disk, number);
        assert_eq!(part.blkid("TYPE"), kind, "{name}");
        assert_eq!(part.blkid("LABEL"), label, "{name}");
        let checked = if kind.starts_with("ext") {
            part.run("e2fsck", &["-f", "-n"])
        } else {
            part.run("fsck.vfat", &["-n"])
        };
        assert!(!checked.is_empty());
    }
    assert_eq!(extent(&disk, 6).1, 600 * MIB);
    let said = sgdisk(&disk, 8);
    assert_eq!(fact(&said, "Partition name"), "'untouched'");
    let (start, size) = extent(&disk, 8);
    assert_eq!(size, 8 * MIB);
    let untouched = Part::at(&disk, start, Some(size), None);
    let bytes = std::fs::read(&untouched.node).unwrap();
    // Nobody formats it, and what would be found of its former life is gone from both ends.
    let old: Vec<usize> = (0..8).filter(|mib| bytes[mib << 20] != 0).collect();
    assert_eq!(old, [5, 6]);

    let files = Part::of(&disk, 3).files(&lab.at("oem"));
    let text = String::from_utf8(files["90_custom.yaml"].bytes.clone()).unwrap();
    assert!(text.contains("passwd: ") && text.contains("$6$"), "no hash");
    let places = find(&disk, PASSWORD);
    assert!(places.is_empty(), "the password lies at {places:?}");
}
