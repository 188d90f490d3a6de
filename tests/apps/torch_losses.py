"""The losses of a training run as PyTorch has them: the same pictures, weights and order as train_unet sees with
--init W --no-shuffle --augment none --schedule constant --phase2-epochs 0.

  torch_losses.py DATA WEIGHTS BATCH STEPS LR

DATA is a folder with images/, masks/ (indices, 255 ignored) and train.txt, PNGs of the network's size. Prints JSON:
the version of PyTorch, and for each loss (cross_entropy, dice) its values in float32 and float64. The recorded
torch_losses.json is the output for the data of torch_losses_test.cpp, which says how to record it anew."""

import json
import os
import sys

import numpy
import torch
from PIL import Image

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models"))
from torch_unet import UNet, cross_entropy, read_safetensors, soft_dice_loss  # noqa: E402

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def losses(data, weights, loss_of, dtype, batch, steps, lr):
    with open(os.path.join(data, "train.txt")) as file:
        names = file.read().split()
    def read(kind, name):
        return torch.from_numpy(numpy.array(Image.open(os.path.join(data, kind, name + ".png"))))
    images = torch.stack([read("images", name) for name in names]).to(dtype) / 255
    labels = torch.stack([read("masks", name) for name in names])
    images = ((images - torch.tensor(MEAN, dtype=dtype)) / torch.tensor(DEVIATION, dtype=dtype)).permute(0, 3, 1, 2)
    base, channels = weights["inc.double_conv.0.weight"].shape[:2]
    net = UNet(channels, weights["outc.conv.weight"].shape[0], base, bilinear="up1.up.weight" not in weights)
    net.load_state_dict(weights)
    net.to(dtype).train()
    adam = torch.optim.Adam(net.parameters(), lr=lr)
    out = []
    while len(out) < steps:
        for first in range(0, len(names), batch):  # the last batch of an epoch may be smaller
            adam.zero_grad()
            loss = loss_of(net(images[first:first + batch]), labels[first:first + batch])
            loss.backward()
            adam.step()
            out.append(loss.item())
    return out[:steps]


def main():
    torch.set_num_threads(1)
    data, weights = sys.argv[1], read_safetensors(sys.argv[2])
    batch, steps, lr = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
    result = {"torch": torch.__version__}
    for name, loss_of in (("cross_entropy", cross_entropy), ("dice", soft_dice_loss)):
        result[name] = {str(dtype).split(".")[1]: losses(data, weights, loss_of, dtype, batch, steps, lr)
                        for dtype in (torch.float32, torch.float64)}
    print(json.dumps(result, indent=1))


main()
