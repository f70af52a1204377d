#!/bin/sh
# The same options give the same rows and the same saved vectors, bit for bit:
# whichever compiler, optimisation, C library, kernel, number of threads or
# 64-bit machine.  Builds them all, runs a short case of each model, compares
# with the first.  What is not installed is skipped, and said.
set -eu
export LC_ALL=C # a decimal point is a point
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
export source="$here/eos.c"
flags='-std=c11 -ffp-contract=off -DSAMPLES=40'
warn='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror'
only=    # the one kernel that this machine takes: others need not compile
cases=0
options= # further ones, which change no number
few=     # not empty: less to emulate, with rows of its own

# Lines of a name, a compiler and its options: built two at a time.
built() {
    while read -r name compiler options; do
        if command -v "$compiler" >/dev/null; then
            echo "$name $compiler $flags $options"
        else
            echo "skipped: $name: no $compiler here" >&3
        fi
    done 3>&1 >"$dir/builds"
    xargs -P 2 -L 1 sh -c 'name=$1
        shift
        "$@" -o "$0/$name" "$source" -lm -lpthread' "$dir" <"$dir/builds"
}

# What a model is run with: over the edge at once, so that few steps do
# everything; where ResNet18 is emulated, products and gradients alone.
task() {
    track='run --stop-lambda2 inf --generalized'
    case $1${few:+-few} in
    mlp | cnn)
        echo $track --loss ce --samples 8 --lr 2 --steps 2 --kick 0.01 \
            --tol 0.1
        ;;
    mlp-few | cnn-few)
        echo $track --loss ce --samples 4 --lr 2 --steps 1 --kick 0.01 \
            --tol 0.2 --proj 1
        ;;
    resnet18)
        echo $track --loss bmse --samples 2 --lr 0.03 --steps 2 --tol 0.9 \
            --proj 0
        ;;
    resnet18-few)
        echo train --loss mse --samples 1 --lr 0.01 --steps 1 --sharp 1 \
            --tol 0.9
        ;;
    transformer)
        echo $track --loss bmse --samples 8 --lr 0.08 --steps 2 --tol 0.2 \
            --proj 1
        ;;
    transformer-few)
        echo $track --loss bmse --samples 2 --lr 0.2 --steps 1 --tol 0.9 \
            --proj 0
        ;;
    esac
}

short() { # how it is called, then the command
    said=$1
    shift
    for model in mlp cnn resnet18 transformer; do
        (cd "$dir" && rm -f out-*.npy && "$@" $(task $model) --model $model \
            --log log --save out $options >out.txt 2>&1) || {
            echo "$said, $model: failed" && cat "$dir/out.txt" && exit 1
        }
        { grep -v '^#' "$dir/log"; cat "$dir"/out-*.npy; } >"$dir/now"
        first=$dir/first-$model${few:+-few}
        [ -f "$first" ] || cp "$dir/now" "$first"
        cmp "$dir/now" "$first" || {
            echo "$said, $model: other bits than the first" && exit 1
        }
    done
    cases=$((cases + 1))
    echo "the same bits: $said"
}

built <<END
gcc gcc -O2 $warn
gcc-c gcc -O2 -DONLY=ONLY_c
END
short "gcc -O2" "$dir/gcc"
kernel=$(sed -n 's/^# kernel: //p' "$dir/log")
options='--threads 1'
short "one thread" "$dir/gcc"
options='--threads 5'
short "five threads" "$dir/gcc"
options=
if EOS_KERNEL=avx2 "$dir/gcc" train --steps 0 --samples 2 >/dev/null 2>&1; then
    short "kernel avx2" env EOS_KERNEL=avx2 "$dir/gcc"
else
    echo "skipped: kernel avx2: not on this machine"
fi
short "kernel c" "$dir/gcc-c"
case $kernel in
avx512 | avx2 | neon) only=-DONLY=ONLY_$kernel ;;
esac
built <<END
arm64 aarch64-linux-gnu-gcc -O2 -static
clang-O1 clang -O1 $only
clang-O2 clang -O2 $only
clang-O3 clang -O3 $only
gcc-O1 gcc -O1 $only
gcc-O3 gcc -O3 $only
musl musl-gcc -O2 -static $only
END
for name in gcc-O1 gcc-O3 clang-O1 clang-O2 clang-O3 musl; do
    [ ! -x "$dir/$name" ] || short "$name" "$dir/$name"
done
if ! command -v qemu-aarch64 >/dev/null; then
    echo "skipped: 64-bit Arm: no qemu-aarch64 here"
elif [ -x "$dir/arm64" ]; then
    few=yes
    short "gcc -O2, less of it" "$dir/gcc"
    short "64-bit Arm, NEON, emulated" qemu-aarch64 "$dir/arm64"
fi
[ $cases -gt 1 ]
