//! Cuts what it sends of snapshots: half a proof, half a chunk, or no chunk at all.

use super::{Actor, ChainId, Identity, Message, PublicKey};

#[derive(Default)]
pub(crate) struct TruncatedSnapshot {
    turn: usize,
}

impl Actor for TruncatedSnapshot {
    fn send(&mut self, _: &Identity, _: ChainId, _: &PublicKey, message: Message) -> Vec<Message> {
        self.turn += 1;
        match message {
            Message::Snapshot(mut proof) if self.turn.is_multiple_of(2) => {
                proof.truncate(proof.len() / 2);
                vec![Message::Snapshot(proof)]
            }
            Message::Chunk { .. } if self.turn.is_multiple_of(3) => Vec::new(),
            Message::Chunk {
                height,
                index,
                mut bytes,
            } => {
                bytes.truncate(bytes.len() / 2);
                vec![Message::Chunk {
                    height,
                    index,
                    bytes,
                }]
            }
            other => vec![other],
        }
    }
}
