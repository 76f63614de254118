//! A guest with nothing of the product: a Debian kernel, busybox, programs of this host, and a script.
//!
//! For what only a kernel can do, such as assembling arrays, and this host need not be able to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::machine::Builder;
use crate::{Folder, Vm, artifacts, door};

/// Modules that every guest needs: the event port, and the button that switches off.
const ALWAYS: [&str; 3] = ["virtio_pci", "virtio_console", "button"];

/// Where Debian keeps programs that `PATH` may lack.
const PROGRAM_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The whole system of a guest.
#[derive(Debug, Clone, Copy)]
pub struct Tiny<'a> {
    /// Kernel modules beside those that every guest needs; what they depend on is loaded before them.
    pub modules: &'a [&'a str],
    /// Programs of this host, taken along with their libraries.
    pub programs: &'a [&'a str],
    /// What runs: lines of shell. `$events` is the event port. A command that fails ends the machine as a reboot does.
    pub script: &'a str,
}

impl Tiny<'_> {
    /// A machine that runs it; its files are made in `folder`, under `name`.
    ///
    /// # Errors
    /// There is no kernel, a module or a program is missing, or the archive cannot be made.
    pub fn machine(&self, folder: &Folder, name: &str) -> Result<Builder> {
        let root = image_root();
        let (kernel, modules) = kernel_of(&root)?;
        let initrd = self.initrd(&modules, &folder.file(name))?;
        let arguments = "console=ttyS0 panic=-1 loglevel=7";
        Ok(Vm::builder(name)
            .memory(512)
            .kernel(kernel, initrd, arguments)
            .end_at_reboot())
    }

    fn initrd(&self, modules: &Path, place: &Path) -> Result<PathBuf> {
        let tree = artifacts::with_suffix(place, ".tree");
        for sub in ["bin", "tools", "dev", "proc", "sys", "run", "etc", "mnt"] {
            fs::create_dir_all(tree.join(sub))?;
        }
        fs::copy("/bin/busybox", tree.join("bin/busybox"))
            .context("copying /bin/busybox of the package busybox-static")?;
        for program in self.programs {
            take_program(program, &tree)?;
        }
        let wanted = [&ALWAYS, self.modules].concat();
        let taken = take_modules(modules, &wanted, &tree)?;
        let load: Vec<String> = taken
            .iter()
            .map(|module| format!("insmod /modules/{module}"))
            .collect();
        let load = load.join("\n");
        let init = format!(
            "#!/bin/busybox sh\n\
             set -e\n\
             /bin/busybox --install -s /bin\n\
             export PATH=/tools:/bin\n\
             mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys\n\
             {load}\n\
             events=\n\
             while [ -z \"$events\" ]; do for port in /sys/class/virtio-ports/*; do\n\
             if grep -qsx landfall.events $port/name; then events=/dev/$(basename $port); fi\n\
             done; done\n\
             {}",
            self.script
        );
        door::write_file(&tree.join("init"), init.as_bytes())?;
        fs::set_permissions(tree.join("init"), fs::Permissions::from_mode(0o755))?;
        pack(&tree, &artifacts::with_suffix(place, ".initrd"))
    }
}

/// An unpacked Debian image with a kernel: `LANDFALL_HARNESS_ROOT`, or the provider image that the build unpacked.
fn image_root() -> PathBuf {
    std::env::var_os("LANDFALL_HARNESS_ROOT").map_or_else(
        || artifacts::build_folder().join("provider/root"),
        PathBuf::from,
    )
}

/// The kernel file and its folder of modules.
fn kernel_of(root: &Path) -> Result<(PathBuf, PathBuf)> {
    // With merged /usr, /lib is an absolute link in the image: go by /usr/lib first.
    for modules in ["usr/lib/modules", "lib/modules"] {
        let Ok(entries) = fs::read_dir(root.join(modules)) else {
            continue;
        };
        for version in entries.flatten() {
            let own = format!("boot/vmlinuz-{}", version.file_name().display());
            for kernel in [own.as_str(), "boot/vmlinuz"] {
                let kernel = root.join(kernel);
                if kernel.is_file() {
                    return Ok((kernel, version.path()));
                }
            }
        }
    }
    anyhow::bail!(
        "no kernel under {}; run ./just payload, or set LANDFALL_HARNESS_ROOT",
        root.display()
    )
}

/// Copies modules and what they stand on to `/modules`; returns their files in the order of loading.
fn take_modules(from: &Path, wanted: &[&str], tree: &Path) -> Result<Vec<String>> {
    let read = |name: &str| {
        fs::read_to_string(from.join(name))
            .with_context(|| format!("reading {name} of {}", from.display()))
    };
    let (depends, builtin) = (read("modules.dep")?, read("modules.builtin")?);
    fs::create_dir_all(tree.join("modules"))?;
    let mut names = Vec::new();
    for module in order_of_loading(&depends, &builtin, wanted)? {
        let name = file_name(module).to_owned();
        fs::copy(from.join(module), tree.join("modules").join(&name))
            .with_context(|| format!("copying {module}"))?;
        names.push(name);
    }
    Ok(names)
}

/// The files of `wanted` and of what they depend on, each once and behind what it stands on.
///
/// A line of `modules.dep` is `file: what it depends on`, and what is to be loaded first comes last.
fn order_of_loading<'a>(depends: &'a str, builtin: &str, wanted: &[&str]) -> Result<Vec<&'a str>> {
    let mut order: Vec<&str> = Vec::new();
    for name in wanted {
        let is_it = |file: &str| same_module(file, name);
        if builtin.lines().any(is_it) {
            continue;
        }
        let mut lines = depends.lines().filter_map(|line| line.split_once(':'));
        let (file, before) = lines
            .find(|(file, _)| is_it(file))
            .with_context(|| format!("this kernel has no module {name}"))?;
        for file in before.split_whitespace().rev().chain([file]) {
            if !order.contains(&file) {
                order.push(file);
            }
        }
    }
    Ok(order)
}

/// Whether a file is the module of this name; dashes and underscores are one in such names.
fn same_module(file: &str, name: &str) -> bool {
    let stem = file_name(file).split('.').next().unwrap_or_default();
    stem.replace('-', "_") == name.replace('-', "_")
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Copies a program of this host to `/tools`, and its libraries to where they are here.
fn take_program(name: &str, tree: &Path) -> Result<()> {
    let path = PROGRAM_FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("no program {name} here (see qemu-tests/packages.txt)"))?;
    fs::copy(&path, tree.join("tools").join(name)).with_context(|| format!("copying {name}"))?;
    let said = door::run(door::command("ldd").arg(&path))?;
    for library in libraries(&String::from_utf8_lossy(&said)) {
        let place = tree.join(library.trim_start_matches('/'));
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(library, &place).with_context(|| format!("copying {library}"))?;
    }
    Ok(())
}

/// The files in what `ldd` says: `name => /path (address)`, and `/path (address)` for the loader.
fn libraries(said: &str) -> Vec<&str> {
    said.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .collect()
}

/// A cpio archive of a folder, made by busybox.
fn pack(tree: &Path, archive: &Path) -> Result<PathBuf> {
    let file =
        fs::File::create(archive).with_context(|| format!("making {}", archive.display()))?;
    let status = door::command("sh")
        .args(["-c", "busybox find . | busybox cpio -o -H newc"])
        .current_dir(tree)
        .stdout(file)
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "packing {}: {status}", tree.display());
    Ok(archive.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_once_and_behind_what_it_stands_on() {
        let depends = "kernel/md/raid1.ko: kernel/md/md-mod.ko\n\
                       kernel/md/dm-crypt.ko: kernel/md/dm-mod.ko\n\
                       kernel/net/far.ko: kernel/net/near.ko kernel/md/md-mod.ko\n\
                       kernel/md/md-mod.ko:\n";
        let wanted = ["raid1", "dm_crypt", "far", "aes_generic"];
        let order = order_of_loading(depends, "kernel/crypto/aes_generic.ko\n", &wanted).unwrap();
        let names: Vec<&str> = order.into_iter().map(file_name).collect();
        let expected = [
            "md-mod.ko",
            "raid1.ko",
            "dm-mod.ko",
            "dm-crypt.ko",
            "near.ko",
            "far.ko",
        ];
        assert_eq!(names, expected);
        let error = order_of_loading(depends, "", &["zfs"]).unwrap_err();
        assert_eq!(error.to_string(), "this kernel has no module zfs");
    }

    #[test]
    fn the_libraries_of_a_program_are_its_files_without_the_one_that_is_none() {
        let said = "\tlinux-vdso.so.1 (0x00007ffe)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f35)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f36)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(libraries(said), expected);
        assert_eq!(libraries("\tstatically linked\n"), [""; 0]);
    }
}
