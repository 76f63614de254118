//! Carries out a plan, and undoes every mount whatever happens.
//!
//! Nothing is decided here. The first error is the one that is reported; an error while undoing is added to it.

mod esp;
mod images;
mod replace;
mod stages;
mod table;

pub(crate) use esp::readable as esp_readable;
pub(crate) use table::read_at;
pub(crate) use unfinished::boot_code as unfinished_boot_code;
mod unfinished;

pub(crate) use unfinished::is_unfinished;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host::files::{sync_filesystem, write_synced};
use host::{Argv, Host, LoopRequest, Mount};
use partition::{Filesystem, Partition};
use sysroot::stage::StageReport;
use uuid::Uuid;

use crate::code::{Code, OrTrouble};
use crate::machine::Disk;
use crate::nvram;
use crate::payload::Payload;
use crate::plan::{Place, Plan, Step};
use crate::report::Event;

/// The programs that steps run, and the one that looks at disks before; `dracut-module/rootfs` installs these, and a test
/// holds the two together.
pub const TOOLS: [&str; 7] = [
    "blkid",
    "losetup",
    "mcopy",
    "mke2fs",
    "mkfs.vfat",
    "mmd",
    "mren",
];

/// Features that GRUB 2.06 (and older) cannot read, switched off by name: newer mke2fs versions switch them on.
const EXT_FEATURES: &str = "^metadata_csum_seed,^orphan_file";

/// Bytes from which on a FAT file system is made as FAT32.
const FAT32_LEAST: u64 = 64 << 20;

/// Name of the report of the operator's stages beside the log.
const STAGES: &str = "stages.json";

/// What a run needs beside the plan.
#[derive(Debug)]
pub struct Tools<'a, H> {
    /// The door to the system.
    pub host: &'a mut H,
    /// Where the payload is.
    pub payload: &'a Payload,
    /// Folder for mount points; it must exist.
    pub work: &'a Path,
    /// The disk or image file, open for reading and writing.
    pub disk: &'a File,
}

/// A run of a plan.
struct Run<'a, H: Host> {
    plan: &'a Plan,
    tools: Tools<'a, H>,
    /// Loop device of each partition that was needed so far.
    loops: BTreeMap<u32, PathBuf>,
    /// Mount points, in order of mounting.
    mounted: Vec<PathBuf>,
    /// BLAKE3 of the compressed payload as it was read.
    copied: Option<blake3::Hash>,
    on_event: &'a mut dyn FnMut(&Event),
    log: &'a dyn Fn() -> Vec<(String, Vec<u8>)>,
    /// What became of the operator's stages.
    stages: Vec<StageReport>,
}

/// Carries out `plan`. `log` gives the files of the log at the moment when they are kept, on success and on failure.
pub fn apply<H: Host>(
    plan: &Plan,
    tools: Tools<'_, H>,
    on_event: &mut dyn FnMut(&Event),
    log: &dyn Fn() -> Vec<(String, Vec<u8>)>,
) -> Result<()> {
    let mut run = Run {
        plan,
        tools,
        loops: BTreeMap::new(),
        mounted: Vec::new(),
        copied: None,
        on_event,
        log,
        stages: Vec::new(),
    };
    let applied = run.steps();
    if applied.is_err() {
        run.rescue_log();
    }
    let undone = run.undo();
    match (applied, undone) {
        (Err(first), Err(second)) => Err(first.context(format!("and while undoing: {second:#}"))),
        // The disk boots: what is left over now (a loop device) is worth a word, not a failure.
        (Ok(()), Err(left)) => {
            on_event(&Event::Note {
                text: format!("after the last step: {left:#}"),
            });
            Ok(())
        }
        (applied, Ok(())) => applied,
    }
}

impl<H: Host> Run<'_, H> {
    fn steps(&mut self) -> Result<()> {
        let of = self.plan.steps.len();
        for (index, step) in self.plan.steps.iter().enumerate() {
            (self.on_event)(&Event::Step {
                index: index + 1,
                of,
                phase: step.phase(),
                text: step.to_string(),
            });
            self.step(step).with_context(|| step.to_string())?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Wipe { ranges } => {
                table::wipe(self.tools.disk, ranges).or_trouble(Code::WriteFailed)
            }
            Step::WriteTable => {
                table::write(self.tools.disk, &self.plan.layout).or_trouble(Code::WriteFailed)
            }
            Step::StopBooting { ranges, boot_code } => {
                let layout = &self.plan.layout;
                table::write_boot_sector(self.tools.disk, layout, &boot_code.0, false)
                    .and_then(|()| table::wipe(self.tools.disk, ranges))
                    .or_trouble(Code::WriteFailed)
            }
            Step::MakeFilesystem {
                partition,
                filesystem,
                label,
                uuid,
                ..
            } => self.make_filesystem(*partition, *filesystem, label.as_deref(), *uuid),
            Step::Mount { partition, name } => self.mount(*partition, name),
            Step::WriteImages {
                slots,
                recovery,
                size,
            } => self.write_images(slots, recovery.as_ref(), *size),
            Step::VerifyImages { slots, recovery } => self.verify_images(slots, recovery.as_ref()),
            Step::Replace { from, to } => self.replace(from, to),
            Step::Remove { place } => self.remove(place),
            Step::Overwrite { to, content, .. } => self.overwrite(to, &content.0),
            Step::CopyFile { from, to } => self.copy_file(from, to),
            Step::WriteFile { to, content, mode } => {
                let path = self.place(to)?;
                write_synced(&path, &content.0, *mode).or_trouble(Code::WriteFailed)
            }
            Step::EmbedBios { at, core } => {
                table::write_at(self.tools.disk, at.get(), &core.0).or_trouble(Code::WriteFailed)
            }
            Step::FillEsp {
                partition,
                folders,
                copies,
                files,
            } => {
                let device = self.device(*partition)?;
                self.fill_esp(&device, folders, copies, files)
            }
            Step::NameEspFiles { partition, names } => {
                let device = self.device(*partition)?;
                self.name_esp_files(&device, names)
            }
            Step::WriteBootSector { boot_code, active } => {
                table::write_boot_sector(self.tools.disk, &self.plan.layout, &boot_code.0, *active)
                    .or_trouble(Code::WriteFailed)
            }
            Step::RunStage {
                stage,
                within,
                origin,
            } => self.run_stage(stage, *within, origin),
            Step::BootEntry { change } => {
                // The name on the EFI system partition is enough for most firmware; a refusal of its store is no reason
                // to leave a machine without a system.
                if let Err(error) = nvram::apply(Path::new(nvram::EFIVARS), change) {
                    (self.on_event)(&Event::Note {
                        text: format!("the firmware's boot order stays as it is: {error:#}"),
                    });
                }
                Ok(())
            }
            Step::KeepLog { to } => {
                // A lost log is a pity; an install that fails for it is a truck roll.
                if let Err(error) = self.keep_log(to) {
                    (self.on_event)(&Event::Note {
                        text: format!("the log is not kept: {error:#}"),
                    });
                }
                Ok(())
            }
            Step::Unmount => self.undo(),
            Step::MakeBootable {
                partition,
                boot_code,
                active,
            } => self.make_bootable(*partition, &boot_code.0, *active),
        }
    }

    /// The last write of an install is one sector.
    fn make_bootable(&mut self, esp: Option<u32>, boot_code: &[u8], active: bool) -> Result<()> {
        let device = esp.map(|number| self.device(number)).transpose()?;
        if let Some(device) = &device {
            self.name_boot_file(device)?;
        }
        let layout = &self.plan.layout;
        let written = table::write_boot_sector(self.tools.disk, layout, boot_code, active)
            .or_trouble(Code::WriteFailed);
        if written.is_err()
            && let Some(device) = &device
        {
            // "Failed" means that the disk does not boot: not by UEFI either.
            drop(self.unname_boot_file(device));
        }
        written
    }

    fn partition(&self, number: u32) -> Result<&Partition> {
        let mut partitions = self.plan.layout.partitions().iter();
        partitions
            .find(|partition| partition.number == number)
            .with_context(|| format!("the plan has no partition {number}"))
    }

    /// The loop device over a partition; made at its first use.
    fn device(&mut self, number: u32) -> Result<PathBuf> {
        if let Some(device) = self.loops.get(&number) {
            return Ok(device.clone());
        }
        let request = loop_over(&self.plan.disk, self.partition(number)?);
        let device = self
            .tools
            .host
            .attach_loop(&request)
            .or_trouble(Code::ProgramFailed)?;
        self.loops.insert(number, device.clone());
        Ok(device)
    }

    fn make_filesystem(
        &mut self,
        number: u32,
        kind: Filesystem,
        label: Option<&str>,
        uuid: Uuid,
    ) -> Result<()> {
        let device = self.device(number)?;
        let argv = match kind {
            Filesystem::Vfat => {
                // Names the volume id by the first four bytes of the UUID, as blkid shows it.
                let id = format!("{:08x}", uuid.as_fields().0);
                let argv = Argv::new("mkfs.vfat").args(["-i", &id]);
                // FAT32 needs 65,525 clusters: too many for a small partition, and for 256 MiB in sectors of
                // 4096 bytes. mkfs.vfat picks what fits there.
                let fat32 = self.plan.disk.sector == 512
                    && self.partition(number)?.size.get() >= FAT32_LEAST;
                let argv = if fat32 { argv.args(["-F", "32"]) } else { argv };
                label.map_or(argv.clone(), |label| argv.args(["-n", label]))
            }
            other => {
                let (kind, uuid) = (other.to_string(), uuid.to_string());
                // No discard: through a loop device over a disk it arrives as "write zeros", which some SCSI disks
                // carry out sector by sector, over the whole partition.
                let argv = Argv::new("mke2fs")
                    .args(["-q", "-F", "-t", &kind, "-b", "4096", "-m", "0"])
                    .args(["-O", EXT_FEATURES, "-U", &uuid, "-E", "nodiscard"]);
                label.map_or(argv.clone(), |label| argv.args(["-L", label]))
            }
        };
        self.tools
            .host
            .run(&argv.arg(&device))
            .or_trouble(Code::ProgramFailed)?;
        Ok(())
    }

    fn mount(&mut self, number: u32, name: &str) -> Result<()> {
        let device = self.device(number)?;
        let at = self.tools.work.join(name);
        fs::create_dir_all(&at).with_context(|| format!("creating {}", at.display()))?;
        self.tools
            .host
            .mount(&Mount::new(device, &at, "ext4"))
            .or_trouble(Code::MountFailed)?;
        self.mounted.push(at);
        Ok(())
    }

    /// The path of a place, with its folder made.
    fn place(&self, place: &Place) -> Result<PathBuf> {
        let path = self.tools.work.join(place.partition).join(&place.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        Ok(path)
    }

    fn keep_log(&mut self, to: &Place) -> Result<()> {
        for (name, bytes) in (self.log)() {
            let path = self.place(&Place {
                partition: to.partition,
                path: format!("{}/{name}", to.path),
            })?;
            write_synced(&path, &bytes, 0o640).or_trouble(Code::WriteFailed)?;
        }
        if !self.stages.is_empty() {
            let path = self.place(&Place {
                partition: to.partition,
                path: format!("{}/{STAGES}", to.path),
            })?;
            let report =
                serde_json::to_vec_pretty(&self.stages).context("the report of the stages")?;
            // It quotes what commands wrote, which may be a secret.
            write_synced(&path, &report, 0o600).or_trouble(Code::WriteFailed)?;
        }
        Ok(())
    }

    /// Keeps the log of a failed run if there is a place for it already; its own failure changes nothing.
    fn rescue_log(&mut self) {
        let keep = self.plan.steps.iter().find_map(|step| match step {
            Step::KeepLog { to } => Some(to.clone()),
            _ => None,
        });
        if let Some(to) = keep
            && self.mounted.contains(&self.tools.work.join(to.partition))
        {
            drop(self.keep_log(&to));
        }
    }

    /// Unmounts what was really mounted, innermost first, and goes on past failures; then frees the loop devices.
    fn undo(&mut self) -> Result<()> {
        let mut first = Ok(());
        while let Some(at) = self.mounted.pop() {
            let done = sync_filesystem(&at).or_trouble(Code::WriteFailed);
            let gone = self.tools.host.unmount(&at).or_trouble(Code::MountFailed);
            first = first.and(done).and(gone);
        }
        while let Some((_, device)) = self.loops.pop_last() {
            let gone = self
                .tools
                .host
                .detach_loop(&device)
                .or_trouble(Code::ProgramFailed);
            first = first.and(gone);
        }
        first.and(self.tools.disk.sync_all().or_trouble(Code::WriteFailed))
    }
}

/// Reaches a partition without the kernel's partition scan and without udev; the same on a disk and in an image file.
pub(crate) fn loop_over(disk: &Disk, partition: &Partition) -> LoopRequest {
    LoopRequest {
        file: disk.path.clone(),
        offset: partition.start.get(),
        size: Some(partition.size.get()),
        read_only: false,
        sector_size: (disk.sector != 512).then_some(disk.sector),
    }
}

/// Lends a part of a disk, from a byte on and so many bytes, as a read-only device.
pub(crate) fn lend<H: Host, T>(
    disk: &Disk,
    (offset, size): (u64, u64),
    host: &mut H,
    read: impl FnOnce(&Path, &mut H) -> Option<T>,
) -> Option<T> {
    let request = LoopRequest {
        file: disk.path.clone(),
        offset,
        size: Some(size),
        read_only: true,
        sector_size: (disk.sector != 512).then_some(disk.sector),
    };
    let device = host.attach_loop(&request).ok()?;
    let read = read(&device, host);
    // One that stays is gone with the next start, and keeps nobody from the disk.
    drop(host.detach_loop(&device));
    read
}
