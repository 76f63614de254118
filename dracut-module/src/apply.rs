//! Carries a plan out, and decides nothing but what to do when a step fails.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host::files::write_synced;
use host::{Argv, CommandFailed, Host, Mount};

use crate::cmdline::Fsck;
use crate::paths::Paths;
use crate::plan::{NewDirectory, RootPlan, Step, Volume};
use crate::report::Report;
use crate::survey::Attributes;
use crate::{fstab, identity, seed};

/// What was really done, so that it can be undone, and what every step needs to know.
#[derive(Debug)]
pub(crate) struct Assembly<'a, H: Host> {
    pub(crate) host: &'a mut H,
    pub(crate) paths: &'a Paths,
    pub(crate) fsck: Fsck,
    /// Id of the image that this initramfs belongs to.
    pub(crate) image_id: String,
    /// Partitions that could not be used.
    pub(crate) lost: Vec<String>,
    pub(crate) report: Report,
    /// Mounts that exist now, in order.
    pub(crate) mounts: Vec<Mount>,
    /// Loop devices that exist now, each with the number of mounts that came before it.
    pub(crate) loops: Vec<(usize, PathBuf)>,
}

type Notes = Vec<String>;

impl<H: Host> Assembly<'_, H> {
    /// Carries out all steps. Only an essential one ends it; every other failure is written down and passed over.
    pub(crate) fn apply(&mut self, plan: &RootPlan) -> Result<()> {
        self.report.refused.extend(plan.refused.iter().cloned());
        for step in &plan.steps {
            let result = self.timed(&step.to_string(), |assembly| assembly.carry_out(step));
            let essential = matches!(
                step,
                Step::Mount {
                    essential: true,
                    ..
                } | Step::ExtraLayer { .. }
            );
            if essential {
                result?;
            }
        }
        Ok(())
    }

    /// Carries out one thing and writes down how it went.
    pub(crate) fn timed(
        &mut self,
        step: &str,
        work: impl FnOnce(&mut Self) -> Result<Notes>,
    ) -> Result<()> {
        let mut report = std::mem::take(&mut self.report);
        let result = report.time(step, || Ok(((), work(self)?)));
        self.report = report;
        result
    }

    pub(crate) fn carry_out(&mut self, step: &Step) -> Result<Notes> {
        match step {
            Step::Mount { mount, .. } => self.mount_making(mount),
            Step::ExtraLayer { directories } => make_extra_layer(&self.paths.extra(), directories),
            Step::Volume { volume, at } => self.volume(volume, at),
            Step::MoveOem => self.move_oem(),
            Step::Overlay {
                mount,
                upper,
                work,
                attributes,
            } => {
                make_directory(upper, *attributes)?;
                make_directory(work, Attributes::new_directory(work))?;
                self.mount(mount.clone()).map(|()| Notes::new())
            }
            Step::Persist {
                seed,
                store,
                at,
                attributes,
                ..
            } => self.persist(seed.as_deref(), store, at, *attributes),
            Step::MachineId => identity::restore_machine_id(
                &self.paths.in_root("/usr/local/etc/machine-id"),
                &self.paths.in_root("/etc/machine-id"),
            )
            .map(|()| Notes::new()),
            Step::Fstab => {
                let text = fstab::render(&self.mounts, self.paths);
                write_synced(&self.paths.in_root("/etc/fstab"), text.as_bytes(), 0o644)?;
                Ok(Notes::new())
            }
        }
    }

    /// Mounts and remembers.
    pub(crate) fn mount(&mut self, mount: Mount) -> Result<()> {
        self.host.mount(&mount)?;
        self.mounts.push(mount);
        Ok(())
    }

    /// Mounts on a directory that may not be there yet.
    pub(crate) fn mount_making(&mut self, mount: &Mount) -> Result<Notes> {
        if !mount.target.is_dir() {
            fs::create_dir_all(&mount.target)
                .with_context(|| format!("making {}", mount.target.display()))?;
        }
        self.mount(mount.clone()).map(|()| Notes::new())
    }

    /// Checks and mounts a partition. Nothing is ever formatted here: a partition that cannot be used keeps its bytes
    /// for whoever repairs it, and an empty tmpfs lets the machine come up and say so.
    pub(crate) fn volume(&mut self, volume: &Volume, at: &Path) -> Result<Notes> {
        let Some(device) = &volume.device else {
            return self.stand_in(volume, at, "this disk has no such partition");
        };
        let mut notes = Notes::new();
        match self.check(device) {
            Ok(note) => notes.extend(note),
            Err(reason) => return self.stand_in(volume, at, &reason),
        }
        let mut mount = Mount::new(device, at, "ext4");
        mount.read_only = volume.read_only;
        match self.mount_making(&mount) {
            Ok(more) => notes.extend(more),
            Err(error) => return self.stand_in(volume, at, &format!("{error:#}")),
        }
        Ok(notes)
    }

    fn stand_in(&mut self, volume: &Volume, at: &Path, reason: &str) -> Result<Notes> {
        let lost = format!("{}: {reason}", volume.name);
        self.lost.push(lost.clone());
        self.mount_making(&Mount::new("tmpfs", at, "tmpfs").options("mode=0755"))?;
        Ok(vec![lost])
    }

    /// `e2fsck -p`: exit status 0 is clean, 1 to 3 is repaired (e2fsck(8)); from 4 on it needs a person.
    fn check(&mut self, device: &Path) -> Result<Option<String>, String> {
        let argv = match self.fsck {
            Fsck::Skip => return Ok(None),
            Fsck::Auto => Argv::new("e2fsck").arg("-p"),
            Fsck::Force => Argv::new("e2fsck").args(["-p", "-f"]),
        };
        let Err(error) = self.host.run(&argv.arg(device)) else {
            return Ok(None);
        };
        match error.downcast_ref::<CommandFailed>() {
            Some(failed) => {
                let repaired = ["exit status 1", "exit status 2", "exit status 3"];
                if repaired.contains(&failed.status.as_str()) {
                    Ok(Some(format!("repaired: {}", failed.tail)))
                } else {
                    Err(failed.to_string())
                }
            }
            // Without the tool the kernel's own checks have to do.
            None => Ok(Some(format!("not checked: {error:#}"))),
        }
    }

    fn move_oem(&mut self) -> Result<Notes> {
        let from = self.paths.oem();
        let at = self.paths.in_root("/oem");
        // A bind and an unmount: MS_MOVE is refused below a shared mount, and systemd makes all mounts shared.
        self.host.mount(&Mount::bind(&from, &at))?;
        self.host.unmount(&from)?;
        for mount in &mut self.mounts {
            if mount.target == from {
                mount.target.clone_from(&at);
            }
        }
        Ok(Notes::new())
    }

    fn persist(
        &mut self,
        seed_from: Option<&Path>,
        store: &Path,
        at: &Path,
        attributes: Attributes,
    ) -> Result<Notes> {
        let ledger = ledger_of(store);
        if !store.is_dir() {
            // What the ledger says was put here is gone as a whole, not deleted file by file.
            remove_if_there(&ledger)?;
        }
        make_directory(store, attributes)?;
        let mut notes = Notes::new();
        if let Some(image) = seed_from {
            // A path that cannot be seeded whole is better bound than lost: what it holds must persist.
            match seed::seed(image, store, &ledger, &self.image_id) {
                Ok(seeded) => notes.extend(in_words(&seeded)),
                Err(error) => notes.push(format!("not seeded whole: {error:#}")),
            }
        }
        if !at.is_dir() {
            make_directory(at, attributes)?;
        }
        self.mount(Mount::bind(store, at))?;
        Ok(notes)
    }

    /// Undoes what was really done, innermost first, past failures.
    pub(crate) fn undo(&mut self) -> Vec<String> {
        let mut failures = Vec::new();
        loop {
            // A loop device keeps the file system of its file busy.
            let youngest = self.loops.last().map_or(0, |(before, _)| *before);
            let undone = if self.mounts.len() > youngest {
                self.mounts
                    .pop()
                    .map(|mount| self.host.unmount(&mount.target))
            } else {
                self.loops
                    .pop()
                    .map(|(_, device)| self.host.detach_loop(&device))
            };
            match undone {
                Some(Ok(())) => {}
                Some(Err(error)) => failures.push(format!("{error:#}")),
                None => break,
            }
        }
        failures
    }
}

/// `.state/var-log.bind` has its ledger in `.state/.landfall/var-log.bind.json`.
fn ledger_of(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".json");
    store.with_file_name(".landfall").join(name)
}

fn in_words(seeded: &seed::Seeded) -> Notes {
    let mut notes = Notes::new();
    if seeded.put > 0 {
        notes.push(format!("{} files from the image", seeded.put));
    }
    if seeded.removed > 0 {
        notes.push(format!(
            "{} files removed that the image lacks",
            seeded.removed
        ));
    }
    for (what, names) in [
        ("kept, changed on this machine", &seeded.kept),
        ("not put, deleted on this machine", &seeded.deleted),
        ("left out, not a file", &seeded.left_out),
    ] {
        notes.extend(names.iter().map(|name| format!("{what}: {name}")));
    }
    notes
}

fn remove_if_there(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", file.display()))
        }
        _ => Ok(()),
    }
}

fn make_extra_layer(root: &Path, directories: &[NewDirectory]) -> Result<Notes> {
    for directory in directories {
        let inside = directory.path.strip_prefix("/").unwrap_or(&directory.path);
        make_directory(&root.join(inside), directory.attributes)?;
    }
    Ok(Notes::new())
}

/// Makes a directory (and those above it) with exactly these attributes; one that exists is left alone.
pub(crate) fn make_directory(path: &Path, attributes: Attributes) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let make = || {
        if let Some(above) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(above)?;
        }
        DirBuilder::new().mode(0o700).create(path)?;
        chown(path, Some(attributes.uid), Some(attributes.gid))?;
        // Last: a change of owner takes bits away, and mkdir(2) obeys the umask.
        fs::set_permissions(path, Permissions::from_mode(attributes.mode))
    };
    make().with_context(|| format!("making {}", path.display()))
}
