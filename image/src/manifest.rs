//! `manifest.json`: what a payload must be, chunk by chunk.
//!
//! The parser is the gate: a [`Manifest`] in hand has chunks that join without gap, lengths that fit the
//! buffers of [`mod@crate::stream`], and file names that cannot leave the payload folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::identity::{Digest, ImageId, Kind};

/// Bytes of the slot image in each chunk but the last.
pub const CHUNK_SIZE: u32 = 4 << 20;
/// Name of the manifest in the payload folder.
pub const MANIFEST_NAME: &str = "manifest.json";
/// Name of the compressed slot image in the payload folder.
pub const SLOT_NAME: &str = "slot.img.zst";
/// Longest manifest that is read, in bytes; enough for a slot image of about 300 GiB.
pub const MAX_MANIFEST_LEN: u64 = 16 << 20;
/// Longest compressed form of one chunk, in bytes. zstd stores what it cannot shrink; its own bound for
/// 4 MiB is below this.
pub const MAX_COMPRESSED_LEN: u32 = CHUNK_SIZE + (64 << 10);

/// One chunk of the slot image and the zstd frame it travels as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// First byte of the frame in `slot.img.zst`.
    pub offset_in_zst: u64,
    /// Length of the frame in bytes.
    pub compressed_len: u32,
    /// Length of the chunk in bytes when decompressed.
    pub raw_len: u32,
    /// BLAKE3 of the chunk when decompressed.
    pub blake3: Digest,
}

/// A file of the boot set that lies beside the slot image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path relative to the payload folder, with `/`.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// BLAKE3 of the content.
    pub blake3: Digest,
}

/// What a payload must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the manifest; 1.
    pub format: u32,
    /// Identity of the slot image.
    pub image_id: ImageId,
    /// Boot contract of the slot image.
    pub kind: Kind,
    /// Version of the image, for people.
    pub version: String,
    /// What built it and when, for people.
    pub build: String,
    /// Kernel release, as `uname -r` will print it.
    pub kernel_version: String,
    /// Length of the slot image in bytes.
    pub raw_size: u64,
    /// BLAKE3 of the whole slot image, for the read-back after writing.
    pub raw_blake3: Digest,
    /// [`CHUNK_SIZE`].
    pub chunk_size: u32,
    /// The chunks in order.
    pub chunks: Vec<Chunk>,
    /// The boot set.
    pub files: Vec<FileEntry>,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file could not be read.
    #[error("reading the payload manifest")]
    Io(#[from] io::Error),
    /// More bytes than any manifest has.
    #[error("the payload manifest is longer than {MAX_MANIFEST_LEN} bytes")]
    TooLong,
    /// Not JSON, or not the fields of a manifest.
    #[error("the payload manifest cannot be understood: {0}")]
    Syntax(String),
    /// Made by a newer version.
    #[error("the payload manifest has format {found}; only 1 is known")]
    Format {
        /// The number found.
        found: u32,
    },
    /// Another chunk size than the only one there is.
    #[error("the chunk size of the payload is {found}, not {CHUNK_SIZE}")]
    ChunkSize {
        /// The number found.
        found: u32,
    },
    /// The number of chunks does not fit the size of the slot image.
    #[error(
        "a slot image of {raw_size} bytes needs {wanted} chunks, the payload manifest lists {found}"
    )]
    ChunkCount {
        /// Length of the slot image.
        raw_size: u64,
        /// Chunks that this length needs.
        wanted: u64,
        /// Chunks listed.
        found: u64,
    },
    /// A slot image without a byte.
    #[error("the slot image of the payload is empty")]
    Empty,
    /// A chunk that contradicts the others or the limits.
    #[error("chunk {index} at offset {offset} of {SLOT_NAME}: {reason}")]
    Chunk {
        /// Number of the chunk, from 0.
        index: usize,
        /// Where the manifest says it is.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file whose path is not a plain relative one, or that is listed twice.
    #[error("file {path:?} of the payload manifest: {reason}")]
    File {
        /// The path as listed.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Why a file of the boot set is not the one that the manifest names.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file could not be read; it may not be there.
    #[error("reading {path} of the payload")]
    Io {
        /// Path in the payload folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another length: truncated, or another file.
    #[error("{path} of the payload has {found} bytes, not {wanted}")]
    Size {
        /// Path in the payload folder.
        path: String,
        /// Length in the manifest.
        wanted: u64,
        /// Length on the medium.
        found: u64,
    },
    /// The right length, other bytes.
    #[error("{path} of the payload is damaged: its BLAKE3 does not match the manifest")]
    Digest {
        /// Path in the payload folder.
        path: String,
    },
}

impl Manifest {
    /// The format that this version writes.
    pub const FORMAT: u32 = 1;

    /// Parses and checks a manifest; see the module for what then holds.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > MAX_MANIFEST_LEN {
            return Err(ManifestError::TooLong);
        }
        let syntax = |error: serde_json::Error| ManifestError::Syntax(error.to_string());
        // The format comes first: a newer manifest is named as such, not as a syntax error.
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(syntax)?;
        if format != Self::FORMAT {
            return Err(ManifestError::Format { found: format });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(syntax)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads and parses the manifest of a payload folder.
    pub fn read(payload: &Path) -> Result<Self, ManifestError> {
        use io::Read as _;
        let mut bytes = Vec::new();
        File::open(payload.join(MANIFEST_NAME))?
            .take(MAX_MANIFEST_LEN + 1)
            .read_to_end(&mut bytes)?;
        Self::parse(&bytes)
    }

    /// The JSON text, one line per chunk and file so that two manifests can be compared by eye.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        self.check()?;
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| ManifestError::Syntax(error.to_string()))
    }

    /// Length of `slot.img.zst` in bytes.
    pub fn compressed_size(&self) -> u64 {
        self.chunks.last().map_or(0, |chunk| {
            chunk.offset_in_zst + u64::from(chunk.compressed_len)
        })
    }

    /// A short identity of the whole payload: BLAKE3 of the manifest's own JSON.
    pub fn digest(&self) -> Result<Digest, ManifestError> {
        Ok(Digest::of(self.to_json()?.as_bytes()))
    }

    /// The entry of a file of the boot set.
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.path == path)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.chunk_size != CHUNK_SIZE {
            return Err(ManifestError::ChunkSize {
                found: self.chunk_size,
            });
        }
        if self.raw_size == 0 {
            return Err(ManifestError::Empty);
        }
        let wanted = self.raw_size.div_ceil(u64::from(CHUNK_SIZE));
        let found = self.chunks.len() as u64;
        if wanted != found {
            return Err(ManifestError::ChunkCount {
                raw_size: self.raw_size,
                wanted,
                found,
            });
        }
        self.check_chunks()?;
        let mut seen = BTreeSet::new();
        for file in &self.files {
            let problem = if seen.insert(&file.path) {
                path_problem(&file.path)
            } else {
                Some("it is listed twice")
            };
            if let Some(reason) = problem {
                return Err(ManifestError::File {
                    path: file.path.clone(),
                    reason,
                });
            }
        }
        Ok(())
    }

    fn check_chunks(&self) -> Result<(), ManifestError> {
        let (mut offset, mut left) = (0_u64, self.raw_size);
        for (index, chunk) in self.chunks.iter().enumerate() {
            let wrong = |reason| {
                Err(ManifestError::Chunk {
                    index,
                    offset: chunk.offset_in_zst,
                    reason,
                })
            };
            if chunk.offset_in_zst != offset {
                return wrong("it does not begin where the one before ends");
            }
            if u64::from(chunk.raw_len) != left.min(u64::from(CHUNK_SIZE)) {
                return wrong("its length does not fit the size of the slot image");
            }
            if chunk.compressed_len == 0 || chunk.compressed_len > MAX_COMPRESSED_LEN {
                return wrong("its compressed length is impossible");
            }
            offset += u64::from(chunk.compressed_len);
            left -= u64::from(chunk.raw_len);
        }
        Ok(())
    }
}

/// Plain relative paths only: the installer joins them to folders and writes there.
fn path_problem(path: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+/".contains(&byte);
    if path.len() > 255 || !path.bytes().all(plain) {
        return Some("its path is too long or has other characters than A-Z a-z 0-9 . _ - + /");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("its path is not a plain relative one");
    }
    (path == MANIFEST_NAME || path == SLOT_NAME).then_some("its name belongs to the payload itself")
}

/// Describes a file of `folder` as it is now; `path` is relative, with `/`.
pub fn describe_file(folder: &Path, path: &str) -> io::Result<FileEntry> {
    let file = File::open(folder.join(path))?;
    let size = file.metadata()?.len();
    Ok(FileEntry {
        path: path.to_owned(),
        size,
        blake3: Digest::of_reader(file)?,
    })
}

/// Holds one file of a payload folder against its entry; returns where it is.
pub fn verify_file(payload: &Path, entry: &FileEntry) -> Result<PathBuf, FileError> {
    let path = || entry.path.clone();
    let found = describe_file(payload, &entry.path).map_err(|source| FileError::Io {
        path: path(),
        source,
    })?;
    if found.size != entry.size {
        return Err(FileError::Size {
            path: path(),
            wanted: entry.size,
            found: found.size,
        });
    }
    if found.blake3 != entry.blake3 {
        return Err(FileError::Digest { path: path() });
    }
    Ok(payload.join(&entry.path))
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
pub(crate) mod tests;
