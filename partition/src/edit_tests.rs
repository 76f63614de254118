//! Changes to tables that an independent program wrote, and judged by it.

use std::{fs::File, io::Write, path::Path, process::Command};

use super::*;
use crate::read_back;

const LINUX: Uuid = Uuid::from_u128(0x0FC6_3DAF_8483_4772_8E79_3D69_D847_7DE4);

fn mib(count: u64) -> Bytes {
    Bytes::from_mib(count).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "an independent program judges our tables"
)]
fn sgdisk(args: &[&str], disk: &Path) -> String {
    let output = Command::new("sgdisk")
        .args(args)
        .arg(disk)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// A disk of 64 MiB with two partitions of 8 MiB and boot code in sector 0.
fn disk() -> tempfile::NamedTempFile {
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(64 << 20).unwrap();
    let args = [
        "-n1:2048:+8M",
        "-c1:one",
        "-n2:0:+8M",
        "-c2:two",
        "-A2:set:2",
    ];
    sgdisk(&args, disk.path());
    disk.as_file().write_all(&[0xAB; 440]).unwrap();
    disk
}

fn open(disk: &tempfile::NamedTempFile) -> File {
    File::options()
        .read(true)
        .write(true)
        .open(disk.path())
        .unwrap()
}

fn edit(disk: &tempfile::NamedTempFile) -> Edit {
    Edit::read(&mut open(disk), SectorSize::B512).unwrap()
}

fn added(name: &str, size: Option<Bytes>) -> Added {
    Added {
        name: name.to_owned(),
        size,
        kind: LINUX,
        attributes: 0,
        guid: Uuid::from_u128(0x1234),
    }
}

/// Written, read back strictly, and without complaint of the other program.
fn written(edit: &Edit, disk: &tempfile::NamedTempFile) -> Vec<ReadPartition> {
    edit.write(&mut open(disk)).unwrap();
    let said = sgdisk(&["-v"], disk.path());
    assert!(said.contains("No problems found"), "{said}");
    let table = read_back(&mut open(disk), SectorSize::B512).unwrap();
    assert_eq!(table.boot_code, [0xAB; 440]);
    assert_eq!(table.partitions, edit.partitions());
    table.partitions
}

#[test]
fn the_last_partition_grows_and_everything_else_stays() {
    let disk = disk();
    let before = read_back(&mut open(&disk), SectorSize::B512).unwrap();
    let mut edit = edit(&disk);
    assert_eq!(edit.grow_last(Some(mib(20))), Ok(2));
    assert!(edit.is_changed());
    let after = written(&edit, &disk);
    assert_eq!(after[0], before.partitions[0]);
    let grown = ReadPartition {
        size: mib(20),
        ..before.partitions[1].clone()
    };
    assert_eq!(after[1], grown);
}

#[test]
fn without_a_size_it_grows_to_the_end_of_a_disk_that_became_larger() {
    let disk = disk();
    disk.as_file().set_len(128 << 20).unwrap();
    let mut edit = edit(&disk);
    edit.grow_last(None).unwrap();
    let after = written(&edit, &disk);
    // The last MiB has the backup of the table.
    assert_eq!(after[1].start.checked_add(after[1].size), Some(mib(127)));
    // Done once, there is nothing to do.
    let mut again = self::edit(&disk);
    assert_eq!(again.grow_last(None), Ok(2));
    assert!(!again.is_changed());
}

#[test]
fn partitions_are_added_behind_the_last_one() {
    let disk = disk();
    let mut edit = edit(&disk);
    edit.add(added("three", Some(mib(5)))).unwrap();
    edit.add(added("four", None)).unwrap();
    let after = written(&edit, &disk);
    let places: Vec<_> = after
        .iter()
        .map(|part| (part.number, part.start, part.size))
        .collect();
    assert_eq!(places[2..], [(3, mib(17), mib(5)), (4, mib(22), mib(41))]);
    assert_eq!((after[3].name.as_str(), after[3].kind), ("four", LINUX));
    assert!(sgdisk(&["-i4"], disk.path()).contains("'four'"));
}

#[test]
fn what_would_shrink_or_does_not_fit_is_refused() {
    let mut edit = edit(&disk());
    assert!(matches!(
        edit.grow_last(Some(mib(7))),
        Err(EditError::Shrinks { number: 2, .. })
    ));
    assert_eq!(edit.grow_last(Some(mib(8))), Ok(2));
    let (wanted, free) = (mib(39), mib(46));
    let grown = edit.grow_last(Some(mib(55)));
    assert_eq!(
        grown,
        Err(EditError::NoRoom {
            wanted: mib(47),
            free
        })
    );
    edit.add(added("x", Some(mib(8)))).unwrap();
    let free = mib(38);
    assert_eq!(
        edit.add(added("y", Some(wanted))).unwrap_err(),
        EditError::NoRoom { wanted, free }
    );
    edit.add(added("y", None)).unwrap();
    assert!(matches!(
        edit.add(added("z", None)),
        Err(EditError::NoRoom { .. })
    ));
}

#[test]
fn tables_that_would_not_stay_as_they_are_are_refused() {
    let change = |args: &[&str]| {
        let disk = disk();
        sgdisk(args, disk.path());
        Edit::read(&mut open(&disk), SectorSize::B512)
            .unwrap_err()
            .to_string()
    };
    assert!(change(&["-d1"]).contains("gaps"), "{}", change(&["-d1"]));
    assert!(change(&["-h1"]).contains("hybrid"), "{}", change(&["-h1"]));
    let empty = tempfile::NamedTempFile::new().unwrap();
    empty.as_file().set_len(64 << 20).unwrap();
    let error = Edit::read(&mut open(&empty), SectorSize::B512).unwrap_err();
    assert!(matches!(error, TableError::NoTable), "{error}");
}

#[test]
fn a_damaged_copy_is_refused() {
    for at in [512 + 40, 1024 + 8, (64 << 20) - 512 + 40] {
        let disk = disk();
        let mut file = open(&disk);
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&[0x77]).unwrap();
        let error = Edit::read(&mut file, SectorSize::B512).unwrap_err();
        assert!(matches!(error, TableError::Damaged { .. }), "{at}: {error}");
    }
}

#[test]
fn a_disk_of_4096_byte_sectors_keeps_its_whole_first_sector() {
    let sector = SectorSize::B4096;
    let size = mib(6);
    let geometry = Geometry { size, sector };
    let mut record = [0; 512];
    record[446 + 4] = 0xEE;
    record[446 + 8] = 1;
    record[510..].copy_from_slice(&[0x55, 0xAA]);
    let mut disk = std::io::Cursor::new(vec![0; 6 << 20]);
    let mut ends = Ends::empty(geometry).unwrap();
    let config = GptConfig::new()
        .writable(true)
        .logical_block_size(block_size(sector));
    let mut table = config.create_from_device(&mut ends, None).unwrap();
    table.update_partitions(BTreeMap::new()).unwrap();
    table.write().unwrap();
    *ends.boot_sector_mut().unwrap() = record;
    ends.write(&mut disk, geometry).unwrap();
    disk.get_mut()[600..604].copy_from_slice(b"keep");

    let mut edit = Edit::read(&mut disk, sector).unwrap();
    assert_eq!(edit.grow_last(None), Err(EditError::Empty));
    edit.add(added("only", None)).unwrap();
    edit.write(&mut disk).unwrap();
    let table = read_back(&mut disk, sector).unwrap();
    assert_eq!(
        (table.partitions[0].start, table.partitions[0].size),
        (mib(1), mib(4))
    );
    assert_eq!(&disk.get_ref()[600..604], b"keep");
}
