/*
 * The model of the paper's Section 4: gradient descent on it, the recursion,
 * and the differential equation with its conserved quantity.
 */
#include "common.h"
#include "logs.h"

static struct toy toy_at(double alpha, double beta, double lr, double x,
                         double y)
{
    config.alpha = alpha;
    config.beta = beta;
    config.lr = lr;
    return (struct toy){
        .k = 1,
        .n = 1,
        .gd_x = {x},
        .gd_y = {y},
        .x = {x},
        .y = {sqrt(beta) * y},
        .ode = {fabs(x), sqrt(beta) * y},
        .A = {alpha},
    };
}

static void near_at_step(const char *what, size_t step, double found,
                         double expected, double tolerance)
{
    double scale = fmax(1e-3, fabs(expected));
    bool ok = fabs(found - expected) <= tolerance * scale;

    cr_assert(ok, "%s at step %zu: found %.17g, expected %.17g", what, step,
              found, expected);
}

/* --- Gradient descent and the recursion --- */

/* L(x, y, z) = (2/eta + sqrt(beta) y) x^2 / 2 - (alpha / sqrt(beta)) y - z */
static long double toy_loss(const long double at[3])
{
    long double b = sqrtl((long double)config.beta);

    return (2 / (long double)config.lr + b * at[1]) * at[0] * at[0] / 2 -
           config.alpha / b * at[1] - at[2];
}

/* The loss is a polynomial of degree 2 in each variable: a central difference
 * is exact. */
static long double toy_partial(const double where[3], size_t i)
{
    long double low[3] = {where[0], where[1], where[2]}, high[3];

    memcpy(high, low, sizeof high);
    high[i] += 0.25L;
    low[i] -= 0.25L;
    return (toy_loss(high) - toy_loss(low)) / 0.5L;
}

Test(descent, steps_along_the_gradient_of_the_loss)
{
    uint64_t rng = 1;
    size_t i, j;

    for (i = 0; i < 1000; i++) {
        double alpha = uniform(&rng, 0.1, 3), beta = uniform(&rng, 0.1, 9);
        double lr = uniform(&rng, 0.01, 0.5), x = uniform(&rng, -2, 2);
        double y = uniform(&rng, -2, 2), z = uniform(&rng, -9, 9);
        struct toy s = toy_at(alpha, beta, lr, x, y);
        double to[3];
        double from[3] = {x, y, z};

        s.gd_z = z;
        toy_step(&s);
        to[0] = s.gd_x[0];
        to[1] = s.gd_y[0];
        to[2] = s.gd_z;
        for (j = 0; j < 3; j++)
            near_at_step("gradient descent", i, to[j],
                         (double)(from[j] - lr * toy_partial(from, j)), 1e-12);
    }
}

Test(descent, is_the_recursion)
{
    struct toy s = toy_at(0.7, 4, 0.05, 0.1, 0.3);
    double x = 0.1, y = 2 * 0.3, before;
    size_t i;

    for (i = 1; i <= 1000; i++) {
        before = x;
        x = -(1 + config.lr * y) * x;
        y += config.lr * (0.7 - 0.5 * 4 * before * before);
        toy_step(&s);
        near_at_step("rec_x", i, s.x[0], x, 1e-12);
        near_at_step("rec_y", i, s.y[0], y, 1e-12);
        near_at_step("gd_x", i, s.gd_x[0], s.x[0], 1e-9);
        near_at_step("sqrt(beta) gd_y", i, 2 * s.gd_y[0], s.y[0], 1e-9);
        near_at_step("gd_z", i, s.gd_z, (double)i * config.lr, 1e-12);
    }
}

Test(descent, stays_at_the_fixed_point)
{
    const double delta = 1; /* sqrt(2 alpha / beta) */
    struct toy s = toy_at(2, 4, 0.125, delta, 0);
    size_t i;

    for (i = 1; i <= 100; i++) {
        double sign = i % 2 ? -1 : 1;

        toy_step(&s);
        cr_assert(s.gd_x[0] == sign * delta && s.gd_y[0] == 0,
                  "step %zu: descent at (%g, %g)", i, s.gd_x[0], s.gd_y[0]);
        cr_assert(s.x[0] == sign * delta && s.y[0] == 0,
                  "step %zu: recursion at (%g, %g)", i, s.x[0], s.y[0]);
        cr_assert(s.ode[0] == delta && s.ode[1] == 0,
                  "step %zu: ODE at (%g, %g)", i, s.ode[0], s.ode[1]);
        cr_assert(toy_invariant(&s) == 0, "step %zu: invariant %g", i,
                  toy_invariant(&s));
    }
}

/* --- The differential equation --- */

Test(equation, conserves_the_invariant_over_many_cycles)
{
    struct toy s = toy_at(1, 1, 0.01, 0.1, 0);
    double first = toy_invariant(&s), last_y = 0;
    size_t i, turns = 0;

    for (i = 1; i <= 10000; i++) {
        double error;

        toy_step(&s);
        turns += last_y < 0 && s.ode[1] >= 0;
        last_y = s.ode[1];
        error = fabs(toy_invariant(&s) / first - 1);
        cr_assert(error <= 1e-6, "step %zu: the invariant is off by %g", i,
                  error);
    }
    cr_assert(turns >= 5, "only %zu cycles", turns);
}

/* X and Y after one unit of time in this many steps. */
static void after_one(size_t steps, double to[2])
{
    struct toy s = toy_at(1, 2, 1 / (double)steps, 0.3, 0.4);
    size_t i;

    for (i = 0; i < steps; i++)
        toy_ode(s.ode, config.lr);
    memcpy(to, s.ode, sizeof s.ode);
}

/* Half the step, a sixteenth of the error. */
Test(equation, is_solved_to_fourth_order)
{
    double exact[2], found[2], error[3], order;
    size_t i;

    after_one(4096, exact);
    for (i = 0; i < 3; i++) {
        after_one((size_t)16 << i, found);
        error[i] = hypot(found[0] - exact[0], found[1] - exact[1]);
    }
    for (i = 0; i < 2; i++) {
        order = log2(error[i] / error[i + 1]);
        cr_assert(fabs(order - 4) <= 0.25, "%zu steps: order %g",
                  (size_t)16 << i, order);
    }
}

/* One tiny step is a step along the slope. */
Test(equation, is_that_of_the_paper)
{
    uint64_t rng = 2;
    size_t i;

    for (i = 0; i < 100; i++) {
        double alpha = uniform(&rng, 0.1, 3), beta = uniform(&rng, 0.1, 9);
        double x = uniform(&rng, 0.1, 2), y = uniform(&rng, -2, 2);
        struct toy s = toy_at(alpha, beta, 1e-6, x, y / sqrt(beta));

        toy_ode(s.ode, config.lr);
        near_at_step("X' + 100", i, 100 + (s.ode[0] - x) / config.lr,
                     100 + x * y, 1e-6);
        near_at_step("Y' + 100", i, 100 + (s.ode[1] - y) / config.lr,
                     100 + alpha - beta * x * x / 2, 1e-6);
    }
}

Test(equation, has_an_invariant_that_is_its_formula_and_never_negative)
{
    uint64_t rng = 3;
    size_t i;

    for (i = 0; i < 10000; i++) {
        double alpha = uniform(&rng, 0.1, 3), beta = uniform(&rng, 0.1, 9);
        double x = exp(uniform(&rng, -20, 3)), y = uniform(&rng, -2, 2);
        struct toy s = toy_at(alpha, beta, 0.1, x, y);
        long double w = (long double)beta * x * x / (2 * alpha);
        double found;

        found = toy_invariant(&s);
        near_at_step("invariant", i, found,
                     (double)(w - 1 - logl(w) +
                              (long double)s.ode[1] * s.ode[1] / alpha),
                     1e-12);
        cr_assert(found >= 0, "invariant %g at X = %.17g", found, x);
    }
}

Test(equation, has_an_invariant_that_is_never_negative_near_the_fixed_point)
{
    struct toy s = toy_at(1, 2, 0.1, 1, 0);
    int i;

    for (i = -1000; i <= 1000; i++) {
        double found;

        s.ode[0] = 1 + i * DBL_EPSILON / 2;
        found = toy_invariant(&s);
        cr_assert(found >= 0, "invariant %g at X = %.17g", found, s.ode[0]);
    }
}

/* --- The command --- */

/* Leaves garbage where the next function has its variables. */
static __attribute__((noinline)) double soil_the_stack(void)
{
    volatile double garbage[4096];
    size_t i;

    for (i = 0; i < 4096; i++)
        garbage[i] = (double)i + 0.5;
    return garbage[7];
}

/* Runs it with its rows in log_a and nothing on standard output. */
static int toy_run(const struct eos_config *c)
{
    struct eos_config to = *c;
    int status;

    folder_make();
    to.log = in_folder("log");
    out.fd = -1;
    cr_assert(soil_the_stack() > 0, "never");
    status = eos_toy(&to);
    log_read(&log_a, in_folder("log"));
    folder_remove();
    return status;
}

Test(command, logs_its_columns_from_the_start_to_the_last_step)
{
    static const char *const names[] = {
        "step",  "gd_x",  "gd_y",  "gd_z",      "rec_x",
        "rec_y", "ode_X", "ode_Y", "invariant",
    };
    struct eos_config c = eos_defaults();
    const struct block *b = &log_a.block[0];
    struct toy s = toy_at(0.5, 4, 0.1, -0.2, 0.3);
    size_t i;

    c.alpha = 0.5;
    c.beta = 4;
    c.lr = 0.1;
    c.x0 = -0.2;
    c.y0 = 0.3;
    c.steps = 60;
    cr_assert(toy_run(&c) == EOS_DONE, "%s", failure);
    cr_assert(log_a.blocks == 1 && b->columns == 9 && b->rows == 61,
              "%zu blocks, %zu columns, %zu rows", log_a.blocks, b->columns,
              b->rows);
    for (i = 0; i < 9; i++)
        cr_assert(!strcmp(b->name[i], names[i]), "column %zu is %s", i,
                  b->name[i]);
    for (i = 0; i <= 60; i++, toy_step(&s)) {
        const double *row = b->value[i];

        cr_assert(row[0] == (double)i, "row %zu is step %g", i, row[0]);
        near_at_step("gd_x", i, row[1], s.gd_x[0], 0);
        near_at_step("gd_y", i, row[2], s.gd_y[0], 0);
        near_at_step("gd_z", i, row[3], s.gd_z, 1e-12);
        near_at_step("rec_x", i, row[4], s.x[0], 0);
        near_at_step("rec_y", i, row[5], s.y[0], 0);
        near_at_step("ode_X", i, row[6], s.ode[0], 0);
        near_at_step("ode_Y", i, row[7], s.ode[1], 0);
        near_at_step("invariant", i, row[8], toy_invariant(&s), 0);
    }
    cr_assert(!strcmp(log_comment(&log_a, "alpha"), "0.5"), "# alpha");
    cr_assert(!strcmp(log_comment(&log_a, "beta"), "4"), "# beta");
}

/* z does not act on x and y, and starts at zero. */
Test(command, starts_z_at_zero)
{
    struct eos_config c = eos_defaults();

    c.steps = 2;
    cr_assert(toy_run(&c) == EOS_DONE, "%s", failure);
    cr_assert(log_value(&log_a.block[0], 0, "gd_z") == 0, "gd_z = %g",
              log_value(&log_a.block[0], 0, "gd_z"));
}

/* "documented defaults that show several cycles" */
Test(command, shows_several_cycles_by_default)
{
    struct eos_config c = eos_defaults();
    const struct block *b = &log_a.block[0];
    size_t i, turns = 0;

    c.steps = 900; /* of the 2000: less than the log of the tests holds */
    cr_assert(toy_run(&c) == EOS_DONE, "%s", failure);
    for (i = 1; i < b->rows; i++)
        turns +=
            log_value(b, i - 1, "rec_y") < 0 && log_value(b, i, "rec_y") >= 0;
    cr_assert(turns >= 2, "%zu cycles in 900 steps", turns);
}

Test(command, names_the_step_where_descent_diverges)
{
    struct eos_config c = eos_defaults();
    int status;

    c.x0 = 1e3;
    c.lr = 1;
    c.steps = 200;
    status = toy_run(&c);
    cr_assert(status == EOS_DIVERGED, "status %d", status);
    cr_assert(strstr(failure, "at step "), "it says: %s", failure);
}
