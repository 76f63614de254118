//! `stylus.site`: what this host is and where it registers (`reference/palette.md` 1.5).

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::network::{self, Network};
use super::values::{
    Fault, LONGEST_HOST_ID, is_placeholder, is_project_uid, one_line, one_word, read_endpoint,
    read_host_id, read_host_name, read_prefix, read_token, read_url,
};
use crate::certificate;
use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::pattern;
use crate::place::check_path;
use crate::secret::Secret;
use crate::stages::{User, read_site_users};
use crate::tree::{Entry, Node};

/// What this host is and where it registers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Site {
    /// `paletteEndpoint`.
    pub palette_endpoint: Option<Endpoint>,
    /// `edgeHostToken`: the tenant registration token.
    pub edge_host_token: Option<Secret>,
    /// `disableAutoRegister`: there is a token, but the host does not register by itself.
    pub disable_auto_register: bool,
    /// `projectUid`.
    pub project_uid: Option<String>,
    /// `projectName`.
    pub project_name: Option<String>,
    /// `registrationURL`, to which the QR code leads; `http://` or `https://`, without blanks.
    pub registration_url: Option<String>,
    /// `name`: the edge host ID.
    pub name: Option<HostId>,
    /// `hostName` of the operating system; absent: as `name`.
    pub host_name: Option<String>,
    /// `prefix` of a generated ID; absent: `edge`.
    pub prefix: Option<String>,
    /// `deviceUIDPaths`, in the order in which they are tried.
    pub device_uid_paths: Vec<DeviceUidPath>,
    /// `clusterId`.
    pub cluster_id: Option<String>,
    /// `clusterName`.
    pub cluster_name: Option<String>,
    /// `tags`: labels of the edge host; numbers as they were written.
    pub tags: BTreeMap<String, String>,
    /// `tagsFromFile`.
    pub tags_from_file: Option<TagsFromFile>,
    /// `tagsFromScript`.
    pub tags_from_script: Option<TagsFromScript>,
    /// `caCerts`: PEM text of each certificate, whichever form it was given in.
    pub ca_certs: Vec<String>,
    /// `ntpServers`.
    pub ntp_servers: Vec<String>,
    /// `remoteShell.disable`.
    pub remote_shell_disabled: bool,
    /// `users`.
    pub users: Vec<User>,
    /// `network`.
    pub network: Network,
}

/// How the edge host ID is given by `name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostId {
    /// This text.
    Fixed(String),
    /// `$random`: a random one, made once.
    Random,
}

/// A host with an optional port, as in `api.spectrocloud.com` or `10.0.0.5:8443`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Host name or address; an IPv6 address in brackets.
    pub host: String,
    /// Port, if one was given.
    pub port: Option<u16>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A file from which the edge host ID can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceUidPath {
    /// `name`: the path of the file, absolute and clean.
    pub name: String,
    /// `regex`: an expression that compiles; absent: the whole content counts.
    pub regex: Option<String>,
}

impl DeviceUidPath {
    /// The ID in the content of the file: the first match, without blanks around it. Nothing if nothing matches.
    pub fn find(&self, content: &str) -> Option<String> {
        let found = match &self.regex {
            Some(regex) => pattern::compile(regex).ok()?.find(content)?.as_str(),
            None => content,
        };
        let id = found.trim();
        (!id.is_empty()).then(|| id.to_owned())
    }
}

/// `tagsFromFile`: labels in a file of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TagsFromFile {
    /// `fileName`: absolute and clean.
    pub file_name: String,
    /// `delimiter` between labels; a line break if absent.
    pub delimiter: String,
    /// `separator` between name and value; `:` if absent.
    pub separator: String,
}

/// `tagsFromScript`: labels that a script of the host prints as one flat JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TagsFromScript {
    /// `scriptName`: absolute and clean.
    pub script_name: String,
    /// `timeout` in seconds; 60 if absent.
    pub timeout: u64,
}

/// Reads `site`; its form was checked before.
pub(super) fn read(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Site {
    warn_of_insecurity(node, path, findings);
    warn_of_host_id(node, path, findings);
    Site {
        palette_endpoint: checked(node, "paletteEndpoint", findings, read_endpoint),
        edge_host_token: checked(node, "edgeHostToken", findings, read_token),
        disable_auto_register: node.flag("disableAutoRegister"),
        project_uid: read_project_uid(node, path, findings),
        project_name: checked(node, "projectName", findings, one_line),
        registration_url: read_registration_url(node, path, findings),
        name: checked(node, "name", findings, read_host_id),
        host_name: checked(node, "hostName", findings, read_host_name),
        prefix: checked(node, "prefix", findings, read_prefix),
        device_uid_paths: read_device_uid_paths(node, path, findings),
        cluster_id: checked(node, "clusterId", findings, one_word),
        cluster_name: checked(node, "clusterName", findings, one_line),
        tags: read_tags(node),
        tags_from_file: read_tags_from_file(node, path, findings),
        tags_from_script: read_tags_from_script(node, path, findings),
        ca_certs: certificate::read_list(node, "caCerts", path, findings),
        ntp_servers: read_ntp_servers(node, path, findings),
        remote_shell_disabled: node
            .at(&["remoteShell"])
            .is_some_and(|shell| shell.flag("disable")),
        users: node
            .at(&["users"])
            .map(|users| read_site_users(users, &path.key("users"), findings))
            .unwrap_or_default(),
        network: node
            .at(&["network"])
            .map(|node| network::read(node, &path.key("network"), findings))
            .unwrap_or_default(),
    }
}

fn warn_of_insecurity(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    if node.flag("insecureSkipVerify")
        && let Some(entry) = node.entry("insecureSkipVerify")
    {
        let reason = "this is ignored: the certificate of Palette is always verified";
        let advice = "give the CA of a self-hosted Palette in `caCerts`";
        let path = path.key("insecureSkipVerify");
        findings.warning(Rule::Insecure, entry.position, path, reason, advice);
    }
}

/// Reads one text by its own rule; an empty text counts as not given, as it does for the agent.
fn checked<T>(
    site: &Node,
    key: &str,
    findings: &mut Findings,
    read: impl Fn(&str) -> Result<T, Fault>,
) -> Option<T> {
    let Entry { node, .. } = site.entry(key)?;
    let text = node.as_text()?;
    if text.is_empty() {
        return None;
    }
    let refuse = |(rule, reason, advice): Fault| {
        let path = format!("stylus.site.{key}");
        findings.error(rule, node.position, &path, &reason, advice);
    };
    read(text).map_err(refuse).ok()
}

/// Samples have words and names in the place of the id, so what is none is only doubted (rule U14).
fn read_project_uid(site: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<String> {
    let uid = checked(site, "projectUid", findings, one_word)?;
    if !is_project_uid(&uid)
        && !is_placeholder(&uid)
        && let Some(entry) = site.entry("projectUid")
    {
        let reason = "the id of a project has 24 hexadecimal digits, this has not";
        let advice = "copy the id from Palette, or write a name as `projectName`";
        let (rule, at) = (Rule::ProjectUid, entry.node.position);
        findings.warning(rule, at, path.key("projectUid"), reason, advice);
    }
    Some(uid)
}

/// A page that no phone can open is left out: the screen then shows the ID without a QR code (rule U31).
fn read_registration_url(
    site: &Node,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<String> {
    let text = checked(site, "registrationURL", findings, one_word)?;
    let entry = site.entry("registrationURL")?;
    match read_url(&text) {
        Ok(url) => Some(url),
        Err(_) if is_placeholder(&text) => None,
        Err((rule, reason, advice)) => {
            let path = path.key("registrationURL");
            findings.warning(rule, entry.node.position, path, &reason, advice);
            None
        }
    }
}

/// Warns about IDs that are valid but become a bad host name (rule U16).
fn warn_of_host_id(site: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    let Some(entry) = site.entry("name") else {
        return;
    };
    let Some(text) = entry.node.as_text() else {
        return;
    };
    let mut warn = |reason: &str, advice: &str| {
        let (rule, at) = (Rule::HostId, entry.node.position);
        findings.warning(rule, at, path.key("name"), reason, advice);
    };
    if text.chars().count() > LONGEST_HOST_ID {
        warn("Palette cuts the ID after 128 characters", "shorten it");
    }
    if text.contains('_') || text.contains(char::is_uppercase) {
        warn(
            "the ID becomes the host name, where upper case and `_` are not allowed",
            "write it in lower case with `-`",
        );
    }
}

/// Each item names a file and, perhaps, an expression that RE2 can read (rule U18).
fn read_device_uid_paths(
    site: &Node,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Vec<DeviceUidPath> {
    let path = path.key("deviceUIDPaths");
    let mut sources = Vec::new();
    let items = site.at(&["deviceUIDPaths"]).map(Node::items);
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = path.item(index);
        let Some(name) = item.text_at("name") else {
            let (reason, advice) = ("the item names no file", "write `name: /...`");
            findings.error(Rule::DeviceUid, item.position, path, reason, advice);
            continue;
        };
        if let Some(node) = item.at(&["name"]) {
            check_path(node, &path.key("name"), findings);
        }
        let regex = item.text_at("regex");
        if let (Some(node), Some(text)) = (item.at(&["regex"]), &regex)
            && let Err(reason) = pattern::compile(text)
        {
            let advice = "write an RE2 expression such as `[0-9a-f]+`";
            let path = path.key("regex");
            findings.error(Rule::DeviceUid, node.position, path, reason, advice);
        }
        sources.push(DeviceUidPath { name, regex });
    }
    sources
}

/// The labels, without the two blocks that are sometimes written among them by mistake.
fn read_tags(site: &Node) -> BTreeMap<String, String> {
    site.at(&["tags"]).map(Node::scalars).unwrap_or_default()
}

/// A block of `site`, or the one that was put under `tags` by mistake.
fn misplaced_or<'a>(site: &'a Node, key: &str) -> Option<&'a Node> {
    site.at(&[key]).or_else(|| site.at(&["tags", key]))
}

fn read_tags_from_file(
    site: &Node,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<TagsFromFile> {
    let node = misplaced_or(site, "tagsFromFile")?;
    let path = path.key("tagsFromFile");
    let file_name = node.text_at("fileName")?;
    check_path(node.at(&["fileName"])?, &path.key("fileName"), findings);
    let text = |key: &str, default: &str| node.text_at(key).unwrap_or_else(|| default.to_owned());
    Some(TagsFromFile {
        file_name,
        delimiter: text("delimiter", "\n"),
        separator: text("separator", ":"),
    })
}

fn read_tags_from_script(
    site: &Node,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<TagsFromScript> {
    let node = misplaced_or(site, "tagsFromScript")?;
    let path = path.key("tagsFromScript");
    let script_name = node.text_at("scriptName")?;
    check_path(node.at(&["scriptName"])?, &path.key("scriptName"), findings);
    Some(TagsFromScript {
        script_name,
        timeout: node.count_at("timeout").unwrap_or(60),
    })
}

/// The servers end in a line of `timesyncd.conf`, separated by blanks.
fn read_ntp_servers(site: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Vec<String> {
    let Some(node) = site.at(&["ntpServers"]) else {
        return Vec::new();
    };
    let servers: Vec<String> = match node.as_text() {
        Some(text) => text
            .split([',', ' '])
            .filter(|server| !server.is_empty())
            .map(str::to_owned)
            .collect(),
        None => node.texts(),
    };
    let is_server = |text: &str| {
        text.parse::<std::net::IpAddr>().is_ok()
            || is_placeholder(text)
            || read_endpoint(text).is_ok()
    };
    if servers.iter().any(|server| !is_server(server)) {
        let reason = "a time server is neither a host name nor an address";
        let path = path.key("ntpServers");
        findings.error(
            Rule::Network,
            node.position,
            path,
            reason,
            "write host names or addresses",
        );
    }
    servers
}
