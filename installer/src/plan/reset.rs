//! The reset: another plan over the same steps, with the recovery partition of the same disk as its source.
//!
//! What the operator gave the machine (OEM: user-data and registration) and the recovery partition stay; both slots,
//! the boot files and the persistent partition become as after an install. The order is that of what can be lost: first
//! a new system beside the old one, then the boot files, and the data only when all of that is there. A slot is replaced
//! by one rename, after its successor was read back, so at every moment there is a system that starts.

use anyhow::Result;
use partition::{BiosBoot, Layout, ReadTable, Role};
use uuid::Uuid;

use super::env;
use super::{
    Content, ESP_BOOT, ESP_SHIM, ESP_STUBS, ESP_WAITING, LOG_FOLDER, MENU_TITLE, NEXT_ENTRY, Place,
    Plan, REGISTRATION, SAVED_ENTRY, Step, bios_boot, esp_copies, fill_esp, is_active,
    make_filesystem, mount, of, render, starts_under,
};
use crate::bootloader::render_env;
use crate::code::{Code, OrTrouble, Trouble};
use crate::hooks::around_reset;
use crate::machine::{Disk, Firmware};
use crate::payload::Payload;

mod aftermath;

pub use aftermath::{Aftermath, aftermath};

/// The entry that resets.
const RESET_ENTRY: &str = "statereset";

/// Stages that Palette's agent leaves on OEM for a host in a cluster. A host that is to register again must not have
/// them (`reference/palette.md` 3.3).
pub const CLUSTER_STAGES: &str = "80_stylus.yaml";

const ACTIVE: &str = "cOS/active.img";
const PASSIVE: &str = "cOS/passive.img";
const TRANSITION: &str = "cOS/transition.img";

/// What was found on the disk, read before anything is written.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// `grubenv` of the OEM partition.
    pub grubenv: Option<Vec<u8>>,
    /// `grub_oem_env` of the state partition.
    pub grub_oem_env: Option<Vec<u8>>,
    /// [`CLUSTER_STAGES`] is on the OEM partition.
    pub cluster_stages: bool,
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

/// Decides the whole reset. `id` is asked for the UUID of every file system that is made.
pub fn plan(inputs: &ResetInputs<'_>, mut id: impl FnMut() -> Uuid) -> Result<Plan> {
    let ResetInputs {
        disk,
        layout,
        payload,
        found,
        ..
    } = *inputs;
    let environment = Environment::of(found)?;
    let bios = bios_boot(disk, payload, layout)?;
    let persistent = of(layout, Role::Persistent)?;

    let mut steps = before(inputs)?;
    steps.extend(slot(inputs, ACTIVE)?);
    steps.extend(slot(inputs, PASSIVE)?);
    steps.extend(configuration(inputs, &environment)?);
    steps.extend(boot_files(inputs, bios, &mut id));
    steps.push(mount(of(layout, Role::Oem)?));
    steps.extend(environment.mark());
    steps.extend([make_filesystem(persistent, id()), mount(persistent)]);
    steps.extend(after(inputs)?);
    steps.push(Step::KeepLog {
        to: Place::new("persistent", LOG_FOLDER),
    });
    steps.extend(environment.clear_mark());
    steps.push(Step::Unmount);

    Ok(Plan {
        destroys: format!("the data on the persistent partition of {disk}, and both systems"),
        disk: disk.clone(),
        starts_under: starts_under(disk, layout),
        source: payload.folder.clone(),
        image_id: payload.manifest.image_id.to_string(),
        version: payload.manifest.version.clone(),
        layout: layout.clone(),
        keeps: Vec::new(),
        notes: Vec::new(),
        steps,
    })
}

/// The operator's stage before anything is changed.
fn before(inputs: &ResetInputs<'_>) -> Result<Vec<Step>> {
    let mut run = around_reset(&inputs.found.stages, true).peekable();
    if run.peek().is_none() {
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
    if found.cluster_stages {
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

/// The environment block on OEM: as it stays, and as it is while the data is being erased.
struct Environment {
    kept: Vec<u8>,
    /// Makes GRUB start the reset again after a power cut: a half-made persistent partition boots nothing else. `None`
    /// if the operator's variables leave no room for it.
    marked: Option<Vec<u8>>,
}

impl Environment {
    /// A sound block stays as it is, byte for byte, but for the entry that the machine starts next.
    fn of(found: &Found) -> Result<Self> {
        let read = found.grubenv.as_deref().and_then(env::parse);
        let mut variables = read.clone().unwrap_or_else(|| found.grub_options.clone());
        env::set(&mut variables, SAVED_ENTRY, REGISTRATION);
        if !env::value(&variables, NEXT_ENTRY).is_empty() {
            env::set(&mut variables, NEXT_ENTRY, "");
        }
        let kept = match &found.grubenv {
            Some(bytes) if read.as_ref() == Some(&variables) => bytes.clone(),
            _ => render(&variables).or_trouble(Code::RecoveryDisk)?,
        };
        env::set(&mut variables, NEXT_ENTRY, RESET_ENTRY);
        Ok(Self {
            kept,
            marked: render(&variables).ok(),
        })
    }

    fn mark(&self) -> Option<Step> {
        self.marked
            .clone()
            .map(|block| overwrite(block, "make an interrupted reset start again by itself"))
    }

    fn clear_mark(&self) -> Option<Step> {
        let purpose = "let the machine start into the new system";
        self.marked
            .as_ref()
            .map(|_| overwrite(self.kept.clone(), purpose))
    }
}

fn overwrite(block: Vec<u8>, purpose: &'static str) -> Step {
    Step::Overwrite {
        to: Place::new("oem", "grubenv"),
        content: Content(block),
        purpose,
    }
}

#[cfg(test)]
pub(super) mod tests;
