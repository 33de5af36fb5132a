//! The browser node: the shared machines compiled to WebAssembly.
//!
//! [`Core`] runs in the page's node worker and composes the mesh and the node machine of one network; [`MiningJob`] runs in
//! mining workers, [`BlockVerifier`] in those that verify a share of what sync brings. All are thin: they turn JavaScript values into inputs and outputs back. [`engine`] holds the
//! composition itself, without any JavaScript, so that it is tested natively too.
//!
//! What it deliberately does not do: no sockets, timers, storage, random numbers. The drivers in `js/` do, one order after
//! another in the order of [`Core::poll`]: nothing behind a `persist` before that is durable.
//!
//! Limits: an import of at most [`engine::IMPORT_BYTES_MAX`] bytes; the window of at most [`engine::WINDOW_BLOCKS_MAX`] blocks and
//! [`engine::WINDOW_BYTES_MAX`] bytes. Bytes queued on a data channel are the driver's to bound.

#[cfg(feature = "bench")]
pub mod bench;
pub mod engine;
mod mining;
mod network;
mod node_core;
pub mod private;
mod qr;
pub mod seam;
mod verifying;

pub use mining::MiningJob;
pub use network::{create_genesis, genesis_info, read_invitation};
pub use node_core::Core;
pub use private::{GenesisKnock, new_passphrase, passphrase_key, read_invite, write_invite};
pub use qr::qr_code;
pub use verifying::BlockVerifier;

/// Reports a panic (a broken invariant, so a bug) to the console with its place.
#[wasm_bindgen::prelude::wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}
