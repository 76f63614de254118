//! Parts of a step that reach outside of the document: name servers, downloads, other user-data.

use std::net::IpAddr;

use serde::Serialize;

use super::files::{read_id, read_mode};
use super::system::check_file_name;
use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::place::check_path;
use crate::secret::Secret;
use crate::tree::Node;

/// `dns`. No value has a line break.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// `nameservers`: addresses.
    pub nameservers: Vec<String>,
    /// `search`: domains.
    pub search: Vec<String>,
    /// `options`.
    pub options: Vec<String>,
    /// `path`; absent: `/etc/resolv.conf`.
    pub path: Option<String>,
}

/// One of `downloads`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Download {
    /// `path`: absolute and clean, but for a slash at the end, which makes it a folder.
    pub path: String,
    /// `url`: http or https; may hold a secret.
    pub url: Secret,
    /// `permissions` as a mode, at most `0o7777`.
    pub permissions: Option<u32>,
    /// `owner`: a user id.
    pub owner: Option<u32>,
    /// `group`: a group id.
    pub group: Option<u32>,
    /// `ownerstring`: `user` or `user:group` by name.
    pub ownerstring: Option<String>,
    /// `timeout` in seconds.
    pub timeout: Option<u64>,
}

/// `datasource`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Datasource {
    /// `providers`, in the order in which they are tried.
    pub providers: Vec<String>,
    /// `path` of the folder.
    pub path: Option<String>,
    /// `userdata_name` of the file in it.
    pub userdata_name: Option<String>,
}

pub(super) fn read_dns(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<Dns> {
    let node = node?;
    let path = step.key("dns");
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_word = |text: &str| {
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    let mut list = |key: &str, reason: &str, fits: &dyn Fn(&str) -> bool| {
        let path = path.key(key);
        let list = node.at(&[key])?;
        for (index, item) in list.items().iter().enumerate() {
            if !item.as_text().is_some_and(fits) {
                findings.error(Rule::Value, item.position, path.item(index), reason, "");
            }
        }
        Some(list.texts())
    };
    let nameservers = list("nameservers", "this is not an address", &is_address);
    let search = list("search", "this is not one word", &is_word);
    let options = list("options", "this is not one word", &is_word);
    let file = node.at(&["path"]).filter(|node| node.as_text() != Some(""));
    if let Some(file) = file {
        check_path(file, &path.key("path"), findings);
    }
    Some(Dns {
        nameservers: nameservers.unwrap_or_default(),
        search: search.unwrap_or_default(),
        options: options.unwrap_or_default(),
        path: node.text_at("path"),
    })
}

pub(super) fn read_downloads(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> Vec<Download> {
    let path = step.key("downloads");
    let mut downloads = Vec::new();
    for (index, item) in node.map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = path.item(index);
        let (Some(target), Some(url)) = (item.text_at("path"), item.text_at("url")) else {
            let (reason, advice) = (
                "a path and a url are needed",
                "write `path: /...` and `url: ...`",
            );
            findings.error(Rule::Empty, item.position, path, reason, advice);
            continue;
        };
        check_target(item, &target, &path, findings);
        check_url(item, &url, &path, findings);
        downloads.push(Download {
            path: target,
            url: Secret::new(url),
            permissions: read_mode(item, &path, findings),
            owner: read_id(item, "owner", &path, findings),
            group: read_id(item, "group", &path, findings),
            ownerstring: item.text_at("ownerstring"),
            timeout: item.count_at("timeout"),
        });
    }
    downloads
}

/// A folder ends with a slash; without it the path has to be clean.
fn check_target(item: &Node, target: &str, path: &KeyPath<'_>, findings: &mut Findings) {
    let Some(node) = item.at(&["path"]) else {
        return;
    };
    let clean = target.strip_suffix('/').filter(|rest| !rest.is_empty());
    let node = Node::text(node.position, clean.unwrap_or(target));
    check_path(&node, &path.key("path"), findings);
}

fn check_url(item: &Node, url: &str, path: &KeyPath<'_>, findings: &mut Findings) {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let good = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && !url.contains(|c: char| c.is_whitespace() || c.is_control());
    if let (false, Some(node)) = (good, item.at(&["url"])) {
        let reason = "this is not an http or https address";
        let advice = "write the whole address, such as `https://files.example.com/x`";
        findings.error(Rule::Value, node.position, path.key("url"), reason, advice);
    }
}

pub(super) fn read_datasource(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<Datasource> {
    let node = node?;
    let path = step.key("datasource");
    if let (Some(_), Some(node)) = (node.text_at("path"), node.at(&["path"])) {
        check_path(node, &path.key("path"), findings);
    }
    let userdata_name = node.text_at("userdata_name");
    if let (Some(name), Some(node)) = (&userdata_name, node.at(&["userdata_name"])) {
        check_file_name(name, node.position, &path.key("userdata_name"), findings);
    }
    check_providers(node, &path, findings);
    Some(Datasource {
        providers: node.texts_at("providers"),
        path: node.text_at("path"),
        userdata_name,
    })
}

/// A host has no use for the metadata servers of clouds; the images that name them all name `cdrom` too.
fn check_providers(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    let Some(providers) = node.at(&["providers"]) else {
        return;
    };
    let path = path.key("providers");
    for (index, item) in providers.items().iter().enumerate() {
        if !matches!(item.as_text(), Some("cdrom" | "file")) {
            let reason = "this source is not asked by this version";
            let advice = "write `cdrom` or `file`";
            findings.warning(Rule::Value, item.position, path.item(index), reason, advice);
        }
    }
}
