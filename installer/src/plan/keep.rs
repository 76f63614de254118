//! What of an installation stays when its disk is installed again (`landfall.mode`).
//!
//! The partition table is not written. The persistent and the extra partitions are never opened for writing. OEM is
//! mounted and gets files (`keep-data`) or next to none (`repair`). Everything that boots is made anew, and from the
//! first write to the last the disk does not boot, as in any installation: a run that was cut off is simply run again.

use std::collections::BTreeSet;

use anyhow::Result;
use image::Kind;
use partition::{ByteRange, Bytes, Layout, Partition, Role};
use serde::Serialize;
use uuid::Uuid;

use super::env::{self, Variables};
use super::{
    Content, Inputs, MENU_TITLE, NEXT_ENTRY, Place, REGISTRATION, SAVED_ENTRY, Step,
    make_filesystem, mount, of, render,
};
use crate::apply::unfinished_boot_code;
use crate::code::{Code, OrTrouble, Trouble};
use crate::hooks::AROUND_INSTALL;
use crate::superblock::Superblock;

/// The default menu entry of a host that is part of a cluster.
const ACTIVE_ENTRY: &str = "cos";

/// The file with the operator's bind mounts, which the user-data may or may not ask for.
pub const CUSTOM_MOUNTS: &str = "10_user_custom_mounts.yaml";

/// Where the log goes: the persistent partition is not touched.
const LOG_FOLDER: &str = "landfall/log";

/// Room for the files of OEM beside those that are there, and for their directory.
const OEM_SPARE: u64 = 256 << 10;

/// Room on the EFI system partition beside the files.
const ESP_SPARE: u64 = 2 << 20;

/// An installation that is on the disk, read before anything is written, and how much of it stays.
#[derive(Debug, Clone)]
pub struct Kept {
    /// OEM stays too (`repair`).
    pub repair: bool,
    /// The partitions.
    pub layout: Layout,
    /// Superblock of the persistent partition.
    pub persistent: Option<Superblock>,
    /// The OEM partition, or why it cannot be read.
    pub oem: Result<Oem, String>,
    /// Kind of the image that is installed; `None` if nothing tells it any more.
    pub kind: Option<Kind>,
    /// Title of the default menu entry.
    pub menu_title: Option<String>,
    /// What GRUB counted up on the disk, and what tells it from a copy.
    pub turn: Option<String>,
}

/// What is on the OEM partition.
#[derive(Debug, Clone, Default)]
pub struct Oem {
    /// `grubenv`.
    pub grubenv: Option<Vec<u8>>,
    /// `install.grub_options` of the user-data there.
    pub grub_options: Vec<(String, String)>,
    /// Palette's agent has left its stages: the host is part of a cluster.
    pub cluster_stages: bool,
    /// [`CUSTOM_MOUNTS`] is there.
    pub custom_mounts: bool,
    /// Bytes that are free.
    pub free: u64,
}

/// A partition that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Keeps {
    /// Its name.
    pub partition: String,
    /// Its size in bytes.
    pub size: Bytes,
}

impl std::fmt::Display for Keeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = tui::plain::human_bytes(self.size.get());
        write!(f, "{} ({size})", self.partition)
    }
}

/// Refuses what cannot end well, before anything is written.
pub(super) fn check(inputs: &Inputs<'_>, kept: &Kept) -> Result<(), Trouble> {
    check_persistent(&kept.layout, kept.persistent.as_ref())?;
    check_kind(inputs, kept)?;
    check_extra(inputs, kept)?;
    check_room(inputs, kept)?;
    check_oem(inputs, kept)
}

/// A file system that the new system can mount; that it had errors is no reason to destroy it.
pub fn check_persistent(layout: &Layout, superblock: Option<&Superblock>) -> Result<(), Trouble> {
    let refuse = |reason: String| Err(Trouble::new(Code::NothingToKeep, reason));
    let size = layout.partition(Role::Persistent).map(|part| part.size);
    let Some(superblock) = superblock else {
        return refuse("partition persistent has no ext4 file system".to_owned());
    };
    let label = Role::Persistent.filesystem_label().unwrap_or_default();
    if superblock.label != label {
        return refuse(format!(
            "the file system on partition persistent has the label `{}`, not {label}",
            superblock.label
        ));
    }
    if size.is_none_or(|size| superblock.size > size.get()) {
        return refuse(
            "the file system on partition persistent is larger than its partition".to_owned(),
        );
    }
    Ok(())
}

fn check_kind(inputs: &Inputs<'_>, kept: &Kept) -> Result<(), Trouble> {
    let new = inputs.payload.manifest.kind;
    match kept.kind {
        Some(old) if old != new => Err(Trouble::new(
            Code::OtherKind,
            format!(
                "the disk has an image of the kind {old:?}, the medium one of the kind {new:?}"
            ),
        )),
        _ => Ok(()),
    }
}

/// The system expects the partitions that its user-data names.
fn check_extra(inputs: &Inputs<'_>, kept: &Kept) -> Result<(), Trouble> {
    if kept.repair {
        return Ok(());
    }
    let there = |name: &str| {
        kept.layout
            .partitions()
            .iter()
            .any(|part| part.name == name)
    };
    match inputs.config.extra.iter().find(|extra| !there(&extra.name)) {
        None => Ok(()),
        Some(extra) => Err(Trouble::new(
            Code::NoRoomToKeep,
            format!(
                "install.extra-partitions asks for {}, which the disk does not have, and the partitions stay as they are",
                extra.name
            ),
        )),
    }
}

fn check_room(inputs: &Inputs<'_>, kept: &Kept) -> Result<(), Trouble> {
    let payload = inputs.payload;
    let size = |path: &str| payload.manifest.file(path).map_or(0, |file| file.size);
    // On the recovery partition kernel and initrd are there twice: to be started, and in the payload.
    let medium = payload
        .size()
        .saturating_add(size("boot/vmlinuz"))
        .saturating_add(size("boot/initrd"));
    let image = Bytes::new(payload.manifest.raw_size);
    kept.layout
        .room_for(image, Bytes::new(medium))
        .map_err(|error| Trouble::new(Code::NoRoomToKeep, error.to_string()))?;
    let esp: u64 = ["boot/shimx64.efi", "boot/grubx64.efi", "boot/mmx64.efi"]
        .map(size)
        .iter()
        .sum::<u64>()
        .saturating_add(ESP_SPARE);
    match kept.layout.partition(Role::Esp) {
        Some(part) if part.size.get() < esp => Err(Trouble::new(
            Code::NoRoomToKeep,
            format!("the boot files need {esp} bytes on partition efi"),
        )),
        _ => Ok(()),
    }
}

fn check_oem(inputs: &Inputs<'_>, kept: &Kept) -> Result<(), Trouble> {
    match &kept.oem {
        Err(reason) if kept.repair => Err(Trouble::new(
            Code::NothingToKeep,
            format!("partition oem cannot be read: {reason}"),
        )),
        Err(_) => Ok(()),
        Ok(oem) => {
            let files = inputs.config.oem_files.iter().filter(|_| !kept.repair);
            let new: u64 = files.map(|file| file.text.reveal().len() as u64).sum();
            // Each file is written beside the one that it replaces.
            let need = new.saturating_add(OEM_SPARE);
            if oem.free >= need {
                return Ok(());
            }
            Err(Trouble::new(
                Code::NoRoomToKeep,
                format!(
                    "partition oem has {} bytes free, {need} are needed",
                    oem.free
                ),
            ))
        }
    }
}

/// What stays, in the order of the disk; `oem` says whether that can be read.
pub(super) fn keeps(layout: &Layout, oem: bool) -> Vec<Keeps> {
    let stays = |part: &&Partition| match part.role {
        Role::Persistent | Role::Extra => true,
        Role::Oem => oem,
        _ => false,
    };
    let parts = layout.partitions().iter().filter(stays);
    parts
        .map(|part| Keeps {
            partition: part.name.clone(),
            size: part.size,
        })
        .collect()
}

/// What the operator should know.
pub(super) fn notes(inputs: &Inputs<'_>, kept: &Kept) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(superblock) = &kept.persistent {
        if superblock.errors {
            notes.push("partition persistent has errors; it is kept as it is and checked when the system starts".to_owned());
        } else if superblock.in_use {
            notes.push("partition persistent was not unmounted; it is kept as it is".to_owned());
        }
    }
    if let Err(reason) = &kept.oem {
        notes.push(format!(
            "partition oem cannot be read and is made anew, the registration that was on it is lost: {reason}"
        ));
    }
    if AROUND_INSTALL
        .iter()
        .any(|(stage, _)| inputs.hooks.step(stage).is_some())
        || inputs.hooks.passed_over.is_some()
    {
        notes.push("the stages around an installation do not run where data are kept".to_owned());
    }
    let table = kept.layout.table();
    if inputs.config.table != table {
        notes.push(format!(
            "the partition table stays as it is, {table}, whatever landfall.table says"
        ));
    }
    let sizes = &inputs.config.sizes;
    for (wish, role) in [
        (sizes.efi, Role::Esp),
        (sizes.oem, Role::Oem),
        (sizes.recovery, Role::Recovery),
        (sizes.state, Role::State),
        (
            sizes.persistent.filter(|size| !size.is_zero()),
            Role::Persistent,
        ),
    ] {
        let Some((wish, part)) = wish.zip(kept.layout.partition(role)) else {
            continue;
        };
        if wish != part.size {
            notes.push(format!(
                "partition {} stays as it is, {} instead of {wish}",
                part.name, part.size
            ));
        }
    }
    notes
}

/// The first steps: the disk stops booting, and what boots it is made empty.
pub(super) fn start(kept: &Kept, id: &mut impl FnMut() -> Uuid) -> Result<Vec<Step>> {
    let layout = &kept.layout;
    let esp = layout.partition(Role::Esp);
    // What GRUB on a medium takes for the mark of a system: the boot file, or on an MBR the menu.
    let mark = match esp {
        Some(esp) => esp,
        None => of(layout, Role::State)?,
    };
    let mut steps = vec![Step::StopBooting {
        ranges: vec![ByteRange {
            start: mark.start,
            size: Bytes::MIB,
        }],
        boot_code: Content(unfinished_boot_code().to_vec()),
    }];
    let mut anew: Vec<&Partition> = esp.into_iter().collect();
    if kept.oem.is_err() {
        anew.push(of(layout, Role::Oem)?);
    }
    anew.extend([of(layout, Role::Recovery)?, of(layout, Role::State)?]);
    steps.extend(anew.into_iter().map(|part| make_filesystem(part, id())));
    for role in [Role::Oem, Role::Recovery, Role::State] {
        steps.push(mount(of(layout, role)?));
    }
    Ok(steps)
}

/// Where the log is kept.
pub(super) fn log() -> Place {
    Place::new("recovery", LOG_FOLDER)
}

/// Title of the default menu entry.
pub(super) fn menu_title<'a>(inputs: &'a Inputs<'_>, kept: Option<&'a Kept>) -> &'a str {
    let wish = inputs.config.menu_title.as_deref();
    let found = kept.filter(|kept| kept.repair);
    let found = found.and_then(|kept| kept.menu_title.as_deref());
    found.or(wish).unwrap_or(MENU_TITLE)
}

/// Which entry starts is Palette's agent's to say, but for the entry of one boot: one that resets the host would erase
/// what is kept.
pub(super) fn settle_entries(variables: &mut Variables, cluster_stages: bool) {
    if env::value(variables, SAVED_ENTRY).is_empty() {
        let entry = if cluster_stages {
            ACTIVE_ENTRY
        } else {
            REGISTRATION
        };
        env::set(variables, SAVED_ENTRY, entry);
    }
    if !env::value(variables, NEXT_ENTRY).is_empty() {
        env::set(variables, NEXT_ENTRY, "");
    }
}

/// The environment block of a host whose OEM partition stays; `None` if it is right already.
pub(super) fn grubenv(inputs: &Inputs<'_>, kept: &Kept, oem: &Oem) -> Result<Option<Vec<u8>>> {
    let read = oem.grubenv.as_deref().and_then(env::parse);
    let old = &oem.grub_options;
    let mut variables: Variables = read.clone().unwrap_or_else(|| old.clone());
    if !kept.repair {
        let new = &inputs.config.grub_env;
        let names: BTreeSet<&str> = new.iter().map(|(name, _)| name.as_str()).collect();
        let gone =
            |name: &str| !names.contains(name) && old.iter().any(|(option, _)| option == name);
        variables.retain(|(name, _)| !gone(name));
        for (name, value) in new {
            env::set(&mut variables, name, value);
        }
    }
    settle_entries(&mut variables, oem.cluster_stages);
    if read.as_ref() == Some(&variables) {
        return Ok(None);
    }
    render(&variables)
        .or_trouble(Code::UserDataInvalid)
        .map(Some)
}

#[cfg(test)]
mod tests;
