#!/usr/bin/env python3
"""Time and bytes of every kernel of one training step, from what Nsight Compute counted.

    ncu --csv --log-file ncu.csv --clock-control none --cache-control none --metrics
        gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum  bench_step ... --steps 1
    python3 bench/gpu_ncu.py ncu.csv [--launches FILE]

A step is what lies between two normalisations of images, the last such stretch of the file: plans are made in the first.
Prints a line "row: KERNEL | LAUNCHES, TIME, BYTES, RATE" a kernel name, the longest first; --launches writes the step
launch by launch.
"""

import argparse
import csv
import re
import sys

TO_US = {"ns": 1e-3, "us": 1, "usecond": 1, "nsecond": 1e-3, "ms": 1e3, "msecond": 1e3, "s": 1e6, "second": 1e6}
TO_BYTES = {"byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9}
METRICS = {"gpu__time_duration.sum": "us", "dram__bytes_read.sum": "read", "dram__bytes_write.sum": "written"}
STEP_BEGINS = "normalize_images"
LIBRARIES = re.compile(r"xmma|cutlass|cudnn|nvjet|splitK|SplitK|ImplicitGemm|init_device_workspace")


def short(name):
    """A kernel's name less its parameters, namespaces and types of return."""
    name = re.sub(r"\(anonymous namespace\)::|<unnamed>::", "", name)
    depth, end = 0, len(name)
    for i, letter in enumerate(name):  # the parameters begin at the first parenthesis outside of <>
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            end = i
            break
    name = re.sub(r"^(void|static|auto) ", "", name[:end])
    name = re.sub(r"\b(\w+::)+", "", name).replace(", ", ",")
    return name.replace("_bf16bf16_bf16f32_f32_nhwckrsc_nhwc", "")


def launches_of(path):
    """Every profiled launch in order: name, us, read, written."""
    with open(path, newline="") as file:
        rows = list(csv.reader(line for line in file if line.startswith('"')))
    if not rows:
        raise SystemExit(f"{path}: no table of Nsight Compute's; its text: {open(path).read()[-300:]}")
    head = {name: i for i, name in enumerate(rows[0])}
    launches = {}
    for cells in rows[1:]:
        if len(cells) != len(head):
            continue  # the last line of a run cut short
        launch = launches.setdefault(int(cells[head["ID"]]), {"name": short(cells[head["Kernel Name"]])})
        figure = METRICS.get(cells[head["Metric Name"]])
        unit, value = cells[head["Metric Unit"]], cells[head["Metric Value"]].replace(",", "")
        if figure:
            launch[figure] = float(value) * (TO_US if figure == "us" else TO_BYTES)[unit]
    return [launches[i] for i in sorted(launches) if len(launches[i]) == 1 + len(METRICS)]


def last_step(launches):
    begins = [i for i, launch in enumerate(launches) if STEP_BEGINS in launch["name"]]
    if len(begins) < 2:
        raise SystemExit(f"{len(launches)} launches hold no whole step: {len(begins)} of {STEP_BEGINS}, 2 are needed")
    return launches[begins[-2]:begins[-1]]


def text_of(kernels):
    us, read, written = (sum(k[figure] for k in kernels) for figure in ("us", "read", "written"))
    return (f"{len(kernels)} x, {us:.1f} us, {read / 1e6:.1f} MB read, {written / 1e6:.1f} written, "
            f"{(read + written) / us / 1e6:.2f} TB/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--launches", help="file for the step launch by launch")
    args = parser.parse_args()
    step = last_step(launches_of(args.file))
    if args.launches:
        with open(args.launches, "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["kernel", "us", "read_bytes", "written_bytes"])
            out.writerows([[k["name"], round(k["us"], 3), int(k["read"]), int(k["written"])] for k in step])
    names = {}
    for kernel in step:
        names.setdefault(kernel["name"], []).append(kernel)
    print(f"row: ncu, a step | {text_of(step)}")
    for who, theirs in (("cuDNN and cuBLASLt", True), ("own kernels", False)):
        kernels = [k for k in step if bool(LIBRARIES.search(k["name"])) == theirs]
        if kernels:
            print(f"row: ncu, a step, {who} | {text_of(kernels)}")
    for name, kernels in sorted(names.items(), key=lambda item: -sum(k["us"] for k in item[1])):
        print(f"row: ncu, {name[:90]} | {text_of(kernels)}")


if __name__ == "__main__":
    main()
