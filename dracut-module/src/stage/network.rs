//! How a step reaches the network: whom it trusts, which proxy it takes, and whether there is a network at all.
//!
//! The trusted certificates are those of the system and `stylus.site.caCerts`. The proxy is what the step's own
//! `environment` says, else `/etc/environment`, else the environment of this process, else `stylus.site.network`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use fetch::{Client, FetchError, Proxies, Secret, Settings, SettingsError, Trust};
use userdata::{Step, UserData};

use super::facts::Setting;

/// The user-data that the installer left, with the network of the site.
const USER_DATA: &str = "/oem/90_custom.yaml";

/// Where the site's variables are.
const ENVIRONMENT: &str = "/etc/environment";

/// A client for the documents of one step.
///
/// # Errors
///
/// At once if this is the initramfs and no network was set up there, so that the boot does not wait for a name that
/// nobody can resolve; if a certificate or a proxy of the site cannot be read.
pub(super) fn client(step: &Step, setting: Setting) -> Result<Client> {
    let in_initramfs = matches!(setting, Setting::Initramfs | Setting::Sysroot);
    if in_initramfs && !has_route(&read("/proc/net/route"), &read("/proc/net/ipv6_route")) {
        bail!("LF-N01: there is no network in the initramfs; move the step to the stage `network`");
    }
    let mut settings = settings(step, &read(ENVIRONMENT), site().as_ref());
    if in_initramfs {
        settings.attempts = 1;
    }
    Client::new(settings).map_err(|error| anyhow!("{}: {error}", SettingsError::CODE))
}

/// The code in front, as everywhere.
pub(super) fn told(error: &FetchError) -> anyhow::Error {
    anyhow!("{}: {error}", error.code())
}

fn settings(step: &Step, environment: &str, site: Option<&UserData>) -> Settings {
    let file = variables(environment);
    let own = |name: &str| {
        let of_step = step.environment.get(name).cloned();
        of_step
            .or_else(|| file.get(name).cloned())
            .or_else(|| std::env::var(name).ok())
    };
    let mut proxies = Proxies::from_variables(own);
    let mut trust = Trust::default();
    if let Some(user_data) = site {
        let site = &user_data.stylus.site;
        trust.certificates.clone_from(&site.ca_certs);
        if proxies.http.is_none() && proxies.https.is_none() {
            proxies.http = site.network.http_proxy.as_ref().map(secret);
            proxies.https = site.network.https_proxy.as_ref().map(secret);
            proxies.no_proxy = proxies.no_proxy.or_else(|| site.network.no_proxy.clone());
        }
    }
    Settings {
        trust,
        proxies,
        ..Settings::default()
    }
}

fn secret(proxy: &userdata::Secret) -> Secret {
    Secret::new(proxy.reveal())
}

/// A host without readable user-data has no site; what is wrong with it is told where it is read for its stages.
fn site() -> Option<UserData> {
    let bytes = fs::read(USER_DATA).ok()?;
    userdata::parse_leniently(USER_DATA, &bytes).user_data
}

/// `NAME=value` lines as `pam_env(8)` has them: `export` and quotes may be there.
fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=')?;
        let value = value.trim();
        let quoted = ['"', '\'']
            .iter()
            .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let name = name.trim();
        let is_comment = name.starts_with('#');
        (!is_comment).then(|| (name.to_owned(), quoted.unwrap_or(value).to_owned()))
    });
    lines.collect()
}

/// `/proc/net/route` has a line of titles; `/proc/net/ipv6_route` always has lines of the loopback device.
fn has_route(ipv4: &str, ipv6: &str) -> bool {
    let leads_out = |line: &str| {
        line.split_whitespace()
            .last()
            .is_some_and(|name| name != "lo")
    };
    ipv4.lines().count() > 1 || ipv6.lines().any(leads_out)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: p.example\n    network:\n      \
        httpProxy: http://site:1\n      httpsProxy: http://site:2\n      noProxy: near.example\n";

    fn step(variables: &[(&str, &str)]) -> Step {
        let pairs = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Step {
            environment: pairs.collect(),
            ..Step::default()
        }
    }

    fn https(step: &Step, environment: &str) -> Option<String> {
        let site = userdata::parse("site", SITE.as_bytes()).user_data.unwrap();
        let proxies = settings(step, environment, Some(&site)).proxies;
        proxies.https.map(|proxy| proxy.reveal().to_owned())
    }

    #[test]
    fn the_nearest_proxy_counts_and_the_one_of_the_site_comes_last() {
        let file = "# https_proxy=http://no:1\nexport https_proxy=\"http://file:1\"\n";
        let own = step(&[("https_proxy", "http://step:1")]);
        assert_eq!(https(&own, file).as_deref(), Some("http://step:1"));
        assert_eq!(https(&step(&[]), file).as_deref(), Some("http://file:1"));
        assert_eq!(https(&step(&[]), "").as_deref(), Some("http://site:2"));
    }

    #[test]
    fn a_variable_that_is_empty_leaves_the_proxy_to_the_site() {
        let own = step(&[("https_proxy", ""), ("no_proxy", "a.example")]);
        let site = userdata::parse("site", SITE.as_bytes()).user_data.unwrap();
        let proxies = settings(&own, "", Some(&site)).proxies;
        assert_eq!(proxies.http, Some(Secret::new("http://site:1")));
        assert_eq!(proxies.no_proxy.as_deref(), Some("a.example"));
    }

    #[test]
    fn a_machine_without_a_route_has_no_network() {
        let titles = "Iface\tDestination\tGateway\n";
        let loopback = "00 00 00 00 0 0 0 0 80200001       lo\n";
        assert!(!has_route(titles, loopback));
        assert!(!has_route("", ""));
        assert!(has_route(
            &format!("{titles}eth0\t00000000\t0102000A\n"),
            loopback
        ));
        assert!(has_route(titles, "00 00 00 00 0 0 0 0 80200001     eth0\n"));
    }
}
