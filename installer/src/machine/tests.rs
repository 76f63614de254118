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
