//! The plan of a root: layout and survey become an ordered list of steps. Pure: the same facts give the same list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use host::Mount;

use crate::layout::Layout;
use crate::paths::Paths;
use crate::survey::{Attributes, Place, Survey};
use crate::within;

/// Mount points that every image must have (`reference/kairos.md` 8.2, item 10).
const CONTRACT: [&str; 15] = [
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/mnt",
    "/oem",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/srv",
    "/sys",
    "/tmp",
    "/usr/local",
    "/var",
];

/// A directory of the extra layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDirectory {
    /// Absolute path in the new root.
    pub path: PathBuf,
    /// What it must look like. In an overlay the upper directory's attributes win, so a directory that the image has
    /// looks here as it does there.
    pub attributes: Attributes,
}

/// A file system on a partition of this disk, which may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name for people: `COS_OEM`, `COS_PERSISTENT`, or what a layout variable says.
    pub name: String,
    /// The node; `None` if the disk has no such partition.
    pub device: Option<PathBuf>,
    /// Read-only (further volumes are, unless they are part of the contract).
    pub read_only: bool,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Mounts something on a directory that is made if it is missing (outside of the new root).
    Mount {
        /// What, where and how.
        mount: Mount,
        /// Without it there is no system.
        essential: bool,
    },
    /// Fills the extra layer.
    ExtraLayer {
        /// Parents before children.
        directories: Vec<NewDirectory>,
    },
    /// Checks and mounts a partition; a tmpfs takes its place if that fails.
    Volume {
        /// Which.
        volume: Volume,
        /// Mount point.
        at: PathBuf,
    },
    /// Moves the OEM partition from its first place into the root.
    MoveOem,
    /// A read-write overlay over a directory of the image.
    Overlay {
        /// The mount; its options name the directories below.
        mount: Mount,
        /// `upper` and `work`, to be made first.
        upper: PathBuf,
        /// See `upper`.
        work: PathBuf,
        /// What `upper` must look like: it becomes the mounted directory.
        attributes: Attributes,
    },
    /// Seeds a directory on the persistent partition from the image and binds it.
    Persist {
        /// The path as configured.
        path: PathBuf,
        /// The directory in the image, if it has one.
        seed: Option<PathBuf>,
        /// The directory that persists.
        store: PathBuf,
        /// Mount point.
        at: PathBuf,
        /// What the store looks like when it is made.
        attributes: Attributes,
    },
    /// Gives the system the machine-id that it has had since its first boot.
    MachineId,
    /// Writes `/etc/fstab` with all that was mounted.
    Fstab,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount { mount, .. } => mount.fmt(f),
            Self::ExtraLayer { directories } => {
                write!(
                    f,
                    "make {} directories for the extra layer",
                    directories.len()
                )
            }
            Self::Volume { volume, at } => {
                write!(f, "check {} and mount it on {}", volume.name, at.display())
            }
            Self::MoveOem => f.write_str("move COS_OEM into the root"),
            Self::Overlay { mount, .. } => {
                write!(f, "lay a writable overlay over {}", mount.target.display())
            }
            Self::Persist { path, .. } => write!(f, "make {} persistent", path.display()),
            Self::MachineId => f.write_str("restore the machine-id"),
            Self::Fstab => f.write_str("write /etc/fstab"),
        }
    }
}

/// The ordered steps, and what was wanted but cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootPlan {
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// One sentence for each path that is left out.
    pub refused: Vec<String>,
}

/// All paths that a survey has to look at.
pub fn wanted(layout: &Layout) -> BTreeSet<PathBuf> {
    let volumes = layout.volumes.iter().map(|volume| &volume.at);
    layout
        .rw_paths
        .iter()
        .chain(&layout.persistent)
        .chain(&layout.extra_dirs)
        .chain(volumes)
        .map(PathBuf::from)
        .chain(CONTRACT.iter().map(PathBuf::from))
        .collect()
}

/// Makes the list. `persistent` is `COS_PERSISTENT`, `volumes` those of `layout.volumes`, in its order.
pub fn plan(
    layout: &Layout,
    survey: &Survey,
    persistent: &Volume,
    volumes: &[Volume],
    paths: &Paths,
) -> RootPlan {
    let mut plan = Planner {
        survey,
        paths,
        extra: BTreeMap::new(),
        refused: Vec::new(),
    };
    for path in CONTRACT {
        plan.provide(Path::new(path));
    }
    for path in &layout.extra_dirs {
        plan.admit(path);
    }
    let further = plan.volumes(layout, volumes);
    let overlays: Vec<PathBuf> = layout
        .rw_paths
        .iter()
        .filter(|path| *path != "/usr/local")
        .filter_map(|path| plan.admit(path))
        .collect();
    let binds = plan.binds(layout);

    let mut steps = plan.root();
    steps.push(Step::MoveOem);
    steps.push(Step::Volume {
        volume: persistent.clone(),
        at: paths.in_root("/usr/local"),
    });
    steps.push(Step::Mount {
        mount: Mount::new("tmpfs", paths.in_root("/tmp"), "tmpfs").options("mode=1777"),
        essential: false,
    });
    steps.push(Step::Mount {
        mount: Mount::new("tmpfs", paths.at("/run/overlay"), "tmpfs")
            .options(format!("mode=0755,size={}", layout.overlay_size)),
        essential: false,
    });
    steps.extend(overlays.iter().map(|path| plan.overlay(path)));
    steps.extend(further);
    steps.extend(binds.into_iter().map(|bind| plan.persist(layout, bind)));
    steps.extend([Step::MachineId, Step::Fstab]);
    RootPlan {
        steps,
        refused: plan.refused,
    }
}

/// A persistent path as configured and where it leads to.
struct Bind {
    path: PathBuf,
    resolved: PathBuf,
    dashed: String,
}

struct Planner<'a> {
    survey: &'a Survey,
    paths: &'a Paths,
    /// Directories of the extra layer; `BTreeMap` order puts parents first.
    extra: BTreeMap<PathBuf, Attributes>,
    refused: Vec<String>,
}

impl Planner<'_> {
    /// Takes a configured path: refuses it or makes sure that it is there, and says where it leads to.
    fn admit(&mut self, path: &str) -> Option<PathBuf> {
        if let Some(reason) = within::refuse(path) {
            self.refused.push(format!("{path:?} is left out: {reason}"));
            return None;
        }
        self.provide(Path::new(path))
    }

    /// Puts what the image lacks of a path into the extra layer.
    fn provide(&mut self, path: &Path) -> Option<PathBuf> {
        let Some(resolved) = self.survey.resolved(path) else {
            self.refused
                .push(format!("{} is left out: a loop of links", path.display()));
            return None;
        };
        let resolved = resolved.to_owned();
        let mut lineage: Vec<&Path> = resolved.ancestors().collect();
        lineage.reverse();
        if let Some(blocking) = lineage
            .iter()
            .find(|above| self.survey.place(above) == Place::NotADirectory)
        {
            self.refused.push(format!(
                "{} is left out: {} is not a directory in the image",
                path.display(),
                blocking.display()
            ));
            return None;
        }
        if self.survey.place(&resolved) == Place::Missing {
            for above in lineage {
                let attributes = match self.survey.place(above) {
                    Place::Directory(attributes) => attributes,
                    _ => Attributes::new_directory(above),
                };
                self.extra.insert(above.to_owned(), attributes);
            }
        }
        Some(resolved)
    }

    fn volumes(&mut self, layout: &Layout, volumes: &[Volume]) -> Vec<Step> {
        let pairs = layout.volumes.iter().zip(volumes);
        pairs
            .filter_map(|(wanted, volume)| {
                let resolved = self.admit(&wanted.at)?;
                Some(Step::Volume {
                    volume: volume.clone(),
                    at: self.paths.in_root(resolved),
                })
            })
            .collect()
    }

    fn binds(&mut self, layout: &Layout) -> Vec<Bind> {
        let mut names: BTreeMap<String, &str> = BTreeMap::new();
        let mut binds = Vec::new();
        for path in &layout.persistent {
            let dashed = dashed(path);
            if let Some(other) = names.get(&dashed) {
                self.refused.push(format!(
                    "{path} is left out: it would share {dashed} with {other}"
                ));
                continue;
            }
            if let Some(resolved) = self.admit(path) {
                names.insert(dashed.clone(), path);
                binds.push(Bind {
                    path: path.into(),
                    resolved,
                    dashed,
                });
            }
        }
        binds
    }

    /// The extra layer over the image, read-only, is the root.
    fn root(&self) -> Vec<Step> {
        let (image, extra) = (self.paths.image(), self.paths.extra());
        let directories = self
            .extra
            .iter()
            .filter(|(path, _)| *path != Path::new("/"))
            .map(|(path, attributes)| NewDirectory {
                path: path.clone(),
                attributes: *attributes,
            })
            .collect();
        // The topmost layer lends the root its attributes.
        let top = self.attributes(Path::new("/"));
        let options = format!(
            "mode={:04o},uid={},gid={},size=4m",
            top.mode, top.uid, top.gid
        );
        let lower = format!("lowerdir={}:{}", extra.display(), image.display());
        vec![
            Step::Mount {
                mount: Mount::new("tmpfs", extra, "tmpfs").options(options),
                essential: true,
            },
            Step::ExtraLayer { directories },
            Step::Mount {
                mount: Mount::new("overlay", self.paths.new_root(), "overlay")
                    .read_only()
                    .options(lower),
                essential: true,
            },
        ]
    }

    /// An overlay over the layers themselves and not over the root's overlay: the kernel stacks two overlays at most,
    /// and containers bring their own.
    fn overlay(&self, path: &Path) -> Step {
        let mut lower = Vec::new();
        if self.extra.contains_key(path) {
            lower.push(below(&self.paths.extra(), path));
        }
        if matches!(self.survey.place(path), Place::Directory(_)) {
            lower.push(below(&self.paths.image(), path));
        }
        let lower: Vec<String> = lower
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let name = path.to_string_lossy().trim_matches('/').replace('/', "-");
        let base = self.paths.at("/run/overlay").join(name).join(".overlay");
        let (upper, work) = (base.join("upper"), base.join("work"));
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.join(":"),
            upper.display(),
            work.display()
        );
        Step::Overlay {
            mount: Mount::new("overlay", self.paths.in_root(path), "overlay").options(options),
            upper,
            work,
            attributes: self.attributes(path),
        }
    }

    fn persist(&self, layout: &Layout, bind: Bind) -> Step {
        let in_image = matches!(self.survey.place(&bind.resolved), Place::Directory(_));
        Step::Persist {
            seed: in_image.then(|| below(&self.paths.image(), &bind.resolved)),
            store: self
                .paths
                .in_root(&layout.persistent_target)
                .join(&bind.dashed),
            at: self.paths.in_root(&bind.resolved),
            attributes: self.attributes(&bind.resolved),
            path: bind.path,
        }
    }

    fn attributes(&self, path: &Path) -> Attributes {
        match self.survey.place(path) {
            Place::Directory(attributes) => attributes,
            _ => Attributes::new_directory(path),
        }
    }
}

/// `/var/log` is `var-log.bind`: machines in the field depend on these names.
fn dashed(path: &str) -> String {
    format!("{}.bind", path.trim_matches('/').replace('/', "-"))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
