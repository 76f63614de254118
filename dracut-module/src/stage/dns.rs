//! `dns` of a step: `resolv.conf(5)`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use host::files::write_synced;
use userdata::Dns;

/// Where the resolver looks.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Writes the file whole. One that is a link, as that of systemd-resolved is, becomes a file: the server behind the link
/// would undo what is written through it. Without a name server nothing is written, as in Kairos.
pub(super) fn write(dns: &Dns) -> Result<String> {
    if dns.nameservers.is_empty() {
        return Ok("no nameservers are named: nothing is written".to_owned());
    }
    let path = Path::new(dns.path.as_deref().unwrap_or(RESOLV_CONF));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    write_synced(path, text(dns).as_bytes(), 0o644)?;
    Ok(String::new())
}

fn text(dns: &Dns) -> String {
    let line = |key: &str, words: &[String]| match words {
        [] => String::new(),
        words => format!("{key} {}\n", words.join(" ")),
    };
    let servers = dns.nameservers.iter();
    let servers: String = servers
        .flat_map(|server| ["nameserver ", server, "\n"])
        .collect();
    // A single dot as search list means none.
    let search = if dns.search == ["."] {
        &[]
    } else {
        dns.search.as_slice()
    };
    line("search", search) + &servers + &line("options", &dns.options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn dns(tree: &Tree, path: &str) -> Dns {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Dns {
            nameservers: words(&["10.0.0.1", "fd00::1"]),
            search: words(&["a.example", "b.example"]),
            options: words(&["ndots:1", "rotate"]),
            path: Some(tree.at(path).to_str().unwrap().to_owned()),
        }
    }

    #[test]
    fn the_file_is_what_the_resolver_reads() {
        let tree = Tree::new();
        write(&dns(&tree, "etc/x/resolv.conf")).unwrap();
        assert_eq!(
            fs::read_to_string(tree.at("etc/x/resolv.conf")).unwrap(),
            "search a.example b.example\nnameserver 10.0.0.1\nnameserver fd00::1\noptions ndots:1 rotate\n"
        );
    }

    #[test]
    fn a_link_becomes_a_file_and_what_it_led_to_stays() {
        let tree = Tree::new();
        tree.file("run/stub", b"stub\n");
        tree.link("etc/resolv.conf", "../run/stub");
        let only = Dns {
            search: vec![".".to_owned()],
            options: Vec::new(),
            ..dns(&tree, "etc/resolv.conf")
        };
        write(&only).unwrap();
        let at = tree.at("etc/resolv.conf");
        assert!(fs::symlink_metadata(&at).unwrap().is_file());
        assert_eq!(
            fs::read_to_string(at).unwrap(),
            "nameserver 10.0.0.1\nnameserver fd00::1\n"
        );
        assert_eq!(fs::read(tree.at("run/stub")).unwrap(), b"stub\n");
    }

    #[test]
    fn without_servers_the_file_stays_as_it_is() {
        let tree = Tree::new();
        tree.file("resolv.conf", b"old\n");
        let none = Dns {
            nameservers: Vec::new(),
            ..dns(&tree, "resolv.conf")
        };
        assert!(write(&none).unwrap().contains("nothing is written"));
        assert_eq!(fs::read(tree.at("resolv.conf")).unwrap(), b"old\n");
    }
}
