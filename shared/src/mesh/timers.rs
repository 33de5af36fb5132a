//! What happens when time passes: greeting again, keep-alive, deadlines, dialling again.

use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{PeerId, TimestampMs};

use super::join::Join;
use super::limits::{GREETINGS_MAX, SLEPT_MS, WAKE_MS_MIN};
use super::link::{Care, Link, Phase, Stage};
use super::wire::LinkMessage;
use super::{LinkId, Mesh, Output};

/// What one link needs now.
enum Need {
    Greeting,
    PingRelay,
    PingChannel,
    Restart,
    LeaveAlone,
    FailChannel,
    Dial,
}

impl Mesh {
    pub(super) fn on_woken(&mut self, now: TimestampMs) {
        if self.wake_at.is_some_and(|at| now >= at.plus_ms(SLEPT_MS)) {
            self.on_network_changed(now);
        }
        if self.join.deadline().is_some_and(|deadline| deadline <= now) {
            let reason = if matches!(self.join, Join::Refused { .. }) {
                "the tracker is asked again to let us in"
            } else {
                "the tracker did not answer while joining"
            };
            self.on_tracker_closed(now);
            self.push(Output::CloseTracker {
                reason: String::from(reason),
            });
        }
        self.shunned.retain(|_, shunned| now < shunned.until);
        let needs: Vec<(PeerId, Need)> = self
            .links
            .iter()
            .flat_map(|(peer, link)| needs_of(link, now).map(|need| (*peer, need)))
            .collect();
        for (peer, need) in needs {
            self.meet(now, peer, &need);
        }
        self.exchange_if_due(now);
        self.care_for_local(now);
        self.expire_pairings(now);
        self.rotate_if_due(now);
        self.fill_links(now);
    }

    /// After sleep, or when the network is another one: whatever worked before may not work now, so each channel is tried at
    /// once, and what failed before is tried again without waiting.
    pub(super) fn on_network_changed(&mut self, now: TimestampMs) {
        let peers: Vec<PeerId> = self.links.keys().copied().collect();
        for peer in peers {
            if let Some(link) = self.links.get_mut(&peer) {
                link.dial.at = link.dial.at.map(|at| at.min(now));
                if let Stage::Greeting { again_at, .. } = &mut link.stage {
                    *again_at = (*again_at).min(now);
                }
                link.alive.heard(now);
                if let Some(channel) = &mut link.channel {
                    channel.alive.heard(now);
                }
            }
            self.probe(now, peer);
        }
    }

    /// The driver saw a connection falter.
    pub(super) fn on_channel_interrupted(&mut self, now: TimestampMs, id: LinkId) {
        let is_meant = |link: &Link| link.channel.as_ref().is_some_and(|it| it.link == id);
        let peer = self.links.iter().find(|(_, link)| is_meant(link));
        if let Some(peer) = peer.map(|(peer, _)| *peer) {
            self.probe(now, peer);
        }
    }

    fn meet(&mut self, now: TimestampMs, peer: PeerId, need: &Need) {
        match need {
            Need::Greeting => self.greet_again(now, peer),
            Need::PingRelay => self.ping_relay(now, peer),
            Need::PingChannel => self.ping_channel(now, peer),
            Need::Restart => self.restart(now, peer),
            Need::FailChannel => self.fail_channel(now, peer),
            Need::LeaveAlone => {
                let is_greeting = self.links.get(&peer).is_some_and(|link| !link.is_up());
                if is_greeting && self.present.contains(&peer) {
                    self.greet_again(now, peer);
                } else {
                    self.leave_alone(now, peer);
                }
            }
            Need::Dial => self.dial_if_due(now, peer),
        }
    }

    fn greet_again(&mut self, now: TimestampMs, peer: PeerId) {
        if let Some(mut link) = self.links.remove(&peer) {
            self.greet(now, peer, &mut link);
            self.links.insert(peer, link);
        }
    }

    fn ping_relay(&mut self, now: TimestampMs, peer: PeerId) {
        let number = self.draw();
        let is_present = self.present.contains(&peer);
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        link.alive.asked(now);
        if let Stage::Up { theirs } = link.stage
            && is_present
        {
            let mine = link.mine;
            self.relay(peer, mine, theirs, &LinkMessage::Ping(number).chunk());
        }
    }

    pub(super) fn ping_channel(&mut self, now: TimestampMs, peer: PeerId) {
        let number = self.draw();
        let Some(channel) = self
            .links
            .get_mut(&peer)
            .and_then(|link| link.channel.as_mut())
        else {
            return;
        };
        channel.alive.asked(now);
        let id = channel.link;
        self.push(Output::SendChannel {
            link: id,
            bytes: LinkMessage::Ping(number).chunk(),
        });
    }

    /// Orders the next wake-up if it is another than ordered.
    pub(super) fn schedule(&mut self, now: TimestampMs) {
        let links = self.links.values().flat_map(|link| deadlines_of(link, now));
        let shunned = self.shunned.values().map(|shunned| shunned.until);
        let next = links
            .chain(shunned)
            .chain(self.join.deadline())
            .chain(self.exchange_at)
            .chain(self.presence_at)
            .chain(self.rotate_at)
            .chain(self.pairings.values().map(|pairing| pairing.expires_at))
            .min()
            .map(|at| at.max(now.plus_ms(WAKE_MS_MIN)));
        let is_ordered = self.wake_at.is_some_and(|at| now < at) && self.wake_at == next;
        if let Some(at) = next
            && !is_ordered
        {
            self.push(Output::WakeAt { at });
        }
        self.wake_at = next;
    }
}

/// What a link needs now; a link on a proven channel is not pinged over the relay.
fn needs_of(link: &Link, now: TimestampMs) -> impl Iterator<Item = Need> {
    let is_due = |at: TimestampMs| at <= now;
    let mut needs = [None, None];
    match link.stage {
        Stage::Greeting { again_at, tries } => {
            let need = if tries < GREETINGS_MAX {
                Need::Greeting
            } else {
                Need::LeaveAlone
            };
            needs[0] = is_due(again_at).then_some(need);
        }
        Stage::Up { .. } if link.is_hopeless(now) => needs[0] = Some(Need::LeaveAlone),
        Stage::Up { .. } => {
            let phase = link.channel.as_ref().map(|channel| channel.phase);
            needs[0] = match (phase, &link.channel) {
                (Some(Phase::Proven), Some(channel)) => match channel.alive.care(now) {
                    Care::Nothing => None,
                    Care::Ping => Some(Need::PingChannel),
                    Care::GiveUp => Some(Need::FailChannel),
                },
                (Some(Phase::Signalling { deadline } | Phase::Proving { deadline, .. }), _) => {
                    is_due(deadline).then_some(Need::FailChannel)
                }
                _ => link.dial.at.filter(|at| is_due(*at)).map(|_| Need::Dial),
            };
            if link.is_told && phase != Some(Phase::Proven) {
                needs[1] = match link.alive.care(now) {
                    Care::Nothing => None,
                    Care::Ping => Some(Need::PingRelay),
                    Care::GiveUp => Some(Need::Restart),
                };
            }
        }
    }
    needs.into_iter().flatten()
}

fn deadlines_of(link: &Link, now: TimestampMs) -> impl Iterator<Item = TimestampMs> {
    let relay = Some(link.alive.due_at()).filter(|_| link.is_told && !link.is_proven());
    let stalls_at = Some(link.stalls_at()).filter(|at| !link.is_told && now < *at);
    let hopeless_at = Some(link.hopeless_at()).filter(|_| !link.is_told);
    let channel = link.channel.as_ref().map(|channel| match channel.phase {
        Phase::Signalling { deadline } | Phase::Proving { deadline, .. } => deadline,
        Phase::Proven => channel.alive.due_at(),
    });
    let all = match link.stage {
        Stage::Greeting { again_at, .. } => [Some(again_at), stalls_at, None, None],
        Stage::Up { .. } => [
            relay.or(hopeless_at),
            channel,
            link.dial.at.filter(|_| link.channel.is_none()),
            stalls_at,
        ],
    };
    all.into_iter().flatten()
}
