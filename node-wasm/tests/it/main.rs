//! The browser node without a browser around it: engines, a tracker and data channels in one process. The same tests run
//! natively and, on wasm32, in headless Chromium.

mod chain;
mod files;
mod tabs;
mod world;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
