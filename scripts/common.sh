# Shared by the scripts of this folder: `source`d, not run.
# Finds the project, installs what is missing on Debian 12 / Ubuntu 24.04, configures and builds a preset.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
JOBS="$(nproc)"

say() { printf '\n== %s\n' "$*"; }

# install_packages PACKAGE...: apt installs those that are missing; quick when none is.
install_packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  if [ "${#missing[@]}" -eq 0 ]; then return; fi
  say "installing ${missing[*]}"
  local sudo=""
  if [ "$(id -u)" -ne 0 ]; then sudo="sudo"; fi
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

BUILD_PACKAGES=(build-essential cmake ninja-build libpng-dev libjpeg-dev libdnnl-dev libcli11-dev
                nlohmann-json3-dev libfmt-dev)

# cuda_options: what a person's own build takes of the CUDA back end, an option a line: all chips would be minutes of
# compiling, so the GPUs of this machine alone, and nothing without one. Drivers before 510 do not tell the chip.
cuda_options() {
  local chips
  if ! timeout 20 nvidia-smi -L 2>/dev/null | grep '^GPU ' >/dev/null; then echo -DUNET_CUDA=OFF; return; fi
  echo -DUNET_CUDA=ON
  chips="$({ timeout 20 nvidia-smi --query-gpu=compute_cap --format=csv,noheader || true; } | tr -d '. \r' |
    sed -n 's/^[0-9]\{2,3\}$/&-real/p' | sort -nu | paste -sd ';')"
  if [ -n "$chips" ]; then echo "-DUNET_CUDA_ARCHITECTURES=$chips"; else echo -UUNET_CUDA_ARCHITECTURES; fi
}

# source_files: every C++ and CUDA file, one a line. Not from git, which a copied folder lacks.
source_files() {
  (cd "$ROOT" && find apps bench engine kernels models tests -type f \
    \( -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \))
}

# build PRESET TARGET... [-- CMAKE_OPTION...]: configures build/PRESET and builds the targets (none: everything).
build() {
  local preset="$1" targets=() options=()
  shift
  while [ $# -gt 0 ] && [ "$1" != "--" ]; do targets+=("$1"); shift; done
  if [ $# -gt 0 ]; then shift; options=("$@"); fi
  if command -v ccache >/dev/null; then options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  (cd "$ROOT" && cmake --preset "$preset" "${options[@]}" >"$ROOT/build/$preset.configure.log" 2>&1) ||
    { cat "$ROOT/build/$preset.configure.log"; return 1; }
  cmake --build "$ROOT/build/$preset" -j "$JOBS" ${targets[@]:+--target "${targets[@]}"}
}
mkdir -p "$ROOT/build"
