//! A disk with sectors of 4096 bytes. No image file has them by itself, so the plan is told and the loop devices get
//! them.

use std::fs::{self, File};

use host::{Argv, Linux};
use installer::apply::{Tools, apply};
use installer::config::configure;
use installer::hooks::Hooks;
use installer::machine::{Disk, image_file};
use installer::payload::Payload;
use installer::plan::{Inputs, Plan, plan};
use partition::SectorSize;
use uuid::Uuid;

use crate::lab::{Lab, get};
use crate::readers::{Part, boot_sector, run};

fn planned(lab: &Lab, payload: &Payload) -> Plan {
    let text = get(&lab.at("user-data"));
    let user_data = userdata::parse("user-data", &text).user_data.unwrap();
    let config = configure(&user_data, "auto", &mut |_| String::new()).unwrap();
    let disk = Disk {
        sector: 4096,
        ..image_file(&lab.disk()).unwrap()
    };
    let inputs = Inputs {
        config: &config,
        disk: &disk,
        kept: None,
        payload,
        hooks: &Hooks::default(),
        media_id: "00112233445566778899aabbccddeeff",
        esp_stub: "# the stub\n",
        firmware: None,
        entries: None,
    };
    plan(&inputs, Uuid::new_v4).unwrap()
}

#[test]
fn root_fault_20_a_disk_with_sectors_of_4096_bytes_is_installed_and_boots_by_uefi_alone() {
    let lab = Lab::with_tiny_payload();
    let payload = Payload::open(&lab.payload()).unwrap();
    let plan = planned(&lab, &payload);
    let disk = File::options()
        .read(true)
        .write(true)
        .open(lab.disk())
        .unwrap();
    let work = lab.at("work");
    fs::create_dir_all(&work).unwrap();
    let tools = Tools {
        host: &mut Linux,
        payload: &payload,
        work: &work,
        disk: &disk,
    };
    apply(&plan, tools, &mut |_| (), &Vec::new).unwrap();

    let whole = Part::at(&lab.disk(), 0, None, Some(4096));
    let said = run(&Argv::new("sgdisk").arg("--verify").arg(&whole.node));
    assert!(said.contains("No problems found."), "{said}");
    let said = run(&Argv::new("sgdisk").arg("--print").arg(&whole.node));
    assert!(said.contains("4096"), "{said}");
    for partition in plan.layout.partitions() {
        let last = partition.last_lba(SectorSize::B4096).get().to_string();
        let row = said.lines().find(|line| {
            line.trim_start()
                .starts_with(&format!("{} ", partition.number))
        });
        let row = row.unwrap_or_else(|| panic!("{} in {said}", partition.name));
        assert!(
            row.contains(&last) && row.ends_with(&partition.name),
            "{row}"
        );
    }

    let part = |number: usize| {
        let found = &plan.layout.partitions()[number - 1];
        let (start, size) = (found.start.get(), found.size.get());
        Part::at(&lab.disk(), start, Some(size), Some(4096))
    };
    for number in 3..=6 {
        part(number).run("e2fsck", &["-f", "-n"]);
    }
    let esp = part(2);
    esp.run("fsck.vfat", &["-n"]);
    assert!(esp.mdir().contains(&"EFI/BOOT/BOOTX64.EFI".to_owned()));
    assert_eq!(esp.mtype("EFI/BOOT/grub.cfg"), "# the stub\n");
    // The active flag helps a BIOS, and here is nothing that one could start.
    let sector = boot_sector(&lab.disk());
    assert!(sector[..440].iter().all(|byte| *byte == 0));
    assert_eq!((sector[446], sector[450]), (0, 0xee));
}
