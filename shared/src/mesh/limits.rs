//! Every bound and interval of the mesh in one place.

/// Links that are sought; a network of up to nine peers is thus meshed fully.
pub const DIALLED_PEERS: usize = 8;
/// Links of one chain, whoever wanted them.
pub const LINKS_MAX: usize = 16;
/// Links up to which strangers are let in; a peer that asks for one more is told `Bye`.
pub const WANTED_LINKS_MAX: usize = 14;
/// Links that strangers may hold, so that [`CHOSEN_PEERS_MIN`] of the wanted ones are always left for our own choice.
pub const ACCEPTED_LINKS_MAX: usize = WANTED_LINKS_MAX - CHOSEN_PEERS_MIN;
/// Links asked for through one member that have not proved themselves yet; further ones are not answered for now.
pub const UNPROVEN_LINKS_PER_MEMBER_MAX: usize = 4;
/// RTCPeerConnections of one tab over all its networks; the page's driver refuses one more.
pub const CONNECTIONS_PER_TAB_MAX: usize = 48;
/// RTCPeerConnections that may be made at once. Chromium refuses the 501st, and closed ones count until they are collected.
pub const DIALS_BURST: u64 = 64;
/// RTCPeerConnections that may be made in each second after that.
pub const DIALS_PER_SECOND: u64 = 1;
/// Of [`DIALS_BURST`], what offers of others may not use up.
pub const DIALS_RESERVED: u64 = 16;
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
/// Silence on the relay after which a peer is pinged there.
pub const RELAY_IDLE_MS: u64 = 10_000;
/// Time a relayed ping may stay without any sign of life; a relayed link is dead after 30 s.
pub const RELAY_PONG_MS: u64 = 20_000;
/// Silence on a direct channel after which it is pinged.
pub const CHANNEL_IDLE_MS: u64 = 3_000;
/// Time a ping over a direct channel may stay without any sign of life; a channel is dead after 6 s.
pub const CHANNEL_PONG_MS: u64 = 3_000;
/// While a long message comes in, a sign of life is sent this often: the sender's pings wait behind its data.
pub const LIFE_SIGN_MS: u64 = 2_000;
/// A wake-up that comes so much too late means that the machine slept: every channel is tried at once.
pub const SLEPT_MS: u64 = 15_000;
/// A peer that has not answered for so long no longer counts as a link, and another one is greeted beside it.
pub const STALLED_MS: u64 = 2_000;
/// Tabs of one profile that are remembered.
pub const LOCAL_PEERS_MAX: usize = 64;
/// How often a tab without a tracker tells the others of its profile that it is here.
pub const LOCAL_PRESENCE_MS: u64 = 10_000;
/// Silence after which a tab of the profile is forgotten.
pub const LOCAL_GONE_MS: u64 = 35_000;
/// How often a link may be let go so that another peer finds a place; up to a quarter more by seed.
pub const ROTATION_MS: u64 = 30_000;
/// Silence of a peer's node after which its link is let go if others wait.
pub const SILENT_MS: u64 = 60_000;
/// Age after which a link of our choice may be replaced by another choice.
pub const LINK_AGE_MS: u64 = 600_000;
/// How long an invitation to pair is good.
pub const PAIRING_MS: u64 = 600_000;
/// Invitations and answers whose connections wait at once.
pub const PAIRINGS_MAX: usize = 4;
/// Longest invitation or answer, in bytes before they become text.
pub const PAIRING_BYTES_MAX: usize = 8 * 1024;
/// ICE candidates that an invitation or an answer carries.
pub const PAIRING_CANDIDATES_MAX: usize = 12;
/// Time from the greeting within which a link that no relay carries has to prove a direct channel.
pub const UNPROVEN_MS: u64 = 20_000;
/// Greetings without the tracker that may stay unanswered before the peer is left alone.
pub const GREETINGS_MAX: u32 = 4;
/// Pause before members are told of changed links, so that one message tells of many.
pub const EXCHANGE_MS: u64 = 250;
/// Longest packet (greeting, description or candidate) that goes over a member or between the tabs of a profile, in bytes.
pub const PACKET_BYTES_MAX: usize = 8 * 1024;
/// What a member may have forwarded at once; a packet counts one and one more for each KiB. Further ones are dropped.
pub const FORWARDS_BURST: u64 = 256;
/// What a member may have forwarded in each second after that.
pub const FORWARDS_PER_SECOND: u64 = 32;
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

/// How many times a member gives the genesis of a private network at once; one a second after that.
pub const GENESIS_ANSWERS_BURST: u64 = 8;
