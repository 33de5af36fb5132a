//! What trackers of one cluster tell each other, in bytes: the sender (16), then the kind (1) and
//!
//! | kind | name | content |
//! | ---: | --- | --- |
//! | 1 | hello | chain id (32): who has members there tells them |
//! | 2 | members | chain id, number (2), peer ids (32 each): all members that the sender has |
//! | 3 | joined | chain id, peer id |
//! | 4 | left | chain id, peer id |
//! | 5 | forward | chain id, from whom (32), to whom (32), text to the end |
//! | 6 | room | chain id, text to the end |
//! | 7 | network | listed (1), label (1 + n), genesis to the end |
//! | 8 | tracker | the address of the sender's `/ws` for browsers, to the end; empty: it goes |
//! | 9 | registry | a digest of the networks that the sender has (512): who has others tells them to it |
//!
//! The operator's own machines speak here, and yet nothing is believed that can be checked: a genesis is decoded and its chain id
//! computed, and every message of a network is taken only for that network.
//!
//! Limits: [`MESSAGE_BYTES_MAX`]; members as many as a room has.

use shared::encoding::{DecodeError, Reader, Writer};
use shared::hash::{Hash, sha256};
use shared::ids::{ChainId, PeerId};

use super::Digest;
use crate::limits;

/// Bytes of a message.
pub const MESSAGE_BYTES_MAX: usize = limits::UPDATE_BYTES_MAX + 256;

/// One run of one tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackerId(pub [u8; 16]);

impl std::fmt::Display for TrackerId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// To every tracker.
    Networks,
    /// To the trackers with members in a network.
    Network(ChainId),
    /// To one tracker.
    Tracker(TrackerId),
}

impl Subject {
    /// The name on the wire: of a network only a hash is told.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Networks => "distli.networks".into(),
            Self::Network(chain_id) => {
                let hash = sha256(&[b"distli/subject/1", &chain_id.0.0]);
                format!("distli.network.{hash}")
            }
            Self::Tracker(id) => format!("distli.tracker.{id}"),
        }
    }
}

impl std::hash::Hash for Subject {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// What a tracker tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Asks who has members.
    Hello,
    /// All members that the sender has.
    Members(Vec<PeerId>),
    /// One more.
    Joined(PeerId),
    /// One less.
    Left(PeerId),
    /// A message for one peer, as it gets it.
    Forward {
        /// The sender.
        from: PeerId,
        /// The receiver.
        to: PeerId,
        /// The text.
        text: String,
    },
    /// A message for all peers, as they get it.
    Room {
        /// The text.
        text: String,
    },
}

/// A message between trackers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// About one network.
    About(ChainId, Content),
    /// A network is registered.
    Network {
        /// Its name at the sender.
        label: String,
        /// Whether it is in public lists.
        is_listed: bool,
        /// Its genesis.
        genesis: Vec<u8>,
    },
    /// Where browsers reach the sender; empty when it goes.
    Tracker {
        /// The address of its `/ws`.
        url: String,
    },
    /// Which networks the sender has: it wants to be told the others.
    Registry(Box<Digest>),
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes are malformed.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// Too long.
    #[error("{found} bytes, allowed are {MESSAGE_BYTES_MAX}")]
    TooLarge {
        /// How long it is.
        found: usize,
    },
    /// Too many members.
    #[error("{found} members, allowed are {}", limits::ROOM_PEERS_MAX)]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// The text is none.
    #[error("a text is not UTF-8")]
    Text,
    /// A flag that is neither 0 nor 1.
    #[error("the flag {0} is neither 0 nor 1")]
    Flag(u8),
    /// A kind that does not exist.
    #[error("the kind {0} does not exist")]
    Kind(u8),
}

/// The bytes of a message.
#[must_use]
pub fn encode(from: TrackerId, message: &Message) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes(&from.0);
    match message {
        Message::About(chain_id, content) => {
            let kind = match content {
                Content::Hello => 1,
                Content::Members(_) => 2,
                Content::Joined(_) => 3,
                Content::Left(_) => 4,
                Content::Forward { .. } => 5,
                Content::Room { .. } => 6,
            };
            writer.u8(kind).bytes(&chain_id.0.0);
            match content {
                Content::Hello => {}
                Content::Members(peers) => {
                    writer.u16(u16::try_from(peers.len()).unwrap_or(u16::MAX));
                    for peer in peers {
                        writer.bytes(&peer.0.0);
                    }
                }
                Content::Joined(peer) | Content::Left(peer) => _ = writer.bytes(&peer.0.0),
                Content::Forward { from, to, text } => {
                    writer
                        .bytes(&from.0.0)
                        .bytes(&to.0.0)
                        .bytes(text.as_bytes());
                }
                Content::Room { text } => _ = writer.bytes(text.as_bytes()),
            }
        }
        Message::Network {
            label,
            is_listed,
            genesis,
        } => {
            writer.u8(7).u8(u8::from(*is_listed));
            writer.u8(u8::try_from(label.len()).unwrap_or(u8::MAX));
            writer.bytes(label.as_bytes()).bytes(genesis);
        }
        Message::Tracker { url } => _ = writer.u8(8).bytes(url.as_bytes()),
        Message::Registry(digest) => digest.write(writer.u8(9)),
    }
    writer.finish()
}

/// Reads what [`encode`] writes.
///
/// # Errors
/// [`WireError`].
pub fn decode(bytes: &[u8]) -> Result<(TrackerId, Message), WireError> {
    let found = bytes.len();
    if found > MESSAGE_BYTES_MAX {
        return Err(WireError::TooLarge { found });
    }
    let mut reader = Reader::new(bytes);
    let from = TrackerId(reader.array()?);
    let kind = reader.u8()?;
    match kind {
        7 => return Ok((from, network(&mut reader)?)),
        8 => {
            let url = text_of(reader.bytes(reader.remaining())?)?;
            return Ok((from, Message::Tracker { url }));
        }
        9 => {
            let digest = Box::new(Digest::read(&mut reader)?);
            reader.finish()?;
            return Ok((from, Message::Registry(digest)));
        }
        _ => {}
    }
    let chain_id = ChainId(reader.hash()?);
    let content = match kind {
        1 => Content::Hello,
        2 => {
            let found = usize::from(reader.u16()?);
            if found > limits::ROOM_PEERS_MAX {
                return Err(WireError::TooMany { found });
            }
            let mut peers = Vec::with_capacity(found);
            for _ in 0..found {
                peers.push(peer(&mut reader)?);
            }
            Content::Members(peers)
        }
        3 => Content::Joined(peer(&mut reader)?),
        4 => Content::Left(peer(&mut reader)?),
        5 => Content::Forward {
            from: peer(&mut reader)?,
            to: peer(&mut reader)?,
            text: text_of(reader.bytes(reader.remaining())?)?,
        },
        6 => Content::Room {
            text: text_of(reader.bytes(reader.remaining())?)?,
        },
        kind => return Err(WireError::Kind(kind)),
    };
    reader.finish()?;
    Ok((from, Message::About(chain_id, content)))
}

fn network(reader: &mut Reader<'_>) -> Result<Message, WireError> {
    let is_listed = match reader.u8()? {
        0 => false,
        1 => true,
        flag => return Err(WireError::Flag(flag)),
    };
    let length = usize::from(reader.u8()?);
    let label = text_of(reader.bytes(length)?)?;
    let genesis = reader.bytes(reader.remaining())?.to_vec();
    Ok(Message::Network {
        label,
        is_listed,
        genesis,
    })
}

fn peer(reader: &mut Reader<'_>) -> Result<PeerId, DecodeError> {
    Ok(PeerId(Hash(reader.array()?)))
}

fn text_of(bytes: &[u8]) -> Result<String, WireError> {
    let text = std::str::from_utf8(bytes).map_err(|_| WireError::Text)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written_and_no_cut_one_is() {
        let (chain, one, other) = (
            ChainId(Hash([1; 32])),
            PeerId(Hash([2; 32])),
            PeerId(Hash([3; 32])),
        );
        let text = || String::from("a text, not markup: <b>");
        let contents = [
            Content::Hello,
            Content::Members(vec![one, other]),
            Content::Joined(one),
            Content::Left(one),
            Content::Forward {
                from: one,
                to: other,
                text: text(),
            },
            Content::Room { text: text() },
        ];
        let mut messages: Vec<Message> = contents
            .into_iter()
            .map(|content| Message::About(chain, content))
            .collect();
        messages.push(Message::Network {
            label: "shop".into(),
            is_listed: true,
            genesis: vec![7; 40],
        });
        messages.push(Message::Tracker {
            url: "wss://t2.example/ws".into(),
        });
        let digest = Digest::of([chain].iter());
        messages.push(Message::Registry(Box::new(digest)));
        for message in messages {
            let bytes = encode(TrackerId([9; 16]), &message);
            assert_eq!(decode(&bytes), Ok((TrackerId([9; 16]), message)));
            assert!(decode(&bytes[..16]).is_err());
        }
        assert!(decode(&vec![1; MESSAGE_BYTES_MAX + 1]).is_err());
        assert_eq!(decode(&[10; 60]), Err(WireError::Kind(10)));
    }

    #[test]
    fn a_subject_tells_nothing_of_a_network() {
        let chain = ChainId(Hash([0xab; 32]));
        assert!(!Subject::Network(chain).name().contains(&chain.to_string()));
    }
}
