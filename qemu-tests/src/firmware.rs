//! The firmware of a virtual machine, as QEMU arguments.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where Debian's package `ovmf` puts its files.
const OVMF: &str = "/usr/share/OVMF";

/// What the machine starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// `SeaBIOS`, which comes with QEMU.
    Bios,
    /// OVMF without Secure Boot.
    Uefi,
    /// OVMF with the vendors' keys enrolled and Secure Boot enforced, variables behind SMM.
    UefiSecureBoot,
}

impl Firmware {
    /// The machine type with its properties. Always q35, so that buses and names are the same under every firmware.
    pub(crate) fn machine(self) -> &'static str {
        match self {
            Self::Bios | Self::Uefi => "q35",
            Self::UefiSecureBoot => "q35,smm=on",
        }
    }

    /// Further arguments. Puts a fresh copy of the variable store into `folder`, so that no machine knows another's boot
    /// entries.
    ///
    /// # Errors
    /// The variable store could not be copied.
    pub(crate) fn arguments(self, folder: &Path) -> Result<Vec<String>> {
        let (code, variables) = match self {
            Self::Bios => return Ok(Vec::new()),
            Self::Uefi => ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
            Self::UefiSecureBoot => ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"),
        };
        let source: PathBuf = Path::new(OVMF).join(variables);
        let copy = folder.join("variables.fd");
        fs::copy(&source, &copy)
            .with_context(|| format!("copying {} (package ovmf)", source.display()))?;
        let mut arguments = vec![
            "-drive".to_owned(),
            format!("if=pflash,format=raw,unit=0,readonly=on,file={OVMF}/{code}"),
            "-drive".to_owned(),
            format!("if=pflash,format=raw,unit=1,file={}", copy.display()),
            // OVMF keeps memory for a suspend that never comes.
            "-global".to_owned(),
            "ICH9-LPC.disable_s3=1".to_owned(),
        ];
        if self == Self::UefiSecureBoot {
            arguments.push("-global".to_owned());
            arguments.push("driver=cfi.pflash01,property=secure,value=on".to_owned());
        }
        Ok(arguments)
    }
}
