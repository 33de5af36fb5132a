//! Proposes one block to some and another, just as valid, to the others.

use std::collections::{BTreeMap, BTreeSet};

use shared::enterprise::{BlockLimits, EnterpriseBlock};
use shared::hash::Hash;
use validator::agreement;

use super::{Actor, ChainId, Identity, Message, PublicKey};

#[derive(Default)]
pub(crate) struct EquivocatingProposer {
    others: BTreeMap<Hash, Hash>,
    peers: BTreeSet<PublicKey>,
}

impl Actor for EquivocatingProposer {
    fn send(
        &mut self,
        identity: &Identity,
        chain: ChainId,
        to: &PublicKey,
        message: Message,
    ) -> Vec<Message> {
        self.peers.insert(*to);
        if self.peers.range(..to).count().is_multiple_of(2) {
            return vec![message];
        }
        match &message {
            Message::Block { round, block } => {
                let block = EnterpriseBlock::decode(block, BlockLimits::default()).unwrap();
                let mut header = block.header().clone();
                if header.proposer != identity.public_key() {
                    return vec![message];
                }
                header.time = header.time.plus_ms(1);
                let other = EnterpriseBlock::new(header, block.entries().to_vec()).unwrap();
                self.others.insert(block.hash(), other.hash());
                let (round, block) = (*round, other.encode());
                vec![Message::Block { round, block }]
            }
            Message::Agreement(said) => {
                let Some(other) = said.proposed().and_then(|hash| self.others.get(&hash)) else {
                    return vec![message];
                };
                let slot = (said.height(), said.round());
                let other = agreement::Message::signed_proposal(identity, chain, slot, *other);
                vec![Message::Agreement(other), message]
            }
            _ => vec![message],
        }
    }
}
