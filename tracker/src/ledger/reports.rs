//! Reports of private networks, from members of their rooms.
//!
//! A private network is known here only if a member shows its genesis, whose join key must be the room's, and with it at least one
//! block that a reporter of the genesis vouches for. The first genesis that does so is the room's; who has the join key could
//! thus keep another one of the room from being reported here, and nothing else: its chain id is not the network's.
//! Until then nothing is kept. As with whole blocks, what is before a bad report stays.

use api::{ReportedBlock, TipReference};
use service::KnownKeys;
use shared::genesis::{Access, Genesis};
use shared::ids::{ChainId, TimestampMs};
use shared::private::RoomId;
use shared::report::{SealedBlock, UncheckedSealed};

use super::book::{Book, Progress, reason_of};
use super::kept::Space;
use super::update::{Taken, refusal_of, take_all};
use super::{Change, Ledger, Output, Refusal};
use crate::hub::{self, ConnectionId, UpdateOutcome};
use crate::limits;

/// What a member reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReport {
    /// The member's room.
    pub room: RoomId,
    /// The network's genesis bytes, not yet decoded; may be left out once it is known here.
    pub genesis: Option<Vec<u8>>,
    /// The blocks, oldest first.
    pub reports: Vec<ReportedBlock>,
}

impl Ledger {
    pub(super) fn on_reported(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        report: MemberReport,
        may_register: bool,
    ) {
        let room = report.room;
        let chain_id = room.as_chain();
        let was_known = self.rooms.contains_key(&room);
        let taken = self.take_report(now, report, may_register);
        if may_register && (was_known || !self.rooms.contains_key(&room)) {
            self.tell(hub::Input::NotRegistered { connection });
        }
        match taken {
            Ok(outcome) => self.tell(hub::Input::UpdateChecked {
                connection,
                chain_id,
                outcome,
            }),
            Err(reason) => {
                let verdict = Err(reason);
                self.tell(hub::Input::RelayChecked {
                    connection,
                    chain_id,
                    verdict,
                });
            }
        }
    }

    /// What became of the reports; the error says why the genesis is not the room's.
    fn take_report(
        &mut self,
        now: TimestampMs,
        report: MemberReport,
        may_register: bool,
    ) -> Result<UpdateOutcome, String> {
        let MemberReport {
            room,
            genesis,
            reports,
        } = report;
        let genesis = genesis.map(|bytes| genesis_of(room, &bytes)).transpose()?;
        let known = self.rooms.get(&room).copied();
        let chain_id = match (known, &genesis) {
            (Some(known), Some(genesis)) if genesis.chain_id() != known => {
                return Err("another network of this room is reported here".into());
            }
            (Some(known), _) => known,
            (None, Some(genesis)) => genesis.chain_id(),
            (None, None) => {
                return Err("this room's genesis is not known here; send it along".into());
            }
        };
        let mut fresh = match (known, genesis) {
            (None, Some(genesis)) => Some(Book::private(genesis)),
            (Some(_) | None, _) => None,
        };
        let Some(book) = fresh.as_mut().or_else(|| self.books.get_mut(&chain_id)) else {
            return Err("this room's genesis is not known here; send it along".into());
        };
        let (before, tip_before) = (book.chain.tip().hash, book.tip());
        let space = self
            .capacity
            .beside(self.kept_bytes.saturating_sub(book.kept_bytes()));
        let taken = take_reports(book, space, now, &reports);
        let total_bytes = space.total_with(book.kept_bytes());
        let (tip, is_moved) = (book.tip(), book.chain.tip().hash != before);
        if let Some(book) = fresh.filter(|_| taken.new_blocks > 0) {
            if !may_register {
                return Ok(UpdateOutcome::Refused(tip_before, TOO_MANY.into()));
            }
            if self.books.len() >= limits::NETWORKS_MAX {
                let found = self.books.len();
                return Ok(refused(tip_before, &Refusal::Full { found }));
            }
            self.keep(room, book);
        }
        if self.books.contains_key(&chain_id) {
            self.kept_bytes = total_bytes;
        }
        for change in taken.changes {
            self.outputs.push_back(Output::Persist(change));
        }
        if is_moved {
            self.tell_room(chain_id);
            self.enqueue(now, chain_id, taken.changed_from);
        } else if taken.new_blocks > 0 {
            // Beside the chain that is kept: a reset that is not known here may be why.
            self.ask_resets(now, chain_id);
        }
        Ok(match taken.refusal {
            None => UpdateOutcome::Accepted(tip),
            Some(refusal) => refused(tip, &refusal),
        })
    }

    fn keep(&mut self, room: RoomId, book: Book) {
        let chain_id = book.chain_id();
        self.outputs.push_back(Output::Persist(Change::Network {
            chain_id,
            label: book.label.clone(),
            listing: book.listing,
            genesis: book.chain.genesis().encode(),
        }));
        self.rooms.insert(room, chain_id);
        self.books.insert(chain_id, book);
    }

    /// Tells a private network's room where it stands.
    pub(super) fn tell_room(&mut self, chain_id: ChainId) {
        let book = self.books.get(&chain_id);
        if let Some(known) = book.and_then(Book::room_network) {
            self.tell(hub::Input::RoomReported(known));
        }
    }
}

fn refused(tip: TipReference, refusal: &Refusal) -> UpdateOutcome {
    UpdateOutcome::Refused(tip, refusal.to_string())
}

/// The genesis of a private network in this room.
fn genesis_of(room: RoomId, bytes: &[u8]) -> Result<Genesis, String> {
    let genesis = Genesis::decode(bytes).map_err(|error| format!("genesis: {error}"))?;
    match &genesis.access {
        Access::Private { join_key, .. } if RoomId::of(join_key) == room => Ok(genesis),
        Access::Private { .. } => Err("the genesis is of another room".into()),
        Access::Open => Err("the genesis is an open network's".into()),
    }
}

fn take_reports(
    book: &mut Book,
    space: Space,
    now: TimestampMs,
    reports: &[ReportedBlock],
) -> Taken {
    take_all(book, reports, |book, shape, taken| {
        take_one(book, space, now, shape, taken)
    })
}

fn take_one(
    book: &mut Book,
    space: Space,
    now: TimestampMs,
    shape: &ReportedBlock,
    taken: &mut Taken,
) -> Result<(), Refusal> {
    let block = check(book, shape).map_err(|reason| Refusal::Invalid {
        reason,
        tip: book.tip(),
    })?;
    let Some(block) = block else {
        taken.already_known = taken.already_known.saturating_add(1);
        return Ok(());
    };
    let bytes = block.encode();
    let length = bytes.len();
    space.admit(book.kept_bytes(), length)?;
    let change = Change::Block {
        chain_id: book.chain_id(),
        height: block.header().height,
        hash: block.hash(),
        bytes,
    };
    match book.insert_reported(block, length, now) {
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
    Ok(())
}

/// A report that proves itself; none if its block is here by this very report.
fn check(book: &Book, shape: &ReportedBlock) -> Result<Option<SealedBlock>, String> {
    let unchecked = UncheckedSealed::try_from(shape);
    let unchecked = unchecked.map_err(|error| reason_of(shape.block_id, &error))?;
    let report = unchecked.report();
    let known = book.chain.reported(&report.header.hash());
    if known.is_some_and(|known| known.report() == report) {
        return Ok(None);
    }
    let checked = unchecked.check_with(book.chain.genesis(), &mut KnownKeys);
    let checked = checked.map_err(|error| reason_of(shape.block_id, &error))?;
    Ok(Some(checked))
}

const TOO_MANY: &str = "networks of this address are registered too fast; try again later";
