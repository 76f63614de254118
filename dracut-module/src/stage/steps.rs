//! Carries out one step, part by part, in the order of `reference/kairos.md` 4.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use host::{Argv, CommandFailed, Host};
use userdata::Step;

use super::{StageReport, StepOutcome, files, keys, users};

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
    let mut note = |field: &str, result: Result<String>| {
        let (output, error) = match result {
            Ok(output) => (output, None),
            Err(error) => (String::new(), Some(format!("{error:#}"))),
        };
        report.push(StepOutcome {
            stage: stage.to_owned(),
            file: file.to_owned(),
            step: name.clone(),
            field: field.to_owned(),
            error,
            output,
        });
    };
    match holds(step, host) {
        Ok(true) => {}
        Ok(false) => {
            return note(
                "if",
                Ok("does not hold; the step is passed over".to_owned()),
            );
        }
        Err(error) => return note("if", Err(error)),
    }
    for key in &step.not_carried_out {
        note(key, Err(anyhow::anyhow!("not carried out by this version")));
    }
    for directory in &step.directories {
        note("directories", files::make_directory(directory));
    }
    for wanted in &step.files {
        note("files", files::write_file(wanted));
    }
    for command in &step.commands {
        note(
            "commands",
            shell(command, host).map_err(|error| error.context(first_line(command))),
        );
    }
    if let Some(hostname) = &step.hostname {
        note("hostname", set_hostname(hostname));
    }
    for user in &step.users {
        note("users", users::ensure(user));
    }
    for (user, lines) in &step.authorized_keys {
        note("authorized_keys", keys::add(user, lines));
    }
    if !step.environment.is_empty() {
        let file = step
            .environment_file
            .as_deref()
            .unwrap_or("/etc/environment");
        note(
            "environment",
            files::merge_environment(Path::new(file), &step.environment),
        );
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
        Err(error) if error.downcast_ref::<CommandFailed>().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The one place where a shell runs: what it gets was written by an operator as shell, and is passed as it is.
fn shell(command: &str, host: &mut impl Host) -> Result<String> {
    let argv = Argv::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .env("HOME", "/root");
    let output = host.run(&argv)?;
    Ok(format!("{}{}", output.stdout, output.stderr))
}

/// The start of a command tells it from its neighbours; all of it may hold a secret that a person should not meet in a
/// log.
fn first_line(command: &str) -> String {
    let line = command.trim().lines().next().unwrap_or_default();
    let word = line.split_whitespace().next().unwrap_or_default();
    format!("command starting with {word:?}")
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
