/*
 * Derivatives and eigenpairs against an independent program: a table of
 * numbers (vectors.h) and, where EOS_SHARED names the folder that has them,
 * whole vectors in golden/.
 */
#include "common.h"
#include "table.h"

enum { DERIVATIVES = 4 };
static const char *const derivative_name[] = {"grad", "hvp", "d3", "d4"};
static double derived[DERIVATIVES][P_MAX];
static double u[P_MAX], grad_s[P_MAX], golden[P_MAX];

/* --- The table's images, parameters and direction, by its rules --- */

/* Writes the 40 records and loads them as a user's file. */
static void load_images(void)
{
    char name[] = "/tmp/eos-golden-XXXXXX";
    int fd = mkstemp(name), status;

    close(fd);
    table_images(name);
    config.data[0] = name;
    config.ndata = 1;
    config.samples = two_classes() ? 8 : 40;
    status = data_load();
    unlink(name);
    cr_assert(status == EOS_DONE, "%s", failure);
}

static void load_parameters(void)
{
    uint64_t s = 3;
    size_t i;

    table_parameters(theta);
    for (i = 0; i < net.params; i++)
        direction[i] = table_unit(&s) * sqrt(3 / (double)net.params);
    here = point_at(theta);
}

/* --- What the table has of a case --- */

/* S, lambda2, alpha, beta, |newton_x| at the point, from derived[0]. */
struct sharpness {
    double s, lambda2, alpha, beta, newton_x;
};

static struct sharpness measure_sharpness(void)
{
    const size_t p = net.params;
    struct sharpness m;

    eig_start(p, hessian, here, 2);
    eig_iterate(2, 1e-11);
    cr_assert(eig.resid[0] <= 1e-11 && eig.resid[1] <= 1e-11,
              "residuals %g and %g", eig.resid[0], eig.resid[1]);
    eig_vector(0, u);
    m.s = eig.value[0];
    m.lambda2 = eig.value[1];
    third(here, u, grad_s);
    vec_axpy(p, -vec_dot(p, grad_s, u), u, grad_s);
    m.alpha = -vec_dot(p, derived[0], grad_s);
    m.beta = vec_dot(p, grad_s, grad_s);
    m.newton_x = vec_dot(p, u, derived[0]) / m.s;
    return m;
}

static void agrees(const struct vector *v, double found, double scale,
                   double tolerance)
{
    double error = fabs(found - v->value) / scale;

    cr_assert(error <= tolerance,
              "%s %s: found %.17g, expected %.17g, off "
              "by %g",
              v->on, v->quantity, found, v->value, error);
}

/* "grad norm", "hvp dot_v", "d3[12]": what the table says of a vector. */
static bool of_a_vector(const struct vector *v)
{
    const size_t p = net.params;
    size_t d, len;

    for (d = 0; d < DERIVATIVES; d++) {
        const char *rest = v->quantity;
        double norm = plain_norm(p, derived[d]), typical;

        len = strlen(derivative_name[d]);
        if (strncmp(rest, derivative_name[d], len))
            continue;
        rest += len;
        typical = fmax(fabs(v->value), norm / sqrt((double)p));
        if (!strcmp(rest, " norm"))
            agrees(v, norm, fabs(v->value), 1e-10);
        else if (!strcmp(rest, " dot_v"))
            agrees(v, plain_dot(p, derived[d], direction), typical, 1e-10);
        else if (*rest == '[')
            agrees(v, derived[d][strtoul(rest + 1, NULL, 10)], typical, 1e-10);
        else
            continue;
        return true;
    }
    return false;
}

/* Quantities of the dynamics are not this test's. */
static bool of_the_dynamics(const struct vector *v)
{
    return !strcmp(v->quantity, "eta") ||
           !strncmp(v->quantity, "projected", 9) ||
           !strncmp(v->quantity, "track", 5);
}

static void table_agrees(const char *on, enum eos_model model,
                         enum eos_loss loss)
{
    struct sharpness m;
    double l;
    size_t i, rows = 0;

    use_network(model, loss, 40);
    load_images();
    load_parameters();
    l = gradient(here, EOS_F64, derived[0]);
    hessian(here, direction, derived[1]);
    third(here, direction, derived[2]);
    fourth(here, direction, derived[3]);
    m = measure_sharpness();
    for (i = 0; i < VECTORS; i++) {
        const struct vector *v = &vectors[i];
        const char *q = v->quantity;
        double size = fabs(v->value);

        if (strcmp(v->on, on) || of_the_dynamics(v))
            continue;
        rows++;
        if (!strcmp(q, "L"))
            agrees(v, l, size, 1e-12);
        else if (!strcmp(q, "gradnorm"))
            agrees(v, plain_norm(net.params, derived[0]), size, 1e-10);
        else if (!strcmp(q, "S"))
            agrees(v, m.s, size, 1e-8);
        else if (!strcmp(q, "lambda2"))
            agrees(v, m.lambda2, size, 1e-8);
        else if (!strcmp(q, "alpha"))
            agrees(v, m.alpha, size, 1e-8);
        else if (!strcmp(q, "beta"))
            agrees(v, m.beta, size, 1e-8);
        else if (!strcmp(q, "abs newton_x"))
            agrees(v, fabs(m.newton_x), size, 1e-8);
        else
            cr_assert(of_a_vector(v), "%s: what is %s?", on, q);
    }
    cr_assert(rows >= 55, "%s: the table has %zu rows", on, rows);
}

Test(table, mlp_mse)
{
    table_agrees("mlp-mse", EOS_MLP, EOS_MSE);
}
Test(table, mlp_ce)
{
    table_agrees("mlp-ce", EOS_MLP, EOS_CE);
}
Test(table, mlp_bmse)
{
    table_agrees("mlp-bmse", EOS_MLP, EOS_BMSE);
}
Test(table, mlp_logistic)
{
    table_agrees("mlp-logistic", EOS_MLP, EOS_LOGISTIC);
}
Test(table, cnn_mse)
{
    table_agrees("cnn-mse", EOS_CNN, EOS_MSE);
}
Test(table, cnn_ce)
{
    table_agrees("cnn-ce", EOS_CNN, EOS_CE);
}
Test(table, cnn_bmse)
{
    table_agrees("cnn-bmse", EOS_CNN, EOS_BMSE);
}
Test(table, cnn_logistic)
{
    table_agrees("cnn-logistic", EOS_CNN, EOS_LOGISTIC);
}

/* --- Whole vectors --- */

static const char *shared_file(const char *folder, const char *name)
{
    static char path[PATH];

    snprintf(path, sizeof path, "%s/%s%s", getenv("EOS_SHARED"), folder, name);
    return path;
}

static void read_golden(const char *folder, const char *name, double *x)
{
    cr_assert(npy_read(shared_file(folder, name), net.params, x) == EOS_DONE,
              "%s", failure);
}

/* The number after a name in expected.txt. */
static double golden_number(const char *folder, const char *name)
{
    char text[4096], *at;
    int fd = open(shared_file(folder, "expected.txt"), O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read_all(fd, text, sizeof text - 1);

    cr_assert(n > 0, "%s", shared_file(folder, "expected.txt"));
    close(fd);
    text[n] = 0;
    at = strstr(text, name);
    cr_assert(at != NULL, "%s has no %s", folder, name);
    return strtod(at + strlen(name), NULL);
}

static void vectors_agree(const char *folder, enum eos_precision precision,
                          double tolerance)
{
    static const char *const file[] = {
        "grad.npy",
        "hvp.npy",
        "d3.npy",
        "d4.npy",
    };
    double loss = 0, error;
    int k;

    config.deriv = precision;
    for (k = 0; k < DERIVATIVES; k++) {
        here = point_at(theta);
        if (k == 0)
            loss = gradient(here, precision, derived[0]);
        else
            derivative(k, direction, derived[k]);
        read_golden(folder, file[k], golden);
        error = relative_error(net.params, derived[k], golden);
        printf("%s%s, %s: off by %.2g\n", folder, file[k],
               precision == EOS_F64 ? "f64" : "f32", error);
        cr_assert(error <= tolerance, "%s%s: off by %g", folder, file[k],
                  error);
    }
    error = fabs(loss - golden_number(folder, "\nL ")) / loss;
    cr_assert(error <= (precision == EOS_F64 ? 1e-12 : 1e-5),
              "%s: L = %.17g, "
              "off by %g",
              folder, loss, error);
}

static void shared_vectors_agree(const char *folder, enum eos_model model,
                                 enum eos_loss loss, size_t n)
{
    static char data[PATH];
    struct sharpness m;

    if (!getenv("EOS_SHARED"))
        cr_skip_test("EOS_SHARED is not set");
    use_network(model, loss, n);
    snprintf(data, sizeof data, "%s", shared_file("data/", "cifar10-5k.bin"));
    config.data[0] = data;
    config.ndata = 1;
    cr_assert(data_load() == EOS_DONE, "%s", failure);
    read_golden(folder, "params.npy", theta);
    read_golden(folder, "direction.npy", direction);
    pool_start(2);
    vectors_agree(folder, EOS_F32, 1e-5);
    vectors_agree(folder, EOS_F64, 1e-10);
    m = measure_sharpness();
    cr_assert(fabs(m.s / golden_number(folder, "\nS ") - 1) <= 1e-8, "S");
    cr_assert(fabs(m.lambda2 / golden_number(folder, "\nlambda2 ") - 1) <= 1e-8,
              "lambda2");
    cr_assert(fabs(m.alpha / golden_number(folder, "\nalpha ") - 1) <= 1e-8,
              "alpha");
    cr_assert(fabs(m.beta / golden_number(folder, "\nbeta ") - 1) <= 1e-8,
              "beta");
}

Test(shared, mlp_mse)
{
    shared_vectors_agree("golden/mlp-mse/", EOS_MLP, EOS_MSE, 1000);
}

Test(shared, cnn_ce)
{
    shared_vectors_agree("golden/cnn-ce/", EOS_CNN, EOS_CE, 100);
}

/* --- Elements of the vectors of the larger networks --- */

/* The generator's next draw in [-1, 1), and a float32 of it. */
static double golden_unit(uint64_t *s)
{
    return (double)(rng_next(s) >> 11) * 0x1p-52 - 1;
}

static double golden_parameter(uint64_t *s, double centre, double size)
{
    return (double)(float)(centre + size * golden_unit(s));
}

static void draw_golden_parameters(uint64_t seed)
{
    uint64_t s = seed, other = seed + 1000;
    const struct layer *l;
    size_t i;

    for (l = net.layer; l < net.layer + net.layers; l++) {
        const double fan_in = (double)(l->in ? l->in : l->c);
        const bool gain = l->kind == NORM;

        for (i = l->theta; i < l->end; i++) {
            const bool small = gain || i >= l->bias;

            theta[i] = golden_parameter(&s, gain && i < l->bias,
                                        small ? 0.1 : 1 / sqrt(fan_in));
            direction[i] = golden_parameter(&other, 0, 1) / 1024;
        }
    }
    here = point_at(theta);
}

/* How far the numbers so far are off, relative to their size, and the norms
 * of what was found. */
struct errors {
    double loss, norm[DERIVATIVES], dot[DERIVATIVES], element[DERIVATIVES];
    double length[DERIVATIVES];
    size_t lines, elements;
};

static size_t derivative_named(const char *name)
{
    size_t k = 0;

    while (k < DERIVATIVES && strcmp(name, derivative_name[k]))
        k++;
    cr_assert(k < DERIVATIVES, "what is %s?", name);
    return k;
}

static void element_agrees(size_t i, const double *wanted, struct errors *e)
{
    const size_t p = net.params;
    size_t k;

    cr_assert(i < p, "element %zu of %zu", i, p);
    for (k = 0; k < DERIVATIVES; k++) {
        double typical = e->length[k] / sqrt((double)p);
        double error =
            fabs(derived[k][i] - wanted[k]) / fmax(fabs(wanted[k]), typical);

        e->element[k] = fmax(e->element[k], error);
    }
    e->elements++;
}

/* One line of expected.txt. */
static void line_agrees(const char *line, double loss, struct errors *e)
{
    const size_t p = net.params;
    double x, y[DERIVATIVES];
    char name[8];
    size_t i, k;

    if (sscanf(line, "params %zu", &i) == 1) {
        cr_assert(i == p, "%zu parameters, not %zu", p, i);
    } else if (sscanf(line, "L %lf", &x) == 1) {
        e->loss = fabs(loss / x - 1);
    } else if (sscanf(line, "norm %7s %lf", name, &x) == 2) {
        k = derivative_named(name);
        e->norm[k] = fabs(e->length[k] / x - 1);
    } else if (sscanf(line, "dot %7s %lf", name, &x) == 2) {
        k = derivative_named(name);
        e->dot[k] = fabs(plain_dot(p, derived[k], direction) / x - 1);
    } else if (sscanf(line, "at %zu %lf %lf %lf %lf", &i, y, y + 1, y + 2,
                      y + 3) == 5) {
        element_agrees(i, y, e);
    } else {
        cr_assert(*line == '#', "what is %s?", line);
        e->lines--;
    }
    e->lines++;
}

/* Measured: 9e-13 with float64, 6e-5 with float32, at most. */
static void elements_agree(const char *folder, enum eos_precision precision,
                           double tolerance)
{
    struct errors e = {0};
    char line[512];
    double loss;
    FILE *f = fopen(shared_file(folder, "expected.txt"), "r");
    size_t k;

    cr_assert(f != NULL, "%sexpected.txt", folder);
    config.deriv = precision;
    here = point_at(theta);
    loss = gradient(here, precision, derived[0]);
    for (k = 1; k < DERIVATIVES; k++)
        derivative((int)k, direction, derived[k]);
    for (k = 0; k < DERIVATIVES; k++)
        e.length[k] = plain_norm(net.params, derived[k]);
    while (fgets(line, sizeof line, f))
        line_agrees(line, loss, &e);
    fclose(f);
    cr_assert(e.lines == e.elements + 10 && e.elements > 100,
              "%zu lines, %zu elements", e.lines, e.elements);
    cr_assert(e.loss <= tolerance, "L is off by %g", e.loss);
    for (k = 0; k < DERIVATIVES; k++) {
        printf("%s%s, %s: off by %.2g (norm), %.2g (dot), %.2g\n", folder,
               derivative_name[k], precision == EOS_F64 ? "f64" : "f32",
               e.norm[k], e.dot[k], e.element[k]);
        cr_assert(e.norm[k] <= tolerance && e.dot[k] <= tolerance &&
                      e.element[k] <= tolerance,
                  "%s%s: off by %g, %g, %g", folder, derivative_name[k],
                  e.norm[k], e.dot[k], e.element[k]);
    }
}

static void shared_elements_agree(const char *folder, enum eos_model model,
                                  enum eos_loss loss, const char *file,
                                  size_t n, uint64_t seed)
{
    static char data[PATH];

    if (!getenv("EOS_SHARED"))
        cr_skip_test("EOS_SHARED is not set");
    choose_network(model, loss, n);
    snprintf(data, sizeof data, "%s", shared_file("data/", file));
    config.data[0] = data;
    config.ndata = 1;
    cr_assert(data_load() == EOS_DONE, "%s", failure);
    use_table(&networks[model]);
    draw_golden_parameters(seed);
    cr_assert(memory.workers >= 2, "no room for two");
    pool_start(2);
    elements_agree(folder, EOS_F32, 1e-4);
    elements_agree(folder, EOS_F64, 1e-9);
}

Test(shared, resnet18_mse)
{
    shared_elements_agree("golden/resnet18-mse/", EOS_RESNET18, EOS_MSE,
                          "cifar10-5k.bin", 6, 301);
}

Test(shared, transformer_logistic)
{
    shared_elements_agree("golden/transformer-logistic/", EOS_TRANSFORMER,
                          EOS_LOGISTIC, "sst2-train.tsv", 16, 311);
}
