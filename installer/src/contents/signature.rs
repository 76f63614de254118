//! Signatures as `blkid` finds them (`blkid(8)`, low-level probing).

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use host::{Argv, CommandFailed, Host};
use partition::ByteRange;

/// A disk that does not answer must not hold the installer for ever.
const PATIENCE: Duration = Duration::from_mins(1);

/// Exit codes of `blkid`: nothing was found, or several that contradict each other.
const NOTHING: i32 = 2;
const AMBIVALENT: i32 = 8;

/// What stands in a disk or in a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// No known signature. A partition table alone is none: it is read elsewhere.
    Nothing,
    /// This.
    One(Signature),
    /// Several that contradict each other.
    Several,
}

/// A known signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name that libblkid gives it: `ext4`, `LVM2_member`.
    pub kind: String,
    /// Label of the file system, name of the array or of the pool.
    pub label: Option<String>,
}

impl Probe {
    /// The label, where there is one.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::One(signature) => signature.label.as_deref(),
            _ => None,
        }
    }
}

impl Signature {
    /// What a person calls it.
    pub fn kind_in_words(&self) -> &str {
        match self.kind.as_str() {
            "ntfs" => "Windows NTFS",
            "ReFS" => "Windows ReFS",
            "BitLocker" => "Windows BitLocker",
            "LVM2_member" | "LVM1_member" => "LVM",
            "linux_raid_member" => "Linux RAID member",
            "isw_raid_member" | "ddf_raid_member" | "promise_fasttrack_raid_member" => {
                "member of a RAID of the firmware"
            }
            "crypto_LUKS" => "encrypted by LUKS",
            "zfs_member" => "ZFS member",
            "VMFS" | "VMFS_volume_member" => "VMware VMFS",
            "ceph_bluestore" => "Ceph",
            "vfat" => "FAT",
            "exfat" => "exFAT",
            "iso9660" => "ISO 9660 image",
            "swap" => "Linux swap",
            "apfs" => "Apple APFS",
            "hfsplus" => "Apple HFS+",
            other => other,
        }
    }
}

/// Probes a disk, or a part of it.
pub(super) fn probe(path: &Path, area: Option<ByteRange>, host: &mut impl Host) -> Result<Probe> {
    let mut argv = Argv::new("blkid").args(["--probe", "--output", "export"]);
    if let Some(area) = area {
        argv = argv
            .arg("--offset")
            .arg(area.start.get().to_string())
            .arg("--size")
            .arg(area.size.get().to_string());
    }
    match host.run(&argv.arg(path).time_limit(PATIENCE)) {
        Ok(said) => Ok(read(&said.stdout)),
        Err(error) => match error
            .downcast_ref::<CommandFailed>()
            .and_then(|failed| failed.exit)
        {
            Some(NOTHING) => Ok(Probe::Nothing),
            Some(AMBIVALENT) => Ok(Probe::Several),
            _ => Err(error.context("looking for signatures")),
        },
    }
}

/// Reads lines of `KEY=value`, where what a shell would read is escaped by backslashes.
fn read(said: &str) -> Probe {
    let value = |key: &str| {
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(unescape(line)).filter(|value| !value.is_empty())
    };
    match value("TYPE") {
        Some(kind) => Probe::One(Signature {
            kind,
            label: value("LABEL"),
        }),
        None => Probe::Nothing,
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_blkid_are_read_and_a_table_alone_is_no_signature() {
        let said = "DEVNAME=/dev/sda\nLABEL=My\\ Disk\\$1\nTYPE=ntfs\nUSAGE=filesystem\n";
        let Probe::One(signature) = read(said) else {
            panic!("nothing found")
        };
        assert_eq!(signature.kind_in_words(), "Windows NTFS");
        assert_eq!(signature.label.as_deref(), Some("My Disk$1"));
        assert_eq!(read("PTUUID=1\nPTTYPE=gpt\n"), Probe::Nothing);
        assert_eq!(read(""), Probe::Nothing);
    }
}
