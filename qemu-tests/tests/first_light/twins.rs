//! Two disks with the same labels: what is mounted belongs to the disk that was started, and the screen tells of the other.

use std::fs;

use qemu_tests::machine::Builder;
use qemu_tests::{Bus, Disk, Event, Firmware, Vm, artifacts};

use crate::lab::{Lab, SOON, root, wait_screen};

/// Everything that an installed system mounts of its own disk.
const MOUNTED: [&str; 4] = ["/run/initramfs/cos-state", "/oem", "/usr/local", "/home"];

/// A disk that `landfall install` made on this host.
fn installed(lab: &Lab, name: &str) -> Disk {
    let disk = Disk::empty(lab.folder.file(name), 16 << 30).unwrap();
    artifacts::install_image(&lab.user_data.to_string(), disk.path()).unwrap();
    disk
}

/// Starts a machine, whose first disk must be the one that everything comes from.
fn start(machine: Builder, mark: &str) -> (Vm, Event) {
    let mut vm = machine.start().unwrap();
    let screen = wait_screen(&mut vm);
    vm.wait_ssh(SOON).unwrap();
    for mount in MOUNTED {
        let disk = format!(
            "lsblk --nodeps --noheadings --output SERIAL \
             /dev/$(lsblk --noheadings --output PKNAME $(findmnt --noheadings --nofsroot --output SOURCE {mount}))"
        );
        assert_eq!(root(&mut vm, &disk), "LF0001", "{mount}");
    }
    // What an earlier start left on the other disk is not here.
    let found = root(&mut vm, "cd /usr/local && ls -d mark-* || true");
    root(&mut vm, &format!("touch /usr/local/mark-{mark} && sync"));
    assert_eq!(found, "");
    (vm, screen)
}

#[test]
fn of_two_installations_the_one_that_is_started_is_used_in_either_order_and_the_other_is_told() {
    let mut lab = Lab::new("twins");
    let gpt = installed(&lab, "gpt.img");
    // An MBR has no names of partitions: there the labels tell, and those of the other disk must not.
    lab.user_data.table = Some("mbr");
    let mbr = installed(&lab, "mbr.img");
    for (mark, disks) in [("gpt", [&gpt, &mbr]), ("mbr", [&mbr, &gpt])] {
        let machine = disks
            .into_iter()
            .cloned()
            .fold(lab.machine(), Builder::disk);
        let (mut vm, screen) = start(machine, mark);
        let twin = screen.text("twin");
        assert!(
            twin.contains("same labels") && twin.contains("LF0002"),
            "{screen}"
        );
        vm.screenshot("twin").unwrap();
        vm.quit().unwrap();
    }
}

#[test]
fn of_a_disk_and_its_exact_copy_the_one_that_is_started_is_used_wherever_it_hangs_on_the_bus() {
    let lab = Lab::new("twins-copy");
    let original = installed(&lab, "original.img").on(Bus::Nvme);
    let copy = lab.folder.file("copy.img");
    fs::copy(original.path(), &copy).unwrap();
    let copy = Disk::existing(copy).on(Bus::Nvme);
    for (mark, disks) in [
        ("original", [&original, &copy]),
        ("copy", [&copy, &original]),
    ] {
        // The rule for copies of which nothing is known takes the first on the bus: here that is the wrong one.
        let machine = lab.machine().firmware(Firmware::Uefi).plugged_in_reverse();
        let machine = disks.into_iter().cloned().fold(machine, Builder::disk);
        let (mut vm, screen) = start(machine, mark);
        let twin = screen.text("twin");
        assert!(
            twin.contains("is a copy") && twin.contains("LF0002"),
            "{screen}"
        );
        vm.quit().unwrap();
    }
}
