//! hyper's timer for one connection: every deadline of it is watched by one alarm.
//!
//! hyper sets a deadline for every request's header and drops it when the header has come, nearly always in time. With a
//! timer of the runtime for each, that is a lock of all connections, three times a request. The alarm here is set once; it
//! rings at the earliest deadline it was set for, and is then set for the one that counts by then.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::time;

/// The timer of one connection; its sleeps are polled by that connection's task alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarm(Arc<Mutex<Option<Pin<Box<time::Sleep>>>>>);

impl Alarm {
    /// Ready when `deadline` has passed; until then the task is woken in time to ask again.
    fn poll(&self, deadline: time::Instant, context: &mut Context<'_>) -> Poll<()> {
        let mut alarm = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = alarm.get_or_insert_with(|| Box::pin(time::sleep_until(deadline)));
        if alarm.is_elapsed() || alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        loop {
            ready!(alarm.as_mut().poll(context));
            if alarm.deadline() >= deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
    }
}

impl Timer for Alarm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until {
            alarm: self.clone(),
            deadline: deadline.into(),
        })
    }

    fn now(&self) -> Instant {
        time::Instant::now().into()
    }
}

/// A deadline of a connection.
struct Until {
    alarm: Alarm,
    deadline: time::Instant,
}

impl Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(self.deadline, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_deadline_is_met_whether_it_is_set_before_or_after_another() {
        let (alarm, start) = (Alarm::default(), time::Instant::now());
        for (set, met) in [(300, true), (900, false), (200, true), (500, true)] {
            let began = time::Instant::now();
            let sleep = alarm.sleep(Duration::from_millis(set));
            if met {
                sleep.await;
                assert_eq!(began.elapsed(), Duration::from_millis(set));
            } else {
                // Polled, and given up.
                let given_up = time::timeout(Duration::from_millis(50), sleep).await;
                assert!(given_up.is_err(), "{set}");
            }
        }
        assert_eq!(start.elapsed(), Duration::from_millis(1_050));
    }
}
