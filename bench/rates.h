/*
 * What bench.c adds to each instance of eos.c: the peak of fused multiply-add
 * and the matrix products of a run, one by one, as the passes call them.
 * A product's task runs on a worker's scratch, whatever that holds.
 */
/* Multiply-adds in registers alone, as many chains as a micro-tile has. */
static TARGET void N(rate_peak)(size_t worker, size_t task)
{
    V acc[MR * NV], x = v_set((REAL)peak_factor), y = v_set((REAL)0.001);
    size_t i, k;

    (void)task;
    UNROLL
    for (i = 0; i < MR * NV; i++)
        acc[i] = v_set((REAL)i);
    for (k = 0; k < PEAK_ROUNDS; k++) {
        UNROLL
        for (i = 0; i < MR * NV; i++)
            acc[i] = v_fma(acc[i], x, y);
    }
    UNROLL
    for (i = 1; i < MR * NV; i++)
        acc[0] += acc[i];
    v_store(peak_sink[worker].PREC, acc[0]);
}

static TARGET void N(rate_first)(size_t worker, size_t tile)
{
    mlp_first(work_of(worker), tile, size_min(TILE, pass.set->n - tile * TILE));
}

static TARGET void N(rate_linear)(size_t worker, size_t tile, size_t m,
                                  size_t depth, size_t weight)
{
    REAL *w = work_of(worker);

    mlp_linear(m, depth, size_min(TILE, pass.set->n - tile * TILE), weight,
               w + MLP_A1, PLANE, w + MLP_Z, PLANE);
}

static TARGET void N(rate_second)(size_t worker, size_t tile)
{
    N(rate_linear)(worker, tile, HIDDEN, HIDDEN, MLP_W2);
}

static TARGET void N(rate_third)(size_t worker, size_t tile)
{
    N(rate_linear)(worker, tile, CLASSES, HIDDEN, MLP_W3);
}

static TARGET void N(rate_third_back)(size_t worker, size_t tile)
{
    N(rate_linear)(worker, tile, HIDDEN, CLASSES, MLP_T3);
}

static TARGET void N(rate_second_back)(size_t worker, size_t tile)
{
    N(rate_linear)(worker, tile, HIDDEN, HIDDEN, MLP_T2);
}

static TARGET void N(rate_slab)(size_t worker, size_t task)
{
    mlp_slab(work_of(worker), task);
}

static TARGET void N(rate_conv1)(size_t worker, size_t task)
{
    REAL *w = work_of(worker);

    (void)task;
    cnn_conv(w + CNN_X, packed[0].PREC + CNN_W1, packed[0].PREC + CNN_B1,
             w + CNN_Z1);
}

static TARGET void N(rate_conv2)(size_t worker, size_t task)
{
    REAL *w = work_of(worker);

    (void)task;
    win_image(w + CNN_P1, w + CNN_V);
    win_product(w + CNN_V, packed[0].PREC + CNN_W2, packed[0].PREC + CNN_ZERO,
                w + CNN_M);
    win_result(w + CNN_M, packed[0].PREC + CNN_B2, w + CNN_Z2);
}

static TARGET void N(rate_conv1_outer)(size_t worker, size_t task)
{
    REAL *w = work_of(worker);

    cnn_outer(w + CNN_X, w + CNN_Z1, w + CNN_C,
              cnn_part[task % PARTS] + net.w[0]);
}

static TARGET void N(rate_conv2_outer)(size_t worker, size_t task)
{
    REAL *w = work_of(worker);

    win_delta(w + CNN_DZ2 + ROW1 + FILTERS, w + CNN_M);
    win_outer(w + CNN_V, w + CNN_M, packed[0].PREC + CNN_ZERO, w + CNN_S);
    win_weights(w + CNN_S, cnn_part[task % PARTS] + net.w[1]);
}

static const struct rates N(rates) = {N(rate_peak),
                                      N(rate_first),
                                      N(rate_second),
                                      N(rate_third),
                                      N(rate_third_back),
                                      N(rate_second_back),
                                      (HIDDEN + GROUP - 1) / GROUP,
                                      N(rate_slab),
                                      mlp_second,
                                      mlp_third,
                                      N(rate_conv1),
                                      N(rate_conv2),
                                      N(rate_conv1_outer),
                                      N(rate_conv2_outer)};
