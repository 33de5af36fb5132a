//! Mining jobs (PROTOCOL §1, mining): one current job, renewed when the tip or the pending transactions change and as
//! time passes, so that the timestamp is true and a late block's target eases.
//!
//! Between two equal tips the node also mines without anything pending: otherwise two peers that found the same block at
//! once would show different chains until somebody writes again.

use alloc::{collections::VecDeque, string::ToString};

use super::{
    Node, Output,
    events::{Event, Job, JobId, MiningWhen},
    limits,
};
use crate::{
    block::MinerRecord,
    chain::Template,
    hash::Hash,
    header::Solution,
    ids::{PublicKey, TimestampMs},
};

/// What is being mined.
#[derive(Debug)]
pub(super) struct Mining {
    own: PublicKey,
    pub(super) when: MiningWhen,
    /// The jobs whose nonce is accepted, newest first; the first is current unless mining stopped.
    jobs: VecDeque<(JobId, Template)>,
    current: Option<Current>,
    next_job: u32,
    /// Whether something could be mined, by version of the mempool.
    ready: Option<(u64, bool)>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    id: JobId,
    parent: Hash,
    pending_version: u64,
    issued_at: TimestampMs,
    is_exhausted: bool,
}

impl Mining {
    pub(super) const fn new(own: PublicKey) -> Self {
        Self {
            own,
            when: MiningWhen::Off,
            jobs: VecDeque::new(),
            current: None,
            next_job: 1,
            ready: None,
        }
    }

    /// The job the workers have.
    pub(super) fn current(&self) -> Option<JobId> {
        self.current.map(|current| current.id)
    }

    pub(super) fn on_exhausted(&mut self, job: JobId) {
        if let Some(current) = self.current.as_mut().filter(|current| current.id == job) {
            current.is_exhausted = true;
        }
    }

    /// When the current job is renewed.
    pub(super) fn due_at(&self, pending_version: u64) -> Option<TimestampMs> {
        self.current.map(|current| current.due_at(pending_version))
    }
}

impl Current {
    fn due_at(&self, pending_version: u64) -> TimestampMs {
        if self.is_exhausted {
            self.issued_at.plus_ms(1)
        } else if self.pending_version == pending_version {
            self.issued_at.plus_ms(limits::JOB_MS)
        } else {
            self.issued_at.plus_ms(limits::JOB_CHANGE_MS)
        }
    }
}

impl Node {
    pub(super) fn on_nonce_found(&mut self, now: TimestampMs, job: JobId, solution: Solution) {
        let Some(template) = self
            .mining
            .jobs
            .iter()
            .find(|(id, _)| *id == job)
            .map(|(_, template)| template)
        else {
            return;
        };
        let solved = template
            .solved(self.chain.genesis(), solution)
            .map_err(|error| error.to_string());
        if let Err(reason) = solved.and_then(|block| self.take_mined(now, block)) {
            self.event(Event::BlockRefused { peer: None, reason });
        }
    }

    /// Starts, renews or stops mining, as the state of everything else demands.
    pub(super) fn update_mining(&mut self, now: TimestampMs) {
        let wanted = match self.mining.when {
            MiningWhen::Off => false,
            MiningWhen::WhenPending => self.has_ready() || self.is_tied(),
            MiningWhen::Always => true,
        };
        if !wanted || !self.may_mine(now) {
            return self.stop_mining();
        }
        let tip = self.chain.tip().hash;
        match self.mining.current {
            Some(current) if current.parent != tip => {
                self.stop_mining();
                self.issue_job(now);
            }
            Some(current) if current.due_at(self.timers.pending_version) > now => {}
            Some(_) | None => self.issue_job(now),
        }
    }

    fn stop_mining(&mut self) {
        if self.mining.current.take().is_some() {
            self.outputs.push_back(Output::StopMining);
        }
    }

    fn issue_job(&mut self, now: TimestampMs) {
        let id = JobId(self.mining.next_job);
        self.mining.next_job = self.mining.next_job.wrapping_add(1);
        // The free bytes differ from job to job, so that no two of them try the same hashes.
        let free = self.random.next().to_be_bytes();
        let miner = MinerRecord {
            key: self.mining.own,
            free,
        };
        let candidates = self.mempool.ready();
        let template = self
            .chain
            .template(miner, candidates, self.clock.corrected(now));
        let (header, parent) = (template.header.clone(), template.header.previous);
        let target = header.target.target();
        self.mining.jobs.push_front((id, template));
        self.mining.jobs.truncate(limits::JOBS_MAX);
        let pending_version = self.timers.pending_version;
        self.mining.current = Some(Current {
            id,
            parent,
            pending_version,
            issued_at: now,
            is_exhausted: false,
        });
        self.outputs.push_back(Output::Mine {
            job: Job { id, header, target },
        });
    }

    /// True if a peer's tip has as much proven work as the own one and is another.
    fn is_tied(&self) -> bool {
        let tip = self.chain.tip();
        let claimed = self
            .peers
            .values()
            .filter_map(|peer| peer.best)
            .filter(|best| best.hash != tip.hash);
        claimed
            .into_iter()
            .any(|best| self.chain.work_of(&best.hash) == Some(tip.work))
    }

    /// True if a pending transaction is its sender's next.
    fn has_ready(&mut self) -> bool {
        let version = self.timers.pending_version;
        if let Some((_, has_ready)) = self.mining.ready.filter(|(seen, _)| *seen == version) {
            return has_ready;
        }
        let is_next = |sender: &PublicKey, sequence| self.chain.next_sequence(sender) == sequence;
        let has_ready = self
            .mempool
            .iter()
            .any(|pending| is_next(&pending.sender(), pending.sequence()));
        self.mining.ready = Some((version, has_ready));
        has_ready
    }
}
