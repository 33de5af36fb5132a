//! Private networks on the page: invites, passphrases, and how to get the genesis from a member.

use serde::Serialize;
use serde_bytes::ByteBuf;
use shared::genesis::{Access, Genesis};
use shared::private::NetworkKey;
use wasm_bindgen::prelude::*;

use crate::node_core::write;

mod invite;
mod knock;
mod passphrase;

pub use invite::Invite;
pub use knock::{Knock, KnockOutput};
pub use passphrase::{PassphraseError, key_of, passphrase_of};

/// The key with these bytes.
pub(crate) fn network_key(bytes: &[u8]) -> Result<NetworkKey, String> {
    let found = bytes.len();
    let bytes = bytes
        .try_into()
        .map_err(|_| format!("the network key has {found} bytes, 32 are needed"))?;
    Ok(NetworkKey::from_bytes(bytes))
}

/// Whether the key is that of the genesis.
pub(crate) fn fits(key: &NetworkKey, genesis: &Genesis) -> bool {
    matches!(&genesis.access, Access::Private { join_key, .. } if *join_key == key.keys().join_key())
}

/// Makes the text of an invite to a private network, to be put behind `#/p/`: who has it is a member.
///
/// # Errors
/// The genesis is none, or the key is not its.
#[wasm_bindgen(js_name = writeInvite)]
pub fn write_invite(key: &[u8], genesis: &[u8]) -> Result<String, JsError> {
    let invite = network_key(key).and_then(|key| Invite::new(key, genesis));
    invite
        .map(|invite| invite.text())
        .map_err(|reason| JsError::new(&reason))
}

/// Reads an invite: `{networkKey, genesis, networkId, chainId}`.
///
/// # Errors
/// Says what is wrong with it.
#[wasm_bindgen(js_name = readInvite)]
pub fn read_invite(text: &str) -> Result<JsValue, JsError> {
    let invite = Invite::read(text).map_err(|reason| JsError::new(&reason))?;
    let genesis = invite.genesis();
    write(&InviteInfo {
        network_key: ByteBuf::from(*invite.key().as_bytes()),
        genesis: ByteBuf::from(genesis.encode()),
        network_id: genesis.network_id.to_string(),
        chain_id: genesis.chain_id().to_string(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InviteInfo {
    network_key: ByteBuf,
    genesis: ByteBuf,
    network_id: String,
    chain_id: String,
}

/// The passphrase that eight random bytes are.
///
/// # Errors
/// There are not eight.
#[wasm_bindgen(js_name = newPassphrase)]
pub fn new_passphrase(entropy: &[u8]) -> Result<String, JsError> {
    let found = entropy.len();
    let entropy = entropy
        .try_into()
        .map_err(|_| JsError::new(&format!("{found} random bytes, 8 are needed")))?;
    Ok(passphrase_of(entropy))
}

/// The network key of a passphrase and a network name; takes about a second and 64 MiB.
///
/// # Errors
/// Says where the passphrase is mistyped.
#[wasm_bindgen(js_name = passphraseKey)]
pub fn passphrase_key(passphrase: &str, network_id: &str) -> Result<Vec<u8>, JsError> {
    let key = key_of(passphrase, network_id).map_err(|error| JsError::new(&error.to_string()))?;
    Ok(key.as_bytes().to_vec())
}

/// Asks the members of a private network for its genesis; [`Knock`] for JavaScript.
#[wasm_bindgen]
#[derive(Debug)]
pub struct GenesisKnock {
    knock: Knock,
}

#[wasm_bindgen]
impl GenesisKnock {
    /// Takes the network key, 32 fresh random bytes and the tracker's host.
    ///
    /// # Errors
    /// The key or the seed has another length.
    #[wasm_bindgen(constructor)]
    pub fn new(key: &[u8], seed: &[u8], host: &str) -> Result<Self, JsError> {
        let key = network_key(key).map_err(|reason| JsError::new(&reason))?;
        let found = seed.len();
        let seed = seed
            .try_into()
            .map_err(|_| JsError::new(&format!("the seed has {found} bytes, 32 are needed")))?;
        let knock = Knock::new(&key, seed, host);
        Ok(Self { knock })
    }

    /// Takes a message of the tracker; answers what to do, in order: `{send}`, `{found}`, `{waiting}` or `{refused}` each.
    ///
    /// # Errors
    /// The answer can't be passed on; that would be a bug.
    pub fn message(&mut self, text: &str) -> Result<JsValue, JsError> {
        self.knock.handle(text);
        let mut orders = Vec::new();
        while let Some(output) = self.knock.poll() {
            orders.push(Order::from(output));
        }
        write(&orders)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Order {
    Send(String),
    Found(ByteBuf),
    Waiting(usize),
    Refused(String),
}

impl From<KnockOutput> for Order {
    fn from(output: KnockOutput) -> Self {
        match output {
            KnockOutput::Send { text } => Self::Send(text),
            KnockOutput::Found { genesis } => Self::Found(ByteBuf::from(genesis)),
            KnockOutput::Waiting { members } => Self::Waiting(members),
            KnockOutput::Refused { reason } => Self::Refused(reason),
        }
    }
}
