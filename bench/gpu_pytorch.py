#!/usr/bin/env python3
"""A training step and an inference pass of bench_step against the same network in PyTorch, on the same GPU.

    python3 bench/gpu_pytorch.py [--batch-sizes 32] [--rounds 2] [--compile SECONDS] [--base-channels 64]
        [--image-size 256] -- bench_step OPTION...

Ours and theirs alternate, ours first and last, so that what changes the GPU's pace for longer than a round changes both.
PyTorch stays in this one process and is warm: bf16 by autocast, channels_last, cudnn.benchmark, fused Adam, gradients set
to None; eager first, torch.compile last and for SECONDS at most (it compiles for a minute). bench_step gets its options as
given, and the sizes. Each figure is a line "row: NAME | VALUE", printed as soon as it is known. Memory: in use is the most
that tensors held at once, taken what the allocator had from the system for it. Exit code 1 if a figure is missing.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TRAINING_GATE, MEMORY_GATE = 1.15, 0.7  # at N=32: times as fast as eager at least, part of its memory at most
missing = []


def row(name, value):
    print(f"row: {name} | {value}", flush=True)


def attempt(name, work):
    """work(), or a row that says why not and None."""
    try:
        return work()
    except Exception as error:  # the next figure may work
        missing.append(name)
        print(f"{name}: {error!r}", flush=True)
        row(name, "FAILED: " + (" ".join(str(error).split()) or repr(error))[:120])
        return None


def ours(command, batch):
    done = subprocess.run(command + ["--batch-size", str(batch), "--steps", "8"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=100)
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    out = json.loads(done.stdout[done.stdout.index("{"):])
    print(json.dumps({"ours": batch, **out}), flush=True)
    return {"train": out["train_step_ms"], "infer": out["inference_ms"], "in_use": out["peak_memory_mb"],
            "taken": out["reserved_memory_mb"]}


class Theirs:
    """The network in PyTorch."""

    def __init__(self, base, size, batch):
        import torch
        sys.path.insert(0, os.path.join(ROOT, "tests", "models"))
        import torch_unet
        self.torch = torch
        torch.backends.cudnn.benchmark = True
        device = torch.device("cuda")
        self.model = torch_unet.UNet(3, 2, base).to(device, memory_format=torch.channels_last)
        self.run = self.model
        self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-4, fused=True)
        images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=device)
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels = (torch.arange(batch * size * size, device=device) // 8 % 2).reshape(batch, size, size)
        self.mean = torch.tensor([0.485, 0.456, 0.406], device=device).reshape(1, 3, 1, 1)
        self.deviation = torch.tensor([0.229, 0.224, 0.225], device=device).reshape(1, 3, 1, 1)

    def compile(self):
        self.run = self.torch.compile(self.model)

    def logits(self):
        x = (self.images.float() / 255 - self.mean) / self.deviation
        with self.torch.autocast("cuda", dtype=self.torch.bfloat16):
            return self.run(x).float()

    def train(self):
        self.adam.zero_grad(set_to_none=True)
        self.torch.nn.functional.cross_entropy(self.logits(), self.labels).backward()
        self.adam.step()

    def infer(self):
        with self.torch.inference_mode():
            self.logits()

    def timed(self, work):
        """Milliseconds a call: the median of blocks of ten, after three calls to warm up."""
        for _ in range(3):
            work()
        self.torch.cuda.synchronize()
        times = []
        for _ in range(7):
            begin = time.perf_counter()
            for _ in range(10):
                work()
            self.torch.cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - begin) / 10)
        return statistics.median(times)

    def measure(self):
        cuda = self.torch.cuda
        cuda.empty_cache()
        cuda.reset_peak_memory_stats()
        self.model.train()
        out = {"train": self.timed(self.train), "in_use": cuda.max_memory_allocated() / 1e6,
               "taken": cuda.max_memory_reserved() / 1e6}
        self.model.eval()
        out["infer"] = self.timed(self.infer)
        print(json.dumps(out), flush=True)
        return out


def pace(ms, batch):
    return f"{ms:.3f} ms, {1e3 * batch / ms:.0f} images/s"


def verdict(met, gate):
    return f"gate {gate}: {'met' if met else 'MISSED'}"


def speed_rows(where, batch, mine, theirs, name):
    """Rows of both speeds and their ratio, medians over rounds, and the ratio of a training step."""
    ratios = {}
    for figure, text in (("train", "training"), ("infer", "inference")):
        a, b = (statistics.median(f[figure] for f in figures) for figures in (mine, theirs))
        ratios[figure] = b / a
        row(f"{where} {text}, {name}", pace(b, batch))
        gate = ""
        if figure == "train" and batch == 32 and name == "eager":
            gate = f" ({verdict(b / a >= TRAINING_GATE, TRAINING_GATE)})"
        row(f"{where} {text}, ours against {name}", f"{b / a:.3f} times as fast{gate}")


def memory_rows(where, batch, mine, theirs, name):
    row(f"{where} memory, {name}", f"{theirs['in_use']:.0f} MB in use, {theirs['taken']:.0f} MB taken")
    parts = [f"{mine[figure] / theirs[figure]:.3f} {text}" +
             (f" ({verdict(mine[figure] <= MEMORY_GATE * theirs[figure], MEMORY_GATE)})" if batch == 32 else "")
             for figure, text in (("in_use", "in use"), ("taken", "taken"))]
    row(f"{where} memory, ours / {name}", ", ".join(parts))


def compiled(net, seconds):
    """The figures of torch.compile; raises TimeoutError when it takes longer."""
    late = []

    def ring(*_):
        late.append(True)
        raise TimeoutError

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        net.compile()
        return net.measure()
    except Exception as error:  # the compiler may have wrapped it
        if late:
            raise TimeoutError(f"cut short after {seconds} s") from error
        raise
    finally:
        signal.alarm(0)


def compare(args, batch):
    where = f"N={batch}"
    mine, eager = [], []

    def my_turn(again):
        figures = attempt(f"{where} ours{again}", lambda: ours(args.command, batch))
        if figures:
            mine.append(figures)
            row(f"{where} training, ours{again}", pace(figures["train"], batch))
            row(f"{where} inference, ours{again}", pace(figures["infer"], batch))

    my_turn("")
    if mine:
        row(f"{where} memory, ours", f"{mine[0]['in_use']:.0f} MB in use, {mine[0]['taken']:.0f} MB taken")
    net = attempt(f"{where} eager", lambda: Theirs(args.base_channels, args.image_size, batch))
    if net is None:
        return
    for turn in range(args.rounds):
        figures = attempt(f"{where} eager", net.measure)
        if not figures:
            break
        eager.append(figures)
        if turn == 0 and mine:  # a first ratio as soon as there is one
            row(f"{where} training, first ratio to eager", f"{figures['train'] / mine[0]['train']:.3f}")
        my_turn(f", run {turn + 2}")
    if mine and eager:
        speed_rows(where, batch, mine, eager, "eager")
        memory_rows(where, batch, mine[0], eager[0], "eager")
    if args.compile:
        figures = attempt(f"{where} torch.compile", lambda: compiled(net, args.compile))
        if figures and mine:
            row(f"{where} training, first ratio to torch.compile", f"{figures['train'] / mine[-1]['train']:.3f}")
            my_turn(", last run")
            speed_rows(where, batch, mine[-2:], [figures], "torch.compile")
            memory_rows(where, batch, mine[0], figures, "torch.compile")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[32])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--compile", type=int, default=0, metavar="SECONDS")
    parser.add_argument("--base-channels", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("command", nargs="+", metavar="bench_step")
    args = parser.parse_args()
    args.command += ["--base-channels", str(args.base_channels), "--image-size", str(args.image_size)]

    for batch in args.batch_sizes:
        compare(args, batch)
        if "torch" in sys.modules:
            sys.modules["torch"].cuda.empty_cache()
    torch = sys.modules.get("torch")
    if torch:
        row("PyTorch", f"{torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
