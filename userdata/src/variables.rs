//! `${uuid}`, `${serial}`, `${mac}`: one document for many machines.
//!
//! They stand in an address that is asked for more user-data, and in the few values that tell one host from the others.
//! Nowhere else: `${uuid}` in a command or a file of a stage belongs to a shell, and in a password it is part of it.

use crate::finding::{Findings, Rule};
use crate::schema::join;
use crate::tree::{Node, Value};

/// What the machine is called that reads a document.
///
/// The values are what they are; in addresses everything but letters, digits and `-._~` is percent-encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    /// `${uuid}`: the system UUID, in lower case with dashes.
    pub uuid: Option<String>,
    /// `${serial}`: the serial number of the machine.
    pub serial: Option<String>,
    /// `${mac}`: the address of the first network port, in lower case with dashes.
    pub mac: Option<String>,
}

/// What a variable stands for, or why for nothing.
type Meaning<'a> = Result<&'a str, &'static str>;

impl Variables {
    /// Values that stand for those of any machine, to check a document where it is written.
    pub fn of_an_example() -> Self {
        let text = |text: &str| Some(text.to_owned());
        Self {
            uuid: text("00000000-0000-4000-8000-000000000000"),
            serial: text("SERIAL-0"),
            mac: text("02-00-00-00-00-00"),
        }
    }

    /// Puts the values into an address; the error is a sentence.
    pub fn in_address(&self, text: &str) -> Result<String, String> {
        self.fill(text, &percent_encoded)
    }

    fn get(&self, name: &str) -> Option<Meaning<'_>> {
        let (value, missing) = match name {
            "uuid" => (&self.uuid, "this machine has no system UUID"),
            "serial" => (&self.serial, "this machine has no serial number"),
            "mac" => (&self.mac, "this machine has no network port"),
            _ => return None,
        };
        Some(value.as_deref().ok_or(missing))
    }

    /// Replaces every `${name}` once; what comes in is not looked at again.
    fn fill(&self, text: &str, encode: &dyn Fn(&str) -> String) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((name, after)) = behind.split_once('}') else {
                return Err("a `${` is not closed".to_owned());
            };
            let value = match self.get(name) {
                Some(Ok(value)) => value,
                Some(Err(missing)) => return Err(format!("{missing}, so `${{{name}}}` is empty")),
                None => return Err(format!("there is no variable `${{{name}}}`")),
            };
            filled.push_str(before);
            filled.push_str(&encode(value));
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

fn percent_encoded(value: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    value.bytes().map(encode).collect()
}

/// The values that may have variables: the path of keys, and whether it is an address. `*` is any key.
const PLACES: &[(&[&str], bool)] = &[
    (&["config_url"], true),
    (&["stylus", "site", "name"], false),
    (&["stylus", "site", "hostName"], false),
    (&["stylus", "site", "registrationURL"], true),
    (&["stylus", "site", "tags", "*"], false),
];

/// Puts the values of the machine into the places of a document that may have them (rule U41).
pub(crate) fn fill_in(document: &mut Node, variables: &Variables, findings: &mut Findings) {
    for (keys, is_address) in PLACES {
        fill_below(document, keys, "", &mut |node, path| {
            fill_one(node, path, *is_address, variables, findings);
        });
    }
}

fn fill_below(node: &mut Node, keys: &[&str], path: &str, fill: &mut dyn FnMut(&mut Node, &str)) {
    let Some((key, rest)) = keys.split_first() else {
        return fill(node, path);
    };
    let Value::Map(entries) = &mut node.value else {
        return;
    };
    for entry in entries
        .iter_mut()
        .filter(|entry| *key == "*" || entry.key == *key)
    {
        fill_below(&mut entry.node, rest, &join(path, &entry.key), fill);
    }
}

fn fill_one(
    node: &mut Node,
    path: &str,
    is_address: bool,
    variables: &Variables,
    findings: &mut Findings,
) {
    let Value::Text(text) = &mut node.value else {
        return;
    };
    if !text.text.contains("${") {
        return;
    }
    let encode: &dyn Fn(&str) -> String = if is_address {
        &percent_encoded
    } else {
        &str::to_owned
    };
    match variables.fill(&text.text, encode) {
        Ok(filled) => {
            text.text = filled;
            // A value of digits alone stays text.
            text.plain = false;
        }
        Err(reason) => {
            let advice = "the variables are `${uuid}`, `${serial}` and `${mac}`";
            findings.error(Rule::Variable, node.position, path, &reason, advice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        Variables {
            serial: Some("VMware-56 4d/${uuid}".to_owned()),
            ..Variables::of_an_example()
        }
    }

    #[test]
    fn an_address_gets_the_values_encoded_and_only_once() {
        let address = variables()
            .in_address("https://c.example.com/${mac}/${serial}?u=${uuid}")
            .unwrap();
        assert_eq!(
            address,
            "https://c.example.com/02-00-00-00-00-00/VMware-56%204d%2F%24%7Buuid%7D?u=00000000-0000-4000-8000-000000000000"
        );
        let plain = "https://c.example.com/$uuid?a={b}";
        assert_eq!(variables().in_address(plain).unwrap(), plain);
    }

    #[test]
    fn what_is_no_variable_is_said() {
        let none = Variables::default();
        let cases = [
            ("a${host}", "there is no variable `${host}`"),
            ("${}", "there is no variable `${}`"),
            ("${UUID}", "there is no variable `${UUID}`"),
            ("${uuid", "a `${` is not closed"),
            (
                "${serial}",
                "this machine has no serial number, so `${serial}` is empty",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(none.in_address(text).unwrap_err(), expected, "{text:?}");
        }
    }
}
