//! Pairing: two people link two browsers by copying an invitation and an answer, with no server at all.
//!
//! The host asks for a connection and, once all its candidates are known, hands out an invitation, good for [`PAIRING_MS`]. The
//! guest answers with a connection of its own and waits for the channel as long as the invitation is good. The host takes the
//! answer, and from there on the link is like any other: the channel proves itself, the node is told, members are exchanged.
//! At most [`PAIRINGS_MAX`] invitations and answers are open at once.

use alloc::vec::Vec;

use crate::ids::{ChainId, PeerId, TimestampMs};

use super::description::Description;
use super::invitation::{Answer, Invitation, PairingError};
use super::limits::{DIALS_RESERVED, PAIRING_MS, PAIRINGS_MAX, UNPROVEN_MS};
use super::link::{Channel, Link, Origin, Stage};
use super::signal::{Role, Session, SignalKind};
use super::wire::Incarnation;
use super::{LinkId, Mesh, Output};

/// An invitation or an answer whose connection is not a link's yet.
#[derive(Debug)]
pub(super) struct Pairing {
    /// The user's number for it.
    request: u64,
    mine: Incarnation,
    pub(super) expires_at: TimestampMs,
    part: Part,
}

#[derive(Debug)]
enum Part {
    /// We invite; with our description once it is made.
    Host(Option<Description>),
    /// We answer this invitation.
    Guest(Invitation),
}

impl Mesh {
    pub(super) fn on_invitation_requested(
        &mut self,
        now: TimestampMs,
        request: u64,
    ) -> Result<(), PairingError> {
        let id = self.new_pairing(now)?;
        let pairing = Pairing {
            request,
            mine: Incarnation(self.draw().max(1)),
            expires_at: now.plus_ms(PAIRING_MS),
            part: Part::Host(None),
        };
        self.pairings.insert(id, pairing);
        let role = Role::Initiator;
        self.push(Output::CreatePairing { link: id, role });
        Ok(())
    }

    pub(super) fn on_invitation_received(
        &mut self,
        now: TimestampMs,
        request: u64,
        bytes: &[u8],
    ) -> Result<(), PairingError> {
        let invitation = Invitation::decode(bytes)?;
        self.check_ends(invitation.chain(), invitation.host())?;
        if now >= invitation.expires_at() {
            return Err(PairingError::Expired);
        }
        let id = self.new_pairing(now)?;
        let sdp = invitation.description.clone().active().sdp();
        let pairing = Pairing {
            request,
            mine: Incarnation(self.draw().max(1)),
            expires_at: invitation.expires_at().min(now.plus_ms(PAIRING_MS)),
            part: Part::Guest(invitation),
        };
        self.pairings.insert(id, pairing);
        let role = Role::Responder;
        self.push(Output::CreatePairing { link: id, role });
        let kind = SignalKind::Offer;
        self.push(Output::SetRemote {
            link: id,
            kind,
            sdp,
        });
        Ok(())
    }

    pub(super) fn on_answer_received(
        &mut self,
        now: TimestampMs,
        request: u64,
        bytes: &[u8],
    ) -> Result<(), PairingError> {
        let answer = Answer::decode(bytes)?;
        let guest = answer.guest();
        self.check_ends(answer.chain, guest)?;
        let is_meant = |pairing: &Pairing| {
            pairing.mine == answer.host_incarnation
                && now < pairing.expires_at
                && matches!(pairing.part, Part::Host(Some(_)))
        };
        let found = self.pairings.iter().find(|(_, it)| is_meant(it));
        let id = found.map(|(id, _)| *id).filter(|_| answer.host == self.own);
        let pairing = id.and_then(|id| Some((id, self.pairings.remove(&id)?)));
        let Some((id, pairing)) = pairing else {
            return Err(PairingError::NotInvited);
        };
        let deadline = now.plus_ms(UNPROVEN_MS);
        let session = Session::new(pairing.mine, answer.incarnation, 0);
        let channel = Channel::new(now, id, Role::Initiator, session, deadline);
        self.start_paired(
            now,
            guest,
            (pairing.mine, answer.incarnation),
            (channel, deadline),
        );
        self.push(Output::SetRemote {
            link: id,
            kind: SignalKind::Answer,
            sdp: answer.description.sdp(),
        });
        self.push(Output::Paired {
            request,
            peer: guest,
        });
        Ok(())
    }

    /// The browser described the connection of a pairing, with all its candidates.
    pub(super) fn on_pairing_described(&mut self, now: TimestampMs, id: LinkId, sdp: &str) {
        let Some(pairing) = self.pairings.get_mut(&id) else {
            return;
        };
        let Some(description) = Description::of(sdp) else {
            self.fail_pairing(id);
            return;
        };
        let (request, mine, expires_at) = (pairing.request, pairing.mine, pairing.expires_at);
        let bytes = match &mut pairing.part {
            Part::Host(made) => {
                let bytes = Invitation::encode(
                    &self.config.identity,
                    &self.config.genesis,
                    self.config.chain,
                    (mine, expires_at),
                    &description,
                );
                *made = Some(description);
                bytes
            }
            Part::Guest(invitation) => {
                let answer = Answer {
                    chain: self.config.chain,
                    host: invitation.host(),
                    host_incarnation: invitation.incarnation,
                    key: self.config.identity.public_key(),
                    incarnation: mine,
                    description,
                };
                let (host, theirs) = (answer.host, answer.host_incarnation);
                let bytes = answer.encode(&self.config.identity);
                self.pairings.remove(&id);
                let session = Session::new(theirs, mine, 0);
                let channel = Channel::new(now, id, Role::Responder, session, expires_at);
                self.start_paired(now, host, (mine, theirs), (channel, expires_at));
                bytes
            }
        };
        self.push(Output::PairingReady {
            request,
            bytes,
            expires_at,
        });
    }

    /// Makes the pairing's connection the link to its peer.
    fn start_paired(
        &mut self,
        now: TimestampMs,
        peer: PeerId,
        (mine, theirs): (Incarnation, Incarnation),
        (channel, patient_until): (Channel, TimestampMs),
    ) {
        self.remove_link(now, peer);
        self.shunned.remove(&peer);
        let mut link = Link::new(now, mine, Origin::Chosen);
        link.stage = Stage::Up { theirs };
        link.channel = Some(channel);
        link.patient_until = patient_until;
        self.links.insert(peer, link);
        self.push(Output::PeersChanged);
        self.tell_if_carried(now, peer);
    }

    /// Whether the two ends of a pairing may be linked.
    fn check_ends(&self, chain: ChainId, peer: PeerId) -> Result<(), PairingError> {
        if chain != self.config.chain {
            return Err(PairingError::OtherChain { found: chain });
        }
        if peer == self.own {
            return Err(PairingError::Own);
        }
        if self.links.get(&peer).is_some_and(|link| link.is_told) {
            return Err(PairingError::AlreadyLinked { peer });
        }
        Ok(())
    }

    fn new_pairing(&mut self, now: TimestampMs) -> Result<LinkId, PairingError> {
        if self.pairings.len() >= PAIRINGS_MAX {
            return Err(PairingError::TooMany {
                allowed: PAIRINGS_MAX,
            });
        }
        if !self.dials.take(now, 1, DIALS_RESERVED) {
            return Err(PairingError::Busy);
        }
        self.links_made += 1;
        Ok(LinkId(self.links_made))
    }

    /// The browser gave no connection, or closed it.
    pub(super) fn fail_pairing(&mut self, id: LinkId) {
        let Some(pairing) = self.pairings.remove(&id) else {
            return;
        };
        self.push(Output::CloseLink { link: id });
        let is_handed_out = matches!(pairing.part, Part::Host(Some(_)));
        if !is_handed_out {
            self.push(Output::PairingRefused {
                request: pairing.request,
                reason: PairingError::NoConnection,
            });
        }
    }

    /// Closes the connections of invitations that nobody answered in time.
    pub(super) fn expire_pairings(&mut self, now: TimestampMs) {
        let is_over = |(_, pairing): &(&LinkId, &Pairing)| now >= pairing.expires_at;
        let over: Vec<LinkId> = self
            .pairings
            .iter()
            .filter(is_over)
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.fail_pairing(id);
        }
    }

    /// Turns a refusal into the user's answer.
    pub(super) fn answer_pairing(&mut self, request: u64, result: Result<(), PairingError>) {
        if let Err(reason) = result {
            self.push(Output::PairingRefused { request, reason });
        }
    }

    /// Whether a description is for a pairing, which then has it.
    pub(super) fn took_description(&mut self, now: TimestampMs, id: LinkId, sdp: &str) -> bool {
        let is_pairing = self.pairings.contains_key(&id);
        if is_pairing {
            self.on_pairing_described(now, id, sdp);
        }
        is_pairing
    }
}
