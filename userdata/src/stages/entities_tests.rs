//! Entities, as their texts have them.

use super::*;

fn read_one(entity: &str) -> (Option<Entity>, Vec<String>) {
    let mut findings = Findings::tolerating("u", Tolerance::AtBoot);
    let path = KeyPath::top("entity");
    let read = read_text(
        entity,
        Position { line: 3, column: 5 },
        &path,
        &mut findings,
    );
    let told = findings.finish();
    let told = told.iter().map(|found| {
        format!(
            "{}:{} {} {}",
            found.position.line, found.position.column, found.rule, found.path
        )
    });
    (read, told.collect())
}

#[test]
fn every_kind_is_read_with_its_fields() {
    let (entity, told) = read_one(
        "kind: \"user\"\nusername: \"foo\"\npassword: \"x\"\nuid: 0\ngid: 10\ninfo: \"Foo!\"\nhomedir: \"/home/foo\"\nshell: \"/bin/bash\"\n",
    );
    let text = |text: &str| Some(text.to_owned());
    let expected = Entity::User {
        name: "foo".into(),
        password: Some(Secret::new("x")),
        uid: Some(0),
        gid: Some(10),
        info: text("Foo!"),
        homedir: text("/home/foo"),
        shell: text("/bin/bash"),
    };
    assert_eq!((entity, told), (Some(expected), vec![]));
    let (entity, _) = read_one(
        "kind: shadow\nusername: foo\npassword: $6$s$h\nlast_changed: now\nwarn: \"7\"\nmaximum_changed: 99\n",
    );
    let Some(Entity::Shadow { days, .. }) = entity else {
        panic!("{entity:?}")
    };
    let days: Vec<_> = days
        .iter()
        .map(|day| day.as_deref().unwrap_or("-"))
        .collect();
    assert_eq!(days, ["now", "-", "99", "7", "-", "-", "-"]);
    let (entity, _) = read_one("kind: group\ngroup_name: shop\ngid: 700\nusers: \"a,b\"\n");
    let expected = Entity::Group {
        name: "shop".into(),
        gid: Some(700),
        users: vec!["a".into(), "b".into()],
    };
    assert_eq!(entity, Some(expected));
    let (entity, _) =
        read_one("kind: gshadow\nname: shop\npassword: \"!\"\nadministrators: a\nmembers: [b]\n");
    assert_eq!(entity.map(|entity| entity.file()), Some("/etc/gshadow"));
}

#[test]
fn what_no_file_can_hold_is_told_at_the_place_of_the_text() {
    for (entity, expected) in [
        ("kind: robot", "3:5 U39 entity.kind"),
        ("username: a", "3:5 U39 entity.kind"),
        ("kind: user\nusername: 'a:b'", "3:5 U38 entity.username"),
        ("kind: group", "3:5 U38 entity.group_name"),
        (
            "kind: user\nusername: a\ninfo: 'a:b'",
            "3:5 U38 entity.info",
        ),
        ("kind: user\nusername: a\nshell: sh", "3:5 U24 entity.shell"),
        (
            "kind: user\nusername: a\nuid: 4294967295",
            "3:5 U39 entity.uid",
        ),
        ("kind: user\nusername: a\nuid: -1", "3:5 U06 entity.uid"),
        (
            "kind: shadow\nusername: a\nwarn: now",
            "3:5 U39 entity.warn",
        ),
        (
            "kind: group\ngroup_name: a\nusers: 'b,c d'",
            "3:5 U38 entity.users",
        ),
        ("kind: [", "3:5 U02 entity"),
        ("# nothing", "3:5 U05 entity"),
    ] {
        let (read, told) = read_one(entity);
        assert_eq!((read, told), (None, vec![expected.to_owned()]), "{entity}");
    }
}
