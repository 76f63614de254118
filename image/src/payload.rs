//! Write side: a slot image becomes `slot.img.zst` and the list of its chunks.
//!
//! Each chunk is one zstd frame with its content size and a checksum, so the whole is a plain `.zst`
//! file (RFC 8878: frames may follow each other) that stock `zstd -d` reads. The result depends on the
//! input, the level and the version of the zstd library only, never on the number of cores.

use std::io::{self, Read, Write};

use crate::identity::Digest;
use crate::manifest::{CHUNK_SIZE, Chunk, MAX_COMPRESSED_LEN};
use crate::pipeline;

/// zstd level for payloads. Measured in chunks of 4 MiB on an lz4hc root of 229 MB, one busy core:
/// level 3 leaves 75.0 % at 111 MB/s, 6 73.8 % at 50, 9 71.8 % at 32, 12 71.7 % at 12, 15 71.7 % at 5,
/// 19 69.4 % at 2.5. Beyond 9 an image costs minutes for megabytes.
pub const DEFAULT_LEVEL: i32 = 9;

/// A compressing worker keeps tables of some 40 MiB at high levels, so their number is limited.
const MAX_WORKERS: usize = 16;

/// What [`compress`] found out about the slot image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed {
    /// The chunks in order.
    pub chunks: Vec<Chunk>,
    /// Length of the slot image in bytes.
    pub raw_size: u64,
    /// BLAKE3 of the whole slot image.
    pub raw_blake3: Digest,
}

/// A chunk on its way: as read, and as written.
#[derive(Default)]
struct Piece {
    raw: Vec<u8>,
    frame: Vec<u8>,
    digest: Option<Digest>,
}

/// Compresses all of `raw` into `out` at a zstd `level` (1 to 19), on all cores.
///
/// `progress` gets the bytes of the slot image done so far. An empty `raw` gives no chunks and no bytes.
pub fn compress(
    raw: impl Read + Send,
    out: &mut dyn Write,
    level: i32,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Compressed> {
    let workers = pipeline::workers(MAX_WORKERS);
    let pieces = (0..workers + 2).map(|_| Piece::default()).collect();
    let mut raw = raw;
    let mut whole = blake3::Hasher::new();
    let mut chunks = Vec::new();
    let (mut offset, mut raw_size) = (0, 0);
    pipeline::ordered(
        workers,
        pieces,
        |_, piece: &mut Piece| {
            piece.raw.clear();
            (&mut raw)
                .take(u64::from(CHUNK_SIZE))
                .read_to_end(&mut piece.raw)?;
            whole.update(&piece.raw);
            Ok(!piece.raw.is_empty())
        },
        || {
            let mut compressor = compressor(level);
            move |_, piece: &mut Piece| {
                let compressor = compressor
                    .as_mut()
                    .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
                piece.digest = Some(Digest::of(&piece.raw));
                piece.frame.clear();
                piece.frame.reserve(MAX_COMPRESSED_LEN as usize);
                compressor
                    .compress_to_buffer(&piece.raw, &mut piece.frame)
                    .map(|_length| ())
            }
        },
        |_, piece| {
            out.write_all(&piece.frame)?;
            let chunk = describe(piece, offset)?;
            offset += u64::from(chunk.compressed_len);
            raw_size += u64::from(chunk.raw_len);
            chunks.push(chunk);
            progress(raw_size);
            Ok(())
        },
    )?;
    Ok(Compressed {
        chunks,
        raw_size,
        raw_blake3: whole.finalize().into(),
    })
}

fn compressor(level: i32) -> io::Result<zstd::bulk::Compressor<'static>> {
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    compressor.include_checksum(true)?;
    compressor.include_contentsize(true)?;
    Ok(compressor)
}

fn describe(piece: &Piece, offset_in_zst: u64) -> io::Result<Chunk> {
    let too_long = || io::Error::other("a chunk is longer than the format allows");
    Ok(Chunk {
        offset_in_zst,
        compressed_len: u32::try_from(piece.frame.len())
            .ok()
            .filter(|length| *length <= MAX_COMPRESSED_LEN)
            .ok_or_else(too_long)?,
        raw_len: u32::try_from(piece.raw.len()).ok().ok_or_else(too_long)?,
        blake3: piece
            .digest
            .ok_or_else(|| io::Error::other("a chunk was not hashed"))?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Bytes that do not compress to nothing, and differ from chunk to chunk.
    pub(crate) fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        // Half of it zeroes, as in a filesystem.
        bytes.chunks_mut(8192).for_each(|block| {
            let half = block.len() / 2;
            block[..half].fill(0);
        });
        bytes
    }

    fn lengths(compressed: &Compressed) -> Vec<u32> {
        compressed
            .chunks
            .iter()
            .map(|chunk| chunk.raw_len)
            .collect()
    }

    #[test]
    fn chunks_cut_the_image_at_4_mib() {
        let full = CHUNK_SIZE as usize;
        let cases: [(usize, &[u32]); 6] = [
            (0, &[]),
            (1, &[1]),
            (full - 1, &[CHUNK_SIZE - 1]),
            (full, &[CHUNK_SIZE]),
            (full + 1, &[CHUNK_SIZE, 1]),
            (2 * full, &[CHUNK_SIZE, CHUNK_SIZE]),
        ];
        for (length, wanted) in cases {
            let raw = noise(length);
            let mut out = Vec::new();
            let mut done = Vec::new();
            let compressed =
                compress(&raw[..], &mut out, 1, &mut |bytes| done.push(bytes)).unwrap();
            assert_eq!(lengths(&compressed), wanted);
            assert_eq!(compressed.raw_size, length as u64);
            assert_eq!(compressed.raw_blake3, Digest::of(&raw));
            assert_eq!(done.len(), wanted.len());
            let frames: u64 = compressed
                .chunks
                .iter()
                .map(|chunk| u64::from(chunk.compressed_len))
                .sum();
            assert_eq!(out.len() as u64, frames);
        }
    }

    #[test]
    fn bytes_that_do_not_shrink_stay_within_the_bound_of_a_chunk() {
        let mut raw = vec![0; CHUNK_SIZE as usize];
        blake3::Hasher::new().finalize_xof().fill(&mut raw);
        let compressed = compress(&raw[..], &mut Vec::new(), 1, &mut |_| ()).unwrap();
        let length = compressed.chunks[0].compressed_len;
        assert!(
            length > CHUNK_SIZE && length <= MAX_COMPRESSED_LEN,
            "{length}"
        );
    }

    #[test]
    fn the_same_image_gives_the_same_payload() {
        let raw = noise(9 << 20);
        let [mut first, mut second] = [Vec::new(), Vec::new()];
        let chunks = compress(&raw[..], &mut first, 3, &mut |_| ()).unwrap();
        assert_eq!(
            compress(&raw[..], &mut second, 3, &mut |_| ()).unwrap(),
            chunks
        );
        assert!(first == second);
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the stock tool is the independent reader of the format"
    )]
    fn stock_zstd_reads_the_payload_and_every_frame_has_size_and_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slot.img.zst");
        let raw = noise(9 << 20);
        let compressed = compress(
            &raw[..],
            &mut std::fs::File::create(&path).unwrap(),
            3,
            &mut |_| (),
        )
        .unwrap();
        let zstd = |arguments: &[&str]| {
            let output = std::process::Command::new("zstd")
                .args(arguments)
                .arg(&path)
                .output();
            let output = output.expect("zstd is needed for this test: apt-get install zstd");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            output.stdout
        };
        assert!(zstd(&["-dc"]) == raw);
        let listing = String::from_utf8(zstd(&["-lv"])).unwrap();
        let line = |name: &str| {
            listing
                .lines()
                .find(|line| line.contains(name))
                .unwrap_or_default()
                .to_owned()
        };
        assert!(line("Frames").contains("Frames: 3"), "{listing}");
        assert!(line("Check").contains("XXH64"), "{listing}");
        assert!(
            line("Decompressed Size").contains(&format!("{} B", compressed.raw_size)),
            "{listing}"
        );
    }
}
