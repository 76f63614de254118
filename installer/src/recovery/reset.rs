//! A reset or a repair from end to end: refuse first, then the plan, then what is true afterwards.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use host::{Host, Mount};
use image::manifest::SLOT_NAME;
use partition::{Layout, Partition, ReadTable, Role, SectorSize, bios_area, read_back};
use uuid::Uuid;

use crate::apply::{Tools, apply, esp_readable, loop_over, read_at};
use crate::check;
use crate::code::{self, Code, OrTrouble, Trouble};
use crate::config::configure;
use crate::hooks::AROUND_RESET;
use crate::install::ESP_STUB;
use crate::log::Log;
use crate::machine::{Disk, Firmware};
use crate::medium::Recovery;
use crate::payload::Payload;
use crate::plan::reset::{CLUSTER_STAGES, Depth, Found, ResetInputs, aftermath, layout_of, plan};
use crate::plan::{ESP_BOOT, Plan};
use crate::progress::Meter;
use crate::register;
use crate::report::{Event, Finished, Next, Outcome, Phase};
use crate::superblock;

/// What is written again, and with what.
#[derive(Debug, Clone)]
pub struct Request {
    /// How much.
    pub depth: Depth,
    /// The disk: it holds the recovery partition that is the source, and it is the target.
    pub disk: Disk,
    /// Id of the medium that the recovery partition must hold.
    pub media_id: String,
    /// Where the recovery partition is mounted.
    pub live: PathBuf,
    /// Folder for other mount points; it must exist.
    pub work: PathBuf,
    /// How the machine booted; `None` where nobody knows, as for an image file.
    pub firmware: Option<Firmware>,
}

/// Resets or repairs, telling every event on the way; the last one is always [`Event::Finished`], which is returned too.
pub fn reset<H: Host>(
    request: &Request,
    host: &mut H,
    on_event: &mut dyn FnMut(&Event),
) -> Finished {
    let started = Instant::now();
    let log = RefCell::new(Log::new());
    let mut reached = Phase::Prepare;
    let mut tell = |event: &Event| {
        let mut event = event.clone();
        if let Event::Step { phase, .. } = &mut event {
            // The second slot is written after the first was verified; a phase that was left is not entered again.
            reached = later(reached, *phase);
            *phase = reached;
        }
        log.borrow_mut().event(&event);
        on_event(&event);
    };
    tell(&Event::Started {
        program: request.depth.word().into(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_s: crate::log::uptime(),
    });
    let end = held(request, host, &mut tell, &log);
    let took = started.elapsed();
    let finished = match end {
        Ok(()) => Finished::installed(Next::Reboot, took),
        Err(End::Refused(error)) => Finished::trouble(Outcome::Refused, &refusal(&error), took),
        Err(End::Failed { trouble, starts }) => Finished {
            boots: Some(starts),
            ..Finished::trouble(Outcome::Failed, &trouble, took)
        },
    };
    tell(&Event::Finished(finished.clone()));
    finished
}

fn later(a: Phase, b: Phase) -> Phase {
    if (a as u8) < (b as u8) { b } else { a }
}

/// How an attempt ended that did not succeed.
enum End {
    /// Before the first write.
    Refused(anyhow::Error),
    /// After it.
    Failed { trouble: Trouble, starts: bool },
}

impl From<anyhow::Error> for End {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(error)
    }
}

/// Everything between taking the disk and giving it back.
fn held<H: Host>(
    request: &Request,
    host: &mut H,
    tell: &mut dyn FnMut(&Event),
    log: &RefCell<Log>,
) -> Result<(), End> {
    check::tools_present(Path::new("/")).map_err(anyhow::Error::from)?;
    let disk = check::hold(&request.disk)?;
    let (table, layout) = read_layout(&request.disk, &disk)?;
    let partition = wanted(&layout, Role::Recovery)?;
    let recovery = Recovery::mount(
        &request.disk,
        partition,
        &request.media_id,
        &request.live,
        host,
    )?;
    let source = recovery.root.join("landfall/payload");
    let on_disk = OnDisk {
        file: &disk,
        table: &table,
        layout: &layout,
    };
    let end = prepare(request, &on_disk, &source, host, tell)
        .map_err(End::Refused)
        .and_then(|(plan, payload)| carry_out(request, &plan, &payload, &disk, host, tell, log));
    // The disk is complete or its trouble is known: a mount that stays only until the restart changes nothing.
    drop(recovery.unmount(host));
    end
}

fn read_layout(disk: &Disk, file: &File) -> Result<(ReadTable, Layout)> {
    let sector = SectorSize::try_from(u64::from(disk.sector)).or_trouble(Code::RecoveryDisk)?;
    let table = read_back(&mut &*file, sector).or_trouble(Code::RecoveryDisk)?;
    let layout = layout_of(&table)?;
    Ok((table, layout))
}

fn wanted(layout: &Layout, role: Role) -> Result<&Partition> {
    layout.partition(role).ok_or_else(|| {
        Trouble::new(
            Code::RecoveryDisk,
            format!("the disk has no {role:?} partition"),
        )
        .into()
    })
}

/// The disk that is held, and its table.
struct OnDisk<'a> {
    file: &'a File,
    table: &'a ReadTable,
    layout: &'a Layout,
}

/// Checks the whole payload, looks at what is on the disk, and plans; nothing is written.
fn prepare<H: Host>(
    request: &Request,
    disk: &OnDisk<'_>,
    source: &Path,
    host: &mut H,
    tell: &mut dyn FnMut(&Event),
) -> Result<(Plan, Payload)> {
    tell(&Event::Note {
        text: format!("checking the recovery partition of {}", request.disk),
    });
    let payload = Payload::open(source)?;
    check_slot(&payload, tell)?;
    let found = look(request, disk, host)?;
    let inputs = ResetInputs {
        depth: request.depth,
        disk: &request.disk,
        layout: disk.layout,
        payload: &payload,
        found: &found,
        esp_stub: ESP_STUB,
        firmware: request.firmware,
    };
    let plan = plan(&inputs, Uuid::new_v4)?;
    tell(&Event::Target {
        disk: plan.disk.to_string(),
        image_id: plan.image_id.clone(),
        image_version: plan.version.clone(),
    });
    Ok((plan, payload))
}

/// Reads every chunk once before anything is written: a disk can, unlike a slow medium, be read twice.
fn check_slot(payload: &Payload, tell: &mut dyn FnMut(&Event)) -> Result<()> {
    let path = payload.folder.join(SLOT_NAME);
    let mut slot = File::open(&path).or_trouble(Code::PayloadMissing)?;
    let mut meter = Meter::new("payload check");
    image::stream(
        &payload.manifest,
        &mut slot,
        &mut |_, _| Ok(()),
        &mut |done, total| meter.report(done, total, tell),
    )
    .or_trouble(Code::ChunkBad)
}

/// Reads what is kept or need not be written.
fn look<H: Host>(request: &Request, disk: &OnDisk<'_>, host: &mut H) -> Result<Found> {
    let OnDisk {
        file,
        table,
        layout,
    } = *disk;
    let mut found = Found {
        boot_code: table.boot_code.to_vec(),
        active: table.active,
        ..Found::default()
    };
    if let Some(bios) = bios_area(layout) {
        let length = usize::try_from(bios.size.get()).context("the place of GRUB for BIOS")?;
        found.bios = read_at(file, bios.start.get(), length).or_trouble(Code::RecoveryDisk)?;
    }
    // From the disk itself: a mount would replay the journal.
    let persistent = wanted(layout, Role::Persistent)?.start.get() + superblock::OFFSET;
    let block = read_at(file, persistent, superblock::LENGTH).ok();
    found.persistent = block.and_then(|block| superblock::read(&block));

    visit(request, wanted(layout, Role::Oem)?, host, |oem| {
        found.grubenv = fs::read(oem.join("grubenv")).ok();
        found.cluster_stages = oem.join(CLUSTER_STAGES).exists();
        let sources = [oem.to_owned()];
        let there = AROUND_RESET.into_iter().map(|(stage, _)| stage);
        found.stages = there
            .filter(|stage| sysroot::stage::has_steps(stage, &sources))
            .collect();
        // Only for a block that must be made anew; without it, its variables are those of any install.
        if let Ok(user_data) = register::read_user_data(&oem.join(register::USER_DATA))
            && let Ok(config) = configure(&user_data, "auto", &mut |_| "!".to_owned())
        {
            found.grub_options = config.grub_env;
            found.menu_title = config.menu_title;
        }
    })?;
    visit(request, wanted(layout, Role::State)?, host, |state| {
        found.grub_oem_env = fs::read(state.join("grub_oem_env")).ok();
    })?;
    let Some(esp) = layout.partition(Role::Esp) else {
        return Ok(found);
    };
    let esp = loop_over(&request.disk, esp);
    let device = host.attach_loop(&esp).or_trouble(Code::RecoveryMount)?;
    let scratch = request.work.join("esp-probe");
    found.esp_sound = [ESP_BOOT, "/EFI/debian/grub.cfg"]
        .iter()
        .all(|path| esp_readable(host, &device, path, &scratch));
    host.detach_loop(&device).or_trouble(Code::RecoveryMount)?;
    Ok(found)
}

/// Lends a partition, mounted read-only, to `read`.
fn visit<H: Host>(
    request: &Request,
    partition: &Partition,
    host: &mut H,
    read: impl FnOnce(&Path),
) -> Result<()> {
    let at = request.work.join(&partition.name);
    fs::create_dir_all(&at).with_context(|| format!("creating {}", at.display()))?;
    let device = host
        .attach_loop(&loop_over(&request.disk, partition))
        .or_trouble(Code::RecoveryMount)?;
    let mounted = host.mount(&Mount::new(&device, &at, "ext4").read_only());
    let visited = mounted.and_then(|()| {
        read(&at);
        host.unmount(&at)
    });
    let gone = host.detach_loop(&device);
    visited
        .and(gone)
        .with_context(|| format!("partition {}", partition.name))
        .or_trouble(Code::RecoveryMount)
}

fn carry_out<H: Host>(
    request: &Request,
    plan: &Plan,
    payload: &Payload,
    disk: &File,
    host: &mut H,
    tell: &mut dyn FnMut(&Event),
    log: &RefCell<Log>,
) -> Result<(), End> {
    let files = || {
        let files = log.borrow().files(plan);
        files
            .into_iter()
            .map(|(name, bytes)| (name.replace("install", request.depth.word()), bytes))
            .collect()
    };
    let tools = Tools {
        host,
        payload,
        work: &request.work,
        disk,
    };
    let mut begun = 0;
    let mut follow = |event: &Event| {
        if let Event::Step { index, .. } = event {
            begun = *index;
        }
        tell(event);
    };
    let applied = apply(plan, tools, &mut follow, &files);
    applied.map_err(|error| failure(plan, begun, &error))
}

/// What a failure after the first write means for the machine.
fn failure(plan: &Plan, begun: usize, error: &anyhow::Error) -> End {
    let left = aftermath(&plan.steps, begun);
    let code = if left.starts {
        Code::ResetFailed
    } else {
        Code::ResetUnfinished
    };
    let step = plan.steps.get(begun.saturating_sub(1));
    let step = step.map(ToString::to_string).unwrap_or_default();
    let why = code::find(error).map_or_else(|| format!("{error:#}"), ToString::to_string);
    End::Failed {
        trouble: Trouble::new(code, format!("{step}: {why}. {}", left.text)),
        starts: left.starts,
    }
}

/// The codes of a medium speak of a medium that can be written again; this one is a partition.
fn refusal(error: &anyhow::Error) -> Trouble {
    match code::find(error) {
        Some(trouble) => match trouble.code {
            Code::PayloadMissing
            | Code::PayloadIncomplete
            | Code::ManifestInvalid
            | Code::BootFilesBad
            | Code::ChunkBad => Trouble::new(
                Code::RecoveryPayload,
                format!("on the recovery partition: {}", trouble.reason),
            ),
            _ => trouble.clone(),
        },
        None => Trouble::new(Code::RecoveryMount, format!("{error:#}")),
    }
}
