//! What the ledger reports back: registrations, checked updates, new tips and anchors. All of it is durable by then.

use api::ws::{ErrorCode, ServerMessage};
use api::{Anchor, TipReference, UpdateStatus};
use shared::ids::{ChainId, TimestampMs};

use super::bucket::Bucket;
use super::{ConnectionId, Hub, Network, Output, UpdateOutcome, to_text};
use crate::label::Label;
use crate::limits;

impl Hub {
    pub(super) fn on_registered(
        &mut self,
        now: TimestampMs,
        connection: Option<ConnectionId>,
        network: Network,
    ) {
        let created = ServerMessage::NetworkCreated {
            network_id: network.label.to_string(),
            chain_id: network.chain_id.to_string(),
        };
        let chain_id = network.chain_id;
        let is_new = !self.networks.contains_key(&chain_id);
        if let Some(connection) = connection {
            if is_new {
                self.publish_network(&network);
            } else {
                // It was here: nothing more is, and the others have it or learn of it by the digest.
                self.outputs.push_back(Output::GiveBack { connection });
            }
        }
        self.labels.insert(network.label.clone(), chain_id);
        if is_new {
            if network.listing.is_listed() {
                self.listed.insert(network.label.clone(), chain_id);
                self.on_listed(now, connection.is_some());
            }
            self.networks.insert(chain_id, network);
        }
        if let Some(connection) = connection.filter(|id| self.connections.contains_key(id)) {
            self.send(connection, &created);
        }
    }

    pub(super) fn on_registration_refused(
        &mut self,
        connection: ConnectionId,
        code: ErrorCode,
        reason: String,
        suggestion: Option<Label>,
    ) {
        if !self.connections.contains_key(&connection) {
            return;
        }
        self.outputs.push_back(Output::GiveBack { connection });
        let suggestion = suggestion.map(|label| label.to_string());
        let error = ServerMessage::Error {
            code,
            message: reason,
            network_id: None,
            suggestion,
            target: None,
        };
        self.send(connection, &error);
    }

    pub(super) fn on_update_checked(
        &mut self,
        connection: ConnectionId,
        chain_id: ChainId,
        outcome: UpdateOutcome,
    ) {
        // Who has moved to another room meanwhile hears no more of this one.
        if !self.is_member(connection, chain_id) {
            return;
        }
        let network = self.networks.get(&chain_id);
        let network_id =
            network.map_or_else(|| chain_id.to_string(), |network| network.label.to_string());
        let (status, tip, reason) = match outcome {
            UpdateOutcome::Accepted(tip) => (UpdateStatus::Accepted, tip, None),
            UpdateOutcome::Refused(tip, reason) => (UpdateStatus::Refused, tip, Some(reason)),
        };
        let result = ServerMessage::UpdateResult {
            network_id,
            status,
            height: tip.height,
            hash: tip.hash,
            reason,
        };
        self.send(connection, &result);
    }

    pub(super) fn on_relay_checked(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        chain_id: ChainId,
        verdict: Result<Box<ServerMessage>, String>,
    ) {
        match verdict {
            Ok(message) => {
                let text = to_text(&message);
                if self.may_show(now, chain_id, &text) {
                    self.send_text_to_room(chain_id, Some(connection), text.clone());
                    self.publish_to_room(chain_id, text);
                }
            }
            Err(reason) if self.is_member(connection, chain_id) => {
                self.send_error(connection, ErrorCode::BadMessage, reason);
            }
            Err(_) => {}
        }
    }

    /// Takes from what an open network's room is shown: a member may show what it likes again and again, and its own rate counts
    /// each text once, however many get it. No more rooms are noted than there are networks.
    pub(super) fn may_show(&mut self, now: TimestampMs, chain_id: ChainId, text: &str) -> bool {
        if !self.networks.contains_key(&chain_id) {
            return false;
        }
        let (burst, rate) = (
            limits::ROOM_SHOWN_BURST_BYTES,
            limits::ROOM_SHOWN_BYTES_PER_SECOND,
        );
        let shown = self.shown.entry(chain_id);
        let shown = shown.or_insert_with(|| Bucket::new(burst, rate, now));
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        shown.take_if_there(now, bytes).is_ok()
    }

    pub(super) fn on_tip_moved(&mut self, chain_id: ChainId, tip: TipReference) {
        let Some(network) = self.networks.get_mut(&chain_id) else {
            return;
        };
        let message = ServerMessage::Tip {
            network_id: network.label.to_string(),
            chain_id: chain_id.to_string(),
            height: tip.height,
            hash: tip.hash.clone(),
        };
        network.tip = Some(tip);
        self.send_room(chain_id, None, &message);
    }

    pub(super) fn on_anchored(&mut self, chain_id: ChainId, anchor: Anchor) {
        let Some(network) = self.networks.get_mut(&chain_id) else {
            return;
        };
        network.anchor = Some(anchor.clone());
        self.send_room(chain_id, None, &ServerMessage::Anchor(anchor));
    }
}
