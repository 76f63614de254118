//! Plans and refusals over a matrix of machines and user-data, as text.
//!
//! A change of these snapshots is a change of what happens to a customer's disk: read their diff as such.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot prepare itself fails"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use image::manifest::{CHUNK_SIZE, Chunk, FileEntry};
use image::{Digest, Kind, Manifest};
use installer::choose::{Limits, choose};
use installer::code;
use installer::config::{Config, configure};
use installer::hooks::{Hooks, Runner};
use installer::machine::{Disk, Firmware, Machine};
use installer::payload::{BOOT_FILES, Payload};
use installer::plan::{Content, Inputs, Plan, Step, fits, plan};
use partition::{Bytes, SectorSize, Wanted};
use userdata::{Parsed, UserData};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
/// What a password becomes here; a real hash has a random salt.
const HASH: &str = "$6$canary-hash-d3b1";

fn fixture(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn machine(name: &str) -> Machine {
    serde_json::from_str(&fixture(&format!("machines/{name}.json"))).unwrap()
}

fn user_data(name: &str) -> UserData {
    let text = fixture(&format!("user-data/{name}.yaml"));
    let Parsed {
        findings,
        user_data,
    } = userdata::parse(name, text.as_bytes());
    user_data.unwrap_or_else(|| panic!("{findings:#?}"))
}

fn config(user_data: &UserData, disk: &str) -> anyhow::Result<Config> {
    configure(user_data, disk, &mut |_| HASH.to_owned())
}

/// A payload of a plausible size that is on no medium: a plan needs its lengths and GRUB for BIOS only.
fn payload() -> Payload {
    let slot = 700 * MIB;
    let chunks = slot / u64::from(CHUNK_SIZE);
    let frame = 2 << 20;
    let mut bios_boot = vec![0; 512];
    bios_boot[0x66..0x68].copy_from_slice(&[0xeb, 0x05]);
    bios_boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut bios_core = vec![0; 3 * 512];
    bios_core[510..512].copy_from_slice(&0x0820_u16.to_le_bytes());
    let file = |path: &str| FileEntry {
        path: path.to_owned(),
        size: 3 * MIB,
        blake3: Digest::of(path.as_bytes()),
    };
    let mut files: Vec<FileEntry> = BOOT_FILES.iter().map(|path| file(path)).collect();
    files.push(file("boot/mmx64.efi"));
    Payload {
        folder: PathBuf::from("/payload"),
        bios_boot,
        bios_core_mbr: Some(bios_core.clone()),
        bios_core,
        manifest: Manifest {
            format: Manifest::FORMAT,
            image_id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            kind: Kind::Native,
            version: "1.2.3".to_owned(),
            build: "test".to_owned(),
            kernel_version: "6.1.0-test".to_owned(),
            raw_size: slot,
            raw_blake3: Digest::of(b"slot"),
            chunk_size: CHUNK_SIZE,
            chunks: (0..chunks)
                .map(|index| Chunk {
                    offset_in_zst: index * u64::from(frame),
                    compressed_len: frame,
                    raw_len: CHUNK_SIZE,
                    blake3: Digest::of(&index.to_le_bytes()),
                })
                .collect(),
            files,
        },
    }
}

/// Ids that count up, so that a plan is the same in every run.
fn counting() -> impl FnMut() -> Uuid {
    let mut last = 0x00c0_ffee_0000_4000_8000_0000_0000_0000;
    move || {
        last += 1;
        Uuid::from_u128(last)
    }
}

fn plan_for(config: &Config, disk: &Disk, payload: &Payload) -> anyhow::Result<Plan> {
    let inputs = Inputs {
        config,
        disk,
        kept: None,
        payload,
        hooks: &Hooks::default(),
        media_id: "ffeeddccbbaa99887766554433221100",
        esp_stub: "# the stub\n",
        firmware: None,
        entries: None,
    };
    plan(&inputs, counting())
}

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

/// A plan for a machine that was started by this firmware.
fn planned_by(firmware: Option<Firmware>, user_data: &str) -> anyhow::Result<Plan> {
    let user_data = userdata::parse("u", user_data.as_bytes());
    let config = config(&user_data.user_data.unwrap(), "auto").unwrap();
    let machine = machine("bios-virtio");
    let inputs = Inputs {
        config: &config,
        disk: &machine.disks[0],
        kept: None,
        payload: &payload(),
        hooks: &Hooks::default(),
        media_id: "ffeeddccbbaa99887766554433221100",
        esp_stub: "# the stub\n",
        firmware,
        entries: None,
    };
    plan(&inputs, counting())
}

const MBR: &str = "#cloud-config\nlandfall: {table: mbr}\n";

#[test]
fn an_mbr_has_four_partitions_and_neither_esp_nor_boot_entry() {
    let plan = planned_by(Some(Firmware::Bios), MBR).unwrap();
    insta::assert_snapshot!(plan);
    let json = serde_json::to_value(&plan).unwrap();
    let last = json["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["step"], "make-bootable");
    assert!(last.get("partition").is_none(), "{last}");
    // An image file may go into a machine with a BIOS.
    assert!(planned_by(None, MBR).is_ok());
}

#[test]
fn an_mbr_is_refused_on_a_machine_that_was_started_by_uefi() {
    let error = planned_by(Some(Firmware::Uefi), MBR).unwrap_err();
    let trouble = code::find(&error).unwrap();
    assert_eq!(trouble.code.as_str(), "LF-D08", "{trouble}");
    assert!(trouble.reason.contains("started by UEFI"), "{trouble}");
}

#[test]
fn the_protective_entry_is_active_for_a_bios_and_as_its_specification_wants_it_for_uefi() {
    for (firmware, expected) in [
        (Some(Firmware::Bios), true),
        (Some(Firmware::Uefi), false),
        (None, true),
    ] {
        let plan = planned_by(firmware, "#cloud-config\ninstall: {}\n").unwrap();
        let Some(Step::MakeBootable { active, .. }) = plan.steps.last() else {
            panic!("{plan}");
        };
        assert_eq!(*active, expected, "{firmware:?}");
    }
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
