//! From the kernel command line to a root that can be switched to.
//!
//! ```text
//! command line + image id -> state partition -> slot -> image -> OEM -> rootfs stage
//!     -> layout + survey -> plan -> apply -> report
//! ```

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use host::files::write_synced;
use host::{Host, LoopRequest, Mount};

use crate::apply::Assembly;
use crate::cmdline::BootArgs;
use crate::error::BootError;
use crate::find::{self, Partition};
use crate::kernel_log;
use crate::layout::{self, ExtraVolume, Layout};
use crate::paths::Paths;
use crate::plan::{self, Volume};
use crate::report::{FORMAT, Report, millis};
use crate::slots::{self, Slot, SlotRoot};
use crate::stage;
use crate::survey::Survey;
use crate::turn;
use crate::twins;

/// Assembles the root at `/sysroot` and says what was done, also in `/run/landfall/sysroot.json`.
///
/// # Errors
///
/// A [`BootError`], with its code first, if there can be no root; then everything that was mounted is unmounted again.
/// Whatever the system can live without is in the report instead: see [`Report::lost`], [`Report::refused`] and
/// [`Report::failures`].
pub fn assemble(host: &mut impl Host, paths: &Paths) -> Result<Report> {
    let start = Instant::now();
    let mut assembly = Assembly {
        host,
        paths,
        fsck: crate::cmdline::Fsck::default(),
        image_id: String::new(),
        lost: Vec::new(),
        report: Report {
            format: FORMAT,
            ..Report::default()
        },
        mounts: Vec::new(),
        loops: Vec::new(),
    };
    let result = assembly.run();
    if let Err(error) = &result {
        assembly.report.failed = Some(format!("{error:#}"));
        let undone = assembly.undo();
        assembly.report.refused.extend(undone);
    }
    let mut report = assembly.report;
    report.lost = assembly.lost;
    report.ms = millis(start);
    for line in report.lost.iter().chain(&report.refused) {
        // A mistake in a list must not only be found by someone who looks for it.
        kernel_log::say(paths, line);
    }
    let written = write_report(&report, paths);
    result?;
    written?;
    Ok(report)
}

fn write_report(report: &Report, paths: &Paths) -> Result<()> {
    let folder = paths.at("/run/landfall");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    if !report.lost.is_empty() {
        // A file that units can ask for.
        write_synced(
            &folder.join("lost"),
            report.lost.join("\n").as_bytes(),
            0o644,
        )?;
    }
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    // Of the same mode as the stages': what a file system check or a mount says is nobody else's business.
    write_synced(&folder.join("sysroot.json"), &json, 0o600)
}

/// The state partition of the disk that was started, among its copies; and what there is to tell of it.
fn started(
    paths: &Paths,
    first: Partition,
    (id, turn, wait): (&str, &str, Duration),
    host: &mut impl Host,
) -> (Partition, Option<String>) {
    let Some(known) = turn::of_this_start(paths, id, turn, wait, host) else {
        let told = format!("no disk has counted up to {turn}, or several have");
        return (first, Some(told));
    };
    let parted = turn::part_from_copies(paths, &known, turn, host);
    let told = parted.err().map(|error| format!("{error:#}"));
    (known.partition, told)
}

impl<H: Host> Assembly<'_, H> {
    fn run(&mut self) -> Result<()> {
        let args = read_args(self.paths)?;
        self.fsck = args.fsck;
        let image_id = slots::read_image_id(self.paths)?;
        self.report.image_id.clone_from(&image_id);
        self.image_id.clone_from(&image_id);
        self.report.wanted.clone_from(&args.wanted_image);
        let state = self.find_state(&args)?;
        self.mount_image(&args, &image_id, &state.node)?;
        self.mount_oem(&state)?;
        self.rootfs_stage();
        let layout = self.layout(&args)?;
        let persistent = self.contract_volume(&state, "persistent", "COS_PERSISTENT");
        let volumes: Vec<Volume> = layout
            .volumes
            .iter()
            .map(|wanted| extra_volume(self.paths, &state, wanted))
            .collect();
        let survey = Survey::of(&self.paths.image(), &plan::wanted(&layout));
        let root_plan = plan::plan(&layout, &survey, &persistent, &volumes, self.paths);
        self.apply(&root_plan).map_err(|error| {
            BootError::RootUnusable {
                image: self.report.image.clone(),
                reason: format!("{error:#}"),
            }
            .into()
        })
    }

    fn find_state(&mut self, args: &BootArgs) -> Result<Partition> {
        let (paths, id) = (self.paths, args.state_partuuid.as_deref());
        let (host, turn) = (&mut *self.host, args.turn.as_deref());
        let (state, twins) = self.report.time("find the state partition", || {
            let begun = Instant::now();
            let first = find::state_partition(paths, id)?;
            let wait = paths.wait.saturating_sub(begun.elapsed());
            let (state, told) = match id.zip(turn) {
                Some((id, turn)) => started(paths, first, (id, turn, wait), host),
                None => (first, None),
            };
            let twins = twins::twins(paths, &state, id);
            let notes = twins::in_words(&twins).into_iter().chain(told).collect();
            Ok(((state, twins), notes))
        })?;
        if let Some(note) = twins::in_words(&twins) {
            kernel_log::say(paths, &note);
        }
        self.report.state.clone_from(&state.node);
        self.report.twins = twins;
        Ok(state)
    }

    /// Mounts the state partition (the kernel replays its journal) and the root of the image with the id.
    fn mount_image(&mut self, args: &BootArgs, id: &str, device: &Path) -> Result<()> {
        let mount = Mount::new(device, self.paths.state(), "ext4").read_only();
        self.timed(&mount.to_string(), |assembly| assembly.mount_making(&mount))
            .map_err(|error| BootError::StateUnreadable {
                device: device.to_owned(),
                reason: format!("{error:#}"),
            })?;
        let slots = slots::read_slots(&self.paths.state());
        let (slot, root) = slots::choose(&slots, id, args, device)?;
        self.report.image.clone_from(&slot.file);
        let mode = slots::mode(&slot.file, args);
        mode.sentinel().clone_into(&mut self.report.mode);
        self.timed(
            &format!("mount the root of {}", slot.file.display()),
            |assembly| assembly.mount_slot(slot, root),
        )
        .map_err(|error| BootError::RootUnusable {
            image: slot.file.clone(),
            reason: format!("{error:#}"),
        })?;
        self.sentinel(mode.sentinel())
    }

    pub(crate) fn mount_slot(&mut self, slot: &Slot, root: &SlotRoot) -> Result<Vec<String>> {
        let device = self.host.attach_loop(&LoopRequest {
            file: slot.file.clone(),
            offset: root.offset,
            size: Some(root.length),
            read_only: true,
            sector_size: None,
        })?;
        self.loops.push((self.mounts.len(), device.clone()));
        self.mount_making(&Mount::new(device, self.paths.image(), "erofs").read_only())
    }

    /// Before the first stage: practically every stage of a Kairos image asks for one of these files.
    fn sentinel(&mut self, name: &str) -> Result<()> {
        let folder = self.paths.at("/run/cos");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        write_synced(&folder.join(name), b"1", 0o644)
    }

    fn mount_oem(&mut self, state: &Partition) -> Result<()> {
        let volume = self.contract_volume(state, "oem", "COS_OEM");
        let at = self.paths.oem();
        self.timed("check COS_OEM and mount it", |assembly| {
            assembly.volume(&volume, &at)
        })
    }

    fn contract_volume(&self, state: &Partition, name: &str, label: &str) -> Volume {
        let found = find::sibling(self.paths, state, name, label);
        Volume {
            name: label.to_owned(),
            device: found.map(|partition| partition.node),
            read_only: false,
        }
    }

    /// Runs the stage `rootfs` in the initramfs, with `/system` and `/oem` at these paths; its failures are told in
    /// `stages.json` and never end the boot.
    fn rootfs_stage(&mut self) {
        let links = [
            (self.paths.image().join("system"), self.paths.at("/system")),
            (self.paths.oem(), self.paths.at("/oem")),
        ];
        let outcome = self.timed("run the stage rootfs", |assembly| {
            let mut made = Vec::new();
            for (target, link) in &links {
                // An empty directory of the initramfs makes way; one with something in it stays.
                drop(fs::remove_dir(link));
                if symlink(target, link).is_ok() {
                    made.push(link);
                }
            }
            let sources = [assembly.paths.at("/system/oem"), assembly.paths.at("/oem")];
            let stages = stage::run("rootfs", Path::new("/"), &sources, assembly.host);
            for link in made {
                fs::remove_file(link)?;
            }
            stage::record(&stages, &assembly.paths.at("/run/landfall/stages.json"))?;
            Ok(stages.failures().map(ToString::to_string).collect())
        });
        // A failure is in the report already.
        drop(outcome);
    }

    fn layout(&mut self, args: &BootArgs) -> Result<Layout> {
        let cos = self.paths.at("/run/cos");
        let (lists, unreadable) = layout::read_install_lists(&self.paths.oem());
        self.report.refused.extend(unreadable);
        let layout = layout::decide(&layout::read_env(&cos), &lists, args);
        let file = cos.join("cos-layout.env");
        if !file.exists() {
            write_synced(&file, layout::render_env(&layout).as_bytes(), 0o644)?;
        }
        Ok(layout)
    }
}

fn read_args(paths: &Paths) -> Result<BootArgs> {
    let file = paths.at("/proc/cmdline");
    let line = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let args = BootArgs::parse(&line);
    if args.recovery {
        return Err(BootError::NotThisMode {
            what: "landfall.recovery",
        }
        .into());
    }
    if args.reset {
        return Err(BootError::NotThisMode {
            what: "kairos.reset",
        }
        .into());
    }
    Ok(args)
}

/// A volume of a layout variable: read-only unless it is the persistent partition (`reference/kairos.md` 3.3), and a
/// label counts on this disk only.
fn extra_volume(paths: &Paths, state: &Partition, wanted: &ExtraVolume) -> Volume {
    let device = match wanted.source.strip_prefix("LABEL=") {
        Some(label) => find::sibling(paths, state, label, label).map(|partition| partition.node),
        None => Some(paths.at(&wanted.source)),
    };
    Volume {
        name: wanted.source.clone(),
        device,
        read_only: !wanted.source.contains("COS_PERSISTENT"),
    }
}

#[cfg(test)]
#[path = "assemble_disk_tests.rs"]
mod disk_tests;
#[cfg(test)]
#[path = "assemble_tests.rs"]
pub(crate) mod tests;
