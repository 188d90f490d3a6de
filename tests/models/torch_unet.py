"""The reference in PyTorch: the milesial UNet with any number of base channels, the soft-Dice loss by its formula, a
reader of safetensors files and a writer (FORMATS: padded header, ordered by descending alignment, then name)."""

import json
import struct

import torch
import torch.nn.functional as F
from torch import nn


def double_conv(cin, cout, mid=None, bias=False):
    mid = mid or cout
    return nn.Sequential(
        nn.Conv2d(cin, mid, 3, padding=1, bias=bias), nn.BatchNorm2d(mid), nn.ReLU(inplace=True),
        nn.Conv2d(mid, cout, 3, padding=1, bias=bias), nn.BatchNorm2d(cout), nn.ReLU(inplace=True))


class DoubleConv(nn.Module):
    def __init__(self, cin, cout, mid=None, bias=False):
        super().__init__()
        self.double_conv = double_conv(cin, cout, mid, bias)

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, cin, cout, bias=False):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(cin, cout, bias=bias))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, cin, cout, bilinear, bias=False):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(cin, cout, cin // 2, bias)
        else:
            self.up = nn.ConvTranspose2d(cin, cin // 2, kernel_size=2, stride=2)
            self.conv = DoubleConv(cin, cout, bias=bias)

    def forward(self, x, skip):
        return self.conv(torch.cat([skip, self.up(x)], dim=1))


class OutConv(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 1)

    def forward(self, x):
        return self.conv(x)


class UNet(nn.Module):
    """x [N,channels,H,W], H and W multiples of 16 -> logits [N,classes,H,W]. bias: of convolutions before a batch norm,
    as in older releases."""

    def __init__(self, channels, classes, base=64, bilinear=False, bias=False):
        super().__init__()
        factor = 2 if bilinear else 1
        self.inc = DoubleConv(channels, base, bias=bias)
        self.down1 = Down(base, 2 * base, bias)
        self.down2 = Down(2 * base, 4 * base, bias)
        self.down3 = Down(4 * base, 8 * base, bias)
        self.down4 = Down(8 * base, 16 * base // factor, bias)
        self.up1 = Up(16 * base, 8 * base // factor, bilinear, bias)
        self.up2 = Up(8 * base, 4 * base // factor, bilinear, bias)
        self.up3 = Up(4 * base, 2 * base // factor, bilinear, bias)
        self.up4 = Up(2 * base, base, bilinear, bias)
        self.outc = OutConv(base, classes)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x4 = self.down3(x3)
        x = self.down4(x4)
        x = self.up1(x, x4)
        x = self.up2(x, x3)
        x = self.up3(x, x2)
        x = self.up4(x, x1)
        return self.outc(x)


def cross_entropy(logits, labels):
    return F.cross_entropy(logits, labels.long(), ignore_index=255)


def soft_dice_loss(logits, labels, smooth=1.0):
    """1 - mean over images and classes 1..C-1 of (2 sum p t + s) / (sum p + sum t + s), over the pixels that are not
    255. logits [N,C,H,W], labels [N,H,W]."""
    classes = logits.shape[1]
    counted = (labels != 255).unsqueeze(1).to(logits.dtype)
    p = logits.softmax(dim=1) * counted
    t = F.one_hot(torch.where(labels == 255, torch.zeros_like(labels), labels).long(), classes)
    t = t.permute(0, 3, 1, 2).to(logits.dtype) * counted
    both, prediction, truth = ((v[:, 1:]).sum(dim=(2, 3)) for v in (p * t, p, t))
    return 1 - ((2 * both + smooth) / (prediction + truth + smooth)).mean()


DTYPES = {torch.uint8: ("U8", 1), torch.float16: ("F16", 2), torch.bfloat16: ("BF16", 2), torch.float32: ("F32", 4),
          torch.float64: ("F64", 8), torch.int64: ("I64", 8)}


def write_safetensors(path, tensors, metadata=None):
    """tensors: name -> torch tensor of one of DTYPES."""
    header = {"__metadata__": metadata} if metadata else {}
    blobs, offset = [], 0
    for name in sorted(tensors, key=lambda n: (-DTYPES[tensors[n].dtype][1], n)):
        tensor = tensors[name].detach().contiguous()
        blob = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy().tobytes()
        header[name] = {"dtype": DTYPES[tensor.dtype][0], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for blob in blobs:
            file.write(blob)


TYPES = {"U8": torch.uint8, "F32": torch.float32, "I64": torch.int64}


def read_safetensors(path):
    """name -> torch tensor, of files of TYPES."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: torch.frombuffer(bytearray(data[slice(*info["data_offsets"])]), dtype=TYPES[info["dtype"]])
            .reshape(info["shape"]) for name, info in header.items()}
