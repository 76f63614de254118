//! What the operator wants, valid by construction: user-data after validation, without YAML and without doubt.

use std::path::{Path, PathBuf};

use anyhow::Result;
use partition::{Bytes, Extra, Filesystem, Table};
use userdata::{Afterwards, Device, Mode, Secret, UserData, Wipe};

use crate::choose::Wish;
use crate::code::{Code, Trouble};
use crate::report::Next;

/// The configuration of an install.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which disk.
    pub wish: Wish,
    /// What may be erased from it.
    pub wipe: Wipe,
    /// What becomes of an installation that is there.
    pub mode: Mode,
    /// What happens after a good end.
    pub next: Next,
    /// The kind of partition table.
    pub table: Table,
    /// Sizes that the operator gave.
    pub sizes: Sizes,
    /// Partitions beside Landfall's own.
    pub extra: Vec<Extra>,
    /// Title of the default menu entry.
    pub menu_title: Option<String>,
    /// Variables for the GRUB environment on OEM.
    pub grub_env: Vec<(String, String)>,
    /// `landfall.nonce`: while a medium stays in the machine, each value of it is installed once.
    pub nonce: Option<String>,
    /// Files for the OEM partition.
    pub oem_files: Vec<OemFile>,
}

/// Sizes of partitions, where they differ from the computed ones.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the names are the partitions")]
pub struct Sizes {
    pub efi: Option<Bytes>,
    pub oem: Option<Bytes>,
    pub recovery: Option<Bytes>,
    pub state: Option<Bytes>,
    pub persistent: Option<Bytes>,
}

/// A file in the root of the OEM partition.
#[derive(Debug, Clone)]
pub struct OemFile {
    /// Name.
    pub name: String,
    /// Text; it may hold the registration token.
    pub text: Secret,
    /// Mode bits.
    pub mode: u32,
}

/// The key of `install.grub_options` that is not for the environment block on OEM but for the one on state.
const MENU_TITLE: &str = "default_menu_entry";

/// Turns user-data into a configuration. `disk` is `--disk`: a path wins over `install.device` and `landfall.disk`, `auto`
/// leaves them.
///
/// `hash` turns a clear password into what may stand in a file.
pub fn configure(
    user_data: &UserData,
    disk: &str,
    hash: &mut dyn FnMut(&str) -> String,
) -> Result<Config> {
    let install = &user_data.install;
    let mib = |size: Option<u64>| size.and_then(Bytes::from_mib);
    let partitions = &install.partitions;
    let mut options = install.grub_options.clone();
    let menu_title = options.remove(MENU_TITLE);
    Ok(Config {
        wish: wish(disk, user_data),
        wipe: user_data.landfall.wipe,
        mode: user_data.landfall.mode,
        next: match install.afterwards() {
            Afterwards::Poweroff => Next::Poweroff,
            Afterwards::Reboot => Next::Reboot,
            Afterwards::Wait => Next::Wait,
        },
        table: match user_data.landfall.table {
            userdata::Table::Gpt => Table::Gpt,
            userdata::Table::Mbr => Table::Mbr,
        },
        sizes: Sizes {
            efi: mib(partitions.efi),
            oem: mib(partitions.oem),
            recovery: mib(partitions.recovery),
            state: mib(partitions.state),
            persistent: mib(partitions.persistent),
        },
        extra: install
            .extra_partitions
            .iter()
            .map(extra)
            .collect::<Result<_>>()?,
        menu_title,
        grub_env: options.into_iter().collect(),
        nonce: user_data.landfall.nonce.clone(),
        oem_files: oem_files(user_data, hash),
    })
}

fn wish(disk: &str, user_data: &UserData) -> Wish {
    let path = match (disk, &user_data.install.device) {
        ("auto", Device::Auto) => {
            let selector = user_data.landfall.disk.clone();
            return selector.map_or(Wish::Auto, Wish::Like);
        }
        ("auto", Device::Path(path)) => PathBuf::from(path),
        (path, _) => PathBuf::from(path),
    };
    Wish::Path(resolve(&path))
}

/// Follows `/dev/disk/by-*/` links; a name that leads nowhere stays, and the choice will say that it does not exist.
fn resolve(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn extra(wanted: &userdata::ExtraPartition) -> Result<Extra> {
    let invalid = |reason: String| {
        Trouble::new(
            Code::LayoutImpossible,
            format!("install.extra-partitions: {reason}"),
        )
    };
    let filesystem = match wanted.fs.as_deref() {
        // Kairos makes ext2 when nothing is said; ext4 reads as well everywhere and survives a power cut.
        None => Filesystem::Ext4,
        Some(name @ ("xfs" | "btrfs")) => {
            let known = "ext2, ext3, ext4, vfat and none are possible";
            return Err(invalid(format!(
                "{}: fs: {name} is not made by this version; {known}",
                wanted.name
            ))
            .into());
        }
        Some(name) => name
            .parse()
            .map_err(|error: partition::UnknownFilesystem| invalid(error.to_string()))?,
    };
    Ok(Extra {
        name: wanted.name.clone(),
        size: Bytes::from_mib(wanted.size)
            .ok_or_else(|| invalid(format!("{} has an impossible size", wanted.name)))?,
        filesystem,
        label: wanted.label.clone(),
    })
}

fn oem_files(user_data: &UserData, hash: &mut dyn FnMut(&str) -> String) -> Vec<OemFile> {
    let install = &user_data.install;
    let mut files = vec![OemFile {
        name: "90_custom.yaml".to_owned(),
        text: Secret::new(user_data.oem_document(hash)),
        // Kairos writes 0640; nobody but root has a reason to read the token.
        mode: 0o600,
    }];
    if let Some(text) =
        userdata::custom_mounts_document(&install.bind_mounts, &install.ephemeral_mounts)
    {
        files.push(OemFile {
            name: "10_user_custom_mounts.yaml".to_owned(),
            text: Secret::new(text),
            mode: 0o400,
        });
    }
    files
}
