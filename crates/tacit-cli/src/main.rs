//! The `tacit` binary.

use std::process::ExitCode;

/// Keeps the large buffers of one proof for the next, where the system's allocator gives them back and a third of the prover's time goes
/// into clearing fresh pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tacit_cli::main()
}
