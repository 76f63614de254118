//! For each rule a document on which it fires and what it says then, and one on which it is silent.

use userdata::Severity;

use super::{By, Case, by, error, warning};

/// The document that has nothing wrong with it.
pub(crate) const GOOD: &str = "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: palette.example.com\n    edgeHostToken: abcdef\n    projectUid: 0123456789abcdef01234567\n";

/// All eight items of EKS Hybrid Nodes, on one line each.
macro_rules! eks {
    ($mounts:literal, $rest:literal) => {
        concat!(
            "#cloud-config\ninstall:\n  extra-dirs-rootfs: [/eks-hybrid]\n  bind_mounts: [",
            $mounts,
            "/eks-hybrid, /etc/aws, /etc/containerd, /etc/eks, /etc/iam, /var/lib/amazon]\n",
            $rest
        )
    };
}

/// A static interface with the given lines.
macro_rules! nic {
    ($lines:literal) => {
        concat!(
            "#cloud-config\nstylus:\n  site:\n    network:\n      interfaces:\n        eth0:\n",
            $lines
        )
    };
}

pub(crate) const CASES: &[Case] = &[
    error(
        "U01",
        "# a comment\n#cloud-config\na: b\n",
        "1:1 ",
        ("stands on line 2", "alone on line 1"),
        "#cloud-config\n# a comment\na: b\n",
    ),
    error(
        "U02",
        "#cloud-config\nstylus:\n  site:\n    debug: true\n   reboot: true\n",
        "5:4 ",
        ("not valid YAML", "belongs under `install:`"),
        "#cloud-config\nstylus:\n  debug: true\ninstall:\n  poweroff: true\n",
    ),
    error(
        "U03",
        "#cloud-config\nstylus:\n\tdebug: true\n",
        "3:1 ",
        ("tab", "indent with blanks"),
        "#cloud-config\nname: \"a\ttab\"\n",
    ),
    error(
        "U04",
        "#cloud-config\ninstall:\n  auto: true\n  auto: false\n",
        "4:3 ",
        ("already stands on line 3", "keep one"),
        "#cloud-config\ninstall: {auto: true}\nreset: {auto: true}\n",
    ),
    error(
        "U05",
        "#cloud-config\nstylus:\n  registryCredentials:\n    password: ####\n",
        "4:13 stylus.registryCredentials.password",
        ("nothing stands here", "write a value"),
        "#cloud-config\nstylus:\n  registryCredentials:\n    password: \"####\"\n",
    ),
    error(
        "U06",
        "#cloud-config\ninstall:\n  auto: \"true\"\n",
        "3:9 install.auto",
        ("this is text", "without quotes"),
        "#cloud-config\ninstall:\n  auto: true\n",
    ),
    error(
        "U07",
        "#cloud-config\nstylus:\n  site:\n    stages: {}\n",
        "4:5 stylus.site.stages",
        ("belongs elsewhere", "start of a line"),
        "#cloud-config\nstylus:\n  site: {}\nstages: {}\n",
    ),
    warning(
        "U07",
        "#cloud-config\nboot.after:\n  - systemctl status\n",
        "2:1 boot.after",
        ("this is a stage", "under `stages:`"),
        "#cloud-config\nstages:\n  boot.after:\n    - commands: [systemctl status]\n",
    ),
    error(
        "U08",
        "#cloud-config\nstylus:\n  site:\n    hostname: a\n",
        "4:5 stylus.site.hostname",
        ("no such key", "write `hostName`"),
        "#cloud-config\nstylus:\n  site:\n    hostName: a\n",
    ),
    error(
        "U09",
        "#cloud-config\nstylus:\n  managementMode: airgap\n",
        "3:19 stylus.managementMode",
        ("no mode", "`central` or `local`"),
        "#cloud-config\nstylus:\n  managementMode: local\n",
    ),
    by(
        By::Eks,
        error(
            "U09",
            eks!("/etc/modules-load.d, ", "stylus: {managementMode: local}\n"),
            "5:10 stylus.managementMode",
            ("Palette manages", "write `central`"),
            eks!(
                "/etc/modules-load.d, ",
                "stylus: {managementMode: central}\n"
            ),
        ),
    ),
    by(
        By::Completeness,
        error(
            "U10",
            "#cloud-config\nstylus:\n  site:\n    registrationURL: https://r.example.com\n",
            "3:3 stylus.site",
            ("no `paletteEndpoint`", "api.spectrocloud.com"),
            "#cloud-config\nstylus:\n  managementMode: local\n",
        ),
    ),
    by(
        By::Completeness,
        warning(
            "U11",
            "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: p.example.com\n",
            "3:3 stylus.site",
            ("neither `edgeHostToken` nor", ""),
            "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: p.example.com\n    registrationURL: https://r.example.com\n",
        ),
    ),
    error(
        "U12",
        "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: https://p.example.com\n",
        "4:22 stylus.site.paletteEndpoint",
        ("scheme", "only the host name"),
        GOOD,
    ),
    by(
        By::Completeness,
        warning(
            "U13",
            "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: p.example.com\n    edgeHostToken: abc\n",
            "3:3 stylus.site",
            ("token but no project", "write `projectUid`"),
            GOOD,
        ),
    ),
    warning(
        "U14",
        "#cloud-config\nstylus:\n  site:\n    projectUid: my-project\n",
        "4:17 stylus.site.projectUid",
        ("24 hexadecimal digits", "`projectName`"),
        GOOD,
    ),
    by(
        By::Completeness,
        warning(
            "U15",
            "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: p.example.com\n    edgeHostToken: abc\n    projectUid: 0123456789abcdef01234567\n    projectName: x\n",
            "7:5 stylus.site.projectName",
            ("`projectUid` is given as well", "keep `projectUid`"),
            GOOD,
        ),
    ),
    error(
        "U16",
        "#cloud-config\nstylus:\n  site:\n    name: edge.1\n",
        "4:11 stylus.site.name",
        ("cannot have `.`", "letters, digits and dashes"),
        "#cloud-config\nstylus:\n  site:\n    name: edge-1\n",
    ),
    warning(
        "U16",
        "#cloud-config\nstylus:\n  site:\n    name: edge_1\n",
        "4:11 stylus.site.name",
        ("becomes the host name", "lower case"),
        "#cloud-config\nstylus:\n  site:\n    name: $random\n",
    ),
    error(
        "U17",
        "#cloud-config\nstylus:\n  site:\n    prefix: shop_\n",
        "4:13 stylus.site.prefix",
        ("other characters", "remove them"),
        "#cloud-config\nstylus:\n  site:\n    prefix: Shop-1\n",
    ),
    error(
        "U18",
        "#cloud-config\nstylus:\n  site:\n    deviceUIDPaths:\n      - regex: .*\n",
        "5:9 stylus.site.deviceUIDPaths[0]",
        ("names no file", "write `name: /...`"),
        "#cloud-config\nstylus:\n  site:\n    deviceUIDPaths:\n      - name: /etc/hostname\n",
    ),
    error(
        "U18",
        "#cloud-config\nstylus:\n  site:\n    deviceUIDPaths:\n      - name: /etc/x\n        regex: (?<=id:).*\n",
        "6:16 stylus.site.deviceUIDPaths[0].regex",
        ("looks ahead or behind", "RE2"),
        "#cloud-config\nstylus:\n  site:\n    deviceUIDPaths:\n      - name: /etc/x\n        regex: edge-[0-9a-f]+\n",
    ),
    error(
        "U19",
        nic!("          type: static\n          ipAddress: 10.0.10.25/24\n"),
        "6:9 stylus.site.network.interfaces.eth0",
        ("no gateway", "write `gateway"),
        nic!(
            "          type: static\n          ipAddress: 10.0.10.25/24\n          gateway: 10.0.10.1\n"
        ),
    ),
    error(
        "U19",
        nic!("          type: static\n          gateway: 10.0.10.1\n"),
        "6:9 stylus.site.network.interfaces.eth0",
        ("no address", "write `ipAddress"),
        nic!("          type: dhcp\n          gateway: 10.0.10.1\n"),
    ),
    error(
        "U19",
        nic!(
            "          type: static\n          ipAddress: 10.0.10.25\n          gateway: 10.0.10.1\n"
        ),
        "6:9 stylus.site.network.interfaces.eth0",
        ("neither a prefix length nor a mask", "such as `/24`"),
        nic!(
            "          type: static\n          ipAddress: 10.0.10.25\n          mask: 255.255.255.0\n          gateway: 10.0.10.1\n"
        ),
    ),
    warning(
        "U19",
        nic!(
            "          type: static\n          ipAddress: 10.0.10.25/24\n          gateway: 10.0.11.1\n"
        ),
        "9:20 stylus.site.network.interfaces.eth0.gateway",
        ("not in the network", "prefix length"),
        nic!(
            "          type: static\n          ipAddress: 10.0.10.25/16\n          gateway: 10.0.11.1\n"
        ),
    ),
    error(
        "U20",
        "#cloud-config\nstylus:\n  site:\n    network:\n      noProxy: 10.0.0.0/8, 10.0.0.0/40\n",
        "5:16 stylus.site.network.noProxy",
        ("neither an address, a network", "`10.0.0.0/8`"),
        "#cloud-config\nstylus:\n  site:\n    network:\n      noProxy: 10.0.0.0/8, .svc, localhost,\n",
    ),
    error(
        "U20",
        "#cloud-config\nstylus:\n  site:\n    network:\n      httpsProxy: proxy.example.com:3128\n",
        "5:19 stylus.site.network.httpsProxy",
        ("not the address of a proxy", "http://"),
        "#cloud-config\nstylus:\n  site:\n    network:\n      httpsProxy: http://u:p@proxy.example.com:3128\n",
    ),
    error(
        "U20",
        nic!("          nameserver: dns.example.com\n"),
        "7:23 stylus.site.network.interfaces.eth0.nameserver",
        ("not an address", "10.0.10.1"),
        nic!("          nameserver: fd00::1\n"),
    ),
    by(
        By::Eks,
        warning(
            "U21",
            eks!(
                "/etc/modules-load.d, ",
                "stylus: {site: {network: {interfaces: {eth0: {type: dhcp}}}}}\n"
            ),
            "5:27 stylus.site.network.interfaces",
            ("no interface has a static address", "`type: static`"),
            eks!(
                "/etc/modules-load.d, ",
                "stylus: {site: {network: {interfaces: {a: {}, b: {type: static, ipAddress: 10.0.0.2/8, gateway: 10.0.0.1}}}}}\n"
            ),
        ),
    ),
    error(
        "U22",
        "#cloud-config\nstylus:\n  site:\n    caCerts:\n      - |\n        ------BEGIN CERTIFICATE------\n",
        "6:9 stylus.site.caCerts[0]",
        ("six dashes", "five dashes"),
        "#cloud-config\nstylus:\n  site:\n    caCerts: [MAMCAQU=]\n",
    ),
    by(
        By::Eks,
        error(
            "U23",
            eks!("", ""),
            "4:3 install.bind_mounts",
            ("needs `/etc/modules-load.d`", "add `- /etc/modules-load.d`"),
            eks!("/etc/modules-load.d, /more, ", ""),
        ),
    ),
    error(
        "U24",
        "#cloud-config\ninstall:\n  bind_mounts: [/etc//aws]\n",
        "3:17 install.bind_mounts[0]",
        ("not clean", "write `/etc/aws`"),
        "#cloud-config\ninstall:\n  bind_mounts: [/etc/aws]\n",
    ),
    warning(
        "U25",
        "#cloud-config\ninstall:\n  poweroff: true\n  reboot: true\n",
        "4:3 install.reboot",
        ("takes precedence", "remove one"),
        "#cloud-config\ninstall:\n  poweroff: true\n  reboot: false\n",
    ),
    warning(
        "U26",
        "#cloud-config\ninstall:\n  reboot: true\n",
        "3:3 install.reboot",
        ("installed again and again", "remove the medium"),
        "#cloud-config\ninstall:\n  poweroff: true\n",
    ),
    error(
        "U27",
        "#cloud-config\ninstall:\n  extra-partitions:\n    - {size: 0}\n",
        "4:7 install.extra-partitions[0]",
        ("no name", "write `name"),
        "#cloud-config\ninstall:\n  extra-partitions:\n    - {name: a, size: 10}\n    - {name: rest, size: 0}\n",
    ),
    warning(
        "U27",
        "#cloud-config\ninstall:\n  extra-partitions:\n    - {name: a, size: 10}\n",
        "4:17 install.extra-partitions[0].size",
        ("what is left of the disk", "`size: 0`"),
        "#cloud-config\ninstall:\n  extra-partitions:\n    - {name: a, size: 0}\n",
    ),
    error(
        "U28",
        "#cloud-config\ninstall:\n  device: nvme0n1\n",
        "3:11 install.device",
        ("not a path of a device", "/dev/nvme0n1"),
        "#cloud-config\ninstall:\n  device: auto\n",
    ),
    warning(
        "U29",
        "#cloud-config\nstylus:\n  site:\n    users:\n      - {name: a, passwd: clear}\n",
        "5:27 stylus.site.users[0].passwd",
        ("clear text", "openssl passwd -6"),
        "#cloud-config\nstylus:\n  site:\n    users:\n      - {name: a, passwd: $6$saltsalt$abcdefghijkl}\n",
    ),
    warning(
        "U30",
        "#cloud-config\nstylus:\n  skipKubeVip: true\n",
        "3:3 stylus.skipKubeVip",
        ("old name", "`vip: {skip: ...}`"),
        "#cloud-config\nstylus:\n  vip: {skip: true}\n",
    ),
    Case {
        severity: Severity::Info,
        ..warning(
            "U30",
            "#cloud-config\nstylus:\n  includeTui: true\n",
            "3:3 stylus.includeTui",
            ("no longer does anything", "remove it"),
            "#cloud-config\nstylus:\n  disableTui: false\n",
        )
    },
    warning(
        "U31",
        "#cloud-config\nstylus:\n  site:\n    registrationURL: register.example.com\n",
        "4:22 stylus.site.registrationURL",
        ("not an http or https address", "whole address"),
        "#cloud-config\nstylus:\n  site:\n    registrationURL: https://register.example.com\n",
    ),
    warning(
        "U32",
        "#cloud-config\nstylus:\n  registryCredentials: {domain: a.example.com}\n  externalRegistries: {registryMappingRules: {a: b}}\n",
        "3:3 stylus.registryCredentials",
        ("exactly one registry", "externalRegistries.registries"),
        "#cloud-config\nstylus:\n  externalRegistries: {registries: [{domain: a.example.com}]}\n",
    ),
    by(
        By::Completeness,
        warning(
            "U33",
            "#cloud-config\nstylus:\n  managementMode: local\n  disableTui: true\n",
            "4:3 stylus.disableTui",
            ("no user", "stages.initramfs"),
            "#cloud-config\nstylus:\n  managementMode: local\n  disableTui: true\nstages: {initramfs: [{users: {a: {lock_passwd: true}}}]}\n",
        ),
    ),
    warning(
        "U34",
        "#cloud-config\nstages:\n  boot:\n    - commands:\n        - ethtool -K <interface-name> tx-udp_tnl-segmentation off\n",
        "5:11 stages.boot[0].commands[0]",
        ("placeholder", "real value"),
        "#cloud-config\nstages:\n  boot:\n    - commands:\n        - ethtool -K eth0 tx-udp_tnl-segmentation off <in >out\n",
    ),
    error(
        "U35",
        "#cloud-config\na: b\n---\nc: d\n",
        "3:1 ",
        ("second document", "merge"),
        "#cloud-config\n---\na: b\n",
    ),
    error(
        "U36",
        "#cloud-config\nstages:\n  boot:\n    - unpack_images: [{source: a, target: /b}]\n",
        "4:7 stages.boot[0].unpack_images",
        ("never carried out here", "provider image"),
        "#cloud-config\nstages:\n  boot:\n    - commands: [a]\n",
    ),
    warning(
        "U37",
        "#cloud-config\nstylus:\n  site:\n    insecureSkipVerify: true\n",
        "4:5 stylus.site.insecureSkipVerify",
        ("always verified", "caCerts"),
        "#cloud-config\nstylus:\n  site:\n    insecureSkipVerify: false\n",
    ),
    error(
        "U38",
        "#cloud-config\nstages:\n  boot:\n    - sysctl: {../x: 1}\n",
        "4:16 stages.boot[0].sysctl.../x",
        ("name of a setting", ""),
        "#cloud-config\nstages:\n  boot:\n    - sysctl: {net.ipv4.ip_forward: 1}\n",
    ),
    error(
        "U39",
        "#cloud-config\nstylus:\n  localUI: {port: 70000}\n",
        "3:19 stylus.localUI.port",
        ("not a port", "65535"),
        "#cloud-config\nstylus:\n  localUI: {port: 5080}\n",
    ),
    error(
        "U40",
        "#cloud-config\ninstall:\n  device: /dev/sda\nlandfall:\n  disk: {serial: A1}\n",
        "5:3 landfall.disk",
        ("names a disk as well", "`device: auto`"),
        "#cloud-config\ninstall:\n  device: auto\nlandfall:\n  disk: {serial: A1}\n",
    ),
    error(
        "U41",
        "#cloud-config\nstylus:\n  site:\n    tags: {id: \"${hostname}\"}\n",
        "4:16 stylus.site.tags.id",
        ("no variable `${hostname}`", "`${serial}`"),
        "#cloud-config\nstylus:\n  site:\n    tags: {id: \"${serial}\"}\n",
    ),
    warning(
        "U42",
        "#cloud-config\nstages:\n  after-install-chroot:\n    - commands: [apt-get install htop]\n",
        "3:3 stages.after-install-chroot",
        ("does not stay", "provider image"),
        "#cloud-config\nstages:\n  after-install:\n    - commands: [sync]\n",
    ),
    error(
        "U43",
        "#cloud-config\nlandfall: {table: mbr}\ninstall:\n  extra-partitions:\n    - {name: data, size: 100, fs: ext4}\n",
        "4:3 install.extra-partitions",
        ("fifth partition", "`table: gpt`"),
        "#cloud-config\nlandfall: {table: gpt}\ninstall:\n  extra-partitions:\n    - {name: data, size: 100, fs: ext4}\n",
    ),
];
