//! Whatever is asked for: an accepted layout keeps the rules, and what does not fit is refused.

mod independent;

use std::collections::HashSet;

use independent::counting;
use partition::{
    ByteRange, Bytes, Extra, Filesystem, Geometry, Layout, LayoutError, SectorSize, Wanted,
    wipe_ranges,
};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn size() -> impl Strategy<Value = Option<Bytes>> {
    prop_oneof![
        2 => Just(None),
        4 => (0..4000_u32).prop_map(|mib| Some(Bytes::mib(mib))),
        1 => any::<u64>().prop_map(|bytes| Some(Bytes::new(bytes >> (bytes % 40)))),
    ]
}

fn extras() -> impl Strategy<Value = Vec<Extra>> {
    prop::collection::vec((0..9_u8, 0..3000_u32), 0..6).prop_map(|list| {
        let extra = |(name, size)| Extra {
            name: format!("extra-{name}"),
            size: Bytes::mib(size),
            filesystem: Filesystem::Ext4,
            label: None,
        };
        list.into_iter().map(extra).collect()
    })
}

prop_compose! {
    fn any_wanted()(
        image in 0..4_u64 << 30,
        payload in 0..2_u64 << 30,
        (efi, oem, recovery, state, persistent) in (size(), size(), size(), size(), size()),
        extra in extras(),
    ) -> Wanted {
        Wanted { efi, oem, recovery, state, persistent, extra, ..Wanted::new(Bytes::new(image), Bytes::new(payload)) }
    }
}

prop_compose! {
    /// From nothing to 16 TiB, of any odd size.
    fn any_disk()(size in any::<u64>(), shift in 20..44_u32, four_k in any::<bool>()) -> Geometry {
        let sector = if four_k { SectorSize::B4096 } else { SectorSize::B512 };
        Geometry { size: Bytes::new(size >> shift), sector }
    }
}

/// The rules, written again without the product's helpers.
fn keeps_the_rules(layout: &Layout) -> Result<(), TestCaseError> {
    let Geometry { size, sector } = layout.geometry();
    let sector = u64::from(sector);
    let tables = if sector == 512 { 33 } else { 5 };
    let usable_end = (size.get() / sector - tables) * sector;
    let mut free = MIB;
    let mut names = HashSet::new();
    for (at, part) in layout.partitions().iter().enumerate() {
        let (start, length) = (part.start.get(), part.size.get());
        prop_assert_eq!(part.number as usize, at + 1);
        prop_assert_eq!(start, free, "no gap and no overlap");
        prop_assert_eq!((start % MIB, length % MIB), (0, 0));
        prop_assert!(length >= MIB);
        prop_assert!(names.insert(&part.name));
        free = start + length;
    }
    prop_assert!(free <= usable_end, "{free} is past {usable_end}");
    prop_assert!(usable_end - free < MIB, "space is left over");
    Ok(())
}

fn overlaps(ranges: &[ByteRange]) -> bool {
    ranges
        .windows(2)
        .any(|pair| pair[0].start.get() + pair[0].size.get() >= pair[1].start.get())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn fault_22_an_accepted_layout_keeps_the_rules_on_a_disk_of_any_size(wanted in any_wanted(), disk in any_disk()) {
        if let Ok(layout) = wanted.layout(disk, counting()) {
            keeps_the_rules(&layout)?;
            prop_assert!(disk.size >= wanted.smallest_disk(disk.sector).expect("it is known"));
        }
    }

    #[test]
    fn fault_22_exactly_what_fits_is_accepted(wanted in any_wanted(), disk in any_disk()) {
        let Ok(need) = wanted.smallest_disk(disk.sector) else { return Ok(()) };
        match wanted.layout(disk, counting()) {
            Err(LayoutError::TooSmall { need: said, have }) => {
                prop_assert_eq!((said, have), (need, disk.size));
                prop_assert!(have < need);
            }
            Err(LayoutError::DuplicateName { .. }) => {}
            other => prop_assert!(other.is_ok() && disk.size >= need, "{:?}", other),
        }
    }

    #[test]
    fn a_partition_larger_than_the_disk_is_refused(wanted in any_wanted(), disk in any_disk(), which in 0..5_u8) {
        let mut wanted = wanted;
        let larger = Some(Bytes::new(disk.size.get() + 1));
        match which {
            0 => wanted.efi = larger,
            1 => wanted.oem = larger,
            2 => wanted.recovery = larger,
            3 => wanted.state = larger,
            _ => wanted.persistent = larger,
        }
        prop_assert!(wanted.layout(disk, counting()).is_err());
    }

    #[test]
    fn both_ends_of_the_disk_and_of_every_old_and_every_future_partition_are_wiped(
        wanted in any_wanted(),
        disk in any_disk(),
        old in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..4),
    ) {
        if let Ok(layout) = wanted.layout(disk, counting()) {
            // Old tables may say anything; half of these lie on the disk.
            let range = |(start, size): (u64, u64)| ByteRange {
                start: Bytes::new(start % (disk.size.get() * 2)),
                size: Bytes::new(size),
            };
            let old: Vec<ByteRange> = old.into_iter().map(range).collect();
            let ranges = wipe_ranges(&layout, &old);
            let wiped = |at: u64| ranges.iter().any(|it| it.start.get() <= at && at < it.start.get() + it.size.get());
            let whole = disk.size.get() / u64::from(disk.sector) * u64::from(disk.sector);
            for (start, end) in layout
                .partitions()
                .iter()
                .map(|part| (part.start.get(), part.start.get() + part.size.get()))
                .chain([(0, whole)])
                .chain(old.iter().map(|it| (it.start.get(), it.start.get().saturating_add(it.size.get()).min(whole))))
                .filter(|(start, end)| start < end)
            {
                let last = end - 1;
                for at in [start, (start + 5 * MIB - 1).min(last), last, end.saturating_sub(MIB).max(start)] {
                    prop_assert!(wiped(at), "{at} is not wiped");
                }
            }
            prop_assert!(!wiped(whole), "more than the disk is wiped");
            prop_assert!(!overlaps(&ranges));
        }
    }
}
