#!/bin/sh
# Other machines, cross-built and run under qemu-user: unit tests, a run of one
# image and one step, a little of a larger network, and the refusal of a
# checkpoint of this machine.  With fused multiply-add (64 bits) the rows
# and the saved vectors are this machine's, bit for bit; without, the rows agree
# to rounding.  Then 32 bits in 512 MB of address space.  This machine's own
# build is "make LDFLAGS=-static".  What is not installed is skipped, and said.
set -eu
export LC_ALL=C # a decimal point is a point
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir"
warn='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror'
flags='-std=c11 -ffp-contract=off -O1 -DSAMPLES=1000 -static'
unit='-DEOS_NO_CRITERION -Wno-unused-function -Wno-psabi'
case='train --model cnn --data images --samples 1 --lr 0.5 --steps 1 --sharp 1
    --tol 0.9 --threads 1 --log log --save out'
resnet18='train --model resnet18 --samples 1 --loss mse --lr 0.01 --steps 0
    --tol 0.9 --threads 1 --log log --save out'
transformer='train --model transformer --samples 2 --loss bmse --lr 0.01
    --steps 1 --sharp 1 --tol 0.9 --threads 1 --log log --save out'
full='train --samples 1000 --steps 0 --tol 0.9 --log log'
jobs=

now() { date +%s; }
rows() { grep -v '^#' "$1"; }
checksum() { grep 'data checksum' "$1"; }

build() { # compiler and its options, result, source, further options
    compiler=$1 result=$2 source=$3
    shift 3
    $compiler $flags "$@" -o "$result" "$here/$source" -lm -lpthread
}

# Step, time, loss, accuracy and sharpness of each row: |a - b| <= 1e-4 |b|.
near() { # rows, rows
    paste -d ' ' "$1" "$2" | awk '
        { for (i = 1; i <= 5; i++) {
              d = $i - $(i + 7)
              if (!(d * d <= 1e-8 * $(i + 7) ^ 2)) bad = 1 # nan, too
          }
        } END { exit bad || !NR }'
}
equal() { cmp "$1" "$2" && cmp out-gd.npy "$2.npy"; }

# The larger networks: how they are compared, how they are called, models.
larger() {
    compare=$1 program=$2
    shift 2
    for model; do
        eval "more=\$$model"
        $program ./eos $more
        rows log >found
        $compare found "../native-more-$model"
    done
}

# name, the compiler and its options, qemu, equal or near, unit tests, models
machine() {
    compiler=$2 qemu=$3 compare=$4 tests=$5
    shift 5
    build "$compiler" eos eos.c $warn
    if "${compiler%%gcc*}nm" eos | grep -wE 'fmaf?'; then
        echo "libc's slow fma() is in" && exit 1
    fi
    build "$compiler" unit "tests/test_$tests.c" $unit
    $qemu ./unit
    cp ../images ../ck .
    if [ "$qemu" != qemu-riscv64 ]; then # whose memory is like ours
        status=0
        $qemu ./eos $case --checkpoint ck --resume 2>refusal || status=$?
        [ $status = 2 ]
        grep 'eos: ck: was made with machine: 64 bits, little' refusal
    fi
    $qemu ./eos $case
    rows log >found
    $compare found ../native-rows
    checksum log | cmp - ../native-checksum
    larger $compare $qemu "$@"
}

# name, the compiler and its options.  A kernel may run no 32-bit programs of
# its own: then emulated, with less.
small() {
    build "$2" eos eos.c $warn
    if ./eos toy --steps 1 >/dev/null 2>&1; then
        ulimit -v 524288
        for model in mlp cnn; do
            ./eos $full --model $model
            rows log >found
            near found ../native-$model
        done
        larger near env resnet18 transformer
    else
        cp ../images .
        small_space='qemu-i386 -R 0x20000000'
        $small_space ./eos $case
        rows log >found
        near found ../native-rows
        larger near "$small_space" transformer
    fi
}

# Starts a job in a folder of its own, unless a program is missing.
start() { # the programs, machine or small, its parameters
    for program in $1; do
        command -v "$program" >/dev/null || {
            echo "skipped: $3: no $program here"
            return 0
        }
    done
    job=${1%% *}
    mkdir "$job"
    shift
    (
        cd "$job"
        began=$(now)
        "$@"
        echo "passed: $2: $(($(now) - began)) s"
    ) >"$job.txt" 2>&1 &
    # What takes longest shall not wait for the others.
    [ "$job" = "$soft" ] ||
        renice -n $(($(nice) + 5)) -p $! >/dev/null 2>&1 || :
    jobs="$jobs $!:$job"
}

began=$(now)
mkdir static
cp "$here/Makefile" "$here/eos.c" "$here/eos.h" static
(
    cd static
    make LDFLAGS=-static SAMPLES=1000 CFLAGS="-O1 $warn" >made 2>complaints
    cat complaints
    [ ! -s complaints ]
    if readelf -d eos | grep NEEDED; then exit 1; fi
)
static/eos synth 8 >images
static/eos $case --checkpoint ck --every 1 >native.txt 2>&1
rows log >native-rows
checksum log >native-checksum
mv out-gd.npy native-rows.npy
for model in mlp cnn; do
    static/eos $full --model $model >native.txt 2>&1
    rows log >native-$model
done
for model in resnet18 transformer; do
    eval "more=\$$model"
    static/eos $more >native.txt 2>&1
    rows log >native-more-$model
    mv out-gd.npy native-more-$model.npy
done
echo "passed: make LDFLAGS=-static, this machine: $(($(now) - began)) s"

arm='arm-linux-gnueabihf-gcc -mfpu=neon-vfpv4'
soft=arm-linux-gnueabi-gcc
start "$soft qemu-arm" \
    machine '32-bit Arm, soft-float' $soft qemu-arm near data transformer
start 'riscv64-linux-gnu-gcc qemu-riscv64' \
    machine 'RISC-V 64' riscv64-linux-gnu-gcc qemu-riscv64 equal numbers \
    transformer resnet18
start 's390x-linux-gnu-gcc qemu-s390x' \
    machine 's390x, big-endian' s390x-linux-gnu-gcc qemu-s390x equal data \
    transformer
start "${arm%% *} qemu-arm" \
    machine '32-bit Arm, NEON' "$arm" qemu-arm near numbers transformer
start 'i686-linux-gnu-gcc qemu-i386' small '32-bit x86 in 512 MB' \
    'i686-linux-gnu-gcc -msse2 -mfpmath=sse'

failed=0
for job in $jobs; do
    if wait "${job%%:*}"; then
        tail -n 1 "${job#*:}.txt"
    else
        echo "failed: ${job#*:}"
        cat "${job#*:}.txt"
        failed=1
    fi
done
echo "all of it: $(($(now) - began)) s"
exit $failed
