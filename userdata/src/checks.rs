//! Checks that need the whole document, and those of a profile.

use crate::UserData;
use crate::finding::{Finding, Findings, Position, Rule};
use crate::schema::join;
use crate::stylus::ManagementMode;
use crate::tree::{Node, Value};

/// What EKS Hybrid Nodes needs on an Appliance-Mode host (`reference/palette.md` 1.11).
const EKS_LISTS: &[(&str, &[&str])] = &[
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
    let site = &user_data.stylus.site;
    if user_data.stylus.management_mode == ManagementMode::Local {
        return Vec::new();
    }
    let at = key_position(&user_data.document, &["stylus", "site"]);
    let path = "stylus.site";
    if site.palette_endpoint.is_none() {
        let reason = "there is no `paletteEndpoint`, so the host cannot find Palette";
        findings.error(
            Rule::NoEndpoint,
            at,
            path,
            reason,
            "write `paletteEndpoint: api.spectrocloud.com`",
        );
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
        let reason = "`projectUid` is given as well";
        findings.warning(
            Rule::TwoProjects,
            at,
            "stylus.site.projectName",
            reason,
            "keep `projectUid`",
        );
    }
    findings.finish()
}

/// Checks the document against the profile `eks-hybrid` (rules U09 and U23).
pub fn check_eks(user_data: &UserData) -> Vec<Finding> {
    let mut findings = Findings::new(&user_data.name);
    let document = &user_data.document;
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
                &join("install", key),
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
pub(crate) fn warn_of_placeholders(document: &Node, findings: &mut Findings) {
    let mut open = vec![(document, String::new())];
    while let Some((node, path)) = open.pop() {
        match &node.value {
            // The placeholder is not repeated: the value may be a password after all.
            Value::Text(text) if has_placeholder(&text.text) => {
                let reason = "a placeholder in angle brackets was not replaced";
                let advice = "write the real value";
                findings.warning(Rule::Placeholder, node.position, &path, reason, advice);
            }
            Value::List(items) => {
                open.extend(
                    items
                        .iter()
                        .enumerate()
                        .map(|(index, item)| (item, format!("{path}[{index}]"))),
                );
            }
            Value::Map(entries) => {
                let kept = entries.iter().filter(|entry| entry.key != "content");
                open.extend(kept.map(|entry| (&entry.node, join(&path, &entry.key))));
            }
            _ => {}
        }
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
