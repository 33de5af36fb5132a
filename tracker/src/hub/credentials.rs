//! TURN credentials end by themselves: a connection that lasts gets another at half the life of the one it has.
//!
//! Each has a time of its own, half a life after its last credential. Those that came together are renewed in slices, so that
//! the tracker does not make and send thousands of them at once: a late credential is still good for the other half.
//!
//! Limits: [`limits::TURN_RENEWALS_AT_ONCE`] a slice; one entry for each connection, and none without a TURN server.

use std::collections::BTreeSet;

use api::ws::{IceServer, ServerMessage};
use shared::ids::{PeerId, TimestampMs};

use super::{ConnectionId, Hub};
use crate::limits;

/// Time between two slices, in ms.
const SLICE_MS: u64 = 50;

/// When connections get another credential.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    due: BTreeSet<(TimestampMs, ConnectionId)>,
    /// Before this there is no other slice.
    slice_at: TimestampMs,
}

impl Renewals {
    /// When the next slice is due, if there is one.
    pub(super) fn next_at(&self) -> Option<TimestampMs> {
        let (at, _) = self.due.first()?;
        Some(self.slice_at.max(*at))
    }

    fn take_due(&mut self, now: TimestampMs) -> Option<ConnectionId> {
        let (at, connection) = self.due.first().copied()?;
        (at <= now && self.due.remove(&(at, connection))).then_some(connection)
    }
}

impl Hub {
    /// The STUN and TURN servers for a peer, with a credential from now on; the next is planned.
    pub(super) fn ice_servers_for(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        peer: PeerId,
    ) -> Vec<IceServer> {
        let mut servers = self.ice_servers.clone();
        if let Some(turn) = &self.turn {
            servers.push(turn.credential(now, peer));
            let renewed_at = now.plus_ms(turn.renewal_ms());
            if let Some(state) = self.connections.get_mut(&connection) {
                state.renewed_at = Some(renewed_at);
                self.renewals.due.insert((renewed_at, connection));
            }
        }
        servers
    }

    /// Renews a slice of the credentials that are due.
    pub(super) fn on_renewals_due(&mut self, now: TimestampMs) {
        if self.renewals.next_at().is_none_or(|at| at > now) {
            return;
        }
        self.renewals.slice_at = now.plus_ms(SLICE_MS);
        for _ in 0..limits::TURN_RENEWALS_AT_ONCE {
            let Some(connection) = self.renewals.take_due(now) else {
                return;
            };
            let state = self.connections.get(&connection);
            if let Some(peer) = state.map(|state| state.provisional) {
                let ice_servers = self.ice_servers_for(now, connection, peer);
                self.send(connection, &ServerMessage::IceServers { ice_servers });
            }
        }
    }

    /// The connection is gone: its next credential is planned no more.
    pub(super) fn forget_renewal(&mut self, connection: ConnectionId) {
        let state = self.connections.get(&connection);
        if let Some(at) = state.and_then(|state| state.renewed_at) {
            self.renewals.due.remove(&(at, connection));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shared::hash::Hash;

    use super::super::{Input, Output};
    use super::*;
    use crate::turn::Turn;

    const START: TimestampMs = TimestampMs(1_000_000);
    const LIFE_S: u64 = 12 * 3_600;
    const HALF_MS: u64 = LIFE_S * 500;

    /// A hub and what it told each connection of its servers.
    struct Bench {
        hub: Hub,
        told: BTreeMap<u64, Vec<Vec<IceServer>>>,
        wake_at: Option<TimestampMs>,
    }

    impl Bench {
        fn new(turn: Option<Turn>) -> Self {
            Self {
                hub: Hub::new(vec![stun()]).with_turn(turn),
                told: BTreeMap::new(),
                wake_at: None,
            }
        }

        /// Gives the hub a fact; how many were told of their servers by it.
        fn handle(&mut self, now: TimestampMs, input: Input) -> usize {
            let mut count = 0;
            self.hub.handle(now, input);
            while let Some(output) = self.hub.poll() {
                if let Output::WakeAt { at } = output {
                    self.wake_at = Some(at);
                }
                let Output::Send { connections, text } = output else {
                    continue;
                };
                let (ServerMessage::Welcome { ice_servers, .. }
                | ServerMessage::IceServers { ice_servers }) = serde_json::from_str(&text).unwrap()
                else {
                    continue;
                };
                for ConnectionId(number) in connections {
                    let told = self.told.entry(number).or_default();
                    told.push(ice_servers.clone());
                    count += 1;
                }
            }
            count
        }

        fn connect(&mut self, now: TimestampMs, number: u64) {
            let connected = Input::Connected {
                connection: ConnectionId(number),
                peer: peer(number),
                nonce: [0; 32],
                host: "tracker.test".into(),
            };
            self.handle(now, connected);
        }

        /// Wakes the hub as its driver does, until nothing is left to do before `end`; when it told how many.
        fn run_until(&mut self, end: TimestampMs) -> Vec<(TimestampMs, usize)> {
            let mut slices = Vec::new();
            while let Some(at) = self.wake_at.take_if(|at| *at < end) {
                let count = self.handle(at, Input::Woken);
                if count > 0 {
                    slices.push((at, count));
                }
            }
            slices
        }
    }

    fn turn() -> Turn {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        Turn::open(vec!["turn:t.example".into()], file.path(), LIFE_S).unwrap()
    }

    fn stun() -> IceServer {
        IceServer {
            urls: vec!["stun:s.example".into()],
            username: None,
            credential: None,
        }
    }

    fn peer(number: u64) -> PeerId {
        PeerId(Hash([u8::try_from(number % 256).unwrap(); 32]))
    }

    #[test]
    fn a_turn_credential_is_renewed_at_half_its_life_and_not_before() {
        let mut bench = Bench::new(Some(turn()));
        bench.connect(START, 1);
        for round in 1..=3 {
            let due = START.plus_ms(round * HALF_MS);
            assert_eq!(bench.run_until(due), [], "round {round}");
            assert_eq!(bench.wake_at, Some(due));
            assert_eq!(bench.run_until(due.plus_ms(1)), [(due, 1)]);
        }
        let told = bench.told.remove(&1).unwrap();
        let expected = (0..=3).map(|round| {
            let from = START.plus_ms(round * HALF_MS);
            vec![stun(), turn().credential(from, peer(1))]
        });
        assert_eq!(told, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_renewed_credential_holds_and_ends_later() {
        let mut bench = Bench::new(Some(turn()));
        bench.connect(START, 1);
        let due = START.plus_ms(HALF_MS);
        bench.run_until(due.plus_ms(1));
        let ends: Vec<u64> = bench.told[&1]
            .iter()
            .map(|servers| turn().end_of(&servers[1]).expect("the secret made it"))
            .collect();
        let end_after = |from: TimestampMs| from.0 / 1_000 + LIFE_S;
        assert_eq!(ends, [end_after(START), end_after(due)]);
    }

    #[test]
    fn without_a_turn_server_no_credential_is_planned() {
        let mut bench = Bench::new(None);
        bench.connect(START, 1);
        assert_eq!(bench.hub.renewals.next_at(), None);
        assert_eq!(bench.run_until(START.plus_ms(10 * HALF_MS)), []);
        assert_eq!(bench.told[&1], [[stun()]]);
    }

    #[test]
    fn who_has_gone_gets_no_other_credential() {
        let mut bench = Bench::new(Some(turn()));
        let later = START.plus_ms(1_000);
        bench.connect(START, 1);
        bench.connect(later, 2);
        let connection = ConnectionId(1);
        bench.handle(later, Input::Closed { connection });
        let due = later.plus_ms(HALF_MS);
        assert_eq!(bench.run_until(due.plus_ms(1)), [(due, 1)]);
        assert_eq!(bench.told[&1].len(), 1);
        let connection = ConnectionId(2);
        bench.handle(due, Input::Closed { connection });
        assert_eq!(bench.hub.renewals.next_at(), None);
    }

    #[test]
    fn credentials_of_many_that_came_together_are_renewed_in_slices() {
        let mut bench = Bench::new(Some(turn()));
        (0..1_000).for_each(|number| bench.connect(START, number));
        let due = START.plus_ms(HALF_MS);
        let slices = bench.run_until(due.plus_ms(HALF_MS));
        let expected = (0..16).map(|slice: usize| {
            let count = (1_000 - slice * 64).min(64);
            (due.plus_ms(slice as u64 * SLICE_MS), count)
        });
        assert_eq!(slices, expected.collect::<Vec<_>>());
        assert!(bench.told.values().all(|told| told.len() == 2));
    }
}
