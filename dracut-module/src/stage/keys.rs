//! SSH keys of users.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::Path;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fetch::Bounds;
use host::files::write_synced;
use userdata::Step;

use super::accounts::Account;
use super::facts::Setting;
use super::network;
use super::users::{account_of, under};

/// What a server of keys may cost. The boot waits for it.
const BOUNDS: Bounds = Bounds {
    bytes: 64 * 1024,
    time: Duration::from_secs(30),
};

/// The beginnings of a line that stands for keys elsewhere.
const REMOTE: [&str; 4] = ["github:", "gitlab:", "https://", "http://"];

/// Gives the text behind an address.
pub(super) type Source<'a> = &'a dyn Fn(&str) -> Result<String>;

/// Fetches keys with the trust and the proxy of a step.
pub(super) fn fetched(step: &Step, setting: Setting) -> impl Fn(&str) -> Result<String> {
    move |address| {
        let text = network::client(step, setting)?.get_text(address, BOUNDS);
        text.map_err(|error| network::told(&error))
    }
}

/// Adds keys of the map `authorized_keys` to a user that exists.
pub(super) fn add(user: &str, lines: &[String], source: Source<'_>) -> Result<String> {
    let account = account_of(Path::new("/"), user)?;
    add_to(Path::new("/"), &account, lines, source)
}

/// Adds keys that are not there yet; what the user added stays. A source that fails is told after all others are added.
pub(super) fn add_to(
    root: &Path,
    account: &Account,
    lines: &[String],
    source: Source<'_>,
) -> Result<String> {
    let (lines, failed) = resolve(lines, source);
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
    let text = merged(&old, &lines);
    if text != old {
        write_synced(&file, text.as_bytes(), 0o600)?;
        lchown(&file, Some(account.uid), Some(account.gid))?;
    }
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(String::new())
}

/// The keys behind all lines, and why some are missing.
fn resolve(lines: &[String], source: Source<'_>) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut failed) = (Vec::new(), Vec::new());
    for line in lines.iter().map(|line| line.trim()) {
        if !REMOTE.iter().any(|start| line.starts_with(start)) {
            keys.push(line.to_owned());
            continue;
        }
        match address_of(line).and_then(|address| keys_in(&source(&address)?)) {
            Ok(found) => keys.extend(found),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    (keys, failed)
}

/// Who can change the answer can enter the host, so it must come from a server that is verified.
fn address_of(line: &str) -> Result<String> {
    for (start, server) in [
        ("github:", "https://github.com"),
        ("gitlab:", "https://gitlab.com"),
    ] {
        let Some(name) = line.strip_prefix(start) else {
            continue;
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        ensure!(
            !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed),
            "{line:?} does not name an account"
        );
        return Ok(format!("{server}/{name}.keys"));
    }
    ensure!(
        line.starts_with("https://"),
        "keys are fetched by https only: write the address with https://"
    );
    Ok(line.to_owned())
}

/// One key on each line, without options: who answers decides who may enter, not what else happens then. A page of a
/// portal is no list of keys, and nothing of it is taken.
fn keys_in(text: &str) -> Result<Vec<String>> {
    let lines = text.lines().map(str::trim);
    let keys: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    for key in &keys {
        let kinds = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
        let is_key = kinds.iter().any(|kind| key.starts_with(kind)) && key.contains(' ');
        if !is_key || key.contains(char::is_control) {
            bail!("what was fetched is no list of SSH keys");
        }
    }
    ensure!(!keys.is_empty(), "what was fetched holds no SSH key");
    Ok(keys.into_iter().map(str::to_owned).collect())
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

fn merged(old: &str, lines: &[String]) -> String {
    let mut text = old.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for line in lines.iter().map(|line| line.trim()) {
        if !line.is_empty() && !text.lines().any(|old| old.trim() == line) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
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

    fn nowhere(address: &str) -> Result<String> {
        bail!("{address} is not asked")
    }

    #[test]
    fn keys_are_added_once_and_those_of_the_user_stay() {
        let lines = |text: &[&str]| {
            text.iter()
                .map(|line| (*line).to_owned())
                .collect::<Vec<_>>()
        };
        let table: [(&str, &[&str], &str); 4] = [
            ("", &["ssh-rsa A"], "ssh-rsa A\n"),
            ("mine", &["ssh-rsa A"], "mine\nssh-rsa A\n"),
            ("ssh-rsa A\n", &["ssh-rsa A", " ssh-rsa A "], "ssh-rsa A\n"),
            ("", &["", "a", "a"], "a\n"),
        ];
        for (old, wanted, expected) in table {
            assert_eq!(merged(old, &lines(wanted)), expected, "{old:?} {wanted:?}");
        }
    }

    #[test]
    fn fetched_keys_are_added_and_a_source_that_fails_keeps_no_other_away() {
        let tree = Tree::new();
        tree.file("home/ada/x", b"");
        let source = |address: &str| match address {
            "https://github.com/ada.keys" => {
                Ok("ssh-ed25519 AAAA\n\necdsa-sha2-nistp256 B\n".to_owned())
            }
            "https://keys.example/ada" => Ok("<html>sign in</html>".to_owned()),
            _ => bail!("LF-N02: {address}"),
        };
        let lines = [
            "gitlab:ada",
            "https://keys.example/ada",
            "github:ada",
            "ssh-rsa A",
        ];
        let lines = lines.map(str::to_owned);
        let error = add_to(&tree.at(""), &account(), &lines, &source).unwrap_err();
        assert_eq!(
            error.to_string(),
            "LF-N02: https://gitlab.com/ada.keys; what was fetched is no list of SSH keys"
        );
        let text = fs::read_to_string(tree.at("home/ada/.ssh/authorized_keys")).unwrap();
        assert_eq!(text, "ssh-ed25519 AAAA\necdsa-sha2-nistp256 B\nssh-rsa A\n");
    }

    #[test]
    fn only_an_address_that_is_verified_and_lines_that_are_keys_are_taken() {
        for line in [
            "github:",
            "github:../x",
            "gitlab:a/b",
            "http://keys.example/a",
        ] {
            assert!(address_of(line).is_err(), "{line}");
        }
        for text in [
            "",
            "# none\n",
            "command=\"sh\" ssh-rsa A",
            "ssh-rsa",
            "ssh-rsa A\u{1b}",
        ] {
            assert!(keys_in(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_link_in_the_home_never_leads_root_elsewhere() {
        let tree = Tree::new();
        tree.file("etc/secret", b"keep\n");
        tree.file("home/ada/.ssh/x", b"");
        tree.link("home/ada/.ssh/authorized_keys", tree.at("etc/secret"));
        add_to(&tree.at(""), &account(), &["key".into()], &nowhere).unwrap();
        assert_eq!(fs::read(tree.at("etc/secret")).unwrap(), b"keep\n");
        let tree = Tree::new();
        tree.file("etc/x", b"");
        tree.file("home/ada/x", b"");
        tree.link("home/ada/.ssh", tree.at("etc"));
        assert!(add_to(&tree.at(""), &account(), &["key".into()], &nowhere).is_err());
        assert!(!tree.at("etc/authorized_keys").exists());
    }
}
