//! The sentence about other installations in this machine, for the registration screen.
//!
//! The initramfs has told which state partition it took; which other disks there are is looked up again, because a disk
//! may have shown up after it.

use std::fs;
use std::path::Path;

use sysroot::cmdline::BootArgs;
use sysroot::twins::{in_words, twins_of};
use sysroot::{Paths, Report};

/// What the initramfs did.
const REPORT: &str = "/run/landfall/sysroot.json";

/// What a person should know of other installations; `root` is `/` but in tests. `None` if there are none, and on a
/// system whose root another program assembled.
pub fn sentence(root: &Path) -> Option<String> {
    let paths = Paths {
        prefix: root.to_owned(),
        ..Paths::default()
    };
    let report = fs::read(paths.at(REPORT)).ok()?;
    let report: Report = serde_json::from_slice(&report).ok()?;
    let cmdline = fs::read_to_string(paths.at("/proc/cmdline")).unwrap_or_default();
    let id = BootArgs::parse(&cmdline).state_partuuid;
    in_words(&twins_of(&paths, &report.state, id.as_deref()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn put(root: &Path, path: &str, bytes: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path).unwrap().write_all(bytes).unwrap();
    }

    /// A disk with a state partition.
    fn disk(root: &Path, name: &str, serial: &str) {
        let folder = format!("sys/devices/{name}/{name}5");
        let uevent = format!("DEVNAME={name}5\nPARTNAME=state\nPARTUUID={name}-05\n");
        put(root, &format!("{folder}/uevent"), uevent.as_bytes());
        put(root, &format!("{folder}/partition"), b"5\n");
        put(
            root,
            &format!("sys/devices/{name}/serial"),
            serial.as_bytes(),
        );
        let class = root.join("sys/class/block");
        fs::create_dir_all(&class).unwrap();
        symlink(root.join(&folder), class.join(format!("{name}5"))).unwrap();
        let mut bytes = vec![0; 2048];
        bytes[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
        bytes[1024 + 0x78..1024 + 0x81].copy_from_slice(b"COS_STATE");
        put(root, &format!("dev/{name}5"), &bytes);
    }

    #[test]
    fn what_the_initramfs_took_and_the_disks_that_are_there_now_make_the_sentence() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(sentence(root), None);
        let report = Report {
            state: "/dev/vda5".into(),
            ..Report::default()
        };
        put(
            root,
            "run/landfall/sysroot.json",
            &serde_json::to_vec(&report).unwrap(),
        );
        put(root, "proc/cmdline", b"quiet landfall.state=vda-05\n");
        disk(root, "vda", "A1\n");
        assert_eq!(sentence(root), None);
        disk(root, "vdb", "B1\n");
        assert_eq!(
            sentence(root).as_deref(),
            Some(
                "A second disk of this machine (vdb, serial B1) holds an installation with the same labels; it is not used."
            )
        );
    }
}
