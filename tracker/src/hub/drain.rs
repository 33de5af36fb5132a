//! The tracker stops: everyone is told when to come back, and not all at the same moment.

use api::ws::ServerMessage;

use super::{Connection, ConnectionId, Hub};
use crate::limits;

impl Hub {
    pub(super) fn on_draining(&mut self) {
        self.withdraw_address();
        let orders: Vec<(ConnectionId, ServerMessage)> = self
            .connections
            .iter()
            .map(|(connection, state)| {
                let reconnect_after_ms = spread_of(state);
                (*connection, ServerMessage::Moving { reconnect_after_ms })
            })
            .collect();
        for (connection, order) in orders {
            self.send(connection, &order);
        }
    }
}

/// A client's own moment. The driver's random nonce is random enough for it.
fn spread_of(state: &Connection) -> u32 {
    let [first, second, ..] = state.nonce;
    let share = u32::from(u16::from_be_bytes([first, second]));
    let spread = limits::MOVE_SPREAD_MS.saturating_mul(share) >> u16::BITS;
    limits::MOVE_FIRST_MS.saturating_add(spread)
}
