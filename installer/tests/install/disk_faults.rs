//! Disks that cannot be installed to, and user-data that says nothing: refused, and not a byte of the disk changes.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};

use host::{Host as _, Linux, LoopRequest, Mount};
use installer::check::hold;
use installer::choose::{Limits, Wish, choose};
use installer::code;
use installer::documents::Sources;
use installer::machine::{Disk, image_file, read_machine};
use installer::report::{Finished, Outcome};
use nix::fcntl::{Flock, FlockArg};
use userdata::Wipe;

use crate::lab::{DISK, Lab, MIB, fingerprint, put};
use crate::readers::run;

#[track_caller]
fn assert_refused(finished: &Finished, code: &str, reason: &str) {
    assert_eq!(
        (finished.result, finished.exit, finished.code.as_deref()),
        (Outcome::Refused, 1, Some(code)),
        "{finished:?}"
    );
    let said = finished.reason.as_deref().unwrap_or_default();
    assert!(
        said.contains(reason),
        "{said:?} does not contain {reason:?}"
    );
}

#[test]
fn fault_09_a_disk_that_is_too_small_is_refused_unchanged() {
    let lab = Lab::with_tiny_payload();
    for size in [0, 512, MIB, DISK / 3] {
        File::options()
            .write(true)
            .open(lab.disk())
            .unwrap()
            .set_len(size)
            .unwrap();
        let before = fingerprint(&lab.disk());
        let finished = lab.install(&lab.disk());
        assert_refused(&finished, "LF-D03", "is too small");
        assert_eq!(fingerprint(&lab.disk()), before);
    }
}

#[test]
fn fault_26_a_disk_that_another_program_holds_is_refused_unchanged_and_it_is_named() {
    let lab = Lab::with_tiny_payload();
    let file = File::open(lab.disk()).unwrap();
    let lock = Flock::lock(file, FlockArg::LockSharedNonblock).unwrap();
    let before = fingerprint(&lab.disk());
    let finished = lab.install(&lab.disk());
    assert_refused(
        &finished,
        "LF-D04",
        &format!("locked by another program (process {})", std::process::id()),
    );
    assert_eq!(fingerprint(&lab.disk()), before);
    drop(lock);
}

#[test]
fn a_disk_that_is_not_there_is_refused() {
    let lab = Lab::with_tiny_payload();
    let finished = lab.install(&lab.at("no-disk.img"));
    assert_refused(&finished, "LF-D06", "is not a disk of this machine");
    assert!(!lab.at("no-disk.img").exists(), "it was made");
    // A folder is no image file, and a loop device is never taken for a disk.
    let finished = lab.install(&lab.payload());
    assert_refused(&finished, "LF-D06", "is not a disk of this machine");
}

/// A loop device over an image, as a disk of the machine.
struct Loop {
    disk: Disk,
}

impl Loop {
    fn over(image: &Path, read_only: bool) -> Self {
        let request = LoopRequest {
            file: image.to_owned(),
            offset: 0,
            size: None,
            read_only,
            sector_size: None,
        };
        let path = Linux.attach_loop(&request).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let disk = Disk {
            name,
            path,
            ..image_file(image).unwrap()
        };
        Self { disk }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        drop(Linux.detach_loop(&self.disk.path));
    }
}

#[track_caller]
fn refusal(disk: &Disk) -> String {
    let error = hold(disk).expect_err("the disk is held");
    let trouble = code::find(&error).unwrap_or_else(|| panic!("no code: {error:#}"));
    trouble.code.to_string()
}

#[test]
fn root_fault_24_a_write_protected_disk_is_refused_by_what_the_kernel_says_of_it() {
    let lab = Lab::with_tiny_payload();
    let protected = Loop::over(&lab.disk(), true);
    // Loop devices are never taken for disks, so this one is shown as `sdq`, with its real facts.
    let (sys, dev) = (lab.at("sys"), lab.at("dev"));
    fs::create_dir_all(sys.join("block")).unwrap();
    fs::create_dir_all(&dev).unwrap();
    let facts = Path::new("/sys/block").join(&protected.disk.name);
    symlink(facts, sys.join("block/sdq")).unwrap();
    symlink(&protected.disk.path, dev.join("sdq")).unwrap();
    let machine = read_machine(&sys, &dev).unwrap();
    assert_eq!(machine.disks.len(), 1);
    assert_eq!(machine.disks[0].size, DISK);
    let limits = Limits {
        medium: None,
        wipe: Wipe::Foreign,
        fits: &|_| Ok(()),
    };
    let named = choose(&Wish::Path(dev.join("sdq")), &machine, &limits).unwrap_err();
    assert_eq!(named.code.to_string(), "LF-D05");
    let only = choose(&Wish::Auto, &machine, &limits).unwrap_err();
    assert_eq!(only.code.to_string(), "LF-D01");
    assert!(only.reason.contains("is write-protected"), "{only}");
}

#[test]
fn root_fault_18_a_disk_with_a_mounted_file_system_is_refused() {
    let lab = Lab::with_tiny_payload();
    let used = Loop::over(&lab.disk(), false);
    let argv = host::Argv::new("mkfs.ext4").args(["-q", "-F"]);
    run(&argv.arg(&used.disk.path));
    let at: PathBuf = lab.at("mounted");
    fs::create_dir_all(&at).unwrap();
    Linux
        .mount(&Mount::new(&used.disk.path, &at, "ext4"))
        .unwrap();
    let said = std::panic::catch_unwind(|| refusal(&used.disk));
    Linux.unmount(&at).unwrap();
    assert_eq!(said.unwrap(), "LF-D04");
    // Free again, it can be had; while it is held, a second program does not get it.
    let held = hold(&used.disk).unwrap();
    assert_eq!(refusal(&used.disk), "LF-D04");
    drop(held);
}

#[test]
fn user_data_that_is_missing_or_wrong_is_refused() {
    let lab = Lab::with_tiny_payload();
    let before = fingerprint(&lab.disk());
    let mut request = lab.request(&lab.disk());
    let mut refuse = |files: &[&str], code: &str, reason: &str| {
        request.user_data = Sources::files(files.iter().map(|name| lab.at(name)));
        let finished = installer::install::install(&request, &mut Linux, &mut |_| ());
        assert_refused(&finished, code, reason);
    };
    put(&lab.at("broken"), b"#cloud-config\nstylus:\n  site: [1\n");
    put(&lab.at("empty-password"), b"#cloud-config\nstylus:\n  site:\n    paletteEndpoint: palette.example.com\nstages:\n  initramfs:\n    - users:\n        kairos:\n          passwd: \"\"\n");
    refuse(&[], "LF-U02", "no user-data");
    refuse(&["nowhere"], "LF-U02", "nowhere");
    refuse(&["broken"], "LF-U01", "broken:3:");
    refuse(&["user-data", "broken"], "LF-U01", "broken:3:");
    refuse(&["empty-password"], "LF-U01", "password");
    assert_eq!(fingerprint(&lab.disk()), before);
}

#[test]
fn a_mark_in_the_middle_of_a_disk_changes_its_fingerprint() {
    let lab = Lab::with_tiny_payload();
    let before = fingerprint(&lab.disk());
    let disk = File::options().write(true).open(lab.disk()).unwrap();
    disk.write_all_at(&[1], DISK / 2 + 4096).unwrap();
    assert_ne!(
        fingerprint(&lab.disk()),
        before,
        "the other tests prove nothing"
    );
}
