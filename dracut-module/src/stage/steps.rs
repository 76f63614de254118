//! Carries out one step, part by part, in the order of `reference/kairos.md` 4.

use std::path::Path;

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use host::{Argv, CommandFailed, Host};
use userdata::Step;

use super::conditions::{Verdict, decide};
use super::facts::{Facts, Setting};
use super::{StageReport, StepOutcome, files, kernel, keys, users};

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
    let setting = Setting::of_this_process();
    let name = name_of(step);
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
    if let Some((key, told)) = passed_over(step, setting, host) {
        return note(key, told.into());
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
        note("hostname", set_hostname(hostname, setting).into());
    }
    for (name, value) in &step.sysctl {
        let set = kernel::set_parameter(Path::new("/"), setting, name, value);
        note("sysctl", set.into());
    }
    for user in &step.users {
        note("users", users::ensure(user).into());
    }
    for (user, lines) in &step.authorized_keys {
        note("authorized_keys", keys::add(user, lines).into());
    }
    for module in &step.modules {
        note("modules", kernel::load_module(module, setting, host).into());
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

/// What a step is called where it is told: its name, or its line.
pub(super) fn name_of(step: &Step) -> String {
    step.name
        .clone()
        .unwrap_or_else(|| format!("line {}", step.line))
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

/// The condition because of which the step does not run, if there is one.
///
/// One that cannot be decided counts as a failure, never as "yes": the commands behind it were not meant for every
/// machine. The shell is asked last: its text may be slow, and may change something.
fn passed_over(
    step: &Step,
    setting: Setting,
    host: &mut impl Host,
) -> Option<(&'static str, Result<String>)> {
    let exists = |path: &str| Path::new(path).exists();
    let facts = Facts::read(Path::new("/"), setting);
    match decide(&step.conditions, &facts, exists) {
        Verdict::Holds => {}
        Verdict::Fails { key, reason } => {
            let told = format!("does not hold, {reason}; the step is passed over");
            return Some((key, Ok(told)));
        }
        Verdict::Unknown { key, reason } => {
            let error = anyhow!("the step is passed over, since this cannot be decided: {reason}");
            return Some((key, Err(error)));
        }
    }
    match holds(step.condition.as_deref()?, host) {
        Ok(true) => None,
        Ok(false) => {
            let told = "does not hold; the step is passed over";
            Some(("if", Ok(told.to_owned())))
        }
        Err(error) => Some(("if", Err(error))),
    }
}

fn holds(condition: &str, host: &mut impl Host) -> Result<bool> {
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

fn set_hostname(name: &str, setting: Setting) -> Result<String> {
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
    if setting == Setting::Running {
        files::write_in_place(Path::new("/proc/sys/kernel/hostname"), name.as_bytes())
            .context("setting the name of the running system")?;
    }
    Ok(String::new())
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
