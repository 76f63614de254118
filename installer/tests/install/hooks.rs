//! The operator's stages around an install and a reset, with the real tools.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use host::{Argv, Linux};
use installer::hooks::Runner;
use installer::install::install;
use installer::machine::image_file;
use installer::plan::reset::Depth;
use installer::recovery::reset;
use installer::report::{Event, Finished, Outcome};
use sysroot::stage::StageReport;

use crate::again::assert_nothing_left;
use crate::lab::{Lab, find, get, put};
use crate::readers::{File, Part, assert_not_bootable, boot_sector, run};

/// Stands in a command, and in what that writes.
const SECRET: &str = "canary-command-77aa01";
/// Stands in a step that is not copied, which puts it into a file.
const NOT_COPIED: &str = "canary-not-copied-19c3";

const USER_DATA: &str = "\
#cloud-config
stylus:
  site:
    paletteEndpoint: palette.example.com
install:
  poweroff: true
  bind_mounts: [/eks-hybrid]
stages:
  before-install:
    - commands:
        - test -d /run/cos/state/lost+found && ! test -e /run/cos/state/cOS
        - cp -a /run/cos/live_mode /run/cos/oem/before
  before-install.after:
    - name: refuses
      commands: [echo canary-command-77aa01; exit 3]
  after-install-chroot:
    - files:
        - {path: /eks-hybrid/inside, content: x}
        - {path: /oem/inside, content: x}
        - {path: /etc/forgotten, content: x}
      users:
        fleeting: {lock_passwd: true}
  after-install:
    - name: skip-copy-key
      commands:
        - echo canary-not-copied-19c3 > /run/cos/oem/not-copied-but-run
        - cmp /run/cos/state/cOS/active.img /run/cos/state/cOS/passive.img
        - touch /run/cos/persistent/outside
  before-reset:
    - commands: [test -e /run/cos/oem/inside && test ! -e /run/cos/persistent && touch /run/cos/oem/before-reset]
  after-reset-chroot:
    - files: [{path: /eks-hybrid/again, content: x}]
  after-reset:
    - commands: [touch /run/cos/persistent/reset]
    - name: refuses
      commands: [\"false\"]
";

fn install_as(lab: &Lab, runner: Runner) -> (Finished, Vec<String>) {
    let request = installer::install::Request {
        runner,
        ..lab.request(&lab.disk())
    };
    let mut notes = Vec::new();
    let finished = install(&request, &mut Linux, &mut |event| {
        if let Event::Note { text } = event {
            notes.push(text.clone());
        }
    });
    (finished, notes)
}

fn files(lab: &Lab, number: u32) -> BTreeMap<String, File> {
    let to = tempfile::tempdir_in(lab.at("")).unwrap();
    Part::of(&lab.disk(), number).files(to.path())
}

fn stages(persistent: &BTreeMap<String, File>) -> Vec<StageReport> {
    let file = &persistent[".state/var-log.bind/landfall/stages.json"];
    assert_eq!(file.mode, 0o600);
    serde_json::from_slice(&file.bytes).unwrap()
}

fn failures(reports: &[StageReport]) -> Vec<(&str, usize)> {
    let counted = reports.iter();
    counted
        .map(|report| (report.stage.as_str(), report.failures().count()))
        .collect()
}

/// What every program but ours may see of the stages when they are over.
fn assert_no_trace(lab: &Lab) {
    for name in ["oem", "state", "persistent", "recovery", "live_mode"] {
        let name = Path::new("/run/cos").join(name);
        assert!(fs::symlink_metadata(&name).is_err(), "{}", name.display());
    }
    assert_nothing_left(&lab.disk());
}

#[test]
fn root_the_stages_around_an_install_and_a_reset_run_where_they_belong() {
    let lab = Lab::new();
    put(&lab.at("user-data"), USER_DATA.as_bytes());
    let (finished, notes) = install_as(&lab, Runner::LiveInstaller);
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert_eq!(boot_sector(&lab.disk())[446], 0x80);
    assert_no_trace(&lab);

    let (oem, persistent) = (files(&lab, 3), files(&lab, 6));
    for name in ["before", "inside", "not-copied-but-run"] {
        assert!(oem.contains_key(name), "{name}: {notes:#?}");
    }
    for name in ["outside", ".state/eks-hybrid.bind/inside"] {
        assert!(persistent.contains_key(name), "{name}: {notes:#?}");
    }
    let reports = stages(&persistent);
    assert_eq!(
        failures(&reports),
        [
            ("before-install", 1),
            ("after-install-chroot", 0),
            ("after-install", 0)
        ],
        "{notes:#?}"
    );
    assert!(
        notes
            .iter()
            .any(|note| note.starts_with("before-install: 1 part failed"))
    );
    let lost = notes
        .iter()
        .find(|note| note.contains("do not stay"))
        .unwrap();
    assert!(
        lost.contains("/etc/forgotten") && lost.contains("/etc/passwd"),
        "{lost}"
    );
    assert!(!notes.concat().contains("canary"), "{notes:#?}");
    // Only root reads it: in the user-data, and in the report of what commands wrote.
    let kept = reports[0].failures().next().unwrap();
    assert_eq!(kept.output.trim(), SECRET);
    assert_eq!(find(&lab.disk(), SECRET).len(), 2);
    assert_eq!(
        oem["not-copied-but-run"].bytes,
        format!("{NOT_COPIED}\n").as_bytes()
    );
    assert_eq!(find(&lab.disk(), NOT_COPIED).len(), 1);
    for number in 3..=6 {
        Part::of(&lab.disk(), number).run("e2fsck", &["-f", "-n"]);
    }
    resets(&lab);
}

fn resets(lab: &Lab) {
    let work = lab.at("work");
    fs::create_dir_all(&work).unwrap();
    let digest = lab.manifest().digest().unwrap().to_string();
    let request = reset::Request {
        depth: Depth::Reset,
        disk: image_file(&lab.disk()).unwrap(),
        media_id: digest[..32].to_owned(),
        live: lab.at("live"),
        work,
        firmware: None,
    };
    let mut notes = Vec::new();
    let finished = reset::reset(&request, &mut Linux, &mut |event| {
        if let Event::Note { text } = event {
            notes.push(text.clone());
        }
    });
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert_no_trace(lab);
    let (oem, persistent) = (files(lab, 3), files(lab, 6));
    assert!(oem.contains_key("before-reset"), "{notes:#?}");
    for name in ["reset", ".state/eks-hybrid.bind/again"] {
        assert!(persistent.contains_key(name), "{name}: {notes:#?}");
    }
    assert!(!persistent.contains_key("outside"), "the data is erased");
    assert_eq!(
        failures(&stages(&persistent)),
        [
            ("before-reset", 0),
            ("after-reset-chroot", 0),
            ("after-reset", 1)
        ],
        "{notes:#?}"
    );
}

#[test]
fn root_on_another_host_no_command_of_an_operator_runs_and_that_is_told() {
    let lab = Lab::with_tiny_payload();
    let marker = lab.at("ran");
    let text = format!(
        "#cloud-config\nstylus: {{site: {{paletteEndpoint: a.example.com}}}}\nstages:\n  before-install:\n    - commands: [touch {0}]\n  after-install:\n    - commands: [touch {0}]\n",
        marker.display()
    );
    put(&lab.at("user-data"), text.as_bytes());
    let (finished, notes) = install_as(&lab, Runner::Host);
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    assert!(!marker.exists());
    assert!(
        notes.iter().any(|note| note.starts_with("before-install, after-install of the user-data: not run")),
        "{notes:?}"
    );
}

#[test]
fn root_a_step_that_asks_for_it_ends_the_install_before_the_system_is_written() {
    let lab = Lab::with_tiny_payload();
    let text = "#cloud-config\nstylus: {site: {paletteEndpoint: a.example.com}}\nstages:\n  before-install:\n    - commands: [echo no uplink > /run/cos/fail_installation]\n";
    put(&lab.at("user-data"), text.as_bytes());
    let (finished, _) = install_as(&lab, Runner::LiveInstaller);
    fs::remove_file("/run/cos/fail_installation").unwrap();
    assert_eq!(
        (
            finished.result,
            finished.code.as_deref(),
            finished.reason.as_deref()
        ),
        (
            Outcome::Failed,
            Some("LF-I07"),
            Some("before-install: no uplink")
        )
    );
    assert_not_bootable(&lab.disk());
    assert!(!files(&lab, 5).contains_key("cOS/active.img"));
    assert_no_trace(&lab);
}

#[test]
fn root_what_a_step_leaves_in_use_fails_the_install_with_its_reason() {
    let lab = Lab::with_tiny_payload();
    let text = "#cloud-config\nstylus: {site: {paletteEndpoint: a.example.com}}\nstages:\n  after-install:\n    - commands: [mkdir /run/cos/persistent/m; mount -t tmpfs left /run/cos/persistent/m]\n";
    put(&lab.at("user-data"), text.as_bytes());
    let (finished, _) = install_as(&lab, Runner::LiveInstaller);
    assert_eq!(
        (finished.result, finished.code.as_deref()),
        (Outcome::Failed, Some("LF-I06")),
        "{finished:?}"
    );
    assert_not_bootable(&lab.disk());
    let persistent = crate::lab::work_folder().join("persistent");
    for at in [persistent.join("m"), persistent.clone()] {
        run(&Argv::new("umount").arg(at));
    }
    fs::remove_dir_all(crate::lab::work_folder()).unwrap();
    let node = run(&Argv::new("losetup")
        .args(["-n", "-O", "NAME", "-j"])
        .arg(lab.disk()));
    for node in node.lines() {
        drop(host::Host::detach_loop(&mut Linux, Path::new(node.trim())));
    }
    assert!(get(&lab.at("user-data")) == text.as_bytes());
}
