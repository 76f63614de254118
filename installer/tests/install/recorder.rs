//! A plan carried out against a door that only remembers, and that fails at every request in turn.

use std::fs::{self, File};
use std::path::Path;

use host::Recorder;
use installer::apply::{Tools, apply};
use installer::code::{self, Code};
use installer::install::{Prepared, prepare};
use installer::plan::{Plan, Step};
use installer::report::Event;

use crate::door::Remembering;
use crate::lab::{DISK, Lab, put};
use crate::readers::{assert_not_bootable, boot_sector};

/// What became of one run.
struct Attempt {
    result: anyhow::Result<()>,
    door: Remembering,
    /// The steps that were begun.
    steps: Vec<String>,
    /// What was said beside them.
    notes: Vec<String>,
}

fn attempt(lab: &Lab, prepared: &Prepared, recorder: Recorder, broken_clean_up: bool) -> Attempt {
    let path = lab.blank("disk.img");
    let disk = File::options().read(true).write(true).open(&path).unwrap();
    let mut door = Remembering::new(recorder, &lab.at("nodes"));
    door.broken_clean_up = broken_clean_up;
    attempt_on(&disk, door, lab, prepared, |_| ())
}

/// Carries the plan out on `disk`; `at_step` sees the text of every step before it is done.
fn attempt_on(
    disk: &File,
    mut door: Remembering,
    lab: &Lab,
    prepared: &Prepared,
    at_step: impl Fn(&str),
) -> Attempt {
    let work = lab.at("work");
    fs::create_dir_all(&work).unwrap();
    let (mut steps, mut notes) = (Vec::new(), Vec::new());
    let tools = Tools {
        host: &mut door,
        payload: &prepared.payload,
        work: &work,
        disk,
    };
    let mut at_event = |event: &Event| match event {
        Event::Step {
            index, of, text, ..
        } => {
            at_step(text);
            steps.push(format!("{index}/{of} {text}"));
        }
        Event::Note { text } => notes.push(text.clone()),
        _ => {}
    };
    let log = || vec![("install.log".to_owned(), b"a line\n".to_vec())];
    let result = apply(&prepared.plan, tools, &mut at_event, &log);
    // Nothing is really mounted: what was written lies in ordinary folders.
    fs::remove_dir_all(&work).unwrap();
    Attempt {
        result,
        door,
        steps,
        notes,
    }
}

fn prepared(lab: &Lab) -> Prepared {
    prepare(&lab.request(&lab.disk()), &mut Recorder::default()).unwrap()
}

/// A request without what differs from run to run.
fn plain(call: &str, lab: &Lab, plan: &Plan) -> String {
    let mut text = call.replace(&lab.at("").display().to_string(), "");
    for (number, step) in plan.steps.iter().enumerate() {
        if let Step::MakeFilesystem { uuid, .. } = step {
            let volume_id = format!("{:08x}", uuid.as_fields().0);
            text = text
                .replace(&uuid.to_string(), &format!("<uuid of step {}>", number + 1))
                .replace(&volume_id, &format!("<id of step {}>", number + 1));
        }
    }
    text
}

#[test]
fn a_run_asks_for_what_the_plan_says_in_its_order_and_the_boot_file_gets_its_name_last() {
    let lab = Lab::with_tiny_payload();
    let prepared = prepared(&lab);
    let Attempt {
        result,
        door,
        steps,
        notes,
    } = attempt(&lab, &prepared, Recorder::default(), false);
    result.unwrap();
    assert!(notes.is_empty(), "{notes:?}");

    let of = prepared.plan.steps.len();
    let planned: Vec<String> = (1..)
        .zip(&prepared.plan.steps)
        .map(|(index, step)| format!("{index}/{of} {step}"))
        .collect();
    assert_eq!(steps, planned);
    assert!(matches!(
        prepared.plan.steps.last(),
        Some(Step::MakeBootable { .. })
    ));
    let calls: Vec<String> = door
        .recorder
        .calls
        .iter()
        .map(|call| plain(call, &lab, &prepared.plan))
        .collect();
    insta::assert_snapshot!(calls.join("\n"));
    assert!(door.recorder.mounted.is_empty() && door.recorder.loops.is_empty());

    // Boot code and the active flag, as the rules say, and only now.
    let sector = boot_sector(&lab.disk());
    assert!(sector[..64].iter().any(|byte| *byte != 0));
    assert_eq!((sector[446], sector[450]), (0x80, 0xee));
}

#[test]
fn whatever_request_fails_everything_is_undone_and_the_disk_does_not_boot() {
    let lab = Lab::with_tiny_payload();
    let prepared = prepared(&lab);
    let whole = attempt(&lab, &prepared, Recorder::default(), false);
    let calls = whole.door.recorder.calls;
    assert!(calls.len() > 30, "{calls:#?}");
    let named = calls.iter().position(|call| call.contains("mren"));
    let named = named.expect("the boot file gets its name");
    for (n, call) in calls.iter().enumerate().take(named + 1) {
        let Attempt { result, door, .. } = attempt(&lab, &prepared, Recorder::failing_at(n), false);
        let error = result.expect_err(call);
        let trouble = code::find(&error).unwrap_or_else(|| panic!("{call}: no code: {error:#}"));
        let wanted = if call.contains("mount ") {
            Code::MountFailed
        } else {
            Code::ProgramFailed
        };
        assert_eq!(trouble.code, wanted, "{call}");
        let reason = format!("told to fail at request {n}");
        assert!(trouble.reason.ends_with(&reason), "{call}: {trouble}");
        assert_undone(&door.recorder, call);
        assert_not_bootable(&lab.disk());
    }
    // Behind it the disk boots, and there is nothing left to do but to give its loop device back: a pity if that fails,
    // but no failed install.
    assert_eq!(calls.len() - named, 2, "{calls:#?}");
    let last = Recorder::failing_at(named + 1);
    let Attempt { result, notes, .. } = attempt(&lab, &prepared, last, false);
    result.unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("told to fail"), "{notes:?}");
    assert_eq!(boot_sector(&lab.disk())[446], 0x80);
}

#[test]
fn a_boot_sector_that_cannot_be_written_takes_the_boot_file_its_name_again() {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let lab = Lab::with_tiny_payload();
    let prepared = prepared(&lab);
    // A disk in memory can be sealed: from one step to the next it takes no more writes.
    let disk = File::from(memfd_create("disk", MFdFlags::MFD_ALLOW_SEALING).unwrap());
    disk.set_len(DISK).unwrap();
    let door = Remembering::new(Recorder::default(), &lab.at("nodes"));
    let Attempt { result, door, .. } = attempt_on(&disk, door, &lab, &prepared, |step| {
        if step.contains("bootable") {
            fcntl(&disk, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).unwrap();
        }
    });
    let error = result.unwrap_err();
    assert_eq!(code::find(&error).unwrap().code, Code::WriteFailed);
    let renamed: Vec<&String> = door
        .recorder
        .calls
        .iter()
        .filter(|call| call.contains("mren"))
        .collect();
    assert_eq!(renamed.len(), 2, "{renamed:?}");
    assert!(renamed[0].ends_with("BOOTX64.NEW ::/EFI/BOOT/BOOTX64.EFI"));
    assert!(renamed[1].ends_with("BOOTX64.EFI ::/EFI/BOOT/BOOTX64.NEW"));
    assert_undone(&door.recorder, "the boot sector");
}

#[test]
fn a_log_that_cannot_be_kept_is_told_and_fails_no_install() {
    let lab = Lab::with_tiny_payload();
    let prepared = prepared(&lab);
    let disk = File::options()
        .read(true)
        .write(true)
        .open(lab.disk())
        .unwrap();
    let door = Remembering::new(Recorder::default(), &lab.at("nodes"));
    let Attempt { result, notes, .. } = attempt_on(&disk, door, &lab, &prepared, |step| {
        if step.contains("keep the log") {
            // A file where the folder should be.
            put(&lab.at("work/persistent/.state"), b"");
        }
    });
    result.unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("the log is not kept"), "{notes:?}");
    assert_eq!(boot_sector(&lab.disk())[446], 0x80);
}

/// Nothing is left but what could not be undone because that very request failed.
fn assert_undone(recorder: &Recorder, failed: &str) {
    let excused = |left: &Path| failed.ends_with(&left.display().to_string());
    let mounted = &recorder.mounted;
    assert!(
        mounted.iter().all(|at| excused(at)),
        "{failed}: {mounted:?}"
    );
    let loops = &recorder.loops;
    assert!(
        loops.iter().all(|node| excused(node)),
        "{failed}: {loops:?}"
    );

    // The last mount is the first to go.
    let (mut made, mut undone) = (Vec::new(), Vec::new());
    for (index, call) in recorder.calls.iter().enumerate() {
        let point = |rest: &'_ str| rest.split(' ').next().unwrap_or_default().to_owned();
        if let Some(at) = call.strip_prefix("unmount ") {
            undone.push(point(at));
        } else if let Some((_, rest)) = call.split_once(" on ")
            && recorder.fail_at != Some(index)
        {
            made.push(point(rest));
        }
    }
    made.reverse();
    assert_eq!(undone, made, "{failed}");
}

#[test]
fn the_first_error_stays_the_first_when_cleaning_up_fails_too() {
    let lab = Lab::with_tiny_payload();
    let prepared = prepared(&lab);
    let calls = attempt(&lab, &prepared, Recorder::default(), false)
        .door
        .recorder
        .calls;
    for word in ["run mk", "mount ", "run mcopy"] {
        let n = calls
            .iter()
            .rposition(|call| call.starts_with(word))
            .unwrap();
        let Attempt { result, door, .. } = attempt(&lab, &prepared, Recorder::failing_at(n), true);
        let error = result.unwrap_err();
        let reason = &code::find(&error).unwrap().reason;
        assert!(
            reason.ends_with(&format!("told to fail at request {n}")),
            "{word}: {reason}"
        );
        let whole = format!("{error:#}");
        assert!(
            whole.contains("and while undoing: LF-I0")
                && whole.contains("told to fail at cleaning"),
            "{whole}"
        );
        // It went on past every failure: all that was there was asked to go.
        assert!(door.recorder.mounted.is_empty() && door.recorder.loops.is_empty());
        assert_not_bootable(&lab.disk());
    }
}
