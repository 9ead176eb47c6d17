#!/usr/bin/env bash
# hashward beside what a user would pick instead: sleuthkit's hfind, SQLite and Redis, on the same digests in the same
# run. Prints one table. Usage: benches/peers/exact.sh [DIGESTS, 10 million unless told]
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"

missing=()
command -v hfind >/dev/null || missing+=(sleuthkit)
command -v redis-server >/dev/null || missing+=(redis-server)
command -v python3 >/dev/null || missing+=(python3)
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi

cargo build --quiet --release --workspace --manifest-path "$root/Cargo.toml"
exec python3 "$root/benches/peers/exact.py" "${1:-10000000}" "${CARGO_TARGET_DIR:-$root/target}/release"
