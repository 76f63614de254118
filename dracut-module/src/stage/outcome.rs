//! What a stage did: `/run/landfall/stages.json`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::report::millis;

/// How much of a command's output is kept, in bytes.
const OUTPUT: usize = 4096;

/// One part of a step, or one file, as it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// The stage with its suffix: `boot.after`; empty for a file that could not be read.
    pub stage: String,
    /// The file that holds the step.
    pub file: PathBuf,
    /// Name of the step, or its line.
    pub step: String,
    /// Which part of it: `commands`, `users`, ...
    pub field: String,
    /// Why it failed; absent if it did not. Quotes neither a command nor its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The end of what commands wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
}

impl fmt::Display for StepOutcome {
    /// For screens and logs: without the output, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        for part in [&self.stage, &self.step, &self.field] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => f.write_str(": done"),
        }
    }
}

/// One run of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageReport {
    /// The stage.
    pub stage: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// What was carried out, in order.
    pub outcomes: Vec<StepOutcome>,
    #[serde(skip)]
    start: Option<Instant>,
}

impl StageReport {
    pub(super) fn new(stage: &str) -> Self {
        Self {
            stage: stage.to_owned(),
            ms: 0,
            outcomes: Vec::new(),
            start: Some(Instant::now()),
        }
    }

    /// A stage that could not begin: `at` is the place where it failed.
    pub fn failed(stage: &str, at: &Path, error: String) -> Self {
        let mut report = Self::new(stage);
        report.fail(at, "", "", error);
        report
    }

    /// What failed.
    pub fn failures(&self) -> impl Iterator<Item = &StepOutcome> {
        self.outcomes
            .iter()
            .filter(|outcome| outcome.error.is_some())
    }

    pub(super) fn push(&mut self, mut outcome: StepOutcome) {
        let excess = outcome.output.len().saturating_sub(OUTPUT);
        let cut = (excess..=outcome.output.len()).find(|at| outcome.output.is_char_boundary(*at));
        outcome.output.drain(..cut.unwrap_or(0));
        self.outcomes.push(outcome);
        self.ms = self.start.map_or(0, millis);
    }

    /// Writes down a failure that belongs to no step, once.
    pub(super) fn fail(&mut self, file: &Path, step: &str, field: &str, error: String) {
        let outcome = StepOutcome {
            stage: String::new(),
            file: file.to_owned(),
            step: step.to_owned(),
            field: field.to_owned(),
            error: Some(error),
            output: String::new(),
        };
        if !self.outcomes.contains(&outcome) {
            self.push(outcome);
        }
    }
}

/// Adds a run to the list in `file`. It may quote what commands wrote, so only root reads it.
///
/// # Errors
///
/// If the file cannot be written. A list that cannot be read is begun anew.
pub fn record(report: &StageReport, file: &Path) -> Result<()> {
    let mut all: Vec<StageReport> = fs::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    // `reconcile` runs every hour; one result of each stage is enough.
    all.retain(|old| old.stage != report.stage);
    all.push(report.clone());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut json = serde_json::to_vec_pretty(&all)?;
    json.push(b'\n');
    host::files::write_synced(file, &json, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn the_list_keeps_the_last_run_of_each_stage() {
        let tree = Tree::new();
        let file = tree.at("run/stages.json");
        for stage in ["boot", "network", "boot"] {
            record(&StageReport::new(stage), &file).unwrap();
        }
        let all: Vec<StageReport> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let stages: Vec<&str> = all.iter().map(|report| report.stage.as_str()).collect();
        assert_eq!(stages, ["network", "boot"]);
    }

    #[test]
    fn a_long_output_keeps_its_end_and_whole_letters() {
        let mut report = StageReport::new("boot");
        report.push(StepOutcome {
            stage: "boot".into(),
            file: "/oem/a.yaml".into(),
            step: "one".into(),
            field: "commands".into(),
            error: None,
            output: format!("{}end", "é".repeat(OUTPUT)),
        });
        let output = &report.outcomes[0].output;
        assert!(
            output.len() <= OUTPUT && output.ends_with("éend"),
            "{}",
            output.len()
        );
    }
}
