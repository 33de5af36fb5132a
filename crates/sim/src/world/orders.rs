//! Performing what the machines order, and watching that they may.

use shared::{
    hash::sha256,
    ids::PeerId,
    message::Message,
    node::{Event, Input, NodeError, Output},
};

use super::{Happening, World};
use crate::network::Party;

impl World {
    /// Gives an honest node a fact and performs its orders.
    pub(super) fn give(&mut self, host: Party, input: Input) {
        if let Err(error) = self.hosts[host].handle(self.now, input)
            && !matches!(
                error,
                NodeError::Blamed { .. } | NodeError::UnknownPeer { .. }
            )
        {
            self.fault = Some(format!("node {host} refuses an input: {error}"));
        }
        self.perform(host);
    }

    pub(super) fn perform(&mut self, host: Party) {
        while let Some(order) = self.hosts[host].next_order() {
            self.note(host, &order);
            match order {
                Output::Send { peer, bytes } => self.send(host, peer, bytes),
                Output::Persist { .. } => {
                    let (takes, life) = (self.random.between(1, 40), self.hosts[host].life);
                    self.schedule(takes, Happening::Written { host, life });
                }
                Output::WakeAt { at } => {
                    self.hosts[host].wake += 1;
                    let after = self.hosts[host].true_time(at).saturating_sub(self.now);
                    let wake = self.hosts[host].wake;
                    self.schedule(after, Happening::Wake { host, wake });
                }
                Output::Mine { job } => {
                    let state = &mut self.hosts[host];
                    state.job_generation += 1;
                    let generation = state.job_generation;
                    let hashes = job.target.work().0.as_f64();
                    state.job = Some(job);
                    if state.power > 0.0 {
                        let after = self.random.exponential(hashes / state.power);
                        self.schedule(
                            after,
                            Happening::Mined {
                                host,
                                job: generation,
                            },
                        );
                    }
                }
                Output::StopMining => {
                    self.hosts[host].job = None;
                    self.hosts[host].job_generation += 1;
                }
                Output::Report { blocks } => {
                    let (after, life) = (self.scenario.latency_ms, self.hosts[host].life);
                    self.schedule(after, Happening::Report { host, life, blocks });
                }
                Output::Disconnect { peer, .. } => self.on_disconnect(host, peer),
                Output::Event(event) => self.on_event(host, event),
            }
        }
    }

    /// Extends the trace, which must be the same for the same seed.
    pub(super) fn note(&mut self, host: Party, order: &Output) {
        let text = if let Output::Send { bytes, .. } = order {
            sha256(&[bytes]).to_string()
        } else {
            format!("{order:?}")
        };
        self.trace = sha256(&[
            &self.trace.0,
            &self.now.to_be_bytes(),
            &host.to_be_bytes(),
            text.as_bytes(),
        ]);
    }

    pub(super) fn send(&mut self, from: Party, peer: PeerId, bytes: Vec<u8>) {
        self.messages += 1;
        if let Err(reason) = self.check_write_ahead(from, &bytes) {
            self.fault = Some(reason);
        }
        let Some(to) = self
            .parties
            .get(&peer)
            .copied()
            .filter(|to| self.network.is_up(from, *to))
        else {
            return;
        };
        let generation = self.network.generation(from, to);
        for after in self
            .network
            .arrivals(&mut self.random, &self.scenario, from, to)
        {
            self.schedule(
                after,
                Happening::Arrival {
                    from,
                    to,
                    generation,
                    bytes: bytes.clone(),
                },
            );
        }
    }

    /// What a node sends of its own must be on its disk by then.
    pub(super) fn check_write_ahead(&self, from: Party, bytes: &[u8]) -> Result<(), String> {
        let host = &self.hosts[from];
        match Message::decode(bytes) {
            Ok(Message::NewBlock { block }) => {
                let hash = sha256(&[&block.0[..116]]);
                let is_written = host.disk().contains_key(&format!("block/{hash}"));
                if is_written {
                    Ok(())
                } else {
                    Err(format!(
                        "node {from} sent block {hash} before it was written"
                    ))
                }
            }
            Ok(Message::Transactions { transactions }) => {
                transactions.iter().try_for_each(|bytes| {
                    let id = sha256(&[&bytes.0]);
                    let is_own =
                        !self.scenario.twins && bytes.0.get(2..34) == Some(&host.key().0[..]);
                    let is_confirmed = host
                        .node
                        .as_ref()
                        .is_some_and(|node| node.chain().contains_transaction(&id).is_some());
                    let is_written = host.disk().contains_key(&format!("outbox/{id}"));
                    if !is_own || is_written || is_confirmed {
                        Ok(())
                    } else {
                        Err(format!("node {from} sent {id} before it was written"))
                    }
                })
            }
            Ok(_) => Ok(()),
            Err(error) => Err(format!("node {from} sent no message: {error}")),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most events are only for the user"
    )]
    pub(super) fn on_event(&mut self, host: Party, event: Event) {
        match event {
            Event::Submitted { id, .. } => _ = self.hosts[host].submitted.insert(id),
            Event::TipChanged { disconnected, .. } => {
                self.reorganisations += u64::from(!disconnected.is_empty())
            }
            Event::PeerRefused { peer, reason } => {
                if self
                    .parties
                    .get(&peer)
                    .is_some_and(|party| *party < self.hosts.len())
                {
                    self.fault = Some(format!("node {host} blames an honest peer: {reason}"));
                }
                self.blamed += 1;
            }
            Event::StorageDamaged { key, reason } => {
                self.fault = Some(format!("node {host} finds {key} damaged: {reason}"))
            }
            Event::BlockRefused { peer: None, reason } => {
                self.fault = Some(format!("node {host} refuses its own block: {reason}"))
            }
            Event::Synced { hash, .. } if self.tracker.chain.block(&hash).is_none() => {
                self.fault = Some(format!("node {host} believes {hash} synced"));
            }
            _ => {}
        }
    }
}
