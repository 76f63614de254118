//! One installed disk, read back by programs that know nothing of Landfall.

use std::collections::BTreeMap;
use std::fs::{self, File as DiskFile};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use host::Argv;
use image::manifest::{MANIFEST_NAME, SLOT_NAME};
use installer::report::{Event, Next, Outcome};

use crate::lab::{DISK, Lab, MIB, TOKEN, find, fingerprint, get, work_folder};
use crate::readers::{File, Part, boot_sector, extent, fact, run, sgdisk, tree};

const EXT4: [(u32, &str); 4] = [
    (3, "COS_OEM"),
    (4, "COS_RECOVERY"),
    (5, "COS_STATE"),
    (6, "COS_PERSISTENT"),
];

/// One install serves every reader: it is the most expensive part, and none of them changes the disk.
#[test]
fn root_an_installed_disk_is_what_independent_readers_expect() {
    let lab = Lab::new();
    let mut events = Vec::new();
    let finished = lab.install_through(&mut host::Linux, &lab.disk(), |event| {
        events.push(serde_json::to_string(event).unwrap());
    });
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert_eq!((finished.exit, finished.next), (0, Next::Poweroff));
    assert!(!work_folder().exists(), "nothing is left of the work");
    assert!(!events.concat().contains(TOKEN), "an event tells the token");

    let before = fingerprint(&lab.disk());
    the_table_is_valid_and_named_as_the_contract_says(&lab.disk());
    bios_finds_boot_code_and_core_image(&lab);
    the_ext4_file_systems_are_clean_and_old_grubs_read_them(&lab.disk());
    the_esp_starts_by_its_fallback_path(&lab);
    oem_holds_what_the_operator_wants(&lab);
    both_slots_are_the_payload_and_grub_reads_the_kernel_in_them(&lab);
    recovery_holds_the_medium(&lab);
    the_log_is_kept(&lab);
    the_token_is_on_oem_and_nowhere_else(&lab.disk());
    assert_eq!(fingerprint(&lab.disk()), before, "a reader wrote");
}

fn the_table_is_valid_and_named_as_the_contract_says(disk: &Path) {
    let said = run(&Argv::new("sgdisk").arg("--verify").arg(disk));
    assert!(said.contains("No problems found."), "{said}");
    let linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
    let wanted = [
        ("bios", "21686148-6449-6E6F-744E-656564454649", Some(1)),
        ("efi", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", Some(256)),
        ("oem", linux, Some(64)),
        ("recovery", linux, None),
        ("state", linux, None),
        ("persistent", linux, None),
    ];
    let mut end = MIB;
    for (number, (name, kind, size)) in (1..).zip(wanted) {
        let said = sgdisk(disk, number);
        assert_eq!(fact(&said, "Partition name"), format!("'{name}'"));
        let code = fact(&said, "Partition GUID code");
        assert!(code.starts_with(kind), "{name}: {code}");
        let (start, length) = extent(disk, number);
        assert_eq!(start, end, "{name} begins where the one before ends");
        if let Some(size) = size {
            assert_eq!(length, size * MIB, "{name}");
        }
        end = start + length;
    }
    let unused = DISK - end;
    assert!(unused < 2 * MIB, "{unused} bytes behind the last partition");
    let said = run(&Argv::new("sgdisk").arg("--print").arg(disk));
    assert_eq!(
        said.lines().filter(|line| line.starts_with("   ")).count(),
        6
    );
}

fn bios_finds_boot_code_and_core_image(lab: &Lab) {
    let disk = lab.disk();
    let sector = boot_sector(&disk);
    // boot.img with the place of the core image patched in; what is patched is another test's.
    let code = get(&lab.payload().join("boot/bios-boot.img"));
    assert_eq!(sector[0x80..440], code[0x80..440]);
    assert_eq!(sector[0x5c..0x64], 2048_u64.to_le_bytes());
    assert_eq!((sector[446], sector[450]), (0x80, 0xee));
    assert_eq!(sector[510..], [0x55, 0xaa]);
    let core = get(&lab.payload().join("boot/bios-core.img"));
    let mut written = vec![0; core.len()];
    let (offset, _) = extent(&disk, 1);
    DiskFile::open(&disk)
        .unwrap()
        .read_exact_at(&mut written, offset)
        .unwrap();
    // The end of its first sector is the list of blocks, which depends on the disk.
    assert_eq!(written[..0x1e8], core[..0x1e8]);
    assert!(written[512..] == core[512..]);
}

fn the_ext4_file_systems_are_clean_and_old_grubs_read_them(disk: &Path) {
    for (number, label) in EXT4 {
        let part = Part::of(disk, number);
        part.run("e2fsck", &["-f", "-n"]);
        let facts = part.run("dumpe2fs", &["-h"]);
        assert_eq!(fact(&facts, "Filesystem volume name"), label);
        assert_eq!(fact(&facts, "Block size"), "4096", "{label}");
        assert_eq!(fact(&facts, "Reserved block count"), "0", "{label}");
        assert_eq!(fact(&facts, "Filesystem state"), "clean", "{label}");
        let features: Vec<&str> = fact(&facts, "Filesystem features").split(' ').collect();
        for absent in [
            "metadata_csum_seed",
            "orphan_file",
            "encrypt",
            "casefold",
            "inline_data",
            "needs_recovery",
        ] {
            assert!(!features.contains(&absent), "{label}: {features:?}");
        }
        assert!(features.contains(&"has_journal"), "{label}: {features:?}");
        let (_, length) = extent(disk, number);
        let blocks: u64 = fact(&facts, "Block count").parse().unwrap();
        assert_eq!(blocks * 4096, length, "{label} fills its partition");
    }
}

fn the_esp_starts_by_its_fallback_path(lab: &Lab) {
    let part = Part::of(&lab.disk(), 2);
    part.run("fsck.vfat", &["-n"]);
    assert_eq!(part.blkid("LABEL"), "COS_GRUB");
    assert_eq!(part.blkid("VERSION"), "FAT32");
    assert_eq!(
        part.mdir(),
        [
            "EFI/",
            "EFI/BOOT/",
            "EFI/BOOT/BOOTX64.EFI",
            "EFI/BOOT/grub.cfg",
            "EFI/BOOT/grubx64.efi",
            "EFI/BOOT/mmx64.efi",
            "EFI/debian/",
            "EFI/debian/grub.cfg",
        ]
    );
    for (on_esp, in_payload) in [
        ("BOOTX64.EFI", "shimx64.efi"),
        ("grubx64.efi", "grubx64.efi"),
        ("mmx64.efi", "mmx64.efi"),
    ] {
        let bytes = get(&lab.payload().join("boot").join(in_payload));
        let said = part.mtype(&format!("EFI/BOOT/{on_esp}"));
        assert_eq!(said.into_bytes(), bytes, "{on_esp}");
    }
    let stub = part.mtype("EFI/BOOT/grub.cfg");
    assert!(
        stub.contains("gpt5") && stub.contains("configfile"),
        "{stub}"
    );
    assert_eq!(part.mtype("EFI/debian/grub.cfg"), stub);
}

fn oem_holds_what_the_operator_wants(lab: &Lab) {
    let files = Part::of(&lab.disk(), 3).files(&lab.at("oem"));
    let facts: Vec<(&str, u32, (u32, u32))> = files
        .iter()
        .map(|(name, file)| (name.as_str(), file.mode, file.owner))
        .collect();
    assert_eq!(
        facts,
        [
            ("10_user_custom_mounts.yaml", 0o400, (0, 0)),
            ("90_custom.yaml", 0o600, (0, 0)),
            ("grubenv", 0o644, (0, 0)),
        ]
    );
    let text = |name: &str| String::from_utf8(files[name].bytes.clone()).unwrap();
    let document = text("90_custom.yaml");
    assert!(document.starts_with("#cloud-config\n"), "{document}");
    assert!(document.contains(TOKEN));
    let mounts = text("10_user_custom_mounts.yaml");
    assert!(mounts.contains("/eks-hybrid /etc/eks"), "{mounts}");
    assert_eq!(files["grubenv"].bytes.len(), 1024);
    assert_eq!(
        variables(&lab.at("oem/grubenv")),
        ["extra_cmdline=console=ttyS1", "saved_entry=registration"]
    );
}

/// What GRUB's own tool finds in an environment block.
fn variables(block: &Path) -> Vec<String> {
    let said = run(&Argv::new("grub-editenv").arg(block).arg("list"));
    let mut lines: Vec<String> = said.lines().map(ToOwned::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn both_slots_are_the_payload_and_grub_reads_the_kernel_in_them(lab: &Lab) {
    let disk = lab.disk();
    let out = lab.at("state");
    let files = Part::of(&disk, 5).files(&out);
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        [
            "cOS/active.img",
            "cOS/passive.img",
            "grub2/grub.cfg",
            "grub_oem_env",
        ]
    );
    let slot = lab.at("slot.img");
    run(&Argv::new("zstd")
        .args(["-q", "-d", "-o"])
        .arg(&slot)
        .arg(lab.payload().join(SLOT_NAME)));
    let slot = get(&slot);
    assert!(files["cOS/active.img"].bytes == slot, "active.img");
    assert!(files["cOS/passive.img"].bytes == slot, "passive.img");
    assert_eq!(
        variables(&out.join("grub_oem_env")),
        [
            "default_menu_entry=Shop till",
            "landfall_disk=3.0 GiB",
            "landfall_nonce=",
            "landfall_system=1.2.3",
            "landfall_turn=0000"
        ]
    );

    // GRUB's own drivers: GPT and ext4 of the disk, then ext4 of the head inside the file, as `loopback` does it.
    let active = lab.at("active-by-grub.img");
    grub_copies(&disk, "(loop0,gpt5)/cOS/active.img", &active);
    assert!(get(&active) == slot, "GRUB reads active.img differently");
    let kernel = lab.at("kernel-by-grub");
    grub_copies(&active, "(loop0)/boot/vmlinuz", &kernel);
    assert!(
        get(&kernel) == get(&lab.payload().join("boot/vmlinuz")),
        "GRUB reads the kernel differently"
    );
    let menu = lab.at("menu-by-grub");
    grub_copies(&disk, "(loop0,gpt5)/grub2/grub.cfg", &menu);
    assert_eq!(get(&menu), get(&lab.payload().join("boot/grub.cfg")));
}

fn grub_copies(image: &Path, from: &str, to: &Path) {
    run(&Argv::new("grub-fstest")
        .arg(image)
        .args(["cp", from])
        .arg(to));
}

fn recovery_holds_the_medium(lab: &Lab) {
    let files = Part::of(&lab.disk(), 4).files(&lab.at("recovery"));
    let below = |folder: &str| -> BTreeMap<String, Vec<u8>> {
        let inside = |(name, file): (&String, &File)| {
            let name = name.strip_prefix(folder)?;
            Some((name.to_owned(), file.bytes.clone()))
        };
        files.iter().filter_map(inside).collect()
    };
    let payload: BTreeMap<String, Vec<u8>> = tree(&lab.payload())
        .into_iter()
        .map(|(name, file)| (name, file.bytes))
        .collect();
    assert!(payload.contains_key(SLOT_NAME) && payload.contains_key(MANIFEST_NAME));
    let copied = below("landfall/payload/");
    assert_eq!(
        copied.keys().collect::<Vec<_>>(),
        payload.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &payload {
        assert!(copied[name] == *bytes, "{name}");
    }
    assert!(files["boot/kernel"].bytes == payload["boot/vmlinuz"]);
    assert!(files["boot/initrd"].bytes == payload["boot/initrd"]);
    let media: serde_json::Value =
        serde_json::from_slice(&files["landfall/media.json"].bytes).unwrap();
    let id = media["media_id"].as_str().unwrap();
    assert_eq!((media["format"].as_u64(), id.len()), (Some(1), 32));
    let config = String::from_utf8(files["landfall/media.cfg"].bytes.clone()).unwrap();
    assert_eq!(config, format!("set landfall_media={id}\n"));
}

fn the_log_is_kept(lab: &Lab) {
    let files = Part::of(&lab.disk(), 6).files(&lab.at("persistent"));
    let folder = ".state/var-log.bind/landfall";
    let log = &files[&format!("{folder}/install.log")];
    let text = String::from_utf8(log.bytes.clone()).unwrap();
    assert!(
        text.contains("Landfall") && text.contains("read back"),
        "{text}"
    );
    let report = &files[&format!("{folder}/install-report.json")];
    let report: serde_json::Value = serde_json::from_slice(&report.bytes).unwrap();
    // The ids in the report are those on the disk.
    let guid = sgdisk(&lab.disk(), 5);
    let guid = fact(&guid, "Partition unique GUID").to_lowercase();
    let state = &report["plan"]["layout"]["partitions"][4];
    assert_eq!(state["guid"].as_str(), Some(guid.as_str()));
    assert_eq!(
        report["plan"]["image_id"],
        lab.manifest().image_id.to_string()
    );
}

fn the_token_is_on_oem_and_nowhere_else(disk: &Path) {
    let (start, length) = extent(disk, 3);
    let places = find(disk, TOKEN);
    assert!(!places.is_empty(), "the search does not find what is there");
    let oem = start..start + length;
    assert!(places.iter().all(|at| oem.contains(at)), "{places:?}");
}

#[test]
fn root_events_tell_every_step_and_a_progress_that_only_grows() {
    let lab = Lab::with_tiny_payload();
    let (mut steps, mut last) = (Vec::new(), BTreeMap::<String, u64>::new());
    let finished = lab.install_through(&mut host::Linux, &lab.disk(), |event| match event {
        Event::Step { index, of, .. } => steps.push((*index, *of)),
        Event::Progress {
            what, done, total, ..
        } => {
            assert!(done <= total);
            let before = last.insert(what.clone(), *done);
            assert!(before.is_none_or(|before| before <= *done), "{what}");
        }
        _ => {}
    });
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    let of = steps.len();
    let wanted: Vec<_> = (1..=of).map(|index| (index, of)).collect();
    assert_eq!(steps, wanted);
    let manifest = lab.manifest();
    let all = 2 * manifest.raw_size + manifest.compressed_size();
    assert_eq!(last["slot images"], manifest.raw_size);
    assert_eq!(last["read back"], all);
    assert!(fs::metadata(lab.disk()).unwrap().len() == DISK);
}
