//! Brings the image's content to a persistent directory, once per image.
//!
//! A ledger beside the stores says what was put there and for which image. A file that is still as it was put is
//! replaced by the next image's; a file that the machine changed is kept. Dates alone cannot tell the two apart: images
//! are built with clamped dates, so "newer wins" would show the programs of the first image for ever.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

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
    /// What cannot be copied (devices, sockets), relative to the directory.
    pub left_out: Vec<String>,
}

/// What was put: enough to see later whether it was touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    size: u64,
    seconds: i64,
    nanoseconds: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
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
        let put = match present {
            None => true,
            Some(present) if same(source, target, wanted, present)? => false,
            Some(present) => match self.old.files.get(&key) {
                Some(mark) => *mark == Mark::of(target, present),
                None => !present.is_dir() && wanted.mtime() > present.mtime(),
            },
        };
        if put {
            put_file(source, target, wanted)?;
            self.done.put += 1;
        }
        let now = fs::symlink_metadata(target)?;
        if put || same(source, target, wanted, &now)? {
            self.new.files.insert(key, Mark::of(target, &now));
        } else {
            self.done.kept.push(key);
        }
        Ok(())
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
mod tests {
    use super::*;
    use crate::testing::{Tree, put};

    struct Case {
        tree: Tree,
    }

    impl Case {
        fn new() -> Self {
            let tree = Tree::new();
            fs::create_dir_all(tree.at("image/dir")).unwrap();
            fs::create_dir_all(tree.at("store")).unwrap();
            Self { tree }
        }

        fn seed(&self, id: &str) -> Seeded {
            seed(
                &self.tree.at("image"),
                &self.tree.at("store"),
                &self.tree.at("ledger/x.json"),
                id,
            )
            .unwrap()
        }

        fn write(&self, path: &str, text: &str, seconds: u64) {
            let at = self.tree.at(path);
            put(&at, text.as_bytes());
            let date = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let times = FileTimes::new().set_modified(date);
            File::options()
                .write(true)
                .open(at)
                .unwrap()
                .set_times(times)
                .unwrap();
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.tree.at(path)).unwrap()
        }
    }

    #[test]
    fn a_copy_keeps_mode_date_links_and_attributes() {
        let case = Case::new();
        case.write("image/dir/tool", "#!", 1_000_000);
        let tool = case.tree.at("image/dir/tool");
        fs::set_permissions(&tool, Permissions::from_mode(0o4750)).unwrap();
        let has_xattr = xattr::set(&tool, "user.note", b"kept").is_ok();
        case.tree.link("image/dir/link", "/nowhere");
        fs::set_permissions(case.tree.at("image/dir"), Permissions::from_mode(0o711)).unwrap();
        let done = case.seed("1");
        assert_eq!(done.put, 2);
        let copy = case.tree.at("store/dir/tool");
        let found = fs::metadata(&copy).unwrap();
        assert_eq!((found.mode() & 0o7777, found.mtime()), (0o4750, 1_000_000));
        if has_xattr {
            assert_eq!(xattr::get(&copy, "user.note").unwrap().unwrap(), b"kept");
        }
        let link = fs::read_link(case.tree.at("store/dir/link")).unwrap();
        assert_eq!(link, Path::new("/nowhere"));
        let dir = fs::metadata(case.tree.at("store/dir")).unwrap();
        assert_eq!(dir.mode() & 0o7777, 0o711);
    }

    #[test]
    fn the_same_image_is_seeded_once_and_costs_nothing_after() {
        let case = Case::new();
        case.write("image/a", "1", 1);
        assert_eq!(case.seed("1").put, 1);
        fs::remove_file(case.tree.at("store/a")).unwrap();
        assert_eq!(case.seed("1"), Seeded::default());
        assert!(!case.tree.at("store/a").exists());
    }

    #[test]
    fn the_next_image_replaces_what_nobody_touched_and_keeps_what_the_machine_changed() {
        let case = Case::new();
        // All dates are the same, as in a reproducible image.
        for name in ["untouched", "changed", "equal"] {
            case.write(&format!("image/{name}"), "old", 1);
        }
        case.tree.link("image/link", "old");
        case.seed("1");
        case.write("store/changed", "mine", 99);
        case.write("store/own", "mine", 99);
        for name in ["untouched", "changed"] {
            case.write(&format!("image/{name}"), "new", 1);
        }
        case.write("image/added", "new", 1);
        fs::remove_file(case.tree.at("image/link")).unwrap();
        case.tree.link("image/link", "new");
        let done = case.seed("2");
        assert_eq!((done.put, done.kept), (3, vec!["changed".to_owned()]));
        let table = [
            ("untouched", "new"),
            ("changed", "mine"),
            ("equal", "old"),
            ("own", "mine"),
            ("added", "new"),
        ];
        for (name, expected) in table {
            assert_eq!(case.read(&format!("store/{name}")), expected, "{name}");
        }
        let link = fs::read_link(case.tree.at("store/link")).unwrap();
        assert_eq!(link, Path::new("new"));
    }

    #[test]
    fn without_a_ledger_only_older_files_are_replaced() {
        let case = Case::new();
        case.write("image/older", "image", 10);
        case.write("store/older", "disk", 5);
        case.write("image/newer", "image", 10);
        case.write("store/newer", "disk", 20);
        let done = case.seed("1");
        assert_eq!(case.read("store/older"), "image");
        assert_eq!(case.read("store/newer"), "disk");
        assert_eq!(done.kept, ["newer"]);
    }

    #[test]
    fn a_seeding_that_was_cut_off_is_done_again() {
        let case = Case::new();
        case.write("image/a", "whole", 1);
        case.write(&format!("store/{UNFINISHED}"), "wh", 1);
        case.tree.file("ledger/x.json", b"{\"image_id\":\"1\",\"fi");
        assert_eq!(case.seed("1").put, 1);
        assert_eq!(case.read("store/a"), "whole");
        assert_eq!(fs::read_dir(case.tree.at("store")).unwrap().count(), 2);
    }

    #[test]
    fn a_directory_that_the_machine_made_of_a_file_is_kept() {
        let case = Case::new();
        case.write("image/a", "file", 10);
        fs::create_dir(case.tree.at("store/a")).unwrap();
        assert_eq!(case.seed("1").kept, ["a"]);
    }
}
