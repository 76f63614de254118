//! Where things are while the root is assembled.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The places that the assembly reads and writes, under one prefix so that tests use a temporary tree.
#[derive(Debug, Clone)]
pub struct Paths {
    /// `/` of the initramfs.
    pub prefix: PathBuf,
    /// How long a disk may take to appear.
    pub wait: Duration,
    /// How long the partitions beside the state partition may take after it.
    pub wait_siblings: Duration,
}

impl Default for Paths {
    /// The real machine: 30 s for the disk (slow RAID controllers, USB), 5 s for its other partitions.
    fn default() -> Self {
        Self {
            prefix: "/".into(),
            wait: Duration::from_secs(30),
            wait_siblings: Duration::from_secs(5),
        }
    }
}

impl Paths {
    /// `path` (absolute, as the initramfs sees it) under the prefix.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.prefix.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// `path` (absolute, as the booted system sees it) under the new root.
    pub fn in_root(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.new_root().join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The root that the kernel switches to.
    pub fn new_root(&self) -> PathBuf {
        self.at("/sysroot")
    }

    /// The state partition, read-only; the place is a contract with `kairos-agent`.
    pub fn state(&self) -> PathBuf {
        self.at("/run/initramfs/cos-state")
    }

    /// The root of the chosen image.
    pub fn image(&self) -> PathBuf {
        self.at("/run/landfall/image")
    }

    /// The layer with the directories that the image lacks.
    pub fn extra(&self) -> PathBuf {
        self.at("/run/landfall/extra")
    }

    /// The OEM partition until the root is there.
    pub fn oem(&self) -> PathBuf {
        self.at("/run/landfall/oem")
    }

    /// A path of the assembly as the booted system sees it: `/run` moves along, the new root becomes `/`.
    pub fn as_booted(&self, path: &Path) -> PathBuf {
        let root = Path::new("/");
        if let Ok(inside) = path.strip_prefix(self.new_root()) {
            return root.join(inside);
        }
        path.strip_prefix(&self.prefix)
            .map_or_else(|_| path.to_owned(), |inside| root.join(inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_assembly_is_told_as_the_booted_system_sees_it() {
        let paths = Paths::default();
        let table = [
            ("/sysroot", "/"),
            ("/sysroot/usr/local", "/usr/local"),
            ("/run/overlay/etc", "/run/overlay/etc"),
            ("/dev/vda3", "/dev/vda3"),
            ("tmpfs", "tmpfs"),
        ];
        for (path, expected) in table {
            assert_eq!(paths.as_booted(Path::new(path)), Path::new(expected));
        }
    }
}
