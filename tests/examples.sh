#!/bin/sh
# Runs every example of the README's section "Reading a log", in their order,
# and the picture of its section "Data", on a small log.  Fails where one
# fails or has nothing to say, and where numbers depend on the language of the
# machine.
set -eu
export LC_ALL=C # a decimal point is a point
cd "$(dirname "$0")/.."

die() {
    echo "tests/examples.sh: $1" >&2
    exit 1
}
[ -x eos ] || die "eos: not there; make it first"
root=$PWD tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# Each fenced block into a file of its own, N.LANGUAGE.
awk -v dir="$tmp" '
    /^##/ { inside = $0 == "## Reading a log" }
    inside && /^```[a-z]/ { file = dir "/" ++n "." substr($0, 4); next }
    /^```$/ { file = "" }
    file { print > file }
    END { exit n != 5 }' README.md || die "README.md: not five examples"
python=python3 # Debian's, where another one lacks numpy
python3 -c 'import numpy' 2>/dev/null || python=/usr/bin/python3
cd "$tmp"
"$root/eos" run --model cnn --loss bmse --samples 4 --lr 0.05 --tol 1e-2 \
    --proj 1 --stop-lambda2 inf --kick 0.01 --steps 6 --stats full --log mse.log \
    --save at >eos.out
for file in 1.* 2.* 3.* 4.* 5.*; do
    case $file in
    *.sh) set -- sh -e "$file" ;;
    *.python) set -- $python "$file" ;;
    *.r) set -- Rscript "$file" ;;
    *.gnuplot) set -- gnuplot "$file" ;;
    *) die "$file: which program?" ;;
    esac
    echo "== $1: example $file"
    "$@" >"$file.out" || die "$file: fails"
    cat "$file.out"
    if grep -qiw nan "$file.out"; then die "$file: a column is missing"; fi
    [ -s "$file.out" ] || [ "$file" = 1.sh ] || die "$file: says nothing"
done
[ "$(wc -l <track.txt)" = 7 ] || die "track.txt: not a line of names and 6 rows"
"$root/bench/columns" mse.log 1 step gd_S pr_S

# The track of a run without an approach is found too.
"$root/eos" run --model cnn --loss bmse --samples 4 --lr 0.05 --tol 1e-2 \
    --proj 1 --stop-lambda2 inf --steps 3 --init at-instability.npy \
    --from-instability --log from.log >eos.out
[ "$("$root/bench/columns" from.log 1 step gd_S | grep -c '^[0-2] ')" = 3 ] ||
    die "bench/columns: no track in from.log"

# What bench/LOG.md says of its example of --stats full.
"$root/eos" run --loss bmse --samples 200 --lr 0.01 --kick 0.01 --steps 110 \
    --stats full --log full.log >eos.out
worst() { # NAME: to two figures
    printf %.2g "$(sed -n "s/^# summary assumed_$1: //p" full.log)"
}
said="all held, with γ ≥ $(worst gamma_min), β_{s→t} ≥ $(worst beta_st_min) of \
‖∇S⊥_s‖‖∇S⊥_{t+1}‖, η‖∇²L d̂‖ ≤ $(worst Hd_max) ε and \
‖∇³L(d̂,d̂)‖ ≤ $(worst D3d_max) ε ρ3."
if grep '^# summary assumed_.*: failed$' full.log ||
    ! tr '\n' ' ' <"$root/bench/LOG.md" | grep -qF "$said"; then
    die "bench/LOG.md: nowhere: $said"
fi

# The README's way to tell eps beforehand, eta sqrt(dS / dtime), on this approach.
awk '/^# columns:/ { block++; for (i = 3; i <= NF; i++) at[$i] = i - 2; next }
    /^#/ || !NF { next }
    block == 1 { time[++n] = $at["time"]; S[n] = $at["S"] }
    block == 2 {
        for (m = n; m > 1 && time[m] > time[n] - 0.2; m--) { }
        guess = 0.01 * sqrt((S[n] - S[m]) / (time[n] - time[m]))
        print "eps at the start " $at["eps"] ", by the README " guess
        exit !(guess / $at["eps"] > 0.8 && guess / $at["eps"] < 1.25)
    }' full.log || die "README.md: eta sqrt(dS / dtime) is not eps"

echo "== the table of bench/RESULTS.md of the built-in images"
"$root/eos" train --samples 500 --lr 0.02 --steps 600 --sharp 100 --log train.log >eos.out
awk '!/^#/ && NF { printf "| %d | %.3f | %.3f | %.2f |\n", $1, $3, $4, 0.02 * $5 }' \
    train.log >rows
[ "$(wc -l <rows)" = 7 ] || die "train.log: not seven checks"
while read -r row; do
    grep -qxF "$row" "$root/bench/RESULTS.md" || die "bench/RESULTS.md: nowhere: $row"
done <rows

echo "== what leaving out rounds of the projection costs, as bench/SPEED.md has it"
rule=$(sed -n "s/^(.\(sed 's.*' eos.c\).),.*/\1/p" "$root/bench/SPEED.md")
# shellcheck disable=SC2016
run=$(sed -n 's/.*`\.\/eos \(run .*\) --data .* --save s`, and of.*/\1/p' "$root/bench/SPEED.md")
{ [ "$rule" ] && [ "$run" ]; } || die "bench/SPEED.md: no rule, no run"
if [ "${EOS_SHARED:-}" ]; then
    mkdir every
    cp "$root/eos.h" every
    (cd "$root" && sh -c "$rule") >every/eos.c
    if cmp -s every/eos.c "$root/eos.c"; then die "bench/SPEED.md: $rule: changes nothing"; fi
    cc -std=c11 -ffp-contract=off -O1 -w -o every/eos every/eos.c -lm -lpthread
    run="$run --data $EOS_SHARED/data/cifar10-5k.bin"
    # shellcheck disable=SC2086
    "$root/eos" $run --save s >eos.out
    # shellcheck disable=SC2086
    every/eos $run --save every/s --init s-instability.npy --from-instability >eos.out
    # shellcheck disable=SC2086
    "$root/eos" $run --save start --init s-instability.npy --from-instability --steps 0 >eos.out
    said=$($python -c 'import numpy as np
s, every, start = [np.load(f) for f in ("s-pg.npy", "every/s-pg.npy", "start-pg.npy")]
print("%.1e apart, of a path of %.2f" %
      (np.linalg.norm(s - every), np.linalg.norm(s - start)))')
    tr '\n' ' ' <"$root/bench/SPEED.md" | grep -qF "the two θ† are $said" ||
        die "bench/SPEED.md: nowhere: $said"
else
    echo "skipped: EOS_SHARED is not set"
fi

awk '/^## / { inside = $0 == "## Data" }
    inside && /^```$/ { found = 0 }
    inside && found { print }
    inside && /^```sh$/ { found = 1 }' "$root/README.md" |
    grep -v '^./eos' >picture.sh
ln -s "$root/bench" bench
echo "== sh: $(wc -l <picture.sh) lines of Data"
sh -e picture.sh || die "the picture: fails"
[ -s pictures/mse.png ] || die "the picture: not there"

echo "== decimal commas: the same numbers in German"
# mawk, Debian's awk, heeds them, and so does gawk where POSIXLY_CORRECT is set.
mkdir locale
localedef -i de_DE -f UTF-8 "$tmp/locale/de_DE.UTF-8" ||
    die "localedef: fails; install locales"
export LOCPATH="$tmp/locale" POSIXLY_CORRECT=1
half=$(echo 0,5 | LC_ALL=de_DE.UTF-8 awk '{ print 2 * $1 }')
[ "$half" = 1 ] || die "this awk heeds no decimal comma: install mawk"
# Not the blocks that run eos.
awk '/^```$/ { found = 0 }
    /^\.\/eos/ { found = 0 }
    found { print }
    /^```sh$/ { found = 1 }' "$root/bench/RESULTS.md" >windows.sh
[ -s windows.sh ] || die "bench/RESULTS.md: no example"
all() {
    bench/columns mse.log 1 step gd_x gd_S~3
    bench/collect mse.log
    bench/profiles mse.log.slow
    for by in awk gnuplot; do PLOT=$by bench/plot mse.log; done
    sh -e 1.sh
    sh -e 4.sh
    (cd "$root" && sh -e "$tmp/windows.sh")
}
all >point
LC_ALL=de_DE.UTF-8
all >comma
diff point comma || die "other numbers where there is a decimal comma"
