//! `ensure_entities` and `delete_entities`: lines of passwd(5), group(5), shadow(5) and gshadow(5), each written as a
//! small YAML text of its own.

use serde::Serialize;

use crate::finding::{Findings, Position, Rule, Tolerance};
use crate::key_path::KeyPath;
use crate::place::{is_account_name, is_passwd_field};
use crate::reader;
use crate::schema::{Schema, Shape, check_object, field, tolerant};
use crate::secret::Secret;
use crate::tree::Node;

/// One of `ensure_entities` or `delete_entities`. What is absent is left as it is, or gets its usual value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entity {
    /// A line of `/etc/passwd`.
    User {
        /// `username`.
        name: String,
        /// `password`: clear text or a hash, which goes to shadow(5); `x` and nothing mean that it stands there.
        password: Option<Secret>,
        /// `uid`.
        uid: Option<u32>,
        /// `gid` of the primary group.
        gid: Option<u32>,
        /// `info`: the full name.
        info: Option<String>,
        /// `homedir`.
        homedir: Option<String>,
        /// `shell`.
        shell: Option<String>,
    },
    /// A line of `/etc/shadow`.
    Shadow {
        /// `username`.
        name: String,
        /// `password`: clear text, a hash or a lock.
        password: Option<Secret>,
        /// `last_changed` (days since 1970, or `now`), `minimum_changed`, `maximum_changed`, `warn`, `inactive`,
        /// `expire`, `reserved`: the third field and those behind it.
        days: [Option<String>; 7],
    },
    /// A line of `/etc/group`.
    Group {
        /// `group_name`.
        name: String,
        /// `gid`.
        gid: Option<u32>,
        /// `users`: members to be added.
        users: Vec<String>,
    },
    /// A line of `/etc/gshadow`.
    Gshadow {
        /// `name`.
        name: String,
        /// `password`: a hash or a lock.
        password: Option<Secret>,
        /// `administrators` to be added.
        administrators: Vec<String>,
        /// `members` to be added.
        members: Vec<String>,
    },
}

impl Entity {
    /// Name of the user or group.
    pub fn name(&self) -> &str {
        match self {
            Self::User { name, .. }
            | Self::Shadow { name, .. }
            | Self::Group { name, .. }
            | Self::Gshadow { name, .. } => name,
        }
    }

    /// The file that has the line.
    pub fn file(&self) -> &'static str {
        match self {
            Self::User { .. } => "/etc/passwd",
            Self::Shadow { .. } => "/etc/shadow",
            Self::Group { .. } => "/etc/group",
            Self::Gshadow { .. } => "/etc/gshadow",
        }
    }
}

const DAYS: [&str; 7] = [
    "last_changed",
    "minimum_changed",
    "maximum_changed",
    "warn",
    "inactive",
    "expire",
    "reserved",
];

static USER: Schema = tolerant(&[&[
    field("kind", Shape::Text, ""),
    field("username", Shape::Text, ""),
    field("password", Shape::Text, ""),
    field("uid", Shape::Count, ""),
    field("gid", Shape::Count, ""),
    field("info", Shape::Text, ""),
    field("homedir", Shape::Text, ""),
    field("shell", Shape::Text, ""),
]]);

static SHADOW: Schema = tolerant(&[&[
    field("kind", Shape::Text, ""),
    field("username", Shape::Text, ""),
    field("password", Shape::Text, ""),
    field("last_changed", Shape::Scalar, ""),
    field("minimum_changed", Shape::Scalar, ""),
    field("maximum_changed", Shape::Scalar, ""),
    field("warn", Shape::Scalar, ""),
    field("inactive", Shape::Scalar, ""),
    field("expire", Shape::Scalar, ""),
    field("reserved", Shape::Scalar, ""),
]]);

static GROUP: Schema = tolerant(&[&[
    field("kind", Shape::Text, ""),
    field("group_name", Shape::Text, ""),
    field("password", Shape::Text, ""),
    field("gid", Shape::Count, ""),
    field("users", Shape::TextOrTexts, ""),
]]);

static GSHADOW: Schema = tolerant(&[&[
    field("kind", Shape::Text, ""),
    field("name", Shape::Text, ""),
    field("password", Shape::Text, ""),
    field("administrators", Shape::TextOrTexts, ""),
    field("members", Shape::TextOrTexts, ""),
]]);

/// Reads the list under `key`. An item that cannot be carried out as it is written is an error.
pub(super) fn read(
    key: &str,
    step: &Node,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Vec<Entity> {
    let path = path.key(key);
    let mut entities = Vec::new();
    let items = step.at(&[key]).map(Node::items).unwrap_or_default();
    for (index, item) in items.iter().enumerate() {
        let path = path.item(index);
        let (Some(text), Some(node)) = (item.text_at("entity"), item.at(&["entity"])) else {
            let (reason, advice) = ("there is no entity", "write `entity: ...`");
            findings.error(Rule::Empty, item.position, path, reason, advice);
            continue;
        };
        let text_path = path.key("entity");
        let read = read_text(&text, node.position, &text_path, findings);
        if let (Some(entity), Some(file)) = (&read, item.at(&["path"])) {
            check_file(entity, file, &path, findings);
        }
        entities.extend(read);
    }
    entities
}

/// Logins read the usual files and no others; a line elsewhere would be a user that nobody knows.
fn check_file(entity: &Entity, file: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    if file
        .as_text()
        .is_none_or(|text| text.is_empty() || text == entity.file())
    {
        return;
    }
    let reason = format!("a line of this kind belongs into {}", entity.file());
    let advice = "leave `path` out";
    findings.error(Rule::Path, file.position, path.key("path"), &reason, advice);
}

/// Reads one text. Its findings stand where the text begins: it has no lines of its own in the document.
fn read_text(
    text: &str,
    position: Position,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<Entity> {
    let mut inner = Findings::tolerating("", Tolerance::AtBoot);
    let entity = reader::read(text, &mut inner).and_then(|node| typed(&node, &mut inner));
    let errors = inner.errors();
    for finding in inner.finish() {
        let place = if finding.path.is_empty() {
            format!("{path}")
        } else {
            format!("{path}.{}", finding.path)
        };
        let advice = finding.advice.unwrap_or_default();
        if finding.severity == crate::finding::Severity::Error {
            findings.error(finding.rule, position, place, &finding.reason, &advice);
        } else {
            findings.warning(finding.rule, position, place, &finding.reason, &advice);
        }
    }
    if entity.is_none() && errors == 0 {
        findings.error(Rule::Empty, position, path, "the entity is empty", "");
    }
    entity.filter(|_| errors == 0)
}

fn typed(node: &Node, findings: &mut Findings) -> Option<Entity> {
    let root = KeyPath::ROOT;
    let kind = node.text_at("kind").unwrap_or_default();
    let (schema, name_key) = match kind.as_str() {
        "user" => (&USER, "username"),
        "shadow" => (&SHADOW, "username"),
        "group" => (&GROUP, "group_name"),
        "gshadow" => (&GSHADOW, "name"),
        _ => {
            let reason = "there is no such kind of entity";
            let advice = "write `kind: user`, `shadow`, `group` or `gshadow`";
            findings.error(Rule::Value, node.position, root.key("kind"), reason, advice);
            return None;
        }
    };
    check_object(node, schema, &root, findings);
    check_fields(node, name_key, findings);
    let name = node.text_at(name_key)?;
    let password = node.text_at("password").map(Secret::new);
    Some(match kind.as_str() {
        "user" => Entity::User {
            name,
            password,
            uid: id(node, "uid", findings),
            gid: id(node, "gid", findings),
            info: node.text_at("info"),
            homedir: node.text_at("homedir"),
            shell: node.text_at("shell"),
        },
        "shadow" => Entity::Shadow {
            name,
            password,
            days: DAYS.map(|key| days(node, key, findings)),
        },
        "group" => {
            check_group_password(node, findings);
            Entity::Group {
                name,
                gid: id(node, "gid", findings),
                users: names(node, "users", findings),
            }
        }
        _ => Entity::Gshadow {
            name,
            password,
            administrators: names(node, "administrators", findings),
            members: names(node, "members", findings),
        },
    })
}

/// No field may end its line or itself, and the name must be one.
fn check_fields(node: &Node, name_key: &str, findings: &mut Findings) {
    let name = node.text_at(name_key).unwrap_or_default();
    if !is_account_name(&name) {
        let reason = "this cannot be the name of a user or group";
        let path = KeyPath::top(name_key);
        findings.error(Rule::Name, node.position, path, reason, "");
    }
    for key in ["password", "info", "homedir", "shell"] {
        if node
            .text_at(key)
            .is_some_and(|text| !is_passwd_field(&text))
        {
            let reason = "this has a colon or a control character, which the file cannot hold";
            let path = KeyPath::top(key);
            findings.error(Rule::Name, node.position, path, reason, "remove it");
        }
    }
    for key in ["homedir", "shell"] {
        if node.text_at(key).is_some_and(|text| !text.starts_with('/')) {
            let path = KeyPath::top(key);
            findings.error(
                Rule::Path,
                node.position,
                path,
                "the path is not absolute",
                "",
            );
        }
    }
}

fn check_group_password(node: &Node, findings: &mut Findings) {
    if node.text_at("password").is_some_and(|text| text != "x") {
        let reason = "the password of a group belongs into gshadow";
        let path = KeyPath::top("password");
        findings.error(
            Rule::Value,
            node.position,
            path,
            reason,
            "write `kind: gshadow`",
        );
    }
}

fn id(node: &Node, key: &str, findings: &mut Findings) -> Option<u32> {
    let count = node.count_at(key)?;
    // The highest of all means "none" to the kernel.
    let id = u32::try_from(count).ok().filter(|id| *id != u32::MAX);
    if id.is_none() {
        let reason = "this is too large for an id";
        findings.error(Rule::Value, node.position, KeyPath::top(key), reason, "");
    }
    id
}

/// A number of days; the day of the last change may be `now`. Nothing stands for nothing.
fn days(node: &Node, key: &str, findings: &mut Findings) -> Option<String> {
    let text = node
        .at(&[key])?
        .as_scalar()
        .filter(|text| !text.is_empty())?;
    let is_number = text.len() <= 9 && text.chars().all(|c| c.is_ascii_digit());
    let is_today = key == "last_changed" && text == "now";
    if !is_number && !is_today {
        let reason = "this is not a number of days";
        findings.error(Rule::Value, node.position, KeyPath::top(key), reason, "");
    }
    Some(text)
}

/// Names in a list, or in one text with commas.
fn names(node: &Node, key: &str, findings: &mut Findings) -> Vec<String> {
    let Some(list) = node.at(&[key]) else {
        return Vec::new();
    };
    let names: Vec<String> = match list.as_text() {
        Some(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
        None => list.texts(),
    };
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    if names.iter().any(|name| !is_account_name(name)) {
        let reason = "this has something that cannot be the name of a user";
        findings.error(Rule::Name, node.position, KeyPath::top(key), reason, "");
    }
    names
}

#[cfg(test)]
#[path = "entities_tests.rs"]
mod tests;
