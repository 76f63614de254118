//! Carries out one step, part by part, in the order of `reference/kairos.md` 4.

use std::path::Path;

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use host::{Argv, CommandFailed, Host};
use userdata::Step;

use super::conditions::{Verdict, decide};
use super::facts::{Facts, Setting};
use super::{
    StageReport, StepOutcome, datasource, dns, downloads, entities, files, host_name, kernel, keys,
    layout, network, services, users,
};

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
    setting: Setting,
    host: &mut impl Host,
    report: &mut StageReport,
) {
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
    if let Some(wanted) = &step.dns {
        note("dns", dns::write(wanted).into());
    }
    for wanted in &step.downloads {
        let fetched =
            network::client(step, setting).and_then(|client| downloads::carry_out(wanted, &client));
        note("downloads", fetched.into());
    }
    let root = Path::new("/");
    for entity in &step.ensure_entities {
        note("ensure_entities", entities::ensure(root, entity).into());
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
    for entity in &step.delete_entities {
        note("delete_entities", entities::delete(root, entity).into());
    }
    if let Some(name) = &step.hostname {
        note("hostname", host_name::set(root, setting, name).into());
    }
    for (name, value) in &step.sysctl {
        let set = kernel::set_parameter(root, setting, name, value);
        note("sysctl", set.into());
    }
    for user in &step.users {
        note(
            "users",
            users::ensure(user, &keys::fetched(step, setting)).into(),
        );
    }
    for (user, lines) in &step.authorized_keys {
        note(
            "authorized_keys",
            keys::add(user, lines, &keys::fetched(step, setting)).into(),
        );
    }
    for module in &step.modules {
        note("modules", kernel::load_module(module, setting, host).into());
    }
    if !step.timesyncd.is_empty() {
        let set = services::set_timesyncd(root, setting, &step.timesyncd, host);
        note("timesyncd", set.into());
    }
    if let Some(wanted) = &step.systemctl {
        for outcome in services::set_units(root, setting, wanted, host) {
            note("systemctl", outcome.into());
        }
    }
    if !step.environment.is_empty() {
        let file = step
            .environment_file
            .as_deref()
            .unwrap_or("/etc/environment");
        let merged = files::merge_environment(Path::new(file), &step.environment);
        note("environment", merged.into());
    }
    if !step.systemd_firstboot.is_empty() {
        let done = services::first_boot(setting, &step.systemd_firstboot, host);
        note("systemd_firstboot", done.into());
    }
    if let Some(wanted) = &step.datasource {
        note("datasource", datasource::carry_out(wanted, host).into());
    }
    if let Some(wanted) = &step.layout {
        note("layout", layout::carry_out(wanted, host).into());
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

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
