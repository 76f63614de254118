//! The reset: another plan over the same steps, with the recovery partition of the same disk as its source.
//!
//! What the operator gave the machine (OEM: user-data and registration) and the recovery partition stay; both slots,
//! the boot files and the persistent partition become as after an install. The order is that of what can be lost: first
//! a new system beside the old one, then the boot files, and the data only when all of that is there. A slot is replaced
//! by one rename, after its successor was read back, so at every moment there is a system that starts.
//!
//! A repair is a reset that ends before the data: nothing on the persistent partition is read or written, and OEM stays
//! as it is but for the entry of the next start.

use anyhow::Result;
use partition::{BiosBoot, Layout, ReadTable, Role};
use uuid::Uuid;

use super::env;
use super::keep;
use super::{
    Content, ESP_BOOT, ESP_SHIM, ESP_STUBS, ESP_WAITING, LOG_FOLDER, MENU_TITLE, Place, Plan, Step,
    bios_boot, esp_copies, fill_esp, is_active, make_filesystem, mount, of, starts_under,
};
use crate::bootloader::render_env;
use crate::code::{Code, OrTrouble, Trouble};
use crate::hooks::around_reset;
use crate::machine::{Disk, Firmware};
use crate::payload::Payload;
use crate::superblock::Superblock;

mod aftermath;
mod environment;

pub use aftermath::{Aftermath, aftermath};
use environment::Environment;

/// Stages that Palette's agent leaves on OEM for a host in a cluster. A host that is to register again must not have
/// them (`reference/palette.md` 3.3).
pub const CLUSTER_STAGES: &str = "80_stylus.yaml";

const ACTIVE: &str = "cOS/active.img";
const PASSIVE: &str = "cOS/passive.img";
const TRANSITION: &str = "cOS/transition.img";

/// Where a repair leaves its log: the persistent partition is not touched, and recovery is the source.
const REPAIR_LOG: &str = "landfall/log";

/// How much is written again from the recovery partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Both systems and the boot files.
    Repair,
    /// These, and the persistent partition is made anew: the host registers again.
    Reset,
}

impl Depth {
    /// The word for it, in events, in names of files and on the screen.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Repair => "repair",
            Self::Reset => "reset",
        }
    }
}

/// What was found on the disk, read before anything is written.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// `grubenv` of the OEM partition.
    pub grubenv: Option<Vec<u8>>,
    /// `grub_oem_env` of the state partition.
    pub grub_oem_env: Option<Vec<u8>>,
    /// [`CLUSTER_STAGES`] is on the OEM partition.
    pub cluster_stages: bool,
    /// Superblock of the persistent partition.
    pub persistent: Option<Superblock>,
    /// The EFI system partition is readable and has its boot files.
    pub esp_sound: bool,
    /// Where GRUB's core image for BIOS lies, whole.
    pub bios: Vec<u8>,
    /// The boot code in sector 0.
    pub boot_code: Vec<u8>,
    /// A partition in sector 0 has the active flag.
    pub active: bool,
    /// `install.grub_options` of the user-data on OEM, for a `grubenv` that must be made anew.
    pub grub_options: Vec<(String, String)>,
    /// Title of the default menu entry from there.
    pub menu_title: Option<String>,
    /// The stages around a reset that the files on OEM have.
    pub stages: Vec<&'static str>,
}

/// Everything a reset is planned from.
#[derive(Debug)]
pub struct ResetInputs<'a> {
    /// How much is written again.
    pub depth: Depth,
    /// The disk that is reset.
    pub disk: &'a Disk,
    /// Its partitions.
    pub layout: &'a Layout,
    /// The payload on its recovery partition.
    pub payload: &'a Payload,
    /// What is on its other partitions.
    pub found: &'a Found,
    /// Text of the stub on the EFI system partition.
    pub esp_stub: &'a str,
    /// How the machine booted.
    pub firmware: Option<Firmware>,
}

/// The layout of a disk that Landfall laid down, from its table; any other table is refused.
pub fn layout_of(table: &ReadTable) -> Result<Layout> {
    table.layout().map_err(|error| {
        let reason = format!("the partitions are not as Landfall made them: {error}");
        Trouble::new(Code::RecoveryDisk, reason).into()
    })
}

/// Decides the whole reset or repair. `id` is asked for the UUID of every file system that is made.
pub fn plan(inputs: &ResetInputs<'_>, mut id: impl FnMut() -> Uuid) -> Result<Plan> {
    let ResetInputs {
        depth,
        disk,
        layout,
        payload,
        found,
        ..
    } = *inputs;
    if depth == Depth::Repair {
        keep::check_persistent(layout, found.persistent.as_ref())?;
    }
    let environment = Environment::of(found, depth)?;
    let bios = bios_boot(disk, payload, layout)?;

    let mut steps = before(inputs)?;
    steps.extend(slot(inputs, ACTIVE)?);
    steps.extend(slot(inputs, PASSIVE)?);
    steps.extend(configuration(inputs, &environment)?);
    steps.extend(boot_files(inputs, bios, &mut id));
    steps.extend(match depth {
        Depth::Repair => keep_log(inputs)?,
        Depth::Reset => new_data(inputs, &environment, id())?,
    });
    steps.push(Step::Unmount);

    Ok(Plan {
        destroys: match depth {
            Depth::Repair => format!("both systems and the boot files on {disk}"),
            Depth::Reset => {
                format!("the data on the persistent partition of {disk}, and both systems")
            }
        },
        disk: disk.clone(),
        starts_under: starts_under(disk, layout),
        source: payload.folder.clone(),
        image_id: payload.manifest.image_id.to_string(),
        version: payload.manifest.version.clone(),
        layout: layout.clone(),
        keeps: match depth {
            Depth::Repair => keep::keeps(layout, true),
            Depth::Reset => Vec::new(),
        },
        notes: Vec::new(),
        steps,
    })
}

/// The end of a repair.
fn keep_log(inputs: &ResetInputs<'_>) -> Result<Vec<Step>> {
    Ok(vec![
        mount(of(inputs.layout, Role::State)?),
        Step::KeepLog {
            to: Place::new("state", REPAIR_LOG),
        },
    ])
}

/// The end of a reset: from the mark on, the data is gone, and the machine comes back here until it has a new place for it.
fn new_data(inputs: &ResetInputs<'_>, environment: &Environment, id: Uuid) -> Result<Vec<Step>> {
    let persistent = of(inputs.layout, Role::Persistent)?;
    let mut steps = vec![mount(of(inputs.layout, Role::Oem)?)];
    steps.extend(environment.mark());
    steps.extend([make_filesystem(persistent, id), mount(persistent)]);
    steps.extend(after(inputs)?);
    steps.push(Step::KeepLog {
        to: Place::new("persistent", LOG_FOLDER),
    });
    steps.extend(environment.clear_mark());
    Ok(steps)
}

/// The operator's stage before anything is changed.
fn before(inputs: &ResetInputs<'_>) -> Result<Vec<Step>> {
    let mut run = around_reset(&inputs.found.stages, true).peekable();
    if inputs.depth == Depth::Repair || run.peek().is_none() {
        return Ok(Vec::new());
    }
    let mut steps = vec![
        mount(of(inputs.layout, Role::Oem)?),
        mount(of(inputs.layout, Role::State)?),
    ];
    steps.extend(run);
    steps.push(Step::Unmount);
    Ok(steps)
}

/// The operator's stages when all is new; OEM and persistent are mounted then.
fn after(inputs: &ResetInputs<'_>) -> Result<Vec<Step>> {
    let mut run = around_reset(&inputs.found.stages, false).peekable();
    if run.peek().is_none() {
        return Ok(Vec::new());
    }
    let mut steps = vec![mount(of(inputs.layout, Role::State)?)];
    steps.extend(run);
    Ok(steps)
}

/// One slot: written beside, read back, renamed. Unmounting empties the journal: GRUB does not replay it, and would
/// find the old name with blocks that the next file has taken.
fn slot(inputs: &ResetInputs<'_>, name: &str) -> Result<Vec<Step>> {
    let beside = Place::new("state", TRANSITION);
    Ok(vec![
        mount(of(inputs.layout, Role::State)?),
        Step::WriteImages {
            slots: vec![beside.clone()],
            recovery: None,
            size: inputs.payload.manifest.raw_size,
        },
        Step::VerifyImages {
            slots: vec![beside.clone()],
            recovery: None,
        },
        Step::Replace {
            from: beside,
            to: Place::new("state", name),
        },
        Step::Unmount,
    ])
}

/// GRUB's menu, and the environment blocks if they are not as they should be.
fn configuration(inputs: &ResetInputs<'_>, environment: &Environment) -> Result<Vec<Step>> {
    let found = inputs.found;
    let mut steps = vec![
        mount(of(inputs.layout, Role::State)?),
        mount(of(inputs.layout, Role::Oem)?),
        Step::CopyFile {
            from: "boot/grub.cfg".into(),
            to: Place::new("state", "grub2/grub.cfg"),
        },
    ];
    let write = |to, bytes| Step::WriteFile {
        to,
        content: Content(bytes),
        mode: 0o644,
    };
    if found.grub_oem_env.as_deref().and_then(env::parse).is_none() {
        let title = found.menu_title.as_deref().unwrap_or(MENU_TITLE);
        let block = render_env([("default_menu_entry", title)]).or_trouble(Code::RecoveryDisk)?;
        steps.push(write(Place::new("state", "grub_oem_env"), block));
    }
    if found.grubenv.as_ref() != Some(&environment.kept) {
        let to = Place::new("oem", "grubenv");
        steps.push(write(to, environment.kept.clone()));
    }
    if found.cluster_stages && inputs.depth == Depth::Reset {
        steps.push(Step::Remove {
            place: Place::new("oem", CLUSTER_STAGES),
        });
    }
    steps.push(Step::Unmount);
    Ok(steps)
}

/// The boot chain of both firmwares.
fn boot_files(
    inputs: &ResetInputs<'_>,
    bios: Option<BiosBoot>,
    id: &mut impl FnMut() -> Uuid,
) -> Vec<Step> {
    let ResetInputs {
        layout,
        payload,
        found,
        esp_stub,
        ..
    } = *inputs;
    let mut steps = Vec::new();
    // Core image and boot sector can only be written in place, so they are left alone where they are right.
    if let Some(bios) = bios.as_ref()
        && !found.bios.starts_with(&bios.core)
    {
        steps.push(Step::EmbedBios {
            at: bios.core_at,
            core: Content(bios.core.clone()),
        });
    }
    // A flag that is there stays: it was right for the machine that the disk was made in.
    let active = found.active || bios.is_some() && is_active(inputs.firmware);
    let boot_code = bios.map_or_else(|| vec![0; 440], |bios| bios.boot_code.to_vec());
    if found.boot_code != boot_code || found.active != active {
        steps.push(Step::WriteBootSector {
            boot_code: Content(boot_code),
            active,
        });
    }
    let Some(esp) = layout.partition(Role::Esp) else {
        return steps;
    };
    let mut names = Vec::new();
    if found.esp_sound {
        let (fill, waiting) = beside_on_esp(payload, esp_stub, esp.number);
        steps.push(fill);
        names = waiting;
    } else {
        steps.push(make_filesystem(esp, id()));
        steps.push(fill_esp(payload, esp_stub, esp.number));
    }
    names.push((ESP_WAITING.to_owned(), ESP_BOOT.to_owned()));
    steps.push(Step::NameEspFiles {
        partition: esp.number,
        names,
    });
    steps
}

/// New files beside the old ones, and the names they then get; all but the one that firmware looks for.
fn beside_on_esp(
    payload: &Payload,
    esp_stub: &str,
    partition: u32,
) -> (Step, Vec<(String, String)>) {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let mut copies = vec![pair(ESP_SHIM, ESP_WAITING)];
    copies.extend(esp_copies(payload).map(|(from, _, waiting)| pair(from, waiting)));
    let mut names: Vec<_> = esp_copies(payload)
        .map(|(_, to, waiting)| pair(waiting, to))
        .collect();
    names.extend(ESP_STUBS.map(|(to, waiting)| pair(waiting, to)));
    let files = ESP_STUBS.map(|(_, waiting)| {
        let stub = Content(esp_stub.as_bytes().to_vec());
        (waiting.to_owned(), stub)
    });
    let fill = Step::FillEsp {
        partition,
        folders: Vec::new(),
        copies,
        files: files.to_vec(),
    };
    (fill, names)
}

#[cfg(test)]
mod repair_tests;
#[cfg(test)]
pub(super) mod tests;
