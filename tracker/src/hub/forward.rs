//! Messages from one peer to another, and from one peer to its room.

use api::ws::{ErrorCode, ServerMessage};
use api::{TenantBlock, TenantTransaction};
use shared::ids::ChainId;

use super::message::Forward;
use super::rooms::SEALED_ONLY;
use super::{ConnectionId, Hub, Output};
use crate::label::Label;

impl Hub {
    /// Hands a message to the named peer, if that is in the sender's own room.
    pub(super) fn on_forward(&mut self, connection: ConnectionId, forward: Forward) {
        let Some((chain_id, sender)) = self.membership(connection) else {
            return self.refuse_outsider(connection);
        };
        let target = forward.target;
        let receiver = self
            .rooms
            .get(&chain_id)
            .and_then(|room| room.get(&target))
            .copied();
        let Some(receiver) = receiver.filter(|receiver| *receiver != connection) else {
            let text = forward.from_sender(sender);
            if self.forward_elsewhere(chain_id, sender, target, text) {
                return;
            }
            let error = ServerMessage::Error {
                code: ErrorCode::PeerUnknown,
                message: "no such peer in this network".into(),
                network_id: None,
                suggestion: None,
                target: Some(target.to_string()),
            };
            return self.send(connection, &error);
        };
        let text = forward.from_sender(sender);
        self.relayed.here.count(&text);
        self.outputs.push_back(Output::Send {
            connections: vec![receiver],
            text,
        });
    }

    pub(super) fn on_block(&mut self, connection: ConnectionId, block: Box<TenantBlock>) {
        let Some(chain_id) = self.open_room(connection) else {
            return;
        };
        self.outputs.push_back(Output::CheckBlock {
            connection,
            chain_id,
            block,
        });
    }

    pub(super) fn on_transaction(
        &mut self,
        connection: ConnectionId,
        transaction: Box<TenantTransaction>,
    ) {
        let Some(chain_id) = self.open_room(connection) else {
            return;
        };
        self.outputs.push_back(Output::CheckTransaction {
            connection,
            chain_id,
            transaction,
        });
    }

    pub(super) fn on_update(
        &mut self,
        connection: ConnectionId,
        label: &Label,
        blocks: Vec<TenantBlock>,
    ) {
        let Some(chain_id) = self.open_room(connection) else {
            return;
        };
        if !self.names_chain(label, chain_id) {
            let text = format!("an update of {label} from a peer of another network");
            return self.send_error(connection, ErrorCode::NotJoined, text);
        }
        self.outputs.push_back(Output::Check {
            connection,
            chain_id,
            blocks,
        });
    }

    /// The open network that a connection is in; who is in none is told so.
    fn open_room(&mut self, connection: ConnectionId) -> Option<ChainId> {
        let Some((chain_id, _)) = self.membership(connection) else {
            self.refuse_outsider(connection);
            return None;
        };
        if self.is_in_private_room(connection) {
            self.send_error(connection, ErrorCode::BadMessage, SEALED_ONLY);
            return None;
        }
        Some(chain_id)
    }

    /// Whether `label` means this chain: the label it is kept under, or its genesis' own network id.
    fn names_chain(&self, label: &Label, chain_id: ChainId) -> bool {
        self.networks.get(&chain_id).is_some_and(|network| {
            let kept = network.label.as_str();
            kept == label.as_str() || kept.split('~').next() == Some(label.as_str())
        })
    }

    fn refuse_outsider(&mut self, connection: ConnectionId) {
        self.send_error(connection, ErrorCode::NotJoined, "join the network first");
    }
}
