//! Which of several copies of a disk this start came from.
//!
//! A disk that was cloned has the same ids as its copy. What tells them apart is what happens to one of them alone: GRUB
//! counts a number up at every start, in the environment block of the disk that it was loaded from, and tells it to the
//! kernel (`grub.cfg`). The copy that has that number is the one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use host::{Host, Mount};

use crate::find::{Partition, wait_for, with_partuuid};
use crate::paths::Paths;

/// The variable in `grub_oem_env` of the state partition: two digits.
pub const VARIABLE: &str = "landfall_turn";

/// The number on a state partition that is mounted at `root`; `None` if it has none.
pub fn read(root: &Path) -> Option<String> {
    let block = fs::read(root.join("grub_oem_env")).ok()?;
    let text = String::from_utf8_lossy(&block);
    let value = |line: &str| Some(line.strip_prefix(VARIABLE)?.strip_prefix('=')?.to_owned());
    text.lines().find_map(value)
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

/// The partition with the PARTUUID `id` whose disk has this number. A copy that is there already is not taken while the
/// right one may still show up; `None` if none does, or if two have the number.
pub(crate) fn of_this_start(
    paths: &Paths,
    id: &str,
    turn: &str,
    host: &mut impl Host,
) -> Option<Partition> {
    let at = paths.at("/run/landfall/copy");
    fs::create_dir_all(&at).ok()?;
    // Each is read once: what it says does not change while this system starts.
    let mut read: BTreeMap<PathBuf, bool> = BTreeMap::new();
    let look = || -> Result<_, Infallible> {
        let copies = with_partuuid(paths, id);
        for copy in &copies {
            let has =
                || matches!(read_device(&copy.node, &at, host), Ok(Some(found)) if found == turn);
            read.entry(copy.node.clone()).or_insert_with(has);
        }
        let mut found = copies.into_iter().filter(|copy| read[&copy.node]);
        let Some(one) = found.next() else {
            return Ok(None);
        };
        Ok(Some(found.next().is_none().then_some(one)))
    };
    match wait_for(paths.wait, look) {
        Ok(found) => found.flatten(),
        Err(never) => match never {},
    }
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
                read_only: true,
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
        let mut devices = vec![copy(&tree, "sda", "04"), copy(&tree, "sdb", "05")];
        let found = |turn: &str| {
            let found = of_this_start(&tree.paths, "aa-05", turn, &mut Linux);
            found.map(|partition| partition.disk().to_owned())
        };
        assert_eq!(found("04").as_deref(), Some("sda"));
        assert_eq!(found("05").as_deref(), Some("sdb"));
        assert_eq!(found("06"), None);
        devices.push(copy(&tree, "sdc", "05"));
        assert_eq!(found("05"), None);
        assert_eq!(found("04").as_deref(), Some("sda"));
        for device in devices {
            Linux.detach_loop(&device).unwrap();
        }
    }
}
