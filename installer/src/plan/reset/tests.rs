use std::path::PathBuf;

use image::manifest::{CHUNK_SIZE, Chunk};
use image::{Digest, ImageId, Kind, Manifest};
use partition::{Bytes, Extra, Filesystem, Geometry, SectorSize, Wanted, read_back, write_gpt};

use super::*;
use crate::machine::image_file;

const GIB: u64 = 1 << 30;

/// The table that an install leaves for this wish.
pub(in crate::plan) fn table(wanted: &Wanted, sector: SectorSize) -> (ReadTable, Layout) {
    let geometry = Geometry {
        size: Bytes::new(8 * GIB),
        sector,
    };
    let mut next = 1;
    let layout = wanted
        .layout(geometry, || {
            next += 1;
            Uuid::from_u128(next)
        })
        .unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.set_len(8 * GIB).unwrap();
    write_gpt(&layout, &mut file, None).unwrap();
    (read_back(&mut file, sector).unwrap(), layout)
}

pub(in crate::plan) fn wanted() -> Wanted {
    Wanted::new(Bytes::new(400 << 20), Bytes::new(150 << 20))
}

pub(in crate::plan) fn extra(name: &str, size: Bytes) -> Extra {
    Extra {
        name: name.to_owned(),
        size,
        filesystem: Filesystem::Ext4,
        label: None,
    }
}

#[test]
fn a_table_that_landfall_did_not_make_is_refused() {
    let (mut table, _) = table(&wanted(), SectorSize::B512);
    table.partitions[4].name = "root".into();
    let trouble = crate::code::find(&layout_of(&table).unwrap_err())
        .unwrap()
        .clone();
    assert_eq!(trouble.code, Code::RecoveryDisk);
    assert!(
        trouble.reason.contains("there is no partition state"),
        "{trouble}"
    );
}

pub(in crate::plan) fn payload() -> Payload {
    let mut boot = vec![0x90; 512];
    boot[0x66..0x68].copy_from_slice(&[0xeb, 0x05]);
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut core = vec![0x91; 1024];
    core[510..512].copy_from_slice(&0x0820_u16.to_le_bytes());
    let digest = Digest::of(b"");
    let files = crate::payload::BOOT_FILES.map(|path| image::manifest::FileEntry {
        path: path.to_owned(),
        size: 0,
        blake3: digest,
    });
    Payload {
        folder: PathBuf::from("/payload"),
        manifest: Manifest {
            format: Manifest::FORMAT,
            image_id: ImageId::from_digest(&digest),
            kind: Kind::Native,
            version: "7".into(),
            build: String::new(),
            kernel_version: String::new(),
            raw_size: 1,
            raw_blake3: digest,
            chunk_size: CHUNK_SIZE,
            chunks: vec![Chunk {
                offset_in_zst: 0,
                compressed_len: 1,
                raw_len: 1,
                blake3: digest,
            }],
            files: files.to_vec(),
        },
        bios_boot: boot,
        bios_core_mbr: Some(core.clone()),
        bios_core: core,
    }
}

fn planned(found: &Found) -> Plan {
    planned_to(Depth::Reset, found).unwrap()
}

pub(super) fn planned_to(depth: Depth, found: &Found) -> Result<Plan> {
    let (_, layout) = table(&wanted(), SectorSize::B512);
    let file = tempfile::NamedTempFile::new().unwrap();
    let disk = image_file(file.path()).unwrap();
    let inputs = ResetInputs {
        depth,
        disk: &disk,
        layout: &layout,
        payload: &payload(),
        found,
        esp_stub: "stub",
        firmware: None,
    };
    plan(&inputs, || Uuid::from_u128(77))
}

/// What a reset finds on a disk where nothing is wrong.
pub(super) fn sound() -> Found {
    let (_, layout) = table(&wanted(), SectorSize::B512);
    let disk = image_file(tempfile::NamedTempFile::new().unwrap().path()).unwrap();
    let bios = bios_boot(&disk, &payload(), &layout).unwrap().unwrap();
    Found {
        grubenv: Some(
            render_env([("saved_entry", "registration"), ("extra_cmdline", "a")]).unwrap(),
        ),
        grub_oem_env: Some(render_env([("default_menu_entry", "Till")]).unwrap()),
        persistent: Some(Superblock {
            label: "COS_PERSISTENT".into(),
            size: 1,
            errors: false,
            in_use: false,
        }),
        esp_sound: true,
        bios: bios.core.clone(),
        boot_code: bios.boot_code.to_vec(),
        active: true,
        ..Found::default()
    }
}

pub(in crate::plan) fn texts(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

#[test]
fn a_sound_disk_gets_slots_first_boot_files_then_and_loses_its_data_last() {
    assert_eq!(
        texts(&planned(&sound())),
        [
            "mount state",
            "write state:/cOS/transition.img",
            "read back and verify the images",
            "put state:/cOS/transition.img in the place of state:/cOS/active.img",
            "unmount and sync",
            "mount state",
            "write state:/cOS/transition.img",
            "read back and verify the images",
            "put state:/cOS/transition.img in the place of state:/cOS/passive.img",
            "unmount and sync",
            "mount state",
            "mount oem",
            "copy boot/grub.cfg to state:/grub2/grub.cfg",
            "unmount and sync",
            "fill the EFI system partition",
            "put the new files in place on the ESP",
            "mount oem",
            "make an interrupted reset start again by itself (oem:/grubenv)",
            "make file system ext4 on persistent (COS_PERSISTENT)",
            "mount persistent",
            "keep the log in persistent:/.state/var-log.bind/landfall",
            "let the machine start into the new system (oem:/grubenv)",
            "unmount and sync",
        ]
    );
}

#[test]
fn the_operators_stages_come_before_the_first_write_and_when_the_data_is_new() {
    let found = Found {
        stages: vec!["after-reset", "after-reset-chroot", "before-reset"],
        ..sound()
    };
    let texts = texts(&planned(&found));
    assert_eq!(
        texts[..5],
        [
            "mount oem",
            "mount state",
            "run the stage before-reset",
            "unmount and sync",
            "mount state",
        ]
    );
    let persistent = texts
        .iter()
        .position(|text| text == "mount persistent")
        .unwrap();
    assert_eq!(
        texts[persistent + 1..],
        [
            "mount state",
            "run the stage after-reset-chroot in the new system",
            "run the stage after-reset",
            "keep the log in persistent:/.state/var-log.bind/landfall",
            "let the machine start into the new system (oem:/grubenv)",
            "unmount and sync",
        ]
    );
}

#[test]
fn what_is_missing_or_damaged_beside_the_slots_is_made_anew_and_nothing_else_is_formatted() {
    let found = Found {
        grubenv: Some(vec![0; 1024]),
        grub_oem_env: None,
        cluster_stages: true,
        persistent: None,
        esp_sound: false,
        bios: vec![1; 2048],
        boot_code: Vec::new(),
        active: false,
        grub_options: vec![("extra_cmdline".into(), "b".into())],
        menu_title: Some("Till".into()),
        stages: Vec::new(),
    };
    let plan = planned(&found);
    let texts = texts(&plan);
    for expected in [
        "write state:/grub_oem_env",
        "write oem:/grubenv",
        "remove oem:/80_stylus.yaml",
        "write GRUB for BIOS",
        "write the boot sector",
        "make file system vfat on efi (COS_GRUB)",
    ] {
        assert!(texts.iter().any(|text| text == expected), "no {expected:?}");
    }
    let formatted = texts.iter().filter(|text| text.starts_with("make file"));
    assert_eq!(formatted.count(), 2, "{texts:?}");
    assert_eq!(
        env_written(&plan),
        render_env([("extra_cmdline", "b"), ("saved_entry", "registration")]).unwrap()
    );
}

fn env_written(plan: &Plan) -> Vec<u8> {
    plan.steps
        .iter()
        .find_map(|step| match step {
            Step::WriteFile { to, content, .. } if to.path == "grubenv" => Some(content.0.clone()),
            _ => None,
        })
        .expect("the environment is written")
}

/// What the environment is while the data is erased, and in the end.
fn overwritten(plan: &Plan) -> Vec<Vec<u8>> {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::Overwrite { content, .. } => Some(content.0.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn the_environment_of_the_operator_stays_byte_for_byte_and_is_marked_only_in_between() {
    let found = sound();
    let [marked, after] = overwritten(&planned(&found)).try_into().unwrap();
    assert_eq!(Some(after), found.grubenv);
    let marked = env::parse(&marked).unwrap();
    assert_eq!(env::value(&marked, "next_entry"), "statereset");
    assert_eq!(env::value(&marked, "extra_cmdline"), "a");
}

#[test]
fn a_host_of_a_cluster_registers_again_and_a_mark_that_was_left_is_taken_away() {
    let block = render_env([
        ("saved_entry", "cos"),
        ("next_entry", "statereset"),
        ("extra_cmdline", "a"),
    ]);
    let found = Found {
        grubenv: Some(block.unwrap()),
        ..sound()
    };
    let plan = planned(&found);
    let kept = env::parse(&env_written(&plan)).unwrap();
    assert_eq!(env::value(&kept, "saved_entry"), "registration");
    assert_eq!(env::value(&kept, "next_entry"), "");
    assert_eq!(env::value(&kept, "extra_cmdline"), "a");
    assert_eq!(
        overwritten(&plan).last(),
        Some(&env_written(&plan)),
        "the last word is the same"
    );
}

#[test]
fn a_full_environment_is_kept_and_the_reset_goes_without_a_mark() {
    let long = "x".repeat(1024 - 25 - 25 - 11 - 5);
    let block = render_env([("saved_entry", "registration"), ("long", long.as_str())]).unwrap();
    let found = Found {
        grubenv: Some(block),
        ..sound()
    };
    let plan = planned(&found);
    assert_eq!(overwritten(&plan), Vec::<Vec<u8>>::new());
    let wipe = position(&plan, "make file system ext4 on persistent");
    let left = aftermath(&plan.steps, wipe + 1);
    assert!(!left.starts, "{left:?}");
    assert!(left.text.contains("menu entry"), "{left:?}");
}

pub(super) fn position(plan: &Plan, start: &str) -> usize {
    texts(plan)
        .iter()
        .position(|text| text.starts_with(start))
        .unwrap_or_else(|| panic!("no step {start:?}"))
}

#[test]
fn a_failure_says_for_every_step_whether_the_machine_starts() {
    let found = Found {
        bios: Vec::new(),
        boot_code: Vec::new(),
        active: false,
        ..sound()
    };
    let plan = planned(&found);
    let mark = position(&plan, "make an interrupted");
    let clear = position(&plan, "let the machine");
    let (core, sector) = (
        position(&plan, "write GRUB"),
        position(&plan, "write the boot sector"),
    );
    for (index, text) in texts(&plan).iter().enumerate() {
        let left = aftermath(&plan.steps, index + 1);
        let torn = index == core || index == sector;
        let starts = !torn && !(mark..=clear).contains(&index);
        assert_eq!(left.starts, starts, "{text}: {left:?}");
        assert_eq!(
            left.text.contains("data was erased"),
            index > mark,
            "{text}: {left:?}"
        );
    }
}

#[test]
fn a_failure_names_the_systems_that_are_new() {
    let plan = planned(&sound());
    let active = position(
        &plan,
        "put state:/cOS/transition.img in the place of state:/cOS/active",
    );
    let passive = position(
        &plan,
        "put state:/cOS/transition.img in the place of state:/cOS/passive",
    );
    for (begun, said) in [
        (0, "Both systems are as they were."),
        (active, "Both systems are as they were."),
        (
            passive,
            "The active system is new, the fallback is as it was.",
        ),
        (passive + 2, "Both systems are new."),
    ] {
        let text = aftermath(&plan.steps, begun).text;
        assert!(text.starts_with(said), "{begun}: {text}");
    }
}
