use super::tests::{planned_to, position, sound, texts};
use super::*;
use crate::bootloader::render_env;

/// What a repair finds on the disk of a host in a cluster, with an operator's stages and a reset that was asked for.
fn found() -> Found {
    let env = [
        ("saved_entry", "cos"),
        ("next_entry", "statereset"),
        ("mine", "1"),
    ];
    Found {
        grubenv: Some(render_env(env).unwrap()),
        cluster_stages: true,
        stages: vec!["after-reset", "after-reset-chroot", "before-reset"],
        ..sound()
    }
}

fn repair(found: &Found) -> Plan {
    planned_to(Depth::Repair, found).unwrap()
}

#[test]
fn a_repair_writes_what_boots_and_touches_neither_the_data_nor_the_operators_files() {
    let plan = repair(&found());
    insta::assert_snapshot!(texts(&plan).join("\n"));
    assert_eq!(texts(&repair(&sound())).len(), plan.steps.len() - 1);
    let keeps: Vec<String> = plan.keeps.iter().map(|one| one.partition.clone()).collect();
    assert_eq!(keeps, ["oem", "persistent"]);
}

#[test]
fn a_repair_of_a_disk_without_a_sound_esp_formats_the_esp_and_nothing_else() {
    let found = Found {
        esp_sound: false,
        bios: vec![1; 2048],
        boot_code: Vec::new(),
        ..found()
    };
    let formatted: Vec<String> = texts(&repair(&found))
        .into_iter()
        .filter(|text| text.starts_with("make file system"))
        .collect();
    assert_eq!(formatted, ["make file system vfat on efi (COS_GRUB)"]);
}

/// The environment block that a plan writes, without its padding.
fn block(plan: &Plan) -> String {
    let written = plan.steps.iter().find_map(|step| match step {
        Step::WriteFile { to, content, .. } if to.path == "grubenv" => Some(&content.0),
        _ => None,
    });
    let text = String::from_utf8_lossy(written.unwrap()).into_owned();
    text.trim_end_matches('#').to_owned()
}

#[test]
fn the_entry_of_the_host_stays_and_a_reset_that_was_asked_for_does_not_begin_after_all() {
    assert_eq!(
        block(&repair(&found())),
        "# GRUB Environment Block\nsaved_entry=cos\nnext_entry=\nmine=1\n"
    );
    let lost = Found {
        grubenv: None,
        grub_options: vec![("mine".into(), "2".into())],
        ..found()
    };
    assert_eq!(
        block(&repair(&lost)),
        "# GRUB Environment Block\nmine=2\nsaved_entry=cos\n"
    );
}

#[test]
fn a_repair_that_fails_never_says_that_data_is_lost_or_that_a_reset_begins() {
    let plan = repair(&Found {
        bios: Vec::new(),
        ..found()
    });
    let torn = position(&plan, "write GRUB for BIOS");
    for (index, text) in texts(&plan).iter().enumerate() {
        let left = aftermath(&plan.steps, index + 1);
        assert_eq!(left.starts, index != torn, "{text}: {left:?}");
        assert!(left.text.contains("The data is as it was."), "{left:?}");
        assert!(!left.text.contains("reset"), "{left:?}");
    }
}

#[test]
fn a_persistent_partition_that_holds_no_data_is_not_kept_but_refused() {
    let label = |label: &str| {
        sound().persistent.map(|superblock| Superblock {
            label: label.to_owned(),
            ..superblock
        })
    };
    for persistent in [None, label("OTHER")] {
        let found = Found {
            persistent,
            ..found()
        };
        let error = planned_to(Depth::Repair, &found).unwrap_err();
        let trouble = crate::code::find(&error).unwrap();
        assert_eq!(trouble.code, Code::NothingToKeep);
        assert!(planned_to(Depth::Reset, &found).is_ok(), "{trouble}");
    }
}
