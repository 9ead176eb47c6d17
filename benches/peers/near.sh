#!/usr/bin/env bash
# hashward's search by distance beside FAISS on the same codes in the same run, each on one core. Prints one table.
# Usage: benches/peers/near.sh [CODES, 1 million unless told]
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
target="${CARGO_TARGET_DIR:-$root/target}"

if [ ! -x "$target/near-venv/bin/python3" ]; then
    python3 -m venv "$target/near-venv"
    "$target/near-venv/bin/pip" install --quiet faiss-cpu numpy matplotlib
fi
cargo bench --quiet --manifest-path "$root/Cargo.toml" -p hashward --no-default-features --bench near --no-run
exec "$target/near-venv/bin/python3" "$root/benches/peers/near.py" "${1:-1000000}" "$root"
