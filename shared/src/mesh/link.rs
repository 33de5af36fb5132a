//! The state of one link: the greeting, and the direct channel.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::frame::Reassembler;
use crate::ids::{PeerId, PublicKey, TimestampMs};

use super::bucket::Bucket;
use super::limits::{
    BACKOFF_FIRST_MS, BACKOFF_MAX_MS, CHANNEL_IDLE_MS, CHANNEL_PONG_MS, FORWARDS_BURST,
    FORWARDS_PER_SECOND, RELAY_IDLE_MS, RELAY_PONG_MS, STALLED_MS, UNPROVEN_MS,
};
use super::signal::{Fingerprint, Role, Session};
use super::wire::Incarnation;
use super::{LinkId, Transport};

/// A link to one peer.
#[derive(Debug)]
pub(super) struct Link {
    /// Its key, once a signal of it held.
    pub(super) key: Option<PublicKey>,
    /// Our end.
    pub(super) mine: Incarnation,
    /// How far the greeting is.
    pub(super) stage: Stage,
    /// Whether we chose this peer, or it us.
    pub(super) origin: Origin,
    /// Whether the node knows of it.
    pub(super) is_told: bool,
    /// When this life of the link began.
    pub(super) since: TimestampMs,
    /// When its node last said something.
    pub(super) spoke_at: TimestampMs,
    /// Up to when it is not given up, because people carry its texts.
    pub(super) patient_until: TimestampMs,
    /// The member through which the peer is spoken to while the tracker does not reach it.
    pub(super) via: Option<PeerId>,
    /// The peers it says it is linked to.
    pub(super) neighbours: BTreeSet<PeerId>,
    /// What it may have us forward, and what it may bring us of others.
    pub(super) forwards: Bucket,
    pub(super) brings: Bucket,
    /// Life signs over the relay.
    pub(super) alive: Alive,
    /// What comes over the relay.
    pub(super) reassembler: Reassembler,
    /// The direct channel, or the attempt at one.
    pub(super) channel: Option<Channel>,
    /// The next attempt.
    pub(super) dial: Dial,
}

/// Who wanted a link first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Chosen,
    Accepted,
}

/// The greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// `Hello` sent, none received.
    Greeting { tries: u32, again_at: TimestampMs },
    /// Both ends know each other. The node is told as soon as the relay or a channel can carry its messages.
    Up { theirs: Incarnation },
}

/// When to try a direct channel next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dial {
    /// Attempts that failed since the last success.
    pub(super) failures: u32,
    /// When to start the next; only the initiator's is set.
    pub(super) at: Option<TimestampMs>,
    /// Number of the newest attempt of these incarnations; a replayed offer has none above it.
    pub(super) attempt: u64,
}

/// An RTCPeerConnection, from the attempt on.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) link: LinkId,
    pub(super) role: Role,
    pub(super) session: Session,
    pub(super) phase: Phase,
    /// Ours, once our description is made.
    pub(super) local: Option<Fingerprint>,
    /// Theirs, once their description came.
    pub(super) remote: Option<Fingerprint>,
    /// Our candidates from before our description.
    pub(super) early_local: Vec<String>,
    /// Their candidates from before their description, with the fingerprint they were signed with.
    pub(super) early_remote: Vec<(Fingerprint, String)>,
    pub(super) candidates_received: usize,
    pub(super) alive: Alive,
    /// When a sign of life was last sent unasked.
    pub(super) life_sign_at: TimestampMs,
    pub(super) reassembler: Reassembler,
}

/// How far a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Descriptions and candidates are exchanged.
    Signalling { deadline: TimestampMs },
    /// The channel is open; this ping must come back.
    Proving { deadline: TimestampMs, ping: u64 },
    /// It came back: messages go this way.
    Proven,
}

/// Keep-alive of one path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alive {
    heard_at: TimestampMs,
    asked_at: Option<TimestampMs>,
    idle_ms: u64,
    pong_ms: u64,
}

/// What keep-alive wants done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    Nothing,
    Ping,
    GiveUp,
}

/// A peer that is left alone for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shunned {
    pub(super) until: TimestampMs,
    pub(super) reason: ShunReason,
}

/// Why a peer is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShunReason {
    /// It had no room or did not answer; if it greets us, it is welcome.
    Full,
    /// The node disconnected it; its greetings are ignored.
    Banned,
}

impl Link {
    pub(super) fn new(now: TimestampMs, mine: Incarnation, origin: Origin) -> Self {
        Self {
            key: None,
            mine,
            stage: Stage::Greeting {
                tries: 0,
                again_at: now,
            },
            origin,
            is_told: false,
            since: now,
            spoke_at: now,
            patient_until: now,
            via: None,
            neighbours: BTreeSet::new(),
            forwards: Bucket::new(FORWARDS_BURST, FORWARDS_PER_SECOND),
            brings: Bucket::new(FORWARDS_BURST, FORWARDS_PER_SECOND),
            alive: Alive::on_relay(now),
            reassembler: Reassembler::new(),
            channel: None,
            dial: Dial::default(),
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up { .. })
    }

    pub(super) fn transport(&self) -> Transport {
        if !self.is_told {
            Transport::Connecting
        } else if self.is_proven() {
            Transport::Direct
        } else {
            Transport::Relay
        }
    }

    /// Whether it is up, or young enough to be expected to be soon. Of one whose channel just failed nothing is expected.
    pub(super) fn counts(&self, now: TimestampMs) -> bool {
        self.is_told || (self.dial.failures == 0 && now < self.stalls_at())
    }

    /// When it stops counting as a link, if it does not come up.
    pub(super) fn stalls_at(&self) -> TimestampMs {
        let pause = if self.channel.is_some() {
            UNPROVEN_MS
        } else {
            STALLED_MS
        };
        self.since.plus_ms(pause)
    }

    /// Whether it is for the direct channel alone, and that had time enough.
    pub(super) fn is_hopeless(&self, now: TimestampMs) -> bool {
        self.is_up() && !self.is_told && now >= self.hopeless_at()
    }

    pub(super) fn hopeless_at(&self) -> TimestampMs {
        self.since.plus_ms(UNPROVEN_MS).max(self.patient_until)
    }

    pub(super) fn is_proven(&self) -> bool {
        self.channel
            .as_ref()
            .is_some_and(|channel| channel.phase == Phase::Proven)
    }

    /// Whether bytes can pass the data channel, proven or not.
    pub(super) fn has_open_channel(&self) -> bool {
        self.channel
            .as_ref()
            .is_some_and(|channel| !matches!(channel.phase, Phase::Signalling { .. }))
    }
}

impl Channel {
    pub(super) fn new(
        now: TimestampMs,
        link: LinkId,
        role: Role,
        session: Session,
        deadline: TimestampMs,
    ) -> Self {
        Self {
            link,
            role,
            session,
            phase: Phase::Signalling { deadline },
            local: None,
            remote: None,
            early_local: Vec::new(),
            early_remote: Vec::new(),
            candidates_received: 0,
            alive: Alive::on_channel(now),
            life_sign_at: now,
            reassembler: Reassembler::new(),
        }
    }
}

impl Alive {
    pub(super) const fn on_relay(now: TimestampMs) -> Self {
        Self {
            heard_at: now,
            asked_at: None,
            idle_ms: RELAY_IDLE_MS,
            pong_ms: RELAY_PONG_MS,
        }
    }

    pub(super) const fn on_channel(now: TimestampMs) -> Self {
        Self {
            heard_at: now,
            asked_at: None,
            idle_ms: CHANNEL_IDLE_MS,
            pong_ms: CHANNEL_PONG_MS,
        }
    }

    /// Notes a sign of life.
    pub(super) const fn heard(&mut self, now: TimestampMs) {
        self.heard_at = now;
        self.asked_at = None;
    }

    /// Wants a ping at once and gives it the whole time, however long ago the last one was.
    pub(super) const fn doubt(&mut self) {
        self.heard_at = TimestampMs(0);
        self.asked_at = None;
    }

    pub(super) const fn is_asked(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Notes that a ping was sent.
    pub(super) fn asked(&mut self, now: TimestampMs) {
        self.asked_at.get_or_insert(now);
    }

    /// When [`Self::care`] will want something.
    pub(super) fn due_at(&self) -> TimestampMs {
        self.asked_at.map_or_else(
            || self.heard_at.plus_ms(self.idle_ms),
            |asked_at| asked_at.plus_ms(self.pong_ms),
        )
    }

    pub(super) fn care(&self, now: TimestampMs) -> Care {
        if now < self.due_at() {
            Care::Nothing
        } else if self.asked_at.is_none() {
            Care::Ping
        } else {
            Care::GiveUp
        }
    }
}

/// The pause after `failures` failures: doubling from [`BACKOFF_FIRST_MS`] to [`BACKOFF_MAX_MS`], and up to a quarter more by
/// `draw`, so that peers that failed together do not retry together.
pub(super) fn backoff_ms(failures: u32, draw: u64) -> u64 {
    let doubled = BACKOFF_FIRST_MS.saturating_mul(1_u64 << failures.min(16));
    let pause = doubled.min(BACKOFF_MAX_MS);
    pause + draw % (pause / 4)
}
