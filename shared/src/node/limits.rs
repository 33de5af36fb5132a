//! Every bound and every delay of the node machine in one place. What happens at a bound is said where it is enforced.

/// Links at a time; a further peer is disconnected.
pub const PEERS_MAX: usize = 64;
/// Up to so many peers, who makes a block or a transaction sends it to each that lacks it, and the others only say that they
/// have it. The mesh seeks six links at least, so
/// one with fewer is linked to everybody there is; with more, nine members can't be told from five hundred.
pub const FULL_MESH_PEERS_MAX: usize = 5;
/// Beyond a full mesh, so many peers get a new block in short and a new transaction whole; the others are told of it.
pub const PUSH_PEERS: usize = 3;
/// Blocks a peer is remembered to have; the oldest is forgotten first and may be sent again.
pub const KNOWN_BLOCKS_MAX: usize = 512;
/// Transactions a peer is remembered to have.
pub const KNOWN_TRANSACTIONS_MAX: usize = 8_192;
/// Peers remembered as refused; the one refused longest ago is forgotten first.
pub const REFUSED_PEERS_MAX: usize = 256;
/// A peer that broke a rule is refused for so long, ms.
pub const REFUSAL_MS: u64 = 10 * 60 * 1_000;

/// Blocks in short that wait for some of their transactions; beyond, a block is asked for whole.
pub const DRAFTS_MAX: usize = 8;
/// Newest main-chain blocks whose transactions may be in a block in short.
pub const DRAFT_DEPTH: u32 = 4;
/// A body asked of one peer is asked of another after this, whatever else the first sends meanwhile, ms.
pub const BODY_MS_MAX: u64 = 8_000;

/// Misbehaviour points at which a peer is refused.
pub const POINTS_MAX: u32 = 100;
/// A point is forgotten after this, ms.
pub const POINT_MS: u64 = 500;
/// Points for a message with something that nobody asked for.
pub const UNASKED_POINTS: u32 = 2;
/// Points for headers that connect to nothing or repeat what the peer told before.
pub const USELESS_HEADERS_POINTS: u32 = 1;
/// Points for a request beyond the peer's share.
pub const GREED_POINTS: u32 = 1;
/// Points for a request that was not answered in time.
pub const SLOWNESS_POINTS: u32 = 4;
/// Points for other transactions of a block than asked for.
pub const WRONG_TRANSACTIONS_POINTS: u32 = 25;
/// Peers whose points are remembered.
pub const SCORES_MAX: usize = 256;
/// Ids of transactions remembered as verified although they are neither pending nor in the chain; the oldest goes first.
pub const VERIFIED_MAX: usize = 8_192;

/// Orphan and held blocks in all; the oldest makes room.
pub const ORPHANS_MAX: usize = 64;
/// Bytes of orphan and held blocks in all.
pub const ORPHAN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Orphan and held blocks of one peer.
pub const ORPHANS_PER_PEER_MAX: usize = 8;
/// A held block is tried again no sooner than this, ms.
pub const HELD_RETRY_MS: u64 = 500;

/// Header requests in flight, over all peers.
pub const HEADER_REQUESTS_MAX: usize = 3;
/// A header request that is not answered goes to another peer after this, ms.
pub const HEADERS_TIMEOUT_MS: u64 = 4_000;
/// A peer that did not answer, or had nothing new, is asked for headers again after this, ms.
pub const HEADERS_PAUSE_MS: u64 = 10_000;
/// Bytes of bodies in flight from one peer, judged by the length of those that it gave; so the next are on their way while some
/// are verified and made durable.
pub const BODY_BYTES_IN_FLIGHT: usize = 1024 * 1024;
/// Bodies in flight from a peer that has given none.
pub const BODIES_PER_PEER_FIRST: usize = 32;
/// Long bodies in flight from one peer.
pub const BODIES_PER_PEER_MIN: usize = 16;
/// Short bodies in flight from one peer.
pub const BODIES_PER_PEER_MAX: usize = 192;
/// Bodies are asked of a peer when one in so many of those that it may have in flight is free: many to a message.
pub const BODIES_ASKED_SHARE: usize = 4;
/// How far above the lowest missing body others are asked for, in blocks.
pub const BODY_WINDOW: u32 = 512;
/// Without a body from a peer for so long, its requests go to others, ms; doubled with every stall in a row.
pub const STALL_MS: u64 = 2_000;
/// Longest stall time, ms.
pub const STALL_MS_MAX: u64 = 16_000;
/// A stalled peer comes last for so long, ms.
pub const STALLED_LAST_MS: u64 = 10_000;
/// Bytes of bodies that helpers verify at a time, for each helper; beyond, the node verifies all that comes itself.
pub const VERIFYING_BYTES: usize = 512 * 1024;
/// The fewest bytes of bodies of which helpers get a share.
pub const SHARED_BYTES_MIN: usize = 4 * 1024;
/// What a helper has not verified after this, the node verifies itself, ms.
pub const VERIFYING_MS: u64 = 5_000;
/// Blocks a peer said it doesn't have.
pub const LACKED_BLOCKS_MAX: usize = 512;

/// Bytes of answers a peer may ask for at once; requests beyond are not answered.
pub const SERVED_BYTES_BURST: u64 = 16 * 1024 * 1024;
/// And so many more with every millisecond: 8 MB/s.
pub const SERVED_BYTES_PER_MS: u64 = 8_000;
/// A body that nobody asked for is kept if its branch is at most so many blocks' work lighter than the main chain.
pub const SIDE_REACH_BLOCKS: u32 = 16;

/// Statuses go out at least so often, ms.
pub const KEEP_ALIVE_MS: u64 = 15_000;
/// A peer that said nothing over so many keep-alive intervals is let go, so that silent ones don't take the others' places.
pub const SILENT_ROUNDS_MAX: u32 = 5;
/// A changed tip is told to those who may have missed it after this, ms.
pub const STATUS_DELAY_MS: u64 = 1_000;
/// The ids of a peer's pending transactions are asked for at most so often, ms.
pub const PENDING_PAUSE_MS: u64 = 20_000;
/// Transactions are sent to a peer at most so often, ms; what comes in between goes together.
pub const PUSH_PAUSE_MS: u64 = 20;
/// Announcements of transactions are collected for so long, ms.
pub const ANNOUNCE_MS: u64 = 250;
/// Announced transactions not yet received; further announcements are ignored until the next exchange of ids.
pub const WANTED_MAX: usize = 5_000;
/// Announcers remembered for one wanted transaction.
pub const ANNOUNCERS_MAX: usize = 8;
/// A transaction request that is not answered goes to the next announcer after this, ms.
pub const TRANSACTION_TIMEOUT_MS: u64 = 2_000;

/// Transactions in the outbox; own ones are refused beyond, reorganised ones are then only in the mempool.
pub const OUTBOX_MAX: usize = 10_000;
/// Bytes of transactions in the outbox.
pub const OUTBOX_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The outbox is fed to the mempool and told to all peers so often, ms.
pub const OUTBOX_MS: u64 = 20_000;
/// Conflicts kept; the oldest is forgotten first.
pub const CONFLICTS_MAX: usize = 1_000;
/// Branches left behind by finality that are kept for the user to see; the oldest is forgotten first.
pub const ABANDONED_MAX: usize = 16;
/// A peer whose branch leaves the final block out is asked for headers again after this, ms.
pub const OTHER_BRANCH_PAUSE_MS: u64 = 60_000;
/// A snapshot is asked for if it spares at least so many bodies.
pub const SNAPSHOT_GAP_BLOCKS: u32 = 256;
/// Parts of a snapshot in flight.
pub const SNAPSHOT_PARTS_IN_FLIGHT: u32 = 4;
/// A peer that sends no part for so long loses the request, ms.
pub const SNAPSHOT_STALL_MS: u64 = 4_000;
/// And so does one that has not sent all of it after this, ms.
pub const SNAPSHOT_TOTAL_MS: u64 = 120_000;
/// A snapshot for peers is made at most so often, ms; they ask others meanwhile.
pub const SNAPSHOT_MADE_MS: u64 = 10_000;
/// Bodies below a snapshot in flight, of all peers: they come last.
pub const HISTORY_IN_FLIGHT: usize = 64;
/// Fewest newest bodies that a node may keep.
pub const KEEP_BLOCKS_MIN: u32 = 64;
/// Bodies are dropped when so many may go.
pub const PRUNE_STEP_BLOCKS: u32 = 128;
/// Bodies deleted in one change of the store.
pub const PRUNE_BATCH: usize = 256;
/// Headers in one record.
pub const HEADERS_PACKED: u32 = 512;
/// Records of headers in one change of the store.
pub const PACKED_BATCH: usize = 16;
/// Submissions that wait for the first sync.
pub const WAITING_SUBMISSIONS_MAX: usize = 64;

/// Without a peer, the node believes to be alone after this, ms.
pub const ALONE_MS: u64 = 2_500;
/// A connected peer that has not told its status holds the first sync up for so long, ms.
pub const FIRST_STATUS_MS: u64 = 3_000;
/// Without progress for so long, a sync doesn't hold up mining or signing, ms.
pub const SYNC_STALL_MS: u64 = 10_000;

/// A mining job's timestamp is renewed so often, ms.
pub const JOB_MS: u64 = 2_000;
/// Changed pending transactions lead to a new job no sooner than so long after the last, ms.
pub const JOB_CHANGE_MS: u64 = 500;
/// Jobs whose nonce is still accepted.
pub const JOBS_MAX: usize = 4;

/// Blocks in one report.
pub const REPORT_BLOCKS_MAX: usize = 50;
/// Bytes of blocks in one report, unless the first alone is longer.
pub const REPORT_BYTES_MAX: usize = 200 * 1024;
/// Others than the block's miner wait at least so long before they report it, ms.
pub const REPORT_DELAY_MS: u64 = 1_000;
/// And up to so much longer, by their seed, ms.
pub const REPORT_SPREAD_MS: u64 = 2_000;
/// A tracker whose tip is unknown here and not lower is taken for ahead for so long, ms; the first sync waits as long.
pub const REPORT_PATIENCE_MS: u64 = 15_000;
/// First pause after a failed report, ms; doubled with every failure in a row.
pub const REPORT_RETRY_MS: u64 = 2_000;
/// Longest pause after a failed report, ms.
pub const REPORT_RETRY_MS_MAX: u64 = 60_000;
/// A report without an answer counts as failed after this, ms.
pub const REPORT_TIMEOUT_MS: u64 = 20_000;
/// The pause between two questions for a proof of finality, in ms.
pub const PROOF_INTERVAL_MS: u64 = 5_000;
/// The longest such pause, after failures.
pub const PROOF_INTERVAL_MS_MAX: u64 = 120_000;
/// A question for a proof without an answer counts as lost, in ms.
pub const PROOF_TIMEOUT_MS: u64 = 15_000;
