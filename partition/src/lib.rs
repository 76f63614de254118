//! Disk layout arithmetic and partition tables: no Linux, no user-data, no logging.
//!
//! [`Wanted`] and a [`Geometry`] make a [`Layout`], or a [`LayoutError`] that says what does not fit. [`write_gpt`] and
//! [`write_mbr`] encode a layout on anything that reads, writes and seeks; [`read_back`] says what is really there.
//! [`embed_bios`] prepares GRUB for BIOS.
//!
//! What always holds of a [`Layout`], however it was made:
//! - partitions are numbered 1.. without gaps, in the order in which they lie on the disk;
//! - each begins and ends at a whole MiB, so that 512- and 4096-byte sectors and all filesystems are content;
//! - none overlaps another, the tables or their backup at the end;
//! - names, labels and GUIDs are unique and fit; the names and labels of the system are those of the Kairos contract;
//! - the last partition takes what the others leave.
//!
//! The same input, including the injected GUIDs, gives the same layout and the same bytes.
#![warn(clippy::arithmetic_side_effects)]

mod bios;
mod check;
mod edit;
mod ends;
mod known;
mod layout;
mod mbr;
mod read;
mod role;
mod room;
mod survey;
mod table;
mod units;
mod wanted;
mod wipe;

pub use bios::{BiosBoot, BiosError, bios_area, embed_bios};
pub use check::LayoutError;
pub use edit::{Added, Edit, EditError};
pub use known::NotOurs;
pub use layout::{Geometry, Layout, Partition, Table};
pub use mbr::{mbr_sector, write_mbr};
pub use read::{ReadPartition, ReadTable, read_back};
pub use role::{Filesystem, Role, UnknownFilesystem};
pub use room::NoRoom;
pub use survey::{Survey, survey};
pub use table::{BootCode, TableError, protective_mbr, write_gpt};
pub use units::{Bytes, Lba, SectorSize, UnsupportedSectorSize};
pub use wanted::{Extra, Note, Wanted};
pub use wipe::{ByteRange, wipe_ranges};
