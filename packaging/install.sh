#!/bin/sh
# Installs what `cargo build --release --workspace` has built: programs, man pages, completions, units and a config.
#
#   packaging/install.sh                       to /usr
#   DESTDIR=/tmp/root packaging/install.sh     below a folder, as packages are made
#   PREFIX=/usr/local packaging/install.sh     programs and pages elsewhere; units name the programs there
#
# A config that is there already stays. Nothing is started.
set -eu

DESTDIR="${DESTDIR:-}"
PREFIX="${PREFIX:-/usr}"
BUILT="${BUILT:-target/release}"

cd "$(dirname "$0")/.."
for program in hashward hashward-index; do
    if [ ! -x "$BUILT/$program" ]; then
        echo "install.sh: expected $BUILT/$program, found none; cargo build --release --workspace" >&2
        exit 1
    fi
done

made="$(mktemp -d)"
trap 'rm -rf "$made"' EXIT
for program in hashward hashward-index; do
    install -D -m 755 "$BUILT/$program" "$DESTDIR$PREFIX/bin/$program"
    "$BUILT/$program" generate man "$made/man"
    "$BUILT/$program" generate completions "$made/completions"
    install -D -m 644 "$made/completions/$program.bash" "$DESTDIR$PREFIX/share/bash-completion/completions/$program"
    install -D -m 644 "$made/completions/_$program" "$DESTDIR$PREFIX/share/zsh/vendor-completions/_$program"
    install -D -m 644 "$made/completions/$program.fish" "$DESTDIR$PREFIX/share/fish/vendor_completions.d/$program.fish"
done
install -d "$DESTDIR$PREFIX/share/man/man1"
install -m 644 "$made"/man/*.1 "$DESTDIR$PREFIX/share/man/man1/"

for unit in hashward.service hashward.socket; do
    sed "s|/usr/bin/hashward|$PREFIX/bin/hashward|" "packaging/systemd/$unit" > "$made/$unit"
    install -D -m 644 "$made/$unit" "$DESTDIR$PREFIX/lib/systemd/system/$unit"
done
install -D -m 644 packaging/sysusers.d/hashward.conf "$DESTDIR$PREFIX/lib/sysusers.d/hashward.conf"
install -d -m 750 "$DESTDIR/etc/hashward" "$DESTDIR/etc/hashward/conf.d"
if [ ! -e "$DESTDIR/etc/hashward/hashward.toml" ]; then
    install -m 640 packaging/hashward.toml "$DESTDIR/etc/hashward/hashward.toml"
fi
