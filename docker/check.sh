#!/bin/bash
# Builds the image and proves docker-compose.yml with it: the pages, a block's way through all three services, and that
# a stop is clean and loses nothing. Called by `make docker`; needs docker with compose, and curl. It runs as a project
# of its own, on other ports and with volumes that are gone afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

export COMPOSE_PROJECT_NAME=distli-check
export DISTLI_TRACKER_PORT=13030 DISTLI_TRACKER_OPS_PORT=13031 DISTLI_VALIDATOR_PORT=18080 DISTLI_DASHBOARD_PORT=19090
tracker=http://127.0.0.1:$DISTLI_TRACKER_PORT
operations=http://127.0.0.1:$DISTLI_TRACKER_OPS_PORT
validator=http://127.0.0.1:$DISTLI_VALIDATOR_PORT
dashboard=http://127.0.0.1:$DISTLI_DASHBOARD_PORT
services=(validator tracker dashboard)
# A genesis and its first block: those of shared/tests/vectors/core.json, as a peer reports them.
update=docker/update.json
stop_seconds_max=10

main() {
  find_compose
  trap finish EXIT
  step "Building the image"
  compose build
  step "Starting the stack"
  compose up -d
  all_healthy
  pages_are_served
  step "Registering a network, reporting a block"
  register
  report
  anchored
  step "Reading the measures"
  measured
  step "Trying what a service must not do"
  confined
  step "Stopping, and starting again with the same volumes"
  local before after
  before=$(state)
  stop_is_clean
  compose down
  compose up -d
  all_healthy
  anchored
  after=$(state)
  [ "$before" = "$after" ] || fail "the data changed: $before became $after"
  step "The stack of docker-compose.yml works"
}

find_compose() {
  docker info >/dev/null 2>&1 || fail "docker is not installed or its daemon does not run"
  if docker compose version >/dev/null 2>&1; then compose() { docker compose "$@"; }
  elif command -v docker-compose >/dev/null; then compose() { docker-compose "$@"; }
  else fail "docker has no compose"; fi
}

finish() {
  local result=$?
  if [ $result != 0 ]; then compose ps || true; compose logs --tail 30 || true; fi
  compose down --volumes >/dev/null 2>&1 || true
  exit $result
}

all_healthy() {
  local service
  for service in "${services[@]}"; do
    eventually "$service is healthy" is_healthy "$service"
  done
  eventually "the dashboard reaches the others" answers "$dashboard/health" '"status":"healthy"'
}

is_healthy() {
  [ "$(docker inspect -f '{{.State.Health.Status}}' "$(compose ps -q "$1")")" = healthy ]
}

pages_are_served() {
  local module
  answers "$tracker/" '<script type="module"' || fail "the tracker does not serve the app"
  answers "$dashboard/" '<script type="module"' || fail "the dashboard does not serve its page"
  module=$(curl -fsS -o /dev/null -w '%{content_type} %{size_download}' "$tracker/pkg/node_wasm_bg.wasm")
  [[ $module =~ ^application/wasm\ [0-9]{5,}$ ]] || fail "the app's module is served as: $module"
}

# Sends the tracker one WebSocket message. Its mask is zero, so that the text stands in the frame as it is.
register() {
  local genesis message length
  genesis=$(sed -n 's/.*"genesis": "\([0-9a-f]*\)".*/\1/p' $update)
  message="{\"type\":\"create_network\",\"genesis\":\"$genesis\",\"listed\":true}"
  exec 3<>"/dev/tcp/127.0.0.1/$DISTLI_TRACKER_PORT"
  printf '%s\r\n' "GET /ws HTTP/1.1" "Host: 127.0.0.1:$DISTLI_TRACKER_PORT" "Connection: Upgrade" "Upgrade: websocket" \
    "Sec-WebSocket-Version: 13" "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==" "" >&3
  # A final text frame with a mask, its length in two bytes, the mask.
  length=$(printf '\\x%02x\\x%02x' $((${#message} / 256)) $((${#message} % 256)))
  printf "\\x81\\xfe$length\\0\\0\\0\\0%s" "$message" >&3
  eventually "the tracker knows the network" answers "$tracker/api/networks/test/genesis" '"chain_id"'
  exec 3>&-
}

report() {
  local answer
  answer=$(curl -sS -H 'content-type: application/json' --data-binary @$update "$tracker/api/blockchain-update")
  [[ $answer == *'"new_blocks":1'* ]] || fail "the tracker answered the block with: $answer"
}

anchored() {
  local tip
  tip=$(sed -n 's/.*"block_hash": "\([0-9a-f]*\)".*/\1/p' $update)
  eventually "the validator has anchored the block" answers "$validator/api/tenants" "$tip"
  eventually "the dashboard shows it" answers "$dashboard/api/snapshot" "$tip"
}

measured() {
  answers "$operations/ready" '"ready":true' || fail "the tracker's operations port does not say that it is ready"
  answers "$operations/metrics" 'distli_tracker_networks 1' || fail "the tracker's measures do not count the network"
  answers "$operations/metrics" 'distli_tracker_validator_breaker{validator="1",state="closed"} 1' || fail "the measures do not show the validator"
}

confined() {
  local service
  for service in "${services[@]}"; do
    [ "$(compose exec -T "$service" id -u)" = 65532 ] || fail "$service runs as another user"
    if compose exec -T "$service" touch /usr/local/bin/x 2>/dev/null; then fail "$service can write to its programs"; fi
  done
}

# What must outlive the containers: the enterprise chain and its tip, the tracker's network.
state() {
  curl -fsS "$validator/api/genesis" "$validator/api/blocks" "$tracker/api/networks/test/genesis" | sha256sum
}

stop_is_clean() {
  local start service code ids=()
  for service in "${services[@]}"; do ids+=("$(compose ps -q "$service")"); done
  start=$SECONDS
  compose stop
  [ $((SECONDS - start)) -lt $stop_seconds_max ] || fail "the stop took $((SECONDS - start)) s"
  for code in $(docker inspect -f '{{.State.ExitCode}}' "${ids[@]}"); do
    [ "$code" = 0 ] || fail "a service ended with $code"
  done
}

answers() {
  local body
  body=$(curl -fsS --max-time 5 "$1" 2>/dev/null) && [[ $body == *"$2"* ]]
}

eventually() {
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "waited 60 s for: $what"
    sleep 0.5
  done
  echo "$what"
}

step() { printf '\n\033[1m== %s\033[0m\n' "$1"; }
fail() { echo "$1" >&2; exit 1; }

main; exit
