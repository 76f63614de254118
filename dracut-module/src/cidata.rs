//! The medium called `cidata`: user-data that is brought beside the machine, as for cloud-init's `NoCloud`.
//!
//! It is an ISO or a FAT volume with the label `cidata`, in small letters or capitals, on a CD, a stick or a virtual
//! disk, partitioned or not. Devices and labels are read from sysfs and the volumes themselves, so no udev is needed.
//! The volume is only ever mounted read-only, and nothing on it is followed or run.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use host::{Host, Mount};

use crate::paths::Paths;

/// The label, compared without regard to capitals.
pub const LABEL: &str = "cidata";

/// Most bytes of a file that are taken: 1 MiB.
pub const MAX_FILE: u64 = 1 << 20;

/// Where the volume is mounted while it is read.
const MOUNT_POINT: &str = "/run/landfall/cidata";

/// The names of the user-data; the first that is there counts.
const USER_DATA: [&str; 2] = ["user-data", "config"];

/// A volume with the label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its device node.
    pub node: PathBuf,
    /// The type of its filesystem: `iso9660` or `vfat`.
    pub fstype: &'static str,
}

/// What a volume has to say. A file that is missing is none; one that is empty is an empty one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Seed {
    /// The user-data with the name of its file, `user-data` or `config`. May hold secrets.
    pub user_data: Option<(&'static str, Vec<u8>)>,
    /// `meta-data`.
    pub meta_data: Option<Vec<u8>>,
}

impl std::fmt::Debug for Seed {
    /// Without the user-data: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = |bytes: &Vec<u8>| bytes.len();
        f.debug_struct("Seed")
            .field(
                "user_data",
                &self
                    .user_data
                    .as_ref()
                    .map(|(name, bytes)| (name, size(bytes))),
            )
            .field("meta_data", &self.meta_data.as_ref().map(size))
            .finish()
    }
}

/// All volumes with the label, by the names of their devices. A disk and its first partition may show the same ISO; such
/// a partition is left out. Loop devices and disks in memory are not looked at.
pub fn find(paths: &Paths) -> Vec<Volume> {
    let Ok(entries) = fs::read_dir(paths.at("/sys/class/block")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            !["loop", "ram", "zram"]
                .iter()
                .any(|kind| name.starts_with(kind))
        })
        .collect();
    names.sort();
    let mut volumes: Vec<(String, Volume)> = Vec::new();
    for name in names {
        let node = paths.at("/dev").join(name.replace('!', "/"));
        let Some((fstype, label)) = label(&node) else {
            continue;
        };
        let inside = |(disk, _): &(String, Volume)| {
            let partition = paths.at("/sys/class/block").join(&name).join("partition");
            name.starts_with(disk.as_str()) && partition.exists()
        };
        if label.eq_ignore_ascii_case(LABEL) && !volumes.iter().any(inside) {
            volumes.push((name, Volume { node, fstype }));
        }
    }
    volumes.into_iter().map(|(_, volume)| volume).collect()
}

/// Mounts a volume read-only, reads it, and unmounts it on every path.
///
/// # Errors
///
/// If it cannot be mounted or unmounted, if a file cannot be read, is larger than [`MAX_FILE`] or is none, and if there
/// is neither `user-data` nor `config`. The error names the device and the file.
pub fn read(paths: &Paths, volume: &Volume, host: &mut impl Host) -> Result<Seed> {
    let place = || format!("the volume {LABEL} on {}", volume.node.display());
    let at = paths.at(MOUNT_POINT);
    fs::create_dir_all(&at).with_context(|| format!("making {}", at.display()))?;
    let mount = Mount::new(&volume.node, &at, volume.fstype).read_only();
    host.mount(&mount).with_context(place)?;
    let seed = read_files(&at).with_context(place);
    let unmounted = host.unmount(&at).with_context(place);
    // The first error is the one to tell.
    let seed = seed?;
    unmounted?;
    Ok(seed)
}

fn read_files(folder: &Path) -> Result<Seed> {
    let mut seed = Seed::default();
    for name in USER_DATA {
        if let Some(bytes) = read_file(folder, name)? {
            seed.user_data = Some((name, bytes));
            break;
        }
    }
    ensure!(
        seed.user_data.is_some(),
        "it has neither a file user-data nor a file config"
    );
    seed.meta_data = read_file(folder, "meta-data")?;
    Ok(seed)
}

/// A link on a foreign medium could lead to any file of this machine, so it is not followed.
fn read_file(folder: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = folder.join(name);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => bail!("{name} is not a regular file"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {name}")),
    }
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .with_context(|| format!("reading {name}"))?;
    ensure!(
        bytes.len() as u64 <= MAX_FILE,
        "{name} is larger than {MAX_FILE} bytes"
    );
    Ok(Some(bytes))
}

/// Type and label of an ISO 9660 or FAT volume; `None` for everything else and for what cannot be read.
fn label(node: &Path) -> Option<(&'static str, String)> {
    let mut device = File::open(node).ok()?;
    if let Some(label) = iso_label(&mut device) {
        return Some(("iso9660", label));
    }
    fat_label_at(&mut device, 0).map(|label| ("vfat", label))
}

/// ECMA-119, 8.4: the primary volume descriptor at byte 32768 has type 1, `CD001`, and 32 bytes of label at byte 40.
fn iso_label(device: &mut File) -> Option<String> {
    let mut descriptor = [0; 72];
    read_at(device, 32768, &mut descriptor)?;
    let known = descriptor.starts_with(b"\x01CD001");
    known.then(|| text(descriptor.get(40..)?)).flatten()
}

/// Label of a FAT filesystem that begins at byte `start`. Microsoft's FAT specification 1.03: 11 bytes of label before the
/// name of the type, which is at byte 54 of the first sector, for FAT32 at byte 82.
pub(crate) fn fat_label_at(device: &mut File, start: u64) -> Option<String> {
    let mut sector = [0; 512];
    read_at(device, start, &mut sector)?;
    if sector.get(510..)? != [0x55, 0xaa] {
        return None;
    }
    let field = match (sector.get(54..57)?, sector.get(82..87)?) {
        (_, b"FAT32") => sector.get(71..82)?,
        (b"FAT", _) => sector.get(43..54)?,
        _ => return None,
    };
    text(field)
}

fn text(field: &[u8]) -> Option<String> {
    let text = String::from_utf8(field.to_vec()).ok()?;
    Some(text.trim_end_matches([' ', '\0']).to_owned())
}

fn read_at(device: &mut File, offset: u64, bytes: &mut [u8]) -> Option<()> {
    device.seek(SeekFrom::Start(offset)).ok()?;
    device.read_exact(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, put};
    use host::{Argv, Linux, Recorder};

    fn disk(tree: &Tree, name: &str) -> PathBuf {
        tree.file(&format!("sys/class/block/{name}/size"), b"4096\n");
        tree.file(&format!("dev/{name}"), b"");
        tree.at(&format!("dev/{name}"))
    }

    fn iso(tree: &Tree, name: &str, label: &str) {
        let node = disk(tree, name);
        tree.file("files/user-data", b"#cloud-config\n");
        let argv = Argv::new("xorriso")
            .args(["-as", "mkisofs", "-quiet", "-r", "-J", "-V", label, "-o"])
            .arg(node)
            .arg(tree.at("files"));
        Linux.run(&argv).unwrap();
    }

    fn fat(tree: &Tree, name: &str, label: &str, bits: &str) {
        let node = disk(tree, name);
        let size = match bits {
            "12" => 4 << 20,
            "16" => 20 << 20,
            _ => 40 << 20,
        };
        let file = File::options().write(true).open(&node).unwrap();
        file.set_len(size).unwrap();
        let argv = Argv::new("mkfs.vfat").args(["-F", bits, "-n", label]);
        Linux.run(&argv.arg(node)).unwrap();
    }

    #[test]
    fn volumes_of_real_tools_are_found_by_their_label_in_any_case() {
        let tree = Tree::new();
        iso(&tree, "sr0", "cidata");
        iso(&tree, "sr1", "OTHER");
        iso(&tree, "loop0", "cidata");
        for (name, label, bits) in [
            ("sda", "CIDATA", "12"),
            ("sdb", "CIDATA", "16"),
            ("sdc", "CIDATA", "32"),
            ("sdd", "DATA", "16"),
        ] {
            fat(&tree, name, label, bits);
        }
        disk(&tree, "sde");
        tree.file("sys/class/block/sdf/size", b"0\n");
        let found: Vec<(PathBuf, &str)> = find(&tree.paths)
            .into_iter()
            .map(|volume| (volume.node, volume.fstype))
            .collect();
        let wanted = [
            ("sda", "vfat"),
            ("sdb", "vfat"),
            ("sdc", "vfat"),
            ("sr0", "iso9660"),
        ];
        assert_eq!(
            found,
            wanted.map(|(name, fstype)| (tree.at(&format!("dev/{name}")), fstype))
        );
    }

    #[test]
    fn an_iso_on_a_stick_is_one_volume_though_its_partition_shows_it_again() {
        let tree = Tree::new();
        iso(&tree, "sda", "cidata");
        iso(&tree, "sda1", "cidata");
        tree.file("sys/class/block/sda1/partition", b"1\n");
        iso(&tree, "sdaa", "cidata");
        let names: Vec<PathBuf> = find(&tree.paths)
            .into_iter()
            .map(|found| found.node)
            .collect();
        assert_eq!(names, [tree.at("dev/sda"), tree.at("dev/sdaa")]);
    }

    /// A recorder mounts nothing, so what lies at the mount point stands for the volume.
    fn with(files: &[(&str, &[u8])]) -> (Tree, Volume) {
        let tree = Tree::new();
        for (name, bytes) in files {
            put(&tree.paths.at(MOUNT_POINT).join(name), bytes);
        }
        let node = PathBuf::from("/dev/sr0");
        let fstype = "iso9660";
        (tree, Volume { node, fstype })
    }

    #[test]
    fn user_data_comes_before_config_and_meta_data_is_read_too() {
        type Files = &'static [(&'static str, &'static [u8])];
        type Wanted = (Option<(&'static str, &'static [u8])>, Option<&'static [u8]>);
        let cases: [(Files, Wanted); 3] = [
            (
                &[("user-data", b"u"), ("config", b"c"), ("meta-data", b"m")],
                (Some(("user-data", b"u")), Some(b"m")),
            ),
            (&[("config", b"c")], (Some(("config", b"c")), None)),
            (
                &[("user-data", b""), ("config", b"c"), ("meta-data", b"")],
                (Some(("user-data", b"")), Some(b"")),
            ),
        ];
        for (files, (user_data, meta_data)) in cases {
            let (tree, volume) = with(files);
            let mut host = Recorder::default();
            let seed = read(&tree.paths, &volume, &mut host).unwrap();
            let user_data = user_data.map(|(name, bytes)| (name, bytes.to_vec()));
            assert_eq!(seed.user_data, user_data);
            assert_eq!(seed.meta_data.as_deref(), meta_data);
            assert!(host.mounted.is_empty());
            assert!(host.calls[0].contains("(iso9660, ro)"), "{:?}", host.calls);
        }
    }

    #[test]
    fn a_volume_that_is_no_good_is_told_and_unmounted() {
        let large = vec![b'x'; 1_048_577];
        for (files, reason) in [
            (vec![], "neither a file user-data nor a file config"),
            (
                vec![("user-data", large.as_slice())],
                "user-data is larger than 1048576 bytes",
            ),
            (
                vec![("config/x", b"".as_slice())],
                "config is not a regular file",
            ),
        ] {
            let (tree, volume) = with(&files);
            fs::create_dir_all(tree.paths.at(MOUNT_POINT)).unwrap();
            let mut host = Recorder::default();
            let error = read(&tree.paths, &volume, &mut host).unwrap_err();
            let text = format!("{error:#}");
            assert!(text.contains("/dev/sr0") && text.contains(reason), "{text}");
            assert!(host.mounted.is_empty(), "{reason}");
        }
    }

    #[test]
    fn a_link_on_the_medium_leads_nowhere() {
        let (tree, volume) = with(&[("x", b"")]);
        let link = tree.paths.at(MOUNT_POINT).join("user-data");
        std::os::unix::fs::symlink("/etc/shadow", link).unwrap();
        let error = read(&tree.paths, &volume, &mut Recorder::default()).unwrap_err();
        assert!(format!("{error:#}").contains("not a regular file"));
    }

    #[test]
    fn a_failed_mount_or_unmount_is_an_error_that_names_the_device() {
        for (request, calls) in [(0, 1), (1, 2)] {
            let (tree, volume) = with(&[("user-data", b"u")]);
            let mut host = Recorder::failing_at(request);
            let error = read(&tree.paths, &volume, &mut host).unwrap_err();
            assert!(error.to_string().contains("/dev/sr0"), "{error}");
            assert_eq!(host.calls.len(), calls);
        }
    }

    #[test]
    fn no_debug_text_shows_the_user_data() {
        let seed = Seed {
            user_data: Some(("config", b"hunter2".to_vec())),
            meta_data: None,
        };
        assert!(!format!("{seed:?}").contains("104"), "{seed:?}");
    }
}
