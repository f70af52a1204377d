#!/bin/sh
# bench/plot by gnuplot and by awk: a small log's picture, every kind of log,
# what runs away, and what is no log.
set -eu
export LC_ALL=C # a decimal point is a point
cd "$(dirname "$0")/.."
root=$PWD tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

die() {
    echo "tests/plot.sh: $1" >&2
    exit 1
}
[ -x eos ] || die "eos: not there; make it first"
cd "$tmp"

plot() { # BY LOG: into picture, in at most 100 x 30
    PLOT=$1 "$root/bench/plot" "$2" >picture 2>err || die "$1, $2: $(cat err)"
    [ ! -s err ] || die "$1, $2: $(cat err)"
    awk 'length > 100 || /[^ -~]/ { exit 1 } END { exit NR > 30 || NR < 24 }' \
        picture || die "$1, $2: not 100 x 30: $(cat picture)"
}
shows() { # TEXT
    grep -qF -e "$1" picture || die "no '$1' in $(cat picture)"
}

echo "== a small log is this"
# At 0 and at 3 all four share places; pr_S of row 1 is nan.
cat >tiny.log <<'END'
# eos: 0.1
# command: run
# model: mlp
# loss: bmse
# samples: 6
# lr: 0.02
# columns: step time L acc S resid hvps
 0 0.0 1.0 0.5 50 1e-5 3


# columns: step gd_L gd_S gd_x new pr_L pr_S pg_L pg_S gf_L gf_S
 0 1.0  90 0 7 1.0  90 1.0 100 1.0  90
 1 2.0 110 0 7 2.0 nan 0.9 100 0.8 110
 2 1.5 105 0 7 1.9 105 0.8 100 0.6 120
 3 0.5 100 0 7 0.6 100 0.7 100 0.5 125
# summary steps: 4
END
cat >expected <<'END'
tiny.log, track: 4 rows; mlp, bmse, images: 6, eta = 0.02
            g gradient descent  p prediction  c constrained  f flow
            loss
         2 |                            g
           |                                                         p
           |
           |                                                         g
           |
      1.25 |
           |
           |g                           c
           |                            f                            c
           |                                                         f                           c
       0.5 |                                                                                     f
            sharpness, --- 2/eta = 100
       125 |                                                                                     f
           |                                                         f
           |
           |
           |                            g
     107.5 |
           |                                                         p
     2/eta |c---------------------------c----------------------------c---------------------------p
           |
           |
        90 |g
           +--------------------------------------------------------------------------------------
            0                                                     step                           3
END
plot awk tiny.log
diff expected picture || die "another picture"
plot gnuplot tiny.log
shows "$(sed 1q expected)"
shows '* gradient descent  # prediction  $ constrained  % flow'
shows ', === 2/eta = 100'
grep -q '^ *2/eta |[*#$%]' picture || die "no curves: $(cat picture)"

echo "== every kind of log"
small='--model cnn --loss bmse --samples 4 --lr 0.05 --tol 1e-2'
run="run $small --proj 1 --stop-lambda2 inf --kick 0.01"
each() { # TITLE TEXT LOG: a title's end and a panel's beginning, by both
    for by in awk gnuplot; do
        plot $by "$3"
        shows "$3, $1"
        shows "$2"
        edge=yes
        grep -q 2/eta picture || edge=no
        case $1 in
        *toy* | *slow*) [ $edge = no ] ;;
        *) [ $edge = yes ] ;;
        esac || die "$by, $3: 2/eta: $(cat picture)"
    done
}
eos() { # LOG OPTION...
    log=$1
    shift
    # shellcheck disable=SC2048,SC2086
    "$root/eos" $* --log "$log" >out 2>err || die "eos $*: $(cat err)"
}
eos track.log "$run --steps 4 --stats full"
each 'track: 4 rows; cnn, bmse, images: 4, eta = 0.05' loss track.log
each 'slow: 100 rows, step 0; cnn, bmse' 'loss at theta+' \
    track.log.slow
eos approach.log "$run --steps 0"
each 'gradient descent: ' sharpness approach.log
eos train.log "train $small --steps 9 --sharp 3 --neigs 2"
each 'gradient descent: 4 rows' sharpness train.log
eos toy.log toy --steps 300
each 'toy: 301 rows, eta = 0.05' 'sqrt(beta) y' toy.log
eos toy2.log toy --unstable 2 --steps 300
each 'toy: 301 rows, eta = 0.05' 'y11, y22' toy2.log

echo "== what runs away leaves the picture; a wide range is logarithmic"
printf '%s\n' '# eos: 0.1' '# columns: step gd_L pr_L gd_S' '0 1 1 1e3' \
    '1 2 1e300 9' '2 3 inf 1' '3 3 1e999 1' >far.log
plot awk far.log
shows '         5 |'
shows 'sharpness (logarithmic)'
shows '     31.62 |'
plot gnuplot far.log
shows '        5 +'
shows 'sharpness (logarithmic)'

echo "== a single row, and nothing but nan"
for rows in '0 1 1' '0 nan nan' '0 0 -inf'; do
    printf '%s\n' '# eos: 0.1' '# columns: step L S' "$rows" >one.log
    plot awk one.log
    plot gnuplot one.log
done

echo "== names that a shell or gnuplot might take for something else"
cp tiny.log "a'b \$(x) \"c\" \\n=1.log"
plot awk "a'b \$(x) \"c\" \\n=1.log"
plot gnuplot "a'b \$(x) \"c\" \\n=1.log"
shows "a'b \$(x) \"c\" \\n=1.log, track"

echo "== what is no log"
refuses() { # TEXT LOG: one line with it, status 2, no picture
    for by in awk gnuplot; do
        status=0
        PLOT=$by "$root/bench/plot" "$2" >picture 2>err || status=$?
        [ $status = 2 ] || die "$2, $1: status $status"
        [ ! -s picture ] || die "$2, $1: $(cat picture)"
        [ "$(wc -l <err)" = 1 ] || die "$2, $1: $(cat err)"
        grep -qF -e "bench/plot: $2: $1" err || die "$2: $(cat err), not $1"
    done
}
bad() { # REFUSAL FORMAT: of printf
    # shellcheck disable=SC2059
    printf "$2" >bad.log
    refuses "$1" bad.log
}
columns='# eos: 0.1\n# columns: step L S\n'
refuses 'not a file' none.log
refuses 'not a file' .
bad 'has no rows' ''
bad 'line 1 is not' 'my diary\n'
bad 'line 1 is not' '\0\0\n'
bad 'has no rows' '# eos: 0.1\n'
bad 'has no rows' "$columns"
bad 'is cut short' '# eos: 0.1\n# columns: step L S'
bad 'line 3 has 3 numbers, not 0' '# eos: 0.1\n# columns:\n0 1 2\n'
bad 'line 2 has 3 numbers, not 0' '# eos: 0.1\n0 1 2\n'
bad 'line 3 has 2 numbers, not 3' "${columns}0 1\n"
bad 'line 3 has 4 numbers, not 3' "${columns}0 1 2 3\n"
bad 'line 3 has no number in place 3' "${columns}0 1 x\n"
bad 'line 3 has no number in place 3' "${columns}0 1 \220\n"
bad 'is cut short' "${columns}0 1 2\n1 2 3"
bad 'is cut short' "${columns}0 1 2\n1 2 3\0"
bad 'has no rows' '# eos: 0.1\n# columns: step a b\n0 1 2\n'
bad 'has no rows' '# eos: 0.1\n# a\0b\n'
if PLOT=pen "$root/bench/plot" tiny.log 2>err; then die "PLOT=pen"; fi
grep -q 'PLOT=pen: should be gnuplot or awk' err || die "$(cat err)"
if "$root/bench/plot" 2>err; then die "no log"; fi
grep -q '^usage: bench/plot LOG' err || die "$(cat err)"

echo "== without gnuplot, by awk"
mkdir bin
for tool in sh awk sed tail tr; do ln -s "$(command -v $tool)" bin; done
PATH=$tmp/bin "$root/bench/plot" tiny.log | diff expected - || die "not awk's"
echo "plots: all as they should be"
