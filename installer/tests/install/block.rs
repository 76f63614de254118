//! The same command on an image file and on block devices of both sector sizes.

use std::path::{Path, PathBuf};

use host::{Argv, Host as _, Linux, LoopRequest};
use installer::report::Outcome;

use crate::lab::{DISK, Lab, MIB};
use crate::readers::{Part, fact, run};

/// A block device over an image; it goes when the test does.
struct Device(PathBuf);

impl Device {
    fn over(image: &Path, sector_size: Option<u32>) -> Self {
        let request = LoopRequest {
            file: image.to_owned(),
            offset: 0,
            size: None,
            read_only: false,
            sector_size,
        };
        Self(Linux.attach_loop(&request).unwrap())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        drop(Linux.detach_loop(&self.0));
    }
}

/// Name, first byte and length of every partition, and that `sgdisk` finds nothing wrong.
fn partitions(disk: &Path, sector: u64) -> Vec<(String, u64, u64)> {
    let said = run(&Argv::new("sgdisk").arg("--verify").arg(disk));
    assert!(said.contains("No problems found."), "{said}");
    let one = |number: u32| {
        let said = run(&Argv::new("sgdisk")
            .arg(format!("--info={number}"))
            .arg(disk));
        let sectors = |name: &str| {
            let text = fact(&said, name).split(' ').next().unwrap();
            text.parse::<u64>().unwrap() * sector
        };
        let name = fact(&said, "Partition name").to_owned();
        (name, sectors("First sector"), sectors("Partition size"))
    };
    (1..=6).map(one).collect()
}

fn assert_clean(image: &Path, partitions: &[(String, u64, u64)], sector: Option<u32>) {
    for (name, start, size) in &partitions[1..] {
        let part = Part::at(image, *start, Some(*size), sector);
        if name == "'efi'" {
            part.run("fsck.vfat", &["-n"]);
        } else {
            part.run("e2fsck", &["-f", "-n"]);
        }
    }
}

#[test]
fn root_an_image_file_and_block_devices_of_both_sector_sizes_get_the_same_partitions() {
    let lab = Lab::with_tiny_payload();
    let install = |disk: &Path| {
        let finished = lab.install(disk);
        assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    };
    install(&lab.disk());
    let expected = partitions(&lab.disk(), 512);
    assert_clean(&lab.disk(), &expected, None);
    let (_, start, size) = expected.last().unwrap();
    assert!(DISK - (start + size) < 2 * MIB);

    for sector in [512, 4096] {
        let image = lab.blank(&format!("block-{sector}.img"));
        let device = Device::over(&image, Some(sector));
        install(&device.0);
        let found = partitions(&device.0, u64::from(sector));
        assert_eq!(found, expected, "sectors of {sector} bytes");
        drop(device);
        assert_clean(&image, &found, Some(sector));
    }
}
