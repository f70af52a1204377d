#!/bin/sh
# AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer.
# eos is built with the first two, and the tests of the command line and of
# checkpoints drive it; so are the tests of numbers and of data, unoptimised
# for a quicker build, and the small cases of everything from derivatives to
# runs, in one program (gcc, which is quicker there).  Matrix products and
# networks are tested under the first alone, threaded runs of all models under
# the third.  UndefinedBehaviorSanitizer's checks of null, alignment,
# object size and pointer overflow are off.
set -eu
export LC_ALL=C # a decimal point is a point
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
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

# A program of several files, for eos.c takes long to compile.
made_of() { # the program, the files
    name=$1
    shift
    for file; do echo "#include \"$here/$file.c\""; done >"$dir/$name.c"
}
tests() { # the program, its files of tests
    name=$1
    shift
    made_of $name $(printf 'tests/test_%s ' "$@")
}

# Lines of a program and how it is compiled, or of a program and its arguments,
# two at a time; what takes longest first.
all_built() {
    (cd "$dir" && xargs -P 2 -L 1 sh -c 'name=$1
        shift
        "$@" -o "$name" "$name.c" -lm -lpthread' sh)
}
all_pass() {
    xargs -P 2 -L 1 sh -c 'out=$0/$$.txt program=$0/$1
        shift
        "$program" "$@" >"$out" 2>&1 || {
            echo "failed: $program $*" && cat "$out" && exit 1
        }' "$dir"
}

made_of eos eos
made_of threads eos
tests plain numbers data
tests kernels kernels network
tests small eig derivatives layers dynamics stats unstable toy run
tests program ckpt cli
{
    echo small gcc ${build#clang} $checks -O2 $unit
    echo kernels $build -fsanitize=address -Wno-pass-failed -O1 $unit
    echo eos $build $checks -O1
    echo threads $build -fsanitize=thread -O1
    echo plain $build $checks -O0 $unit
    echo program $build -O0 $unit
} | all_built
took "built"

# Not ResNet18 by every kernel: layers/ has what it is made of.
export EOS_BIN="$dir/eos"
small='--loss bmse --lr 0.5 --threads 2'
track='--max-steps 2 --steps 2 --tol 0.5'
{
    echo threads train --model resnet18 --samples 4 --steps 1 --tol 0.9 $small
    for suite in equal/ tables/ forward/ cuts/ kernels/agree_on_mlp \
        kernels/agree_on_cnn kernels/agree_on_transf kernels/are_chosen \
        series/ products/ packing/ exp/ layout/; do
        echo kernels $suite
    done
    for suite in layers/ hard/ slopes/cnn slopes/transformer symmetry/ \
        network/part_of_an summary/ identities/ homogeneous/ jacobi/ block/ \
        power/ guesses/ floor/ tables/ precision/ step/a_row projection/of_no \
        quantities/ kick/of_nothing slow/ track/an_offset assumed/ \
        complementarity/ toy/has toy/turns descent/ equation/ approach/of_no
    do
        echo small $suite
    done
    echo threads run --model transformer --samples 8 $track $small
    echo threads run --model cnn --samples 4 $track $small
    echo threads run --model mlp --samples 4 $track $small
    for suite in signals/a_second resume/says disk/folders help/ refusal/ \
        range/ file/ kernel/ closed_ full_disk/of log/of_a_huge log/of_the_toy
    do
        echo program $suite
    done
    echo plain
} | all_pass
took "passed"
