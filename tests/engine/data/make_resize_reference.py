"""Records what Pillow makes of small synthetic images, for resize_test.cpp. Versions when recorded: Python 3.11.7,
Pillow 12.3.0, NumPy 2.4.6. (Pillow 13 filters columns first for some shapes, which moves values by 1.)

usage: make_resize_reference.py > resize_reference.tsv
"""
import numpy as np
from PIL import Image

MODES = {1: "L", 3: "RGB", 4: "RGBX"}  # X: a fourth channel that Pillow does not take for alpha


def pattern(width, height, channels):
    """The same formula as in resize_test.cpp: byte i is the top byte of a 32-bit linear congruential sequence."""
    state, out = 12345, bytearray()
    for _ in range(width * height * channels):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(state >> 24)
    return np.frombuffer(bytes(out), np.uint8).reshape(height, width, channels)


CASES = [(13, 7, 5, 3), (5, 3, 13, 7), (16, 16, 8, 8), (31, 17, 8, 29), (1, 1, 4, 4), (40, 30, 1, 1), (9, 9, 9, 4),
         (9, 9, 4, 9), (50, 37, 16, 16), (12, 12, 12, 12)]
print("filter\tchannels\twidth\theight\tto width\tto height\tpixels")
for width, height, to_width, to_height in CASES:
    for channels, mode in MODES.items():
        source = pattern(width, height, channels)
        image = Image.frombytes(mode, (width, height), source.tobytes())
        for name, kind in (("bilinear", Image.Resampling.BILINEAR), ("nearest", Image.Resampling.NEAREST)):
            result = image.resize((to_width, to_height), kind)
            print(name, channels, width, height, to_width, to_height, result.tobytes().hex(), sep="\t")
