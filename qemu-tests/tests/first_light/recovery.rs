//! A machine that is started from its recovery partition, and a person at its keyboard who repairs it, and then resets it.

use std::time::Duration;

use qemu_tests::{Vm, artifacts};

use crate::lab::{
    Lab, SOON, TO_INSTALLER, TO_SCREEN, root, try_root, type_word, wait_finished, wait_screen,
};

/// Two visits to the recovery system, and three starts of the installed one.
const SEVERAL_LIVES: Duration = Duration::from_mins(20);

const SLOTS: &str =
    "cd /run/initramfs/cos-state/cOS && sha256sum < active.img && sha256sum < passive.img";

/// Sets GRUB's entry for one start, as an operator from afar would, and restarts.
fn restart_into_recovery(vm: &mut Vm) {
    root(
        vm,
        "cd /oem && { printf \"# GRUB Environment Block\\nsaved_entry=registration\\nnext_entry=recovery\\n\"; \
         head -c 1024 /dev/zero | tr \"\\0\" \"#\"; } | head -c 1024 > /run/block && cat /run/block > grubenv && sync",
    );
    try_root(vm, "systemctl --no-block reboot");
    vm.wait_event("recovery", TO_INSTALLER, |event| {
        event.is("started", "program", "recovery")
    })
    .unwrap();
    vm.wait_serial("2  Repair: write both systems again", SOON)
        .unwrap();
}

/// Waits for the end of what was chosen, and for the system that starts after it.
fn wait_again(vm: &mut Vm, program: &str) {
    vm.wait_event(program, SOON, |event| {
        event.is("started", "program", program)
    })
    .unwrap();
    let finished = wait_finished(vm);
    assert_eq!(
        (finished.text("result"), finished.text("next")),
        ("installed", "reboot"),
        "{finished}"
    );
    wait_screen(vm);
    vm.wait_ssh(TO_SCREEN).unwrap();
}

#[test]
fn from_the_recovery_menu_a_repair_keeps_the_data_of_a_system_that_rotted_and_a_reset_erases_it() {
    let lab = Lab::new("recovery");
    let disk = lab.disk(16);
    artifacts::install_image(&lab.user_data.to_string(), disk.path()).unwrap();
    let mut vm = lab
        .machine()
        .limit(SEVERAL_LIVES)
        .disk(disk)
        .start()
        .unwrap();
    wait_screen(&mut vm);
    vm.wait_ssh(SOON).unwrap();
    let slots = root(&mut vm, SLOTS);
    let host_key = root(&mut vm, "cat /etc/ssh/ssh_host_ed25519_key.pub");
    root(
        &mut vm,
        "echo kept > /usr/local/landfall-test && cd /run/initramfs/cos-state && mount -o remount,rw . && \
         printf rotten | dd of=cOS/passive.img bs=1M seek=100 conv=notrunc status=none && sync && mount -o remount,ro .",
    );
    assert_ne!(root(&mut vm, SLOTS), slots);

    restart_into_recovery(&mut vm);
    vm.screenshot("1-menu").unwrap();
    vm.press(&["2"]).unwrap();
    vm.wait_serial("Write both systems again and keep all data?", SOON)
        .unwrap();
    vm.screenshot("2-repair").unwrap();
    vm.press(&["ret"]).unwrap();
    wait_again(&mut vm, "repair");
    assert_eq!(root(&mut vm, "cat /usr/local/landfall-test"), "kept");
    assert_eq!(root(&mut vm, SLOTS), slots);
    assert_eq!(
        root(&mut vm, "cat /etc/ssh/ssh_host_ed25519_key.pub"),
        host_key
    );
    let log = root(
        &mut vm,
        "cat /run/initramfs/cos-state/landfall/log/repair.log",
    );
    assert!(log.contains("cOS/passive.img"), "{log}");

    restart_into_recovery(&mut vm);
    vm.press(&["3"]).unwrap();
    vm.wait_serial("All data on the persistent partition will be lost", SOON)
        .unwrap();
    type_word(&mut vm, "RESET");
    wait_again(&mut vm, "reset");
    root(
        &mut vm,
        "test ! -e /usr/local/landfall-test && test -s /var/log/landfall/reset.log",
    );
    assert_eq!(root(&mut vm, SLOTS), slots);
    assert_ne!(
        root(&mut vm, "cat /etc/ssh/ssh_host_ed25519_key.pub"),
        host_key
    );
}
