"""Records what PyTorch computes for a small UNet into unet_parity.safetensors, the reference of unet_parity_test.cpp.

    python3 generate_unet_parity.py [OUT]          written with the versions in the file's __metadata__

Everything is computed in f64 from values that are exact in f32 and f64 alike: initial weights rounded to f32, images
u8 read as (u8 - 128) / 64. Batches of the training runs: b = step mod 4.

    images  U8  [4,N,H,W,3]     labels  U8  [4,N,H*W], 255 = ignored
  for each variant V of `transposed`, `bilinear`:
    V/initial/NAME              F32, parameters (running statistics begin at 0 and 1)
    V/logits                    F64 [N,C,H,W], batch 0, training mode
    V/loss/{cross_entropy,soft_dice}       F64 [1], batch 0
    V/gradient/{cross_entropy,soft_dice}/NAME    F64, batch 0
  and for `transposed`, Adam with PyTorch's defaults but for lr:
    transposed/losses           F64 [30], 20 steps of cross-entropy, then 10 of soft-Dice by the same Adam, lr 1e-3
    transposed/final/NAME       F64, parameters and running statistics after the 30 steps
    transposed/final_logits     F64 [N,C,H,W], batch 0, evaluation mode, after the 30 steps
    transposed/losses_1e-4      F64 [10], cross-entropy, lr 1e-4, from the initial weights
"""

import pathlib
import platform
import sys

import numpy
import torch

from torch_unet import UNet, cross_entropy, soft_dice_loss, write_safetensors

BASE, CLASSES, N, H, W = 2, 3, 2, 48, 32


def synthetic_batches():
    """Discs of class 1 and 2 over noise, their rims ignored; the last image has no class 2."""
    rng = numpy.random.RandomState(7)
    images = numpy.zeros((4, N, H, W, 3), numpy.uint8)
    labels = numpy.zeros((4, N, H, W), numpy.uint8)
    y, x = numpy.mgrid[0:H, 0:W]
    for b in range(4):
        for n in range(N):
            label = numpy.zeros((H, W), numpy.uint8)
            for c in (1, 2):
                radius = rng.uniform(5, 13)
                if (b, n) == (3, 1) and c == 2:
                    continue
                distance = numpy.hypot(y - rng.uniform(8, H - 8), x - rng.uniform(6, W - 6))
                label[distance < radius] = c
                label[numpy.abs(distance - radius) < 0.7] = 255
            colour = rng.uniform(40, 215, (256, 3))
            images[b, n] = numpy.clip(colour[label] + rng.normal(0, 25, (H, W, 3)), 0, 255)
            labels[b, n] = label
    return torch.from_numpy(images), torch.from_numpy(labels)


def initial_model(bilinear):
    torch.manual_seed(11)
    model = UNet(3, CLASSES, BASE, bilinear).double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            # Batch norms off their defaults, so that a mistake in gamma or beta shows.
            if p.dim() == 1 and "double_conv" in name:
                p.add_(0.2 * torch.randn_like(p))
            p.copy_(p.float().double())
    return model


def train(model, inputs, labels, lr, losses_of_steps):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for step, loss_of in enumerate(losses_of_steps):
        optimizer.zero_grad()
        loss = loss_of(model(inputs[step % 4]), labels[step % 4])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "unet_parity.safetensors"
    images, labels = synthetic_batches()
    inputs = (images.permute(0, 1, 4, 2, 3).double() - 128) / 64
    record = {"images": images, "labels": labels.flatten(2)}

    for variant in ("transposed", "bilinear"):
        bilinear = variant == "bilinear"
        for name, p in initial_model(bilinear).named_parameters():
            record[f"{variant}/initial/{name}"] = p.float()
        for kind, loss_of in (("cross_entropy", cross_entropy), ("soft_dice", soft_dice_loss)):
            model = initial_model(bilinear)
            logits = model(inputs[0])
            loss = loss_of(logits, labels[0])
            loss.backward()
            record[f"{variant}/logits"] = logits
            record[f"{variant}/loss/{kind}"] = loss.reshape(1)
            for name, p in model.named_parameters():
                record[f"{variant}/gradient/{kind}/{name}"] = p.grad

    model = initial_model(False)
    record["transposed/losses"] = train(model, inputs, labels, 1e-3, [cross_entropy] * 20 + [soft_dice_loss] * 10)
    for name, tensor in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            record[f"transposed/final/{name}"] = tensor
    model.eval()
    record["transposed/final_logits"] = model(inputs[0])
    record["transposed/losses_1e-4"] = train(initial_model(False), inputs, labels, 1e-4, [cross_entropy] * 10)

    versions = {"torch": torch.__version__, "numpy": numpy.__version__, "python": platform.python_version(),
                "base_channels": str(BASE), "classes": str(CLASSES)}
    write_safetensors(out, record, versions)
    print(f"{out}: {out.stat().st_size} bytes, {versions}")
    print("losses", record["transposed/losses"].tolist(), "\nlr 1e-4", record["transposed/losses_1e-4"].tolist())


if __name__ == "__main__":
    main()
