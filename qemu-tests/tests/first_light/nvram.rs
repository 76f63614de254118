//! The firmware's variables: which entries an install leaves there, and that it does without them: `just vm-all`.
//!
//! That a disk starts on a firmware that has never seen it, as after a new mainboard, `main.rs` shows under Secure Boot.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use qemu_tests::machine::Builder;
use qemu_tests::user_data::Ending;
use qemu_tests::{Disk, Event, Exit, Firmware, Variables, artifacts};

use crate::lab::{Lab, SOON, wait_installed, wait_screen};
use crate::loops::{SEVERAL_LIVES, kernel_arguments};

/// How an install says that it has left no entry.
const NO_ENTRY: &str = "the firmware's boot order stays as it is";
/// What the firmware's menu shows for a disk of ours.
const LABEL: &str = "Landfall";
/// Room for the firmware's own variables, and less than what Linux leaves to it (5120 bytes).
const ALMOST_NOTHING: usize = 3000;

/// Installs and switches off; returns the remarks about the boot order.
fn install(machine: Builder) -> Vec<String> {
    let mut vm = machine.start().unwrap();
    wait_installed(&mut vm, "poweroff");
    assert_eq!(vm.wait_exit(SOON).unwrap(), Exit::PowerOff);
    let notes = vm
        .events()
        .unwrap()
        .iter()
        .filter(|event| event.name() == "note");
    let notes = notes.map(|note: &Event| note.text("text").to_owned());
    notes.filter(|note| note.contains("boot order")).collect()
}

fn disk(lab: &Lab, name: &str) -> Disk {
    Disk::empty(lab.folder.file(name), 16 << 30).unwrap()
}

/// The GUID of the EFI system partition as it is on the disk: the second entry of the table in sector 2.
fn esp(disk: &Disk) -> [u8; 16] {
    let mut guid = [0; 16];
    let file = fs::File::open(disk.path()).unwrap();
    file.read_exact_at(&mut guid, 1024 + 128 + 16).unwrap();
    assert_ne!(guid, [0; 16], "no partition");
    guid
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn ucs2(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

/// A boot entry (`EFI_LOAD_OPTION`) for the second partition of a disk.
fn entry(label: &str, guid: u8, file: &str) -> Vec<u8> {
    let mut path = vec![4, 1, 42, 0, 2, 0, 0, 0];
    path.extend(4096_u64.to_le_bytes());
    path.extend(524_288_u64.to_le_bytes());
    path.extend([guid; 16]);
    path.extend([2, 2]);
    let file = ucs2(file);
    path.extend([4, 4, u8::try_from(file.len() + 4).unwrap(), 0]);
    path.extend(file);
    path.extend([0x7f, 0xff, 4, 0]);
    let mut bytes = vec![1, 0, 0, 0, u8::try_from(path.len()).unwrap(), 0];
    bytes.extend(ucs2(label));
    bytes.extend(path);
    bytes
}

/// The boot entries with our name, and those that lead to this partition.
fn ours<'a>(store: &'a Variables, guid: &[u8]) -> (Vec<&'a str>, Vec<&'a str>) {
    let with = |part: &[u8]| {
        let entries = store
            .boot_entries()
            .filter(|(_, entry)| contains(entry, part));
        entries.map(|(name, _)| name).collect()
    };
    (with(&ucs2(LABEL)), with(guid))
}

#[test]
fn entries_of_gone_disks_go_others_keep_their_order_and_a_full_store_costs_nothing_but_the_entry() {
    let mut lab = Lab::new("nvram-order");
    lab.user_data.ending = Ending::PowerOff;
    let (iso, file) = (lab.iso(), lab.folder.file("variables.fd"));
    let mut store = Firmware::Uefi.fresh_variables().unwrap();
    let boot_file = r"\EFI\BOOT\BOOTX64.EFI";
    for (name, value) in [
        ("Boot0002", entry("Second", 2, r"\EFI\second\grubx64.efi")),
        ("Boot0005", entry(LABEL, 5, boot_file)),
        ("Boot0007", entry("Other", 7, r"\EFI\other\shimx64.efi")),
        ("Boot00A0", entry(LABEL, 0xa0, boot_file)),
        ("BootOrder", vec![7, 0, 5, 0, 2, 0, 0xa0, 0]),
    ] {
        store.add(name, &value).unwrap();
    }
    store.write(&file).unwrap();
    let machine = lab.machine().limit(SEVERAL_LIVES).firmware(Firmware::Uefi);
    let machine = machine.variables(&file).own_boot_order();

    let first = disk(&lab, "first.img");
    assert_eq!(
        install(machine.clone().disk(first.clone()).cdrom(&iso)),
        [""; 0]
    );
    let store = Variables::read(&file).unwrap();
    let order = store.boot_order();
    assert_eq!(order[..3], ["Boot0005", "Boot0007", "Boot0002"]);
    assert_eq!(
        ours(&store, &esp(&first)),
        (vec!["Boot0005"], vec!["Boot0005"])
    );
    assert_eq!(store.get("Boot00A0"), None);

    // The first disk is gone, and with it what its entry led to.
    let second = disk(&lab, "second.img");
    assert_eq!(
        install(machine.clone().disk(second.clone()).cdrom(&iso)),
        [""; 0]
    );
    let mut store = Variables::read(&file).unwrap();
    assert_eq!(store.boot_order(), order);
    assert_eq!(
        ours(&store, &esp(&second)),
        (vec!["Boot0005"], vec!["Boot0005"])
    );
    assert_eq!(ours(&store, &esp(&first)).1, [""; 0]);

    // Once more, and now nothing can be written: the entry that leads nowhere stays the first one.
    let stale = store.get("Boot0005").unwrap().to_owned();
    store.fill(ALMOST_NOTHING).unwrap();
    store.write(&file).unwrap();
    let third = disk(&lab, "third.img");
    let notes = install(machine.clone().disk(third.clone()).cdrom(&iso));
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with(NO_ENTRY), "{notes:?}");
    assert!(notes[0].contains("No space left"), "{notes:?}");
    let mut vm = machine.disk(third.clone()).start().unwrap();
    assert_eq!(
        wait_screen(&mut vm).text("edge_host_id"),
        lab.edge_host_id()
    );
    let store = Variables::read(&file).unwrap();
    assert_eq!(store.boot_order()[0], "Boot0005");
    assert_eq!(store.get("Boot0005"), Some(stale.as_slice()));
    assert_eq!(ours(&store, &esp(&third)), (vec!["Boot0005"], vec![]));
}

/// Starts the installer of an ISO without the menu, with one more argument.
fn installer(machine: Builder, lab: &Lab, iso: &Path, argument: &str) -> Builder {
    let boot = artifacts::payload().unwrap().join("boot");
    let arguments = kernel_arguments(iso, &lab.folder.file("menu"));
    machine.cdrom(iso).kernel(
        boot.join("vmlinuz"),
        boot.join("initrd"),
        &format!("{arguments} {argument}"),
    )
}

#[test]
fn a_uefi_machine_that_shows_no_variables_is_installed_and_starts_by_the_name_of_the_boot_file() {
    let mut lab = Lab::new("nvram-none");
    lab.user_data.ending = Ending::PowerOff;
    let iso = lab.iso();
    let machine = lab.machine().firmware(Firmware::Uefi).disk(lab.disk(16));
    // The kernel then calls nothing of the firmware any more.
    let notes = install(installer(machine.clone(), &lab, &iso, "noefi"));
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with(NO_ENTRY), "{notes:?}");
    let mut vm = machine.start().unwrap();
    assert_eq!(
        wait_screen(&mut vm).text("edge_host_id"),
        lab.edge_host_id()
    );
}
