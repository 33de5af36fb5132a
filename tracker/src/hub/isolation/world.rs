//! The hub, the model beside it, and the checks of all that the hub says.

use super::*;
use crate::hub::message::{Listing, MessageError, parse};
use crate::hub::{Hub, Input, Network, Output};
use crate::label::Label;
use crate::limits;
use api::ws::ServerMessage;
use shared::ids::{NetworkId, TimestampMs};

pub(super) struct World {
    hub: Hub,
    pub(super) draw: Draw,
    pub(super) now: TimestampMs,
    pub(super) seats: BTreeMap<ConnectionId, Seat>,
    next: u64,
    /// Orders for the ledger that wait for their answer: who asked, about which tenant.
    pub(super) asked: Vec<(ConnectionId, usize)>,
    /// Which tenants' rooms an id was ever in.
    homes: BTreeMap<PeerId, [bool; 2]>,
    pub(super) refusals: BTreeMap<String, usize>,
    pub(super) forwarded: usize,
    /// Whether the second tenant is private.
    is_private: bool,
}

/// What the hub ordered after one fact.
#[derive(Default)]
pub(super) struct Heard {
    texts: Vec<(ConnectionId, String)>,
    asked: Vec<ChainId>,
    registrations: usize,
    ended: Vec<ConnectionId>,
}

impl World {
    pub(super) fn new(seed: u64, is_private: bool) -> Self {
        let mut world = Self {
            hub: Hub::new(Vec::new()),
            draw: Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            now: TimestampMs(1_000_000),
            seats: BTreeMap::new(),
            next: 1,
            asked: Vec::new(),
            homes: BTreeMap::new(),
            refusals: BTreeMap::new(),
            forwarded: 0,
            is_private,
        };
        for tenant in TENANTS.iter().take(if is_private { 1 } else { 2 }) {
            world.register(tenant.label, tenant.chain_id(), Listing::Unlisted);
        }
        let open = ChainId(Hash([0xcc; 32]));
        world.register(OPEN, open, Listing::Listed);
        if is_private {
            world.fact(Input::RoomReported(room_network(0)), None);
        }
        for _ in 0..SEATS {
            world.connect();
        }
        world
    }

    /// Whether a tenant is a private network.
    pub(super) fn is_private(&self, tenant: usize) -> bool {
        self.is_private && tenant == 1
    }

    /// The chain that a tenant's room is under.
    pub(super) fn place(&self, tenant: usize) -> ChainId {
        if self.is_private(tenant) {
            keys().room().as_chain()
        } else {
            TENANTS[tenant].chain_id()
        }
    }

    fn register(&mut self, label: &str, chain_id: ChainId, listing: Listing) {
        let network = Network {
            label: Label::plain(&NetworkId::parse(label).unwrap()),
            chain_id,
            genesis: format!("{chain_id}00").into(),
            listing,
            tip: None,
            anchor: None,
        };
        let connection = None;
        self.fact(
            Input::Registered {
                connection,
                network,
            },
            None,
        );
    }

    pub(super) fn connect(&mut self) {
        let connection = ConnectionId(self.next);
        self.next += 1;
        let bytes = shared::hash::sha256(&[&connection.0.to_be_bytes()]);
        let peer = PeerId(bytes);
        let seat = Seat {
            provisional: peer,
            nonce: *bytes.as_bytes(),
            place: None,
            fresh_until: Some(self.now.plus_ms(limits::NONCE_MS)),
            is_replaced: false,
        };
        let nonce = seat.nonce;
        self.seats.insert(connection, seat);
        self.fact(
            Input::Connected {
                connection,
                peer,
                nonce,
                host: HOST.into(),
            },
            None,
        );
    }

    /// Hands a fact to the hub, checks all that it says, and ends whom it throws out.
    pub(super) fn fact(&mut self, input: Input, own: Option<(ConnectionId, &str)>) -> Heard {
        self.hub.handle(self.now, input);
        let mut heard = Heard::default();
        while let Some(output) = self.hub.poll() {
            match output {
                Output::Send { connections, text } => {
                    let copies = connections.into_iter().map(|to| (to, text.clone()));
                    heard.texts.extend(copies);
                }
                Output::Disconnect { connection, .. } => heard.ended.push(connection),
                Output::Register { .. } => heard.registrations += 1,
                Output::Check { chain_id, .. }
                | Output::CheckBlock { chain_id, .. }
                | Output::CheckTransaction { chain_id, .. } => heard.asked.push(chain_id),
                Output::CheckReports { report, .. } => heard.asked.push(report.room.as_chain()),
                Output::CheckReset { room, .. } => heard.asked.push(room.as_chain()),
                Output::Ask(asked) => heard.asked.push(asked.room.as_chain()),
                Output::Pause { .. }
                | Output::WakeAt { .. }
                | Output::Publish { .. }
                | Output::Follow { .. }
                | Output::Unfollow { .. }
                | Output::Adopt { .. }
                | Output::GiveBack { .. } => {}
            }
        }
        for (to, text) in &heard.texts {
            self.check_text(*to, text, own);
        }
        self.check_counts(&heard);
        for connection in heard.ended.clone() {
            self.close(connection);
        }
        heard
    }

    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.seats.remove(&connection);
        self.fact(Input::Closed { connection }, None);
    }

    /// No mark of a tenant for who is not in its room.
    fn check_text(&self, to: ConnectionId, text: &str, own: Option<(ConnectionId, &str)>) {
        let seat = self.seats.get(&to).expect("nobody hears after the end");
        let home = seat.place.map(|(tenant, _)| tenant);
        let is_refusal = text.starts_with(r#"{"type":"error""#);
        let supplied = own.filter(|(sender, _)| *sender == to && is_refusal);
        for (number, tenant) in TENANTS.iter().enumerate() {
            if home == Some(number) {
                continue;
            }
            let private = self.is_private(number).then(keys);
            let fixed = [
                tenant.label.to_owned(),
                hex::encode(tenant.tag),
                tenant.secret.to_owned(),
                private.map_or_else(
                    || tenant.secret.to_owned(),
                    |keys| keys.room().0.to_string(),
                ),
            ];
            let ids = self.homes.iter().filter(|(id, homes)| {
                homes[number] && !homes[1 - number] && **id != seat.provisional
            });
            for mark in fixed.into_iter().chain(ids.map(|(id, _)| id.to_string())) {
                let is_own = supplied.is_some_and(|(_, sent)| sent.contains(&mark));
                assert!(
                    is_own || !text.contains(&mark),
                    "{mark} of {} reached {to:?}, a connection of {home:?}: {text}",
                    tenant.label
                );
            }
        }
    }

    /// The peers and counts that are told are those of the receiver's own room.
    fn check_counts(&self, heard: &Heard) {
        let mut last = BTreeMap::new();
        for (to, text) in &heard.texts {
            let seat = &self.seats[to];
            // A garbled payload passes on as it came; whether it is any good is for its receiver to say.
            let Ok(message) = serde_json::from_str(text) else {
                continue;
            };
            match message {
                ServerMessage::Joined { peers, .. }
                | ServerMessage::RoomJoined { peers, .. }
                | ServerMessage::Peers { peers } => {
                    let (tenant, own) = seat.place.expect("peers are told to members only");
                    let others = self.members(tenant).filter(|(_, peer)| *peer != own);
                    let mut others: Vec<_> = others.map(|(_, peer)| peer.to_string()).collect();
                    others.sort();
                    assert_eq!(peers, others, "{to:?}");
                }
                ServerMessage::NetworkInfo { peer_count, .. } if !seat.is_replaced => {
                    last.insert(*to, peer_count);
                }
                ServerMessage::NetworkListUpdate { networks } => {
                    let names: Vec<_> = networks.iter().map(|item| item.id.as_str()).collect();
                    assert_eq!(names, [OPEN]);
                    assert_eq!(networks[0].peer_count, 0);
                }
                _ => {}
            }
        }
        for (to, count) in last {
            let (tenant, _) = self.seats[&to].place.expect("a member");
            assert_eq!(count, self.members(tenant).count(), "{to:?}");
        }
    }

    pub(super) fn members(
        &self,
        tenant: usize,
    ) -> impl Iterator<Item = (ConnectionId, PeerId)> + '_ {
        let seats = self.seats.iter().filter(|(_, seat)| !seat.is_replaced);
        let places = seats.filter_map(|(id, seat)| Some((*id, seat.place?)));
        places
            .filter(move |(_, (home, _))| *home == tenant)
            .map(|(id, (_, peer))| (id, peer))
    }

    /// One connection sends one message; the model says what has to follow.
    pub(super) fn say(&mut self, sender: ConnectionId, text: &str, expected: &Expected) {
        match expected {
            Expected::Entered(tenant, peer) => self.enter(sender, *tenant, *peer),
            Expected::Left => self.seats.get_mut(&sender).unwrap().place = None,
            _ => {}
        }
        let message = match text {
            BINARY => Err(MessageError {
                code: ErrorCode::BadMessage,
                message: "messages are text".into(),
            }),
            text => parse(text.to_owned()),
        };
        let input = Input::Received {
            connection: sender,
            message,
            bytes: text.len(),
        };
        let heard = self.fact(input, Some((sender, text)));
        if heard.ended.contains(&sender) {
            return;
        }
        self.check(sender, text, expected, &heard);
    }

    fn enter(&mut self, sender: ConnectionId, tenant: usize, peer: PeerId) {
        if self.is_private(tenant) {
            self.seats.get_mut(&sender).unwrap().fresh_until = None;
        }
        for seat in self.seats.values_mut() {
            if seat.place == Some((tenant, peer)) {
                seat.is_replaced = true;
            }
        }
        let seat = self.seats.get_mut(&sender).unwrap();
        seat.place = Some((tenant, peer));
        seat.is_replaced = false;
        self.homes.entry(peer).or_default()[tenant] = true;
    }

    fn check(&mut self, sender: ConnectionId, text: &str, expected: &Expected, heard: &Heard) {
        let only: Vec<_> = heard
            .texts
            .iter()
            .filter_map(|(to, text)| Some((*to, serde_json::from_str(text).ok()?)))
            .collect();
        match (expected, &only[..]) {
            (Expected::Refused(code), [(to, ServerMessage::Error { code: found, .. })]) => {
                assert_eq!((*to, *found), (sender, *code), "{text}");
                assert!(heard.asked.is_empty(), "{text}");
                *self.refusals.entry(format!("{code:?}")).or_default() += 1;
            }
            (Expected::Forwarded(receiver, forwarded), _) => {
                assert_eq!(heard.texts, [(*receiver, forwarded.clone())]);
                self.forwarded += 1;
            }
            (Expected::Asked(tenant), []) => {
                assert_eq!(heard.asked, [self.place(*tenant)], "{text}");
                self.asked.push((sender, *tenant));
            }
            (Expected::Entered(tenant, _), _) => {
                let is_told = only.iter().any(|(to, message)| {
                    let label = TENANTS[*tenant].label;
                    let entered = match message {
                        ServerMessage::Joined { network_id, .. } => network_id == label,
                        ServerMessage::RoomJoined { room, .. } => {
                            self.is_private(*tenant) && *room == keys().room().0.to_string()
                        }
                        _ => false,
                    };
                    *to == sender && entered
                });
                assert!(is_told, "{text}: {only:?}");
            }
            (Expected::Left, _) => assert!(only.iter().all(|(to, _)| *to != sender)),
            (Expected::Listed, [(to, ServerMessage::NetworkListUpdate { .. })]) => {
                assert_eq!(*to, sender);
            }
            (Expected::Registered, []) => assert_eq!(heard.registrations, 1),
            (Expected::Registered, [(to, ServerMessage::Error { code, .. })]) => {
                assert_eq!((*to, *code), (sender, ErrorCode::RateLimited));
                *self.refusals.entry(format!("{code:?}")).or_default() += 1;
            }
            (Expected::Safe, _) => {}
            _ => panic!("{text}\nexpected {expected:?}, heard {only:?}"),
        }
    }
}
