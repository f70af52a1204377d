#!/bin/sh
# tests/numbers.sh OLD NEW: runs two builds of eos on eight cases (both models,
# all losses, both precisions, several directions, the generalized prediction,
# all of Appendix E) and prints, for each, how far their logs are apart: "the
# same", or the largest difference in any column over the largest number there
# (named by the number of columns and its own).  ONLY=3 runs the third case
# alone.  Fails where a run fails or the logs have another form.
set -eu
export LC_ALL=C
[ $# = 2 ] || { echo "usage: tests/numbers.sh OLD NEW" >&2; exit 2; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

rows() { # LOG: its numbers, but for what speaks of the machine and of time
    grep -v '^# \(kernel\|date\|host\|compiler\|log\)' "$1"
}

number=0
while read -r options; do
    number=$((number + 1))
    [ "${ONLY:-$number}" = $number ] || continue
    for which in old new; do
        program=$1
        [ $which = old ] || program=$2
        rm -f "$tmp/log" "$tmp/log.slow"
        status=0
        # shellcheck disable=SC2086 # options are several words
        "$program" $options --threads 2 --log "$tmp/log" >/dev/null \
            2>"$tmp/err" || status=$?
        if [ $status != 0 ]; then
            echo "$which: status $status: $(cat "$tmp/err")"
            exit 1
        fi
        : >"$tmp/$which"
        for log in "$tmp/log" "$tmp/log.slow"; do
            [ ! -e "$log" ] || rows "$log" >>"$tmp/$which"
        done
    done
    printf '%d  %s\n   ' $number "$options"
    if cmp -s "$tmp/old" "$tmp/new"; then
        echo "the same"
        continue
    fi
    paste -d '\n' "$tmp/old" "$tmp/new" | awk '
        function size(x) { return x < 0 ? -x : x }
        NR % 2 { n = split($0, old); next }
        n != NF { print "another form in line " NR / 2; bad = 1; exit }
        {
            for (i = 1; i <= NF; i++) {
                column = $1 == "#" ? $2 NR " " i : NF " " i
                if (size(old[i] + 0) > scale[column])
                    scale[column] = size(old[i] + 0)
                if ($i == old[i])
                    continue
                if ($i + 0 == 0 && old[i] + 0 == 0) {
                    print "\"" old[i] "\" is \"" $i "\""; bad = 1; exit
                }
                if (size($i - old[i]) > apart[column])
                    apart[column] = size($i - old[i])
            }
        }
        END {
            for (column in apart)
                if (apart[column] > most * scale[column]) {
                    most = apart[column] / scale[column]
                    at = column
                }
            if (!bad)
                printf "%.1e at most (of %s)\n", most, at
            exit bad
        }'
done <<'END'
run --model mlp --loss mse --samples 60 --lr 0.05 --steps 40 --kick 0.01
run --model mlp --loss bmse --samples 60 --lr 0.05 --steps 40 --stats full
run --model mlp --loss ce --samples 60 --lr 0.3 --steps 12 --generalized
run --model mlp --loss logistic --samples 60 --lr 0.3 --steps 12 --generalized
run --model mlp --loss mse --samples 40 --lr 0.05 --steps 8 --unstable 2 --deriv f64
run --model cnn --loss bmse --samples 12 --lr 0.08 --steps 12 --deriv f64 --tol 1e-8
run --model cnn --loss mse --samples 12 --lr 0.08 --steps 8 --unstable 2 --kick 0.01
train --model cnn --loss logistic --samples 12 --lr 0.1 --steps 20 --sharp 5 --neigs 2
END
