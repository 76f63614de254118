//! Users of a step, and the top-level `users` of cloud-init.

use serde::Serialize;

use super::account_schema::LISTED_USER;
use crate::finding::{Findings, Position, Rule};
use crate::key_path::KeyPath;
use crate::place::{check_path, is_account_name, is_passwd_field};
use crate::schema::check_object;
use crate::secret::Secret;
use crate::tree::{Entry, Node, Value};

/// Highest user id; the one above it means "none" to the kernel.
const MAX_UID: u32 = u32::MAX - 1;

/// A user to be created or changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the switches of the format, each independent of the others"
)]
pub struct User {
    /// Name, which fits `/etc/passwd`.
    pub name: String,
    /// `passwd`: clear text, or a crypt(5) hash, or a lock. See [`is_hashed`].
    pub passwd: Option<Secret>,
    /// `groups`, beside the primary one.
    pub groups: Vec<String>,
    /// `ssh_authorized_keys`: one line each; may be `github:x`, `gitlab:x` or a URL.
    pub ssh_authorized_keys: Vec<String>,
    /// `shell`: an absolute path.
    pub shell: Option<String>,
    /// `homedir`: an absolute path.
    pub homedir: Option<String>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `primary_group`.
    pub primary_group: Option<String>,
    /// `gecos`: the full name.
    pub gecos: Option<String>,
    /// `lock_passwd`: no login by password.
    pub lock_passwd: bool,
    /// `no_create_home`.
    pub no_create_home: bool,
    /// `no_user_group`.
    pub no_user_group: bool,
    /// `system`: an id from the range of the system.
    pub system: bool,
    /// `passwordExpiry` of a user of `stylus.site`, as `2027-12-31`.
    pub password_expiry: Option<String>,
}

/// Reads an entry of `users` of a step; its form was checked with the step.
pub(super) fn read_named(
    entry: &Entry,
    users: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<User> {
    let path = users.key(&entry.key);
    if !is_account_name(&entry.key) {
        refuse_name(&entry.key, entry.position, &path, findings);
        return None;
    }
    Some(read_user(entry.key.clone(), &entry.node, &path, findings))
}

/// Reads the top-level `users`; the item `default` of cloud-init means nothing here. A user with an error is left out.
pub(crate) fn read_listed(node: &Node, findings: &mut Findings) -> Vec<User> {
    let path = KeyPath::top("users");
    if !matches!(node.value, Value::List(_)) {
        let rule = if matches!(node.value, Value::Null) {
            Rule::Empty
        } else {
            Rule::Type
        };
        let reason = format!("a list of users is needed, this is {}", node.kind());
        let advice = "write `- name: ...` for each user";
        findings.error(rule, node.position, path, &reason, advice);
        return Vec::new();
    }
    let named = |(index, item): (usize, &Node)| {
        let path = path.item(index);
        if item.as_text() == Some("default") {
            return None;
        }
        let errors = findings.errors();
        check_object(item, &LISTED_USER, &path, findings);
        if findings.errors() > errors {
            return None;
        }
        let user = read_item(item, &path, findings)?;
        (findings.errors() == errors).then_some(user)
    };
    node.items().iter().enumerate().filter_map(named).collect()
}

/// Reads `stylus.site.users`, a list or a mapping by name; its form was checked before.
pub(crate) fn read_site_users(
    node: &Node,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Vec<User> {
    let mut users = Vec::new();
    let mut take = |findings: &mut Findings, read: &dyn Fn(&mut Findings) -> Option<User>| {
        let errors = findings.errors();
        // A user with an error is left out; the others can log in.
        let user = read(findings).filter(|_| findings.errors() == errors);
        users.extend(user);
    };
    for (index, item) in node.items().iter().enumerate() {
        take(findings, &|findings| {
            read_item(item, &path.item(index), findings)
        });
    }
    for entry in node.entries() {
        take(findings, &|findings| read_named(entry, path, findings));
    }
    users
}

/// Reads a user that says its own name.
fn read_item(item: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<User> {
    let Some(name) = item.text_at("name") else {
        let (reason, advice) = ("the user has no name", "write `name: ...`");
        findings.error(Rule::Empty, item.position, path, reason, advice);
        return None;
    };
    if !is_account_name(&name) {
        refuse_name(&name, item.position, path, findings);
        return None;
    }
    Some(read_user(name, item, path, findings))
}

fn refuse_name(name: &str, position: Position, path: &KeyPath<'_>, findings: &mut Findings) {
    let reason = format!("`{name}` cannot be the name of a user");
    findings.error(
        Rule::Name,
        position,
        path,
        &reason,
        "use at most 32 letters, digits, `_`, `-` and `.`",
    );
}

fn read_user(name: String, node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> User {
    for key in ["shell", "homedir"] {
        if let Some(node) = node.at(&[key]) {
            check_path(node, &path.key(key), findings);
        }
    }
    if let Some(keys) = node.at(&["ssh_authorized_keys"]) {
        check_keys(keys, &path.key("ssh_authorized_keys"), findings);
    }
    check_fields(node, path, findings);
    User {
        name,
        passwd: read_password(node, path, findings),
        groups: read_groups(node, path, findings),
        ssh_authorized_keys: node.texts_at("ssh_authorized_keys"),
        shell: node.text_at("shell"),
        homedir: node.text_at("homedir"),
        uid: read_uid(node, path, findings),
        primary_group: node.text_at("primary_group"),
        gecos: node.text_at("gecos"),
        lock_passwd: node.flag("lock_passwd"),
        no_create_home: node.flag("no_create_home"),
        no_user_group: node.flag("no_user_group"),
        system: node.flag("system"),
        password_expiry: read_expiry(node, path, findings),
    }
}

/// What ends in a line of `/etc/passwd` must not end that line or its field.
fn check_fields(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    for key in ["shell", "homedir", "gecos"] {
        let Some(value) = node.at(&[key]) else {
            continue;
        };
        if value.as_text().is_some_and(|text| !is_passwd_field(text)) {
            let reason = "this has a colon or a control character, which /etc/passwd cannot hold";
            findings.error(
                Rule::Name,
                value.position,
                path.key(key),
                reason,
                "remove it",
            );
        }
    }
    if let Some(group) = node.at(&["primary_group"])
        && group.as_text().is_some_and(|text| !is_account_name(text))
    {
        findings.error(
            Rule::Name,
            group.position,
            path.key("primary_group"),
            "this cannot be the name of a group",
            "",
        );
    }
}

/// The password: `passwd`, or one of cloud-init's two other spellings.
fn read_password(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<Secret> {
    let keys = ["passwd", "hashed_passwd", "plain_text_passwd"];
    let given: Vec<_> = keys.iter().filter_map(|key| node.entry(key)).collect();
    let passwords = given.iter().map(|entry| {
        let path = path.key(&entry.key);
        check_password(entry, &path, findings)
    });
    passwords.collect::<Vec<_>>().into_iter().flatten().next()
}

fn check_password(entry: &Entry, path: &KeyPath<'_>, findings: &mut Findings) -> Option<Secret> {
    let text = entry.node.as_text()?;
    let at = entry.node.position;
    if text.is_empty() {
        let advice = "write a password, or remove the key for a user without one";
        findings.error(Rule::Empty, at, path, "the password is empty", advice);
        return None;
    }
    if text.contains(char::is_control) {
        let reason = "the password has a control character";
        findings.error(Rule::Name, at, path, reason, "");
        return None;
    }
    if is_hashed(text) {
        return Some(Secret::new(text));
    }
    let advice = "write a hash made by `openssl passwd -6`";
    if entry.key == "hashed_passwd" {
        findings.error(Rule::Value, at, path, "this is not a hash", advice);
        return None;
    }
    let reason =
        "the password stands in clear text; it is hashed on the host, but not in this file";
    findings.warning(Rule::ClearPassword, at, path, reason, advice);
    Some(Secret::new(text))
}

/// Reads `passwordExpiry`, a day.
fn read_expiry(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<String> {
    let text = node.text_at("passwordExpiry")?;
    let parts: Vec<&str> = text.split('-').collect();
    let number = |index: usize, digits: usize| {
        let part = parts.get(index).filter(|part| part.len() == digits)?;
        part.parse::<u16>().ok().filter(|_| !part.starts_with('+'))
    };
    let is_day = parts.len() == 3
        && number(0, 4).is_some()
        && number(1, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(2, 2).is_some_and(|day| (1..=31).contains(&day));
    if let (false, Some(entry)) = (is_day, node.entry("passwordExpiry")) {
        let (reason, advice) = ("this is not a day", "write it as `2027-12-31`");
        let path = path.key("passwordExpiry");
        findings.error(Rule::Value, entry.node.position, path, reason, advice);
        return None;
    }
    Some(text)
}

/// Whether a `passwd` is already a crypt(5) hash (`$6$...`), or a lock (`!`, `*`, `!` before a hash).
///
/// A clear text may start with the same characters (`!Secret`): only the whole form counts.
pub fn is_hashed(passwd: &str) -> bool {
    let unlocked = passwd.trim_start_matches(['!', '*']);
    if unlocked.is_empty() {
        return !passwd.is_empty();
    }
    let Some((method, rest)) = unlocked
        .strip_prefix('$')
        .and_then(|rest| rest.split_once('$'))
    else {
        return false;
    };
    let method_fits = (1..=8).contains(&method.len())
        && method
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-');
    method_fits
        && rest.len() > 8
        && rest
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "./$=,-+".contains(c))
}

/// A list, or, as cloud-init also writes it, one text with commas.
fn read_groups(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Vec<String> {
    let Some(node) = node.at(&["groups"]) else {
        return Vec::new();
    };
    let groups = match node.as_text() {
        Some(text) => text
            .split(',')
            .map(|group| group.trim().to_owned())
            .collect(),
        None => node.texts(),
    };
    for group in &groups {
        if !is_account_name(group) {
            let reason = format!("`{group}` cannot be the name of a group");
            findings.error(Rule::Name, node.position, path.key("groups"), &reason, "");
        }
    }
    groups
}

fn read_uid(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<u32> {
    let node = node.at(&["uid"])?;
    let text = node.as_scalar()?;
    let decimal =
        text == "0" || (!text.starts_with('0') && text.chars().all(|c| c.is_ascii_digit()));
    let uid = if decimal {
        text.parse().ok().filter(|uid| *uid <= MAX_UID)
    } else {
        None
    };
    if uid.is_none() {
        let reason = format!("this is not a user id from 0 to {MAX_UID}");
        findings.error(
            Rule::Value,
            node.position,
            path.key("uid"),
            &reason,
            "write a decimal number",
        );
    }
    uid
}

/// Each key is one line of `authorized_keys`.
pub(super) fn check_keys(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    for (index, item) in node.items().iter().enumerate() {
        let Some(text) = item.as_text() else { continue };
        let fault = match text.trim() {
            "" => "the key is empty",
            line if line.contains(char::is_control) => "the key has more than one line",
            _ => continue,
        };
        findings.error(
            Rule::Value,
            item.position,
            path.item(index),
            fault,
            "write one key on one line",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_hashes_and_locks_are_taken_for_hashes() {
        let hash = "$6$rounds=5000$saltsalt$abcdefghijklmnop./0123456789";
        for hashed in [
            hash,
            "$y$j9T$abc$defghijkl",
            "!",
            "!!",
            "*",
            "!*",
            &format!("!{hash}"),
        ] {
            assert!(is_hashed(hashed), "{hashed:?}");
        }
        for clear in [
            "",
            "palette",
            "$ecret",
            "$$$$",
            "!Secret1",
            "*pass",
            "$6$",
            "$5 and $6 are dollars",
            "a$6$b",
        ] {
            assert!(!is_hashed(clear), "{clear:?}");
        }
    }
}
