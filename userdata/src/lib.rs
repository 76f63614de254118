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
mod hooks;
mod install;
mod key_path;
mod landfall;
mod merge;
mod oem;
mod pattern;
mod place;
mod reader;
mod reference;
mod render;
mod rule;
mod schema;
mod secret;
mod stages;
mod starting;
mod stylus;
mod text;
mod tree;
mod variables;
mod write;

pub use checks::{check_complete, check_eks};
pub use finding::{Finding, Position, Rule, Severity, has_errors};
pub use install::{Afterwards, Device, ExtraPartition, Install, PartitionSizes};
pub use landfall::{DiskSelector, Landfall, Mode, SizeRange, Table, Transport, Wipe};
pub use merge::{Decision, Merged, merge};
pub use oem::custom_mounts_document;
pub use pattern::Expression;
pub use place::is_host_name;
pub use reference::{json_schema, reference_markdown};
pub use render::render;
pub use secret::{MASK, Secret};
pub use stages::{
    AddPartition, Conditions, Datasource, Directory, Dns, Download, Encoding, Entity, File,
    HostName, Layout, LayoutDevice, NameValues, Override, Stages, Step, Systemctl, User, is_hashed,
};
pub use starting::{Profile, starting_document};
pub use stylus::{
    DeviceUidPath, Endpoint, ExternalRegistries, HostId, Interface, LocalUi, ManagementMode,
    Network, Registry, Site, Stylus, TagsFromFile, TagsFromScript, Webhook,
};
pub use text::MAX_BYTES;
pub use variables::Variables;

use serde::Serialize;

use crate::finding::{Findings, Tolerance};
use crate::key_path::KeyPath;
use crate::schema::{Schema, Shape, Unknown, field, not_carried_out};
use crate::tree::{Node, Value};

const UNDER_INSTALL: &str = "move it under `install:`";

/// The top level (`reference/palette.md` 1.2): other programs may have keys of their own here.
static TOP: Schema = Schema {
    fields: &[
        &[
            field(
                "stylus",
                Shape::Object(&stylus::STYLUS),
                "What the Palette agent and the registration read.",
            ),
            field(
                "install",
                Shape::Object(&install::INSTALL),
                "What the installer reads.",
            ),
            field(
                "landfall",
                Shape::Object(&landfall::LANDFALL),
                "What only Landfall reads; other programs pass over it.",
            ),
            field(
                "stages",
                Shape::Stages,
                "What the host does at the points of its life: lists of steps by stage.",
            ),
            field(
                "users",
                Shape::Users(&stages::LISTED_USER),
                "Users, as cloud-init lists them.",
            ),
        ],
        stages::CLOUD_INIT,
        &[
            field(
                "config_url",
                Shape::Text,
                "Where the installer fetches more user-data, which wins over this document. May have variables.",
            ),
            not_carried_out("bundles", Shape::Any, "Bundles that are unpacked."),
        ],
        PASSED_ON,
    ],
    misplaced: &[
        ("site", "move it under `stylus:`"),
        ("siteNetwork", "write it as `network` under `stylus.site`"),
        ("reboot", UNDER_INSTALL),
        ("poweroff", UNDER_INSTALL),
        (
            "EnableUserdataForm",
            "write `featureGate: UserDataForm` under `stylus`",
        ),
    ],
    unknown: Unknown::Kept,
};

/// Keys of Kairos that are kept for its tools (`reference/kairos.md` 1.1).
const PASSED_ON: &[schema::Field] = &[
    kept("name"),
    kept("reset"),
    kept("upgrade"),
    kept("grub_options"),
    kept("env"),
    kept("options"),
    kept("debug"),
    kept("strict"),
    kept("eject-cd"),
    kept("fail_on_bundles_errors"),
    kept("cloud-init-paths"),
    kept("cosign"),
    kept("cosign-key"),
    kept("verify"),
    kept("arch"),
    kept("squash-compression"),
    kept("squash-no-compression"),
    kept("uki-max-entries"),
    kept("bind-pcrs"),
    kept("bind-public-pcrs"),
    kept("logs"),
    kept("providers"),
];

const fn kept(name: &'static str) -> schema::Field {
    field(name, Shape::Any, "Kept for the tools of Kairos.")
}

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
    /// `landfall`.
    pub landfall: Landfall,
    /// `stages`, behind the steps that cloud-init's own keys become, such as `users` in `boot`.
    pub stages: Stages,
    /// Top-level `users`, which are also in [`UserData::stages`].
    pub users: Vec<User>,
    /// `config_url`: an address with `https://` or `http://`. It may hold a secret.
    pub config_url: Option<Secret>,
    #[serde(skip)]
    pub(crate) document: Node,
}

/// Reads one user-data document strictly.
///
/// `name` is what findings call the document. All findings come in one run, unless the text is not YAML; then reading
/// ends there. Text over [`MAX_BYTES`], that is not UTF-8, or that has control characters is refused before it is
/// parsed; the memory stays within some tens of MiB whatever the text is.
pub fn parse(name: &str, bytes: &[u8]) -> Parsed {
    parse_tolerating(name, bytes, Tolerance::Strict, None)
}

/// Reads one user-data document as [`parse`] does, and puts what the machine is called into the places that may have
/// variables: `config_url` and, under `stylus.site`, `name`, `hostName`, `registrationURL` and the values of `tags`.
pub fn parse_for(name: &str, bytes: &[u8], machine: &Variables) -> Parsed {
    parse_tolerating(name, bytes, Tolerance::Strict, Some(machine))
}

/// Reads one user-data document as [`parse`] does, but only warns about keys that it does not know (rule U08), as a
/// document for a newer version has them.
pub fn parse_leniently(name: &str, bytes: &[u8]) -> Parsed {
    parse_tolerating(name, bytes, Tolerance::UnknownKeys, None)
}

fn parse_tolerating(
    name: &str,
    bytes: &[u8],
    tolerance: Tolerance,
    machine: Option<&Variables>,
) -> Parsed {
    let mut findings = Findings::tolerating(name, tolerance);
    let user_data = read(name, bytes, machine, &mut findings);
    let accepted = findings.errors() == 0;
    Parsed {
        findings: findings.finish(),
        user_data: user_data.filter(|_| accepted),
    }
}

fn read(
    name: &str,
    bytes: &[u8],
    machine: Option<&Variables>,
    findings: &mut Findings,
) -> Option<UserData> {
    let text = text::decode(bytes, findings)?;
    text::check_header(text, findings);
    let errors = findings.errors();
    let Some(mut document) = reader::read(text::without_bom(text), findings) else {
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
    if let Some(machine) = machine {
        variables::fill_in(&mut document, machine, findings);
    }
    schema::check_object(&document, &TOP, &KeyPath::ROOT, findings);
    checks::warn_of_placeholders(&document, &KeyPath::ROOT, findings);
    checks::warn_of_stages_at_top(&document, findings);
    let stylus = document
        .at(&["stylus"])
        .map(|node| stylus::read(node, findings));
    let install = document
        .at(&["install"])
        .map(|node| install::read(node, findings));
    let landfall = document
        .at(&["landfall"])
        .map(|node| landfall::read(node, findings));
    landfall::refuse_two_disks(&document, findings);
    landfall::refuse_more_on_mbr(&document, findings);
    let (stages, users) = read_stages(&document, findings);
    let config_url = document
        .at(&["config_url"])
        .and_then(|node| read_config_url(node, findings));
    Some(UserData {
        name: name.to_owned(),
        stylus: stylus.unwrap_or_default(),
        install: install.unwrap_or_default(),
        landfall: landfall.unwrap_or_default(),
        stages,
        users,
        config_url,
        document,
    })
}

fn read_config_url(node: &Node, findings: &mut Findings) -> Option<Secret> {
    let text = node.as_text()?;
    if is_web_address(text) {
        return Some(Secret::new(text));
    }
    let reason = "user-data cannot be fetched from here: this is not an http or https address";
    let advice = "write the whole address, such as `https://config.example.com/${uuid}`";
    findings.error(Rule::Value, node.position, "config_url", reason, advice);
    None
}

/// Whether a text is an address as `config_url` may have it: `http://` or `https://`, a host, no blanks.
pub fn is_web_address(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let forbidden = |c: char| c.is_whitespace() || c.is_control();
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) && !text.contains(forbidden)
}

fn read_stages(document: &Node, findings: &mut Findings) -> (Stages, Vec<User>) {
    let users = document
        .at(&["users"])
        .map(|node| stages::read_listed(node, findings))
        .unwrap_or_default();
    let mut steps = stages::read_cloud_init(document, &users, findings);
    if let Some(node) = document.at(&["stages"]) {
        steps.append(stages::read(node, &KeyPath::top("stages"), findings));
    }
    (steps, users)
}

/// What [`parse_stage_file`] gives.
#[derive(Debug, Clone, Serialize)]
pub struct StageFile {
    /// Top-level `name`: the steps of the file are then also known as `<name>.<step>`.
    pub name: Option<String>,
    /// Everything found, in the order of the text.
    pub findings: Vec<Finding>,
    /// The steps that can run; empty if the file is not YAML.
    pub stages: Stages,
}

/// Reads the stages of any file of `/oem` or `/system/oem` at boot.
///
/// It never fails: a file that is not YAML has no stages, a step with an error is left out, and the findings say so,
/// because one broken step must not take the host's login or network with it. No header is asked for, and keys
/// other than `stages`, those of cloud-init and `stylus.site.users` are not looked at; the two latter become steps before
/// the others, as in Kairos.
pub fn parse_stage_file(name: &str, bytes: &[u8]) -> StageFile {
    let mut findings = Findings::tolerating(name, Tolerance::AtBoot);
    let (name, stages) = read_stage_file(bytes, &mut findings).unwrap_or_default();
    StageFile {
        name,
        findings: findings.finish(),
        stages,
    }
}

fn read_stage_file(bytes: &[u8], findings: &mut Findings) -> Option<(Option<String>, Stages)> {
    let text = text::without_bom(text::decode(bytes, findings)?);
    let document = reader::read(text, findings)?;
    if !matches!(document.value, Value::Map(_) | Value::Null) {
        schema::wrong_type(&document, "a mapping", &KeyPath::ROOT, findings);
    }
    stages::check_cloud_init(&document, findings);
    let mut all = Stages::default();
    if let Some(step) = stages::read_site_users_step(&document, findings) {
        all.push(stages::SITE_USERS_STAGE, step);
    }
    all.append(read_stages(&document, findings).0);
    Some((document.text_at("name"), all))
}
