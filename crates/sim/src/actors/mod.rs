//! Parties that break rules, one behaviour a file. Each speaks through a real mesh, so it is a peer like any other until it
//! opens its mouth; thrown out by everyone, it comes back under a new name.

mod bad_signature;
mod bad_work;
mod eclipse;
mod foreign_replay;
mod forger;
mod header_spam;
pub(crate) mod leaver;
pub(crate) mod lying_snapshot;
mod orphan_flood;
mod timestamp_liar;
mod watcher;
mod withheld_body;

use core::{fmt, str::FromStr};

use shared::{
    block::UncheckedBlock,
    chain::Chain,
    header::{Header, Solution},
    ids::PeerId,
    message::{Bytes, Message},
    miner::{Miner, Step},
};

pub(crate) use self::watcher::Watcher;
use crate::Random;

/// Expected hashes of the first block; the difficulty moves between a sixteenth of it and what the miners' power gives.
pub(crate) const INITIAL_HASHES: u64 = 512;

/// What a hostile party says, and to whom.
pub(crate) type Said = Vec<(PeerId, Vec<u8>)>;

/// A hostile party's mind.
pub(crate) trait Actor: fmt::Debug {
    /// A peer said something; the answers.
    fn on_message(&mut self, now: u64, peer: PeerId, bytes: &[u8]) -> Said;

    /// Its turn, unasked, with its links of now.
    fn on_turn(&mut self, now: u64, peers: &[PeerId]) -> Said;

    /// Time to its next turn, ms.
    fn pause_ms(&mut self) -> u64 {
        700
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// Kinds of hostile parties.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name in a scenario's line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Garbage, false states, bodies of other headers, claims that lead nowhere.
    Forger = "forger",
    /// Blocks and headers without proof of work.
    BadWork = "bad_work",
    /// Transactions, and blocks with real work that hold them, with signatures that are none.
    BadSignature = "bad_signature",
    /// Announces blocks with real work and never gives their bodies.
    WithheldBody = "withheld_body",
    /// Blocks with real work whose parents nobody knows.
    OrphanFlood = "orphan_flood",
    /// Headers with real work on old branches, without end.
    HeaderSpam = "header_spam",
    /// A third of the power, with timestamps as false as the rules let pass.
    TimestampLiar = "timestamp_liar",
    /// An honest miner with thirty times the others' power that leaves for good.
    Leaver = "leaver",
    /// Silent peers that want to be all the peers somebody has.
    Eclipse = "eclipse",
    /// Valid messages of another tenant's chain.
    ForeignReplay = "foreign_replay",
    /// Answers whoever wants a snapshot with one that is not the truth.
    LyingSnapshot = "lying_snapshot",
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| format!("{name} is no actor"))
    }
}

/// A mind of this kind; `history` is the chain at the beginning.
pub(crate) fn make(kind: Kind, history: &Chain, random: Random) -> Box<dyn Actor> {
    let genesis = history.genesis();
    match kind {
        Kind::Forger => Box::new(forger::Forger::new(genesis, random)),
        Kind::BadWork => Box::new(bad_work::BadWork::new(genesis, random)),
        Kind::BadSignature => Box::new(bad_signature::BadSignature::new(genesis, random)),
        Kind::WithheldBody => Box::new(withheld_body::WithheldBody::new(genesis, random)),
        Kind::OrphanFlood => Box::new(orphan_flood::OrphanFlood::new(genesis, random)),
        Kind::HeaderSpam => Box::new(header_spam::HeaderSpam::new(genesis, random)),
        Kind::TimestampLiar => Box::new(timestamp_liar::TimestampLiar::new(genesis, random)),
        Kind::ForeignReplay => Box::new(foreign_replay::ForeignReplay::new(genesis, random)),
        Kind::LyingSnapshot => Box::new(lying_snapshot::LyingSnapshot::new(history, random)),
        Kind::Eclipse | Kind::Leaver => Box::new(eclipse::Eclipse),
    }
}

/// The same to everyone.
fn to_all(peers: &[PeerId], message: &Message) -> Said {
    let bytes = message.encode();
    peers.iter().map(|peer| (*peer, bytes.clone())).collect()
}

/// Sends a block whole, unasked.
fn pushed(block: &UncheckedBlock) -> Message {
    Message::NewBlock {
        block: Bytes(block.encode()),
    }
}

/// A nonce with which the header meets its own target.
pub(crate) fn grind(header: &Header) -> Solution {
    match Miner::new(header, &header.target.target(), 0, u32::MAX).step(u32::MAX) {
        Step::Found(solution) => solution,
        Step::Working | Step::Exhausted => Solution {
            version: header.version,
            nonce: header.nonce,
        },
    }
}
