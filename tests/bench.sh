#!/bin/sh
# bench/reproduce and bench/draw: what they refuse, and that they then leave
# nothing behind; what they make of a scale.
set -eu
export LC_ALL=C # a decimal point is a point
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

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

echo "== fewer images may never reach the edge: given up, with a hint, once"
./eos synth 200 >"$tmp/few.bin"
for time in 1 2; do
    DATA=$tmp/few.bin SCALE=0.02 bench/reproduce mlp-logistic-030-kick \
        >"$tmp/out" 2>/dev/null
    [ $time = 2 ] || grep -q 'did not reach 2/eta; with fewer' "$tmp/out" ||
        die "no hint: $(cat "$tmp/out")"
done
if grep -q 'eos run' "$tmp/out"; then die "what is given up runs again"; fi
rm -r "$LOGS"

echo "== a run starts where another became unstable"
mkdir "$tmp/own"
cp bench/reproduce bench/scale "$tmp/own"
cat >"$tmp/own/settings.txt" <<'END'
first - 1 1 run --model mlp --loss bmse --samples 20 --lr 0.5 --steps 1 --stop-lambda2 inf
again first 1 1 run --model mlp --loss bmse --samples 20 --lr 0.5 --steps 1 --stop-lambda2 inf
END
DATA=$tmp/few.bin "$tmp/own/reproduce" again >"$tmp/out" 2>&1 ||
    die "$(cat "$tmp/out")"
grep -qx "# init: $LOGS/first-instability.npy" "$LOGS/again.log" ||
    die "not from the run"
grep -qx '# from-instability: 1' "$LOGS/again.log" || die "an approach"
rm -r "$LOGS"

echo "== a log of one's own is drawn beside it"
./eos run --loss bmse --samples 20 --lr 0.05 --steps 6 --stop-lambda2 inf \
    --log "$tmp/own.log" >"$tmp/out" 2>/dev/null
bench/draw "$tmp/own.log" >"$tmp/out"
for kind in png svg; do
    [ -s "$tmp/pictures/own.$kind" ] || die "no picture: $(cat "$tmp/out")"
done
refuses "$tmp/none.log: not there" bench/draw "$tmp/none.log"
./eos train --loss bmse --samples 20 --steps 1 --log "$tmp/train.log" \
    >"$tmp/out" 2>/dev/null
refuses "$tmp/train.log: no log of eos run" bench/draw "$tmp/train.log"

echo "== the way of S and λ2 to 2/η, of training alone"
way() { # S and S2 of each check, ten steps apart
    {
        printf '# command: train\n# model: mlp\n# loss: mse\n# samples: 90\n'
        printf '# lr: 0.02\n# sharp: 10\n# steps: %d\n' $((10 * $# / 2 - 1))
        printf '# columns: step time L acc S resid hvps S2\n'
        printf '%s %s\n' "$@" |
            awk '{ print 10 * n++, 0, 1, 0.5, $1, 0, 3, $2 }'
    } >"$tmp/way.log"
    bench/collect "$tmp/way.log" | tail -n 1
}
found=$(way 50 25 90 60 110 55 120 108)
[ "$found" = '| way | mlp | mse | 0.02 | 90 | 100 | 50 | 0.50 | 10 – 20 | 0.67 | 120 | 30 | 120 | 0.50 |' ] ||
    die "bench/collect: $found"
found=$(way 80 60 98 49 70 7)
[ "$found" = '| way | mlp | mse | 0.02 | 90 | 100 | 80 | 0.75 | – | 0.10 | 98 | 10 | 70 | 0.10 |' ] ||
    die "bench/collect: $found"
found=$(way 200 60 300 90)
[ "$found" = '| way | mlp | mse | 0.02 | 90 | 100 | 200 | 0.30 | 0 | – | 300 | 10 | 300 | 0.30 |' ] ||
    die "bench/collect: $found"
sed '$d' "$tmp/way.log" >"$tmp/half.log"
bench/collect "$tmp/half.log" >"$tmp/out" 2>"$tmp/err"
grep -q 'half.log: left out' "$tmp/err" || die "half a training counts"
[ ! -s "$tmp/out" ] || die "half a training has a row"

echo "== images that are missing are named, with how to get them"
for name in cnn-ce-020-kick mlp-train-005; do
    refuses "DATA: $tmp/none.bin: not there; make data" env \
        DATA="$tmp/none.bin" TEST=README.md bench/reproduce toy-005 $name
done
refuses "TEST: $tmp/none.bin: not there; make data" env \
    DATA=README.md TEST="$tmp/none.bin" bench/reproduce mlp-train-005
refuses "SENTENCES: $tmp/none.tsv: not there; make data" env \
    SENTENCES="$tmp/none.tsv" bench/reproduce transformer-bmse-020-kick
refuses "no-such-run: not in" bench/reproduce no-such-run
DATA="$tmp/none.bin" SCALE='' bench/reproduce toy-005 >"$tmp/out"
[ -s "$LOGS/toy-005.time" ] || die "a toy needs no images"

echo "== a picture is drawn where numbers or script changed, and only there"
mkdir "$tmp/bench" "$tmp/figures"
cp -R bench/draw bench/scale bench/pictures.txt bench/gnuplot "$tmp/bench"
cp bench/figures/fig5-cnn.txt bench/figures/fig3-portrait.txt "$tmp/figures"
draws() { # KINDS: of fig5-cnn; those of fig3-portrait stay
    LOGS="$tmp/none" FIGURES="$tmp/figures" "$tmp/bench/draw" fig5-cnn \
        fig3-portrait >"$tmp/out" || die "bench/draw: fails"
    grep -qx "fig5-cnn:$1" "$tmp/out" || die "$(cat "$tmp/out")"
}
draws ' .svg .png'
cp "$tmp"/figures/fig3* "$tmp"
touch "$tmp"/figures/*.txt
draws ' nothing has changed'
rm "$tmp/figures/fig5-cnn.svg"
draws ' .svg'
rm "$tmp/figures/fig5-cnn.png"
draws ' .png'
sed '$d' bench/figures/fig5-cnn.txt >"$tmp/figures/fig5-cnn.txt"
draws ' .svg .png'
echo 'set title "eigenvalues"' >>"$tmp/bench/gnuplot/eigs.gp"
draws ' .svg .png'
draws ' nothing has changed'
for picture in "$tmp"/fig3*; do
    cmp "$picture" "$tmp/figures/${picture##*/}" || die "drawn again"
done
echo '# of every figure' >>"$tmp/bench/gnuplot/style.gp"
draws ' .svg .png'
grep -qx 'fig3-portrait: .svg .png' "$tmp/out" || die "$(cat "$tmp/out")"
echo 'this is no gnuplot' >>"$tmp/bench/gnuplot/eigs.gp"
cp "$tmp/figures/fig5-cnn.png" "$tmp"
if (draws '') 2>/dev/null; then die "bench/draw: a failure is none"; fi
cmp "$tmp/fig5-cnn.png" "$tmp/figures/fig5-cnn.png" || die "a failure drew"
[ "$(find "$tmp/figures" | wc -l)" = 9 ] || die "left: $(ls "$tmp/figures")"
