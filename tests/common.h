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

static const char *const model_names[] = {"mlp", "cnn"};
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

/* Sets the configuration, for n samples, and all that follows from it but the
 * data.  There is room for as many eigenpairs as a build takes. */
static void use_network(enum eos_model model, enum eos_loss loss, size_t n)
{
    config.model = model;
    config.loss = loss;
    config.samples = n;
    config.deriv = EOS_F64;
    config.neigs = EIG_MAX;
    config.threads = THREADS;
    room_clear();
    data_room();
    net_lay(&networks[config.model], train.length);
    cr_assert(kernel_choose() == EOS_DONE, "%s", failure);
    cr_assert(room_lay() == EOS_DONE, "%s", failure);
}

/* Random parameters, biases too, and a direction as long as they are, so
 * that a step along it bends every layer. */
static void draw_parameters(uint64_t seed)
{
    uint64_t rng = seed, other = seed + 1000;
    size_t l, i;

    for (l = 0; l < LAYERS; l++)
        for (i = weighted(l)->theta; i < weighted(l)->bias + weighted(l)->c;
             i++) {
            double scale = 1 / sqrt((double)weighted(l)->in);

            theta[i] = scale * rng_sign_unit(&rng);
            direction[i] = scale * rng_sign_unit(&other);
        }
    here = point_at(theta);
}

/* n records of the built-in set (config.ndata is 0), with room for more, and
 * parameters from the seed. */
static void set_up_with_room(enum eos_model model, enum eos_loss loss, size_t n,
                             uint64_t seed, size_t more)
{
    use_network(model, loss, more);
    config.samples = n;
    cr_assert(data_load() == EOS_DONE, "%s", failure);
    config.samples = more;
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
