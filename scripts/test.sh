#!/usr/bin/env bash
# All tests, from a fresh Debian 12 / Ubuntu 24.04 machine: installs what is missing, builds, runs the op tests under
# sanitizers and then everything in release. Ends with ctest's summary.
#   scripts/test.sh            the normal run
#   scripts/test.sh --quick    release only
#   scripts/test.sh --long     also data and files under sanitizers, ThreadSanitizer included
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

QUICK=0 LONG=0
for argument in "$@"; do
  case "$argument" in
    --quick) QUICK=1 ;;
    --long) LONG=1 ;;
    *) echo "usage: scripts/test.sh [--quick | --long]" >&2; exit 2 ;;
  esac
done

install_packages "${BUILD_PACKAGES[@]}" libgtest-dev libbenchmark-dev python3 clang-format

if [ "$QUICK" -eq 0 ]; then
  say "clang-format"
  if [ "$(clang-format --version | grep -o 'version [0-9]*')" = "version 14" ]; then
    (cd "$ROOT" && git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' | xargs clang-format --dry-run --Werror)
  else
    echo "skipped: the style is checked by clang-format 14 only, this is $(clang-format --version)"
  fi
fi

say "build: release"
build release -- -DUNET_WERROR=ON -DBUILD_TESTING=ON -DUNET_BENCH=ON

if [ "$QUICK" -eq 0 ]; then
  SANITIZED=(test_ops test_conv test_kernels_norm test_kernels_loss)
  if [ "$LONG" -eq 1 ]; then SANITIZED+=(test_train test_data test_files); fi
  say "AddressSanitizer, UndefinedBehaviorSanitizer: ${SANITIZED[*]}"
  build asan "${SANITIZED[@]}" -- -DUNET_WERROR=ON -DUNET_BENCH=OFF
  UBSAN_OPTIONS=print_stacktrace=1 ctest --test-dir "$ROOT/build/asan" -j "$JOBS" --output-on-failure \
    --no-tests=error -E NOT_BUILT
fi

if [ "$LONG" -eq 1 ]; then
  say "ThreadSanitizer: loader and files"
  build tsan test_data test_files -- -DUNET_WERROR=ON -DUNET_BENCH=OFF
  ctest --test-dir "$ROOT/build/tsan" -j "$JOBS" --output-on-failure --no-tests=error \
    -R 'Loader|Csv|DurableFile|Safetensors'
fi

say "all tests: release"
ctest --test-dir "$ROOT/build/release" -j "$JOBS" --output-on-failure --no-tests=error
