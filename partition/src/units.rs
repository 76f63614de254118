//! Bytes, sector numbers and sector sizes, and the only arithmetic between them.
//!
//! A disk size times a sector size, or a user's "4000000000000 MiB", must never wrap: everything here is checked and
//! answers `None` instead.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number of bytes: a size, or an offset from the start of the disk.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(u64);

impl Bytes {
    /// No bytes at all. As a wanted size it means "the rest of the disk".
    pub const ZERO: Self = Self(0);

    /// One mebibyte: the alignment of every partition and the unit of every partition size.
    pub const MIB: Self = Self(1 << 20);

    /// Makes a size from a number of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Makes a size from a number of MiB that is known to be small (up to 4 PiB).
    pub const fn mib(mebibytes: u32) -> Self {
        // A u32 shifted by 20 always fits: widened first, so that no bit is lost.
        Self((mebibytes as u64) << 20)
    }

    /// Makes a size from any number of MiB, as a user may write it; `None` above 2^64 bytes.
    pub fn from_mib(mebibytes: u64) -> Option<Self> {
        Self::MIB.checked_mul(mebibytes)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether this is no bytes at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` above 2^64 bytes.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` below zero.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The multiple, or `None` above 2^64 bytes.
    #[must_use]
    pub fn checked_mul(self, times: u64) -> Option<Self> {
        self.0.checked_mul(times).map(Self)
    }

    /// The next multiple of `unit` that is not smaller; `None` above 2^64 bytes or when `unit` is zero.
    #[must_use]
    pub fn align_up(self, unit: Self) -> Option<Self> {
        self.0.checked_next_multiple_of(unit.0).map(Self)
    }

    /// The multiple of `unit` that is not larger; `None` when `unit` is zero.
    #[must_use]
    pub fn align_down(self, unit: Self) -> Option<Self> {
        self.0
            .checked_rem(unit.0)
            .and_then(|over| self.0.checked_sub(over))
            .map(Self)
    }

    /// Whether this is a whole number of `unit`s (never, when `unit` is zero).
    pub fn is_aligned(self, unit: Self) -> bool {
        self.0.checked_rem(unit.0) == Some(0)
    }
}

impl fmt::Display for Bytes {
    /// Whole MiB as `256 MiB`, everything else as exact bytes: an operator compares these numbers.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.is_aligned(Self::MIB) {
            format!("{} MiB", self.0 >> 20)
        } else {
            format!("{} bytes", self.0)
        };
        out.pad(&text)
    }
}

/// The number of a sector on a disk, counted from 0 in the disk's own logical sectors.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Lba(u64);

impl Lba {
    /// Makes a sector number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The sector number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Lba {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sector {}", self.0)
    }
}

/// The logical sector size of a disk, as the kernel reports it in `queue/logical_block_size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub enum SectorSize {
    /// 512 bytes, also what 512e disks show.
    B512,
    /// 4096 bytes: 4Kn disks. No BIOS boots from them.
    B4096,
}

impl SectorSize {
    /// The size of one sector.
    pub const fn bytes(self) -> Bytes {
        match self {
            Self::B512 => Bytes::new(512),
            Self::B4096 => Bytes::new(4096),
        }
    }

    /// How many whole sectors fit into `size`.
    pub const fn sectors_in(self, size: Bytes) -> u64 {
        match self {
            Self::B512 => size.get() >> 9,
            Self::B4096 => size.get() >> 12,
        }
    }

    /// The sector that begins at `offset`, or `None` when none begins there.
    pub fn lba(self, offset: Bytes) -> Option<Lba> {
        offset
            .is_aligned(self.bytes())
            .then(|| Lba::new(self.sectors_in(offset)))
    }

    /// Where a sector begins, or `None` above 2^64 bytes.
    pub fn offset(self, lba: Lba) -> Option<Bytes> {
        self.bytes().checked_mul(lba.get())
    }
}

impl From<SectorSize> for u64 {
    fn from(sector: SectorSize) -> Self {
        sector.bytes().get()
    }
}

/// A sector size that partition tables are not made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sectors of {0} bytes are not supported, only 512 and 4096")]
pub struct UnsupportedSectorSize(pub u64);

impl TryFrom<u64> for SectorSize {
    type Error = UnsupportedSectorSize;

    fn try_from(bytes: u64) -> Result<Self, UnsupportedSectorSize> {
        match bytes {
            512 => Ok(Self::B512),
            4096 => Ok(Self::B4096),
            other => Err(UnsupportedSectorSize(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligning_rounds_in_the_direction_its_name_says() {
        let mib = 1 << 20;
        for (size, up, down) in [
            (0, Some(0), 0),
            (1, Some(mib), 0),
            (mib, Some(mib), mib),
            (mib + 1, Some(2 * mib), mib),
            (u64::MAX, None, u64::MAX - (mib - 1)),
        ] {
            assert_eq!(
                Bytes::new(size).align_up(Bytes::MIB),
                up.map(Bytes::new),
                "{size} up"
            );
            assert_eq!(
                Bytes::new(size).align_down(Bytes::MIB),
                Some(Bytes::new(down)),
                "{size} down"
            );
        }
        assert_eq!(Bytes::MIB.align_up(Bytes::ZERO), None);
        assert_eq!(Bytes::MIB.align_down(Bytes::ZERO), None);
        assert!(!Bytes::MIB.is_aligned(Bytes::ZERO));
    }

    #[test]
    fn nothing_wraps() {
        let most = Bytes::new(u64::MAX);
        assert_eq!(most.checked_add(Bytes::new(1)), None);
        assert_eq!(Bytes::ZERO.checked_sub(Bytes::new(1)), None);
        assert_eq!(Bytes::from_mib(1 << 44), None);
        assert_eq!(
            Bytes::from_mib((1 << 44) - 1),
            Some(Bytes::new(u64::MAX - ((1 << 20) - 1)))
        );
        assert_eq!(Bytes::mib(u32::MAX).get(), 0x000F_FFFF_FFF0_0000);
        assert_eq!(SectorSize::B4096.offset(Lba::new(u64::MAX)), None);
    }

    #[test]
    fn a_sector_begins_only_at_its_own_multiple() {
        assert_eq!(SectorSize::B512.lba(Bytes::new(512 * 7)), Some(Lba::new(7)));
        assert_eq!(SectorSize::B4096.lba(Bytes::new(512 * 7)), None);
        assert_eq!(SectorSize::B4096.lba(Bytes::MIB), Some(Lba::new(256)));
        assert_eq!(SectorSize::B4096.sectors_in(Bytes::new(4095)), 0);
        assert_eq!(SectorSize::B4096.offset(Lba::new(256)), Some(Bytes::MIB));
    }

    #[test]
    fn only_two_sector_sizes_exist() {
        assert_eq!(SectorSize::try_from(512), Ok(SectorSize::B512));
        assert_eq!(SectorSize::try_from(4096), Ok(SectorSize::B4096));
        for other in [0, 1, 520, 2048, 8192] {
            assert_eq!(
                SectorSize::try_from(other),
                Err(UnsupportedSectorSize(other))
            );
        }
    }

    #[test]
    fn a_size_reads_as_whole_mebibytes_or_as_exact_bytes() {
        assert_eq!(Bytes::mib(256).to_string(), "256 MiB");
        assert_eq!(Bytes::new(513).to_string(), "513 bytes");
        assert_eq!(format!("{:>8}", Bytes::MIB), "   1 MiB");
    }
}
