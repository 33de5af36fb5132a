//! Private networks that are reported: what members say about that, and what they are told.
//!
//! Whatever is known of such a network is told to connections in its room only: its tip, its anchor, its resets, and the proofs that
//! members ask for. A report or a question names the room, and counts only from there.

use api::UpdateStatus;
use api::ws::{ErrorCode, ServerMessage};
use shared::ids::{ChainId, TimestampMs};
use shared::private::RoomId;

use super::{Asked, ConnectionId, Hub, Output, Question, ResetOutcome, RoomNetwork, to_text};
use crate::ledger::MemberReport;

impl Hub {
    pub(super) fn on_report(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        report: Box<MemberReport>,
    ) {
        if !self.may_speak_of(connection, report.room) {
            return;
        }
        // A network that is not known yet is a registration.
        let is_known = self.reported.contains_key(&report.room.as_chain());
        let state = self.connections.get_mut(&connection);
        let state = state.filter(|_| !is_known);
        if state.is_some_and(|state| state.creations.take(now, 1).is_some()) {
            let text = "too many networks from here, try again later";
            return self.send_error(connection, ErrorCode::RateLimited, text);
        }
        self.outputs
            .push_back(Output::CheckReports { connection, report });
    }

    pub(super) fn on_reset(&mut self, connection: ConnectionId, room: RoomId, reset: Vec<u8>) {
        if self.may_speak_of(connection, room) {
            self.outputs.push_back(Output::CheckReset {
                connection,
                room,
                reset,
            });
        }
    }

    pub(super) fn on_question(
        &mut self,
        connection: ConnectionId,
        room: RoomId,
        question: Question,
    ) {
        if !self.may_speak_of(connection, room) {
            return;
        }
        let network = self.reported.get(&room.as_chain());
        let Some(chain_id) = network.map(|network| network.chain_id) else {
            return self.on_question_answered(connection, room, question, None);
        };
        self.outputs.push_back(Output::Ask(Asked {
            connection,
            room,
            chain_id,
            question,
        }));
    }

    pub(super) fn on_question_answered(
        &mut self,
        connection: ConnectionId,
        room: RoomId,
        question: Question,
        answer: Option<Vec<u8>>,
    ) {
        if !self.is_member(connection, room.as_chain()) {
            return;
        }
        let (network_id, answer) = (room.0.to_string(), answer.map(hex::encode));
        let message = match question {
            Question::Finality { .. } => ServerMessage::Finality {
                network_id,
                proof: answer,
            },
            Question::Reset { number } => ServerMessage::ResetReceipt {
                network_id,
                number,
                receipt: answer,
            },
        };
        self.send(connection, &message);
    }

    /// Notes where a reported network stands, and tells its room what is new.
    pub(super) fn on_room_reported(&mut self, network: RoomNetwork) {
        let room = network.room.as_chain();
        let before = self.reported.insert(room, network.clone());
        let is_new_tip = before.as_ref().is_none_or(|old| old.tip != network.tip);
        let is_new_anchor = before.is_none_or(|old| old.anchor != network.anchor);
        if is_new_tip {
            // After a reset to the genesis there is none: its height and hash are those of the chain itself.
            let chain_id = network.chain_id.to_string();
            let (height, hash) = network
                .tip
                .map_or_else(|| (0, chain_id.clone()), |tip| (tip.height, tip.hash));
            let network_id = network.room.0.to_string();
            let tip = ServerMessage::Tip {
                network_id,
                chain_id,
                height,
                hash,
            };
            // As of an open network, a tip is this tracker's own: members of others report to theirs.
            self.send_room(room, None, &tip);
        }
        if let Some(anchor) = network.anchor.filter(|_| is_new_anchor) {
            self.tell_everywhere(room, &ServerMessage::Anchor(anchor));
        }
    }

    /// What was executed is news for the whole room; a refusal is for who asked.
    pub(super) fn on_reset_checked(
        &mut self,
        connection: Option<ConnectionId>,
        room: RoomId,
        number: u32,
        outcome: ResetOutcome,
    ) {
        let (status, reason) = match outcome {
            ResetOutcome::Executed => (UpdateStatus::Accepted, None),
            ResetOutcome::Refused(reason) => (UpdateStatus::Refused, Some(reason)),
        };
        if status == UpdateStatus::Accepted
            && let Some(network) = self.reported.get_mut(&room.as_chain())
        {
            // Who joins before the ledger's next fact is told, too.
            network.resets = network.resets.max(number);
        }
        let result = ServerMessage::ResetResult {
            network_id: room.0.to_string(),
            number,
            status,
            reason,
        };
        match (status, connection) {
            (UpdateStatus::Accepted, _) => self.tell_everywhere(room.as_chain(), &result),
            (UpdateStatus::Refused, Some(to)) if self.is_member(to, room.as_chain()) => {
                self.send(to, &result);
            }
            (UpdateStatus::Refused, _) => {}
        }
    }

    /// Tells the room's members here and at other trackers.
    fn tell_everywhere(&mut self, room: ChainId, message: &ServerMessage) {
        self.send_room(room, None, message);
        self.publish_to_room(room, to_text(message));
    }

    /// Whether a connection is in this private room; who is not is told so.
    fn may_speak_of(&mut self, connection: ConnectionId, room: RoomId) -> bool {
        let is_member =
            self.is_member(connection, room.as_chain()) && self.is_in_private_room(connection);
        if !is_member {
            let text = "only members of a private room report it or ask about it";
            self.send_error(connection, ErrorCode::NotJoined, text);
        }
        is_member
    }
}
