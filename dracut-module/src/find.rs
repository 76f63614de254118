//! Which disk this is: the state partition that GRUB named, and the others of the same disk.
//!
//! Nothing is looked up by label over all disks: two disks with the same labels must never mix. Facts come from sysfs
//! and the disks, which need no udev; `/dev/disk/by-partuuid` is the last resort, for tables that only the kernel reads.
//!
//! A disk that was cloned has the same PARTUUIDs as its twin. What tells which of them GRUB was loaded from is in
//! [`crate::turn`]; where that says nothing, one of those that are there is chosen by rule, the same at every boot: a
//! fixed disk before a removable one, then by its place in the machine (the names of disks change from boot to boot). All
//! partitions come from that disk, and the twin is told. Refusing would leave a distant machine off because of a forgotten
//! stick. A clone that shows up late is told again while the system runs, when all disks are there.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::BootError;
use crate::paths::Paths;
use crate::table;

/// GPT name and label of a state partition.
pub(crate) const STATE: &str = "state";
pub(crate) const STATE_LABEL: &str = "COS_STATE";

/// How often is looked for a device that is not there yet.
const POLL: Duration = Duration::from_millis(50);

/// One partition as sysfs tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Node under `/dev`.
    pub node: PathBuf,
    /// Number in the partition table, from 1.
    pub number: u32,
    /// GPT name (`PARTNAME`); MBR partitions have none.
    pub name: Option<String>,
    /// `PARTUUID`, in lower case, where the kernel tells it.
    pub partuuid: Option<String>,
    /// Kernel name of the disk.
    disk: String,
    /// Where the disk is in the machine: removable or not, and its directory in sysfs.
    pub(crate) place: (bool, PathBuf),
    /// What the disk calls itself, if it does.
    pub(crate) wwid: Option<String>,
}

impl Partition {
    /// Kernel name of the disk.
    pub(crate) fn disk(&self) -> &str {
        &self.disk
    }
}

/// Waits for the state partition of the disk that GRUB booted from.
///
/// Without a PARTUUID a single partition called `state` is taken, and several are refused.
pub fn state_partition(paths: &Paths, partuuid: Option<&str>) -> Result<Partition, BootError> {
    let found = wait_for(paths.wait, || match partuuid {
        Some(id) => Ok(by_partuuid(paths, id)),
        None => only_state(paths),
    })?;
    found.ok_or_else(|| BootError::StateMissing {
        partuuid: partuuid.unwrap_or("(any)").to_owned(),
        seconds: paths.wait.as_secs(),
        seen: seen(paths),
    })
}

/// Waits for the partition `name` (GPT name), or with the ext4 label `label`, of the same disk as `state`.
pub fn sibling(paths: &Paths, state: &Partition, name: &str, label: &str) -> Option<Partition> {
    let look = || -> Result<_, std::convert::Infallible> {
        let siblings: Vec<Partition> = partitions(paths)
            .into_iter()
            .filter(|other| other.disk == state.disk)
            .collect();
        let named = siblings
            .iter()
            .find(|other| other.name.as_deref() == Some(name))
            .cloned();
        // MBR partitions have no name; the label is safe within one disk.
        Ok(named.or_else(|| {
            siblings
                .into_iter()
                .find(|other| ext_label(&other.node).as_deref() == Some(label))
        }))
    };
    match wait_for(paths.wait_siblings, look) {
        Ok(found) => found,
        Err(never) => match never {},
    }
}

pub(crate) fn wait_for<T, E>(
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        sleep(POLL);
    }
}

fn by_partuuid(paths: &Paths, id: &str) -> Option<Partition> {
    let chosen = with_partuuid(paths, id).into_iter().next();
    chosen.or_else(|| {
        let link = fs::read_link(paths.at("/dev/disk/by-partuuid").join(id)).ok()?;
        read_partition(paths, link.file_name()?.to_str()?)
    })
}

/// All partitions with a PARTUUID, the one to be preferred first.
pub(crate) fn with_partuuid(paths: &Paths, id: &str) -> Vec<Partition> {
    let mut found = partitions(paths);
    found.retain(|partition| match &partition.partuuid {
        Some(told) => told == id,
        // Only disks that may be ours are read: another may be slow or broken.
        None => {
            matches!(partition.name.as_deref(), None | Some(STATE))
                && table::partuuid(&paths.at("/dev").join(&partition.disk), partition.number)
                    .is_some_and(|read| read == id)
        }
    });
    found.sort_by(|a, b| (&a.place, a.number).cmp(&(&b.place, b.number)));
    found
}

fn only_state(paths: &Paths) -> Result<Option<Partition>, BootError> {
    let mut states: Vec<Partition> = partitions(paths)
        .into_iter()
        .filter(|partition| partition.name.as_deref() == Some(STATE))
        .collect();
    if states.len() > 1 {
        let nodes: Vec<String> = states
            .iter()
            .map(|state| state.node.display().to_string())
            .collect();
        return Err(BootError::StateAmbiguous {
            candidates: nodes.join(", "),
        });
    }
    Ok(states.pop())
}

/// All partitions of all disks, ordered by disk and number.
pub(crate) fn partitions(paths: &Paths) -> Vec<Partition> {
    let Ok(entries) = fs::read_dir(paths.at("/sys/class/block")) else {
        return Vec::new();
    };
    let mut found: Vec<Partition> = entries
        .flatten()
        .filter_map(|entry| read_partition(paths, entry.file_name().to_str()?))
        .collect();
    found.sort_by(|a, b| (&a.disk, a.number).cmp(&(&b.disk, b.number)));
    found
}

/// Reads one block device; `None` if it is not a partition or not yet whole.
pub(crate) fn read_partition(paths: &Paths, kernel_name: &str) -> Option<Partition> {
    let folder = fs::canonicalize(paths.at("/sys/class/block").join(kernel_name)).ok()?;
    let number = fs::read_to_string(folder.join("partition")).ok()?;
    let uevent = fs::read_to_string(folder.join("uevent")).ok()?;
    let value = |key: &str| {
        uevent.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name == key).then(|| value.to_owned())
        })
    };
    let node = paths.at("/dev").join(value("DEVNAME")?);
    let disk = folder.parent()?;
    let removable = fs::read_to_string(disk.join("removable"));
    Some(Partition {
        number: number.trim().parse().ok()?,
        name: value("PARTNAME"),
        partuuid: value("PARTUUID").map(|id| id.to_ascii_lowercase()),
        disk: disk.file_name()?.to_str()?.to_owned(),
        wwid: ["wwid", "device/wwid"]
            .iter()
            .find_map(|name| fs::read_to_string(disk.join(name)).ok())
            .filter(|wwid| !wwid.trim().is_empty()),
        place: (
            removable.is_ok_and(|flag| flag.trim() == "1"),
            disk.to_owned(),
        ),
        // devtmpfs makes the node a moment after sysfs has the entry.
        node: node.exists().then_some(node)?,
    })
}

fn seen(paths: &Paths) -> String {
    let all: Vec<String> = partitions(paths)
        .iter()
        .map(|partition| {
            let name = partition.name.as_deref().unwrap_or("no name");
            format!("{} {name}", partition.node.display())
        })
        .collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

/// Label of an ext2/3/4 file system on a device.
pub(crate) fn ext_label(node: &Path) -> Option<String> {
    ext_label_at(&mut fs::File::open(node).ok()?, 0)
}

/// Label of an ext2/3/4 file system that begins at byte `start`: superblock at byte 1024, magic at 0x38, 16 bytes of label
/// at 0x78 (`Documentation/filesystems/ext4/super.rst` of the kernel).
pub(crate) fn ext_label_at(device: &mut fs::File, start: u64) -> Option<String> {
    let mut superblock = [0_u8; 0x88];
    device
        .seek(SeekFrom::Start(start.checked_add(1024)?))
        .ok()?;
    device.read_exact(&mut superblock).ok()?;
    let label = superblock.get(0x78..0x88)?;
    let is_ext = superblock.get(0x38..0x3a)? == [0x53, 0xef];
    let text = label.split(|byte| *byte == 0).next()?;
    is_ext.then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;
    use crate::twins::twins;

    #[test]
    fn the_partition_with_the_given_id_is_found_through_udev_or_the_uevent() {
        let tree = Tree::new();
        tree.partition("vda", "vda5", 5, "state", "");
        tree.partition("vdb", "vdb5", 5, "state", "PARTUUID=BBBB-05\n");
        tree.link("dev/disk/by-partuuid/aaaa-05", "../../vda5");
        for (id, node) in [("aaaa-05", "dev/vda5"), ("bbbb-05", "dev/vdb5")] {
            let found = state_partition(&tree.paths, Some(id)).unwrap();
            assert_eq!(found.node, tree.at(node), "{id}");
        }
    }

    #[test]
    fn of_two_disks_with_one_id_the_choice_is_the_same_whatever_udev_says() {
        use crate::table::tests::{GUID, gpt};
        let tree = Tree::new();
        // In sysfs a disk lies below its controller; the names came in the wrong order this time.
        for disk in ["pci-1/sdb", "pci-2/sda", "pci-0-usb/sdc"] {
            let name = disk.rsplit('/').next().unwrap();
            tree.partition(disk, &format!("{name}5"), 5, "state", "");
            tree.partition(disk, &format!("{name}3"), 3, "oem", "");
            tree.file(&format!("dev/{name}"), &gpt(512));
        }
        tree.file("sys/devices/pci-0-usb/sdc/removable", b"1\n");
        for last in ["sda5", "sdb5", "sdc5"] {
            let link = tree.at("dev/disk/by-partuuid").join(GUID);
            drop(fs::remove_file(&link));
            tree.link(
                &format!("dev/disk/by-partuuid/{GUID}"),
                format!("../../{last}"),
            );
            let state = state_partition(&tree.paths, Some(GUID)).unwrap();
            assert_eq!(state.node, tree.at("dev/sdb5"), "{last}");
            let oem = sibling(&tree.paths, &state, "oem", "COS_OEM").unwrap();
            assert_eq!(oem.node, tree.at("dev/sdb3"));
            let told = twins(&tree.paths, &state, Some(GUID));
            assert!(told.iter().all(|twin| twin.copy), "{told:?}");
            let nodes: Vec<PathBuf> = told.into_iter().map(|twin| twin.state).collect();
            assert_eq!(nodes, [tree.at("dev/sda5"), tree.at("dev/sdc5")]);
        }
        // Two paths to one disk are no clones.
        for disk in ["pci-1/sdb", "pci-2/sda"] {
            tree.file(&format!("sys/devices/{disk}/device/wwid"), b"naa.5000\n");
        }
        let state = state_partition(&tree.paths, Some(GUID)).unwrap();
        assert_eq!(twins(&tree.paths, &state, Some(GUID)).len(), 1);
    }

    #[test]
    fn a_partition_that_does_not_appear_is_an_error_that_lists_the_others() {
        let tree = Tree::new();
        tree.partition("vda", "vda6", 6, "persistent", "");
        let error = state_partition(&tree.paths, Some("cccc-05")).unwrap_err();
        assert!(matches!(error, BootError::StateMissing { .. }));
        let text = error.to_string();
        assert!(
            text.starts_with("LF-B02") && text.contains("vda6 persistent"),
            "{text}"
        );
    }

    #[test]
    fn without_an_id_one_state_partition_is_taken_and_two_are_refused() {
        let tree = Tree::new();
        tree.partition("vda", "vda5", 5, "state", "");
        let found = state_partition(&tree.paths, None).unwrap();
        assert_eq!(found.number, 5);
        tree.partition("vdb", "vdb5", 5, "state", "");
        let error = state_partition(&tree.paths, None).unwrap_err();
        assert!(error.to_string().starts_with("LF-B03"), "{error}");
    }

    #[test]
    fn siblings_come_from_the_same_disk_only() {
        let tree = Tree::new();
        tree.partition("vda", "vda3", 3, "oem", "");
        tree.partition("vdb", "vdb3", 3, "oem", "");
        tree.partition("vdb", "vdb5", 5, "state", "PARTUUID=bbbb-05\n");
        let state = state_partition(&tree.paths, Some("bbbb-05")).unwrap();
        let oem = sibling(&tree.paths, &state, "oem", "COS_OEM").unwrap();
        assert_eq!(oem.node, tree.at("dev/vdb3"));
        assert_eq!(
            sibling(&tree.paths, &state, "persistent", "COS_PERSISTENT"),
            None
        );
    }

    #[test]
    fn on_an_mbr_disk_the_label_decides() {
        let tree = Tree::new();
        tree.partition("sda", "sda5", 5, "", "PARTUUID=cc-05\n");
        tree.partition("sda", "sda6", 6, "", "");
        tree.file("dev/sda6", &crate::testing::ext("COS_OEM"));
        let state = state_partition(&tree.paths, Some("cc-05")).unwrap();
        let oem = sibling(&tree.paths, &state, "oem", "COS_OEM").unwrap();
        assert_eq!(oem.number, 6);
    }
}
