//! Two tenants, the second open or private, under thousands of random messages, valid and hostile: nothing of one reaches a connection of the other.
//!
//! A model that knows only the rules predicts who is where, who hears what, and with which code a message is refused.
//! Whatever is of a tenant carries its marks: its label, a tag in every hash and payload, the ids of its peers. No mark of
//! a tenant may be in a text for a connection that is not its member at that moment, unless that connection put it into
//! the very message that is refused. Counts are compared with the model's.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the model picks the messages that it knows something of"
)]

mod messages;
mod world;

use std::collections::BTreeMap;

use api::ws::ErrorCode;
use api::{Anchor, TipReference};
use shared::hash::Hash;
use shared::ids::{ChainId, PeerId, TimestampMs};
use shared::private::{NetworkKey, NetworkKeys};

use self::world::World;
use super::{ConnectionId, RoomNetwork};

/// A tenant's marks that never change.
struct Tenant {
    label: &'static str,
    tag: [u8; 8],
    secret: &'static str,
}

const TENANTS: [Tenant; 2] = [
    Tenant {
        label: "ashwood",
        tag: *b"\xa1\x5a\xa2\x5b\xa3\x5c\xa4\x5d",
        secret: "a-secret-of-the-first",
    },
    Tenant {
        label: "birchwood",
        tag: *b"\xb9\x6a\xb8\x6b\xb7\x6c\xb6\x6d",
        secret: "a-secret-of-the-second",
    },
];

impl Tenant {
    /// A hash with the tenant's tag.
    fn hash(&self, number: u64) -> Hash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.tag);
        bytes[24..].copy_from_slice(&number.to_be_bytes());
        Hash(bytes)
    }

    fn chain_id(&self) -> ChainId {
        ChainId(self.hash(0))
    }
}

/// The keys of the second tenant where it is private.
fn keys() -> NetworkKeys {
    NetworkKey::from_bytes([0xb9; 32]).keys()
}

/// The second tenant as a network that is reported, where it is private.
fn room_network(number: u64) -> RoomNetwork {
    let Tenant { label, .. } = TENANTS[1];
    let (chain_id, hash) = (TENANTS[1].chain_id(), TENANTS[1].hash(number).to_string());
    RoomNetwork {
        room: keys().room(),
        chain_id,
        tip: Some(TipReference {
            height: 7,
            hash: hash.clone(),
        }),
        anchor: Some(Anchor {
            network_id: label.into(),
            chain_id: chain_id.to_string(),
            height: 7,
            hash,
            enterprise_height: 1,
            enterprise_hash: "00".into(),
        }),
        resets: 0,
    }
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }

    fn of<'a, T>(&mut self, many: &'a [T]) -> Option<&'a T> {
        (!many.is_empty()).then(|| &many[self.below(many.len())])
    }
}

/// A connection as the model sees it.
#[derive(Clone)]
struct Seat {
    provisional: PeerId,
    nonce: [u8; 32],
    /// The tenant and the id in its room.
    place: Option<(usize, PeerId)>,
    /// Until when its nonce admits to a private room.
    fresh_until: Option<TimestampMs>,
    /// Its id was taken by another connection: it is about to be thrown out.
    is_replaced: bool,
}

/// What has to follow a message.
#[derive(Debug)]
enum Expected {
    /// One error with this code for the sender, nothing else.
    Refused(ErrorCode),
    /// This text for this connection, nothing else.
    Forwarded(ConnectionId, String),
    /// One order for the ledger, about this tenant's chain, nothing else.
    Asked(usize),
    /// The sender is in this room under this id; who was there under it is thrown out.
    Entered(usize, PeerId),
    /// The sender is in no room.
    Left,
    /// The public list, for the sender only.
    Listed,
    /// A registration is asked for, or refused as too many.
    Registered,
    /// Whatever follows, it leaks nothing and moves nobody.
    Safe,
}

#[test]
fn nothing_of_one_tenant_reaches_the_other_whatever_is_sent() {
    let (mut refusals, mut forwarded) = (BTreeMap::new(), 0);
    for seed in 1..=SEEDS {
        let mut world = World::new(seed, seed.is_multiple_of(2));
        for _ in 0..STEPS {
            world.step();
        }
        forwarded += world.forwarded;
        for (code, count) in world.refusals {
            *refusals.entry(code).or_insert(0) += count;
        }
    }
    // The run is worth something only if it met all of this often.
    assert!(forwarded > 200, "{forwarded} messages were forwarded");
    for code in [
        "BadMessage",
        "BadProof",
        "NonceExpired",
        "NetworkUnknown",
        "NotJoined",
        "PeerUnknown",
        "RateLimited",
        "TooLarge",
    ] {
        assert!(
            refusals.get(code).is_some_and(|count| *count > 20),
            "{code}: {refusals:?}"
        );
    }
}

const HOST: &str = "tracker.test";
const OPEN: &str = "clearing";
/// Stands for a binary frame, which has no text.
const BINARY: &str = "\u{0}binary";
const SEATS: usize = 12;
const KEYS: usize = 4;
const SEEDS: u64 = 8;
const STEPS: usize = 2_500;
