//! Real tools on a small root: what they made is read back by others.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::{Argv, Host as _, Linux};
use image::manifest::SLOT_NAME;
use image::{Footer, Manifest, read_footer};

use super::*;

const EPOCH: u64 = 1_700_000_000;
const USER_DATA: &str = "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: api.example.com\n    edgeHostToken: token\n";

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().write_all(bytes).unwrap();
}

fn get(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn run(argv: &Argv) -> String {
    Linux
        .run(argv)
        .unwrap_or_else(|error| panic!("{argv}: {error}"))
        .stdout
}

/// A root with what a payload needs; only GRUB's modules for BIOS are real.
fn make_root(root: &Path) {
    let mut kernel = vec![0; 0x1000];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
    kernel[0x500..0x50f].copy_from_slice(b"6.1.0-test (x) ");
    put(&root.join("boot/vmlinuz-6.1.0-test"), &kernel);
    symlink("vmlinuz-6.1.0-test", root.join("boot/vmlinuz")).unwrap();
    put(&root.join("boot/initrd"), b"an initrd, 25 bytes long.");
    put(&root.join("usr/lib/modules/6.1.0-test/modules.dep"), b"");
    symlink("usr/lib", root.join("lib")).unwrap();
    put(
        &root.join("etc/cos/bootargs.cfg"),
        b"set kernel=/boot/vmlinuz\n",
    );
    put(&root.join("etc/cos/grub.cfg"), b"set timeout=5\n");
    put(&root.join("etc/machine-id"), b"");
    put(&root.join("usr/bin/program"), &vec![b'x'; 100_000]);
    fs::hard_link(root.join("usr/bin/program"), root.join("usr/bin/twin")).unwrap();
    put(&root.join("usr/lib/shim/shimx64.efi.signed"), b"shim");
    put(&root.join("usr/lib/shim/mmx64.efi.signed"), b"mm");
    put(
        &root.join("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"),
        b"grub",
    );
    let modules = root.join("usr/lib/grub/i386-pc");
    fs::create_dir_all(&modules).unwrap();
    let grub = fs::read_dir("/usr/lib/grub/i386-pc")
        .expect("needed for this test: apt-get install grub-pc-bin");
    for file in grub
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
    {
        fs::copy(&file, modules.join(file.file_name().unwrap())).unwrap();
    }
}

fn payload_of(root: &Path, out: &Path) -> Manifest {
    let options = PayloadOptions {
        root: root.to_owned(),
        out: out.to_owned(),
        version: "1".to_owned(),
        build: "test".to_owned(),
        epoch: EPOCH,
        level: 1,
    };
    build_payload(&options, &mut Linux, &mut |_| ()).unwrap()
}

fn iso_of(payload: &Path, user_data: &Path, out: &Path) -> anyhow::Result<Iso> {
    let options = IsoOptions {
        payload: payload.to_owned(),
        user_data: user_data.to_owned(),
        partial: false,
        authorities: Vec::new(),
        out: out.to_owned(),
        version: "1".to_owned(),
        epoch: EPOCH,
    };
    build_iso(&options, &mut Linux, &mut |_| ())
}

/// Every file below a folder with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            found.insert(path.strip_prefix(folder).unwrap().to_owned(), get(&path));
        }
    }
    found
}

fn unpack_slot(payload: &Path, to: &Path) -> (Footer, PathBuf, PathBuf) {
    let slot = to.join("slot.img");
    run(&Argv::new("zstd")
        .args(["-q", "-d", "-o"])
        .arg(&slot)
        .arg(payload.join(SLOT_NAME)));
    let footer = read_footer(&mut File::open(&slot).unwrap()).unwrap();
    let bytes = get(&slot);
    let cut = |name: &str, offset: u64, length: u64| {
        let range = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
        put(&to.join(name), &bytes[range]);
        to.join(name)
    };
    let head = cut("head", footer.head.offset, footer.head.length);
    let root = cut("root.erofs", footer.root.offset, footer.root.length);
    (footer, head, root)
}

#[test]
fn the_same_root_and_user_data_give_the_same_payload_and_iso_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    put(&at("user-data"), USER_DATA.as_bytes());
    for (root, payload, iso) in [
        ("root1", "payload1", "iso1/x.iso"),
        ("root2", "payload2", "iso2/x.iso"),
    ] {
        make_root(&at(root));
        payload_of(&at(root), &at(payload));
        iso_of(&at(payload), &at("user-data"), &at(iso)).unwrap();
        // Times have a resolution of two seconds on FAT.
        std::thread::sleep(Duration::from_millis(2100));
    }
    let (first, second) = (contents(&at("payload1")), contents(&at("payload2")));
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        second.keys().collect::<Vec<_>>()
    );
    for (path, bytes) in &first {
        assert!(bytes == &second[path], "{}", path.display());
    }
    assert!(
        get(&at("iso1/x.iso")) == get(&at("iso2/x.iso")),
        "the ISOs differ"
    );
    run(&Argv::new("sha256sum")
        .args(["--check", "--strict", "x.iso.sha256"])
        .directory(at("iso1")));
}

#[test]
fn other_tools_read_the_parts_of_the_slot_image() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    make_root(&at("root"));
    let manifest = payload_of(&at("root"), &at("payload"));
    assert_eq!(Manifest::read(&at("payload")).unwrap(), manifest);
    let (footer, head, erofs) = unpack_slot(&at("payload"), folder.path());
    assert_eq!(
        (footer.image_id, footer.kernel_version.as_str()),
        (manifest.image_id, "6.1.0-test")
    );

    run(&Argv::new("e2fsck").args(["-f", "-n"]).arg(&head));
    let facts = run(&Argv::new("dumpe2fs").arg("-h").arg(&head));
    assert!(
        facts.contains("Filesystem volume name:   COS_ACTIVE"),
        "{facts}"
    );
    assert!(facts.contains("Block size:               4096"), "{facts}");
    for feature in [
        "has_journal",
        "metadata_csum",
        "orphan_file",
        "64bit",
        "inline_data",
        "flex_bg",
    ] {
        assert!(!facts.contains(feature), "{feature}");
    }
    let initrd = run(&Argv::new("debugfs")
        .args(["-R", "cat /boot/initrd"])
        .arg(&head));
    assert!(
        initrd.starts_with("an initrd, 25 bytes long.\0\0\x00070701"),
        "{initrd:?}"
    );
    assert!(initrd.contains(&format!("{}\n", manifest.image_id)));

    run(&Argv::new("fsck.erofs")
        .arg(format!("--extract={}", at("out").display()))
        .arg(&erofs));
    assert_eq!(get(&at("out/usr/bin/twin")), vec![b'x'; 100_000]);
    assert_eq!(
        fs::read_dir(at("out/boot")).unwrap().count(),
        0,
        "kernel and initrd are in the head only"
    );
}

#[test]
fn the_iso_has_the_tree_of_the_interface_and_can_be_read_as_disk_and_cd() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    make_root(&at("root"));
    payload_of(&at("root"), &at("payload"));
    put(&at("user-data"), USER_DATA.as_bytes());
    let iso = iso_of(&at("payload"), &at("user-data"), &at("x.iso")).unwrap();
    let grub_cfg = |iso: &Path, to: &Path| {
        let argv = Argv::new("xorriso").args(["-osirrox", "on", "-indev"]);
        run(&argv
            .arg(iso)
            .args(["-extract", "/boot/grub/grub.cfg"])
            .arg(to));
        String::from_utf8(get(to)).unwrap()
    };
    assert!(grub_cfg(&iso.path, &at("menu")).contains("set nonce=\"\"\n"));
    let renewed = format!("{USER_DATA}landfall: {{nonce: summer-2.1}}\n");
    put(&at("renewed"), renewed.as_bytes());
    let other = iso_of(&at("payload"), &at("renewed"), &at("y.iso")).unwrap();
    let menu = grub_cfg(&other.path, &at("renewed-menu"));
    assert!(menu.contains("set nonce=\"summer-2.1\"\n"), "{menu}");
    run(&Argv::new("xorriso")
        .args(["-osirrox", "on", "-indev"])
        .arg(&iso.path)
        .args(["-extract", "/"])
        .arg(at("tree")));
    let (payload, on_medium) = (
        contents(&at("payload")),
        contents(&at("tree/landfall/payload")),
    );
    assert!(
        payload == on_medium,
        "the payload of the ISO is byte for byte the folder"
    );
    assert_eq!(get(&at("tree/files-iso/config.yaml")), USER_DATA.as_bytes());
    assert_eq!(
        get(&at("tree/boot/kernel")),
        get(&at("payload/boot/vmlinuz"))
    );
    assert_eq!(
        get(&at("tree/boot/initrd")),
        get(&at("payload/boot/initrd"))
    );
    let media = format!(
        r#"{{"format":1,"media_id":"{}","created":"2023-11-14T22:13:20Z","version":"1"}}"#,
        iso.media_id
    );
    assert_eq!(
        String::from_utf8(get(&at("tree/landfall/media.json"))).unwrap(),
        media + "\n"
    );
    assert!(
        at("tree")
            .join(format!("landfall/{}.id", iso.media_id))
            .is_file()
    );

    let mut start = vec![0; 0x8040];
    File::open(&iso.path)
        .unwrap()
        .read_exact(&mut start)
        .unwrap();
    assert_eq!(&start[0x8028..0x8031], b"COS_LIVE ");
    assert_eq!(
        &start[510..512],
        [0x55, 0xAA],
        "a boot sector for a USB stick"
    );
    assert_eq!(&start[512..520], b"EFI PART", "a GPT for UEFI");
    let boots = run(&Argv::new("xorriso")
        .arg("-indev")
        .arg(&iso.path)
        .args(["-report_el_torito", "plain"]));
    assert_eq!(
        boots
            .lines()
            .filter(|line| line.starts_with("El Torito boot img"))
            .count(),
        2,
        "{boots}"
    );
    assert!(
        boots.contains("BIOS  y") && boots.contains("UEFI  y"),
        "{boots}"
    );
}

#[test]
fn a_medium_that_could_not_install_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    make_root(&at("root"));
    payload_of(&at("root"), &at("payload"));
    put(&at("user-data"), b"#cloud-config\nstylus: [1\n");
    let error = format!(
        "{:#}",
        iso_of(&at("payload"), &at("user-data"), &at("x.iso")).unwrap_err()
    );
    assert!(
        error.starts_with("the user-data is not valid: LF-U01: "),
        "{error}"
    );

    put(&at("user-data"), USER_DATA.as_bytes());
    let slot = at("payload").join(SLOT_NAME);
    let mut bytes = get(&slot);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    put(&slot, &bytes);
    let error = format!(
        "{:#}",
        iso_of(&at("payload"), &at("user-data"), &at("x.iso")).unwrap_err()
    );
    assert!(
        error.starts_with("chunk ") && error.contains("of slot.img.zst is damaged"),
        "{error}"
    );
    assert!(!at("x.iso").exists());
}

#[test]
fn a_root_that_is_refused_leaves_no_payload_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    make_root(&root);
    put(
        &root.join("etc/machine-id"),
        b"0123456789abcdef0123456789abcdef\n",
    );
    let out = folder.path().join("payload");
    let options = PayloadOptions {
        root,
        out: out.clone(),
        version: String::new(),
        build: String::new(),
        epoch: 0,
        level: 1,
    };
    let error = build_payload(&options, &mut Linux, &mut |_| ())
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("remove /etc/machine-id"), "{error}");
    assert!(!out.exists());
}
