//! `datasource` of a step: more user-data, from a medium or a file.
//!
//! `cdrom` is a volume called `cidata`; `file` is the file that `path` names. The metadata servers of clouds are not
//! asked: a host of Palette has none, and whoever answers first in a foreign network would own the host.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use host::Host;
use host::files::write_synced;
use userdata::{Datasource, Severity};

use crate::cidata;
use crate::paths::Paths;

/// Where user-data goes that has no other place.
const FOLDER: &str = "/run/config";

/// The file that always has what came.
const RAW: &str = "userdata";

/// The file that also has it if it is user-data, unless `userdata_name` says otherwise.
const NAME: &str = "userdata.yaml";

/// Asks the sources, media first, and writes what the first of them has.
pub(super) fn carry_out(wanted: &Datasource, host: &mut impl Host) -> Result<String> {
    carry_out_in(&Paths::default(), wanted, host)
}

fn carry_out_in(paths: &Paths, wanted: &Datasource, host: &mut impl Host) -> Result<String> {
    if wanted.providers.is_empty() {
        return Ok("no providers are named: nothing is looked for".to_owned());
    }
    let folder = wanted.path.as_deref().filter(|path| !path.is_empty());
    let mut without = Vec::new();
    let (media, others): (Vec<&String>, Vec<&String>) =
        wanted.providers.iter().partition(|name| *name == "cdrom");
    for provider in media.into_iter().chain(others) {
        let found = match (provider.as_str(), folder) {
            ("cdrom", _) => from_medium(paths, host),
            ("file", Some(path)) => from_file(&paths.at(path)),
            ("file", None) => Err(anyhow::anyhow!("there is no path")),
            _ => Err(anyhow::anyhow!("not asked by this version")),
        };
        match found {
            Ok(bytes) => {
                // The path of `file` is where the user-data is, not where it goes.
                let folder = folder.filter(|_| provider != "file").unwrap_or(FOLDER);
                return write(&paths.at(folder), wanted, &bytes);
            }
            Err(error) => without.push(format!("{provider}: {error:#}")),
        }
    }
    bail!("no user-data was found: {}", without.join("; "))
}

fn from_medium(paths: &Paths, host: &mut impl Host) -> Result<Vec<u8>> {
    let volumes = cidata::find(paths);
    let [volume] = volumes.as_slice() else {
        ensure!(
            !volumes.is_empty(),
            "no volume has the label {}",
            cidata::LABEL
        );
        let nodes: Vec<String> = volumes
            .iter()
            .map(|volume| volume.node.display().to_string())
            .collect();
        bail!(
            "several volumes have the label {}: {}",
            cidata::LABEL,
            nodes.join(", ")
        );
    };
    let seed = cidata::read(paths, volume, host)?;
    let (_, bytes) = seed.user_data.context("it has no user-data")?;
    Ok(bytes)
}

fn from_file(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(cidata::MAX_FILE + 1).read_to_end(&mut bytes))
        .with_context(|| format!("reading {}", path.display()))?;
    ensure!(
        bytes.len() as u64 <= cidata::MAX_FILE,
        "{} is larger than {} bytes",
        path.display(),
        cidata::MAX_FILE
    );
    Ok(bytes)
}

/// Only root reads what may be a secret.
fn write(folder: &Path, wanted: &Datasource, bytes: &[u8]) -> Result<String> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    write_synced(&folder.join(RAW), bytes, 0o600)?;
    ensure!(
        !bytes.starts_with(b"#!"),
        "{} is a script: user-data is not run, write its commands as steps",
        folder.join(RAW).display()
    );
    let name = wanted
        .userdata_name
        .as_deref()
        .filter(|name| !name.is_empty());
    let path: PathBuf = folder.join(name.unwrap_or(NAME));
    let parsed = userdata::parse_stage_file(&path.to_string_lossy(), bytes);
    let mut errors = parsed
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    if let (Some(first), true) = (errors.next(), parsed.stages.is_empty()) {
        bail!("what was found is no user-data: {first}");
    }
    write_synced(&path, bytes, 0o600)?;
    Ok(format!("written to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;
    use host::Recorder;
    use std::os::unix::fs::MetadataExt;

    const GOOD: &[u8] = b"#cloud-config\nstages:\n  boot:\n  - commands: [x]\n";

    fn from(providers: &[&str], path: &str) -> Datasource {
        Datasource {
            providers: providers.iter().map(|name| (*name).to_owned()).collect(),
            path: Some(path.to_owned()),
            userdata_name: None,
        }
    }

    /// A medium: a FAT boot sector with the label is enough to be found, and what lies at the mount point is read.
    fn medium(tree: &Tree, name: &str, user_data: &[u8]) {
        let mut sector = vec![0; 512];
        sector[43..54].copy_from_slice(b"CIDATA     ");
        sector[54..57].copy_from_slice(b"FAT");
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        tree.file(&format!("sys/class/block/{name}/size"), b"1\n");
        tree.file(&format!("dev/{name}"), &sector);
        tree.file("run/landfall/cidata/user-data", user_data);
    }

    #[test]
    fn user_data_of_a_medium_is_written_raw_and_as_yaml_for_root_alone() {
        let tree = Tree::new();
        medium(&tree, "sda", GOOD);
        tree.file("x", b"");
        let wanted = from(&["aws", "file", "cdrom"], "/oem/95_userdata");
        let mut host = Recorder::default();
        carry_out_in(&tree.paths, &wanted, &mut host).unwrap();
        for name in ["userdata", "userdata.yaml"] {
            let path = tree.at("oem/95_userdata").join(name);
            assert_eq!(fs::read(&path).unwrap(), GOOD);
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o600);
        }
        assert!(host.mounted.is_empty());
    }

    #[test]
    fn a_file_is_read_from_its_path_and_written_where_no_other_place_is_named() {
        let tree = Tree::new();
        tree.file("oem/site.txt", GOOD);
        let wanted = Datasource {
            userdata_name: Some("50_site.yaml".to_owned()),
            ..from(&["cdrom", "file"], "/oem/site.txt")
        };
        carry_out_in(&tree.paths, &wanted, &mut Recorder::default()).unwrap();
        assert_eq!(fs::read(tree.at("run/config/50_site.yaml")).unwrap(), GOOD);
        assert!(!tree.at("run/config/userdata.yaml").exists());
    }

    #[test]
    fn what_was_tried_is_told_when_nothing_was_found() {
        let tree = Tree::new();
        let wanted = from(&["cdrom", "gcp", "file"], "/oem/none");
        let error = carry_out_in(&tree.paths, &wanted, &mut Recorder::default()).unwrap_err();
        let text = error.to_string();
        for part in [
            "cdrom: no volume has the label cidata",
            "gcp: not asked",
            "file: reading",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!tree.at("run/config").exists());
    }

    #[test]
    fn of_two_media_none_is_taken() {
        let tree = Tree::new();
        medium(&tree, "sda", GOOD);
        medium(&tree, "sdb", GOOD);
        let mut host = Recorder::default();
        let error = carry_out_in(&tree.paths, &from(&["cdrom"], "/oem/x"), &mut host).unwrap_err();
        assert!(error.to_string().contains("several volumes"), "{error}");
        assert_eq!(host.calls, [""; 0]);
    }

    #[test]
    fn what_is_no_user_data_is_kept_raw_and_never_run() {
        for bytes in [&b"#!/bin/sh\nrm -rf /\n"[..], b"a: [", b"\xff\xfe"] {
            let tree = Tree::new();
            medium(&tree, "sda", bytes);
            let wanted = from(&["cdrom"], "/oem/x");
            assert!(carry_out_in(&tree.paths, &wanted, &mut Recorder::default()).is_err());
            assert_eq!(fs::read(tree.at("oem/x/userdata")).unwrap(), bytes);
            assert!(!tree.at("oem/x/userdata.yaml").exists());
        }
    }
}
