//! The table of a disk, and what of it the firmware decides.

use installer::code;
use installer::hooks::Hooks;
use installer::machine::{Disk, Firmware};
use installer::plan::{Inputs, Plan, Step, fits, plan};

use crate::fixtures::{config, counting, machine, payload};

/// A plan for a machine that was started by this firmware.
fn planned_by(firmware: Option<Firmware>, user_data: &str) -> anyhow::Result<Plan> {
    let user_data = userdata::parse("u", user_data.as_bytes());
    let config = config(&user_data.user_data.unwrap(), "auto").unwrap();
    let machine = machine("bios-virtio");
    let inputs = Inputs {
        config: &config,
        disk: &machine.disks[0],
        kept: None,
        payload: &payload(),
        hooks: &Hooks::default(),
        media_id: "ffeeddccbbaa99887766554433221100",
        esp_stub: "# the stub\n",
        firmware,
        entries: None,
    };
    plan(&inputs, counting())
}

const MBR: &str = "#cloud-config\nlandfall: {table: mbr}\n";

#[test]
fn an_mbr_has_four_partitions_and_neither_esp_nor_boot_entry() {
    let plan = planned_by(Some(Firmware::Bios), MBR).unwrap();
    insta::assert_snapshot!(plan);
    let json = serde_json::to_value(&plan).unwrap();
    let last = json["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["step"], "make-bootable");
    assert!(last.get("partition").is_none(), "{last}");
    // An image file may go into a machine with a BIOS.
    assert!(planned_by(None, MBR).is_ok());
}

#[test]
fn an_mbr_is_refused_on_a_machine_that_was_started_by_uefi() {
    let error = planned_by(Some(Firmware::Uefi), MBR).unwrap_err();
    let trouble = code::find(&error).unwrap();
    assert_eq!(trouble.code.as_str(), "LF-D08", "{trouble}");
    assert!(trouble.reason.contains("started by UEFI"), "{trouble}");
}

#[test]
fn a_disk_that_can_have_no_mbr_does_not_stand_beside_one_that_can() {
    let user_data = userdata::parse("u", MBR.as_bytes()).user_data.unwrap();
    let config = config(&user_data, "auto").unwrap();
    let payload = payload();
    let fitting = machine("bios-virtio").disks.remove(0);
    let large = Disk {
        size: 4 << 40,
        ..fitting.clone()
    };
    let native = Disk {
        sector: 4096,
        ..fitting.clone()
    };
    assert!(fits(&config, &fitting, &payload).is_ok());
    for disk in [large, native] {
        let trouble = fits(&config, &disk, &payload).unwrap_err();
        assert_eq!(trouble.code.as_str(), "LF-D08");
        assert!(trouble.reason.starts_with(&disk.to_string()), "{trouble}");
    }
}

#[test]
fn the_protective_entry_is_active_for_a_bios_and_as_its_specification_wants_it_for_uefi() {
    for (firmware, expected) in [
        (Some(Firmware::Bios), true),
        (Some(Firmware::Uefi), false),
        (None, true),
    ] {
        let plan = planned_by(firmware, "#cloud-config\ninstall: {}\n").unwrap();
        let Some(Step::MakeBootable { active, .. }) = plan.steps.last() else {
            panic!("{plan}");
        };
        assert_eq!(*active, expected, "{firmware:?}");
    }
}
