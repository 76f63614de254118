//! Virtual machines, a simulated Palette, and what the end-to-end tests share.
//!
//! Owns how a machine is described, started, watched and ended ([`Vm`]). Refuses to know the product's inner types: it sees
//! what an operator and the interfaces of `docs/interfaces.md` see.

pub mod artifacts;
pub mod door;
pub mod events;
pub mod firmware;
pub mod folder;
pub mod machine;
pub mod palette_sim;
mod process;
pub mod qmp;
pub mod screen;
pub mod ssh;
pub mod storage;
pub mod tiny;
pub mod user_data;
pub mod variables;
pub mod vm;
pub mod wait;

pub use events::Event;
pub use firmware::Firmware;
pub use folder::Folder;
pub use storage::{Bus, Disk};
pub use variables::Variables;
pub use vm::{Exit, Vm};
