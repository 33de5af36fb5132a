//! Turns: as many at once as there are processors, for those who may wait.

use std::num::NonZero;
use std::thread::available_parallelism;

use tokio::sync::{Semaphore, SemaphorePermit};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

/// Held while one that may wait is served.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self::of(available_parallelism().map_or(1, NonZero::get))
    }

    pub(crate) fn of(turns: usize) -> Self {
        Self(Semaphore::new(turns))
    }

    /// The next turn, in the order of asking, behind all that have something to do already.
    pub(crate) async fn next(&self) -> Turn<'_> {
        let permit = self.0.acquire().await.ok();
        tokio::task::yield_now().await;
        Turn { _permit: permit }
    }
}
