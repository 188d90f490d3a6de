#!/usr/bin/env python3
"""What an option of train_unet gains: runs with it and without, over several seeds, judged by Dice on the test images.

    python3 bench/compare_recipes.py DIR OUT [--programs build/release/bin] [--seeds 0 1 2] [--jobs 1] [--base OPTIONS]
        --with "--ema 0.99" --with "--augment strong" ... [--tta flip]

OUT gets a folder for each run; one that is there already is not run again, one that was stopped is resumed, so a long
comparison can be interrupted. --base: options of all runs. --jobs: runs at a time, with --threads cores / jobs each.
--tta: also evaluates the base runs with that.

Prints a table in Markdown: mean Dice over the seeds after phase 1 and at the end, and the gain at the end over the base
of the same seed: its mean and the standard error of that mean.
"""

import argparse
import concurrent.futures
import json
import math
import os
import re
import shlex
import statistics
import subprocess
import sys

BASE = "--model resnet34_unet --image-size 128 --base-channels 16 -b 8 -e 60"


def call(command, log):
    with open(log, "a", encoding="utf-8") as out:
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    if status != 0:
        sys.exit(f"{' '.join(command)}: exit status {status}; see {log}")


def dice(args, folder, checkpoint, tta=None):
    """On the test images; kept beside the checkpoint."""
    path = os.path.join(folder, checkpoint + (f".{tta}" if tta else "") + ".json")
    if not os.path.exists(path):
        call([os.path.join(args.programs, "eval_unet"), "-c", os.path.join(folder, checkpoint + ".safetensors"), "-d",
              args.data, "--split", "test", "--threads", str(args.threads), "--json", path]
             + (["--tta", tta] if tta else []), folder + ".log")
    with open(path, encoding="utf-8") as file:
        return json.load(file)["dice"]


def run(args, variant, seed):
    """Dice after phase 1 and at the end."""
    name = re.sub(r"[^A-Za-z0-9.]+", "_", variant).strip("_") or "base"
    folder = os.path.join(args.out, f"{name}_{seed}")
    done = os.path.join(folder, "compared")
    if not os.path.exists(done):
        command = [os.path.join(args.programs, "train_unet"), args.data, "-o", folder, "--seed", str(seed), "--threads",
                   str(args.threads), "--quiet", *shlex.split(args.base), *shlex.split(variant)]
        resumed = os.path.exists(os.path.join(folder, "last.safetensors"))
        call(command + (["--resume"] if resumed else []), folder + ".log")
        open(done, "w", encoding="utf-8").close()
    return dice(args, folder, "best_phase1"), dice(args, folder, "best"), folder


def error_of_mean(values):
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--programs", default=os.path.join("build", "release", "bin"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--base", default=BASE, help=f"default: {BASE}")
    parser.add_argument("--with", dest="variants", action="append", default=[])
    parser.add_argument("--tta")
    args = parser.parse_args()
    args.threads = max(1, (os.cpu_count() or 1) // args.jobs)
    os.makedirs(args.out, exist_ok=True)

    results = {}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        runs = {(variant, seed): pool.submit(run, args, variant, seed) for seed in args.seeds
                for variant in ["", *args.variants]}
        for (variant, seed), job in runs.items():
            first, last, folder = job.result()
            results[variant, seed] = first, last
            if args.tta and not variant:
                results["--tta " + args.tta, seed] = first, dice(args, folder, "best", args.tta)
            print(f"{variant or 'base'}, seed {seed}: {first:.4f} -> {last:.4f}", file=sys.stderr, flush=True)

    print("| | phase 1 | end | gain | standard error |\n|---|---|---|---|---|")
    for variant in dict.fromkeys(key[0] for key in results):
        of = [results[variant, seed] for seed in args.seeds]
        gains = [results[variant, seed][1] - results["", seed][1] for seed in args.seeds]
        means = [statistics.mean(values) for values in zip(*of)]
        gain = f"{statistics.mean(gains):+.4f} | {error_of_mean(gains):.4f}" if variant else " | "
        print(f"| {f'`{variant}`' if variant else 'base'} | {means[0]:.4f} | {means[1]:.4f} | {gain} |")


if __name__ == "__main__":
    main()
