use proptest::prelude::*;

use super::*;

/// Two whole chunks and one of 10 bytes.
pub(crate) fn sample() -> Manifest {
    let chunk = |offset_in_zst, raw_len| Chunk {
        offset_in_zst,
        compressed_len: 100,
        raw_len,
        blake3: Digest::of(b""),
    };
    Manifest {
        format: 1,
        image_id: "00112233445566778899aabbccddeeff".parse().unwrap(),
        kind: Kind::Native,
        version: "1.2.3".to_owned(),
        build: "test".to_owned(),
        kernel_version: "6.1.0-49-amd64".to_owned(),
        raw_size: 2 * u64::from(CHUNK_SIZE) + 10,
        raw_blake3: Digest::of(b""),
        chunk_size: CHUNK_SIZE,
        chunks: vec![chunk(0, CHUNK_SIZE), chunk(100, CHUNK_SIZE), chunk(200, 10)],
        files: vec![FileEntry {
            path: "boot/vmlinuz".to_owned(),
            size: 3,
            blake3: Digest::of(b"abc"),
        }],
    }
}

fn parse_spoiled(spoil: impl FnOnce(&mut Manifest)) -> String {
    let mut manifest = sample();
    spoil(&mut manifest);
    Manifest::parse(&serde_json::to_vec(&manifest).unwrap())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_manifest_reads_back_as_it_was_written() {
    let manifest = sample();
    assert_eq!(
        Manifest::parse(manifest.to_json().unwrap().as_bytes()).unwrap(),
        manifest
    );
    assert_eq!(manifest.compressed_size(), 300);
    assert_eq!(manifest.file("boot/vmlinuz").unwrap().size, 3);
    assert_eq!(manifest.file("boot/initrd"), None);
}

#[test]
fn a_manifest_of_the_first_release_still_parses() {
    let text = format!(
        r#"{{"format":1,"image_id":"00112233445566778899aabbccddeeff","kind":"native","version":"1","build":"b",
        "kernel_version":"6.1","raw_size":1,"raw_blake3":"{hash}","chunk_size":4194304,
        "chunks":[{{"offset_in_zst":0,"compressed_len":14,"raw_len":1,"blake3":"{hash}"}}],
        "files":[{{"path":"boot/grub.cfg","size":1,"blake3":"{hash}"}}]}}"#,
        hash = "ab".repeat(32)
    );
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!(manifest.chunks[0].compressed_len, 14);
    assert_eq!(manifest.files[0].path, "boot/grub.cfg");
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    type Spoil = fn(&mut Manifest);
    let cases: [(Spoil, &str); 11] = [
        (
            |m| m.format = 2,
            "the payload manifest has format 2; only 1 is known",
        ),
        (
            |m| m.chunk_size = 1,
            "the chunk size of the payload is 1, not 4194304",
        ),
        (|m| m.raw_size = 0, "the slot image of the payload is empty"),
        (
            |m| m.raw_size = u64::MAX,
            "a slot image of 18446744073709551615 bytes needs 4398046511104 chunks, the payload manifest lists 3",
        ),
        (
            |m| m.chunks.truncate(2),
            "a slot image of 8388618 bytes needs 3 chunks, the payload manifest lists 2",
        ),
        (
            |m| m.chunks[1].offset_in_zst = 99,
            "chunk 1 at offset 99 of slot.img.zst: it does not begin where the one before ends",
        ),
        (
            |m| m.chunks[1].raw_len -= 1,
            "chunk 1 at offset 100 of slot.img.zst: its length does not fit the size of the slot image",
        ),
        (
            |m| m.chunks[2].raw_len = 11,
            "chunk 2 at offset 200 of slot.img.zst: its length does not fit the size of the slot image",
        ),
        (
            |m| m.chunks[0].compressed_len = 0,
            "chunk 0 at offset 0 of slot.img.zst: its compressed length is impossible",
        ),
        (
            |m| m.chunks[2].compressed_len = MAX_COMPRESSED_LEN + 1,
            "chunk 2 at offset 200 of slot.img.zst: its compressed length is impossible",
        ),
        (
            |m| m.files.push(m.files[0].clone()),
            "file \"boot/vmlinuz\" of the payload manifest: it is listed twice",
        ),
    ];
    for (spoil, message) in cases {
        assert_eq!(parse_spoiled(spoil), message);
    }
}

#[test]
fn paths_cannot_leave_the_payload_folder() {
    for path in [
        "",
        "/etc/passwd",
        "../x",
        "boot/../../x",
        "boot//x",
        "./x",
        "boot/",
        "a\\b",
        "a b",
        "a\n",
        "manifest.json",
        "slot.img.zst",
    ] {
        let message = parse_spoiled(|manifest| manifest.files[0].path = path.to_owned());
        assert!(
            message.starts_with(&format!("file {path:?} of the payload manifest: its ")),
            "{message}"
        );
    }
    assert!(
        parse_spoiled(|manifest| manifest.files[0].path = "x".repeat(256)).contains("too long")
    );
}

#[test]
fn a_field_that_nobody_knows_is_refused() {
    let text = sample()
        .to_json()
        .unwrap()
        .replacen("\"kind\"", "\"unknown\": 1, \"kind\"", 1);
    let message = Manifest::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(
        message.starts_with("the payload manifest cannot be understood: unknown field `unknown`"),
        "{message}"
    );
}

#[test]
fn a_file_is_held_against_its_entry() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("boot")).unwrap();
    let entry = &sample().files[0];
    let put = |content: &[u8]| {
        use std::io::Write as _;
        File::create(folder.path().join(&entry.path))
            .unwrap()
            .write_all(content)
            .unwrap();
        verify_file(folder.path(), entry)
    };
    assert!(matches!(
        verify_file(folder.path(), entry),
        Err(FileError::Io { .. })
    ));
    assert!(matches!(
        put(b"ab"),
        Err(FileError::Size {
            wanted: 3,
            found: 2,
            ..
        })
    ));
    assert!(matches!(put(b"abd"), Err(FileError::Digest { .. })));
    assert_eq!(put(b"abc").unwrap(), folder.path().join("boot/vmlinuz"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Manifest::parse(&bytes).is_err());
    }

    #[test]
    fn no_changed_byte_of_a_manifest_makes_the_parser_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = sample().to_json().unwrap().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drop(Manifest::parse(&bytes));
    }
}
