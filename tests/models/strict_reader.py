"""Gate between the engine's checkpoints and PyTorch, both ways. A checkpoint is opened by the strict reader of
tests/engine/io, which was written from the format's description alone, and loaded with strict=True.

    strict_reader.py read CHECKPOINT EXCHANGE [--smp]
                                 logits of the checkpoint's network in PyTorch against the recorded ones
    strict_reader.py write CHECKPOINT EXCHANGE --base B --classes C [--bilinear | --resnet34 | --smp]
                                 a PyTorch network's state dict, and what it makes of random images

--smp: the network is segmentation_models_pytorch's own Unet("resnet34"), of 64 base channels.

EXCHANGE is a safetensors file with `images` and `logits`, F32 [N,C,H,W], of the evaluation mode. `read` prints the
largest difference and exits with 1 if it is above 1e-4 or the checkpoint breaks a rule.
"""

import argparse
import pathlib
import sys

import numpy
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "engine" / "io"))
import strict_safetensors  # noqa: E402  (found by the line above)

from torch_resnet34_unet import ResNet34UNet  # noqa: E402
from torch_unet import UNet, cross_entropy, write_safetensors  # noqa: E402

NUMPY = {"F32": numpy.float32, "F64": numpy.float64, "I64": numpy.int64}


def read_safetensors(path):
    tensors, _ = strict_safetensors.parse(pathlib.Path(path).read_bytes())
    return {name: torch.from_numpy(numpy.frombuffer(data, NUMPY[dtype]).reshape(shape).copy())
            for name, dtype, shape, data in tensors}


def smp_unet(classes):
    import segmentation_models_pytorch
    return segmentation_models_pytorch.Unet("resnet34", encoder_weights=None, classes=classes)


def read(arguments):
    state = read_safetensors(arguments.checkpoint)
    exchange = read_safetensors(arguments.exchange)
    if arguments.smp:
        model = smp_unet(state["segmentation_head.0.weight"].shape[0])
    elif "encoder.conv1.weight" in state:
        base, channels = state["encoder.conv1.weight"].shape[:2]
        model = ResNet34UNet(channels, state["segmentation_head.0.weight"].shape[0], base)
    else:
        base, channels = state["inc.double_conv.0.weight"].shape[:2]
        model = UNet(channels, state["outc.conv.weight"].shape[0], base, bilinear="up1.up.weight" not in state)
    model.load_state_dict(state, strict=True)
    model.eval()
    with torch.no_grad():
        difference = (model(exchange["images"]) - exchange["logits"]).abs().max().item()
    largest = exchange["logits"].abs().max().item()
    print(f"{len(state)} tensors, logits up to {largest:.3g}, largest difference {difference:.3g}")
    return 0 if difference <= 1e-4 else 1


def write(arguments):
    torch.manual_seed(3)
    if arguments.smp:
        model = smp_unet(arguments.classes)
    elif arguments.resnet34:
        model = ResNet34UNet(3, arguments.classes, arguments.base)
    else:
        model = UNet(3, arguments.classes, arguments.base, arguments.bilinear)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean: after three steps an average that decays is still far from them
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):  # moves every weight and statistic off its beginning
        optimizer.zero_grad()
        cross_entropy(model(torch.randn(2, 3, 32, 64)), torch.randint(0, arguments.classes, (2, 32, 64))).backward()
        optimizer.step()
    model.eval()
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        logits = model(images)
    write_safetensors(arguments.checkpoint, model.state_dict(), {"format": "pt"})
    write_safetensors(arguments.exchange, {"images": images, "logits": logits})
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["read", "write"])
    parser.add_argument("checkpoint")
    parser.add_argument("exchange")
    parser.add_argument("--base", type=int)
    parser.add_argument("--classes", type=int)
    parser.add_argument("--bilinear", action="store_true")
    parser.add_argument("--resnet34", action="store_true")
    parser.add_argument("--smp", action="store_true")
    arguments = parser.parse_args()
    return read(arguments) if arguments.mode == "read" else write(arguments)


if __name__ == "__main__":
    sys.exit(main())
