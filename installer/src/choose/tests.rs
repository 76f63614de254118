//! Which disk, over machines that tempt.

use std::path::Path;

use userdata::SizeRange;

use super::*;
use crate::contents::Contents;
use crate::machine::Firmware;

const GB: u64 = 1_000_000_000;

fn disk(name: &str, transport: Transport) -> Disk {
    Disk {
        name: name.into(),
        path: Path::new("/dev").join(name),
        size: 64 << 30,
        sector: 512,
        physical_sector: 512,
        model: String::new(),
        serial: String::new(),
        wwn: String::new(),
        transport,
        removable: false,
        read_only: false,
        in_use: Vec::new(),
        contents: Some(Contents::BLANK),
    }
}

fn holding(name: &str, owner: Owner, words: &str) -> Disk {
    Disk {
        contents: Some(Contents {
            owner,
            words: vec![words.to_owned()],
            areas: Vec::new(),
        }),
        ..disk(name, Transport::Sata)
    }
}

fn machine(disks: Vec<Disk>) -> Machine {
    Machine {
        firmware: Firmware::Uefi,
        disks,
    }
}

fn limits(medium: Option<&Path>, wipe: Wipe) -> Limits<'_> {
    Limits {
        medium,
        wipe,
        fits: &|disk| {
            if disk.size >= 8 * GB {
                return Ok(());
            }
            Err(Trouble::new(Code::DiskTooSmall, "8 GB are needed"))
        },
    }
}

fn auto(disks: Vec<Disk>, wipe: Wipe) -> Result<String, Trouble> {
    choose(&Wish::Auto, &machine(disks), &limits(None, wipe)).map(|disk| disk.name)
}

fn like(selector: DiskSelector, disks: Vec<Disk>) -> Result<String, Trouble> {
    let wish = Wish::Like(selector);
    choose(&wish, &machine(disks), &limits(None, Wipe::Ours)).map(|disk| disk.name)
}

#[test]
fn auto_takes_the_only_disk_and_leaves_media_out() {
    let stick = Disk {
        removable: true,
        ..disk("sdb", Transport::Usb)
    };
    let machine = machine(vec![
        disk("nvme0n1", Transport::Nvme),
        stick,
        disk("sda", Transport::Sata),
    ]);
    let limits = limits(Some(Path::new("/dev/sda")), Wipe::Ours);
    let chosen = choose(&Wish::Auto, &machine, &limits).unwrap();
    assert_eq!(chosen.name, "nvme0n1");
}

#[test]
fn fault_25_auto_does_not_choose_among_several_and_says_what_is_on_each() {
    let disks = vec![
        disk("sda", Transport::Sata),
        holding("sdb", Owner::Ours, "Landfall, installed 2026-11-20"),
        holding("sdc", Owner::Foreign, "Windows NTFS 450 GiB"),
    ];
    let trouble = auto(disks, Wipe::Ours).unwrap_err();
    assert_eq!(trouble.code, Code::SeveralDisks);
    let says = trouble.reason;
    assert!(says.starts_with("2 disks could be meant"), "{says}");
    for part in [
        "/dev/sda (64 GiB) holds nothing",
        "/dev/sdb (64 GiB) holds Landfall",
        "left out: /dev/sdc",
    ] {
        assert!(says.contains(part), "{says}");
    }
}

#[test]
fn fault_25_auto_says_why_each_disk_was_left_out() {
    let locked = Disk {
        read_only: true,
        ..disk("sda", Transport::Sata)
    };
    let card = Disk {
        removable: true,
        ..disk("mmcblk0", Transport::Mmc)
    };
    let trouble = auto(
        vec![locked, disk("sdb", Transport::Usb), card],
        Wipe::Foreign,
    )
    .unwrap_err();
    assert_eq!(trouble.code, Code::NoDisk);
    for part in ["write-protected", "USB", "is removable"] {
        assert!(trouble.reason.contains(part), "{trouble}");
    }
    let empty = auto(vec![], Wipe::Ours).unwrap_err();
    assert_eq!(empty.reason, "this machine has no disk");
}

#[test]
fn auto_takes_the_blank_disk_beside_a_data_disk_whatever_their_order() {
    let data = || holding("sda", Owner::Foreign, "ext4 \"data\" 1.0 TiB");
    for disks in [
        vec![data(), disk("nvme0n1", Transport::Nvme)],
        vec![disk("nvme0n1", Transport::Nvme), data()],
    ] {
        assert_eq!(auto(disks, Wipe::Ours).unwrap(), "nvme0n1");
    }
    // With leave to erase anything the two are alike, and nobody guesses.
    let both = vec![data(), disk("nvme0n1", Transport::Nvme)];
    assert_eq!(
        auto(both, Wipe::Foreign).unwrap_err().code,
        Code::SeveralDisks
    );
}

#[test]
fn consent_decides_what_may_be_erased_named_or_not() {
    let cases = [
        (Owner::Nobody, [true, true, true]),
        (Owner::Ours, [false, true, true]),
        (Owner::Foreign, [false, false, true]),
        (Owner::Unreadable, [false, false, false]),
    ];
    for (owner, expected) in cases {
        for (wipe, allowed) in [Wipe::Never, Wipe::Ours, Wipe::Foreign]
            .into_iter()
            .zip(expected)
        {
            let disk = holding("sda", owner, "something");
            let named = Wish::Path("/dev/sda".into());
            let said = choose(&named, &machine(vec![disk.clone()]), &limits(None, wipe));
            assert_eq!(said.is_ok(), allowed, "{owner:?} {wipe:?}");
            let by_itself = auto(vec![disk], wipe);
            assert_eq!(by_itself.is_ok(), allowed, "{owner:?} {wipe:?}");
            let unreadable = owner == Owner::Unreadable;
            let code = if unreadable {
                Code::DiskUnreadable
            } else {
                Code::DiskHoldsData
            };
            for refused in [said.err(), by_itself.err()].into_iter().flatten() {
                assert_eq!(refused.code, code);
                assert!(refused.reason.contains("something"), "{refused}");
            }
        }
    }
}

#[test]
fn a_disk_that_nobody_looked_at_is_refused() {
    let unseen = Disk {
        contents: None,
        ..disk("sda", Transport::Sata)
    };
    assert_eq!(
        auto(vec![unseen], Wipe::Foreign).unwrap_err().code,
        Code::DiskUnreadable
    );
}

#[test]
fn fault_18_a_disk_in_use_is_refused_with_the_name_of_its_holder() {
    let used = Disk {
        in_use: vec!["md127 stands on sda1".to_owned()],
        ..disk("sda", Transport::Sata)
    };
    let trouble = auto(vec![used], Wipe::Foreign).unwrap_err();
    assert_eq!(trouble.code, Code::DiskBusy);
    assert!(trouble.reason.contains("md127 stands on sda1"), "{trouble}");
}

#[test]
fn fault_09_a_disk_that_is_too_small_is_no_rival_and_alone_it_says_what_is_needed() {
    let small = || Disk {
        size: 4 * GB,
        ..disk("mmcblk0", Transport::Mmc)
    };
    let both = vec![small(), disk("sda", Transport::Sata)];
    assert_eq!(auto(both, Wipe::Ours).unwrap(), "sda");
    let alone = auto(vec![small()], Wipe::Ours).unwrap_err();
    assert_eq!(alone.code, Code::DiskTooSmall);
    assert!(alone.reason.contains("8 GB are needed"), "{alone}");
}

#[test]
fn fault_24_a_named_disk_must_exist_and_must_not_be_the_medium_or_protected() {
    let locked = Disk {
        read_only: true,
        ..disk("sdc", Transport::Sata)
    };
    let machine = machine(vec![
        disk("sda", Transport::Sata),
        disk("sdb", Transport::Usb),
        locked,
    ]);
    let limits = limits(Some(Path::new("/dev/sda")), Wipe::Ours);
    let named = |name: &str| choose(&Wish::Path(name.into()), &machine, &limits);
    assert_eq!(named("/dev/sda").unwrap_err().code, Code::DiskIsMedium);
    assert_eq!(named("/dev/sdc").unwrap_err().code, Code::DiskReadOnly);
    assert_eq!(named("/dev/sdx").unwrap_err().code, Code::DiskNotFound);
    // A USB disk is fine when it is asked for by name.
    assert_eq!(named("/dev/sdb").unwrap().name, "sdb");
}

#[test]
fn two_paths_to_one_disk_are_refused_and_drives_that_share_a_name_are_not() {
    let path = |name: &str, serial: &str, wwn: &str| Disk {
        serial: serial.into(),
        wwn: wwn.into(),
        ..disk(name, Transport::Fc)
    };
    let naa = "naa.600a0b80";
    let both = vec![path("sda", "S1", naa), path("sdb", "S1", naa)];
    let trouble = auto(both.clone(), Wipe::Foreign).unwrap_err();
    assert_eq!(trouble.code, Code::DiskPaths);
    assert!(
        trouble.reason.contains("/dev/sdb are two paths"),
        "{trouble}"
    );
    let named = Wish::Path("/dev/sda".into());
    let refused = choose(&named, &machine(both), &limits(None, Wipe::Foreign)).unwrap_err();
    assert_eq!(refused.code, Code::DiskPaths);

    let shared = vec![path("sda", "S1", naa), path("sdb", "S2", naa)];
    assert_eq!(
        auto(shared, Wipe::Ours).unwrap_err().code,
        Code::SeveralDisks
    );
    let made_up = vec![path("sda", "", "t10.QEMU"), path("sdb", "", "t10.QEMU")];
    assert_eq!(
        auto(made_up, Wipe::Ours).unwrap_err().code,
        Code::SeveralDisks
    );
}

#[test]
fn a_selector_must_fit_whole_and_leave_one() {
    let nvme = |name: &str, serial: &str, size| Disk {
        serial: serial.into(),
        size,
        model: "Example  NVMe 480".into(),
        wwn: format!("eui.{serial}"),
        ..disk(name, Transport::Nvme)
    };
    let disks = || {
        vec![
            nvme("nvme0n1", "0a", 480 * GB),
            nvme("nvme1n1", "0b", 960 * GB),
            disk("sda", Transport::Sata),
        ]
    };
    let by = |selector: DiskSelector| like(selector, disks());
    let text = |text: &str| Some(text.to_owned());
    let serial = DiskSelector {
        serial: text("0b"),
        ..Default::default()
    };
    assert_eq!(by(serial.clone()).unwrap(), "nvme1n1");
    let wwn = DiskSelector {
        wwn: text("0x0A"),
        ..Default::default()
    };
    assert_eq!(by(wwn).unwrap(), "nvme0n1");
    let small = SizeRange {
        min: None,
        max: Some(500 * GB),
    };
    let model = DiskSelector {
        model: text("example nvme*"),
        size: small,
        ..Default::default()
    };
    assert_eq!(by(model).unwrap(), "nvme0n1");
    let bus = DiskSelector {
        transport: Some(userdata::Transport::Nvme),
        ..Default::default()
    };
    assert_eq!(by(bus).unwrap_err().code, Code::SeveralDisks);
    let none = by(DiskSelector {
        size: small,
        ..serial
    })
    .unwrap_err();
    assert_eq!(none.code, Code::DiskNotFound);
    assert!(none.reason.contains("WWN eui.0b"), "{none}");
}

#[test]
fn a_selector_takes_what_can_be_taken_out_only_if_it_says_so() {
    let stick = || Disk {
        serial: "U1".into(),
        model: "Stick".into(),
        removable: true,
        ..disk("sda", Transport::Usb)
    };
    let by = |selector| like(selector, vec![stick()]).map_err(|trouble| trouble.code);
    let text = |text: &str| Some(text.to_owned());
    let model = DiskSelector {
        model: text("Stick"),
        ..Default::default()
    };
    assert_eq!(by(model), Err(Code::NoDisk));
    let serial = DiskSelector {
        serial: text("U1"),
        ..Default::default()
    };
    assert_eq!(by(serial).as_deref(), Ok("sda"));
    let bus = DiskSelector {
        transport: Some(userdata::Transport::Usb),
        ..Default::default()
    };
    assert_eq!(by(bus).as_deref(), Ok("sda"));
}

#[test]
fn a_selector_erases_no_more_than_was_allowed() {
    let data = Disk {
        serial: "A1".into(),
        ..holding("sda", Owner::Foreign, "ZFS member \"tank\" 4.0 TiB")
    };
    let selector = DiskSelector {
        serial: Some("A1".to_owned()),
        ..Default::default()
    };
    let trouble = like(selector, vec![data]).unwrap_err();
    assert_eq!(trouble.code, Code::DiskHoldsData);
    assert!(
        trouble.reason.contains("tank") && trouble.reason.contains("`landfall.wipe: foreign`"),
        "{trouble}"
    );
}

/// What an install that keeps data asks of a disk.
fn holds_ours(disk: &Disk) -> Result<(), Trouble> {
    match &disk.contents {
        Some(contents) if contents.owner == Owner::Ours => Ok(()),
        _ => Err(Trouble::new(
            Code::NotInstalled,
            format!("{disk} has no installation whose data could be kept"),
        )),
    }
}

#[test]
fn auto_takes_the_only_disk_whose_data_can_be_kept_and_not_a_blank_one_beside_it() {
    let choose = |disks: Vec<Disk>| {
        let limits = Limits {
            fits: &holds_ours,
            ..limits(None, Wipe::Ours)
        };
        choose(&Wish::Auto, &machine(disks), &limits).map(|disk| disk.name)
    };
    let blank = disk("sda", Transport::Sata);
    let ours = |name| holding(name, Owner::Ours, "Landfall");
    assert_eq!(choose(vec![blank.clone(), ours("sdb")]).unwrap(), "sdb");
    let several = choose(vec![blank.clone(), ours("sdb"), ours("sdc")]).unwrap_err();
    assert_eq!(several.code, Code::SeveralDisks);
    let none = choose(vec![blank]).unwrap_err();
    assert_eq!(none.code, Code::NotInstalled);
    let said = "has no installation whose data could be kept";
    assert!(several.reason.contains(said), "{several}");
    assert!(none.reason.contains(said), "{none}");
}
