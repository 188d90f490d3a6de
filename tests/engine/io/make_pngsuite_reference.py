"""Records CRC-32 of the pixels that decode_image() and decode_mask() must give for a folder of PNG files, by a decoder
that shares no code with libpng. Versions when recorded: Python 3.11.7, pypng 0.20220715.0.

usage: make_pngsuite_reference.py PNGSUITE_FOLDER > pngsuite_reference.tsv
"""
import pathlib
import sys
import zlib

import png


def without_sbit(data):
    """The file without its sBIT chunk, by which pypng would rescale."""
    at, kept = 8, data[:8]
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] != b"sBIT":
            kept += data[at:end]
        at = end
    return kept


root = pathlib.Path(sys.argv[1])
print("path\twidth\theight\tchannels\timage crc32\tmask crc32 (- where a mask must be refused)")
for path in sorted(root.rglob("*.png")):
    data = without_sbit(path.read_bytes())
    width, height, rows, info = png.Reader(bytes=data).asDirect()
    depth = info["bitdepth"]
    samples = bytearray()
    for row in rows:
        if depth == 16:
            samples += bytes(v >> 8 for v in row)
        else:
            samples += bytes(v * 255 // (2**depth - 1) for v in row)
    mask = "-"
    width, height, rows, info = png.Reader(bytes=data).read()
    if info["planes"] == 1 and info["bitdepth"] <= 8:
        raw = [bytes(row) for row in rows]
        entries = len(info["palette"]) if "palette" in info else 256
        if max(max(row) for row in raw) < entries:
            mask = zlib.crc32(b"".join(raw))
    channels = len(samples) // (width * height)
    print(path.relative_to(root), width, height, channels, zlib.crc32(samples), mask, sep="\t")
