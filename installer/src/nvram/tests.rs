use super::*;

const ESP: PartitionPath = PartitionPath {
    number: 2,
    start: 4096,
    blocks: 524_288,
    guid: Uuid::from_u128(0xabcd),
};

fn entry(description: &str, guid: Option<u128>) -> LoadOption {
    LoadOption {
        description: description.to_owned(),
        partition: guid.map(Uuid::from_u128),
    }
}

fn firmware(order: &[u16], entries: &[(u16, LoadOption)]) -> BootEntries {
    BootEntries {
        order: order.iter().copied().map(Number).collect(),
        taken: entries.iter().map(|(number, _)| Number(*number)).collect(),
        entries: entries
            .iter()
            .map(|(number, option)| (Number(*number), option.clone()))
            .collect(),
    }
}

fn numbers(numbers: &[u16]) -> Vec<Number> {
    numbers.iter().copied().map(Number).collect()
}

#[test]
fn a_machine_without_entries_gets_one_and_an_order() {
    let change = change(&BootEntries::default(), &ESP, &BTreeSet::new()).unwrap();
    assert_eq!((change.entry, change.order), (Number(0), numbers(&[0])));
    assert_eq!(
        load_option::parse(&change.content.0),
        Some(entry(LABEL, Some(0xabcd)))
    );
}

#[test]
fn ours_comes_first_and_the_others_keep_their_order_also_those_that_lead_nowhere() {
    let found = firmware(
        &[3, 0, 9, 1],
        &[
            (0, entry("CD", None)),
            (1, entry("PXE", None)),
            (2, entry("hidden", None)),
            (3, entry("Other", Some(7))),
        ],
    );
    let change = change(&found, &ESP, &BTreeSet::new()).unwrap();
    assert_eq!(
        (change.entry, change.order),
        (Number(4), numbers(&[4, 3, 0, 9, 1]))
    );
    assert_eq!(change.removed, []);
}

#[test]
fn of_our_entries_those_for_other_disks_stay_and_the_rest_goes() {
    let found = firmware(
        &[5, 0, 6, 7, 8],
        &[
            (0, entry("CD", None)),
            (5, entry(LABEL, Some(1))), // the partition that is being made anew
            (6, entry(LABEL, Some(2))), // a second installed disk
            (7, entry(LABEL, Some(3))), // a disk that is gone
            (8, entry(LABEL, None)),    // only its name is ours
        ],
    );
    let alive = BTreeSet::from([Uuid::from_u128(2)]);
    let change = change(&found, &ESP, &alive).unwrap();
    assert_eq!(
        (change.entry, change.order),
        (Number(5), numbers(&[5, 0, 6, 8]))
    );
    assert_eq!(change.removed, numbers(&[7]));
}

#[test]
fn without_a_free_number_nothing_is_changed() {
    let all = BootEntries {
        taken: (0..=u16::MAX).map(Number).collect(),
        ..BootEntries::default()
    };
    assert_eq!(change(&all, &ESP, &BTreeSet::new()), None);
}

#[test]
fn the_entry_of_an_installed_disk_is_found_in_the_order() {
    let found = firmware(
        &[1, 2],
        &[
            (1, entry("CD", None)),
            (2, entry("x", Some(9))),
            (3, entry("x", Some(8))),
        ],
    );
    assert_eq!(entry_for(&found, &[Uuid::from_u128(9)]), Some(Number(2)));
    assert_eq!(
        entry_for(&found, &[Uuid::from_u128(8)]),
        None,
        "the firmware would not use it"
    );
}

/// A folder as the kernel shows it.
fn store(found: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in found {
        put(&variable(folder.path(), name), value).unwrap();
    }
    folder
}

#[test]
fn what_is_written_is_read_again_and_what_is_stale_is_gone() {
    let old = load_option::render(
        LABEL,
        &PartitionPath {
            guid: Uuid::from_u128(1),
            ..ESP
        },
        FILE,
    );
    let gone = load_option::render(
        LABEL,
        &PartitionPath {
            guid: Uuid::from_u128(2),
            ..ESP
        },
        FILE,
    );
    let folder = store(&[
        ("BootOrder", &[0xaf, 0, 1, 0, 2, 0]),
        ("Boot0001", &old),
        ("Boot0002", &gone),
        ("Boot00AF", &[1, 0]),
        ("BootCurrent", &[1, 0]),
        ("Boot000g", &old),
    ]);
    let found = read(folder.path()).unwrap();
    assert_eq!(found.order, numbers(&[0xaf, 1, 2]));
    assert_eq!(
        found.taken.into_iter().collect::<Vec<_>>(),
        numbers(&[1, 2, 0xaf])
    );
    let found = read(folder.path()).unwrap();
    apply(
        folder.path(),
        &change(&found, &ESP, &BTreeSet::new()).unwrap(),
    )
    .unwrap();

    let after = read(folder.path()).unwrap();
    assert_eq!(
        after.entries,
        BTreeMap::from([(Number(1), entry(LABEL, Some(0xabcd)))])
    );
    // The folder of a test keeps the tail of a file that is written over; a variable has none.
    assert_eq!(after.order[..2], numbers(&[1, 0xaf]));
    let raw = fs::read(variable(folder.path(), "Boot0001")).unwrap();
    assert_eq!(
        raw[..4],
        [7, 0, 0, 0],
        "non-volatile, for firmware and system"
    );
}

#[test]
fn an_order_that_cannot_be_written_leaves_no_entry_behind() {
    let folder = store(&[]);
    fs::create_dir(variable(folder.path(), "BootOrder")).unwrap();
    let change = change(&BootEntries::default(), &ESP, &BTreeSet::new()).unwrap();
    let error = apply(folder.path(), &change).unwrap_err();
    assert!(error.to_string().contains("BootOrder"), "{error:#}");
    assert!(!variable(folder.path(), "Boot0000").exists());
}

#[test]
fn a_machine_without_variables_is_an_error_and_one_without_an_order_is_none() {
    assert!(read(Path::new("/no/such/efivars")).is_err());
    assert_eq!(read(store(&[]).path()).unwrap(), BootEntries::default());
}
