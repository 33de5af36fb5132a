//! Structured logs on standard error; `RUST_LOG` chooses what is logged (default `info`).

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// What is logged by default. The agreement's core tells each vote as a fact of interest; it is not.
const FILTER: &str = "info,arc_malachitebft_core_consensus=error,arc_malachitebft_core_driver=error,\
                      arc_malachitebft_core_state_machine=error,arc_malachitebft_core_votekeeper=error";

/// Starts logging, as JSON lines when `json`, else as text. A second call changes nothing.
pub fn init_tracing(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // An `Err` means that somebody (a test, the combined command) has already started logging.
    let _ = if json {
        builder.json().try_init()
    } else {
        builder.with_target(false).try_init()
    };
}
