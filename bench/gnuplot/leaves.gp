# An arrow at the top of a panel, in its colour, where one of the trajectories
# `shown` (their columns end in `what`) first goes above `ceiling`.  The range
# of y is to be set after it.
ceil_from(n, v) = v > ceiling && gone < 0 ? (gone = n, 1) : 0
set yrange [*:*]
left_up = 0 # how many have left
do for [i = 1:words(shown)] {
    t = word(shown, i)
    gone = -1
    stats txt using (ceil_from(column("step"), column(t.what))) nooutput
    if (gone >= 0) {
        left_up = left_up + 1
        set label 20+i "↑ ".value(t) at first gone, graph 1 - 0.075*left_up \
            left offset 0.3,0 textcolor linetype style(t) font ",10" front
        if (gone > 0.7*T_max) { set label 20+i right offset -0.3,0 }
    }
}
