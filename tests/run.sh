#!/bin/sh
# Runs test programs one after another, as given, and ends with the sum of what
# Criterion counts; fails if a test did, or if a program did not get to its own
# sum.  Criterion tells which tests are skipped and why.
out=$(mktemp)
trap 'rm -f "$out"' EXIT
trap 'exit 1' HUP INT TERM
for program; do
    "$program" --verbose 2>&1 || echo "$program: status $?"
done | tee "$out"
awk -v programs=$# '
    { gsub(/\033\[[0-9;]*m/, "") }
    /^\[SKIP\]/ && !/Test is disabled/ { skipped++ }
    /Synthesis:/ {
        sums++
        for (i = 2; i <= NF; i++) {
            if ($(i - 1) == "Passing:") passed += $i
            if ($(i - 1) == "Failing:") failed += $i # crashes too
        }
    }
    END {
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed || sums != programs
    }' "$out"
