//! Tables on sparse files, read by `sgdisk` (GPT fdisk) and `partx` (libblkid), and broken on purpose.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot prepare itself fails"
)]

mod independent;

use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use independent::{counting, disk_of, layout, open, run, sparse, wanted};
use partition::{
    Bytes, Layout, Partition, ReadTable, Role, SectorSize, Table, TableError, Wanted, mbr_sector,
    protective_mbr, read_back, write_gpt, write_mbr,
};

const GIB_8: Bytes = Bytes::mib(8 * 1024);
const TIB_5: Bytes = Bytes::mib(5 * 1024 * 1024);

fn mbr_layout(size: Bytes) -> Layout {
    let wanted = Wanted {
        table: Table::Mbr,
        ..wanted()
    };
    wanted
        .layout(disk_of(size, SectorSize::B512), counting())
        .expect("it fits")
}

/// In sectors of 512 bytes: what `sgdisk` on a file and `partx` at any sector size count in.
fn sectors(part: &Partition) -> (u64, u64) {
    (part.start.get() / 512, part.size.get() / 512)
}

/// What `partx` should say of this layout.
fn partx_lines(layout: &Layout) -> Vec<String> {
    let line = |part: &Partition| {
        let (start, count) = sectors(part);
        let uuid = layout.part_uuid(part);
        match layout.table() {
            Table::Gpt => {
                let (kind, flags) = (part.role.type_guid(), part.role.attributes());
                format!(
                    "{} {start} {count} {} {uuid} {kind} {flags:#x} gpt",
                    part.number, part.name
                )
            }
            Table::Mbr => {
                let flags = if part.role == Role::State {
                    "0x80"
                } else {
                    "0x0"
                };
                format!("{} {start} {count}  {uuid} 0x83 {flags} dos", part.number)
            }
        }
    };
    layout.partitions().iter().map(line).collect()
}

fn partx(path: &str, sector: SectorSize) -> Vec<String> {
    let sector = u64::from(sector).to_string();
    let columns = "NR,START,SECTORS,NAME,UUID,TYPE,FLAGS,SCHEME";
    let said = run(
        "partx",
        &[
            "--sector-size",
            &sector,
            "--raw",
            "--noheadings",
            "--output",
            columns,
            path,
        ],
    );
    said.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn fault_21_sgdisk_finds_no_problem_on_disks_of_any_size_also_above_2_tib() {
    let smallest = wanted()
        .smallest_disk(SectorSize::B512)
        .expect("it is known");
    for size in [
        smallest,
        GIB_8,
        Bytes::new(GIB_8.get() + 100),
        TIB_5,
        Bytes::mib(16 * 1024 * 1024 - 4),
    ] {
        let layout = layout(size, SectorSize::B512);
        let file = sparse(size);
        write_gpt(&layout, &mut open(file.path()), None).expect("it is written");
        let path = file.path().to_str().expect("a path");

        let said = run("sgdisk", &["--verify", path]);
        assert!(said.contains("No problems found"), "{size}: {said}");
        for part in layout.partitions() {
            let said = run("sgdisk", &["-i", &part.number.to_string(), path]);
            let (start, count) = sectors(part);
            for expected in [
                format!(
                    "Partition GUID code: {}",
                    part.role.type_guid().to_string().to_uppercase()
                ),
                format!(
                    "Partition unique GUID: {}",
                    part.guid.to_string().to_uppercase()
                ),
                format!("First sector: {start} "),
                format!("Last sector: {} ", start + count - 1),
                format!("Attribute flags: {:016X}", part.role.attributes()),
                format!("Partition name: '{}'", part.name),
            ] {
                assert!(said.contains(&expected), "{expected} is not in {said}");
            }
        }
        assert!(
            run("sgdisk", &["-p", path]).contains(&layout.disk_guid().to_string().to_uppercase())
        );
        assert_eq!(
            run("partx", &["--raw", "--noheadings", "--output", "NR", path])
                .lines()
                .count(),
            6
        );
    }
}

#[test]
fn libblkid_reads_both_copies_at_both_sector_sizes() {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        let layout = layout(GIB_8, sector);
        let file = sparse(GIB_8);
        write_gpt(&layout, &mut open(file.path()), None).expect("it is written");
        let path = file.path().to_str().expect("a path");
        assert_eq!(partx(path, sector), partx_lines(&layout));

        // Without the primary header only the backup is left to read.
        let mut disk = open(file.path());
        disk.seek(SeekFrom::Start(sector.into())).expect("a seek");
        disk.write_all(&[0; 512]).expect("a write");
        assert_eq!(partx(path, sector), partx_lines(&layout));
    }
}

#[test]
fn what_was_written_is_read_back() {
    for (size, sector) in [
        (GIB_8, SectorSize::B512),
        (GIB_8, SectorSize::B4096),
        (TIB_5, SectorSize::B512),
    ] {
        let layout = layout(size, sector);
        let file = sparse(size);
        write_gpt(&layout, &mut open(file.path()), Some(&[7; 440])).expect("it is written");
        let table = read_back(&mut open(file.path()), sector).expect("it is read");
        table.verify(&layout).expect("it is the same");
        assert_eq!(
            (table.table, table.boot_code, table.active),
            (Table::Gpt, [7; 440], false)
        );
    }
}

#[test]
fn fault_21_the_protective_mbr_covers_the_disk_as_far_as_it_can() {
    for (size, sector, sectors) in [
        (GIB_8, SectorSize::B512, (8 << 21) - 1),
        (GIB_8, SectorSize::B4096, (8 << 18) - 1),
        (Bytes::mib(2 * 1024 * 1024), SectorSize::B512, u32::MAX),
        (TIB_5, SectorSize::B512, u32::MAX),
        (TIB_5, SectorSize::B4096, (5 << 28) - 1),
    ] {
        let layout = layout(size, sector);
        for (active, flag) in [(false, 0), (true, 0x80)] {
            let mut expected = [0_u8; 512];
            expected[..440].fill(9);
            expected[446..454].copy_from_slice(&[flag, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]);
            expected[454..458].copy_from_slice(&1_u32.to_le_bytes());
            expected[458..462].copy_from_slice(&u32::to_le_bytes(sectors));
            expected[510..].copy_from_slice(&[0x55, 0xAA]);
            assert_eq!(
                protective_mbr(&layout, &[9; 440], active).expect("a GPT layout"),
                expected
            );
        }
    }
}

/// A disk in memory that remembers where it was written to.
#[derive(Debug)]
struct Recorded {
    disk: Cursor<Vec<u8>>,
    writes: Vec<(u64, usize)>,
}

impl Recorded {
    fn of(size: u64) -> Self {
        Self {
            disk: Cursor::new(vec![0; usize::try_from(size).expect("it fits")]),
            writes: Vec::new(),
        }
    }
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.disk.read(buffer)
    }
}

impl Write for Recorded {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.writes.push((self.disk.position(), buffer.len()));
        self.disk.write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Seek for Recorded {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.disk.seek(to)
    }
}

fn small() -> (Layout, u64) {
    let small = Wanted::new(Bytes::ZERO, Bytes::ZERO);
    let size = small.smallest_disk(SectorSize::B512).expect("it is known");
    (
        small
            .layout(disk_of(size, SectorSize::B512), counting())
            .expect("it fits"),
        size.get(),
    )
}

#[test]
fn sector_0_is_written_last_and_nothing_is_written_between_the_ends() {
    let (layout, size) = small();
    let mut disk = Recorded::of(size);
    write_gpt(&layout, &mut disk, None).expect("it is written");
    assert_eq!(
        disk.writes,
        [(size - 33 * 512, 33 * 512), (512, 33 * 512), (0, 512)]
    );
}

#[test]
fn a_disk_of_another_size_is_not_touched() {
    let (layout, size) = small();
    for changed in [size - 512, size + 512, 0] {
        let mut disk = Recorded::of(changed);
        let refused = write_gpt(&layout, &mut disk, None).expect_err("it is refused");
        let (expected, found) = (Bytes::new(size), Bytes::new(changed));
        assert_eq!(
            refused.to_string(),
            TableError::DiskChanged { expected, found }.to_string()
        );
        assert_eq!(disk.writes, []);
    }
}

#[test]
fn the_wrong_kind_of_layout_is_not_written() {
    let (gpt, mbr) = (layout(GIB_8, SectorSize::B512), mbr_layout(GIB_8));
    let mut disk = Recorded::of(0);
    let none = &[0; 440];
    for refused in [
        write_gpt(&mbr, &mut disk, None).err(),
        protective_mbr(&mbr, none, false).err(),
        write_mbr(&gpt, &mut disk, None).err(),
        mbr_sector(&gpt, none).err(),
    ] {
        assert!(
            matches!(refused, Some(TableError::WrongTable(_))),
            "{refused:?}"
        );
    }
    assert_eq!(disk.writes, []);
}

fn read_after(change: impl FnOnce(&mut [u8])) -> Result<ReadTable, TableError> {
    let (layout, size) = small();
    let mut disk = Recorded::of(size);
    write_gpt(&layout, &mut disk, None).expect("it is written");
    change(disk.disk.get_mut());
    read_back(&mut disk, SectorSize::B512)
}

#[test]
fn a_change_anywhere_in_the_tables_is_found() {
    let size = usize::try_from(small().1).expect("it fits");
    for (at, complaint) in [
        (447, "it is taken"), // the old address of the protective record; nobody reads it
        (450, "MBR"),         // its type, now an unknown one
        (454, "does not cover the disk"),
        (460, "does not cover the disk"),
        (510, "no partition table"),
        (512, "the primary GPT is damaged"),
        (512 + 60, "the primary GPT is damaged"),
        (1024 + 32, "the primary GPT is damaged"),
        (1024 + 127 * 128, "the primary GPT is damaged"),
        (size - 512, "the backup GPT is damaged"),
        (size - 512 + 88, "the backup GPT is damaged"),
        (size - 33 * 512 + 56, "the backup GPT is damaged"),
        (size - 1024, "the backup GPT is damaged"),
    ] {
        let (layout, _) = small();
        let said = match read_after(|disk| disk[at] ^= 1).and_then(|table| table.verify(&layout)) {
            Ok(()) => "it is taken".to_owned(),
            Err(error) => error.to_string(),
        };
        if at == 450 {
            // 0xEF is an ESP record: then this is a plain MBR, and not the table of the layout.
            assert!(
                said.contains("the kind of table is Mbr, expected Gpt"),
                "{said}"
            );
        } else {
            assert!(said.contains(complaint), "{at}: {said}");
        }
    }
}

#[test]
fn a_hybrid_mbr_is_not_a_protective_one() {
    let refused = read_after(|disk| disk[462 + 4] = 0x0C);
    assert!(
        matches!(refused, Err(TableError::NotProtective(_))),
        "{refused:?}"
    );
}

/// CRC-32 as GPT headers have it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        })
    })
}

/// Changes four bytes of a header and makes its checksum right again.
fn forge(header: &mut [u8], at: usize, value: u32) {
    header[at..at + 4].copy_from_slice(&value.to_le_bytes());
    header[16..20].fill(0);
    let crc = crc32(&header[..92]);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn a_forged_header_leads_nowhere() {
    let last = usize::try_from(small().1).expect("it fits") - 512;
    for (header, field, value, complaint) in [
        (512, 84, 256, "entries that are not of 128 bytes"),
        (last, 84, 64, "entries that are not of 128 bytes"),
        (512, 80, u32::MAX, "the primary GPT is damaged"),
        (last, 80, u32::MAX, "the backup GPT is damaged"),
        (512, 76, u32::MAX, "the primary GPT is damaged"),
        (512, 72, 1_000_000, "the primary GPT is damaged"),
        (512, 32, 5, "differ in their places"),
        (512, 56, 5, "differ in their disk GUIDs"),
        (last, 48, 5, "differ in their usable areas"),
    ] {
        let refused =
            read_after(|disk| forge(&mut disk[header..], field, value)).expect_err("it is refused");
        assert!(
            refused.to_string().contains(complaint),
            "{field} of {header}: {refused}"
        );
    }
    // The forger is right: a header with its own value passes.
    assert!(read_after(|disk| forge(&mut disk[512..], 84, 128)).is_ok());
}

#[test]
fn two_valid_copies_with_different_partitions_are_no_table() {
    let last = usize::try_from(small().1).expect("it fits") - 512;
    let entries = last - 32 * 512;
    let refused = read_after(|disk| {
        disk[entries + 128 + 48] ^= 1; // an attribute of the second partition
        let crc = crc32(&disk[entries..last]);
        forge(&mut disk[last..], 88, crc);
    });
    assert!(
        matches!(refused, Err(TableError::CopiesDiffer("partitions"))),
        "{refused:?}"
    );
}

#[test]
fn an_empty_disk_has_no_table() {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        let read = read_back(&mut Recorded::of(1 << 20), sector);
        assert!(matches!(read, Err(TableError::NoTable)), "{read:?}");
        let read = read_back(&mut Recorded::of(4096), sector);
        assert!(matches!(read, Err(TableError::TooSmall(_))), "{read:?}");
    }
}

#[test]
fn the_table_of_another_install_is_not_taken_for_this_one() {
    let (first, size) = small();
    let mut disk = Recorded::of(size);
    write_gpt(&first, &mut disk, None).expect("it is written");
    let table = read_back(&mut disk, SectorSize::B512).expect("it is read");
    let mut guids = counting();
    let mut next = || uuid::Uuid::from_u128(guids().as_u128() + 100);
    let other = Wanted::new(Bytes::ZERO, Bytes::ZERO)
        .layout(first.geometry(), &mut next)
        .expect("it fits");
    let refused = table.verify(&other).expect_err("it is another");
    assert!(
        refused.to_string().contains("the disk GUID is"),
        "{refused}"
    );
    table.verify(&first).expect("it is the first");
}

#[test]
fn libblkid_reads_the_mbr_and_finds_no_old_gpt() {
    let file = sparse(GIB_8);
    let path = file.path().to_str().expect("a path");
    write_gpt(
        &layout(GIB_8, SectorSize::B512),
        &mut open(file.path()),
        None,
    )
    .expect("it is written");

    let mbr = mbr_layout(GIB_8);
    write_mbr(&mbr, &mut open(file.path()), Some(&[7; 440])).expect("it is written");
    assert_eq!(partx(path, SectorSize::B512), partx_lines(&mbr));
    assert!(!run("blkid", &["-p", "-o", "export", path]).contains("gpt"));

    let table = read_back(&mut open(file.path()), SectorSize::B512).expect("it is read");
    table.verify(&mbr).expect("it is the same");
    assert_eq!(
        (table.signature, table.boot_code, table.active),
        (0x1122_3344, [7; 440], true)
    );
    for at in [512, GIB_8.get() - 512] {
        let mut sector = [1; 512];
        let mut disk = open(file.path());
        disk.seek(SeekFrom::Start(at)).expect("a seek");
        disk.read_exact(&mut sector).expect("a read");
        assert_eq!(sector, [0; 512], "{at}");
    }
}

#[test]
fn the_mbr_records_are_these_bytes() {
    let layout = mbr_layout(Bytes::new(0xFFFF_FFFF * 512));
    let sector = mbr_sector(&layout, &[3; 440]).expect("an MBR layout");
    let mut expected = [0_u8; 512];
    expected[..440].fill(3);
    expected[440..444].copy_from_slice(&0x1122_3344_u32.to_le_bytes());
    let hex = concat!(
        "00 20 21 00 83 49 01 08 00 08 00 00 00 00 02 00 ", // oem: 64 MiB at 1 MiB
        "00 49 02 08 83 45 17 6e 00 08 02 00 00 00 19 00 ", // recovery: 800 MiB at 65 MiB
        "80 45 18 6e 83 76 7d f9 00 08 1b 00 00 e0 60 00 ", // state: 3100 MiB, active
        "00 76 7e f9 83 fe ff ff 00 e8 7b 00 00 10 84 ff ", // persistent: the rest
    );
    let records: Vec<u8> = hex
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"))
        .collect();
    expected[446..510].copy_from_slice(&records);
    expected[510..].copy_from_slice(&[0x55, 0xAA]);
    assert_eq!(sector[446..], expected[446..]);
    assert_eq!(sector, expected);
}

#[test]
fn logical_partitions_are_not_misread() {
    let mut disk = Recorded::of(1 << 20);
    let bytes = disk.disk.get_mut();
    bytes[446 + 4] = 0x0F;
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    let refused = read_back(&mut disk, SectorSize::B512);
    assert!(
        matches!(refused, Err(TableError::Unsupported("logical partitions"))),
        "{refused:?}"
    );
}
