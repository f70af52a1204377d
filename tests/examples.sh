#!/bin/sh
# Runs every example of the README's section "Reading a log", in their order,
# and the picture of its section "Real images", on a small log.  Fails where one
# fails or has nothing to say.
set -eu
cd "$(dirname "$0")/.."

die() {
    echo "tests/examples.sh: $1" >&2
    exit 1
}
[ -x eos ] || die "eos: not there; make it first"
root=$PWD tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Each fenced block into a file of its own, N.LANGUAGE.
awk -v dir="$tmp" '
    /^##/ { inside = $0 == "### Reading a log" }
    inside && /^```[a-z]/ { file = dir "/" ++n "." substr($0, 4); next }
    /^```$/ { file = "" }
    file { print > file }
    END { exit n != 5 }' README.md || die "README.md: not five examples"
python=python3 # Debian's, where another one lacks numpy
python3 -c 'import numpy' 2>/dev/null || python=/usr/bin/python3
cd "$tmp"
"$root/eos" run --model cnn --loss bmse --samples 4 --lr 0.05 --tol 1e-2 \
    --proj 1 --stop-lambda2 inf --kick 0.01 --steps 6 --log mse.log --save at \
    >eos.out
for file in 1.* 2.* 3.* 4.* 5.*; do
    case $file in
    *.sh) set -- sh -e "$file" ;;
    *.python) set -- $python "$file" ;;
    *.r) set -- Rscript "$file" ;;
    *.awk) set -- awk -f "$file" track.txt ;;
    *.gnuplot) set -- gnuplot "$file" ;;
    *) die "$file: which program?" ;;
    esac
    echo "== $1: example $file"
    "$@" >"$file.out" || die "$file: fails"
    cat "$file.out"
    if grep -qiw nan "$file.out"; then die "$file: a column is missing"; fi
    [ -s "$file.out" ] || [ "${file#*.}" = sh ] || die "$file: says nothing"
done
[ "$(wc -l <track.txt)" = 7 ] || die "track.txt: not a line of names and 6 rows"
"$root/bench/columns" mse.log 1 step gd_S pr_S

# The track of a run without an approach is found too.
"$root/eos" run --model cnn --loss bmse --samples 4 --lr 0.05 --tol 1e-2 \
    --proj 1 --stop-lambda2 inf --steps 3 --init at-instability.npy \
    --from-instability --log from.log >eos.out
[ "$("$root/bench/columns" from.log 1 step gd_S | grep -c '^[0-2] ')" = 3 ] ||
    die "bench/columns: no track in from.log"

awk '/^## / { inside = $0 == "## Real images" }
    inside && /^```$/ { found = 0 }
    inside && found { print }
    inside && /^```sh$/ { found = 1 }' "$root/README.md" |
    grep -v '^./eos' >picture.sh
ln -s "$root/bench" bench
echo "== sh: $(wc -l <picture.sh) lines of Real images"
GNUTERM=dumb sh -e picture.sh >picture.out || die "the picture: fails"
cat picture.out
grep -q gf_S picture.out || die "the picture: draws no gf_S"
