//! A medium that stays in the machine: it installs once, and every later start leads to the installed system.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use qemu_tests::user_data::Ending;
use qemu_tests::{Exit, Firmware, Vm, artifacts, door};
use serde_json::json;

use crate::lab::{
    Lab, SOON, TO_SCREEN, root, try_root, wait_finished, wait_installed, wait_screen,
};

/// A machine that starts several times.
pub(crate) const SEVERAL_LIVES: Duration = Duration::from_mins(20);

/// What the menu of the medium offers where a system is installed.
const OFFER: &str = "Start the installed system";

/// How often an install began.
fn installs(vm: &mut Vm) -> usize {
    let events = vm.events().unwrap();
    let began = |event: &&qemu_tests::Event| event.is("started", "program", "install");
    events.iter().filter(began).count()
}

#[test]
fn with_the_cd_first_in_the_boot_order_for_ever_three_boots_install_once() {
    let lab = Lab::new("loops-bios");
    let mut vm = lab
        .machine()
        .limit(SEVERAL_LIVES)
        .cdrom(lab.iso())
        .disk(lab.disk(16))
        .start()
        .unwrap();
    wait_installed(&mut vm, "reboot");
    for start in 1..=3 {
        vm.wait_serial(OFFER, TO_SCREEN).unwrap();
        let screen = wait_screen(&mut vm);
        assert_eq!(screen.text("edge_host_id"), lab.edge_host_id());
        assert_eq!(installs(&mut vm), 1, "start {start}");
        vm.reset().unwrap();
    }
}

/// The boot entries of a UEFI machine by number, in hexadecimal, and the order.
fn boot_entries(vm: &mut Vm) -> (Vec<String>, BTreeMap<String, String>) {
    let said = root(
        vm,
        "cd /sys/firmware/efi/efivars && for f in Boot*-8be4df61-93ca-11d2-aa0d-00e098032b8c; do \
         echo $f $(od -An -v -t x1 $f | tr -d \" \\n\"); done",
    );
    let variables: BTreeMap<&str, &str> = said
        .lines()
        .filter_map(|line| {
            let (file, value) = line.split_once(' ')?;
            Some((file.split('-').next()?.strip_prefix("Boot")?, value))
        })
        .collect();
    let order = variables["Order"].as_bytes()[8..].chunks(4);
    let number = |unit: &[u8]| {
        let text = String::from_utf8_lossy(unit).to_uppercase();
        format!("{}{}", &text[2..], &text[..2])
    };
    let entries = variables.iter().filter(|(name, _)| name.len() == 4);
    let entries = entries.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    (order.map(number).collect(), entries.collect())
}

/// Text as an entry holds it, in hexadecimal.
fn ucs2(text: &str) -> String {
    let units: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}00")).collect();
    units.concat()
}

#[test]
fn an_entry_of_the_firmware_starts_the_disk_and_a_medium_that_comes_first_once_does_so_too() {
    let lab = Lab::new("loops-uefi");
    // The order of the firmware's own variables counts, not one that QEMU puts in their place.
    let mut vm = lab
        .machine()
        .limit(SEVERAL_LIVES)
        .firmware(Firmware::UefiSecureBoot)
        .own_boot_order()
        .cdrom(lab.iso())
        .disk(lab.disk(16))
        .start()
        .unwrap();
    wait_installed(&mut vm, "reboot");
    wait_screen(&mut vm);
    assert!(!vm.serial().contains(OFFER), "the disk was not first");
    vm.wait_ssh(SOON).unwrap();
    let (order, entries) = boot_entries(&mut vm);
    let first = &entries[&order[0]];
    assert!(first.contains(&ucs2("Landfall\0")), "{order:?} {entries:?}");
    assert!(first.contains(&ucs2(r"\EFI\BOOT\BOOTX64.EFI")), "{first}");

    let mut others = entries.iter();
    let (cd, _) = others
        .find(|(_, entry)| entry.contains(&ucs2("DVD")))
        .unwrap();
    let number = u16::from_str_radix(cd, 16).unwrap().to_le_bytes();
    let next = format!(
        "printf \"\\\\007\\\\000\\\\000\\\\000\\\\{:03o}\\\\{:03o}\" \
         > /sys/firmware/efi/efivars/BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c",
        number[0], number[1]
    );
    root(&mut vm, &next);
    try_root(&mut vm, "systemctl --no-block reboot");
    vm.wait_serial(OFFER, TO_SCREEN).unwrap();
    wait_screen(&mut vm);
    assert_eq!(installs(&mut vm), 1);
}

/// The arguments with which the menu of a medium starts the installer.
pub(crate) fn kernel_arguments(iso: &Path, scratch: &Path) -> String {
    let mut command = door::command("xorriso");
    command.args(["-osirrox", "on", "-indev"]).arg(iso);
    command
        .args(["-extract", "/boot/grub/grub.cfg"])
        .arg(scratch);
    door::run(&mut command).unwrap();
    let menu = fs::read_to_string(scratch).unwrap();
    let line = menu
        .lines()
        .find(|line| line.contains("linux /boot/kernel "))
        .unwrap();
    let arguments = line.split_once("/boot/kernel ").unwrap().1;
    arguments.trim_end_matches("$1").trim().to_owned()
}

#[test]
fn an_installer_that_comes_first_without_a_menu_holds_and_a_new_nonce_installs_once_more() {
    let mut lab = Lab::new("loops-hold");
    lab.user_data.ending = Ending::PowerOff;
    let (disk, iso) = (lab.disk(16), lab.iso());
    let machine = lab.machine().limit(SEVERAL_LIVES);
    let mut vm = machine
        .clone()
        .cdrom(&iso)
        .disk(disk.clone())
        .start()
        .unwrap();
    wait_installed(&mut vm, "poweroff");
    assert_eq!(vm.wait_exit(SOON).unwrap(), Exit::PowerOff);
    drop(vm);

    // As from a network: kernel and initramfs come without the menu of the medium.
    let boot = artifacts::payload().unwrap().join("boot");
    let arguments = kernel_arguments(&iso, &lab.folder.file("menu"));
    let mut vm = machine
        .clone()
        .kernel(boot.join("vmlinuz"), boot.join("initrd"), &arguments)
        .cdrom(&iso)
        .disk(disk.clone())
        .start()
        .unwrap();
    let finished = wait_finished(&mut vm);
    assert_eq!(
        (
            finished.text("result"),
            finished.text("code"),
            finished.text("next")
        ),
        ("refused", "LF-D20", "wait"),
        "{finished}"
    );
    vm.wait_serial("LF-D20", SOON).unwrap();
    let picture = vm.screenshot("held").unwrap();
    assert!(
        fs::metadata(picture).unwrap().len() > 1000,
        "an empty screen"
    );
    let resets = vm.resets();
    std::thread::sleep(Duration::from_secs(75));
    assert_eq!(
        (vm.resets(), vm.exit().unwrap()),
        (resets, None),
        "it waits"
    );
    vm.qmp()
        .execute("eject", json!({"device": "disk1", "force": true}))
        .unwrap();
    vm.wait(SOON, "a restart after the medium was taken out", |vm| {
        Ok((vm.resets() > resets).then_some(()))
    })
    .unwrap();
    assert_eq!(installs(&mut vm), 0);
    drop(vm);

    lab.user_data.ending = Ending::Reboot;
    lab.user_data.nonce = Some("summer-2.1".to_owned());
    let mut vm = machine.cdrom(lab.iso()).disk(disk).start().unwrap();
    wait_installed(&mut vm, "reboot");
    vm.wait_serial(OFFER, TO_SCREEN).unwrap();
    wait_screen(&mut vm);
    assert_eq!(installs(&mut vm), 1);
}

#[test]
fn a_person_who_installs_again_from_the_menu_of_the_medium_can_keep_the_data() {
    let lab = Lab::new("loops-keep");
    let disk = lab.disk(16);
    artifacts::install_image(&lab.user_data.to_string(), disk.path()).unwrap();
    let machine = lab.machine().limit(SEVERAL_LIVES);
    let mut vm = machine.clone().disk(disk.clone()).start().unwrap();
    wait_screen(&mut vm);
    vm.wait_ssh(SOON).unwrap();
    let identity = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub";
    let before = root(&mut vm, identity);
    root(&mut vm, "echo of a customer > /usr/local/mark && sync");
    vm.quit().unwrap();
    drop(vm);

    let mut vm = machine.cdrom(lab.iso()).disk(disk).start().unwrap();
    vm.wait_serial("Install again and keep the data", TO_SCREEN)
        .unwrap();
    vm.screenshot("menu").unwrap();
    for key in ["down", "down", "ret"] {
        vm.press(&[key]).unwrap();
    }
    wait_installed(&mut vm, "reboot");
    vm.wait_serial(OFFER, TO_SCREEN).unwrap();
    wait_screen(&mut vm);
    assert_eq!(installs(&mut vm), 1);
    vm.wait_ssh(SOON).unwrap();
    assert_eq!(root(&mut vm, "cat /usr/local/mark"), "of a customer");
    assert_eq!(root(&mut vm, identity), before);
}
