//! Hostile validators: a real one whose words are changed on their way out. Each in a file of its own.

pub(crate) mod corrupt_sync;
pub(crate) mod double_voter;
pub(crate) mod equivocating_proposer;
pub(crate) mod invalid_proposer;
pub(crate) mod lying_snapshot;
pub(crate) mod replayer;
pub(crate) mod silent;
pub(crate) mod stale_snapshot;
pub(crate) mod stale_voter;
pub(crate) mod truncated_snapshot;

use shared::hash::Hash;
use shared::identity::Identity;
use shared::ids::{ChainId, PublicKey};
use validator::replica::Message;

/// Changes what a validator says.
pub(crate) trait Actor {
    /// What goes to `to` instead of `message`.
    fn send(
        &mut self,
        identity: &Identity,
        chain: ChainId,
        to: &PublicKey,
        message: Message,
    ) -> Vec<Message>;

    /// The blocks it proposed that nobody may decide.
    fn bad_blocks(&self) -> Vec<Hash> {
        Vec::new()
    }
}
