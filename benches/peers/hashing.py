"""The measuring half of hashing.sh: the bench makes the pictures and measures hashward, then the reference hashes them.

Both sides report the fastest of several runs on one core, which the machine's other work disturbed least. From pixels
both must give the same hash and quality, or the run ends.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import pdqhash
import PIL
from PIL import Image

ROWS = {
    "12MP/pixels/pdq": "pixels → PDQ, 12 megapixels",
    "12MP/jpeg/pdq": "JPEG file → PDQ, 12 megapixels",
    "512x512/pixels/pdq": "pixels → PDQ, 512 × 512",
    "512x512/jpeg/pdq": "JPEG file → PDQ, 512 × 512",
}
SECONDS = 4  # on each row


def hashward(root, folder):
    """Figures of the bench, and checksums of its answers: {name: (milliseconds, checksum)}."""
    command = ["cargo", "bench", "--quiet", "--manifest-path", f"{root}/Cargo.toml", "--bench", "hashing", "--", "pdq$"]
    environment = os.environ | {"HASHWARD_BENCH_PICTURES": str(folder)}
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = re.findall(r"^= (\S+) +([\d.]+) ms +answers (\w+)$", output, re.M)
    return {name: (float(time), int(checksum, 16)) for name, time, checksum in found}


def fastest(work):
    """Milliseconds, and the last answer."""
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        answer = work()
        best = min(best, time.perf_counter() - start)
    return best * 1e3, answer


def checksum(bits, quality):
    """The bench's checksum of an answer: FNV's step from zero."""
    total = 0
    for byte in np.packbits(bits.astype(np.uint8)).tobytes() + bytes([quality]):
        total = (total ^ byte) * 0x100000001B3 % 2**64
    return total


def reference(folder, name):
    picture, source, _ = name.split("/")
    if source == "pixels":
        pixels = np.asarray(Image.open(folder / f"{picture}.bmp").convert("RGB"))
        return fastest(lambda: pdqhash.compute(pixels))
    path = folder / f"{picture}.jpg"
    return fastest(lambda: pdqhash.compute(np.asarray(Image.open(path).convert("RGB"))))


def main():
    root = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="hashward-peers-") as name:
        folder = pathlib.Path(name)
        ours = hashward(root, folder)
        print(f"Pillow {PIL.__version__}, pdqhash {pdqhash.__version__}, one core\n")
        print("| | hashward, ms | Pillow and pdqhash, ms | ratio |")
        print("|---|---:|---:|---:|")
        for row, title in ROWS.items():
            time, answers = ours[row]
            reference_time, answer = reference(folder, row)
            if "/pixels/" in row and checksum(*answer) != answers:
                sys.exit(f"{row}: the reference's answer differs: quality {answer[1]}")
            print(f"| {title} | {time:.2f} | {reference_time:.1f} | {reference_time / time:.1f} × |")


main()
