/*
 * Derivatives against differences of the order below.  Needs common.h.
 */
#pragma once

static double moved[P_MAX], wanted[P_MAX], found[P_MAX];

/* L or, for order >= 1, the derivative of that order along `direction` (1:
 * gradient), at theta + s direction. */
static double at_step(double s, int order, double *out)
{
    double accuracy;

    vec_add(net.params, moved, theta, s, direction);
    here = point_at(moved);
    if (order == 0)
        return loss_on(here, &train, &accuracy);
    derivative(order - 1, direction, out);
    return 0;
}

/* Central differences with steps h, h/2, h/4, extrapolated twice: the error
 * falls as h^6.  wanted = d/ds of order `order` at s = 0; returns L's. */
static double slope_of(int order, double h)
{
    static const double weight[] = {1 / 45., -20 / 45., 64 / 45.};
    double sum = 0, coef;
    int level, side;

    memset(wanted, 0, net.params * sizeof *wanted);
    for (level = 0; level < 3; level++, h /= 2)
        for (side = -1; side <= 1; side += 2) {
            coef = side * weight[level] / (2 * h);
            sum += coef * at_step(side * h, order, found);
            if (order)
                vec_axpy(net.params, coef, found, wanted);
        }
    here = point_at(theta);
    return sum;
}

/* The gradient along `direction` against the loss's slope, then each further
 * order against that of the one before. */
static void slopes_agree(const char *what, double h, double tolerance)
{
    double error, exact;
    int order;

    gradient(here, EOS_F64, found);
    exact = vec_dot(net.params, found, direction);
    error = fabs(slope_of(0, h) - exact) / fabs(exact);
    cr_assert(error <= tolerance, "%s %s, %s: v.gradient is off by %g",
              model_names[config.model], loss_names[config.loss], what, error);
    for (order = 1; order <= 3; order++) {
        slope_of(order, h);
        derivative(order, direction, found);
        error = relative_error(net.params, found, wanted);
        cr_assert(error <= tolerance, "%s %s, %s: order %d is off by %g",
                  model_names[config.model], loss_names[config.loss], what,
                  order + 1, error);
    }
}
