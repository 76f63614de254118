//! Installations over an installation of which something stays.

use std::fs;
use std::path::Path;

use host::{Argv, Host, Linux};
use installer::install::{Request, install, prepare};
use installer::kept;
use installer::machine::image_file;
use installer::report::{Event, Finished, Outcome};
use userdata::Mode;

use crate::again::assert_nothing_left;
use crate::door::Failing;
use crate::lab::{Lab, TOKEN, fingerprint, flip_bit, noise, put};
use crate::readers::{Part, assert_not_bootable, boot_sector, extent, run, sgdisk};
use crate::reset::{change, files};

const FIRST: &str = "\
#cloud-config
stylus: {site: {paletteEndpoint: palette.example.com, edgeHostToken: canary-token-5e1d0f}}
install:
  poweroff: true
  bind_mounts: [/etc/eks]
  grub_options: {extra_cmdline: console=ttyS1}
  extra-partitions: [{name: data, size: 40, fs: ext4, label: DATA}]
";

const SECOND: &str = "\
#cloud-config
stylus: {site: {paletteEndpoint: other.example.com}}
install: {poweroff: true}
landfall: {mode: keep-data}
";

/// A disk that has been in use by a host of a cluster, whose system rotted; new user-data lies ready.
fn used(lab: &Lab) {
    put(&lab.at("user-data"), FIRST.as_bytes());
    let disk = lab.disk();
    assert_eq!(lab.install(&disk).result, Outcome::Installed);
    let at = lab.at("mounted");
    for number in [6, 7] {
        change(&disk, number, &at, |root| {
            put(&root.join("folder/data"), &noise(3_000_000));
        });
    }
    change(&disk, 5, &at, |root| {
        flip_bit(&root.join("cOS/active.img"), 4_194_304 + 7);
        put(&root.join("boot_assessment"), b"left over");
    });
    change(&disk, 4, &at, |root| {
        fs::remove_file(root.join("boot/kernel")).unwrap();
    });
    change(&disk, 3, &at, |root| {
        put(&root.join("80_stylus.yaml"), b"stages: {}");
        put(&root.join(".landfall-host-id"), b"edge-1\n");
        let variables = [("saved_entry", "cos"), ("next_entry", "statereset")];
        let block = installer::bootloader::render_env(variables).unwrap();
        put(&root.join("grubenv"), &block);
    });
    put(&lab.at("user-data"), SECOND.as_bytes());
}

/// A hash of a range of a disk.
pub(crate) fn hash_of(disk: &Path, offset: u64, size: u64) -> blake3::Hash {
    use std::os::unix::fs::FileExt as _;
    let disk = fs::File::open(disk).unwrap();
    let mut hasher = blake3::Hasher::new();
    let mut bytes = vec![0; 1 << 20];
    let mut at = 0;
    while at < size {
        let piece = usize::try_from((size - at).min(1 << 20)).unwrap();
        disk.read_exact_at(&mut bytes[..piece], offset + at)
            .unwrap();
        hasher.update(&bytes[..piece]);
        at += piece as u64;
    }
    hasher.finalize()
}

/// Every byte of the partitions that stay, and of what stands between and behind the others.
fn kept_bytes(lab: &Lab) -> Vec<blake3::Hash> {
    let disk = lab.disk();
    let hash = |offset: u64, size: u64| hash_of(&disk, offset, size);
    // The primary table behind sector 0, the kept partitions, the backup table.
    let length = fs::metadata(&disk).unwrap().len();
    let mut hashes = vec![hash(512, 33 * 512), hash(length - 33 * 512, 33 * 512)];
    for number in [6, 7] {
        let (offset, size) = extent(&disk, number);
        hashes.push(hash(offset, size));
    }
    hashes
}

fn run_with(
    lab: &Lab,
    mode: Option<Mode>,
    user_data: bool,
    host: &mut impl Host,
) -> (Finished, Vec<Event>) {
    let mut request = Request {
        mode,
        ..lab.request(&lab.disk())
    };
    // Keeping data needs no leave beyond that for what is ours.
    if mode != Some(Mode::KeepData) {
        request.wipe = None;
    }
    if !user_data {
        request.user_data.list.clear();
    }
    let mut events = Vec::new();
    let finished = install(&request, host, &mut |event| events.push(event.clone()));
    (finished, events)
}

/// Everything that boots is new and whole, read by other programs.
#[track_caller]
fn assert_system_is_new(lab: &Lab) {
    let disk = lab.disk();
    let said = run(&Argv::new("sgdisk").arg("--verify").arg(&disk));
    assert!(said.contains("No problems found."), "{said}");
    for number in 3..=7 {
        Part::of(&disk, number).run("e2fsck", &["-f", "-n"]);
    }
    let esp = Part::of(&disk, 2);
    esp.run("fsck.vfat", &["-n"]);
    assert_eq!(esp.mtype("EFI/BOOT/BOOTX64.EFI"), "boot/shimx64.efi");
    assert!(!esp.mdir().iter().any(|name| name.contains(".NEW")));
    drop(esp);
    assert_eq!(boot_sector(&disk)[446], 0x80);
    let state = files(lab, 5);
    let names: Vec<&str> = state.keys().map(String::as_str).collect();
    let expected = [
        "cOS/active.img",
        "cOS/passive.img",
        "grub2/grub.cfg",
        "grub_oem_env",
    ];
    assert_eq!(names, expected);
    let slot = noise(usize::try_from(lab.manifest().raw_size).unwrap());
    for image in ["cOS/active.img", "cOS/passive.img"] {
        assert!(state[image].bytes == slot, "{image} is not whole");
    }
    let recovery = files(lab, 4);
    assert_eq!(recovery["boot/kernel"].bytes, b"boot/vmlinuz");
    assert!(recovery.contains_key("landfall/log/install.log"));
    assert!(recovery.contains_key("landfall/log/install-report.json"));
    assert_nothing_left(&disk);
}

#[test]
fn root_keeping_the_data_leaves_every_byte_of_it_and_gives_the_host_a_new_system_and_user_data() {
    let lab = Lab::with_tiny_payload();
    used(&lab);
    let (before, state) = (kept_bytes(&lab), Part::of(&lab.disk(), 5).blkid("UUID"));
    let guids = |lab: &Lab| (2..=7).map(|n| sgdisk(&lab.disk(), n)).collect::<Vec<_>>();
    let table = guids(&lab);

    let (finished, events) = run_with(&lab, None, true, &mut Linux);
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert!(kept_bytes(&lab) == before, "what was to be kept changed");
    assert_eq!(guids(&lab), table);
    assert_ne!(Part::of(&lab.disk(), 5).blkid("UUID"), state);
    assert_system_is_new(&lab);
    let said = events.iter().find_map(|event| match event {
        Event::Note { text } if text.starts_with("what stays") => Some(text.as_str()),
        _ => None,
    });
    let said = said.unwrap();
    assert!(
        said.starts_with("what stays: oem (64 MiB), data (40 MiB), persistent ("),
        "{said}"
    );

    let oem = files(&lab, 3);
    let names: Vec<&str> = oem.keys().map(String::as_str).collect();
    let expected = [
        ".landfall-host-id",
        "80_stylus.yaml",
        "90_custom.yaml",
        "grubenv",
    ];
    assert_eq!(names, expected);
    let user_data = String::from_utf8_lossy(&oem["90_custom.yaml"].bytes);
    assert!(user_data.contains("other.example.com") && !user_data.contains(TOKEN));
    let env = String::from_utf8_lossy(&oem["grubenv"].bytes);
    assert!(env.contains("saved_entry=cos\nnext_entry=\n"), "{env}");
}

#[test]
fn root_a_repair_needs_no_user_data_and_keeps_that_of_the_host() {
    let lab = Lab::with_tiny_payload();
    used(&lab);
    let (before, mut oem) = (kept_bytes(&lab), files(&lab, 3));
    let (finished, _) = run_with(&lab, Some(Mode::Repair), false, &mut Linux);
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert!(kept_bytes(&lab) == before, "what was to be kept changed");
    assert_system_is_new(&lab);
    let mut found = files(&lab, 3);
    let env = found.remove("grubenv").unwrap();
    assert!(String::from_utf8_lossy(&env.bytes).contains("saved_entry=cos\nnext_entry=\n"));
    oem.remove("grubenv").unwrap();
    assert_eq!(found, oem);
}

#[test]
fn root_a_run_that_was_cut_off_does_not_boot_and_the_next_one_still_keeps_the_data() {
    let lab = Lab::with_tiny_payload();
    used(&lab);
    let before = kept_bytes(&lab);
    // Requests that come after the first write; the first mounts only look.
    for word in ["mkfs.vfat", "mke2fs", "BOOTX64.NEW", "grubx64.efi", "mren"] {
        let mut door = Failing::at(word);
        let (finished, _) = run_with(&lab, None, true, &mut door);
        assert!(door.failed, "no request contains {word}");
        assert_eq!(finished.exit, 3, "{word}: {finished:?}");
        assert_not_bootable(&lab.disk());
        let esp = Argv::new("mdir").args(["-/", "-b", "-i"]);
        let part = Part::of(&lab.disk(), 2);
        let said = Linux.run(&esp.arg(&part.node)).map(|output| output.stdout);
        assert!(!said.unwrap_or_default().contains("BOOTX64.EFI"), "{word}");
        drop(part);
        assert!(
            kept_bytes(&lab) == before,
            "{word}: what was to be kept changed"
        );
        assert_nothing_left(&lab.disk());
    }
    let (finished, _) = run_with(&lab, None, true, &mut Linux);
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert!(kept_bytes(&lab) == before);
    assert_system_is_new(&lab);
    let oem = files(&lab, 3);
    assert!(oem.contains_key("80_stylus.yaml") && oem.contains_key(".landfall-host-id"));
}

type Damage = fn(&Lab);

fn overwrite(disk: &Path, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(disk).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, offset).unwrap();
}

#[test]
fn root_a_disk_that_has_nothing_to_keep_is_refused_and_not_changed() {
    let lab = Lab::with_tiny_payload();
    let cases: [(&str, &str, Damage); 4] = [
        ("LF-K01", "no installation of Landfall", |lab| {
            drop(lab.blank("disk.img"));
        }),
        ("LF-K01", "no installation of Landfall", |lab| {
            used(lab);
            run(&Argv::new("sgdisk")
                .arg("--change-name=5:root")
                .arg(lab.disk()));
        }),
        ("LF-K03", "no ext4 file system", |lab| {
            used(lab);
            overwrite(&lab.disk(), extent(&lab.disk(), 7).0, &[0; 4096]);
        }),
        ("LF-K02", "install.extra-partitions asks for more", |lab| {
            used(lab);
            let asking = SECOND.replace(
                "poweroff: true",
                "poweroff: true, extra-partitions: [{name: more, size: 9}]",
            );
            put(&lab.at("user-data"), asking.as_bytes());
        }),
    ];
    for (code, said, damage) in cases {
        damage(&lab);
        let before = fingerprint(&lab.disk());
        let (finished, _) = run_with(&lab, Some(Mode::KeepData), true, &mut Linux);
        assert_eq!(finished.result, Outcome::Refused, "{said}: {finished:?}");
        assert_eq!(finished.code.as_deref(), Some(code), "{finished:?}");
        assert!(finished.reason.unwrap().contains(said));
        assert!(
            fingerprint(&lab.disk()) == before,
            "{said}: the disk changed"
        );
        assert_nothing_left(&lab.disk());
    }
}

#[test]
fn root_only_a_disk_with_an_installation_that_has_data_can_be_chosen_to_keep_them() {
    let lab = Lab::with_tiny_payload();
    let check = |lab: &Lab| {
        let mut disk = image_file(&lab.disk()).unwrap();
        disk.look(&mut Linux);
        kept::check(&disk)
    };
    used(&lab);
    check(&lab).unwrap();
    let damages: [(&str, &str, Damage); 3] = [
        ("LF-K03", "could be kept: partition persistent", |lab| {
            overwrite(&lab.disk(), extent(&lab.disk(), 7).0, &[0; 4096]);
        }),
        ("LF-K01", "could be kept: ", |lab| {
            run(&Argv::new("sgdisk")
                .arg("--change-name=2:esp")
                .arg(lab.disk()));
        }),
        (
            "LF-K01",
            "has no installation whose data could be kept",
            |lab| {
                drop(lab.blank("disk.img"));
            },
        ),
    ];
    for (code, said, damage) in damages {
        damage(&lab);
        let before = fingerprint(&lab.disk());
        let trouble = check(&lab).unwrap_err();
        assert_eq!(trouble.code.as_str(), code, "{trouble}");
        assert!(trouble.reason.contains(said), "{trouble}");
        assert!(
            fingerprint(&lab.disk()) == before,
            "{said}: the disk changed"
        );
    }
}

#[test]
fn root_a_plan_to_keep_data_writes_nothing_also_not_into_a_journal() {
    let lab = Lab::with_tiny_payload();
    used(&lab);
    for number in [3, 4, 5, 7] {
        // The flag that a power cut leaves: the journal is to be replayed.
        let part = Part::writable(&lab.disk(), number);
        part.run("debugfs", &["-w", "-R", "feature needs_recovery"]);
    }
    let before = fingerprint(&lab.disk());
    let prepared = prepare(&lab.request(&lab.disk()), &mut Linux).unwrap();
    assert!(fingerprint(&lab.disk()) == before, "the disk changed");
    let text = prepared.plan.to_string();
    assert!(
        text.contains("Keeps:     oem (64 MiB), data (40 MiB), persistent ("),
        "{text}"
    );
    assert!(
        text.contains("note: partition persistent was not unmounted"),
        "{text}"
    );
    assert_nothing_left(&lab.disk());
}
