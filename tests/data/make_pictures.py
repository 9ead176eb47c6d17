"""Writes small pictures in every format and pixel layout that hashward decodes, and what the reference makes of them.

The reference is Pillow's `Image.open(file).convert("RGB")` and then PyPI `pdqhash`. `expected.csv` holds, for each
file, the CRC-32 of those RGB bytes (empty where the format is lossy, so that decoders may differ by a grey level), the
hash and the quality.

Usage: python make_pictures.py   (needs numpy, pillow, pdqhash)
"""

import csv
import pathlib
import struct
import zlib

import numpy as np
import pdqhash
from PIL import Image

out = pathlib.Path(__file__).parent / "pictures"
out.mkdir(exist_ok=True)
WIDTH, HEIGHT = 90, 60


def waves(seed, top):
    """Smooth, of few different values, so that files stay small: 0 to `top`."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    plane = np.zeros((HEIGHT, WIDTH))
    for _ in range(4):
        fx, fy, phase = rng.uniform(0.4, 2.5, 3)
        plane += np.sin(2 * np.pi * (fx * x / WIDTH + fy * y / HEIGHT) + phase)
    plane = (plane - plane.min()) / np.ptp(plane)
    return np.round(np.round(plane * 12) / 12 * top)


def array(*planes, dtype=np.uint8):
    return np.stack(planes, -1).astype(dtype) if len(planes) > 1 else planes[0].astype(dtype)


def png(name, depth, colour, rows, *chunks):
    """A PNG that Pillow cannot write: sixteen bits in several channels, or fewer than eight."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0)
    body = [chunk(b"IHDR", header), *(chunk(*one) for one in chunks), chunk(b"IDAT", zlib.compress(data, 9))]
    (out / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body) + chunk(b"IEND", b""))


def packed(plane, bits):
    """Rows of samples of fewer than eight bits."""
    for row in plane.astype(np.uint8):
        digits = np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]
        yield np.packbits(digits.ravel()).tobytes()


red, green, blue, alpha = (waves(seed, 255) for seed in range(4))
grey = Image.fromarray(array(red))
rgb = Image.fromarray(array(red, green, blue))
rgba = Image.fromarray(array(red, green, blue, alpha))
grey_alpha = Image.fromarray(array(red, alpha))
palette = rgb.quantize(24, dither=Image.Dither.NONE)
bilevel = grey.point(lambda value: 255 * (value > 127)).convert("1", dither=Image.Dither.NONE)
deep = [waves(seed, 65535) for seed in range(4)]
grey16 = Image.fromarray(array(deep[0], dtype=np.uint16))
cmyk = Image.fromarray(array(red, green, blue, np.round(alpha / 3)), mode="CMYK")

rgb.save(out / "rgb.png", optimize=True)
rgba.save(out / "rgba.png", optimize=True)
grey.save(out / "grey.png", optimize=True)
grey_alpha.save(out / "grey-alpha.png", optimize=True)
palette.save(out / "palette.png", optimize=True)
palette.save(out / "palette-transparent.png", optimize=True, transparency=3)
grey.save(out / "grey-transparent.png", optimize=True, transparency=128)
bilevel.save(out / "bilevel.png", optimize=True)
grey16.save(out / "grey16.png", optimize=True)
png("grey2.png", 2, 0, packed(waves(0, 3), 2))
png("grey4.png", 4, 0, packed(waves(0, 15), 4))
png("rgb16.png", 16, 2, (row.tobytes() for row in array(*deep[:3], dtype=">u2")))
png("rgba16.png", 16, 6, (row.tobytes() for row in array(*deep, dtype=">u2")))
png("grey16-alpha.png", 16, 4, (row.tobytes() for row in array(*deep[:2], dtype=">u2")))
second = Image.fromarray(array(blue, red, green))
rgb.save(out / "animated.png", save_all=True, append_images=[second], default_image=False)

palette.save(out / "palette.gif")
palette.save(out / "palette-transparent.gif", transparency=3)
palette.save(out / "animated.gif", save_all=True, append_images=[second.quantize(24)])
grey.save(out / "grey.gif")
plain = (out / "palette.gif").read_bytes()
# The same with a first picture that leaves a margin of the screen bare.
(out / "margin.gif").write_bytes(plain[:6] + struct.pack("<HH", WIDTH + 20, HEIGHT + 10) + plain[10:])
shifted = (out / "palette-transparent.gif").read_bytes()
(out / "margin-transparent.gif").write_bytes(shifted[:6] + struct.pack("<HH", WIDTH + 20, HEIGHT + 10) + shifted[10:])

palette.save(out / "palette.bmp")
bilevel.save(out / "bilevel.bmp")

rgb.save(out / "lossless.webp", lossless=True)
rgba.save(out / "lossless-alpha.webp", lossless=True, exact=True)
rgb.save(out / "lossy.webp", quality=80)
rgba.save(out / "lossy-alpha.webp", quality=80, exact=True)
rgb.save(out / "animated.webp", save_all=True, append_images=[second], lossless=True)

rgb.save(out / "rgb.tif", compression="tiff_adobe_deflate")
rgba.save(out / "rgba.tif", compression="tiff_lzw")
grey.save(out / "grey.tif", compression="packbits")
palette.save(out / "palette.tif", compression="tiff_lzw")
bilevel.save(out / "bilevel.tif", compression="group4")
grey16.save(out / "grey16.tif", compression="tiff_lzw")
cmyk.save(out / "cmyk.tif", compression="tiff_adobe_deflate")
grey.save(out / "turned.tif", compression="tiff_lzw", tiffinfo={274: 6})
grey.save(out / "two.tif", compression="tiff_lzw", save_all=True, append_images=[second.convert("L")])

exif = Image.Exif()
exif[274] = 6
for name, picture, options in [
    ("444.jpg", rgb, {"subsampling": 0}),
    ("422.jpg", rgb, {"subsampling": 1}),
    ("420.jpg", rgb, {"subsampling": 2}),
    ("progressive.jpg", rgb, {"progressive": True}),
    ("restarts.jpg", rgb, {"restart_marker_blocks": 3}),
    ("grey.jpg", grey, {}),
    ("rgb.jpg", rgb, {"keep_rgb": True}),
    ("cmyk.jpg", cmyk, {}),
    ("turned.jpg", rgb, {"exif": exif}),
]:
    picture.save(out / name, quality=90, **options)

with (out / "expected.csv").open("w", newline="") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["file", "rgb_crc32", "pdq", "quality"])
    for path in sorted(path for path in out.iterdir() if path.suffix != ".csv"):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        lossy = path.suffix == ".jpg" or path.name.startswith("lossy")
        bits, quality = pdqhash.compute(pixels)
        rows.writerow([
            path.name,
            "" if lossy else f"{zlib.crc32(pixels.tobytes()):08x}",
            np.packbits(bits.astype(np.uint8)).tobytes().hex(),
            quality,
        ])
