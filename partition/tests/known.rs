//! A table that is on a disk tells the layout that made it.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot prepare itself fails"
)]

mod independent;

use independent::{counting, disk_of, wanted};
use partition::{
    Bytes, Extra, Filesystem, Layout, NotOurs, ReadTable, Role, SectorSize, Table, Wanted,
    read_back, write_gpt, write_mbr,
};
use uuid::Uuid;

const SIZE: Bytes = Bytes::mib(8 << 10);

/// The table that is left on a disk for this wish.
fn table(wish: &Wanted, sector: SectorSize) -> (ReadTable, Layout) {
    let layout = wish
        .layout(disk_of(SIZE, sector), counting())
        .expect("it fits");
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.set_len(SIZE.get()).expect("a sparse file");
    match layout.table() {
        Table::Gpt => write_gpt(&layout, &mut file, None),
        Table::Mbr => write_mbr(&layout, &mut file, None),
    }
    .expect("it is written");
    (read_back(&mut file, sector).expect("it is read"), layout)
}

fn extra(name: &str, size: Bytes) -> Extra {
    Extra {
        name: name.to_owned(),
        size,
        filesystem: Filesystem::Ext4,
        label: None,
    }
}

fn places(layout: &Layout) -> Vec<(u32, Role, Bytes, Bytes, String)> {
    let parts = layout.partitions().iter();
    parts
        .map(|part| {
            let id = layout.part_uuid(part);
            (part.number, part.role, part.start, part.size, id)
        })
        .collect()
}

#[test]
fn the_layout_of_a_disk_is_known_again_whatever_was_asked_for() {
    let some = Bytes::mib(700);
    let wishes = [
        wanted(),
        Wanted {
            efi: Some(Bytes::mib(64)),
            oem: Some(Bytes::mib(16)),
            state: Some(Bytes::mib(3500)),
            recovery: Some(Bytes::mib(900)),
            ..wanted()
        },
        Wanted {
            extra: vec![extra("data", some), extra("more", Bytes::mib(1))],
            ..wanted()
        },
        Wanted {
            persistent: Some(some),
            extra: vec![extra("data", some), extra("rest", Bytes::ZERO)],
            ..wanted()
        },
        Wanted {
            persistent: Some(some),
            extra: vec![extra("data", some)],
            ..wanted()
        },
        Wanted {
            persistent: Some(some),
            ..wanted()
        },
    ];
    for wish in wishes {
        for sector in [SectorSize::B512, SectorSize::B4096] {
            let (read, made) = table(&wish, sector);
            let known = read.layout().expect("it is ours");
            assert_eq!(places(&known), places(&made), "{wish:?}");
        }
    }
}

#[test]
fn the_layout_of_an_mbr_is_known_again_by_the_order_of_its_partitions() {
    for wish in [
        wanted(),
        Wanted {
            oem: Some(Bytes::mib(100)),
            state: Some(Bytes::mib(3500)),
            ..wanted()
        },
    ] {
        let wish = Wanted {
            table: Table::Mbr,
            ..wish
        };
        let (read, made) = table(&wish, SectorSize::B512);
        let known = read.layout().expect("it is ours");
        assert_eq!(places(&known), places(&made));
        for (found, part) in read.partitions.iter().zip(made.partitions()) {
            assert_eq!(read.part_uuid(found), made.part_uuid(part));
        }
    }
}

type Change = fn(&mut ReadTable);

#[test]
fn a_table_that_nobody_here_made_is_refused() {
    let (gpt, _) = table(&wanted(), SectorSize::B512);
    let changes: [(&str, Change); 6] = [
        ("another name", |t| t.partitions[4].name = "root".into()),
        ("another type", |t| {
            t.partitions[4].kind = Uuid::from_u128(9);
        }),
        ("two swapped", |t| {
            t.partitions[3].name = "state".into();
            t.partitions[4].name = "recovery".into();
        }),
        ("a number left out", |t| t.partitions[5].number = 7),
        ("a gap", |t| {
            t.partitions[5].start = Bytes::mib(7 << 10);
        }),
        ("one missing", |t| drop(t.partitions.remove(2))),
    ];
    for (what, change) in changes {
        let mut changed = gpt.clone();
        change(&mut changed);
        assert!(changed.layout().is_err(), "{what}");
    }

    let wish = Wanted {
        table: Table::Mbr,
        ..wanted()
    };
    let (mbr, _) = table(&wish, SectorSize::B512);
    let changes: [(&str, Change); 5] = [
        ("another type", |t| {
            t.partitions[0].kind = Uuid::from_u128(7);
        }),
        ("a number left out", |t| t.partitions[3].number = 5),
        ("the rest not taken", |t| {
            t.partitions[3].size = Bytes::mib(600);
        }),
        ("a fifth one", |t| {
            t.partitions.push(t.partitions[3].clone());
        }),
        ("a start that is not a whole MiB", |t| {
            t.partitions[0].start = Bytes::new(63 * 512);
        }),
    ];
    for (what, change) in changes {
        let mut changed = mbr.clone();
        change(&mut changed);
        assert!(changed.layout().is_err(), "{what}");
    }
    let mut short = mbr;
    short.partitions.truncate(3);
    assert!(matches!(
        short.layout(),
        Err(NotOurs::Missing("persistent"))
    ));
}
