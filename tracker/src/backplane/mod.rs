//! How the trackers of one cluster reach each other.
//!
//! Alone, a tracker needs nothing of this. With `--nats-url` a NATS server carries what trackers tell each other ([`nats`]): at most
//! once and unordered between senders, which suffices because all of it is soft state that is repeated
//! ([`crate::hub`]). What must outlive a tracker is in its own store: every tracker keeps the whole registry, tells the others a
//! digest of it again and again, and is told what it lacks; whoever acknowledged a report forwards it.

mod digest;
mod message;
mod nats;

use shared::ids::ChainId;

pub use digest::{Digest, Shares};
pub use message::{
    Content, MESSAGE_BYTES_MAX, Message, Subject, TrackerId, WireError, decode, encode,
};
pub(crate) use nats::{Dropped, Nats, NatsTask};

/// Carries messages to other trackers. Never waits, and may lose one.
pub(crate) trait Backplane: Send + Sync + std::fmt::Debug {
    /// Sends.
    fn publish(&self, to: Subject, message: &Message);
    /// From now on, hear what is said to a network; nothing new if that was ordered before.
    fn follow(&self, chain_id: ChainId);
    /// No more.
    fn unfollow(&self, chain_id: ChainId);
}
