//! Facts about this machine, read from sysfs and from its disks; no decisions.

mod usage;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use host::Host;
use nix::sys::stat::{major, minor};
use serde::{Deserialize, Serialize};

use crate::contents::{self, Contents};

/// What Landfall knows of a machine before it decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// How the machine booted.
    pub firmware: Firmware,
    /// Whole disks, in the order of their kernel names.
    pub disks: Vec<Disk>,
}

/// How the machine booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// A PC BIOS (or a compatibility module).
    Bios,
    /// UEFI.
    Uefi,
}

impl std::fmt::Display for Firmware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
        })
    }
}

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Kernel name: `sda`, `nvme0n1`.
    pub name: String,
    /// Device node.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Logical sector size in bytes.
    pub sector: u32,
    /// Physical sector size in bytes: what the disk writes at once.
    #[serde(default)]
    pub physical_sector: u32,
    /// Model as the drive tells it; may be empty.
    pub model: String,
    /// Serial number as the drive tells it; may be empty.
    pub serial: String,
    /// World wide name as the kernel writes it (`naa.…`, `eui.…`, `nvme.…`); may be empty.
    #[serde(default)]
    pub wwn: String,
    /// The bus it hangs on.
    pub transport: Transport,
    /// The medium can be taken out (sysfs `removable`, or a card).
    pub removable: bool,
    /// The kernel refuses writes.
    pub read_only: bool,
    /// Who uses it: `sda2 is mounted at /data`, `md127 stands on sda1`.
    #[serde(default)]
    pub in_use: Vec<String>,
    /// What is on it; absent if nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
}

/// The bus a disk hangs on, as far as its place in sysfs tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the buses")]
pub enum Transport {
    Fc,
    Iscsi,
    Loop,
    Mmc,
    Nvme,
    Sas,
    Sata,
    Scsi,
    Usb,
    Virtio,
    Other,
}

impl std::fmt::Display for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ({}",
            self.path.display(),
            tui::plain::human_bytes(self.size)
        )?;
        for part in [&self.model, &self.serial] {
            if !part.is_empty() {
                write!(f, ", {part}")?;
            }
        }
        write!(f, ")")
    }
}

/// Device names that are never a disk of this machine.
const NOT_DISKS: [&str; 13] = [
    "loop", "ram", "sr", "fd", "zram", "md", "dm-", "nbd", "mtd", "zd", "rbd", "drbd", "bcache",
];

/// Reads the facts, but for what is on the disks; `sys` and `dev` are `/sys` and `/dev` but in tests.
pub fn read_machine(sys: &Path, dev: &Path) -> Result<Machine> {
    let firmware = if sys.join("firmware/efi").is_dir() {
        Firmware::Uefi
    } else {
        Firmware::Bios
    };
    Ok(Machine {
        firmware,
        disks: read_disks(sys, dev)?,
    })
}

impl Machine {
    /// Looks at what is on every disk; reads only, and mounts nothing.
    pub fn look_at_disks(&mut self, host: &mut impl Host) {
        for disk in &mut self.disks {
            disk.look(host);
        }
    }
}

impl Disk {
    /// Looks at what is on the disk; reads only, and mounts nothing.
    pub fn look(&mut self, host: &mut impl Host) {
        self.contents = Some(contents::look(&self.path, self.size, self.sector, host));
    }
}

/// Reads the facts of the block device with this number (major, minor), however it is called by now.
pub fn read_device(sys: &Path, dev: &Path, number: (u64, u64)) -> Result<Disk> {
    let (major, minor) = number;
    let entry = sys.join(format!("dev/block/{major}:{minor}"));
    let place = fs::canonicalize(&entry).with_context(|| format!("reading {}", entry.display()))?;
    let name = place.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    Ok(read_disk(&place, sys, dev, name))
}

fn read_disks(sys: &Path, dev: &Path) -> Result<Vec<Disk>> {
    let block = sys.join("block");
    let entries = fs::read_dir(&block).with_context(|| format!("reading {}", block.display()))?;
    let mut disks = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", block.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // eMMC boot areas and the replay-protected block are block devices beside the disk, not disks.
        // A path of a multipath NVMe disk: the kernel shows the disk itself beside it.
        let hidden =
            fs::read_to_string(entry.path().join("hidden")).is_ok_and(|text| text.trim() == "1");
        let emmc_area =
            name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
        if hidden || emmc_area || NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let disk = read_disk(&entry.path(), sys, dev, name);
        if disk.size > 0 {
            disks.push(disk);
        }
    }
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(disks)
}

fn read_disk(entry: &Path, sys: &Path, dev: &Path, name: String) -> Disk {
    let text = |file: &str| {
        fs::read_to_string(entry.join(file))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let number = |file: &str| text(file).parse::<u64>().unwrap_or_default();
    let place = fs::canonicalize(entry).unwrap_or_else(|_| entry.to_owned());
    // The vendor of a virtio disk is a number of its bus, which tells nobody anything.
    let vendor = Some(text("device/vendor")).filter(|vendor| !vendor.starts_with("0x"));
    let vendor_and_model = [vendor.unwrap_or_default(), text("device/model")].join(" ");
    let serial = [text("device/serial"), text("serial"), text("wwid")];
    let wwn = [text("device/wwid"), text("wwid")];
    let sector = u32::try_from(number("queue/logical_block_size"))
        .unwrap_or(512)
        .max(512);
    let physical = u32::try_from(number("queue/physical_block_size")).unwrap_or(sector);
    Disk {
        path: dev.join(&name),
        // The kernel counts in units of 512 bytes here, whatever the sector size is.
        size: number("size").saturating_mul(512),
        sector,
        physical_sector: physical.max(sector),
        model: vendor_and_model.trim().to_owned(),
        serial: serial
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        wwn: wwn
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        transport: transport(&place, &name),
        // A card in its slot is no less easily taken out than a stick; the kernel calls only the slot removable.
        removable: number("removable") == 1 || text("device/type") == "SD",
        read_only: number("ro") == 1,
        in_use: usage::of(entry, sys, dev, &name),
        contents: None,
        name,
    }
}

fn transport(place: &Path, name: &str) -> Transport {
    let place = place.to_string_lossy();
    // The order matters: a USB disk is a SCSI disk too, an NVMe disk may sit behind a virtual PCI bridge.
    if place.contains("/usb") {
        Transport::Usb
    } else if name.starts_with("nvme") {
        Transport::Nvme
    } else if name.starts_with("mmcblk") {
        Transport::Mmc
    } else if name.starts_with("loop") {
        Transport::Loop
    } else if place.contains("/ata") {
        Transport::Sata
    } else if place.contains("/end_device-") {
        Transport::Sas
    } else if place.contains("/rport-") {
        Transport::Fc
    } else if place.contains("/session") {
        Transport::Iscsi
    } else if name.starts_with("vd") || place.contains("/virtio") {
        Transport::Virtio
    } else if name.starts_with("sd") {
        Transport::Scsi
    } else {
        Transport::Other
    }
}

/// Waits until the list of disks has not changed for `quiet`, at most for `limit`: a controller that is slow to start
/// must not make one of two disks look like the only one.
pub fn wait_for_disks(sys: &Path, dev: &Path, quiet: Duration, limit: Duration) -> Result<()> {
    let started = Instant::now();
    let mut last = read_disks(sys, dev)?;
    let mut since = started;
    while since.elapsed() < quiet && started.elapsed() < limit {
        std::thread::sleep(quiet / 10);
        let now = read_disks(sys, dev)?;
        if now != last {
            last = now;
            since = Instant::now();
        }
    }
    Ok(())
}

/// The major number of loop devices (`Documentation/admin-guide/devices.txt` of the kernel).
const LOOP: u64 = 7;

/// Facts of a disk that is none of this machine: an image file, or a loop device, which stands for one; `None` if `path`
/// is neither.
pub fn image(path: &Path) -> Result<Option<Disk>> {
    let Ok(facts) = fs::metadata(path) else {
        return Ok(None);
    };
    // Loop devices over it are made by absolute path, whatever the working directory is then.
    let absolute =
        || fs::canonicalize(path).with_context(|| format!("resolving {}", path.display()));
    if facts.file_type().is_file() {
        return image_file(&absolute()?).map(Some);
    }
    let number = (major(facts.rdev()), minor(facts.rdev()));
    let (major, minor) = number;
    let is_part = Path::new("/sys/dev/block").join(format!("{major}:{minor}/partition"));
    if !facts.file_type().is_block_device() || major != LOOP || is_part.exists() {
        return Ok(None);
    }
    let mut disk = read_device(Path::new("/sys"), Path::new("/dev"), number)?;
    disk.path = absolute()?;
    Ok(Some(disk))
}

/// Facts of a raw disk image: the disk that exists only as a file.
pub fn image_file(path: &Path) -> Result<Disk> {
    let size = fs::metadata(path)
        .with_context(|| format!("reading {}", path.display()))?
        .len();
    Ok(Disk {
        name: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        path: path.to_owned(),
        size,
        sector: 512,
        physical_sector: 512,
        model: "image file".to_owned(),
        serial: String::new(),
        wwn: String::new(),
        transport: Transport::Other,
        removable: false,
        read_only: fs::metadata(path).is_ok_and(|facts| facts.permissions().readonly()),
        in_use: Vec::new(),
        contents: None,
    })
}

#[cfg(test)]
#[path = "machine/tests.rs"]
mod tests;
