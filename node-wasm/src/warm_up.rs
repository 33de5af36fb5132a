//! Work that makes the engine compile what will be hot.
//!
//! An engine runs new code slowly and compiles a function well once it has run for a while. A newcomer's first blocks would all be
//! verified slowly; while it still waits for the tracker and the first peer, the worker verifies a signature of its own some times.

use shared::hash::Hash;
use shared::identity::{self, Identity};
use shared::ids::ChainId;
use wasm_bindgen::prelude::*;

/// Signs something and verifies it; answers whether that held.
#[wasm_bindgen(js_name = warmUp)]
#[must_use]
pub fn warm_up() -> bool {
    const DOMAIN: &str = "distli/warm-up/1";
    let (own, chain) = (Identity::from_seed([1; 32]), ChainId(Hash::ZERO));
    let signature = own.sign(DOMAIN, chain, &[]);
    identity::verify(DOMAIN, chain, &own.public_key(), &[], &signature).is_ok()
}
