//! Private rooms: admitted by the join key, opaque otherwise.
//!
//! The room's id is the hash of the join key, so nothing has to be registered, and nothing is kept when the last member left. An
//! admission is good for this connection's nonce, once and for [`limits::NONCE_MS`], and for this tracker's host. A private room
//! carries sealed frames between its members and, where one of them reports the network, what belongs to that (`reported.rs`): no
//! signalling in the clear, no whole blocks, and it is in no list.
//!
//! The peer id is what the member says: members prove their keys to each other. So who has the join key can take another member's
//! place at the tracker (that one joins again); it can read and forge nothing by it.

use api::ws::{ErrorCode, ServerMessage};
use shared::ids::TimestampMs;
use shared::private::check_admission;

use super::join::Acquaintances;
use super::message::Entry;
use super::{ConnectionId, Hub, Place};
#[cfg(doc)]
use crate::limits;

/// What is said to who wants to do in a private room what only open networks can.
pub(super) const SEALED_ONLY: &str =
    "a private room carries sealed frames (relay) and sealed reports only";

impl Hub {
    pub(super) fn on_enter(&mut self, now: TimestampMs, connection: ConnectionId, entry: &Entry) {
        self.leave_door(connection);
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        if state.fresh_until.is_none_or(|until| until <= now) {
            let text = "the nonce of this connection is used or too old; connect anew";
            return self.send_error(connection, ErrorCode::NonceExpired, text);
        }
        let (peer, room) = (entry.peer, entry.room.as_chain());
        let checked = check_admission(
            (entry.room, &entry.join_key),
            &state.host,
            peer,
            &state.nonce,
            &entry.admission,
        );
        if let Err(error) = checked {
            return self.send_error(connection, ErrorCode::BadProof, error.to_string());
        }
        state.fresh_until = None;
        if !self.has_place(connection, room, peer) {
            return self.refuse_full(connection, room);
        }
        self.leave_room(now, connection);
        self.replace_earlier(now, room, peer);
        let Acquaintances { peers, told } = self.acquaintances(room, peer);
        let reported = self.reported.get(&room);
        let joined = ServerMessage::RoomJoined {
            room: entry.room.0.to_string(),
            peer_id: peer.to_string(),
            peers,
            tip: reported.and_then(|network| network.tip.clone()),
            anchor: reported.and_then(|network| network.anchor.clone()),
            resets: reported.map_or(0, |network| network.resets),
        };
        self.enter(now, connection, (room, peer), (&joined, told));
    }

    /// Whether a connection is in a room for which no network is registered.
    pub(super) fn is_in_private_room(&self, connection: ConnectionId) -> bool {
        let place = self.connections.get(&connection).map(|state| state.place);
        matches!(place, Some(Place::Room { chain_id, .. }) if !self.networks.contains_key(&chain_id))
    }
}
