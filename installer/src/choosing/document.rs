//! A choice as user-data, to be merged and to be copied.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use userdata::{Mode, Wipe};

use crate::machine::Disk;
use crate::report::Next;

/// How user-data name a disk so that it is the same one after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// `install.device`: a link that the drive's own number makes, or the bare node where there is none.
    Device(PathBuf),
    /// `landfall.disk.serial`.
    Serial(String),
    /// `landfall.disk.wwn`.
    Wwn(String),
}

/// A name below `/dev/disk/by-id` and the device node that it leads to.
pub type Link = (PathBuf, PathBuf);

/// Longest path that stands whole on a line of the smallest console, behind `  device: `.
const LONGEST: usize = 66;

impl Named {
    /// The best name of a disk: the tools of others know links, every version of ours knows serial numbers, and the name
    /// of a device node may change with the next start.
    pub fn of(disk: &Disk, links: &[Link]) -> Self {
        let links = links
            .iter()
            .filter(|(_, target)| *target == disk.path)
            .map(|(link, _)| link);
        let length = |link: &PathBuf| link.as_os_str().len();
        // Names with model and serial number can be compared with the label of a drive; world wide names cannot.
        let opaque = |link: &PathBuf| {
            let name = link.file_name().unwrap_or_default().to_string_lossy();
            ["wwn-", "nvme-eui.", "nvme-nvme.", "scsi-3", "dm-", "lvm-"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        if let Some(link) =
            links.min_by_key(|link| (length(link) > LONGEST, opaque(link), length(link)))
        {
            return Self::Device(link.clone());
        }
        Self::by_number(disk).unwrap_or_else(|| Self::Device(disk.path.clone()))
    }

    /// The disk by a number of its own, which is the only way where the user-data describe a disk.
    pub fn by_number(disk: &Disk) -> Option<Self> {
        let some =
            |number: &str| Some(number.trim().to_owned()).filter(|number| !number.is_empty());
        let serial = some(&disk.serial).map(Self::Serial);
        serial.or_else(|| some(&disk.wwn).map(Self::Wwn))
    }
}

/// The links of a folder such as `/dev/disk/by-id`, sorted; none if it is not there.
pub fn links(folder: &Path) -> Vec<Link> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut links: Vec<Link> = entries
        .filter_map(|entry| {
            let target = fs::canonicalize(entry.path()).ok()?;
            Some((entry.path(), target))
        })
        .collect();
    links.sort();
    links
}

/// A choice; `Display` gives the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The disk.
    pub disk: Named,
    /// What may be erased, where the user-data allow less than the choice needs.
    pub wipe: Option<Wipe>,
    /// What becomes of an installation that is there.
    pub mode: Mode,
    /// What follows the installation.
    pub next: Next,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "#cloud-config\ninstall:")?;
        match &self.disk {
            Named::Device(path) => writeln!(f, "  device: {}", plain(&path.to_string_lossy()))?,
            Named::Serial(_) | Named::Wwn(_) => writeln!(f, "  device: auto")?,
        }
        // Both, because one of the documents below may have the other.
        writeln!(f, "  reboot: {}", self.next == Next::Reboot)?;
        writeln!(f, "  poweroff: {}", self.next == Next::Poweroff)?;
        let number = match &self.disk {
            Named::Serial(serial) => Some(("serial", serial)),
            Named::Wwn(wwn) => Some(("wwn", wwn)),
            Named::Device(_) => None,
        };
        if number.is_none() && self.wipe.is_none() && self.mode == Mode::Fresh {
            return Ok(());
        }
        writeln!(f, "landfall:")?;
        match self.mode {
            Mode::Fresh => {}
            Mode::KeepData => writeln!(f, "  mode: keep-data")?,
            Mode::Repair => writeln!(f, "  mode: repair")?,
        }
        if let Some((key, number)) = number {
            writeln!(f, "  disk:\n    {key}: {}", quoted(number))?;
        }
        if let Some(wipe) = self.wipe {
            let wipe = match wipe {
                Wipe::Never => "never",
                Wipe::Ours => "ours",
                Wipe::Foreign => "foreign",
            };
            writeln!(f, "  wipe: {wipe}")?;
        }
        Ok(())
    }
}

/// The lines that somebody copies into user-data, which have a header of their own.
pub fn to_copy(document: &str) -> Vec<String> {
    let lines = document.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// A path without quotes where YAML needs none.
fn plain(path: &str) -> String {
    let known = |c: char| c.is_ascii_alphanumeric() || "/-_.+@=".contains(c);
    if path.starts_with('/') && path.chars().all(known) {
        path.to_owned()
    } else {
        quoted(path)
    }
}

/// In quotes, so that a number stays text. A string of JSON is one of YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use userdata::{Afterwards, Device};

    use super::*;
    use crate::choosing::tests::disk;

    fn link(name: &str, target: &str) -> Link {
        let folder = Path::new("/dev/disk/by-id");
        (folder.join(name), target.into())
    }

    #[test]
    fn a_disk_is_named_by_what_its_label_says_and_fits_a_line() {
        let sda = disk("sda", 1, "", "S1");
        let long = format!("ata-{}", "x".repeat(80));
        let links = [
            link("wwn-0x5002538e", "/dev/sda"),
            link(&long, "/dev/sda"),
            link("ata-Samsung_SSD_S1", "/dev/sda"),
            link("ata-Other_S2", "/dev/sdb"),
        ];
        let path = |name: &str| Named::Device(Path::new("/dev/disk/by-id").join(name));
        assert_eq!(Named::of(&sda, &links), path("ata-Samsung_SSD_S1"));
        assert_eq!(Named::of(&sda, &links[..2]), path("wwn-0x5002538e"));
        assert_eq!(Named::of(&sda, &links[1..2]), path(&long));
        assert_eq!(Named::of(&sda, &links[3..]), Named::Serial("S1".into()));
        let nameless = disk("sda", 1, "", "");
        assert_eq!(Named::of(&nameless, &[]), Named::Device("/dev/sda".into()));
    }

    #[test]
    fn links_of_partitions_lead_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("sda");
        fs::File::create(&target).unwrap();
        let by_id = root.path().join("by-id");
        fs::create_dir(&by_id).unwrap();
        std::os::unix::fs::symlink("../sda", by_id.join("ata-X")).unwrap();
        std::os::unix::fs::symlink("../gone", by_id.join("ata-Y")).unwrap();
        let target = fs::canonicalize(target).unwrap();
        assert_eq!(links(&by_id), [(by_id.join("ata-X"), target)]);
        assert_eq!(links(&root.path().join("none")), []);
    }

    #[test]
    fn the_document_reads_as_a_person_would_write_it() {
        let choice = Choice {
            disk: Named::Device("/dev/disk/by-id/virtio-LF0002".into()),
            wipe: Some(Wipe::Foreign),
            mode: Mode::Fresh,
            next: Next::Reboot,
        };
        insta::assert_snapshot!(choice.to_string(), @r"
        #cloud-config
        install:
          device: /dev/disk/by-id/virtio-LF0002
          reboot: true
          poweroff: false
        landfall:
          wipe: foreign
        ");
        let choice = Choice {
            disk: Named::Serial("0042".into()),
            wipe: None,
            mode: Mode::KeepData,
            next: Next::Wait,
        };
        insta::assert_snapshot!(choice.to_string(), @r#"
        #cloud-config
        install:
          device: auto
          reboot: false
          poweroff: false
        landfall:
          mode: keep-data
          disk:
            serial: "0042"
        "#);
    }

    #[test]
    fn on_top_of_other_documents_the_choice_wins_and_the_rest_stays() {
        let site = "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: a.example\ninstall:\n  device: /dev/sdz\n  poweroff: true\n";
        let choice = Choice {
            disk: Named::Serial("42".into()),
            wipe: Some(Wipe::Foreign),
            mode: Mode::Fresh,
            next: Next::Reboot,
        };
        let read =
            |name: &str, text: &str| userdata::parse(name, text.as_bytes()).user_data.unwrap();
        let both = [read("site", site), read("choice", &choice.to_string())];
        let merged = userdata::merge(&both).parsed;
        let merged = merged
            .user_data
            .unwrap_or_else(|| panic!("{:?}", merged.findings));
        assert_eq!(merged.install.device, Device::Auto);
        assert_eq!(merged.install.afterwards(), Afterwards::Reboot);
        assert_eq!(merged.landfall.wipe, Wipe::Foreign);
        assert_eq!(merged.landfall.disk.unwrap().serial.as_deref(), Some("42"));
    }

    proptest! {
        #[test]
        fn whatever_a_drive_calls_itself_the_document_means_it(serial in "[ -~]{0,20}[!-~]", path in "/dev/disk/by-id/[A-Za-z][A-Za-z0-9_:.+#=,-]{0,40}") {
            let serial = serial.trim().to_owned();
            for (disk, next) in [
                (Named::Serial(serial.clone()), Next::Poweroff),
                (Named::Device(path.clone().into()), Next::Wait),
            ] {
                let text = Choice { disk: disk.clone(), wipe: None, mode: Mode::Repair, next }.to_string();
                let parsed = userdata::parse("choice", text.as_bytes());
                let user_data = parsed.user_data.unwrap_or_else(|| panic!("{text}{:?}", parsed.findings));
                prop_assert_eq!(user_data.landfall.mode, Mode::Repair);
                match disk {
                    Named::Serial(serial) => {
                        let asked = user_data.landfall.disk.unwrap().serial;
                        prop_assert_eq!(asked, Some(serial));
                    }
                    Named::Wwn(_) => prop_assert!(false),
                    Named::Device(path) => {
                        prop_assert_eq!(user_data.install.device, Device::Path(path.to_string_lossy().into()));
                    }
                }
            }
        }
    }
}
