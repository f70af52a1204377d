# Past the paper: several unstable eigenvalues.  Losses; eigenvalues on the
# edge; the oscillation; distances.  Means over some steps stand against those
# that the stationary covariance Sigma gives, L + tr Sigma / eta and tr Sigma.
high = 1100
load folder."/style.gp"

stats txt using "gd_L" name "L" nooutput
stats txt using "pg_L" name "P" nooutput
stats txt using "gd_S" name "S" nooutput
stats txt using "gd_dist" name "D" nooutput
stats txt using "step" name "T" nooutput
k = 1 # eigenvalues along theta+
while (has("pg_S".(k + 1))) { k = k + 1 }
stats txt using "pg_S".k name "K" nooutput
swings = has("pgen_xnorm") ? "gd pr pgen" : "gd pr"
over = word(names[strstrt(names, "gd_L_mean") + strlen("gd_L_mean") : *], 1)

set xrange [0 : T_max]
set multiplot layout 4,1 margins 0.16,0.94,0.06,0.92 spacing 0,0.03
set format x ""
low = lowest(L_min, P_min); top = L_max
shown = tracks; what = "_L"; eval ceiling_of
eval view
set ylabel "loss L"
plot for [t in tracks] txt using "step":t."_L" with lines linetype style(t) \
    title value(t), \
    txt using "step":"gd_L_mean".over with lines linetype 6 \
    title "mean of ".over, \
    txt using "step":"mean_L" with lines linetype 8 title "mean, theory"

eval unmark
low = lowest(K_min, S_min); top = highest(S_max, edge)
top = top + 0.25*(top - low) # for the legend
eval view
set ylabel "eigenvalues"
eval edge_label
# A dash for each eigenvalue, the same for both trajectories.
set for [i = 1:7] linetype 10+i linecolor rgb green linewidth 2
set for [i = 1:2] linetype 20+i linecolor rgb blue linewidth 1
set linetype 12 dashtype (10,4); set linetype 22 dashtype (10,4)
set linetype 13 dashtype (4,3); set linetype 14 dashtype (1.5,3)
set key at graph 0.02, graph 0.98 left top vertical maxrows 2 samplen 2 \
    font ",10" opaque
plot edge with lines linetype 7 notitle, \
    for [i = 1:2] txt using "step":(column(i > 1 ? "gd_S2" : "gd_S")) \
    with lines linetype 20+i title sprintf("λ%d, descent", i), \
    for [i = 1:k] txt using "step":(column(i > 1 ? "pg_S".i : "pg_S")) \
    with lines linetype 10+i title sprintf("λ%d, θ†", i)
unset key
unset label 7

set ylabel "oscillation |x|²"
set yrange [0:*]
plot for [t in swings] txt using "step":(column(t."_xnorm")**2) \
    with lines linetype style(t), \
    txt using "step":"gd_xnorm_squared_mean".over with lines linetype 6, \
    txt using "step":"sigma" with lines linetype 8

set format x "%g"
set xlabel "step since instability".about offset 0,0.5
shown = apart; what = "_dist"; ceiling = 1.5*D_max; load folder."/leaves.gp"
set yrange [0 : ceiling]
set ylabel "distance |θ − θ†|"
plot for [t in apart] txt using "step":t."_dist" with lines linetype style(t)
unset multiplot
