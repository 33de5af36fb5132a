//! Frames: a logical message in chunks, and back.
