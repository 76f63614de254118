//! GRUB's environment block on OEM, through a reset or a repair.

use anyhow::Result;

use super::super::{Content, NEXT_ENTRY, Place, REGISTRATION, SAVED_ENTRY, Step, render};
use super::super::{env, keep};
use super::{Depth, Found};
use crate::code::{Code, OrTrouble};

/// The entry that resets.
const RESET_ENTRY: &str = "statereset";

/// The environment block on OEM: as it stays, and as it is while the data is being erased.
pub(super) struct Environment {
    pub(super) kept: Vec<u8>,
    /// Makes GRUB start the reset again after a power cut: a half-made persistent partition boots nothing else. `None`
    /// if the operator's variables leave no room for it.
    marked: Option<Vec<u8>>,
}

impl Environment {
    /// A sound block stays as it is, byte for byte, but for the entry that the machine starts next.
    pub(super) fn of(found: &Found, depth: Depth) -> Result<Self> {
        let read = found.grubenv.as_deref().and_then(env::parse);
        let mut variables = read.clone().unwrap_or_else(|| found.grub_options.clone());
        if depth == Depth::Reset {
            env::set(&mut variables, SAVED_ENTRY, REGISTRATION);
        }
        keep::settle_entries(&mut variables, found.cluster_stages);
        let kept = match &found.grubenv {
            Some(bytes) if read.as_ref() == Some(&variables) => bytes.clone(),
            _ => render(&variables).or_trouble(Code::RecoveryDisk)?,
        };
        env::set(&mut variables, NEXT_ENTRY, RESET_ENTRY);
        Ok(Self {
            kept,
            marked: render(&variables).ok(),
        })
    }

    pub(super) fn mark(&self) -> Option<Step> {
        self.marked
            .clone()
            .map(|block| overwrite(block, "make an interrupted reset start again by itself"))
    }

    pub(super) fn clear_mark(&self) -> Option<Step> {
        let purpose = "let the machine start into the new system";
        self.marked
            .as_ref()
            .map(|_| overwrite(self.kept.clone(), purpose))
    }
}

fn overwrite(block: Vec<u8>, purpose: &'static str) -> Step {
    Step::Overwrite {
        to: Place::new("oem", "grubenv"),
        content: Content(block),
        purpose,
    }
}
