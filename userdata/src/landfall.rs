//! `landfall`: what only Landfall reads. The keys stand apart from those of Palette and Kairos, so that a document stays
//! valid for their tools, which pass over a key at the top that is not theirs.

mod disk;

use serde::Serialize;

pub use disk::{DiskSelector, SizeRange, Transport};

use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::schema::{Schema, Shape, field, strict};
use crate::tree::{Entry, Node};

/// `landfall`.
pub(crate) static LANDFALL: Schema = strict(&[&[
    field(
        "wipe",
        Shape::Choice(WIPES),
        "What the installer may erase: `never` takes a blank disk only; `ours`, which holds when nothing is said, also one \
         that has an installation of Landfall or Kairos; `foreign` any.",
    ),
    field(
        "disk",
        Shape::Object(&disk::DISK),
        "Which disk, instead of a path in `install.device`: all that is given must fit, and exactly one disk that may be used must be left.",
    ),
    field(
        "nonce",
        Shape::Scalar,
        "A word of up to 64 letters, digits, `.`, `-` and `_`. Where the medium stays in the machine, the host is installed \
         again only if this differs from the one it was installed with.",
    ),
    field(
        "mode",
        Shape::Choice(MODES),
        "What becomes of an earlier installation of Landfall: `fresh`, which holds when nothing is said, lays the disk out \
         anew and loses all data; `keep-data` keeps the persistent and extra partitions and gives the host this \
         user-data; `repair` keeps the OEM partition too, and the user-data that is on it.",
    ),
    field(
        "table",
        Shape::Choice(TABLES),
        "The partition table: `gpt`, which holds when nothing is said, starts under BIOS and UEFI; `mbr` is for a BIOS that \
         starts no GPT disk. An MBR ends at 2 TiB, starts under BIOS alone, and has no extra partitions.",
    ),
]]);

const WIPES: &[&str] = &["never", "ours", "foreign"];
const MODES: &[&str] = &["fresh", "keep-data", "repair"];
const TABLES: &[&str] = &["gpt", "mbr"];

/// What only Landfall reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Landfall {
    /// `wipe`.
    pub wipe: Wipe,
    /// `disk`; never without a condition.
    pub disk: Option<DiskSelector>,
    /// `nonce`: 1 to 64 of `[A-Za-z0-9._-]`.
    pub nonce: Option<String>,
    /// `mode`.
    pub mode: Mode,
    /// `table`.
    pub table: Table,
}

/// The kind of partition table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// GPT, for BIOS and UEFI.
    #[default]
    Gpt,
    /// A plain MBR, for a BIOS that starts no GPT disk.
    Mbr,
}

/// What becomes of an earlier installation; each keeps what those before it keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing is kept.
    #[default]
    Fresh,
    /// The persistent and the extra partitions are kept.
    KeepData,
    /// The OEM partition is kept too, and with it the user-data of the host.
    Repair,
}

/// What may be erased; each allows what those before it allow. A blank disk may always be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wipe {
    /// Nothing.
    Never,
    /// What an installation of Landfall or Kairos left.
    #[default]
    Ours,
    /// Anything.
    Foreign,
}

/// Reads `landfall`; its form was checked before.
pub(crate) fn read(node: &Node, findings: &mut Findings) -> Landfall {
    let path = KeyPath::top("landfall");
    Landfall {
        wipe: read_wipe(node, &path, findings),
        disk: disk::read(node, &path.key("disk"), findings),
        nonce: read_nonce(node, &path, findings),
        mode: read_mode(node, &path, findings),
        table: read_table(node, &path, findings),
    }
}

/// The text of a key that is one of a few; anything else is a finding.
fn choice<'a>(
    node: &'a Node,
    key: &str,
    choices: &[&str],
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<(&'a str, &'a Entry)> {
    let entry = node.entry(key)?;
    let text = entry.node.as_text()?;
    if choices.contains(&text) {
        return Some((text, entry));
    }
    let list: Vec<String> = choices.iter().map(|each| format!("`{each}`")).collect();
    findings.error(
        Rule::Value,
        entry.node.position,
        path.key(key),
        &format!("`{text}` is none of the values that are possible here"),
        &format!("write one of {}", list.join(", ")),
    );
    None
}

fn read_wipe(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Wipe {
    match choice(node, "wipe", WIPES, path, findings) {
        Some(("never", _)) => Wipe::Never,
        Some(("foreign", _)) => Wipe::Foreign,
        _ => Wipe::Ours,
    }
}

fn read_mode(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Mode {
    match choice(node, "mode", MODES, path, findings) {
        Some(("keep-data", _)) => Mode::KeepData,
        Some(("repair", _)) => Mode::Repair,
        _ => Mode::Fresh,
    }
}

fn read_table(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Table {
    match choice(node, "table", TABLES, path, findings) {
        Some(("mbr", _)) => Table::Mbr,
        _ => Table::Gpt,
    }
}

/// Longest nonce, in bytes: it stands in configurations of GRUB.
const LONGEST_NONCE: usize = 64;

fn read_nonce(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<String> {
    let entry = node.entry("nonce")?;
    let nonce = entry.node.as_scalar()?;
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    if (1..=LONGEST_NONCE).contains(&nonce.len()) && nonce.bytes().all(plain) {
        return Some(nonce);
    }
    let reason = "this is no word of letters, digits, `.`, `-` and `_`";
    let advice = "write 1 to 64 of these, such as `2`";
    let at = entry.node.position;
    findings.error(Rule::Value, at, path.key("nonce"), reason, advice);
    None
}

/// Two ways to name the disk would leave open which of them holds (rule U40).
pub(crate) fn refuse_two_disks(document: &Node, findings: &mut Findings) {
    let Some(entry) = document
        .at(&["landfall"])
        .and_then(|node| node.entry("disk"))
    else {
        return;
    };
    let device = document.at(&["install", "device"]).and_then(Node::as_text);
    if device.is_some_and(|device| !matches!(device, "" | "auto")) {
        findings.error(
            Rule::TwoDisks,
            entry.position,
            "landfall.disk",
            "`install.device` names a disk as well",
            "keep one of the two, or write `device: auto`",
        );
    }
}

/// The four partitions of an MBR are all taken (rule U43).
pub(crate) fn refuse_more_on_mbr(document: &Node, findings: &mut Findings) {
    let table = document.at(&["landfall", "table"]).and_then(Node::as_text);
    if table != Some("mbr") {
        return;
    }
    let install = document.at(&["install"]);
    let extra = install.and_then(|node| node.entry("extra-partitions"));
    if let Some(entry) = extra.filter(|entry| !entry.node.items().is_empty()) {
        findings.error(
            Rule::NotOnMbr,
            entry.position,
            "install.extra-partitions",
            "`landfall.table: mbr` leaves no room for a fifth partition",
            "remove the extra partitions, or write `table: gpt`",
        );
    }
    let partitions = install.and_then(|node| node.at(&["partitions"]));
    if let Some(entry) = partitions.and_then(|node| node.entry("efi")) {
        findings.error(
            Rule::NotOnMbr,
            entry.position,
            "install.partitions.efi",
            "with `landfall.table: mbr` there is no EFI system partition",
            "remove the key, or write `table: gpt`",
        );
    }
}
