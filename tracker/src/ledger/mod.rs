//! The ledger: which networks exist, which of their blocks are verified, and what the enterprise chain has of them.
//!
//! Purpose: a pure machine around one [`shared::chain::Chain`] an open network, and one [`shared::chain::ReportedChain`] a
//! private network that its members report. Every block that comes, from a peer or by
//! HTTP, is parsed, checked and connected with `shared` before it counts. Facts come in by [`Ledger::handle`], orders
//! come out of [`Ledger::poll`] in one queue, and an answer stands behind the [`Output::Persist`] it depends on: the
//! driver performs nothing that it polled after a persist before that is durable.
//!
//! What it does not do: no storage, no sockets, no HTTP; it does not know who is connected.
//!
//! Invariants: labels and chains of open networks are one to one, as are rooms and private networks; a private network is found by
//! its room only, and in no list or file for others; a block is in the chain only if it was checked here or comes from our
//! own store; `confirmed` names a block that the validator named by hash while it was on our main chain.
//!
//! Limits: [`crate::limits::NETWORKS_MAX`] networks; [`crate::limits::UPDATE_BLOCKS_MAX`] blocks an update; branches as bounded by
//! `shared`; blocks of one network and of all by what a [`Capacity`] says, beyond which they are refused and those before stay
//! (`kept.rs`). Chains stay in memory.

mod book;
mod branches;
mod export;
mod finality;
mod forward;
mod kept;
mod outbox;
mod registry;
mod reports;
mod resets;
mod traffic;
mod update;
mod verdicts;
mod waiting;
mod weight;

use std::collections::{BTreeMap, VecDeque};

use api::ws::ServerMessage;
use shared::genesis::Genesis;
use shared::ids::{ChainId, TimestampMs};
use shared::private::RoomId;

use self::book::Book;
pub use self::book::Confirmed;
pub use self::forward::{Acceptance, Answer};
pub use self::kept::Capacity;
use self::outbox::Outbox;
pub use self::resets::{ResetAnswer, StoredReset};
pub use self::traffic::{
    Asker, Change, Forwarding, Input, MemberReport, NetworkName, Output, Refusal, RequestId,
    Summary, UpdateVerdict,
};
use self::verdicts::Verdicts;
pub(crate) use self::weight::bytes_of_blocks;
use crate::hub::message::Listing;
use crate::hub::{self};
use crate::label::Label;

/// The machine. See the module's text.
#[derive(Debug)]
pub struct Ledger {
    forwarding: Forwarding,
    books: BTreeMap<ChainId, Book>,
    labels: BTreeMap<Label, ChainId>,
    rooms: BTreeMap<RoomId, ChainId>,
    outbox: Outbox,
    /// Resets that the enterprise chain has not executed yet.
    resets: BTreeMap<ChainId, resets::Pending>,
    /// When a validator was last asked which resets were executed.
    resets_asked: BTreeMap<ChainId, TimestampMs>,
    verdicts: Verdicts,
    capacity: Capacity,
    /// How much room the blocks of all networks take up.
    kept_bytes: u64,
    last_failure: Option<String>,
    /// Updates of any network in a row that the validator did not answer.
    misses: usize,
    wake_at: Option<TimestampMs>,
    outputs: VecDeque<Output>,
}

impl Ledger {
    /// A ledger without networks.
    pub fn new(forwarding: Forwarding) -> Self {
        Self {
            forwarding,
            books: BTreeMap::new(),
            labels: BTreeMap::new(),
            rooms: BTreeMap::new(),
            outbox: Outbox::default(),
            resets: BTreeMap::new(),
            resets_asked: BTreeMap::new(),
            verdicts: Verdicts::default(),
            capacity: Capacity::default(),
            kept_bytes: 0,
            last_failure: None,
            misses: 0,
            wake_at: None,
            outputs: VecDeque::new(),
        }
    }

    /// Bounds what is taken from now on; what is here stays.
    #[must_use]
    pub fn with_capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = capacity;
        self
    }

    /// Takes in one fact.
    pub fn handle(&mut self, now: TimestampMs, input: Input) {
        match input {
            Input::NetworkHeard { wish } => self.on_network_heard(wish),
            Input::RegistrationAsked { connection, wish } => {
                self.on_registration_asked(connection, wish)
            }
            Input::BlocksReported {
                asker,
                network,
                blocks,
            } => self.on_blocks_reported(now, asker, network, &blocks),
            Input::BlockShown {
                connection,
                chain_id,
                block,
            } => self.on_block_shown(connection, chain_id, block),
            Input::TransactionShown {
                connection,
                chain_id,
                transaction,
            } => {
                self.on_transaction_shown(connection, chain_id, transaction);
            }
            Input::Reported {
                connection,
                report,
                may_register,
            } => {
                self.on_reported(now, connection, *report, may_register);
            }
            Input::ResetAsked {
                connection,
                room,
                reset,
            } => self.on_reset_asked(now, connection, room, &reset),
            Input::ResetAnswered {
                chain_id,
                number,
                answer,
            } => self.on_reset_answered(now, chain_id, number, answer),
            Input::ResetsTold { chain_id, resets } => self.on_resets_told(now, chain_id, &resets),
            Input::FinalityTold { chain_id, proof } => self.on_finality_told(now, chain_id, &proof),
            Input::Answered { chain_id, answer } => self.on_answered(now, chain_id, answer),
            Input::Woken => self.wake_at = None,
        }
        self.forward_due(now);
        self.resets_due(now);
        self.schedule();
    }

    /// The next order, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Puts a network of the store back, before the first [`Ledger::handle`].
    ///
    /// # Errors
    /// The stored genesis is not one.
    pub fn restore_network(
        &mut self,
        label: Label,
        listing: Listing,
        genesis: &[u8],
    ) -> Result<ChainId, String> {
        let genesis =
            Genesis::decode(genesis).map_err(|error| format!("genesis of {label}: {error}"))?;
        let mut book = Book::new(label.clone(), listing, genesis);
        book.begin_batch();
        let chain_id = book.chain_id();
        match book.chain.room() {
            None => drop(self.labels.insert(label, chain_id)),
            Some(room) => drop(self.rooms.insert(room, chain_id)),
        }
        self.books.insert(chain_id, book);
        Ok(chain_id)
    }

    /// Puts a block of the store back; parents come before their children.
    ///
    /// Everything but the signatures is checked again: they were verified before the block was stored.
    ///
    /// # Errors
    /// The stored block is none, or does not connect.
    pub fn restore_block(&mut self, chain_id: ChainId, bytes: &[u8]) -> Result<(), String> {
        let book = self
            .books
            .get_mut(&chain_id)
            .ok_or("a block of a network that is not stored")?;
        let others_bytes = self.kept_bytes.saturating_sub(book.kept_bytes());
        let restored = book.restore(bytes);
        self.kept_bytes = others_bytes.saturating_add(book.kept_bytes());
        restored
    }

    /// Puts the newest confirmed block back.
    pub fn restore_confirmed(&mut self, chain_id: ChainId, confirmed: Confirmed) {
        if let Some(book) = self.books.get_mut(&chain_id) {
            book.confirmed = Some(confirmed);
        }
    }

    /// Ends the restoring: tells the hub of every network and plans to ask the validator what it has.
    pub fn restored(&mut self, now: TimestampMs) {
        for book in self.books.values_mut() {
            book.waits_since(now);
            let gone = book.restored().into_iter();
            self.outputs.extend(gone.map(Output::Persist));
        }
        self.kept_bytes = self.books.values().map(Book::kept_bytes).sum();
        for book in self.books.values() {
            let fact = book.room_network().map_or_else(
                || hub::Input::Registered {
                    connection: None,
                    network: book.network(),
                },
                hub::Input::RoomReported,
            );
            self.outputs.push_back(Output::Tell(Box::new(fact)));
        }
        self.probe_all(now);
        self.schedule();
    }

    /// Numbers for `/health`.
    pub fn summary(&self) -> Summary {
        let behind: Vec<_> = self
            .books
            .values()
            .filter(|book| !book.is_confirmed())
            .collect();
        Summary {
            networks: self.books.len(),
            unconfirmed_networks: behind.len(),
            unconfirmed_blocks: behind
                .iter()
                .map(|book| u64::from(book.unconfirmed()))
                .sum(),
            waiting_since: self.waiting_since(),
            kept_bytes: self.kept_bytes,
            kept_bytes_max: self.capacity.total_bytes_max,
            failing: self.failing(),
            last_failure: self.last_failure.clone(),
        }
    }

    /// Since when the oldest block of the outbox waits; a tracker alone has no outbox.
    fn waiting_since(&self) -> Option<TimestampMs> {
        let is_on = self.forwarding == Forwarding::On;
        let books = self.books.values().filter(|_| is_on);
        books.filter_map(Book::waiting_since).min()
    }

    /// How many updates and resets failed and are to be repeated.
    fn failing(&self) -> usize {
        let resets = self.resets.values();
        let resets = resets.filter(|pending| pending.failures > 0).count();
        self.outbox.failing().saturating_add(resets)
    }

    /// Forgets why something waited once nothing does.
    fn settle_failure(&mut self) {
        if self.failing() == 0 {
            self.last_failure = None;
        }
    }

    /// Keeps why something waits, for `/health`, which anyone may ask: whose it is, only the log says.
    fn note_failure(&mut self, chain_id: ChainId, reason: &'static str) {
        let label = self.books.get(&chain_id).map(|book| book.label.to_string());
        tracing::warn!(%chain_id, label, reason, "a network waits");
        self.last_failure = Some(reason.into());
    }

    fn tell(&mut self, fact: hub::Input) {
        self.outputs.push_back(Output::Tell(Box::new(fact)));
    }

    fn schedule(&mut self) {
        let resets = self.resets_wake_at().into_iter();
        let next = resets.chain(self.outbox.wake_at()).min();
        if let Some(at) = next
            && self.wake_at.is_none_or(|planned| at < planned)
        {
            self.wake_at = Some(at);
            self.outputs.push_back(Output::WakeAt { at });
        }
    }

    /// The open network of this name.
    fn find(&self, network: &NetworkName) -> Option<ChainId> {
        match network {
            NetworkName::Chain(chain_id) => {
                let book = self.books.get(chain_id)?;
                book.chain.room().is_none().then_some(*chain_id)
            }
            NetworkName::Label(label) => self.labels.get(label).copied(),
        }
    }
}

/// A message for a room, made of a checked block or transaction.
fn shown(message: ServerMessage) -> Box<ServerMessage> {
    Box::new(message)
}

#[cfg(test)]
mod capacity_tests;
#[cfg(test)]
mod private_tests;
#[cfg(test)]
mod tests;
