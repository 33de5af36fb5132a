//! Proposes blocks that are wrong: another state root, a false proposer, an entry twice, or cut bytes.

use std::collections::BTreeMap;

use shared::enterprise::{BlockLimits, EnterpriseBlock};
use shared::hash::{Hash, sha256};
use validator::agreement;

use super::{Actor, ChainId, Identity, Message, PublicKey};

#[derive(Default)]
pub(crate) struct InvalidProposer {
    turn: u64,
    others: BTreeMap<Hash, Hash>,
}

impl Actor for InvalidProposer {
    fn send(
        &mut self,
        identity: &Identity,
        chain: ChainId,
        _to: &PublicKey,
        message: Message,
    ) -> Vec<Message> {
        match &message {
            Message::Block { round, block } => {
                self.turn += 1;
                let good = EnterpriseBlock::decode(block, BlockLimits::default()).unwrap();
                let (mut header, mut entries) = (good.header().clone(), good.entries().to_vec());
                match good.header().height.0 % 4 {
                    0 => header.state_root = sha256(&[b"no such state"]),
                    1 => {
                        entries.extend(entries.first().cloned());
                        header.data_root = EnterpriseBlock::data_root(&entries);
                    }
                    2 => header.log_size += 1,
                    _ => {
                        let cut = block[..block.len() / 2].to_vec();
                        let (round, block) = (*round, cut);
                        return vec![Message::Block { round, block }];
                    }
                }
                let bad = EnterpriseBlock::new(header, entries).unwrap();
                self.others.insert(good.hash(), bad.hash());
                let (round, block) = (*round, bad.encode());
                vec![Message::Block { round, block }]
            }
            Message::Agreement(said) => {
                let Some(bad) = said.proposed().and_then(|hash| self.others.get(&hash)) else {
                    return vec![message];
                };
                let slot = (said.height(), said.round());
                let bad = agreement::Message::signed_proposal(identity, chain, slot, *bad);
                vec![Message::Agreement(bad)]
            }
            _ => vec![message],
        }
    }
}
