#!/usr/bin/env bash
# Downloads Oxford-IIIT Pet (about 770 MB), checks the archives, unpacks and counts.
#   scripts/get_oxford_pets.sh [DIR]      DIR: where images/ and annotations/ go [oxford_pets]
# UNET_PETS_URL overrides the base address, UNET_PETS_MD5 the two checksums ("IMAGES ANNOTATIONS"; for mirrors and tests).
set -euo pipefail
DIR="${1:-oxford_pets}"
URL="${UNET_PETS_URL:-https://www.robots.ox.ac.uk/~vgg/data/pets/data}"
read -r IMAGES_MD5 ANNOTATIONS_MD5 <<<"${UNET_PETS_MD5:-5c4f3ee8e5d25df40f4fd59a7f44e54c 95a8c909bbe2e81eed6a22bccdf3f68f}"

fail() { echo "get_oxford_pets.sh: $*" >&2; exit 1; }
command -v curl >/dev/null || fail "curl is missing: apt-get install curl"

has_md5() { [ -f "$1" ] && [ "$(md5sum <"$1" | cut -d' ' -f1)" = "$2" ]; }

download() {  # download FILE URL: goes on where FILE ends, or from the beginning if the server knows no byte ranges
  local get=(curl --fail --location --retry 3 --output "$1" "$2")
  "${get[@]}" --continue-at - && return
  case $? in
    33 | 36) rm -f "$1"; "${get[@]}" ;;
    *) return 1 ;;
  esac
}

fetch() {  # fetch ARCHIVE MD5
  local file="$DIR/$1"
  if has_md5 "$file" "$2"; then
    echo "$1: already here"
    return
  fi
  echo "$1: downloading from $URL"
  has_md5 "$file.part" "$2" || download "$file.part" "$URL/$1" ||
    fail "$URL/$1 could not be downloaded; run the script again to continue, or set UNET_PETS_URL to a mirror"
  local found
  found="$(md5sum "$file.part" | cut -d' ' -f1)"
  if [ "$(head -c 2 "$file.part" | od -An -tx1 | tr -d ' \n')" != 1f8b ]; then
    rm -f "$file.part"
    fail "$URL/$1 is not a gzip archive (an error page?); nothing was unpacked"
  fi
  if [ "$found" != "$2" ]; then
    rm -f "$file.part"
    fail "$1 has md5 $found, expected $2; the download is damaged or the archive has changed; nothing was unpacked"
  fi
  mv "$file.part" "$file"
}

mkdir -p "$DIR" || fail "cannot make the folder $DIR"
fetch images.tar.gz "$IMAGES_MD5"
fetch annotations.tar.gz "$ANNOTATIONS_MD5"

STAMP="$DIR/.unpacked"  # written last: an interrupted unpacking is done again, a finished one is left alone
if ! [ -d "$DIR/images" ] || ! [ -d "$DIR/annotations" ] ||
  [ "$(cat "$STAMP" 2>/dev/null)" != "$IMAGES_MD5 $ANNOTATIONS_MD5" ]; then
  for archive in images annotations; do
    tar -xzf "$DIR/$archive.tar.gz" -C "$DIR" || fail "$DIR/$archive.tar.gz could not be unpacked"
  done
  find "$DIR/annotations" -name '._*' -delete
  echo "$IMAGES_MD5 $ANNOTATIONS_MD5" >"$STAMP"
fi

names() { grep -v -c -e '^#' -e '^[[:space:]]*$' "$DIR/annotations/$1"; }
echo "$DIR: $(find "$DIR/images" -type f -name '*.jpg' | wc -l) images, $(find "$DIR/annotations/trimaps" -name '*.png' | wc -l) trimaps," \
  "$(names trainval.txt) names to train and validate on, $(names test.txt) to test on"
echo "train on it: train_unet -d $DIR"
