//! What befalls the network: starts, crashes, links, partitions, the tracker, attacks, and the calm after them.

use shared::{
    block::Block,
    ids::PeerId,
    node::{Input, MiningWhen},
};

use super::{Happening, World};
use crate::network::Party;

impl World {
    pub(super) fn on_start(&mut self, host: Party) {
        if self.hosts[host].node.is_some() {
            return;
        }
        self.hosts[host].start(&mut self.random, &self.genesis, self.now);
        self.perform(host);
        self.relink();
        self.tell_of_tracker(host);
    }

    pub(super) fn on_crash(&mut self, host: Party) {
        self.hosts[host].crash();
        for other in self.network.linked(host) {
            self.cut(host, other, 2_000);
        }
    }

    /// Takes a link down; the honest ends notice up to `within_ms` later.
    pub(super) fn cut(&mut self, a: Party, b: Party, within_ms: u64) {
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
    pub(super) fn relink(&mut self) {
        for (a, b) in self.topology.clone() {
            let after = self.random.between(30, 1_500);
            if !self.network.is_up(a, b) {
                self.schedule(after, Happening::LinkUp { a, b });
            }
        }
    }

    pub(super) fn on_link_up(&mut self, a: Party, b: Party) {
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

    pub(super) fn on_disconnect(&mut self, host: Party, peer: PeerId) {
        let Some(party) = self.parties.get(&peer).copied() else {
            return;
        };
        if self.network.is_up(host, party) && self.name(party, host) == peer {
            self.cut(host, party, 500);
        }
    }

    pub(super) fn on_partition(&mut self, cuts_links: bool) {
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

    pub(super) fn on_report(&mut self, host: Party, life: u64, blocks: Vec<Block>) {
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

    pub(super) fn on_tracker(&mut self, is_up: bool) {
        self.tracker.is_up = is_up;
        for host in 0..self.hosts.len() {
            if is_up {
                self.tell_of_tracker(host);
            } else {
                self.give(host, Input::TrackerLost);
            }
        }
    }

    pub(super) fn tell_of_tracker(&mut self, host: Party) {
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

    pub(super) fn on_attack(&mut self) {
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
    pub(super) fn on_calm(&mut self) {
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
}
