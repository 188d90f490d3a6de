"""Records what PyTorch computes for a narrow ResNet34-UNet into resnet34_unet_parity.safetensors, the reference of
resnet34_unet_parity_test.cpp.

    python3 generate_resnet34_unet_parity.py [OUT]          written with the versions in the file's __metadata__

Batches, precision and weights as in generate_unet_parity.py, but each image and label map twice as large by repetition
and cut to 90x60: the network pads it to 96x64 again. `sampled`: of a tensor in PyTorch's order every k-th element,
k = 1 + elements // 1024.

    initial/NAME                F32, parameters (running statistics begin at 0 and 1)
    logits                      F64, batch 0, training mode, sampled
    loss/{cross_entropy,soft_dice}             F64 [1], batch 0
    gradient/{cross_entropy,soft_dice}/NAME    F64, batch 0, sampled
    losses                      F64 [30], Adam: 20 steps of cross-entropy, then 10 of soft-Dice, lr 1e-3
    final/NAME                  F64, parameters and running statistics after the 30 steps, sampled
    final_logits                F64, batch 0, evaluation mode, after the 30 steps, sampled
    losses_1e-4                 F64 [10], cross-entropy, lr 1e-4, from the initial weights
  and with an encoder that does not learn for 5 steps, its batch norms in evaluation mode, then at a tenth of lr 1e-3:
    thawed/losses               F64 [10], cross-entropy, Adam
    thawed/final/NAME           F64, after the 10 steps, sampled
"""

import pathlib
import platform
import sys

import numpy
import torch

from generate_unet_parity import CLASSES, synthetic_batches, train
from torch_resnet34_unet import ResNet34UNet
from torch_unet import cross_entropy, soft_dice_loss, write_safetensors

BASE, FROZEN, STEPS = 4, 5, 10
HEIGHT, WIDTH = 90, 60


def sampled(tensor):
    flat = tensor.detach().flatten()
    return flat[::1 + flat.numel() // 1024].clone()


def initial_model():
    torch.manual_seed(11)
    model = ResNet34UNet(3, CLASSES, BASE).double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            # Batch norms and the head's bias off their defaults, so that a mistake in them shows.
            if p.dim() == 1:
                p.add_(0.2 * torch.randn_like(p))
            p.copy_(p.float().double())
    return model


def state(model):
    return {name: sampled(tensor) for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


def thaw(model, inputs, labels):
    rest = [p for name, p in model.named_parameters() if not name.startswith("encoder.")]
    optimizer = torch.optim.Adam([{"params": rest}, {"params": model.encoder.parameters(), "lr": 1e-4}], lr=1e-3)
    losses = []
    for step in range(STEPS):
        model.encoder.train(step >= FROZEN)
        model.encoder.requires_grad_(step >= FROZEN)
        optimizer.zero_grad(set_to_none=True)
        loss = cross_entropy(model(inputs[step % 4]), labels[step % 4])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    here = pathlib.Path(__file__).parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "resnet34_unet_parity.safetensors"
    images, labels = synthetic_batches()
    images, labels = (t.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :HEIGHT, :WIDTH] for t in (images, labels))
    inputs = (images.permute(0, 1, 4, 2, 3).double() - 128) / 64
    record = {f"initial/{name}": p.float() for name, p in initial_model().named_parameters()}
    for kind, loss_of in (("cross_entropy", cross_entropy), ("soft_dice", soft_dice_loss)):
        model = initial_model()
        logits = model(inputs[0])
        loss = loss_of(logits, labels[0])
        loss.backward()
        record["logits"] = sampled(logits)
        record[f"loss/{kind}"] = loss.reshape(1)
        for name, p in model.named_parameters():
            record[f"gradient/{kind}/{name}"] = sampled(p.grad)

    model = initial_model()
    record["losses"] = train(model, inputs, labels, 1e-3, [cross_entropy] * 20 + [soft_dice_loss] * 10)
    record.update({f"final/{name}": tensor for name, tensor in state(model).items()})
    model.eval()
    record["final_logits"] = sampled(model(inputs[0]))
    record["losses_1e-4"] = train(initial_model(), inputs, labels, 1e-4, [cross_entropy] * 10)
    model = initial_model()
    record["thawed/losses"] = thaw(model, inputs, labels)
    record.update({f"thawed/final/{name}": tensor for name, tensor in state(model).items()})

    versions = {"torch": torch.__version__, "numpy": numpy.__version__, "python": platform.python_version(),
                "base_channels": str(BASE), "classes": str(CLASSES)}
    write_safetensors(out, record, versions)
    print(f"{out}: {out.stat().st_size} bytes, {versions}")
    for name in ("losses", "losses_1e-4", "thawed/losses"):
        print(name, record[name].tolist())


if __name__ == "__main__":
    main()
