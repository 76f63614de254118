use image::manifest::FileEntry;
use partition::{SectorSize, Wanted};

use super::super::reset::tests::{extra, payload, table, texts, wanted};
use super::super::{Plan, plan};
use super::*;
use crate::bootloader::render_env;
use crate::config::{Config, configure};
use crate::hooks::Hooks;
use crate::machine::{Disk, image_file};
use crate::payload::Payload;

const GIB: u64 = 1 << 30;

fn config(more: &str) -> Config {
    let text = format!(
        "#cloud-config\nstylus: {{site: {{paletteEndpoint: a.example}}}}\ninstall:\n  poweroff: true\n{more}"
    );
    let parsed = userdata::parse("u", text.as_bytes());
    let user_data = parsed.user_data;
    let user_data = user_data.unwrap_or_else(|| panic!("{:#?}", parsed.findings));
    configure(&user_data, "auto", &mut |_| "!".to_owned()).unwrap()
}

fn disk() -> Disk {
    let file = tempfile::NamedTempFile::new().unwrap();
    Disk {
        path: "/dev/sda".into(),
        size: 8 * GIB,
        model: "Model".into(),
        serial: "S1".into(),
        ..image_file(file.path()).unwrap()
    }
}

/// A host that is part of a cluster, on a disk with one partition more.
fn kept() -> Kept {
    let wanted = Wanted {
        extra: vec![extra("data", Bytes::mib(300))],
        ..wanted()
    };
    let (_, layout) = table(&wanted, SectorSize::B512);
    let size = layout.partition(Role::Persistent).unwrap().size.get();
    let variables = [
        ("saved_entry", "cos"),
        ("extra_cmdline", "old"),
        ("mine", "1"),
    ];
    Kept {
        repair: false,
        layout,
        persistent: Some(Superblock {
            label: "COS_PERSISTENT".into(),
            size,
            errors: false,
            in_use: false,
        }),
        oem: Ok(Oem {
            grubenv: Some(render_env(variables).unwrap()),
            grub_options: vec![("extra_cmdline".into(), "old".into())],
            cluster_stages: true,
            custom_mounts: true,
            free: 40 << 20,
        }),
        kind: Some(Kind::Native),
        menu_title: Some("Till".into()),
        turn: Some("0307".into()),
    }
}

fn planned_with(kept: &Kept, config: &Config, payload: &Payload) -> Result<Plan> {
    let inputs = Inputs {
        config,
        disk: &disk(),
        kept: Some(kept),
        payload,
        media_id: "00ff",
        esp_stub: "stub",
        hooks: &Hooks::default(),
        firmware: None,
        entries: None,
    };
    let mut ids = (1..).map(Uuid::from_u128);
    plan(&inputs, || ids.next().unwrap())
}

fn planned(kept: &Kept, config: &Config) -> Plan {
    planned_with(kept, config, &payload()).unwrap()
}

fn block(plan: &Plan) -> Option<String> {
    plan.steps.iter().find_map(|step| match step {
        Step::WriteFile { to, content, .. } if to.path == "grubenv" => {
            let text = String::from_utf8(content.0.clone()).unwrap();
            let text = text.trim_end_matches('#').trim_end();
            Some(
                text.replace("# GRUB Environment Block\n", "")
                    .replace('\n', " "),
            )
        }
        _ => None,
    })
}

#[test]
fn keeping_the_data_writes_all_that_boots_and_the_operators_files_and_says_what_stays() {
    let plan = planned(&kept(), &config("  grub_options: {extra_options: new}\n"));
    insta::assert_snapshot!(plan.to_string());
    let json = serde_json::to_value(&plan).unwrap();
    let said = serde_json::json!({
        "destroys": json["destroys"],
        "keeps": json["keeps"],
        "first": json["steps"][0],
    });
    insta::assert_snapshot!(serde_json::to_string_pretty(&said).unwrap());
}

#[test]
fn a_repair_writes_all_that_boots_and_no_file_of_oem() {
    let kept = Kept {
        repair: true,
        ..kept()
    };
    let plan = planned(&kept, &config(""));
    insta::assert_snapshot!(plan.to_string());
    let title = plan.steps.iter().find_map(|step| match step {
        Step::WriteFile { to, content, .. } if to.path == "grub_oem_env" => {
            Some(String::from_utf8_lossy(&content.0).into_owned())
        }
        _ => None,
    });
    let block = title.unwrap();
    assert!(block.contains("default_menu_entry=Till\n"));
    // What tells the disk from a copy of it stays as well.
    assert!(block.contains("landfall_turn=0307\n"), "{block}");
}

/// Partitions that a step writes to, by their names.
fn written(plan: &Plan) -> BTreeSet<String> {
    let name = |number: &u32| {
        let all = plan.layout.partitions();
        all[usize::try_from(*number).unwrap() - 1].name.clone()
    };
    let mut found = BTreeSet::new();
    for step in &plan.steps {
        match step {
            Step::Wipe { .. } | Step::WriteTable => panic!("{step}"),
            Step::StopBooting { ranges, .. } => {
                for range in ranges {
                    let end = range.start.checked_add(range.size).unwrap();
                    let inside =
                        |part: &&Partition| part.start <= range.start && end <= part.end().unwrap();
                    let parts = plan.layout.partitions();
                    found.insert(parts.iter().find(inside).unwrap().name.clone());
                }
            }
            Step::MakeFilesystem { partition, .. }
            | Step::Mount { partition, .. }
            | Step::FillEsp { partition, .. }
            | Step::MakeBootable {
                partition: Some(partition),
                ..
            } => drop(found.insert(name(partition))),
            Step::EmbedBios { at, .. } => {
                let parts = plan.layout.partitions();
                found.insert(
                    parts
                        .iter()
                        .find(|part| part.start == *at)
                        .unwrap()
                        .name
                        .clone(),
                );
            }
            Step::WriteFile { to, .. } | Step::CopyFile { to, .. } | Step::KeepLog { to } => {
                found.insert(to.partition.to_owned());
            }
            _ => {}
        }
    }
    found
}

#[test]
fn whatever_is_found_no_step_opens_what_is_kept_and_the_last_one_makes_bootable() {
    for repair in [false, true] {
        for cluster_stages in [false, true] {
            for grubenv in [None, Some(vec![0; 1024])] {
                let mut kept = Kept { repair, ..kept() };
                kept.oem = Ok(Oem {
                    grubenv,
                    cluster_stages,
                    ..kept.oem.unwrap()
                });
                let plan = planned(&kept, &config(""));
                let expected = ["bios", "efi", "oem", "recovery", "state"];
                assert_eq!(written(&plan), expected.map(str::to_owned).into());
                assert!(matches!(plan.steps.first(), Some(Step::StopBooting { .. })));
                assert!(matches!(plan.steps.last(), Some(Step::MakeBootable { .. })));
            }
        }
    }
}

#[test]
fn the_environment_keeps_what_is_not_of_the_old_user_data_and_never_resets_the_host() {
    let with = |variables: &[(&str, &str)]| {
        let mut kept = kept();
        let block = render_env(variables.iter().copied()).unwrap();
        kept.oem.as_mut().unwrap().grubenv = Some(block);
        kept
    };
    let new = config("  grub_options: {extra_options: new}\n");
    let old = [
        ("saved_entry", "cos"),
        ("extra_cmdline", "old"),
        ("mine", "1"),
    ];
    assert_eq!(
        block(&planned(&with(&old), &new)).as_deref(),
        Some("saved_entry=cos mine=1 extra_options=new")
    );
    let reset = [("saved_entry", "cos"), ("next_entry", "statereset")];
    for repair in [false, true] {
        let kept = Kept {
            repair,
            ..with(&reset)
        };
        let block = block(&planned(&kept, &config("")));
        assert_eq!(block.as_deref(), Some("saved_entry=cos next_entry="));
    }
    // What is right is not written.
    let repair = Kept {
        repair: true,
        ..with(&old)
    };
    assert_eq!(block(&planned(&repair, &new)), None);
}

#[test]
fn without_an_environment_a_host_in_a_cluster_starts_its_system_and_another_registers() {
    for (cluster_stages, entry) in [(true, "cos"), (false, "registration")] {
        for repair in [false, true] {
            let mut kept = Kept { repair, ..kept() };
            let oem = kept.oem.as_mut().unwrap();
            oem.grubenv = None;
            oem.cluster_stages = cluster_stages;
            let said = block(&planned(&kept, &config(""))).unwrap();
            let old = if repair { "extra_cmdline=old " } else { "" };
            assert_eq!(said, format!("{old}saved_entry={entry}"));
        }
    }
}

#[test]
fn an_oem_partition_that_cannot_be_read_is_made_anew_for_new_user_data_and_refused_for_a_repair() {
    let mut kept = kept();
    kept.oem = Err("bad superblock".into());
    let plan = planned(&kept, &config(""));
    assert!(texts(&plan).contains(&"make file system ext4 on oem (COS_OEM)".to_owned()));
    let names: Vec<&str> = plan
        .keeps
        .iter()
        .map(|keeps| keeps.partition.as_str())
        .collect();
    assert_eq!(names, ["data", "persistent"]);
    assert!(
        plan.notes
            .concat()
            .contains("registration that was on it is lost: bad superblock")
    );
    assert_eq!(block(&plan).as_deref(), Some("saved_entry=registration"));
    kept.repair = true;
    let error = planned_with(&kept, &config(""), &payload()).unwrap_err();
    assert_eq!(crate::code::find(&error).unwrap().code, Code::NothingToKeep);
}

type Change = fn(&mut Kept, &mut Payload);

#[test]
fn what_cannot_end_well_is_refused_with_its_reason() {
    let cases: [(Change, &str); 9] = [
        (
            |kept, _| kept.persistent = None,
            "LF-K03: partition persistent has no ext4",
        ),
        (
            |kept, _| kept.persistent.as_mut().unwrap().label = "DATA".into(),
            "LF-K03: the file system on partition persistent has the label `DATA`, not COS_PERSISTENT",
        ),
        (
            |kept, _| kept.persistent.as_mut().unwrap().size += 1,
            "LF-K03: the file system on partition persistent is larger",
        ),
        (
            |kept, _| kept.kind = Some(Kind::Kairos),
            "LF-K04: the disk has an image of the kind Kairos, the medium one of the kind Native",
        ),
        (
            |_, payload| payload.manifest.raw_size = 700 << 20,
            "LF-K02: partition state has 2200 MiB, 2302 MiB are needed",
        ),
        (
            |_, payload| payload.manifest.chunks[0].compressed_len = 400 << 20,
            "LF-K02: partition recovery has 500 MiB, 568 MiB are needed",
        ),
        (
            |_, payload| set_size(payload, "boot/initrd", 200 << 20),
            "LF-K02: partition recovery has 500 MiB, 569 MiB are needed",
        ),
        (
            |_, payload| set_size(payload, "boot/grubx64.efi", 255 << 20),
            "LF-K02: the boot files need",
        ),
        (
            |kept, _| kept.oem.as_mut().unwrap().free = 1000,
            "LF-K02: partition oem has 1000 bytes free",
        ),
    ];
    for (change, said) in cases {
        let (mut kept, mut payload) = (kept(), payload());
        change(&mut kept, &mut payload);
        let error = planned_with(&kept, &config(""), &payload).unwrap_err();
        let text = crate::code::find(&error).unwrap().to_string();
        assert!(text.starts_with(said), "{text}");
    }
    let missing = config("  extra-partitions: [{name: more, size: 100}]\n");
    let error = planned_with(&kept(), &missing, &payload()).unwrap_err();
    let text = crate::code::find(&error).unwrap().to_string();
    assert!(
        text.starts_with("LF-K02: install.extra-partitions asks for more"),
        "{text}"
    );
    // What is there may be asked for again; a repair does not ask.
    planned(
        &kept(),
        &config("  extra-partitions: [{name: data, size: 300}]\n"),
    );
    let repair = Kept {
        repair: true,
        ..kept()
    };
    planned(&repair, &missing);
}

fn set_size(payload: &mut Payload, path: &str, size: u64) {
    let mut files = payload.manifest.files.iter_mut();
    let file: &mut FileEntry = files.find(|file| file.path == path).unwrap();
    file.size = size;
}

#[test]
fn damage_and_sizes_that_do_not_hold_are_told_and_no_obstacle() {
    let mut kept = kept();
    let superblock = kept.persistent.as_mut().unwrap();
    superblock.in_use = true;
    let sizes =
        config("  partitions: {state: {size: 9000}, oem: {size: 64}, persistent: {size: 0}}\n");
    let notes = planned(&kept, &sizes).notes;
    assert_eq!(
        notes,
        [
            "partition persistent was not unmounted; it is kept as it is",
            "partition state stays as it is, 2200 MiB instead of 9000 MiB",
        ]
    );
    kept.persistent.as_mut().unwrap().errors = true;
    assert!(planned(&kept, &sizes).notes[0].contains("has errors; it is kept as it is"));
    kept.kind = None;
    planned(&kept, &sizes);
}
