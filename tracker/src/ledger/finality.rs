//! Finality in what the tracker follows: a branch that leaves a final block out is heavier in vain.
//!
//! A validator refuses such a branch. Then it is asked for the proof, and the proof is verified from the enterprise chain that the
//! network's genesis pins, as a browser does it; only then the branches beside the final block go, and what follows it is
//! forwarded again. A network that pins none can prove nothing: its heaviest branch waits.
//!
//! A final block that is not here changes nothing: its branch may come later, and the validator refuses again until it does.

use shared::enterprise::LightClient;
use shared::ids::{ChainId, Height, TimestampMs};

use super::book::Book;
use super::outbox::Flight;
use super::{Ledger, Output};
use crate::hub;

impl Ledger {
    /// The validators' chain of this network holds a final block that is not on what was sent.
    pub(super) fn on_leaves_final(&mut self, now: TimestampMs, chain_id: ChainId, flight: Flight) {
        self.note_failure(chain_id, LEAVES_FINAL);
        self.outbox.retry(now, chain_id, flight.first);
        let book = self.books.get(&chain_id);
        if book.is_some_and(|book| book.chain.genesis().enterprise_genesis.is_some()) {
            self.outputs.push_back(Output::AskFinality { chain_id });
        }
    }

    pub(super) fn on_finality_told(&mut self, now: TimestampMs, chain_id: ChainId, proof: &[u8]) {
        let Some(book) = self.books.get_mut(&chain_id) else {
            return;
        };
        let others_bytes = self.kept_bytes.saturating_sub(book.kept_bytes());
        let followed = book.follow_final(now, proof);
        let gone = book.take_gone().into_iter();
        self.outputs.extend(gone.map(Output::Persist));
        self.kept_bytes = others_bytes.saturating_add(book.kept_bytes());
        let (tip, is_private) = (book.tip(), book.chain.room().is_some());
        match followed {
            Ok(None) => {}
            Ok(Some(from)) => {
                if is_private {
                    self.tell_room(chain_id);
                } else {
                    self.tell(hub::Input::TipMoved { chain_id, tip });
                }
                self.enqueue(now, chain_id, from);
            }
            Err(reason) => {
                tracing::warn!(%chain_id, reason, "a proof of finality is not followed");
            }
        }
    }
}

impl Book {
    /// Drops what leaves the final block out that this proves; the lowest height at which the main chain changed by that.
    fn follow_final(&mut self, now: TimestampMs, proof: &[u8]) -> Result<Option<Height>, String> {
        let pinned = self.chain.genesis().enterprise_genesis;
        let pinned = pinned.ok_or("the network pins no enterprise chain")?;
        let accepted = LightClient::new(pinned).accept(self.chain_id(), proof);
        let accepted = accepted.map_err(|error| error.to_string())?;
        let Some(block) = accepted.filter(|block| {
            block.resets() == self.resets && self.chain.header(&block.hash()).is_some()
        }) else {
            return Ok(None);
        };
        let (before, fork) = (self.chain.tip().hash, self.common_height(block.hash()));
        self.chain.set_final(block)?;
        self.let_go();
        if self.chain.tip().hash == before {
            return Ok(None);
        }
        self.count_anew();
        let from = fork.next();
        self.main_changed(now, from);
        Ok(Some(from))
    }
}

/// What `/health` says to anyone, so that it names no network.
const LEAVES_FINAL: &str =
    "the heaviest branch of a network leaves a final block out; the log says of which";
