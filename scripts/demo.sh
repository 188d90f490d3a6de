#!/usr/bin/env bash
# The main job, from a fresh Debian 12 / Ubuntu 24.04 machine: installs what is missing, builds, makes a synthetic data
# set, trains both phases, evaluates and writes overlays.
#   scripts/demo.sh [DIR]     DIR: where data, checkpoints and pictures go [demo]; an existing one is replaced
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
DIR="${1:-$ROOT/demo}"

install_packages "${BUILD_PACKAGES[@]}"
say "build"
mapfile -t CUDA_OPTIONS < <(cuda_options)
build release train_unet eval_unet predict_unet make_sample_pets -- -DBUILD_TESTING=OFF -DUNET_BENCH=OFF \
  "${CUDA_OPTIONS[@]}"
BIN="$ROOT/build/release/bin"

say "synthetic pictures"
rm -rf "$DIR/sample_pets" "$DIR/run" "$DIR/overlays" "$DIR/predictions"
mkdir -p "$DIR"
"$BIN/make_sample_pets" -o "$DIR/sample_pets" --trainval 240 --test 60 --seed 1

say "train: phase 1 (cross-entropy), then phase 2 (soft-Dice) from its best checkpoint"
"$BIN/train_unet" -d "$DIR/sample_pets" -o "$DIR/run" --base-channels 16 --image-size 128 -b 8 -e 8 --lr 2e-3 --seed 0

say "evaluate"
"$BIN/eval_unet" -c "$DIR/run/best.safetensors" -d "$DIR/sample_pets" --split test --json "$DIR/run/test.json" \
  --overlays "$DIR/overlays"
"$BIN/predict_unet" -c "$DIR/run/best.safetensors" -o "$DIR/predictions" \
  "$(find "$DIR/sample_pets/images" -name '*.jpg' | sort | tail -1)"

echo
echo "report:    $DIR/run/report.html"
echo "overlays:  $DIR/overlays (photo | truth | prediction | comparison)"
printf 'test dice %.4f\n' "$(grep -m 1 '"dice":' "$DIR/run/test.json" | grep -o '[0-9.]*')"
