//! A tracker, WebRTC, mining workers and storage for engines, all in memory and in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::ws::{ClientMessage, ServerMessage};
use node_wasm::engine::Engine;
use node_wasm::seam::{
    Config, DescriptionKind, Event, Input, MiningWhen, Output, PayloadKind, StoredRecord,
};
use serde_bytes::ByteBuf;
use shared::block::UncheckedBlock;
use shared::chain::Chain;
use shared::genesis::{Access, Genesis, Rules};
use shared::hash::sha256;
use shared::header::Solution;
use shared::identity::Identity;
use shared::ids::{NetworkId, PeerId, PublicKey, TimestampMs};
use shared::miner::{Miner, Step};
use shared::pow::Target;

pub(crate) const START: TimestampMs = TimestampMs(1_800_000_000_000);

/// An open network whose blocks take a few hashes.
pub(crate) fn genesis(label: &str) -> Genesis {
    let mut rules = Rules::open_default(Target::for_hashes(64).to_compact());
    rules.stamp_bits = 4;
    Genesis {
        network_id: NetworkId::parse(label).unwrap(),
        rules,
        created_at: START,
        owner: PublicKey([7; 32]),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    }
}

pub(crate) struct World {
    pub(crate) now: TimestampMs,
    pub(crate) genesis: Genesis,
    pub(crate) tabs: Vec<Tab>,
    pub(crate) tracker: Tracker,
    /// Whether data channels can open.
    pub(crate) direct_works: bool,
    /// (tab, link) → the other side.
    channels: BTreeMap<(usize, u32), Option<(usize, u32)>>,
    queue: VecDeque<(usize, Input)>,
}

/// One browser tab: an engine and what its drivers keep.
pub(crate) struct Tab {
    pub(crate) engine: Engine,
    pub(crate) storage: BTreeMap<String, Vec<u8>>,
    pub(crate) events: Vec<Event>,
    pub(crate) connected: bool,
    pub(crate) sent_over_channels: usize,
    /// The address of the first server of each connection that was ordered.
    pub(crate) made_with: Vec<String>,
    peer: Option<PeerId>,
    job: Option<(u32, Vec<u8>, Vec<u8>)>,
    wake_at: Option<u64>,
    key: u8,
    lives: u8,
    /// How many newest blocks it keeps from its next start on; all without.
    pub(crate) keeps: Option<u32>,
}

/// What a tracker does, as far as peers see it.
pub(crate) struct Tracker {
    pub(crate) chain: Option<Chain>,
    pub(crate) updates: Vec<usize>,
}

impl World {
    pub(crate) fn new(tabs: u8) -> Self {
        let genesis = genesis("net");
        let tabs = (0..tabs)
            .map(|key| Tab::new(&genesis, key, 0, BTreeMap::new()))
            .collect();
        let mut world = Self {
            now: START.plus_ms(1_000),
            genesis,
            tabs,
            tracker: Tracker {
                chain: None,
                updates: Vec::new(),
            },
            direct_works: true,
            channels: BTreeMap::new(),
            queue: VecDeque::new(),
        };
        for tab in 0..world.tabs.len() {
            world.restore(tab);
        }
        world
    }

    /// The same with every tab in the tracker's room.
    pub(crate) fn connected(tabs: u8) -> Self {
        let mut world = Self::new(tabs);
        (0..world.tabs.len()).for_each(|tab| world.connect(tab));
        world.run(2_000);
        world
    }

    /// Tabs that sign with one key and know nothing of each other, as copies of one profile on two machines do.
    pub(crate) fn with_one_key(tabs: u8) -> Self {
        let mut world = Self::new(tabs);
        for (tab, life) in world.tabs.iter_mut().zip(0..) {
            *tab = Tab::new(&world.genesis, 0, life, BTreeMap::new());
        }
        world
    }

    pub(crate) fn give(&mut self, tab: usize, input: Input) {
        self.queue.push_back((tab, input));
    }

    pub(crate) fn connect(&mut self, tab: usize) {
        self.tabs[tab].connected = true;
        self.give(
            tab,
            Input::TrackerOpen {
                host: String::new(),
            },
        );
        let limits = r#"{"message_bytes_max":65536,"update_bytes_max":2097152,"join_timeout_ms":10000,"ping_interval_ms":25000,
            "message_burst":100,"messages_per_second":20,"relay_bytes_per_second":1048576}"#;
        let provisional = format!("{tab:064x}");
        let welcome = format!(
            r#"{{"type":"welcome","peer_id":"{provisional}","nonce":"{:064x}","ice_servers":[{{"urls":["stun:example"]}}],"limits":{limits}}}"#,
            9
        );
        self.give(tab, Input::TrackerMessage { text: welcome });
    }

    /// The tracker dies for everyone.
    pub(crate) fn lose_tracker(&mut self) {
        for tab in 0..self.tabs.len() {
            self.tabs[tab].connected = false;
            self.tabs[tab].peer = None;
            self.give(tab, Input::TrackerClosed);
        }
        self.run(0);
    }

    /// The tab is closed and opened again on the same storage.
    pub(crate) fn reload(&mut self, tab: usize) {
        self.run(0);
        self.leave(tab);
        let mine: Vec<_> = self
            .channels
            .keys()
            .filter(|(owner, _)| *owner == tab)
            .copied()
            .collect();
        for channel in mine {
            if let Some(Some(other)) = self.channels.remove(&channel) {
                self.channels.remove(&other);
                self.give(
                    other.0,
                    Input::RtcClosed {
                        link: other.1,
                        reason: None,
                    },
                );
            }
        }
        let Tab {
            storage,
            key,
            lives,
            keeps,
            ..
        } = &self.tabs[tab];
        let storage = storage.clone();
        self.tabs[tab] = Tab::keeping(*keeps, &self.genesis, *key, lives + 1, storage);
        self.restore(tab);
        self.run(0);
    }

    fn leave(&mut self, tab: usize) {
        self.tabs[tab].connected = false;
        if let Some(peer) = self.tabs[tab].peer.take() {
            let left = ServerMessage::PeerLeft {
                peer_id: peer.to_string(),
            };
            for other in self.room() {
                self.tell(other, &left);
            }
        }
    }

    fn restore(&mut self, tab: usize) {
        let record = |(key, value): (&String, &Vec<u8>)| StoredRecord {
            key: key.clone(),
            value: ByteBuf::from(value.clone()),
        };
        let records = self.tabs[tab].storage.iter().map(record).collect();
        self.give(tab, Input::Restored { records });
    }

    pub(crate) fn say(&mut self, tab: usize, text: &str) {
        let text = Some(text.to_owned());
        self.give(
            tab,
            Input::Submit {
                request: 1,
                kind: PayloadKind::Message,
                text,
                payload: None,
            },
        );
    }

    pub(crate) fn mine(&mut self, tab: usize, when: MiningWhen) {
        self.give(tab, Input::Mining { when });
    }

    /// Lets time pass: deliveries, wake-ups, and mining a little in every step.
    pub(crate) fn run(&mut self, ms: u64) {
        self.settle();
        let end = self.now.plus_ms(ms);
        while self.now < end {
            self.now = self.now.plus_ms(STEP_MS).min(end);
            for tab in 0..self.tabs.len() {
                if self.tabs[tab].wake_at.is_some_and(|at| at <= self.now.0) {
                    self.tabs[tab].wake_at = None;
                    self.give(tab, Input::Woken);
                }
                self.work(tab);
            }
            self.settle();
        }
    }

    /// Runs until the condition holds, at most ten minutes.
    pub(crate) fn run_until(&mut self, what: &str, is_true: impl Fn(&Self) -> bool) {
        for _ in 0..6_000 {
            if is_true(self) {
                return;
            }
            self.run(STEP_MS);
        }
        let heights: Vec<u32> = (0..self.tabs.len()).map(|tab| self.height(tab)).collect();
        panic!(
            "never came true: {what}; heights {heights:?}, tips {:?}",
            self.tips()
        );
    }

    pub(crate) fn height(&self, tab: usize) -> u32 {
        self.tabs[tab].engine.status().height
    }

    pub(crate) fn tips(&self) -> BTreeSet<String> {
        self.tabs
            .iter()
            .map(|tab| tab.engine.status().tip_hash)
            .collect()
    }

    fn settle(&mut self) {
        while let Some((tab, input)) = self.queue.pop_front() {
            self.tabs[tab]
                .engine
                .handle(self.now, input)
                .expect("a usable input");
            while let Some(output) = self.tabs[tab].engine.poll() {
                self.perform(tab, output);
            }
        }
    }

    /// A mining worker's share of a step.
    fn work(&mut self, tab: usize) {
        // Tabs find blocks one in about eight steps, independently: in lockstep no branch would ever be the heavier.
        let draw = sha256(&[&self.now.0.to_be_bytes(), &[self.tabs[tab].key]]);
        if draw.0[0] >= 32 {
            return;
        }
        let Some((job, header, target)) = self.tabs[tab].job.clone() else {
            return;
        };
        let target = Target::from_be_bytes(target.try_into().unwrap()).unwrap();
        let mut miner = Miner::from_bytes(&header.try_into().unwrap(), &target, 0, u32::MAX);
        if let Step::Found(Solution { version, nonce }) = miner.step(100_000) {
            self.tabs[tab].job = None;
            self.give(
                tab,
                Input::NonceFound {
                    job,
                    version,
                    nonce,
                },
            );
        }
    }

    fn perform(&mut self, tab: usize, output: Output) {
        let state = &mut self.tabs[tab];
        match output {
            Output::Persist { records } => {
                for record in records {
                    match record.value {
                        Some(value) => state.storage.insert(record.key, value.into_vec()),
                        None => state.storage.remove(&record.key),
                    };
                }
            }
            Output::TrackerSend { text } if state.connected => self.track(tab, &text),
            Output::TrackerSend { .. } => {}
            Output::RtcCreate {
                link,
                initiator,
                ice_servers,
                ..
            } => {
                state.made_with.extend(ice_servers[0].urls.first().cloned());
                self.channels.insert((tab, link), None);
                if initiator {
                    self.describe(tab, link, DescriptionKind::Offer);
                }
            }
            Output::RtcRemote { link, kind, sdp } => self.set_remote(tab, link, kind, &sdp),
            Output::RtcSend { link, bytes, .. } => {
                state.sent_over_channels += 1;
                if let Some(Some((other, link))) = self.channels.get(&(tab, link)).copied() {
                    self.give(other, Input::RtcData { link, bytes });
                }
            }
            Output::RtcClose { link } => {
                if let Some(Some(other)) = self.channels.remove(&(tab, link))
                    && self.channels.remove(&other).is_some()
                {
                    self.give(
                        other.0,
                        Input::RtcClosed {
                            link: other.1,
                            reason: None,
                        },
                    );
                }
            }
            Output::Mine {
                job,
                header,
                target,
            } => state.job = Some((job, header.into_vec(), target.into_vec())),
            Output::StopMining => state.job = None,
            Output::WakeAt { at } => {
                state.wake_at = Some(state.wake_at.map_or(at, |earlier| earlier.min(at)))
            }
            Output::Event { event } => state.events.push(event),
            _ => {}
        }
    }

    fn describe(&mut self, tab: usize, link: u32, kind: DescriptionKind) {
        let digits: Vec<String> = (0..32)
            .map(|i| format!("{:02X}", (tab * 32 + i) % 256))
            .collect();
        let sdp = format!(
            "v=0\r\no={tab} {link}\r\na=fingerprint:sha-256 {}\r\n",
            digits.join(":")
        );
        self.give(tab, Input::RtcLocal { link, kind, sdp });
        self.give(
            tab,
            Input::RtcCandidate {
                link,
                candidate: String::new(),
            },
        );
    }

    fn set_remote(&mut self, tab: usize, link: u32, kind: DescriptionKind, sdp: &str) {
        let origin = sdp
            .lines()
            .find_map(|line| line.strip_prefix("o="))
            .unwrap();
        let (other, other_link) = origin.split_once(' ').unwrap();
        let other: (usize, u32) = (other.parse().unwrap(), other_link.parse().unwrap());
        self.channels.insert((tab, link), Some(other));
        if kind == DescriptionKind::Offer {
            self.describe(tab, link, DescriptionKind::Answer);
        } else if self.direct_works && self.channels.get(&other) == Some(&Some((tab, link))) {
            self.give(tab, Input::RtcOpen { link });
            self.give(other.0, Input::RtcOpen { link: other.1 });
        }
    }

    fn room(&self) -> Vec<usize> {
        (0..self.tabs.len())
            .filter(|tab| self.tabs[*tab].peer.is_some())
            .collect()
    }

    fn tell(&mut self, tab: usize, message: &ServerMessage) {
        let text = serde_json::to_string(message).unwrap();
        self.give(tab, Input::TrackerMessage { text });
    }

    fn forward(
        &mut self,
        from: usize,
        target: &str,
        message: impl FnOnce(String) -> ServerMessage,
    ) {
        let sender = self.tabs[from]
            .peer
            .map(|peer| peer.to_string())
            .unwrap_or_default();
        if let Some(to) = self.room().into_iter().find(|tab| {
            self.tabs[*tab]
                .peer
                .is_some_and(|peer| peer.to_string() == target)
        }) {
            self.tell(to, &message(sender));
        }
    }

    fn track(&mut self, tab: usize, text: &str) {
        assert!(text.len() <= 2 * 1024 * 1024);
        match serde_json::from_str::<ClientMessage>(text).unwrap() {
            ClientMessage::CreateNetwork {
                genesis, listed, ..
            } => {
                assert!(listed);
                let genesis = Genesis::decode(&hex::decode(genesis).unwrap()).unwrap();
                let (network_id, chain_id) = (
                    genesis.network_id.to_string(),
                    genesis.chain_id().to_string(),
                );
                self.tracker.chain = Some(Chain::new(genesis));
                self.tell(
                    tab,
                    &ServerMessage::NetworkCreated {
                        network_id,
                        chain_id,
                    },
                );
            }
            ClientMessage::JoinNetwork {
                chain_id,
                key,
                signature,
                ..
            } => self.join(tab, &chain_id, &key, &signature),
            ClientMessage::Offer { target, offer } => self.forward(tab, &target, |target| {
                ServerMessage::Offer { target, offer }
            }),
            ClientMessage::Answer { target, answer } => {
                self.forward(tab, &target, |target| ServerMessage::Answer {
                    target,
                    answer,
                });
            }
            ClientMessage::Candidate { target, candidate } => {
                self.forward(tab, &target, |target| ServerMessage::Candidate {
                    target,
                    candidate,
                });
            }
            ClientMessage::Relay { target, frame } => {
                assert!(text.len() <= 64 * 1024);
                self.forward(tab, &target, |target| ServerMessage::Relay {
                    target,
                    frame,
                });
            }
            ClientMessage::BlockchainUpdate { latest_blocks, .. } => {
                self.tracker.updates.push(latest_blocks.len());
                let chain = self.tracker.chain.as_mut().unwrap();
                for block in &latest_blocks {
                    let block = UncheckedBlock::try_from(block)
                        .unwrap()
                        .check(&self.genesis)
                        .unwrap();
                    chain.insert(block, self.now).unwrap();
                }
                let tip = chain.tip();
                let result = format!(
                    r#"{{"type":"update_result","network_id":"net","status":"accepted","height":{},"hash":"{}"}}"#,
                    tip.height, tip.hash
                );
                self.give(tab, Input::TrackerMessage { text: result });
            }
            other => panic!("a peer does not send {other:?}"),
        }
    }

    fn join(
        &mut self,
        tab: usize,
        chain_id: &Option<String>,
        key: &Option<String>,
        signature: &Option<String>,
    ) {
        let chain_id = chain_id.clone().unwrap();
        let Some(chain) = self
            .tracker
            .chain
            .as_ref()
            .filter(|chain| chain.chain_id().to_string() == chain_id)
        else {
            let refused =
                r#"{"type":"error","code":"network_unknown","message":"no such network"}"#;
            return self.give(
                tab,
                Input::TrackerMessage {
                    text: refused.to_owned(),
                },
            );
        };
        let key: PublicKey = key.as_ref().unwrap().parse().unwrap();
        let proof = hex::decode(format!("{tab:064x}{:064x}", 9)).unwrap();
        let signature = signature.as_ref().unwrap().parse().unwrap();
        shared::identity::verify("distli/join/1", chain.chain_id(), &key, &proof, &signature)
            .expect("a true proof");
        let peer = PeerId::of(&key);
        let (tip, genesis) = (chain.tip(), hex::encode(self.genesis.encode()));
        let peers: Vec<String> = self
            .room()
            .into_iter()
            .map(|other| self.tabs[other].peer.unwrap().to_string())
            .collect();
        let tip = (tip.height.0 > 0).then(|| api::TipReference {
            height: tip.height.0,
            hash: tip.hash.to_string(),
        });
        let (network_id, peer_id) = (String::from("net"), peer.to_string());
        for other in self.room() {
            self.tell(
                other,
                &ServerMessage::PeerJoined {
                    peer_id: peer_id.clone(),
                },
            );
        }
        self.tell(
            tab,
            &ServerMessage::Joined {
                network_id,
                chain_id,
                genesis,
                peer_id,
                peers,
                tip,
                anchor: None,
            },
        );
        self.tabs[tab].peer = Some(peer);
    }
}

impl Tab {
    fn new(genesis: &Genesis, key: u8, lives: u8, storage: BTreeMap<String, Vec<u8>>) -> Self {
        Self::keeping(None, genesis, key, lives, storage)
    }

    fn keeping(
        keeps: Option<u32>,
        genesis: &Genesis,
        key: u8,
        lives: u8,
        storage: BTreeMap<String, Vec<u8>>,
    ) -> Self {
        let config = Config {
            genesis: ByteBuf::from(genesis.encode()),
            identity_seed: ByteBuf::from([key + 1; 32]),
            seed: ByteBuf::from([key.wrapping_mul(16) + lives; 32]),
            listed: None,
            recent_blocks: keeps,
            helpers: None,
            network_key: None,
        };
        Self {
            engine: Engine::new(config).unwrap(),
            storage,
            events: Vec::new(),
            connected: false,
            sent_over_channels: 0,
            made_with: Vec::new(),
            peer: None,
            job: None,
            wake_at: None,
            key,
            lives,
            keeps,
        }
    }

    pub(crate) fn public_key(&self) -> String {
        Identity::from_seed([self.key + 1; 32])
            .public_key()
            .to_string()
    }
}

const STEP_MS: u64 = 100;
