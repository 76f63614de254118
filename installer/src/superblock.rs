//! What an ext4 superblock tells without a mount: nothing is replayed, nothing is written.
//!
//! Places and flags are those of `Documentation/filesystems/ext4/super.rst` of the kernel.

/// Where the superblock begins in its partition, in bytes.
pub const OFFSET: u64 = 1024;

/// Its length in bytes.
pub const LENGTH: usize = 1024;

const MAGIC: u16 = 0xef53;
const ERRORS: u16 = 2;
const JOURNAL_TO_REPLAY: u32 = 4;
const SIXTY_FOUR_BITS: u32 = 0x80;

/// The facts of a superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Label of the file system.
    pub label: String,
    /// Size of the file system in bytes.
    pub size: u64,
    /// The kernel found errors in it, and nobody has repaired them.
    pub errors: bool,
    /// It was not unmounted; its journal is replayed by the next mount.
    pub in_use: bool,
}

/// Reads a superblock of ext2, ext3 or ext4; `None` if it is something else.
pub fn read(bytes: &[u8]) -> Option<Superblock> {
    let two = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let four = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if two(0x38)? != MAGIC {
        return None;
    }
    let features = four(0x60)?;
    let high = if features & SIXTY_FOUR_BITS == 0 {
        0
    } else {
        u64::from(four(0x150)?)
    };
    let blocks = high << 32 | u64::from(four(0x4)?);
    let block = 1024_u64 << Some(four(0x18)?).filter(|log| *log <= 6)?;
    let label = bytes.get(0x78..0x88)?;
    let label = label.split(|byte| *byte == 0).next()?;
    Some(Superblock {
        label: String::from_utf8_lossy(label).into_owned(),
        size: blocks.checked_mul(block)?,
        errors: two(0x3a)? & ERRORS != 0 || four(0x194)? != 0,
        in_use: features & JOURNAL_TO_REPLAY != 0,
    })
}

#[cfg(test)]
mod tests {
    use host::{Argv, Host, Linux};

    use super::*;

    fn made(args: &[&str]) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        let argv = Argv::new("mke2fs").args(["-q", "-F"]).args(args);
        Linux.run(&argv.arg(file.path())).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        bytes[1024..2048].to_vec()
    }

    #[test]
    fn what_mke2fs_makes_is_read() {
        for kind in ["ext4", "ext2"] {
            let bytes = made(&["-t", kind, "-b", "4096", "-L", "COS_PERSISTENT"]);
            let expected = Superblock {
                label: "COS_PERSISTENT".into(),
                size: 64 << 20,
                errors: false,
                in_use: false,
            };
            assert_eq!(read(&bytes), Some(expected), "{kind}");
        }
        // A label of 16 bytes has no end of its own.
        let bytes = made(&["-t", "ext4", "-b", "1024", "-L", "0123456789abcdef"]);
        let found = read(&bytes).unwrap();
        assert_eq!(
            (found.label.as_str(), found.size),
            ("0123456789abcdef", 64 << 20)
        );
    }

    #[test]
    fn errors_and_a_journal_that_was_not_emptied_are_seen() {
        let whole = made(&["-t", "ext4"]);
        let with = |at: usize, bits: u8| {
            let mut bytes = whole.clone();
            bytes[at] |= bits;
            read(&bytes).unwrap()
        };
        assert!(with(0x3a, 2).errors && with(0x194, 1).errors);
        assert!(!with(0x3a, 2).in_use);
        assert!(with(0x60, 4).in_use && !with(0x60, 4).errors);
    }

    #[test]
    fn anything_else_is_no_superblock() {
        let whole = made(&["-t", "ext4"]);
        assert_eq!(read(&[0; LENGTH]), None);
        assert_eq!(read(&whole[..0x190]), None);
        assert_eq!(read(&[]), None);
        let mut absurd = whole;
        absurd[0x18] = 60;
        assert_eq!(read(&absurd), None);
    }
}
