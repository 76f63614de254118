//! Stable codes: what an operator reads to us over the phone.
//!
//! A code never changes its meaning and is never used again. Each has a section in `docs/errors.md`; a test holds the
//! two against each other.

use std::fmt;

use serde::{Serialize, Serializer};

/// Why an install or a reset was refused or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is documented by its section in docs/errors.md"
)]
pub enum Code {
    UserDataInvalid,
    UserDataMissing,
    UserDataUnreachable,
    NoNetwork,
    SiteVolume,
    NoDisk,
    SeveralDisks,
    DiskTooSmall,
    DiskBusy,
    DiskReadOnly,
    DiskNotFound,
    DiskIsMedium,
    LayoutImpossible,
    DiskHoldsData,
    DiskUnreadable,
    DiskPaths,
    DiskChanged,
    InstalledAlready,
    MediumNotFound,
    PayloadMissing,
    PayloadIncomplete,
    ManifestInvalid,
    ToolMissing,
    ChunkBad,
    WriteFailed,
    ReadBackDiffers,
    ProgramFailed,
    MountFailed,
    StageStopped,
    BootFilesBad,
    RecoveryOnly,
    RecoveryDisk,
    RecoveryMount,
    RecoveryPayload,
    ResetFailed,
    ResetUnfinished,
    NotInstalled,
    NoRoomToKeep,
    NothingToKeep,
    OtherKind,
}

impl Code {
    /// Every code there is.
    pub const ALL: [Self; 40] = [
        Self::UserDataInvalid,
        Self::UserDataMissing,
        Self::UserDataUnreachable,
        Self::NoNetwork,
        Self::SiteVolume,
        Self::NoDisk,
        Self::SeveralDisks,
        Self::DiskTooSmall,
        Self::DiskBusy,
        Self::DiskReadOnly,
        Self::DiskNotFound,
        Self::DiskIsMedium,
        Self::LayoutImpossible,
        Self::DiskHoldsData,
        Self::DiskUnreadable,
        Self::DiskPaths,
        Self::DiskChanged,
        Self::InstalledAlready,
        Self::MediumNotFound,
        Self::PayloadMissing,
        Self::PayloadIncomplete,
        Self::ManifestInvalid,
        Self::ToolMissing,
        Self::ChunkBad,
        Self::WriteFailed,
        Self::ReadBackDiffers,
        Self::ProgramFailed,
        Self::MountFailed,
        Self::StageStopped,
        Self::BootFilesBad,
        Self::RecoveryOnly,
        Self::RecoveryDisk,
        Self::RecoveryMount,
        Self::RecoveryPayload,
        Self::ResetFailed,
        Self::ResetUnfinished,
        Self::NotInstalled,
        Self::NoRoomToKeep,
        Self::NothingToKeep,
        Self::OtherKind,
    ];

    /// The text of the code: `LF-` and the room where the trouble is (U user-data, D disk, M medium, I install,
    /// R recovery, K what an installation again keeps).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserDataInvalid => "LF-U01",
            Self::UserDataMissing => "LF-U02",
            Self::UserDataUnreachable => "LF-U03",
            Self::NoNetwork => "LF-U04",
            Self::SiteVolume => "LF-U05",
            Self::NoDisk => "LF-D01",
            Self::SeveralDisks => "LF-D02",
            Self::DiskTooSmall => "LF-D03",
            Self::DiskBusy => "LF-D04",
            Self::DiskReadOnly => "LF-D05",
            Self::DiskNotFound => "LF-D06",
            Self::DiskIsMedium => "LF-D07",
            Self::LayoutImpossible => "LF-D08",
            Self::DiskHoldsData => "LF-D09",
            Self::DiskUnreadable => "LF-D10",
            Self::DiskPaths => "LF-D11",
            Self::DiskChanged => "LF-D12",
            Self::InstalledAlready => "LF-D20",
            Self::MediumNotFound => "LF-M01",
            Self::PayloadMissing => "LF-M02",
            Self::PayloadIncomplete => "LF-M03",
            Self::ManifestInvalid => "LF-M04",
            Self::BootFilesBad => "LF-M05",
            Self::ToolMissing => "LF-I01",
            Self::ChunkBad => "LF-I02",
            Self::WriteFailed => "LF-I03",
            Self::ReadBackDiffers => "LF-I04",
            Self::ProgramFailed => "LF-I05",
            Self::MountFailed => "LF-I06",
            Self::StageStopped => "LF-I07",
            Self::RecoveryOnly => "LF-R01",
            Self::RecoveryDisk => "LF-R02",
            Self::RecoveryMount => "LF-R03",
            Self::RecoveryPayload => "LF-R04",
            Self::ResetFailed => "LF-R05",
            Self::ResetUnfinished => "LF-R06",
            Self::NotInstalled => "LF-K01",
            Self::NoRoomToKeep => "LF-K02",
            Self::NothingToKeep => "LF-K03",
            Self::OtherKind => "LF-K04",
        }
    }

    /// What the person in front of the machine does next.
    pub const fn action(self) -> &'static str {
        match self {
            Self::UserDataInvalid => {
                "Correct the user-data at the named line, check it with `landfall validate`, and build the medium again."
            }
            Self::UserDataMissing => {
                "Build the medium with user-data (`landfall media iso --user-data FILE`)."
            }
            Self::UserDataUnreachable => {
                "Correct `config_url`, the server or its certificate, and start the machine again."
            }
            Self::NoNetwork => {
                "Check the cable, the switch port and the DHCP server, or give an address with `ip=`, and start the machine again."
            }
            Self::SiteVolume => {
                "Connect one volume `cidata` with a file `user-data`, or none, and start the machine again."
            }
            Self::NoDisk => {
                "Connect a disk, check that the firmware lists it, and start the machine again."
            }
            Self::SeveralDisks => {
                "Name the disk in the user-data, for example `landfall.disk: {serial: ...}`."
            }
            Self::DiskTooSmall => {
                "Use a disk of at least the size named, or make `install.partitions` smaller."
            }
            Self::DiskBusy => "Unmount or release the disk and try again.",
            Self::DiskReadOnly => "Remove the write protection of the disk or use another disk.",
            Self::DiskNotFound => {
                "Correct `install.device` or `landfall.disk`; the disks of this machine are listed above."
            }
            Self::DiskIsMedium => "Choose a disk that is not the install medium.",
            Self::LayoutImpossible => {
                "Correct `install.partitions` or `install.extra-partitions` in the user-data."
            }
            Self::DiskHoldsData => {
                "Save what is on the disk; then allow it to be erased with `landfall.wipe: foreign` in the user-data."
            }
            Self::DiskUnreadable => "Check the disk and its cable, or replace it.",
            Self::DiskPaths => {
                "Leave only one path to the disk connected; multipath is not supported."
            }
            Self::DiskChanged => "Leave the disks as they are and start the install again.",
            Self::InstalledAlready => {
                "Remove the install medium; to install again, press R or give the user-data a new `landfall.nonce`."
            }
            Self::MediumNotFound => {
                "Leave the install medium connected and start the machine again."
            }
            Self::PayloadMissing
            | Self::PayloadIncomplete
            | Self::ManifestInvalid
            | Self::BootFilesBad => {
                "Write the medium again and compare its SHA-256 with the .sha256 file beside the ISO."
            }
            Self::RecoveryOnly => "Choose what to do with one of the keys below.",
            Self::RecoveryDisk | Self::RecoveryMount | Self::RecoveryPayload => {
                "Restart the machine; to repair its disk, start it from an install medium."
            }
            Self::ResetFailed => {
                "Restart the machine, or try it again; if it fails again, the disk may be worn out: replace it."
            }
            Self::ResetUnfinished => {
                "Try it again; if it fails again, replace the disk and start from an install medium."
            }
            Self::NotInstalled => {
                "Choose the disk that holds the installation, or install anew with `landfall.mode: fresh`, which loses all data."
            }
            Self::NothingToKeep => {
                "Save what can be saved; then reset the machine from its recovery system, or install anew with `landfall.mode: fresh`. Both lose all data."
            }
            Self::NoRoomToKeep | Self::OtherKind => {
                "Save the data, then install anew with `landfall.mode: fresh`, which loses all data on the disk."
            }
            Self::ToolMissing => "Rebuild the provider image with Landfall's dracut module.",
            Self::ChunkBad => {
                "The medium is damaged: write it again, compare its SHA-256, and start the install again."
            }
            Self::WriteFailed | Self::ReadBackDiffers => {
                "The disk does not keep what is written: replace it and start the install again."
            }
            Self::StageStopped => {
                "Do what the reason says, or correct the stage before-install of the user-data, and start the install again."
            }
            Self::ProgramFailed | Self::MountFailed => {
                "Start the install again; if it fails at the same step, send us the log."
            }
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A reason with its code: the error that ends an install in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Stable code.
    pub code: Code,
    /// One sentence: what is wrong, where.
    pub reason: String,
}

impl Trouble {
    /// A trouble from its code and one sentence.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

impl std::error::Error for Trouble {}

/// Gives an error its code where the place of the failure decides it; an error that already has a code keeps it.
pub trait OrTrouble<T> {
    /// Wraps the error (with its whole chain) as the reason.
    fn or_trouble(self, code: Code) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrTrouble<T> for Result<T, E> {
    fn or_trouble(self, code: Code) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            if find(&error).is_some() {
                return error;
            }
            Trouble::new(code, format!("{error:#}")).into()
        })
    }
}

/// The trouble in a chain of errors, if one of them is.
pub fn find(error: &anyhow::Error) -> Option<&Trouble> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Trouble>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_codes_read_the_same() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
    }

    #[test]
    fn every_code_has_its_section_in_the_documentation() {
        let page = include_str!("../../docs/errors.md");
        for code in Code::ALL {
            assert!(
                page.contains(&format!("### {code}\n")),
                "docs/errors.md says nothing of {code}"
            );
        }
    }

    #[test]
    fn an_error_that_has_a_code_keeps_it() {
        let inner: anyhow::Result<()> = Err(Trouble::new(Code::ChunkBad, "chunk 3").into());
        let outer = inner.or_trouble(Code::WriteFailed).unwrap_err();
        assert_eq!(
            find(&outer).map(|trouble| trouble.code),
            Some(Code::ChunkBad)
        );
    }
}
