//! The payload a plan is made for: its manifest, and the boot files beside it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use image::Manifest;
use image::manifest::{SLOT_NAME, verify_file};

use crate::code::{Code, OrTrouble, Trouble};

/// Boot files that every native payload has, by their path in the payload.
pub const BOOT_FILES: [&str; 7] = [
    "boot/shimx64.efi",
    "boot/grubx64.efi",
    "boot/bios-boot.img",
    "boot/bios-core.img",
    "boot/grub.cfg",
    "boot/vmlinuz",
    "boot/initrd",
];

/// GRUB's core image for the BIOS of a machine that starts no GPT disk. Payloads of earlier versions lack it.
pub const BIOS_CORE_MBR: &str = "boot/bios-core-mbr.img";

/// A payload that was looked through before anything is written.
#[derive(Debug, Clone)]
pub struct Payload {
    /// The folder.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// GRUB's boot sector for BIOS.
    pub bios_boot: Vec<u8>,
    /// GRUB's core image for BIOS and GPT.
    pub bios_core: Vec<u8>,
    /// GRUB's core image for BIOS and MBR ([`BIOS_CORE_MBR`]).
    pub bios_core_mbr: Option<Vec<u8>>,
}

impl Payload {
    /// Opens a payload and refuses it if anything that can be known now is wrong.
    ///
    /// The manifest is parsed, every boot file is hashed, and the slot image must have the length that the manifest
    /// names. Its chunks are checked while they are streamed: hashing them here would read a slow medium twice.
    pub fn open(folder: &Path) -> Result<Self> {
        if !folder.join(image::manifest::MANIFEST_NAME).is_file() {
            return Err(Trouble::new(
                Code::PayloadMissing,
                format!(
                    "{} has no {}",
                    folder.display(),
                    image::manifest::MANIFEST_NAME
                ),
            )
            .into());
        }
        let manifest = Manifest::read(folder).or_trouble(Code::ManifestInvalid)?;
        for path in BOOT_FILES {
            if manifest.file(path).is_none() {
                return Err(Trouble::new(
                    Code::ManifestInvalid,
                    format!("the payload manifest does not list {path}"),
                )
                .into());
            }
        }
        check_slot_length(folder, &manifest)?;
        for file in &manifest.files {
            verify_file(folder, file).or_trouble(Code::BootFilesBad)?;
        }
        let read = |path: &str| fs::read(folder.join(path)).or_trouble(Code::BootFilesBad);
        Ok(Self {
            bios_boot: read("boot/bios-boot.img")?,
            bios_core: read("boot/bios-core.img")?,
            bios_core_mbr: manifest
                .file(BIOS_CORE_MBR)
                .map(|file| read(&file.path))
                .transpose()?,
            folder: folder.to_owned(),
            manifest,
        })
    }

    /// Bytes of the payload on a medium: the compressed slot image and the boot files.
    pub fn size(&self) -> u64 {
        let files: u64 = self.manifest.files.iter().map(|file| file.size).sum();
        self.manifest.compressed_size().saturating_add(files)
    }
}

fn check_slot_length(folder: &Path, manifest: &Manifest) -> Result<()> {
    let Ok(facts) = fs::metadata(folder.join(SLOT_NAME)) else {
        return Err(Trouble::new(
            Code::PayloadMissing,
            format!("{} has no {SLOT_NAME}", folder.display()),
        )
        .into());
    };
    let (found, wanted) = (facts.len(), manifest.compressed_size());
    if found != wanted {
        return Err(Trouble::new(
            Code::PayloadIncomplete,
            format!("{SLOT_NAME} has {found} bytes; the manifest names {wanted}"),
        )
        .into());
    }
    Ok(())
}
