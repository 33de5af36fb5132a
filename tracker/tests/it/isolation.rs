//! Two tenants over real sockets: a few hundred random messages, valid and hostile, and nothing crosses.

use api::ws::{ClientMessage, ErrorCode, ServerMessage};
use api::{TenantBlock, UpdateStatus};
use shared::identity::Identity;
use tempfile::tempdir;

use crate::support::{Client, Network, Running, identity};

/// A client, whose it is, and what it has to hear.
struct Seat {
    client: Client,
    identity: Identity,
    tenant: usize,
    heard: Vec<ServerMessage>,
    /// The relays that are to come: sender and frame.
    relays: Vec<(String, String)>,
    /// The codes of its own refused messages, in their order.
    refusals: Vec<ErrorCode>,
    /// Updates that are to be answered.
    updates: usize,
}

impl Seat {
    fn id(&self) -> String {
        self.identity.peer_id().to_string()
    }

    /// Hears everything up to the answer to a message of its own.
    async fn listen(&mut self) {
        self.heard.extend(self.client.drain().await);
        while self.answered() < self.updates {
            self.heard.push(self.client.receive().await);
        }
    }

    fn answered(&self) -> usize {
        let is_answer = |message: &&ServerMessage| {
            matches!(
                message,
                ServerMessage::UpdateResult {
                    status: UpdateStatus::Accepted,
                    ..
                }
            )
        };
        self.heard.iter().filter(is_answer).count()
    }

    /// Nothing with one of these marks came, and all that had to come did.
    fn check(&self, marks: &[String]) {
        let (mut relays, mut refusals) = (Vec::new(), Vec::new());
        for message in &self.heard {
            if let ServerMessage::Error { code, .. } = message {
                // It repeats the names that this client sent itself.
                refusals.push(*code);
                continue;
            }
            let text = serde_json::to_string(message).unwrap();
            for mark in marks {
                assert!(!text.contains(mark), "{mark} reached a stranger: {text}");
            }
            match message {
                ServerMessage::Relay { target, frame } => {
                    relays.push((target.clone(), frame.clone()));
                }
                ServerMessage::NetworkInfo { peer_count, .. } => assert!(*peer_count <= PLACES),
                _ => {}
            }
        }
        relays.sort();
        let mut expected = self.relays.clone();
        expected.sort();
        assert_eq!(relays, expected);
        assert_eq!(refusals, self.refusals);
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
}

async fn seats(tracker: &Running, networks: &[Network; 2]) -> Vec<Seat> {
    let mut seats = Vec::new();
    for (number, network) in networks.iter().enumerate() {
        for place in 0..PLACES {
            let seed = u8::try_from(10 * (number + 1) + place).unwrap();
            let mut client = Client::connect(tracker).await;
            if place == 0 {
                create_unlisted(&mut client, network).await;
            }
            client.join(network, &identity(seed)).await;
            seats.push(Seat {
                client,
                identity: identity(seed),
                tenant: number,
                heard: Vec::new(),
                relays: Vec::new(),
                refusals: Vec::new(),
                updates: 0,
            });
        }
    }
    seats
}

async fn create_unlisted(client: &mut Client, network: &Network) {
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

/// One message of one client; the expectation goes to whoever has to hear of it.
async fn say(seats: &mut [Seat], networks: &[Network; 2], draw: &mut Draw, number: usize) {
    let (from, to) = (draw.below(seats.len()), draw.below(seats.len()));
    let (sender, target) = (seats[from].id(), seats[to].id());
    let tenant = seats[from].tenant;
    let foreign = networks[1 - tenant].label().to_owned();
    let text = match draw.below(8) {
        0..=4 => {
            let frame = format!("frame-of-{}-{number}", networks[tenant].label());
            if seats[to].tenant != tenant || from == to {
                seats[from].refusals.push(ErrorCode::PeerUnknown);
            } else {
                seats[to].relays.push((sender, frame.clone()));
            }
            format!(r#"{{"type":"relay","target":"{target}","frame":"{frame}"}}"#)
        }
        5 => {
            seats[from].refusals.push(ErrorCode::NotJoined);
            format!(
                r#"{{"type":"blockchain_update","network_id":"{foreign}","block_count":0,"latest_blocks":[]}}"#
            )
        }
        6 => {
            // Somebody else's proof, for the other network.
            let other = &seats[(from + 3) % seats.len()];
            let stolen = other
                .client
                .join_message(&networks[1 - tenant], &other.identity);
            seats[from].refusals.push(ErrorCode::BadProof);
            serde_json::to_string(&stolen).unwrap()
        }
        _ => {
            seats[from].refusals.push(ErrorCode::BadMessage);
            format!(r#"{{"type":"relay","target":"{target}""#)
        }
    };
    seats[from].client.send_text(text).await;
}

/// A block of the client's own network, whose tip goes to the whole room.
async fn report(seat: &mut Seat, network: &mut Network) -> String {
    let block = network.mine(&format!("text-of-{}", network.label()));
    let update = ClientMessage::BlockchainUpdate {
        network_id: network.label().into(),
        block_count: 1,
        latest_blocks: vec![TenantBlock::from(&block)],
        latest_reports: Vec::new(),
        genesis: None,
    };
    seat.client.send(&update).await;
    seat.updates += 1;
    // Blocks of two clients of one network must not overtake each other.
    seat.listen().await;
    block.hash().to_string()
}

#[tokio::test]
async fn nothing_of_one_tenant_reaches_the_other_over_real_sockets() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let mut networks = [Network::new("ashwood", 1), Network::new("birchwood", 2)];
    let mut seats = seats(&tracker, &networks).await;
    let mut marks = [Vec::new(), Vec::new()];
    for (marks, network) in marks.iter_mut().zip(&networks) {
        marks.push(network.label().to_owned());
        marks.push(network.chain_id().to_string());
    }
    for seat in &seats {
        marks[seat.tenant].push(seat.id());
    }
    let mut draw = Draw(0x00d1_571e);
    for number in 1..=MESSAGES {
        say(&mut seats, &networks, &mut draw, number).await;
        if number.is_multiple_of(25) {
            let seat = draw.below(seats.len());
            let tenant = seats[seat].tenant;
            let hash = report(&mut seats[seat], &mut networks[tenant]).await;
            marks[tenant].push(hash);
        }
    }
    // After the first round all that was sent is carried out, so that the second one brings the rest.
    for _ in 0..2 {
        for seat in &mut seats {
            seat.listen().await;
        }
    }
    for seat in &seats {
        seat.check(&marks[1 - seat.tenant]);
    }
    let relayed: usize = seats.iter().map(|seat| seat.relays.len()).sum();
    assert!(relayed > 40, "{relayed} messages were relayed");
    tracker.stop().await;
}

const MESSAGES: usize = 400;
/// Clients of each tenant.
const PLACES: usize = 3;
