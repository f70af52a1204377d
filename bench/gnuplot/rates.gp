# Figure 6: larger learning rates, training speed and test accuracy; a block of
# txt for each rate.
high = 900
load folder."/style.gp"

rates = system("awk '/^# lr:/ {printf \"%.6g \", $3}' ".txt)
limit(i) = 2. / word(rates, i)
stats txt using "S" name "S" nooutput
array tint[6] = [sky, blue, green, orange, red, purple]
set multiplot layout 3,1 margins 0.16,0.95,0.075,0.93 spacing 0,0.035
set format x ""
set ylabel "training loss L"
set logscale y
set format y "10^{%L}"
plot for [i = 1:words(rates)] txt index i-1 using "step":"L" with lines \
    linetype 1 linecolor rgb tint[i] title "η = ".word(rates, i)
unset key
unset logscale y
set format y "%g"
set ylabel "sharpness S"
top = 1.15 * S_max
set yrange [0:top]
# 2/eta of each, in its colour.
do for [i = 1:words(rates)] {
    if (limit(i) < top) {
        set label i "2/η" at graph 1.01, first limit(i) left \
            textcolor rgb tint[i] font ",10"
    }
}
plot for [i = 1:words(rates)] limit(i) with lines linetype 7 \
    linecolor rgb tint[i], \
    for [i = 1:words(rates)] txt index i-1 using "step":"S" with lines \
    linetype 1 linecolor rgb tint[i]
do for [i = 1:words(rates)] { unset label i }
set format x "%g"
set xlabel "step" offset 0,0.5
set ylabel "test accuracy, %"
set yrange [*:*]
plot for [i = 1:words(rates)] txt index i-1 \
    using "step":(100*column("test_acc")) with lines \
    linetype 1 linecolor rgb tint[i]
unset multiplot
