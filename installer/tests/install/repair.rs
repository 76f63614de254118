//! Repairs of installed disks from their recovery partition.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use host::{Host, Linux};
use installer::plan::reset::Depth;
use installer::recovery::reset::{Request, reset};
use installer::report::{Event, Finished, Next, Outcome};

use crate::again::assert_nothing_left;
use crate::door::Failing;
use crate::keep::hash_of;
use crate::lab::{Lab, fingerprint, put};
use crate::readers::{File, Part, extent};
use crate::reset::{assert_boots, change, files, request, slot, used};

fn repair(lab: &Lab, host: &mut impl Host) -> (Finished, Vec<Event>) {
    let request = Request {
        depth: Depth::Repair,
        ..request(lab)
    };
    let mut events = Vec::new();
    let finished = reset(&request, host, &mut |event| events.push(event.clone()));
    (finished, events)
}

/// As [`used`], with a reset that was asked for and stages around it; both must stay away from a repair.
fn used_and_marked(lab: &Lab) {
    used(lab);
    change(&lab.disk(), 3, &lab.at("mounted"), |root| {
        let env = [("saved_entry", "cos"), ("next_entry", "statereset")];
        let block = installer::bootloader::render_env(env).unwrap();
        put(&root.join("grubenv"), &block);
        let stage = b"stages: {before-reset: [{commands: [exit 1]}]}";
        put(&root.join("20_stage.yaml"), stage);
    });
}

/// What no repair may change: the data, and the source of the repair itself.
fn kept(lab: &Lab) -> Vec<blake3::Hash> {
    let hash = |number| {
        let (offset, size) = extent(&lab.disk(), number);
        hash_of(&lab.disk(), offset, size)
    };
    vec![hash(4), hash(6)]
}

/// The files of OEM but for GRUB's block, and the variables of that.
fn oem(lab: &Lab) -> (BTreeMap<String, File>, String) {
    let mut oem = files(lab, 3);
    let env = oem.remove("grubenv").unwrap().bytes;
    let env = String::from_utf8_lossy(&env).into_owned();
    (oem, env.trim_end_matches('#').to_owned())
}

#[track_caller]
fn assert_repaired(lab: &Lab) {
    let disk = lab.disk();
    for number in 3..=6 {
        Part::of(&disk, number).run("e2fsck", &["-f", "-n"]);
    }
    let state = files(lab, 5);
    let names: Vec<&str> = state.keys().map(String::as_str).collect();
    let expected = [
        "cOS/active.img",
        "cOS/passive.img",
        "grub2/grub.cfg",
        "grub_oem_env",
        "landfall/log/repair-report.json",
        "landfall/log/repair.log",
    ];
    assert_eq!(names, expected);
    for image in ["cOS/active.img", "cOS/passive.img"] {
        assert!(state[image].bytes == slot(lab), "{image} is not whole");
    }
    assert_eq!(state["grub2/grub.cfg"].bytes, b"boot/grub.cfg");
    assert_boots(&disk);
    assert_nothing_left(&disk);
}

#[test]
fn root_a_repair_makes_both_slots_whole_and_leaves_every_byte_of_the_data_and_all_files_of_oem() {
    let lab = Lab::with_tiny_payload();
    used_and_marked(&lab);
    let (before, host) = (kept(&lab), oem(&lab).0);
    let (finished, events) = repair(&lab, &mut Linux);
    assert_eq!(
        (finished.result, finished.next),
        (Outcome::Installed, Next::Reboot),
        "{finished:?}"
    );
    assert!(matches!(&events[0], Event::Started { program, .. } if program == "repair"));
    assert!(kept(&lab) == before, "what was to be kept changed");
    assert_repaired(&lab);
    let (files, env) = oem(&lab);
    assert_eq!(files, host);
    let settled = "# GRUB Environment Block\nsaved_entry=cos\nnext_entry=\n";
    assert_eq!(env, settled);

    // Another one, of a disk that needs none, finds the log of the first and ends the same way.
    let (finished, _) = repair(&lab, &mut Linux);
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert!(kept(&lab) == before, "what was to be kept changed");
    assert_repaired(&lab);
    assert_eq!(oem(&lab), (host, settled.to_owned()));
}

#[test]
fn root_a_repair_that_was_cut_off_leaves_a_machine_that_starts_and_data_that_is_whole() {
    let lab = Lab::with_tiny_payload();
    used_and_marked(&lab);
    let before = kept(&lab);
    // A system that was there is used until its successor is read back, so the active one is new by then.
    for word in ["BOOTX64.NEW", "mren"] {
        let mut door = Failing::at(word);
        let (finished, _) = repair(&lab, &mut door);
        assert!(door.failed, "no request contains {word}");
        assert_eq!(finished.code.as_deref(), Some("LF-R05"), "{finished:?}");
        assert_eq!(finished.boots, Some(true));
        let reason = finished.reason.unwrap();
        assert!(
            reason.contains("The data is as it was. The machine still starts."),
            "{reason}"
        );
        assert!(files(&lab, 5)["cOS/active.img"].bytes == slot(&lab));
        let esp = Part::of(&lab.disk(), 2);
        assert_eq!(esp.mtype("EFI/BOOT/BOOTX64.EFI"), "boot/shimx64.efi");
        drop(esp);
        assert!(kept(&lab) == before, "{word}: what was to be kept changed");
        assert_nothing_left(&lab.disk());
    }
    let (finished, _) = repair(&lab, &mut Linux);
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert!(kept(&lab) == before, "what was to be kept changed");
    assert_repaired(&lab);
}

#[test]
fn root_a_repair_is_refused_where_no_data_is_to_be_found_and_a_reset_is_not() {
    let lab = Lab::with_tiny_payload();
    used(&lab);
    overwrite(&lab.disk(), extent(&lab.disk(), 6).0, &[0; 4096]);
    let before = fingerprint(&lab.disk());
    let (finished, _) = repair(&lab, &mut Linux);
    assert_eq!(finished.code.as_deref(), Some("LF-K03"), "{finished:?}");
    assert!(fingerprint(&lab.disk()) == before, "the disk changed");
    assert_nothing_left(&lab.disk());
    let finished = reset(&request(&lab), &mut Linux, &mut |_| ());
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
}

fn overwrite(disk: &Path, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(disk).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, offset).unwrap();
}
