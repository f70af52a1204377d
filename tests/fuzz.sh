#!/bin/sh
# Builds tests/fuzz.c with clang's libFuzzer and sanitizers, makes seeds with
# eos itself, replays them, and fuzzes each reader and the command line for
# the given number of seconds (60).
set -eu
export LC_ALL=C # a decimal point is a point
seconds=${1:-60}
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
build='clang -std=c11 -ffp-contract=off -DSAMPLES=40 -DONLY=ONLY_c'

$build -O2 -o "$dir/eos" "$here/eos.c" -lm -lpthread
$build -O1 -g -Wno-unused-function -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=undefined -o "$dir/fuzz" "$here/tests/fuzz.c" \
    -lm -lpthread
cd "$dir"
mkdir npy images sentences checkpoint arguments
small='--model cnn --loss bmse --samples 2 --threads 1'

# Five numbers in formats 1.0 and 2.0, and a vector of eos.
head="{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }"
{ printf '\223NUMPY\001\000\072\000%s\n' "$head"; printf '%020d' 0; } >npy/one
{ printf '\223NUMPY\002\000\072\000\000\000%s\n' "$head"; printf '%020d' 0; } >npy/two
./eos train $small --tol 0.5 --steps 1 --save npy/v >/dev/null 2>&1
./eos run $small --max-steps 1 --checkpoint checkpoint/one --every 1 \
    >/dev/null 2>&1 || [ $? = 3 ]
./eos synth 6 >images/six
printf 'sentence\tlabel\n%s\t0\n%s\t1\r\n' 'a b a' '  c a ' >sentences/two
printf '%s\n' --lr 0.1 --samples 5 --tol=1e-3 --stop-lambda2 inf --data x \
    --eig power --resume >arguments/some

for what in npy images sentences checkpoint arguments; do
    FUZZ=$what ./fuzz -runs=0 $what >replay.txt 2>&1 || {
        cat replay.txt && exit 1
    }
    [ $what != checkpoint ] || grep -m 1 'read to its end' replay.txt
    FUZZ=$what ./fuzz -max_total_time="$seconds" -max_len=1000000 \
        -print_final_stats=1 $what >fuzz.txt 2>&1 || {
        cat fuzz.txt && cp crash-* "${TMPDIR:-/tmp}" && exit 1
    }
    printf '%s: %s inputs, no failure\n' $what \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' fuzz.txt)"
done
