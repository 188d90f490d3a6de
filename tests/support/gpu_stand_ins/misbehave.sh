# Sourced by the stand-ins: the one whose name and words match STAND_IN_FAILS fails, STAND_IN_HANGS hangs.
said="$(basename "$0") $*"
if [[ -n "${STAND_IN_FAILS:-}" && "$said" =~ $STAND_IN_FAILS ]]; then
  echo "stand-in error: made to fail"
  exit 3
fi
if [[ -n "${STAND_IN_HANGS:-}" && "$said" =~ $STAND_IN_HANGS ]]; then sleep 300; fi
