//! The real machine.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sys_mount::{MountFlags, UnmountFlags};

use crate::{Argv, CommandFailed, Host, LoopRequest, Mount, Output, process};

/// How long a mount may be busy. A loop device over a file in it that was given back is kept by the kernel until everybody
/// who looked at it has closed it, and udev and blkid look at devices when it suits them.
const BUSY: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(50);

/// The machine this program runs on.
#[derive(Debug, Default, Clone, Copy)]
pub struct Linux;

impl Host for Linux {
    fn run(&mut self, argv: &Argv) -> Result<Output> {
        process::run(argv)
    }

    fn mount(&mut self, mount: &Mount) -> Result<()> {
        let mut flags = MountFlags::empty();
        if mount.bind {
            flags |= MountFlags::BIND;
        }
        if mount.read_only && !mount.bind {
            flags |= MountFlags::RDONLY;
        }
        let builder = sys_mount::Mount::builder().flags(flags);
        let builder = if mount.options.is_empty() {
            builder
        } else {
            builder.data(&mount.options)
        };
        let builder = if mount.bind {
            builder
        } else {
            builder.fstype(mount.fstype.as_str())
        };
        builder
            .mount(&mount.source, &mount.target)
            .with_context(|| mount.to_string())?;
        if mount.bind && mount.read_only {
            // The kernel ignores MS_RDONLY in the call that makes the bind mount.
            sys_mount::Mount::builder()
                .flags(MountFlags::BIND | MountFlags::REMOUNT | MountFlags::RDONLY)
                .mount(&mount.source, &mount.target)
                .with_context(|| format!("{mount}, second step"))?;
        }
        Ok(())
    }

    fn unmount(&mut self, at: &Path) -> Result<()> {
        let until = Instant::now() + BUSY;
        let unmounted = loop {
            match sys_mount::unmount(at, UnmountFlags::empty()) {
                Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < until => {
                    std::thread::sleep(PAUSE);
                }
                end => break end,
            }
        };
        unmounted.with_context(|| format!("unmounting {}", at.display()))
    }

    fn attach_loop(&mut self, request: &LoopRequest) -> Result<PathBuf> {
        let mut argv = Argv::new("losetup")
            .args(["--find", "--show"])
            .arg("--offset")
            .arg(request.offset.to_string());
        if let Some(size) = request.size {
            argv = argv.arg("--sizelimit").arg(size.to_string());
        }
        if let Some(sector) = request.sector_size {
            argv = argv.arg("--sector-size").arg(sector.to_string());
        }
        if request.read_only {
            argv = argv.arg("--read-only");
        }
        // Past the page cache of what lies beneath: what is read back through the loop must come from the disk. Some
        // file systems and sector sizes refuse it; most kernels then fall back by themselves, losetup may not.
        let direct = argv.clone().arg("--direct-io=on").arg(&request.file);
        let said = match self.run(&direct) {
            Err(error) if error.is::<CommandFailed>() => self.run(&argv.arg(&request.file))?,
            result => result?,
        };
        let said = said.stdout;
        let device = PathBuf::from(said.trim());
        ensure!(
            device.is_absolute(),
            "losetup named no device for {}",
            request.file.display()
        );
        Ok(device)
    }

    fn detach_loop(&mut self, device: &Path) -> Result<()> {
        self.run(&Argv::new("losetup").arg("--detach").arg(device))
            .map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attach(folder: &Path) -> (String, String) {
        let file = tempfile::NamedTempFile::new_in(folder).unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        let request = LoopRequest {
            file: file.path().to_owned(),
            offset: 1 << 20,
            size: Some(1 << 20),
            read_only: false,
            sector_size: None,
        };
        let device = Linux.attach_loop(&request).unwrap();
        let read = |name: &str| {
            let folder = Path::new("/sys/class/block").join(device.file_name().unwrap());
            std::fs::read_to_string(folder.join(name)).unwrap()
        };
        let facts = (read("loop/dio"), read("loop/offset"));
        Linux.detach_loop(&device).unwrap();
        facts
    }

    #[test]
    fn root_a_mount_that_somebody_else_still_looks_at_is_unmounted_when_they_are_done() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        Linux.mount(&Mount::new("tmpfs", at, "tmpfs")).unwrap();
        let looked_at = std::fs::File::create(at.join("file")).unwrap();
        let busy = sys_mount::unmount(at, UnmountFlags::empty()).unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(looked_at);
        });
        Linux.unmount(at).unwrap();
        assert!(!at.join("file").exists());
        other.join().unwrap();
    }

    #[test]
    fn root_a_loop_over_a_file_on_a_disk_bypasses_the_page_cache_beneath() {
        // The folder of the build: a real file system, where /tmp may be memory.
        let folder = std::env::current_exe().unwrap();
        let (direct, offset) = attach(folder.parent().unwrap());
        assert_eq!((direct.trim(), offset.trim()), ("1", "1048576"));
    }

    #[test]
    fn root_a_loop_over_memory_is_attached_whether_or_not_it_can_be_direct() {
        let (_, offset) = attach(Path::new("/dev/shm"));
        assert_eq!(offset.trim(), "1048576");
    }
}
