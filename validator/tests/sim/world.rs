//! The world: nodes with disks, a network, clients, faults, and one virtual clock.

mod private;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use shared::block::Block;
use shared::enterprise::{
    BlockLimits, EnterpriseGenesis, EnterpriseHeight, SetChange, Timeouts, ValidatorInfo,
    ValidatorSet,
};
use shared::hash::Hash;
use shared::identity::Identity;
use shared::ids::{ChainId, NetworkId, PublicKey, TimestampMs};
use validator::agreement::{Evidence, Tendermint};
use validator::body::Body;
use validator::ledger::{Ledger, PROPOSAL_AHEAD_MAX_MS, Submission};
use validator::replica::SNAPSHOT_EVERY;
use validator::replica::{
    Input, LogRecord, Message, Now, Output, Replica, Start, StoreOrder, blocks, bodies, chunk,
};
use validator::start::{begun, replay_block, replay_held};
use validator::store::{Batch, BodyKey, Storage as _};

use crate::actors::Actor;
use crate::checks::Observer;
use crate::store::ModelStore;
use crate::tenant::TestTenant;
use private::{Asked, Private};

/// When the network is made, on the wall.
pub(crate) const START: TimestampMs = TimestampMs(1_700_000_000_000);
const STEADY_START: u64 = 1_000_000;

/// Xorshift: small, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        let mut draw = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            draw.next();
        }
        draw
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap())).unwrap()
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What goes wrong, until it ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Messages that are lost, in percent.
    pub(crate) drop: u64,
    /// Messages that come twice.
    pub(crate) duplicate: u64,
    /// Messages that overtake others.
    pub(crate) reorder: u64,
    /// The longest delay beside the usual 1 to 10 ms.
    pub(crate) delay_ms: u64,
    /// How far a wall clock may be off.
    pub(crate) skew_ms: u64,
    /// How often a node crashes, one in so many ms; 0 for never.
    pub(crate) crash_every_ms: u64,
    /// How often the network is cut in two.
    pub(crate) cut_every_ms: u64,
    /// A node that crashes at its nth write.
    pub(crate) crash_at_write: Option<(usize, u64)>,
    /// A node that loses its vote log or its whole disk in a crash.
    pub(crate) loses: Option<(usize, Loss)>,
}

/// What a crash takes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Log,
    Disk,
}

/// One run.
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) validators: u8,
    pub(crate) actors: Vec<(usize, Box<dyn Actor>)>,
    /// Nodes whose wall clocks are wrong, and by how many ms.
    pub(crate) clocks: Vec<(usize, i64)>,
    /// Nodes that have the key of another.
    pub(crate) twins: Vec<usize>,
    pub(crate) faults: Faults,
    pub(crate) faulty_ms: u64,
    pub(crate) submit_every_ms: u64,
    /// Nodes beyond the first set; their seeds follow.
    pub(crate) newcomers: u8,
    /// When operators agree on which next set, by seeds.
    pub(crate) changes: Vec<(u64, Vec<u8>)>,
    /// Whether newcomers may follow before they are in the set.
    pub(crate) are_followed: bool,
    /// Heights from one snapshot to the next.
    pub(crate) snapshot_every: u64,
    /// When which nodes lose their disks.
    pub(crate) wipes: Vec<(u64, usize)>,
    /// When newcomers start.
    pub(crate) late_ms: u64,
    /// How often a private tenant is reported, and how often its owner resets it; 0 for never.
    pub(crate) private_every_ms: (u64, u64),
}

impl Setup {
    pub(crate) fn new(seed: u64, validators: u8) -> Self {
        Self {
            seed,
            validators,
            actors: Vec::new(),
            clocks: Vec::new(),
            twins: Vec::new(),
            faults: Faults::default(),
            faulty_ms: 6_000,
            submit_every_ms: 60,
            newcomers: 0,
            changes: Vec::new(),
            are_followed: true,
            snapshot_every: SNAPSHOT_EVERY,
            wipes: Vec::new(),
            late_ms: 0,
            private_every_ms: (0, 0),
        }
    }
}

/// What survives a crash.
#[derive(Debug)]
struct Disk {
    store: ModelStore,
    log: Vec<LogRecord>,
    buffer: Vec<LogRecord>,
    has_log: bool,
    /// Orders that the owner of the store has not carried out.
    orders: VecDeque<StoreOrder>,
}

struct Node {
    seed: u8,
    key: PublicKey,
    skew: i64,
    disk: Disk,
    replica: Option<Replica>,
    actor: Option<Box<dyn Actor>>,
    is_honest: bool,
    writes: u64,
    ticks: u64,
    /// How often it said where it stands.
    beats: u64,
    clients: BTreeMap<u64, (usize, usize, Vec<BodyKey>)>,
    /// Reporters and the owner of the private tenant.
    private: BTreeMap<u64, Asked>,
    /// Whom it lets link.
    members: BTreeSet<PublicKey>,
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Deliver(usize, PublicKey, Vec<u8>),
    Linked(usize, PublicKey, bool),
    Tick(usize, u64),
    /// The store carries out what it was ordered.
    Store(usize),
    Submit,
    /// The private tenant's reporters hand in what is new.
    Report,
    /// Its owner voids something final.
    Void,
    Crash(usize),
    Wipe(usize),
    Restart(usize),
    Cut,
    Heal,
    Calm,
    /// The operators hand a set change in, until it is decided.
    Change(usize),
}

struct Client {
    tenant: TestTenant,
    blocks: Vec<Block>,
    acknowledged: usize,
    from: usize,
}

/// The world.
pub(crate) struct World {
    pub(crate) setup_seed: u64,
    now: u64,
    draw: Draw,
    faults: Faults,
    genesis: EnterpriseGenesis,
    nodes: Vec<Node>,
    events: BTreeMap<u64, Event>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    order: u64,
    arrives: BTreeMap<(usize, usize), u64>,
    /// Which side each node is on.
    cut: Vec<bool>,
    clients: Vec<Client>,
    private: Option<Private>,
    next_client: u64,
    submit_every_ms: u64,
    changes: Vec<Vec<u8>>,
    followers: BTreeSet<PublicKey>,
    snapshot_every: u64,
    /// How far a correct clock may be ahead.
    skew_ms: u64,
    /// Messages of actors that went out otherwise than a true validator says them, by kind.
    changed: BTreeMap<&'static str, usize>,
    /// Who was last sent changed blocks by whom.
    fooled: BTreeMap<usize, PublicKey>,
    /// How often such a one turned to another next.
    noticed: usize,
    pub(crate) observer: Observer,
    pub(crate) evidence: Vec<Evidence>,
}

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn set_of(seeds: impl IntoIterator<Item = u8>) -> ValidatorSet {
    let infos = seeds.into_iter().map(|seed| ValidatorInfo {
        key: identity(seed).public_key(),
        name: NetworkId::parse(&format!("v{seed}")).unwrap(),
    });
    ValidatorSet::new(infos.collect()).unwrap()
}

fn genesis(validators: u8) -> EnterpriseGenesis {
    let set = set_of(1..=validators);
    let genesis = EnterpriseGenesis::new(NetworkId::parse("sim").unwrap(), START, set);
    let (blocks, tenants) = (BlockLimits::default(), genesis.tenants());
    genesis
        .with_limits(Timeouts::default(), blocks, tenants)
        .unwrap()
}

fn clients() -> Vec<Client> {
    let clients = (1..=3).map(|seed| {
        let tenant = TestTenant::with(&format!("t{seed}"), seed, START, |genesis| {
            genesis.rules.interval_ms = 2_000;
            genesis.rules.finality_delay_ms = 12_000;
        });
        Client {
            tenant,
            blocks: Vec::new(),
            acknowledged: 0,
            from: 0,
        }
    });
    clients.collect()
}

impl Node {
    fn new(seed: u8, skew: i64, blocks: BlockLimits, is_honest: bool) -> Self {
        Self {
            seed,
            key: identity(seed).public_key(),
            skew,
            disk: Disk {
                store: ModelStore::new(blocks),
                log: Vec::new(),
                buffer: Vec::new(),
                has_log: true,
                orders: VecDeque::new(),
            },
            replica: None,
            actor: None,
            is_honest,
            writes: 0,
            ticks: 0,
            beats: 0,
            clients: BTreeMap::new(),
            private: BTreeMap::new(),
            members: BTreeSet::new(),
        }
    }
}

fn private_of((report, reset): (u64, u64)) -> Option<Private> {
    (report > 0).then(|| Private::new(report, reset))
}

fn seeds_of<T: FromIterator<Vec<u8>>>(changes: &[(u64, Vec<u8>)]) -> T {
    changes.iter().map(|(_, seeds)| seeds.clone()).collect()
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let genesis = genesis(setup.validators);
        let mut draw = Draw::new(setup.seed);
        let mut nodes = Vec::new();
        let mut seeds: Vec<u8> = (1..=setup.validators).collect();
        for twin in &setup.twins {
            seeds.push(seeds[*twin]);
        }
        seeds.extend((1..=setup.newcomers).map(|number| setup.validators + number));
        let newcomers = usize::from(setup.newcomers);
        let twins_end = seeds.len() - newcomers;
        let followers = seeds.iter().skip(twins_end);
        let followers = followers.filter(|_| setup.are_followed);
        let followers = followers.map(|seed| identity(*seed).public_key()).collect();
        for (index, seed) in seeds.iter().enumerate() {
            let is_twin = (usize::from(setup.validators)..twins_end).contains(&index)
                || setup.twins.contains(&index);
            let skew = draw.below(setup.faults.skew_ms.saturating_add(1));
            let skew = i64::try_from(skew).unwrap();
            nodes.push(Node::new(*seed, skew, genesis.blocks(), !is_twin));
        }
        for (index, actor) in setup.actors {
            nodes[index].actor = Some(actor);
            nodes[index].is_honest = false;
        }
        for (index, offset) in setup.clocks {
            nodes[index].skew = offset;
        }
        let cut = vec![false; nodes.len()];
        let observer = Observer::new(genesis.clone());
        let skew_ms = setup.faults.skew_ms;
        let mut world = Self {
            setup_seed: setup.seed,
            now: 0,
            draw,
            faults: setup.faults,
            genesis,
            nodes,
            events: BTreeMap::new(),
            queue: BinaryHeap::new(),
            order: 0,
            arrives: BTreeMap::new(),
            cut,
            clients: clients(),
            private: private_of(setup.private_every_ms),
            next_client: 0,
            submit_every_ms: setup.submit_every_ms,
            changes: seeds_of(&setup.changes),
            followers,
            snapshot_every: setup.snapshot_every,
            skew_ms,
            changed: BTreeMap::new(),
            fooled: BTreeMap::new(),
            noticed: 0,
            observer,
            evidence: Vec::new(),
        };
        for index in 0..world.nodes.len() {
            if index >= twins_end && setup.late_ms > 0 {
                world.after(setup.late_ms, Event::Restart(index));
            } else {
                world.restart(index);
            }
        }
        for (at, index) in setup.wipes {
            world.after(at, Event::Wipe(index));
        }
        world.plan(setup.faulty_ms, &setup.changes);
        world
    }

    fn plan(&mut self, faulty_ms: u64, changes: &[(u64, Vec<u8>)]) {
        self.after(20, Event::Submit);
        let every = self.private.as_ref().map(Private::every_ms);
        if let Some((report, reset)) = every {
            self.after(report, Event::Report);
            if reset > 0 {
                self.after(reset, Event::Void);
            }
        }
        self.after(faulty_ms, Event::Calm);
        for (index, (at, _)) in changes.iter().enumerate() {
            self.after(*at, Event::Change(index));
        }
        self.plan_crash();
        self.plan_cut();
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((self.now + delay, self.order)));
        self.events.insert(self.order, event);
    }

    fn plan_crash(&mut self) {
        if self.faults.crash_every_ms > 0 {
            let delay = 1 + self.draw.below(2 * self.faults.crash_every_ms);
            let honest = self.draw.index(self.nodes.len());
            self.after(delay, Event::Crash(honest));
        }
    }

    fn plan_cut(&mut self) {
        if self.faults.cut_every_ms > 0 {
            let delay = 1 + self.draw.below(2 * self.faults.cut_every_ms);
            self.after(delay, Event::Cut);
        }
    }

    /// Plays until `until` on the virtual clock.
    pub(crate) fn play(&mut self, until: u64) {
        while let Some(Reverse((at, order))) = self.queue.peek().copied() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = at;
            let event = self.events.remove(&order).unwrap();
            self.happen(event);
        }
        self.now = until;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver(to, from, bytes) => {
                let message = Message::decode(&bytes).unwrap();
                self.step(to, Input::Heard { from, message });
            }
            Event::Linked(node, peer, true) => self.step(node, Input::Linked(peer)),
            Event::Linked(node, peer, false) => self.step(node, Input::Unlinked(peer)),
            Event::Tick(node, ticks) => {
                if self.nodes[node].ticks == ticks {
                    self.step(node, Input::Tick);
                }
            }
            Event::Store(node) => self.carry_out(node),
            Event::Submit => {
                self.submit();
                self.after(self.submit_every_ms, Event::Submit);
            }
            Event::Report => self.report(),
            Event::Void => self.void(),
            Event::Change(index) => self.change(index),
            Event::Crash(node) => {
                if self.nodes[node].replica.is_some() {
                    self.crash(node);
                }
                self.plan_crash();
            }
            Event::Wipe(node) => {
                self.faults.loses = Some((node, Loss::Disk));
                if self.nodes[node].replica.is_some() {
                    self.crash(node);
                }
            }
            Event::Restart(node) => {
                if self.nodes[node].replica.is_none() {
                    self.restart(node);
                }
            }
            Event::Cut => {
                for index in 0..self.nodes.len() {
                    self.cut[index] = self.draw.percent(50);
                }
                let delay = 200 + self.draw.below(2_000);
                self.after(delay, Event::Heal);
            }
            Event::Heal => {
                self.heal();
                self.plan_cut();
            }
            Event::Calm => {
                self.faults = Faults::default();
                self.heal();
                for node in 0..self.nodes.len() {
                    self.after(1, Event::Restart(node));
                }
            }
        }
    }

    /// Operators sign the next set on the newest state there is, and hand it to a validator; again until it is decided.
    fn change(&mut self, index: usize) {
        let number = u32::try_from(index).unwrap() + 1;
        let ledgers = self.nodes.iter().filter(|node| node.is_honest);
        let ledgers = ledgers.filter_map(|node| Some(node.replica.as_ref()?.ledger()));
        let newest = ledgers.max_by_key(|ledger| ledger.verifier().height());
        let Some(verifier) = newest.map(|ledger| ledger.verifier().clone()) else {
            return self.after(300, Event::Change(index));
        };
        if verifier.changes() >= number {
            return;
        }
        if verifier.changes() + 1 == number {
            let set = verifier.next_validators();
            let next = set_of(self.changes[index].iter().copied());
            let mut change = SetChange::new(number, set.hash(), next);
            let seeds = 1..=u8::try_from(self.nodes.len()).unwrap();
            let signers =
                seeds.filter(|seed| set.index_of(&identity(*seed).public_key()).is_some());
            for seed in signers.take(set.quorum()) {
                change
                    .sign(set, &identity(seed), verifier.chain_id())
                    .unwrap();
            }
            let to = self.draw.index(self.nodes.len());
            let replica = self.nodes[to].replica.as_mut();
            if replica.is_some_and(|replica| replica.change_set(change).is_ok()) {
                self.step(to, Input::Tick);
            }
        }
        self.after(700, Event::Change(index));
    }

    fn are_linked(&self, left: usize, right: usize) -> bool {
        let [one, other] = [left, right].map(|index| &self.nodes[index]);
        one.members.contains(&other.key) && other.members.contains(&one.key)
    }

    /// A node lets others link than before.
    fn admit(&mut self, index: usize, members: BTreeSet<PublicKey>) {
        let before = std::mem::replace(&mut self.nodes[index].members, members);
        let own = self.nodes[index].key;
        for other in 0..self.nodes.len() {
            let key = self.nodes[other].key;
            if other == index || before.contains(&key) == self.nodes[index].members.contains(&key) {
                continue;
            }
            let is_linked = self.are_linked(index, other);
            self.after(2, Event::Linked(index, key, is_linked));
            self.after(2, Event::Linked(other, own, is_linked));
        }
    }

    fn heal(&mut self) {
        self.cut.fill(false);
        for left in 0..self.nodes.len() {
            for right in 0..self.nodes.len() {
                if left != right
                    && self.are_linked(left, right)
                    && self.nodes[right].replica.is_some()
                {
                    let key = self.nodes[right].key;
                    self.after(1, Event::Linked(left, key, true));
                }
            }
        }
    }

    fn clock(&self, node: usize) -> Now {
        let right = START.0 + 1_000 + self.now;
        Now {
            wall: TimestampMs(right.saturating_add_signed(self.nodes[node].skew)),
            steady: TimestampMs(STEADY_START + self.now),
        }
    }

    fn restart(&mut self, index: usize) {
        let now = self.clock(index);
        let node = &mut self.nodes[index];
        let store = &node.disk.store;
        let (mut ledger, mut rotation) = begun(store, &self.genesis).unwrap();
        for height in ledger.base().height.0 + 1..=store.height() {
            replay_block(store, &mut ledger, &mut rotation, EnterpriseHeight(height)).unwrap();
        }
        replay_held(store, &mut ledger, now.wall).unwrap();
        let mut start = Start {
            followers: self.followers.clone(),
            snapshot_every: self.snapshot_every,
            identity: Some(identity(node.seed)),
            snapshots: store.snapshots().unwrap(),
            ..Start::default()
        };
        if node.disk.has_log {
            start.records = node.disk.log.clone();
        } else {
            start.abstains_until = Some(now.wall.plus_ms(5_000));
        }
        let set = self.genesis.validators();
        let (chain, timeouts) = (self.genesis.chain_id(), self.genesis.timeouts());
        let agreement = Tendermint::new(identity(node.seed), chain, timeouts, set);
        let replica = Replica::new(ledger, rotation, Box::new(agreement), node.key, now, start);
        node.replica = Some(replica.unwrap());
        let key = node.key;
        for other in 0..self.nodes.len() {
            if other != index
                && self.are_linked(index, other)
                && self.nodes[other].replica.is_some()
            {
                let peer = self.nodes[other].key;
                self.after(2, Event::Linked(index, peer, true));
                self.after(2, Event::Linked(other, key, true));
            }
        }
        self.step(index, Input::Tick);
    }

    /// The machine stops, and starts again after a while.
    fn crash(&mut self, index: usize) {
        self.kill(index);
        let delay = 20 + self.draw.below(1_500);
        self.after(delay, Event::Restart(index));
    }

    /// The machine stops: what was not flushed is lost in part.
    pub(crate) fn kill(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let kept = self.draw.index(node.disk.buffer.len() + 1);
        let torn: Vec<LogRecord> = node.disk.buffer.drain(..).take(kept).collect();
        node.disk.log.extend(torn);
        node.disk.orders.clear();
        node.replica = None;
        node.clients.clear();
        node.private.clear();
        if let Some((_, loss)) = self.faults.loses.filter(|(loser, _)| *loser == index) {
            self.faults.loses = None;
            node.disk.log.clear();
            node.disk.has_log = false;
            if loss == Loss::Disk {
                node.disk.store = ModelStore::new(self.genesis.blocks());
            }
        }
        let key = node.key;
        for other in 0..self.nodes.len() {
            if other != index {
                self.after(1, Event::Linked(other, key, false));
            }
        }
    }

    /// Hands one fact in, and carries out what is ordered.
    fn step(&mut self, index: usize, input: Input) {
        let now = self.clock(index);
        let Some(replica) = &mut self.nodes[index].replica else {
            return;
        };
        replica.handle(now, input).unwrap();
        replica.settle(now).unwrap();
        loop {
            let replica = self.nodes[index].replica.as_mut();
            let Some(output) = replica.and_then(Replica::poll) else {
                break;
            };
            self.perform(index, output);
        }
        let node = &mut self.nodes[index];
        node.ticks += 1;
        if let Some(replica) = &node.replica
            && let Some(due) = replica.next_tick(now)
        {
            let delay = due.since(now.steady).max(1);
            let ticks = node.ticks;
            self.after(delay, Event::Tick(index, ticks));
        }
    }

    /// Counts a write; true if the node crashed at it.
    fn crashes_at_write(&mut self, index: usize) -> bool {
        self.nodes[index].writes += 1;
        let at = Some((index, self.nodes[index].writes));
        if at == self.faults.crash_at_write {
            self.crash(index);
            return true;
        }
        false
    }

    fn perform(&mut self, index: usize, output: Output) {
        match output {
            Output::Log(record) => self.nodes[index].disk.buffer.push(record),
            Output::SyncLog => {
                if !self.crashes_at_write(index) {
                    let disk = &mut self.nodes[index].disk;
                    disk.log.append(&mut disk.buffer);
                }
            }
            Output::BeginLog => {
                self.carry_out(index);
                if self.nodes[index].replica.is_some() && !self.crashes_at_write(index) {
                    self.nodes[index].disk.has_log = true;
                }
            }
            Output::Send(to, message) => self.send(index, to, message),
            Output::Broadcast(message) => {
                let mut keys: Vec<PublicKey> = self.nodes.iter().map(|node| node.key).collect();
                keys.dedup();
                let own = self.nodes[index].key;
                keys.retain(|key| *key != own);
                keys.sort_unstable();
                keys.dedup();
                for to in keys {
                    self.send(index, to, message.clone());
                }
            }
            // As the engine does: what a client is told beside a log rests on logs alone.
            Output::Store(StoreOrder::Reply {
                client,
                verdict,
                is_acknowledged,
            }) if self.nodes[index].disk.has_log => {
                self.replied(index, client, verdict.is_ok(), is_acknowledged);
            }
            Output::Store(order) => {
                let disk = &self.nodes[index].disk;
                let heights = disk.log.iter().chain(&disk.buffer);
                let highest = heights.filter_map(LogRecord::height).max();
                let is_decision = match &order {
                    StoreOrder::Commit(batch) => batch.decided.as_ref().is_some_and(|decided| {
                        highest.is_none_or(|highest| highest <= decided.block().header().height)
                    }),
                    _ => false,
                };
                self.nodes[index].disk.orders.push_back(order);
                if is_decision && self.draw.percent(5) {
                    // The log is cut back, once the store has all that it holds.
                    self.carry_out(index);
                    if self.nodes[index].replica.is_some() && !self.crashes_at_write(index) {
                        self.nodes[index].disk.log.clear();
                        self.nodes[index].disk.buffer.clear();
                    }
                } else {
                    let delay = self.draw.below(30);
                    self.after(delay, Event::Store(index));
                }
            }
            Output::Members(members) => self.admit(index, members),
            Output::Evidence(evidence) => {
                if self.nodes[index].is_honest {
                    self.evidence.push(evidence);
                }
            }
        }
    }

    /// The owner of the store does all that it was ordered so far.
    fn carry_out(&mut self, index: usize) {
        while self.nodes[index].replica.is_some()
            && let Some(order) = self.nodes[index].disk.orders.pop_front()
        {
            match order {
                StoreOrder::Commit(batch) => self.commit(index, &batch),
                StoreOrder::ServeBlocks(to, first) => {
                    let message = blocks(&self.nodes[index].disk.store, first).unwrap();
                    self.send(index, to, message);
                }
                StoreOrder::ServeBodies(to, keys) => {
                    let message = bodies(&self.nodes[index].disk.store, &keys).unwrap();
                    self.send(index, to, message);
                }
                StoreOrder::ServeChunk {
                    to,
                    height,
                    index: part,
                    key,
                } => {
                    let store = &self.nodes[index].disk.store;
                    let message = chunk(store, height, part, key).unwrap();
                    self.send(index, to, message);
                }
                StoreOrder::Reply {
                    client,
                    verdict,
                    is_acknowledged,
                } => self.replied(index, client, verdict.is_ok(), is_acknowledged),
            }
        }
    }

    fn commit(&mut self, index: usize, batch: &Batch) {
        // Half the time the write itself still succeeds.
        let survives = self.draw.percent(50);
        self.nodes[index].writes += 1;
        let crashes = Some((index, self.nodes[index].writes)) == self.faults.crash_at_write;
        if crashes && !survives {
            return self.crash(index);
        }
        let disk = &mut self.nodes[index].disk;
        disk.store.commit(std::slice::from_ref(batch)).unwrap();
        if let Some(decided) = &batch.decided
            && self.nodes[index].is_honest
        {
            let block = decided.block();
            if self.observer.is_new(block.header().height.0) {
                let bodies =
                    validator::start::bodies(&self.nodes[index].disk.store, block).unwrap();
                let ahead = 1_000 + self.skew_ms + PROPOSAL_AHEAD_MAX_MS;
                let times = (self.now, START.plus_ms(self.now + ahead));
                self.observer
                    .verify(self.setup_seed, times, decided, bodies);
            }
            self.observer.decided(self.setup_seed, block);
        }
        if let (None, Some(head)) = (&batch.decided, batch.head())
            && self.nodes[index].is_honest
        {
            self.observer.adopted(self.setup_seed, head);
        }
        if crashes {
            self.crash(index);
        }
    }

    fn replied(&mut self, index: usize, client: u64, is_taken: bool, is_acknowledged: bool) {
        let Some((tenant, upto, keys)) = self.nodes[index].clients.remove(&client) else {
            return self.private_replied(index, client, is_taken, is_acknowledged);
        };
        let client = &mut self.clients[tenant];
        if !is_taken {
            client.from = 0;
        } else if is_acknowledged {
            client.acknowledged = client.acknowledged.max(upto);
            if self.nodes[index].is_honest {
                self.observer.acknowledged(keys);
            }
        }
    }

    fn send(&mut self, from: usize, to: PublicKey, message: Message) {
        let node = &mut self.nodes[from];
        let by = node.key;
        if node.is_honest {
            self.observer.told(self.setup_seed, by, &message);
        }
        if matches!(message, Message::Status { .. }) {
            node.beats += 1;
        }
        if matches!(message, Message::GetBlocks { .. })
            && let Some(liar) = self.fooled.remove(&from)
        {
            self.noticed += usize::from(liar != to);
        }
        let chain: ChainId = self.genesis.chain_id();
        let out = match &mut node.actor {
            None => vec![message],
            Some(actor) => {
                let out = actor.send(&identity(node.seed), chain, &to, message.clone());
                self.watch(by, to, &message, &out);
                out
            }
        };
        for message in out {
            self.transmit(from, to, &message);
        }
    }

    /// Counts what an actor changes.
    fn watch(&mut self, by: PublicKey, to: PublicKey, message: &Message, out: &[Message]) {
        if out == std::slice::from_ref(message) {
            return;
        }
        let kind = match message {
            Message::Agreement(_) => "agreement",
            Message::Block { .. } => "block",
            Message::Blocks(_) => "blocks",
            Message::Snapshot(_) => "snapshot",
            Message::Chunk { .. } => "chunk",
            _ => "other",
        };
        *self.changed.entry(kind).or_default() += 1;
        let asker = self.nodes.iter().position(|node| node.key == to);
        if let (Message::Blocks(_), Some(asker)) = (message, asker) {
            self.fooled.insert(asker, by);
        }
    }

    /// How many messages of a kind actors have changed.
    pub(crate) fn changed(&self, kind: &str) -> usize {
        self.changed.get(kind).copied().unwrap_or(0)
    }

    /// How often one that was sent changed blocks turned to another next.
    pub(crate) const fn noticed(&self) -> usize {
        self.noticed
    }

    /// The blocks that actors proposed and nobody may decide.
    pub(crate) fn bad_blocks(&self) -> Vec<Hash> {
        let actors = self.nodes.iter().filter_map(|node| node.actor.as_ref());
        actors.flat_map(|actor| actor.bad_blocks()).collect()
    }

    /// How often each node said where it stands.
    pub(crate) fn beats(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.beats).collect()
    }

    fn transmit(&mut self, from: usize, to: PublicKey, message: &Message) {
        let by = self.nodes[from].key;
        for index in 0..self.nodes.len() {
            if self.nodes[index].key != to {
                continue;
            }
            if !self.are_linked(from, index)
                || self.cut[from] != self.cut[index]
                || self.draw.percent(self.faults.drop)
            {
                continue;
            }
            let copies = 1 + u64::from(self.draw.percent(self.faults.duplicate));
            for _ in 0..copies {
                let usual = 1 + self.draw.below(10);
                let late = self.draw.below(self.faults.delay_ms.saturating_add(1));
                let mut at = self.now + usual + late;
                let overtakes = self.draw.percent(self.faults.reorder);
                let last = self.arrives.entry((from, index)).or_default();
                if !overtakes {
                    at = at.max(*last);
                }
                *last = (*last).max(at);
                let event = Event::Deliver(index, by, message.encode());
                self.after(at - self.now, event);
            }
        }
    }

    /// A client mines a block and hands in what is not acknowledged, to one validator or to two.
    fn submit(&mut self) {
        let chosen = self.draw.index(self.clients.len());
        let at = START.plus_ms(1_000 + self.now);
        let client = &mut self.clients[chosen];
        if client.blocks.len() < client.acknowledged + 8 {
            let text = format!("block {}", client.blocks.len());
            client.blocks.push(client.tenant.mine_at(at, &[&text]));
        }
        let times = 1 + u64::from(self.draw.percent(20));
        for _ in 0..times {
            let index = self.draw.index(self.nodes.len());
            self.hand_in(chosen, index);
        }
    }

    fn hand_in(&mut self, tenant: usize, index: usize) {
        let client = &mut self.clients[tenant];
        let first = client.from.min(client.acknowledged);
        let sent: Vec<Block> = client.blocks[first..].to_vec();
        client.from = usize::MAX;
        let chain_id = client.tenant.chain_id();
        let upto = client.blocks.len();
        let submission = Submission {
            genesis: std::sync::Arc::clone(&client.tenant.genesis),
            chain_id,
            blocks: sent.iter().cloned().map(Body::from).collect(),
        };
        let keys: Vec<BodyKey> = sent.iter().map(|block| (chain_id, block.hash())).collect();
        if self.nodes[index].replica.is_none() {
            return;
        }
        self.next_client += 1;
        let client = self.next_client;
        self.nodes[index]
            .clients
            .insert(client, (tenant, upto, keys));
        self.step(index, Input::Submit { client, submission });
    }

    /// Every client mines one more block.
    pub(crate) fn mine_everywhere(&mut self) {
        let at = START.plus_ms(1_000 + self.now);
        for client in &mut self.clients {
            client.blocks.push(client.tenant.mine_at(at, &["one more"]));
        }
    }

    /// Hands everything in again at every honest validator.
    pub(crate) fn hand_in_everywhere(&mut self) {
        for tenant in 0..self.clients.len() {
            for index in 0..self.nodes.len() {
                self.clients[tenant].from = 0;
                self.hand_in(tenant, index);
            }
        }
        self.hand_in_private_everywhere();
    }

    /// The honest validators stand on one block, and everything is acknowledged.
    pub(crate) fn finish(&self) {
        let seed = self.setup_seed;
        let set = self.newest().verifier().validators().clone();
        let tips: Vec<(u64, Hash)> = self
            .nodes
            .iter()
            .filter(|node| node.is_honest && set.index_of(&node.key).is_some())
            .map(|node| {
                let replica = node.replica.as_ref();
                let replica = replica.unwrap_or_else(|| panic!("seed {seed}: a node is down"));
                let verifier = replica.ledger().verifier();
                (verifier.height().0, verifier.hash())
            })
            .collect();
        assert!(
            tips.windows(2).all(|pair| pair[0] == pair[1]),
            "seed {seed}: the tips differ: {tips:?}"
        );
        for client in &self.clients {
            let (all, acknowledged) = (client.blocks.len(), client.acknowledged);
            assert_eq!(
                all, acknowledged,
                "seed {seed}: not all blocks are acknowledged"
            );
        }
        let is_done = self.private.as_ref().is_none_or(Private::is_done);
        assert!(
            is_done,
            "seed {seed}: not all of the private tenant is acknowledged"
        );
        for bad in self.bad_blocks() {
            assert!(
                !self.observer.has_decided(&bad),
                "seed {seed}: the bad block {bad} is decided"
            );
        }
        self.observer.finish(seed);
    }

    /// The ledger of the honest node that is ahead.
    pub(crate) fn newest(&self) -> &Ledger {
        let honest = self.nodes.iter().filter(|node| node.is_honest);
        let ledgers = honest.filter_map(|node| Some(node.replica.as_ref()?.ledger()));
        ledgers
            .max_by_key(|ledger| ledger.verifier().height())
            .unwrap()
    }

    /// Heights of all nodes, for a failure's text.
    pub(crate) fn heights(&self) -> Vec<u64> {
        self.nodes
            .iter()
            .map(|node| node.disk.store.height())
            .collect()
    }

    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    /// The height of the block whose snapshot a node's store begins with; 0 for the genesis.
    pub(crate) fn base(&self, node: usize) -> u64 {
        let base = self.nodes[node].disk.store.base().unwrap();
        base.map_or(0, |base| base.height.0)
    }

    /// The snapshots that honest nodes keep, by height.
    pub(crate) fn roots(&self) -> BTreeMap<u64, BTreeSet<Hash>> {
        let mut roots: BTreeMap<u64, BTreeSet<Hash>> = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| node.is_honest) {
            for proof in node.disk.store.snapshots().unwrap() {
                let at = roots.entry(proof.manifest.height.0).or_default();
                at.insert(proof.manifest.root());
            }
        }
        roots
    }

    /// Lets clients mine no more.
    pub(crate) fn stop_submitting(&mut self) {
        let mines = |event: &Event| matches!(event, Event::Submit | Event::Report | Event::Void);
        self.events.retain(|_, event| !mines(event));
        let left = &self.events;
        self.queue
            .retain(|Reverse((_, order))| left.contains_key(order));
    }

    /// How many writes a node made.
    pub(crate) fn writes(&self, node: usize) -> u64 {
        self.nodes[node].writes
    }
}
