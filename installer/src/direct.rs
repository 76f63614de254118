//! Writing and reading big files past the page cache.
//!
//! An image is larger than a small machine's memory. Through the page cache it would push everything else out, and a
//! read-back would be answered from memory instead of from the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FallocateFlags, OFlag, fallocate};

/// Alignment in bytes of buffers, offsets and lengths: good for every disk with sectors of up to 4096 bytes.
const ALIGN: usize = 4096;

/// A buffer whose content starts at an aligned address.
#[derive(Debug)]
struct Aligned {
    memory: Vec<u8>,
    start: usize,
    capacity: usize,
}

impl Aligned {
    fn new(capacity: usize) -> Self {
        let memory = vec![0; capacity + ALIGN];
        // `align_offset` may answer `usize::MAX` only for constant evaluation; an unaligned start would be refused by
        // the kernel with EINVAL, not corrupt anything.
        let start = memory.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self {
            memory,
            start,
            capacity,
        }
    }

    fn slice(&mut self, length: usize) -> &mut [u8] {
        let length = length.min(self.capacity);
        &mut self.memory[self.start..self.start + length]
    }
}

/// A file being written from start to end.
#[derive(Debug)]
pub struct Writer {
    file: File,
    /// The same file without `O_DIRECT`, for a last piece that is not a whole number of blocks.
    tail: File,
    buffer: Aligned,
    written: u64,
}

impl Writer {
    /// Creates `path` with room for `size` bytes, which are allocated now: "no space left" is known before the copy.
    pub fn create(path: &Path, size: u64, mode: u32) -> io::Result<Self> {
        let tail = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(path)?;
        if size > 0 {
            let length = i64::try_from(size).map_err(io::Error::other)?;
            fallocate(&tail, FallocateFlags::empty(), 0, length)?;
        }
        let file = direct(OpenOptions::new().write(true), path)?;
        Ok(Self {
            file,
            tail,
            buffer: Aligned::new(4 << 20),
            written: 0,
        })
    }

    /// Appends `bytes`; every call but the last must bring a multiple of 4096.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let whole = bytes.len() / ALIGN * ALIGN;
        for piece in bytes[..whole].chunks(self.buffer.capacity) {
            if piece.as_ptr().addr().is_multiple_of(ALIGN) {
                self.file.write_all_at(piece, self.written)?;
            } else {
                let aligned = self.buffer.slice(piece.len());
                aligned.copy_from_slice(piece);
                self.file.write_all_at(aligned, self.written)?;
            }
            self.written += piece.len() as u64;
        }
        if whole < bytes.len() {
            self.tail.write_all_at(&bytes[whole..], self.written)?;
            self.written += (bytes.len() - whole) as u64;
        }
        Ok(())
    }

    /// Syncs the file and its length.
    pub fn finish(self) -> io::Result<()> {
        self.tail.set_len(self.written)?;
        self.tail.sync_all()
    }
}

/// Collects small writes into whole blocks for a [`Writer`].
#[derive(Debug)]
pub struct Collector {
    writer: Writer,
    pending: Vec<u8>,
}

impl Collector {
    /// A collector in front of `writer`.
    pub fn new(writer: Writer) -> Self {
        Self {
            writer,
            pending: Vec::with_capacity(Self::ROOM),
        }
    }

    const ROOM: usize = 1 << 20;

    /// Writes the rest and syncs.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.write(&self.pending)?;
        self.writer.finish()
    }
}

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(Self::ROOM - self.pending.len());
        self.pending.extend_from_slice(&bytes[..count]);
        if self.pending.len() == Self::ROOM {
            self.writer.write(&self.pending)?;
            self.pending.clear();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies everything that is read to a second writer: one pass over a slow medium serves two places.
///
/// Its own errors are kept apart from those of the reader, so that a full disk is not taken for a bad medium.
#[derive(Debug)]
pub struct Tee<R, W> {
    reader: R,
    writer: W,
    /// The first error of the writer.
    pub write_error: Option<io::Error>,
    hasher: blake3::Hasher,
}

impl<R: Read, W: Write> Tee<R, W> {
    /// A reader that also writes.
    pub fn new(reader: R, writer: W) -> Self {
        Self {
            reader,
            writer,
            write_error: None,
            hasher: blake3::Hasher::new(),
        }
    }

    /// The writer, and the BLAKE3 of all that went through.
    pub fn finish(self) -> (W, blake3::Hash) {
        (self.writer, self.hasher.finalize())
    }
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        if let Err(error) = self.writer.write_all(&buffer[..count]) {
            let kind = error.kind();
            self.write_error = Some(error);
            return Err(io::Error::new(
                kind,
                "the copy of the payload could not be written",
            ));
        }
        Ok(count)
    }
}

/// Reads `path` in pieces of `piece` bytes (a multiple of 4096) past the page cache.
pub fn read_pieces(
    path: &Path,
    piece: usize,
    mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let file = direct(OpenOptions::new().read(true), path)?;
    let mut buffer = Aligned::new(piece);
    let mut offset = 0u64;
    loop {
        let space = buffer.slice(piece);
        let mut filled = 0;
        while filled < piece {
            // A read at the end may be short and then is the last one; one in the middle goes on, still aligned.
            match file.read_at(&mut space[filled..], offset + filled as u64)? {
                0 => break,
                count => filled += count,
            }
            if !filled.is_multiple_of(ALIGN) {
                break;
            }
        }
        if filled == 0 {
            return Ok(());
        }
        each(&space[..filled])?;
        offset += filled as u64;
        if filled < piece {
            return Ok(());
        }
    }
}

/// Opens with `O_DIRECT`; without it on a file system that does not know it (tmpfs).
fn direct(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flagged = options
        .clone()
        .custom_flags(OFlag::O_DIRECT.bits())
        .open(path);
    match flagged {
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINVAL as i32) => {
            options.open(path)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length)
            .map(|i| u8::try_from(i % 251).unwrap())
            .collect()
    }

    #[test]
    fn what_is_written_in_pieces_is_read_back_in_pieces() {
        let dir = tempfile::tempdir_in(".").unwrap();
        for length in [0, 1, 4096, 8192, 3 * 8192 + 5] {
            let path = dir.path().join(length.to_string());
            let bytes = content(length);
            let mut writer = Writer::create(&path, length as u64, 0o600).unwrap();
            for piece in bytes.chunks(8192) {
                writer.write(piece).unwrap();
            }
            writer.finish().unwrap();
            let mut seen = Vec::new();
            read_pieces(&path, 8192, |piece| {
                seen.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
            assert!(
                seen == bytes,
                "length {length}: {} bytes came back",
                seen.len()
            );
        }
    }

    #[test]
    fn a_copy_that_cannot_be_written_is_not_blamed_on_the_reader() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut tee = Tee::new(&b"abc"[..], full);
        assert!(tee.read(&mut [0; 8]).is_err());
        assert!(tee.write_error.is_some());
    }

    #[test]
    fn a_tee_passes_everything_on_and_knows_its_hash() {
        let mut tee = Tee::new(&b"abc"[..], Vec::new());
        let mut out = Vec::new();
        tee.read_to_end(&mut out).unwrap();
        let (copy, hash) = tee.finish();
        assert_eq!(
            (out.as_slice(), copy.as_slice()),
            (&b"abc"[..], &b"abc"[..])
        );
        assert_eq!(hash, blake3::hash(b"abc"));
    }
}
