//! Plans and refusals over a matrix of machines and user-data, as text.
//!
//! A change of these snapshots is a change of what happens to a customer's disk: read their diff as such.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot prepare itself fails"
)]

mod fixtures;
mod tables;

use std::fmt::Write as _;
use std::path::Path;

use installer::choose::{Limits, choose};
use installer::code;
use installer::config::Config;
use installer::hooks::{Hooks, Runner};
use installer::machine::Machine;
use installer::plan::{Content, Inputs, Plan, Step, fits, plan};
use partition::{Bytes, SectorSize, Wanted};
use userdata::UserData;

use fixtures::{HASH, MIB, config, counting, machine, payload, plan_for, user_data};

/// From fixtures to a plan, as `landfall plan` does it on a machine with these facts.
fn planned(
    machine: &Machine,
    user_data: &UserData,
    disk: &str,
    medium: Option<&str>,
) -> anyhow::Result<(Config, Plan)> {
    let config = config(user_data, disk)?;
    let payload = payload();
    let limits = Limits {
        medium: medium.map(Path::new),
        wipe: config.wipe,
        fits: &|disk| fits(&config, disk, &payload),
    };
    let disk = choose(&config.wish, machine, &limits)?;
    let plan = plan_for(&config, &disk, &payload)?;
    Ok((config, plan))
}

/// What a plan says to people, and what it keeps from them for its length only: GRUB's environment.
fn in_words(result: anyhow::Result<(Config, Plan)>) -> String {
    let (config, plan) = match result {
        Ok(planned) => planned,
        Err(error) => {
            let trouble = code::find(&error).unwrap_or_else(|| panic!("no code: {error:#}"));
            return format!("{trouble}\nnext: {}\n", trouble.code.action());
        }
    };
    let mut text = plan.to_string();
    for step in &plan.steps {
        if let Step::WriteFile { to, content, .. } = step
            && to.path.contains("env")
        {
            write!(text, "\n{to}\n{}\n", environment(content)).unwrap();
        }
    }
    write!(text, "\nafterwards: {:?}\n", config.next).unwrap();
    text
}

fn environment(Content(block): &Content) -> &str {
    std::str::from_utf8(block).unwrap().trim_end_matches('#')
}

fn case(machine_name: &str, user_data_name: &str) -> String {
    let (machine, user_data) = (machine(machine_name), user_data(user_data_name));
    in_words(planned(&machine, &user_data, "auto", None))
}

#[test]
fn a_virtio_disk_of_16_gib() {
    insta::assert_snapshot!(case("bios-virtio", "eks-hybrid"));
}

#[test]
fn the_operators_stages_stand_in_the_plan_where_they_run() {
    let text = "#cloud-config\nstages:\n  before-install.after:\n    - commands: [echo canary]\n  after-install:\n    - commands: [echo canary]\n  after-install-chroot:\n    - commands: [echo canary]\n";
    let user_data = userdata::parse("hooks", text.as_bytes()).user_data.unwrap();
    let config = config(&user_data, "auto").unwrap();
    let machine = machine("bios-virtio");
    let payload = payload();
    let limits = Limits {
        medium: None,
        wipe: config.wipe,
        fits: &|disk| fits(&config, disk, &payload),
    };
    let disk = choose(&config.wish, &machine, &limits).unwrap();
    let plan_by = |runner| {
        let inputs = Inputs {
            config: &config,
            disk: &disk,
            kept: None,
            payload: &payload,
            hooks: &Hooks::of(&user_data, runner),
            media_id: "ffeeddccbbaa99887766554433221100",
            esp_stub: "# the stub\n",
            firmware: None,
            entries: None,
        };
        plan(&inputs, counting()).unwrap()
    };
    let live = plan_by(Runner::LiveInstaller);
    let texts: Vec<String> = live.steps.iter().map(ToString::to_string).collect();
    let at = |text: &str| texts.iter().position(|one| one == text).unwrap();
    let before = at("run the stage before-install");
    assert_eq!(before, at("mount persistent") + 1);
    assert!(texts[before + 1].starts_with("write state:/cOS/active.img"));
    let end = at("run the stage after-install-chroot in the new system");
    assert_eq!(texts[end + 1], "run the stage after-install");
    assert!(texts[end + 2].starts_with("keep the log"));
    assert!(live.notes.is_empty());
    // What is to be run may be a secret: who reads the plan sees its length.
    let json = serde_json::to_string(&live).unwrap();
    assert!(
        json.contains("\"stage\":\"after-install\"") && !json.contains("canary"),
        "{json}"
    );

    let host = plan_by(Runner::Host);
    assert_eq!(host.steps.len() + 3, live.steps.len());
    assert!(host.to_string().contains(
        "note: before-install, after-install-chroot, after-install of the user-data: not run"
    ));
}

#[test]
fn fault_40_firmware_makes_no_difference_since_one_disk_boots_by_both() {
    assert_eq!(
        case("bios-virtio", "eks-hybrid"),
        case("uefi-virtio", "eks-hybrid")
    );
}

#[test]
fn a_disk_with_sectors_of_4096_bytes_gets_no_grub_for_bios() {
    insta::assert_snapshot!(case("nvme-4kn", "eks-hybrid"));
}

#[test]
fn sizes_of_the_operator_are_taken_and_too_small_ones_raised() {
    insta::assert_snapshot!(case("uefi-virtio", "sizes"));
}

#[test]
fn extra_partitions_follow_in_their_order_and_one_takes_the_rest() {
    insta::assert_snapshot!(case("uefi-virtio", "extra-partitions"));
}

#[test]
fn grub_options_reach_the_environment_blocks() {
    insta::assert_snapshot!(case("uefi-virtio", "grub-options"));
}

#[test]
fn poweroff_is_known_and_changes_no_step() {
    let text = case("uefi-virtio", "poweroff");
    assert!(text.ends_with("afterwards: Poweroff\n"), "{text}");
    assert!(case("uefi-virtio", "eks-hybrid").ends_with("afterwards: Reboot\n"));
    assert!(case("uefi-virtio", "sizes").ends_with("afterwards: Wait\n"));
}

#[test]
fn a_disk_named_in_the_user_data_is_taken_and_the_command_line_wins_over_it() {
    let (machine, user_data) = (machine("two-disks"), user_data("named-disk"));
    let disk = |named: &str| {
        let (_, plan) = planned(&machine, &user_data, named, None).unwrap();
        (plan.disk.name, plan.destroys)
    };
    let system = "nothing: /dev/sdy (238 GiB, ATA Example System, S-0002) is blank";
    assert_eq!(disk("auto"), ("sdy".to_owned(), system.to_owned()));
    assert_eq!(disk("/dev/sdx").0, "sdx");
}

#[test]
fn refusals_name_the_disks_and_what_to_do() {
    let mut all = String::new();
    let mut refuse = |title: &str, machine_name: &str, user_data_name: &str, disk, medium| {
        let (machine, user_data) = (machine(machine_name), user_data(user_data_name));
        let said = planned(&machine, &user_data, disk, medium);
        assert!(said.is_err(), "{title}");
        writeln!(all, "{title}\n{}", in_words(said)).unwrap();
    };
    refuse("two disks", "two-disks", "eks-hybrid", "auto", None);
    refuse("no disk", "no-disk", "eks-hybrid", "auto", None);
    refuse(
        "nothing but media",
        "only-media",
        "eks-hybrid",
        "auto",
        None,
    );
    refuse(
        "another disk is named",
        "uefi-virtio",
        "named-disk",
        "auto",
        None,
    );
    refuse(
        "the medium is named",
        "two-disks",
        "named-disk",
        "auto",
        Some("/dev/sdy"),
    );
    refuse(
        "a guarded disk is named",
        "only-media",
        "named-disk",
        "auto",
        None,
    );
    refuse(
        "two partitions take the rest",
        "uefi-virtio",
        "two-take-the-rest",
        "auto",
        None,
    );
    refuse(
        "a file system that is not made yet",
        "uefi-virtio",
        "xfs",
        "auto",
        None,
    );
    refuse(
        "a file system that nobody makes",
        "uefi-virtio",
        "unknown-filesystem",
        "auto",
        None,
    );
    insta::assert_snapshot!(all);
}

#[test]
fn a_disk_that_lacks_one_sector_is_refused_and_the_next_larger_one_is_not() {
    let payload = payload();
    let wanted = Wanted::new(
        Bytes::new(payload.manifest.raw_size),
        Bytes::new(payload.size()),
    );
    let smallest = wanted.smallest_disk(SectorSize::B512).unwrap().get();
    let mut machine = machine("uefi-virtio");
    let user_data = user_data("eks-hybrid");

    machine.disks[0].size = smallest;
    let (_, plan) = planned(&machine, &user_data, "auto", None).unwrap();
    let last = plan.layout.partitions().last().unwrap();
    assert_eq!(
        (last.name.as_str(), last.size.get()),
        ("persistent", 512 * MIB)
    );

    machine.disks[0].size = smallest - 512;
    let said = planned(&machine, &user_data, "auto", None);
    assert!(said.is_err());
    insta::assert_snapshot!(in_words(said));
}

#[test]
fn the_same_inputs_give_the_same_plan_and_every_id_is_its_own() {
    let (machine, user_data) = (machine("uefi-virtio"), user_data("eks-hybrid"));
    let json = || {
        let (_, plan) = planned(&machine, &user_data, "auto", None).unwrap();
        serde_json::to_string_pretty(&plan).unwrap()
    };
    let text = json();
    assert_eq!(text, json());
    // One for the disk, one for each of six partitions, one for each of five file systems.
    let ids: Vec<&str> = text
        .split('"')
        .filter(|word| word.starts_with("00c0ffee-"))
        .collect();
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!((ids.len(), distinct.len()), (12, 12), "{ids:?}");
    insta::assert_snapshot!(text);
}

/// The bytes of a text as `Debug` of a byte vector writes them, without blanks.
fn as_numbers(text: &str) -> String {
    let numbers: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    numbers.join(",")
}

#[test]
fn no_secret_of_the_user_data_can_be_read_from_a_plan_in_any_form() {
    let (machine, user_data) = (machine("uefi-virtio"), user_data("secrets"));
    let (config, plan) = planned(&machine, &user_data, "auto", None).unwrap();
    let secrets = [
        "canary-token-71c5",
        "canary-proxy-2e80",
        "canary-password-b94d",
        "canary-file-08fa",
        HASH,
    ];
    let document = config.oem_files[0].text.reveal();
    for secret in secrets {
        assert_eq!(
            document.contains(secret),
            secret != "canary-password-b94d",
            "{secret}: only the clear password stays behind"
        );
    }
    let forms = [
        plan.to_string(),
        serde_json::to_string(&plan).unwrap(),
        serde_json::to_string_pretty(&plan).unwrap(),
        format!("{plan:?}"),
        format!("{plan:#?}"),
        format!("{config:?}"),
        format!("{config:#?}"),
    ];
    for form in &forms {
        let dense: String = form.split_whitespace().collect();
        for secret in secrets {
            assert!(!form.contains(secret), "{secret} in {form}");
            assert!(!dense.contains(&as_numbers(secret)), "{secret} in {form}");
        }
    }
}
