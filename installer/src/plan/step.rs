//! One change to a disk, and how it is said.

use std::fmt;

use partition::{ByteRange, Bytes, Filesystem};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::nvram::Change;
use crate::report::Phase;

/// One change to the disk.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Overwrites the places where old tables and file systems would be found.
    Wipe {
        /// Byte ranges of the disk.
        ranges: Vec<ByteRange>,
    },
    /// Writes the partition table, without boot code.
    WriteTable,
    /// Makes a disk whose table stays unbootable: the boot sector says that the installation is not finished, and the EFI
    /// system partition is gone.
    StopBooting {
        /// Byte ranges of the disk that are overwritten with zeroes.
        ranges: Vec<ByteRange>,
        /// Boot code of sector 0.
        boot_code: Content,
    },
    /// Makes a file system.
    MakeFilesystem {
        /// Number of the partition.
        partition: u32,
        /// Name of the partition.
        name: String,
        /// Type.
        filesystem: Filesystem,
        /// Label in the superblock.
        label: Option<String>,
        /// UUID in the superblock; the volume id of FAT is its first four bytes.
        uuid: Uuid,
    },
    /// Mounts a partition where the following steps write.
    Mount {
        /// Number of the partition.
        partition: u32,
        /// Name of the partition, and of its mount point.
        name: String,
    },
    /// Streams the payload once, into slots and into the compressed copy for recovery.
    WriteImages {
        /// Image files to write.
        slots: Vec<Place>,
        /// The copy as it is on the medium; none where the recovery partition is the medium.
        recovery: Option<Place>,
        /// Bytes of one slot image.
        size: u64,
    },
    /// Reads back what `WriteImages` wrote and compares it with the manifest.
    VerifyImages {
        /// Image files to read.
        slots: Vec<Place>,
        /// The copy for recovery.
        recovery: Option<Place>,
    },
    /// Gives a verified file the name of another, which is gone then: one rename.
    Replace {
        /// The file that is complete.
        from: Place,
        /// The name it gets.
        to: Place,
    },
    /// Removes a file.
    Remove {
        /// Which.
        place: Place,
    },
    /// Writes over the bytes of a file of the same length: the blocks stay where they are, so that GRUB, which replays
    /// no journal, sees the new content as soon as it is on the disk.
    Overwrite {
        /// Which.
        to: Place,
        /// Content, exactly as long as the file.
        content: Content,
        /// What it is for.
        purpose: &'static str,
    },
    /// Copies a file of the payload.
    CopyFile {
        /// Path in the payload.
        from: String,
        /// Where to.
        to: Place,
    },
    /// Writes a file whose content is known now.
    WriteFile {
        /// Where to.
        to: Place,
        /// Content.
        content: Content,
        /// Mode bits.
        mode: u32,
    },
    /// Writes GRUB's core image where its boot code looks for it: into the BIOS boot partition of a GPT, or behind an MBR.
    EmbedBios {
        /// Byte of the disk.
        at: Bytes,
        /// The image with its block list.
        core: Content,
    },
    /// Makes the folders and files of the EFI system partition; the boot file still has a name that no firmware
    /// looks for.
    FillEsp {
        /// Number of the partition.
        partition: u32,
        /// Folders, parents first.
        folders: Vec<String>,
        /// Path in the payload, path on the partition.
        copies: Vec<(String, String)>,
        /// Files whose content is known now.
        files: Vec<(String, Content)>,
    },
    /// Gives files of the EFI system partition that wait beside others the names of those others.
    NameEspFiles {
        /// Number of the partition.
        partition: u32,
        /// Waiting name, name.
        names: Vec<(String, String)>,
    },
    /// Writes the boot sector of a disk that has its table already.
    WriteBootSector {
        /// Boot code of sector 0.
        boot_code: Content,
        /// See [`Step::MakeBootable`].
        active: bool,
    },
    /// Puts an entry for this disk first in the firmware's boot order. Its failure is a note.
    BootEntry {
        /// What is written.
        change: Change,
    },
    /// Runs a stage of the operator, with its `.before` and `.after`.
    RunStage {
        /// Name of the stage.
        stage: &'static str,
        /// In which system.
        within: Within,
        /// Where its steps are written.
        origin: Origin,
    },
    /// Leaves log and report of the install on the persistent partition.
    KeepLog {
        /// Folder.
        to: Place,
    },
    /// Syncs and unmounts everything.
    Unmount,
    /// Gives the boot file its name and writes the boot sector. The last step: before it, the disk does not boot.
    MakeBootable {
        /// Number of the EFI system partition; an MBR has none.
        #[serde(skip_serializing_if = "Option::is_none")]
        partition: Option<u32>,
        /// Boot code of sector 0.
        boot_code: Content,
        /// Whether the protective entry of a GPT gets the active flag.
        active: bool,
    },
}

/// The system in which a stage runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Within {
    /// The one that installs.
    Installer,
    /// The one that was installed, as far as it is there.
    NewSystem,
}

/// Where the steps of a stage are written.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In this stage file, which is made of the user-data.
    UserData(Content),
    /// In the files of the OEM partition.
    Oem,
}

/// A file on a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Name of the partition, which is also the name of its mount point.
    pub partition: &'static str,
    /// Path below its root, without a leading slash.
    pub path: String,
}

impl Place {
    pub(super) fn new(partition: &'static str, path: impl Into<String>) -> Self {
        Self {
            partition,
            path: path.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:/{}", self.partition, self.path)
    }
}

/// Bytes to be written; never shown, since they may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(pub Vec<u8>);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl Step {
    /// The part of the install that the step belongs to.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Wipe { .. }
            | Self::WriteTable
            | Self::StopBooting { .. }
            | Self::MakeFilesystem { .. }
            | Self::Mount { .. } => Phase::Prepare,
            Self::RunStage { stage, .. } => phase_of(stage),
            Self::WriteImages { .. } => Phase::Write,
            Self::VerifyImages { .. } | Self::Replace { .. } => Phase::Verify,
            Self::CopyFile { .. } | Self::WriteFile { .. } | Self::Remove { .. } => {
                Phase::Configure
            }
            Self::EmbedBios { .. }
            | Self::FillEsp { .. }
            | Self::NameEspFiles { .. }
            | Self::WriteBootSector { .. }
            | Self::Overwrite { .. }
            | Self::BootEntry { .. }
            | Self::KeepLog { .. }
            | Self::Unmount
            | Self::MakeBootable { .. } => Phase::Boot,
        }
    }
}

/// Stages run before the system is written, or when all but the last steps are done.
const fn phase_of(stage: &str) -> Phase {
    match stage.as_bytes() {
        [b'b', b'e', b'f', b'o', b'r', b'e', ..] => Phase::Prepare,
        _ => Phase::Boot,
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wipe { ranges } => write!(
                f,
                "wipe old tables and signatures ({} places)",
                ranges.len()
            ),
            Self::WriteTable => write!(f, "write the partition table"),
            Self::StopBooting { .. } => write!(f, "stop the old system from booting"),
            Self::MakeFilesystem {
                name,
                filesystem,
                label,
                ..
            } => {
                write!(f, "make file system {filesystem} on {name}")?;
                label
                    .as_ref()
                    .map_or(Ok(()), |label| write!(f, " ({label})"))
            }
            Self::Mount { name, .. } => write!(f, "mount {name}"),
            Self::WriteImages {
                slots, recovery, ..
            } => {
                let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
                write!(f, "write {}", slots.join(", "))?;
                recovery
                    .as_ref()
                    .map_or(Ok(()), |copy| write!(f, " and {copy}"))
            }
            Self::VerifyImages { .. } => write!(f, "read back and verify the images"),
            Self::Replace { from, to } => write!(f, "put {from} in the place of {to}"),
            Self::Remove { place } => write!(f, "remove {place}"),
            Self::Overwrite { to, purpose, .. } => write!(f, "{purpose} ({to})"),
            Self::CopyFile { from, to } => write!(f, "copy {from} to {to}"),
            Self::WriteFile { to, .. } => write!(f, "write {to}"),
            Self::EmbedBios { .. } => write!(f, "write GRUB for BIOS"),
            Self::FillEsp { .. } => write!(f, "fill the EFI system partition"),
            Self::NameEspFiles { .. } => write!(f, "put the new files in place on the ESP"),
            Self::WriteBootSector { .. } => write!(f, "write the boot sector"),
            Self::RunStage {
                stage,
                within: Within::Installer,
                ..
            } => write!(f, "run the stage {stage}"),
            Self::RunStage { stage, .. } => write!(f, "run the stage {stage} in the new system"),
            Self::BootEntry { change } => write!(
                f,
                "put {} ({}) first in the firmware's boot order",
                change.entry,
                crate::nvram::LABEL
            ),
            Self::KeepLog { to } => write!(f, "keep the log in {to}"),
            Self::Unmount => write!(f, "unmount and sync"),
            Self::MakeBootable { .. } => write!(f, "make the disk bootable"),
        }
    }
}
