//! What ends in `/oem`, and how it is read at boot.

use std::collections::BTreeMap;

use proptest::prelude::*;
use userdata::{UserData, custom_mounts_document, parse, parse_stage_file};

const FULL: &str = include_str!("samples/full.yaml");

fn accepted(text: &str) -> UserData {
    let parsed = parse("user-data", text.as_bytes());
    parsed
        .user_data
        .unwrap_or_else(|| panic!("{:#?}", parsed.findings))
}

fn written(text: &str) -> String {
    accepted(text).oem_document(&mut |clear| format!("$6$salt$hash-of-{}", clear.len()))
}

#[test]
fn the_oem_document_is_the_whole_document_with_hashed_passwords() {
    let oem = written(FULL);
    insta::assert_snapshot!(oem);
    for clear in ["passwd: kairos", "helper-secret", "skip-copy"] {
        assert!(!oem.contains(clear), "{clear}");
    }
}

#[test]
fn the_oem_document_means_the_same_but_for_passwords_and_left_out_steps() {
    let first = accepted(FULL);
    let second = accepted(&written(FULL));
    assert_eq!(first.stylus, second.stylus);
    assert_eq!(first.install, second.install);
    let names = |user_data: &UserData| -> Vec<_> {
        user_data
            .stages
            .steps("initramfs")
            .iter()
            .map(|step| step.name.clone().unwrap())
            .collect()
    };
    assert_eq!(names(&first), ["accounts", "skip-copy-secrets", "motd"]);
    assert_eq!(names(&second), ["accounts", "motd"]);
    assert_eq!(
        second.stages.steps("initramfs")[1].files,
        first.stages.steps("initramfs")[2].files
    );
}

#[test]
fn only_clear_text_is_hashed() {
    let mut hashed = Vec::new();
    let text = "#cloud-config\nstages:\n  boot:\n    - users:\n        a: {passwd: clear}\n        b: {passwd: \"!\"}\n        \
                c: {passwd: \"*\"}\n        d: {passwd: $6$saltsalt$abcdefghi}\n        e: {passwd: \"!clear\"}\nusers:\n  - {name: f, passwd: top}\n";
    let user_data = accepted(text);
    let oem = user_data.oem_document(&mut |clear| {
        hashed.push(clear.to_owned());
        "$6$x$yyyyyyyyyy".to_owned()
    });
    assert_eq!(hashed, ["clear", "!clear", "top"]);
    assert!(!oem.contains("clear"));
}

#[test]
fn a_stage_without_its_dash_becomes_a_list() {
    let oem = written(
        "#cloud-config\nstages:\n  initramfs:\n    users:\n      kairos:\n        passwd: kairos\n",
    );
    assert_eq!(
        oem,
        "#cloud-config\nstages:\n  initramfs:\n    - users:\n        kairos:\n          passwd: \"$6$salt$hash-of-6\"\n"
    );
}

#[test]
fn custom_mounts_are_written_for_the_initramfs() {
    let paths = |paths: &[&str]| {
        paths
            .iter()
            .map(|path| (*path).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(custom_mounts_document(&[], &[]), None);
    let document =
        custom_mounts_document(&paths(&["/etc/aws", "/eks-hybrid"]), &paths(&["/tmp/x"])).unwrap();
    insta::assert_snapshot!(document);
    let file = parse_stage_file("10_user_custom_mounts.yaml", document.as_bytes());
    let step = &file.stages.steps("rootfs")[0];
    assert_eq!(
        step.environment["CUSTOM_BIND_MOUNTS"],
        "/etc/aws /eks-hybrid"
    );
    assert_eq!(step.environment["CUSTOM_EPHEMERAL_MOUNTS"], "/tmp/x");
    assert_eq!(
        step.environment_file.as_deref(),
        Some("/run/cos/custom-layout.env")
    );
    assert_eq!(file.findings, []);
}

#[test]
fn a_broken_stage_file_has_no_stages_and_says_why() {
    for (text, rule, line) in [
        ("stages:\n  boot: [\n", "U02", 2),
        ("a: \u{0}", "U35", 1),
        ("- a\n", "U06", 1),
    ] {
        let file = parse_stage_file("50.yaml", text.as_bytes());
        assert!(file.stages.is_empty());
        let found: Vec<_> = file
            .findings
            .iter()
            .map(|f| (f.rule.id(), f.position.line))
            .collect();
        assert_eq!(found, [(rule, line)], "{text:?}");
    }
    for empty in ["", "#cloud-config\n", "name: x\n"] {
        let file = parse_stage_file("50.yaml", empty.as_bytes());
        assert!(
            file.stages.is_empty() && file.findings.is_empty(),
            "{empty:?}"
        );
    }
}

#[test]
fn a_broken_step_does_not_take_its_neighbours_with_it() {
    let text = "\u{feff}# no header\r\nstylus: {broken: }\r\nstages:\r\n  boot:\r\n    - {name: a, commands: [x]}\r\n    \
                - {name: b, commands: y}\r\n    - {name: c, files: [{path: ../z}]}\r\n    - {name: d, commands: [z]}\r\n  network: 7\r\n";
    let file = parse_stage_file("50.yaml", text.as_bytes());
    let names: Vec<_> = file
        .stages
        .steps("boot")
        .iter()
        .map(|step| step.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["a", "d"]);
    let found: Vec<_> = file
        .findings
        .iter()
        .map(|f| (f.rule.id(), f.position.line))
        .collect();
    assert_eq!(found, [("U06", 6), ("U24", 7), ("U06", 9)]);
}

#[test]
fn top_level_users_become_a_step_of_boot_and_a_broken_one_is_left_out() {
    let text = "users:\n  - default\n  - {name: a, groups: [x]}\n  - {name: 'b c'}\nstages: {boot: [{commands: [x]}]}\n";
    let file = parse_stage_file("50.yaml", text.as_bytes());
    let steps = file.stages.steps("boot");
    assert_eq!(steps.len(), 2);
    assert_eq!(
        steps[0]
            .users
            .iter()
            .map(|user| user.name.as_str())
            .collect::<Vec<_>>(),
        ["a"]
    );
}

#[test]
fn a_file_may_have_a_name_by_which_its_steps_are_known() {
    let file = parse_stage_file("50.yaml", b"name: site\nstages: {boot: [{commands: [x]}]}");
    assert_eq!(file.name.as_deref(), Some("site"));
    let file = parse_stage_file("50.yaml", b"stages: {boot: [{commands: [x]}]}");
    assert_eq!(file.name, None);
}

fn any_line() -> impl Strategy<Value = String> {
    "[ -~äß€]{1,40}".prop_filter("not blank", |text| !text.trim().is_empty())
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

proptest! {
    #[test]
    fn what_is_written_to_oem_parses_to_the_same_meaning(
        commands in proptest::collection::vec("[ -~\n\t]{1,60}", 0..6),
        contents in proptest::collection::vec("[ -~\n\täß]{0,200}", 0..3),
        environment in proptest::collection::btree_map("[A-Z_]{1,8}", any_line(), 0..4),
        tags in proptest::collection::btree_map("[a-zA-Z.-]{1,8}", any_line(), 0..4),
    ) {
        let list = |items: &[String]| items.iter().map(|item| json(item)).collect::<Vec<_>>().join(", ");
        let map = |entries: &BTreeMap<String, String>| {
            entries.iter().map(|(key, value)| format!("{}: {}", json(key), json(value))).collect::<Vec<_>>().join(", ")
        };
        let files: Vec<_> = contents.iter().map(|text| format!("{{path: /a, content: {}}}", json(text))).collect();
        let text = format!(
            "#cloud-config\nstylus: {{site: {{tags: {{{}}}}}}}\nstages:\n  boot:\n    - commands: [{}]\n      files: [{}]\n      environment: {{{}}}\n",
            map(&tags), list(&commands), files.join(", "), map(&environment),
        );
        let first = accepted(&text);
        let oem = first.oem_document(&mut |_| unreachable!());
        let second = accepted(&oem);
        prop_assert_eq!(first.stylus, second.stylus);
        let (first, second) = (&first.stages.steps("boot")[0], &second.stages.steps("boot")[0]);
        prop_assert_eq!(&first.commands, &second.commands, "{}", oem);
        prop_assert_eq!(&first.files, &second.files, "{}", oem);
        prop_assert_eq!(&first.environment, &second.environment, "{}", oem);
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in "[ -~\n\t]{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for input in [text.as_bytes(), &bytes, format!("#cloud-config\nstages:\n  boot:\n    - {text}").as_bytes()] {
            let parsed = parse("u", input);
            prop_assert_eq!(parsed.user_data.is_none(), userdata::has_errors(&parsed.findings));
            parse_stage_file("u", input);
        }
    }
}
