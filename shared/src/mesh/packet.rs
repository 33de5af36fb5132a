//! Packets: what two peers say to each other before they have a link, where no tracker carries it.
//!
//! A packet goes over one member that both are linked to, or between the tabs of a profile. Neither is trusted, so a greeting is
//! signed here, over `from ‖ to ‖ wish ‖ own incarnation ‖ other's incarnation`; signals are signed anyway
//! ([`super::signal`]). An old greeting can be sent again: it makes its receiver answer, and no more, because who replays it
//! can't sign what has to follow with the incarnation in that answer.
//!
//! Layout: kind 1 (1 hello, 2 bye, 3 offer, 4 answer, 5 candidate, 6 presence), then for greetings incarnations 8 + 8, key 32,
//! signature 64; for signals session 24, key 32, fingerprint 32, signature 64 and the payload; for a presence nothing.

use alloc::string::String;
use alloc::vec::Vec;

use crate::identity::{Identity, verify};
use crate::ids::{ChainId, PeerId, PublicKey, Signature};

use super::signal::{Fingerprint, Session, Signal, SignalError, SignalKind};
use super::wire::Incarnation;

/// Domain of the signatures on greetings.
pub(super) const GREETING_DOMAIN: &str = "distli/greeting/1";

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// About wanting a link.
    Greeting(Greeting),
    /// An offer, answer or candidate.
    Signal(SignalKind, Signal),
    /// "I am here."
    Presence,
}

/// The signed form of `Hello` and `Bye`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) wish: Wish,
    /// The sender's end.
    pub(super) from: Incarnation,
    /// What it knows of the receiver's.
    pub(super) to: Incarnation,
    key: PublicKey,
    signature: Signature,
}

/// What a greeting wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A link.
    Link,
    /// None: there is no room.
    NoLink,
}

/// Whose greeting to whom, and of which chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) chain: ChainId,
    pub(super) from: PeerId,
    pub(super) to: PeerId,
}

impl Ends {
    fn signed_bytes(&self, wish: Wish, from: Incarnation, to: Incarnation) -> Vec<u8> {
        [
            &self.from.0.0[..],
            &self.to.0.0,
            &[wish.to_byte()],
            &from.0.to_be_bytes(),
            &to.0.to_be_bytes(),
        ]
        .concat()
    }
}

impl Greeting {
    pub(super) fn sign(
        identity: &Identity,
        ends: &Ends,
        wish: Wish,
        from: Incarnation,
        to: Incarnation,
    ) -> Self {
        let bytes = ends.signed_bytes(wish, from, to);
        Self {
            wish,
            from,
            to,
            key: identity.public_key(),
            signature: identity.sign(GREETING_DOMAIN, ends.chain, &bytes),
        }
    }

    /// Checks that its sender made it for these ends.
    pub(super) fn check(&self, ends: &Ends) -> Result<(), SignalError> {
        if PeerId::of(&self.key) != ends.from {
            return Err(SignalError::Key);
        }
        let bytes = ends.signed_bytes(self.wish, self.from, self.to);
        verify(
            GREETING_DOMAIN,
            ends.chain,
            &self.key,
            &bytes,
            &self.signature,
        )
        .map_err(|_| SignalError::Signature)
    }
}

impl Wish {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Link => HELLO,
            Self::NoLink => BYE,
        }
    }
}

impl Packet {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Greeting(greeting) => [
                &[greeting.wish.to_byte()][..],
                &greeting.from.0.to_be_bytes(),
                &greeting.to.0.to_be_bytes(),
                &greeting.key.0,
                &greeting.signature.0,
            ]
            .concat(),
            Self::Signal(kind, signal) => [
                &[byte_of(*kind)][..],
                &signal.session.0,
                &signal.key.0,
                &signal.fingerprint.0,
                &signal.signature.0,
                signal.payload.as_bytes(),
            ]
            .concat(),
            Self::Presence => Vec::from([PRESENCE]),
        }
    }

    /// Reads a packet; `None` if it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            HELLO => Self::greeting(Wish::Link, rest),
            BYE => Self::greeting(Wish::NoLink, rest),
            OFFER => Self::signal(SignalKind::Offer, rest),
            ANSWER => Self::signal(SignalKind::Answer, rest),
            CANDIDATE => Self::signal(SignalKind::Candidate, rest),
            PRESENCE => rest.is_empty().then_some(Self::Presence),
            _ => None,
        }
    }

    fn greeting(wish: Wish, bytes: &[u8]) -> Option<Self> {
        let (from, rest) = bytes.split_first_chunk::<8>()?;
        let (to, rest) = rest.split_first_chunk::<8>()?;
        let (key, rest) = rest.split_first_chunk::<32>()?;
        Some(Self::Greeting(Greeting {
            wish,
            from: Incarnation(u64::from_be_bytes(*from)),
            to: Incarnation(u64::from_be_bytes(*to)),
            key: PublicKey(*key),
            signature: Signature(rest.try_into().ok()?),
        }))
    }

    fn signal(kind: SignalKind, bytes: &[u8]) -> Option<Self> {
        let (session, rest) = bytes.split_first_chunk::<24>()?;
        let (key, rest) = rest.split_first_chunk::<32>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<32>()?;
        let (signature, rest) = rest.split_first_chunk::<64>()?;
        let signal = Signal {
            session: Session(*session),
            key: PublicKey(*key),
            fingerprint: Fingerprint(*fingerprint),
            signature: Signature(*signature),
            payload: String::from(core::str::from_utf8(rest).ok()?),
        };
        Some(Self::Signal(kind, signal))
    }
}

const HELLO: u8 = 1;
const BYE: u8 = 2;
const OFFER: u8 = 3;
const ANSWER: u8 = 4;
const CANDIDATE: u8 = 5;
const PRESENCE: u8 = 6;

const fn byte_of(kind: SignalKind) -> u8 {
    match kind {
        SignalKind::Offer => OFFER,
        SignalKind::Answer => ANSWER,
        SignalKind::Candidate => CANDIDATE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;

    fn ends() -> (Identity, Ends) {
        let identity = Identity::from_seed([1; 32]);
        let ends = Ends {
            chain: ChainId(Hash([7; 32])),
            from: identity.peer_id(),
            to: PeerId(Hash([2; 32])),
        };
        (identity, ends)
    }

    #[test]
    fn every_packet_survives_both_ways() {
        let (identity, ends) = ends();
        let signal = Signal {
            session: Session([1; 24]),
            key: identity.public_key(),
            fingerprint: Fingerprint([2; 32]),
            signature: Signature([3; 64]),
            payload: String::from("v=0 ü"),
        };
        let greeting =
            |wish| Greeting::sign(&identity, &ends, wish, Incarnation(5), Incarnation(6));
        for packet in [
            Packet::Greeting(greeting(Wish::Link)),
            Packet::Greeting(greeting(Wish::NoLink)),
            Packet::Signal(SignalKind::Offer, signal.clone()),
            Packet::Signal(SignalKind::Answer, signal.clone()),
            Packet::Signal(SignalKind::Candidate, signal),
            Packet::Presence,
        ] {
            let bytes = packet.encode();
            assert_eq!(Packet::decode(&bytes), Some(packet));
            for cut in 0..bytes.len().min(113) {
                assert_eq!(Packet::decode(&bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn greeting_holds_for_its_ends_and_words_only() {
        let (identity, ends) = ends();
        let good = Greeting::sign(&identity, &ends, Wish::Link, Incarnation(5), Incarnation(6));
        assert_eq!(good.check(&ends), Ok(()));
        let chain = ChainId(Hash([8; 32]));
        let to = PeerId(Hash([9; 32]));
        assert!(good.check(&Ends { chain, ..ends }).is_err());
        assert!(good.check(&Ends { to, ..ends }).is_err());
        assert_eq!(
            good.check(&Ends { from: to, ..ends }),
            Err(SignalError::Key)
        );
        let bytes = Packet::Greeting(good).encode();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Some(Packet::Greeting(forged)) = Packet::decode(&bytes) {
                assert!(forged.check(&ends).is_err(), "bit {bit}");
            }
        }
    }
}
