//! Stages of the user-data on a system that runs: what they do to real devices, and how they get along with each other.

use qemu_tests::artifacts;
use qemu_tests::machine::{NIC_NAME, Nic};
use serde_json::Value;

use crate::lab::{Lab, SOON, TO_SCREEN, root, try_root, wait_screen};

/// A file that the second of two stage files writes.
const SECOND: &str = "/etc/landfall-second";

/// The step that Palette's guide for EKS hybrid nodes gives for VMXNET3, with the name of a port.
fn vmxnet3_step(port: &str) -> String {
    format!(
        "- name: \"Disable UDP segmentation\"
  commands:
    - ethtool --offload {port} tx-udp_tnl-segmentation off
    - ethtool --offload {port} tx-udp_tnl-csum-segmentation off
"
    )
}

/// The state of an offload of a port: `on`, `off`, `off [fixed]`.
fn offload(vm: &mut qemu_tests::Vm, port: &str, name: &str) -> String {
    let all = root(vm, &format!("ethtool --show-offload {port}"));
    let line = all
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("{port} has no {name}: {all}"))
        .to_owned()
}

#[test]
fn the_vmxnet3_stage_changes_a_real_port_and_a_broken_stage_file_disables_no_other() {
    let mut lab = Lab::new("stages");
    // The emulated adapter is the first version, which has no UDP tunnel offloads to switch off. So the step runs
    // on it as it is; another offload shows that the port is there under its name at that time; and a second port, of a
    // driver that has the two offloads, shows that they end.
    lab.user_data.more_steps = format!(
        "{vmxnet3}- name: an offload that this adapter has
  commands:
    - ethtool --offload {NIC_NAME} tx-tcp-segmentation off
- name: ports with tunnels
  commands:
    - modprobe dummy numdummies=0
    - ip link add tunnels0 type dummy
    - ip link add tunnels1 type dummy
{tunnels}",
        vmxnet3 = vmxnet3_step(NIC_NAME),
        tunnels = vmxnet3_step("tunnels0"),
    );
    let disk = lab.disk(16);
    artifacts::install_image(&lab.user_data.to_string(), disk.path()).unwrap();
    let mut vm = lab.machine().nic(Nic::Vmxnet3).disk(disk).start().unwrap();
    wait_screen(&mut vm);
    vm.wait_ssh(SOON).unwrap();
    let driver = root(&mut vm, &format!("ethtool --driver {NIC_NAME}"));
    assert!(driver.contains("driver: vmxnet3"), "{driver}");
    assert_eq!(offload(&mut vm, NIC_NAME, "tx-tcp-segmentation"), "off");
    for name in ["tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"] {
        assert_eq!(offload(&mut vm, "tunnels0", name), "off", "{name}");
        assert_eq!(offload(&mut vm, "tunnels1", name), "on", "{name}");
    }

    // A second and a third stage file, of which the first in order is broken.
    root(
        &mut vm,
        &format!(
            "printf 'stages:\\n  initramfs:\\n  - {{ commands: [\\n' > /oem/20_broken.yaml && \
             printf 'stages:\\n  initramfs:\\n  - name: after the broken one\\n    commands:\\n    - echo ran > {SECOND}\\n' \
             > /oem/95_second.yaml && sync"
        ),
    );
    try_root(&mut vm, "systemctl --no-block reboot");
    wait_screen(&mut vm);
    vm.wait_ssh(TO_SCREEN).unwrap();
    assert_eq!(root(&mut vm, &format!("cat {SECOND}")), "ran");
    // The neighbours in /oem ran as before.
    assert_eq!(
        offload(&mut vm, "tunnels0", "tx-udp_tnl-segmentation"),
        "off"
    );
    let report = root(&mut vm, "cat /run/landfall/stages.json");
    assert!(failed_file(&report, "/oem/20_broken.yaml"), "{report}");
}

/// Whether some stage says that this file failed.
fn failed_file(report: &str, file: &str) -> bool {
    fn search(value: &Value, file: &str) -> bool {
        match value {
            Value::Object(map) => {
                (map.get("file").and_then(Value::as_str) == Some(file)
                    && map.get("error").is_some_and(Value::is_string))
                    || map.values().any(|value| search(value, file))
            }
            Value::Array(items) => items.iter().any(|value| search(value, file)),
            _ => false,
        }
    }
    report
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .chain(serde_json::from_str(report).ok())
        .any(|value: Value| search(&value, file))
}
