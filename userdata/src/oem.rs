//! What of the user-data ends in `/oem` of the installed host.

use crate::UserData;
use crate::finding::Position;
use crate::stages::{SKIP_COPY, is_hashed};
use crate::text::HEADER;
use crate::tree::{Entry, Node, Text, Value};
use crate::write::to_yaml;

impl UserData {
    /// The text of `/oem/90_custom.yaml`: the whole document with its header, fit to be kept.
    ///
    /// Clear-text passwords of users are replaced by `hash(clear)`, steps named `skip-copy-*` are left out, a stage that
    /// is a single step becomes a list. `config_url` is left out: what it led to is in the document, and the installed host
    /// must not need the network for it again. Everything else keeps its meaning, tokens included: the file must not be
    /// readable by everybody.
    pub fn oem_document(&self, hash: &mut dyn FnMut(&str) -> String) -> String {
        let mut document = self.document.clone();
        if let Value::Map(entries) = &mut document.value {
            entries.retain(|entry| entry.key != "config_url");
        }
        if let Some(stages) = entry_mut(&mut document, "stages") {
            for stage in entries_mut(&mut stages.node) {
                rewrite_stage(&mut stage.node, hash);
            }
        }
        if let Some(users) = entry_mut(&mut document, "users") {
            hash_users(&mut users.node, hash);
        }
        if let Some(users) = entry_mut(&mut document, "stylus")
            .and_then(|stylus| entry_mut(&mut stylus.node, "site"))
            .and_then(|site| entry_mut(&mut site.node, "users"))
        {
            hash_users(&mut users.node, hash);
        }
        format!("{HEADER}\n{}", to_yaml(&document))
    }
}

/// Makes lists of the stages that are a single step without its dash.
pub(crate) fn list_steps(document: &mut Node) {
    if let Some(stages) = entry_mut(document, "stages") {
        for stage in entries_mut(&mut stages.node) {
            list_step(&mut stage.node);
        }
    }
}

fn list_step(stage: &mut Node) {
    if matches!(stage.value, Value::Map(_)) {
        let step = std::mem::replace(&mut stage.value, Value::Null);
        stage.value = Value::List(vec![Node {
            position: stage.position,
            value: step,
        }]);
    }
}

fn rewrite_stage(stage: &mut Node, hash: &mut dyn FnMut(&str) -> String) {
    list_step(stage);
    if let Value::List(steps) = &mut stage.value {
        steps.retain(|step| {
            !step
                .text_at("name")
                .is_some_and(|name| name.starts_with(SKIP_COPY))
        });
    }
    for step in items_mut(stage) {
        if let Some(users) = entry_mut(step, "users") {
            hash_users(&mut users.node, hash);
        }
    }
}

/// Hashes the passwords of users in a list, or in a mapping by name.
fn hash_users(users: &mut Node, hash: &mut dyn FnMut(&str) -> String) {
    for user in items_mut(users) {
        hash_password(user, hash);
    }
    for entry in entries_mut(users) {
        hash_password(&mut entry.node, hash);
    }
}

/// Leaves `passwd` with a hash. `plain_text_passwd` becomes `passwd`: under its own name a hash would be the password.
fn hash_password(user: &mut Node, hash: &mut dyn FnMut(&str) -> String) {
    let decided = ["passwd", "hashed_passwd"]
        .iter()
        .any(|key| user.entry(key).is_some());
    if let Value::Map(entries) = &mut user.value {
        entries.retain(|entry| !decided || entry.key != "plain_text_passwd");
    }
    for key in ["passwd", "plain_text_passwd"] {
        let Some(entry) = entry_mut(user, key) else {
            continue;
        };
        "passwd".clone_into(&mut entry.key);
        if let Value::Text(Text { text, plain }) = &mut entry.node.value
            && !is_hashed(text)
        {
            *text = hash(text);
            *plain = false;
        }
        return;
    }
}

fn entry_mut<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Entry> {
    entries_mut(node).iter_mut().find(|entry| entry.key == key)
}

fn entries_mut(node: &mut Node) -> &mut [Entry] {
    match &mut node.value {
        Value::Map(entries) => entries,
        _ => &mut [],
    }
}

fn items_mut(node: &mut Node) -> &mut [Node] {
    match &mut node.value {
        Value::List(items) => items,
        _ => &mut [],
    }
}

/// The text of `/oem/10_user_custom_mounts.yaml`; `None` if there is nothing to mount.
///
/// A `rootfs` stage puts the lists, separated by blanks, into `/run/cos/custom-layout.env`, from where both immucore
/// and our own initramfs take them (`reference/kairos.md` 3.6). The paths must be those of a parsed
/// [`crate::Install`], which are single words.
pub fn custom_mounts_document(
    bind_mounts: &[String],
    ephemeral_mounts: &[String],
) -> Option<String> {
    let lists = [
        ("CUSTOM_BIND_MOUNTS", bind_mounts),
        ("CUSTOM_EPHEMERAL_MOUNTS", ephemeral_mounts),
    ];
    let variables: Vec<_> = lists
        .into_iter()
        .filter(|(_, paths)| !paths.is_empty())
        .map(|(name, paths)| text(name, &paths.join(" ")))
        .collect();
    if variables.is_empty() {
        return None;
    }
    let step = map(vec![
        text("name", "user_custom_mounts"),
        entry("environment", map(variables)),
        text("environment_file", "/run/cos/custom-layout.env"),
    ]);
    let steps = Node {
        position: Position::START,
        value: Value::List(vec![step]),
    };
    let document = map(vec![entry("stages", map(vec![entry("rootfs", steps)]))]);
    Some(format!("{HEADER}\n{}", to_yaml(&document)))
}

fn entry(key: &str, node: Node) -> Entry {
    Entry {
        key: key.to_owned(),
        plain: true,
        position: Position::START,
        node,
    }
}

fn text(key: &str, value: &str) -> Entry {
    entry(key, Node::text(Position::START, value))
}

fn map(entries: Vec<Entry>) -> Node {
    Node {
        position: Position::START,
        value: Value::Map(entries),
    }
}
