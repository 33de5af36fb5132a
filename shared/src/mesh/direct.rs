//! Direct channels: dialling, answering, proving, failing.
//!
//! The peer with the smaller id dials, so offers never cross. An attempt's session names both ends' incarnations and the
//! attempt's number; an offer counts only if its number is above every earlier one of the same incarnations, an answer only
//! once and only for the running attempt, a candidate only with the fingerprint of its side's description. A channel that does
//! not prove itself within [`SIGNALLING_MS`] after its last step is closed and dialled again with back-off.

use alloc::string::String;

use crate::frame::{FrameKind, Reassembler};
use crate::ids::{PeerId, TimestampMs};

use super::limits::{
    BACKOFF_FIRST_MS, CANDIDATE_BYTES_MAX, CANDIDATES_MAX, DIALS_RESERVED, LIFE_SIGN_MS,
    SDP_BYTES_MAX, SIGNALLING_MS,
};
use super::link::{Channel, Link, Phase, Stage, backoff_ms};
use super::signal::{Envelope, Fingerprint, Role, Session, Signal, SignalError, SignalKind};
use super::wire::{Incarnation, LinkMessage};
use super::{LinkId, Mesh, MeshError, Output};

impl Mesh {
    /// Dials the peer if its time has come.
    pub(super) fn dial_if_due(&mut self, now: TimestampMs, peer: PeerId) {
        let id = LinkId(self.links_made + 1);
        let is_reachable = self.is_reachable(peer);
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let Stage::Up { theirs } = link.stage else {
            return;
        };
        if link.channel.is_some() || link.dial.at.is_none_or(|at| now < at) {
            return;
        }
        if !is_reachable || !self.dials.take(now, 1, 0) {
            link.dial.at = Some(now.plus_ms(BACKOFF_FIRST_MS));
            return;
        }
        link.dial.at = None;
        link.dial.attempt += 1;
        let session = Session::new(link.mine, theirs, link.dial.attempt);
        link.channel = Some(Channel::new(
            now,
            id,
            Role::Initiator,
            session,
            now.plus_ms(SIGNALLING_MS),
        ));
        self.links_made = id.0;
        self.push(Output::CreateLink {
            link: id,
            peer,
            role: Role::Initiator,
        });
    }

    pub(super) fn on_local_described(
        &mut self,
        now: TimestampMs,
        id: LinkId,
        kind: SignalKind,
        sdp: String,
    ) -> Result<(), MeshError> {
        let refused = |reason| MeshError::OwnDescription { link: id, reason };
        if sdp.len() > SDP_BYTES_MAX {
            return Err(refused(SignalError::TooLong {
                found: sdp.len(),
                allowed: SDP_BYTES_MAX,
            }));
        }
        if self.took_description(now, id, &sdp) {
            return Ok(());
        }
        let fingerprint = Fingerprint::of_description(&sdp).map_err(refused)?;
        let Some((peer, channel)) = self.channel_of(id) else {
            return Ok(());
        };
        let expected = match channel.role {
            Role::Initiator => SignalKind::Offer,
            Role::Responder => SignalKind::Answer,
        };
        if channel.local.is_some() || kind != expected {
            return Err(refused(SignalError::WrongRole));
        }
        channel.local = Some(fingerprint);
        let (session, role) = (channel.session, channel.role);
        let early = core::mem::take(&mut channel.early_local);
        self.signal(peer, kind, role, session, fingerprint, sdp);
        for candidate in early {
            self.signal(
                peer,
                SignalKind::Candidate,
                role,
                session,
                fingerprint,
                candidate,
            );
        }
        Ok(())
    }

    pub(super) fn on_candidate_gathered(&mut self, id: LinkId, candidate: String) {
        let Some((peer, channel)) = self.channel_of(id) else {
            return;
        };
        if candidate.len() > CANDIDATE_BYTES_MAX {
            return;
        }
        if let Some(fingerprint) = channel.local {
            let (session, role) = (channel.session, channel.role);
            self.signal(
                peer,
                SignalKind::Candidate,
                role,
                session,
                fingerprint,
                candidate,
            );
        } else if channel.early_local.len() < CANDIDATES_MAX {
            channel.early_local.push(candidate);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "these are the fields of one signal"
    )]
    fn signal(
        &mut self,
        to: PeerId,
        kind: SignalKind,
        sender_role: Role,
        session: Session,
        fingerprint: Fingerprint,
        payload: String,
    ) {
        let envelope = Envelope {
            chain: self.config.chain,
            from: self.own,
            to,
            kind,
            sender_role,
        };
        let signal = Signal::sign(
            &self.config.identity,
            &envelope,
            session,
            fingerprint,
            payload,
        );
        self.send_signal(to, kind, signal);
    }

    pub(super) fn on_signalled(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        kind: SignalKind,
        signal: Signal,
    ) -> Result<(), MeshError> {
        let refused = |reason| MeshError::Signal { peer: from, reason };
        let sender_role = Role::between(from, self.own);
        let is_fitting = match kind {
            SignalKind::Offer => sender_role == Role::Initiator,
            SignalKind::Answer => sender_role == Role::Responder,
            SignalKind::Candidate => true,
        };
        if !is_fitting {
            return Err(refused(SignalError::WrongRole));
        }
        let link = self
            .links
            .get(&from)
            .ok_or_else(|| refused(SignalError::Stale))?;
        if !is_current(link, kind, sender_role, &signal) {
            return Err(refused(SignalError::Stale));
        }
        let envelope = Envelope {
            chain: self.config.chain,
            from,
            to: self.own,
            kind,
            sender_role,
        };
        signal.check(&envelope).map_err(refused)?;
        if let Some(link) = self.links.get_mut(&from) {
            link.key = Some(signal.key);
        }
        match kind {
            SignalKind::Offer => self.on_offer(now, from, signal),
            SignalKind::Answer => self.on_answer(now, from, signal),
            SignalKind::Candidate => self.on_candidate(from, signal).map_err(refused)?,
        }
        Ok(())
    }

    fn on_offer(&mut self, now: TimestampMs, peer: PeerId, signal: Signal) {
        let id = LinkId(self.links_made + 1);
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        // The other end tries again later.
        if !self.dials.take(now, 1, DIALS_RESERVED) {
            return;
        }
        let (_, _, attempt) = signal.session.parts();
        link.dial.attempt = attempt;
        let mut channel = Channel::new(
            now,
            id,
            Role::Responder,
            signal.session,
            now.plus_ms(SIGNALLING_MS),
        );
        channel.remote = Some(signal.fingerprint);
        let replaced = link.channel.replace(channel);
        self.links_made = id.0;
        if let Some(replaced) = replaced {
            self.push(Output::CloseLink {
                link: replaced.link,
            });
        }
        self.push(Output::CreateLink {
            link: id,
            peer,
            role: Role::Responder,
        });
        self.push(Output::SetRemote {
            link: id,
            kind: SignalKind::Offer,
            sdp: signal.payload,
        });
    }

    fn on_answer(&mut self, now: TimestampMs, peer: PeerId, signal: Signal) {
        let Some(channel) = self
            .links
            .get_mut(&peer)
            .and_then(|link| link.channel.as_mut())
        else {
            return;
        };
        channel.remote = Some(signal.fingerprint);
        if let Phase::Signalling { deadline } = &mut channel.phase {
            *deadline = now.plus_ms(SIGNALLING_MS);
        }
        let id = channel.link;
        let early = core::mem::take(&mut channel.early_remote);
        self.push(Output::SetRemote {
            link: id,
            kind: SignalKind::Answer,
            sdp: signal.payload,
        });
        for (fingerprint, candidate) in early {
            if fingerprint == signal.fingerprint {
                self.push(Output::AddCandidate {
                    link: id,
                    candidate,
                });
            }
        }
    }

    fn on_candidate(&mut self, peer: PeerId, signal: Signal) -> Result<(), SignalError> {
        let Some(channel) = self
            .links
            .get_mut(&peer)
            .and_then(|link| link.channel.as_mut())
        else {
            return Ok(());
        };
        if channel
            .remote
            .is_some_and(|remote| remote != signal.fingerprint)
        {
            return Err(SignalError::Fingerprint);
        }
        if channel.candidates_received >= CANDIDATES_MAX {
            return Ok(());
        }
        channel.candidates_received += 1;
        let id = channel.link;
        if channel.remote.is_some() {
            self.push(Output::AddCandidate {
                link: id,
                candidate: signal.payload,
            });
        } else {
            channel
                .early_remote
                .push((signal.fingerprint, signal.payload));
        }
        Ok(())
    }

    pub(super) fn on_channel_opened(&mut self, now: TimestampMs, id: LinkId) {
        let ping = self.draw();
        let Some((_, channel)) = self.channel_of(id) else {
            return;
        };
        if !matches!(channel.phase, Phase::Signalling { .. }) {
            return;
        }
        channel.phase = Phase::Proving {
            deadline: now.plus_ms(SIGNALLING_MS),
            ping,
        };
        self.push(Output::SendChannel {
            link: id,
            bytes: LinkMessage::Ping(ping).chunk(),
        });
    }

    pub(super) fn on_channel_received(
        &mut self,
        now: TimestampMs,
        id: LinkId,
        chunk: &[u8],
    ) -> Result<(), MeshError> {
        let Some((peer, channel)) = self.channel_of(id) else {
            return Ok(());
        };
        channel.alive.heard(now);
        if let Ok(Some((FrameKind::Mesh, bytes))) = Reassembler::new().receive(chunk) {
            return match LinkMessage::decode(&bytes) {
                Some(message) => self.on_link_message(now, (id, peer), message),
                None => Ok(()),
            };
        }
        let is_silent = now.since(channel.life_sign_at) >= LIFE_SIGN_MS;
        if is_silent {
            channel.life_sign_at = now;
        }
        let received = channel.reassembler.receive(chunk);
        if is_silent {
            self.push(Output::SendChannel {
                link: id,
                bytes: LinkMessage::Pong(0).chunk(),
            });
        }
        match received {
            Ok(Some((FrameKind::Node, bytes))) => {
                // It can send only because our pong reached it: the channel works both ways.
                self.prove(now, peer);
                if let Some(link) = self.links.get_mut(&peer) {
                    link.spoke_at = now;
                }
                self.push(Output::Deliver { peer, bytes });
            }
            Ok(_) => {}
            Err(reason) => return Err(MeshError::Frame { peer, reason }),
        }
        Ok(())
    }

    fn on_link_message(
        &mut self,
        now: TimestampMs,
        (id, peer): (LinkId, PeerId),
        message: LinkMessage,
    ) -> Result<(), MeshError> {
        match message {
            LinkMessage::Ping(number) => self.push(Output::SendChannel {
                link: id,
                bytes: LinkMessage::Pong(number).chunk(),
            }),
            LinkMessage::Pong(number) => self.on_channel_pong(now, peer, number),
            LinkMessage::Peers(peers) => self.on_peers(now, peer, peers),
            LinkMessage::Forward { to, packet } => self.on_forward(now, peer, to, packet),
            LinkMessage::Forwarded { from, packet } => {
                return self.on_forwarded(now, peer, from, &packet);
            }
            LinkMessage::Bye => {
                self.leave_alone(now, peer);
                self.fill_links(now);
            }
            LinkMessage::Hello => {}
        }
        Ok(())
    }

    fn on_channel_pong(&mut self, now: TimestampMs, peer: PeerId, number: u64) {
        let phase = |link: &Link| link.channel.as_ref().map(|channel| channel.phase);
        if let Some(Phase::Proving { ping, .. }) = self.links.get(&peer).and_then(phase)
            && ping == number
        {
            self.prove(now, peer);
        }
    }

    /// A channel carried something both ways.
    fn prove(&mut self, now: TimestampMs, peer: PeerId) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let Some(channel) = &mut link.channel else {
            return;
        };
        if matches!(channel.phase, Phase::Proving { .. }) {
            channel.phase = Phase::Proven;
            channel.alive.heard(now);
            link.dial.failures = 0;
            self.push(Output::PeersChanged);
            self.tell_if_carried(now, peer);
            self.plan_exchange(now);
        }
    }

    /// Asks a channel for a sign of life now.
    pub(super) fn probe(&mut self, now: TimestampMs, peer: PeerId) {
        let is_proven = self.channel_to(peer).is_some();
        let channel = self
            .links
            .get_mut(&peer)
            .and_then(|link| link.channel.as_mut());
        if let Some(channel) = channel.filter(|channel| is_proven && !channel.alive.is_asked()) {
            channel.alive.doubt();
            self.ping_channel(now, peer);
        }
    }

    pub(super) fn on_channel_closed(&mut self, now: TimestampMs, id: LinkId) {
        if let Some((peer, _)) = self.channel_of(id) {
            self.fail_channel(now, peer);
            self.fill_links(now);
        } else {
            self.fail_pairing(id);
        }
    }

    /// Gives a channel up. Messages may have been lost on one that carried them, so that link starts over; otherwise the relay
    /// has carried everything and goes on.
    pub(super) fn fail_channel(&mut self, now: TimestampMs, peer: PeerId) {
        let draw = self.draw();
        let carried = self.direct_path(peer).is_some();
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        link.dial.failures += 1;
        if carried {
            self.restart(now, peer);
        } else if let Some(channel) = link.channel.take() {
            if Role::between(self.own, peer) == Role::Initiator {
                link.dial.at = Some(now.plus_ms(backoff_ms(link.dial.failures, draw)));
            }
            self.push(Output::CloseLink { link: channel.link });
        }
    }

    /// The connection that messages for this peer take: a proven one, or an open one when the relay does not reach the peer.
    pub(super) fn direct_path(&self, peer: PeerId) -> Option<LinkId> {
        let link = self.links.get(&peer)?;
        let is_taken =
            link.is_proven() || (link.has_open_channel() && !self.present.contains(&peer));
        link.channel
            .as_ref()
            .filter(|_| is_taken)
            .map(|channel| channel.link)
    }

    fn channel_of(&mut self, id: LinkId) -> Option<(PeerId, &mut Channel)> {
        self.links.iter_mut().find_map(|(peer, link)| {
            let channel = link.channel.as_mut().filter(|channel| channel.link == id)?;
            Some((*peer, channel))
        })
    }
}

/// Whether a signal is of the session that both ends are in, and in its turn there.
fn is_current(link: &Link, kind: SignalKind, sender_role: Role, signal: &Signal) -> bool {
    let Stage::Up { theirs } = link.stage else {
        return false;
    };
    let (initiator, responder, attempt) = signal.session.parts();
    let ends: (Incarnation, Incarnation) = match sender_role {
        Role::Initiator => (theirs, link.mine),
        Role::Responder => (link.mine, theirs),
    };
    let running = link
        .channel
        .as_ref()
        .filter(|channel| channel.session == signal.session);
    (initiator, responder) == ends
        && match kind {
            SignalKind::Offer => attempt > link.dial.attempt && !link.is_proven(),
            SignalKind::Answer => {
                running.is_some_and(|channel| channel.local.is_some() && channel.remote.is_none())
            }
            SignalKind::Candidate => running.is_some(),
        }
}
