#!/bin/sh
# AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer.
# eos is built with the first two, and the tests of the command line and of
# checkpoints drive it; so are the tests of numbers and of data, unoptimised
# for a quicker build, and the small cases of everything from derivatives to
# runs, in one program (gcc, which is quicker there).  Matrix products and
# networks are tested under the first alone.  Then threaded runs of all models
# under the third.  UndefinedBehaviorSanitizer's checks of null, alignment,
# object size and pointer overflow are off.
set -eu
export LC_ALL=C # a decimal point is a point
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
address=
trap 'kill $address 2>/dev/null || :; rm -rf "$dir"' EXIT
cd "$here"
build='clang -std=c11 -ffp-contract=off -g1 -DONLY=ONLY_avx2
    -Wno-unused-function'
checks='-fsanitize=address,undefined -fno-sanitize-recover=all
    -fno-sanitize=null,alignment,object-size,pointer-overflow'
unit='-DEOS_NO_CRITERION -Wno-psabi'
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1

began=$(date +%s)
took() {
    now=$(date +%s)
    echo "$*: $((now - began)) s"
    began=$now
}

# One program of several files of tests, for eos.c takes long to compile.
together() { # the program, the files, behind -- the compiler and its options
    name=$1
    shift
    while [ "$1" != -- ]; do
        echo "#include \"$here/tests/test_$1.c\""
        shift
    done >"$dir/$name.c"
    shift
    "$@" $unit -o "$dir/$name" "$dir/$name.c" -lm -lpthread
}

# Two at a time.
(
    $build $checks -O1 -o "$dir/eos" eos.c -lm -lpthread
    together plain numbers data -- $build $checks -O0
) &
address=$!
together kernels kernels network -- $build -fsanitize=address \
    -Wno-pass-failed -O1
together small eig derivatives layers dynamics stats unstable toy run -- \
    gcc ${build#clang} $checks -O2
$build -fsanitize=thread -O1 -o "$dir/eos-threads" eos.c -lm -lpthread
together program ckpt cli -- $build -O0
wait $address
address=
took "built"

"$dir/plain"
took "numbers, data"
# Two at a time again.  Not ResNet18 by every kernel: layers/ below has what it
# is made of.
(
    for suite in exp/ packing/ products/ series/ layout/ forward/ equal/ tables/ \
        cuts/ kernels/agree_on_mlp kernels/agree_on_cnn \
        kernels/agree_on_transf kernels/are_chosen; do
        "$dir/kernels" $suite >"$dir/kernels.txt" 2>&1
    done
) &
address=$!

for suite in jacobi/ block/ power/ guesses/ floor/ network/part_of_an slopes/cnn \
    slopes/transformer layers/ hard/ tables/ \
    homogeneous/ identities/ symmetry/ precision/ step/a_row projection/of_no \
    quantities/ kick/of_nothing slow/ track/an_offset assumed/ complementarity/ toy/has \
    toy/turns descent/ equation/ approach/of_no summary/; do
    "$dir/small" $suite >"$dir/out" 2>&1 || {
        cat "$dir/out" && exit 1
    }
done
wait $address || {
    cat "$dir/kernels.txt" && exit 1
}
address=
took "kernels, network; small cases of everything else"

export EOS_BIN="$dir/eos"
for suite in help/ refusal/ range/ file/ kernel/ closed_ full_disk/of \
    log/of_a_huge log/of_the_toy; do
    "$dir/program" $suite
done
took "command line"
for suite in resume/says disk/folders signals/a_second; do
    "$dir/program" $suite
done
took "checkpoints"

for case in 'run --model cnn --samples 4 --max-steps 2 --steps 2 --tol 0.5' \
    'run --model mlp --samples 4 --max-steps 2 --steps 2 --tol 0.5' \
    'run --model transformer --samples 8 --max-steps 2 --steps 2 --tol 0.5' \
    'train --model resnet18 --samples 4 --steps 1 --tol 0.9'; do
    "$dir/eos-threads" $case --loss bmse --lr 0.5 --threads 2 >"$dir/out" \
        2>&1 || {
        cat "$dir/out" && exit 1
    }
done
took "threads"
