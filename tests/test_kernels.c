/*
 * Section 3: matrix products and exp, in every instance that this machine
 * can run and in two that exist for the tests (extra.h).  The oracle is a
 * plain triple loop, one chain of multiply-adds an element: the kernels
 * promise its very bits.
 */
#include "common.h"
#include "instances.h"

/* --- Buffers: filled with NaN, with canaries after them --- */

enum { SPACE = 1 << 17, GUARD = 512, CANARY = 0xa5 };
static struct buffer {
    size_t bytes; /* in use; the canaries follow               */
    _Alignas(64) unsigned char mem[8 * SPACE + GUARD];
} a_buffer, b_buffer, c_buffer, start_buffer, c_before, packed_buffer;
static double real_matrix[SPACE];

static void clear(struct buffer *b, size_t bytes)
{
    cr_assert(bytes <= 8 * SPACE, "%zu bytes: the test needs more room", bytes);
    b->bytes = bytes;
    memset(b->mem, 0xff, bytes); /* all ones is a NaN                 */
    memset(b->mem + bytes, CANARY, GUARD);
}

static bool canaries_live(const struct buffer *b)
{
    size_t i;

    for (i = 0; i < GUARD; i++)
        if (b->mem[b->bytes + i] != CANARY)
            return false;
    return true;
}

static double get(int bits, const struct buffer *b, size_t i)
{
    double d;
    float f;

    memcpy(&d, b->mem + 8 * i, bits == 64 ? sizeof d : 0);
    memcpy(&f, b->mem + 4 * i, bits == 32 ? sizeof f : 0);
    return bits == 64 ? d : (double)f;
}

static void put(int bits, struct buffer *b, size_t i, double d)
{
    float f = (float)d;

    if (bits == 64)
        memcpy(b->mem + 8 * i, &d, sizeof d);
    else
        memcpy(b->mem + 4 * i, &f, sizeof f);
}

/* --- A product of some shape --- */

struct shape {
    struct walk w;
    size_t m, n;
    uint64_t seed;
    bool whole;   /* small whole numbers, else random reals  */
    bool started; /* C begins with a row of its own          */
};

static size_t a_at(const struct shape *s, size_t i, size_t seg, size_t k)
{
    return i * s->w.a.row + seg * s->w.a.seg + k * s->w.a.step;
}

static size_t b_at(const struct shape *s, size_t seg, size_t k, size_t j)
{
    return seg * s->w.b.seg + k * s->w.b.step + j;
}

static double number(const struct shape *s, uint64_t *rng)
{
    double u = rng_sign_unit(rng);

    return s->whole ? floor(8 * u) : u;
}

/* Elements of A that some row reads. */
static size_t a_size(const struct shape *s)
{
    size_t i, at, most = 0;

    for (i = 0; i < s->m; i++) {
        at = a_at(s, i, s->w.segs - 1, s->w.len - 1);
        most = at > most ? at : most;
    }
    return most + 1;
}

static size_t padded(const struct instance *in, size_t n)
{
    return pieces(n, in->lanes) * in->lanes;
}

/* A and B: numbers where the product reads them, NaN elsewhere: in rows past
 * m, columns past n, and between strides.  Writing in order of rows lets
 * overlapping windows agree. */
static void fill_operands(const struct instance *in, const struct shape *s)
{
    const size_t size = (size_t)in->bits / 8;
    uint64_t rng = s->seed;
    size_t i, j, seg, k;

    clear(&a_buffer, a_size(s) * size);
    clear(&b_buffer,
          (b_at(s, s->w.segs - 1, s->w.len - 1, padded(in, s->n) - 1) + 1) *
              size);
    for (i = 0; i < s->m; i++)
        for (seg = 0; seg < s->w.segs; seg++)
            for (k = 0; k < s->w.len; k++)
                put(in->bits, &a_buffer, a_at(s, i, seg, k), number(s, &rng));
    for (seg = 0; seg < s->w.segs; seg++)
        for (k = 0; k < s->w.len; k++)
            for (j = 0; j < s->n; j++)
                put(in->bits, &b_buffer, b_at(s, seg, k, j), number(s, &rng));
}

static double multiply_add(const struct instance *in, double a, double b,
                           double c)
{
    if (in->bits == 64)
        return in->fused ? fma(a, b, c) : a * b + c;
    if (in->fused)
        return (double)fmaf((float)a, (float)b, (float)c);
    return (double)((float)a * (float)b + (float)c);
}

/* Element (i, j) that comes of c: the chain's bits; in *exact the sum in
 * long double, in *size that of the magnitudes. */
static double oracle(const struct instance *in, const struct shape *s, size_t i,
                     size_t j, double c, long double *exact, double *size)
{
    size_t seg, k;

    *exact = c;
    *size = fabs(c);
    for (seg = 0; seg < s->w.segs; seg++)
        for (k = 0; k < s->w.len; k++) {
            double a = get(in->bits, &a_buffer, a_at(s, i, seg, k));
            double b = get(in->bits, &b_buffer, b_at(s, seg, k, j));

            c = multiply_add(in, a, b, c);
            *exact += (long double)a * b;
            *size += fabs(a * b);
        }
    return c;
}

static const char *describe(const struct instance *in, const struct shape *s)
{
    static char text[300];

    snprintf(text, sizeof text,
             "%s, %zu x %zu, seed %" PRIu64 ", segs %zu, "
             "len %zu, A row %zu step %zu seg %zu, B step %zu seg "
             "%zu, C row %zu",
             in->name, s->m, s->n, s->seed, s->w.segs, s->w.len, s->w.a.row,
             s->w.a.step, s->w.a.seg, s->w.b.step, s->w.b.seg, s->w.c_row);
    return text;
}

/* The chain of K rounded operations is off by at most K/2 eps sum |a b|; the
 * oracle's bits are the kernel's. */
static void element_matches(const struct instance *in, const struct shape *s,
                            size_t i, size_t j, double c, double found)
{
    const double eps = in->bits == 64 ? DBL_EPSILON : (double)FLT_EPSILON;
    long double exact;
    double size, chain = oracle(in, s, i, j, c, &exact, &size);
    double error = (double)fabsl(found - exact);
    double steps = (double)(s->w.segs * s->w.len);

    cr_assert(found == chain,
              "%s: element (%zu, %zu) is %a, the chain "
              "gives %a",
              describe(in, s), i, j, found, chain);
    cr_assert(error <= steps * eps * size,
              "%s: element (%zu, %zu) is %a, "
              "off by %g",
              describe(in, s), i, j, found, error);
    cr_assert(!s->whole || error == 0,
              "%s: element (%zu, %zu) is %g, not "
              "%Lg",
              describe(in, s), i, j, found, exact);
}

/* C[m][n] starts as numbers, or as NaN where it is given a row to begin with;
 * what is past its rows' padding as canaries. */
static void matmul_matches(const struct instance *in, const struct shape *s)
{
    const size_t size = (size_t)in->bits / 8, wide = padded(in, s->n);
    struct walk w = s->w;
    uint64_t rng = s->seed + 1;
    size_t i, j;

    fill_operands(in, s);
    clear(&start_buffer, wide * size);
    for (j = 0; j < s->n; j++)
        put(in->bits, &start_buffer, j, number(s, &rng));
    w.start = s->started ? start_buffer.mem : NULL;
    clear(&c_buffer, ((s->m - 1) * s->w.c_row + wide) * size);
    for (i = 0; i < s->m; i++) {
        for (j = 0; !s->started && j < s->n; j++)
            put(in->bits, &c_buffer, i * s->w.c_row + j, number(s, &rng));
        for (j = wide; i + 1 < s->m && j < s->w.c_row; j++)
            put(in->bits, &c_buffer, i * s->w.c_row + j, 77);
    }
    c_before = c_buffer;
    in->matmul(&w, s->m, s->n, a_buffer.mem, b_buffer.mem, c_buffer.mem);
    for (i = 0; i < s->m; i++) {
        for (j = 0; j < s->n; j++)
            element_matches(in, s, i, j,
                            s->started
                                ? get(in->bits, &start_buffer, j)
                                : get(in->bits, &c_before, i * s->w.c_row + j),
                            get(in->bits, &c_buffer, i * s->w.c_row + j));
        for (j = wide; i + 1 < s->m && j < s->w.c_row; j++)
            cr_assert(get(in->bits, &c_buffer, i * s->w.c_row + j) == 77,
                      "%s: wrote beyond row %zu", describe(in, s), i);
    }
    cr_assert(canaries_live(&c_buffer), "%s: wrote beyond C", describe(in, s));
}

/* The product is formed from zero and added to a float64 sum, of which
 * nothing but m rows of n columns may change. */
static void matmul_add_matches(const struct instance *in, const struct shape *s)
{
    uint64_t rng = s->seed + 2;
    size_t row = s->w.c_row, i, j;

    fill_operands(in, s);
    clear(&c_buffer, s->m * row * sizeof(double));
    for (i = 0; i < s->m * row; i++)
        put(64, &c_buffer, i, i % row < s->n ? number(s, &rng) : 77);
    c_before = c_buffer;
    in->matmul_add(&s->w, s->m, s->n, a_buffer.mem, b_buffer.mem,
                   (double *)(void *)c_buffer.mem, row);
    for (i = 0; i < s->m; i++)
        for (j = 0; j < row; j++) {
            double old = get(64, &c_before, i * row + j), size;
            double found = get(64, &c_buffer, i * row + j);
            long double exact;

            if (j < s->n)
                old += oracle(in, s, i, j, 0, &exact, &size);
            cr_assert(found == old,
                      "matmul_add, %s: element (%zu, %zu) is "
                      "%a, not %a",
                      describe(in, s), i, j, found, old);
        }
    cr_assert(canaries_live(&c_buffer), "%s: wrote beyond the sum",
              describe(in, s));
}

/* --- Shapes --- */

/* A dense product: rows of A one after another, B without gaps. */
static struct shape dense_shape(const struct instance *in, size_t m, size_t n,
                                size_t len, uint64_t seed)
{
    struct shape s = {.m = m, .n = n, .seed = seed};

    s.w = walk_times(len, len, padded(in, n), padded(in, n), NULL);
    return s;
}

/* Every stride at random, such that no two elements share a place. */
static struct shape random_shape(const struct instance *in, uint64_t seed)
{
    uint64_t rng = seed;
    size_t m = whole_number(&rng, 1, 3 * in->mr + 1);
    size_t n = whole_number(&rng, 1, 6 * in->lanes + 1);
    struct shape s = {.m = m, .n = n, .seed = seed};
    struct walk *w = &s.w;

    w->segs = whole_number(&rng, 1, 4);
    w->len = whole_number(&rng, 1, 21);
    if (seed % 2) { /* rows apart, k together            */
        w->a.step = whole_number(&rng, 1, 3);
        w->a.seg = w->a.step * w->len + whole_number(&rng, 0, 3);
        w->a.row = w->a.seg * w->segs + whole_number(&rng, 0, 3);
    } else { /* rows together, k apart               */
        w->a.row = 1;
        w->a.step = m + whole_number(&rng, 0, 3);
        w->a.seg = w->a.step * w->len + whole_number(&rng, 0, 3);
    }
    w->b.step = padded(in, n) + whole_number(&rng, 0, 5);
    w->b.seg = w->b.step * w->len + whole_number(&rng, 0, 5);
    w->c_row = padded(in, n) + whole_number(&rng, 0, 5);
    return s;
}

/* A convolution: windows of 3 rows that overlap in a padded image.  Its A
 * must be read as it lies, for elements serve several rows of the product. */
static struct shape window_shape(const struct instance *in, size_t side,
                                 size_t depth, size_t n, uint64_t seed)
{
    struct shape s = {.m = side, .n = n, .seed = seed};

    s.w = walk_times(3 * depth, depth, padded(in, n), padded(in, n), NULL);
    s.w.segs = 3;
    s.w.a.seg = (side + 2) * depth;
    s.w.b.seg = 3 * depth * padded(in, n);
    return s;
}

static void both_match(const struct instance *in, struct shape s)
{
    s.whole = true;
    matmul_matches(in, &s);
    matmul_add_matches(in, &s);
    s.whole = false;
    matmul_matches(in, &s);
    matmul_add_matches(in, &s);
    s.started = true;
    matmul_matches(in, &s);
}

Test(products, every_small_shape)
{
    const struct instance *in;
    size_t i, m, n, k;

    for (i = 0; (in = next_instance(&i));)
        for (m = 1; m <= in->mr + 2; m++)
            for (n = 1; n <= 2 * in->lanes + 2; n++)
                for (k = 1; k <= 4; k++)
                    both_match(in, dense_shape(in, m, n, k, 1000 * m + n));
}

/* Past NV vectors the columns are cut into groups (4 = 2 + 2, 5 = 3 + 2). */
Test(products, every_number_of_columns)
{
    const struct instance *in;
    size_t i, n;

    for (i = 0; (in = next_instance(&i));)
        for (n = 1; n <= 7 * in->lanes + 1; n++) {
            both_match(in, dense_shape(in, in->mr + 1, n, 3, n));
            both_match(in, dense_shape(in, 2 * in->mr, n, 2, n));
        }
}

Test(products, random_shapes_and_strides)
{
    const struct instance *in;
    uint64_t seed;
    size_t i;

    for (i = 0; (in = next_instance(&i));)
        for (seed = 1; seed <= 150; seed++)
            both_match(in, random_shape(in, seed));
}

Test(products, windows_of_a_convolution)
{
    static const size_t side[] = {1, 2, 7, 8, 9, 16, 32};
    const struct instance *in;
    size_t i, j;

    for (i = 0; (in = next_instance(&i));)
        for (j = 0; j < sizeof side / sizeof *side; j++) {
            both_match(in, window_shape(in, side[j], 1, 5, j));
            both_match(in, window_shape(in, side[j], 3, 32, j));
        }
}

/* Tiles cover the rows, none of a height that is not compiled; nothing is left
 * to tiles of one row where MR rows or more are not spread too thin, and never
 * four rows. */
Test(products, heights_of_tiles)
{
    const struct instance *in;
    size_t i, m, first, rows, nv, ones;

    for (i = 0; (in = next_instance(&i));)
        for (m = 1; m <= 300; m++)
            for (nv = 1; nv <= 3; nv++) {
                const size_t most = nv < 3 ? in->mr + TALL : in->mr;

                for (first = ones = 0; first < m; first += rows) {
                    rows = in->height(m - first, nv);
                    cr_assert(rows == 1 || (rows == 4 && in->mr == 8) ||
                                  (rows >= in->mr && rows <= most),
                              "%s: a tile of %zu of %zu rows", in->name, rows,
                              m);
                    ones += rows == 1;
                }
                cr_assert(first == m, "%s: %zu rows of %zu", in->name, first,
                          m);
                cr_assert(ones < 4 && (nv == 3 || m < 4 * in->mr || !ones),
                          "%s: %zu rows of %zu alone", in->name, ones, m);
            }
}

/* The longest sums of the program: BLOCK samples, PIXELS inputs. */
Test(products, long_sums)
{
    const struct instance *in;
    size_t i;

    for (i = 0; (in = next_instance(&i));) {
        both_match(in, dense_shape(in, in->mr + 1, in->lanes + 1, BLOCK, 1));
        both_match(in, dense_shape(in, 2, 3, PIXELS, 2));
    }
}

/* An infinity or a NaN in A or B spoils what depends on it, no more. */
Test(products, a_nan_stays_in_its_row)
{
    const struct instance *in;
    size_t i, row, col;

    for (i = 0; (in = next_instance(&i));) {
        struct shape s = dense_shape(in, in->mr + 1, in->lanes + 1, 5, 9);
        struct walk *w = &s.w;

        s.whole = true;
        fill_operands(in, &s);
        put(in->bits, &a_buffer, a_at(&s, 2, 0, 3), NAN);
        clear(&c_buffer, s.m * w->c_row * (size_t)in->bits / 8);
        memset(c_buffer.mem, 0, c_buffer.bytes);
        in->matmul(w, s.m, s.n, a_buffer.mem, b_buffer.mem, c_buffer.mem);
        for (row = 0; row < s.m; row++)
            for (col = 0; col < s.n; col++)
                cr_assert(isnan(get(in->bits, &c_buffer,
                                    row * w->c_row + col)) == (row == 2),
                          "%s: (%zu, %zu)", describe(in, &s), row, col);
    }
}

/* --- Equal bits, whichever instance --- */

Test(products, instances_agree_bit_for_bit)
{
    static double first[2][4096];
    const struct instance *in;
    bool have[2] = {false, false};
    size_t i, j, p, m = 19, n = 101, len = 37;

    for (i = 0; (in = next_instance(&i));) {
        struct shape s = dense_shape(in, m, n, len, 5);

        if (!in->fused)
            continue;
        fill_operands(in, &s);
        clear(&c_buffer, m * s.w.c_row * (size_t)in->bits / 8);
        memset(c_buffer.mem, 0, c_buffer.bytes);
        in->matmul(&s.w, m, n, a_buffer.mem, b_buffer.mem, c_buffer.mem);
        p = in->bits == 64;
        for (j = 0; j < m * n; j++) {
            double c = get(in->bits, &c_buffer, j / n * s.w.c_row + j % n);

            cr_assert(!have[p] || first[p][j] == c,
                      "%s: (%zu, %zu) is %a, "
                      "elsewhere %a",
                      in->name, j / n, j % n, c, first[p][j]);
            first[p][j] = c;
        }
        have[p] = true;
    }
}

/* --- Packing --- */

/* A product with a packed B, cut in two along k, has the bits of one chain; so
 * what is packed is read, and the last panel's filling with zeros, too. */
static void packed_matches(const struct instance *in, size_t m, size_t n,
                           size_t depth, size_t cut)
{
    const size_t wide = padded(in, n), size = (size_t)in->bits / 8;
    struct shape s = dense_shape(in, m, n, depth, m + n);
    struct walk w = s.w;
    size_t k, i, j;

    fill_operands(in, &s);
    for (k = 0; k < depth; k++)
        for (j = 0; j < n; j++)
            real_matrix[k + j * depth] = get(in->bits, &b_buffer, k * wide + j);
    clear(&packed_buffer, depth * wide * size);
    for (k = depth; k-- > 0;)
        in->pack(k, depth, n, real_matrix + k, depth, packed_buffer.mem);
    cr_assert(canaries_live(&packed_buffer), "%s, %zu x %zu: wrote beyond",
              in->name, depth, n);
    clear(&c_buffer, m * wide * size);
    memset(c_buffer.mem, 0, c_buffer.bytes);
    w.b.depth = depth;
    w.len = cut;
    in->matmul(&w, m, n, a_buffer.mem, packed_buffer.mem, c_buffer.mem);
    w.b.first = cut;
    w.len = depth - cut;
    in->matmul(&w, m, n, a_buffer.mem + cut * size, packed_buffer.mem,
               c_buffer.mem);
    for (i = 0; i < m; i++)
        for (j = 0; j < wide; j++)
            if (j < n)
                element_matches(in, &s, i, j, 0,
                                get(in->bits, &c_buffer, i * wide + j));
            else
                cr_assert(get(in->bits, &c_buffer, i * wide + j) == 0,
                          "%s: column %zu of %zu is not zero", in->name, j, n);
}

Test(packing, product_with_packed_panels_may_be_cut_along_k)
{
    const struct instance *in;
    size_t i, n;

    for (i = 0; (in = next_instance(&i));)
        for (n = 1; n <= 9 * in->lanes + 1; n += n < 4 ? 1 : 3)
            packed_matches(in, in->mr + 1 + n % 5, n, 13, 1 + n % 12);
}

/* The window of a convolution with a packed weight: its segments follow each
 * other in the panels. */
Test(packing, segments_follow_each_other)
{
    const struct instance *in;
    size_t i, k, j;

    for (i = 0; (in = next_instance(&i));) {
        const size_t n = 5 * in->lanes - 1, wide = padded(in, n), all = 27;
        struct shape s = window_shape(in, 16, 3, n, 4);
        struct walk w = s.w;
        double row[400];

        fill_operands(in, &s);
        clear(&packed_buffer, all * wide * (size_t)in->bits / 8);
        for (k = 0; k < all; k++) {
            for (j = 0; j < n; j++)
                row[j] = get(in->bits, &b_buffer, k * wide + j);
            in->pack(k, all, n, row, 1, packed_buffer.mem);
        }
        clear(&c_buffer, s.m * wide * (size_t)in->bits / 8);
        memset(c_buffer.mem, 0, c_buffer.bytes);
        w.b.depth = all;
        w.b.seg = w.len; /* rows of a panel */
        in->matmul(&w, s.m, n, a_buffer.mem, packed_buffer.mem, c_buffer.mem);
        for (k = 0; k < s.m; k++)
            for (j = 0; j < n; j++)
                element_matches(in, &s, k, j, 0,
                                get(in->bits, &c_buffer, k * wide + j));
    }
}

/* --- exp --- */

enum { POINTS = 1 << 17 };
static struct {
    _Alignas(64) double f64[POINTS];
    _Alignas(64) float f32[POINTS];
} exp_in, exp_out;

static void *exp_memory(int bits, bool result)
{
    if (bits == 64)
        return result ? exp_out.f64 : exp_in.f64;
    return result ? exp_out.f32 : exp_in.f32;
}

/* Points from low to high, the first and the last included; exp of them. */
static void run_exp(const struct instance *in, double low, double high)
{
    size_t i;

    for (i = 0; i < POINTS; i++) {
        exp_in.f64[i] = low + (high - low) * (double)i / (POINTS - 1);
        exp_in.f32[i] = (float)exp_in.f64[i];
    }
    in->exp(POINTS, exp_memory(in->bits, false), exp_memory(in->bits, true));
}

/* The error in units of the result's last place; where the result is
 * subnormal, in units of the smallest subnormal: the absolute error. */
static double exp_ulps(const struct instance *in, size_t i)
{
    const int digits = in->bits == 64 ? DBL_MANT_DIG : FLT_MANT_DIG;
    const int least = in->bits == 64 ? DBL_MIN_EXP : FLT_MIN_EXP;
    long double x = in->bits == 64 ? (long double)exp_in.f64[i]
                                   : (long double)exp_in.f32[i];
    long double y = in->bits == 64 ? (long double)exp_out.f64[i]
                                   : (long double)exp_out.f32[i];
    int e;

    (void)frexpl(expl(x), &e);
    return (double)(fabsl(y - expl(x)) /
                    ldexpl(1, (e < least ? least : e) - digits));
}

static double worst_exp(const struct instance *in, double low, double high,
                        double limit)
{
    double worst = 0;
    size_t i;

    run_exp(in, low, high);
    for (i = 0; i < POINTS; i++) {
        double error = exp_ulps(in, i);

        cr_assert(error <= limit, "%s: exp(%a) is off by %g ulp", in->name,
                  in->bits == 64 ? exp_in.f64[i] : (double)exp_in.f32[i],
                  error);
        worst = fmax(worst, error);
    }
    return worst;
}

Test(exp, stays_within_1_ulp)
{
    const double slack = LDBL_MANT_DIG > DBL_MANT_DIG ? 0 : 0.5;
    const struct instance *in;
    size_t i;

    for (i = 0; (in = next_instance(&i));) {
        bool wide = in->bits == 64;
        double top = wide ? 709.78 : 88.72, least = wide ? -708.39 : -87.33;
        double limit = (in->fused ? 1 : 1.25) + (wide ? slack : 0);
        double normal, subnormal;

        normal = worst_exp(in, least, top, limit);
        normal = fmax(normal, worst_exp(in, -1, 1, limit));
        normal = fmax(normal, worst_exp(in, -0x1p-20, 0x1p-20, limit));
        normal = fmax(normal, worst_exp(in, -20, 20, limit));
        /* Twice rounded: by the product with the first and second factor. */
        subnormal = worst_exp(in, wide ? -750 : -106, least, 1);
        printf("exp, %s: at most %.4f ulp; %.3f of the smallest subnormal\n",
               in->name, normal, subnormal);
    }
}

static double exp_of(const struct instance *in, double x)
{
    float x32 = (float)x, y32 = 0;
    double y64 = 0;

    if (in->bits == 64)
        in->exp1(&x, &y64);
    else
        in->exp1(&x32, &y32);
    return in->bits == 64 ? y64 : (double)y32;
}

Test(exp, special_values)
{
    static const double x[] = {
        0,
        -0.0,
        INFINITY,
        -INFINITY,
        1e30,
        -1e30,
        1000,
        -1000,
        -104,
        -746,
        0x1.62e42ep6,
        0x1.62e43p6, /* float32: below, above overflow    */
        0x1.62e42fefa39efp9,
        0x1.62e42fefa39fp9, /* float64, likewise */
        -745.13,            /* rounds up to the smallest         */
    };
    const struct instance *in;
    size_t i, j;

    for (i = 0; (in = next_instance(&i));) {
        for (j = 0; j < sizeof x / sizeof *x; j++) {
            bool wide = in->bits == 64;
            long double exact = expl(wide ? x[j] : (double)(float)x[j]);
            double wanted = wide ? (double)exact : (double)(float)exact;
            double found = exp_of(in, x[j]);
            double ulp = wide ? DBL_EPSILON : (double)FLT_EPSILON;

            cr_assert(found == wanted || fabs(found - wanted) <= ulp * wanted,
                      "%s: exp(%a) is %a, not %a", in->name, x[j], found,
                      wanted);
        }
        cr_assert(isnan(exp_of(in, NAN)), "%s: exp(NaN) is %g", in->name,
                  exp_of(in, NAN));
        cr_assert(isnan(exp_of(in, -NAN)), "%s: exp(-NaN) is %g", in->name,
                  exp_of(in, -NAN));
    }
}

Test(exp, instances_agree_bit_for_bit)
{
    static double f64[POINTS];
    static float f32[POINTS];
    const struct instance *in;
    bool have[2] = {false, false};
    size_t i, j;

    for (i = 0; (in = next_instance(&i));) {
        bool wide = in->bits == 64;
        size_t size = wide ? sizeof f64 : sizeof f32;
        void *kept = wide ? (void *)f64 : (void *)f32;

        if (!in->fused)
            continue;
        run_exp(in, wide ? -760 : -110, wide ? 720 : 95);
        cr_assert(!have[wide] ||
                      !memcmp(kept, exp_memory(in->bits, true), size),
                  "%s differs from another instance", in->name);
        memcpy(kept, exp_memory(in->bits, true), size);
        have[wide] = true;
        for (j = 0; j < POINTS; j += 997)
            cr_assert(
                exp_of(in, wide ? exp_in.f64[j] : (double)exp_in.f32[j]) ==
                    (wide ? exp_out.f64[j] : (double)exp_out.f32[j]),
                "%s: exp1 is not exp at point %zu", in->name, j);
    }
}
