//! The last 4096 bytes of a slot image: the file describes itself.
//!
//! | bytes | content |
//! | --- | --- |
//! | 0..16 | magic `LANDFALL-SLOT-1\n` |
//! | 16..20 | length of the JSON, little endian |
//! | 20.. | JSON object, then zeroes |
//! | 4064..4096 | BLAKE3 of the 4064 bytes before |
//!
//! The format is ours; design section 4 says why it exists.

use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

use crate::identity::{Digest, ImageId, Kind};

/// Size of the footer in bytes; a whole number of logical blocks on every disk.
pub const FOOTER_LEN: usize = 4096;
/// Where the root may begin: a multiple of this many bytes.
pub const ROOT_ALIGNMENT: u64 = 1 << 20;

const MAGIC: &[u8; 16] = b"LANDFALL-SLOT-1\n";
const JSON_AT: usize = 20;
const HASH_AT: usize = FOOTER_LEN - 32;
const FORMAT: u32 = 1;

/// A part of the slot image file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// First byte, counted from the start of the file.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// BLAKE3 of these bytes.
    pub blake3: Digest,
}

/// The filesystem of the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootFs {
    /// Native images.
    Erofs,
    /// Kairos images, whose one filesystem is both head and root.
    Ext4,
}

/// The part of the slot image that is mounted as the root of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// First byte, counted from the start of the file; a multiple of [`ROOT_ALIGNMENT`].
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// Which filesystem these bytes are.
    pub fs: RootFs,
    /// BLAKE3 of these bytes.
    pub blake3: Digest,
}

/// The dm-verity tree over the root. Its place is kept; no image has one yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verity {
    /// First byte of the tree, counted from the start of the file.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// Root hash in lower-case hex, as `veritysetup` prints it.
    pub root_hash: String,
}

/// What a slot image says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// Format of the footer; 1.
    pub format: u32,
    /// Boot contract of the image.
    pub kind: Kind,
    /// Identity of the image; the initrd in the head carries the same.
    pub image_id: ImageId,
    /// Version of the image, for people.
    pub version: String,
    /// What built it and when, for people.
    pub build: String,
    /// Kernel release, as `uname -r` will print it.
    pub kernel_version: String,
    /// The ext4 filesystem that GRUB reads; always at offset 0.
    pub head: Extent,
    /// The root of the system.
    pub root: Root,
    /// The dm-verity tree over the root, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verity: Option<Verity>,
}

/// Why the end of a file is not a valid footer, or a footer cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    /// The file could not be read.
    #[error("reading the footer")]
    Io(#[from] io::Error),
    /// The file has no room for a footer.
    #[error("{length} bytes are too few for a slot image")]
    TooShort {
        /// Length of the file.
        length: u64,
    },
    /// The last 4096 bytes do not start with the magic: not a slot image, or cut off.
    #[error("no footer at the end of the file: not a slot image, or its end is missing")]
    NoMagic,
    /// The bytes are not those that were written.
    #[error("the footer is damaged: its BLAKE3 does not match")]
    Damaged,
    /// The hash is right but the content is not a footer of this format.
    #[error("the footer cannot be understood: {0}")]
    Content(String),
    /// The footer contradicts itself or the length of the file.
    #[error("the footer is inconsistent: {0}")]
    Inconsistent(&'static str),
    /// The JSON does not fit in the room the format has for it.
    #[error("the footer's JSON has {length} bytes; at most {max} fit")]
    TooLong {
        /// Length of the JSON.
        length: usize,
        /// Longest JSON that fits.
        max: usize,
    },
}

impl Footer {
    /// The format that this version writes.
    pub const FORMAT: u32 = FORMAT;

    /// The 4096 bytes that go at the end of the file.
    ///
    /// Fails when the texts are so long that the JSON does not fit.
    pub fn encode(&self) -> Result<[u8; FOOTER_LEN], FooterError> {
        let json =
            serde_json::to_vec(self).map_err(|error| FooterError::Content(error.to_string()))?;
        let max = HASH_AT - JSON_AT;
        let too_long = FooterError::TooLong {
            length: json.len(),
            max,
        };
        let (true, Ok(length)) = (json.len() <= max, u32::try_from(json.len())) else {
            return Err(too_long);
        };
        let mut bytes = [0; FOOTER_LEN];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..JSON_AT].copy_from_slice(&length.to_le_bytes());
        bytes[JSON_AT..JSON_AT + json.len()].copy_from_slice(&json);
        let hash = blake3::hash(&bytes[..HASH_AT]);
        bytes[HASH_AT..].copy_from_slice(hash.as_bytes());
        Ok(bytes)
    }

    /// Reads the 4096 bytes of a footer; says nothing about the file they come from.
    pub fn decode(bytes: &[u8; FOOTER_LEN]) -> Result<Self, FooterError> {
        if &bytes[..16] != MAGIC {
            return Err(FooterError::NoMagic);
        }
        if blake3::hash(&bytes[..HASH_AT])
            != blake3::Hash::from_slice(&bytes[HASH_AT..]).map_err(|_error| FooterError::Damaged)?
        {
            return Err(FooterError::Damaged);
        }
        let length = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
        let json = usize::try_from(length)
            .ok()
            .and_then(|length| bytes[JSON_AT..HASH_AT].get(..length))
            .ok_or_else(|| {
                FooterError::Content("the length of the JSON is impossible".to_owned())
            })?;
        let footer: Self = serde_json::from_slice(json)
            .map_err(|error| FooterError::Content(error.to_string()))?;
        if footer.format != FORMAT {
            return Err(FooterError::Content(format!(
                "format {} is not known, only {FORMAT}",
                footer.format
            )));
        }
        Ok(footer)
    }

    /// Holds the extents against each other and against the length of the file without its footer.
    fn check(&self, body_len: u64) -> Result<(), FooterError> {
        let head_end = end(self.head.offset, self.head.length)?;
        let root_end = end(self.root.offset, self.root.length)?;
        if self.head.offset != 0 || self.head.length == 0 || self.root.length == 0 {
            return Err(FooterError::Inconsistent(
                "the head is not at the start, or a part is empty",
            ));
        }
        if head_end > body_len || root_end > body_len {
            return Err(FooterError::Inconsistent("a part reaches beyond the file"));
        }
        match (self.kind, self.root.fs) {
            (Kind::Native, RootFs::Erofs) => {
                if self.root.offset < head_end || !self.root.offset.is_multiple_of(ROOT_ALIGNMENT) {
                    return Err(FooterError::Inconsistent(
                        "the root overlaps the head or is not 1 MiB-aligned",
                    ));
                }
            }
            (Kind::Kairos, RootFs::Ext4) => {
                if (self.root.offset, self.root.length) != (self.head.offset, self.head.length) {
                    return Err(FooterError::Inconsistent(
                        "head and root of a Kairos image are not one filesystem",
                    ));
                }
            }
            _ => {
                return Err(FooterError::Inconsistent(
                    "this kind of image has another root filesystem",
                ));
            }
        }
        if let Some(verity) = &self.verity
            && (verity.offset < root_end || end(verity.offset, verity.length)? > body_len)
        {
            return Err(FooterError::Inconsistent(
                "the verity tree overlaps the root or reaches beyond the file",
            ));
        }
        Ok(())
    }
}

fn end(offset: u64, length: u64) -> Result<u64, FooterError> {
    offset
        .checked_add(length)
        .ok_or(FooterError::Inconsistent("a part reaches beyond the file"))
}

/// Reads and checks the footer of a slot image; the parts themselves are not hashed.
///
/// Works on anything whose end can be sought: a file, or a block device of the image's exact size.
/// Leaves the position after the footer.
pub fn read_footer(file: &mut (impl Read + Seek)) -> Result<Footer, FooterError> {
    let length = file.seek(SeekFrom::End(0))?;
    let Some(body_len) = length.checked_sub(FOOTER_LEN as u64) else {
        return Err(FooterError::TooShort { length });
    };
    file.seek(SeekFrom::Start(body_len))?;
    let mut bytes = [0; FOOTER_LEN];
    file.read_exact(&mut bytes)?;
    let footer = Footer::decode(&bytes)?;
    footer.check(body_len)?;
    Ok(footer)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    pub(crate) fn sample() -> Footer {
        Footer {
            format: 1,
            kind: Kind::Native,
            image_id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            version: "1.2.3".to_owned(),
            build: "test".to_owned(),
            kernel_version: "6.1.0-49-amd64".to_owned(),
            head: Extent {
                offset: 0,
                length: MIB,
                blake3: Digest::of(b"head"),
            },
            root: Root {
                offset: MIB,
                length: 8192,
                fs: RootFs::Erofs,
                blake3: Digest::of(b"root"),
            },
            verity: None,
        }
    }

    fn file_with(footer: &[u8]) -> Cursor<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(MIB).unwrap() + 8192];
        bytes.extend_from_slice(footer);
        Cursor::new(bytes)
    }

    #[test]
    fn a_footer_reads_back_as_it_was_written() {
        let footer = sample();
        let mut file = file_with(&footer.encode().unwrap());
        assert_eq!(read_footer(&mut file).unwrap(), footer);
        let with_verity = Footer {
            verity: Some(Verity {
                offset: MIB + 8192,
                length: 0,
                root_hash: "ab".repeat(32),
            }),
            ..sample()
        };
        let mut file = file_with(&with_verity.encode().unwrap());
        assert_eq!(read_footer(&mut file).unwrap(), with_verity);
    }

    #[test]
    fn a_footer_of_the_first_release_still_reads() {
        let json = r#"{"format":1,"kind":"native","image_id":"00112233445566778899aabbccddeeff","version":"1.2.3","build":"test","kernel_version":"6.1.0-49-amd64","head":{"offset":0,"length":1048576,"blake3":"HEAD"},"root":{"offset":1048576,"length":8192,"fs":"erofs","blake3":"ROOT"}}"#
            .replace("HEAD", &Digest::of(b"head").to_string())
            .replace("ROOT", &Digest::of(b"root").to_string());
        let bytes = sample().encode().unwrap();
        assert_eq!(&bytes[..16], b"LANDFALL-SLOT-1\n");
        assert_eq!(
            &bytes[16..20],
            u32::try_from(json.len()).unwrap().to_le_bytes()
        );
        assert_eq!(
            std::str::from_utf8(&bytes[20..20 + json.len()]).unwrap(),
            json
        );
        assert!(bytes[20 + json.len()..4064].iter().all(|byte| *byte == 0));
        assert_eq!(bytes[4064..], blake3::hash(&bytes[..4064]).as_bytes()[..]);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = sample().encode().unwrap();
        for at in 0..FOOTER_LEN {
            let mut bytes = good;
            bytes[at] ^= 1 << (at % 8);
            let error = Footer::decode(&bytes).unwrap_err();
            let right = if at < 16 {
                matches!(error, FooterError::NoMagic)
            } else {
                matches!(error, FooterError::Damaged)
            };
            assert!(right, "byte {at}: {error}");
        }
    }

    #[test]
    fn a_file_without_a_footer_says_so() {
        assert!(matches!(
            read_footer(&mut Cursor::new(vec![])),
            Err(FooterError::TooShort { length: 0 })
        ));
        assert!(matches!(
            read_footer(&mut Cursor::new(vec![0; 4095])),
            Err(FooterError::TooShort { length: 4095 })
        ));
        assert!(matches!(
            read_footer(&mut Cursor::new(vec![0; 4096])),
            Err(FooterError::NoMagic)
        ));
    }

    #[test]
    fn extents_that_do_not_fit_the_file_are_refused() {
        type Spoil = fn(&mut Footer);
        let cases: [(&str, Spoil); 8] = [
            ("root past the end", |f| f.root.length += 1),
            ("root overflows", |f| f.root.length = u64::MAX),
            ("root empty", |f| f.root.length = 0),
            ("root not aligned", |f| f.root.offset += 4096),
            ("root over head", |f| f.head.length += 1),
            ("head elsewhere", |f| f.head.offset = 1),
            ("ext4 root in a native image", |f| f.root.fs = RootFs::Ext4),
            ("verity over root", |f| {
                f.verity = Some(Verity {
                    offset: MIB,
                    length: 1,
                    root_hash: String::new(),
                });
            }),
        ];
        for (what, spoil) in cases {
            let mut footer = sample();
            spoil(&mut footer);
            let error = read_footer(&mut file_with(&footer.encode().unwrap())).unwrap_err();
            assert!(
                matches!(error, FooterError::Inconsistent(_)),
                "{what}: {error}"
            );
        }
    }

    #[test]
    fn another_format_and_an_endless_text_are_refused() {
        let future = Footer {
            format: 2,
            ..sample()
        };
        let error = Footer::decode(&future.encode().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the footer cannot be understood: format 2 is not known, only 1"
        );
        let endless = Footer {
            build: "x".repeat(4096),
            ..sample()
        };
        assert!(matches!(
            endless.encode(),
            Err(FooterError::TooLong { max: 4044, .. })
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            prop_assert!(read_footer(&mut Cursor::new(bytes)).is_err());
        }

        #[test]
        fn no_json_under_a_right_hash_makes_the_reader_panic(length in any::<u32>(), json in ".{0,200}") {
            let mut bytes = [0; FOOTER_LEN];
            bytes[..16].copy_from_slice(MAGIC);
            bytes[16..20].copy_from_slice(&length.to_le_bytes());
            bytes[20..20 + json.len()].copy_from_slice(json.as_bytes());
            let hash = blake3::hash(&bytes[..HASH_AT]);
            bytes[HASH_AT..].copy_from_slice(hash.as_bytes());
            prop_assert!(matches!(read_footer(&mut Cursor::new(bytes)), Err(FooterError::Content(_))));
        }
    }
}
