//! A new world: its genesis, its parties and what is planned for them.

use shared::{
    genesis::{Access, Genesis, Rules},
    identity::Identity,
    ids::{NetworkId, TimestampMs},
    node::MiningWhen,
    pow::Target,
};

use std::collections::BTreeMap;

use super::{BIRTH_MS, Happening, Tally, World, history};
use crate::{
    Kind, Random, Scenario,
    actors::{INITIAL_HASHES, leaver},
    host::Host,
    tracker::Tracker,
    wire::Wire,
};

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let genesis = genesis(&mut random, &scenario);
        let mut hosts: Vec<Host> = Vec::new();
        for index in 0..scenario.nodes {
            let first = hosts.first().map(|first| first.seed);
            let twin = first.filter(|_| scenario.twins == 1 && index == 1);
            hosts.push(Host::honest(&mut random, scenario.skew_ms, twin));
        }
        let always = scenario.mine_always == 1 || scenario.actors.contains(&Kind::Leaver);
        give_power(&mut random, &scenario, &mut hosts, always);
        for kind in &scenario.actors {
            hosts.push(if *kind == Kind::Leaver {
                leaver::host(&mut random, total_power(&scenario))
            } else {
                Host::hostile(&mut random, *kind)
            });
        }
        let names = hosts
            .iter()
            .enumerate()
            .map(|(party, host)| (host.peer, party))
            .collect();
        let blocks = u32::try_from(scenario.history).unwrap_or(0);
        let history = history::grown(&genesis, blocks);
        let mut world = Self {
            now: BIRTH_MS,
            queue: BTreeMap::new(),
            scheduled: 0,
            tracker: Tracker::new(history.clone()),
            history,
            hosts,
            names,
            wire: Wire::new(&scenario),
            tally: Tally {
                is_traced: true,
                ..Tally::default()
            },
            fault: None,
            random,
            scenario,
        };
        world.remember();
        world.plan();
        world
    }

    /// Draws what will happen and when.
    fn plan(&mut self) {
        let trouble = self.scenario.trouble_ms;
        let honest = usize::try_from(self.scenario.nodes).unwrap_or(0);
        let steady = honest.saturating_sub(usize::try_from(self.scenario.late).unwrap_or(0));
        for host in 0..self.hosts.len() {
            let is_late = (steady..honest).contains(&host);
            let at = if is_late {
                self.random.between(trouble / 4, trouble)
            } else {
                self.random.below(2_000)
            };
            self.schedule(at, Happening::Start { host });
            if self.scenario.actors.get(host.wrapping_sub(honest)) == Some(&Kind::Leaver) {
                self.schedule(leaver::leaves_at(trouble), Happening::Leave { host });
            }
        }
        for number in 0..self.scenario.submissions {
            let (at, host) = (self.random.below(trouble), self.random.index(honest));
            self.schedule(
                at,
                Happening::Submission {
                    host,
                    text: format!("message {number}"),
                },
            );
        }
        for _ in 0..self.scenario.crashes {
            let (at, host) = (self.random.below(trouble), self.random.index(honest));
            self.schedule(at, Happening::Crash { host });
        }
        for _ in 0..self.scenario.partitions {
            let at = self.random.below(trouble);
            self.schedule(at, Happening::Partition);
            let lasts = self.random.between(1_000, trouble / 3);
            self.schedule(at + lasts, Happening::Healing);
        }
        for _ in 0..self.scenario.outages {
            let away = self.random.below(trouble);
            self.schedule(away, Happening::TrackerUp { is_up: false });
            let back = away + self.random.between(1_000, trouble / 2);
            self.schedule(back, Happening::TrackerUp { is_up: true });
        }
        for _ in 0..self.scenario.breaks {
            let at = self.random.below(trouble);
            self.schedule(at, Happening::Break);
        }
        self.schedule(trouble + trouble / 2, Happening::Calm);
    }
}

fn genesis(random: &mut Random, scenario: &Scenario) -> Genesis {
    let mut rules = Rules::open_default(Target::for_hashes(INITIAL_HASHES).to_compact());
    rules.interval_ms = u32::try_from(scenario.interval_ms).unwrap_or(rules.interval_ms);
    rules.stamp_bits = 4;
    Genesis {
        network_id: NetworkId::parse("simulation").expect("a valid label"),
        rules,
        created_at: TimestampMs(BIRTH_MS - scenario.history * scenario.interval_ms),
        owner: Identity::from_seed(random.bytes32()).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    }
}

/// Virtual hashes a millisecond that find the first block within one interval.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn total_power(scenario: &Scenario) -> f64 {
    INITIAL_HASHES as f64 / scenario.interval_ms as f64
}

/// Gives some nodes virtual hash power, in all as much as finds the first block within one interval.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn give_power(random: &mut Random, scenario: &Scenario, hosts: &mut [Host], always: bool) {
    let miners = (2 + random.index(hosts.len().saturating_sub(1))).min(hosts.len());
    for host in hosts.iter_mut().take(miners) {
        let share = random.between(1, 100) as f64 / (50 * miners) as f64;
        host.power = total_power(scenario) * share;
        host.mining = if random.chance(600) && !always {
            MiningWhen::WhenPending
        } else {
            MiningWhen::Always
        };
    }
}
