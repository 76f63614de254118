//! Whole documents: those that Palette's documentation shows, and one with every key that is carried out.

use userdata::{
    Afterwards, Device, HostId, MASK, ManagementMode, Rule, Severity, check_complete, check_eks,
    has_errors, parse, render,
};

const EKS: &str = include_str!("samples/eks-hybrid.yaml");
const FULL: &str = include_str!("samples/full.yaml");
const EDGE_NATIVE: &str = include_str!("samples/edge-native-2023.yaml");

fn accepted(text: &str) -> userdata::UserData {
    let parsed = parse("user-data", text.as_bytes());
    let findings: Vec<_> = parsed.findings.iter().map(ToString::to_string).collect();
    parsed.user_data.unwrap_or_else(|| panic!("{findings:#?}"))
}

#[test]
fn the_eks_document_is_accepted_with_all_eight_items() {
    let user_data = accepted(EKS);
    assert_eq!(user_data.install.extra_dirs_rootfs, ["/eks-hybrid"]);
    let mounts = [
        "/eks-hybrid",
        "/etc/aws",
        "/etc/containerd",
        "/etc/eks",
        "/etc/iam",
        "/etc/modules-load.d",
        "/var/lib/amazon",
    ];
    assert_eq!(user_data.install.bind_mounts, mounts);
    assert_eq!(user_data.install.afterwards(), Afterwards::Wait);
    assert_eq!(check_eks(&user_data), []);
    assert_eq!(check_complete(&user_data), []);
    let user = &user_data.stages.steps("initramfs")[0].users[0];
    assert_eq!(
        (user.name.as_str(), user.groups.as_slice()),
        ("kairos", ["sudo".to_owned()].as_slice())
    );
}

#[test]
fn the_eks_document_gives_a_warning_for_each_placeholder_and_nothing_else() {
    let parsed = parse("user-data", EKS.as_bytes());
    let found: Vec<_> = parsed
        .findings
        .iter()
        .map(|f| (f.rule, f.severity, f.position.line))
        .collect();
    let expected = [5, 6, 27].map(|line| (Rule::Placeholder, Severity::Warning, line));
    assert_eq!(found, expected);
}

#[test]
fn the_eks_profile_names_every_missing_item_and_the_wrong_mode() {
    for item in [
        "/etc/aws",
        "/etc/containerd",
        "/etc/eks",
        "/etc/iam",
        "/etc/modules-load.d",
        "/var/lib/amazon",
    ] {
        let user_data = accepted(&EKS.replace(&format!("    - {item}\n"), ""));
        let findings = check_eks(&user_data);
        assert_eq!(findings.len(), 1, "{item}");
        assert_eq!(
            (findings[0].rule, findings[0].position.line),
            (Rule::EksHybrid, 11),
            "{item}"
        );
        assert_eq!(findings[0].advice, Some(format!("add `- {item}`")));
    }
    let none = accepted("#cloud-config\nstylus:\n  managementMode: local\n");
    let found: Vec<_> = check_eks(&none)
        .iter()
        .map(|f| (f.rule, f.position.line))
        .collect();
    let mut expected = vec![(Rule::EksHybrid, 1); 8];
    expected.push((Rule::ManagementMode, 3));
    assert_eq!(found, expected);
}

#[test]
fn the_sample_of_2023_is_refused_at_the_line_of_reboot() {
    let parsed = parse("user-data", EDGE_NATIVE.as_bytes());
    assert!(parsed.user_data.is_none());
    insta::assert_snapshot!(render(&parsed.findings, EDGE_NATIVE, false));
}

#[test]
fn every_key_that_is_carried_out_is_typed() {
    let user_data = accepted(FULL);
    let (site, install) = (&user_data.stylus.site, &user_data.install);
    assert_eq!(user_data.stylus.management_mode, ManagementMode::Central);
    assert_eq!(
        site.palette_endpoint.as_ref().unwrap().to_string(),
        "palette.example.com:8443"
    );
    assert_eq!(
        site.edge_host_token.as_ref().unwrap().reveal(),
        "a4P5DzeJfeo6Un0X81dUyxaq491y05GL"
    );
    assert_eq!(site.name, Some(HostId::Fixed("edge-shop-0042".to_owned())));
    assert_eq!(site.tags["zip-code"], "01234");
    assert_eq!(site.tags["open"], "yes");
    assert_eq!(site.ntp_servers.len(), 2);
    assert_eq!(
        site.ca_certs,
        ["-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n"]
    );
    assert!(site.network.interfaces["eth0"].is_static);
    assert_eq!(
        install.device,
        Device::Path("/dev/disk/by-id/nvme-x".to_owned())
    );
    assert_eq!(install.afterwards(), Afterwards::Reboot);
    assert_eq!(
        (install.partitions.persistent, install.partitions.state),
        (Some(0), Some(9000))
    );
    assert_eq!(install.extra_partitions[0].size, 1024);
    assert_eq!(
        install.grub_options["extra_cmdline"],
        "rd.debug console=ttyS0"
    );
    assert_eq!(user_data.users[0].groups, ["wheel", "docker"]);
}

#[test]
fn the_parts_of_a_step_are_typed() {
    let user_data = accepted(FULL);
    let steps = user_data.stages.steps("initramfs");
    assert_eq!(steps.len(), 3);
    assert_eq!(
        steps[0].condition.as_deref(),
        Some("[ -e /run/cos/active_mode ]")
    );
    assert_eq!(steps[0].users[0].uid, Some(2000));
    assert_eq!(
        steps[0].users[0].passwd.as_ref().unwrap().reveal(),
        "kairos"
    );
    let files: Vec<_> = steps[2]
        .files
        .iter()
        .map(|file| (file.permissions, file.bytes()))
        .collect();
    let expected = [
        (Some(0o644), b"Welcome.\n\n  Indented: yes\n".to_vec()),
        (Some(0o600), b"hello".to_vec()),
    ];
    assert_eq!(files, expected);
    assert_eq!(steps[2].directories[0].permissions, Some(0o750));
    assert_eq!(steps[2].environment["A_VARIABLE"], "007");
    assert_eq!(
        user_data.stages.steps("boot.after")[0].commands,
        ["systemctl status"]
    );
    assert_eq!(user_data.stages.steps("boot")[0].users, user_data.users);
}

#[test]
fn no_secret_is_shown_by_debug_json_or_findings() {
    let parsed = parse("user-data", FULL.as_bytes());
    let shown = format!(
        "{parsed:?} {} {}",
        serde_json::to_string(parsed.user_data.as_ref().unwrap()).unwrap(),
        render(&parsed.findings, FULL, true)
    );
    assert!(shown.contains(MASK));
    for secret in [
        "a4P5Dze",
        "registry-secret",
        "helper-secret",
        "user:pw",
        "aGVsbG8",
        "Welcome",
        "saltsalt",
    ] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn findings_are_rendered_with_the_line_and_a_caret() {
    let text = "#cloud-config\nstylus:\n  site:\n    paletteEndPoint: a\n    edgeHostToken: 12345678\n  reboot: yes\n\
                install:\n  bind_mounts:\n    - /etc/aws/\n  tty: tty1\n";
    let parsed = parse("user-data", text.as_bytes());
    assert!(has_errors(&parsed.findings));
    insta::assert_snapshot!(render(&parsed.findings, text, false));
    let coloured = render(&parsed.findings, text, true);
    assert!(
        coloured.contains("\u{1b}[1;31muser-data:4:5: error[U08]"),
        "{coloured}"
    );
}

#[test]
fn documents_that_palette_shows_elsewhere_are_accepted() {
    let documents = [
        "install:\n  reboot: true\n  poweroff: false\nstylus:\n  vip:\n    skip: false\n  site:\n    edgeHostToken: $TOKEN\n    paletteEndpoint: api.spectrocloud.com\n    projectName: Default\nstages:\n  initramfs:\n    - users:\n        kairos:\n          groups:\n            - sudo\n          passwd: kairos\n",
        "stylus:\n  skipKubeVip: false\n",
        " stages:\n   initramfs:\n     - name: \"Disable UDP segmentation\"\n       commands:\n         - ethtool --offload <interface-name> tx-udp_tnl-segmentation off\n",
        "stylus:\n  site:\n    projectName: edge\n    tags:\n      zip-code: 95135\n",
        "stylus:\n  registryCredentials:\n    domain: example.com\n    username: u\n    password: p\n    insecure: false\n  site:\n    debug: true\n    insecureSkipVerify: true\n    paletteEndpoint: example.com\n    name: edge-1\n",
        "stylus:\n  managementMode: local\n  externalRegistries:\n    registryMappingRules:\n      us-docker.pkg.dev/palette: example.com/palette\n",
        "stylus:\n  skipKubeVip: true\n  site:\n    deviceUIDPaths:\n      - name: /etc/hostname\n        regex: \".*\"\n",
        "users:\n  - name: kairos\n    passwd: kairos\n",
        "install:\n  device: /dev/sda\nstylus:\n  debug: true\n  site:\n    autoRegister: true\n    insecureSkipVerify: false\n",
        "install:\n  reboot: false\n  poweroff: true\nstages:\n  before-install:\n    - name: x\n      if: '[ -f /x ]'\n      commands: [\"true\"]\n",
        "stages:\n  initramfs:\n    users:\n      kairos:\n        passwd: kairos\n",
    ];
    for document in documents {
        accepted(&format!("#cloud-config\n{document}"));
        accepted(&format!(
            "#cloud-config\r\n{}",
            document.replace('\n', "\r\n")
        ));
    }
}
