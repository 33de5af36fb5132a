//! Transactions: submitted here, sent by peers, confirmed and taken back by the chain.
//!
//! A new transaction goes whole from its maker to up to five peers; beyond, to three from everybody. Its id goes to the others
//! with the next batch. What comes within a few milliseconds goes together. An announced transaction is asked of one announcer at a time, the next one after
//! [`limits::TRANSACTION_TIMEOUT_MS`]. At most [`limits::WANTED_MAX`] are wanted at a time.
//!
//! A key whose stored sequence is missing signs only after the first sync: until then submissions wait, at most
//! [`limits::WAITING_SUBMISSIONS_MAX`] of them.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::ToString,
    vec::Vec,
};

use super::{
    Change, Node, NodeError,
    events::{Conflict, Event},
    limits,
    messages::blame,
    records::{Key, encode_sequence},
};
use crate::{
    block::Block,
    hash::Hash,
    ids::{PeerId, PublicKey, Sequence, TimestampMs},
    mempool::{Accepted, MempoolError},
    message::{Bytes, IDS_MAX, Message, TRANSACTIONS_BYTES_MAX, TRANSACTIONS_MAX},
    transaction::{OVERHEAD_BYTES, Payload, Transaction, VerifiedTransaction},
};

/// Announced transactions that were not received yet.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    ids: BTreeMap<Hash, Want>,
}

#[derive(Debug, Default)]
struct Want {
    announcers: VecDeque<PeerId>,
    asked: Option<(PeerId, TimestampMs)>,
}

impl Wanted {
    pub(super) fn forget_peer(&mut self, peer: PeerId) {
        for want in self.ids.values_mut() {
            want.announcers.retain(|announcer| *announcer != peer);
            want.asked = want.asked.filter(|(asked, _)| *asked != peer);
        }
    }

    /// When the next unanswered request goes to another announcer.
    pub(super) fn due_at(&self) -> Option<TimestampMs> {
        self.ids
            .values()
            .filter_map(|want| want.asked.map(|(_, deadline)| deadline))
            .min()
    }

    fn add(&mut self, id: Hash, announcer: PeerId) {
        if self.ids.len() >= limits::WANTED_MAX && !self.ids.contains_key(&id) {
            return;
        }
        let announcers = &mut self.ids.entry(id).or_default().announcers;
        if announcers.len() < limits::ANNOUNCERS_MAX && !announcers.contains(&announcer) {
            announcers.push_back(announcer);
        }
    }

    /// What to ask of whom now; forgets what no announcer is left for.
    fn requests(&mut self, now: TimestampMs) -> BTreeMap<PeerId, Vec<Hash>> {
        let mut requests: BTreeMap<PeerId, Vec<Hash>> = BTreeMap::new();
        self.ids.retain(|id, want| {
            if want.asked.is_some_and(|(_, deadline)| deadline > now) {
                return true;
            }
            let Some(next) = want.announcers.pop_front() else {
                return false;
            };
            want.asked = Some((next, now.plus_ms(limits::TRANSACTION_TIMEOUT_MS)));
            requests.entry(next).or_default().push(*id);
            true
        });
        requests
    }
}

impl Node {
    /// How many linked peers have sent a pending transaction or were sent it.
    #[must_use]
    pub fn holders(&self, id: &Hash) -> usize {
        let peers = self.peers.values();
        peers
            .filter(|peer| peer.known_transactions.contains(id))
            .count()
    }

    pub(super) fn on_submitted(&mut self, now: TimestampMs, request: u64, payload: Payload) {
        if self.outbox.next_sequence.is_none() && self.timers.first_sync.is_some() {
            if self.timers.submissions.len() < limits::WAITING_SUBMISSIONS_MAX {
                return self.timers.submissions.push((request, payload));
            }
            let reason = "too many messages wait for the first sync".to_string();
            return self.event(Event::SubmitRefused { request, reason });
        }
        let length = payload
            .as_bytes()
            .len()
            .saturating_add(OVERHEAD_BYTES as usize);
        if !self.outbox.has_room(length) {
            let reason = alloc::format!(
                "{} transactions wait already, allowed are {}",
                self.outbox.len(),
                limits::OUTBOX_MAX
            );
            return self.event(Event::SubmitRefused { request, reason });
        }
        let own = self.identity.public_key();
        let sequence = self
            .chain
            .next_sequence(&own)
            .max(self.outbox.next_sequence.unwrap_or_default())
            .max(self.outbox.after_own());
        let (chain_id, rules) = (self.chain.chain_id(), &self.chain.genesis().rules);
        let timestamp = self.clock.corrected(now);
        match Transaction::create(
            &self.identity,
            chain_id,
            rules,
            sequence,
            timestamp,
            payload,
        ) {
            Ok(transaction) => self.on_signed(request, transaction),
            Err(error) => self.event(Event::SubmitRefused {
                request,
                reason: error.to_string(),
            }),
        }
    }

    /// Durable first: the transaction and the next sequence; only then the rest. The transaction comes before the sequence,
    /// so that a write cut short never leaves a sequence used up by nothing.
    fn on_signed(&mut self, request: u64, transaction: VerifiedTransaction) {
        let (id, sequence) = (transaction.id(), transaction.sequence());
        let mut changes = Vec::new();
        self.outbox.next_sequence = Some(sequence.next());
        self.outbox.insert(transaction, &mut changes);
        changes.push(Key::Sequence.put(encode_sequence(sequence.next())));
        self.persist(changes);
        self.event(Event::Submitted {
            request,
            id,
            sequence,
        });
        self.feed_mempool();
    }

    pub(super) fn on_transactions(
        &mut self,
        from: PeerId,
        transactions: &[Bytes],
    ) -> Result<(), NodeError> {
        let (chain_id, rules) = (self.chain.chain_id(), &self.chain.genesis().rules);
        let mut verified = Vec::with_capacity(transactions.len());
        for bytes in transactions {
            let transaction =
                Transaction::decode(&bytes.0, rules).map_err(|error| blame(from, &error))?;
            let id = transaction.id();
            if self.mempool.contains(&id) || self.chain.contains_transaction(&id).is_some() {
                verified.push((id, None));
            } else if self.verified.contains(&id) {
                let transaction = VerifiedTransaction::already_verified(transaction);
                verified.push((id, Some(transaction)));
            } else {
                let checked = transaction.verify_by(&mut self.verifier, chain_id);
                let checked = checked.map_err(|error| blame(from, &error))?;
                verified.push((id, Some(checked)));
            }
        }
        for (id, transaction) in verified {
            self.wanted.ids.remove(&id);
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.known_transactions.insert(id);
            }
            if let Some(transaction) = transaction {
                self.add_pending(transaction, Some(from));
            }
        }
        Ok(())
    }

    /// Takes a transaction as a peer's, but there is nobody to blame: a bad one is left where it is.
    pub(super) fn on_transaction_offered(&mut self, bytes: &[u8]) {
        let (chain_id, rules) = (self.chain.chain_id(), &self.chain.genesis().rules);
        let Ok(transaction) = Transaction::decode(bytes, rules) else {
            return;
        };
        let id = transaction.id();
        if self.mempool.contains(&id) || self.chain.contains_transaction(&id).is_some() {
            return;
        }
        if let Ok(transaction) = transaction.verify_by(&mut self.verifier, chain_id) {
            self.add_pending(transaction, None);
        }
    }

    /// Puts a transaction into the mempool and passes it on. False if a bound refuses it (and what follows it).
    pub(super) fn add_pending(
        &mut self,
        transaction: VerifiedTransaction,
        from: Option<PeerId>,
    ) -> bool {
        let id = transaction.id();
        let (sender, sequence) = (transaction.sender(), transaction.sequence());
        let next = self.chain.next_sequence(&sender);
        let inserted = self.mempool.insert(transaction, next, from);
        if inserted.is_err() {
            self.verified.insert(id);
        }
        match inserted {
            Ok(Accepted::AlreadyKnown) => true,
            Ok(Accepted::Added { evicted }) => {
                self.note_pending(id);
                for transaction in evicted {
                    self.verified.insert(transaction.id());
                    self.note_pending(transaction.id());
                }
                self.event(Event::TransactionPending { id });
                self.pass_transaction_on(id, from);
                true
            }
            Err(MempoolError::Conflict { existing }) => {
                if self.told_conflicts.insert(id) {
                    let kept = Some(existing);
                    self.event(Event::Conflict(Conflict {
                        sender,
                        sequence,
                        kept,
                        lost: id,
                    }));
                }
                true
            }
            Err(_) => false,
        }
    }

    /// A transaction entered or left the mempool.
    fn note_pending(&mut self, id: Hash) {
        self.timers.pending_version = self.timers.pending_version.wrapping_add(1);
        for (byte, other) in self.timers.pending_digest.0.iter_mut().zip(id.0) {
            *byte ^= other;
        }
    }

    /// Has a new transaction told to the peers that lack it. In a full mesh who made it sends it to all, and who got it from a
    /// peer only announces it: a copy to everybody from everybody would be a dozen of each.
    fn pass_transaction_on(&mut self, id: Hash, from: Option<PeerId>) {
        let lacking = self.peers.iter();
        let lacking = lacking.filter(|(_, peer)| !peer.known_transactions.contains(&id));
        let mut lacking: Vec<PeerId> = lacking.map(|(id, _)| *id).collect();
        let is_full_mesh = self.peers.len() <= limits::FULL_MESH_PEERS_MAX;
        let pushed = match (is_full_mesh, from) {
            (true, None) => lacking.len(),
            (true, Some(_)) => 0,
            (false, _) => limits::PUSH_PEERS,
        };
        if pushed < lacking.len() {
            self.random.shuffle_front(&mut lacking, pushed);
        }
        for (index, to) in lacking.into_iter().enumerate() {
            let Some(peer) = self.peers.get_mut(&to) else {
                continue;
            };
            peer.known_transactions.insert(id);
            if index < pushed {
                peer.pushes.push(id);
            } else {
                peer.announcements.push(id);
            }
        }
    }

    /// Sends the transactions collected since the last time.
    pub(super) fn send_pushes(&mut self) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for to in peers {
            let ids = self.peers.get_mut(&to);
            let ids = ids.map(|peer| core::mem::take(&mut peer.pushes));
            self.send_transactions(to, &ids.unwrap_or_default());
        }
    }

    /// Sends the announcements collected since the last time.
    pub(super) fn send_announcements(&mut self) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for to in peers {
            let Some(peer) = self.peers.get_mut(&to) else {
                continue;
            };
            let ids = core::mem::take(&mut peer.announcements);
            self.send_ids(to, &ids);
        }
    }

    /// Tells every peer what the outbox waits for, however often it was told.
    pub(super) fn tell_outbox(&mut self) {
        let waiting = self
            .outbox
            .iter()
            .map(|transaction| transaction.id())
            .filter(|id| self.mempool.contains(id));
        let ids: Vec<Hash> = waiting.take(IDS_MAX).collect();
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for to in peers {
            self.send_ids(to, &ids);
        }
    }

    fn send_ids(&mut self, to: PeerId, ids: &[Hash]) {
        for some in ids.chunks(IDS_MAX) {
            self.serve(to, &Message::HaveTransactions { ids: some.to_vec() });
        }
    }

    pub(super) fn on_get_pending(&mut self, from: PeerId) -> Result<(), NodeError> {
        let ids: Vec<Hash> = self
            .mempool
            .iter()
            .map(|transaction| transaction.id())
            .collect();
        self.send_ids(from, &ids);
        Ok(())
    }

    pub(super) fn on_have_transactions(
        &mut self,
        from: PeerId,
        ids: &[Hash],
    ) -> Result<(), NodeError> {
        for id in ids {
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.known_transactions.insert(*id);
            }
            if !self.mempool.contains(id) && self.chain.contains_transaction(id).is_none() {
                self.wanted.add(*id, from);
            }
        }
        Ok(())
    }

    pub(super) fn on_get_transactions(
        &mut self,
        from: PeerId,
        ids: &[Hash],
    ) -> Result<(), NodeError> {
        self.send_transactions(from, ids);
        for id in ids {
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.known_transactions.insert(*id);
            }
        }
        Ok(())
    }

    /// Sends those that are pending, in as few messages as it takes.
    fn send_transactions(&mut self, to: PeerId, ids: &[Hash]) {
        let found: Vec<Vec<u8>> = ids
            .iter()
            .filter_map(|id| self.mempool.get(id))
            .map(|found| found.encode())
            .collect();
        let mut batch: Vec<Bytes> = Vec::new();
        let mut bytes = 0_usize;
        for transaction in found {
            if batch.len() >= TRANSACTIONS_MAX
                || bytes.saturating_add(transaction.len()) > TRANSACTIONS_BYTES_MAX
            {
                self.serve(
                    to,
                    &Message::Transactions {
                        transactions: core::mem::take(&mut batch),
                    },
                );
                bytes = 0;
            }
            bytes = bytes.saturating_add(transaction.len());
            batch.push(Bytes(transaction));
        }
        if !batch.is_empty() {
            self.serve(
                to,
                &Message::Transactions {
                    transactions: batch,
                },
            );
        }
    }

    /// Asks for announced transactions that are due.
    pub(super) fn request_transactions(&mut self, now: TimestampMs) {
        for (peer, ids) in self.wanted.requests(now) {
            for some in ids.chunks(TRANSACTIONS_MAX) {
                self.send(peer, &Message::GetTransactions { ids: some.to_vec() });
            }
        }
    }

    /// Feeds the outbox to the mempool, each sender in sequence as far as the mempool takes it.
    pub(super) fn feed_mempool(&mut self) {
        let mut refused: Option<PublicKey> = None;
        let waiting: Vec<VerifiedTransaction> = self
            .outbox
            .iter()
            .filter(|transaction| !self.mempool.contains(&transaction.id()))
            .cloned()
            .collect();
        for transaction in waiting {
            let sender = transaction.sender();
            if refused != Some(sender) && !self.add_pending(transaction, None) {
                refused = Some(sender);
            }
        }
    }

    /// After the main chain changed: what is confirmed leaves mempool and outbox, what was taken back returns to them,
    /// what lost its place becomes a conflict.
    pub(super) fn move_transactions(
        &mut self,
        disconnected: &[Block],
        connected: &[Hash],
        changes: &mut Vec<Change>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let mut places: BTreeMap<(PublicKey, Sequence), Hash> = BTreeMap::new();
        for hash in connected {
            let Some(block) = self.chain.block(hash) else {
                continue;
            };
            let height = block.header().height;
            for transaction in block.transactions() {
                let id = transaction.id();
                places.insert((transaction.sender(), transaction.sequence()), id);
                self.wanted.ids.remove(&id);
                if self.outbox.confirm(&id, changes) {
                    events.push(Event::TransactionConfirmed { id, height });
                }
            }
        }
        let mut senders: BTreeSet<PublicKey> = places.keys().map(|(sender, _)| *sender).collect();
        for block in disconnected {
            for transaction in block.transactions() {
                senders.insert(transaction.sender());
                if self.chain.contains_transaction(&transaction.id()).is_none() {
                    self.outbox.insert(transaction.clone(), changes);
                }
            }
        }
        let kept = |sender: &PublicKey, sequence| places.get(&(*sender, sequence)).copied();
        for lost in self.lose_superseded(kept, changes) {
            let (sender, sequence) = (lost.transaction.sender(), lost.transaction.sequence());
            events.push(Event::Conflict(Conflict {
                sender,
                sequence,
                kept: lost.kept,
                lost: lost.transaction.id(),
            }));
        }
        self.drop_used(senders);
        // Sequences may have moved without a transaction leaving the mempool.
        self.timers.pending_version = self.timers.pending_version.wrapping_add(1);
        events
    }

    /// Removes what a snapshot says is used up from the mempool.
    pub(super) fn drop_used_pending(&mut self) {
        let senders = self.mempool.iter().map(|pending| pending.sender());
        self.drop_used(senders.collect());
    }

    fn drop_used(&mut self, senders: BTreeSet<PublicKey>) {
        for sender in senders {
            let next = self.chain.next_sequence(&sender);
            for transaction in self.mempool.remove_confirmed(&sender, next) {
                self.note_pending(transaction.id());
            }
        }
    }
}
