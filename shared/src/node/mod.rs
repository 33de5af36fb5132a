//! One peer as a pure machine: sync, exchange, outbox, mining jobs.
