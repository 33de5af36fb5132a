//! The public list: listed networks only, pushed only to connections that asked, at most once in
//! [`limits::LIST_INTERVAL_MS`]. It is made for everybody who asks or is pushed it, and made anew after that time if it changed; only a
//! network that is created here is in it at once. So its counts may be that much late. And how many peers a room has, told to all of it, at most once in the same time: each telling
//! goes to everyone, so told at each join it would cost the square of the room.

use std::sync::Arc;

use api::NetworkListItem;
use api::ws::ServerMessage;
use shared::ids::{ChainId, TimestampMs};

use super::{ConnectionId, Hub, Output, to_text};
use crate::limits;

/// When a room was told how many it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    /// When it may be told again.
    next: TimestampMs,
    /// Whether it changed since, so that it is told then.
    is_due: bool,
}

/// The public list as it is told.
#[derive(Debug)]
pub(super) struct List {
    networks: Arc<[NetworkListItem]>,
    /// Of the message.
    text: String,
}

impl Hub {
    /// The listed networks by name, the first [`limits::LIST_NETWORKS_MAX`], as they were at most [`limits::LIST_INTERVAL_MS`] ago.
    pub fn listing(&self) -> Arc<[NetworkListItem]> {
        Arc::clone(&self.list().networks)
    }

    fn list(&self) -> &List {
        self.list.get_or_init(|| {
            let listed = self.listed.iter().take(limits::LIST_NETWORKS_MAX);
            let networks: Vec<_> = listed
                .map(|(label, chain_id)| NetworkListItem {
                    id: label.to_string(),
                    name: label.to_string(),
                    peer_count: self.peer_count(*chain_id),
                })
                .collect();
            let shared = networks.as_slice().into();
            List {
                networks: shared,
                text: to_text(&ServerMessage::NetworkListUpdate { networks }),
            }
        })
    }

    pub(super) fn on_list(&mut self, now: TimestampMs, connection: ConnectionId) {
        self.leave_door(connection);
        if self.listing_due.is_some_and(|due| due <= now) {
            // It is about to be pushed; who asks gets it once.
            self.subscribers.remove(&connection);
            self.push_listing(now);
        }
        self.subscribers.insert(connection);
        let (connections, text) = (vec![connection], self.list().text.clone());
        self.outputs.push_back(Output::Send { connections, text });
    }

    /// A network is registered: whose client asked for that finds it in the list.
    pub(super) fn on_listed(&mut self, now: TimestampMs, is_created: bool) {
        if is_created {
            self.list.take();
        }
        self.plan_listing(now);
    }

    /// Plans to tell the room its new count, after this fact at the earliest: a peer that takes its own place again leaves and
    /// comes in one. And plans a push of the list if the network is in it.
    pub(super) fn on_peer_count_changed(&mut self, now: TimestampMs, chain_id: ChainId) {
        if self.rooms.contains_key(&chain_id) {
            let first = Count {
                next: now,
                is_due: false,
            };
            let count = self.counts.entry(chain_id).or_insert(first);
            if !count.is_due {
                count.is_due = true;
                count.next = count.next.max(now);
                if count.next > now {
                    self.counts_due.insert((count.next, chain_id));
                } else {
                    self.counts_changed.push(chain_id);
                }
            }
        } else {
            self.counts.remove(&chain_id);
        }
        let network = self.networks.get(&chain_id);
        if network.is_some_and(|network| network.listing.is_listed()) {
            self.plan_listing(now);
        }
    }

    /// Tells the counts that this fact changed, unless they were told a moment ago.
    pub(super) fn tell_changed_counts(&mut self, now: TimestampMs) {
        for chain_id in std::mem::take(&mut self.counts_changed) {
            if self.counts.get(&chain_id).is_some_and(|count| count.is_due) {
                self.tell_count(now, chain_id);
            }
        }
    }

    /// Tells the counts that are due.
    pub(super) fn on_counts_due(&mut self, now: TimestampMs) {
        while let Some((due, chain_id)) = self.counts_due.first().copied() {
            if due > now {
                break;
            }
            self.counts_due.remove(&(due, chain_id));
            // The room may be gone, or another of the same network.
            if self
                .counts
                .get(&chain_id)
                .is_some_and(|count| count.is_due && count.next == due)
            {
                self.tell_count(now, chain_id);
            }
        }
    }

    fn tell_count(&mut self, now: TimestampMs, chain_id: ChainId) {
        if let Some(info) = self.count_of(chain_id) {
            self.send_room(chain_id, None, &info);
        }
        let next = now.plus_ms(limits::LIST_INTERVAL_MS);
        let count = Count {
            next,
            is_due: false,
        };
        self.counts.insert(chain_id, count);
    }

    /// A newcomer hears the count at once, also when the room is told later.
    pub(super) fn tell_count_to(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        chain_id: ChainId,
    ) {
        let is_told_later = self
            .counts
            .get(&chain_id)
            .is_some_and(|count| count.is_due && count.next > now);
        if is_told_later && let Some(info) = self.count_of(chain_id) {
            self.send(connection, &info);
        }
    }

    fn count_of(&self, chain_id: ChainId) -> Option<ServerMessage> {
        let network = self.networks.get(&chain_id)?;
        Some(ServerMessage::NetworkInfo {
            network_id: network.label.to_string(),
            peer_count: self.peer_count(chain_id),
        })
    }

    /// Plans to make the list anew, if someone has it.
    fn plan_listing(&mut self, now: TimestampMs) {
        let earliest = self.listed_at.plus_ms(limits::LIST_INTERVAL_MS);
        let is_told = !self.subscribers.is_empty() || self.list.get().is_some();
        if self.listing_due.is_none() && is_told {
            self.listing_due = Some(earliest.max(now));
        }
    }

    pub(super) fn push_listing(&mut self, now: TimestampMs) {
        self.listing_due = None;
        self.listed_at = now;
        self.list.take();
        if self.subscribers.is_empty() {
            return;
        }
        let connections: Vec<ConnectionId> = self.subscribers.iter().copied().collect();
        let text = self.list().text.clone();
        self.outputs.push_back(Output::Send { connections, text });
    }
}
