//! Eclipse: peers that behave in every way but one: they tell nothing and answer nothing. Many of them together want to be all
//! the peers that somebody has, and to keep the honest chain from it.
//!
//! Silence is no crime, so they are not banned; who is surrounded must still find the honest chain.

use shared::ids::PeerId;

use super::{Actor, Said};

/// One of many silent peers.
#[derive(Debug)]
pub(crate) struct Eclipse;

impl Actor for Eclipse {
    fn on_message(&mut self, _now: u64, _peer: PeerId, _bytes: &[u8]) -> Said {
        Vec::new()
    }

    fn on_turn(&mut self, _now: u64, _peers: &[PeerId]) -> Said {
        Vec::new()
    }
}
