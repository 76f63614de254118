//! The install medium: which block device carries it, and what is on it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use host::{Host, Mount};
use serde::Deserialize;

use crate::code::{Code, Trouble};

/// Where the medium is mounted, as Kairos and the Palette agent expect it.
pub const MOUNT_POINT: &str = "/run/initramfs/live";

/// How long a slow virtual CD may take to show up.
pub const PATIENCE: Duration = Duration::from_mins(2);

const PAUSE: Duration = Duration::from_millis(200);

/// A medium that was found and is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// Mount point.
    pub root: PathBuf,
    /// Node of the device it lies on.
    pub device: PathBuf,
    /// Node of the whole disk of that device.
    pub disk: PathBuf,
}

/// `/landfall/media.json`, as far as it is needed to recognise a medium.
#[derive(Debug, Deserialize)]
struct MediaFile {
    media_id: String,
}

/// Waits for the medium with `id` and mounts it read-only; other media, also twins of other builds, are left alone.
pub fn find(id: &str, host: &mut impl Host, patience: Duration) -> Result<Medium> {
    let deadline = Instant::now() + patience;
    let root = Path::new(MOUNT_POINT);
    fs::create_dir_all(root).with_context(|| format!("creating {MOUNT_POINT}"))?;
    loop {
        for (device, fstype) in candidates(Path::new("/sys"), Path::new("/dev")) {
            if host
                .mount(&Mount::new(&device, root, fstype).read_only())
                .is_err()
            {
                continue;
            }
            if media_id(root).as_deref() == Some(id) {
                let disk = whole_disk(Path::new("/sys"), &device);
                return Ok(Medium {
                    root: root.to_owned(),
                    device,
                    disk,
                });
            }
            host.unmount(root)?;
        }
        if Instant::now() >= deadline {
            return Err(Trouble::new(
                Code::MediumNotFound,
                format!(
                    "no device carries the install medium {id} after {} s",
                    patience.as_secs()
                ),
            )
            .into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// The id in the medium's own description.
fn media_id(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("landfall/media.json")).ok()?;
    serde_json::from_str::<MediaFile>(&text)
        .ok()
        .map(|media| media.media_id)
}

/// Block devices that begin like an ISO 9660 volume or an ext4 file system, with that type.
///
/// Whole disks come before their partitions: an ISO on a USB stick can be seen through both.
fn candidates(sys: &Path, dev: &Path) -> Vec<(PathBuf, &'static str)> {
    let mut names: Vec<String> = fs::read_dir(sys.join("class/block"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("loop") && !name.starts_with("ram"))
        .collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
        .into_iter()
        .map(|name| dev.join(name))
        .filter_map(|device| signature(&device).map(|fstype| (device, fstype)))
        .collect()
}

/// `iso9660` (ECMA-119 8.4.1: `CD001` in sector 16 of 2048 bytes) or `ext4` (magic 0xEF53 at byte 1080).
fn signature(device: &Path) -> Option<&'static str> {
    let mut file = File::open(device).ok()?;
    let mut at = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        file.seek(SeekFrom::Start(offset)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    };
    if at(16 * 2048 + 1, 5)? == b"CD001" {
        return Some("iso9660");
    }
    (at(1080, 2)? == [0x53, 0xef]).then_some("ext4")
}

/// The whole disk of a partition; the device itself if it is no partition.
fn whole_disk(sys: &Path, device: &Path) -> PathBuf {
    let name = device.file_name().unwrap_or_default();
    let entry = sys.join("class/block").join(name);
    if !entry.join("partition").exists() {
        return device.to_owned();
    }
    // The directory of a partition lies inside that of its disk.
    let parent = fs::canonicalize(&entry).ok().and_then(|place| {
        place
            .parent()
            .and_then(Path::file_name)
            .map(std::ffi::OsStr::to_owned)
    });
    parent.map_or_else(|| device.to_owned(), |parent| device.with_file_name(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_leads_to_its_disk_and_a_disk_to_itself() {
        let root = tempfile::tempdir().unwrap();
        let disk = root.path().join("devices/pci/block/nvme0n1");
        fs::create_dir_all(disk.join("nvme0n1p4")).unwrap();
        File::create(disk.join("nvme0n1p4/partition")).unwrap();
        let class = root.path().join("class/block");
        fs::create_dir_all(&class).unwrap();
        std::os::unix::fs::symlink(&disk, class.join("nvme0n1")).unwrap();
        std::os::unix::fs::symlink(disk.join("nvme0n1p4"), class.join("nvme0n1p4")).unwrap();
        assert_eq!(
            whole_disk(root.path(), Path::new("/dev/nvme0n1p4")),
            Path::new("/dev/nvme0n1")
        );
        assert_eq!(
            whole_disk(root.path(), Path::new("/dev/nvme0n1")),
            Path::new("/dev/nvme0n1")
        );
    }

    #[test]
    fn a_volume_is_known_by_its_magic_and_everything_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, offset: usize, magic: &[u8]| {
            let path = dir.path().join(name);
            let mut bytes = vec![0; 40_000];
            bytes[offset..offset + magic.len()].copy_from_slice(magic);
            std::io::Write::write_all(&mut File::create(&path).unwrap(), &bytes).unwrap();
            path
        };
        assert_eq!(signature(&put("iso", 32_769, b"CD001")), Some("iso9660"));
        assert_eq!(signature(&put("ext", 1080, &[0x53, 0xef])), Some("ext4"));
        assert_eq!(signature(&put("blank", 0, b"")), None);
        assert_eq!(signature(dir.path()), None);
    }
}
