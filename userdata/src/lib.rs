//! Text to meaning: the user-data of a host, what is wrong with it and where, and what of it ends on the disk.
//!
//! [`parse`] reads one document strictly and gives [`UserData`] or the reasons why not; [`parse_stage_file`] reads any
//! stage file at boot and drops only the steps that are broken. The crate knows nothing of disks and networks: it
//! starts no program and opens no file.
//!
//! The way of a document: `text` refuses what is no text, `reader` makes a tree with positions of it, the tables
//! (`schema` in each room) check its form, the rooms `stylus`, `install` and `stages` check and type its values.

mod certificate;
mod checks;
mod finding;
mod hint;
mod install;
mod oem;
mod place;
mod reader;
mod render;
mod schema;
mod secret;
mod stages;
mod stylus;
mod text;
mod tree;
mod write;

pub use checks::{check_complete, check_eks};
pub use finding::{Finding, Position, Rule, Severity, has_errors};
pub use install::{Afterwards, Device, ExtraPartition, Install, PartitionSizes};
pub use oem::custom_mounts_document;
pub use render::render;
pub use secret::{MASK, Secret};
pub use stages::{Directory, Encoding, File, Stages, Step, User, is_hashed};
pub use stylus::{Endpoint, HostId, Interface, ManagementMode, Network, Site, Stylus};
pub use text::MAX_BYTES;

use serde::Serialize;

use crate::finding::Findings;
use crate::schema::{Schema, Shape, Unknown, field, not_carried_out};
use crate::tree::{Node, Value};

/// The top level (`reference/palette.md` 1.2): other programs may have keys of their own here.
static TOP: Schema = Schema {
    fields: &[&[
        field("stylus", Shape::Object(&stylus::STYLUS)),
        field("install", Shape::Object(&install::INSTALL)),
        field("stages", Shape::Any),
        field("users", Shape::Any),
        not_carried_out("ssh_authorized_keys", Shape::Any),
        not_carried_out("write_files", Shape::Any),
        not_carried_out("runcmd", Shape::Any),
        not_carried_out("hostname", Shape::Any),
        not_carried_out("growpart", Shape::Any),
        not_carried_out("config_url", Shape::Any),
        not_carried_out("bundles", Shape::Any),
        field("name", Shape::Any),
        field("reset", Shape::Any),
        field("upgrade", Shape::Any),
        field("grub_options", Shape::Any),
        field("env", Shape::Any),
        field("options", Shape::Any),
        field("debug", Shape::Any),
        field("strict", Shape::Any),
        field("eject-cd", Shape::Any),
        field("fail_on_bundles_errors", Shape::Any),
        field("cloud-init-paths", Shape::Any),
    ]],
    misplaced: &[
        ("site", "move it under `stylus:`"),
        ("siteNetwork", "write it as `network` under `stylus.site`"),
        ("reboot", "move it under `install:`"),
        ("poweroff", "move it under `install:`"),
    ],
    unknown: Unknown::Kept,
};

/// What [`parse`] gives.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Everything found, in the order of the text.
    pub findings: Vec<Finding>,
    /// The meaning; absent if any finding is an error.
    pub user_data: Option<UserData>,
}

/// A document without errors.
///
/// `Debug` and `Serialize` mask what is secret. Keys that are valid but have no field here are kept for
/// [`UserData::oem_document`].
#[derive(Debug, Clone, Serialize)]
pub struct UserData {
    /// Name of the document, for findings.
    pub name: String,
    /// `stylus`.
    pub stylus: Stylus,
    /// `install`.
    pub install: Install,
    /// `stages`, without the top-level `users`.
    pub stages: Stages,
    /// Top-level `users`; at boot [`parse_stage_file`] makes a step of `boot` of them.
    pub users: Vec<User>,
    #[serde(skip)]
    pub(crate) document: Node,
}

/// Reads one user-data document strictly.
///
/// `name` is what findings call the document. All findings come in one run, unless the text is not YAML; then reading
/// ends there. Text over [`MAX_BYTES`], that is not UTF-8, or that has control characters is refused before it is
/// parsed; the memory stays within some tens of MiB whatever the text is.
pub fn parse(name: &str, bytes: &[u8]) -> Parsed {
    let mut findings = Findings::new(name);
    let user_data = read(name, bytes, &mut findings);
    let accepted = findings.errors() == 0;
    Parsed {
        findings: findings.finish(),
        user_data: user_data.filter(|_| accepted),
    }
}

fn read(name: &str, bytes: &[u8], findings: &mut Findings) -> Option<UserData> {
    let text = text::decode(bytes, findings)?;
    text::check_header(text, findings);
    let errors = findings.errors();
    let Some(document) = reader::read(text::without_bom(text), findings) else {
        if findings.errors() == errors {
            findings.error(
                Rule::Empty,
                Position::START,
                "",
                "the document is empty",
                "write at least `stylus: ...`",
            );
        }
        return None;
    };
    schema::check_object(&document, &TOP, "", findings);
    checks::warn_of_placeholders(&document, findings);
    let stylus = document
        .at(&["stylus"])
        .map(|node| stylus::read(node, findings));
    let install = document
        .at(&["install"])
        .map(|node| install::read(node, findings));
    let (stages, users) = read_stages(&document, findings);
    Some(UserData {
        name: name.to_owned(),
        stylus: stylus.unwrap_or_default(),
        install: install.unwrap_or_default(),
        stages,
        users,
        document,
    })
}

fn read_stages(document: &Node, findings: &mut Findings) -> (Stages, Vec<User>) {
    let stages = document
        .at(&["stages"])
        .map(|node| stages::read(node, "stages", findings));
    let users = document
        .at(&["users"])
        .map(|node| stages::read_listed(node, findings));
    (stages.unwrap_or_default(), users.unwrap_or_default())
}

/// What [`parse_stage_file`] gives.
#[derive(Debug, Clone, Serialize)]
pub struct StageFile {
    /// Everything found, in the order of the text.
    pub findings: Vec<Finding>,
    /// The steps that can run; empty if the file is not YAML.
    pub stages: Stages,
}

/// Reads the stages of any file of `/oem` or `/system/oem` at boot.
///
/// It never fails: a file that is not YAML has no stages, a step with an error is left out, and the findings say so,
/// because one broken step must not take the host's login or network with it. No header is asked for, and keys
/// other than `stages` and `users` are not looked at. Top-level `users` become one step at the end of `boot`, as in
/// Kairos.
pub fn parse_stage_file(name: &str, bytes: &[u8]) -> StageFile {
    let mut findings = Findings::new(name);
    let stages = read_stage_file(bytes, &mut findings);
    StageFile {
        findings: findings.finish(),
        stages: stages.unwrap_or_default(),
    }
}

fn read_stage_file(bytes: &[u8], findings: &mut Findings) -> Option<Stages> {
    let text = text::without_bom(text::decode(bytes, findings)?);
    let document = reader::read(text, findings)?;
    if !matches!(document.value, Value::Map(_) | Value::Null) {
        schema::wrong_type(&document, "a mapping", "", findings);
    }
    let (mut stages, users) = read_stages(&document, findings);
    if !users.is_empty() {
        stages.push(
            "boot",
            Step {
                name: Some("users".to_owned()),
                users,
                ..Step::default()
            },
        );
    }
    Some(stages)
}
