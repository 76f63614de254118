//! Parts of a step that set up the running system: kernel, units, clock, names.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::finding::{Findings, Position, Rule};
use crate::key_path::KeyPath;
use crate::secret::Secret;
use crate::tree::Node;

/// `systemctl`. Names of units have no slash, no blank and no leading dash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Systemctl {
    /// `enable`.
    pub enable: Vec<String>,
    /// `disable`.
    pub disable: Vec<String>,
    /// `start`.
    pub start: Vec<String>,
    /// `mask`.
    pub mask: Vec<String>,
    /// `overrides`.
    pub overrides: Vec<Override>,
}

/// A drop-in of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Override {
    /// `service`: the unit, with its suffix.
    pub service: String,
    /// `name` of the drop-in, with `.conf`; `override-yip.conf` if absent.
    pub name: String,
    /// `content`; may hold a secret.
    pub content: Secret,
}

pub(super) fn read_systemctl(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<Systemctl> {
    let node = node?;
    let path = step.key("systemctl");
    let mut units = |key: &str| {
        let path = path.key(key);
        let list = node.at(&[key])?;
        for (index, item) in list.items().iter().enumerate() {
            let text = item.as_text().unwrap_or_default();
            check_file_name(text, item.position, &path.item(index), findings);
        }
        Some(list.texts())
    };
    Some(Systemctl {
        enable: units("enable").unwrap_or_default(),
        disable: units("disable").unwrap_or_default(),
        start: units("start").unwrap_or_default(),
        mask: units("mask").unwrap_or_default(),
        overrides: read_overrides(node, &path, findings),
    })
}

fn read_overrides(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Vec<Override> {
    let path = path.key("overrides");
    let mut overrides = Vec::new();
    let items = node.at(&["overrides"]).map(Node::items);
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = path.item(index);
        let Some(service) = item.text_at("service") else {
            let (reason, advice) = ("the drop-in names no unit", "write `service: ...`");
            findings.error(Rule::Empty, item.position, path, reason, advice);
            continue;
        };
        let name = item.text_at("name");
        for (key, text) in [("service", Some(&service)), ("name", name.as_ref())] {
            if let (Some(text), Some(node)) = (text, item.at(&[key])) {
                check_file_name(text, node.position, &path.key(key), findings);
            }
        }
        overrides.push(Override {
            service: with_suffix(&service),
            name: name.map_or_else(
                || "override-yip.conf".to_owned(),
                |name| format!("{}.conf", name.strip_suffix(".conf").unwrap_or(&name)),
            ),
            content: Secret::new(item.text_at("content").unwrap_or_default()),
        });
    }
    overrides
}

/// What systemd itself does with a name that has no suffix.
fn with_suffix(unit: &str) -> String {
    let suffixes = [
        "service",
        "socket",
        "target",
        "timer",
        "mount",
        "automount",
        "path",
        "slice",
        "scope",
        "swap",
        "device",
    ];
    match unit.rsplit_once('.') {
        Some((_, suffix)) if suffixes.contains(&suffix) => unit.to_owned(),
        _ => format!("{unit}.service"),
    }
}

/// A name that is one part of a path and one argument.
pub(super) fn check_file_name(
    text: &str,
    position: Position,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    let bad = text.is_empty()
        || text.len() > 255
        || text.starts_with('-')
        || text == "."
        || text == ".."
        || text.contains(forbidden);
    if bad {
        let reason = "this cannot be the name of a unit or a file";
        let advice = "write one word without a slash and a leading dash";
        findings.error(Rule::Name, position, path, reason, advice);
    }
}

/// Reads `sysctl`: names with dots or slashes that stay below `/proc/sys`, and values of one line.
pub(super) fn read_sysctl(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | ':' | '*');
    let is_name = |name: &str| {
        !name.is_empty()
            && name.chars().all(allowed)
            && !name.starts_with(['/', '.'])
            && !name.contains("..")
    };
    read_settings(node, &step.key("sysctl"), findings, is_name)
}

/// Reads `timesyncd`: words, and values of one line.
pub(super) fn read_timesyncd(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(allowed)
    };
    read_settings(node, &step.key("timesyncd"), findings, is_name)
}

/// What `systemd-firstboot` may be asked for: nothing that asks a person, works on another root, or is a password,
/// which everybody could read among the arguments of a program.
const FIRSTBOOT: &[&str] = &[
    "copy",
    "copy-keymap",
    "copy-locale",
    "copy-root-shell",
    "copy-timezone",
    "force",
    "hostname",
    "kernel-command-line",
    "keymap",
    "locale",
    "locale-messages",
    "machine-id",
    "root-shell",
    "setup-machine-id",
    "timezone",
    "welcome",
];

/// Reads `systemd_firstboot`: settings of that program, in any case, and values of one line.
pub(super) fn read_firstboot(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let path = step.key("systemd_firstboot");
    for entry in node.map(Node::entries).unwrap_or_default() {
        if FIRSTBOOT.contains(&entry.key.to_ascii_lowercase().as_str()) {
            continue;
        }
        let reason = "this is no setting of systemd-firstboot that is carried out here";
        let advice = if entry.key.to_ascii_lowercase().contains("password") {
            "write the password under `users`"
        } else {
            "write one such as `locale`, `keymap`, `timezone`"
        };
        findings.error(
            Rule::Name,
            entry.position,
            path.key(&entry.key),
            reason,
            advice,
        );
    }
    read_settings(node, &path, findings, |_| true)
}

/// Reads `environment`: names that a shell takes, and values of one line.
pub(super) fn read_environment(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(allowed)
    };
    read_settings(node, &step.key("environment"), findings, is_name)
}

/// Settings that are written one on a line: neither a name nor a value may begin another.
fn read_settings(
    node: Option<&Node>,
    path: &KeyPath<'_>,
    findings: &mut Findings,
    is_name: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    for entry in node.map(Node::entries).unwrap_or_default() {
        let path = path.key(&entry.key);
        if !is_name(&entry.key) {
            let reason = "this cannot be the name of a setting";
            let advice = "use letters, digits and `_`";
            findings.error(Rule::Name, entry.position, path, reason, advice);
        }
        let value = entry.node.as_scalar();
        if value.is_some_and(|value| value.contains(char::is_control)) {
            let (reason, advice) = ("the value has more than one line", "write one line");
            findings.error(Rule::Value, entry.node.position, path, reason, advice);
        }
    }
    node.map(Node::scalars).unwrap_or_default()
}

/// Reads `modules`: a name that `modprobe` takes for one, and `parameter=value` behind it.
pub(super) fn read_modules(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> Vec<String> {
    let path = step.key("modules");
    for (index, item) in node.map(Node::items).unwrap_or_default().iter().enumerate() {
        if !is_module(item.as_text().unwrap_or_default()) {
            let reason = "this cannot be a kernel module with its parameters";
            let advice = "write the name, and behind it `parameter=value`, as `modprobe` takes it";
            findings.error(Rule::Name, item.position, path.item(index), reason, advice);
        }
    }
    node.map(Node::texts).unwrap_or_default()
}

fn is_module(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut words = text.split(' ');
    let name = words.next().unwrap_or_default();
    let is_parameter = |word: &str| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| !name.is_empty() && name.chars().all(allowed))
    };
    !name.is_empty()
        && !name.starts_with(['-', '.'])
        && name.chars().all(allowed)
        && !text.contains(char::is_control)
        && words.all(is_parameter)
}
