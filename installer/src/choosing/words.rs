//! What the pages say of disks.

use tui::Choice;
use tui::plain::human_bytes;

use super::Candidate;
use crate::contents::Owner;
use crate::machine::{Disk, Transport};

/// A disk in the list.
pub(super) fn row(candidate: &Candidate, wide: usize) -> Choice {
    let disk = &candidate.disk;
    let size = format!("{:>wide$}", human_bytes(disk.size));
    let serial = Some(&disk.serial).filter(|serial| !serial.is_empty());
    let serial = serial
        .map(|serial| format!("serial {serial}"))
        .unwrap_or_default();
    let drive = joined(&[bus(disk.transport).into(), serial]);
    let (enabled, text) = match &candidate.chosen_by {
        Ok(_) => (true, holds(disk)),
        Err(reason) => (false, reason.clone()),
    };
    Choice {
        cells: vec![disk.path.display().to_string(), size, disk.model.clone()],
        detail: format!("{drive}: {text}"),
        enabled,
    }
}

/// What is on a disk, for the list.
pub(super) fn holds(disk: &Disk) -> String {
    match &disk.contents {
        Some(contents) if contents.owner == Owner::Nobody => "empty".into(),
        Some(contents) => contents.to_string(),
        None => "nobody looked at what is on it".into(),
    }
}

/// What is lost with a disk.
pub(super) fn lost(disk: &Disk) -> String {
    match &disk.contents {
        Some(contents) if contents.owner == Owner::Nobody => "nothing: the disk is empty".into(),
        _ => holds(disk),
    }
}

pub(super) const fn bus(transport: Transport) -> &'static str {
    match transport {
        Transport::Fc => "Fibre Channel",
        Transport::Iscsi => "iSCSI",
        Transport::Loop => "loop device",
        Transport::Mmc => "eMMC or card",
        Transport::Nvme => "NVMe",
        Transport::Sas => "SAS",
        Transport::Sata => "SATA",
        Transport::Scsi => "SCSI",
        Transport::Usb => "USB",
        Transport::Virtio => "virtio",
        Transport::Other => "another bus",
    }
}

/// The first part of a reason: lists of disks stand behind a colon.
pub(super) fn gist(reason: &str) -> &str {
    reason.split_once(": ").map_or(reason, |(gist, _)| gist)
}

pub(super) fn joined(parts: &[String]) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(", ")
}
