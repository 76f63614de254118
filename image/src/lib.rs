//! The slot image file and the payload it travels as.
//!
//! A *slot image* is one immutable file: a small ext4 head that GRUB reads, an EROFS root at a 1 MiB
//! boundary, and a [`footer`] that describes both. A *payload* is that file cut in 4 MiB chunks, each an
//! independent zstd frame, beside a [`manifest`] with the BLAKE3 hash of every chunk.
//!
//! ```text
//! head + root --slot--> slot.img --payload--> slot.img.zst + manifest.json --stream--> verified chunks
//! ```
//!
//! Lengths and offsets are bytes everywhere. The crate knows files and byte streams; it starts no
//! program, mounts nothing and asks nothing of Linux.

pub mod footer;
pub mod identity;
pub mod initrd;
pub mod manifest;
pub mod payload;
mod pipeline;
pub mod slot;
pub mod stream;

pub use footer::{Footer, FooterError, read_footer};
pub use identity::{Digest, ImageId, Kind};
pub use manifest::{Manifest, ManifestError};
pub use stream::{BadChunk, StreamError, stream, stream_from};
