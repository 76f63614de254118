//! Landfall: lays an immutable A/B system on a machine's disk.
//!
//! > **user-data -> config -> plan -> apply -> report**
//!
//! Text becomes meaning ([`userdata`] and [`config`]); meaning and machine become a list of steps ([`mod@plan`]); the
//! list is carried out ([`mod@apply`]); what happened is told ([`report`]). Only `apply` changes anything, and it
//! decides nothing.

pub mod apply;
pub mod bootloader;
mod calendar;
pub mod check;
pub mod choose;
pub mod choosing;
pub mod code;
pub mod config;
pub mod contents;
pub mod direct;
pub mod documents;
pub mod hooks;
pub mod host_name;
pub mod identity;
pub mod install;
pub mod installed;
pub mod kept;
pub mod keys;
mod labels;
pub mod live;
pub mod log;
pub mod machine;
pub mod media;
pub mod medium;
pub mod nvram;
pub mod payload;
pub mod plan;
pub mod progress;
pub mod recovery;
pub mod register;
pub mod report;
pub mod screens;
pub mod site_network;
pub mod superblock;
pub mod twins;
