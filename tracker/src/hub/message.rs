//! What a client sends, parsed without trust.
//!
//! Signalling and relayed frames are forwarded as they came, with the 64 digits of the receiver's id overwritten by the
//! sender's: no copy of the payload is parsed or built. So the parser only locates the target and checks that the
//! kind's own field is there; whether the payload is signed and fresh is for the receiving peer to judge.

use api::ws::{ClientMessage, ErrorCode};
use api::{ReportedBlock, TenantBlock, TenantTransaction};
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::enterprise::Reset;
use shared::ids::{ChainId, PeerId, PublicKey, Signature};
use shared::limits::GENESIS_BYTES_MAX;
use shared::private::RoomId;

use super::Question;
use crate::label::Label;
use crate::ledger::MemberReport;
use crate::limits;

/// A message of a client, of the right form.
#[derive(Debug)]
pub enum Incoming {
    /// Signalling for one peer.
    Signal(Forward),
    /// A data-channel frame for one peer.
    Relay(Forward),
    /// Registers a network.
    Create(Wish),
    /// Enters a room.
    Join {
        /// The network's label.
        label: Label,
        /// The chain, if the client expects one.
        chain_id: Option<ChainId>,
        /// The key and its signature, if the client has one.
        proof: Option<(PublicKey, Signature)>,
    },
    /// Enters a private network's room.
    Enter(Box<Entry>),
    /// Leaves the room.
    Leave,
    /// Subscribes to the public list.
    List,
    /// Wants a word.
    Ping,
    /// A block for the room.
    Block(Box<TenantBlock>),
    /// A transaction for the room.
    Transaction(Box<TenantTransaction>),
    /// Blocks of a private network, as a reporter vouches for them.
    Report(Box<MemberReport>),
    /// A reset of a private network.
    Reset {
        /// The network's room.
        room: RoomId,
        /// The signed reset.
        reset: Vec<u8>,
    },
    /// A question about a private network for the enterprise chain.
    Ask {
        /// The network's room.
        room: RoomId,
        /// The question.
        question: Question,
    },
    /// New blocks for the tracker.
    Update {
        /// The network's label.
        label: Label,
        /// The blocks, oldest first.
        blocks: Vec<TenantBlock>,
    },
}

/// Who wants into which private room, and why it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The room.
    pub room: RoomId,
    /// The key that admits to it.
    pub join_key: PublicKey,
    /// Who wants in.
    pub peer: PeerId,
    /// The key's signature.
    pub admission: Signature,
}

/// A network to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The genesis bytes, not yet decoded.
    pub genesis: Vec<u8>,
    /// Whether it appears in public lists.
    pub listing: Listing,
    /// The label asked for, if not the genesis' own.
    pub label: Option<Label>,
}

/// Whether a network appears in public lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Its creator listed it.
    Listed,
    /// Only who knows its label or chain id finds it.
    Unlisted,
}

impl Listing {
    /// Reads the flag of the wire.
    pub fn from_flag(listed: bool) -> Self {
        if listed { Self::Listed } else { Self::Unlisted }
    }

    /// Whether it is [`Listing::Listed`].
    pub fn is_listed(self) -> bool {
        self == Self::Listed
    }
}

/// A message for one peer, ready to be readdressed.
#[derive(Debug)]
pub struct Forward {
    /// The peer it is for.
    pub target: PeerId,
    text: String,
    target_at: usize,
}

impl Forward {
    /// How long the message is, in bytes.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The message as the target gets it: `target` names the sender.
    pub fn from_sender(self, sender: PeerId) -> String {
        let mut text = self.text;
        let end = self.target_at.saturating_add(PEER_ID_CHARS);
        text.replace_range(self.target_at..end, &sender.to_string());
        text
    }
}

/// A message that is not carried out, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MessageError {
    /// The code for the client.
    pub code: ErrorCode,
    /// The reason in one sentence.
    pub message: String,
}

impl MessageError {
    fn bad(message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::BadMessage,
            message: message.into(),
        }
    }
}

/// Parses one text message.
///
/// # Errors
/// The text is longer than its kind may be, is not a message of this protocol, or a field has a wrong form.
pub fn parse(text: String) -> Result<Incoming, MessageError> {
    if is_too_deep(&text) {
        let message = format!("nested deeper than {DEPTH_MAX}");
        return Err(MessageError::bad(message));
    }
    let envelope: Envelope<'_> =
        serde_json::from_str(&text).map_err(|error| MessageError::bad(error.to_string()))?;
    let allowed = match envelope.kind {
        "blockchain_update" | "block" => limits::UPDATE_BYTES_MAX,
        _ => limits::MESSAGE_BYTES_MAX,
    };
    if text.len() > allowed {
        let message = format!(
            "a {} message of {} bytes, allowed are {allowed}",
            envelope.kind,
            text.len()
        );
        return Err(MessageError {
            code: ErrorCode::TooLarge,
            message,
        });
    }
    let (payload, wrap): (_, fn(Forward) -> Incoming) = match envelope.kind {
        "offer" => (envelope.offer, Incoming::Signal),
        "answer" => (envelope.answer, Incoming::Signal),
        "candidate" => (envelope.candidate, Incoming::Signal),
        "relay" => (envelope.frame, Incoming::Relay),
        _ => return parse_request(&text),
    };
    if payload.is_none() {
        return Err(MessageError::bad(format!(
            "a {} message without its {0}",
            envelope.kind
        )));
    }
    let target_text = envelope
        .target
        .ok_or_else(|| MessageError::bad("a message for a peer without a target"))?;
    let target = target_text
        .parse()
        .map_err(|error| MessageError::bad(format!("target: {error}")))?;
    // The target was borrowed from the text (no escapes in it), so its place is the distance of the two pointers.
    let target_at = (target_text.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    Ok(wrap(Forward {
        target,
        text,
        target_at,
    }))
}

/// Whether arrays and objects are nested deeper than [`DEPTH_MAX`]. The parser skips what a frame holds without such a limit, and
/// takes five times as long for it as this does.
fn is_too_deep(text: &str) -> bool {
    // Counted in bytes, which the compiler puts side by side.
    let opening = |part: &[u8]| {
        part.iter()
            .map(|byte| u8::from(byte | 0x20 == b'{'))
            .sum::<u8>()
    };
    let opened: usize = text
        .as_bytes()
        .chunks(128)
        .map(|part| usize::from(opening(part)))
        .sum();
    if opened <= DEPTH_MAX {
        return false;
    }
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'[' | b'{' if !is_string => {
                depth = depth.saturating_add(1);
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn parse_request(text: &str) -> Result<Incoming, MessageError> {
    let message: ClientMessage =
        serde_json::from_str(text).map_err(|error| MessageError::bad(error.to_string()))?;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "kinds for a peer do not come here; new kinds are refused"
    )]
    match message {
        ClientMessage::CreateNetwork {
            genesis,
            listed,
            label,
        } => creation(&genesis, listed, label.as_deref()),
        ClientMessage::JoinNetwork {
            network_id,
            chain_id,
            key,
            signature,
        } => {
            let chain_id = chain_id.map(|text| field("chain_id", &text)).transpose()?;
            let proof = proof(key.as_deref(), signature.as_deref())?;
            Ok(Incoming::Join {
                label: parse_label(&network_id)?,
                chain_id,
                proof,
            })
        }
        ClientMessage::JoinRoom {
            room,
            join_key,
            peer_id,
            admission,
        } => entry([&room, &join_key, &peer_id, &admission]),
        ClientMessage::LeaveNetwork {} => Ok(Incoming::Leave),
        ClientMessage::ListNetworks {} => Ok(Incoming::List),
        ClientMessage::Ping {} => Ok(Incoming::Ping),
        ClientMessage::Block { block } => Ok(Incoming::Block(block)),
        ClientMessage::Transaction { transaction } => {
            Ok(Incoming::Transaction(Box::new(transaction)))
        }
        ClientMessage::BlockchainUpdate {
            network_id,
            latest_blocks,
            latest_reports,
            genesis,
            ..
        } => update(&network_id, latest_blocks, latest_reports, genesis),
        ClientMessage::ResetNetwork { network_id, reset } => Ok(Incoming::Reset {
            room: RoomId(field("network_id", &network_id)?),
            reset: bytes("reset", &reset, Reset::BYTES)?,
        }),
        ClientMessage::GetFinality {
            network_id,
            size,
            known,
        } => {
            let known = known.map(|known| field("known", &known)).transpose()?;
            ask(&network_id, Question::Finality { size, known })
        }
        ClientMessage::GetReset { network_id, number } => {
            ask(&network_id, Question::Reset { number })
        }
        _ => Err(MessageError::bad("a message of another kind")),
    }
}

fn creation(genesis: &str, listed: bool, label: Option<&str>) -> Result<Incoming, MessageError> {
    let genesis =
        hex::decode(genesis).map_err(|error| MessageError::bad(format!("genesis: {error}")))?;
    let label = label.map(parse_label).transpose()?;
    Ok(Incoming::Create(Wish {
        genesis,
        listing: Listing::from_flag(listed),
        label,
    }))
}

fn ask(network_id: &str, question: Question) -> Result<Incoming, MessageError> {
    Ok(Incoming::Ask {
        room: RoomId(field("network_id", network_id)?),
        question,
    })
}

/// Blocks of an open network, or reports of a private one.
fn update(
    network_id: &str,
    blocks: Vec<TenantBlock>,
    reports: Vec<ReportedBlock>,
    genesis: Option<String>,
) -> Result<Incoming, MessageError> {
    check_count(blocks.len().saturating_add(reports.len()))?;
    if reports.is_empty() && genesis.is_none() {
        return Ok(Incoming::Update {
            label: parse_label(network_id)?,
            blocks,
        });
    }
    if !blocks.is_empty() {
        return Err(MessageError::bad("an update has whole blocks or reports"));
    }
    Ok(Incoming::Report(Box::new(MemberReport {
        room: RoomId(field("network_id", network_id)?),
        genesis: genesis
            .map(|text| bytes("genesis", &text, GENESIS_BYTES_MAX))
            .transpose()?,
        reports,
    })))
}

fn check_count(found: usize) -> Result<(), MessageError> {
    let allowed = limits::UPDATE_BLOCKS_MAX;
    if found <= allowed {
        return Ok(());
    }
    Err(MessageError {
        code: ErrorCode::TooLarge,
        message: format!("an update of {found} blocks, allowed are {allowed}"),
    })
}

fn bytes(name: &str, text: &str, allowed: usize) -> Result<Vec<u8>, MessageError> {
    let found = text.len() / 2;
    if found > allowed {
        return Err(MessageError {
            code: ErrorCode::TooLarge,
            message: format!("{name}: {found} bytes, allowed are {allowed}"),
        });
    }
    hex::decode(text).map_err(|error| MessageError::bad(format!("{name}: {error}")))
}

fn entry([room, join_key, peer_id, admission]: [&str; 4]) -> Result<Incoming, MessageError> {
    Ok(Incoming::Enter(Box::new(Entry {
        room: RoomId(field("room", room)?),
        join_key: field("join_key", join_key)?,
        peer: field("peer_id", peer_id)?,
        admission: field("admission", admission)?,
    })))
}

fn proof(
    key: Option<&str>,
    signature: Option<&str>,
) -> Result<Option<(PublicKey, Signature)>, MessageError> {
    match (key, signature) {
        (None, None) => Ok(None),
        (Some(key), Some(signature)) => {
            Ok(Some((field("key", key)?, field("signature", signature)?)))
        }
        (Some(_), None) | (None, Some(_)) => Err(MessageError::bad(
            "a key comes with its signature, or neither",
        )),
    }
}

fn parse_label(text: &str) -> Result<Label, MessageError> {
    Label::parse(text).map_err(|error| MessageError::bad(format!("network_id: {error}")))
}

fn field<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, MessageError>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error| MessageError::bad(format!("{name}: {error}")))
}

/// The fields that decide where a message goes; the payload stays unread.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: &'a str,
    #[serde(borrow, default)]
    target: Option<&'a str>,
    #[serde(borrow, default)]
    offer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    answer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    candidate: Option<&'a RawValue>,
    #[serde(borrow, default)]
    frame: Option<&'a RawValue>,
}

const PEER_ID_CHARS: usize = 64;

/// What the parser of the other fields allows.
const DEPTH_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_limited_and_brackets_in_texts_are_none() {
        let target = "0".repeat(64);
        let relay = |frame: &str| {
            let text = format!(r#"{{"type":"relay","target":"{target}","frame":{frame}}}"#);
            parse(text).is_ok()
        };
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(relay(&nested(DEPTH_MAX - 1)));
        assert!(!relay(&nested(DEPTH_MAX)));
        assert!(relay(&format!("[{}0]", "[[],{}],".repeat(1_000))));
        for text in [
            "[".repeat(9_000),
            r#"\"["#.repeat(9_000),
            r"\\".repeat(300) + "{",
        ] {
            assert!(relay(&format!(r#""{text}""#)), "{text}");
        }
        assert!(parse("[".repeat(60_000)).is_err());
    }
    use shared::hash::Hash;

    fn peer(byte: u8) -> PeerId {
        PeerId(Hash([byte; 32]))
    }

    #[test]
    fn a_forwarded_message_names_its_sender_and_is_otherwise_unchanged() {
        let text = format!(
            r#"{{"type":"offer","offer":{{"payload":"{0}"}},"target":"{0}"}}"#,
            peer(1)
        );
        let Incoming::Signal(forward) = parse(text).unwrap() else {
            panic!("an offer is signalling")
        };
        assert_eq!(forward.target, peer(1));
        let sent = forward.from_sender(peer(2));
        assert_eq!(
            sent,
            format!(
                r#"{{"type":"offer","offer":{{"payload":"{}"}},"target":"{}"}}"#,
                peer(1),
                peer(2)
            )
        );
    }

    #[test]
    fn malformed_messages_are_refused() {
        let target = peer(1);
        for bad in [
            String::new(),
            "[]".into(),
            "{}".into(),
            r#"{"type":"dance"}"#.into(),
            r#"{"type":"relay","frame":"AA=="}"#.into(),
            r#"{"type":"relay","target":"abc","frame":"AA=="}"#.into(),
            format!(r#"{{"type":"relay","target":"{target}"}}"#),
            format!(r#"{{"type":"relay","target":"{target}","target":"{target}","frame":""}}"#),
            format!(r#"{{"type":"relay","type":"offer","target":"{target}","frame":""}}"#),
            format!(
                r#"{{"type":"relay","target":"\u0030{}","frame":""}}"#,
                &target.to_string()[1..]
            ),
            r#"{"type":"join_network","network_id":"../etc"}"#.into(),
            r#"{"type":"join_network","network_id":"a","key":"00"}"#.into(),
            r#"{"type":"create_network","genesis":"xyz"}"#.into(),
        ] {
            let error = parse(bad.clone()).expect_err(&bad);
            assert_eq!(error.code, ErrorCode::BadMessage, "{bad}");
        }
    }

    #[test]
    fn only_messages_with_blocks_may_be_long() {
        let pad = " ".repeat(limits::MESSAGE_BYTES_MAX);
        let long = format!(
            r#"{{"type":"relay","target":"{}","frame":"{pad}"}}"#,
            peer(1)
        );
        assert_eq!(parse(long).unwrap_err().code, ErrorCode::TooLarge);
        let update = format!(
            r#"{{"type":"blockchain_update","network_id":"a","block_count":0,"latest_blocks":[]{pad}}}"#
        );
        assert!(parse(update).is_ok());
    }

    #[test]
    fn a_bare_join_has_no_proof() {
        let parsed = parse(r#"{"type":"join_network","network_id":"demo"}"#.into()).unwrap();
        assert!(matches!(
            parsed,
            Incoming::Join {
                chain_id: None,
                proof: None,
                ..
            }
        ));
    }
}
