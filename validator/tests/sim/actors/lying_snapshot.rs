//! Makes snapshots up: offers one with other chunks than a quorum signed, and sends changed chunks of true ones.

use shared::enterprise::SnapshotProof;
use shared::hash::sha256;

use super::{Actor, ChainId, Identity, Message, PublicKey};

#[derive(Default)]
pub(crate) struct LyingSnapshot {
    turn: usize,
}

impl Actor for LyingSnapshot {
    fn send(
        &mut self,
        identity: &Identity,
        chain: ChainId,
        _: &PublicKey,
        message: Message,
    ) -> Vec<Message> {
        self.turn += 1;
        match message {
            Message::Snapshot(bytes) => {
                let Ok(mut proof) = SnapshotProof::decode(&bytes) else {
                    return vec![Message::Snapshot(bytes)];
                };
                proof.manifest.chunks[0] = sha256(&[b"a lie"]);
                let root = proof.manifest.root();
                let own = shared::enterprise::SnapshotManifest::sign(&root, identity, chain);
                // Its own name in the others' place.
                for (_, signature) in &mut proof.signatures {
                    *signature = own;
                }
                vec![Message::Snapshot(proof.encode())]
            }
            Message::Chunk {
                height,
                index,
                mut bytes,
            } => {
                let at = self.turn % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1;
                }
                vec![Message::Chunk {
                    height,
                    index,
                    bytes,
                }]
            }
            Message::SnapshotVote {
                height, signature, ..
            } => {
                let root = sha256(&[b"another"]);
                vec![Message::SnapshotVote {
                    height,
                    root,
                    signature,
                }]
            }
            other => vec![other],
        }
    }
}
