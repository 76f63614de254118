//! When a step runs.

use serde::Serialize;

use super::schema::SERVICE_MANAGERS;
use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::pattern::Expression;
use crate::place::check_path;
use crate::tree::Node;

/// What must hold for a step beside its `if`. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Conditions {
    /// `node`: an expression for the name of the host.
    pub node: Option<Expression>,
    /// `only_os`: an expression for `PRETTY_NAME` or `ID` of `os-release`; one of them is enough.
    pub only_os: Option<Expression>,
    /// `only_os_version`: an expression for `VERSION_ID` of `os-release`.
    pub only_os_version: Option<Expression>,
    /// `only_arch`: an expression for the architecture, in Go's words (`amd64`, `arm64`).
    pub only_arch: Option<Expression>,
    /// `only_service_manager`: `systemd` or `openrc`, in any case.
    pub only_service_manager: Option<String>,
    /// `if_files.any`: one of these paths exists.
    pub if_any_file: Vec<String>,
    /// `if_files.all`: each of these paths exists.
    pub if_all_files: Vec<String>,
    /// `if_files.none`: none of these paths exists.
    pub if_no_file: Vec<String>,
}

/// Reads the conditions of a step; an expression that cannot be read is an error, since nobody can decide it.
pub(super) fn read(step: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Conditions {
    let mut expression = |key: &str| {
        let text = step.text_at(key)?;
        let node = step.at(&[key])?;
        Expression::new(&text)
            .map_err(|reason| {
                let advice = "write an RE2 expression such as `ubuntu.*`";
                findings.error(Rule::Value, node.position, path.key(key), reason, advice);
            })
            .ok()
    };
    let conditions = Conditions {
        node: expression("node"),
        only_os: expression("only_os"),
        only_os_version: expression("only_os_version"),
        only_arch: expression("only_arch"),
        only_service_manager: step.text_at("only_service_manager"),
        ..Conditions::default()
    };
    if let (Some(manager), Some(node)) = (
        &conditions.only_service_manager,
        step.at(&["only_service_manager"]),
    ) && !SERVICE_MANAGERS.contains(&manager.to_ascii_lowercase().as_str())
    {
        let reason = "there is no such service manager; the step never runs";
        let advice = "write `systemd`";
        let path = path.key("only_service_manager");
        findings.warning(Rule::Value, node.position, path, reason, advice);
    }
    Conditions {
        if_any_file: read_files(step, "any", path, findings),
        if_all_files: read_files(step, "all", path, findings),
        if_no_file: read_files(step, "none", path, findings),
        ..conditions
    }
}

fn read_files(step: &Node, key: &str, path: &KeyPath<'_>, findings: &mut Findings) -> Vec<String> {
    let path = path.key("if_files");
    let path = path.key(key);
    let Some(node) = step.at(&["if_files", key]) else {
        return Vec::new();
    };
    for (index, item) in node.items().iter().enumerate() {
        check_path(item, &path.item(index), findings);
    }
    node.texts()
}
