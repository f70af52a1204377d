/*
 * Section 7: the gradient, the Hessian product, the third and the fourth
 * derivative, each against differences of the one before, and the identities
 * that hold between them.
 */
#include "common.h"
#include "slopes.h"

static double also[P_MAX];

/* --- Differences: each order is the slope of the one before --- */

/* Measured: 3.5e-10 and less.  A wrong factor or term is off by 1e-2 at
 * least. */
static void each_is_the_slope_of_the_one_before(enum eos_model model,
                                                enum eos_loss loss)
{
    uint64_t seed;

    for (seed = 1; seed <= 2; seed++) {
        set_up(model, loss, 6, seed);
        slopes_agree(seed == 1 ? "seed 1" : "seed 2", 0.04, 2e-9);
    }
}

Test(slopes, mlp_mse)
{
    each_is_the_slope_of_the_one_before(EOS_MLP, EOS_MSE);
}
Test(slopes, mlp_ce)
{
    each_is_the_slope_of_the_one_before(EOS_MLP, EOS_CE);
}
Test(slopes, mlp_bmse)
{
    each_is_the_slope_of_the_one_before(EOS_MLP, EOS_BMSE);
}
Test(slopes, mlp_logistic)
{
    each_is_the_slope_of_the_one_before(EOS_MLP, EOS_LOGISTIC);
}
Test(slopes, cnn_mse)
{
    each_is_the_slope_of_the_one_before(EOS_CNN, EOS_MSE);
}
Test(slopes, cnn_ce)
{
    each_is_the_slope_of_the_one_before(EOS_CNN, EOS_CE);
}
Test(slopes, cnn_bmse)
{
    each_is_the_slope_of_the_one_before(EOS_CNN, EOS_BMSE);
}
Test(slopes, cnn_logistic)
{
    each_is_the_slope_of_the_one_before(EOS_CNN, EOS_LOGISTIC);
}

/* Of the larger networks, whose series converge on shorter steps only.
 * Measured: 4.4e-11 and less. */
static void slopes_of_a_larger_one(enum eos_model model, enum eos_loss loss,
                                   size_t n)
{
    set_up(model, loss, n, 1);
    slopes_agree("few samples", model == EOS_RESNET18 ? 0.00125 : 0.02, 5e-10);
}

Test(slopes, resnet18_mse)
{
    slopes_of_a_larger_one(EOS_RESNET18, EOS_MSE, 2);
}
Test(slopes, resnet18_ce)
{
    slopes_of_a_larger_one(EOS_RESNET18, EOS_CE, 2);
}
Test(slopes, resnet18_bmse)
{
    slopes_of_a_larger_one(EOS_RESNET18, EOS_BMSE, 2);
}
Test(slopes, resnet18_logistic)
{
    slopes_of_a_larger_one(EOS_RESNET18, EOS_LOGISTIC, 2);
}
Test(slopes, transformer_bmse)
{
    slopes_of_a_larger_one(EOS_TRANSFORMER, EOS_BMSE, 4);
}
Test(slopes, transformer_logistic)
{
    slopes_of_a_larger_one(EOS_TRANSFORMER, EOS_LOGISTIC, 4);
}

/* One coordinate at a time: where a random direction would hide a small
 * error in few elements.  First and last weight and bias of each layer. */
static void elements_are_partial_derivatives(enum eos_model model)
{
    size_t at[4 * LAYERS], l, i;
    double slope, scale;

    set_up(model, EOS_CE, 6, 3);
    gradient(here, EOS_F64, also);
    scale = plain_norm(net.params, also);
    for (l = 0; l < LAYERS; l++) {
        at[4 * l] = weighted(l)->theta;
        at[4 * l + 1] = weighted(l)->bias - 1;
        at[4 * l + 2] = weighted(l)->bias;
        at[4 * l + 3] = weighted(l)->bias + weighted(l)->c - 1;
    }
    memset(direction, 0, sizeof direction);
    for (i = 0; i < 4 * LAYERS; i++) {
        direction[at[i]] = 1;
        slope = slope_of(0, 0.02);
        cr_assert(fabs(slope - also[at[i]]) <= 1e-12 * scale,
                  "%s: element %zu is %.17g, its slope %.17g",
                  model_names[model], at[i], also[at[i]], slope);
        slope_of(1, 0.02);
        hessian(here, direction, found);
        cr_assert(relative_error(net.params, found, wanted) <= 1e-10,
                  "%s: column %zu of the Hessian is off by %g",
                  model_names[model], at[i],
                  relative_error(net.params, found, wanted));
        direction[at[i]] = 0;
    }
}

Test(slopes, elements_mlp)
{
    elements_are_partial_derivatives(EOS_MLP);
}
Test(slopes, elements_cnn)
{
    elements_are_partial_derivatives(EOS_CNN);
}

/* --- Symmetry in all arguments --- */

static double w[P_MAX], sum_vw[P_MAX];

/* scale: the lengths of the vectors whose product a and b are.  Measured:
 * 6e-18 of it. */
static void scalars_agree(const char *what, double a, double b, double scale)
{
    cr_assert(fabs(a - b) <= 1e-16 * scale, "%s, %s %s: %.17g and %.17g", what,
              model_names[config.model], loss_names[config.loss], a, b);
}

/* v'Hw = w'Hv; w.T(v,v) = v.T(v,w); w.F(v,v,v) = v.F(v,v,w), with
 * T(v,w) = [T(v+w) - T(v-w)] / 4 and
 * F(v,v,w) = [F(v+w) - F(v-w) - 2 F(w)] / 6. */
static void derivatives_are_symmetric(enum eos_model model, enum eos_loss loss)
{
    const double *v = direction;
    const size_t n = model == EOS_RESNET18 ? 2 : 5;
    double a, scale;
    size_t p, i;
    int order;

    set_up(model, loss, n, 4);
    p = net.params;
    for (i = 0; i < p; i++)
        w[i] = theta[(i + 77) % p];
    hessian(here, w, found);
    hessian(here, v, wanted);
    scalars_agree("Hessian", vec_dot(p, v, found), vec_dot(p, w, wanted),
                  plain_norm(p, v) * plain_norm(p, found));
    for (order = 2; order <= 3; order++) {
        derivative(order, v, found);
        a = vec_dot(p, w, found);
        vec_add(p, sum_vw, v, 1, w);
        derivative(order, sum_vw, found);
        scale = plain_norm(p, found) * plain_norm(p, v);
        vec_add(p, sum_vw, v, -1, w);
        derivative(order, sum_vw, wanted);
        scale += plain_norm(p, wanted) * plain_norm(p, v);
        vec_axpy(p, -1, wanted, found);
        if (order == 3) {
            derivative(order, w, wanted);
            vec_axpy(p, -2, wanted, found);
        }
        scalars_agree(order == 2 ? "third" : "fourth", a,
                      vec_dot(p, v, found) / (order == 2 ? 4 : 6), scale);
    }
}

Test(symmetry, mlp)
{
    derivatives_are_symmetric(EOS_MLP, EOS_MSE);
    derivatives_are_symmetric(EOS_MLP, EOS_CE);
    derivatives_are_symmetric(EOS_MLP, EOS_BMSE);
    derivatives_are_symmetric(EOS_MLP, EOS_LOGISTIC);
}

Test(symmetry, cnn)
{
    derivatives_are_symmetric(EOS_CNN, EOS_MSE);
    derivatives_are_symmetric(EOS_CNN, EOS_CE);
    derivatives_are_symmetric(EOS_CNN, EOS_BMSE);
    derivatives_are_symmetric(EOS_CNN, EOS_LOGISTIC);
}

Test(symmetry, resnet18)
{
    derivatives_are_symmetric(EOS_RESNET18, EOS_CE);
    derivatives_are_symmetric(EOS_RESNET18, EOS_BMSE);
}

Test(symmetry, transformer)
{
    derivatives_are_symmetric(EOS_TRANSFORMER, EOS_BMSE);
    derivatives_are_symmetric(EOS_TRANSFORMER, EOS_LOGISTIC);
}

/* D(a v, .., a v) = a^order D(v, .., v), bit for bit where a is a power of
 * two (or minus one), for then nothing rounds differently. */
static void derivatives_are_homogeneous(enum eos_model model,
                                        enum eos_precision precision)
{
    static const double factor[] = {2, -1, 0.25};
    size_t i, at;
    int order;

    set_up(model, EOS_CE, 50, 5);
    config.deriv = precision;
    for (order = 1; order <= 3; order++) {
        derivative(order, direction, wanted);
        for (i = 0; i < 3; i++) {
            vec_scale(net.params, w, factor[i], direction);
            derivative(order, w, found);
            vec_scale(net.params, found, 1 / pow(factor[i], order), found);
            for (at = 0; at < net.params && found[at] == wanted[at]; at++)
                ;
            cr_assert(at == net.params,
                      "%s, order %d, v times %g: element "
                      "%zu is %a, not %a",
                      model_names[model], order, factor[i], at, found[at],
                      wanted[at]);
        }
    }
}

Test(homogeneous, mlp_f64)
{
    derivatives_are_homogeneous(EOS_MLP, EOS_F64);
}
Test(homogeneous, mlp_f32)
{
    derivatives_are_homogeneous(EOS_MLP, EOS_F32);
}
Test(homogeneous, cnn_f64)
{
    derivatives_are_homogeneous(EOS_CNN, EOS_F64);
}
Test(homogeneous, cnn_f32)
{
    derivatives_are_homogeneous(EOS_CNN, EOS_F32);
}

/* --- Identities of a network that is linear in its last layer --- */

static void keep_last_layer(double *v)
{
    memset(v, 0, weighted(2)->theta * sizeof *v);
}

static bool all_zero(const double *x, size_t from, size_t to)
{
    for (; from < to && x[from] == 0; from++)
        ;
    return from == to;
}

/* Along the last layer's weights the squared loss is a parabola:
 * L(theta + v) = L + g.v + v'Hv / 2; the last layer's own gradient is affine
 * and all others' quadratic, so that in the third derivative the former and
 * in the fourth everything vanishes. */
static void squared_loss_is_a_parabola(enum eos_model model, enum eos_loss loss)
{
    double accuracy, start, slope, curve, end;
    size_t p;

    set_up(model, loss, 50, 6);
    p = net.params;
    keep_last_layer(direction);
    start = loss_on(here, &train, &accuracy);
    gradient(here, EOS_F64, found);
    slope = vec_dot(p, found, direction);
    hessian(here, direction, found);
    curve = vec_dot(p, found, direction);
    vec_add(p, moved, theta, 1, direction);
    here = point_at(moved);
    end = loss_on(here, &train, &accuracy);
    cr_assert(fabs(end - (start + slope + curve / 2)) <=
                  1e-13 * (fabs(end) + fabs(start) + fabs(slope) + fabs(curve)),
              "%s %s: L(theta + v) is %.17g, the parabola's %.17g",
              model_names[model], loss_names[loss], end,
              start + slope + curve / 2);
    here = point_at(theta);
    third(here, direction, found);
    cr_assert(all_zero(found, weighted(2)->theta, p),
              "%s %s: third derivative of the "
              "last layer",
              model_names[model], loss_names[loss]);
    cr_assert(!all_zero(found, 0, weighted(2)->theta),
              "%s %s: third derivative of the "
              "others",
              model_names[model], loss_names[loss]);
    fourth(here, direction, found);
    cr_assert(all_zero(found, 0, p), "%s %s: fourth derivative",
              model_names[model], loss_names[loss]);
}

Test(identities, squared_loss_is_a_parabola_in_the_last_layer)
{
    squared_loss_is_a_parabola(EOS_MLP, EOS_MSE);
    squared_loss_is_a_parabola(EOS_MLP, EOS_BMSE);
    squared_loss_is_a_parabola(EOS_CNN, EOS_MSE);
    squared_loss_is_a_parabola(EOS_CNN, EOS_BMSE);
}

/* Without its last layer the network says 0 and the squared loss is 1: the
 * parabola along v = -(last layer) ends there. */
Test(identities, squared_loss_without_the_last_layer_is_1)
{
    const enum eos_loss losses[] = {EOS_MSE, EOS_BMSE};
    double at_end;
    size_t model, i;

    for (model = 0; model < 2; model++)
        for (i = 0; i < 2; i++) {
            set_up((enum eos_model)model, losses[i], 50, 7);
            vec_scale(net.params, direction, -1, theta);
            keep_last_layer(direction);
            at_end = gradient(here, EOS_F64, found);
            at_end += vec_dot(net.params, found, direction);
            hessian(here, direction, found);
            at_end += vec_dot(net.params, found, direction) / 2;
            cr_assert(fabs(at_end - 1) <= 1e-13, "%s %s: %.17g",
                      model_names[model], loss_names[losses[i]], at_end);
        }
}

/* Softmax: a constant added to all outputs changes nothing.  So in every
 * derivative the last layer's elements sum to zero over the classes, and the
 * direction that adds a constant is in the Hessian's kernel. */
Test(identities, softmax_does_not_see_a_constant)
{
    size_t model, i, c, p;
    int order;

    for (model = 0; model < 2; model++) {
        set_up((enum eos_model)model, EOS_CE, 50, 8);
        p = net.params;
        for (order = 0; order < ORDERS; order++) {
            derivative(order, direction, found);
            for (i = weighted(2)->theta; i < p; i += CLASSES) {
                double sum = 0, size = 0;

                for (c = 0; c < CLASSES; c++) {
                    sum += found[i + c];
                    size += fabs(found[i + c]);
                }
                cr_assert(fabs(sum) <= 1e-12 * size + 1e-16,
                          "%s, order %d, from element %zu: %g of %g",
                          model_names[model], order, i, sum, size);
            }
        }
        memset(direction, 0, sizeof direction);
        for (c = 0; c < CLASSES; c++)
            direction[weighted(2)->bias + c] = 1;
        hessian(here, direction, found);
        cr_assert(plain_norm(p, found) <= 1e-14, "%s: |Hv| = %g",
                  model_names[model], plain_norm(p, found));
    }
}

/* --- Precision and counting --- */

static void float32_comes_near(enum eos_model model, enum eos_loss loss,
                               size_t n, double tolerance)
{
    double error;
    int order;

    set_up(model, loss, n, 9);
    for (order = 0; order < ORDERS; order++) {
        config.deriv = EOS_F64;
        here = point_at(here.theta); /* without z_0 in float32 */
        derivative(order, direction, wanted);
        config.deriv = EOS_F32;
        here = point_at(here.theta);
        derivative(order, direction, found);
        error = relative_error(net.params, found, wanted);
        cr_assert(error <= tolerance, "%s %s, order %d: off by %g",
                  model_names[model], loss_names[loss], order, error);
        cr_assert(error > 0, "%s %s, order %d: float32 was not used",
                  model_names[model], loss_names[loss], order);
    }
}

/* Measured: 1.4e-6 at most. */
Test(precision, float32_comes_near_float64)
{
    size_t loss;

    for (loss = 0; loss < 4; loss++) {
        float32_comes_near(EOS_MLP, (enum eos_loss)loss, 50, 1e-5);
        float32_comes_near(EOS_CNN, (enum eos_loss)loss, 50, 1e-5);
    }
}

/* Measured: 8.2e-6 of ResNet18, 3.3e-7 of the transformer, at most. */
Test(precision, float32_comes_near_float64_in_the_larger_networks)
{
    float32_comes_near(EOS_RESNET18, EOS_MSE, 2, 3e-5);
    float32_comes_near(EOS_RESNET18, EOS_LOGISTIC, 2, 3e-5);
    float32_comes_near(EOS_TRANSFORMER, EOS_BMSE, 10, 1e-5);
    float32_comes_near(EOS_TRANSFORMER, EOS_LOGISTIC, 10, 1e-5);
}

Test(precision, a_logged_loss_is_float64_always)
{
    double a, b, accuracy;

    set_up(EOS_MLP, EOS_CE, 20, 10);
    a = loss_on(here, &train, &accuracy);
    config.deriv = EOS_F32;
    here = point_at(theta);
    b = loss_on(here, &train, &accuracy);
    cr_assert(a == b, "%a with float64 derivatives, %a with float32", a, b);
}

Test(precision, hessian_products_are_counted)
{
    set_up(EOS_CNN, EOS_MSE, 2, 11);
    gradient(here, EOS_F64, found);
    cr_assert(hvps == 0, "a gradient counts %zu", hvps);
    hessian(here, direction, found);
    hessian(here, direction, found);
    cr_assert(hvps == 2, "two products count %zu", hvps);
    third(here, direction, found);
    fourth(here, direction, found);
    cr_assert(hvps == 2, "higher orders count %zu", hvps - 2);
}
