//! Entry points of the figures, in the module only with the feature `bench`; the product's own code does the work.

use shared::block::UncheckedBlock;
use shared::chain::Chain;
use shared::enterprise::LightClient;
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::header::Header;
use shared::identity::Verifier;
use shared::ids::{ChainId, TimestampMs};
use wasm_bindgen::prelude::*;

/// Hashes a header of 116 bytes with `count` nonces, each time whole, as a miner without a midstate would.
///
/// # Errors
/// The bytes are no header.
#[wasm_bindgen(js_name = hashWholeHeaders)]
pub fn hash_whole_headers(header: &[u8], count: u32) -> Result<u8, JsError> {
    let mut header = Header::decode(header)?;
    let mut folded = 0;
    for nonce in 0..count {
        header.nonce = nonce;
        folded ^= header.hash().0[31];
    }
    Ok(folded)
}

/// Verifies a proof of finality as a browser does that knows only the enterprise genesis' hash; the height of the block that is final.
///
/// # Errors
/// The proof does not hold.
#[wasm_bindgen(js_name = verifyFinality)]
pub fn verify_finality(pinned: &[u8], tenant: &[u8], proof: &[u8]) -> Result<u32, JsError> {
    let hash = |bytes: &[u8]| bytes.try_into().map(Hash).map_err(JsError::from);
    let mut client = LightClient::new(hash(pinned)?);
    let news = client.accept(ChainId(hash(tenant)?), proof)?;
    let block = news.ok_or_else(|| JsError::new("no news"))?;
    Ok(block.height().0)
}

/// A chain that takes blocks as they come from a stranger: every rule and signature is checked.
#[wasm_bindgen]
#[derive(Debug)]
pub struct BenchChain {
    chain: Chain,
    verifier: Verifier,
}

#[wasm_bindgen]
impl BenchChain {
    /// The chain of an encoded genesis.
    ///
    /// # Errors
    /// The bytes are no genesis.
    #[wasm_bindgen(constructor)]
    pub fn new(genesis: &[u8]) -> Result<Self, JsError> {
        Ok(Self {
            chain: Chain::new(Genesis::decode(genesis)?),
            verifier: Verifier::default(),
        })
    }

    /// Checks and connects one encoded block; `now_ms` is the time it is judged at.
    ///
    /// # Errors
    /// The block breaks a rule.
    pub fn insert(&mut self, block: &[u8], now_ms: u64) -> Result<(), JsError> {
        let block = UncheckedBlock::decode(block)?.check_with(
            self.chain.genesis(),
            &mut self.verifier,
            |_| false,
        )?;
        self.chain.insert(block, TimestampMs(now_ms))?;
        Ok(())
    }

    /// Blocks on the main chain.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.chain.tip().height.0
    }
}
