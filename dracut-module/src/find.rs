//! Which disk this is: the state partition that GRUB named, and the others of the same disk.
//!
//! Nothing is looked up by label over all disks: two disks with the same labels must never mix. Facts come from sysfs,
//! which needs no udev; `/dev/disk/by-partuuid` is the one exception, because kernels before 6.13 do not tell the
//! PARTUUID in a uevent.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::BootError;
use crate::paths::Paths;

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

fn wait_for<T, E>(
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
    let link = paths.at("/dev/disk/by-partuuid").join(id);
    let linked = fs::read_link(link)
        .ok()
        .and_then(|target| Some(target.file_name()?.to_str()?.to_owned()));
    if let Some(partition) = linked.and_then(|name| read_partition(paths, &name)) {
        return Some(partition);
    }
    partitions(paths)
        .into_iter()
        .find(|partition| partition.partuuid.as_deref() == Some(id))
}

fn only_state(paths: &Paths) -> Result<Option<Partition>, BootError> {
    let mut states: Vec<Partition> = partitions(paths)
        .into_iter()
        .filter(|partition| partition.name.as_deref() == Some("state"))
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
fn partitions(paths: &Paths) -> Vec<Partition> {
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
fn read_partition(paths: &Paths, kernel_name: &str) -> Option<Partition> {
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
    Some(Partition {
        number: number.trim().parse().ok()?,
        name: value("PARTNAME"),
        partuuid: value("PARTUUID").map(|id| id.to_ascii_lowercase()),
        disk: folder.parent()?.file_name()?.to_str()?.to_owned(),
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

/// Label of an ext2/3/4 file system: superblock at byte 1024, magic at 0x38, 16 bytes of label at 0x78
/// (`Documentation/filesystems/ext4/super.rst` of the kernel).
fn ext_label(node: &Path) -> Option<String> {
    let mut file = fs::File::open(node).ok()?;
    let mut superblock = [0_u8; 0x88];
    file.seek(SeekFrom::Start(1024)).ok()?;
    file.read_exact(&mut superblock).ok()?;
    let label = superblock.get(0x78..0x88)?;
    let is_ext = superblock.get(0x38..0x3a)? == [0x53, 0xef];
    let text = label.split(|byte| *byte == 0).next()?;
    is_ext.then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

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
        let mut bytes = vec![0_u8; 4096];
        bytes[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
        bytes[1024 + 0x78..1024 + 0x78 + 7].copy_from_slice(b"COS_OEM");
        tree.file("dev/sda6", &bytes);
        let state = state_partition(&tree.paths, Some("cc-05")).unwrap();
        let oem = sibling(&tree.paths, &state, "oem", "COS_OEM").unwrap();
        assert_eq!(oem.number, 6);
    }
}
