//! Where a value stands, as a path of keys that is put into words only when a finding needs it.

use std::fmt;

/// A path of keys, such as `stages.boot[0].files`, as a chain through the frames of those who walk the document.
///
/// A large document has a hundred thousand values and no finding; a text for each of them was half of the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyPath<'a> {
    parent: Option<&'a KeyPath<'a>>,
    part: Part<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> KeyPath<'a> {
    /// The document itself.
    pub(crate) const ROOT: KeyPath<'static> = KeyPath {
        parent: None,
        part: Part::Key(""),
    };

    /// A key at the top level.
    pub(crate) const fn top(key: &'a str) -> Self {
        Self {
            parent: None,
            part: Part::Key(key),
        }
    }

    /// The value under a key of this mapping.
    pub(crate) const fn key(&'a self, key: &'a str) -> Self {
        Self {
            parent: Some(self),
            part: Part::Key(key),
        }
    }

    /// An item of this list.
    pub(crate) const fn item(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            part: Part::Index(index),
        }
    }

    fn is_root(&self) -> bool {
        self.parent.is_none() && matches!(self.part, Part::Key(""))
    }
}

impl fmt::Display for KeyPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.part {
            Part::Key(key) if self.parent.is_none_or(KeyPath::is_root) => f.write_str(key),
            Part::Key(key) => write!(f, ".{key}"),
            Part::Index(index) => write!(f, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_people_write_it() {
        let root = KeyPath::ROOT;
        let stages = root.key("stages");
        let boot = stages.key("boot.after");
        let step = boot.item(2);
        assert_eq!(step.key("if").to_string(), "stages.boot.after[2].if");
        assert_eq!(KeyPath::top("users").item(0).to_string(), "users[0]");
        assert_eq!(root.to_string(), "");
    }
}
