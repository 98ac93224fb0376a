#!/usr/bin/env bash
# Compares models with recordings of bitnet.cpp: a sweep in shards, one report of all, and a receipt of each model. What a
# CI calls, and what gives the same on one machine:
#
#   bash ci/crossval.sh shard I N    part I of N of the sweep, for `merge`
#   bash ci/crossval.sh merge        the verdict and one report of all parts
#   bash ci/crossval.sh receipt      every bit of models/NAME.gguf against recordings/NAME, sealed, and verified
#   bash ci/crossval.sh all N        all of these, one after the other
#
# The exit code is that of `bittern crossval`: 0 passed, 1 diverged, 3 could not compare.
set -uo pipefail

BITTERN=${BITTERN:-npx --no-install bittern}
SWEEP=${SWEEP:-crossval.yaml}
OUT=${OUT:-crossval-out}
# Annotations and the summary of the step, where there is somebody to show them.
GITHUB_FLAG=${GITHUB_ACTIONS:+--github}

shard() {
  # shellcheck disable=SC2086 # words of a command
  $BITTERN crossval sweep "$SWEEP" --shard "$1/$2" --out "$OUT/shard-$1.json" $GITHUB_FLAG
}

merge() {
  # shellcheck disable=SC2086
  $BITTERN crossval merge "$OUT"/shard-*.json --out "$OUT/sweep.json" --html "$OUT/report.html" --junit "$OUT/report.xml" $GITHUB_FLAG
}

receipt() {
  local code=0 model name
  for model in models/*.gguf; do
    name=$(basename "$model" .gguf)
    $BITTERN crossval -m "$model" --reference "recordings/$name" --exact --receipt "$OUT/$name.receipt.json" &&
      $BITTERN verify-receipt "$OUT/$name.receipt.json" -m "$model" || code=$?
  done
  return "$code"
}

all() {
  # The verdict is that of all parts together: a part that fails stops no other.
  rm -f "$OUT"/shard-*.json
  for i in $(seq "$1"); do shard "$i" "$1" || true; done
  merge && receipt
}

mkdir -p "$OUT"
case "${1:-} $#" in
  'shard 3' | 'merge 1' | 'receipt 1' | 'all 2') "$@" ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
