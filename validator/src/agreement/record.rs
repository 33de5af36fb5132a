//! Records of the vote log: what an agreement has to know again after a crash, so that it never contradicts itself.
//!
//! Each is its height (8), its kind (1) and: 1 a [`Message`]; 2 a timeout, its kind (1 propose, 2 prevote, 3 precommit)
//! and round (4); 3 a judged block, its round (4), proposer (32), hash (32) and verdict (1: valid).

use malachite::{Round, Timeout, TimeoutKind, Validity, ValueOrigin};
use shared::encoding::{DecodeError, Reader, Writer};
use shared::enterprise::EnterpriseHeight;

use super::context::{Address, BlockId, Context, Height};
use super::message::{Kind, Message, MessageError, round_bytes, round_from};

type Input = tendermint::Input<Context>;
type ProposedValue = tendermint::ProposedValue<Context>;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    height: EnterpriseHeight,
    pub(super) input: Input,
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The message in it is malformed.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The bytes are malformed.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// A kind that does not exist.
    #[error("the kind {0} does not exist")]
    Kind(u8),
}

impl Record {
    /// The record of an input, if it has to be kept.
    pub(super) fn of(height: Height, input: Input) -> Option<Self> {
        let is_kept = matches!(
            input,
            Input::Vote(_)
                | Input::Proposal(_)
                | Input::PolkaCertificate(_)
                | Input::TimeoutElapsed(_)
                | Input::ProposedValue(..)
        );
        is_kept.then_some(Self {
            height: EnterpriseHeight(height.0),
            input,
        })
    }

    /// The height that it belongs to.
    #[must_use]
    pub const fn height(&self) -> EnterpriseHeight {
        self.height
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u64(self.height.0);
        match &self.input {
            Input::TimeoutElapsed(timeout) => {
                let kind = match timeout.kind {
                    TimeoutKind::Propose => 1,
                    TimeoutKind::Prevote => 2,
                    TimeoutKind::Precommit
                    | TimeoutKind::Rebroadcast
                    | TimeoutKind::FinalizeHeight(_) => 3,
                };
                writer.u8(2).u8(kind).u32(round_bytes(timeout.round));
            }
            Input::ProposedValue(value, _) => {
                writer.u8(3).u32(round_bytes(value.round));
                writer
                    .bytes(&value.proposer.0.0)
                    .bytes(&value.value.0.0)
                    .u8(u8::from(value.validity.is_valid()));
            }
            Input::Vote(_)
            | Input::Proposal(_)
            | Input::PolkaCertificate(_)
            | Input::RoundCertificate(_)
            | Input::StartHeight(..)
            | Input::Propose(_)
            | Input::SyncValueResponse(_) => {
                let message =
                    message_of(&self.input).map_or_else(Vec::new, |message| message.encode());
                writer.u8(1).bytes(&message);
            }
        }
        writer.finish()
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let height = EnterpriseHeight(reader.u64()?);
        let input = match reader.u8()? {
            1 => {
                let rest = reader.bytes(reader.remaining())?;
                input_of(Message::decode(rest)?)
            }
            2 => Input::TimeoutElapsed(read_timeout(&mut reader)?),
            3 => {
                let round = Round::Some(reader.u32()?);
                let proposer = Address(reader.public_key()?);
                let value = BlockId(reader.hash()?);
                let validity = match reader.u8()? {
                    0 => Validity::Invalid,
                    1 => Validity::Valid,
                    other => return Err(RecordError::Kind(other)),
                };
                let value = ProposedValue {
                    height: Height(height.0),
                    round,
                    valid_round: Round::Nil,
                    proposer,
                    value,
                    validity,
                };
                Input::ProposedValue(value, ValueOrigin::Consensus)
            }
            other => return Err(RecordError::Kind(other)),
        };
        reader.finish()?;
        Ok(Self { height, input })
    }
}

fn read_timeout(reader: &mut Reader<'_>) -> Result<Timeout, RecordError> {
    let kind = match reader.u8()? {
        1 => TimeoutKind::Propose,
        2 => TimeoutKind::Prevote,
        3 => TimeoutKind::Precommit,
        other => return Err(RecordError::Kind(other)),
    };
    Ok(Timeout::new(round_from(reader.u32()?), kind))
}

fn message_of(input: &Input) -> Option<Message> {
    let kind = match input {
        Input::Vote(vote) => Kind::Vote(vote.clone()),
        Input::Proposal(proposal) => Kind::Proposal(proposal.clone()),
        Input::PolkaCertificate(certificate) => Kind::Polka(certificate.clone()),
        Input::RoundCertificate(certificate) => Kind::Round(certificate.clone()),
        Input::StartHeight(..)
        | Input::Propose(_)
        | Input::TimeoutElapsed(_)
        | Input::ProposedValue(..)
        | Input::SyncValueResponse(_) => return None,
    };
    Some(Message(kind))
}

/// The core's input for a message.
pub(super) fn input_of(message: Message) -> Input {
    match message.0 {
        Kind::Proposal(proposal) => Input::Proposal(proposal),
        Kind::Vote(vote) => Input::Vote(vote),
        Kind::Polka(certificate) => Input::PolkaCertificate(certificate),
        Kind::Round(certificate) => Input::RoundCertificate(certificate),
    }
}
