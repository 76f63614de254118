//! The superblock of ext2, ext3 and ext4 (the kernel's `Documentation/filesystems/ext4/super.rst`).

use std::fs::File;

use super::bytes_at;

/// Where the superblock begins, and what is read of it: 1024 bytes from byte 1024 on.
const AT: u64 = 1024;
const MAGIC: (usize, [u8; 2]) = (0x38, [0x53, 0xef]);
/// `s_mkfs_time`, 32 bits, seconds since 1970.
const MADE: usize = 0x108;

/// When the file system that begins at byte `start` was made; `None` if there is none.
pub(super) fn made(disk: &File, start: u64) -> Option<u64> {
    let block = bytes_at(disk, start.checked_add(AT)?, 1024)?;
    let (at, magic) = MAGIC;
    if block.get(at..)?.first_chunk()? != &magic {
        return None;
    }
    let made = u32::from_le_bytes(*block.get(MADE..)?.first_chunk()?);
    Some(made.into())
}
