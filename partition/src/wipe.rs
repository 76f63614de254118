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

/// What to erase so that nobody finds what was on the disk before: the first and the last 1 MiB of the disk and of every
/// partition, sorted and without overlaps. To be done before the table is written, which lies in the first of them.
pub fn wipe_ranges(layout: &Layout) -> Vec<ByteRange> {
    let whole = layout.geometry().whole().unwrap_or(layout.geometry().size);
    let areas = layout
        .partitions()
        .iter()
        .filter_map(|part| Some((part.start, part.end()?)));
    let mut spans: Vec<(Bytes, Bytes)> = std::iter::once((Bytes::ZERO, whole))
        .chain(areas)
        .flat_map(|(start, end)| {
            let after = start.checked_add(Bytes::MIB).unwrap_or(end).min(end);
            let before = end.checked_sub(Bytes::MIB).unwrap_or(start).max(start);
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
