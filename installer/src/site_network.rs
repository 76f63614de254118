//! The network of the site, as systemd's daemons read it.
//!
//! Written at every boot from the user-data to `/run`, which moves from the initramfs to the system: what an operator
//! takes out of the user-data is gone at the next boot. The names sort before the image's own DHCP for all interfaces,
//! and the first file that fits an interface wins (systemd.network(5)).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use host::files::write_synced;
use userdata::{Interface, UserData};

/// Interfaces that lead out, for the flat form of 2023 that names none.
const ANY_ETHERNET: &str = "en* eth*";

/// Writes the files below `run` (`/run` outside tests).
pub fn write(run: &Path, user_data: &UserData) -> Result<()> {
    for (path, text) in render(user_data) {
        let path = run.join(path);
        let folder = path.parent().unwrap_or(run);
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        write_synced(&path, text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Path below `/run` and text of each file.
fn render(user_data: &UserData) -> Vec<(String, String)> {
    let site = &user_data.stylus.site;
    let mut files: Vec<(String, String)> = site
        .network
        .interfaces
        .iter()
        .map(|(name, interface)| (format!("10-landfall-{name}"), unit(name, interface)))
        .collect();
    if let Some(interface) = &site.network.unnamed {
        files.push(("11-landfall".to_owned(), unit(ANY_ETHERNET, interface)));
    }
    let mut all: Vec<(String, String)> = files
        .into_iter()
        .map(|(name, text)| (format!("systemd/network/{name}.network"), text))
        .collect();
    if let Some(server) = &site.network.nameserver {
        let text = format!("[Resolve]\nDNS={server}\nDomains=~.\n");
        all.push(("systemd/resolved.conf.d/landfall.conf".to_owned(), text));
    }
    let servers: Vec<&str> = site
        .ntp_servers
        .iter()
        .map(String::as_str)
        .filter(|server| !server.contains(char::is_whitespace))
        .collect();
    if !servers.is_empty() {
        let text = format!("[Time]\nNTP={}\n", servers.join(" "));
        all.push(("systemd/timesyncd.conf.d/landfall.conf".to_owned(), text));
    }
    all
}

/// A unit for systemd-networkd. The values were checked when the user-data was read.
fn unit(name: &str, interface: &Interface) -> String {
    let mut text = format!("[Match]\nName={name}\n\n[Network]\n");
    let mut line = |key: &str, value: Option<&str>| {
        // A value with a line break would be a line of its own.
        if let Some(value) = value.filter(|value| !value.contains(char::is_control)) {
            text.push_str(&[key, "=", value, "\n"].concat());
        }
    };
    line("DNS", interface.nameserver.as_deref());
    if interface.is_static {
        line("Address", address(interface).as_deref());
        line("Gateway", interface.gateway.as_deref());
    } else {
        line("DHCP", Some("yes"));
        // The same address after a reinstall, whatever the machine-id is.
        line("\n[DHCPv4]\nClientIdentifier", Some("mac"));
    }
    text
}

/// Address and length of the prefix, from `ipAddress` with either a length or a `mask` beside it.
fn address(interface: &Interface) -> Option<String> {
    let bare = interface.ip_address.as_deref()?.split('/').next()?;
    Some(format!("{bare}/{}", interface.prefix_len?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "#cloud-config
stylus:
  site:
    paletteEndpoint: api.example.com
    ntpServers: [10.0.0.1, ntp.example.com]
    network:
      nameserver: 10.0.0.53
      interfaces:
        eno1:
          type: static
          ipAddress: 10.0.10.25
          mask: 255.255.255.0
          gateway: 10.0.10.1
          nameserver: 10.0.10.53
        eno2:
          type: dhcp
";

    #[test]
    fn static_addresses_dhcp_name_and_time_servers_become_files_of_systemd() {
        let user_data = userdata::parse("test", SITE.as_bytes()).user_data.unwrap();
        let files = render(&user_data);
        let text = |path: &str| {
            files
                .iter()
                .find(|(at, _)| at == path)
                .map(|(_, text)| text.as_str())
        };
        assert_eq!(
            text("systemd/network/10-landfall-eno1.network"),
            Some(
                "[Match]\nName=eno1\n\n[Network]\nDNS=10.0.10.53\nAddress=10.0.10.25/24\nGateway=10.0.10.1\n"
            )
        );
        assert_eq!(
            text("systemd/network/10-landfall-eno2.network"),
            Some("[Match]\nName=eno2\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\n")
        );
        assert_eq!(
            text("systemd/resolved.conf.d/landfall.conf"),
            Some("[Resolve]\nDNS=10.0.0.53\nDomains=~.\n")
        );
        assert_eq!(
            text("systemd/timesyncd.conf.d/landfall.conf"),
            Some("[Time]\nNTP=10.0.0.1 ntp.example.com\n")
        );
    }

    #[test]
    fn a_site_that_says_nothing_writes_nothing() {
        let text = "#cloud-config\nstylus: {site: {paletteEndpoint: api.example.com}}\n";
        let user_data = userdata::parse("test", text.as_bytes()).user_data.unwrap();
        let run = tempfile::tempdir().unwrap();
        write(run.path(), &user_data).unwrap();
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    }
}
