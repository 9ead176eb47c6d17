# What CI does, and the long runs it leaves out.

# Formatting, lints, the README's demo and tests.
check:
    .ci/run

# The benches behind docs/benchmarks.md.
bench:
    cargo bench --bench exact
    cargo bench --bench copies
    cargo bench --bench hashing
    cargo bench --bench near
    cargo bench --bench feeds
    cargo bench -p hashward-index --bench parse
    cargo bench -p hashward-index --bench import
    cargo bench --bench service
    cargo bench --bench http
    cargo bench --bench trusted
    cargo bench --bench steady

# An hour of mixed load, whether memory and descriptors are flat.
bench-hour:
    HASHWARD_BENCH_HOUR=1 cargo bench --bench steady -- hour

# The same with 100 million digests: about 15 GB of disk and half an hour.
bench-large:
    HASHWARD_BENCH_LARGE=1 cargo bench --bench exact
    HASHWARD_BENCH_LARGE=1 cargo bench --bench near
    HASHWARD_BENCH_LARGE=1 cargo bench --bench service
    HASHWARD_BENCH_LARGE=1 cargo bench --bench steady -- reloads
    HASHWARD_BENCH_LARGE=1 cargo bench -p hashward-index --bench import

# hashward beside hfind, SQLite and Redis on the same digests, and beside FAISS on the same codes.
peers:
    benches/peers/exact.sh
    benches/peers/near.sh
    benches/peers/import.sh
    benches/peers/hashing.sh

# docs/near.svg from the figures of the last `cargo bench --bench near`.
chart:
    target/near-venv/bin/python3 benches/peers/near_chart.py
