//! Resets of private networks, on their way to the enterprise chain.
//!
//! A reset is durable here before it goes out, and goes out again until the enterprise chain executed or refused it. What it voids
//! leaves the chain only once it is executed; the room is told then. The member that sent it hears of a refusal, if it is still here.
//!
//! Limits: one reset of a network on its way; its pauses are those of the outbox.

use serde::{Deserialize, Serialize};
use shared::enterprise::Reset;
use shared::ids::{ChainId, Height, TimestampMs};
use shared::private::RoomId;

use super::outbox::pause_ms;
use super::{Change, Ledger, Output};
use crate::hub::{self, ConnectionId, ResetOutcome};
use crate::limits;

/// A reset that the enterprise chain has not executed yet.
#[derive(Debug)]
pub(super) struct Pending {
    reset: Reset,
    /// Who hears of a refusal.
    asker: Option<ConnectionId>,
    /// When it goes out; none while it is on its way.
    pub(super) due: Option<TimestampMs>,
    failures: u32,
}

/// What a validator said to a reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetAnswer {
    /// A block holds it.
    Executed,
    /// It waits for a block.
    Waiting,
    /// It will never be executed.
    Refused {
        /// Why.
        reason: String,
    },
    /// No validator could be reached, or it failed.
    Failed {
        /// How.
        reason: String,
    },
}

/// What the store holds of a network's resets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReset {
    /// How many were executed.
    pub executed: u32,
    /// The one on its way, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
}

impl Ledger {
    pub(super) fn on_reset_asked(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        room: RoomId,
        bytes: &[u8],
    ) {
        match self.check_reset(room, bytes) {
            Ok((chain_id, reset)) => {
                let pending = Pending {
                    reset,
                    asker: Some(connection),
                    due: Some(now),
                    failures: 0,
                };
                self.resets.insert(chain_id, pending);
                self.persist_resets(chain_id);
            }
            Err((number, reason)) => self.tell(hub::Input::ResetChecked {
                connection: Some(connection),
                room,
                number,
                outcome: ResetOutcome::Refused(reason),
            }),
        }
    }

    /// The reset and its network, if it is one that may go out.
    fn check_reset(&self, room: RoomId, bytes: &[u8]) -> Result<(ChainId, Reset), (u32, String)> {
        let reset = Reset::decode(bytes).map_err(|error| (0, error.to_string()))?;
        let refuse = |reason: String| Err((reset.number, reason));
        let book = self.rooms.get(&room).and_then(|id| self.books.get(id));
        let Some(book) = book else {
            return refuse("nothing of this network is reported here".into());
        };
        let chain_id = book.chain_id();
        let expected = book.resets.saturating_add(1);
        if reset.number != expected {
            return refuse(format!("reset {}, the next is {expected}", reset.number));
        }
        let other = self.resets.get(&chain_id);
        if other.is_some_and(|pending| pending.reset != reset) {
            return refuse("another reset of this network is on its way".into());
        }
        if !reset.is_of(book.chain.genesis()) {
            return refuse("only the network's owner resets it".into());
        }
        Ok((chain_id, reset))
    }

    /// Posts the resets that are due.
    pub(super) fn resets_due(&mut self, now: TimestampMs) {
        let due = self.resets.iter_mut();
        let due = due.filter(|(_, pending)| pending.due.is_some_and(|due| due <= now));
        for (chain_id, pending) in due {
            pending.due = None;
            self.outputs.push_back(Output::ForwardReset {
                chain_id: *chain_id,
                number: pending.reset.number,
                reset: pending.reset.encode(),
            });
        }
    }

    pub(super) fn on_reset_answered(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        number: u32,
        answer: ResetAnswer,
    ) {
        let pending = self.resets.get_mut(&chain_id);
        let Some(pending) = pending.filter(|pending| pending.reset.number == number) else {
            return;
        };
        match answer {
            ResetAnswer::Executed => self.on_reset_executed(now, chain_id),
            ResetAnswer::Waiting => pending.due = Some(now.plus_ms(limits::RESET_POLL_MS)),
            ResetAnswer::Failed { reason } => {
                pending.due = Some(now.plus_ms(pause_ms(pending.failures)));
                pending.failures = pending.failures.saturating_add(1);
                self.last_failure = Some(reason);
            }
            ResetAnswer::Refused { reason } => {
                let asker = pending.asker;
                self.resets.remove(&chain_id);
                self.persist_resets(chain_id);
                let outcome = ResetOutcome::Refused(reason);
                self.tell_reset(chain_id, number, asker, outcome);
            }
        }
    }

    fn on_reset_executed(&mut self, now: TimestampMs, chain_id: ChainId) {
        let Some(pending) = self.resets.remove(&chain_id) else {
            return;
        };
        let Some(book) = self.books.get_mut(&chain_id) else {
            return;
        };
        let Reset { number, from, .. } = pending.reset;
        let blocks = book.reset(number, from);
        self.outputs.push_back(Output::Persist(Change::Confirmed {
            chain_id,
            confirmed: None,
        }));
        self.outputs
            .push_back(Output::Persist(Change::BlocksGone { chain_id, blocks }));
        self.persist_resets(chain_id);
        self.tell_room(chain_id);
        self.tell_reset(chain_id, number, pending.asker, ResetOutcome::Executed);
        // To learn of the anchor of what stays.
        let stays = Height(from.0.saturating_sub(1).max(1));
        self.enqueue(now, chain_id, stays);
    }

    fn tell_reset(
        &mut self,
        chain_id: ChainId,
        number: u32,
        connection: Option<ConnectionId>,
        outcome: ResetOutcome,
    ) {
        let book = self.books.get(&chain_id);
        if let Some(room) = book.and_then(|book| book.chain.room()) {
            self.tell(hub::Input::ResetChecked {
                connection,
                room,
                number,
                outcome,
            });
        }
    }

    fn persist_resets(&mut self, chain_id: ChainId) {
        let executed = self.books.get(&chain_id).map_or(0, |book| book.resets);
        let pending = self.resets.get(&chain_id);
        let pending = pending.map(|pending| hex::encode(pending.reset.encode()));
        let resets = StoredReset { executed, pending };
        self.outputs
            .push_back(Output::Persist(Change::Resets { chain_id, resets }));
    }

    /// Puts a network's resets of the store back.
    ///
    /// # Errors
    /// The one on its way is none.
    pub fn restore_resets(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        stored: &StoredReset,
    ) -> Result<(), String> {
        if let Some(book) = self.books.get_mut(&chain_id) {
            book.resets = stored.executed;
        }
        let Some(text) = &stored.pending else {
            return Ok(());
        };
        let bytes = hex::decode(text).map_err(|error| error.to_string())?;
        let reset = Reset::decode(&bytes).map_err(|error| error.to_string())?;
        let pending = Pending {
            reset,
            asker: None,
            due: Some(now),
            failures: 0,
        };
        self.resets.insert(chain_id, pending);
        Ok(())
    }
}
