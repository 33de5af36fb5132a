use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

fn source(number: u32) -> Source {
    Source::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
}

fn small() -> Allowance {
    Allowance {
        connections_max: 3,
        arrivals_burst: 5,
        arrivals_per_second: 2,
        requests_burst: 4,
        requests_per_second: 1,
        places: 1_000,
        creations_burst: 2,
        creations_per_hour: 1_200,
    }
}

#[test]
fn the_burst_passes_and_the_next_is_told_when_to_come() {
    let mut addresses = Addresses::new(small());
    let now = TimestampMs(1_000);
    for _ in 0..4 {
        addresses.handle(now, source(1), Input::Requested).unwrap();
    }
    let refusal = addresses
        .handle(now, source(1), Input::Requested)
        .unwrap_err();
    assert_eq!(
        refusal,
        Refusal::Requests {
            allowed: 1,
            wait_ms: 1_000
        }
    );
    assert_eq!(refusal.retry_after_seconds(), 1);
    addresses.handle(now, source(2), Input::Requested).unwrap();
    let then = now.plus_ms(1_000);
    addresses.handle(then, source(1), Input::Requested).unwrap();
    assert_eq!(addresses.refused().requests, 1);
}

#[test]
fn a_class_registers_its_networks_at_once_and_nobody_fills_the_registry() {
    let mut addresses = Addresses::new(Allowance::default());
    let now = TimestampMs(1_000);
    for _ in 0..60 {
        addresses.handle(now, source(1), Input::Created).unwrap();
    }
    let refusal = addresses
        .handle(now, source(1), Input::Created)
        .unwrap_err();
    let (allowed, wait_ms) = (120, 30_000);
    assert_eq!(refusal, Refusal::Creations { allowed, wait_ms });
    assert_eq!(refusal.retry_after_seconds(), 30);
    assert_eq!(addresses.refused().creations, 1);
    addresses.handle(now, source(2), Input::Created).unwrap();
    let day_s = 24 * 3_600;
    let day = (0..day_s).map(|second| now.plus_ms(second * 1_000));
    let passed = day.filter(|at| addresses.handle(*at, source(1), Input::Created).is_ok());
    assert_eq!(passed.count(), 24 * 120 - 1);
}

#[test]
fn being_refused_costs_nothing() {
    let mut addresses = Addresses::new(small());
    let now = TimestampMs(1_000);
    let mut passed = 0;
    for ms in 0..10_000 {
        passed += u32::from(
            addresses
                .handle(now.plus_ms(ms), source(1), Input::Requested)
                .is_ok(),
        );
    }
    assert_eq!(
        passed,
        4 + 9,
        "the burst, and one for each second that passed"
    );
}

#[test]
fn a_few_addresses_never_have_all_places() {
    let mut addresses = Addresses::new(Allowance {
        arrivals_per_second: 0,
        places: 4_096,
        ..Allowance::default()
    });
    for input in [Input::Accepted, Input::Connected] {
        let mut take = |number: u32| {
            let now = TimestampMs(1_000);
            let taken = (0..).take_while(|_| addresses.handle(now, source(number), input).is_ok());
            taken.count()
        };
        assert_eq!(take(0), 500, "of a school");
        let harm: Vec<usize> = (1..100).map(&mut take).collect();
        assert_eq!(harm[0], 500);
        assert!(harm.iter().all(|taken| *taken >= 16), "{harm:?}");
        assert_eq!(harm.last(), Some(&16));
    }
    // Whoever leaves leaves room.
    let now = TimestampMs(1_000);
    for _ in 0..500 {
        addresses.handle(now, source(0), Input::Released).unwrap();
    }
    addresses.handle(now, source(200), Input::Accepted).unwrap();
}

#[test]
fn no_limit_is_none() {
    let none = Allowance {
        connections_max: 0,
        arrivals_burst: 0,
        arrivals_per_second: 0,
        requests_burst: 0,
        requests_per_second: 0,
        places: 1_000,
        creations_burst: 0,
        creations_per_hour: 0,
    };
    let mut addresses = Addresses::new(none);
    for _ in 0..10_000 {
        for input in [
            Input::Accepted,
            Input::Requested,
            Input::Connected,
            Input::Created,
        ] {
            addresses.handle(TimestampMs(0), source(1), input).unwrap();
        }
    }
}

#[test]
fn addresses_beyond_the_most_push_out_the_quietest_and_nobody_who_is_here() {
    let mut addresses = Addresses::new(small());
    let now = TimestampMs(1_000);
    let here = source(u32::MAX);
    for _ in 0..3 {
        addresses.handle(now, here, Input::Connected).unwrap();
    }
    let many = u32::try_from(limits::ADDRESSES_MAX).unwrap() + 1_000;
    for number in 0..many {
        addresses
            .handle(now.plus_ms(number.into()), source(number), Input::Requested)
            .unwrap();
    }
    assert_eq!(addresses.len(), limits::ADDRESSES_MAX);
    let late = now.plus_ms(u64::from(many));
    let refusal = addresses.handle(late, here, Input::Connected).unwrap_err();
    assert_eq!(refusal, Refusal::Connections { allowed: 3 });
    addresses.handle(late, here, Input::Disconnected).unwrap();
    addresses.handle(late, here, Input::Connected).unwrap();
}

/// What one address did, told naively.
#[derive(Default)]
struct Told {
    sockets: u32,
    connections: u32,
    /// When each passed.
    arrivals: Vec<u64>,
    requests: Vec<u64>,
    creations: Vec<u64>,
}

fn inputs() -> impl Strategy<Value = Vec<(u64, u32, Input)>> {
    let input = prop_oneof![
        Just(Input::Accepted),
        Just(Input::Released),
        Just(Input::Requested),
        Just(Input::Connected),
        Just(Input::Disconnected),
        Just(Input::Created),
        Just(Input::NotCreated),
    ];
    proptest::collection::vec((0_u64..700, 0_u32..4, input), 0..300)
}

/// No stretch of time had more than the burst and the rate allow.
fn held(times: &[u64], burst: u32, per_second: u32) -> bool {
    times.iter().enumerate().all(|(first, from)| {
        times.iter().skip(first).zip(1_u64..).all(|(to, count)| {
            let allowed_milli = u64::from(burst) * 1_000 + (to - from) * u64::from(per_second);
            count * 1_000 <= allowed_milli
        })
    })
}

proptest! {
    #[test]
    fn no_address_gets_more_than_its_allowance_and_none_pays_for_another(steps in inputs()) {
        let allowance = small();
        let mut addresses = Addresses::new(allowance);
        let mut alone: BTreeMap<u32, Addresses> = BTreeMap::new();
        let mut told: BTreeMap<u32, Told> = BTreeMap::new();
        let mut now = 1_000;
        for (pause, number, input) in steps {
            // A refusal comes at once, or the bucket has filled meanwhile.
            now += if input == Input::NotCreated { 0 } else { pause };
            let told = told.entry(number).or_default();
            // Pairs come in pairs.
            let is_possible = match input {
                Input::Released => told.sockets > 0,
                Input::Disconnected => told.connections > 0,
                Input::NotCreated => told.creations.last().is_some_and(|at| *at == now),
                Input::Accepted | Input::Requested | Input::Connected | Input::Created => true,
            };
            if !is_possible {
                continue;
            }
            let verdict = addresses.handle(TimestampMs(now), source(number), input);
            let apart = alone.entry(number).or_insert_with(|| Addresses::new(allowance));
            prop_assert_eq!(verdict, apart.handle(TimestampMs(now), source(number), input));
            match (input, verdict.is_ok()) {
                (Input::Accepted, true) => told.sockets += 1,
                (Input::Accepted, false) => prop_assert_eq!(told.sockets, allowance.connections_max),
                (Input::Released, _) => told.sockets -= 1,
                (Input::Connected, true) => {
                    told.connections += 1;
                    told.arrivals.push(now);
                }
                (Input::Disconnected, _) => told.connections -= 1,
                (Input::Requested, true) => told.requests.push(now),
                (Input::Created, true) => told.creations.push(now),
                (Input::NotCreated, _) => _ = told.creations.pop(),
                (Input::Requested | Input::Connected | Input::Created, false) => {}
            }
            prop_assert!(told.sockets <= allowance.connections_max);
            prop_assert!(told.connections <= allowance.connections_max);
        }
        for told in told.values() {
            prop_assert!(held(&told.arrivals, allowance.arrivals_burst, allowance.arrivals_per_second));
            // 1,200 an hour are one in three seconds.
            let thirds: Vec<_> = told.creations.iter().map(|at| at / 3).collect();
            prop_assert!(held(&thirds, allowance.creations_burst, 1));
            prop_assert!(held(&told.requests, allowance.requests_burst, allowance.requests_per_second));
        }
        let open = told.values().filter(|told| told.sockets + told.connections > 0).count();
        prop_assert_eq!(addresses.len() - addresses.quiet.len(), open);
    }
}
