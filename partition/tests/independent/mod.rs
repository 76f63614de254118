//! What the tests of this crate share: sample inputs, and readers that share no code with it.
#![allow(
    dead_code,
    reason = "every test file uses some of this, and which differs"
)]
#![expect(
    clippy::expect_used,
    reason = "a test that cannot prepare itself fails"
)]

use std::{fs::File, path::Path, process::Command};

use partition::{Bytes, Extra, Filesystem, Geometry, Layout, LayoutError, SectorSize, Wanted};
use tempfile::NamedTempFile;
use uuid::Uuid;

/// GUIDs that count up from 1, so that a layout is the same in every run.
pub(crate) fn counting() -> impl FnMut() -> Uuid {
    let mut last = 0x1122_3344_0000_4000_8000_0000_0000_0000;
    move || {
        last += 1;
        Uuid::from_u128(last)
    }
}

/// The defaults for an image of 700 MiB and a payload of 300 MiB.
pub(crate) fn wanted() -> Wanted {
    Wanted::new(Bytes::mib(700), Bytes::mib(300))
}

pub(crate) fn disk_of(size: Bytes, sector: SectorSize) -> Geometry {
    Geometry { size, sector }
}

pub(crate) fn layout(size: Bytes, sector: SectorSize) -> Layout {
    wanted()
        .layout(disk_of(size, sector), counting())
        .expect("it fits")
}

pub(crate) fn big() -> Geometry {
    disk_of(Bytes::mib(64 * 1024), SectorSize::B512)
}

pub(crate) fn extra(name: &str, size: u32) -> Extra {
    Extra {
        name: name.to_owned(),
        size: Bytes::mib(size),
        filesystem: Filesystem::Ext4,
        label: None,
    }
}

pub(crate) fn with_extras(persistent: u32, extras: Vec<Extra>) -> Wanted {
    Wanted {
        persistent: Some(Bytes::mib(persistent)),
        extra: extras,
        ..wanted()
    }
}

pub(crate) fn error(wanted: &Wanted) -> LayoutError {
    wanted.layout(big(), counting()).expect_err("it is refused")
}

/// A file of this size that takes no space.
pub(crate) fn sparse(size: Bytes) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a temporary file");
    file.as_file().set_len(size.get()).expect("a sparse file");
    file
}

pub(crate) fn open(path: &Path) -> File {
    File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("the disk opens")
}

/// Runs a program and gives what it printed. A program that is missing or fails, fails the test.
#[expect(clippy::disallowed_methods, reason = "tests ask an independent reader")]
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program}, which this test needs: {error}"));
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}
