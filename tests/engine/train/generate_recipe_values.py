"""Records what PyTorch computes for the poly schedule and for an average of weights: recipe_values.json beside this file.

poly: get_last_lr() of PolynomialLR(SGD(lr=0.1), total_iters=8, power=0.9) before each of 8 steps and after the last.

averages: of a convolution and a batch norm that SGD moves in float64, what the network is after each step and what
swa_utils.AveragedModel(use_buffers=True, multi_avg_fn=get_ema_multi_avg_fn(decay)) has made of it; both flat: the
convolution's weight [3,2], the norm's weight and bias, its running mean and variance."""

import json
import pathlib

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def poly():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=8, power=0.9)
    rates = []
    for _ in range(9):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


def flat(net):
    conv, norm = net[0], net[1]
    parts = [conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var]
    return [value for part in parts for value in part.detach().reshape(-1).tolist()]


def average(decay, steps=6):
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1, bias=False), torch.nn.BatchNorm2d(3)).double()
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    out = {"decay": decay, "start": flat(net), "steps": []}
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(4, 2, 5, 5).double()).pow(3).mean().backward()
        optimizer.step()
        averaged.update_parameters(net)
        out["steps"].append({"trained": flat(net), "average": flat(averaged.module)})
    return out


def main():
    values = {"torch": torch.__version__, "poly": poly(), "averages": [average(0.9), average(0.3), average(0.999)]}
    path = pathlib.Path(__file__).with_name("recipe_values.json")
    path.write_text(json.dumps(values, separators=(",", ":")).replace("},", "},\n") + "\n")
    print(path.name, path.stat().st_size, "bytes")


main()
