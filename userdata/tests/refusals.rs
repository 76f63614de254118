//! Bad documents: each with the rule, line, column and key path of its first finding.

use userdata::{MAX_BYTES, Position, Severity, parse};

/// A document and its only finding, as `line:column rule path`.
type Case = (&'static str, &'static str);

/// Documents behind `#cloud-config`, so that the first line of each is line 2.
const ERRORS: &[Case] = &[
    ("stylus:\n  site: a: b\n", "3:10 U02"),
    ("stylus: [\n", "2:9 U02"),
    ("a: *x\n", "2:4 U02"),
    ("a: &x [*x]\n", "2:8 U02"),
    ("a: &x 1\n<<: *x\n", "3:1 U02"),
    ("a: !!binary aGk=\n", "2:13 U02"),
    ("? [a]\n: b\n", "2:3 U02"),
    ("stylus:\n\tsite:\n", "3:1 U03"),
    ("a: 1\nb: 2\na: 3\n", "4:1 U04"),
    (
        "stylus:\n  site:\n    edgeHostToken:\n",
        "4:18 U05 stylus.site.edgeHostToken",
    ),
    ("stylus:\n", "2:7 U05 stylus"),
    ("stages:\n  boot:\n", "3:3 U05 stages.boot"),
    (
        "stages:\n  boot:\n    - users:\n        a:\n",
        "5:10 U05 stages.boot[0].users.a",
    ),
    (
        "stages:\n  boot:\n    - users:\n        a:\n          passwd: ''\n",
        "6:19 U05 stages.boot[0].users.a.passwd",
    ),
    ("", "1:1 U05"),
    ("- a\n", "2:1 U06"),
    ("install:\n  reboot: \"true\"\n", "3:11 U06 install.reboot"),
    ("install:\n  reboot: yes\n", "3:11 U06 install.reboot"),
    (
        "install:\n  bind_mounts: /a\n",
        "3:16 U06 install.bind_mounts",
    ),
    (
        "install:\n  bind_mounts:\n    - 12\n",
        "4:7 U06 install.bind_mounts[0]",
    ),
    (
        "install:\n  partitions:\n    state:\n      size: 0100\n",
        "5:13 U06 install.partitions.state.size",
    ),
    (
        "stylus:\n  site:\n    edgeHostToken: 1234\n",
        "4:20 U06 stylus.site.edgeHostToken",
    ),
    ("stages:\n  boot: x\n", "3:9 U06 stages.boot"),
    ("users: {a: b}\n", "2:8 U06 users"),
    ("stylus:\n  reboot: false\n", "3:3 U07 stylus.reboot"),
    (
        "stylus:\n  site:\n    install:\n      poweroff: true\n",
        "4:5 U07 stylus.site.install",
    ),
    ("siteNetwork: {}\n", "2:1 U07 siteNetwork"),
    (
        "stylus:\n  site:\n    registrationUrl: https://a\n",
        "4:5 U08 stylus.site.registrationUrl",
    ),
    (
        "install:\n  bind-mounts: [/a]\n",
        "3:3 U08 install.bind-mounts",
    ),
    (
        "stylus:\n  managementMode: cloud\n",
        "3:19 U09 stylus.managementMode",
    ),
    (
        "stylus:\n  managementMode: local\n  installationMode: connected\n",
        "4:3 U09 stylus.installationMode",
    ),
    (
        "stylus:\n  site:\n    paletteEndpoint: https://a.b\n",
        "4:22 U12 stylus.site.paletteEndpoint",
    ),
    (
        "stylus:\n  site:\n    paletteEndpoint: a.b/c\n",
        "4:22 U12 stylus.site.paletteEndpoint",
    ),
    (
        "stylus:\n  site:\n    paletteEndpoint: a b\n",
        "4:22 U12 stylus.site.paletteEndpoint",
    ),
    (
        "stylus:\n  site:\n    paletteEndpoint: a.b:0\n",
        "4:22 U12 stylus.site.paletteEndpoint",
    ),
    (
        "stylus:\n  site:\n    paletteEndpoint: '::1'\n",
        "4:22 U12 stylus.site.paletteEndpoint",
    ),
    (
        "stylus:\n  site:\n    name: a/b\n",
        "4:11 U16 stylus.site.name",
    ),
    (
        "stylus:\n  site:\n    prefix: a_b\n",
        "4:13 U17 stylus.site.prefix",
    ),
    (
        "stylus:\n  site:\n    caCerts: [abc]\n",
        "4:15 U22 stylus.site.caCerts[0]",
    ),
    (
        "install:\n  bind_mounts: [etc/aws]\n",
        "3:17 U24 install.bind_mounts[0]",
    ),
    (
        "install:\n  bind_mounts: [/etc/../aws]\n",
        "3:17 U24 install.bind_mounts[0]",
    ),
    (
        "install:\n  bind_mounts: [/etc/aws/]\n",
        "3:17 U24 install.bind_mounts[0]",
    ),
    (
        "install:\n  extra-dirs-rootfs: [\"/a\\nb\"]\n",
        "3:23 U24 install.extra-dirs-rootfs[0]",
    ),
    (
        "install:\n  bind_mounts: [/]\n",
        "3:17 U24 install.bind_mounts[0]",
    ),
    (
        "stages:\n  boot:\n    - files:\n        - path: ../x\n",
        "5:17 U24 stages.boot[0].files[0].path",
    ),
    (
        "stages:\n  boot:\n    - users:\n        a: {homedir: b}\n",
        "5:22 U24 stages.boot[0].users.a.homedir",
    ),
    (
        "install:\n  extra-partitions:\n    - size: 1\n",
        "4:7 U27 install.extra-partitions[0]",
    ),
    ("install:\n  device: sda\n", "3:11 U28 install.device"),
    (
        "install:\n  device: script:///x\n",
        "3:11 U28 install.device",
    ),
    (
        "install:\n  device: /dev/disk/by-partuuid/1\n",
        "3:11 U28 install.device",
    ),
    ("a: 1\n---\nb: 2\n", "3:1 U35"),
    ("a: 1\nb: \u{0}\n", "3:4 U35"),
    ("a: \u{1b}[2J\n", "2:4 U35"),
    ("install:\n  no-format: true\n", "3:3 U36 install.no-format"),
    (
        "install:\n  encrypted_partitions: [COS_PERSISTENT]\n",
        "3:3 U36 install.encrypted_partitions",
    ),
    (
        "stages:\n  boot:\n    - files: [{path: /a, encoding: gz}]\n",
        "4:36 U39 stages.boot[0].files[0].encoding",
    ),
    (
        "stages:\n  boot:\n    - users:\n        \"a:b\": {}\n",
        "5:9 U38 stages.boot[0].users.a:b",
    ),
    (
        "stages:\n  boot:\n    - users:\n        a: {gecos: \"x\\ny\"}\n",
        "5:20 U38 stages.boot[0].users.a.gecos",
    ),
    (
        "stages:\n  boot:\n    - hostname: a_b\n",
        "4:17 U38 stages.boot[0].hostname",
    ),
    (
        "install:\n  grub_options: {a: \"x\\ny=z\"}\n",
        "3:18 U38 install.grub_options.a",
    ),
    (
        "stages:\n  boot:\n    - files: [{path: /a, permissions: 644}]\n",
        "4:39 U39 stages.boot[0].files[0].permissions",
    ),
    (
        "stages:\n  boot:\n    - files: [{path: /a, permissions: \"9\"}]\n",
        "4:39 U39 stages.boot[0].files[0].permissions",
    ),
    (
        "stages:\n  boot:\n    - users: {a: {uid: -1}}\n",
        "4:24 U39 stages.boot[0].users.a.uid",
    ),
    (
        "stages:\n  boot:\n    - authorized_keys: {a: [\"k\\nl\"]}\n",
        "4:29 U39 stages.boot[0].authorized_keys.a[0]",
    ),
    ("landfall: []\n", "2:11 U06 landfall"),
    ("landfall:\n  wype: ours\n", "3:3 U08 landfall.wype"),
    ("landfall:\n  wipe: all\n", "3:9 U39 landfall.wipe"),
    ("landfall:\n  wipe: true\n", "3:9 U06 landfall.wipe"),
    ("landfall:\n  mode: update\n", "3:9 U39 landfall.mode"),
    ("landfall:\n  mode: keep\n", "3:9 U39 landfall.mode"),
    ("landfall:\n  nonce: \"a b\"\n", "3:10 U39 landfall.nonce"),
    ("landfall:\n  nonce: \"\"\n", "3:10 U39 landfall.nonce"),
    ("landfall:\n  nonce: a;b\n", "3:10 U39 landfall.nonce"),
    ("landfall:\n  disk: {}\n", "3:3 U05 landfall.disk"),
    (
        "landfall:\n  disk: {serial: \"\"}\n",
        "3:3 U05 landfall.disk",
    ),
    ("landfall:\n  disk: {size: {}}\n", "3:3 U05 landfall.disk"),
    (
        "landfall:\n  disk: {transport: fc}\n",
        "3:21 U39 landfall.disk.transport",
    ),
    (
        "landfall:\n  disk: {size: {min: 480}}\n",
        "3:22 U06 landfall.disk.size.min",
    ),
    (
        "landfall:\n  disk: {size: {max: 2 tons}}\n",
        "3:22 U39 landfall.disk.size.max",
    ),
    (
        "landfall:\n  disk: {size: {min: 2TB, max: 1TB}}\n",
        "3:16 U39 landfall.disk.size",
    ),
];

/// Findings that are not what the table says, all at once.
fn differences(cases: &[Case], severity: impl Fn(Severity) -> bool, accepted: bool) -> Vec<String> {
    let mut differences = Vec::new();
    for (document, expected) in cases {
        let parsed = parse("u", format!("#cloud-config\n{document}").as_bytes());
        let counted = parsed
            .findings
            .iter()
            .filter(|finding| severity(finding.severity));
        let found: Vec<String> = counted
            .map(|finding| {
                let Position { line, column } = finding.position;
                let text = format!("{line}:{column} {} {}", finding.rule, finding.path);
                text.trim_end().to_owned()
            })
            .collect();
        if found != [*expected] || parsed.user_data.is_some() != accepted {
            differences.push(format!("{document}\n found {found:?}, expected {expected}"));
        }
    }
    differences
}

#[test]
fn a_bad_document_is_refused_with_rule_line_column_and_path() {
    let differences = differences(ERRORS, |severity| severity == Severity::Error, false);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

const WARNINGS: &[Case] = &[
    ("stylu: {}\n", "2:1 U08 stylu"),
    ("stages:\n  initramfss: []\n", "3:3 U08 stages.initramfss"),
    (
        "stages:\n  boot: [{comands: [a]}]\n",
        "3:11 U08 stages.boot[0].comands",
    ),
    (
        "stylus:\n  site:\n    name: EDGE\n",
        "4:11 U16 stylus.site.name",
    ),
    (
        "install:\n  poweroff: true\n  reboot: true\n",
        "4:3 U25 install.reboot",
    ),
    (
        "stages:\n  boot: [{users: {a: {passwd: b}}}]\n",
        "3:31 U29 stages.boot[0].users.a.passwd",
    ),
    (
        "stages:\n  boot: [{commands: [ip <nic>]}]\n",
        "3:22 U34 stages.boot[0].commands[0]",
    ),
    ("install:\n  tty: tty1\n", "3:3 U36 install.tty"),
    (
        "stylus:\n  site:\n    insecureSkipVerify: true\n",
        "4:5 U37 stylus.site.insecureSkipVerify",
    ),
    ("stylus:\n  includeTui: true\n", "3:3 U30 stylus.includeTui"),
    (
        "stylus:\n  installationMode: airgap\n",
        "3:3 U30 stylus.installationMode",
    ),
];

#[test]
fn a_doubtful_document_is_accepted_with_a_warning_or_an_info() {
    let differences = differences(WARNINGS, |_| true, true);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_header_must_be_alone_on_the_first_line() {
    for good in [
        "#cloud-config\na: b\n",
        "#cloud-config  \r\na: b\r\n",
        "#cloud-config\n---\na: b\n",
    ] {
        assert!(parse("u", good.as_bytes()).user_data.is_some(), "{good:?}");
    }
    let bad = [
        "a: b\n",
        "\n#cloud-config\na: b\n",
        "# x\n#cloud-config\na: b\n",
        "\u{feff}#cloud-config\na: b\n",
        "# cloud-config\na: b\n",
        "#cloud-config x\na: b\n",
        " #cloud-config\na: b\n",
        "#kairos-config\na: b\n",
    ];
    for bad in bad {
        let parsed = parse("u", bad.as_bytes());
        let found: Vec<_> = parsed
            .findings
            .iter()
            .map(|f| (f.rule.id(), f.position.line, f.position.column))
            .collect();
        assert_eq!(found, [("U01", 1, 1)], "{bad:?}");
    }
}

#[test]
fn all_findings_come_in_one_run() {
    let text = "stylus:\n  site:\n    paletteEndpoint: http://x\n    prefix: '!'\n  reboot: 1\ninstall:\n  device: 7\n";
    let parsed = parse("u", text.as_bytes());
    let found: Vec<_> = parsed
        .findings
        .iter()
        .map(|f| (f.rule.id(), f.position.line))
        .collect();
    assert_eq!(
        found,
        [("U01", 1), ("U12", 3), ("U17", 4), ("U07", 5), ("U06", 7)]
    );
}

#[test]
fn text_that_is_too_large_or_not_utf_8_is_refused_before_it_is_parsed() {
    let mut large = b"#cloud-config\n#".to_vec();
    large.resize(MAX_BYTES, b'x');
    assert!(
        !parse("u", &large)
            .findings
            .iter()
            .any(|f| f.rule.id() == "U35")
    );
    large.push(b'x');
    let parsed = parse("u", &large);
    assert_eq!(
        parsed
            .findings
            .iter()
            .map(|f| f.rule.id())
            .collect::<Vec<_>>(),
        ["U35"]
    );
    let parsed = parse("u", b"#cloud-config\na: \xc3\xa4\xff\n");
    let found: Vec<_> = parsed
        .findings
        .iter()
        .map(|f| (f.rule.id(), f.position.line, f.position.column))
        .collect();
    assert_eq!(found, [("U35", 2, 5)]);
}

#[test]
fn bombs_are_refused_quickly() {
    let mut aliases = String::from("#cloud-config\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        aliases.extend([format!("a{level}: &a{level} [{below}]\n")]);
    }
    let text = format!(
        "#cloud-config\na: &a {}\nb: [{}]\n",
        "x".repeat(500_000),
        "*a, ".repeat(50)
    );
    let deep = format!("#cloud-config\na: {}\n", "[".repeat(100_000));
    let levels: Vec<String> = (0..200)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    let deep_block = format!("#cloud-config\n{}", levels.concat());
    let long_key = format!("#cloud-config\n? {}\n: b\n", "a".repeat(500_000));
    for bomb in [aliases, text, deep, deep_block, long_key] {
        let started = std::time::Instant::now();
        let parsed = parse("u", bomb.as_bytes());
        assert_eq!(
            parsed
                .findings
                .iter()
                .map(|f| f.rule.id())
                .collect::<Vec<_>>(),
            ["U35"]
        );
        assert!(started.elapsed().as_secs() < 5);
    }
}

#[test]
fn a_hostile_number_of_findings_is_cut_but_stays_a_refusal() {
    let mut text = String::from("#cloud-config\nstages:\n  boot:\n");
    text.push_str(&"    - {x: 1}\n".repeat(5000));
    text.push_str("install:\n  reboot: 1\n");
    let parsed = parse("u", text.as_bytes());
    assert!(parsed.user_data.is_none());
    assert!(parsed.findings.len() <= 501);
}

#[test]
fn a_finding_does_not_repeat_more_than_a_glimpse_of_a_hostile_value() {
    let text = format!(
        "#cloud-config\ninstall:\n  device: \"{}\"\n",
        "<".repeat(900_000)
    );
    let parsed = parse("u", text.as_bytes());
    assert_eq!(parsed.findings.len(), 1);
    assert!(parsed.findings[0].to_string().len() < 1000);
}

#[test]
fn a_key_that_stands_twice_is_found_in_a_mapping_of_any_size() {
    for size in [1, 31, 32, 33, 1000] {
        let keys: Vec<String> = (0..size).map(|key| format!("k{key}: 1\n")).collect();
        for twin in [0, size / 2, size - 1] {
            let text = format!("#cloud-config\n{}k{twin}: 2\n", keys.concat());
            let parsed = parse("u", text.as_bytes());
            let found: Vec<_> = parsed
                .findings
                .iter()
                .map(|f| (f.rule.id(), f.position.line, f.reason.clone()))
                .collect();
            let reason = format!("the key `k{twin}` already stands on line {}", twin + 2);
            assert_eq!(found, [("U04", size + 2, reason)]);
        }
    }
}
