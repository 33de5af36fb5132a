//! The messages peers exchange.
