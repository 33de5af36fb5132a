//! Who belongs to the set, who comes to it, and who may only follow.

use std::collections::BTreeSet;

use shared::enterprise::{EnterpriseError, SetChange};
use shared::ids::PublicKey;

use super::{Message, Output, Replica};

impl Replica {
    /// Takes a set change that a quorum signed, and tells the others of it; it is not kept over a restart.
    ///
    /// # Errors
    /// [`EnterpriseError`] when it can't be decided now.
    pub fn change_set(&mut self, change: SetChange) -> Result<(), EnterpriseError> {
        if self.ledger.accept_change(change.clone())? {
            tracing::info!(
                number = change.number(),
                "a change of the validator set waits for a block"
            );
            let message = Message::SetChange(Box::new(change));
            self.outputs.push_back(Output::Broadcast(message));
        }
        Ok(())
    }

    /// Whether this validator votes at the next height.
    pub(super) fn may_vote(&self) -> bool {
        self.abstains_until.is_none() && self.set().index_of(&self.key).is_some()
    }

    /// Keeps links to the set of the next height, the one after it, and the followers.
    pub(super) fn admit(&mut self) {
        let verifier = self.ledger.verifier();
        let sets = [verifier.validators(), verifier.next_validators()];
        let keys = sets.into_iter().flat_map(|set| set.validators());
        let keys = keys.map(|info| info.key);
        let mut members: BTreeSet<PublicKey> = keys.chain(self.followers.iter().copied()).collect();
        members.remove(&self.key);
        if self.peers.keys().eq(members.iter()) {
            return;
        }
        self.peers.retain(|key, _| members.contains(key));
        for key in &members {
            self.peers.entry(*key).or_default();
        }
        self.outputs.push_back(Output::Members(members));
    }
}
