//! `stylus`: what the Palette agent and the registration read.

mod address;
mod network;
mod registry;
mod schema;
mod site;
mod values;

use serde::Serialize;

pub use network::{Interface, Network};
pub use registry::{ExternalRegistries, Registry};
pub(crate) use schema::STYLUS;
pub use site::{DeviceUidPath, Endpoint, HostId, Site, TagsFromFile, TagsFromScript};

use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::tree::Node;

/// The gate by which the local UI may edit user-data; once a switch of its own.
const USER_DATA_FORM: &str = "UserDataForm";

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
#[expect(
    clippy::struct_excessive_bools,
    reason = "the switches of the format, each independent of the others"
)]
pub struct Stylus {
    /// `managementMode`, or what the old `installationMode` says.
    pub management_mode: ManagementMode,
    /// `debug`, also where it once stood, under `site`.
    pub debug: bool,
    /// `trace`.
    pub trace: bool,
    /// `disablePasswordUpdate`: the local UI may not change passwords of the operating system.
    pub disable_password_update: bool,
    /// `disableTui`: the screen shows, but changes nothing.
    pub disable_tui: bool,
    /// `enableMultiNode`.
    pub enable_multi_node: bool,
    /// `featureGate`, split at its commas; `UserDataForm` also for the old `EnableUserdataForm`.
    pub feature_gates: Vec<String>,
    /// `imageRedirectWebhook`.
    pub image_redirect_webhook: Webhook,
    /// `localUI`; its port also from the old `emcServer`.
    pub local_ui: LocalUi,
    /// `vip.skip`, or the old `skipKubeVip`: kube-vip is not configured.
    pub skip_vip: bool,
    /// `path`: where the agent installs itself; absent: `/`.
    pub path: Option<String>,
    /// `registryCredentials`.
    pub registry_credentials: Option<Registry>,
    /// `externalRegistries`.
    pub external_registries: Option<ExternalRegistries>,
    /// `site`.
    pub site: Site,
}

/// `imageRedirectWebhook`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Webhook {
    /// `enable`; `true` if absent.
    pub enable: bool,
    /// `port`; 0 if absent.
    pub port: u16,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            enable: true,
            port: 0,
        }
    }
}

/// `localUI`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LocalUi {
    /// `port`; 5080 if absent.
    pub port: u16,
    /// `login.attemptsBeforeExponentialDelayStarts`; 3 if absent.
    pub attempts_before_delay: u64,
    /// `login.maxFailedAttemptsBeforeLockout`; 5 if absent.
    pub attempts_before_lockout: u64,
    /// `login.lockoutDurationInMinutes`; 15 if absent.
    pub lockout_minutes: u64,
    /// `login.disableRateLimiting`: the three above do nothing.
    pub rate_limiting_disabled: bool,
}

impl Default for LocalUi {
    fn default() -> Self {
        Self {
            port: 5080,
            attempts_before_delay: 3,
            attempts_before_lockout: 5,
            lockout_minutes: 15,
            rate_limiting_disabled: false,
        }
    }
}

/// Reads `stylus`; its form was checked before.
pub(crate) fn read(node: &Node, findings: &mut Findings) -> Stylus {
    let path = KeyPath::top("stylus");
    let (registry_credentials, external_registries) = registry::read(node, &path, findings);
    Stylus {
        management_mode: read_mode(node, findings),
        debug: node.flag("debug") || node.at(&["site"]).is_some_and(|site| site.flag("debug")),
        trace: node.flag("trace"),
        disable_password_update: node.flag("disablePasswordUpdate"),
        disable_tui: node.flag("disableTui"),
        enable_multi_node: node.flag("enableMultiNode"),
        feature_gates: read_feature_gates(node),
        image_redirect_webhook: read_webhook(node, &path, findings),
        local_ui: read_local_ui(node, &path, findings),
        skip_vip: match node.at(&["vip"]) {
            Some(vip) if vip.entry("skip").is_some() => vip.flag("skip"),
            _ => node.flag("skipKubeVip"),
        },
        path: read_path(node, &path, findings),
        registry_credentials,
        external_registries,
        site: node
            .at(&["site"])
            .map(|site| site::read(site, &path.key("site"), findings))
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
                    format!("stylus.{key}"),
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

fn read_feature_gates(node: &Node) -> Vec<String> {
    let text = node.text_at("featureGate").unwrap_or_default();
    let names = text.split(',').map(str::trim);
    let mut gates: Vec<String> = names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if node.flag("EnableUserdataForm") && !gates.iter().any(|gate| gate == USER_DATA_FORM) {
        gates.push(USER_DATA_FORM.to_owned());
    }
    gates
}

fn read_webhook(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Webhook {
    let Some(webhook) = node.at(&["imageRedirectWebhook"]) else {
        return Webhook::default();
    };
    let path = path.key("imageRedirectWebhook");
    Webhook {
        enable: webhook.entry("enable").is_none() || webhook.flag("enable"),
        port: read_port(webhook, &path, findings).unwrap_or_default(),
    }
}

fn read_local_ui(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> LocalUi {
    let mut port = |key: &str| {
        let path = path.key(key);
        node.at(&[key])
            .and_then(|node| read_port(node, &path, findings))
    };
    let (new, old) = (port("localUI"), port("emcServer"));
    let login = node.at(&["localUI", "login"]);
    let count = |key: &str| login.and_then(|login| login.count_at(key));
    let default = LocalUi::default();
    LocalUi {
        port: new.or(old).unwrap_or(default.port),
        attempts_before_delay: count("attemptsBeforeExponentialDelayStarts")
            .unwrap_or(default.attempts_before_delay),
        attempts_before_lockout: count("maxFailedAttemptsBeforeLockout")
            .unwrap_or(default.attempts_before_lockout),
        lockout_minutes: count("lockoutDurationInMinutes").unwrap_or(default.lockout_minutes),
        rate_limiting_disabled: login.is_some_and(|login| login.flag("disableRateLimiting")),
    }
}

fn read_port(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<u16> {
    let port = node.count_at("port")?;
    let fits = u16::try_from(port).ok();
    if let (None, Some(entry)) = (fits, node.entry("port")) {
        let (reason, advice) = ("this is not a port", "write a number up to 65535");
        let (rule, at) = (Rule::Value, entry.node.position);
        findings.error(rule, at, path.key("port"), reason, advice);
    }
    fits
}

fn read_path(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<String> {
    let text = node.text_at("path")?;
    crate::place::check_path(node.at(&["path"])?, &path.key("path"), findings);
    Some(text)
}
