//! Refuse first: what can fail without writing is tried before the first write.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::apply::TOOLS;
use crate::code::{Code, Trouble};
use crate::machine::Disk;

/// Folders where programs are looked up; the same ones the door uses.
const PROGRAM_FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Refuses when a program is missing that a step runs.
pub fn tools_present(root: &Path) -> Result<(), Trouble> {
    let there = |tool: &str| {
        PROGRAM_FOLDERS
            .iter()
            .any(|folder| root.join(&folder[1..]).join(tool).exists())
    };
    let missing: Vec<&str> = TOOLS.into_iter().filter(|tool| !there(tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Trouble::new(
        Code::ToolMissing,
        format!("not found: {}", missing.join(", ")),
    ))
}

/// The disk, held so that nobody else uses it while this lives.
///
/// `O_EXCL` on a block device fails while a file system of it is mounted; the lock keeps a second installer away, and
/// udev from probing a disk that is being written.
pub fn hold(disk: &Disk) -> Result<Flock<File>> {
    let path = &disk.path;
    let facts = std::fs::metadata(path).map_err(|error| {
        Trouble::new(Code::DiskNotFound, format!("{}: {error}", path.display()))
    })?;
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if facts.file_type().is_block_device() {
        options.custom_flags(OFlag::O_EXCL.bits());
        if let Some(holder) = holder(Path::new("/sys"), &disk.name) {
            return Err(Trouble::new(Code::DiskBusy, format!("{disk} is held by {holder}")).into());
        }
    }
    let file = options.open(path).map_err(|error| {
        let code = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EBUSY) => Code::DiskBusy,
            Some(Errno::EROFS | Errno::EPERM | Errno::EACCES) => Code::DiskReadOnly,
            _ => Code::DiskNotFound,
        };
        Trouble::new(code, format!("{disk}: {error}"))
    })?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        Trouble::new(
            Code::DiskBusy,
            format!("{disk} is locked by another program ({errno})"),
        )
        .into()
    })
}

/// A device mapper or MD device that stands on the disk or on one of its partitions.
fn holder(sys: &Path, name: &str) -> Option<String> {
    let disk = sys.join("class/block").join(name);
    let mut places: Vec<PathBuf> = vec![disk.join("holders")];
    let parts = std::fs::read_dir(&disk).into_iter().flatten().flatten();
    places.extend(parts.map(|part| part.path().join("holders")));
    places.into_iter().find_map(|place| {
        let first = std::fs::read_dir(place).ok()?.flatten().next()?;
        Some(first.file_name().to_string_lossy().into_owned())
    })
}

/// A fresh folder for mount points.
pub fn work_folder() -> Result<PathBuf> {
    let path = Path::new("/run/landfall").join(format!("install.{}", std::process::id()));
    std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::image_file;

    #[test]
    fn every_tool_that_is_missing_is_named_at_once() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("usr/sbin")).unwrap();
        File::create(root.path().join("usr/sbin/mke2fs")).unwrap();
        let trouble = tools_present(root.path()).unwrap_err();
        assert_eq!(
            trouble.reason,
            "not found: losetup, mcopy, mkfs.vfat, mmd, mren"
        );
    }

    #[test]
    fn the_dracut_module_installs_every_tool() {
        let module = include_str!(
            "../../dracut-module/rootfs/usr/lib/dracut/modules.d/28landfall/module-setup.sh"
        );
        let words: Vec<&str> = module
            .split(|c: char| c.is_whitespace() || "()\"'".contains(c))
            .collect();
        for tool in TOOLS {
            assert!(
                words.contains(&tool),
                "module-setup.sh does not install {tool}"
            );
        }
    }

    #[test]
    fn a_second_installer_does_not_get_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        let disk = image_file(&path).unwrap();
        let _first = hold(&disk).unwrap();
        let error = hold(&disk).unwrap_err();
        assert_eq!(crate::code::find(&error).unwrap().code, Code::DiskBusy);
    }

    #[test]
    fn what_stands_on_a_partition_of_the_disk_is_named() {
        let sys = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(sys.path().join("class/block/sda/sda2/holders/dm-0")).unwrap();
        assert_eq!(holder(sys.path(), "sda").as_deref(), Some("dm-0"));
        assert_eq!(holder(sys.path(), "sdb"), None);
    }
}
