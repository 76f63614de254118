//! Which name has which id, from boot to boot.
//!
//! `/etc` is made anew at every boot and users come from a list that may change, so their order must not decide about
//! the files that they own. A home below `/home` tells its owner's id; a user without one is only known from here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host::files::write_synced;
use serde::{Deserialize, Serialize};

/// Beside the ledgers of the seeding, on the persistent partition.
const FILE: &str = "usr/local/.state/.landfall/accounts.json";

/// The ids that names had in earlier boots. A name keeps its id, and nobody else gets it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ids {
    /// Users.
    pub users: BTreeMap<String, u32>,
    /// Groups.
    pub groups: BTreeMap<String, u32>,
}

impl Ids {
    /// Reads what is known in `root`; a file that is missing or torn is begun anew.
    pub(super) fn read(root: &Path) -> Self {
        let file = file(root);
        file.and_then(|file| fs::read(file).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Writes it down for the next boot.
    pub(super) fn write(&self, root: &Path) -> Result<()> {
        let Some(file) = file(root) else {
            return Ok(());
        };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        write_synced(&file, &serde_json::to_vec(self)?, 0o600)
    }
}

/// None in the root of an initramfs, where nothing is persistent.
fn file(root: &Path) -> Option<PathBuf> {
    (!root.join("etc/initrd-release").exists()).then(|| root.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn what_was_written_is_read_again_and_a_torn_file_is_begun_anew() {
        let tree = Tree::new();
        let root = tree.at("");
        assert_eq!(Ids::read(&root), Ids::default());
        let ids = Ids {
            users: BTreeMap::from([("ada".to_owned(), 1001)]),
            ..Ids::default()
        };
        ids.write(&root).unwrap();
        assert_eq!(Ids::read(&root), ids);
        tree.file(FILE, b"{\"users\":{\"ada\"");
        assert_eq!(Ids::read(&root), Ids::default());
    }

    #[test]
    fn an_initramfs_has_no_ids_to_keep() {
        let tree = Tree::new();
        tree.file("etc/initrd-release", b"");
        Ids::default().write(&tree.at("")).unwrap();
        assert!(!tree.at("usr").exists());
    }
}
