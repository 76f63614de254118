//! `layout`: what a step changes in the partitions of a disk.

use serde::Serialize;

use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::place::check_path;
use crate::tree::Node;

/// GPT names have 36 units of UTF-16.
const LONGEST_NAME: usize = 36;

/// `layout`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// `device`.
    pub device: LayoutDevice,
    /// `expand_partition.size` in MiB, 0 is all that is free; absent: nothing grows.
    pub expand: Option<u64>,
    /// `add_partitions`, in their order.
    pub add: Vec<AddPartition>,
}

/// `layout.device`: how the disk is found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LayoutDevice {
    /// `label` of a filesystem on it.
    pub label: Option<String>,
    /// `path`: absolute and clean.
    pub path: Option<String>,
    /// `disk_name`.
    pub disk_name: Option<String>,
    /// `init_disk`: it gets a new partition table.
    pub init_disk: bool,
}

/// One of `layout.add_partitions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AddPartition {
    /// `fsLabel`.
    pub fs_label: Option<String>,
    /// `pLabel`.
    pub p_label: Option<String>,
    /// `size` in MiB; 0 or absent is all that is free.
    pub size: u64,
    /// `filesystem`.
    pub filesystem: Option<String>,
    /// `bootable`.
    pub bootable: bool,
}

pub(super) fn read(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<Layout> {
    let node = node?;
    let path = step.key("layout");
    let expand = node.at(&["expand_partition"]);
    Some(Layout {
        device: node
            .at(&["device"])
            .map(|device| read_device(device, &path.key("device"), findings))
            .unwrap_or_default(),
        expand: expand.map(|expand| expand.count_at("size").unwrap_or_default()),
        add: read_added(node, &path, findings),
    })
}

fn read_device(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> LayoutDevice {
    if let (Some(text), Some(at)) = (node.text_at("path"), node.at(&["path"])) {
        let path = path.key("path");
        if text.starts_with("script://") {
            let reason = "choosing the disk by a script is not supported";
            findings.error(
                Rule::Device,
                at.position,
                path,
                reason,
                "write the path of the disk",
            );
        } else {
            check_path(at, &path, findings);
        }
    }
    LayoutDevice {
        label: node.text_at("label"),
        path: node.text_at("path"),
        disk_name: node.text_at("disk_name"),
        init_disk: node.flag("init_disk"),
    }
}

fn read_added(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Vec<AddPartition> {
    let path = path.key("add_partitions");
    let items = node.at(&["add_partitions"]).map(Node::items);
    let mut added = Vec::new();
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = path.item(index);
        let p_label = item.text_at("pLabel");
        if let (Some(name), Some(node)) = (&p_label, item.at(&["pLabel"]))
            && name.encode_utf16().count() > LONGEST_NAME
        {
            let (reason, advice) = (
                "the name of a partition has at most 36 characters",
                "shorten it",
            );
            findings.error(
                Rule::Name,
                node.position,
                path.key("pLabel"),
                reason,
                advice,
            );
        }
        added.push(AddPartition {
            fs_label: item.text_at("fsLabel"),
            p_label,
            size: item.count_at("size").unwrap_or_default(),
            filesystem: item.text_at("filesystem"),
            bootable: item.flag("bootable"),
        });
    }
    added
}
