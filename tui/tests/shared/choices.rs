//! Choices that a person may meet.

use tui::{Choice, ChoiceScreen, Entry, Fact, Hint, Mood};

pub(crate) fn all() -> Vec<(&'static str, ChoiceScreen)> {
    vec![
        ("choose_disk", disks(0, 3)),
        ("choose_disk_of_twelve", disks(8, 12)),
        ("choose_afterwards", afterwards()),
        ("choose_confirm", confirm()),
        ("recovery", recovery()),
        ("recovery_repair", recovery_repair()),
        ("recovery_failed", recovery_failed()),
    ]
}

pub(crate) fn document() -> Vec<String> {
    [
        "install:",
        "  device: /dev/disk/by-id/nvme-Samsung_SSD_980_PRO_1TB_S6WSNJ0T900001X",
        "  reboot: true",
        "landfall:",
        "  wipe: foreign",
    ]
    .map(String::from)
    .into()
}

fn hints(first: &[(&'static str, &'static str)]) -> Vec<Hint> {
    first.iter().map(|(key, does)| Hint { key, does }).collect()
}

fn disks(chosen: usize, count: usize) -> ChoiceScreen {
    let disks = [
        (
            "/dev/nvme0n1",
            "931 GiB",
            "Samsung SSD 980 PRO with Heatsink 1TB",
            "NVMe, serial S6WSNJ0T900001X: Windows: EFI system, NTFS 930 GiB",
            true,
        ),
        (
            "/dev/sda",
            " 14 GiB",
            "SanDisk Cruzer Blade",
            "USB, serial 4C530001: holds the install medium",
            false,
        ),
        (
            "/dev/sdb",
            "447 GiB",
            "INTEL SSDSC2KB480G8",
            "SATA, serial PHYF9452: empty",
            true,
        ),
        (
            "/dev/sdc",
            " 10 TiB",
            "WDC WUS721010ALE6L4",
            "SAS, serial VCGX5P2N: one of the disks of a software RAID (MD 1.2, data:0) that also serves three other machines of this site",
            true,
        ),
        (
            "/dev/sdd",
            "512 MiB",
            "Virtual Floppy",
            "USB: is too small: 9.3 GiB are needed",
            false,
        ),
    ];
    let choices = (0..count).map(|at| {
        let (name, size, model, detail, enabled) = disks[at % disks.len()];
        Choice {
            cells: [name, size, model].map(String::from).into(),
            detail: detail.into(),
            enabled,
        }
    });
    ChoiceScreen {
        version: "0.1.0".into(),
        title: "Choose a disk".into(),
        mood: Mood::Warning,
        headline: "Which disk shall be erased and installed?".into(),
        text: vec![
            "LF-D02  2 disks could be meant and none is named. The user-data can name it; then nothing is asked.".into(),
        ],
        choices: choices.collect(),
        chosen,
        hints: hints(&[("↑↓", "choose"), ("1-9", "choose"), ("Enter", "go on")]),
        ..ChoiceScreen::default()
    }
}

fn lost() -> Vec<Fact> {
    let fact = |name: &str, value: &str| Fact {
        name: name.into(),
        value: value.into(),
    };
    vec![
        fact(
            "Disk",
            "/dev/nvme0n1, 931 GiB, Samsung SSD 980 PRO with Heatsink 1TB",
        ),
        fact("Serial", "S6WSNJ0T900001X, NVMe"),
        fact("Lost", "Windows: EFI system, NTFS 930 GiB"),
    ]
}

fn afterwards() -> ChoiceScreen {
    let choice = |text: &str| Choice {
        cells: vec![text.into()],
        detail: String::new(),
        enabled: true,
    };
    ChoiceScreen {
        version: "0.1.0".into(),
        title: "Choose a disk".into(),
        mood: Mood::Question,
        headline: "What shall the machine do after the installation?".into(),
        facts: lost(),
        choices: ["Restart", "Switch itself off", "Stay on the screen"]
            .map(choice)
            .into(),
        chosen: 1,
        hints: hints(&[("↑↓", "choose"), ("Enter", "go on"), ("Esc", "go back")]),
        ..ChoiceScreen::default()
    }
}

fn confirm() -> ChoiceScreen {
    ChoiceScreen {
        version: "0.1.0".into(),
        title: "Erase a disk".into(),
        mood: Mood::Danger,
        headline: "Everything on /dev/nvme0n1 will be lost".into(),
        text: vec!["All other disks stay as they are.".into()],
        facts: lost(),
        document: document(),
        entry: Some(Entry {
            question: "Type ERASE and press Enter".into(),
            typed: "ERA".into(),
        }),
        remark: "That was not ERASE; nothing was done.".into(),
        hints: hints(&[("Enter", "erase and install"), ("Esc", "go back")]),
        ..ChoiceScreen::default()
    }
}

fn recovery() -> ChoiceScreen {
    let choice = |text: &str, detail: &str| Choice {
        cells: vec![text.into()],
        detail: detail.into(),
        enabled: true,
    };
    ChoiceScreen {
        version: "0.1.0".into(),
        title: "Recovery".into(),
        mood: Mood::Warning,
        headline: "The recovery system of this machine".into(),
        text: vec!["LF-R01  The installed system does not run now.".into()],
        choices: vec![
            choice("Restart the normal system", ""),
            choice(
                "Repair",
                "writes both systems again; data and user-data are kept",
            ),
            choice(
                "Reset",
                "writes both systems again; all data on the persistent partition is lost",
            ),
            choice("Switch the machine off", ""),
        ],
        clock: "Without a key, the machine restarts in 10 min.".into(),
        hints: hints(&[("1-4", "do it"), ("↑↓", "choose"), ("Enter", "do it")]),
        ..ChoiceScreen::default()
    }
}

fn recovery_repair() -> ChoiceScreen {
    ChoiceScreen {
        mood: Mood::Question,
        headline: "Write both systems again and keep all data?".into(),
        text: vec![
            "A repair writes both systems and the boot files again from recovery.".into(),
            "Data, user-data, registration and extra partitions stay as they are.".into(),
        ],
        choices: Vec::new(),
        hints: hints(&[("Enter", "repair"), ("Esc", "go back")]),
        ..recovery()
    }
}

fn recovery_failed() -> ChoiceScreen {
    ChoiceScreen {
        mood: Mood::Danger,
        headline: "The reset failed  LF-R05".into(),
        text: vec![
            "Chunk 87 of the payload is damaged on the recovery partition. The machine still starts.".into(),
            "Restart the machine, or try it again; if it fails again, the disk may be worn out: replace it.".into(),
        ],
        ..recovery()
    }
}
