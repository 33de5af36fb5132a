//! Transactions: signed values of one sender in sequence, each with a stamp of work instead of a fee.
//!
//! Layout, big-endian: kind u8 (1 message, 2 record) | algorithm u8 (1 = Ed25519) | sender 32 | sequence u64 | timestamp
//! u48 | payload (u32 length, bytes) | stamp nonce u32 | signature 64. The *stamp* is SHA-256 of all bytes before the
//! signature and must have the rules' leading zero bits; the signature, domain `distli/transaction/1`, covers the same
//! bytes; the id is SHA-256 of all bytes. So a stamp is ground before the one signing, and nobody but the sender can
//! make a second id for the same content (`docs/adr/0001-stamp-inside-signature.md`).
//!
//! A [`Transaction`] is well-formed and stamped, a [`VerifiedTransaction`] is also signed. Whether its sequence is next
//! is for the chain to say.

use alloc::{string::String, vec::Vec};
use core::ops::Deref;

use sha2::{Digest, Sha256};

use crate::{
    encoding::{DecodeError, Reader, Writer},
    genesis::Rules,
    hash::{Hash, sha256},
    identity::{Identity, SignatureError, Verifier, Verify},
    ids::{ChainId, PublicKey, Sequence, Signature, TimestampMs},
};

/// Bytes of a transaction beside its payload.
pub const OVERHEAD_BYTES: u32 = 1 + 1 + 32 + 8 + 6 + 4 + 4 + 64;

/// Domain of a transaction's signature.
pub const DOMAIN: &str = "distli/transaction/1";

/// What a transaction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A text for people, not empty.
    Message(String),
    /// Bytes for programs.
    Record(Vec<u8>),
}

impl Payload {
    /// The payload's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Message(text) => text.as_bytes(),
            Self::Record(bytes) => bytes.as_slice(),
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Message(_) => KIND_MESSAGE,
            Self::Record(_) => KIND_RECORD,
        }
    }

    fn within(self, rules: &Rules) -> Result<Self, TransactionError> {
        let found = self.as_bytes().len();
        match &self {
            Self::Message(text) if text.is_empty() => Err(TransactionError::EmptyMessage),
            Self::Message(_) if found > rules.message_bytes_max as usize => {
                Err(TransactionError::MessageTooLong {
                    found,
                    allowed: rules.message_bytes_max,
                })
            }
            Self::Message(_) | Self::Record(_) => Ok(self),
        }
    }
}

/// A well-formed, stamped transaction whose signature is not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    content: Content,
    stamp: u32,
    signature: Signature,
    id: Hash,
    stamp_bits: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    sender: PublicKey,
    sequence: Sequence,
    timestamp: TimestampMs,
    payload: Payload,
}

impl Transaction {
    /// Parses canonical bytes; everything but the signature is checked.
    ///
    /// # Errors
    /// Not canonical, over a limit of the rules, or the stamp has too few zero bits.
    pub fn decode(bytes: &[u8], rules: &Rules) -> Result<Self, TransactionError> {
        if bytes.len() > rules.transaction_bytes_max as usize {
            return Err(TransactionError::TooLarge {
                found: bytes.len(),
                allowed: rules.transaction_bytes_max,
            });
        }
        let mut reader = Reader::new(bytes);
        let content = Content::read(&mut reader, rules)?;
        let stamp = reader.u32()?;
        let stamped = bytes.len().saturating_sub(reader.remaining());
        let signature = reader.signature()?;
        reader.finish()?;
        let stamp_bits = sha256(&[bytes.get(..stamped).unwrap_or_default()]).leading_zeros();
        if stamp_bits < rules.stamp_bits {
            return Err(TransactionError::Stamp {
                found: stamp_bits,
                allowed: rules.stamp_bits,
            });
        }
        Ok(Self {
            content,
            stamp,
            signature,
            id: sha256(&[bytes]),
            stamp_bits,
        })
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// It does not hold on this chain.
    pub fn verify(self, chain: ChainId) -> Result<VerifiedTransaction, TransactionError> {
        self.verify_by(&mut Verifier::default(), chain)
    }

    /// As [`Transaction::verify`], by what the verifier knows of the sender.
    ///
    /// # Errors
    /// As there.
    pub fn verify_by(
        self,
        verifier: &mut impl Verify,
        chain: ChainId,
    ) -> Result<VerifiedTransaction, TransactionError> {
        let key = self.content.sender;
        verifier.verify(DOMAIN, chain, &key, &self.stamped_bytes(), &self.signature)?;
        Ok(VerifiedTransaction(self))
    }

    /// Makes a transaction: grinds the stamp the rules ask for, then signs once.
    ///
    /// # Errors
    /// The payload is over a limit of the rules, or no nonce gives the stamp (move the timestamp).
    pub fn create(
        identity: &Identity,
        chain: ChainId,
        rules: &Rules,
        sequence: Sequence,
        timestamp: TimestampMs,
        payload: Payload,
    ) -> Result<VerifiedTransaction, TransactionError> {
        let content = Content {
            sender: identity.public_key(),
            sequence,
            timestamp,
            payload,
        };
        Self::stamped(identity, chain, rules, content, rules.stamp_bits)
    }

    /// Makes this transaction again with a stamp of at least `stamp_bits`: the same content under a new id.
    ///
    /// For a sender whose transaction fell below the mempools' relay minimum.
    ///
    /// # Errors
    /// No nonce gives such a stamp, or `identity` is not the sender ([`SignatureError::Key`]).
    pub fn restamped(
        &self,
        identity: &Identity,
        chain: ChainId,
        rules: &Rules,
        stamp_bits: u8,
    ) -> Result<VerifiedTransaction, TransactionError> {
        if identity.public_key() != self.content.sender {
            return Err(SignatureError::Key.into());
        }
        Self::stamped(
            identity,
            chain,
            rules,
            self.content.clone(),
            stamp_bits.max(rules.stamp_bits),
        )
    }

    fn stamped(
        identity: &Identity,
        chain: ChainId,
        rules: &Rules,
        content: Content,
        bits: u8,
    ) -> Result<VerifiedTransaction, TransactionError> {
        let mut bytes = content.encode();
        let stamp = grind(&bytes, bits).ok_or(TransactionError::NoStamp { bits })?;
        bytes.extend_from_slice(&stamp.to_be_bytes());
        bytes.extend_from_slice(&identity.sign(DOMAIN, chain, &bytes).0);
        Self::decode(&bytes, rules).map(VerifiedTransaction)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.stamped_bytes();
        bytes.extend_from_slice(&self.signature.0);
        bytes
    }

    /// Length of the canonical bytes.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        self.content
            .payload
            .as_bytes()
            .len()
            .saturating_add(OVERHEAD_BYTES as usize)
    }

    /// The hash of all bytes.
    #[must_use]
    pub const fn id(&self) -> Hash {
        self.id
    }

    /// The sender's key.
    #[must_use]
    pub const fn sender(&self) -> PublicKey {
        self.content.sender
    }

    /// The sender's counter.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.content.sequence
    }

    /// When the sender says it was made.
    #[must_use]
    pub const fn timestamp(&self) -> TimestampMs {
        self.content.timestamp
    }

    /// What it says.
    #[must_use]
    pub const fn payload(&self) -> &Payload {
        &self.content.payload
    }

    /// Leading zero bits of the stamp, at least the rules'.
    #[must_use]
    pub const fn stamp_bits(&self) -> u8 {
        self.stamp_bits
    }

    fn stamped_bytes(&self) -> Vec<u8> {
        let mut bytes = self.content.encode();
        bytes.extend_from_slice(&self.stamp.to_be_bytes());
        bytes
    }
}

/// A transaction whose signature holds on its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTransaction(Transaction);

impl VerifiedTransaction {
    /// Takes a signature as verified that this process verified before; never for bytes of a stranger.
    pub(crate) const fn already_verified(transaction: Transaction) -> Self {
        Self(transaction)
    }
}

impl Deref for VerifiedTransaction {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        &self.0
    }
}

impl Content {
    fn encode(&self) -> Vec<u8> {
        let payload = self.payload.as_bytes();
        let mut writer =
            Writer::with_capacity(payload.len().saturating_add(OVERHEAD_BYTES as usize));
        writer
            .u8(self.payload.kind())
            .u8(ALGORITHM_ED25519)
            .bytes(&self.sender.0)
            .u64(self.sequence.0)
            .timestamp(self.timestamp)
            .counted_bytes(payload);
        writer.finish()
    }

    fn read(reader: &mut Reader<'_>, rules: &Rules) -> Result<Self, TransactionError> {
        let kind = reader.u8()?;
        let algorithm = reader.u8()?;
        if algorithm != ALGORITHM_ED25519 {
            return Err(TransactionError::Algorithm { found: algorithm });
        }
        let sender = reader.public_key()?;
        let sequence = Sequence(reader.u64()?);
        let timestamp = reader.timestamp()?;
        let bytes = reader
            .counted_bytes("payload bytes", rules.transaction_bytes_max)?
            .to_vec();
        let payload = match kind {
            KIND_MESSAGE => {
                Payload::Message(String::from_utf8(bytes).map_err(|_| TransactionError::NotUtf8)?)
            }
            KIND_RECORD => Payload::Record(bytes),
            found => return Err(TransactionError::Kind { found }),
        };
        Ok(Self {
            sender,
            sequence,
            timestamp,
            payload: payload.within(rules)?,
        })
    }
}

fn grind(content: &[u8], bits: u8) -> Option<u32> {
    let prefix = Sha256::new_with_prefix(content);
    (0..=u32::MAX).find(|nonce| {
        let mut hasher = prefix.clone();
        hasher.update(nonce.to_be_bytes());
        Hash(hasher.finalize().into()).leading_zeros() >= bits
    })
}

/// A transaction is refused for what it is, whatever the chain's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The bytes are not canonical.
    #[error("malformed transaction: {0}")]
    Malformed(#[from] DecodeError),
    /// Too many bytes.
    #[error("the transaction has {found} bytes, allowed are {allowed}")]
    TooLarge {
        /// Its length.
        found: usize,
        /// The rules' limit.
        allowed: u32,
    },
    /// An unknown kind.
    #[error("transaction kind {found} is unknown")]
    Kind {
        /// The tag.
        found: u8,
    },
    /// An unknown signature algorithm.
    #[error("signature algorithm {found} is unknown")]
    Algorithm {
        /// The tag.
        found: u8,
    },
    /// A message without text.
    #[error("the message is empty")]
    EmptyMessage,
    /// A message's text is not UTF-8.
    #[error("the message is not UTF-8")]
    NotUtf8,
    /// A message's text is too long.
    #[error("the message has {found} bytes of text, allowed are {allowed}")]
    MessageTooLong {
        /// Its length.
        found: usize,
        /// The rules' limit.
        allowed: u32,
    },
    /// The stamp has too few leading zero bits.
    #[error("the stamp has {found} zero bits, needed are {allowed}")]
    Stamp {
        /// Leading zero bits found.
        found: u8,
        /// Fewest allowed.
        allowed: u8,
    },
    /// All nonces are used up.
    #[error("no nonce gives a stamp of {bits} zero bits")]
    NoStamp {
        /// Leading zero bits asked for.
        bits: u8,
    },
    /// The signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

const KIND_MESSAGE: u8 = 1;
const KIND_RECORD: u8 = 2;
const ALGORITHM_ED25519: u8 = 1;
