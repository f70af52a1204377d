# The visual language of every figure: one colour and one dash for each
# trajectory, from the palette of Okabe and Ito, which is safe for colour-blind
# readers.  A script that loads this has from bench/draw
#     txt     the numbers, a line of names above each block
#     out     the picture, .svg or .png
#     names   the names of txt's first block
#     lr      the learning rate of that block
#     about   its model, loss and samples
# and sets `high`, the height in pixels for a width of 720, before it.

if (out[strlen(out)-2:] eq "svg") {
    set terminal svg size 720,high font "DejaVu Sans,15" linewidth 1.2 \
        background "white" name "eos"
} else {
    set terminal pngcairo size 720,high font "DejaVu Sans,13" linewidth 1.2
}
set output out
set datafile columnheaders
set encoding utf8

black = "#000000"; orange = "#E69F00"; sky = "#56B4E9"; green = "#009E73"
blue = "#0072B2"; red = "#D55E00"; purple = "#CC79A7"; grey = "#888888"

# Gradient descent, prediction, constrained, flow, generalized prediction; a
# measured mean, 2/eta or delta, a mean by theory; central flow, which lets the
# constrained trajectory be seen that it lies on.
set linetype 1 linecolor rgb blue linewidth 1.6
set linetype 2 linecolor rgb red linewidth 1.6 dashtype (14,7)
set linetype 3 linecolor rgb green linewidth 2.2
set linetype 4 linecolor rgb purple linewidth 2 dashtype (3,3)
set linetype 5 linecolor rgb black linewidth 1.6 dashtype (3,5)
set linetype 6 linecolor rgb sky linewidth 2
set linetype 7 linecolor rgb grey linewidth 1.2 dashtype (6,5)
set linetype 8 linecolor rgb orange linewidth 2
set linetype 9 linecolor rgb orange linewidth 2.2 dashtype (7,7)
gd = "gradient descent"
pr = "prediction"
pg = "constrained θ†"
gf = "gradient flow"
pgen = "generalized"
cf = "central flow"

set border 3 linecolor rgb "#404040"
set tics nomirror out scale 0.6
set grid ytics linetype 1 linecolor rgb "#e4e4e4" linewidth 0.8 dashtype solid
set format y "%.4g"
set ytics autofreq
# One legend for all panels, above them: it cannot cover a curve.
set key tmargin center horizontal maxcols 4 samplen 2.4 spacing 1.0 \
    noenhanced Left reverse

has(name) = strstrt(" ".names." ", " ".name." ") > 0
# The trajectories that txt has, those of them with a distance from theta+.
tracks = ""; apart = ""
do for [t in "gf gd pg cf pr pgen"] {
    if (has(t."_L")) { tracks = tracks." ".t }
    if (has(t."_dist")) { apart = apart." ".t }
}
style(t) = t eq "cf" ? 9 : (strstrt("gd  pr  pg  gf  pgen", t) + 3) / 4

edge = 2. / lr
about = sprintf("  {/*0.8 %s, η = %g, 2/η = %.4g}", about, lr, edge)
lowest(a, b) = a < b ? a : b
highest(a, b) = a > b ? a : b
# The line 2/eta is named at its right end.
edge_label = "set label 7 '2/η' at graph 1.01, first edge left " \
    ."textcolor rgb grey front"
# Some room above and below what has to be seen; the rest is cut off.
view = "set yrange [low - 0.06*(top - low) : top + 0.1*(top - low)]"
# What leaves that view, marked; the marks of a panel gone.
ceiling_of = "ceiling = top + 0.1*(top - low); load folder.'/leaves.gp'"
unmark = "do for [i = 21:26] { unset label i }"
