//! Facts about this machine, read from sysfs; no decisions.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

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
    /// Model as the drive tells it; may be empty.
    pub model: String,
    /// Serial number as the drive tells it; may be empty.
    pub serial: String,
    /// The bus it hangs on.
    pub transport: Transport,
    /// The medium can be taken out (sysfs `removable`).
    pub removable: bool,
    /// The kernel refuses writes.
    pub read_only: bool,
}

/// The bus a disk hangs on, as far as its place in sysfs tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the buses")]
pub enum Transport {
    Ata,
    Mmc,
    Nvme,
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

/// Reads the facts; `sys` and `dev` are `/sys` and `/dev` but in tests.
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
        let disk = read_disk(&entry.path(), dev, name);
        if disk.size > 0 {
            disks.push(disk);
        }
    }
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(disks)
}

fn read_disk(entry: &Path, dev: &Path, name: String) -> Disk {
    let text = |file: &str| {
        fs::read_to_string(entry.join(file))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let number = |file: &str| text(file).parse::<u64>().unwrap_or_default();
    let place = fs::canonicalize(entry).unwrap_or_else(|_| entry.to_owned());
    let vendor_and_model = [text("device/vendor"), text("device/model")].join(" ");
    let serial = [text("device/serial"), text("serial"), text("wwid")];
    Disk {
        path: dev.join(&name),
        // The kernel counts in units of 512 bytes here, whatever the sector size is.
        size: number("size").saturating_mul(512),
        sector: u32::try_from(number("queue/logical_block_size"))
            .unwrap_or(512)
            .max(512),
        model: vendor_and_model.trim().to_owned(),
        serial: serial
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        transport: transport(&place, &name),
        removable: number("removable") == 1,
        read_only: number("ro") == 1,
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
    } else if place.contains("/ata") {
        Transport::Ata
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
        model: "image file".to_owned(),
        serial: String::new(),
        transport: Transport::Other,
        removable: false,
        read_only: fs::metadata(path).is_ok_and(|facts| facts.permissions().readonly()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }

    fn disk(root: &Path, name: &str, place: &str, sectors: u64, files: &[(&str, &str)]) {
        let real = root.join("devices").join(place).join("block").join(name);
        put(&real, "size", &format!("{sectors}\n"));
        put(&real, "queue/logical_block_size", "512\n");
        for (file, text) in files {
            put(&real, file, text);
        }
        fs::create_dir_all(root.join("block")).unwrap();
        std::os::unix::fs::symlink(&real, root.join("block").join(name)).unwrap();
    }

    #[test]
    fn disks_are_told_from_what_only_looks_like_one() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path();
        disk(sys, "loop0", "virtual", 8, &[]);
        disk(sys, "sr0", "pci/ata1", 100, &[]);
        disk(sys, "mmcblk0", "pci/mmc0", 1000, &[]);
        disk(sys, "mmcblk0boot0", "pci/mmc0", 8, &[]);
        disk(
            sys,
            "sdb",
            "pci/usb1",
            2000,
            &[("removable", "1\n"), ("device/model", "Stick\n")],
        );
        disk(sys, "sda", "pci/ata2", 0, &[]);
        disk(
            sys,
            "nvme0n1",
            "pci/nvme",
            4000,
            &[("device/serial", "S1\n"), ("ro", "1\n")],
        );
        disk(sys, "vda", "pci/virtio3", 4000, &[]);
        disk(sys, "nvme0c0n1", "pci/nvme", 4000, &[("hidden", "1\n")]);
        let machine = read_machine(sys, Path::new("/dev")).unwrap();
        assert_eq!(machine.firmware, Firmware::Bios);
        let seen: Vec<_> = machine
            .disks
            .iter()
            .map(|d| (d.name.as_str(), d.transport))
            .collect();
        assert_eq!(
            seen,
            [
                ("mmcblk0", Transport::Mmc),
                ("nvme0n1", Transport::Nvme),
                ("sdb", Transport::Usb),
                ("vda", Transport::Virtio)
            ]
        );
        let stick = &machine.disks[2];
        assert!(stick.removable && !stick.read_only);
        assert_eq!((stick.size, stick.model.as_str()), (2000 * 512, "Stick"));
        assert!(machine.disks[1].read_only);
        assert_eq!(machine.disks[1].serial, "S1");
    }

    #[test]
    fn a_disk_that_shows_up_late_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path().to_owned();
        disk(&sys, "sda", "pci/ata1", 4000, &[]);
        let late = std::thread::spawn({
            let sys = sys.clone();
            move || {
                std::thread::sleep(Duration::from_millis(60));
                disk(&sys, "sdb", "pci/ata2", 4000, &[]);
                Instant::now()
            }
        });
        let quiet = Duration::from_millis(300);
        wait_for_disks(&sys, Path::new("/dev"), quiet, Duration::from_secs(20)).unwrap();
        let appeared = late.join().unwrap();
        assert!(
            appeared.elapsed() >= quiet / 2,
            "the list was taken too early"
        );
        assert_eq!(read_disks(&sys, Path::new("/dev")).unwrap().len(), 2);
    }
}
