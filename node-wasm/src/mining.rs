//! The class that mining workers drive.

use serde::Serialize;
use shared::header::{HEADER_BYTES, Solution};
use shared::miner::{Miner, Step};
use shared::pow::Target;
use wasm_bindgen::prelude::*;

use crate::node_core::write;

/// The search for a nonce, a budget at a time.
#[wasm_bindgen]
#[derive(Debug)]
pub struct MiningJob {
    miner: Miner,
}

/// What a step came to.
#[derive(Serialize)]
struct StepResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Found>,
    exhausted: bool,
}

#[derive(Serialize)]
struct Found {
    version: u16,
    nonce: u32,
}

#[wasm_bindgen]
impl MiningJob {
    /// Searches the nonces from `start_nonce` to `end_nonce`, both included, with a few versions each, for a header of 116 bytes whose hash does not
    /// exceed the 32 target bytes. A target of zero, which nothing meets, serves to measure the hash rate.
    ///
    /// # Errors
    /// The header or the target has another length.
    #[wasm_bindgen(constructor)]
    pub fn new(
        header: &[u8],
        target: &[u8],
        start_nonce: u32,
        end_nonce: u32,
    ) -> Result<Self, JsError> {
        let header: &[u8; HEADER_BYTES] = header.try_into().map_err(|_| {
            JsError::new(&format!(
                "a header has {HEADER_BYTES} bytes, not {}",
                header.len()
            ))
        })?;
        let target: [u8; 32] = target
            .try_into()
            .map_err(|_| JsError::new(&format!("a target has 32 bytes, not {}", target.len())))?;
        let target = Target::from_be_bytes(target).unwrap_or_else(|| Target::for_hashes(u64::MAX));
        Ok(Self {
            miner: Miner::from_bytes(header, &target, start_nonce, end_nonce),
        })
    }

    /// Tries up to `budget` hashes: `{found?: {version, nonce}, exhausted}`.
    ///
    /// # Errors
    /// None in practice.
    pub fn step(&mut self, budget: u32) -> Result<JsValue, JsError> {
        let (found, exhausted) = match self.miner.step(budget) {
            Step::Found(Solution { version, nonce }) => (Some(Found { version, nonce }), false),
            Step::Working => (None, false),
            Step::Exhausted => (None, true),
        };
        write(&StepResult { found, exhausted })
    }

    /// Hashes tried so far.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn hashes(&self) -> f64 {
        self.miner.hashes() as f64
    }
}
