//! A machine with two disks and user-data that name none: a person at the keyboard chooses.

use std::fs::File;
use std::os::unix::fs::FileExt;

use qemu_tests::{Disk, Exit, artifacts};

use crate::lab::{Lab, SOON, type_word, wait_finished, wait_installed};

#[test]
fn of_two_disks_the_one_that_is_chosen_on_the_screen_is_installed_and_the_other_keeps_every_byte() {
    let lab = Lab::new("choose-disk");
    // Bytes far from the ends, which say nothing about whose disk it is and must survive.
    let first = lab.disk(16);
    let file = File::options().write(true).open(first.path()).unwrap();
    file.write_all_at(&[0x5a; 4096], 5 << 30).unwrap();
    let second = Disk::empty(lab.folder.file("second.img"), 16 << 30).unwrap();
    let before = artifacts::hash(first.path()).unwrap();
    let mut vm = lab
        .machine()
        .cdrom(lab.iso())
        .disk(first.clone())
        .disk(second)
        .start()
        .unwrap();

    let refused = wait_finished(&mut vm);
    assert_eq!(
        (refused.text("result"), refused.text("code")),
        ("refused", "LF-D02"),
        "{refused}"
    );
    let asking = vm
        .wait_event("asking", SOON, |event| event.name() == "asking")
        .unwrap();
    let disks = asking.json["disks"].as_array().unwrap();
    let paths: Vec<_> = disks.iter().map(|disk| &disk["path"]).collect();
    assert_eq!(paths, ["/dev/vda", "/dev/vdb"]);
    vm.wait_serial("Which disk shall be erased", SOON).unwrap();
    vm.screenshot("1-disk").unwrap();

    vm.press(&["2"]).unwrap();
    vm.press(&["ret"]).unwrap();
    vm.wait_serial("What shall the machine do", SOON).unwrap();
    vm.press(&["down"]).unwrap();
    vm.screenshot("2-afterwards").unwrap();
    vm.press(&["ret"]).unwrap();
    vm.wait_serial("Everything on /dev/vdb will be lost", SOON)
        .unwrap();
    type_word(&mut vm, "ERAZE");
    vm.wait_serial("nothing was done", SOON).unwrap();
    vm.screenshot("3-confirm").unwrap();
    type_word(&mut vm, "ERASE");

    let chosen = vm
        .wait_event("chosen", SOON, |event| event.name() == "chosen")
        .unwrap();
    let document = chosen.text("document");
    for line in ["device: /dev/disk/by-id/virtio-LF0003", "poweroff: true"] {
        assert!(document.contains(line), "{document}");
    }
    let target = vm
        .wait_event("target", SOON, |event| event.name() == "target")
        .unwrap();
    assert!(target.text("disk").contains("/dev/vdb"), "{target}");
    wait_installed(&mut vm, "poweroff");
    vm.wait_serial("The same choice as user-data", SOON)
        .unwrap();
    vm.screenshot("4-installed").unwrap();
    vm.keep();

    // The lines to copy stay until somebody has them.
    assert_eq!(vm.exit().unwrap(), None);
    vm.press(&["ret"]).unwrap();
    assert_eq!(vm.wait_exit(SOON).unwrap(), Exit::PowerOff);
    assert_eq!(artifacts::hash(first.path()).unwrap(), before);
}
