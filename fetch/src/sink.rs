//! Where a document goes, and whether it can go there twice.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// Takes a document. An attempt that breaks off half-way is only repeated if the sink can forget what it has.
pub trait Sink: Write {
    /// Forgets everything that was written; `false` if it cannot.
    ///
    /// # Errors
    ///
    /// If forgetting failed half-way.
    fn restart(&mut self) -> io::Result<bool>;
}

impl Sink for Vec<u8> {
    fn restart(&mut self) -> io::Result<bool> {
        self.clear();
        Ok(true)
    }
}

/// A file that holds nothing else than the document.
impl Sink for File {
    fn restart(&mut self) -> io::Result<bool> {
        self.set_len(0)?;
        self.seek(SeekFrom::Start(0))?;
        Ok(true)
    }
}

/// Any other writer: a document that has begun is not begun again.
#[derive(Debug)]
pub struct Once<W>(pub W);

impl<W: Write> Write for Once<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Sink for Once<W> {
    fn restart(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}
