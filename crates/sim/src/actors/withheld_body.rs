//! Withheld body: mines real blocks, tells of their headers and of the work, and never gives a body.
//!
//! Nobody can prove that a body is withheld, so it is not banned; honest nodes must go on mining and agreeing without it.

use shared::{
    genesis::Genesis,
    ids::{PeerId, TimestampMs},
    message::{Bytes, Message},
};

use super::{Actor, Said, Watcher, to_all};
use crate::Random;

/// Shows headers only.
#[derive(Debug)]
pub(crate) struct WithheldBody(Watcher);

impl WithheldBody {
    pub(crate) fn new(genesis: &Genesis, random: Random) -> Self {
        Self(Watcher::new(genesis, random))
    }
}

impl Actor for WithheldBody {
    fn on_message(&mut self, now: u64, peer: PeerId, bytes: &[u8]) -> Said {
        if matches!(Message::decode(bytes), Ok(Message::GetBlocks { .. })) {
            return Vec::new();
        }
        self.0.on_message(now, peer, bytes)
    }

    fn on_turn(&mut self, now: u64, peers: &[PeerId]) -> Said {
        let block = self.0.mined(now);
        // Its own chain keeps the header, so that it serves it when asked, but builds only a short way on it.
        let _ = self
            .0
            .chain
            .insert_header(block.header.clone(), TimestampMs(now));
        let header = Bytes(block.header.encode().to_vec());
        let message = if self.0.random.chance(500) {
            Message::NewHeader { header }
        } else {
            Message::Headers {
                headers: vec![header],
            }
        };
        to_all(peers, &message)
    }

    fn pause_ms(&mut self) -> u64 {
        self.0.random.between(1_000, 6_000)
    }
}
