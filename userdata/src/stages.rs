//! `stages`: what a host does at the points of its life, as steps.

mod accounts;
mod files;
mod schema;

use std::collections::BTreeMap;

use serde::Serialize;

pub use accounts::{User, is_hashed};
pub use files::{Directory, Encoding, File};

pub(crate) use accounts::read_listed;

use crate::finding::{Findings, Position, Rule};
use crate::hint::did_you_mean;
use crate::place::{is_account_name, is_host_name, path_fault};
use crate::schema::{Schema, check_object, join};
use crate::tree::{Node, Value};

/// Every stage with its steps, in the order of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stages(BTreeMap<String, Vec<Step>>);

impl Stages {
    /// The steps of one stage, such as `initramfs` or `boot.after`; none if the document does not name it.
    pub fn steps(&self, stage: &str) -> &[Step] {
        self.0.get(stage).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every stage by its name, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Step])> {
        self.0
            .iter()
            .map(|(name, steps)| (name.as_str(), steps.as_slice()))
    }

    /// Whether there is no step at all.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }

    /// Adds a step behind those of the same stage.
    pub(crate) fn push(&mut self, stage: &str, step: Step) {
        self.0.entry(stage.to_owned()).or_default().push(step);
    }
}

/// One step. Its parts are carried out in the order of these fields, after the conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `name`, for logs; steps named `skip-copy-*` do not reach the disk.
    pub name: Option<String>,
    /// Line of the step in its document, from 1; 0 for a step that no document has.
    pub line: usize,
    /// `if`: a shell test that must succeed.
    pub condition: Option<String>,
    /// Conditions that this version cannot decide, by key. A step that has any must not run.
    pub undecided: Vec<String>,
    /// `directories`.
    pub directories: Vec<Directory>,
    /// `files`.
    pub files: Vec<File>,
    /// `commands`: shell texts.
    pub commands: Vec<String>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `users`, sorted by name.
    pub users: Vec<User>,
    /// `authorized_keys`: user -> lines of `authorized_keys`. A line may be `github:x`, `gitlab:x` or a URL.
    pub authorized_keys: BTreeMap<String, Vec<String>>,
    /// `environment`: variable -> value, as written.
    pub environment: BTreeMap<String, String>,
    /// `environment_file`: where `environment` goes; absent: `/etc/environment`.
    pub environment_file: Option<String>,
    /// Keys that are valid, but that this version does not carry out.
    pub not_carried_out: Vec<String>,
}

/// The start of names of steps that run from the medium only and are not copied to the host.
pub(crate) const SKIP_COPY: &str = "skip-copy-";

/// Reads `stages`. A step with an error is left out; its neighbours are not.
pub(crate) fn read(node: &Node, path: &str, findings: &mut Findings) -> Stages {
    let mut stages = Stages::default();
    if !matches!(node.value, Value::Map(_)) {
        let expected = format!(
            "a mapping from stages to lists of steps is needed, this is {}",
            node.kind()
        );
        let rule = if matches!(node.value, Value::Null) {
            Rule::Empty
        } else {
            Rule::Type
        };
        findings.error(rule, node.position, path, &expected, "");
        return stages;
    }
    for entry in node.entries() {
        let path = join(path, &entry.key);
        check_stage_name(&entry.key, entry.position, &path, findings);
        let steps = read_stage(&entry.node, entry.position, &path, findings);
        stages.0.insert(entry.key.clone(), steps);
    }
    stages
}

/// Other stages are possible (tools may run any name), so an unknown one is only warned about.
fn check_stage_name(name: &str, position: Position, path: &str, findings: &mut Findings) {
    let base = name
        .strip_suffix(".before")
        .or_else(|| name.strip_suffix(".after"))
        .unwrap_or(name);
    if schema::NAMES.contains(&base) {
        return;
    }
    let hint = did_you_mean(base, schema::NAMES.iter().copied());
    let advice = hint.map_or_else(String::new, |name| {
        format!("write `{name}` if that is meant")
    });
    findings.warning(
        Rule::UnknownKey,
        position,
        path,
        "no host runs a stage of this name by itself",
        &advice,
    );
}

fn read_stage(node: &Node, key: Position, path: &str, findings: &mut Findings) -> Vec<Step> {
    match &node.value {
        Value::List(steps) => {
            let numbered = steps.iter().enumerate();
            numbered
                .filter_map(|(index, step)| read_step(step, &format!("{path}[{index}]"), findings))
                .collect()
        }
        Value::Map(_) => {
            let reason = "a stage is a list of steps, this is one step without its dash";
            findings.warning(
                Rule::Type,
                node.position,
                path,
                reason,
                "write `- ` before the first key of the step",
            );
            read_step(node, path, findings).into_iter().collect()
        }
        Value::Null => {
            // `kairos-agent` crashes on it in the middle of an install.
            let advice = "write a list of steps or remove the stage";
            findings.error(
                Rule::Empty,
                key,
                path,
                "the stage has nothing under it",
                advice,
            );
            Vec::new()
        }
        _ => {
            let reason = format!("a stage is a list of steps, this is {}", node.kind());
            findings.error(Rule::Type, node.position, path, &reason, "");
            Vec::new()
        }
    }
}

fn read_step(node: &Node, path: &str, findings: &mut Findings) -> Option<Step> {
    let errors = findings.errors();
    check_object(node, &schema::STEP, path, findings);
    let of = |key: &str| node.at(&[key]);
    let users = of("users").map(Node::entries).unwrap_or_default();
    let step = Step {
        name: node.text_at("name"),
        line: node.position.line,
        condition: node.text_at("if"),
        undecided: keys_in(node, schema::CONDITIONS),
        directories: files::read_directories(of("directories"), path, findings),
        files: files::read_files(of("files"), path, findings),
        commands: node.texts_at("commands"),
        hostname: read_hostname(of("hostname"), path, findings),
        users: users
            .iter()
            .filter_map(|entry| accounts::read_named(entry, path, findings))
            .collect(),
        authorized_keys: read_authorized_keys(of("authorized_keys"), path, findings),
        environment: read_environment(of("environment"), path, findings),
        environment_file: read_environment_file(of("environment_file"), path, findings),
        not_carried_out: not_carried_out(node, &schema::STEP),
    };
    (findings.errors() == errors).then_some(step)
}

fn keys_in(node: &Node, fields: &[crate::schema::Field]) -> Vec<String> {
    let known = |key: &str| fields.iter().any(|field| field.name == key);
    node.entries()
        .iter()
        .map(|entry| entry.key.clone())
        .filter(|key| known(key))
        .collect()
}

fn not_carried_out(node: &Node, schema: &Schema) -> Vec<String> {
    let idle = |key: &str| schema.field(key).is_some_and(crate::schema::Field::is_idle);
    node.entries()
        .iter()
        .map(|entry| entry.key.clone())
        .filter(|key| idle(key))
        .collect()
}

/// A host name may be a template such as `node-{{ trunc 4 .MachineID }}`; then only its line breaks are looked at.
fn read_hostname(node: Option<&Node>, path: &str, findings: &mut Findings) -> Option<String> {
    let node = node?;
    let text = node.as_text()?;
    if is_host_name(text) || (text.contains("{{") && !text.contains(char::is_control)) {
        return Some(text.to_owned());
    }
    let advice = "use letters, digits and dashes, at most 63 between dots";
    findings.error(
        Rule::Name,
        node.position,
        &join(path, "hostname"),
        "this is not a host name",
        advice,
    );
    None
}

fn read_authorized_keys(
    node: Option<&Node>,
    path: &str,
    findings: &mut Findings,
) -> BTreeMap<String, Vec<String>> {
    let entries = node.map(Node::entries).unwrap_or_default();
    for entry in entries {
        let path = join(&join(path, "authorized_keys"), &entry.key);
        if !is_account_name(&entry.key) {
            findings.error(
                Rule::Name,
                entry.position,
                &path,
                "this is not the name of a user",
                "",
            );
        }
        accounts::check_keys(&entry.node, &path, findings);
    }
    entries
        .iter()
        .map(|entry| (entry.key.clone(), entry.node.texts()))
        .collect()
}

fn read_environment(
    node: Option<&Node>,
    path: &str,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    for entry in node.map(Node::entries).unwrap_or_default() {
        let path = join(&join(path, "environment"), &entry.key);
        let first = entry
            .key
            .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !first
            || !entry
                .key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            findings.error(
                Rule::Name,
                entry.position,
                &path,
                "this is not the name of a variable",
                "use letters, digits and `_`",
            );
        }
        if entry
            .node
            .as_scalar()
            .is_some_and(|value| value.contains(char::is_control))
        {
            findings.error(
                Rule::Value,
                entry.node.position,
                &path,
                "the value has more than one line",
                "write one line",
            );
        }
    }
    node.map(Node::scalars).unwrap_or_default()
}

fn read_environment_file(
    node: Option<&Node>,
    path: &str,
    findings: &mut Findings,
) -> Option<String> {
    let node = node?;
    crate::place::check_path(node, &join(path, "environment_file"), findings);
    node.as_text()
        .filter(|text| path_fault(text).is_none())
        .map(str::to_owned)
}
