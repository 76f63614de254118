//! Facts from recorded trees of sysfs.

use super::*;

fn put(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

fn disk(root: &Path, name: &str, place: &str, sectors: u64, files: &[(&str, &str)]) {
    let real = root.join("devices").join(place).join("block").join(name);
    put(&real, "size", &format!("{sectors}\n"));
    put(&real, "queue/logical_block_size", "512\n");
    for (file, text) in files {
        put(&real, file, text);
    }
    fs::create_dir_all(root.join("block")).unwrap();
    std::os::unix::fs::symlink(&real, root.join("block").join(name)).unwrap();
}

#[test]
fn disks_are_told_from_what_only_looks_like_one() {
    let root = tempfile::tempdir().unwrap();
    let sys = root.path();
    disk(sys, "loop0", "virtual", 8, &[]);
    disk(sys, "sr0", "pci/ata1", 100, &[]);
    disk(sys, "mmcblk0", "pci/mmc0", 1000, &[]);
    disk(sys, "mmcblk0boot0", "pci/mmc0", 8, &[]);
    disk(
        sys,
        "sdb",
        "pci/usb1",
        2000,
        &[("removable", "1\n"), ("device/model", "Stick\n")],
    );
    disk(sys, "sda", "pci/ata2", 0, &[]);
    disk(
        sys,
        "nvme0n1",
        "pci/nvme",
        4000,
        &[("device/serial", "S1\n"), ("ro", "1\n")],
    );
    disk(sys, "vda", "pci/virtio3", 4000, &[]);
    disk(sys, "nvme0c0n1", "pci/nvme", 4000, &[("hidden", "1\n")]);
    let machine = read_machine(sys, Path::new("/dev")).unwrap();
    assert_eq!(machine.firmware, Firmware::Bios);
    let seen: Vec<_> = machine
        .disks
        .iter()
        .map(|d| (d.name.as_str(), d.transport))
        .collect();
    assert_eq!(
        seen,
        [
            ("mmcblk0", Transport::Mmc),
            ("nvme0n1", Transport::Nvme),
            ("sdb", Transport::Usb),
            ("vda", Transport::Virtio)
        ]
    );
    let stick = &machine.disks[2];
    assert!(stick.removable && !stick.read_only);
    assert_eq!((stick.size, stick.model.as_str()), (2000 * 512, "Stick"));
    assert!(machine.disks[1].read_only);
    assert_eq!(machine.disks[1].serial, "S1");
}

#[test]
fn a_disk_that_shows_up_late_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let sys = root.path().to_owned();
    disk(&sys, "sda", "pci/ata1", 4000, &[]);
    let late = std::thread::spawn({
        let sys = sys.clone();
        move || {
            std::thread::sleep(Duration::from_millis(60));
            disk(&sys, "sdb", "pci/ata2", 4000, &[]);
            Instant::now()
        }
    });
    let quiet = Duration::from_millis(300);
    wait_for_disks(&sys, Path::new("/dev"), quiet, Duration::from_secs(20)).unwrap();
    let appeared = late.join().unwrap();
    assert!(
        appeared.elapsed() >= quiet / 2,
        "the list was taken too early"
    );
    assert_eq!(read_disks(&sys, Path::new("/dev")).unwrap().len(), 2);
}

/// A tree as Linux 6.1 shows it: folders below `devices`, the classes and numbers as links.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn sys(&self) -> &Path {
        self.0.path()
    }

    /// A disk at `place` below `devices`; `files` beside it, `partitions` with their numbers inside.
    fn disk(&self, place: &str, number: &str, files: &[(&str, &str)], partitions: &[&str]) {
        let real = self.sys().join("devices").join(place);
        let name = real.file_name().unwrap().to_string_lossy().into_owned();
        for (file, text) in [
            ("size", "1000215216"),
            ("queue/logical_block_size", "512"),
            ("dev", number),
        ] {
            put(&real, file, &format!("{text}\n"));
        }
        for (file, text) in files {
            put(&real, file, &format!("{text}\n"));
        }
        self.link(&format!("block/{name}"), &real);
        self.link(&format!("class/block/{name}"), &real);
        self.link(&format!("dev/block/{number}"), &real);
        for partition in partitions {
            put(&real.join(partition), "partition", "1\n");
            self.link(&format!("class/block/{partition}"), &real.join(partition));
        }
    }

    fn link(&self, from: &str, to: &Path) {
        let from = self.sys().join(from);
        fs::create_dir_all(from.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, from).unwrap();
    }

    fn read(&self) -> Vec<Disk> {
        read_machine(self.sys(), Path::new("/dev")).unwrap().disks
    }
}

const PCI: &str = "pci0000:00/0000:00:1f.2";

#[test]
fn every_bus_is_known_by_its_place_in_the_tree() {
    let tree = Tree::new();
    let places = [
        ("ata3/host2/target2:0:0/2:0:0:0/block/sda", Transport::Sata),
        (
            "host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sdb",
            Transport::Sas,
        ),
        (
            "usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdc",
            Transport::Usb,
        ),
        (
            "host1/rport-1:0-2/target1:0:0/1:0:0:0/block/sdd",
            Transport::Fc,
        ),
        (
            "host3/session1/target3:0:0/3:0:0:0/block/sde",
            Transport::Iscsi,
        ),
        ("host4/target4:0:0/4:0:0:0/block/sdf", Transport::Scsi),
        (
            "virtio2/host5/target5:0:0/5:0:0:0/block/sdg",
            Transport::Virtio,
        ),
        ("virtio1/block/vda", Transport::Virtio),
        ("nvme/nvme1/nvme1n1", Transport::Nvme),
        ("mmc_host/mmc0/mmc0:0001/block/mmcblk0", Transport::Mmc),
    ];
    for (minor, (place, _)) in places.iter().enumerate() {
        tree.disk(&format!("{PCI}/{place}"), &format!("8:{minor}"), &[], &[]);
    }
    let disks = tree.read();
    assert_eq!(disks.len(), places.len());
    for (place, bus) in places {
        let name = Path::new(place).file_name().unwrap().to_string_lossy();
        let disk = disks.iter().find(|disk| disk.name == name).unwrap();
        assert_eq!(disk.transport, bus, "{place}");
    }
}

#[test]
fn a_multipath_nvme_is_one_disk_with_its_namespaces() {
    let tree = Tree::new();
    let facts = |wwid: &'static str| {
        [
            ("wwid", wwid),
            ("device/serial", "S6Z2NX0W"),
            ("device/model", "Example NVMe   "),
        ]
    };
    let subsystem = "virtual/nvme-subsystem/nvme-subsys0";
    tree.disk(
        &format!("{subsystem}/nvme0n1"),
        "259:1",
        &facts("eui.0025385b21404321"),
        &["nvme0n1p1"],
    );
    tree.disk(
        &format!("{subsystem}/nvme0n2"),
        "259:2",
        &facts("eui.0025385b21404322"),
        &[],
    );
    // Its paths, which the kernel hides.
    for (path, number) in [("nvme0c0n1", "0:1"), ("nvme0c1n1", "0:2")] {
        tree.disk(
            &format!("{PCI}/nvme/nvme0/{path}"),
            number,
            &[("hidden", "1")],
            &[],
        );
    }
    let disks = tree.read();
    let seen: Vec<_> = disks
        .iter()
        .map(|disk| (disk.name.as_str(), disk.wwn.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("nvme0n1", "eui.0025385b21404321"),
            ("nvme0n2", "eui.0025385b21404322")
        ]
    );
    assert_eq!(
        (disks[0].serial.as_str(), disks[0].model.as_str()),
        ("S6Z2NX0W", "Example NVMe")
    );
}

#[test]
fn an_emmc_has_areas_that_are_no_disks_and_a_card_can_be_taken_out() {
    let tree = Tree::new();
    let mmc = format!("{PCI}/mmc_host/mmc0/mmc0:0001/block");
    tree.disk(
        &format!("{mmc}/mmcblk0"),
        "179:0",
        &[("device/type", "MMC"), ("device/serial", "0x1234")],
        &[],
    );
    tree.disk(&format!("{mmc}/mmcblk0boot0"), "179:8", &[("ro", "1")], &[]);
    tree.disk(
        &format!("{mmc}/mmcblk0boot1"),
        "179:16",
        &[("ro", "1")],
        &[],
    );
    tree.disk(&format!("{mmc}/mmcblk0rpmb"), "179:24", &[], &[]);
    let card = format!("{PCI}/mmc_host/mmc1/mmc1:aaaa/block/mmcblk1");
    tree.disk(
        &card,
        "179:32",
        &[("device/type", "SD"), ("removable", "0")],
        &[],
    );
    let disks = tree.read();
    let seen: Vec<_> = disks
        .iter()
        .map(|disk| (disk.name.as_str(), disk.removable))
        .collect();
    assert_eq!(seen, [("mmcblk0", false), ("mmcblk1", true)]);
}

#[test]
fn fault_20_sectors_are_told_as_the_disk_counts_and_as_it_writes() {
    let tree = Tree::new();
    let queue = |logical, physical| {
        [
            ("queue/logical_block_size", logical),
            ("queue/physical_block_size", physical),
        ]
    };
    tree.disk(
        &format!("{PCI}/ata1/block/sda"),
        "8:0",
        &queue("512", "4096"),
        &[],
    );
    tree.disk(
        &format!("{PCI}/ata2/block/sdb"),
        "8:16",
        &queue("4096", "4096"),
        &[],
    );
    let disks = tree.read();
    let seen: Vec<_> = disks
        .iter()
        .map(|disk| (disk.sector, disk.physical_sector, disk.size))
        .collect();
    assert_eq!(
        seen,
        [
            (512, 4096, 1_000_215_216 * 512),
            (4096, 4096, 1_000_215_216 * 512)
        ]
    );
}

#[test]
fn fault_18_what_stands_on_a_disk_or_on_its_partitions_uses_it() {
    let tree = Tree::new();
    tree.disk(&format!("{PCI}/ata1/block/sda"), "8:0", &[], &["sda1"]);
    tree.disk(&format!("{PCI}/ata2/block/sdb"), "8:16", &[], &["sdb1"]);
    tree.disk(&format!("{PCI}/ata3/block/sdc"), "8:32", &[], &[]);
    tree.disk(
        "virtual/block/dm-0",
        "254:0",
        &[("dm/name", "vg0-root")],
        &[],
    );
    tree.disk("virtual/block/md127", "9:127", &[], &[]);
    tree.disk(
        "virtual/block/loop3",
        // The mounts are those of the machine that runs the test, which has no such loop device.
        "7:1048575",
        &[("loop/backing_file", "/dev/sdc")],
        &[],
    );
    let devices = tree.sys().join("devices");
    tree.link(
        "class/block/sda1/holders/md127",
        &devices.join("virtual/block/md127"),
    );
    tree.link(
        "class/block/sdb/holders/dm-0",
        &devices.join("virtual/block/dm-0"),
    );
    tree.link(
        "class/block/loop3/holders/dm-0",
        &devices.join("virtual/block/dm-0"),
    );
    let users: Vec<_> = tree.read().into_iter().map(|disk| disk.in_use).collect();
    assert_eq!(users[0], ["md127 stands on sda1"]);
    assert_eq!(users[1], ["dm-0 (vg0-root) stands on sdb"]);
    assert_eq!(users[2], ["dm-0 (vg0-root) stands on loop3"]);
}

#[test]
fn fault_41_a_device_number_leads_to_the_disk_that_has_it_now() {
    let tree = Tree::new();
    tree.disk(
        &format!("{PCI}/ata1/block/sda"),
        "8:0",
        &[("device/serial", "A1")],
        &[],
    );
    let found = read_device(tree.sys(), Path::new("/dev"), (8, 0)).unwrap();
    assert_eq!(found, tree.read()[0]);
    assert_eq!((found.name.as_str(), found.serial.as_str()), ("sda", "A1"));
    assert!(read_device(tree.sys(), Path::new("/dev"), (8, 16)).is_err());
}

#[test]
fn facts_come_back_from_json_as_they_went() {
    let tree = Tree::new();
    tree.disk(
        &format!("{PCI}/ata1/block/sda"),
        "8:0",
        &[("wwid", "naa.5000c500a1b2c3d4")],
        &[],
    );
    let machine = read_machine(tree.sys(), Path::new("/dev")).unwrap();
    let json = serde_json::to_string(&machine).unwrap();
    assert_eq!(serde_json::from_str::<Machine>(&json).unwrap(), machine);
}
