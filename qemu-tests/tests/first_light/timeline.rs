//! Every stage of the timeline, on a machine that installs itself and starts.

use qemu_tests::user_data::Ending;
use serde_json::Value;

use crate::lab::{self, Lab, SOON, root, wait_installed, wait_screen};

/// Each step leaves its mark where its stage can reach.
const STAGES: &str = r#"  before-install:
    - commands:
        - test -e /run/cos/live_mode && test -d /run/cos/state/lost+found
        - cp /run/initramfs/live/landfall/media.json /run/cos/oem/before-install
  after-install-chroot:
    - commands: ["grep -q Debian /etc/os-release && echo x > /eks-hybrid/after-install-chroot", echo x > /etc/fleeting]
  after-install:
    - name: skip-copy-mark
      commands: [mkdir -p /run/cos/persistent/marks && touch /run/cos/persistent/marks/after-install]
    - name: fails
      commands: [echo marked; exit 7]
  rootfs:
    - commands: [touch /oem/rootfs]
  fs:
    - commands: [touch /usr/local/marks/fs]
  boot.before:
    - commands: [touch /usr/local/marks/boot]
  network.after:
    - commands: [test -e /usr/local/marks/boot && touch /usr/local/marks/network]
"#;

#[test]
fn every_stage_runs_where_it_belongs_around_the_installation_and_at_the_start() {
    let mut lab = Lab::new("first-light-stages");
    lab.user_data.token = Some(lab::TOKEN.to_owned());
    lab.user_data.ending = Ending::Reboot;
    lab.user_data.more_stages = STAGES;
    let mut vm = lab
        .machine()
        .disk(lab.disk(16))
        .cdrom(lab.iso())
        .start()
        .unwrap();
    wait_installed(&mut vm, "reboot");
    wait_screen(&mut vm);
    vm.wait_ssh(SOON).unwrap();

    let told = root(&mut vm, "cat /var/log/landfall/install.log");
    assert!(
        told.contains("before-install: all steps are done"),
        "{told}"
    );
    assert!(told.contains("after-install: 1 part failed"), "{told}");
    assert!(
        told.contains("do not stay") && told.contains("/etc/fleeting"),
        "{told}"
    );
    root(
        &mut vm,
        "cd /usr/local/marks && test -s /oem/before-install -a -e /oem/rootfs -a -e /eks-hybrid/after-install-chroot -a -e after-install",
    );
    root(
        &mut vm,
        "! test -e /etc/fleeting && ! grep -q skip-copy /oem/90_custom.yaml",
    );
    let around = reports(&root(&mut vm, "cat /var/log/landfall/stages.json"));
    assert_eq!(
        around,
        [
            "before-install 0",
            "after-install-chroot 0",
            "after-install 1"
        ]
    );

    // The last stage of a start may still be on its way.
    root(
        &mut vm,
        "for i in $(seq 100); do test -e /usr/local/marks/network && exit 0; sleep 1; done; exit 1",
    );
    root(
        &mut vm,
        "test -e /usr/local/marks/fs -a -e /usr/local/marks/boot",
    );
    root(&mut vm, "systemctl is-active cos-setup-reconcile.timer");
    let start = reports(&root(&mut vm, "cat /run/landfall/stages.json"));
    for stage in ["rootfs 0", "initramfs 0", "fs 0", "boot 0", "network 0"] {
        assert!(start.iter().any(|one| one == stage), "{stage}: {start:?}");
    }
}

/// Each stage with the number of its failures.
fn reports(json: &str) -> Vec<String> {
    let all: Vec<Value> = serde_json::from_str(json).unwrap();
    let failed = |report: &Value| {
        let outcomes = report["outcomes"].as_array().cloned().unwrap_or_default();
        outcomes
            .iter()
            .filter(|one| one.get("error").is_some())
            .count()
    };
    all.iter()
        .map(|report| {
            format!(
                "{} {}",
                report["stage"].as_str().unwrap_or_default(),
                failed(report)
            )
        })
        .collect()
}
