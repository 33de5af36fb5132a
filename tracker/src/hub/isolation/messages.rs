//! What connections say, valid and hostile, and what has to follow; and what the ledger says meanwhile.

use api::ws::ServerMessage;
use shared::identity::Identity;

use super::world::World;
use super::*;
use crate::hub::{Input, JOIN_DOMAIN, Question, ResetOutcome, UpdateOutcome, join_bytes};
use crate::limits;

impl World {
    pub(super) fn step(&mut self) {
        self.now = self.now.plus_ms(self.draw.below(300) as u64);
        if self.seats.len() < SEATS {
            self.connect();
        }
        let all: Vec<_> = self.seats.keys().copied().collect();
        let sender = *self.draw.of(&all).unwrap();
        match self.draw.below(20) {
            0 => self.close(sender),
            1 => drop(self.fact(Input::Woken, None)),
            2..=4 => self.answer(),
            5..=7 => self.join(sender),
            8 | 9 => self.simple(sender),
            10..=13 => self.forward(sender),
            14 if self.is_private(1) => self.report_private(sender),
            14..=16 => self.report(sender),
            17 => self.mutated(sender),
            _ => self.malformed(sender),
        }
    }

    /// The ledger answers something that was asked, whoever is where by now.
    fn answer(&mut self) {
        let number = self.draw.below(1 << 30) as u64;
        let tenant = self.draw.below(2);
        let (chain_id, hash) = (
            TENANTS[tenant].chain_id(),
            TENANTS[tenant].hash(number).to_string(),
        );
        let tip = TipReference { height: 7, hash };
        let input = match self.draw.below(5) {
            0 | 1 if self.is_private(tenant) => Input::RoomReported(room_network(number)),
            0 => Input::TipMoved { chain_id, tip },
            1 => Input::Anchored {
                chain_id,
                anchor: Anchor {
                    network_id: TENANTS[tenant].label.into(),
                    chain_id: chain_id.to_string(),
                    height: 7,
                    hash: tip.hash,
                    enterprise_height: 1,
                    enterprise_hash: "00".into(),
                },
            },
            kind => {
                if self.asked.is_empty() {
                    return;
                }
                let index = self.draw.below(self.asked.len());
                let (connection, tenant) = self.asked.swap_remove(index);
                if self.is_private(tenant) {
                    private_answer_to(connection, number, kind)
                } else {
                    answer_to(connection, tenant, number, kind)
                }
            }
        };
        self.fact(input, None);
    }

    fn join(&mut self, sender: ConnectionId) {
        let seat = self.seats[&sender].clone();
        let (tenant, key) = (self.draw.below(2), self.draw.below(KEYS));
        if self.is_private(tenant) {
            return self.enter_private(sender, key);
        }
        let Tenant { label, .. } = TENANTS[tenant];
        let chain_id = TENANTS[tenant].chain_id();
        let identity = Identity::from_seed([u8::try_from(key + 1).unwrap(); 32]);
        let proof = |chain_id: ChainId, signed: ChainId, nonce: &[u8; 32]| {
            let bytes = join_bytes(seat.provisional, nonce);
            let (key, signature) = (
                identity.public_key(),
                identity.sign(JOIN_DOMAIN, signed, &bytes),
            );
            format!(
                r#"{{"type":"join_network","network_id":"{label}","chain_id":"{chain_id}","key":"{key}","signature":"{signature}"}}"#
            )
        };
        let foreign = TENANTS[1 - tenant].chain_id();
        let (text, expected) = match self.draw.below(7) {
            0 | 1 => (
                format!(r#"{{"type":"join_network","network_id":"{label}"}}"#),
                Expected::Entered(tenant, seat.provisional),
            ),
            2 | 3 => (
                proof(chain_id, chain_id, &seat.nonce),
                Expected::Entered(tenant, identity.peer_id()),
            ),
            // A proof for one network, replayed at the other.
            4 => (
                proof(chain_id, foreign, &seat.nonce),
                Expected::Refused(ErrorCode::BadProof),
            ),
            // A proof of another connection.
            5 => (
                proof(chain_id, chain_id, &[9; 32]),
                Expected::Refused(ErrorCode::BadProof),
            ),
            _ => (
                r#"{"type":"join_network","network_id":"nowhere"}"#.into(),
                Expected::Refused(ErrorCode::NetworkUnknown),
            ),
        };
        self.say(sender, &text, &expected);
    }

    /// Into the private room: with a true admission, or one that was made for something else.
    fn enter_private(&mut self, sender: ConnectionId, key: usize) {
        let seat = self.seats[&sender].clone();
        let peer = Identity::from_seed([u8::try_from(key + 1).unwrap(); 32]).peer_id();
        let stranger = NetworkKey::from_bytes([1; 32]).keys();
        let good = (keys(), keys(), HOST, seat.nonce);
        let kind = self.draw.below(8);
        let (signer, shown, host, nonce) = match kind {
            0 => (stranger.clone(), keys(), HOST, seat.nonce),
            1 => (stranger.clone(), stranger, HOST, seat.nonce),
            2 => (keys(), keys(), "another.test", seat.nonce),
            3 => (keys(), keys(), HOST, [9; 32]),
            _ => good,
        };
        let text = format!(
            r#"{{"type":"join_room","room":"{}","join_key":"{}","peer_id":"{peer}","admission":"{}"}}"#,
            keys().room().0,
            shown.join_key(),
            signer.admission(host, peer, &nonce),
        );
        let is_fresh = seat.fresh_until.is_some_and(|until| until > self.now);
        let expected = match (is_fresh, kind) {
            (false, _) => Expected::Refused(ErrorCode::NonceExpired),
            (true, 0..=3) => Expected::Refused(ErrorCode::BadProof),
            (true, _) => Expected::Entered(1, peer),
        };
        self.say(sender, &text, &expected);
    }

    fn simple(&mut self, sender: ConnectionId) {
        let (text, expected) = match self.draw.below(3) {
            0 => (r#"{"type":"leave_network"}"#, Expected::Left),
            1 => (r#"{"type":"list_networks"}"#, Expected::Listed),
            _ => return self.create_many(sender),
        };
        self.say(sender, text, &expected);
    }

    /// More registrations than the burst.
    fn create_many(&mut self, sender: ConnectionId) {
        for _ in 0..limits::CREATION_BURST + 2 {
            let text = r#"{"type":"create_network","genesis":"00ff"}"#;
            self.say(sender, text, &Expected::Registered);
        }
    }

    /// To a peer of the own room, of the other one, to itself, or to nobody.
    fn forward(&mut self, sender: ConnectionId) {
        let place = self.seats[&sender].place;
        let tenant = self.draw.below(2);
        let peers: Vec<_> = self.members(tenant).collect();
        let unknown = (ConnectionId(0), PeerId(Hash([0x11; 32])));
        let (_, target) = self.draw.of(&peers).copied().unwrap_or(unknown);
        let secret = place.map_or("", |(home, _)| TENANTS[home].secret);
        let chosen = self.draw.below(4);
        let text = match chosen {
            0 => format!(r#"{{"type":"relay","target":"{target}","frame":"{secret}"}}"#),
            kind => {
                let kind = ["offer", "answer", "candidate"][kind - 1];
                format!(
                    r#"{{"type":"{kind}","{kind}":{{"payload":"{secret}"}},"target":"{target}"}}"#
                )
            }
        };
        // One key may be in both rooms, by two connections.
        let here = place.and_then(|(home, own)| {
            let mut others = self.members(home).filter(|(id, _)| *id != sender);
            others
                .find(|(_, peer)| *peer == target)
                .map(|(id, _)| (id, own))
        });
        let expected = match (place, here) {
            (None, _) => Expected::Refused(ErrorCode::NotJoined),
            (Some((home, _)), _) if self.is_private(home) && chosen > 0 => {
                Expected::Refused(ErrorCode::BadMessage)
            }
            (Some(_), None) => Expected::Refused(ErrorCode::PeerUnknown),
            (Some(_), Some((receiver, own))) => {
                let forwarded = text.replace(&target.to_string(), &own.to_string());
                Expected::Forwarded(receiver, forwarded)
            }
        };
        self.say(sender, &text, &expected);
    }

    /// Blocks and transactions, under the own or the other's label.
    fn report(&mut self, sender: ConnectionId) {
        let place = self.seats[&sender].place;
        let tenant = self.draw.below(2);
        let label = TENANTS[tenant].label;
        let secret = place.map_or("", |(home, _)| TENANTS[home].secret);
        let (text, names_tenant) = match self.draw.below(3) {
            0 => (
                format!(
                    r#"{{"type":"blockchain_update","network_id":"{label}","block_count":0,"latest_blocks":[]}}"#
                ),
                true,
            ),
            1 => (
                format!(r#"{{"type":"block","block":{}}}"#, block(secret)),
                false,
            ),
            _ => (
                format!(
                    r#"{{"type":"transaction","transaction":{{"tx_id":"","from":"{secret}","sequence":0,"timestamp":0,"kind":"message","raw":""}}}}"#
                ),
                false,
            ),
        };
        let expected = match place {
            Some((home, _)) if self.is_private(home) => Expected::Refused(ErrorCode::BadMessage),
            Some((home, _)) if home == tenant || !names_tenant => Expected::Asked(home),
            Some(_) | None => Expected::Refused(ErrorCode::NotJoined),
        };
        self.say(sender, &text, &expected);
    }

    /// What only members of the private room may say of its network, and ask.
    fn report_private(&mut self, sender: ConnectionId) {
        let (room, secret) = (keys().room().0, TENANTS[1].secret);
        let text = match self.draw.below(4) {
            0 => format!(
                r#"{{"type":"blockchain_update","network_id":"{room}","block_count":1,"latest_blocks":[],"genesis":"00ff","latest_reports":[{{"block_id":1,"block_hash":"{secret}","raw":"00"}}]}}"#
            ),
            1 => format!(r#"{{"type":"reset_network","network_id":"{room}","reset":"00ff"}}"#),
            2 => format!(r#"{{"type":"get_finality","network_id":"{room}","size":0}}"#),
            _ => format!(r#"{{"type":"get_reset","network_id":"{room}","number":1}}"#),
        };
        let is_member = self.seats[&sender].place.is_some_and(|(home, _)| home == 1);
        let expected = if is_member {
            Expected::Asked(1)
        } else {
            Expected::Refused(ErrorCode::NotJoined)
        };
        self.say(sender, &text, &expected);
    }

    /// A message for a peer with some bytes changed: whatever it is now, it stays inside.
    fn mutated(&mut self, sender: ConnectionId) {
        let peers: Vec<_> = self.seats.values().filter_map(|seat| seat.place).collect();
        let Some((_, target)) = self.draw.of(&peers).copied() else {
            return;
        };
        let secret = self.seats[&sender]
            .place
            .map_or("", |(home, _)| TENANTS[home].secret);
        let text = format!(r#"{{"type":"relay","frame":"{secret}","target":"{target}"}}"#);
        let mut bytes = text.into_bytes();
        for _ in 0..=self.draw.below(4) {
            let at = self.draw.below(bytes.len());
            bytes[at] = b' ' + u8::try_from(self.draw.below(95)).unwrap();
        }
        let text = String::from_utf8(bytes).unwrap();
        self.say(sender, &text, &Expected::Safe);
    }

    fn malformed(&mut self, sender: ConnectionId) {
        let tenant = self.draw.below(2);
        let foreign: Vec<_> = self.members(tenant).collect();
        let target = foreign
            .first()
            .map_or(PeerId(Hash([3; 32])), |(_, peer)| *peer);
        let long = "x".repeat(limits::MESSAGE_BYTES_MAX);
        let (text, code) = match self.draw.below(8) {
            0 => ("{".to_owned(), ErrorCode::BadMessage),
            1 => (BINARY.to_owned(), ErrorCode::BadMessage),
            2 => (
                r#"{"type":"peers","peers":[]}"#.to_owned(),
                ErrorCode::BadMessage,
            ),
            3 => (
                format!(r#"{{"type":"relay","target":"{target}","target":"{target}","frame":""}}"#),
                ErrorCode::BadMessage,
            ),
            4 => (
                format!(
                    r#"{{"type":"relay","target":"{}","frame":""}}"#,
                    &target.to_string()[1..]
                ),
                ErrorCode::BadMessage,
            ),
            5 => (
                format!(r#"{{"type":"relay","target":"{target}","frame":"{long}"}}"#),
                ErrorCode::TooLarge,
            ),
            6 => {
                let blocks = vec![block(""); limits::UPDATE_BLOCKS_MAX + 1].join(",");
                let label = TENANTS[0].label;
                (
                    format!(
                        r#"{{"type":"blockchain_update","network_id":"{label}","block_count":0,"latest_blocks":[{blocks}]}}"#
                    ),
                    ErrorCode::TooLarge,
                )
            }
            _ => (
                r#"{"type":"join_network","network_id":"../ashwood"}"#.to_owned(),
                ErrorCode::BadMessage,
            ),
        };
        self.say(sender, &text, &Expected::Refused(code));
    }
}

fn answer_to(connection: ConnectionId, tenant: usize, number: u64, kind: usize) -> Input {
    let secret = TENANTS[tenant].secret;
    let chain_id = TENANTS[tenant].chain_id();
    let hash = TENANTS[tenant].hash(number).to_string();
    match kind {
        2 => Input::UpdateChecked {
            connection,
            chain_id,
            outcome: match number % 2 {
                0 => UpdateOutcome::Accepted(TipReference { height: 1, hash }),
                _ => UpdateOutcome::Refused(TipReference { height: 1, hash }, secret.into()),
            },
        },
        3 => Input::RelayChecked {
            connection,
            chain_id,
            verdict: Err(format!("{secret} {hash}")),
        },
        _ => Input::RelayChecked {
            connection,
            chain_id,
            verdict: Ok(Box::new(ServerMessage::Block {
                block: serde_json::from_str(&block(secret)).unwrap(),
            })),
        },
    }
}

/// The same about the private tenant: to who asked, or to its room.
fn private_answer_to(connection: ConnectionId, number: u64, kind: usize) -> Input {
    let (room, secret) = (keys().room(), TENANTS[1].secret);
    let chain_id = room.as_chain();
    let hash = TENANTS[1].hash(number).to_string();
    let bytes = [TENANTS[1].tag.to_vec(), number.to_be_bytes().to_vec()].concat();
    let which = u32::try_from(number % 1_000).unwrap();
    match (kind, number % 4) {
        (2, 0) => Input::UpdateChecked {
            connection,
            chain_id,
            outcome: UpdateOutcome::Accepted(TipReference { height: 1, hash }),
        },
        (2, 1) => Input::UpdateChecked {
            connection,
            chain_id,
            outcome: UpdateOutcome::Refused(TipReference { height: 1, hash }, secret.into()),
        },
        (2, _) => Input::RelayChecked {
            connection,
            chain_id,
            verdict: Err(format!("{secret} {hash}")),
        },
        (3, part) => Input::ResetChecked {
            connection: Some(connection),
            room,
            number: which,
            outcome: match part {
                0 => ResetOutcome::Executed,
                _ => ResetOutcome::Refused(format!("{secret} {hash}")),
            },
        },
        (_, part) => Input::QuestionAnswered {
            connection,
            room,
            question: match part {
                0 | 1 => Question::Finality {
                    size: number,
                    known: None,
                },
                _ => Question::Reset { number: which },
            },
            answer: Some(bytes),
        },
    }
}

fn block(text: &str) -> String {
    format!(
        r#"{{"block_id":1,"block_hash":"{text}","previous_hash":"","timestamp":0,"header":"","miner":"","transactions":[]}}"#
    )
}
