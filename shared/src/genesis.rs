//! The genesis: what a network is, and the bytes whose hash everything is keyed by.
//!
//! Layout, big-endian: format u16 (1) | network id (u8 length, text) | interval ms u32 | initial target u32 | block
//! bytes u32 | block transactions u16 | transaction bytes u32 | message bytes u32 | sender quota u16 | stamp bits u8 |
//! finality delay ms u64 | created at u48 | owner 32 | enterprise genesis (u8 0 or 1, then 32) | predecessor (u8 0 or 1,
//! then chain id 32, height u32, hash 32, signature 64) | access (u8 0 open; 1 private, then join key 32, u8 count,
//! reporter keys 32 each, ascending).
//!
//! `chain_id = SHA-256("distli/genesis/1" ‖ bytes)`. A decoded genesis has every field in its range ([`limits`]); one
//! made by hand is checked by [`Genesis::checked`].

use alloc::vec::Vec;

use ethnum::U256;

use crate::{
    encoding::{DecodeError, Reader, Writer, in_range},
    hash::{Hash, sha256},
    identity::{self, Identity, SignatureError},
    ids::{ChainId, Height, NetworkId, PublicKey, Signature, TimestampMs},
    limits,
    pow::{CompactTarget, Target},
    transaction,
};

/// The adjustable rules of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Target block interval T, ms.
    pub interval_ms: u32,
    /// Target of the first block, and the anchor of the difficulty.
    pub initial_target: CompactTarget,
    /// Largest encoded block, bytes.
    pub block_bytes_max: u32,
    /// Most transactions in a block.
    pub block_transactions_max: u16,
    /// Largest encoded transaction, bytes.
    pub transaction_bytes_max: u32,
    /// Longest message text, bytes of UTF-8.
    pub message_bytes_max: u32,
    /// Most pending transactions of one sender.
    pub sender_quota: u16,
    /// Leading zero bits of a transaction's stamp.
    pub stamp_bits: u8,
    /// How long a reported block waits until it is final, ms of enterprise time.
    pub finality_delay_ms: u64,
}

impl Rules {
    /// The rules of an open network that chooses nothing but its initial difficulty.
    #[must_use]
    pub fn open_default(initial: CompactTarget) -> Self {
        Self {
            interval_ms: limits::INTERVAL_MS_DEFAULT,
            initial_target: initial,
            block_bytes_max: limits::BLOCK_BYTES_DEFAULT,
            block_transactions_max: limits::BLOCK_TRANSACTIONS_DEFAULT,
            transaction_bytes_max: limits::TRANSACTION_BYTES_DEFAULT,
            message_bytes_max: limits::MESSAGE_BYTES_DEFAULT,
            sender_quota: limits::SENDER_QUOTA_DEFAULT,
            stamp_bits: limits::STAMP_BITS_DEFAULT,
            finality_delay_ms: u64::from(limits::INTERVAL_MS_DEFAULT)
                .saturating_mul(limits::FINALITY_DELAY_INTERVALS),
        }
    }

    /// The target block interval T in ms.
    #[must_use]
    pub fn interval(&self) -> u64 {
        u64::from(self.interval_ms).max(1)
    }

    /// The easiest target a block may have: the initial one times sixteen.
    #[must_use]
    pub fn floor_target(&self) -> Target {
        let initial = self.initial_target.target();
        let eased = initial
            .value()
            .saturating_mul(U256::from(limits::DIFFICULTY_FLOOR_DIVISOR));
        Target::new(eased).unwrap_or(initial)
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .u32(self.interval_ms)
            .u32(self.initial_target.bits())
            .u32(self.block_bytes_max)
            .u16(self.block_transactions_max)
            .u32(self.transaction_bytes_max)
            .u32(self.message_bytes_max)
            .u16(self.sender_quota)
            .u8(self.stamp_bits)
            .u64(self.finality_delay_ms);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            interval_ms: reader.u32()?,
            initial_target: CompactTarget::from_bits(reader.u32()?)?,
            block_bytes_max: reader.u32()?,
            block_transactions_max: reader.u16()?,
            transaction_bytes_max: reader.u32()?,
            message_bytes_max: reader.u32()?,
            sender_quota: reader.u16()?,
            stamp_bits: reader.u8()?,
            finality_delay_ms: reader.u64()?,
        })
    }

    fn in_ranges(&self) -> Result<(), DecodeError> {
        let overhead = transaction::OVERHEAD_BYTES;
        let transaction_most = limits::TRANSACTION_BYTES_MAX.min(self.block_bytes_max / 2);
        let message_most = self.transaction_bytes_max.saturating_sub(overhead);
        let bits = 256 - self.initial_target.target().value().leading_zeros();
        let ranges = [
            (
                "interval ms",
                self.interval_ms.into(),
                limits::INTERVAL_MS_MIN.into(),
                limits::INTERVAL_MS_MAX.into(),
            ),
            (
                "bits of the initial target",
                bits.into(),
                limits::INITIAL_TARGET_BITS_MIN.into(),
                limits::INITIAL_TARGET_BITS_MAX.into(),
            ),
            (
                "block bytes",
                self.block_bytes_max.into(),
                limits::BLOCK_BYTES_MIN.into(),
                limits::BLOCK_BYTES_MAX.into(),
            ),
            (
                "block transactions",
                self.block_transactions_max.into(),
                1,
                limits::BLOCK_TRANSACTIONS_MAX.into(),
            ),
            (
                "transaction bytes",
                self.transaction_bytes_max.into(),
                limits::TRANSACTION_BYTES_MIN.into(),
                transaction_most.into(),
            ),
            (
                "message bytes",
                self.message_bytes_max.into(),
                1,
                message_most.into(),
            ),
            (
                "sender quota",
                self.sender_quota.into(),
                1,
                limits::SENDER_QUOTA_MAX.into(),
            ),
            (
                "stamp bits",
                self.stamp_bits.into(),
                0,
                limits::STAMP_BITS_MAX.into(),
            ),
            (
                "finality delay ms",
                self.finality_delay_ms,
                0,
                limits::FINALITY_DELAY_MS_MAX,
            ),
        ];
        ranges
            .into_iter()
            .try_for_each(|(field, found, min, max)| in_range(field, found, min, max))
    }
}

/// Who may join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Open,
    /// Who holds the invite.
    Private {
        /// Key whose signature admits a joiner.
        join_key: PublicKey,
        /// Keys that may report blocks, ascending.
        reporters: Vec<PublicKey>,
    },
}

/// The final block of the chain this one succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// The chain that is succeeded.
    pub chain_id: ChainId,
    /// Height of its last block.
    pub height: Height,
    /// Hash of its last block.
    pub hash: Hash,
    /// The predecessor's owner's signature over the new genesis with this field zero, domain [`SUCCESSOR_DOMAIN`].
    pub signature: Signature,
}

/// Domain of the signature that names a successor.
pub const SUCCESSOR_DOMAIN: &str = "distli/successor/1";

/// What a network is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The label.
    pub network_id: NetworkId,
    /// The rules.
    pub rules: Rules,
    /// Creation time; the first block's timestamp is above it.
    pub created_at: TimestampMs,
    /// The owner's key.
    pub owner: PublicKey,
    /// Hash of the enterprise genesis this chain anchors to.
    pub enterprise_genesis: Option<Hash>,
    /// The chain it succeeds.
    pub predecessor: Option<Predecessor>,
    /// Who may join.
    pub access: Access,
}

impl Genesis {
    /// The identity of this chain.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        ChainId(sha256(&[b"distli/genesis/1", &self.encode()]))
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(256);
        let label = self.network_id.as_str();
        writer
            .u16(FORMAT)
            .u8(u8::try_from(label.len()).unwrap_or(u8::MAX))
            .bytes(label.as_bytes());
        self.rules.write(&mut writer);
        writer.timestamp(self.created_at).bytes(&self.owner.0);
        match &self.enterprise_genesis {
            None => writer.u8(0),
            Some(hash) => writer.u8(1).bytes(&hash.0),
        };
        match &self.predecessor {
            None => writer.u8(0),
            Some(p) => writer
                .u8(1)
                .bytes(&p.chain_id.0.0)
                .u32(p.height.0)
                .bytes(&p.hash.0)
                .bytes(&p.signature.0),
        };
        match &self.access {
            Access::Open => {
                writer.u8(0);
            }
            Access::Private {
                join_key,
                reporters,
            } => {
                writer
                    .u8(1)
                    .bytes(&join_key.0)
                    .u8(u8::try_from(reporters.len()).unwrap_or(u8::MAX));
                for key in reporters {
                    writer.bytes(&key.0);
                }
            }
        }
        writer.finish()
    }

    /// Parses the canonical bytes and checks every range.
    ///
    /// # Errors
    /// The bytes are not canonical or a field is out of its range.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        in_range(
            "genesis bytes",
            bytes.len() as u64,
            0,
            limits::GENESIS_BYTES_MAX as u64,
        )?;
        let mut reader = Reader::new(bytes);
        let genesis = Self::read(&mut reader)?;
        reader.finish()?;
        genesis.checked()
    }

    /// Passes a genesis on if every field is in its range.
    ///
    /// # Errors
    /// Names the first field that is not.
    pub fn checked(self) -> Result<Self, DecodeError> {
        self.rules.in_ranges()?;
        in_range("created at", self.created_at.0, 0, TimestampMs::MAX.0)?;
        if let Access::Private { reporters, .. } = &self.access {
            in_range(
                "reporters",
                reporters.len() as u64,
                1,
                limits::REPORTERS_MAX as u64,
            )?;
            let ascending = reporters.is_sorted_by(|a, b| a < b);
            in_range("reporters in ascending order", ascending.into(), 1, 1)?;
        }
        Ok(self)
    }

    /// The same as the successor of a chain that ends at `last` (height and hash), signed by that chain's owner.
    #[must_use]
    pub fn succeed(mut self, chain_id: ChainId, last: (Height, Hash), owner: &Identity) -> Self {
        let (height, hash) = last;
        let mut predecessor = Predecessor {
            chain_id,
            height,
            hash,
            signature: Signature([0; 64]),
        };
        self.predecessor = Some(predecessor.clone());
        predecessor.signature = owner.sign(SUCCESSOR_DOMAIN, chain_id, &self.encode());
        self.predecessor = Some(predecessor);
        self
    }

    /// Checks that the owner of `old` made this its successor.
    ///
    /// # Errors
    /// It names no predecessor or another one, or the owner did not sign it.
    pub fn check_successor(&self, old: &Self) -> Result<(), SuccessorError> {
        let chain_id = old.chain_id();
        let predecessor = self.predecessor.as_ref().ok_or(SuccessorError::None)?;
        if predecessor.chain_id != chain_id {
            let found = predecessor.chain_id;
            return Err(SuccessorError::Other { found });
        }
        let mut unsigned = self.clone();
        unsigned.predecessor = Some(Predecessor {
            signature: Signature([0; 64]),
            ..predecessor.clone()
        });
        identity::verify(
            SUCCESSOR_DOMAIN,
            chain_id,
            &old.owner,
            &unsigned.encode(),
            &predecessor.signature,
        )
        .map_err(SuccessorError::Signature)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        in_range(
            "genesis format",
            reader.u16()?.into(),
            FORMAT.into(),
            FORMAT.into(),
        )?;
        let label_len = reader.u8()?.into();
        let label =
            core::str::from_utf8(reader.bytes(label_len)?).map_err(|_| DecodeError::NotUtf8 {
                field: "network id",
            })?;
        Ok(Self {
            network_id: NetworkId::parse(label)?,
            rules: Rules::read(reader)?,
            created_at: reader.timestamp()?,
            owner: reader.public_key()?,
            enterprise_genesis: read_option(reader, "enterprise genesis", |reader| reader.hash())?,
            predecessor: read_option(reader, "predecessor", read_predecessor)?,
            access: read_access(reader)?,
        })
    }
}

/// A genesis is not the successor of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessorError {
    /// It succeeds none.
    #[error("the network succeeds no other")]
    None,
    /// It succeeds another.
    #[error("the network succeeds chain {found}, not this one")]
    Other {
        /// The chain that it names.
        found: ChainId,
    },
    /// The owner did not sign it.
    #[error("the owner's signature on the successor: {0}")]
    Signature(SignatureError),
}

fn read_option<T>(
    reader: &mut Reader<'_>,
    field: &'static str,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    let present = reader.u8()?;
    in_range(field, present.into(), 0, 1)?;
    if present == 0 {
        Ok(None)
    } else {
        read(reader).map(Some)
    }
}

fn read_predecessor(reader: &mut Reader<'_>) -> Result<Predecessor, DecodeError> {
    Ok(Predecessor {
        chain_id: ChainId(reader.hash()?),
        height: Height(reader.u32()?),
        hash: reader.hash()?,
        signature: reader.signature()?,
    })
}

fn read_access(reader: &mut Reader<'_>) -> Result<Access, DecodeError> {
    let tag = reader.u8()?;
    in_range("access", tag.into(), 0, 1)?;
    if tag == 0 {
        return Ok(Access::Open);
    }
    let join_key = reader.public_key()?;
    let count = reader.u8()?;
    let reporters = (0..count)
        .map(|_| reader.public_key())
        .collect::<Result<_, _>>()?;
    Ok(Access::Private {
        join_key,
        reporters,
    })
}

const FORMAT: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pow::Target;

    fn genesis() -> Genesis {
        Genesis {
            network_id: NetworkId::parse("net").unwrap(),
            rules: Rules::open_default(Target::for_hashes(1 << 20).to_compact()),
            created_at: TimestampMs(1_700_000_000_000),
            owner: PublicKey([7; 32]),
            enterprise_genesis: Some(Hash([1; 32])),
            predecessor: Some(Predecessor {
                chain_id: ChainId(Hash([2; 32])),
                height: Height(9),
                hash: Hash([3; 32]),
                signature: Signature([4; 64]),
            }),
            access: Access::Private {
                join_key: PublicKey([5; 32]),
                reporters: vec![PublicKey([6; 32]), PublicKey([7; 32])],
            },
        }
    }

    #[test]
    fn every_field_comes_back() {
        let full = genesis();
        assert_eq!(Genesis::decode(&full.encode()).unwrap(), full);
        let open = Genesis {
            enterprise_genesis: None,
            predecessor: None,
            access: Access::Open,
            ..full
        };
        assert_eq!(Genesis::decode(&open.encode()).unwrap(), open);
    }

    #[test]
    fn every_prefix_and_every_extension_is_refused() {
        let mut bytes = genesis().encode();
        for len in 0..bytes.len() {
            assert!(Genesis::decode(&bytes[..len]).is_err(), "{len}");
        }
        bytes.push(0);
        assert!(Genesis::decode(&bytes).is_err());
    }

    #[test]
    fn rules_out_of_range_are_refused() {
        let breaks: [fn(&mut Rules); 9] = [
            |r| r.interval_ms = 1_999,
            |r| r.interval_ms = 60_001,
            |r| r.initial_target = Target::for_hashes(1).to_compact(),
            |r| r.block_bytes_max = 1 << 30,
            |r| r.block_transactions_max = 0,
            |r| r.transaction_bytes_max = r.block_bytes_max,
            |r| r.message_bytes_max = r.transaction_bytes_max,
            |r| r.stamp_bits = 21,
            |r| r.finality_delay_ms = u64::MAX,
        ];
        for (index, change) in breaks.into_iter().enumerate() {
            let mut broken = genesis();
            change(&mut broken.rules);
            assert!(Genesis::decode(&broken.encode()).is_err(), "{index}");
        }
    }

    #[test]
    fn the_chain_id_depends_on_every_rule() {
        let mut other = genesis();
        other.rules.finality_delay_ms += 1;
        assert_ne!(other.chain_id(), genesis().chain_id());
    }
}
