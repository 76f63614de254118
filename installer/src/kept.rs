//! Reads the installation on a disk of which something stays. Nothing is written: partitions are mounted read-only, and
//! journals are not replayed.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use host::{Host, LoopRequest, Mount};
use image::Manifest;
use nix::sys::statvfs::statvfs;
use partition::{Partition, Role, SectorSize, read_back};

use crate::apply::{loop_over, read_at};
use crate::check;
use crate::code::{Code, OrTrouble, Trouble};
use crate::config::configure;
use crate::machine::Disk;
use crate::plan::env;
use crate::plan::keep::{CUSTOM_MOUNTS, Kept, Oem};
use crate::plan::reset::{CLUSTER_STAGES, layout_of};
use crate::register;
use crate::superblock;

/// Reads what is on `disk`; `repair` if OEM is to stay as it is.
///
/// A disk without the partitions of Landfall is refused. That what is on them makes no sense is for the plan to judge.
pub fn read(disk: &Disk, repair: bool, host: &mut impl Host) -> Result<Kept> {
    let file = File::open(&disk.path)
        .with_context(|| disk.to_string())
        .or_trouble(Code::DiskNotFound)?;
    let foreign = |error: String| {
        let reason = format!("{disk} has no installation of Landfall: {error}");
        Trouble::new(Code::NotInstalled, reason)
    };
    let sector = SectorSize::try_from(u64::from(disk.sector)).or_trouble(Code::LayoutImpossible)?;
    let table = read_back(&mut &file, sector).map_err(|error| foreign(error.to_string()))?;
    let layout = layout_of(&table).map_err(|error| foreign(reason_of(&error)))?;
    let named = |role: Role| {
        let part = layout.partition(role).cloned();
        part.ok_or_else(|| foreign(format!("there is no {role:?} partition")))
    };
    let persistent = named(Role::Persistent)?;
    let superblock = read_at(
        &file,
        persistent.start.get() + superblock::OFFSET,
        superblock::LENGTH,
    );
    let oem = visit(disk, &named(Role::Oem)?, host, look_at_oem);
    let kind = visit(disk, &named(Role::Recovery)?, host, |root| {
        Ok(Manifest::read(&root.join("landfall/payload"))?.kind)
    });
    let menu_title = visit(disk, &named(Role::State)?, host, |root| {
        let variables = env::parse(&fs::read(root.join("grub_oem_env"))?);
        let variables = variables.context("grub_oem_env is no environment block")?;
        Ok(env::value(&variables, "default_menu_entry").to_owned())
    });
    Ok(Kept {
        repair,
        layout,
        persistent: superblock.ok().and_then(|bytes| superblock::read(&bytes)),
        oem: oem.map_err(|error| format!("{error:#}")),
        // Both are on partitions that are made anew: a run that was cut off has left nothing to read.
        kind: kind.ok(),
        menu_title: menu_title.ok().filter(|title| !title.is_empty()),
    })
}

fn reason_of(error: &anyhow::Error) -> String {
    crate::code::find(error).map_or_else(|| format!("{error:#}"), |trouble| trouble.reason.clone())
}

fn look_at_oem(root: &Path) -> Result<Oem> {
    let room = statvfs(root).context("the room on it")?;
    let mut oem = Oem {
        grubenv: fs::read(root.join("grubenv")).ok(),
        cluster_stages: root.join(CLUSTER_STAGES).exists(),
        custom_mounts: root.join(CUSTOM_MOUNTS).exists(),
        free: room.blocks_available() * room.fragment_size(),
        grub_options: Vec::new(),
    };
    // Without it, none of the variables is known to come from user-data.
    if let Ok(user_data) = register::read_user_data(&root.join(register::USER_DATA))
        && let Ok(config) = configure(&user_data, "auto", &mut |_| "!".to_owned())
    {
        oem.grub_options = config.grub_env;
    }
    Ok(oem)
}

/// Lends a partition to `look`.
fn visit<T>(
    disk: &Disk,
    partition: &Partition,
    host: &mut impl Host,
    look: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let work = check::work_folder()?;
    let at = work.join(&partition.name);
    fs::create_dir_all(&at).with_context(|| format!("creating {}", at.display()))?;
    let request = LoopRequest {
        read_only: true,
        ..loop_over(disk, partition)
    };
    let device = host.attach_loop(&request)?;
    let mount = Mount::new(&device, &at, "ext4")
        .read_only()
        .options("noload");
    let looked = host.mount(&mount).and_then(|()| {
        let looked = look(&at);
        host.unmount(&at).and(looked)
    });
    let detached = host.detach_loop(&device);
    drop(fs::remove_dir(&at));
    drop(fs::remove_dir(&work));
    looked.and_then(|seen| detached.map(|()| seen))
}
