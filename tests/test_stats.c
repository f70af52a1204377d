/*
 * --stats full: second and third derivatives against finite differences of
 * gradients, beta_{s->t} against its product, rho3, rho4 and F against plain
 * loops, on states that a run visits; whole runs, resumed and not.
 */
#include "common.h"
#include "logs.h"
#include "small.h"
#include "program.h"

/* The small problem 40 steps down, near its edge, with files in the folder. */
static void start_at_edge(bool central)
{
    static double g[P_MAX];
    struct eos_config c = small_problem();
    double s;
    size_t i;

    c.stats = EOS_FULL;
    c.central = central;
    c.kick = 0.3;
    cr_assert(eos_start(&c) == EOS_DONE, "%s", failure);
    out.fd = -1;
    small_parameters(path.gd);
    for (i = 0; i < 40; i++) {
        eos_gradient(path.gd, g);
        add(path.gd, -0.002, g);
    }
    eos_sharpness(path.gd, 1, &s, g);
    config.lr = 2 / (0.95 * s);
    warm.pg.known = 0;
}

static void to_file(struct text *t, const char *name)
{
    t->fd = open(in_folder(name), O_CREAT | O_WRONLY | O_TRUNC, 0666);
    cr_assert(t->fd >= 0, "%s", name);
}

/* x's part across u, of length one. */
static void plain_unit(const double *u, const double *x, double *to)
{
    double length;
    size_t i;

    memcpy(to, x, net.params * sizeof *to);
    add(to, -plain_dot(net.params, u, x), u);
    length = plain_norm(net.params, to);
    for (i = 0; i < net.params; i++)
        to[i] /= length;
}

/* to = g(at + h v) + sign g(at - h v) + middle g(at) */
static void difference(const double *at, const double *v, double h, double sign,
                       double middle, double *to)
{
    static double moved[P_MAX], g[P_MAX];
    const size_t bytes = net.params * sizeof *moved;

    memcpy(moved, at, bytes);
    add(moved, h, v);
    eos_gradient(moved, to);
    memcpy(moved, at, bytes);
    add(moved, -h, v);
    eos_gradient(moved, g);
    add(to, sign, g);
    eos_gradient(at, g);
    add(to, middle, g);
}

static double third_by_difference(const double *at, const double *v)
{
    static double d[P_MAX];
    const double h = 1e-3;

    difference(at, v, h, 1, -2, d);
    return plain_norm(net.params, d) / (h * h);
}

static void derivatives_are(const char *what, size_t which, const double *at,
                            const double *u, const double *offset)
{
    static double v[P_MAX], d[P_MAX];
    const double h = 1e-4;

    plain_unit(u, offset, v);
    difference(at, v, h, -1, 0, d);
    near(what, full.Hd[which], plain_norm(net.params, d) / (2 * h), 1e-5);
    near(what, full.dHd[which], fabs(plain_dot(net.params, v, d)) / (2 * h),
         1e-5);
    near(what, full.D3d[which], third_by_difference(at, v), 1e-4);
}

static struct {
    double pg[P_MAX], u[P_MAX], T[P_MAX], g[P_MAX], gd[P_MAX], v[P_MAX];
} was;

static void remember(void)
{
    const size_t bytes = net.params * sizeof *was.pg;

    memcpy(was.pg, path.pg, bytes);
    memcpy(was.u, dagger.u, bytes);
    memcpy(was.T, dagger.T, bytes);
    memcpy(was.g, dagger.grad, bytes);
    memcpy(was.gd, path.gd, bytes);
    memcpy(was.v, path.v[0], bytes);
}

/* w <- (I - eta H) P_perp w at the remembered theta+ */
static void plain_advance(double *w)
{
    static double h[P_MAX];

    add(w, -plain_dot(net.params, was.u, w), was.u);
    eos_hessian(was.pg, w, h);
    add(w, -config.lr, h);
}

Test(track, statistics_are_those_of_their_formulas)
{
    static double w[P_MAX], unit[P_MAX];
    size_t t, counted = 0;

    start_at_edge(false);
    track_start(&path, &dagger);
    for (t = 0; t < 4; t++) {
        remember();
        cr_assert(track_step(&path, &dagger, t, false, &counted) == EOS_DONE,
                  "%s", failure);
        add(was.gd, -1, was.pg); /* an offset now */
        derivatives_are("gd", 0, was.pg, was.u, was.gd);
        derivatives_are("pr", 1, was.pg, was.u, was.v);
        plain_unit(was.u, was.g, unit);
        near("g_D3g", full.D3g, third_by_difference(was.pg, unit), 1e-4);
        if (t == 0)
            cr_assert(isnan(full.beta[0]), "beta at row 0: %g", full.beta[0]);
        else
            near("beta_{0->t-1}", full.beta[0], plain_dot(net.params, was.T, w),
                 1e-9);
        cr_assert(isnan(full.beta[1]), "a second start at row %zu", t);
        if (t == 0)
            memcpy(w, was.T, sizeof w);
        else
            plain_advance(w);
    }
    folder_remove();
}

/* Each under its name. */
Test(track, statistics_and_central_flow_stand_in_the_log)
{
    static const struct {
        const char *name;
        const double *at;
    } is[] = {
        {"gd_dHd", &full.dHd[0]},  {"gd_Hd", &full.Hd[0]},
        {"gd_D3d", &full.D3d[0]},  {"pr_dHd", &full.dHd[1]},
        {"pr_Hd", &full.Hd[1]},    {"pr_D3d", &full.D3d[1]},
        {"g_D3g", &full.D3g},      {"beta_s1", &full.beta[0]},
        {"cf_L", &row.cf.L},       {"cf_S", &row.cf.S},
        {"cf_dist", &row.cf.dist}, {"cf_mean_L", &row.cf_mean_L},
    };
    size_t i, j, counted = 0;

    start_at_edge(true);
    track_start(&path, &dagger);
    to_file(&logfile, "log");
    block_start(&logfile);
    for (i = 0; i < 2; i++)
        cr_assert(track_step(&path, &dagger, i, i == 1, &counted) == EOS_DONE,
                  "%s", failure);
    cr_assert(!text_check(&logfile) && !close(logfile.fd), "%s", failure);
    log_read(&log_a, in_folder("log"));
    for (i = 0; i < sizeof is / sizeof *is; i++) {
        near(is[i].name, log_value(&log_a.block[0], 1, is[i].name), *is[i].at,
             1e-15);
        for (j = 0; j < i; j++)
            cr_assert(*is[i].at != *is[j].at, "%s is %s", is[i].name,
                      is[j].name);
    }
    folder_remove();
}

Test(track, what_overflows_is_nan_in_the_log)
{
    start_at_edge(false);
    row.pr[0].dist = INFINITY;
    to_file(&logfile, "log");
    block_start(&logfile);
    cr_assert(!row_write(track_columns, columns_here(), false) &&
                  !close(logfile.fd),
              "%s", failure);
    log_read(&log_a, in_folder("log"));
    cr_assert(isnan(log_value(&log_a.block[0], 0, "pr_dist")), "pr_dist: %g",
              log_value(&log_a.block[0], 0, "pr_dist"));
    cr_assert(!strcmp(all_digits(INFINITY), "nan"), "%s", all_digits(INFINITY));
    folder_remove();
}

Test(track, an_offset_of_zero_has_no_direction)
{
    start_at_edge(false);
    track_start(&path, &dagger);
    memcpy(path.gd, path.pg, vector_bytes());
    dagger.at = point_at(path.pg);
    full_measure(0);
    cr_assert(isnan(full.Hd[0]) && isnan(full.dHd[0]) && isnan(full.D3d[0]),
              "gd: %g", full.Hd[0]);
    cr_assert(isfinite(full.Hd[1]) && isfinite(full.D3g), "pr: %g", full.Hd[1]);
    folder_remove();
}

Test(track, an_offset_of_infinite_length_has_no_direction)
{
    start_at_edge(false);
    track_start(&path, &dagger);
    memcpy(was.gd, dagger.T, vector_bytes());
    was.gd[7] = 1e200; /* its length overflows */
    memset(dagger.u, 0, vector_bytes());
    cr_assert(!unit_perp(was.gd, scratch.in), "it has one");
    folder_remove();
}

/* The bottom of the Hessian, by power iteration on H - S: d.Hd < 0 there. */
static void find_negative_curvature(double *d)
{
    static double h[P_MAX];
    size_t round, i;

    random_vector(5, net.params, d);
    for (round = 0; round < 60; round++) {
        eos_hessian(path.pg, d, h);
        add(h, -dagger.S, d);
        for (i = 0; i < net.params; i++)
            d[i] = h[i] / dagger.S;
    }
}

Test(track, a_curvature_below_zero_counts_by_its_size)
{
    static double d[P_MAX], unit[P_MAX], h[P_MAX];
    double curvature;

    start_at_edge(false);
    track_start(&path, &dagger);
    find_negative_curvature(d);
    plain_unit(dagger.u, d, unit);
    eos_hessian(path.pg, unit, h);
    curvature = plain_dot(net.params, unit, h);
    cr_assert(curvature < 0, "d.Hd = %g; the test wants it negative",
              curvature);
    full_offset(1, d);
    near("|d.Hd|", full.dHd[1], -curvature, 1e-6);
    folder_remove();
}

/* --- beta_{s->t}, over the life of a start, on any u_t, grad S_perp_t --- */

enum { LONG = 208 };
static double betas[LONG][STARTS];

static void draw_point(size_t t)
{
    static double jump[P_MAX];
    size_t i;

    random_vector(t, net.params, dagger.u);
    random_vector(1000 + t, net.params, dagger.T);
    random_vector(2000 + t, net.params, jump);
    vec_scale(net.params, dagger.u, 1 / plain_norm(net.params, dagger.u),
              dagger.u);
    for (i = 0; i < net.params; i++)
        path.pg[i] = theta[i] + 0.003 * jump[i];
    dagger.beta = plain_dot(net.params, dagger.T, dagger.T);
}

/* Row t + 1 has beta_{s->t} = grad S_perp_(t+1) . prod_(k=t..s+1) ... */
static void betas_of_start(size_t s)
{
    static double w[P_MAX];
    size_t k, place = s / 50 % 4;

    draw_point(s);
    memcpy(w, dagger.T, sizeof w);
    for (k = s + 1; k < LONG && k <= s + 200; k++) {
        draw_point(k);
        near("beta", betas[k][place], plain_dot(net.params, dagger.T, w), 1e-8);
        remember();
        plain_advance(w);
    }
}

Test(beta, of_four_starts_and_their_successors)
{
    size_t t, i;

    start_at_edge(false);
    memcpy(theta, path.gd, sizeof theta);
    for (t = 0; t < LONG; t++) {
        draw_point(t);
        dagger.at = point_at(path.pg);
        full_measure(t);
        full_advance(t);
        if (t % 50 == 0)
            near("|grad S_perp_s|", full.start_norm[t / 50 % STARTS],
                 plain_norm(net.params, dagger.T), 1e-13);
        memcpy(betas[t], full.beta, sizeof *betas);
        for (i = 0; i < STARTS; i++) /* start i * 50 is first seen after it */
            cr_assert(isnan(betas[t][i]) == (t <= i * 50), "row %zu, start %zu",
                      t, i * 50);
    }
    betas_of_start(0);
    betas_of_start(200); /* in the place of start 0, from row 201 on */
    folder_remove();
}

/* --- The slow statistics --- */

static double plain_rho(void (*derivative)(const double *, const double *,
                                           double *))
{
    static double v[P_MAX], d[P_MAX];
    size_t round, i;

    memcpy(v, was.u, sizeof v);
    for (round = 0; round < 20; round++) {
        double length;

        derivative(was.pg, v, d);
        length = plain_norm(net.params, d);
        for (i = 0; i < net.params; i++)
            v[i] = d[i] / length;
    }
    derivative(was.pg, v, d);
    return plain_dot(net.params, v, d);
}

static double plain_F(double x)
{
    static double at[P_MAX];
    double ignored;

    memcpy(at, was.pg, sizeof at);
    add(at, x, was.u);
    return eos_loss(at, &ignored);
}

static double slow_number(const char *key)
{
    const char *value = log_comment(&log_a, key);

    cr_assert(value != NULL, "no '# %s: '", key);
    return strtod(value, NULL);
}

Test(slow, rho_and_the_profile_of_the_loss)
{
    double delta, ratio;
    size_t i, counted = 0;

    start_at_edge(false);
    track_start(&path, &dagger);
    remember();
    delta = sqrt(dagger.delta2);
    to_file(&slowfile, "slow");
    cr_assert(track_step(&path, &dagger, 0, true, &counted) == EOS_DONE, "%s",
              failure);
    log_read(&log_a, in_folder("slow"));
    near("delta", slow_number("delta"), delta, 1e-15);
    near("rho3", slow_number("rho3"), plain_rho(eos_third), 1e-7);
    near("rho4", slow_number("rho4"), plain_rho(eos_fourth), 1e-7);
    cr_assert(slow_number("step") == 0 && log_a.blocks == 1 &&
                  log_a.block[0].rows == 100 && log_a.block[0].columns == 2,
              "%zu rows", log_a.block[0].rows);
    for (i = 0; i < 100; i++) {
        double x = log_value(&log_a.block[0], i, "x");

        cr_assert(fabs(x - delta * (-5 + 10 * (double)i / 99)) <= 1e-14,
                  "point %zu is %.17g", i, x);
        near("F", log_value(&log_a.block[0], i, "F"), plain_F(x), 1e-13);
    }
    cr_assert(log_value(&log_a.block[0], 0, "x") == -5 * delta &&
                  log_value(&log_a.block[0], 99, "x") == 5 * delta,
              "the ends");
    ratio = ((plain_F(delta) + plain_F(-delta)) / 2 - plain_F(0)) /
            (delta * delta / config.lr);
    near("Fbar", slow_number("(Fbar at delta) eta / delta^2"), ratio, 1e-9);
    cr_assert(!strcmp(log_comment(&log_a, "F"),
                      ratio < 1 ? "sub-quadratic" : "super-quadratic"),
              "%s, ratio %g", log_comment(&log_a, "F"), ratio);
    folder_remove();
}

Test(slow, without_a_delta_there_is_no_profile)
{
    start_at_edge(false);
    track_start(&path, &dagger);
    dagger.alpha = -1;
    dagger.delta2 = -2 / dagger.beta;
    to_file(&slowfile, "slow");
    cr_assert(full_slow(0) == EOS_DONE && full_slow(50) == EOS_DONE, "%s",
              failure);
    log_read(&log_a, in_folder("slow"));
    cr_assert(log_a.blocks == 0 && isnan(slow_number("delta")) &&
                  !strcmp(log_comment(&log_a, "F"), "nan"),
              "F: %s", log_comment(&log_a, "F"));
    folder_remove();
}

/* --- What was assumed --- */

Test(assumed, the_worst_row_decides)
{
    start_at_edge(false);
    stats.rows = 2;
    full.worst[SHARPENING] = (double)NAN;
    full.worst[NORM_H] = (double)NAN;
    full.worst[ALIGNED] = (double)NAN;
    full_judge(SHARPENING, 3);
    full_judge(SHARPENING, -1);
    full_judge(SHARPENING, (double)NAN);
    full_judge(NORM_H, 3);
    full_judge(NORM_H, 9);
    to_file(&logfile, "log");
    summary_claims();
    text_check(&logfile);
    log_read(&log_a, in_folder("log"));
    cr_assert(log_summary(&log_a, "assumed_alpha_min") == -1, "alpha");
    cr_assert(log_summary(&log_a, "assumed_Hd_max") == 9, "Hd");
    cr_assert(!strcmp(log_comment(&log_a, "summary assumed_alpha"), "failed") &&
                  !strcmp(log_comment(&log_a, "summary assumed_Hd"), "held") &&
                  !strcmp(log_comment(&log_a, "summary assumed_gamma"), "nan"),
              "verdicts");
    folder_remove();
}

/* A row where every quantity counts; S = 300, eta = 0.01, eps = 0.25. */
static void numbers_of_a_row(void)
{
    memset(&dagger, 0, sizeof dagger);
    memset(&full, 0, sizeof full);
    config.lr = 0.01;
    dagger.S = 300;
    dagger.lambda2 = 120;
    dagger.alpha = 7;
    dagger.beta = 4;
    dagger.gamma = 0.5;
    dagger.eps = 0.25;
    full.rho3 = 8;
    full.rho4 = -3.2;
    full.D3g = 10;
    memcpy(full.dHd, (double[]){25, 50}, sizeof full.dHd);
    memcpy(full.Hd, (double[]){100, 75}, sizeof full.Hd);
    memcpy(full.D3d, (double[]){2, 6}, sizeof full.D3d);
    memcpy(full.beta, (double[]){12, 6, (double)NAN, 18}, sizeof full.beta);
    memcpy(full.start_norm, (double[]){3, 1, 1, 6}, sizeof full.start_norm);
}

/* Of gradient descent and of the prediction the larger one counts, of the
 * starts the least. */
Test(assumed, a_row_is_judged_by_what_it_says)
{
    static const double expected[CLAIMS] = {
        [TOP_UNIQUE] = 0.4, [SHARPENING] = 7, [ALIGNED] = 0.5, [EIGENGAP] = 1.2,
        [SMALL_EPS] = 0.25, [COUPLED] = 1.5,  [ALONG_H] = 2,   [NORM_H] = 4,
        [NORM_D3] = 3,      [GRAD_D3] = 5,    [SIZE_D3] = 4,   [SIZE_D4] = 5,
    };
    size_t i;

    numbers_of_a_row();
    for (i = 0; i < CLAIMS; i++)
        full.worst[i] = (double)NAN;
    full_judge_row();
    for (i = 0; i < CLAIMS; i++)
        if (i != SUBQUADRATIC) /* comes with F, not on every row */
            near(claims[i].what, full.worst[i], expected[i], 1e-14);
}

/* --- Whole runs --- */

/* Six images: they diverge later than four and cost less than eight. */
#define SIX SHORT " --samples 6 --kick 0.01"
#define FULL_RUN "run " SIX " --stats full --log "

/* Both slow logs from their first block on. */
static void same_slow(const char *a, const char *b)
{
    static char one[1 << 20], two[1 << 20];
    const char *x, *y;

    one[read_file(in_folder(a), one, sizeof one)] = 0;
    two[read_file(in_folder(b), two, sizeof two)] = 0;
    x = strstr(one, "# step: 0\n");
    y = strstr(two, "# step: 0\n");
    cr_assert(x && y && strstr(x, "# step: 50\n") && !strcmp(x, y),
              "%s and %s differ", a, b);
    cr_assert(!strncmp(one, "# eos: ", 7) && strstr(x, "\n\n\n# step: 50\n"),
              "%s is no log", a);
}

/* What basic statistics write is not changed by the full ones. */
static void same_basics(void)
{
    const struct block *b = &log_b.block[1];
    size_t row, i;

    cr_assert(b->rows == 9, "%zu rows", b->rows);
    for (row = 0; row < b->rows; row++)
        for (i = 0; i < b->columns; i++) {
            double full_value = log_value(&log_a.block[1], row, b->name[i]);

            if (strcmp(b->name[i], "hvps"))
                cr_assert(!memcmp(&full_value, &b->value[row][i],
                                  sizeof full_value) ||
                              (isnan(full_value) && isnan(b->value[row][i])),
                          "row %zu: %s", row, b->name[i]);
        }
}

Test(run, resumed_is_bit_for_bit_and_basic_columns_stay)
{
    int fd;

    prepare();
    exits_with(EOS_DONE, FULL_RUN "ref --steps 53");
    cr_assert(strstr(said.out, "summary assumed_alpha: "), "no verdict");
    exits_with(EOS_DONE, FULL_RUN "log --steps 52 --checkpoint ck --every 20");
    exits_with(EOS_DONE, FULL_RUN "log --steps 47 --checkpoint ck --every 20 "
                                  "--resume");
    fd = open(in_folder("log.slow"), O_WRONLY | O_APPEND);
    cr_assert(fd >= 0 && !write_all(fd, "# half a bl", 11) && !close(fd),
              "log");
    exits_with(EOS_DONE, FULL_RUN "log --steps 53 --checkpoint ck --every 20 "
                                  "--resume");
    log_read(&log_a, in_folder("ref"));
    log_read(&log_b, in_folder("log"));
    same_rows(&log_a, &log_b, "resumed");
    same_slow("ref.slow", "log.slow");
    cr_assert(!strcmp(log_comment(&log_a, "summary assumed_Hd_max"),
                      log_comment(&log_b, "summary assumed_Hd_max")),
              "the summary");
    exits_with(EOS_DONE, "run " SIX " --log basic --steps 9");
    log_read(&log_b, in_folder("basic"));
    same_basics();
    cr_assert(access(in_folder("basic.slow"), F_OK), "basic writes .slow");
    folder_remove();
}

Test(run, slow_log_that_is_not_ours_is_refused)
{
    prepare();
    exits_with(EOS_DONE, FULL_RUN "log --steps 3 --checkpoint ck --every 1");
    cr_assert(!rename(in_folder("images"), in_folder("log.slow")) &&
                  !link(in_folder("log.slow"), in_folder("images")),
              "rename");
    exits_with(EOS_USAGE, FULL_RUN "log --steps 4 --checkpoint ck --every 1 "
                                   "--resume");
    cr_assert(strstr(said.err, "log.slow: is the file of --data and of --log"),
              "%s", said.err);
    unlink(in_folder("log.slow"));
    cr_assert(!mkdir(in_folder("log.slow"), 0777), "mkdir");
    exits_with(EOS_USAGE, FULL_RUN "log --steps 3");
    cr_assert(strstr(said.err, "log.slow: is a folder"), "%s", said.err);
    rmdir(in_folder("log.slow"));
    folder_remove();
}
