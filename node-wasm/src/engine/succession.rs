//! A private network that moves: making the owner's record, and finding it in the chain or among what waits.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::genesis::{Access, Genesis};
use shared::identity::Identity;
use shared::ids::{Height, PublicKey, TimestampMs};
use shared::succession::Succession;
use shared::transaction::{Payload, VerifiedTransaction};

use super::Engine;
use crate::private::network_key;

/// Blocks that one look reads at most.
const LOOK_BLOCKS_MAX: u32 = 500;
/// Keys that are remembered as members.
const MEMBERS_MAX: usize = 1_000;

/// What is read of the chain so far.
#[derive(Debug, Default)]
pub(super) struct Look {
    height: u32,
    members: BTreeSet<PublicKey>,
    found: Option<Succession>,
}

/// How the owner wants to move the network.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// The new network's key, 32 bytes.
    pub network_key: ByteBuf,
    /// 32 fresh random bytes.
    pub seed: ByteBuf,
    /// ms since 1970.
    pub created_at: u64,
    /// The keys of those who are moved, hex.
    pub members: Vec<String>,
}

/// The record that moves a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// To be submitted as a record.
    pub record: ByteBuf,
    /// The new network's genesis.
    pub genesis: ByteBuf,
    /// Its chain id, hex.
    pub chain_id: String,
    /// How many members get the key.
    pub members: usize,
}

/// Where the owner moved the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Successor {
    /// The new network's genesis.
    pub genesis: ByteBuf,
    /// Its name.
    pub network_id: String,
    /// Its chain id, hex.
    pub chain_id: String,
    /// Its key, if we are among those who were moved.
    pub network_key: Option<ByteBuf>,
    /// Whether the record is in a block, so that also those hear of it who were away.
    pub confirmed: bool,
}

impl Engine {
    /// Who is known as a member, but ourselves: senders and miners of the blocks read so far, and direct peers.
    #[must_use]
    pub fn members(&self) -> Vec<String> {
        let known = self.look.members.iter().copied();
        let all: BTreeSet<PublicKey> = known.chain(self.mesh.peer_keys()).collect();
        let own = self.identity.public_key();
        let others = all.into_iter().filter(|key| *key != own);
        others.map(|key| key.to_string()).collect()
    }

    /// Whether this tab's key owns the network.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.identity.public_key() == self.node.genesis().owner
    }

    /// The record that moves the network; submitting it is another step.
    ///
    /// # Errors
    /// Who asks is not the owner, the network is open, or an option has a wrong form, in words.
    pub fn move_network(&self, options: &Move) -> Result<Moved, String> {
        let old = self.node.genesis();
        if !self.is_owner() {
            return Err("only the tab that made the network can move it".into());
        }
        let Access::Private { reporters, .. } = &old.access else {
            return Err("an open network can't be moved: anyone may be in it".into());
        };
        let key = network_key(&options.network_key)?;
        let seed = options.seed.as_slice().try_into();
        let seed = seed.map_err(|_| String::from("the seed has not 32 bytes"))?;
        let parsed: Result<Vec<PublicKey>, _> =
            options.members.iter().map(|key| key.parse()).collect();
        let mut members = parsed.map_err(|_| String::from("a member's key is not hexadecimal"))?;
        // So the owner finds the way from its own chain, too.
        members.push(self.identity.public_key());
        let genesis = Genesis {
            created_at: TimestampMs(options.created_at),
            predecessor: None,
            access: Access::Private {
                join_key: key.keys().join_key(),
                reporters: reporters.clone(),
            },
            ..old.clone()
        };
        let genesis = genesis.succeed(old.chain_id(), self.last_block(), &self.identity);
        let genesis = genesis.checked().map_err(|error| error.to_string())?;
        let succession = Succession::new(genesis, old.chain_id(), &key, &members, seed);
        Ok(Moved {
            record: ByteBuf::from(succession.encode()),
            genesis: ByteBuf::from(succession.genesis().encode()),
            chain_id: succession.genesis().chain_id().to_string(),
            members: succession.members().count(),
        })
    }

    /// Reads on in the chain and in what waits; where the owner moved the network, if it did. Where it did so more than once, the newest
    /// record counts.
    pub fn successor(&mut self) -> Option<Successor> {
        let old = self.node.genesis().clone();
        let Access::Private { .. } = &old.access else {
            return None;
        };
        let tip = self.node.chain().tip().height.0;
        let last = tip.min(self.look.height.saturating_add(LOOK_BLOCKS_MAX));
        let mut found = None;
        for height in self.look.height.saturating_add(1)..=last {
            let Some(block) = self.node.chain().block_at(Height(height)) else {
                continue;
            };
            self.look.members.insert(block.miner().key);
            for transaction in block.transactions() {
                self.look.members.insert(transaction.sender());
                found = read(transaction, &old).or(found);
            }
        }
        while self.look.members.len() > MEMBERS_MAX {
            self.look.members.pop_last();
        }
        self.look.height = last;
        if found.is_some() {
            self.look.found = found;
        }
        let waiting = self.node.mempool().iter();
        let waiting = waiting
            .filter_map(|transaction| read(transaction, &old))
            .last();
        let confirmed = waiting.is_none();
        let newest = waiting.as_ref().or(self.look.found.as_ref())?;
        Some(shape(newest, &old, &self.identity, confirmed))
    }

    /// The newest final block, or the tip where nothing is final.
    fn last_block(&self) -> (Height, shared::hash::Hash) {
        let chain = self.node.chain();
        let height = self.node.status().final_height;
        let final_block = chain.hash_at(height).filter(|_| height > Height::GENESIS);
        let tip = chain.tip();
        final_block.map_or((tip.height, tip.hash), |hash| (height, hash))
    }
}

fn read(transaction: &VerifiedTransaction, old: &Genesis) -> Option<Succession> {
    let Payload::Record(payload) = transaction.payload() else {
        return None;
    };
    if !Succession::is_tagged(payload) {
        return None;
    }
    // Somebody else's record, or a broken one, moves nobody.
    Succession::check(payload, old, &transaction.sender()).ok()
}

fn shape(
    succession: &Succession,
    old: &Genesis,
    identity: &Identity,
    confirmed: bool,
) -> Successor {
    let genesis = succession.genesis();
    let key = succession.open(old.chain_id(), identity);
    Successor {
        genesis: ByteBuf::from(genesis.encode()),
        network_id: genesis.network_id.to_string(),
        chain_id: genesis.chain_id().to_string(),
        network_key: key.map(|key| ByteBuf::from(*key.as_bytes())),
        confirmed,
    }
}
