//! What is said of tables that are whole, half gone, or no tables at all.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot prepare itself fails"
)]

mod independent;

use std::io::{Cursor, Seek, SeekFrom, Write};

use independent::{counting, disk_of, layout, open, run, sparse, wanted};
use partition::{Bytes, SectorSize, Survey, Table, Wanted, survey, write_gpt, write_mbr};

const SIZE: Bytes = Bytes::mib(8 * 1024);
const B512: SectorSize = SectorSize::B512;

fn names(found: &Survey) -> Vec<&str> {
    found.partitions.iter().map(|it| it.name.as_str()).collect()
}

fn erase(disk: &mut (impl Seek + Write), at: u64, bytes: usize) {
    disk.seek(SeekFrom::Start(at)).expect("a seek");
    disk.write_all(&vec![0; bytes]).expect("a write");
}

#[test]
fn one_copy_of_a_gpt_is_enough_and_its_flaw_is_named() {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        let layout = layout(SIZE, sector);
        let expected: Vec<&str> = layout
            .partitions()
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        for (at, bytes, flawed) in [
            (0, 0, false),
            (0, 1 << 20, true),
            (SIZE.get() - (1 << 20), 1 << 20, true),
        ] {
            let file = sparse(SIZE);
            let mut disk = open(file.path());
            write_gpt(&layout, &mut disk, Some(&[9; 440])).expect("it is written");
            erase(&mut disk, at, bytes);
            let found = survey(&mut disk, sector)
                .expect("it is read")
                .expect("a table");
            assert_eq!((found.table, names(&found)), (Table::Gpt, expected.clone()));
            assert_eq!(found.flaw.is_some(), flawed, "{:?}", found.flaw);
            let starts = found.partitions.iter().map(|it| it.start);
            assert!(starts.eq(layout.partitions().iter().map(|it| it.start)));
        }
        let file = sparse(SIZE);
        let mut disk = open(file.path());
        write_gpt(&layout, &mut disk, None).expect("it is written");
        erase(&mut disk, 0, 1 << 20);
        erase(&mut disk, SIZE.get() - (1 << 20), 1 << 20);
        assert_eq!(survey(&mut disk, sector).expect("it is read"), None);
    }
}

#[test]
fn an_mbr_is_read_also_with_an_extended_partition_in_it() {
    let file = sparse(SIZE);
    let mut disk = open(file.path());
    let mbr = Wanted {
        table: Table::Mbr,
        ..wanted()
    };
    let ours = mbr
        .layout(disk_of(SIZE, B512), counting())
        .expect("it fits");
    write_mbr(&ours, &mut disk, None).expect("it is written");
    let found = survey(&mut disk, B512)
        .expect("it is read")
        .expect("a table");
    assert_eq!((found.table, found.flaw.as_deref()), (Table::Mbr, None));
    assert_eq!(found.partitions.len(), ours.partitions().len());

    // Windows in the first partition, an extended one behind it.
    let record = |kind: u8, start: u32, sectors: u32| {
        let mut bytes = [0; 16];
        bytes[4] = kind;
        bytes[8..12].copy_from_slice(&start.to_le_bytes());
        bytes[12..].copy_from_slice(&sectors.to_le_bytes());
        bytes
    };
    disk.seek(SeekFrom::Start(446)).expect("a seek");
    disk.write_all(
        &[
            record(7, 2048, 1 << 20),
            record(5, 1_050_624, 2048),
            [0; 16],
            [0; 16],
        ]
        .concat(),
    )
    .expect("a write");
    let found = survey(&mut disk, B512)
        .expect("it is read")
        .expect("a table");
    let places: Vec<_> = found
        .partitions
        .iter()
        .map(|it| (it.number, it.start.get()))
        .collect();
    assert_eq!(places, [(1, 1 << 20), (2, 513 << 20)]);
    assert!(found.flaw.is_some());
}

#[test]
fn the_boot_sector_of_a_file_system_is_no_table() {
    let file = sparse(SIZE);
    let path = file.path().to_str().expect("a path of text");
    run("mkfs.vfat", &["-F", "32", path]);
    assert_eq!(
        survey(&mut open(file.path()), B512).expect("it is read"),
        None
    );
}

#[test]
fn a_record_with_a_wild_flag_or_past_the_end_of_the_disk_makes_no_table_of_a_flawed_one() {
    // An extended partition, at which the strict reader gives up.
    for (at, byte, expected) in [(500, 0, Some(1)), (446, 0x41, None), (446 + 11, 0x7f, None)] {
        let mut bytes = vec![0; 1 << 20];
        bytes[446 + 4] = 0x05;
        bytes[446 + 8] = 1;
        bytes[446 + 12] = 1;
        bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
        bytes[at] = byte;
        let found = survey(&mut Cursor::new(bytes), B512).expect("it is read");
        assert_eq!(found.map(|it| it.partitions.len()), expected, "{at}");
    }
}
