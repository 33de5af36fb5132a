//! The bytes that two people copy between two browsers: an invitation there, an answer back.
//!
//! ```text
//! invitation: version 1 (=1) | kind 1 (=1) | expires 6 | key 32 | incarnation 8 | genesis length 4 | genesis | description | signature 64
//! answer:     version 1 (=1) | kind 1 (=2) | chain id 32 | invited by 32 | its incarnation 8 | key 32 | incarnation 8 | description | signature 64
//! ```
//!
//! Descriptions are reduced ones ([`super::description`]). The signature is by `key` under [`PAIRING_DOMAIN`] and the chain id, over
//! everything before it; it is the check sum too. At most [`PAIRING_BYTES_MAX`] bytes. The genesis inside lets the guest open a
//! network that no tracker tells of. An answer counts once, for the invitation whose incarnation it names.

use alloc::vec::Vec;

use crate::encoding::{DecodeError, Reader, Writer};
use crate::genesis::Genesis;
use crate::identity::{Identity, verify};
use crate::ids::{ChainId, PeerId, PublicKey, Signature, TimestampMs};
use crate::limits::GENESIS_BYTES_MAX;

use super::description::Description;
use super::limits::PAIRING_BYTES_MAX;
use super::wire::Incarnation;

/// Domain of the signatures on invitations and answers.
pub const PAIRING_DOMAIN: &str = "distli/pairing/1";

/// An invitation whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    genesis: Vec<u8>,
    chain: ChainId,
    expires_at: TimestampMs,
    key: PublicKey,
    pub(super) incarnation: Incarnation,
    pub(super) description: Description,
}

/// An answer whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) chain: ChainId,
    pub(super) host: PeerId,
    pub(super) host_incarnation: Incarnation,
    pub(super) key: PublicKey,
    pub(super) incarnation: Incarnation,
    pub(super) description: Description,
}

/// Why an invitation or an answer is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairingError {
    /// Larger than any.
    #[error("the text holds {found} bytes, {allowed} are allowed")]
    TooLong {
        /// Bytes given.
        found: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// Of a newer program.
    #[error("the text is of version {found}, this program reads {supported}")]
    Version {
        /// Its version.
        found: u8,
        /// Ours.
        supported: u8,
    },
    /// An answer where an invitation is wanted.
    #[error("this is no invitation, but an answer to one")]
    NoInvitation,
    /// An invitation where an answer is wanted.
    #[error("this is no answer, but an invitation")]
    NoAnswer,
    /// Cut off or changed.
    #[error("the text is damaged: {0}")]
    Damaged(#[from] DecodeError),
    /// Changed, or made up.
    #[error("the text is damaged: its signature does not hold")]
    Signature,
    /// Of another network than the one that is open.
    #[error("the text is of another network, of chain {found}")]
    OtherChain {
        /// Its chain.
        found: ChainId,
    },
    /// Too old.
    #[error("the invitation expired")]
    Expired,
    /// Made by this very tab.
    #[error("this tab made the invitation itself")]
    Own,
    /// There is a link already.
    #[error("this tab is linked to peer {peer} already")]
    AlreadyLinked {
        /// To whom.
        peer: PeerId,
    },
    /// To an invitation that this tab did not make, or that was answered or expired.
    #[error("the answer is to no invitation that is open in this tab")]
    NotInvited,
    /// Too many at once.
    #[error("{allowed} invitations and answers are open already")]
    TooMany {
        /// How many are allowed.
        allowed: usize,
    },
    /// Connections were made too quickly.
    #[error("too many connections were made lately")]
    Busy,
    /// The browser did not make a connection, or none that can be described.
    #[error("the browser made no connection that can be described")]
    NoConnection,
}

impl Invitation {
    /// Reads and checks an invitation; whether it expired is for who uses it.
    ///
    /// # Errors
    /// [`PairingError`] says what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, PairingError> {
        let mut reader = opened(bytes, INVITATION, PairingError::NoInvitation)?;
        let expires_at = reader.timestamp()?;
        let key = reader.public_key()?;
        let incarnation = Incarnation(reader.u64()?);
        let genesis_bytes_max = u32::try_from(GENESIS_BYTES_MAX).unwrap_or(u32::MAX);
        let genesis = reader.counted_bytes("genesis", genesis_bytes_max)?;
        let chain = Genesis::decode(genesis)?.chain_id();
        let description = Description::read(&mut reader)?;
        check_signature(reader, bytes, chain, &key)?;
        Ok(Self {
            genesis: genesis.to_vec(),
            chain,
            expires_at,
            key,
            incarnation,
            description,
        })
    }

    /// The bytes of an invitation.
    pub(super) fn encode(
        identity: &Identity,
        genesis: &[u8],
        chain: ChainId,
        (incarnation, expires_at): (Incarnation, TimestampMs),
        description: &Description,
    ) -> Vec<u8> {
        let mut writer = Writer::with_capacity(512);
        writer
            .u8(VERSION)
            .u8(INVITATION)
            .timestamp(expires_at)
            .bytes(&identity.public_key().0)
            .u64(incarnation.0)
            .counted_bytes(genesis);
        description.write(&mut writer);
        signed(writer, identity, chain)
    }

    /// The genesis of the network it leads to, canonical and checked.
    #[must_use]
    pub fn genesis(&self) -> &[u8] {
        &self.genesis
    }

    /// The network's chain.
    #[must_use]
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// When it stops being good.
    #[must_use]
    pub const fn expires_at(&self) -> TimestampMs {
        self.expires_at
    }

    /// Who invites.
    #[must_use]
    pub fn host(&self) -> PeerId {
        PeerId::of(&self.key)
    }
}

impl Answer {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, PairingError> {
        let mut reader = opened(bytes, ANSWER, PairingError::NoAnswer)?;
        let answer = Self {
            chain: ChainId(reader.hash()?),
            host: PeerId(reader.hash()?),
            host_incarnation: Incarnation(reader.u64()?),
            key: reader.public_key()?,
            incarnation: Incarnation(reader.u64()?),
            description: Description::read(&mut reader)?,
        };
        check_signature(reader, bytes, answer.chain, &answer.key)?;
        Ok(answer)
    }

    pub(super) fn encode(&self, identity: &Identity) -> Vec<u8> {
        let mut writer = Writer::with_capacity(384);
        writer
            .u8(VERSION)
            .u8(ANSWER)
            .bytes(&self.chain.0.0)
            .bytes(&self.host.0.0)
            .u64(self.host_incarnation.0)
            .bytes(&self.key.0)
            .u64(self.incarnation.0);
        self.description.write(&mut writer);
        signed(writer, identity, self.chain)
    }

    pub(super) fn guest(&self) -> PeerId {
        PeerId::of(&self.key)
    }
}

const VERSION: u8 = 1;
const INVITATION: u8 = 1;
const ANSWER: u8 = 2;
const SIGNATURE_BYTES: usize = 64;

/// A reader behind version and kind.
fn opened(bytes: &[u8], kind: u8, other: PairingError) -> Result<Reader<'_>, PairingError> {
    if bytes.len() > PAIRING_BYTES_MAX {
        return Err(PairingError::TooLong {
            found: bytes.len(),
            allowed: PAIRING_BYTES_MAX,
        });
    }
    let mut reader = Reader::new(bytes);
    let version = reader.u8()?;
    if version != VERSION {
        return Err(PairingError::Version {
            found: version,
            supported: VERSION,
        });
    }
    let found = reader.u8()?;
    if found != kind {
        let is_other = found == INVITATION || found == ANSWER;
        return Err(if is_other {
            other
        } else {
            PairingError::Signature
        });
    }
    Ok(reader)
}

fn check_signature(
    mut reader: Reader<'_>,
    bytes: &[u8],
    chain: ChainId,
    key: &PublicKey,
) -> Result<(), PairingError> {
    let signature = reader.signature()?;
    reader.finish()?;
    let signed = bytes
        .len()
        .checked_sub(SIGNATURE_BYTES)
        .and_then(|length| bytes.get(..length))
        .ok_or(PairingError::Signature)?;
    verify(PAIRING_DOMAIN, chain, key, signed, &signature).map_err(|_| PairingError::Signature)
}

fn signed(writer: Writer, identity: &Identity, chain: ChainId) -> Vec<u8> {
    let mut bytes = writer.finish();
    let Signature(signature) = identity.sign(PAIRING_DOMAIN, chain, &bytes);
    bytes.extend_from_slice(&signature);
    bytes
}
