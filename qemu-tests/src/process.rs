//! A child process that cannot outlive its owner, nor its time.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::door;

/// Exit status of `timeout` when the limit was reached.
pub(crate) const LIMIT_REACHED: i32 = 124;

/// A program in a process group of its own, killed with everything it started when this value is dropped.
///
/// Dropping does not happen when the owner itself is killed, so two more nets are below: `setpriv --pdeathsig` has the
/// kernel kill the child with its parent, and `timeout` ends it in any case.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `program` with standard output and error going to the file `log`.
    pub(crate) fn start(
        program: &str,
        arguments: &[String],
        limit: Duration,
        log: &Path,
    ) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("making {}", log.display()))?;
        let err = out
            .try_clone()
            .with_context(|| format!("opening {}", log.display()))?;
        let mut command = door::command("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "timeout", "--kill-after=5"])
            .arg(limit.as_secs().to_string())
            .args(["setpriv", "--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .stdout(out)
            .stderr(err)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("starting {program} (see qemu-tests/packages.txt)"))?;
        Ok(Self { child })
    }

    /// How it ended, or `None` while it runs.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("asking for the exit status")
    }

    /// The process id of `timeout`, which is the id of the group as well.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the group and waits for its end. Harmless if it has ended already.
    pub(crate) fn kill(&mut self) {
        if let Ok(None) = self.child.try_wait()
            && let Ok(group) = i32::try_from(self.child.id())
        {
            // It may have ended between the question and the signal; then there is nobody to kill, which is what we want.
            killpg(Pid::from_raw(group), Signal::SIGKILL).ok();
            drop(self.child.wait());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::wait_until;

    fn sleeper(limit: u64, folder: &Path) -> Process {
        Process::start(
            "sleep",
            &["600".to_owned()],
            Duration::from_secs(limit),
            &folder.join("log"),
        )
        .unwrap()
    }

    /// The state letter of `/proc/PID/stat`'s processes in group `group`, without zombies.
    fn alive_in_group(group: u32) -> usize {
        let mut count = 0;
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            let Some((_, rest)) = stat.rsplit_once(") ") else {
                continue;
            };
            let fields: Vec<&str> = rest.split(' ').collect();
            if fields[0] != "Z" && fields[2] == group.to_string() {
                count += 1;
            }
        }
        count
    }

    #[test]
    fn dropping_kills_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let process = sleeper(60, folder.path());
        let group = process.id();
        // timeout and sleep.
        wait_until(Duration::from_secs(20), "both processes", || {
            Ok((alive_in_group(group) == 2).then_some(()))
        })
        .unwrap();
        drop(process);
        wait_until(Duration::from_secs(20), "an empty group", || {
            Ok((alive_in_group(group) == 0).then_some(()))
        })
        .unwrap();
    }

    #[test]
    fn the_limit_ends_it_with_a_status_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = sleeper(1, folder.path());
        let status = wait_until(Duration::from_secs(20), "the limit", || process.status()).unwrap();
        assert_eq!(status.code(), Some(LIMIT_REACHED));
    }
}
