//! Every decoder of strangers' bytes, and of vote logs, as plain functions over bytes, and a driver that mutates good ones.
//!
//! A target panics if a decoder does: on any input, or because what it decoded does not encode to the same bytes again (where one
//! value has one form). The driver ([`Mutator`]) needs nothing but stable Rust; [`TARGETS`] can be handed to libFuzzer or AFL as
//! they are: `fuzz_target!(|data: &[u8]| (fuzz::target("block").unwrap().run)(data))`.
//!
//! What it deliberately does not do: coverage guidance, files. A failure prints its input in hex, and that input becomes a
//! test beside the decoder.

mod corpus;
mod enterprise;
mod machines;
mod mutator;
mod reported;
mod splits;
mod targets;
mod texts;
mod validators;

pub use self::{
    mutator::Mutator,
    targets::{TARGETS, Target, target},
};
