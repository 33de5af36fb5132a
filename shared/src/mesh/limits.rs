//! Every bound and interval of the mesh in one place.

/// Links that are sought; a network of up to nine peers is thus meshed fully.
pub const DIALLED_PEERS: usize = 8;
/// Links of one chain; a peer that asks for one more is told `Bye`.
pub const LINKS_MAX: usize = 16;
/// Peers of the network that are remembered as present; the tracker's further names are ignored.
pub const PRESENT_MAX: usize = 4_096;
/// Longest session description, in bytes.
pub const SDP_BYTES_MAX: usize = 16 * 1024;
/// Longest ICE candidate, in bytes of its JSON.
pub const CANDIDATE_BYTES_MAX: usize = 2 * 1024;
/// ICE candidates of one side in one attempt; further ones are dropped.
pub const CANDIDATES_MAX: usize = 64;
/// Time an attempt at a direct channel has until its channel proved itself.
pub const SIGNALLING_MS: u64 = 10_000;
/// Time the tracker has to answer each step of joining.
pub const JOIN_STEP_MS: u64 = 10_000;
/// Pause before a tracker that did not let us in is asked again.
pub const REFUSED_MS: u64 = 60_000;
/// Silence on a link after which it is pinged.
pub const IDLE_MS: u64 = 10_000;
/// Time a ping may stay without any sign of life; with [`IDLE_MS`] a link is dead after 30 s.
pub const PONG_MS: u64 = 20_000;
/// First pause before something is tried again.
pub const BACKOFF_FIRST_MS: u64 = 1_000;
/// Longest pause before something is tried again.
pub const BACKOFF_MAX_MS: u64 = 60_000;
/// Links of a larger network that must be our own choice, so that strangers can't fill all places.
pub const CHOSEN_PEERS_MIN: usize = 3;
/// Peers that are left alone for a while; the one whose time ends first makes room.
pub const SHUNNED_MAX: usize = 64;
/// Time for which a peer that the node disconnected is left alone.
pub const BANNED_MS: u64 = 600_000;
/// A wake-up is never ordered sooner than this, so that nothing can make a driver spin.
pub const WAKE_MS_MIN: u64 = 20;
