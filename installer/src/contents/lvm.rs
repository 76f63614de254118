//! The name of the volume group of an LVM physical volume (lvm2, `lib/format_text/layout.h`).
//!
//! One of the first four sectors has a label; the label leads to the header of the volume, which lists the areas of
//! metadata; the header of such an area says where its current text is; the text begins with the name of the group.

use std::fs::File;

use super::bytes_at;
use super::signature::Probe;

const SECTOR: usize = 512;
const LABEL: &[u8] = b"LABELONE";
const AREA: &[u8] = b" LVM2 x[5A%r0N*>";

/// The name of the group of the volume that begins at byte `start`, where `probe` says that there is one.
pub(super) fn group(disk: &File, probe: &Probe, start: u64) -> Option<String> {
    if !matches!(probe, Probe::One(signature) if signature.kind == "LVM2_member") {
        return None;
    }
    let head = bytes_at(disk, start, 4 * SECTOR)?;
    let label = head
        .chunks(SECTOR)
        .find(|sector| sector.starts_with(LABEL))?;
    // Behind the id of 32 bytes and the size: pairs of offset and length, those of data up to a pair of zeroes, then
    // those of metadata up to another.
    let header = usize::try_from(u32_at(label, 20)?).ok()?;
    let mut at = header.checked_add(40)?;
    let mut pair = || {
        let pair = (u64_at(label, at)?, u64_at(label, at.checked_add(8)?)?);
        at = at.checked_add(16)?;
        Some(pair)
    };
    while pair()? != (0, 0) {}
    let (area, _) = pair().filter(|area| *area != (0, 0))?;
    let area = start.checked_add(area)?;
    let described = bytes_at(disk, area, SECTOR)?;
    if described.get(4..)?.get(..AREA.len())? != AREA {
        return None;
    }
    let text = bytes_at(disk, area.checked_add(u64_at(&described, 40)?)?, 256)?;
    name(&text)
}

/// The word before the first brace.
fn name(text: &[u8]) -> Option<String> {
    let end = text.iter().position(|byte| b" {\n".contains(byte))?;
    let word = std::str::from_utf8(text.get(..end)?).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    (!word.is_empty() && word.chars().all(plain)).then(|| word.to_owned())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_of_the_letters_that_lvm_allows() {
        assert_eq!(name(b"vg0 {\nid = \"x\"").as_deref(), Some("vg0"));
        assert_eq!(name(b" {"), None);
        assert_eq!(name(b"a\x1b[2J {"), None);
        assert_eq!(name(b"endless"), None);
    }
}
