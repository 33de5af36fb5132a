//! The browser node without a browser around it: engines, a tracker and data channels in one process. The same tests run
//! natively and, on wasm32, in headless Chromium.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking and looks at what it is about only"
)]

mod chain;
mod files;
mod private;
mod pruning;
mod tabs;
mod world;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
