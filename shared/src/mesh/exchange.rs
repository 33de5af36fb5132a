//! Which peers to be linked to, and what members tell each other about it.
//!
//! Small networks are meshed fully. In larger ones a node seeks [`DIALLED_PEERS`] links, and at least [`CHOSEN_PEERS_MIN`] of its
//! own choice: strangers are let in only while places for those are left, and the choice follows a hash of our seed, which nobody
//! can foresee. Peers are known from the tracker, from the tabs of the profile, and from members, which tell the ids of
//! the peers they are linked to directly (at most [`LINKS_MAX`], replaced as a whole). Of what members tell, one id of each is
//! considered before a second of any, so that one that lies has one voice.
//!
//! A peer that does not answer stops counting after [`STALLED_MS`](super::limits::STALLED_MS) and the next one is greeted beside it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::hash::{Hash, sha256};
use crate::ids::{PeerId, TimestampMs};

use super::limits::{CHOSEN_PEERS_MIN, DIALLED_PEERS, EXCHANGE_MS, LINKS_MAX};
use super::link::{Link, Origin};
use super::wire::{Incarnation, LinkMessage};
use super::{Mesh, Output};

impl Mesh {
    /// Greets further peers until there are enough.
    pub(super) fn fill_links(&mut self, now: TimestampMs) {
        let counted = || self.links.values().filter(|link| link.counts(now));
        let chosen = counted()
            .filter(|link| link.origin == Origin::Chosen)
            .count();
        let wanted = DIALLED_PEERS
            .saturating_sub(counted().count())
            .max(CHOSEN_PEERS_MIN.saturating_sub(chosen));
        if wanted > 0 {
            self.greet_new(now, wanted);
        }
    }

    /// Greets so many peers that we have no link to.
    pub(super) fn greet_new(&mut self, now: TimestampMs, wanted: usize) {
        for peer in self.candidates(wanted) {
            if self.links.len() >= LINKS_MAX && !self.drop_stalled(now) {
                return;
            }
            let mut link = Link::new(now, Incarnation(self.draw().max(1)), Origin::Chosen);
            self.greet(now, peer, &mut link);
            self.links.insert(peer, link);
            self.push(Output::PeersChanged);
        }
    }

    /// So many peers to be linked to, those in the tracker's room and of this profile first.
    pub(super) fn candidates(&self, wanted: usize) -> Vec<PeerId> {
        let is_free = |peer: &PeerId| {
            *peer != self.own && !self.links.contains_key(peer) && !self.shunned.contains_key(peer)
        };
        let place = |peer: &PeerId| sha256(&[&self.config.seed, &peer.0.0]);
        let mut near: Vec<PeerId> = self
            .present
            .iter()
            .chain(self.local.keys())
            .filter(|peer| is_free(peer))
            .copied()
            .collect();
        if near.len() > wanted {
            near.sort_by_cached_key(place);
        }
        near.dedup();
        near.truncate(wanted);
        if near.len() < wanted {
            let told = self.told_of(is_free, place);
            let told = told.into_iter().filter(|peer| !near.contains(peer));
            let told: Vec<PeerId> = told.take(wanted - near.len()).collect();
            near.extend(told);
        }
        near
    }

    /// The peers that members told of, the first of each member before the second of any.
    fn told_of(
        &self,
        is_free: impl Fn(&PeerId) -> bool,
        place: impl Fn(&PeerId) -> Hash,
    ) -> Vec<PeerId> {
        let mut ranked: BTreeMap<PeerId, (usize, Hash)> = BTreeMap::new();
        for link in self.links.values().filter(|link| link.is_proven()) {
            let free = link.neighbours.iter().filter(|peer| is_free(peer));
            let mut free: Vec<(Hash, PeerId)> = free.map(|peer| (place(peer), *peer)).collect();
            free.sort_unstable();
            for (rank, (place, peer)) in free.into_iter().enumerate() {
                let best = ranked.entry(peer).or_insert((rank, place));
                *best = (rank, place).min(*best);
            }
        }
        let mut ranked: Vec<_> = ranked
            .into_iter()
            .map(|(peer, rank)| (rank, peer))
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, peer)| peer).collect()
    }

    /// Makes room for another attempt by the one that stalled longest; `false` if none did.
    pub(super) fn drop_stalled(&mut self, now: TimestampMs) -> bool {
        let stalled = self
            .links
            .iter()
            .filter(|(_, link)| !link.counts(now))
            .min_by_key(|(_, link)| link.since)
            .map(|(peer, _)| *peer);
        let Some(peer) = stalled else {
            return false;
        };
        self.leave_alone(now, peer);
        true
    }

    /// Plans to tell the members of changed links.
    pub(super) fn plan_exchange(&mut self, now: TimestampMs) {
        self.exchange_at
            .get_or_insert_with(|| now.plus_ms(EXCHANGE_MS));
    }

    /// Tells the members whom we are linked to, if that is due.
    pub(super) fn exchange_if_due(&mut self, now: TimestampMs) {
        if self.exchange_at.is_none_or(|at| now < at) {
            return;
        }
        self.exchange_at = None;
        let proven: Vec<(PeerId, Option<super::LinkId>)> = self
            .links
            .iter()
            .filter(|(_, link)| link.is_proven())
            .map(|(peer, link)| (*peer, link.channel.as_ref().map(|channel| channel.link)))
            .collect();
        for (receiver, link) in &proven {
            let others = proven.iter().map(|(peer, _)| *peer);
            let others = others.filter(|peer| peer != receiver).collect();
            if let Some(link) = *link {
                let bytes = LinkMessage::Peers(others).chunk();
                self.push(Output::SendChannel { link, bytes });
            }
        }
    }

    /// A member tells whom it is linked to.
    pub(super) fn on_peers(&mut self, now: TimestampMs, member: PeerId, peers: Vec<PeerId>) {
        let own = self.own;
        let Some(link) = self.links.get_mut(&member) else {
            return;
        };
        link.neighbours = peers
            .into_iter()
            .filter(|peer| *peer != own && *peer != member)
            .take(LINKS_MAX)
            .collect();
        self.fill_links(now);
    }
}
