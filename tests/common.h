/*
 * What every test program shares.  Each includes eos.c whole, without its
 * main, and so sees everything that is static in it.
 */
#pragma once
#define _POSIX_C_SOURCE 200809L
#define EOS_TEST

#ifdef EOS_NO_CRITERION
#include "fallback.h"
#else
#include <criterion/criterion.h>
#endif
#include <float.h>
#include "../eos.c"

/* The layers that have weights, in order; the MLP and the CNN have three. */
enum { LAYERS = 3 };
static const struct layer *weighted(size_t i)
{
    const struct layer *l = net.layer;

    while (!l->in || i--)
        l++;
    return l;
}

static const char *const model_names[] = {"mlp", "cnn", "resnet18",
                                          "transformer"};
static const char *const loss_names[] = {"mse", "ce", "bmse", "logistic"};

/* --- Random numbers of the tests, by eos's generator --- */

static double uniform(uint64_t *rng, double low, double high)
{
    return low + (high - low) * (0.5 + 0.5 * rng_sign_unit(rng));
}

/* A whole number in low .. high. */
static size_t whole_number(uint64_t *rng, size_t low, size_t high)
{
    return low + rng_next(rng) % (high - low + 1);
}

static void random_vector(uint64_t seed, size_t n, double *x)
{
    size_t i;

    for (i = 0; i < n; i++)
        x[i] = rng_sign_unit(&seed);
}

/* --- Vectors, by plain loops and in long double --- */

/* What an addition rounds off goes into the next one (Kahan), for long double
 * is only double on some machines (32-bit Arm). */
static double plain_dot(size_t n, const double *x, const double *y)
{
    long double sum = 0, lost = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        long double term = (long double)x[i] * y[i] - lost;
        long double next = sum + term;

        lost = next - sum - term;
        sum = next;
    }
    return (double)sum;
}

static double plain_norm(size_t n, const double *x)
{
    return sqrt(plain_dot(n, x, x));
}

/* |x - y| / |y| */
static double relative_error(size_t n, const double *x, const double *y)
{
    long double error = 0, norm2 = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        error += ((long double)x[i] - y[i]) * ((long double)x[i] - y[i]);
        norm2 += (long double)y[i] * y[i];
    }
    return (double)sqrtl(error / norm2);
}

/* The first element whose bits differ, n if none does. */
static size_t first_difference(size_t n, const double *x, const double *y)
{
    size_t i;

    for (i = 0; i < n && !memcmp(x + i, y + i, sizeof *x); i++)
        ;
    return i;
}

/* --- A network on synthetic data --- */

static double theta[P_MAX], direction[P_MAX];
static struct point here; /* where derivatives are taken */

/* Bytes of a vector as long as the parameters. */
static size_t vector_bytes(void)
{
    return net.params * sizeof(double);
}

static size_t data_end; /* of the room of the data */

/* Sets the configuration, for n samples, and takes the room of their data.
 * There is room for as many eigenpairs as a build takes; of ResNet18, whose
 * vectors are the longest, for one, and so for more than one worker. */
static void choose_network(enum eos_model model, enum eos_loss loss, size_t n)
{
    config.model = model;
    config.loss = loss;
    config.samples = n;
    config.deriv = EOS_F64;
    config.neigs = model == EOS_RESNET18 ? 1 : EIG_MAX;
    config.threads = THREADS;
    room_clear();
    data_room();
    data_end = room_used;
    cr_assert(kernel_choose() == EOS_DONE, "%s", failure);
}

/* A table of layers, and all that follows from it and from the configuration;
 * the data, which sentences must have before, stay. */
static void use_table(const struct network *table)
{
    room_used = data_end;
    net_lay(table, train.length);
    cr_assert(room_lay() == EOS_DONE, "%s", failure);
}

/* Room for sentences so long, as eos_start() takes it for a test set. */
static void use_length(size_t length)
{
    const size_t own = train.length;

    train.length = length;
    use_table(net.table);
    train.length = own;
}

static void use_network(enum eos_model model, enum eos_loss loss, size_t n)
{
    choose_network(model, loss, n);
    use_table(&networks[model]);
}

/* What is typical of a layer's weights; gains lie around 1. */
static double weight_scale(const struct layer *l)
{
    return l->kind == NORM ? 0.1 : 1 / sqrt((double)(l->in ? l->in : l->c));
}

/* Random parameters, biases too, and a direction as long as they are (but for
 * gains and shifts), so that a step along it bends every layer. */
static void draw_parameters(uint64_t seed)
{
    uint64_t rng = seed, other = seed + 1000;
    const struct layer *l;
    size_t i;

    for (l = net.layer; l < net.layer + net.layers; l++)
        for (i = l->theta; i < l->end; i++) {
            theta[i] = weight_scale(l) * rng_sign_unit(&rng) +
                       (l->kind == NORM && i < l->bias);
            direction[i] = weight_scale(l) * rng_sign_unit(&other);
        }
    here = point_at(theta);
}

/* n samples of the built-in set (config.ndata is 0), with room for more, and
 * parameters from the seed. */
static void set_up_with_room(enum eos_model model, enum eos_loss loss, size_t n,
                             uint64_t seed, size_t more)
{
    choose_network(model, loss, more);
    config.samples = n;
    cr_assert(data_load() == EOS_DONE, "%s", failure);
    config.samples = more;
    use_table(&networks[model]);
    draw_parameters(seed);
}

static void set_up(enum eos_model model, enum eos_loss loss, size_t n,
                   uint64_t seed)
{
    set_up_with_room(model, loss, n, seed, n);
}

/* The derivative of one order (0: gradient .. 3: fourth) along v. */
static void derivative(int order, const double *v, double *out)
{
    switch (order) {
    case 0:
        gradient(here, config.deriv, out);
        break;
    case 1:
        hessian(here, v, out);
        break;
    case 2:
        third(here, v, out);
        break;
    default:
        fourth(here, v, out);
        break;
    }
}
