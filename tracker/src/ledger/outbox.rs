//! The outbox: which blocks go to the validator when.
//!
//! Nothing is "sent" because it was posted: a block leaves the outbox when the validator's tip, named by hash, is on
//! our main chain at or above it. So the outbox needs no store of its own; it is the main chain above the newest
//! confirmed block, and both are durable. This machine holds, for each network, the height to send next and the time
//! of the next try; it sees no blocks.
//!
//! After an outage, after a restart and when a validator turns out to have lost blocks, every network's newest
//! confirmed block is sent again (a *probe*): a validator that has it answers "known", one that was replaced by an
//! empty one answers that it does not know the parent, and is sent everything from where it stands.
//!
//! Limits: one update in flight a network and [`limits::FORWARDS_IN_FLIGHT_MAX`] in all; pauses double from
//! [`limits::BACKOFF_FIRST_MS`] to [`limits::BACKOFF_MAX_MS`]; those after a refusal go on to [`limits::REFUSED_BACKOFF_MAX_MS`]
//! unless the main chain moves, so that networks that are refused, however many, leave the places to others.

use std::collections::BTreeMap;

use shared::ids::{ChainId, Height, TimestampMs};

use crate::limits;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lanes: BTreeMap<ChainId, Lane>,
    in_flight: usize,
}

/// One network's place in the outbox.
#[derive(Debug)]
struct Lane {
    /// The height to send next; above the tip when nothing is left.
    cursor: Height,
    /// When to send; none while nothing is left or an update is in flight.
    due: Option<TimestampMs>,
    /// The update on its way.
    flight: Option<Flight>,
    /// Tries in a row that did not get further.
    failures: u32,
    /// Those of them that were refused.
    refusals: u32,
    /// Whether the main chain changed while the update was on its way.
    has_moved: bool,
}

/// An update on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flight {
    /// Its first block's height.
    pub(crate) first: Height,
    /// Its last block's height.
    pub(crate) last: Height,
    /// Whether the main chain below `last` changed since it was sent.
    pub(crate) outdated: bool,
}

impl Outbox {
    /// Plans to send from `from` on, at once.
    pub(crate) fn enqueue(&mut self, now: TimestampMs, chain_id: ChainId, from: Height) {
        let lane = self.lanes.entry(chain_id).or_insert(Lane {
            cursor: from,
            due: None,
            flight: None,
            failures: 0,
            refusals: 0,
            has_moved: false,
        });
        lane.cursor = lane.cursor.min(from);
        match &mut lane.flight {
            Some(flight) => {
                flight.outdated |= from <= flight.last;
                lane.has_moved = true;
            }
            // A lane that waits out a pause goes on waiting, but not for long.
            None => {
                let latest = now.plus_ms(limits::BACKOFF_MAX_MS);
                let paused = lane.due.filter(|_| lane.failures > 0);
                lane.due = Some(paused.map_or(now, |due| due.min(latest)));
            }
        }
    }

    /// The next network whose turn it is, and the height to send from.
    pub(crate) fn due(&self, now: TimestampMs) -> Option<(ChainId, Height)> {
        if self.in_flight >= limits::FORWARDS_IN_FLIGHT_MAX {
            return None;
        }
        let (at, chain_id, cursor) = self.earliest()?;
        (at <= now).then_some((chain_id, cursor))
    }

    /// When to look again.
    pub(crate) fn wake_at(&self) -> Option<TimestampMs> {
        if self.in_flight >= limits::FORWARDS_IN_FLIGHT_MAX {
            return None;
        }
        self.earliest().map(|(at, ..)| at)
    }

    fn earliest(&self) -> Option<(TimestampMs, ChainId, Height)> {
        let due = self
            .lanes
            .iter()
            .filter_map(|(chain_id, lane)| Some((lane.due?, *chain_id, lane.cursor)));
        due.min_by_key(|(at, chain_id, _)| (*at, *chain_id))
    }

    /// Notes that an update is on its way.
    pub(crate) fn sent(&mut self, chain_id: ChainId, first: Height, last: Height) {
        let Some(lane) = self.lanes.get_mut(&chain_id) else {
            return;
        };
        lane.due = None;
        lane.has_moved = false;
        lane.flight = Some(Flight {
            first,
            last,
            outdated: false,
        });
        self.in_flight = self.in_flight.saturating_add(1);
    }

    /// Nothing is left to send from the cursor on.
    pub(crate) fn idle(&mut self, chain_id: ChainId) {
        if let Some(lane) = self.lanes.get_mut(&chain_id) {
            lane.due = None;
            lane.failures = 0;
            lane.refusals = 0;
        }
    }

    /// Takes the update off its way; it was answered.
    pub(crate) fn landed(&mut self, chain_id: ChainId) -> Option<Flight> {
        let flight = self.lanes.get_mut(&chain_id)?.flight.take()?;
        self.in_flight = self.in_flight.saturating_sub(1);
        Some(flight)
    }

    /// Goes on from `next` at once.
    pub(crate) fn advance(&mut self, now: TimestampMs, chain_id: ChainId, next: Height) {
        if let Some(lane) = self.lanes.get_mut(&chain_id) {
            lane.failures = 0;
            lane.refusals = 0;
            lane.cursor = next;
            lane.due = Some(now);
        }
    }

    /// Cuts every pause short.
    pub(crate) fn hurry(&mut self, now: TimestampMs) {
        for lane in self.lanes.values_mut() {
            lane.due = lane.due.map(|due| due.min(now));
        }
    }

    /// Whether nothing of a network is on its way or planned.
    pub(crate) fn is_idle(&self, chain_id: ChainId) -> bool {
        let lane = self.lanes.get(&chain_id);
        lane.is_none_or(|lane| lane.due.is_none() && lane.flight.is_none())
    }

    /// Tries again from `next` after a pause that grows with each try.
    pub(crate) fn retry(&mut self, now: TimestampMs, chain_id: ChainId, next: Height) {
        let Some(lane) = self.lanes.get_mut(&chain_id) else {
            return;
        };
        lane.cursor = next;
        lane.due = Some(now.plus_ms(pause_ms(lane.failures)));
        lane.failures = lane.failures.saturating_add(1);
    }

    /// The same after a refusal, which will likely be repeated: the pauses grow on.
    pub(crate) fn refused(&mut self, now: TimestampMs, chain_id: ChainId, next: Height) {
        self.retry(now, chain_id, next);
        let Some(lane) = self.lanes.get_mut(&chain_id) else {
            return;
        };
        let pause = refused_pause_ms(lane.refusals);
        let pause_max = if lane.has_moved {
            limits::BACKOFF_MAX_MS
        } else {
            limits::REFUSED_BACKOFF_MAX_MS
        };
        lane.due = Some(now.plus_ms(pause.min(pause_max)));
        lane.refusals = lane.refusals.saturating_add(1);
    }

    /// How many tries in a row did not get further.
    pub(crate) fn failures(&self, chain_id: ChainId) -> u32 {
        self.lanes.get(&chain_id).map_or(0, |lane| lane.failures)
    }

    /// How many networks wait for a try that failed to be repeated.
    pub(crate) fn failing(&self) -> usize {
        self.lanes.values().filter(|lane| lane.failures > 0).count()
    }
}

/// How long to wait after so many failures in a row, in ms.
pub(super) fn pause_ms(failures: u32) -> u64 {
    doubled_ms(failures).min(limits::BACKOFF_MAX_MS)
}

/// How long to wait after so many refusals in a row, in ms.
pub(super) fn refused_pause_ms(refusals: u32) -> u64 {
    doubled_ms(refusals).min(limits::REFUSED_BACKOFF_MAX_MS)
}

fn doubled_ms(times: u32) -> u64 {
    let factor = 1_u64.checked_shl(times.min(16)).unwrap_or(u64::MAX);
    limits::BACKOFF_FIRST_MS.saturating_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::hash::Hash;

    const NOW: TimestampMs = TimestampMs(1_000_000);

    fn chain(byte: u8) -> ChainId {
        ChainId(Hash([byte; 32]))
    }

    #[test]
    fn one_update_of_a_network_is_in_flight_at_a_time() {
        let mut outbox = Outbox::default();
        outbox.enqueue(NOW, chain(1), Height(1));
        assert_eq!(outbox.due(NOW), Some((chain(1), Height(1))));
        outbox.sent(chain(1), Height(1), Height(3));
        outbox.enqueue(NOW, chain(1), Height(4));
        assert_eq!(outbox.due(NOW), None);
        let flight = outbox.landed(chain(1)).unwrap();
        assert!(
            !flight.outdated,
            "a block above the flight does not touch it"
        );
        outbox.advance(NOW, chain(1), Height(4));
        assert_eq!(outbox.due(NOW), Some((chain(1), Height(4))));
    }

    #[test]
    fn a_reorganisation_outdates_the_update_on_its_way() {
        let mut outbox = Outbox::default();
        outbox.enqueue(NOW, chain(1), Height(5));
        outbox.sent(chain(1), Height(5), Height(9));
        outbox.enqueue(NOW, chain(1), Height(7));
        assert!(outbox.landed(chain(1)).unwrap().outdated);
    }

    #[test]
    fn pauses_double_and_are_capped() {
        let mut outbox = Outbox::default();
        outbox.enqueue(NOW, chain(1), Height(1));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            outbox.retry(NOW, chain(1), Height(1));
            pauses.push(outbox.wake_at().unwrap().since(NOW));
        }
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
        outbox.enqueue(NOW, chain(1), Height(2));
        assert_eq!(
            outbox.due(NOW),
            None,
            "a new block does not cut the pause short"
        );
    }

    /// A network that was refused until its pauses grow no more.
    fn refused_for_long() -> Outbox {
        let mut outbox = Outbox::default();
        outbox.enqueue(NOW, chain(1), Height(1));
        for _ in 0..20 {
            outbox.sent(chain(1), Height(1), Height(1));
            outbox.landed(chain(1)).unwrap();
            outbox.refused(NOW, chain(1), Height(1));
        }
        outbox
    }

    fn pause(outbox: &Outbox) -> u64 {
        outbox.wake_at().unwrap().since(NOW)
    }

    #[test]
    fn refused_networks_leave_the_places_to_others() {
        let mut outbox = refused_for_long();
        assert_eq!(pause(&outbox), limits::REFUSED_BACKOFF_MAX_MS);
        outbox.retry(NOW, chain(1), Height(1));
        assert_eq!(pause(&outbox), limits::BACKOFF_MAX_MS, "failed meanwhile");
        outbox.refused(NOW, chain(1), Height(1));
        assert_eq!(pause(&outbox), limits::REFUSED_BACKOFF_MAX_MS);
        outbox.hurry(NOW);
        assert_eq!(outbox.due(NOW), Some((chain(1), Height(1))));

        // One that was refused once after a long outage is not counted as refused for long.
        outbox.advance(NOW, chain(1), Height(1));
        for _ in 0..20 {
            outbox.retry(NOW, chain(1), Height(1));
        }
        outbox.refused(NOW, chain(1), Height(1));
        assert_eq!(pause(&outbox), limits::BACKOFF_FIRST_MS);
    }

    #[test]
    fn a_refused_network_whose_chain_moves_is_tried_again_soon() {
        let mut outbox = refused_for_long();
        outbox.enqueue(NOW, chain(1), Height(2));
        assert_eq!(pause(&outbox), limits::BACKOFF_MAX_MS);

        let mut outbox = refused_for_long();
        outbox.sent(chain(1), Height(1), Height(1));
        outbox.enqueue(NOW, chain(1), Height(2));
        outbox.landed(chain(1)).unwrap();
        outbox.refused(NOW, chain(1), Height(1));
        assert_eq!(pause(&outbox), limits::BACKOFF_MAX_MS, "while it was asked");
    }

    #[test]
    fn updates_in_flight_are_bounded_over_all_networks() {
        let mut outbox = Outbox::default();
        for byte in 0..9 {
            outbox.enqueue(NOW, chain(byte), Height(1));
        }
        let mut sent = 0;
        while let Some((id, height)) = outbox.due(NOW) {
            outbox.sent(id, height, height);
            sent += 1;
        }
        assert_eq!(sent, limits::FORWARDS_IN_FLIGHT_MAX);
        outbox.landed(chain(0)).unwrap();
        assert!(outbox.due(NOW).is_some());
    }
}
