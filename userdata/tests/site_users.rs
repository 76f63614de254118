//! `stylus.site.users` at boot.

use userdata::{StageFile, parse_stage_file};

fn read(users: &str) -> StageFile {
    let text = format!(
        "stylus:\n  site:\n    users:\n{users}stages:\n  initramfs:\n    - name: own\n      commands: [a]\n"
    );
    parse_stage_file("90_custom.yaml", text.as_bytes())
}

#[test]
fn users_of_the_site_are_made_before_the_first_step_of_the_document() {
    for users in [
        "      - {name: ops, groups: [sudo], ssh_authorized_keys: [ssh-ed25519 AAAA]}\n",
        "      ops: {groups: [sudo], ssh_authorized_keys: [ssh-ed25519 AAAA]}\n",
    ] {
        let file = read(users);
        assert_eq!(file.findings, []);
        let steps = file.stages.steps("initramfs");
        let names: Vec<_> = steps.iter().map(|step| step.name.as_deref()).collect();
        assert_eq!(names, [Some("stylus.site.users"), Some("own")]);
        assert_eq!(steps[0].line, 3);
        let user = &steps[0].users[0];
        assert_eq!(
            (user.name.as_str(), user.groups.as_slice()),
            ("ops", ["sudo".to_owned()].as_slice())
        );
        assert_eq!(user.ssh_authorized_keys, ["ssh-ed25519 AAAA"]);
    }
}

#[test]
fn a_broken_user_keeps_neither_its_neighbours_nor_the_steps_away() {
    let file =
        read("      - {name: \"a:b\"}\n      - {name: empty, passwd: \"\"}\n      - {name: ops}\n");
    let steps = file.stages.steps("initramfs");
    let users: Vec<&str> = steps[0]
        .users
        .iter()
        .map(|user| user.name.as_str())
        .collect();
    assert_eq!(users, ["ops"]);
    assert_eq!(steps.len(), 2);
    assert_eq!(file.findings.len(), 2, "{:?}", file.findings);

    let shapeless = read("      - 7\n");
    assert_eq!(shapeless.stages.steps("initramfs").len(), 1);
    assert!(!shapeless.findings.is_empty());
}
