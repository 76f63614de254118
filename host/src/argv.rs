//! A program, its arguments, and what became of it.

use std::ffi::{OsStr, OsString};
use std::fmt;

/// A program with its arguments: a list, never a line for a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argv {
    /// Name (looked up in a fixed `PATH`) or absolute path.
    pub program: OsString,
    /// Arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Variables added to the small fixed environment.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory; `None` for `/`.
    pub directory: Option<std::path::PathBuf>,
}

impl Argv {
    /// A program without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
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
    /// In words: `exit status: 1`, `signal: 9 (SIGKILL)`.
    pub status: String,
    /// The last lines of what it wrote, standard error first.
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
            status: "exit status: 1".into(),
            tail: "no room".into(),
        };
        assert_eq!(failed.to_string(), "mke2fs: exit status: 1: no room");
    }
}
