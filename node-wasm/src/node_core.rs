//! The class that the node worker drives.

use serde::{Deserialize, Serialize};
use serde_wasm_bindgen::Serializer;
use shared::ids::TimestampMs;
use wasm_bindgen::prelude::*;

use crate::engine::Engine;
use crate::seam::{Config, Input};

/// Mesh and node of one network; see [`Engine`].
#[wasm_bindgen]
#[derive(Debug)]
pub struct Core {
    engine: Engine,
}

#[wasm_bindgen]
impl Core {
    /// From `{genesis, identitySeed, seed, listed?}`.
    ///
    /// # Errors
    /// The genesis is invalid or a seed has not 32 bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(config: JsValue) -> Result<Self, JsError> {
        let config: Config = read("the configuration", config)?;
        Ok(Self {
            engine: Engine::new(config)?,
        })
    }

    /// Takes one fact in. Drain `poll` afterwards, also after an error.
    ///
    /// # Errors
    /// The input can't be used; what strangers do wrong is an event instead.
    pub fn handle(&mut self, now_ms: f64, input: JsValue) -> Result<(), JsError> {
        let now = time(now_ms)?;
        let input: Input = read("the input", input)?;
        Ok(self.engine.handle(now, input)?)
    }

    /// The next order, or `undefined`.
    ///
    /// # Errors
    /// A number does not fit into JavaScript's; that would be a bug.
    pub fn poll(&mut self) -> Result<JsValue, JsError> {
        self.engine
            .poll()
            .map_or(Ok(JsValue::UNDEFINED), |output| write(&output))
    }

    /// As `poll`, only orders that may be carried out while something before them is not durable yet.
    ///
    /// # Errors
    /// As [`Self::poll`].
    #[wasm_bindgen(js_name = pollFree)]
    pub fn poll_free(&mut self) -> Result<JsValue, JsError> {
        self.engine
            .poll_free()
            .map_or(Ok(JsValue::UNDEFINED), |output| write(&output))
    }

    /// Where the node stands.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub fn status(&self) -> Result<JsValue, JsError> {
        write(&self.engine.status())
    }

    /// The height of the best header known.
    #[wasm_bindgen(js_name = bestHeight)]
    #[must_use]
    pub fn best_height(&self) -> u32 {
        self.engine.best_height()
    }

    /// Up to `limit` main-chain blocks (50 if absent), lowest first, beginning at height `from`, or the newest ones without it.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub fn blocks(&self, from: Option<u32>, limit: Option<u32>) -> Result<JsValue, JsError> {
        write(&self.engine.blocks(from, limit.unwrap_or(BLOCKS_DEFAULT)))
    }

    /// The transactions that wait for a block.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub fn pending(&self) -> Result<JsValue, JsError> {
        write(&self.engine.pending())
    }

    /// The transactions that lost their place to another.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub fn conflicts(&self) -> Result<JsValue, JsError> {
        write(&self.engine.conflicts())
    }

    /// Who is known as a member of a private network, and whether this tab owns it: `{owner, members}`.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub fn members(&self) -> Result<JsValue, JsError> {
        write(&Members {
            owner: self.engine.is_owner(),
            members: self.engine.members(),
        })
    }

    /// The record that moves the network, from `{networkKey, seed, createdAt, members}`: `{record, genesis, chainId, members}`.
    ///
    /// # Errors
    /// Says why the network can't be moved so.
    #[wasm_bindgen(js_name = moveNetwork)]
    pub fn move_network(&self, options: JsValue) -> Result<JsValue, JsError> {
        let options = read("the options", options)?;
        let moved = self.engine.move_network(&options);
        write(&moved.map_err(|reason| JsError::new(&reason))?)
    }

    /// Where the owner moved the network: `{genesis, networkId, chainId, networkKey, confirmed}`, or `null`.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub fn successor(&mut self) -> Result<JsValue, JsError> {
        write(&self.engine.successor())
    }

    /// The whole main chain as a self-proving file, JSON.
    ///
    /// # Errors
    /// `now_ms` is no time.
    #[wasm_bindgen(js_name = exportChain)]
    pub fn export_chain(&self, now_ms: f64) -> Result<String, JsError> {
        Ok(self.engine.export_chain(time(now_ms)?))
    }

    /// The proof that the validators contradicted each other as a file, JSON; `undefined` where none was seen.
    #[wasm_bindgen(js_name = splitProof)]
    #[must_use]
    pub fn split_proof(&self) -> Option<String> {
        self.engine.split_proof()
    }

    /// The JSON for localStorage: the newest blocks and the pending transactions.
    ///
    /// # Errors
    /// `now_ms` is no time.
    pub fn window(&self, now_ms: Option<f64>) -> Result<String, JsError> {
        Ok(self.engine.window(time(now_ms.unwrap_or_default())?))
    }
}

#[derive(Serialize)]
struct Members {
    owner: bool,
    members: Vec<String>,
}

/// Blocks that a call without a limit answers.
const BLOCKS_DEFAULT: u32 = 50;

/// Reads a JavaScript value.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(what: &str, value: JsValue) -> Result<T, JsError> {
    serde_wasm_bindgen::from_value(value)
        .map_err(|error| JsError::new(&format!("{what} can't be read: {error}")))
}

/// Makes a plain JavaScript value: objects for structures, `null` for what is missing.
pub(crate) fn write(value: &impl Serialize) -> Result<JsValue, JsError> {
    let serializer = Serializer::new()
        .serialize_missing_as_null(true)
        .serialize_maps_as_objects(true);
    value
        .serialize(&serializer)
        .map_err(|error| JsError::new(&format!("a value can't be passed on: {error}")))
}

/// A time as JavaScript has it.
pub(crate) fn time(ms: f64) -> Result<TimestampMs, JsError> {
    let is_time = ms >= 0.0 && ms <= TimestampMs::MAX.0 as f64;
    if !is_time {
        return Err(JsError::new(&format!("{ms} is no time in ms since 1970")));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range"
    )]
    Ok(TimestampMs(ms as u64))
}
