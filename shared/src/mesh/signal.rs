//! Signed signalling: session descriptions and ICE candidates that the tracker forwards but can neither make up nor replay.
//!
//! A [`Signal`] is signed by the sender's peer key under the domain `distli/signal/1` and the chain id, over
//! `from ‖ to ‖ session ‖ role ‖ DTLS fingerprint ‖ SHA-256(payload)`. The receiver demands that the key hashes to the peer
//! the tracker names as the sender, that the fingerprint in the description is the signed one, and (as `direct.rs` checks) that
//! the session is the one that both ends are in now. A session names both ends' incarnations, which are drawn anew with every
//! start, so an earlier page's signals are worthless. Descriptions over 16 KiB and candidates over 2 KiB are refused unread.

use alloc::string::String;
use alloc::vec::Vec;

use crate::hash::sha256;
use crate::identity::{Identity, verify};
use crate::ids::{ChainId, PeerId, PublicKey, Signature};

use super::limits::{CANDIDATE_BYTES_MAX, SDP_BYTES_MAX};
use super::wire::Incarnation;

/// Domain of the signatures on signals.
pub const SIGNAL_DOMAIN: &str = "distli/signal/1";

/// What a signal carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignalKind {
    /// The initiator's session description.
    Offer,
    /// The other side's session description.
    Answer,
    /// One ICE candidate, or the end of them (an empty payload).
    Candidate,
}

/// SHA-256 fingerprint of the sender's DTLS certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Extracts the fingerprint from a session description. Several `a=fingerprint:` lines must agree.
    ///
    /// # Errors
    /// [`SignalError::Fingerprint`] if there is none, another hash function, or lines that disagree.
    pub fn of_description(sdp: &str) -> Result<Self, SignalError> {
        let mut found = None;
        for line in sdp.lines() {
            let Some(value) = line.trim_end().strip_prefix("a=fingerprint:") else {
                continue;
            };
            let fingerprint = Self::parse_attribute(value).ok_or(SignalError::Fingerprint)?;
            if *found.get_or_insert(fingerprint) != fingerprint {
                return Err(SignalError::Fingerprint);
            }
        }
        found.ok_or(SignalError::Fingerprint)
    }

    /// Reads `sha-256 AB:CD:…`.
    fn parse_attribute(value: &str) -> Option<Self> {
        let (function, digits) = value.split_once(' ')?;
        if !function.eq_ignore_ascii_case("sha-256") {
            return None;
        }
        let mut bytes = [0; 32];
        let mut pairs = digits.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2)?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        pairs.next().is_none().then_some(Self(bytes))
    }
}

/// One attempt at a direct channel: both ends' incarnations and the initiator's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session(pub [u8; 24]);

impl Session {
    pub(super) fn new(initiator: Incarnation, responder: Incarnation, attempt: u64) -> Self {
        let mut bytes = [0; 24];
        for (slot, value) in bytes
            .chunks_exact_mut(8)
            .zip([initiator.0, responder.0, attempt])
        {
            slot.copy_from_slice(&value.to_be_bytes());
        }
        Self(bytes)
    }

    pub(super) fn parts(&self) -> (Incarnation, Incarnation, u64) {
        let mut values = [0; 3];
        for (value, bytes) in values.iter_mut().zip(self.0.chunks_exact(8)) {
            *value = bytes
                .iter()
                .fold(0, |sum: u64, byte| (sum << 8) | u64::from(*byte));
        }
        let [initiator, responder, attempt] = values;
        (Incarnation(initiator), Incarnation(responder), attempt)
    }
}

/// Who dials and who answers in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer with the smaller id: it makes the offer.
    Initiator,
    /// The other one.
    Responder,
}

impl Role {
    /// The role of `own` towards `other`.
    pub(super) fn between(own: PeerId, other: PeerId) -> Self {
        if own < other {
            Self::Initiator
        } else {
            Self::Responder
        }
    }
}

/// A signed offer, answer or candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The attempt it belongs to.
    pub session: Session,
    /// The sender's key; hashes to its peer id.
    pub key: PublicKey,
    /// The sender's DTLS certificate.
    pub fingerprint: Fingerprint,
    /// By `key`, see the module.
    pub signature: Signature,
    /// The description or the candidate's JSON.
    pub payload: String,
}

/// The two ends and the meaning of a signal: what it is signed and verified for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    pub(super) chain: ChainId,
    pub(super) from: PeerId,
    pub(super) to: PeerId,
    pub(super) kind: SignalKind,
    pub(super) sender_role: Role,
}

impl Signal {
    pub(super) fn sign(
        identity: &Identity,
        envelope: &Envelope,
        session: Session,
        fingerprint: Fingerprint,
        payload: String,
    ) -> Self {
        let bytes = envelope.signed_bytes(session, fingerprint, &payload);
        let signature = identity.sign(SIGNAL_DOMAIN, envelope.chain, &bytes);
        Self {
            session,
            key: identity.public_key(),
            fingerprint,
            signature,
            payload,
        }
    }

    /// Checks size, sender and signature, and for descriptions the fingerprint.
    pub(super) fn check(&self, envelope: &Envelope) -> Result<(), SignalError> {
        let (found, allowed) = (self.payload.len(), envelope.kind.payload_bytes_max());
        if found > allowed {
            return Err(SignalError::TooLong { found, allowed });
        }
        if PeerId::of(&self.key) != envelope.from {
            return Err(SignalError::Key);
        }
        let bytes = envelope.signed_bytes(self.session, self.fingerprint, &self.payload);
        verify(
            SIGNAL_DOMAIN,
            envelope.chain,
            &self.key,
            &bytes,
            &self.signature,
        )
        .map_err(|_| SignalError::Signature)?;
        let is_description = envelope.kind != SignalKind::Candidate;
        if is_description && Fingerprint::of_description(&self.payload)? != self.fingerprint {
            return Err(SignalError::Fingerprint);
        }
        Ok(())
    }
}

impl SignalKind {
    pub(super) const fn payload_bytes_max(self) -> usize {
        match self {
            Self::Offer | Self::Answer => SDP_BYTES_MAX,
            Self::Candidate => CANDIDATE_BYTES_MAX,
        }
    }
}

impl Envelope {
    fn signed_bytes(&self, session: Session, fingerprint: Fingerprint, payload: &str) -> Vec<u8> {
        let role: u8 = match (self.kind, self.sender_role) {
            (SignalKind::Offer, _) => 1,
            (SignalKind::Answer, _) => 2,
            (SignalKind::Candidate, Role::Initiator) => 3,
            (SignalKind::Candidate, Role::Responder) => 4,
        };
        let payload = sha256(&[payload.as_bytes()]);
        [
            &self.from.0.0[..],
            &self.to.0.0,
            &session.0,
            &[role],
            &fingerprint.0,
            &payload.0,
        ]
        .concat()
    }
}

/// Why a signal was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// Larger than allowed.
    #[error("signal of {found} bytes, {allowed} allowed")]
    TooLong {
        /// Bytes received.
        found: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// The key does not belong to the sender the tracker named.
    #[error("the signal's key is not the sender's")]
    Key,
    /// The signature does not hold.
    #[error("the signal's signature is invalid")]
    Signature,
    /// No usable DTLS fingerprint, or another than the signed one.
    #[error("the description's DTLS fingerprint is not the signed one")]
    Fingerprint,
    /// Of another link, of an earlier attempt, or a second time.
    #[error("the signal is stale or a replay")]
    Stale,
    /// An offer from the peer whose part it is to answer, or the reverse.
    #[error("the signal does not fit the sender's role")]
    WrongRole,
}
