# What CI does, and the long runs it leaves out.

# Formatting, lints, the README's demo and tests.
check:
    .ci/run

# The benches behind docs/benchmarks.md.
bench:
    cargo bench --bench exact
    cargo bench --bench service

# The same with 100 million digests: about 15 GB of disk and half an hour.
bench-large:
    HASHWARD_BENCH_LARGE=1 cargo bench --bench exact
    HASHWARD_BENCH_LARGE=1 cargo bench --bench service

# hashward beside hfind, SQLite and Redis on the same digests.
peers:
    benches/peers/exact.sh
