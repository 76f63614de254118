//! Brings the image's content to a persistent directory, once per image.
//!
//! A ledger beside the stores says what was put there and for which image. A file that is still as it was put is
//! replaced by the next image's, or goes if that has none; a file that the machine changed is kept, and one that it
//! deleted stays away. What is known of a kept file is handed on from ledger to ledger. Dates alone cannot tell the two apart: images
//! are built with clamped dates, so "newer wins" would show the programs of the first image for ever.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A copy in the making; a rename makes it real, so that a power cut leaves no half file under a real name.
const UNFINISHED: &str = ".landfall-unfinished";

/// What one seeding did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seeded {
    /// Files and links that were put or replaced.
    pub put: u64,
    /// Files that the machine changed and that the image has in another version, relative to the directory.
    pub kept: Vec<String>,
    /// Files that the machine deleted and that the image still has, relative to the directory.
    pub deleted: Vec<String>,
    /// Untouched files of an older image that this one lacks.
    pub removed: u64,
    /// What cannot be copied (devices, sockets), relative to the directory.
    pub left_out: Vec<String>,
}

/// What was put: enough to see later whether it was touched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    size: u64,
    seconds: i64,
    nanoseconds: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// Nothing was put: the machine's own file was there. Equal to no file, so that it is kept for good.
    #[serde(default, skip_serializing_if = "is_false")]
    own: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape serde asks for"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Mark {
    fn of(path: &Path, found: &Metadata) -> Self {
        let link = fs::read_link(path).ok();
        Self {
            size: found.len(),
            // The date of a link says nothing, its target all.
            seconds: if link.is_some() { 0 } else { found.mtime() },
            nanoseconds: if link.is_some() {
                0
            } else {
                found.mtime_nsec()
            },
            link: link.map(|target| target.to_string_lossy().into_owned()),
            own: false,
        }
    }

    fn own() -> Self {
        Self {
            own: true,
            ..Self::default()
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Ledger {
    image_id: String,
    files: BTreeMap<String, Mark>,
}

/// Seeds `store` from `image` unless the ledger says that this image was seeded already, which costs one small read.
///
/// The directory `store` must exist. The ledger is written after everything is on the disk.
pub(crate) fn seed(
    image: &Path,
    store: &Path,
    ledger: &Path,
    image_id: &str,
) -> anyhow::Result<Seeded> {
    let old = read_ledger(ledger);
    if old.image_id == image_id {
        return Ok(Seeded::default());
    }
    let mut copy = Copy {
        old,
        new: Ledger {
            image_id: image_id.to_owned(),
            files: BTreeMap::new(),
        },
        done: Seeded::default(),
    };
    // First: a file may be in the way of a directory.
    copy.remove_dropped(image, store)?;
    copy.directory(image, store, Path::new(""))?;
    host::files::sync_filesystem(store)?;
    if let Some(folder) = ledger.parent() {
        fs::create_dir_all(folder)?;
    }
    host::files::write_synced(ledger, &serde_json::to_vec(&copy.new)?, 0o600)?;
    Ok(copy.done)
}

/// A ledger that is missing or torn is empty: then only what is missing or older is put, as Kairos does.
fn read_ledger(path: &Path) -> Ledger {
    fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

struct Copy {
    old: Ledger,
    new: Ledger,
    done: Seeded,
}

impl Copy {
    fn directory(&mut self, image: &Path, store: &Path, relative: &Path) -> io::Result<()> {
        let from = image.join(relative);
        let into = store.join(relative);
        let mut names: Vec<PathBuf> = fs::read_dir(&from)?
            .map(|entry| Ok(relative.join(entry?.file_name())))
            .collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            let source = image.join(&name);
            let target = store.join(&name);
            let wanted = fs::symlink_metadata(&source)?;
            let present = fs::symlink_metadata(&target).ok();
            let kind = wanted.file_type();
            if kind.is_dir() {
                match present {
                    None => {
                        fs::create_dir(&target)?;
                        self.directory(image, store, &name)?;
                        dress(&source, &target, &wanted)?;
                    }
                    Some(present) if present.is_dir() => self.directory(image, store, &name)?,
                    Some(_) => self.done.kept.push(told(&name)),
                }
            } else if kind.is_file() || kind.is_symlink() {
                self.file(&source, &target, &name, &wanted, present.as_ref())?;
            } else {
                self.done.left_out.push(told(&name));
            }
        }
        drop(fs::remove_file(into.join(UNFINISHED)));
        Ok(())
    }

    fn file(
        &mut self,
        source: &Path,
        target: &Path,
        name: &Path,
        wanted: &Metadata,
        present: Option<&Metadata>,
    ) -> io::Result<()> {
        let key = told(name);
        let mark = self.old.files.get(&key);
        let put = match present {
            None => mark.is_none(),
            Some(present) if same(source, target, wanted, present)? => false,
            Some(present) => match mark {
                Some(mark) => *mark == Mark::of(target, present),
                None => !present.is_dir() && wanted.mtime() > present.mtime(),
            },
        };
        let handed_on = mark.cloned().unwrap_or_else(Mark::own);
        if put {
            put_file(source, target, wanted)?;
            self.done.put += 1;
        } else if present.is_none() {
            self.done.deleted.push(key.clone());
            self.new.files.insert(key, handed_on);
            return Ok(());
        }
        let now = fs::symlink_metadata(target)?;
        if put || same(source, target, wanted, &now)? {
            self.new.files.insert(key, Mark::of(target, &now));
        } else {
            self.done.kept.push(key.clone());
            self.new.files.insert(key, handed_on);
        }
        Ok(())
    }

    /// Removes what an older image put, nobody touched and this image lacks: a link in a `.wants` folder would start a
    /// unit that is no more, a certificate would be trusted for ever.
    fn remove_dropped(&mut self, image: &Path, store: &Path) -> io::Result<()> {
        for (key, mark) in &self.old.files {
            let name = Path::new(key);
            let wanted = below_directories(image, name)
                && fs::symlink_metadata(image.join(name))
                    .is_ok_and(|found| found.is_file() || found.is_symlink());
            if wanted || !below_directories(store, name) {
                continue;
            }
            let target = store.join(name);
            let Ok(present) = fs::symlink_metadata(&target) else {
                continue;
            };
            if present.is_dir() || *mark != Mark::of(&target, &present) {
                // The machine's own now; a later image that has it again must know.
                self.new.files.insert(key.clone(), mark.clone());
                continue;
            }
            fs::remove_file(&target)?;
            self.done.removed += 1;
            remove_empty(image, store, name);
        }
        Ok(())
    }
}

/// Whether all directories above `name` in `root` are directories, not links that lead out of it.
fn below_directories(root: &Path, name: &Path) -> bool {
    name.components()
        .all(|part| matches!(part, Component::Normal(_)))
        && name
            .ancestors()
            .skip(1)
            .all(|above| fs::symlink_metadata(root.join(above)).is_ok_and(|found| found.is_dir()))
}

/// Removes the directories above `name` that are empty and that the image lacks.
fn remove_empty(image: &Path, store: &Path, name: &Path) {
    for above in name.ancestors().skip(1) {
        let wanted = above.as_os_str().is_empty()
            || fs::symlink_metadata(image.join(above)).is_ok_and(|found| found.is_dir());
        // One that is not empty is not removed; it stays with what the machine put there.
        if wanted || fs::remove_dir(store.join(above)).is_err() {
            return;
        }
    }
}

fn put_file(source: &Path, target: &Path, wanted: &Metadata) -> io::Result<()> {
    let unfinished = target.with_file_name(UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if wanted.is_symlink() {
        symlink(fs::read_link(source)?, &unfinished)?;
    } else {
        fs::copy(source, &unfinished)?;
    }
    dress(source, &unfinished, wanted)?;
    fs::rename(unfinished, target)
}

/// Gives a copy the owner, mode, extended attributes (ACLs and capabilities among them) and date of the original.
fn dress(source: &Path, target: &Path, wanted: &Metadata) -> io::Result<()> {
    // The owner first: a change of owner takes set-user-ID bits and capabilities away.
    lchown(target, Some(wanted.uid()), Some(wanted.gid()))?;
    if wanted.is_symlink() {
        return Ok(());
    }
    fs::set_permissions(target, Permissions::from_mode(wanted.mode() & 0o7777))?;
    for name in xattr::list(source)? {
        if let Some(value) = xattr::get(source, &name)? {
            xattr::set(target, &name, &value)?;
        }
    }
    File::open(target)?.set_times(FileTimes::new().set_modified(wanted.modified()?))
}

/// Equal content; dates do not count.
fn same(source: &Path, target: &Path, wanted: &Metadata, present: &Metadata) -> io::Result<bool> {
    if wanted.is_symlink() || present.is_symlink() {
        return Ok(wanted.is_symlink()
            && present.is_symlink()
            && fs::read_link(source)? == fs::read_link(target)?);
    }
    if !present.is_file() || wanted.len() != present.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (File::open(source)?, File::open(target)?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        let Some(part) = right.get_mut(..count) else {
            return Ok(false);
        };
        other.read_exact(part)?;
        if left.get(..count) != Some(&*part) {
            return Ok(false);
        }
    }
}

fn told(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "seed_tests.rs"]
mod tests;
