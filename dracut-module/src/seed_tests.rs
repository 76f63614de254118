//! Seedings of temporary trees, image after image.

use super::*;
use crate::testing::{Tree, put};

struct Case {
    tree: Tree,
}

impl Case {
    fn new() -> Self {
        let tree = Tree::new();
        fs::create_dir_all(tree.at("image/dir")).unwrap();
        fs::create_dir_all(tree.at("store")).unwrap();
        Self { tree }
    }

    fn seed(&self, id: &str) -> Seeded {
        seed(
            &self.tree.at("image"),
            &self.tree.at("store"),
            &self.tree.at("ledger/x.json"),
            id,
        )
        .unwrap()
    }

    fn write(&self, path: &str, text: &str, seconds: u64) {
        let at = self.tree.at(path);
        put(&at, text.as_bytes());
        let date = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let times = FileTimes::new().set_modified(date);
        File::options()
            .write(true)
            .open(at)
            .unwrap()
            .set_times(times)
            .unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.tree.at(path)).unwrap()
    }
}

#[test]
fn a_copy_keeps_mode_date_links_and_attributes() {
    let case = Case::new();
    case.write("image/dir/tool", "#!", 1_000_000);
    let tool = case.tree.at("image/dir/tool");
    fs::set_permissions(&tool, Permissions::from_mode(0o4750)).unwrap();
    let has_xattr = xattr::set(&tool, "user.note", b"kept").is_ok();
    case.tree.link("image/dir/link", "/nowhere");
    fs::set_permissions(case.tree.at("image/dir"), Permissions::from_mode(0o711)).unwrap();
    let done = case.seed("1");
    assert_eq!(done.put, 2);
    let copy = case.tree.at("store/dir/tool");
    let found = fs::metadata(&copy).unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime()), (0o4750, 1_000_000));
    if has_xattr {
        assert_eq!(xattr::get(&copy, "user.note").unwrap().unwrap(), b"kept");
    }
    let link = fs::read_link(case.tree.at("store/dir/link")).unwrap();
    assert_eq!(link, Path::new("/nowhere"));
    let dir = fs::metadata(case.tree.at("store/dir")).unwrap();
    assert_eq!(dir.mode() & 0o7777, 0o711);
}

#[test]
fn the_same_image_is_seeded_once_and_costs_nothing_after() {
    let case = Case::new();
    case.write("image/a", "1", 1);
    assert_eq!(case.seed("1").put, 1);
    fs::remove_file(case.tree.at("store/a")).unwrap();
    assert_eq!(case.seed("1"), Seeded::default());
    assert!(!case.tree.at("store/a").exists());
}

#[test]
fn the_next_image_replaces_what_nobody_touched_and_keeps_what_the_machine_changed() {
    let case = Case::new();
    // All dates are the same, as in a reproducible image.
    for name in ["untouched", "changed", "equal"] {
        case.write(&format!("image/{name}"), "old", 1);
    }
    case.tree.link("image/link", "old");
    case.seed("1");
    case.write("store/changed", "mine", 99);
    case.write("store/own", "mine", 99);
    for name in ["untouched", "changed"] {
        case.write(&format!("image/{name}"), "new", 1);
    }
    case.write("image/added", "new", 1);
    fs::remove_file(case.tree.at("image/link")).unwrap();
    case.tree.link("image/link", "new");
    let done = case.seed("2");
    assert_eq!((done.put, done.kept), (3, vec!["changed".to_owned()]));
    let table = [
        ("untouched", "new"),
        ("changed", "mine"),
        ("equal", "old"),
        ("own", "mine"),
        ("added", "new"),
    ];
    for (name, expected) in table {
        assert_eq!(case.read(&format!("store/{name}")), expected, "{name}");
    }
    let link = fs::read_link(case.tree.at("store/link")).unwrap();
    assert_eq!(link, Path::new("new"));
}

#[test]
fn without_a_ledger_only_older_files_are_replaced() {
    let case = Case::new();
    case.write("image/older", "image", 10);
    case.write("store/older", "disk", 5);
    case.write("image/newer", "image", 10);
    case.write("store/newer", "disk", 20);
    let done = case.seed("1");
    assert_eq!(case.read("store/older"), "image");
    assert_eq!(case.read("store/newer"), "disk");
    assert_eq!(done.kept, ["newer"]);
}

#[test]
fn a_seeding_that_was_cut_off_is_done_again() {
    let case = Case::new();
    case.write("image/a", "whole", 1);
    case.write(&format!("store/{UNFINISHED}"), "wh", 1);
    case.tree.file("ledger/x.json", b"{\"image_id\":\"1\",\"fi");
    assert_eq!(case.seed("1").put, 1);
    assert_eq!(case.read("store/a"), "whole");
    assert_eq!(fs::read_dir(case.tree.at("store")).unwrap().count(), 2);
}

#[test]
fn a_directory_that_the_machine_made_of_a_file_is_kept() {
    let case = Case::new();
    case.write("image/a", "file", 10);
    fs::create_dir(case.tree.at("store/a")).unwrap();
    assert_eq!(case.seed("1").kept, ["a"]);
}

#[test]
fn a_kept_file_stays_kept_with_every_further_image() {
    let case = Case::new();
    case.write("image/conf", "1", 10);
    case.seed("1");
    // Copied from elsewhere with its old date.
    case.write("store/conf", "mine", 5);
    for id in ["2", "3", "4"] {
        case.write("image/conf", id, 20);
        assert_eq!(case.seed(id).kept, ["conf"], "image {id}");
        assert_eq!(case.read("store/conf"), "mine", "image {id}");
    }
}

#[test]
fn a_file_that_was_there_before_any_ledger_stays_kept() {
    let case = Case::new();
    case.write("store/conf", "mine", 50);
    case.tree.file("ledger/x.json", b"torn");
    for (id, date) in [("1", 10), ("2", 60), ("3", 70)] {
        case.write("image/conf", id, date);
        assert_eq!(case.seed(id).kept, ["conf"], "image {id}");
    }
    assert_eq!(case.read("store/conf"), "mine");
}

#[test]
fn what_the_machine_deleted_does_not_come_back() {
    let case = Case::new();
    case.write("image/dir/a", "1", 1);
    case.seed("1");
    fs::remove_file(case.tree.at("store/dir/a")).unwrap();
    for id in ["2", "3"] {
        case.write("image/dir/a", id, 9);
        let done = case.seed(id);
        assert_eq!((done.put, done.deleted), (0, vec!["dir/a".to_owned()]));
        assert!(!case.tree.at("store/dir/a").exists());
    }
}

#[test]
fn what_the_next_image_dropped_goes_unless_the_machine_changed_it() {
    let case = Case::new();
    for name in ["gone", "changed", "stays", "wants/deep/unit", "mixed/gone"] {
        case.write(&format!("image/{name}"), "1", 1);
    }
    case.tree.link("image/wants/link", "../gone");
    case.seed("1");
    case.write("store/changed", "mine", 2);
    case.write("store/mixed/own", "mine", 2);
    for name in ["image/gone", "image/changed"] {
        fs::remove_file(case.tree.at(name)).unwrap();
    }
    for name in ["image/wants", "image/mixed"] {
        fs::remove_dir_all(case.tree.at(name)).unwrap();
    }
    assert_eq!(case.seed("2").removed, 4);
    for name in ["gone", "wants", "mixed/gone"] {
        assert!(!case.tree.at(&format!("store/{name}")).exists(), "{name}");
    }
    for name in ["changed", "stays", "mixed/own"] {
        assert!(case.tree.at(&format!("store/{name}")).exists(), "{name}");
    }
    // It comes again with a third image, and is still the machine's.
    case.write("image/changed", "3", 99);
    case.seed("3");
    assert_eq!(case.read("store/changed"), "mine");
}

#[test]
fn a_file_that_becomes_a_directory_and_back_follows_the_image() {
    let case = Case::new();
    case.write("image/x", "file", 1);
    case.seed("1");
    fs::remove_file(case.tree.at("image/x")).unwrap();
    case.write("image/x/inside", "text", 1);
    case.seed("2");
    assert_eq!(case.read("store/x/inside"), "text");
    fs::remove_dir_all(case.tree.at("image/x")).unwrap();
    case.write("image/x", "file", 1);
    case.seed("3");
    assert_eq!(case.read("store/x"), "file");
}

#[test]
fn nothing_is_removed_through_a_link_or_a_path_that_leads_out_of_the_store() {
    let case = Case::new();
    case.write("image/dir/a", "1", 1);
    case.seed("1");
    fs::remove_dir_all(case.tree.at("store/dir")).unwrap();
    // The same name, size and date, elsewhere.
    case.write("elsewhere/a", "1", 1);
    case.tree.link("store/dir", "../elsewhere");
    let ledger = case.read("ledger/x.json");
    let ledger = ledger.replace(
        "\"dir/a\":",
        "\"../elsewhere/a\":{\"size\":1,\"seconds\":1,\"nanoseconds\":0},\"dir/a\":",
    );
    case.tree.file("ledger/x.json", ledger.as_bytes());
    fs::remove_dir_all(case.tree.at("image/dir")).unwrap();
    assert_eq!(case.seed("2").removed, 0);
    assert!(case.tree.at("elsewhere/a").exists());
}
