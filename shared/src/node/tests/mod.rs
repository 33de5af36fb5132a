//! The machine alone and in small networks, under virtual time and without loss. What loss, partitions and crashes do is
//! the simulation's to show (`crates/sim`).

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{Config, Event, Input, Job, Keep, Node, NodeError, Output, Record};
use crate::{
    block::{Block, MinerRecord},
    chain::Chain,
    enterprise::FinalBlock,
    genesis::{Access, Genesis, Rules},
    hash::Hash,
    identity::Identity,
    ids::{NetworkId, PeerId, PublicKey, Sequence, TimestampMs},
    message::{Bytes, Message},
    miner::{Miner, Step},
    pow::Target,
    transaction::{Payload, Transaction, VerifiedTransaction},
};

mod blocks;
mod compact;
mod finality;
mod hostile;
mod mining;
mod outbox;
mod packed;
mod promise;
mod report;
mod resets;
mod score;
mod snapshots;
mod split;
mod storage;
mod sync;
mod transactions;
mod verifying;

const BIRTH: TimestampMs = TimestampMs(1_700_000_000_000);
const INTERVAL_MS: u64 = 10_000;

fn genesis() -> Genesis {
    let mut rules = Rules::open_default(Target::for_hashes(16).to_compact());
    rules.stamp_bits = 0;
    Genesis {
        network_id: NetworkId::parse("tests").unwrap(),
        rules,
        created_at: BIRTH,
        owner: Identity::from_seed([9; 32]).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    }
}

/// A chain of so many blocks, one interval apart, with a transaction of `sender` in each.
fn grown(blocks: u32, sender: u8) -> Chain {
    let mut chain = Chain::new(genesis());
    for sequence in 0..blocks {
        let transaction = transaction(sender, sequence.into(), "grown");
        extend(&mut chain, sender, vec![transaction]);
    }
    chain
}

/// Mines one block on top, an interval later.
fn extend(chain: &mut Chain, miner: u8, transactions: Vec<VerifiedTransaction>) -> Block {
    let now = chain.tip().timestamp.plus_ms(INTERVAL_MS);
    let miner = MinerRecord {
        key: PublicKey([miner; 32]),
        free: [miner; 8],
    };
    let template = chain.template(miner, transactions, now);
    let solution = grind(&template.header, &template.header.target.target());
    let block = template.solved(chain.genesis(), solution).unwrap();
    chain.insert(block.clone(), now).unwrap();
    block
}

fn grind(header: &crate::header::Header, target: &Target) -> crate::header::Solution {
    match Miner::new(header, target, 0, u32::MAX).step(u32::MAX) {
        Step::Found(solution) => solution,
        other @ (Step::Working | Step::Exhausted) => panic!("{other:?}"),
    }
}

fn transaction(sender: u8, sequence: u64, text: &str) -> VerifiedTransaction {
    let (identity, genesis) = (Identity::from_seed([sender; 32]), genesis());
    let payload = Payload::Message(text.to_string());
    Transaction::create(
        &identity,
        genesis.chain_id(),
        &genesis.rules,
        Sequence(sequence),
        BIRTH,
        payload,
    )
    .unwrap()
}

fn peer(number: u8) -> PeerId {
    PeerId(Hash([number; 32]))
}

fn new_block(block: &Block) -> Vec<u8> {
    Message::NewBlock {
        block: Bytes(block.encode()),
    }
    .encode()
}

/// The checkpoint of a chain's block, as an invite would carry it.
fn final_block(chain: &Chain, height: u32) -> FinalBlock {
    let hash = chain.hash_at(crate::ids::Height(height)).unwrap();
    let mut bytes = chain.chain_id().0.0.to_vec();
    bytes.extend(height.to_be_bytes());
    bytes.extend(hash.0);
    bytes.extend(chain.work_of(&hash).unwrap().to_be_bytes());
    FinalBlock::from_checkpoint(&bytes).unwrap()
}

fn finalise(bench: &mut Bench, chain: &Chain, height: u32) {
    let block = final_block(chain, height);
    bench.give(Input::Finalised { block });
}

fn offer(bench: &mut Bench, chain: &Chain, heights: core::ops::RangeInclusive<u32>) {
    for height in heights {
        bench.give(Input::BlockOffered {
            bytes: chain.block_at(crate::ids::Height(height)).unwrap().encode(),
        });
    }
}

/// What a store holds of a chain.
fn stored(chain: &Chain) -> BTreeMap<String, Vec<u8>> {
    let mut disk = BTreeMap::new();
    for height in 1..=chain.tip().height.0 {
        let block = chain.block_at(crate::ids::Height(height)).unwrap();
        disk.insert(alloc::format!("block/{}", block.hash()), block.encode());
    }
    disk.insert("tip".to_string(), chain.tip().hash.0.to_vec());
    disk
}

/// One machine with its disk, and everything it ordered.
struct Bench {
    node: Node,
    now: TimestampMs,
    disk: BTreeMap<String, Vec<u8>>,
    orders: VecDeque<Output>,
    wake: Option<TimestampMs>,
    job: Option<Job>,
}

impl Bench {
    /// A machine on an empty disk whose first sync is over.
    fn alone(seed: u8, now: TimestampMs) -> Self {
        let mut bench = Self::restored(seed, now, BTreeMap::new());
        bench.pass(3_000);
        bench
    }

    fn restored(seed: u8, now: TimestampMs, disk: BTreeMap<String, Vec<u8>>) -> Self {
        Self::keeping(Keep::Archive, seed, now, disk)
    }

    fn keeping(keep: Keep, seed: u8, now: TimestampMs, disk: BTreeMap<String, Vec<u8>>) -> Self {
        Self::started(keep, 0, seed, now, disk)
    }

    fn started(
        keep: Keep,
        helpers: u8,
        seed: u8,
        now: TimestampMs,
        disk: BTreeMap<String, Vec<u8>>,
    ) -> Self {
        let config = Config {
            genesis: genesis(),
            identity: Identity::from_seed([seed; 32]),
            seed: [seed; 32],
            keep,
            helpers,
        };
        Self::of(config, now, disk)
    }

    fn of(config: Config, now: TimestampMs, disk: BTreeMap<String, Vec<u8>>) -> Self {
        let records = disk
            .iter()
            .map(|(key, value)| Record {
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        let mut bench = Self {
            node: Node::new(config),
            now,
            disk,
            orders: VecDeque::new(),
            wake: None,
            job: None,
        };
        bench.give(Input::Restored { records });
        bench
    }

    /// A machine that holds a chain, at the time of its tip.
    fn holding(seed: u8, chain: &Chain) -> Self {
        Self::restored(seed, chain.tip().timestamp, stored(chain))
    }

    fn restart(self, seed: u8) -> Self {
        Self::restored(seed, self.now, self.disk)
    }

    fn try_give(&mut self, input: Input) -> Result<(), NodeError> {
        let result = self.node.handle(self.now, input);
        self.check_digest();
        while let Some(order) = self.node.poll() {
            match &order {
                Output::Persist { records } => {
                    for change in records {
                        match &change.value {
                            Some(value) => _ = self.disk.insert(change.key.clone(), value.clone()),
                            None => _ = self.disk.remove(&change.key),
                        }
                    }
                }
                Output::WakeAt { at } => {
                    assert!(*at > self.now, "a wake is ordered for later");
                    self.wake = Some(*at);
                }
                Output::Mine { job } => self.job = Some(job.clone()),
                Output::StopMining => self.job = None,
                Output::Send { .. }
                | Output::Report { .. }
                | Output::AskProof { .. }
                | Output::AskReset { .. }
                | Output::Verify { .. }
                | Output::Disconnect { .. }
                | Output::Event(_) => {}
            }
            self.orders.push_back(order);
        }
        result
    }

    fn check_digest(&self) {
        let mut digest = Hash::ZERO;
        for pending in self.node.mempool().iter() {
            digest
                .0
                .iter_mut()
                .zip(pending.id().0)
                .for_each(|(byte, other)| *byte ^= other);
        }
        assert_eq!(self.node.timers.pending_digest, digest);
    }

    fn give(&mut self, input: Input) {
        self.try_give(input).unwrap();
    }

    fn receive(&mut self, from: PeerId, message: &Message) {
        self.give(Input::MessageReceived {
            peer: from,
            bytes: message.encode(),
        });
    }

    /// Lets time pass, waking the machine whenever it ordered so.
    fn pass(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while let Some(at) = self.wake.filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.wake = None;
            self.give(Input::Woken);
        }
        self.now = end;
    }

    fn submit(&mut self, text: &str) {
        self.give(Input::Submitted {
            request: 1,
            payload: Payload::Message(text.to_string()),
        });
    }

    /// Grinds the current job.
    fn mine(&mut self) {
        let job = self.job.clone().expect("a job");
        let solution = grind(&job.header, &job.target);
        self.give(Input::NonceFound {
            job: job.id,
            solution,
        });
    }

    /// Takes all orders given so far.
    fn taken(&mut self) -> Vec<Output> {
        self.orders.drain(..).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        let event = |order| {
            if let Output::Event(event) = order {
                Some(event)
            } else {
                None
            }
        };
        self.taken().into_iter().filter_map(event).collect()
    }

    fn sent(&mut self) -> Vec<(PeerId, Message)> {
        let sent = |order| {
            let Output::Send { peer, bytes } = order else {
                return None;
            };
            Some((peer, Message::decode(&bytes).unwrap()))
        };
        self.taken().into_iter().filter_map(sent).collect()
    }
}

/// Several machines whose messages arrive after some ms each, in order.
struct Net {
    benches: Vec<Bench>,
    /// Machines that receive and never send.
    mute: Vec<usize>,
    latency_ms: u64,
}

impl Net {
    fn new(benches: Vec<Bench>) -> Self {
        Self {
            benches,
            mute: Vec::new(),
            latency_ms: 20,
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        for (end, other) in [(a, b), (b, a)] {
            self.benches[end].give(Input::PeerConnected { peer: id(other) });
        }
    }

    /// Runs for some time, in steps of the latency: what was sent in one step arrives in the next.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(self.latency_ms) {
            let mut under_way = Vec::new();
            for (index, bench) in self.benches.iter_mut().enumerate() {
                bench.pass(self.latency_ms);
                let mut kept = VecDeque::new();
                for order in bench.orders.drain(..) {
                    if let Output::Send { peer, bytes } = &order
                        && !self.mute.contains(&index)
                    {
                        under_way.push((index, *peer, bytes.clone()));
                    } else {
                        kept.push_back(order);
                    }
                }
                bench.orders = kept;
            }
            for (from, to, bytes) in under_way {
                let to = (0..self.benches.len())
                    .find(|index| id(*index) == to)
                    .unwrap();
                self.benches[to].give(Input::MessageReceived {
                    peer: id(from),
                    bytes,
                });
            }
        }
    }
}

fn id(index: usize) -> PeerId {
    peer(u8::try_from(index + 1).unwrap())
}
