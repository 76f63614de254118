//! The edge host ID of this machine: user-data, a file of the host, or the firmware; and the name the host gets by it.
//!
//! `stylus.site.name` comes first, then the files of `stylus.site.deviceUIDPaths` in their order, then the product UUID
//! (`reference/palette.md` 2.1).

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use palette::host_id::{PRODUCT_UUID_PATH, Wish, host_id, read_product_uuid};
use userdata::{DeviceUidPath, HostId, Site, UserData};

use crate::host_name;

/// Where an ID that `$random` made is kept on the OEM partition, so that it survives an upgrade.
const RANDOM_ID: &str = ".landfall-host-id";

/// The most that is read of a file with an ID or with labels, in bytes.
pub(crate) const LARGEST: u64 = 64 << 10;

/// Trees of the kernel: the same whatever the root is.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// The ID of the system at `root`, which is `/` or, in the initramfs, where the root is being put together.
pub fn edge_host_id(root: &Path, site: Option<&Site>) -> Result<String> {
    let prefix = site.and_then(|site| site.prefix.as_deref());
    let name = match site.and_then(|site| site.name.as_ref()) {
        Some(HostId::Fixed(name)) => Some(name.clone()),
        Some(HostId::Random) => Some(random_id(prefix, &root.join("oem").join(RANDOM_ID))?),
        None => None,
    };
    let device = site.and_then(|site| from_files(root, &site.device_uid_paths));
    let uuid = read_product_uuid(Path::new(PRODUCT_UUID_PATH)).ok();
    let wish = Wish {
        name: name.as_deref(),
        device: device.as_deref(),
        prefix,
    };
    let id = host_id(wish, uuid.as_deref(), random)?;
    Ok(id.as_str().to_owned())
}

/// Names the host at `root` after its user-data and ID, around `stage`, the stage `initramfs`.
///
/// A stage may bring the file that the ID is read from; then the host is named again, unless a step gave it another name.
/// Returns why it could not be named.
pub fn name_around(root: &Path, user_data: Option<&UserData>, stage: impl FnOnce()) -> Result<()> {
    let site = user_data.map(|user_data| &user_data.stylus.site);
    let id = || edge_host_id(root, site).ok();
    let written = || fs::read(root.join("etc/hostname")).ok();
    let first = id();
    let named = host_name::set(root, user_data, first.as_deref());
    let name = written();
    stage();
    let second = id();
    if second == first || written() != name {
        return named;
    }
    host_name::set(root, user_data, second.as_deref())
}

/// The ID in the first file that has one. The firmware's UUID in that list without an expression means the ID that is
/// generated from it, prefix and all.
fn from_files(root: &Path, sources: &[DeviceUidPath]) -> Option<String> {
    for source in sources {
        let Ok(content) = read_text(&at(root, &source.name)) else {
            continue;
        };
        if source.name == PRODUCT_UUID_PATH && source.regex.is_none() {
            return None;
        }
        if let Some(id) = source.find(&content) {
            return Some(id);
        }
    }
    None
}

fn at(root: &Path, path: &str) -> PathBuf {
    let path = Path::new(path);
    if KERNEL.iter().any(|tree| path.starts_with(tree)) {
        return path.to_owned();
    }
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Reads a file that must not be a pipe or a device, which might never end; no more than [`LARGEST`] of it.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The random ID that was kept, or a new one that is kept from now on.
fn random_id(prefix: Option<&str>, kept_at: &Path) -> Result<String> {
    if let Ok(kept) = fs::read_to_string(kept_at) {
        return Ok(kept.trim().to_owned());
    }
    let wish = Wish {
        name: Some("$random"),
        prefix,
        ..Wish::default()
    };
    let id = host_id(wish, None, random)?;
    host::files::write_synced(kept_at, format!("{id}\n").as_bytes(), 0o644)?;
    Ok(id.as_str().to_owned())
}

fn random() -> u128 {
    u128::from_ne_bytes(random_bytes())
}

/// Bytes from the kernel; zeroes if it gives none, which only makes a back-off less random.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    drop(sysroot::system_random(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use host::files::write_synced;
    use tempfile::TempDir;

    use super::*;

    fn site(text: &str) -> UserData {
        let text = format!(
            "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: api.example.com\n{text}"
        );
        userdata::parse("test", text.as_bytes()).user_data.unwrap()
    }

    fn root(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc", "oem"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        for (path, text) in files {
            write_synced(&root.path().join(path), text.as_bytes(), 0o600).unwrap();
        }
        root
    }

    const TWO: &str = "    deviceUIDPaths:\n      - name: /etc/missing\n      - {name: /etc/asset, regex: \"edge-[0-9a-f]+\"}\n      - name: /etc/tag\n";

    #[test]
    fn the_first_file_that_has_an_id_gives_it_as_it_stands() {
        let id = |files: &[(&str, &str)], more: &str| {
            let user_data = site(&format!("{TWO}{more}"));
            edge_host_id(root(files).path(), Some(&user_data.stylus.site))
        };
        let (asset, tag) = (("etc/asset", "id=edge-00ff!\n"), ("etc/tag", " shop-7 \n"));
        assert_eq!(id(&[asset, tag], "").unwrap(), "edge-00ff");
        // No prefix: whoever writes a file for it has the whole ID in mind.
        assert_eq!(
            id(&[("etc/asset", "none"), tag], "    prefix: x\n").unwrap(),
            "shop-7"
        );
        assert_eq!(id(&[asset], "    name: by-hand\n").unwrap(), "by-hand");
        // What Palette does not take is refused, not shown as another ID than Palette's.
        let refused = id(&[("etc/tag", "a\nb")], "").unwrap_err();
        let known = refused.downcast_ref::<palette::HostIdError>().unwrap();
        assert_eq!(known.code(), "LF-P41");
        assert!(known.action().contains("deviceUIDPaths"));
    }

    #[test]
    fn the_uuid_of_the_firmware_in_the_list_means_the_generated_id() {
        let here = edge_host_id(Path::new("/nowhere"), None).ok();
        let listed = site(
            "    deviceUIDPaths:\n      - name: /sys/class/dmi/id/product_uuid\n      - name: /etc/tag\n",
        );
        let root = root(&[("etc/tag", "tag")]);
        let id = edge_host_id(root.path(), Some(&listed.stylus.site)).ok();
        if here.is_some() {
            assert_eq!(id, here);
        } else {
            // A machine without one goes on in the list.
            assert_eq!(id.as_deref(), Some("tag"));
        }
    }

    #[test]
    fn a_pipe_is_not_read() {
        let root = root(&[]);
        nix::unistd::mkfifo(&root.path().join("etc/tag"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let user_data = site("    deviceUIDPaths: [{name: /etc/tag}]\n");
        assert!(from_files(root.path(), &user_data.stylus.site.device_uid_paths).is_none());
    }

    #[test]
    fn a_random_id_is_made_once() {
        let root = root(&[]);
        let user_data = site("    name: $random\n    prefix: shop\n");
        let id = || edge_host_id(root.path(), Some(&user_data.stylus.site)).unwrap();
        let first = id();
        assert!(first.starts_with("shop-") && first.len() == 37, "{first}");
        assert_eq!(id(), first);
    }

    #[test]
    fn a_stage_that_brings_the_id_names_the_host_unless_a_step_does() {
        let user_data = site("    deviceUIDPaths: [{name: /etc/tag}]\n");
        let name_after = |files: &[(&str, &str)]| {
            let root = root(&[("etc/hostname", "image\n")]);
            name_around(root.path(), Some(&user_data), || {
                for (path, text) in files {
                    write_synced(&root.path().join(path), text.as_bytes(), 0o644).unwrap();
                }
            })
            .unwrap();
            fs::read_to_string(root.path().join("etc/hostname")).unwrap()
        };
        let tag = ("etc/tag", "Shop-7\n");
        assert_eq!(name_after(&[tag]), "shop-7\n");
        assert_eq!(name_after(&[tag, ("etc/hostname", "mine\n")]), "mine\n");
    }
}
