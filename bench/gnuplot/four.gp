# Figure 4: loss, sharpness and distance from the constrained trajectory; with
# the columns of a generalized prediction also Appendix G's.  The ranges are
# gradient descent's and at most twice as much where the prediction goes further:
# a trajectory that runs away leaves the picture, by an arrow.
high = 900
load folder."/style.gp"

stats txt using "gd_L" name "L" nooutput
stats txt using "pg_L" name "P" nooutput
stats txt using "gd_S" name "S" nooutput
stats txt using "gd_dist" name "D" nooutput
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
set xlabel "step since instability".about offset 0,0.5
low = 0; top = 1.5 * D_max
shown = apart; what = "_dist"; ceiling = top; load folder."/leaves.gp"
set yrange [0 : top]
set ylabel "distance |θ − θ†|"
plot for [t in apart] txt using "step":t."_dist" with lines linetype style(t)
unset multiplot
