//! Layouts that cannot be: names, labels, sizes and numbers that a table cannot hold, each with its reason.

mod independent;

use independent::{big, counting, disk_of, error, extra, wanted, with_extras};
use partition::{Bytes, Extra, Filesystem, LayoutError, SectorSize, Table, Wanted};

const MIB: u64 = 1 << 20;

fn all_refused(cases: Vec<(Wanted, LayoutError)>) {
    for (wanted, expected) in cases {
        assert_eq!(error(&wanted), expected);
    }
}

#[test]
fn a_name_that_a_table_cannot_hold_is_refused() {
    let named = |name: &str| with_extras(0, vec![extra(name, 10)]);
    let bad = |name: &str| {
        (
            named(name),
            LayoutError::BadName {
                name: name.to_owned(),
            },
        )
    };
    let long = |name: String, units| (named(&name), LayoutError::NameTooLong { name, units });
    all_refused(vec![
        bad(""),
        bad(" x"),
        bad("x "),
        bad("a/b"),
        bad("a\nb"),
        long("x".repeat(37), 37),
        // 19 characters of two UTF-16 units each.
        long("𝄞".repeat(19), 38),
        (
            named("oem"),
            LayoutError::DuplicateName {
                name: "oem".to_owned(),
            },
        ),
    ]);
}

#[test]
fn a_label_that_does_not_fit_or_is_taken_is_refused() {
    let labelled = |name: &str, label: &str| Extra {
        label: Some(label.to_owned()),
        ..extra(name, 10)
    };
    let one = |filesystem, label: &str| {
        with_extras(
            0,
            vec![Extra {
                filesystem,
                ..labelled("data", label)
            }],
        )
    };
    let bad = |filesystem, label: &str, most| {
        let (name, label_text) = ("data".to_owned(), label.to_owned());
        (
            one(filesystem, label),
            LayoutError::BadLabel {
                name,
                label: label_text,
                filesystem,
                most,
            },
        )
    };
    let reserved = LayoutError::ReservedLabel {
        name: "data".to_owned(),
        label: "COS_STATE".to_owned(),
    };
    let twice = with_extras(0, vec![labelled("a", "same"), labelled("b", "same")]);
    all_refused(vec![
        bad(Filesystem::Ext4, "seventeen-letters", 16),
        bad(Filesystem::Ext4, "", 16),
        bad(Filesystem::Ext4, "a\nb", 16),
        bad(Filesystem::Vfat, "twelve-chars", 11),
        bad(Filesystem::Xfs, "13-characters", 12),
        bad(Filesystem::Raw, "x", 0),
        (one(Filesystem::Ext4, "COS_STATE"), reserved),
        (
            twice,
            LayoutError::DuplicateLabel {
                label: "same".to_owned(),
            },
        ),
    ]);
}

#[test]
fn sizes_and_numbers_that_cannot_be_are_refused() {
    let two = LayoutError::TwoTakeTheRest {
        first: "persistent".to_owned(),
        second: "rest".to_owned(),
    };
    let many = (0..123).map(|n| extra(&format!("x{n}"), 1)).collect();
    all_refused(vec![
        (with_extras(0, vec![extra("rest", 0)]), two),
        (
            with_extras(0, many),
            LayoutError::TooManyPartitions {
                wanted: 129,
                most: 128,
            },
        ),
        (
            Wanted::new(Bytes::new(u64::MAX), Bytes::ZERO),
            LayoutError::Overflow,
        ),
        (
            Wanted::new(Bytes::new(u64::MAX / 3), Bytes::ZERO),
            LayoutError::Overflow,
        ),
        (
            Wanted {
                oem: Some(Bytes::new(u64::MAX - MIB)),
                ..wanted()
            },
            LayoutError::Overflow,
        ),
    ]);
}

#[test]
fn a_name_and_a_table_that_are_just_full_are_taken() {
    let name = "x".repeat(36);
    assert!(
        with_extras(0, vec![extra(&name, 10)])
            .layout(big(), counting())
            .is_ok()
    );
    let full = with_extras(0, (0..122).map(|n| extra(&format!("x{n}"), 1)).collect());
    assert_eq!(
        full.layout(big(), counting())
            .map(|layout| layout.partitions().len()),
        Ok(128)
    );
}

#[test]
fn an_mbr_says_what_it_cannot_do() {
    let mbr = Wanted {
        table: Table::Mbr,
        ..wanted()
    };
    let with_extra = Wanted {
        extra: vec![extra("data", 1)],
        ..mbr.clone()
    };
    assert_eq!(
        error(&with_extra),
        LayoutError::ExtraOnMbr {
            name: "data".to_owned()
        }
    );

    let reach = Bytes::new(0xFFFF_FFFF * 512);
    assert!(
        mbr.layout(disk_of(reach, SectorSize::B512), counting())
            .is_ok()
    );
    let have = Bytes::new(reach.get() + 512);
    let refused = mbr.layout(disk_of(have, SectorSize::B512), counting());
    assert_eq!(
        refused,
        Err(LayoutError::TooLargeForMbr { most: reach, have })
    );

    let four_k = disk_of(Bytes::mib(64 * 1024), SectorSize::B4096);
    assert_eq!(mbr.layout(four_k, counting()), Err(LayoutError::MbrOn4Kn));
}
