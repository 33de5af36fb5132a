//! Performing what the machines order, and watching that they may.

use shared::{
    block::UncheckedBlock,
    hash::{Hash, sha256},
    ids::TimestampMs,
    message::Message,
    node::{Event, Input, Job, VerifyId},
};

use super::{Happening, World};
use crate::{
    stack::{Order, Stack},
    wire::Party,
};

impl World {
    /// Lets a party's machines do something and performs their orders.
    pub(super) fn ask(
        &mut self,
        host: Party,
        what: impl FnOnce(&mut Stack, TimestampMs) -> Result<(), String>,
    ) {
        let now = self.hosts[host].clock(self.now);
        let Some(stack) = &mut self.hosts[host].stack else {
            return;
        };
        let result = what(stack, now);
        if let Err(reason) = result
            && self.hosts[host].is_honest()
        {
            self.blame(host, &reason);
        }
        self.perform(host);
    }

    /// Ends the run: this must not happen.
    pub(super) fn blame(&mut self, host: Party, reason: &str) {
        self.fault
            .get_or_insert_with(|| format!("node {host}: {reason}"));
    }

    pub(super) fn perform(&mut self, host: Party) {
        while let Some(order) = self.hosts[host].next_order() {
            self.note(host, &order);
            match order {
                Order::Tracker(message) => self.on_tell_tracker(host, message),
                Order::CloseTracker => self.lose_tracker(host, 0),
                Order::TrackerJoined => self.tell_of_tracker(host),
                Order::TrackerLost => {}
                Order::CreateLink { link, role } => self.on_create_link(host, link, role),
                Order::SetRemote { link, kind, sdp } => self.on_set_remote(host, link, kind, &sdp),
                Order::SendChannel { link, bytes } => self.on_send_channel(host, link, bytes),
                Order::CloseLink { link } => self.on_close_link(host, link),
                Order::PeerUp(peer) => {
                    if !self.hosts[host].up.insert(peer) {
                        self.blame(host, "a link came up twice");
                    }
                }
                Order::PeerDown(peer) => {
                    if !self.hosts[host].up.remove(&peer) {
                        self.blame(host, "a link went down that was not up");
                    }
                }
                Order::WakeAt { at } => {
                    self.hosts[host].wake += 1;
                    let after = self.hosts[host].true_time(at).saturating_sub(self.now);
                    let wake = self.hosts[host].wake;
                    self.schedule(after, Happening::Wake { host, wake });
                }
                Order::Persist { .. } => self.on_persist(host),
                Order::Says { bytes } => self.on_says(host, &bytes),
                Order::Verify { job, blocks } => self.on_verify(host, job, &blocks),
                Order::Mine { job } => self.on_mine(host, job),
                Order::StopMining => {
                    self.hosts[host].job = None;
                    self.hosts[host].job_generation += 1;
                }
                Order::Report { blocks } => {
                    let (after, life) = (self.scenario.latency_ms, self.hosts[host].life);
                    self.schedule(after, Happening::Report { host, life, blocks });
                }
                Order::Event(event) => self.on_event(host, event),
            }
        }
    }

    fn on_persist(&mut self, host: Party) {
        let is_last = host == 0 && self.hosts[host].writes == self.scenario.crash_at_write;
        if is_last {
            return self.schedule(0, Happening::Crash { host });
        }
        let (takes, life) = (self.random.between(1, 40), self.hosts[host].life);
        self.schedule(takes, Happening::Written { host, life });
    }

    /// A helper takes its time; now and then it answers for some blocks only, or never.
    fn on_verify(&mut self, host: Party, job: VerifyId, blocks: &[Vec<u8>]) {
        let genesis = self.history.genesis();
        let is_valid = |bytes: &Vec<u8>| {
            UncheckedBlock::decode(bytes).is_ok_and(|block| block.check(genesis).is_ok())
        };
        let mut valid: Vec<bool> = blocks.iter().map(is_valid).collect();
        let (takes, luck) = (self.random.between(1, 400), self.random.below(32));
        if luck == 0 {
            return;
        }
        if luck == 1 {
            valid.truncate(valid.len() / 2);
        }
        let life = self.hosts[host].life;
        let input = Input::Verified { job, valid };
        self.schedule(takes, Happening::HelperSays { host, life, input });
    }

    fn on_mine(&mut self, host: Party, job: Job) {
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

    /// Extends the trace, which must be the same for the same seed.
    fn note(&mut self, host: Party, order: &Order) {
        if !self.tally.is_traced {
            return;
        }
        let text = match order {
            Order::SendChannel { bytes, .. } | Order::Says { bytes } => {
                sha256(&[bytes]).to_string()
            }
            Order::Tracker(_)
            | Order::CloseTracker
            | Order::TrackerJoined
            | Order::TrackerLost
            | Order::CreateLink { .. }
            | Order::SetRemote { .. }
            | Order::CloseLink { .. }
            | Order::WakeAt { .. }
            | Order::Persist { .. }
            | Order::Verify { .. }
            | Order::Mine { .. }
            | Order::StopMining
            | Order::Report { .. }
            | Order::Event(_)
            | Order::PeerUp(_)
            | Order::PeerDown(_) => format!("{order:?}"),
        };
        let (now, host) = (self.now.to_be_bytes(), host.to_be_bytes());
        self.tally.trace = sha256(&[&self.tally.trace.0, &now, &host, text.as_bytes()]);
    }

    fn on_says(&mut self, host: Party, bytes: &[u8]) {
        self.tally.messages += 1;
        let kind = bytes.get(1).copied().unwrap_or_default();
        let said = self.tally.said.entry(kind).or_default();
        *said = (said.0 + 1, said.1 + bytes.len() as u64);
        if self.hosts[host].is_honest()
            && let Err(reason) = self.check_write_ahead(host, bytes)
        {
            self.blame(host, &reason);
        }
    }

    /// What a node sends of its own must be on its disk by then.
    fn check_write_ahead(&self, from: Party, bytes: &[u8]) -> Result<(), String> {
        let host = &self.hosts[from];
        match Message::decode(bytes) {
            Ok(Message::NewBlock { block }) => {
                let hash = sha256(&[&block.0[..116]]);
                let is_written = host.disk().contains_key(&format!("block/{hash}"));
                is_written
                    .then_some(())
                    .ok_or_else(|| format!("block {hash} is sent before it was written"))
            }
            Ok(Message::Transactions { transactions }) => {
                transactions.iter().try_for_each(|bytes| {
                    let id = sha256(&[&bytes.0]);
                    let is_own =
                        self.scenario.twins == 0 && bytes.0.get(2..34) == Some(&host.key().0[..]);
                    let is_written = !is_own || self.is_kept(from, &id);
                    is_written
                        .then_some(())
                        .ok_or_else(|| format!("transaction {id} is sent before it was written"))
                })
            }
            Ok(_) => Ok(()),
            Err(error) => Err(format!("no message is sent: {error}")),
        }
    }

    fn is_kept(&self, host: Party, id: &Hash) -> bool {
        let host = &self.hosts[host];
        host.disk().contains_key(&format!("outbox/{id}"))
            || host
                .node()
                .is_some_and(|node| node.chain().contains_transaction(id).is_some())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most events are only for the user"
    )]
    fn on_event(&mut self, host: Party, event: Event) {
        match event {
            Event::Submitted { id, .. } => _ = self.hosts[host].submitted.insert(id),
            Event::TipChanged {
                disconnected, hash, ..
            } => {
                self.tally.reorganisations += u64::from(!disconnected.is_empty());
                self.tally
                    .reached
                    .entry(hash)
                    .or_default()
                    .entry(host)
                    .or_insert(self.now);
            }
            Event::SnapshotTaken { .. } => _ = self.tally.happened.insert("snapshot"),
            Event::PeerRefused { peer, reason } => {
                let offender = self.names.get(&peer).map(|party| &self.hosts[*party]);
                match offender.and_then(|offender| offender.kind) {
                    Some(kind) => {
                        *self.tally.refused.entry(kind).or_default() += 1;
                        self.tally.reasons.insert(reason);
                    }
                    None => self.blame(host, &format!("refuses an honest peer: {reason}")),
                }
            }
            Event::StorageDamaged { key, reason } => {
                self.tally.damaged += 1;
                if !self.hosts[host].was_torn {
                    self.blame(host, &format!("finds {key} damaged: {reason}"));
                }
            }
            Event::BlockRefused { peer: None, reason } => {
                self.blame(host, &format!("refuses its own block: {reason}"));
            }
            Event::Synced { hash, .. } if self.tracker.chain.block(&hash).is_none() => {
                self.blame(host, &format!("believes {hash} synced"));
            }
            _ => {}
        }
    }
}
