//! A tracker as the node sees it: checks reports, confirms them by hash, loses some, is away at times.

use shared::{
    block::Block,
    chain::Chain,
    genesis::Genesis,
    hash::Hash,
    ids::{Height, TimestampMs},
    node::Input,
};

use crate::Random;

/// What the tracker holds.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) chain: Chain,
    pub(crate) is_up: bool,
}

impl Tracker {
    pub(crate) fn new(genesis: Genesis) -> Self {
        Self {
            chain: Chain::new(genesis),
            is_up: true,
        }
    }

    pub(crate) fn tip(&self) -> Option<(Height, Hash)> {
        let tip = self.chain.tip();
        (tip.height > Height::GENESIS).then_some((tip.height, tip.hash))
    }

    /// Takes a report; answers what the reporter hears, if anything.
    pub(crate) fn take(
        &mut self,
        random: &mut Random,
        now: u64,
        blocks: Vec<Block>,
    ) -> Option<Input> {
        if !self.is_up || random.chance(20) {
            return None;
        }
        for block in blocks {
            // The tracker's clock may be behind some miners': it judges leniently.
            if self.chain.insert(block, TimestampMs(now + 60_000)).is_err() {
                return Some(Input::ReportFailed);
            }
        }
        // What it holds, which may be another branch than the one reported.
        let (height, hash) = self.tip()?;
        Some(Input::ReportConfirmed { height, hash })
    }
}
