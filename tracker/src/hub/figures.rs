//! What the hub counts, for `/metrics`: sums over all networks, nothing of any one.

use super::{Hub, message::Incoming};

/// How many there are, and what was carried and held back since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Open connections.
    pub connections: usize,
    /// Registered networks.
    pub networks: usize,
    /// Rooms with members here.
    pub rooms: usize,
    /// What went from one member to another.
    pub relayed: Relayed,
    /// How often a connection was held to its rate.
    pub limited: Limited,
}

/// Messages from one member to another: signalling and frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Between two connections of this tracker.
    pub here: Load,
    /// Ordered to be carried to another tracker.
    pub to_trackers: Load,
    /// Come from another tracker, for a connection here.
    pub from_trackers: Load,
}

/// So many messages, and their bytes as they are sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Messages.
    pub messages: u64,
    /// Bytes of their text.
    pub bytes: u64,
}

/// How often each rate of a connection was used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    /// Messages: the connection was not read for a while.
    pub messages: u64,
    /// Relayed and reported bytes: likewise.
    pub bytes: u64,
    /// Registrations: refused.
    pub creations: u64,
}

impl Load {
    pub(super) fn count(&mut self, text: &str) {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Limited {
    pub(super) fn count_pause(&mut self, is_bulk: bool) {
        let counter = if is_bulk {
            &mut self.bytes
        } else {
            &mut self.messages
        };
        *counter = counter.saturating_add(1);
    }

    pub(super) fn count_creation(&mut self) {
        self.creations = self.creations.saturating_add(1);
    }
}

impl Hub {
    /// What is counted, as it stands.
    pub fn figures(&self) -> Figures {
        Figures {
            connections: self.connections.len(),
            networks: self.networks.len(),
            rooms: self.rooms.len(),
            relayed: self.relayed,
            limited: self.limited,
        }
    }
}

/// Whether a message counts by its bytes, not as a message.
pub(super) fn is_bulk(message: &Incoming) -> bool {
    matches!(
        message,
        Incoming::Relay(_) | Incoming::Update { .. } | Incoming::Report(_) | Incoming::Block(_)
    )
}
