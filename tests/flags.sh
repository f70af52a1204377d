#!/bin/sh
# Flags under which a compiler may take NaN and infinity for impossible: eos
# would print -nan as a result and end with status 0.  No compiler accepts
# eos.c with one of them, and what it says names the flag.
set -eu
cd "$(dirname "$0")/.."
failed=0

# compiler, flag
refuses() {
    if said=$("$1" -std=c11 -fsyntax-only "$2" eos.c 2>&1); then
        echo "failed: $1 $2 compiles eos.c"
        failed=1
        return
    fi
    case $said in
    *"$2"* | *-ffast-math*) echo "passed: $1 $2 is refused" ;;
    *)
        echo "failed: $1 $2 is not named:"
        echo "$said" | head -n 5
        failed=1
        ;;
    esac
}

for cc in gcc clang; do
    command -v $cc >/dev/null || {
        echo "skipped: no $cc here"
        continue
    }
    $cc -std=c11 -fsyntax-only eos.c
    for flag in -ffast-math -Ofast -ffinite-math-only; do
        refuses $cc $flag
    done
done
exit $failed
