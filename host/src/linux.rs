//! The real machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sys_mount::{MountFlags, UnmountFlags};

use crate::{Argv, Host, LoopRequest, Mount, Output, process};

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
        sys_mount::unmount(at, UnmountFlags::empty())
            .with_context(|| format!("unmounting {}", at.display()))
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
        let said = self.run(&argv.arg(&request.file))?.stdout;
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
