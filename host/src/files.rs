//! Files that are whole or not there at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file so that a reader finds the old content or the new one, and a power cut after the return finds the new.
///
/// The bytes go to a neighbour created with `mode` (a secret is never readable for a moment), are synced, renamed over
/// `path`, and the directory is synced. GRUB does not replay a journal: what GRUB reads must not be replaced this way
/// on a live file system (see `docs/design.md`).
pub fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let name = path
        .file_name()
        .with_context(|| format!("{} has no file name", path.display()))?;
    let mut neighbour = std::ffi::OsString::from(".");
    neighbour.push(name);
    neighbour.push(".new");
    let neighbour = path.with_file_name(neighbour);
    let written = write_new(&neighbour, bytes, mode)
        .and_then(|()| fs::rename(&neighbour, path))
        .and_then(|()| sync_parent(path));
    if written.is_err() {
        // The first error is the one to report; the neighbour may not even exist.
        drop(fs::remove_file(&neighbour));
    }
    written.with_context(|| format!("writing {}", path.display()))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    // The umask may have taken bits away that were asked for.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes a firmware variable in efivarfs, which takes one write(2) and no more: attributes and value at once.
pub fn write_in_one(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // No truncation: the kernel replaces the value by what one write brings.
    let mut file = options
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let written = file.write(bytes)?;
    if written == bytes.len() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::WriteZero,
        format!("{written} of {} bytes were taken", bytes.len()),
    ))
}

/// Syncs the directory that holds `path`, so that a rename or a creation in it is durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

/// Syncs the whole file system on which `path` lies (syncfs(2)).
pub fn sync_filesystem(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    nix::unistd::syncfs(&file)
        .with_context(|| format!("syncing the file system of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_no_neighbour_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_synced(&path, b"one", 0o600).unwrap();
        write_synced(&path, b"two", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o640
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_missing_is_named_in_the_error() {
        let error = write_synced(Path::new("/no/such/dir/file"), b"", 0o600).unwrap_err();
        assert!(error.to_string().contains("/no/such/dir/file"));
    }
}
