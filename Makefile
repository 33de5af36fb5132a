# Distli Mesh. `make help` lists what there is; CI calls nothing but these targets.
#
# Needed: git, a C compiler, rustup. Everything else is fetched into .tools/ or target/.
# DISTLI_TOOLS=<dir> keeps the wasm tools outside the clone, CARGO_TARGET_DIR moves target/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

TARGET := $(or $(CARGO_TARGET_DIR),target)
TOOLS := $(abspath $(or $(DISTLI_TOOLS),.tools))/bin
WASM := wasm32-unknown-unknown
BARE := thumbv7m-none-eabi
DIST := www/dist
# Debian keeps servers in /usr/sbin, which users have not always in their PATH.
export PATH := $(TOOLS):$(PATH):/usr/sbin

# Tests that need nats-server or coturn fail without them; without this variable, as in a bare `cargo test`, they say that they skip.
export DISTLI_SERVERS_NEEDED := 1

# The version of wasm-bindgen that Cargo.lock holds, and the one that crates/wasm-tools builds.
BINDGEN := $(shell sed -n '/^name = "wasm-bindgen"$$/{n;s/^version = "\(.*\)"$$/\1/p;q}' Cargo.lock)
BINDGEN_TOOLS := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p;' crates/wasm-tools/Cargo.toml | head -n 1)

# What the tracker is measured beside; no part of the product.
PEERS := $(TARGET)/peers
MATCHBOX := 0.15.0

# Everything but the wasm tools, which are not ours to lint, and the crates that need a browser to test.
OURS := --workspace --exclude wasm-tools
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
# With nextest all steps build the same selection, so that nothing is compiled twice for other features.
tests_of = $(if $(NEXTEST),cargo nextest run --locked --no-fail-fast $(OURS) -E '$(1)',cargo test --locked --no-fail-fast $(2))

say = @printf '\n\033[1m== %s\033[0m\n' "$(1)"

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  %-14s %s\n", $$1, $$2 }'

# --- run ---------------------------------------------------------------------------------------------------------

.PHONY: run
run: setup build ## Build all and start tracker, validator and dashboard on this machine (ARGS="--help" lists options)
	@exec $(TARGET)/quick/distli dev $(ARGS)

.PHONY: build
build: build-web ## Build the browser app and the services as `make run` starts them
	$(call say,Building the services)
	@cargo build --locked --profile quick -p distli

.PHONY: setup
setup: check-versions ## Install what the build needs: the wasm target and wasm-bindgen in Cargo.lock's version
	@command -v rustup >/dev/null || { echo "rustup is missing: see https://rustup.rs, then run this again"; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: on Debian, apt-get install gcc libc6-dev"; exit 1; }
	@rustup target list --installed | grep -qx $(WASM) || { \
	  printf '\n\033[1m== Adding the target $(WASM) to the Rust toolchain\033[0m\n'; rustup target add $(WASM); }
	@if [ "$$($(TOOLS)/wasm-bindgen --version 2>/dev/null)" != "wasm-bindgen $(BINDGEN)" ]; then \
	  printf '\n\033[1m== Building wasm-bindgen $(BINDGEN) into $(TOOLS) (once, one to three minutes)\033[0m\n'; \
	  cargo build --locked --profile tools -p wasm-tools; \
	  mkdir -p $(TOOLS); \
	  install $(TARGET)/tools/wasm-bindgen $(TARGET)/tools/wasm-bindgen-test-runner $(TOOLS)/; \
	fi

.PHONY: check-versions
check-versions:
	@[ "$(BINDGEN)" = "$(BINDGEN_TOOLS)" ] || { \
	  echo "Cargo.lock has wasm-bindgen $(BINDGEN), crates/wasm-tools builds $(BINDGEN_TOOLS)."; \
	  echo "Set both versions in crates/wasm-tools/Cargo.toml to $(BINDGEN) (package and wasm-bindgen-cli), then run"; \
	  echo "cargo update -p wasm-tools"; exit 1; }

.PHONY: build-web
build-web: setup ## Build the browser app into www/dist
	$(call say,Building the browser app)
	@cargo build --locked --release --target $(WASM) -p node-wasm
	@TARGET=$(TARGET) DIST=$(DIST) www/build.sh

# --- checks ------------------------------------------------------------------------------------------------------

.PHONY: test
test: setup browser servers ## Prove it: every check and test there is, in order, with the time each took
	@mkdir -p artifacts; : > artifacts/times; \
	for step in fmt names clippy doc unit js-test purity fuzz sim wasm-test e2e; do \
	  what=$$(sed -n "s/^$$step:.*## \(.*\)/\1/p" Makefile); \
	  printf '\n\033[1m== %s: %s\033[0m\n' "$$step" "$$what"; \
	  start=$$(date +%s); \
	  if $(MAKE) $$step; then result=ok; else result=FAILED; fi; \
	  printf '%-10s %-6s %5ss  %s\n' "$$step" "$$result" "$$(( $$(date +%s) - start ))" "$$what" >> artifacts/times; \
	  [ $$result = ok ] || { printf '\n'; cat artifacts/times; exit 1; }; \
	done; printf '\n'; cat artifacts/times

.PHONY: check
check: fmt names clippy doc ## Format, lints and documentation, warnings denied

.PHONY: fmt
fmt: ## The code is formatted
	@cargo fmt --all --check

.PHONY: names
names: ## Every test, file and target that the documents name exists (or is built: ignored by git)
	@missing=0; \
	for name in $$(grep -oh '`[a-z][a-z0-9_]*_[a-z0-9_]*`' ARCHITECTURE.md docs/adr/006*.md | tr -d '`' | awk 'length > 20' | sort -u); do \
	  git grep -qE "fn $$name\b" -- '*.rs' || { echo "no test is named $$name"; missing=1; }; \
	done; \
	for path in $$(grep -ohE '`(crates|shared|node-wasm|www|tracker|validator|dashboard|docs)/[A-Za-z0-9_./-]+`' ARCHITECTURE.md README.md docs/*.md | tr -d '`' | sort -u) \
	  $$(grep -ohE '\]\((docs/)?[A-Za-z0-9_./-]+\)' README.md | sed 's/^](//; s/)$$//'); do \
	  [ -e "$$path" ] || git check-ignore -q "$$path" || { echo "no such file: $$path"; missing=1; }; \
	done; \
	for target in $$(grep -ohE '`make [a-z0-9-]+`' README.md ARCHITECTURE.md | tr -d '`' | cut -d ' ' -f 2 | sort -u); do \
	  grep -q "^$$target:" Makefile || { echo "no such target: $$target"; missing=1; }; \
	done; \
	exit $$missing

.PHONY: clippy
clippy: ## No lint warns
	@cargo clippy --locked $(OURS) --all-targets -- -D warnings

.PHONY: doc
doc: ## The documentation builds without a warning
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked $(OURS) --no-deps --document-private-items

.PHONY: unit
unit: servers ## Unit and integration tests of every crate
	@$(call tests_of,not (package(sim) + package(e2e) + package(fuzz)),$(OURS) --exclude sim --exclude e2e --exclude fuzz)

.PHONY: js-test
js-test: ## The pure parts of the browser node's JavaScript, where node is installed (e2e runs all of it in a browser)
	@if command -v node >/dev/null; then node --test node-wasm/js/tests/*.test.js; else echo "node is not installed: skipped"; fi

.PHONY: sim
sim: ## Mesh and node of 3 to 50 peers under delay, loss, partition, crashes and hostile peers (DISTLI_SIM_SCENARIO='<line>' repeats a run)
	@if [ -n "$${DISTLI_SIM_SCENARIO:-}" ]; then \
	  cargo test --locked -p sim the_scenario_of_the_environment_holds -- --nocapture; \
	else export DISTLI_SIM_SECONDS="$${DISTLI_SIM_SECONDS:-270}"; \
	  $(call tests_of,package(sim),-p sim) $(if $(NEXTEST),--success-output immediate,-- --nocapture); fi

.PHONY: fuzz
fuzz: ## Mutated bytes for every decoder, FUZZ_SECONDS each (default 5; FUZZ_TARGET=<name> FUZZ_INPUT=<hex> repeats a finding)
	@export FUZZ_SECONDS="$${FUZZ_SECONDS:-5}"; \
	  $(call tests_of,package(fuzz),-p fuzz) $(if $(NEXTEST),--success-output immediate,-- --nocapture)

.PHONY: purity
purity: ## shared reads no clock, no randomness, no I/O: it builds for bare metal and for wasm32, without std crates
	@rustup target list --installed | grep -qx $(BARE) || rustup target add $(BARE)
	cargo check --locked -p shared --target $(BARE)
	cargo check --locked -p shared --target $(WASM) --tests
	@for crate in getrandom rand tokio mio socket2 web-sys js-sys wasm-bindgen std-shims; do \
	  if cargo tree --locked -p shared -e normal --target all -i $$crate 2>/dev/null | grep -q .; then \
	    echo "shared depends on $$crate, which needs a system underneath:"; \
	    cargo tree --locked -p shared -e normal --target all -i $$crate; exit 1; \
	  fi; \
	done; echo "shared depends on no crate that needs a system underneath"

.PHONY: wasm-test
wasm-test: setup browser ## The chain's rules and the browser node's own tests as wasm32, in headless Chromium
	@CHROMEDRIVER=$$(command -v chromedriver) CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner \
	  cargo test --locked --target $(WASM) -p node-wasm -p shared --test it --test web

.PHONY: e2e
e2e: build-web browser servers ## The whole story with real browsers and real processes; screenshots in artifacts/
	@cargo build --locked $(OURS) --bins
	@$(call tests_of,package(e2e),-p e2e) $(if $(NEXTEST),--test-threads 1,-- --test-threads 1)

.PHONY: browser
browser:
	@if ! { command -v chromedriver && { command -v chromium || command -v google-chrome || command -v chrome; }; } >/dev/null 2>&1; then \
	  echo "No Chrome or Chromium with its chromedriver found: installing Debian's chromium and chromium-driver"; \
	  $(call debian,chromium chromium-driver); \
	fi

# The tracker's tests run against a real NATS server (a cluster of trackers) and a real TURN server.
.PHONY: servers
servers:
	@missing=""; \
	command -v nats-server >/dev/null || missing="nats-server"; \
	{ command -v turnserver && command -v turnutils_uclient; } >/dev/null || missing="$${missing:+$$missing }coturn"; \
	if [ -n "$$missing" ]; then \
	  echo "Not found: $$missing, which tests of the tracker need: installing Debian's"; \
	  $(call debian,$$missing); \
	fi

# Installs packages where apt-get and root are at hand, else says how to do it by hand and fails.
debian = install="apt-get install -y --no-install-recommends $(1)"; \
  if ! command -v apt-get >/dev/null; then \
    echo "There is no apt-get here. Install what Debian calls $(1) by hand, so that it is found in PATH, and run this again"; exit 1; \
  elif [ "$$(id -u)" = 0 ]; then apt-get update -q && $$install; \
  elif sudo -n true 2>/dev/null; then sudo apt-get update -q && sudo $$install; \
  else echo "That needs root. Run: sudo $$install"; exit 1; fi

.PHONY: docker
docker: ## Build the image and prove docker-compose.yml, where docker is (ports 13030, 13031, 18080, 19090; not part of test)
	@docker/check.sh

.PHONY: deny
deny: ## Licences, sources and banned crates, where cargo-deny is installed
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; \
	else echo "cargo-deny is not installed (cargo install cargo-deny): skipped"; fi

# --- figures -----------------------------------------------------------------------------------------------------

.PHONY: bench
bench: bench-core bench-receipts bench-validators bench-reads bench-tracker bench-sim bench-web ## Measure; one line each: figure <name> <value> <unit>

.PHONY: bench-core
bench-core: ## Mining and validation on this processor
	@cargo build --locked --profile quick $(OURS) --bins
	@$(TARGET)/quick/bench core

.PHONY: bench-receipts
bench-receipts: ## How many of the receipts with a change in them are taken: none may be
	@cargo test --locked -q -p shared --lib no_mutated_receipt_is_accepted -- --nocapture | grep ^figure

.PHONY: bench-reads
bench-reads: ## What a read of the validator costs beside a bare axum route with the same bytes, in processor time; built as the image is (Linux)
	@cargo build --locked --release -p validator -p e2e --bins
	@$(TARGET)/release/bench reads

.PHONY: bench-validators
bench-validators: ## Updates/s, processor time an update and the time to a decision of 1, 4 and 7 validators as processes, with one of 4 dead, and catching up; built as the image is (SIZES=4 measures one size)
	@cargo build --locked --release -p validator -p e2e --bins
	@$(TARGET)/release/bench validators $(if $(SIZES),--sizes $(SIZES))

.PHONY: bench-tracker
bench-tracker: peers ## The tracker beside matchbox_server under one load: relays, connections, memory, latency, updates, the outbox; built as the image is (Linux; ONLY=relays,idle measures a part)
	@cargo build --locked --release -p tracker -p validator -p e2e --bins
	@$(TARGET)/release/bench tracker --matchbox $(PEERS)/bin/matchbox_server $(if $(ONLY),--figures $(ONLY))

.PHONY: peers
peers:
	@cargo install --list --root $(PEERS) | grep -qx 'matchbox_server v$(MATCHBOX):' || { \
	  printf '\n\033[1m== Building matchbox_server %s, to measure beside (once)\033[0m\n' "$(MATCHBOX)"; \
	  install="cargo install matchbox_server --version $(MATCHBOX) --root $(PEERS) --force"; \
	  $$install --locked || $$install; \
	}

.PHONY: bench-sim
bench-sim: ## How 500 simulated nodes spread a block and heal, and what a flood of orphans costs (virtual time, counted bytes)
	@cargo build --locked --profile quick $(OURS) --bins
	@$(TARGET)/quick/scale

.PHONY: bench-web
bench-web: build-web browser ## Mining and validation in Chromium, first load, the time to the other tab and the dashboard (ONLY="wasm catchup" measures a part)
	$(call say,Building what is measured)
	@cargo build --locked --profile quick $(OURS) --bins
	@cargo build --locked --release --target $(WASM) -p node-wasm --features bench
	@TARGET=$(TARGET) DIST=$(TARGET)/bench-web www/build.sh
	@cp crates/e2e/web/*.js crates/e2e/web/*.html $(TARGET)/bench-web/
	@DIST=$(TARGET)/bench-web crates/e2e/web/peers.sh
	@DISTLI_BENCH_WWW=$(TARGET)/bench-web $(TARGET)/quick/bench web $(ONLY)

.PHONY: soak
soak: build-web browser ## What takes long: the simulations with new seeds (SEEDS=<how many>, default 1000), an hour of the nemesis (SECONDS=<how long>), a hundred kills of the tracker (KILLS=<how many>), and a crowd of real tabs
	@DISTLI_SIM_SEEDS=$(or $(SEEDS),1000) cargo test --locked --release -p sim -- --nocapture
	@DISTLI_SIM_SEEDS=$(or $(SEEDS),1000) DISTLI_SIM_SECONDS=7200 DISTLI_SIM_FIRST=$$(date +%s) \
	  cargo test --locked --release -p validator --test sim -- --nocapture random
	@DISTLI_NEMESIS_SECONDS=$(or $(SECONDS),3600) DISTLI_NEMESIS_SEED=$$(date +%s) \
	  cargo test --locked -p validator --test nemesis -- --nocapture
	@DISTLI_CRASH_KILLS=$(or $(KILLS),100) DISTLI_CRASH_SEED=$$(date +%s) \
	  cargo test --locked -p tracker --test crash -- --nocapture killed
	@cargo build --locked --profile quick $(OURS) --bins
	@$(TARGET)/quick/soak

.PHONY: clean
clean: ## Remove what was built (not ./data)
	rm -rf $(DIST) artifacts node-wasm/pkg
	cargo clean
