//! `landfall validate`: each document alone, and all of them together.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use installer::documents::{Check, Document, examine};
use installer::report::Exit;
use userdata::{Finding, UserData, Variables};

use crate::cli::{Format, Profile, ValidateArgs, say};

/// Checks the files and prints what was found.
pub(crate) fn validate(args: &ValidateArgs) -> Result<Exit> {
    let read = |path: &std::path::PathBuf| -> Result<Document> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Document {
            name: path.to_string_lossy().into_owned(),
            bytes,
        })
    };
    let documents: Vec<Document> = args.files.iter().map(read).collect::<Result<_>>()?;
    let mut checks: Vec<Check> = vec![check_complete];
    if let Some(Profile::EksHybrid) = args.profile {
        checks.push(userdata::check_eks);
    }
    // Whatever a machine is called, its document must be right; the names of an example stand for it.
    let examined = examine(&documents, &Variables::of_an_example(), &checks);
    match args.format {
        Format::Json => say(
            &mut io::stdout(),
            &serde_json::to_string_pretty(&examined.findings)?,
        ),
        Format::Text => print(&documents, &examined.findings),
    }
    Ok(if userdata::has_errors(&examined.findings) {
        Exit::Refused
    } else {
        Exit::Done
    })
}

/// What a whole needs; a document that leads to more is none, and nothing is fetched here.
fn check_complete(user_data: &UserData) -> Vec<Finding> {
    match user_data.config_url {
        Some(_) => Vec::new(),
        None => userdata::check_complete(user_data),
    }
}

/// Prints the findings of each document with its lines, and then those about the whole.
fn print(documents: &[Document], findings: &[Finding]) {
    let show = |findings: &[Finding], text: &str| {
        let shown = userdata::render(findings, text, io::stdout().is_terminal());
        if !shown.is_empty() {
            say(&mut io::stdout(), &shown);
        }
    };
    for document in documents {
        let of_it: Vec<Finding> = findings
            .iter()
            .filter(|finding| finding.file == document.name)
            .cloned()
            .collect();
        show(&of_it, &String::from_utf8_lossy(&document.bytes));
    }
    let of_one = |finding: &&Finding| documents.iter().any(|one| one.name == finding.file);
    let of_all: Vec<Finding> = findings
        .iter()
        .filter(|one| !of_one(one))
        .cloned()
        .collect();
    show(&of_all, "");
}
