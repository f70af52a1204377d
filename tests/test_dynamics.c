/*
 * One step of each trajectory, the projection and the quantities at theta+:
 * each formula in plain loops, on states that a run really visits.
 */
#include "common.h"
#include "logs.h"
#include "small.h"

static void start(const struct eos_config *c)
{
    int status = eos_start(c);

    cr_assert(status == EOS_DONE, "%s", failure);
    folder_remove(); /* the images are in memory */
    out.fd = -1;     /* rows go nowhere */
}

/* The small problem at its initial parameters, with 2/eta = ratio * S. */
static void start_near_edge(const struct eos_config *c, double ratio)
{
    static double ignored[P_MAX];
    double s;

    start(c);
    if (c->loss == EOS_BMSE)
        small_parameters(path.gd);
    else
        eos_init(0, path.gd);
    eos_sharpness(path.gd, 1, &s, ignored);
    config.lr = 2 / (ratio * s);
    warm.pg.known = 0;
}

/* --- The quantities of Section 4 at a point, in plain loops --- */

static struct plain {
    double L, S, lambda2, su, alpha, beta, delta2, gamma, newton_x;
    double gradnorm, gradperp;
    double grad[P_MAX], u[P_MAX], dS[P_MAX], T[P_MAX];
} plain, plain_other;

/* Leaves the warm start of theta+ as it was. */
static void plain_measure(const double *at, struct plain *m)
{
    static double rest[P_MAX];
    static struct warm kept;
    const size_t p = net.params;
    double value[2];

    kept = warm.pg;
    eos_sharpness(at, 2, value, m->u);
    warm.pg = kept;
    m->S = value[0];
    m->lambda2 = value[1];
    m->L = eos_gradient(at, m->grad);
    eos_third(at, m->u, m->dS);
    m->su = plain_dot(p, m->dS, m->u);
    memcpy(m->T, m->dS, p * sizeof *m->T);
    add(m->T, -m->su, m->u);
    m->beta = plain_dot(p, m->T, m->T);
    m->alpha = -plain_dot(p, m->grad, m->T);
    m->delta2 = 2 * m->alpha / m->beta;
    m->gradnorm = plain_norm(p, m->grad);
    m->gamma = m->alpha / (m->gradnorm * plain_norm(p, m->T));
    m->newton_x = plain_dot(p, m->u, m->grad) / m->S;
    memcpy(rest, m->grad, p * sizeof *rest);
    add(rest, -plain_dot(p, m->u, m->grad), m->u);
    add(rest, -plain_dot(p, m->T, rest) / m->beta, m->T);
    m->gradperp = plain_norm(p, rest);
}

static void plain_project(double *at, size_t rounds)
{
    for (; rounds; rounds--) {
        plain_measure(at, &plain_other);
        if (plain_other.S > 2 / config.lr)
            add(at, -(plain_other.S - 2 / config.lr) / plain_other.beta,
                plain_other.T);
        add(at, -plain_other.newton_x, plain_other.u);
    }
}

/* A step against its formula, relative to the length of the step. */
static void same_step(const char *what, size_t t, const double *found,
                      const double *expected, const double *before)
{
    long double error = 0, length = 0;
    double ratio;
    size_t i;

    for (i = 0; i < net.params; i++) {
        error += powl((long double)found[i] - expected[i], 2);
        length += powl((long double)expected[i] - before[i], 2);
    }
    ratio = (double)sqrtl(error / length);
    cr_assert(ratio <= 1e-6, "step %zu of %s: off by %.2g of its length", t,
              what, ratio);
}

/* After 40 small steps of gradient descent u.grad L is nearly zero, as it is
 * when a run reaches the edge; 2/eta = ratio * S. */
static void start_on_the_floor(const struct eos_config *c, double eta,
                               double ratio)
{
    double s;
    size_t i;

    start_near_edge(c, 1);
    for (i = 0; i < 40; i++) {
        eos_gradient(path.gd, plain.grad);
        add(path.gd, -eta, plain.grad);
    }
    eos_sharpness(path.gd, 1, &s, plain.u);
    config.lr = 2 / (ratio * s);
    warm.pg.known = 0;
}

/* --- One step of each trajectory --- */

static struct {
    double gd[P_MAX], pg[P_MAX], gf[P_MAX], cf[P_MAX], v[2][P_MAX];
} before, after;

static void expect_gd(void)
{
    static double g[P_MAX];

    eos_gradient(before.gd, g);
    memcpy(after.gd, before.gd, vector_bytes());
    add(after.gd, -config.lr, g);
}

/* Returns the number of sub-steps. */
static size_t expect_flow(size_t t)
{
    static double g[P_MAX];
    static struct warm kept;
    double s = 2 / config.lr;
    size_t m = 1, i;

    if (t) {
        kept = warm.pg;
        eos_sharpness(before.gf, 1, &s, g);
        warm.pg = kept;
    }
    while ((double)m < config.lr * s)
        m++;
    memcpy(after.gf, before.gf, vector_bytes());
    for (i = 0; i < m; i++) {
        eos_gradient(after.gf, g);
        add(after.gf, -config.lr / (double)m, g);
    }
    return m;
}

/* With g the gradient and d = grad S, sub-steps of length h along -g - sigma/2 d
 * that leave S + h d.(-g - sigma/2 d) at 2/eta, sigma >= 0.  Returns L + S
 * sigma/2 of the first one. */
static double expect_central(size_t *m)
{
    static double g[P_MAX], d[P_MAX], u[P_MAX];
    static struct warm kept;
    const size_t p = net.params;
    double s, L, h, sigma, mean = 0;
    size_t i;

    kept = warm.pg;
    memcpy(after.cf, before.cf, vector_bytes());
    for (*m = 1, i = 0; i < *m; i++) {
        eos_sharpness(after.cf, 1, &s, u);
        while (i == 0 && (double)*m < config.lr * s * 0.999)
            ++*m;
        h = config.lr / (double)*m;
        L = eos_gradient(after.cf, g);
        eos_third(after.cf, u, d);
        sigma = s - h * plain_dot(p, d, g) - 2 / config.lr;
        sigma = sigma > 0 ? sigma / (0.5 * h * plain_dot(p, d, d)) : 0;
        mean = i == 0 ? L + s * sigma / 2 : mean;
        add(after.cf, -h, g);
        add(after.cf, -h * sigma / 2, d);
    }
    warm.pg = kept;
    return mean;
}

static void expect_constrained(void)
{
    memcpy(after.pg, before.pg, vector_bytes());
    add(after.pg, -config.lr, plain.grad);
    plain_project(after.pg, config.proj);
}

/* v <- v - eta [ (x^2 - delta^2)/2 grad S_perp + Hv + x y u ]; generalized:
 * Hv_perp + u (u.grad L(theta+ + x u)) for Hv. */
static void expect_prediction(bool generalized)
{
    static double of[P_MAX], product[P_MAX], g[P_MAX];
    const double *v = before.v[generalized];
    double *to = after.v[generalized];
    const size_t p = net.params;
    double x = plain_dot(p, plain.u, v), y = plain_dot(p, plain.T, v);

    memcpy(of, v, sizeof of);
    memcpy(to, v, sizeof of);
    if (generalized)
        add(of, -x, plain.u);
    eos_hessian(before.pg, of, product);
    add(to, -config.lr, product);
    add(to, -config.lr * (x * x - plain.delta2) / 2, plain.T);
    add(to, -config.lr * x * y, plain.u);
    if (generalized) {
        memcpy(of, before.pg, sizeof of);
        add(of, x, plain.u);
        eos_gradient(of, g);
        add(to, -config.lr * plain_dot(p, plain.u, g), plain.u);
    }
}

Test(step, each_trajectory_takes_the_step_of_its_formula)
{
    struct eos_config c = small_problem();
    size_t t, counted = 0, most = 0, central_steps;
    double mean;

    c.generalized = c.central = true;
    c.kick = 0.3; /* x is of the size of delta: every term counts */
    start_on_the_floor(&c, 0.002, 0.95);
    track_start(&path, &dagger);
    for (t = 0; t < 4; t++) {
        size_t substeps;

        memcpy(before.gd, path.gd, vector_bytes());
        memcpy(before.pg, path.pg, vector_bytes());
        memcpy(before.gf, path.gf, vector_bytes());
        memcpy(before.cf, path.cf, vector_bytes());
        memcpy(before.v[0], path.v[0], vector_bytes());
        if (config.generalized)
            memcpy(before.v[1], path.v[1], vector_bytes());
        plain_measure(before.pg, &plain);
        mean = expect_central(&central_steps);
        expect_gd();
        substeps = expect_flow(t);
        expect_prediction(false);
        expect_prediction(true);
        expect_constrained();
        cr_assert(t || substeps == 2, "row 0 has %zu sub-steps", substeps);
        most = substeps > most ? substeps : most;
        cr_assert(track_step(&path, &dagger, t, false, &counted) == EOS_DONE,
                  "%s", failure);
        same_step("gradient descent", t, path.gd, after.gd, before.gd);
        same_step("gradient flow", t, path.gf, after.gf, before.gf);
        same_step("central flow", t, path.cf, after.cf, before.cf);
        near("the mean loss of central flow", row.cf_mean_L, mean, 1e-9);
        cr_assert(central_steps > 1 && mean > row.cf.L, "nothing to see");
        same_step("the prediction", t, path.v[0], after.v[0], before.v[0]);
        same_step("the generalized prediction", t, path.v[1], after.v[1],
                  before.v[1]);
        same_step("the constrained trajectory", t, path.pg, after.pg,
                  before.pg);
    }
    cr_assert(most > 2, "sub-steps: %zu at most; the test wants a third", most);
}

/* What the approach leaves: descent's u and the second vector.  At a loose
 * tolerance that one alone is good enough for a search. */
Test(step, the_kick_goes_along_the_top_vector)
{
    struct eos_config c = small_problem();
    static double d[P_MAX];
    double x;

    c.kick = 0.3;
    start_on_the_floor(&c, 0.002, 0.95);
    outliers.known = 0;
    warm.pg.known = warm.gd.known = 0;
    here = point_at(path.gd);
    sharpness(here, &warm.gd, 2, true, d);
    config.tol = 0.1;
    track_start(&path, &dagger);
    memcpy(d, path.gd, sizeof d);
    add(d, -1, path.pg);
    x = plain_dot(net.params, dagger.u, d) / sqrt(dagger.delta2);
    cr_assert(fabs(x) > 0.15 && fabs(x) < 0.6, "x = %g delta, not 0.3", x);
}

Test(step, a_row_that_ends_the_track_moves_nothing)
{
    struct eos_config c = small_problem();
    size_t counted = 0;

    start_near_edge(&c, 0.99);
    track_start(&path, &dagger);
    memcpy(before.gd, path.gd, vector_bytes());
    memcpy(before.pg, path.pg, vector_bytes());
    memcpy(before.gf, path.gf, vector_bytes());
    memcpy(before.v[0], path.v[0], vector_bytes());
    if (config.generalized)
        memcpy(before.v[1], path.v[1], vector_bytes());
    track_step(&path, &dagger, 0, true, &counted);
    cr_assert(!memcmp(before.gd, path.gd, vector_bytes()), "gd moved");
    cr_assert(!memcmp(before.pg, path.pg, vector_bytes()), "theta+ moved");
    cr_assert(!memcmp(before.gf, path.gf, vector_bytes()), "flow moved");
    cr_assert(!memcmp(before.v[0], path.v[0], vector_bytes()), "v moved");
}

/* They are nan from there on, and end nothing. */
Test(step, a_lost_prediction_and_flow_are_nan)
{
    struct eos_config c = small_problem();
    size_t t, counted = 0;

    start_near_edge(&c, 0.99);
    track_start(&path, &dagger);
    path.v[0][3] = INFINITY;
    path.gf[5] = (double)NAN;
    for (t = 0; t < 3; t++) {
        cr_assert(track_step(&path, &dagger, t, false, &counted) == EOS_DONE,
                  "%s", failure);
        cr_assert(isnan(row.pr[0].L) && isnan(row.pr[0].S) && isnan(row.gf.L) &&
                      (!t || isnan(row.gf.S)),
                  "row %zu: %g %g %g %g", t, row.pr[0].L, row.pr[0].S, row.gf.L,
                  row.gf.S);
        cr_assert(isfinite(row.gd.L) && isfinite(row.gd.S) &&
                      isfinite(dagger.L) && isfinite(dagger.S),
                  "row %zu: %g %g %g %g", t, row.gd.L, row.gd.S, dagger.L,
                  dagger.S);
    }
}

/* A kernel that counts its passes of order 1. */
static const struct kernel *counted_kernel;
static size_t products;

static void count_f32(struct pass *p)
{
    products += p->order == 1;
    counted_kernel->pass[EOS_F32](p);
}

static void count_f64(struct pass *p)
{
    products += p->order == 1;
    counted_kernel->pass[EOS_F64](p);
}

/* The first row has those of the start, the last none of an update. */
Test(step, rows_count_every_hessian_product)
{
    static const struct kernel counting = {
        "counting", ISA_PLAIN, {count_f32, count_f64}};
    struct eos_config c = small_problem();
    size_t t, counted, sum = 0;

    c.generalized = true;
    c.tol = 1e-4;
    start_near_edge(&c, 0.99);
    counted_kernel = kernel;
    kernel = &counting;
    counted = hvps;
    track_start(&path, &dagger);
    for (t = 0; t < 3; t++) {
        track_step(&path, &dagger, t, t == 2, &counted);
        sum += row.hvps;
        cr_assert(row.hvps >= 5, "row %zu: %zu products", t, row.hvps);
    }
    cr_assert(sum == products, "the rows have %zu products, %zu were made", sum,
              products);
}

/* --- The sharpness of the log, by the default precision and tolerance --- */

enum { SAMPLED = 4, FOLLOWED = 4 };
static struct {
    double at[FOLLOWED][P_MAX], S[FOLLOWED];
} sampled[SAMPLED];

static void sample(size_t i)
{
    const size_t p = net.params;

    memcpy(sampled[i].at[0], path.gd, p * sizeof *path.gd);
    memcpy(sampled[i].at[1], path.pg, p * sizeof *path.pg);
    memcpy(sampled[i].at[2], path.pg, p * sizeof *path.pg);
    add(sampled[i].at[2], 1, path.v[0]);
    memcpy(sampled[i].at[3], path.gf, p * sizeof *path.gf);
    sampled[i].S[1] = dagger.S;
}

/* An eigenvalue's error is the square of its vector's: at a residual of 1e-4
 * every S stands within 1e-5 of a solve to 1e-10, in float64, from nothing. */
Test(step, logged_sharpness_is_that_of_a_tight_solve)
{
    static double ignored[P_MAX];
    struct eos_config c = small_problem();
    size_t t, i, j, counted = 0;
    double s;

    c.tol = 1e-4;
    c.kick = 0.1;
    start_near_edge(&c, 0.99); /* with room for float64 */
    config.deriv = EOS_F32;
    eig_room(net.params);
    track_start(&path, &dagger);
    for (t = 0; t < 6 * SAMPLED; t++) {
        const bool now = t % 6 == 5;

        i = t / 6;
        if (now)
            sample(i);
        track_step(&path, &dagger, t, false, &counted);
        if (now) {
            sampled[i].S[0] = row.gd.S;
            sampled[i].S[2] = row.pr[0].S;
            sampled[i].S[3] = row.gf.S;
        }
    }
    config.deriv = EOS_F64;
    config.tol = 1e-10;
    eig_room(net.params);
    for (i = 0; i < SAMPLED; i++)
        for (j = 0; j < FOLLOWED; j++) {
            outliers.known = 0;
            eos_sharpness(sampled[i].at[j], 1, &s, ignored);
            near("S", sampled[i].S[j], s, 1e-5);
        }
}

/* --- Projection --- */

/* From the valley's floor and near the edge the default rounds lead onto M,
 * judged from a cold start. */
static void lands_on_the_stable_set(const struct eos_config *c, double eta,
                                    double ratio)
{
    double along;

    start_on_the_floor(c, eta, ratio);
    project(&dagger, path.gd, false);
    plain_measure(path.gd, &plain);
    along = fabs(plain_dot(net.params, plain.u, plain.grad));
    cr_assert(plain.S <= 2 / config.lr * (1 + 1e-6), "S = %.10g, 2/eta = %.10g",
              plain.S, 2 / config.lr);
    cr_assert(along <= 1e-6 * plain.gradnorm, "|u.grad L| = %g |grad L|",
              along / plain.gradnorm);
    near("S of the last measurement", dagger.S, plain.S, 1e-8);
}

Test(projection, lands_on_the_stable_set)
{
    struct eos_config c = small_problem();

    c.tol = 1e-9;
    lands_on_the_stable_set(&c, 0.002, 0.99);
}

Test(projection, lands_on_the_stable_set_with_ten_classes)
{
    struct eos_config c = small_problem();

    c.loss = EOS_MSE;
    c.tol = 1e-9;
    c.samples = 10;
    lands_on_the_stable_set(&c, 0.02, 0.999);
}

Test(projection, below_the_edge_steps_along_u_alone)
{
    struct eos_config c = small_problem();

    c.proj = 1;
    start_near_edge(&c, 1.1);
    memcpy(before.gd, path.gd, vector_bytes());
    plain_measure(path.gd, &plain);
    memcpy(after.gd, path.gd, vector_bytes());
    add(after.gd, -plain.newton_x, plain.u);
    project(&dagger, path.gd, false);
    same_step("the projection", 0, path.gd, after.gd, before.gd);
}

Test(projection, above_the_edge_takes_both_steps)
{
    struct eos_config c = small_problem();

    c.proj = 1;
    start_near_edge(&c, 0.9);
    memcpy(before.gd, path.gd, vector_bytes());
    memcpy(after.gd, path.gd, vector_bytes());
    plain_project(after.gd, 1);
    project(&dagger, path.gd, false);
    same_step("the projection", 0, path.gd, after.gd, before.gd);
}

Test(projection, of_no_rounds_measures_and_moves_nothing)
{
    struct eos_config c = small_problem();

    c.proj = 0;
    start_near_edge(&c, 0.9);
    memcpy(before.gd, path.gd, vector_bytes());
    project(&dagger, path.gd, true);
    plain_measure(path.gd, &plain);
    cr_assert(!memcmp(before.gd, path.gd, vector_bytes()), "theta moved");
    near("S", dagger.S, plain.S, 1e-8);
    near("lambda2", dagger.lambda2, plain.lambda2, 1e-8);
}

Test(projection, of_the_library_is_that_of_the_run)
{
    struct eos_config c = small_problem();

    start_near_edge(&c, 0.97);
    memcpy(before.gd, path.gd, vector_bytes());
    memcpy(before.pg, path.gd, vector_bytes());
    memcpy(after.gd, path.gd, vector_bytes());
    plain_project(after.gd, 3);
    eos_project(before.pg);
    same_step("eos_project", 0, before.pg, after.gd, before.gd);
}

/* eos_project without anything that earlier calls have left. */
static void project_afresh(double *at)
{
    outliers.known = 0;
    eig.rng = 1;
    eos_project(at);
}

/* The rounds that eos_project makes at this tolerance, of nine; at, where it
 * ends. */
static size_t rounds_made(double ratio, double tol, double *at)
{
    struct eos_config c = small_problem();
    size_t rounds;

    c.tol = tol;
    c.proj = 9;
    start_near_edge(&c, ratio);
    memcpy(before.gd, path.gd, vector_bytes());
    memcpy(at, path.gd, vector_bytes());
    project_afresh(at);
    for (rounds = 0; rounds < 9; rounds++) {
        config.proj = rounds;
        memcpy(after.gd, before.gd, vector_bytes());
        project_afresh(after.gd);
        if (!memcmp(after.gd, at, vector_bytes()))
            break;
    }
    return rounds;
}

/* Two rounds tell that a third is nothing beside a coarse tolerance; a fine
 * one asks for more, and ends where nine rounds do. */
Test(projection, leaves_out_rounds_that_change_nothing)
{
    static double at[P_MAX];
    size_t rounds = rounds_made(0.999, 1e-3, at);

    cr_assert(rounds == 2, "%zu rounds at 1e-3", rounds);
    rounds = rounds_made(0.97, 1e-9, at);
    cr_assert(rounds > 2, "%zu rounds at 1e-9", rounds);
    memcpy(after.gd, before.gd, vector_bytes());
    plain_project(after.gd, 9);
    same_step("nine rounds", 0, at, after.gd, before.gd);
}

/* Left with the opposite of u by a call before, it has the sign that its
 * largest component gives it all the same. */
Test(library, sharpness_does_not_know_the_calls_before)
{
    static double u[P_MAX], again[P_MAX];
    struct eos_config c = small_problem();
    double S, sketch[SKETCH];

    c.tol = 1e-8;
    start_near_edge(&c, 0.97);
    eos_sharpness(path.gd, 1, &S, u);
    memset(again, 0, sizeof again);
    add(again, -1, u);
    sketch_of(path.gd, sketch);
    warm_store(&warm.pg, sketch, again);
    eos_sharpness(path.gd, 1, &S, again);
    near("u.u of the next call", plain_dot(net.params, u, again), 1, 1e-6);
    for (size_t i = 0; i < 2; i++) { /* but for the random vectors */
        eig.rng = 1;
        eos_sharpness(path.gd, 1, &S, i ? again : u);
    }
    cr_assert(!memcmp(u, again, net.params * sizeof *u), "it was not cold");
}

/* --- Quantities at theta+ --- */

static void quantities_agree(const double *at)
{
    measure(&dagger, at, EOS_F64, true);
    plain_measure(at, &plain);
    near("L", dagger.L, plain.L, 1e-13);
    near("S", dagger.S, plain.S, 1e-9);
    near("lambda2", dagger.lambda2, plain.lambda2, 1e-8);
    near("|su|", fabs(dagger.su), fabs(plain.su), 1e-7);
    near("alpha", dagger.alpha, plain.alpha, 1e-7);
    near("beta", dagger.beta, plain.beta, 1e-7);
    near("delta2", dagger.delta2, plain.delta2, 1e-7);
    near("gamma", dagger.gamma, plain.gamma, 1e-7);
    near("|u.grad L|/|grad L| + 1",
         fabs(dagger.newton_x) * dagger.S / dagger.gradnorm + 1,
         fabs(plain.newton_x) * plain.S / plain.gradnorm + 1, 1e-8);
    near("gradnorm", dagger.gradnorm, plain.gradnorm, 1e-12);
    near("gradperp", dagger.gradperp, plain.gradperp, 1e-7);
    if (plain.alpha >= 0)
        near("eps", dagger.eps, config.lr * sqrt(plain.alpha), 1e-7);
    else
        cr_assert(isnan(dagger.eps), "alpha < 0: eps is %g, not nan",
                  dagger.eps);
}

Test(quantities, are_those_of_their_definitions)
{
    struct eos_config c = small_problem();

    start_on_the_floor(&c, 0.002, 0.97);
    quantities_agree(path.gd);
    cr_assert(plain.alpha > 0, "alpha = %g; the test wants it positive",
              plain.alpha);
}

/* The guess for the second vector is exactly the third one: a solve from u and
 * from that alone takes it for the second. */
Test(quantities, lambda2_is_found_where_the_guess_is_the_third)
{
    static double u[P_MAX];
    struct eos_config c = small_problem();
    double value[3];

    c.tol = 1e-8;
    c.neigs = 3;
    start_near_edge(&c, 0.97);
    eos_sharpness(path.gd, 3, value, u);
    cr_assert(value[2] < 0.99 * value[1], "the second and the third are near");
    eig_vector(2, u);
    vecs_write(net.params, outliers.u, 1, u);
    outliers.known = 2;
    measure(&dagger, path.gd, EOS_F64, true);
    near("S", dagger.S, value[0], 1e-9);
    near("lambda2", dagger.lambda2, value[1], 1e-6);
}

/* Under the logistic loss alpha is negative at the initialisation. */
static void start_with_negative_alpha(const struct eos_config *c)
{
    start(c);
    eos_init(0, path.gd);
    config.lr = 0.3;
}

Test(quantities, eps_is_nan_where_alpha_is_negative)
{
    struct eos_config c = small_problem();

    c.loss = EOS_LOGISTIC;
    start_with_negative_alpha(&c);
    quantities_agree(path.gd);
    cr_assert(plain.alpha < 0, "alpha = %g; the test wants it negative",
              plain.alpha);
}

Test(quantities, the_sign_of_u_matters_to_what_is_odd_in_u_alone)
{
    struct eos_config c = small_problem();
    struct seen one, two;
    double su, newton_x, alpha, beta, gradperp;
    float *u;
    size_t i;

    start_near_edge(&c, 0.97);
    random_vector(1, net.params, direction);
    measure(&dagger, path.gd, EOS_F64, false);
    seen_offset(&one, &dagger, direction);
    su = dagger.su;
    newton_x = dagger.newton_x;
    alpha = dagger.alpha;
    beta = dagger.beta;
    gradperp = dagger.gradperp;
    u = vecs_from(warm.pg.u, net.params, warm.pg.newest)
            .f32; /* the next looks back */
    for (i = 0; i < net.params; i++)
        u[i] = -u[i];
    measure(&dagger, path.gd, EOS_F64, false);
    seen_offset(&two, &dagger, direction);
    near("x", two.x, -one.x, 1e-7);
    near("newton_x", dagger.newton_x, -newton_x, 1e-7);
    near("su", dagger.su, -su, 1e-7);
    near("alpha", dagger.alpha, alpha, 1e-7);
    near("beta", dagger.beta, beta, 1e-7);
    near("gradperp", dagger.gradperp, gradperp, 1e-7);
    near("S_taylor", two.taylor, one.taylor, 1e-7);
    near("S_avg", two.avg, one.avg, 1e-7);
    near("dist", two.dist, one.dist, 0);
}

Test(quantities, what_a_trajectory_shows_is_its_offset)
{
    struct eos_config c = small_problem();
    struct seen s;

    start_near_edge(&c, 0.97);
    measure(&dagger, path.gd, EOS_F64, false);
    random_vector(2, net.params, direction);
    seen_offset(&s, &dagger, direction);
    near("x", s.x, plain_dot(net.params, dagger.u, direction), 1e-10);
    near("S_taylor", s.taylor,
         s.avg + dagger.su * plain_dot(net.params, dagger.u, direction), 1e-12);
    near("S_avg", s.avg, dagger.S + plain_dot(net.params, dagger.T, direction),
         1e-12);
    near("dist", s.dist, plain_norm(net.params, direction), 1e-12);
}

/* --- The start of a track, with and without a kick --- */

static void v_is_the_offset_and_flow_starts_with_gd(void)
{
    cr_assert(!memcmp(path.gf, path.gd, vector_bytes()),
              "gradient flow starts elsewhere");
    memcpy(after.v[0], path.gd, sizeof after.v[0]);
    add(after.v[0], -1, path.pg);
    cr_assert(!memcmp(path.v[0], after.v[0], vector_bytes()),
              "v is not theta_gd - theta+");
}

Test(kick, of_nothing_leaves_the_iterate)
{
    struct eos_config c = small_problem();

    start_near_edge(&c, 0.99);
    memcpy(before.gd, path.gd, vector_bytes());
    track_start(&path, &dagger);
    cr_assert(!memcmp(before.gd, path.gd, vector_bytes()), "theta_gd moved");
    v_is_the_offset_and_flow_starts_with_gd();
}

Test(kick, starts_the_track_at_that_many_delta)
{
    static const double kicks[] = {0.01, 0.1};
    struct eos_config c = small_problem();
    size_t i;

    start_on_the_floor(&c, 0.002, 0.99);
    memcpy(before.gd, path.gd, vector_bytes());
    for (i = 0; i < 2; i++) {
        double x, wanted;
        bool ok;

        memcpy(path.gd, before.gd, vector_bytes());
        config.kick = kicks[i];
        track_start(&path, &dagger);
        x = plain_dot(net.params, dagger.u, path.v[0]);
        wanted = kicks[i] * sqrt(dagger.delta2);
        ok = fabs(x - wanted) <= 0.05 * wanted;
        cr_assert(ok, "kick %g: x = %g, kick * delta = %g", kicks[i], x,
                  wanted);
        v_is_the_offset_and_flow_starts_with_gd();
    }
}

Test(kick, moves_the_iterate_along_u_at_the_first_constrained_point)
{
    struct eos_config c = small_problem();

    c.kick = 0.5;
    start_on_the_floor(&c, 0.002, 0.99);
    memcpy(before.gd, path.gd, vector_bytes());
    memcpy(after.gd, path.gd, vector_bytes());
    memcpy(after.pg, path.gd, vector_bytes());
    plain_project(after.pg, 3);
    plain_measure(after.pg, &plain);
    add(after.gd, 0.5 * sqrt(plain.delta2), plain.u);
    track_start(&path, &dagger);
    if (plain_dot(net.params, plain.u, dagger.u) < 0) /* a sign is a choice */
        for (size_t i = 0; i < net.params; i++)
            after.gd[i] = 2 * before.gd[i] - after.gd[i];
    same_step("the kick", 0, path.gd, after.gd, before.gd);
    memcpy(after.pg, path.gd, vector_bytes());
    plain_project(after.pg, 3);
    same_step("the first theta+", 0, path.pg, after.pg, path.gd);
}

Test(kick, without_a_delta_says_so_and_moves_nothing)
{
    struct eos_config c = small_problem();
    char text[512];
    size_t n;

    c.loss = EOS_LOGISTIC;
    c.kick = 0.1;
    c.tol = 1e-6;
    start_with_negative_alpha(&c);
    folder_make();
    out.fd = open(in_folder("out"), O_CREAT | O_WRONLY, 0666);
    memcpy(before.gd, path.gd, vector_bytes());
    track_start(&path, &dagger);
    text_flush(&out);
    n = read_file(in_folder("out"), text, sizeof text);
    text[n] = 0;
    cr_assert(dagger.alpha < 0, "alpha = %g", dagger.alpha);
    cr_assert(!memcmp(before.gd, path.gd, vector_bytes()), "theta_gd moved");
    cr_assert(strstr(text, "kick") && strstr(text, "alpha"),
              "it says '%s', nothing of kick and alpha", text);
    folder_remove();
}

/* --- Power iteration as the reference --- */

Test(eigensolvers, agree_on_the_sharpness)
{
    static double u[2][P_MAX];
    struct eos_config c = small_problem();
    double s[2], resid;

    c.tol = 1e-6;
    start_near_edge(&c, 1);
    eos_sharpness(path.gd, 1, &s[0], u[0]);
    config.eig = EOS_POWER;
    resid = eos_sharpness(path.gd, 1, &s[1], u[1]);
    cr_assert(resid <= 1e-6, "power iteration leaves %g", resid);
    near("S by power iteration", s[1], s[0], 1e-6);
    near("u.u", fabs(plain_dot(net.params, u[0], u[1])), 1, 1e-6);
}

/* --- The second vector joins a solve where its eigenvalue is near --- */

static size_t products_of_a_solve(double lambda2)
{
    static double u[P_MAX];
    size_t before = hvps;

    outliers.value[1] = lambda2;
    sharpness(here, &warm.pg, 1, false, u);
    return hvps - before;
}

/* From exact vectors a solve takes a product for each. */
Test(eigensolvers, the_second_vector_joins_where_its_eigenvalue_is_near)
{
    static double u[P_MAX];
    struct eos_config c = small_problem();
    double s[2];

    c.tol = 1e-8;
    c.deriv = EOS_F64;
    start(&c);
    eos_init(0, path.gd);
    eos_sharpness(path.gd, 2, s, u);
    here = point_at(path.gd);
    config.tol = 1e-3; /* what float32 vectors keep of them */
    cr_assert(products_of_a_solve(0.5 * s[0]) == 1, "lambda2 far: it joined");
    cr_assert(products_of_a_solve(0.99 * s[0]) == 2, "near: it did not join");
    cr_assert(products_of_a_solve(0.5 * s[0]) == 1, "far again: it joined");
}
