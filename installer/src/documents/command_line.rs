//! User-data on the kernel command line (`reference/palette.md` 3.1, `reference/kairos.md` 5).
//!
//! `config_url=` (also `kairos.config_url=` and `cos.setup=`) names a document, `kairos.config=a.b=value` sets one key.
//! The settings are a document of their own and win over everything else.

use serde_json::{Map, Value};

use super::Document;
use crate::code::{Code, Trouble};

/// What findings call it.
pub(super) const NAME: &str = "kernel command line";

/// Arguments that name a document.
const ADDRESSES: [&str; 3] = ["config_url", "kairos.config_url", "cos.setup"];

/// The argument that sets a key.
const SETTING: &str = "kairos.config";

/// What a command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Arguments and the addresses they give, in their order.
    pub(super) addresses: Vec<(&'static str, String)>,
    /// The settings as a document.
    pub(super) settings: Option<Document>,
}

pub(super) fn read(text: &str) -> Result<Asked, Trouble> {
    let mut asked = Asked::default();
    let mut settings = Map::new();
    for word in words(text) {
        let Some((name, value)) = word.split_once('=') else {
            continue;
        };
        if let Some(name) = ADDRESSES.into_iter().find(|known| *known == name) {
            asked.addresses.push((name, value.to_owned()));
        } else if name == SETTING {
            set(&mut settings, value)?;
        }
    }
    if !settings.is_empty() {
        let text = format!("#cloud-config\n{:#}\n", Value::Object(settings));
        asked.settings = Some(Document {
            name: NAME.to_owned(),
            bytes: text.into_bytes(),
        });
    }
    Ok(asked)
}

/// The arguments. As the kernel does it, blanks between double quotes are part of a word, and the quotes are not.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match (c, words.last_mut()) {
            ('"', _) => quoted = !quoted,
            (c, _) if c.is_whitespace() && !quoted => words.push(String::new()),
            (c, Some(word)) => word.push(c),
            (_, None) => {}
        }
    }
    words
}

/// Puts `a.b=value` into the document; a later setting of the same key wins.
fn set(document: &mut Map<String, Value>, setting: &str) -> Result<(), Trouble> {
    // The value is not repeated: it may be a secret.
    let refuse = |path: &str, reason: &str| {
        let reason = format!("{NAME}: {SETTING}={path}: {reason}");
        Trouble::new(Code::UserDataInvalid, reason)
    };
    let Some((path, value)) = setting.split_once('=') else {
        return Err(refuse("...", "write it as kairos.config=key.key=value"));
    };
    let mut keys: Vec<&str> = path.split('.').collect();
    let numbered = |key: &&str| key.bytes().all(|byte| byte.is_ascii_digit());
    if keys.iter().any(numbered) {
        let reason = "items of lists cannot be set here; fetch a document with config_url";
        return Err(refuse(path, reason));
    }
    let last = keys.pop().unwrap_or_default();
    let mut place = document;
    for key in keys {
        let below = place
            .entry(key)
            .or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(below) = below else {
            return Err(refuse(path, "another setting gives a key above it a value"));
        };
        place = below;
    }
    if place.get(last).is_some_and(Value::is_object) {
        return Err(refuse(path, "another setting gives a key below it a value"));
    }
    place.insert(last.to_owned(), typed(value));
    Ok(())
}

/// `true`, `false` and whole numbers are what they look like; everything else is text.
fn typed(value: &str) -> Value {
    match value {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match value.parse::<u32>() {
            Ok(number) if number.to_string() == value => number.into(),
            _ => value.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> String {
        let document = read(text).unwrap().settings.unwrap();
        String::from_utf8(document.bytes).unwrap()
    }

    #[test]
    fn addresses_are_taken_in_their_order_and_other_arguments_are_not() {
        let asked = read("quiet config_url=https://a/${uuid}?x=y xconfig_url=z kairos.config_url=\"http://b c\" cos.setup=https://d\n").unwrap();
        let expected = [
            ("config_url", "https://a/${uuid}?x=y"),
            ("kairos.config_url", "http://b c"),
            ("cos.setup", "https://d"),
        ];
        let found: Vec<_> = asked
            .addresses
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(asked.settings, None);
    }

    #[test]
    fn settings_become_a_document_with_the_types_they_look_like() {
        let text = settings(
            "kairos.config=stylus.site.name=shop-1 kairos.config=install.reboot=true \
             kairos.config=stylus.localUI.port=5080 kairos.config=stylus.site.name=shop-2 \
             \"kairos.config=stylus.site.tags.town=San Jose\" kairos.config=stylus.site.tags.floor=007",
        );
        let user_data = userdata::parse(NAME, text.as_bytes()).user_data.unwrap();
        let site = &user_data.stylus.site;
        assert_eq!(
            site.name,
            Some(userdata::HostId::Fixed("shop-2".to_owned()))
        );
        assert_eq!(site.tags["town"], "San Jose");
        assert_eq!(site.tags["floor"], "007");
        assert_eq!(user_data.install.afterwards(), userdata::Afterwards::Reboot);
    }

    #[test]
    fn what_cannot_be_set_is_refused_without_its_value() {
        for (text, reason) in [
            ("kairos.config=novalue", "kairos.config=...: write it as"),
            ("kairos.config=users.0.passwd=hunter2", "items of lists"),
            (
                "kairos.config=a=hunter2 kairos.config=a.b=hunter2",
                "kairos.config=a.b: another setting gives a key above",
            ),
            (
                "kairos.config=a.b=hunter2 kairos.config=a=hunter2",
                "kairos.config=a: another setting gives a key below",
            ),
        ] {
            let trouble = read(text).unwrap_err();
            assert_eq!(trouble.code, Code::UserDataInvalid);
            assert!(trouble.reason.contains(reason), "{trouble}");
            assert!(!trouble.reason.contains("hunter2"), "{trouble}");
        }
    }
}
