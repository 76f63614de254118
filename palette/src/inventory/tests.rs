//! A machine made of files.

use super::*;

fn put(root: &Path, path: &str, content: &[u8]) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    io_write(&file, content);
}

fn io_write(file: &Path, content: &[u8]) {
    std::io::Write::write_all(&mut fs::File::create(file).unwrap(), content).unwrap();
}

fn address(interface: &str, ip: &str, bits: u8) -> InterfaceAddress {
    InterfaceAddress {
        interface: interface.to_owned(),
        ip: ip.parse().unwrap(),
        bits,
    }
}

fn machine() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(
        root,
        "proc/cpuinfo",
        b"processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\n",
    );
    put(
        root,
        "proc/meminfo",
        b"MemTotal:        2014572 kB\nMemFree: 1 kB\n",
    );
    put(root, "proc/sys/kernel/osrelease", b"6.1.0-44-amd64\n");
    put(
        root,
        "etc/os-release",
        b"# c\nID=debian\nVERSION_ID=\"12\"\n",
    );
    put(root, SECURE_BOOT, &[6, 0, 0, 0, 1]);
    for (name, kind, mac) in [
        ("lo", "772", "00:00:00:00:00:00"),
        ("ens3", "1", "52:54:00:AA:BB:CC"),
        ("bond0", "1", "52:54:00:00:00:01"),
        ("dummy0", "1", "52:54:00:00:00:02"),
    ] {
        put(root, &format!("sys/class/net/{name}/type"), kind.as_bytes());
        put(
            root,
            &format!("sys/class/net/{name}/address"),
            format!("{mac}\n").as_bytes(),
        );
    }
    put(root, "sys/class/net/ens3/device/vendor", b"0x1af4\n");
    put(
        root,
        "proc/net/route",
        b"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
          bond0\t00000000\t0101A8C0\t0003\t0\t0\t2048\t00000000\t0\n\
          ens3\t00000000\t0202000A\t0003\t0\t0\t1024\t00000000\t0\n\
          ens3\t0002000A\t00000000\t0001\t0\t0\t1024\t00FFFFFF\t0\n",
    );
    put(root, "etc/resolv.conf", b"nameserver 127.0.0.53\n");
    put(
        root,
        "run/systemd/resolve/resolv.conf",
        b"nameserver 10.0.2.3\nsearch x\nnameserver fd00::3\n",
    );
    folder
}

#[test]
fn the_facts_are_read_from_the_files_of_the_kernel() {
    let folder = machine();
    let addresses = [
        address("lo", "127.0.0.1", 8),
        address("ens3", "fe80::1", 64),
        address("ens3", "fd00::15", 64),
        address("ens3", "10.0.2.15", 24),
        address("bond0", "192.168.1.9", 22),
    ];
    let facts = Facts::read(folder.path(), &addresses);
    assert_eq!(
        (facts.cores, facts.memory_mib, facts.secure_boot),
        (2, 1967, true)
    );
    assert_eq!(
        (facts.os_family.as_str(), facts.os_version.as_str()),
        ("debian", "12")
    );
    assert_eq!(facts.kernel_version, "6.1.0-44-amd64");
    let bond = Nic {
        name: "bond0".to_owned(),
        mac: "52:54:00:00:00:01".to_owned(),
        ip: Some("192.168.1.9".parse().unwrap()),
        subnet: Some("192.168.0.0/22".to_owned()),
        gateway: Some(Ipv4Addr::new(192, 168, 1, 1)),
        dns: Vec::new(),
        is_default: false,
    };
    let ens3 = Nic {
        name: "ens3".to_owned(),
        mac: "52:54:00:aa:bb:cc".to_owned(),
        ip: Some("10.0.2.15".parse().unwrap()),
        subnet: Some("10.0.2.0/24".to_owned()),
        gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
        dns: vec!["10.0.2.3".parse().unwrap(), "fd00::3".parse().unwrap()],
        is_default: true,
    };
    assert_eq!(facts.nics, [bond, ens3]);
    assert_eq!(facts.address(), Some("10.0.2.15".parse().unwrap()));
    assert_eq!(
        facts.default_nic().map(|nic| nic.name.as_str()),
        Some("ens3")
    );
}

#[test]
fn an_empty_machine_has_empty_facts() {
    let folder = tempfile::tempdir().unwrap();
    let facts = Facts::read(folder.path(), &[]);
    let wanted = Facts {
        architecture: facts.architecture.clone(),
        ..Facts::default()
    };
    assert_eq!(facts, wanted);
    assert_eq!(facts.address(), None);
}

#[test]
fn a_card_without_an_address_is_listed_and_gives_none() {
    let folder = machine();
    let facts = Facts::read(folder.path(), &[]);
    assert_eq!(
        facts
            .nics
            .iter()
            .map(|n| n.name.as_str())
            .collect::<Vec<_>>(),
        ["ens3"]
    );
    assert_eq!(facts.address(), None);
}

#[test]
fn networks_are_cut_at_their_prefix() {
    for (ip, bits, wanted) in [
        ("10.1.2.3", 32, "10.1.2.3/32"),
        ("10.1.2.3", 0, "0.0.0.0/0"),
        ("fd00:1::5", 64, "fd00:1::/64"),
        ("fd00:1::5", 128, "fd00:1::5/128"),
    ] {
        assert_eq!(subnet(&address("x", ip, bits)), wanted);
    }
}

#[test]
fn the_kernel_lists_the_loopback_address() {
    let loopback = address("lo", "127.0.0.1", 8);
    assert!(
        read_addresses().contains(&loopback),
        "{:?}",
        read_addresses()
    );
}
