//! One program from its start to its end.
//!
//! What a program reads and writes are files in memory, never pipes: a pipe ends only when the last process that holds
//! it ends, and a daemon that a program leaves behind would hold up whoever waits for the program itself.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::argv::tail;
use crate::{Argv, CommandFailed, Output};

/// Where programs are looked up; never the caller's `PATH`, which an operator may have changed.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How many lines of a failed program's output go into its error.
const TAIL_LINES: usize = 6;

/// How often is looked whether a program with a time limit has ended: first soon, then less often.
const POLL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Runs a program to its end; see [`crate::Host::run`].
pub(crate) fn run(argv: &Argv) -> Result<Output> {
    let name = argv.program.to_string_lossy().into_owned();
    let prepare =
        || -> io::Result<_> { Ok((memory(c"stdout")?, memory(c"stderr")?, input(argv)?)) };
    let (stdout, stderr, stdin) =
        prepare().with_context(|| format!("making room for the output of {name}"))?;
    let mut child =
        start(argv, stdin, &stdout, &stderr).with_context(|| format!("starting {name}"))?;
    let (status, timed_out) =
        wait(&mut child, argv.time_limit).with_context(|| format!("waiting for {name}"))?;
    let output = Output {
        stdout: written(stdout)?,
        stderr: written(stderr)?,
    };
    if status.success() && !timed_out {
        return Ok(output);
    }
    let said = if output.stderr.trim().is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    let limit = argv.time_limit.filter(|_| timed_out);
    Err(CommandFailed {
        program: name,
        exit: status.code(),
        status: in_words(status, limit),
        timed_out,
        tail: tail(said, TAIL_LINES),
    }
    .into())
}

fn start(argv: &Argv, stdin: Stdio, stdout: &File, stderr: &File) -> io::Result<Child> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the door through which programs are started"
    )]
    let mut command = Command::new(&argv.program);
    if argv.time_limit.is_some() {
        // A group of its own can be killed whole, and nobody else with it.
        command.process_group(0);
    }
    command
        .args(&argv.args)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .envs(argv.env.iter().map(|(key, value)| (key, value)))
        .current_dir(argv.directory.as_deref().unwrap_or(Path::new("/")))
        .stdin(stdin)
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()
}

/// Waits for the program itself, not for what it leaves behind; says whether its time was up.
fn wait(child: &mut Child, limit: Option<Duration>) -> io::Result<(ExitStatus, bool)> {
    let Some(limit) = limit else {
        return Ok((child.wait()?, false));
    };
    let start = Instant::now();
    let (mut pause, longest) = POLL;
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok((status, false));
        }
        sleep(pause.min(limit.saturating_sub(start.elapsed())));
        pause = (pause * 2).min(longest);
    }
    // Not waited for yet, so its number cannot belong to anyone else.
    let group = i32::try_from(child.id()).map_err(io::Error::other)?;
    if killpg(Pid::from_raw(group), Signal::SIGKILL).is_err() {
        child.kill()?;
    }
    Ok((child.wait()?, true))
}

/// A file in memory, without a name and gone with its last user. Writers append, so that several do not overwrite one
/// another.
fn memory(name: &CStr) -> io::Result<File> {
    let made = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    fcntl(&made, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(File::from(made))
}

fn input(argv: &Argv) -> io::Result<Stdio> {
    let Some(bytes) = &argv.stdin else {
        return Ok(Stdio::null());
    };
    let mut file = memory(c"stdin")?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// What was written up to now. Whoever was left behind and writes on gets an error instead of filling the memory.
fn written(mut file: File) -> Result<String> {
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW)).context("sealing an output")?;
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .context("reading an output")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn in_words(status: ExitStatus, limit: Option<Duration>) -> String {
    if let Some(limit) = limit {
        return format!("killed after its {} s", limit.as_secs_f32());
    }
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended for an unknown reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Argv {
        Argv::new("/bin/sh").args(["-c", text])
    }

    fn failed(argv: &Argv) -> CommandFailed {
        run(argv).unwrap_err().downcast().unwrap()
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_its_last_words() {
        let argv = Argv::new("ls").arg("/no/such/place");
        let error = run(&argv).unwrap_err();
        let failed = error.downcast_ref::<CommandFailed>().unwrap();
        assert_eq!(failed.status, "exit status 2");
        assert!(failed.tail.contains("/no/such/place"), "{}", failed.tail);
    }

    #[test]
    fn a_program_sees_only_the_environment_it_was_given() {
        let said = run(&Argv::new("env").env("ONE", "1")).unwrap().stdout;
        let mut names: Vec<&str> = said
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["LC_ALL", "ONE", "PATH"]);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&Argv::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"));
    }

    #[test]
    fn a_program_reads_what_it_is_given_and_nothing_otherwise() {
        let long = "line\n".repeat(100_000);
        let said = run(&Argv::new("cat").stdin(long.clone())).unwrap();
        assert!(said.stdout == long, "{} bytes", said.stdout.len());
        assert_eq!(run(&Argv::new("cat")).unwrap().stdout, "");
    }

    #[test]
    fn what_a_program_leaves_behind_is_not_waited_for_and_lives_on() {
        let start = Instant::now();
        let said = run(&shell("sleep 60 & echo $!")).unwrap().stdout;
        assert!(start.elapsed() < Duration::from_secs(30));
        let left = Pid::from_raw(said.trim().parse().unwrap());
        // It can be ended, so it was there.
        nix::sys::signal::kill(left, Signal::SIGKILL).unwrap();
    }

    #[test]
    fn what_is_left_behind_cannot_fill_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("said");
        let argv = Argv::new("/bin/sh")
            .args(["-c", "{ sleep 0.3; echo late || echo refused >said; } &"])
            .directory(folder.path());
        assert_eq!(run(&argv).unwrap(), Output::default());
        let start = Instant::now();
        while !file.exists() && start.elapsed() < Duration::from_secs(30) {
            sleep(POLL.1);
        }
        assert_eq!(std::fs::read_to_string(file).unwrap(), "refused\n");
    }

    #[test]
    fn a_program_over_its_time_is_killed_with_all_that_it_started() {
        let start = Instant::now();
        let argv = shell("sleep 60 & echo $! >&2; wait").time_limit(Duration::from_millis(500));
        let failed = failed(&argv);
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(failed.timed_out, "{failed}");
        assert_eq!(failed.status, "killed after its 0.5 s");
        let child = format!("/proc/{}/stat", failed.tail);
        let gone = || {
            let stat = std::fs::read_to_string(&child).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        while !gone() && start.elapsed() < Duration::from_secs(30) {
            sleep(POLL.1);
        }
        assert!(gone(), "the child of the shell is still there");
    }

    #[test]
    fn a_program_within_its_time_ends_as_it_wishes() {
        let argv = shell("echo out; echo err >&2; exit 3").time_limit(Duration::from_mins(1));
        let failed = failed(&argv);
        assert_eq!(
            (
                failed.status.as_str(),
                failed.timed_out,
                failed.tail.as_str()
            ),
            ("exit status 3", false, "err")
        );
    }
}
