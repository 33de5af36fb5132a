//! A private network before the enterprise chain: reports, proofs of finality and resets, all over the room's own connection.
//!
//! Without the owner's choice nothing of this is sent: the node then reports nothing, and where nothing is reported there is no proof
//! to ask for. A report is signed by this tab's key; its body is sealed by the network's body key, so that who keeps it can't read it.
//! What the tracker answers is passed to the node, which believes proofs only.

use api::ReportedBlock;
use api::ws::ClientMessage;
use api::{Anchor, TipReference, UpdateStatus};
use shared::block::Block;
use shared::enterprise::{HeaderId, Reset};
use shared::frame::Lane;
use shared::header::HEADER_BYTES;
use shared::ids::{Height, PeerId, TimestampMs};
use shared::mesh::FromTracker;
use shared::node;
use shared::private::NetworkKeys;
use shared::report::{Report, UncheckedSealed};

use super::Engine;
use super::tracker::{ENVELOPE_BYTES, tip_of};
use crate::seam::Event;

/// What a private network has beside its chain.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) keys: NetworkKeys,
    /// The caller's number and the reset that the tracker was given.
    asked: Option<(u64, u32)>,
}

impl Room {
    pub(super) const fn new(keys: NetworkKeys) -> Self {
        Self { keys, asked: None }
    }

    fn network_id(&self) -> String {
        self.keys.room().0.to_string()
    }
}

/// The user's choice in the node's words.
pub(super) const fn choice(on: bool) -> node::Reporting {
    if on {
        node::Reporting::On
    } else {
        node::Reporting::Off
    }
}

/// What the tracker says of a network that is reported to it.
pub(super) struct Reported {
    pub(super) tip: Option<TipReference>,
    pub(super) anchor: Option<Anchor>,
    pub(super) resets: u32,
}

impl Engine {
    /// We are in the room, and this is how far the network is reported.
    pub(super) fn on_room_joined(
        &mut self,
        now: TimestampMs,
        room: &str,
        peers: &[String],
        reported: Reported,
    ) -> Option<()> {
        let peers: Option<Vec<PeerId>> = peers.iter().map(|peer| peer.parse().ok()).collect();
        let (chain, peers) = (room.parse().ok()?, peers?);
        let tip = tip_of(reported.tip)?;
        self.from_tracker(now, FromTracker::Joined { chain, peers });
        if self.mesh.is_joined() {
            // First, so that nothing is reported on what may be void.
            let count = reported.resets;
            self.node_fact(now, node::Input::ResetsTold { count });
            self.node_fact(now, node::Input::TrackerConnected { tip });
            if let Some(anchor) = reported.anchor {
                self.on_anchor(&anchor)?;
            }
        }
        Some(())
    }

    /// The report of as many of these blocks as one message may carry.
    pub(super) fn reports_message(&self, room: &Room, blocks: &[Block]) -> Option<ClientMessage> {
        let chain = self.node.chain();
        let genesis = hex::encode(chain.genesis().encode());
        let taken = ENVELOPE_BYTES.saturating_add(genesis.len());
        let mut bytes_left = self.update_bytes_max.saturating_sub(taken);
        let mut latest_reports = Vec::new();
        for block in blocks {
            let shape = self.reported(room, block)?;
            let bytes = serde_json::to_string(&shape).map_or(usize::MAX, |text| text.len() + 1);
            if bytes > bytes_left {
                break;
            }
            bytes_left -= bytes;
            latest_reports.push(shape);
        }
        (!latest_reports.is_empty()).then(|| ClientMessage::BlockchainUpdate {
            network_id: room.network_id(),
            block_count: u64::from(chain.tip().height.0),
            latest_blocks: Vec::new(),
            latest_reports,
            genesis: Some(genesis),
        })
    }

    fn reported(&self, room: &Room, block: &Block) -> Option<ReportedBlock> {
        let genesis = self.node.genesis();
        let chain = self.node.chain().chain_id();
        let bytes = block.encode();
        let body = bytes.get(HEADER_BYTES..)?;
        let sealed = room.keys.seal_body(chain, &block.hash(), body);
        let report = Report::sign(&self.identity, chain, block.header().clone(), &sealed);
        let block = UncheckedSealed::new(report, sealed).ok()?;
        Some(ReportedBlock::from(&block.check_archived(genesis).ok()?))
    }

    /// Asks for the proof of the newest final block; false in an open network, where the driver asks.
    pub(super) fn ask_proof(
        &mut self,
        now: TimestampMs,
        size: u64,
        known: Option<HeaderId>,
    ) -> bool {
        let Some(room) = &self.room else {
            return false;
        };
        let network_id = room.network_id();
        let message = ClientMessage::GetFinality {
            network_id,
            size,
            known: known.as_ref().map(ToString::to_string),
        };
        self.send_to_tracker(now, &message, Lane::Normal);
        true
    }

    pub(super) fn ask_reset(&mut self, now: TimestampMs, number: u32) {
        if let Some(room) = &self.room {
            let network_id = room.network_id();
            let message = ClientMessage::GetReset { network_id, number };
            self.send_to_tracker(now, &message, Lane::Normal);
        }
    }

    /// The answer to a question for a proof.
    pub(super) fn on_finality(&mut self, now: TimestampMs, proof: Option<String>) -> Option<()> {
        let input = match proof {
            Some(proof) => node::Input::ProofReceived {
                bytes: hex::decode(proof).ok()?,
            },
            None => node::Input::ProofFailed,
        };
        self.node_fact(now, input);
        Some(())
    }

    /// The answer to a question for a receipt.
    pub(super) fn on_reset_receipt(
        &mut self,
        now: TimestampMs,
        number: u32,
        receipt: Option<String>,
    ) -> Option<()> {
        let input = match receipt {
            Some(receipt) => node::Input::ResetReceived {
                number,
                bytes: hex::decode(receipt).ok()?,
            },
            None => node::Input::ResetFailed,
        };
        self.node_fact(now, input);
        Some(())
    }

    /// The owner wants what is final from a height on to be void.
    pub(super) fn on_reset_wanted(&mut self, now: TimestampMs, request: u64, from: u32) {
        match self.signed_reset(Height(from)) {
            Ok((reset, message)) => {
                if let Some(room) = &mut self.room {
                    room.asked = Some((request, reset.number));
                }
                self.send_to_tracker(now, &message, Lane::Normal);
            }
            Err(reason) => self.event(Event::ResetRefused { request, reason }),
        }
    }

    fn signed_reset(&self, from: Height) -> Result<(Reset, ClientMessage), String> {
        let Some(room) = self.room.as_ref().filter(|_| self.is_owner()) else {
            return Err(
                "only the owner of a private network resets it, in the tab that made it".into(),
            );
        };
        if room.asked.is_some() {
            return Err("another reset is on its way".into());
        }
        if !self.mesh.is_joined() {
            return Err("the tracker is not connected, so nobody would hear of it".into());
        }
        if let Some(number) = self.node.next_reset() {
            return Err(format!("reset {number} has not come here yet"));
        }
        let newest = self.node.status().final_height;
        if from == Height::GENESIS || from > newest {
            return Err(format!(
                "block {from} is not final here; the newest final one is {newest}"
            ));
        }
        let chain = self.node.chain();
        let below = Height(from.0.saturating_sub(1));
        let stays = if below == Height::GENESIS {
            Some(chain.chain_id().0)
        } else {
            chain.hash_at(below)
        };
        let stays = stays.ok_or_else(|| format!("block {below} is not here yet"))?;
        let number = self.node.resets().saturating_add(1);
        let reset = Reset::sign(&self.identity, chain.chain_id(), number, from, stays);
        let message = ClientMessage::ResetNetwork {
            network_id: room.network_id(),
            reset: hex::encode(reset.encode()),
        };
        Ok((reset, message))
    }

    /// What became of a reset: the one that was sent from here, or one that the whole room is told of.
    pub(super) fn on_reset_result(
        &mut self,
        now: TimestampMs,
        number: u32,
        status: UpdateStatus,
        reason: Option<String>,
    ) {
        let asked = self.room.as_mut().and_then(|room| room.asked.take());
        if let Some((request, asked)) = asked {
            let is_taken = status == UpdateStatus::Accepted && number == asked;
            self.event(if is_taken {
                Event::ResetTaken { request, number }
            } else {
                let reason = reason.unwrap_or_else(|| "it was refused".into());
                Event::ResetRefused { request, reason }
            });
        }
        if status == UpdateStatus::Accepted {
            self.node_fact(now, node::Input::ResetsTold { count: number });
        }
    }

    /// Nobody will answer a reset that was sent on this connection.
    pub(super) fn forget_asked(&mut self, reason: &str) {
        let asked = self.room.as_mut().and_then(|room| room.asked.take());
        if let Some((request, _)) = asked {
            let reason = reason.to_owned();
            self.event(Event::ResetRefused { request, reason });
        }
    }
}
