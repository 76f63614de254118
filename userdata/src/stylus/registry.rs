//! Image registries (`reference/palette.md` 1.4).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::certificate;
use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::secret::Secret;
use crate::tree::Node;

/// One registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Registry {
    /// `domain`: host name or address, with an optional port and path.
    pub domain: Option<String>,
    /// `username`.
    pub username: Option<String>,
    /// `password`, decoded if `encodedPassword` is true.
    pub password: Option<Secret>,
    /// `repositoryName`.
    pub repository_name: Option<String>,
    /// `certificates`: PEM text of each.
    pub certificates: Vec<String>,
    /// `insecure`: its certificate is not verified.
    pub insecure: bool,
}

/// `externalRegistries`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExternalRegistries {
    /// `registries`, in their order.
    pub registries: Vec<Registry>,
    /// `registryMappingRules`: start of an image's name -> what takes its place.
    pub mapping_rules: BTreeMap<String, String>,
}

/// Reads `registryCredentials` and `externalRegistries` of `stylus`.
pub(super) fn read(
    stylus: &Node,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> (Option<Registry>, Option<ExternalRegistries>) {
    let one = stylus.entry("registryCredentials");
    let many = stylus.at(&["externalRegistries"]);
    if let (Some(one), Some(_)) = (one, many) {
        let reason = "`externalRegistries` is given as well; this key is for exactly one registry";
        let advice = "move it to `externalRegistries.registries`";
        let path = path.key("registryCredentials");
        findings.warning(Rule::TwoRegistries, one.position, path, reason, advice);
    }
    let credentials = path.key("registryCredentials");
    let external = path.key("externalRegistries");
    (
        one.map(|entry| read_registry(&entry.node, &credentials, findings)),
        many.map(|node| ExternalRegistries {
            registries: read_list(node, &external, findings),
            mapping_rules: node
                .at(&["registryMappingRules"])
                .map(Node::scalars)
                .unwrap_or_default(),
        }),
    )
}

fn read_list(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Vec<Registry> {
    let path = path.key("registries");
    let items = node.at(&["registries"]).map(Node::items);
    items
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, item)| read_registry(item, &path.item(index), findings))
        .collect()
}

fn read_registry(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Registry {
    Registry {
        domain: read_domain(node, path, findings),
        username: node.text_at("username"),
        password: read_password(node, path, findings),
        repository_name: node.text_at("repositoryName"),
        certificates: certificate::read_list(node, "certificates", path, findings),
        insecure: node.flag("insecure"),
    }
}

fn read_domain(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<String> {
    let text = node.text_at("domain")?;
    if (text.contains("://") || text.contains(char::is_whitespace))
        && let Some(entry) = node.entry("domain")
    {
        let reason = "a scheme or a blank stands here";
        let advice = "write the host name, an optional port and an optional path";
        let (rule, at) = (Rule::Value, entry.node.position);
        findings.error(rule, at, path.key("domain"), reason, advice);
    }
    Some(text)
}

fn read_password(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<Secret> {
    let text = node.text_at("password")?;
    if !node.flag("encodedPassword") {
        return Some(Secret::new(text));
    }
    let decoded = STANDARD.decode(text.trim()).ok();
    let clear = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    if clear.is_none()
        && let Some(entry) = node.entry("password")
    {
        let reason = "`encodedPassword` is true, but this is not base64 of a text";
        let advice = "encode the password, or remove `encodedPassword`";
        let (rule, at) = (Rule::Value, entry.node.position);
        findings.error(rule, at, path.key("password"), reason, advice);
    }
    clear.map(Secret::new)
}
