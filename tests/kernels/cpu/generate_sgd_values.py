"""Records what torch.optim.SGD computes, without its own weight decay, in float64: sgd_values.json beside this file.

Each record: lr, momentum, nesterov, the start, a gradient a step, and p and the momentum buffer after the first and the
last of them."""

import json
import pathlib

import numpy
import torch


def digits(values):
    return [float(f"{v:.17g}") for v in numpy.asarray(values).reshape(-1)]


def sgd(rng, momentum, nesterov, steps=10, count=37):
    start = rng.standard_normal(count).round(4)
    gradients = (rng.standard_normal((steps, count)) * 0.1).round(4)
    p = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.05, momentum=momentum, nesterov=nesterov)
    after = []
    for g in gradients:
        p.grad = torch.tensor(g)
        optimizer.step()
        b = optimizer.state[p].get("momentum_buffer")  # absent without momentum, where it is the gradient
        after.append({"p": digits(p.detach().numpy()), "b": digits(g if b is None else b.numpy())})
    return {"lr": 0.05, "momentum": momentum, "nesterov": nesterov, "start": digits(start),
            "gradients": [digits(g) for g in gradients], "first": after[0], "last": after[-1]}


def main():
    rng = numpy.random.default_rng(20261130)
    values = {"torch": torch.__version__,
              "sgd": [sgd(rng, 0.0, False), sgd(rng, 0.9, False), sgd(rng, 0.9, True), sgd(rng, 0.5, True)]}
    path = pathlib.Path(__file__).with_name("sgd_values.json")
    path.write_text(json.dumps(values, separators=(",", ":")).replace('],"', '],\n"') + "\n")
    print(path.name, path.stat().st_size, "bytes")


main()
