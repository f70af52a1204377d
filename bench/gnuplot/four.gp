# Figure 4: loss, sharpness and distance from the constrained trajectory (or, with
# the columns gd_x pr_x delta2, |x| in units of delta instead); with the columns
# of a generalized prediction also Appendix G's.  The ranges are
# gradient descent's and at most twice as much where the prediction goes further:
# a trajectory that runs away leaves the picture, by an arrow.
high = 900
load folder."/style.gp"

stats txt using "gd_L" name "L" nooutput
stats txt using "pg_L" name "P" nooutput
stats txt using "gd_S" name "S" nooutput
stats txt using "pr_L" name "PL" nooutput
stats txt using "pr_S" name "PS" nooutput
stats txt using "step" name "T" nooutput

set multiplot layout 3,1 margins 0.16,0.94,0.075,0.93 spacing 0,0.035
set format x ""
low = lowest(L_min, P_min)
top = highest(L_max, lowest(PL_max, 2*L_max - low))
shown = tracks; what = "_L"; eval ceiling_of
eval view
set ylabel "loss L"
plot for [t in tracks] txt using "step":t."_L" with lines linetype style(t) \
    title value(t)

unset key
eval unmark
low = highest(lowest(S_min, PS_min), 2*S_min - S_max)
low = lowest(low, edge)
top = highest(lowest(highest(S_max, PS_max), 2*S_max - S_min), edge)
what = "_S"; eval ceiling_of
eval view
set ylabel "sharpness S"
eval edge_label
plot edge with lines linetype 7, for [t in tracks] \
    txt using "step":t."_S" with lines linetype style(t)
unset label 7
eval unmark

set format x "%g"
set xlabel "step since instability" offset 0,0.5
set yrange [*:*]
if (has("delta2")) {
    size(t) = abs(column(t."_x")) / sqrt(column("delta2"))
    stats txt using (size("gd")) name "X" nooutput
    set yrange [0 : 1.5 * X_max]
    set ylabel "|x| / δ"
    plot 1 with lines linetype 7, for [t in "gd pr"] \
        txt using "step":(size(t)) with lines linetype style(t)
} else {
    stats txt using "gd_dist" name "D" nooutput
    shown = apart; what = "_dist"; ceiling = 1.5 * D_max
    load folder."/leaves.gp"
    set yrange [0 : ceiling]
    set ylabel "distance |θ − θ†|"
    plot for [t in apart] \
        txt using "step":t."_dist" with lines linetype style(t)
}
unset multiplot
