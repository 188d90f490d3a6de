"""State dicts as PyTorch's users save them, and their tensors in a format that is read by other code.

    torch_files.py FOLDER

Writes FOLDER/NAME.pth and, with the same tensors, FOLDER/NAME.safetensors; files of other kinds that PyTorch writes as
FOLDER/NAME.other. Prints the names of both kinds."""

import argparse
import collections
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "models"))
from torch_unet import write_safetensors  # noqa: E402  (found by the line above)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 5, 3)
        self.norm = torch.nn.BatchNorm2d(5)
        self.fc = torch.nn.Linear(5, 2)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).mean(dim=(2, 3)))


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(1)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    state = net.state_dict()

    def keep(name, saved, tensors=None):
        torch.save(saved, folder / (name + ".pth"))
        write_safetensors(folder / (name + ".safetensors"), saved if tensors is None else tensors)
        print(name + ".pth")

    def other(name, saved, **how):
        torch.save(saved, folder / (name + ".other"), **how)
        print(name + ".other")

    keep("contiguous", state)
    keep("plain_dict", dict(state))
    keep("ordered_dict", collections.OrderedDict(state))
    keep("channels_last", Net().to(memory_format=torch.channels_last).state_dict())
    keep("half", Net().half().state_dict())
    keep("bfloat16", Net().bfloat16().state_dict())
    keep("double", Net().double().state_dict())
    keep("data_parallel", torch.nn.DataParallel(net).state_dict())
    keep("parameters", dict(net.named_parameters()))
    flat = torch.arange(1000, dtype=torch.float32)
    keep("shared_storage", {
        "all": flat, "part": flat[10:20], "rows": flat.view(10, 100)[2:5], "column": flat.view(10, 100)[:, 7],
        "every_third": flat[1:50:3], "transposed": flat[:600].view(20, 30).t(), "again": flat, "none": flat[5:5],
        "permuted": flat[:120].view(2, 3, 4, 5).permute(2, 0, 3, 1), "expanded": flat[:3].view(3, 1).expand(3, 4),
        "scalar": flat[17], "broadcast": flat[3:4].expand(2, 2, 2)})
    keep("kinds", {"long": torch.tensor([-1, 2**40]), "byte": torch.tensor([0, 255], dtype=torch.uint8),
                   "empty": torch.zeros(0, 3), "scalar": torch.tensor(0.5), "a name \u00e9": torch.ones(1)})
    keep("milesial", {**state, "mask_values": [0, 1, [1, 2, 3], 0.5, None, (True, "x")]}, state)
    for outer in ("state_dict", "model_state_dict", "model", "net"):
        keep("outer_" + outer, {"epoch": 3, outer: state, "optimizer": optimizer.state_dict(), "lr": 1e-3,
                                "best": torch.tensor(0.5), "seed": 2**70, "args": {"name": "x", "sizes": (1, 2)}}, state)

    whole = torch.nn.Sequential(net.conv, net.norm)
    keep("of_whole_model", whole.state_dict())
    other("whole_model", whole)
    other("legacy", state, _use_new_zipfile_serialization=False)
    other("arguments", {"state_dict": state, "args": argparse.Namespace(lr=1)})
    torch.jit.script(net).save(str(folder / "script.other"))
    print("script.other")


if __name__ == "__main__":
    main()
