#!/usr/bin/env bash
# hashward beside the reference, Pillow with PyPI `pdqhash` (Meta's C++), on the same pictures in the same run, one core
# each. Prints one table. Usage: benches/peers/hashing.sh
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
target="${CARGO_TARGET_DIR:-$root/target}"
venv="$target/peers/hashing"

if ! command -v python3 >/dev/null || ! python3 -c 'import ensurepip' 2>/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv >/dev/null
fi
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import pdqhash, PIL, numpy' 2>/dev/null; then
    python3 -m venv "$venv"
    # Where there is no wheel, pdqhash is compiled, which takes a C++ compiler and Python's headers.
    "$venv/bin/pip" install -q pdqhash pillow numpy || {
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq cmake g++ python3-dev >/dev/null
        "$venv/bin/pip" install -q pdqhash pillow numpy
    }
fi
exec "$venv/bin/python" "$root/benches/peers/hashing.py" "$root"
