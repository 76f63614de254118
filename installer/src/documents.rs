//! User-data from everywhere it comes, in the order of weight: gathered, merged, and accounted for.
//!
//! The order is that of Kairos (`reference/palette.md` 3.2), the weakest first: the medium, `/oem` of the running
//! installer, `cidata` volumes, the kernel command line. What a document's `config_url` leads to comes right behind it.
//! [`gather`] reads and fetches, [`combine`] decides; nothing here writes to a disk.

mod account;
mod command_line;
mod machine;
mod network;
mod reach;

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use userdata::{Finding, Severity, UserData, Variables};

pub use account::{Account, Printed};
pub(crate) use machine::variables;
pub(crate) use reach::OnHost;
pub use reach::{Network, Reach};

use crate::choosing;
use crate::code::{Code, Trouble};

/// Most documents that lead to one another by `config_url`; more are a circle.
const LONGEST_CHAIN: usize = 5;

/// A document as it came. Its `Debug` shows no text: it may hold the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// What findings and the account call it.
    pub name: String,
    /// The text, unread.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// Where documents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file that must be there.
    File(PathBuf),
    /// Every `*.yaml` and `*.yml` of a folder, by name; the folder may be missing.
    Folder(PathBuf),
    /// Every volume labelled `cidata`.
    Volumes,
    /// The kernel command line.
    CommandLine(String),
    /// What somebody chose on the screen.
    Choice(String),
}

/// All sources of an install, the weakest first, and how the network is reached for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The sources.
    pub list: Vec<Source>,
    /// The way to what has to be fetched.
    pub network: Network,
}

impl Sources {
    /// Files that an operator names, the weakest first.
    pub fn files(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            list: paths.into_iter().map(Source::File).collect(),
            network: Network::default(),
        }
    }
}

impl Sources {
    /// Puts a choice on top, in place of an earlier one.
    pub fn choose(&mut self, document: String) {
        *self = self.without_choice();
        self.list.push(Source::Choice(document));
    }

    /// The sources below a choice.
    #[must_use]
    pub fn without_choice(&self) -> Self {
        let mut sources = self.clone();
        sources
            .list
            .retain(|source| !matches!(source, Source::Choice(_)));
        sources
    }

    /// What somebody chose on the screen.
    pub fn choice(&self) -> Option<&str> {
        self.list.iter().find_map(|source| match source {
            Source::Choice(text) => Some(text.as_str()),
            _ => None,
        })
    }
}

/// Reads every source, and fetches what documents lead to.
pub fn gather(
    sources: &Sources,
    machine: &Variables,
    reach: &mut dyn Reach,
) -> Result<Vec<Document>> {
    let mut found = Vec::new();
    for source in &sources.list {
        let documents = match source {
            Source::File(path) => vec![read(path, &sources.name_of(path))?],
            Source::Folder(path) => read_folder(path)?,
            Source::Volumes => reach.volumes()?,
            Source::Choice(text) => vec![Document {
                name: choosing::NAME.to_owned(),
                bytes: text.clone().into_bytes(),
            }],
            Source::CommandLine(text) => {
                from_command_line(text, machine, &mut found, reach)?;
                continue;
            }
        };
        for document in documents {
            follow(document, machine, &mut found, reach)?;
        }
    }
    Ok(found)
}

impl Sources {
    /// A file's own name, as long as no other source has the same; then its path.
    fn name_of(&self, path: &Path) -> String {
        let same_name = |source: &&Source| match source {
            Source::File(other) => other.file_name() == path.file_name(),
            _ => false,
        };
        let alone = self.list.iter().filter(same_name).count() < 2;
        let name = path.file_name().filter(|_| alone);
        name.unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned()
    }
}

fn from_command_line(
    text: &str,
    machine: &Variables,
    found: &mut Vec<Document>,
    reach: &mut dyn Reach,
) -> Result<()> {
    let asked = command_line::read(text)?;
    for (name, address) in asked.addresses {
        let invalid = |reason: &str| {
            let reason = format!("{}: {name}: {reason}", command_line::NAME);
            Trouble::new(Code::UserDataInvalid, reason)
        };
        let url = machine
            .in_address(&address)
            .map_err(|reason| invalid(&reason))?;
        if !userdata::is_web_address(&url) {
            return Err(invalid("this is not an http or https address").into());
        }
        let document = reach.fetch(&url, found)?;
        follow(document, machine, found, reach)?;
    }
    found.extend(asked.settings);
    Ok(())
}

/// Takes a document and what its `config_url` leads to, each behind the one that names it.
fn follow(
    document: Document,
    machine: &Variables,
    found: &mut Vec<Document>,
    reach: &mut dyn Reach,
) -> Result<()> {
    let first = document.name.clone();
    let mut next = Some(document);
    let mut length: usize = 0;
    while let Some(document) = next.take() {
        if length >= LONGEST_CHAIN {
            return Err(Trouble::new(
                Code::UserDataUnreachable,
                format!(
                    "config_url of {first} leads on and on, at last to {}",
                    document.name
                ),
            )
            .into());
        }
        length = length.saturating_add(1);
        // A document with errors is read no further; they are said when all are read.
        let parsed = userdata::parse_for(&document.name, &document.bytes, machine);
        found.push(document);
        if let Some(url) = parsed.user_data.and_then(|user_data| user_data.config_url) {
            next = Some(reach.fetch(url.reveal(), found)?);
        }
    }
    Ok(())
}

fn read(path: &Path, name: &str) -> Result<Document> {
    let missing = |error: std::io::Error| {
        Trouble::new(
            Code::UserDataMissing,
            format!("{}: {error}", path.display()),
        )
    };
    let mut bytes = Vec::new();
    // One byte more than is allowed is enough for the parser to say so.
    let limit = (userdata::MAX_BYTES as u64).saturating_add(1);
    let file = File::open(path).map_err(missing)?;
    file.take(limit).read_to_end(&mut bytes).map_err(missing)?;
    Ok(Document {
        name: name.to_owned(),
        bytes,
    })
}

fn read_folder(folder: &Path) -> Result<Vec<Document>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let kind = path.extension().and_then(|kind| kind.to_str());
        matches!(kind, Some("yaml" | "yml")) && path.is_file()
    });
    paths.sort();
    paths
        .iter()
        .map(|path| read(path, &path.to_string_lossy()))
        .collect()
}

/// Everything that is to be said about documents, and what they mean together if nothing is wrong.
#[derive(Debug)]
pub struct Examined {
    /// Findings of each document and of the whole, in the order of the documents.
    pub findings: Vec<Finding>,
    /// The meaning of all together, with its account.
    pub together: Option<(UserData, Account)>,
}

/// A check that needs the whole.
pub type Check = fn(&UserData) -> Vec<Finding>;

/// Checks each document, and by `checks` all of them together: what one lacks, another may have.
pub fn examine(documents: &[Document], machine: &Variables, checks: &[Check]) -> Examined {
    let mut findings = Vec::new();
    let mut read = Vec::new();
    for document in documents {
        let parsed = userdata::parse_for(&document.name, &document.bytes, machine);
        findings.extend(parsed.findings);
        read.extend(parsed.user_data);
    }
    if read.len() < documents.len() {
        return Examined {
            findings,
            together: None,
        };
    }
    if let [alone] = read.as_slice() {
        findings.extend(checks.iter().flat_map(|check| check(alone)));
        let account = Account::of_one(alone);
        return Examined {
            findings,
            together: read.pop().map(|alone| (alone, account)),
        };
    }
    let merged = userdata::merge(&read);
    let mut of_the_whole = merged.parsed.findings.clone();
    if let Some(user_data) = &merged.parsed.user_data {
        let found = checks.iter().flat_map(|check| check(user_data)).collect();
        of_the_whole.extend(merged.in_their_documents(found));
    }
    // What a document was told already is not said again.
    of_the_whole.retain(|new| !findings.iter().any(|known| is_same(known, new)));
    findings.extend(of_the_whole);
    let account = Account::of_several(&read, &merged);
    Examined {
        findings,
        together: merged
            .parsed
            .user_data
            .map(|user_data| (user_data, account)),
    }
}

/// Whether two findings say the same; the path may differ, since lists grow when they are merged.
fn is_same(a: &Finding, b: &Finding) -> bool {
    (&a.file, a.position, a.rule, &a.reason) == (&b.file, b.position, b.rule, &b.reason)
}

/// The meaning of all documents together, which must be complete; every error is in the reason.
pub fn combine(
    documents: &[Document],
    machine: &Variables,
) -> Result<(UserData, Account), Trouble> {
    combine_with(documents, machine, &[userdata::check_complete])
}

/// As [`combine`], but something may be missing that other documents will bring.
pub fn combine_part(
    documents: &[Document],
    machine: &Variables,
) -> Result<(UserData, Account), Trouble> {
    combine_with(documents, machine, &[])
}

fn combine_with(
    documents: &[Document],
    machine: &Variables,
    checks: &[Check],
) -> Result<(UserData, Account), Trouble> {
    if documents.is_empty() {
        return Err(Trouble::new(
            Code::UserDataMissing,
            "no user-data was given",
        ));
    }
    let examined = examine(documents, machine, checks);
    let errors: Vec<String> = examined
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(ToString::to_string)
        .collect();
    match examined.together {
        Some(together) if errors.is_empty() => Ok(together),
        _ => Err(Trouble::new(Code::UserDataInvalid, errors.join("\n"))),
    }
}

#[cfg(test)]
#[path = "documents/tests.rs"]
mod tests;
