//! `landfall media iso`: a payload and user-data become an ISO that boots from CD and USB, by BIOS and UEFI.
//!
//! The tree is the one of `docs/interfaces.md`. UEFI starts shim and GRUB from a FAT image that is both the
//! El Torito image and a GPT partition; BIOS starts GRUB from the CD's boot image, or on a stick from the
//! boot sector that loads that same image.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use host::{Argv, Host};
use image::manifest::{MANIFEST_NAME, SLOT_NAME, verify_file};
use image::{Digest, ImageId, Manifest};
use serde::Serialize;
use userdata::{Landfall, Variables};

use super::Progress;
use super::boot_files::copy_readable;
use super::menu::{marker, render_efi_stub, render_menu};
use super::payload::remove_if_there;
use super::scratch::Scratch;
use crate::calendar::{compact_time, rfc3339};
use crate::documents::{Document, combine, combine_part};

/// Volume id that Kairos and the Palette agent know.
const VOLUME_ID: &str = "COS_LIVE";
const MIB: u64 = 1 << 20;

/// What to make an ISO from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsoOptions {
    /// Payload folder, made by [`super::build_payload`].
    pub payload: PathBuf,
    /// User-data file; it must be valid.
    pub user_data: PathBuf,
    /// The user-data may lack what other documents bring.
    pub partial: bool,
    /// Certificates (PEM) that the installer trusts when it fetches user-data.
    pub authorities: Vec<PathBuf>,
    /// The ISO; `<out>.sha256` is written beside it.
    pub out: PathBuf,
    /// Version of Landfall.
    pub version: String,
    /// Time stamp of the medium and of every file on it, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub epoch: u64,
}

/// An ISO that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iso {
    /// Where it is.
    pub path: PathBuf,
    /// 32 hex digits; the kernel argument `landfall.media` and `/landfall/media.json` have the same.
    pub media_id: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

/// `/landfall/media.json`.
#[derive(Serialize)]
struct MediaFile<'a> {
    format: u32,
    #[serde(rename = "media_id")]
    id: &'a str,
    created: String,
    version: &'a str,
}

/// Makes the ISO and the checksum beside it.
///
/// User-data and payload are checked first, every chunk of it; a medium that cannot install is not made.
pub fn build_iso(
    options: &IsoOptions,
    host: &mut dyn Host,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Iso> {
    on_progress(Progress::Step("checking the user-data"));
    let (user_data, wanted) = read_user_data(&options.user_data, options.partial)?;
    let authorities = read_authorities(&options.authorities)?;
    on_progress(Progress::Step("checking the payload"));
    let payload = fs::canonicalize(&options.payload)
        .with_context(|| format!("opening {}", options.payload.display()))?;
    let manifest = Manifest::read(&payload)?;
    verify_payload(&payload, &manifest, on_progress)?;

    on_progress(Progress::Step("writing the ISO"));
    let media_id = derive_media_id(&manifest, &user_data, &authorities, options)?;
    let name = options
        .out
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("{} has no file name", options.out.display()))?;
    let folder = options
        .out
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let folder = fs::canonicalize(folder)?;
    let (out, checksum) = (folder.join(name), folder.join(format!("{name}.sha256")));
    // A checksum never lies beside an ISO that it does not belong to.
    remove_if_there(&checksum)?;
    let scratch = Scratch::new(&folder)?;
    let tree = Tree {
        scratch: &scratch,
        payload: &payload,
        manifest: &manifest,
        media_id: &media_id,
        authorities: &authorities,
        wanted: &wanted,
        options,
    };
    let half = tree.write(&user_data, host)?;
    File::open(&half)?.sync_all()?;
    fs::rename(&half, &out).with_context(|| format!("writing {}", out.display()))?;

    on_progress(Progress::Step("hashing the ISO"));
    let line = host
        .run(
            &Argv::new("sha256sum")
                .arg("--")
                .arg(name)
                .directory(&folder),
        )?
        .stdout;
    let sha256 = line
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    host::files::write_synced(&checksum, line.as_bytes(), 0o644)?;
    let size = fs::metadata(&out)?.len();
    Ok(Iso {
        path: out,
        media_id,
        size,
        sha256,
    })
}

/// The user-data as it is, and what it says of Landfall.
fn read_user_data(path: &Path, partial: bool) -> Result<(Vec<u8>, Landfall)> {
    let size = fs::metadata(path)
        .with_context(|| format!("reading {}", path.display()))?
        .len();
    // The parser has the same bound, but only once the file is in memory.
    ensure!(
        size <= userdata::MAX_BYTES as u64,
        "{} has {size} bytes; user-data has at most {}",
        path.display(),
        userdata::MAX_BYTES
    );
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    // What the installer would refuse on the site is refused here.
    let document = Document {
        name: path.display().to_string(),
        bytes,
    };
    let machine = Variables::of_an_example();
    let documents = std::slice::from_ref(&document);
    let (user_data, _) = combine_part(documents, &machine).context("the user-data is not valid")?;
    if !partial && user_data.config_url.is_none() {
        combine(documents, &machine)
            .context("the user-data is not valid; if the site brings the rest, say --partial")?;
    }
    Ok((document.bytes, user_data.landfall))
}

/// The texts of certificates; one that is none is refused here, not on the site.
fn read_authorities(paths: &[PathBuf]) -> Result<Vec<String>> {
    let read = |path: &PathBuf| {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let trust = fetch::Trust {
            certificates: vec![text.clone()],
            ..fetch::Trust::default()
        };
        drop(trust.http().with_context(|| path.display().to_string())?);
        Ok(text)
    };
    paths.iter().map(read).collect()
}

fn verify_payload(
    payload: &Path,
    manifest: &Manifest,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<()> {
    for file in &manifest.files {
        verify_file(payload, file)?;
    }
    let slot = File::open(payload.join(SLOT_NAME))
        .with_context(|| format!("opening {SLOT_NAME} of the payload"))?;
    let mut progress = |done, total| on_progress(Progress::Bytes { done, total });
    image::stream(manifest, slot, &mut |_, _| Ok(()), &mut progress)?;
    Ok(())
}

/// The same inputs give the same medium, and only those.
fn derive_media_id(
    manifest: &Manifest,
    user_data: &[u8],
    authorities: &[String],
    options: &IsoOptions,
) -> Result<String> {
    let mut parts = vec![
        manifest.digest()?,
        Digest::of(user_data),
        Digest::of(options.version.as_bytes()),
        Digest::of(&options.epoch.to_le_bytes()),
        Digest::of(render_menu("", &Landfall::default()).as_bytes()),
    ];
    parts.extend(authorities.iter().map(|text| Digest::of(text.as_bytes())));
    let mut all = b"landfall 2026 media id".to_vec();
    for part in parts {
        all.extend_from_slice(part.as_bytes());
    }
    Ok(ImageId::from_digest(&Digest::of(&all)).to_string())
}

/// What goes onto the medium.
struct Tree<'a> {
    scratch: &'a Scratch,
    payload: &'a Path,
    manifest: &'a Manifest,
    media_id: &'a str,
    authorities: &'a [String],
    /// What the user-data say of Landfall.
    wanted: &'a Landfall,
    options: &'a IsoOptions,
}

impl Tree<'_> {
    /// Writes the ISO into the scratch folder and returns where it is.
    fn write(&self, user_data: &[u8], host: &mut dyn Host) -> Result<PathBuf> {
        let iso = self.scratch.join("medium.iso");
        let efi = self.efi_image(host)?;
        let mut argv = Argv::new("xorriso")
            .env("SOURCE_DATE_EPOCH", self.options.epoch.to_string())
            .args([
                "-no_rc",
                "-as",
                "mkisofs",
                "-quiet",
                "-iso-level",
                "3",
                "-r",
                "-J",
                "-joliet-long",
                "-V",
                VOLUME_ID,
            ])
            .args(self.fixed_dates())
            .args([
                "-c",
                "/boot/boot.cat",
                "-b",
                "/boot/eltorito.img",
                "-no-emul-boot",
                "-boot-load-size",
                "4",
            ])
            .args(["-boot-info-table", "--grub2-boot-info", "--grub2-mbr"])
            .arg(self.payload.join("boot/bios-hybrid.img"))
            // Some BIOSes boot no disk without an active MBR entry, even a protective one.
            .arg("--mbr-force-bootable")
            .args(["-append_partition", "2", "0xef"])
            .arg(&efi)
            .args([
                "-appended_part_as_gpt",
                "-eltorito-alt-boot",
                "-e",
                "--interval:appended_partition_2:all::",
                "-no-emul-boot",
            ])
            .arg("-o")
            .arg(&iso)
            .arg("-graft-points");
        for (inside, file) in self.files(user_data)? {
            argv = argv.arg(graft(&inside, &file)?);
        }
        host.run(&argv).context("writing the ISO")?;
        Ok(iso)
    }

    fn fixed_dates(&self) -> Vec<String> {
        let stamp = compact_time(self.options.epoch);
        let guid = self.media_uuid().to_string();
        let text = |word: &str| word.to_owned();
        vec![
            format!("--modification-date={stamp}00"),
            text("--set_all_file_dates"),
            format!("={}", self.options.epoch),
            text("--gpt_disk_guid"),
            guid,
        ]
    }

    fn media_uuid(&self) -> uuid::Uuid {
        // A media id is 32 hex digits by construction.
        self.media_id
            .parse::<ImageId>()
            .map_or(uuid::Uuid::nil(), |id| id.uuid("medium"))
    }

    /// Path on the medium, file on this machine.
    fn files(&self, user_data: &[u8]) -> Result<Vec<(String, PathBuf)>> {
        let media = MediaFile {
            format: 1,
            id: self.media_id,
            created: rfc3339(self.options.epoch),
            version: &self.options.version,
        };
        // xorriso writes into the boot image of the CD; the one in the payload must stay as it is.
        let eltorito = self.scratch.join("eltorito.img");
        copy_readable(&self.payload.join("boot/bios-cd.img"), &eltorito)?;
        let put = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
            let path = self.scratch.join(name);
            File::create(&path)?.write_all(bytes)?;
            Ok(path)
        };
        let mut files = vec![
            (
                "/boot/grub/grub.cfg".to_owned(),
                put(
                    "grub.cfg",
                    render_menu(self.media_id, self.wanted).as_bytes(),
                )?,
            ),
            ("/boot/eltorito.img".to_owned(), eltorito),
            ("/boot/kernel".to_owned(), self.payload.join("boot/vmlinuz")),
            ("/boot/initrd".to_owned(), self.payload.join("boot/initrd")),
            (
                "/files-iso/config.yaml".to_owned(),
                put("config.yaml", user_data)?,
            ),
            (
                "/landfall/media.json".to_owned(),
                put(
                    "media.json",
                    format!("{}\n", serde_json::to_string(&media)?).as_bytes(),
                )?,
            ),
            (
                marker(self.media_id),
                put("marker", format!("{}\n", self.media_id).as_bytes())?,
            ),
        ];
        for (index, text) in self.authorities.iter().enumerate() {
            let name = format!("{index:02}.pem");
            let file = put(&name, text.as_bytes())?;
            files.push((format!("/landfall/ca/{name}"), file));
        }
        let names = self
            .manifest
            .files
            .iter()
            .map(|file| file.path.as_str())
            .chain([MANIFEST_NAME, SLOT_NAME]);
        files.extend(
            names.map(|name| (format!("/landfall/payload/{name}"), self.payload.join(name))),
        );
        Ok(files)
    }

    /// The FAT image from which UEFI starts shim, and shim starts GRUB.
    fn efi_image(&self, host: &mut dyn Host) -> Result<PathBuf> {
        let image = self.scratch.join("efi.img");
        let stub = self.scratch.join("efi-grub.cfg");
        File::create(&stub)?.write_all(render_efi_stub(self.media_id).as_bytes())?;
        let boot = |name: &str| self.payload.join("boot").join(name);
        let files = [
            (boot("shimx64.efi"), "EFI/BOOT/BOOTX64.EFI"),
            (boot("grubx64.efi"), "EFI/BOOT/grubx64.efi"),
            (boot("mmx64.efi"), "EFI/BOOT/mmx64.efi"),
            (stub.clone(), "EFI/BOOT/grub.cfg"),
            // Where the signed GRUBs of Debian and Ubuntu look.
            (stub.clone(), "EFI/debian/grub.cfg"),
            (stub, "EFI/ubuntu/grub.cfg"),
        ];
        let content = files
            .iter()
            .map(|(file, _)| Ok(fs::metadata(file)?.len()))
            .sum::<Result<u64>>()?;
        File::create(&image)?.set_len((content + MIB).next_multiple_of(4 * MIB))?;
        let serial = &self.media_id[..8];
        let epoch = self.options.epoch.to_string();
        let dated = |program: &str| {
            Argv::new(program)
                .env("SOURCE_DATE_EPOCH", &epoch)
                .env("TZ", "UTC")
        };
        host.run(
            &dated("mkfs.vfat")
                .args(["--invariant", "-n", "EFI_LIVE", "-i", serial])
                .arg(&image),
        )
        .context("making the FAT image")?;
        let folders = ["::/EFI", "::/EFI/BOOT", "::/EFI/debian", "::/EFI/ubuntu"];
        host.run(&dated("mmd").arg("-i").arg(&image).args(folders))?;
        for (file, inside) in files {
            host.run(
                &dated("mcopy")
                    .arg("-i")
                    .arg(&image)
                    .arg(&file)
                    .arg(format!("::/{inside}")),
            )
            .with_context(|| format!("putting {inside} into the FAT image"))?;
        }
        Ok(image)
    }
}

/// `inside=file`, with what graft points use for themselves escaped.
fn graft(inside: &str, file: &Path) -> Result<String> {
    let file = file
        .to_str()
        .with_context(|| format!("{} is not UTF-8", file.display()))?;
    let escape = |text: &str| text.replace('\\', "\\\\").replace('=', "\\=");
    Ok(format!("{}={}", escape(inside), escape(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graft_points_keep_odd_names() {
        assert_eq!(graft("/a", Path::new("/b=c\\d")).unwrap(), "/a=/b\\=c\\\\d");
    }
}
