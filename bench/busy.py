#!/usr/bin/env python3
"""Times a command alone and beside busy processes, in turn, and prints the medians and their ratio.

  bench/busy.py [--busy 2] [--runs 5] -- command and its words

The busy processes do nothing but count; what is timed is the command's whole wall time.
"""
import argparse
import statistics
import subprocess
import sys
import time


def seconds_of(command):
    begin = time.perf_counter()
    ended = subprocess.run(command, stdout=subprocess.DEVNULL)
    if ended.returncode != 0:
        sys.exit(f"busy.py: {command[0]} ended with {ended.returncode}")
    return time.perf_counter() - begin


def seconds_beside(busy, command):
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        time.sleep(0.2)
        return seconds_of(command)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", type=int, default=2, help="busy processes [2]")
    parser.add_argument("--runs", type=int, default=5, help="of each kind [5]")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("no command; give it after --")
    seconds_of(command)  # caches of the disk
    quiet, beside = [], []
    for _ in range(options.runs):
        quiet.append(seconds_of(command))
        beside.append(seconds_beside(options.busy, command))
    for name, times in (("quiet", quiet), (f"beside {options.busy}", beside)):
        print(f"{name:>9}: {statistics.median(times):.2f} s  ({min(times):.2f} to {max(times):.2f})")
    print(f"    ratio: {statistics.median(beside) / statistics.median(quiet):.2f}")


if __name__ == "__main__":
    main()
