//! Waits for the devices of the machine, where commands of a stage could name them.

use std::path::{Path, PathBuf};

use host::{Argv, Host};

use super::{StageReport, source};

/// How long the queue of udev may take, in seconds. A driver that hangs must not keep the host from starting.
const PATIENCE: u32 = 30;

/// In the initramfs: waits until udev has loaded the drivers and given the network interfaces their names, if the stage
/// has commands at all; `ethtool` and `ip` know an interface only by its name. A host without commands waits for nothing.
pub fn await_devices(name: &str, root: &Path, sources: &[PathBuf], host: &mut impl Host) {
    if !has_commands(name, root, sources) {
        return;
    }
    // A queue that does not empty is no reason to leave the commands out: they tell themselves what they miss.
    drop(host.run(&Argv::new("udevadm").args(["settle", &format!("--timeout={PATIENCE}")])));
}

fn has_commands(name: &str, root: &Path, sources: &[PathBuf]) -> bool {
    let inside: Vec<PathBuf> = sources
        .iter()
        .map(|source| root.join(source.strip_prefix("/").unwrap_or(source)))
        .collect();
    // Faults of the files are told by the run itself.
    let files = source::read(&inside, &mut StageReport::new(name));
    let passes = [
        format!("{name}.before"),
        name.to_owned(),
        format!("{name}.after"),
    ];
    let mut steps = passes
        .iter()
        .flat_map(|pass| files.iter().flat_map(|file| file.stages.steps(pass)));
    steps.any(|step| !step.commands.is_empty() || step.condition.is_some())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn calls(document: &str) -> usize {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("oem")).unwrap();
        let file = root.path().join("oem/90_custom.yaml");
        host::files::write_synced(&file, document.as_bytes(), 0o600).unwrap();
        let mut host = host::Recorder::default();
        await_devices("initramfs", root.path(), &["/oem".into()], &mut host);
        host.calls.len()
    }

    #[test]
    fn devices_are_waited_for_before_commands_and_conditions_only() {
        assert_eq!(
            calls(
                "stages:\n  initramfs:\n    - hostname: edge\n  boot:\n    - commands: [ip link]\n"
            ),
            0
        );
        assert_eq!(
            calls("stages:\n  initramfs:\n    - commands: [ip link]\n"),
            1
        );
        assert_eq!(
            calls(
                "stages:\n  initramfs.before:\n    - if: test -e /sys/class/net/eth1\n      hostname: a\n"
            ),
            1
        );
        assert_eq!(calls("stages: ["), 0);
    }
}
