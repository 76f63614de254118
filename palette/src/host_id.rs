//! The edge host ID: the one name under which Palette, the screen and the operator know this machine.
//!
//! Order of sources, as in Palette's installer reference: `stylus.site.name` as it is given; `$random`; what a file of
//! `stylus.site.deviceUIDPaths` holds, as it stands there; else `<prefix>-` and the SMBIOS product UUID in lower case
//! without its dashes.

use std::{fmt, fs, io, path::Path};

/// Where the kernel shows the SMBIOS product UUID; readable by root only.
pub const PRODUCT_UUID_PATH: &str = "/sys/class/dmi/id/product_uuid";

/// First part of a generated ID when `stylus.site.prefix` does not say otherwise.
pub const DEFAULT_PREFIX: &str = "edge";

/// Longest ID that Palette keeps; it cuts what is longer, so we refuse it instead of showing another ID than Palette's.
pub const MAX_LENGTH: usize = 128;

/// The 26 characters that Palette does not accept in an ID.
const FORBIDDEN: &str = "/?#&+%,$~!@*(){}|=;:<>'.^\"";

/// UUIDs that firmware ships on many machines, each with the sentence that says so.
const SHARED: &[(&str, &str)] = &[
    ("00000000000000000000000000000000", "it is all zeroes"),
    ("ffffffffffffffffffffffffffffffff", "it is all ones"),
    (
        "03000200040005000006000700080009",
        "it is the firmware vendor's sample value, which many machines share",
    ),
    // The same sample as a kernel shows it that swaps the first three fields (SMBIOS before 2.6).
    (
        "00020003000400050006000700080009",
        "it is the firmware vendor's sample value, which many machines share",
    ),
    (
        "12345678123456789abcdef012345678",
        "it is a counting sample value, which many machines share",
    ),
];

/// An ID that Palette accepts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(String);

impl HostId {
    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for HostId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// What user-data says about the ID; empty texts count as absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish<'a> {
    /// `stylus.site.name`.
    pub name: Option<&'a str>,
    /// What was found by `stylus.site.deviceUIDPaths`.
    pub device: Option<&'a str>,
    /// `stylus.site.prefix`.
    pub prefix: Option<&'a str>,
}

/// Why there is no ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostIdError {
    /// The given name has a character that Palette does not accept.
    #[error("the edge host ID {name:?} contains {character:?}, which Palette does not accept")]
    Character {
        /// The name as given.
        name: String,
        /// The first such character.
        character: char,
    },
    /// The ID is longer than [`MAX_LENGTH`] bytes.
    #[error("the edge host ID has {length} bytes; Palette keeps 128 and cuts the rest")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The prefix has something else than letters, digits and dashes.
    #[error(
        "the prefix {prefix:?} contains {character:?}; only letters, digits and dashes are allowed"
    )]
    Prefix {
        /// The prefix as given.
        prefix: String,
        /// The first such character.
        character: char,
    },
    /// The firmware's product UUID does not identify this machine.
    #[error("the product UUID {uuid:?} identifies no machine: {reason}")]
    UnusableUuid {
        /// The UUID as the kernel shows it, cut to 64 characters.
        uuid: String,
        /// Why not, as a clause.
        reason: &'static str,
    },
    /// There is no product UUID to read.
    #[error("the machine has no product UUID that can be read")]
    NoUuid,
}

impl HostIdError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Character { .. } => "LF-P41",
            Self::TooLong { .. } => "LF-P42",
            Self::Prefix { .. } => "LF-P43",
            Self::UnusableUuid { .. } => "LF-P44",
            Self::NoUuid => "LF-P45",
        }
    }

    /// What an operator does about it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Character { .. } | Self::TooLong { .. } => {
                "Change stylus.site.name or the regex of stylus.site.deviceUIDPaths: letters, digits and dashes, at most 128."
            }
            Self::Prefix { .. } => "Change stylus.site.prefix in the user-data.",
            Self::UnusableUuid { .. } | Self::NoUuid => {
                "Give the machine its own stylus.site.name in the user-data, or set the UUID in its firmware."
            }
        }
    }
}

/// Decides the edge host ID.
///
/// `product_uuid` is the text of [`PRODUCT_UUID_PATH`], `None` when it cannot be read. `random` is asked for 128 bits
/// only when the name is `$random`; such an ID is new at every call, so the caller keeps it where it survives a boot.
pub fn host_id(
    wish: Wish<'_>,
    product_uuid: Option<&str>,
    random: impl FnOnce() -> u128,
) -> Result<HostId, HostIdError> {
    let id = match (given(wish.name), given(wish.device)) {
        (Some("$random"), _) => format!("{}-{:032x}", checked_prefix(wish.prefix)?, random()),
        (Some(name), _) | (None, Some(name)) => checked_name(name)?.to_owned(),
        (None, None) => {
            let prefix = checked_prefix(wish.prefix)?;
            let uuid = product_uuid.ok_or(HostIdError::NoUuid)?;
            format!("{prefix}-{}", checked_uuid(uuid)?)
        }
    };
    if id.len() > MAX_LENGTH {
        return Err(HostIdError::TooLong { length: id.len() });
    }
    Ok(HostId(id))
}

fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Reads the product UUID; the path is [`PRODUCT_UUID_PATH`] outside tests.
pub fn read_product_uuid(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

fn checked_name(name: &str) -> Result<&str, HostIdError> {
    let refused = |c: &char| FORBIDDEN.contains(*c) || c.is_whitespace() || c.is_control();
    match name.chars().find(refused) {
        Some(character) => Err(HostIdError::Character {
            name: name.to_owned(),
            character,
        }),
        None => Ok(name),
    }
}

fn checked_prefix(prefix: Option<&str>) -> Result<&str, HostIdError> {
    let prefix = prefix
        .map(str::trim)
        .filter(|prefix| !prefix.is_empty())
        .unwrap_or(DEFAULT_PREFIX);
    match prefix
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && *c != '-')
    {
        Some(character) => Err(HostIdError::Prefix {
            prefix: prefix.to_owned(),
            character,
        }),
        None => Ok(prefix),
    }
}

/// 32 hex digits in lower case, or the reason why this UUID names no single machine.
fn checked_uuid(uuid: &str) -> Result<String, HostIdError> {
    let unusable = |reason| HostIdError::UnusableUuid {
        uuid: uuid.trim().chars().take(64).collect(),
        reason,
    };
    let digits: String = uuid
        .trim()
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if digits.starts_with("not ") {
        return Err(unusable("the firmware says that it was never set"));
    }
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(unusable("it is not 32 hexadecimal digits"));
    }
    match SHARED.iter().find(|(shared, _)| *shared == digits) {
        Some((_, reason)) => Err(unusable(reason)),
        None => Ok(digits),
    }
}

#[cfg(test)]
mod tests;
