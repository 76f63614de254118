//! The EFI system partition, written through mtools: no kernel needs to know FAT for it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use host::{Argv, Host};

use super::{Run, table};
use crate::code::{Code, OrTrouble, Trouble};
use crate::plan::{Content, ESP_BOOT, ESP_WAITING};

impl<H: Host> Run<'_, H> {
    /// Makes folders and files; the boot file keeps its waiting name. Files that an interrupted run left waiting are
    /// replaced (`-D o`).
    pub(super) fn fill_esp(
        &mut self,
        device: &Path,
        folders: &[String],
        copies: &[(String, String)],
        files: &[(String, Content)],
    ) -> Result<()> {
        for folder in folders {
            self.mtools("mmd", device, &[&dos(folder)])?;
        }
        for (from, to) in copies {
            let source = self.tools.payload.folder.join(from);
            self.mtools(
                "mcopy",
                device,
                &["-D", "o", &source.to_string_lossy(), &dos(to)],
            )?;
        }
        sync(device)?;
        for (from, to) in copies {
            self.verify_on_esp(device, from, to)?;
        }
        for (to, content) in files {
            let name = Path::new(to).file_name().context("a file without a name")?;
            let staged = self.tools.work.join(name);
            let mut file =
                File::create(&staged).with_context(|| format!("creating {}", staged.display()))?;
            file.write_all(&content.0).or_trouble(Code::WriteFailed)?;
            drop(file);
            self.mtools(
                "mcopy",
                device,
                &["-D", "o", &staged.to_string_lossy(), &dos(to)],
            )?;
            std::fs::remove_file(&staged)
                .with_context(|| format!("removing {}", staged.display()))?;
        }
        sync(device)
    }

    /// Reads a file of the payload back from the partition: the medium may have changed since it was looked through, and
    /// what firmware starts must be what the manifest names.
    fn verify_on_esp(&mut self, device: &Path, from: &str, to: &str) -> Result<()> {
        let back = self.tools.work.join("read-back");
        self.mtools(
            "mcopy",
            device,
            &["-D", "o", &dos(to), &back.to_string_lossy()],
        )?;
        let found = File::open(&back).and_then(image::Digest::of_reader);
        drop(std::fs::remove_file(&back));
        let listed = self.tools.payload.manifest.file(from);
        if listed.map(|file| file.blake3) == found.ok() {
            return Ok(());
        }
        bail!(Trouble::new(
            Code::ReadBackDiffers,
            format!("{to}: not what the manifest names {from}")
        ))
    }

    /// Gives the boot file the name that firmware looks for: one directory entry changes.
    pub(super) fn name_boot_file(&mut self, device: &Path) -> Result<()> {
        self.name_esp_files(device, &[(ESP_WAITING.to_owned(), ESP_BOOT.to_owned())])
    }

    /// Gives waiting files their names, one by one; a file that has the name is replaced.
    pub(super) fn name_esp_files(
        &mut self,
        device: &Path,
        names: &[(String, String)],
    ) -> Result<()> {
        for (from, to) in names {
            self.mtools("mren", device, &["-D", "o", &dos(from), &dos(to)])?;
            sync(device)?;
        }
        Ok(())
    }

    /// Takes the boot file's name away again.
    pub(super) fn unname_boot_file(&mut self, device: &Path) -> Result<()> {
        self.mtools("mren", device, &[&dos(ESP_BOOT), &dos(ESP_WAITING)])?;
        sync(device)
    }

    fn mtools(&mut self, program: &str, device: &Path, args: &[&str]) -> Result<()> {
        let argv = mtools(program, device).args(args);
        self.tools.host.run(&argv).or_trouble(Code::ProgramFailed)?;
        Ok(())
    }
}

/// A program of mtools on the FAT of a device; what follows are its arguments.
fn mtools(program: &str, device: &Path) -> Argv {
    Argv::new(program)
        .env("MTOOLSRC", "/dev/null")
        // The geometry fields of the boot sector mean nothing to us, and mtools would compare them.
        .env("MTOOLS_SKIP_CHECK", "1")
        .arg("-i")
        .arg(device)
}

/// Whether a file of the EFI system partition can be read; `scratch` is where it is read to.
pub(crate) fn readable(host: &mut impl Host, device: &Path, path: &str, scratch: &Path) -> bool {
    let argv = mtools("mcopy", device)
        .args(["-D", "o", &dos(path)])
        .arg(scratch);
    let read = host.run(&argv).is_ok();
    drop(std::fs::remove_file(scratch));
    read
}

/// mtools calls the root of its drive `::`.
fn dos(path: &str) -> String {
    format!("::{path}")
}

fn sync(device: &Path) -> Result<()> {
    let file = File::open(device).with_context(|| format!("opening {}", device.display()))?;
    file.sync_all().or_trouble(Code::WriteFailed)?;
    // What is read next comes from the disk, not from memory.
    table::forget(&file).or_trouble(Code::WriteFailed)
}
