//! `users` of a step: the account files, the home, the keys.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use host::files::write_synced;

use super::accounts::{Account, Accounts, User};
use super::{Ids, keys};
use crate::password::{hash_password, system_random};

/// Creates or updates a user in `/etc` of this root, then its home and its keys.
pub(super) fn ensure(wanted: &userdata::User, keys: keys::Source<'_>) -> Result<String> {
    ensure_in(Path::new("/"), wanted, keys)
}

fn ensure_in(root: &Path, wanted: &userdata::User, keys: keys::Source<'_>) -> Result<String> {
    let user = translate(wanted)?;
    let (account, remembered) = change(root, |accounts, homes| accounts.ensure_user(&user, homes))?;
    if !wanted.no_create_home {
        make_home(root, &account)?;
    }
    if !wanted.ssh_authorized_keys.is_empty() {
        keys::add_to(root, &account, &wanted.ssh_authorized_keys, keys)?;
    }
    // A user who can enter now is worth more than the same id at the next boot: told last.
    remembered?;
    Ok(String::new())
}

/// Changes the account files of `root`; `work` gets them, and who owns which home. The second result tells whether
/// the ids could be kept for the next boot; the files are written all the same.
pub(super) fn change<T>(
    root: &Path,
    work: impl FnOnce(&mut Accounts, &BTreeMap<String, u32>) -> Result<T, String>,
) -> Result<(T, Result<()>)> {
    let mut accounts = read(root)?;
    accounts.known = Ids::read(root);
    let known = accounts.known.clone();
    let homes = owners_of_homes(&root.join("home"));
    let done = work(&mut accounts, &homes).map_err(|reason| anyhow!(reason))?;
    write(root, &accounts)?;
    let remembered = if accounts.known == known {
        Ok(())
    } else {
        let written = accounts.known.write(root);
        written.context("keeping the ids for the next boot")
    };
    Ok((done, remembered))
}

/// The account of a user that exists.
pub(super) fn account_of(root: &Path, name: &str) -> Result<Account> {
    read(root)?
        .account(name)
        .with_context(|| format!("there is no user {name:?}"))
}

fn translate(wanted: &userdata::User) -> Result<User> {
    let hash = wanted.passwd.as_ref().map(hashed).transpose();
    let hash = hash.with_context(|| format!("user {}", wanted.name))?;
    let primary_group = match (&wanted.primary_group, wanted.no_user_group) {
        (Some(group), _) => Some(group.clone()),
        (None, true) => Some("users".to_owned()),
        (None, false) => None,
    };
    Ok(User {
        name: wanted.name.clone(),
        hash,
        locked: wanted.lock_passwd,
        gecos: wanted.gecos.clone(),
        home: wanted.homedir.clone(),
        shell: wanted.shell.clone(),
        uid: wanted.uid,
        primary_group,
        gid: None,
        groups: wanted.groups.clone(),
        system: wanted.system,
    })
}

/// A password as shadow(5) holds it.
pub(super) fn hashed(passwd: &userdata::Secret) -> Result<String> {
    match passwd.reveal() {
        hash if userdata::is_hashed(hash) => Ok(hash.to_owned()),
        clear => hash_password(clear, &mut system_random),
    }
}

fn read(root: &Path) -> Result<Accounts> {
    let text = |name: &str| {
        let path = root.join("etc").join(name);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            result => result.with_context(|| format!("reading {}", path.display())),
        }
    };
    Ok(Accounts {
        passwd: text("passwd")?,
        group: text("group")?,
        shadow: text("shadow")?,
        gshadow: text("gshadow")?,
        known: Ids::default(),
    })
}

/// Hashes first: a user whose password is not there yet cannot be entered, one without an entry in shadow might be.
fn write(root: &Path, accounts: &Accounts) -> Result<()> {
    let shadow = accounts.gid("shadow").unwrap_or(0);
    let files = [
        ("shadow", &accounts.shadow, 0o640, shadow),
        ("gshadow", &accounts.gshadow, 0o640, shadow),
        ("group", &accounts.group, 0o644, 0),
        ("passwd", &accounts.passwd, 0o644, 0),
    ];
    for (name, text, mode, gid) in files {
        let path = root.join("etc").join(name);
        let unchanged = fs::read_to_string(&path).is_ok_and(|old| old == *text);
        if unchanged || (text.is_empty() && !path.exists()) {
            continue;
        }
        write_synced(&path, text.as_bytes(), mode)?;
        // In tests without root the owner stays.
        if gid != 0 {
            chown(&path, Some(0), Some(gid))
                .with_context(|| format!("setting the owner of {}", path.display()))?;
        }
    }
    Ok(())
}

fn owners_of_homes(homes: &Path) -> BTreeMap<String, u32> {
    let Ok(entries) = fs::read_dir(homes) else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let found = fs::symlink_metadata(entry.path()).ok()?;
            let path = format!("/home/{}", entry.file_name().to_str()?);
            found.is_dir().then_some((path, found.uid()))
        })
        .collect()
}

/// A home that exists is left as it is: it persists, and its owner may have changed it.
fn make_home(root: &Path, account: &Account) -> Result<()> {
    let home = under(root, &account.home);
    if home.exists() {
        return Ok(());
    }
    let make = || {
        if let Some(above) = home.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(above)?;
        }
        copy_tree(&root.join("etc/skel"), &home, account)?;
        fs::set_permissions(&home, Permissions::from_mode(0o700))
    };
    make().with_context(|| format!("making the home {}", account.home))
}

/// Copies files, directories and links for a new owner; what is no such thing is left out.
fn copy_tree(from: &Path, into: &Path, owner: &Account) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(into)?;
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        result => Some(result?),
    };
    for entry in entries.into_iter().flatten() {
        let (source, target) = {
            let entry = entry?;
            (entry.path(), into.join(entry.file_name()))
        };
        let found = fs::symlink_metadata(&source)?;
        if found.is_dir() {
            copy_tree(&source, &target, owner)?;
            fs::set_permissions(&target, found.permissions())?;
        } else if found.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
            lchown(&target, Some(owner.uid), Some(owner.gid))?;
        } else if found.is_file() {
            fs::copy(&source, &target)?;
            lchown(&target, Some(owner.uid), Some(owner.gid))?;
        }
    }
    lchown(into, Some(owner.uid), Some(owner.gid))
}

pub(super) fn under(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn image() -> Tree {
        let tree = Tree::new();
        tree.file("etc/passwd", b"root:x:0:0:root:/root:/bin/bash\n");
        tree.file("etc/group", b"root:x:0:\nshadow:x:42:\nsudo:x:27:\n");
        tree.file("etc/shadow", b"root:*:19000:0:99999:7:::\n");
        tree.file("etc/skel/.profile", b"# skel\n");
        tree.file("home/other/file", b"");
        tree
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn nowhere(address: &str) -> Result<String> {
        Err(anyhow!("{address} is not asked"))
    }

    #[test]
    fn root_a_user_gets_a_login_a_home_and_its_keys_and_a_second_time_changes_nothing() {
        let tree = image();
        let root = tree.at("");
        let wanted = userdata::User {
            name: "kairos".into(),
            passwd: Some(userdata::Secret::new("clear text")),
            groups: vec!["sudo".into()],
            ssh_authorized_keys: vec!["ssh-ed25519 AAAA one".into()],
            ..userdata::User::default()
        };
        ensure_in(&root, &wanted, &nowhere).unwrap();
        let shadow = fs::read_to_string(tree.at("etc/shadow")).unwrap();
        assert!(shadow.contains("kairos:$6$") && !shadow.contains("clear text"));
        let found = fs::metadata(tree.at("etc/shadow")).unwrap();
        assert_eq!(
            (found.mode() & 0o7777, found.uid(), found.gid()),
            (0o640, 0, 42)
        );
        let expected = [
            ("home/kairos", 0o700),
            ("home/kairos/.profile", 0o644),
            ("home/kairos/.ssh", 0o700),
            ("home/kairos/.ssh/authorized_keys", 0o600),
        ];
        for (name, bits) in expected {
            let path = tree.at(name);
            assert_eq!(mode(&path), bits, "{name}");
            // Other homes belong to root here, so 1000 is free.
            assert_eq!(fs::metadata(&path).unwrap().uid(), 1000, "{name}");
        }
        ensure_in(&root, &wanted, &nowhere).unwrap();
        let keys = fs::read_to_string(tree.at("home/kairos/.ssh/authorized_keys")).unwrap();
        assert_eq!(keys, "ssh-ed25519 AAAA one\n");
    }

    #[test]
    fn a_clear_password_that_looks_like_a_hash_is_hashed() {
        let hash = "$6$rounds=5000$saltsalt$abcdefghijklmnop./0123456789";
        for (passwd, kept) in [
            (hash, true),
            ("!", true),
            ("$ecret", false),
            ("!Secret1", false),
            ("*pass", false),
        ] {
            let wanted = userdata::User {
                name: "ada".into(),
                passwd: Some(userdata::Secret::new(passwd)),
                ..userdata::User::default()
            };
            let hash = translate(&wanted).unwrap().hash.unwrap();
            assert_eq!(hash == passwd, kept, "{passwd}");
            assert!(kept || hash.starts_with("$6$"), "{passwd}");
        }
    }

    #[test]
    fn root_a_user_without_a_home_has_the_same_id_at_every_boot() {
        let wanted = |name: &str| userdata::User {
            name: name.into(),
            no_create_home: true,
            ..userdata::User::default()
        };
        let boot = |tree: &Tree, names: &[&str]| -> Vec<u32> {
            for file in ["passwd", "group", "shadow"] {
                let bytes = fs::read(image().at("etc").join(file)).unwrap();
                tree.file(&format!("etc/{file}"), &bytes);
            }
            let uid = |name: &&str| {
                ensure_in(&tree.at(""), &wanted(name), &nowhere).unwrap();
                account_of(&tree.at(""), name).unwrap().uid
            };
            names.iter().map(uid).collect()
        };
        let tree = Tree::new();
        assert_eq!(boot(&tree, &["ada", "bob"]), [1000, 1001]);
        assert_eq!(boot(&tree, &["bob"]), [1001]);
        assert_eq!(boot(&tree, &["new", "bob", "ada"]), [1002, 1001, 1000]);
        let ledger = tree.at("usr/local/.state/.landfall/accounts.json");
        assert_eq!(mode(&ledger), 0o600);
    }

    #[test]
    fn root_a_user_without_a_home_has_none() {
        let tree = image();
        let wanted = userdata::User {
            name: "probe".into(),
            no_create_home: true,
            ..userdata::User::default()
        };
        ensure_in(&tree.at(""), &wanted, &nowhere).unwrap();
        assert!(!tree.at("home/probe").exists());
        assert_eq!(
            account_of(&tree.at(""), "probe").unwrap().home,
            "/home/probe"
        );
        assert!(account_of(&tree.at(""), "nobody-here").is_err());
    }
}
