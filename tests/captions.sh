#!/bin/sh
# Computes the numbers of the captions from those beside the figures
# (bench/figures/NAME.txt: six digits), or from the first three tables of
# bench/RESULTS.md, and looks for the sentences there and in README.md.
set -eu
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
cat README.md bench/RESULTS.md | tr '\n' ' ' | sed 's/−/-/g; s/  */ /g' >"$tmp/text"

# A column is a name, of the first block, or NAME@K, of block K; of two figures,
# A+B, the blocks of B come after those of A.  The functions take the first and
# the last step that they look at; without them all.
# shellcheck disable=SC2016 # dollars of awk
functions='
FNR == 1 && named { block += named; named = 0 } # the second figure
FILENAME ~ /RESULTS/ { # its tables; swings of a generalized prediction apart
    if ($1 == "<!--" || !NF) {
        table = $1 == "<!--" ? $2 : ""
        split("", head)
    }
    if (table == "" || !/^[|]/)
        next
    n = split($0, part, / *[|] */)
    if (!(2 in head))
        split($0, head, / *[|] */)
    run = part[2] (part[3] == "generalized" ? " generalized" : "")
    if (table == "windows" && part[3] ~ /^[0-9]/)
        run = ++windows # in their order
    for (i = 3; i < n; i++)
        cell[table, run, head[i]] = part[i]
    next
}
/^# lr: / { lr = $3 }
/^# instability at / { began = $5 + 0 }
/^# summary / { told[substr($3, 1, length($3) - 1)] = $4 } # of the whole log
/^#/ { next }
!NF { block += named; named = 0; next }
!named {
    for (i = 1; i <= NF; i++)
        name[i] = $i "@" block + 0
    named = 1
    next
}
{
    row = rows[block + 0]++
    for (i = 1; i <= NF; i++)
        value[name[i], row + 0] = $i
}
function whole(c) { return c (c ~ /@/ ? "" : "@0") }
function step_of(c, r) {
    return value["step" substr(c, index(c, "@")), r]
}
function inside(c, r, from, to) { # is row r between them, and has a number?
    if (value[c, r] == "nan")
        return 0
    return (from == "" || step_of(c, r) >= from) && (to == "" || step_of(c, r) <= to)
}
# In how many rows, and set: their sum, the last one, the extremes, where the
# largest is.  Without a row they are no numbers, and so no sentence has them.
function look(c, from, to,    r, n) {
    sum = 0
    last_value = most = least = most_at = "nan"
    for (r = 0; (c, r) in value; r++) {
        if (!inside(c, r, from, to))
            continue
        last_value = value[c, r] + 0
        sum += last_value
        if (!n || last_value > most) {
            most = last_value
            most_at = step_of(c, r)
        }
        if (!n++ || last_value < least)
            least = last_value
    }
    return n
}
function top(c, from, to) { look(whole(c), from, to); return most }
function low(c, from, to) { look(whole(c), from, to); return least }
function when(c, from, to) { look(whole(c), from, to); return most_at }
function mean(c, from, to,    n) { n = look(whole(c), from, to); return sum / n }
function at(c, step) { look(whole(c), step, step); return last_value }
function last(c) { look(whole(c)); return last_value }
function passes(c, bound, from,    r) { # the first step where c is at least that
    c = whole(c)
    for (r = 0; (c, r) in value; r++)
        if (value[c, r] >= bound && inside(c, r, from))
            return step_of(c, r)
}
# The first step where it is below that.
function falls(c, bound, from,    r) {
    c = whole(c)
    for (r = 0; (c, r) in value; r++)
        if (value[c, r] < bound && inside(c, r, from))
            return step_of(c, r)
}
# The column c of f(p, q) row by row: "/" or "-".
function pair(p, f, q,    r, c) {
    c = p f q
    p = whole(p)
    q = whole(q)
    for (r = 0; (p, r) in value; r++)
        value[c "@0", r] = f == "/" ? value[p, r] / value[q, r] : \
            value[p, r] - value[q, r]
    return c
}
function correlation(p, q, to,    r, n, mp, mq, pp, qq, pq) { # up to a step
    mp = mean(p, "", to)
    mq = mean(q, "", to)
    for (r = 0; (p "@0", r) in value && inside(p "@0", r, "", to); r++) {
        pp += (value[p "@0", r] - mp) ^ 2
        qq += (value[q "@0", r] - mq) ^ 2
        pq += (value[p "@0", r] - mp) * (value[q "@0", r] - mq)
    }
    return pq / sqrt(pp * qq)
}
# L+ + delta^2/eta of a figure without it, from those of its Appendix E.
function mean_losses(    r) {
    if (("mean_L@0", 0) in value)
        return
    for (r = 0; ("pg_L@0", r) in value && ("delta2@1", r) in value; r++)
        value["mean_L@0", r] = value["pg_L@0", r] + value["delta2@1", r] / lr
}
# Swings, as eos counts them: steps of the peaks of a loss, or how far x went.
function swings(c, of,    r, usual, over, up, peak, place, far, list, x) {
    for (r = 0; (c "@0", r) in value; r++) {
        usual = value["mean_L@0", r] - value["pg_L@0", r]
        over = value[c "@0", r] - value["pg_L@0", r]
        if (up && over < usual) {
            list = list (list ? ", " : "") \
                (of == "x" ? sprintf("%.1f", far) : place)
            up = 0
        }
        if (!up && usual > 0 && over > 2 * usual) {
            up = 1
            peak = far = 0
        }
        if (up && over > peak) {
            peak = over
            place = step_of(c "@0", r)
        }
        x = of == "x" ? abs(value["gd_x@0", r]) / sqrt(lr * usual) : 0
        far = x > far ? x : far
    }
    return list
}
function swing(c, i,    p) { split(swings(c), p, ", "); return p[i] }
function late(i) { return swing("pr_L", i) - swing("gd_L", i) }
function reach(from, to,    r, usual) { # the mean of |x| in delta
    for (r = 0; ("gd_x@0", r) in value; r++) {
        usual = value["mean_L@0", r] - value["pg_L@0", r]
        value["reach@0", r] = usual > 0 ? abs(value["gd_x@0", r]) / sqrt(lr * usual) : "nan"
    }
    return mean("reach", from, to)
}
function within(x) { return int(x) + (x > int(x)) } # the next whole number
function off(p, q, from, to,    c) { # largest relative error of p
    c = pair(p, "/", q)
    return larger(top(c, from, to) - 1, low(c, from, to) - 1)
}
function mean_off(p, q, from, to,    c, r) { # their mean
    c = pair(p, "/", q) "@0"
    for (r = 0; (c, r) in value; r++)
        value["off@0", r] = abs(value[c, r] - 1)
    return mean("off", from, to)
}
function above(p, q) { return 100 * (p / q - 1) } # in per cent
function window(p, q, from) { # of 100 rows: means, in per cent
    return above(mean(p, from, from + 99), mean(q, from, from + 99))
}
function parts(p, bound, from,    c, r) { # the last step of those within that of gd_L
    c = pair(p, "/", "gd_L") "@0"
    for (r = from + 0; (c, r) in value && abs(value[c, r] - 1) <= bound; r++) { }
    return step_of(c, r - 1)
}
# Appendix E: |x| in units of delta, and rho3 and rho4 in those of their scale.
function top_x(x,    r, far) {
    for (r = 0; (x "@0", r) in value; r++)
        far = larger(far, value[x "@0", r] / sqrt(value["delta2@0", r]))
    return far
}
function rho3(r) { return value["rho3@1", r] / sqrt(value["slow_beta@1", r]) }
function rho4(r) { return value["rho4@1", r] / (lr * value["rho3@1", r] ^ 2) }
function top_rho(    r, most) {
    for (r = 0; ("rho3@1", r) in value; r++)
        most = larger(most, larger(rho3(r), rho4(r)))
    return most
}
# The extremes of beta from a start in beta, and of |D3(d, d)| in its scale.
function start(bound, from, to,    r, k, b, most, least) {
    least = 1e9
    for (r = 0; ("beta@0", r) in value; r++)
        for (k = 1; k <= 4 && inside("beta@0", r, from, to); k++) {
            b = value["beta_s" k "@0", r]
            if (b == "nan")
                continue
            b /= value["beta@0", r]
            most = b > most ? b : most
            least = b < least ? b : least
        }
    return bound == "top" ? most : least
}
# The largest of both trajectories along d: of ||D3(d, d)|| in eps sqrt(beta), of
# |d.Hd| in eps/eta.
function along_d(column, from,    r, d, most) {
    for (r = from; ("eps@0", r) in value; r++) {
        d = larger(value["gd_" column "@0", r], value["pr_" column "@0", r])
        d *= column == "dHd" ? lr : 1 / sqrt(value["beta@0", r])
        most = larger(most, d / value["eps@0", r])
    }
    return most
}
# How far F falls below its parabola at 5 delta: least, most, of all profiles.
function bend(bound,    b, c, r, d, least, most) {
    least = 1e9
    most = -1e9
    for (b = 2; b < block + named; b++)
        for (r = 0; ("F_excess@" b, r) in value; r++) {
            c = value["x_over_delta@" b, r]
            d = c ^ 2 - value["F_excess@" b, r]
            if (abs(c) < 4.99)
                continue
            least = d < least ? d : least
            most = d > most ? d : most
        }
    return bound == "top" ? most : least
}
# Of the tables of bench/RESULTS.md: errors in per cent, correlations as a pair.
function mean_error(run) { return 100 * cell["means", run, "L† + δ²/η"] }
function both(run) {
    return cell["swings", run, "L correlation"] ", " cell["swings", run, "S correlation"]
}
# Of the windows from .. to: how many are right to so many per cent, the largest.
function right(column, percent, from, to,    i, x, n) {
    for (i = from; i <= to; i++) {
        x = cell["windows", i, column]
        sub(/−/, "-", x)
        most = i == from ? abs(x) : larger(most, x)
        n += abs(x) <= percent
    }
    return n
}
function wrong_by(column, from, to) { right(column, 0, from, to); return most }
function spread(from, to,    r, n) { # |x|^2 over tr Sigma, of means
    n = rows[0]
    for (r = 0; r < n; r++)
        value["square@0", r] = value["gd_xnorm@0", r] ^ 2
    return mean("square", from, to) / mean("sigma", from, to)
}
function larger(p, q) { p = abs(p); q = abs(q); return p > q ? p : q }
function abs(x) { return x < 0 ? -x : x }
'
count=0 failed=0
holds() { # WHERE SENTENCE
    count=$((count + 1))
    grep -qF -e "$2" "$tmp/text" || {
        echo "tests/captions.sh: $1: nowhere: $2" >&2
        failed=1
    }
}
while IFS= read -r line; do
    case $line in '' | \#*) continue ;; esac
    figure=${line%%: *}
    program=$(printf '%s\n' "${line#*: }" |
        sed 's/<\(%[^ ]*\) \([^>]*\)>/"; printf "\1", \2; printf "%s", "/g')
    set -- "bench/figures/${figure%+*}.txt"
    [ "${figure#*+}" = "$figure" ] || set -- "$1" "bench/figures/${figure#*+}.txt"
    [ "$figure" != tables ] || set -- bench/RESULTS.md
    sentence=$(awk "$functions END { mean_losses(); printf \"%s\", \"$program\" }" "$@")
    holds "$figure" "$sentence"
done <<'END'
fig4-mlp: from step <%d began> on. The authors track 2,000 steps; here λ2 ends the track after <%d told["steps"]>, at <%.2f last("pg_S2") * lr / 2> of 2/η
fig4-mlp: |x| goes up to <%s swings("gd_L", "x")> δ in the five swings
fig4-mlp: its mean over the second half of the rows is <%.2f told["x_over_delta"]> δ
fig4-mlp: loss peaks at steps <%s swings("gd_L")>, the predicted one at <%s swings("pr_L")>
fig4-mlp: so that it is <%d late(5)> steps late in the end, of <%d swing("gd_L", 5) - swing("gd_L", 4)> between two swings
fig4-mlp: (by <%.0f 100 * told["swing_height_ratio"] - 100> % of the loss above θ†
fig4-mlp: Means over 100 steps agree to <%.2f 100 * told["window_pr_L_err_max"]> % for the predicted loss and <%.1f 100 * told["window_meanL_err_max"]> % for L† + δ²/η
fig4-mlp: its loss is that of θ† to <%.2f within(1e4 * off("gf_L", "pg_L")) / 100> %
tables: mlp-mse-005-kick | <%s both("mlp-mse-005-kick")> over 1,001 steps
fig4-mlp-no-kick: |x| is <%.0e abs(at("gd_x", 0))> at first
fig4-mlp-no-kick: the swing comes at step <%d when("gd_L", 200, 300)> instead of 167, predicted for <%d when("pr_L", 200, 300)> and <%.1f above(top("pr_L", 200, 300), top("gd_L", 200, 300))> % higher
fig4-mlp-no-kick: has climbed to <%.0f top("gd_S")> (415 with the kick): <%.3f top(pair("gd_L", "-", "pg_L"), 0, 300)> above the loss of θ† (0.027)
fig4-mlp-no-kick: The second swing is 0.002 above it at step <%d passes(pair("gd_L", "-", "pg_L"), 0.002, 400)>, that of the prediction at <%d passes(pair("pr_L", "-", "pg_L"), 0.002, 400)>
fig4-mlp: instead of <%d when("gd_L", 100, 250)>, predicted
fig4-mlp: (<%.0f top("gd_S")> with the kick)
fig4-mlp: above the loss of θ† (<%.3f top(pair("gd_L", "-", "pg_L"))>)
fig4-mlp-007: The loss peaks at step <%d when("gd_L", 50, 180)>, predicted for <%d when("pr_L", 50, 180)> and <%.1f above(top("pr_L", 50, 180), top("gd_L", 50, 180))> % higher; sharpness falls to <%.1f low("gd_S")>, predicted <%.1f low("pr_S")>; correlations <%.3f correlation("gd_L", "pr_L")> and <%.3f correlation("gd_S", "pr_S")>.
fig4-mlp-010: from step <%d began> on. λ2 ends the track after <%d told["steps"]> rows, at <%.2f last("pg_S2") * lr / 2> of 2/η
fig4-mlp-010: loss peaks at <%s swings("gd_L")>, the predicted one at <%s swings("pr_L")>
fig4-mlp-010: and so come <%d late(1)>, <%d late(2)> and <%d late(3)> steps late
fig4-mlp-010: |x| goes up to <%s swings("gd_L", "x")> δ, and its mean over the second half of the rows is <%.2f told["x_over_delta"]> δ
fig4-mlp-010: Means over 100 steps agree to <%.2f 100 * told["window_pr_L_err_max"]> % and <%.2f 100 * told["window_meanL_err_max"]> %
fig4-mlp-bmse: The first spike of the loss comes at step <%d when("gd_L", 0, 100)>, predicted for <%d when("pr_L", 0, 100)> and <%.0f above(top("pr_L", 0, 100), top("gd_L", 0, 100))> % too high; the push towards lower sharpness is then too strong (<%.0f low("pr_S")> where gradient descent falls to <%.0f low("gd_S")>), and the second spike (<%d when("gd_L", 100)>) is predicted too late (after <%d last("step")>).
fig4-mlp-bmse: steps to grow where it needed <%d when("gd_L", 0, 100)>, and S
fig4-mlp-bmse-no-kick: so the swing needs <%d when("gd_L", 0, 110)> steps to grow where it needed 51, and S is at <%.0f top("gd_S")> before it does (with a kick: 449). The spike is <%.2f top("gd_L", 0, 110)> high (0.87), predicted for step <%d when("pr_L", 0, 110)> and <%.0f above(top("pr_L", 0, 110), top("gd_L", 0, 110))> % too high.
fig4-mlp-bmse-no-kick: x is <%.0e abs(at("gd_x", 0))> at first
fig4-mlp-bmse: with ε = η√α up to <%.3f top("eps")> and 0.11 for
appE-mlp: and <%.2f top("eps")> for the last two (`--stats full`
appE-mlp: ε is <%.2f top("eps")>, |x| goes to
appE-mlp: the first swing (<%d swing("gd_L", 1)>, predicted for <%d swing("pr_L", 1)>) and comes to the second (<%d swing("gd_L", 2)>) only at <%d swing("pr_L", 2)>
fig4-mlp-bmse: (with a kick: <%.0f top("gd_S")>). The spike is 1.94 high (<%.2f top("gd_L", 0, 100)>)
fig4-cnn: from step <%d began> on. λ2 ends the track after <%d told["steps"]> rows, at <%.2f last("pg_S2") * lr / 2> of 2/η
fig4-cnn: loss peaks at <%s swings("gd_L")>, the predicted one at <%s swings("pr_L")>
fig4-mlp-010: A swing takes some <%.0f (swing("gd_L", 2) - swing("gd_L", 1)) * mean("eps")>/ε to
fig4-cnn: /ε to <%.0f (swing("gd_L", 2) - swing("gd_L", 1)) * mean("eps")>/ε of them
fig4-cnn: the swings come <%d late(1)>, <%d late(2)>, <%d late(3)>, <%d late(4)> steps late; λ2 ends it
fig4-cnn: <%.3f correlation("gd_L", "pr_L", 199)> and <%.3f correlation("gd_S", "pr_S", 199)> over the first 200 steps; mean loss right to <%.1f 100 * told["window_meanL_err_max"]> % in <%d int(told["steps"] / 100)> of <%d int(told["steps"] / 100)> windows
fig4-cnn: to be <%d late(1)>, <%d late(2)>, <%d late(3)> and <%d late(4)> steps late
fig4-cnn: |x| goes up to <%s swings("gd_L", "x")> δ in gradient descent's swings
fig4-cnn: its mean over the second half of the rows is <%.2f told["x_over_delta"]> δ
fig4-cnn: Means over 100 steps agree to <%.1f 100 * told["window_pr_L_err_max"]> % for the predicted loss and <%.2f 100 * told["window_meanL_err_max"]> % for L† + δ²/η; over the first 200 rows the correlations are <%.3f correlation("gd_L", "pr_L", 199)> and <%.3f correlation("gd_S", "pr_S", 199)>, over all <%.2f correlation("gd_L", "pr_L")> and <%.2f correlation("gd_S", "pr_S")>
fig4-cnn-bmse: from there on its sharpness runs <%.0f mean("gd_S", 41, 99) - mean("pr_S", 41, 99)> below
fig4-cnn-bmse: Both losses peak at step <%d when("gd_L")>, the predicted one <%.0f above(top("pr_L"), top("gd_L"))> % higher
fig4-transformer: (peaks of the loss at <%d when("gd_L", 0, 100)>, <%d when("gd_L", 100, 200)>, <%d when("gd_L", 200)>, each higher: <%.3f top("gd_L", 0, 100)>, <%.3f top("gd_L", 100, 200)>, <%.3f top("gd_L", 200)>; sharpness up to <%.0f top("gd_S")>, down to <%.0f low("gd_S")>).
fig4-transformer: The prediction has the first at <%d when("pr_L", 0, 100)> and <%.1f above(top("pr_L", 0, 100), top("gd_L", 0, 100))> % too high, is thrown to a sharpness of <%.0f low("pr_S", 0, 100)> (<%.0f low("gd_S", 0, 100)>), comes to the second at <%d when("pr_L", 100, 250)> instead of <%d when("gd_L", 100, 200)>
fig4-transformer+appE-transformer: is nevertheless right to <%.2f abs(window("mean_L", "gd_L", 0))>, <%.2f abs(window("mean_L", "gd_L", 100))> and <%.2f abs(window("mean_L", "gd_L", 200))> % in the three windows
fig4-transformer: a correlation of <%.2f correlation("gd_L", "pr_L")> over all rows
appE-transformer: there with |x| = <%.1f abs(at("pr_x", 176)) / sqrt(at("delta2", 176))> δ, and misses the third
fig4-transformer: (L† alone: <%.1f -window("pg_L", "gd_L", 0)> to <%.1f -window("pg_L", "gd_L", 200)> % too low), and gradient descent's mean sharpness is 2/η to <%.1f within(10 * abs(mean("gd_S", 200, 299) - 100)) / 10> %.
fig4-transformer: It comes back to within <%.3f larger(low("gd_dist", 60, 130), low("gd_dist", 160, 230))> of θ† between the swings
fig4-transformer: gradient flow has left to <%.2f last("gf_dist")>, its sharpness to <%.0f top("gf_S")>.
fig4-resnet18: which reaches 2/η = 800 at step <%d began>. λ2 is <%.2f low("pg_S2") / 800> of 2/η at first and <%.2f top("pg_S2") / 800> at the end
fig4-resnet18: The loss swings at step <%s swings("gd_L")>, predicted for <%s swings("pr_L")> and, above that of θ†, <%.0f above(top(pair("pr_L", "-", "pg_L")), top(pair("gd_L", "-", "pg_L")))> % too high; sharpness goes up to <%.0f top("gd_S")> and down to <%.0f low("gd_S", 10)>, predicted <%.0f top("pr_S")> and <%.0f low("pr_S", 10)>; correlations <%.3f correlation("gd_L", "pr_L")> and <%.3f correlation("gd_S", "pr_S")>. The mean loss of the first 100 steps is right to <%.2f 100 * told["window_meanL_err_max"]> %. Gradient flow's sharpness is <%.0f top("gf_S")> by then
tables: | resnet18-mse-0025-kick | <%s both("resnet18-mse-0025-kick")> over 110 steps
tables: λ2 ends the track after <%d cell["means", "resnet18-mse-005-kick", "rows"]> rows, with correlations of <%s both("resnet18-mse-005-kick")>
fig4-resnet18-bmse: which reaches 2/η = 100 at step <%d began>. With one output λ2 is no obstacle (at most <%.2f told["assumed_unique_max"]> of S)
fig4-resnet18-bmse: gradient flow's sharpness goes from 100 to <%.0f last("gf_S")> in 25 steps
fig4-resnet18-bmse: The prediction keeps to 2 % of the loss for the first <%d parts("pr_L", 0.02)> steps, has the spike (<%.1f top("gd_L")> at step <%d when("gd_L")>) later and higher (<%.1f at("pr_L", 16)> at 16) and runs away; gradient descent survives, at a sharpness of <%.0f last("gd_S")> and with a loss of <%.2f last("gd_L")>, where gradient flow's is <%.1g last("gf_L")>.
fig4-resnet18-bmse: (S = <%.1f last("pg_S")>: one direction
fig5-mlp: λ1 passes 2/η = 200 by step <%d passes("S", 200)>, λ2 by <%d passes("S2", 200)>, λ3 and λ4 follow by <%d passes("S4", 200)>. From then on all four are within <%d within(100 * larger(top("S", 1700) / 200 - 1, low("S4", 1700) / 200 - 1))> % of 2/η, over the last 100 steps within <%d within(100 * larger(top("S", 5900) / 200 - 1, low("S4", 5900) / 200 - 1))> %, while the loss goes from <%.2f at("L", 1000)> at step 1,000 to <%.2g last("L")>.
fig5-cnn: λ1 passes 2/η = 200 by step <%d passes("S", 200)>, the other three by <%d passes("S4", 200)>; they swing about it together, between <%.0f low("S4", 600)> and <%.0f top("S", 600)>, until they settle within <%d within(100 * larger(top("S", 1800) / 200 - 1, low("S4", 1800) / 200 - 1))> % of it over the last 200 steps.
fig6-mlp: less training loss at the end: <%.2g last("L")>, <%.2g last("L@1")>, <%.2g last("L@2")>, <%.2g last("L@3")>. Test accuracy ends at <%.1f 100 * last("test_acc")>, <%.1f 100 * last("test_acc@1")>, <%.1f 100 * last("test_acc@2")> and <%.1f 100 * last("test_acc@3")> %
fig6-mlp: it peaks before, at <%.0f 100 * top("test_acc")> %, for every rate
fig6-mlp: it peaks before, at <%.0f 100 * top("test_acc@1")> %, for every rate
fig6-mlp: it peaks before, at <%.0f 100 * top("test_acc@2")> %, for every rate
fig6-mlp: it peaks before, at <%.0f 100 * top("test_acc@3")> %, for every rate
fig6-cnn: S passes its 2/η at step <%d passes("S@3", 50)> (η = 0.04), <%d passes("S@2", 100)> (0.02) and <%d passes("S@1", 200)> (0.01) and stays about it; for 0.005 it has come to <%.0f last("S")> of 400. Training loss at the end: <%.2f last("L")>, <%.2f last("L@1")>, <%.3f last("L@2")>, <%.3f last("L@3")>.
fig6-cnn: the CNN's has come to <%.0f last("S")> of 400 for η = 0.005 in the end
fig6-cnn: and ends at <%.1f 100 * last("test_acc")>, <%.1f 100 * last("test_acc@1")>, <%.1f 100 * last("test_acc@2")> and <%.1f 100 * last("test_acc@3")> %
fig6-cnn: Test accuracy peaks at <%.0f 100 * top("test_acc")> % for every rate
fig6-cnn: Test accuracy peaks at <%.0f 100 * top("test_acc@1")> % for every rate
fig6-cnn: Test accuracy peaks at <%.0f 100 * top("test_acc@2")> % for every rate
fig6-cnn: Test accuracy peaks at <%.0f 100 * top("test_acc@3")> % for every rate
fig6-resnet18: S passes its 2/η by step <%d passes("S@2", 100)> (η = 0.02) and <%d passes("S@1", 200)> (0.01)
fig6-resnet18: it stays between <%.0f low("S@2", 60)> and <%.0f top("S@2", 60)> where 2/η = 100 and between <%.0f low("S@1", 150)> and <%.0f top("S@1", 150)> where it is 200
fig6-resnet18: S stays above its 2/η, by up to <%.0f above(top("S@1", 150), 200)> % (0.01) and <%.0f above(top("S@2", 60), 100)> % (0.02)
fig6-resnet18: For 0.005 it has come to <%.0f last("S")> of 400. Training loss at the end: <%.2f last("L")>, <%.2f last("L@1")>, <%.3f last("L@2")>
fig6-resnet18: Test accuracy at the end: <%.1f 100 * last("test_acc")>, <%.1f 100 * last("test_acc@1")> and <%.1f 100 * last("test_acc@2")> %
fig6-resnet18: <%.0f 100 * top("test_acc")> %, at steps <%d when("test_acc@1")> and <%d when("test_acc@2")>
appE-cnn: Sharpening α stays between <%.0f low("alpha")> and <%.0f top("alpha")>, ε below <%.3f within(1e3 * top("eps")) / 1e3>
appE-cnn: ρ3 and ρ4 are at most <%.1f top_rho()> times
appE-cnn: F is quadratic to <%.0f 100 * larger(bend("low"), bend("top"))> % of δ²/η at 5 δ
appE-cnn-logistic: and falls below its parabola by <%.1f bend("low")> to <%.1f bend("top")> δ²/η at 5 δ
appE-transformer-logistic: at δ and <%.1f bend("low")> to <%.1f bend("top")> δ²/η below its parabola at 5 δ
appE-transformer: F sub-quadratic (by <%.2f 100 * (1 - top("F_ratio@1"))> % at δ)
appE-transformer-logistic: F is sub-quadratic by <%.1f 100 * (1 - top("F_ratio@1"))> % of δ²/η at δ
appE-transformer-logistic: η|d̂·∇²L d̂| is below <%.2f within(100 * along_d("dHd", 0)) / 100> ε
appE-transformer: where F is below its parabola by <%.1f bend("low")> to <%.1f bend("top")> δ²/η
appE-mlp: F bends down by <%.1f bend("top")> δ²/η on one side at 5 δ
appE-transformer: |x| goes to <%.1f top_x("gd_x")> δ, where F is below
appE-transformer: and ε = <%.2f low("eps")> to <%.3f top("eps")> is
appE-cnn-logistic: ε grows from <%.2f low("eps")> to <%.2f top("eps")>, above
appE-cnn-logistic: F is sub-quadratic by <%.1f 100 * (1 - told["assumed_F_max"])> % of δ²/η at δ
appE-cnn-logistic: γ ≥ <%.2f told["assumed_gamma_min"]>, β from any start is at least <%.2f told["assumed_beta_st_min"]> of its scale, λ2 at most <%.2f told["assumed_unique_max"]> of S, and the three quantities along d̂ and ĝ are at most <%.1f told["assumed_Hd_max"]> times their scale
appG-cnn-logistic: mean loss of these 100 rows is right to <%.3f 100 * told["window_meanL_err_max"]> %
appE-cnn-logistic: ρ4 is <%.1f top_rho()> times ηρ3²
appE-cnn-logistic: Gradient descent goes to |x| = <%.1f top_x("gd_x")> δ, the plain prediction to <%.1f top_x("pr_x")> δ
appE-transformer-logistic: λ2 is at most <%.3f told["assumed_unique_max"]> of S, γ ≥ <%.2f told["assumed_gamma_min"]>, β_{s→t}
appG-transformer-logistic: which reaches 2/η = 20 at step <%d began>
appE-transformer-logistic: ε grows from <%.2f low("eps")> to <%.2f top("eps")>. Everything
appE-transformer-logistic: ρ4 <%.1f top_rho()> times ηρ3²
appE-transformer-logistic: |x| goes to <%.1f top_x("gd_x")> δ.
appE-resnet18: ρ4 is at most <%.1f told["assumed_rho4_max"]> times ηρ3², ρ3 at most <%.1f told["assumed_rho3_max"]> √β. ε grows from <%.3f low("eps")> to <%.3f top("eps")>, F is sub-quadratic (by <%.2f 100 * (1 - told["assumed_F_max"])> % of δ²/η at δ), β from any start is at least <%.2f told["assumed_beta_st_min"]> of its scale
appE-resnet18: γ is <%.3f told["assumed_gamma_min"]> at least (0.1 was to be exceeded), for ∇L and ∇S are nearly orthogonal, and ‖∇²L d̂‖ is up to <%.1f told["assumed_Hd_max"]> times its scale. |x| goes to <%.1f top_x("gd_x")> δ, the prediction's to <%.1f top_x("pr_x")> δ
appE-resnet18-005: ρ4 is <%.0f abs(rho4(0))> times ηρ3² at the first step (<%.1f abs(rho4(1))> at step 50)
appE-resnet18-005: ε grows from <%.2f low("eps")> to <%.2f top("eps")>, above
appE-resnet18-005: which α shows at step 45, where it falls from <%.0f at("alpha", 44)> to <%.0f at("alpha", 45)>
appE-resnet18-005: ρ3 is at most <%.1f larger(rho3(0), rho3(1))> √β
appE-resnet18-005: |x| goes to <%.1f top_x("gd_x")> δ, the prediction's to <%.1f top_x("pr_x")> δ
appE-resnet18-bmse: ε = η√α from <%.2f low("eps")> to <%.2f top("eps")>.
appE-resnet18-bmse: ε fails by far (<%.2f low("eps")> to <%.2f top("eps")>), and ρ4 is <%.0f abs(rho4(0))> times ηρ3² at the first step
appE-mlp: ε is <%.2f top("eps")>, |x| goes to <%.1f top_x("gd_x")> δ
appE-mlp: ρ4 is <%.1f abs(rho4(0))> times ηρ3² at first
appG-mlp-ce: Both predictions are within 2 % of gradient descent's loss to step <%d parts("pr_L", 0.02)>
appG-mlp-ce: Both predictions are within 2 % of gradient descent's loss to step <%d parts("pgen_L", 0.02)>
appG-mlp-ce: Its swing comes at <%d when("gd_L", 20)>, <%.2f top(pair("gd_L", "-", "pg_L"), 20)> above the loss of θ†; the generalized prediction has it at <%d when(pair("pgen_L", "-", "pg_L"), 20)> and <%.2f top(pair("pgen_L", "-", "pg_L"), 20)> above, the plain one at <%d when(pair("pr_L", "-", "pg_L"), 20)> and <%.2f top(pair("pr_L", "-", "pg_L"), 20)> above.
appG-mlp-ce: was <%.1f at("pg_S2", 0)> at first and is <%.2f at("pg_S2", 50)>, at
appG-mlp-ce: for from step <%d passes("pg_S", 40.01, 20)> on it no longer gets back to 2/η (up to <%.1f above(top("pg_S"), 40)> % above)
appG-mlp-logistic: Both are within 2 % up to step <%d parts("pr_L", 0.02)>
appG-mlp-logistic: and both have the first spike, the plain one at <%d when("pr_L", 0, 45)>, the generalized one at <%d when("pgen_L", 0, 45)> (gradient descent: <%d when("gd_L", 0, 45)>)
appG-mlp-logistic: both lose its second spike (<%d when("gd_L", 100)>)
appG-mlp-logistic-050: has one spike (steps <%d when("gd_L", 0, 40)> and
appG-mlp-logistic-070: and <%d when("gd_L", 0, 40)>) and then stays
appG-mlp-logistic-050: over steps 40 to 59 the mean of |x| is <%.2f reach(40, 59)> δ
appG-mlp-logistic-070: over steps 40 to 59 the mean of |x| is <%.2f reach(40, 59)> δ
appG-mlp-logistic-050: (loss to <%.1f 100 * mean_off("pgen_L", "gd_L", 20, 39)> % and
appG-mlp-logistic-070: and <%.1f 100 * mean_off("pgen_L", "gd_L", 20, 39)> % over steps 20 to 39
appG-mlp-logistic-050: <%.1f 100 * mean_off("pgen_L", "gd_L", 40, 59)> and
appG-mlp-logistic-070: and <%.1f 100 * mean_off("pgen_L", "gd_L", 40, 59)> % over 40 to 59
appG-mlp-logistic-050: is within 10 % up to step <%d parts("pgen_L", 0.1, 30)> and
appG-mlp-logistic-070: and <%d parts("pgen_L", 0.1, 30)>; at η = 0.07
appG-mlp-logistic-070: loss passes 1e32 at step <%d passes("pr_L", 1e32)>
appG-mlp-logistic-050: <%.1f 100 * told["window_meanL_err_max"]> and
appG-mlp-logistic-070: and <%.1f 100 * told["window_meanL_err_max"]> %.
appG-cnn-ce: λ2 goes from <%.1f at("pg_S2", 0)> at first to <%.1f at("pg_S2", 50)> at step 50
appG-cnn-ce: gradient descent's sharpness goes to <%.0f top("gd_S")>, which
appG-cnn-ce: S of θ† is 0.1 % above 2/η = 100 at step <%d passes("pg_S", 100.1, 1)> and later up to <%.1f top("pg_S") - 100> % above
appG-cnn-ce: cnn-ce-020-kick | both within 2 % of the loss to step <%d parts("pr_L", 0.02)>
appG-cnn-ce: cnn-ce-020-kick | both within 2 % of the loss to step <%d parts("pgen_L", 0.02)>
appG-cnn-logistic: gradient descent's first spike is <%.3f top("gd_L", 0, 45)> at step <%d when("gd_L", 0, 45)>; the generalized prediction has <%.3f top("pgen_L", 0, 45)> at <%d when("pgen_L", 0, 45)>, the plain one <%.3f top("pr_L", 0, 45)> at <%d when("pr_L", 0, 45)>. The plain one is thrown to a sharpness of <%.0f low("pr_S")> (<%.1f low("gd_S", 0, 50)>, generalized <%.1f low("pgen_S", 0, 50)>)
appG-cnn-logistic: that comes at <%d when("gd_L", 50)>, by the generalized prediction at <%d when("pgen_L", 50)> and <%.0f above(top("pgen_L", 50), top("gd_L", 50))> % too high
appG-transformer-logistic: to a loss of <%.3f top("gd_L", 0, 70)> at step <%d when("gd_L", 0, 70)> and <%.3f top("gd_L", 70)> at <%d when("gd_L", 70)>. The generalized prediction has both, at <%d when("pgen_L", 0, 70)> and <%d when("pgen_L", 70)>, to <%.3f top("pgen_L", 0, 70)> and <%.3f top("pgen_L", 70)>; the plain one goes to <%.3f top("pr_L", 0, 70)> at <%d when("pr_L", 0, 70)>, is thrown to a sharpness of <%.1f low("pr_S", 0, 70)> (<%.1f low("gd_S", 0, 70)>; generalized <%.1f low("pgen_S", 0, 70)>)
appG-transformer-logistic: a correlation of <%.2f correlation("gd_L", "pgen_L")> for the loss of the generalized one
appG-transformer-logistic: and <%.2f correlation("gd_S", "pgen_S")> for the sharpness (<%.2f correlation("gd_S", "pr_S")> plain)
central-mlp: After 300 steps central flow is <%.4f last("cf_dist")> from θ†, while gradient descent was <%.3f mean("gd_dist")> away on average. Gradient descent swings every <%d swing("gd_L", 2) - swing("gd_L", 1)> steps (<%s swings("gd_L")>) without settling, the swings only a little lower each time (<%.2f top("gd_L", 0, 90)>, <%.2f top("gd_L", 90, 170)>, <%.2f top("gd_L", 170, 260)>); the prediction has them at <%d when("pr_L", 0, 90)> and <%d when("pr_L", 90, 200)>.
central-mlp: by central flow is off by <%+.2f window("cf_mean_L", "gd_L", 0)>, <%+.2f window("cf_mean_L", "gd_L", 100)> and <%+.2f window("cf_mean_L", "gd_L", 200)> %, by L† + δ²/η of θ† by <%+.2f window("mean_L", "gd_L", 0)>, <%+.2f window("mean_L", "gd_L", 100)> and <%+.2f window("mean_L", "gd_L", 200)>: the third
central-cnn: After 100 steps central flow is <%.4f last("cf_dist")> from θ†, while gradient descent was <%.3f mean("gd_dist")> away on average; the mean loss of these rows is off by <%+.2f window("cf_mean_L", "gd_L", 0)> % by central flow and by <%+.2f window("mean_L", "gd_L", 0)> % by θ†.
unstable-mlp: it passes 1.9/η after <%d last("step") + 1> steps
unstable-mlp: (at <%d when("pr_L", 0, 100)>, <%d when("pr_L", 100, 180)> and <%d when("pr_L", 180, 230)>)
unstable-mlp: <%.2f correlation("gd_L", "pr_L")>). On the CNN
unstable-mlp: | mlp-unstable | 0 – 99 | <%+.2f window("mean_L", "gd_L", 0)> | <%+.1f window("pg_L", "gd_L", 0)> | <%+.2f window("pr_L", "gd_L", 0)> | <%+.2f window("pr_S", "gd_S", 0)> |
unstable-mlp: | | 100 – 199 | <%+.2f window("mean_L", "gd_L", 100)> | <%+.1f window("pg_L", "gd_L", 100)> | <%+.2f window("pr_L", "gd_L", 100)> | <%+.2f window("pr_S", "gd_S", 100)> |
unstable-mlp: | | 200 – 299 | <%+.2f window("mean_L", "gd_L", 200)> | <%+.1f window("pg_L", "gd_L", 200)> | <%+.2f window("pr_L", "gd_L", 200)> | <%+.2f window("pr_S", "gd_S", 200)> |
unstable-mlp: | | 300 – 396 | <%+.2f window("mean_L", "gd_L", 300)> | <%+.1f window("pg_L", "gd_L", 300)> | <%+.2f window("pr_L", "gd_L", 300)> | <%+.2f window("pr_S", "gd_S", 300)> |
unstable-mlp-5000: a second direction joins the band at step <%d passes("pg_S2", 180)>, a third one at <%d passes("pg_S3", 180)>; λ2 of θ† is on the edge from step <%d passes("pg_S2", 199.99)> on, λ3 from <%d passes("pg_S3", 199.99)> on, and λ4 ends the track after <%d told["steps"]> rows
unstable-mlp-5000: loss is right to <%.2f 100 * told["window_meanL_err_max"]> % in all <%d int(told["steps"] / 100)> windows of 100 rows, the predicted one to <%.1f 100 * told["window_pr_L_err_max"]> %
unstable-mlp-5000: over all rows the mean of ‖x‖² is <%.3f told["x2_over_sigma"]> of that of tr Σ
unstable-mlp-5000: first three swings of nine come <%d late(1)>, <%d late(2)> and <%d late(3)> steps late
unstable-mlp-5000: mean loss of mlp-mse-010-unstable to <%.2f 100 * told["window_meanL_err_max"]> % in <%d int(told["steps"] / 100)> of <%d int(told["steps"] / 100)>
tables: right to <%.2f mean_error("mlp-unstable-1")> % on average, but the predicted ones are <%.1f 100 * cell["means", "mlp-unstable-1", "predicted L"]> % off, where K = 3 has <%.2f cell["windows", 1, "predicted loss"]> and <%.2f cell["windows", 2, "predicted loss"]> %, and of its <%d cell["swings", "mlp-unstable-1", "swings"]> swings <%d cell["swings", "mlp-unstable-1", "predicted"]> are predicted
unstable-cnn: | cnn-unstable | 0 – 99 | <%+.2f window("mean_L", "gd_L", 0)> | <%+.1f window("pg_L", "gd_L", 0)> | <%+.2f window("pr_L", "gd_L", 0)> | <%+.2f window("pr_S", "gd_S", 0)> |
unstable-cnn: | | 100 – 199 | <%+.2f window("mean_L", "gd_L", 100)> | <%+.1f window("pg_L", "gd_L", 100)> | <%+.2f window("pr_L", "gd_L", 100)> | <%+.2f window("pr_S", "gd_S", 100)> |
unstable-cnn-020: | cnn-unstable-020 | 0 – 70 | <%+.2f window("mean_L", "gd_L", 0)> | <%+.1f window("pg_L", "gd_L", 0)> | <%+.2f window("pr_L", "gd_L", 0)> | <%+.2f window("pr_S", "gd_S", 0)> |
unstable-cnn-ce: | cnn-ce-unstable | 0 – 59 | <%+.2f window("mean_L", "gd_L", 0)> | <%+.1f window("pg_L", "gd_L", 0)> | <%+.2f window("pr_L", "gd_L", 0)> | <%+.2f window("pr_S", "gd_S", 0)> |
unstable-cnn-ce: loss and sharpness are <%.2f window("pgen_L", "gd_L", 0)> and <%.2f window("pgen_S", "gd_S", 0)>.
unstable-cnn-ce: and their means are right to <%.1f within(10 * larger(above(mean("pgen_L", 40, 59), mean("gd_L", 40, 59)), above(mean("pgen_S", 40, 59), mean("gd_S", 40, 59)))) / 10> %
unstable-cnn-ce: (its loss peaks at <%d when("pgen_L", 20)> with <%.3f top("pgen_L", 20)>; <%d when("gd_L", 20)>, <%.3f top("gd_L", 20)>)
unstable-cnn-ce: over steps 40 to 59 its loss is never more than <%.1f 100 * off("pgen_L", "gd_L", 40, 59)> % off, its sharpness <%.1f 100 * off("pgen_S", "gd_S", 40, 59)> %
unstable-cnn-ce: The plain one has a spike to <%.2f top("pr_L")> instead
unstable-cnn-ce: λ1 of θ† stays between <%.1f low("pg_S", 1)> and 2/η = 100
unstable-cnn-ce: By theory the mean loss of steps 40 to 59 is <%.2f above(mean("mean_L", 40, 59), mean("gd_L", 40, 59))> % too high (L† <%.1f -above(mean("pg_L", 40, 59), mean("gd_L", 40, 59))> % too low)
unstable-cnn: come <%d when("pr_L", 0, 100) - when("gd_L", 0, 100)> and <%d when("pr_L", 100) - when("gd_L", 100)> steps late (cnn-unstable, <%.2f correlation("gd_L", "pr_L")>)
unstable-cnn-020: Gradient descent's first two eigenvalues go to <%.0f top("gd_S")> and <%.0f top("gd_S2")> together
unstable-cnn-020: Its first spike, at <%d when("gd_L", 0, 45)>, is predicted for <%d when("pr_L", 0, 45)> and <%.0f above(top("pr_L", 0, 45), top("gd_L", 0, 45))> % too high; that push brings the predicted sharpness to <%.0f low("pr_S", 0, 61)> (<%.0f low("gd_S", 0, 61)>)
appE-cnn: ‖∇³L(d̂, d̂)‖ is at most <%.1f along_d("D3d", 1)> ε√β from step 1 on
fig4-cnn: On the first row d is xu (‖d‖ = <%.0e at("gd_dist", 0)>) but for
appE-cnn: along it goes to <%.0f told["assumed_Hd_max"]> times its scale
appE-cnn: F, which is quadratic to <%.0f 100 * larger(bend("low"), bend("top"))> % at 5 δ
appE-cnn: β from any start within a factor of <%.2f start("low")>
appE-transformer: β from any start is β to <%.0f 100 * larger(start("top") - 1, start("low") - 1)> %, ‖∇³L(d̂, d̂)‖ at most <%.1f along_d("D3d", 2)> ε√β from step 2 on
appE-transformer-logistic: β_{s→t} is <%.0f start("low")> to <%.2f start("top")> times β
appE-transformer-logistic: ‖∇³L(d̂, d̂)‖ at most <%.1f along_d("D3d", 2)> ε√β from step 2 on
appE-resnet18-005: and β_{s→t}, down to <%.2f start("low", 0, 44)> β by then, drops to <%.2f start("low")> β
tables: have correlations of the losses of <%s cell["swings", "mlp-bmse-004-kick", "L correlation"]>, <%s cell["swings", "mlp-bmse-005-kick", "L correlation"]> and <%s cell["swings", "mlp-bmse-007-kick", "L correlation"]>
tables: The mean loss over the first 100 steps is predicted to <%.1f mean_error("mlp-logistic-030-kick")> %
tables: The mean loss over the first 100 steps, L† + δ²/η, is right to <%.1f mean_error("mlp-logistic-050-kick")> and <%.1f mean_error("mlp-logistic-070-kick")> %
tables: Its two swings are both predicted, <%.1f cell["swings", "cnn-logistic-040-kick generalized", "delay"]> steps late on average
tables: of these 100 rows is right to <%.2g mean_error("cnn-logistic-040-kick")> %
tables: The mean loss of the first 100 rows, L† + δ²/η, is right to <%.2g mean_error("transformer-logistic-100-kick")> %
unstable-cnn-ce: the mean error of the generalized sharpness is <%.1f 100 * mean_off("pgen_S", "gd_S", 0, 50)> % (with one
tables: % (with one direction <%.1f 100 * cell["swings", "cnn-ce-020-kick generalized", "S error"]> %)
tables: the theory tells its mean loss within 1 % in <%d right("mean of L† + tr Σ/η", 1, 1, windows)> of <%d windows> windows, and in the other two within <%d within(wrong_by("mean of L† + tr Σ/η", 1, windows))> %; its mean sharpness within <%.1f within(10 * wrong_by("predicted sharpness", 1, 6)) / 10> % in the first six
tables: of the others within 1 % in <%d right("mean of L† + tr Σ/η", 1, 1, windows)> of <%d windows> |
tables: <%.2f cell["means", "mlp-unstable", "x/δ"]> of tr Σ over all rows of the first two, <%.2f cell["means", "cnn-unstable-020", "x/δ"]> and <%.2f cell["means", "cnn-ce-unstable", "x/δ"]> in the others
tables: gradient flow leaves to <%.2f cell["means", "mlp-unstable", "flow distance"]>, <%.2f cell["means", "cnn-unstable", "flow distance"]>, <%.2f cell["means", "cnn-unstable-020", "flow distance"]> and <%.2f cell["means", "cnn-ce-unstable", "flow distance"]>
tables: |x| is <%.1f cell["means", "mlp-logistic-030-kick", "x/δ"]> δ on average
unstable-cnn: <%.2f top("gd_dist")> (cnn-unstable)
unstable-cnn-020: In the last two S goes up to <%.0f top("gd_S") - 100> and
unstable-cnn-ce: and <%.0f top("gd_S") - 100> % above 2/η
unstable-cnn-ce: Gradient descent's sharpness goes to <%.0f top("gd_S")> and then stays
unstable-mlp: comes to the edge at step <%d passes("pg_S2", 199.9)> and stays on it, a third direction joins the band at <%d passes("pg_S3", 180)>
unstable-mlp: come <%d when("pr_L", 0, 100) - when("gd_L", 0, 100)>, <%d when("pr_L", 100, 180) - when("gd_L", 100, 180)> and <%d when("pr_L", 180, 230) - when("gd_L", 180, 230)> steps late on the MLP
unstable-mlp: from step 230 on, with three eigenvalues on or near the edge (<%.0f low("pg_S3", 230)> of 200 and more)
unstable-cnn: is in the band all along (<%.2f low("pg_S2") / 400> to <%.2f top("pg_S2") / 400> of 2/η), so gradient descent itself has two eigenvalues above 2/η from step <%d passes("gd_S2", 400)> to <%d falls("gd_S2", 400, 40) - 1> and from <%d passes("gd_S2", 400, 60)> to <%d falls("gd_S2", 400, 120) - 1>.
unstable-cnn-020: three of θ† are in the band all along (<%.2f low("pg_S3") / 100> of 2/η and more), λ2 is at the edge from step <%d passes("pg_S2", 99.9)> on
unstable-cnn-020: where ‖x‖² falls to <%.0e low("pr_xnorm", 0, 61) ^ 2 / mean("sigma", 0, 61)> of
unstable-cnn-020: Over the first 61 rows ‖x‖² is on average <%.2f spread(0, 60)> tr Σ
unstable-cnn-ce: joins at step <%d passes("pg_S2", 90)> and is within 0.5 % of the edge from step <%d passes("pg_S2", 99.5)> on
unstable-cnn-ce: a cycle of period two about <%.0f mean("gd_S", 40, 59)>
unstable-cnn-ce: and ‖x‖² is <%.2f spread(40, 59)> tr Σ
unstable-mlp: gradient descent stays within <%.2f top("gd_dist")> (mlp-unstable)
unstable-cnn-020: (cnn-unstable), <%.2f top("gd_dist")> and
unstable-cnn-ce: and <%.2f top("gd_dist")> of θ†
unstable-cnn-020: that there is no second spike (<%d when("gd_L", 45)>) in time
unstable-cnn-020: and λ4 ends the track after <%d told["steps"]> steps
appG-cnn-ce: that λ2 ended after <%d told["steps"]> rows
appG-cnn-ce: (with one direction it was up to <%.1f top("pg_S") - 100> % above)
# Learning rates.
fig4-mlp: | mlp-mse-005-kick | 0.005 | step <%d began> | <%d told["steps"]> (λ2) |
tables: <%d cell["means", "mlp-mse-005-kick", "rows"]> (λ2) | <%s both("mlp-mse-005-kick")> | |
tables: <%d cell["means", "mlp-ce-020-kick", "rows"]> | <%s both("mlp-ce-020-kick")> | <%s both("mlp-ce-020-kick generalized")> |
fig4-mlp-bmse: | mlp-bmse-005-kick | 0.005 | step <%d began> | <%d told["steps"]> |
tables: <%d cell["means", "mlp-bmse-005-kick", "rows"]> | <%s both("mlp-bmse-005-kick")> | |
appG-mlp-logistic: | mlp-logistic-030-kick | 0.03 | step <%d began> | <%d told["steps"]> |
tables: <%d cell["means", "mlp-logistic-030-kick", "rows"]> | <%s both("mlp-logistic-030-kick")> | <%s both("mlp-logistic-030-kick generalized")> |
fig4-cnn: | cnn-mse-005-kick | 0.005 | step <%d began> | <%d told["steps"]> (λ2) |
tables: <%d cell["means", "cnn-mse-005-kick", "rows"]> (λ2) | <%s both("cnn-mse-005-kick")> | |
appG-cnn-ce: | cnn-ce-020-kick | 0.02 | step <%d began> | <%d told["steps"]> (λ2) |
tables: <%d cell["means", "cnn-ce-020-kick", "rows"]> (λ2) | <%s both("cnn-ce-020-kick")> | <%s both("cnn-ce-020-kick generalized")> |
fig4-cnn-bmse: | cnn-bmse-010-kick | 0.01 | step <%d began> | <%d told["steps"]> |
tables: <%d cell["means", "cnn-bmse-010-kick", "rows"]> | <%s both("cnn-bmse-010-kick")> | |
appG-cnn-logistic: | cnn-logistic-040-kick | 0.04 | step <%d began> | <%d told["steps"]> |
tables: <%d cell["means", "cnn-logistic-040-kick", "rows"]> | <%s both("cnn-logistic-040-kick")> | <%s both("cnn-logistic-040-kick generalized")> |
fig4-resnet18: | resnet18-mse-0025-kick | 0.0025 | step <%d began> | <%d told["steps"]> |
tables: <%d cell["means", "resnet18-mse-0025-kick", "rows"]> | <%s both("resnet18-mse-0025-kick")> | |
fig5-cnn: the CNN's swing between <%.0f low("S4", 600)> and <%.0f top("S", 600)> of 200 before they settle within <%d within(100 * larger(top("S", 1800) / 200 - 1, low("S4", 1800) / 200 - 1))> %
fig5-cnn: from seed 1 it is <%.2f low(pair("S2", "/", "S"), 380, 530)> from S = 100 to the edge of η = 0.01
fig4-cnn-bmse: λ2 is <%.2f at("pg_S2", 0) * lr / 2> and
appG-cnn-logistic: and <%.2f at("pg_S2", 0) * lr / 2> of 2/η at the edge
appG-mlp-ce: η = 0.05 (2/η = 40) crosses at step <%d began>
tables: times over (λ2/S is <%s cell["ways", "sweep-resnet18-mse", "λ2/S"]> at first). With `bmse`, whose one output makes that <%s cell["ways", "sweep-resnet18-bmse", "λ2/S"]>, S stays
tables: at η = 0.002 it is <%.0f cell["ways", "sweep-resnet18-bmse-002", "S at first"]> at first, <%d cell["ways", "sweep-resnet18-bmse-002", "largest S"]> at step <%d cell["ways", "sweep-resnet18-bmse-002", "at step"]> and back at <%.0f cell["ways", "sweep-resnet18-bmse-002", "last S"]> < 2/η
tables: it goes from <%.0f cell["ways", "sweep-resnet18-bmse-002", "S at first"]> at first to <%d cell["ways", "sweep-resnet18-bmse-002", "largest S"]> at step <%d cell["ways", "sweep-resnet18-bmse-002", "at step"]>, <%.1f cell["ways", "sweep-resnet18-bmse-002", "at step"] * 0.002> units of time later
tables: S of the MLP peaks at <%.0f cell["ways", "sweep-mlp-ce", "largest S"]>, at step <%d cell["ways", "sweep-mlp-ce", "at step"]>, and never
tables: S comes to <%.0f cell["ways", "sweep-mlp-logistic", "largest S"]> of 100 at step <%d cell["ways", "sweep-mlp-logistic", "at step"]> and falls
tables: From seed 0 λ2/S is <%s cell["ways", "sweep-cnn-mse", "λ2/S before"]> before S passes 2/η = <%d cell["ways", "sweep-cnn-mse", "2/η"]>
# README's table of the paper, and above it.
tables: <%.0f cell["commands", "mlp-mse-005-kick", "seconds"] / 60> minutes of two cores
tables: | <%.1f mean_error("mlp-bmse-007-kick")> % (mlp-bmse-007-kick), <%.1f mean_error("mlp-central")> % (mlp-central), <%.1f mean_error("mlp-logistic-030-kick")> % (mlp-logistic-030-kick)
appG-cnn-ce: (cnn-ce-020-kick: up to <%.1f top("pg_S") - 100> % above)
fig4-mlp: mean loss right to <%.1f 100 * told["window_meanL_err_max"]> % | the fifth comes <%d late(5)> steps late
fig4-cnn: over all <%d told["steps"]>: the swings
fig4-transformer+appE-transformer: first of three swings a step late and <%.1f above(top("pr_L", 0, 100), top("gd_L", 0, 100))> % too high; mean loss right to <%.2f larger(window("mean_L", "gd_L", 0), larger(window("mean_L", "gd_L", 100), window("mean_L", "gd_L", 200)))> % in 3 of 3 windows
fig4-transformer+appE-transformer: the second swing comes <%d late(2)> steps late, the third not at all
fig5-mlp: to 2/η and there within <%d within(100 * larger(top("S", 1720) / 200 - 1, low("S4", 1720) / 200 - 1))> %
appE-mlp: ε = <%.2f top("eps")>, ρ4 is <%.1f abs(rho4(0))> ηρ3²: the second swing comes <%d late(2)> steps late
appE-transformer: | x goes to <%.1f top_x("gd_x")> δ, about which
appE-cnn-logistic: ε is <%.2f low("eps")> to <%.2f top("eps")>; F bends down by <%.1f bend("top")> δ²/η at 5 δ
appE-transformer-logistic: ε is <%.2f low("eps")> to <%.2f top("eps")> |
fig4-resnet18: mean loss right to <%.2f 100 * told["window_meanL_err_max"]> % | γ falls
appE-resnet18: γ falls to <%.3f told["assumed_gamma_min"]>, ‖∇²L d̂‖ is up to <%.1f told["assumed_Hd_max"]> times its scale; at
appE-resnet18-005: (resnet18-mse-005-kick) ρ4 is <%.0f abs(rho4(0))> ηρ3², as in the paper, ε is <%.2f low("eps")> to <%.2f top("eps")>, λ2
tables: λ2 ends it after <%d cell["means", "resnet18-mse-005-kick", "rows"]> rows |
fig4-resnet18-bmse: the loss within 2 % to step <%d parts("pr_L", 0.02)>
appE-resnet18-bmse: ε goes from <%.2f low("eps")> to <%.2f top("eps")> in <%d rows[0]> steps
appG-mlp-ce: both within 2 % of the loss to step <%d parts("pr_L", 0.02)> | λ2 ends it at step <%d last("step")>
appG-mlp-logistic: x is <%.1f told["x_over_delta"]> δ in size on average, both
appG-cnn-ce: θ† is above it from step <%d passes("pg_S", 100.1, 1)> on
END
# Labels of the images, each the first byte of 3,073.
if [ "${EOS_SHARED:-}" ]; then
    pets=$(od -An -v -tu1 "$EOS_SHARED/data/cifar10-5k.bin" |
        awk '{ for (i = 1; i <= NF; i++) if (at++ % 3073 == 0) n[$i]++ } END { print "It has " n[3] " cats and " n[5] " dogs" }')
    holds images "$pets"
else
    echo "captions: without EOS_SHARED cats and dogs are not counted"
fi
[ "$failed" = 0 ] && echo "captions: $count sentences say what the figures have"
exit $failed
