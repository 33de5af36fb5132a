//! Votes for a block to some, and against it to others; to some both.

use shared::hash::sha256;
use validator::agreement;

use super::{Actor, ChainId, Identity, Message, PublicKey};

pub(crate) struct DoubleVoter;

impl Actor for DoubleVoter {
    fn send(
        &mut self,
        identity: &Identity,
        chain: ChainId,
        to: &PublicKey,
        message: Message,
    ) -> Vec<Message> {
        let Message::Agreement(vote) = &message else {
            return vec![message];
        };
        let Some((kind, block)) = vote.vote() else {
            return vec![message];
        };
        let other = match block {
            Some(_) if to.0[1] & 1 == 0 => None,
            Some(hash) => Some(sha256(&[hash.as_bytes()])),
            None => Some(sha256(&[b"a block that nobody made"])),
        };
        let slot = (kind, vote.height(), vote.round());
        let other = agreement::Message::signed_vote(identity, chain, slot, other);
        let other = Message::Agreement(other);
        match to.0[0] % 3 {
            0 => vec![other],
            1 => vec![message, other],
            _ => vec![other, message],
        }
    }
}
