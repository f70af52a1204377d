#!/bin/sh
# bench/reproduce and bench/draw: what they refuse, and that they then leave
# nothing behind; what they make of a scale.
set -eu
export LC_ALL=C # a decimal point is a point
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

die() {
    echo "tests/bench.sh: $1" >&2
    exit 1
}
[ -x eos ] || die "eos: not there; make it first"
export LOGS="$tmp/logs"

refuses() { # WORD COMMAND...: one line with that word, status 2, no folder
    word=$1 status=0
    shift
    "$@" >"$tmp/out" 2>"$tmp/err" || status=$?
    [ $status = 2 ] || die "$*: status $status"
    [ ! -s "$tmp/out" ] || die "$*: says $(cat "$tmp/out")"
    [ "$(wc -l <"$tmp/err")" = 1 ] || die "$*: $(cat "$tmp/err")"
    grep -qF -e "$word" "$tmp/err" || die "$*: $(cat "$tmp/err")"
    [ ! -e "$LOGS" ] || die "$*: made $(find "$LOGS")"
}

echo "== a scale is a number above 0 and at most 1"
for scale in abc 2 0 -1 1,5 nan inf 0x1 1e-400 '0.1 0.2' ../up; do
    refuses "SCALE=$scale: " env SCALE="$scale" bench/reproduce toy-005
    refuses "SCALE=$scale: " env SCALE="$scale" bench/draw fig3-portrait
done
for scale in 0.1 .1 1e-1 0.10; do
    SCALE=$scale bench/reproduce toy-005 >"$tmp/out"
done
[ "$(echo "$LOGS"/*)" = "$LOGS/scale-0.1" ] || die "$(echo "$LOGS"/*)"
[ -s "$LOGS/scale-0.1/toy-005.time" ] || die "no run"
rm -r "$LOGS"

echo "== images that are missing are named, with how to get them"
for name in cnn-ce-020-kick mlp-train-005; do
    refuses "DATA: $tmp/none.bin: not there; make data" env \
        DATA="$tmp/none.bin" TEST=README.md bench/reproduce toy-005 $name
done
refuses "TEST: $tmp/none.bin: not there; make data" env \
    DATA=README.md TEST="$tmp/none.bin" bench/reproduce mlp-train-005
refuses "no-such-run: not in" bench/reproduce no-such-run
DATA="$tmp/none.bin" SCALE='' bench/reproduce toy-005 >"$tmp/out"
[ -s "$LOGS/toy-005.time" ] || die "a toy needs no images"
