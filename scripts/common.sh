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
