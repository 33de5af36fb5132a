//! What a private network's members say to each other through the tracker: sealed, so that it sees neither descriptions nor
//! keys nor blocks.
//!
//! A frame is a kind (1), then sealed bytes ([`crate::private`]) bound to `kind ‖ sender (32) ‖ receiver (32)`:
//!
//! | kind | name | purpose | content |
//! | ---: | --- | --- | --- |
//! | 1 | link | gossip | what an open network relays in the clear |
//! | 2 | packet | signal | a packet ([`super::packet`]) with an offer, answer or candidate |
//! | 3 | genesis wanted | signal | nothing |
//! | 4 | genesis | signal | the genesis bytes |
//!
//! Who knows the network key but not the genesis (a passphrase leads there) asks a member with 3 and is given 4; the member answers
//! [`GENESIS_ANSWERS_BURST`] at once and one a second. Unsealed signalling and frames are refused.
//!
//! A tracker that sends a frame twice gains nothing: descriptions are of one session, and what a link carries is of one life of both
//! ends and verified block by block.

use alloc::vec::Vec;

use crate::frame::Lane;
use crate::hash::sha256;
use crate::ids::{PeerId, TimestampMs};
use crate::private::{NetworkKeys, Purpose, SealError};

use super::limits::GENESIS_ANSWERS_BURST;
use super::packet::Packet;
use super::signal::{Signal, SignalKind};
use super::{Mesh, MeshError, Output, ToTracker};

/// What a sealed frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// What an open network relays in the clear.
    Link(Vec<u8>),
    /// A packet.
    Packet(Vec<u8>),
    /// "Give me the genesis."
    GenesisWanted,
    /// The genesis bytes.
    Genesis(Vec<u8>),
}

impl Sealed {
    const fn kind(&self) -> u8 {
        match self {
            Self::Link(_) => LINK,
            Self::Packet(_) => PACKET,
            Self::GenesisWanted => GENESIS_WANTED,
            Self::Genesis(_) => GENESIS,
        }
    }

    /// The frame that says this; the nonce must be new.
    #[must_use]
    pub fn seal(&self, keys: &NetworkKeys, ends: (PeerId, PeerId), nonce: &[u8; 24]) -> Vec<u8> {
        let kind = self.kind();
        let content: &[u8] = match self {
            Self::Link(bytes) | Self::Packet(bytes) | Self::Genesis(bytes) => bytes,
            Self::GenesisWanted => &[],
        };
        let mut frame = alloc::vec![kind];
        frame.extend(keys.seal(purpose_of(kind), nonce, &bound(kind, ends), content));
        frame
    }

    /// What a frame from the first to the second says.
    ///
    /// # Errors
    /// It is not of a member, or not for these two.
    pub fn open(
        keys: &NetworkKeys,
        ends: (PeerId, PeerId),
        frame: &[u8],
    ) -> Result<Self, SealError> {
        let unknown = SealError { found: frame.len() };
        let (kind, sealed) = frame.split_first().ok_or(unknown)?;
        let open = || keys.open(purpose_of(*kind), &bound(*kind, ends), sealed);
        match *kind {
            LINK => Ok(Self::Link(open()?)),
            PACKET => Ok(Self::Packet(open()?)),
            GENESIS_WANTED if open()?.is_empty() => Ok(Self::GenesisWanted),
            GENESIS => Ok(Self::Genesis(open()?)),
            _ => Err(unknown),
        }
    }
}

const LINK: u8 = 1;
const PACKET: u8 = 2;
const GENESIS_WANTED: u8 = 3;
const GENESIS: u8 = 4;

const fn purpose_of(kind: u8) -> Purpose {
    if kind == LINK {
        Purpose::Gossip
    } else {
        Purpose::Signal
    }
}

fn bound(kind: u8, (from, to): (PeerId, PeerId)) -> Vec<u8> {
    [&[kind][..], &from.0.0, &to.0.0].concat()
}

impl Mesh {
    /// Gives the tracker a frame for a peer, sealed where the network is private.
    pub(super) fn relay_frame(&mut self, to: PeerId, lane: Lane, frame: Vec<u8>) {
        let frame = if self.config.keys.is_some() {
            self.sealed(to, &Sealed::Link(frame))
        } else {
            frame
        };
        self.push(Output::Tracker(ToTracker::Relay { to, frame, lane }));
    }

    /// Gives the tracker a signal for a peer, sealed where the network is private.
    pub(super) fn relay_signal(&mut self, to: PeerId, kind: SignalKind, signal: Signal) {
        if self.config.keys.is_none() {
            self.push(Output::Tracker(ToTracker::Signal { to, kind, signal }));
            return;
        }
        let packet = Packet::Signal(kind, signal).encode();
        self.relay_sealed(to, &Sealed::Packet(packet));
    }

    /// A frame came through the tracker of a private network.
    pub(super) fn on_sealed(
        &mut self,
        now: TimestampMs,
        peer: PeerId,
        keys: &NetworkKeys,
        frame: &[u8],
    ) -> Result<(), MeshError> {
        let opened = Sealed::open(keys, (peer, self.own), frame)
            .map_err(|reason| MeshError::Sealed { peer, reason })?;
        match opened {
            Sealed::Link(frame) => self.on_relayed_frame(now, peer, &frame),
            Sealed::Packet(packet) => match Packet::decode(&packet) {
                Some(Packet::Signal(kind, signal)) => self.on_signalled(now, peer, kind, signal),
                Some(Packet::Greeting(_) | Packet::Presence) | None => Ok(()),
            },
            Sealed::GenesisWanted => {
                if self.genesis_answers.take(now, 1, 0) {
                    let genesis = self.config.genesis.clone();
                    self.relay_sealed(peer, &Sealed::Genesis(genesis));
                }
                Ok(())
            }
            Sealed::Genesis(_) => Ok(()),
        }
    }

    fn relay_sealed(&mut self, to: PeerId, sealed: &Sealed) {
        let frame = self.sealed(to, sealed);
        let lane = Lane::Urgent;
        self.push(Output::Tracker(ToTracker::Relay { to, frame, lane }));
    }

    fn sealed(&mut self, to: PeerId, sealed: &Sealed) -> Vec<u8> {
        let nonce = self.draw_nonce();
        match &self.config.keys {
            Some(keys) => sealed.seal(keys, (self.own, to), &nonce),
            None => Vec::new(),
        }
    }

    /// Draws a nonce that no one used before: the seed is fresh and secret, and the count never returns.
    fn draw_nonce(&mut self) -> [u8; 24] {
        self.drawn += 1;
        let digest = sha256(&[
            b"distli/mesh/nonce/1",
            &self.config.seed,
            &self.drawn.to_be_bytes(),
        ]);
        let mut nonce = [0; 24];
        nonce
            .iter_mut()
            .zip(digest.0)
            .for_each(|(slot, byte)| *slot = byte);
        nonce
    }
}

/// How many times the genesis is given at once.
pub(super) const fn genesis_answers() -> super::bucket::Bucket {
    super::bucket::Bucket::new(GENESIS_ANSWERS_BURST, 1)
}
