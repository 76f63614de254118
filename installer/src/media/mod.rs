//! Makes install media, once, where the ISO is built and not on thousands of edge sites.
//!
//! ```text
//! provider root --payload--> build/payload --iso--> installer.iso
//! ```
//!
//! The same inputs, `epoch` and tool versions give the same bytes: no clock, no random number and no
//! order of a directory gets into a medium.

mod boot_files;
mod head;
mod iso;
mod menu;
mod payload;
mod provider_root;
mod scratch;

#[cfg(test)]
mod tests;

pub use iso::{Iso, IsoOptions, build_iso};
pub use payload::{PayloadOptions, build_payload};
pub use provider_root::ProviderRoot;

/// What is being done, for a screen or a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A new step begins.
    Step(&'a str),
    /// The step that began last has done so many bytes.
    Bytes {
        /// Bytes done.
        done: u64,
        /// Bytes in total.
        total: u64,
    },
}
