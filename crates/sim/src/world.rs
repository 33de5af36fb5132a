//! The world: a queue of happenings in virtual time, and what each does.

use std::collections::BTreeMap;

use shared::{
    block::Block,
    genesis::{Access, Genesis, Rules},
    hash::{Hash, sha256},
    identity::Identity,
    ids::{NetworkId, PeerId, TimestampMs},
    message::Message,
    miner::{Miner, Step},
    node::{Event, Input, MiningWhen, NodeError, Output},
    pow::Target,
    transaction::Payload,
};

use crate::{
    Failure, Hostility, Outcome, Random, Scenario,
    actors::Forger,
    host::Host,
    network::{Network, Party},
    tracker::Tracker,
    verdict,
};

/// Expected hashes of the first block; the difficulty moves between a sixteenth of it and what the miners' power gives.
const INITIAL_HASHES: u64 = 512;
const BIRTH_MS: u64 = 1_700_000_000_000;

/// Plays a scenario to its end.
///
/// # Errors
/// A [`Failure`] names the seed and what did not hold.
pub fn run(scenario: &Scenario) -> Result<Outcome, Failure> {
    let mut world = World::new(scenario.clone());
    world.play().map_err(|reason| Failure {
        scenario: Box::new(scenario.clone()),
        reason,
    })
}

struct World {
    scenario: Scenario,
    random: Random,
    now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    scheduled: u64,
    genesis: Genesis,
    hosts: Vec<Host>,
    forgers: Vec<Forger>,
    /// The name under which a forger is linked to a host.
    forged_names: BTreeMap<(Party, Party), PeerId>,
    parties: BTreeMap<PeerId, Party>,
    topology: Vec<(Party, Party)>,
    network: Network,
    tracker: Tracker,
    trace: Hash,
    messages: u64,
    reorganisations: u64,
    blamed: u64,
    fault: Option<String>,
}

enum Happening {
    Arrival {
        from: Party,
        to: Party,
        generation: u64,
        bytes: Vec<u8>,
    },
    Wake {
        host: Party,
        wake: u64,
    },
    Written {
        host: Party,
        life: u64,
    },
    Mined {
        host: Party,
        job: u64,
    },
    Submission {
        host: Party,
        text: String,
    },
    Crash {
        host: Party,
    },
    Start {
        host: Party,
    },
    LinkUp {
        a: Party,
        b: Party,
    },
    LinkLost {
        host: Party,
        other: PeerId,
        generation: u64,
    },
    Partition {
        cuts_links: bool,
    },
    Healing,
    Report {
        host: Party,
        life: u64,
        blocks: Vec<Block>,
    },
    TrackerSays {
        host: Party,
        life: u64,
        input: Input,
    },
    TrackerUp {
        is_up: bool,
    },
    Attack,
    Calm,
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let genesis = genesis(&mut random, &scenario);
        let mut hosts: Vec<Host> = Vec::with_capacity(scenario.nodes);
        for index in 0..scenario.nodes {
            let twin = hosts
                .first()
                .filter(|_| scenario.twins && index == 1)
                .map(|first| first.seed);
            hosts.push(Host::new(&mut random, scenario.skew_ms, twin));
        }
        give_power(&mut random, &scenario, &mut hosts);
        let forgers = match scenario.hostility {
            Hostility::None => Vec::new(),
            Hostility::Forger => vec![Forger::new(genesis.clone(), Random::new(random.draw()))],
        };
        let parties = hosts
            .iter()
            .enumerate()
            .map(|(party, host)| (host.peer, party))
            .collect();
        let topology = Network::topology(&mut random, scenario.nodes, scenario.degree);
        let mut world = Self {
            now: BIRTH_MS,
            queue: BTreeMap::new(),
            scheduled: 0,
            tracker: Tracker::new(genesis.clone()),
            genesis,
            hosts,
            forgers,
            forged_names: BTreeMap::new(),
            parties,
            topology,
            network: Network::default(),
            trace: Hash::ZERO,
            messages: 0,
            reorganisations: 0,
            blamed: 0,
            fault: None,
            random,
            scenario,
        };
        world.plan();
        world
    }

    /// Draws what will happen and when.
    fn plan(&mut self) {
        let trouble = self.scenario.trouble_ms;
        for host in 0..self.scenario.nodes {
            let is_late = host + self.scenario.late >= self.scenario.nodes;
            let at = if is_late {
                self.random.between(trouble / 4, trouble)
            } else {
                self.random.below(2_000)
            };
            self.schedule(at, Happening::Start { host });
        }
        for number in 0..self.scenario.submissions {
            let at = self.random.below(trouble);
            let host = self.random.index(self.scenario.nodes);
            self.schedule(
                at,
                Happening::Submission {
                    host,
                    text: format!("message {number}"),
                },
            );
        }
        for _ in 0..self.scenario.crashes {
            let (at, host) = (
                self.random.below(trouble),
                self.random.index(self.scenario.nodes),
            );
            self.schedule(at, Happening::Crash { host });
            let down = self.random.between(500, trouble / 4);
            self.schedule(at + down, Happening::Start { host });
        }
        for _ in 0..self.scenario.partitions {
            let at = self.random.below(trouble);
            let cuts_links = self.random.chance(500);
            self.schedule(at, Happening::Partition { cuts_links });
            let lasts = self.random.between(1_000, trouble / 3);
            self.schedule(at + lasts, Happening::Healing);
        }
        let away = self.random.below(trouble);
        self.schedule(away, Happening::TrackerUp { is_up: false });
        let back = away + self.random.below(trouble / 2);
        self.schedule(back, Happening::TrackerUp { is_up: true });
        if !self.forgers.is_empty() {
            self.schedule(1_000, Happening::Attack);
        }
        self.schedule(trouble + trouble / 2, Happening::Calm);
    }

    fn play(&mut self) -> Result<Outcome, String> {
        let calm_at = BIRTH_MS + self.scenario.trouble_ms * 3 / 2;
        let end = calm_at + 80 * self.scenario.interval_ms + 180_000;
        let mut look_at = calm_at + 1_000;
        while let Some(((at, _), happening)) = self.queue.pop_first() {
            if look_at <= at {
                if verdict::unrest(&self.hosts, &self.tracker).is_none() {
                    break;
                }
                look_at = at + 500;
            }
            if at > end {
                let unrest = verdict::unrest(&self.hosts, &self.tracker).unwrap_or_default();
                return Err(format!(
                    "no rest {} s after the last trouble: {unrest}",
                    (end - calm_at) / 1_000
                ));
            }
            self.now = at;
            self.happen(happening);
            if let Some(fault) = self.fault.take() {
                return Err(fault);
            }
        }
        let (submitted, conflicts) = verdict::account(&self.hosts)?;
        if conflicts > 0 && !self.scenario.twins {
            return Err(format!("{conflicts} conflicts, and no key was used twice"));
        }
        Ok(Outcome {
            seed: self.scenario.seed,
            nodes: self.scenario.nodes,
            height: self.tracker.chain.tip().height,
            submitted,
            conflicts,
            reorganisations: self.reorganisations,
            messages: self.messages,
            blamed: self.blamed,
            virtual_ms: self.now - BIRTH_MS,
            state_hash: verdict::state_hash(self.trace, &self.hosts),
        })
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival {
                from,
                to,
                generation,
                bytes,
            } => self.on_arrival(from, to, generation, bytes),
            Happening::Wake { host, wake } => {
                if self.hosts[host].wake == wake {
                    self.give(host, Input::Woken);
                }
            }
            Happening::Written { host, life } => {
                if self.hosts[host].life == life {
                    self.hosts[host].end_write();
                    self.perform(host);
                }
            }
            Happening::Mined { host, job } => self.on_mined(host, job),
            Happening::Submission { host, text } => self.on_submission(host, text),
            Happening::Crash { host } => self.on_crash(host),
            Happening::Start { host } => self.on_start(host),
            Happening::LinkUp { a, b } => self.on_link_up(a, b),
            Happening::LinkLost {
                host,
                other,
                generation,
            } => {
                let Some(party) = self.parties.get(&other).copied() else {
                    return;
                };
                if self.network.generation(host, party) == generation {
                    self.give(host, Input::PeerLost { peer: other });
                }
            }
            Happening::Partition { cuts_links } => self.on_partition(cuts_links),
            Happening::Healing => {
                self.network.heal();
                self.relink();
            }
            Happening::Report { host, life, blocks } => self.on_report(host, life, blocks),
            Happening::TrackerSays { host, life, input } => {
                if self.hosts[host].life == life && self.tracker.is_up {
                    self.give(host, input);
                }
            }
            Happening::TrackerUp { is_up } => self.on_tracker(is_up),
            Happening::Attack => self.on_attack(),
            Happening::Calm => self.on_calm(),
        }
    }

    fn schedule(&mut self, after_ms: u64, happening: Happening) {
        self.scheduled += 1;
        self.queue
            .insert((self.now + after_ms, self.scheduled), happening);
    }

    /// Gives an honest node a fact and performs its orders.
    fn give(&mut self, host: Party, input: Input) {
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

    fn perform(&mut self, host: Party) {
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
    fn note(&mut self, host: Party, order: &Output) {
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

    fn send(&mut self, from: Party, peer: PeerId, bytes: Vec<u8>) {
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
    fn check_write_ahead(&self, from: Party, bytes: &[u8]) -> Result<(), String> {
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

    fn on_arrival(&mut self, from: Party, to: Party, generation: u64, bytes: Vec<u8>) {
        if self.network.generation(from, to) != generation {
            return;
        }
        let peer = self.name(from, to);
        match to.checked_sub(self.hosts.len()) {
            Some(forger) => self.forgers[forger].on_message(self.now, &bytes),
            None => self.give(to, Input::MessageReceived { peer, bytes }),
        }
    }

    fn on_mined(&mut self, host: Party, generation: u64) {
        let state = &self.hosts[host];
        let Some(job) = state
            .job
            .clone()
            .filter(|_| state.job_generation == generation)
        else {
            return;
        };
        let input = match Miner::new(&job.header, &job.target, 0, u32::MAX).step(u32::MAX) {
            Step::Found { nonce } => Input::NonceFound { job: job.id, nonce },
            Step::Working | Step::Exhausted => Input::JobExhausted { job: job.id },
        };
        self.give(host, input);
    }

    fn on_submission(&mut self, host: Party, text: String) {
        let request = self.scheduled;
        self.give(
            host,
            Input::Submitted {
                request,
                payload: Payload::Message(text),
            },
        );
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most events are only for the user"
    )]
    fn on_event(&mut self, host: Party, event: Event) {
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

    fn on_start(&mut self, host: Party) {
        if self.hosts[host].node.is_some() {
            return;
        }
        self.hosts[host].start(&mut self.random, &self.genesis, self.now);
        self.perform(host);
        self.relink();
        self.tell_of_tracker(host);
    }

    fn on_crash(&mut self, host: Party) {
        self.hosts[host].crash();
        for other in self.network.linked(host) {
            self.cut(host, other, 2_000);
        }
    }

    /// Takes a link down; the honest ends notice up to `within_ms` later.
    fn cut(&mut self, a: Party, b: Party, within_ms: u64) {
        self.network.set(a, b, false);
        let generation = self.network.generation(a, b);
        for (end, other) in [(a, b), (b, a)] {
            if end < self.hosts.len() {
                let (after, other) = (self.random.below(within_ms), self.name(other, end));
                self.schedule(
                    after,
                    Happening::LinkLost {
                        host: end,
                        other,
                        generation,
                    },
                );
            }
        }
    }

    /// Has every link of the topology that could be up come up soon.
    fn relink(&mut self) {
        for (a, b) in self.topology.clone() {
            let after = self.random.between(30, 1_500);
            if !self.network.is_up(a, b) {
                self.schedule(after, Happening::LinkUp { a, b });
            }
        }
    }

    fn on_link_up(&mut self, a: Party, b: Party) {
        let are_there = [a, b].iter().all(|party| {
            self.hosts
                .get(*party)
                .is_none_or(|host| host.node.is_some())
        });
        if !are_there || self.network.are_parted(a, b) || !self.network.set(a, b, true) {
            return;
        }
        for (end, other) in [(a, b), (b, a)] {
            if end < self.hosts.len() {
                let peer = self.name(other, end);
                self.give(end, Input::PeerConnected { peer });
            }
        }
    }

    fn on_disconnect(&mut self, host: Party, peer: PeerId) {
        let Some(party) = self.parties.get(&peer).copied() else {
            return;
        };
        if self.network.is_up(host, party) && self.name(party, host) == peer {
            self.cut(host, party, 500);
        }
    }

    fn on_partition(&mut self, cuts_links: bool) {
        let sides = (0..self.scenario.nodes + self.forgers.len())
            .map(|_| u8::from(self.random.chance(500)))
            .collect();
        self.network.part(sides);
        for (a, b) in self.topology.clone() {
            if cuts_links && self.network.are_parted(a, b) && self.network.is_up(a, b) {
                self.cut(a, b, 5_000);
            }
        }
    }

    fn on_report(&mut self, host: Party, life: u64, blocks: Vec<Block>) {
        let before = self.tracker.tip();
        let Some(input) = self.tracker.take(&mut self.random, self.now, blocks) else {
            return;
        };
        let after = self.scenario.latency_ms;
        self.schedule(after, Happening::TrackerSays { host, life, input });
        if self.tracker.tip() != before {
            for other in 0..self.hosts.len() {
                let (life, tip) = (self.hosts[other].life, self.tracker.tip());
                if other != host {
                    self.schedule(
                        after,
                        Happening::TrackerSays {
                            host: other,
                            life,
                            input: Input::TrackerConnected { tip },
                        },
                    );
                }
            }
        }
    }

    fn on_tracker(&mut self, is_up: bool) {
        self.tracker.is_up = is_up;
        for host in 0..self.hosts.len() {
            if is_up {
                self.tell_of_tracker(host);
            } else {
                self.give(host, Input::TrackerLost);
            }
        }
    }

    fn tell_of_tracker(&mut self, host: Party) {
        let (life, tip) = (self.hosts[host].life, self.tracker.tip());
        let after = self.random.between(50, 2_000);
        self.schedule(
            after,
            Happening::TrackerSays {
                host,
                life,
                input: Input::TrackerConnected { tip },
            },
        );
    }

    fn on_attack(&mut self) {
        for index in 0..self.forgers.len() {
            let party = self.hosts.len() + index;
            let victim = self.random.index(self.hosts.len());
            if !self.network.is_up(party, victim) {
                let name = self.forgers[index].next_name();
                self.forged_names.insert((party, victim), name);
                self.parties.insert(name, party);
                self.on_link_up(party, victim);
            }
            for victim in self.network.linked(party) {
                let bytes = self.forgers[index].attack(self.now);
                let generation = self.network.generation(party, victim);
                self.schedule(
                    self.scenario.latency_ms,
                    Happening::Arrival {
                        from: party,
                        to: victim,
                        generation,
                        bytes,
                    },
                );
            }
        }
        self.schedule(700, Happening::Attack);
    }

    /// The trouble is over: everything heals, everyone is there, and mining stops when nothing is pending.
    fn on_calm(&mut self) {
        self.scenario.loss = 0;
        self.network.heal();
        self.on_tracker(true);
        for host in 0..self.hosts.len() {
            self.on_start(host);
            if self.hosts[host].power > 0.0 {
                self.hosts[host].mining = MiningWhen::WhenPending;
                self.give(
                    host,
                    Input::MiningSet {
                        when: MiningWhen::WhenPending,
                    },
                );
            }
        }
        self.relink();
    }

    /// The name under which `of` is known to `to`.
    fn name(&self, of: Party, to: Party) -> PeerId {
        match self.hosts.get(of) {
            Some(host) => host.peer,
            None => self
                .forged_names
                .get(&(of, to))
                .copied()
                .unwrap_or(PeerId(Hash::ZERO)),
        }
    }
}

fn genesis(random: &mut Random, scenario: &Scenario) -> Genesis {
    let mut rules = Rules::open_default(Target::for_hashes(INITIAL_HASHES).to_compact());
    rules.interval_ms = u32::try_from(scenario.interval_ms).unwrap_or(rules.interval_ms);
    rules.stamp_bits = 4;
    Genesis {
        network_id: NetworkId::parse("simulation").expect("a valid label"),
        rules,
        created_at: TimestampMs(BIRTH_MS),
        owner: Identity::from_seed(random.bytes32()).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    }
}

/// Gives some nodes virtual hash power, in all as much as finds the first block within one interval.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn give_power(random: &mut Random, scenario: &Scenario, hosts: &mut [Host]) {
    let miners = 2 + random.index(hosts.len() - 1);
    let total = INITIAL_HASHES as f64 / scenario.interval_ms as f64;
    for host in hosts.iter_mut().take(miners) {
        let share = random.between(1, 100) as f64 / (50 * miners) as f64;
        host.power = total * share;
        host.mining = if random.chance(600) {
            MiningWhen::WhenPending
        } else {
            MiningWhen::Always
        };
    }
}
