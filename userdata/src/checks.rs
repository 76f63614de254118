//! Checks that need the whole document, and those of a profile.

use crate::UserData;
use crate::finding::{Finding, Findings, Position, Rule};
use crate::key_path::KeyPath;
use crate::stages::is_stage;
use crate::stylus::ManagementMode;
use crate::tree::{Node, Value};

/// What EKS Hybrid Nodes needs on an Appliance-Mode host (`reference/palette.md` 1.11).
pub(crate) const EKS_LISTS: &[(&str, &[&str])] = &[
    ("extra-dirs-rootfs", &["/eks-hybrid"]),
    (
        "bind_mounts",
        &[
            "/eks-hybrid",
            "/etc/aws",
            "/etc/containerd",
            "/etc/eks",
            "/etc/iam",
            "/etc/modules-load.d",
            "/var/lib/amazon",
        ],
    ),
];

/// Checks what a document must have to be the only one of its host: an overlay for a site may leave it out.
pub fn check_complete(user_data: &UserData) -> Vec<Finding> {
    let mut findings = Findings::new(&user_data.name);
    warn_of_no_user(user_data, &mut findings);
    if user_data.stylus.management_mode == ManagementMode::Central {
        check_registration(user_data, &mut findings);
    }
    findings.finish()
}

/// Without a user and without a screen that can make one, nobody ever logs in (rule U33).
fn warn_of_no_user(user_data: &UserData, findings: &mut Findings) {
    let stylus = &user_data.stylus;
    let in_stages = user_data.stages.iter().any(|(_, steps)| {
        steps
            .iter()
            .any(|step| !step.users.is_empty() || !step.authorized_keys.is_empty())
    });
    let anybody = in_stages || !user_data.users.is_empty() || !stylus.site.users.is_empty();
    if stylus.disable_tui && !anybody {
        let at = key_position(&user_data.document, &["stylus", "disableTui"]);
        let reason = "there is no user, and the screen that could make one is disabled";
        let advice = "add a user under `stages.initramfs`, or remove `disableTui`";
        findings.warning(Rule::NoUser, at, "stylus.disableTui", reason, advice);
    }
}

/// What a host needs to find Palette and to be let in (rules U10, U11, U13 and U15).
fn check_registration(user_data: &UserData, findings: &mut Findings) {
    let site = &user_data.stylus.site;
    let at = key_position(&user_data.document, &["stylus", "site"]);
    let path = "stylus.site";
    if site.palette_endpoint.is_none() {
        let reason = "there is no `paletteEndpoint`, so the host cannot find Palette";
        let advice = "write `paletteEndpoint: api.spectrocloud.com`";
        findings.error(Rule::NoEndpoint, at, path, reason, advice);
    }
    if site.edge_host_token.is_none() && site.registration_url.is_none() {
        let reason = "there is neither `edgeHostToken` nor `registrationURL`; the host waits until somebody adds it by its ID";
        findings.warning(Rule::NoRegistration, at, path, reason, "");
    }
    if site.edge_host_token.is_some() && site.project_uid.is_none() && site.project_name.is_none() {
        let reason =
            "there is a token but no project; this works only if the token has a default project";
        findings.warning(Rule::NoProject, at, path, reason, "write `projectUid`");
    }
    if site.project_uid.is_some() && site.project_name.is_some() {
        let at = key_position(&user_data.document, &["stylus", "site", "projectName"]);
        let (reason, advice) = ("`projectUid` is given as well", "keep `projectUid`");
        let path = "stylus.site.projectName";
        findings.warning(Rule::TwoProjects, at, path, reason, advice);
    }
}

/// EKS Hybrid Nodes wants an address that stays. A document that lists its interfaces has said that none has one; one
/// that lists none has left it to the network, where a reservation may do the same (rule U21).
fn warn_of_no_static_address(user_data: &UserData, findings: &mut Findings) {
    let network = &user_data.stylus.site.network;
    let mut interfaces = network
        .interfaces
        .values()
        .chain(&network.unnamed)
        .peekable();
    if interfaces.peek().is_some() && !interfaces.any(|interface| interface.is_static) {
        let keys = ["stylus", "site", "network", "interfaces"];
        let at = key_position(&user_data.document, &keys);
        let reason = "no interface has a static address, and EKS Hybrid Nodes needs one that stays";
        let advice = "write `type: static` for one of them, or reserve an address by DHCP";
        findings.warning(Rule::NoStaticAddress, at, keys.join("."), reason, advice);
    }
}

/// Checks the document against the profile `eks-hybrid` (rules U09, U21 and U23).
pub fn check_eks(user_data: &UserData) -> Vec<Finding> {
    let mut findings = Findings::new(&user_data.name);
    let document = &user_data.document;
    warn_of_no_static_address(user_data, &mut findings);
    if user_data.stylus.management_mode != ManagementMode::Central {
        let at = key_position(document, &["stylus", "managementMode"]);
        let reason = "EKS Hybrid Nodes needs a host that Palette manages";
        findings.error(
            Rule::ManagementMode,
            at,
            "stylus.managementMode",
            reason,
            "write `central` or remove the key",
        );
    }
    for (key, needed) in EKS_LISTS {
        let present = document
            .at(&["install", key])
            .map(Node::texts)
            .unwrap_or_default();
        for item in needed
            .iter()
            .filter(|item| !present.iter().any(|path| path == *item))
        {
            let reason = format!("EKS Hybrid Nodes needs `{item}` in this list");
            let at = key_position(document, &["install", key]);
            findings.error(
                Rule::EksHybrid,
                at,
                KeyPath::top("install").key(key),
                &reason,
                &format!("add `- {item}`"),
            );
        }
    }
    findings.finish()
}

/// Where the deepest key of a path stands that the document has; the start of the document if it has none.
fn key_position(document: &Node, path: &[&str]) -> Position {
    let mut node = document;
    let mut position = Position::START;
    for key in path {
        let Some(entry) = node.entry(key) else { break };
        position = entry.position;
        node = &entry.node;
    }
    position
}

/// Warns about values that still have a placeholder of the documentation in them (rule U34).
///
/// The content of files is left out: markup looks the same.
pub(crate) fn warn_of_placeholders(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    match &node.value {
        // The placeholder is not repeated: the value may be a password after all.
        Value::Text(text) if has_placeholder(&text.text) => {
            let reason = "a placeholder in angle brackets was not replaced";
            let advice = "write the real value";
            findings.warning(Rule::Placeholder, node.position, path, reason, advice);
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                warn_of_placeholders(item, &path.item(index), findings);
            }
        }
        Value::Map(entries) => {
            for entry in entries.iter().filter(|entry| entry.key != "content") {
                warn_of_placeholders(&entry.node, &path.key(&entry.key), findings);
            }
        }
        _ => {}
    }
}

/// Warns about stages that stand at the start of a line, where no program looks for them (rule U07).
pub(crate) fn warn_of_stages_at_top(document: &Node, findings: &mut Findings) {
    let entries = document.entries().iter();
    for entry in entries.filter(|entry| is_stage(&entry.key)) {
        let reason = "this is a stage, but no program looks for stages here";
        let advice = "move it under `stages:`, indented by two blanks";
        findings.warning(Rule::Misplaced, entry.position, &entry.key, reason, advice);
    }
}

/// Longest placeholder, in bytes; it bounds the search behind each `<`.
const LONGEST_PLACEHOLDER: usize = 64;

/// Whether a text has `<words-with-dashes>`. Shell redirections have a blank or a path after the `<`.
fn has_placeholder(text: &str) -> bool {
    text.match_indices('<').any(|(start, _)| {
        let behind = text
            .as_bytes()
            .iter()
            .skip(start.saturating_add(1))
            .take(LONGEST_PLACEHOLDER);
        let word = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b' ');
        let words: Vec<u8> = behind.clone().copied().take_while(|c| word(c)).collect();
        let closed = behind.copied().nth(words.len()) == Some(b'>');
        closed && words.first().is_some_and(u8::is_ascii_alphabetic) && words.last() != Some(&b' ')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_and_shell_is_not() {
        let cases = [
            ("<registration-token>", true),
            ("ethtool --offload <interface-name> tx off", true),
            ("<your project>", true),
            ("cat < in > out", false),
            ("cat </etc/a >/tmp/b", false),
            ("a <<EOF", false),
            ("1 < 2", false),
            ("<>", false),
        ];
        for (text, expected) in cases {
            assert_eq!(has_placeholder(text), expected, "{text:?}");
        }
    }
}
