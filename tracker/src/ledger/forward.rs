//! Between the outbox, the chains and the validator: what to post next, and what an answer means.

use api::BlockchainUpdate;
use shared::hash::Hash;
use shared::ids::{ChainId, Height, TimestampMs};

use super::outbox::Flight;
use super::{Book, Change, Forwarding, Ledger, Output};
use crate::hub;
use crate::limits;

/// What the validator said to an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took the blocks, or had them.
    Accepted(Acceptance),
    /// It does not know the first block's parent.
    Behind {
        /// The tenant's tip at the validator; height 0 if it has none.
        tip: (Height, Option<Hash>),
    },
    /// It knows another chain under the name that the update used.
    NameTaken,
    /// The owner of the private network voided these blocks.
    Void,
    /// It knows a final block that these leave out.
    LeavesFinal,
    /// It refused the blocks.
    Refused {
        /// Why.
        reason: String,
    },
    /// It could not be reached or failed.
    Failed {
        /// How; it is told to anyone, so it is nothing that the validator says of a network.
        reason: String,
    },
}

/// Where the validator stands after an update that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The height of the tenant's tip at the validator.
    pub height: Height,
    /// The hash of that tip.
    pub hash: Hash,
    /// The enterprise block that anchors it.
    pub enterprise_height: u64,
    /// That block's hash.
    pub enterprise_hash: Hash,
}

impl Ledger {
    /// Posts what is due.
    pub(super) fn forward_due(&mut self, now: TimestampMs) {
        while let Some((chain_id, first)) = self.outbox.due(now) {
            let Some(book) = self.books.get(&chain_id) else {
                return self.outbox.idle(chain_id);
            };
            let batch = book.batch(first);
            let Some(last) = batch.last() else {
                self.outbox.idle(chain_id);
                continue;
            };
            let update = BlockchainUpdate {
                network_id: book.reported_as.to_string(),
                chain_id: Some(chain_id.to_string()),
                genesis: Some(book.genesis_hex.to_string()),
                peer_id: FORWARDER.to_owned(),
                new_blocks: batch.blocks,
                new_reports: batch.reports,
                timestamp: now.0,
            };
            self.outbox.sent(chain_id, first, last);
            self.outputs.push_back(Output::Forward {
                chain_id,
                update: Box::new(update),
            });
        }
    }

    /// The main chain changed from `from` on: that is to be sent.
    pub(super) fn enqueue(&mut self, now: TimestampMs, chain_id: ChainId, from: Height) {
        if self.forwarding == Forwarding::On {
            self.outbox.enqueue(now, chain_id, from);
        }
    }

    /// Sends each network's newest confirmed block again, to learn whether the validator still has it.
    pub(super) fn probe_all(&mut self, now: TimestampMs) {
        let starts: Vec<_> = self
            .books
            .iter()
            .map(|(chain_id, book)| (*chain_id, probe_height(book)))
            .collect();
        for (chain_id, from) in starts {
            self.enqueue(now, chain_id, from);
        }
    }

    pub(super) fn on_answered(&mut self, now: TimestampMs, chain_id: ChainId, answer: Answer) {
        let Some(mut flight) = self.outbox.landed(chain_id) else {
            return;
        };
        // A reset may have left less than was sent.
        let tip = self
            .books
            .get(&chain_id)
            .map(|book| book.chain.tip().height);
        flight.first = flight.first.min(tip.unwrap_or(flight.first).max(Height(1)));
        let misses = std::mem::take(&mut self.misses);
        if !matches!(answer, Answer::Failed { .. }) && misses > 0 {
            self.on_reached(now, chain_id, misses);
        }
        match answer {
            Answer::Accepted(acceptance) => self.on_accepted(now, chain_id, flight, acceptance),
            Answer::Behind { tip } => self.on_behind(now, chain_id, flight, tip),
            Answer::NameTaken => self.on_name_taken(now, chain_id, flight),
            Answer::Void => {
                self.ask_resets(now, chain_id);
                self.outbox.refused(now, chain_id, flight.first);
            }
            Answer::LeavesFinal => self.on_leaves_final(now, chain_id, flight),
            Answer::Refused { .. } => {
                self.note_failure(chain_id, REFUSED);
                self.outbox.refused(now, chain_id, flight.first);
            }
            Answer::Failed { reason } => {
                self.misses = misses.saturating_add(1);
                self.last_failure = Some(reason);
                self.outbox.retry(now, chain_id, flight.first);
            }
        }
    }

    /// The validator answers again. The networks that have nothing to send are asked after, since it may be another than
    /// before; and if it was an outage, not one network's failure among successes, what waits goes at once.
    fn on_reached(&mut self, now: TimestampMs, chain_id: ChainId, misses: usize) {
        if misses >= limits::FORWARDS_IN_FLIGHT_MAX {
            self.outbox.hurry(now);
        }
        self.probe_idle(now, chain_id);
    }

    fn on_accepted(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        flight: Flight,
        acceptance: Acceptance,
    ) {
        let Acceptance { height, hash, .. } = acceptance;
        self.reset_soon(now, chain_id);
        let Some(book) = self.books.get_mut(&chain_id) else {
            return;
        };
        let is_ours = book.has(height, &hash);
        if is_ours && book.confirm(now, acceptance) {
            let (confirmed, anchor) = (book.confirmed.clone(), book.anchor());
            let book_room = book.room_network();
            self.outputs.push_back(Output::Persist(Change::Confirmed {
                chain_id,
                confirmed,
            }));
            if let Some(known) = book_room {
                self.tell(hub::Input::RoomReported(known));
            } else if let Some(anchor) = anchor {
                self.tell(hub::Input::Anchored { chain_id, anchor });
            }
        }
        let Some(book) = self.books.get(&chain_id) else {
            return;
        };
        let our_tip = book.chain.tip().height;
        let sent_to = if is_ours {
            height.max(flight.last)
        } else {
            flight.last
        };
        if flight.outdated {
            // The branch that was sent is no longer the main chain; send the new one from where they part.
            let is_known = is_ours || book.chain.header(&hash).is_some();
            let from = if is_known {
                book.common_height(hash).next()
            } else {
                flight.first
            };
            self.outbox.advance(now, chain_id, from);
        } else if is_ours && height < flight.last {
            // Kept by enough validators, but not decided: too few of them are alive.
            self.note_failure(chain_id, UNDECIDED);
            self.outbox.retry(now, chain_id, height.next());
        } else if sent_to >= our_tip && !is_ours {
            // Everything is there, yet the validator follows another branch that we do not have. Ask again later:
            // ours may grow heavier, or a peer may report the other one.
            self.note_failure(chain_id, OTHER_BRANCH);
            self.outbox.refused(now, chain_id, our_tip);
        } else {
            self.outbox.advance(now, chain_id, sent_to.next());
        }
        self.settle_failure();
    }

    /// The validator lacks blocks below those it was sent: send from what it says it has.
    fn on_behind(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        flight: Flight,
        tip: (Height, Option<Hash>),
    ) {
        let Some(book) = self.books.get_mut(&chain_id) else {
            return;
        };
        let (height, hash) = tip;
        let known = height == Height::GENESIS || hash.is_some_and(|hash| book.has(height, &hash));
        let next = match hash {
            _ if known => height.next(),
            Some(hash) if book.chain.header(&hash).is_some() => book.common_height(hash).next(),
            _ => step_back(flight.first, self.outbox.failures(chain_id)),
        };
        let has_lost = known
            && book
                .confirmed
                .as_ref()
                .is_some_and(|confirmed| confirmed.height > height.0);
        if has_lost {
            book.unconfirm(now);
            self.outputs.push_back(Output::Persist(Change::Confirmed {
                chain_id,
                confirmed: None,
            }));
            self.probe_idle(now, chain_id);
        }
        if next < flight.first {
            self.outbox.advance(now, chain_id, next);
        } else {
            // It says it has the parent and yet does not know it.
            self.last_failure = Some("the validator refuses blocks that follow its own tip".into());
            self.outbox.retry(now, chain_id, next.min(flight.first));
        }
    }

    /// The validator got to know another chain under our label first: ours is reported beside it.
    fn on_name_taken(&mut self, now: TimestampMs, chain_id: ChainId, flight: Flight) {
        let Some(book) = self.books.get_mut(&chain_id) else {
            return;
        };
        if book.report_beside() {
            self.outbox.advance(now, chain_id, flight.first);
        } else {
            self.note_failure(chain_id, OTHER_CHAIN);
            self.outbox.refused(now, chain_id, flight.first);
        }
    }

    /// Asks after the networks for which nothing is under way; the others are about to learn it anyway.
    fn probe_idle(&mut self, now: TimestampMs, except: ChainId) {
        let idle = self
            .books
            .iter()
            .filter(|(chain_id, _)| **chain_id != except && self.outbox.is_idle(**chain_id));
        let starts: Vec<_> = idle
            .map(|(chain_id, book)| (*chain_id, probe_height(book)))
            .collect();
        for (chain_id, from) in starts {
            self.enqueue(now, chain_id, from);
        }
    }
}

/// Where to ask whether the validator still has what it confirmed.
fn probe_height(book: &Book) -> Height {
    let common = book
        .confirmed
        .as_ref()
        .map_or(Height::GENESIS, |confirmed| {
            book.common_height(confirmed.hash)
        });
    Height(common.0.max(1))
}

/// Further back with each try: the fork is likely near.
fn step_back(first: Height, tries: u32) -> Height {
    let blocks = u32::try_from(limits::UPDATE_BLOCKS_MAX).unwrap_or(u32::MAX);
    let step = blocks.checked_shl(tries.min(16)).unwrap_or(u32::MAX);
    Height(first.0.saturating_sub(step).max(1))
}

/// Who reports to the validator; for its records only.
const FORWARDER: &str = "tracker";

// What `/health` says to anyone, so that none of it names a network.
const REFUSED: &str = "the validator refused blocks of a network; the log says of which and why";
const UNDECIDED: &str = "the validators keep blocks and cannot decide them yet";
const OTHER_BRANCH: &str =
    "the validator follows another branch of a network; the log says of which";
const OTHER_CHAIN: &str =
    "the validator knows another chain by a network's name; the log says of which";
