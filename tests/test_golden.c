/*
 * Derivatives and eigenpairs against an independent program: a table of
 * numbers (vectors.h) and, where EOS_SHARED names the folder that has them,
 * whole vectors in golden/.
 */
#include "common.h"
#include "vectors.h"

enum { DERIVATIVES = 4 };
static const char *const derivative_name[] = {"grad", "hvp", "d3", "d4"};
static double result[DERIVATIVES][P_MAX];
static double u[P_MAX], grad_s[P_MAX], golden[P_MAX];

/* --- The table's images, parameters and direction, by its rules --- */

static uint64_t draw(uint64_t *s)
{
    return *s = *s * 6364136223846793005 + 1442695040888963407;
}

static double draw_unit(uint64_t *s)
{
    return (double)(draw(s) >> 11) * 0x1p-52 - 1;
}

/* Writes the 40 records and loads them as a user's file. */
static void load_images(void)
{
    static unsigned char records[40][RECORD];
    char name[] = "/tmp/eos-golden-XXXXXX";
    int fd = mkstemp(name), status;
    uint64_t s = 1;
    size_t i, j;

    for (i = 0; i < 40; i++) {
        records[i][0] = (unsigned char)(i % 10);
        for (j = 1; j < RECORD; j++)
            records[i][j] = (unsigned char)(24 * (i % 10) + (draw(&s) >> 59));
    }
    cr_assert(!memcmp(records, "\0\15\20\24\14\31\20\21", 8),
              "the images are not those of the table");
    status = write_all(fd, records, sizeof records);
    close(fd);
    config.data[0] = name;
    config.ndata = 1;
    config.samples = two_classes() ? 8 : 40;
    status = status ? status : data_load();
    unlink(name);
    cr_assert(status == EOS_DONE, "%s", failure);
}

static void load_parameters(void)
{
    uint64_t s = 2;
    size_t l, i;

    for (l = 0; l < LAYERS; l++)
        for (i = net.w[l]; i < net.b[l] + net.out[l]; i++)
            theta[i] = draw_unit(&s) / sqrt((double)net.fan_in[l]);
    for (s = 3, i = 0; i < net.params; i++)
        direction[i] = draw_unit(&s) * sqrt(3 / (double)net.params);
    point_at(theta);
}

/* --- What the table has of a case --- */

/* S, lambda2, alpha, beta, |newton_x| at the point, from result[0]. */
struct sharpness {
    double s, lambda2, alpha, beta, newton_x;
};

static struct sharpness measure_sharpness(void)
{
    const size_t p = net.params;
    struct sharpness m;

    eig_start(p, hessian, 2);
    eig_iterate(2, 1e-11);
    cr_assert(eig.resid[0] <= 1e-11 && eig.resid[1] <= 1e-11,
              "residuals %g and %g", eig.resid[0], eig.resid[1]);
    eig_vector(0, u);
    m.s = eig.value[0];
    m.lambda2 = eig.value[1];
    third(u, grad_s);
    vec_axpy(p, -vec_dot(p, grad_s, u), u, grad_s);
    m.alpha = -vec_dot(p, result[0], grad_s);
    m.beta = vec_dot(p, grad_s, grad_s);
    m.newton_x = vec_dot(p, u, result[0]) / m.s;
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
        double norm = plain_norm(p, result[d]), typical;

        len = strlen(derivative_name[d]);
        if (strncmp(rest, derivative_name[d], len))
            continue;
        rest += len;
        typical = fmax(fabs(v->value), norm / sqrt((double)p));
        if (!strcmp(rest, " norm"))
            agrees(v, norm, fabs(v->value), 1e-10);
        else if (!strcmp(rest, " dot_v"))
            agrees(v, plain_dot(p, result[d], direction), typical, 1e-10);
        else if (*rest == '[')
            agrees(v, result[d][strtoul(rest + 1, NULL, 10)], typical, 1e-10);
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
    l = gradient(EOS_F64, result[0]);
    hessian(direction, result[1]);
    third(direction, result[2]);
    fourth(direction, result[3]);
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
            agrees(v, plain_norm(net.params, result[0]), size, 1e-10);
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
static double expected(const char *folder, const char *name)
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
        point_at(theta);
        if (k == 0)
            loss = gradient(precision, result[0]);
        else
            derivative(k, direction, result[k]);
        read_golden(folder, file[k], golden);
        error = relative_error(net.params, result[k], golden);
        printf("%s%s, %s: off by %.2g\n", folder, file[k],
               precision == EOS_F64 ? "f64" : "f32", error);
        cr_assert(error <= tolerance, "%s%s: off by %g", folder, file[k],
                  error);
    }
    error = fabs(loss - expected(folder, "\nL ")) / loss;
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

    if (!getenv("EOS_SHARED")) {
        printf("skipped: EOS_SHARED is not set\n");
        return;
    }
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
    cr_assert(fabs(m.s / expected(folder, "\nS ") - 1) <= 1e-8, "S");
    cr_assert(fabs(m.lambda2 / expected(folder, "\nlambda2 ") - 1) <= 1e-8,
              "lambda2");
    cr_assert(fabs(m.alpha / expected(folder, "\nalpha ") - 1) <= 1e-8,
              "alpha");
    cr_assert(fabs(m.beta / expected(folder, "\nbeta ") - 1) <= 1e-8, "beta");
}

Test(shared, mlp_mse)
{
    shared_vectors_agree("golden/mlp-mse/", EOS_MLP, EOS_MSE, 1000);
}

Test(shared, cnn_ce)
{
    shared_vectors_agree("golden/cnn-ce/", EOS_CNN, EOS_CE, 100);
}
