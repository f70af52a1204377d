# Appendix E: what the theory assumes, eight plots.  The blocks of txt: the
# track, the slow statistics, F along u at the first and last measured step.
high = 1280
load folder."/style.gp"
set key at screen 0.53,0.998 center top horizontal maxcols 3

stats txt index 0 using "step" name "T" nooutput
stats txt using 1 nooutput
profiles = STATS_blocks - 2
half = 0.115; left = 0.61; width = 0.36
# Panel i: left or right, from the top.
panel = "set lmargin at screen i % 2 ? left : half; " \
    ."set rmargin at screen (i % 2 ? left : half) + width; " \
    ."set tmargin at screen 0.92 - 0.222*int(i/2); " \
    ."set bmargin at screen 0.76 - 0.222*int(i/2); " \
    ."set title titles[i + 1] offset 0,-0.8"
# A panel's own legend, for what the one above all of them does not have.
legend = "set key at graph 0.03, graph 0.05 left bottom vertical maxcols 1 " \
    ."samplen 1.6 noenhanced font ',9'"
array titles[8] = ["α, progressive sharpening", "β_{s→t} / β", \
    "ε = η√α", "|x|, and δ of θ†", "η |d·∇²L d| / ε", "|∇³L(d, d)| / (ε√β)", \
    "ρ3/√β, |ρ4|/(η ρ3²)", "F(x) − F(0) − x²/η, in δ²/η"]

set multiplot
set xrange [0 : T_max]
ten = 10**floor(log10(T_max))
tick = T_max < 3*ten ? ten/2 : T_max < 6*ten ? ten : 2*ten
set xtics tick offset 0,0.3
set format x "%g"
set format y "%.4g"
i = 0; eval panel
set yrange [0:*]
plot txt index 0 using "step":"alpha" with lines linetype 3 title pg, \
    NaN with lines linetype 1 title gd, NaN with lines linetype 2 title pr
unset key
i = 1; eval panel; eval legend
plot 1 with lines linetype 3 title "β", for [s = 1:4] txt index 0 using \
    "step":(column("beta_s".s)/column("beta")) with lines linetype 6 \
    title s > 1 ? "" : "from each start s"
unset key
i = 2; eval panel
plot txt index 0 using "step":"eps" with lines linetype 3
set yrange [*:*]
stats txt index 0 using (abs(column("gd_x"))) name "G" nooutput
stats txt index 0 using (abs(column("pr_x"))) name "R" nooutput
i = 3; eval panel
set yrange [0:*]
if (R_max > 3*G_max) { # it has run away
    set yrange [0 : 2*G_max]
    set label 21 "↑ ".pr at graph 0.97,0.93 right textcolor linetype 2 \
        font ",9"
}
plot txt index 0 using "step":(sqrt(column("delta2"))) with lines linetype 3, \
    "" index 0 using "step":(abs(column("gd_x"))) with lines linetype 1, \
    "" index 0 using "step":(abs(column("pr_x"))) with lines linetype 2
unset label 21
# At first d is nothing but what the projection leaves: such a row does not
# stretch the next two.
second(t) = lr*column(t."_dHd")/column("eps")
third(t) = column(t."_D3d") / column("eps") / sqrt(column("beta"))
set yrange [*:*]
stats txt index 0 every ::2 using (second("gd")) name "D" nooutput
stats txt index 0 every ::2 using (second("pr")) name "E" nooutput
i = 4; eval panel
set yrange [0 : 1.1*highest(D_max, E_max)]
plot txt index 0 using "step":(second("gd")) with lines linetype 1, \
    "" index 0 using "step":(second("pr")) with lines linetype 2
set yrange [*:*]
stats txt index 0 every ::2 using (third("gd")) name "D" nooutput
stats txt index 0 every ::2 using (third("pr")) name "E" nooutput
i = 5; eval panel
set yrange [0 : 1.1*highest(D_max, E_max)]
plot txt index 0 using "step":(third("gd")) with lines linetype 1, \
    "" index 0 using "step":(third("pr")) with lines linetype 2
i = 6; eval panel
set yrange [0:*]
set xlabel "step since instability" offset 0,0.6
eval legend
plot txt index 1 using "slow_step":(column("rho3")/sqrt(column("slow_beta"))) \
    with linespoints linetype 3 pointtype 7 pointsize 0.5 title "ρ3/√β", \
    "" index 1 using "slow_step":(abs(column("rho4"))/lr/column("rho3")**2) \
    with linespoints linetype 8 pointtype 5 pointsize 0.5 title "|ρ4|/(η ρ3²)"
i = 7; eval panel
set key at graph 0.5, graph 0.05 center bottom
set xlabel "x/δ"
set xrange [-5:5]
set xtics 2.5 offset 0,0.3
set yrange [*:*]
plot 0 with lines linetype 7 notitle, for [k = 1:profiles] txt index 1 + k \
    using "x_over_delta":(column("F_excess") - column("x_over_delta")**2) \
    with lines linetype k == 1 ? 6 : 3 \
    title k == 1 ? "first step" : "last measured"
unset multiplot
