//! The texts of passwd(5), group(5), shadow(5) and gshadow(5): users and groups as pure functions over lines.

use std::collections::BTreeMap;

use super::Ids;

/// First id of an ordinary user.
const FIRST_ID: u32 = 1000;

/// First id after those of ordinary users (`UID_MAX` of login.defs(5)).
const END_ID: u32 = 60000;

/// Ids of system users that are made here: below those of the distribution, which count down from 999.
const SYSTEM_IDS: std::ops::Range<u32> = 200..900;

/// The four files. An image without gshadow has an empty text there and gets none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// `/etc/passwd`.
    pub passwd: String,
    /// `/etc/group`.
    pub group: String,
    /// `/etc/shadow`.
    pub shadow: String,
    /// `/etc/gshadow`.
    pub gshadow: String,
    /// Ids of earlier boots, brought up to date with every user and group that is made.
    pub known: Ids,
}

/// What is wanted of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Hash or lock for shadow(5), never a clear password; `None` leaves what is there.
    pub hash: Option<String>,
    /// Refuses logins by password.
    pub locked: bool,
    /// Full name.
    pub gecos: Option<String>,
    /// Home directory; `/home/<name>` by default.
    pub home: Option<String>,
    /// Login shell; `/bin/bash` by default.
    pub shell: Option<String>,
    /// Wanted uid.
    pub uid: Option<u32>,
    /// Primary group; one with the user's name by default.
    pub primary_group: Option<String>,
    /// Primary group by its id, which no group needs to have; it goes before the name.
    pub gid: Option<u32>,
    /// Further groups; made if they are missing.
    pub groups: Vec<String>,
    /// A system user: a low uid.
    pub system: bool,
}

/// A user as it stands in the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

impl Accounts {
    /// Creates a user or brings an existing one up to date; all or nothing.
    ///
    /// `homes` tells who owns the home directories that exist (path to uid): accounts are made anew at every boot, and
    /// a home that persists must stay its owner's and nobody else's.
    ///
    /// # Errors
    ///
    /// One sentence that names the user, never the password.
    pub fn ensure_user(
        &mut self,
        user: &User,
        homes: &BTreeMap<String, u32>,
    ) -> Result<Account, String> {
        check(user)?;
        let mut next = self.clone();
        let account = next.put_user(user, homes)?;
        next.put_password(user);
        for group in &user.groups {
            next.ensure_group(group, None, false)?;
            next.add_member(group, &user.name);
        }
        *self = next;
        Ok(account)
    }

    /// The account of a name.
    pub fn account(&self, name: &str) -> Option<Account> {
        let line = find(&self.passwd, name)?;
        let fields: Vec<&str> = line.split(':').collect();
        Some(Account {
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
            home: (*fields.get(5)?).to_owned(),
        })
    }

    /// Id of a group.
    pub fn gid(&self, name: &str) -> Option<u32> {
        find(&self.group, name)?.split(':').nth(2)?.parse().ok()
    }

    fn put_user(&mut self, user: &User, homes: &BTreeMap<String, u32>) -> Result<Account, String> {
        let name = &user.name;
        let present = find(&self.passwd, name).map(str::to_owned);
        let old: Vec<&str> = present
            .as_deref()
            .map(|line| line.split(':').collect())
            .unwrap_or_default();
        let field = |index: usize| old.get(index).copied().filter(|text| !text.is_empty());
        let default_home = format!("/home/{name}");
        let home = user
            .home
            .as_deref()
            .or(field(5))
            .unwrap_or(&default_home)
            .to_owned();
        let shell = user
            .shell
            .as_deref()
            .or(field(6))
            .unwrap_or("/bin/bash")
            .to_owned();
        let gecos = user.gecos.as_deref().or(field(4)).unwrap_or("").to_owned();
        let uid = match (field(2).and_then(|uid| uid.parse().ok()), user.uid) {
            (None, Some(uid)) if ids(&self.passwd).contains(&uid) => {
                return Err(format!(
                    "user {name}: the uid {uid} belongs to someone else"
                ));
            }
            // An id that is in use is not changed under the files that it owns.
            (Some(uid), _) | (None, Some(uid)) => uid,
            (None, None) => self.free_uid(user, &home, homes)?,
        };
        let gid = match (
            user.gid,
            &user.primary_group,
            field(3).and_then(|gid| gid.parse().ok()),
        ) {
            (Some(gid), _, _) | (None, None, Some(gid)) => gid,
            (None, Some(group), _) => self.ensure_group(group, None, user.system)?,
            (None, None, None) => self.ensure_group(name, Some(uid), user.system)?,
        };
        let line = format!("{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}");
        put(&mut self.passwd, name, &line);
        self.known.users.insert(name.clone(), uid);
        Ok(Account { uid, gid, home })
    }

    fn free_uid(
        &self,
        user: &User,
        home: &str,
        homes: &BTreeMap<String, u32>,
    ) -> Result<u32, String> {
        let used = ids(&self.passwd);
        let known = &self.known.users;
        if let Some(uid) = known.get(&user.name)
            && !used.contains(uid)
        {
            return Ok(*uid);
        }
        // Nobody inherits the files of a user who is only not there yet, or no more.
        let taken = |id: u32| used.contains(&id) || known.values().any(|other| *other == id);
        if user.system {
            return lowest(SYSTEM_IDS, taken, &user.name);
        }
        if let Some(owner) = homes.get(home)
            && *owner >= FIRST_ID
            && !used.contains(owner)
        {
            return Ok(*owner);
        }
        let taken = |id: u32| taken(id) || homes.values().any(|owner| *owner == id);
        lowest(FIRST_ID..END_ID, taken, &user.name)
    }

    pub(super) fn put_password(&mut self, user: &User) {
        let present = find(&self.shadow, &user.name).map(str::to_owned);
        let mut fields: Vec<String> = match &present {
            Some(line) => line.split(':').map(str::to_owned).collect(),
            // No date of the last change: the clock may be wrong now, and 0 would ask for a new password.
            None => ["", "*", "", "0", "99999", "7", "", "", ""]
                .map(str::to_owned)
                .to_vec(),
        };
        fields.resize(9, String::new());
        fields[0].clone_from(&user.name);
        if let Some(hash) = &user.hash {
            fields[1].clone_from(hash);
        }
        // "*" and not "!": sshd without PAM takes an account that starts with "!" for closed, keys included.
        let hash = fields[1].trim_start_matches('!').to_owned();
        if hash.is_empty() {
            "*".clone_into(&mut fields[1]);
        } else if user.locked && !hash.starts_with('*') {
            fields[1] = format!("!{hash}");
        }
        let line = fields.join(":");
        put(&mut self.shadow, &user.name, &line);
    }

    /// Makes a group unless it exists and returns its id: the one it had before, else `wanted`, if that is free.
    ///
    /// # Errors
    ///
    /// If the name is not one, or no id is free.
    pub fn ensure_group(
        &mut self,
        name: &str,
        wanted: Option<u32>,
        system: bool,
    ) -> Result<u32, String> {
        if let Some(gid) = self.gid(name) {
            return Ok(gid);
        }
        check_name("group", name)?;
        let used = ids(&self.group);
        let known = &self.known.groups;
        let taken = |id: u32| {
            let others = || known.iter().any(|(other, gid)| other != name && *gid == id);
            used.contains(&id) || others()
        };
        let had = known.get(name).copied().or(wanted);
        let gid = match had.filter(|gid| !taken(*gid)) {
            Some(gid) => gid,
            None if system => lowest(SYSTEM_IDS, taken, name)?,
            None => lowest(FIRST_ID..END_ID, taken, name)?,
        };
        self.known.groups.insert(name.to_owned(), gid);
        put(&mut self.group, name, &format!("{name}:x:{gid}:"));
        if !self.gshadow.is_empty() {
            put(&mut self.gshadow, name, &format!("{name}:!::"));
        }
        Ok(gid)
    }

    pub(super) fn add_member(&mut self, group: &str, user: &str) {
        for text in [&mut self.group, &mut self.gshadow] {
            let Some(line) = find(text, group) else {
                continue;
            };
            let (head, members) = line.rsplit_once(':').unwrap_or((line, ""));
            if members.split(',').any(|member| member == user) {
                continue;
            }
            let comma = if members.is_empty() { "" } else { "," };
            let line = format!("{head}:{members}{comma}{user}");
            put(text, group, &line);
        }
    }
}

fn check(user: &User) -> Result<(), String> {
    check_name("user", &user.name)?;
    let fields = [
        ("gecos", &user.gecos),
        ("homedir", &user.home),
        ("shell", &user.shell),
        ("passwd", &user.hash),
    ];
    for (field, value) in fields {
        let bad = |text: &String| text.contains(':') || text.chars().any(char::is_control);
        if value.as_ref().is_some_and(bad) {
            return Err(format!(
                "user {}: {field} holds a colon or a control character",
                user.name
            ));
        }
    }
    for (field, value) in [("homedir", &user.home), ("shell", &user.shell)] {
        if value.as_ref().is_some_and(|path| !path.starts_with('/')) {
            return Err(format!(
                "user {}: {field} is not an absolute path",
                user.name
            ));
        }
    }
    Ok(())
}

/// As `userdata` has it: ASCII letters, digits, `_`, `-`, `.`, not starting with a digit, `-` or `.`, at most 32 bytes.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let more = |byte: u8| first(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let mut bytes = name.bytes();
    if name.len() <= 32 && bytes.next().is_some_and(first) && bytes.all(more) {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is no name for a {what}: use at most 32 letters, digits, _, - and ."
        ))
    }
}

fn lowest(
    range: std::ops::Range<u32>,
    taken: impl Fn(u32) -> bool,
    name: &str,
) -> Result<u32, String> {
    range.clone().find(|id| !taken(*id)).ok_or_else(|| {
        format!(
            "{name}: no id is free between {} and {}",
            range.start, range.end
        )
    })
}

/// The line whose first field is `name`.
pub(super) fn find<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find(|line| line.split(':').next() == Some(name))
}

/// Replaces the line of `name` or adds one; everything else stays byte for byte.
pub(super) fn put(text: &mut String, name: &str, line: &str) {
    let mut done = false;
    let mut next = String::with_capacity(text.len() + line.len() + 1);
    for old in text.lines() {
        let ours = old.split(':').next() == Some(name);
        next.push_str(if ours { line } else { old });
        next.push('\n');
        done |= ours;
    }
    if !done {
        next.push_str(line);
        next.push('\n');
    }
    *text = next;
}

/// Removes the lines of `name`.
pub(super) fn remove(text: &mut String, name: &str) {
    let others = text
        .lines()
        .filter(|line| line.split(':').next() != Some(name));
    *text = others.flat_map(|line| [line, "\n"]).collect();
}

/// The numbers in the third field.
pub(super) fn ids(text: &str) -> Vec<u32> {
    text.lines()
        .filter_map(|line| line.split(':').nth(2)?.parse().ok())
        .collect()
}

#[cfg(test)]
#[path = "accounts_tests.rs"]
mod tests;
