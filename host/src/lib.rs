//! The one door to the system.
//!
//! Everything Landfall asks of the machine beyond reading and writing files goes through [`Host`]: programs,
//! mounts, loop devices. Whoever reads this crate knows all the ways in which Landfall can change a machine; whoever
//! tests a room above it puts a [`Recorder`] in its place and lets the n-th request fail.
//!
//! The door decides nothing: it does not know why something is mounted, and it never retries.

mod argv;
pub mod files;
mod linux;
mod process;
mod recorder;

use std::path::{Path, PathBuf};

use anyhow::Result;

pub use argv::{Argv, CommandFailed, Output};
pub use linux::Linux;
pub use recorder::Recorder;

/// Everything Landfall asks of the machine beyond reading and writing files.
pub trait Host {
    /// Runs a program to its end, or to that of its time. A non-zero exit is an error ([`CommandFailed`]) that carries
    /// the tail of its output. Processes that it leaves behind are not waited for.
    fn run(&mut self, argv: &Argv) -> Result<Output>;

    /// Mounts a file system. The target must exist.
    fn mount(&mut self, mount: &Mount) -> Result<()>;

    /// Unmounts what is mounted at `at`; never lazily, so that an error is seen.
    fn unmount(&mut self, at: &Path) -> Result<()>;

    /// Makes a loop device over a part of a file or of a block device and returns its node.
    ///
    /// Landfall reaches partitions this way: it needs neither the kernel's partition scan nor udev, and the same
    /// code serves a disk and an image file.
    fn attach_loop(&mut self, request: &LoopRequest) -> Result<PathBuf>;

    /// Removes a loop device.
    fn detach_loop(&mut self, device: &Path) -> Result<()>;
}

/// What to mount, where and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Device, directory (for a bind mount) or any word (for `tmpfs` and `overlay`).
    pub source: PathBuf,
    /// Mount point.
    pub target: PathBuf,
    /// File system type; empty for a bind mount.
    pub fstype: String,
    /// Mounts an existing directory a second time (`MS_BIND`).
    pub bind: bool,
    /// Read-only.
    pub read_only: bool,
    /// Options for the file system itself (the `data` argument of mount(2)), comma-separated.
    pub options: String,
}

impl Mount {
    /// A file system of type `fstype`, read-write.
    pub fn new(source: impl Into<PathBuf>, target: impl Into<PathBuf>, fstype: &str) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            fstype: fstype.to_owned(),
            bind: false,
            read_only: false,
            options: String::new(),
        }
    }

    /// A bind mount of a directory.
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self {
            bind: true,
            ..Self::new(source, target, "")
        }
    }

    /// The same, read-only.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The same, with options for the file system.
    #[must_use]
    pub fn options(mut self, options: impl Into<String>) -> Self {
        self.options = options.into();
        self
    }
}

impl std::fmt::Display for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.bind { "bind" } else { &self.fstype };
        let mode = if self.read_only { "ro" } else { "rw" };
        write!(
            f,
            "mount {} on {} ({kind}, {mode})",
            self.source.display(),
            self.target.display()
        )
    }
}

/// A loop device over a part of a file or block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopRequest {
    /// The file or block device beneath.
    pub file: PathBuf,
    /// First byte; a multiple of the sector size.
    pub offset: u64,
    /// Length in bytes; `None` for all that follows.
    pub size: Option<u64>,
    /// Refuses writes.
    pub read_only: bool,
    /// Logical sector size of the new device in bytes (512 or 4096); `None` for the kernel's default.
    pub sector_size: Option<u32>,
}
