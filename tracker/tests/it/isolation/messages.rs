//! What the seats say, and what has to follow.

use api::ws::{ClientMessage, ErrorCode};
use shared::private::NetworkKey;
use tracker::limits;

use super::seat::Answer;
use super::*;

impl World {
    pub(super) async fn step(&mut self, number: usize) {
        let from = self.draw.below(self.seats.len());
        self.said += 1;
        match self.draw.below(40) {
            0..=11 => self.forward(from, Whom::Member, number).await,
            12..=20 => self.forward(from, Whom::Anyone, number).await,
            21..=24 => self.speaks_of_another(from).await,
            25..=27 => self.shows_what_is_no_proof(from).await,
            28..=31 => self.malformed(from).await,
            32..=35 => self.mutated(number).await,
            36 => self.lists(from).await,
            37 => self.takes_a_taken_name(from, number).await,
            38 => self.smuggles(from).await,
            _ => self.joins_nowhere(from).await,
        }
    }

    /// A frame or signalling for one peer; it comes byte for byte, but for the sender in the place of the target.
    async fn forward(&mut self, from: usize, whom: Whom, number: usize) {
        let tenant = self.seats[from].tenant;
        let candidates: Vec<_> = (0..self.seats.len())
            .filter(|to| match whom {
                Whom::Member => *to != from && self.seats[*to].tenant == tenant,
                Whom::Anyone => true,
            })
            .collect();
        let to = candidates[self.draw.below(candidates.len())];
        let word = format!("word-{number}-of-{}", self.tenants[tenant].network.label());
        let kind = ["relay", "relay", "offer", "answer", "candidate"][self.draw.below(5)];
        let body = match kind {
            "relay" => format!(r#""frame":"{word}""#),
            _ => format!(
                r#""{kind}":{{"session":"1","key":"00","fingerprint":"AA","signature":"11","payload":"{word}"}}"#
            ),
        };
        let text = |peer: &str| format!(r#"{{"type":"{kind}","target":"{peer}",{body}}}"#);
        let (sent, comes) = (text(&self.seats[to].id()), text(&self.seats[from].id()));
        let is_sealed = self.tenants[tenant].keys.is_some();
        if is_sealed && kind != "relay" {
            let answer = Answer::Error(ErrorCode::BadMessage);
            self.seats[from].ask(sent, answer).await;
        } else if from == to || self.seats[to].tenant != tenant {
            let answer = Answer::Error(ErrorCode::PeerUnknown);
            self.seats[from].ask(sent, answer).await;
        } else {
            self.seats[to].deliveries.push(comes);
            self.seats[from].client.send_text(sent).await;
        }
    }

    /// Another tenant than the seat's own.
    fn foreign(&mut self, from: usize) -> usize {
        let step = 1 + self.draw.below(self.tenants.len() - 1);
        (self.seats[from].tenant + step) % self.tenants.len()
    }

    /// An open one.
    fn foreign_open(&mut self, from: usize) -> usize {
        match self.seats[from].tenant {
            0 => 1,
            1 => 0,
            _ => self.draw.below(2),
        }
    }

    /// Reports, resets and questions about a network whose member it is not.
    async fn speaks_of_another(&mut self, from: usize) {
        let foreign = self.foreign(from);
        let is_sealed = self.tenants[self.seats[from].tenant].keys.is_some();
        let kind = self.draw.below(4);
        let Tenant {
            network,
            keys,
            latest,
            ..
        } = &self.tenants[foreign];
        let (text, code) = if let Some(keys) = keys {
            let room = keys.room().0;
            let text = match kind {
                0 => format!(r#"{{"type":"get_finality","network_id":"{room}","size":0}}"#),
                1 => format!(r#"{{"type":"get_reset","network_id":"{room}","number":1}}"#),
                2 => to_text(&network.reset(keys, 1, 1, network.chain_id().0)),
                _ => to_text(&network.reports(keys, &[])),
            };
            (text, ErrorCode::NotJoined)
        } else {
            let update = ClientMessage::BlockchainUpdate {
                network_id: network.label().into(),
                block_count: 1,
                latest_blocks: latest.iter().cloned().collect(),
                latest_reports: Vec::new(),
                genesis: None,
            };
            let code = if is_sealed {
                ErrorCode::BadMessage
            } else {
                ErrorCode::NotJoined
            };
            (to_text(&update), code)
        };
        self.seats[from].ask(text, Answer::Error(code)).await;
    }

    /// Somebody else's proof or admission, or one of a key that is another's, or the own one again.
    async fn shows_what_is_no_proof(&mut self, from: usize) {
        let tenant = self.seats[from].tenant;
        let (foreign, kind) = (self.foreign(from), self.draw.below(2));
        let own = &self.seats[from];
        if let (Some(keys), 0) = (&self.tenants[tenant].keys, kind) {
            let again = own
                .client
                .entry(&self.tracker, keys, own.identity.peer_id());
            let answer = Answer::Error(ErrorCode::NonceExpired);
            return self.seats[from].ask(to_text(&again), answer).await;
        }
        let mut others = self.seats.iter().filter(|seat| seat.tenant == foreign);
        let other = others.next().unwrap();
        let text = match &self.tenants[foreign].keys {
            // Later the nonce is too old, whatever is shown.
            Some(_) if !own.is_fresh() => return self.joins_nowhere(from).await,
            Some(keys) if kind == 0 => {
                let peer = other.identity.peer_id();
                to_text(&other.client.entry(&self.tracker, keys, peer))
            }
            Some(keys) => {
                let stranger = NetworkKey::from_bytes([99; 32]).keys();
                let peer = own.identity.peer_id();
                let entry = to_text(&own.client.entry(&self.tracker, &stranger, peer));
                let [strange, room] = [&stranger, keys].map(|keys| keys.room().0.to_string());
                entry.replace(&strange, &room)
            }
            None => {
                let network = &self.tenants[foreign].network;
                let [connection, key] = match kind {
                    0 => [other, other],
                    _ => [other, own],
                };
                to_text(&connection.client.join_message(network, &key.identity))
            }
        };
        let answer = Answer::Error(ErrorCode::BadProof);
        self.seats[from].ask(text, answer).await;
    }

    async fn joins_nowhere(&mut self, from: usize) {
        let text = r#"{"type":"join_network","network_id":"nowhere"}"#.into();
        let answer = Answer::Error(ErrorCode::NetworkUnknown);
        self.seats[from].ask(text, answer).await;
    }

    async fn lists(&mut self, from: usize) {
        let text = r#"{"type":"list_networks"}"#;
        self.seats[from].client.send_text(text.into()).await;
    }

    /// What is no message of this protocol, for a peer of another tenant or about its network.
    async fn malformed(&mut self, from: usize) {
        let (foreign, kind) = (self.foreign(from), self.draw.below(9));
        if self.seats[from].mistakes >= MISTAKES {
            return self.joins_nowhere(from).await;
        }
        self.seats[from].mistakes += 1;
        let (target, label) = (
            &self.tenants[foreign].mutant,
            self.tenants[foreign].network.label(),
        );
        let relay =
            |frame: &str| format!(r#"{{"type":"relay","target":"{target}","frame":{frame}"#);
        let text = match kind {
            0 => relay(r#""""#),
            1 => return self.seats[from].ask_binary(target.clone().into()).await,
            2 => format!(r#"{{"type":"peers","peers":["{target}"]}}"#),
            3 => relay(&format!(r#""","target":"{target}"}}"#)),
            4 => format!(
                r#"{{"type":"relay","target":"{}","frame":""}}"#,
                &target[1..]
            ),
            5 => relay(&format!(r#""{}"}}"#, "x".repeat(limits::MESSAGE_BYTES_MAX))),
            6 => {
                let blocks = vec![EMPTY_BLOCK; limits::UPDATE_BLOCKS_MAX + 1].join(",");
                format!(
                    r#"{{"type":"blockchain_update","network_id":"{label}","block_count":0,"latest_blocks":[{blocks}]}}"#
                )
            }
            7 => format!(r#"{{"type":"join_network","network_id":"../{label}"}}"#),
            _ => relay(&format!("{}{}}}", "[".repeat(400), "]".repeat(400))),
        };
        let code = match kind {
            5 | 6 => ErrorCode::TooLarge,
            _ => ErrorCode::BadMessage,
        };
        self.seats[from].ask(text, Answer::Error(code)).await;
    }

    /// A frame for any peer with some bytes changed: whatever it is now, it stays inside.
    async fn mutated(&mut self, number: usize) {
        let (tenant, to) = (
            self.draw.below(self.tenants.len()),
            self.draw.below(self.seats.len()),
        );
        if self.mutants[tenant].mistakes >= MISTAKES {
            self.mutants[tenant].listen().await;
            let anew = self.enter(tenant, MUTANT).await;
            let old = std::mem::replace(&mut self.mutants[tenant], anew);
            self.retired.push(old);
        }
        let label = self.tenants[tenant].network.label();
        let target = self.seats[to].id();
        let text = format!(r#"{{"type":"relay","target":"{target}","frame":"{label}-{number}"}}"#);
        let mut bytes = text.into_bytes();
        for _ in 0..=self.draw.below(4) {
            let at = self.draw.below(bytes.len());
            bytes[at] = b' ' + u8::try_from(self.draw.below(95)).unwrap();
        }
        let text = String::from_utf8(bytes).unwrap();
        self.mutants[tenant].mistakes += 1;
        self.mutants[tenant].mumble(text).await;
    }

    /// Registers another network under the name of one that it should know nothing of.
    async fn takes_a_taken_name(&mut self, from: usize, number: usize) {
        let foreign = self.foreign_open(from);
        let seat = &mut self.seats[from];
        if seat.registrations >= limits::CREATION_BURST {
            return self.joins_nowhere(from).await;
        }
        seat.registrations += 1;
        let label = self.tenants[foreign].network.label();
        let another = Network::new(label, 100 + u8::try_from(number % 100).unwrap());
        let create = ClientMessage::CreateNetwork {
            genesis: another.genesis_hex(),
            listed: true,
            label: None,
        };
        let answer = Answer::Error(ErrorCode::NetworkExists);
        seat.ask(to_text(&create), answer).await;
        // In the genesis it is hex.
        seat.may_hear(label);
        seat.until_answered().await;
    }

    /// Reports a block of another network as one of its own.
    async fn smuggles(&mut self, from: usize) {
        let (tenant, foreign) = (self.seats[from].tenant, self.foreign_open(from));
        let Tenant { network, keys, .. } = &self.tenants[tenant];
        let Some(block) = self.tenants[foreign].latest.clone() else {
            return self.joins_nowhere(from).await;
        };
        if keys.is_some() {
            return self.lists(from).await;
        }
        let update = ClientMessage::BlockchainUpdate {
            network_id: network.label().into(),
            block_count: 1,
            latest_blocks: vec![block],
            latest_reports: Vec::new(),
            genesis: None,
        };
        let seat = &mut self.seats[from];
        seat.ask(to_text(&update), Answer::NotTaken).await;
        seat.until_answered().await;
    }

    /// A block of a member's own network, whose tip goes to the whole room.
    pub(super) async fn report(&mut self, number: usize) {
        let from = self.draw.below(self.seats.len());
        let tenant = &mut self.tenants[self.seats[from].tenant];
        let text = format!("text-{number}-of-{}", tenant.network.label());
        let block = tenant.network.mine(&text);
        tenant.marks.push(block.hash().to_string());
        tenant.latest = Some(TenantBlock::from(&block));
        let update = match &tenant.keys {
            Some(keys) => tenant.network.reports(keys, &[block]),
            None => ClientMessage::BlockchainUpdate {
                network_id: tenant.network.label().into(),
                block_count: 1,
                latest_blocks: tenant.latest.iter().cloned().collect(),
                latest_reports: Vec::new(),
                genesis: None,
            },
        };
        self.said += 1;
        let seat = &mut self.seats[from];
        seat.ask(to_text(&update), Answer::Taken).await;
        // Blocks of two clients of one network must not overtake each other.
        seat.until_answered().await;
    }
}

/// For whom a frame is.
#[derive(Clone, Copy)]
enum Whom {
    /// Another member of the same network.
    Member,
    /// Whoever it is, itself not excluded.
    Anyone,
}

fn to_text(message: &ClientMessage) -> String {
    serde_json::to_string(message).unwrap()
}

/// Fewer than a connection may make.
const MISTAKES: usize = 80;
const EMPTY_BLOCK: &str = r#"{"block_id":1,"block_hash":"","previous_hash":"","timestamp":0,"header":"","miner":"","transactions":[]}"#;
