//! The corpus of the fuzzers, replayed: what they once found stays mended.

#[path = "../fuzz/invariants.rs"]
mod invariants;

use std::io;
use std::path::Path;

use proptest::prelude::*;

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

/// Documents near which the interesting mistakes are.
const SEEDS: &[&str] = &[
    include_str!("samples/every-part.yaml"),
    include_str!("samples/full.yaml"),
    include_str!("fixtures/07-proxy-certificates.yaml"),
    include_str!("fuzz-seed.yaml"),
];

/// What makes YAML mean something else.
const TOKENS: &[&str] = &[
    ":", "- ", "\n", "  ", "{", "}", "[", "]", "\"", "'", "|", ">", "#", "&a ", "*a", "!", "%",
    "---\n", "\t", "~", "null", "0", "-1", "/..", "\\u0000", "é", "\u{2028}", "<x>", "$6$", "true",
    ",", "? ", "<<: ", "@", "`",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn documents_with_a_few_slips_hold_the_invariants(
        seed in proptest::sample::select(SEEDS),
        slips in proptest::collection::vec((any::<proptest::sample::Index>(), 0..6_usize, proptest::sample::select(TOKENS)), 1..6),
    ) {
        let mut bytes = seed.as_bytes().to_vec();
        for (at, cut, token) in slips {
            let at = at.index(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, token.bytes());
        }
        invariants::of_a_document(&bytes);
        invariants::of_a_stage_file(&bytes);
    }
}
