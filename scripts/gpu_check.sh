#!/usr/bin/env bash
# What only a GPU can show, in two commands of at most nine minutes, the most valuable figures first.
#   scripts/gpu_check.sh bundle         on a machine without a GPU: packs build/gpu_bundle.tar.xz, programs for sm_90 with
#                                       their libraries, tests and pets. The GPU's machine needs it, and only a driver and
#                                       Python with PyTorch, whose cuDNN and cuBLASLt are used.
#   scripts/gpu_check.sh first          kernels and steps against the CPU; a step at N=32 against PyTorch
#   scripts/gpu_check.sh second         N=16, 64, 1; repeatability; ncu; streams; sanitizers; pets
#   scripts/gpu_check.sh step NAME...   these steps, even if they have passed before
#   scripts/gpu_check.sh list           the steps of both
# One short table comes last. Every figure is printed and saved the moment it is there: in build/gpu_check and, if OUT is set, in that folder as
# gpu_check_table.txt and gpu_check_logs.tar.gz. A step that fails or hangs stops no other; the exit code is 1 then. A
# step that has passed is not run again by first and second; on a fresh machine gpu_check_logs.tar.gz in build/ tells.
# Environment: UNET_GPU_SECONDS (530) for first or second, UNET_GPU_LIMIT_<step> seconds for one step; UNET_GPU_PROGRAMS
# and UNET_GPU_PETS in place of the bundle's folders, UNET_GPU_RESULTS in place of build/gpu_check.
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set +e

BUNDLE="$ROOT/build/gpu_bundle"
RESULTS="${UNET_GPU_RESULTS:-$ROOT/build/gpu_check}"
LOGS="$RESULTS/logs" RUNS="$RESULTS/runs" TABLE="$RESULTS/table.txt"
FIRST=(gpu kernels steps pytorch_32)
SECOND=(pytorch_1_16_64 repeat parity profile streams memcheck racecheck initcheck synccheck pets)
PROGRAMS=(train_unet eval_unet predict_unet bench_step bench_kernels test_kernels_cuda_device test_engine_cuda_device)
# What is measured. TUNED lets ours choose among convolutions as cudnn.benchmark does for PyTorch.
NET=(--base-channels 64 --image-size 256)
ON_GPU=(--device cuda --precision bf16)
TUNED=(--autotune)

# ---- rows, logs and limits -------------------------------------------------------------------------------------------

# row NAME VALUE: a line of the table, at once.
row() {
  local line
  line="$(printf '%-56s | %s' "$1" "$2")"
  printf '%s\n' "$line"
  printf '%s\n' "$line" >>"$TABLE"
  if [ -n "${OUT:-}" ]; then cp "$TABLE" "$OUT/gpu_check_table.txt"; fi
}

# Logs, marks of what has passed and the table, as they are now.
save_logs() {
  [ -n "${OUT:-}" ] || return 0
  tar -C "$RESULTS" -czf "$OUT/gpu_check_logs.tar.gz.new" logs table.txt &&
    mv "$OUT/gpu_check_logs.tar.gz.new" "$OUT/gpu_check_logs.tar.gz"
}

# A line of a step's log that holds a row for the table.
plain_line() {
  case "$1" in "row: "*" | "*) local text="${1#row: }"; row "${text%% | *}" "${text#* | }" ;; esac
}

# follow LOG PROCESS: gives every line of the log to ON_LINE as it is written, until the process has ended.
follow() {
  local line part="" running=1 log
  exec {log}<"$1"
  while :; do
    kill -0 "$2" 2>/dev/null || running=0
    while IFS= read -r -u "$log" line || { part+="$line" && false; }; do
      "$ON_LINE" "$part$line"
      part=""
    done
    [ "$running" -eq 1 ] || break
    sleep 0.1
  done
  exec {log}<&-
}

# run_step NAME SECONDS COMMAND...: its output to a log, a row that says how it ended. True if it passed. Set for one call:
# ON_LINE, called with every line of the log; CHECK, called with the log of a command that ended well: prints what to add
# to the row, or is false and says what is wrong.
run_step() {
  local name="$1" limit="$2" log="$LOGS/$1.log" begin=$SECONDS left=$((END - SECONDS)) own code text=""
  shift 2
  own="UNET_GPU_LIMIT_${name//[^a-zA-Z0-9]/_}"
  limit="${!own:-$limit}"
  if [ "$left" -lt 5 ]; then row "$name" "not begun: no time left"; return 1; fi
  if [ "$limit" -gt "$left" ]; then limit="$left"; fi
  : >"$log"
  timeout -k 10 "$limit" "$@" >"$log" 2>&1 &
  follow "$log" $!
  wait $!
  code=$?
  if [ "$code" -eq 0 ] && text="$("${CHECK:-true}" "$log")"; then
    row "$name" "passed${text:+: $text} ($((SECONDS - begin)) s)"
    return 0
  fi
  case "$code" in
    0) row "$name" "FAILED: $text" ;;
    124 | 137) row "$name" "cut short after $limit s" ;;
    *) row "$name" "FAILED (exit code $code): $(reason_in "$log")" ;;
  esac
  return "$((code == 0 ? 1 : code))"
}

# The line of a log that names the failure best.
reason_in() {
  local line
  line="$(grep -aE 'FAILED|rror|not found' "$1" | tail -1)"
  [ -n "$line" ] || line="$(tail -n 1 "$1")"
  printf '%s' "${line:-nothing was printed}" | tr -d '|' | cut -c1-140
}

# For CHECK: how many tests passed. Without a device most skip themselves: that is a failure.
tests_ran() {
  local passed skipped
  passed="$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$1" | tail -1)"
  skipped="$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) test.*/\1/p' "$1" | tail -1)"
  if [ "${passed:-0}" -gt "${skipped:-0}" ]; then
    echo "$passed tests${skipped:+, $skipped skipped}"
  else
    echo "${passed:-0} tests ran, ${skipped:-0} were skipped"
    return 1
  fi
}

# test_step NAME SECONDS PROGRAM...: where it fails, once more with every launch waited for.
test_step() {
  local name="$1" limit="$2" code
  shift 2
  CHECK=tests_ran run_step "$name" "$limit" "$@"
  code=$?
  case "$code" in 0 | 124 | 137) return "$code" ;; esac
  CHECK=tests_ran run_step "$name.blocking" "$limit" env CUDA_LAUNCH_BLOCKING=1 "$@"
  return "$code"
}

# ---- steps -----------------------------------------------------------------------------------------------------------

gpu_line() { case "$1" in *,*,*) row "GPU" "$1" ;; esac; }

step_gpu() {
  ON_LINE=gpu_line run_step gpu 20 nvidia-smi --format=csv,noheader \
    --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit,temperature.gpu
  row "cuDNN" "${UNET_CUDNN:-by the usual search}"
  row "cuBLASLt" "${UNET_CUBLASLT:-by the usual search}"
  row "programs" "$("$BIN/bench_step" --version 2>&1 | head -1), $(cat "$BIN/../commit" 2>/dev/null || echo "no bundle")"
}

step_kernels() { test_step kernels 60 "$BIN/test_kernels_cuda_device"; }
step_steps() {
  test_step steps 60 "$BIN/test_engine_cuda_device" --gtest_filter='-*Parity*'
  step_parity
}
step_parity() { test_step parity 40 "$BIN/test_engine_cuda_device" --gtest_filter='*Parity*'; }

step_pytorch_32() {
  run_step pytorch_32 200 python3 -u "$ROOT/bench/gpu_pytorch.py" --batch-sizes 32 --compile 110 "${NET[@]}" -- \
    "$BIN/bench_step" "${ON_GPU[@]}" "${TUNED[@]}"
}
step_pytorch_1_16_64() {
  run_step pytorch_1_16_64 200 python3 -u "$ROOT/bench/gpu_pytorch.py" --batch-sizes 16 64 1 "${NET[@]}" -- \
    "$BIN/bench_step" "${ON_GPU[@]}" "${TUNED[@]}"
}

# Once to fill the caches of plans, then three times: losses, norms and weights must be the same byte for byte.
step_repeat() {
  local run file same="the same losses, norms and weights"
  for run in warm 1 2 3; do
    rm -rf "$RUNS/repeat_$run"
    run_step "repeat_$run" 60 "$BIN/train_unet" -d "$PETS" "${NET[@]}" "${ON_GPU[@]}" -b 16 -e 1 \
      --phase2-epochs 1 --max-steps 12 --keep 0 -j 8 -o "$RUNS/repeat_$run"
  done
  for run in 2 3; do
    for file in steps.csv best.safetensors; do
      cmp -s "$RUNS"/repeat_{1,"$run"}/"$file" || same="FAILED: $file of run $run differs or is not there"
    done
  done
  row "three runs of 12 steps with warm caches" "$same"
  rm -rf "$RUNS"/repeat_*
}

# Nsight Compute's time and bytes for every kernel of a step, and what the model of a step had said. The first run fills
# the caches of plans.
step_profile() {
  local step=("$BIN/bench_step" "${NET[@]}" "${ON_GPU[@]}" --batch-size 32 --steps 1)
  run_step profile_warm 60 "${step[@]}"
  run_step profile 120 ncu --clock-control none --cache-control none --target-processes all --csv --log-file \
    "$LOGS/ncu.csv" --metrics gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum "${step[@]}"
  run_step profile_table 30 python3 "$ROOT/bench/gpu_ncu.py" "$LOGS/ncu.csv" --launches "$LOGS/ncu_step.csv"
  run_step profile_model 30 python3 "$ROOT/bench/gpu_model.py" "${NET[@]}" --batch-size 32 --precision bf16 \
    --chip "$(nvidia-smi --format=csv,noheader --query-gpu=name)" --ncu "$LOGS/ncu.csv"
}

# A line of Google Benchmark's CSV: name, iterations, four times, ..., the counters in the order of their names.
stream_line() {
  local cells
  case "$1" in
    '"cuda/'*)
      IFS=, read -r -a cells <<<"${1//\"/}"
      row "${cells[0]%%/iterations*}" "$(awk -v us="${cells[2]}" -v rate="${cells[10]}" -v share="${cells[11]}" 'BEGIN {
        printf "%.1f us, %.0f GB/s, %.1f %% of copy%s", us, rate, share, share < 85 ? " (gate 85: MISSED)" : "" }')"
      ;;
    *": copy "*) row "copy on the device" "$1" ;;
  esac
}
streams_ran() { grep -qa '^"cuda/' "$1" || { echo "no kernel was measured"; return 1; }; }
step_streams() {
  ON_LINE=stream_line CHECK=streams_ran run_step streams 90 stdbuf -oL "$BIN/bench_kernels" \
    --benchmark_filter='^cuda/' --benchmark_format=csv
}

# Families of kernels for the sanitizers, all at once. Tests that call cuBLASLt or cuDNN are left out, and large ones.
declare -A FAMILIES=(
  [elementwise]='CudaElementwise.*'
  [losses]='CudaLosses.*'
  [movements]='CudaRelu.*:CudaMaxPool.*:CudaPad.*:CudaUpsample.*:CudaChannelSum.*:CudaFoldNorm.*:CudaRunningStats.*'
  [norm_act]='CudaNormAct.*-*ManyValues*:*ManyBlocks*'
  [products]='CudaProducts.*-*ConvTranspose*:*Convolution*'
  [step]='CudaStep.*'
)
found_nothing() {
  local summary
  summary="$(grep -aE 'ERROR SUMMARY|RACECHECK SUMMARY' "$1" | tail -1 | sed 's/^=* *//')"
  case "$summary" in
    *"SUMMARY: 0 "*) tests_ran "$1" ;;
    *) echo "${summary:-no summary}"; return 1 ;;
  esac
}
sanitize() {
  local family
  for family in "${!FAMILIES[@]}"; do
    CHECK=found_nothing run_step "$1.$family" 90 compute-sanitizer --tool "$1" --error-exitcode 9 \
      "$BIN/test_kernels_cuda_device" --gtest_filter="${FAMILIES[$family]}" &
  done
  wait
  row "$1" "$(tail -n +"$((ROWS_BEFORE + 1))" "$TABLE" | grep -c "^$1\..*| passed") of ${#FAMILIES[@]} families clean"
}
step_memcheck() { sanitize memcheck; }
step_racecheck() { sanitize racecheck; }
step_initcheck() { sanitize initcheck; }
step_synccheck() { sanitize synccheck; }

dice_line() { case "$1" in "dice "*) row "pets, test Dice, $FILE" "$(awk '{print $2}' <<<"$1")" ;; esac; }
step_pets() {
  local run="$RUNS/pets" begin=$SECONDS
  rm -rf "$run"
  run_step pets 170 "$BIN/train_unet" -d "$PETS" "${NET[@]}" "${ON_GPU[@]}" "${TUNED[@]}" -b 16 -e 30 -j 12 \
    --keep 0 -o "$run"
  row "pets, two phases" "$(awk -v s=$((SECONDS - begin)) -v epochs="$(grep -c '^[12],' "$run/metrics.csv")" \
    'BEGIN { printf "%d epochs in %.2f minutes", epochs, s / 60 }')"
  for FILE in best_phase1 best; do
    ON_LINE=dice_line run_step "pets_$FILE" 60 "$BIN/eval_unet" -c "$run/$FILE.safetensors" -d "$PETS" --split test \
      "${ON_GPU[@]}"
  done
  cp "$run"/{metrics.csv,run.json,plans.json} "$LOGS/" 2>/dev/null
  rm -rf "$run"
}

# ---- the bundle ------------------------------------------------------------------------------------------------------

bundle() {
  local data="${UNET_TEST_DATA:-$ROOT/../shared}/data/pets" build="$ROOT/build/sm90" options=() size
  if command -v ccache >/dev/null; then
    options=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  fi
  # DT_RPATH, which also serves the libraries' own libraries: the environment of other programs there stays as it is.
  cmake -S "$ROOT" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DUNET_WERROR=ON -DUNET_CUDA_ARCHITECTURES=90-real \
    "-DCMAKE_BUILD_RPATH=\$ORIGIN/../lib" -DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags "${options[@]}"
  cmake --build "$build" -j "$JOBS" --target "${PROGRAMS[@]}"
  rm -rf "$BUNDLE" "$BUNDLE.tar.xz" && mkdir -p "$BUNDLE/bin" "$BUNDLE/lib"
  cp "${PROGRAMS[@]/#/$build/bin/}" "$BUNDLE/bin/"
  strip "$BUNDLE"/bin/*
  # glibc and the driver are the other machine's; all else goes along.
  ldd "$BUNDLE"/bin/* | awk '/=> \//{print $3}' | sort -u |
    grep -vE '/(libc|libm|libdl|libpthread|librt|libcuda|ld-linux[^/]*)\.so' | xargs -I{} cp -L {} "$BUNDLE/lib/"
  strip --strip-unneeded "$BUNDLE"/lib/*
  cp -r "$data" "$BUNDLE/pets"
  chmod -R u+w "$BUNDLE"
  git -C "$ROOT" describe --always --dirty --abbrev=10 >"$BUNDLE/commit"
  tar -C "$ROOT/build" -cf - gpu_bundle | xz -9e --lzma2=preset=9e,dict=192MiB >"$BUNDLE.tar.xz"
  rm -rf "$BUNDLE"
  size=$(stat -c %s "$BUNDLE.tar.xz")
  echo "$BUNDLE.tar.xz: $((size / 1000000)) MB"
  if [ "$size" -gt 45000000 ]; then echo "larger than 45 MB" >&2; return 1; fi
}

# Where the programs and pets are, unpacked if need be; and PyTorch's cuDNN and cuBLASLt, for our programs.
find_programs() {
  BIN="${UNET_GPU_PROGRAMS:-$BUNDLE/bin}" PETS="${UNET_GPU_PETS:-$BUNDLE/pets}"
  if [ -z "${UNET_GPU_PROGRAMS:-}" ] && [ "$BUNDLE.tar.xz" -nt "$BUNDLE/commit" ]; then
    rm -rf "$BUNDLE"
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$BUNDLE.tar.xz" "$ROOT/build"
    touch "$BUNDLE/commit"
  fi
  if [ ! -x "$BIN/bench_step" ]; then
    echo "no programs in $BIN: carry build/gpu_bundle.tar.xz here, made by scripts/gpu_check.sh bundle" >&2
    exit 1
  fi
  export UNET_SOURCE_DIR="$ROOT"  # where the tests find their records
  eval "$(python3 - <<'PYTHON'
import glob, importlib.util, os, shlex
specs = [importlib.util.find_spec(name) for name in ("nvidia", "torch")]
folders = [folder for spec in specs if spec for folder in spec.submodule_search_locations]
for variable, patterns in (("UNET_CUDNN", ("cudnn/lib/libcudnn.so.9", "lib/libcudnn.so.9")),
                           ("UNET_CUBLASLT", ("*/lib/libcublasLt.so.1[23]", "lib/libcublasLt.so.1[23]"))):
    found = sorted((path for folder in folders for pattern in patterns for path in glob.glob(f"{folder}/{pattern}")),
                   key=os.path.basename)
    if found:
        print(f"export {variable}=${{{variable}:-{shlex.quote(found[-1])}}}")
PYTHON
)"
}

usage() { sed -n '2,/^# shellcheck/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2; }

# Whether a row after the first COUNT ones tells of a failure. (grep reads to the end: a pipe that it left would fail.)
bad_rows_after() { tail -n +"$(($1 + 1))" "$TABLE" | grep -E '\| (FAILED|cut short|not begun)' >/dev/null; }

# The rows of this call once more, less those of single kernels and runs, and what they come to.
finish() {
  local left
  left="$(jobs -p)"
  # shellcheck disable=SC2086
  if [ -n "$left" ]; then kill $left 2>/dev/null; fi
  save_logs
  printf '\n== gpu_check %s\n' "$TITLE"
  tail -n +"$((ROWS_BEFORE + 1))" "$TABLE" |
    sed -E '/^(model and )?ncu, a step/b
      /^((model and )?ncu, |cuda\/)|^N=.*(first ratio|, (last )?run)|^[a-z]*check\.|^(repeat|profile)_/{/FAILED|MISSED|cut short|not begun/!d}'
  if bad_rows_after "$ROWS_BEFORE"; then exit 1; fi
  exit 0
}

TITLE="$*" AGAIN=0
case "${1:-}" in
  bundle) set -e; bundle; exit ;;
  list) echo "first: ${FIRST[*]}"; echo "second: ${SECOND[*]}"; exit ;;
  first) STEPS=("${FIRST[@]}") ;;
  second) STEPS=("${SECOND[@]}") ;;
  step) shift; STEPS=("$@") AGAIN=1 ;;
  *) usage ;;
esac
for name in "${STEPS[@]}"; do
  declare -F "step_$name" >/dev/null || { echo "no step \"$name\": ${FIRST[*]} ${SECOND[*]}" >&2; exit 2; }
done

ON_LINE=plain_line CHECK="" END=$((SECONDS + ${UNET_GPU_SECONDS:-530}))
if [ ! -d "$RESULTS" ] && [ -f "$ROOT/build/gpu_check_logs.tar.gz" ] && [ -z "${UNET_GPU_RESULTS:-}" ]; then
  mkdir -p "$RESULTS"
  tar -C "$RESULTS" -xzf "$ROOT/build/gpu_check_logs.tar.gz"
fi
mkdir -p "$LOGS" "$RUNS"
touch "$TABLE"
ROWS_BEFORE=$(wc -l <"$TABLE")
find_programs
trap 'exit 130' INT TERM
trap finish EXIT
for name in "${STEPS[@]}"; do
  if [ "$AGAIN" -eq 0 ] && [ -f "$LOGS/$name.passed" ]; then row "$name" "passed before"; continue; fi
  say "$name"
  rows=$(wc -l <"$TABLE")
  "step_$name"
  rm -f "$LOGS/$name.passed"
  bad_rows_after "$rows" || : >"$LOGS/$name.passed"
  save_logs
done
