//! The eighteen shapes of documents of `reference/palette.md` 1.12, in words of our own.

use userdata::{
    Device, Finding, HostId, ManagementMode, Severity, UserData, check_complete, check_eks, parse,
    render,
};

macro_rules! fixture {
    ($name:literal) => {
        ($name, include_str!(concat!("fixtures/", $name, ".yaml")))
    };
}

/// Each document with its findings, as `line severity rule`; refused if one of them is an error.
const FIXTURES: &[((&str, &str), &[&str])] = &[
    (
        fixture!("01-agent-mode"),
        &["2 warning U26", "15 warning U29"],
    ),
    (
        fixture!("02-agent-mode-legacy"),
        &["2 warning U26", "4 warning U30", "14 warning U29"],
    ),
    (
        fixture!("03-eks-hybrid"),
        &["5 warning U34", "6 warning U34", "27 warning U34"],
    ),
    (
        fixture!("04-offload-stage"),
        &["6 warning U34", "7 warning U34"],
    ),
    (fixture!("05-staging"), &["16 warning U29"]),
    (fixture!("06-site-overlay"), &[]),
    (fixture!("07-proxy-certificates"), &[]),
    (fixture!("08-external-registry"), &["9 warning U30"]),
    (fixture!("09-storage-mounts"), &[]),
    (fixture!("10-local-management"), &[]),
    (fixture!("11-template"), &["6 error U05", "18 error U22"]),
    (fixture!("12-device-uid"), &["3 warning U30"]),
    (fixture!("13-listed-users"), &["4 warning U29"]),
    (fixture!("14-cloud-image"), &[]),
    (fixture!("15-partitions"), &[]),
    (fixture!("16-image-build"), &["15 warning U29"]),
    (
        fixture!("17-broken-indentation"),
        &["1 error U01", "5 error U02"],
    ),
    (fixture!("18-token-and-page"), &[]),
];

fn summary(finding: &Finding) -> String {
    let Finding {
        position, severity, ..
    } = finding;
    format!("{} {severity} {}", position.line, finding.rule)
}

fn accepted(number: &str) -> UserData {
    let mut shapes = FIXTURES.iter().map(|(fixture, _)| *fixture);
    let shape = shapes.find(|(name, _)| name.starts_with(number));
    let parsed = shape.map(|(name, text)| parse(name, text.as_bytes()));
    let user_data = parsed.and_then(|parsed| parsed.user_data);
    user_data.unwrap_or_else(|| panic!("{number} is no accepted fixture"))
}

#[test]
fn every_shape_is_accepted_or_refused_as_the_reference_says() {
    for ((name, text), expected) in FIXTURES {
        let parsed = parse(name, text.as_bytes());
        let found: Vec<_> = parsed.findings.iter().map(summary).collect();
        assert_eq!(found, *expected, "{name}: {:#?}", parsed.findings);
        let refused = expected.iter().any(|finding| finding.contains("error"));
        assert_eq!(parsed.user_data.is_none(), refused, "{name}");
    }
}

#[test]
fn the_sample_with_the_broken_indentation_names_what_was_meant() {
    let (name, text) = FIXTURES[16].0;
    let parsed = parse(name, text.as_bytes());
    let page = render(&parsed.findings, text, false);
    assert!(page.contains("   reboot: false"), "{page}");
    assert!(page.contains("`reboot` belongs under `install:`"), "{page}");
}

#[test]
fn what_the_shapes_say_is_typed() {
    assert_eq!(
        accepted("04").stages.steps("initramfs")[0].commands.len(),
        2
    );
    assert_eq!(accepted("06").stylus.site.tags["postcode"], "12345");
    let network = accepted("07").stylus.site.network;
    let nic = &network.interfaces["enp1s0"];
    assert_eq!((nic.is_static, nic.prefix_len), (true, Some(16)));
    assert!(!network.interfaces["enp2s0"].is_static);
    let stylus = accepted("08").stylus;
    let registry = stylus.registry_credentials.unwrap();
    assert_eq!(registry.password.unwrap().reveal(), "let-me-in");
    assert!(stylus.debug);
    assert_eq!(
        stylus.site.name,
        Some(HostId::Fixed("edge-shop-7".to_owned()))
    );
    let local = accepted("10").stylus;
    assert_eq!(local.management_mode, ManagementMode::Local);
    let rules = local.external_registries.unwrap().mapping_rules;
    assert_eq!(rules["gcr.io/vendor"], "images.example.com/vendor");
    let shop = accepted("12").stylus;
    assert!(shop.skip_vip);
    let source = &shop.site.device_uid_paths[0];
    assert_eq!(source.find("shop-7\n").as_deref(), Some("shop-7"));
    assert_eq!(
        accepted("14").install.device,
        Device::Path("/dev/xvda".to_owned())
    );
    let install = accepted("15").install;
    assert_eq!(install.partitions.persistent, Some(20480));
    assert_eq!(install.extra_partitions.len(), 2);
}

#[test]
fn an_overlay_is_valid_but_not_complete() {
    let complete: Vec<_> = check_complete(&accepted("06"))
        .iter()
        .map(summary)
        .collect();
    assert_eq!(complete, ["3 error U10", "3 warning U11"]);
    for number in ["01", "03", "07", "10", "18"] {
        let errors = check_complete(&accepted(number))
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .count();
        assert_eq!(errors, 0, "{number}");
    }
}

#[test]
fn only_the_document_for_eks_fits_its_profile() {
    assert_eq!(check_eks(&accepted("03")), []);
    assert_eq!(check_eks(&accepted("05")).len(), 8);
}

/// Old keys, what replaces them, and whether both mean the same to us.
const REWRITES: &[(&str, &str)] = &[
    ("installationMode: airgap", "managementMode: local"),
    ("installationMode: connected", "managementMode: central"),
    ("skipKubeVip: true", "vip: {skip: true}"),
    ("emcServer: {port: 5090}", "localUI: {port: 5090}"),
    ("EnableUserdataForm: true", "featureGate: UserDataForm"),
    ("includeTui: true", "{}"),
    ("site: {debug: true}", "debug: true"),
    (
        "site: {tags: {a: b, tagsFromFile: {fileName: /etc/t}}}",
        "site: {tags: {a: b}, tagsFromFile: {fileName: /etc/t}}",
    ),
    (
        "site: {tags: {tagsFromScript: {scriptName: /etc/t, timeout: 5}}}",
        "site: {tagsFromScript: {scriptName: /etc/t, timeout: 5}}",
    ),
];

#[test]
fn old_keys_mean_what_their_new_ones_mean_and_are_reported() {
    for (old, new) in REWRITES {
        let document = |key: &str| match key {
            "{}" => "#cloud-config\nstylus: {}\n".to_owned(),
            key => format!("#cloud-config\nstylus:\n  {key}\n"),
        };
        let old_text = document(old);
        let parsed = parse("old", old_text.as_bytes());
        let reported = parsed.findings.iter().any(|f| f.rule.id() == "U30");
        assert!(reported, "{old}: {:#?}", parsed.findings);
        let new_text = document(new);
        let new_parsed = parse("new", new_text.as_bytes());
        let silent = new_parsed.findings.iter().all(|f| f.rule.id() != "U30");
        assert!(silent, "{new}: {:#?}", new_parsed.findings);
        assert_eq!(
            parsed.user_data.unwrap().stylus,
            new_parsed.user_data.unwrap().stylus,
            "{old}"
        );
    }
}

#[test]
fn the_flat_network_of_2023_is_one_interface_without_a_name() {
    let text = "#cloud-config\nstylus:\n  site:\n    network:\n      type: static\n      ipAddress: 10.0.0.7\n      mask: 255.255.255.0\n      gateway: 10.0.0.1\n";
    let parsed = parse("u", text.as_bytes());
    let ids: Vec<_> = parsed.findings.iter().map(|f| f.rule.id()).collect();
    assert_eq!(ids, ["U30"; 4]);
    let nic = parsed
        .user_data
        .unwrap()
        .stylus
        .site
        .network
        .unnamed
        .unwrap();
    assert_eq!((nic.is_static, nic.prefix_len), (true, Some(24)));
    let broken = text.replace("      gateway: 10.0.0.1\n", "");
    let parsed = parse("u", broken.as_bytes());
    let error = parsed.findings.iter().find(|f| f.rule.id() == "U19");
    assert_eq!(error.unwrap().position.line, 5);
}
