//! Resets of installed disks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use host::{Host, Linux, LoopRequest, Mount, Recorder};
use image::manifest::SLOT_NAME;
use installer::machine::image_file;
use installer::plan::reset::Depth;
use installer::recovery::reset::{Request, reset};
use installer::report::{Event, Finished, Next, Outcome};
use partition::{Bytes, Geometry, SectorSize, Wanted, write_gpt};
use uuid::Uuid;

use crate::again::assert_nothing_left;
use crate::door::{Failing, Remembering};
use crate::lab::{DISK, Lab, fingerprint, flip_bit, get, noise, put};
use crate::readers::{File, Part, boot_sector, extent};

/// The slot image of the tiny payload, as it was before it was compressed.
pub(crate) fn slot(lab: &Lab) -> Vec<u8> {
    noise(usize::try_from(lab.manifest().raw_size).unwrap())
}

pub(crate) fn request(lab: &Lab) -> Request {
    let work = lab.at("work");
    fs::create_dir_all(&work).unwrap();
    let digest = lab.manifest().digest().unwrap().to_string();
    Request {
        depth: Depth::Reset,
        disk: image_file(&lab.disk()).unwrap(),
        media_id: digest[..32].to_owned(),
        live: lab.at("live"),
        work,
        firmware: None,
    }
}

pub(crate) fn reset_through(lab: &Lab, host: &mut impl Host) -> (Finished, Vec<Event>) {
    let mut events = Vec::new();
    let finished = reset(&request(lab), host, &mut |event| events.push(event.clone()));
    assert_eq!(events.last(), Some(&Event::Finished(finished.clone())));
    (finished, events)
}

pub(crate) fn assert_done(finished: &Finished) {
    assert_eq!(
        (finished.result, finished.next),
        (Outcome::Installed, Next::Reboot),
        "{finished:?}"
    );
}

/// Changes files on a partition.
pub(crate) fn change(disk: &Path, number: u32, at: &Path, change: impl FnOnce(&Path)) {
    let (offset, size) = extent(disk, number);
    let device = Linux
        .attach_loop(&LoopRequest {
            file: disk.to_owned(),
            offset,
            size: Some(size),
            read_only: false,
            sector_size: None,
        })
        .unwrap();
    fs::create_dir_all(at).unwrap();
    Linux.mount(&Mount::new(&device, at, "ext4")).unwrap();
    change(at);
    Linux.unmount(at).unwrap();
    Linux.detach_loop(&device).unwrap();
}

pub(crate) fn files(lab: &Lab, number: u32) -> BTreeMap<String, File> {
    let to = tempfile::tempdir_in(lab.at("")).unwrap();
    Part::of(&lab.disk(), number).files(to.path())
}

/// An installed disk that has been in use: data, an active slot that rotted, a boot file that was lost, and what Palette's
/// agent leaves for a host in a cluster.
pub(crate) fn used(lab: &Lab) {
    let disk = lab.disk();
    assert_eq!(lab.install(&disk).result, Outcome::Installed);
    let at = lab.at("mounted");
    change(&disk, 6, &at, |root| {
        put(&root.join("data"), b"of a customer");
    });
    change(&disk, 5, &at, |root| {
        flip_bit(&root.join("cOS/active.img"), 4_194_304 + 7);
        fs::remove_file(root.join("grub2/grub.cfg")).unwrap();
        put(&root.join("cOS/transition.img"), b"left over");
    });
    change(&disk, 3, &at, |root| {
        put(&root.join(".stylus-state"), b"authToken: 1");
        put(&root.join("80_stylus.yaml"), b"stages: {}");
    });
}

/// The boot files are whole and have their names, and the entry of a BIOS is active.
pub(crate) fn assert_boots(disk: &Path) {
    let esp = Part::of(disk, 2);
    assert_eq!(esp.mtype("EFI/BOOT/BOOTX64.EFI"), "boot/shimx64.efi");
    assert_eq!(esp.mtype("EFI/BOOT/grubx64.efi"), "boot/grubx64.efi");
    assert!(!esp.mdir().iter().any(|name| name.contains(".NEW")));
    drop(esp);
    assert_eq!(boot_sector(disk)[446], 0x80);
}

fn assert_reset(lab: &Lab, oem: &BTreeMap<String, File>, persistent: &str) {
    let disk = lab.disk();
    for number in 3..=6 {
        Part::of(&disk, number).run("e2fsck", &["-f", "-n"]);
    }
    let state = files(lab, 5);
    let names: Vec<&str> = state.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "cOS/active.img",
            "cOS/passive.img",
            "grub2/grub.cfg",
            "grub_oem_env"
        ]
    );
    for image in ["cOS/active.img", "cOS/passive.img"] {
        assert!(state[image].bytes == slot(lab), "{image} is not whole");
    }
    assert_eq!(state["grub2/grub.cfg"].bytes, b"boot/grub.cfg");
    assert_eq!(&files(lab, 3), oem);
    let data: Vec<String> = files(lab, 6).into_keys().collect();
    let log = ".state/var-log.bind/landfall/reset";
    assert_eq!(data, [format!("{log}-report.json"), format!("{log}.log")]);
    assert_ne!(Part::of(&disk, 6).blkid("UUID"), persistent);
    assert_boots(&disk);
    assert_nothing_left(&disk);
}

#[test]
fn root_a_reset_makes_both_slots_whole_keeps_oem_and_empties_persistent() {
    let lab = Lab::with_tiny_payload();
    used(&lab);
    let disk = lab.disk();
    let mut oem = files(&lab, 3);
    oem.remove("80_stylus.yaml").unwrap();
    let persistent = Part::of(&disk, 6).blkid("UUID");
    let recovery = files(&lab, 4);

    let (finished, events) = reset_through(&lab, &mut Linux);
    assert_done(&finished);
    assert!(matches!(&events[0], Event::Started { program, .. } if program == "reset"));
    assert_reset(&lab, &oem, &persistent);
    assert_eq!(files(&lab, 4), recovery, "the recovery partition changed");

    // A second reset, of a disk that needs none, ends the same way.
    let persistent = Part::of(&disk, 6).blkid("UUID");
    assert_done(&reset_through(&lab, &mut Linux).0);
    assert_reset(&lab, &oem, &persistent);
}

#[test]
fn root_a_reset_that_was_cut_off_says_what_is_true_and_the_next_one_succeeds() {
    let lab = Lab::with_tiny_payload();
    used(&lab);
    let disk = lab.disk();
    let mut oem = files(&lab, 3);
    oem.remove("80_stylus.yaml").unwrap();
    let persistent = Part::of(&disk, 6).blkid("UUID");
    for (word, code, starts, said) in [
        (
            "mren",
            "LF-R05",
            true,
            "The data is as it was. The machine still starts.",
        ),
        ("mke2fs", "LF-R06", false, "begins the reset again"),
    ] {
        let mut door = Failing::at(word);
        let (finished, _) = reset_through(&lab, &mut door);
        assert!(door.failed, "no request contains {word}");
        assert_eq!(finished.result, Outcome::Failed);
        assert_eq!(finished.code.as_deref(), Some(code));
        assert_eq!(finished.boots, Some(starts));
        let reason = finished.reason.unwrap();
        assert!(
            reason.contains(said) && reason.contains("LF-I05"),
            "{reason}"
        );
        let state = files(&lab, 5);
        assert!(state["cOS/active.img"].bytes == slot(&lab));
        let next = String::from_utf8(files(&lab, 3)["grubenv"].bytes.clone()).unwrap();
        assert_eq!(next.contains("next_entry=statereset"), !starts, "{next}");
        assert_nothing_left(&disk);
    }
    assert_done(&reset_through(&lab, &mut Linux).0);
    let mut env = files(&lab, 3).remove("grubenv").unwrap();
    // Like GRUB, which takes its one-time entry away, the reset leaves an empty variable.
    let text = String::from_utf8(env.bytes.clone()).unwrap();
    assert!(
        text.contains("saved_entry=registration\n") && text.contains("next_entry=\n"),
        "{text}"
    );
    env.mode = oem["grubenv"].mode;
    oem.insert("grubenv".to_owned(), env);
    assert_reset(&lab, &oem, &persistent);
}

type Damage = fn(&Path);

#[test]
fn root_a_reset_from_a_damaged_recovery_partition_is_refused_and_changes_nothing() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    assert_eq!(lab.install(&disk).result, Outcome::Installed);
    let at = lab.at("mounted");
    let payload = Path::new("landfall/payload");
    let faults: [(&str, Damage); 3] = [
        ("chunk 1", |root| {
            let length = fs::metadata(root.join(SLOT_NAME)).unwrap().len();
            flip_bit(&root.join(SLOT_NAME), length - 100);
        }),
        ("shimx64.efi", |root| {
            put(&root.join("boot/shimx64.efi"), b"other");
        }),
        ("manifest.json", |root| {
            fs::remove_file(root.join("manifest.json")).unwrap();
        }),
    ];
    for (named, damage) in faults {
        change(&disk, 4, &at, |root| damage(&root.join(payload)));
        let before = fingerprint(&disk);
        let (finished, _) = reset_through(&lab, &mut Linux);
        assert_eq!(finished.result, Outcome::Refused, "{named}");
        assert_eq!(finished.code.as_deref(), Some("LF-R04"), "{finished:?}");
        assert!(finished.reason.unwrap().contains(named));
        assert!(fingerprint(&disk) == before, "{named}: the disk changed");
        assert_nothing_left(&disk);
    }
}

#[test]
fn root_a_recovery_partition_that_the_machine_was_not_started_from_is_refused() {
    let lab = Lab::with_tiny_payload();
    assert_eq!(lab.install(&lab.disk()).result, Outcome::Installed);
    let before = fingerprint(&lab.disk());
    let other = Request {
        media_id: "0".repeat(32),
        ..request(&lab)
    };
    let finished = reset(&other, &mut Linux, &mut |_| ());
    assert_eq!(finished.code.as_deref(), Some("LF-R04"));
    assert!(fingerprint(&lab.disk()) == before);
    assert_nothing_left(&lab.disk());
}

#[test]
fn root_an_unreadable_esp_is_made_anew() {
    let lab = Lab::with_tiny_payload();
    used(&lab);
    let mut oem = files(&lab, 3);
    oem.remove("80_stylus.yaml").unwrap();
    let persistent = Part::of(&lab.disk(), 6).blkid("UUID");
    let (esp, _) = extent(&lab.disk(), 2);
    let disk = fs::OpenOptions::new().write(true).open(lab.disk()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&disk, &vec![0; 65_536], esp).unwrap();
    drop(disk);
    assert_done(&reset_through(&lab, &mut Linux).0);
    assert_reset(&lab, &oem, &persistent);
}

/// A disk whose partitions are folders: the door mounts nothing, so what is mounted is what lies at the mount point.
fn folders(lab: &Lab) -> PathBuf {
    let disk = lab.blank("disk.img");
    let geometry = Geometry {
        size: Bytes::new(DISK),
        sector: SectorSize::B512,
    };
    let layout = Wanted::new(Bytes::new(8 << 20), Bytes::new(8 << 20))
        .layout(geometry, Uuid::new_v4)
        .unwrap();
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&disk)
        .unwrap();
    write_gpt(&layout, &mut file, None).unwrap();
    let digest = lab.manifest().digest().unwrap().to_string();
    let live = lab.at("live/landfall");
    put(
        &live.join("media.json"),
        format!("{{\"media_id\":\"{}\"}}", &digest[..32]).as_bytes(),
    );
    drop(std::os::unix::fs::symlink(
        lab.payload(),
        live.join("payload"),
    ));
    for name in ["oem", "state", "persistent"] {
        drop(fs::remove_dir_all(lab.at("work").join(name)));
    }
    let env = installer::bootloader::render_env([("saved_entry", "registration")]).unwrap();
    put(&lab.at("work/oem/grubenv"), &env);
    put(&lab.at("work/state/cOS/active.img"), b"old");
    put(&lab.at("work/state/cOS/passive.img"), b"old");
    disk
}

#[test]
fn whatever_request_of_a_reset_fails_nothing_stays_mounted_and_no_slot_is_ever_half_written() {
    let lab = Lab::with_tiny_payload();
    let whole = slot(&lab);
    let mut ends = Vec::new();
    for n in 0..200 {
        folders(&lab);
        let mut door = Remembering::new(Recorder::failing_at(n), &lab.at("loops"));
        let (finished, events) = reset_through(&lab, &mut door);
        let asked = door.recorder.calls.get(n).cloned();
        // What is not undone is what could not be: the failed request itself.
        let undoing = asked
            .as_deref()
            .is_some_and(|call| call.starts_with("unmount") || call.starts_with("detach"));
        if !undoing {
            assert_eq!(door.recorder.mounted, Vec::<PathBuf>::new(), "{asked:?}");
            assert_eq!(door.recorder.loops, Vec::<PathBuf>::new(), "{asked:?}");
        }
        for image in ["active.img", "passive.img"] {
            let bytes = get(&lab.at("work/state/cOS").join(image));
            assert!(bytes == b"old" || bytes == whole, "{asked:?}: {image}");
        }
        let wrote = events
            .iter()
            .any(|event| matches!(event, Event::Step { .. }));
        match finished.result {
            Outcome::Refused => assert!(!wrote, "{asked:?}"),
            Outcome::Failed => {
                assert!(wrote && finished.boots.is_some(), "{asked:?}: {finished:?}");
            }
            Outcome::Installed => {}
        }
        ends.push(finished.result);
        if asked.is_none() {
            break;
        }
    }
    assert_eq!(ends.last(), Some(&Outcome::Installed));
    for end in [Outcome::Refused, Outcome::Failed] {
        assert!(ends.contains(&end), "{end:?} was never seen");
    }
}

#[test]
fn a_disk_in_use_is_not_reset() {
    let lab = Lab::with_tiny_payload();
    let disk = folders(&lab);
    let held = nix::fcntl::Flock::lock(
        fs::File::open(disk).unwrap(),
        nix::fcntl::FlockArg::LockExclusiveNonblock,
    )
    .unwrap();
    let mut door = Remembering::new(Recorder::default(), &lab.at("loops"));
    let (finished, _) = reset_through(&lab, &mut door);
    assert_eq!(finished.code.as_deref(), Some("LF-D04"));
    assert_eq!(door.recorder.calls, Vec::<String>::new());
    drop(held);
}
