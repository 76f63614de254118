//! The boot files beside the slot image: what firmware loads before anything of ours runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use host::{Argv, Host};

use super::provider_root::ProviderRoot;

/// Name in the payload folder, and where Debian and Ubuntu keep the file.
///
/// GRUB for disks (`grubx64`) also starts from CD and USB: it reads `EFI/debian/grub.cfg` of the
/// file system it came from, which on our media is the FAT image. `gcdx64` would look for
/// `/.disk/info` and could meet another CD.
const SIGNED: [(&str, &[&str]); 3] = [
    (
        "boot/shimx64.efi",
        &[
            "usr/lib/shim/shimx64.efi.signed.latest",
            "usr/lib/shim/shimx64.efi.signed",
        ],
    ),
    (
        "boot/grubx64.efi",
        &["usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"],
    ),
    (
        "boot/mmx64.efi",
        &["usr/lib/shim/mmx64.efi.signed", "usr/lib/shim/mmx64.efi"],
    ),
];

/// GRUB's modules and boot sectors for BIOS.
const I386_PC: &str = "usr/lib/grub/i386-pc";
/// The gap that a BIOS boot partition of 1 MiB leaves is larger, but GRUB's own loader stops at 480 KiB.
const CORE_LIMIT: u64 = 480 << 10;

/// What every core image can do: read GPT and MBR, ext4, FAT and ISO 9660, start Linux, talk to a serial port.
const MODULES: &[&str] = &[
    "all_video",
    "biosdisk",
    "cat",
    "configfile",
    "echo",
    "ext2",
    "fat",
    "halt",
    "iso9660",
    "linux",
    "loadenv",
    "loopback",
    "ls",
    "minicmd",
    "normal",
    "part_gpt",
    "part_msdos",
    "probe",
    "reboot",
    "regexp",
    "search",
    "search_fs_file",
    "search_fs_uuid",
    "search_label",
    "serial",
    "sleep",
    "terminal",
    "test",
    "true",
];

/// A core image of GRUB for BIOS.
struct Core {
    name: &'static str,
    format: &'static str,
    prefix: &'static str,
}

const CORES: [Core; 3] = [
    // The state partition of the disk that the BIOS booted from.
    Core {
        name: "boot/bios-core.img",
        format: "i386-pc",
        prefix: "(,gpt5)/grub2",
    },
    Core {
        name: crate::payload::BIOS_CORE_MBR,
        format: "i386-pc",
        prefix: "(,msdos3)/grub2",
    },
    // No device: GRUB takes the one the BIOS booted from, CD or stick.
    Core {
        name: "boot/bios-cd.img",
        format: "i386-pc-eltorito",
        prefix: "/boot/grub",
    },
];

const BOOT_SECTORS: [(&str, &str); 2] = [
    ("boot/bios-boot.img", "boot.img"),
    ("boot/bios-hybrid.img", "boot_hybrid.img"),
];

/// Where the boot files come from; found before anything is written.
#[derive(Debug)]
pub(super) struct BootFiles {
    /// Name in the payload, file in the root.
    copies: Vec<(&'static str, PathBuf)>,
    modules: PathBuf,
}

impl BootFiles {
    /// Finds all of them or names the first that is missing.
    pub(super) fn find(root: &ProviderRoot) -> Result<Self> {
        let mut copies = Vec::new();
        for (name, candidates) in SIGNED {
            copies.push((name, root.first_file(candidates)?));
        }
        for (name, file) in BOOT_SECTORS {
            copies.push((name, root.first_file(&[&format!("{I386_PC}/{file}")])?));
        }
        copies.push(("boot/grub.cfg", root.first_file(&["etc/cos/grub.cfg"])?));
        copies.push(("boot/vmlinuz", root.first_file(&["boot/vmlinuz"])?));
        copies.push(("boot/initrd", root.first_file(&["boot/initrd"])?));
        Ok(Self {
            copies,
            modules: root.resolve(I386_PC)?,
        })
    }

    /// Puts them into the payload folder and returns their names, sorted.
    pub(super) fn put(&self, payload: &Path, host: &mut dyn Host) -> Result<Vec<String>> {
        fs::create_dir_all(payload.join("boot"))?;
        let mut names = Vec::new();
        for (name, from) in &self.copies {
            let to = payload.join(name);
            // The kernel and initrd of a root may be unreadable for others; on a medium everything is readable.
            copy_readable(from, &to)?;
            names.push((*name).to_owned());
        }
        for core in &CORES {
            let to = payload.join(core.name);
            let argv = Argv::new("grub-mkimage")
                .args(["-O", core.format, "-p", core.prefix, "-d"])
                .arg(&self.modules)
                .arg("-o")
                .arg(&to)
                .args(MODULES);
            host.run(&argv)
                .with_context(|| format!("making {}", core.name))?;
            let size = fs::metadata(&to)
                .with_context(|| format!("reading {}", to.display()))?
                .len();
            ensure!(
                size <= CORE_LIMIT,
                "{} has {size} bytes, more than a BIOS loads ({CORE_LIMIT})",
                core.name
            );
            names.push(core.name.to_owned());
        }
        names.sort();
        Ok(names)
    }
}

/// Copies the bytes only: mode and times of the source are no part of a medium.
pub(super) fn copy_readable(from: &Path, to: &Path) -> Result<()> {
    let copy = || {
        let mut source = fs::File::open(from)?;
        let mut target = fs::File::create(to)?;
        std::io::copy(&mut source, &mut target)
    };
    copy()
        .map(|_bytes| ())
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))
}
