//! The `landfall` binary: arguments -> one call -> exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
