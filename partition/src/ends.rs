//! The first and the last sectors of a disk, in memory.
//!
//! The `gpt` crate writes a table in pieces of 128 bytes in an order of its own, and follows whatever a header on the
//! disk points to. Between it and the disk stands this: the crate sees a disk of full size of which only the ends
//! exist. We read and write these ends in whole sectors and in our own order, and a wild header leads nowhere.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::{layout::Geometry, units::Bytes};

/// The two ends of a disk that hold its tables; reading or writing between them is an error.
#[derive(Debug)]
pub(crate) struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
    tail_at: u64,
    position: u64,
}

impl Ends {
    /// Ends full of zeroes, or `None` when the disk is too small to have two of them.
    pub(crate) fn empty(geometry: Geometry) -> Option<Self> {
        let tail_size = geometry.backup_size();
        // Sector 0 and then the same as the backup: header and entries.
        let head_size = tail_size.checked_add(geometry.sector.bytes())?;
        let tail_at = geometry.usable_end().filter(|at| *at >= head_size)?;
        Some(Self {
            head: zeroes(head_size)?,
            tail: zeroes(tail_size)?,
            tail_at: tail_at.get(),
            position: 0,
        })
    }

    /// Reads both ends of a disk.
    pub(crate) fn read(
        disk: &mut (impl Read + Seek + ?Sized),
        geometry: Geometry,
    ) -> io::Result<Option<Self>> {
        let Some(mut ends) = Self::empty(geometry) else {
            return Ok(None);
        };
        disk.seek(SeekFrom::Start(0))?;
        disk.read_exact(&mut ends.head)?;
        disk.seek(SeekFrom::Start(ends.tail_at))?;
        disk.read_exact(&mut ends.tail)?;
        Ok(Some(ends))
    }

    /// Writes both ends, sector 0 last: until then no firmware and no kernel sees the new table.
    pub(crate) fn write(
        &self,
        disk: &mut (impl Write + Seek + ?Sized),
        geometry: Geometry,
    ) -> io::Result<()> {
        let sector = usize::try_from(u64::from(geometry.sector)).unwrap_or(usize::MAX);
        let (first, others) = self.head.split_at(sector.min(self.head.len()));
        disk.seek(SeekFrom::Start(self.tail_at))?;
        disk.write_all(&self.tail)?;
        disk.seek(SeekFrom::Start(geometry.sector.bytes().get()))?;
        disk.write_all(others)?;
        disk.flush()?;
        disk.seek(SeekFrom::Start(0))?;
        disk.write_all(first)?;
        disk.flush()
    }

    /// The first 512 bytes of the disk.
    pub(crate) fn boot_sector(&self) -> Option<&[u8; 512]> {
        self.head.first_chunk()
    }

    /// The first 512 bytes of the disk, to change.
    pub(crate) fn boot_sector_mut(&mut self) -> Option<&mut [u8; 512]> {
        self.head.first_chunk_mut()
    }

    /// Takes sector 0 from other ends of the same disk: behind its 512 bytes a larger sector may hold something.
    pub(crate) fn copy_first_sector(&mut self, other: &Self, geometry: Geometry) {
        let sector = usize::try_from(u64::from(geometry.sector)).unwrap_or(usize::MAX);
        for (to, from) in self.head.iter_mut().zip(&other.head).take(sector) {
            *to = *from;
        }
    }

    /// The bytes from `position` to the end of the end in which it lies.
    fn bytes_at(&mut self, position: u64) -> Option<&mut [u8]> {
        let (end, from) = match position.checked_sub(self.tail_at) {
            Some(from) => (&mut self.tail, from),
            None => (&mut self.head, position),
        };
        end.get_mut(usize::try_from(from).ok()?..)
    }

    fn advance(&mut self, by: usize) -> io::Result<usize> {
        let far = || io::Error::from(io::ErrorKind::InvalidInput);
        self.position = u64::try_from(by)
            .ok()
            .and_then(|by| self.position.checked_add(by))
            .ok_or_else(far)?;
        Ok(by)
    }
}

fn zeroes(size: Bytes) -> Option<Vec<u8>> {
    usize::try_from(size.get()).ok().map(|size| vec![0; size])
}

impl Read for Ends {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self
            .bytes_at(self.position)
            .map_or(Ok(0), |bytes| (&*bytes).read(buffer))?;
        self.advance(read)
    }
}

impl Write for Ends {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self
            .bytes_at(self.position)
            .map_or(Ok(0), |mut bytes| bytes.write(buffer))?;
        self.advance(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Ends {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let size = u64::try_from(self.tail.len())
            .ok()
            .and_then(|tail| tail.checked_add(self.tail_at));
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => size.and_then(|size| size.checked_add_signed(by)),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
