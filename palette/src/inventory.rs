//! Facts of this machine that a registration carries.
//!
//! Everything comes from files below a root folder, so that tests give a folder of their own; only the addresses of
//! the interfaces come from the kernel ([`read_addresses`]). What is missing is left out: a machine with an odd
//! `/proc` still registers.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

/// The EFI variable that tells whether Secure Boot is on: four bytes of attributes, then 0 or 1.
const SECURE_BOOT: &str =
    "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// `ARPHRD_LOOPBACK` of the kernel, as `/sys/class/net/*/type` prints it.
const LOOPBACK: &str = "772";

/// What a registration says about this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The edge host ID.
    pub host_uid: String,
    /// Labels of the record in Palette, from `stylus.site.tags`; the label `name` is shown there as the host's name.
    pub labels: BTreeMap<String, String>,
    /// Version of the registering program.
    pub service_version: String,
    /// The machine.
    pub facts: Facts,
}

/// The machine itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// Logical processors.
    pub cores: u32,
    /// Memory that the kernel manages, in MiB.
    pub memory_mib: u64,
    /// Network interfaces, without loopback, sorted by name.
    pub nics: Vec<Nic>,
    /// `ID` of os-release.
    pub os_family: String,
    /// `VERSION_ID` of os-release.
    pub os_version: String,
    /// Release of the running kernel.
    pub kernel_version: String,
    /// Whether the firmware enforces signatures.
    pub secure_boot: bool,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nic {
    /// Name in the kernel.
    pub name: String,
    /// Hardware address, lower case with colons.
    pub mac: String,
    /// First address: IPv4 before IPv6, link-local ones never.
    pub ip: Option<IpAddr>,
    /// The network of `ip` as `address/bits`.
    pub subnet: Option<String>,
    /// Gateway of the default route through this interface.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers; only on the interface with the default route.
    pub dns: Vec<IpAddr>,
    /// Whether the default route goes through it.
    pub is_default: bool,
}

/// An address of an interface, as the kernel gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// Name of the interface.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
    /// Length of its network prefix in bits.
    pub bits: u8,
}

impl Facts {
    /// Reads the machine below `root` (`/` outside tests).
    pub fn read(root: &Path, addresses: &[InterfaceAddress]) -> Self {
        let release = parse_os_release(&read(root, "etc/os-release"));
        let field = |key: &str| release.get(key).cloned().unwrap_or_default();
        Self {
            architecture: architecture(std::env::consts::ARCH).to_owned(),
            cores: parse_cores(&read(root, "proc/cpuinfo")),
            memory_mib: parse_memory_mib(&read(root, "proc/meminfo")),
            nics: read_nics(root, addresses),
            os_family: field("ID"),
            os_version: field("VERSION_ID"),
            kernel_version: read(root, "proc/sys/kernel/osrelease").trim().to_owned(),
            secure_boot: fs::read(root.join(SECURE_BOOT)).is_ok_and(|v| v.get(4) == Some(&1)),
        }
    }

    /// The address under which this host is reached: that of the default route, else the first one.
    pub fn address(&self) -> Option<IpAddr> {
        let default = self
            .nics
            .iter()
            .filter(|nic| nic.is_default)
            .find_map(|nic| nic.ip);
        default.or_else(|| self.nics.iter().find_map(|nic| nic.ip))
    }

    /// The interface of [`Facts::address`].
    pub fn default_nic(&self) -> Option<&Nic> {
        let address = self.address()?;
        self.nics.iter().find(|nic| nic.ip == Some(address))
    }
}

/// Asks the kernel for the addresses of all interfaces; none when it does not answer.
pub fn read_addresses() -> Vec<InterfaceAddress> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter_map(|entry| {
            let ip = ip_of(entry.address.as_ref()?)?;
            let bits = entry.netmask.as_ref().and_then(ip_of).map_or(0, mask_bits);
            Some(InterfaceAddress {
                interface: entry.interface_name,
                ip,
                bits,
            })
        })
        .collect()
}

fn ip_of(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

fn mask_bits(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => mask.to_bits().count_ones(),
        IpAddr::V6(mask) => mask.to_bits().count_ones(),
    };
    u8::try_from(ones).unwrap_or(0)
}

/// The text of a file, empty when it cannot be read.
fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_default()
}

/// Palette's word for an architecture.
fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn parse_cores(cpuinfo: &str) -> u32 {
    let processors = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    u32::try_from(processors).unwrap_or(u32::MAX)
}

fn parse_memory_mib(meminfo: &str) -> u64 {
    let kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    kib.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}

fn parse_os_release(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        Some((key.trim().to_owned(), value.to_owned()))
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(pair)
        .collect()
}

fn read_nics(root: &Path, addresses: &[InterfaceAddress]) -> Vec<Nic> {
    let gateways = parse_default_routes(&read(root, "proc/net/route"));
    let Ok(entries) = fs::read_dir(root.join("sys/class/net")) else {
        return Vec::new();
    };
    let mut nics: Vec<Nic> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            read_nic(root, name, addresses)
        })
        .collect();
    nics.sort_by(|a, b| a.name.cmp(&b.name));
    // The routes are sorted by metric: only the first is the one that is used.
    for (index, (interface, gateway)) in gateways.iter().enumerate() {
        let Some(nic) = nics.iter_mut().find(|nic| nic.name == *interface) else {
            continue;
        };
        nic.gateway = nic.gateway.or(*gateway);
        nic.is_default = index == 0;
        if nic.is_default {
            nic.dns = read_name_servers(root);
        }
    }
    nics
}

/// A hardware interface, or another one that has an address (a bond, a VLAN, a bridge).
fn read_nic(root: &Path, name: String, addresses: &[InterfaceAddress]) -> Option<Nic> {
    let folder = format!("sys/class/net/{name}");
    if read(root, &format!("{folder}/type")).trim() == LOOPBACK {
        return None;
    }
    let own = addresses
        .iter()
        .filter(|a| a.interface == name && is_routable(a.ip));
    let address = own.min_by_key(|a| a.ip.is_ipv6());
    if address.is_none() && !root.join(&folder).join("device").exists() {
        return None;
    }
    Some(Nic {
        mac: read(root, &format!("{folder}/address"))
            .trim()
            .to_ascii_lowercase(),
        ip: address.map(|a| a.ip),
        subnet: address.map(subnet),
        name,
        ..Nic::default()
    })
}

fn is_routable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_loopback(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_loopback(),
    }
}

fn subnet(address: &InterfaceAddress) -> String {
    let bits = u32::from(address.bits);
    match address.ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(bits))
                .unwrap_or(0);
            format!("{}/{bits}", Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(bits))
                .unwrap_or(0);
            format!(
                "{}/{bits}",
                std::net::Ipv6Addr::from_bits(ip.to_bits() & mask)
            )
        }
    }
}

/// Interfaces with an IPv4 default route and its gateway, best metric first. The table is that of
/// `/proc/net/route`: name, destination, gateway, flags, three counters, metric, mask; addresses are hexadecimal in
/// the byte order of the machine.
fn parse_default_routes(table: &str) -> Vec<(String, Option<Ipv4Addr>)> {
    let mut routes: Vec<(u32, String, Option<Ipv4Addr>)> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [name, "00000000", gateway, _, _, _, metric, "00000000", ..] = fields[..] else {
                return None;
            };
            let gateway = u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes();
            let gateway = Some(Ipv4Addr::from(gateway)).filter(|ip| !ip.is_unspecified());
            Some((metric.parse().ok()?, name.to_owned(), gateway))
        })
        .collect();
    routes.sort_by_key(|(metric, ..)| *metric);
    routes
        .into_iter()
        .map(|(_, name, gateway)| (name, gateway))
        .collect()
}

/// systemd-resolved's upstream servers where it runs: its own `resolv.conf` only names the local stub.
fn read_name_servers(root: &Path) -> Vec<IpAddr> {
    let upstream = read(root, "run/systemd/resolve/resolv.conf");
    let text = if upstream.is_empty() {
        read(root, "etc/resolv.conf")
    } else {
        upstream
    };
    text.lines()
        .filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests;
