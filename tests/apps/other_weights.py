"""Weights as PyTorch's users have them, and the masks that PyTorch makes with them.

    other_weights.py FOLDER

FOLDER/images.safetensors holds `images` U8 [N,H,W,3], H and W multiples of 16. For each way of having weights it writes
FOLDER/NAME.safetensors and FOLDER/NAME.pth, and into FOLDER/masks.safetensors the tensor NAME, U8 [N,H,W]: the class of
each pixel of images / 255, which for a ResNet34-UNet are normalised as ImageNet's. By the library safetensors where it
is installed, else by the writer of torch_unet.py. Prints the names."""

import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "models"))
from torch_resnet34_unet import ResNet34UNet  # noqa: E402
from torch_unet import UNet, cross_entropy, read_safetensors, write_safetensors  # noqa: E402  (found by the line above)


def save(path, state):
    try:
        from safetensors.torch import save_file
    except ImportError:
        write_safetensors(path, state)
    else:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, str(path))


def trained(images, classes, bilinear=False, bias=False):
    """A network that has seen the images: none of its batch norms' statistics and biases is as it began."""
    torch.manual_seed(classes + 10 * bilinear + 20 * bias)
    return trained_as(UNet(3, classes, 16, bilinear, bias), "outc.conv.bias", images, classes)


def trained_as(model, head_bias, images, classes):
    """The same of any network."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    bright = images.mean(dim=1) > images.mean()
    labels = (bright.long() + (images[:, 0] > 0.8).long()) % classes if classes > 2 else bright.long()
    for _ in range(8):
        optimizer.zero_grad()
        logits = model(images)
        if classes == 1:
            torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float()).backward()
        else:
            cross_entropy(logits, labels).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():  # every class is somewhere
        logits = model(images).transpose(0, 1).flatten(1)
        model.get_parameter(head_bias).sub_(logits.median(dim=1).values + 0.01 * logits.std(dim=1))
    return model


def masks(model, images):
    model.eval()
    with torch.no_grad():
        logits = model(images)
    return ((logits[:, 0] > 0) if logits.shape[1] == 1 else logits.argmax(dim=1)).to(torch.uint8)


def main():
    folder = pathlib.Path(sys.argv[1])
    images = read_safetensors(folder / "images.safetensors")["images"].permute(0, 3, 1, 2).float() / 255
    expected = {}

    def keep(name, model, state=None):
        state = state or model.state_dict()
        save(folder / (name + ".safetensors"), state)
        torch.save({"state_dict": state, "epoch": 3} if name.startswith("b") else state, folder / (name + ".pth"))
        expected[name] = masks(model.float(), images)

    keep("two_classes", trained(images, 2))
    keep("three_classes", trained(images, 3))
    keep("one_output", trained(images, 1))
    keep("channels_last", trained(images, 2).to(memory_format=torch.channels_last))
    keep("bilinear", trained(images, 1, bilinear=True))
    keep("biases", trained(images, 2, bias=True))
    model = trained(images, 2)
    keep("data_parallel", model, torch.nn.DataParallel(model).state_dict())
    if hasattr(torch, "compile"):
        keep("compiled", model, torch.nn.DataParallel(torch.compile(model)).state_dict())
    else:
        keep("compiled", model, {"module._orig_mod." + key: value for key, value in model.state_dict().items()})
    keep("f16", trained(images, 2).half())
    keep("bf16", trained(images, 1, bias=True).bfloat16())
    torch.manual_seed(50)
    images = (images - torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    head = "segmentation_head.0.bias"
    keep("resnet34_unet", trained_as(ResNet34UNet(3, 2, 16), head, images, 2))
    keep("resnet34_unet_one_output", trained_as(ResNet34UNet(3, 1, 16), head, images, 1))
    model = trained_as(ResNet34UNet(3, 2, 16), head, images, 2).to(memory_format=torch.channels_last)
    keep("resnet34_unet_data_parallel", model, torch.nn.DataParallel(model).state_dict())
    keep("resnet34_unet_f16", trained_as(ResNet34UNet(3, 2, 16), head, images, 2).half())
    write_safetensors(folder / "masks.safetensors", expected)
    print(*expected)


if __name__ == "__main__":
    main()
