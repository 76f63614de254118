//! Disks that others used, made by their programs and drivers in a kernel of their own: one is installed, and all the others
//! keep every byte. `installer/tests/install/consent.rs` tries many more kinds, on files and without these drivers.

use std::time::Duration;

use qemu_tests::machine::Builder;
use qemu_tests::tiny::Tiny;
use qemu_tests::user_data::Ending;
use qemu_tests::{Disk, Event, Exit, Firmware, artifacts, door};

use crate::lab::{Lab, SOON, wait_finished, wait_installed};

/// The file systems, arrays and volumes of `seed.sh` need these.
const MODULES: [&str; 10] = [
    "virtio_blk",
    "ext4",
    "crc32c_generic",
    "md-mod",
    "raid1",
    "dm-mod",
    "dm-crypt",
    "xts",
    "ecb",
    "algif_skcipher",
];
const PROGRAMS: [&str; 6] = [
    "mdadm",
    "lvm",
    "cryptsetup",
    "mkfs.ext4",
    "mkfs.vfat",
    "sgdisk",
];

/// The disks of `seed.sh` in their order, and how large they are in MiB. An installation fits on the large ones.
const DISKS: [(&str, u64); 9] = [
    ("vda", LARGE),
    ("vdb", 256),
    ("vdc", LARGE),
    ("vdd", 1024),
    ("vde", 64),
    ("vdf", 64),
    ("vdg", 64),
    ("vdh", 64),
    ("vdi", 64),
];
const LARGE: u64 = 16 << 10;

/// A step that says on the serial console which disks, arrays and mapped devices there are, before anything is written.
const WHAT_STANDS: &str = "  before-install:
    - name: what stands on the disks
      commands:
        - echo \"what stands [\"$(ls /sys/block | grep -E '^(vd|dm-|md)')\"]\" > /dev/ttyS0
";

struct Seeded {
    disks: Vec<Disk>,
    before: Vec<blake3::Hash>,
}

impl Seeded {
    /// Runs `seed.sh` on blank disks.
    fn new(lab: &Lab) -> Self {
        let blank = |(name, mib): &(&str, u64)| {
            Disk::empty(lab.folder.file(&format!("{name}.img")), mib << 20).unwrap()
        };
        let disks: Vec<Disk> = DISKS.iter().map(blank).collect();
        let seeded = run(lab, "seed", include_str!("neighbours/seed.sh"), &disks);
        // Everything really stood on its disk.
        let standing = seeded.text("standing");
        for (disk, holder) in [
            ("vda", "dm-"),
            ("vdb", "dm-"),
            ("vdc2", "md1"),
            ("vdd2", "md1"),
            ("vdc3", "md2"),
            ("md2", "dm-"),
            ("vdc4", "md3"),
            ("vdc5", "md4"),
            ("vde", "md5"),
            ("vdh", "md6"),
            ("vdi", "dm-"),
        ] {
            let stands = format!("{disk}:{holder}");
            assert!(standing.contains(&stands), "{stands}: {standing}");
        }
        let before = disks.iter().map(hash).collect();
        Self { disks, before }
    }

    /// The machine with all of them.
    fn in_machine(&self, machine: Builder) -> Builder {
        self.disks.iter().cloned().fold(machine, Builder::disk)
    }

    /// That every disk but `target` has the bytes that it had.
    #[track_caller]
    fn assert_unchanged_but(&self, target: Option<usize>) {
        for (number, (disk, before)) in self.disks.iter().zip(&self.before).enumerate() {
            let same = hash(disk) == *before;
            assert_eq!(same, Some(number) != target, "{}", DISKS[number].0);
        }
    }
}

fn hash(disk: &Disk) -> blake3::Hash {
    artifacts::hash(disk.path()).unwrap()
}

/// Starts a machine that runs only this script over the disks, and returns what it says at its end.
fn run(lab: &Lab, name: &str, script: &str, disks: &[Disk]) -> Event {
    let tiny = Tiny {
        modules: &MODULES,
        programs: &PROGRAMS,
        script,
    };
    let machine = tiny
        .machine(&lab.folder, &format!("{}-{name}", lab.name))
        .unwrap();
    let machine = disks.iter().cloned().fold(machine, Builder::disk);
    let mut vm = machine.start().unwrap();
    let said = vm
        .wait_event("of the script", Duration::from_mins(4), |_| true)
        .unwrap();
    assert_eq!(vm.wait_exit(SOON).unwrap(), Exit::PowerOff);
    said
}

/// Installs to the disk with this number, which the user-data name by its serial number, and waits until that is done.
fn install(lab: &mut Lab, seeded: &Seeded, target: usize) {
    lab.user_data.ending = Ending::PowerOff;
    lab.user_data.wipe = Some("foreign");
    // The medium comes first, so that the first disk is the second medium.
    lab.user_data.disk_serial = Some(format!("LF{:04}", target + 2));
    lab.user_data.more_stages = WHAT_STANDS;
    let machine = lab.machine().firmware(Firmware::Bios).cdrom(lab.iso());
    let mut vm = seeded.in_machine(machine).start().unwrap();
    let chosen = vm
        .wait_event("target", SOON * 2, |event| event.name() == "target")
        .unwrap();
    let node = format!("/dev/{}", DISKS[target].0);
    assert!(chosen.text("disk").contains(&node), "{chosen}");
    wait_installed(&mut vm, "poweroff");
    let disks = DISKS.map(|(name, _)| name).join(" ");
    let serial = vm.serial();
    let stands = format!("what stands [{disks}]");
    assert!(serial.contains(&stands), "{serial}");
    assert_eq!(vm.wait_exit(SOON).unwrap(), Exit::PowerOff);
    assert_eq!(vm.unreadable_events(), [""; 0]);
}

/// What `wipefs` (libblkid, every signature it knows) finds on the disk.
fn signatures(disk: &Disk) -> Vec<String> {
    let mut wipefs = door::command("wipefs");
    wipefs.args(["--no-act", "--noheadings", "--output", "TYPE"]);
    let said = door::run(wipefs.arg(disk.path())).unwrap();
    let said = String::from_utf8(said).unwrap();
    let mut kinds: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
    kinds.dedup();
    kinds
}

#[track_caller]
fn assert_only_ours(disk: &Disk) {
    assert_eq!(signatures(disk), ["gpt", "PMBR"]);
}

/// What the programs of others find: `lvm:vda`, `md:vdc2`.
fn found(lab: &Lab, seeded: &Seeded) -> Vec<String> {
    let event = run(
        lab,
        "find",
        include_str!("neighbours/find.sh"),
        &seeded.disks,
    );
    let words = event.text("what").split_whitespace();
    words.map(str::to_owned).collect()
}

#[test]
fn disks_of_others_are_named_and_refused_and_with_leave_half_a_volume_group_is_installed_over() {
    let mut lab = Lab::new("neighbours-lvm");
    let seeded = Seeded::new(&lab);

    // None is named, so that the refusal speaks of every disk.
    let machine = lab.machine().cdrom(lab.iso());
    let mut vm = seeded.in_machine(machine).start().unwrap();
    let refused = wait_finished(&mut vm);
    let told = (refused.text("result"), refused.text("code"));
    assert_eq!(told, ("refused", "LF-D09"), "{refused}");
    let reason = refused.text("reason");
    for (disk, words) in [
        ("vda", "LVM \"vg0\" 16 GiB"),
        ("vdb", "LVM \"vg0\" 256 MiB"),
        ("vdc", "Linux RAID member \"till:shop2\" 256 MiB"),
        ("vdd", "Linux RAID member \"till:shop1\" 96 MiB"),
        ("vde", "Linux RAID member 64 MiB"),
        ("vdf", "Linux RAID member 64 MiB"),
        ("vdg", "Linux RAID member \"till:shop6\" 64 MiB"),
        ("vdh", "Linux RAID member \"till:shop6\" 64 MiB"),
        ("vdi", "encrypted by LUKS 64 MiB"),
    ] {
        let mut sentences = reason.split("; ");
        let of_disk = sentences.find(|sentence| sentence.contains(&format!("/dev/{disk}")));
        let says = of_disk.is_some_and(|sentence| sentence.contains(words));
        assert!(says, "{disk}: {words}: {reason}");
    }
    // A disk that something stands on is refused for that, and with another code.
    assert!(!reason.contains("in use"), "{reason}");
    vm.quit().unwrap();
    drop(vm);
    seeded.assert_unchanged_but(None);

    install(&mut lab, &seeded, 0);
    seeded.assert_unchanged_but(Some(0));
    assert_only_ours(&seeded.disks[0]);
    let found = found(&lab, &seeded);
    let of_target = found.iter().find(|what| what.contains(":vda"));
    assert_eq!(of_target, None, "{found:?}");
    // The other half says that its volume is missing, and the arrays are as they were.
    for what in [
        "lvm:vdb", "md:vdc2", "md:vdd5", "md:vde", "md:vdh", "luks:vdi",
    ] {
        assert!(found.iter().any(|found| found == what), "{what}: {found:?}");
    }
}

#[test]
fn half_the_disks_of_a_server_with_lvm_on_mirrors_is_installed_over_and_the_other_half_is_whole() {
    let mut lab = Lab::new("neighbours-server");
    let seeded = Seeded::new(&lab);
    install(&mut lab, &seeded, 2);
    seeded.assert_unchanged_but(Some(2));
    assert_only_ours(&seeded.disks[2]);
    let found = found(&lab, &seeded);
    let of_target = found.iter().find(|what| what.contains(":vdc"));
    assert_eq!(of_target, None, "{found:?}");
    for what in ["md:vdd2", "md:vdd3", "md:vdd4", "md:vdd5", "lvm:vda"] {
        assert!(found.iter().any(|found| found == what), "{what}: {found:?}");
    }
}

#[test]
fn nothing_is_left_of_a_mirror_of_whole_disks_in_any_of_its_formats() {
    let mut lab = Lab::new("neighbours-mirrors");
    let blank = |name| {
        let image = lab.folder.file(&format!("{name}.img"));
        Disk::empty(image, LARGE << 20).unwrap()
    };
    let disks = ["0.90", "1.0", "1.1", "1.2"].map(blank);
    run(&lab, "seed", include_str!("neighbours/whole.sh"), &disks);
    lab.user_data.wipe = Some("foreign");
    let text = lab.user_data.to_string();
    for disk in &disks {
        let was = signatures(disk);
        let of_array = was.iter().any(|kind| kind == "linux_raid_member");
        assert!(of_array, "{}: {was:?}", disk.path().display());
        artifacts::install_image(&text, disk.path()).unwrap();
        assert_only_ours(disk);
    }
}
