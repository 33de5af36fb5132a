//! The class that verification workers drive.

use shared::block::UncheckedBlock;
use shared::genesis::Genesis;
use shared::identity::Verifier;
use wasm_bindgen::prelude::*;

/// Checks blocks of one network by every rule that needs no chain; the node trusts it with signatures only.
#[wasm_bindgen]
#[derive(Debug)]
pub struct BlockVerifier {
    genesis: Genesis,
    verifier: Verifier,
}

#[wasm_bindgen]
impl BlockVerifier {
    /// For the network of these genesis bytes.
    ///
    /// # Errors
    /// The genesis is invalid.
    #[wasm_bindgen(constructor)]
    pub fn new(genesis: &[u8]) -> Result<Self, JsError> {
        Ok(Self {
            genesis: Genesis::decode(genesis)?,
            verifier: Verifier::default(),
        })
    }

    /// Whether the block is well-formed, has its work, commits to its body, and all its signatures hold.
    #[must_use]
    pub fn check(&mut self, block: &[u8]) -> bool {
        let (genesis, verifier) = (&self.genesis, &mut self.verifier);
        UncheckedBlock::decode(block)
            .is_ok_and(|block| block.check_with(genesis, verifier, |_| false).is_ok())
    }
}
