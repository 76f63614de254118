//! Names of content: a BLAKE3 digest, and the id of an image.
//!
//! Both are text in every file (lower-case hex) and fixed-size bytes in memory, so that a malformed one
//! never gets past the parser.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// Which boot contract a slot image follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A plain systemd distribution whose initrd carries our dracut module: ext4 head, EROFS root.
    Native,
    /// A Kairos image with immucore in its initrd: one plain ext4 filesystem.
    Kairos,
}

/// Text that is not the wanted number of lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {wanted} lower-case hex digits")]
pub struct NotHex {
    /// How many digits the value has.
    pub wanted: usize,
}

/// A BLAKE3 hash of 32 bytes; 64 lower-case hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes bytes that are in memory anyway.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from(blake3::hash(bytes))
    }

    /// Hashes everything that `reader` still has; memory use is constant.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0_u8; 1 << 20];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Self::from(hasher.finalize())),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The raw 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The identity of an image: 16 bytes derived from its content; 32 lower-case hex digits as text.
///
/// The initrd inside a slot image carries the same id in `/etc/landfall/image-id`, and the initramfs
/// mounts the image that has it, whatever the file is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId([u8; 16]);

impl ImageId {
    /// Takes the first 16 bytes of a digest.
    pub fn from_digest(digest: &Digest) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.0[..16]);
        Self(bytes)
    }

    /// A filesystem UUID (version 8, RFC 9562) that is the same for the same image and `purpose`.
    pub fn uuid(&self, purpose: &str) -> Uuid {
        let mut hasher =
            blake3::Hasher::new_derive_key("landfall 2026 filesystem uuid of an image");
        hasher.update(&self.0);
        hasher.update(purpose.as_bytes());
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

fn write_hex(bytes: &[u8], to: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(to, "{byte:02x}"))
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], NotHex> {
    let wrong = NotHex { wanted: 2 * N };
    if text.len() != 2 * N {
        return Err(wrong);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let (Some(high), Some(low)) = (hex_digit(pair[0]), hex_digit(pair[1])) else {
            return Err(wrong);
        };
        *byte = high << 4 | low;
    }
    Ok(bytes)
}

/// Upper case is refused: one value has one spelling, so that texts can be compared.
fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

macro_rules! hex_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                parse_hex(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotHex;

            fn try_from(text: String) -> Result<Self, NotHex> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

hex_text!(Digest);
hex_text!(ImageId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_published_blake3_of_its_bytes() {
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Digest::of(b"").to_string(), empty);
        assert_eq!(Digest::of_reader(&b""[..]).unwrap().to_string(), empty);
        let long = vec![7_u8; 3_000_001];
        assert_eq!(Digest::of_reader(&long[..]).unwrap(), Digest::of(&long));
    }

    #[test]
    fn an_id_has_exactly_one_spelling() {
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(text.parse::<ImageId>().unwrap().to_string(), text);
        for wrong in [
            "",
            "0",
            "00112233445566778899AABBCCDDEEFF",
            "00112233445566778899aabbccddeefg",
        ] {
            assert_eq!(
                wrong.parse::<ImageId>(),
                Err(NotHex { wanted: 32 }),
                "{wrong}"
            );
        }
        let padded = format!("{text}\n");
        assert_eq!(padded.parse::<ImageId>(), Err(NotHex { wanted: 32 }));
    }

    #[test]
    fn filesystem_uuids_differ_by_purpose_and_are_valid() {
        let id: ImageId = "00112233445566778899aabbccddeeff".parse().unwrap();
        assert_eq!(id.uuid("head"), id.uuid("head"));
        assert_ne!(id.uuid("head"), id.uuid("hash seed"));
        assert_eq!(id.uuid("head").get_version_num(), 8);
    }
}
