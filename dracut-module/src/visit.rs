//! The new system, lent to a stage at the end of an install or a reset.
//!
//! It looks as it will after its first boot: the root of the active image, OEM at `/oem`, the persistent partition at
//! `/usr/local`, and the directories that persist bound from there. One thing differs: where a booted system refuses
//! a write or keeps it until the next start, memory takes it here, and what was written there is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use host::{Host, Mount};

use crate::apply::Assembly;
use crate::cmdline::{BootArgs, Fsck};
use crate::layout;
use crate::paths::Paths;
use crate::plan::{self, Step, Volume};
use crate::report::Report;
use crate::slots;
use crate::survey::{Attributes, Place, Survey};

/// Directories of the work folder, inner ones first.
const FOLDERS: [&str; 7] = [
    "sysroot",
    "run/landfall/image",
    "run/landfall/extra",
    "run/landfall",
    "run/overlay",
    "run",
    "",
];

/// Where the parts of a system are mounted that is not running.
#[derive(Debug, Clone, Copy)]
pub struct NewSystem<'a> {
    /// The state partition, with the images.
    pub state: &'a Path,
    /// The OEM partition.
    pub oem: &'a Path,
    /// The persistent partition.
    pub persistent: &'a Path,
    /// Folder for further mount points; it is made, and removed if nothing is left in it.
    pub work: &'a Path,
}

/// What became of a visit.
#[derive(Debug)]
pub struct Visited<T> {
    /// What the visitor returned, or why there is no system to visit.
    pub outcome: Result<T>,
    /// Directories that are not as they will be, each with its reason.
    pub notes: Vec<String>,
    /// Files that were written where nothing stays: paths in the new system, sorted.
    pub lost: Vec<String>,
    /// What could not be undone; the partitions are still in use then.
    pub left: Vec<String>,
}

/// Lends the root of the new system to `visitor`, and undoes all mounts on every path.
pub fn visit<H: Host, T>(
    system: &NewSystem<'_>,
    host: &mut H,
    visitor: impl FnOnce(&mut H, &Path) -> T,
) -> Visited<T> {
    let paths = Paths {
        prefix: system.work.to_owned(),
        ..Paths::default()
    };
    let mut assembly = Assembly {
        host,
        paths: &paths,
        fsck: Fsck::default(),
        image_id: String::new(),
        lost: Vec::new(),
        report: Report::default(),
        mounts: Vec::new(),
        loops: Vec::new(),
    };
    let mut notes = Vec::new();
    let outcome = assembly
        .new_system(system, &mut notes)
        .map(|()| visitor(assembly.host, &paths.new_root()));
    let mut lost = Vec::new();
    collect_files(&upper(&paths), Path::new("/"), &mut lost);
    lost.sort();
    let left = assembly.undo();
    if left.is_empty() {
        for folder in FOLDERS {
            // One that is not empty stays: somebody else uses it.
            drop(fs::remove_dir(system.work.join(folder)));
        }
    }
    Visited {
        outcome,
        notes,
        lost,
        left,
    }
}

fn upper(paths: &Paths) -> PathBuf {
    paths.at("/run/overlay/root")
}

impl<H: Host> Assembly<'_, H> {
    fn new_system(&mut self, system: &NewSystem<'_>, notes: &mut Vec<String>) -> Result<()> {
        let slots = slots::read_slots(system.state);
        let active = slots.iter().find(|slot| slot.file.ends_with("active.img"));
        let active = active.context("the state partition has no active.img")?;
        let root = active
            .root
            .as_ref()
            .map_err(|reason| anyhow!("{}: {reason}", active.file.display()))?;
        self.image_id.clone_from(&root.image_id);
        self.mount_slot(active, root)?;

        let (lists, unreadable) = layout::read_install_lists(system.oem);
        notes.extend(unreadable);
        let layout = layout::decide(&BTreeMap::new(), &lists, &BootArgs::default());
        let survey = Survey::of(&self.paths.image(), &plan::wanted(&layout));
        let persistent = Volume {
            name: "COS_PERSISTENT".to_owned(),
            device: None,
            read_only: false,
        };
        let root_plan = plan::plan(&layout, &survey, &persistent, &[], self.paths);
        notes.extend(root_plan.refused);
        for step in &root_plan.steps {
            self.visit_step(step, system, &survey, notes)?;
        }
        Ok(())
    }

    /// Does a step of a boot as a visit needs it.
    fn visit_step(
        &mut self,
        step: &Step,
        system: &NewSystem<'_>,
        survey: &Survey,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let memory = self.paths.at("/run/overlay");
        match step {
            Step::Mount { mount, .. } if mount.target == self.paths.new_root() => {
                self.mount_making(&Mount::new("tmpfs", &memory, "tmpfs").options("mode=0755"))?;
                self.mount_writable_root(&mount.options, survey)
            }
            // It is there since the root was mounted.
            Step::Mount { mount, .. } if mount.target == memory => Ok(()),
            Step::Mount { .. } | Step::ExtraLayer { .. } => self.carry_out(step).map(drop),
            Step::MoveOem => {
                let at = self.paths.in_root("/oem");
                self.mount(Mount::bind(system.oem, at))
            }
            Step::Volume { at, .. } => self.mount(Mount::bind(system.persistent, at)),
            Step::Persist { path, .. } => {
                if let Err(error) = self.carry_out(step) {
                    notes.push(format!(
                        "{} does not persist here: {error:#}",
                        path.display()
                    ));
                }
                Ok(())
            }
            // The root takes every write, and the rest is a boot's own business.
            Step::Overlay { .. } | Step::MachineId | Step::Fstab => Ok(()),
        }
    }

    fn mount_writable_root(&mut self, lower: &str, survey: &Survey) -> Result<()> {
        let (upper, work) = (upper(self.paths), self.paths.at("/run/overlay/work"));
        let root = Path::new("/");
        let attributes = match survey.place(root) {
            Place::Directory(attributes) => attributes,
            _ => Attributes::new_directory(root),
        };
        crate::apply::make_directory(&upper, attributes)?;
        crate::apply::make_directory(&work, Attributes::new_directory(&work))?;
        let options = format!(
            "{lower},upperdir={},workdir={}",
            upper.display(),
            work.display()
        );
        let at = self.paths.new_root();
        self.mount_making(&Mount::new("overlay", at, "overlay").options(options))
            .map(drop)
    }
}

/// The files below `folder` by the names that they have below `name`; a directory that was made is not worth a word.
fn collect_files(folder: &Path, name: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = name.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect_files(&entry.path(), &name, found),
            _ => found.push(name.display().to_string()),
        }
    }
}

#[cfg(test)]
#[path = "visit_tests.rs"]
mod tests;
