//! Resets of private tenants: taken from owners, spread, acknowledged as tenant blocks are.

use shared::enterprise::Reset;
use shared::ids::PublicKey;

use super::spread::{Client, Load};
use super::{Message, Now, Replica, StoreOrder};
use crate::ledger::Receipt;

impl Replica {
    /// A client hands in a reset.
    pub(super) fn submit_reset(&mut self, now: Now, client: u64, reset: Reset) {
        let verdict = self.ledger.accept_reset(reset.clone());
        let ticket = match verdict {
            Ok(true) if self.is_alone() => None,
            Ok(true) => Some(self.spread_reset(&reset)),
            // It may still be on its way for another client.
            Ok(false) => self.spread.ticket_of(&Load::Reset(Box::new(reset.clone()))),
            Err(refusal) => {
                self.store(StoreOrder::Reply {
                    client,
                    verdict: Err(refusal),
                    is_acknowledged: true,
                });
                return;
            }
        };
        tracing::info!(chain_id = %reset.chain_id, number = reset.number, from = %reset.from, "a reset waits for a block");
        self.wait(Client {
            client,
            receipt: Receipt::default(),
            ticket,
            block: None,
            reset: Some((reset.chain_id, reset.number)),
            is_decided: false,
            since: now.steady,
        });
    }

    /// A validator hands in a reset that it accepted.
    pub(super) fn take_reset(&mut self, from: PublicKey, ticket: u64, reset: Reset) {
        match self.ledger.accept_reset_of_validator(reset) {
            Ok(_) => self.spread.owe(from, ticket),
            Err(error) => tracing::debug!(peer = %from, %error, "a reset is not taken"),
        }
    }

    /// Gives a validator whose link came up the resets that wait.
    pub(super) fn tell_resets_to(&mut self, peer: PublicKey) {
        for reset in self.ledger.pending_resets() {
            let (ticket, reset) = (0, Box::new(reset.clone()));
            let message = Message::Reset { ticket, reset };
            self.outputs.push_back(super::Output::Send(peer, message));
        }
    }
}
