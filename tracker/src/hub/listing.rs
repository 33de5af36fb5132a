//! The public list: listed networks only, pushed only to connections that asked, at most once in
//! [`limits::LIST_INTERVAL_MS`].

use api::NetworkListItem;
use api::ws::ServerMessage;
use shared::ids::{ChainId, TimestampMs};

use super::{ConnectionId, Hub, Output, to_text};
use crate::limits;

impl Hub {
    /// The listed networks by name, the first [`limits::LIST_NETWORKS_MAX`].
    pub fn listing(&self) -> Vec<NetworkListItem> {
        let listed = self.labels.iter().filter_map(|(label, chain_id)| {
            let network = self.networks.get(chain_id)?;
            network.listing.is_listed().then(|| NetworkListItem {
                id: label.to_string(),
                name: label.to_string(),
                peer_count: self.peer_count(*chain_id),
            })
        });
        listed.take(limits::LIST_NETWORKS_MAX).collect()
    }

    pub(super) fn on_list(&mut self, connection: ConnectionId) {
        self.leave_door(connection);
        self.subscribers.insert(connection);
        let networks = self.listing();
        self.send(connection, &ServerMessage::NetworkListUpdate { networks });
    }

    /// Tells the room its new count, and plans a push of the list if the network is in it.
    pub(super) fn on_peer_count_changed(&mut self, now: TimestampMs, chain_id: ChainId) {
        let Some(network) = self.networks.get(&chain_id) else {
            return;
        };
        let is_listed = network.listing.is_listed();
        let info = ServerMessage::NetworkInfo {
            network_id: network.label.to_string(),
            peer_count: self.peer_count(chain_id),
        };
        self.send_room(chain_id, None, &info);
        if is_listed {
            self.plan_listing(now);
        }
    }

    pub(super) fn plan_listing(&mut self, now: TimestampMs) {
        let earliest = self.listed_at.plus_ms(limits::LIST_INTERVAL_MS);
        if self.listing_due.is_none() && !self.subscribers.is_empty() {
            self.listing_due = Some(earliest.max(now));
        }
    }

    pub(super) fn push_listing(&mut self, now: TimestampMs) {
        self.listing_due = None;
        self.listed_at = now;
        if self.subscribers.is_empty() {
            return;
        }
        let connections: Vec<ConnectionId> = self.subscribers.iter().copied().collect();
        let text = to_text(&ServerMessage::NetworkListUpdate {
            networks: self.listing(),
        });
        self.outputs.push_back(Output::Send { connections, text });
    }
}
