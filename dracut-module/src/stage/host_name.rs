//! `hostname` of a step.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use host::files::write_synced;
use userdata::{HostName, NameValues};

use super::facts::{Facts, Setting};
use super::files::write_in_place;
use crate::password::system_random;

/// Names the host: in `/etc/hostname` and `/etc/hosts`, and in the kernel of a system that runs.
pub(super) fn set(root: &Path, setting: Setting, name: &HostName) -> Result<String> {
    let values = values(&Facts::read(root, setting))?;
    let name = name.fill(&values).map_err(|reason| anyhow!(reason))?;
    write_host_name(root, &name)?;
    // Before, systemd reads the file; in a system that runs nobody would until the next boot.
    if setting == Setting::Running {
        write_in_place(&root.join("proc/sys/kernel/hostname"), name.as_bytes())
            .context("setting the name of the running system")?;
    }
    Ok(name)
}

/// Writes `/etc/hostname`, and 127.0.1.1 in `/etc/hosts` as Debian has it, so that `sudo` finds the host without DNS.
///
/// # Errors
///
/// If one of the files cannot be written.
pub fn write_host_name(root: &Path, name: &str) -> Result<()> {
    write_synced(
        &root.join("etc/hostname"),
        format!("{name}\n").as_bytes(),
        0o644,
    )?;
    let hosts = root.join("etc/hosts");
    let text = fs::read_to_string(&hosts).unwrap_or_default();
    write_synced(&hosts, with_host(&text, name).as_bytes(), 0o644)
        .context("naming the host in /etc/hosts")
}

/// The text of `/etc/hosts` in which 127.0.1.1 is this host.
fn with_host(text: &str, name: &str) -> String {
    let others = text
        .lines()
        .filter(|line| line.split_whitespace().next() != Some("127.0.1.1"));
    let mut lines: Vec<&str> = others.collect();
    let own = format!("127.0.1.1 {name}");
    lines.push(&own);
    lines.join("\n") + "\n"
}

fn values(facts: &Facts) -> Result<NameValues> {
    let machine_id = facts.machine_id.clone();
    let protected_id = machine_id.as_deref().map(protected);
    let mut bytes = [0_u8; 48];
    system_random(&mut bytes).context("reading random bytes")?;
    let (uuid, random) = bytes.split_at(16);
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let random = random
        .iter()
        .map(|byte| char::from(letters[usize::from(byte % 32)]));
    Ok(NameValues {
        machine_id,
        protected_id,
        uuid: uuid_of(uuid),
        random: random.collect(),
    })
}

/// 64 hex digits that tell machines apart and do not give the machine-id away. Not the value that Kairos has there.
fn protected(machine_id: &str) -> String {
    let key = blake3::derive_key(
        "landfall: name of a host, of its machine-id",
        machine_id.as_bytes(),
    );
    blake3::Hash::from_bytes(key).to_hex().to_string()
}

/// Sixteen bytes as a UUID of version 4.
fn uuid_of(bytes: &[u8]) -> String {
    let bytes: [u8; 16] = bytes.try_into().unwrap_or_default();
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn named(text: &str) -> HostName {
        let text = format!("stages: {{boot: [{{hostname: '{text}'}}]}}");
        let file = userdata::parse_stage_file("u", text.as_bytes());
        file.stages.steps("boot")[0].hostname.clone().unwrap()
    }

    fn machine() -> Tree {
        let tree = Tree::new();
        tree.file("proc/sys/kernel/hostname", b"old");
        tree.file("etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
        tree.file("etc/hosts", b"127.0.0.1 localhost\n127.0.1.1 old\n");
        tree
    }

    fn text(tree: &Tree, path: &str) -> String {
        fs::read_to_string(tree.at(path)).unwrap()
    }

    #[test]
    fn the_host_is_named_in_its_files_and_in_the_kernel_that_runs() {
        let tree = machine();
        let name = named("shop-{{ trunc 4 .MachineID }}");
        for (setting, kernel) in [(Setting::Sysroot, "old"), (Setting::Running, "shop-0123")] {
            set(&tree.at(""), setting, &name).unwrap();
            assert_eq!(text(&tree, "etc/hostname"), "shop-0123\n");
            assert_eq!(
                text(&tree, "etc/hosts"),
                "127.0.0.1 localhost\n127.0.1.1 shop-0123\n"
            );
            assert_eq!(text(&tree, "proc/sys/kernel/hostname"), kernel);
        }
    }

    #[test]
    fn a_name_that_cannot_be_made_leaves_the_host_as_it_is() {
        let tree = machine();
        tree.file("etc/machine-id", b"uninitialized\n");
        let error = set(&tree.at(""), Setting::Running, &named("{{ .MachineID }}"));
        assert!(error.unwrap_err().to_string().contains("machine-id"));
        assert!(!tree.at("etc/hostname").exists());
        assert_eq!(text(&tree, "proc/sys/kernel/hostname"), "old");
    }

    #[test]
    fn random_values_differ_and_those_of_the_machine_do_not() {
        let tree = machine();
        let facts = Facts::read(&tree.at(""), Setting::Running);
        let (one, two) = (values(&facts).unwrap(), values(&facts).unwrap());
        assert_eq!(one.protected_id, two.protected_id);
        assert_eq!(one.protected_id.as_ref().map(String::len), Some(64));
        assert_ne!(one.protected_id, one.machine_id);
        assert_ne!((&one.uuid, &one.random), (&two.uuid, &two.random));
        assert_eq!((one.uuid.len(), one.random.len()), (36, 32));
        assert_eq!(one.uuid.as_bytes()[14], b'4');
    }

    #[test]
    fn the_host_stands_in_the_hosts_file_once() {
        let text = with_host("127.0.0.1 localhost\n127.0.1.1 old\n", "new");
        assert_eq!(text, "127.0.0.1 localhost\n127.0.1.1 new\n");
        assert_eq!(with_host(&text, "new"), text);
    }
}
