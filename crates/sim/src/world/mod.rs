//! The world: a queue of happenings in virtual time, and what each does.

mod birth;
mod history;
mod links;
mod orders;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    block::Block,
    chain::Chain,
    hash::Hash,
    ids::PeerId,
    mesh::{self, FromTracker, ToTracker},
    miner::{Miner, Step},
    node::Input,
    transaction::Payload,
};

use crate::{
    Failure, Kind, Outcome, Random, Scenario,
    host::{End, Host},
    tracker::Tracker,
    verdict,
    wire::{Party, Wire},
};

/// The time at which every run begins.
pub(crate) const BIRTH_MS: u64 = 1_700_000_000_000;

/// Plays a scenario to its end.
///
/// # Errors
/// A [`Failure`] names the seed and what did not hold.
pub fn run(scenario: &Scenario) -> Result<Outcome, Failure> {
    World::new(scenario.clone())
        .play()
        .map_err(|reason| Failure {
            scenario: Box::new(scenario.clone()),
            reason,
        })
}

/// All parties, what lies between them, and what will happen.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) random: Random,
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    scheduled: u64,
    /// The chain when the run begins.
    pub(crate) history: Chain,
    pub(crate) hosts: Vec<Host>,
    /// Every name that a party ever had.
    names: BTreeMap<PeerId, Party>,
    pub(crate) wire: Wire,
    pub(crate) tracker: Tracker,
    pub(crate) tally: Tally,
    fault: Option<String>,
}

/// What is counted while a run goes on.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) trace: Hash,
    /// Whether every order goes into the trace.
    pub(crate) is_traced: bool,
    pub(crate) messages: u64,
    /// Messages between nodes and their bytes, by the number of their kind.
    pub(crate) said: BTreeMap<u8, (u64, u64)>,
    /// Bytes that arrived over data channels, by party.
    pub(crate) received: BTreeMap<Party, u64>,
    pub(crate) reorganisations: u64,
    pub(crate) restarts: u64,
    pub(crate) torn: u64,
    pub(crate) damaged: u64,
    /// How often each kind of hostile party was refused.
    pub(crate) refused: BTreeMap<Kind, u64>,
    /// Why hostile parties were refused.
    pub(crate) reasons: BTreeSet<String>,
    /// When each honest party first had a block as its tip.
    pub(crate) reached: BTreeMap<Hash, BTreeMap<Party, u64>>,
    /// Faults that did happen, for judging a shrunken run.
    pub(crate) happened: BTreeSet<&'static str>,
}

/// How a fact reaches a mesh, and so what makes it void on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Through {
    /// Nothing but a crash stops it.
    Own,
    /// The tracker's connection of that number.
    Tracker(u64),
    /// The channel that ends there.
    Channel(End),
}

/// Something that happens at its time.
#[derive(Debug)]
pub(crate) enum Happening {
    Start {
        host: Party,
    },
    Crash {
        host: Party,
    },
    Leave {
        host: Party,
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
    Turn {
        host: Party,
        life: u64,
    },
    Submission {
        host: Party,
        text: String,
    },
    Mesh {
        host: Party,
        life: u64,
        input: Box<mesh::Input>,
        through: Through,
    },
    AtTracker {
        host: Party,
        connection: u64,
        message: Box<ToTracker>,
    },
    TrackerDial {
        host: Party,
        life: u64,
    },
    ChannelOpens {
        end: End,
    },
    Break,
    Partition,
    Healing,
    Report {
        host: Party,
        life: u64,
        blocks: Vec<Block>,
    },
    HelperSays {
        host: Party,
        life: u64,
        input: Input,
    },
    TrackerSays {
        host: Party,
        life: u64,
        input: Input,
    },
    TrackerUp {
        is_up: bool,
    },
    Calm,
}

impl World {
    fn play(&mut self) -> Result<Outcome, String> {
        let calm_at = BIRTH_MS + self.scenario.trouble_ms * 3 / 2;
        let end = calm_at + 80 * self.scenario.interval_ms + 240_000;
        let mut look_at = calm_at + 1_000;
        while self.next_at().is_some_and(|at| at <= end) {
            let at = self.next_at().unwrap_or(end);
            if look_at <= at {
                if verdict::unrest(self).is_none() {
                    break;
                }
                look_at = at + 500;
            }
            self.step()?;
        }
        if let Some(unrest) = verdict::unrest(self) {
            return Err(format!(
                "no rest {} s after the last trouble: {unrest}",
                (end - calm_at) / 1_000
            ));
        }
        verdict::outcome(self)
    }

    /// When the next thing happens.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets the next thing happen.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        if let Some(((at, _), happening)) = self.queue.pop_first() {
            self.now = at;
            self.happen(happening);
        }
        self.fault.take().map_or(Ok(()), Err)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start { host } => self.on_start(host),
            Happening::Crash { host } => self.on_crash(host),
            Happening::Leave { host } => self.on_leave(host),
            Happening::Wake { host, wake } => {
                if self.hosts[host].wake == wake {
                    self.ask(host, |stack, now| stack.woken(now));
                }
            }
            Happening::Written { host, life } => {
                if self.hosts[host].life == life {
                    self.hosts[host].end_write();
                    self.perform(host);
                }
            }
            Happening::Mined { host, job } => self.on_mined(host, job),
            Happening::Turn { host, life } => self.on_turn(host, life),
            Happening::Submission { host, text } => {
                let (request, payload) = (self.scheduled, Payload::Message(text));
                self.give(host, Input::Submitted { request, payload });
            }
            Happening::Mesh {
                host,
                life,
                input,
                through,
            } => self.on_mesh_fact(host, life, *input, through),
            Happening::AtTracker {
                host,
                connection,
                message,
            } => self.on_at_tracker(host, connection, *message),
            Happening::TrackerDial { host, life } => self.on_tracker_dial(host, life),
            Happening::ChannelOpens { end } => self.on_channel_opens(end),
            Happening::Break => self.on_break(),
            Happening::Partition => self.on_partition(),
            Happening::Healing => self.wire.heal(),
            Happening::Report { host, life, blocks } => self.on_report(host, life, blocks),
            Happening::HelperSays { host, life, input } => {
                if self.hosts[host].life == life {
                    self.give(host, input);
                }
            }
            Happening::TrackerSays { host, life, input } => {
                if self.hosts[host].life == life && self.hosts[host].tracker.is_some() {
                    self.give(host, input);
                }
            }
            Happening::TrackerUp { is_up } => self.on_tracker_up(is_up),
            Happening::Calm => self.on_calm(),
        }
    }

    pub(crate) fn schedule(&mut self, after_ms: u64, happening: Happening) {
        self.scheduled += 1;
        self.queue
            .insert((self.now + after_ms, self.scheduled), happening);
    }

    /// Has a fact reach a mesh later.
    fn schedule_mesh(&mut self, after_ms: u64, host: Party, input: mesh::Input, through: Through) {
        let life = self.hosts[host].life;
        let input = Box::new(input);
        self.schedule(
            after_ms,
            Happening::Mesh {
                host,
                life,
                input,
                through,
            },
        );
    }

    fn on_mesh_fact(&mut self, host: Party, life: u64, input: mesh::Input, through: Through) {
        let is_void = match through {
            Through::Own => false,
            Through::Tracker(connection) => self.hosts[host].tracker != Some(connection),
            Through::Channel(end) => !self.wire.exists(end),
        };
        if is_void || self.hosts[host].life != life {
            return;
        }
        if let mesh::Input::ChannelReceived { bytes, .. } = &input {
            *self.tally.received.entry(host).or_default() += bytes.len() as u64;
        }
        self.ask(host, |stack, now| stack.mesh_fact(now, input));
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
            Step::Found(solution) => Input::NonceFound {
                job: job.id,
                solution,
            },
            Step::Working | Step::Exhausted => Input::JobExhausted { job: job.id },
        };
        self.give(host, input);
    }

    /// Gives an honest node a fact.
    pub(crate) fn give(&mut self, host: Party, input: Input) {
        self.ask(host, |stack, now| stack.node_fact(now, input));
    }

    /// Has a message of the tracker reach a member.
    fn tracker_tells(&mut self, told: Vec<(Party, FromTracker)>) {
        for (party, message) in told {
            let Some(connection) = self.hosts[party].tracker else {
                continue;
            };
            let after = self.wire.latency(party, TRACKER);
            let input = mesh::Input::TrackerReceived(message);
            self.schedule_mesh(after, party, input, Through::Tracker(connection));
        }
    }

    /// The party that has or had this name.
    pub(crate) fn party(&self, peer: &PeerId) -> Option<Party> {
        self.names.get(peer).copied()
    }

    /// Honest parties that are part of the network at the end.
    pub(crate) fn honest(&self) -> impl Iterator<Item = (Party, &Host)> {
        self.hosts
            .iter()
            .enumerate()
            .filter(|(_, host)| host.is_honest() && !host.has_left)
    }
}

/// The tracker's index where latencies are drawn.
pub(crate) const TRACKER: Party = 0xffff_ffff;
