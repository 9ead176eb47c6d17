#!/usr/bin/env bash
# The import of an NSRL list beside what a user would do instead: sleuthkit's `hfind -i`, and SQLite's CSV import with an
# index for each kind. All make the same file searchable by MD5 and SHA-1. Prints one table.
# Usage: benches/peers/import.sh [ROWS, 10 million unless told]
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
rows="${1:-10000000}"

missing=()
command -v hfind >/dev/null || missing+=(sleuthkit)
command -v sqlite3 >/dev/null || missing+=(sqlite3)
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi

cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p hashward-index --bins --examples
programs="${CARGO_TARGET_DIR:-$root/target}/release"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$programs/examples/make_list" nsrl-v2 "$rows" > NSRLFile.txt
digest="$(sed -n 4p NSRLFile.txt | cut -d'"' -f4)" # an MD5 that every peer must know afterwards

hashward_import() {
    "$programs/hashward-index" import nsrl NSRLFile.txt --role ignorable > report.txt 2>/dev/null
    "$programs/hashward-index" lists | grep -q nsrl
}

hfind_import() {
    hfind -i nsrl-md5 NSRLFile.txt > /dev/null
    hfind -i nsrl-sha1 NSRLFile.txt > /dev/null
    hfind NSRLFile.txt "$digest" | grep -qv 'Hash Not Found'
}

sqlite_import() {
    sqlite3 nsrl.sqlite \
        'PRAGMA journal_mode = OFF' 'PRAGMA synchronous = OFF' '.import --csv NSRLFile.txt file' \
        'CREATE INDEX by_md5 ON file (MD5)' 'CREATE INDEX by_sha1 ON file ("SHA-1")' > /dev/null
    [ "$(sqlite3 nsrl.sqlite "SELECT count(*) > 0 FROM file WHERE MD5 = '$digest'")" = 1 ]
}

seconds() {
    local start
    start="$(date +%s.%N)"
    "$1"
    awk -v start="$start" -v end="$(date +%s.%N)" 'BEGIN { print end - start }'
}

cat NSRLFile.txt > /dev/null # all find it in the page cache
own="$(seconds hashward_import)"
echo "| import of $rows rows of NSRL v2 | s | hashward is |"
echo "|---|---:|---:|"
printf '| hashward-index import | %.1f | |\n' "$own"
for peer in hfind sqlite; do
    taken="$(seconds "${peer}_import")"
    awk -v peer="$peer" -v taken="$taken" -v own="$own" 'BEGIN { printf "| %s | %.1f | %.1f × |\n", peer, taken, taken / own }'
done
