//! From verified values to shapes, and from shapes to unchecked values.
//!
//! The bytes win: a shape whose decorated field differs from what its bytes say is refused, so nobody can show one
//! thing to people and another to the chain. A message's `text` may be left out; where it is given it must be right.

use shared::block::{Block, MinerRecord, UncheckedBlock};
use shared::encoding::{DecodeError, Reader};
use shared::hash::sha256;
use shared::header::Header;
use shared::limits;
use shared::report::ReportError;
use shared::transaction::{Payload, Transaction};

use crate::tenant::{TenantBlock, TenantTransaction, TransactionKind};

/// A shape does not say what its bytes say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A field is not lower-case hex.
    #[error("{field} is not lower-case hexadecimal")]
    Hex {
        /// The field.
        field: &'static str,
    },
    /// The bytes of a field are malformed.
    #[error("{field}: {error}")]
    Malformed {
        /// The field.
        field: &'static str,
        /// What is wrong with them.
        error: DecodeError,
    },
    /// A decorated field differs from the bytes.
    #[error("{field} is {found}, but its bytes say {actual}")]
    Differs {
        /// The field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What the bytes say.
        actual: String,
    },
    /// A field is longer than it may be.
    #[error("{field} has {found} characters, allowed are {allowed}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// How many it has.
        found: usize,
        /// How many it may have.
        allowed: usize,
    },
    /// The bytes are no sealed block.
    #[error("raw: {0}")]
    Reported(#[from] ReportError),
    /// A block has more transactions than any network allows.
    #[error("a block of {found} transactions, allowed are {allowed}")]
    TooManyTransactions {
        /// How many it has.
        found: usize,
        /// How many it may have.
        allowed: usize,
    },
}

impl TenantBlock {
    /// The block without the texts of its messages: shorter, for reports to programs that read the bytes.
    #[must_use]
    pub fn without_texts(block: &Block) -> Self {
        let mut shape = Self::from(block);
        for transaction in &mut shape.transactions {
            transaction.text = None;
        }
        shape
    }
}

impl From<&Block> for TenantBlock {
    fn from(block: &Block) -> Self {
        let header = block.header();
        Self {
            block_id: header.height.0,
            block_hash: block.hash().to_string(),
            previous_hash: header.previous.to_string(),
            timestamp: header.timestamp.0,
            header: hex::encode(header.encode()),
            miner: hex::encode(block.miner().encode()),
            transactions: block
                .transactions()
                .iter()
                .map(|transaction| TenantTransaction::from(&**transaction))
                .collect(),
        }
    }
}

impl From<&Transaction> for TenantTransaction {
    fn from(transaction: &Transaction) -> Self {
        let (kind, text) = match transaction.payload() {
            Payload::Message(text) => (TransactionKind::Message, Some(text.clone())),
            Payload::Record(_) => (TransactionKind::Record, None),
        };
        Self {
            tx_id: transaction.id().to_string(),
            from: transaction.sender().to_string(),
            sequence: transaction.sequence().0,
            timestamp: transaction.timestamp().0,
            kind,
            text,
            raw: hex::encode(transaction.encode()),
        }
    }
}

impl TryFrom<&TenantBlock> for UncheckedBlock {
    type Error = ShapeError;

    fn try_from(shape: &TenantBlock) -> Result<Self, ShapeError> {
        let header =
            Header::decode(&bytes("header", &shape.header)?).map_err(malformed("header"))?;
        same("block_id", &shape.block_id, &header.height.0)?;
        same("block_hash", &shape.block_hash, &header.hash().to_string())?;
        same(
            "previous_hash",
            &shape.previous_hash,
            &header.previous.to_string(),
        )?;
        same("timestamp", &shape.timestamp, &header.timestamp.0)?;
        let (found, allowed) = (
            shape.transactions.len(),
            usize::from(limits::BLOCK_TRANSACTIONS_MAX),
        );
        if found > allowed {
            return Err(ShapeError::TooManyTransactions { found, allowed });
        }
        let miner_bytes = bytes("miner", &shape.miner)?;
        let mut reader = Reader::new(&miner_bytes);
        let miner = MinerRecord::read(&mut reader).map_err(malformed("miner"))?;
        reader.finish().map_err(malformed("miner"))?;
        let transactions = shape
            .transactions
            .iter()
            .map(TenantTransaction::raw_bytes)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            header,
            miner,
            transactions,
        })
    }
}

impl TenantTransaction {
    /// The canonical bytes, if every other field says what they say.
    ///
    /// # Errors
    /// The bytes are malformed or a field differs from them. Stamp and signature are not looked at.
    pub fn raw_bytes(&self) -> Result<Vec<u8>, ShapeError> {
        let raw = bytes("raw", &self.raw)?;
        same("tx_id", &self.tx_id, &sha256(&[&raw]).to_string())?;
        let parts = Parts::read(&raw).map_err(malformed("raw"))?;
        same("from", &self.from, &parts.sender)?;
        same("sequence", &self.sequence, &parts.sequence)?;
        same("timestamp", &self.timestamp, &parts.timestamp)?;
        let (kind, kind_name) = match self.kind {
            TransactionKind::Message => (1, "message"),
            TransactionKind::Record => (2, "record"),
        };
        if kind != parts.kind {
            let actual = format!("kind {}", parts.kind);
            return Err(ShapeError::Differs {
                field: "kind",
                found: kind_name.into(),
                actual,
            });
        }
        match &self.text {
            Some(text) if kind != 1 || text.as_bytes() != parts.payload => {
                Err(ShapeError::Differs {
                    field: "text",
                    found: format!("a text of {} bytes", text.len()),
                    actual: format!("another payload of {} bytes", parts.payload.len()),
                })
            }
            Some(_) | None => Ok(raw),
        }
    }
}

/// The decorated parts of a transaction's bytes, in the layout of `shared::transaction`.
struct Parts {
    kind: u8,
    sender: String,
    sequence: u64,
    timestamp: u64,
    payload: Vec<u8>,
}

impl Parts {
    fn read(raw: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(raw);
        let kind = reader.u8()?;
        let _algorithm = reader.u8()?;
        Ok(Self {
            kind,
            sender: reader.public_key()?.to_string(),
            sequence: reader.u64()?,
            timestamp: reader.timestamp()?.0,
            payload: reader
                .counted_bytes("payload bytes", limits::TRANSACTION_BYTES_MAX)?
                .to_vec(),
        })
    }
}

pub(crate) fn bytes(field: &'static str, text: &str) -> Result<Vec<u8>, ShapeError> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(ShapeError::Hex { field });
    }
    hex::decode(text).map_err(|_| ShapeError::Hex { field })
}

fn malformed(field: &'static str) -> impl Fn(DecodeError) -> ShapeError {
    move |error| ShapeError::Malformed { field, error }
}

pub(crate) fn same<T: PartialEq + ToString>(
    field: &'static str,
    found: &T,
    actual: &T,
) -> Result<(), ShapeError> {
    if found == actual {
        return Ok(());
    }
    let found = found.to_string().chars().take(SHOWN_CHARS_MAX).collect();
    Err(ShapeError::Differs {
        field,
        found,
        actual: actual.to_string(),
    })
}

/// So much of a stranger's text goes into an error.
const SHOWN_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests;
