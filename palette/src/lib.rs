//! The Palette side of an edge host: its ID, the text of its QR code, and the pairing with Palette.
//!
//! What this room owns:
//!
//! - [`host_id`]: the edge host ID, the same string that Palette sees, bit by bit;
//! - [`qr`]: the URL behind the QR code;
//! - [`inventory`]: the facts of this machine that a registration carries;
//! - [`client`]: one HTTPS call at a time, each failure sorted by what an operator can do about it;
//! - [`pairing`]: which call comes next and when, as a pure state machine;
//! - [`worker`]: the loop that joins the two, for a thread of its own.
//!
//! What it refuses to know: screens, disks, and where the settings come from. It reads no user-data; the binary
//! fills [`Settings`]. It writes nothing to the machine, logs nothing, and shows no secret: what
//! is to be shown comes out as a [`Status`].
//!
//! Facts about Palette (paths, bodies, status codes, rate limits) are those of its published API specification.

mod body;
pub mod client;
pub mod error;
pub mod host_id;
pub mod inventory;
pub mod pairing;
pub mod qr;
pub mod settings;
pub mod worker;

pub use fetch::Secret;

pub use client::{Client, Health, HostState, Registered};
pub use error::ApiError;
pub use host_id::{HostId, HostIdError};
pub use inventory::{Facts, Inventory, Nic};
pub use pairing::{Action, Outcome, Pairing, State, Status};
pub use settings::{Settings, SettingsError};
