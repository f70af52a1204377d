/*
 * What bench.c adds to each instance of eos.c: the peak of fused multiply-add
 * and the layers of a network, one by one, as a pass calls them, on a worker's
 * memory, whatever that holds.
 */
/* Multiply-adds in registers alone, as many chains as a micro-tile has. */
static TARGET void N(rate_peak)(size_t worker, size_t task, const void *work)
{
    V acc[MR * NV], x = v_set((REAL)peak_factor), y = v_set((REAL)0.001);
    size_t i, k;

    (void)task, (void)work;
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

static struct job N(rate_job)(size_t worker, size_t task, const void *work)
{
    const struct pass *p = work;
    struct job j = N(job_of)(p, worker);

    j.first = j.at = task * net.tile;
    j.n = size_min(net.tile, p->end - j.first);
    if (!net.late)
        j.out = nth(memory.parts, net.params, task % memory.slots);
    return j;
}

static void N(rate_forward)(size_t worker, size_t task, const void *work)
{
    struct job j = N(rate_job)(worker, task, work);

    N(kinds)[rated->kind].forward(rated, &j);
}

static void N(rate_backward)(size_t worker, size_t task, const void *work)
{
    struct job j = N(rate_job)(worker, task, work);

    N(kinds)[rated->kind].backward(rated, &j);
}

static void N(rate_sum)(size_t worker, size_t task, const void *work)
{
    N(sum_rows)(work, worker, rated, task * SLAB);
}

static const struct rates N(rates) = {N(rate_peak), N(rate_forward),
                                      N(rate_backward), N(rate_sum)};
