//! What a disk holds and whose it is, from what was read of it. Real signatures are read in the disk tests.

use partition::{Bytes, Table};
use uuid::Uuid;

use super::*;

const GIB: u64 = 1 << 30;

fn one(kind: &str, label: &str) -> Probe {
    Probe::One(Signature {
        kind: kind.to_owned(),
        label: Some(label.to_owned()).filter(|label| !label.is_empty()),
    })
}

fn part(number: u32, name: &str, probe: Probe) -> Part {
    Part {
        table: ReadPartition {
            number,
            start: Bytes::new(u64::from(number) * GIB),
            size: Bytes::new(GIB),
            name: name.to_owned(),
            kind: Uuid::nil(),
            guid: Uuid::nil(),
            attributes: 0,
        },
        made: None,
        group: None,
        probe,
    }
}

fn seen(parts: Vec<Part>) -> Seen {
    let survey = Survey {
        table: Table::Gpt,
        partitions: parts.iter().map(|part| part.table.clone()).collect(),
        boot_code: [0; 440],
        flaw: None,
    };
    Seen {
        blank: false,
        whole: Probe::Nothing,
        group: None,
        survey: Some(survey),
        parts,
        size: 64 * GIB,
    }
}

fn bare(blank: bool, whole: Probe) -> Seen {
    Seen {
        survey: None,
        blank,
        whole,
        ..seen(Vec::new())
    }
}

fn landfall() -> Vec<Part> {
    let label = |label: &str| one("ext4", label);
    let state = Part {
        made: Some(1_795_132_800),
        ..part(5, "state", label("COS_STATE"))
    };
    vec![
        part(1, "bios", Probe::Nothing),
        part(2, "efi", one("vfat", "COS_GRUB")),
        part(3, "oem", label("COS_OEM")),
        part(4, "recovery", label("COS_RECOVERY")),
        state,
        part(6, "persistent", label("COS_PERSISTENT")),
    ]
}

fn said(seen: &Seen) -> (Owner, String) {
    let contents = judge(seen);
    (contents.owner, contents.to_string())
}

#[test]
fn a_disk_without_table_signature_and_bytes_is_blank() {
    assert_eq!(judge(&bare(true, Probe::Nothing)), Contents::BLANK);
    let (owner, words) = said(&bare(false, Probe::Nothing));
    assert_eq!(
        (owner, words.as_str()),
        (Owner::Foreign, "data that no known program wrote")
    );
}

#[test]
fn an_installation_is_known_by_its_names_or_its_labels_and_has_its_date() {
    let (owner, words) = said(&seen(landfall()));
    assert_eq!(
        (owner, words.as_str()),
        (Owner::Ours, "Landfall, installed 2026-11-20")
    );

    // Right behind the table there is no file system yet.
    let mut empty = landfall();
    for part in &mut empty {
        part.probe = Probe::Nothing;
    }
    assert_eq!(said(&seen(empty)).0, Owner::Ours);

    // Kairos makes one of the first two, and an older layout has no names at all.
    let mut kairos = landfall();
    kairos.remove(0);
    assert_eq!(said(&seen(kairos)).1, "Kairos, installed 2026-11-20");
    let mut nameless = landfall();
    for part in &mut nameless {
        part.table.name.clear();
    }
    assert_eq!(said(&seen(nameless)).0, Owner::Ours);
}

#[test]
fn a_single_label_of_ours_makes_no_installation() {
    let data = vec![part(1, "", one("ext4", "COS_PERSISTENT"))];
    let (owner, words) = said(&seen(data));
    assert_eq!(owner, Owner::Foreign);
    assert_eq!(words, "ext4 \"COS_PERSISTENT\" 1.0 GiB");
    let windows = vec![
        part(1, "recovery", one("ntfs", "")),
        part(2, "state", Probe::Nothing),
    ];
    assert_eq!(said(&seen(windows)).0, Owner::Foreign);
}

#[test]
fn what_stands_beside_an_installation_is_named() {
    let mut parts = landfall();
    parts.push(part(7, "data", one("xfs", "shop")));
    let words = said(&seen(parts)).1;
    assert_eq!(
        words,
        "Landfall, installed 2026-11-20, xfs \"shop\" 1.0 GiB"
    );
}

#[test]
fn an_installation_under_a_signature_of_the_whole_disk_is_not_ours() {
    let member = Seen {
        whole: one("linux_raid_member", "host:0"),
        ..seen(landfall())
    };
    let (owner, words) = said(&member);
    assert_eq!(owner, Owner::Foreign);
    assert!(
        words.starts_with("Linux RAID member \"host:0\" 64 GiB, "),
        "{words}"
    );
}

#[test]
fn an_installation_that_did_not_finish_is_ours_and_says_so() {
    let mut half = seen(landfall());
    if let Some(survey) = &mut half.survey {
        survey.flaw = Some("the primary GPT is damaged".to_owned());
    }
    let (owner, words) = said(&half);
    assert_eq!(
        (owner, words.as_str()),
        (Owner::Ours, "Landfall, an installation that did not finish")
    );
}

#[test]
fn foreign_disks_are_told_in_words() {
    let group = Part {
        group: Some("vg0".to_owned()),
        ..part(2, "", one("LVM2_member", ""))
    };
    let parts = vec![
        part(1, "Basic data partition", one("ntfs", "Data")),
        group,
        part(3, "Microsoft reserved\u{1b}[2J", Probe::Nothing),
        part(4, "", Probe::Several),
        part(5, "", Probe::Nothing),
    ];
    let words = judge(&seen(parts)).words;
    let expected = [
        "Windows NTFS \"Data\" 1.0 GiB",
        "LVM \"vg0\" 1.0 GiB",
        "partition \"Microsoft reserved[2J\" 1.0 GiB",
        "several signatures that contradict each other 1.0 GiB",
        "partition 5 1.0 GiB",
    ];
    assert_eq!(words, expected);
    assert_eq!(judge(&seen(Vec::new())).words, ["an empty partition table"]);
    let pool = bare(false, one("zfs_member", "tank"));
    assert_eq!(judge(&pool).words, ["ZFS member \"tank\" 64 GiB"]);
}

#[test]
fn a_disk_of_many_partitions_is_told_in_part() {
    let mut many = seen(
        (1..=MOST)
            .map(|n| part(u32::try_from(n).unwrap(), "", Probe::Nothing))
            .collect(),
    );
    if let Some(survey) = &mut many.survey {
        survey.partitions.extend(survey.partitions.clone());
    }
    let contents = judge(&many);
    assert_eq!(contents.words.last().unwrap(), "64 more partitions");
    assert_eq!(contents.areas.len(), 2 * MOST);
}

#[test]
fn contents_come_back_from_json_as_they_went() {
    let contents = judge(&seen(landfall()));
    let json = serde_json::to_string(&contents).unwrap();
    assert!(
        json.starts_with(
            r#"{"owner":"ours","words":["Landfall, installed 2026-11-20"],"areas":[{"#
        ),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<Contents>(&json).unwrap(), contents);
}

/// A disk of which the ends cannot be read: a file that ends before the size that is claimed.
#[test]
fn a_disk_that_cannot_be_read_is_not_taken_for_blank() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let contents = look(file.path(), 8 << 20, 512, &mut host::Recorder::default());
    assert_eq!(contents.owner, Owner::Unreadable);
    assert!(
        contents
            .to_string()
            .contains("from byte 7340032 on cannot be read"),
        "{contents}"
    );
    let gone = look(
        Path::new("nowhere"),
        8 << 20,
        512,
        &mut host::Recorder::default(),
    );
    assert_eq!(gone.owner, Owner::Unreadable);
}
