//! `sysctl` and `modules` of a step: what concerns the kernel.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use host::files::write_synced;
use host::{Argv, Host};

use super::facts::Setting;
use super::files::write_in_place;
use super::steps::TIME_LIMIT;

/// Where parameters stand for the rest of this boot (sysctl.d(5)), after the files of the distribution.
///
/// What the initramfs sets, `systemd-sysctl` may set otherwise later, and it sets anew what belongs to a network
/// interface whenever one comes. `/etc` is emptied at a restart, and the stage writes the file again.
const FILE: &str = "etc/sysctl.d/zz-landfall.conf";

/// Sets a parameter of the kernel, now and for the rest of this boot.
pub(super) fn set_parameter(
    root: &Path,
    setting: Setting,
    name: &str,
    value: &str,
) -> Result<String> {
    // The initramfs' own files are gone when the system starts.
    if setting != Setting::Initramfs {
        keep(&root.join(FILE), name, value)?;
    }
    if !setting.has_kernel() {
        return Ok("written for the next start of that system".to_owned());
    }
    let paths = expand(&root.join("proc/sys"), &path_of(name));
    if paths.is_empty() && setting == Setting::Sysroot {
        return Ok("the kernel does not have it yet; set again when the system starts".to_owned());
    }
    ensure!(
        !paths.is_empty(),
        "{name}: the kernel has no such parameter; a module may be missing"
    );
    for path in paths {
        write_in_place(&path, value.as_bytes())?;
    }
    Ok(String::new())
}

/// Puts a line into the file, in the place of an older one for the same parameter.
fn keep(file: &Path, name: &str, value: &str) -> Result<()> {
    let old = match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        result => result.with_context(|| format!("reading {}", file.display()))?,
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let same = |line: &&str| {
        let found = line.split_once('=').map(|(name, _)| path_of(name.trim()));
        found.is_none_or(|found| found != path_of(name))
    };
    let mut text: String = old
        .lines()
        .filter(same)
        .flat_map(|line| [line, "\n"])
        .collect();
    for part in [name, " = ", value, "\n"] {
        text.push_str(part);
    }
    write_synced(file, text.as_bytes(), 0o644)
}

/// The path of a parameter below `/proc/sys`, as sysctl.d(5) reads names: the first of `.` and `/` separates, and the
/// other stands for itself (`net.ipv4.conf.eth0/100.forwarding`).
fn path_of(name: &str) -> String {
    if name.find(['.', '/']).and_then(|at| name.get(at..=at)) != Some(".") {
        return name.to_owned();
    }
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swap).collect()
}

/// The files of a parameter; `*` in the place of a directory is each of them.
fn expand(folder: &Path, path: &str) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for part in path.split('/') {
        found = found
            .iter()
            .flat_map(|folder| match part {
                "*" => children(folder),
                _ => vec![folder.join(part)],
            })
            .filter(|path| path.exists())
            .collect();
    }
    found.retain(|path| path.is_file());
    found
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Loads a module. `module` is its name, and may have parameters behind it (`nbd max_part=8`).
pub(super) fn load_module(module: &str, setting: Setting, host: &mut impl Host) -> Result<String> {
    if !setting.has_kernel() {
        bail!("{module}: the kernel that runs is not that of this root");
    }
    let argv = Argv::new("modprobe")
        .arg("--")
        .args(module.split_whitespace())
        .time_limit(TIME_LIMIT);
    let output = host.run(&argv)?;
    Ok(format!("{}{}", output.stdout, output.stderr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn machine() -> Tree {
        let tree = Tree::new();
        for path in [
            "net/ipv4/ip_forward",
            "net/ipv4/conf/all/forwarding",
            "net/ipv4/conf/eth0.100/forwarding",
            "vm/swappiness",
        ] {
            tree.file(&format!("proc/sys/{path}"), b"0");
        }
        tree
    }

    fn value(tree: &Tree, path: &str) -> String {
        fs::read_to_string(tree.at("proc/sys").join(path)).unwrap()
    }

    #[test]
    fn a_parameter_is_set_now_and_stays_for_this_boot() {
        let tree = machine();
        let root = tree.at("");
        for (name, wanted) in [
            ("net.ipv4.ip_forward", "1"),
            ("vm/swappiness", "5"),
            ("net/ipv4/ip_forward", "2"),
            ("net.ipv4.conf.*.forwarding", "1"),
            ("net.ipv4.conf.eth0/100.forwarding", "3"),
        ] {
            set_parameter(&root, Setting::Running, name, wanted).unwrap();
        }
        assert_eq!(value(&tree, "net/ipv4/ip_forward"), "2");
        assert_eq!(value(&tree, "vm/swappiness"), "5");
        assert_eq!(value(&tree, "net/ipv4/conf/all/forwarding"), "1");
        assert_eq!(value(&tree, "net/ipv4/conf/eth0.100/forwarding"), "3");
        let kept = fs::read_to_string(tree.at(FILE)).unwrap();
        let expected = [
            "vm/swappiness = 5",
            "net/ipv4/ip_forward = 2",
            "net.ipv4.conf.*.forwarding = 1",
            "net.ipv4.conf.eth0/100.forwarding = 3",
        ];
        assert_eq!(kept.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_parameter_that_is_not_there_fails_unless_the_system_is_still_to_start() {
        let tree = machine();
        let root = tree.at("");
        let name = "net.bridge.bridge-nf-call-iptables";
        let set = |setting| set_parameter(&root, setting, name, "1");
        let told = set(Setting::Sysroot).unwrap();
        assert!(told.contains("set again"), "{told}");
        assert!(tree.at(FILE).exists());
        let error = set(Setting::Running).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }

    #[test]
    fn the_root_of_another_machine_leaves_the_kernel_alone_and_the_initramfs_keeps_no_file() {
        let tree = machine();
        let root = tree.at("");
        set_parameter(&root, Setting::Foreign, "vm.swappiness", "9").unwrap();
        assert_eq!(value(&tree, "vm/swappiness"), "0");
        assert!(tree.at(FILE).exists());
        let tree = machine();
        set_parameter(&tree.at(""), Setting::Initramfs, "vm.swappiness", "9").unwrap();
        assert_eq!(value(&tree, "vm/swappiness"), "9");
        assert!(!tree.at(FILE).exists());
    }

    #[test]
    fn a_module_goes_to_modprobe_with_its_parameters_and_never_into_another_machine() {
        let mut host = host::Recorder::default();
        load_module("nbd max_part=8", Setting::Sysroot, &mut host).unwrap();
        assert_eq!(host.calls, ["run modprobe -- nbd max_part=8"]);
        assert!(load_module("nbd", Setting::Foreign, &mut host).is_err());
        assert_eq!(host.calls.len(), 1);
        let mut host = host::Recorder::failing_at(0);
        assert!(load_module("nbd", Setting::Running, &mut host).is_err());
    }
}
