//! The firmware of a virtual machine, as QEMU arguments.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::artifacts;
use crate::storage::escaped;
use crate::variables::Variables;

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
    /// OVMF of Debian 11, without Secure Boot: the last one of Debian that has a driver for pvscsi.
    UefiPvScsi,
}

impl Firmware {
    /// The machine type with its properties. Always q35, so that buses and names are the same under every firmware.
    pub(crate) fn machine(self) -> &'static str {
        match self {
            Self::Bios | Self::Uefi | Self::UefiPvScsi => "q35",
            Self::UefiSecureBoot => "q35,smm=on",
        }
    }

    /// Further arguments. The variables are in `kept`, from a fresh store if that file is not there yet; without it in a
    /// fresh copy in `folder`, so that no machine knows another's boot entries.
    ///
    /// # Errors
    /// The variable store could not be copied.
    pub(crate) fn arguments(self, folder: &Path, kept: Option<&Path>) -> Result<Vec<String>> {
        let Some((code, fresh)) = self.files()? else {
            return Ok(Vec::new());
        };
        let copy = kept.map_or_else(|| folder.join("variables.fd"), Path::to_owned);
        if kept.is_none() || !copy.exists() {
            fs::copy(&fresh, &copy)
                .with_context(|| format!("copying {} (package ovmf)", fresh.display()))?;
        }
        let mut arguments = vec![
            "-drive".to_owned(),
            format!(
                "if=pflash,format=raw,unit=0,readonly=on,file={}",
                escaped(&code)
            ),
            "-drive".to_owned(),
            format!("if=pflash,format=raw,unit=1,file={}", escaped(&copy)),
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

    /// A variable store that no machine has used; for [`crate::machine::Builder::variables`].
    ///
    /// # Errors
    /// The firmware has none, or it cannot be read.
    pub fn fresh_variables(self) -> Result<Variables> {
        let files = self.files()?;
        let (_, fresh) = files.with_context(|| format!("{self:?} has no variables"))?;
        Variables::read(&fresh)
    }

    /// The program and a variable store that no machine has used; `None` if the firmware comes with QEMU.
    ///
    /// # Errors
    /// What has to be fetched first is not there.
    fn files(self) -> Result<Option<(PathBuf, PathBuf)>> {
        let (folder, code, variables) = match self {
            Self::Bios => return Ok(None),
            Self::Uefi => (OVMF.into(), "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
            Self::UefiSecureBoot => (OVMF.into(), "OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"),
            Self::UefiPvScsi => (
                artifacts::pvscsi_firmware()?,
                "OVMF_CODE_4M.fd",
                "OVMF_VARS_4M.fd",
            ),
        };
        Ok(Some((folder.join(code), folder.join(variables))))
    }
}
