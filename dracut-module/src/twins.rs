//! Other disks of the machine that hold an installation too: a forgotten disk, one that came from another machine, a
//! copy. Nothing of them is used, and whoever stands in front of the machine is told.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::find::{
    Partition, STATE, STATE_LABEL, ext_label, partitions, read_partition, with_partuuid,
};
use crate::paths::Paths;

/// An installation on another disk, of which nothing is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    /// Node of its state partition.
    pub state: PathBuf,
    /// Kernel name of its disk.
    pub disk: String,
    /// Serial number of the disk, or its world wide name, if it tells one.
    pub serial: Option<String>,
    /// Its partitions have the ids of those in use: the disk is a copy. Otherwise only names and labels are the same.
    pub copy: bool,
}

/// The installations on other disks than that of `state`, whose PARTUUID is `partuuid`: copies of its disk, and disks with
/// partitions of the same names and labels. The same disk by another path to it is none.
pub fn twins(paths: &Paths, state: &Partition, partuuid: Option<&str>) -> Vec<Twin> {
    let copies = partuuid.map_or_else(Vec::new, |id| with_partuuid(paths, id));
    let same = |other: &Partition| other.wwid.is_some() && other.wwid == state.wwid;
    let mut others = partitions(paths);
    others.retain(|other| other.disk() != state.disk() && !same(other));
    others
        .into_iter()
        .filter_map(|other| {
            let copy = copies.iter().any(|copy| copy.node == other.node);
            // Only what may be ours is read.
            let ours = || {
                // On an MBR, partitions have no names.
                matches!(other.name.as_deref(), None | Some(STATE))
                    && ext_label(&other.node).as_deref() == Some(STATE_LABEL)
            };
            (copy || ours()).then(|| twin(other, copy))
        })
        .collect()
}

/// The installations on other disks, seen from the running system, where all disks are there by now; `state` is the node
/// of its state partition.
pub fn twins_of(paths: &Paths, state: &Path, partuuid: Option<&str>) -> Vec<Twin> {
    let name = state.file_name().and_then(|name| name.to_str());
    name.and_then(|name| read_partition(paths, name))
        .map(|state| twins(paths, &state, partuuid))
        .unwrap_or_default()
}

fn twin(partition: Partition, copy: bool) -> Twin {
    let disk = partition.disk().to_owned();
    let (_, folder) = &partition.place;
    let serial = ["serial", "device/serial", "wwid", "device/wwid"]
        .iter()
        .filter_map(|name| fs::read_to_string(folder.join(name)).ok())
        .map(|serial| serial.trim().to_owned())
        .find(|serial| !serial.is_empty());
    Twin {
        state: partition.node,
        disk,
        serial,
        copy,
    }
}

/// What a person should know of them; `None` if there are none.
pub fn in_words(twins: &[Twin]) -> Option<String> {
    let named = |twin: &Twin| {
        let serial = twin.serial.as_ref();
        let serial = serial.map_or_else(String::new, |serial| format!(", serial {serial}"));
        format!("{}{serial}", twin.disk)
    };
    match twins {
        [] => None,
        [one] if one.copy => Some(format!(
            "A second disk of this machine ({}) is a copy of the one in use; it is not used. Remove the one that does not belong here.",
            named(one)
        )),
        [one] => Some(format!(
            "A second disk of this machine ({}) holds an installation with the same labels; it is not used.",
            named(one)
        )),
        several => {
            let all: Vec<String> = several.iter().map(named).collect();
            Some(format!(
                "{} other disks of this machine ({}) hold installations with the same labels; they are not used.",
                all.len(),
                all.join("; ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::{sibling, state_partition};
    use crate::testing::{Tree, ext};

    #[test]
    fn two_installations_are_told_from_each_other_in_both_orders_and_each_tells_the_other() {
        let tree = Tree::new();
        let disks = [
            ("pci-1/sda", "aaaa-05", "A1"),
            ("pci-2/sdb", "bbbb-05", "B1"),
        ];
        for (disk, id, serial) in disks {
            let name = disk.rsplit('/').next().unwrap();
            let uuid = format!("PARTUUID={id}\n");
            tree.partition(disk, &format!("{name}5"), 5, "state", &uuid);
            tree.file(&format!("dev/{name}5"), &ext("COS_STATE"));
            for (number, part) in [(3, "oem"), (6, "persistent")] {
                tree.partition(disk, &format!("{name}{number}"), number, part, "");
            }
            let serial = format!("{serial} \n");
            tree.file(
                &format!("sys/devices/{disk}/device/serial"),
                serial.as_bytes(),
            );
        }
        // Names without an installation behind them, which are nobody's twin.
        tree.partition("pci-3/sdc", "sdc1", 1, "state", "");
        tree.partition("pci-4/sdd", "sdd1", 1, "data", "");
        tree.file("dev/sdd1", &ext("COS_STATE"));
        for (this, other) in [(0, 1), (1, 0)] {
            let (disk, id, _) = disks[this];
            let name = disk.rsplit('/').next().unwrap();
            let state = state_partition(&tree.paths, Some(id)).unwrap();
            assert_eq!(state.node, tree.at(&format!("dev/{name}5")));
            for (part, label) in [("oem", "COS_OEM"), ("persistent", "COS_PERSISTENT")] {
                let found = sibling(&tree.paths, &state, part, label).unwrap();
                let node = found.node.to_str().unwrap();
                assert!(node.contains(name), "{part} of {name} is {node}");
            }
            let (disk, _, serial) = disks[other];
            let name = disk.rsplit('/').next().unwrap();
            let twin = Twin {
                state: tree.at(&format!("dev/{name}5")),
                disk: name.to_owned(),
                serial: Some(serial.to_owned()),
                copy: false,
            };
            assert_eq!(
                twins(&tree.paths, &state, Some(id)),
                std::slice::from_ref(&twin)
            );
            assert_eq!(twins_of(&tree.paths, &state.node, Some(id)), [twin]);
        }
        assert_eq!(twins_of(&tree.paths, Path::new("/dev/sdx5"), None), []);
    }

    #[test]
    fn twins_are_told_in_one_sentence() {
        let twin = |disk: &str, serial: Option<&str>, copy| Twin {
            state: PathBuf::new(),
            disk: disk.to_owned(),
            serial: serial.map(str::to_owned),
            copy,
        };
        assert_eq!(in_words(&[]), None);
        let cases = [
            (
                vec![twin("sdb", Some("B1"), false)],
                "A second disk of this machine (sdb, serial B1) holds an installation with the same labels; it is not used.",
            ),
            (
                vec![twin("sdb", None, true)],
                "A second disk of this machine (sdb) is a copy of the one in use; it is not used. Remove the one that does not belong here.",
            ),
            (
                vec![twin("sdb", Some("B1"), false), twin("sdc", None, true)],
                "2 other disks of this machine (sdb, serial B1; sdc) hold installations with the same labels; they are not used.",
            ),
        ];
        for (twins, words) in cases {
            assert_eq!(in_words(&twins).as_deref(), Some(words));
        }
    }
}
