//! Prints `docs/user-data.md`: the keys of user-data, from the tables that the parser itself uses.
//!
//! `cargo run -p userdata --example reference > docs/user-data.md`

use std::io::{self, Write};

fn main() -> io::Result<()> {
    io::stdout().write_all(userdata::reference_markdown().as_bytes())
}
