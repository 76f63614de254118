//! The harness itself, tried on real machines without any of the product: a boot sector of our own, and a Debian kernel with
//! busybox.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy knows only the tests themselves"
)]

mod guest;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use qemu_tests::wait::wait_until;
use qemu_tests::{Bus, Disk, Exit, Firmware, Folder, Vm, artifacts, door};
use uuid::Uuid;

const LONG: Duration = Duration::from_mins(2);
const SHORT: Duration = Duration::from_secs(1);

/// A machine that boots the boot sector of `guest`, from a disk whose image is in `folder`.
fn boot_sector(folder: &Folder, name: &str) -> Vm {
    let image = folder.file("sector.img");
    door::write_file(&image, &guest::boot_sector()).unwrap();
    Vm::builder(name)
        .memory(64)
        .disk(Disk::existing(&image))
        .start()
        .unwrap()
}

/// An ISO that boots the boot sector of `guest` from a CD.
fn boot_cd(folder: &Folder) -> PathBuf {
    let (tree, iso) = (folder.file("cd"), folder.file("cd.iso"));
    fs::create_dir(&tree).unwrap();
    door::write_file(
        &tree.join("sector"),
        guest::boot_sector().get(..2048).unwrap(),
    )
    .unwrap();
    let options = [
        "-as",
        "mkisofs",
        "-quiet",
        "-b",
        "sector",
        "-no-emul-boot",
        "-boot-load-size",
        "4",
        "-o",
    ];
    door::run(door::command("xorriso").args(options).arg(&iso).arg(&tree)).unwrap();
    iso
}

#[test]
fn an_empty_disk_falls_through_to_the_cd_and_its_words_are_read() {
    let folder = Folder::new("harness-order-files").unwrap();
    let iso = boot_cd(&folder);
    let empty = Disk::empty(folder.file("empty.img"), 1 << 20).unwrap();
    let mut vm = Vm::builder("harness-order")
        .memory(64)
        .disk(empty)
        .cdrom(iso)
        .start()
        .unwrap();
    vm.wait_serial("sector", LONG).unwrap();
    assert_eq!(vm.serial(), guest::GREETING);
    vm.wait_firmware("Boot failed: not a bootable disk", LONG)
        .unwrap();
    // What one wait matched, the next does not match again.
    let error = vm.wait_serial("sector", SHORT).unwrap_err().to_string();
    assert!(
        error.starts_with("harness-order: waited 1 s for \"sector\" on the serial console\n"),
        "{error}"
    );
}

#[test]
fn every_bus_brings_its_disk_to_the_firmware() {
    for (number, bus) in [Bus::Virtio, Bus::Nvme, Bus::Ahci, Bus::Scsi, Bus::Usb]
        .into_iter()
        .enumerate()
    {
        let folder = Folder::new("harness-bus-files").unwrap();
        let image = folder.file("sector.img");
        door::write_file(&image, &guest::boot_sector()).unwrap();
        let disk = Disk::existing(&image).on(bus).read_only();
        // A write-protected ATA disk does not exist in QEMU.
        let disk = if bus == Bus::Ahci {
            Disk::existing(&image).on(bus)
        } else {
            disk
        };
        let mut vm = Vm::builder(&format!("harness-bus-{number}"))
            .memory(64)
            .disk(disk)
            .start()
            .unwrap();
        vm.wait_serial(guest::GREETING, LONG).unwrap();
    }
}

#[test]
fn a_picture_of_the_screen_is_the_screen() {
    let folder = Folder::new("harness-screen-files").unwrap();
    let mut vm = boot_sector(&folder, "harness-screen");
    vm.wait_serial(guest::GREETING, LONG).unwrap();
    let picture = vm.screenshot("screen").unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(&picture).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    // Text mode of 80x25 with 9x16 cells.
    assert_eq!((info.width, info.height), (720, 400));
    assert!(
        pixels.iter().any(|byte| *byte > 100),
        "SeaBIOS has written something"
    );
    assert_eq!(qemu_tests::screen::decode_qr(&picture).unwrap(), None);
}

#[test]
fn a_reset_is_counted_and_boots_again_and_quit_is_reported() {
    let folder = Folder::new("harness-reset-files").unwrap();
    let mut vm = boot_sector(&folder, "harness-reset");
    vm.wait_serial(guest::GREETING, LONG).unwrap();
    let before = vm.resets();
    vm.reset().unwrap();
    vm.wait_serial(guest::GREETING, LONG).unwrap();
    // SeaBIOS resets the machine once more by itself.
    assert!(vm.resets() > before);
    assert_eq!(vm.exit().unwrap(), None);
    // Whoever connects there is kept waiting for a guest without network, but QEMU listens.
    std::net::TcpStream::connect(("127.0.0.1", vm.ssh_port().unwrap())).unwrap();
    vm.quit().unwrap();
    assert_eq!(vm.exit().unwrap(), Some(Exit::Quit));
}

#[test]
fn a_machine_does_not_live_longer_than_its_limit() {
    let folder = Folder::new("harness-limit-files").unwrap();
    let image = folder.file("sector.img");
    door::write_file(&image, &guest::boot_sector()).unwrap();
    let start = Instant::now();
    let limit = Duration::from_secs(3);
    let mut vm = Vm::builder("harness-limit")
        .memory(64)
        .disk(Disk::existing(image))
        .limit(limit)
        .start()
        .unwrap();
    assert_eq!(vm.wait_exit(LONG).unwrap(), Exit::TimeLimit);
    assert!(start.elapsed() < LONG / 2);
    // A wait on a dead machine does not use up its own limit.
    let error = vm.wait_serial("anything", LONG).unwrap_err().to_string();
    assert!(
        error.contains("the machine ended while waiting for"),
        "{error}"
    );
    assert!(error.contains("it reached its time limit"), "{error}");
}

#[test]
fn dropping_a_machine_leaves_neither_processes_nor_files() {
    let folder = Folder::new("harness-drop-files").unwrap();
    let vm = boot_sector(&folder, "harness-drop");
    let (group, files) = (vm.process_group(), vm.folder().to_owned());
    assert!(Path::new(&format!("/proc/{group}")).exists());
    assert!(files.join("qemu.log").exists());
    drop(vm);
    wait_until(LONG, "the process to go", || {
        Ok((!Path::new(&format!("/proc/{group}")).exists()).then_some(()))
    })
    .unwrap();
    assert!(!files.exists());
}

#[test]
fn a_machine_that_cannot_start_says_why() {
    let error = Vm::builder("harness-bad")
        .disk(Disk::existing("/nonexistent.img"))
        .start()
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("starting QEMU: exit status: 1: ") && error.contains("/nonexistent.img"),
        "{error}"
    );
}

#[test]
fn linux_events_names_and_power_off_reach_this_side() {
    let folder = Folder::new("harness-linux-files").unwrap();
    let uuid = Uuid::new_v4();
    let disks = [
        Disk::empty(folder.file("a.img"), 8 << 20).unwrap(),
        Disk::empty(folder.file("b.img"), 8 << 20)
            .unwrap()
            .on(Bus::Nvme)
            .with_sector_size(4096),
    ];
    let mut vm = guest::linux(&folder, "harness-linux", "poweroff")
        .uuid(uuid)
        .disk(disks[0].clone())
        .disk(disks[1].clone())
        .start()
        .unwrap();

    let hello = vm
        .wait_event("hello", LONG, |event| event.name() == "hello")
        .unwrap();
    assert_eq!(hello.text("uuid"), uuid.to_string());
    assert_eq!(
        vm.wait_event("half", LONG, |event| event.name() == "step")
            .unwrap()
            .number("index"),
        Some(2.0)
    );
    vm.wait_serial("harness init is done", LONG).unwrap();
    assert_eq!(vm.wait_exit(LONG).unwrap(), Exit::PowerOff);
    assert_eq!(vm.unreadable_events(), ["not json"]);
    assert_eq!(vm.events().unwrap().len(), 2);
}

#[test]
fn a_reboot_of_the_guest_ends_the_machine_if_asked_for() {
    let folder = Folder::new("harness-reboot-files").unwrap();
    let mut vm = guest::linux(&folder, "harness-reboot", "reboot")
        .end_at_reboot()
        .start()
        .unwrap();
    assert_eq!(vm.wait_exit(LONG).unwrap(), Exit::Reboot);
}

#[test]
fn every_firmware_starts_linux_from_its_own_memory() {
    for (name, firmware, words) in [
        (
            "harness-uefi",
            Firmware::Uefi,
            "secureboot: Secure boot disabled",
        ),
        (
            "harness-secure",
            Firmware::UefiSecureBoot,
            "secureboot: Secure boot enabled",
        ),
    ] {
        let folder = Folder::new("harness-firmware-files").unwrap();
        let mut vm = guest::linux(&folder, name, "poweroff")
            .firmware(firmware)
            .start()
            .unwrap();
        vm.wait_event("hello", LONG, |event| event.name() == "hello")
            .unwrap();
        assert!(vm.serial().contains("efi: EFI v2"), "{name}");
        assert!(vm.serial().contains(words), "{name}");
        assert_eq!(vm.wait_exit(LONG).unwrap(), Exit::PowerOff, "{name}");
    }
}

#[test]
fn a_file_inside_an_iso_is_found_by_its_place() {
    let folder = Folder::new("harness-iso").unwrap();
    let content = b"the quick brown fox\n".repeat(1000);
    door::write_file(&folder.file("fox"), &content).unwrap();
    let iso = folder.file("x.iso");
    door::run(
        door::command("xorriso")
            .args(["-as", "mkisofs", "-quiet", "-R", "-o"])
            .arg(&iso)
            .arg("-graft-points")
            .arg(format!("/deep/fox={}", folder.file("fox").display())),
    )
    .unwrap();
    let (offset, length) = artifacts::place_in_iso(&iso, "/deep/fox").unwrap();
    assert_eq!(length, content.len() as u64);
    let offset = usize::try_from(offset).unwrap();
    assert_eq!(
        fs::read(&iso).unwrap()[offset..offset + content.len()],
        content
    );
    assert!(artifacts::place_in_iso(&iso, "/deep/hound").is_err());
}
