//! Read side: a payload becomes verified chunks, once and in order.
//!
//! Nothing reaches the sink before its BLAKE3 was compared with the manifest, so whatever a medium
//! does, the sink has seen a correct beginning of the image and nothing else. Memory is bounded: at most
//! seven chunks are in flight, each with its frame: 57 MiB.

use std::io::{self, Read};

use crate::identity::Digest;
use crate::manifest::{CHUNK_SIZE, MAX_COMPRESSED_LEN, Manifest, SLOT_NAME};
use crate::pipeline;

/// The chunk given to the sink starts at an address that is a multiple of this, for `O_DIRECT`.
pub const CHUNK_ALIGNMENT: usize = 4096;

const MAX_WORKERS: usize = 5;

/// Why a chunk was not given to the sink.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The medium ends before the chunk.
    #[error("missing: the medium ends before it")]
    Missing,
    /// The medium ends within the chunk.
    #[error("truncated: {got} of {wanted} bytes are there")]
    Truncated {
        /// Bytes that were there.
        got: u64,
        /// Bytes of the frame.
        wanted: u64,
    },
    /// The medium could not be read.
    #[error("unreadable: {0}")]
    Unreadable(io::Error),
    /// The frame is not valid zstd, or its own checksum is wrong.
    #[error("damaged: it cannot be decompressed ({0})")]
    NotZstd(String),
    /// It decompresses to another length.
    #[error("damaged: it has {got} bytes instead of {wanted}")]
    Length {
        /// Bytes after decompression.
        got: u64,
        /// Bytes in the manifest.
        wanted: u64,
    },
    /// It decompresses, but to other bytes.
    #[error("damaged: its BLAKE3 does not match the manifest")]
    Digest,
}

/// A chunk that is not what the manifest says; it was not given to the sink, nor was any after it.
#[derive(Debug, thiserror::Error)]
#[error("chunk {index} at offset {offset} of {SLOT_NAME} is {reason}")]
pub struct BadChunk {
    /// Number of the chunk, from 0. Reading can be taken up here again.
    pub index: usize,
    /// First byte of its frame in `slot.img.zst`.
    pub offset: u64,
    /// What is wrong.
    pub reason: Reason,
}

/// Why a payload was not streamed to its end.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The medium.
    #[error(transparent)]
    BadChunk(#[from] BadChunk),
    /// The sink refused a chunk that was good.
    #[error("writing chunk {index} of the slot image")]
    Sink {
        /// Number of the chunk, from 0.
        index: usize,
        /// What the sink said.
        source: io::Error,
    },
    /// There are bytes after the last chunk: the medium and the manifest do not belong together.
    #[error("{SLOT_NAME} goes on after the {length} bytes that the manifest names")]
    TooLong {
        /// Where it should end.
        length: u64,
    },
}

/// Streams a whole payload; see [`stream_from`].
pub fn stream(
    manifest: &Manifest,
    reader: impl Read + Send,
    sink: &mut dyn FnMut(usize, &[u8]) -> io::Result<()>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), StreamError> {
    stream_from(manifest, 0, reader, sink, progress)
}

/// Reads the chunks from number `first` on, verifies each, and gives them to `sink` in order.
///
/// `reader` starts at the `offset_in_zst` of chunk `first` and is read once, in order, on a thread of its
/// own; `sink` gets the number of a chunk and its bytes, aligned to [`CHUNK_ALIGNMENT`], on the caller's
/// thread. `progress` gets the bytes of the slot image done and in total. After a [`BadChunk`] the same
/// call with its index takes up where this one ended, on a medium that has come back.
/// `manifest` must come from [`Manifest::parse`]; its promises size the buffers.
pub fn stream_from(
    manifest: &Manifest,
    first: usize,
    mut reader: impl Read + Send,
    sink: &mut dyn FnMut(usize, &[u8]) -> io::Result<()>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), StreamError> {
    let chunks = manifest.chunks.get(first..).unwrap_or_default();
    let workers = pipeline::workers(MAX_WORKERS).min(chunks.len()).max(1);
    let pieces = (0..workers + 2).map(|_| Piece::default()).collect();
    let bad = |index: usize, reason| {
        let offset = chunks.get(index).map_or(0, |chunk| chunk.offset_in_zst);
        StreamError::BadChunk(BadChunk {
            index: first + index,
            offset,
            reason,
        })
    };
    let mut done = first as u64 * u64::from(CHUNK_SIZE);
    pipeline::ordered(
        workers,
        pieces,
        |index, piece: &mut Piece| {
            let Some(chunk) = chunks.get(index) else {
                return expect_end(&mut reader, manifest.compressed_size()).map(|()| false);
            };
            piece
                .read(&mut reader, chunk.compressed_len)
                .map_err(|reason| bad(index, reason))?;
            Ok(true)
        },
        || {
            let mut decompressor = zstd::bulk::Decompressor::new();
            move |index, piece: &mut Piece| {
                let Some(chunk) = chunks.get(index) else {
                    return Ok(());
                };
                let result = match &mut decompressor {
                    Ok(decompressor) => {
                        piece.decompress(decompressor, chunk.raw_len, &chunk.blake3)
                    }
                    Err(error) => Err(Reason::NotZstd(error.to_string())),
                };
                result.map_err(|reason| bad(index, reason))
            }
        },
        |index, piece| {
            let raw = piece.raw();
            sink(first + index, raw).map_err(|source| StreamError::Sink {
                index: first + index,
                source,
            })?;
            done += raw.len() as u64;
            progress(done, manifest.raw_size);
            Ok(())
        },
    )
}

/// A read error after the last chunk is no harm: everything that was wanted has been read.
fn expect_end(reader: &mut impl Read, length: u64) -> Result<(), StreamError> {
    loop {
        match reader.read(&mut [0]) {
            Ok(1..) => return Err(StreamError::TooLong { length }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return Ok(()),
        }
    }
}

/// A chunk on its way: as read, and as given to the sink.
#[derive(Default)]
struct Piece {
    frame: Vec<u8>,
    /// [`CHUNK_ALIGNMENT`] bytes longer than a chunk, so that an aligned chunk fits in.
    room: Vec<u8>,
    start: usize,
    length: usize,
}

impl Piece {
    fn read(&mut self, reader: &mut impl Read, length: u32) -> Result<(), Reason> {
        self.frame.clear();
        self.frame.reserve_exact(length as usize);
        reader
            .take(u64::from(length))
            .read_to_end(&mut self.frame)
            .map_err(Reason::Unreadable)?;
        match self.frame.len() as u64 {
            got if got == u64::from(length) => Ok(()),
            0 => Err(Reason::Missing),
            got => Err(Reason::Truncated {
                got,
                wanted: u64::from(length),
            }),
        }
    }

    fn decompress(
        &mut self,
        decompressor: &mut zstd::bulk::Decompressor<'_>,
        length: u32,
        digest: &Digest,
    ) -> Result<(), Reason> {
        self.room.resize(CHUNK_SIZE as usize + CHUNK_ALIGNMENT, 0);
        self.start = self
            .room
            .as_ptr()
            .align_offset(CHUNK_ALIGNMENT)
            .min(CHUNK_ALIGNMENT);
        let room = &mut self.room[self.start..self.start + CHUNK_SIZE as usize];
        let got = decompressor
            .decompress_to_buffer(&self.frame, room)
            .map_err(|error| Reason::NotZstd(error.to_string()))?;
        if got != length as usize {
            return Err(Reason::Length {
                got: got as u64,
                wanted: u64::from(length),
            });
        }
        if Digest::of(&room[..got]) != *digest {
            return Err(Reason::Digest);
        }
        self.length = got;
        Ok(())
    }

    fn raw(&self) -> &[u8] {
        &self.room[self.start..self.start + self.length]
    }
}

/// The bound of the module's first paragraph, held by the compiler.
const _: () = assert!(
    (MAX_WORKERS + 2) * (MAX_COMPRESSED_LEN as usize + CHUNK_SIZE as usize + CHUNK_ALIGNMENT)
        <= 64 << 20
);

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
