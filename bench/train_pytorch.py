#!/usr/bin/env python3
"""The recipe of train_unet in PyTorch, for figures beside ours: same network, pictures, splits, losses and schedule.

    python3 bench/train_pytorch.py DIR [--model resnet34_unet] [--base-channels 8] [--classes 2] [--background 0|none]
        [--class-weights W,W,...] [-e 24] [-b 8] [--lr 1e-3] [--seed 0] [--threads 2]

DIR has images/, masks/ (class indices, 255 ignored; same names, PNG) and train.txt, val.txt, test.txt; all pictures have
one size, which is the network's. Against `train_unet DIR --image-size SIZE --augment flip` with the same options: Adam,
cross-entropy for -e epochs, the best by validation Dice, soft-Dice from there for a third of them at a tenth of the
rate, a cosine within each phase, flips in half of the draws. Prints an epoch a line and, last, the test figures of both
phases' best as JSON: Dice (mean over images) and IoU of all images as one (mean over classes, and each).
"""

import argparse
import copy
import json
import math
import os
import sys

import numpy
import torch
from PIL import Image

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "models"))
from torch_resnet34_unet import ResNet34UNet  # noqa: E402
from torch_unet import UNet  # noqa: E402

MEAN, DEVIATION = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


def read(folder, split):
    with open(os.path.join(folder, split + ".txt")) as file:
        names = [os.path.splitext(line.strip())[0] for line in file if line.strip()]
    images = [numpy.asarray(Image.open(os.path.join(folder, "images", n + ".png")).convert("RGB")) for n in names]
    labels = [numpy.asarray(Image.open(os.path.join(folder, "masks", n + ".png"))) for n in names]
    images = torch.from_numpy(numpy.stack(images)).permute(0, 3, 1, 2).contiguous()
    return images, torch.from_numpy(numpy.stack(labels))


def normalised(images):
    return ((images.float() / 255 - MEAN) / DEVIATION).contiguous(memory_format=torch.channels_last)


def soft_dice_loss(logits, labels, first, smooth=1.0):
    """As kernels/soft_dice.h has it: a group an image, classes from `first` on."""
    counted = (labels != 255).unsqueeze(1)
    p = logits.softmax(dim=1) * counted
    t = torch.nn.functional.one_hot(labels.long().clamp(max=logits.shape[1] - 1), logits.shape[1])
    t = t.permute(0, 3, 1, 2) * counted
    both, prediction, truth = (v[:, first:].sum(dim=(2, 3)) for v in (p * t, p, t))
    return 1 - ((2 * both + smooth) / (prediction + truth + smooth)).mean()


def figures(model, images, labels, batch, classes, first):
    """Dice, mean over images of the mean over the classes that are there; IoU of all images as one, a class each."""
    model.eval()
    total, scores = numpy.zeros((classes, 3)), []
    with torch.inference_mode():
        for begin in range(0, len(images), batch):
            predicted = model(normalised(images[begin:begin + batch])).argmax(dim=1).numpy()
            for guess, truth in zip(predicted, labels[begin:begin + batch].numpy()):
                guess, truth = guess[truth != 255], truth[truth != 255]
                counts = numpy.array([[(guess[truth == c] == c).sum(), (guess == c).sum(), (truth == c).sum()]
                                      for c in range(classes)], float)
                total += counts
                there = [2 * b / (p + t) for b, p, t in counts[first:] if p + t > 0]
                scores.append(numpy.mean(there) if there else 1.0)
    model.train()
    iou = [b / (p + t - b) if p + t > 0 else None for b, p, t in total]
    known = [v for v in iou[first:] if v is not None]
    return {"dice": float(numpy.mean(scores)), "iou_dataset": float(numpy.mean(known)), "iou": iou}


def train_phase(args, model, data, number, loss_of, epochs, lr, generator):
    images, labels = data["train"]
    first = 1 if args.background == "0" else 0
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    steps, step, best = math.ceil(len(images) / args.batch_size) * epochs, 0, None
    for epoch in range(epochs):
        order, total = torch.randperm(len(images), generator=generator), 0.0
        for begin in range(0, len(order), args.batch_size):
            chosen = order[begin:begin + args.batch_size]
            x, y = images[chosen], labels[chosen]
            flip = torch.rand(len(chosen), generator=generator) < 0.5
            x = torch.where(flip.reshape(-1, 1, 1, 1), x.flip(3), x)
            y = torch.where(flip.reshape(-1, 1, 1), y.flip(2), y)
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 + math.cos(math.pi * step / steps)) / 2
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model(normalised(x)), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
            step += 1
        val = figures(model, *data["val"], args.batch_size, args.classes, first)
        print(f"phase {number} epoch {epoch + 1}/{epochs} loss {total / len(images):.4f} val dice {val['dice']:.4f}",
              flush=True)
        if best is None or val["dice"] > best[0]:
            best = (val["dice"], copy.deepcopy(model.state_dict()))
    model.load_state_dict(best[1])
    return {"val_dice": best[0], **figures(model, *data["test"], args.batch_size, args.classes, first)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--model", choices=["unet", "resnet34_unet"], default="resnet34_unet")
    parser.add_argument("--base-channels", type=int, default=8)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--background", choices=["0", "none"], default="0")
    parser.add_argument("--class-weights", type=lambda text: torch.tensor([float(w) for w in text.split(",")]))
    parser.add_argument("-e", "--epochs", type=int, default=24)
    parser.add_argument("-b", "--batch-size", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    network = UNet if args.model == "unet" else ResNet34UNet
    model = network(3, args.classes, args.base_channels).to(memory_format=torch.channels_last)
    data = {split: read(args.data, split) for split in ("train", "val", "test")}
    first = 1 if args.background == "0" else 0

    def cross_entropy(logits, truth):
        return torch.nn.functional.cross_entropy(logits, truth.long(), args.class_weights, ignore_index=255)

    out = {"torch": torch.__version__, "seed": args.seed}
    out["phase1"] = train_phase(args, model, data, 1, cross_entropy, args.epochs, args.lr, generator)
    out["phase2"] = train_phase(args, model, data, 2, lambda x, y: soft_dice_loss(x, y, first),
                                max(1, args.epochs // 3), args.lr / 10, generator)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
