//! `install`: what the installer reads (`reference/palette.md` 1.8, `reference/kairos.md` 1.1).

mod schema;

use std::collections::BTreeMap;

use serde::Serialize;

pub(crate) use schema::INSTALL;

use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::place::{check_mount_path, path_fault};
use crate::tree::Node;

/// What the installer is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the switches of the format, each independent of the others"
)]
pub struct Install {
    /// `auto`: install without asking.
    pub auto: bool,
    /// `device`.
    pub device: Device,
    /// `reboot`; see [`Install::afterwards`].
    pub reboot: bool,
    /// `poweroff`; see [`Install::afterwards`].
    pub poweroff: bool,
    /// `nousers`: no administrator is wanted.
    pub nousers: bool,
    /// `bind_mounts`: absolute clean paths, each one word.
    pub bind_mounts: Vec<String>,
    /// `ephemeral_mounts`: absolute clean paths, each one word.
    pub ephemeral_mounts: Vec<String>,
    /// `extra-dirs-rootfs`: absolute clean paths, each one word.
    pub extra_dirs_rootfs: Vec<String>,
    /// `partitions`.
    pub partitions: PartitionSizes,
    /// `extra-partitions`, in their order.
    pub extra_partitions: Vec<ExtraPartition>,
    /// `grub_options`, values as written.
    pub grub_options: BTreeMap<String, String>,
}

/// What happens when the installation is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Afterwards {
    /// The machine starts again.
    Reboot,
    /// The machine is switched off.
    Poweroff,
    /// The screen stays.
    Wait,
}

impl Install {
    /// What happens when the installation is complete; `poweroff` takes precedence over `reboot`.
    pub fn afterwards(&self) -> Afterwards {
        match (self.poweroff, self.reboot) {
            (true, _) => Afterwards::Poweroff,
            (false, true) => Afterwards::Reboot,
            (false, false) => Afterwards::Wait,
        }
    }
}

/// The disk that `install.device` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// Absent or `auto`: the installer chooses.
    #[default]
    Auto,
    /// A clean path below `/dev`.
    Path(String),
}

/// Sizes in MiB; absent: computed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PartitionSizes {
    /// `efi.size`.
    pub efi: Option<u64>,
    /// `oem.size`.
    pub oem: Option<u64>,
    /// `recovery.size`.
    pub recovery: Option<u64>,
    /// `state.size`.
    pub state: Option<u64>,
    /// `persistent.size`; 0 is the rest of the disk.
    pub persistent: Option<u64>,
}

/// One of `extra-partitions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtraPartition {
    /// `name`, never empty.
    pub name: String,
    /// `label` of the filesystem.
    pub label: Option<String>,
    /// `size` in MiB; 0 or absent is the rest of the disk.
    pub size: u64,
    /// `fs`.
    pub fs: Option<String>,
}

/// Reads `install`; its form was checked before.
pub(crate) fn read(node: &Node, findings: &mut Findings) -> Install {
    check_mounts(node, findings);
    warn_of_the_end(node, findings);
    refuse_unsafe(node, findings);
    let size = |role: &str| {
        node.at(&["partitions", role])
            .and_then(|node| node.count_at("size"))
    };
    Install {
        auto: node.flag("auto"),
        device: read_device(node, findings),
        reboot: node.flag("reboot"),
        poweroff: node.flag("poweroff"),
        nousers: node.flag("nousers"),
        bind_mounts: node.texts_at("bind_mounts"),
        ephemeral_mounts: node.texts_at("ephemeral_mounts"),
        extra_dirs_rootfs: node.texts_at("extra-dirs-rootfs"),
        partitions: PartitionSizes {
            efi: size("efi"),
            oem: size("oem"),
            recovery: size("recovery"),
            state: size("state"),
            persistent: size("persistent"),
        },
        extra_partitions: read_extra_partitions(node, findings),
        grub_options: read_grub_options(node, findings),
    }
}

fn check_mounts(node: &Node, findings: &mut Findings) {
    let install = KeyPath::top("install");
    for key in ["bind_mounts", "ephemeral_mounts", "extra-dirs-rootfs"] {
        let path = install.key(key);
        let items = node.at(&[key]).map(Node::items).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            check_mount_path(item, &path.item(index), findings);
        }
    }
}

/// What can go wrong when the installation is complete (rules U25 and U26).
fn warn_of_the_end(node: &Node, findings: &mut Findings) {
    let (true, Some(entry)) = (node.flag("reboot"), node.entry("reboot")) else {
        return;
    };
    let (rule, reason, advice) = if node.flag("poweroff") {
        (
            Rule::PowerOffAndReboot,
            "`poweroff` is true as well and takes precedence",
            "remove one of the two",
        )
    } else {
        (
            Rule::RebootLoop,
            "if the medium comes first, the host starts from it again: with Landfall it then waits in a menu before it starts, \
             with other installers it is installed again and again",
            "remove the medium after the installation, or let the firmware try the disk first",
        )
    };
    findings.warning(rule, entry.position, "install.reboot", reason, advice);
}

/// Keys that are valid but not carried out, where going on without them would destroy or expose data (rule U36).
fn refuse_unsafe(node: &Node, findings: &mut Findings) {
    let mut refuse = |key: &str, reason: &str| {
        if let Some(entry) = node.entry(key) {
            findings.error(
                Rule::NotCarriedOut,
                entry.position,
                format!("install.{key}"),
                reason,
                "remove it",
            );
        }
    };
    if node.flag("no-format") {
        refuse(
            "no-format",
            "this version always lays the whole disk out anew",
        );
    }
    if !node.texts_at("encrypted_partitions").is_empty() {
        refuse(
            "encrypted_partitions",
            "this version cannot encrypt; the data would be in clear text",
        );
    }
}

fn read_device(node: &Node, findings: &mut Findings) -> Device {
    let Some(entry) = node.entry("device") else {
        return Device::Auto;
    };
    let Some(text) = entry.node.as_text() else {
        return Device::Auto;
    };
    let mut refuse = |reason: &str, advice: &str| {
        findings.error(
            Rule::Device,
            entry.node.position,
            "install.device",
            reason,
            advice,
        );
        Device::Auto
    };
    let advice = "write `auto` or a path such as `/dev/nvme0n1`";
    match text {
        "" | "auto" => Device::Auto,
        _ if text.starts_with("script://") => {
            refuse("choosing the disk by a script is not supported", advice)
        }
        _ if !text.starts_with("/dev/")
            || path_fault(text).is_some()
            || text.contains(char::is_whitespace) =>
        {
            refuse(&format!("`{text}` is not a path of a device"), advice)
        }
        _ if text.starts_with("/dev/disk/by-partlabel/")
            || text.starts_with("/dev/disk/by-partuuid/") =>
        {
            refuse(
                "this names a partition, not a disk",
                "write `/dev/disk/by-id/...`",
            )
        }
        _ => Device::Path(text.to_owned()),
    }
}

fn read_extra_partitions(node: &Node, findings: &mut Findings) -> Vec<ExtraPartition> {
    let items = node
        .at(&["extra-partitions"])
        .map(Node::items)
        .unwrap_or_default();
    let mut partitions = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("install.extra-partitions[{index}]");
        let Some(name) = item.text_at("name") else {
            let (reason, advice) = ("the partition has no name", "write `name: ...`");
            findings.error(Rule::ExtraPartition, item.position, path, reason, advice);
            continue;
        };
        let size = item.count_at("size").unwrap_or_default();
        let is_last = index.saturating_add(1) == items.len();
        if let (true, true, Some(entry)) = (is_last, size > 0, item.entry("size")) {
            let reason = "this is the last partition, which also takes what is left of the disk";
            let advice = "write `size: 0`, or add a last partition that may grow";
            let path = format!("{path}.size");
            findings.warning(Rule::ExtraPartition, entry.position, path, reason, advice);
        }
        partitions.push(ExtraPartition {
            name,
            label: item.text_at("label"),
            size,
            fs: item.text_at("fs"),
        });
    }
    partitions
}

/// GRUB's environment block separates its lines by newlines: a value with one would add variables of its own.
fn read_grub_options(node: &Node, findings: &mut Findings) -> BTreeMap<String, String> {
    let entries = node
        .at(&["grub_options"])
        .map(Node::entries)
        .unwrap_or_default();
    for entry in entries {
        let name = entry
            .key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !entry.key.is_empty();
        let value = entry
            .node
            .as_scalar()
            .is_none_or(|value| !value.contains(char::is_control));
        if !name || !value {
            let reason = "GRUB's environment cannot hold this name or value";
            let advice = "use letters, digits and `_` in the name, and one line as the value";
            findings.error(
                Rule::Name,
                entry.position,
                format!("install.grub_options.{}", entry.key),
                reason,
                advice,
            );
        }
    }
    node.at(&["grub_options"])
        .map(Node::scalars)
        .unwrap_or_default()
}
