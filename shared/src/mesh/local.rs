//! The other tabs of this profile: they hear each other without any tracker, so a new tab joins through an open one.
//!
//! A tab says that it is here when its channel to the others opens, when it loses the tracker, and every [`LOCAL_PRESENCE_MS`]
//! while it has none; a tab that hears a new one answers. Who is not heard for [`LOCAL_GONE_MS`] is forgotten. What is said
//! between tabs are the same signed packets as over a member. At most [`LOCAL_PEERS_MAX`] tabs are remembered.

use crate::ids::{PeerId, TimestampMs};

use super::limits::{LOCAL_GONE_MS, LOCAL_PEERS_MAX, LOCAL_PRESENCE_MS};
use super::packet::Packet;
use super::route::Route;
use super::{Mesh, MeshError, Output};

impl Mesh {
    pub(super) fn on_local_opened(&mut self, now: TimestampMs) {
        self.announce_presence(now);
    }

    /// Tells all tabs of the profile that we are here, and plans the next time.
    fn announce_presence(&mut self, now: TimestampMs) {
        self.presence_at = Some(now.plus_ms(LOCAL_PRESENCE_MS));
        self.push(Output::Local {
            to: None,
            packet: Packet::Presence.encode(),
        });
    }

    pub(super) fn on_local_received(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        packet: &[u8],
    ) -> Result<(), MeshError> {
        let is_known = self.local.contains_key(&from);
        let has_place = is_known || self.local.len() < LOCAL_PEERS_MAX;
        if self.presence_at.is_none() || from == self.own || !has_place {
            return Ok(());
        }
        self.local.insert(from, now);
        if !is_known {
            self.send_packet(Route::Local, from, &Packet::Presence);
            self.fill_links(now);
        }
        self.on_packet(now, Route::Local, from, packet)
    }

    /// The tracker is gone: the tabs find each other at once.
    pub(super) fn announce_without_tracker(&mut self, now: TimestampMs) {
        if self.presence_at.is_some() {
            self.announce_presence(now);
        }
    }

    pub(super) fn care_for_local(&mut self, now: TimestampMs) {
        if self.presence_at.is_none_or(|at| now < at) {
            return;
        }
        self.local
            .retain(|_, heard_at| now.since(*heard_at) < LOCAL_GONE_MS);
        if self.is_joined() {
            self.presence_at = Some(now.plus_ms(LOCAL_PRESENCE_MS));
        } else {
            self.announce_presence(now);
        }
    }
}
