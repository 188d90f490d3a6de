"""Records what PyTorch computes for losses, Adam and running statistics: torch_values.json beside this file.

    python3 generate_torch_values.py

All in float64 on the CPU. Logits are multiples of 1/64, so that float32 holds them exactly.
"""

import json
import pathlib

import numpy
import torch
import torch.nn.functional as F


def case_inputs(rng, shape, ignored):
    n, h, w, c = shape
    logits = rng.integers(-320, 320, size=shape) / 64.0
    labels = rng.integers(0, c, size=(n, h, w))
    labels[rng.random((n, h, w)) < ignored] = 255
    return logits, labels


def digits(values):
    return [float(f"{v:.12g}") for v in numpy.asarray(values).reshape(-1)]


def to_nchw(logits):
    return torch.tensor(logits).permute(0, 3, 1, 2).contiguous().requires_grad_(True)


def cross_entropy(rng, shape, ignored, weighted):
    logits, labels = case_inputs(rng, shape, ignored)
    weights = rng.integers(1, 64, size=shape[3]) / 16.0 if weighted else None
    x = to_nchw(logits)
    loss = F.cross_entropy(x, torch.tensor(labels), weight=None if weights is None else torch.tensor(weights),
                           ignore_index=255)
    loss.backward()
    return {
        "shape": list(shape), "logits": digits(logits), "labels": labels.reshape(-1).tolist(),
        "weights": [] if weights is None else digits(weights), "loss": loss.item(),
        "gradient": digits(x.grad.permute(0, 2, 3, 1).numpy()),
    }


def soft_dice(rng, shape, ignored, smooth, batch, background):
    logits, labels = case_inputs(rng, shape, ignored)
    x = to_nchw(logits)
    target = torch.tensor(labels)
    counted = (target != 255).unsqueeze(1).double()
    truth = F.one_hot(torch.where(target == 255, torch.zeros_like(target), target), shape[3]).permute(0, 3, 1, 2).double()
    p, t = x.softmax(1) * counted, truth * counted
    axes = (0, 2, 3) if batch else (2, 3)
    dice = (2 * (p * t).sum(axes) + smooth) / (p.sum(axes) + t.sum(axes) + smooth)
    first = 0 if background or shape[3] == 1 else 1
    loss = 1 - dice[..., first:].mean()
    loss.backward()
    return {
        "shape": list(shape), "logits": digits(logits), "labels": labels.reshape(-1).tolist(), "smooth": smooth,
        "batch": batch, "background": background, "loss": loss.item(),
        "gradient": digits(x.grad.permute(0, 2, 3, 1).numpy()),
    }


def adam(rng, decoupled, weight_decay, steps=10, count=37):
    start = rng.standard_normal(count).round(4)
    gradients = (rng.standard_normal((steps, count)) * 0.1).round(4)
    p = torch.tensor(start, requires_grad=True)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = kind([p], lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=weight_decay)
    after = []
    for g in gradients:
        p.grad = torch.tensor(g)
        optimizer.step()
        state = optimizer.state[p]
        after.append({"p": digits(p.detach().numpy()), "m": digits(state["exp_avg"].numpy()),
                      "v": digits(state["exp_avg_sq"].numpy())})
    return {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "weight_decay": weight_decay,
            "decoupled": decoupled, "start": digits(start), "gradients": [digits(g) for g in gradients],
            "first": after[0], "last": after[-1]}


def main():
    rng = numpy.random.default_rng(20240607)
    values = {
        "versions": {"torch": torch.__version__, "numpy": numpy.__version__},
        "cross_entropy": [
            cross_entropy(rng, (2, 9, 13, 2), 0.1, False), cross_entropy(rng, (1, 8, 16, 2), 0.0, True),
            cross_entropy(rng, (1, 1, 1, 2), 0.0, False), cross_entropy(rng, (2, 3, 5, 1), 0.2, False),
            cross_entropy(rng, (1, 7, 11, 3), 0.3, True), cross_entropy(rng, (2, 4, 5, 12), 0.1, True),
            cross_entropy(rng, (1, 5, 4, 21), 0.1, False),
        ],
        "soft_dice": [
            soft_dice(rng, (2, 9, 13, 2), 0.1, 1.0, False, False), soft_dice(rng, (2, 8, 8, 2), 0.0, 0.0, False, True),
            soft_dice(rng, (3, 5, 5, 2), 0.2, 1.0, True, False), soft_dice(rng, (1, 1, 1, 2), 0.0, 1.0, False, False),
            soft_dice(rng, (2, 3, 5, 1), 0.2, 1.0, False, False), soft_dice(rng, (2, 5, 7, 3), 0.2, 1.0, False, True),
            soft_dice(rng, (2, 4, 5, 12), 0.1, 0.5, True, False), soft_dice(rng, (1, 5, 4, 21), 0.1, 1.0, False, False),
        ],
        "adam": [adam(rng, False, 0.0), adam(rng, False, 0.05), adam(rng, True, 0.05)],
    }
    path = pathlib.Path(__file__).with_name("torch_values.json")
    path.write_text(json.dumps(values, separators=(",", ":")).replace('],"', '],\n"') + "\n")
    print(path.name, path.stat().st_size, "bytes")


main()
