//! Registrations: first come, durable before they are answered.

use shared::genesis::{Access, Genesis};

use super::{Book, Change, Ledger, Output, Refusal};
use crate::hub::message::Wish;
use crate::hub::{self, ConnectionId};
use crate::label::Label;
use crate::limits;

impl Ledger {
    pub(super) fn on_registration_asked(&mut self, connection: ConnectionId, wish: Wish) {
        match self.register(wish) {
            Ok(network) => self.tell(hub::Input::Registered {
                connection: Some(connection),
                network,
            }),
            Err(refusal) => {
                let suggestion = if let Refusal::Taken { suggestion, .. } = &refusal {
                    Some(suggestion.clone())
                } else {
                    None
                };
                let (code, reason) = (refusal.code(), refusal.to_string());
                self.tell(hub::Input::RegistrationRefused {
                    connection,
                    code,
                    reason,
                    suggestion,
                });
            }
        }
    }

    /// Takes over what another tracker registered: under its label, or beside the chain that has that label here.
    pub(super) fn on_network_heard(&mut self, wish: Wish) {
        let known = self.books.len();
        let registered = match self.register(wish.clone()) {
            Err(Refusal::Taken { suggestion, .. }) => self.register(Wish {
                label: Some(suggestion),
                ..wish
            }),
            other => other,
        };
        match registered {
            Ok(network) if self.books.len() > known => self.tell(hub::Input::Registered {
                connection: None,
                network,
            }),
            Ok(_) => {}
            Err(refusal) => tracing::warn!(%refusal, "a network of another tracker is not taken"),
        }
    }

    /// Registers a genesis; one that is registered already keeps its label and listing.
    fn register(&mut self, wish: Wish) -> Result<hub::Network, Refusal> {
        let Wish {
            genesis: bytes,
            listing,
            label: wanted,
        } = wish;
        let genesis = Genesis::decode(&bytes)
            .map_err(|error| Refusal::Genesis(format!("genesis: {error}")))?;
        if genesis.access != Access::Open {
            return Err(Refusal::Genesis(
                "a private network is not registered: its members join its room".into(),
            ));
        }
        if let Some(book) = self.books.get(&genesis.chain_id()) {
            return Ok(book.network());
        }
        let label = self.free_label(&genesis, wanted)?;
        let found = self.books.len();
        if found >= limits::NETWORKS_MAX {
            return Err(Refusal::Full { found });
        }
        let book = Book::new(label.clone(), listing, genesis);
        let (network, chain_id) = (book.network(), book.chain_id());
        self.labels.insert(label.clone(), chain_id);
        self.books.insert(chain_id, book);
        let genesis = bytes;
        self.outputs.push_back(Output::Persist(Change::Network {
            chain_id,
            label,
            listing,
            genesis,
        }));
        Ok(network)
    }

    /// The label for a new chain: its own network id, or beside the chain that holds that.
    fn free_label(&self, genesis: &Genesis, wanted: Option<Label>) -> Result<Label, Refusal> {
        let plain = Label::plain(&genesis.network_id);
        let beside = Label::beside(&genesis.network_id, genesis.chain_id());
        let label = wanted.unwrap_or_else(|| plain.clone());
        if label != plain && label != beside {
            return Err(Refusal::Genesis(format!(
                "the label {label} does not belong to this genesis"
            )));
        }
        if self.labels.contains_key(&label) {
            return Err(Refusal::Taken {
                label,
                suggestion: beside,
            });
        }
        Ok(label)
    }
}
