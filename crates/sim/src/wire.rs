//! What lies between parties: latencies, partitions, and data channels, which keep their order and lose nothing but by closing.

use std::collections::BTreeMap;

use shared::mesh::LinkId;

use crate::{Random, Scenario, host::End};

/// Index of a party: honest nodes first, hostile ones after them.
pub(crate) type Party = usize;

/// Channels and conditions.
#[derive(Debug)]
pub(crate) struct Wire {
    seed: u64,
    median_ms: f64,
    sigma: f64,
    jitter_ms: u64,
    no_direct: u64,
    channels: BTreeMap<End, Channel>,
    /// The side of the partition each party is on, while there is one.
    sides: Option<Vec<u8>>,
}

/// One end of a channel.
#[derive(Debug, Clone, Copy, Default)]
struct Channel {
    other: Option<End>,
    is_open: bool,
    /// What is sent next arrives no sooner: a channel keeps its order.
    next_arrival: u64,
}

impl Wire {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            seed: scenario.seed,
            median_ms: scenario.latency_ms as f64,
            sigma: scenario.spread as f64 / 100.0,
            jitter_ms: scenario.jitter_ms,
            no_direct: scenario.no_direct,
            channels: BTreeMap::new(),
            sides: None,
        }
    }

    /// The way from one party to another: log-normally distributed over the pairs, the same for both directions.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive latency, far below 2^53"
    )]
    pub(crate) fn latency(&self, a: Party, b: Party) -> u64 {
        let mut random = self.pair(a, b);
        (self.median_ms * (self.sigma * random.normal()).exp()).clamp(1.0, 2_000.0) as u64
    }

    /// The same with what this one message takes longer.
    pub(crate) fn way(&self, random: &mut Random, a: Party, b: Party) -> u64 {
        self.latency(a, b) + random.below(self.jitter_ms + 1)
    }

    fn pair(&self, a: Party, b: Party) -> Random {
        let pair = (a.min(b) as u64) << 32 | a.max(b) as u64;
        let mut random = Random::new(self.seed ^ pair.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.draw();
        random
    }

    /// A connection is made; it knows no other end yet.
    pub(crate) fn create(&mut self, end: End) {
        self.channels.insert(end, Channel::default());
    }

    /// An end was given the other side's description. True if both ends know each other now and a channel can open.
    pub(crate) fn connect(&mut self, end: End, other: End) -> bool {
        if let Some(channel) = self.channels.get_mut(&end) {
            channel.other = Some(other);
        }
        let is_mutual = self
            .channels
            .get(&other)
            .is_some_and(|channel| channel.other == Some(end));
        let mut random = self.pair(end.0, other.0);
        is_mutual && !self.are_parted(end.0, other.0) && random.below(1_000) >= self.no_direct
    }

    /// Both ends are open now, if both are still there.
    pub(crate) fn open(&mut self, end: End) -> bool {
        let Some(other) = self.other(end) else {
            return false;
        };
        let are_there = self
            .channels
            .get(&other)
            .is_some_and(|channel| channel.other == Some(end));
        for end in [end, other].into_iter().filter(|_| are_there) {
            if let Some(channel) = self.channels.get_mut(&end) {
                channel.is_open = true;
            }
        }
        are_there
    }

    pub(crate) fn other(&self, end: End) -> Option<End> {
        self.channels.get(&end).and_then(|channel| channel.other)
    }

    pub(crate) fn exists(&self, end: End) -> bool {
        self.channels.contains_key(&end)
    }

    /// Where and when a chunk arrives that leaves now: nowhere if the channel is not open or lies across a partition.
    pub(crate) fn send(
        &mut self,
        random: &mut Random,
        leaves_at: u64,
        end: End,
    ) -> Option<(End, u64)> {
        let other = self
            .channels
            .get(&end)
            .filter(|channel| channel.is_open)?
            .other?;
        if self.are_parted(end.0, other.0) {
            return None;
        }
        let way = self.way(random, end.0, other.0);
        let channel = self.channels.get_mut(&end)?;
        channel.next_arrival = channel.next_arrival.max(leaves_at + way);
        Some((other, channel.next_arrival))
    }

    /// Ends a channel; answers the other end, if there is one to hear of it.
    pub(crate) fn close(&mut self, end: End) -> Option<End> {
        let other = self.channels.remove(&end)?.other?;
        self.channels.remove(&other).map(|_| other)
    }

    /// The ends of a party's channels.
    pub(crate) fn of(&self, party: Party) -> Vec<End> {
        let (first, last) = ((party, 0, LinkId(0)), (party, u64::MAX, LinkId(u32::MAX)));
        self.channels
            .range(first..=last)
            .map(|(end, _)| *end)
            .collect()
    }

    /// The ends of all open channels, each channel once.
    pub(crate) fn open_channels(&self) -> Vec<(End, End)> {
        let pair = |(end, channel): (&End, &Channel)| {
            Some((*end, channel.other.filter(|_| channel.is_open)?))
        };
        self.channels
            .iter()
            .filter_map(pair)
            .filter(|(end, other)| end < other)
            .collect()
    }

    pub(crate) fn part(&mut self, sides: Vec<u8>) {
        self.sides = Some(sides);
    }

    pub(crate) fn heal(&mut self) {
        self.sides = None;
    }

    /// True if a partition lies between the two.
    pub(crate) fn are_parted(&self, a: Party, b: Party) -> bool {
        self.sides
            .as_ref()
            .is_some_and(|sides| sides.get(a) != sides.get(b))
    }
}

/// A session description whose origin names the end that made it, and whose fingerprint is its own.
pub(crate) fn description(end: End) -> String {
    let (party, life, LinkId(link)) = end;
    let fingerprint = shared::hash::sha256(&[
        &party.to_be_bytes(),
        &life.to_be_bytes(),
        &link.to_be_bytes(),
    ]);
    let digits: Vec<String> = fingerprint
        .0
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    format!(
        "v=0\r\no={party} {life} {link}\r\na=fingerprint:sha-256 {}\r\n",
        digits.join(":")
    )
}

/// The end that made a description; none if it is none of ours.
pub(crate) fn described(sdp: &str) -> Option<End> {
    let origin = sdp.lines().find_map(|line| line.strip_prefix("o="))?;
    let mut parts = origin.split(' ');
    let (party, life, link) = (parts.next()?, parts.next()?, parts.next()?);
    Some((
        party.parse().ok()?,
        life.parse().ok()?,
        LinkId(link.parse().ok()?),
    ))
}
