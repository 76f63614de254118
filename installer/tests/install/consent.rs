//! Disks that hold something: what is said of them, that a refusal changes no byte, and that after leave was given
//! nothing of it is found again.
//!
//! What is there was made by the programs that make it, where they run without the device mapper and without MD in the
//! kernel; the rest is written as its format says.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use host::{Argv, Linux};
use installer::contents::{Contents, Owner, look};
use installer::report::{Finished, Outcome};
use userdata::Wipe;

use crate::foreign::{Case, FOREIGN, Loop, mark, tool, volume_group};
use crate::lab::{DISK, Lab, MIB, fingerprint, put};
use crate::readers::{Part, run};

fn blank(path: &Path) {
    File::create(path).unwrap().set_len(DISK).unwrap();
}

fn seen(disk: &Path) -> Contents {
    look(disk, fs::metadata(disk).unwrap().len(), 512, &mut Linux)
}

fn install(lab: &Lab, disk: &Path, wipe: Option<Wipe>) -> Finished {
    let mut request = lab.request(disk);
    request.wipe = wipe;
    installer::install::install(&request, &mut Linux, &mut |_| ())
}

#[track_caller]
fn assert_refused(finished: &Finished, code: &str) {
    let found = (finished.result, finished.exit, finished.code.as_deref());
    assert_eq!(found, (Outcome::Refused, 1, Some(code)), "{finished:?}");
}

/// What `wipefs` (libblkid, every signature it knows) finds on the disk, and what `blkid` finds on each partition.
fn assert_only_ours(disk: &Path, was: &str) {
    let said = run(&Argv::new("wipefs")
        .args(["--no-act", "--noheadings", "--output", "TYPE"])
        .arg(disk));
    let mut kinds: Vec<&str> = said.split_whitespace().collect();
    kinds.dedup();
    assert_eq!(kinds, ["gpt", "PMBR"], "{was}");
    for (number, kind) in [
        (1, ""),
        (2, "vfat"),
        (3, "ext4"),
        (4, "ext4"),
        (5, "ext4"),
        (6, "ext4"),
    ] {
        let args = ["--no-act", "--noheadings", "--output", "TYPE"];
        let said = Part::of(disk, number).run("wipefs", &args);
        let mut kinds: Vec<&str> = said.split_whitespace().collect();
        kinds.dedup();
        assert_eq!(kinds.join(" "), kind, "{was}: partition {number}");
    }
}

#[test]
fn root_fault_18_a_disk_that_holds_something_is_refused_without_leave_and_no_byte_changes() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    for (was, make, words) in FOREIGN {
        blank(&disk);
        make(&disk);
        let contents = seen(&disk);
        assert_eq!(contents.owner, Owner::Foreign, "{was}: {contents}");
        assert!(contents.to_string().contains(words), "{was}: {contents}");
        let before = fingerprint(&disk);
        for wipe in [None, Some(Wipe::Never), Some(Wipe::Ours)] {
            let finished = install(&lab, &disk, wipe);
            assert_refused(&finished, "LF-D09");
            let reason = finished.reason.unwrap_or_default();
            assert!(
                reason.contains(words) && reason.contains("`landfall.wipe: foreign`"),
                "{reason}"
            );
        }
        assert_eq!(fingerprint(&disk), before, "{was}: a refusal wrote");
    }
}

#[test]
fn root_fault_19_with_leave_nothing_of_the_old_content_is_found_and_a_neighbour_keeps_every_byte() {
    assert_erased(FOREIGN.iter().step_by(2));
}

#[test]
fn root_fault_19_nor_of_the_other_half_of_them() {
    assert_erased(FOREIGN.iter().skip(1).step_by(2));
}

fn assert_erased<'a>(cases: impl Iterator<Item = &'a Case>) {
    let lab = Lab::with_tiny_payload();
    let (disk, neighbour) = (lab.disk(), lab.at("neighbour.img"));
    for (was, make, _) in cases {
        for image in [&disk, &neighbour] {
            blank(image);
            make(image);
        }
        let before = fingerprint(&neighbour);
        let finished = install(&lab, &disk, Some(Wipe::Foreign));
        assert_eq!(finished.result, Outcome::Installed, "{was}: {finished:?}");
        assert_only_ours(&disk, was);
        assert_eq!(
            fingerprint(&neighbour),
            before,
            "{was}: another disk was written"
        );
        // The next run takes it for its own.
        let contents = seen(&disk);
        assert_eq!(contents.owner, Owner::Ours, "{was}: {contents}");
    }
}

/// Old partitions that begin where no partition of ours does, one with a signature at its start and at its end.
#[test]
fn root_fault_19_signatures_in_old_partitions_are_erased_wherever_these_lie() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    blank(&disk);
    tool(
        &disk,
        "sgdisk",
        &["--new=1:1234MiB:+300M", "--new=2:1777MiB:+300M"],
    );
    for (start, size) in [(1234 * MIB, 300 * MIB), (1777 * MIB, 300 * MIB)] {
        let part = Loop::over(&disk, start, Some(size));
        tool(&part.0, "mkfs.xfs", &["-q", "-f"]);
        drop(part);
        mark(&disk, start + size - 4096, b"a signature of a vendor");
    }
    assert!(seen(&disk).to_string().contains("xfs"), "{}", seen(&disk));
    let finished = install(&lab, &disk, Some(Wipe::Foreign));
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    let file = File::open(&disk).unwrap();
    for start in [1234 * MIB, 1777 * MIB] {
        for at in [start, start + 300 * MIB - 4096] {
            let mut bytes = [0; 64];
            file.read_exact_at(&mut bytes, at).unwrap();
            assert!(
                !bytes.starts_with(b"XFSB") && !bytes.starts_with(b"a sig"),
                "{at}"
            );
        }
    }
}

#[test]
fn root_an_installation_of_ours_is_erased_by_default_and_kept_when_nothing_may_be() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    blank(&disk);
    // A blank disk needs no leave.
    let finished = install(&lab, &disk, Some(Wipe::Never));
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    let contents = seen(&disk);
    assert_eq!(contents.owner, Owner::Ours);
    let words = contents.to_string();
    assert!(
        words.starts_with("Landfall, installed 20")
            && words.len() == "Landfall, installed 2026-11-20".len(),
        "{words}"
    );

    let before = fingerprint(&disk);
    assert_refused(&install(&lab, &disk, Some(Wipe::Never)), "LF-D09");
    assert_eq!(fingerprint(&disk), before);
    assert_eq!(install(&lab, &disk, None).result, Outcome::Installed);
}

#[test]
fn root_a_half_finished_installation_is_ours_wherever_it_stopped() {
    use crate::door::Failing;
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    blank(&disk);
    for word in ["attach", "mkfs.vfat", "/state (ext4", "BOOTX64.NEW", "mren"] {
        let mut request = lab.request(&disk);
        request.wipe = None;
        let finished = installer::install::install(&request, &mut Failing::at(word), &mut |_| ());
        assert_eq!(finished.result, Outcome::Failed, "{word}: {finished:?}");
        let contents = seen(&disk);
        assert_eq!(contents.owner, Owner::Ours, "{word}: {contents}");
        assert_eq!(
            contents.to_string(),
            "Landfall, an installation that did not finish"
        );
    }
    // Between the wipe of the first bytes and that of the last only the second copy of the table is left.
    mark(&disk, 0, &vec![0; 1 << 20]);
    let contents = seen(&disk);
    assert_eq!(
        (contents.owner, contents.words.len()),
        (Owner::Ours, 1),
        "{contents}"
    );
    assert_eq!(install(&lab, &disk, None).result, Outcome::Installed);
}

#[test]
fn root_fault_41_a_disk_that_changes_between_choice_and_lock_is_refused_unchanged() {
    use host::{LoopRequest, Mount, Output};

    /// The real machine; right after the last look at the disk, somebody else changes it.
    struct Meddling<'a> {
        looks: usize,
        meddle: &'a dyn Fn(),
    }
    impl host::Host for Meddling<'_> {
        fn run(&mut self, argv: &Argv) -> anyhow::Result<Output> {
            let said = Linux.run(argv);
            if argv.program == "blkid" {
                self.looks += 1;
                if self.looks == 1 {
                    (self.meddle)();
                }
            }
            said
        }
        fn mount(&mut self, mount: &Mount) -> anyhow::Result<()> {
            Linux.mount(mount)
        }
        fn unmount(&mut self, at: &Path) -> anyhow::Result<()> {
            Linux.unmount(at)
        }
        fn attach_loop(&mut self, request: &LoopRequest) -> anyhow::Result<PathBuf> {
            Linux.attach_loop(request)
        }
        fn detach_loop(&mut self, device: &Path) -> anyhow::Result<()> {
            Linux.detach_loop(device)
        }
    }

    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    let formatted = || volume_group(&disk);
    let grown = || {
        File::options()
            .write(true)
            .open(&disk)
            .unwrap()
            .set_len(DISK + MIB)
            .unwrap();
    };
    let replaced = || {
        blank(&lab.at("another.img"));
        tool(&lab.at("another.img"), "mkfs.ext4", &["-q", "-F"]);
        fs::rename(lab.at("another.img"), &disk).unwrap();
    };
    let ways: [(&dyn Fn(), &str); 3] =
        [(&formatted, "LVM"), (&grown, "it is"), (&replaced, "ext4")];
    for (meddle, says) in ways {
        blank(&disk);
        let mut request = lab.request(&disk);
        request.wipe = None;
        let mut door = Meddling { looks: 0, meddle };
        let finished = installer::install::install(&request, &mut door, &mut |_| ());
        assert_refused(&finished, "LF-D12");
        let reason = finished.reason.unwrap_or_default();
        assert!(reason.contains(says), "{reason}");
        fs::remove_file(&disk).unwrap();
    }
}

#[test]
fn a_plan_says_what_is_destroyed_in_words_and_in_json() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    blank(&disk);
    tool(&disk, "mkswap", &["-q", "-L", "page"]);
    let prepared = installer::install::prepare(&lab.request(&disk), &mut Linux).unwrap();
    let words = "Linux swap \"page\" 3.0 GiB";
    assert!(
        prepared.plan.to_string().contains(words),
        "{}",
        prepared.plan
    );
    let json = serde_json::to_value(&prepared.plan).unwrap();
    assert!(
        json["destroys"].as_str().unwrap().ends_with(words),
        "{}",
        json["destroys"]
    );
    assert_eq!(json["disk"]["contents"]["owner"], "foreign");
    assert_eq!(json["disk"]["contents"]["words"][0], words);
}

#[test]
fn leave_in_the_user_data_counts_and_the_command_line_wins_over_it() {
    let lab = Lab::with_tiny_payload();
    let disk = lab.disk();
    blank(&disk);
    tool(&disk, "mkswap", &["-q"]);
    let mut text = String::from_utf8(fs::read(lab.at("user-data")).unwrap()).unwrap();
    text.push_str("landfall: {wipe: foreign}\n");
    put(&lab.at("user-data"), text.as_bytes());
    let mut request = lab.request(&disk);
    for (wipe, allowed) in [
        (None, true),
        (Some(Wipe::Never), false),
        (Some(Wipe::Ours), false),
    ] {
        request.wipe = wipe;
        let said = installer::install::prepare(&request, &mut Linux);
        assert_eq!(said.is_ok(), allowed, "{wipe:?}");
    }
}
