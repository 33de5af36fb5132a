//! How the set stands, as one validator sees it.

use shared::enterprise::{EnterpriseHeight, Round};
use shared::ids::{NetworkId, PublicKey};

use super::{ALIVE_MS, Now, Replica};

/// The set at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consensus {
    /// The round of the height that is being decided; none while there is nothing to decide.
    pub round: Option<Round>,
    /// Signatures that decide.
    pub quorum: usize,
    /// Validators that are alive, this one included.
    pub alive: usize,
    /// Whether this one votes; not after it lost its vote log, nor while it is not in the set.
    pub votes: bool,
    /// The height of the newest snapshot that a quorum signed.
    pub snapshot: Option<EnterpriseHeight>,
    /// All validators, in the order of the set.
    pub validators: Vec<PeerStatus>,
}

/// One validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its key.
    pub key: PublicKey,
    /// Its name.
    pub name: NetworkId,
    /// Whether it is this one.
    pub is_self: bool,
    /// Whether it is heard.
    pub is_alive: bool,
    /// The newest height that it said it has decided.
    pub height: EnterpriseHeight,
    /// Whether it is passed over as a proposer for having been absent.
    pub is_skipped: bool,
}

impl Consensus {
    /// Whether readers would see no difference that matters; heights and rounds change all the time.
    #[must_use]
    pub fn looks_like(&self, other: &Self) -> bool {
        let same = |(left, right): (&PeerStatus, &PeerStatus)| {
            left.key == right.key
                && left.is_alive == right.is_alive
                && left.is_skipped == right.is_skipped
        };
        (self.quorum, self.votes) == (other.quorum, other.votes)
            && self.validators.len() == other.validators.len()
            && self.validators.iter().zip(&other.validators).all(same)
    }

    /// Whether enough validators are alive to decide.
    #[must_use]
    pub const fn has_quorum(&self) -> bool {
        self.alive >= self.quorum
    }
}

impl Replica {
    /// How the set stands.
    #[must_use]
    pub fn consensus(&self, now: Now) -> Consensus {
        let (set, next) = (self.set(), self.next_height());
        let skipped: Vec<&PublicKey> = self.rotation.skipped(next).collect();
        let validators: Vec<PeerStatus> = set
            .validators()
            .iter()
            .map(|info| {
                let peer = self.peers.get(&info.key);
                let is_self = info.key == self.key;
                let is_heard = |peer: &super::sync::Peer| {
                    peer.is_linked && now.steady.since(peer.heard_at) < ALIVE_MS
                };
                PeerStatus {
                    key: info.key,
                    name: info.name.clone(),
                    is_self,
                    is_alive: is_self || peer.is_some_and(is_heard),
                    height: match peer {
                        Some(peer) => peer.height,
                        None => self.ledger.verifier().height(),
                    },
                    is_skipped: skipped.contains(&&info.key),
                }
            })
            .collect();
        Consensus {
            round: self.agreement.round(),
            quorum: set.quorum(),
            alive: validators
                .iter()
                .filter(|validator| validator.is_alive)
                .count(),
            votes: self.may_vote(),
            snapshot: self.newest_snapshot(),
            validators,
        }
    }
}
