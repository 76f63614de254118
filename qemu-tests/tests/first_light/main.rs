//! The whole way on real firmware, kernel, GRUB and systemd: ISO, disk, reboot, screen, paired.
//!
//! `cargo nextest run -p qemu-tests --profile vm`. Needs the binary and the payload of `./just build`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests; clippy knows only the tests themselves"
)]

mod choosing;
mod documents;
mod lab;
mod loops;
mod machines;
mod neighbours;
mod nvram;
mod recovery;
mod refusals;
mod stages;
mod timeline;
mod twins;

use std::fs;

use lab::{Lab, SOON, TO_SCREEN, root, try_root, wait_installed, wait_pairing, wait_screen};
use qemu_tests::user_data::{BIND_MOUNTS, Ending, STAGE_COMMAND_FILE, STAGE_FILE};
use qemu_tests::{Bus, Exit, Firmware, Vm};
use serde_json::json;

#[test]
fn bios_and_cd_make_a_host_that_pairs_when_added_and_keeps_what_it_must_over_a_reboot() {
    let lab = Lab::new("first-light-bios");
    let mut vm = lab
        .machine()
        .disk(lab.disk(16))
        .cdrom(lab.iso())
        .start()
        .unwrap();
    wait_installed(&mut vm, "reboot");

    // One machine: the empty disk fell through to the CD, the installed one boots by itself.
    let screen = wait_screen(&mut vm);
    assert_eq!(screen.text("edge_host_id"), lab.edge_host_id());
    let url = lab.user_data.registration_url.clone().unwrap();
    assert_eq!(
        screen.text("qr_text"),
        format!("{url}?appliance-id={}", lab.edge_host_id())
    );
    let (text, _) = vm.wait_qr("registration", SOON).unwrap();
    assert_eq!(text, screen.text("qr_text"));

    wait_pairing(&mut vm, "waiting");
    assert_eq!(lab.record(), None);
    lab.sim.add_host(&lab.edge_host_id()).unwrap();
    wait_pairing(&mut vm, "healthy");
    assert_eq!(lab.state_and_health(), json!(["ready", "healthy"]));

    vm.wait_ssh(SOON).unwrap();
    check_the_system(&mut vm);
    let identity = identity(&mut vm);
    for mount in BIND_MOUNTS {
        root(
            &mut vm,
            &format!("echo kept in {mount} > {mount}/landfall-test && sync"),
        );
    }

    // The connection may or may not survive the reboot that it asked for.
    try_root(&mut vm, "systemctl --no-block reboot");
    assert_eq!(
        wait_screen(&mut vm).text("edge_host_id"),
        lab.edge_host_id()
    );
    vm.wait_ssh(TO_SCREEN).unwrap();
    for mount in BIND_MOUNTS {
        assert_eq!(
            root(&mut vm, &format!("cat {mount}/landfall-test")),
            format!("kept in {mount}")
        );
    }
    assert_eq!(self::identity(&mut vm), identity);
    check_the_system(&mut vm);
    wait_pairing(&mut vm, "healthy");
    assert_eq!(vm.unreadable_events(), [""; 0]);
}

/// What must be true after every boot, seen from inside.
fn check_the_system(vm: &mut Vm) {
    let (status, _, errors) = try_root(vm, "touch /landfall-test");
    assert_ne!(status, Some(0));
    assert!(errors.contains("Read-only file system"), "{errors}");
    let options = root(vm, "findmnt --noheadings --output OPTIONS /");
    assert!(options.split(',').any(|option| option == "ro"), "{options}");

    for mount in BIND_MOUNTS {
        let source = root(vm, &format!("findmnt --noheadings --output SOURCE {mount}"));
        let place = format!(
            "/.state/{}.bind]",
            mount.trim_start_matches('/').replace('/', "-")
        );
        assert!(source.ends_with(&place), "{mount} comes from {source}");
    }

    for (path, content) in [STAGE_FILE, STAGE_COMMAND_FILE] {
        assert_eq!(root(vm, &format!("cat {path}")), content);
    }
    assert_eq!(
        root(vm, &format!("stat --format '%a %U:%G' {}", STAGE_FILE.0)),
        "640 root:root"
    );
    assert_eq!(
        root(
            vm,
            "id --user --name kairos && id --groups --name kairos | grep --word-regexp --only-matching sudo"
        ),
        "kairos\nsudo"
    );

    assert_eq!(root(vm, "stat --format %a /oem/90_custom.yaml"), "600");
    assert_eq!(
        root(vm, "stat --format %a /oem/10_user_custom_mounts.yaml"),
        "400"
    );
    // The exit status of grep tells; the password must not be on a command line that a log could keep.
    let custom = root(vm, "cat /oem/90_custom.yaml");
    assert!(
        custom.contains("passwd:") && !custom.contains(lab::PASSWORD),
        "{custom}"
    );

    let report = root(vm, "cat /var/log/landfall/install-report.json");
    assert!(
        serde_json::from_str::<serde_json::Value>(&report).is_ok(),
        "{report}"
    );
    assert_ne!(root(vm, "cat /var/log/landfall/install.log"), "");

    // Under emulation a boot is not over when the first login works.
    let state = try_root(vm, "timeout 100 systemctl is-system-running --wait").1;
    assert_eq!(
        root(vm, "systemctl list-units --failed --no-legend --plain"),
        "",
        "the system is {state}"
    );
}

/// What another machine would not have, and the same machine must keep.
fn identity(vm: &mut Vm) -> String {
    let identity = root(
        vm,
        "cat /etc/machine-id && cat /etc/ssh/ssh_host_ed25519_key.pub",
    );
    let machine_id = identity.lines().next().unwrap_or_default();
    assert!(
        machine_id.len() == 32 && machine_id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{identity}"
    );
    identity
}

#[test]
fn secure_boot_and_a_usb_stick_make_a_host_that_pairs_by_its_token_after_power_off() {
    let mut lab = Lab::new("first-light-secure");
    lab.user_data.token = Some(lab::TOKEN.to_owned());
    lab.user_data.ending = Ending::PowerOff;
    let disk = lab.disk(16).on(Bus::Ahci);
    let machine = lab
        .machine()
        .firmware(Firmware::UefiSecureBoot)
        .disk(disk.clone());

    let mut vm = machine.clone().usb_stick(lab.iso()).start().unwrap();
    wait_installed(&mut vm, "poweroff");
    assert_eq!(vm.wait_exit(SOON).unwrap(), Exit::PowerOff);
    assert_eq!(lab.record(), None, "an installer pairs nothing");
    drop(vm);

    // Without the stick, and with a firmware that has never seen the disk.
    let mut vm = machine.start().unwrap();
    assert_eq!(
        wait_screen(&mut vm).text("edge_host_id"),
        lab.edge_host_id()
    );
    wait_pairing(&mut vm, "healthy");
    assert_eq!(lab.state_and_health(), json!(["ready", "healthy"]));
    vm.wait_ssh(SOON).unwrap();
    assert!(root(&mut vm, "cat /sys/kernel/security/lockdown").contains("[integrity]"));
    // In two pieces: sudo writes its command line into the journal that is searched.
    let (start, end) = lab::TOKEN.split_at(8);
    let search = format!("journalctl --boot | grep --count {start}\"\"{end}");
    let secrets = try_root(&mut vm, &search).1;
    assert_eq!(secrets, "0", "the token is in the journal");
    assert!(
        !vm.serial().contains(lab::TOKEN),
        "the token is on the console"
    );
}

#[test]
fn without_reboot_and_poweroff_the_machine_stays_and_says_that_it_is_done() {
    let mut lab = Lab::new("first-light-stay");
    lab.user_data.ending = Ending::Stay;
    lab.user_data.token = Some(lab::TOKEN.to_owned());
    let disk = lab.disk(16).on(Bus::Nvme).with_sector_size(4096);
    let mut vm = lab
        .machine()
        .firmware(Firmware::Uefi)
        .disk(disk)
        .usb_stick(lab.iso())
        .start()
        .unwrap();
    let resets = vm.resets();
    wait_installed(&mut vm, "wait");
    vm.wait_serial("Installed in", SOON).unwrap();
    let picture = vm.screenshot("installed").unwrap();
    assert!(
        fs::metadata(picture).unwrap().len() > 1000,
        "an empty screen"
    );
    assert_eq!((vm.exit().unwrap(), vm.resets()), (None, resets));

    // The operator presses the button when it suits.
    vm.reset().unwrap();
    wait_screen(&mut vm);
    wait_pairing(&mut vm, "healthy");
}
