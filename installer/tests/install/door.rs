//! Doors between an install and the machine that do what a test needs.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use host::{Argv, Host, Linux, LoopRequest, Mount, Output, Recorder};

/// A door that only remembers. Its loop devices are empty files, since an install opens them to sync, and what mtools
/// would write lies in a folder, since an install may read it back.
#[derive(Debug)]
pub(crate) struct Remembering {
    pub(crate) recorder: Recorder,
    /// Cleaning up fails too, whatever it is.
    pub(crate) broken_clean_up: bool,
    folder: PathBuf,
}

impl Remembering {
    pub(crate) fn new(recorder: Recorder, folder: &Path) -> Self {
        // What the run before left is not this one's.
        drop(std::fs::remove_dir_all(folder));
        std::fs::create_dir_all(folder).unwrap();
        Self {
            recorder,
            broken_clean_up: false,
            folder: folder.to_owned(),
        }
    }

    fn clean_up(&self, done: Result<()>) -> Result<()> {
        if self.broken_clean_up {
            bail!("told to fail at cleaning up");
        }
        done
    }

    /// A path as mtools takes it: `::` is the root of its drive.
    fn fat(&self, path: &OsStr) -> PathBuf {
        let path = Path::new(path);
        match path.to_string_lossy().strip_prefix("::/") {
            Some(inside) => self.folder.join("fat").join(inside),
            None => path.to_owned(),
        }
    }

    /// Does to the folder what mtools does to a drive.
    fn mtools(&self, argv: &Argv) -> Result<()> {
        let paths: Vec<PathBuf> = argv.args.iter().map(|path| self.fat(path)).collect();
        match (argv.program.to_str(), paths.as_slice()) {
            (Some("mmd"), [.., folder]) => std::fs::create_dir_all(folder)?,
            (Some("mren"), [.., from, to]) => std::fs::rename(from, to)?,
            (Some("mcopy"), [.., from, to]) => {
                std::fs::copy(from, to)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The node that the recorder knows by another name.
    fn ours(&self, device: &Path) -> PathBuf {
        self.folder.join(device.file_name().unwrap_or_default())
    }
}

impl Host for Remembering {
    fn run(&mut self, argv: &Argv) -> Result<Output> {
        let said = self.recorder.run(argv)?;
        self.mtools(argv)?;
        Ok(said)
    }

    fn mount(&mut self, mount: &Mount) -> Result<()> {
        self.recorder.mount(mount)
    }

    fn unmount(&mut self, at: &Path) -> Result<()> {
        let done = self.recorder.unmount(at);
        self.clean_up(done)
    }

    fn attach_loop(&mut self, request: &LoopRequest) -> Result<PathBuf> {
        let known = self.recorder.attach_loop(request)?;
        let device = self.ours(&known);
        File::create(&device)?;
        Ok(device)
    }

    fn detach_loop(&mut self, device: &Path) -> Result<()> {
        let known = Path::new("/dev").join(device.file_name().unwrap_or_default());
        let done = self.recorder.detach_loop(&known);
        self.clean_up(done)
    }
}

/// The real machine, but for one request: the first whose text contains `word` is not carried out and fails.
#[derive(Debug)]
pub(crate) struct Failing {
    pub(crate) word: &'static str,
    pub(crate) failed: bool,
}

impl Failing {
    pub(crate) fn at(word: &'static str) -> Self {
        Self {
            word,
            failed: false,
        }
    }

    fn pass(&mut self, request: &str) -> Result<()> {
        if !self.failed && request.contains(self.word) {
            self.failed = true;
            bail!("told to fail at {}", self.word);
        }
        Ok(())
    }
}

impl Host for Failing {
    fn run(&mut self, argv: &Argv) -> Result<Output> {
        self.pass(&argv.to_string())?;
        Linux.run(argv)
    }

    fn mount(&mut self, mount: &Mount) -> Result<()> {
        self.pass(&mount.to_string())?;
        Linux.mount(mount)
    }

    fn unmount(&mut self, at: &Path) -> Result<()> {
        self.pass(&format!("unmount {}", at.display()))?;
        Linux.unmount(at)
    }

    fn attach_loop(&mut self, request: &LoopRequest) -> Result<PathBuf> {
        self.pass("attach")?;
        Linux.attach_loop(request)
    }

    fn detach_loop(&mut self, device: &Path) -> Result<()> {
        self.pass("detach")?;
        Linux.detach_loop(device)
    }
}
