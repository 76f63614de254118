//! Reads the installation on a disk of which something stays. Nothing is written: partitions are mounted read-only, and
//! journals are not replayed.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use host::{Host, LoopRequest, Mount};
use image::Manifest;
use nix::sys::statvfs::statvfs;
use partition::{Layout, Partition, Role, SectorSize, read_back};

use crate::apply::{loop_over, read_at};
use crate::bootloader::TURN;
use crate::check;
use crate::code::{self, Code, OrTrouble, Trouble};
use crate::config::configure;
use crate::contents::{Contents, Owner};
use crate::machine::Disk;
use crate::plan::env;
use crate::plan::keep::{CUSTOM_MOUNTS, Kept, Oem, check_persistent};
use crate::plan::reset::{CLUSTER_STAGES, layout_of};
use crate::register;
use crate::superblock::{self, Superblock};

/// Whether an installation is there whose data could be kept, as far as the disk tells without a mount.
pub fn check(disk: &Disk) -> Result<(), Trouble> {
    let nothing = format!("{disk} has no installation whose data could be kept");
    let ours = |contents: &Contents| contents.owner == Owner::Ours;
    if !disk.contents.as_ref().is_some_and(ours) {
        return Err(Trouble::new(Code::NotInstalled, nothing));
    }
    let look = || -> Result<()> {
        let (file, layout) = read_layout(disk)?;
        let superblock = read_superblock(disk, &file, &layout)?;
        Ok(check_persistent(&layout, superblock.as_ref())?)
    };
    look().map_err(|error| {
        let code = code::find(&error).map_or(Code::NotInstalled, |trouble| trouble.code);
        Trouble::new(code, format!("{nothing}: {}", reason_of(&error)))
    })
}

fn foreign(disk: &Disk, error: &str) -> Trouble {
    let reason = format!("{disk} has no installation of Landfall: {error}");
    Trouble::new(Code::NotInstalled, reason)
}

fn read_layout(disk: &Disk) -> Result<(File, Layout)> {
    let file = File::open(&disk.path)
        .with_context(|| disk.to_string())
        .or_trouble(Code::DiskNotFound)?;
    let sector = SectorSize::try_from(u64::from(disk.sector)).or_trouble(Code::LayoutImpossible)?;
    let table = read_back(&mut &file, sector).map_err(|error| foreign(disk, &error.to_string()))?;
    let layout = layout_of(&table).map_err(|error| foreign(disk, &reason_of(&error)))?;
    Ok((file, layout))
}

fn named<'a>(disk: &Disk, layout: &'a Layout, role: Role) -> Result<&'a Partition, Trouble> {
    let part = layout.partition(role);
    part.ok_or_else(|| foreign(disk, &format!("there is no {role:?} partition")))
}

fn read_superblock(disk: &Disk, file: &File, layout: &Layout) -> Result<Option<Superblock>> {
    let at = named(disk, layout, Role::Persistent)?.start.get() + superblock::OFFSET;
    let bytes = read_at(file, at, superblock::LENGTH).ok();
    Ok(bytes.and_then(|bytes| superblock::read(&bytes)))
}

/// Reads what is on `disk`; `repair` if OEM is to stay as it is.
///
/// A disk without the partitions of Landfall is refused. That what is on them makes no sense is for the plan to judge.
pub fn read(disk: &Disk, repair: bool, host: &mut impl Host) -> Result<Kept> {
    let (file, layout) = read_layout(disk)?;
    let persistent = read_superblock(disk, &file, &layout)?;
    let named = |role| named(disk, &layout, role);
    let oem = visit(disk, named(Role::Oem)?, host, look_at_oem);
    let kind = visit(disk, named(Role::Recovery)?, host, |root| {
        Ok(Manifest::read(&root.join("landfall/payload"))?.kind)
    });
    let variables = visit(disk, named(Role::State)?, host, |root| {
        let variables = env::parse(&fs::read(root.join("grub_oem_env"))?);
        variables.context("grub_oem_env is no environment block")
    });
    let variables = variables.ok();
    let value = |name: &str| {
        let value = env::value(variables.as_ref()?, name).to_owned();
        (!value.is_empty()).then_some(value)
    };
    Ok(Kept {
        repair,
        layout,
        persistent,
        oem: oem.map_err(|error| format!("{error:#}")),
        // Both are on partitions that are made anew: a run that was cut off has left nothing to read.
        kind: kind.ok(),
        menu_title: value("default_menu_entry"),
        turn: value(TURN),
    })
}

fn reason_of(error: &anyhow::Error) -> String {
    code::find(error).map_or_else(|| format!("{error:#}"), |trouble| trouble.reason.clone())
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
