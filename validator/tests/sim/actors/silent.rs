//! Says nothing at all.

use super::{Actor, ChainId, Identity, Message, PublicKey};

pub(crate) struct Silent;

impl Actor for Silent {
    fn send(&mut self, _: &Identity, _: ChainId, _: &PublicKey, _: Message) -> Vec<Message> {
        Vec::new()
    }
}
