/*
 * make bench: the rate of each kind of pass, both networks, both precisions.
 * A row is the best of several runs on all threads; the flops are those of
 * the mathematics (padding and packing do not count).
 */
#define EOS_TEST
#include "../eos.c"

/* Flops of a pass of order K over one sample: each product of a layer's
 * weights counts where the series asks for it. */
static double flops(int order)
{
    const double k = order, c = (double)net.classes;
    const bool is_mlp = config.model == EOS_MLP;
    double first =
        is_mlp ? PIXELS * HIDDEN : SIDE * SIDE * 9. * CHANNELS * FILTERS;
    double others = is_mlp ? HIDDEN * HIDDEN + HIDDEN * c
                           : SIDE1 * SIDE1 * 9. * FILTERS * FILTERS + FLAT * c;
    double forward = first * fmin(2, k + 1) + others * (2 * k + 1);
    double backward = others * (2 * k + 1);
    double weights = first + others * (k + 1);

    return 2 * (forward + backward + weights);
}

static double best_time(enum eos_precision precision, int order)
{
    double best = INFINITY, began;
    int i;

    for (i = 0; i < 4; i++) {
        point_at(path.gd);
        began = seconds();
        taylor(precision, order, &train, path.v[0], scratch);
        best = fmin(best, seconds() - began);
    }
    return best;
}

int main(void)
{
    static const char *const pass_name[] = {
        "gradient", "Hessian product", "third derivative", "fourth derivative"};
    int model, precision, order;

    printf("%-6s%-5s%-19s%8s%12s%12s\n", "model", "", "pass", "samples", "ms",
           "GFLOP/s");
    for (model = 0; model < 2; model++)
        for (precision = 0; precision < 2; precision++)
            for (order = 0; order < ORDERS; order++) {
                struct eos_config c = eos_defaults();
                double time;

                c.model = (enum eos_model)model;
                c.samples = size_min(SAMPLES, model ? 500 : 5000);
                if (eos_start(&c)) {
                    fprintf(stderr, "bench: %s\n", eos_error());
                    return 1;
                }
                eos_init(0, path.gd);
                eos_init(1, path.v[0]);
                time = best_time((enum eos_precision)precision, order);
                printf("%-6s%-5s%-19s%8zu%12.1f%12.0f\n", model_name(),
                       precision ? "f64" : "f32", pass_name[order], train.n,
                       time * 1e3, flops(order) * (double)train.n / time / 1e9);
                fflush(stdout);
            }
    printf("kernel %s, %zu threads\n", kernel->name, pool.workers);
    return 0;
}
