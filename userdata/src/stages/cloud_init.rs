//! cloud-init's own keys, which Kairos takes beside `stages` (`reference/kairos.md` 4, at its end).

use super::account_schema::{GROWPART, WRITE_FILE};
use super::accounts::check_keys;
use super::files::read_file;
use super::layout::{Layout, LayoutDevice};
use super::{Stages, Step, User, host_name};
use crate::finding::{Findings, Rule, Tolerance};
use crate::key_path::KeyPath;
use crate::place::check_path;
use crate::schema::{Field, Shape, check, field};
use crate::tree::{Node, Value};

/// The keys; `users` is read beside them, since the list of users has more uses.
pub(crate) const CLOUD_INIT: &[Field] = &[
    field(
        "ssh_authorized_keys",
        Shape::Texts,
        "SSH keys of every user under `users`, or of root if there is none.",
    ),
    field(
        "write_files",
        Shape::Objects(&WRITE_FILE),
        "Files to be written.",
    ),
    field(
        "runcmd",
        Shape::Any,
        "Commands: texts for a shell, or lists of words for none.",
    ),
    field("hostname", Shape::Text, "Name of the host."),
    field(
        "growpart",
        Shape::Object(&GROWPART),
        "Disks whose last partition grows.",
    ),
];

/// Checks the form of the keys where the whole top level is not checked: in a stage file.
pub(crate) fn check_form(document: &Node, findings: &mut Findings) {
    for field in CLOUD_INIT {
        if let Some(node) = document.at(&[field.name]) {
            check(node, field.shape, &KeyPath::top(field.name), findings);
        }
    }
}

/// Makes steps of the keys: `hostname` in `initramfs`, keys that have to be fetched in `network`, the rest in `boot`.
///
/// A key whose form is wrong makes no step; the finding comes from the check of the form.
pub(crate) fn read(document: &Node, users: &[User], findings: &mut Findings) -> Stages {
    let root = KeyPath::ROOT;
    let valid = |name: &str| {
        let node = document.at(&[name])?;
        let field = CLOUD_INIT.iter().find(|field| field.name == name)?;
        let mut scratch = Findings::tolerating("", Tolerance::AtBoot);
        check(node, field.shape, &root, &mut scratch);
        (scratch.errors() == 0).then_some(node)
    };
    let (hostname, keys) = (valid("hostname"), valid("ssh_authorized_keys"));
    let (files, growpart) = (valid("write_files"), valid("growpart"));
    let mut stages = Stages::default();
    if let Some(hostname) = host_name::read(hostname, &root, findings) {
        stages.push(
            "initramfs",
            Step {
                hostname: Some(hostname),
                ..named("hostname", document)
            },
        );
    }
    let (boot, network) = read_accounts(users, keys, document, findings);
    let boot = Step {
        files: read_files(files, &root, findings),
        commands: read_commands(document.at(&["runcmd"]), &root, findings),
        ..boot
    };
    if has_parts(&boot) {
        stages.push("boot", boot);
    }
    for layout in read_growpart(growpart, &root, findings) {
        stages.push(
            "boot",
            Step {
                layout: Some(layout),
                ..named("growpart", document)
            },
        );
    }
    if !network.authorized_keys.is_empty() {
        stages.push("network", network);
    }
    stages
}

fn has_parts(step: &Step) -> bool {
    let parts = [
        step.users.is_empty(),
        step.authorized_keys.is_empty(),
        step.files.is_empty(),
        step.commands.is_empty(),
    ];
    parts.contains(&false)
}

/// A step that carries the name of what it comes from.
fn named(key: &str, document: &Node) -> Step {
    Step {
        name: Some(format!("cloud-init {key}")),
        line: document.entry(key).map_or(0, |entry| entry.position.line),
        ..Step::default()
    }
}

/// The users with the keys that are at hand, for `boot`, and the keys that have to be fetched, for `network`.
fn read_accounts(
    users: &[User],
    keys: Option<&Node>,
    document: &Node,
    findings: &mut Findings,
) -> (Step, Step) {
    let mut boot = named("users", document);
    let mut network = named("ssh_authorized_keys", document);
    if let Some(keys) = keys {
        check_keys(keys, &KeyPath::top("ssh_authorized_keys"), findings);
    }
    let shared = keys.map(Node::texts).unwrap_or_default();
    let fetched = |key: &String| {
        ["github:", "gitlab:", "http://", "https://"]
            .iter()
            .any(|start| key.starts_with(start))
    };
    let mut give = |name: &str, keys: Vec<String>, boot: &mut Step| -> Vec<String> {
        let (remote, local): (Vec<_>, Vec<_>) = keys.into_iter().partition(fetched);
        if !remote.is_empty() {
            let keys = network.authorized_keys.entry(name.to_owned()).or_default();
            keys.extend(remote);
        }
        if users.is_empty() && !local.is_empty() {
            boot.authorized_keys.insert(name.to_owned(), local.clone());
        }
        local
    };
    if users.is_empty() {
        give("root", shared, &mut boot);
    } else {
        for user in users {
            let mut user = user.clone();
            let all = [user.ssh_authorized_keys, shared.clone()].concat();
            user.ssh_authorized_keys = give(&user.name, all, &mut boot);
            boot.users.push(user);
        }
    }
    (boot, network)
}

fn read_files(
    node: Option<&Node>,
    root: &KeyPath<'_>,
    findings: &mut Findings,
) -> Vec<super::File> {
    let path = root.key("write_files");
    let items = node.map(Node::items).unwrap_or_default().iter().enumerate();
    items
        .filter_map(|(index, item)| {
            let errors = findings.errors();
            let file = read_file(item, &path.item(index), findings);
            file.filter(|_| findings.errors() == errors)
        })
        .collect()
}

/// Each command is a text for the shell, or a list of words that the shell must leave alone.
fn read_commands(node: Option<&Node>, root: &KeyPath<'_>, findings: &mut Findings) -> Vec<String> {
    let path = root.key("runcmd");
    let Some(node) = node else { return Vec::new() };
    let mut refuse = |node: &Node, path: KeyPath<'_>, expected: &str| {
        let reason = format!("{expected} is needed, this is {}", node.kind());
        findings.error(Rule::Type, node.position, path, &reason, "");
    };
    if !matches!(node.value, Value::List(_)) {
        refuse(node, path, "a list of commands");
    }
    let mut commands = Vec::new();
    for (index, item) in node.items().iter().enumerate() {
        let words: Option<Vec<String>> = item.items().iter().map(Node::as_scalar).collect();
        match (&item.value, words) {
            (Value::Text(text), _) => commands.push(text.text.clone()),
            (Value::List(_), Some(words)) => commands.push(quoted(&words)),
            _ => refuse(item, path.item(index), "a command, or a list of its words,"),
        }
    }
    commands
}

/// Words as a shell reads them back, each between single quotes.
fn quoted(words: &[String]) -> String {
    let quote = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// Each device becomes a layout whose last partition takes what is free.
fn read_growpart(node: Option<&Node>, root: &KeyPath<'_>, findings: &mut Findings) -> Vec<Layout> {
    let Some(node) = node else { return Vec::new() };
    let mode = node.at(&["mode"]).and_then(Node::as_scalar);
    if matches!(mode.as_deref(), Some("off" | "false")) {
        return Vec::new();
    }
    let path = root.key("growpart");
    let path = path.key("devices");
    let devices = node.at(&["devices"]).map(Node::items).unwrap_or_default();
    for (index, device) in devices.iter().enumerate() {
        check_path(device, &path.item(index), findings);
    }
    let layout = |device: &Node| Layout {
        device: LayoutDevice {
            path: device.as_text().map(str::to_owned),
            ..LayoutDevice::default()
        },
        expand: Some(0),
        ..Layout::default()
    };
    devices.iter().map(layout).collect()
}
