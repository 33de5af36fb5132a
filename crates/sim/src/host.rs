//! An honest node with its disk: it performs the machine's outputs in order, and what stands behind a write waits until
//! the write is durable. A crash loses the machine, the queue and the unfinished write, and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shared::{
    genesis::Genesis,
    hash::Hash,
    identity::Identity,
    ids::{PeerId, PublicKey, TimestampMs},
    node::{Change, Config, Input, Job, MiningWhen, Node, NodeError, Output, Record},
};

use crate::Random;

/// An honest node.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) seed: [u8; 32],
    pub(crate) peer: PeerId,
    /// What its clock shows beyond true time, ms; may be negative.
    skew_ms: i64,
    /// Virtual hashes a millisecond.
    pub(crate) power: f64,
    pub(crate) mining: MiningWhen,
    /// None while it is down.
    pub(crate) node: Option<Node>,
    /// Counts starts; what was scheduled for an earlier life is void.
    pub(crate) life: u64,
    disk: BTreeMap<String, Vec<u8>>,
    queue: VecDeque<Output>,
    writing: Option<Vec<Change>>,
    pub(crate) job: Option<Job>,
    /// Counts jobs, so that a nonce drawn for an earlier one is void.
    pub(crate) job_generation: u64,
    /// Counts ordered wakes; only the last one is due.
    pub(crate) wake: u64,
    /// Ids the user was told are submitted.
    pub(crate) submitted: BTreeSet<Hash>,
}

impl Host {
    pub(crate) fn new(random: &mut Random, skew_ms: u64, twin: Option<[u8; 32]>) -> Self {
        let own = random.bytes32();
        let seed = twin.unwrap_or(own);
        let half = i64::try_from(skew_ms).unwrap_or(0);
        let skew_ms = i64::try_from(random.below(2 * skew_ms + 1)).unwrap_or(0) - half;
        Self {
            seed,
            peer: Identity::from_seed(own).peer_id(),
            skew_ms,
            power: 0.0,
            mining: MiningWhen::Off,
            node: None,
            life: 0,
            disk: BTreeMap::new(),
            queue: VecDeque::new(),
            writing: None,
            job: None,
            job_generation: 0,
            wake: 0,
            submitted: BTreeSet::new(),
        }
    }

    /// The local clock at a true time.
    pub(crate) const fn clock(&self, now: u64) -> TimestampMs {
        TimestampMs(now.saturating_add_signed(self.skew_ms))
    }

    /// The true time at which the local clock shows this.
    pub(crate) const fn true_time(&self, at: TimestampMs) -> u64 {
        at.0.saturating_add_signed(-self.skew_ms)
    }

    /// The key that signs its transactions.
    pub(crate) fn key(&self) -> PublicKey {
        Identity::from_seed(self.seed).public_key()
    }

    pub(crate) fn start(&mut self, random: &mut Random, genesis: &Genesis, now: u64) {
        self.life += 1;
        let identity = Identity::from_seed(self.seed);
        let config = Config {
            genesis: genesis.clone(),
            identity,
            seed: random.bytes32(),
        };
        self.node = Some(Node::new(config));
        let records = self.disk.iter().map(|(key, value)| Record {
            key: key.clone(),
            value: value.clone(),
        });
        let records: Vec<Record> = records.collect();
        let restored = self.handle(now, Input::Restored { records });
        assert_eq!(restored, Ok(()), "a node restores once");
        let set = self.handle(now, Input::MiningSet { when: self.mining });
        assert_eq!(set, Ok(()), "mining can be set");
    }

    pub(crate) fn crash(&mut self) {
        self.node = None;
        self.life += 1;
        self.queue.clear();
        self.writing = None;
        self.job = None;
        self.job_generation += 1;
        self.wake += 1;
    }

    /// Gives the machine a fact and collects its orders.
    pub(crate) fn handle(&mut self, now: u64, input: Input) -> Result<(), NodeError> {
        let clock = self.clock(now);
        let Some(node) = &mut self.node else {
            return Ok(());
        };
        let result = node.handle(clock, input);
        while let Some(output) = node.poll() {
            self.queue.push_back(output);
        }
        result
    }

    /// The next order that may be performed now. A write is begun and answered like any other order.
    pub(crate) fn next_order(&mut self) -> Option<Output> {
        if self.writing.is_some() {
            return None;
        }
        let order = self.queue.pop_front()?;
        if let Output::Persist { records } = &order {
            self.writing = Some(records.clone());
        }
        Some(order)
    }

    /// The write begun last is durable.
    pub(crate) fn end_write(&mut self) {
        for Change { key, value } in self.writing.take().unwrap_or_default() {
            match value {
                Some(value) => _ = self.disk.insert(key, value),
                None => _ = self.disk.remove(&key),
            }
        }
    }

    /// The disk, for judging.
    pub(crate) const fn disk(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.disk
    }
}
