//! The one door of these tests to other programs, and to plain files.
//!
//! The product's own door is the crate `host`, with a recorder behind it; a test harness needs children with pipes and
//! time limits instead.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Bytes of standard error that an error message carries.
const TAIL: usize = 2000;

/// A program that is not started yet, without standard input.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// Runs to completion and returns what was printed, whatever the exit status is.
///
/// # Errors
/// The program could not be started; the message names it, because a missing package is the usual reason.
pub fn output(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .output()
        .with_context(|| format!("starting {program} (see qemu-tests/packages.txt)"))
}

/// Runs to completion and returns standard output.
///
/// # Errors
/// The program could not be started, or ended with another status than 0; then with the end of its standard error.
pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = output(command)?;
    if !output.status.success() {
        bail!("{program}: {}: {}", output.status, tail(&output.stderr));
    }
    Ok(output.stdout)
}

/// Runs to completion with `input` on standard input, whatever the exit status is.
///
/// # Errors
/// The program could not be started or waited for. Input that the program did not want is not an error.
pub fn output_with_input(command: &mut Command, input: &[u8]) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {program} (see qemu-tests/packages.txt)"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early closes the pipe; its status says more than EPIPE.
        drop(stdin.write_all(input));
    }
    child
        .wait_with_output()
        .with_context(|| format!("waiting for {program}"))
}

/// Writes a file as it is. Nothing here has to survive a power cut.
///
/// # Errors
/// The file could not be made or written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    File::create(path)
        .and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("writing {}", path.display()))
}

/// The end of what a program said on standard error, on one line or more.
pub fn tail(stderr: &[u8]) -> String {
    let start = stderr.len().saturating_sub(TAIL);
    String::from_utf8_lossy(stderr.get(start..).unwrap_or_default())
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_an_error_with_its_last_words() {
        let error = run(command("sh").args(["-c", "echo no such luck >&2; exit 7"])).unwrap_err();
        assert_eq!(error.to_string(), "sh: exit status: 7: no such luck");
    }

    #[test]
    fn input_reaches_the_program() {
        let output = output_with_input(&mut command("cat"), b"in and out").unwrap();
        assert_eq!(output.stdout, b"in and out");
    }
}
