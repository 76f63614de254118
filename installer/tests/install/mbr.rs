//! A disk with an MBR, for a BIOS that starts no GPT disk: read back by programs that know nothing of Landfall, reset, and
//! installed again with its data.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use host::{Argv, Host as _, Linux, Mount};
use installer::contents::{Owner, look};
use installer::report::Outcome;
use userdata::{Mode, Wipe};

use crate::door::Failing;
use crate::lab::{Lab, MIB, fingerprint, get, put};
use crate::readers::{Part, boot_sector, run};
use crate::reset::{assert_done, reset_through};

const ROLES: [(u32, &str); 4] = [
    (1, "COS_OEM"),
    (2, "COS_RECOVERY"),
    (3, "COS_STATE"),
    (4, "COS_PERSISTENT"),
];

fn wants_mbr(lab: &Lab) {
    let mut text = String::from_utf8(get(&lab.at("user-data"))).unwrap();
    text.push_str("landfall: {table: mbr}\n");
    put(&lab.at("user-data"), text.as_bytes());
}

/// First byte and length of every partition, as libblkid reads the table.
fn extents(disk: &Path) -> Vec<(u64, u64)> {
    let said = run(&Argv::new("partx")
        .args(["--raw", "--noheadings", "--output", "START,SECTORS,SCHEME"])
        .arg(disk));
    let lines = said.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[2], "dos", "{said}");
        let bytes = |word: &str| word.parse::<u64>().unwrap() * 512;
        (bytes(words[0]), bytes(words[1]))
    });
    lines.collect()
}

fn part(disk: &Path, number: u32) -> Part {
    let (start, size) = extents(disk)[usize::try_from(number).unwrap() - 1];
    Part::at(disk, start, Some(size), None)
}

fn assert_sound(lab: &Lab) {
    let disk = lab.disk();
    let places = extents(&disk);
    assert_eq!(places.len(), 4);
    assert_eq!(places[0].0, MIB);
    for (before, after) in places.iter().zip(&places[1..]) {
        assert_eq!(before.0 + before.1, after.0);
    }
    for (number, label) in ROLES {
        let part = part(&disk, number);
        part.run("e2fsck", &["-f", "-n"]);
        assert_eq!(part.blkid("LABEL"), label);
    }

    let sector = boot_sector(&disk);
    let boot = get(&lab.payload().join("boot/bios-boot.img"));
    assert_eq!(sector[0x80..440], boot[0x80..440]);
    assert_eq!(sector[0x5c..0x64], 1_u64.to_le_bytes(), "the core image");
    let active: Vec<u8> = (0..4).map(|at| sector[446 + at * 16]).collect();
    assert_eq!(active, [0, 0, 0x80, 0]);
    let core = get(&lab.payload().join("boot/bios-core-mbr.img"));
    let mut written = vec![0; core.len()];
    let file = fs::File::open(&disk).unwrap();
    file.read_exact_at(&mut written, 512).unwrap();
    assert!(written[512..] == core[512..], "the core image differs");

    // GRUB's own drivers: MBR and ext4 of the disk.
    for (path, expected) in [
        ("grub2/grub.cfg", get(&lab.payload().join("boot/grub.cfg"))),
        ("cOS/active.img", slot(lab)),
        ("cOS/passive.img", slot(lab)),
    ] {
        let out = lab.at("by-grub");
        run(&Argv::new("grub-fstest")
            .arg(&disk)
            .args(["cp", &format!("(loop0,msdos3)/{path}")])
            .arg(&out));
        assert!(get(&out) == expected, "GRUB reads {path} differently");
    }

    let size = fs::metadata(&disk).unwrap().len();
    let contents = look(&disk, size, 512, &mut Linux);
    assert_eq!(contents.owner, Owner::Ours, "{contents}");
    assert!(contents.to_string().starts_with("Landfall, installed 20"));
}

fn slot(lab: &Lab) -> Vec<u8> {
    let slot = lab.at("slot.img");
    let argv = Argv::new("zstd").args(["-q", "-f", "-d", "-o"]).arg(&slot);
    run(&argv.arg(lab.payload().join("slot.img.zst")));
    get(&slot)
}

/// Leaves a file on the persistent partition.
fn use_it(lab: &Lab) {
    let (start, size) = extents(&lab.disk())[3];
    let request = host::LoopRequest {
        file: lab.disk(),
        offset: start,
        size: Some(size),
        read_only: false,
        sector_size: None,
    };
    let device = Linux.attach_loop(&request).unwrap();
    let at = lab.at("mounted");
    fs::create_dir_all(&at).unwrap();
    Linux.mount(&Mount::new(&device, &at, "ext4")).unwrap();
    put(&at.join("data"), b"of a customer");
    Linux.unmount(&at).unwrap();
    Linux.detach_loop(&device).unwrap();
}

fn data(lab: &Lab) -> Option<Vec<u8>> {
    let to = tempfile::tempdir_in(lab.at("")).unwrap();
    let mut files = part(&lab.disk(), 4).files(to.path());
    files.remove("data").map(|file| file.bytes)
}

#[test]
fn root_a_disk_with_an_mbr_is_what_independent_readers_expect_and_keeps_its_kind() {
    let lab = Lab::new();
    wants_mbr(&lab);
    let finished = lab.install(&lab.disk());
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert_sound(&lab);
    let table = extents(&lab.disk());
    let sector = boot_sector(&lab.disk());

    // Installed again, the data stay, and so does the table, whatever the user-data say of it.
    use_it(&lab);
    let text = String::from_utf8(get(&lab.at("user-data"))).unwrap();
    let text = text.replace("landfall: {table: mbr}\n", "");
    put(&lab.at("user-data"), text.as_bytes());
    let mut request = lab.request(&lab.disk());
    request.mode = Some(Mode::KeepData);
    let finished = installer::install::install(&request, &mut Linux, &mut |_| ());
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert_sound(&lab);
    assert_eq!(data(&lab).as_deref(), Some(b"of a customer".as_slice()));
    assert_eq!(extents(&lab.disk()), table);
    assert_eq!(boot_sector(&lab.disk()), sector);

    let (finished, _) = reset_through(&lab, &mut Linux);
    assert_done(&finished);
    assert_sound(&lab);
    assert_eq!(data(&lab), None);
    assert_eq!(boot_sector(&lab.disk()), sector);
}

#[test]
fn root_a_half_finished_installation_on_an_mbr_is_ours_and_a_medium_does_not_start_it() {
    let lab = Lab::new();
    wants_mbr(&lab);
    let disk = lab.disk();
    let failing = |word: &'static str, mode: Option<Mode>| {
        let mut request = lab.request(&disk);
        request.mode = mode;
        let door = &mut Failing::at(word);
        let finished = installer::install::install(&request, door, &mut |_| ());
        assert_eq!(finished.result, Outcome::Failed, "{word}: {finished:?}");
    };
    // Neither the table nor a label names the partitions yet.
    failing("mke2fs", None);
    let contents = look(&disk, fs::metadata(&disk).unwrap().len(), 512, &mut Linux);
    let words = contents.to_string();
    assert_eq!(
        (contents.owner, words.as_str()),
        (Owner::Ours, "Landfall, an installation that did not finish")
    );
    let mut request = lab.request(&disk);
    request.wipe = Some(Wipe::Ours);
    let finished = installer::install::install(&request, &mut Linux, &mut |_| ());
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");

    // What is the mark of a system for GRUB on a medium goes before anything else is written.
    failing("mke2fs", Some(Mode::KeepData));
    let mut head = vec![1; 1 << 20];
    let file = fs::File::open(&disk).unwrap();
    file.read_exact_at(&mut head, extents(&disk)[2].0).unwrap();
    assert!(head.iter().all(|byte| *byte == 0));
    let contents = look(&disk, fs::metadata(&disk).unwrap().len(), 512, &mut Linux);
    assert_eq!(contents.owner, Owner::Ours, "{contents}");
}

#[test]
fn a_payload_without_grub_for_an_mbr_is_refused_and_no_byte_changes() {
    let lab = Lab::with_tiny_payload();
    wants_mbr(&lab);
    let before = fingerprint(&lab.disk());
    let finished = lab.install(&lab.disk());
    assert_eq!(finished.code.as_deref(), Some("LF-M05"), "{finished:?}");
    assert_eq!(finished.result, Outcome::Refused);
    let reason = finished.reason.unwrap();
    assert!(reason.contains("boot/bios-core-mbr.img"), "{reason}");
    assert_eq!(fingerprint(&lab.disk()), before);
}
