#!/usr/bin/env python3
"""Where the processor time of a training step goes, op by op: bench_step under Linux perf (package linux-perf).

    python3 bench/profile_step.py [--bench-step build/release/bin/bench_step] -- --base-channels 64 --threads 2 ...

Everything after -- goes to bench_step, --steps and --json aside. Samples of both threads are counted from the third
second on, so that start-up and the first step are left out, for --seconds; a thread that waits for the other counts too.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# First match wins; names are those of the inner loops (kernels/cpu/isa) and of what calls them.
GROUPS = [
    ("Winograd: products", r"micro_kernel|winograd_product|::multiply\b|fetch_some"),
    ("Winograd: inputs and gradients in", r"input_tile|transform_input|output_gradient|copy_window"),
    ("Winograd: outputs", r"transform_output\b|output_tile"),
    ("Winograd: filters and their gradients", r"filter"),
    ("transposed convolutions and other own products", r"::tile<|gather|interleave|pair_weights|::weights<|add_partials"
                                                       r"|GridProduct|backward_weights|GemmBlock"),
    ("first convolution", r"first_layer|forward_columns|backward_columns|FirstLayer"),
    ("norm_act", r"::moments|::reduce<|::apply<|::forward<|norm_act|batch_statistics"),
    ("head and losses", r"pixel_linear|cross_entropy|soft_dice|softmax"),
    ("Adam and gradient norm", r"::step<|adam|sum_of_squares|norm_of"),
    ("oneDNN", r"dnnl|jit"),
    ("waiting for the other thread", r"libgomp"),
    ("pages from the system", r"\[kernel"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bench-step", default=os.path.join(ROOT, "build", "release", "bin", "bench_step"))
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("options", nargs="*", help="for bench_step, after --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "perf.data")
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "-D", "3000", "-o", data, "timeout",
                   str(3 + args.seconds), args.bench_step, "--steps", "1000000", *args.options]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-s", "dso,symbol", "-t", "\t"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    shares = {}
    for line in report.splitlines():
        fields = line.split("\t")
        if line.startswith("#") or len(fields) < 3:
            continue
        text = fields[1].strip() + " " + fields[2]
        group = next((name for name, pattern in GROUPS if re.search(pattern, text)), "the rest")
        shares[group] = shares.get(group, 0) + float(fields[0].strip().rstrip("%"))
    if not shares:
        sys.exit("perf gave no samples: is it installed, and may it be used here (kernel.perf_event_paranoid)?")
    print("| op | per cent of the processor time |\n|---|---|")
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        print(f"| {name} | {share:.1f} |")


if __name__ == "__main__":
    main()
