//! What the units of the image must say.

use std::path::{Path, PathBuf};

use host::{Argv, Host, Linux};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rootfs/usr/lib")
}

/// All values of a setting of a unit.
fn values(unit: &str, key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("systemd/system").join(unit)).unwrap();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| *name == key)
        .flat_map(|(_, value)| value.split_whitespace().map(str::to_owned))
        .collect()
}

#[test]
fn no_login_waits_for_the_commands_of_the_stage_boot() {
    for unit in ["cos-setup-boot.service", "cos-setup-network.service"] {
        assert_eq!(values(unit, "Before"), Vec::<String>::new(), "{unit}");
    }
    assert_eq!(
        values("cos-setup-boot.service", "After"),
        ["cos-setup-fs.service"]
    );
}

#[test]
fn a_check_of_a_large_disk_is_never_killed() {
    assert_eq!(
        values("landfall-sysroot.service", "TimeoutStartSec"),
        ["infinity"]
    );
}

#[test]
fn an_installer_that_crashes_is_told_on_the_screen_and_restarts_nothing() {
    let unit = "landfall-install.service";
    assert_eq!(
        values(unit, "ExecStopPost"),
        ["/usr/lib/landfall/boot-failed", "install"]
    );
    for key in ["OnFailure", "FailureAction", "SuccessAction", "Restart"] {
        assert_eq!(values(unit, key), Vec::<String>::new(), "{key}");
    }
}

#[test]
fn after_an_installer_that_ended_well_nothing_is_said() {
    let argv = Argv::new("/bin/sh")
        .arg(root().join("landfall/boot-failed"))
        .arg("install")
        .env("SERVICE_RESULT", "success");
    assert_eq!(Linux.run(&argv).unwrap(), host::Output::default());
}

#[test]
fn grubs_own_parser_takes_the_menus() {
    use host::{Argv, Host, Linux};
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rootfs/etc/cos");
    for name in ["grub.cfg", "esp-grub.cfg", "bootargs.cfg"] {
        let argv = Argv::new("grub-script-check").arg(folder.join(name));
        Linux.run(&argv).unwrap();
    }
}
