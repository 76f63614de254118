//! `directories`, `files` and `environment` of a step.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use host::files::write_synced;
use userdata::{Directory, File};

use super::Accounts;

/// Makes a directory and those above it; one that exists gets the mode and owner that are asked for.
pub(super) fn make_directory(wanted: &Directory) -> Result<String> {
    let path = Path::new(&wanted.path);
    let existed = path.is_dir();
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
    own(path, wanted.owner, wanted.group)?;
    let mode = wanted.permissions.or((!existed).then_some(0o755));
    if let Some(mode) = mode {
        fs::set_permissions(path, Permissions::from_mode(mode))
            .with_context(|| format!("setting the mode of {}", path.display()))?;
    }
    Ok(String::new())
}

/// Writes a file whole or not at all; without a mode it is 0644.
pub(super) fn write_file(wanted: &File) -> Result<String> {
    let path = target(Path::new(&wanted.path));
    if is_kernel_file(&path) {
        write_in_place(&path, &wanted.bytes())?;
        return Ok(String::new());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let (mut uid, mut gid) = (wanted.owner, wanted.group);
    if let Some(text) = &wanted.ownerstring {
        let (user, group) = by_name(text)?;
        (uid, gid) = (Some(user), group.or(gid));
    }
    write_synced(&path, &wanted.bytes(), wanted.permissions.unwrap_or(0o644))?;
    if uid.is_some() || gid.is_some() {
        own(&path, uid, gid)?;
        // A change of owner takes set-user-ID bits away.
        fs::set_permissions(
            &path,
            Permissions::from_mode(wanted.permissions.unwrap_or(0o644)),
        )?;
    }
    Ok(String::new())
}

/// Sets variables in an environment file (`NAME="value"`); the other lines stay as they are.
pub(super) fn merge_environment(path: &Path, values: &BTreeMap<String, String>) -> Result<String> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mode = fs::metadata(path).map_or(0o644, |found| found.permissions().mode() & 0o7777);
    write_synced(path, merged(&old, values).as_bytes(), mode)?;
    Ok(String::new())
}

fn merged(old: &str, values: &BTreeMap<String, String>) -> String {
    let name = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        line.split_once('=').map(|(name, _)| name.trim().to_owned())
    };
    let mut text: String = old
        .lines()
        .filter(|line| name(line).is_none_or(|name| !values.contains_key(&name)))
        .flat_map(|line| [line, "\n"])
        .collect();
    for (name, value) in values {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        for part in [name, "=\"", &value, "\"\n"] {
            text.push_str(part);
        }
    }
    text
}

/// Writes into a file that exists: those of `/proc` and `/sys` cannot be replaced.
pub(super) fn write_in_place(path: &Path, bytes: &[u8]) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("writing {}", path.display()))
}

fn is_kernel_file(path: &Path) -> bool {
    ["/proc", "/sys", "/dev"]
        .iter()
        .any(|tree| path.starts_with(tree))
}

/// A link that leads to a file is followed, so that `/etc/resolv.conf` stays a link; a dangling one is replaced.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

pub(super) fn own(path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    chown(path, uid, gid).with_context(|| format!("setting the owner of {}", path.display()))
}

pub(super) fn by_name(text: &str) -> Result<(u32, Option<u32>)> {
    let accounts = Accounts {
        passwd: fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?,
        group: fs::read_to_string("/etc/group").context("reading /etc/group")?,
        ..Accounts::default()
    };
    owner_of(text, &accounts)
}

/// `user` or `user:group`, each a name or a number; a user without a group brings its primary one.
fn owner_of(text: &str, accounts: &Accounts) -> Result<(u32, Option<u32>)> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let account = accounts.account(user);
    let Some(uid) = user
        .parse()
        .ok()
        .or(account.as_ref().map(|account| account.uid))
    else {
        bail!("there is no user {user:?}");
    };
    let gid = match group {
        Some(group) => match group.parse().ok().or(accounts.gid(group)) {
            Some(gid) => Some(gid),
            None => bail!("there is no group {group:?}"),
        },
        None => account.map(|account| account.gid),
    };
    Ok((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;
    use std::os::unix::fs::MetadataExt;

    fn file(path: &Path, content: &str, mode: Option<u32>) -> File {
        File {
            path: path.to_str().unwrap().to_owned(),
            permissions: mode,
            owner: None,
            group: None,
            ownerstring: None,
            content: userdata::Secret::new(content),
            encoding: userdata::Encoding::Plain,
        }
    }

    #[test]
    fn a_file_gets_its_mode_and_the_directories_above_it() {
        let tree = Tree::new();
        for (name, mode, expected) in [("a/b/c", None, 0o644), ("a/secret", Some(0o600), 0o600)] {
            let path = tree.at(name);
            write_file(&file(&path, "text", mode)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "text");
            assert_eq!(
                fs::metadata(&path).unwrap().mode() & 0o7777,
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn a_link_to_a_file_stays_a_link_and_a_dangling_one_is_replaced() {
        let tree = Tree::new();
        tree.file("real", b"old");
        tree.link("link", "real");
        tree.link("dangling", "nowhere");
        for name in ["link", "dangling"] {
            write_file(&file(&tree.at(name), "new", None)).unwrap();
        }
        assert!(tree.at("link").is_symlink());
        assert_eq!(fs::read_to_string(tree.at("real")).unwrap(), "new");
        assert!(!tree.at("dangling").is_symlink());
    }

    #[test]
    fn a_directory_that_exists_keeps_its_mode_unless_one_is_asked_for() {
        let tree = Tree::new();
        let path = tree.at("dir");
        for (mode, expected) in [(Some(0o700), 0o700), (None, 0o700), (Some(0o1777), 0o1777)] {
            let wanted = Directory {
                path: path.to_str().unwrap().to_owned(),
                permissions: mode,
                owner: None,
                group: None,
            };
            make_directory(&wanted).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, expected);
        }
    }

    #[test]
    fn owners_are_names_or_numbers() {
        let accounts = Accounts {
            passwd: "ada:x:1001:1002::/home/ada:/bin/sh\n".into(),
            group: "ada:x:1002:\nsudo:x:27:\n".into(),
            ..Accounts::default()
        };
        let table = [
            ("ada", Some((1001, Some(1002)))),
            ("ada:sudo", Some((1001, Some(27)))),
            ("7:8", Some((7, Some(8)))),
            ("7", Some((7, None))),
            ("bob", None),
            ("ada:wheel", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(owner_of(text, &accounts).ok(), expected, "{text}");
        }
    }

    #[test]
    fn variables_are_replaced_and_other_lines_stay() {
        let values = BTreeMap::from([
            ("A".to_owned(), "x \"y\"".to_owned()),
            ("B".to_owned(), "1".to_owned()),
        ]);
        assert_eq!(
            merged("# note\nexport A=old\nC=3\nB=0", &values),
            "# note\nC=3\nA=\"x \\\"y\\\"\"\nB=\"1\"\n"
        );
    }
}
