//! Folders under `build/vm/` that a test fills, and that go when it succeeds.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};

use crate::artifacts;

/// An empty folder. Removed on drop, unless the thread is panicking, [`Folder::keep`] was called, or `LANDFALL_KEEP` is
/// set: then what happened can be looked at.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// Makes `build/vm/<name>`, empty. Two tests that run at the same time need different names.
    ///
    /// # Errors
    /// The old folder cannot be removed, or the new one not be made.
    pub fn new(name: &str) -> Result<Self> {
        let path = artifacts::build_folder().join("vm").join(name);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self {
            path,
            keep: std::env::var_os("LANDFALL_KEEP").is_some(),
        })
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Leaves it where it is.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep && !thread::panicking() {
            // What cannot be removed now is removed by the next run.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}
