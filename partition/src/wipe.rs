//! What has to be erased before a disk is laid out.

use serde::{Deserialize, Serialize};

use crate::{layout::Layout, units::Bytes};

/// Some bytes of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteRange {
    /// Where they begin.
    pub start: Bytes,
    /// How many they are.
    pub size: Bytes,
}

/// Bytes from the start of a disk or partition in which signatures are looked for. The farthest that libblkid knows is
/// the second header of LUKS2, at most at 4 MiB; VMFS begins at 1 MiB.
const HEAD: Bytes = Bytes::mib(5);

/// Bytes at the end of a disk or partition in which signatures are looked for: the last two labels of ZFS (512 KiB,
/// aligned to 256 KiB), MD 0.90 (64 KiB, aligned to that) and 1.0 (8 KiB), the backup of a GPT, and those of vendors.
const TAIL: Bytes = Bytes::MIB;

/// What to erase so that nobody finds what was on the disk before: the first 5 MiB and the last 1 MiB of the disk, of
/// every partition of `layout` and of each of the `old` ones, sorted and without overlaps. To be done before the table is
/// written, which lies in the first of them.
pub fn wipe_ranges(layout: &Layout, old: &[ByteRange]) -> Vec<ByteRange> {
    let whole = layout.geometry().whole().unwrap_or(layout.geometry().size);
    let areas = layout
        .partitions()
        .iter()
        .filter_map(|part| Some((part.start, part.end()?)));
    // What an old table says may lie anywhere.
    let old = old.iter().filter_map(|area| {
        let end = area
            .start
            .checked_add(area.size)
            .unwrap_or(whole)
            .min(whole);
        (area.start < end).then_some((area.start, end))
    });
    let mut spans: Vec<(Bytes, Bytes)> = std::iter::once((Bytes::ZERO, whole))
        .chain(areas)
        .chain(old)
        .flat_map(|(start, end)| {
            let after = start.checked_add(HEAD).unwrap_or(end).min(end);
            let before = end.checked_sub(TAIL).unwrap_or(start).max(start);
            [(start, after), (before, end)]
        })
        .collect();
    spans.sort_unstable();
    let mut merged: Vec<(Bytes, Bytes)> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    let range = |(start, end): (Bytes, Bytes)| {
        Some(ByteRange {
            start,
            size: end.checked_sub(start)?,
        })
    };
    merged.into_iter().filter_map(range).collect()
}
