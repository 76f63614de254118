//! What conditions and templates ask about the machine, read in one place.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::layout::parse_env;
use crate::within::resolve;

/// Where the image's root is mounted while the initramfs puts the root together.
const IMAGE: &str = "run/landfall/image";

/// Where `systemctl` stands if systemd manages the services.
const SYSTEMD: [&str; 3] = [
    "/sbin/systemctl",
    "/usr/bin/systemctl",
    "/usr/sbin/systemctl",
];

/// Where `openrc` stands if `OpenRC` does.
const OPENRC: [&str; 3] = ["/sbin/openrc", "/usr/bin/openrc", "/usr/sbin/openrc"];

/// Where systemd in the initramfs looks for the root to which it will switch.
const NEXT_ROOT: &str = "/sysroot";

/// In which root this process works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    /// The root of a system that runs.
    Running,
    /// The initramfs' own root.
    Initramfs,
    /// A root that the initramfs is about to start.
    Sysroot,
    /// The root of a system that starts some other time: on a new disk, or in an image file.
    Foreign,
}

impl Setting {
    /// The setting of work that is done with `root` as `/`; to be asked before the root is changed.
    ///
    /// Somebody may have changed it before us, so pid 1 is asked too, as systemd does: its root is not changed with ours.
    pub(super) fn of(root: &Path) -> Self {
        let id = |path: &str| fs::metadata(path).map(|found| (found.dev(), found.ino()));
        let elsewhere = match (id("/"), id("/proc/1/root/")) {
            (Ok(ours), Ok(first)) => ours != first,
            _ => false,
        };
        // systemd's own test: the file exists in every initramfs, and in no system.
        let initramfs = ["/etc/initrd-release", "/proc/1/root/etc/initrd-release"]
            .iter()
            .any(|path| Path::new(path).exists());
        Self::decide(root, elsewhere, initramfs)
    }

    /// `elsewhere`: this process already has another root than pid 1; `initramfs`: pid 1 has that of an initramfs.
    fn decide(root: &Path, elsewhere: bool, initramfs: bool) -> Self {
        let own = root == Path::new("/");
        let next = own || root == Path::new(NEXT_ROOT);
        match (own && !elsewhere, initramfs) {
            (true, false) => Self::Running,
            (true, true) => Self::Initramfs,
            (false, true) if next => Self::Sysroot,
            // The installer, too, runs in an initramfs: the system that it lends to a stage starts on its own later.
            (false, _) => Self::Foreign,
        }
    }

    /// Whether the kernel that runs is the one of the root in which this process works.
    pub(super) fn has_kernel(self) -> bool {
        self != Self::Foreign
    }
}

/// What is known of the machine and its system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// `PRETTY_NAME` and `ID` of os-release(5), as far as they are given.
    pub(super) os_names: Vec<String>,
    /// `VERSION_ID` of os-release(5).
    pub(super) os_version: Option<String>,
    /// The architecture in Go's words.
    pub(super) arch: String,
    /// Name of the host.
    pub(super) host_name: Option<String>,
    /// machine-id(5).
    pub(super) machine_id: Option<String>,
    /// `systemd`, `openrc`.
    pub(super) service_managers: Vec<&'static str>,
}

impl Facts {
    /// Reads what is known below `root`, which is `/` but in tests.
    pub(super) fn read(root: &Path, setting: Setting) -> Self {
        // The initramfs has an os-release of its own, which is not that of the system that it starts.
        let image = root.join(IMAGE);
        let system = match setting {
            Setting::Initramfs if image.is_dir() => image,
            _ => root.to_owned(),
        };
        let release = ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| fs::read_to_string(inside(&system, path)?).ok())
            .map(|text| parse_env(&text))
            .unwrap_or_default();
        let names = ["PRETTY_NAME", "ID"].map(|key| release.get(key).cloned());
        let there = |paths: &[&str]| {
            paths
                .iter()
                .any(|path| inside(&system, path).is_some_and(|path| path.exists()))
        };
        let managers = [("systemd", SYSTEMD), ("openrc", OPENRC)];
        Self {
            os_names: names.into_iter().flatten().collect(),
            os_version: release.get("VERSION_ID").cloned(),
            arch: go_name(std::env::consts::ARCH).to_owned(),
            host_name: host_name(root, setting),
            machine_id: word(&root.join("etc/machine-id")).filter(|id| is_machine_id(id)),
            service_managers: managers
                .into_iter()
                .filter(|(_, paths)| there(paths))
                .map(|(name, _)| name)
                .collect(),
        }
    }
}

/// A path as a process in `root` would find it.
fn inside(root: &Path, path: &str) -> Option<PathBuf> {
    let path = resolve(root, Path::new(path))?;
    Some(root.join(path.strip_prefix("/").unwrap_or(&path)))
}

/// The kernel's name is right as soon as the system runs; before, the name stands in the file that systemd will read.
fn host_name(root: &Path, setting: Setting) -> Option<String> {
    let of_kernel = word(&root.join("proc/sys/kernel/hostname"));
    let of_file = word(&root.join("etc/hostname"));
    let name = match setting {
        Setting::Running => of_kernel,
        Setting::Initramfs | Setting::Sysroot | Setting::Foreign => of_file,
    };
    // What the kernel says before anybody named it.
    name.filter(|name| name != "(none)")
}

fn word(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Not so before the first boot is complete: then the file is empty or says `uninitialized`.
fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What Go calls an architecture that Rust has another name for.
fn go_name(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn system(at: &str, tree: &Tree) {
        let release =
            b"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n";
        tree.file(&format!("{at}usr/lib/os-release"), release);
        // As an image may have it: absolute, and still inside the image.
        tree.link(&format!("{at}etc/os-release"), "/usr/lib/os-release");
        tree.file(&format!("{at}usr/bin/systemctl"), b"");
    }

    #[test]
    fn only_the_root_that_pid_1_will_switch_to_is_the_next_one() {
        for (root, elsewhere, initramfs, expected) in [
            ("/", false, false, Setting::Running),
            ("/", false, true, Setting::Initramfs),
            ("/sysroot", false, true, Setting::Sysroot),
            ("/", true, true, Setting::Sysroot),
            ("/run/landfall/new/sysroot", false, true, Setting::Foreign),
            ("/sysroot", false, false, Setting::Foreign),
            ("/", true, false, Setting::Foreign),
        ] {
            let setting = Setting::decide(Path::new(root), elsewhere, initramfs);
            assert_eq!(setting, expected, "{root} {elsewhere} {initramfs}");
        }
    }

    #[test]
    fn the_facts_of_a_running_system() {
        let tree = Tree::new();
        system("", &tree);
        tree.file("proc/sys/kernel/hostname", b"shop-1\n");
        tree.file("etc/hostname", b"old\n");
        tree.file("etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
        let expected = Facts {
            os_names: vec!["Debian GNU/Linux 12 (bookworm)".into(), "debian".into()],
            os_version: Some("12".into()),
            arch: go_name(std::env::consts::ARCH).into(),
            host_name: Some("shop-1".into()),
            machine_id: Some("0123456789abcdef0123456789abcdef".into()),
            service_managers: vec!["systemd"],
        };
        assert_eq!(Facts::read(&tree.at(""), Setting::Running), expected);
    }

    #[test]
    fn the_initramfs_is_not_taken_for_the_system_that_it_starts() {
        let tree = Tree::new();
        tree.file("etc/os-release", b"ID=dracut\nVERSION_ID=059\n");
        // As installer it starts no other system.
        let facts = Facts::read(&tree.at(""), Setting::Initramfs);
        assert_eq!(facts.os_names, ["dracut"]);
        system("run/landfall/image/", &tree);
        let facts = Facts::read(&tree.at(""), Setting::Initramfs);
        assert_eq!(facts.os_names[1], "debian");
        assert_eq!(facts.os_version.as_deref(), Some("12"));
        assert_eq!(facts.service_managers, ["systemd"]);
    }

    #[test]
    fn a_name_or_an_id_that_is_not_there_yet_is_none() {
        let tree = Tree::new();
        tree.file("proc/sys/kernel/hostname", b"(none)\n");
        tree.file("etc/machine-id", b"uninitialized\n");
        let root = tree.at("");
        assert_eq!(Facts::read(&root, Setting::Running).host_name, None);
        assert_eq!(Facts::read(&root, Setting::Running).machine_id, None);
        tree.file("etc/hostname", b"shop-2\n");
        let named = Facts::read(&root, Setting::Sysroot).host_name;
        assert_eq!(named.as_deref(), Some("shop-2"));
    }
}
