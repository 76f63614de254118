//! What the installer finds on a disk that was installed before.

use std::path::{Path, PathBuf};

use host::{Argv, Linux, Recorder};
use installer::installed::{Installed, find};
use installer::machine::{Disk, image_file};
use uuid::Uuid;

use crate::door::Failing;
use crate::lab::{Lab, fingerprint, put};
use crate::readers::{Part, extent, fact, run, sgdisk};

/// The kernel's list of a disk's partitions, as in `/sys`; the kernel of a test machine may scan none.
fn sysfs(lab: &Lab, disk: &Path) -> PathBuf {
    let sys = lab.at("sys");
    let disk_folder = sys.join("class/block").join(disk.file_name().unwrap());
    for number in 1..=6 {
        let (start, size) = extent(disk, number);
        let said = sgdisk(disk, number);
        let name = fact(&said, "Partition name").trim_matches('\'');
        let folder = disk_folder.join(format!("p{number}"));
        for (file, text) in [
            ("partition", number.to_string()),
            ("start", (start / 512).to_string()),
            ("size", (size / 512).to_string()),
            ("uevent", format!("PARTN={number}\nPARTNAME={name}\n")),
        ] {
            put(&folder.join(file), text.as_bytes());
        }
    }
    sys
}

fn look(lab: &Lab, disk: &Disk, sys: &Path) -> Vec<Installed> {
    let work = lab.at("work");
    std::fs::create_dir_all(&work).unwrap();
    find(sys, std::slice::from_ref(disk), None, &work, &mut Linux)
}

#[test]
fn root_a_finished_install_is_found_without_a_write_and_one_whose_boot_file_has_no_name_is_not() {
    let lab = Lab::with_tiny_payload();
    let mut door = Failing::at("mren");
    lab.install_through(&mut door, &lab.disk(), |_| ());
    let disk = image_file(&lab.disk()).unwrap();
    let sys = sysfs(&lab, &disk.path);
    assert_eq!(look(&lab, &disk, &sys), [], "half-finished");

    lab.install(&disk.path);
    let sys = sysfs(&lab, &disk.path);
    let before = fingerprint(&disk.path);
    let found = look(&lab, &disk, &sys);
    let esp = fact(&sgdisk(&disk.path, 2), "Partition unique GUID").to_owned();
    let version = lab.manifest().version;
    assert_eq!(
        found,
        [Installed {
            disk: disk.clone(),
            esp: Some(Uuid::parse_str(&esp).unwrap()),
            system: Some(version),
            nonce: String::new(),
        }]
    );
    assert_eq!(fingerprint(&disk.path), before, "looking wrote something");

    // The medium's own disk is never asked.
    let medium = Some(disk.path.as_path());
    let mut host = Recorder::default();
    let disks = std::slice::from_ref(&disk);
    assert_eq!(find(&sys, disks, medium, &lab.at("work"), &mut host), []);
    assert!(host.calls.is_empty());
}

#[test]
fn root_a_disk_whose_state_cannot_be_read_still_counts_as_installed() {
    let lab = Lab::with_tiny_payload();
    let disk = image_file(&lab.disk()).unwrap();
    lab.install(&disk.path);
    let sys = sysfs(&lab, &disk.path);
    let (start, _) = extent(&disk.path, 5);
    run(&Argv::new("dd")
        .args(["if=/dev/zero", "bs=4096", "count=4", "conv=notrunc"])
        .arg(format!("seek={}", start / 4096))
        .arg(format!("of={}", disk.path.display())));
    let found = look(&lab, &disk, &sys);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].system, None);
    let names = Part::of(&disk.path, 2).mdir().join(" ");
    assert!(names.contains("BOOTX64.EFI"), "{names}");
}
