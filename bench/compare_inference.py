#!/usr/bin/env python3
"""Inference of one image: bench_step against ONNX Runtime, OpenVINO and ncnn with the same network, alternately.

    python3 bench/compare_inference.py [--model resnet34_unet] [--image-size 256] [--base-channels 64] [--repeats 5]
        [--runs 20] [--threads 2] [--python PYTHON] [--bench-step build/release/bin/bench_step] [--json FILE]

PYTHON has torch (to export the network: ONNX opset 17; for ncnn pnnx's program too) and whichever of onnxruntime,
openvino and ncnn there are; one that is not there is named as skipped. Each repeat starts every program anew, in turn
forwards and backwards; a figure is the median over repeats of the ratio theirs / ours of one repeat. Ours normalises
bytes, theirs are given floats.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENGINES = ("onnxruntime", "openvino", "ncnn")


def network(model, base):
    import torch
    sys.path.insert(0, os.path.join(ROOT, "tests", "models"))
    torch.manual_seed(0)
    if model == "unet":
        from torch_unet import UNet
        return UNet(3, 2, base).eval()
    from torch_resnet34_unet import ResNet34UNet
    return ResNet34UNet(3, 2, base).eval()


def export(options):
    """The network as FOLDER/net.onnx and FOLDER/net.pt."""
    import torch
    model, side = network(options["model"], options["base"]), options["size"]
    example = torch.rand(1, 3, side, side)
    with torch.inference_mode():
        torch.jit.trace(model, example).save(os.path.join(options["folder"], "net.pt"))
    torch.onnx.export(model, (example,), os.path.join(options["folder"], "net.onnx"), opset_version=17, dynamo=False,
                      input_names=["x"], output_names=["y"])


def timed(run, count):
    run()
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def work_of(options):
    """One engine's figure. Runs in a process of its own."""
    import numpy
    side, threads = options["size"], options["threads"]
    x = numpy.random.RandomState(0).rand(1, 3, side, side).astype(numpy.float32)
    file = os.path.join(options["folder"], "net.onnx")
    if options["engine"] == "onnxruntime":
        import onnxruntime
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
        version, run = onnxruntime.__version__, lambda: session.run(None, {"x": x})
    elif options["engine"] == "openvino":
        import openvino
        core = openvino.Core()
        compiled = core.compile_model(file, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                                                    "INFERENCE_PRECISION_HINT": options["precision"]})
        request = compiled.create_infer_request()
        version, run = openvino.__version__, lambda: request.infer({0: x})
    else:
        import ncnn
        net = ncnn.Net()
        net.opt.num_threads = threads
        net.load_param(os.path.join(options["folder"], "net.ncnn.param"))
        net.load_model(os.path.join(options["folder"], "net.ncnn.bin"))

        def run():
            extractor = net.create_extractor()
            extractor.input("in0", ncnn.Mat(x[0]))
            extractor.extract("out0")
        version = ncnn.__version__
    print(json.dumps({"version": version, "inference_ms": timed(run, options["runs"])}))


def run_json(command):
    """What a command prints as JSON; None, and its last words on stderr, if it failed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(f"failed ({done.returncode}): {' '.join(command)[:200]}\n{done.stderr.strip()[-500:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout[done.stdout.index("{"):])


def has(python, module):
    return subprocess.run([python, "-c", f"import {module}"], stderr=subprocess.DEVNULL).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=["unet", "resnet34_unet"], default="resnet34_unet")
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--base-channels", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--runs", type=int, default=20, help="of each process, behind one that is not counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16: ours and OpenVINO alone")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--bench-step", default=os.path.join(ROOT, "build", "release", "bin", "bench_step"))
    parser.add_argument("--json", help="file for every figure")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        options = json.loads(args.worker)
        return export(options) if options["engine"] == "export" else work_of(options)

    engines, skipped = [], []
    for engine in ENGINES if args.precision == "fp32" else ("openvino",):
        there = has(args.python, engine) and has(args.python, "torch")
        if engine == "ncnn" and there:
            there = shutil.which("pnnx", path=os.path.dirname(args.python) + ":" + os.environ["PATH"]) is not None
        (engines if there else skipped).append(engine)
    with tempfile.TemporaryDirectory() as folder:
        common = {"model": args.model, "base": args.base_channels, "size": args.image_size, "threads": args.threads,
                  "folder": folder, "runs": args.runs, "precision": {"fp32": "f32", "bf16": "bf16"}[args.precision]}

        def worker(engine):
            return [args.python, os.path.abspath(__file__), "--worker", json.dumps({**common, "engine": engine})]

        if engines:
            subprocess.run(worker("export"), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if "ncnn" in engines:
            pnnx = shutil.which("pnnx", path=os.path.dirname(args.python) + ":" + os.environ["PATH"])
            subprocess.run([pnnx, "net.pt", f"inputshape=[1,3,{args.image_size},{args.image_size}]"], cwd=folder,
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ours = [args.bench_step, "--model", args.model, "--base-channels", str(args.base_channels), "--image-size",
                str(args.image_size), "--batch-size", "1", "--threads", str(args.threads), "--steps", str(args.runs),
                "--precision", args.precision, "--device", "cpu"]
        figures = {who: [] for who in ["ours"] + engines}
        for repeat in range(args.repeats):
            for who in list(figures)[::1 if repeat % 2 == 0 else -1]:
                figures[who].append(run_json(ours if who == "ours" else worker(who)))
            print(f"repeat {repeat + 1} of {args.repeats}", file=sys.stderr)

    def values(who):
        return [f["inference_ms"] for f in figures[who] if f]

    print(f"{args.model}, base {args.base_channels}, {args.image_size}x{args.image_size}, N=1, {args.precision}, "
          f"{args.threads} threads; medians of {args.repeats} alternating runs")
    for who in figures:
        pairs = [(t["inference_ms"], o["inference_ms"]) for t, o in zip(figures[who], figures["ours"]) if t and o]
        version = next((f.get("version", "") for f in figures[who] if f), "failed")
        ratio = f"{statistics.median(t / o for t, o in pairs):.2f}" if pairs else "-"
        ms = f"{statistics.median(values(who)):.1f} ms" if values(who) else "-"
        print(f"{who:12} {version:26} {ms:>10}  theirs / ours {ratio}")
    for engine in skipped:
        print(f"{engine:12} skipped: not there")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
