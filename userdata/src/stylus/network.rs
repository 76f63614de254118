//! `stylus.site.network`: proxies, name servers and interfaces (`reference/palette.md` 1.6).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use super::address::{Subnet, is_proxy_exception, proxy_fault, read_mask};
use super::values::is_placeholder;
use crate::finding::{Findings, Position, Rule};
use crate::key_path::KeyPath;
use crate::schema::{Schema, Shape, field, renamed, strict};
use crate::secret::Secret;
use crate::tree::Node;

const FLAT: &str = "write it under `interfaces: {<name of the interface>: ...}`";
const FLAT_DOC: &str = "Form of 2023: the only interface, without its name.";

/// `stylus.site.network`, with the flat form of 2023.
pub(super) static NETWORK: Schema = strict(&[&[
    field(
        "httpProxy",
        Shape::Text,
        "Proxy of the host for http. May hold a secret.",
    ),
    field(
        "httpsProxy",
        Shape::Text,
        "Proxy of the host for https. May hold a secret.",
    ),
    field(
        "noProxy",
        Shape::Text,
        "What is reached without a proxy: addresses, networks and names, separated by commas.",
    ),
    field(
        "nameserver",
        Shape::Text,
        "Address of the DNS server of the whole host.",
    ),
    field(
        "interfaces",
        Shape::Named(&INTERFACE),
        "Interfaces by name; those that are not listed use DHCP.",
    ),
    renamed("type", Shape::Choice(TYPES), FLAT, FLAT_DOC),
    renamed("gateway", Shape::Text, FLAT, FLAT_DOC),
    renamed("ipAddress", Shape::Text, FLAT, FLAT_DOC),
    renamed("mask", Shape::Text, FLAT, FLAT_DOC),
]]);

const TYPES: &[&str] = &["dhcp", "static"];

static INTERFACE: Schema = strict(&[&[
    field(
        "type",
        Shape::Choice(TYPES),
        "How it gets its address; `dhcp` if absent.",
    ),
    field(
        "ipAddress",
        Shape::Text,
        "Its address, such as `10.0.10.25/24`; without `/24` the `mask` is needed.",
    ),
    field("mask", Shape::Text, "Its mask, such as `255.255.255.0`."),
    field("gateway", Shape::Text, "Address of the router."),
    field(
        "nameserver",
        Shape::Text,
        "Address of the DNS server behind it.",
    ),
]]);

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
    /// `interfaces` by name.
    pub interfaces: BTreeMap<String, Interface>,
    /// The interface of the flat form of 2023, which has no name: the one that leads out.
    pub unnamed: Option<Interface>,
}

/// One network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// `type` is `static`. Then there are an address, a prefix length and a gateway.
    pub is_static: bool,
    /// `ipAddress` as written, with or without a prefix length.
    pub ip_address: Option<String>,
    /// Length of the network's prefix, from `ipAddress` or `mask`.
    pub prefix_len: Option<u8>,
    /// `mask` as written.
    pub mask: Option<String>,
    /// `gateway`.
    pub gateway: Option<String>,
    /// `nameserver`.
    pub nameserver: Option<String>,
}

/// Reads `network`; its form was checked before.
pub(super) fn read(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Network {
    for key in ["httpProxy", "httpsProxy"] {
        check(node, key, path, findings, |text| {
            let advice = "write the whole address, such as `http://proxy.example.com:3128`";
            proxy_fault(text).map(|reason| (reason, advice))
        });
    }
    check(node, "noProxy", path, findings, |text| {
        let mut items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        items.any(|item| !is_proxy_exception(item)).then_some((
            "an item is neither an address, a network nor a host name",
            "write addresses, networks such as `10.0.0.0/8` and names, separated by commas",
        ))
    });
    check_address(node, "nameserver", path, findings);
    let interfaces = path.key("interfaces");
    let named = node.at(&["interfaces"]).map(Node::entries);
    let flat = ["type", "ipAddress", "mask", "gateway"];
    Network {
        http_proxy: node.text_at("httpProxy").map(Secret::new),
        https_proxy: node.text_at("httpsProxy").map(Secret::new),
        no_proxy: node.text_at("noProxy"),
        nameserver: node.text_at("nameserver"),
        interfaces: named
            .unwrap_or_default()
            .iter()
            .map(|entry| {
                let path = interfaces.key(&entry.key);
                check_name(&entry.key, entry.position, &path, findings);
                let interface = read_interface(&entry.node, entry.position, &path, findings);
                (entry.key.clone(), interface)
            })
            .collect(),
        unnamed: flat
            .iter()
            .find_map(|key| node.entry(key))
            .map(|first| read_interface(node, first.position, path, findings)),
    }
}

/// The kernel's own limits of a name, and what would be syntax where the name is written.
fn check_name(name: &str, position: Position, path: &KeyPath<'_>, findings: &mut Findings) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let fits = (1..=15).contains(&name.len()) && name.chars().all(allowed);
    if !fits && !is_placeholder(name) {
        let reason = "this cannot be the name of an interface";
        let advice = "use at most 15 letters, digits, `-`, `_`, `.` and `@`";
        findings.error(Rule::Name, position, path, reason, advice);
    }
}

/// Checks one text by its own rule, which says what is wrong and what to write (rule U20).
fn check(
    node: &Node,
    key: &str,
    path: &KeyPath<'_>,
    findings: &mut Findings,
    fault: impl Fn(&str) -> Option<(&'static str, &'static str)>,
) {
    let Some(value) = node.at(&[key]) else { return };
    let text = value.as_text().unwrap_or_default();
    if text.is_empty() || is_placeholder(text) {
        return;
    }
    if let Some((reason, advice)) = fault(text) {
        findings.error(Rule::Network, value.position, path.key(key), reason, advice);
    }
}

fn check_address(node: &Node, key: &str, path: &KeyPath<'_>, findings: &mut Findings) {
    check(node, key, path, findings, |text| {
        text.parse::<IpAddr>().is_err().then_some((
            "this is not an address",
            "write one address, such as `10.0.10.1`",
        ))
    });
}

fn read_interface(
    node: &Node,
    position: Position,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Interface {
    let errors = findings.errors();
    if let Some(kind) = node.at(&["type"])
        && let Some(text) = kind.as_text()
        && !TYPES.contains(&text)
    {
        let reason = format!("`{text}` is no type of an interface");
        let advice = "write `dhcp` or `static`";
        findings.error(
            Rule::Network,
            kind.position,
            path.key("type"),
            &reason,
            advice,
        );
    }
    check(node, "ipAddress", path, findings, |text| {
        Subnet::read(text).is_none().then_some((
            "this is not an address",
            "write an address with its prefix length, such as `10.0.10.25/24`",
        ))
    });
    check(node, "mask", path, findings, |text| {
        read_mask(text).is_none().then_some((
            "this is not a mask",
            "write it as `255.255.255.0`, or `/24` behind the address",
        ))
    });
    check_address(node, "gateway", path, findings);
    check_address(node, "nameserver", path, findings);
    let address = node.text_at("ipAddress");
    let subnet = address.as_deref().and_then(Subnet::read);
    let mask = node.text_at("mask");
    let interface = Interface {
        is_static: node.text_at("type").as_deref() == Some("static"),
        prefix_len: subnet
            .as_ref()
            .and_then(|subnet| subnet.prefix)
            .or_else(|| mask.as_deref().and_then(read_mask)),
        ip_address: address,
        mask,
        gateway: node.text_at("gateway"),
        nameserver: node.text_at("nameserver"),
    };
    if interface.is_static && findings.errors() == errors {
        check_static(&interface, node, position, path, findings);
    }
    interface
}

/// A static interface says all that DHCP would have said (rule U19).
fn check_static(
    interface: &Interface,
    node: &Node,
    position: Position,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) {
    let mut refuse = |reason: &str, advice: &str| {
        findings.error(Rule::StaticInterface, position, path, reason, advice);
    };
    if interface.ip_address.is_none() {
        let advice = "write `ipAddress: <address>/<prefix length>`";
        refuse("the interface is static and has no address", advice);
    } else if interface.prefix_len.is_none() {
        let advice = "write the length behind the address, such as `/24`";
        refuse("the address has neither a prefix length nor a mask", advice);
    }
    if interface.gateway.is_none() {
        let advice = "write `gateway: <address of the router>`";
        refuse("the interface is static and has no gateway", advice);
    }
    let parsed = |text: &Option<String>| text.as_deref().and_then(Subnet::read);
    if let (Some(own), Some(gateway), Some(prefix), Some(entry)) = (
        parsed(&interface.ip_address),
        parsed(&interface.gateway),
        interface.prefix_len,
        node.entry("gateway"),
    ) && !own.holds(gateway.address, prefix)
    {
        let reason = "the gateway is not in the network of the interface";
        let advice = "check the address, the prefix length and the gateway";
        let (rule, path) = (Rule::StaticInterface, path.key("gateway"));
        findings.warning(rule, entry.node.position, path, reason, advice);
    }
}
