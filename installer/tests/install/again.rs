//! An install over what another one left, however far that one came.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use host::{Argv, Linux};
use installer::report::{Finished, Outcome};

use crate::door::Failing;
use crate::lab::{Lab, work_folder};
use crate::readers::{Part, assert_not_bootable, boot_sector, run};

#[test]
fn root_an_install_over_a_half_finished_one_succeeds() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    for (word, code) in [
        ("mkfs.vfat", "LF-I05"),
        ("/state (ext4", "LF-I06"),
        ("BOOTX64.NEW", "LF-I05"),
        ("unmount", "LF-I06"),
        ("mren", "LF-I05"),
    ] {
        let mut door = Failing::at(word);
        let finished = lab.install_through(&mut door, &disk, |_| ());
        assert!(door.failed, "no request contains {word}");
        assert_failed(&finished, code);
        assert_not_bootable(&disk);
        if word == "mren" {
            // What firmware looks for is not there, though all else is.
            let found = Part::of(&disk, 2).mdir().join(" ");
            assert!(
                found.contains("BOOTX64.NEW") && !found.contains("BOOTX64.EFI"),
                "{found}"
            );
        }
        if word == "unmount" {
            // What was told to stay mounted stays, and is this test's to remove.
            release(&disk);
        }
        assert_nothing_left(&disk);

        let finished = lab.install(&disk);
        assert_eq!(finished.result, Outcome::Installed, "{word}: {finished:?}");
        assert_installed(&disk);
    }
}

fn assert_failed(finished: &Finished, code: &str) {
    assert_eq!(
        (finished.result, finished.exit, finished.code.as_deref()),
        (Outcome::Failed, 3, Some(code)),
        "{finished:?}"
    );
}

fn assert_installed(disk: &Path) {
    assert_eq!(boot_sector(disk)[446], 0x80);
    let said = run(&Argv::new("sgdisk").arg("--verify").arg(disk));
    assert!(said.contains("No problems found."), "{said}");
    for number in 3..=6 {
        Part::of(disk, number).run("e2fsck", &["-f", "-n"]);
    }
    let boot_file = Part::of(disk, 2).mtype("EFI/BOOT/BOOTX64.EFI");
    assert!(!boot_file.is_empty());
    assert_nothing_left(disk);
}

/// No mount, no loop device and no folder of an install that is over.
#[track_caller]
pub(crate) fn assert_nothing_left(disk: &Path) {
    let work = work_folder().display().to_string();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&work), "{mounts}");
    let loops = || run(&Argv::new("losetup").arg("--associated").arg(disk));
    // The kernel removes a loop device when its last user closes it, and another test's `losetup` may look at it now.
    let deadline = Instant::now() + Duration::from_secs(5);
    while !loops().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(loops(), "");
    assert!(!work_folder().exists(), "{work}");
}

/// Removes what a failed unmount left.
fn release(disk: &Path) {
    use host::Host as _;
    for entry in fs::read_dir(work_folder()).unwrap() {
        Linux.unmount(&entry.unwrap().path()).unwrap();
    }
    let loops = run(&Argv::new("losetup")
        .args(["-n", "-O", "NAME", "--associated"])
        .arg(disk));
    for node in loops.lines() {
        // Detaching was asked for while it was mounted, so it may go by itself at any moment.
        drop(Linux.detach_loop(Path::new(node.trim())));
    }
    fs::remove_dir_all(work_folder()).unwrap();
}

#[test]
fn root_a_failed_install_leaves_its_log_on_the_persistent_partition() {
    let lab = Lab::with_tiny_payload();
    let mut door = Failing::at("grubx64.efi");
    let finished = lab.install_through(&mut door, &lab.disk(), |_| ());
    assert_failed(&finished, "LF-I05");
    let files = Part::of(&lab.disk(), 6).files(&lab.at("persistent"));
    let log = &files[".state/var-log.bind/landfall/install.log"];
    let text = String::from_utf8(log.bytes.clone()).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.ends_with("fill the EFI system partition"), "{text}");
}
