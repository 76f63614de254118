//! Machines of other kinds, each from its medium to the registration screen: `just vm-all`.
//!
//! `main.rs` has BIOS with virtio, Secure Boot with AHCI, and `NVMe` with 4096-byte sectors from a USB stick.

use qemu_tests::machine::Nic;
use qemu_tests::user_data::Ending;
use qemu_tests::{Bus, Exit, Firmware};

use crate::lab::{Lab, SOON, wait_installed, wait_screen};

#[test]
fn a_vsphere_like_machine_with_pvscsi_and_vmxnet3_is_installed_under_uefi_and_starts_under_bios() {
    let mut lab = Lab::new("machine-vsphere");
    lab.user_data.ending = Ending::PowerOff;
    let disk = lab.disk(16).on(Bus::PvScsi);
    let machine = lab.machine().nic(Nic::Vmxnet3).disk(disk);
    let mut vm = machine
        .clone()
        .firmware(Firmware::Uefi)
        .cdrom(lab.iso())
        .start()
        .unwrap();
    wait_installed(&mut vm, "poweroff");
    assert_eq!(vm.wait_exit(SOON).unwrap(), Exit::PowerOff);
    drop(vm);
    // Debian's OVMF has no driver for pvscsi and offers such a disk no boot entry; SeaBIOS has one. That of vSphere boots it.
    let mut vm = machine.firmware(Firmware::Bios).start().unwrap();
    let screen = wait_screen(&mut vm);
    assert_eq!(screen.text("edge_host_id"), lab.edge_host_id());
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
