/*
 * A problem that is cheap and yet sharpens: for the tests of dynamics and
 * runs.  Needs common.h and logs.h; with outside.h instead it has the images
 * alone.
 */
#pragma once

static unsigned random_byte(uint64_t *s)
{
    *s = *s * 6364136223846793005 + 1442695040888963407;
    return (unsigned)(*s >> 56);
}

/* 40 records of the labels 0, 1 .. 9, 0 ..: blocks of 8 x 8 and of 4 x 4
 * pixels, grey with a tint, and noise; the tests' own, for the built-in set
 * may change. */
static void write_images(const char *name)
{
    static unsigned char records[40][RECORD];
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    uint64_t rng = 1;
    size_t i, c, y, x;

    for (i = 0; i < 40; i++) {
        unsigned coarse[CHANNELS][16], fine[64];

        records[i][0] = (unsigned char)(i % CLASSES);
        for (x = 0; x < CHANNELS * 16; x++)
            coarse[x / 16][x % 16] = random_byte(&rng);
        for (x = 0; x < 64; x++)
            fine[x] = random_byte(&rng);
        for (c = 0; c < CHANNELS; c++)
            for (y = 0; y < SIDE; y++)
                for (x = 0; x < SIDE; x++) {
                    size_t block = y / 8 * 4 + x / 8;
                    unsigned sum = 6 * coarse[0][block] + 2 * coarse[c][block] +
                                   4 * fine[y / 4 * 8 + x / 4] +
                                   random_byte(&rng);

                    records[i][1 + (c * SIDE + y) * SIDE + x] =
                        (unsigned char)(sum / 16);
                }
    }
    cr_assert(fd >= 0 && !write_all(fd, records, sizeof records) && !close(fd),
              "%s: %s", name, strerror(errno));
}

#ifdef EOS_TEST /* eos.c is here */

/* A CNN on eight images in a new folder. */
static struct eos_config small_problem(void)
{
    static char images[512];
    struct eos_config c = eos_defaults();

    folder_make();
    snprintf(images, sizeof images, "%s", in_folder("images"));
    write_images(images);
    c.data[0] = images;
    c.ndata = 1;
    c.model = EOS_CNN;
    c.loss = EOS_BMSE;
    c.samples = 8;
    c.deriv = EOS_F64;
    c.tol = 1e-10;
    c.threads = 1;
    c.max_steps = 1000;
    c.stop_lambda2 = INFINITY;
    return c;
}

/* With sixteen times the usual output layer the sharpness rises at once, from
 * 280 to 310 in 0.1 units of time. */
static void small_parameters(double *to)
{
    size_t i;

    eos_init(0, to);
    for (i = weighted(2)->theta; i < weighted(2)->bias; i++)
        to[i] *= 16;
}

static void add(double *to, double a, const double *x)
{
    size_t i;

    for (i = 0; i < net.params; i++)
        to[i] += a * x[i];
}

#endif

static void near(const char *what, double found, double expected,
                 double tolerance)
{
    bool ok = fabs(found - expected) <= tolerance * fabs(expected);

    cr_assert(ok, "%s: found %.17g, expected %.17g, off by %.2g", what, found,
              expected, fabs(found / expected - 1));
}
