//! Resets of private networks: on their way to the enterprise chain, and as it executed them.
//!
//! A reset is durable here before it goes out, and goes out again until the enterprise chain executed or refused it; a validator that
//! does not know the network, or lacks a reset before it, refuses nothing. What it voids
//! leaves the chain only once it is executed; the room is told then. The member that sent it hears of a refusal, if it is still here.
//!
//! A reset may also be executed that never came by here: by way of another tracker, say. A validator is asked for those when it
//! calls a block void, when a member hands in a reset out of turn, and when reports come beside the chain that is kept here, as
//! those of the chain after a reset would. Whoever answers: only what the owner signed is followed, each once and in turn.
//!
//! Limits: one reset of a network on its way, [`limits::FORWARDS_IN_FLIGHT_MAX`] of all, the longest due first; pauses are those of the outbox; one question in [`limits::RESETS_ASK_MS`] for each
//! network.

use serde::{Deserialize, Serialize};
use shared::enterprise::Reset;
use shared::ids::{ChainId, Height, TimestampMs};
use shared::private::RoomId;

use super::outbox::{pause_ms, refused_pause_ms};
use super::{Change, Forwarding, Ledger, Output};
use crate::hub::{self, ConnectionId, ResetOutcome};
use crate::limits;

/// A reset that the enterprise chain has not executed yet.
#[derive(Debug)]
pub(super) struct Pending {
    reset: Reset,
    /// Who hears of a refusal.
    asker: Option<ConnectionId>,
    /// When it goes out; none while it is on its way.
    due: Option<TimestampMs>,
    pub(super) failures: u32,
    /// Those of them where the validators were not as far.
    delays: u32,
}

impl Pending {
    const fn new(reset: Reset, asker: Option<ConnectionId>, now: TimestampMs) -> Self {
        Self {
            reset,
            asker,
            due: Some(now),
            failures: 0,
            delays: 0,
        }
    }
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
    /// The validators don't know the network, or lack a reset before this one.
    TooEarly,
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
        let (chain_id, reset) = match self.check_reset(room, bytes) {
            Ok(checked) => checked,
            Err((number, reason)) => {
                return self.tell(hub::Input::ResetChecked {
                    connection: Some(connection),
                    room,
                    number,
                    outcome: ResetOutcome::Refused(reason),
                });
            }
        };
        if let Some(pending) = self.resets.get_mut(&chain_id) {
            // The same one, asked for again.
            pending.asker = Some(connection);
            return;
        }
        let executed = self.books.get(&chain_id).map_or(0, |book| book.resets);
        if reset.number > executed.saturating_add(1) {
            self.ask_resets(now, chain_id);
        }
        let pending = Pending::new(reset, Some(connection), now);
        self.resets.insert(chain_id, pending);
        self.persist_resets(chain_id);
    }

    /// The reset and its network, if it is one that may go out.
    fn check_reset(&self, room: RoomId, bytes: &[u8]) -> Result<(ChainId, Reset), (u32, String)> {
        let reset = Reset::decode(bytes).map_err(|error| (0, error.to_string()))?;
        let refuse = |reason: String| Err((reset.number, reason));
        let book = self.rooms.get(&room).and_then(|id| self.books.get(id));
        let Some(book) = book else {
            return refuse("nothing of this network is reported here".into());
        };
        if self.forwarding == Forwarding::Off {
            return refuse("this tracker has no enterprise chain behind it".into());
        }
        if reset.number <= book.resets {
            let executed = book.resets;
            return refuse(format!("{executed} resets were executed already"));
        }
        if !reset.is_of(book.chain.genesis()) {
            return refuse("only the network's owner resets it".into());
        }
        let chain_id = book.chain_id();
        let other = self.resets.get(&chain_id);
        if other.is_some_and(|pending| pending.reset != reset) {
            return refuse("another reset of this network is on its way".into());
        }
        Ok((chain_id, reset))
    }

    /// Posts the resets that are due, the longest due first.
    pub(super) fn resets_due(&mut self, now: TimestampMs) {
        for _ in 0..self.reset_places() {
            let due = self.resets.iter_mut();
            let due = due.filter_map(|(chain_id, pending)| Some((pending.due?, chain_id, pending)));
            let first = due.min_by_key(|(due, chain_id, _)| (*due, **chain_id));
            let Some((_, chain_id, pending)) = first.filter(|(due, ..)| *due <= now) else {
                return;
            };
            pending.due = None;
            self.outputs.push_back(Output::ForwardReset {
                chain_id: *chain_id,
                number: pending.reset.number,
                reset: pending.reset.encode(),
            });
        }
    }

    /// A validator knows the network now: a reset that came too early goes out again soon.
    pub(super) fn reset_soon(&mut self, now: TimestampMs, chain_id: ChainId) {
        let latest = now.plus_ms(limits::BACKOFF_MAX_MS);
        if let Some(pending) = self.resets.get_mut(&chain_id) {
            pending.due = pending.due.map(|due| due.min(latest));
        }
    }

    /// How many more may be on their way at once.
    fn reset_places(&self) -> usize {
        let flying = self.resets.values();
        let flying = flying.filter(|pending| pending.due.is_none()).count();
        limits::FORWARDS_IN_FLIGHT_MAX.saturating_sub(flying)
    }

    /// When the next reset is due; none while so many are on their way that it waits for one of them.
    pub(super) fn resets_wake_at(&self) -> Option<TimestampMs> {
        let due = self.resets.values().filter_map(|pending| pending.due);
        due.min().filter(|_| self.reset_places() > 0)
    }

    pub(super) fn on_reset_answered(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        number: u32,
        answer: ResetAnswer,
    ) {
        let executed = self.books.get(&chain_id).map_or(0, |book| book.resets);
        let pending = self.resets.get_mut(&chain_id);
        let on_its_way =
            pending.filter(|pending| pending.reset.number == number && pending.due.is_none());
        let Some(pending) = on_its_way else {
            return;
        };
        match answer {
            ResetAnswer::Executed if number == executed.saturating_add(1) => {
                let reset = pending.reset.clone();
                self.follow_reset(now, &reset);
            }
            ResetAnswer::Executed => {
                // Those before it are followed first.
                pending.due = Some(now.plus_ms(limits::RESETS_ASK_MS));
                self.ask_resets(now, chain_id);
            }
            ResetAnswer::Waiting => {
                (pending.failures, pending.delays) = (0, 0);
                pending.due = Some(now.plus_ms(limits::RESET_POLL_MS));
                self.settle_failure();
            }
            ResetAnswer::TooEarly => {
                pending.due = Some(now.plus_ms(refused_pause_ms(pending.delays)));
                pending.failures = pending.failures.saturating_add(1);
                pending.delays = pending.delays.saturating_add(1);
                self.last_failure = Some(TOO_EARLY.into());
                // Another may have been executed in its place.
                self.ask_resets(now, chain_id);
            }
            ResetAnswer::Failed { reason } => {
                pending.due = Some(now.plus_ms(pause_ms(pending.failures)));
                pending.failures = pending.failures.saturating_add(1);
                self.last_failure = Some(reason);
            }
            ResetAnswer::Refused { reason } => self.drop_pending(chain_id, reason),
        }
    }

    /// Asks a validator which resets were executed, but not all the time.
    pub(super) fn ask_resets(&mut self, now: TimestampMs, chain_id: ChainId) {
        let is_private = self
            .books
            .get(&chain_id)
            .is_some_and(|book| book.chain.room().is_some());
        let earliest = self.resets_asked.get(&chain_id);
        let earliest = earliest.map(|at| at.plus_ms(limits::RESETS_ASK_MS));
        let is_early = earliest.is_some_and(|earliest| now < earliest);
        if !is_private || is_early || self.forwarding == Forwarding::Off {
            return;
        }
        self.resets_asked.insert(chain_id, now);
        self.outputs.push_back(Output::AskResets { chain_id });
    }

    /// Follows what the owner signed of a validator's answer.
    pub(super) fn on_resets_told(&mut self, now: TimestampMs, chain_id: ChainId, resets: &[Reset]) {
        for reset in resets {
            let book = self.books.get(&chain_id);
            let is_next = book.is_some_and(|book| {
                reset.number == book.resets.saturating_add(1) && reset.is_of(book.chain.genesis())
            });
            if is_next {
                self.follow_reset(now, reset);
            }
        }
    }

    /// An executed reset: what it voids is gone here.
    fn follow_reset(&mut self, now: TimestampMs, reset: &Reset) {
        let (chain_id, number, from) = (reset.chain_id, reset.number, reset.from);
        let Some(book) = self.books.get_mut(&chain_id) else {
            return;
        };
        let others_bytes = self.kept_bytes.saturating_sub(book.kept_bytes());
        book.reset(now, number, from);
        self.kept_bytes = others_bytes.saturating_add(book.kept_bytes());
        let pending = self.resets.get(&chain_id);
        let is_done = pending.is_some_and(|pending| pending.reset == *reset);
        if is_done {
            self.resets.remove(&chain_id);
        }
        self.outputs.push_back(Output::Persist(Change::Confirmed {
            chain_id,
            confirmed: None,
        }));
        self.outputs
            .push_back(Output::Persist(Change::BlocksGone { chain_id, from }));
        self.persist_resets(chain_id);
        // The reset before the tip: so that members report nothing on what is void.
        self.tell_reset(chain_id, number, None, ResetOutcome::Executed);
        self.tell_room(chain_id);
        let other = self.resets.get(&chain_id);
        if other.is_some_and(|pending| pending.reset.number <= number) {
            self.drop_pending(chain_id, "another reset was executed in its place".into());
        }
        // To learn of the anchor of what stays.
        let stays = Height(from.0.saturating_sub(1).max(1));
        self.enqueue(now, chain_id, stays);
        self.settle_failure();
    }

    /// The reset on its way will never be executed.
    fn drop_pending(&mut self, chain_id: ChainId, reason: String) {
        let Some(pending) = self.resets.remove(&chain_id) else {
            return;
        };
        self.persist_resets(chain_id);
        self.settle_failure();
        let outcome = ResetOutcome::Refused(reason);
        self.tell_reset(chain_id, pending.reset.number, pending.asker, outcome);
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
    /// There is no such network, or the one on its way is none.
    pub fn restore_resets(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        stored: &StoredReset,
    ) -> Result<(), String> {
        let book = self
            .books
            .get_mut(&chain_id)
            .ok_or("resets of a network that is not stored")?;
        book.resets = stored.executed;
        let Some(text) = &stored.pending else {
            return Ok(());
        };
        let bytes = hex::decode(text).map_err(|error| error.to_string())?;
        let reset = Reset::decode(&bytes).map_err(|error| error.to_string())?;
        let pending = Pending::new(reset, None, now);
        self.resets.insert(chain_id, pending);
        Ok(())
    }
}

/// What `/health` says to anyone.
const TOO_EARLY: &str =
    "the validators do not know a network that is to be reset, or lack a reset before";
