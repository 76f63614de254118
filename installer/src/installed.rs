//! A medium that stays in the machine, or a network that comes first: what keeps the installer from installing again.
//!
//! Before anything is planned, every disk is asked whether it holds a finished installation. If one does, nobody chose to
//! install again and the user-data bring no new `landfall.nonce`, then nothing is installed; [`mod@hold`] says so.

use std::fs;
use std::path::Path;

use host::{Host, Mount};
use partition::{Role, SectorSize, read_back};
use userdata::Mode;
use uuid::Uuid;

use crate::apply::{esp_readable, is_unfinished, lend, read_at};
use crate::bootloader::{NONCE, SYSTEM};
use crate::machine::Disk;
use crate::plan::{ESP_BOOT, env};
use crate::superblock;

pub(crate) mod guard;
pub mod hold;

/// Kernel argument: somebody chose to install again, although a system is installed.
pub const REINSTALL: &str = "landfall.reinstall";

/// The same, and what somebody chose is that the data stay.
pub const REINSTALL_KEEPING: &str = "landfall.reinstall=keep-data";

/// How somebody chose to install again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// As the user-data say.
    AsWritten,
    /// With the data that are there, whatever the user-data say.
    KeepData,
}

impl Again {
    /// Reads a word of the kernel command line.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            REINSTALL => Some(Self::AsWritten),
            REINSTALL_KEEPING => Some(Self::KeepData),
            _ => None,
        }
    }

    /// What of the user-data it replaces.
    pub const fn mode(self) -> Option<Mode> {
        match self {
            Self::AsWritten => None,
            Self::KeepData => Some(Mode::KeepData),
        }
    }
}

/// Numbers and names of the partitions that are looked at; GRUB on a medium takes them by the same numbers.
const ESP: (u32, &str) = (2, "efi");
const STATE: (u32, &str) = (5, "state");

/// The state partition of an MBR, which has no names and no EFI system partition.
const STATE_ON_MBR: u32 = 3;

/// The menu on the state partition.
const MENU: &str = "grub2/grub.cfg";

/// A disk with a finished installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The disk.
    pub disk: Disk,
    /// GUID of its EFI system partition; `None` where its table is not sound.
    pub esp: Option<Uuid>,
    /// What was installed, in words; `None` where the disk does not tell.
    pub system: Option<String>,
    /// `landfall.nonce` of that install; empty if it had none.
    pub nonce: String,
}

/// A partition where the kernel sees it; a table that is not sound in every respect is still a table to it, and to GRUB.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    number: u32,
    /// An MBR has none.
    name: Option<String>,
    start: u64,
    size: u64,
}

/// Looks at every disk but the medium's. Nothing is written: partitions are opened read-only, and without their journal.
///
/// `sys` is `/sys` but in tests; `work` is an existing folder for mount points.
pub fn find(
    sys: &Path,
    disks: &[Disk],
    medium: Option<&Path>,
    work: &Path,
    host: &mut impl Host,
) -> Vec<Installed> {
    let disks = disks.iter().filter(|disk| medium != Some(&disk.path));
    disks
        .filter_map(|disk| look(disk, &partitions(sys, &disk.name), work, host))
        .collect()
}

/// Whether the user-data ask for another install, by a nonce that no installed disk knows. A disk that does not tell
/// what it knows is left alone.
pub fn is_renewed(installed: &[Installed], nonce: Option<&str>) -> bool {
    nonce.is_some_and(|nonce| {
        let mut all = installed.iter();
        all.all(|one| one.system.is_some() && one.nonce != nonce)
    })
}

fn look(disk: &Disk, seen: &[Seen], work: &Path, host: &mut impl Host) -> Option<Installed> {
    let numbered = |number: u32, name: Option<&str>| {
        let mut all = seen.iter();
        all.find(|part| part.number == number && part.name.as_deref() == name)
    };
    let file = fs::File::open(&disk.path).ok()?;
    // The boot sector is written when everything else is.
    if is_unfinished(&read_at(&file, 0, 512).ok()?) {
        return None;
    }
    let on_gpt = numbered(ESP.0, Some(ESP.1)).zip(numbered(STATE.0, Some(STATE.1)));
    let state = match on_gpt {
        // The boot file gets its name just before the boot sector.
        Some((esp, state)) => has_boot_file(disk, esp, work, host).then_some(state)?,
        None => numbered(STATE_ON_MBR, None).filter(|part| is_state(&file, part))?,
    };
    let told = read_state(disk, state, work, host);
    // On an MBR, what cannot be read may be an installation; one without a menu is none.
    if on_gpt.is_none() && told.as_ref().is_some_and(|told| !told.menu) {
        return None;
    }
    let told = told.and_then(|told| told.variables);
    let value = |name: &str| told.as_ref().map(|told| env::value(told, name).to_owned());
    Some(Installed {
        disk: disk.clone(),
        esp: on_gpt.and_then(|_| guid(disk, ESP.0)),
        system: value(SYSTEM).filter(|text| !text.is_empty()),
        nonce: value(NONCE).unwrap_or_default(),
    })
}

fn has_boot_file(disk: &Disk, esp: &Seen, work: &Path, host: &mut impl Host) -> bool {
    let found = lend(disk, (esp.start, esp.size), host, |device, host| {
        Some(esp_readable(
            host,
            device,
            ESP_BOOT,
            &work.join("boot-file"),
        ))
    });
    found.unwrap_or(false)
}

/// Whether a partition without a name carries the label of a state partition.
fn is_state(disk: &fs::File, part: &Seen) -> bool {
    let superblock = part.start.checked_add(superblock::OFFSET);
    let bytes = superblock.and_then(|at| read_at(disk, at, superblock::LENGTH).ok());
    let found = bytes.and_then(|bytes| superblock::read(&bytes));
    found.is_some_and(|found| Some(found.label.as_str()) == Role::State.filesystem_label())
}

/// What a state partition tells.
struct State {
    /// [`MENU`] is there.
    menu: bool,
    /// The environment of GRUB.
    variables: Option<env::Variables>,
}

fn read_state(disk: &Disk, state: &Seen, work: &Path, host: &mut impl Host) -> Option<State> {
    let at = work.join("state");
    fs::create_dir_all(&at).ok()?;
    lend(disk, (state.start, state.size), host, |device, host| {
        // Even a read-only mount replays the journal, which writes; the file that is read is never moved by one.
        let mount = Mount::new(device, &at, "ext4")
            .read_only()
            .options("noload");
        host.mount(&mount).ok()?;
        let block = fs::read(at.join("grub_oem_env"));
        let menu = at.join(MENU).is_file();
        host.unmount(&at).ok()?;
        Some(State {
            menu,
            variables: block.ok().and_then(|block| env::parse(&block)),
        })
    })
}

/// The partitions of a disk as the kernel lists them.
fn partitions(sys: &Path, disk: &str) -> Vec<Seen> {
    let folder = sys.join("class/block").join(disk);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| partition(&entry.path()))
        .collect()
}

/// Starts and lengths in sysfs are in units of 512 bytes, whatever the sector size is.
fn partition(entry: &Path) -> Option<Seen> {
    let number = |file: &str| -> Option<u64> {
        fs::read_to_string(entry.join(file))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let uevent = fs::read_to_string(entry.join("uevent")).ok()?;
    let mut lines = uevent.lines();
    let name = lines.find_map(|line| line.strip_prefix("PARTNAME="));
    Some(Seen {
        number: u32::try_from(number("partition")?).ok()?,
        name: name.map(str::to_owned),
        start: number("start")?.checked_mul(512)?,
        size: number("size")?.checked_mul(512)?,
    })
}

fn guid(disk: &Disk, number: u32) -> Option<Uuid> {
    let sector = SectorSize::try_from(u64::from(disk.sector)).ok()?;
    let table = read_back(&mut fs::File::open(&disk.path).ok()?, sector).ok()?;
    let mut all = table.partitions.iter();
    all.find(|partition| partition.number == number)
        .map(|partition| partition.guid)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    fn installed(system: Option<&str>, nonce: &str) -> Installed {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        File::create(&path).unwrap();
        Installed {
            disk: crate::machine::image_file(&path).unwrap(),
            esp: None,
            system: system.map(str::to_owned),
            nonce: nonce.to_owned(),
        }
    }

    #[test]
    fn only_a_nonce_that_no_disk_knows_asks_for_another_install() {
        let (old, new) = (installed(Some("1.0"), "a"), installed(Some("1.0"), "b"));
        assert!(is_renewed(std::slice::from_ref(&old), Some("b")));
        assert!(is_renewed(&[installed(Some("1.0"), "")], Some("b")));
        assert!(!is_renewed(std::slice::from_ref(&old), Some("a")));
        assert!(!is_renewed(std::slice::from_ref(&old), None));
        assert!(!is_renewed(&[old, new], Some("b")));
    }

    #[test]
    fn a_disk_that_does_not_tell_what_it_knows_is_left_alone() {
        assert!(!is_renewed(&[installed(None, "")], Some("b")));
    }

    #[test]
    fn partitions_are_read_as_the_kernel_lists_them() {
        let sys = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let path = sys.path().join("class/block/nvme0n1").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create(path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        };
        put("queue/uevent", "");
        put("nvme0n1p5/partition", "5\n");
        put("nvme0n1p5/start", "4096\n");
        put("nvme0n1p5/size", "8\n");
        put(
            "nvme0n1p5/uevent",
            "DEVTYPE=partition\nPARTN=5\nPARTNAME=state\n",
        );
        put("nvme0n1p6/uevent", "PARTN=6\n");
        let state = Seen {
            number: 5,
            name: Some("state".to_owned()),
            start: 4096 * 512,
            size: 4096,
        };
        assert_eq!(partitions(sys.path(), "nvme0n1"), [state]);
        assert_eq!(partitions(sys.path(), "sda"), []);
    }
}
