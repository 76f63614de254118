//! Installs onto image files: with a door that only remembers, and (`root_*`) with the real tools, whose result other
//! programs read back.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot prepare itself fails"
)]

mod again;
mod block;
mod cli;
mod consent;
mod disk;
mod disk_faults;
mod documents;
mod door;
mod extras;
mod foreign;
mod hooks;
mod keep;
mod lab;
mod mbr;
mod payload_faults;
mod present;
mod readers;
mod recorder;
mod repair;
mod reset;
mod sectors;
mod twins;
