//! Offers the first snapshot that it ever had, again and again, and says that it is all there is.

use super::{Actor, ChainId, Identity, Message, PublicKey};

#[derive(Default)]
pub(crate) struct StaleSnapshot {
    first: Option<Vec<u8>>,
}

impl Actor for StaleSnapshot {
    fn send(&mut self, _: &Identity, _: ChainId, _: &PublicKey, message: Message) -> Vec<Message> {
        match message {
            Message::Snapshot(proof) => {
                if self.first.is_none() && !proof.is_empty() {
                    self.first = Some(proof.clone());
                }
                vec![Message::Snapshot(self.first.clone().unwrap_or(proof))]
            }
            other => vec![other],
        }
    }
}
