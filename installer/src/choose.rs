//! Which disk: the decision that must never be wrong.

use std::path::{Path, PathBuf};

use crate::code::{Code, Trouble};
use crate::machine::{Disk, Machine, Transport};

/// What the operator said about the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The only disk that can be meant.
    Auto,
    /// This one (a device node; links below `/dev/disk/` are already resolved).
    Path(PathBuf),
}

/// Picks the disk, or says why none is picked; `medium` is the disk that holds the install medium.
pub fn choose(wish: &Wish, machine: &Machine, medium: Option<&Path>) -> Result<Disk, Trouble> {
    match wish {
        Wish::Path(path) => named(path, machine, medium),
        Wish::Auto => only_one(machine, medium),
    }
}

fn named(path: &Path, machine: &Machine, medium: Option<&Path>) -> Result<Disk, Trouble> {
    let Some(disk) = machine.disks.iter().find(|disk| disk.path == path) else {
        let known = list(machine.disks.iter().map(ToString::to_string));
        return Err(Trouble::new(
            Code::DiskNotFound,
            format!(
                "{} is not a disk of this machine; its disks are: {known}",
                path.display()
            ),
        ));
    };
    if medium == Some(path) {
        return Err(Trouble::new(
            Code::DiskIsMedium,
            format!("{disk} holds the install medium"),
        ));
    }
    if disk.read_only {
        return Err(Trouble::new(
            Code::DiskReadOnly,
            format!("{disk} is write-protected"),
        ));
    }
    Ok(disk.clone())
}

fn only_one(machine: &Machine, medium: Option<&Path>) -> Result<Disk, Trouble> {
    let mut eligible = Vec::new();
    let mut rejected = Vec::new();
    for disk in &machine.disks {
        match why_not(disk, medium) {
            None => eligible.push(disk),
            Some(reason) => rejected.push(format!("{disk} {reason}")),
        }
    }
    match eligible.as_slice() {
        [disk] => Ok((*disk).clone()),
        [] if rejected.is_empty() => Err(Trouble::new(Code::NoDisk, "this machine has no disk")),
        [] => Err(Trouble::new(
            Code::NoDisk,
            format!(
                "no disk of this machine can be used: {}",
                list(rejected.into_iter())
            ),
        )),
        several => Err(Trouble::new(
            Code::SeveralDisks,
            format!(
                "{} disks could be meant and none is named: {}",
                several.len(),
                list(several.iter().map(ToString::to_string))
            ),
        )),
    }
}

/// Why `auto` does not take a disk; `None` if it may.
fn why_not(disk: &Disk, medium: Option<&Path>) -> Option<&'static str> {
    if medium == Some(disk.path.as_path()) {
        Some("holds the install medium")
    } else if disk.removable {
        Some("is removable")
    } else if disk.transport == Transport::Usb {
        Some("is attached by USB")
    } else if disk.read_only {
        Some("is write-protected")
    } else {
        None
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = items.collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Firmware;

    fn disk(name: &str, transport: Transport) -> Disk {
        Disk {
            name: name.into(),
            path: Path::new("/dev").join(name),
            size: 64 << 30,
            sector: 512,
            model: String::new(),
            serial: String::new(),
            transport,
            removable: false,
            read_only: false,
        }
    }

    fn machine(disks: Vec<Disk>) -> Machine {
        Machine {
            firmware: Firmware::Uefi,
            disks,
        }
    }

    #[test]
    fn auto_takes_the_only_fixed_disk_beside_stick_and_medium() {
        let stick = Disk {
            removable: true,
            ..disk("sda", Transport::Usb)
        };
        let machine = machine(vec![
            disk("nvme0n1", Transport::Nvme),
            stick,
            disk("sdb", Transport::Scsi),
        ]);
        let chosen = choose(&Wish::Auto, &machine, Some(Path::new("/dev/sdb"))).unwrap();
        assert_eq!(chosen.name, "nvme0n1");
    }

    #[test]
    fn auto_never_guesses_between_two() {
        let machine = machine(vec![
            disk("sda", Transport::Ata),
            disk("sdb", Transport::Ata),
        ]);
        let trouble = choose(&Wish::Auto, &machine, None).unwrap_err();
        assert_eq!(trouble.code, Code::SeveralDisks);
        assert!(trouble.reason.contains("/dev/sda") && trouble.reason.contains("/dev/sdb"));
    }

    #[test]
    fn auto_says_why_each_disk_was_left_out() {
        let machine = machine(vec![
            Disk {
                read_only: true,
                ..disk("sda", Transport::Ata)
            },
            disk("sdb", Transport::Usb),
        ]);
        let trouble = choose(&Wish::Auto, &machine, None).unwrap_err();
        assert_eq!(trouble.code, Code::NoDisk);
        assert!(trouble.reason.contains("write-protected") && trouble.reason.contains("USB"));
        let empty = choose(&Wish::Auto, &self::machine(vec![]), None).unwrap_err();
        assert_eq!(empty.reason, "this machine has no disk");
    }

    #[test]
    fn a_named_disk_must_exist_and_must_not_be_the_medium_or_protected() {
        let locked = Disk {
            read_only: true,
            ..disk("sdc", Transport::Ata)
        };
        let machine = machine(vec![
            disk("sda", Transport::Ata),
            disk("sdb", Transport::Usb),
            locked,
        ]);
        let named = |name: &str| {
            choose(
                &Wish::Path(name.into()),
                &machine,
                Some(Path::new("/dev/sda")),
            )
        };
        assert_eq!(named("/dev/sda").unwrap_err().code, Code::DiskIsMedium);
        assert_eq!(named("/dev/sdc").unwrap_err().code, Code::DiskReadOnly);
        assert_eq!(named("/dev/sdx").unwrap_err().code, Code::DiskNotFound);
        // A USB disk is fine when it is asked for by name.
        assert_eq!(named("/dev/sdb").unwrap().name, "sdb");
    }
}
