//! The `landfall` binary: arguments -> one call -> exit code.

mod cli;
mod validate;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
