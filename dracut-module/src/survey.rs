//! What the image has at the places where something is to be mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::within;

/// Mode and owner of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Attributes {
    /// What a directory that the image lacks looks like: as in any distribution.
    pub fn new_directory(path: &Path) -> Self {
        let mode = match path.to_str() {
            Some("/tmp" | "/var/tmp") => 0o1777,
            Some("/root") => 0o700,
            _ => 0o755,
        };
        Self {
            mode,
            uid: 0,
            gid: 0,
        }
    }
}

/// One place in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A directory.
    Directory(Attributes),
    /// Something that cannot be mounted upon.
    NotADirectory,
    /// Nothing.
    Missing,
}

/// What was found in the image: all that a plan needs to know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    places: BTreeMap<PathBuf, Place>,
    resolved: BTreeMap<PathBuf, PathBuf>,
}

impl Survey {
    /// Looks at every wanted path and at all directories above it.
    pub fn of(image: &Path, wanted: &BTreeSet<PathBuf>) -> Self {
        let mut survey = Self::default();
        for path in wanted {
            let Some(resolved) = within::resolve(image, path) else {
                continue;
            };
            for above in resolved.ancestors() {
                survey
                    .places
                    .entry(above.to_owned())
                    .or_insert_with(|| look(image, above));
            }
            survey.resolved.insert(path.clone(), resolved);
        }
        survey
    }

    /// Where a wanted path leads to, links followed; `None` if it leads nowhere.
    pub fn resolved(&self, path: &Path) -> Option<&Path> {
        self.resolved.get(path).map(PathBuf::as_path)
    }

    /// What is at a path (links followed) in the image.
    pub fn place(&self, path: &Path) -> Place {
        self.places.get(path).copied().unwrap_or(Place::Missing)
    }
}

fn look(image: &Path, path: &Path) -> Place {
    let inside = path.strip_prefix("/").unwrap_or(path);
    match fs::symlink_metadata(image.join(inside)) {
        Ok(found) if found.is_dir() => Place::Directory(Attributes {
            mode: found.mode() & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
        }),
        Ok(_) => Place::NotADirectory,
        Err(_) => Place::Missing,
    }
}
