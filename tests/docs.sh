#!/bin/sh
# Holds the documents against the project: links and their headings, options,
# targets of make, the names of runs, learning rates, and correlations that the
# README quotes from the table of results.  It is short itself.
set -eu
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."
docs='README.md bench/RESULTS.md bench/LOG.md bench/SPEED.md tests/README.md'
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
failed=0

wrong() { # WHAT
    echo "tests/docs.sh: $1" >&2
    failed=1
}
[ -x eos ] || { echo "tests/docs.sh: eos: not there; make it first" >&2 && exit 1; }

lines=$(wc -l <README.md)
[ "$lines" -le 250 ] || wrong "README.md: $lines lines, 250 at most"

# A heading's anchor: lower case, blanks to hyphens, punctuation gone.
anchors() { # FILE
    sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' |
        sed 's/[^[:alnum:] -]//g; s/ /-/g'
}
for doc in $docs; do
    grep -o '](\([^)]*\))' "$doc" | sed 's/^](//; s/)$//' |
        grep -v '^http' >"$tmp/links" || :
    while read -r link; do
        file=${link%%#*}
        file=$(dirname "$doc")/$file
        [ -z "${link%%#*}" ] && file=$doc
        [ -e "$file" ] || wrong "$doc: $link: no such file"
        case $link in
        *#*) anchors "$file" | grep -qx "${link#*#}" ||
            wrong "$doc: $link: no such heading" ;;
        esac
    done <"$tmp/links"
done

# Options of eos, of its scripts and of other programs that are named.
for command in run train deriv toy; do ./eos $command --help; done |
    grep -o -e '--[a-z0-9-]*' | sort -u >"$tmp/options"
printf '%s\n' --help --filter --sbatch --run --into >>"$tmp/options"
# shellcheck disable=SC2086
grep -oh -e '[ `(]--[a-z][a-z0-9-]*' $docs | sed 's/^.//' | sort -u |
    grep -vxFf "$tmp/options" >"$tmp/unknown" || :
[ ! -s "$tmp/unknown" ] || wrong "no such option: $(xargs <"$tmp/unknown")"

# shellcheck disable=SC2086
grep -oh '`make [a-z][a-z]*' $docs | sed 's/.* //' | sort -u >"$tmp/targets"
while read -r target; do
    grep -q "^$target:" Makefile || wrong "make $target: no such target"
done <"$tmp/targets"

# The rows of the paper's table: names of runs, and what is quoted of them.
correlations() { # NAME: of the losses, of the sharpnesses, as "L, S" a line
    awk -F ' [|] ' -v name="| $1" '/^<!-- swings -->$/ { inside = 1 }
        /^### Commands$/ { inside = 0 }
        inside && $1 == name { sub(/ [|]$/, ""); print $9 ", " $12 }' bench/RESULTS.md
}
awk -F ' [|] ' '/^\| in the paper/ { inside = 1 } !NF { inside = 0 }
    inside { print $3 "|" $4 "|" $5 }' README.md >"$tmp/rows"
while IFS='|' read -r runs out fails; do
    for run in $(echo "$runs" | tr -d ,); do
        case $run in
        run | all | with | a | kick | ---* | *… | -*) continue ;;
        esac
        grep -q "^$run " bench/settings.txt ||
            wrong "README.md: $run: not in bench/settings.txt"
    done
    case $runs in *,* | *…*) continue ;; esac
    echo "$out $fails" | sed 's/−/-/g' |
        grep -oE '(-?[01]\.[0-9]+), (-?[01]\.[0-9]+)' | tr -d , >"$tmp/pairs" || :
    while read -r L S; do
        correlations "$runs" | grep -qx -e "$L, $S" ||
            wrong "README.md: $runs: $L, $S: not in bench/RESULTS.md"
    done <"$tmp/pairs"
done <"$tmp/rows"

# The mean losses: those that rows of the table quote, and how many are right.
means() { # a line for each row of the table: run, rows, error in per cent
    awk -F ' [|] ' '/^<!-- means -->$/ { inside = 1 }
        /^### Swings$/ { inside = 0 }
        inside && $9 ~ /^[0-9]/ {
            printf "%s %s %.2g\n", substr($1, 3), $7, 100 * $9
        }' bench/RESULTS.md
}
means >"$tmp/means"
while IFS='|' read -r runs out fails; do
    for error in $(echo "$out" |
        sed -n 's/.*mean loss to \([0-9.]*\) %.*/\1/p'); do
        for run in $runs; do
            grep -q "^$run .* $error$" "$tmp/means" || ! grep -q "^$run " "$tmp/means" ||
                wrong "README.md: $run: mean loss to $error %: not in bench/RESULTS.md"
        done
    done
done <"$tmp/rows"
counted=$(awk '/-unstable|-kick|-central|-full/ { # all but the two without a kick
    n++
    three += $3 <= 3
    one += $3 <= 1
} END { print three " of " n " runs of so many rows, 1 % in " one }' "$tmp/means")
grep -qF "within 3 % in $counted" README.md ||
    wrong "README.md: theorem 1: by bench/RESULTS.md $counted"

# Times: of a tracked step, and what PyTorch takes for as many passes.
step=$(sed -n 's/^mlp, 5000 .* tracked step \([0-9.]*\) s.*/\1/p' bench/SPEED.md |
    awk '{ printf "%.1f", $1; exit }')
torch=$(sed -n 's/^35 products and 8 float64 .* PyTorch \([0-9.]*\) s.*/\1/p' bench/SPEED.md |
    awk '{ printf "%.0f", $1 }')
grep -qF "| $step s on two cores with AVX2" README.md ||
    wrong "README.md: a tracked step: bench/SPEED.md has $step s"
grep -qF "takes $torch s in PyTorch" README.md ||
    wrong "README.md: PyTorch: by bench/SPEED.md $torch s"

# SPEED.md's own sentence on Hessian products, from its table.
passes=$(awk '/ Hessian product  f32/ {
    share = share sep sprintf("%.0f", $8)
    times = times sep sprintf("%.2f", $10)
    sep = ++n == 3 ? " and " : ", "
} END { print share " % of the peak, and takes PyTorch " times " times" }' bench/SPEED.md)
grep -qF "$passes" bench/SPEED.md || wrong "bench/SPEED.md: by its table $passes"

# The share of the checks before a track, of so many gradients, checks, products.
checks=$(awk '/^mlp .* f32 / {
    if ($2 == "gradient") gradient = $5
    if ($2 == "Hessian") product = $6
}
/^prediction +loss f64/ && !loss { loss = $6 }
/^theta[+] +Hessian/ && !again { again = $6 / $4 } # z_0 is known
function share(products,    checks) {
    checks = 594 * (product + loss) + (products - 594) * again
    return sprintf("%.0f", 100 * checks / (checks + 6708 * gradient))
}
END {
    printf "6,708 gradients and 594 checks of the sharpness with 946 products (the column `hvps` of the approach) and a float64 loss each, "
    printf "by the tables above %s %% of the time; with one product a check, the least, it would be %s %%", share(946), share(594)
}' bench/SPEED.md)
tr '\n' ' ' <bench/SPEED.md | grep -qF "$checks" || wrong "bench/SPEED.md: by its tables $checks"

# What RESULTS.md reckons from that table for ResNet18 and 50,000 images.
reckoned=$(awk '/^resnet18 .* f32 / {
    if ($2 == "gradient") gradient = $5 / 1000
    if ($2 == "Hessian") product = $6 / 1000
} END {
    printf "500 images take %.2f s for a float32 gradient and %.2f s for a Hessian product. ", gradient, product
    printf "Both grow with the images, so with `make SAMPLES=50000` 300 steps would take %.1f hours there ", 300 * 100 * gradient / 3600
    printf "for each rate, and each product of the checks %.1f minutes", 100 * product / 60
}' bench/SPEED.md)
tr '\n' ' ' <bench/RESULTS.md | grep -qF "$reckoned" || wrong "bench/RESULTS.md: ResNet18: by bench/SPEED.md $reckoned"

# The table of memory: .bss of each build, which no kernel changes.
# shellcheck disable=SC2016
sed -n 's/^| `make\([^`]*\)`[^|]* | \([0-9]*\) MB | .*/\2\1/p' tests/README.md >"$tmp/builds"
[ "$(wc -l <"$tmp/builds")" = 5 ] || wrong "tests/README.md: not five builds"
while read -r told variables; do
    # shellcheck disable=SC2086
    cc -std=c11 -O0 -w -DONLY=ONLY_c ${variables:+-D$variables} -c -o "$tmp/build.o" eos.c
    bss=$(size "$tmp/build.o" | awk 'NR == 2 { printf "%.0f", $3 / 1e6 }')
    [ "$told" = "$bss" ] || wrong "tests/README.md: make $variables: .bss $bss MB, not $told"
done <"$tmp/builds"

# What runs in 32 bits, and the sizes of the downloads.
samples_of() { # CASE
    sed -n "s/^$1='train .*--samples \([0-9]*\) .*/\1/p" tests/everywhere.sh
}
small="MLP and CNN of $(samples_of full) images, ResNet18 of $(samples_of resnet18), \
transformer of $(samples_of transformer) sentences, in \
$(($(sed -n 's/^ *ulimit -v //p' tests/everywhere.sh) / 1024)) MB of address space"
grep -qF "$small" tests/README.md || wrong "tests/README.md: by tests/everywhere.sh $small"
grep -o '([0-9]* MB[,)]' README.md | tr -d '(,)' >"$tmp/sizes"
[ "$(wc -l <"$tmp/sizes")" = 2 ] || wrong "README.md: not two downloads"
while read -r size; do
    grep -qF "($size" data/README.md || wrong "README.md: $size: not in data/README.md"
done <"$tmp/sizes"

# The learning rates of the option's row, in the order of mse|ce|bmse|logistic.
# shellcheck disable=SC2016
rates=$(sed -n 's/^| `--lr ETA` .* for mse, ce, bmse, logistic: \(.*\) (\[.*/\1/p' README.md)
[ -n "$rates" ] || wrong "README.md: no learning rates"
echo "$rates" | tr ';' '\n' >"$tmp/rates"
while read -r model mse ce bmse logistic; do
    for pair in mse:$mse ce:$ce bmse:$bmse logistic:$logistic; do
        rate=${pair#*:} rate=${rate%,}
        [ "$rate" != – ] || continue
        ./eos train --model "$model" --loss "${pair%%:*}" --samples 2 --steps 0 \
            --tol 0.9 2>/dev/null | grep "eta = $rate," >/dev/null ||
            wrong "README.md: $model, ${pair%%:*}: η is not $rate"
    done
done <"$tmp/rates"
[ "$failed" = 0 ] && echo "documents: $lines lines of README, links, options, names, numbers as they should be"
exit $failed
