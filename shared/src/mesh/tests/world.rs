//! A small world for mesh tests: a tracker, WebRTC and time, all in memory and in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::signal::{Role, Signal, SignalKind};
use super::super::*;
use crate::genesis::{Access, Genesis, Rules};
use crate::pow::Target;
use crate::private::check_admission;

/// The tracker's host.
pub(super) const HOST: &str = "tracker.test:3030";

/// What became of everything the meshes ordered.
pub(super) struct World {
    pub(super) now: TimestampMs,
    pub(super) ends: Vec<End>,
    /// Inputs that wait for delivery, in order.
    queue: VecDeque<(usize, Input)>,
    /// Connected data channels and half-made connections: (end, link) → the other side, once known.
    channels: BTreeMap<(usize, LinkId), Option<(usize, LinkId)>>,
    /// Whether data channels can open.
    pub(super) direct_works: bool,
    /// Whether open channels carry anything.
    pub(super) direct_carries: bool,
    /// The chains the tracker knows, by label.
    pub(super) registered: BTreeMap<String, ChainId>,
    /// Signals that passed the tracker, and what it does to them.
    pub(super) signals: Vec<(PeerId, PeerId, SignalKind, Signal)>,
    pub(super) tamper: Option<fn(&mut Signal)>,
    pub(super) relayed: usize,
    /// What the tracker of a private network saw.
    pub(super) seen: Vec<Vec<u8>>,
}

/// One browser tab.
pub(super) struct End {
    pub(super) mesh: Mesh,
    pub(super) connected: bool,
    pub(super) joined: bool,
    pub(super) wake_at: Option<TimestampMs>,
    /// Peers the node has been told of.
    pub(super) up: BTreeSet<PeerId>,
    /// `PeerUp`s so far, by peer.
    pub(super) ups: BTreeMap<PeerId, usize>,
    pub(super) delivered: Vec<(PeerId, Vec<u8>)>,
    pub(super) errors: Vec<MeshError>,
    pub(super) refusals: Vec<String>,
    /// What its user was told about pairing.
    pub(super) pairing: Vec<(u64, Result<Vec<u8>, PairingError>)>,
    /// Its process is gone; nobody is told.
    pub(super) is_dead: bool,
    /// Ends of one profile hear each other.
    pub(super) profile: Option<u8>,
    key: u8,
}

/// The chain of [`genesis`].
pub(super) fn chain() -> ChainId {
    genesis().chain_id()
}

pub(super) fn genesis() -> Genesis {
    Genesis {
        network_id: NetworkId::parse("test").unwrap(),
        rules: Rules::open_default(Target::for_hashes(1_000).to_compact()),
        created_at: TimestampMs(1),
        owner: Identity::from_seed([1; 32]).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    }
}

impl World {
    /// `count` tabs, none connected to the tracker.
    pub(super) fn new(count: u8) -> Self {
        let mut world = Self {
            now: TimestampMs(1_000_000),
            ends: Vec::new(),
            queue: VecDeque::new(),
            channels: BTreeMap::new(),
            direct_works: true,
            direct_carries: true,
            registered: BTreeMap::new(),
            signals: Vec::new(),
            tamper: None,
            relayed: 0,
            seen: Vec::new(),
        };
        // Ordered by peer id, so that end 0 is always the initiator.
        let mut keys: Vec<u8> = (0..count).collect();
        keys.sort_by_key(|key| Identity::from_seed([*key; 32]).peer_id());
        world.ends = keys.into_iter().map(|key| End::new(key, 0)).collect();
        world
    }

    /// Tabs of one private network.
    pub(super) fn private(count: u8, keys: &NetworkKeys) -> Self {
        let mut world = Self::new(count);
        for end in &mut world.ends {
            end.mesh.config.keys = Some(keys.clone());
        }
        world
    }

    /// The same with all tabs connected and everything settled.
    pub(super) fn connected(count: u8) -> Self {
        let mut world = Self::new(count);
        (0..world.ends.len()).for_each(|end| world.connect(end));
        world.settle();
        world
    }

    pub(super) fn peer(&self, end: usize) -> PeerId {
        self.ends[end].mesh.own_peer()
    }

    pub(super) fn transport(&self, from: usize, to: usize) -> Option<Transport> {
        let to = self.peer(to);
        self.ends[from]
            .mesh
            .peers()
            .find(|(peer, _)| *peer == to)
            .map(|(_, transport)| transport)
    }

    /// Both directions.
    pub(super) fn transports(&self, a: usize, b: usize) -> [Option<Transport>; 2] {
        [self.transport(a, b), self.transport(b, a)]
    }

    pub(super) fn connect(&mut self, end: usize) {
        self.ends[end].connected = true;
        self.queue.push_back((end, Input::TrackerOpened));
        let welcome = FromTracker::Welcomed {
            provisional: vec![provisional_byte(end); 32],
            nonce: vec![9; 32],
            host: String::from(HOST),
        };
        self.queue.push_back((end, Input::TrackerReceived(welcome)));
    }

    /// The tracker's socket of one end breaks; `told` peers hear that it left.
    pub(super) fn disconnect(&mut self, end: usize) {
        self.ends[end].connected = false;
        self.ends[end].joined = false;
        self.queue.push_back((end, Input::TrackerClosed));
        let left = self.peer(end);
        for other in self.room() {
            self.queue
                .push_back((other, Input::TrackerReceived(FromTracker::PeerLeft(left))));
        }
    }

    /// The page is loaded anew: the key stays, everything else is fresh. Its channels break if `cleanly`.
    pub(super) fn reload(&mut self, end: usize, cleanly: bool) {
        self.disconnect(end);
        self.queue.retain(|(receiver, _)| *receiver != end);
        let broken: Vec<_> = self
            .channels
            .keys()
            .filter(|(owner, _)| *owner == end)
            .copied()
            .collect();
        for channel in broken {
            let other = self.channels.remove(&channel).flatten();
            if let (Some(other), true) = (other, cleanly) {
                self.channels.remove(&other);
                self.queue
                    .push_back((other.0, Input::ChannelClosed { link: other.1 }));
            }
        }
        let key = self.ends[end].key;
        let lives = u8::try_from(self.now.0 % 251).unwrap();
        self.ends[end] = End::new(key, lives);
    }

    /// The tracker is gone for everyone.
    pub(super) fn kill_tracker(&mut self) {
        for end in 0..self.ends.len() {
            self.ends[end].connected = false;
            self.ends[end].joined = false;
            self.queue.push_back((end, Input::TrackerClosed));
        }
    }

    /// A process dies: it says nothing any more, and nobody is told.
    pub(super) fn kill(&mut self, end: usize) {
        self.ends[end].is_dead = true;
        self.ends[end].wake_at = None;
    }

    /// The ends that are linked to this one over any number of members.
    pub(super) fn reached_from(&self, start: usize) -> BTreeSet<usize> {
        let by_peer: BTreeMap<PeerId, usize> = (0..self.ends.len())
            .map(|end| (self.peer(end), end))
            .collect();
        let mut reached = BTreeSet::from([start]);
        let mut frontier = vec![start];
        while let Some(end) = frontier.pop() {
            for other in self.ends[end].up.iter().map(|peer| by_peer[peer]) {
                let is_mutual = self.ends[other].up.contains(&self.peer(end));
                if is_mutual && !self.ends[other].is_dead && reached.insert(other) {
                    frontier.push(other);
                }
            }
        }
        reached
    }

    /// Gives an end a chunk over its channel from another end.
    pub(super) fn inject(&mut self, to: usize, from: usize, bytes: Vec<u8>) {
        let link = self.ends[to].mesh.channel_to(self.peer(from)).unwrap();
        self.queue
            .push_back((to, Input::ChannelReceived { link, bytes }));
    }

    /// Every data channel breaks, and both sides notice.
    pub(super) fn break_channels(&mut self) {
        for ((end, link), _) in std::mem::take(&mut self.channels) {
            self.queue.push_back((end, Input::ChannelClosed { link }));
        }
    }

    /// One data channel breaks, and only one side notices.
    pub(super) fn break_one_channel(&mut self, choice: usize) {
        let channels: Vec<_> = self.channels.keys().copied().collect();
        let Some((end, link)) = channels.get(choice % channels.len().max(1)).copied() else {
            return;
        };
        if let Some(Some(other)) = self.channels.remove(&(end, link)) {
            self.channels.remove(&other);
        }
        self.queue.push_back((end, Input::ChannelClosed { link }));
    }

    pub(super) fn key(&self, end: usize) -> u8 {
        self.ends[end].key
    }

    pub(super) fn send(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let peer = self.peer(to);
        self.queue.push_back((
            from,
            Input::SendRequested {
                peer,
                bytes: bytes.to_vec(),
            },
        ));
    }

    pub(super) fn give(&mut self, end: usize, input: Input) {
        self.queue.push_back((end, input));
    }

    /// Delivers until nothing is on its way.
    pub(super) fn settle(&mut self) {
        let left = self.deliver(200_000);
        assert_eq!(left, 0, "the meshes never come to rest");
    }

    /// Delivers so many inputs at most, and answers how many are left on their way.
    pub(super) fn deliver(&mut self, steps_max: usize) -> usize {
        for _ in 0..steps_max {
            let Some((end, input)) = self.queue.pop_front() else {
                break;
            };
            if self.ends[end].is_dead {
                continue;
            }
            if let Err(error) = self.ends[end].mesh.handle(self.now, input) {
                self.ends[end].errors.push(error);
            }
            while let Some(output) = self.ends[end].mesh.poll() {
                self.perform(end, output);
            }
        }
        self.queue.len()
    }

    /// Lets time pass, waking whoever asked for it.
    pub(super) fn advance(&mut self, ms: u64) {
        self.settle();
        let target = self.now.plus_ms(ms);
        loop {
            let next = self
                .ends
                .iter()
                .enumerate()
                .filter_map(|(end, state)| Some((state.wake_at?, end)))
                .min();
            let Some((at, end)) = next.filter(|(at, _)| *at <= target) else {
                break;
            };
            self.now = self.now.max(at);
            self.ends[end].wake_at = None;
            self.queue.push_back((end, Input::Woken));
            self.settle();
        }
        self.now = target;
    }

    fn room(&self) -> Vec<usize> {
        (0..self.ends.len())
            .filter(|end| self.ends[*end].joined)
            .collect()
    }

    fn end_of(&self, peer: PeerId) -> Option<usize> {
        self.room().into_iter().find(|end| self.peer(*end) == peer)
    }

    fn perform(&mut self, end: usize, output: Output) {
        let state = &mut self.ends[end];
        match output {
            Output::Tracker(message) if state.connected => self.track(end, message),
            Output::Tracker(_)
            | Output::TrackerJoined
            | Output::TrackerLost
            | Output::PeersChanged => {}
            Output::TrackerRefused { reason } => state.refusals.push(reason),
            Output::CloseTracker { .. } => self.disconnect(end),
            Output::WakeAt { at } => state.wake_at = Some(at),
            Output::PeerUp { peer } => {
                assert!(state.up.insert(peer), "up twice");
                *state.ups.entry(peer).or_default() += 1;
            }
            Output::PeerDown { peer } => assert!(state.up.remove(&peer), "down without up"),
            Output::Deliver { peer, bytes } => {
                assert!(
                    state.up.contains(&peer),
                    "delivered from a peer that is not up"
                );
                state.delivered.push((peer, bytes));
            }
            Output::CreateLink { link, role, .. } => {
                self.channels.insert((end, link), None);
                if role == Role::Initiator {
                    self.describe(end, link, SignalKind::Offer);
                }
            }
            Output::SetRemote { link, kind, sdp } => self.set_remote(end, link, kind, &sdp),
            Output::AddCandidate { .. } => {}
            Output::CreatePairing { link, role } => {
                self.channels.insert((end, link), None);
                if role == Role::Initiator {
                    self.describe(end, link, SignalKind::Offer);
                }
            }
            Output::PairingReady { request, bytes, .. } => {
                self.ends[end].pairing.push((request, Ok(bytes)));
            }
            Output::PairingRefused { request, reason } => {
                self.ends[end].pairing.push((request, Err(reason)));
            }
            Output::Paired { .. } => {}
            Output::Local { to, packet } => self.share(end, to, &packet),
            Output::SendChannel { link, bytes } => {
                if let Some(Some((other, link))) = self.channels.get(&(end, link)).copied()
                    && self.direct_carries
                {
                    self.queue
                        .push_back((other, Input::ChannelReceived { link, bytes }));
                }
            }
            Output::CloseLink { link } => {
                if let Some(Some(other)) = self.channels.remove(&(end, link))
                    && self.channels.remove(&other).is_some()
                {
                    self.queue
                        .push_back((other.0, Input::ChannelClosed { link: other.1 }));
                }
            }
        }
    }

    /// Hands a packet to the tabs of the same profile.
    fn share(&mut self, end: usize, to: Option<PeerId>, packet: &[u8]) {
        let from = self.peer(end);
        for other in 0..self.ends.len() {
            let is_heard = other != end
                && self.ends[end].profile.is_some()
                && self.ends[other].profile == self.ends[end].profile
                && to.is_none_or(|to| to == self.peer(other));
            if is_heard {
                let packet = packet.to_vec();
                self.queue
                    .push_back((other, Input::LocalReceived { from, packet }));
            }
        }
    }

    fn describe(&mut self, end: usize, link: LinkId, kind: SignalKind) {
        // A candidate that is gathered before the description is reported must not get lost either.
        self.queue.push_back((
            end,
            Input::CandidateGathered {
                link,
                candidate: "{}".into(),
            },
        ));
        self.queue.push_back((
            end,
            Input::LocalDescribed {
                link,
                kind,
                sdp: description(end, link),
            },
        ));
        self.queue.push_back((
            end,
            Input::CandidateGathered {
                link,
                candidate: String::new(),
            },
        ));
    }

    fn set_remote(&mut self, end: usize, link: LinkId, kind: SignalKind, sdp: &str) {
        let other = parse_description(sdp);
        self.channels.insert((end, link), Some(other));
        if kind == SignalKind::Offer {
            self.describe(end, link, SignalKind::Answer);
        } else if self.direct_works && self.channels.get(&other) == Some(&Some((end, link))) {
            self.queue.push_back((end, Input::ChannelOpened { link }));
            self.queue
                .push_back((other.0, Input::ChannelOpened { link: other.1 }));
        }
    }

    fn track(&mut self, end: usize, message: ToTracker) {
        let sender = self.peer(end);
        match message {
            ToTracker::Join {
                chain,
                key,
                signature,
                ..
            } => {
                let proof = [vec![provisional_byte(end); 32], vec![9; 32]].concat();
                crate::identity::verify(JOIN_DOMAIN, chain, &key, &proof, &signature)
                    .expect("a true proof");
                if !self.registered.values().any(|known| *known == chain) {
                    self.answer(end, FromTracker::NetworkUnknown);
                    return;
                }
                self.let_in(end, chain);
            }
            ToTracker::Enter {
                room,
                join_key,
                peer,
                admission,
            } => {
                assert_eq!(peer, sender);
                check_admission((room, &join_key), HOST, peer, &[9; 32], &admission)
                    .expect("a true admission");
                self.let_in(end, room.as_chain());
            }
            ToTracker::Create { label, .. } => self.register(end, label),
            ToTracker::Signal {
                to,
                kind,
                mut signal,
            } => {
                if let Some(tamper) = self.tamper {
                    tamper(&mut signal);
                }
                self.signals.push((sender, to, kind, signal.clone()));
                if let Some(other) = self.end_of(to) {
                    self.answer(
                        other,
                        FromTracker::Signalled {
                            from: sender,
                            kind,
                            signal,
                        },
                    );
                }
            }
            ToTracker::Relay { to, frame, .. } => {
                let sealed = 1 + crate::private::SEAL_BYTES;
                assert!(frame.len() <= crate::frame::CHUNK_BYTES_MAX + 16 + sealed);
                self.seen.push(frame.clone());
                self.relayed += 1;
                if let Some(other) = self.end_of(to) {
                    self.answer(
                        other,
                        FromTracker::Relayed {
                            from: sender,
                            frame,
                        },
                    );
                }
            }
        }
    }

    fn let_in(&mut self, end: usize, chain: ChainId) {
        let sender = self.peer(end);
        let peers = self
            .room()
            .into_iter()
            .map(|other| self.peer(other))
            .collect();
        self.answer(end, FromTracker::Joined { chain, peers });
        for other in self.room() {
            self.answer(other, FromTracker::PeerJoined(sender));
        }
        self.ends[end].joined = true;
    }

    fn register(&mut self, end: usize, label: Option<String>) {
        let label = label.unwrap_or_else(|| String::from("test"));
        let is_free = !self.registered.contains_key(&label);
        self.registered.entry(label).or_insert_with(chain);
        let answer = if is_free {
            FromTracker::Created { chain: chain() }
        } else {
            FromTracker::NetworkExists
        };
        self.answer(end, answer);
    }

    fn answer(&mut self, end: usize, message: FromTracker) {
        self.queue.push_back((end, Input::TrackerReceived(message)));
    }
}

impl End {
    fn new(key: u8, life: u8) -> Self {
        let config = Config {
            identity: Identity::from_seed([key; 32]),
            chain: chain(),
            network: NetworkId::parse("test").unwrap(),
            genesis: genesis().encode(),
            listing: Listing::Listed,
            keys: None,
            seed: [key ^ life.wrapping_mul(37); 32],
        };
        Self {
            mesh: Mesh::new(config),
            connected: false,
            joined: false,
            wake_at: None,
            up: BTreeSet::new(),
            ups: BTreeMap::new(),
            delivered: Vec::new(),
            errors: Vec::new(),
            refusals: Vec::new(),
            pairing: Vec::new(),
            is_dead: false,
            profile: None,
            key,
        }
    }
}

/// A description whose fingerprint and origin name the end and its connection.
fn description(end: usize, link: LinkId) -> String {
    let digits: Vec<String> = (0..32)
        .map(|i| format!("{:02X}", (end * 32 + i + link.0 as usize) % 256))
        .collect();
    format!(
        "v=0\r\na=candidate:1 1 udp 1 {end} {} typ host\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:0123456789abcdefghijkl\r\na=setup:actpass\r\na=fingerprint:sha-256 {}\r\n",
        link.0,
        digits.join(":")
    )
}

/// The end is the candidate's address, the connection its port.
fn parse_description(sdp: &str) -> (usize, LinkId) {
    let candidate = sdp
        .lines()
        .find_map(|line| line.strip_prefix("a=candidate:"))
        .unwrap();
    let fields: Vec<&str> = candidate.split(' ').collect();
    (
        fields[4].parse().unwrap(),
        LinkId(fields[5].parse().unwrap()),
    )
}

/// A tracker's provisional peer id is this byte, repeated.
fn provisional_byte(end: usize) -> u8 {
    u8::try_from(end).unwrap()
}
