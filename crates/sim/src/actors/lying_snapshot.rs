//! Lying snapshot: follows the chain and serves it like anyone, but whoever asks it for a snapshot gets one that is not the truth:
//! another state, active time or work, another block's, another tenant's, or one cut short.
//!
//! Each lie can be proven, so honest nodes must take nothing of it, refuse the liar and get the truth from somebody else.

use shared::{
    chain::Chain,
    genesis::Genesis,
    hash::{Hash, sha256},
    header::{HEADER_BYTES, Header},
    identity::Identity,
    ids::{Height, NetworkId, PeerId},
    message::{Bytes, Message},
    snapshot::Snapshot,
};

use super::{Actor, Said, Watcher};
use crate::Random;

/// Tells one lie for as long as it has its name.
#[derive(Debug)]
pub(crate) struct LyingSnapshot {
    watcher: Watcher,
    foreign: Watcher,
    lie: u64,
}

/// Number of different lies.
const LIES: u64 = 8;

impl LyingSnapshot {
    pub(crate) fn new(history: &Chain, mut random: Random) -> Self {
        let another = Genesis {
            network_id: NetworkId::parse("another").expect("a valid label"),
            ..history.genesis().clone()
        };
        let lie = random.below(LIES);
        let foreign = Watcher::new(&another, Random::new(random.draw()));
        let mut watcher = Watcher::new(history.genesis(), random);
        watcher.chain = history.clone();
        Self {
            watcher,
            foreign,
            lie,
        }
    }

    /// An answer to whoever asks for the snapshot of a block; none while that block is not here yet.
    fn lies(&mut self, now: u64, hash: Hash) -> Option<Message> {
        let chain = &self.watcher.chain;
        let height = chain.header(&hash)?.height;
        let mut bytes = encoded(chain, height)?;
        let mut parts = 1;
        match self.lie {
            // The state: of an entry, and of one with the root to it in the header.
            0 => flip(&mut bytes, usize::MAX),
            1 => bytes = with_another_state(&bytes)?,
            // The sums.
            2 => flip(&mut bytes, HEADER_BYTES + 7),
            3 => flip(&mut bytes, HEADER_BYTES + 8 + 31),
            // True ones of other blocks: below the one that was asked for, and above what is final.
            4 => bytes = encoded(chain, Height(height.0.checked_sub(1)?))?,
            5 => bytes = encoded(chain, chain.tip().height).filter(|other| *other != bytes)?,
            6 => bytes = self.of_another_tenant(now)?,
            _ => parts = 2,
        }
        Some(Message::Snapshot {
            hash,
            part: 0,
            parts,
            bytes: Bytes(bytes),
        })
    }

    fn of_another_tenant(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.foreign.chain.tip().height == Height::GENESIS {
            let block = self.foreign.mined(now);
            self.foreign.adopt(now, &block)?;
        }
        encoded(&self.foreign.chain, Height(1))
    }
}

impl Actor for LyingSnapshot {
    fn on_message(&mut self, now: u64, peer: PeerId, bytes: &[u8]) -> Said {
        match Message::decode(bytes) {
            Ok(Message::GetSnapshot { hash, .. }) => {
                let answer = self.lies(now, hash);
                let answer = answer.map(|message| (peer, message.encode()));
                answer.into_iter().collect()
            }
            _ => self.watcher.on_message(now, peer, bytes),
        }
    }

    /// Says where it stands, as an honest node does: it wants to be asked.
    fn on_turn(&mut self, now: u64, peers: &[PeerId]) -> Said {
        super::to_all(peers, &self.watcher.status(now))
    }
}

fn encoded(chain: &Chain, height: Height) -> Option<Vec<u8>> {
    chain.snapshot_at(height)?.encode()
}

/// Changes a bit of the byte there, or of the last.
fn flip(bytes: &mut [u8], index: usize) {
    let last = bytes.len().saturating_sub(1);
    if let Some(byte) = bytes.get_mut(index.min(last)) {
        *byte ^= 1;
    }
}

/// A sender's sequence is another, and the header has the root of that: a snapshot that is right in itself.
fn with_another_state(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut changed = bytes.to_vec();
    flip(&mut changed, usize::MAX);
    let Err(shared::snapshot::SnapshotError::StateRoot { found, .. }) = Snapshot::decode(&changed)
    else {
        return None;
    };
    let mut header = Header::decode(bytes.get(..HEADER_BYTES)?).ok()?;
    header.state_root = found;
    changed
        .get_mut(..HEADER_BYTES)?
        .copy_from_slice(&header.encode());
    Some(changed)
}

/// A name that stands before nearly all others: who asks in the order of names asks this one first.
pub(crate) fn link_seed(random: &mut Random) -> [u8; 32] {
    let first = random.bytes32();
    let seeds = core::iter::successors(Some(first), |seed| Some(sha256(&[seed]).0));
    let is_low = |seed: &[u8; 32]| Identity::from_seed(*seed).peer_id().0.0[0] < 8;
    seeds.take(1_000).find(is_low).unwrap_or(first)
}
