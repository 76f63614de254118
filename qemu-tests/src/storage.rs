//! Disks and install media of a virtual machine, as QEMU arguments.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// How a disk hangs on the machine; this decides its name and its driver in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// virtio-blk, `/dev/vda`.
    Virtio,
    /// `NVMe`, `/dev/nvme0n1`.
    Nvme,
    /// SATA behind AHCI, `/dev/sda`.
    Ahci,
    /// virtio-scsi, `/dev/sda`.
    Scsi,
    /// The paravirtual SCSI adapter of vSphere, `/dev/sda`.
    PvScsi,
    /// A USB stick or drive behind xHCI, `/dev/sda`.
    Usb,
}

/// A raw disk image on a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    path: PathBuf,
    bus: Bus,
    sector: u32,
    read_only: bool,
}

impl Disk {
    /// An existing raw image on virtio-blk, 512-byte sectors.
    pub fn existing(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            bus: Bus::Virtio,
            sector: 512,
            read_only: false,
        }
    }

    /// A new, empty, sparse raw image of `bytes` in place of whatever `path` held.
    ///
    /// # Errors
    /// The file could not be made.
    pub fn empty(path: impl Into<PathBuf>, bytes: u64) -> Result<Self> {
        let disk = Self::existing(path);
        File::create(&disk.path)
            .and_then(|file| file.set_len(bytes))
            .with_context(|| format!("making disk image {}", disk.path.display()))?;
        Ok(disk)
    }

    /// On another bus.
    #[must_use]
    pub fn on(mut self, bus: Bus) -> Self {
        self.bus = bus;
        self
    }

    /// With another logical and physical sector size in bytes (512 or 4096).
    #[must_use]
    pub fn with_sector_size(mut self, bytes: u32) -> Self {
        self.sector = bytes;
        self
    }

    /// Write-protected, as an install medium is.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The image file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Arguments for the `index`-th medium of a machine, from 1; the firmware tries media in the order of their indices.
    pub(crate) fn arguments(&self, index: usize) -> Vec<String> {
        let Self {
            path,
            bus,
            sector,
            read_only,
        } = self;
        // unsafe: the host never loses power here, and flushes of a guest cost minutes under emulation.
        let mut drive = format!(
            "if=none,id=disk{index},file={},format=raw,cache=unsafe,discard=unmap",
            escaped(path)
        );
        if *read_only {
            drive.push_str(",readonly=on");
        }
        let sizes = format!("logical_block_size={sector},physical_block_size={sector}");
        let common = format!("drive=disk{index},bootindex={index}");
        let mut arguments = vec!["-drive".to_owned(), drive];
        let mut device = |text: String| arguments.extend(["-device".to_owned(), text]);
        match bus {
            Bus::Virtio => device(format!(
                "virtio-blk-pci,{common},{sizes},serial=LF{index:04}"
            )),
            Bus::Nvme => device(format!("nvme,{common},{sizes},serial=LF{index:04}")),
            Bus::Ahci => {
                device(format!("ich9-ahci,id=ahci{index}"));
                device(format!(
                    "ide-hd,bus=ahci{index}.0,{common},{sizes},serial=LF{index:04}"
                ));
            }
            Bus::Scsi => {
                device(format!("virtio-scsi-pci,id=scsi{index}"));
                device(format!(
                    "scsi-hd,bus=scsi{index}.0,{common},{sizes},serial=LF{index:04}"
                ));
            }
            Bus::PvScsi => {
                device(format!("pvscsi,id=scsi{index}"));
                device(format!(
                    "scsi-hd,bus=scsi{index}.0,{common},{sizes},serial=LF{index:04}"
                ));
            }
            Bus::Usb => {
                device(format!("qemu-xhci,id=usb{index}"));
                device(format!(
                    "usb-storage,bus=usb{index}.0,{common},{sizes},serial=LF{index:04}"
                ));
            }
        }
        arguments
    }
}

/// Something the firmware can start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Medium {
    Disk(Disk),
    Cdrom(PathBuf),
    /// A CD drive on virtio-scsi, for machines without IDE and SATA.
    ScsiCdrom(PathBuf),
}

impl Medium {
    pub(crate) fn arguments(&self, index: usize) -> Vec<String> {
        match self {
            Self::Disk(disk) => disk.arguments(index),
            Self::Cdrom(path) => cdrom(
                path,
                index,
                &format!("ich9-ahci,id=ahci{index}"),
                &format!("ide-cd,bus=ahci{index}.0"),
            ),
            Self::ScsiCdrom(path) => cdrom(
                path,
                index,
                &format!("virtio-scsi-pci,id=scsi{index}"),
                &format!("scsi-cd,bus=scsi{index}.0"),
            ),
        }
    }
}

fn cdrom(path: &Path, index: usize, controller: &str, drive: &str) -> Vec<String> {
    vec![
        "-drive".to_owned(),
        format!(
            "if=none,id=disk{index},file={},format=raw,media=cdrom,readonly=on",
            escaped(path)
        ),
        "-device".to_owned(),
        controller.to_owned(),
        "-device".to_owned(),
        format!("{drive},drive=disk{index},bootindex={index}"),
    ]
}

/// A path as the value of a QEMU option, where a comma is written twice.
pub(crate) fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_media_is_the_boot_order() {
        let disk = Disk::existing("a,b.img")
            .on(Bus::Nvme)
            .with_sector_size(4096);
        assert_eq!(
            disk.arguments(1),
            [
                "-drive",
                "if=none,id=disk1,file=a,,b.img,format=raw,cache=unsafe,discard=unmap",
                "-device",
                "nvme,drive=disk1,bootindex=1,logical_block_size=4096,physical_block_size=4096,serial=LF0001",
            ]
        );
        let cd = Medium::Cdrom("x.iso".into()).arguments(2);
        assert_eq!(
            cd.last().unwrap(),
            "ide-cd,bus=ahci2.0,drive=disk2,bootindex=2"
        );
    }
}
