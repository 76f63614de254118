//! What the assembly did: `/run/landfall/sysroot.json`.

use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::twins::Twin;

/// Version of the file's format.
pub const FORMAT: u32 = 1;

/// One step as it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// What was done, in words.
    pub step: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// Why it failed; absent if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is worth knowing although it worked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The whole assembly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this format.
    pub format: u32,
    /// Id of the image that runs: 32 hex digits.
    pub image_id: String,
    /// Its file on the state partition.
    pub image: PathBuf,
    /// What the kernel command line wished for.
    pub wanted: Option<PathBuf>,
    /// Sentinel in `/run/cos`.
    pub mode: String,
    /// Node of the state partition.
    pub state: PathBuf,
    /// Installations on other disks that were there by then; nothing of them was used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub twins: Vec<Twin>,
    /// Partitions that could not be used; a tmpfs stands in for each.
    pub lost: Vec<String>,
    /// Configured paths that were left out, each with its reason.
    pub refused: Vec<String>,
    /// All steps in order.
    pub steps: Vec<StepReport>,
    /// Why there is no root; absent if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// How long everything took, in milliseconds.
    pub ms: u64,
}

impl Report {
    /// The steps that failed.
    pub fn failures(&self) -> impl Iterator<Item = &StepReport> {
        self.steps.iter().filter(|step| step.error.is_some())
    }

    /// Carries something out and writes down how it went.
    pub(crate) fn time<T>(
        &mut self,
        step: impl Into<String>,
        work: impl FnOnce() -> anyhow::Result<(T, Vec<String>)>,
    ) -> anyhow::Result<T> {
        let start = Instant::now();
        let (result, error, notes) = match work() {
            Ok((value, notes)) => (Ok(value), None, notes),
            Err(error) => {
                let text = format!("{error:#}");
                (Err(error), Some(text), Vec::new())
            }
        };
        self.steps.push(StepReport {
            step: step.into(),
            ms: millis(start),
            error,
            notes,
        });
        result
    }
}

/// Milliseconds since `start`.
pub(crate) fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
