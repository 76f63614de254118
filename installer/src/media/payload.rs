//! `landfall media payload`: an unpacked provider root becomes a payload folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host::{Argv, Host};
use image::manifest::{CHUNK_SIZE, MANIFEST_NAME, SLOT_NAME, describe_file};
use image::payload::{Compressed, compress};
use image::slot::{Content, Label, compose};
use image::{Digest, Kind, Manifest};

use super::Progress;
use super::boot_files::BootFiles;
use super::head::{HeadFiles, make_head};
use super::provider_root::ProviderRoot;
use super::scratch::Scratch;

/// What to make a payload from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadOptions {
    /// Unpacked root of a native provider image; files must have the owners they shall have.
    pub root: PathBuf,
    /// The payload folder; made if it is not there. About three times the compressed size is used on the way.
    pub out: PathBuf,
    /// Version of the image, for people.
    pub version: String,
    /// What built it, for people.
    pub build: String,
    /// Time stamp of every file of the image, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub epoch: u64,
    /// zstd level, 1 to 19; [`image::payload::DEFAULT_LEVEL`] unless there is a reason.
    pub level: i32,
}

/// Makes the payload folder of `docs/interfaces.md` and returns its manifest.
///
/// Refuses a root that lacks a boot file or carries the identity of a machine before it writes anything.
/// The manifest is written last: a folder whose making was interrupted has none and is no payload.
pub fn build_payload(
    options: &PayloadOptions,
    host: &mut dyn Host,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Manifest> {
    on_progress(Progress::Step("looking through the root"));
    let root = ProviderRoot::open(&options.root)?;
    root.refuse_identity()?;
    let kernel_version = root.kernel_version()?;
    let boot_files = BootFiles::find(&root)?;
    let head_files = HeadFiles {
        kernel: root.first_file(&["boot/vmlinuz"])?,
        base_initrd: root.first_file(&["boot/initrd"])?,
        bootargs: root.first_file(&["etc/cos/bootargs.cfg"])?,
        grub_cfg: root.first_file(&["etc/cos/grub.cfg"])?,
    };
    fs::create_dir_all(&options.out)
        .with_context(|| format!("creating {}", options.out.display()))?;
    let out = fs::canonicalize(&options.out)?;
    remove_if_there(&out.join(MANIFEST_NAME))?;
    let scratch = Scratch::new(&out)?;

    on_progress(Progress::Step("making the root file system"));
    let bootargs = fs::read(&head_files.bootargs)?;
    let mut content = Content {
        root: Digest::of(b""),
        kernel: digest_of(&head_files.kernel)?,
        base_initrd: digest_of(&head_files.base_initrd)?,
        bootargs: &bootargs,
        version: &options.version,
    };
    // The UUID lies inside the bytes that decide the image id, so it comes from everything else.
    let uuid = content.image_id().uuid("root").to_string();
    let erofs = make_root(&root, &uuid, options.epoch, &scratch, host)?;
    content.root = digest_of(&erofs)?;
    let image_id = content.image_id();

    on_progress(Progress::Step("making the slot image"));
    let head = make_head(&head_files, &image_id, options.epoch, &scratch, host)?;
    let label = Label {
        image_id,
        version: &options.version,
        build: &options.build,
        kernel_version: &kernel_version,
    };
    let slot = scratch.join("slot.img");
    compose(
        &mut File::open(&head)?,
        &mut File::open(&erofs)?,
        &mut File::create(&slot)?,
        &label,
    )
    .context("composing the slot image")?;
    fs::remove_file(&erofs)?;

    on_progress(Progress::Step("compressing the slot image"));
    let compressed = compress_slot(&slot, &out.join(SLOT_NAME), options.level, on_progress)?;

    on_progress(Progress::Step("adding the boot files"));
    let names = boot_files.put(&out, host)?;
    let manifest = Manifest {
        format: Manifest::FORMAT,
        image_id,
        kind: Kind::Native,
        version: options.version.clone(),
        build: options.build.clone(),
        kernel_version,
        raw_size: compressed.raw_size,
        raw_blake3: compressed.raw_blake3,
        chunk_size: CHUNK_SIZE,
        chunks: compressed.chunks,
        files: names
            .iter()
            .map(|name| describe_file(&out, name))
            .collect::<io::Result<_>>()
            .context("hashing the boot files")?,
    };
    host::files::sync_filesystem(&out)?;
    host::files::write_synced(
        &out.join(MANIFEST_NAME),
        manifest.to_json()?.as_bytes(),
        0o644,
    )?;
    Ok(manifest)
}

/// Debian 12's mkfs.erofs makes lz4hc, and its kernel reads nothing smaller. Kernel and initrd are in the head;
/// here only the folder `/boot` stays.
fn make_root(
    root: &ProviderRoot,
    uuid: &str,
    epoch: u64,
    scratch: &Scratch,
    host: &mut dyn Host,
) -> Result<PathBuf> {
    let path = scratch.join("root.erofs");
    let argv = Argv::new("mkfs.erofs")
        .args(["--quiet", "-zlz4hc", "-C65536"])
        .arg(format!("-T{epoch}"))
        .arg(format!("-U{uuid}"))
        .arg("--exclude-regex=^boot/.+")
        .arg(&path)
        .arg(root.path());
    host.run(&argv).context("making the root file system")?;
    Ok(path)
}

fn compress_slot(
    slot: &Path,
    to: &Path,
    level: i32,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Compressed> {
    let raw = File::open(slot)?;
    let total = raw.metadata()?.len();
    let mut out =
        BufWriter::new(File::create(to).with_context(|| format!("creating {}", to.display()))?);
    let compressed = compress(raw, &mut out, level, &mut |done| {
        on_progress(Progress::Bytes { done, total });
    })
    .context("compressing the slot image")?;
    out.flush()
        .with_context(|| format!("writing {}", to.display()))?;
    Ok(compressed)
}

fn digest_of(path: &Path) -> Result<Digest> {
    File::open(path)
        .and_then(Digest::of_reader)
        .with_context(|| format!("hashing {}", path.display()))
}

pub(super) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
