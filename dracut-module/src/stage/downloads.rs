//! `downloads` of a step: fetched, verified, and put in place whole.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fetch::{Bounds, Client};
use host::files::sync_parent;
use nix::sys::statvfs::statvfs;
use userdata::{Download, Secret};

use super::files::{by_name, own};
use super::network;
use super::steps::TIME_LIMIT;

/// What a download leaves free on the filesystem that it goes to, in bytes.
const LEFT_FREE: u64 = 32 << 20;

/// Fetches one file. It is written beside its place and renamed when it is whole, with its owner and mode, so that
/// nobody ever sees a part of it; after a failure the old file is still there.
pub(super) fn carry_out(wanted: &Download, client: &Client) -> Result<String> {
    let path = target(&wanted.path, &wanted.url)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    ensure!(!path.is_dir(), "{} is a directory", path.display());
    let (mut uid, mut gid) = (wanted.owner, wanted.group);
    if let Some(text) = &wanted.ownerstring {
        let (user, group) = by_name(text)?;
        (uid, gid) = (Some(user), group.or(gid));
    }
    let bounds = Bounds {
        bytes: room(folder)?,
        time: wanted
            .timeout
            .filter(|seconds| *seconds > 0)
            .map_or(TIME_LIMIT, Duration::from_secs),
    };
    let beside = beside(&path)?;
    let result = receive(wanted, client, bounds, &beside).and_then(|bytes| {
        own(&beside, uid, gid)?;
        // After the owner: a change of owner takes set-user-ID bits away.
        let mode = wanted.permissions.unwrap_or(0o644);
        fs::set_permissions(&beside, Permissions::from_mode(mode))?;
        File::open(&beside)?.sync_all()?;
        fs::rename(&beside, &path)?;
        sync_parent(&path)?;
        Ok(format!("{bytes} bytes"))
    });
    if result.is_err() {
        // The first error is the one to tell; the file may not even exist.
        drop(fs::remove_file(&beside));
    }
    result.with_context(|| format!("downloading {}", path.display()))
}

fn receive(wanted: &Download, client: &Client, bounds: Bounds, beside: &Path) -> Result<u64> {
    // What an interrupted run left, or a link that somebody laid there.
    match fs::remove_file(beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    let received = client.get(wanted.url.reveal(), bounds, &mut file, &mut |_| ());
    Ok(received.map_err(|error| network::told(&error))?.bytes)
}

/// A path that ends with a slash is a folder; the file in it is called as the last part of the address.
fn target(path: &str, url: &Secret) -> Result<PathBuf> {
    if !path.ends_with('/') {
        return Ok(PathBuf::from(path));
    }
    let address = url.reveal();
    let address = address.split(['?', '#']).next().unwrap_or_default();
    let way = address.split_once("://").map_or("", |(_, rest)| rest);
    let name = way.split_once('/').map_or("", |(_, way)| way);
    let name = name.rsplit('/').next().unwrap_or_default();
    if matches!(name, "" | "." | "..") || name.contains(char::is_control) {
        bail!("the address has no name for a file in {path}: write the whole path");
    }
    Ok(Path::new(path).join(name))
}

fn beside(path: &Path) -> Result<PathBuf> {
    let name = path
        .file_name()
        .with_context(|| format!("{} has no file name", path.display()))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".landfall-download");
    Ok(path.with_file_name(beside))
}

/// How large a file may be: the root's overlay lives in memory, and a full `/usr/local` stops the host.
fn room(folder: &Path) -> Result<u64> {
    let found =
        statvfs(folder).with_context(|| format!("asking for the room in {}", folder.display()))?;
    let free = found
        .blocks_available()
        .saturating_mul(found.fragment_size());
    Ok(free.saturating_sub(LEFT_FREE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, serve};
    use fetch::Settings;
    use std::os::unix::fs::MetadataExt;

    fn client() -> Client {
        Client::new(Settings {
            attempts: 1,
            ..Settings::default()
        })
        .unwrap()
    }

    fn download(path: &Path, url: &str) -> Download {
        Download {
            path: path.to_str().unwrap().to_owned(),
            url: Secret::new(url),
            permissions: None,
            owner: None,
            group: None,
            ownerstring: None,
            timeout: Some(5),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_comes_whole_with_its_mode_and_replaces_the_old_one() {
        let tree = Tree::new();
        tree.file("a/tool", b"old");
        let url = serve(vec!["200 OK\r\nContent-Length: 3\r\n\r\nnew"]);
        let wanted = Download {
            permissions: Some(0o4755),
            ..download(&tree.at("a/tool"), &url)
        };
        assert_eq!(carry_out(&wanted, &client()).unwrap(), "3 bytes");
        assert_eq!(fs::read(tree.at("a/tool")).unwrap(), b"new");
        assert_eq!(
            fs::metadata(tree.at("a/tool")).unwrap().mode() & 0o7777,
            0o4755
        );
        assert_eq!(names(&tree.at("a")), ["tool"]);
    }

    #[test]
    fn root_the_owner_is_set_and_a_mode_beyond_the_owner_survives_it() {
        let tree = Tree::new();
        let url = serve(vec!["200 OK\r\nContent-Length: 1\r\n\r\nx"]);
        let wanted = Download {
            permissions: Some(0o4750),
            ownerstring: Some("1234:4321".to_owned()),
            ..download(&tree.at("x"), &url)
        };
        carry_out(&wanted, &client()).unwrap();
        let found = fs::metadata(tree.at("x")).unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode() & 0o7777),
            (1234, 4321, 0o4750)
        );
    }

    #[test]
    fn a_failed_download_leaves_the_old_file_and_nothing_beside_it() {
        for (answer, code) in [
            ("404 No\r\nContent-Length: 0\r\n\r\n", "LF-N20"),
            ("200 OK\r\nContent-Length: 9\r\n\r\nne", "LF-N05"),
            (
                "200 OK\r\nContent-Length: 9000000000000000\r\n\r\nne",
                "LF-N23",
            ),
        ] {
            let tree = Tree::new();
            tree.file("a/tool", b"old");
            let url = format!("{}?token=hunter2", serve(vec![answer]));
            let error = carry_out(&download(&tree.at("a/tool"), &url), &client()).unwrap_err();
            let text = format!("{error:#}");
            assert!(text.contains(code) && text.contains("a/tool"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
            assert_eq!(fs::read(tree.at("a/tool")).unwrap(), b"old");
            assert_eq!(names(&tree.at("a")), ["tool"]);
        }
    }

    #[test]
    fn a_link_beside_the_file_leads_nobody_elsewhere() {
        let tree = Tree::new();
        tree.file("victim", b"safe");
        tree.link("a/.x.landfall-download", tree.at("victim"));
        let url = serve(vec!["200 OK\r\nContent-Length: 3\r\n\r\nnew"]);
        carry_out(&download(&tree.at("a/x"), &url), &client()).unwrap();
        assert_eq!(fs::read(tree.at("victim")).unwrap(), b"safe");
        assert_eq!(fs::read(tree.at("a/x")).unwrap(), b"new");
    }

    #[test]
    fn a_folder_takes_the_name_of_the_address() {
        for (path, url, wanted) in [
            (
                "/opt/x/",
                "https://a.example/b/c.tgz?v=1#f",
                Some("/opt/x/c.tgz"),
            ),
            ("/opt/x", "https://a.example/b/c.tgz", Some("/opt/x")),
            ("/opt/x/", "https://a.example/", None),
            ("/opt/x/", "https://a.example", None),
            ("/opt/x/", "https://a.example/b/..", None),
        ] {
            let found = target(path, &Secret::new(url)).ok();
            assert_eq!(found.as_deref(), wanted.map(Path::new), "{path} {url}");
        }
    }
}
