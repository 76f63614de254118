//! What shall be writable and what shall persist: defaults, layout variables and the `install` block together.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cmdline::BootArgs;

/// Read-write overlays that are lost at reboot, unless a stage wrote its own layout.
const RW_PATHS: [&str; 3] = ["/var", "/etc", "/srv"];

/// What `RW_PATHS=` without a value means; the oddity is a contract (`reference/kairos.md` 3.6).
const RW_PATHS_IF_EMPTY: [&str; 7] = [
    "/etc",
    "/root",
    "/home",
    "/opt",
    "/srv",
    "/usr/local",
    "/var",
];

/// Directories that every Kairos machine keeps. `/usr/libexec` is among them although programs of an image do not
/// belong on a persistent disk: Kubernetes' flexvolume plug-ins write there, and the seeding replaces what only an
/// older image has put there.
const PERSISTENT: [&str; 37] = [
    "/etc/cni",
    "/etc/init.d",
    "/etc/iscsi",
    "/etc/k0s",
    "/etc/kubernetes",
    "/etc/modprobe.d",
    "/etc/pwx",
    "/etc/rancher",
    "/etc/runlevels",
    "/etc/ssh",
    "/etc/ssl/certs",
    "/etc/sysconfig",
    "/etc/systemd",
    "/etc/zfs",
    "/home",
    "/opt",
    "/root",
    "/usr/libexec",
    "/var/cores",
    "/var/lib/ca-certificates",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/calico",
    "/var/lib/dbus",
    "/var/lib/etcd",
    "/var/lib/extensions",
    "/var/lib/confexts",
    "/var/lib/k0s",
    "/var/lib/kubelet",
    "/var/lib/longhorn",
    "/var/lib/osd",
    "/var/lib/rancher",
    "/var/lib/rook",
    "/var/lib/tailscale",
    "/var/lib/wicked",
    "/var/lib/kairos",
    "/var/log",
];

/// Where the persistent directories lie.
const PERSISTENT_TARGET: &str = "/usr/local/.state";

/// The layout files of a boot, in the order in which they are read; a later value replaces an earlier one.
const ENV_FILES: [&str; 3] = ["cos-layout.env", "custom-layout.env", "extra-layout.env"];

/// The `install` keys that concern every boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstallLists {
    /// `install.extra-dirs-rootfs`: directories that the root must have.
    pub extra_dirs: Vec<String>,
    /// `install.bind_mounts`: directories that must persist.
    pub bind_mounts: Vec<String>,
    /// `install.ephemeral_mounts`: directories that are writable and lost at reboot.
    pub ephemeral_mounts: Vec<String>,
}

/// A further file system from `VOLUMES` or `rd.cos.mount=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraVolume {
    /// `LABEL=X` or a node, as written.
    pub source: String,
    /// Mount point.
    pub at: String,
}

/// What is wanted of the root, before anyone looked at the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Size of the tmpfs under the overlays: a number with `%`, `k`, `m` or `g`.
    pub overlay_size: String,
    /// Paths with a read-write overlay.
    pub rw_paths: Vec<String>,
    /// Paths that persist.
    pub persistent: Vec<String>,
    /// Where they persist.
    pub persistent_target: String,
    /// Directories that the root must have.
    pub extra_dirs: Vec<String>,
    /// File systems beside OEM and persistent.
    pub volumes: Vec<ExtraVolume>,
}

/// Reads `NAME=value` lines; quotes around a value are dropped, of a repeated name the last counts.
pub fn parse_env(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        let value = value.trim();
        let unquoted = ['"', '\'']
            .iter()
            .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
            .unwrap_or(value);
        values.insert(name.trim().to_owned(), unquoted.to_owned());
    }
    values
}

/// Reads the layout files that `rootfs` stages left in `/run/cos`.
pub fn read_env(cos: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut persistent = Vec::new();
    for name in ENV_FILES {
        let mut values = parse_env(&fs::read_to_string(cos.join(name)).unwrap_or_default());
        // The distribution's additions come on top of the image's list, they do not replace it.
        if let Some(paths) = values.remove("PERSISTENT_STATE_PATHS") {
            persistent.push(paths);
        }
        all.extend(values);
    }
    let own_list = fs::read_to_string(cos.join(ENV_FILES[0]))
        .is_ok_and(|text| parse_env(&text).contains_key("PERSISTENT_STATE_PATHS"));
    if own_list {
        all.insert("PERSISTENT_STATE_PATHS".to_owned(), persistent.join(" "));
    } else if !persistent.is_empty() {
        all.insert("EXTRA_STATE_PATHS".to_owned(), persistent.join(" "));
    }
    all
}

/// Reads the `install` blocks of the YAML files directly in `/oem`, in lexical order.
///
/// Read at every boot, so that the next image has these directories too. A file that cannot be read is named in the
/// second part and disables none of its neighbours.
pub fn read_install_lists(oem: &Path) -> (InstallLists, Vec<String>) {
    let mut lists = InstallLists::default();
    let mut failures = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(oem)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
    });
    files.sort();
    for file in files {
        let parsed = fs::read_to_string(&file)
            .map_err(|error| error.to_string())
            .and_then(|text| parse_install(&text));
        match parsed {
            Ok(block) => {
                lists
                    .extra_dirs
                    .extend(block.extra_dirs.unwrap_or_default());
                lists
                    .bind_mounts
                    .extend(block.bind_mounts.unwrap_or_default());
                lists
                    .ephemeral_mounts
                    .extend(block.ephemeral_mounts.unwrap_or_default());
            }
            Err(reason) => failures.push(format!("{}: {reason}", file.display())),
        }
    }
    (lists, failures)
}

#[derive(Deserialize, Default)]
struct Document {
    #[serde(default)]
    install: Option<InstallBlock>,
}

#[derive(Deserialize, Default)]
struct InstallBlock {
    #[serde(rename = "extra-dirs-rootfs", default)]
    extra_dirs: Option<Vec<String>>,
    #[serde(default)]
    bind_mounts: Option<Vec<String>>,
    #[serde(default)]
    ephemeral_mounts: Option<Vec<String>>,
}

fn parse_install(text: &str) -> Result<InstallBlock, String> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.starts_with('#'))
    {
        return Ok(InstallBlock::default());
    }
    let document: Document = serde_yaml::from_str(text).map_err(|error| {
        // The parser's own text quotes the source, and the source holds passwords.
        drop(error);
        "the install block cannot be read".to_owned()
    })?;
    Ok(document.install.unwrap_or_default())
}

/// Puts defaults, layout variables, command line and `install` lists together.
pub fn decide(env: &BTreeMap<String, String>, install: &InstallLists, args: &BootArgs) -> Layout {
    let list = |name: &str| env.get(name).map(|value| split(value));
    let mut rw_paths = match list("RW_PATHS") {
        None => owned(&RW_PATHS),
        Some(paths) if paths.is_empty() => owned(&RW_PATHS_IF_EMPTY),
        Some(paths) => paths,
    };
    rw_paths.extend(list("CUSTOM_EPHEMERAL_MOUNTS").unwrap_or_default());
    rw_paths.extend(install.ephemeral_mounts.iter().cloned());
    let mut persistent = list("PERSISTENT_STATE_PATHS").unwrap_or_else(|| owned(&PERSISTENT));
    persistent.extend(list("EXTRA_STATE_PATHS").unwrap_or_default());
    persistent.extend(list("CUSTOM_BIND_MOUNTS").unwrap_or_default());
    persistent.extend(install.bind_mounts.iter().cloned());
    let volumes = list("VOLUMES").unwrap_or_default();
    let volumes = volumes.iter().chain(&args.volumes);
    let overlay_size = env
        .get("OVERLAY")
        .and_then(|overlay| overlay.strip_prefix("tmpfs:"))
        .or(args.overlay_size.as_deref())
        .filter(|size| is_size(size))
        .unwrap_or("25%");
    Layout {
        overlay_size: overlay_size.to_owned(),
        rw_paths: in_order(rw_paths),
        persistent: in_order(persistent),
        persistent_target: env
            .get("PERSISTENT_STATE_TARGET")
            .filter(|target| crate::within::refuse(target).is_none())
            .map_or_else(|| PERSISTENT_TARGET.to_owned(), Clone::clone),
        extra_dirs: in_order(install.extra_dirs.clone()),
        volumes: volumes.filter_map(|text| extra_volume(text)).collect(),
    }
}

/// The layout as the file that other tools expect in `/run/cos/cos-layout.env`.
pub fn render_env(layout: &Layout) -> String {
    format!(
        "VOLUMES=\"LABEL=COS_PERSISTENT:/usr/local\"\nOVERLAY=\"tmpfs:{}\"\nRW_PATHS=\"{}\"\n\
         PERSISTENT_STATE_PATHS=\"{}\"\nPERSISTENT_STATE_TARGET=\"{}\"\nPERSISTENT_STATE_BIND=\"true\"\n",
        layout.overlay_size,
        layout.rw_paths.join(" "),
        layout.persistent.join(" "),
        layout.persistent_target,
    )
}

/// `LABEL=COS_PERSISTENT:/usr/local` is always there and needs no entry of its own.
fn extra_volume(text: &str) -> Option<ExtraVolume> {
    let (source, at) = text.rsplit_once(':')?;
    (at != "/usr/local").then(|| ExtraVolume {
        source: source.to_owned(),
        at: at.to_owned(),
    })
}

fn is_size(size: &str) -> bool {
    let digits = size.trim_end_matches(['%', 'k', 'm', 'g', 'K', 'M', 'G']);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && size.len() <= digits.len() + 1
}

fn split(value: &str) -> Vec<String> {
    value.split_whitespace().map(str::to_owned).collect()
}

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// Parents before children and nothing twice.
fn in_order(mut paths: Vec<String>) -> Vec<String> {
    paths.sort_by(|a, b| Path::new(a).cmp(Path::new(b)));
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn env(text: &str) -> BTreeMap<String, String> {
        parse_env(text)
    }

    fn decided(text: &str) -> Layout {
        decide(&env(text), &InstallLists::default(), &BootArgs::default())
    }

    #[test]
    fn variables_are_read_with_and_without_quotes_and_the_last_counts() {
        let values = env("# note\nA=1\nB=\"x y\"\nexport C='z'\n A = 2 \nnothing\n=3\nD=\n");
        let expected = [("A ", "2"), ("A", "1"), ("B", "x y"), ("C", "z"), ("D", "")];
        let expected: BTreeMap<String, String> = expected
            .iter()
            .map(|(name, value)| (name.trim().to_owned(), (*value).to_owned()))
            .collect();
        let mut expected = expected;
        expected.insert("A".into(), "2".into());
        assert_eq!(values, expected);
    }

    #[test]
    fn without_variables_the_defaults_of_the_contract_hold() {
        let layout = decided("");
        assert_eq!(layout.rw_paths, ["/etc", "/srv", "/var"]);
        assert_eq!(layout.persistent.len(), 37);
        assert_eq!(layout.persistent_target, "/usr/local/.state");
        assert_eq!(layout.overlay_size, "25%");
        assert!(layout.volumes.is_empty());
    }

    #[test]
    fn an_empty_list_of_writable_paths_means_seven() {
        assert_eq!(
            decided("RW_PATHS=\"\"").rw_paths,
            [
                "/etc",
                "/home",
                "/opt",
                "/root",
                "/srv",
                "/usr/local",
                "/var"
            ]
        );
        assert_eq!(decided("RW_PATHS=\"/b /a\"").rw_paths, ["/a", "/b"]);
    }

    #[test]
    fn the_size_of_the_overlay_comes_from_the_variable_then_the_command_line() {
        let table = [
            ("OVERLAY=tmpfs:30%", "rd.cos.overlay=tmpfs:20%", "30%"),
            ("", "rd.cos.overlay=tmpfs:512m", "512m"),
            ("OVERLAY=LABEL=X", "", "25%"),
            ("OVERLAY=tmpfs:1g,mode=777", "", "25%"),
            ("OVERLAY=tmpfs:%", "", "25%"),
            ("OVERLAY=tmpfs:10%%", "", "25%"),
        ];
        for (variable, line, expected) in table {
            let layout = decide(
                &env(variable),
                &InstallLists::default(),
                &BootArgs::parse(line),
            );
            assert_eq!(layout.overlay_size, expected, "{variable} {line}");
        }
    }

    #[test]
    fn the_lists_of_the_configuration_add_to_variables_and_defaults() {
        let install = InstallLists {
            extra_dirs: vec!["/eks-hybrid".into()],
            bind_mounts: vec!["/eks-hybrid".into(), "/etc/aws".into()],
            ephemeral_mounts: vec!["/scratch".into()],
        };
        let variables = env(
            "PERSISTENT_STATE_PATHS=\"/opt\"\nCUSTOM_BIND_MOUNTS=\"/etc/aws /data\"\nCUSTOM_EPHEMERAL_MOUNTS=/tmp2\n\
             VOLUMES=\"LABEL=COS_PERSISTENT:/usr/local LABEL=DATA:/mnt/data\"",
        );
        let layout = decide(&variables, &install, &BootArgs::default());
        assert_eq!(
            layout.persistent,
            ["/data", "/eks-hybrid", "/etc/aws", "/opt"]
        );
        assert_eq!(
            layout.rw_paths,
            ["/etc", "/scratch", "/srv", "/tmp2", "/var"]
        );
        assert_eq!(layout.extra_dirs, ["/eks-hybrid"]);
        assert_eq!(
            layout.volumes,
            [ExtraVolume {
                source: "LABEL=DATA".into(),
                at: "/mnt/data".into()
            }]
        );
    }

    #[test]
    fn additions_of_the_distribution_do_not_replace_the_list() {
        let tree = Tree::new();
        tree.file(
            "cos/extra-layout.env",
            b"PERSISTENT_STATE_PATHS=\"/snap\"\n",
        );
        let values = read_env(&tree.at("cos"));
        let layout = decide(&values, &InstallLists::default(), &BootArgs::default());
        assert_eq!(layout.persistent.len(), 38);
        tree.file("cos/cos-layout.env", b"PERSISTENT_STATE_PATHS=\"/opt\"\n");
        let values = read_env(&tree.at("cos"));
        let layout = decide(&values, &InstallLists::default(), &BootArgs::default());
        assert_eq!(layout.persistent, ["/opt", "/snap"]);
    }

    #[test]
    fn a_broken_file_in_oem_disables_no_other_and_its_secrets_stay_in_it() {
        let tree = Tree::new();
        tree.file("oem/10_broken.yaml", b"install: [passwd: geheim\n");
        tree.file("oem/20_empty.yaml", b"#cloud-config\n\n");
        tree.file("oem/30_other.yaml", b"stages:\n  boot: []\n");
        tree.file(
            "oem/90_custom.yaml",
            b"#cloud-config\ninstall:\n  extra-dirs-rootfs:\n    - /eks-hybrid\n  bind_mounts:\n    - /etc/aws\n  reboot: true\n",
        );
        tree.file("oem/grubenv", b"x");
        let (lists, failures) = read_install_lists(&tree.at("oem"));
        assert_eq!(lists.extra_dirs, ["/eks-hybrid"]);
        assert_eq!(lists.bind_mounts, ["/etc/aws"]);
        assert_eq!(failures.len(), 1);
        assert!(failures[0].contains("10_broken.yaml") && !failures[0].contains("geheim"));
    }

    #[test]
    fn the_layout_file_says_what_is_done() {
        let layout = decided("RW_PATHS=/etc\nPERSISTENT_STATE_PATHS=/opt");
        assert_eq!(decided(&render_env(&layout)), layout);
    }
}
