//! A circuit breaker for each of several validators: one that failed again and again is left alone for a while and then tried
//! with one request.
//!
//! Purpose: a pure machine. Without it, every update would wait for a first validator that hangs before the next is asked, and
//! one that struggles to its feet would be met by all that waits at once.
//!
//! Closed: asked. Open: left alone until a time. Half-open: one request is on its way, and its end decides. What it does not do:
//! plan when an update is tried again, which the outbox does.
//!
//! Limits: [`limits::BREAKER_FAILURES_MAX`] failures in a row open it, for [`limits::BREAKER_FIRST_MS`], doubled up to
//! [`limits::BREAKER_MAX_MS`]; a request that never ends counts as failed after [`limits::FORWARD_TIMEOUT_MS`].

use shared::ids::TimestampMs;

use crate::limits;

/// See the module's text.
#[derive(Debug)]
pub struct Breaker {
    circuits: Vec<Circuit>,
}

/// How one validator's circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is asked.
    Closed,
    /// It is left alone, or nothing was to be asked since.
    Open,
    /// One request is on its way, and its end decides.
    HalfOpen,
}

impl State {
    /// Each once.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The word by which it is shown.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Circuit {
    Closed { failures: u32 },
    Open { until: TimestampMs, pause_ms: u64 },
    HalfOpen { until: TimestampMs, pause_ms: u64 },
}

impl Breaker {
    /// For so many validators, all of which may be asked.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            circuits: vec![Circuit::Closed { failures: 0 }; count],
        }
    }

    /// How each stands, in their order.
    #[must_use]
    pub fn states(&self) -> Vec<State> {
        let states = self.circuits.iter().map(|circuit| match circuit {
            Circuit::Closed { .. } => State::Closed,
            Circuit::Open { .. } => State::Open,
            Circuit::HalfOpen { .. } => State::HalfOpen,
        });
        states.collect()
    }

    /// Whether to ask this one now. If so, its end has to be told by [`Self::succeeded`] or [`Self::failed`].
    pub fn allows(&mut self, now: TimestampMs, index: usize) -> bool {
        let Some(circuit) = self.circuits.get_mut(index) else {
            return false;
        };
        match *circuit {
            Circuit::Closed { .. } => true,
            Circuit::Open { until, pause_ms } | Circuit::HalfOpen { until, pause_ms } => {
                let is_due = until <= now;
                if is_due {
                    let until = now.plus_ms(limits::FORWARD_TIMEOUT_MS);
                    *circuit = Circuit::HalfOpen { until, pause_ms };
                }
                is_due
            }
        }
    }

    /// It answered, whatever it said.
    pub fn succeeded(&mut self, index: usize) {
        if let Some(circuit) = self.circuits.get_mut(index) {
            *circuit = Circuit::Closed { failures: 0 };
        }
    }

    /// It was not reached, or failed.
    pub fn failed(&mut self, now: TimestampMs, index: usize) {
        let Some(circuit) = self.circuits.get_mut(index) else {
            return;
        };
        let pause_ms = match *circuit {
            Circuit::Closed { failures } => {
                let failures = failures.saturating_add(1);
                if failures < limits::BREAKER_FAILURES_MAX {
                    *circuit = Circuit::Closed { failures };
                    return;
                }
                limits::BREAKER_FIRST_MS
            }
            // Asked before it was opened.
            Circuit::Open { .. } => return,
            Circuit::HalfOpen { pause_ms, .. } => {
                pause_ms.saturating_mul(2).min(limits::BREAKER_MAX_MS)
            }
        };
        let until = now.plus_ms(pause_ms);
        *circuit = Circuit::Open { until, pause_ms };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: TimestampMs = TimestampMs(1_000);

    fn open(breaker: &mut Breaker, now: TimestampMs) {
        for _ in 0..limits::BREAKER_FAILURES_MAX {
            assert!(breaker.allows(now, 0));
            breaker.failed(now, 0);
        }
        assert!(!breaker.allows(now, 0));
    }

    #[test]
    fn who_failed_repeatedly_is_left_alone_and_then_tried_with_one_request() {
        let mut breaker = Breaker::new(2);
        open(&mut breaker, START);
        assert!(breaker.allows(START, 1), "the other one is asked");
        assert_eq!(breaker.states(), [State::Open, State::Closed]);
        let later = START.plus_ms(limits::BREAKER_FIRST_MS);
        assert!(!breaker.allows(TimestampMs(later.0 - 1), 0));
        assert!(breaker.allows(later, 0));
        assert!(!breaker.allows(later, 0), "one request only");
        assert_eq!(breaker.states(), [State::HalfOpen, State::Closed]);
        breaker.succeeded(0);
        assert_eq!(breaker.states(), [State::Closed; 2]);
        assert!((0..10).all(|_| breaker.allows(later, 0)));
        assert!(!breaker.allows(later, 2), "there is none");
    }

    #[test]
    fn each_failed_try_doubles_the_pause_up_to_the_longest() {
        let mut breaker = Breaker::new(1);
        open(&mut breaker, START);
        let (mut now, mut pause_ms) = (START, limits::BREAKER_FIRST_MS);
        for _ in 0..20 {
            now = now.plus_ms(pause_ms);
            assert!(!breaker.allows(TimestampMs(now.0 - 1), 0));
            assert!(breaker.allows(now, 0));
            breaker.failed(now, 0);
            pause_ms = (pause_ms * 2).min(limits::BREAKER_MAX_MS);
        }
        assert_eq!(pause_ms, limits::BREAKER_MAX_MS);
    }

    #[test]
    fn failures_between_successes_open_nothing() {
        let mut breaker = Breaker::new(1);
        for _ in 0..100 {
            for _ in 1..limits::BREAKER_FAILURES_MAX {
                breaker.failed(START, 0);
            }
            breaker.succeeded(0);
        }
        assert!(breaker.allows(START, 0));
    }

    #[test]
    fn late_failures_and_a_lost_try_keep_nobody_away_for_ever() {
        let mut breaker = Breaker::new(1);
        open(&mut breaker, START);
        let later = START.plus_ms(limits::BREAKER_FIRST_MS);
        breaker.failed(later, 0);
        assert!(
            breaker.allows(later, 0),
            "it was asked before it was opened"
        );
        let much_later = later.plus_ms(limits::FORWARD_TIMEOUT_MS);
        assert!(breaker.allows(much_later, 0), "the try was never answered");
    }
}
