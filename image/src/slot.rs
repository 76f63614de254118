//! Build side: head and root become one slot image file, and content becomes an identity.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::footer::{Extent, FOOTER_LEN, Footer, FooterError, ROOT_ALIGNMENT, Root, RootFs};
use crate::identity::{Digest, ImageId, Kind};

/// What decides the identity of a native image.
///
/// The slot image is a function of these and of the tools that build it; the id is not hashed over the
/// slot image itself, since that carries the id in its initrd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content<'a> {
    /// BLAKE3 of the root filesystem image.
    pub root: Digest,
    /// BLAKE3 of the kernel.
    pub kernel: Digest,
    /// BLAKE3 of the initrd without an image id.
    pub base_initrd: Digest,
    /// The boot arguments file, whole.
    pub bootargs: &'a [u8],
    /// Version of the image.
    pub version: &'a str,
}

impl Content<'_> {
    /// The id: the same content gives the same id, on every machine.
    pub fn image_id(&self) -> ImageId {
        let mut hasher = blake3::Hasher::new_derive_key("landfall 2026 image id");
        hasher.update(self.root.as_bytes());
        hasher.update(self.kernel.as_bytes());
        hasher.update(self.base_initrd.as_bytes());
        // Lengths first, so that no byte can wander from one text to the next.
        for text in [self.bootargs, self.version.as_bytes()] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        ImageId::from_digest(&hasher.finalize().into())
    }
}

/// The words of the footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label<'a> {
    /// Identity, from [`Content::image_id`].
    pub image_id: ImageId,
    /// Version of the image, for people.
    pub version: &'a str,
    /// What built it and when, for people.
    pub build: &'a str,
    /// Kernel release, as `uname -r` will print it.
    pub kernel_version: &'a str,
}

/// Writes a native slot image to the empty file `out`: head, root at the next 1 MiB, footer.
///
/// Both inputs are read once from their start. Blocks of zeroes become holes in `out`; reading the file
/// gives them back as zeroes. The file is not synced.
pub fn compose(
    head: &mut impl Read,
    root: &mut impl Read,
    out: &mut File,
    label: &Label<'_>,
) -> Result<Footer, FooterError> {
    let (head_len, head_hash) = copy_sparse(head, out, 0)?;
    let root_at = head_len.next_multiple_of(ROOT_ALIGNMENT);
    let (root_len, root_hash) = copy_sparse(root, out, root_at)?;
    let footer = Footer {
        format: Footer::FORMAT,
        kind: Kind::Native,
        image_id: label.image_id,
        version: label.version.to_owned(),
        build: label.build.to_owned(),
        kernel_version: label.kernel_version.to_owned(),
        head: Extent {
            offset: 0,
            length: head_len,
            blake3: head_hash,
        },
        root: Root {
            offset: root_at,
            length: root_len,
            fs: RootFs::Erofs,
            blake3: root_hash,
        },
        verity: None,
    };
    let bytes = footer.encode()?;
    let footer_at = (root_at + root_len).next_multiple_of(FOOTER_LEN as u64);
    out.seek(SeekFrom::Start(footer_at))?;
    out.write_all(&bytes)?;
    Ok(footer)
}

/// Copies everything to `offset` of `out` and returns the length and the BLAKE3 of what was copied.
fn copy_sparse(from: &mut impl Read, out: &mut File, offset: u64) -> io::Result<(u64, Digest)> {
    const BLOCK: u64 = 64 << 10;
    let mut hasher = blake3::Hasher::new();
    let mut length = 0;
    let mut block = Vec::new();
    loop {
        block.clear();
        from.take(BLOCK).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok((length, hasher.finalize().into()));
        }
        hasher.update(&block);
        if block.iter().any(|byte| *byte != 0) {
            out.seek(SeekFrom::Start(offset + length))?;
            out.write_all(&block)?;
        }
        length += block.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::footer::read_footer;

    fn content() -> Content<'static> {
        Content {
            root: Digest::of(b"root"),
            kernel: Digest::of(b"kernel"),
            base_initrd: Digest::of(b"initrd"),
            bootargs: b"set x=1\n",
            version: "1",
        }
    }

    #[test]
    fn the_id_is_the_same_for_the_same_content_and_changes_with_each_part() {
        let id = content().image_id();
        assert_eq!(id, content().image_id());
        let others = [
            Content {
                root: Digest::of(b"x"),
                ..content()
            },
            Content {
                kernel: Digest::of(b"x"),
                ..content()
            },
            Content {
                base_initrd: Digest::of(b"x"),
                ..content()
            },
            Content {
                bootargs: b"set x=1\n1",
                version: "",
                ..content()
            },
            Content {
                version: "2",
                ..content()
            },
            Content {
                kernel: Digest::of(b"initrd"),
                base_initrd: Digest::of(b"kernel"),
                ..content()
            },
        ];
        for other in others {
            assert_ne!(other.image_id(), id, "{other:?}");
        }
    }

    #[test]
    fn a_slot_image_has_its_parts_where_the_footer_says() {
        let label = Label {
            image_id: content().image_id(),
            version: "1",
            build: "test",
            kernel_version: "6.1",
        };
        for (head_len, root_at, root_len, total) in [
            (1 << 20, 1 << 20, 4096, (1 << 20) + 8192),
            ((1 << 20) + 1, 2 << 20, 5000, (2 << 20) + 8192 + 4096),
            (3 << 20, 3 << 20, 1, (3 << 20) + 8192),
        ] {
            let (head, root) = (vec![1_u8; head_len], vec![2_u8; root_len]);
            let mut file = tempfile::tempfile().unwrap();
            let written = compose(&mut &head[..], &mut &root[..], &mut file, &label).unwrap();
            assert_eq!(read_footer(&mut file).unwrap(), written);
            assert_eq!(written.root.offset, root_at);
            let mut bytes = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len(), total);
            assert!(bytes[..head_len] == head);
            let at = usize::try_from(root_at).unwrap();
            assert!(bytes[at..at + root_len] == root);
            assert_eq!(written.root.blake3, Digest::of(&root));
            assert_eq!(written.head.blake3, Digest::of(&head));
        }
    }

    #[test]
    fn zeroes_take_no_room_but_are_there() {
        let label = Label {
            image_id: content().image_id(),
            version: "1",
            build: "",
            kernel_version: "",
        };
        let head = vec![0_u8; 8 << 20];
        let mut file = tempfile::tempfile().unwrap();
        let footer = compose(&mut &head[..], &mut &[0_u8; 4096][..], &mut file, &label).unwrap();
        assert_eq!(footer.head.blake3, Digest::of(&head));
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), (8 << 20) + 8192);
        assert!(
            metadata.blocks() * 512 < 1 << 20,
            "{} blocks",
            metadata.blocks()
        );
    }
}
