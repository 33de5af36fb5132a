//! A party with its clock, its disk and its machines: it performs the machines' orders in order, and what stands behind a write
//! waits until the write is durable. A crash loses the machines, the queue and the unfinished write; a torn one leaves
//! the beginning of that write behind, its last record cut short.

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    chain::Chain,
    hash::Hash,
    identity::Identity,
    ids::{PeerId, PublicKey, TimestampMs},
    mesh::{self, LinkId, Listing, Mesh},
    node::{self, Change, Job, MiningWhen, Node, Record},
};

use crate::{
    Kind, Random,
    actors::{self, Actor, lying_snapshot},
    stack::{Mind, Order, Stack},
};

/// One party.
#[derive(Debug)]
pub(crate) struct Host {
    /// None for an honest node.
    pub(crate) kind: Option<Kind>,
    /// The key of its transactions and blocks.
    pub(crate) seed: [u8; 32],
    /// The key of its links; its own even where the other is shared.
    link_seed: [u8; 32],
    pub(crate) peer: PeerId,
    /// What its clock shows beyond true time, ms; may be negative.
    skew_ms: i64,
    /// Virtual hashes a millisecond.
    pub(crate) power: f64,
    pub(crate) mining: MiningWhen,
    /// None while it is down.
    pub(crate) stack: Option<Stack>,
    /// Counts starts; what was scheduled for an earlier life is void.
    pub(crate) life: u64,
    disk: BTreeMap<String, Vec<u8>>,
    writing: Option<Vec<Change>>,
    /// Writes begun so far, over all lives.
    pub(crate) writes: u64,
    /// True once a write was torn: a record may be found damaged.
    pub(crate) was_torn: bool,
    pub(crate) job: Option<Job>,
    /// Counts jobs, so that a nonce drawn for an earlier one is void.
    pub(crate) job_generation: u64,
    /// Counts ordered wakes; only the last one is due.
    pub(crate) wake: u64,
    /// The tracker's connection, counted; none while there is none.
    pub(crate) tracker: Option<u64>,
    /// Tries to connect to the tracker since the last success.
    pub(crate) tracker_tries: u32,
    /// When its uplink is free again.
    pub(crate) uplink_free_at: u64,
    /// Ids the user was told are submitted.
    pub(crate) submitted: BTreeSet<Hash>,
    /// True once it left for good.
    pub(crate) has_left: bool,
    /// Links its node was told of.
    pub(crate) up: BTreeSet<PeerId>,
}

impl Host {
    pub(crate) fn honest(random: &mut Random, skew_ms: u64, twin: Option<[u8; 32]>) -> Self {
        let own = random.bytes32();
        let half = i64::try_from(skew_ms).unwrap_or(0);
        let skew_ms = i64::try_from(random.below(2 * skew_ms + 1)).unwrap_or(0) - half;
        Self {
            kind: None,
            seed: twin.unwrap_or(own),
            link_seed: own,
            peer: Identity::from_seed(own).peer_id(),
            skew_ms,
            power: 0.0,
            mining: MiningWhen::Off,
            stack: None,
            life: 0,
            disk: BTreeMap::new(),
            writing: None,
            writes: 0,
            was_torn: false,
            job: None,
            job_generation: 0,
            wake: 0,
            tracker: None,
            tracker_tries: 0,
            uplink_free_at: 0,
            submitted: BTreeSet::new(),
            has_left: false,
            up: BTreeSet::new(),
        }
    }

    pub(crate) fn hostile(random: &mut Random, kind: Kind) -> Self {
        let mut host = Self {
            kind: Some(kind),
            ..Self::honest(random, 0, None)
        };
        if kind == Kind::LyingSnapshot {
            host.rename(random);
        }
        host
    }

    /// Takes another name: for a hostile party that was thrown out.
    pub(crate) fn rename(&mut self, random: &mut Random) {
        self.link_seed = if self.kind == Some(Kind::LyingSnapshot) {
            lying_snapshot::link_seed(random)
        } else {
            random.bytes32()
        };
        self.peer = Identity::from_seed(self.link_seed).peer_id();
    }

    pub(crate) const fn is_honest(&self) -> bool {
        self.kind.is_none()
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        self.stack.as_ref().and_then(Stack::node)
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

    /// Puts records on its disk before it starts for the first time.
    pub(crate) fn give_records(&mut self, records: impl IntoIterator<Item = (String, Vec<u8>)>) {
        self.disk.extend(records);
    }

    /// Starts the machines with what the disk holds.
    pub(crate) fn start(
        &mut self,
        random: &mut Random,
        history: &Chain,
        now: u64,
    ) -> Result<(), String> {
        self.life += 1;
        let genesis = history.genesis();
        let mesh = Mesh::new(mesh::Config {
            identity: Identity::from_seed(self.link_seed),
            chain: genesis.chain_id(),
            network: genesis.network_id.clone(),
            genesis: genesis.encode(),
            listing: Listing::Listed,
            keys: None,
            seed: random.bytes32(),
        });
        let Some(kind) = self.kind else {
            let config = node::Config {
                genesis: genesis.clone(),
                identity: Identity::from_seed(self.seed),
                seed: random.bytes32(),
                keep: node::Keep::Archive,
                helpers: [0, 1, 3][random.index(3)],
            };
            let mut stack = Stack::new(mesh, Mind::Honest(Box::new(Node::new(config))));
            let record = |(key, value): (&String, &Vec<u8>)| Record {
                key: key.clone(),
                value: value.clone(),
            };
            let records = self.disk.iter().map(record).collect();
            let clock = self.clock(now);
            stack.node_fact(clock, node::Input::Restored { records })?;
            stack.node_fact(clock, node::Input::MiningSet { when: self.mining })?;
            self.stack = Some(stack);
            return Ok(());
        };
        let actor: Box<dyn Actor> = actors::make(kind, history, Random::new(random.draw()));
        self.stack = Some(Stack::new(mesh, Mind::Hostile(actor)));
        Ok(())
    }

    /// Everything that is not on the disk is gone. A torn crash leaves a part of the unfinished write there.
    pub(crate) fn crash(&mut self, random: &mut Random, is_torn: bool) {
        self.stack = None;
        self.life += 1;
        self.job = None;
        self.job_generation += 1;
        self.wake += 1;
        self.tracker = None;
        self.tracker_tries = 0;
        self.up.clear();
        let Some(changes) = self.writing.take().filter(|_| is_torn) else {
            return;
        };
        self.was_torn = true;
        let cut = random.index(changes.len());
        for (index, Change { key, value }) in changes.into_iter().enumerate().take(cut + 1) {
            match value {
                Some(value) if index == cut => {
                    let kept = random.index(value.len());
                    if kept > 0 {
                        self.disk.insert(key, value[..kept].to_vec());
                    }
                }
                Some(value) => _ = self.disk.insert(key, value),
                None => _ = self.disk.remove(&key),
            }
        }
    }

    /// The next order that may be performed now; none while a write is unfinished.
    pub(crate) fn next_order(&mut self) -> Option<Order> {
        if self.writing.is_some() {
            return None;
        }
        let order = self.stack.as_mut()?.poll()?;
        if let Order::Persist { changes } = &order {
            self.writing = Some(changes.clone());
            self.writes += 1;
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

/// One end of a data channel: whose, in which life, which.
pub(crate) type End = (usize, u64, LinkId);
