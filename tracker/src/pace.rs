//! The pace of one connection: when it is read, how long its turn lasts, when it is pinged and when it is given up.
//! Pure; the socket's driver tells it the time.
//!
//! A connection that has more to say than its turn allows queues behind all that have something to do for the first
//! time, as the sparse flows of FQ-CoDel (RFC 8290) do. It keeps its place whatever is written to it meanwhile.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Pace {
    heard_at: Instant,
    ping_at: Instant,
    /// Nothing is read before then.
    resume_at: Option<Instant>,
    turn_began: Instant,
    place: Place,
}

/// Where a connection stands in the queue of those that have more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Not in it: what comes is handled at once.
    Free,
    /// A message of it waits.
    Queued,
    /// The same, and its turn has come.
    Called,
}

/// What is due on a connection by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    /// It said nothing for too long.
    End,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            heard_at: now,
            ping_at: now + PING_INTERVAL,
            resume_at: None,
            turn_began: now,
            place: Place::Free,
        }
    }

    /// When something is due next.
    pub(crate) fn due_at(&self) -> Instant {
        self.resume_at
            .map_or(self.ping_at, |at| at.min(self.ping_at))
    }

    /// Whether to read from the client.
    pub(crate) fn reads(&self) -> bool {
        self.resume_at.is_none() && self.place == Place::Free
    }

    /// Whether to wait for the connection's turn.
    pub(crate) fn queues(&self) -> bool {
        self.place == Place::Queued
    }

    /// Whether to handle the message that waits.
    pub(crate) fn goes_on(&self) -> bool {
        self.resume_at.is_none() && self.place == Place::Called
    }

    /// Its turn has come, even if something else is to be ended first.
    pub(crate) fn called(&mut self) {
        if self.place == Place::Queued {
            self.place = Place::Called;
        }
    }

    /// Its turn begins with a message.
    pub(crate) fn begins(&mut self, now: Instant) {
        self.heard_at = now;
        self.turn_began = now;
        self.place = Place::Free;
    }

    /// Whether its turn is over.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.turn_began) >= TURN
    }

    /// A message waits when its turn is over.
    pub(crate) fn waits(&mut self) {
        self.place = Place::Queued;
    }

    /// Pauses for so long, unless it does already; says whether [`Self::due_at`] changed.
    pub(crate) fn pause(&mut self, now: Instant, pause: Duration) -> bool {
        let is_new = !pause.is_zero() && self.resume_at.is_none();
        if is_new {
            self.resume_at = Some(now + pause);
        }
        is_new
    }

    /// What is due now.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        self.resume_at = self.resume_at.filter(|at| *at > now);
        if self.ping_at > now {
            return Due::Nothing;
        }
        self.ping_at = now + PING_INTERVAL;
        if now.saturating_duration_since(self.heard_at) > PING_INTERVAL + PONG_TIMEOUT {
            Due::End
        } else {
            Due::Ping
        }
    }
}

const PING_INTERVAL: Duration = Duration::from_millis(limits::PING_INTERVAL_MS);
const PONG_TIMEOUT: Duration = Duration::from_millis(limits::PONG_TIMEOUT_MS);
/// How long one connection's messages are handled before others have their turn: short ones that came together go on
/// together, in one write.
const TURN: Duration = Duration::from_micros(25);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_turn_lasts_so_long_and_what_waits_then_is_not_passed() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.begins(start);
        assert!(!pace.is_over(start + TURN - Duration::from_nanos(1)));
        assert!(pace.is_over(start + TURN));
        pace.waits();
        assert!(pace.queues());
        assert!(
            !pace.reads(),
            "a later message would pass the one that waits"
        );
        assert!(!pace.goes_on(), "its turn has not come");
        pace.called();
        assert!(pace.goes_on());
        assert!(!pace.queues(), "it is called once");
        pace.begins(start + MS);
        assert!(pace.reads());
    }

    #[test]
    fn only_who_queues_is_called() {
        let mut pace = Pace::new(Instant::now());
        pace.called();
        assert!(!pace.goes_on());
        assert!(pace.reads());
    }

    #[test]
    fn a_pause_keeps_the_place_in_the_queue() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.waits();
        assert!(pace.pause(start, 5 * MS));
        assert!(!pace.pause(start, 9 * MS), "a pause is not made longer");
        assert!(pace.queues());
        pace.called();
        assert!(!pace.goes_on());
        assert_eq!(pace.due_at(), start + 5 * MS);
        assert_eq!(pace.due(start + 4 * MS), Due::Nothing);
        assert!(!pace.goes_on());
        assert_eq!(pace.due(start + 5 * MS), Due::Nothing);
        assert!(pace.goes_on());
    }

    #[test]
    fn a_pause_of_nothing_is_none() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert!(!pace.pause(start, Duration::ZERO));
        assert!(pace.reads());
    }

    #[test]
    fn who_answers_pings_is_kept_and_who_is_silent_is_given_up() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let first = start + PING_INTERVAL;
        assert_eq!(pace.due_at(), first);
        assert_eq!(pace.due(first - MS), Due::Nothing);
        assert_eq!(pace.due(first), Due::Ping);
        pace.begins(first + MS);
        assert_eq!(pace.due(first + PING_INTERVAL), Due::Ping);
        assert_eq!(pace.due(first + 2 * PING_INTERVAL), Due::End);
    }
}
