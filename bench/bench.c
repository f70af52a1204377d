/*
 * make bench: how near eos comes to the machine's limit, in one run.
 *
 *   1  the peak of fused multiply-add, in registers, of one and all threads
 *   2  every matrix product of a run, alone, beside OpenBLAS if it is there
 *   3  whole passes, beside PyTorch if it is there; two threads against one
 *   4  a tracked step, what it calls and how long each takes; peak memory
 *
 * A figure is the best of several runs.  Flops are those of the mathematics:
 * padding, packing and conversion do not count, and the second convolution
 * counts as a direct one, so that Winograd's may exceed the peak.
 * `bench/bench 1` leaves out the comparisons and takes each time once, with a
 * fiftieth of the samples, to see that all of it runs; `bench/bench passes` has
 * peaks and whole passes alone, `bench/bench steps` peaks and tracked steps.
 */
#define _DEFAULT_SOURCE /* wait4 */
#define EOS_TEST
#include "../eos.c"

#include <dlfcn.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { PEAK_ROUNDS = 300000, RUNS = 5, PEAK_RUNS = 4 };

/* One instance's peak loop, and a layer's work for one tile of samples (sum: for
 * some rows of its weight). */
struct rates {
    task_fn *peak, *forward, *backward, *sum;
};
static const struct layer *rated; /* the layer */

union {
    float f32[16];
    double f64[8];
} peak_sink[THREADS];
static const volatile double peak_factor = 0.999; /* nothing to fold */

#define REGION
#define PART "bench/rates.h"
#include "../eos.c"
#undef PART
#undef REGION

/* Instances as kernels[] has them, by precision. */
static const struct rates *const rates[][2] = {
#if WITH_AVX512
    {&rates_avx512_f32, &rates_avx512_f64},
#endif
#if WITH_AVX2
    {&rates_avx2_f32, &rates_avx2_f64},
#endif
#if WITH_CFMA
    {&rates_cfma_f32, &rates_cfma_f64},
#endif
#if WITH_NEON
    {&rates_neon_f32, &rates_neon_f64},
#endif
#if WITH_C
    {&rates_c_f32, &rates_c_f64},
#endif
};
static const size_t lanes_of_bytes[2] = {4, 8};
static const char *const precision_name[] = {"f32", "f64"};
static double peak_one[2], peak_all[2]; /* flops a second */
static struct point here;               /* where passes are timed */
static bool once;                       /* each, of few samples: a look */

static const char *model_in_use(void)
{
    static char name[16];

    return option_of(FIELD(model), name, sizeof name);
}

static const struct rates *rate(int precision)
{
    return rates[kernel - kernels][precision];
}

/* Whether to measure once more: everything several times, and for a second, as
 * threads that slept need a while to come to processors of their own, and as
 * other machines may share the memory of this one. */
static bool again(int runs, double start)
{
    return once ? !runs : runs < RUNS || seconds() - start < 1;
}

/* The best time of `tasks` tasks. */
static double time_tasks(size_t tasks, task_fn *fn, const struct pass *p)
{
    double best = INFINITY, start = seconds();
    int i;

    for (i = 0; again(i, start); i++) {
        double began = seconds();

        parallel(tasks, fn, p);
        best = fmin(best, seconds() - began);
    }
    return best;
}

/* Leaves the other threads idle, for the while. */
static double time_tasks_alone(size_t tasks, task_fn *fn)
{
    size_t started = pool.started;
    double time;

    pool.started = 0;
    time = time_tasks(tasks, fn, NULL);
    pool.started = started;
    return time;
}

/* EOS_F64: with room for passes of both precisions. */
static void start(enum eos_model model, size_t samples,
                  enum eos_precision deriv)
{
    struct eos_config c = eos_defaults();

    c.model = model;
    c.loss = model == EOS_TRANSFORMER ? EOS_BMSE : EOS_MSE;
    c.samples = size_min(SAMPLES, once ? samples / 50 + 2 : samples);
    c.deriv = deriv;
    if (eos_start(&c)) {
        fprintf(stderr, "bench: %s\n", eos_error());
        exit(1);
    }
    eos_init(0, path.gd);
    eos_init(1, path.v[0]);
    here = point_at(path.gd);
}

/* --- 1 --- */

/* Bytes of a vector and rows of a micro-tile, for the flops of the loop. */
static double peak_flops(int precision)
{
    const char *name = kernel->name;
    double bytes = !strcmp(name, "avx512") ? 64
                   : !strcmp(name, "avx2") ? 32
                                           : 16;
    double rows = !strcmp(name, "avx512") || !strcmp(name, "neon") ? 8 : 4;

    return 2 * rows * 3 * bytes / (double)lanes_of_bytes[precision] *
           PEAK_ROUNDS;
}

static void peaks(void)
{
    int p, i;

    for (p = 0; p < 2; p++)
        for (i = 0; i < PEAK_RUNS; i++) {
            double flops = peak_flops(p);
            double one = time_tasks_alone(1, rate(p)->peak);
            double all = time_tasks(4 * pool.workers, rate(p)->peak, NULL);

            peak_one[p] = fmax(peak_one[p], flops / one);
            peak_all[p] =
                fmax(peak_all[p], flops * (double)(4 * pool.workers) / all);
        }
    printf("%-22s%16s%16s\n", "peak, GFLOP/s", "one thread", "all threads");
    for (p = 0; p < 2; p++)
        printf("%-22s%16.0f%16.0f\n", precision_name[p], peak_one[p] / 1e9,
               peak_all[p] / 1e9);
}

/* --- 2 --- */

typedef void sgemm_fn(int, int, int, int, int, int, float, const float *, int,
                      const float *, int, float, float *, int);
typedef void dgemm_fn(int, int, int, int, int, int, double, const double *, int,
                      const double *, int, double, double *, int);
static sgemm_fn *sgemm;
static dgemm_fn *dgemm;
static union {
    float f32[16000000];
    double f64[16000000];
} blas_a, blas_b, blas_c;

/* The library may be absent: its address is looked up by name. */
static bool blas_open(void)
{
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW), *s, *d;

    s = lib ? dlsym(lib, "cblas_sgemm") : NULL;
    d = lib ? dlsym(lib, "cblas_dgemm") : NULL;
    memcpy(&sgemm, &s, sizeof s);
    memcpy(&dgemm, &d, sizeof d);
    return s && d;
}

/* C[m][n] = A B, row by row; A, and B, may be stored transposed. */
static double blas_time(int precision, bool ta, bool tb, int m, int n, int k)
{
    enum { ROWS = 101, AS_IS = 111, TRANSPOSED = 112 };
    const struct timespec rest = {0, 300000000};
    const int la = ta ? m : k, lb = tb ? k : n;
    const int a = ta ? TRANSPOSED : AS_IS, b = tb ? TRANSPOSED : AS_IS;
    double best = INFINITY, start = seconds();
    int i;

    for (i = 0; again(i, start); i++) {
        double began = seconds();

        if (precision == EOS_F32)
            sgemm(ROWS, a, b, m, n, k, 1, blas_a.f32, la, blas_b.f32, lb, 0,
                  blas_c.f32, n);
        else
            dgemm(ROWS, a, b, m, n, k, 1, blas_a.f64, la, blas_b.f64, lb, 0,
                  blas_c.f64, n);
        best = fmin(best, seconds() - began);
    }
    nanosleep(&rest, NULL); /* its threads spin for a while, then sleep */
    return best;
}

static void product_row(int p, const char *name, double flops, double time,
                        double blas)
{
    double speed = flops / time;

    printf("%-5s%-40s%9.0f%9.1f", precision_name[p], name, speed / 1e9,
           100 * speed / peak_all[p]);
    if (blas > 0)
        printf("%10.0f%8.2f", flops / blas / 1e9, blas / time);
    printf("\n");
    fflush(stdout);
}

static void products_head(const char *title, bool blas)
{
    printf("\n%-45s%9s%9s", title, "GFLOP/s", "% peak");
    if (blas)
        printf("%10s%8s", "OpenBLAS", "ratio");
    printf("\n");
}

/* A layer's products: forward [n][in] by [in][c], back [n][c] by [c][in], the
 * gradient [in][n] by [n][c], with n samples or pixels.  Where sums are not late
 * they are made on the way back. */
static void products_layer(int p, const struct pass *pass,
                           const struct layer *l, size_t samples, bool blas)
{
    const struct rates *r = rate(p);
    const size_t pixels = l->h * l->w, tiles = pieces(samples, net.tile);
    const size_t stored = size_min(samples, pass->room);
    const int n = (int)(samples * pixels), in = (int)l->in, c = (int)l->c;
    const double flops = 2. * n * in * c;
    const bool sums = !net.late, data = !l->first;
    double rest = 0;
    char name[60];

    rated = l;
    snprintf(name, sizeof name, "%s %zu x %zu of %zu, forward",
             l->window > 1 ? "conv" : "linear", l->in, l->c, pixels);
    product_row(p, name, flops, time_tasks(tiles, r->forward, pass),
                blas ? blas_time(p, 0, 0, n, c, in) : 0);
    if (blas && sums)
        rest = blas_time(p, 1, 0, in, c, n);
    if (blas && data)
        rest += blas_time(p, 0, 1, n, in, c);
    snprintf(name, sizeof name, "    back%s",
             sums ? ", with the gradient" : "");
    if (sums || data)
        product_row(p, name, flops * (sums + data),
                    time_tasks(tiles, r->backward, pass), rest);
    if (net.late)
        product_row(p, "    gradient", 2. * (double)stored * in * c,
                    time_tasks(pieces(l->in, SLAB), r->sum, pass),
                    blas ? blas_time(p, 1, 0, in, c, (int)stored) : 0);
}

/* Whether a layer before it has the same products. */
static bool shape_again(const struct layer *l)
{
    const struct layer *o = net.layer;

    while (o->kind != LINEAR || o->in != l->in || o->c != l->c ||
           o->h != l->h || o->w != l->w || o->window != l->window)
        o++;
    return o != l;
}

static void products(enum eos_model model, size_t samples, bool blas)
{
    char title[60];
    size_t i;
    int p;

    start(model, samples, EOS_F64);
    samples = train.n;
    snprintf(title, sizeof title, "%s, %zu samples", model_in_use(), samples);
    products_head(title, blas);
    for (p = 0; p < 2; p++) {
        struct pass pass = {.set = &train, .theta = path.gd, .out = scratch.in};

        kernel->pass[p](&pass); /* packs the weights, fills the store */
        pass.begin = 0;
        pass.end = size_min(samples, net.late ? pass.room : samples);
        for (i = 0; i < net.layers; i++)
            if (net.layer[i].kind == LINEAR && !shape_again(&net.layer[i]))
                products_layer(p, &pass, &net.layer[i],
                               net.late ? pass.end : samples, blas);
    }
}

/* --- 3 --- */

/* Flops of a pass of order K over one sample: each product of a layer's
 * weights, and each of the six that attention makes of series, counts where the
 * series asks for it. */
static double pass_flops(int order)
{
    const double k = order;
    double sum = 0;
    size_t i;

    for (i = 0; i < net.layers; i++) {
        const struct layer *l = &net.layer[i];
        const double one = (double)(l->in * l->c * l->h * l->w);

        if (l->kind == LINEAR)
            sum +=
                one * (l->first ? fmin(2, k + 1) + 1 : 2 * (2 * k + 1) + k + 1);
        if (l->kind == ATTEND)
            sum += 3 * (k + 1) * (k + 2) * (double)(l->w * l->w * l->c);
    }
    return 2 * sum;
}

/* A pass at a new point: nothing is kept from the one before. */
static double pass_time(int precision, int order)
{
    double best = INFINITY, start = seconds();
    int i;

    for (i = 0; again(i, start); i++) {
        double began;

        here = point_at(path.gd);
        began = seconds();
        taylor(here, (enum eos_precision)precision, order, &train, path.v[0],
               scratch.in);
        best = fmin(best, seconds() - began);
    }
    return best;
}

/* What passes are timed on. */
static const size_t pass_samples[] = {5000, 500, 500, 1000};
enum { MODELS = sizeof pass_samples / sizeof *pass_samples, TIMED = 3 };

/* Milliseconds by precision and order as bench/pytorch.py prints them for the
 * network in use, zero where it does not run. */
static double torch_ms[2][TIMED];
/* Seconds of as many calls as a tracked step of the authors' program makes, 35
 * products and 8 float64 gradients, for the MLP; 0 where that is not known. */
static double torch_step;

static void torch_run(void)
{
    char command[200], precision[8];
    int order;
    double ms;
    FILE *in;

    memset(torch_ms, 0, sizeof torch_ms);
    snprintf(command, sizeof command,
             "a='bench/pytorch.py %s %zu %zu %zu'; python3 $a 2>/dev/null || "
             "/usr/bin/python3 $a 2>/dev/null",
             model_in_use(), train.n, train.length, vocabulary);
    in = popen(command, "r");
    while (in && fscanf(in, "%7s %d %lf", precision, &order, &ms) == 3)
        if (order >= 0 && order < TIMED)
            torch_ms[!strcmp(precision, "f64")][order] = ms;
    if (in)
        pclose(in);
    if (config.model == EOS_MLP)
        torch_step =
            (35 * torch_ms[EOS_F32][1] + 8 * torch_ms[EOS_F64][0]) / 1e3;
}

static void passes_of(enum eos_model model, bool compare)
{
    static const char *const name[] = {"gradient", "Hessian product",
                                       "third derivative"};
    int p, order;

    start(model, pass_samples[model], EOS_F64);
    if (compare)
        torch_run();
    for (p = 0; p < 2; p++)
        for (order = 0; order < TIMED; order++) {
            double time = pass_time(p, order), torch = torch_ms[p][order];
            double speed = pass_flops(order) * (double)train.n / time;

            printf("%-12s%-17s%-4s%6zu %8.1f%9.0f%9.1f", model_in_use(),
                   name[order], precision_name[p], train.n, time * 1e3,
                   speed / 1e9, 100 * speed / peak_all[p]);
            if (torch > 0)
                printf("%9.1fms%8.2f", torch, torch / time / 1e3);
            printf("\n");
            fflush(stdout);
        }
}

static void passes(bool compare)
{
    printf("\n%-40s%9s%9s%9s%11s%8s\n", "whole passes, samples", "ms",
           "GFLOP/s", "% peak", "PyTorch", "ratio");
    for (int m = 0; m < MODELS; m++)
        passes_of((enum eos_model)m, compare);
}

static void scaling(void)
{
    size_t started = pool.started;
    double all, one;

    start(EOS_MLP, 5000, EOS_F32);
    all = pass_time(EOS_F32, 1);
    pool.started = 0;
    one = pass_time(EOS_F32, 1);
    pool.started = started;
    printf("\nMLP Hessian product (f32), %zu threads against one: %.2f times "
           "as fast (the peaks: %.2f)\n\n",
           pool.workers, one / all, peak_all[0] / peak_one[0]);
}

/* --- 4 ---
 *
 * The budget of a tracked step: every pass that it makes goes through a kernel
 * that notes for which trajectory, of what kind, and for how long. */

enum { DESCENT_OF, PREDICTION, FLOW, DAGGER, PATHS };
enum { GRADIENT_64, GRADIENT_32, LOSS_64, HESSIAN, THIRD, PASSES };
static const char *const path_name[] = {"gradient descent", "prediction",
                                        "gradient flow", "theta+"};
static const char *const made_name[] = {"gradient f64", "gradient f32",
                                        "loss f64", "Hessian product",
                                        "third derivative"};
/* The fewest calls of each that a step's mathematics needs: of theta+ one round
 * of projection and what stands at its end, H v for the prediction. */
static const int least[PATHS][PASSES] = {
    {1, 0, 0, 1, 0},
    {0, 0, 1, 1, 0},
    {0, 2, 1, 1, 0},
    {1, 1, 0, 3, 2},
};
static struct {
    size_t calls;
    double seconds, peak; /* what the flops take at the peak */
} budget[PATHS][PASSES];
static const struct kernel *behind;

/* Flops of a pass over all samples; a loss has the way forward alone, and what
 * the first layer keeps is not computed. */
static double flops_made(const struct pass *p)
{
    const struct layer *first = net.layer;
    double sum = pass_flops((int)p->order), forward = 0;

    for (const struct layer *l = net.layer; l < net.layer + net.layers; l++) {
        first = l->first ? l : first;
        if (l->kind == LINEAR)
            forward += 2. * (double)(l->in * l->c * l->h * l->w);
        if (l->kind == ATTEND)
            forward += 4. * (double)(l->w * l->w * l->c);
    }
    sum = p->out ? sum : forward;
    if (p->kept)
        sum -= 2. * (double)(first->in * first->c);
    return sum * (double)p->set->n;
}

static void noted_pass(struct pass *p, enum eos_precision precision)
{
    const int made = p->order ? HESSIAN + (int)p->order - 1
                     : p->out ? GRADIENT_64 + (precision == EOS_F32)
                              : LOSS_64;
    const int path_of = p->theta == path.gd   ? DESCENT_OF
                        : p->theta == path.gf ? FLOW
                        : p->theta == path.pg ? DAGGER
                                              : PREDICTION;
    double began = seconds();

    behind->pass[precision](p);
    budget[path_of][made].calls++;
    budget[path_of][made].seconds += seconds() - began;
    budget[path_of][made].peak += flops_made(p) / peak_all[precision];
}

static void noted_f32(struct pass *p)
{
    noted_pass(p, EOS_F32);
}

static void noted_f64(struct pass *p)
{
    noted_pass(p, EOS_F64);
}

static void budget_show(double steps, double time)
{
    double passes_took = 0, peak = 0;

    printf("%-18s%-18s%7s%7s%9s%8s%8s\n", "", "", "calls", "least", "ms",
           "% step", "% peak");
    for (int i = 0; i < PATHS; i++)
        for (int k = 0; k < PASSES; k++) {
            const double took = budget[i][k].seconds / steps;

            passes_took += took;
            peak += budget[i][k].peak / steps;
            if (budget[i][k].calls)
                printf("%-18s%-18s%7.1f%7d%9.1f%8.1f%8.1f\n", path_name[i],
                       made_name[k], (double)budget[i][k].calls / steps,
                       least[i][k], 1e3 * took, 100 * took / time,
                       100 * budget[i][k].peak / budget[i][k].seconds);
        }
    printf("%-50s%9.1f%8.1f\n", "all else: vectors, bases, guesses",
           1e3 * (time - passes_took), 100 * (1 - passes_took / time));
    printf("%-50s%9.1f%8.1f%8.1f\n", "a step", 1e3 * time, 100.,
           100 * peak / time);
}

/* Tracked steps, after a descent and a few more, with eta such that the edge
 * is where that led. */
static void tracked_step(enum eos_model model, size_t samples)
{
    enum { DESCENT = 150, BEFORE = 3, STEPS = 5 };
    struct kernel noted = {"noted", 0, {noted_f32, noted_f64}};
    double began = 0, time, s;
    size_t t, counted, products = 0;

    start(model, samples, EOS_F32);
    out.fd = -1; /* the rows are not shown */
    eos_init(1, path.gd);
    for (t = 0; t < DESCENT; t++) {
        here = point_at(path.gd);
        gradient(here, EOS_F32, scratch.in);
        vec_axpy(net.params, -0.02, scratch.in, path.gd);
    }
    eos_sharpness(path.gd, 1, &s, scratch.in);
    config.lr = 2 / s;
    config.stop_lambda2 = INFINITY;
    warm.gd.known = warm.pg.known = warm.gf.known = 0; /* another model's */
    warm.pr[0].known = 0;
    counted = hvps;
    track_start(&path, &dagger);
    behind = kernel;
    kernel = &noted;
    for (t = 0; t < BEFORE + STEPS; t++) {
        if (t == BEFORE) {
            memset(budget, 0, sizeof budget);
            began = seconds();
        }
        track_step(&path, &dagger, t, false, &counted);
        products += t < BEFORE ? 0 : row.hvps;
    }
    time = (seconds() - began) / STEPS;
    kernel = behind;
    printf("\n%s, %zu samples: a tracked step %.2f s, %.1f Hessian products\n",
           model_in_use(), train.n, time, (double)products / STEPS);
    budget_show(STEPS, time);
    if (model == EOS_MLP && torch_step > 0)
        printf(
            "35 products and 8 float64 gradients, those of the authors' step, "
            "take PyTorch %.1f s: %.1f times as long\n",
            torch_step, torch_step / time);
    fflush(stdout);
}

/* Peak resident memory of a whole run of ./eos. */
static void memory_taken(const char *model, const char *samples)
{
    struct rusage use;
    int status;
    pid_t child = fork();

    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);

        dup2(nowhere, 1);
        dup2(nowhere, 2);
        execl("./eos", "eos", "run", "--model", model, "--samples", samples,
              "--lr", "0.3", "--steps", "3", "--stop-lambda2", "inf", "--tol",
              "0.01", (char *)NULL);
        _exit(127);
    }
    if (child > 0 && wait4(child, &status, 0, &use) == child &&
        WIFEXITED(status) && WEXITSTATUS(status) != 127)
        printf("%s, %s images: peak resident memory %.0f MB\n", model, samples,
               (double)use.ru_maxrss / 1e3);
}

static void tracked_steps(void)
{
    if (!once && torch_step == 0) {
        start(EOS_MLP, 5000, EOS_F32);
        torch_run();
    }
    tracked_step(EOS_MLP, 5000);
    tracked_step(EOS_CNN, 500);
    tracked_step(EOS_TRANSFORMER, 500);
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";
    const bool steps = !strcmp(part, "steps"), whole = !strcmp(part, "passes");
    const bool compare = argc < 2, blas = compare && blas_open();

    once = !compare && !steps && !whole;
    if (!steps && !whole) { /* before this process takes any */
        memory_taken("mlp", once ? "100" : "5000");
        memory_taken("cnn", once ? "20" : "1000");
    }
    start(EOS_MLP, 5000, EOS_F32);
    printf("kernel %s, %zu threads\n\n", kernel->name, pool.workers);
    peaks();
    if (whole) {
        passes(true);
        return 0;
    }
    if (!steps) {
        products(EOS_MLP, 5000, blas);
        products(EOS_CNN, 500, blas);
        products(EOS_RESNET18, 100, blas);
        products(EOS_TRANSFORMER, 1000, blas);
        passes(compare);
        scaling();
    }
    tracked_steps();
    return 0;
}
