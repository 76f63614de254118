//! What will happen to a disk, step by step, decided before anything is written.
//!
//! [`plan`] is pure: the same configuration, disk, payload and ids give the same plan. A step is complete, so that
//! carrying it out decides nothing. `landfall plan` prints what `landfall install` would do; there is no other dry run.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use partition::{
    BiosBoot, Bytes, Filesystem, Geometry, Layout, LayoutError, Partition, Role, SectorSize, Table,
    Wanted, embed_bios, wipe_ranges,
};
use serde::Serialize;
use uuid::Uuid;

use crate::code::{Code, OrTrouble, Trouble};
use crate::config::Config;
use crate::hooks::Hooks;
use crate::machine::{Disk, Firmware};
use crate::nvram::Known;
use crate::payload::{BIOS_CORE_MBR, Payload};

pub(crate) mod env;
mod esp;
mod files;
pub mod keep;
pub mod reset;
mod step;

pub use esp::{ESP_BOOT, ESP_WAITING};
use esp::{ESP_SHIM, ESP_STUBS, boot_entry, esp_copies, fill_esp};
use files::{config_files, recovery_files, render};
pub use keep::Kept;
pub use step::{Content, Origin, Place, Step, Within};

/// Title of the default menu entry.
const MENU_TITLE: &str = "Palette Edge";

/// The variables of GRUB's environment that name the default entry and the one of the next boot, and the entry of a host
/// that is not yet part of a cluster.
const SAVED_ENTRY: &str = "saved_entry";
const NEXT_ENTRY: &str = "next_entry";
const REGISTRATION: &str = "registration";

/// Where the installer leaves its log and report on the persistent partition: the source of the bind mount of
/// `/var/log`, so they stand at `/var/log/landfall/` of the installed system.
pub const LOG_FOLDER: &str = ".state/var-log.bind/landfall";

/// Steps in order, and what they are for.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The disk as it was when the plan was made.
    pub disk: Disk,
    /// The partitions: those to be made, or those that are there.
    pub layout: Layout,
    /// What is destroyed, in words.
    pub destroys: String,
    /// The partitions that are kept with what is on them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keeps: Vec<keep::Keeps>,
    /// The firmware that starts the disk in the end.
    pub starts_under: Vec<Firmware>,
    /// Folder of the payload that everything comes from.
    pub source: PathBuf,
    /// Image that both slots get.
    pub image_id: String,
    /// Version of that image.
    pub version: String,
    /// What whoever reads the plan should know beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// Everything a plan is made from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// What the operator wants.
    pub config: &'a Config,
    /// The disk that was chosen.
    pub disk: &'a Disk,
    /// The installation on it of which something stays; `None` if nothing does.
    pub kept: Option<&'a Kept>,
    /// The payload.
    pub payload: &'a Payload,
    /// The operator's stages around it.
    pub hooks: &'a Hooks,
    /// Id of the install medium, for the recovery partition.
    pub media_id: &'a str,
    /// Text of the stub on the EFI system partition.
    pub esp_stub: &'a str,
    /// How the machine booted; `None` for an image file, which may go into any.
    pub firmware: Option<Firmware>,
    /// The firmware's boot entries; `None` where there are none to change (BIOS, an image file).
    pub entries: Option<&'a Known>,
}

/// Decides everything; refuses what cannot work. `id` is asked for every GUID and UUID, in order.
pub fn plan(inputs: &Inputs<'_>, mut id: impl FnMut() -> Uuid) -> Result<Plan> {
    let layout = match inputs.kept {
        Some(kept) => kept.layout.clone(),
        None => lay_out(inputs.config, inputs.disk, inputs.payload, &mut id)?,
    };
    refuse_firmware(layout.table(), inputs.firmware)?;
    // An MBR has none.
    let esp = layout.partition(Role::Esp);
    let bios = bios_boot(inputs.disk, inputs.payload, &layout)?;
    let slots = vec![
        Place::new("state", "cOS/active.img"),
        Place::new("state", "cOS/passive.img"),
    ];
    let slot_copy = Place::new("recovery", "landfall/payload/slot.img.zst");

    let mut steps = match inputs.kept {
        Some(kept) => {
            keep::check(inputs, kept)?;
            keep::start(kept, &mut id)?
        }
        None => start(inputs.disk, &layout, &mut id)?,
    };
    // The operator's stages write to the persistent partition, which is not touched where it is kept.
    let stage = |name| inputs.hooks.step(name).filter(|_| inputs.kept.is_none());
    steps.extend(stage("before-install"));
    steps.push(Step::WriteImages {
        slots: slots.clone(),
        recovery: Some(slot_copy.clone()),
        size: inputs.payload.manifest.raw_size,
    });
    steps.push(Step::VerifyImages {
        slots,
        recovery: Some(slot_copy),
    });
    steps.extend(recovery_files(inputs));
    steps.extend(config_files(inputs)?);
    if let Some(bios) = &bios {
        steps.push(Step::EmbedBios {
            at: bios.core_at,
            core: Content(bios.core.clone()),
        });
    }
    steps.extend(esp.map(|esp| fill_esp(inputs.payload, inputs.esp_stub, esp.number)));
    steps.extend(stage("after-install-chroot"));
    steps.extend(stage("after-install"));
    steps.extend(esp.and_then(|esp| boot_entry(inputs, esp)));
    steps.push(Step::KeepLog {
        to: match inputs.kept {
            Some(_) => keep::log(),
            None => Place::new("persistent", LOG_FOLDER),
        },
    });
    steps.push(Step::Unmount);
    steps.push(Step::MakeBootable {
        partition: esp.map(|esp| esp.number),
        active: bios.is_some() && is_active(inputs.firmware),
        boot_code: Content(bios.map(|bios| bios.boot_code.to_vec()).unwrap_or_default()),
    });

    Ok(Plan {
        destroys: match inputs.kept {
            Some(_) => format!(
                "both systems, the recovery medium and the boot files on {}",
                inputs.disk
            ),
            None => destroys(inputs.disk),
        },
        keeps: match inputs.kept {
            Some(kept) => keep::keeps(&kept.layout, kept.oem.is_ok()),
            None => Vec::new(),
        },
        disk: inputs.disk.clone(),
        starts_under: starts_under(inputs.disk, &layout),
        source: inputs.payload.folder.clone(),
        image_id: inputs.payload.manifest.image_id.to_string(),
        version: inputs.payload.manifest.version.clone(),
        layout,
        notes: match inputs.kept {
            Some(kept) => keep::notes(inputs, kept),
            None => inputs.hooks.passed_over.iter().cloned().collect(),
        },
        steps,
    })
}

/// What is lost, in words.
fn destroys(disk: &Disk) -> String {
    match &disk.contents {
        Some(contents) if contents.words.is_empty() => format!("nothing: {disk} is blank"),
        Some(contents) => format!("everything on {disk}: {contents}"),
        None => format!("everything on {disk}"),
    }
}

/// The first steps on a disk of which nothing is kept.
fn start(disk: &Disk, layout: &Layout, id: &mut impl FnMut() -> Uuid) -> Result<Vec<Step>> {
    let old = disk.contents.as_ref();
    let old = old.map_or(&[][..], |contents| &contents.areas);
    let mut steps = vec![
        Step::Wipe {
            ranges: wipe_ranges(layout, old),
        },
        Step::WriteTable,
    ];
    steps.extend(file_systems(layout, id));
    for role in [Role::Oem, Role::Recovery, Role::State, Role::Persistent] {
        steps.push(mount(of(layout, role)?));
    }
    Ok(steps)
}

/// Whether what the operator wants has room on a disk.
pub fn fits(config: &Config, disk: &Disk, payload: &Payload) -> Result<(), Trouble> {
    // The ids mean nothing here, but no two may be the same.
    let mut last = 0;
    let mut id = || {
        last += 1;
        Uuid::from_u128(last)
    };
    match wanted(config, payload).layout(geometry(disk)?, &mut id) {
        Err(
            error @ (LayoutError::TooSmall { .. }
            | LayoutError::TooLargeForMbr { .. }
            | LayoutError::MbrOn4Kn),
        ) => Err(no_layout(disk, &error)),
        // What is impossible on every disk is said of the one that is chosen.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn lay_out(
    config: &Config,
    disk: &Disk,
    payload: &Payload,
    id: &mut impl FnMut() -> Uuid,
) -> Result<Layout, Trouble> {
    let wanted = wanted(config, payload);
    wanted
        .layout(geometry(disk)?, id)
        .map_err(|error| no_layout(disk, &error))
}

fn geometry(disk: &Disk) -> Result<Geometry, Trouble> {
    let impossible = |error| Trouble::new(Code::LayoutImpossible, format!("{disk}: {error}"));
    Ok(Geometry {
        size: Bytes::new(disk.size),
        sector: SectorSize::try_from(u64::from(disk.sector)).map_err(impossible)?,
    })
}

fn no_layout(disk: &Disk, error: &LayoutError) -> Trouble {
    match error {
        LayoutError::TooSmall { .. } => {
            Trouble::new(Code::DiskTooSmall, format!("{disk}: {error}"))
        }
        LayoutError::TooLargeForMbr { .. } | LayoutError::MbrOn4Kn => {
            Trouble::new(Code::LayoutImpossible, format!("{disk}: {error}"))
        }
        other => Trouble::new(Code::LayoutImpossible, other.to_string()),
    }
}

fn wanted(config: &Config, payload: &Payload) -> Wanted {
    Wanted {
        table: config.table,
        efi: config.sizes.efi,
        oem: config.sizes.oem,
        recovery: config.sizes.recovery,
        state: config.sizes.state,
        persistent: config.sizes.persistent,
        extra: config.extra.clone(),
        ..Wanted::new(
            Bytes::new(payload.manifest.raw_size),
            Bytes::new(payload.size()),
        )
    }
}

fn of(layout: &Layout, role: Role) -> Result<&Partition> {
    layout.partition(role).ok_or_else(|| {
        Trouble::new(
            Code::LayoutImpossible,
            format!("the layout has no {role:?} partition"),
        )
        .into()
    })
}

/// Refuses a table from which the machine's own firmware starts nothing.
fn refuse_firmware(table: Table, firmware: Option<Firmware>) -> Result<(), Trouble> {
    match (table, firmware) {
        (Table::Mbr, Some(Firmware::Uefi)) => Err(Trouble::new(
            Code::LayoutImpossible,
            "a disk with an MBR starts under BIOS alone, and this machine was started by UEFI",
        )),
        _ => Ok(()),
    }
}

/// The firmware that starts a disk with this layout.
fn starts_under(disk: &Disk, layout: &Layout) -> Vec<Firmware> {
    let bios = (disk.sector == 512).then_some(Firmware::Bios);
    let uefi = layout.partition(Role::Esp).map(|_| Firmware::Uefi);
    bios.into_iter().chain(uefi).collect()
}

/// Whether the protective entry of a GPT gets the active flag.
///
/// Some BIOSes start no disk without it; the specification of UEFI wants it clear (UEFI 2.10, table 5.4), and some UEFI
/// firmware takes a disk that has it for one of a BIOS.
const fn is_active(firmware: Option<Firmware>) -> bool {
    !matches!(firmware, Some(Firmware::Uefi))
}

/// Boot code and core image for BIOS; none on a disk with 4096-byte sectors, which no BIOS boots from.
fn bios_boot(disk: &Disk, payload: &Payload, layout: &Layout) -> Result<Option<BiosBoot>> {
    if disk.sector != 512 {
        return Ok(None);
    }
    let sector: &[u8; 512] = payload
        .bios_boot
        .as_slice()
        .try_into()
        .or_trouble(Code::BootFilesBad)?;
    let core = match layout.table() {
        Table::Gpt => Some(&payload.bios_core),
        Table::Mbr => payload.bios_core_mbr.as_ref(),
    };
    let core = core.ok_or_else(|| {
        let reason =
            format!("the payload has no {BIOS_CORE_MBR}, which an MBR needs; make it anew");
        Trouble::new(Code::BootFilesBad, reason)
    })?;
    embed_bios(sector, core, layout)
        .map(Some)
        .or_trouble(Code::BootFilesBad)
}

fn mount(partition: &Partition) -> Step {
    Step::Mount {
        partition: partition.number,
        name: partition.name.clone(),
    }
}

fn file_systems(layout: &Layout, id: &mut impl FnMut() -> Uuid) -> Vec<Step> {
    layout
        .partitions()
        .iter()
        .filter(|partition| partition.filesystem != Filesystem::Raw)
        .map(|partition| make_filesystem(partition, id()))
        .collect()
}

fn make_filesystem(partition: &Partition, uuid: Uuid) -> Step {
    Step::MakeFilesystem {
        partition: partition.number,
        name: partition.name.clone(),
        filesystem: partition.filesystem,
        label: partition.label.clone(),
        uuid,
    }
}

impl fmt::Display for Plan {
    /// The plan for people: what is destroyed, the partitions, the steps.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Disk:      {}", self.disk)?;
        writeln!(f, "Destroys:  {}", self.destroys)?;
        if !self.keeps.is_empty() {
            let all: Vec<String> = self.keeps.iter().map(ToString::to_string).collect();
            writeln!(f, "Keeps:     {}", all.join(", "))?;
        }
        writeln!(f, "Image:     {} ({})", self.version, self.image_id)?;
        writeln!(f, "Source:    {}", self.source.display())?;
        let table = self.layout.table();
        let all: Vec<String> = self.starts_under.iter().map(ToString::to_string).collect();
        writeln!(
            f,
            "Table:     {table}; starts under {}\n",
            all.join(" and ")
        )?;
        writeln!(f, "{}", self.layout)?;
        for note in self.layout.notes() {
            writeln!(f, "note: {note}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}. {step}", index + 1)?;
        }
        Ok(())
    }
}
