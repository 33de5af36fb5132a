//! `wasm-bindgen`: turns the compiled module into one that JavaScript can load.

fn main() -> anyhow::Result<()> {
    wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(std::env::args_os())
}
