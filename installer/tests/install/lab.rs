//! What an install needs: a payload, user-data, and a disk that is a file.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use host::{Host, Linux};
use image::manifest::{CHUNK_SIZE, MANIFEST_NAME, SLOT_NAME, describe_file};
use image::{Digest, Kind, Manifest};
use installer::documents::Sources;
use installer::hooks::Runner;
use installer::install::{Request, install};
use installer::media::{PayloadOptions, build_payload};
use installer::payload::BOOT_FILES;
use installer::report::{Event, Finished};
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;
/// What the payload of these tests needs, and some room; the file is sparse.
pub(crate) const DISK: u64 = 3072 * MIB;
/// Stands in the user-data and must stand nowhere but on the OEM partition.
pub(crate) const TOKEN: &str = "canary-token-5e1d0f";

const USER_DATA: &str = "\
#cloud-config
stylus:
  site:
    paletteEndpoint: palette.example.com
    edgeHostToken: canary-token-5e1d0f
    projectUid: 63ec28d16b39cf0000d4732e
install:
  poweroff: true
  extra-dirs-rootfs: [/eks-hybrid]
  bind_mounts: [/eks-hybrid, /etc/eks]
  grub_options:
    default_menu_entry: Shop till
    extra_cmdline: console=ttyS1
";

/// `install` names its work folder by process, so one process does one install at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A folder with `payload/`, `user-data` and the empty disk `disk.img`.
#[derive(Debug)]
pub(crate) struct Lab {
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// A folder in memory: an install syncs a hundred times, which no real disk does at once; no test here cuts the power.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

impl Lab {
    /// With a payload that the real media code made of a small provider root.
    pub(crate) fn new() -> Self {
        let lab = Self::without_payload(scratch());
        let root = lab.at("root");
        make_provider_root(&root);
        let options = PayloadOptions {
            root: root.clone(),
            out: lab.payload(),
            version: "1.2.3".to_owned(),
            build: "test".to_owned(),
            epoch: 1_700_000_000,
            level: 1,
        };
        build_payload(&options, &mut Linux, &mut |_| ()).unwrap();
        fs::remove_dir_all(root).unwrap();
        lab
    }

    /// With a payload of two chunks that means nothing; its making needs no program.
    pub(crate) fn with_tiny_payload() -> Self {
        let lab = Self::without_payload(scratch());
        make_tiny_payload(&lab.payload());
        lab
    }

    fn without_payload(folder: TempDir) -> Self {
        let lab = Self {
            folder,
            _alone: ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner),
        };
        put(&lab.at("user-data"), USER_DATA.as_bytes());
        lab.blank("disk.img");
        lab
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn payload(&self) -> PathBuf {
        self.at("payload")
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.at("disk.img")
    }

    /// A sparse disk with a mark of its former life in the first and in the last sector and in the middle.
    pub(crate) fn blank(&self, name: &str) -> PathBuf {
        let path = self.at(name);
        let file = File::create(&path).unwrap();
        file.set_len(DISK).unwrap();
        for offset in [0, DISK / 2, DISK - 512] {
            file.write_all_at(&[0xa5; 512], offset).unwrap();
        }
        path
    }

    pub(crate) fn manifest(&self) -> Manifest {
        Manifest::read(&self.payload()).unwrap()
    }

    pub(crate) fn request(&self, disk: &Path) -> Request {
        Request {
            disk: disk.display().to_string(),
            user_data: Sources::files([self.at("user-data")]),
            payload: self.payload(),
            medium: None,
            media_id: None,
            runner: Runner::Host,
            // What `blank` puts at both ends is nothing that anybody knows.
            wipe: Some(userdata::Wipe::Foreign),
            mode: None,
        }
    }

    /// Installs with the real tools.
    pub(crate) fn install(&self, disk: &Path) -> Finished {
        self.install_through(&mut Linux, disk, |_| ())
    }

    /// Installs through a door of the test's choice; `at_event` sees every event when it happens.
    pub(crate) fn install_through(
        &self,
        host: &mut impl Host,
        disk: &Path,
        mut at_event: impl FnMut(&Event),
    ) -> Finished {
        install(&self.request(disk), host, &mut |event| at_event(event))
    }
}

/// Where `install` of this process mounts its partitions.
pub(crate) fn work_folder() -> PathBuf {
    PathBuf::from(format!("/run/landfall/install.{}", std::process::id()))
}

pub(crate) fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().write_all(bytes).unwrap();
}

pub(crate) fn get(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Changes one bit of a file in its place.
pub(crate) fn flip_bit(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    byte[0] ^= 0x10;
    file.write_all_at(&byte, offset).unwrap();
}

static ZEROES: [u8; 1 << 16] = [0; 1 << 16];

/// BLAKE3 of a sparse file: length, and place and content of every 64 KiB that are not all zero.
pub(crate) fn fingerprint(path: &Path) -> blake3::Hash {
    let file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&length.to_le_bytes());
    for (start, end) in data(&file) {
        let mut at = start;
        while at < end {
            let mut piece = vec![0; usize::try_from((end - at).min(1 << 16)).unwrap()];
            file.read_exact_at(&mut piece, at).unwrap();
            // Comparing slices is fast also in a build without optimisation.
            if piece != ZEROES[..piece.len()] {
                hasher.update(&at.to_le_bytes());
                hasher.update(&piece);
            }
            at += piece.len() as u64;
        }
    }
    hasher.finalize()
}

/// The ranges of a sparse file that hold data, widened to whole blocks of 64 KiB.
fn data(file: &File) -> Vec<(u64, u64)> {
    use nix::unistd::{Whence, lseek};
    const BLOCK: u64 = 1 << 16;
    let length = file.metadata().unwrap().len();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    // ENXIO says that only a hole is left.
    while let Ok(start) = lseek(file, i64::try_from(at).unwrap(), Whence::SeekData) {
        let end = lseek(file, start, Whence::SeekHole).unwrap();
        let start = u64::try_from(start).unwrap() / BLOCK * BLOCK;
        let end = u64::try_from(end)
            .unwrap()
            .next_multiple_of(BLOCK)
            .min(length);
        match ranges.last_mut() {
            Some(last) if start <= last.1 => last.1 = end,
            _ => ranges.push((start, end)),
        }
        at = end;
        if at >= length {
            break;
        }
    }
    ranges
}

/// Where a text stands on a sparse disk.
pub(crate) fn find(path: &Path, text: &str) -> Vec<u64> {
    let disk = File::open(path).unwrap();
    let mut found = Vec::new();
    for (start, end) in data(&disk) {
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        disk.read_exact_at(&mut bytes, start).unwrap();
        let inside = places(&bytes, text.as_bytes());
        found.extend(inside.into_iter().map(|at| start + at as u64));
    }
    found
}

/// Where `word` begins in `bytes`. Every place of it covers one multiple of its length, so only these are looked at.
fn places(bytes: &[u8], word: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    for at in (0..bytes.len()).step_by(word.len()) {
        if bytes[at] != 0 && word.contains(&bytes[at]) {
            let from = at.saturating_sub(word.len() - 1);
            let to = (at + word.len()).min(bytes.len());
            let windows = bytes[from..to].windows(word.len());
            let inside = windows.enumerate().filter(|(_, window)| *window == word);
            found.extend(inside.map(|(index, _)| from + index));
        }
    }
    found
}

/// Bytes that zstd cannot shrink, the same in every run.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// A root with what a payload needs; GRUB for BIOS is real, the rest is recognisable.
fn make_provider_root(root: &Path) {
    let mut kernel = noise(300_000);
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
    kernel[0x500..0x50d].copy_from_slice(b"6.1.0-lab () ");
    put(&root.join("boot/vmlinuz"), &kernel);
    put(&root.join("boot/initrd"), &noise(200_000));
    put(&root.join("usr/lib/modules/6.1.0-lab/modules.dep"), b"");
    symlink("usr/lib", root.join("lib")).unwrap();
    put(&root.join("etc/machine-id"), b"");
    put(
        &root.join("etc/cos/bootargs.cfg"),
        b"set kernel=/boot/vmlinuz\n",
    );
    put(&root.join("etc/cos/grub.cfg"), b"set timeout=5\n");
    for (path, name) in [
        ("usr/lib/shim/shimx64.efi.signed", "shim"),
        ("usr/lib/shim/mmx64.efi.signed", "mok manager"),
        ("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "grub"),
    ] {
        put(
            &root.join(path),
            format!("the {name} of the lab").as_bytes(),
        );
    }
    let grub = "usr/lib/grub/i386-pc";
    fs::create_dir_all(root.join(grub)).unwrap();
    let modules = fs::read_dir(Path::new("/").join(grub))
        .expect("needed for this test: apt-get install grub-pc-bin");
    for file in modules.map(|entry| entry.unwrap().path()) {
        if file.is_file() {
            let name = file.file_name().unwrap();
            fs::copy(&file, root.join(grub).join(name)).unwrap();
        }
    }
}

fn make_tiny_payload(folder: &Path) {
    let slot = noise(CHUNK_SIZE as usize + 12_288);
    let mut compressed = Vec::new();
    let made = image::payload::compress(slot.as_slice(), &mut compressed, 1, &mut |_| ()).unwrap();
    put(&folder.join(SLOT_NAME), &compressed);
    for path in BOOT_FILES {
        put(&folder.join(path), path.as_bytes());
    }
    let mut boot = vec![0x90; 512];
    boot[0x66..0x68].copy_from_slice(&[0xeb, 0x05]);
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    put(&folder.join("boot/bios-boot.img"), &boot);
    let mut core = vec![0x91; 3 * 512];
    core[510..512].copy_from_slice(&0x0820_u16.to_le_bytes());
    put(&folder.join("boot/bios-core.img"), &core);
    let manifest = Manifest {
        format: Manifest::FORMAT,
        image_id: "00112233445566778899aabbccddeeff".parse().unwrap(),
        kind: Kind::Native,
        version: "1.2.3".to_owned(),
        build: "test".to_owned(),
        kernel_version: "6.1.0-lab".to_owned(),
        raw_size: made.raw_size,
        raw_blake3: Digest::of(&slot),
        chunk_size: CHUNK_SIZE,
        chunks: made.chunks,
        files: BOOT_FILES
            .iter()
            .map(|path| describe_file(folder, path).unwrap())
            .collect(),
    };
    put(
        &folder.join(MANIFEST_NAME),
        manifest.to_json().unwrap().as_bytes(),
    );
}
