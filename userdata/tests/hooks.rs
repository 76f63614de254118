//! The steps around an install.

use userdata::{UserData, parse, parse_stage_file};

const TEXT: &str = "\
#cloud-config
name: shop
stages:
  after-install:
    - name: skip-copy-key
      commands: [echo s3cret-key]
    - commands: [echo two]
  after-install.after:
    name: last
    commands: [echo three]
  after-install-chroot:
    - commands: [echo other]
  boot:
    - commands: [echo boot]
";

fn accepted(text: &str) -> UserData {
    let parsed = parse("user-data", text.as_bytes());
    parsed
        .user_data
        .unwrap_or_else(|| panic!("{:#?}", parsed.findings))
}

#[test]
fn a_stage_file_has_the_steps_of_one_stage_also_those_that_are_not_copied() {
    let user_data = accepted(TEXT);
    let file = user_data.stage_file("after-install").unwrap();
    let read = parse_stage_file("user-data", file.reveal().as_bytes());
    assert_eq!(
        (read.findings.len(), read.name.as_deref()),
        (0, Some("shop"))
    );
    let commands = |stage: &str| -> Vec<String> {
        let steps = read.stages.steps(stage).iter();
        steps.flat_map(|step| step.commands.clone()).collect()
    };
    assert_eq!(commands("after-install"), ["echo s3cret-key", "echo two"]);
    assert_eq!(commands("after-install.after"), ["echo three"]);
    assert!(commands("after-install-chroot").is_empty() && commands("boot").is_empty());
    assert!(!format!("{file:?}").contains("s3cret"), "{file:?}");

    // What the disk keeps has the step no more.
    let kept = user_data.oem_document(&mut |clear| clear.to_owned());
    assert!(
        kept.contains("echo two") && !kept.contains("s3cret"),
        "{kept}"
    );
}

#[test]
fn a_stage_without_steps_has_no_file() {
    for text in [
        "#cloud-config\ninstall: {}\n",
        "#cloud-config\nstages:\n  boot: []\n",
    ] {
        assert!(accepted(text).stage_file("boot").is_none(), "{text}");
    }
    assert!(accepted(TEXT).stage_file("before-install").is_none());
}
