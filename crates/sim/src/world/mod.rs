//! The world: a queue of happenings in virtual time, and what each does.

mod orders;
mod trouble;

use std::collections::BTreeMap;

use shared::{
    block::Block,
    genesis::{Access, Genesis, Rules},
    hash::Hash,
    identity::Identity,
    ids::{NetworkId, PeerId, TimestampMs},
    miner::{Miner, Step},
    node::{Input, MiningWhen},
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
