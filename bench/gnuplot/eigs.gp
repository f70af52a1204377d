# Figure 5: several top eigenvalues reach the edge, one after another.
high = 680
load folder."/style.gp"

last = word(names, words(names))[2:] + 0 # S, S2 .. S<last>
stats txt using "S" name "S" nooutput
stats txt using "S".last name "K" nooutput
array tint[8] = [blue, red, green, purple, orange, sky, black, grey]
set multiplot layout 2,1 margins 0.16,0.95,0.1,0.93 spacing 0,0.045
set format x ""
set ylabel "eigenvalues of ∇²L"
set yrange [lowest(0, K_min) : 1.1*highest(edge, S_max)]
eval edge_label
plot edge with lines linetype 7 notitle, \
    for [i = 1:last] txt using "step":(column(i > 1 ? "S".i : "S")) \
    with lines linetype 1 linecolor rgb tint[i] title sprintf("λ%d", i)
unset label 7
unset key
set format x "%g"
set xlabel "step".about offset 0,0.5
set ylabel "loss L"
set yrange [*:*]
set logscale y
set format y "10^{%L}"
plot txt using "step":"L" with lines linetype 1
unset multiplot
