# Figure 2: the four stages on the toy of Section 4, told apart by the signs of
# y and of |x| - delta, and the quantity that the ODE conserves.
high = 1000
load folder."/style.gp"

delta = sqrt(2 * alpha / beta)
# Where a stage begins: " step stage" for each.
stage(x, y) = y < 0 ? (abs(x) < delta ? 1 : 4) : (abs(x) < delta ? 2 : 3)
starts = ""; now = 0; last = 0
visit(n, s) = (last = n, s == now ? 0 : \
    (now = s, starts = starts.sprintf(" %d %d", n, s), 1))
stats txt using (visit(column("step"), \
    stage(column("ode_X"), column("ode_Y")))) nooutput
stages = words(starts) / 2
from(i) = word(starts, 2*i - 1) * lr
to(i) = i < stages ? from(i + 1) : last * lr
tint(i) = word("#ffffff #fbeee4 #f6dcc8 #e9f3ef", word(starts, 2*i) + 0)

do for [i = 1:stages] {
    set object i rectangle from first from(i), graph 0 to first to(i), graph 1 \
        behind fillstyle solid noborder fillcolor rgb tint(i)
}
h(w) = w - 1 - log(w)
loss(x, y, z) = 0.5 * (2/lr + sqrt(beta)*y) * x**2 - alpha/sqrt(beta)*y - z
set xrange [0:last * lr]
set multiplot layout 4,1 margins 0.16,0.95,0.07,0.93 spacing 0,0.03
set format x ""
do for [i = 1:stages] {
    set label 10+i word("I II III IV", word(starts, 2*i) + 0) \
        at first (from(i) + to(i)) / 2, graph 1.07 center
}
set key at screen 0.55,0.998 center top maxcols 3
set ylabel "loss L"
plot txt using (column("step")*lr):(loss(column("gd_x"), column("gd_y"), \
    column("gd_z"))) with lines linetype 1 title gd, \
    NaN with lines linetype 2 title "ODE of Section 4"
do for [i = 1:stages] { unset label 10+i }
unset key
set ylabel "|x|"
set yrange [0:*]
set label 7 "δ" at graph 1.01, first delta left textcolor rgb grey
plot delta with lines linetype 7, \
    txt using (column("step")*lr):(abs(column("gd_x"))) with lines linetype 1, \
    "" using (column("step")*lr):"ode_X" with lines linetype 2
set yrange [*:*]
set ylabel "sharpness S − 2/η"
set label 7 "2/η" at graph 1.01, first 0 left textcolor rgb grey
plot 0 with lines linetype 7, \
    txt using (column("step")*lr):(sqrt(beta)*column("gd_y")) \
    with lines linetype 1, \
    "" using (column("step")*lr):"ode_Y" with lines linetype 2
unset label 7
set format x "%g"
set xlabel "time ηt" offset 0,0.5
set ylabel "conserved quantity"
set yrange [0:*]
plot txt using (column("step")*lr):(h(column("gd_x")**2/delta**2) \
    + beta*column("gd_y")**2/alpha) with lines linetype 1, \
    "" using (column("step")*lr):"invariant" with lines linetype 2
unset multiplot
