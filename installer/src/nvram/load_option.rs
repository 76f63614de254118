//! A boot entry as bytes: `EFI_LOAD_OPTION` (UEFI 2.10, section 3.1.3) with a device path (section 10.3).

use uuid::Uuid;

/// Attribute of an entry that the firmware may start.
const ACTIVE: u32 = 1;

const END: [u8; 4] = [0x7f, 0xff, 4, 0];
const MEDIA: u8 = 4;
const HARD_DRIVE: u8 = 1;
const FILE_PATH: u8 = 4;
/// Length of a hard drive node in bytes, and the values that say "GUID partition table" and "by GUID".
const HARD_DRIVE_LENGTH: u16 = 42;
const GPT: u8 = 2;
const BY_GUID: u8 = 2;

/// A partition as a device path names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionPath {
    /// Number, from 1.
    pub number: u32,
    /// First logical block.
    pub start: u64,
    /// Length in logical blocks.
    pub blocks: u64,
    /// GUID of the partition.
    pub guid: Uuid,
}

/// An entry as far as Landfall looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOption {
    /// What the firmware's menu shows.
    pub description: String,
    /// GUID of the GPT partition from which it starts; `None` for everything else (network, CD, the firmware itself).
    pub partition: Option<Uuid>,
}

/// Makes an active entry that starts `file` (with backslashes) from a partition.
pub(super) fn render(description: &str, partition: &PartitionPath, file: &str) -> Vec<u8> {
    let mut path = vec![MEDIA, HARD_DRIVE];
    path.extend(HARD_DRIVE_LENGTH.to_le_bytes());
    path.extend(partition.number.to_le_bytes());
    path.extend(partition.start.to_le_bytes());
    path.extend(partition.blocks.to_le_bytes());
    path.extend(partition.guid.to_bytes_le());
    path.extend([GPT, BY_GUID]);

    let name = ucs2(file);
    path.extend([MEDIA, FILE_PATH]);
    path.extend(length(name.len() + 4).to_le_bytes());
    path.extend(name);
    path.extend(END);

    let mut bytes = ACTIVE.to_le_bytes().to_vec();
    bytes.extend(length(path.len()).to_le_bytes());
    bytes.extend(ucs2(description));
    bytes.extend(path);
    bytes
}

/// Reads an entry; `None` if it is none. Firmware writes strange ones, so nothing in it is trusted.
pub(super) fn parse(bytes: &[u8]) -> Option<LoadOption> {
    let path_length = usize::from(u16::from_le_bytes(bytes.get(4..6)?.try_into().ok()?));
    let (text, path) = split_text(bytes.get(6..)?)?;
    Some(LoadOption {
        description: text,
        partition: partition_of(path.get(..path_length)?),
    })
}

/// The GUID in the first hard drive node of a device path.
fn partition_of(mut path: &[u8]) -> Option<Uuid> {
    loop {
        let [kind, sub, low, high, ..] = *path else {
            return None;
        };
        let length = usize::from(u16::from_le_bytes([low, high]));
        if kind == END[0] || length < 4 {
            return None;
        }
        let node = path.get(..length)?;
        if (kind, sub, node.len()) == (MEDIA, HARD_DRIVE, usize::from(HARD_DRIVE_LENGTH)) {
            let guid = Uuid::from_slice_le(node.get(24..40)?).ok()?;
            return (node.last() == Some(&BY_GUID)).then_some(guid);
        }
        path = path.get(length..)?;
    }
}

/// Text up to its end mark, and what follows.
fn split_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut units = Vec::new();
    let (pairs, _) = bytes.as_chunks::<2>();
    for pair in pairs {
        let unit = u16::from_le_bytes(*pair);
        if unit == 0 {
            let rest = bytes.get((units.len() + 1) * 2..)?;
            return Some((String::from_utf16_lossy(&units), rest));
        }
        units.push(unit);
    }
    None
}

fn ucs2(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

/// Lengths here are of our own short texts.
fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GUID: Uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);

    fn path() -> PartitionPath {
        PartitionPath {
            number: 2,
            start: 4096,
            blocks: 524_288,
            guid: GUID,
        }
    }

    #[test]
    fn an_entry_has_the_bytes_of_the_specification() {
        let bytes = render("Lf", &path(), "\\A");
        let mut expected = vec![1, 0, 0, 0]; // active
        expected.extend([42 + 10 + 4, 0]); // length of the path
        expected.extend(b"L\0f\0\0\0");
        expected.extend([4, 1, 42, 0, 2, 0, 0, 0]); // hard drive, partition 2
        expected.extend([0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0]);
        expected.extend([0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66]);
        expected.extend([0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 2, 2]);
        expected.extend([4, 4, 10, 0, b'\\', 0, b'A', 0, 0, 0]);
        expected.extend([0x7f, 0xff, 4, 0]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn an_entry_for_a_network_or_a_partition_of_an_mbr_names_no_partition() {
        let mut mbr = render("x", &path(), "\\A");
        let signature_type = mbr.len() - 4 - 10 - 1;
        assert_eq!(mbr[signature_type], 2);
        mbr[signature_type] = 1;
        assert_eq!(parse(&mbr).unwrap().partition, None);
        let network = [
            1, 0, 0, 0, 12, 0, b'P', 0, 0, 0, 3, 11, 8, 0, 1, 2, 3, 4, 0x7f, 0xff, 4, 0,
        ];
        let network = parse(&network).unwrap();
        assert_eq!(
            (network.description.as_str(), network.partition),
            ("P", None)
        );
    }

    proptest! {
        #[test]
        fn what_was_rendered_is_read_again(name in "[ -~äß漢]{0,40}", file in "[!-~]{0,80}", guid: u128, start: u64) {
            let partition = PartitionPath { guid: Uuid::from_u128(guid), start, ..path() };
            let read = parse(&render(&name, &partition, &file)).unwrap();
            prop_assert_eq!(read, LoadOption { description: name, partition: Some(partition.guid) });
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            parse(&bytes);
        }

        #[test]
        fn an_entry_that_is_cut_short_names_nothing_wrong(cut in 0_usize..100) {
            let bytes = render("Landfall", &path(), "\\EFI\\BOOT\\BOOTX64.EFI");
            if let Some(read) = parse(&bytes[..cut.min(bytes.len())]) {
                prop_assert!(read.partition.is_none() || read.partition == Some(GUID));
            }
        }
    }
}
