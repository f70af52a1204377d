/*
 * Section 8: the top eigenpairs, on operators whose spectrum is known, on
 * random matrices and on a part of a network's Hessian that is small enough
 * for a dense solver.
 */
#include "common.h"

/* --- A dense solver of the test's own --- */

enum { DENSE = 120 };
static double dense[DENSE][DENSE], dense_value[DENSE];
static size_t dense_n;

/* Eigenvalues of a copy of `dense`, largest first, by cyclic rotations whose
 * angle comes from atan2. */
static void solve_dense(void)
{
    static double a[DENSE][DENSE];
    size_t n = dense_n, sweep, p, q, k;

    memcpy(a, dense, sizeof a);
    for (sweep = 0; sweep < 30; sweep++)
        for (p = 0; p < n; p++)
            for (q = p + 1; q < n; q++) {
                double angle = atan2(2 * a[p][q], a[q][q] - a[p][p]) / 2;
                double c = cos(angle), s = sin(angle), x, y;

                for (k = 0; k < n; k++) {
                    x = a[k][p];
                    y = a[k][q];
                    a[k][p] = c * x - s * y;
                    a[k][q] = s * x + c * y;
                }
                for (k = 0; k < n; k++) {
                    x = a[p][k];
                    y = a[q][k];
                    a[p][k] = c * x - s * y;
                    a[q][k] = s * x + c * y;
                }
            }
    for (p = 0; p < n; p++)
        dense_value[p] = a[p][p];
    for (p = 0; p < n; p++)
        for (q = p + 1; q < n; q++)
            if (dense_value[q] > dense_value[p]) {
                double value = dense_value[p];

                dense_value[p] = dense_value[q];
                dense_value[q] = value;
            }
}

/* --- Operators --- */

enum { P = 500 };
static double diagonal[P_MAX];
static size_t products;

static void apply_diagonal(struct point at, const double *x, double *y)
{
    size_t i;

    (void)at; /* the same everywhere */
    products++;
    for (i = 0; i < eig.p; i++)
        y[i] = diagonal[i] * x[i];
}

static void apply_rounded(struct point at, const double *x, double *y)
{
    size_t i;

    apply_diagonal(at, x, y);
    for (i = 0; i < eig.p; i++)
        y[i] = (double)(float)y[i] + 1e-6 * sin((double)(i * products));
}

static void apply_nan(struct point at, const double *x, double *y)
{
    apply_diagonal(at, x, y);
    y[3] = products > 4 ? NAN : y[3];
}

static void apply_dense(struct point at, const double *x, double *y)
{
    size_t i, j;

    (void)at;
    products++;
    for (i = 0; i < dense_n; i++)
        for (y[i] = 0, j = 0; j < dense_n; j++)
            y[i] += dense[i][j] * x[j];
}

/* A part of the Hessian: rows and columns of some parameters. */
static size_t chosen[DENSE];
static double full_x[P_MAX], full_y[P_MAX];

static void apply_part(struct point at, const double *x, double *y)
{
    size_t i;

    memset(full_x, 0, net.params * sizeof *full_x);
    for (i = 0; i < dense_n; i++)
        full_x[chosen[i]] = x[i];
    hessian(at, full_x, full_y);
    for (i = 0; i < dense_n; i++)
        y[i] = full_y[chosen[i]];
    products++;
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* --- What must hold of any result --- */

static double vector[EIG_MAX][P_MAX], image[P_MAX];

/* Pairs 0 .. wanted - 1: unit vectors, orthogonal to each other, with the
 * residual that was reported. */
static void pairs_are_what_they_say(const char *what, size_t wanted, double tol)
{
    size_t i, j, k, p = eig.p;

    for (i = 0; i < wanted; i++) {
        double resid = 0, dot;

        eig_vector(i, vector[i]);
        eig.apply(eig.at, vector[i], image);
        for (k = 0; k < p; k++)
            resid += pow(image[k] - eig.value[i] * vector[i][k], 2);
        resid = sqrt(resid) / fabs(eig.value[i]);
        cr_assert(resid <= tol * 1.01 + 1e-13,
                  "%s: pair %zu of %zu: residual "
                  "%g, wanted %g",
                  what, i, wanted, resid, tol);
        cr_assert(fabs(resid - eig.resid[i]) <= 0.01 * tol + 1e-13,
                  "%s: pair %zu of %zu: residual %g, reported %g", what, i,
                  wanted, resid, eig.resid[i]);
        for (j = 0; j <= i; j++) {
            dot = plain_dot(p, vector[i], vector[j]);
            cr_assert(fabs(dot - (i == j)) <= 1e-10,
                      "%s: vectors %zu and "
                      "%zu: product %g",
                      what, i, j, dot);
        }
    }
}

/* The image of vector i of the basis. */
static const double *eig_image(size_t i)
{
    return nth(krylov.image.f64, eig.p, i);
}

/* The basis is orthonormal, its images are its images, t is the operator on
 * it: also after restarts, which turn all of them in place. */
static void basis_is_consistent(const char *what)
{
    size_t i, j, k;

    cr_assert(eig.m <= eig.cap && eig.cap <= BASIS, "%s: %zu of %zu vectors",
              what, eig.m, eig.cap);
    for (i = 0; i < eig.m; i++) {
        eig.apply(eig.at, eig_basis(i), image);
        for (k = 0; k < eig.p; k++)
            cr_assert(fabs(image[k] - eig_image(i)[k]) <= 1e-10,
                      "%s: image "
                      "%zu, element %zu is %g, not %g",
                      what, i, k, eig_image(i)[k], image[k]);
        for (j = 0; j < eig.m; j++) {
            double dot = plain_dot(eig.p, eig_basis(i), eig_basis(j));
            double t = plain_dot(eig.p, eig_basis(i), eig_image(j));

            cr_assert(fabs(dot - (i == j)) <= 1e-12,
                      "%s: basis vectors %zu "
                      "and %zu: product %g",
                      what, i, j, dot);
            cr_assert(fabs(t - eig.t[i][j]) <= 1e-10,
                      "%s: t[%zu][%zu] is "
                      "%g, not %g",
                      what, i, j, eig.t[i][j], t);
        }
    }
}

/* Room for all pairs; the operators are of float64. */
static void eig_begin(size_t p, operator_fn *apply, size_t wanted)
{
    if (!krylov.basis) {
        config.deriv = EOS_F64;
        config.neigs = EIG_MAX;
        eig_room(P_MAX);
    }
    eig_start(p, apply, here, wanted);
}

static void block_solve(size_t p, operator_fn *apply, size_t wanted, double tol)
{
    products = 0;
    eig_begin(p, apply, wanted);
    eig_iterate(wanted, tol);
}

/* Power iteration's guesses are the first vectors of the basis. */
static void power_solve(size_t p, operator_fn *apply, size_t wanted, double tol)
{
    size_t i;

    products = 0;
    eig_begin(p, apply, wanted);
    for (i = 0; i < wanted; i++)
        eig_random(eig_basis(i));
    eig_power(wanted, tol);
}

/* An eigenvalue is nearer than |S| tol (residual): by its square over the
 * gap, unless there is none. */
static void values_are(const char *what, const double *spectrum, size_t wanted,
                       double tolerance)
{
    size_t i;

    for (i = 0; i < wanted; i++)
        cr_assert(fabs(eig.value[i] - spectrum[i]) <=
                      tolerance * fabs(spectrum[i]),
                  "%s, %zu wanted: eigenvalue "
                  "%zu is %.15g, not %.15g, after %zu products",
                  what, wanted, i, eig.value[i], spectrum[i], products);
}

/* --- The little matrix --- */

static void jacobi_matches(size_t m, double a[BASIS][BASIS], double *value)
{
    double copy[BASIS][BASIS], y[BASIS][BASIS], sum, trace = 0, size = 0;
    double values = 0, squares = 0;
    size_t i, j, k;

    memcpy(copy, a, sizeof copy);
    jacobi(m, copy, value, y);
    for (i = 0; i < m; i++) {
        trace += a[i][i];
        values += value[i];
        squares += value[i] * value[i];
        for (j = 0; j < m; j++)
            size += a[i][j] * a[i][j];
    }
    for (i = 0; i < m; i++) {
        cr_assert(i == 0 || value[i] <= value[i - 1],
                  "m = %zu: value %zu is "
                  "out of order",
                  m, i);
        for (j = 0; j < m; j++) {
            for (sum = 0, k = 0; k < m; k++)
                sum += a[j][k] * y[i][k];
            cr_assert(fabs(sum - value[i] * y[i][j]) <=
                          1e-14 * (double)m * sqrt(size),
                      "m = %zu: A y - value "
                      "y, vector %zu, element %zu: %g",
                      m, i, j, sum - value[i] * y[i][j]);
            for (sum = 0, k = 0; k < m; k++)
                sum += y[j][k] * y[i][k];
            cr_assert(fabs(sum - (i == j)) <= 1e-14 * (double)m,
                      "m = %zu: "
                      "vectors %zu and %zu: product %g",
                      m, i, j, sum);
        }
    }
    cr_assert(fabs(trace - values) <= 1e-14 * (double)m * sqrt(size) &&
                  fabs(size - squares) <= 1e-14 * (double)m * size,
              "m = %zu: trace %g %g, squares %g %g", m, trace, values, size,
              squares);
}

Test(jacobi, random_matrices_of_every_size)
{
    double a[BASIS][BASIS] = {{0}}, value[BASIS];
    uint64_t rng = 1;
    size_t m, i, j, time;

    for (m = 1; m <= BASIS; m++)
        for (time = 0; time < 10; time++) {
            for (i = 0; i < m; i++)
                for (j = 0; j <= i; j++)
                    a[i][j] = a[j][i] = rng_sign_unit(&rng) *
                                        (time % 2 ? pow(10, (double)j) : 1);
            jacobi_matches(m, a, value);
        }
}

Test(jacobi, matrices_with_known_eigenvalues)
{
    const double pi = acos(-1);
    double a[BASIS][BASIS] = {{0}}, value[BASIS];
    size_t i, m = 12;

    for (i = 0; i < m; i++) { /* 2, -1 beside the diagonal         */
        a[i][i] = 2;
        if (i)
            a[i][i - 1] = a[i - 1][i] = -1;
    }
    jacobi_matches(m, a, value);
    for (i = 0; i < m; i++) {
        double exact = 2 + 2 * cos(pi * (double)(i + 1) / (double)(m + 1));

        cr_assert(fabs(value[i] - exact) <= 1e-14,
                  "value %zu: %.17g, not "
                  "%.17g",
                  i, value[i], exact);
    }
    memset(a, 0, sizeof a);
    for (i = 0; i < m; i++) /* diagonal, with equal ones         */
        a[i][i] = (double)(i % 3) - 1;
    jacobi_matches(m, a, value);
    cr_assert(value[0] == 1 && value[11] == -1, "%g .. %g", value[0],
              value[11]);
    memset(a, 0, sizeof a);
    jacobi_matches(m, a, value);
    a[0][1] = a[1][0] = 3;
    jacobi_matches(2, a, value);
    cr_assert(fabs(value[0] - 3) <= 1e-15 && fabs(value[1] + 3) <= 1e-15,
              "%g %g", value[0], value[1]);
}

/* --- Spectra --- */

enum spectrum { SPREAD, OUTLIERS, BELOW, CLUSTER, DOUBLED, NEGATIVE, SPECTRA };
static const char *const spectrum_name[] = {
    "evenly spread",   "outliers above a bulk", "largest magnitude below zero",
    "a close cluster", "double eigenvalues",    "all negative",
};

/* The spectrum in `sorted`, largest first, and shuffled on the diagonal. */
static double sorted[P];

static void draw_spectrum(enum spectrum kind)
{
    uint64_t rng = 17;
    size_t i, j;

    for (i = 0; i < P; i++) {
        double x = (double)i / P, bulk = uniform(&rng, -0.5, 1);
        double top = 10 - (double)i;

        switch (kind) {
        case SPREAD:
            sorted[i] = 10 - 11 * x;
            break;
        case OUTLIERS:
            sorted[i] = i < 10 ? 1.5 + top : bulk;
            break;
        case BELOW:
            sorted[i] = i < 10 ? 1.5 + top : i < 13 ? -30 - (double)i : bulk;
            break;
        case CLUSTER:
            sorted[i] = i < 10 ? 10 - 0.01 * (double)i : bulk;
            break;
        case DOUBLED:
            sorted[i] = i < 10 ? 2 + (double)(5 - i / 2) : bulk;
            break;
        default:
            sorted[i] = -1 - 20 * x;
            break;
        }
    }
    qsort(sorted, P, sizeof *sorted, descending);
    memcpy(diagonal, sorted, sizeof sorted);
    for (i = P; i-- > 1;) {
        double d = diagonal[i];

        j = whole_number(&rng, 0, i);
        diagonal[i] = diagonal[j];
        diagonal[j] = d;
    }
}

static char noted[200]; /* products for 1, 2, .. pairs               */

static void note_products(size_t wanted)
{
    size_t used = wanted == 1 ? 0 : strlen(noted);

    snprintf(noted + used, sizeof noted - used, " %zu", products);
}

static void block_finds(enum spectrum kind)
{
    size_t wanted;

    draw_spectrum(kind);
    for (wanted = 1; wanted <= EIG_MAX; wanted++) {
        block_solve(P, apply_diagonal, wanted, 1e-8);
        note_products(wanted);
        cr_assert(products <= 700, "%s, %zu wanted: %zu products",
                  spectrum_name[kind], wanted, products);
        values_are(spectrum_name[kind], sorted, wanted, 1e-12);
        pairs_are_what_they_say(spectrum_name[kind], wanted, 1e-8);
        basis_is_consistent(spectrum_name[kind]);
    }
    printf("products, %s:%s\n", spectrum_name[kind], noted);
}

Test(block, evenly_spread)
{
    block_finds(SPREAD);
}
Test(block, outliers)
{
    block_finds(OUTLIERS);
}
Test(block, largest_magnitude_below_zero)
{
    block_finds(BELOW);
}
Test(block, close_cluster)
{
    block_finds(CLUSTER);
}
Test(block, double_eigenvalues)
{
    block_finds(DOUBLED);
}
Test(block, all_negative)
{
    block_finds(NEGATIVE);
}

/* Later pairs are kept from the tolerance by the errors of those that are
 * projected out: hence 1e-6 for 1e-7. */
static void power_finds(enum spectrum kind, size_t most)
{
    size_t wanted;

    draw_spectrum(kind);
    for (wanted = 1; wanted <= most; wanted++) {
        power_solve(P, apply_diagonal, wanted, 1e-7);
        note_products(wanted);
        values_are(spectrum_name[kind], sorted, wanted, 1e-10);
        pairs_are_what_they_say(spectrum_name[kind], wanted, 1e-6);
    }
    printf("products of power iteration, %s:%s\n", spectrum_name[kind], noted);
}

Test(power, outliers)
{
    power_finds(OUTLIERS, EIG_MAX);
}
Test(power, largest_magnitude_below_zero)
{
    power_finds(BELOW, EIG_MAX);
}
Test(power, double_eigenvalues)
{
    power_finds(DOUBLED, 4);
}
Test(power, all_negative)
{
    power_finds(NEGATIVE, 1);
}

/* --- Matrices --- */

static void draw_dense(uint64_t seed, size_t n)
{
    size_t i, j;

    dense_n = n;
    for (i = 0; i < n; i++)
        for (j = 0; j <= i; j++)
            dense[i][j] = dense[j][i] = rng_sign_unit(&seed);
}

Test(block, random_matrices_against_a_dense_solver)
{
    uint64_t seed;
    char what[40];

    for (seed = 1; seed <= 12; seed++) {
        size_t wanted = 1 + seed % EIG_MAX;

        snprintf(what, sizeof what, "60 x 60, seed %" PRIu64, seed);
        draw_dense(seed, 60);
        solve_dense();
        block_solve(60, apply_dense, wanted, 1e-9);
        values_are(what, dense_value, wanted, 1e-12);
        pairs_are_what_they_say(what, wanted, 1e-9);
        basis_is_consistent(what);
    }
}

/* As few dimensions as pairs, or hardly more. */
Test(block, tiny_matrices)
{
    char what[40];
    size_t n, wanted;

    for (n = 2; n <= 12; n++)
        for (wanted = 1; wanted <= size_min(n, EIG_MAX); wanted++) {
            snprintf(what, sizeof what, "%zu x %zu", n, n);
            draw_dense(n, n);
            solve_dense();
            block_solve(n, apply_dense, wanted, 1e-9);
            values_are(what, dense_value, wanted, 1e-12);
            pairs_are_what_they_say(what, wanted, 1e-9);
        }
}

/* --- Guesses --- */

static double nearby[P], second[P];

/* The unit vector of the k-th largest eigenvalue. */
static void exact_vector(size_t k, double *x)
{
    size_t i;

    for (i = 0; i < P; i++)
        x[i] = diagonal[i] == sorted[k];
}

Test(guesses, an_exact_vector_costs_one_product)
{
    size_t i;

    draw_spectrum(OUTLIERS);
    exact_vector(0, nearby);
    products = 0;
    eig_begin(P, apply_diagonal, 1);
    cr_assert(eig_append(nearby), "the guess was not taken");
    eig_iterate(1, 1e-8);
    cr_assert(products == 1, "%zu products", products);
    values_are("exact guess", sorted, 1, 1e-15);
    for (i = 0; i < P; i++) /* a little off: still good enough   */
        nearby[i] += 1e-12 * sin((double)i);
    products = 0;
    eig_begin(P, apply_diagonal, 1);
    eig_append(nearby);
    eig_iterate(1, 1e-8);
    cr_assert(products == 1, "%zu products", products);
    exact_vector(1, second);
    products = 0;
    eig_begin(P, apply_diagonal, 2);
    eig_append(second);
    eig_append(nearby);
    eig_iterate(2, 1e-8);
    cr_assert(products == 2, "%zu products for two pairs", products);
    values_are("two exact guesses", sorted, 2, 1e-14);
}

Test(guesses, a_near_vector_costs_less_than_none)
{
    size_t i, cold;

    draw_spectrum(SPREAD);
    block_solve(P, apply_diagonal, 1, 1e-6);
    cold = products;
    exact_vector(0, nearby);
    for (i = 0; i < P; i++)
        nearby[i] += 1e-4 * sin((double)i);
    products = 0;
    eig_begin(P, apply_diagonal, 1);
    eig_append(nearby);
    eig_iterate(1, 1e-6);
    printf("products: %zu from a near vector, %zu from none\n", products, cold);
    cr_assert(2 * products < cold, "%zu from a near vector, %zu from none",
              products, cold);
    values_are("near guess", sorted, 1, 1e-10);
}

/* The true top vector is orthogonal to the guess, which is itself exact: one
 * that iterated on the guess alone would stay there.  The second pair, from
 * a random vector, finds it and takes its place. */
Test(guesses, an_eigenvalue_overtakes_from_outside)
{
    size_t kind;

    for (kind = SPREAD; kind <= BELOW; kind++) {
        draw_spectrum((enum spectrum)kind);
        exact_vector(1, nearby);
        products = 0;
        eig_begin(P, apply_diagonal, 2);
        eig_append(nearby);
        eig_iterate(2, 1e-7);
        values_are("overtaken guess", sorted, 2, 1e-10);
        pairs_are_what_they_say("overtaken guess", 2, 1e-7);
    }
}

/* Also where the guess could not be brought to the tolerance and was left. */
Test(guesses, an_eigenvalue_overtakes_one_that_stalled)
{
    size_t kind;

    for (kind = SPREAD; kind <= BELOW; kind++) {
        draw_spectrum((enum spectrum)kind);
        exact_vector(1, nearby);
        products = 0;
        eig_begin(P, apply_rounded, 2);
        eig_append(nearby);
        eig_iterate(2, 1e-13);
        values_are("stalled guess", sorted, 2, 1e-6);
        cr_assert(eig.resid[0] <= 1e-5, "%s: residual %g", spectrum_name[kind],
                  eig.resid[0]);
    }
}

/* Also where the guesses are the exact second and third. */
Test(guesses, a_random_vector_finds_what_both_guesses_lack)
{
    draw_spectrum(OUTLIERS);
    exact_vector(1, nearby);
    exact_vector(2, second);
    eig_begin(P, apply_diagonal, 3);
    eig_append(nearby);
    eig_append(second);
    eig_random(image);
    eig_append(image);
    eig_iterate(3, 1e-7);
    values_are("random vector", sorted, 3, 1e-10);
}

Test(guesses, what_the_basis_holds_is_not_taken_again)
{
    size_t i;

    draw_spectrum(OUTLIERS);
    random_vector(1, P, nearby);
    random_vector(2, P, second);
    products = 0;
    eig_begin(P, apply_diagonal, 2);
    cr_assert(eig_append(nearby) && eig_append(second), "two good vectors");
    for (i = 0; i < P; i++)
        image[i] = 3 * nearby[i] - 2 * second[i];
    cr_assert(!eig_append(image), "a combination of them was taken");
    cr_assert(!eig_append(nearby), "the same vector was taken again");
    memset(image, 0, P * sizeof *image);
    cr_assert(!eig_append(image), "zero was taken");
    image[7] = NAN;
    cr_assert(!eig_append(image), "NaN was taken");
    cr_assert(eig.m == 2 && products == 2, "%zu vectors, %zu products", eig.m,
              products);
    basis_is_consistent("after bad guesses");
}

Test(guesses, power_starts_from_its_guess)
{
    draw_spectrum(OUTLIERS);
    products = 0;
    eig_begin(P, apply_diagonal, 1);
    exact_vector(0, eig_basis(0));
    eig_power(1, 1e-8);
    cr_assert(products == 1, "%zu products", products);
    values_are("exact guess", sorted, 1, 1e-15);
}

/* A guess that is the exact second vector keeps power iteration there; the
 * second pair is then the top one, and must come first. */
Test(guesses, power_orders_its_pairs)
{
    draw_spectrum(OUTLIERS);
    eig_begin(P, apply_diagonal, 3);
    exact_vector(1, eig_basis(0));
    eig_random(eig_basis(1));
    eig_random(eig_basis(2));
    eig_power(3, 1e-7);
    values_are("second vector as a guess", sorted, 3, 1e-10);
    pairs_are_what_they_say("second vector as a guess", 3, 1e-6);
}

/* What is left of a guess that the basis nearly holds is small, and must be
 * orthogonal all the same. */
Test(guesses, nearly_held_are_orthogonal_to_the_basis)
{
    static double noise[P_MAX];
    size_t i;

    draw_spectrum(OUTLIERS);
    eig_begin(P, apply_diagonal, 1);
    random_vector(3, P, nearby);
    random_vector(4, P, noise);
    eig_append(nearby);
    for (i = 0; i < P; i++)
        nearby[i] += 1e-8 * noise[i];
    cr_assert(eig_append(nearby), "not taken");
    cr_assert(fabs(plain_dot(P, eig_basis(0), eig_basis(1))) < 1e-14,
              "a product of %g", plain_dot(P, eig_basis(0), eig_basis(1)));
}

/* --- The outliers that are known --- */

/* A solve for `wanted` pairs of a spectrum like that of a network of eight
 * classes, from a vector that is off by 5 %, and its products. */
static size_t solve_of_eight_classes(size_t wanted)
{
    static const double top[8] = {1, 0.98, 0.97, 0.8, 0.75, 0.6, 0.55, 0.5};
    static double x[P_MAX];
    size_t i;

    random_vector(3, P, x);
    for (i = 0; i < P; i++) {
        diagonal[i] = i < 8 ? top[i] : 0.1 - 0.2 * (double)i / P;
        x[i] = 0.05 / sqrt(P) * x[i] + (i == 0);
    }
    products = 0;
    eig_begin(P, apply_diagonal, wanted);
    eig_append(x);
    eig_iterate(wanted, 1e-6);
    pairs_are_what_they_say("eight classes", wanted, 1e-6);
    values_are("eight classes", diagonal, wanted, 1e-9);
    return products;
}

/* Known ones: e_j and noise of this share, their eigenvalues times a factor. */
static void outliers_are(double noise, double factor)
{
    static double x[P_MAX];
    size_t i, j;

    for (j = 0; j < EIG_MAX; j++) {
        random_vector(20 + j, P, x);
        for (i = 0; i < P; i++)
            x[i] = noise / sqrt(P) * x[i] + (i == j);
        vec_scale(P, x, 1 / plain_norm(P, x), x);
        vecs_write(P, outliers.u, j, x);
        outliers.value[j] = factor * diagonal[j];
    }
    outliers.known = EIG_MAX;
}

Test(outliers, halve_the_products)
{
    size_t without = solve_of_eight_classes(1), with;

    outliers_are(0.02, 0.99);
    with = solve_of_eight_classes(1);
    printf("products: %zu without known outliers, %zu with\n", without, with);
    cr_assert(2 * with <= without, "%zu products without, %zu with", without,
              with);
    with = solve_of_eight_classes(3);
    outliers.known = 0;
    without = solve_of_eight_classes(3);
    cr_assert(with < without, "three: %zu products without, %zu with", without,
              with);
}

/* Whatever is known: the pairs are those of the operator. */
Test(outliers, wrong_ones_cost_products_alone)
{
    static const double noise[] = {0.3, 3, 1e3}, factor[] = {0.5, 1, 1.1, 4};
    size_t i, j, wanted;

    solve_of_eight_classes(1);
    for (i = 0; i < sizeof noise / sizeof *noise; i++)
        for (j = 0; j < sizeof factor / sizeof *factor; j++)
            for (wanted = 1; wanted <= 4; wanted += 3) {
                outliers_are(noise[i], factor[j]);
                solve_of_eight_classes(wanted);
            }
    outliers_are(0, NAN);
    solve_of_eight_classes(1);
}

/* What a thorough search leaves: the leading pairs, to a tenth at least, by
 * products of their own and by a search for all of them. */
Test(outliers, a_thorough_search_leaves_them)
{
    static double x[P_MAX], y[P_MAX];
    double found[EIG_MAX], value[EIG_MAX], off;
    struct eos_config c = eos_defaults();
    size_t i, k, known;

    c.samples = 40;
    c.loss = EOS_CE;
    c.deriv = EOS_F64;
    c.neigs = EIG_MAX;
    c.tol = 1e-6;
    cr_assert(eos_start(&c) == EOS_DONE, "%s", eos_error());
    eos_init(0, path.gd);
    sharpness(point_at(path.gd), &warm.pg, 2, true, x);
    known = outliers.known;
    cr_assert(known > 3 && outliers.dagger, "%zu known", known);
    memcpy(found, outliers.value, sizeof found);
    for (i = 0; i < known; i++) {
        vecs_read(net.params, x, outliers.u, i);
        eos_hessian(path.gd, x, y);
        for (off = 0, k = 0; k < net.params; k++)
            off += pow(y[k] - found[i] * x[k], 2);
        cr_assert(sqrt(off) <= 0.1001 * found[i], "outlier %zu: residual %g", i,
                  sqrt(off) / found[i]);
        off = plain_dot(net.params, x, x);
        cr_assert(fabs(off - 1) < 1e-6, "outlier %zu: length %g", i, off);
    }
    eos_sharpness(path.gd, EIG_MAX, value, x);
    for (i = 0; i < known; i++)
        cr_assert(fabs(found[i] / value[i] - 1) <= 0.1, "%zu: %g, not %g", i,
                  found[i], value[i]);
}

/* --- Pairs that a residual does not show to be missed --- */

/* A solve for all copies from exact vectors of these places of the spectrum:
 * each has a residual of zero at once. */
static void all_solve(size_t wanted, const size_t *places, double tol)
{
    size_t i;

    products = 0;
    eig_begin(P, apply_diagonal, wanted);
    for (i = 0; i < wanted; i++) {
        exact_vector(places[i], nearby);
        cr_assert(eig_append(nearby), "place %zu", places[i]);
    }
    eig_solve(wanted, tol, true);
}

/* Ten times 2, of which one is known; those below, which are known, are far
 * from each other. */
Test(missed, copies_join_the_pairs)
{
    static const size_t places[] = {0, 10, 11, 12, 13, 14, 15, 16};
    size_t wanted, i;

    for (i = 0; i < P; i++)
        sorted[i] = i < 10   ? 2
                    : i < 20 ? 1.5 - 0.05 * (double)(i - 10)
                             : 0.9 - 1.4 * (double)i / P;
    memcpy(diagonal, sorted, sizeof sorted);
    for (wanted = 2; wanted <= EIG_MAX; wanted++) {
        all_solve(wanted, places, 1e-8);
        cr_assert(products <= 700, "%zu wanted: %zu products", wanted,
                  products);
        values_are("copies", sorted, wanted, 1e-12);
        basis_is_consistent("copies");
    }
}

/* One eigenvalue some 5 % above the known one, from forty random vectors.  In
 * an evenly spread spectrum the estimate of the steps that it takes is too low
 * now and then. */
Test(missed, one_that_hardly_stands_out_is_found)
{
    const size_t places[] = {1};
    size_t i, seed, lost = 0;

    for (seed = 0; seed < 40; seed++) {
        draw_spectrum(SPREAD);
        for (i = 0; i < P; i++)
            diagonal[i] += diagonal[i] == sorted[0] ? 0.5 : 0;
        sorted[0] += 0.5;
        eig.rng = seed;
        all_solve(1, places, 1e-6);
        lost += !(fabs(eig.value[0] / sorted[0] - 1) < 1e-8);
    }
    cr_assert(lost <= 4, "not found from %zu of 40", lost);
}

/* As few dimensions as pairs, or hardly more: nothing is missed there. */
Test(missed, ends_where_there_is_no_room)
{
    size_t n, wanted;

    for (n = 2; n <= 12; n++)
        for (wanted = 1; wanted <= size_min(n, EIG_MAX); wanted++) {
            draw_dense(n, n);
            solve_dense();
            eig_begin(n, apply_dense, wanted);
            eig_solve(wanted, 1e-9, true);
            values_are("tiny", dense_value, wanted, 1e-12);
        }
}

/* --- Guesses along a trajectory ---
 *
 * With theta itself in u's place the best guess is theta. */

static struct warm known;
static double spot[P_MAX], sketch[SKETCH];

static void go(const double x, const double y, const double z)
{
    static double to[3][P_MAX];
    size_t i;

    net.params = P;
    if (!known.u.f32)
        known.u = room_kept(P, HISTORY, true);
    for (i = 0; i < 3; i++)
        random_vector(40 + i, P, to[i]);
    for (i = 0; i < P; i++)
        spot[i] = 10 + x * to[0][i] + y * to[1][i] + z * to[2][i];
    sketch_of(spot, sketch);
}

/* How far the guess is off, over how far the nearest known point is. */
static double guess_misses(void)
{
    double nearest = INFINITY, missed = 0;
    size_t i, j;

    cr_assert(warm_guess(&known, sketch, image), "no guess");
    for (j = 0; j < known.known; j++) {
        double d = 0;

        for (i = 0; i < P; i++)
            d += pow(spot[i] - (double)known.u.f32[j * vec_stride(P) + i], 2);
        nearest = fmin(nearest, sqrt(d));
    }
    for (i = 0; i < P; i++)
        missed += pow(spot[i] - image[i], 2);
    return sqrt(missed) / nearest;
}

static void guess_is_good(const char *what)
{
    double misses = guess_misses();

    cr_assert(misses < 0.05, "%s: the guess misses by %g of the way", what,
              misses);
    warm_store(&known, sketch, spot);
}

Test(trajectories, a_straight_path_is_extrapolated)
{
    size_t t;

    for (t = 0; t < 8; t++) {
        go((double)t, 0, 0);
        if (t < 2)
            warm_store(&known, sketch, spot);
        else
            guess_is_good("straight path");
    }
    cr_assert(known.known == HISTORY, "%zu known", known.known);
    warm_guess(&known, sketch, image);
    for (t = 0; t < P; t++)
        cr_assert(fabs(image[t] - spot[t]) < 1e-5,
                  "known point: %.9g, not %.9g", image[t], spot[t]);
}

/* Gradient descent at the edge: to and fro along y, slowly on along x. */
Test(trajectories, period_two_is_found)
{
    size_t t;

    for (t = 0; t < 8; t++) {
        go(0.1 * (double)t, t % 2 ? 1 : -1, 0);
        if (t < 3)
            warm_store(&known, sketch, spot);
        else
            guess_is_good("period two");
    }
}

/* Checks of the approach come nearer and nearer to each other, along a curve:
 * each is kept, or the guess would forever be made of the last one and one far
 * behind. */
Test(trajectories, shorter_steps_are_kept_too)
{
    size_t t;

    for (t = 0; t < 8; t++) {
        double s = t ? 100 + (double)t : 0;

        go(s, 50 * sin(0.05 * s), 0);
        if (t > 3)
            guess_is_good("shorter steps");
        else
            warm_store(&known, sketch, spot);
    }
}

/* A step along x and z, then rounds that take the z back: the last one is
 * kept in the place of those before it. */
Test(trajectories, a_projection_goes_the_way_of_the_last)
{
    static const double left[] = {1, 0.04, 1e-4, 1e-8};
    double misses;
    size_t t, i;

    known.dagger = true;
    for (t = 0; t < 6; t++)
        for (i = 0; i < 4; i++) {
            go(3 * (double)t, 0, left[i]);
            misses = t < 2 ? 0 : guess_misses();
            cr_assert(misses < (i < 2 ? 0.1 : 1.1),
                      "round %zu: the guess misses by %g of the way", i,
                      misses);
            warm_store(&known, sketch, spot);
            if (i > 1)
                cr_assert(
                    !memcmp(known.at[known.newest], sketch, sizeof sketch) &&
                        vecs_from(known.u, P, known.newest).f32[0] ==
                            (float)spot[0],
                    "round %zu is not the newest", i);
        }
    go(3 * 5, 0, 1);
    for (i = 0, t = 0; i < HISTORY; i++) /* P0 of the last step is there */
        t += sketch_product(sketch, known.at[i], known.at[i]) < 1e-9;
    cr_assert(t == 1, "the step before the projection is kept %zu times", t);
}

/* Inner products of sketches are nearly those of the vectors. */
Test(trajectories, sketches_keep_lengths)
{
    static double a[SKETCH], b[P_MAX];
    double d = 0;
    size_t i;

    go(1, 2, 3);
    memcpy(a, sketch, sizeof a);
    memcpy(b, spot, sizeof b);
    go(2, 0, 3.5);
    for (i = 0; i < P; i++)
        d += pow(spot[i] - b[i], 2);
    cr_assert(fabs(sketch_product(sketch, a, a) / d - 1) < 0.5,
              "squared length %g, not %g", sketch_product(sketch, a, a), d);
    go(1, 2, 3);
    cr_assert(sketch_product(sketch, a, a) == 0, "not the same sketch");
}

/* --- Where there is no exact answer --- */

/* Rounded products: the residual cannot fall below some 1e-7.  The solver
 * must notice, end, and report what it has. */
Test(floor, of_the_residual_ends_the_iteration)
{
    draw_spectrum(OUTLIERS);
    block_solve(P, apply_rounded, 2, 1e-13);
    cr_assert(products < 300, "%zu products", products);
    cr_assert(eig.resid[0] <= 1e-5 && eig.resid[0] > 1e-13, "residual %g",
              eig.resid[0]);
    values_are("rounded products", sorted, 2, 1e-6);
    power_solve(P, apply_rounded, 1, 1e-13);
    cr_assert(products < 2000, "%zu products", products);
    cr_assert(eig.resid[0] <= 1e-5, "residual %g", eig.resid[0]);
    values_are("rounded products", sorted, 1, 1e-6);
}

Test(floor, nan_ends_the_iteration)
{
    draw_spectrum(OUTLIERS);
    block_solve(P, apply_nan, 2, 1e-8);
    cr_assert(products < 100, "%zu products", products);
    cr_assert(!(eig.resid[0] <= 1e-8), "residual %g", eig.resid[0]);
    power_solve(P, apply_nan, 1, 1e-8);
    cr_assert(products < 100, "%zu products", products);
    cr_assert(!(eig.resid[0] <= 1e-8), "residual %g", eig.resid[0]);
}

/* --- A network --- */

/* 40 parameters of each layer, far apart from each other. */
static void choose_part(void)
{
    size_t l, i;

    dense_n = DENSE;
    for (l = 0; l < LAYERS; l++)
        for (i = 0; i < DENSE / LAYERS; i++)
            chosen[l * (DENSE / LAYERS) + i] =
                weighted(l)->theta +
                i * (weighted(l)->in * weighted(l)->c) / (DENSE / LAYERS);
}

static void part_of_the_hessian_agrees(enum eos_model model, enum eos_loss loss)
{
    double unit[DENSE] = {0}, column[DENSE];
    size_t i, j;

    set_up(model, loss, 20, 3);
    choose_part();
    for (i = 0; i < DENSE; i++) {
        unit[i] = 1;
        apply_part(here, unit, column);
        for (j = 0; j < DENSE; j++)
            dense[j][i] = column[j];
        unit[i] = 0;
    }
    for (i = 0; i < DENSE; i++)
        for (j = 0; j < i; j++)
            cr_assert(fabs(dense[i][j] - dense[j][i]) <= 1e-15,
                      "%s: element "
                      "(%zu, %zu) is %g, its mirror image %g",
                      model_names[model], i, j, dense[i][j], dense[j][i]);
    solve_dense();
    block_solve(DENSE, apply_part, 4, 1e-9);
    values_are(model_names[model], dense_value, 4, 1e-11);
    pairs_are_what_they_say(model_names[model], 4, 1e-9);
}

Test(network, part_of_an_mlp_s_hessian_against_a_dense_solver)
{
    part_of_the_hessian_agrees(EOS_MLP, EOS_MSE);
}

Test(network, part_of_a_cnn_s_hessian_against_a_dense_solver)
{
    part_of_the_hessian_agrees(EOS_CNN, EOS_CE);
}

/* The whole Hessian: both solvers agree, and no direction has more curvature
 * than the first, nor any orthogonal to it more than the second. */
static void whole_hessian(enum eos_model model, enum eos_loss loss)
{
    double s[2], curve, dot;
    uint64_t seed;
    size_t i;

    set_up(model, loss, 20, 5); /* lambda2 / S is 0.70 and 0.78 */
    block_solve(net.params, hessian, 2, 1e-9);
    pairs_are_what_they_say(model_names[model], 2, 1e-9);
    memcpy(s, eig.value, sizeof s);
    for (seed = 1; seed <= 10; seed++) {
        random_vector(seed, net.params, full_x);
        for (i = 0; i < 2; i++) {
            hessian(here, full_x,
                    full_y); /* one step towards the top          */
            dot = plain_dot(net.params, full_y, vector[0]);
            vec_add(net.params, full_x, full_y, i ? -dot : 0, vector[0]);
            hessian(here, full_x, full_y);
            curve = plain_dot(net.params, full_x, full_y) /
                    plain_dot(net.params, full_x, full_x);
            cr_assert(curve <= s[i] * (1 + 1e-12),
                      "%s, seed %" PRIu64
                      ": curvature %g above eigenvalue %zu, %g",
                      model_names[model], seed, curve, i + 1, s[i]);
        }
    }
    power_solve(net.params, hessian, 1, 1e-4);
    cr_assert(fabs(eig.value[0] - s[0]) <= 1e-6 * s[0],
              "%s: power iteration finds %.12g, the block solver %.12g",
              model_names[model], eig.value[0], s[0]);
}

Test(network, whole_hessian_of_an_mlp)
{
    whole_hessian(EOS_MLP, EOS_BMSE);
}
Test(network, whole_hessian_of_a_cnn)
{
    whole_hessian(EOS_CNN, EOS_MSE);
}

/* float32 products: the residual has a floor, S is good to about 1e-6. */
Test(network, float32_products_give_the_same_sharpness)
{
    double s;

    set_up(EOS_CNN, EOS_CE, 20, 5);
    block_solve(net.params, hessian, 2, 1e-9);
    s = eig.value[0];
    config.deriv = EOS_F32;
    products = hvps;
    eig_start(net.params, hessian, here, 2);
    eig_iterate(2, 1e-9);
    products = hvps - products;
    printf("float32: S off by %.2g, residual %.2g, %zu products\n",
           fabs(eig.value[0] / s - 1), eig.resid[0], products);
    cr_assert(fabs(eig.value[0] - s) <= 1e-5 * s, "%.12g, not %.12g",
              eig.value[0], s);
    cr_assert(eig.resid[0] <= 1e-5, "residual %g", eig.resid[0]);
}

Test(network, same_bits_for_1_and_2_threads)
{
    static double first[P_MAX];
    double s;
    size_t at;

    set_up(EOS_CNN, EOS_MSE, 20, 6);
    block_solve(net.params, hessian, 2, 1e-6);
    s = eig.value[1];
    eig_vector(1, first);
    eig.rng = 0; /* as at the start                   */
    pool_start(2);
    block_solve(net.params, hessian, 2, 1e-6);
    eig_vector(1, image);
    at = first_difference(net.params, first, image);
    cr_assert(at == net.params && s == eig.value[1],
              "element %zu: %a with 1 "
              "thread, %a with 2",
              at, first[at], image[at]);
}
