#!/usr/bin/env bash
# Schemathesis against a running daemon: requests made from /openapi.json, good and bad ones, and every answer held against
# it. Once with a token that may do everything, and once as a stranger who may do nothing.
#
#   tests/http/schemathesis.sh [HASHWARD]     the program to test; target/debug/hashward if none is named
#
# Needs Python 3.10 or later with venv. The packages of requirements.txt are installed from PyPI into target/, once.
set -euo pipefail
cd "$(dirname "$0")"
hashward="$(realpath "${1:-../../target/debug/hashward}")"
target="$(realpath ../../target)"
venv="$target/schemathesis-venv"

if ! cmp -s requirements.txt "$venv/installed"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement requirements.txt || {
        echo "schemathesis.sh: cannot install requirements.txt from PyPI; nothing was tested" >&2
        exit 1
    }
    cp requirements.txt "$venv/installed"
fi

folder="$(mktemp -d)"
daemon=
trap 'test -z "$daemon" || { kill "$daemon"; wait "$daemon" || true; }; rm -rf "$folder"' EXIT
port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
token="$("$hashward" token 2> "$folder/digest")"
digest="$(grep -o 'blake3:[0-9a-f]*' "$folder/digest")"
cat > "$folder/hashward.toml" <<TOML
data = "data"

[[listen]]
address = "unix:data/hashward.sock"

[[listen]]
address = "tcp:127.0.0.1:$port"
protocol = "http"
rights = ["lookup", "content", "detail", "import", "suppress", "audit", "admin"]

[[principal]]
name = "tester"
token = "$digest"
rights = ["lookup", "content", "detail", "import", "suppress", "audit", "admin"]
TOML
RUST_LOG=error "$hashward" serve --config "$folder/hashward.toml" 2> "$folder/log" &
daemon=$!
url="http://127.0.0.1:$port"
ask() { curl --silent --fail --show-error --max-time 10 --header "authorization: Bearer $token" "$@"; }
curl --silent --fail --retry 60 --retry-delay 1 --retry-connrefused --max-time 60 "$url/health/ready" > /dev/null

# Something to ask about, with a past: two lists, one of which has withdrawn something, and a suppression.
md5=5d41402abc4b2a76b9719d911017c592 other=900150983cd24fb0d6963f7d28e17f72
entry() { printf '{"source_id":"%s","fingerprints":["md5:%s"],"category":"US:1","flags":["distributed"]}' "$1" "$2"; }
ask --data "{\"role\":\"illegal\",\"entries\":[$(entry 1 $md5),$(entry 2 $other)]}" "$url/v1/lists/own/entries" > /dev/null
ask --data "{\"role\":\"ignorable\",\"entries\":[$(entry 1 $other)]}" "$url/v1/lists/other/entries" > /dev/null
ask --data "{\"fingerprints\":[\"md5:$other\"]}" "$url/v1/lists/own/withdrawals" > /dev/null
ask --data "{\"fingerprint\":\"md5:$md5\",\"scope\":\"entry\",\"author\":\"a\",\"reason\":\"b\"}" "$url/v1/suppressions" > /dev/null

# What it keeps of a run goes with the folder.
config="$PWD/schemathesis.toml"
cd "$folder"
run() { "$venv/bin/schemathesis" --config-file "$config" run --checks all "$@" "$url/openapi.json"; }
failed=0
echo "== with a token that may do everything"
run --header "authorization: Bearer $token" || failed=1
echo "== as a stranger"
run || failed=1
# Whatever was asked, the daemon is still there, and knows what it knew.
test "$(ask "$url/health/live")" = '{"status":"live"}'
kill -0 "$daemon"
if grep -i panic "$folder/log"; then failed=1; fi
exit "$failed"
