//! What is wanted and a disk -> where everything goes, or why not. What cannot be wanted stands in `refused.rs`.

mod independent;

use independent::{big, counting, disk_of, extra, layout, wanted, with_extras};
use partition::{Bytes, Layout, LayoutError, Note, Role, SectorSize, Table, Wanted};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
/// 1 + 256 + 64 + (2 x 300 + 200) + (3 x 700 + 1000) + 512 MiB and the MiB in front.
const SUM: u64 = 1 + 1 + 256 + 64 + 800 + 3100 + 512;

fn names_and_mib(layout: &Layout) -> Vec<(u32, &str, u64)> {
    layout
        .partitions()
        .iter()
        .map(|part| (part.number, part.name.as_str(), part.size.get() / MIB))
        .collect()
}

#[test]
fn the_default_disk_is_the_one_of_the_design() {
    let layout = layout(Bytes::mib(64 * 1024), SectorSize::B512);
    assert_eq!(
        layout.to_string(),
        " #  NAME                START         SIZE  FS    LABEL
 1  bios                1 MiB        1 MiB  none  -
 2  efi                 2 MiB      256 MiB  vfat  COS_GRUB
 3  oem               258 MiB       64 MiB  ext4  COS_OEM
 4  recovery          322 MiB      800 MiB  ext4  COS_RECOVERY
 5  state            1122 MiB     3100 MiB  ext4  COS_STATE
 6  persistent       4222 MiB    61313 MiB  ext4  COS_PERSISTENT
"
    );
    assert_eq!(layout.notes(), []);
    let roles: Vec<Role> = layout.partitions().iter().map(|part| part.role).collect();
    assert_eq!(
        roles,
        [
            Role::BiosBoot,
            Role::Esp,
            Role::Oem,
            Role::Recovery,
            Role::State,
            Role::Persistent
        ]
    );
}

#[test]
fn the_smallest_disk_works_and_one_sector_less_does_not() {
    for (sector, tail) in [(SectorSize::B512, 33 * 512), (SectorSize::B4096, 5 * 4096)] {
        let need = Bytes::new(SUM * MIB + tail);
        assert_eq!(wanted().smallest_disk(sector), Ok(need));
        let smallest = layout(need, sector);
        assert_eq!(
            smallest.partitions().last().map(|part| part.size),
            Some(Bytes::mib(512))
        );

        let have = Bytes::new(need.get() - u64::from(sector));
        let refused = wanted().layout(disk_of(have, sector), counting());
        assert_eq!(refused, Err(LayoutError::TooSmall { need, have }));
        // Half a sector more is no sector.
        let have = Bytes::new(need.get() - 1);
        assert_eq!(
            wanted().layout(disk_of(have, sector), counting()),
            Err(LayoutError::TooSmall { need, have })
        );
    }
}

#[test]
fn a_disk_that_is_too_small_is_told_in_mebibytes_that_cannot_mislead() {
    let need = wanted()
        .smallest_disk(SectorSize::B512)
        .expect("it is known");
    let have = Bytes::new(need.get() - 512);
    let refused = wanted()
        .layout(disk_of(have, SectorSize::B512), counting())
        .expect_err("it is refused");
    assert_eq!(
        refused.to_string(),
        "the disk is too small: it has 4734 MiB (4963975168 bytes), 4735 MiB (4963975680 bytes) are needed"
    );
}

#[test]
fn a_disk_of_almost_nothing_is_too_small_and_nothing_breaks() {
    for size in [0, 1, 511, 4096, 33 * 512, MIB, 2 * MIB] {
        for sector in [SectorSize::B512, SectorSize::B4096] {
            let refused = wanted().layout(disk_of(Bytes::new(size), sector), counting());
            assert!(
                matches!(refused, Err(LayoutError::TooSmall { .. })),
                "{size}: {refused:?}"
            );
        }
    }
}

#[test]
fn a_size_below_the_formula_is_raised_and_said_so() {
    let small = Some(Bytes::mib(5));
    let wanted = Wanted {
        efi: small,
        oem: small,
        recovery: small,
        state: small,
        persistent: small,
        ..wanted()
    };
    let layout = wanted.layout(big(), counting()).expect("it fits");
    let raised = |name: &str, given| Note::Raised {
        name: name.to_owned(),
        wanted: Bytes::mib(5),
        given: Bytes::mib(given),
    };
    assert_eq!(
        layout.notes(),
        [
            raised("efi", 64),
            raised("oem", 16),
            raised("recovery", 800),
            raised("state", 3100),
            raised("persistent", 512),
            Note::Extended {
                name: "persistent".to_owned(),
                wanted: Bytes::mib(512),
                given: Bytes::mib(61553)
            },
        ]
    );
    assert_eq!(
        layout.notes().first().map(ToString::to_string).as_deref(),
        Some("partition efi needs more than the 5 MiB asked for and gets 64 MiB")
    );
}

#[test]
fn larger_sizes_are_taken_as_they_are() {
    let wanted = Wanted {
        efi: Some(Bytes::mib(300)),
        oem: Some(Bytes::mib(100)),
        recovery: Some(Bytes::mib(2000)),
        state: Some(Bytes::mib(9000)),
        ..wanted()
    };
    let layout = wanted.layout(big(), counting()).expect("it fits");
    assert_eq!(
        names_and_mib(&layout),
        [
            (1, "bios", 1),
            (2, "efi", 300),
            (3, "oem", 100),
            (4, "recovery", 2000),
            (5, "state", 9000),
            (6, "persistent", 54133),
        ]
    );
    assert_eq!(layout.notes(), []);
}

#[test]
fn content_of_any_size_makes_whole_mebibytes() {
    let odd = Wanted::new(Bytes::new(700 * MIB + 1), Bytes::new(1));
    let layout = odd.layout(big(), counting()).expect("it fits");
    let size = |role| layout.partition(role).map(|part| part.size);
    assert_eq!(size(Role::State), Some(Bytes::mib(3 * 701 + 1000)));
    assert_eq!(size(Role::Recovery), Some(Bytes::mib(202)));
}

#[test]
fn extras_lie_before_a_persistent_partition_that_takes_the_rest() {
    let wanted = with_extras(0, vec![extra("data", 1000), extra("logs", 2000)]);
    let layout = wanted.layout(big(), counting()).expect("it fits");
    assert_eq!(
        names_and_mib(&layout)[4..],
        [
            (5, "state", 3100),
            (6, "data", 1000),
            (7, "logs", 2000),
            (8, "persistent", 58313)
        ]
    );
    assert_eq!(layout.notes(), []);
}

#[test]
fn without_a_size_zero_the_last_extra_takes_the_rest_and_that_is_said() {
    let wanted = with_extras(4000, vec![extra("data", 1000), extra("logs", 2000)]);
    let layout = wanted.layout(big(), counting()).expect("it fits");
    assert_eq!(
        names_and_mib(&layout)[5..],
        [
            (6, "persistent", 4000),
            (7, "data", 1000),
            (8, "logs", 56313)
        ]
    );
    let extended = Note::Extended {
        name: "logs".to_owned(),
        wanted: Bytes::mib(2000),
        given: Bytes::mib(56313),
    };
    assert_eq!(layout.notes(), [extended]);
}

#[test]
fn a_last_partition_that_fits_exactly_is_not_called_extended() {
    let wanted = with_extras(512, vec![]);
    let need = wanted.smallest_disk(SectorSize::B512).expect("it is known");
    let layout = wanted
        .layout(disk_of(need, SectorSize::B512), counting())
        .expect("it fits");
    assert_eq!(layout.notes(), []);
}

#[test]
fn an_extra_of_size_zero_goes_last_and_keeps_the_others_at_their_size() {
    let wanted = with_extras(4000, vec![extra("rest", 0), extra("data", 1000)]);
    let layout = wanted.layout(big(), counting()).expect("it fits");
    assert_eq!(
        names_and_mib(&layout)[5..],
        [
            (6, "persistent", 4000),
            (7, "data", 1000),
            (8, "rest", 56313)
        ]
    );
    assert_eq!(layout.notes(), []);
}

#[test]
fn guids_are_asked_for_in_order_and_must_differ() {
    let layout = wanted().layout(big(), counting()).expect("it fits");
    let again = wanted().layout(big(), counting()).expect("it fits");
    assert_eq!(layout, again);
    let mut expected = counting();
    assert_eq!(layout.disk_guid(), expected());
    for part in layout.partitions() {
        assert_eq!(part.guid, expected(), "{}", part.name);
    }
    let same = Uuid::from_u128(7);
    assert_eq!(
        wanted().layout(big(), || same),
        Err(LayoutError::BadGuid { guid: same })
    );
    assert_eq!(
        wanted().layout(big(), Uuid::nil),
        Err(LayoutError::BadGuid { guid: Uuid::nil() })
    );
}

#[test]
fn a_layout_survives_json_and_an_edited_one_is_refused() {
    let layout = layout(Bytes::mib(64 * 1024), SectorSize::B4096);
    let json = serde_json::to_string(&layout).expect("it serialises");
    assert_eq!(
        serde_json::from_str::<Layout>(&json).expect("it is the same"),
        layout
    );

    for (from, to, complaint) in [
        (r#""number":3"#, r#""number":4"#, "without gaps"),
        (
            r#""start":2097152"#,
            r#""start":1048576"#,
            "before the one in front of it ends",
        ),
        (r#""start":2097152"#, r#""start":2097664"#, "whole MiB"),
        (r#""size":67108864"#, r#""size":0"#, "no size"),
        (
            r#""size":67108864"#,
            r#""size":68157440"#,
            "before the one in front of it ends",
        ),
        (r#""size":68719476736"#, r#""size":68719472640"#, ""),
        (
            r#""size":68719476736"#,
            r#""size":68718428160"#,
            "too small",
        ),
        (r#""name":"oem""#, r#""name":"mine""#, "contract"),
        (r#""label":"COS_OEM""#, r#""label":"COS_MINE""#, "contract"),
        (r#""sector":4096"#, r#""sector":2048"#, "not supported"),
        (
            r#""start":1048576"#,
            r#""start":0"#,
            "before the one in front of it ends",
        ),
    ] {
        assert!(json.contains(from), "{from} is not in {json}");
        let read = serde_json::from_str::<Layout>(&json.replacen(from, to, 1));
        match read {
            Ok(_) => assert_eq!(complaint, "", "{to} was accepted"),
            Err(error) => {
                assert_ne!(complaint, "", "{to} was refused: {error}");
                assert!(error.to_string().contains(complaint), "{to}: {error}");
            }
        }
    }
}

#[test]
fn an_mbr_has_the_four_partitions_that_fit_it() {
    let wanted = Wanted {
        table: Table::Mbr,
        ..wanted()
    };
    let layout = wanted.layout(big(), counting()).expect("it fits");
    assert_eq!(
        names_and_mib(&layout),
        [
            (1, "oem", 64),
            (2, "recovery", 800),
            (3, "state", 3100),
            (4, "persistent", 61570)
        ]
    );
    let state = layout.partition(Role::State).expect("there is one");
    assert_eq!(layout.part_uuid(state), "11223344-03");
    assert_eq!(layout.partition(Role::Esp), None);
}

#[test]
fn a_gpt_partition_is_known_by_its_guid() {
    let layout = layout(Bytes::mib(64 * 1024), SectorSize::B512);
    let state = layout.partition(Role::State).expect("there is one");
    assert_eq!(
        layout.part_uuid(state),
        "11223344-0000-4000-8000-000000000006"
    );
}
