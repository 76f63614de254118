//! SSH keys of users.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use host::files::write_synced;

use super::accounts::Account;
use super::users::{account_of, under};

/// Adds keys of the map `authorized_keys` to a user that exists.
pub(super) fn add(user: &str, lines: &[String]) -> Result<String> {
    let account = account_of(Path::new("/"), user)?;
    add_to(Path::new("/"), &account, lines)
}

/// Adds keys that are not there yet; what the user added stays. Keys that would have to be fetched are told.
pub(super) fn add_to(root: &Path, account: &Account, lines: &[String]) -> Result<String> {
    let folder = under(root, &account.home).join(".ssh");
    if fs::symlink_metadata(&folder).is_err() {
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("making {}/.ssh", account.home))?;
        lchown(&folder, Some(account.uid), Some(account.gid))?;
    }
    refuse_strange(&folder, account)?;
    let file = folder.join("authorized_keys");
    // A link there could lead root to any file: it is replaced, not read.
    let old = match fs::symlink_metadata(&file) {
        Ok(found) if found.is_file() => {
            fs::read_to_string(&file).context("reading authorized_keys")?
        }
        _ => String::new(),
    };
    let (text, fetched) = merged(&old, lines);
    if text != old {
        write_synced(&file, text.as_bytes(), 0o600)?;
        lchown(&file, Some(account.uid), Some(account.gid))?;
    }
    ensure!(
        fetched.is_empty(),
        "keys from the network are not carried out by this version: {}",
        fetched.join(", ")
    );
    Ok(String::new())
}

/// The home belongs to its user, who may have put a link where root is about to write.
fn refuse_strange(folder: &Path, account: &Account) -> Result<()> {
    let found = fs::symlink_metadata(folder)?;
    ensure!(
        found.is_dir() && (found.uid() == account.uid || found.uid() == 0),
        "{}/.ssh is not a directory of its user",
        account.home
    );
    Ok(())
}

fn merged(old: &str, lines: &[String]) -> (String, Vec<String>) {
    let mut text = old.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let mut fetched = Vec::new();
    for line in lines.iter().map(|line| line.trim()) {
        let remote = ["github:", "gitlab:", "http://", "https://"];
        if remote.iter().any(|start| line.starts_with(start)) {
            fetched.push(line.to_owned());
        } else if !line.is_empty() && !text.lines().any(|old| old.trim() == line) {
            text.push_str(line);
            text.push('\n');
        }
    }
    (text, fetched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn account() -> Account {
        Account {
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            home: "/home/ada".into(),
        }
    }

    #[test]
    fn keys_are_added_once_and_those_of_the_user_stay() {
        let lines = |text: &[&str]| {
            text.iter()
                .map(|line| (*line).to_owned())
                .collect::<Vec<_>>()
        };
        let table: [(&str, &[&str], &str, &[&str]); 5] = [
            ("", &["ssh-rsa A"], "ssh-rsa A\n", &[]),
            ("mine", &["ssh-rsa A"], "mine\nssh-rsa A\n", &[]),
            (
                "ssh-rsa A\n",
                &["ssh-rsa A", " ssh-rsa A "],
                "ssh-rsa A\n",
                &[],
            ),
            ("", &["", "a", "a"], "a\n", &[]),
            ("", &["github:ada", "a"], "a\n", &["github:ada"]),
        ];
        for (old, wanted, expected, fetched) in table {
            let result = merged(old, &lines(wanted));
            assert_eq!(
                result,
                (expected.to_owned(), lines(fetched)),
                "{old:?} {wanted:?}"
            );
        }
    }

    #[test]
    fn a_link_in_the_home_never_leads_root_elsewhere() {
        let tree = Tree::new();
        tree.file("etc/secret", b"keep\n");
        tree.file("home/ada/.ssh/x", b"");
        tree.link("home/ada/.ssh/authorized_keys", tree.at("etc/secret"));
        add_to(&tree.at(""), &account(), &["key".into()]).unwrap();
        assert_eq!(fs::read(tree.at("etc/secret")).unwrap(), b"keep\n");
        let tree = Tree::new();
        tree.file("etc/x", b"");
        tree.file("home/ada/x", b"");
        tree.link("home/ada/.ssh", tree.at("etc"));
        assert!(add_to(&tree.at(""), &account(), &["key".into()]).is_err());
        assert!(!tree.at("etc/authorized_keys").exists());
    }
}
