/*
 * Section 2: threads, log(1 + y), the random generator, sums over vectors.
 */
#include "common.h"

/* --- Threads --- */

enum { TASKS_MAX = 3000 };
static atomic_int task_runs[TASKS_MAX];
static atomic_int strange_worker;

static void count_task(size_t worker, size_t task, const void *work)
{
    (void)work;
    atomic_fetch_add(&task_runs[task], 1);
    if (worker >= pool.workers)
        atomic_store(&strange_worker, 1);
}

static void run_each_task_once(size_t tasks, int times)
{
    size_t i;
    int round;

    for (i = 0; i < TASKS_MAX; i++)
        atomic_store(&task_runs[i], 0);
    for (round = 0; round < times; round++)
        parallel(tasks, count_task, NULL);
    for (i = 0; i < TASKS_MAX; i++)
        cr_assert(task_runs[i] == (i < tasks ? times : 0),
                  "%zu workers, %zu tasks, %d times: task %zu ran %d times",
                  pool.workers, tasks, times, i, (int)task_runs[i]);
    cr_assert(!strange_worker, "a worker's number is out of range");
}

static void run_tasks_on(size_t threads)
{
    static const size_t tasks[] = {0, 1, 2, 3, 64, 1000, TASKS_MAX};
    size_t i;

    pool_start(threads);
    threads = size_min(threads, THREADS); /* 4 where pointers have 32 bits */
    cr_assert(pool.workers == threads, "%zu workers, not %zu", pool.workers,
              threads);
    for (i = 0; i < sizeof tasks / sizeof *tasks; i++)
        run_each_task_once(tasks[i], 1);
    run_each_task_once(3, 5000); /* many rounds, little in each       */
}

Test(threads, one_worker_runs_each_task_once)
{
    run_tasks_on(1);
}
Test(threads, two_workers_run_each_task_once)
{
    run_tasks_on(2);
}
Test(threads, more_workers_than_processors)
{
    run_tasks_on(9);
}

Test(threads, no_more_than_workers_are_started)
{
    pool_start(10000);
    cr_assert(pool.workers <= THREADS, "%zu workers", pool.workers);
    run_each_task_once(1000, 3);
}

/* --- log(1 + y) --- */

/* |found - exact| in units of the last place of a float64. */
static double ulps(double found, long double exact)
{
    int e;

    (void)frexpl(exact, &e);
    return (double)(fabsl(found - exact) /
                    ldexpl(1, (e < -1021 ? -1021 : e) - DBL_MANT_DIG));
}

/* Measured: 2.43 ulp a little above 0.4, where 1 + y is rounded. */
Test(log1p_pos, stays_within_2_5_ulp)
{
    const double limit = LDBL_MANT_DIG > DBL_MANT_DIG ? 2.5 : 3;
    uint64_t rng = 1;
    double worst = 0, at = 0;
    int i;

    for (i = 0; i < 1000000; i++) {
        double y = i % 2 ? uniform(&rng, 0, 3) /* what the losses feed it   */
                         : pow(2, uniform(&rng, -1074, 1023.9));
        double error = ulps(log1p_pos(y), log1pl(y));

        if (!(error <= worst)) {
            worst = error;
            at = y;
        }
        cr_assert(error <= limit, "y = %a: found %a, expected %La", y,
                  log1p_pos(y), log1pl(y));
    }
    printf("log1p_pos: at most %.3f ulp, at %a\n", worst, at);
}

Test(log1p_pos, special_values)
{
    static const double edge[] = {
        0x1p-1074,
        0x1p-1022,
        0x1p-53,
        0.4,
        0x1.999999999999bp-2,
        0x1.6a09e667f3bcdp-1,
        1,
        9,
        0x1.fffffffffffffp1023,
    };
    size_t i;

    cr_assert(log1p_pos(0) == 0, "log(1) is %a", log1p_pos(0));
    cr_assert(log1p_pos(INFINITY) == INFINITY, "found %a", log1p_pos(INFINITY));
    cr_assert(isnan(log1p_pos(NAN)), "found %a", log1p_pos(NAN));
    for (i = 0; i < sizeof edge / sizeof *edge; i++)
        cr_assert(ulps(log1p_pos(edge[i]), log1pl(edge[i])) <= 2,
                  "y = %a: found %a, expected %La", edge[i], log1p_pos(edge[i]),
                  log1pl(edge[i]));
}

/* --- The generator and the hash --- */

Test(rng, gives_the_published_first_outputs)
{
    static const uint64_t published[] = {
        0xe220a8397b1dcdaf,
        0x6e789e6aa1b965f4,
        0x06c45d188009454f,
        0xf88bb8a8724c81ec,
    };
    uint64_t state = 0;
    size_t i;

    for (i = 0; i < 4; i++) {
        uint64_t found = rng_next(&state);

        cr_assert(found == published[i],
                  "output %zu from seed 0: found %" PRIx64
                  ", expected %" PRIx64,
                  i, found, published[i]);
    }
}

/* Of N numbers uniform in [-1, 1) the mean has standard deviation
 * 1/sqrt(3 N) and the mean square 2/sqrt(45 N) about 1/3; allowed are 5. */
Test(rng, sign_unit_is_uniform_in_its_range)
{
    enum { DRAWS = 1000000 };
    uint64_t state = 12345;
    double sum = 0, squares = 0, low = 1, high = -1;
    int i;

    for (i = 0; i < DRAWS; i++) {
        double u = rng_sign_unit(&state);

        cr_assert(u >= -1 && u < 1, "draw %d: %a", i, u);
        sum += u;
        squares += u * u;
        low = fmin(low, u);
        high = fmax(high, u);
    }
    cr_assert(fabs(sum / DRAWS) <= 5 / sqrt(3. * DRAWS), "mean %g",
              sum / DRAWS);
    cr_assert(fabs(squares / DRAWS - 1 / 3.) <= 10 / sqrt(45. * DRAWS),
              "mean square %g", squares / DRAWS);
    cr_assert(low < -0.9999 && high > 0.9999, "from %g to %g", low, high);
}

Test(hash, is_fnv_1a)
{
    uint64_t found = hash_bytes(HASH_START, "foobar", 6);
    uint64_t parts = hash_bytes(hash_bytes(HASH_START, "foo", 3), "bar", 3);

    cr_assert(found == 0x85944171f73967e8, "found %" PRIx64, found);
    cr_assert(parts == found, "in two parts %" PRIx64, parts);
}

/* --- Vectors --- */

enum { SETS = 5 };
static double xs[SETS][P_MAX], result[P_MAX], expected[P_MAX];

/* The first n elements of all x, as a set of vectors; NaN lies between. */
static double *set_of_x(size_t n)
{
    static double set[SETS * (P_MAX + 16)];
    size_t j;

    memset(set, 0xff, sizeof set);
    for (j = 0; j < SETS; j++)
        memcpy(nth(set, n, j), xs[j], n * sizeof(double));
    return set;
}

/* Lengths at the edges of sum_products's 8 and of CHUNK_SUM. */
static const size_t lengths[] = {
    1,
    2,
    7,
    8,
    9,
    15,
    16,
    17,
    511,
    512,
    513,
    CHUNK_SUM - 1,
    CHUNK_SUM,
    CHUNK_SUM + 1,
    3 * CHUNK_SUM + 13,
    P_MAX,
};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static void draw_vectors(uint64_t seed)
{
    size_t j;

    for (j = 0; j < SETS; j++)
        random_vector(seed + j, P_MAX, xs[j]);
}

/* Element i of result[n] is expected[n]'s, and what follows is untouched. */
static void vectors_equal(const char *what, size_t n)
{
    size_t at = first_difference(n, result, expected);

    cr_assert(at == n, "%s, n = %zu, %zu workers: element %zu is %a, not %a",
              what, n, pool.workers, at, result[at], expected[at]);
    cr_assert(n == P_MAX || result[n] == 77, "%s, n = %zu: wrote beyond", what,
              n);
}

static void clear_out(size_t n)
{
    memset(result, 0xff, n * sizeof *result);
    if (n < P_MAX)
        result[n] = 77;
}

static void elementwise_match_plain_loops(void)
{
    static const double coef[SETS] = {0.5, -3, 1e-3, 7, 1};
    size_t l, n, i, j;

    draw_vectors(3);
    for (l = 0; l < LENGTHS; l++) {
        n = lengths[l];
        clear_out(n);
        vec_add(n, result, xs[0], 0.3, xs[1]);
        for (i = 0; i < n; i++)
            expected[i] = xs[0][i] + 0.3 * xs[1][i];
        vectors_equal("vec_add", n);
        vec_axpy(n, -0.7, xs[2], result);
        for (i = 0; i < n; i++)
            expected[i] += -0.7 * xs[2][i];
        vectors_equal("vec_axpy", n);
        vec_scale(n, result, 1.1, result);
        for (i = 0; i < n; i++)
            expected[i] *= 1.1;
        vectors_equal("vec_scale", n);
        vec_copy(n, result, xs[3]);
        vec_combine(n, result, result, SETS, coef, set_of_x(n));
        for (i = 0; i < n; i++)
            for (expected[i] = xs[3][i], j = 0; j < SETS; j++)
                expected[i] += coef[j] * xs[j][i];
        vectors_equal("vec_combine", n);
        vec_combine(n, result, NULL, 2, coef, set_of_x(n));
        for (i = 0; i < n; i++)
            expected[i] = coef[0] * xs[0][i] + coef[1] * xs[1][i];
        vectors_equal("vec_combine from zero", n);
    }
}

Test(vectors, elementwise_by_one_worker)
{
    elementwise_match_plain_loops();
}

Test(vectors, elementwise_by_two_workers)
{
    pool_start(2);
    elementwise_match_plain_loops();
}

Test(vectors, combine_may_write_on_its_operands)
{
    static const double coef[2] = {2, -3};
    const size_t n = 2 * CHUNK_SUM + 5;
    double *set, *to;
    size_t i;

    draw_vectors(4);
    for (i = 0; i < n; i++)
        expected[i] = xs[2][i] + 2 * xs[0][i] + -3 * xs[1][i];
    set = set_of_x(n);
    to = nth(set, n, 1);
    vec_combine(n, to, xs[2], 2, coef, set);
    i = first_difference(n, to, expected);
    cr_assert(i == n, "element %zu: found %a, expected %a", i, to[i],
              expected[i]);
}

/* A sum of n products in some order is off by at most n eps sum |x y|. */
Test(vectors, dots_match_plain_sums)
{
    double found[SETS];
    size_t l, n, i, j;

    draw_vectors(5);
    for (l = 0; l < LENGTHS; l++) {
        n = lengths[l];
        vec_dots(n, SETS, set_of_x(n), xs[1], found);
        for (j = 0; j < SETS; j++) {
            double exact = plain_dot(n, xs[j], xs[1]), size = 0;

            for (i = 0; i < n; i++)
                size += fabs(xs[j][i] * xs[1][i]);
            cr_assert(fabs(found[j] - exact) <= 4e-16 * sqrt(n) * size,
                      "n = %zu, vector %zu: found %.17g, expected %.17g", n, j,
                      found[j], exact);
            cr_assert(vec_dot(n, xs[j], xs[1]) == found[j],
                      "vec_dot is not vec_dots, n = %zu", n);
        }
        cr_assert(fabs(vec_norm(n, xs[0]) - plain_norm(n, xs[0])) <=
                      1e-14 * plain_norm(n, xs[0]),
                  "norm, n = %zu", n);
    }
}

Test(vectors, dots_of_whole_numbers_are_exact)
{
    size_t n, i;
    double sum = 0;

    for (i = 0; i < P_MAX; i++) {
        xs[0][i] = (double)(i % 17) - 8;
        xs[1][i] = (double)(i % 23) - 11;
    }
    for (n = 0; n <= 40; n++) {
        cr_assert(vec_dot(n, xs[0], xs[1]) == sum,
                  "n = %zu: found %g, "
                  "expected %g",
                  n, vec_dot(n, xs[0], xs[1]), sum);
        sum += xs[0][n] * xs[1][n];
    }
    for (sum = 0, i = 0; i < P_MAX; i++)
        sum += xs[0][i] * xs[1][i];
    cr_assert(vec_dot(P_MAX, xs[0], xs[1]) == sum, "found %g, expected %g",
              vec_dot(P_MAX, xs[0], xs[1]), sum);
}

Test(vectors, dots_have_the_same_bits_for_any_number_of_workers)
{
    double one[LENGTHS][SETS], many[SETS];
    size_t l, j;

    draw_vectors(6);
    for (l = 0; l < LENGTHS; l++)
        vec_dots(lengths[l], SETS, set_of_x(lengths[l]), xs[2], one[l]);
    pool_start(4);
    for (l = 0; l < LENGTHS; l++) {
        vec_dots(lengths[l], SETS, set_of_x(lengths[l]), xs[2], many);
        j = first_difference(SETS, one[l], many);
        cr_assert(j == SETS,
                  "n = %zu, vector %zu: %a with 1 worker, %a with "
                  "%zu",
                  lengths[l], j, one[l][j], many[j], pool.workers);
    }
}

/* sum_products fixes the order of its additions: the same written out. */
Test(vectors, products_are_summed_in_the_documented_order)
{
    double s[8] = {0}, sum;
    size_t i, n = 1003;

    draw_vectors(7);
    for (i = 0; i < n; i++)
        s[i % 8] += xs[0][i] * xs[1][i];
    sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    cr_assert(sum_products(xs[0], xs[1], n) == sum, "found %a, expected %a",
              sum_products(xs[0], xs[1], n), sum);
}
