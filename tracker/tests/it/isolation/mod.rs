//! Three tenants over real sockets, one of them private: thousands of random messages, valid and hostile, and nothing crosses.
//!
//! Whatever is of a tenant carries its marks: its name, its chain, its room, the ids of its peers, the hashes of its blocks. No mark of
//! a tenant may be in a text for a connection of another, in an error's words neither, unless that connection had put it into the very
//! message that is answered. What is sent within a tenant comes byte for byte and once; what is refused is so with its code.

mod messages;
mod seat;

use std::collections::BTreeMap;

use api::TenantBlock;
use api::ws::{ClientMessage, ErrorCode, ServerMessage};
use shared::hash::Hash;
use shared::private::{NetworkKey, NetworkKeys};
use tempfile::tempdir;

use self::seat::{Answer, Seat, leaked};
use crate::support::{Client, Network, Running, identity};

struct Tenant {
    network: Network,
    /// Of a private one.
    keys: Option<NetworkKeys>,
    /// Its seats, of another number in each tenant: so a count of another shows.
    places: usize,
    /// All that only its members may see.
    marks: Vec<String>,
    /// The id of its seat that sends mutants.
    mutant: String,
    /// The newest block.
    latest: Option<TenantBlock>,
}

impl Tenant {
    fn open(label: &str, number: u8, places: usize) -> Self {
        Self::new(Network::new(label, number), None, number, places)
    }

    fn private(label: &str, number: u8, places: usize) -> Self {
        let keys = NetworkKey::from_bytes([number; 32]).keys();
        let network = Network::private(label, number, Hash([0xee; 32]), &keys);
        Self::new(network, Some(keys), number, places)
    }

    fn new(network: Network, keys: Option<NetworkKeys>, number: u8, places: usize) -> Self {
        let mut marks = vec![
            network.label().to_owned(),
            network.chain_id().to_string(),
            network.genesis_hex(),
        ];
        if let Some(keys) = &keys {
            marks.push(keys.room().0.to_string());
            marks.push(keys.join_key().to_string());
        }
        let seeds = (0..places).map(|place| seed(number, place));
        for seed in seeds.chain([seed(number, MUTANT)]) {
            marks.push(identity(seed).peer_id().to_string());
            marks.push(identity(seed).public_key().to_string());
        }
        Self {
            network,
            keys,
            places,
            marks,
            mutant: identity(seed(number, MUTANT)).peer_id().to_string(),
            latest: None,
        }
    }
}

fn seed(number: u8, place: usize) -> u8 {
    20 * number + u8::try_from(place).unwrap()
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }
}

struct World {
    tracker: Running,
    tenants: Vec<Tenant>,
    seats: Vec<Seat>,
    /// One of each tenant.
    mutants: Vec<Seat>,
    /// What mutants were before they had made too many mistakes.
    retired: Vec<Seat>,
    draw: Draw,
    /// How many messages were sent.
    said: usize,
}

impl World {
    async fn new(tracker: Running) -> Self {
        let mut world = Self {
            tracker,
            tenants: vec![
                Tenant::open("ashwood", 1, 4),
                Tenant::open("birchwood", 2, 9),
                Tenant::private("cedarwood", 3, 7),
            ],
            seats: Vec::new(),
            mutants: Vec::new(),
            retired: Vec::new(),
            draw: Draw(0x00d1_571e),
            said: 0,
        };
        for number in 0..world.tenants.len() {
            if world.tenants[number].keys.is_none() {
                create_unlisted(&world.tracker, &world.tenants[number].network).await;
            }
            for place in 0..world.tenants[number].places {
                let seat = world.enter(number, place).await;
                world.seats.push(seat);
            }
            let mutant = world.enter(number, MUTANT).await;
            world.mutants.push(mutant);
        }
        world
    }

    async fn enter(&mut self, number: usize, place: usize) -> Seat {
        let tenant = &self.tenants[number];
        let seed = seed(u8::try_from(number + 1).unwrap(), place);
        let seat = Seat::enter(&self.tracker, (number, tenant), seed).await;
        let provisional = seat.client.provisional.to_string();
        self.tenants[number].marks.push(provisional);
        seat
    }

    /// After the first round all that was sent is carried out, so that the second one brings the rest.
    async fn settle(&mut self) {
        for _ in 0..2 {
            for seat in self.seats.iter_mut().chain(&mut self.mutants) {
                seat.listen().await;
            }
        }
    }

    fn check(&self) {
        for seat in &self.seats {
            seat.check(&self.tenants);
        }
        for mutant in self.mutants.iter().chain(&self.retired) {
            mutant.check_mumbling(&self.tenants);
        }
    }

    /// The run is worth something only if it met all of this often.
    fn was_worth_it(&self) {
        assert!(self.said >= MESSAGES, "{} messages were sent", self.said);
        for number in 0..self.tenants.len() {
            let members = self.seats.iter().filter(|seat| seat.tenant == number);
            let delivered: usize = members.map(Seat::delivered).sum();
            assert!(delivered > 200, "{delivered} reached tenant {number}");
        }
        let mut counts = BTreeMap::new();
        for seat in &self.seats {
            seat.count_answers(&mut counts);
        }
        println!("{} messages, answered: {counts:?}", self.said);
        let errors = [
            ErrorCode::BadMessage,
            ErrorCode::BadProof,
            ErrorCode::NetworkExists,
            ErrorCode::NetworkUnknown,
            ErrorCode::NonceExpired,
            ErrorCode::NotJoined,
            ErrorCode::PeerUnknown,
            ErrorCode::TooLarge,
        ];
        let answers = errors.into_iter().map(Answer::Error);
        for answer in answers.chain([Answer::Taken, Answer::NotTaken]) {
            let count = counts.get(&format!("{answer:?}"));
            assert!(count.is_some_and(|count| *count >= 20), "{answer:?}");
        }
    }
}

async fn create_unlisted(tracker: &Running, network: &Network) {
    let mut client = Client::connect(tracker).await;
    let create = ClientMessage::CreateNetwork {
        genesis: network.genesis_hex(),
        listed: false,
        label: None,
    };
    client.send(&create).await;
    let created = |message: &ServerMessage| {
        matches!(message, ServerMessage::NetworkCreated { .. }).then_some(())
    };
    client.until(created).await;
}

/// Of an outsider, who watches the public list: it may say nothing in a room, register only so much, and hears of nobody.
async fn outsider_hears_nothing(mut outsider: Client, tenants: &[Tenant]) {
    let target = &tenants[0].mutant;
    let relay = format!(r#"{{"type":"relay","target":"{target}","frame":""}}"#);
    outsider.send_text(relay).await;
    for _ in 0..FLOOD {
        let create = r#"{"type":"create_network","genesis":"00ff","listed":true}"#;
        outsider.send_text(create.into()).await;
    }
    let mut codes = BTreeMap::new();
    while codes.values().sum::<usize>() < FLOOD + 1 {
        let text = outsider.text_or_end().await.unwrap();
        for tenant in tenants {
            assert_eq!(leaked(&text, "", &tenant.marks), None, "{text}");
        }
        if let ServerMessage::Error { code, .. } = serde_json::from_str(&text).unwrap() {
            *codes.entry(format!("{code:?}")).or_default() += 1;
        }
    }
    assert_eq!(codes["NotJoined"], 1, "{codes:?}");
    assert!(codes["RateLimited"] >= FLOOD / 2, "{codes:?}");
}

/// Whatever anyone may ask for by HTTP.
async fn pages_show_nothing(tracker: &Running, tenants: &[Tenant]) {
    for path in ["/api/networks", "/api/network-list", "/health", "/nowhere"] {
        let text = tracker.get(path).await.text().await.unwrap();
        for tenant in tenants {
            assert_eq!(leaked(&text, "", &tenant.marks), None, "{path}: {text}");
        }
    }
    for mark in tenants.iter().flat_map(|tenant| &tenant.marks[1..3]) {
        let text = tracker.get(&format!("/api/networks/{mark}/tip")).await;
        let text = text.text().await.unwrap();
        for tenant in tenants {
            assert_eq!(leaked(&text, mark, &tenant.marks), None, "{text}");
        }
    }
}

#[tokio::test]
async fn nothing_of_one_tenant_reaches_the_other_over_real_sockets() {
    let data = tempdir().unwrap();
    // All of them share one address; what one connection may is left as it is.
    let tracker = Running::start_with(data.path(), |config| config.address_creations = 0).await;
    let mut outsider = Client::connect(&tracker).await;
    outsider.send(&ClientMessage::ListNetworks {}).await;
    let mut world = World::new(tracker).await;
    for number in 1..=MESSAGES {
        world.step(number).await;
        if number.is_multiple_of(50) {
            world.report(number).await;
        }
        if number.is_multiple_of(500) {
            world.settle().await;
        }
    }
    world.settle().await;
    world.check();
    world.was_worth_it();
    outsider_hears_nothing(outsider, &world.tenants).await;
    pages_show_nothing(&world.tracker, &world.tenants).await;
    world.tracker.stop().await;
}

#[test]
fn a_mark_is_found_unless_it_was_said() {
    let marks = ["ashwood".to_owned(), "00ff".to_owned()];
    let text = r#"{"type":"error","message":"no ashwood here"}"#;
    assert_eq!(leaked(text, "", &marks), Some(&marks[0]));
    assert_eq!(leaked(text, "00ff", &marks), Some(&marks[0]));
    assert_eq!(leaked(text, "where is ashwood?", &marks), None);
    assert_eq!(leaked(r#"{"type":"pong"}"#, "", &marks), None);
}

const MESSAGES: usize = 4_500;
/// The place of a mutant, beyond all others.
const MUTANT: usize = 19;
/// Registrations of an outsider, several times what a connection may make at once.
const FLOOD: usize = 40;
