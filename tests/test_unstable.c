/*
 * Several unstable directions: the complementarity problem, the formulas at
 * theta+, an independent program's rows, the run as a program, and the toy
 * with two directions.
 */
#include "common.h"
#include "logs.h"
#include "small.h"
#include "program.h"

/* --- The complementarity problem --- */

struct problem {
    size_t k, n;
    double C[PAIRS], G[PAIRS][PAIRS];
};

/* G is the Gram matrix of random vectors of m elements. */
static void draw_problem(uint64_t *rng, size_t k, size_t m, double scale_C,
                         double scale_G, struct problem *of)
{
    static double T[PAIRS][100];
    const double shift = uniform(rng, -1.5, 1.5);
    size_t a, b, i;

    of->k = k;
    of->n = k * (k + 1) / 2;
    for (a = 0; a < of->n; a++)
        for (i = 0; i < m; i++)
            T[a][i] = uniform(rng, -1, 1);
    for (a = 0; a < of->n; a++)
        for (b = 0; b < of->n; b++)
            of->G[a][b] = scale_G * plain_dot(m, T[a], T[b]);
    for (a = 0; a < of->n; a++)
        of->C[a] = scale_C * uniform(rng, -1, 1);
    for (i = 0; i < k; i++)
        of->C[pair_of(i, i)] += scale_C * shift;
}

static void eigenvalues(size_t k, const double *pairs, double *value)
{
    double matrix[BASIS][BASIS], vector[BASIS][BASIS];
    size_t i, j;

    for (i = 0; i < k; i++)
        for (j = 0; j < k; j++)
            matrix[i][j] = pairs[pair_of(i, j)];
    jacobi(k, matrix, value, vector);
}

/* <A, B>, both symmetric */
static double product(size_t k, const double *a, const double *b)
{
    double sum = 0;
    size_t i, j;

    for (i = 0; i < k; i++)
        for (j = 0; j < k; j++)
            sum += a[pair_of(i, j)] * b[pair_of(i, j)];
    return sum;
}

/* Z = C + G S, over all i, j, m, n. */
static void slack(const struct problem *of, const double *S, double *Z)
{
    size_t a, i, j;

    for (a = 0; a < of->n; a++) {
        Z[a] = of->C[a];
        for (i = 0; i < of->k; i++)
            for (j = 0; j < of->k; j++)
                Z[a] += of->G[a][pair_of(i, j)] * S[pair_of(i, j)];
    }
}

/* S >= 0, Z >= 0, <S, Z> = 0, each to `tolerance` of what it is made of. */
static void solves(const struct problem *of, const double *S, double tolerance)
{
    double Z[PAIRS], value[BASIS], g = 0, c, s, scale;
    size_t a;
    bool ok;

    slack(of, S, Z);
    for (a = 0; a < of->n; a++)
        g = fmax(g, of->G[a][a]);
    c = sqrt(product(of->k, of->C, of->C));
    s = sqrt(product(of->k, S, S));
    scale = c + g * s;
    eigenvalues(of->k, S, value);
    ok = value[of->k - 1] >= -tolerance * s;
    cr_assert(ok, "k = %zu: S has the eigenvalue %g", of->k, value[of->k - 1]);
    eigenvalues(of->k, Z, value);
    ok = value[of->k - 1] >= -tolerance * scale;
    cr_assert(ok, "k = %zu: Z has the eigenvalue %g of %g", of->k,
              value[of->k - 1], scale);
    ok = fabs(product(of->k, S, Z)) <= tolerance * scale * s;
    cr_assert(ok, "k = %zu: <S, Z> = %g of %g", of->k, product(of->k, S, Z),
              scale * s);
}

/* Of the sizes of a run and far beyond: lambda 1e2, beta 1e9 and so on. */
Test(complementarity, is_solved_for_random_problems)
{
    struct problem of;
    uint64_t rng = 1;
    size_t k, i, ranks = 0;

    for (k = 1; k <= DIRECTIONS; k++)
        for (i = 0; i < 60; i++) {
            size_t n = k * (k + 1) / 2, m = n + whole_number(&rng, 1, 60);
            double c = ldexp(1, (int)whole_number(&rng, 0, 60) - 30);
            double g = ldexp(1, (int)whole_number(&rng, 0, 60) - 30);
            double S[PAIRS], value[BASIS], left;
            bool ok;

            draw_problem(&rng, k, m, c, g, &of);
            left = sdcp(k, of.C, of.G, S);
            ok = left <= 1e-12;
            cr_assert(ok, "k = %zu, problem %zu: %g is left", k, i, left);
            solves(&of, S, 1e-12);
            eigenvalues(k, S, value);
            while (k == DIRECTIONS && ranks < k && value[ranks] > 0)
                ranks++;
        }
    cr_assert(ranks > DIRECTIONS / 2, "at most rank %zu was seen", ranks);
}

Test(complementarity, of_one_direction_is_a_quotient)
{
    double C, G[PAIRS][PAIRS], S, expected;
    uint64_t rng = 2;
    size_t i;

    for (i = 0; i < 200; i++) {
        C = uniform(&rng, -9, 9);
        G[0][0] = uniform(&rng, 1e-3, 1e9);
        sdcp(1, &C, G, &S);
        expected = C < 0 ? -C / G[0][0] : 0;
        cr_assert(fabs(S - expected) <= 1e-14 * expected,
                  "C = %g, G = %g: S = %.17g, expected %.17g", C, G[0][0], S,
                  expected);
    }
}

/* T_ij orthogonal to each other and C diagonal: each direction by itself. */
Test(complementarity, of_a_diagonal_problem_is_one_for_each_direction)
{
    uint64_t rng = 3;
    size_t k, i, a, b;

    for (k = 1; k <= DIRECTIONS; k++) {
        double C[PAIRS] = {0}, G[PAIRS][PAIRS] = {{0}}, S[PAIRS], expected;

        for (a = 0; a < k * (k + 1) / 2; a++)
            G[a][a] = uniform(&rng, 0.1, 9);
        for (i = 0; i < k; i++)
            C[pair_of(i, i)] = uniform(&rng, -9, 9);
        sdcp(k, C, G, S);
        for (i = 0; i < k; i++)
            for (b = 0; b < k; b++) {
                a = pair_of(i, b);
                expected = i == b ? fmax(0, -C[a] / G[a][a]) : 0;
                cr_assert(fabs(S[a] - expected) <= 1e-12 * fmax(1, expected),
                          "k = %zu: S_%zu%zu = %.17g, expected %.17g", k, i, b,
                          S[a], expected);
            }
    }
}

Test(complementarity, below_the_edge_is_nothing)
{
    struct problem of;
    double S[PAIRS], value[BASIS];
    uint64_t rng = 4;
    size_t k, i;

    for (k = 1; k <= DIRECTIONS; k++) {
        draw_problem(&rng, k, 60, 1, 1e6, &of);
        eigenvalues(k, of.C, value);
        for (i = 0; i < k; i++)
            of.C[pair_of(i, i)] += 1e-3 - value[k - 1];
        sdcp(k, of.C, of.G, S);
        for (i = 0; i < of.n; i++)
            cr_assert(S[i] == 0, "k = %zu: S[%zu] = %g", k, i, S[i]);
    }
}

Test(complementarity, of_other_units_is_the_same)
{
    struct problem of;
    double S[PAIRS], scaled[PAIRS];
    uint64_t rng = 5;
    size_t k, i, j;

    for (k = 1; k <= DIRECTIONS; k++) {
        draw_problem(&rng, k, 60, 1, 1, &of);
        sdcp(k, of.C, of.G, S);
        for (i = 0; i < of.n; i++) {
            of.C[i] *= 0x1p40;
            for (j = 0; j < of.n; j++)
                of.G[i][j] *= 0x1p90;
        }
        sdcp(k, of.C, of.G, scaled);
        for (i = 0; i < of.n; i++)
            cr_assert(scaled[i] == S[i] * 0x1p-50, "k = %zu: %g for %g", k,
                      scaled[i], S[i] * 0x1p-50);
    }
}

/* Without a solution, or without a unique one: finite, S >= 0, and it says
 * how much is left. */
Test(complementarity, of_a_degenerate_problem_ends)
{
    struct problem of;
    double S[PAIRS], value[BASIS], left;
    uint64_t rng = 6;
    size_t k, m, i;

    for (k = 1; k <= DIRECTIONS; k++)
        for (m = 0; m < k * (k + 1) / 2; m += 1 + k / 2) {
            draw_problem(&rng, k, m, 1, m ? 1 : 0, &of);
            left = sdcp(k, of.C, of.G, S);
            for (i = 0; i < of.n; i++)
                cr_assert(isfinite(S[i]), "k = %zu: S[%zu] = %g", k, i, S[i]);
            eigenvalues(k, S, value);
            cr_assert(value[k - 1] >= -1e-14 * value[0], "k = %zu: %g", k,
                      value[k - 1]);
            if (left <= 1e-12)
                solves(&of, S, 1e-11);
        }
    draw_problem(&rng, 1, 0, 0, 0, &of);
    of.C[0] = -1;
    left = sdcp(1, of.C, of.G, S);
    cr_assert(left > 1e-3, "no solution, and only %g is left", left);
    of.C[0] = (double)NAN;
    left = sdcp(1, of.C, of.G, S);
    cr_assert(!(left <= 1e-12), "of nan: %g is left", left);
}

Test(complementarity, that_is_not_solved_stands_in_the_log)
{
    folder_make();
    out.fd = -1;
    logfile.fd = open(in_folder("log"), O_CREAT | O_WRONLY, 0666);
    config.unstable = 2;
    row.t = 7;
    dagger.unsolved = 1e-12;
    track_unsolved();
    dagger.unsolved = 3e-6;
    track_unsolved();
    text_flush(&logfile);
    log_read(&log_a, in_folder("log"));
    cr_assert(log_a.comments == 1 && strstr(log_a.comment[0], "step 7: ") &&
                  strstr(log_a.comment[0], "3.0e-06"),
              "%zu notes", log_a.comments);
    cr_assert(dagger.unsolved == 0, "it says so again");
    folder_remove();
}

/* One direction over the edge that no T pulls back, then one that is. */
Test(complementarity, that_is_not_solved_outlasts_one_that_is)
{
    double S[PAIRS];

    config.lr = 0.01;
    dagger.k = 1;
    dagger.lambda[0] = 300;
    several_sdcp(&dagger, 0, 1, S);
    cr_assert(dagger.unsolved > 1e-3, "%g is left", dagger.unsolved);
    dagger.G[0][0] = 1;
    several_sdcp(&dagger, 0, 1, S);
    near("S", S[0], 100, 1e-12);
    cr_assert(dagger.unsolved > 1e-3, "forgotten: %g is left", dagger.unsolved);
}

/* The first pivot is zero. */
Test(complementarity, elimination_takes_the_largest_pivot)
{
    double r[PAIRS] = {1, 2, 3}, a[PAIRS][PAIRS] = {{0}};

    a[0][1] = a[1][0] = a[2][2] = 1;
    eliminate(3, a, r);
    cr_assert(r[0] == 2 && r[1] == 1 && r[2] == 3, "%g %g %g", r[0], r[1],
              r[2]);
}

/* --- theta+ and the predictions --- */

/* Eight images after 60 small steps.  mse: 29.6, 27.2, 26.0, 25.6 are the
 * largest eigenvalues, bmse: 59.2, 25.8, 22.3. */
static bool with_central;

static void start_with(enum eos_loss loss, size_t unstable, double edge_S)
{
    struct eos_config c = small_problem();
    static double g[P_MAX];
    size_t i;

    c.loss = loss;
    c.unstable = unstable;
    c.lr = 2 / edge_S;
    c.tol = 1e-8;
    c.generalized = true;
    c.central = with_central;
    cr_assert(eos_start(&c) == EOS_DONE, "%s", failure);
    out.fd = -1;
    eos_init(0, path.gd);
    for (i = 0; i < 60; i++) {
        eos_gradient(path.gd, g);
        add(path.gd, -0.02, g);
    }
}

/* The first two eigenvalues are judged by a solve that knows nothing of U. */
static void several_land_on_it(double *at)
{
    static double ignored[P_MAX];
    double value[2];
    size_t i;

    project(&dagger, at, false);
    config.unstable = 1;
    outliers.known = 0;
    outliers.dagger = false;
    eos_sharpness(at, 2, value, ignored);
    for (i = 0; i < 2; i++) {
        bool ok = value[i] <= 2 / config.lr * (1 + 1e-6);

        cr_assert(ok, "lambda_%zu = %.10g, 2/eta = %.10g", i + 1, value[i],
                  2 / config.lr);
    }
}

/* Those above band/eta, one at least; with band 2 those above 2/eta. */
Test(several, directions_are_those_in_the_band)
{
    static const struct {
        double band, edge;
        size_t k;
    } is[] = {{1.8, 29, 2}, {2, 29, 1}, {2, 26.7, 2}, {1.8, 31, 1}, {2, 40, 1}};
    size_t i;

    start_with(EOS_MSE, 2, 29);
    folder_remove();
    for (i = 0; i < sizeof is / sizeof *is; i++) {
        config.band = is[i].band;
        config.lr = 2 / is[i].edge;
        measure(&dagger, path.gd, EOS_F64, false);
        cr_assert(dagger.k == is[i].k, "band %g, 2/eta %g: k = %zu", is[i].band,
                  is[i].edge, dagger.k);
    }
}

/* Two eigenvalues exceed 2/eta, one by 11 %: in more than the usual rounds. */
Test(several, are_projected_onto_the_stable_set)
{
    start_with(EOS_MSE, 2, 26.7);
    folder_remove();
    config.proj = 9;
    measure(&dagger, path.gd, EOS_F64, false);
    cr_assert(dagger.lambda[1] >= 26.7 * 1.015, "lambda_2 = %g",
              dagger.lambda[1]);
    several_land_on_it(path.gd);
}

/* theta - h (g + sum_ij Sigma_ij/2 d_ij) with d_ij the third derivative at
 * (u_i, u_j), its components along U included.  Two eigenvalues are over the
 * edge; such a step takes, to first order, the largest onto it. */
Test(several, move_by_central_flow_to_the_edge)
{
    static double d[3][P_MAX], at[P_MAX], sum[P_MAX];
    const double h = 0.01;
    double over[3];
    size_t a, b;

    with_central = true;
    start_with(EOS_MSE, 2, 26.7);
    folder_remove();
    measure(&central, path.gd, EOS_F64, false);
    several_covariance(&central, h);
    cr_assert(central.k == 2, "k = %zu", central.k);
    memcpy(sum, nth(central.u, net.params, 0), sizeof sum);
    add(sum, 1, nth(central.u, net.params, 1));
    eos_third(path.gd, nth(central.u, net.params, 0), d[0]);
    eos_third(path.gd, nth(central.u, net.params, 1), d[2]);
    eos_third(path.gd, sum, d[1]);
    add(d[1], -1, d[0]);
    add(d[1], -1, d[2]);
    for (a = 0; a < net.params; a++)
        d[1][a] /= 2;
    memcpy(sum, central.grad, sizeof sum);
    for (a = 0; a < 3; a++)
        add(sum, (a == 1 ? 1 : 0.5) * central.Sigma[a], d[a]);
    memcpy(at, path.gd, sizeof at);
    central_move(&central, h, at);
    add(at, h, sum);
    add(at, -1, path.gd);
    cr_assert(plain_norm(net.params, at) <=
                  1e-9 * h * plain_norm(net.params, sum),
              "off by %g", plain_norm(net.params, at));
    for (a = 0; a < 3; a++) {
        over[a] = a == 1 ? 0 : central.lambda[a / 2] - 2 / config.lr;
        cr_assert(a == 1 || over[a] > 0.1, "not over the edge before");
        for (b = 0; b < net.params; b++)
            over[a] -= h * d[a][b] * sum[b];
    }
    near("lambda_1 after the step",
         2 / config.lr + (over[0] + over[2]) / 2 +
             hypot((over[0] - over[2]) / 2, over[1]),
         2 / config.lr, 1e-9);
}

Test(several, project_by_a_step_of_the_length_they_say)
{
    static double before[P_MAX];
    double step;

    start_with(EOS_MSE, 2, 26.7);
    folder_remove();
    measure(&dagger, path.gd, EOS_F64, false);
    cr_assert(dagger.k == 2, "k = %zu", dagger.k);
    memcpy(before, path.gd, vector_bytes());
    step = project_several(&dagger, path.gd);
    add(before, -1, path.gd);
    near("its length", step, plain_norm(net.params, before), 1e-6);
}

/* What does not depend on the basis of U: tr Sigma, where the projection and
 * both predictions lead. */
static struct invariant {
    double sigma, xnorm, to[P_MAX], v[2][P_MAX];
} first, again;

static void invariants(struct invariant *of)
{
    struct seen s = {0};
    size_t i;

    dagger.at = point_at(path.pg);
    third(dagger.at, dagger.u, dagger.T);
    dagger.su = plain_dot(net.params, dagger.T, dagger.u);
    add(dagger.T, -dagger.su, dagger.u);
    several_tensor(&dagger);
    several_covariance(&dagger, config.lr);
    of->sigma = dagger.sigma;
    memcpy(of->to, path.pg, vector_bytes());
    project_several(&dagger, of->to);
    seen_offset(&s, &dagger, direction);
    of->xnorm = s.xnorm;
    for (i = 0; i < 2; i++)
        memcpy(path.v[i], direction, vector_bytes());
    predict_prepare(&dagger, path.v);
    for (i = 0; i < 2; i++) {
        (several() ? predict_several : predict_one)(&dagger, i, path.v[i]);
        memcpy(of->v[i], path.v[i], vector_bytes());
    }
}

static void same_invariants(const char *what)
{
    size_t i;

    near("tr Sigma", again.sigma, first.sigma, 1e-9);
    near("|U'd|", again.xnorm, first.xnorm, 1e-9);
    add(again.to, -1, path.pg); /* steps, not points */
    for (i = 0; i < 2; i++)
        add(again.v[i], -1, direction);
    near(what, relative_error(net.params, again.to, first.to) + 1, 1, 1e-9);
    near(what, relative_error(net.params, again.v[0], first.v[0]) + 1, 1, 1e-9);
    near(what, relative_error(net.params, again.v[1], first.v[1]) + 1, 1, 1e-9);
}

static double *dagger_u(const struct dagger *d, size_t i)
{
    return nth(d->u, net.params, i);
}

Test(several, depend_on_no_basis_and_no_sign)
{
    size_t i;

    start_with(EOS_MSE, 2, 26.9);
    folder_remove();
    memcpy(path.pg, path.gd, vector_bytes());
    measure(&dagger, path.pg, EOS_F64, false);
    cr_assert(dagger.k == 2, "k = %zu", dagger.k);
    random_vector(1, net.params, direction);
    for (i = 0; i < net.params; i++)
        direction[i] = 1e-4 * direction[i] + 1e-2 * dagger_u(&dagger, 0)[i] -
                       2e-2 * dagger_u(&dagger, 1)[i];
    invariants(&first);
    add(first.to, -1, path.pg);
    for (i = 0; i < 2; i++)
        add(first.v[i], -1, direction);
    for (i = 0; i < net.params; i++)
        dagger_u(&dagger, 1)[i] = -dagger_u(&dagger, 1)[i];
    invariants(&again);
    same_invariants("a change of sign");

    dagger.lambda[0] = dagger.lambda[1] = 27.5; /* then any basis is one */
    invariants(&first);
    add(first.to, -1, path.pg);
    for (i = 0; i < 2; i++)
        add(first.v[i], -1, direction);
    for (i = 0; i < net.params; i++) {
        double a = dagger_u(&dagger, 0)[i], b = dagger_u(&dagger, 1)[i];

        dagger_u(&dagger, 0)[i] = 0.6 * a - 0.8 * b;
        dagger_u(&dagger, 1)[i] = 0.8 * a + 0.6 * b;
    }
    invariants(&again);
    same_invariants("a rotation");
}

/* |Hu - Su| / S of direction i, by a product of its own. */
static double residual_of(size_t i)
{
    static double r[P_MAX];

    eos_hessian(path.pg, dagger_u(&dagger, i), r);
    add(r, -dagger.lambda[i], dagger_u(&dagger, i));
    return plain_norm(net.params, r) / dagger.lambda[i];
}

Test(several, have_the_largest_of_their_residuals)
{
    double first_one, second_one;

    start_with(EOS_MSE, 2, 26.9);
    folder_remove();
    config.tol = 1e-3;
    memcpy(path.pg, path.gd, vector_bytes());
    /* the first search is a thorough one */
    measure(&dagger, path.pg, EOS_F64, false);
    measure(&dagger, path.pg, EOS_F64, false);
    cr_assert(dagger.k == 2, "k = %zu", dagger.k);
    first_one = residual_of(0);
    second_one = residual_of(1);
    cr_assert(second_one > 1.1 * first_one,
              "residuals %g and %g; the test wants the second larger",
              first_one, second_one);
    near("pg_resid", dagger.resid, second_one, 1e-3);
}

/* Of gradient descent's second pair the value alone counts: its residual may
 * be as large as the root of the tolerance, and is not that of the row. */
Test(several, have_a_second_value_without_its_vector)
{
    struct seen s = {.L = 1};

    start_with(EOS_MSE, 2, 26.9);
    folder_remove();
    memcpy(path.pg, path.gd, vector_bytes());
    measure(&dagger, path.pg, EOS_F64, false);
    add(path.gd, 1e-2, dagger_u(&dagger, 0));
    seen_sharpness(&s, point_at(path.gd), &warm.gd, 2, false, scratch.out);
    cr_assert(warm.gd.resid[1] > config.tol, "residual %g; the test wants more",
              warm.gd.resid[1]);
    cr_assert(s.resid <= config.tol, "the row's residual is %g", s.resid);
    cr_assert(eig.unconverged == 0, "%zu solves have not converged",
              eig.unconverged);
}

/* --- The rows of an independent program --- */

enum { GOLDEN_ROWS = 5, GOLDEN_COLUMNS = 21 };
#include "table.h"

static void golden_rows(const char *name, char (*names)[24],
                        double (*value)[GOLDEN_ROWS])
{
    static char text[1 << 14];
    char *at = text, *end;
    size_t i, t;

    text[read_file(name, text, sizeof text)] = 0;
    at += strspn(at, "# ");
    for (i = 0; i < GOLDEN_COLUMNS; i++, at += strspn(at, " \n")) {
        size_t len = strcspn(at, " \n");

        snprintf(names[i], sizeof names[i], "%.*s", (int)len, at);
        at += len;
    }
    for (t = 0; t < GOLDEN_ROWS; t++)
        for (i = 0; i < GOLDEN_COLUMNS; i++, at = end) {
            value[i][t] = strtod(at, &end);
            cr_assert(end > at, "%s: row %zu has %zu columns", name, t, i);
        }
}

Test(golden, rows_of_two_directions)
{
    static char names[GOLDEN_COLUMNS][24];
    static double value[GOLDEN_COLUMNS][GOLDEN_ROWS];
    const char *shared = getenv("EOS_SHARED");
    struct eos_config c = eos_defaults();
    char name[2][512];
    size_t i, t;

    if (!shared)
        cr_skip_test("EOS_SHARED is not set");
    snprintf(name[0], sizeof *name, "%s/golden/unstable/rows.txt", shared);
    snprintf(name[1], sizeof *name, "%s/golden/unstable/params.npy", shared);
    golden_rows(name[0], names, value);
    folder_make();
    table_images(in_folder("images"));
    c.data[c.ndata++] = in_folder("images");
    c.model = EOS_CNN;
    c.samples = TABLE_RECORDS;
    c.init = name[1];
    c.from_instability = c.generalized = true;
    c.unstable = 2;
    c.lr = 0.0199;
    c.stop_lambda2 = INFINITY;
    c.deriv = EOS_F64;
    c.tol = 1e-10;
    c.steps = GOLDEN_ROWS;
    c.log = in_folder("log");
    out.fd = -1;
    cr_assert(eos_run(&c) == EOS_DONE, "%s", failure);
    log_read(&log_a, c.log);
    for (i = 0; i < GOLDEN_COLUMNS; i++) {
        double scale = 0;

        for (t = 0; t < GOLDEN_ROWS; t++)
            scale = fmax(scale, fabs(value[i][t]));
        for (t = 0; t < GOLDEN_ROWS; t++) {
            double found = log_value(&log_a.block[0], t, names[i]);
            bool ok = fabs(found - value[i][t]) <= 1e-6 * scale;

            cr_assert(ok, "%s of row %zu: found %.17g, expected %.17g",
                      names[i], t, found, value[i][t]);
        }
    }
    /* Both are on the edge now, and 2 % above that of a larger eta. */
    near("lambda_2", dagger.lambda[1], dagger.lambda[0], 1e-4);
    config.lr *= 1.02;
    config.tol = 1e-7;
    several_land_on_it(path.pg);
    folder_remove();
}

/* --- The program --- */

#define SEVERAL                                                          \
    "run --data images --model cnn --loss mse --samples 8 --init start " \
    "--from-instability --lr 0.07 --tol 1e-2 --stop-lambda2 inf "        \
    "--unstable 2 --generalized --neigs 3"
#define SINGLE                                                            \
    "run --data images --model cnn --loss bmse --samples 8 --init start " \
    "--from-instability --lr 0.035 --deriv f64 --tol 1e-7 --proj 5 "      \
    "--stop-lambda2 inf --generalized --steps 2"

static void prepare_program(enum eos_loss loss)
{
    memset(&how, 0, sizeof how);
    start_with(loss, 1, 29);
    cr_assert(!npy_write(in_folder("start"), net.params, path.gd), "%s",
              failure);
}

static void same_bytes(const char *a, const char *b)
{
    static char one[1 << 20], two[1 << 20];
    size_t n = read_file(in_folder(a), one, sizeof one);
    size_t m = read_file(in_folder(b), two, sizeof two);

    cr_assert(n && n == m && !memcmp(one, two, n), "%s and %s differ", a, b);
}

static void same_vectors(void)
{
    same_bytes("one-gd.npy", "two-gd.npy");
    same_bytes("one-pg.npy", "two-pg.npy");
    same_bytes("one-gf.npy", "two-gf.npy");
    same_bytes("one-v.npy", "two-v.npy");
}

/* Also says what the log is made of. */
Test(program, goes_on_from_a_checkpoint_and_takes_any_threads)
{
    static const char *const last[] = {
        "gd_S3",    "k",        "pg_S3",      "gd_S2",     "pr_S2",     "sigma",
        "gd_xnorm", "pr_xnorm", "pgen_xnorm", "gd_resid2", "gd_resid3",
    };
    const struct block *b = &log_a.block[0];
    const size_t n = sizeof last / sizeof *last;
    double x2 = 0, sigma = 0;
    size_t i, j, twice;

    prepare_program(EOS_MSE);
    exits_with(EOS_DONE, SEVERAL " --steps 4 --threads 1 --log one --save one");
    exits_with(EOS_DONE, SEVERAL " --steps 2 --threads 3 --log two --save two "
                                 "--checkpoint ck --every 1");
    exits_with(EOS_DONE, SEVERAL " --steps 4 --threads 3 --log two --save two "
                                 "--checkpoint ck --resume");
    log_read(&log_a, in_folder("one"));
    log_read(&log_b, in_folder("two"));
    same_rows(&log_a, &log_b, "stopped and resumed with other threads");
    same_vectors();
    for (i = 0; i < n; i++)
        cr_assert(!strcmp(b->name[b->columns - n + i], last[i]),
                  "column %zu from the end is %s", n - i,
                  b->name[b->columns - n + i]);
    for (i = 0; i < b->columns; i++)
        for (twice = 0, j = 0; j < b->columns; j++)
            cr_assert((twice += !strcmp(b->name[i], b->name[j])) <= 1,
                      "%s is written twice", b->name[i]);
    for (i = 0; i < b->rows; i++) {
        cr_assert(log_value(b, i, "k") == 2, "row %zu: k = %g", i,
                  log_value(b, i, "k"));
        near("mean_L", log_value(b, i, "mean_L"),
             log_value(b, i, "pg_L") + log_value(b, i, "sigma") / 0.07, 1e-15);
        x2 += pow(log_value(b, i, "gd_xnorm"), 2);
        sigma += log_value(b, i, "sigma");
    }
    cr_assert(!strcmp(log_comment(&log_a, "unstable"), "2"), "# unstable");
    cr_assert(strstr(log_comment(&log_a, "band"), "1.8"), "# band");
    near("x2_over_sigma", log_summary(&log_a, "x2_over_sigma"), x2 / sigma,
         1e-12);
    exits_with(EOS_USAGE, SEVERAL " --band 1.7 --checkpoint ck --resume");
    cr_assert(strstr(said.err, "band: 1.8"), "%s", said.err);
    folder_remove();
}

/* The first row whose third eigenvalue is above X/eta is the last; the second
 * one is above it from the start. */
Test(program, ends_at_the_eigenvalue_after_those_that_may_be_unstable)
{
    const struct block *b = &log_a.block[0];
    double before, now;
    size_t t;

    prepare_program(EOS_MSE);
    exits_with(EOS_DONE, SEVERAL " --steps 9 --log one");
    log_read(&log_a, in_folder("one"));
    for (before = log_value(b, 0, "pg_S3"), t = 1; t < b->rows; t++) {
        now = log_value(b, t, "pg_S3");
        if (now > before)
            break;
    }
    cr_assert(t < b->rows && log_value(b, 0, "pg_S2") > now, "nothing to see");
    cr_assert(eos(SEVERAL " --steps 9 --stop-lambda2 %.17g --log two",
                  0.07 * (before + now) / 2) == EOS_DONE,
              "%s", said.err);
    log_read(&log_b, in_folder("two"));
    cr_assert(log_b.block[0].rows == t + 1 &&
                  !strcmp(log_comment(&log_b, "summary stop"), "lambda2"),
              "%zu rows, not %zu, stop: %s", log_b.block[0].rows, t + 1,
              log_comment(&log_b, "summary stop"));
    folder_remove();
}

/* Where the band has one eigenvalue the formulas are the paper's; without
 * --unstable, --band changes nothing. */
Test(program, with_one_direction_is_the_papers)
{
    const struct block *x = &log_a.block[0], *y = &log_b.block[0];
    size_t i, t;

    prepare_program(EOS_BMSE);
    exits_with(EOS_DONE, SINGLE " --log one --save one");
    exits_with(EOS_DONE, SINGLE " --log two --save two --unstable 2");
    log_read(&log_a, in_folder("one"));
    log_read(&log_b, in_folder("two"));
    for (t = 0; t < x->rows; t++) {
        cr_assert(log_value(y, t, "k") == 1, "row %zu: k = %g", t,
                  log_value(y, t, "k"));
        for (i = 1; i < x->columns; i++) {
            const char *name = x->name[i];
            double a = log_value(x, t, name), b = log_value(y, t, name);
            bool ok = fabs(a - b) <= 1e-5 * fmax(1e-3, fabs(a));

            if (strcmp(name, "hvps") && !strstr(name, "resid") &&
                strcmp(name, "pg_S2"))
                cr_assert(ok, "row %zu, %s: %.17g with one, %.17g with k = 1",
                          t, name, a, b);
        }
    }
    exits_with(EOS_DONE, SINGLE " --log two --save two --unstable 1 --band 2");
    log_read(&log_b, in_folder("two"));
    same_rows(&log_a, &log_b, "--unstable 1");
    same_vectors();
    folder_remove();
}

Test(program, refuses_what_is_out_of_range)
{
    folder_make();
    exits_with(EOS_USAGE, "run --unstable 0");
    exits_with(EOS_USAGE, "run --unstable 7");
    exits_with(EOS_USAGE, "run --band 0");
    exits_with(EOS_USAGE, "run --band inf");
    exits_with(EOS_USAGE, "toy --unstable 3");
    cr_assert(strstr(said.err, "--unstable") && strstr(said.err, "1 or 2"),
              "%s", said.err);
    folder_remove();
}

/* --- The toy --- */

static struct toy toy(double a11, double a12, double a22, double x)
{
    struct toy s;

    config = eos_defaults();
    config.alpha = a11;
    config.alpha12 = a12;
    config.alpha2 = a22;
    config.beta = 2;
    config.lr = 0.01;
    config.x0 = x;
    toy_start(&s, 2);
    return s;
}

/* x'(2/eta + sqrt(beta) y) x / 2 - <A, y> / sqrt(beta), of x1 x2 y11 y12 y22;
 * y12 stands in the matrix twice. */
static long double toy_loss_2(const long double *w)
{
    const long double b = sqrtl((long double)config.beta);
    const long double x2 = w[0] * w[0] + w[1] * w[1];

    return x2 / (long double)config.lr +
           b / 2 *
               (w[2] * w[0] * w[0] + 2 * w[3] * w[0] * w[1] +
                w[4] * w[1] * w[1]) -
           ((long double)config.alpha * w[2] +
            2 * (long double)config.alpha12 * w[3] +
            (long double)config.alpha2 * w[4]) /
               b;
}

Test(toy, descends_its_loss)
{
    uint64_t rng = 1;
    size_t i, j;

    for (i = 0; i < 200; i++) {
        struct toy s = toy(uniform(&rng, 0.1, 2), uniform(&rng, -1, 1),
                           uniform(&rng, -1, 1), 0.1);
        double *at[] = {&s.gd_x[0], &s.gd_x[1], &s.gd_y[0], &s.gd_y[1],
                        &s.gd_y[2]};
        long double before[5], high[5], low[5];

        for (j = 0; j < 5; j++)
            before[j] = *at[j] = uniform(&rng, -1, 1);
        toy_step(&s);
        for (j = 0; j < 5; j++) {
            double slope, found = *at[j] - (double)before[j];

            memcpy(high, before, sizeof high);
            memcpy(low, before, sizeof low);
            high[j] += 0.25L;
            low[j] -= 0.25L;
            slope = (double)((toy_loss_2(high) - toy_loss_2(low)) / 0.5L);
            slope /= j == 3 ? 2 : 1; /* <., .> counts it twice */
            cr_assert(fabs(found + config.lr * slope) <= 1e-12,
                      "coordinate %zu moves by %g, slope %g", j, found, slope);
        }
    }
}

Test(toy, has_the_stationary_covariance)
{
    static const double a[][3] = {
        {1, 0, 0.5}, {1, 0.3, 0.5}, {1, 0, -0.5}, {1, 0.8, -0.2}};
    /* 2/beta times the positive part of A; the last has the eigenvalue 1.4
     * with (2, 1) / sqrt(5) */
    static const double sigma[][3] = {
        {1, 0, 0.5}, {1, 0.3, 0.5}, {1, 0, 0}, {1.12, 0.56, 0.28}};
    size_t i, j, t;

    for (i = 0; i < 4; i++) {
        struct toy s = toy(a[i][0], a[i][1], a[i][2], 0.1);
        const size_t steps = 20000;
        double cov[3], error;

        for (j = 0; j < 3; j++)
            cr_assert(fabs(s.sigma[j] - sigma[i][j]) <= 1e-12,
                      "case %zu: sigma[%zu] = %.17g, expected %g", i, j,
                      s.sigma[j], sigma[i][j]);
        for (t = 0; t < steps; t++) {
            toy_step(&s);
            if (t < 200) {
                near("x1 + 9", s.x[0] + 9, s.gd_x[0] + 9, 1e-9);
                near("y12 + 9", s.y[1] + 9, sqrt(2) * s.gd_y[1] + 9, 1e-9);
            }
        }
        for (j = 0; j < 3; j++)
            cov[j] = s.sum[j] / (double)(steps + 1);
        error = toy_error(cov, s.sigma);
        cr_assert(error <= 0.05, "case %zu: the mean of xx' is off by %g", i,
                  error);
    }
}

/* A, x and Y turned by R give what x turns into: R x, R Y R'. */
Test(toy, turns_with_its_axes)
{
    const double c = 0.6, d = 0.8;
    const double a[] = {c * c + 0.5 * d * d, 0.5 * c * d, d * d + 0.5 * c * c};
    struct toy s = toy(1, 0, 0.5, 0.1), r;
    struct eos_config straight = config, turned;
    size_t t;

    r = toy(a[0], a[1], a[2], 0.1);
    turned = config;
    r.x[0] = c * s.x[0] - d * s.x[1];
    r.x[1] = d * s.x[0] + c * s.x[1];
    for (t = 0; t < 1000; t++) {
        near("x1 + 9", r.x[0] + 9, c * s.x[0] - d * s.x[1] + 9, 1e-9);
        near("x2 + 9", r.x[1] + 9, d * s.x[0] + c * s.x[1] + 9, 1e-9);
        near("tr Y + 9", r.y[0] + r.y[2] + 9, s.y[0] + s.y[2] + 9, 1e-9);
        config = straight;
        toy_step(&s);
        config = turned;
        toy_step(&r);
    }
}

Test(toy, logs_its_columns_and_shows_cycles_by_default)
{
    struct eos_config c = eos_defaults();
    const struct block *b = &log_a.block[0];
    size_t i, turns = 0;

    folder_make();
    c.unstable = 2;
    c.steps = 900;
    c.log = in_folder("log");
    out.fd = -1;
    cr_assert(eos_toy(&c) == EOS_DONE, "%s", failure);
    log_read(&log_a, c.log);
    cr_assert(b->columns == 16 && b->rows == 901, "%zu columns, %zu rows",
              b->columns, b->rows);
    for (i = 1; i < b->rows; i++)
        turns += log_value(b, i - 1, "rec_y11") < 0 &&
                 log_value(b, i, "rec_y11") >= 0;
    cr_assert(turns >= 2, "%zu cycles in 900 steps", turns);
    near("cov_err + 1", log_value(b, 900, "cov_err") + 1, 1, 0.1);
    cr_assert(!strcmp(log_comment(&log_a, "sigma"), "2 0 1"), "# sigma: %s",
              log_comment(&log_a, "sigma"));
    folder_remove();
}
