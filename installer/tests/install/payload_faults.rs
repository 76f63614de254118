//! A payload that is not what it should be: refused with the disk unchanged where that can be known before the first
//! write, else failed with a disk that does not boot.

use std::fs::{self, File};
use std::path::Path;

use image::Manifest;
use image::manifest::{MANIFEST_NAME, SLOT_NAME, describe_file};
use installer::report::{Event, Finished, Outcome};

use crate::again::assert_nothing_left;
use crate::lab::{Lab, fingerprint, flip_bit, put, work_folder};
use crate::readers::assert_not_bootable;

#[track_caller]
fn assert_end(finished: &Finished, result: Outcome, code: &str, reason: &str) {
    let exit = if result == Outcome::Refused { 1 } else { 3 };
    assert_eq!(
        (finished.result, finished.exit),
        (result, exit),
        "{finished:?}"
    );
    let found = finished.code.as_deref().unwrap_or_default();
    assert!(found.starts_with(code), "{finished:?}");
    let said = finished.reason.as_deref().unwrap_or_default();
    assert!(
        said.contains(reason),
        "{said:?} does not contain {reason:?}"
    );
    assert!(finished.action.is_some());
}

/// Spoils a payload and expects a refusal that leaves every byte of the disk alone.
fn refused(code: &str, reason: &str, spoil: impl FnOnce(&Path)) {
    let lab = Lab::with_tiny_payload();
    spoil(&lab.payload());
    let before = fingerprint(&lab.disk());
    let finished = lab.install(&lab.disk());
    assert_end(&finished, Outcome::Refused, code, reason);
    assert_eq!(
        fingerprint(&lab.disk()),
        before,
        "{reason}: the disk changed"
    );
}

fn shorten(path: &Path, length: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

fn rewrite_manifest(payload: &Path, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = Manifest::read(payload).unwrap();
    change(&mut manifest);
    let text = manifest.to_json().unwrap();
    put(&payload.join(MANIFEST_NAME), text.as_bytes());
}

#[test]
fn a_payload_without_its_manifest_or_slot_image_is_refused() {
    refused("LF-M02", "manifest.json", |payload| {
        fs::remove_file(payload.join(MANIFEST_NAME)).unwrap();
    });
    refused("LF-M02", "slot.img.zst", |payload| {
        fs::remove_file(payload.join(SLOT_NAME)).unwrap();
    });
    refused("LF-M02", "payload", |payload| {
        fs::remove_dir_all(payload).unwrap();
    });
}

#[test]
fn a_manifest_that_cannot_be_trusted_is_refused() {
    refused("LF-M04", "cannot be understood", |payload| {
        put(
            &payload.join(MANIFEST_NAME),
            b"{\"format\": 1, \"image_id\": ",
        );
    });
    refused("LF-M04", "format 2", |payload| {
        put(&payload.join(MANIFEST_NAME), b"{\"format\": 2}");
    });
    refused("LF-M04", "does not list boot/shimx64.efi", |payload| {
        rewrite_manifest(payload, |manifest| {
            manifest.files.retain(|file| !file.path.contains("shim"));
        });
    });
}

#[test]
fn a_slot_image_of_another_length_is_refused_also_at_the_border_of_a_chunk() {
    refused("LF-M03", "bytes; the manifest names", |payload| {
        let border = Manifest::read(payload).unwrap().chunks[1].offset_in_zst;
        shorten(&payload.join(SLOT_NAME), border);
    });
    refused("LF-M03", "bytes; the manifest names", |payload| {
        shorten(&payload.join(SLOT_NAME), 1000);
    });
    refused("LF-M03", "bytes; the manifest names", |payload| {
        let length = Manifest::read(payload).unwrap().compressed_size();
        shorten(&payload.join(SLOT_NAME), length + 1);
    });
}

#[test]
fn a_boot_file_that_is_damaged_missing_or_not_grub_is_refused() {
    refused(
        "LF-M05",
        "boot/grubx64.efi of the payload is damaged",
        |payload| {
            flip_bit(&payload.join("boot/grubx64.efi"), 3);
        },
    );
    refused("LF-M05", "boot/initrd", |payload| {
        fs::remove_file(payload.join("boot/initrd")).unwrap();
    });
    refused("LF-M05", "boot/vmlinuz", |payload| {
        shorten(&payload.join("boot/vmlinuz"), 1);
    });
    for (path, reason) in [
        ("boot/bios-boot.img", "boot.img"),
        ("boot/bios-core.img", "core image"),
    ] {
        refused("LF-M05", reason, |payload| {
            put(&payload.join(path), &[0; 512]);
            rewrite_manifest(payload, |manifest| {
                for file in &mut manifest.files {
                    *file = describe_file(payload, &file.path).unwrap();
                }
            });
        });
    }
}

/// Spoils something when the step that contains `word` begins, and expects a failure that leaves a disk which does not
/// boot and nothing else.
fn failed(word: &str, code: &str, reason: &str, mut spoil: impl FnMut(&Path)) {
    let lab = Lab::with_tiny_payload();
    let payload = lab.payload();
    let mut spoiled = false;
    let finished = lab.install_through(&mut host::Linux, &lab.disk(), |event| {
        if let Event::Step { text, .. } = event
            && !spoiled
            && text.contains(word)
        {
            spoil(&payload);
            spoiled = true;
        }
    });
    assert!(spoiled, "no step contains {word}");
    assert_end(&finished, Outcome::Failed, code, reason);
    assert_not_bootable(&lab.disk());
    assert_nothing_left(&lab.disk());
}

#[test]
fn root_a_flipped_bit_in_a_chunk_is_named_and_ends_the_install() {
    let lab = Lab::with_tiny_payload();
    let offset = lab.manifest().chunks[1].offset_in_zst;
    drop(lab);
    let reason = format!("chunk 1 at offset {offset} of slot.img.zst is damaged");
    failed("wipe", "LF-I02", &reason, |payload| {
        flip_bit(&payload.join(SLOT_NAME), offset + 100);
    });
}

#[test]
fn root_a_medium_that_goes_away_while_it_is_read_ends_the_install() {
    failed("write state", "LF-I02", "chunk 1 at offset", |payload| {
        let border = Manifest::read(payload).unwrap().chunks[1].offset_in_zst;
        shorten(&payload.join(SLOT_NAME), border);
    });
    failed("write state", "LF-I02", "truncated", |payload| {
        shorten(&payload.join(SLOT_NAME), 1000);
    });
    failed("write state", "LF-M02", "No such file", |payload| {
        fs::remove_file(payload.join(SLOT_NAME)).unwrap();
    });
}

#[test]
fn root_a_boot_file_that_changes_after_it_was_checked_ends_the_install() {
    // Which code is right for it is the business of docs/errors.md; that it ends and is named is ours.
    failed("fill the EFI", "LF-", "boot/grubx64.efi", |payload| {
        flip_bit(&payload.join("boot/grubx64.efi"), 2);
    });
    failed("copy boot/initrd", "LF-", "boot/initrd", |payload| {
        flip_bit(&payload.join("boot/initrd"), 2);
    });
    failed("copy boot/initrd", "LF-", "boot/initrd", |payload| {
        fs::remove_file(payload.join("boot/initrd")).unwrap();
    });
}

#[test]
fn root_a_disk_that_does_not_keep_what_is_written_is_found_by_reading_it_back() {
    for (name, reason) in [
        ("state/cOS/passive.img", "state:/cOS/passive.img, byte 0"),
        (
            "recovery/landfall/payload/slot.img.zst",
            "recovery:/landfall/payload/slot.img.zst: not what was written",
        ),
    ] {
        failed("read back", "LF-I04", reason, |_| {
            flip_bit(&work_folder().join(name), 5000);
        });
    }
    let short = "state:/cOS/active.img is shorter than what was written";
    failed("read back", "LF-I04", short, |_| {
        shorten(&work_folder().join("state/cOS/active.img"), 4 << 20);
    });
}

#[test]
fn root_a_file_system_without_room_ends_the_install() {
    failed("write state", "LF-I03", "No space left", |_| {
        use nix::fcntl::{FallocateFlags, fallocate};
        let state = work_folder().join("state");
        let room = nix::sys::statvfs::statvfs(&state).unwrap();
        let bytes = room.blocks_available() * room.fragment_size() - (2 << 20);
        let file = File::create(state.join("filler")).unwrap();
        let length = i64::try_from(bytes).unwrap();
        fallocate(&file, FallocateFlags::empty(), 0, length).unwrap();
    });
}
