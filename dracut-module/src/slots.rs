//! Which image file belongs to this initramfs.
//!
//! GRUB does not replay an ext4 journal and the kernel does, so after a power cut the two can see different names. The
//! initramfs carries the id of its own image; the file that has this id is mounted, whatever it is called.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::cmdline::BootArgs;
use crate::error::BootError;
use crate::paths::Paths;

/// Directory of the images on the state partition.
const IMAGES: &str = "cOS";

/// Which boot this is, as Kairos tools are told by a sentinel in `/run/cos`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The newest system.
    Active,
    /// The one before.
    Passive,
}

impl Mode {
    /// Name of the sentinel file.
    pub fn sentinel(self) -> &'static str {
        match self {
            Self::Active => "active_mode",
            Self::Passive => "passive_mode",
        }
    }
}

/// One image file on the state partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The file.
    pub file: PathBuf,
    /// What its footer says, or why it cannot be read.
    pub root: Result<SlotRoot, String>,
}

/// The part of a footer that the boot needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRoot {
    /// Id of the image: 32 hex digits.
    pub image_id: String,
    /// First byte of the EROFS root.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// Reads the id of the image that this initramfs belongs to: `/etc/landfall/image-id`, 32 hex digits and a newline.
pub fn read_image_id(paths: &Paths) -> Result<String, BootError> {
    let file = paths.at("/etc/landfall/image-id");
    let refuse = |reason: String| BootError::NoImageId {
        file: file.clone(),
        reason,
    };
    let text = fs::read_to_string(&file).map_err(|error| refuse(error.to_string()))?;
    let id = text.trim();
    if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(id.to_ascii_lowercase())
    } else {
        Err(refuse("not 32 hex digits".to_owned()))
    }
}

/// Reads the footers of all image files of a mounted state partition, the contract's names first.
pub fn read_slots(state: &Path) -> Vec<Slot> {
    let mut files: Vec<PathBuf> = fs::read_dir(state.join(IMAGES))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "img"));
    files.sort_by_key(|file| (rank(file), file.clone()));
    files
        .into_iter()
        .map(|file| Slot {
            root: read_root(&file),
            file,
        })
        .collect()
}

fn rank(file: &Path) -> usize {
    ["active.img", "passive.img", "transition.img"]
        .iter()
        .position(|name| file.ends_with(name))
        .unwrap_or(usize::MAX)
}

fn read_root(file: &Path) -> Result<SlotRoot, String> {
    let mut opened = File::open(file).map_err(|error| error.to_string())?;
    let footer = image::read_footer(&mut opened).map_err(|error| error.to_string())?;
    Ok(SlotRoot {
        image_id: footer.image_id.to_string(),
        offset: footer.root.offset,
        length: footer.root.length,
    })
}

/// The slot that has the id; of several (a fresh disk has the same image twice) the one named on the command line.
pub fn choose<'a>(
    slots: &'a [Slot],
    id: &str,
    args: &BootArgs,
    device: &Path,
) -> Result<(&'a Slot, &'a SlotRoot), BootError> {
    let fitting: Vec<(&Slot, &SlotRoot)> = slots
        .iter()
        .filter_map(|slot| Some((slot, slot.root.as_ref().ok()?)))
        .filter(|(_, root)| root.image_id == id)
        .collect();
    let wanted = args.wanted_image.as_deref().and_then(Path::file_name);
    fitting
        .iter()
        .find(|(slot, _)| wanted.is_some() && slot.file.file_name() == wanted)
        .or_else(|| fitting.first())
        .copied()
        .ok_or_else(|| BootError::ImageMissing {
            id: id.to_owned(),
            device: device.to_owned(),
            found: list(slots),
        })
}

/// The mode is that of the file which runs; for a file with another name (an interrupted upgrade) the wish decides.
pub fn mode(file: &Path, args: &BootArgs) -> Mode {
    let wants_passive = args.wanted_label.as_deref() == Some("COS_PASSIVE");
    if file.ends_with("passive.img") || (wants_passive && !file.ends_with("active.img")) {
        Mode::Passive
    } else {
        Mode::Active
    }
}

fn list(slots: &[Slot]) -> String {
    if slots.is_empty() {
        return "no image file".to_owned();
    }
    let told: Vec<String> = slots
        .iter()
        .map(|slot| {
            let name = slot.file.file_name().unwrap_or_default().to_string_lossy();
            match &slot.root {
                Ok(root) => format!("{name} {}", root.image_id),
                Err(reason) => format!("{name}: {reason}"),
            }
        })
        .collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    fn slot(name: &str, id: &str) -> Slot {
        Slot {
            file: Path::new("/state/cOS").join(name),
            root: Ok(SlotRoot {
                image_id: id.to_owned(),
                offset: 1 << 20,
                length: 4096,
            }),
        }
    }

    fn wanting(name: &str) -> BootArgs {
        BootArgs::parse(&format!("cos-img/filename=/cOS/{name}"))
    }

    #[test]
    fn the_file_with_the_id_wins_and_the_name_only_breaks_a_tie() {
        type Files = &'static [(&'static str, &'static str)];
        let table: [(Files, &str, &str); 5] = [
            (
                &[("active.img", NEW), ("passive.img", OLD)],
                "active.img",
                "active.img",
            ),
            (
                &[("active.img", OLD), ("passive.img", NEW)],
                "active.img",
                "passive.img",
            ),
            (
                &[("active.img", NEW), ("passive.img", NEW)],
                "passive.img",
                "passive.img",
            ),
            (
                &[("active.img", NEW), ("passive.img", NEW)],
                "gone.img",
                "active.img",
            ),
            (
                &[("passive.img", OLD), ("transition.img", NEW)],
                "active.img",
                "transition.img",
            ),
        ];
        for (files, wanted, expected) in table {
            let slots: Vec<Slot> = files.iter().map(|(name, id)| slot(name, id)).collect();
            let (chosen, _) =
                choose(&slots, NEW, &wanting(wanted), Path::new("/dev/vda5")).unwrap();
            assert!(
                chosen.file.ends_with(expected),
                "{files:?} wanting {wanted}"
            );
        }
    }

    #[test]
    fn without_a_match_the_error_lists_what_is_there() {
        let mut broken = slot("passive.img", OLD);
        broken.root = Err("no footer".to_owned());
        let slots = [slot("active.img", OLD), broken];
        let error =
            choose(&slots, NEW, &wanting("active.img"), Path::new("/dev/vda5")).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("LF-B05"), "{text}");
        assert!(
            text.contains(&format!("active.img {OLD}, passive.img: no footer")),
            "{text}"
        );
    }

    #[test]
    fn the_mode_is_that_of_the_file_that_runs() {
        let table = [
            ("active.img", "root=LABEL=COS_PASSIVE", Mode::Active),
            ("passive.img", "root=LABEL=COS_ACTIVE", Mode::Passive),
            ("transition.img", "root=LABEL=COS_PASSIVE", Mode::Passive),
            ("transition.img", "root=LABEL=COS_ACTIVE", Mode::Active),
        ];
        for (file, line, expected) in table {
            let file = Path::new("/state/cOS").join(file);
            assert_eq!(mode(&file, &BootArgs::parse(line)), expected, "{line}");
        }
    }

    #[test]
    fn an_id_that_is_missing_or_torn_is_refused() {
        let tree = Tree::new();
        assert!(
            read_image_id(&tree.paths)
                .unwrap_err()
                .to_string()
                .starts_with("LF-B01")
        );
        tree.file("etc/landfall/image-id", b"0123\n");
        assert!(read_image_id(&tree.paths).is_err());
        tree.file("etc/landfall/image-id", format!("{NEW}\n").as_bytes());
        assert_eq!(read_image_id(&tree.paths).unwrap(), NEW);
    }

    #[test]
    fn a_file_without_a_footer_is_listed_and_other_files_are_not_images() {
        let tree = Tree::new();
        tree.file("state/cOS/passive.img", b"short");
        tree.file("state/cOS/active.img", &[0; 8192]);
        tree.file("state/cOS/notes.txt", b"");
        let slots = read_slots(&tree.at("state"));
        assert_eq!(slots.len(), 2);
        assert!(slots[0].file.ends_with("active.img"));
        assert!(slots.iter().all(|slot| slot.root.is_err()));
    }
}
