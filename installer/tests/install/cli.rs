//! The binary as scripts see it: exit codes, descriptors, and what stands on which stream.

use std::path::Path;
use std::process::{Command, Output};

use image::manifest::SLOT_NAME;
use serde_json::Value;

use crate::lab::{Lab, fingerprint, flip_bit, get};
use crate::readers::assert_not_bootable;

const LANDFALL: &str = env!("CARGO_BIN_EXE_landfall");

#[expect(
    clippy::disallowed_methods,
    reason = "the exit code of the program is what is tested"
)]
fn command(program: &str) -> Command {
    Command::new(program)
}

pub(crate) fn landfall(args: &[&str]) -> Output {
    command(LANDFALL).args(args).output().unwrap()
}

/// Runs it with `more` of the shell's redirections.
fn in_shell(redirections: &str, args: &[&str], folder: &Path) -> Output {
    command("sh")
        .current_dir(folder)
        .arg("-c")
        .arg(format!("exec \"$@\" {redirections}"))
        .args(["sh", LANDFALL])
        .args(args)
        .output()
        .unwrap()
}

#[track_caller]
pub(crate) fn assert_exit(output: &Output, code: i32) {
    let (said, complained) = (stdout(output), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}\n{complained}");
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn fixture(name: &str) -> String {
    format!(
        "{}/tests/fixtures/user-data/{name}.yaml",
        env!("CARGO_MANIFEST_DIR")
    )
}

#[test]
fn help_and_version_are_no_mistakes_and_wrong_arguments_are() {
    for args in [&["--version"][..], &["--help"], &["install", "--help"]] {
        let output = landfall(args);
        assert_exit(&output, 0);
        assert!(
            !output.stdout.is_empty() && output.stderr.is_empty(),
            "{args:?}"
        );
    }
    for args in [
        &[][..],
        &["no-such-command"],
        &["install"],
        &["install", "--disk", "x", "--no-such-option"],
        &["install", "--disk", "x", "--events", "three"],
        &["install", "--disk", "x", "--medium"],
        &["plan", "--user-data", "x"],
        &["validate"],
        &["validate", "--profile", "no-such-profile", "x"],
    ] {
        let output = landfall(args);
        assert_exit(&output, 2);
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn the_eks_document_is_valid_also_for_its_profile() {
    let file = fixture("eks-hybrid");
    assert_exit(&landfall(&["validate", &file]), 0);
    assert_exit(
        &landfall(&["validate", "--profile", "eks-hybrid", &file]),
        0,
    );
    // A document that lacks the profile's lists is valid by itself and not for the profile.
    let other = fixture("poweroff");
    assert_exit(&landfall(&["validate", &other]), 0);
    let output = landfall(&["validate", "--profile", "eks-hybrid", &other]);
    assert_exit(&output, 1);
    assert!(
        stdout(&output).contains("/eks-hybrid"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_key_with_the_wrong_indentation_is_refused_at_its_line() {
    let file = fixture("reboot-misplaced");
    let line = 1 + std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .position(|line| line.contains("reboot: false"))
        .unwrap();
    let output = landfall(&["validate", &file]);
    assert_exit(&output, 1);
    let said = stdout(&output);
    assert!(
        said.contains(&format!("reboot-misplaced.yaml:{line}:4: error")),
        "{said}"
    );
    assert!(said.contains("`install:`"), "{said}");
    assert!(!said.contains("exampleToken"), "{said}");

    let output = landfall(&["validate", "--format", "json", &file]);
    assert_exit(&output, 1);
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let errors: Vec<&Value> = findings
        .iter()
        .filter(|finding| finding["severity"] == "error")
        .collect();
    assert_eq!(errors.len(), 1, "{findings:#?}");
    assert_eq!(errors[0]["line"], line);
}

#[test]
fn several_files_are_checked_in_one_run_and_one_that_is_missing_is_named() {
    let (good, bad) = (fixture("eks-hybrid"), fixture("reboot-misplaced"));
    assert_exit(&landfall(&["validate", &good, &bad]), 1);
    let output = landfall(&["validate", &fixture("no-such-file")]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("no-such-file.yaml"));
}

/// The arguments for an install or a plan in this lab.
fn target(lab: &Lab) -> [String; 8] {
    let text = |path: std::path::PathBuf| path.display().to_string();
    [
        "--wipe".to_owned(),
        "foreign".to_owned(),
        "--disk".to_owned(),
        text(lab.disk()),
        "--user-data".to_owned(),
        text(lab.at("user-data")),
        "--payload".to_owned(),
        text(lab.payload()),
    ]
}

fn with<'a>(command: &'a str, target: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    let target = target.iter().map(String::as_str);
    std::iter::once(command)
        .chain(target)
        .chain(more.iter().copied())
        .collect()
}

#[test]
fn a_plan_is_printed_and_touches_nothing() {
    let lab = Lab::with_tiny_payload();
    let before = fingerprint(&lab.disk());
    let target = target(&lab);
    let output = landfall(&with("plan", &target, &[]));
    assert_exit(&output, 0);
    let text = stdout(&output);
    assert!(text.contains("make the disk bootable"), "{text}");
    let output = landfall(&with("plan", &target, &["--format", "json"]));
    assert_exit(&output, 0);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.last().unwrap()["step"], "make-bootable");
    assert_eq!(fingerprint(&lab.disk()), before);

    std::fs::remove_file(lab.payload().join(SLOT_NAME)).unwrap();
    let output = landfall(&with("plan", &target, &[]));
    assert_exit(&output, 1);
    assert!(stderr(&output).starts_with("error: LF-M02: "), "{output:?}");
    assert!(output.stdout.is_empty());
}

/// The events of a run: each line an object with its version and name.
#[track_caller]
fn events(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    for event in &events {
        assert_eq!(event["v"], 1, "{event}");
        assert!(event["event"].is_string(), "{event}");
    }
    assert_eq!(events[0]["event"], "started");
    assert_eq!(events.last().unwrap()["event"], "finished");
    events
}

#[test]
fn a_refused_install_ends_with_1_and_its_events_say_why() {
    let lab = Lab::with_tiny_payload();
    std::fs::remove_file(lab.payload().join("manifest.json")).unwrap();
    let before = fingerprint(&lab.disk());
    let target = target(&lab);
    let args = with("install", &target, &["--events", "7"]);
    let output = in_shell("7>events", &args, &lab.at(""));
    assert_exit(&output, 1);
    let events = events(&get(&lab.at("events")));
    let end = events.last().unwrap();
    assert_eq!(
        (&end["result"], &end["exit"], &end["code"], &end["next"]),
        (
            &"refused".into(),
            &1.into(),
            &"LF-M02".into(),
            &"wait".into()
        )
    );
    assert!(stderr(&output).contains("LF-M02"), "{output:?}");
    assert_eq!(fingerprint(&lab.disk()), before);
}

#[test]
fn a_descriptor_that_is_not_open_is_refused_before_anything_happens() {
    let lab = Lab::with_tiny_payload();
    let before = fingerprint(&lab.disk());
    let target = target(&lab);
    let output = landfall(&with("install", &target, &["--events", "77"]));
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("events"), "{output:?}");
    assert_eq!(fingerprint(&lab.disk()), before);
}

#[test]
fn root_an_install_ends_with_0_whether_or_not_somebody_reads_its_events() {
    let lab = Lab::with_tiny_payload();
    let target = target(&lab);
    let args = with("install", &target, &["--events", "7"]);
    let output = in_shell("7>events", &args, &lab.at(""));
    assert_exit(&output, 0);
    let events = events(&get(&lab.at("events")));
    let end = events.last().unwrap();
    assert_eq!(
        (&end["result"], &end["exit"], &end["next"]),
        (&"installed".into(), &0.into(), &"poweroff".into())
    );
    assert!(end.get("code").is_none());
    let steps: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "step")
        .collect();
    assert_eq!(steps[0]["of"], steps.len());
    assert_eq!(steps.last().unwrap()["index"], steps.len());
    assert!(events.iter().any(|event| event["event"] == "progress"));

    // A pipe whose reader is gone before the first line.
    let output = in_shell("7>&1 1>/dev/null | true", &args, &lab.at(""));
    assert_exit(&output, 0);
}

#[test]
fn root_an_install_from_a_damaged_medium_ends_with_3() {
    let lab = Lab::with_tiny_payload();
    flip_bit(&lab.payload().join(SLOT_NAME), 2000);
    let target = target(&lab);
    let args = with("install", &target, &["--events", "2"]);
    let output = landfall(&args);
    assert_exit(&output, 3);
    let told = stderr(&output);
    let end: Value = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .next_back()
        .unwrap();
    assert_eq!(
        (&end["result"], &end["exit"], &end["code"]),
        (&"failed".into(), &3.into(), &"LF-I02".into())
    );
    assert_not_bootable(&lab.disk());
}
