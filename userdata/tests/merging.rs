//! Several documents become one, and it is known who decided what.

use proptest::prelude::*;
use userdata::{Decision, MASK, Merged, Rule, UserData, check_complete, merge, parse};

const INSTALLER: &str = "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: palette.example.com\n    edgeHostToken: installer-token\n    tags: {town: a, floor: 1}\n\
                         install:\n  device: auto\n  bind_mounts: [/etc/a, /etc/b]\nstages:\n  initramfs:\n    - name: first\n      commands: [one]\n";
const SITE: &str = "#cloud-config\nstylus:\n  site:\n    projectName: shops\n    edgeHostToken: site-token\n    tags: {town: b}\n\
                    install:\n  bind_mounts: [/etc/b, /etc/c]\nstages:\n  initramfs:\n    name: second\n    commands: [two]\n";

fn document(name: &str, text: &str) -> UserData {
    let parsed = parse(name, text.as_bytes());
    parsed
        .user_data
        .unwrap_or_else(|| panic!("{:#?}", parsed.findings))
}

fn merged(documents: &[(&str, &str)]) -> Merged {
    let documents: Vec<_> = documents
        .iter()
        .map(|(name, text)| document(name, text))
        .collect();
    merge(&documents)
}

fn decision<'a>(merged: &'a Merged, path: &str) -> &'a Decision {
    let found = merged.decisions.iter().find(|found| found.path == path);
    found.unwrap_or_else(|| panic!("{path}: {:#?}", merged.decisions))
}

#[test]
fn the_later_document_wins_key_by_key_and_lists_are_put_together() {
    let merged = merged(&[("installer", INSTALLER), ("site", SITE)]);
    let user_data = merged.parsed.user_data.as_ref().unwrap();
    let site = &user_data.stylus.site;
    assert_eq!(
        site.edge_host_token.as_ref().unwrap().reveal(),
        "site-token"
    );
    assert_eq!(site.project_name.as_deref(), Some("shops"));
    assert_eq!(
        (site.tags["town"].as_str(), site.tags["floor"].as_str()),
        ("b", "1")
    );
    assert_eq!(
        user_data.install.bind_mounts,
        ["/etc/a", "/etc/b", "/etc/c"]
    );
    let names: Vec<_> = user_data
        .stages
        .steps("initramfs")
        .iter()
        .map(|step| step.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(check_complete(user_data), []);
}

#[test]
fn the_report_says_who_decided_each_key_and_shows_no_secret() {
    let merged = merged(&[("installer", INSTALLER), ("site", SITE)]);
    let lines: Vec<String> = merged.decisions.iter().map(ToString::to_string).collect();
    let expected = [
        "install.bind_mounts: 3 items from installer and site:8",
        "install.device: auto from installer:8",
        "stages.initramfs: 2 items from installer and site:11",
        "stylus.site.edgeHostToken: *** from site:5, instead of installer",
        "stylus.site.paletteEndpoint: palette.example.com from installer:4",
        "stylus.site.projectName: shops from site:4",
        "stylus.site.tags.floor: 1 from installer:6",
        "stylus.site.tags.town: b from site:6, instead of installer",
    ];
    assert_eq!(lines, expected);
    let token = decision(&merged, "stylus.site.edgeHostToken");
    assert_eq!(token.value, MASK);
    assert_eq!(token.instead_of, ["installer"]);
    let shown = format!("{merged:?}");
    assert!(!shown.contains("installer-token") && !shown.contains("site-token"));
}

#[test]
fn null_takes_a_key_away_where_a_document_may_have_it() {
    let merged = merged(&[
        (
            "a",
            "#cloud-config\nupgrade: {recovery: true, system: {uri: x}}\n",
        ),
        ("b", "#cloud-config\nupgrade: {system: null}\n"),
    ]);
    assert!(
        !merged.text.reveal().contains("system"),
        "{}",
        merged.text.reveal()
    );
    let gone = decision(&merged, "upgrade.system");
    assert_eq!(
        (gone.from.as_slice(), gone.value.as_str()),
        (["b".to_owned()].as_slice(), "taken away")
    );
    assert_eq!(gone.instead_of, ["a"]);
    let paths: Vec<_> = merged
        .decisions
        .iter()
        .map(|found| found.path.as_str())
        .collect();
    assert_eq!(paths, ["upgrade.recovery", "upgrade.system"]);
}

#[test]
fn two_kinds_of_value_under_one_key_are_an_error_in_the_later_document() {
    let merged = merged(&[
        ("a", "#cloud-config\nupgrade:\n  system: {uri: x}\n"),
        ("b", "#cloud-config\n\nupgrade:\n  system: [x]\n"),
    ]);
    assert!(merged.parsed.user_data.is_none());
    let found: Vec<String> = merged
        .parsed
        .findings
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = "b:4:11: error[U06] upgrade.system: this is a list, but a mapping in a; give the key one kind of value in all documents";
    assert_eq!(found, [expected]);
}

#[test]
fn what_is_right_in_each_document_can_be_wrong_together() {
    let merged = merged(&[
        ("a", "#cloud-config\nstylus: {managementMode: local}\n"),
        (
            "b",
            "#cloud-config\nstylus: {installationMode: connected}\n",
        ),
    ]);
    assert!(merged.parsed.user_data.is_none());
    let ids: Vec<_> = merged.parsed.findings.iter().map(|f| f.rule.id()).collect();
    assert_eq!(ids, ["U30", "U09"]);
    for finding in &merged.parsed.findings {
        assert_eq!((finding.file.as_str(), finding.position.line), ("b", 2));
    }
}

#[test]
fn a_finding_about_the_whole_names_the_document_and_the_line_that_the_value_comes_from() {
    let long =
        "#cloud-config\n# a remark\nstages:\n  boot:\n    - name: one\n      commands: [\"a\"]\n";
    let warned =
        "#cloud-config\nstages:\n  boot:\n    - {name: two, commands: [\"echo <town-name>\"]}\n";
    let placeholder = "#cloud-config\n\n\nstylus:\n  site:\n    tags:\n      town: <town>\n";
    let merged = merged(&[("a", long), ("b", warned), ("c", placeholder)]);
    let alone = |name: &str, text: &str| {
        let found = parse(name, text.as_bytes()).findings;
        let places = found
            .into_iter()
            .map(|one| (one.file, one.position, one.rule));
        places.collect::<Vec<_>>()
    };
    let expected = [alone("b", warned), alone("c", placeholder)].concat();
    let mut found: Vec<_> = merged
        .parsed
        .findings
        .iter()
        .map(|one| (one.file.clone(), one.position, one.rule))
        .collect();
    found.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    assert!(!expected.is_empty());
    assert_eq!(found, expected);

    let complete = check_complete(merged.parsed.user_data.as_ref().unwrap());
    let placed = merged.in_their_documents(complete);
    let endpoint: Vec<_> = placed
        .iter()
        .filter(|one| one.rule == Rule::NoEndpoint)
        .map(|one| (one.file.as_str(), one.position.line))
        .collect();
    assert_eq!(endpoint, [("c", 5)]);
}

#[test]
fn an_address_of_more_user_data_is_no_part_of_what_the_host_keeps() {
    let merged = merged(&[
        ("a", INSTALLER),
        (
            "b",
            "#cloud-config\nconfig_url: https://c.example.com/x?key=k\n",
        ),
    ]);
    let user_data = merged.parsed.user_data.as_ref().unwrap();
    let url = user_data.config_url.as_ref().unwrap();
    assert_eq!(url.reveal(), "https://c.example.com/x?key=k");
    assert_eq!(decision(&merged, "config_url").value, MASK);
    let kept = user_data.oem_document(&mut str::to_owned);
    assert!(!kept.contains("config_url") && kept.contains("palette.example.com"));
}

#[test]
fn one_document_is_merged_to_itself_and_none_to_nothing() {
    let alone = merged(&[("installer", INSTALLER)]);
    let before = document("installer", INSTALLER);
    let after = alone.parsed.user_data.unwrap();
    assert_eq!(
        (before.stylus, before.install),
        (after.stylus, after.install)
    );
    let nothing = merge(&[]);
    assert!(nothing.decisions.is_empty());
}

proptest! {
    #[test]
    fn merging_is_the_same_whether_it_is_done_at_once_or_in_turns(
        tags in proptest::collection::vec(proptest::collection::btree_map("[a-c]", "[a-z]{1,3}", 0..3), 3),
        mounts in proptest::collection::vec(proptest::collection::vec("/[a-d]", 0..3), 3),
    ) {
        let documents: Vec<UserData> = tags.iter().zip(&mounts).enumerate().map(|(index, (tags, mounts))| {
            let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}: \"{value}\"")).collect();
            let text = format!("#cloud-config\nstylus: {{site: {{tags: {{{}}}}}}}\ninstall: {{bind_mounts: [{}]}}\n", tags.join(", "), mounts.join(", "));
            document(&format!("d{index}"), &text)
        }).collect();
        let at_once = merge(&documents).parsed.user_data.unwrap();
        let two = merge(&documents[..2]).parsed.user_data.unwrap();
        let in_turns = merge(&[two, documents[2].clone()]).parsed.user_data.unwrap();
        prop_assert_eq!(at_once.stylus, in_turns.stylus);
        prop_assert_eq!(at_once.install, in_turns.install);
    }
}
