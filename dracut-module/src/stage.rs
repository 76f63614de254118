//! Runs one stage: the files of all sources, strictly one step after the other.
//!
//! Directories in the given order, files in lexical order but for what `after` asks, and `X.before`, `X`, `X.after` as
//! passes of their own over everything (`reference/kairos.md` 4). A file that cannot be read, a step that fails: each is written down and
//! everything else is carried out.

mod accounts;
mod chroot;
mod conditions;
mod datasource;
mod devices;
mod dns;
mod downloads;
mod entities;
mod facts;
mod files;
mod host_name;
mod ids;
mod kernel;
mod keys;
mod layout;
mod network;
mod order;
mod outcome;
mod services;
mod source;
mod steps;
mod users;

use std::path::{Path, PathBuf};

use host::Host;

use facts::Setting;
use order::Placed;

pub use accounts::{Account, Accounts, User};
pub use devices::await_devices;
pub use host_name::write_host_name;
pub use ids::Ids;
pub use outcome::{StageReport, StepOutcome, record};
pub use steps::TIME_LIMIT;

/// The directories whose stage files are run, in this order.
pub const SOURCES: [&str; 3] = ["/system/oem", "/oem", "/usr/local/cloud-config"];

/// The directories of [`SOURCES`].
pub fn default_sources() -> Vec<PathBuf> {
    SOURCES.iter().map(PathBuf::from).collect()
}

/// Whether a file of `sources` has a step for the stage `name` or its `.before` or `.after`.
pub fn has_steps(name: &str, sources: &[PathBuf]) -> bool {
    let passes = [
        format!("{name}.before"),
        name.to_owned(),
        format!("{name}.after"),
    ];
    // What cannot be read is told when the stage runs.
    source::read(sources, &mut StageReport::new(name))
        .iter()
        .any(|file| {
            let has = |pass: &String| !file.stages.steps(pass).is_empty();
            passes.iter().any(has)
        })
}

/// Runs the stage `name` with its `.before` and `.after`.
///
/// `root` is the tree in which it is carried out: `/` for the running system, `/sysroot` in the initramfs, where
/// `/dev`, `/proc`, `/sys` and `/run` are bound into it and this process changes its root for the duration; both are
/// undone on every path. `sources` are absolute and seen from inside `root`. Nothing fails as a whole: see
/// [`StageReport::failures`].
pub fn run(name: &str, root: &Path, sources: &[PathBuf], host: &mut impl Host) -> StageReport {
    let mut report = StageReport::new(name);
    let setting = Setting::of(root);
    let result = chroot::within(root, host, |host| {
        for pass in [
            format!("{name}.before"),
            name.to_owned(),
            format!("{name}.after"),
        ] {
            // Read again in every pass: a step may have written a file for the next.
            let files = source::read(sources, &mut report);
            carry_out_pass(&pass, &files, setting, host, &mut report);
        }
    });
    if let Err(error) = result {
        report.fail(root, "", "root", format!("{error:#}"));
    }
    report
}

/// Carries out all steps of one pass, one after the other.
fn carry_out_pass(
    pass: &str,
    files: &[source::StageFile],
    setting: Setting,
    host: &mut impl Host,
    report: &mut StageReport,
) {
    let steps: Vec<Placed<'_>> = files
        .iter()
        .flat_map(|file| {
            let steps = file.stages.steps(pass).iter().enumerate();
            steps.map(|(index, step)| Placed {
                file: &file.path,
                root: file.name.as_deref(),
                index,
                step,
            })
        })
        .collect();
    let (order, unmet) = order::sorted(&steps);
    for wish in unmet {
        let Placed { file, step, .. } = steps[wish.of];
        report.push(StepOutcome {
            stage: pass.to_owned(),
            file: file.to_owned(),
            step: steps::name_of(step),
            field: "after".to_owned(),
            error: Some(wish.reason),
            output: String::new(),
        });
    }
    for at in order {
        let Placed { file, step, .. } = steps[at];
        steps::carry_out(pass, file, step, setting, host, report);
    }
}
