/*
 * Faults of one line that every other test let pass, each closed here.  The
 * program runs as a user starts it; its log and its saved vectors are judged
 * by the library's public derivatives, in float64 and from cold starts.
 */
#include "common.h"
#include "logs.h"
#include "small.h"
#include "program.h"
#include "table.h"

/* A track near the edge: the sharpness is 308, 2/eta is 300. */
#define TRACK                                                       \
    "run --data images --model cnn --loss bmse --samples 8 --init " \
    "start --from-instability --lr 0.00666 --stop-lambda2 inf "     \
    "--threads 1 --log log --save s "
static const double eta = 0.00666;

enum { FEW = 31000, STATES = 6 }; /* parameters of the CNN, at most */
static struct state {
    double gd[FEW], pg[FEW], gf[FEW], v[FEW], u[FEW];
} at[STATES];

/* --- The problem, for the program and for its judge --- */

static void slide_down(double *x, double step, size_t steps)
{
    static double g[P_MAX];

    for (; steps; steps--) {
        eos_gradient(x, g);
        add(x, -step, g);
    }
}

/* The judge's products are float64, its eigenvectors good to 1e-6, the values
 * to the square of that. */
static struct eos_config prepare_judge(size_t samples)
{
    struct eos_config c = small_problem();

    memset(&how, 0, sizeof how);
    c.samples = samples;
    c.tol = 1e-6;
    c.lr = eta;
    cr_assert(eos_start(&c) == EOS_DONE, "%s", eos_error());
    cr_assert(eos_params() <= FEW, "%zu parameters", eos_params());
    small_parameters(theta);
    return c;
}

static void write_start(void)
{
    cr_assert(!npy_write(in_folder("start"), eos_params(), theta), "%s",
              eos_error());
}

/* The floor of the valley, where u.grad L is nearly zero. */
static struct eos_config prepare_floor(size_t samples)
{
    struct eos_config c = prepare_judge(samples);

    slide_down(theta, 0.002, 40);
    write_start();
    return c;
}

static void read_vector(const char *name, double *x)
{
    cr_assert(!npy_read(in_folder(name), eos_params(), x), "%s", eos_error());
}

/* The state after `steps` updates; its row is the next run's last. */
static void state_after(const char *options, size_t steps, struct state *s)
{
    char command[1024];

    snprintf(command, sizeof command, "%s--steps %zu", options, steps);
    exits_with(EOS_DONE, command);
    read_vector("s-gd.npy", s->gd);
    read_vector("s-pg.npy", s->pg);
    read_vector("s-gf.npy", s->gf);
    read_vector("s-v.npy", s->v);
    read_vector("s-u.npy", s->u);
}

/* at[0] .. at[n] and, in log_a, the rows 0 .. n - 1. */
static void states(const char *options, size_t n)
{
    size_t t;

    for (t = 0; t <= n; t++)
        state_after(options, t, &at[t]);
    log_read(&log_a, in_folder("log"));
}

/* |found - expected| relative to the length of the step. */
static void stepped(const char *what, size_t t, const double *found,
                    const double *expected, const double *before,
                    double tolerance)
{
    long double error = 0, length = 0;
    double ratio;
    size_t i;

    for (i = 0; i < eos_params(); i++) {
        error += powl((long double)found[i] - expected[i], 2);
        length += powl((long double)expected[i] - before[i], 2);
    }
    ratio = (double)sqrtl(error / length);
    cr_assert(ratio <= tolerance, "step %zu of %s: off by %.2g of its length",
              t, what, ratio);
}

/* --- Float64 gradients under the float32 default --- */

/* One step of gradient descent; with no rounds of projection that is the
 * constrained trajectory's step too. */
static void descended(const char *what, size_t t, const double *before,
                      const double *after)
{
    static double expected[P_MAX];

    memcpy(expected, before, eos_params() * sizeof *expected);
    slide_down(expected, eta, 1);
    stepped(what, t, after, expected, before, 1e-10);
}

/* A float32 gradient is off by some 1e-6 of its length. */
Test(float32, leaves_the_gradients_of_gd_and_theta_in_float64)
{
    size_t t;

    prepare_floor(8);
    states(TRACK "--proj 0 --kick 0.1 ", 3);
    for (t = 0; t < 3; t++) {
        descended("gradient descent", t, at[t].gd, at[t + 1].gd);
        descended("theta+", t, at[t].pg, at[t + 1].pg);
    }
    folder_remove();
}

/* What a prediction's formula is made of, at a state: u is the program's. */
static struct {
    double L, delta2, gradnorm, grad[P_MAX], T[P_MAX];
} parts;

static void measure_parts(const struct state *s)
{
    const size_t p = eos_params();

    parts.L = eos_gradient(s->pg, parts.grad);
    parts.gradnorm = plain_norm(p, parts.grad);
    eos_third(s->pg, s->u, parts.T);
    add(parts.T, -plain_dot(p, parts.T, s->u), s->u);
    parts.delta2 =
        -2 * plain_dot(p, parts.grad, parts.T) / plain_dot(p, parts.T, parts.T);
}

/* to = v - eta [ (x^2 - delta2)/2 grad S_perp + Hv + x y u ]; generalized:
 * Hv_perp + u (u.grad L(theta+ + x u)) for Hv. */
static void predicted(const struct state *s, double delta2, bool generalized,
                      double *to)
{
    static double of[P_MAX], product[P_MAX], g[P_MAX];
    const size_t p = eos_params();
    const double x = plain_dot(p, s->u, s->v), y = plain_dot(p, parts.T, s->v);

    memcpy(of, s->v, p * sizeof *of);
    memcpy(to, s->v, p * sizeof *to);
    if (generalized)
        add(of, -x, s->u);
    eos_hessian(s->pg, of, product);
    add(to, -eta, product);
    add(to, -eta * (x * x - delta2) / 2, parts.T);
    add(to, -eta * x * y, s->u);
    if (generalized) {
        memcpy(of, s->pg, p * sizeof *of);
        add(of, x, s->u);
        eos_gradient(of, g);
        add(to, -eta * plain_dot(p, s->u, g), s->u);
    }
}

/* The first step of the generalized prediction, by what row 1 shows of it:
 * both predictions start from the same v.  Judged in the program's float32,
 * for the pull alone is float64. */
static void pulled(const char *options, const char *delta2)
{
    static double expected[P_MAX];
    struct eos_config c = prepare_floor(8);
    const size_t p = eos_params();

    c.deriv = EOS_F32;
    cr_assert(eos_start(&c) == EOS_DONE, "%s", eos_error());
    states(options, 2);
    measure_parts(&at[0]);
    predicted(&at[0], log_value(&log_a.block[0], 0, delta2), true, expected);
    near("pgen_x", log_value(&log_a.block[0], 1, "pgen_x"),
         plain_dot(p, at[1].u, expected), 1e-9);
    near("pgen_dist", log_value(&log_a.block[0], 1, "pgen_dist"),
         plain_norm(p, expected), 1e-9);
    folder_remove();
}

Test(float32, leaves_the_generalized_pull_in_float64)
{
    pulled(TRACK "--kick 0.5 --generalized ", "delta2");
}

/* The band has one direction, so Sigma is a number. */
Test(float32, leaves_the_pull_of_several_directions_in_float64)
{
    pulled(TRACK "--kick 0.5 --generalized --unstable 2 ", "sigma");
    cr_assert(log_value(&log_a.block[0], 0, "k") == 1, "k");
}

/* --- The float32 default against formulas and an independent program --- */

static double sharpness_at(const double *point)
{
    static double ignored[P_MAX];
    double S;

    eos_sharpness(point, 1, &S, ignored);
    return S;
}

static void judge_project(double *point, size_t rounds)
{
    static double grad[P_MAX], u[P_MAX], T[P_MAX];
    const size_t p = eos_params();
    double S;

    for (; rounds; rounds--) {
        eos_sharpness(point, 1, &S, u);
        eos_gradient(point, grad);
        eos_third(point, u, T);
        add(T, -plain_dot(p, T, u), u);
        if (S > 2 / eta)
            add(point, -(S - 2 / eta) / plain_dot(p, T, T), T);
        add(point, -plain_dot(p, u, grad) / S, u);
    }
}

/* From at[t] to at[t + 1], all in float64: what float32 products and a
 * residual of 1e-4 change is in the bounds. */
static void formulas_lead_on(size_t t)
{
    static double expected[P_MAX];
    const struct state *a = &at[t], *b = &at[t + 1];
    const size_t bytes = eos_params() * sizeof(double);
    const double gf_S = log_value(&log_a.block[0], t, "gf_S");
    const size_t substeps = (size_t)fmax(1, ceil(eta * gf_S));

    descended("gradient descent", t, a->gd, b->gd);
    memcpy(expected, a->gf, bytes);
    slide_down(expected, eta / (double)substeps, substeps);
    stepped("gradient flow", t, b->gf, expected, a->gf, 1e-5);
    measure_parts(a);
    predicted(a, parts.delta2, false, expected);
    stepped("the prediction", t, b->v, expected, a->v, 1e-4);
    memcpy(expected, a->pg, bytes);
    slide_down(expected, eta, 1);
    judge_project(expected, 3);
    stepped("theta+", t, b->pg, expected, a->pg, 1e-4);
}

/* The row of at[t]. */
static void row_shows(size_t t)
{
    static double prediction[P_MAX], d[P_MAX];
    const struct block *row = &log_a.block[0];
    const struct state *s = &at[t];
    const size_t p = eos_params();
    double ignored;

    measure_parts(s);
    memcpy(prediction, s->pg, p * sizeof *prediction);
    add(prediction, 1, s->v);
    memcpy(d, s->gd, p * sizeof *d);
    add(d, -1, s->pg);
    near("gd_L", log_value(row, t, "gd_L"), eos_loss(s->gd, &ignored), 1e-12);
    near("pr_L", log_value(row, t, "pr_L"), eos_loss(prediction, &ignored),
         1e-12);
    near("gf_L", log_value(row, t, "gf_L"), eos_loss(s->gf, &ignored), 1e-12);
    near("pg_L", log_value(row, t, "pg_L"), parts.L, 1e-12);
    near("gradnorm", log_value(row, t, "gradnorm"), parts.gradnorm, 1e-11);
    near("gd_x", log_value(row, t, "gd_x"), plain_dot(p, s->u, d), 1e-11);
    near("gd_dist", log_value(row, t, "gd_dist"), plain_norm(p, d), 1e-12);
    near("pr_x", log_value(row, t, "pr_x"), plain_dot(p, s->u, s->v), 1e-11);
    near("pr_dist", log_value(row, t, "pr_dist"), plain_norm(p, s->v), 1e-12);
    near("delta2", log_value(row, t, "delta2"), parts.delta2, 1e-4);
    /* products of float32 leave some 1e-6, whatever the tolerance */
    near("gd_S", log_value(row, t, "gd_S"), sharpness_at(s->gd), 2e-6);
    near("pr_S", log_value(row, t, "pr_S"), sharpness_at(prediction), 2e-6);
    near("pg_S", log_value(row, t, "pg_S"), sharpness_at(s->pg), 2e-6);
    if (t) /* on row 0 it is 2/eta */
        near("gf_S", log_value(row, t, "gf_S"), sharpness_at(s->gf), 2e-6);
}

Test(float32, steps_and_rows_are_those_of_the_formulas)
{
    size_t t;

    prepare_floor(8);
    states(TRACK "--kick 0.5 ", 3);
    for (t = 0; t < 3; t++) {
        formulas_lead_on(t);
        row_shows(t);
    }
    folder_remove();
}

/* What products of float32 and a residual leave of a column, by its scale;
 * gradient descent itself knows neither.  A residual tol leaves tol S / (S -
 * lambda2) of u, and so of x. */
static double column_bound(const char *column, double tol)
{
    if (!strcmp(column, "gd_L"))
        return 1e-12;
    if (strstr(column, "_L"))
        return 2e-6;
    return 1e-5 + tol / (1 - table_value("mlp-ce", "lambda2") /
                                 table_value("mlp-ce", "S"));
}

/* Three rows of an independent float64 program, whose eigenpairs are good to
 * 1e-11. */
static void track_is_right(double tol)
{
    size_t i, step, compared = 0;
    char column[32];

    memset(&how, 0, sizeof how);
    folder_make();
    table_images(in_folder("images"));
    use_network(EOS_MLP, EOS_CE, 40);
    table_parameters(theta);
    write_start();
    cr_assert(eos("run --data images --loss ce --samples %d --init start "
                  "--from-instability --generalized --stop-lambda2 inf "
                  "--steps 3 --threads 2 --log log --lr %.17g --tol %g",
                  TABLE_RECORDS, table_value("mlp-ce", "eta"), tol) == EOS_DONE,
              "%s", said.err);
    log_read(&log_a, in_folder("log"));
    for (i = 0; i < VECTORS; i++) {
        const struct vector *v = &vectors[i];
        double found, error;

        if (strcmp(v->on, "mlp-ce") ||
            sscanf(v->quantity, "track %zu %31s", &step, column) != 2 ||
            step > 2)
            continue;
        found = log_value(&log_a.block[0], step, column);
        if (strstr(column, "_x")) /* its sign is that of u */
            found = fabs(found);
        error = fabs(found - v->value) / column_scale("mlp-ce", column);
        cr_assert(error <= column_bound(column, tol),
                  "%s: found %.17g, expected %.17g, off by %.2g", v->quantity,
                  found, v->value, error);
        compared++;
    }
    cr_assert(compared == 84, "the table has %zu values", compared);
    folder_remove();
}

Test(float32, track_is_that_of_an_independent_program)
{
    track_is_right(1e-4); /* the default */
    track_is_right(1e-6);
}

/* --- Columns of the test set --- */

/* Its images are those of the training set in a mirror, so that both have the
 * same mean and deviation in each channel, with cats and dogs exchanged: the
 * judge may train on it. */
static void write_mirrored(void)
{
    static unsigned char records[41][RECORD], mirrored[RECORD];
    size_t n = read_file(in_folder("images"), records, sizeof records), i, j;
    int fd = open(in_folder("mirrored"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    bool written = fd >= 0;

    for (i = 0; i < n / RECORD; i++) {
        const unsigned char label = records[i][0];

        mirrored[0] = label == CAT ? DOG : label == DOG ? CAT : label;
        for (j = 0; j < PIXELS; j++)
            mirrored[1 + j] =
                records[i][1 + j / SIDE * SIDE + SIDE - 1 - j % SIDE];
        written = written && !write_all(fd, mirrored, sizeof mirrored);
    }
    cr_assert(written && !close(fd), "mirrored: %s", strerror(errno));
}

static void judge_by_the_mirrored(struct eos_config c)
{
    static char name[512];

    snprintf(name, sizeof name, "%s", in_folder("mirrored"));
    c.data[0] = name;
    cr_assert(eos_start(&c) == EOS_DONE, "%s", eos_error());
}

/* Loss and accuracy of this row of this block are those of the point. */
static void tested(size_t block, size_t row, const char *L, const char *acc,
                   const double *point)
{
    const struct block *b = &log_a.block[block];
    double accuracy, loss = eos_loss(point, &accuracy);

    near(L, log_value(b, row, L), loss, 1e-12);
    near(acc, log_value(b, row, acc), accuracy, 1e-12);
}

static void test_and_training_differ(size_t row)
{
    const struct block *b = &log_a.block[0];

    cr_assert(log_value(b, row, "test_acc") != log_value(b, row, "acc"),
              "row %zu: the accuracies are the same; the test wants two", row);
}

Test(columns, of_the_test_set_are_its_own_in_a_run)
{
    static double start[P_MAX], instability[P_MAX];
    struct eos_config c = prepare_judge(8);
    size_t last;

    eos_init(0, start);
    write_mirrored();
    exits_with(EOS_DONE, "run " SHORT " --test mirrored --steps 2 --save s");
    read_vector("s-gd.npy", theta);
    exits_with(EOS_DONE,
               "run " SHORT " --test mirrored --steps 3 --save s --log log");
    read_vector("s-instability.npy", instability);
    log_read(&log_a, in_folder("log"));
    last = log_a.block[0].rows - 1;
    judge_by_the_mirrored(c);
    tested(0, 0, "test_L", "test_acc", start);
    tested(0, last, "test_L", "test_acc", instability);
    tested(1, 0, "gd_test_L", "gd_test_acc", instability);
    tested(1, 2, "gd_test_L", "gd_test_acc", theta);
    test_and_training_differ(last);
    folder_remove();
}

Test(columns, of_the_test_set_are_its_own_in_training)
{
    static double start[P_MAX];
    struct eos_config c = prepare_judge(8);

    eos_init(0, start);
    write_mirrored();
    exits_with(EOS_DONE, "train " SHORT_TRAINING " --test mirrored --steps 9 "
                         "--sharp 4 --save s --log log");
    read_vector("s-gd.npy", theta);
    log_read(&log_a, in_folder("log"));
    judge_by_the_mirrored(c);
    tested(0, 0, "test_L", "test_acc", start);
    tested(0, log_a.block[0].rows - 1, "test_L", "test_acc", theta);
    test_and_training_differ(log_a.block[0].rows - 1);
    folder_remove();
}

/* Weights that a float64 loss does not bear. */
Test(columns, of_a_loss_that_is_lost_have_no_accuracy)
{
    double accuracy, loss;
    size_t i;

    prepare_judge(8);
    for (i = 0; i < eos_params(); i++)
        theta[i] = i % 2 ? 1e150 : -1e150;
    loss = eos_loss(theta, &accuracy);
    cr_assert(isnan(loss) && isnan(accuracy), "L = %g, accuracy %g", loss,
              accuracy);
    folder_remove();
}

/* --- Columns of further eigenvalues --- */

#define TIGHT "--deriv f64 --tol 1e-7 "

/* The columns PREFIXS2 .. PREFIXS<n> of a row are those of the point. */
static void eigenvalues_are(size_t block, size_t row, const char *prefix,
                            size_t n, const double *point)
{
    static double ignored[P_MAX];
    double value[8];
    char name[24];
    size_t i;

    eos_sharpness(point, n, value, ignored);
    for (i = 1; i < n; i++) {
        snprintf(name, sizeof name, "%sS%zu", prefix, i + 1);
        near(name, log_value(&log_a.block[block], row, name), value[i], 1e-6);
    }
}

Test(columns, of_further_eigenvalues_are_those_of_gradient_descent)
{
    const struct block *b = &log_a.block[0];

    prepare_floor(8);
    state_after(TRACK TIGHT "--neigs 3 ", 2, &at[0]);
    log_read(&log_a, in_folder("log"));
    eigenvalues_are(0, 0, "gd_", 3, theta);
    near("gd_S2 of the next row", log_value(b, 1, "gd_S2"),
         log_value(b, 0, "gd_S2"), 0);
    folder_remove();
}

/* The approach measures at the middle of the coming step. */
Test(columns, of_further_eigenvalues_are_those_of_the_approach)
{
    prepare_judge(8);
    eos_init(0, theta);
    exits_with(EOS_UNREACHED,
               "run " SHORT " " TIGHT "--neigs 3 --max-steps 0 --log log");
    log_read(&log_a, in_folder("log"));
    slide_down(theta, 0.115 / 2, 1);
    eigenvalues_are(0, 0, "", 3, theta);
    folder_remove();
}

Test(columns, of_further_eigenvalues_are_those_of_training)
{
    prepare_judge(8);
    eos_init(0, theta);
    exits_with(EOS_DONE, "train " SHORT_TRAINING " " TIGHT
                         "--neigs 3 --steps 2 --sharp 2 --log log");
    log_read(&log_a, in_folder("log"));
    eigenvalues_are(0, 0, "", 3, theta);
    slide_down(theta, 0.05, 2);
    eigenvalues_are(0, 1, "", 3, theta);
    folder_remove();
}

/* K + 1 at theta+, two at gradient descent and at the prediction, on every
 * row. */
Test(columns, of_further_eigenvalues_are_those_of_several_directions)
{
    const char options[] = TRACK TIGHT "--unstable 2 --neigs 3 --kick 0.5 ";
    size_t t;

    prepare_floor(8);
    states(options, 2);
    for (t = 0; t < 2; t++) {
        eigenvalues_are(0, t, "pg_", 3, at[t].pg);
        eigenvalues_are(0, t, "gd_", t ? 2 : 3, at[t].gd);
        memcpy(theta, at[t].pg, eos_params() * sizeof *theta);
        add(theta, 1, at[t].v);
        eigenvalues_are(0, t, "pr_", 2, theta);
    }
    folder_remove();
}

/* --- What is saved, and the last row --- */

Test(saved, v_is_that_of_the_prediction_not_the_generalized)
{
    const struct block *b = &log_a.block[0];
    size_t t;

    prepare_floor(8);
    states(TRACK "--kick 0.5 --generalized ", 3);
    for (t = 0; t < 3; t++) {
        near("pr_dist", plain_norm(eos_params(), at[t].v),
             log_value(b, t, "pr_dist"), 1e-12);
        near("pr_x", plain_dot(eos_params(), at[t].u, at[t].v),
             log_value(b, t, "pr_x"), 1e-11);
    }
    cr_assert(fabs(log_value(b, 2, "pgen_dist") / log_value(b, 2, "pr_dist") -
                   1) > 1e-6,
              "both predictions are as long; the test wants two lengths");
    folder_remove();
}

/* Rows at the multiples of --sharp and at the last step, that one once. */
static void training_rows(const char *options, size_t n, const double *step)
{
    static double last[P_MAX];
    char command[512];
    double ignored;
    size_t i;

    snprintf(command, sizeof command,
             "train " SHORT_TRAINING " --save s --log log %s", options);
    exits_with(EOS_DONE, command);
    log_read(&log_a, in_folder("log"));
    cr_assert(log_a.block[0].rows == n, "%s: %zu rows, expected %zu", options,
              log_a.block[0].rows, n);
    for (i = 0; i < n; i++)
        cr_assert(log_value(&log_a.block[0], i, "step") == step[i],
                  "%s: row %zu is of step %g", options, i,
                  log_value(&log_a.block[0], i, "step"));
    read_vector("s-gd.npy", last);
    near("L of the last row", log_value(&log_a.block[0], n - 1, "L"),
         eos_loss(last, &ignored), 1e-12);
}

Test(training, has_a_row_at_its_last_step)
{
    prepare_judge(8);
    training_rows("--steps 7 --sharp 3", 4, (double[]){0, 3, 6, 7});
    training_rows("--steps 6 --sharp 3", 3, (double[]){0, 3, 6});
    training_rows("--steps 2", 2, (double[]){0, 2});
    training_rows("--steps 0", 1, (double[]){0});
    folder_remove();
}

/* --- What a checkpoint holds --- */

/* The run in the folder as "one" against that as "two". */
static void same_end(const char *what)
{
    static const char *const vectors[] = {"gd", "pg", "gf", "v", "u"};
    static double one[P_MAX], two[P_MAX];
    char name[32];
    size_t i, n = eos_params();

    log_read(&log_a, in_folder("one"));
    log_read(&log_b, in_folder("two"));
    same_rows(&log_a, &log_b, what);
    for (i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        snprintf(name, sizeof name, "one-%s.npy", vectors[i]);
        read_vector(name, one);
        snprintf(name, sizeof name, "two-%s.npy", vectors[i]);
        read_vector(name, two);
        cr_assert(first_difference(n, one, two) == n, "%s: %s differs", what,
                  name);
    }
}

#define LONG                                                        \
    "run --data images --model cnn --loss bmse --samples 4 --init " \
    "start --from-instability --lr 0.00587 --stop-lambda2 inf "     \
    "--threads 1 --tol 1e-2 --stats full "

/* On row 50 the eigensolver draws at random and a second start of beta begins:
 * stopped before it and after it, where a start more has to be kept. */
Test(checkpoint, holds_the_generator_and_the_starts_of_beta)
{
    const struct block *b = &log_b.block[0];

    prepare_floor(4);
    exits_with(EOS_DONE, LONG "--steps 54 --log one --save one");
    exits_with(EOS_DONE, LONG "--steps 50 --log two --checkpoint ck "
                              "--every 49");
    exits_with(EOS_DONE, LONG "--steps 52 --log two --checkpoint ck "
                              "--every 2 --resume");
    exits_with(EOS_DONE, LONG "--steps 54 --log two --checkpoint ck --resume "
                              "--save two");
    same_end("stopped at 49 and at 51");
    cr_assert(isfinite(log_value(b, 53, "beta_s1")) &&
                  isfinite(log_value(b, 53, "beta_s2")),
              "no two starts of beta on row 53");
    folder_remove();
}

#define SEVERAL_MSE                                                      \
    "run --data images --model cnn --loss mse --samples 8 --init start " \
    "--from-instability --lr 0.07 --stop-lambda2 inf --threads 1 "       \
    "--tol 1e-2 --unstable 2 "

/* Gradient descent and the prediction have two second vectors each, which the
 * solves take in turn: after an even and after an odd number of them. */
Test(checkpoint, holds_both_second_vectors)
{
    static const char *const stops[] = {
        SEVERAL_MSE "--steps 5 --log two --checkpoint even --every 4",
        SEVERAL_MSE "--steps 9 --log two --checkpoint even --resume --save two",
        SEVERAL_MSE "--steps 6 --log two --checkpoint odd --every 5",
        SEVERAL_MSE "--steps 9 --log two --checkpoint odd --resume --save two",
    };
    struct eos_config c = prepare_judge(8);
    size_t i;

    c.loss = EOS_MSE;
    cr_assert(eos_start(&c) == EOS_DONE, "%s", eos_error());
    eos_init(0, theta);
    slide_down(theta, 0.02, 60);
    write_start();
    exits_with(EOS_DONE, SEVERAL_MSE "--steps 9 --log one --save one");
    for (i = 0; i < 4; i += 2) {
        exits_with(EOS_DONE, stops[i]);
        exits_with(EOS_DONE, stops[i + 1]);
        same_end(stops[i]);
    }
    folder_remove();
}

/* --- The sign of u --- */

/* Of the component of the largest magnitude. */
static double sign_of_largest(const double *u)
{
    size_t i, most = 0;

    for (i = 0; i < eos_params(); i++)
        if (fabs(u[i]) > fabs(u[most]))
            most = i;
    return u[most] < 0 ? -1 : 1;
}

/* Without a projection theta+ goes with gradient descent's period of two, and
 * so does u: the components of the largest magnitude are two in turn, of
 * opposite signs. */
Test(sign, of_u_is_that_of_the_step_before)
{
    size_t t, turns = 0;

    prepare_judge(8);
    slide_down(theta, eta, 20);
    write_start();
    states(TRACK "--proj 0 ", 4);
    for (t = 0; t < 4; t++) {
        double along = plain_dot(eos_params(), at[t].u, at[t + 1].u);

        cr_assert(along > 0.9, "step %zu: u.u of the next is %g", t, along);
        turns += sign_of_largest(at[t].u) != sign_of_largest(at[t + 1].u);
    }
    cr_assert(turns > 0, "the largest component keeps its sign; the test wants "
                         "that it does not");
    folder_remove();
}

/* What an eigensolver finds has either sign. */
Test(sign, of_the_first_u_is_that_of_its_largest_component)
{
    size_t seed;

    prepare_judge(2);
    for (seed = 0; seed < 6; seed++) {
        cr_assert(eos("deriv --data images --model cnn --loss bmse --samples 2 "
                      "--threads 1 --tol 1e-2 --seed %zu --out .",
                      seed) == EOS_DONE,
                  "%s", said.err);
        read_vector("u.npy", theta);
        cr_assert(sign_of_largest(theta) > 0, "seed %zu: it is negative", seed);
    }
    folder_remove();
}

/* x' = -(1 + eta y) x, and y is small. */
Test(sign, of_x_alternates_near_the_edge)
{
    static const char *const columns[] = {"gd_x", "pr_x", "pgen_x"};
    const struct block *b = &log_a.block[0];
    size_t t, i;

    prepare_floor(8);
    exits_with(EOS_DONE, TRACK "--kick 0.1 --generalized --steps 12");
    log_read(&log_a, in_folder("log"));
    for (i = 0; i < 3; i++)
        for (t = 0; t < 11; t++) {
            double x = log_value(b, t, columns[i]);
            double next = log_value(b, t + 1, columns[i]);

            cr_assert(next / x < -0.5 && next / x > -2,
                      "%s is %g on row %zu and %g on the next", columns[i], x,
                      t, next);
        }
    folder_remove();
}

/* --- Rows --- */

/* A column that is measured with the rows 0, 50, ... and kept between them:
 * its value on row 50 is lambda_k of the point. */
static void new_on_row_fifty(const char *column, const double *point, size_t k)
{
    static double ignored[P_MAX];
    const struct block *b = &log_a.block[0];
    const double first = log_value(b, 0, column);
    const double second = log_value(b, 50, column);
    double value[3];
    size_t t;

    eos_sharpness(point, k, value, ignored);
    near(column, second, value[k - 1], 1e-4);
    cr_assert(fabs(second / first - 1) > 1e-3,
              "%s is %g, then %g: the test wants two values", column, first,
              second);
    for (t = 1; t < 52; t++)
        cr_assert(log_value(b, t, column) == (t < 50 ? first : second),
                  "%s of row %zu is %g", column, t, log_value(b, t, column));
}

Test(rows, have_new_further_eigenvalues_every_fifty)
{
    const char options[] = TRACK "--tol 1e-3 --neigs 3 --checkpoint ck ";
    char command[512];

    prepare_floor(8);
    snprintf(command, sizeof command, "%s--every 49 ", options);
    state_after(command, 50, &at[0]);
    snprintf(command, sizeof command, "%s--resume ", options);
    state_after(command, 52, &at[1]);
    log_read(&log_a, in_folder("log"));
    new_on_row_fifty("pg_S2", at[0].pg, 2);
    new_on_row_fifty("gd_S2", at[0].gd, 2);
    new_on_row_fifty("gd_S3", at[0].gd, 3);
    folder_remove();
}

/* Under the logistic loss alpha is negative at the initialisation. */
Test(rows, have_a_mean_loss_of_theta_alone_where_delta_is_undefined)
{
    const struct block *b = &log_a.block[0];
    struct eos_config c = prepare_judge(8);
    size_t t;

    c.loss = EOS_LOGISTIC;
    cr_assert(eos_start(&c) == EOS_DONE, "%s", eos_error());
    eos_init(0, theta);
    write_start();
    exits_with(EOS_DONE,
               "run --data images --model cnn --loss logistic --samples 8 "
               "--init start --from-instability --lr 0.3 --tol 1e-3 --steps 2 "
               "--threads 1 --log log");
    log_read(&log_a, in_folder("log"));
    for (t = 0; t < 2; t++) {
        cr_assert(log_value(b, t, "delta2") < 0, "delta2 = %g on row %zu",
                  log_value(b, t, "delta2"), t);
        near("mean_L", log_value(b, t, "mean_L"), log_value(b, t, "pg_L"), 0);
    }
    folder_remove();
}

/* --- The library --- */

/* At two points in turn: what the calls before looked at does not count. */
Test(library, fourth_derivative_is_that_of_its_point)
{
    static double first[P_MAX], second[P_MAX], elsewhere[P_MAX];
    size_t i;

    prepare_judge(2);
    memcpy(elsewhere, theta, eos_params() * sizeof *theta);
    for (i = 0; i < eos_params(); i++)
        elsewhere[i] *= 1.1;
    eos_gradient(theta, direction);
    eos_fourth(theta, direction, first);
    eos_gradient(elsewhere, second);
    eos_fourth(theta, direction, second);
    cr_assert(!memcmp(first, second, eos_params() * sizeof *first),
              "it is that of another point");
    folder_remove();
}

/* --- The room --- */

/* Vectors that a run writes and reads, each with a number of its own. */
enum { ARRAYS = 400 };
static struct {
    const char *name;
    struct vecs at;
    size_t n;
} array[ARRAYS];
static size_t arrays;

static void uses_kept(const char *name, struct vecs set, size_t m, size_t n)
{
    size_t i;

    for (i = 0; i < m; i++) {
        cr_assert(arrays < ARRAYS, "%zu arrays", arrays);
        array[arrays].name = name;
        array[arrays].at = vecs_from(set, n, i);
        array[arrays++].n = n;
    }
}

static void uses(const char *name, double *set, size_t m)
{
    uses_kept(name, (struct vecs){.f64 = set}, m, net.params);
}

static void uses_warm(const char *name, const struct warm *w)
{
    uses_kept(name, w->u, HISTORY, net.params);
}

/* All there is with K unstable directions, after a start of the solver. */
static void uses_all(size_t K)
{
    arrays = 0;
    eig_start(net.params, hessian, here, size_max(K + 1, config.neigs));
    uses("the basis", krylov.basis, eig.cap);
    uses("its next vector", krylov.next, 1);
    uses_kept("its images", krylov.image, eig.cap, net.params);
    uses_kept("the outliers", outliers.u, EIG_MAX, net.params);
    uses("scratch.in", scratch.in, 1);
    uses("scratch.out", scratch.out, 1);
    uses("gradient descent", path.gd, 1);
    uses("theta+", path.pg, 1);
    uses("gradient flow", path.gf, 1);
    uses("the prediction", path.v[0], 1);
    uses("the generalized one", path.v[1], 1);
    uses("the gradient", dagger.grad, 1);
    uses("u_1 .. u_k", dagger.u, K);
    uses("grad S_perp", dagger.T, 1);
    uses("Hv", dagger.Hv[0], 1);
    uses("the generalized one's", dagger.Hv[1], 1);
    uses("T_ij", dagger.T_ij, K * (K + 1) / 2);
    uses_warm("gradient descent's u", &warm.gd);
    uses_warm("theta+'s u", &warm.pg);
    uses_warm("gradient flow's u", &warm.gf);
    uses_warm("the prediction's u", &warm.pr[0]);
    uses_warm("the generalized one's u", &warm.pr[1]);
    uses("the starts of beta", full_w, STARTS);
    uses_kept("|gd_x| / delta", (struct vecs){.f64 = stats.ratio}, 1,
              STEPS_MAX);
}

static double element(size_t i, size_t j)
{
    return array[i].at.f64 ? array[i].at.f64[j] : (double)array[i].at.f32[j];
}

static void nothing_overlaps(void)
{
    size_t i, j;

    for (i = 0; i < arrays; i++)
        for (j = 0; j < array[i].n; j++)
            if (array[i].at.f64)
                array[i].at.f64[j] = (double)i + 1;
            else
                array[i].at.f32[j] = (float)i + 1;
    for (i = 0; i < arrays; i++) {
        const struct vecs *at = &array[i].at;
        const unsigned char *end =
            at->f64 ? (unsigned char *)(at->f64 + array[i].n)
                    : (unsigned char *)(at->f32 + array[i].n);

        cr_assert(end <= room + room_used, "%s: beyond what was taken",
                  array[i].name);
        for (j = 0; j < array[i].n; j++)
            cr_assert(element(i, j) == (double)i + 1, "another lies over %s",
                      array[i].name);
    }
}

/* Where two arrays overlap, a guess is worse, or a number is wrong, if both
 * are in use at the time: so the places are looked at. */
Test(room, of_each_vector_is_its_own)
{
    struct eos_config c = prepare_judge(2);
    size_t i;

    c.unstable = 3;
    c.generalized = true;
    c.stats = EOS_FULL;
    c.resume = true;
    for (i = 0; i < 4; i++) {
        c.deriv = i % 2 ? EOS_F64 : EOS_F32;
        c.neigs = i < 2 ? 1 : 6;
        c.steps = 10;
        cr_assert(eos_start(&c) == EOS_DONE, "%s", eos_error());
        uses_all(3);
        nothing_overlaps();
    }
    folder_remove();
}

static void uses_numbers(const char *name, union reals set, bool wide, size_t n)
{
    uses_kept(name,
              wide ? (struct vecs){.f64 = set.f64}
                   : (struct vecs){.f32 = set.f32},
              1, n);
}

/* What the weight gradients of a chunk are made from, in a pass of one
 * precision; and the scratch of two threads beside it. */
static void uses_chunk(bool wide)
{
    const size_t number = wide ? sizeof(double) : sizeof(float);
    const size_t orders = wide && config.deriv == EOS_F32 ? 1 : ORDERS;
    const size_t room = size_min(config.samples, BLOCK);

    arrays = 0;
    cr_assert(memory.work_one / number >= work_numbers(orders), "a worker");
    cr_assert(memory.store_bytes / number >= room * store_numbers(orders),
              "the store has no room for a block");
    uses_numbers("scratch of two threads", memory.work, wide,
                 2 * memory.work_one / number);
    uses_numbers("weights", memory.packed[0], wide, net.packs);
    if (wide == (config.deriv == EOS_F64))
        uses_numbers("those of v", memory.packed[1], wide, net.packs);
    uses_numbers("the store", memory.store, wide, memory.store_bytes / number);
    if (wide == (config.deriv == EOS_F64))
        uses_numbers("z_0", memory.kept, wide,
                     config.samples * weighted(0)->row);
    uses_kept("the basis", (struct vecs){.f64 = krylov.basis}, 1, net.params);
}

/* One block, two, more than a chunk has in float64. */
Test(room, of_the_network_is_its_own)
{
    static const size_t samples[] = {20, 500, 4000};
    struct eos_config c = eos_defaults();
    size_t i, wide;

    c.threads = 2;
    for (i = 0; i < 6; i++) {
        c.samples = samples[i / 2];
        c.deriv = i % 2 ? EOS_F64 : EOS_F32;
        cr_assert(eos_start(&c) == EOS_DONE, "%s", eos_error());
        for (wide = 0; wide < 2; wide++)
            if (wide || c.deriv == EOS_F32) {
                uses_chunk(wide);
                nothing_overlaps();
            }
    }
}
