//! `ensure_entities` and `delete_entities`: single lines of the account files.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use userdata::Entity;

use super::accounts::{Accounts, User, find, ids, put, remove};
use super::users::{change, hashed};

/// Who cannot be deleted: without it nobody repairs the machine.
const ROOT: &str = "root";

/// Makes a line that is missing, or brings the one that is there up to date.
pub(super) fn ensure(root: &Path, wanted: &Entity) -> Result<String> {
    let hash = match wanted {
        Entity::User { password, .. } => password
            .as_ref()
            // These say that the password, if any, stands in shadow(5).
            .filter(|password| !matches!(password.reveal(), "x" | "")),
        Entity::Shadow { password, .. } | Entity::Gshadow { password, .. } => password.as_ref(),
        Entity::Group { .. } => None,
    };
    let hash = hash
        .map(hashed)
        .transpose()
        .with_context(|| wanted.name().to_owned())?;
    let today = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / 86400);
    let ((), remembered) = change(root, |accounts, homes| {
        accounts.ensure_entity(wanted, hash.as_deref(), today, homes)
    })?;
    remembered?;
    Ok(format!("{} in {}", wanted.name(), wanted.file()))
}

/// Removes a line; one that is not there is no failure.
pub(super) fn delete(root: &Path, wanted: &Entity) -> Result<String> {
    let ((), remembered) = change(root, |accounts, _| accounts.delete_entity(wanted))?;
    remembered?;
    Ok(format!("{} not in {}", wanted.name(), wanted.file()))
}

impl Accounts {
    /// Brings one line up to date; all or nothing. `today` is in days since 1970.
    fn ensure_entity(
        &mut self,
        wanted: &Entity,
        hash: Option<&str>,
        today: u64,
        homes: &BTreeMap<String, u32>,
    ) -> Result<(), String> {
        let mut next = self.clone();
        match wanted {
            Entity::User { .. } => next.user_line(wanted, hash, homes)?,
            Entity::Shadow { name, days, .. } => {
                next.put_password(&with_hash(name, hash));
                next.put_days(name, days, today);
            }
            Entity::Group { name, gid, users } => next.group_line(name, *gid, users)?,
            Entity::Gshadow {
                name,
                administrators,
                members,
                ..
            } => next.gshadow_line(name, hash, administrators, members),
        }
        *self = next;
        Ok(())
    }

    fn user_line(
        &mut self,
        wanted: &Entity,
        hash: Option<&str>,
        homes: &BTreeMap<String, u32>,
    ) -> Result<(), String> {
        let Entity::User {
            name,
            uid,
            gid,
            info,
            homedir,
            shell,
            ..
        } = wanted
        else {
            return Ok(());
        };
        let old = self.account(name);
        if let (Some(old), Some(uid)) = (&old, uid)
            && old.uid != *uid
        {
            return Err(other_id("user", name, old.uid, *uid));
        }
        let user = User {
            gecos: info.clone(),
            home: homedir.clone(),
            shell: shell.clone(),
            uid: *uid,
            // Without a group of its own, since the line names one by its number.
            gid: *gid,
            ..with_hash(name, hash)
        };
        self.ensure_user(&user, homes).map(drop)
    }

    fn put_days(&mut self, name: &str, days: &[Option<String>; 7], today: u64) {
        let Some(line) = find(&self.shadow, name) else {
            return;
        };
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        fields.resize(9, String::new());
        for (field, day) in fields.iter_mut().skip(2).zip(days) {
            match day.as_deref() {
                None => {}
                Some("now") => *field = today.to_string(),
                Some(day) => day.clone_into(field),
            }
        }
        let line = fields.join(":");
        put(&mut self.shadow, name, &line);
    }

    fn group_line(&mut self, name: &str, gid: Option<u32>, users: &[String]) -> Result<(), String> {
        if let Some(gid) = gid {
            match self.gid(name) {
                Some(old) if old != gid => return Err(other_id("group", name, old, gid)),
                None if ids(&self.group).contains(&gid) => {
                    return Err(format!("group {name}: the gid {gid} belongs to another"));
                }
                _ => {}
            }
            // What an earlier boot had chosen does not stand in the way of what is written now.
            self.known.groups.remove(name);
        }
        let made = self.ensure_group(name, gid, false)?;
        if let Some(gid) = gid
            && made != gid
        {
            return Err(format!("group {name}: the gid {gid} belongs to another"));
        }
        for user in users {
            self.add_member(name, user);
        }
        Ok(())
    }

    fn gshadow_line(
        &mut self,
        name: &str,
        hash: Option<&str>,
        administrators: &[String],
        members: &[String],
    ) {
        let line = find(&self.gshadow, name).unwrap_or_default();
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        fields.resize(4, String::new());
        name.clone_into(&mut fields[0]);
        match hash {
            Some(hash) => hash.clone_into(&mut fields[1]),
            None if fields[1].is_empty() => "!".clone_into(&mut fields[1]),
            None => {}
        }
        for (field, names) in [(2, administrators), (3, members)] {
            let mut all: Vec<&str> = fields[field]
                .split(',')
                .filter(|name| !name.is_empty())
                .collect();
            for name in names {
                if !all.contains(&name.as_str()) {
                    all.push(name);
                }
            }
            fields[field] = all.join(",");
        }
        let line = fields.join(":");
        put(&mut self.gshadow, name, &line);
    }

    fn delete_entity(&mut self, wanted: &Entity) -> Result<(), String> {
        let name = wanted.name();
        if name == ROOT {
            return Err(format!("{ROOT} is not deleted from {}", wanted.file()));
        }
        let text = match wanted {
            Entity::User { .. } => &mut self.passwd,
            Entity::Shadow { .. } => &mut self.shadow,
            Entity::Group { .. } => &mut self.group,
            Entity::Gshadow { .. } => &mut self.gshadow,
        };
        remove(text, name);
        Ok(())
    }
}

fn with_hash(name: &str, hash: Option<&str>) -> User {
    User {
        name: name.to_owned(),
        hash: hash.map(str::to_owned),
        ..User::default()
    }
}

/// The files that an id owns would change hands.
fn other_id(what: &str, name: &str, old: u32, wanted: u32) -> String {
    format!("{what} {name}: the id is {old} and is not changed to {wanted} under its files")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Ids;

    fn image() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000:Old:/home/old:/bin/sh\n"
                .into(),
            group: "root:x:0:\nadm:x:4:old\n".into(),
            shadow: "root:*:19000:0:99999:7:::\nold:$6$s$h:19000:0:99999:7:::\n".into(),
            gshadow: "root:*::\nadm:*::old\n".into(),
            known: Ids::default(),
        }
    }

    fn entity(yaml: &str) -> Entity {
        let text = yaml.replace('\n', "\n              ");
        let text = format!(
            "stages:\n  boot:\n    - ensure_entities:\n        - entity: |\n              {text}\n"
        );
        let file = userdata::parse_stage_file("u", text.as_bytes());
        assert!(file.findings.is_empty(), "{:?}", file.findings);
        file.stages.steps("boot")[0].ensure_entities[0].clone()
    }

    fn ensured(accounts: &mut Accounts, yaml: &str, hash: Option<&str>) -> Result<(), String> {
        accounts.ensure_entity(&entity(yaml), hash, 20_000, &BTreeMap::new())
    }

    fn line<'a>(text: &'a str, name: &str) -> &'a str {
        find(text, name).unwrap()
    }

    #[test]
    fn a_user_that_is_missing_is_made_and_cannot_log_in_by_password() {
        let mut accounts = image();
        let yaml = "kind: user\nusername: shop\npassword: x\nuid: 700\ngid: 4\ninfo: Shop\nhomedir: /srv/shop\nshell: /bin/false";
        ensured(&mut accounts, yaml, None).unwrap();
        assert_eq!(
            line(&accounts.passwd, "shop"),
            "shop:x:700:4:Shop:/srv/shop:/bin/false"
        );
        assert_eq!(line(&accounts.shadow, "shop"), "shop:*::0:99999:7:::");
        assert!(!accounts.group.contains("shop"));
    }

    #[test]
    fn fields_that_are_not_written_stay_and_an_id_never_changes() {
        let mut accounts = image();
        ensured(
            &mut accounts,
            "kind: user\nusername: old\nshell: /bin/bash",
            None,
        )
        .unwrap();
        assert_eq!(
            line(&accounts.passwd, "old"),
            "old:x:1000:1000:Old:/home/old:/bin/bash"
        );
        assert!(line(&accounts.shadow, "old").starts_with("old:$6$s$h:"));
        let before = accounts.clone();
        for wrong in [
            "kind: user\nusername: old\nuid: 7",
            "kind: user\nusername: b\nuid: 1000",
            "kind: group\ngroup_name: adm\ngid: 5",
            "kind: group\ngroup_name: other\ngid: 4",
        ] {
            assert!(ensured(&mut accounts, wrong, None).is_err(), "{wrong}");
            assert_eq!(accounts, before, "{wrong}");
        }
    }

    #[test]
    fn a_password_goes_to_shadow_and_days_are_set_one_by_one() {
        let mut accounts = image();
        let yaml = "kind: shadow\nusername: old\nlast_changed: now\nwarn: 14";
        ensured(&mut accounts, yaml, Some("$6$n$n")).unwrap();
        assert_eq!(
            line(&accounts.shadow, "old"),
            "old:$6$n$n:20000:0:99999:14:::"
        );
        ensured(&mut accounts, "kind: shadow\nusername: ada", None).unwrap();
        assert_eq!(line(&accounts.shadow, "ada"), "ada:*::0:99999:7:::");
        ensured(
            &mut accounts,
            "kind: user\nusername: old\npassword: y",
            Some("$6$o$o"),
        )
        .unwrap();
        assert_eq!(line(&accounts.passwd, "old").split(':').nth(1), Some("x"));
        assert!(line(&accounts.shadow, "old").starts_with("old:$6$o$o:20000:"));
    }

    #[test]
    fn members_are_added_to_those_that_are_there() {
        let mut accounts = image();
        ensured(
            &mut accounts,
            "kind: group\ngroup_name: adm\nusers: ada,old",
            None,
        )
        .unwrap();
        assert_eq!(line(&accounts.group, "adm"), "adm:x:4:old,ada");
        ensured(
            &mut accounts,
            "kind: group\ngroup_name: shop\ngid: 700",
            None,
        )
        .unwrap();
        assert_eq!(line(&accounts.group, "shop"), "shop:x:700:");
        let yaml = "kind: gshadow\nname: adm\nadministrators: ada\nmembers: [bob, old]";
        ensured(&mut accounts, yaml, None).unwrap();
        assert_eq!(line(&accounts.gshadow, "adm"), "adm:*:ada:old,ada,bob");
    }

    #[test]
    fn a_group_gets_the_id_that_is_written_even_if_it_had_another_before() {
        let mut accounts = image();
        accounts.known.groups.insert("shop".into(), 1001);
        ensured(
            &mut accounts,
            "kind: group\ngroup_name: shop\ngid: 700",
            None,
        )
        .unwrap();
        assert_eq!(line(&accounts.group, "shop"), "shop:x:700:");
        assert_eq!(accounts.known.groups["shop"], 700);
    }

    #[test]
    fn a_line_is_deleted_by_its_name_alone_and_root_never() {
        let mut accounts = image();
        for _ in 0..2 {
            let gone = entity("kind: user\nusername: old\nuid: 55");
            accounts.delete_entity(&gone).unwrap();
        }
        assert_eq!(accounts.passwd, "root:x:0:0:root:/root:/bin/bash\n");
        assert!(
            accounts.shadow.contains("old"),
            "a line of another file stays"
        );
        accounts
            .delete_entity(&entity("kind: group\ngroup_name: adm"))
            .unwrap();
        assert_eq!(accounts.group, "root:x:0:\n");
        for kind in [
            "user\nusername",
            "shadow\nusername",
            "group\ngroup_name",
            "gshadow\nname",
        ] {
            let root = entity(&format!("kind: {kind}: root"));
            assert!(accounts.delete_entity(&root).is_err(), "{kind}");
        }
    }
}
