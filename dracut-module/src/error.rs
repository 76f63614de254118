//! Why a system does not start: numbered, one sentence, the next action.

use std::path::PathBuf;

/// What ends the assembly of the root. Everything else is recorded and the boot goes on.
///
/// The code (`LF-B..`) stands first in the message; it is stable and has a page in `docs/`.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The initramfs does not say which image it belongs to.
    #[error(
        "LF-B01: this initramfs carries no image id ({}: {reason}); boot the other entry of the menu or recovery",
        file.display()
    )]
    NoImageId {
        /// Where the id was expected.
        file: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The disk that GRUB booted from did not appear.
    #[error(
        "LF-B02: no state partition with PARTUUID {partuuid} appeared within {seconds} s (partitions seen: {seen}); \
         check the disk and its cable, then boot again"
    )]
    StateMissing {
        /// What the command line asked for; `(any)` if it asked for nothing.
        partuuid: String,
        /// How long was waited, in seconds.
        seconds: u64,
        /// The partitions that are there.
        seen: String,
    },
    /// Several disks could be meant and nothing says which.
    #[error(
        "LF-B03: several disks have a state partition ({candidates}) and the kernel command line names none; \
         add landfall.state=<PARTUUID> or unplug the other disk"
    )]
    StateAmbiguous {
        /// Nodes of the candidates.
        candidates: String,
    },
    /// The state partition is there and cannot be read.
    #[error("LF-B04: the state partition {} cannot be mounted ({reason}); choose `reset` in the boot menu, or install again", device.display())]
    StateUnreadable {
        /// Its node.
        device: PathBuf,
        /// The kernel's words.
        reason: String,
    },
    /// No file in the state partition has the wanted id.
    #[error(
        "LF-B05: no image with id {id} in the state partition {} (found: {found}); boot the other entry of the menu, \
         or `reset`, or install again",
        device.display()
    )]
    ImageMissing {
        /// Id of the image that this initramfs belongs to.
        id: String,
        /// Node of the state partition.
        device: PathBuf,
        /// What the image files there are, or why they cannot be read.
        found: String,
    },
    /// The image is there and its root cannot be mounted.
    #[error("LF-B06: the root of {} cannot be mounted ({reason}); boot the other entry of the menu", image.display())]
    RootUnusable {
        /// The image file.
        image: PathBuf,
        /// What failed.
        reason: String,
    },
    /// Recovery and reset run the installer, never a root.
    #[error(
        "LF-B07: the command line asks for {what}, which runs the installer; nothing was mounted"
    )]
    NotThisMode {
        /// The word on the command line.
        what: &'static str,
    },
}
