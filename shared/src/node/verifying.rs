//! Helpers of the driver verify a share of the bodies that sync brings: signatures are nearly all of the work.
//!
//! Of every answer with bodies each helper gets an equal part, and the node verifies half as much meanwhile, as it does all the rest besides. A helper runs the
//! same check as the node, on bytes that the node keeps; what it finds valid is parsed here again without its signatures.
//! What it does not find valid, or does not answer for, is checked here, so that a peer is blamed by this node only.
//!
//! Bounded: [`limits::VERIFYING_BYTES`] for each helper; beyond, the node verifies itself.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{Node, NodeError, Output, VerifyId, blocks::header_hash, limits, messages::blame};
use crate::{
    block::UncheckedBlock,
    hash::Hash,
    ids::{PeerId, TimestampMs},
    message::Bytes,
};

/// What helpers verify at the moment.
#[derive(Debug)]
pub(super) struct Verifying {
    helpers: u8,
    last: VerifyId,
    jobs: BTreeMap<VerifyId, Job>,
    hashes: BTreeSet<Hash>,
    bytes: usize,
}

#[derive(Debug)]
struct Job {
    from: PeerId,
    since: TimestampMs,
    blocks: Vec<Bytes>,
}

impl Verifying {
    pub(super) fn new(helpers: u8) -> Self {
        Self {
            helpers,
            last: VerifyId(0),
            jobs: BTreeMap::new(),
            hashes: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// True for a block that a helper verifies.
    pub(super) fn contains(&self, hash: &Hash) -> bool {
        self.hashes.contains(hash)
    }

    /// When a helper is no longer waited for.
    pub(super) fn due_at(&self) -> Option<TimestampMs> {
        let oldest = self.jobs.values().map(|job| job.since).min();
        oldest.map(|since| since.plus_ms(limits::VERIFYING_MS))
    }

    /// True if helpers are there and have room for some of so many bytes.
    fn has_room_for(&self, bytes: usize) -> bool {
        let most = limits::VERIFYING_BYTES.saturating_mul(self.helpers.into());
        bytes >= limits::SHARED_BYTES_MIN && self.bytes.saturating_add(bytes) <= most
    }

    fn begin(&mut self, now: TimestampMs, from: PeerId, blocks: Vec<Bytes>) -> Output {
        self.last = VerifyId(self.last.0.wrapping_add(1));
        self.bytes = self.bytes.saturating_add(bytes_of(&blocks));
        self.hashes
            .extend(blocks.iter().map(|block| header_hash(&block.0)));
        let order = Output::Verify {
            job: self.last,
            blocks: blocks.iter().map(|block| block.0.clone()).collect(),
        };
        let since = now;
        let job = Job {
            from,
            since,
            blocks,
        };
        self.jobs.insert(self.last, job);
        order
    }

    fn end(&mut self, id: VerifyId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(bytes_of(&job.blocks));
        for block in &job.blocks {
            self.hashes.remove(&header_hash(&block.0));
        }
        Some(job)
    }
}

fn bytes_of(blocks: &[Bytes]) -> usize {
    blocks.iter().map(|block| block.0.len()).sum()
}

impl Node {
    /// Gives the helpers their parts of these bodies; the rest is left to the node.
    pub(super) fn share_out(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        blocks: Vec<Bytes>,
    ) -> Vec<Bytes> {
        if !self.verifying.has_room_for(bytes_of(&blocks)) {
            return blocks;
        }
        let (mut shared, mut rest): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|block| {
            let hash = header_hash(&block.0);
            self.downloads.is_asked(&hash) && !self.is_known(&hash)
        });
        // Helpers only verify, the node does all the rest besides: it keeps half a part.
        let halves = usize::from(self.verifying.helpers)
            .saturating_mul(2)
            .saturating_add(1);
        let part = shared.len().saturating_mul(2) / halves;
        for _ in 0..self.verifying.helpers {
            let blocks = shared.split_off(shared.len().saturating_sub(part));
            if blocks.is_empty() {
                break;
            }
            for block in &blocks {
                self.on_body(now, from, &header_hash(&block.0), block.0.len());
            }
            let order = self.verifying.begin(now, from, blocks);
            self.requests.push_back(order);
        }
        shared.append(&mut rest);
        shared
    }

    /// A helper answered, or failed; then there are none from now on.
    pub(super) fn on_verified(
        &mut self,
        now: TimestampMs,
        id: VerifyId,
        valid: &[bool],
    ) -> Result<(), NodeError> {
        let Some(Job { from, blocks, .. }) = self.verifying.end(id) else {
            return Ok(());
        };
        self.downloads.progress_at = now;
        if valid.len() < blocks.len() {
            self.verifying.helpers = 0;
        }
        let verdicts = valid.iter().copied().chain(core::iter::repeat(false));
        for (block, is_valid) in blocks.iter().zip(verdicts) {
            let checked = if is_valid {
                let unchecked =
                    UncheckedBlock::decode(&block.0).map_err(|error| blame(from, &error))?;
                unchecked
                    .check_archived(self.chain.genesis())
                    .map_err(|error| blame(from, &error))?
            } else {
                self.parse(&block.0)
                    .map_err(|reason| blame(from, &reason))?
            };
            self.take_body(now, from, checked, block.0.len())?;
        }
        Ok(())
    }

    /// Takes over what a helper does not answer for.
    pub(super) fn expire_verifying(&mut self, now: TimestampMs) {
        while self.verifying.due_at().is_some_and(|due| due <= now) {
            let Some(id) = self.verifying.jobs.keys().next().copied() else {
                return;
            };
            if let Err(NodeError::Blamed { peer, reason }) = self.on_verified(now, id, &[]) {
                self.refuse(now, peer, reason);
            }
        }
    }
}
