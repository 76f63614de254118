use super::*;
use crate::manifest;
use crate::payload::{self, tests::noise};

fn packed(length: usize) -> (Vec<u8>, Vec<u8>, Manifest) {
    let raw = noise(length);
    let mut zst = Vec::new();
    let compressed = payload::compress(&raw[..], &mut zst, 1, &mut |_| ()).unwrap();
    let manifest = Manifest {
        raw_size: compressed.raw_size,
        raw_blake3: compressed.raw_blake3,
        chunks: compressed.chunks,
        ..manifest::tests::sample()
    };
    (raw, zst, manifest)
}

/// What the sink has seen, and how it ended.
fn run(
    manifest: &Manifest,
    first: usize,
    medium: impl Read + Send,
) -> (Vec<u8>, Result<(), StreamError>) {
    let mut seen = Vec::new();
    let mut next = first;
    let mut sink = |index: usize, bytes: &[u8]| {
        assert_eq!(index, next);
        assert_eq!(bytes.as_ptr().align_offset(CHUNK_ALIGNMENT), 0);
        next += 1;
        seen.extend_from_slice(bytes);
        Ok(())
    };
    let result = stream_from(manifest, first, medium, &mut sink, &mut |done, total| {
        assert!(done <= total);
    });
    (seen, result)
}

fn bad_chunk(result: Result<(), StreamError>) -> BadChunk {
    match result {
        Err(StreamError::BadChunk(bad)) => bad,
        other => panic!("expected a bad chunk, not {other:?}"),
    }
}

const FULL: usize = CHUNK_SIZE as usize;

#[test]
fn what_went_in_comes_out() {
    for length in [1, FULL - 1, FULL, FULL + 1, 2 * FULL, 9 * FULL + 5] {
        let (raw, zst, manifest) = packed(length);
        Manifest::parse(manifest.to_json().unwrap().as_bytes()).unwrap();
        let (seen, result) = run(&manifest, 0, &zst[..]);
        result.unwrap();
        assert!(seen == raw, "{length}");
    }
}

#[test]
fn progress_ends_at_the_total() {
    let (_, zst, manifest) = packed(2 * FULL + 1);
    let mut steps = Vec::new();
    stream(
        &manifest,
        &zst[..],
        &mut |_, _| Ok(()),
        &mut |done, total| steps.push((done, total)),
    )
    .unwrap();
    let total = manifest.raw_size;
    assert_eq!(
        steps,
        [
            (FULL as u64, total),
            (2 * FULL as u64, total),
            (total, total)
        ]
    );
}

#[test]
fn a_medium_cut_at_or_around_any_chunk_border_is_named_by_chunk_and_offset() {
    let (raw, zst, manifest) = packed(3 * FULL + 10);
    for (index, chunk) in manifest.chunks.iter().enumerate() {
        let at = usize::try_from(chunk.offset_in_zst).unwrap();
        let length = chunk.compressed_len as usize;
        for kept in [0, 1, length - 1] {
            let (seen, result) = run(&manifest, 0, &zst[..at + kept]);
            let bad = bad_chunk(result);
            assert_eq!((bad.index, bad.offset), (index, chunk.offset_in_zst));
            match bad.reason {
                Reason::Missing => assert_eq!(kept, 0),
                Reason::Truncated { got, wanted } => {
                    assert_eq!((got, wanted), (kept as u64, length as u64));
                }
                other => panic!("{other}"),
            }
            assert!(
                seen == raw[..index * FULL],
                "only what is before chunk {index} was seen"
            );
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_chunk_never_reaches_the_sink() {
    let (raw, zst, manifest) = packed(3 * FULL + 10);
    for (index, chunk) in manifest.chunks.iter().enumerate() {
        let length = chunk.compressed_len as usize;
        let mut noticed = 0;
        let places = [
            0,
            1,
            4,
            5,
            9,
            length / 3,
            length / 2,
            length - 5,
            length - 1,
        ];
        for within in places {
            let mut medium = zst.clone();
            medium[usize::try_from(chunk.offset_in_zst).unwrap() + within] ^= 0x10;
            let (seen, result) = run(&manifest, 0, &medium[..]);
            // zstd frames have a few bits without a meaning: then the bytes are right all the same.
            if result.is_ok() {
                assert!(seen == raw, "byte {within}");
                continue;
            }
            noticed += 1;
            let bad = bad_chunk(result);
            assert_eq!(
                (bad.index, bad.offset),
                (index, chunk.offset_in_zst),
                "byte {within}"
            );
            assert!(seen == raw[..index * FULL]);
        }
        assert!(noticed >= places.len() - 2, "chunk {index}: {noticed}");
    }
}

#[test]
fn a_valid_frame_with_other_content_or_length_is_refused() {
    let (_, zst, manifest) = packed(FULL + 10);
    let swap = |content: &[u8]| {
        let mut frame = Vec::new();
        let other = payload::compress(content, &mut frame, 1, &mut |_| ()).unwrap();
        let mut wrong = manifest.clone();
        wrong.chunks[1].compressed_len = other.chunks[0].compressed_len;
        let mut medium = zst[..usize::try_from(wrong.chunks[1].offset_in_zst).unwrap()].to_vec();
        medium.extend_from_slice(&frame);
        bad_chunk(run(&wrong, 0, &medium[..]).1).to_string()
    };
    let offset = manifest.chunks[1].offset_in_zst;
    let said =
        |what: &str| format!("chunk 1 at offset {offset} of slot.img.zst is damaged: {what}");
    assert_eq!(
        swap(b"0123456789"),
        said("its BLAKE3 does not match the manifest")
    );
    assert_eq!(swap(b"012345678"), said("it has 9 bytes instead of 10"));
    assert_eq!(swap(b"0123456789a"), said("it has 11 bytes instead of 10"));
}

#[test]
fn an_empty_medium_lacks_chunk_0() {
    let (_, _, manifest) = packed(1);
    let message = run(&manifest, 0, io::empty()).1.unwrap_err().to_string();
    assert_eq!(
        message,
        "chunk 0 at offset 0 of slot.img.zst is missing: the medium ends before it"
    );
}

#[test]
fn a_medium_that_goes_on_after_the_last_chunk_is_refused() {
    let (raw, mut zst, manifest) = packed(FULL);
    zst.push(0);
    let (seen, result) = run(&manifest, 0, &zst[..]);
    assert!(
        matches!(result, Err(StreamError::TooLong { length }) if length == zst.len() as u64 - 1)
    );
    assert!(seen == raw);
}

/// Gives so many bytes, then the error of a medium that was pulled out.
struct Pulled<'a>(&'a [u8]);

impl Read for Pulled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            Err(io::Error::from_raw_os_error(5))
        } else {
            self.0.read(buffer)
        }
    }
}

#[test]
fn a_medium_that_vanished_is_taken_up_again_at_the_chunk_it_failed_in() {
    let (raw, zst, manifest) = packed(3 * FULL + 10);
    let at = usize::try_from(manifest.chunks[2].offset_in_zst).unwrap();
    let (mut seen, result) = run(&manifest, 0, Pulled(&zst[..at + 7]));
    let bad = bad_chunk(result);
    assert_eq!(bad.index, 2);
    assert!(matches!(bad.reason, Reason::Unreadable(_)));
    let (rest, result) = run(&manifest, bad.index, &zst[at..]);
    result.unwrap();
    seen.extend(rest);
    assert!(seen == raw);
}

#[test]
fn an_error_of_the_sink_ends_the_stream_and_names_the_chunk() {
    let (_, zst, manifest) = packed(3 * FULL);
    let mut sink = |index: usize, _: &[u8]| {
        if index == 1 {
            Err(io::Error::other("disk"))
        } else {
            Ok(())
        }
    };
    let error = stream(&manifest, &zst[..], &mut sink, &mut |_, _| ()).unwrap_err();
    assert!(
        matches!(error, StreamError::Sink { index: 1, .. }),
        "{error}"
    );
}
