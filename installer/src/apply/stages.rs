//! The operator's stages: their steps in a private folder in memory, the partitions under the names that operators
//! know, and what became of them.

use std::fs::{self, DirBuilder};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use host::Host;
use host::files::write_synced;
use sysroot::stage::{self, StageReport};
use sysroot::visit::{NewSystem, visit};

use super::Run;
use crate::code::{Code, OrTrouble, Trouble};
use crate::hooks::FAIL_INSTALLATION;
use crate::plan::{Origin, Within};
use crate::report::Event;

/// Where steps find a mounted partition, by its name (`reference/kairos.md` 1.4).
const COS: &str = "/run/cos";

/// The file of [`COS`] by which steps know that they do not run in an installed system.
const LIVE_MODE: &str = "live_mode";

/// How many failures, or lost files, are named one by one.
const NAMED: usize = 5;

/// The longest text of [`FAIL_INSTALLATION`] that is read, in bytes.
const REASON: u64 = 400;

impl<H: Host> Run<'_, H> {
    /// Runs a stage. Its failures are told and kept; only what leaves the partitions in use is an error, and the wish of
    /// a step that the install ends.
    pub(super) fn run_stage(
        &mut self,
        stage: &'static str,
        within: Within,
        origin: &Origin,
    ) -> Result<()> {
        let folder = self.tools.work.join("stage");
        if let Origin::UserData(text) = origin {
            write_private(&folder, &text.0).or_trouble(Code::WriteFailed)?;
        }
        let names = Names::make(&self.mounted);
        let ran = match within {
            Within::Installer => {
                let source = match origin {
                    Origin::UserData(_) => folder.clone(),
                    Origin::Oem => self.tools.work.join("oem"),
                };
                Ok(stage::run(
                    stage,
                    Path::new("/"),
                    &[source],
                    self.tools.host,
                ))
            }
            Within::NewSystem => {
                let source = match origin {
                    Origin::UserData(_) => folder.clone(),
                    Origin::Oem => PathBuf::from("/oem"),
                };
                self.run_inside(stage, source)
            }
        };
        drop(names);
        // It may hold what is not to be kept anywhere.
        drop(fs::remove_dir_all(&folder));
        self.tell_stage(ran?);
        if stage == "before-install" {
            stopped(Path::new(FAIL_INSTALLATION))?;
        }
        Ok(())
    }

    /// Runs a stage in the new system. A system that cannot be put together fails the stage, not the install.
    fn run_inside(&mut self, stage: &'static str, source: PathBuf) -> Result<StageReport> {
        let at = |name: &str| self.tools.work.join(name);
        let (state, oem, persistent) = (at("state"), at("oem"), at("persistent"));
        let system = NewSystem {
            state: &state,
            oem: &oem,
            persistent: &persistent,
            work: &at("new-system"),
        };
        let visited = visit(&system, self.tools.host, |host, root| {
            stage::run(stage, root, &[source], host)
        });
        for note in visited.notes {
            self.note(format!("the new system during {stage}: {note}"));
        }
        if !visited.lost.is_empty() {
            self.note(format!(
                "{stage} wrote {} that do not stay, since they are in the image or in memory: {}",
                count(visited.lost.len(), "file"),
                some_of(&visited.lost)
            ));
        }
        if !visited.left.is_empty() {
            bail!(Trouble::new(
                Code::MountFailed,
                format!(
                    "{stage} left something in use in the new system: {}",
                    visited.left.join("; ")
                )
            ));
        }
        Ok(visited.outcome.unwrap_or_else(|error| {
            StageReport::failed(stage, &state, format!("there is no new system: {error:#}"))
        }))
    }

    fn tell_stage(&mut self, report: StageReport) {
        let failures: Vec<String> = report.failures().map(ToString::to_string).collect();
        if failures.is_empty() {
            self.note(format!("{}: all steps are done", report.stage));
        } else {
            self.note(format!(
                "{}: {} failed; what they wrote is in stages.json beside the log",
                report.stage,
                count(failures.len(), "part")
            ));
            for failure in failures.into_iter().take(NAMED) {
                self.note(failure);
            }
        }
        self.stages.push(report);
    }

    fn note(&mut self, text: String) {
        (self.on_event)(&Event::Note { text });
    }
}

/// Writes the stage file where only root reads it.
fn write_private(folder: &Path, text: &[u8]) -> Result<()> {
    // What a killed run left behind.
    drop(fs::remove_dir_all(folder));
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making {}", folder.display()))?;
    write_synced(&folder.join("user-data.yaml"), text, 0o600)
}

/// Ends the install if a step asked for it.
fn stopped(file: &Path) -> Result<()> {
    let Ok(file) = fs::File::open(file) else {
        return Ok(());
    };
    let mut bytes = Vec::new();
    // A file that cannot be read asks for the same, without a reason.
    drop(file.take(REASON).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<&str> = text.split_whitespace().collect();
    let reason = match words.as_slice() {
        [] => "a step gave no reason".to_owned(),
        words => words.join(" "),
    };
    Err(Trouble::new(Code::StageStopped, format!("before-install: {reason}")).into())
}

/// The names in [`COS`], gone with this value; it never fails, for a step that needs them says so itself.
struct Names(Vec<PathBuf>);

impl Names {
    fn make(mounted: &[PathBuf]) -> Self {
        let mut made = Vec::new();
        let cos = Path::new(COS);
        drop(fs::create_dir_all(cos));
        for at in mounted {
            let name = cos.join(at.file_name().unwrap_or_default());
            if fs::symlink_metadata(&name).is_ok_and(|found| found.is_symlink()) {
                drop(fs::remove_file(&name));
            }
            if symlink(at, &name).is_ok() {
                made.push(name);
            }
        }
        let live = cos.join(LIVE_MODE);
        if !live.exists() && write_synced(&live, b"1", 0o644).is_ok() {
            made.push(live);
        }
        Self(made)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for name in &self.0 {
            drop(fs::remove_file(name));
        }
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn some_of(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED).cloned().collect::<Vec<_>>();
    if names.len() > NAMED {
        text.push("...".to_owned());
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_the_file_is_the_reason_and_no_file_asks_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fail_installation");
        stopped(&file).unwrap();
        for (text, reason) in [
            ("no  uplink\non eno1\n", "before-install: no uplink on eno1"),
            ("", "before-install: a step gave no reason"),
        ] {
            write_synced(&file, text.as_bytes(), 0o644).unwrap();
            let error = stopped(&file).unwrap_err();
            let trouble = crate::code::find(&error).unwrap();
            assert_eq!(
                (trouble.code, trouble.reason.as_str()),
                (Code::StageStopped, reason)
            );
        }
    }

    #[test]
    fn of_many_files_only_some_are_named() {
        let names: Vec<String> = (0..7).map(|n| format!("/{n}")).collect();
        assert_eq!(some_of(&names), "/0, /1, /2, /3, /4, ...");
        assert_eq!(some_of(&names[..1]), "/0");
        assert_eq!(
            (count(1, "part"), count(2, "part")),
            ("1 part".into(), "2 parts".into())
        );
    }
}
