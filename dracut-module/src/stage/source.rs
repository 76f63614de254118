//! The stage files of a source directory.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use userdata::{Severity, Stages};

use super::StageReport;

/// Directories below a source may nest this deep; beyond it someone has made a loop of mounts.
const MAX_DEPTH: usize = 8;

/// One file that could be read.
#[derive(Debug)]
pub(super) struct StageFile {
    pub(super) path: PathBuf,
    /// Its own `name`.
    pub(super) name: Option<String>,
    pub(super) stages: Stages,
}

/// Reads all stage files; those that cannot be read are in the report, once.
pub(super) fn read(sources: &[PathBuf], report: &mut StageReport) -> Vec<StageFile> {
    let mut files = Vec::new();
    for source in sources {
        walk(source, MAX_DEPTH, &mut files);
    }
    files
        .into_iter()
        .filter_map(|path| read_file(path, report))
        .collect()
}

/// Lexical order of the whole path below the source, as a walk that sorts every directory gives it.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let is_yaml = path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        // Links to directories are not followed: a loop would never end.
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        if found.is_dir() && depth > 0 {
            walk(&path, depth - 1, files);
        } else if is_yaml && path.is_file() {
            files.push(path);
        }
    }
}

fn read_file(path: PathBuf, report: &mut StageReport) -> Option<StageFile> {
    let bytes = match read_bounded(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.fail(&path, "", "", error.to_string());
            return None;
        }
    };
    let parsed = userdata::parse_stage_file(&path.to_string_lossy(), &bytes);
    for finding in parsed
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
    {
        report.fail(&path, "", "", finding.to_string());
    }
    Some(StageFile {
        path,
        name: parsed.name,
        stages: parsed.stages,
    })
}

/// One byte more than a document may have, so that the parser sees and says that it is too large.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(userdata::MAX_BYTES).unwrap_or(u64::MAX);
    fs::File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
