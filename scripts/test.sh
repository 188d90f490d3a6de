#!/usr/bin/env bash
# All tests, from a fresh Debian 12 / Ubuntu 24.04 machine: installs what is missing, builds, runs a part under
# sanitizers and then everything in release. Ends with ctest's summary.
#   scripts/test.sh            the normal run
#   scripts/test.sh --quick    release only
#   scripts/test.sh --long     all tests under AddressSanitizer and UndefinedBehaviorSanitizer, loader and checkpoints
#                              under ThreadSanitizer, the fuzzers for a minute each, and the large sizes (UNET_LONG=1)
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

QUICK=0 LONG=0
for argument in "$@"; do
  case "$argument" in
    --quick) QUICK=1 ;;
    --long) LONG=1 ;;
    *) echo "usage: scripts/test.sh [--quick | --long]" >&2; exit 2 ;;
  esac
done

install_packages "${BUILD_PACKAGES[@]}" libgtest-dev libbenchmark-dev python3 clang-format strace

if [ "$QUICK" -eq 0 ]; then
  say "clang-format"
  if [ "$(clang-format --version | grep -o 'version [0-9]*')" = "version 14" ]; then
    source_files | (cd "$ROOT" && xargs clang-format --dry-run --Werror)
  else
    echo "skipped: the style is checked by clang-format 14 only, this is $(clang-format --version)"
  fi
fi

say "build: release"
CUDA_CHIPS="80-real;90-real;90-virtual"
if [ "$LONG" -eq 1 ]; then CUDA_CHIPS="75-real;80-real;86-real;89-real;90-real;100-real;120-real;120-virtual"; fi
build release -- -DUNET_WERROR=ON -DUNET_TOGETHER=ON -DBUILD_TESTING=ON -DUNET_BENCH=ON -DUNET_CUDA=ON \
  "-DUNET_CUDA_ARCHITECTURES=$CUDA_CHIPS"
if [ ! -x "$ROOT/build/release/bin/test_kernels_cuda_device" ]; then
  echo "The CUDA back end was not built: nvcc or cudnn.h was not found."
  if [ -n "${UNET_REQUIRE_CUDA:-}" ]; then exit 1; fi
fi

if [ "$QUICK" -eq 0 ]; then
  SANITIZED=(test_kernels test_engine test_kernels_cuda test_engine_cuda) TOGETHER=ON
  if [ "$LONG" -eq 1 ]; then SANITIZED=(all) TOGETHER=OFF; fi  # each file alone shows what it forgot to include
  say "AddressSanitizer, UndefinedBehaviorSanitizer: ${SANITIZED[*]}"
  build asan "${SANITIZED[@]}" -- -DUNET_WERROR=ON -DUNET_TOGETHER="$TOGETHER" -DUNET_BENCH=OFF
  export UBSAN_OPTIONS=print_stacktrace=1
  if [ "$LONG" -eq 1 ]; then
    ctest --test-dir "$ROOT/build/asan" -j "$JOBS" --output-on-failure --no-tests=error -E "Winograd|FirstLayer"
  else  # a process a program, not a test: a sanitizer takes a while to begin
    printf '%s\n' "${SANITIZED[@]}" | xargs -P "$JOBS" -I{} timeout 1800 "$ROOT/build/asan/bin/{}" --gtest_brief=1 \
      --gtest_filter='-*Winograd*:*FirstLayer*'
  fi
fi

if [ "$LONG" -eq 1 ]; then
  say "ThreadSanitizer: loader and checkpoints"
  build tsan test_engine_data test_apps -- -DUNET_WERROR=ON -DUNET_TOGETHER=ON -DUNET_BENCH=OFF
  ctest --test-dir "$ROOT/build/tsan" -j "$JOBS" --output-on-failure --no-tests=error \
    -R 'Loader|Csv|DurableFile|Safetensors|Checkpoint'

  say "libFuzzer: a minute each"
  if echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
    clang++ -fsanitize=fuzzer,address -x c++ - -o "$ROOT/build/fuzzer_links" 2>/dev/null; then
    build fuzz fuzz_checkpoint fuzz_record fuzz_list fuzz_image fuzz_options fuzz_class_map fuzz_torch_file write_seeds \
      -- -DUNET_WERROR=ON
    FOUND="$ROOT/build/fuzz/corpus"
    "$ROOT/build/fuzz/bin/write_seeds" "$FOUND"
    for target in checkpoint record list image options class_map torch_file; do
      "$ROOT/build/fuzz/bin/fuzz_$target" -max_total_time=60 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=512 \
        -max_len=65536 -print_final_stats=1 -artifact_prefix="$FOUND/finding_${target}_" "$FOUND/$target" \
        >"$FOUND/$target.log" 2>&1 || { tail -n 100 "$FOUND/$target.log"; exit 1; }
      echo "$target: $(grep number_of_executed_units "$FOUND/$target.log")"
    done
  else
    echo "skipped: 7 fuzzers, which need clang with its run-time libraries (clang, libclang-rt-*-dev)"
  fi
fi

say "all tests: release"
if [ "$LONG" -eq 1 ]; then export UNET_LONG=1; fi  # the large sizes; under the sanitizers they would take hours
ctest --test-dir "$ROOT/build/release" -j "$JOBS" --output-on-failure --no-tests=error
