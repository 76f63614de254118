//! The medium: which block device carries it; in recovery, which disk it belongs to.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use host::{Host, LoopRequest, Mount};
use partition::{Partition, ReadPartition, SectorSize, Table, read_back};
use serde::Deserialize;
use sysroot::turn;

use crate::apply::{lend, loop_over, read_at};
use crate::check;
use crate::code::{Code, OrTrouble, Trouble};
use crate::machine::Disk;

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

/// Waits for the install medium with `id` and mounts it read-only; other media, also twins of other builds, are left
/// alone.
///
/// Only ISO 9660 is mounted, however long the CD or the stick takes to show up: even a read-only mount of a journalled
/// file system writes to its disk, and the recovery partition of an installed disk carries the same id.
pub fn find(id: &str, host: &mut impl Host, patience: Duration) -> Result<Medium> {
    let deadline = Instant::now() + patience;
    let root = Path::new(MOUNT_POINT);
    fs::create_dir_all(root).with_context(|| format!("creating {MOUNT_POINT}"))?;
    loop {
        for device in block_devices(Path::new("/sys"), Path::new("/dev")) {
            let mount = Mount::new(&device, root, "iso9660").read_only();
            if !is_iso(&device) || host.mount(&mount).is_err() {
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

/// Waits for the disk that has the state partition with this PARTUUID: the one whose GRUB started this recovery system.
///
/// Never by label or medium id, which a second disk can carry as well. Where two disks have the id, one is a copy of the
/// other, and the one whose GRUB counted up to `turn` is meant.
pub fn find_disk(
    state: &str,
    turn: Option<&str>,
    disks: impl Fn() -> Result<Vec<Disk>>,
    patience: Duration,
    host: &mut impl Host,
) -> Result<Disk> {
    let deadline = Instant::now() + patience;
    let mut turns = BTreeMap::new();
    loop {
        let mut found = disks()?;
        found.retain(|disk| state_of(disk, state).is_some());
        let seen = found.len();
        if let Some(turn) = turn {
            found = of_turn(found, turn, |disk| {
                let told = turns.entry(disk.path.clone());
                told.or_insert_with(|| read_turn(disk, state, host)).clone()
            });
        }
        match found.as_slice() {
            [disk] => return Ok(disk.clone()),
            [] => {}
            several => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                return Err(Trouble::new(
                    Code::RecoveryDisk,
                    format!(
                        "several disks have the state partition {state}: {}",
                        names.join("; ")
                    ),
                )
                .into());
            }
        }
        if Instant::now() >= deadline {
            let after = patience.as_secs();
            let reason = if seen == 0 {
                format!(
                    "no disk with a sound partition table has the state partition {state} after {after} s"
                )
            } else {
                format!(
                    "the disk with the state partition {state} is a copy of the one that was started, which is not there after {after} s"
                )
            };
            return Err(Trouble::new(Code::RecoveryDisk, reason).into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// The state partition with this PARTUUID.
fn state_of(disk: &Disk, state: &str) -> Option<ReadPartition> {
    let sector = SectorSize::try_from(u64::from(disk.sector)).ok()?;
    let table = read_back(&mut File::open(&disk.path).ok()?, sector).ok()?;
    let mut partitions = table.partitions.iter();
    let found = partitions.find(|partition| {
        let named = table.table == Table::Mbr || partition.name == "state";
        named && table.part_uuid(partition).eq_ignore_ascii_case(state)
    })?;
    Some(found.clone())
}

/// Those that may be the one whose GRUB counted up to `turn`: what tells another number is another disk. One that tells
/// nothing may need this very recovery, and counts where none tells the number.
fn of_turn(
    disks: Vec<Disk>,
    turn: &str,
    mut read: impl FnMut(&Disk) -> Option<String>,
) -> Vec<Disk> {
    let told: Vec<(Disk, Option<String>)> = disks
        .into_iter()
        .map(|disk| {
            let told = read(&disk);
            (disk, told)
        })
        .filter(|(_, told)| told.as_deref().is_none_or(|told| told == turn))
        .collect();
    let sure = told.iter().any(|(_, told)| told.is_some());
    let kept = told.into_iter().filter(|(_, told)| told.is_some() == sure);
    kept.map(|(disk, _)| disk).collect()
}

/// What GRUB counted up on the disk.
fn read_turn(disk: &Disk, state: &str, host: &mut impl Host) -> Option<String> {
    let work = check::work_folder().ok()?;
    let found = state_of(disk, state)?;
    let place = (found.start.get(), found.size.get());
    lend(disk, place, host, |device, host| {
        turn::read_device(device, &work, host).ok().flatten()
    })
}

/// The recovery partition of a disk, mounted read-only where an install has its medium.
#[derive(Debug)]
pub struct Recovery {
    /// Mount point.
    pub root: PathBuf,
    device: PathBuf,
}

impl Recovery {
    /// Mounts it at `root`; refuses one that is not the medium `id`, from which this system was started.
    pub fn mount(
        disk: &Disk,
        partition: &Partition,
        id: &str,
        root: &Path,
        host: &mut impl Host,
    ) -> Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("creating {}", root.display()))?;
        let request = LoopRequest {
            read_only: true,
            ..loop_over(disk, partition)
        };
        let device = host.attach_loop(&request).or_trouble(Code::RecoveryMount)?;
        // Nothing of it is believed without its hash, so a journal that was not emptied is no reason to write.
        let mount = Mount::new(&device, root, "ext4")
            .read_only()
            .options("noload");
        if let Err(error) = host.mount(&mount) {
            drop(host.detach_loop(&device));
            return Err(error).or_trouble(Code::RecoveryMount);
        }
        let mounted = Self {
            root: root.to_owned(),
            device,
        };
        let found = media_id(root);
        if found.as_deref() == Some(id) {
            return Ok(mounted);
        }
        drop(mounted.unmount(host));
        let found = found.unwrap_or_else(|| "no medium".to_owned());
        Err(Trouble::new(
            Code::RecoveryPayload,
            format!("the recovery partition has {found}, this system was started from {id}"),
        )
        .into())
    }

    /// Unmounts it and frees its loop device.
    pub fn unmount(self, host: &mut impl Host) -> Result<()> {
        let unmounted = host.unmount(&self.root);
        unmounted.and(host.detach_loop(&self.device))
    }
}

/// The id in the medium's own description.
fn media_id(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("landfall/media.json")).ok()?;
    serde_json::from_str::<MediaFile>(&text)
        .ok()
        .map(|media| media.media_id)
}

/// Every block device but loop and memory disks.
///
/// Whole disks come before their partitions: an ISO on a USB stick can be seen through both.
fn block_devices(sys: &Path, dev: &Path) -> Vec<PathBuf> {
    let mut names: Vec<String> = fs::read_dir(sys.join("class/block"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("loop") && !name.starts_with("ram"))
        .collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names.into_iter().map(|name| dev.join(name)).collect()
}

/// ECMA-119 8.4.1: `CD001` in sector 16 of 2048 bytes.
fn is_iso(device: &Path) -> bool {
    let mut magic = [0; 5];
    File::open(device)
        .and_then(|file| file.read_exact_at(&mut magic, 16 * 2048 + 1))
        .is_ok_and(|()| magic == *b"CD001")
}

/// Whether an ISO is still in a drive, asked of the drive and not of the memory.
pub fn is_there(drive: &Path) -> bool {
    let magic = || read_at(&File::open(drive).ok()?, 16 * 2048 + 1, 5).ok();
    magic().is_some_and(|magic| magic == *b"CD001")
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
    fn what_tells_another_number_is_another_disk_even_if_it_is_the_only_one() {
        let disks = |names: &[&str]| -> Vec<Disk> {
            let dir = tempfile::tempdir().unwrap();
            let disk = |name: &&str| {
                let path = dir.path().join(name);
                File::create(&path).unwrap();
                crate::machine::image_file(&path).unwrap()
            };
            names.iter().map(disk).collect()
        };
        let cases: [(&[&str], &[&str]); 6] = [
            (&["0001"], &["0001"]),
            (&["0002"], &[]),
            (&["0001", "0002"], &["0001"]),
            (&["silent"], &["silent"]),
            (&["silent", "0001"], &["0001"]),
            (&["silent", "0002"], &["silent"]),
        ];
        for (there, expected) in cases {
            let read = |disk: &Disk| Some(disk.name.clone()).filter(|name| name != "silent");
            let kept = of_turn(disks(there), "0001", read);
            let names: Vec<&str> = kept.iter().map(|disk| disk.name.as_str()).collect();
            assert_eq!(names, expected, "{there:?}");
        }
    }

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
        assert!(is_iso(&put("iso", 32_769, b"CD001")));
        assert!(
            !is_iso(&put("recovery", 1080, &[0x53, 0xef])),
            "ext4 is never an install medium"
        );
        assert!(is_there(&put("iso", 32_769, b"CD001")));
        assert!(!is_there(&put("blank", 0, b"")) && !is_there(Path::new("/no/such/drive")));
        assert!(!is_iso(&put("blank", 0, b"")));
        assert!(!is_iso(dir.path()));
    }
}
