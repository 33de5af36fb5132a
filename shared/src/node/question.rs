//! A question to the tracker that is asked again: one at a time, after failures with a growing pause.

use super::limits;
use crate::ids::TimestampMs;

/// When it is asked, and whether an answer is waited for.
#[derive(Debug, Default)]
pub(super) struct Question {
    pub(super) ask_at: TimestampMs,
    deadline: Option<TimestampMs>,
    failures: u32,
}

impl Question {
    /// Whether it is to be asked now; then an answer is waited for. One that did not come in time has failed.
    pub(super) fn is_asked(&mut self, now: TimestampMs, is_wanted: bool) -> bool {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.on_failed(now);
        }
        let is_asked = is_wanted && self.deadline.is_none() && self.ask_at <= now;
        if is_asked {
            self.deadline = Some(now.plus_ms(limits::PROOF_TIMEOUT_MS));
        }
        is_asked
    }

    /// A good answer came; it is not asked again before `ask_at`.
    pub(super) const fn on_answered(&mut self, ask_at: TimestampMs) {
        (self.deadline, self.failures, self.ask_at) = (None, 0, ask_at);
    }

    /// No answer came, or a bad one; nothing if none was waited for.
    pub(super) fn on_failed(&mut self, now: TimestampMs) {
        if self.deadline.take().is_some() {
            let pause = limits::PROOF_INTERVAL_MS
                .saturating_mul(1 << self.failures.min(16))
                .min(limits::PROOF_INTERVAL_MS_MAX);
            self.failures = self.failures.saturating_add(1);
            self.ask_at = now.plus_ms(pause);
        }
    }

    /// Whether it failed since the last good answer.
    pub(super) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// When something is to be done although nothing happens.
    pub(super) fn due_at(&self) -> TimestampMs {
        self.deadline.unwrap_or(self.ask_at)
    }
}
