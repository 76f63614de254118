//! The raw disk: wiping, the partition table, the boot sector.

use std::fs::File;
use std::io::Result as IoResult;
use std::os::unix::fs::FileExt;

use super::unfinished;
use anyhow::{Context, Result, ensure};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use partition::{
    ByteRange, Layout, Table, mbr_sector, protective_mbr, read_back, write_gpt, write_mbr,
};

static ZEROES: [u8; 1 << 16] = [0; 1 << 16];

/// Overwrites ranges with zeroes and syncs: from here on the old system does not boot.
pub(super) fn wipe(disk: &File, ranges: &[ByteRange]) -> Result<()> {
    for range in ranges {
        let mut at = range.start.get();
        let end = at + range.size.get();
        while at < end {
            let piece = usize::try_from(end - at)
                .unwrap_or(ZEROES.len())
                .min(ZEROES.len());
            disk.write_all_at(&ZEROES[..piece], at)
                .with_context(|| format!("wiping at byte {at}"))?;
            at += piece as u64;
        }
    }
    disk.sync_all().context("syncing the disk")
}

/// Writes the table, a GPT with both copies, with boot code that says that the disk is not finished, and reads them back.
pub(super) fn write(mut disk: &File, layout: &Layout) -> Result<()> {
    let code = unfinished::boot_code();
    match layout.table() {
        Table::Gpt => write_gpt(layout, &mut disk, Some(&code)),
        Table::Mbr => write_mbr(layout, &mut disk, Some(&code)),
    }
    .context("writing the partition table")?;
    disk.sync_all().context("syncing the disk")?;
    forget(disk).context("dropping the page cache of the disk")?;
    let read = read_back(&mut disk, layout.geometry().sector)
        .context("reading the partition table back")?;
    read.verify(layout)
        .context("reading the partition table back")
}

/// Drops the clean pages of a disk or file, so that the next read comes from the device.
pub(super) fn forget(disk: &File) -> IoResult<()> {
    Ok(posix_fadvise(
        disk,
        0,
        0,
        PosixFadviseAdvice::POSIX_FADV_DONTNEED,
    )?)
}

/// Writes bytes somewhere on the disk, syncs, and reads them back.
pub(super) fn write_at(disk: &File, offset: u64, bytes: &[u8]) -> Result<()> {
    disk.write_all_at(bytes, offset)
        .with_context(|| format!("writing at byte {offset}"))?;
    disk.sync_all().context("syncing the disk")?;
    ensure!(
        read_at(disk, offset, bytes.len())? == bytes,
        "byte {offset} and after came back differently"
    );
    Ok(())
}

/// Writes sector 0 with boot code: the protective MBR of a GPT, `active` or not, or an MBR, whose state partition always
/// is.
pub(super) fn write_boot_sector(
    disk: &File,
    layout: &Layout,
    boot_code: &[u8],
    active: bool,
) -> Result<()> {
    let mut code = [0; 440];
    if !boot_code.is_empty() {
        ensure!(
            boot_code.len() == code.len(),
            "the boot code has {} bytes, not 440",
            boot_code.len()
        );
        code.copy_from_slice(boot_code);
    }
    let sector = match layout.table() {
        Table::Gpt => protective_mbr(layout, &code, active)?,
        Table::Mbr => mbr_sector(layout, &code)?,
    };
    write_at(disk, 0, &sector)
}

/// Reads so many bytes from somewhere on the disk, past the page cache: clean pages are dropped before.
pub(crate) fn read_at(disk: &File, offset: u64, length: usize) -> IoResult<Vec<u8>> {
    forget(disk)?;
    let mut bytes = vec![0; length];
    disk.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
