//! Users and groups over an image's account files.

use super::*;

fn image() -> Accounts {
    Accounts {
        passwd: "root:x:0:0:root:/root:/bin/bash\nkairos:x:1000:1000::/home/kairos:/bin/sh\n"
            .into(),
        group: "root:x:0:\nsudo:x:27:\nkairos:x:1000:\n".into(),
        shadow: "root:*:19000:0:99999:7:::\nkairos:!:19000:0:99999:7:::\n".into(),
        gshadow: "root:*::\nsudo:*::\nkairos:!::\n".into(),
        known: Ids::default(),
    }
}

fn user(name: &str) -> User {
    User {
        name: name.into(),
        ..User::default()
    }
}

fn last(text: &str) -> &str {
    text.lines().last().unwrap()
}

#[test]
fn a_new_user_gets_the_lowest_free_id_a_group_of_its_own_and_its_groups() {
    let mut accounts = image();
    let wanted = User {
        hash: Some("$6$s$h".into()),
        groups: vec!["sudo".into(), "admin".into()],
        ..user("ada")
    };
    let account = accounts.ensure_user(&wanted, &BTreeMap::new()).unwrap();
    assert_eq!(
        (account.uid, account.gid, account.home.as_str()),
        (1001, 1001, "/home/ada")
    );
    assert_eq!(
        last(&accounts.passwd),
        "ada:x:1001:1001::/home/ada:/bin/bash"
    );
    assert_eq!(last(&accounts.shadow), "ada:$6$s$h::0:99999:7:::");
    assert_eq!(
        accounts.group,
        "root:x:0:\nsudo:x:27:ada\nkairos:x:1000:\nada:x:1001:\nadmin:x:1002:ada\n"
    );
    assert_eq!(
        accounts.gshadow,
        "root:*::\nsudo:*::ada\nkairos:!::\nada:!::\nadmin:!::ada\n"
    );
}

#[test]
fn an_existing_user_is_updated_and_keeps_its_id_and_the_rest_of_its_line() {
    let mut accounts = image();
    let wanted = User {
        hash: Some("$6$s$h".into()),
        uid: Some(4711),
        groups: vec!["sudo".into()],
        ..user("kairos")
    };
    accounts.ensure_user(&wanted, &BTreeMap::new()).unwrap();
    let first = accounts.clone();
    assert_eq!(accounts.passwd, image().passwd);
    assert_eq!(last(&accounts.shadow), "kairos:$6$s$h:19000:0:99999:7:::");
    accounts.ensure_user(&wanted, &BTreeMap::new()).unwrap();
    assert_eq!(accounts, first, "a second time changes nothing");
}

#[test]
fn a_home_that_persists_stays_its_owners_and_nobody_elses() {
    let homes = BTreeMap::from([
        ("/home/ada".to_owned(), 1005),
        ("/home/gone".to_owned(), 1001),
        ("/home/odd".to_owned(), 0),
    ]);
    let table = [("ada", 1005), ("bob", 1002), ("odd", 1003)];
    let mut accounts = image();
    for (name, uid) in table {
        let account = accounts.ensure_user(&user(name), &homes).unwrap();
        assert_eq!(account.uid, uid, "{name}");
    }
}

#[test]
fn passwords_are_set_kept_and_locked() {
    // present in shadow, wanted hash, locked -> second field
    let table: [(Option<&str>, Option<&str>, bool, &str); 8] = [
        (None, None, false, "*"),
        (None, None, true, "*"),
        (None, Some("$6$h"), false, "$6$h"),
        (None, Some("$6$h"), true, "!$6$h"),
        (Some("$6$old"), None, false, "$6$old"),
        (Some("$6$old"), None, true, "!$6$old"),
        (Some("!"), None, false, "*"),
        (Some(""), None, false, "*"),
    ];
    for (present, hash, locked, expected) in table {
        let mut accounts = Accounts::default();
        if let Some(present) = present {
            accounts.shadow = format!("ada:{present}:19000::::::\n");
        }
        let wanted = User {
            hash: hash.map(str::to_owned),
            locked,
            ..user("ada")
        };
        accounts.ensure_user(&wanted, &BTreeMap::new()).unwrap();
        let field = accounts.shadow.split(':').nth(1).unwrap();
        assert_eq!(field, expected, "{present:?} {hash:?} {locked}");
    }
}

#[test]
fn a_bad_value_is_refused_and_nothing_is_changed() {
    let bad = [
        user(""),
        user("A a"),
        user("a:b"),
        user("-a"),
        user("../a"),
        User {
            shell: Some("/bin/sh\nroot::0:0".into()),
            ..user("ada")
        },
        User {
            gecos: Some("a:b".into()),
            ..user("ada")
        },
        User {
            home: Some("home".into()),
            ..user("ada")
        },
        User {
            uid: Some(0),
            ..user("ada")
        },
        User {
            groups: vec!["no good".into()],
            ..user("ada")
        },
    ];
    for wanted in bad {
        let mut accounts = image();
        let error = accounts.ensure_user(&wanted, &BTreeMap::new()).unwrap_err();
        assert!(!error.is_empty());
        assert_eq!(accounts, image(), "{wanted:?}");
    }
}

#[test]
fn a_system_user_has_a_low_id_and_a_primary_group_is_made() {
    let mut accounts = image();
    let wanted = User {
        system: true,
        primary_group: Some("daemons".into()),
        ..user("probe")
    };
    let account = accounts.ensure_user(&wanted, &BTreeMap::new()).unwrap();
    assert_eq!((account.uid, account.gid), (200, 200));
    assert_eq!(accounts.gid("daemons"), Some(200));
}

#[test]
fn an_image_without_gshadow_gets_none() {
    let mut accounts = Accounts {
        gshadow: String::new(),
        ..image()
    };
    let wanted = User {
        groups: vec!["sudo".into()],
        ..user("ada")
    };
    accounts.ensure_user(&wanted, &BTreeMap::new()).unwrap();
    assert_eq!(accounts.gshadow, "");
}

/// The next boot: account files of the image, and what is known.
fn rebooted(before: &Accounts) -> Accounts {
    Accounts {
        known: before.known.clone(),
        ..image()
    }
}

#[test]
fn names_keep_their_ids_when_the_list_of_users_changes() {
    let none = BTreeMap::new();
    let system = |name: &str| User {
        system: true,
        ..user(name)
    };
    let mut first = image();
    for wanted in [user("ada"), system("probe"), user("bob")] {
        first.ensure_user(&wanted, &none).unwrap();
    }
    let mut second = rebooted(&first);
    let mut ids = Vec::new();
    for wanted in [user("new"), system("agent"), user("bob"), user("ada")] {
        let account = second.ensure_user(&wanted, &none).unwrap();
        ids.push((account.uid, account.gid));
    }
    assert_eq!(ids, [(1003, 1003), (201, 201), (1002, 1002), (1001, 1001)]);
    // Gone for one boot, and back.
    let third = rebooted(&second).ensure_user(&system("probe"), &none);
    assert_eq!(third.unwrap().uid, 200);
}

#[test]
fn an_id_that_the_next_image_gives_to_someone_else_is_not_used_twice() {
    let none = BTreeMap::new();
    let mut accounts = image();
    accounts.ensure_user(&user("ada"), &none).unwrap();
    let mut next = rebooted(&accounts);
    next.passwd.push_str("other:x:1001:1001::/:/bin/sh\n");
    next.group.push_str("other:x:1001:\n");
    let account = next.ensure_user(&user("ada"), &none).unwrap();
    assert_eq!((account.uid, account.gid), (1002, 1002));
}
