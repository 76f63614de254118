//! GRUB for BIOS with GRUB's own images, compared with what GRUB's own program leaves on a disk.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot prepare itself fails"
)]

mod independent;

use std::{fs, path::Path};

use independent::{counting, disk_of, layout, open, run, sparse, wanted};
use partition::{
    BiosBoot, BiosError, Bytes, Layout, Role, SectorSize, Table, Wanted, embed_bios,
    protective_mbr, write_gpt, write_mbr,
};
use tempfile::TempDir;

const GRUB: &str = "/usr/lib/grub/i386-pc";
const SIZE: Bytes = Bytes::mib(8 * 1024);

fn boot_img() -> [u8; 512] {
    let bytes = fs::read(format!("{GRUB}/boot.img")).expect("grub-pc-bin is installed");
    bytes.try_into().expect("one sector")
}

/// A core image with these modules, made by GRUB.
fn core_img(folder: &Path, prefix: &str) -> Vec<u8> {
    let path = folder.join("core.img");
    let text = path.to_str().expect("a path");
    run(
        "grub-mkimage",
        &[
            "-O",
            "i386-pc",
            "-o",
            text,
            "-p",
            prefix,
            "biosdisk",
            "part_gpt",
            "part_msdos",
            "ext2",
        ],
    );
    fs::read(path).expect("the core image")
}

fn mbr_layout() -> Layout {
    let wanted = Wanted {
        table: Table::Mbr,
        ..wanted()
    };
    wanted
        .layout(disk_of(SIZE, SectorSize::B512), counting())
        .expect("it fits")
}

fn embed(core: &[u8], sector: SectorSize) -> Result<BiosBoot, BiosError> {
    embed_bios(&boot_img(), core, &layout(SIZE, sector))
}

/// The least that looks like a core image of so many bytes.
fn fake_core(size: usize) -> Vec<u8> {
    let mut core = vec![0xAB; size];
    core[0x1f4..0x200].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0x08]);
    core
}

#[test]
fn the_numbers_are_where_grub_reads_them() {
    let boot = embed(&fake_core(512 * 100 + 1), SectorSize::B512).expect("it fits");
    assert_eq!(boot.core_at, Bytes::MIB);
    assert_eq!(
        boot.boot_code[0x5c..0x68],
        [0x00, 0x08, 0, 0, 0, 0, 0, 0, 0xff, 0xfa, 0x90, 0x90]
    );
    let original = boot_img();
    assert_eq!(boot.boot_code[..0x5c], original[..0x5c]);
    assert_eq!(boot.boot_code[0x68..], original[0x68..440]);

    assert_eq!(boot.core.len(), 512 * 101);
    let blocks = [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x08, 0, 0, 0, 0, 0, 0, 100, 0, 0x20, 0x08,
    ];
    assert_eq!(boot.core[0x1e8..0x200], blocks);
    assert!(
        boot.core[0x200..=512 * 100]
            .iter()
            .all(|byte| *byte == 0xAB)
    );
    assert!(boot.core[512 * 100 + 1..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_core_image_of_480_kib_fits_and_one_byte_more_does_not() {
    assert_eq!(
        embed(&fake_core(480 * 1024), SectorSize::B512).map(|boot| boot.core.len()),
        Ok(480 * 1024)
    );
    let size = Bytes::new(480 * 1024 + 1);
    let refused = embed(&fake_core(480 * 1024 + 1), SectorSize::B512);
    assert_eq!(
        refused,
        Err(BiosError::CoreTooLarge {
            size,
            most: Bytes::new(480 * 1024)
        })
    );
}

#[test]
fn what_is_not_grub_is_refused() {
    let layout = layout(SIZE, SectorSize::B512);
    let no_signature = {
        let mut image = boot_img();
        image[511] = 0;
        image
    };
    let no_check = {
        let mut image = boot_img();
        image[0x66] = 0;
        image
    };
    for (image, core) in [(no_signature, fake_core(1024)), (no_check, fake_core(1024))] {
        let refused = embed_bios(&image, &core, &layout);
        assert!(
            matches!(refused, Err(BiosError::NotBootImage(_))),
            "{refused:?}"
        );
    }
    for core in [vec![], vec![0; 1024], fake_core(512)] {
        let refused = embed(&core, SectorSize::B512);
        assert!(
            matches!(refused, Err(BiosError::NotCoreImage(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn the_place_must_be_one_that_a_bios_boots_from() {
    assert_eq!(
        embed(&fake_core(1024), SectorSize::B4096),
        Err(BiosError::SectorSize)
    );
    let gpt = layout(SIZE, SectorSize::B512);
    let bios = gpt.partition(Role::BiosBoot).expect("there is one");
    let in_partition = embed_bios(&boot_img(), &fake_core(1024), &gpt).expect("it fits");
    assert_eq!(in_partition.core_at, bios.start);
    let gap = embed_bios(&boot_img(), &fake_core(1024), &mbr_layout()).expect("there is a gap");
    assert_eq!(gap.core_at, Bytes::new(512));
    assert_eq!(gap.boot_code[0x5c..0x64], [1, 0, 0, 0, 0, 0, 0, 0]);
}

/// A loop device with an ext4 filesystem, mounted: `grub-bios-setup` insists on knowing the device of its own folder.
struct Mounted {
    folder: TempDir,
    device: String,
}

impl Mounted {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let (image, at) = (folder.path().join("root.img"), folder.path().join("at"));
        fs::create_dir(&at).expect("a mount point");
        fs::File::create(&image)
            .and_then(|file| file.set_len(16 << 20))
            .expect("an image");
        let (image, at) = (
            image.to_str().expect("a path"),
            at.to_str().expect("a path"),
        );
        run("mkfs.ext4", &["-q", image]);
        let device = run("losetup", &["--find", "--show", image])
            .trim()
            .to_owned();
        let mounted = Self { folder, device };
        run("mount", &[&mounted.device, at]);
        mounted
    }
}

impl Drop for Mounted {
    #[expect(clippy::disallowed_methods, reason = "tests ask an independent reader")]
    fn drop(&mut self) {
        let at = self.folder.path().join("at");
        // Best effort, on the way out of a test that may already have failed.
        drop(std::process::Command::new("umount").arg(at).status());
        drop(
            std::process::Command::new("losetup")
                .arg("--detach")
                .arg(&self.device)
                .status(),
        );
    }
}

/// Lets `grub-bios-setup` put the core image on a disk that has `layout` already; gives its first 2 MiB.
fn set_up_by_grub(layout: &Layout, core: &[u8]) -> Vec<u8> {
    let (disk, mounted) = (sparse(SIZE), Mounted::new());
    match layout.table() {
        Table::Gpt => write_gpt(layout, &mut open(disk.path()), None).expect("it is written"),
        Table::Mbr => write_mbr(layout, &mut open(disk.path()), None).expect("it is written"),
    }
    let folder = mounted.folder.path().join("at");
    let put = |name: &str, bytes: &[u8]| {
        use std::io::Write as _;
        fs::File::create(folder.join(name))
            .and_then(|mut file| file.write_all(bytes))
            .expect("a file");
    };
    put("boot.img", &boot_img());
    put("core.img", core);
    put(
        "device.map",
        format!(
            "(hd0) {}\n(hd1) {}\n",
            disk.path().display(),
            mounted.device
        )
        .as_bytes(),
    );
    let (folder, map) = (folder.to_str().expect("a path"), folder.join("device.map"));
    let map = map.to_str().expect("a path");
    let setup = format!("{GRUB}/grub-bios-setup");
    run(
        &setup,
        &[
            "--skip-fs-probe",
            "--no-rs-codes",
            "--directory",
            folder,
            "--device-map",
            map,
            "(hd0)",
        ],
    );
    first_2_mib(disk.path())
}

fn first_2_mib(path: &Path) -> Vec<u8> {
    use std::io::Read as _;
    let mut bytes = vec![0; 2 << 20];
    open(path).read_exact(&mut bytes).expect("a read");
    bytes
}

fn set_up_by_us(layout: &Layout, sector_0: &[u8; 512], boot: &BiosBoot) -> Vec<u8> {
    let disk = sparse(SIZE);
    match layout.table() {
        Table::Gpt => write_gpt(layout, &mut open(disk.path()), None).expect("it is written"),
        Table::Mbr => write_mbr(layout, &mut open(disk.path()), None).expect("it is written"),
    }
    let mut bytes = first_2_mib(disk.path());
    let at = usize::try_from(boot.core_at.get()).expect("it fits");
    bytes[at..at + boot.core.len()].copy_from_slice(&boot.core);
    bytes[..512].copy_from_slice(sector_0);
    bytes
}

fn assert_same(ours: &[u8], grubs: &[u8]) {
    let different: Vec<usize> = (0..ours.len())
        .filter(|at| ours[*at] != grubs[*at])
        .collect();
    assert_eq!(
        different,
        [],
        "these bytes differ from what grub-bios-setup wrote"
    );
}

#[test]
fn root_a_gpt_disk_is_byte_for_byte_what_grub_bios_setup_makes() {
    let folder = TempDir::new().expect("a folder");
    let core = core_img(folder.path(), "(,gpt5)/grub2");
    let layout = layout(SIZE, SectorSize::B512);
    let boot = embed(&core, SectorSize::B512).expect("it fits");
    let sector_0 = protective_mbr(&layout, &boot.boot_code, false).expect("a GPT layout");
    assert_same(
        &set_up_by_us(&layout, &sector_0, &boot),
        &set_up_by_grub(&layout, &core),
    );
}

#[test]
fn root_an_mbr_disk_is_byte_for_byte_what_grub_bios_setup_makes() {
    let folder = TempDir::new().expect("a folder");
    let core = core_img(folder.path(), "(,msdos3)/grub2");
    let layout = mbr_layout();
    let boot = embed_bios(&boot_img(), &core, &layout).expect("it fits");
    let sector_0 = partition::mbr_sector(&layout, &boot.boot_code).expect("an MBR layout");
    assert_same(
        &set_up_by_us(&layout, &sector_0, &boot),
        &set_up_by_grub(&layout, &core),
    );
}
