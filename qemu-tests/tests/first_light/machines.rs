//! Machines of other kinds, each from its medium to the registration screen: `just vm-all`.
//!
//! `main.rs` has BIOS with virtio, Secure Boot with AHCI, and `NVMe` with 4096-byte sectors from a USB stick.

use qemu_tests::machine::Nic;
use qemu_tests::{Bus, Firmware};

use crate::lab::{Lab, SOON, TO_SCREEN, root, wait_installed, wait_pairing, wait_screen};

#[test]
fn a_vsphere_like_machine_with_pvscsi_and_vmxnet3_gets_to_the_screen_under_uefi() {
    let lab = Lab::new("machine-vsphere");
    let mut vm = lab
        .machine()
        .firmware(Firmware::UefiPvScsi)
        .nic(Nic::Vmxnet3)
        .disk(lab.disk(16).on(Bus::PvScsi))
        .cdrom(lab.iso())
        .start()
        .unwrap();
    wait_installed(&mut vm, "reboot");
    let screen = wait_screen(&mut vm);
    assert_eq!(screen.text("edge_host_id"), lab.edge_host_id());
    // The installed system reports by the network adapter that such a machine has.
    wait_pairing(&mut vm, "waiting");
}

#[test]
fn a_generation_2_machine_with_nothing_but_scsi_gets_to_the_screen_under_secure_boot() {
    let lab = Lab::new("machine-generation-2");
    let mut vm = lab
        .machine()
        .firmware(Firmware::UefiSecureBoot)
        .disk(lab.disk(16).on(Bus::Scsi))
        .scsi_cdrom(lab.iso())
        .start()
        .unwrap();
    wait_installed(&mut vm, "reboot");
    let screen = wait_screen(&mut vm);
    assert_eq!(screen.text("edge_host_id"), lab.edge_host_id());
}

#[test]
fn a_bios_that_starts_no_gpt_gets_an_mbr_from_a_medium_that_stays_and_the_disk_starts_alone() {
    let mut lab = Lab::new("machine-mbr");
    lab.user_data.table = Some("mbr");
    let disk = lab.disk(16).on(Bus::Ahci);
    let machine = lab.machine();
    let mut vm = machine
        .clone()
        .cdrom(lab.iso())
        .disk(disk.clone())
        .start()
        .unwrap();
    wait_installed(&mut vm, "reboot");
    vm.wait_serial("Start the installed system", TO_SCREEN)
        .unwrap();
    wait_screen(&mut vm);
    vm.quit().unwrap();
    drop(vm);

    let mut vm = machine.disk(disk).start().unwrap();
    let screen = wait_screen(&mut vm);
    assert_eq!(screen.text("edge_host_id"), lab.edge_host_id());
    vm.wait_ssh(SOON).unwrap();
    let kind = "blkid --probe --match-tag PTTYPE --output value /dev/sda";
    assert_eq!(root(&mut vm, kind), "dos");
    assert_eq!(
        root(
            &mut vm,
            "systemctl list-units --failed --no-legend --plain && cat /run/landfall/lost 2>/dev/null || true"
        ),
        ""
    );
}
