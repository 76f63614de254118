//! Two disks from one payload and one user-data: the same system, and no identity in common.

use std::collections::BTreeMap;
use std::path::Path;

use host::Argv;
use installer::report::Outcome;

use crate::lab::Lab;
use crate::readers::{File, Part, fact, run, sgdisk, tree};

#[test]
fn root_fault_23_two_disks_of_one_payload_share_every_file_and_no_id() {
    let lab = Lab::new();
    let disks = [lab.blank("one.img"), lab.blank("two.img")];
    for disk in &disks {
        let finished = lab.install(disk);
        assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    }
    let [one, two] = disks.each_ref().map(|disk| ids(disk));
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        two.keys().collect::<Vec<_>>()
    );
    // Disk, six partitions, five file systems, and four hash seeds that tell a copy of ext4 as well.
    assert_eq!(one.len(), 16, "{one:#?}");
    let mut all: Vec<&String> = one.values().chain(two.values()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2 * one.len(), "{one:#?}\n{two:#?}");

    let [one, two] = disks.each_ref().map(|disk| files(&lab, disk));
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        two.keys().collect::<Vec<_>>()
    );
    for (name, file) in &one {
        // The log has times, the report has the ids.
        if !name.starts_with("6/.state/var-log.bind/landfall/") {
            assert!(*file == two[name], "{name} differs");
        }
    }
    let image = |files: &BTreeMap<String, File>| {
        let report = &files["6/.state/var-log.bind/landfall/install-report.json"];
        let report: serde_json::Value = serde_json::from_slice(&report.bytes).unwrap();
        let plan = &report["plan"];
        (plan["image_id"].clone(), plan["version"].clone())
    };
    assert_eq!(image(&one), image(&two));
    assert_eq!(image(&one).0, lab.manifest().image_id.to_string());
}

/// Every id on a disk, by what it is the id of.
fn ids(disk: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let said = run(&Argv::new("sgdisk").arg("--print").arg(disk));
    let guid = fact(&said, "Disk identifier (GUID)").to_lowercase();
    found.insert("disk".to_owned(), guid);
    for number in 1..=6 {
        let said = sgdisk(disk, number);
        let guid = fact(&said, "Partition unique GUID").to_lowercase();
        found.insert(format!("partition {number}"), guid);
    }
    for number in 2..=6 {
        let part = Part::of(disk, number);
        found.insert(format!("file system {number}"), part.blkid("UUID"));
        if number > 2 {
            let facts = part.run("dumpe2fs", &["-h"]);
            let seed = fact(&facts, "Directory Hash Seed").to_owned();
            found.insert(format!("hash seed {number}"), seed);
        }
    }
    found
}

/// Every file of every file system, by the number of its partition and its path.
fn files(lab: &Lab, disk: &Path) -> BTreeMap<String, File> {
    let mut found = BTreeMap::new();
    for number in 2..=6 {
        let part = Part::of(disk, number);
        let out = lab.at("out");
        let inside = if number == 2 {
            std::fs::create_dir_all(&out).unwrap();
            let argv = Argv::new("mcopy").args(["-s", "-i"]).arg(&part.node);
            run(&argv.arg("::EFI").arg(&out));
            tree(&out)
        } else {
            part.files(&out)
        };
        assert!(!inside.is_empty(), "nothing on partition {number}");
        let named = inside
            .into_iter()
            .map(|(name, file)| (format!("{number}/{name}"), file));
        found.extend(named);
        std::fs::remove_dir_all(&out).unwrap();
    }
    found
}
