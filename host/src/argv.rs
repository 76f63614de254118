//! A program, its arguments, and what became of it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::time::Duration;

/// A program with its arguments: a list, never a line for a shell.
#[derive(Clone, PartialEq, Eq)]
pub struct Argv {
    /// Name (looked up in a fixed `PATH`) or absolute path.
    pub program: OsString,
    /// Arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Variables added to the small fixed environment.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory; `None` for `/`.
    pub directory: Option<std::path::PathBuf>,
    /// Standard input; `None` for none. Unlike an argument it is not to be seen in `/proc` and never printed.
    pub stdin: Option<Vec<u8>>,
    /// After this time the program and all that it started are killed; `None` to wait as long as it takes.
    pub time_limit: Option<Duration>,
}

impl Argv {
    /// A program without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            stdin: None,
            time_limit: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<std::path::PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Gives the program these bytes to read.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Sets the time after which the program is killed.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }
}

impl fmt::Debug for Argv {
    /// Without what the program reads: that may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argv")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env)
            .field("directory", &self.directory)
            .field("stdin", &self.stdin.as_ref().map(Vec::len))
            .field("time_limit", &self.time_limit)
            .finish()
    }
}

impl fmt::Display for Argv {
    /// The words separated by blanks: for people and logs, not for a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.to_string_lossy())?;
        for arg in &self.args {
            write!(f, " {}", arg.to_string_lossy())?;
        }
        Ok(())
    }
}

/// What a program that succeeded wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output, with invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, with invalid UTF-8 replaced.
    pub stderr: String,
}

/// A program that ran and failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandFailed {
    /// Name of the program.
    pub program: String,
    /// Its exit status; `None` if a signal ended it.
    pub exit: Option<i32>,
    /// In words: `exit status 1`, `ended by signal 9`, `killed after its 600 s`.
    pub status: String,
    /// It was killed because its time was up, so its status says nothing.
    pub timed_out: bool,
    /// The last lines of what it wrote: of its standard error if there is any, else of its standard output.
    pub tail: String,
}

impl fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.program, self.status)?;
        if !self.tail.is_empty() {
            write!(f, ": {}", self.tail)?;
        }
        Ok(())
    }
}

impl std::error::Error for CommandFailed {}

/// The last `lines` lines of a text, joined by `; ` so that they fit an error of one line.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    all[all.len().saturating_sub(lines)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_lines_and_drops_blank_ones() {
        assert_eq!(tail("a\n\n b \nc\n", 2), "b; c");
        assert_eq!(tail("", 2), "");
    }

    #[test]
    fn a_failure_reads_as_one_sentence() {
        let failed = CommandFailed {
            program: "mke2fs".into(),
            exit: Some(1),
            status: "exit status 1".into(),
            timed_out: false,
            tail: "no room".into(),
        };
        assert_eq!(failed.to_string(), "mke2fs: exit status 1: no room");
    }

    #[test]
    fn what_a_program_reads_is_never_printed() {
        let argv = Argv::new("sh").arg("-s").stdin("TOKEN=abc curl");
        for text in [argv.to_string(), format!("{argv:?}")] {
            let bytes = format!("{:?}", b"TOKEN");
            assert!(!text.contains("TOKEN"), "{text}");
            assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{text}");
        }
    }
}
