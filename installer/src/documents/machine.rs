//! What this machine is called: the values of `${uuid}`, `${serial}` and `${mac}`.

use std::fs;
use std::path::Path;

use userdata::Variables;

/// Serial numbers that firmware makers left in.
const NO_SERIAL: [&str; 8] = [
    "",
    "0",
    "none",
    "default string",
    "not specified",
    "not applicable",
    "system serial number",
    "to be filled by o.e.m.",
];

/// `ARPHRD_ETHER`, as `/sys/class/net/*/type` prints it.
const ETHERNET: &str = "1";

/// Reads the values; `sys` is `/sys` but in tests.
pub(crate) fn variables(sys: &Path) -> Variables {
    let dmi = |file: &str| read(&sys.join("class/dmi/id").join(file));
    let uuid = dmi("product_uuid").map(|text| text.to_ascii_lowercase());
    let blank = |text: &str| {
        let mut digits = text.chars().filter(|c| *c != '-');
        let first = digits.next();
        matches!(first, None | Some('0' | 'f')) && digits.all(|c| Some(c) == first)
    };
    let serial = dmi("product_serial");
    Variables {
        uuid: uuid.filter(|text| !blank(text)),
        serial: serial.filter(|text| !NO_SERIAL.contains(&text.to_ascii_lowercase().as_str())),
        mac: first_port(&sys.join("class/net")),
    }
}

/// The address of the first network port: of those with a device behind them, the one whose place on the bus is first.
/// Names depend on the order in which drivers are loaded, places do not.
fn first_port(net: &Path) -> Option<String> {
    let entries = fs::read_dir(net).into_iter().flatten().flatten();
    let ports = entries.map(|entry| entry.path()).filter(|port| {
        port.join("device").exists() && read(&port.join("type")).as_deref() == Some(ETHERNET)
    });
    let mut places: Vec<_> = ports
        .filter_map(|port| Some((fs::canonicalize(&port).ok()?, port)))
        .collect();
    places.sort();
    let addresses = places
        .iter()
        .filter_map(|(_, port)| read(&port.join("address")));
    let mut set = addresses.filter(|address| address != "00:00:00:00:00:00");
    set.next()
        .map(|address| address.to_ascii_lowercase().replace(':', "-"))
}

fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
    }

    fn port(root: &Path, name: &str, place: &str, kind: &str, address: &str) {
        let real = root.join("devices").join(place).join("net").join(name);
        put(&real, "type", kind);
        put(&real, "address", address);
        if place.starts_with("pci") {
            fs::create_dir_all(real.join("device")).unwrap();
        }
        fs::create_dir_all(root.join("class/net")).unwrap();
        std::os::unix::fs::symlink(&real, root.join("class/net").join(name)).unwrap();
    }

    #[test]
    fn the_first_port_on_the_bus_counts_whatever_it_is_called() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path();
        put(
            sys,
            "class/dmi/id/product_uuid",
            "4C4C4544-0042-3510-8052-B9C04F4B5931\n",
        );
        put(sys, "class/dmi/id/product_serial", " 5BYK 21 \n");
        port(sys, "lo", "virtual", "772\n", "00:00:00:00:00:00\n");
        port(sys, "br0", "virtual2", "1\n", "02:00:00:00:00:01\n");
        port(
            sys,
            "eth0",
            "pci0000:00/0000:00:1f.6",
            "1\n",
            "52:54:00:AA:00:02\n",
        );
        port(
            sys,
            "eth1",
            "pci0000:00/0000:00:03.0",
            "1\n",
            "52:54:00:AA:00:01\n",
        );
        port(sys, "ib0", "pci0000:00/0000:00:01.0", "32\n", "80:00\n");
        let expected = Variables {
            uuid: Some("4c4c4544-0042-3510-8052-b9c04f4b5931".to_owned()),
            serial: Some("5BYK 21".to_owned()),
            mac: Some("52-54-00-aa-00-01".to_owned()),
        };
        assert_eq!(variables(sys), expected);
    }

    #[test]
    fn what_the_maker_left_in_is_no_value() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(variables(root.path()), Variables::default());
        for (uuid, serial) in [
            (
                "00000000-0000-0000-0000-000000000000\n",
                "To Be Filled By O.E.M.\n",
            ),
            ("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n", "Default string\n"),
            ("\n", "\n"),
        ] {
            put(root.path(), "class/dmi/id/product_uuid", uuid);
            put(root.path(), "class/dmi/id/product_serial", serial);
            assert_eq!(variables(root.path()), Variables::default(), "{uuid}");
        }
        put(
            root.path(),
            "class/dmi/id/product_uuid",
            "f0000000-0000-0000-0000-00000000000f\n",
        );
        assert!(variables(root.path()).uuid.is_some());
    }
}
