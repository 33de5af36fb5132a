//! Every bound of the tracker, by name.

/// The longest message of any kind but those that carry blocks, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The longest message that carries blocks, in bytes: a full block in hex with its texts, twice over.
pub const UPDATE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest HTTP body, in bytes.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The read buffer of a connection, in bytes. The library's own 128 KiB would be most of a connection's memory.
pub const READ_BUFFER_BYTES: usize = 4 * 1024;
/// What a connection's messages fill before they are written, in bytes. The buffer keeps the room it once had.
pub const WRITE_BUFFER_BYTES: usize = 8 * 1024;
/// Messages that wait for one slow connection; beyond, it is disconnected.
pub const QUEUE_MESSAGES_MAX: usize = 1024;
/// Bytes that wait for one slow connection; beyond, it is disconnected.
pub const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that wait for all connections together, beside one message each: one has a quarter of what is left of them.
pub const QUEUES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of what they sent that all connections hold together, beside [`service::FREE_BYTES`] each: one has a quarter of what is
/// left of them.
pub const READING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The same for the connections of one address.
pub const ADDRESS_READING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How soon after connecting a client must have joined, created or asked for the list, in ms.
pub const JOIN_TIMEOUT_MS: u64 = 10_000;
/// How long the nonce of `welcome` admits to a private room, in ms.
pub const NONCE_MS: u64 = 60_000;
/// How often the tracker pings, in ms.
pub const PING_INTERVAL_MS: u64 = 25_000;
/// How long after a ping an answer may take, in ms; also how long one write may take.
pub const PONG_TIMEOUT_MS: u64 = 10_000;
/// Messages that may come at once; a join or a question for the list counts [`JOIN_WEIGHT`], and each [`MESSAGE_PIECE_BYTES`] of one that is not relayed or reported one more.
pub const MESSAGE_BURST: u32 = 100;
/// Messages a second after the burst.
pub const MESSAGES_PER_SECOND: u32 = 20;
/// What a join and a question for the public list count: the answer names many peers or networks.
pub const JOIN_WEIGHT: u32 = 5;
/// So much of a message counts as one more, also of one that is malformed.
pub const MESSAGE_PIECE_BYTES: usize = 4 * 1024;
/// Relayed and reported bytes that may come at once.
pub const RELAY_BURST_BYTES: u32 = 4 * 1024 * 1024;
/// Relayed and reported bytes a second after the burst.
pub const RELAY_BYTES_PER_SECOND: u32 = 1024 * 1024;
/// What the smallest relayed frame counts, in bytes, so that tiny frames are not free.
pub const RELAY_FRAME_BYTES_MIN: u32 = 512;
/// Networks that one connection may register at once, and one a second after that.
pub const CREATION_BURST: u32 = 10;
/// Malformed messages of one connection before it is closed.
pub const MISTAKES_MAX: u32 = 100;
/// Peers that a newcomer is told of, and that are told of it: enough for a partial mesh of the most links.
pub const SAMPLE_PEERS: usize = 48;
/// Comings and goings that a room's members are told of at once; a newcomer knows its sample anyway, and members tell each other.
pub const ROOM_NEWS_BURST: u32 = 256;
/// Comings and goings a second that they are told of after the burst, however many come and go.
pub const ROOM_NEWS_PER_SECOND: u32 = 64;
/// Bytes of blocks and transactions that a room is shown at once, whoever of its members shows them: two of the longest messages.
/// Beyond, they are dropped: members get blocks by their own links, too.
pub const ROOM_SHOWN_BURST_BYTES: u32 = 4 * 1024 * 1024;
/// Bytes a second that it is shown after the burst.
pub const ROOM_SHOWN_BYTES_PER_SECOND: u32 = 256 * 1024;
/// Peers in one room; beyond, joins are answered `full`.
pub const ROOM_PEERS_MAX: usize = 1_024;
/// Other trackers of a cluster that browsers are told of.
pub const TRACKERS_MAX: usize = 16;
/// Orders that wait for the driver of a cluster; beyond, the newest is dropped.
pub const CLUSTER_QUEUE_MAX: usize = 4_096;
/// Networks that are told at once to trackers that lack them, all of these together.
pub const TOLD_NETWORKS_MAX: usize = 64;
/// Trackers that are told networks at a time.
pub const TOLD_TRACKERS_MAX: usize = 16;
/// Rooms whose members are told at once, unless there are so many that a round would take too long.
pub const TOLD_ROOMS: usize = 64;
/// The longest address of a tracker for browsers, in bytes.
pub const PUBLIC_URL_BYTES_MAX: usize = 256;
/// Networks in the registry; beyond, registrations are answered `full`.
pub const NETWORKS_MAX: usize = 20_000;
/// The room that the blocks of one network may take up by default, in MiB: six million short messages, or half a year of an empty
/// block every ten seconds.
pub const NETWORK_MIB_MAX: u32 = 1_024;
/// The room that the blocks of all networks may take up by default, in MiB; in memory it is 1.3 to 2.7 times as much (ADR 0041).
pub const TOTAL_MIB_MAX: u32 = 4 * 1_024;
/// What a block counts besides its bytes, for what is kept beside them in memory and in the store.
pub const BLOCK_BESIDE_BYTES: u64 = 512;
/// Networks in one public list, the first by name.
pub const LIST_NETWORKS_MAX: usize = 1_000;
/// The least time between two times that the public list is made and pushed, and of a room's count to the room, in ms.
pub const LIST_INTERVAL_MS: u64 = 1_000;
/// Blocks in one update, in either direction.
pub const UPDATE_BLOCKS_MAX: usize = 50;
/// JSON bytes of blocks in one update to the validator; one block always fits.
pub const FORWARD_BYTES_MAX: usize = 1024 * 1024;
/// Updates in flight to the validator, over all networks; one for each network.
pub const FORWARDS_IN_FLIGHT_MAX: usize = 4;
/// How long the validator may take to answer, in ms.
pub const FORWARD_TIMEOUT_MS: u64 = 15_000;
/// Questions of browsers that wait for a validator at once; beyond, they are told to come again.
pub const PROOFS_IN_FLIGHT_MAX: usize = 64;
/// The longest proof that is passed on, in bytes: the validator sets of many changes.
pub const PROOF_BYTES_MAX: usize = 512 * 1024;
/// How long a validator may take to answer a reader, in ms.
pub const PROOF_TIMEOUT_MS: u64 = 5_000;
/// How long after a reset was taken by a validator it is asked whether a block holds it, in ms.
pub const RESET_POLL_MS: u64 = 500;
/// The least time between two questions which resets of a network were executed, in ms.
pub const RESETS_ASK_MS: u64 = 2_000;
/// The first pause after a failed update, in ms; it doubles.
pub const BACKOFF_FIRST_MS: u64 = 250;
/// The longest pause between two tries, in ms.
pub const BACKOFF_MAX_MS: u64 = 5_000;
/// The longest pause between two tries of what the validators refuse, in ms: it takes no places from what they take.
pub const REFUSED_BACKOFF_MAX_MS: u64 = 300_000;
/// Failures in a row after which a validator is left alone for a while.
pub const BREAKER_FAILURES_MAX: u32 = 3;
/// For how long at first, in ms; it doubles with each failed try.
pub const BREAKER_FIRST_MS: u64 = 500;
/// For how long at most, in ms.
pub const BREAKER_MAX_MS: u64 = 4_000;
/// Requests of strangers that wait for the ledger; beyond, they are answered `full`.
pub const LEDGER_QUEUE_MAX: usize = 1_024;
/// The bytes of them; beyond, they are answered likewise.
pub const LEDGER_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// For how long requests are handled before a commit makes them durable, in ms, unless one takes longer.
pub const LEDGER_BATCH_MS: u64 = 20;
/// Requests that one commit makes durable together.
pub const LEDGER_BATCH_MAX: usize = 64;
/// The least time between two writes of `tracker_integration.json`, in ms.
pub const EXPORT_INTERVAL_MS: u64 = 1_000;
/// How many times as long as it took to write that file its next write waits at least, so that the ledger has its thread.
pub const EXPORT_REST_FACTOR: u32 = 20;
/// Blocks of each network in `tracker_integration.json`.
pub const EXPORT_BLOCKS: u32 = 5;
/// Bytes of one network's blocks in that file, the newest first.
pub const EXPORT_NETWORK_BYTES_MAX: usize = 64 * 1024;
/// Bytes of all networks' blocks in that file; those that do not fit have counts only.
pub const EXPORT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Addresses that are remembered; many times what can have something open.
pub const ADDRESSES_MAX: usize = 65_536;
/// Open connections of one address: a school stands behind one.
pub const ADDRESS_CONNECTIONS_MAX: u32 = 500;
/// Open connections that an address may have even if it leaves less to others.
pub const ADDRESS_CONNECTIONS_FREE: u32 = 16;
/// New connections that may come from one address at once.
pub const ADDRESS_ARRIVALS_BURST: u32 = 200;
/// New connections of one address a second after the burst.
pub const ADDRESS_ARRIVALS_PER_SECOND: u32 = 20;
/// Requests that may come from one address at once: a class that opens the app's page.
pub const ADDRESS_REQUESTS_BURST: u32 = 2_000;
/// Requests of one address a second after the burst.
pub const ADDRESS_REQUESTS_PER_SECOND: u32 = 200;
/// Networks that one address may register at once: a class where each makes its own.
pub const ADDRESS_CREATIONS_BURST: u32 = 60;
/// Networks of one address an hour after the burst.
pub const ADDRESS_CREATIONS_PER_HOUR: u32 = 120;
/// When an address with too many connections may try again, in s.
pub const ADDRESS_RETRY_SECONDS: u64 = 10;
/// How long an HTTP request may take, its body included, in ms.
pub const REQUEST_TIMEOUT_MS: u64 = 30_000;
/// Files that may be open beside sockets: the store, its exports, the app's files, the way to validators and other trackers.
pub const FILES_RESERVE: usize = 256;
/// The longest TURN secret, in bytes.
pub const TURN_SECRET_BYTES_MAX: usize = 1_024;
/// The least time between two TURN credentials of a connection, in ms.
pub const TURN_RENEWAL_MS_MIN: u64 = 1_000;
/// TURN credentials that are renewed at once; the others follow 50 ms later, and so on.
pub const TURN_RENEWALS_AT_ONCE: usize = 64;
/// How soon after the order to move the first clients come back, in ms.
pub const MOVE_FIRST_MS: u32 = 250;
/// Over how long the clients that have to move are spread, in ms.
pub const MOVE_SPREAD_MS: u32 = 4_000;
