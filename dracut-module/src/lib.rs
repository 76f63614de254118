//! Assembles the root file system in the initramfs and runs stages.
//!
//! ```text
//! facts (command line, sysfs, footers, /oem) -> RootPlan -> apply -> Report
//! ```
//!
//! The root is the chosen image's EROFS, read-only, under a thin read-only layer with the directories that the image
//! lacks. Over it lie overlays that a reboot empties and bind mounts that persist. Whatever the system can live
//! without may fail: it is written down and the boot goes on, because a machine that comes up and complains can be
//! repaired from afar.
//!
//! The crate knows nothing of installing or of screens. Mounts and programs go through [`host::Host`], documents that a
//! step wants through [`fetch`].

mod apply;
mod assemble;
pub mod cidata;
pub mod cmdline;
pub mod error;
pub mod find;
mod fstab;
mod identity;
mod kernel_log;
pub mod layout;
mod password;
pub mod paths;
pub mod plan;
pub mod report;
mod seed;
pub mod slots;
pub mod stage;
mod survey;
mod table;
#[cfg(test)]
mod testing;
pub mod turn;
pub mod twins;
#[cfg(test)]
mod units_tests;
pub mod visit;
mod within;

pub use assemble::assemble;
pub use error::BootError;
pub use password::{hash_password, system_random};
pub use paths::Paths;
pub use report::Report;
pub use survey::{Attributes, Place, Survey};
