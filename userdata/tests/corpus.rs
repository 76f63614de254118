//! The corpus of the fuzzers, replayed: what they once found stays mended.

#[path = "../fuzz/invariants.rs"]
mod invariants;

use std::io;
use std::path::Path;

#[expect(
    clippy::print_stdout,
    reason = "shown only when a check fails, to say on which document"
)]
fn replay(target: &str, check: fn(&[u8])) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(folder.join(target))? {
        let path = entry?.path();
        let bytes = std::fs::read(&path)?;
        println!("{}", path.display());
        check(&bytes);
        // A text that ends early is what a medium that fails gives.
        for cut in (0..bytes.len()).step_by(37) {
            check(&bytes[..cut]);
        }
        count += 1;
    }
    assert!(count > 3, "the corpus of {target} is missing");
    Ok(())
}

#[test]
fn the_corpus_of_user_data_holds_the_invariants() -> io::Result<()> {
    replay("parse", invariants::of_a_document)
}

#[test]
fn the_corpus_of_stage_files_holds_the_invariants() -> io::Result<()> {
    replay("stages", invariants::of_a_stage_file)
}
