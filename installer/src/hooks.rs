//! The operator's stages around an install and a reset: which there are, and where they run.
//!
//! `docs/operator.md` tells what their steps find. A step that fails is recorded and ends nothing: that is the contract
//! (`reference/kairos.md` 4), and an operator who wants the install to end says so with [`FAIL_INSTALLATION`].

use userdata::UserData;

use crate::plan::{Content, Origin, Step, Within};

/// The stages around an install, in the order in which they run, each with its place.
pub const AROUND_INSTALL: [(&str, Within); 3] = [
    ("before-install", Within::Installer),
    ("after-install-chroot", Within::NewSystem),
    ("after-install", Within::Installer),
];

/// The stages around a reset, likewise.
pub const AROUND_RESET: [(&str, Within); 3] = [
    ("before-reset", Within::Installer),
    ("after-reset-chroot", Within::NewSystem),
    ("after-reset", Within::Installer),
];

/// A step that makes this file before the system is written ends the install; the text of the file is the reason
/// (`reference/kairos.md` 1.6).
pub const FAIL_INSTALLATION: &str = "/run/cos/fail_installation";

/// Who carries out an install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    /// The installer that a machine was started into: nothing else lives there.
    LiveInstaller,
    /// A program on some host, such as the one where images are made. Commands of an operator would run as root
    /// beside everything else there.
    Host,
}

/// The stages around one install.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    steps: Vec<Step>,
    /// Stages that there are and that do not run, in words.
    pub passed_over: Option<String>,
}

impl Hooks {
    /// Takes the stages out of the user-data.
    pub fn of(user_data: &UserData, runner: Runner) -> Self {
        let there = AROUND_INSTALL
            .into_iter()
            .filter_map(|(stage, within)| Some((stage, within, user_data.stage_file(stage)?)));
        if runner == Runner::Host {
            let names: Vec<&str> = there.map(|(stage, ..)| stage).collect();
            return Self {
                steps: Vec::new(),
                passed_over: (!names.is_empty()).then(|| {
                    format!(
                        "{} of the user-data: not run, since only the installer that a machine was started into runs commands of an operator",
                        names.join(", ")
                    )
                }),
            };
        }
        let step = |(stage, within, file): (&'static str, Within, userdata::Secret)| {
            let file = Content(file.reveal().as_bytes().to_vec());
            run(stage, within, Origin::UserData(file))
        };
        Self {
            steps: there.map(step).collect(),
            passed_over: None,
        }
    }

    /// The step that runs a stage, if there is such a stage.
    pub fn step(&self, stage: &str) -> Option<Step> {
        let is_it =
            |step: &&Step| matches!(step, Step::RunStage { stage: one, .. } if *one == stage);
        self.steps.iter().find(is_it).cloned()
    }
}

/// The steps that run the stages of a reset which `there` names: those `before` the first write, or the others.
pub fn around_reset(there: &[&'static str], before: bool) -> impl Iterator<Item = Step> {
    AROUND_RESET
        .into_iter()
        .filter(move |(stage, _)| stage.starts_with("before") == before)
        .filter(|(stage, _)| there.contains(stage))
        .map(|(stage, within)| run(stage, within, Origin::Oem))
}

const fn run(stage: &'static str, within: Within, origin: Origin) -> Step {
    Step::RunStage {
        stage,
        within,
        origin,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_programs_that_the_guide_promises_are_those_that_the_initramfs_has() {
        let module = include_str!(
            "../../dracut-module/rootfs/usr/lib/dracut/modules.d/28landfall/module-setup.sh"
        );
        let guide = include_str!("../../docs/operator.md");
        let words = |text: &'static str, from: &str, to: char| -> Vec<&str> {
            let (_, rest) = text.split_once(from).unwrap();
            let (list, _) = rest.split_once(to).unwrap();
            list.split_whitespace().collect()
        };
        let installed = words(module, "stage_tools=(", ')');
        assert_eq!(words(guide, "and no others:", '.'), installed);
        assert!(installed.len() > 20, "{installed:?}");
    }
}
