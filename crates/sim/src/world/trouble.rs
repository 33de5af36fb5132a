//! What befalls the network: starts, crashes, channels, partitions, the tracker, hostile turns, and the calm after them.

use shared::{
    block::Block,
    node::{Input, MiningWhen},
};

use super::{Happening, World};
use crate::{stack::Mind, wire::Party};

/// A hostile party without a link for so long comes back under a new name, ms.
const RETURNS_MS: u64 = 4_000;

impl World {
    pub(super) fn on_start(&mut self, host: Party) {
        if self.hosts[host].stack.is_some() || self.hosts[host].has_left {
            return;
        }
        if let Err(reason) = self.hosts[host].start(&mut self.random, &self.history, self.now) {
            return self.blame(host, &reason);
        }
        self.perform(host);
        let life = self.hosts[host].life;
        let after = self.random.below(200);
        self.schedule(after, Happening::TrackerDial { host, life });
        if !self.hosts[host].is_honest() {
            self.schedule(500, Happening::Turn { host, life });
        }
    }

    pub(super) fn on_crash(&mut self, host: Party) {
        self.stop(host);
        self.tally.restarts += 1;
        self.tally.happened.insert("crash");
        let down = self.random.between(500, self.scenario.trouble_ms / 4);
        self.schedule(down, Happening::Start { host });
    }

    pub(crate) fn on_leave(&mut self, host: Party) {
        self.stop(host);
        self.hosts[host].has_left = true;
    }

    /// Everything of a party that is not on its disk is gone at once.
    fn stop(&mut self, host: Party) {
        let is_torn = self.random.chance(self.scenario.torn);
        let (ends, had_tracker) = (self.wire.of(host), self.hosts[host].tracker.is_some());
        let before = self.hosts[host].was_torn;
        self.hosts[host].crash(&mut self.random, is_torn);
        if self.hosts[host].was_torn && !before {
            self.tally.torn += 1;
            self.tally.happened.insert("torn");
        }
        for end in ends {
            self.break_channel(end);
        }
        if had_tracker {
            let told = self.tracker.disconnect(host);
            self.tracker_tells(told);
        }
    }

    pub(super) fn on_partition(&mut self) {
        let sides: Vec<u8> = self
            .hosts
            .iter()
            .map(|_| u8::from(self.random.chance(500)))
            .collect();
        self.wire.part(sides);
        self.tally.happened.insert("partition");
        for (end, other) in self.wire.open_channels() {
            if self.wire.are_parted(end.0, other.0) {
                self.break_channel(end);
            }
        }
        for host in 0..self.hosts.len() {
            if self.wire.are_parted(0, host) {
                self.lose_tracker(host, self.scenario.notice_ms);
            }
        }
    }

    pub(super) fn on_report(&mut self, host: Party, life: u64, blocks: Vec<Block>) {
        if self.hosts[host].tracker.is_none() {
            let input = Input::ReportFailed;
            return self.schedule(100, Happening::TrackerSays { host, life, input });
        }
        let before = self.tracker.tip();
        let Some(input) = self.tracker.report(&mut self.random, self.now, blocks) else {
            return;
        };
        let after = self.scenario.latency_ms;
        self.schedule(after, Happening::TrackerSays { host, life, input });
        if self.tracker.tip() == before {
            return;
        }
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            let (life, tip) = (self.hosts[other].life, self.tracker.tip());
            let input = Input::TrackerConnected { tip };
            self.schedule(
                after,
                Happening::TrackerSays {
                    host: other,
                    life,
                    input,
                },
            );
        }
    }

    pub(crate) fn on_tracker_up(&mut self, is_up: bool) {
        if is_up {
            self.tracker.is_up = true;
            return;
        }
        self.tally.happened.insert("outage");
        for host in self.tracker.go() {
            self.lose_tracker(host, 500);
        }
    }

    pub(super) fn tell_of_tracker(&mut self, host: Party) {
        let (life, tip) = (self.hosts[host].life, self.tracker.tip());
        let after = self.random.between(5, 200);
        let input = Input::TrackerConnected { tip };
        self.schedule(after, Happening::TrackerSays { host, life, input });
    }

    /// A hostile party does what it came for; thrown out by everyone, it comes back under a new name.
    pub(super) fn on_turn(&mut self, host: Party, life: u64) {
        if self.hosts[host].life != life {
            return;
        }
        self.ask(host, |stack, now| stack.turn(now));
        let Some(stack) = &mut self.hosts[host].stack else {
            return;
        };
        let is_alone = stack.mesh.peers().next().is_none();
        let Mind::Hostile(actor) = &mut stack.mind else {
            return;
        };
        let pause = actor.pause_ms();
        if is_alone && self.hosts[host].tracker.is_some() && self.random.below(RETURNS_MS) < pause {
            self.stop(host);
            self.hosts[host].rename(&mut self.random);
            self.names.insert(self.hosts[host].peer, host);
            return self.schedule(100, Happening::Start { host });
        }
        self.schedule(pause, Happening::Turn { host, life });
    }

    /// The trouble is over: everything heals, everyone is there, and mining stops when nothing is pending.
    pub(super) fn on_calm(&mut self) {
        (self.scenario.relay_loss, self.scenario.relay_disorder) = (0, 0);
        self.wire.heal();
        self.on_tracker_up(true);
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
    }
}
