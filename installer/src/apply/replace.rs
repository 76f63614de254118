//! Changes to a disk that boots: what is there is complete, before and after.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use host::Host;

use super::Run;
use super::table::forget;
use crate::code::{Code, OrTrouble, Trouble};
use crate::plan::Place;

impl<H: Host> Run<'_, H> {
    /// Copies a file of the payload: beside, compared with the manifest, renamed. Its hash was checked when the payload
    /// was opened and is checked again in what was written.
    pub(super) fn copy_file(&mut self, from: &str, to: &Place) -> Result<()> {
        let bytes = self.boot_file(from)?;
        let target = self.place(to)?;
        let mut name = OsString::from(".");
        name.push(target.file_name().context("a file without a name")?);
        name.push(".new");
        let beside = target.with_file_name(name);
        // The medium is read-only, and its mode bits are those of its file system.
        let mut written = File::create(&beside).or_trouble(Code::WriteFailed)?;
        written
            .write_all(&bytes)
            .and_then(|()| written.set_permissions(fs::Permissions::from_mode(0o644)))
            .and_then(|()| written.sync_all())
            .or_trouble(Code::WriteFailed)?;
        // The hash is that of the disk, not that of the page cache.
        forget(&written).or_trouble(Code::ReadBackDiffers)?;
        if hash(&beside).ok() != Some(image::Digest::of(&bytes)) {
            bail!(Trouble::new(
                Code::ReadBackDiffers,
                format!("{to}: not what was written")
            ));
        }
        rename(&beside, &target)
    }

    /// A file of the payload, read once more: the medium may have changed since it was looked through.
    fn boot_file(&self, path: &str) -> Result<Vec<u8>> {
        let bytes = fs::read(self.tools.payload.folder.join(path))
            .with_context(|| format!("reading {path} of the payload"))
            .or_trouble(Code::BootFilesBad)?;
        let listed = self.tools.payload.manifest.file(path);
        if listed.is_some_and(|file| file.blake3 != image::Digest::of(&bytes)) {
            bail!(Trouble::new(
                Code::BootFilesBad,
                format!("{path} of the payload is no longer what the manifest names")
            ));
        }
        Ok(bytes)
    }

    /// One file takes the name of another.
    pub(super) fn replace(&mut self, from: &Place, to: &Place) -> Result<()> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        rename(&from, &to)
    }

    /// A file that is gone already is no error: a run before this one may have come this far.
    pub(super) fn remove(&mut self, place: &Place) -> Result<()> {
        let path = self.place(place)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other
                .and_then(|()| host::files::sync_parent(&path))
                .or_trouble(Code::WriteFailed),
        }
    }

    /// New bytes in the blocks of the old ones.
    pub(super) fn overwrite(&mut self, to: &Place, bytes: &[u8]) -> Result<()> {
        let path = self.place(to)?;
        let write = || -> Result<()> {
            let file = OpenOptions::new().write(true).open(&path)?;
            let length = file.metadata()?.len();
            ensure!(
                length == bytes.len() as u64,
                "{to} has {length} bytes, not {}",
                bytes.len()
            );
            file.write_all_at(bytes, 0)?;
            Ok(file.sync_all()?)
        };
        write().or_trouble(Code::WriteFailed)
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .and_then(|()| host::files::sync_parent(to))
        .or_trouble(Code::WriteFailed)
}

fn hash(path: &Path) -> io::Result<image::Digest> {
    image::Digest::of_reader(File::open(path)?)
}
