//! Gives an initrd the id of its image, by appending one small cpio archive.
//!
//! The kernel unpacks any number of archives one after the other, so the distribution's initrd is left
//! as it is (`Documentation/driver-api/early-userspace/buffer-format.rst`; archive format "newc").

use std::io::{self, Read, Write};

use crate::identity::ImageId;

/// Where the id is in the unpacked initramfs: 32 hex digits and a newline.
pub const IMAGE_ID_PATH: &str = "/etc/landfall/image-id";

const DIRECTORY: u32 = 0o040_755;
const READ_ONLY_FILE: u32 = 0o100_444;

/// Copies `base` to `out` and appends the archive with the image id; returns the bytes written.
pub fn append_image_id(
    base: &mut impl Read,
    out: &mut impl Write,
    id: &ImageId,
) -> io::Result<u64> {
    let copied = io::copy(base, out)?;
    // An archive starts at a multiple of 4, and the kernel skips the zeroes before it.
    let gap = (4 - copied % 4) % 4;
    let archive = image_id_archive(id);
    out.write_all(&[0; 4][..usize::try_from(gap).map_err(io::Error::other)?])?;
    out.write_all(&archive)?;
    Ok(copied + gap + archive.len() as u64)
}

fn image_id_archive(id: &ImageId) -> Vec<u8> {
    let mut archive = Vec::new();
    push_entry(&mut archive, 1, "etc", DIRECTORY, b"");
    push_entry(&mut archive, 2, "etc/landfall", DIRECTORY, b"");
    push_entry(
        &mut archive,
        3,
        IMAGE_ID_PATH.trim_start_matches('/'),
        READ_ONLY_FILE,
        format!("{id}\n").as_bytes(),
    );
    push_entry(&mut archive, 0, "TRAILER!!!", 0, b"");
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive
}

/// Owner root and time zero everywhere: the same id gives the same bytes.
fn push_entry(archive: &mut Vec<u8>, inode: u32, name: &str, mode: u32, content: &[u8]) {
    let links = if mode == DIRECTORY { 2 } else { 1 };
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    let numbers = [
        inode as usize,
        mode as usize,
        0,
        0,
        links,
        0,
        content.len(),
        0,
        0,
        0,
        0,
        name.len() + 1,
        0,
    ];
    archive.extend_from_slice(b"070701");
    for number in numbers {
        archive.extend_from_slice(format!("{number:08X}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff";

    fn appended(base: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let written = append_image_id(&mut &base[..], &mut out, &ID.parse().unwrap()).unwrap();
        assert_eq!(written, out.len() as u64);
        out
    }

    #[test]
    fn the_archive_starts_at_a_multiple_of_four_after_an_unchanged_base() {
        for (length, start) in [(0, 0), (1, 4), (2, 4), (3, 4), (4, 4), (4097, 4100)] {
            let base = vec![0xAA; length];
            let out = appended(&base);
            assert_eq!(out[..length], base);
            assert!(out[length..start].iter().all(|byte| *byte == 0), "{length}");
            assert_eq!(&out[start..start + 6], b"070701", "{length}");
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the stock tool is the independent reader of the format"
    )]
    fn the_stock_cpio_unpacks_the_id() {
        let folder = tempfile::tempdir().unwrap();
        let mut cpio = std::process::Command::new("cpio")
            .args(["--extract", "--make-directories", "--quiet"])
            .current_dir(folder.path())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cpio is needed for this test: apt-get install cpio");
        cpio.stdin
            .take()
            .unwrap()
            .write_all(&appended(b""))
            .unwrap();
        assert!(cpio.wait().unwrap().success());
        let read = std::fs::read_to_string(folder.path().join("etc/landfall/image-id")).unwrap();
        assert_eq!(read, format!("{ID}\n"));
        assert_eq!(IMAGE_ID_PATH, "/etc/landfall/image-id");
    }
}
