//! Refuse first: what can fail without writing is tried before the first write.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host::Host;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::{major, minor};

use crate::apply::TOOLS;
use crate::code::{Code, Trouble};
use crate::machine::{self, Disk};

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
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| {
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let owner = file.metadata().ok().and_then(|facts| {
            let place = (major(facts.dev()), minor(facts.dev()), facts.ino());
            lock_owner(&locks, place)
        });
        let owner = owner.map_or(errno.to_string(), |pid| format!("process {pid}"));
        Trouble::new(
            Code::DiskBusy,
            format!("{disk} is locked by another program ({owner})"),
        )
        .into()
    })
}

/// Who holds a lock of the whole file with this device and inode, by the lines of `/proc/locks` (proc(5)):
/// `1: FLOCK  ADVISORY  WRITE 1234 00:1a:5678 0 EOF`, major and minor in hexadecimal.
fn lock_owner(locks: &str, (major, minor, inode): (u64, u64, u64)) -> Option<u32> {
    let place = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // A program that waits for the lock has an arrow in front, which moves its words by one.
        let [_, "FLOCK", _, _, pid, found, ..] = words.as_slice() else {
            return None;
        };
        (*found == place).then(|| pid.parse().ok())?
    })
}

/// Refuses a disk that is no longer the one that was chosen: between the choice and now, a name may have gone to another
/// drive, and another program may have written to it. From here on it is held.
pub fn unchanged(chosen: &Disk, held: &File, host: &mut impl Host) -> Result<()> {
    let changed = |what: &str| Trouble::new(Code::DiskChanged, format!("{chosen}: {what}"));
    let facts = held.metadata().context("looking at the disk again")?;
    let mut now = if facts.file_type().is_block_device() {
        let number = (major(facts.rdev()), minor(facts.rdev()));
        let folder = chosen.path.parent().unwrap_or(Path::new("/dev"));
        machine::read_device(Path::new("/sys"), folder, number)?
    } else {
        let named = std::fs::metadata(&chosen.path)
            .map_err(|error| changed(&format!("it is gone ({error})")))?;
        if (named.dev(), named.ino()) != (facts.dev(), facts.ino()) {
            return Err(changed("another file has its name now").into());
        }
        machine::image_file(&chosen.path)?
    };
    let identity = |disk: &Disk| {
        let Disk {
            name,
            size,
            sector,
            model,
            serial,
            wwn,
            ..
        } = disk.clone();
        (name, size, sector, model, serial, wwn)
    };
    if identity(&now) != identity(chosen) {
        return Err(changed(&format!("it is {now} now")).into());
    }
    now.path.clone_from(&chosen.path);
    now.look(host);
    if now.contents != chosen.contents {
        let holds = now.contents.map(|contents| contents.to_string());
        let holds = holds.unwrap_or_default();
        return Err(changed(&format!("what is on it changed, it holds {holds} now")).into());
    }
    Ok(())
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
            "not found: blkid, losetup, mcopy, mkfs.vfat, mmd, mren"
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
    fn fault_18_the_initramfs_has_nothing_that_activates_lvm_raid_or_pools_by_itself() {
        let module = include_str!(
            "../../dracut-module/rootfs/usr/lib/dracut/modules.d/28landfall/module-setup.sh"
        );
        let rules: Vec<&str> = module
            .split_whitespace()
            .filter(|word| {
                Path::new(word)
                    .extension()
                    .is_some_and(|end| end == "rules")
            })
            .collect();
        // Each of these only names devices, loads drivers or tells systemd of them.
        let harmless = [
            "50-udev-default.rules",
            "60-block.rules",
            "60-cdrom_id.rules",
            "60-persistent-storage.rules",
            "73-special-net-names.rules",
            "75-net-description.rules",
            "80-net-setup-link.rules",
            "80-drivers.rules",
            "99-systemd.rules",
        ];
        assert!(rules.len() > 3, "{rules:?}");
        for rule in rules {
            assert!(harmless.contains(&rule), "{rule} may activate something");
        }
        let depends = module.split("depends() {").nth(1).unwrap();
        assert_eq!(
            depends.split('}').next().unwrap().trim(),
            "echo systemd-initrd"
        );
        for word in module.split(|c: char| c.is_whitespace() || "(){},\"'".contains(c)) {
            let name = word.rsplit('/').next().unwrap_or_default();
            let activates = [
                "lvm",
                "vgchange",
                "mdadm",
                "md-mod",
                "raid1",
                "multipathd",
                "zpool",
                "zfs",
                "cryptsetup",
                "blkdeactivate",
            ];
            assert!(!activates.contains(&name), "{word} activates something");
        }
    }

    #[test]
    fn fault_26_the_holder_of_a_lock_is_found_by_device_and_inode() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 00:1a:99 0 EOF\n2: FLOCK  ADVISORY  WRITE 4242 00:1a:99 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 77 00:1a:99 0 EOF\n3: FLOCK  ADVISORY  READ 5 08:01:7 0 EOF\n";
        assert_eq!(lock_owner(locks, (0, 0x1a, 99)), Some(4242));
        assert_eq!(lock_owner(locks, (8, 1, 7)), Some(5));
        assert_eq!(lock_owner(locks, (8, 1, 8)), None);
    }

    #[test]
    fn fault_26_a_second_installer_does_not_get_the_disk() {
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
