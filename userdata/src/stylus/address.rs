//! Addresses, masks and proxies as texts.

use std::net::{IpAddr, Ipv4Addr};

use super::values::read_endpoint;
use crate::place::is_host_name;

/// An address with the length of its network's prefix, if one is given.
pub(super) struct Subnet {
    pub(super) address: IpAddr,
    pub(super) prefix: Option<u8>,
}

impl Subnet {
    /// Reads `10.0.10.25/24` or `10.0.10.25`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.chars().all(|c| c.is_ascii_digit()) => {
                Some(digits.parse().ok().filter(|prefix| *prefix <= longest)?)
            }
            Some(_) => return None,
            None => None,
        };
        Some(Self { address, prefix })
    }

    /// Whether `other` is in the network of this address, which is `prefix` bits long.
    pub(super) fn holds(&self, other: IpAddr, prefix: u8) -> bool {
        let differing = match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        differing >= u32::from(prefix)
    }
}

/// The prefix length that a mask such as `255.255.255.0` stands for; `24` and `/24` are taken too.
pub(super) fn read_mask(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('/').unwrap_or(text);
    if digits.chars().all(|c| c.is_ascii_digit()) {
        return digits.parse().ok().filter(|length| *length <= 128);
    }
    let bits = text.parse::<Ipv4Addr>().ok()?.to_bits();
    let length = bits.leading_ones();
    // A mask has no hole: what follows the leading ones is all zero.
    let contiguous = bits.checked_shl(length).unwrap_or_default() == 0;
    if contiguous {
        u8::try_from(length).ok()
    } else {
        None
    }
}

/// Whether a text can be an item of `noProxy`.
pub(super) fn is_proxy_exception(item: &str) -> bool {
    let name = item.strip_prefix("*.").or_else(|| item.strip_prefix('.'));
    item == "*"
        || item.starts_with('<')
        || Subnet::read(item).is_some()
        || is_host_name(name.unwrap_or(item))
        || read_endpoint(item).is_ok()
}

/// Says why a text is not the address of a proxy; it never repeats the text, which may have a password in it.
pub(super) fn proxy_fault(text: &str) -> Option<&'static str> {
    let schemes = ["http://", "https://", "socks5://", "socks5h://"];
    let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) else {
        return Some("this is not the address of a proxy");
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    read_endpoint(host)
        .is_err()
        .then_some("the address of the proxy has no host name, or more than that and a port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_no_holes() {
        let cases = [
            ("255.255.255.0", Some(24)),
            ("0.0.0.0", Some(0)),
            ("255.255.255.255", Some(32)),
            ("24", Some(24)),
            ("/16", Some(16)),
            ("255.0.255.0", None),
            ("255.255.255", None),
            ("", None),
            ("129", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read_mask(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_network_holds_its_own_addresses_and_no_others() {
        let cases = [
            ("10.0.10.25/24", "10.0.10.1", true),
            ("10.0.10.25/24", "10.0.11.1", false),
            ("10.0.10.25/0", "192.168.0.1", true),
            ("10.0.10.25/32", "10.0.10.1", false),
            ("fd00::5/64", "fd00::1", true),
            ("fd00::5/64", "10.0.0.1", false),
        ];
        for (own, other, expected) in cases {
            let own = Subnet::read(own).unwrap();
            let held = own.holds(other.parse().unwrap(), own.prefix.unwrap());
            assert_eq!(held, expected, "{other}");
        }
        for bad in ["10.0.0.1/33", "10.0.0/8", "10.0.0.1/+8", "10.0.0.1/", "x"] {
            assert!(Subnet::read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn proxies_and_their_exceptions_are_told_from_other_texts() {
        for good in [
            "http://p:3128",
            "https://u:p@proxy.example.com/",
            "http://[::1]:8080",
        ] {
            assert_eq!(proxy_fault(good), None, "{good}");
        }
        for bad in [
            "proxy:3128",
            "ftp://p",
            "http://",
            "http://a b",
            "http://p:0",
            "http://p/x",
        ] {
            assert!(proxy_fault(bad).is_some(), "{bad}");
        }
        for good in [
            "10.0.0.0/8",
            "localhost",
            ".svc",
            "*.example.com",
            "a:80",
            "::1",
            "*",
        ] {
            assert!(is_proxy_exception(good), "{good}");
        }
        for bad in ["10.0.0.0/99", "a b", "http://x", "a/b", "_"] {
            assert!(!is_proxy_exception(bad), "{bad}");
        }
    }
}
