//! The real machine.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use sys_mount::{MountFlags, UnmountFlags};

use crate::argv::tail;
use crate::{Argv, CommandFailed, Host, LoopRequest, Mount, Output};

/// Where programs are looked up; never the caller's `PATH`, which an operator may have changed.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How many lines of a failed program's output go into its error.
const TAIL_LINES: usize = 6;

/// The machine this program runs on.
#[derive(Debug, Default, Clone, Copy)]
pub struct Linux;

impl Host for Linux {
    fn run(&mut self, argv: &Argv) -> Result<Output> {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the door through which programs are started"
        )]
        let mut command = Command::new(&argv.program);
        let output = command
            .args(&argv.args)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .envs(argv.env.iter().map(|(key, value)| (key, value)))
            .current_dir(argv.directory.as_deref().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("starting {}", argv.program.to_string_lossy()))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return Ok(Output { stdout, stderr });
        }
        let said = if stderr.trim().is_empty() {
            &stdout
        } else {
            &stderr
        };
        Err(CommandFailed {
            program: argv.program.to_string_lossy().into_owned(),
            status: in_words(output.status),
            tail: tail(said, TAIL_LINES),
        }
        .into())
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

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended for an unknown reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_an_error_with_its_last_words() {
        let argv = Argv::new("ls").arg("/no/such/place");
        let error = Linux.run(&argv).unwrap_err();
        let failed = error.downcast_ref::<CommandFailed>().unwrap();
        assert_eq!(failed.status, "exit status 2");
        assert!(failed.tail.contains("/no/such/place"), "{}", failed.tail);
    }

    #[test]
    fn a_program_sees_only_the_environment_it_was_given() {
        let said = Linux.run(&Argv::new("env").env("ONE", "1")).unwrap().stdout;
        let mut names: Vec<&str> = said
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["LC_ALL", "ONE", "PATH"]);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Linux.run(&Argv::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"));
    }
}
