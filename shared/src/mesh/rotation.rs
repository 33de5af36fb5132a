//! No link is for ever: what says nothing makes room, and so does, seldom, what we chose long ago.
//!
//! Strangers that came first could otherwise keep everyone else away by holding their links and saying nothing, or too little. So
//! every [`ROTATION_MS`] one link is let go if another peer waits for a place: the one whose node has been silent longest, if that is
//! [`SILENT_MS`] or more (an honest node tells where it stands every 15 s), else one of our own choice older than [`LINK_AGE_MS`].
//! The other end is told `Bye` and neither chooses the other again for a while, a silent one is not let in either; a new peer is
//! greeted in its place.

use crate::hash::sha256;
use crate::ids::{PeerId, TimestampMs};

use super::limits::{BANNED_MS, DIALLED_PEERS, LINK_AGE_MS, ROTATION_MS, SILENT_MS};
use super::link::{Link, Origin, ShunReason, Shunned, Stage};
use super::wire::LinkMessage;
use super::{Mesh, Output};

impl Mesh {
    pub(super) fn rotate_if_due(&mut self, now: TimestampMs) {
        if self.links.is_empty() {
            self.rotate_at = None;
            return;
        }
        if self.rotate_at.is_some_and(|at| now < at) {
            return;
        }
        let is_first = self.rotate_at.is_none();
        let [jitter, ..] = sha256(&[&self.config.seed, b"rotation"]).0;
        let jitter = ROTATION_MS / 4 * u64::from(jitter) / 256;
        self.rotate_at = Some(now.plus_ms(ROTATION_MS + jitter));
        if is_first || self.candidates(1).is_empty() {
            return;
        }
        if let Some((peer, reason)) = self.replaceable(now) {
            self.part(now, peer, reason);
            self.greet_new(now, 1);
        }
    }

    /// The link to be let go, if any. One that was silent is not let in again for a while either.
    fn replaceable(&self, now: TimestampMs) -> Option<(PeerId, ShunReason)> {
        let told = || self.links.iter().filter(|(_, link)| link.is_told);
        let is_silent = |link: &Link| now.since(link.spoke_at) >= SILENT_MS;
        let most_silent = told()
            .filter(|(_, link)| is_silent(link))
            .min_by_key(|(_, link)| link.spoke_at);
        let is_old =
            |link: &Link| link.origin == Origin::Chosen && now.since(link.since) >= LINK_AGE_MS;
        let oldest = told()
            .filter(|(_, link)| is_old(link))
            .min_by_key(|(_, link)| link.since)
            .filter(|_| told().count() >= DIALLED_PEERS);
        let silent = most_silent.map(|(peer, _)| (*peer, ShunReason::Banned));
        silent.or_else(|| oldest.map(|(peer, _)| (*peer, ShunReason::Full)))
    }

    /// Ends a link in peace.
    fn part(&mut self, now: TimestampMs, peer: PeerId, reason: ShunReason) {
        if let Some(link) = self.channel_to(peer) {
            let bytes = LinkMessage::Bye.chunk();
            self.push(Output::SendChannel { link, bytes });
        } else if let Some(Link {
            mine,
            stage: Stage::Up { theirs },
            ..
        }) = self.links.get(&peer)
        {
            let (mine, theirs) = (*mine, *theirs);
            self.relay(peer, mine, theirs, &LinkMessage::Bye.chunk());
        }
        self.remove_link(now, peer);
        self.shun(
            peer,
            Shunned {
                until: now.plus_ms(BANNED_MS),
                reason,
            },
        );
    }
}
