//! Start from the store.
//!
//! Every stored block is checked again: work, limits, stamps, body root when it is parsed; linkage, target, sequences
//! and state root when it is inserted. Signatures were verified before it was stored. The stored tip's branch goes in
//! first, so that of two equal tips the same one wins as before. A record that fails is set aside with its bytes and
//! reported; blocks above a damaged one wait for it to come from a peer and are not lost. Transactions of side branches
//! that are not in the main chain return to the outbox.
//!
//! What is final goes in before the blocks. Stored blocks that leave it out (another tab learned of it, or the crash came in
//! between) are treated as if it became final now: deleted, shown as an abandoned branch, their transactions sent again.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};

use super::{
    Change, Node, Record,
    events::Event,
    orphans::Source,
    outbox::Lost,
    records::{self, Key},
};
use crate::{
    block::{Block, UncheckedBlock},
    chain::ChainError,
    enterprise::FinalBlock,
    hash::Hash,
    header::Header,
    ids::{Height, TimestampMs},
    snapshot::Snapshot,
    transaction::{Transaction, VerifiedTransaction},
};

/// What could be read.
#[derive(Debug, Default)]
struct Stored {
    blocks: BTreeMap<Hash, Block>,
    tip: Option<Hash>,
    outbox: Vec<VerifiedTransaction>,
    lost: Vec<Lost>,
    newest_final: Option<(Record, FinalBlock)>,
    headers: Vec<Header>,
    packed: Vec<(u32, u32)>,
    snapshots: Vec<Snapshot>,
}

/// Stored blocks that leave the final block out.
#[derive(Debug, Default)]
struct Left {
    blocks: BTreeMap<Hash, Block>,
    hashes: BTreeSet<Hash>,
}

impl Left {
    fn add(&mut self, block: Block) {
        self.hashes.insert(block.hash());
        self.blocks.insert(block.hash(), block);
    }
}

impl Node {
    pub(super) fn on_restored(&mut self, now: TimestampMs, records: Vec<Record>) {
        let mut changes = Vec::new();
        let mut stored = Stored::default();
        for record in records {
            if let Err(reason) = self.read_record(&record, &mut stored) {
                self.event(Event::StorageDamaged {
                    key: record.key.clone(),
                    reason,
                });
                changes.extend(records::set_aside(record));
            }
        }
        if let Some((record, block)) = stored.newest_final.take()
            && let Err(error) = self.chain.set_final(block)
        {
            self.event(Event::StorageDamaged {
                key: record.key.clone(),
                reason: error.to_string(),
            });
            changes.extend(records::set_aside(record));
        }
        self.restore_base(now, &mut stored);
        self.restore_blocks(now, stored.blocks, stored.tip, &mut changes);
        for lost in stored.lost {
            self.outbox.add_lost(lost, &mut changes);
        }
        for transaction in stored.outbox {
            self.outbox.restore(transaction);
        }
        self.settle_outbox(&mut changes);
        self.restored = true;
        self.persist(changes);
        self.begin_first_sync(now);
        let tip = self.chain.tip();
        if tip.hash != self.chain.chain_id().0 {
            let (disconnected, connected) = (Vec::new(), Vec::new());
            self.event(Event::TipChanged {
                height: tip.height,
                hash: tip.hash,
                disconnected,
                connected,
            });
        }
        self.feed_mempool();
    }

    /// Reads one record into `stored` or into the machine; the error is for the user.
    fn read_record(&mut self, record: &Record, stored: &mut Stored) -> Result<(), String> {
        if records::is_set_aside(&record.key) {
            return Ok(());
        }
        let key = Key::parse(&record.key).ok_or_else(|| "unknown key".to_string())?;
        let value = record.value.as_slice();
        match key {
            Key::Block(hash) => {
                let block = self.read_block(value).map_err(|error| error.to_string())?;
                check_name(hash, block.hash())?;
                stored.blocks.insert(hash, block);
            }
            Key::Tip => {
                stored.tip = Some(records::decode_hash(value).map_err(|error| error.to_string())?)
            }
            Key::Outbox(id) => {
                let transaction = self.read_transaction(value)?;
                check_name(id, transaction.id())?;
                stored.outbox.push(transaction);
            }
            Key::Conflict(id) => {
                let (kept, bytes) =
                    records::decode_conflict(value).map_err(|error| error.to_string())?;
                let transaction = self.read_transaction(bytes)?;
                check_name(id, transaction.id())?;
                stored.lost.push(Lost { transaction, kept });
            }
            Key::Sequence => {
                self.outbox.next_sequence =
                    Some(records::decode_sequence(value).map_err(|error| error.to_string())?);
            }
            Key::Final => {
                let block =
                    FinalBlock::from_checkpoint(value).map_err(|error| error.to_string())?;
                stored.newest_final = Some((record.clone(), block));
            }
            // What it proves is in the record `final`, which was written with it or later.
            Key::Proof => {
                self.take_proof(value).map_err(|error| error.to_string())?;
            }
            Key::Resets => self.restore_resets(value)?,
            Key::Split => self.take_split(value).map_err(|error| error.to_string())?,
            Key::Headers(first, count) => {
                let headers = Header::decode_many(value).map_err(|error| error.to_string())?;
                if headers.len() as u64 != u64::from(count) {
                    return Err(alloc::format!("the record holds {} headers", headers.len()));
                }
                stored.packed.push((first, count));
                stored.headers.extend(headers);
            }
            Key::Snapshot(height) => {
                let snapshot = Snapshot::decode(value).map_err(|error| error.to_string())?;
                if snapshot.header().height != height {
                    return Err(alloc::format!(
                        "the record is of height {}",
                        snapshot.header().height
                    ));
                }
                stored.snapshots.push(snapshot);
            }
            Key::Abandoned(tip) => {
                let branch = records::decode_abandoned(tip, value);
                self.abandoned
                    .push_back(branch.map_err(|error| error.to_string())?);
            }
            Key::Synced => {
                self.reporter.confirmed =
                    Some(records::decode_synced(value).map_err(|error| error.to_string())?);
            }
        }
        Ok(())
    }

    fn read_block(&self, bytes: &[u8]) -> Result<Block, String> {
        let unchecked = UncheckedBlock::decode(bytes).map_err(|error| error.to_string())?;
        unchecked
            .check_archived(self.chain.genesis())
            .map_err(|error| error.to_string())
    }

    fn read_transaction(&self, bytes: &[u8]) -> Result<VerifiedTransaction, String> {
        let transaction = Transaction::decode(bytes, &self.chain.genesis().rules)
            .map_err(|error| error.to_string())?;
        transaction
            .verify(self.chain.chain_id())
            .map_err(|error| error.to_string())
    }

    fn restore_blocks(
        &mut self,
        now: TimestampMs,
        mut blocks: BTreeMap<Hash, Block>,
        tip: Option<Hash>,
        changes: &mut Vec<Change>,
    ) {
        let mut ordered = Vec::with_capacity(blocks.len());
        let mut at = tip;
        while let Some(block) = at.and_then(|hash| blocks.remove(&hash)) {
            at = Some(block.header().previous);
            ordered.push(block);
        }
        ordered.reverse();
        let mut others: Vec<Block> = blocks.into_values().collect();
        others.sort_by_key(|block| block.header().height);
        ordered.append(&mut others);
        let mut left = Left::default();
        for block in ordered {
            let hash = block.hash();
            if left.hashes.contains(&block.header().previous) {
                left.add(block);
                continue;
            }
            let bytes = block.encode();
            let copy = block.clone();
            let taken = self.take_block(now, block, bytes.len(), Source::Restored);
            if let Some(change) = self.chain.take_floor_change() {
                left.hashes.extend(change.dropped);
                change
                    .abandoned
                    .into_iter()
                    .for_each(|block| left.add(block));
            }
            if let Err(ChainError::LeavesFinal { .. }) = taken {
                left.add(copy);
            } else if let Err(error) = taken {
                let key = Key::Block(hash).to_string();
                self.event(Event::StorageDamaged {
                    key: key.clone(),
                    reason: error.to_string(),
                });
                changes.extend(records::set_aside(Record { key, value: bytes }));
            }
        }
        let is_missing = |tip: &Hash| {
            !self.chain.is_on_main(tip)
                && self.chain.block(tip).is_none()
                && !left.hashes.contains(tip)
        };
        if let Some(tip) = tip.filter(is_missing) {
            self.report_gap(tip);
        }
        self.leave_behind(left, tip, changes);
    }

    /// Continues from the highest stored snapshot that fits, if bodies below were pruned or never here. All headers go in
    /// first: the packed ones, and, should the packing have been interrupted, those of stored blocks.
    fn restore_base(&mut self, now: TimestampMs, stored: &mut Stored) {
        let mut heights: Vec<Height> = Vec::new();
        stored
            .snapshots
            .sort_by_key(|snapshot| core::cmp::Reverse(snapshot.header().height));
        heights.extend(stored.snapshots.iter().map(|s| s.header().height));
        self.stored_base.note(&stored.packed, &heights);
        if stored.snapshots.is_empty() {
            return;
        }
        let mut headers = core::mem::take(&mut stored.headers);
        headers.extend(stored.blocks.values().map(|block| block.header().clone()));
        headers.sort_by_key(|header| header.height);
        for header in headers {
            let judged_at = now.max(header.timestamp);
            // What does not fit here is judged when its block goes in.
            let _inserted = self.chain.insert_header(header, judged_at);
        }
        drop(self.chain.take_floor_change());
        let mut refused = None;
        for snapshot in &stored.snapshots {
            match self.chain.adopt(snapshot) {
                Ok(_) => return,
                Err(error) => {
                    refused.get_or_insert_with(|| (snapshot.header().height, error));
                }
            }
        }
        if let Some((height, error)) = refused {
            let (key, reason) = (Key::Snapshot(height).to_string(), error.to_string());
            self.event(Event::StorageDamaged { key, reason });
        }
    }

    /// Deletes stored blocks that leave the final block out and takes their transactions back.
    fn leave_behind(&mut self, left: Left, tip: Option<Hash>, changes: &mut Vec<Change>) {
        if left.hashes.is_empty() {
            return;
        }
        changes.push(Key::Tip.put(records::encode_hash(self.chain.tip().hash)));
        changes.extend(left.hashes.iter().map(|hash| Key::Block(*hash).delete()));
        let mut branch = Vec::new();
        let mut at = tip;
        while let Some(block) = at.and_then(|hash| left.blocks.get(&hash)) {
            at = Some(block.header().previous);
            branch.push(block.clone());
        }
        self.abandon(&branch, changes);
        for block in left.blocks.values() {
            self.take_back(block, changes);
        }
    }

    /// Says so when the stored main chain has a hole. (Blocks that came before their parents, at a crash during sync, are
    /// no damage: they wait too.)
    fn report_gap(&mut self, tip: Hash) {
        let reason = match self.orphans.restored_gap() {
            Some((height, waiting)) => alloc::format!(
                "the block at height {height} is missing; {waiting} stored blocks above it wait until a peer or an import brings it"
            ),
            None => alloc::format!("the newest block {tip} is missing"),
        };
        self.event(Event::StorageDamaged {
            key: Key::Tip.to_string(),
            reason,
        });
    }

    /// What the chain confirms leaves the outbox, what only side branches hold returns to it.
    fn settle_outbox(&mut self, changes: &mut Vec<Change>) {
        for tip in self.chain.branch_tips() {
            let mut hash = tip.hash;
            while let Some(block) = self
                .chain
                .block(&hash)
                .filter(|_| !self.chain.is_on_main(&hash))
            {
                for transaction in block.transactions() {
                    if self.chain.contains_transaction(&transaction.id()).is_none() {
                        self.outbox.insert(transaction.clone(), changes);
                    }
                }
                hash = block.header().previous;
            }
        }
        let confirmed: Vec<Hash> = self
            .outbox
            .ids()
            .filter(|id| self.chain.contains_transaction(id).is_some())
            .collect();
        for id in confirmed {
            self.outbox.confirm(&id, changes);
        }
        drop(self.lose_superseded(|_, _| None, changes));
    }
}

fn check_name(named: Hash, found: Hash) -> Result<(), String> {
    if named == found {
        Ok(())
    } else {
        Err(alloc::format!("the record holds {found}"))
    }
}
