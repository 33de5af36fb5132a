//! Channels and the tracker's connections: making, carrying, losing them.

use shared::mesh::{
    self, LinkId, ToTracker,
    signal::{Role, SignalKind},
};

use super::{Happening, TRACKER, Through, World};
use crate::{
    host::End,
    wire::{Party, described, description},
};

impl World {
    pub(super) fn on_create_link(&mut self, host: Party, link: LinkId, role: Role) {
        let end = (host, self.hosts[host].life, link);
        self.wire.create(end);
        if role == Role::Initiator {
            self.describe(end, SignalKind::Offer);
        }
    }

    /// A description takes a while, and candidates come before and after it.
    fn describe(&mut self, end: End, kind: SignalKind) {
        let (host, _, link) = end;
        let after = self.random.between(2, 30);
        let candidate = |text: &str| mesh::Input::CandidateGathered {
            link,
            candidate: text.into(),
        };
        self.schedule_mesh(after, host, candidate("{}"), Through::Channel(end));
        let sdp = description(end);
        self.schedule_mesh(
            after,
            host,
            mesh::Input::LocalDescribed { link, kind, sdp },
            Through::Channel(end),
        );
        self.schedule_mesh(after + 5, host, candidate(""), Through::Channel(end));
    }

    pub(super) fn on_set_remote(&mut self, host: Party, link: LinkId, kind: SignalKind, sdp: &str) {
        let end = (host, self.hosts[host].life, link);
        let Some(other) = described(sdp) else {
            return;
        };
        let is_mutual = self.wire.connect(end, other);
        if kind == SignalKind::Offer {
            self.describe(end, SignalKind::Answer);
        } else if is_mutual {
            // Connectivity checks and the handshake take two round trips.
            let after = 4 * self.wire.latency(end.0, other.0);
            self.schedule(after, Happening::ChannelOpens { end });
        }
    }

    pub(super) fn on_channel_opens(&mut self, end: End) {
        let Some(other) = self.wire.other(end).filter(|_| self.wire.open(end)) else {
            return;
        };
        for end in [end, other] {
            self.schedule_mesh(
                0,
                end.0,
                mesh::Input::ChannelOpened { link: end.2 },
                Through::Channel(end),
            );
        }
    }

    pub(super) fn on_send_channel(&mut self, host: Party, link: LinkId, bytes: Vec<u8>) {
        let end = (host, self.hosts[host].life, link);
        let starts = self.hosts[host].uplink_free_at.max(self.now);
        let takes = (bytes.len() as u64)
            .checked_div(self.scenario.uplink)
            .unwrap_or(0);
        self.hosts[host].uplink_free_at = starts + takes;
        if let Some((other, at)) = self.wire.send(&mut self.random, starts + takes, end) {
            let input = mesh::Input::ChannelReceived {
                link: other.2,
                bytes,
            };
            self.schedule_mesh(at - self.now, other.0, input, Through::Channel(other));
        }
    }

    /// The other end of a channel that was closed in order hears of it soon.
    pub(super) fn on_close_link(&mut self, host: Party, link: LinkId) {
        let end = (host, self.hosts[host].life, link);
        if let Some(other) = self.wire.close(end) {
            let after = self.wire.latency(host, other.0);
            self.schedule_mesh(
                after,
                other.0,
                mesh::Input::ChannelClosed { link: other.2 },
                Through::Own,
            );
        }
    }

    /// Breaks a channel; each end that still lives notices in its own time.
    pub(super) fn break_channel(&mut self, end: End) {
        let other = self.wire.close(end);
        for (host, life, link) in [Some(end), other].into_iter().flatten() {
            if self.hosts[host].life == life {
                let after = self.random.below(self.scenario.notice_ms + 1);
                self.schedule_mesh(
                    after,
                    host,
                    mesh::Input::ChannelClosed { link },
                    Through::Own,
                );
            }
        }
    }

    pub(super) fn on_break(&mut self) {
        let open = self.wire.open_channels();
        if let Some((end, _)) = open.get(self.random.index(open.len())) {
            self.tally.happened.insert("break");
            self.break_channel(*end);
        }
    }

    // --- the tracker's connections ---

    pub(super) fn on_tracker_dial(&mut self, host: Party, life: u64) {
        if self.hosts[host].life != life || self.hosts[host].tracker.is_some() {
            return;
        }
        // The tracker is where party 0 is when the network is parted.
        let connected = if self.wire.are_parted(0, host) {
            None
        } else {
            self.tracker.connect(host)
        };
        let Some((connection, welcome)) = connected else {
            return self.dial_tracker_later(host, 0);
        };
        self.hosts[host].tracker = Some(connection);
        self.hosts[host].tracker_tries = 0;
        self.schedule_mesh(
            0,
            host,
            mesh::Input::TrackerOpened,
            Through::Tracker(connection),
        );
        self.tracker_tells(vec![(host, welcome)]);
    }

    /// Tries again after a pause that doubles up to half a minute.
    pub(super) fn dial_tracker_later(&mut self, host: Party, noticed_ms: u64) {
        let tries = self.hosts[host].tracker_tries;
        self.hosts[host].tracker_tries = (tries + 1).min(5);
        // Whoever has not noticed yet does not dial.
        let after = noticed_ms + (self.random.between(500, 1_000) << tries);
        let life = self.hosts[host].life;
        self.schedule(after, Happening::TrackerDial { host, life });
    }

    /// A connection to the tracker ends; the party, if it lives, notices after `within_ms` at most.
    pub(super) fn lose_tracker(&mut self, host: Party, within_ms: u64) {
        if self.hosts[host].tracker.take().is_none() {
            return;
        }
        let told = self.tracker.disconnect(host);
        self.tracker_tells(told);
        if self.hosts[host].stack.is_some() {
            let after = self.random.below(within_ms + 1);
            self.schedule_mesh(after, host, mesh::Input::TrackerClosed, Through::Own);
            self.dial_tracker_later(host, after);
        }
    }

    pub(super) fn on_tell_tracker(&mut self, host: Party, message: ToTracker) {
        let Some(connection) = self.hosts[host].tracker else {
            return;
        };
        let (mut copies, mut after) = (1, self.wire.latency(host, TRACKER));
        if matches!(message, ToTracker::Relay { .. }) {
            copies += u64::from(self.random.chance(self.scenario.relay_repetition));
            copies -= u64::from(self.random.chance(self.scenario.relay_loss));
            if self.random.chance(self.scenario.relay_disorder) {
                after += self.random.below(300);
            }
        }
        for _ in 0..copies {
            let message = Box::new(message.clone());
            self.schedule(
                after,
                Happening::AtTracker {
                    host,
                    connection,
                    message,
                },
            );
        }
    }

    pub(super) fn on_at_tracker(&mut self, host: Party, connection: u64, message: ToTracker) {
        if self.tracker.is_open(host, connection) {
            let told = self.tracker.take(host, connection, message);
            self.tracker_tells(told);
        }
    }
}
