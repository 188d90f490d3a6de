"""Records what PyTorch computes for every differentiable op: tests/engine/ops/op_values.safetensors, read by parity_test.cpp.

    python3 tests/engine/ops/generate_op_values.py [OUT]

All in f64, on one thread, seeds fixed. Activations [N,H,W,C], convolution weights [Cout,Kh,Kw,Cin], transposed ones
[Cin,2,2,Cout], labels u8 [N,H,W], as the engine keeps them. A case NAME has NAME/in<i>, NAME/out<i>, NAME/cot<i> (the
cotangent of out<i>) and NAME/grad<i> (the gradient of in<i>), and its options in the metadata entry "cases" (JSON). Data
that has no gradient: NAME/labels, NAME/weights, NAME/mean, NAME/variance, and running statistics after the step in
NAME/new_mean, NAME/new_variance.
"""

import json
import os
import struct
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(1234)
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

tensors = {}
cases = []


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def case(name, op, inputs, function, data=None, **options):
    """Runs function on leaves and records inputs, outputs, cotangents and gradients."""
    leaves = [x.detach().clone().requires_grad_(True) for x in inputs]
    outputs = function(*leaves)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    cotangents = [torch.randn(o.shape) for o in outputs]
    sum((o * c).sum() for o, c in zip(outputs, cotangents)).backward()
    for i, leaf in enumerate(leaves):
        tensors[f"{name}/in{i}"] = leaf.detach()
        tensors[f"{name}/grad{i}"] = leaf.grad
    for i, (o, c) in enumerate(zip(outputs, cotangents)):
        tensors[f"{name}/out{i}"] = o.detach()
        tensors[f"{name}/cot{i}"] = c
    for key, value in (data or {}).items():
        tensors[f"{name}/{key}"] = value
    cases.append({"name": name, "op": op, **options})


def conv(name, N, H, W, Cin, Cout, Kh, Kw, stride=1, pad=0, bias=True):
    inputs = [torch.randn(N, H, W, Cin), torch.randn(Cout, Kh, Kw, Cin)] + ([torch.randn(Cout)] if bias else [])

    def function(x, w, b=None):
        return nhwc(F.conv2d(nchw(x), nchw(w), b, stride=stride, padding=pad))

    case("conv2d_" + name, "conv2d", inputs, function, stride=stride, pad=pad)


def pixel_linear(name, N, H, W, C, K, bias=True):
    inputs = [torch.randn(N, H, W, C), torch.randn(K, 1, 1, C)] + ([torch.randn(K)] if bias else [])
    case("pixel_linear_" + name, "pixel_linear", inputs, lambda x, w, b=None: nhwc(F.conv2d(nchw(x), nchw(w), b)))


def conv_transpose(name, N, H, W, Cin, Cout, bias=True):
    inputs = [torch.randn(N, H, W, Cin), torch.randn(Cin, 2, 2, Cout)] + ([torch.randn(Cout)] if bias else [])

    def function(x, w, b=None):
        return nhwc(F.conv_transpose2d(nchw(x), w.permute(0, 3, 1, 2), b, stride=2))

    case("conv_transpose2d_" + name, "conv_transpose2d", inputs, function)


def norm_act(name, N, H, W, C, relu=True, pool=False, residual=False, training=True, epsilon=1e-5):
    inputs = [2 * torch.randn(N, H, W, C) + 1, torch.randn(C), torch.randn(C)]
    if residual:
        inputs.append(torch.randn(N, H, W, C))
    mean, variance = torch.randn(C), torch.rand(C) + 0.5
    new_mean, new_variance = mean.clone(), variance.clone()

    def function(x, gamma, beta, r=None):
        y = F.batch_norm(nchw(x), new_mean, new_variance, gamma, beta, training, 0.1, epsilon)
        if r is not None:
            y = y + nchw(r)
        if relu:
            y = F.relu(y)
        return [nhwc(y)] + ([nhwc(F.max_pool2d(y, 2))] if pool else [])

    data = {"mean": mean, "variance": variance, "new_mean": new_mean, "new_variance": new_variance}
    case("norm_act_" + name, "norm_act", inputs, function, data, relu=relu, pool=pool, residual=residual,
         training=training, epsilon=epsilon)


def labels_of(N, H, W, C, ignore):
    labels = torch.randint(0, C, (N, H, W))
    if ignore:
        labels[torch.rand(N, H, W) < 0.3] = 255
    return labels


def cross_entropy(name, N, H, W, C, ignore=False, weighted=False, scale=1.0):
    labels = labels_of(N, H, W, C, ignore)
    data = {"labels": labels.to(torch.uint8)}
    if weighted:
        data["weights"] = torch.rand(C) + 0.25
    weights = data.get("weights")

    def function(x):
        return F.cross_entropy(nchw(x), labels, weight=weights, ignore_index=255).reshape(1)

    case("cross_entropy_" + name, "softmax_cross_entropy", [scale * torch.randn(N, H, W, C)], function, data)


def dice_loss(x, labels, smooth, batch, background):
    C = x.shape[-1]
    counted = (labels != 255).to(x.dtype).unsqueeze(-1)
    p = F.softmax(x, dim=-1) * counted
    t = F.one_hot(torch.where(labels == 255, torch.zeros_like(labels), labels), C).to(x.dtype) * counted
    if not background and C > 1:
        p, t = p[..., 1:], t[..., 1:]
    over = (0, 1, 2) if batch else (1, 2)
    score = (2 * (p * t).sum(over) + smooth) / (p.sum(over) + t.sum(over) + smooth)
    return 1 - score.mean()


def soft_dice(name, N, H, W, C, smooth=1.0, batch=False, background=False, ignore=False):
    labels = labels_of(N, H, W, C, ignore)
    case("soft_dice_" + name, "soft_dice_loss", [torch.randn(N, H, W, C)],
         lambda x: dice_loss(x, labels, smooth, batch, background).reshape(1),
         {"labels": labels.to(torch.uint8)}, smooth=smooth, batch=batch, background=background)


def loss_sum(name, N, H, W, C, ignore=False, weighted=False, cross_entropy=0.0, focal=0.0, dice=0.0, dice_batch=0.0,
             smoothing=0.0, gamma=2.0):
    labels = labels_of(N, H, W, C, ignore)
    data = {"labels": labels.to(torch.uint8)}
    if weighted:
        data["weights"] = torch.rand(C) + 0.25
    weights = data.get("weights")

    def function(x):
        smoothed = F.cross_entropy(nchw(x), labels, weight=weights, ignore_index=255, label_smoothing=smoothing)
        nll = F.cross_entropy(nchw(x), labels, ignore_index=255, reduction="none")
        counted = (labels != 255).to(x.dtype)
        w = counted if weights is None else counted * weights[labels * (labels != 255)]
        by_pixel = (w * (1 - torch.exp(-nll)) ** gamma * nll).sum() / w.sum()
        out = cross_entropy * smoothed + focal * by_pixel
        out = out + dice * dice_loss(x, labels, 1.0, False, False) + dice_batch * dice_loss(x, labels, 1.0, True, False)
        return out.reshape(1)

    case("loss_sum_" + name, "loss_sum", [torch.randn(N, H, W, C)], function, data, cross_entropy=cross_entropy,
         focal=focal, dice=dice, dice_batch=dice_batch, smoothing=smoothing, gamma=gamma)


def max_pool(name, x, kernel, stride, pad):
    case("max_pool2d_" + name, "max_pool2d", [x], lambda y: nhwc(F.max_pool2d(nchw(y), kernel, stride, pad)),
         kernel=kernel, stride=stride, pad=pad)


def head_conv(name, N, H, W, C, K, bias=True):
    inputs = [torch.randn(N, H, W, C), torch.randn(K, 3, 3, C)] + ([torch.randn(K)] if bias else [])
    case("head_conv2d_" + name, "head_conv2d", inputs,
         lambda x, w, b=None: nhwc(F.conv2d(nchw(x), nchw(w), b, padding=1)))


def crop(y, height, width):
    return y[:, :height, :width]


def pad_or_crop(name, N, H, W, C, height, width):
    def function(x):
        return crop(F.pad(x, (0, 0, 0, max(0, width - W), 0, max(0, height - H))), height, width)

    case("pad_or_crop_" + name, "pad_or_crop", [torch.randn(N, H, W, C)], function, height=height, width=width)


def upsample(name, N, H, W, C):
    for align in (True, False):
        case(f"upsample_{name}_{'aligned' if align else 'half_pixel'}", "upsample_bilinear", [torch.randn(N, H, W, C)],
             lambda x: nhwc(F.interpolate(nchw(x), scale_factor=2, mode="bilinear", align_corners=align)),
             align_corners=align)


conv("3x3", 2, 7, 5, 5, 6, 3, 3, pad=1, bias=False)
conv("3x3_bias", 1, 6, 6, 8, 8, 3, 3, pad=1)
conv("one_pixel", 1, 1, 1, 3, 2, 3, 3, pad=1)
conv("no_pad", 1, 5, 6, 3, 5, 3, 3)
conv("stride2_odd", 2, 9, 7, 3, 4, 3, 3, stride=2, pad=1, bias=False)
conv("stride2_rows_left_over", 1, 8, 6, 5, 3, 3, 3, stride=2)
conv("1x1", 2, 5, 3, 7, 9, 1, 1)
conv("1x1_stride2", 1, 7, 5, 4, 3, 1, 1, stride=2)
conv("5x5_pad2", 1, 7, 6, 3, 4, 5, 5, pad=2)
conv("7x7_stride2_pad3", 1, 11, 9, 3, 4, 7, 7, stride=2, pad=3, bias=False)
conv("1x3", 1, 4, 7, 3, 2, 1, 3, pad=1)
conv_transpose("bias", 2, 3, 4, 6, 5)
conv_transpose("no_bias", 1, 5, 3, 8, 4, bias=False)
conv_transpose("one_pixel", 1, 1, 1, 3, 2)
norm_act("plain", 2, 5, 3, 4, relu=False)
norm_act("relu", 2, 4, 5, 8)
norm_act("pool_odd", 2, 5, 7, 3, pool=True)
norm_act("residual", 1, 4, 3, 6, residual=True)
norm_act("residual_pool", 2, 4, 4, 5, pool=True, residual=True)
norm_act("epsilon", 1, 3, 3, 4, epsilon=0.1)
norm_act("batch_of_pixels", 9, 1, 1, 3)
norm_act("inference", 2, 3, 4, 5, training=False)
norm_act("inference_pool", 1, 5, 4, 6, pool=True, training=False)
norm_act("inference_residual_pool", 1, 5, 5, 4, pool=True, residual=True, training=False)
case("relu_odd", "relu", [torch.randn(2, 3, 5, 7)], F.relu)
case("relu_zeros", "relu", [torch.randint(-1, 2, (1, 4, 4, 3)).double()], F.relu)
for name, x in (("even", torch.randn(2, 4, 6, 3)), ("odd", torch.randn(1, 5, 7, 9)),
                ("ties", torch.randint(0, 3, (2, 6, 6, 4)).double())):
    max_pool(name, x, 2, 2, 0)
case("add", "add", [torch.randn(2, 3, 3, 5), torch.randn(2, 3, 3, 5)], lambda a, b: a + b)
case("concat", "concat", [torch.randn(2, 3, 4, c) for c in (3, 8, 1)], lambda *parts: torch.cat(parts, -1))
upsample("odd", 2, 3, 5, 4)
upsample("one_pixel", 1, 1, 1, 3)
upsample("one_row", 1, 1, 4, 2)
pad_or_crop("pad", 2, 3, 5, 3, 4, 8)
pad_or_crop("crop", 1, 6, 5, 4, 4, 3)
pad_or_crop("mixed", 1, 3, 6, 4, 5, 4)
cross_entropy("two_classes", 2, 5, 5, 2)
cross_entropy("five_classes_ignored", 2, 4, 3, 5, ignore=True)
cross_entropy("weighted", 1, 5, 7, 3, weighted=True)
cross_entropy("weighted_ignored", 2, 4, 5, 4, ignore=True, weighted=True)
cross_entropy("large_logits", 1, 4, 4, 3, scale=50.0)
cross_entropy("one_pixel", 1, 1, 1, 3)
soft_dice("two_classes", 2, 5, 5, 2)
soft_dice("three_classes_ignored", 2, 4, 5, 3, ignore=True)
soft_dice("batch", 3, 4, 3, 3, batch=True)
soft_dice("background", 2, 3, 5, 4, background=True)
soft_dice("batch_background_ignored", 3, 4, 4, 3, batch=True, background=True, ignore=True)
soft_dice("no_smooth", 1, 5, 6, 2, smooth=0.0)
soft_dice("one_class", 2, 3, 3, 1)
soft_dice("one_pixel", 1, 1, 1, 3)
pixel_linear("two", 2, 5, 3, 7, 2)
pixel_linear("one", 1, 4, 6, 16, 1)
pixel_linear("many_no_bias", 1, 3, 5, 9, 13, bias=False)
for name, x in (("even", torch.randn(2, 4, 6, 3)), ("odd", torch.randn(1, 5, 7, 9)),
                ("ties", torch.randint(0, 3, (2, 7, 8, 4)).double()), ("one_pixel", torch.randn(2, 1, 1, 3))):
    max_pool("overlapping_" + name, x, 3, 2, 1)
for name, size in (("odd", (2, 3, 5, 4)), ("one_pixel", (1, 1, 1, 3))):
    case("upsample_nearest_" + name, "upsample_nearest", [torch.randn(*size)],
         lambda x: nhwc(F.interpolate(nchw(x), scale_factor=2, mode="nearest")))
head_conv("two", 2, 5, 19, 16, 2)
head_conv("one_pixel", 1, 1, 1, 3, 1)
head_conv("many_no_bias", 1, 4, 6, 5, 12, bias=False)
loss_sum("smoothed", 2, 4, 3, 5, cross_entropy=1.0, smoothing=0.1)
loss_sum("smoothed_weighted_ignored", 2, 4, 5, 4, ignore=True, weighted=True, cross_entropy=1.0, smoothing=0.3)
loss_sum("smoothed_weighted_two_classes", 1, 5, 7, 2, ignore=True, weighted=True, cross_entropy=1.0, smoothing=0.2)
loss_sum("focal", 2, 4, 5, 3, focal=1.0)
loss_sum("focal_weighted_ignored", 2, 3, 5, 4, ignore=True, weighted=True, focal=1.0, gamma=1.5)
loss_sum("focal_two_classes", 2, 5, 5, 2, ignore=True, weighted=True, focal=0.5, gamma=0.5)
loss_sum("with_dice", 2, 5, 4, 3, ignore=True, cross_entropy=1.0, dice=0.5)
loss_sum("with_dice_two_classes", 3, 5, 4, 2, ignore=True, cross_entropy=1.0, dice_batch=0.5)
for classes in (2, 4):
    loss_sum(f"all_{classes}_classes", 2, 4, 5, classes, ignore=True, weighted=True, cross_entropy=0.5, focal=1.25,
             dice=0.75, dice_batch=2.0, smoothing=0.1)

types = {torch.float64: "F64", torch.uint8: "U8"}
header = {"__metadata__": {"torch": torch.__version__, "seed": "1234", "cases": json.dumps(cases)}}
data = b""
for name in sorted(tensors, key=lambda n: (tensors[n].dtype == torch.uint8, n)):
    value = tensors[name].contiguous()
    blob = value.numpy().tobytes()
    header[name] = {"dtype": types[value.dtype], "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(blob)]}
    data += blob
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "op_values.safetensors")
with open(out, "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
print(f"{out}: {len(cases)} cases, {len(text) + len(data) + 8} bytes")
