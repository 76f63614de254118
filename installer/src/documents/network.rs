//! The network of the installer: set up only when something has to be fetched.
//!
//! systemd-networkd does the work, as in the installed system: every Ethernet port by DHCP, or what `ip=` of the kernel
//! command line says (systemd-network-generator).

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use host::{Argv, Host};

use crate::code::{Code, OrTrouble, Trouble};
use crate::report::Event;

/// How long an address may take: a switch port that learns (30 s), and then DHCP.
const PATIENCE: Duration = Duration::from_secs(90);

/// After an address is there, how long name servers may take: IPv6 can be faster than DHCP.
const FOR_NAME_SERVERS: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(200);

/// Where systemd-networkd says how far it is.
const STATE: &str = "/run/systemd/netif/state";

/// What the C library reads.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Sets the network up and waits for an address.
pub(super) fn bring_up(host: &mut impl Host, tell: &mut dyn FnMut(&Event)) -> Result<()> {
    let units = [
        "systemd-network-generator.service",
        "systemd-networkd.service",
    ];
    host.run(&Argv::new("systemctl").arg("start").args(units))
        .or_trouble(Code::NoNetwork)?;
    let servers = wait(Path::new(STATE), Path::new("/sys"), PATIENCE, tell)?;
    host::files::write_synced(
        Path::new(RESOLV_CONF),
        resolv_conf(&servers).as_bytes(),
        0o644,
    )
    .or_trouble(Code::NoNetwork)
}

/// Waits for an address; returns the name servers that came with it.
fn wait(
    state: &Path,
    sys: &Path,
    patience: Duration,
    tell: &mut dyn FnMut(&Event),
) -> Result<Vec<IpAddr>, Trouble> {
    let started = Instant::now();
    let (mut routable, mut said) = (None, None);
    loop {
        let now = State::parse(&fs::read_to_string(state).unwrap_or_default());
        if now.routable {
            let since = *routable.get_or_insert_with(Instant::now);
            if !now.servers.is_empty() || since.elapsed() >= FOR_NAME_SERVERS.min(patience) {
                return Ok(now.servers);
            }
        }
        let left = patience.saturating_sub(started.elapsed());
        if left.is_zero() && !now.routable {
            let reason = format!(
                "no network address after {} s; {}",
                patience.as_secs(),
                ports(sys)
            );
            return Err(Trouble::new(Code::NoNetwork, reason));
        }
        if said.replace(left.as_secs()) != Some(left.as_secs()) {
            say_wait(tell, "a network address", left);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Says what is waited for and for how long at most.
pub(super) fn say_wait(tell: &mut dyn FnMut(&Event), what: &str, left: Duration) {
    tell(&Event::Waiting {
        what: what.to_owned(),
        left_s: left.as_secs(),
    });
}

/// What systemd-networkd says of the whole machine.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    routable: bool,
    servers: Vec<IpAddr>,
}

impl State {
    fn parse(text: &str) -> Self {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let servers = value("DNS=").unwrap_or_default().split_whitespace();
        Self {
            routable: value("OPER_STATE=") == Some("routable"),
            servers: servers.filter_map(|one| one.parse().ok()).collect(),
        }
    }
}

fn resolv_conf(servers: &[IpAddr]) -> String {
    let lines: Vec<String> = servers
        .iter()
        .map(|server| format!("nameserver {server}\n"))
        .collect();
    lines.concat()
}

/// The network ports in words, for somebody with a cable in the hand.
fn ports(sys: &Path) -> String {
    let entries = fs::read_dir(sys.join("class/net")).into_iter().flatten();
    let mut ports: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("device").exists())
        .map(|entry| {
            let carrier = fs::read_to_string(entry.path().join("carrier")).unwrap_or_default();
            let link = if carrier.trim() == "1" {
                "has a link"
            } else {
                "has no link"
            };
            format!("{} {link}", entry.file_name().to_string_lossy())
        })
        .collect();
    ports.sort();
    if ports.is_empty() {
        return "this machine has no network port, or its driver is missing".to_owned();
    }
    ports.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
    }

    #[test]
    fn the_name_servers_of_the_lease_are_taken_once_there_is_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let (state, sys) = (folder.path().join("state"), folder.path());
        put(
            &state,
            "OPER_STATE=routable\nDNS=10.0.2.3 fec0::3 fe80::1%2\nDOMAINS=a\n",
        );
        let servers = wait(&state, sys, Duration::from_secs(5), &mut |_| ()).unwrap();
        assert_eq!(
            resolv_conf(&servers),
            "nameserver 10.0.2.3\nnameserver fec0::3\n"
        );
    }

    #[test]
    fn an_address_that_comes_late_is_waited_for_and_the_time_left_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        put(&state, "OPER_STATE=carrier\n");
        let late = std::thread::spawn({
            let state = state.clone();
            move || {
                std::thread::sleep(Duration::from_millis(500));
                put(&state, "OPER_STATE=routable\nDNS=10.0.2.3\n");
            }
        });
        let mut said = Vec::new();
        let mut tell = |event: &Event| said.push(event.clone());
        let servers = wait(&state, folder.path(), Duration::from_secs(20), &mut tell).unwrap();
        late.join().unwrap();
        assert_eq!(servers.len(), 1);
        let Some(Event::Waiting { what, left_s }) = said.first() else {
            panic!("{said:?}")
        };
        assert_eq!(what, "a network address");
        assert!((18..=20).contains(left_s));
        assert!(
            said.len() < 20,
            "said every second, not at every look: {said:?}"
        );
    }

    #[test]
    fn without_an_address_each_port_is_named_with_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let net = folder.path().join("class/net");
        for (name, carrier) in [("eth1", "0\n"), ("eth0", "1\n")] {
            put(&net.join(name).join("carrier"), carrier);
            put(&net.join(name).join("device/x"), "");
        }
        put(&net.join("lo/carrier"), "1\n");
        let state = folder.path().join("no-state");
        let trouble = wait(&state, folder.path(), Duration::ZERO, &mut |_| ()).unwrap_err();
        assert_eq!(trouble.code, Code::NoNetwork);
        assert_eq!(
            trouble.reason,
            "no network address after 0 s; eth0 has a link, eth1 has no link"
        );
    }
}
