//! Which of several copies of a disk this start came from.
//!
//! A disk that was cloned has the same ids as its copy. What tells them apart is what happens to one of them alone: GRUB
//! counts a number up at every start, in the environment block of the disk that it was loaded from, and tells it to the
//! kernel (`grub.cfg`). The copy that has that number is the one.
//!
//! Two copies that were started equally often could have the same number one day. So the first two of its four digits are
//! not counted: as soon as two copies are seen together, the one in use gets others than the rest.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use host::{Host, Mount};

use crate::find::{Partition, wait_for, with_partuuid};
use crate::paths::Paths;

/// The variable in `grub_oem_env` of the state partition: four digits.
pub const VARIABLE: &str = "landfall_turn";

/// The file that it stands in.
const BLOCK: &str = "grub_oem_env";

/// How many of its digits are not counted.
const GIVEN: usize = 2;

/// Where its value begins in the block, and the value; `None` if it has none.
fn find(block: &[u8]) -> Option<(usize, String)> {
    let name = format!("\n{VARIABLE}=");
    let start = block
        .windows(name.len())
        .position(|part| part == name.as_bytes())?
        + name.len();
    let value = block.get(start..)?.split(|byte| *byte == b'\n').next()?;
    Some((start, String::from_utf8_lossy(value).into_owned()))
}

/// The number on a state partition that is mounted at `root`; `None` if it has none.
pub fn read(root: &Path) -> Option<String> {
    let block = fs::read(root.join(BLOCK)).ok()?;
    find(&block).map(|(_, value)| value)
}

/// As [`read`], of a device: nothing is written, not even a journal is replayed. GRUB writes the block in place, so what
/// a journal holds makes no difference.
pub fn read_device(device: &Path, at: &Path, host: &mut impl Host) -> Result<Option<String>> {
    let mount = Mount::new(device, at, "ext4").read_only().options("noload");
    host.mount(&mount)?;
    let turn = read(at);
    host.unmount(at)?;
    Ok(turn)
}

/// A partition that is known by its number, and the numbers of its copies.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) partition: Partition,
    pub(crate) copies: Vec<String>,
}

/// The partition with the PARTUUID `id` whose disk has this number. A copy that is there already is not taken while the
/// right one may still show up; `None` if none does, or if two have the number.
pub(crate) fn of_this_start(
    paths: &Paths,
    id: &str,
    turn: &str,
    wait: Duration,
    host: &mut impl Host,
) -> Option<Known> {
    let at = place(paths).ok()?;
    // Each is read once: what it says does not change while this system starts. One that cannot be read yet is tried again.
    let mut read: BTreeMap<PathBuf, String> = BTreeMap::new();
    let look = || -> Result<_, Infallible> {
        let mut right = Vec::new();
        let mut copies = Vec::new();
        for one in with_partuuid(paths, id) {
            if !read.contains_key(&one.node)
                && let Ok(told) = read_device(&one.node, &at, host)
            {
                read.insert(one.node.clone(), told.unwrap_or_default());
            }
            match read.get(&one.node) {
                Some(told) if told == turn => right.push(one),
                told => copies.push(told.cloned().unwrap_or_default()),
            }
        }
        // Two paths to one disk are no copies.
        right.dedup_by(|a, b| a.wwid.is_some() && a.wwid == b.wwid);
        let partition = right.pop();
        let alone = right.is_empty();
        Ok(partition.map(|partition| alone.then_some(Known { partition, copies })))
    };
    match wait_for(wait, look) {
        Ok(found) => found.flatten(),
        Err(never) => match never {},
    }
}

/// Gives the disk in use other digits than its copies have, if it has not; `turn` is its number.
pub(crate) fn part_from_copies(
    paths: &Paths,
    known: &Known,
    turn: &str,
    host: &mut impl Host,
) -> Result<()> {
    let Some(digits) = free(turn, &known.copies) else {
        return Ok(());
    };
    let at = place(paths)?;
    host.mount(&Mount::new(&known.partition.node, &at, "ext4"))?;
    let written = overwrite(&at, &digits);
    host.unmount(&at)?;
    written
}

/// The digits that a number is to begin with; `None` if it begins with none that a copy's begins with.
fn free(turn: &str, copies: &[String]) -> Option<String> {
    let taken = |digits: &str| copies.iter().any(|copy| copy.starts_with(digits));
    if !taken(turn.get(..GIVEN)?) {
        return None;
    }
    (0..100)
        .map(|number| format!("{number:02}"))
        .find(|digits| !taken(digits))
}

/// Writes into the block that the file has: GRUB, which replays no journal, finds it there.
fn overwrite(root: &Path, digits: &str) -> Result<()> {
    let path = root.join(BLOCK);
    let context = || format!("writing {}", path.display());
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .with_context(context)?;
    let block = fs::read(&path).with_context(context)?;
    let (at, _) = find(&block).with_context(context)?;
    file.write_all_at(digits.as_bytes(), at as u64)
        .and_then(|()| file.sync_all())
        .with_context(context)
}

/// Where a state partition is mounted to be looked at.
fn place(paths: &Paths) -> Result<PathBuf> {
    let at = paths.at("/run/landfall/copy");
    fs::create_dir_all(&at).with_context(|| format!("making {}", at.display()))?;
    Ok(at)
}

#[cfg(test)]
mod tests {
    use host::{Argv, Linux, LoopRequest};

    use super::*;
    use crate::testing::Tree;

    #[test]
    fn the_number_is_read_from_the_block_as_grub_writes_it() {
        let tree = Tree::new();
        let root = tree.at("state");
        assert_eq!(read(&root), None);
        let block = "# GRUB Environment Block\nlandfall_system=1\nlandfall_turn=42\n####";
        tree.file("state/grub_oem_env", block.as_bytes());
        assert_eq!(read(&root).as_deref(), Some("42"));
        tree.file(
            "state/grub_oem_env",
            b"# GRUB Environment Block\nlandfall_turns=1\n",
        );
        assert_eq!(read(&root), None);
    }

    /// A state partition on a disk of its own, on which GRUB counted up to `turn`.
    fn copy(tree: &Tree, disk: &str, turn: &str) -> PathBuf {
        let block = format!("# GRUB Environment Block\nlandfall_turn={turn}\n");
        tree.file(&format!("{disk}.files/grub_oem_env"), block.as_bytes());
        let image = tree.at(&format!("{disk}.img"));
        let argv = Argv::new("mke2fs").args(["-q", "-t", "ext4", "-d"]);
        let argv = argv.arg(tree.at(&format!("{disk}.files"))).arg(&image);
        Linux.run(&argv.arg("4M")).unwrap();
        let device = Linux
            .attach_loop(&LoopRequest {
                file: image,
                offset: 0,
                size: None,
                read_only: false,
                sector_size: None,
            })
            .unwrap();
        tree.partition(disk, &format!("{disk}5"), 5, "state", "PARTUUID=aa-05\n");
        let node = tree.at(&format!("dev/{disk}5"));
        fs::remove_file(&node).unwrap();
        std::os::unix::fs::symlink(&device, node).unwrap();
        device
    }

    #[test]
    fn root_of_copies_the_one_that_counted_is_taken_and_none_if_that_does_not_tell() {
        let tree = Tree::new();
        let mut devices = vec![copy(&tree, "sda", "0004"), copy(&tree, "sdb", "0005")];
        let found = |turn: &str| {
            let found = of_this_start(&tree.paths, "aa-05", turn, Duration::ZERO, &mut Linux);
            found.map(|known| known.partition.disk().to_owned())
        };
        assert_eq!(found("0004").as_deref(), Some("sda"));
        assert_eq!(found("0005").as_deref(), Some("sdb"));
        assert_eq!(found("0006"), None);
        devices.push(copy(&tree, "sdc", "0005"));
        assert_eq!(found("0005"), None);
        assert_eq!(found("0004").as_deref(), Some("sda"));
        // Two paths to one disk.
        for disk in ["sdb", "sdc"] {
            tree.file(&format!("sys/devices/{disk}/wwid"), b"naa.5000\n");
        }
        assert!(found("0005").is_some());
        for device in devices {
            Linux.detach_loop(&device).unwrap();
        }
    }

    #[test]
    fn root_the_disk_in_use_gets_digits_that_no_copy_has_and_nothing_else_of_it_changes() {
        let tree = Tree::new();
        let devices = [copy(&tree, "sda", "0004"), copy(&tree, "sdb", "0005")];
        let block = |disk: &str| {
            let (node, at) = (tree.at(&format!("dev/{disk}5")), tree.at("look"));
            fs::create_dir_all(&at).unwrap();
            Linux
                .mount(&Mount::new(node, &at, "ext4").read_only())
                .unwrap();
            let block = fs::read_to_string(at.join(BLOCK)).unwrap();
            Linux.unmount(&at).unwrap();
            block
        };
        let before = [block("sda"), block("sdb")];
        for again in [false, true] {
            let turn = if again { "0105" } else { "0005" };
            let known =
                of_this_start(&tree.paths, "aa-05", turn, Duration::ZERO, &mut Linux).unwrap();
            assert_eq!(known.partition.disk(), "sdb");
            part_from_copies(&tree.paths, &known, turn, &mut Linux).unwrap();
            assert_eq!(block("sdb"), before[1].replace("0005", "0105"));
            assert_eq!(block("sda"), before[0]);
        }
        for device in devices {
            Linux.detach_loop(&device).unwrap();
        }
    }

    #[test]
    fn digits_are_changed_only_where_a_copy_has_the_same() {
        let copies = |turns: &[&str]| {
            turns
                .iter()
                .map(|turn| (*turn).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(free("0007", &copies(&["0103"])), None);
        assert_eq!(free("0007", &[]), None);
        assert_eq!(free("0007", &copies(&["0003"])).as_deref(), Some("01"));
        assert_eq!(
            free("0207", &copies(&["0203", "0003"])).as_deref(),
            Some("01")
        );
        assert_eq!(free("7", &copies(&["7"])), None);
    }
}
