//! What readers see: an immutable picture of the chain at one tip, replaced after every decision.
//!
//! Readers never wait for the engine and never see half of a block. Blocks and bodies are read from the store.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use serde_json::value::RawValue;
use shared::enterprise::{EnterpriseHeight, ValidatorSet};
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::ids::{ChainId, Height, TimestampMs};

use crate::evidence::Contradictions;
use crate::ledger::{Ledger, MainChain, TenantLedger};
use crate::replica::Consensus;
use crate::store::Head;

/// The chain at one tip.
#[derive(Clone, Debug)]
pub struct View {
    /// Counts the pictures, so that a reader knows whether it has seen one.
    pub generation: u64,
    /// The newest decided block, or height 0 and the genesis hash.
    pub head: Head,
    /// Its enterprise time.
    pub time: TimestampMs,
    /// The tenants.
    pub tenants: BTreeMap<ChainId, Arc<TenantView>>,
    /// Their chain ids by the name shown.
    pub names: Arc<BTreeMap<String, ChainId>>,
    /// Transactions on the heaviest anchored chains.
    pub transactions: u64,
    /// The lowest height whose block is held: 1, or the one after that of the snapshot that the store begins with.
    pub lowest: EnterpriseHeight,
    /// Why the validator takes no more writes, if it does not.
    pub failure: Option<Arc<str>>,
    /// How the validators stand.
    pub consensus: Arc<Consensus>,
    /// Which validators have contradicted themselves.
    pub evidence: Arc<Contradictions>,
    /// The validator sets, each with the height from which on it is in force, ascending.
    pub sets: Arc<Vec<(EnterpriseHeight, ValidatorSet)>>,
}

/// One tenant at one tip.
#[derive(Clone, Debug)]
pub struct TenantView {
    /// The chain id.
    pub chain_id: ChainId,
    /// The genesis.
    pub genesis: Arc<Genesis>,
    /// The name shown.
    pub name: String,
    /// The height of the heaviest anchored chain.
    pub height: Height,
    /// The hash of its tip.
    pub tip: Hash,
    /// What that chain's blocks are stored by; may be ahead of this picture.
    pub main: MainChain,
    /// The enterprise block that anchors the tip.
    pub anchored_in: Head,
    /// Transactions on that chain.
    pub transactions: u64,
    /// Enterprise time of the last anchored block.
    pub last_activity: TimestampMs,
    /// Heights and texts of the newest messages, newest first.
    pub recent_messages: Arc<[(u32, Arc<str>)]>,
    /// The lowest height from which on all bodies of its chain are held.
    pub bodies_from: Height,
    /// Its newest final block.
    pub newest_final: Option<(Height, Hash)>,
    /// How often its owner voided a final suffix.
    pub resets: u32,
    /// Its JSON, once somebody asked for it.
    pub(crate) json: OnceLock<ReadyJson>,
}

/// Ready-made JSON, to be part of another answer or one of its own.
#[derive(Clone, Debug)]
pub(crate) struct ReadyJson {
    pub(crate) value: Arc<RawValue>,
    pub(crate) bytes: Bytes,
}

fn sets_of(ledger: &Ledger) -> Arc<Vec<(EnterpriseHeight, ValidatorSet)>> {
    let first = (EnterpriseHeight(0), ledger.genesis().validators().clone());
    let links = ledger.links().iter();
    let later = links.map(|link| (link.checkpoint.header.height.next(), link.next.clone()));
    Arc::new([first].into_iter().chain(later).collect())
}

impl View {
    /// The picture of a ledger.
    #[must_use]
    pub fn new(ledger: &Ledger, consensus: Arc<Consensus>) -> Self {
        let mut view = Self {
            generation: 0,
            head: Head {
                height: ledger.verifier().height(),
                hash: ledger.verifier().hash(),
            },
            time: ledger.verifier().time(),
            tenants: BTreeMap::new(),
            names: Arc::default(),
            transactions: ledger.transactions(),
            lowest: ledger.base().height.next(),
            failure: None,
            consensus,
            evidence: Arc::default(),
            sets: sets_of(ledger),
        };
        for tenant in ledger.tenants().values() {
            view.put(ledger, tenant);
        }
        view
    }

    /// The next picture, after these tenants changed.
    #[must_use]
    pub fn after(
        &self,
        ledger: &Ledger,
        consensus: Arc<Consensus>,
        changed: impl IntoIterator<Item = ChainId>,
    ) -> Self {
        let mut view = Self {
            generation: self.generation.saturating_add(1),
            head: Head {
                height: ledger.verifier().height(),
                hash: ledger.verifier().hash(),
            },
            time: ledger.verifier().time(),
            transactions: ledger.transactions(),
            lowest: ledger.base().height.next(),
            consensus,
            ..self.clone()
        };
        if view.sets.len() != ledger.links().len().saturating_add(1) {
            view.sets = sets_of(ledger);
        }
        for chain_id in changed {
            // A tenant without an anchored block is pending: nobody was told of it yet.
            if let Some(tenant) = ledger.tenants().get(&chain_id) {
                view.put(ledger, tenant);
            }
        }
        view
    }

    /// The same picture of a validator that takes no more writes.
    #[must_use]
    pub fn failed(&self, reason: &str) -> Self {
        let generation = self.generation.saturating_add(1);
        Self {
            generation,
            failure: Some(reason.into()),
            ..self.clone()
        }
    }

    /// The validator set in force at a height.
    #[must_use]
    pub fn set_at(&self, height: EnterpriseHeight) -> Option<&ValidatorSet> {
        let from = self.sets.iter().rev().find(|(from, _)| *from <= height);
        from.map(|(_, set)| set)
    }

    /// The tenant with this name or chain id.
    #[must_use]
    pub fn tenant(&self, name_or_id: &str) -> Option<&Arc<TenantView>> {
        let by_id = name_or_id.parse::<ChainId>().ok();
        let chain_id = by_id.or_else(|| self.names.get(name_or_id).copied())?;
        self.tenants.get(&chain_id)
    }

    fn put(&mut self, ledger: &Ledger, tenant: &TenantLedger) {
        let (chain_id, state) = (tenant.chain_id(), tenant.state());
        let name = tenant.name().as_str();
        if self.names.get(name) != Some(&chain_id) {
            let names = Arc::make_mut(&mut self.names);
            // Until its registration was decided, another name may have been shown.
            if let Some(before) = self.tenants.get(&chain_id)
                && names.get(&before.name) == Some(&chain_id)
            {
                names.remove(&before.name);
            }
            names.insert(name.to_owned(), chain_id);
        }
        let newest_final = ledger.state().newest_final(&chain_id);
        let view = TenantView {
            chain_id,
            genesis: Arc::clone(tenant.genesis()),
            name: name.to_owned(),
            height: state.height,
            tip: state.hash,
            main: tenant.main().clone(),
            anchored_in: tenant.anchored_in(),
            transactions: tenant.transaction_count(),
            last_activity: tenant.last_activity(),
            recent_messages: tenant.recent_messages(),
            bodies_from: tenant.bodies_from(),
            newest_final: newest_final.map(|block| (block.height(), block.hash())),
            resets: ledger.state().resets(&chain_id),
            json: OnceLock::new(),
        };
        self.tenants.insert(chain_id, Arc::new(view));
    }
}
