#!/bin/sh
# Other machines, cross-built and run under qemu-user: a few unit tests, a run
# of one image, and the refusal of a checkpoint of this machine.  With fused
# multiply-add (64 bits) the rows and the saved vector are this machine's, bit
# for bit; without, they agree to rounding.  Then 32 bits in 512 MB of address
# space, and a static build.  What is not installed is skipped, and said.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
flags='-std=c11 -ffp-contract=off -O2 -DSAMPLES=1000 -static'
warn='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror'
unit='-DEOS_NO_CRITERION -Wno-unused-function -Wno-psabi'
case='train --model cnn --data images --samples 1 --lr 0.5 --steps 1 --sharp 1
    --tol 0.9 --threads 1 --log log --save out'

build() { # compiler and its options, result, source, further options
    compiler=$1 result=$2 source=$3
    shift 3
    $compiler $flags "$@" -o "$result" "$here/$source" -lm -lpthread
}

missing() { # name, programs it needs
    name=$1
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null || {
            echo "skipped: $name: no $program here"
            return 0
        }
    done
    return 1
}

rows() { grep -v '^#' "$1"; }

# |a - b| <= 1e-4 |b| in every column but the counts, the residual 0.05.
near() {
    rows "$1/log" | paste -d ' ' - native-rows | awk '
        { for (i = 1; i <= 5; i++) {
              d = $i - $(i + 7)
              if (d * d > 1e-8 * $(i + 7) ^ 2) bad = 1
          }
        } END { exit bad || NR != 2 }'
}

machine() { # name, qemu, compiler, its options, equal|near
    name=$1 qemu=$2 compiler=$3 options=$4 expect=$5
    mkdir "$qemu$options" && cd "$qemu$options"
    cp ../images .
    build "$compiler $options" eos eos.c $warn
    build "$compiler $options" numbers tests/test_numbers.c $unit
    build "$compiler $options" data tests/test_data.c $unit
    for test in rng/ hash/ vectors/dots_of; do $qemu ./numbers $test; done
    for test in npy/ whole/ data/; do $qemu ./data $test; done
    cp ../ck .
    if [ "$qemu" != qemu-riscv64 ]; then # whose memory is like ours
        $qemu ./eos $case --checkpoint ck --resume 2>refusal || [ $? = 2 ]
        grep 'eos: ck: was made with machine: 64 bits, little' refusal
    fi
    $qemu ./eos $case
    cd ..
    if [ $expect = equal ]; then
        rows "$qemu$options/log" | cmp - native-rows
        cmp "$qemu$options/out-gd.npy" out-gd.npy
    else
        near "$qemu$options"
    fi
    grep 'data checksum' "$qemu$options/log" | cmp - native-checksum
}

build gcc native eos.c $warn
echo "built: static, this machine"
./native synth 8 >images
./native $case --checkpoint ck --every 1 >/dev/null 2>&1
rows log >native-rows
grep 'data checksum' log >native-checksum

jobs=
start() {
    missing "$1" "$2" "$3" && return
    (machine "$@") >"$3.txt" 2>&1 && echo "$1: $5" || {
        cat "$3.txt" && echo "$1: failed" && exit 1
    } &
    jobs="$jobs $!"
}
start "RISC-V 64" qemu-riscv64 riscv64-linux-gnu-gcc '' equal
start "s390x, big-endian" qemu-s390x s390x-linux-gnu-gcc '' equal
start "32-bit Arm, NEON" qemu-arm arm-linux-gnueabihf-gcc -mfpu=neon-vfpv4 near
start "32-bit Arm, soft-float" qemu-arm arm-linux-gnueabi-gcc '' near
for job in $jobs; do wait "$job"; done

if ! missing "32-bit x86 in 512 MB" i686-linux-gnu-gcc; then
    build "i686-linux-gnu-gcc -msse2 -mfpmath=sse" small eos.c $warn
    (
        ulimit -v 524288
        ./small train --samples 1000 --steps 0 --tol 0.9 >small.txt 2>&1 &&
            ./small train --model cnn --samples 40 --steps 0 --tol 0.9 \
                >small.txt 2>&1
    ) || { cat small.txt && exit 1; }
    echo "32-bit x86, 1000 images in 512 MB: runs"
fi
