#!/usr/bin/env bash
# What only a GPU can show. Every part prints a short table last, even if it is cut short, and goes on where it stopped:
# a step that has passed is not run again (remove build/gpu_check to begin anew).
#   scripts/gpu_check.sh ops        every CUDA kernel and the training step against the CPU; repeatability
#   scripts/gpu_check.sh sanitize   compute-sanitizer: memcheck, racecheck, initcheck, synccheck
#   scripts/gpu_check.sh train      PyTorch parity; pets at 256x256, base 64, bf16, both phases, as long as time allows
#   scripts/gpu_check.sh bench      a step against PyTorch on the same GPU; kernels as per cent of the copy bandwidth
#   scripts/gpu_check.sh all        these four, under 18 minutes
#   scripts/gpu_check.sh bundle     packs build/gpu_bundle.tar.xz on a machine without a GPU: programs with their
#                                   libraries, tests, pets. Where that file is, it is used instead of a build.
# Environment: UNET_TEST_DATA (default ../shared) holds data/pets; OUT, if set, receives the tables.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set +e

BUNDLE="$ROOT/build/gpu_bundle"
RESULTS="$ROOT/build/gpu_check"
ROWS=()

usage() { sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2; }

# row NAME RESULT: a line of the table.
row() { ROWS+=("$(printf '%-44s %s' "$1" "$2")"); }

print_table() {
  printf '\n== %s\n' "gpu_check $PART"
  if [ "${#ROWS[@]}" -gt 0 ]; then printf '%s\n' "${ROWS[@]}"; else echo "nothing was run"; fi
  if [ -n "${OUT:-}" ]; then printf '%s\n' "${ROWS[@]}" >"$OUT/gpu_check_$PART.txt"; fi
}

# step NAME SECONDS COMMAND...: runs it once, its output to a log; a row says how it ended. True if it has passed.
step() {
  local name="$1" limit="$2" log="$RESULTS/$PART.$1.log" begin code
  shift 2
  if [ -f "$log.passed" ]; then row "$name" "passed ($(cat "$log.passed") s, before)"; return 0; fi
  say "$name"
  begin=$(date +%s)
  timeout "$limit" "$@" >"$log" 2>&1
  code=$?
  if [ "$code" -eq 0 ]; then
    echo "$(($(date +%s) - begin))" >"$log.passed"
    row "$name" "passed ($(($(date +%s) - begin)) s)"
  elif [ "$code" -eq 124 ]; then
    row "$name" "cut short after $limit s"
  else
    row "$name" "FAILED (exit code $code): $(grep -E 'FAILED|rror' "$log" | tail -1 | cut -c1-100)"
  fi
  tail -n 25 "$log"
  return "$code"
}

bundle() {
  local data="${UNET_TEST_DATA:-$ROOT/../shared}"
  build release -- -DUNET_WERROR=ON || exit 1
  [ -x "$ROOT/build/release/bin/test_cuda_device" ] || { echo "this build has no CUDA: nvcc was not found" >&2; exit 1; }
  rm -rf "$BUNDLE" && mkdir -p "$BUNDLE/bin" "$BUNDLE/lib"
  for name in train_unet eval_unet predict_unet bench_step bench_kernels test_cuda_device test_cuda_engine_device; do
    cp "$ROOT/build/release/bin/$name" "$BUNDLE/bin/"
  done
  strip "$BUNDLE"/bin/*
  # glibc and the driver are the other machine's; all else goes along.
  ldd "$BUNDLE"/bin/* | awk '/=> \//{print $3}' | sort -u |
    grep -vE '/(libc|libm|libdl|libpthread|librt|libcuda|ld-linux[^/]*)\.so' | xargs -I{} cp -L {} "$BUNDLE/lib/"
  strip --strip-unneeded "$BUNDLE"/lib/*
  if [ -d "$data/data/pets" ]; then cp -r "$data/data/pets" "$BUNDLE/pets"; else echo "no $data/data/pets: left out"; fi
  tar -C "$ROOT/build" -cf - gpu_bundle | xz -T0 -6 >"$BUNDLE.tar.xz"
  rm -rf "$BUNDLE"
  local size
  size=$(stat -c %s "$BUNDLE.tar.xz")
  echo "$BUNDLE.tar.xz: $((size / 1000000)) MB"
  [ "$size" -lt 45000000 ] || { echo "larger than 45 MB" >&2; exit 1; }
}

# Finds the programs: the bundle's, or those of a build made here.
prepare() {
  mkdir -p "$RESULTS"
  if [ -f "$BUNDLE.tar.xz" ] && [ ! -d "$BUNDLE" ]; then tar -C "$ROOT/build" -xJf "$BUNDLE.tar.xz" || exit 1; fi
  if [ -d "$BUNDLE" ]; then
    BIN="$BUNDLE/bin" PETS="$BUNDLE/pets"
    export LD_LIBRARY_PATH="$BUNDLE/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  else
    build release -- -DUNET_WERROR=ON >"$RESULTS/build.log" 2>&1 || { tail -20 "$RESULTS/build.log"; exit 1; }
    BIN="$ROOT/build/release/bin" PETS="${UNET_TEST_DATA:-$ROOT/../shared}/data/pets"
  fi
  export UNET_SOURCE_DIR="$ROOT"  # where the tests find their records
  DEVICE=$("$BIN/bench_step" --device cuda --base-channels 2 --image-size 16 --steps 1 2>&1 >/dev/null)
  if [ -n "$DEVICE" ]; then row "GPU" "none: $DEVICE"; return 1; fi
  row "GPU" "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -1)"
}

ops() {
  step kernels 100 "$BIN/test_cuda_device"
  step step_and_parity 80 "$BIN/test_cuda_engine_device"
  # Bitwise repeatability: three runs of the same training.
  for run in 1 2 3; do
    rm -rf "$RESULTS/repeat$run"
    step "train_run_$run" 60 "$BIN/train_unet" -d "$PETS" --device cuda --precision bf16 --base-channels 16 \
      --image-size 128 -b 16 -e 1 --phase2-epochs 1 --max-steps 40 -o "$RESULTS/repeat$run"
  done
  if cmp -s "$RESULTS"/repeat{1,2}/steps.csv && cmp -s "$RESULTS"/repeat{1,3}/steps.csv; then
    row "three runs, 40 steps" "the same losses and norms, byte for byte"
  else
    row "three runs, 40 steps" "DIFFER"
  fi
}

sanitize() {
  if ! command -v compute-sanitizer >/dev/null; then row compute-sanitizer "not on this machine"; return; fi
  for tool in memcheck racecheck initcheck synccheck; do
    step "$tool" 55 compute-sanitizer --tool "$tool" --error-exitcode 9 "$BIN/test_cuda_device" \
      --gtest_filter='-*Large*:*Sums*'
    row "$tool" "$(grep -E 'ERROR SUMMARY|not supported|RACECHECK SUMMARY' "$RESULTS/$PART.$tool.log" | tail -1)"
  done
}

train() {
  step parity 60 "$BIN/test_cuda_engine_device" --gtest_filter='*Parity*'
  [ -d "$PETS" ] || { row pets "no data"; return; }
  local run="$RESULTS/pets"
  local resume=()
  [ -f "$run/last.safetensors" ] && resume=(--resume auto)
  # Ends with a saved state when its time is up; the next call goes on.
  step pets 150 timeout --preserve-status -s TERM 140 "$BIN/train_unet" -d "$PETS" --device cuda --precision bf16 \
    --base-channels 64 --image-size 256 -b 16 -e 45 -j 8 -o "$run" "${resume[@]}"
  [ -f "$run/metrics.csv" ] && row "epochs, last row of metrics.csv" "$(tail -1 "$run/metrics.csv" | cut -c1-90)"
  for file in best_phase1 best; do
    [ -f "$run/$file.safetensors" ] || continue
    row "test Dice, $file" "$("$BIN/eval_unet" -c "$run/$file.safetensors" -d "$PETS" --split test --device cuda \
      --precision bf16 | awk '/^dice /{print $2}')"
  done
}

bench() {
  step streams 60 "$BIN/bench_kernels" --benchmark_filter='^cuda/'
  while read -r name copy; do row "$name" "$copy % of copy"; done < <(
    awk '/^cuda\//{for (i = 2; i <= NF; ++i) if ($i ~ /^%/) {split($i, a, "="); print $1, a[2]}}' \
      "$RESULTS/$PART.streams.log")
  for batch in 16 32 64; do
    step "pytorch_$batch" 70 python3 "$ROOT/bench/compare_pytorch.py" --bench-step "$BIN/bench_step" --device cuda \
      --precision bf16 --base-channels 64 --image-size 256 --batch-size "$batch" --repeats 5 --compile
    row "base 64, 256^2, N=$batch, bf16" "$(tail -1 "$RESULTS/$PART.pytorch_$batch.log")"
  done
}

[ $# -eq 1 ] || usage
PART="$1"
case "$PART" in
  bundle) set -e; bundle; exit ;;
  ops | sanitize | train | bench)
    trap print_table EXIT
    prepare && "$PART"
    ;;
  all)
    trap print_table EXIT
    prepare && for PART in ops bench train sanitize; do "$PART"; done
    PART=all
    ;;
  *) usage ;;
esac
for line in "${ROWS[@]}"; do case "$line" in *FAILED* | *DIFFER* | GPU*none:*) exit 1 ;; esac; done
