//! What a partition is for, and the names that other programs know it by.
//!
//! The names, labels and types are the contract with `kairos-agent`, `CanvOS` and the Palette agent
//! (`findfs PARTLABEL=oem`, `mount -L COS_STATE`): changing one breaks upgrades of machines in the field.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::{Uuid, uuid};

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Raw space where GRUB's core image for BIOS lies.
    BiosBoot,
    /// The EFI system partition: shim and GRUB for UEFI.
    Esp,
    /// Configuration: user-data and the GRUB environment.
    Oem,
    /// The install medium's content, to repair or reinstall from.
    Recovery,
    /// The slot images.
    State,
    /// Everything that survives an upgrade.
    Persistent,
    /// A partition that the user asked for. Landfall makes it and does not mount it.
    Extra,
}

impl Role {
    /// The GPT partition name; an extra partition has the user's.
    pub const fn partition_name(self) -> Option<&'static str> {
        match self {
            Self::BiosBoot => Some("bios"),
            Self::Esp => Some("efi"),
            Self::Oem => Some("oem"),
            Self::Recovery => Some("recovery"),
            Self::State => Some("state"),
            Self::Persistent => Some("persistent"),
            Self::Extra => None,
        }
    }

    /// The label of the filesystem inside; an extra partition has the user's, the BIOS boot partition none.
    pub const fn filesystem_label(self) -> Option<&'static str> {
        match self {
            Self::Esp => Some("COS_GRUB"),
            Self::Oem => Some("COS_OEM"),
            Self::Recovery => Some("COS_RECOVERY"),
            Self::State => Some("COS_STATE"),
            Self::Persistent => Some("COS_PERSISTENT"),
            Self::BiosBoot | Self::Extra => None,
        }
    }

    /// The filesystem inside; an extra partition has the user's choice.
    pub const fn filesystem(self) -> Option<Filesystem> {
        match self {
            Self::BiosBoot => Some(Filesystem::Raw),
            Self::Esp => Some(Filesystem::Vfat),
            Self::Oem | Self::Recovery | Self::State | Self::Persistent => Some(Filesystem::Ext4),
            Self::Extra => None,
        }
    }

    /// The GPT partition type (UEFI 2.10, table 5.7; GRUB manual, "BIOS installation"; Discoverable Partitions).
    pub const fn type_guid(self) -> Uuid {
        match self {
            Self::BiosBoot => uuid!("21686148-6449-6e6f-744e-656564454649"),
            Self::Esp => uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
            Self::Oem | Self::Recovery | Self::State | Self::Persistent | Self::Extra => {
                uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4")
            }
        }
    }

    /// The GPT attribute bits: 0 "required by the platform" on the ESP, 2 "legacy BIOS bootable" on the BIOS boot
    /// partition, as Kairos sets them (UEFI 2.10, table 5.8).
    pub const fn attributes(self) -> u64 {
        match self {
            Self::Esp => 1,
            Self::BiosBoot => 1 << 2,
            Self::Oem | Self::Recovery | Self::State | Self::Persistent | Self::Extra => 0,
        }
    }
}

/// What a partition is formatted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    /// Nothing: the partition is left as it is after wiping.
    Raw,
    /// FAT, the size of its table chosen by the formatter.
    Vfat,
    /// ext2.
    Ext2,
    /// ext3.
    Ext3,
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

impl Filesystem {
    /// The name, as in `mkfs.<name>` and in a user's `fs:`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "none",
            Self::Vfat => "vfat",
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The longest label that fits its superblock, in bytes.
    pub const fn longest_label(self) -> usize {
        match self {
            Self::Raw => 0,
            Self::Vfat => 11,
            Self::Ext2 | Self::Ext3 | Self::Ext4 => 16,
            Self::Xfs => 12,
            Self::Btrfs => 255,
        }
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// A filesystem that nobody here can make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown filesystem {0:?}; known are none, vfat, ext2, ext3, ext4, xfs and btrfs")]
pub struct UnknownFilesystem(pub String);

impl FromStr for Filesystem {
    type Err = UnknownFilesystem;

    /// Reads a user's `fs:`. `-`, `none` and `noformat` leave the partition raw, as in Kairos.
    fn from_str(text: &str) -> Result<Self, UnknownFilesystem> {
        match text {
            "-" | "none" | "noformat" => Ok(Self::Raw),
            "vfat" => Ok(Self::Vfat),
            "ext2" => Ok(Self::Ext2),
            "ext3" => Ok(Self::Ext3),
            "ext4" => Ok(Self::Ext4),
            "xfs" => Ok(Self::Xfs),
            "btrfs" => Ok(Self::Btrfs),
            other => Err(UnknownFilesystem(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_and_labels_are_the_contract_with_kairos() {
        for (role, name, label, filesystem) in [
            (Role::BiosBoot, Some("bios"), None, Some(Filesystem::Raw)),
            (
                Role::Esp,
                Some("efi"),
                Some("COS_GRUB"),
                Some(Filesystem::Vfat),
            ),
            (
                Role::Oem,
                Some("oem"),
                Some("COS_OEM"),
                Some(Filesystem::Ext4),
            ),
            (
                Role::Recovery,
                Some("recovery"),
                Some("COS_RECOVERY"),
                Some(Filesystem::Ext4),
            ),
            (
                Role::State,
                Some("state"),
                Some("COS_STATE"),
                Some(Filesystem::Ext4),
            ),
            (
                Role::Persistent,
                Some("persistent"),
                Some("COS_PERSISTENT"),
                Some(Filesystem::Ext4),
            ),
            (Role::Extra, None, None, None),
        ] {
            assert_eq!(
                (
                    role.partition_name(),
                    role.filesystem_label(),
                    role.filesystem()
                ),
                (name, label, filesystem)
            );
        }
    }

    #[test]
    fn every_fixed_label_fits_its_filesystem() {
        for role in [
            Role::Esp,
            Role::Oem,
            Role::Recovery,
            Role::State,
            Role::Persistent,
        ] {
            let label = role.filesystem_label().unwrap();
            assert!(
                label.len() <= role.filesystem().unwrap().longest_label(),
                "{label}"
            );
        }
    }

    #[test]
    fn the_words_of_kairos_for_no_filesystem_are_understood() {
        for word in ["-", "none", "noformat"] {
            assert_eq!(word.parse(), Ok(Filesystem::Raw));
        }
        for filesystem in [
            Filesystem::Vfat,
            Filesystem::Ext2,
            Filesystem::Ext3,
            Filesystem::Ext4,
            Filesystem::Xfs,
            Filesystem::Btrfs,
        ] {
            assert_eq!(filesystem.name().parse(), Ok(filesystem));
        }
        for word in ["", "EXT4", "ntfs"] {
            assert_eq!(
                word.parse::<Filesystem>(),
                Err(UnknownFilesystem(word.to_owned()))
            );
        }
    }
}
