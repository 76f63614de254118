//! `stylus`: what the Palette agent and the registration read.

mod schema;
mod values;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

pub(crate) use schema::STYLUS;
use values::{
    Fault, LONGEST_HOST_ID, one_line, one_word, read_endpoint, read_host_id, read_host_name,
    read_prefix, read_token, read_url,
};

use crate::certificate;
use crate::finding::{Findings, Rule};
use crate::secret::Secret;
use crate::tree::{Entry, Node};

/// Who manages the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ManagementMode {
    /// Palette does; the default.
    #[default]
    Central,
    /// Nobody from outside does; the host has no connection to Palette.
    Local,
}

/// The agent's parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stylus {
    /// `managementMode`, or what the old `installationMode` says.
    pub management_mode: ManagementMode,
    /// `debug`.
    pub debug: bool,
    /// `trace`.
    pub trace: bool,
    /// `disableTui`: the screen shows, but changes nothing.
    pub disable_tui: bool,
    /// `site`.
    pub site: Site,
}

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
    /// `tags`: labels of the edge host; numbers as they were written.
    pub tags: BTreeMap<String, String>,
    /// `caCerts`: PEM text of each certificate, whichever form it was given in.
    pub ca_certs: Vec<String>,
    /// `ntpServers`.
    pub ntp_servers: Vec<String>,
    /// `network`.
    pub network: Network,
}

/// `network` of a site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// `httpProxy`; may hold credentials.
    pub http_proxy: Option<Secret>,
    /// `httpsProxy`; may hold credentials.
    pub https_proxy: Option<Secret>,
    /// `noProxy`, comma-separated.
    pub no_proxy: Option<String>,
    /// `nameserver` for the whole host.
    pub nameserver: Option<String>,
    /// `interfaces` by name; not checked further by this version.
    pub interfaces: BTreeMap<String, Interface>,
}

/// One network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// `type` is `static`.
    pub is_static: bool,
    /// `ipAddress`, with or without a prefix length.
    pub ip_address: Option<String>,
    /// `mask`.
    pub mask: Option<String>,
    /// `gateway`.
    pub gateway: Option<String>,
    /// `nameserver`.
    pub nameserver: Option<String>,
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

/// Reads `stylus`; its form was checked before.
pub(crate) fn read(node: &Node, findings: &mut Findings) -> Stylus {
    Stylus {
        management_mode: read_mode(node, findings),
        debug: node.flag("debug") || node.at(&["site"]).is_some_and(|site| site.flag("debug")),
        trace: node.flag("trace"),
        disable_tui: node.flag("disableTui"),
        site: node
            .at(&["site"])
            .map(|site| read_site(site, findings))
            .unwrap_or_default(),
    }
}

fn read_mode(node: &Node, findings: &mut Findings) -> ManagementMode {
    let mut read = |key: &str, central: &str, local: &str| {
        let entry = node.entry(key)?;
        let text = entry.node.as_text()?;
        let mode = match text {
            _ if text == central => ManagementMode::Central,
            _ if text == local => ManagementMode::Local,
            _ => {
                let reason = format!("`{text}` is no mode");
                let advice = format!("write `{central}` or `{local}`");
                findings.error(
                    Rule::ManagementMode,
                    entry.node.position,
                    &format!("stylus.{key}"),
                    &reason,
                    &advice,
                );
                return None;
            }
        };
        Some((mode, entry))
    };
    let new = read("managementMode", "central", "local");
    let old = read("installationMode", "connected", "airgap");
    if let (Some((new, _)), Some((old, entry))) = (&new, &old)
        && new != old
    {
        let reason = "this contradicts `managementMode`";
        findings.error(
            Rule::ManagementMode,
            entry.position,
            "stylus.installationMode",
            reason,
            "remove the old key",
        );
    }
    new.or(old).map(|(mode, _)| mode).unwrap_or_default()
}

fn read_site(node: &Node, findings: &mut Findings) -> Site {
    if node.flag("insecureSkipVerify")
        && let Some(entry) = node.entry("insecureSkipVerify")
    {
        let reason = "this is ignored: the certificate of Palette is always verified";
        let advice = "give the CA of a self-hosted Palette in `caCerts`";
        findings.warning(
            Rule::Insecure,
            entry.position,
            "stylus.site.insecureSkipVerify",
            reason,
            advice,
        );
    }
    warn_of_host_id(node, findings);
    Site {
        palette_endpoint: checked(node, "paletteEndpoint", findings, read_endpoint),
        edge_host_token: checked(node, "edgeHostToken", findings, read_token),
        disable_auto_register: node.flag("disableAutoRegister"),
        project_uid: checked(node, "projectUid", findings, one_word),
        project_name: checked(node, "projectName", findings, one_line),
        registration_url: checked(node, "registrationURL", findings, read_url),
        name: checked(node, "name", findings, read_host_id),
        host_name: checked(node, "hostName", findings, read_host_name),
        prefix: checked(node, "prefix", findings, read_prefix),
        tags: node.at(&["tags"]).map(Node::scalars).unwrap_or_default(),
        ca_certs: read_ca_certs(node, findings),
        ntp_servers: read_ntp_servers(node),
        network: node.at(&["network"]).map(read_network).unwrap_or_default(),
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
    read(text)
        .map_err(|(rule, reason, advice)| {
            findings.error(
                rule,
                node.position,
                &format!("stylus.site.{key}"),
                &reason,
                advice,
            );
        })
        .ok()
}

/// Warns about IDs that are valid but become a bad host name (rule U16).
fn warn_of_host_id(site: &Node, findings: &mut Findings) {
    let Some(entry) = site.entry("name") else {
        return;
    };
    let Some(text) = entry.node.as_text() else {
        return;
    };
    let mut warn = |reason: &str, advice: &str| {
        findings.warning(
            Rule::HostId,
            entry.node.position,
            "stylus.site.name",
            reason,
            advice,
        );
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

fn read_ca_certs(site: &Node, findings: &mut Findings) -> Vec<String> {
    let mut certificates = Vec::new();
    let items = site.at(&["caCerts"]).map(Node::items).unwrap_or_default();
    for (index, node) in items.iter().enumerate() {
        let Some(text) = node.as_text() else { continue };
        match certificate::to_pem(text) {
            Ok(pem) => certificates.push(pem),
            Err(fault) => {
                let path = format!("stylus.site.caCerts[{index}]");
                findings.error(
                    Rule::CaCertificate,
                    node.position,
                    &path,
                    fault.reason,
                    fault.advice,
                );
            }
        }
    }
    certificates
}

fn read_ntp_servers(site: &Node) -> Vec<String> {
    let Some(node) = site.at(&["ntpServers"]) else {
        return Vec::new();
    };
    match node.as_text() {
        Some(text) => text
            .split([',', ' '])
            .filter(|server| !server.is_empty())
            .map(str::to_owned)
            .collect(),
        None => node.texts(),
    }
}

fn read_network(node: &Node) -> Network {
    let interfaces = node
        .at(&["interfaces"])
        .map(Node::entries)
        .unwrap_or_default();
    Network {
        http_proxy: node.text_at("httpProxy").map(Secret::new),
        https_proxy: node.text_at("httpsProxy").map(Secret::new),
        no_proxy: node.text_at("noProxy"),
        nameserver: node.text_at("nameserver"),
        interfaces: interfaces
            .iter()
            .map(|entry| (entry.key.clone(), read_interface(&entry.node)))
            .collect(),
    }
}

fn read_interface(node: &Node) -> Interface {
    Interface {
        is_static: node.text_at("type").as_deref() == Some("static"),
        ip_address: node.text_at("ipAddress"),
        mask: node.text_at("mask"),
        gateway: node.text_at("gateway"),
        nameserver: node.text_at("nameserver"),
    }
}
