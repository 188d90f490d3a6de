#!/usr/bin/env python3
"""bench_step against the same network in PyTorch, alternately, in one run.

    python3 bench/compare_pytorch.py [--model unet] [--repeats 5] [--steps 6] [--threads 2] [--precision fp32 bf16]
        [--compile] [--cases train64 train32 infer64] [--bench-step build/release/bin/bench_step] [--bench-kernels ...] [--json FILE]

PyTorch runs with what is known to be fastest for it: channels_last, gradients set to None, inference_mode, bf16 by
autocast; eagerly, and with --compile by torch.compile too, where that works. Each repeat starts bench_step and Python
anew, ours first and theirs first in turn; a figure is the median over repeats of the ratio theirs / ours of one repeat,
so what disturbs the machine for longer than a repeat disturbs both. "First step" is process start to the end of the
first training step. The table goes to stdout, every single figure to --json.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CASES = {  # base channels, image size, batch size
    "unet": {"train64": (64, 256, 2), "train32": (32, 128, 8), "infer64": (64, 256, 1)},
    "resnet34_unet": {"train256": (64, 256, 4), "train128": (64, 128, 16), "infer256": (64, 256, 1)},
}
# Aims: case, precision, figure -> least ratio theirs / ours against 1.13 and against newer ones.
GATES = {
    ("train64", "fp32", "train_step_ms"): (4.0, 2.5),
    ("train64", "bf16", "train_step_ms"): (3.0, 1.8),
    ("train32", "fp32", "train_step_ms"): (3.5, 2.2),
    ("train32", "bf16", "train_step_ms"): (3.0, 1.8),
    ("infer64", "fp32", "inference_ms"): (4.0, 2.5),
    ("infer64", "bf16", "inference_ms"): (2.5, 1.6),
    ("train64", "fp32", "peak_memory_mb"): (1 / 0.8, 1 / 0.8),
    ("train64", "bf16", "peak_memory_mb"): (1 / 0.65, 1 / 0.65),
    ("train64", "fp32", "first_step_ms"): (5.0, 5.0),
    ("train256", "fp32", "train_step_ms"): (2.0, 2.0),
    ("train128", "fp32", "train_step_ms"): (2.0, 2.0),
    ("train256", "bf16", "train_step_ms"): (1.5, 1.5),  # 2.5 where PyTorch's bf16 is slower than its fp32
    ("train128", "bf16", "train_step_ms"): (1.5, 1.5),
    ("train256", "fp32", "peak_memory_mb"): (1 / 0.6, 1 / 0.6),
    ("train128", "fp32", "peak_memory_mb"): (1 / 0.6, 1 / 0.6),
}


def work_of(options):
    """One measurement in PyTorch, with the fields of bench_step. Runs in a process of its own."""
    import torch
    import torch.nn.functional as F
    sys.path.insert(0, os.path.join(ROOT, "tests", "models"))
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    cuda = options["device"] == "cuda"
    if cuda:
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options["precision"] == "tf32"
    device = torch.device(options["device"])
    N, S = options["batch_size"], options["image_size"]
    if options["model"] == "unet":
        from torch_unet import UNet as Network
    else:
        from torch_resnet34_unet import ResNet34UNet as Network
    model = Network(3, 2, options["base_channels"]).to(device, memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, **({"fused": True} if cuda else {}))
    run = torch.compile(model) if options["compile"] else model
    images = torch.randint(0, 256, (N, 3, S, S), dtype=torch.uint8, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = (torch.arange(N * S * S, device=device) // 8 % 2).reshape(N, S, S)
    mean = torch.tensor([0.485, 0.456, 0.406], device=device).reshape(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], device=device).reshape(1, 3, 1, 1)

    def logits():
        x = (images.float() / 255 - mean) / deviation
        with torch.autocast(options["device"], dtype=torch.bfloat16, enabled=options["precision"] == "bf16"):
            return run(x).float()

    def train():
        adam.zero_grad(set_to_none=True)
        F.cross_entropy(logits(), labels).backward()
        adam.step()

    def infer():
        with torch.inference_mode():
            logits()

    together = 10 if cuda and options["steps"] > 1 else 1

    def timed(work, count):
        times = []
        for _ in range(count):
            begin = time.perf_counter()
            for _ in range(together):
                work()
            if cuda:
                torch.cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - begin) / together)
        return statistics.median(times[1:] or times)

    out = {"torch": torch.__version__, "train_step_ms": timed(train, options["steps"])}
    out["peak_memory_mb"] = (torch.cuda.max_memory_reserved() / 1e6 if cuda else
                             resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
    if options["steps"] > 1:
        model.eval()
        out["inference_ms"] = timed(infer, options["steps"])
    print(json.dumps(out))


def run_json(command):
    """The JSON a command prints and the milliseconds from its start to its end; None if it failed."""
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ms = 1e3 * (time.perf_counter() - begin)
    if done.returncode != 0:
        print(f"failed ({done.returncode}): {' '.join(command)}\n{done.stderr.strip()[-500:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout[done.stdout.index("{"):]), ms


def measure(args, case, precision):
    """Figures of one case: {"ours": [...], "eager": [...], "compile": [...]}, an entry a repeat, None where it failed."""
    base, size, batch = CASES[args.model][case]
    words = {"--model": args.model, "--base-channels": base, "--image-size": size, "--batch-size": batch, "--precision": precision,
             "--device": args.device, "--threads": args.threads}
    options = {"model": args.model, "base_channels": base, "image_size": size, "batch_size": batch, "precision": precision,
               "device": args.device, "threads": args.threads, "compile": False}
    ours = [args.bench_step, "--json"] + [str(word) for pair in words.items() for word in pair]

    def once(who, steps):
        if who == "ours":
            return run_json(ours + ["--steps", str(steps)])
        worker = {**options, "steps": steps, "compile": who == "compile"}
        return run_json([args.python, os.path.abspath(__file__), "--worker", json.dumps(worker)])

    figures = {who: [] for who in ["ours", "eager"] + (["compile"] if args.compile else [])}
    for repeat in range(args.repeats):
        for who in list(figures)[::1 if repeat % 2 == 0 else -1]:
            full = once(who, args.steps)
            first = once(who, 1) if case == next(iter(CASES[args.model])) else None
            if full is not None:
                full = dict(full[0])
                if first is not None:
                    full["first_step_ms"] = first[1]
            figures[who].append(full)
        print(f"{case} {precision}: repeat {repeat + 1} of {args.repeats}", file=sys.stderr)
    return figures


def ratio(figures, who, name):
    """Median over repeats of theirs / ours, or None."""
    pairs = [(t[name], o[name]) for t, o in zip(figures[who], figures["ours"]) if t and o and name in t and name in o]
    return statistics.median(t / o for t, o in pairs) if pairs else None


def median_of(figures, who, name):
    values = [f[name] for f in figures[who] if f and name in f]
    return statistics.median(values) if values else None


def step_gflop(base, size, batch):
    """GFLOP of the 3x3 convolutions of a training step by the direct method: forward, and both backward passes but the
    gradient of the image."""
    total, cin = 0.0, 3
    layers = []
    for level in range(5):
        c, pixels = base << level, batch * (size >> level) ** 2
        layers += [(cin, c, pixels), (c, c, pixels)]
        cin = c
    for level in range(3, -1, -1):
        c, pixels = base << level, batch * (size >> level) ** 2
        layers += [(2 * c, c, pixels), (c, c, pixels)]
    for i, (a, b, pixels) in enumerate(layers):
        total += (2 if i == 0 else 3) * 2.0 * 9 * a * b * pixels
    return total / 1e9


def fma_peak(bench_kernels):
    """GFLOP/s that bench_kernels measures as this machine's ceiling, or None."""
    done = run_json([bench_kernels, "--benchmark_filter=conv_forward/N:8/side:128/32->32/automatic",
                     "--benchmark_format=json"])
    if done is None or not done[0]["benchmarks"]:
        return None
    row = done[0]["benchmarks"][0]
    return row["GFLOP/s"] / row["% fma"] * 100


def text(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    bin_folder = os.path.join(ROOT, "build", "release", "bin")
    parser.add_argument("--bench-step", default=os.path.join(bin_folder, "bench_step"))
    parser.add_argument("--bench-kernels", default=os.path.join(bin_folder, "bench_kernels"))
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="of each process; the first is not counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", nargs="+", choices=["fp32", "tf32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--model", choices=list(CASES), default="unet")
    parser.add_argument("--cases", nargs="+", help="some of the model's")
    parser.add_argument("--base-channels", type=int, help="a case of its own, instead of --cases")
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="torch.compile beside eager")
    parser.add_argument("--json", help="file for every figure")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work_of(json.loads(args.worker))
    if args.base_channels:
        CASES[args.model]["given"] = (args.base_channels, args.image_size, args.batch_size)
        args.cases = ["given"]
    args.cases = args.cases or list(CASES[args.model])
    if unknown := set(args.cases) - set(CASES[args.model]):
        parser.error(f"{args.model} has no case {', '.join(unknown)}; it has {', '.join(CASES[args.model])}")

    report = {"machine": platform.processor() or platform.machine(), "threads": args.threads, "device": args.device,
              "repeats": args.repeats, "steps": args.steps, "cases": {}}
    rows, torch_version = [], None
    for case in args.cases:
        for precision in args.precision:
            figures = measure(args, case, precision)
            report["cases"][f"{case} {precision}"] = figures
            torch_version = next((f["torch"] for f in figures["eager"] if f), torch_version)
            for name in ("train_step_ms", "inference_ms", "peak_memory_mb", "first_step_ms"):
                theirs = ratio(figures, "eager", name)
                if theirs is None:
                    continue
                gate = GATES.get((case, precision, name))
                gate = gate and gate[0 if (torch_version or "").startswith("1.13") else 1]
                verdict = "" if gate is None else f"{gate:.2f} {'met' if theirs >= gate else 'MISSED'}"
                rows.append((case, precision, name, text(median_of(figures, "ours", name), 1),
                             text(median_of(figures, "eager", name), 1), text(theirs, 2),
                             text(ratio(figures, "compile", name) if args.compile else None, 2), verdict))
    report["torch"] = torch_version
    print(f"\nPyTorch {torch_version}, {args.threads} threads, {args.device}; medians of {args.repeats} alternating runs")
    head = ("case", "precision", "figure", "ours", "PyTorch", "ratio", "compiled", "gate")
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
    for row in [head] + rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())

    step = [f for f in report["cases"].get("train64 fp32", {}).get("ours", []) if f]
    if step and args.device == "cpu" and os.path.exists(args.bench_kernels):
        peak = fma_peak(args.bench_kernels)
        if peak:
            ms = statistics.median(f["train_step_ms"] for f in step)
            direct = 1e3 * step_gflop(*CASES["unet"]["train64"]) / peak
            report["fma_gflops"], report["step_over_direct_at_peak"] = peak, ms / direct
            print(f"whole step / its direct convolutions at the FMA peak ({peak:.0f} GFLOP/s): "
                  f"{ms:.0f} / {direct:.0f} ms = {ms / direct:.2f} (gate 0.7)")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
