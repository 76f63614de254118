//! A folder for what is made on the way, gone when it is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Lies beside the result, because a slot image may not fit `/tmp`.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty `.landfall-scratch` in `folder`; what an interrupted run left there is removed.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let path = folder.join(".landfall-scratch");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next run removes what could not be removed now.
        drop(fs::remove_dir_all(&self.0));
    }
}
