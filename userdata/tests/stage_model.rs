//! The parts of a step, cloud-init's own keys, and what of them is refused.

use std::io::Write;

use base64::engine::general_purpose::STANDARD;
use userdata::{
    AddPartition, Conditions, Encoding, Expression, Stages, Step, parse, parse_stage_file,
};

const STEP: &str = include_str!("samples/every-part.yaml");

fn stages(text: &str) -> Stages {
    let file = parse_stage_file("50.yaml", text.as_bytes());
    assert!(
        !userdata::has_errors(&file.findings),
        "{:#?}",
        file.findings
    );
    file.stages
}

fn every_part() -> Step {
    stages(STEP).steps("boot")[0].clone()
}

#[test]
fn conditions_are_typed() {
    let step = every_part();
    let Conditions {
        node,
        only_os,
        only_os_version,
        only_arch,
        only_service_manager,
        if_any_file,
        if_all_files,
        if_no_file,
    } = step.conditions;
    let expressions = [node, only_os, only_os_version, only_arch];
    let expressions: Vec<_> = expressions
        .iter()
        .flatten()
        .map(Expression::as_str)
        .collect();
    assert_eq!(expressions, ["shop-.*", "ubuntu|debian", "^12", "amd64"]);
    assert_eq!(only_service_manager.as_deref(), Some("systemd"));
    assert_eq!(if_any_file, ["/etc/a"]);
    assert_eq!(if_all_files, ["/etc/b", "/etc/c"]);
    assert_eq!(if_no_file, ["/etc/d"]);
    assert_eq!(step.condition.as_deref(), Some("[ -e /etc/e ]"));
    assert_eq!(step.after, ["10_first.yaml.network"]);
}

#[test]
fn what_a_step_fetches_and_finds_is_typed() {
    let step = every_part();
    let dns = step.dns.unwrap();
    assert_eq!(dns.nameservers, ["10.0.0.2", "fd00::2"]);
    assert_eq!((dns.search.len(), dns.options.len()), (1, 1));
    assert_eq!(dns.path.as_deref(), Some("/etc/resolv.conf"));
    let download = &step.downloads[0];
    assert_eq!(download.url.reveal(), "https://files.example.com/tool");
    assert_eq!(download.path, "/opt/bin/");
    assert_eq!(
        (download.permissions, download.owner),
        (Some(0o755), Some(0))
    );
    assert_eq!(download.timeout, Some(30));
    let datasource = step.datasource.unwrap();
    assert_eq!(datasource.providers, ["cdrom"]);
    assert_eq!(datasource.userdata_name.as_deref(), Some("userdata.yaml"));
    let found = |entity: &userdata::Entity| format!("{} in {}", entity.name(), entity.file());
    assert_eq!(found(&step.ensure_entities[0]), "shop in /etc/group");
    assert_eq!(found(&step.delete_entities[0]), "old in /etc/passwd");
}

#[test]
fn what_a_step_sets_up_is_typed() {
    let step = every_part();
    assert_eq!(step.sysctl["net.ipv4.ip_forward"], "1");
    assert_eq!(step.modules, ["br_netfilter", "nbd max_part=8"]);
    assert_eq!(step.timesyncd["NTP"], "ntp.example.com");
    assert_eq!(step.systemd_firstboot["locale"], "C.UTF-8");
    let systemctl = step.systemctl.unwrap();
    assert_eq!(systemctl.enable, ["sshd"]);
    assert_eq!(systemctl.mask, ["fallback.service"]);
    let names: Vec<_> = systemctl
        .overrides
        .iter()
        .map(|found| (found.service.as_str(), found.name.as_str()))
        .collect();
    let expected = [
        ("containerd.service", "10-proxy.conf"),
        ("kubelet.service", "override-yip.conf"),
    ];
    assert_eq!(names, expected);
    assert!(
        systemctl.overrides[0]
            .content
            .reveal()
            .contains("HTTP_PROXY")
    );
    let layout = step.layout.unwrap();
    assert_eq!(layout.device.path.as_deref(), Some("/dev/sda"));
    assert_eq!(layout.expand, Some(0));
    let added = AddPartition {
        fs_label: Some("DATA".to_owned()),
        p_label: Some("data".to_owned()),
        size: 512,
        filesystem: Some("ext4".to_owned()),
        bootable: false,
    };
    assert_eq!(layout.add, [added]);
}

#[test]
fn compressed_content_comes_out_as_it_went_in() {
    let step = every_part();
    assert_eq!(step.files[0].encoding, Encoding::GzipBase64);
    assert_eq!(step.files[0].bytes(), b"hello, edge\n");
}

#[test]
fn a_small_text_cannot_become_an_endless_file() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 32 << 20]).unwrap();
    let bomb = base64::Engine::encode(&STANDARD, encoder.finish().unwrap());
    assert!(bomb.len() < 100_000);
    let text = format!(
        "stages:\n  boot:\n    - files:\n        - path: /a\n          encoding: gz+b64\n          content: {bomb}\n"
    );
    let file = parse_stage_file("u", text.as_bytes());
    assert!(file.stages.is_empty());
    assert!(
        file.findings[0].reason.contains("larger than"),
        "{:#?}",
        file.findings
    );
}

#[test]
fn no_part_of_a_step_is_left_out() {
    assert_eq!(every_part().not_carried_out, [""; 0]);
}

#[test]
fn images_git_and_packages_refuse_a_document_but_not_a_step_at_boot() {
    for part in [
        "unpack_images: [{source: a, target: /b}]",
        "git: {url: a}",
        "packages: {install: [a]}",
        "package_pins: {a: b}",
    ] {
        let step = format!("stages:\n  boot:\n    - {part}\n      commands: [x]\n");
        let parsed = parse("u", format!("#cloud-config\n{step}").as_bytes());
        let found: Vec<_> = parsed
            .findings
            .iter()
            .map(|f| (f.rule.id(), f.severity, f.position.line))
            .collect();
        assert_eq!(found, [("U36", userdata::Severity::Error, 4)], "{part}");
        let key = part.split(':').next().unwrap();
        let steps = stages(&step);
        assert_eq!(steps.steps("boot")[0].commands, ["x"]);
        assert_eq!(steps.steps("boot")[0].not_carried_out, [key]);
    }
}

/// Values of parts that cannot be carried out as they are written, with the rule and the path below the step.
const BAD: &[(&str, &str)] = &[
    ("node: (", "U39 node"),
    ("only_os: (?=a)", "U39 only_os"),
    ("if_files: {all: [etc/a]}", "U24 if_files.all[0]"),
    (
        "dns: {nameservers: [ns.example.com]}",
        "U39 dns.nameservers[0]",
    ),
    ("dns: {search: [\"a b\"]}", "U39 dns.search[0]"),
    ("dns: {path: ../x}", "U24 dns.path"),
    ("downloads: [{path: /a}]", "U05 downloads[0]"),
    (
        "downloads: [{path: /a, url: ftp://b}]",
        "U39 downloads[0].url",
    ),
    (
        "downloads: [{path: /a/../b, url: https://b}]",
        "U24 downloads[0].path",
    ),
    (
        "ensure_entities: [{path: /etc/passwd}]",
        "U05 ensure_entities[0]",
    ),
    ("sysctl: {\"a b\": 1}", "U38 sysctl.a b"),
    ("sysctl: {a: \"1\\nb=2\"}", "U39 sysctl.a"),
    ("modules: [-r]", "U38 modules[0]"),
    ("modules: [\"a b\"]", "U38 modules[0]"),
    ("modules: [a, \"b =1\"]", "U38 modules[1]"),
    ("timesyncd: {\"NTP=\": a}", "U38 timesyncd.NTP="),
    (
        "systemd_firstboot: {root: /a}",
        "U38 systemd_firstboot.root",
    ),
    (
        "systemd_firstboot: {root-password: a}",
        "U38 systemd_firstboot.root-password",
    ),
    (
        "ensure_entities: [{path: /etc/x, entity: \"{kind: user, username: a}\"}]",
        "U24 ensure_entities[0].path",
    ),
    (
        "delete_entities: [{entity: \"{kind: user}\"}]",
        "U38 delete_entities[0].entity.username",
    ),
    (
        "ensure_entities: [{entity: \"{kind: group, group_name: a, password: b}\"}]",
        "U39 ensure_entities[0].entity.password",
    ),
    ("hostname: \"{{ .Values.os }}\"", "U38 hostname"),
    ("systemctl: {enable: [--now]}", "U38 systemctl.enable[0]"),
    ("systemctl: {mask: [../a]}", "U38 systemctl.mask[0]"),
    (
        "systemctl: {overrides: [{content: a}]}",
        "U05 systemctl.overrides[0]",
    ),
    (
        "systemctl: {overrides: [{service: a, name: ../b}]}",
        "U38 systemctl.overrides[0].name",
    ),
    ("datasource: {path: a}", "U24 datasource.path"),
    (
        "datasource: {userdata_name: ../a}",
        "U38 datasource.userdata_name",
    ),
    (
        "layout: {device: {path: \"script:///x\"}}",
        "U28 layout.device.path",
    ),
    (
        "layout: {add_partitions: [{pLabel: aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd}]}",
        "U38 layout.add_partitions[0].pLabel",
    ),
    (
        "files: [{path: /a, encoding: gz+base64, content: aGVsbG8=}]",
        "U39 files[0].content",
    ),
    (
        "files: [{path: /a, encoding: rot13}]",
        "U39 files[0].encoding",
    ),
    ("environment: {1A: b}", "U38 environment.1A"),
    ("hostname: a_b", "U38 hostname"),
];

#[test]
fn a_part_that_cannot_be_carried_out_as_written_takes_its_step_and_no_other() {
    for (part, expected) in BAD {
        let text =
            format!("stages:\n  boot:\n    - commands: [x]\n    - {part}\n    - commands: [y]\n");
        let file = parse_stage_file("u", text.as_bytes());
        let commands: Vec<_> = file
            .stages
            .steps("boot")
            .iter()
            .flat_map(|step| step.commands.clone())
            .collect();
        assert_eq!(commands, ["x", "y"], "{part}: {:#?}", file.findings);
        let errors: Vec<_> = file
            .findings
            .iter()
            .filter(|finding| finding.severity == userdata::Severity::Error)
            .map(|finding| {
                let path = finding.path.strip_prefix("stages.boot[1].");
                format!("{} {}", finding.rule, path.unwrap_or(&finding.path))
            })
            .collect();
        assert_eq!(errors, [*expected], "{part}");
    }
}

#[test]
fn the_keys_of_cloud_init_become_steps_where_kairos_runs_them() {
    let stages = stages(concat!(
        "#cloud-config\nhostname: shop-1\nruncmd:\n  - echo one\n  - [printf, \"it's\", 2]\n",
        "write_files:\n  - {path: /etc/x, content: aGk=, encoding: b64, owner: 'root:adm', permissions: 0640}\n",
        "ssh_authorized_keys: [ssh-ed25519 AAAA shared]\n",
        "growpart: {mode: auto, devices: [/dev/sda]}\n",
        "users:\n  - default\n  - {name: a, ssh_authorized_keys: [\"github:somebody\", ssh-rsa BBBB own]}\n",
        "stages: {boot: [{name: own, commands: [x]}], network: [{name: net}]}\n",
    ));
    assert_eq!(
        stages.steps("initramfs")[0]
            .hostname
            .clone()
            .map(String::from)
            .as_deref(),
        Some("shop-1")
    );
    let boot = stages.steps("boot");
    let names: Vec<_> = boot
        .iter()
        .map(|step| step.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["cloud-init users", "cloud-init growpart", "own"]);
    assert_eq!(boot[0].commands, ["echo one", r"'printf' 'it'\''s' '2'"]);
    let file = &boot[0].files[0];
    assert_eq!(
        (file.bytes(), file.permissions),
        (b"hi".to_vec(), Some(0o640))
    );
    assert_eq!(file.ownerstring.as_deref(), Some("root:adm"));
    let keys = &boot[0].users[0].ssh_authorized_keys;
    assert_eq!(keys, &["ssh-rsa BBBB own", "ssh-ed25519 AAAA shared"]);
    assert_eq!(boot[1].layout.as_ref().unwrap().expand, Some(0));
    assert!(boot[1].not_carried_out.is_empty());
    let network = stages.steps("network");
    assert_eq!(network[0].authorized_keys["a"], ["github:somebody"]);
    assert_eq!(network[1].name.as_deref(), Some("net"));
}

#[test]
fn keys_without_users_are_those_of_root() {
    let stages = stages("ssh_authorized_keys: [ssh-rsa A x, \"gitlab:y\"]\n");
    assert_eq!(
        stages.steps("boot")[0].authorized_keys["root"],
        ["ssh-rsa A x"]
    );
    assert_eq!(
        stages.steps("network")[0].authorized_keys["root"],
        ["gitlab:y"]
    );
}

#[test]
fn a_broken_key_of_cloud_init_takes_no_other_with_it() {
    let text = "runcmd: 7\nhostname: [a]\nwrite_files:\n  - {path: ../a}\n  - {path: /b, append: true}\nssh_authorized_keys: [k]\n";
    let file = parse_stage_file("u", text.as_bytes());
    let found: Vec<_> = file
        .findings
        .iter()
        .map(|f| format!("{} {} {}", f.position.line, f.rule, f.path))
        .collect();
    let expected = [
        "1 U06 runcmd",
        "2 U06 hostname",
        "4 U24 write_files[0].path",
        "5 U36 write_files[1].append",
    ];
    assert_eq!(found, expected);
    let boot = &file.stages.steps("boot")[0];
    assert_eq!(boot.files[0].path, "/b");
    assert_eq!(boot.authorized_keys["root"], ["k"]);
}

#[test]
fn passwords_of_every_spelling_reach_the_user_and_are_hashed_in_what_is_kept() {
    let text = "#cloud-config\nusers:\n  - {name: a, plain_text_passwd: clear-a}\n  - {name: b, hashed_passwd: $6$saltsalt$abcdefghijkl}\n  \
                - {name: c, passwd: clear-c, plain_text_passwd: clear-d}\nstylus:\n  site:\n    users:\n      e: {passwd: clear-e, passwordExpiry: 2027-12-31}\n";
    let parsed = parse("u", text.as_bytes());
    let user_data = parsed
        .user_data
        .unwrap_or_else(|| panic!("{:#?}", parsed.findings));
    let passwords: Vec<_> = user_data
        .users
        .iter()
        .chain(&user_data.stylus.site.users)
        .map(|user| user.passwd.as_ref().unwrap().reveal())
        .collect();
    assert_eq!(
        passwords,
        ["clear-a", "$6$saltsalt$abcdefghijkl", "clear-c", "clear-e"]
    );
    let expiry = user_data.stylus.site.users[0].password_expiry.as_deref();
    assert_eq!(expiry, Some("2027-12-31"));
    let oem = user_data.oem_document(&mut |_| "$6$saltsalt$hashed-now".to_owned());
    assert!(
        !oem.contains("clear") && !oem.contains("plain_text"),
        "{oem}"
    );
    assert_eq!(oem.matches("hashed-now").count(), 3, "{oem}");
    let again = parse("u", oem.as_bytes()).user_data.unwrap();
    assert_eq!(
        again.users[0].passwd.as_ref().unwrap().reveal(),
        "$6$saltsalt$hashed-now"
    );
}
