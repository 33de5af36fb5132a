//! Proposes blocks that are wrong: another state root, an entry twice, another log size, or cut bytes.

use std::collections::{BTreeMap, BTreeSet};

use shared::enterprise::{BlockLimits, EnterpriseBlock};
use shared::hash::{Hash, sha256};
use validator::agreement;

use super::{Actor, ChainId, Identity, Message, PublicKey};

#[derive(Default)]
pub(crate) struct InvalidProposer {
    turn: u64,
    others: BTreeMap<Hash, Hash>,
    /// What it also signed a proposal for.
    proposed: BTreeSet<Hash>,
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
                    1 if !entries.is_empty() => {
                        entries.extend(entries.first().cloned());
                        header.data_root = EnterpriseBlock::data_root(&entries);
                    }
                    1 | 2 => header.log_size += 1,
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
                self.proposed.insert(*bad);
                let slot = (said.height(), said.round());
                let bad = agreement::Message::signed_proposal(identity, chain, slot, *bad);
                vec![Message::Agreement(bad)]
            }
            _ => vec![message],
        }
    }

    fn bad_blocks(&self) -> Vec<Hash> {
        self.proposed.iter().copied().collect()
    }
}
