//! What a person sees: install progress and the registration screen.
//!
//! The room owns how things look, on a VGA text console of 80x25, on a frame buffer of 160x50 and on a serial line. It
//! does not know how anything is done: a caller fills [`InstallScreen`], [`ChoiceScreen`] or [`RegistrationScreen`] and
//! shows it.
//!
//! ```text
//!  RegistrationScreen --draw_registration--> Frame --Console--> /dev/tty1
//!  InstallScreen      --draw_install-------> Frame --Console--> /dev/ttyS0
//!  ChoiceScreen       --draw_choice-------->
//!                     --PlainLog-----------> lines -----------> a dumb terminal, a pipe
//! ```
//!
//! Two rules hold for every screen. Symbols are those of the VGA font (code page 437), because a console has no other;
//! and nothing that a caller passes in can move the cursor or change a colour: control characters are taken out.
//! Secrets never get here: callers pass no tokens, and there is no field for one.

mod bar;
mod big;
pub mod choice;
pub mod console;
pub mod install;
pub mod plain;
pub mod qr;
pub mod registration;
mod stack;
mod theme;
mod words;

pub use choice::{Choice, ChoiceScreen, Entry, Fact, Hint, Mood, draw_choice};
pub use console::{Console, Mode, View};
pub use install::{InstallScreen, Outcome, Phase, PhaseState, Progress, Work, draw_install};
pub use plain::{PlainLog, human_bytes, human_rate, human_time};
pub use qr::{Qr, QrError};
pub use registration::{RegistrationScreen, Rung, Slot, State, draw_registration};
