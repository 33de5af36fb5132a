//! Reports to the tracker: main-chain blocks it is not known to hold, oldest first, one report in flight.
//!
//! What the tracker holds is what it said itself: its tip when the link came up, and the hash of each confirmation. A
//! report starts above the newest main-chain block of those; after a reorganisation that lies lower by itself. A tip
//! that is unknown here and not lower than the own one is waited for a while: peers will bring it. Nothing
//! counts as synced before it was confirmed by hash. The block's miner reports at once, others wait a little, in which
//! the tracker's word for its new tip may make it unnecessary. A private network is reported only by a reporter of its genesis who
//! chose so. A failure is tried again after a growing pause, every
//! other time from further back, in case the tracker lacks what came before.

use alloc::vec::Vec;

use super::{Node, Output, Reporting, events::Event, limits, records};
use crate::{
    block::Block,
    genesis::{Access, Genesis},
    hash::Hash,
    ids::{Height, TimestampMs},
};

/// Where reporting stands.
#[derive(Debug)]
pub(super) struct Reporter {
    is_connected: bool,
    reporting: Reporting,
    /// What the tracker said last of its tip, and when; it may be on a branch not known here.
    told: Option<(Height, Hash)>,
    told_at: TimestampMs,
    /// The newest block known here that the tracker confirmed.
    pub(super) confirmed: Option<(Height, Hash)>,
    /// The newest block of the report in flight, and of the last one taken since the link came up.
    in_flight: Option<Hash>,
    taken: Option<Hash>,
    /// The report in flight counts as lost at this time.
    deadline: Option<TimestampMs>,
    not_before: TimestampMs,
    failures: u32,
}

impl Reporter {
    /// Everybody reports an open network, and nobody a private one unasked.
    pub(super) fn new(genesis: &Genesis) -> Self {
        Self {
            is_connected: false,
            reporting: match genesis.access {
                Access::Open => Reporting::On,
                Access::Private { .. } => Reporting::Off,
            },
            told: None,
            told_at: TimestampMs(0),
            confirmed: None,
            in_flight: None,
            taken: None,
            deadline: None,
            not_before: TimestampMs(0),
            failures: 0,
        }
    }

    /// The main chain has a new tip, to be reported after a while; what waits already waits no longer for it.
    pub(super) fn on_tip(&mut self, now: TimestampMs, pause_ms: u64) {
        let is_idle = self.deadline.is_none() && self.failures == 0;
        if is_idle && (pause_ms == 0 || self.not_before <= now) {
            self.not_before = now.plus_ms(pause_ms);
        }
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.is_connected
    }

    pub(super) fn on_failed(&mut self, now: TimestampMs) {
        if self.deadline.take().is_none() {
            return;
        }
        self.taken = None;
        let pause = limits::REPORT_RETRY_MS
            .saturating_mul(1 << self.failures.min(16))
            .min(limits::REPORT_RETRY_MS_MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.plus_ms(pause);
    }

    /// Gives up a report that was never answered.
    fn expire(&mut self, now: TimestampMs) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.on_failed(now);
        }
    }

    /// When something is to be done although nothing happens.
    pub(super) fn due_at(&self, now: TimestampMs) -> Option<TimestampMs> {
        let patience_ends = self.told_at.plus_ms(limits::REPORT_PATIENCE_MS);
        let times = self
            .deadline
            .map_or([self.not_before, patience_ends], |deadline| [deadline; 2]);
        times
            .into_iter()
            .filter(|at| self.is_connected && *at > now)
            .min()
    }

    /// How many blocks further back than confirmed a report starts.
    fn step_back(&self) -> u32 {
        if self.failures.is_multiple_of(2) {
            return 0;
        }
        50_u32.saturating_mul(1 << self.failures.min(20))
    }
}

impl Node {
    pub(super) fn on_tracker_connected(&mut self, now: TimestampMs, tip: Option<(Height, Hash)>) {
        if !self.reporter.is_connected {
            self.reporter.is_connected = true;
            self.reporter.failures = 0;
            self.reporter.deadline = None;
            self.reporter.taken = None;
            self.reporter.not_before = now;
        }
        (self.reporter.told, self.reporter.told_at) = (tip, now);
        match tip {
            // A tracker that knows nothing of this chain (any more) is told everything again.
            None => self.reporter.confirmed = None,
            Some((height, hash)) => self.note_confirmed(height, hash),
        }
    }

    pub(super) fn on_tracker_lost(&mut self, now: TimestampMs) {
        self.reporter.is_connected = false;
        self.reporter.deadline = None;
        self.resets.question.on_failed(now);
    }

    /// True if this node's word for a block counts: in an open network everybody's does.
    #[must_use]
    pub fn may_report(&self) -> bool {
        match &self.chain.genesis().access {
            Access::Open => true,
            Access::Private { reporters, .. } => reporters.contains(&self.identity.public_key()),
        }
    }

    /// Whether this node reports its chain.
    #[must_use]
    pub const fn reporting(&self) -> Reporting {
        self.reporter.reporting
    }

    /// Takes the user's choice, where there is one: in an open network there is none, and elsewhere only a reporter has it.
    pub(super) fn on_reporting_set(&mut self, now: TimestampMs, reporting: Reporting) {
        let is_private = matches!(self.chain.genesis().access, Access::Private { .. });
        if is_private && self.may_report() {
            self.reporter.reporting = reporting;
            self.reporter.not_before = now;
        }
    }

    pub(super) fn on_report_confirmed(&mut self, now: TimestampMs, height: Height, hash: Hash) {
        if self.reporter.deadline.take().is_some() {
            self.reporter.taken = self.reporter.in_flight;
        }
        self.reporter.failures = 0;
        self.reporter.not_before = now;
        (self.reporter.told, self.reporter.told_at) = (Some((height, hash)), now);
        self.note_confirmed(height, hash);
    }

    /// A peer may bring a block after the tracker told of it.
    pub(super) fn note_told(&mut self) {
        let is_news = |(height, hash)| {
            let confirmed = self.reporter.confirmed;
            confirmed.is_none_or(|(last, known)| last < height || !self.chain.is_on_main(&known))
                && self.chain.is_on_main(&hash)
        };
        if let Some((height, hash)) = self.reporter.told.filter(|told| is_news(*told)) {
            self.note_confirmed(height, hash);
        }
    }

    /// The tracker holds this block. On the main chain, that is news.
    fn note_confirmed(&mut self, height: Height, hash: Hash) {
        let is_news = self.reporter.confirmed != Some((height, hash));
        if is_news && height > Height::GENESIS && self.chain.hash_at(height) == Some(hash) {
            self.reporter.confirmed = Some((height, hash));
            self.persist(alloc::vec![
                records::Key::Synced.put(records::encode_synced(height, hash))
            ]);
            self.event(Event::Synced { height, hash });
        }
    }

    /// Reports the next blocks if there are any and it is time.
    pub(super) fn report(&mut self, now: TimestampMs) {
        self.reporter.expire(now);
        let is_time = self.reporter.is_connected
            && self.reporter.reporting == Reporting::On
            && self.reporter.deadline.is_none()
            && self.reporter.not_before <= now;
        if !is_time || self.timers.first_sync.is_some() || self.is_tracker_ahead(now) {
            return;
        }
        // Part of what is here may be void.
        if self.next_reset().is_some() {
            return;
        }
        let blocks = self.unreported();
        if !blocks.is_empty() {
            self.reporter.deadline = Some(now.plus_ms(limits::REPORT_TIMEOUT_MS));
            self.reporter.in_flight = blocks.last().map(Block::hash);
            self.outputs.push_back(Output::Report { blocks });
        }
    }

    fn unreported(&self) -> Vec<Block> {
        let mut next = self.known_to_tracker().next();
        let tip = self.chain.tip().height;
        if next > tip {
            return Vec::new();
        }
        next = Height(next.0.saturating_sub(self.reporter.step_back()).max(1));
        let mut blocks = Vec::new();
        let mut bytes = 0_usize;
        while next <= tip && blocks.len() < limits::REPORT_BLOCKS_MAX {
            let Some(block) = self
                .chain
                .hash_at(next)
                .and_then(|hash| self.chain.block(&hash))
            else {
                break;
            };
            bytes = bytes.saturating_add(block.encode().len());
            if bytes > limits::REPORT_BYTES_MAX && !blocks.is_empty() {
                break;
            }
            blocks.push(block.clone());
            next = next.next();
        }
        blocks
    }

    /// The newest main-chain block that the tracker is known to hold: below its tip, or below what it took from here onto a
    /// branch that is not its heaviest.
    fn known_to_tracker(&self) -> Height {
        let hash_of = |block: Option<(Height, Hash)>| {
            block
                .map(|(_, hash)| hash)
                .filter(|hash| self.chain.header(hash).is_some())
        };
        let told = hash_of(self.reporter.told).or_else(|| hash_of(self.reporter.confirmed));
        self.main_chain_below(told)
            .max(self.main_chain_below(self.reporter.taken))
    }

    /// Where the main chain leaves the branch of a block.
    fn main_chain_below(&self, mut at: Option<Hash>) -> Height {
        while let Some(header) = at.and_then(|hash| self.chain.header(&hash)) {
            if self.chain.hash_at(header.height) == at {
                return header.height;
            }
            at = Some(header.previous);
        }
        Height::GENESIS
    }

    /// True while the tracker seems to be ahead: what it holds will soon come from the peers as well.
    pub(super) fn is_tracker_ahead(&self, now: TimestampMs) -> bool {
        let tip = self.chain.tip().height;
        let is_ahead = self
            .reporter
            .told
            .is_some_and(|(height, hash)| height >= tip && self.chain.header(&hash).is_none());
        is_ahead && now.since(self.reporter.told_at) < limits::REPORT_PATIENCE_MS
    }
}
