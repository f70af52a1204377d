# Figure 3: the phase portrait of Section 4.  Orbits of the ODE close about the
# fixed point (delta, 0); gradient descent's steps drift outwards.
high = 640
load folder."/style.gp"

delta = sqrt(2 * alpha / beta)
stats txt using "ode_X" nooutput
blocks = STATS_blocks
stats txt using "gd_x" name "X" nooutput
stats txt using (sqrt(beta)*column("gd_y")) name "Y" nooutput
y = 1.35 * highest(Y_max, -Y_min)
set xrange [0 : 1.05*X_max]
set yrange [-y : y]
set lmargin at screen 0.13; set rmargin at screen 0.94
set tmargin at screen 0.92; set bmargin at screen 0.12
set xlabel "|x|, distance along the unstable direction"
set ylabel "y = S − 2/η"
set arrow from first delta, graph 0 to first delta, graph 1 nohead linetype 7
set label "δ" at first delta, graph 1.03 center textcolor rgb grey
set label 7 "2/η" at graph 1.01, first 0 left textcolor rgb grey
set label "" at first delta, first 0 point pointtype 7 pointsize 1 front
set label "I progressive\nsharpening" at graph 0.02, graph 0.08
set label "II blowup" at graph 0.02, graph 0.96
set label "III self-\nstabilization" at graph 0.98, graph 0.96 right
set label "IV return\nto stability" at graph 0.98, graph 0.08 right
plot 0 with lines linetype 7 notitle, \
    txt index 0 using (abs(column("gd_x"))):(sqrt(beta)*column("gd_y")) \
    with points linetype 1 pointtype 7 pointsize 0.3 title gd, \
    for [i = 0:blocks-1] txt index i using "ode_X":"ode_Y" \
    with lines linetype 2 dashtype solid title i ? "" : "ODE of Section 4"
