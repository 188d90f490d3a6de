#!/usr/bin/env python3
"""What a training step must move and compute on a GPU, kernel by kernel, and how long a chip takes for it.

    python3 bench/gpu_model.py [--model resnet34_unet] [--chip H100] [--batch-size 32] [--image-size 256]
        [--base-channels 64] [--bilinear] [--precision bf16] [--bandwidth-share 0.72] [--compute-share SHARE]
        [--launch-us 3.2] [--ncu FILE] [--csv FILE]

The step is bench_step's: images normalised, forward, cross-entropy, backward, Adam, with cuDNN's convolutions not fused.
Bytes: every byte of an operand once a kernel, nothing left in a cache by the kernel before; launches and bytes are held
against the stand-in's counters by tests/models/gpu_model_on_stand_in_test.cpp. A kernel takes as long as the slower of its
bytes at a share of the sheet's bandwidth and its operations at a share of the sheet's dense peak, plus the cost of a launch.
The shares and that cost are a review's estimates for an H100 (2.4 TB/s; 19.5 ms of convolutions in bf16 and 155 images/s in
strict fp32, N=32; 0.8 ms of gaps in 247 launches), taken over for the other chips, and fitted to no measurement.

Lines "row: NAME | VALUE", a kernel name each, the longest first. --ncu: beside what Nsight Compute counted (gpu_ncu.py says
how); convolutions one by one where both have the same kernels between them. --csv: launch by launch.
"""

import argparse
import csv
import sys

import gpu_ncu

# Sheets: TB/s; dense TFLOP/s of bf16 (f32 sums), tf32 and fp32.
CHIPS = {"H100": (3.35, 989.4, 494.7, 66.9), "H200": (4.8, 989.4, 494.7, 66.9), "A100": (2.039, 312, 156, 19.5),
         "RTX4090": (1.008, 165.2, 82.6, 82.6)}
PRECISIONS = ("bf16", "tf32", "fp32")
COMPUTE_SHARES = {"bf16": 0.48, "tf32": 0.48, "fp32": 0.74}
BLOCK = 256  # threads
DEPTH = 4  # of the UNet
SUMMED_TOGETHER, SUMMED_CHUNK = 2, 4  # kernels/cuda/head_conv.cu


def chip_of(name):
    """The chip that a device's own name holds: "NVIDIA GeForce RTX 4090"."""
    for chip in CHIPS:
        if chip in name.upper().replace(" ", ""):
            return chip
    raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(CHIPS)}")


def up(a, b):
    return -(-a // b)


def reducing_rows(items, chunks, per_thread, most=1 << 30, wanted=1024):
    """Blocks that leave partial sums: kernels/cuda/tile.h."""
    across = min(32, 1 << (max(1, chunks) - 1).bit_length())
    step = BLOCK // across * per_thread
    even = up(items, step) * up(chunks, across) // wanted
    return up(items, step * min(max(even, 1), most))


def cut_rows(items, least, most):
    """kernels/cuda/partial_sums.h"""
    return up(items, up(max(least, up(items, most)), 64) * 64)


class Step:
    """The launches of a step, in order. Sizes in elements; a tensor of the network is [N,S,S,C]. A network gives its
    forward pass and puts what its backward does onto the tape."""

    groups = 1  # of parameters, as the optimizer counts its steps

    def __init__(self, args):
        self.N, self.S, self.base, self.bilinear, self.classes = (args.batch_size, args.image_size, args.base_channels,
                                                                  args.bilinear, 2)
        self.precision = args.precision
        self.a = 2 if args.precision == "bf16" else 4  # bytes of an activation, and of a convolution's operand
        self.launches, self.tape = [], []
        # Parameters of each group, padded as in their arena.
        self.operands, self.others, self.statistics = [0] * self.groups, [0] * self.groups, 0
        self.group = 0
        self.images()
        self.forward()
        for backward in reversed(self.tape):
            backward()
        self.commit()

    def add(self, kernel, read, written, flops=0, what="", unit="fp32"):
        self.launches.append({"kernel": kernel, "what": what, "read": read, "written": written, "flops": flops,
                              "unit": unit})

    def product(self, kernel, read, written, flops, what):
        self.add(kernel, read, written, flops, what, self.precision)

    def pixels(self, level):
        return self.N * (self.S >> level) ** 2

    def chunks(self, C):
        return C // (16 // self.a) if C % (16 // self.a) == 0 else C

    def operand(self, size):
        self.operands[self.group] += up(size, 64) * 64

    def other(self, size):
        self.others[self.group] += up(size, 64) * 64

    def copy(self, size, element, dense):
        """A copy in whole rows of 32 chunks, the rest one by one."""
        row = 32 * 16 // element
        parts = [size // row * row, size % row] if dense else [size]
        for part in filter(None, parts):
            self.add("map_kernel", part * element, part * element)

    def images(self):
        self.add("normalize_images_kernel", self.pixels(0) * 3, self.pixels(0) * 8 * self.a, self.pixels(0) * 6)

    def conv_norm_act(self, level, Cin, Cout, pool=False, kernel=3, stride=1, residual=False, slices=False,
                      joins=False, again=False):
        """level: of the output. residual: something is added before the ReLU. slices: x is part of a wider tensor, and
        copied for convolutions that take none. joins: the gradient of x is added to that of its other use. again: x is
        not kept, but made again from what the norm before it read."""
        a, px, taps = self.a, self.pixels(level), kernel * kernel
        first = Cin == 3
        self.operand(Cout * taps * Cin)
        self.other(Cout), self.other(Cout)
        self.statistics += 2 * up(Cout, 64) * 64
        if first:  # as wide as images: 8 channels
            self.copy(Cout * taps * Cin, a, False)
            Cin = 8
        x, y, w = px * stride * stride * Cin * a, px * Cout * a, Cout * taps * Cin * a
        flops = 2 * px * Cout * taps * Cin
        what = f"{Cin} -> {Cout} at {self.S >> level}"
        beside = y // 4 if pool else y if residual else 0
        rows = reducing_rows(px, self.chunks(Cout), 4)
        if slices:
            self.copy(x // a, a, False)
        self.product("convolution forward", x + w, y, flops, what)
        self.add("moments_kernel", y, 12 * rows * Cout, 6 * px * Cout)
        self.add("combine_kernel", 12 * rows * Cout, 12 * Cout)
        if residual:
            self.add("norm_act_forward_kernel", y + beside + 16 * Cout, y, 6 * px * Cout)
        else:
            self.add("norm_act_forward_kernel", y + 16 * Cout, y + beside, 5 * px * Cout)

        def backward():
            incoming = 2 * y + beside
            partials = 8 * reducing_rows(px // 4 if pool else px, self.chunks(Cout), 1 if pool else 4) * Cout
            self.add("norm_act_reduce_kernel", incoming + 16 * Cout, partials, 8 * px * Cout)
            self.add("combine_kernel", partials + 4 * Cout, 16 * Cout)
            self.add("norm_act_apply_kernel", incoming + 24 * Cout, y + (y if residual else 0), 9 * px * Cout)
            if again:
                self.add("norm_act_forward_kernel", x + 16 * Cin, x, 5 * px * Cin)
            if slices:
                self.copy(x // a, a, False)
            self.product("convolution backward_weights", x + y, w, flops, what)
            if first:
                self.copy(Cout * taps * 3, a, False)
            else:
                self.product("convolution backward_data", y + w, x, flops, what)
            if joins:
                self.add("map_kernel", 2 * x, x, x // a)

        self.tape.append(backward)

    def loss(self):
        px = self.pixels(0)
        logits, rows = px * self.classes * 4, cut_rows(px, 2048, 1024)
        self.add("cross_entropy_kernel", logits + px, 24 * rows, 20 * px)
        self.add("add_cross_entropy_kernel", 24 * rows, 32)
        self.tape.append(lambda: self.add("cross_entropy_backward_kernel", logits + px + 16, logits, 20 * px))

    def commit(self):
        a, operands = self.a, sum(self.operands)
        all_ = operands + sum(self.others)
        ranges = ((operands, a), (sum(self.others), 4)) if a == 2 else ((all_, 4),)
        gradients = sum(size * element for size, element in ranges)
        sums = [16 * sum(cut_rows(size, 16384, 2048) for size, _ in ranges), 16 * cut_rows(self.statistics, 16384, 2048)]
        self.add("square_sums_kernel", gradients, sums[0], 2 * all_)
        self.add("square_sums_kernel", 4 * self.statistics, sums[1], 2 * self.statistics)
        self.add("decide_kernel", sum(sums) + 32, 56)
        for _ in range(self.groups):
            self.add("adam_clock_kernel", 24, 24)
        if self.groups == 1:
            self.add("adam_kernel", 12 * all_ + gradients, 12 * all_ + (2 * operands if a == 2 else 0), 14 * all_)
        else:  # a group's parameters lie in two stretches
            for size in self.operands:
                self.add("adam_kernel", (12 + a) * size, (14 if a == 2 else 12) * size, 14 * size)
            for size in self.others:
                self.add("adam_kernel", 16 * size, 12 * size, 14 * size)
        self.add("running_stats_kernel", 8 * self.statistics + 8, 4 * self.statistics, 3 * self.statistics)


class UNet(Step):
    """models/unet.cpp"""

    def double_conv(self, level, Cin, middle, Cout, pool=False):
        self.conv_norm_act(level, Cin, middle)
        self.conv_norm_act(level, middle, Cout, pool, again=level < 2)

    def up_by_products(self, level, Cin, Cout):
        """From the level below."""
        a, px = self.a, self.pixels(level + 1)
        x, y, w, flops = px * Cin * a, 4 * px * Cout * a, 4 * Cin * Cout * a, 8 * px * Cin * Cout
        what = f"{Cin} -> {Cout} to {self.S >> level}"
        self.operand(4 * Cin * Cout)
        self.other(Cout)
        self.product("gemm", x + w, y, flops, what)
        self.add("scatter_kernel", y + 4 * Cout, y, 4 * px * Cout)

        def backward():
            partials = 4 * reducing_rows(4 * px, self.chunks(Cout), 4) * Cout
            self.add("gather_kernel", y, y + partials, 4 * px * Cout)
            self.add("combine_kernel", partials, 4 * Cout)
            self.product("gemm", x + y, w, flops, what)
            self.product("gemm", y + w, x, flops, what)

        self.tape.append(backward)

    def up_bilinear(self, level, C):
        x = self.pixels(level + 1) * C * self.a
        self.add("upsample_forward_kernel", x, 4 * x, 7 * self.pixels(level) * C)
        self.tape.append(lambda: self.add("upsample_backward_kernel", 4 * x, x, 8 * self.pixels(level) * C))

    def head(self, C):
        px, K = self.pixels(0), self.classes
        x, logits, w = px * C * self.a, px * K * 4, (K * C) * 4
        self.other(K * C), self.other(K)
        self.add("pixel_linear_kernel", x + w + 4 * K, logits, 2 * px * C * K)

        def backward():
            partials = 8 * K * (C + 1) * reducing_rows(px, self.chunks(C), 4, 16, 1024)
            self.add("pixel_linear_backward_kernel", x + w + logits, x + partials, 4 * px * C * K)
            self.add("sum_columns_kernel", partials, 4 * K * (C + 1))

        self.tape.append(backward)

    def forward(self):
        width = [self.base << level for level in range(DEPTH)]
        channels = 3
        for level in range(DEPTH):
            self.double_conv(level, channels, width[level], width[level], pool=True)
            channels = width[level]
        bottom = (self.base << DEPTH) // (2 if self.bilinear else 1)
        self.double_conv(DEPTH, channels, bottom, bottom)
        channels = bottom
        for level in reversed(range(DEPTH)):
            if self.bilinear:
                self.up_bilinear(level, channels)
            else:
                self.up_by_products(level, channels, width[level])
            channels = width[level] // 2 if self.bilinear and level > 0 else width[level]
            self.double_conv(level, 2 * width[level], width[level], channels)
        self.head(channels)
        self.loss()


class ResNet34UNet(Step):
    """models/resnet34_unet.cpp"""

    groups = 2  # encoder, decoder

    def block(self, level, Cin, Cout, stride, slices):
        """x is read twice: by the first convolution, and by the shortcut."""
        shortcut = stride > 1
        self.conv_norm_act(level, Cin, Cout, stride=stride, slices=slices, joins=True)
        if shortcut:
            self.conv_norm_act(level, Cin, Cout, kernel=1, stride=stride, slices=slices, joins=slices)
        self.conv_norm_act(level, Cout, Cout, residual=True)

    def pool(self, C):
        """From half the image's size to a quarter; what it reads is a skip, too."""
        x, y = self.pixels(1) * C * self.a, self.pixels(2) * C * self.a
        self.add("overlapping_pool_forward_kernel", x, y, 9 * self.pixels(2) * C)

        def backward():
            self.add("overlapping_pool_backward_kernel", x + y, x, 9 * self.pixels(2) * C)
            self.add("map_kernel", 2 * x, x, self.pixels(1) * C)

        self.tape.append(backward)

    def up(self, level, C):
        """From the level below."""
        x, y = self.pixels(level + 1) * C * self.a, self.pixels(level) * C * self.a
        self.add("upsample_nearest_forward_kernel", x, y)
        self.tape.append(lambda: self.add("upsample_nearest_backward_kernel", y, x, self.pixels(level) * C))

    def head(self, C):
        px, K = self.pixels(0), self.classes
        x, logits, w, flops = px * C * self.a, px * K * 4, K * 9 * C * 4, 2 * px * 9 * C * K
        self.other(K * 9 * C), self.other(K)
        self.add("head_conv_forward_kernel", x + w + 4 * K, logits, flops)

        def backward():
            bias = 4 * K * reducing_rows(px, K // 4 if K % 4 == 0 else K, 4)
            self.add("channel_sum_kernel", logits, bias, px * K)
            self.add("combine_kernel", bias, 4 * K)
            self.add("head_conv_dx_kernel", logits + w, x, flops)
            summed = self.N * self.S * up(self.S, SUMMED_TOGETHER)
            rows = reducing_rows(summed, C // SUMMED_CHUNK if C % SUMMED_CHUNK == 0 else C, 4, 64 // SUMMED_TOGETHER // 4)
            self.add("head_conv_dweights_kernel", x + logits, 2 * w * rows, flops)
            self.add("sum_columns_kernel", 2 * w * rows, w)

        self.tape.append(backward)

    def forward(self):
        base = self.base
        self.conv_norm_act(1, 3, base, kernel=7, stride=2)
        self.pool(base)
        channels = base
        for layer, blocks in enumerate((3, 4, 6, 3)):
            for block in range(blocks):
                halves = layer > 0 and block == 0  # its input, the layer before, is a skip
                self.block(layer + 2, channels, base << layer, 2 if halves else 1, halves)
                channels = base << layer
        self.group = 1
        for block, skip in enumerate((4 * base, 2 * base, base, base, 0)):
            self.up(4 - block, channels)
            width = 4 * base >> block
            self.conv_norm_act(4 - block, channels + skip, width)
            self.conv_norm_act(4 - block, width, width)
            channels = width
        self.head(channels)
        self.loss()


MODELS = {"unet": UNet, "resnet34_unet": ResNet34UNet}  # of the registry (models/registry.cpp)


def predict(step, args):
    """Gives every launch its time in us and what bounds it."""
    bandwidth, *peaks = CHIPS[args.chip]
    for launch in step.launches:
        unit = launch["unit"]
        share = args.compute_share or COMPUTE_SHARES[unit]
        by_bytes = (launch["read"] + launch["written"]) / (bandwidth * args.bandwidth_share) / 1e6
        by_work = launch["flops"] / (peaks[PRECISIONS.index(unit)] * share) / 1e6
        launch["us"] = args.launch_us + max(by_bytes, by_work)
        longest = max(by_bytes, by_work, args.launch_us)
        launch["bound"] = "launch" if longest == args.launch_us else "memory" if longest == by_bytes else unit


def text_of(launches):
    us, moved, flops = (sum(k[f] for k in launches) for f in ("us", "moved", "flops"))
    by_bound = {}
    for launch in launches:
        by_bound[launch["bound"]] = by_bound.get(launch["bound"], 0) + launch["us"]
    bounds = ", ".join(f"{bound} {100 * part / us:.0f} %" for bound, part in sorted(by_bound.items(), key=lambda b: -b[1]))
    return f"{len(launches)} x, {moved / 1e6:.1f} MB, {flops / 1e9:.1f} GFLOP, {us:.1f} us, bound by {bounds}"


def base_name(name):
    return "library" if gpu_ncu.LIBRARIES.search(name) else name.split("<")[0]


def own(launch):
    return launch["kernel"].endswith("_kernel")


def between(launches, is_own):
    """The library's launches before every one of ours."""
    out, waiting = [], []
    for launch in launches:
        if is_own(launch):
            out.append(waiting)
            waiting = []
        else:
            waiting.append(launch)
    return out + [waiting]


def beside(predicted, measured):
    """Text of both times."""
    theirs = sum(k["us"] for k in measured)
    if not predicted:
        return f"measured {theirs:.1f} us in {len(measured)}, not predicted"
    ours = sum(k["us"] for k in predicted)
    if not measured:
        return f"predicted {ours:.1f} us in {len(predicted)}, not seen"
    bytes_ = [sum(k["read"] + k["written"] for k in some) / 1e6 for some in (predicted, measured)]
    bounds = "/".join(sorted({k["bound"] for k in predicted}))
    return (f"predicted {ours:.1f} us in {len(predicted)}, {bytes_[0]:.1f} MB ({bounds}); measured {theirs:.1f} us in "
            f"{len(measured)}, {bytes_[1]:.1f} MB; {theirs / ours:.2f}")


def compare(step, path):
    measured = gpu_ncu.last_step(gpu_ncu.launches_of(path))
    names = {}
    for launch in step.launches:
        names.setdefault(launch["kernel"] if own(launch) else "library", ([], []))[0].append(launch)
    for launch in measured:
        names.setdefault(base_name(launch["name"]), ([], []))[1].append(launch)
    print(f"row: model and ncu, a step | {beside(step.launches, measured)}")
    for name, both in sorted(names.items(), key=lambda item: -sum(k["us"] for k in item[1][0] + item[1][1])):
        print(f"row: model and ncu, {'cuDNN and cuBLASLt' if name == 'library' else name} | {beside(*both)}")
    ours = [k["kernel"] for k in step.launches if own(k)]
    theirs = [base_name(k["name"]) for k in measured if base_name(k["name"]) != "library"]
    if ours != theirs:
        return
    for predicted, seen in zip(between(step.launches, own),
                               between(measured, lambda k: base_name(k["name"]) != "library")):
        if predicted:
            name = ", ".join(f"{k['kernel']} {k['what']}" for k in predicted)
            print(f"row: model and ncu, {name} | {beside(predicted, seen)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="unet")
    parser.add_argument("--chip", type=chip_of, default="H100", help=", ".join(CHIPS) + ", or a device's name")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--base-channels", type=int, default=64)
    parser.add_argument("--bilinear", action="store_true")
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16")
    parser.add_argument("--bandwidth-share", type=float, default=0.72)
    parser.add_argument("--compute-share", type=float, help="of the dense peak, in products and elsewhere")
    parser.add_argument("--launch-us", type=float, default=3.2)
    parser.add_argument("--ncu", metavar="FILE")
    parser.add_argument("--csv", metavar="FILE")
    args = parser.parse_args()
    multiple = 32 if args.model == "resnet34_unet" else 16
    if args.image_size % multiple or args.base_channels % 2 or min(args.batch_size, args.image_size, args.base_channels) < 1:
        sys.exit(f"the size of an image must be a multiple of {multiple}, the base channels of 2")

    step = MODELS[args.model](args)
    predict(step, args)
    for launch in step.launches:
        launch["moved"] = launch["read"] + launch["written"]
    if args.csv:
        with open(args.csv, "w", newline="") as file:
            out = csv.DictWriter(file, step.launches[0])
            out.writeheader()
            out.writerows(step.launches)
    if args.ncu:
        return compare(step, args.ncu)
    us = sum(launch["us"] for launch in step.launches)
    title = (f"{args.model}, base {args.base_channels}{', bilinear' if args.bilinear else ''}, {args.image_size}x"
             f"{args.image_size}, N={args.batch_size}, {args.precision}, {args.chip}")
    print(f"row: model of a step | {title}: {us / 1e3:.2f} ms, {1e6 * args.batch_size / us:.0f} images/s (not measured)")
    print(f"row: model, a step | {text_of(step.launches)}")
    names = {}
    for launch in step.launches:
        names.setdefault(launch["kernel"], []).append(launch)
    for name, launches in sorted(names.items(), key=lambda item: -sum(k["us"] for k in item[1])):
        print(f"row: model, {name} | {text_of(launches)}")


if __name__ == "__main__":
    main()
