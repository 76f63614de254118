//! `stages`: what a host does at the points of its life, as steps.

mod account_schema;
mod accounts;
mod cloud_init;
mod conditions;
mod entities;
mod files;
mod host_name;
mod layout;
mod schema;
mod site_users;
mod sources;
mod system;

use std::collections::BTreeMap;

use serde::Serialize;

pub use accounts::{User, is_hashed};
pub use conditions::Conditions;
pub use entities::Entity;
pub use files::{Directory, Encoding, File};
pub use host_name::{HostName, NameValues};
pub use layout::{AddPartition, Layout, LayoutDevice};
pub use sources::{Datasource, Dns, Download};
pub use system::{Override, Systemctl};

pub(crate) use account_schema::{LISTED_USER, SITE_USER};
pub(crate) use accounts::{read_listed, read_site_users};
pub(crate) use cloud_init::{CLOUD_INIT, check_form as check_cloud_init, read as read_cloud_init};
pub(crate) use schema::{NAMES, STEP, base, is_stage};
pub(crate) use site_users::{STAGE as SITE_USERS_STAGE, read as read_site_users_step};

use crate::finding::{Findings, Position, Rule};
use crate::hint::did_you_mean;
use crate::key_path::KeyPath;
use crate::place::{check_path, is_account_name, path_fault};
use crate::schema::{Schema, check_object};
use crate::tree::{Entry, Node, Value};

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

    /// Adds all steps of `others` behind those of the same stage.
    pub(crate) fn append(&mut self, others: Self) {
        for (stage, steps) in others.0 {
            self.0.entry(stage).or_default().extend(steps);
        }
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
    /// The other conditions.
    pub conditions: Conditions,
    /// `after`: names of steps that come before this one, each `<file>.<step>`; see [`crate::StageFile::name`].
    pub after: Vec<String>,
    /// `dns`.
    pub dns: Option<Dns>,
    /// `downloads`.
    pub downloads: Vec<Download>,
    /// `ensure_entities`.
    pub ensure_entities: Vec<Entity>,
    /// `directories`.
    pub directories: Vec<Directory>,
    /// `files`.
    pub files: Vec<File>,
    /// `commands`: shell texts.
    pub commands: Vec<String>,
    /// `delete_entities`.
    pub delete_entities: Vec<Entity>,
    /// `hostname`.
    pub hostname: Option<HostName>,
    /// `sysctl`: parameter -> value, as written.
    pub sysctl: BTreeMap<String, String>,
    /// `users`, sorted by name.
    pub users: Vec<User>,
    /// `authorized_keys`: user -> lines of `authorized_keys`. A line may be `github:x`, `gitlab:x` or a URL.
    pub authorized_keys: BTreeMap<String, Vec<String>>,
    /// `modules`.
    pub modules: Vec<String>,
    /// `timesyncd`: setting -> value, as written.
    pub timesyncd: BTreeMap<String, String>,
    /// `systemctl`.
    pub systemctl: Option<Systemctl>,
    /// `environment`: variable -> value, as written.
    pub environment: BTreeMap<String, String>,
    /// `environment_file`: where `environment` goes; absent: `/etc/environment`.
    pub environment_file: Option<String>,
    /// `systemd_firstboot`: setting -> value, as written.
    pub systemd_firstboot: BTreeMap<String, String>,
    /// `datasource`.
    pub datasource: Option<Datasource>,
    /// `layout`.
    pub layout: Option<Layout>,
    /// Keys that are valid, but that this version does not carry out.
    pub not_carried_out: Vec<String>,
}

/// The start of names of steps that run from the medium only and are not copied to the host.
pub(crate) const SKIP_COPY: &str = "skip-copy-";

/// Reads `stages`. A step with an error is left out; its neighbours are not.
pub(crate) fn read(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Stages {
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
        let path = path.key(&entry.key);
        check_stage_name(&entry.key, entry.position, &path, findings);
        warn_of_fleeting(entry, &path, findings);
        let steps = read_stage(&entry.node, entry.position, &path, findings);
        stages.0.insert(entry.key.clone(), steps);
    }
    stages
}

/// Other stages are possible (tools may run any name), so an unknown one is only warned about.
fn check_stage_name(name: &str, position: Position, path: &KeyPath<'_>, findings: &mut Findings) {
    if is_stage(name) {
        return;
    }
    let hint = did_you_mean(schema::base(name), NAMES.iter().map(|(name, _)| *name));
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

/// On a system that can be written, these stages were the place for changes of the image; here the image stays as it is.
fn warn_of_fleeting(entry: &Entry, path: &KeyPath<'_>, findings: &mut Findings) {
    if !schema::base(&entry.key).ends_with("-chroot") || entry.node.items().is_empty() {
        return;
    }
    let reason = "what these steps write outside of `/oem`, `/usr/local` and the directories that persist does not stay";
    let advice = "write it in `initramfs` or `boot`, which run at every start, or put it into the provider image";
    findings.warning(Rule::Fleeting, entry.position, path, reason, advice);
}

fn read_stage(
    node: &Node,
    key: Position,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Vec<Step> {
    match &node.value {
        Value::List(steps) => {
            let numbered = steps.iter().enumerate();
            numbered
                .filter_map(|(index, step)| read_step(step, &path.item(index), findings))
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

fn read_step(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<Step> {
    let errors = findings.errors();
    check_object(node, &STEP, path, findings);
    let of = |key: &str| node.at(&[key]);
    let step = Step {
        name: node.text_at("name"),
        line: node.position.line,
        condition: node.text_at("if"),
        conditions: conditions::read(node, path, findings),
        after: read_after(of("after")),
        dns: sources::read_dns(of("dns"), path, findings),
        downloads: sources::read_downloads(of("downloads"), path, findings),
        ensure_entities: entities::read("ensure_entities", node, path, findings),
        directories: files::read_directories(of("directories"), path, findings),
        files: files::read_files(of("files"), path, findings),
        commands: node.texts_at("commands"),
        delete_entities: entities::read("delete_entities", node, path, findings),
        hostname: host_name::read(of("hostname"), path, findings),
        sysctl: system::read_sysctl(of("sysctl"), path, findings),
        users: read_users(of("users"), path, findings),
        authorized_keys: read_authorized_keys(of("authorized_keys"), path, findings),
        modules: system::read_modules(of("modules"), path, findings),
        timesyncd: system::read_timesyncd(of("timesyncd"), path, findings),
        systemctl: system::read_systemctl(of("systemctl"), path, findings),
        environment: system::read_environment(of("environment"), path, findings),
        environment_file: read_environment_file(of("environment_file"), path, findings),
        systemd_firstboot: system::read_firstboot(of("systemd_firstboot"), path, findings),
        datasource: sources::read_datasource(of("datasource"), path, findings),
        layout: layout::read(of("layout"), path, findings),
        not_carried_out: not_carried_out(node, &STEP),
    };
    (findings.errors() == errors).then_some(step)
}

fn read_users(node: Option<&Node>, path: &KeyPath<'_>, findings: &mut Findings) -> Vec<User> {
    let path = path.key("users");
    let entries = node.map(Node::entries).unwrap_or_default().iter();
    entries
        .filter_map(|entry| accounts::read_named(entry, &path, findings))
        .collect()
}

fn read_after(node: Option<&Node>) -> Vec<String> {
    let items = node.map(Node::items).unwrap_or_default().iter();
    items.filter_map(|item| item.text_at("name")).collect()
}

fn not_carried_out(node: &Node, schema: &Schema) -> Vec<String> {
    let idle = |key: &str| schema.field(key).is_some_and(crate::schema::Field::is_idle);
    node.entries()
        .iter()
        .map(|entry| entry.key.clone())
        .filter(|key| idle(key))
        .collect()
}

fn read_authorized_keys(
    node: Option<&Node>,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, Vec<String>> {
    let keys = path.key("authorized_keys");
    let entries = node.map(Node::entries).unwrap_or_default();
    for entry in entries {
        let path = keys.key(&entry.key);
        if !is_account_name(&entry.key) {
            findings.error(
                Rule::Name,
                entry.position,
                path,
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

fn read_environment_file(
    node: Option<&Node>,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<String> {
    let node = node?;
    check_path(node, &path.key("environment_file"), findings);
    node.as_text()
        .filter(|text| path_fault(text).is_none())
        .map(str::to_owned)
}
