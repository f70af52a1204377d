/*
 * Section 6, and the pass of section 7: the series of swish and of the
 * losses against formulas differentiated by hand, the networks against plain
 * loops, and equal results whatever the kernel, the number of threads, the
 * cut into tiles and chunks, and what is kept from an earlier pass.
 */
#include "common.h"
#include "instances.h"
#include "plain.h"

/* --- Numbers of an instance's precision in an array --- */

enum { LANES_MAX = 16 };
union numbers {
    float f32[ORDERS * 64];
    double f64[ORDERS * 64];
};

static double number_at(const struct instance *in, const union numbers *x,
                        size_t i)
{
    return in->bits == 64 ? x->f64[i] : (double)x->f32[i];
}

static void set_number(const struct instance *in, union numbers *x, size_t i,
                       double value)
{
    if (in->bits == 64)
        x->f64[i] = value;
    else
        x->f32[i] = (float)value;
}

static double epsilon(const struct instance *in)
{
    return in->bits == 64 ? DBL_EPSILON : (double)FLT_EPSILON;
}

/* --- Activation --- */

/* h(z(s)) to third order, from h's derivatives at z_0 (Faa di Bruno); in
 * size[k] the sum of the magnitudes of what was added. */
static void compose(const long double h[4], const double z[4],
                    long double out[4], double size[4])
{
    out[0] = h[0];
    out[1] = h[1] * z[1];
    out[2] = h[1] * z[2] + h[2] * z[1] * z[1] / 2;
    out[3] = h[1] * z[3] + h[2] * z[1] * z[2] + h[3] * z[1] * z[1] * z[1] / 6;
    size[0] = 1;
    size[1] = fabs(z[1]);
    size[2] = fabs(z[2]) + z[1] * z[1];
    size[3] = fabs(z[3]) + fabs(z[1] * z[2]) + fabs(z[1] * z[1] * z[1]);
}

/* The logistic function and its first four derivatives. */
static void logistic_derivatives(long double z, long double s[5])
{
    const long double p = 1 / (1 + expl(-z)),
                      q = expl(-fabsl(z)) /
                          ((1 + expl(-fabsl(z))) * (1 + expl(-fabsl(z))));

    s[0] = p;
    s[1] = q;
    s[2] = q * (1 - 2 * p);
    s[3] = q * (1 - 6 * q);
    s[4] = q * (1 - 2 * p) * (1 - 12 * q);
}

static void expect_swish(const double z[4], long double a[4], long double d[4],
                         double size[4])
{
    long double s[5], w[5];
    int k;

    logistic_derivatives(z[0], s);
    w[0] = z[0] * s[0]; /* swish and its derivatives         */
    for (k = 1; k <= 4; k++)
        w[k] = z[0] * s[k] + k * s[k - 1];
    compose(w, z, a, size);
    compose(w + 1, z, d, size);
}

static void swish_matches(const struct instance *in, uint64_t seed,
                          double range)
{
    union numbers z = {{0}}, a = {{0}}, d = {{0}};
    uint64_t rng = seed;
    size_t lane, at;
    int order, k;

    for (at = 0; at < ORDERS * in->lanes; at++)
        set_number(in, &z, at,
                   uniform(&rng, -1, 1) * (at < in->lanes ? range : 2));
    for (order = 0; order < ORDERS; order++) {
        in->swish(order, &z, &a, &d);
        for (lane = 0; lane < in->lanes; lane++) {
            long double a_exact[4], d_exact[4];
            double zk[4], size[4];

            for (k = 0; k < ORDERS; k++)
                zk[k] = number_at(in, &z, (size_t)k * in->lanes + lane);
            expect_swish(zk, a_exact, d_exact, size);
            for (k = 0; k <= order; k++) {
                double limit = 16 * epsilon(in) * size[k] * (1 + fabs(zk[0]));
                double ak, dk;

                at = (size_t)k * in->lanes + lane;
                ak = number_at(in, &a, at);
                dk = number_at(in, &d, at);
                cr_assert(fabsl(ak - a_exact[k]) <= limit,
                          "%s, seed %" PRIu64
                          ", order %d: swish_%d at z_0 = %g is %.17g, not "
                          "%.17Lg",
                          in->name, seed, order, k, zk[0], ak, a_exact[k]);
                cr_assert(fabsl(dk - d_exact[k]) <= limit,
                          "%s, seed %" PRIu64
                          ", order %d: swish'_%d at z_0 = %g is %.17g, not "
                          "%.17Lg",
                          in->name, seed, order, k, zk[0], dk, d_exact[k]);
            }
        }
    }
}

Test(series, swish_to_third_order)
{
    const struct instance *in;
    uint64_t seed;
    size_t i;

    for (i = 0; (in = next_instance(&i));)
        for (seed = 1; seed <= 300; seed++)
            swish_matches(in, seed, seed % 3 == 0 ? 1 : seed % 3 == 1 ? 6 : 40);
}

/* Far out swish is 0 or z, never NaN. */
Test(series, swish_far_out)
{
    static const double far[] = {-1e4, 1e4, -800, 800, -100, 100};
    const struct instance *in;
    size_t i, j;

    for (i = 0; (in = next_instance(&i));)
        for (j = 0; j < sizeof far / sizeof *far; j++) {
            union numbers z = {{0}}, a, d;
            double wanted = far[j] > 0 ? far[j] : 0;

            set_number(in, &z, 0, far[j]);
            set_number(in, &z, in->lanes, 1);
            in->swish(3, &z, &a, &d);
            cr_assert(fabs(number_at(in, &a, 0) - wanted) <= 1e-30,
                      "%s: swish(%g) = %g", in->name, far[j],
                      number_at(in, &a, 0));
            cr_assert(fabs(number_at(in, &d, 0) - (far[j] > 0)) <= 1e-30,
                      "%s: swish'(%g) = %g", in->name, far[j],
                      number_at(in, &d, 0));
            cr_assert(fabs(number_at(in, &d, 3 * in->lanes)) <= 1e-30,
                      "%s: third coefficient at %g: %g", in->name, far[j],
                      number_at(in, &d, 3 * in->lanes));
        }
}

/* --- Losses --- */

/* What a loss is tried on: outputs f_k[c], and what must come of them. */
struct loss_case {
    size_t classes;
    int label;
    double f[ORDERS][CLASSES];
    long double loss, delta[ORDERS][CLASSES]; /* dl/df, a series           */
    double size[ORDERS];
};

static void expect_mse(struct loss_case *t)
{
    size_t c;
    int k;

    for (c = 0; c < t->classes; c++) {
        double target =
            t->classes == 1 ? (t->label ? 1 : -1) : (c == (size_t)t->label);

        t->loss += (t->f[0][c] - (long double)target) *
                   (t->f[0][c] - (long double)target);
        for (k = 0; k < ORDERS; k++)
            t->delta[k][c] = 2 * (t->f[k][c] - (k ? 0 : (long double)target));
    }
}

/* p = e / E with e_c = exp(f_c(s)) composed by hand, then long division. */
static void expect_ce(struct loss_case *t)
{
    long double e[ORDERS][CLASSES], total[ORDERS] = {0}, top = t->f[0][0];
    double size[4];
    size_t c;
    int k, j;

    for (c = 1; c < CLASSES; c++)
        top = fmaxl(top, t->f[0][c]);
    for (c = 0; c < CLASSES; c++) {
        const long double x = expl(t->f[0][c] - top), h[4] = {x, x, x, x};
        const double fc[4] = {0, t->f[1][c], t->f[2][c], t->f[3][c]};
        long double ec[4];

        compose(h, fc, ec, size);
        for (k = 0; k < ORDERS; k++) {
            e[k][c] = ec[k];
            total[k] += ec[k];
        }
    }
    t->loss = logl(total[0]) + top - t->f[0][t->label];
    for (k = 0; k < ORDERS; k++)
        for (c = 0; c < CLASSES; c++) {
            t->delta[k][c] = e[k][c];
            for (j = 0; j < k; j++)
                t->delta[k][c] -= t->delta[j][c] * total[k - j];
            t->delta[k][c] /= total[0];
        }
    t->delta[0][t->label] -= 1;
}

static void expect_logistic(struct loss_case *t)
{
    const int y = t->label ? 1 : -1;
    long double s[5], out[4];
    double m[ORDERS], size[4];
    int k;

    for (k = 0; k < ORDERS; k++)
        m[k] = -y * t->f[k][0];
    logistic_derivatives(m[0], s);
    compose(s, m, out, size);
    t->loss = log1pl(expl(m[0]));
    for (k = 0; k < ORDERS; k++)
        t->delta[k][0] = -y * out[k];
}

static struct loss_case draw_case(enum eos_loss loss, uint64_t seed, int bits)
{
    struct loss_case t = {.classes =
                              loss == EOS_MSE || loss == EOS_CE ? 10 : 1};
    double most[ORDERS] = {0};
    uint64_t rng = seed;
    size_t c;
    int k;

    t.label = (int)whole_number(&rng, 0, t.classes == 1 ? 1 : 9);
    for (k = 0; k < ORDERS; k++)
        for (c = 0; c < t.classes; c++) {
            t.f[k][c] =
                uniform(&rng, -2, 2) * (k == 0 && seed % 4 == 0 ? 12 : 1);
            if (bits == 32)
                t.f[k][c] = (double)(float)t.f[k][c];
            most[k] = fmax(most[k], fabs(t.f[k][c]));
        }
    t.size[0] = 1 + most[0];
    for (k = 1; k < ORDERS; k++)
        t.size[k] = (1 + most[0]) * pow(1 + most[1] + most[2] + most[3], k);
    if (loss == EOS_CE)
        expect_ce(&t);
    else if (loss == EOS_LOGISTIC)
        expect_logistic(&t);
    else
        expect_mse(&t);
    return t;
}

/* Outputs with any step between the orders. */
static void loss_matches(const struct instance *in, enum eos_loss loss,
                         uint64_t seed, size_t step)
{
    struct loss_case t = draw_case(loss, seed, in->bits);
    int order = (int)(seed % ORDERS), k;
    union numbers f = {{0}};
    const double scale = 0.125, eps = epsilon(in);
    double found;
    size_t c;

    for (k = 0; k < ORDERS; k++)
        for (c = 0; c < t.classes; c++)
            set_number(in, &f, (size_t)k * step + c, t.f[k][c]);
    in->loss(order, &f, step, t.label, scale, &found);
    cr_assert(fabsl(found - t.loss) <= 40 * eps * (fabsl(t.loss) + 1e-3L),
              "%s, %s, seed %" PRIu64 ": loss %.17g, not %.17Lg", in->name,
              loss_names[loss], seed, found, t.loss);
    for (k = 0; k <= order; k++)
        for (c = 0; c < t.classes; c++) {
            double d = number_at(in, &f, (size_t)k * step + c);

            cr_assert(fabsl(d / scale - t.delta[k][c]) <= 20 * eps * t.size[k],
                      "%s, %s, seed %" PRIu64 ", order "
                      "%d: delta_%d[%zu] is %.17g, not %.17Lg",
                      in->name, loss_names[loss], seed, order, k, c, d / scale,
                      t.delta[k][c]);
        }
}

static void try_loss(enum eos_loss loss)
{
    const struct instance *in;
    uint64_t seed;
    size_t i;

    use_network(EOS_MLP, loss, 8);
    for (i = 0; (in = next_instance(&i));)
        for (seed = 0; seed < 400; seed++)
            loss_matches(in, loss, seed, seed % 2 ? 16 : 11);
}

Test(series, mse)
{
    try_loss(EOS_MSE);
}
Test(series, ce)
{
    try_loss(EOS_CE);
}
Test(series, bmse)
{
    try_loss(EOS_BMSE);
}
Test(series, logistic)
{
    try_loss(EOS_LOGISTIC);
}

/* A small loss keeps its digits, a large one does not overflow: margins of
 * 30 and of 1000. */
Test(series, losses_far_out)
{
    const struct instance *in;
    size_t i, c;
    int label;

    for (i = 0; (in = next_instance(&i));)
        for (label = 0; label < 2; label++) {
            const double ten = log1p(9 * exp(-30)), two = log1p(exp(-30));
            double found, tol = 10 * epsilon(in);
            union numbers f = {{0}};

            use_network(EOS_MLP, EOS_CE, 8);
            set_number(in, &f, 0, 30);
            in->loss(0, &f, 16, label, 1, &found);
            cr_assert(fabs(found - (label ? 30 + ten : ten)) <=
                          tol * (label ? 30 : ten),
                      "%s: ce %.17g", in->name, found);
            for (c = 0; c < CLASSES; c++)
                set_number(in, &f, c, c ? 0 : 1000);
            in->loss(0, &f, 16, label, 1, &found);
            cr_assert(found == (label ? 1000 : 0), "%s: ce %g", in->name,
                      found);
            use_network(EOS_MLP, EOS_LOGISTIC, 8);
            set_number(in, &f, 0, 30);
            in->loss(0, &f, 16, label, 1, &found);
            cr_assert(fabs(found - (label ? two : 30 + two)) <=
                          tol * (label ? two : 30),
                      "%s: logistic %.17g", in->name, found);
            set_number(in, &f, 0, 1000);
            in->loss(0, &f, 16, label, 1, &found);
            cr_assert(found == (label ? 0 : 1000), "%s: logistic %g", in->name,
                      found);
        }
}

/* --- Layout and initialisation --- */

Test(layout, numbers_of_parameters)
{
    static const struct {
        enum eos_model m;
        enum eos_loss l;
        size_t p, last;
    } is[] = {
        {EOS_MLP, EOS_MSE, 656810, 10},
        {EOS_MLP, EOS_CE, 656810, 10},
        {EOS_MLP, EOS_BMSE, 655001, 1},
        {EOS_MLP, EOS_LOGISTIC, 655001, 1},
        {EOS_CNN, EOS_MSE, 30634, 10},
        {EOS_CNN, EOS_CE, 30634, 10},
        {EOS_CNN, EOS_BMSE, 12193, 1},
        {EOS_CNN, EOS_LOGISTIC, 12193, 1},
        {EOS_RESNET18, EOS_MSE, 701466, 10},
        {EOS_RESNET18, EOS_CE, 701466, 10},
        {EOS_RESNET18, EOS_BMSE, 700305, 1},
        {EOS_RESNET18, EOS_LOGISTIC, 700305, 1},
        {EOS_TRANSFORMER, EOS_BMSE, 64 * (100 + 64) + 50497, 1},
        {EOS_TRANSFORMER, EOS_LOGISTIC, 64 * (100 + 64) + 50497, 1},
    };
    size_t i;

    vocabulary = 100;
    for (i = 0; i < sizeof is / sizeof *is; i++) {
        use_network(is[i].m, is[i].l, 8);
        cr_assert(net.params == is[i].p, "%s %s: p = %zu, not %zu",
                  model_names[is[i].m], loss_names[is[i].l], net.params,
                  is[i].p);
        cr_assert(net.layer[net.layers - 1].bias + is[i].last == net.params,
                  "the last bias");
        cr_assert(net.params <= P_MAX, "more than P_MAX");
    }
}

Test(layout, initial_weights_are_uniform_and_biases_zero)
{
    size_t l, i, model;
    double sum, squares, bound, n;

    for (model = 0; model < 2; model++) {
        use_network((enum eos_model)model, EOS_CE, 8);
        memset(theta, 0xff, sizeof theta);
        eos_init(7, theta);
        for (l = 0; l < LAYERS; l++) {
            bound = 1 / sqrt((double)weighted(l)->in);
            n = (double)(weighted(l)->in * weighted(l)->c);
            for (sum = squares = 0, i = weighted(l)->theta;
                 i < weighted(l)->bias; i++) {
                cr_assert(fabs(theta[i]) <= bound * (1 + 1e-7),
                          "weight %zu is %g, beyond %g", i, theta[i], bound);
                cr_assert(theta[i] == (double)(float)theta[i],
                          "weight %zu is no float32", i);
                sum += theta[i] / bound;
                squares += theta[i] * theta[i] / (bound * bound);
            }
            cr_assert(fabs(sum / n) <= 5 / sqrt(3 * n), "layer %zu: mean %g", l,
                      sum / n);
            cr_assert(fabs(squares / n - 1 / 3.) <= 10 / sqrt(45 * n),
                      "layer %zu: mean square %g", l, squares / n);
            for (i = weighted(l)->bias; i < weighted(l)->bias + weighted(l)->c;
                 i++)
                cr_assert(theta[i] == 0, "bias %zu is %g", i, theta[i]);
        }
        eos_init(7, direction);
        cr_assert(!memcmp(theta, direction, net.params * sizeof *theta),
                  "a seed gives two sets of weights");
        eos_init(8, direction);
        cr_assert(memcmp(theta, direction, net.params * sizeof *theta),
                  "two seeds give one set of weights");
    }
}

/* Gains are 1, the head is 0; of each other weight the largest magnitude is
 * near its bound. */
static void layer_begins(const struct layer *l)
{
    const double bound = 1 / sqrt((double)(l->in ? l->in : l->c));
    const bool head = l == &net.layer[net.layers - 1];
    double most = 0;
    size_t i;

    for (i = l->theta; i < l->bias; i++) {
        cr_assert(theta[i] == (double)(float)theta[i], "weight %zu", i);
        cr_assert(l->kind != NORM || theta[i] == 1, "gain %zu is %g", i,
                  theta[i]);
        most = fmax(most, fabs(theta[i]));
    }
    for (; i < l->end; i++)
        cr_assert(theta[i] == 0, "bias or shift %zu is %g", i, theta[i]);
    if (head)
        cr_assert(most == 0, "the head has weights of %g", most);
    else if (l->bias > l->theta && l->kind != NORM)
        cr_assert(most <= bound * (1 + 1e-7) && most >= 0.97 * bound,
                  "the largest of layer %zu is %g, the bound %g",
                  (size_t)(l - net.layer), most, bound);
}

/* Drawn in order, each rounded once. */
Test(layout, initial_weights_are_the_generators)
{
    size_t model, l, i;
    uint64_t seed, rng;

    vocabulary = 100;
    for (model = 0; model <= EOS_TRANSFORMER; model++)
        for (seed = 0; seed < 2; seed++) {
            use_network((enum eos_model)model, EOS_LOGISTIC, 8);
            eos_init(seed, theta);
            for (rng = seed, l = 0; l < net.layers; l++) {
                const struct layer *x = &net.layer[l];
                const bool head = model >= EOS_RESNET18 && l + 1 == net.layers;
                const double fan_in = (double)(x->in ? x->in : WIDTH);

                if (x->kind == NORM || head)
                    continue;
                for (i = x->theta; i < x->bias; i++) {
                    double u = (double)(rng_next(&rng) >> 11) * 0x1p-52 - 1;

                    cr_assert(theta[i] == (double)(float)(u / sqrt(fan_in)),
                              "model %zu, seed %" PRIu64 ", weight %zu: %.17g",
                              model, seed, i, theta[i]);
                }
            }
        }
}

Test(layout, initial_weights_of_the_larger_networks)
{
    size_t model, i;

    vocabulary = 100;
    for (model = EOS_RESNET18; model <= EOS_TRANSFORMER; model++) {
        use_network((enum eos_model)model, EOS_LOGISTIC, 8);
        memset(theta, 0xff, sizeof theta);
        eos_init(7, theta);
        for (i = 0; i < net.layers; i++)
            layer_begins(&net.layer[i]);
    }
}

/* --- The networks by plain loops --- */

/* A set with room for more than a chunk. */
enum { SPARE = (TEST_SAMPLES + TILE - 1) / TILE };
static unsigned char spare_rows[SPARE * TILE][PIXELS];
static unsigned char spare_label[TEST_SAMPLES];
static struct set spare = {.rows = spare_rows, .label = spare_label};

/* The first n records of the built-in set after the training set's. */
static void draw_spare(size_t n)
{
    struct filling fill = {&spare, n, .hash = HASH_START};
    static unsigned char record[RECORD];
    uint64_t i;

    spare.n = 0;
    for (i = 7000; spare.n < n; i++) {
        synth_record(i, false, record);
        filling_put(&fill, record);
    }
}

/* The same as a test set. */
static void draw_test_set(size_t n)
{
    draw_spare(n);
    test.rows = room_take(SPARE * TILE, PIXELS);
    test.n = n;
    memcpy(test.rows, spare.rows, n * PIXELS);
    memcpy(test.label, spare.label, n);
}

/* n sentences of tokens of the training set, of any length. */
static void draw_sentences(size_t n, size_t length)
{
    static uint16_t tokens[16][SENTENCE];
    uint64_t rng = length;
    size_t i, k;

    cr_assert(n <= 16, "%zu sentences", n);
    memset(tokens, 0, sizeof tokens);
    spare.n = n;
    spare.tokens = tokens;
    spare.length = length;
    for (i = 0; i < n; i++) {
        spare.label[i] = i % 3 == 0;
        for (k = 0; k < length; k++)
            tokens[i][k] = (uint16_t)whole_number(&rng, 0, vocabulary - 1);
    }
}

/* n is not a multiple of TILE: what pads the last tile must not count. */
static void forward_matches_plain_loops(enum eos_model model,
                                        enum eos_loss loss)
{
    const struct set *sets[] = {&train, &spare};
    double found, wanted, accuracy, hits, g;
    size_t i;

    set_up(model, loss, model == EOS_MLP ? 50 : 10, 3);
    draw_test_set(model == EOS_MLP ? 53 : 7);
    for (i = 0; i < 2; i++) {
        found = loss_on(here, sets[i], &accuracy);
        wanted = plain_loss(sets[i], &hits);
        cr_assert(fabs(found - wanted) <= 1e-13 * wanted,
                  "%s %s, set %zu: "
                  "L = %.17g, not %.17g",
                  model_names[model], loss_names[loss], i, found, wanted);
        cr_assert(accuracy == hits, "%s %s, set %zu: accuracy %g, not %g",
                  model_names[model], loss_names[loss], i, accuracy, hits);
    }
    cr_assert(loss_on(here, &test, &hits) == found && hits == accuracy,
              "the test set's loss is not that of its images");
    wanted = plain_loss(&train, &hits);
    g = gradient(here, EOS_F64, direction);
    cr_assert(fabs(g - wanted) <= 1e-13 * wanted, "gradient's L");
    g = gradient(here, EOS_F32, direction);
    cr_assert(fabs(g - wanted) <= 1e-5 * wanted, "float32: %.17g, not %.17g", g,
              wanted);
}

Test(forward, mlp_mse)
{
    forward_matches_plain_loops(EOS_MLP, EOS_MSE);
}
Test(forward, mlp_ce)
{
    forward_matches_plain_loops(EOS_MLP, EOS_CE);
}
Test(forward, mlp_bmse)
{
    forward_matches_plain_loops(EOS_MLP, EOS_BMSE);
}
Test(forward, mlp_logistic)
{
    forward_matches_plain_loops(EOS_MLP, EOS_LOGISTIC);
}
Test(forward, cnn_mse)
{
    forward_matches_plain_loops(EOS_CNN, EOS_MSE);
}
Test(forward, cnn_ce)
{
    forward_matches_plain_loops(EOS_CNN, EOS_CE);
}
Test(forward, cnn_bmse)
{
    forward_matches_plain_loops(EOS_CNN, EOS_BMSE);
}
Test(forward, cnn_logistic)
{
    forward_matches_plain_loops(EOS_CNN, EOS_LOGISTIC);
}

static void set_matches_plain_loops(const char *name, const struct set *s)
{
    double accuracy, hits, found = loss_on(here, s, &accuracy);
    double wanted = plain_loss(s, &hits);

    cr_assert(fabs(found - wanted) <= 1e-12 * wanted,
              "%s %s, %s: L = %.17g, not %.17g", model_names[config.model],
              loss_names[config.loss], name, found, wanted);
    cr_assert(accuracy == hits, "%s %s, %s: accuracy %g, not %g",
              model_names[config.model], loss_names[config.loss], name,
              accuracy, hits);
    found = taylor(here, EOS_F32, 0, s, NULL, NULL);
    cr_assert(fabs(found - wanted) <= 1e-5 * wanted,
              "%s %s, %s, float32: L = %.17g, not %.17g",
              model_names[config.model], loss_names[config.loss], name, found,
              wanted);
}

static void resnet_matches_plain_loops(enum eos_loss loss)
{
    set_up(EOS_RESNET18, loss, 4, 3);
    draw_spare(two_classes() ? 2 : 3);
    set_matches_plain_loops("training", &train);
    set_matches_plain_loops("others", &spare);
}

static void transformer_matches_plain_loops(enum eos_loss loss)
{
    static const size_t lengths[] = {1, 2, 15, 16, 17, 48, 63, 64};
    char name[24];
    size_t i;

    set_up(EOS_TRANSFORMER, loss, 20, 3);
    use_length(SENTENCE);
    set_matches_plain_loops("training", &train);
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        draw_sentences(5, lengths[i]);
        snprintf(name, sizeof name, "length %zu", lengths[i]);
        set_matches_plain_loops(name, &spare);
    }
}

Test(forward, resnet18_mse)
{
    resnet_matches_plain_loops(EOS_MSE);
}
Test(forward, resnet18_ce)
{
    resnet_matches_plain_loops(EOS_CE);
}
Test(forward, resnet18_bmse)
{
    resnet_matches_plain_loops(EOS_BMSE);
}
Test(forward, resnet18_logistic)
{
    resnet_matches_plain_loops(EOS_LOGISTIC);
}
Test(forward, transformer_bmse)
{
    transformer_matches_plain_loops(EOS_BMSE);
}
Test(forward, transformer_logistic)
{
    transformer_matches_plain_loops(EOS_LOGISTIC);
}

/* All outputs zero: on a tie the lowest class wins; with one output, zero has
 * neither sign. */
Test(forward, ties_at_zero_parameters)
{
    static const double losses[] = {1, 2.302585092994045684, 1,
                                    0.69314718055994530942};
    size_t model, loss, i;

    for (model = 0; model < 4; model++)
        for (loss = model == EOS_TRANSFORMER ? EOS_BMSE : 0; loss < 4; loss++) {
            const size_t n = model == EOS_RESNET18 ? 12 : 30;
            double found, accuracy, zeros = 0;

            set_up((enum eos_model)model, (enum eos_loss)loss, n, 1);
            memset(theta, 0, sizeof theta);
            here = point_at(theta);
            found = loss_on(here, &train, &accuracy);
            for (i = 0; i < n && net.classes == 10; i++)
                zeros += train.label[i] == 0;
            cr_assert(fabs(found - losses[loss]) <= 1e-15 * losses[loss],
                      "%s %s: L = %.17g", model_names[model], loss_names[loss],
                      found);
            cr_assert(accuracy == zeros / (double)n,
                      "%s %s: accuracy %g, not %g", model_names[model],
                      loss_names[loss], accuracy, zeros / (double)n);
        }
}

/* --- Equal results --- */

static struct results {
    double loss[ORDERS];
    double out[ORDERS][P_MAX];
} one, other;

/* The derivatives of every order, each from a fresh point. */
static void all_orders(const struct set *s, struct results *r)
{
    int k;

    for (k = 0; k < ORDERS; k++) {
        here = point_at(theta);
        memset(r->out[k], 0xff, sizeof r->out[k]);
        r->loss[k] = taylor(here, config.deriv, k, s, direction, r->out[k]);
    }
}

static void equal_bits(const char *what)
{
    size_t at;
    int k;

    for (k = 0; k < ORDERS; k++) {
        at = first_difference(net.params, one.out[k], other.out[k]);
        cr_assert(at == net.params,
                  "%s: %s %s, order %d: element %zu is %a, "
                  "and %a",
                  what, model_names[config.model], loss_names[config.loss], k,
                  at, one.out[k][at], other.out[k][at]);
        cr_assert(one.loss[k] == other.loss[k],
                  "%s: order %d: L = %a, and "
                  "%a",
                  what, k, one.loss[k], other.loss[k]);
    }
}

static void nearly_equal(const char *what, double tolerance)
{
    int k;

    for (k = 0; k < ORDERS; k++) {
        double error = relative_error(net.params, other.out[k], one.out[k]);

        cr_assert(error <= tolerance, "%s: %s %s, order %d is off by %g", what,
                  model_names[config.model], loss_names[config.loss], k, error);
        error = fabs(one.loss[k] - other.loss[k]) / one.loss[k];
        cr_assert(error <= tolerance, "%s: order %d: L is off by %g", what, k,
                  error);
    }
}

/* Every instance that fuses gives the bits of every other; the one that does
 * not comes near. */
static void kernels_agree(enum eos_model model, enum eos_loss loss, int bits)
{
    const struct instance *in;
    struct kernel k = {"test", ISA_PLAIN, {NULL, NULL}};
    bool have = false;
    size_t i;

    set_up(model, loss,
           model == EOS_MLP        ? 50
           : model == EOS_RESNET18 ? 1
                                   : 6,
           5);
    config.deriv = bits == 64 ? EOS_F64 : EOS_F32;
    kernel = &k;
    for (i = 0; (in = next_instance(&i));) {
        if (in->bits != bits || !in->fused)
            continue;
        k.pass[config.deriv] = in->pass;
        if (have) {
            all_orders(&train, &other);
            equal_bits(in->name);
        } else {
            all_orders(&train, &one);
            have = true;
        }
    }
    for (i = 0; (in = next_instance(&i));) {
        if (in->bits != bits || in->fused)
            continue;
        k.pass[config.deriv] = in->pass;
        all_orders(&train, &other);
        if (!have)
            one = other;
        nearly_equal(in->name, bits == 64 ? 1e-13 : 1e-4);
    }
}

Test(kernels, agree_on_mlp_f32)
{
    kernels_agree(EOS_MLP, EOS_CE, 32);
}
Test(kernels, agree_on_mlp_f64)
{
    kernels_agree(EOS_MLP, EOS_CE, 64);
}
Test(kernels, agree_on_cnn_f32)
{
    kernels_agree(EOS_CNN, EOS_MSE, 32);
}
Test(kernels, agree_on_cnn_f64)
{
    kernels_agree(EOS_CNN, EOS_MSE, 64);
}
Test(kernels, agree_on_mlp_logistic_f64)
{
    kernels_agree(EOS_MLP, EOS_LOGISTIC, 64);
}
Test(kernels, agree_on_cnn_logistic_f32)
{
    kernels_agree(EOS_CNN, EOS_LOGISTIC, 32);
}

Test(kernels, agree_on_resnet18_f32)
{
    kernels_agree(EOS_RESNET18, EOS_CE, 32);
}
Test(kernels, agree_on_resnet18_f64)
{
    kernels_agree(EOS_RESNET18, EOS_MSE, 64);
}
Test(kernels, agree_on_transformer_f32)
{
    kernels_agree(EOS_TRANSFORMER, EOS_LOGISTIC, 32);
}
Test(kernels, agree_on_transformer_f64)
{
    kernels_agree(EOS_TRANSFORMER, EOS_LOGISTIC, 64);
}

/* Not all bits of the AVX-512 kernel need be tried where it does not run: the
 * table's order and the forced choice are what this is about. */
Test(kernels, are_chosen_by_name)
{
    size_t i;

    for (i = 0; i < KERNELS; i++) {
        setenv("EOS_KERNEL", kernels[i].name, 1);
        if (isa_runs(kernels[i].isa)) {
            cr_assert(kernel_choose() == EOS_DONE, "%s", failure);
            cr_assert(!strcmp(kernel->name, kernels[i].name),
                      "EOS_KERNEL=%s: %s", kernels[i].name, kernel->name);
        }
    }
    setenv("EOS_KERNEL", "sse9", 1);
    cr_assert(kernel_choose() == EOS_USAGE, "sse9 was taken");
    cr_assert(!strncmp(failure, "EOS_KERNEL=sse9: ", 17), "%s", failure);
    unsetenv("EOS_KERNEL");
    cr_assert(kernel_choose() == EOS_DONE && isa_runs(kernel->isa), "%s",
              failure);
}

static void threads_agree(enum eos_model model, enum eos_precision precision)
{
    set_up(model, EOS_CE, model == EOS_MLP ? 500 : 70, 6);
    config.deriv = precision;
    all_orders(&train, &one);
    pool_start(2);
    all_orders(&train, &other);
    equal_bits("2 threads against 1");
}

Test(equal, for_1_and_2_threads_mlp_f32)
{
    threads_agree(EOS_MLP, EOS_F32);
}
Test(equal, for_1_and_2_threads_mlp_f64)
{
    threads_agree(EOS_MLP, EOS_F64);
}
Test(equal, for_1_and_2_threads_cnn_f32)
{
    threads_agree(EOS_CNN, EOS_F32);
}
Test(equal, for_1_and_2_threads_cnn_f64)
{
    threads_agree(EOS_CNN, EOS_F64);
}

/* Any number of threads, and of parts that are made before they are added. */
static void shares_agree(enum eos_model model, enum eos_loss loss, size_t n,
                         enum eos_precision precision)
{
    static const size_t slots[] = {1, 2, 3, 5};
    char what[48];
    size_t i, most;

    set_up(model, loss, n, 6);
    config.deriv = precision;
    most = memory.slots;
    cr_assert(memory.workers >= 3 && most >= 3, "%zu workers, %zu slots",
              memory.workers, most);
    all_orders(&train, &one);
    for (i = 0; i < sizeof slots / sizeof *slots; i++) {
        memory.slots = size_min(slots[i], most);
        pool_start(i % 3 + 1);
        all_orders(&train, &other);
        snprintf(what, sizeof what, "%zu threads, %zu slots", i % 3 + 1,
                 memory.slots);
        equal_bits(what);
    }
}

Test(equal, for_any_threads_and_slots_resnet18_f32)
{
    shares_agree(EOS_RESNET18, EOS_MSE, 4, EOS_F32);
}
Test(equal, for_any_threads_and_slots_resnet18_f64)
{
    shares_agree(EOS_RESNET18, EOS_MSE, 4, EOS_F64);
}
Test(equal, for_any_threads_and_slots_transformer_f32)
{
    shares_agree(EOS_TRANSFORMER, EOS_LOGISTIC, 70, EOS_F32);
}
Test(equal, for_any_threads_and_slots_transformer_f64)
{
    shares_agree(EOS_TRANSFORMER, EOS_BMSE, 70, EOS_F64);
}

/* A test set of longer, or of shorter, sentences lays the network out anew:
 * what is computed on the training set stays. */
static void lengths_agree(enum eos_precision precision)
{
    static const size_t lengths[] = {SENTENCE, 3};
    double first, accuracy;
    size_t i;
    int k;

    set_up(EOS_TRANSFORMER, EOS_LOGISTIC, 20, 8);
    config.deriv = precision;
    all_orders(&train, &one);
    use_length(SENTENCE);
    for (i = 0; i < 2; i++) {
        draw_sentences(5, lengths[i]);
        first = loss_on(here, &spare, &accuracy);
        for (k = 0; k < ORDERS; k++) {
            here = point_at(theta);
            other.loss[k] =
                taylor(here, precision, k, &train, direction, other.out[k]);
            cr_assert(loss_on(here, &spare, &accuracy) == first,
                      "order %d, length %zu: another loss", k, lengths[i]);
        }
        equal_bits("sentences of other lengths in between");
    }
}

Test(equal, for_test_sentences_of_other_lengths)
{
    lengths_agree(EOS_F32);
    lengths_agree(EOS_F64);
}

/* What the MLP's first layer keeps at a point serves later passes with the
 * same bits; a test set in between does not disturb it, nor does a float32 pass
 * where float64 is kept. */
static void kept_equals_fresh(enum eos_model model,
                              enum eos_precision precision)
{
    double accuracy;
    int k;

    set_up(model, EOS_MSE, model == EOS_MLP ? 100 : 5, 7);
    draw_test_set(60);
    config.deriv = precision;
    all_orders(&train, &one);
    random_vector(9, net.params, other.out[0]); /* other parameters before   */
    here = point_at(other.out[0]);
    taylor(here, precision, 0, &train, NULL, other.out[1]);
    here = point_at(theta);
    for (k = 0; k < ORDERS; k++) {
        other.loss[k] =
            taylor(here, precision, k, &train, direction, other.out[k]);
        cr_assert((first_layer == here.number) == (model == EOS_MLP),
                  "order %d: is it kept?", k);
        loss_on(here, &test, &accuracy);
        if (precision == EOS_F64)
            taylor(here, EOS_F32, 0, &train, NULL, NULL);
        cr_assert((first_layer == here.number) == (model == EOS_MLP),
                  "order %d: lost to the rare one", k);
    }
    equal_bits("kept against fresh");
}

/* What a float64 pass leaves for the float32 ones at the same point is nearer
 * to it than they are themselves. */
Test(equal, kept_from_float64)
{
    static double fresh[P_MAX], kept[P_MAX], exact[P_MAX];

    set_up(EOS_MLP, EOS_MSE, 100, 7);
    config.deriv = EOS_F32;
    here = point_at(theta);
    taylor(here, EOS_F64, 1, &train, direction, exact);
    here = point_at(theta);
    taylor(here, EOS_F32, 1, &train, direction, fresh);
    here = point_at(theta);
    taylor(here, EOS_F64, 0, &train, NULL, NULL);
    cr_assert(first_layer == here.number, "is it kept?");
    taylor(here, EOS_F32, 1, &train, direction, kept);
    cr_assert(memcmp(kept, fresh, net.params * sizeof *kept), "it is not used");
    for (size_t i = 0; i < net.params; i++) {
        kept[i] -= exact[i];
        fresh[i] -= exact[i];
    }
    cr_assert(vec_norm(net.params, kept) <= vec_norm(net.params, fresh) &&
                  vec_norm(net.params, fresh) <=
                      1e-5 * vec_norm(net.params, exact),
              "errors %g and %g", vec_norm(net.params, kept),
              vec_norm(net.params, fresh));
}

Test(equal, kept_and_fresh_mlp_f32)
{
    kept_equals_fresh(EOS_MLP, EOS_F32);
}
Test(equal, kept_and_fresh_mlp_f64)
{
    kept_equals_fresh(EOS_MLP, EOS_F64);
}
Test(equal, kept_and_fresh_cnn_f64)
{
    kept_equals_fresh(EOS_CNN, EOS_F64);
}

/* --- Tables of layers --- */

/* A network's table without Winograd's algorithm. */
static const struct layer *direct(enum eos_model model)
{
    static struct layer table[LAYERS_MAX];
    size_t i;

    for (i = 0; i < networks[model].layers; i++) {
        table[i] = networks[model].table[i];
        table[i].winograd = false;
    }
    return table;
}

/* No number depends on how many samples go through the CNN together, and
 * Winograd's algorithm computes what a direct convolution does. */
Test(tables, tiles_and_direct_convolutions_give_the_same_numbers)
{
    struct network table = networks[EOS_CNN];
    size_t i, p;

    for (p = 0; p < 2; p++)
        for (i = 1; i < 6; i++) { /* direct where i is even */
            set_up(EOS_CNN, EOS_CE, 150, 11);
            config.deriv = p ? EOS_F64 : EOS_F32;
            all_orders(&train, &one);
            table.table = i % 2 ? networks[EOS_CNN].table : direct(EOS_CNN);
            table.tile = i;
            use_table(&table);
            all_orders(&train, &other);
            nearly_equal(i % 2 ? "tiles" : "direct", p ? 1e-13 : 1e-5);
        }
}

/* ResNet18 has convolutions beside it that add to the same delta. */
Test(tables, direct_convolutions_of_resnet18_give_the_same_numbers)
{
    struct network table = networks[EOS_RESNET18];
    size_t p;

    table.table = direct(EOS_RESNET18);
    for (p = 0; p < 2; p++) {
        set_up(EOS_RESNET18, EOS_CE, 3, 11);
        config.deriv = p ? EOS_F64 : EOS_F32;
        all_orders(&train, &one);
        use_table(&table);
        all_orders(&train, &other);
        nearly_equal("direct", p ? 1e-12 : 1e-4);
    }
}

/* What a product starts with is as long as any row that it makes. */
Test(tables, no_row_is_longer_than_the_zeros)
{
    size_t model, i;

    vocabulary = 100;
    for (model = 0; model < 4; model++) {
        use_network((enum eos_model)model, EOS_LOGISTIC, 8);
        for (i = 1; i < net.layers; i++)
            cr_assert(
                net.layer[i].row <= sizeof zeros / sizeof *zeros &&
                    (net.layer[i].first ||
                     up(net.layer[i].in, PAD) <= sizeof zeros / sizeof *zeros),
                "%s, layer %zu", model_names[model], i);
    }
}

/* A convolution that is neither first nor followed by another, and a pool of
 * four: derivatives against the slopes of lower ones. */
Test(tables, of_another_network)
{
    static const struct layer layers[] = {
        {.kind = IMAGE, .c = CHANNELS},
        {.kind = LINEAR, .c = 16, .window = 3},
        {.kind = SWISH, .pool = 4},
        {.kind = LINEAR, .c = 48, .window = 3},
        {.kind = SWISH, .pool = 2},
        {.kind = LINEAR, .c = 30},
        {.kind = SWISH},
        {.kind = LINEAR},
    };
    const struct network table = {layers, 8, 2, false, PARTS, 4};
    const double step = 1e-5;
    static double here[P_MAX];
    double up_loss, down_loss, slope;
    size_t i;

    set_up(EOS_CNN, EOS_CE, 9, 12);
    use_table(&table);
    cr_assert(net.params ==
                  27 * 16 + 16 + 144 * 48 + 48 + 768 * 30 + 30 + 30 * 10 + 10,
              "%zu parameters", net.params);
    eos_init(5, here);
    random_vector(6, net.params, direction);
    for (i = 0; i < net.params; i++)
        theta[i] = here[i] + step * direction[i];
    up_loss = eos_gradient(theta, one.out[1]);
    for (i = 0; i < net.params; i++)
        theta[i] = here[i] - step * direction[i];
    down_loss = eos_gradient(theta, one.out[2]);
    eos_gradient(here, one.out[0]);
    slope = (up_loss - down_loss) / (2 * step);
    cr_assert(fabs(slope - plain_dot(net.params, one.out[0], direction)) <=
                  1e-6 * fabs(slope),
              "the gradient is not the loss's slope");
    eos_hessian(here, direction, other.out[0]);
    for (i = 0; i < net.params; i++)
        one.out[1][i] =
            (one.out[1][i] - one.out[2][i]) / (2 * step) - other.out[0][i];
    cr_assert(plain_norm(net.params, one.out[1]) <=
                  1e-6 * plain_norm(net.params, other.out[0]),
              "the Hessian product is not the gradient's slope");
}

/* --- Cuts into tiles, blocks, chunks, parts --- */

/* The set's first `period` images again and again, n in all: every mean over
 * samples stays what it was. */
static void repeat(struct set *s, size_t n, size_t period)
{
    size_t i;

    for (i = period; i < n; i++) {
        memcpy(s->rows[i], s->rows[i % period], PIXELS);
        s->label[i] = s->label[i % period];
    }
    s->n = n;
}

static void repeats_change_nothing(enum eos_model model,
                                   enum eos_precision precision, size_t period,
                                   const size_t *n)
{
    char what[60];
    size_t last = 0;

    while (n[last + 1])
        last++;
    set_up_with_room(model, EOS_CE, period, 8, n[last] * period);
    config.deriv = precision;
    all_orders(&train, &one);
    for (; *n; n++) {
        repeat(&train, *n * period, period);
        all_orders(&train, &other);
        snprintf(what, sizeof what, "%zu times %zu samples", *n, period);
        nearly_equal(what, precision == EOS_F64 ? 1e-13 : 1e-4);
    }
}

/* Around one tile (48), two, and one BLOCK (480). */
Test(cuts, mlp_tiles)
{
    static const size_t n[] = {2, 3, 4, 5, 6, 7, 8, 9, 0};

    repeats_change_nothing(EOS_MLP, EOS_F64, 12, n);
}

Test(cuts, mlp_tiles_f32)
{
    static const size_t n[] = {2, 7, 0};

    repeats_change_nothing(EOS_MLP, EOS_F32, 13, n);
}

Test(cuts, mlp_blocks)
{
    static const size_t n[] = {10, 11, 20, 21, 0};

    repeats_change_nothing(EOS_MLP, EOS_F64, 47, n);
}

/* PARTS = 64 partial gradients: shares of one sample, of two, unequal, of more
 * than the last layer takes at once. */
Test(cuts, cnn_parts)
{
    static const size_t n[] = {2, 9, 10, 13, 19, 26, 40, 0};

    repeats_change_nothing(EOS_CNN, EOS_F64, 7, n);
}

/* More than CHUNK samples; the last chunk ends within a tile. */
Test(cuts, mlp_chunks)
{
    const enum eos_precision both[] = {EOS_F32, EOS_F64};
    const size_t period = 41, n = 130 * period;
    size_t i;

    cr_assert(n > CHUNK * BLOCK && n <= TEST_SAMPLES, "CHUNK is %d", CHUNK);
    set_up_with_room(EOS_MLP, EOS_CE, 20, 8, CHUNK * BLOCK);
    for (i = 0; i < 2; i++) {
        double accuracy, all;

        config.deriv = both[i];
        draw_test_set(period);
        all_orders(&spare, &one);
        loss_on(here, &spare, &accuracy);
        repeat(&spare, n, period);
        all_orders(&spare, &other);
        nearly_equal("chunks", i ? 1e-13 : 1e-4);
        loss_on(here, &spare, &all);
        cr_assert(fabs(accuracy - all) <= 1e-14, "accuracy %g, not %g", all,
                  accuracy);
    }
}

/* A sum of parts is the whole: images that all differ, n = a + b. */
Test(cuts, gradient_of_all_is_the_mean_of_its_parts)
{
    const size_t n = 110, a = 53;
    size_t model, i, at;

    for (model = 0; model < 2; model++) {
        set_up((enum eos_model)model, EOS_MSE, n, 9);
        all_orders(&train, &one);
        train.n = a;
        all_orders(&train, &other);
        for (i = 0; i < ORDERS; i++)
            for (at = 0; at < net.params; at++)
                one.out[i][at] =
                    (double)n * one.out[i][at] - (double)a * other.out[i][at];
        for (i = a; i < n; i++) { /* the rest to the front             */
            memcpy(train.rows[i - a], train.rows[i], PIXELS);
            train.label[i - a] = train.label[i];
        }
        train.n = n - a;
        all_orders(&train, &other);
        for (i = 0; i < ORDERS; i++)
            for (at = 0; at < net.params; at++)
                other.out[i][at] *= (double)(n - a);
        memcpy(one.loss, other.loss, sizeof one.loss);
        nearly_equal("parts", 1e-13);
    }
}

static void nan_between(const void *begin, const void *end)
{
    const unsigned char *from = begin, *to = end;

    memset(room + (from - room), 0xff, (size_t)(to - from));
}

/* What net_room takes lies between the data and the eigensolver's, what
 * net_room_workers takes at the end. */
static void fill_with_nan(void)
{
    nan_between(memory.packed[0].f32, krylov.basis);
    nan_between(memory.work.f32, room + room_used);
}

/* No NaN of an earlier use of the scratch memory comes through. */
Test(equal, scratch_full_of_nan)
{
    size_t model, i;

    for (model = 0; model < 4; model++) {
        set_up((enum eos_model)model,
               model == EOS_TRANSFORMER ? EOS_LOGISTIC : EOS_CE,
               model == EOS_RESNET18 ? 4 : 50, 10);
        for (i = 0; i < 2; i++) {
            config.deriv = i ? EOS_F64 : EOS_F32;
            all_orders(&train, &one);
            fill_with_nan();
            all_orders(&train, &other);
            equal_bits("NaN in the scratch memory");
        }
    }
}
