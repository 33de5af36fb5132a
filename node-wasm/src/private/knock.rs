//! Getting the genesis of a private network from its members, for who has the key only (a passphrase leads there).
//!
//! A pure machine: the tracker's messages go in, what to send it and the genesis come out. It enters the room under a key of its own
//! that is never used again, asks each member there and each that comes, and takes the first genesis that has the key's join key. Which
//! of several such chains it is, the members say; an invite link names it.

use std::collections::{BTreeSet, VecDeque};

use api::ws::{ClientMessage, ErrorCode, ServerMessage};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use shared::genesis::Genesis;
use shared::hash::sha256;
use shared::identity::Identity;
use shared::ids::PeerId;
use shared::mesh::Sealed;
use shared::private::{NetworkKey, NetworkKeys};

use super::fits;

/// Members that are asked at most.
const ASKED_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Knock {
    key: NetworkKey,
    keys: NetworkKeys,
    own: PeerId,
    seed: [u8; 32],
    host: String,
    asked: BTreeSet<PeerId>,
    outputs: VecDeque<KnockOutput>,
    is_done: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnockOutput {
    /// Send the tracker this message.
    Send {
        /// The message.
        text: String,
    },
    /// The room was entered; so many members were asked.
    Waiting {
        /// How many.
        members: usize,
    },
    /// A member gave the genesis; hang up.
    Found {
        /// Its bytes, checked.
        genesis: Vec<u8>,
    },
    /// The tracker does not let us in; hang up.
    Refused {
        /// Its words.
        reason: String,
    },
}

impl Knock {
    /// A machine that waits for the tracker's `welcome`; `seed` must be fresh.
    #[must_use]
    pub fn new(key: &NetworkKey, seed: [u8; 32], host: &str) -> Self {
        let identity = sha256(&[b"distli/knock/identity/1", &seed]);
        Self {
            key: key.clone(),
            keys: key.keys(),
            own: Identity::from_seed(identity.0).peer_id(),
            seed,
            host: host.to_owned(),
            asked: BTreeSet::new(),
            outputs: VecDeque::new(),
            is_done: false,
        }
    }

    /// Takes a message of the tracker; one that is none, or about something else, changes nothing.
    pub fn handle(&mut self, text: &str) {
        if self.is_done {
            return;
        }
        if let Ok(message) = serde_json::from_str(text) {
            // A malformed field is as good as no message.
            let _ = self.on_message(message);
        }
    }

    /// The next order, until there is none.
    pub fn poll(&mut self) -> Option<KnockOutput> {
        self.outputs.pop_front()
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "everything else is for members"
    )]
    fn on_message(&mut self, message: ServerMessage) -> Option<()> {
        match message {
            ServerMessage::Welcome { nonce, .. } => {
                let nonce = hex::decode(nonce).ok()?.try_into().ok()?;
                let admission = self.keys.admission(&self.host, self.own, &nonce);
                self.send(&ClientMessage::JoinRoom {
                    room: self.keys.room().0.to_string(),
                    join_key: self.keys.join_key().to_string(),
                    peer_id: self.own.to_string(),
                    admission: admission.to_string(),
                });
            }
            ServerMessage::RoomJoined { peers, .. } => {
                let members = peers.len();
                for peer in peers {
                    self.ask(peer.parse().ok()?);
                }
                self.outputs.push_back(KnockOutput::Waiting { members });
            }
            ServerMessage::PeerJoined { peer_id } => self.ask(peer_id.parse().ok()?),
            ServerMessage::Relay { target, frame } => {
                self.on_frame(target.parse().ok()?, &BASE64.decode(frame).ok()?);
            }
            ServerMessage::Error { code, message, .. } if code != ErrorCode::PeerUnknown => {
                self.is_done = true;
                let reason = message;
                self.outputs.push_back(KnockOutput::Refused { reason });
            }
            _ => {}
        }
        Some(())
    }

    fn ask(&mut self, peer: PeerId) {
        if self.asked.len() < ASKED_MAX && peer != self.own && self.asked.insert(peer) {
            let frame = Sealed::GenesisWanted.seal(&self.keys, (self.own, peer), &self.nonce());
            self.send(&ClientMessage::Relay {
                target: peer.to_string(),
                frame: BASE64.encode(frame),
            });
        }
    }

    fn on_frame(&mut self, from: PeerId, frame: &[u8]) {
        let Ok(Sealed::Genesis(genesis)) = Sealed::open(&self.keys, (from, self.own), frame) else {
            return;
        };
        if Genesis::decode(&genesis).is_ok_and(|genesis| fits(&self.key, &genesis)) {
            self.is_done = true;
            self.outputs.push_back(KnockOutput::Found { genesis });
        }
    }

    /// The seed is fresh, and each peer is asked once.
    fn nonce(&self) -> [u8; 24] {
        let count = self.asked.len().to_be_bytes();
        let digest = sha256(&[b"distli/knock/nonce/1", &self.seed, &count]);
        let mut nonce = [0; 24];
        nonce
            .iter_mut()
            .zip(digest.0)
            .for_each(|(slot, byte)| *slot = byte);
        nonce
    }

    fn send(&mut self, message: &ClientMessage) {
        // Strings always serialise.
        if let Ok(text) = serde_json::to_string(message) {
            self.outputs.push_back(KnockOutput::Send { text });
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::hash::Hash;
    use shared::ids::{PublicKey, Signature};
    use shared::private::{RoomId, check_admission};

    use super::super::invite::tests::genesis;
    use super::*;

    const HOST: &str = "tracker.test";

    fn key() -> NetworkKey {
        NetworkKey::from_bytes([7; 32])
    }

    fn sent(knock: &mut Knock) -> ClientMessage {
        let Some(KnockOutput::Send { text }) = knock.poll() else {
            panic!("nothing is sent")
        };
        serde_json::from_str(&text).unwrap()
    }

    fn relay(from: PeerId, sealed: &Sealed, keys: &NetworkKeys, to: PeerId) -> String {
        let frame = sealed.seal(keys, (from, to), &[4; 24]);
        let target = from.to_string();
        let frame = BASE64.encode(frame);
        serde_json::to_string(&ServerMessage::Relay { target, frame }).unwrap()
    }

    #[test]
    fn who_has_the_key_is_admitted_and_given_the_genesis() {
        let (key, member) = (key(), PeerId(Hash([3; 32])));
        let mut knock = Knock::new(&key, [1; 32], HOST);
        let nonce = "09".repeat(32);
        knock.handle(&format!(
            r#"{{"type":"welcome","peer_id":"{member}","nonce":"{nonce}","ice_servers":[],"limits":{{"message_bytes_max":1,"update_bytes_max":1,"join_timeout_ms":1,"ping_interval_ms":1,"message_burst":1,"messages_per_second":1,"relay_bytes_per_second":1}}}}"#
        ));
        let ClientMessage::JoinRoom {
            room,
            join_key,
            peer_id,
            admission,
        } = sent(&mut knock)
        else {
            panic!("the room is entered first")
        };
        let (join_key, own): (PublicKey, PeerId) =
            (join_key.parse().unwrap(), peer_id.parse().unwrap());
        let (room, admission): (Hash, Signature) =
            (room.parse().unwrap(), admission.parse().unwrap());
        check_admission((RoomId(room), &join_key), HOST, own, &[9; 32], &admission).unwrap();

        knock.handle(&format!(
            r#"{{"type":"room_joined","room":"{room}","peer_id":"{own}","peers":["{member}"]}}"#
        ));
        let ClientMessage::Relay { target, frame } = sent(&mut knock) else {
            panic!("the member is asked")
        };
        let frame = BASE64.decode(frame).unwrap();
        assert_eq!(target, member.to_string());
        assert_eq!(
            Sealed::open(&key.keys(), (own, member), &frame).unwrap(),
            Sealed::GenesisWanted
        );
        assert_eq!(knock.poll(), Some(KnockOutput::Waiting { members: 1 }));

        let true_one = Sealed::Genesis(genesis(&key).encode());
        let other_key = NetworkKey::from_bytes([8; 32]);
        let foreign = Sealed::Genesis(genesis(&other_key).encode());
        knock.handle(&relay(member, &foreign, &key.keys(), own));
        knock.handle(&relay(member, &true_one, &other_key.keys(), own));
        assert_eq!(knock.poll(), None, "of another network, or not by a member");
        knock.handle(&relay(member, &true_one, &key.keys(), own));
        let genesis = genesis(&key).encode();
        assert_eq!(knock.poll(), Some(KnockOutput::Found { genesis }));
    }

    #[test]
    fn a_refusal_is_told_in_the_trackers_words() {
        let mut knock = Knock::new(&key(), [1; 32], HOST);
        knock.handle(r#"{"type":"error","code":"full","message":"the network has 1000 peers"}"#);
        let reason = String::from("the network has 1000 peers");
        assert_eq!(knock.poll(), Some(KnockOutput::Refused { reason }));
    }
}
