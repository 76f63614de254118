//! A machine that only remembers: the double for tests of the rooms above.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{Argv, Host, LoopRequest, Mount, Output};

/// Remembers every request as one line of text and, if told so, fails the n-th.
#[derive(Debug, Default)]
pub struct Recorder {
    /// What was asked, in order.
    pub calls: Vec<String>,
    /// Index (from 0) of the request that fails.
    pub fail_at: Option<usize>,
    /// Mount points that are mounted now, in order of mounting.
    pub mounted: Vec<PathBuf>,
    /// Loop devices that exist now.
    pub loops: Vec<PathBuf>,
    /// Standard output for programs, by the first word(s) of their text.
    pub answers: Vec<(String, String)>,
    next_loop: usize,
}

impl Recorder {
    /// A recorder whose request number `n` (from 0) fails.
    pub fn failing_at(n: usize) -> Self {
        Self {
            fail_at: Some(n),
            ..Self::default()
        }
    }

    fn note(&mut self, call: String) -> Result<()> {
        let index = self.calls.len();
        self.calls.push(call);
        if self.fail_at == Some(index) {
            bail!("told to fail at request {index}");
        }
        Ok(())
    }
}

impl Host for Recorder {
    fn run(&mut self, argv: &Argv) -> Result<Output> {
        let text = argv.to_string();
        self.note(format!("run {text}"))?;
        let answer = self
            .answers
            .iter()
            .find(|(start, _)| text.starts_with(start.as_str()));
        Ok(Output {
            stdout: answer.map(|(_, out)| out.clone()).unwrap_or_default(),
            stderr: String::new(),
        })
    }

    fn mount(&mut self, mount: &Mount) -> Result<()> {
        self.note(mount.to_string())?;
        self.mounted.push(mount.target.clone());
        Ok(())
    }

    fn unmount(&mut self, at: &Path) -> Result<()> {
        self.note(format!("unmount {}", at.display()))?;
        self.mounted.retain(|mounted| mounted != at);
        Ok(())
    }

    fn attach_loop(&mut self, request: &LoopRequest) -> Result<PathBuf> {
        self.note(format!(
            "attach loop over {} at {}",
            request.file.display(),
            request.offset
        ))?;
        let device = PathBuf::from(format!("/dev/loop{}", self.next_loop));
        self.next_loop += 1;
        self.loops.push(device.clone());
        Ok(device)
    }

    fn detach_loop(&mut self, device: &Path) -> Result<()> {
        self.note(format!("detach {}", device.display()))?;
        self.loops.retain(|existing| existing != device);
        Ok(())
    }
}
