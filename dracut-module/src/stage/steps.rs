//! Carries out one step, part by part, in the order of `reference/kairos.md` 4.

use std::path::Path;

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use host::{Argv, CommandFailed, Host};
use userdata::Step;

use super::{StageReport, StepOutcome, files, keys, users};

/// How long one command or condition may take. The boot waits for it; what takes longer belongs into a unit.
pub const TIME_LIMIT: Duration = Duration::from_mins(10);

/// Reads the operator's text from standard input and carries it out with an empty one, so that no command reads the
/// rest of the script. As an argument everybody could read the text in `/proc`.
const SOURCE_STDIN: &str = "exec 3<&0 </dev/null; . /proc/self/fd/3";

/// Carries out a step if its conditions hold. A part that fails ends neither the step nor the stage.
pub(super) fn carry_out(
    stage: &str,
    file: &Path,
    step: &Step,
    host: &mut impl Host,
    report: &mut StageReport,
) {
    let name = step
        .name
        .clone()
        .unwrap_or_else(|| format!("line {}", step.line));
    let mut note = |field: &str, part: Part| {
        report.push(StepOutcome {
            stage: stage.to_owned(),
            file: file.to_owned(),
            step: name.clone(),
            field: field.to_owned(),
            error: part.error,
            output: part.output,
        });
    };
    match holds(step, host) {
        Ok(true) => {}
        Ok(false) => {
            let told = Ok("does not hold; the step is passed over".to_owned());
            return note("if", told.into());
        }
        Err(error) => return note("if", Err(error).into()),
    }
    for key in &step.not_carried_out {
        note(key, Err(anyhow!("not carried out by this version")).into());
    }
    for directory in &step.directories {
        note("directories", files::make_directory(directory).into());
    }
    for wanted in &step.files {
        note("files", files::write_file(wanted).into());
    }
    for (text, number) in step.commands.iter().zip(1..) {
        note("commands", command(text, number, step.line, host));
    }
    if let Some(hostname) = &step.hostname {
        note("hostname", set_hostname(hostname).into());
    }
    for user in &step.users {
        note("users", users::ensure(user).into());
    }
    for (user, lines) in &step.authorized_keys {
        note("authorized_keys", keys::add(user, lines).into());
    }
    if !step.environment.is_empty() {
        let file = step
            .environment_file
            .as_deref()
            .unwrap_or("/etc/environment");
        let merged = files::merge_environment(Path::new(file), &step.environment);
        note("environment", merged.into());
    }
}

/// How one part of a step went.
struct Part {
    /// For everybody: screens, the journal. Never what an operator wrote as a command or what that wrote.
    error: Option<String>,
    /// For root alone.
    output: String,
}

impl From<Result<String>> for Part {
    fn from(result: Result<String>) -> Self {
        match result {
            Ok(output) => Self {
                error: None,
                output,
            },
            Err(error) => Self {
                error: Some(format!("{error:#}")),
                output: String::new(),
            },
        }
    }
}

/// Carries out a command. It may hold a secret (`TOKEN=... curl`) and so may what it writes (`set -x`), so a failure is
/// told by its number and place, and the words it left only as output.
fn command(text: &str, number: usize, line: usize, host: &mut impl Host) -> Part {
    let (reason, output) = match shell(text, host) {
        Ok(output) => return Ok(output).into(),
        Err(error) => match error.downcast::<CommandFailed>() {
            Ok(failed) => (failed.status, failed.tail),
            Err(error) => (format!("{error:#}"), String::new()),
        },
    };
    Part {
        error: Some(format!(
            "command {number} of the step at line {line}: {reason}"
        )),
        output,
    }
}

/// A condition that cannot be decided counts as a failure, never as "yes": the commands behind it were not meant for
/// every machine.
fn holds(step: &Step, host: &mut impl Host) -> Result<bool> {
    if let Some(key) = step.undecided.first() {
        bail!("the step is passed over: this version cannot decide `{key}`");
    }
    let Some(condition) = &step.condition else {
        return Ok(true);
    };
    match shell(condition, host) {
        Ok(_) => Ok(true),
        Err(error) => match error.downcast_ref::<CommandFailed>() {
            Some(failed) if failed.timed_out => {
                bail!(
                    "the step is passed over: its condition was {}",
                    failed.status
                )
            }
            Some(_) => Ok(false),
            None => Err(error),
        },
    }
}

/// The one place where a shell runs: what it gets was written by an operator as shell, and is passed as it is.
fn shell(text: &str, host: &mut impl Host) -> Result<String> {
    let argv = Argv::new("/bin/sh")
        .args(["-c", SOURCE_STDIN])
        .stdin(text)
        .time_limit(TIME_LIMIT)
        .env("HOME", "/root");
    let output = host.run(&argv)?;
    Ok(format!("{}{}", output.stdout, output.stderr))
}

fn set_hostname(name: &str) -> Result<String> {
    ensure!(
        !name.contains("{{"),
        "templates in host names are not carried out by this version"
    );
    host::files::write_synced(
        Path::new("/etc/hostname"),
        format!("{name}\n").as_bytes(),
        0o644,
    )?;
    // In the initramfs systemd reads the file later; in the running system nobody would before the next boot.
    if !in_initramfs() {
        files::write_in_place(Path::new("/proc/sys/kernel/hostname"), name.as_bytes())
            .context("setting the name of the running system")?;
    }
    Ok(String::new())
}

/// systemd's own test: this file exists in every initramfs, and not in the system; `/` may be its root already, so
/// pid 1 is asked.
fn in_initramfs() -> bool {
    Path::new("/proc/1/root/etc/initrd-release").exists()
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
