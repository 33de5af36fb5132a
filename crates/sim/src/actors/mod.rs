//! Parties that break rules, one behaviour a file.

mod forger;

pub(crate) use self::forger::Forger;
