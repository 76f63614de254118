//! The slot images and the copy of the payload: one pass over the medium, then a read-back.

use std::fs::File;
use std::io::{self, Write};

use anyhow::{Result, bail};
use host::Host;
use image::StreamError;
use image::manifest::SLOT_NAME;

use super::Run;
use crate::code::{Code, OrTrouble, Trouble};
use crate::direct::{Collector, Tee, Writer, read_pieces};
use crate::plan::Place;
use crate::progress::Meter;

/// Bytes of one read of the read-back; the chunk size, so that each read is one chunk.
const PIECE: usize = image::manifest::CHUNK_SIZE as usize;

impl<H: Host> Run<'_, H> {
    pub(super) fn write_images(
        &mut self,
        slots: &[Place],
        recovery: Option<&Place>,
        size: u64,
    ) -> Result<()> {
        let payload = self.tools.payload;
        let mut writers = Vec::new();
        for slot in slots {
            let path = self.place(slot)?;
            writers.push(Writer::create(&path, size, 0o644).or_trouble(Code::WriteFailed)?);
        }
        let copy = match recovery {
            Some(place) => {
                let size = payload.manifest.compressed_size();
                let writer = Writer::create(&self.place(place)?, size, 0o644);
                Copy(Some(Collector::new(writer.or_trouble(Code::WriteFailed)?)))
            }
            None => Copy(None),
        };
        let source = payload.folder.join(SLOT_NAME);
        let source = File::open(&source).or_trouble(Code::PayloadMissing)?;

        let mut tee = Tee::new(source, copy);
        let mut meter = Meter::new("slot images");
        let on_event = &mut *self.on_event;
        let streamed = image::stream(
            &payload.manifest,
            &mut tee,
            &mut |_, chunk| {
                writers
                    .iter_mut()
                    .try_for_each(|writer| writer.write(chunk))
            },
            &mut |done, total| meter.report(done, total, on_event),
        );
        if let Some(error) = tee.write_error.take() {
            return Err(error).or_trouble(Code::WriteFailed);
        }
        streamed.map_err(in_words)?;
        let (copy, hash) = tee.finish();
        self.copied = Some(hash);
        if let Some(copy) = copy.0 {
            copy.finish().or_trouble(Code::WriteFailed)?;
        }
        for writer in writers {
            writer.finish().or_trouble(Code::WriteFailed)?;
        }
        Ok(())
    }

    pub(super) fn verify_images(
        &mut self,
        slots: &[Place],
        recovery: Option<&Place>,
    ) -> Result<()> {
        let manifest = &self.tools.payload.manifest;
        let copy_size = recovery.map_or(0, |_| manifest.compressed_size());
        let total = manifest.raw_size * slots.len() as u64 + copy_size;
        let mut meter = Meter::new("read back");
        let mut done = 0;
        for slot in slots {
            let path = self.place(slot)?;
            let mut index = 0;
            read_pieces(&path, PIECE, |piece| {
                let expected = manifest.chunks.get(index).map(|chunk| &chunk.blake3);
                if expected.map(image::Digest::as_bytes) != Some(blake3::hash(piece).as_bytes()) {
                    bail!(Trouble::new(
                        Code::ReadBackDiffers,
                        format!("{slot}, byte {}: not what was written", index * PIECE),
                    ));
                }
                index += 1;
                done += piece.len() as u64;
                meter.report(done, total, self.on_event);
                Ok(())
            })
            .or_trouble(Code::ReadBackDiffers)?;
            if index != manifest.chunks.len() {
                bail!(Trouble::new(
                    Code::ReadBackDiffers,
                    format!("{slot} is shorter than what was written")
                ));
            }
        }
        let Some(recovery) = recovery else {
            return Ok(());
        };
        let path = self.place(recovery)?;
        let mut hasher = blake3::Hasher::new();
        read_pieces(&path, PIECE, |piece| {
            hasher.update(piece);
            done += piece.len() as u64;
            meter.report(done, total, self.on_event);
            Ok(())
        })
        .or_trouble(Code::ReadBackDiffers)?;
        if self.copied != Some(hasher.finalize()) {
            bail!(Trouble::new(
                Code::ReadBackDiffers,
                format!("{recovery}: not what was written")
            ));
        }
        Ok(())
    }
}

/// The copy for the recovery partition, or nowhere.
struct Copy(Option<Collector>);

impl Write for Copy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .as_mut()
            .map_or(Ok(bytes.len()), |copy| copy.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn in_words(error: StreamError) -> anyhow::Error {
    let code = match &error {
        StreamError::BadChunk(_) | StreamError::TooLong { .. } => Code::ChunkBad,
        StreamError::Sink { .. } => Code::WriteFailed,
    };
    let error = anyhow::Error::from(error);
    Trouble::new(code, format!("{error:#}")).into()
}
