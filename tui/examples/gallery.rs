//! Draws every screen at several sizes into PNG files, to be looked at: `cargo run -p tui --example gallery -- FOLDER`.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a tool for developers, which may stop at the first trouble"
)]

#[path = "../tests/shared/picture.rs"]
mod picture;
#[path = "../tests/shared/variants.rs"]
mod variants;

use std::path::PathBuf;

const SIZES: [(u16, u16); 4] = [(80, 25), (132, 43), (160, 50), (40, 12)];

fn main() {
    let folder: PathBuf = std::env::args_os()
        .nth(1)
        .expect("a folder for the pictures")
        .into();
    std::fs::create_dir_all(&folder).unwrap();
    for (name, variant) in variants::all() {
        for (columns, rows) in SIZES {
            let png = picture::Picture::draw(&variant.draw(columns, rows), 9).to_png();
            std::fs::write(folder.join(format!("{name}_{columns}x{rows}.png")), png).unwrap();
        }
    }
}
