//! Every bound of the dashboard, in one place.

/// Enterprise blocks in a snapshot; older ones are dropped.
pub const BLOCKS_MAX: usize = 20;
/// Transactions listed per enterprise block; the block's `transaction_count` still says how many there are.
pub const BLOCK_TRANSACTIONS_MAX: usize = 20;
/// Tenants in a snapshot, the most recently active ones; `total_tenants` still says how many there are.
pub const TENANTS_MAX: usize = 200;
/// Networks of the tracker's list in a snapshot, in the list's order.
pub const NETWORKS_MAX: usize = 200;
/// Characters of a shown text; what is longer is cut and ends in an ellipsis.
pub const TEXT_CHARS_MAX: usize = 500;
/// Pages that follow the stream at once; a further one is answered 503.
pub const STREAMS_MAX: usize = 256;
/// Bytes of one event of the validator's stream; a longer one ends the connection, which is then made anew.
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Changes that come within this time are shown together.
pub const COALESCE_MS: u64 = 20;
/// How often the tracker is asked.
pub const TRACKER_INTERVAL_MS: u64 = 1_000;
/// How long one request to a followed service may take.
pub const REQUEST_TIMEOUT_MS: u64 = 3_000;
/// A validator's stream that is silent for this long is made anew; the validator sends a comment every 15 s or sooner.
pub const STREAM_SILENCE_MS: u64 = 40_000;
/// The first pause before a lost validator is tried again; it doubles up to [`RETRY_MAX_MS`].
pub const RETRY_MIN_MS: u64 = 200;
/// The longest pause between two tries.
pub const RETRY_MAX_MS: u64 = 3_000;
