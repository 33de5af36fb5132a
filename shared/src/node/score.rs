//! Misbehaviour that is no proof of bad will: points that decay, and a refusal when they pile up.
//!
//! A peer is refused at once only for what it had to verify before it relayed it (see `messages::blame`). What an honest peer
//! does now and then (a late answer, an announcement that crosses ours, a stall) costs points; who does little else is
//! refused as well. Points outlive the link, so that a reconnect clears nothing.
//!
//! Limits: [`limits::SCORES_MAX`] peers; the lowest score is forgotten first.

use alloc::collections::BTreeMap;

use super::limits;
use crate::ids::{PeerId, TimestampMs};

/// What a peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offence {
    /// It sent blocks, transactions of a block or packed history that nobody asked for.
    Unasked,
    /// It announced or sent headers that are of no use.
    UselessHeaders,
    /// It asked for more than its share.
    Greed,
    /// It did not answer in time.
    Slowness,
    /// It sent other transactions of a block than asked for.
    WrongTransactions,
}

impl Offence {
    const fn points(self) -> u32 {
        match self {
            Self::Unasked => limits::UNASKED_POINTS,
            Self::UselessHeaders => limits::USELESS_HEADERS_POINTS,
            Self::Greed => limits::GREED_POINTS,
            Self::Slowness => limits::SLOWNESS_POINTS,
            Self::WrongTransactions => limits::WRONG_TRANSACTIONS_POINTS,
        }
    }

    /// What it is, in words for the one who is refused for it.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Unasked => "sends what nobody asked for",
            Self::UselessHeaders => "sends useless headers",
            Self::Greed => "asks for more than its share",
            Self::Slowness => "does not answer",
            Self::WrongTransactions => "sends other transactions than asked for",
        }
    }
}

/// Points of peers that have some.
#[derive(Debug, Default)]
pub(super) struct Scores {
    peers: BTreeMap<PeerId, Score>,
}

#[derive(Debug, Clone, Copy)]
struct Score {
    points: u32,
    at: TimestampMs,
}

impl Score {
    fn now(self, now: TimestampMs) -> u32 {
        let decayed = now.since(self.at) / limits::POINT_MS;
        self.points
            .saturating_sub(u32::try_from(decayed).unwrap_or(u32::MAX))
    }
}

impl Scores {
    /// Adds an offence; true if that is one too many, and then the score begins anew.
    pub(super) fn add(&mut self, now: TimestampMs, peer: PeerId, offence: Offence) -> bool {
        let before = self.of(now, &peer);
        let points = before.saturating_add(offence.points());
        if points >= limits::POINTS_MAX {
            self.peers.remove(&peer);
            return true;
        }
        self.make_room(now, peer);
        self.peers.insert(peer, Score { points, at: now });
        false
    }

    /// The points of a peer now.
    pub(super) fn of(&self, now: TimestampMs, peer: &PeerId) -> u32 {
        self.peers.get(peer).map_or(0, |score| score.now(now))
    }

    fn make_room(&mut self, now: TimestampMs, newcomer: PeerId) {
        if self.peers.len() < limits::SCORES_MAX || self.peers.contains_key(&newcomer) {
            return;
        }
        let lowest = self.peers.iter().min_by_key(|(_, score)| score.now(now));
        if let Some(lowest) = lowest.map(|(peer, _)| *peer) {
            self.peers.remove(&lowest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;

    const PEER: PeerId = PeerId(Hash([1; 32]));

    #[test]
    fn points_decay_and_too_many_at_once_are_one_too_many() {
        let mut scores = Scores::default();
        let mut now = TimestampMs(1_000_000);
        let every = limits::POINT_MS * u64::from(limits::SLOWNESS_POINTS);
        for _ in 0..1_000 {
            assert!(!scores.add(now, PEER, Offence::Slowness), "now and then");
            now = now.plus_ms(every);
        }
        let at_once = limits::POINTS_MAX.div_ceil(limits::SLOWNESS_POINTS);
        for _ in 1..at_once {
            assert!(!scores.add(now, PEER, Offence::Slowness));
        }
        assert!(scores.add(now, PEER, Offence::Slowness));
        assert_eq!(scores.of(now, &PEER), 0);
    }

    #[test]
    fn table_is_bounded_and_keeps_the_worst() {
        let mut scores = Scores::default();
        let now = TimestampMs(1_000_000);
        scores.add(now, PEER, Offence::WrongTransactions);
        for number in 0..2 * limits::SCORES_MAX {
            let mut name = [0xff; 32];
            name[..8].copy_from_slice(&number.to_be_bytes());
            scores.add(now, PeerId(Hash(name)), Offence::UselessHeaders);
        }
        assert_eq!(scores.peers.len(), limits::SCORES_MAX);
        assert!(scores.of(now, &PEER) > 0);
    }
}
