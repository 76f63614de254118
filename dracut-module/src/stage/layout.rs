//! `layout` of a step: partitions are added behind the last one, and the last one grows with its filesystem.
//!
//! Nothing moves, shrinks or is formatted twice. A partition to be added is formatted while its place is still free; then
//! the table is written, which is the moment in which it begins to exist; then the kernel is told. A run that was cut
//! short is repeated by the next one.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use host::{Argv, CommandFailed, Host, LoopRequest};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use partition::{Added, Bytes, Edit, Filesystem, ReadPartition, SectorSize};
use userdata::{AddPartition, Layout};
use uuid::{Uuid, uuid};

use crate::cidata;
use crate::find;
use crate::paths::Paths;

const LINUX: Uuid = uuid!("0FC63DAF-8483-4772-8E79-3D69D8477DE4");
const BASIC_DATA: Uuid = uuid!("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7");
const SYSTEM: Uuid = uuid!("C12A7328-F81F-11D2-BA4B-00A0C93EC93B");

/// The least by which a filesystem must be smaller than its partition to be grown, in bytes: a last group of blocks
/// that is too small for its own tables stays unused for ever.
const SLACK: u64 = 8 << 20;

/// How long another program may hold the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// The programs that are started; the dracut module brings them, a test holds it to that.
#[cfg(test)]
const TOOLS: [&str; 6] = [
    "e2fsck",
    "losetup",
    "mke2fs",
    "mkfs.vfat",
    "partx",
    "resize2fs",
];

/// Changes the disk as the step says. What is there already is left as it is.
pub(super) fn carry_out(wanted: &Layout, host: &mut impl Host) -> Result<String> {
    let device = &wanted.device;
    if device.path.is_none() && device.label.is_none() {
        return Ok("no device is named: nothing is changed".to_owned());
    }
    ensure!(
        !device.init_disk,
        "init_disk is not carried out by this version: it would destroy the disk's partitions"
    );
    let paths = Paths::default();
    let disk = Disk::find(&paths, device.path.as_deref(), device.label.as_deref())?;
    disk.change(&paths, wanted, host)
        .with_context(|| format!("changing the partitions of {}", disk.node.display()))
}

/// The disk that a step means.
struct Disk {
    node: PathBuf,
    /// Its name in sysfs.
    name: String,
    sector: SectorSize,
}

/// What is to be done, known before anything is written.
struct Plan {
    edit: Edit,
    /// Partitions to be formatted, by number.
    format: Vec<(u32, Format)>,
    /// The partition whose filesystem shall fill it.
    grow: Option<u32>,
}

/// A filesystem to be made.
struct Format {
    filesystem: Filesystem,
    label: Option<String>,
}

impl Disk {
    fn find(paths: &Paths, path: Option<&str>, label: Option<&str>) -> Result<Self> {
        let name = match (path.filter(|path| !path.is_empty()), label) {
            (Some(path), _) => by_path(paths, path)?,
            (None, Some(label)) => by_label(paths, label)?,
            (None, None) => bail!("no disk is named"),
        };
        let folder = paths.at("/sys/class/block").join(&name);
        let size = fs::read_to_string(folder.join("queue/logical_block_size"))
            .with_context(|| format!("reading the sector size of {name}"))?;
        let size: u64 = size.trim().parse().context("reading the sector size")?;
        Ok(Self {
            node: paths.at("/dev").join(name.replace('!', "/")),
            sector: SectorSize::try_from(size)?,
            name,
        })
    }

    fn change(&self, paths: &Paths, wanted: &Layout, host: &mut impl Host) -> Result<String> {
        let mut disk = lock(&self.node)?;
        let plan = self.plan(wanted, &mut disk)?;
        for (number, format) in &plan.format {
            self.format(partition(&plan.edit, *number)?, format, host)?;
        }
        let mut done = Vec::new();
        if plan.edit.is_changed() {
            plan.edit.write(&mut *disk)?;
            disk.sync_all()?;
            let read = Edit::read(&mut *disk, self.sector).context("reading the new table")?;
            ensure!(
                read.partitions() == plan.edit.partitions(),
                "the new table came back differently: replace the disk"
            );
        }
        self.tell_kernel(paths, &plan, host)?;
        drop(disk);
        if let Some(number) = plan.grow {
            done.extend(self.grow(paths, partition(&plan.edit, number)?, host)?);
        }
        if !plan.format.is_empty() {
            done.push(format!("{} partitions added", plan.format.len()));
        }
        if done.is_empty() {
            done.push("nothing is to be done".to_owned());
        }
        Ok(done.join(", "))
    }

    fn plan(&self, wanted: &Layout, disk: &mut File) -> Result<Plan> {
        let mut edit = Edit::read(disk, self.sector)?;
        let mut format = Vec::new();
        // From the disk itself: the kernel may not see every partition.
        let starts = edit.partitions().iter().map(|part| part.start.get());
        let labels: Vec<String> = starts.filter_map(|start| label_at(disk, start)).collect();
        for wanted in &wanted.add {
            if !is_there(wanted, &edit, &labels)? {
                format.push(add(wanted, &mut edit)?);
            }
        }
        let mut grow = None;
        if let Some(size) = wanted.expand {
            let before = edit.last().cloned();
            let number = edit.grow_last(mib(size)?)?;
            let part = partition(&edit, number)?;
            let is_new = format.iter().any(|(added, _)| *added == number);
            if !is_new && ext_size(disk, part.start.get())?.is_some() {
                grow = Some(number);
            } else if !is_new && before.as_ref() != Some(part) {
                bail!(
                    "partition {number} has no ext2, ext3 or ext4 filesystem, and no other is grown"
                );
            }
        }
        Ok(Plan { edit, format, grow })
    }

    /// Makes a filesystem where the partition will be.
    fn format(&self, part: &ReadPartition, format: &Format, host: &mut impl Host) -> Result<()> {
        let device = host.attach_loop(&LoopRequest {
            file: self.node.clone(),
            offset: part.start.get(),
            size: Some(part.size.get()),
            read_only: false,
            sector_size: None,
        })?;
        let mut argv = match format.filesystem {
            Filesystem::Vfat => Argv::new("mkfs.vfat"),
            other => Argv::new("mke2fs").args(["-q", "-F", "-t", other.name()]),
        };
        if let Some(label) = &format.label {
            let flag = if format.filesystem == Filesystem::Vfat {
                "-n"
            } else {
                "-L"
            };
            argv = argv.args([flag, label.as_str()]);
        }
        let made = host.run(&argv.arg(&device));
        let detached = host.detach_loop(&device);
        // The first error is the one to tell.
        made.with_context(|| format!("formatting partition {}", part.number))?;
        detached
    }

    /// Makes the kernel see partitions that it does not see with their size.
    fn tell_kernel(&self, paths: &Paths, plan: &Plan, host: &mut impl Host) -> Result<()> {
        for part in plan.edit.partitions() {
            if self
                .seen(paths, part.number)
                .is_some_and(|(_, size)| size == part.size.get())
            {
                continue;
            }
            let number = part.number.to_string();
            let argv = Argv::new("partx").args(["--update", "--nr", &number]);
            host.run(&argv.arg(&self.node)).with_context(|| {
                format!("telling the kernel of partition {number}; it sees it after a restart")
            })?;
        }
        Ok(())
    }

    /// Node and size in bytes of a partition, as the kernel sees it.
    fn seen(&self, paths: &Paths, number: u32) -> Option<(PathBuf, u64)> {
        let mut parts = find::partitions(paths).into_iter();
        let part = parts.find(|part| part.disk() == self.name && part.number == number)?;
        let name = part.node.file_name()?.to_owned();
        let size = fs::read_to_string(paths.at("/sys/class/block").join(name).join("size")).ok()?;
        let sectors: u64 = size.trim().parse().ok()?;
        Some((part.node, sectors.checked_mul(512)?))
    }

    /// Grows an ext filesystem to the size of its partition: mounted if it is, else after a check.
    fn grow(
        &self,
        paths: &Paths,
        part: &ReadPartition,
        host: &mut impl Host,
    ) -> Result<Option<String>> {
        let (node, size) = self
            .seen(paths, part.number)
            .with_context(|| format!("the kernel does not see partition {}", part.number))?;
        ensure!(
            size == part.size.get(),
            "the kernel sees partition {} with {size} bytes; it sees its new size after a restart",
            part.number
        );
        let found = ext_size(&mut File::open(&node)?, 0)?;
        if found.is_none_or(|found| found.saturating_add(SLACK) > size) {
            return Ok(None);
        }
        let free = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_EXCL.bits())
            .open(&node);
        match free.map_err(|error| error.raw_os_error().map(Errno::from_raw)) {
            Ok(free) => {
                drop(free);
                check(&node, host)?;
            }
            Err(Some(Errno::EBUSY)) => {}
            Err(errno) => bail!("opening {}: {errno:?}", node.display()),
        }
        host.run(&Argv::new("resize2fs").arg(&node))?;
        Ok(Some(format!(
            "the filesystem of {} has grown to {size} bytes",
            node.display()
        )))
    }
}

/// Whether a partition is there already: by its name, or without one by the label of its filesystem.
fn is_there(wanted: &AddPartition, edit: &Edit, labels: &[String]) -> Result<bool> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    match (given(&wanted.p_label), given(&wanted.fs_label)) {
        (Some(name), _) => Ok(edit.partitions().iter().any(|part| part.name == name)),
        (None, Some(label)) => Ok(labels
            .iter()
            .any(|found| found.eq_ignore_ascii_case(&label))),
        (None, None) => bail!(
            "a partition to be added needs a pLabel or an fsLabel, or it would be added at every run"
        ),
    }
}

/// Puts a partition into the table to be written; its number, and what it is to be formatted with.
fn add(wanted: &AddPartition, edit: &mut Edit) -> Result<(u32, Format)> {
    let (filesystem, kind, attributes) = kind_of(wanted)?;
    let label = wanted.fs_label.clone().filter(|label| !label.is_empty());
    let longest = filesystem.longest_label();
    ensure!(
        label.as_ref().is_none_or(|label| label.len() <= longest),
        "the label of a {filesystem} filesystem has at most {longest} bytes"
    );
    let number = edit.partitions().len() + 1;
    let added = edit.add(Added {
        name: wanted.p_label.clone().unwrap_or_default(),
        size: mib(wanted.size)?,
        kind,
        attributes,
        guid: Uuid::new_v4(),
    });
    let added = added.with_context(|| format!("adding partition {number}"))?;
    Ok((added.number, Format { filesystem, label }))
}

/// Holds the disk. While somebody does, udev does not look at it; udev itself holds it for a moment after each change.
fn lock(node: &Path) -> Result<Flock<File>> {
    let mut file = OpenOptions::new().read(true).write(true).open(node)?;
    let start = Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((_, errno)) if start.elapsed() > PATIENCE => {
                return Err(errno).context("another program holds it");
            }
            Err((back, _)) => file = back,
        }
        sleep(Duration::from_millis(50));
    }
}

/// A check is what resize2fs asks for; its exit status 1 says that something was repaired.
fn check(node: &Path, host: &mut impl Host) -> Result<()> {
    match host.run(&Argv::new("e2fsck").args(["-f", "-p"]).arg(node)) {
        Err(error) => match error.downcast_ref::<CommandFailed>() {
            Some(failed) if failed.status == "exit status 1" => Ok(()),
            _ => Err(error),
        },
        Ok(_) => Ok(()),
    }
}

fn partition(edit: &Edit, number: u32) -> Result<&ReadPartition> {
    let mut parts = edit.partitions().iter();
    let found = parts.find(|part| part.number == number);
    found.with_context(|| format!("there is no partition {number}"))
}

/// `None` for 0, which stands for all that is free.
fn mib(size: u64) -> Result<Option<Bytes>> {
    if size == 0 {
        return Ok(None);
    }
    let bytes = Bytes::from_mib(size).with_context(|| format!("{size} MiB are too much"))?;
    Ok(Some(bytes))
}

/// Filesystem, GPT type and attributes; ext2 if nothing is said, as in Kairos.
fn kind_of(wanted: &AddPartition) -> Result<(Filesystem, Uuid, u64)> {
    let name = wanted.filesystem.as_deref().filter(|name| !name.is_empty());
    Ok(match (name.unwrap_or("ext2"), wanted.bootable) {
        // UEFI 2.10, table 5.8: bit 0 for what the platform needs, bit 2 for what an old BIOS may start.
        ("vfat" | "fat" | "fat16" | "fat32", true) => (Filesystem::Vfat, SYSTEM, 1),
        ("vfat" | "fat" | "fat16" | "fat32", false) => (Filesystem::Vfat, BASIC_DATA, 0),
        (name @ ("ext2" | "ext3" | "ext4"), bootable) => {
            (name.parse()?, LINUX, u64::from(bootable) << 2)
        }
        (other, _) => bail!(
            "a filesystem {other:?} is not made by this version: use ext4, ext3, ext2 or vfat"
        ),
    })
}

fn by_path(paths: &Paths, path: &str) -> Result<String> {
    let node =
        fs::canonicalize(paths.at(path)).with_context(|| format!("there is no disk {path}"))?;
    let name = node.strip_prefix(fs::canonicalize(paths.at("/dev"))?);
    let name = name
        .ok()
        .and_then(Path::to_str)
        .map(|name| name.replace('/', "!"));
    let folder = name.map(|name| paths.at("/sys/class/block").join(name));
    let folder = folder.and_then(|folder| fs::canonicalize(folder).ok());
    let mut folder = folder.with_context(|| format!("{path} is not a disk"))?;
    // A partition stands for its disk.
    if folder.join("partition").exists() {
        folder.pop();
    }
    let name = folder.file_name().and_then(|name| name.to_str());
    Ok(name
        .with_context(|| format!("{path} is not a disk"))?
        .to_owned())
}

/// The one disk with a filesystem of this label. Two of them are refused: nothing tells which one is meant.
fn by_label(paths: &Paths, label: &str) -> Result<String> {
    let parts = find::partitions(paths).into_iter();
    let found = parts.filter(|part| label_of(&part.node).as_deref() == Some(label));
    let mut disks: Vec<String> = found.map(|part| part.disk().to_owned()).collect();
    disks.sort();
    disks.dedup();
    match disks.as_slice() {
        [disk] => Ok(disk.clone()),
        [] => bail!("no disk has a filesystem with the label {label:?}"),
        several => bail!(
            "several disks have a filesystem with the label {label:?}: {}",
            several.join(", ")
        ),
    }
}

fn label_of(node: &Path) -> Option<String> {
    label_at(&mut File::open(node).ok()?, 0)
}

/// Label of the ext or FAT filesystem that begins at byte `start`.
fn label_at(device: &mut File, start: u64) -> Option<String> {
    find::ext_label_at(device, start).or_else(|| cidata::fat_label_at(device, start))
}

/// Size in bytes of an ext2/3/4 filesystem that begins at `start`: superblock at byte 1024 with the number of blocks at 4 and
/// 0x150, the size of a block at 0x18, the magic at 0x38 (`Documentation/filesystems/ext4/super.rst` of the kernel).
fn ext_size(device: &mut File, start: u64) -> Result<Option<u64>> {
    let mut superblock = [0; 1024];
    device.seek(SeekFrom::Start(start.saturating_add(1024)))?;
    device.read_exact(&mut superblock)?;
    let word = |at: usize| {
        let bytes = superblock.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    if superblock.get(0x38..0x3a) != Some(&[0x53, 0xef]) {
        return Ok(None);
    }
    let is_64bit = word(0x60).is_some_and(|features| features & 0x80 != 0);
    let high = word(0x150).filter(|_| is_64bit).unwrap_or(0);
    let blocks = u64::from(high) << 32 | u64::from(word(4).unwrap_or(0));
    let size = word(0x18).and_then(|log| 1024_u64.checked_shl(log));
    Ok(size.and_then(|size| blocks.checked_mul(size)))
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
