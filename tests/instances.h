/*
 * Every instance of sections 3 and 6 behind one face, as a table: those of the
 * build and the two of extra.h.  eos.c includes this file once for each (PART),
 * to make its wrappers, which have the instance's target, for what eos.c
 * inlines can be called from nowhere else.
 */
#if !defined ISA
#if !defined INSTANCES_H
#define INSTANCES_H

struct instance {
    const char *name;
    int bits; /* of a number                               */
    size_t lanes, mr;
    bool fused; /* promises equal bits                       */
    int isa;
    void (*matmul)(const struct walk *, size_t m, size_t n, const void *a,
                   const void *b, void *c);
    void (*matmul_add)(const struct walk *, size_t m, size_t n, const void *a,
                       const void *b, double *sum, size_t sum_row);
    size_t (*height)(size_t left, size_t nv); /* rows of the next tile */
    void (*pack)(size_t k, size_t depth, size_t n, const double *x, size_t step,
                 void *packed);
    void (*exp)(size_t n, const void *x, void *y); /* n: whole vectors      */
    void (*exp1)(const void *x, void *y);
    void (*swish)(int order, const void *z, void *a, void *d); /* [k][lane] */
    void (*loss)(int order, void *f, size_t step, int label, double scale,
                 double *loss); /* config.loss says which    */
    void (*pass)(struct pass *);
};

#if defined __x86_64__
#define FUSES_PLAIN false
#else
#define FUSES_PLAIN (UINTPTR_MAX > 0xffffffff || defined_fast_fma)
#endif
enum {
#if defined FP_FAST_FMA
    defined_fast_fma = true
#else
    defined_fast_fma = false
#endif
};

#define REGION
#include "extra.h"
#define PART "tests/instances.h"
#include "../eos.c"
#include "extra.h"
#undef PART
#undef REGION

static const struct instance *const instances[] = {
#if WITH_C
    &face_c_f32,      &face_c_f64,
#endif
#if WITH_CFMA
    &face_cfma_f32,   &face_cfma_f64,
#endif
#if WITH_AVX2
    &face_avx2_f32,   &face_avx2_f64,
#endif
#if WITH_AVX512
    &face_avx512_f32, &face_avx512_f64,
#endif
#if WITH_NEON
    &face_neon_f32,   &face_neon_f64,
#endif
    &face_wide_f32,   &face_wide_f64,   &face_slim_f32, &face_slim_f64,
};
enum { INSTANCES = sizeof instances / sizeof *instances };

/* The next instance that this machine runs, from place *i on; NULL after the
 * last.  for (i = 0; (in = next_instance(&i)); ) visits them all. */
static const struct instance *next_instance(size_t *i)
{
    while (*i < INSTANCES && !isa_runs(instances[*i]->isa))
        ++*i;
    return *i < INSTANCES ? instances[(*i)++] : NULL;
}

#endif
#else

static void N(face_matmul)(const struct walk *w, size_t m, size_t n,
                           const void *a, const void *b, void *c)
{
    gemm(w, m, n, a, b, c);
}

/* As the weight gradients are made: from zero, then added to the sum. */
static void N(face_matmul_add)(const struct walk *w, size_t m, size_t n,
                               const void *a, const void *b, double *sum,
                               size_t sum_row)
{
    static REAL c[1 << 17];
    struct walk own = *w;

    own.c_row = (n + LANES - 1) / LANES * LANES;
    memset(c, 0, m * own.c_row * sizeof *c);
    gemm(&own, m, n, a, b, c);
    gemm_sum(m, n, c, own.c_row, sum, sum_row);
}

static TARGET size_t N(face_height)(size_t left, size_t nv)
{
    return N(gemm_height)(left, nv);
}

static void N(face_pack)(size_t k, size_t depth, size_t n, const double *x,
                         size_t step, void *to)
{
    N(pack_row)(k, depth, n, x, step, to);
}

static TARGET void N(face_exp)(size_t n, const void *x, void *y)
{
    size_t i;

    for (i = 0; i < n; i += LANES)
        v_store((REAL *)y + i, v_exp(v_load((const REAL *)x + i)));
}

static TARGET void N(face_exp1)(const void *x, void *y)
{
    *(REAL *)y = v_exp1(*(const REAL *)x);
}

/* The order is a constant inside, as in eos.c: what is unrolled for any number
 * takes long to compile. */
INLINE TARGET void N(swish_series)(const size_t order, const REAL *z, REAL *a,
                                   REAL *d)
{
    V zk[ORDERS], ak[ORDERS], dk[ORDERS];

    for (size_t k = 0; k <= order; k++)
        zk[k] = v_load(z + k * LANES);
    N(act_swish)(order, zk, ak, dk);
    for (size_t k = 0; k <= order; k++) {
        v_store(a + k * LANES, ak[k]);
        v_store(d + k * LANES, dk[k]);
    }
}

static TARGET void N(face_swish)(int order, const void *z, void *a, void *d)
{
    switch (order) {
    case 0:
        N(swish_series)(0, z, a, d);
        break;
    case 1:
        N(swish_series)(1, z, a, d);
        break;
    case 2:
        N(swish_series)(2, z, a, d);
        break;
    default:
        N(swish_series)(3, z, a, d);
        break;
    }
}

static void N(face_loss)(int order, void *f, size_t step, int label,
                         double scale, double *loss)
{
    if (config.loss == EOS_CE)
        N(loss_ce)((size_t)order, f, step, label, (REAL)scale, loss);
    else if (config.loss == EOS_LOGISTIC)
        N(loss_logistic)((size_t)order, f, step, label, (REAL)scale, loss);
    else
        N(loss_mse)((size_t)order, f, step, label, (REAL)scale, loss);
}

#define NAME_TEXT(isa, prec) NAME_TEXT2(isa, prec)
#define NAME_TEXT2(isa, prec) #isa "_" #prec
static const struct instance N(face) = {
    NAME_TEXT(ISA, PREC),
    BITS,
    LANES,
    MR,
    MULTIPLY_ADD != ISA_PLAIN || FUSES_PLAIN,
    MULTIPLY_ADD,
    N(face_matmul),
    N(face_matmul_add),
    N(face_height),
    N(face_pack),
    N(face_exp),
    N(face_exp1),
    N(face_swish),
    N(face_loss),
    N(net_pass),
};
#undef NAME_TEXT
#undef NAME_TEXT2

#endif
