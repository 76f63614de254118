//! `landfall`: the keys that only Landfall reads.

use userdata::{DiskSelector, Landfall, Mode, SizeRange, Table, Transport, Wipe, merge, parse};

fn landfall(keys: &str) -> Landfall {
    let parsed = parse("u", format!("#cloud-config\n{keys}").as_bytes());
    let findings = parsed.findings;
    let user_data = parsed.user_data.filter(|_| findings.is_empty());
    user_data
        .unwrap_or_else(|| panic!("{keys}: {findings:#?}"))
        .landfall
}

#[test]
fn every_key_is_typed() {
    let keys = "landfall:\n  wipe: foreign\n  mode: repair\n  table: mbr\n  nonce: 2026-11\n  disk:\n    serial: 0123\n    \
                wwn: 0x5002538e40a1b2c3\n    model: Samsung*\n    transport: nvme\n    size: {min: 400GB, max: 2TiB}\n";
    let expected = Landfall {
        wipe: Wipe::Foreign,
        nonce: Some("2026-11".to_owned()),
        mode: Mode::Repair,
        table: Table::Mbr,
        disk: Some(DiskSelector {
            serial: Some("0123".to_owned()),
            wwn: Some("0x5002538e40a1b2c3".to_owned()),
            model: Some("Samsung*".to_owned()),
            size: SizeRange {
                min: Some(400_000_000_000),
                max: Some(2 << 40),
            },
            transport: Some(Transport::Nvme),
        }),
    };
    assert_eq!(landfall(keys), expected);
}

#[test]
fn without_a_word_only_what_is_ours_may_be_erased() {
    assert_eq!(landfall("install: {auto: true}\n"), Landfall::default());
    assert_eq!(Landfall::default().wipe, Wipe::Ours);
    assert!(Wipe::Never < Wipe::Ours && Wipe::Ours < Wipe::Foreign);
}

#[test]
fn data_are_kept_only_where_the_document_says_so() {
    for (keys, mode) in [
        ("install: {auto: true}\n", Mode::Fresh),
        ("landfall: {nonce: 1}\n", Mode::Fresh),
        ("landfall: {mode: fresh}\n", Mode::Fresh),
        ("landfall: {mode: keep-data}\n", Mode::KeepData),
        ("landfall: {mode: repair}\n", Mode::Repair),
    ] {
        assert_eq!(landfall(keys).mode, mode, "{keys}");
    }
}

#[test]
fn an_mbr_has_neither_an_efi_system_partition_nor_a_fifth_one() {
    for (install, path) in [
        ("partitions: {efi: {size: 64}}", "install.partitions.efi"),
        (
            "extra-partitions: [{name: a, size: 9}]",
            "install.extra-partitions",
        ),
    ] {
        let text = format!("#cloud-config\ninstall: {{{install}}}\nlandfall: {{table: mbr}}\n");
        let found = parse("u", text.as_bytes()).findings;
        let found: Vec<_> = found.iter().map(|f| (f.rule.id(), &*f.path)).collect();
        assert!(found.contains(&("U43", path)), "{found:?}");
    }
    let mbr = landfall("landfall: {table: mbr}\ninstall: {partitions: {oem: {size: 64}}}\n");
    assert_eq!(mbr.table, Table::Mbr);
}

#[test]
fn each_bus_has_its_word() {
    let buses = [
        ("mmc", Transport::Mmc),
        ("nvme", Transport::Nvme),
        ("sas", Transport::Sas),
        ("sata", Transport::Sata),
        ("scsi", Transport::Scsi),
        ("usb", Transport::Usb),
        ("virtio", Transport::Virtio),
    ];
    for (word, bus) in buses {
        let read = landfall(&format!("landfall: {{disk: {{transport: {word}}}}}\n"));
        assert_eq!(read.disk.unwrap().transport, Some(bus));
    }
}

#[test]
fn a_conflict_that_only_the_merged_document_has_is_found() {
    let document = |name, text: &str| parse(name, text.as_bytes()).user_data.unwrap();
    let medium = document("medium", "#cloud-config\ninstall: {device: /dev/sda}\n");
    let site = document("site", "#cloud-config\nlandfall: {disk: {serial: A1}}\n");
    let merged = merge(&[medium, site]);
    let rules: Vec<_> = merged.parsed.findings.iter().map(|f| f.rule.id()).collect();
    assert_eq!(rules, ["U40"]);
    assert!(merged.parsed.user_data.is_none());
}

#[test]
fn what_is_kept_for_the_host_says_the_same() {
    let keys =
        "#cloud-config\nlandfall:\n  nonce: 007\n  disk: {serial: 1e5, size: {max: 64GiB}}\n";
    let read = parse("u", keys.as_bytes()).user_data.unwrap();
    let kept = read.oem_document(&mut |_| String::new());
    let again = parse("kept", kept.as_bytes()).user_data.unwrap();
    assert_eq!(again.landfall, read.landfall);
    assert_eq!(again.landfall.nonce.as_deref(), Some("007"));
}
