//! Every bound of the tenant chain in one place.
//!
//! A genesis chooses its rules inside the ranges below; the bounds of in-memory collections are the same everywhere.
//! What happens at a bound is said where it is enforced.

/// Shortest target block interval a genesis may choose, ms.
pub const INTERVAL_MS_MIN: u32 = 2_000;
/// Longest target block interval a genesis may choose, ms.
pub const INTERVAL_MS_MAX: u32 = 60_000;
/// Target block interval of a network that chooses none, ms.
pub const INTERVAL_MS_DEFAULT: u32 = 10_000;

/// Smallest block size limit a genesis may choose, bytes.
pub const BLOCK_BYTES_MIN: u32 = 4 * 1024;
/// Largest block size limit a genesis may choose, bytes; a block must fit into one logical message.
pub const BLOCK_BYTES_MAX: u32 = 768 * 1024;
/// Block size limit of a network that chooses none, bytes.
pub const BLOCK_BYTES_DEFAULT: u32 = 256 * 1024;
/// Largest limit of transactions in a block a genesis may choose.
pub const BLOCK_TRANSACTIONS_MAX: u16 = 4_096;
/// Transactions in a block of a network that chooses no limit.
pub const BLOCK_TRANSACTIONS_DEFAULT: u16 = 1_000;

/// Smallest transaction size limit a genesis may choose, bytes.
pub const TRANSACTION_BYTES_MIN: u32 = 256;
/// Largest transaction size limit a genesis may choose, bytes.
pub const TRANSACTION_BYTES_MAX: u32 = 64 * 1024;
/// Transaction size limit of a network that chooses none, bytes.
pub const TRANSACTION_BYTES_DEFAULT: u32 = 16 * 1024;
/// Message text limit of a network that chooses none, bytes of UTF-8.
pub const MESSAGE_BYTES_DEFAULT: u32 = 4 * 1024;

/// Most leading zero bits a genesis may ask of a transaction's stamp.
pub const STAMP_BITS_MAX: u8 = 20;
/// Leading zero bits of a stamp in an open network that chooses none.
pub const STAMP_BITS_DEFAULT: u8 = 12;

/// Pending transactions a sender may have in a network that chooses no quota.
pub const SENDER_QUOTA_DEFAULT: u16 = 64;
/// Largest sender quota a genesis may choose.
pub const SENDER_QUOTA_MAX: u16 = 5_000;

/// Longest finality delay a genesis may choose, ms (one day).
pub const FINALITY_DELAY_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Finality delay of a network that chooses none, in target block intervals.
pub const FINALITY_DELAY_INTERVALS: u64 = 6;

/// Largest encoded genesis, bytes; 64 reporter keys fit.
pub const GENESIS_BYTES_MAX: usize = 4 * 1024;
/// Most reporter keys of a private network.
pub const REPORTERS_MAX: usize = 64;
/// Longest network id, characters.
pub const NETWORK_ID_CHARS_MAX: usize = 63;

/// How far the base difficulty may fall below the initial one: a factor.
pub const DIFFICULTY_FLOOR_DIVISOR: u32 = 16;
/// Largest initial target is `2^this`: at least 16 expected hashes a block, so that sixteen times easier is still a target.
pub const INITIAL_TARGET_BITS_MAX: u32 = 252;
/// Smallest initial target is `2^this`: the arithmetic keeps its precision far beyond any tenant's power.
pub const INITIAL_TARGET_BITS_MIN: u32 = 160;
/// Half-life of the difficulty, and the longest gap that counts as active time, in target block intervals.
pub const HALF_LIFE_INTERVALS: u64 = 20;
/// The target of a late block starts to ease after so many intervals.
pub const EASING_START_INTERVALS: u64 = 6;
/// A late block's target doubles once in so many intervals.
pub const EASING_STEP_INTERVALS: u64 = 3;
/// How far ahead of the clock a header may be before it is held, in target block intervals.
pub const FUTURE_INTERVALS_MAX: u64 = 2;

/// Hashes of invalid blocks that a chain remembers; the oldest is forgotten first and would only be checked again.
pub const INVALID_REMEMBERED_MAX: usize = 1_024;
/// Headers beside the main chain and the best header's branch; the leaf with the least work is dropped first.
pub const SIDE_HEADERS_MAX: usize = 4_096;
/// Largest encoded snapshot, bytes: 838,000 senders. A larger state has none, and its chain is synced by bodies.
pub const SNAPSHOT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Hashes in a locator.
pub const LOCATOR_MAX: usize = 64;

/// Transactions in the mempool; beyond, the lowest stamp is evicted.
pub const MEMPOOL_TRANSACTIONS_MAX: usize = 5_000;
/// Bytes of transactions in the mempool; beyond, the lowest stamp is evicted.
pub const MEMPOOL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Transactions in the mempool that one peer may have brought.
pub const MEMPOOL_PEER_QUOTA: usize = 2_500;
