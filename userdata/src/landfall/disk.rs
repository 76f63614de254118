//! `landfall.disk`: a disk by what it is, not by where the kernel happened to find it.

use serde::Serialize;

use super::choice;
use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::schema::{Schema, Shape, field, strict};
use crate::tree::Node;

/// `landfall.disk`.
pub(super) static DISK: Schema = strict(&[&[
    field(
        "serial",
        Shape::Scalar,
        "Serial number as the drive tells it, whole.",
    ),
    field(
        "wwn",
        Shape::Scalar,
        "World wide name; `0x`, `naa.`, `eui.`, `wwn-` in front and upper case make no difference.",
    ),
    field(
        "model",
        Shape::Scalar,
        "Model as the drive tells it, whole; `*` stands for any characters, `?` for one, and upper case makes no difference.",
    ),
    field("size", Shape::Object(&SIZE), "How large the disk is."),
    field(
        "transport",
        Shape::Choice(TRANSPORTS),
        "The bus. A disk on USB or in a card reader is taken only if this, `serial` or `wwn` is given.",
    ),
]]);

static SIZE: Schema = strict(&[&[
    field(
        "min",
        Shape::Text,
        "At least this: a whole number with `MB`, `GB`, `TB`, `MiB`, `GiB` or `TiB`.",
    ),
    field("max", Shape::Text, "At most this."),
]]);

const TRANSPORTS: &[&str] = &["mmc", "nvme", "sas", "sata", "scsi", "usb", "virtio"];

/// What a disk must be; never without a condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DiskSelector {
    /// `serial`, without blanks around it.
    pub serial: Option<String>,
    /// `wwn` as written.
    pub wwn: Option<String>,
    /// `model`: a pattern with `*` and `?`.
    pub model: Option<String>,
    /// `size`.
    pub size: SizeRange,
    /// `transport`.
    pub transport: Option<Transport>,
}

/// Sizes in bytes, both ends included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SizeRange {
    /// `min`.
    pub min: Option<u64>,
    /// `max`.
    pub max: Option<u64>,
}

impl SizeRange {
    /// Whether a size in bytes is in the range.
    pub fn contains(&self, size: u64) -> bool {
        self.min.is_none_or(|min| size >= min) && self.max.is_none_or(|max| size <= max)
    }
}

/// The bus of a disk, as far as a document can ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the buses")]
pub enum Transport {
    Mmc,
    Nvme,
    Sas,
    Sata,
    Scsi,
    Usb,
    Virtio,
}

/// Reads `disk` of `landfall`.
pub(super) fn read(
    landfall: &Node,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<DiskSelector> {
    let entry = landfall.entry("disk")?;
    let node = &entry.node;
    let word = |key: &str| {
        let text = node.at(&[key])?.as_scalar()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    if !node.entries().iter().any(|entry| {
        !entry.node.entries().is_empty()
            || entry
                .node
                .as_scalar()
                .is_some_and(|text| !text.trim().is_empty())
    }) {
        let (reason, advice) = (
            "no condition stands here",
            "write `serial: ...` or remove the key",
        );
        findings.error(Rule::Empty, entry.position, path, reason, advice);
        return None;
    }
    Some(DiskSelector {
        serial: word("serial"),
        wwn: word("wwn"),
        model: word("model"),
        size: read_size(node, &path.key("size"), findings),
        transport: read_transport(node, path, findings),
    })
}

fn read_transport(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<Transport> {
    let (text, _) = choice(node, "transport", TRANSPORTS, path, findings)?;
    Some(match text {
        "mmc" => Transport::Mmc,
        "nvme" => Transport::Nvme,
        "sas" => Transport::Sas,
        "sata" => Transport::Sata,
        "usb" => Transport::Usb,
        "virtio" => Transport::Virtio,
        _ => Transport::Scsi,
    })
}

fn read_size(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> SizeRange {
    let mut read = |key: &str| {
        let node = node.at(&["size", key])?;
        let size = bytes(node.as_text()?);
        if size.is_none() {
            let reason = "this is no size";
            let advice = "write a whole number and a unit, such as `480GB` or `64GiB`";
            findings.error(Rule::Value, node.position, path.key(key), reason, advice);
        }
        size
    };
    let range = SizeRange {
        min: read("min"),
        max: read("max"),
    };
    if let (Some(min), Some(max)) = (range.min, range.max)
        && min > max
    {
        let at = node
            .at(&["size"])
            .map_or(node.position, |node| node.position);
        let reason = "no disk fits: `min` is larger than `max`";
        findings.error(Rule::Value, at, path, reason, "exchange the two");
    }
    range
}

/// Units as drives are sold by (powers of 1000) and as programs count (powers of 1024).
const UNITS: [(&str, u64); 6] = [
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A size with its unit, in bytes.
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let unit = unit.trim_start();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_with_a_unit() {
        let cases = [
            ("480GB", Some(480_000_000_000)),
            ("64 GiB", Some(64 << 30)),
            ("2TB", Some(2_000_000_000_000)),
            ("0MB", Some(0)),
            ("480", None),
            ("GB", None),
            ("1.5TB", None),
            ("-1GB", None),
            ("480gb", None),
            ("99999999999999999999TB", None),
            ("18446744073709551615TiB", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn both_ends_of_a_range_belong_to_it() {
        let range = SizeRange {
            min: Some(10),
            max: Some(20),
        };
        assert_eq!(
            [9, 10, 20, 21].map(|size| range.contains(size)),
            [false, true, true, false]
        );
        assert!(SizeRange::default().contains(u64::MAX));
    }
}
