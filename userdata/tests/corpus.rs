//! The corpus of the fuzzers, replayed: what they once found stays mended.

#[path = "../fuzz/invariants.rs"]
mod invariants;

use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(folder.join(target)).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        // Shown only when the check below fails.
        println!("{}", path.display());
        check(&bytes);
        // A text that ends early is what a medium that fails gives.
        for cut in (0..bytes.len()).step_by(37) {
            check(&bytes[..cut]);
        }
        count += 1;
    }
    assert!(count > 3, "the corpus of {target} is missing");
}

#[test]
fn the_corpus_of_user_data_holds_the_invariants() {
    replay("parse", invariants::of_a_document);
}

#[test]
fn the_corpus_of_stage_files_holds_the_invariants() {
    replay("stages", invariants::of_a_stage_file);
}
