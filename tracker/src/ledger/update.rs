//! Blocks and transactions from outside: parsed, checked with `shared`, and only then counted or shown.
//!
//! An update is taken block by block. The blocks before a bad one stay: each proved itself. The bad one and what
//! follows it are not counted. Neither is one for which there is no room, and what follows that.

use std::collections::BTreeSet;

use api::ws::ServerMessage;
use api::{TenantBlock, TenantTransaction};
use service::KnownKeys;
use shared::block::UncheckedBlock;
use shared::chain::ChainError;
use shared::ids::{ChainId, Height, TimestampMs};
use shared::transaction::Transaction;

use super::book::{Book, Progress, reason_of, transaction_count};
use super::kept::Space;
use super::verdicts::Verdicts;
use super::{Asker, Change, Ledger, NetworkName, Output, Refusal, UpdateVerdict, shown};
use crate::hub::{self, ConnectionId, UpdateOutcome};

impl Ledger {
    pub(super) fn on_blocks_reported(
        &mut self,
        now: TimestampMs,
        asker: Asker,
        network: NetworkName,
        blocks: &[TenantBlock],
    ) {
        let Some(chain_id) = self.find(&network) else {
            if let Asker::Request(request) = asker {
                self.outputs.push_back(Output::Answer {
                    request,
                    verdict: Err(Refusal::UnknownNetwork),
                });
            }
            return;
        };
        let Some(book) = self.books.get_mut(&chain_id) else {
            return;
        };
        let before = book.chain.tip().hash;
        let space = self
            .capacity
            .beside(self.kept_bytes.saturating_sub(book.kept_bytes()));
        let taken = take_blocks(book, &mut self.verdicts, space, now, blocks);
        self.kept_bytes = space.total_with(book.kept_bytes());
        let (label, tip) = (book.label.clone(), book.tip());
        let is_moved = book.chain.tip().hash != before;
        for change in taken.changes {
            self.outputs.push_back(Output::Persist(change));
        }
        let verdict = match taken.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(UpdateVerdict {
                label,
                chain_id,
                new_blocks: taken.new_blocks,
                transactions: taken.transactions,
                already_known: taken.already_known,
                tip: tip.clone(),
            }),
        };
        match asker {
            Asker::Request(request) => self.outputs.push_back(Output::Answer { request, verdict }),
            Asker::Connection(connection) => {
                let outcome = match verdict {
                    Ok(_) => UpdateOutcome::Accepted(tip.clone()),
                    Err(refusal) => UpdateOutcome::Refused(tip.clone(), refusal.to_string()),
                };
                self.tell(hub::Input::UpdateChecked {
                    connection,
                    chain_id,
                    outcome,
                });
            }
        }
        if is_moved {
            self.tell(hub::Input::TipMoved { chain_id, tip });
            self.enqueue(now, chain_id, taken.changed_from);
        }
    }

    pub(super) fn on_block_shown(
        &mut self,
        connection: ConnectionId,
        chain_id: ChainId,
        block: Box<TenantBlock>,
    ) {
        let Some(book) = self.books.get(&chain_id) else {
            return;
        };
        let height = block.block_id;
        let verdicts = &mut self.verdicts;
        let checked = UncheckedBlock::try_from(&*block)
            .map_err(|error| reason_of(height, &error))
            .and_then(|unchecked| {
                if is_kept(book, &unchecked) {
                    return Ok(());
                }
                let checked = verdicts.check(unchecked, book.chain.genesis(), &mut KnownKeys);
                checked.map(drop).map_err(|error| reason_of(height, &error))
            });
        let verdict = checked.map(|()| shown(ServerMessage::Block { block }));
        self.tell(hub::Input::RelayChecked {
            connection,
            chain_id,
            verdict,
        });
    }

    pub(super) fn on_transaction_shown(
        &mut self,
        connection: ConnectionId,
        chain_id: ChainId,
        transaction: Box<TenantTransaction>,
    ) {
        let Some(book) = self.books.get(&chain_id) else {
            return;
        };
        let checked = transaction
            .raw_bytes()
            .map_err(|error| error.to_string())
            .and_then(|raw| {
                Transaction::decode(&raw, &book.chain.genesis().rules)
                    .and_then(|transaction| transaction.verify_by(&mut KnownKeys, chain_id))
                    .map_err(|error| error.to_string())
            });
        let verdict = checked.map(|_| {
            shown(ServerMessage::Transaction {
                transaction: *transaction,
            })
        });
        self.tell(hub::Input::RelayChecked {
            connection,
            chain_id,
            verdict,
        });
    }
}

/// What became of an update's blocks.
pub(super) struct Taken {
    pub(super) new_blocks: u32,
    transactions: u64,
    pub(super) already_known: u32,
    /// The lowest height at which the main chain changed.
    pub(super) changed_from: Height,
    pub(super) changes: Vec<Change>,
    /// Why the first bad block was not taken.
    pub(super) refusal: Option<Refusal>,
}

impl Default for Taken {
    fn default() -> Self {
        Self {
            new_blocks: 0,
            transactions: 0,
            already_known: 0,
            changed_from: Height(u32::MAX),
            changes: Vec::new(),
            refusal: None,
        }
    }
}

impl Taken {
    /// What was too light to stay was not taken.
    fn drop_light(&mut self, book: &mut Book) {
        let gone = book.take_gone();
        let mut light = BTreeSet::new();
        for change in &gone {
            if let Change::BlockGone { hash, .. } = change {
                light.insert(*hash);
            }
        }
        let mut lowest = None;
        self.changes.retain(|change| {
            let Change::Block { height, hash, .. } = change else {
                return true;
            };
            let stays = !light.contains(hash);
            if !stays {
                self.new_blocks = self.new_blocks.saturating_sub(1);
                lowest = lowest.or(Some(*height));
            }
            stays
        });
        self.changes.extend(gone);
        if let Some(height) = lowest
            && self.refusal.is_none()
        {
            let reason = reason_of(height.0, &TOO_LIGHT);
            let tip = book.tip();
            self.refusal = Some(Refusal::TooLight { reason, tip });
        }
    }
}

/// Whether this very block is in the chain or beside it. A known header with another body must still be refused, so the
/// bodies are compared.
fn is_kept(book: &Book, block: &UncheckedBlock) -> bool {
    let known = book.chain.block(&block.header.hash());
    known.is_some_and(|known| known.encode() == block.encode())
}

fn take_blocks(
    book: &mut Book,
    verdicts: &mut Verdicts,
    space: Space,
    now: TimestampMs,
    blocks: &[TenantBlock],
) -> Taken {
    take_all(book, blocks, |book, block, taken| {
        take_block(book, verdicts, space, now, block, taken)
    })
}

/// Takes one after the other until one is refused, and keeps the heaviest branches then.
pub(super) fn take_all<T>(
    book: &mut Book,
    blocks: &[T],
    mut take: impl FnMut(&mut Book, &T, &mut Taken) -> Result<(), Refusal>,
) -> Taken {
    let mut taken = Taken::default();
    book.begin_batch();
    for block in blocks {
        let refusal = take(book, block, &mut taken).err();
        // In their order: one that left may come again.
        taken.changes.extend(book.take_gone());
        if refusal.is_some() {
            taken.refusal = refusal;
            break;
        }
    }
    book.end_batch();
    taken.drop_light(book);
    taken
}

fn take_block(
    book: &mut Book,
    verdicts: &mut Verdicts,
    space: Space,
    now: TimestampMs,
    shape: &TenantBlock,
    taken: &mut Taken,
) -> Result<(), Refusal> {
    let invalid = |book: &Book, error: &dyn std::fmt::Display| Refusal::Invalid {
        reason: reason_of(shape.block_id, error),
        tip: book.tip(),
    };
    let unchecked = UncheckedBlock::try_from(shape).map_err(|error| invalid(book, &error))?;
    let hash = unchecked.header.hash();
    if is_kept(book, &unchecked) {
        taken.already_known = taken.already_known.saturating_add(1);
        return Ok(());
    }
    // What there is no room for is not verified either.
    let bytes = unchecked.encode();
    let length = bytes.len();
    space.admit(book.kept_bytes(), length)?;
    let block = verdicts
        .check(unchecked, book.chain.genesis(), &mut KnownKeys)
        .map_err(|error| invalid(book, &error))?;
    let change = Change::Block {
        chain_id: book.chain_id(),
        height: block.header().height,
        hash,
        bytes,
    };
    let transactions = transaction_count(&block);
    match book.insert(block, length, now) {
        Ok(Progress::Known) => {
            taken.already_known = taken.already_known.saturating_add(1);
            return Ok(());
        }
        Ok(Progress::Beside) => {}
        Ok(Progress::Connected { from }) => taken.changed_from = taken.changed_from.min(from),
        Err(error) => return Err(refusal_of(book, shape.block_id, &error)),
    }
    taken.changes.push(change);
    taken.new_blocks = taken.new_blocks.saturating_add(1);
    taken.transactions = taken.transactions.saturating_add(transactions);
    Ok(())
}

pub(super) fn refusal_of(book: &Book, height: u32, error: &ChainError) -> Refusal {
    let (reason, tip) = (reason_of(height, error), book.tip());
    if matches!(error, ChainError::UnknownParent { .. }) {
        Refusal::UnknownParent { reason, tip }
    } else if matches!(error, ChainError::TooFarAhead { .. }) {
        Refusal::TooEarly { reason, tip }
    } else {
        Refusal::Invalid { reason, tip }
    }
}

const TOO_LIGHT: &str = "its branch is lighter than all that are kept beside the main chain; report it with more of the blocks that follow it";
