//! Bad input on the way of the installer: each ends with its code on the console, and a refusal changes no byte of the disk.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use qemu_tests::{Disk, Event, Vm, artifacts, door};

use crate::lab::{Lab, SOON, wait_finished};

/// What the manifest's file of chunks is called on the medium; `docs/interfaces.md`, "The install medium".
const CHUNKS: &str = "/landfall/payload/slot.img.zst";
const USER_DATA: &str = "/files-iso/config.yaml";

/// Waits for the end of an installation that does not succeed; its code must be on the serial console as well.
fn wait_code(vm: &mut Vm, result: &str, exit: f64) -> Event {
    let finished = wait_finished(vm);
    assert_eq!(
        (finished.text("result"), finished.number("exit")),
        (result, Some(exit)),
        "{finished}"
    );
    assert!(
        !finished.text("reason").is_empty() && !finished.text("action").is_empty(),
        "{finished}"
    );
    vm.wait_serial(finished.text("code"), SOON).unwrap();
    assert_eq!(vm.exit().unwrap(), None, "the reason stays on the screen");
    finished
}

/// A disk that somebody uses: not empty anywhere near the ends.
fn used_disk(lab: &Lab, bytes: u64) -> Disk {
    let disk = Disk::empty(lab.folder.file("disk.img"), bytes).unwrap();
    let mut file = File::options().write(true).open(disk.path()).unwrap();
    for offset in [0, 1 << 20, bytes - 4096] {
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.write_all(&[0x5a; 4096]).unwrap();
    }
    disk
}

/// Boots the medium with a used disk; the installation must be refused with `code` and leave the disk as it is.
fn refused(lab: &Lab, iso: &Path, bytes: u64, code: &str) {
    let disk = used_disk(lab, bytes);
    let before = artifacts::hash(disk.path()).unwrap();
    // The CD first: a used disk counts as bootable for some firmware.
    let mut vm = lab.machine().cdrom(iso).disk(disk.clone()).start().unwrap();
    let finished = wait_code(&mut vm, "refused", 1.0);
    assert!(finished.text("code").starts_with(code), "{finished}");
    vm.quit().unwrap();
    assert_eq!(artifacts::hash(disk.path()).unwrap(), before);
}

#[test]
fn a_machine_without_a_disk_is_refused() {
    let lab = Lab::new("refuse-no-disk");
    let mut vm = lab.machine().cdrom(lab.iso()).start().unwrap();
    assert_eq!(wait_code(&mut vm, "refused", 1.0).text("code"), "LF-D01");
}

#[test]
fn a_disk_that_is_too_small_is_refused_and_unchanged() {
    let mut lab = Lab::new("refuse-small");
    lab.user_data.wipe = Some("foreign");
    refused(&lab, &lab.iso(), 2 << 30, "LF-D03");
}

#[test]
fn a_disk_that_holds_data_of_others_is_refused_without_leave_and_unchanged() {
    let lab = Lab::new("refuse-foreign");
    refused(&lab, &lab.iso(), 16 << 30, "LF-D09");
}

#[test]
fn user_data_that_cannot_be_read_is_refused_and_the_disk_unchanged() {
    let lab = Lab::new("refuse-user-data");
    let iso = lab.iso();
    let (offset, _) = artifacts::place_in_iso(&iso, USER_DATA).unwrap();
    // "#cloud-config" is no header any more.
    artifacts::patch::<1>(&iso, offset, |byte| byte[0] = b'?').unwrap();
    refused(&lab, &iso, 16 << 30, "LF-U01");
}

#[test]
fn a_medium_without_the_file_of_chunks_is_refused_and_the_disk_unchanged() {
    let lab = Lab::new("refuse-no-chunks");
    let (whole, iso) = (lab.iso(), lab.folder.file("without.iso"));
    let mut xorriso = door::command("xorriso");
    xorriso.arg("-indev").arg(&whole).arg("-outdev").arg(&iso);
    door::run(xorriso.args(["-boot_image", "any", "replay", "-rm", CHUNKS, "--"])).unwrap();
    refused(&lab, &iso, 16 << 30, "LF-M");
}

#[test]
fn a_damaged_chunk_fails_the_installation_and_leaves_a_disk_that_does_not_boot() {
    let mut lab = Lab::new("fail-chunk");
    lab.user_data.wipe = Some("foreign");
    let iso = lab.iso();
    let (offset, length) = artifacts::place_in_iso(&iso, CHUNKS).unwrap();
    artifacts::patch::<1>(&iso, offset + length / 2, |byte| byte[0] ^= 0x10).unwrap();
    let disk = used_disk(&lab, 16 << 30);
    let mut vm = lab
        .machine()
        .cdrom(&iso)
        .disk(disk.clone())
        .start()
        .unwrap();
    let finished = wait_code(&mut vm, "failed", 3.0);
    assert_eq!(finished.text("code"), "LF-I02");
    assert!(finished.text("reason").contains("chunk"), "{finished}");
    vm.quit().unwrap();
    drop(vm);

    let mut vm = lab.machine().disk(disk).start().unwrap();
    vm.wait_firmware("No bootable device", SOON).unwrap();
    assert_eq!(vm.serial(), "", "something ran from the disk");
}
