//! GRUB for BIOS, ready to be written: what `grub-bios-setup --no-rs-codes` does, without a disk.
//!
//! The BIOS runs the boot code in sector 0 (`boot.img`), which loads the first sector of the core image (`diskboot.img`),
//! which loads the rest of it. Neither knows a filesystem or a partition table: their numbers are patched in here. The
//! offsets are those of GRUB 2 (`include/grub/i386/pc/boot.h`, `include/grub/offsets.h`), unchanged since 2.00; a test
//! compares the result with what the real program leaves on a disk.
//!
//! No Reed-Solomon redundancy is added: the installer reads back what it wrote, and the space belongs to nobody else.

use crate::{
    layout::{Layout, Table},
    role::Role,
    table::BootCode,
    units::{Bytes, SectorSize},
    wipe::ByteRange,
};

/// GRUB counts in sectors of 512 bytes, whatever the disk has.
const SECTOR: usize = 512;
/// The core image is loaded below the 640 KiB that a BIOS leaves; more than this does not fit there.
const CORE_MOST: Bytes = Bytes::new(480 * 1024);

/// boot.img: the sector number of the core image, 64 bits.
const KERNEL_SECTOR: usize = 0x5c;
/// boot.img: the drive to load from; 0xFF stands for the one that the BIOS booted.
const BOOT_DRIVE: usize = 0x64;
const THE_BOOTED_DRIVE: u8 = 0xff;
/// boot.img: a jump over the check whether the BIOS passed a sane drive number. On a hard disk the check shall run, so
/// the jump becomes two NOPs.
const DRIVE_CHECK: usize = 0x66;
const JUMP: [u8; 2] = [0xeb, 0x05];
const NOPS: [u8; 2] = [0x90, 0x90];

/// diskboot.img: the terminator and the only entry of its list of blocks, 12 bytes each at the end of its sector.
const BLOCKS: usize = 0x1e8;
/// Where the rest of the core image is loaded: 0x8200 as a segment.
const LOAD_SEGMENT: u16 = 0x0820;

/// GRUB for BIOS, to be written to one disk: `core` first, and the boot code, in sector 0, last of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BiosBoot {
    /// For [`crate::protective_mbr`] or [`crate::mbr_sector`].
    pub boot_code: BootCode,
    /// The core image, patched and filled up with zeroes to whole sectors of 512 bytes.
    pub core: Vec<u8>,
    /// Where `core` begins on the disk, in bytes.
    pub core_at: Bytes,
}

/// Why GRUB for BIOS cannot be put on the disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BiosError {
    /// The disk has 4096-byte sectors. No BIOS boots from it, and GRUB's boot code could not count its sectors.
    #[error("no BIOS boots from a disk with 4096-byte sectors")]
    SectorSize,
    /// The boot image is not GRUB's `boot.img`.
    #[error("the boot image is not GRUB's boot.img: {0}")]
    NotBootImage(&'static str),
    /// The core image is not one that begins with GRUB's `diskboot.img`.
    #[error("the core image does not begin with GRUB's diskboot.img: {0}")]
    NotCoreImage(&'static str),
    /// The core image does not fit.
    #[error("the core image has {size}, {most} fit")]
    CoreTooLarge {
        /// The size of the core image, in bytes.
        size: Bytes,
        /// What fits, in bytes.
        most: Bytes,
    },
    /// The layout has no place for it.
    #[error("the layout has neither a BIOS boot partition nor a gap for GRUB")]
    NoPlace,
}

/// Where GRUB's core image lies: in the BIOS boot partition of a GPT, in the gap between an MBR and the first partition.
/// `None` if the layout has no such place.
pub fn bios_area(layout: &Layout) -> Option<ByteRange> {
    match layout.table() {
        Table::Gpt => layout.partition(Role::BiosBoot).map(|part| ByteRange {
            start: part.start,
            size: part.size,
        }),
        Table::Mbr => {
            let start = layout.geometry().sector.bytes();
            let first = layout.partitions().first()?.start;
            let size = first.checked_sub(start)?;
            Some(ByteRange { start, size })
        }
    }
}

/// Prepares GRUB for a disk of this layout.
///
/// `boot_img` is GRUB's `boot.img`, `core_img` what `grub-mkimage -O i386-pc` made: at most 480 KiB and [`bios_area`].
///
/// # Errors
/// A [`BiosError`]; [`BiosError::SectorSize`] on a disk with 4096-byte sectors, which boots by UEFI alone.
pub fn embed_bios(
    boot_img: &[u8; 512],
    core_img: &[u8],
    layout: &Layout,
) -> Result<BiosBoot, BiosError> {
    let sector = layout.geometry().sector;
    if sector != SectorSize::B512 {
        return Err(BiosError::SectorSize);
    }
    let area = bios_area(layout).ok_or(BiosError::NoPlace)?;
    let size = u64::try_from(core_img.len()).map_or(Bytes::new(u64::MAX), Bytes::new);
    let most = CORE_MOST.min(area.size);
    if size > most {
        return Err(BiosError::CoreTooLarge { size, most });
    }
    let start = sector.sectors_in(area.start);
    Ok(BiosBoot {
        boot_code: patch_boot(boot_img, start)?,
        core: patch_core(core_img, start)?,
        core_at: area.start,
    })
}

fn patch_boot(boot_img: &[u8; 512], core_start: u64) -> Result<BootCode, BiosError> {
    if boot_img[510..] != [0x55, 0xaa] {
        return Err(BiosError::NotBootImage("no boot signature"));
    }
    let check = &boot_img[DRIVE_CHECK..DRIVE_CHECK + 2];
    if check != JUMP && check != NOPS {
        return Err(BiosError::NotBootImage("no drive check at 0x66"));
    }
    let mut code: BootCode = [0; 440];
    code.copy_from_slice(&boot_img[..440]);
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&core_start.to_le_bytes());
    code[BOOT_DRIVE] = THE_BOOTED_DRIVE;
    code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&NOPS);
    Ok(code)
}

fn patch_core(core_img: &[u8], start: u64) -> Result<Vec<u8>, BiosError> {
    let mut core = core_img.to_vec();
    core.resize(core_img.len().next_multiple_of(SECTOR), 0);
    let (sectors, _) = core.as_chunks_mut::<SECTOR>();
    let [first, rest @ ..] = sectors else {
        return Err(BiosError::NotCoreImage("it is empty"));
    };
    if first[SECTOR - 2..] != LOAD_SEGMENT.to_le_bytes() {
        return Err(BiosError::NotCoreImage("no load segment at 0x1fe"));
    }
    let too_long = BiosError::NotCoreImage("its length cannot be told");
    let length = u16::try_from(rest.len()).map_err(|_wide| too_long.clone())?;
    if length == 0 {
        return Err(BiosError::NotCoreImage("nothing follows its first sector"));
    }
    // The list is read from its end downwards: one entry for all the rest, and below it an empty one that ends it.
    let mut blocks = [0; SECTOR - BLOCKS];
    let second = start.checked_add(1).ok_or(too_long)?;
    blocks[12..20].copy_from_slice(&second.to_le_bytes());
    blocks[20..22].copy_from_slice(&length.to_le_bytes());
    blocks[22..].copy_from_slice(&LOAD_SEGMENT.to_le_bytes());
    first[BLOCKS..].copy_from_slice(&blocks);
    Ok(core)
}
