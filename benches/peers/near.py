"""The measuring half of near.sh: makes codes, runs FAISS and hashward on them, checks the answers, prints one table.

Codes are spread evenly. Every index gets the same codes and the same questions, one in eight within the radius of a
code. FAISS is held to one thread and asked in one call for all questions, which costs it least; hashward is asked one by
one and in batches of 32. The exact ones must give equally many answers, or the run ends. `IndexBinaryHash` is not exact,
and its share of the answers is told.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

import faiss
import numpy

SAMPLES = 3  # of which the fastest counts
CASES = [(256, 31), (64, 8)]  # bits, radius
HIT_EVERY = 8


def make(bits, radius, count):
    """Sorted codes and questions, as rows of bytes."""
    rng = numpy.random.default_rng(1)
    codes = numpy.unique(rng.integers(0, 256, (count, bits // 8), dtype=numpy.uint8), axis=0)
    questions = rng.integers(0, 256, (1024, bits // 8), dtype=numpy.uint8)
    for row in range(0, len(questions), HIT_EVERY):
        code = numpy.unpackbits(codes[rng.integers(len(codes))])
        code[rng.choice(bits, rng.integers(radius + 1), replace=False)] ^= 1
        questions[row] = numpy.packbits(code)
    return codes, questions


def ask(index, questions, radius):
    """Nanoseconds a question, and how many answers."""
    fastest = float("inf")
    for _ in range(SAMPLES):
        start = time.perf_counter()
        limits, _, _ = index.range_search(questions, radius + 1)  # FAISS asks for less than the radius
        fastest = min(fastest, time.perf_counter() - start)
    return fastest / len(questions) * 1e9, int(limits[-1])


def peers(bits, radius, codes, questions):
    """(name, nanoseconds, questions, answers, seconds to build) of each FAISS index."""
    chunks = bits // 16
    multi = faiss.IndexBinaryMultiHash(bits, chunks, 16)
    multi.nflip = -(-(radius + 1) // chunks) - 1  # the fewest flips a chunk with which nothing is missed
    hashed = faiss.IndexBinaryHash(bits, 20)
    hashed.nflip = 2
    for name, index, few in (
        ("FAISS IndexBinaryFlat", faiss.IndexBinaryFlat(bits), 64),
        (f"FAISS IndexBinaryMultiHash {chunks}×16, {multi.nflip} flips", multi, len(questions)),
        ("FAISS IndexBinaryHash 20 bits, 2 flips", hashed, len(questions)),
    ):
        start = time.perf_counter()
        index.add(codes)
        built = time.perf_counter() - start
        asked = questions[:few]
        ns, answers = ask(index, asked, radius)
        yield name, ns, len(asked), answers, built


def hashward(folder, root, bits, radius):
    bench = ["cargo", "bench", "--quiet", "-p", "hashward", "--no-default-features", "--bench", "near", "--"]
    command = [*bench, "--peer", folder, str(bits // 8), str(radius)]
    output = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        name, ns, asked, answers, built, _ = line.split("\t")
        yield name, float(ns), int(asked), int(answers), float(built)


def main():
    count, root = int(sys.argv[1]), sys.argv[2]
    faiss.omp_set_num_threads(1)
    print(f"{count:,} codes, faiss-cpu {faiss.__version__} ({faiss.get_compile_options().strip()}), one core\n")
    print("| bits | radius | index | µs a question | hashward mih is | of the answers | built, s |")
    print("|---:|---:|---|---:|---:|---:|---:|")
    for bits, radius in CASES:
        with tempfile.TemporaryDirectory(prefix="hashward-near-") as name:
            folder = pathlib.Path(name)
            codes, questions = make(bits, radius, count)
            codes.tofile(folder / "codes")
            questions.tofile(folder / "questions")
            rows = [*hashward(str(folder), root, bits, radius), *peers(bits, radius, codes, questions)]
        all_answers = {asked: answers for _, _, asked, answers, _ in rows[:3]}
        best = rows[0][1]
        for name, ns, asked, answers, built in rows:
            if "IndexBinaryHash" not in name and answers != all_answers[asked]:
                sys.exit(f"{name} gave {answers} answers where there are {all_answers[asked]}")
            share = answers / all_answers[asked]
            print(f"| {bits} | {radius} | {name} | {ns / 1e3:,.1f} | {ns / best:,.1f} × | {share:.0%} | {built:.1f} |")


main()
