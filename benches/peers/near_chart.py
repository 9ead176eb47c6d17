"""Draws docs/near.svg from the figures of `cargo bench --bench near`.

Usage: target/near-venv/bin/python3 benches/peers/near_chart.py [target/near.csv] [docs/near.svg]; near.sh makes the
environment. Above codes of 256 bits, below of 64; left the time of a question against the number of codes, right against
the radius.
"""

import collections
import csv
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "near"  # the same figures give the same file
import matplotlib.pyplot as plt

ROOT = pathlib.Path(__file__).resolve().parents[2]
STYLES = {
    "flat": dict(color="tab:gray", marker="s"),
    "mih": dict(color="tab:blue", marker="o"),
    "bk_tree": dict(color="tab:green", marker="^"),
    "crate bk-tree": dict(color="tab:red", marker="x"),
}


def draw(axes, rows, across, title, lines):
    """A line for each (structure, *lines) over the column `across`."""
    series = collections.defaultdict(list)
    for row in rows:
        series[(row["structure"], *(row[line] for line in lines))].append((int(row[across]), float(row["ns"]) / 1e3))
    dashes = ["-", "--", ":"]
    kinds = sorted({key[1:] for key in series})
    for key, points in sorted(series.items()):
        name = key[0] + "".join(f", {int(part):,} codes" for part in key[1:])
        x, y = zip(*sorted(points))
        axes.plot(x, y, label=name, linestyle=dashes[kinds.index(key[1:])], markersize=4, **STYLES[key[0]])
    axes.set_yscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel("µs a question, one core")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def main():
    source = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target/near.csv"
    target = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs/near.svg"
    with source.open() as file:
        rows = [row for row in csv.DictReader(file) if row["what"] == "one question"]
    figure, grid = plt.subplots(2, 2, figsize=(11, 8))
    for (left, right), (bits, radius) in zip(grid, ((256, 31), (64, 8))):
        of_bits = [row for row in rows if int(row["bits"]) == bits]
        at_radius = [row for row in of_bits if int(row["radius"]) == radius]
        draw(left, at_radius, "codes", f"{bits} bits, radius {radius}", [])
        left.set_xscale("log")
        of_sizes = [row for row in of_bits if row["codes"] in ("1000000", "10000000")]
        draw(right, of_sizes, "radius", f"{bits} bits", ["codes"])
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})
    print(f"wrote {target}")


main()
