/*
 * eos: self-stabilization at the edge of stability, in one C file.
 *
 * What it is: a reference implementation of Damian, Nichani, Lee,
 * "Self-Stabilization: The Implicit Bias of Gradient Descent at the Edge of
 * Stability", ICLR 2023 (arXiv 2209.15594), here "the paper".  Full-batch
 * gradient descent on one of the paper's networks until the sharpness S reaches
 * 2/eta, then four trajectories side by side: gradient descent, the constrained
 * trajectory, the predicted dynamics and gradient flow.
 *
 * What it is not: a deep learning framework.  Four networks, four losses
 * and two data formats are all it knows, and every buffer is static.
 *
 * Contents.  Nothing is used before it is defined: a section calls those above
 * it.  What is global has one owner: at the right are the larger ones.
 *    1  configuration and limits, table of options          config
 *    2  numbers: memory, threads, random numbers, vectors   room, pool
 *    3  matrix products: vectors, exp, micro-kernel  [generated]
 *    4  files: errors, reading, .npy, atomic writes         failed, places
 *    5  data: images, sentences, both also built in         train, test, norm,
 *                                                           vocabulary, words
 *    6  network: tables of layers, their series  [generated]  net, memory
 *    7  derivatives: the loss and its first four            kernel, hvps
 *    8  sharpness: the top eigenpairs of the Hessian        eig, krylov,
 *                                                           outliers
 *    9  dynamics: the constrained trajectory, predictions   path, dagger,
 *   9b  past the paper: several unstable directions         warm, scratch
 *   10  log and terminal: tables of columns, progress       out, logfile
 *   11  statistics and summary                              row, stats, full
 *   12  checkpoints and signals                             progress, ckpt
 *   13  start: defaults, room, what a command opens
 *   14  the run: approach, track, training alone            check
 *   15  deriv: all derivatives at given parameters
 *   16  toy: Section 4 of the paper                         toy_now
 *   17  command line and main
 *
 * A step's way, each given what it reads and writes: main (17), eos_run, track,
 * track_step (14), then for theta+ project and measure (9b) and
 * sharpness (8), and for every trajectory gradient, hessian, loss_on, taylor
 * (7), net_pass, a task for each tile of samples, run_tile, a layer's forward
 * and backward (6), gemm and its micro-kernel (3).  Back comes a row (11),
 * which the tables of columns (10, 14) write.
 *
 * How one text becomes many.  What depends on the instruction set, parts of
 * sections 3 and 6, is written once over a type REAL and a vector of VBYTES
 * bytes.  The file includes itself to compile those parts for every instruction
 * set and both precisions: REGION asks for them, ISA and REAL say which one it
 * is, and N(name) is the name in that instance: N(gemm) is gemm_avx512_f32.
 * Target attributes compile all kernels everywhere; the best one is chosen when
 * the program starts (EOS_KERNEL=name overrides it).
 */

/* The instruction sets.  make KERNELS=avx2 builds that kernel alone (ONLY),
 * KERNELS=c the portable one, on x86-64 also with fused multiply-add. */
#ifndef ONLY
#define ONLY ONLY_
#endif
#define ONLY_ 0
#define ONLY_avx512 1
#define ONLY_avx2 2
#define ONLY_neon 3
#define ONLY_c 4
#if defined __x86_64__
#define WITH_AVX512 (ONLY == ONLY_ || ONLY == ONLY_avx512)
#define WITH_AVX2 (ONLY == ONLY_ || ONLY == ONLY_avx2)
#define WITH_CFMA (ONLY == ONLY_c)
#elif defined __aarch64__
#define WITH_NEON (ONLY == ONLY_ || ONLY == ONLY_neon)
#endif
#define WITH_C (ONLY == ONLY_ || ONLY == ONLY_c)

/* The instances: first over instruction sets, then over precisions. */
#if defined REGION && !defined ISA
#if WITH_C
#define ISA c
#define VBYTES 16
#define MR 4 /* rows of a micro-tile */
#define TARGET
#define MULTIPLY_ADD ISA_PLAIN
#include "eos.c"
#endif
#if WITH_CFMA
#define ISA cfma
#define VBYTES 16
#define MR 4
#define TARGET __attribute__((target("fma")))
#define MULTIPLY_ADD ISA_FMA
#include "eos.c"
#endif
#if WITH_AVX2
#define ISA avx2
#define VBYTES 32
#define MR 4
#define TARGET __attribute__((target("avx2,fma")))
#define MULTIPLY_ADD ISA_AVX2
#include "eos.c"
#endif
#if WITH_AVX512
#define ISA avx512
#define VBYTES 64
#define MR 8
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,fma")))
#define MULTIPLY_ADD ISA_AVX512
#include "eos.c"
#endif
#if WITH_NEON
#define ISA neon
#define VBYTES 16
#define MR 8
#define TARGET
#define MULTIPLY_ADD ISA_NEON
#include "eos.c"
#endif
#elif defined REGION && !defined REAL
#define REAL float
#define BITS 32
#define PREC f32
#include "eos.c"
#undef REAL
#undef BITS
#undef PREC
#define REAL double
#define BITS 64
#define PREC f64
#include "eos.c"
#undef REAL
#undef BITS
#undef PREC
#undef ISA
#undef VBYTES
#undef MR
#undef TARGET
#undef MULTIPLY_ADD
#endif

#ifndef REGION

/* ------------------------------------------------------------------------
 * 1  Configuration and limits
 * ------------------------------------------------------------------------ */

#define _FILE_OFFSET_BITS 64 /* of 32-bit machines, too */
#define _GNU_SOURCE          /* POSIX, and sched_getaffinity on Linux */

#if defined __FAST_MATH__ || \
    (defined __FINITE_MATH_ONLY__ && __FINITE_MATH_ONLY__)
#error "-ffast-math, -Ofast and -ffinite-math-only break eos: build without"
#endif

#if defined __GNUC__ && !defined __clang__ && __FLT_EVAL_METHOD__ > 0
#pragma GCC optimize "excess-precision=fast" /* float is float: s390x */
#endif

#include "eos.h"

#include <complex.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined __x86_64__
#include <immintrin.h>
#elif defined __aarch64__
#include <arm_neon.h>
#endif

#define VERSION "0.1"

/* How an instance multiplies and adds. */
#define ISA_PLAIN 0
#define ISA_FMA 1
#define ISA_AVX2 2
#define ISA_AVX512 3
#define ISA_NEON 4

#define CAT3(a, b, c) a##_##b##_##c
#define NAME3(a, b, c) CAT3(a, b, c)
#define N(name) NAME3(name, ISA, PREC)

#if defined __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#define UNROLL_4 _Pragma("GCC unroll 4")
#endif
#define LIKE_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define INLINE static inline __attribute__((always_inline, unused))

/* What a build has room for: make SAMPLES=50000 THREADS=64 UNSTABLE=6
 * TOKENS=20000.  One for small boards, of at most 1,000 samples, has room for
 * fewer threads and directions, too. */
#if !defined SAMPLES || SAMPLES + 0 == 0
#undef SAMPLES
#define SAMPLES 5000 /* of the training set */
#endif
#define BOARD (SAMPLES <= 1000)
#if !defined THREADS || THREADS + 0 == 0
#undef THREADS
#define THREADS (BOARD ? 4 : 8)
#endif
#if !defined UNSTABLE || UNSTABLE + 0 == 0
#undef UNSTABLE
#define UNSTABLE (BOARD ? 1 : 3) /* directions of --unstable */
#endif
#if !defined TOKENS || TOKENS + 0 == 0
#undef TOKENS
#define TOKENS 8192 /* different ones of sentences, the filling one included */
#endif

enum {
    TEST_SAMPLES = BOARD ? 2000 : 10000, /* of the test set, kept */
    STACK = 256 * 1024,                  /* bytes of stack a thread */
    SIDE = 32, /* an image is SIDE x SIDE x CHANNELS */
    CHANNELS = 3,
    PIXELS = SIDE * SIDE * CHANNELS,
    RECORD = 1 + PIXELS, /* bytes of a CIFAR-10 record */
    CLASSES = 10,
    CAT = 3, /* two classes: cats against dogs */
    DOG = 5,
    SENTENCE = 64,     /* tokens of a sentence at most */
    WIDTH = 64,        /* of the transformer's layers */
    HIDDEN = 200,      /* width of the MLP's hidden layers */
    FILTERS = 32,      /* channels of the CNN's hidden layers */
    ORDERS = 4,        /* Taylor coefficients 0 .. 3 */
    TILE = 48,         /* samples that are computed together (MLP) */
    BLOCK = 10 * TILE, /* samples summed in one go in float32 */
    CHUNK = 6,         /* blocks in memory; no number depends on it */
    PARTS = 64,        /* partial gradients, at most */
    P_RESNET = 701466,
    P_TRANSFORMER = WIDTH * (TOKENS + SENTENCE) + 50497,
    P_MAX = P_TRANSFORMER > P_RESNET ? P_TRANSFORMER : P_RESNET,
    CHUNK_SUM = 4096, /* elements of a vector summed in one go */
    EIG_MAX = 8,      /* eigenpairs wanted at most */
    DIRECTIONS = 6,   /* of --unstable, in the largest build */
    PAIRS = DIRECTIONS * (DIRECTIONS + 1) / 2,
    BASIS = 2 * EIG_MAX + 6, /* vectors of an eigensolver's basis at most */
    STEPS_MAX = 1000000,     /* tracked steps */
    SELDOM = 50,             /* tracked steps between costly measurements */
    FLOW_STEPS = 10000,      /* Euler sub-steps of gradient flow in a step */
    PATH = 4096              /* bytes of a file name */
};

_Static_assert(SAMPLES >= 1 && SAMPLES <= 1000000, "SAMPLES: 1 to 1000000");
_Static_assert(THREADS >= 1 && THREADS <= 256, "THREADS: 1 to 256");
_Static_assert(UNSTABLE >= 1 && UNSTABLE <= 6, "UNSTABLE: 1 to 6");
_Static_assert(TOKENS >= 2 && TOKENS <= 65536, "TOKENS: 2 to 65536");
_Static_assert(BLOCK % TILE == 0, "tiles fill a block");
_Static_assert(TILE % CHANNELS == 0, "a tile of inputs begins with red");
_Static_assert(SIDE *CHANNELS % TILE == 0, "tiles fill a line of an image");

static struct eos_config config;

/* --- Commands and options --- */

enum { RUN = 1, TRAIN = 2, DERIV = 4, TOY = 8, SYNTH = 16, NETS = 7 };

enum kind { FLAG, COUNT, SEED, NUMBER, TEXT, FILES, CHOICE };

/* The options: the commands that take one, the field of the configuration it
 * sets, and what it may be.  Counts and numbers lie in [low, high], numbers
 * above low if `open`; a choice is an index into the list that `value` shows.
 * What `shapes` the numbers stands in a checkpoint, and a run that goes on from
 * it has to have the same. */
#define FIELD(name) offsetof(struct eos_config, name)

static const struct option_spec {
    const char *name;
    unsigned commands;
    enum kind kind;
    size_t field;
    double low, high;
    bool open, shapes;
    const char *value, *help;
} options[] = {
    /* clang-format off */
{"model", NETS, CHOICE, FIELD(model), 0, 0, 0, 1,
 "mlp|cnn|resnet18|transformer", "network [mlp]"},
{"loss", NETS, CHOICE, FIELD(loss), 0, 0, 0, 1,
 "mse|ce|bmse|logistic", "loss [mse]"},
{"data", NETS, FILES, FIELD(data), 0, 0, 0, 0,
 "FILE", "CIFAR-10 or SST-2 file, repeatable [built-in]"},
{"test", RUN | TRAIN, TEXT, FIELD(test), 0, 0, 0, 0,
 "FILE", "such a test set: log loss and accuracy [none]"},
{"samples", NETS, COUNT, FIELD(samples), 1, SAMPLES, 0, 1,
 "N", "training samples [5000]"},
{"lr", RUN | TRAIN | TOY, NUMBER, FIELD(lr), 0, INFINITY, 1, 1,
 "ETA", "learning rate [README: by model, loss; toy 0.05]"},
{"seed", NETS, SEED, FIELD(seed), 0, 0, 0, 1,
 "N", "of the initialisation [0]"},
{"steps", RUN | TRAIN | TOY, COUNT, FIELD(steps), 0, STEPS_MAX, 0, 0,
 "N", "tracked (train, toy: all) steps [2000]"},
{"max-steps", RUN, COUNT, FIELD(max_steps), 0, 1e9, 0, 0,
 "N", "give up on reaching instability [100000]"},
{"init", NETS, TEXT, FIELD(init), 0, 0, 0, 0,
 "FILE.npy", "starting parameters [drawn from the seed]"},
{"from-instability", RUN, FLAG, FIELD(from_instability), 0, 0, 0, 1,
 NULL, "--init is at instability: no approach"},
{"generalized", RUN, FLAG, FIELD(generalized), 0, 0, 0, 1,
 NULL, "add the generalized prediction (Appendix F)"},
{"central", RUN, FLAG, FIELD(central), 0, 0, 0, 1,
 NULL, "add the central flow (arXiv 2410.24206)"},
{"stop-lambda2", RUN, NUMBER, FIELD(stop_lambda2), 0, INFINITY, 1, 1,
 "X", "end it at lambda2 > X/eta; inf: never [1.9]"},
{"kick", RUN, NUMBER, FIELD(kick), 0, INFINITY, 0, 1,
 "X", "start the track at x = X delta [0]"},
{"unstable", RUN | TOY, COUNT, FIELD(unstable), 1, 6, 0, 1,
 "K", "unstable directions at most; 1: the paper [1]"},
{"band", RUN, NUMBER, FIELD(band), 0, 2, 1, 1,
 "X", "unstable is where lambda > X/eta [1.8]"},
{"proj", RUN, COUNT, FIELD(proj), 0, 100, 0, 1,
 "N", "projection rounds [3]"},
{"tol", NETS, NUMBER, FIELD(tol), 0, 1, 1, 1,
 "X", "residual over |S| [1e-4; deriv 1e-10, f32 1e-6]"},
{"eig", NETS, CHOICE, FIELD(eig), 0, 0, 0, 1,
 "lobpcg|power", "eigensolver [lobpcg]"},
{"deriv", NETS, CHOICE, FIELD(deriv), 0, 0, 0, 1,
 "f32|f64", "precision of Hessian and higher products [f32]"},
{"stats", RUN, CHOICE, FIELD(stats), 0, 0, 0, 1,
 "basic|full", "full: all of Appendix E, and LOG.slow [basic]"},
{"neigs", RUN | TRAIN, COUNT, FIELD(neigs), 1, EIG_MAX, 0, 1,
 "K", "top eigenvalues logged [1]"},
{"sharp", TRAIN, COUNT, FIELD(sharp), 1, STEPS_MAX, 0, 1,
 "N", "steps between sharpness measurements [10]"},
{"threads", NETS, COUNT, FIELD(threads), 1, 256, 0, 0,
 "N", "same numbers for every N [processors]"},
{"log", RUN | TRAIN | TOY, TEXT, FIELD(log), 0, 0, 0, 0,
 "FILE", "every column, 17 digits, for programs [none]"},
{"save", RUN | TRAIN, TEXT, FIELD(save), 0, 0, 0, 0,
 "NAME", "NAME-gd.npy, -pg, -gf, -v, -u at the end [none]"},
{"checkpoint", RUN | TRAIN, TEXT, FIELD(checkpoint), 0, 0, 0, 0,
 "FILE", "the whole state, written between steps [none]"},
{"every", RUN | TRAIN, COUNT, FIELD(every), 1, 1e9, 0, 0,
 "N", "steps from one checkpoint to the next [25]"},
{"resume", RUN | TRAIN, FLAG, FIELD(resume), 0, 0, 0, 0,
 NULL, "go on from the checkpoint; none yet: start"},
{"fresh", RUN | TRAIN, FLAG, FIELD(fresh), 0, 0, 0, 0,
 NULL, "start afresh, whatever --checkpoint holds"},
{"direction", DERIV, TEXT, FIELD(direction), 0, 0, 0, 0,
 "V.npy", "direction of the derivatives [top eigenvector]"},
{"out", DERIV, TEXT, FIELD(out), 0, 0, 0, 0,
 "DIR", "folder of the results (required)"},
{"alpha", TOY, NUMBER, FIELD(alpha), 0, INFINITY, 1, 0,
 "X", "sharpening; A11 with --unstable 2 [1]"},
{"alpha2", TOY, NUMBER, FIELD(alpha2), -INFINITY, INFINITY, 1, 0,
 "X", "A22 with --unstable 2 [0.5]"},
{"alpha12", TOY, NUMBER, FIELD(alpha12), -INFINITY, INFINITY, 1, 0,
 "X", "A12 with --unstable 2 [0]"},
{"beta", TOY, NUMBER, FIELD(beta), 0, INFINITY, 1, 0,
 "X", "stabilization strength [1]"},
{"x0", TOY, NUMBER, FIELD(x0), -INFINITY, INFINITY, 1, 0,
 "X", "start; of both with --unstable 2 [0.1]"},
{"y0", TOY, NUMBER, FIELD(y0), -INFINITY, INFINITY, 1, 0,
 "Y", "start of y, y11 and y22; Y = sqrt(beta) y [0]"},
    /* clang-format on */
};
enum { OPTIONS = sizeof options / sizeof *options };

/* The value of an option as text, or NULL for one that is not given. */
static const char *option_text(const struct option_spec *o, char *to,
                               size_t size)
{
    const void *from = (const char *)&config + o->field;
    const char *at = o->value;

    switch (o->kind) {
    case FLAG:
        snprintf(to, size, "%d", *(const bool *)from);
        break;
    case COUNT:
        snprintf(to, size, "%zu", *(const size_t *)from);
        break;
    case SEED:
        snprintf(to, size, "%" PRIu64, *(const uint64_t *)from);
        break;
    case NUMBER:
        snprintf(to, size, "%.17g", *(const double *)from);
        break;
    case CHOICE:
        for (int n = *(const int *)from; n; n--)
            at = strchr(at, '|') + 1;
        snprintf(to, size, "%.*s", (int)strcspn(at, "|"), at);
        break;
    case TEXT:
        return *(const char *const *)from;
    case FILES:
        return config.ndata ? config.data[0] : NULL;
    }
    return to;
}

/* The value of the option that sets a field: the model's name, for example. */
static const char *option_of(size_t field, char *to, size_t size)
{
    size_t i = 0;

    while (options[i].field != field)
        i++;
    return option_text(&options[i], to, size);
}

/* ------------------------------------------------------------------------
 * 2  Numbers: threads, log, random generator, sums over vectors
 *
 * Determinism.  No sum depends on the number of threads or on the width of a
 * vector register: work is cut into tasks by the problem's size alone, each
 * task writes where no other does, and partial sums are added in one order.
 * ------------------------------------------------------------------------ */

static size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}
static size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}
static size_t pieces(size_t n, size_t m)
{
    return (n + m - 1) / m;
}

/* --- Memory ---
 *
 * The room is the one block in which a run's large arrays stand: each section
 * takes its own when a run starts, as large as the options need them.  A build
 * has room for the larger network and most of what can be asked for with as
 * many unstable directions, in vectors of P_MAX float64 numbers. */
#define ROOM_VECTORS(K) ((K) < 2 ? 45 : (K) < 4 ? 63 : 108)
#define ROOM_THREAD 2000000 /* scratch of a thread (MLP) */
#define ROOM_NETWORK (BOARD ? 30000000 : 57000000) /* activations, weights */
#define ROOM_FOR(K)                                     \
    ((size_t)ROOM_VECTORS(K) * P_MAX * sizeof(double) + \
     (size_t)THREADS * ROOM_THREAD +                    \
     ((size_t)SAMPLES + TEST_SAMPLES) * PIXELS + ROOM_NETWORK)
#define ROOM ROOM_FOR(UNSTABLE)
static _Alignas(64) unsigned char room[ROOM];
static size_t room_used; /* more than there is: room_lay refuses */

static void *room_take(size_t n, size_t size)
{
    size_t at = room_used;

    room_used += (n * size + 63) / 64 * 64;
    return room_used <= ROOM ? room + at : room;
}

/* A new run: everything is taken anew, and zero. */
static void room_clear(void)
{
    memset(room, 0, room_used < ROOM ? room_used : ROOM);
    room_used = 0;
}

/* Of vectors that lie one after another, each begins on a cache line. */
static size_t vec_stride(size_t n)
{
    return (n + 15) / 16 * 16;
}

static double *nth(double *set, size_t n, size_t i)
{
    return set + i * vec_stride(n);
}

static double *room_vectors(size_t n, size_t m)
{
    return room_take(m * vec_stride(n), sizeof(double));
}

/* A task gets the number of the worker that runs it (for scratch memory), its
 * own, and what the work is.  Tasks run in any order, and at the same time. */
typedef void task_fn(size_t worker, size_t task, const void *work);

static struct {
    size_t born[THREADS]; /* the round in which a thread was created */
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    size_t workers; /* threads that may work, the caller included */
    size_t started; /* threads created so far */
    size_t round;   /* counts the calls of parallel() */
    size_t busy;    /* threads that have not ended this round */
    task_fn *fn;
    const void *work;
    size_t tasks;
    atomic_size_t next; /* first task that nobody has taken */
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
    .idle = PTHREAD_COND_INITIALIZER,
    .workers = 1,
};
static _Alignas(16384) unsigned char pool_stack[THREADS][STACK]; /* a page */

static void pool_work(size_t worker)
{
    size_t task;

    while (worker < pool.workers &&
           (task = atomic_fetch_add(&pool.next, 1)) < pool.tasks)
        pool.fn(worker, task, pool.work);
}

static void *pool_thread(void *arg)
{
    size_t worker = (size_t)((unsigned char *)arg - pool_stack[0]) / STACK;
    size_t seen = pool.born[worker];

    for (;;) {
        pthread_mutex_lock(&pool.lock);
        while (pool.round == seen)
            pthread_cond_wait(&pool.wake, &pool.lock);
        seen = pool.round;
        pthread_mutex_unlock(&pool.lock);
        pool_work(worker);
        pthread_mutex_lock(&pool.lock);
        if (--pool.busy == 0)
            pthread_cond_signal(&pool.idle);
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

/* Runs fn(worker, task, work) for each task and returns when all are done. */
static void parallel(size_t tasks, task_fn *fn, const void *work)
{
    pool.fn = fn;
    pool.work = work;
    pool.tasks = tasks;
    atomic_store(&pool.next, 0);
    if (pool.started == 0 || tasks < 2) {
        pool_work(0);
        return;
    }
    pthread_mutex_lock(&pool.lock);
    pool.busy = pool.started;
    pool.round++;
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    pool_work(0);
    pthread_mutex_lock(&pool.lock);
    while (pool.busy)
        pthread_cond_wait(&pool.idle, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

/* Starts n - 1 threads on static stacks.  Where the system refuses one, the
 * rest do its work: the numbers are the same. */
static void pool_start(size_t n)
{
    pthread_attr_t attr;
    pthread_t thread;

    n = size_min(n, THREADS);
    for (size_t i = pool.started + 1; i < n; i++) {
        pool.born[i] = pool.round;
        if (pthread_attr_init(&attr) ||
            pthread_attr_setstack(&attr, pool_stack[i], STACK) ||
            pthread_create(&thread, &attr, pool_thread, pool_stack[i]))
            break;
        pthread_attr_destroy(&attr);
        pool.started = i;
    }
    pool.workers = size_max(1, size_min(n, pool.started + 1));
}

/* Processors that this process may run on. */
static size_t processors(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
#if defined CPU_COUNT
    cpu_set_t set;

    if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0)
        return (size_t)CPU_COUNT(&set);
#endif
    return online < 1 ? 1 : (size_t)online;
}

/* log(1 + y) for 0 <= y, by 2 artanh(y / (2 + y)) = 2 sum s^(2k+1)/(2k+1)
 * after taking out a power of two.  Within 2.5 ulp; plain operations only, so
 * that every machine gives the same bits. */
static double log1p_pos(double y)
{
    static const double ln2_hi = 6.93147180369123816490e-01;
    static const double ln2_lo = 1.90821492927058770002e-10;
    double s, s2, sum = 0;
    int e = 0;

    if (!(y < INFINITY))
        return y;
    if (y > 0.4) {
        double m = frexp(1 + y, &e); /* 1 + y = m 2^e, m in [.5, 1) */

        if (m < 0.70710678118654752440) {
            m *= 2;
            e--;
        }
        s = (m - 1) / (m + 1);
    } else {
        s = y / (2 + y);
    }
    s2 = s * s;
    for (int k = 23; k >= 3; k -= 2) /* |s| <= .1716: s^24 < 5e-19 */
        sum = (sum + 1.0 / k) * s2;
    return e * ln2_hi + (2 * s + (2 * s * sum + e * ln2_lo));
}

/* splitmix64 (Steele, Lea, Flood 2014): the state grows by the golden ratio,
 * the output is a bijective mix of it.  From seed 0 the first outputs are
 * e220a8397b1dcdaf 6e789e6aa1b965f4 06c45d188009454f f88bb8a8724c81ec. */
static uint64_t rng_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Uniform in [-1, 1): 53 random bits. */
static double rng_sign_unit(uint64_t *state)
{
    return (double)(rng_next(state) >> 11) * 0x1p-52 - 1;
}

/* FNV-1a over 64 bits: finds accidents, not attacks. */
#define HASH_START 0xcbf29ce484222325u
static uint64_t hash_bytes(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *b = bytes;

    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3;
    return h;
}

/* --- Vectors ---
 *
 * Of n numbers, in tasks of CHUNK_SUM. */

/* A set of vectors, which may be kept in float32. */
struct vecs {
    double *f64; /* or NULL */
    float *f32;
};

static struct vecs room_kept(size_t n, size_t m, bool narrow)
{
    const size_t all = m * vec_stride(n);

    return narrow ? (struct vecs){.f32 = room_take(all, sizeof(float))}
                  : (struct vecs){.f64 = room_take(all, sizeof(double))};
}

/* Vector i of a set, as a set. */
static struct vecs vecs_from(struct vecs set, size_t n, size_t i)
{
    i *= vec_stride(n);
    return set.f64 ? (struct vecs){.f64 = set.f64 + i}
                   : (struct vecs){.f32 = set.f32 + i};
}

/* The operands of a function below: m vectors of a set, one out. */
struct operands {
    size_t n, m;
    struct vecs set;
    const double *coef, *y;
    struct vecs out;
};

static size_t chunk_end(const struct operands *o, size_t task)
{
    return size_min((task + 1) * CHUNK_SUM, o->n);
}

INLINE double vecs_element(struct vecs x, const bool narrow, size_t i)
{
    return narrow ? (double)x.f32[i] : x.f64[i];
}

/* Eight interleaved sums, then a tree: the same bits at any vector width. */
INLINE double sum_of_products(struct vecs x, const bool narrow, const double *y,
                              size_t n)
{
    double s[8] = {0};
    size_t i;

    for (i = 0; i + 8 <= n; i += 8) {
        UNROLL
        for (size_t j = 0; j < 8; j++)
            s[j] += vecs_element(x, narrow, i + j) * y[i + j];
    }
    for (size_t j = 0; i + j < n; j++)
        s[j] += vecs_element(x, narrow, i + j) * y[i + j];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static double sum_products(const double *x, const double *y, size_t n)
{
    return sum_of_products((struct vecs){.f64 = (double *)x}, false, y, n);
}

/* The chunks' sums of the running vec_dots. */
static double dots_part[EIG_MAX + BASIS][P_MAX / CHUNK_SUM + 1];

static void vec_dots_task(size_t worker, size_t task, const void *work)
{
    const struct operands *o = work;
    size_t begin = task * CHUNK_SUM, len = chunk_end(o, task) - begin;

    (void)worker;
    for (size_t j = 0; j < o->m; j++) {
        struct vecs x = vecs_from(o->set, o->n, j);

        if (x.f64)
            dots_part[j][task] = sum_products(x.f64 + begin, o->y + begin, len);
        else {
            x.f32 += begin;
            dots_part[j][task] = sum_of_products(x, true, o->y + begin, len);
        }
    }
}

/* out[j] = set[j] . y for m vectors of n elements. */
static void vecs_dots(size_t n, size_t m, struct vecs set, const double *y,
                      double *out)
{
    const struct operands o = {n, m, set, NULL, y, {0}};
    size_t tasks = pieces(n, CHUNK_SUM), i;

    parallel(tasks, vec_dots_task, &o);
    for (size_t j = 0; j < m; j++)
        for (out[j] = 0, i = 0; i < tasks; i++)
            out[j] += dots_part[j][i];
}

static void vec_dots(size_t n, size_t m, const double *set, const double *y,
                     double *out)
{
    vecs_dots(n, m, (struct vecs){.f64 = (double *)set}, y, out);
}

static double vec_dot(size_t n, const double *x, const double *y)
{
    double dot;

    vec_dots(n, 1, x, y, &dot);
    return dot;
}

static double vec_norm(size_t n, const double *x)
{
    return sqrt(vec_dot(n, x, x));
}

/* Elements at .. at + len, of which the sums stay in registers. */
INLINE void vec_combine_few(const struct operands *o, size_t at,
                            const size_t len, const bool narrow)
{
    const size_t stride = vec_stride(o->n);
    double sum[8];

    UNROLL
    for (size_t i = 0; i < len; i++)
        sum[i] = o->y ? o->y[at + i] : -0.0; /* -0 + x = x, whatever its sign */
    for (size_t j = 0; j < o->m; j++) {
        const double a = o->coef[j];

        UNROLL
        for (size_t i = 0; i < len; i++)
            sum[i] += a * vecs_element(o->set, narrow, j * stride + at + i);
    }
    UNROLL
    for (size_t i = 0; i < len; i++)
        if (o->out.f64)
            o->out.f64[at + i] = sum[i];
        else
            o->out.f32[at + i] = (float)sum[i];
}

INLINE void vec_combine_chunk(const struct operands *o, size_t task,
                              const bool narrow)
{
    size_t at, end = chunk_end(o, task);

    for (at = task * CHUNK_SUM; at + 8 <= end; at += 8)
        vec_combine_few(o, at, 8, narrow);
    for (; at < end; at++)
        vec_combine_few(o, at, 1, narrow);
}

static void vec_combine_task(size_t worker, size_t task, const void *work)
{
    const struct operands *o = work;

    (void)worker;
    if (o->set.f64)
        vec_combine_chunk(o, task, false);
    else
        vec_combine_chunk(o, task, true);
}

/* out = y + sum_j coef[j] set[j]; y may be NULL, out may be any of them. */
static void vecs_combine(size_t n, double *out, const double *y, size_t m,
                         const double *coef, struct vecs set)
{
    const struct operands o = {n, m, set, coef, y, {.f64 = out}};

    parallel(pieces(n, CHUNK_SUM), vec_combine_task, &o);
}

static void vec_combine(size_t n, double *out, const double *y, size_t m,
                        const double *coef, const double *set)
{
    vecs_combine(n, out, y, m, coef, (struct vecs){.f64 = (double *)set});
}

/* out = y + a x; out may be x or y. */
static void vec_add(size_t n, double *out, const double *y, double a,
                    const double *x)
{
    vec_combine(n, out, y, 1, &a, x);
}

static void vec_axpy(size_t n, double a, const double *x, double *y)
{
    vec_add(n, y, y, a, x);
}

/* out = a x; out may be x. */
static void vec_scale(size_t n, double *out, double a, const double *x)
{
    vec_add(n, out, NULL, a, x);
}

/* out = vector i of the set. */
static void vecs_read(size_t n, double *out, struct vecs set, size_t i)
{
    static const double one = 1;

    vecs_combine(n, out, NULL, 1, &one, vecs_from(set, n, i));
}

/* Vector i of the set = x. */
static void vecs_write(size_t n, struct vecs set, size_t i, const double *x)
{
    const struct operands o = {n, 0, {0}, NULL, x, vecs_from(set, n, i)};

    parallel(pieces(n, CHUNK_SUM), vec_combine_task, &o);
}

static void vec_copy(size_t n, double *out, const double *x)
{
    memmove(out, x, n * sizeof *out);
}

/* ------------------------------------------------------------------------
 * 3  Matrix products
 *
 * C += A B, in micro-tiles of MR or a few more rows by at most NV vectors.  A
 * is read by broadcast, B by whole vectors.  Each element of C is one chain of
 * fused multiply-adds over k, in the order of k, that begins with what C
 * holds (or with a row that it is given: biases, zeros): its bits depend
 * neither on the tile nor on the vector width, and a product may be cut
 * anywhere along k.
 * ------------------------------------------------------------------------ */

/* The walk along k, as segs segments of len steps, and the strides in
 * elements.  A convolution's segments are the rows of its window or image. */
struct walk {
    size_t segs, len;
    struct { /* next row, next k, next segment */
        size_t row, step, seg;
    } a;
    struct { /* next k, next segment; or packed: all its k, the first one, and
              * those from a segment to the next */
        size_t step, seg, depth, first;
    } b;
    size_t c_row;      /* next row */
    const void *start; /* what the rows of C begin with; NULL: as they are */
};

/* A B with the rows of A a_row apart, those of B b_step; 0: it is packed. */
static struct walk walk_times(size_t len, size_t a_row, size_t b_step,
                              size_t c_row, const void *start)
{
    return (struct walk){
        .segs = 1,
        .len = len,
        .a = {.row = a_row, .step = 1},
        .b = {.step = b_step, .seg = len, .depth = b_step ? 0 : len},
        .c_row = c_row,
        .start = start};
}

/* C += A' B with the rows of A a_step apart, those of B b_step. */
static struct walk walk_sum(size_t len, size_t a_step, size_t b_step,
                            size_t c_row)
{
    return (struct walk){.segs = 1,
                         .len = len,
                         .a = {.row = 1, .step = a_step},
                         .b = {.step = b_step},
                         .c_row = c_row};
}

enum {
    NV = 3,  /* vectors in a row of a micro-tile, at most */
    TALL = 2 /* rows that it may have above MR, if it has fewer vectors */
};

/* Vectors in the next group of columns when `left` remain: at most `most`, and
 * even shares at the end (4 = 2 + 2), for a group of one starves the FMAs. */
static size_t gemm_group(size_t left, size_t most)
{
    return left > most ? size_min(most, (left + 1) / 2) : left;
}

#endif /* !REGION */

#if defined REAL && !defined PART /* once for each instance: */

/* The names of this instance. */
/* clang-format off */
#define v_load         N(v_load)
#define v_store        N(v_store)
#define v_set          N(v_set)
#define v_fma          N(v_fma)
#define v_exp          N(v_exp)
#define v_exp1         N(v_exp1)
#define gemm           N(gemm)
#define gemm_sum       N(gemm_sum)
#define gemm_rows      N(gemm_rows)
/* clang-format on */

#define V N(vec)
#define IV N(ivec)
#define LANES (VBYTES / sizeof(REAL))

typedef REAL V __attribute__((vector_size(VBYTES)));
typedef REAL N(loose)
    __attribute__((vector_size(VBYTES), may_alias, aligned(BITS / 8)));
typedef __typeof__((V){0} < (V){0}) IV; /* integers, or a mask */

/* The thin layer: load, store, broadcast, multiply-add, select. */
INLINE TARGET V v_load(const REAL *p)
{
    return *(const N(loose) *)p;
}

INLINE TARGET void v_store(REAL *p, V x)
{
    *(N(loose) *)p = x;
}

INLINE TARGET V v_set(REAL x)
{
    return x - (V){0};
}

INLINE TARGET V v_fma(V a, V b, V c)
{
#if MULTIPLY_ADD == ISA_AVX512 && BITS == 32
    return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif MULTIPLY_ADD == ISA_AVX512
    return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif MULTIPLY_ADD == ISA_AVX2 && BITS == 32
    return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif MULTIPLY_ADD == ISA_AVX2
    return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif MULTIPLY_ADD == ISA_NEON && BITS == 32
    return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif MULTIPLY_ADD == ISA_NEON
    return (V)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#elif MULTIPLY_ADD == ISA_FMA || \
    (!defined __x86_64__ && (UINTPTR_MAX > 0xffffffff || defined FP_FAST_FMA))

    for (size_t i = 0; i < LANES; i++)
#if BITS == 32
        c[i] = __builtin_fmaf(a[i], b[i], c[i]);
#else
        c[i] = __builtin_fma(a[i], b[i], c[i]);
#endif
    return c;
#else
    return a * b + c; /* no promise of equal bits on such machines */
#endif
}

/* The larger; x where it is NaN. */
INLINE TARGET V N(v_max)(REAL bound, V x)
{
#if MULTIPLY_ADD == ISA_AVX512 && BITS == 32
    return (V)_mm512_max_ps((__m512)v_set(bound), (__m512)x);
#elif MULTIPLY_ADD == ISA_AVX512
    return (V)_mm512_max_pd((__m512d)v_set(bound), (__m512d)x);
#else
    const IV less = x < bound;

    return (V)((less & (IV)v_set(bound)) | (~less & (IV)x));
#endif
}

typedef unsigned char N(octets) __attribute__((vector_size(LANES)));

/* LANES bytes as numbers; compilers take generic vectors apart here. */
INLINE TARGET V N(v_bytes)(const unsigned char *p)
{
    N(octets) b;

    memcpy(&b, p, sizeof b);
#if MULTIPLY_ADD == ISA_AVX512 && BITS == 32
    return (V)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)b));
#elif MULTIPLY_ADD == ISA_AVX512
    return (V)_mm512_cvtepi32_pd(
        _mm256_cvtepu8_epi32(_mm_set_epi64x(0, (int64_t)b)));
#elif MULTIPLY_ADD == ISA_AVX2 && BITS == 32
    return (V)_mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_set_epi64x(0, (int64_t)b)));
#elif MULTIPLY_ADD == ISA_AVX2
    return (V)_mm256_cvtepi32_pd(
        _mm_cvtepu8_epi32(_mm_cvtsi32_si128((int32_t)b)));
#elif MULTIPLY_ADD == ISA_NEON && BITS == 32
    uint32_t four;
    uint8x8_t eight;

    memcpy(&four, &b, sizeof four);
    eight = vreinterpret_u8_u32(vdup_n_u32(four));
    return (V)vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(eight))));
#else
    return __builtin_convertvector(b, V);
#endif
}

/* exp: x = n ln 2 + r with |r| <= ln 2 / 2, Taylor's polynomial for e^r (the
 * term left out is below 6e-9 in float32, 5e-18 in float64), times 2^n in two
 * factors so that subnormal results come out.  NaN stays NaN.  Measured by
 * the tests: at most 0.91 ulp (1.15 without fused multiply-add). */
INLINE TARGET V v_exp(V x)
{
#if BITS == 32
    enum { MANTISSA = 23, BIAS = 127, DEGREE = 7 };
    const REAL magic = 0x1.8p23f, high = 89, low = -104;
    const REAL log2e = 0x1.715476p0f;
    const REAL ln2_hi = 0x1.62e4p-1f, ln2_lo = 0x1.7f7d1cp-20f;
#else
    enum { MANTISSA = 52, BIAS = 1023, DEGREE = 13 };
    const REAL magic = 0x1.8p52, high = 710, low = -746;
    const REAL log2e = 0x1.71547652b82fep0;
    const REAL ln2_hi = 0x1.62e42feep-1, ln2_lo = 0x1.a39ef35793c76p-33;
#endif
    /* clang-format off */
    static const double inverse_factorial[] = {
        1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040,
        1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800,
        1. / 479001600, 1. / 6227020800};
    /* clang-format on */
    V t, r, sum;
    IV n, half;

    x = N(v_max)(low, -N(v_max)(-high, -x));
    t = v_fma(x, v_set(log2e), v_set(magic));
    n = (IV)t - (IV)v_set(magic);
    t = t - magic;
    r = v_fma(t, v_set(-ln2_hi), x);
    r = v_fma(t, v_set(-ln2_lo), r);
    sum = v_set((REAL)inverse_factorial[DEGREE]);
    UNROLL
    for (int i = DEGREE - 1; i >= 0; i--)
        sum = v_fma(sum, r, v_set((REAL)inverse_factorial[i]));
    half = n >> 1;
    sum = sum * (V)((half + BIAS) << MANTISSA);
    return sum * (V)((n - half + BIAS) << MANTISSA);
}

INLINE TARGET REAL v_exp1(REAL x)
{
    return v_exp(v_set(x))[0];
}

/* One micro-tile: C[rows][nv] = from + A[rows][k] B[k][nv].  Columns beyond the
 * matrix must be readable.  A tile's part of A is too short for the processor
 * to foresee where the next one's begins, so that is asked for on the way (an
 * address, for it may lie beyond A). */
INLINE TARGET void N(gemm_tile_of)(const size_t rows, const size_t nv,
                                   const struct walk *w, const REAL *a,
                                   const REAL *b, const REAL *from, REAL *c)
{
    const size_t a_next = rows * w->a.row * sizeof *a;
    const size_t from_row = w->start ? 0 : w->c_row;
    V acc[MR + TALL][NV], bk[NV];

    UNROLL
    for (size_t i = 0; i < rows; i++) {
        UNROLL
        for (size_t j = 0; j < nv; j++)
            acc[i][j] = v_load(from + i * from_row + j * LANES);
    }
    for (size_t seg = 0; seg < w->segs; seg++) {
        const REAL *ak = a + seg * w->a.seg, *bs = b + seg * w->b.seg;

        UNROLL_4
        for (size_t k = 0; k < w->len; k++, ak += w->a.step, bs += w->b.step) {
            __builtin_prefetch((const void *)((uintptr_t)ak + a_next));
            UNROLL
            for (size_t j = 0; j < nv; j++)
                bk[j] = v_load(bs + j * LANES);
            UNROLL
            for (size_t i = 0; i < rows; i++) {
                const V ai = v_set(ak[i * w->a.row]);

                UNROLL
                for (size_t j = 0; j < nv; j++)
                    acc[i][j] = v_fma(ai, bk[j], acc[i][j]);
            }
        }
    }
    UNROLL
    for (size_t i = 0; i < rows; i++) {
        UNROLL
        for (size_t j = 0; j < nv; j++)
            v_store(c + i * w->c_row + j * LANES, acc[i][j]);
    }
}

INLINE TARGET void N(gemm_tile_rows)(const size_t rows, size_t nv,
                                     const struct walk *w, const REAL *a,
                                     const REAL *b, const REAL *from, REAL *c)
{
    if (nv == 1)
        N(gemm_tile_of)(rows, 1, w, a, b, from, c);
    else if (nv == 2)
        N(gemm_tile_of)(rows, 2, w, a, b, from, c);
    else if (rows <= MR) /* there are registers for it */
        N(gemm_tile_of)(rows, NV, w, a, b, from, c);
}

static TARGET void N(gemm_tile)(size_t rows, size_t nv, const struct walk *w,
                                const REAL *a, const REAL *b, const REAL *from,
                                REAL *c)
{
    if (rows == 1)
        N(gemm_tile_rows)(1, nv, w, a, b, from, c);
    else if (MR == 8 && rows == 4) /* a line of ResNet18's smallest images */
        N(gemm_tile_rows)(4, nv, w, a, b, from, c);
    else if (rows == MR)
        N(gemm_tile_rows)(MR, nv, w, a, b, from, c);
    else if (rows == MR + 1)
        N(gemm_tile_rows)(MR + 1, nv, w, a, b, from, c);
    else if (rows == MR + 2)
        N(gemm_tile_rows)(MR + 2, nv, w, a, b, from, c);
}

_Static_assert(NV == 3 && TALL == 2, "a case for each size of a tile");

/* Rows of the next tile when `left` remain: tiles of fewer than NV vectors may
 * be tall, for they load less for as many multiply-adds (16 = 6 + 5 + 5). */
INLINE size_t N(gemm_height)(size_t left, size_t nv)
{
    const size_t rows =
        nv < NV ? pieces(left, pieces(left, MR + TALL)) : (size_t)MR;

    if (rows >= MR && rows <= left)
        return rows;
    return left >= MR ? MR : MR == 8 && left >= 4 ? 4 : 1;
}

/* C[m][n] += A B (= start + A B), where C, B and start are padded to whole
 * vectors along n.  A packed B[depth][n] lies in panels, a group of columns
 * after another, [depth][its vectors]. */
static TARGET void gemm(const struct walk *w, size_t m, size_t n, const REAL *a,
                        const REAL *b, REAL *c)
{
    const size_t most = w->b.depth || m % MR == 0 ? NV : NV - 1;
    const size_t vectors = pieces(n, LANES);
    const REAL *start = w->start;
    struct walk at = *w;
    size_t rows, nv;

    for (size_t j = 0; j < vectors; j += nv) {
        const REAL *bj = b + j * LANES;

        nv = gemm_group(vectors - j, most);
        if (w->b.depth) {
            bj = b + (j * w->b.depth + w->b.first * nv) * LANES;
            at.b.step = nv * LANES;
            at.b.seg = w->b.seg * at.b.step;
        }
        for (size_t i = 0; i < m; i += rows) {
            REAL *to = c + i * w->c_row + j * LANES;
            const REAL *from = start ? start + j * LANES : to;

            rows = N(gemm_height)(m - i, nv);
            N(gemm_tile)(rows, nv, &at, a + i * w->a.row, bj, from, to);
        }
    }
}

/* A vector of doubles, and as many REALs. */
typedef double N(doubles) __attribute__((vector_size(VBYTES)));
typedef double N(loose_doubles)
    __attribute__((vector_size(VBYTES), may_alias, aligned(8)));
typedef REAL N(few) __attribute__((vector_size(VBYTES / 8 * sizeof(REAL)),
                                   may_alias, aligned(BITS / 8)));

/* GCC converts half a vector at a time where it is not told. */
INLINE TARGET N(doubles) N(v_doubles)(N(few) x)
{
#if MULTIPLY_ADD == ISA_AVX512 && BITS == 32
    return (N(doubles))_mm512_cvtps_pd((__m256)x);
#elif MULTIPLY_ADD == ISA_AVX2 && BITS == 32
    return (N(doubles))_mm256_cvtps_pd((__m128)x);
#else
    return __builtin_convertvector(x, N(doubles));
#endif
}

/* sum[m][n] += C for a float64 sum. */
static TARGET void gemm_sum(size_t m, size_t n, const REAL *c, size_t c_row,
                            double *sum, size_t sum_row)
{
    const size_t step = VBYTES / sizeof(double);
    size_t j;

    for (size_t i = 0; i < m; i++, c += c_row, sum += sum_row) {
        for (j = 0; j + step <= n; j += step)
            *(N(loose_doubles) *)(sum + j) +=
                N(v_doubles)(*(const N(few) *)(c + j));
        for (; j < n; j++)
            sum[j] += (double)c[j];
    }
}

/* sum[n] += each of m rows of x, one after another: `few` vectors of a row at a
 * time, whose sums wait for each other's additions. */
INLINE TARGET void N(gemm_rows_few)(const size_t few, size_t m, const REAL *x,
                                    size_t row, double *sum)
{
    const size_t step = VBYTES / sizeof(double);
    N(doubles) total[4];

    UNROLL
    for (size_t j = 0; j < few; j++)
        total[j] = *(const N(loose_doubles) *)(sum + j * step);
    for (size_t i = 0; i < m; i++, x += row) {
        UNROLL
        for (size_t j = 0; j < few; j++)
            total[j] += N(v_doubles)(*(const N(few) *)(x + j * step));
    }
    UNROLL
    for (size_t j = 0; j < few; j++)
        *(N(loose_doubles) *)(sum + j * step) = total[j];
}

static TARGET void gemm_rows(size_t m, size_t n, const REAL *x, size_t row,
                             double *sum)
{
    const size_t step = VBYTES / sizeof(double);
    size_t j;

    for (j = 0; j + 4 * step <= n; j += 4 * step)
        N(gemm_rows_few)(4, m, x + j, row, sum + j);
    for (; j + step <= n; j += step)
        N(gemm_rows_few)(1, m, x + j, row, sum + j);
    for (; j < n; j++)
        for (size_t i = 0; i < m; i++)
            sum[j] += (double)x[i * row + j];
}

#endif /* an instance */

#ifndef REGION
/* ------------------------------------------------------------------------
 * 4  Files
 *
 * Functions that can fail return an exit status (EOS_DONE is 0) and leave one
 * line of explanation; fail() keeps the status, so that `if (a() || b()) return
 * failed;` does one thing after another.  stdio only formats: streams allocate.
 * ------------------------------------------------------------------------ */

static char failure[2 * PATH];
static int failed; /* the status of the last failure */

LIKE_PRINTF(2, 3)
static int fail(int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(failure, sizeof failure, format, args);
    va_end(args);
    return failed = status;
}

/* The same for bad arguments and bad input. */
LIKE_PRINTF(1, 2)
static int refuse(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(failure, sizeof failure, format, args);
    va_end(args);
    return failed = EOS_USAGE;
}

static int cannot(int status, const char *name, const char *what)
{
    return fail(status, "%s: cannot %s: %s", name, what, strerror(errno));
}

/* Writes n bytes; returns how many of them an error left: 0 is success. */
static size_t write_all(int fd, const void *bytes, size_t n)
{
    const char *from = bytes;

    while (n) {
        ssize_t done = write(fd, from, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            break;
        from += done;
        n -= (size_t)done;
    }
    return n;
}

/* A line for people on standard error, which ends nothing. */
LIKE_PRINTF(1, 2)
static void tell(const char *format, ...)
{
    char line[2 * PATH] = "eos: ";
    va_list args;

    va_start(args, format);
    vsnprintf(line + 5, sizeof line - 6, format, args);
    va_end(args);
    strcat(line, "\n");
    write_all(STDERR_FILENO, line, strlen(line));
}

/* Reads until n bytes or the end of the file; -1 on error. */
static ssize_t read_all(int fd, void *bytes, size_t n)
{
    size_t have = 0;

    while (have < n) {
        ssize_t got = read(fd, (char *)bytes + have, n - have);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

/* How far a text file has come: a log goes on from there. */
struct mark {
    uint64_t size, hash; /* bytes written so far, and their hash */
    size_t blocks;       /* of rows */
    bool named;          /* the last one has the names of its columns */
};

/* A buffered text file.  The first error sticks. */
struct text {
    const char *name;
    int fd;    /* -1: nowhere */
    int error; /* errno of the first failed write */
    struct mark mark;
    size_t used;
    char buffer[1 << 14];
};

/* A full disk took `done` bytes: half a line at their end goes again. */
static void text_cut(const struct text *t, size_t done)
{
    off_t end = lseek(t->fd, 0, SEEK_CUR);

    for (; done && t->buffer[done - 1] != '\n'; done--)
        end--;
    if (end >= 0 && ftruncate(t->fd, end))
        return; /* a pipe keeps what it has */
}

static void text_flush(struct text *t)
{
    if (t->fd >= 0 && !t->error) {
        size_t left = write_all(t->fd, t->buffer, t->used);

        if (left) {
            t->error = errno;
            text_cut(t, t->used - left);
        }
    }
    t->mark.hash = hash_bytes(t->mark.size ? t->mark.hash : HASH_START,
                              t->buffer, t->used);
    t->mark.size += t->used;
    t->used = 0;
}

LIKE_PRINTF(2, 3)
static void text_put(struct text *t, const char *format, ...)
{
    enum { LINE = 2 * PATH };
    va_list args;
    int n;

    if (t->fd < 0)
        return;
    if (t->used + LINE > sizeof t->buffer)
        text_flush(t);
    va_start(args, format);
    n = vsnprintf(t->buffer + t->used, LINE, format, args);
    va_end(args);
    t->used += n < 0 ? 0 : size_min((size_t)n, LINE - 1);
}

static int text_check(struct text *t)
{
    text_flush(t);
    errno = t->error;
    return errno ? cannot(EOS_FAILED, t->name, "write") : EOS_DONE;
}

static void folder_of(const char *name, char folder[PATH])
{
    char *slash;

    snprintf(folder, PATH, "%s", name);
    slash = strrchr(folder, '/');
    if (!slash)
        strcpy(folder, ".");
    else
        slash[slash == folder] = 0;
}

/* A file that appears under its name only when it is whole: written beside
 * it, fsync, rename, fsync of the folder. */
struct whole {
    const char *name;
    char beside[PATH];
    int fd; /* -1: it is closed */
};

static int whole_fail(struct whole *f, const char *what)
{
    cannot(EOS_FAILED, f->name, what);
    if (f->fd >= 0)
        close(f->fd);
    unlink(f->beside);
    return failed;
}

static int whole_open(struct whole *f, const char *name)
{
    f->name = name;
    if ((size_t)snprintf(f->beside, sizeof f->beside, "%s.tmp", name) >=
        sizeof f->beside)
        return fail(EOS_FAILED, "the file name is too long: %.60s...", name);
    f->fd = open(f->beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return f->fd < 0 ? cannot(EOS_FAILED, name, "create") : EOS_DONE;
}

static int whole_write(struct whole *f, const void *bytes, size_t n)
{
    return write_all(f->fd, bytes, n) ? whole_fail(f, "write") : EOS_DONE;
}

static int whole_close(struct whole *f)
{
    char folder[PATH];
    int fd = f->fd;

    if (fsync(fd))
        return whole_fail(f, "write");
    f->fd = -1;
    if (close(fd))
        return whole_fail(f, "write");
    if (rename(f->beside, f->name))
        return whole_fail(f, "rename");
    folder_of(f->name, folder);
    fd = open(folder, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* some file systems refuse: not an error */
        close(fd);
    }
    return EOS_DONE;
}

/* Whether the file can be written: better known before a run than after. */
static int whole_try(const char *name)
{
    struct whole file;

    if (whole_open(&file, name))
        return failed = EOS_USAGE;
    close(file.fd);
    unlink(file.beside);
    return EOS_DONE;
}

/* Little-endian on disk whatever the machine. */
static uint64_t get_le(const unsigned char *b, int bytes)
{
    uint64_t x = 0;

    while (bytes--)
        x = x << 8 | b[bytes];
    return x;
}

static void put_le(unsigned char *b, uint64_t x, int bytes)
{
    for (; bytes--; x >>= 8)
        *b++ = (unsigned char)x;
}

static double get_real(const unsigned char *b, int bytes)
{
    uint64_t wide = get_le(b, bytes);
    uint32_t narrow = (uint32_t)wide;
    double d;
    float f;

    memcpy(&d, &wide, sizeof d);
    memcpy(&f, &narrow, sizeof f);
    return bytes == 8 ? d : (double)f;
}

enum { NPY_HEADER = 4096 };

/* The value of a key in the header of a .npy file, a Python dictionary:
 * {'descr': '<f8', 'shape': (5,), }.  Its length is for a message. */
static const char *npy_value(const char *header, const char *key, int *length)
{
    const char *open = "'\"([", *close = "'\")]", *kind, *end;
    const char *value = strstr(header, key);

    value = value ? value + strlen(key) : "";
    value += strspn(value, " :");
    kind = *value ? strchr(open, *value) : NULL;
    end = kind ? strchr(value + 1, close[kind - open]) : NULL;
    *length = (int)size_min(
        end ? (size_t)(end - value) + 1 : strcspn(value, ",}\n"), 60);
    return value;
}

/* Whether a shape is (n,), which Python writes in several ways. */
static bool npy_one_dimension(const char *shape, size_t n)
{
    char *end;

    if (*shape++ != '(')
        return false;
    shape += strspn(shape, " ");
    errno = 0;
    if (*shape < '0' || *shape > '9' || strtoull(shape, &end, 10) != n || errno)
        return false;
    end += *end == 'L'; /* Python 2's long */
    end += strspn(end, " ");
    if (*end++ != ',')
        return false;
    return end[strspn(end, " ")] == ')';
}

/* Reads up to the elements; sets the bytes of one. */
static int npy_header(int fd, const char *name, size_t n, int *bytes)
{
    unsigned char start[12];
    char header[NPY_HEADER];
    const char *descr, *shape;
    size_t len;
    int length;

    if (read_all(fd, start, 10) != 10 || memcmp(start, "\x93NUMPY", 6))
        return refuse("%s: not a .npy file; numpy.save writes one", name);
    if (start[6] < 1 || start[6] > 3)
        return refuse("%s: .npy format %d.%d; formats 1.0 to 3.0 are read",
                      name, start[6], start[7]);
    if (start[6] > 1 && read_all(fd, start + 10, 2) != 2)
        return refuse("%s: cut short in its header", name);
    len = (size_t)get_le(start + 8, start[6] > 1 ? 4 : 2);
    if (len >= sizeof header)
        return refuse("%s: header of %zu bytes; at most %d are read", name, len,
                      NPY_HEADER - 1);
    if (read_all(fd, header, len) != (ssize_t)len)
        return refuse("%s: cut short in its header", name);
    header[len] = 0;
    descr = npy_value(header, "'descr'", &length);
    if (!strncmp(descr, "'<f8'", 5))
        *bytes = 8;
    else if (!strncmp(descr, "'<f4'", 5))
        *bytes = 4;
    else
        return refuse("%s: elements are %.*s; '<f4' or '<f8' is read", name,
                      length, descr);
    shape = npy_value(header, "'shape'", &length);
    if (!npy_one_dimension(shape, n))
        return refuse("%s: shape %.*s; (%zu,) is wanted here", name, length,
                      shape, n);
    return EOS_DONE;
}

/* x[n] from a .npy file: 1-D, C order, little-endian <f4 or <f8, finite. */
static int npy_read(const char *name, size_t n, double *x)
{
    unsigned char bytes[8 * 512], more;
    size_t i = 0, some;
    int fd = open(name, O_RDONLY | O_CLOEXEC), size = 8, status;

    if (fd < 0)
        return cannot(EOS_USAGE, name, "open");
    status = npy_header(fd, name, n, &size);
    while (!status && i < n) {
        some = size_min(512, n - i) * (size_t)size;
        if (read_all(fd, bytes, some) != (ssize_t)some)
            status = refuse("%s: cut short: its header promises %zu elements",
                            name, n);
        for (size_t j = 0; !status && j < some; j += (size_t)size) {
            x[i++] = get_real(bytes + j, size);
            if (!isfinite(x[i - 1]))
                status = refuse("%s: element %zu is not finite", name, i - 1);
        }
    }
    if (!status && read_all(fd, &more, 1) != 0)
        status = refuse("%s: goes on after its %zu elements", name, n);
    close(fd);
    return status;
}

/* Writes x[n] as <f8, format 1.0. */
static int npy_write(const char *name, size_t n, const double *x)
{
    static struct whole file;
    unsigned char bytes[8 * 512] = "\x93NUMPY\x01";
    size_t j;
    uint64_t word;
    char text[80];

    put_le(bytes + 8, 118, 2);
    snprintf(text, sizeof text,
             "{'descr': '<f8', 'fortran_order': False, 'shape': (%zu,), }", n);
    snprintf((char *)bytes + 10, 119, "%-117s\n", text);
    if (whole_open(&file, name) || whole_write(&file, bytes, 128))
        return failed;
    for (size_t i = 0; i < n; i += j) {
        for (j = 0; j < 512 && i + j < n; j++) {
            memcpy(&word, x + i + j, sizeof word);
            put_le(bytes + 8 * j, word, 8);
        }
        if (whole_write(&file, bytes, 8 * j))
            return failed;
    }
    return whole_close(&file);
}

/* --- What a command reads and writes ---
 *
 * Before anything is opened for writing every output is compared with every
 * other name.  An existing file is its device and inode, whatever the path; one
 * that is to be made is its folder's, and its last component. */

enum file_kind { INPUT, STREAM, LOG, CHECKPOINT, LOCK, ARRAY };

/* What a file that an output may replace begins with, and what it is. */
static const struct {
    const char *begins, *is;
} file_kinds[] = {
    [LOG] = {"# eos: ", "a log of eos"},
    [CHECKPOINT] = {"eos checkpoint ", "a checkpoint"},
    [LOCK] = {"eos checkpoint ", "a checkpoint"},
    [ARRAY] = {"\x93NUMPY", "a .npy file"},
};

static struct place {
    const char *option;
    enum file_kind kind;
    bool there;
    dev_t device;
    ino_t inode;
    char last[256];
} places[128];
static size_t places_n;

/* Whether the file at an output's name may be replaced.  `beside`: it is made
 * on the way to the output, and what a killed run left is in nobody's use. */
static int replaceable(const char *option, enum file_kind kind,
                       const char *name, bool beside)
{
    const char *begins = file_kinds[kind].begins, *is = file_kinds[kind].is;
    const size_t len = strlen(begins);
    struct stat info;
    char bytes[32];
    ssize_t got;
    int fd;

    if (kind == LOG ? stat(name, &info) : lstat(name, &info))
        return errno == ENOENT || errno == ENOTDIR
                   ? EOS_DONE
                   : cannot(EOS_USAGE, name, "look at it");
    if (!S_ISREG(info.st_mode))
        return refuse("%s: is %s, which %s does not replace; another name is "
                      "needed%s",
                      name,
                      S_ISDIR(info.st_mode)   ? "a folder"
                      : S_ISLNK(info.st_mode) ? "a symbolic link"
                                              : "no regular file",
                      option,
                      kind == CHECKPOINT || kind == LOCK ? " for the checkpoint"
                                                         : "");
    if (kind == ARRAY && !beside)
        return EOS_DONE;
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cannot(EOS_USAGE, name, "see what it is");
    got = read_all(fd, bytes, len);
    close(fd);
    if ((got == (ssize_t)len && !memcmp(bytes, begins, len)) ||
        (got == 0 && (kind == LOG || beside)))
        return EOS_DONE;
    if (beside)
        return refuse("%s: is in the way: %s writes there on the way to its "
                      "file, and it is not %s",
                      name, option, is);
    return refuse("%s: is not %s, and %s replaces nothing else; another "
                  "name is needed",
                  name, is, option);
}

/* Adds a file to those of the command, where it clashes with none before. */
static int place_add(const char *option, enum file_kind kind, const char *name,
                     const struct stat *info, bool there)
{
    struct place *p = &places[places_n];
    const char *slash = strrchr(name, '/');

    *p = (struct place){option, kind, there, info->st_dev, info->st_ino, ""};
    snprintf(p->last, sizeof p->last, "%s", slash ? slash + 1 : name);
    for (const struct place *q = places; q < p; q++)
        if ((kind > STREAM || q->kind != kind) && q->there == there &&
            q->device == p->device && q->inode == p->inode &&
            (there || !strcmp(q->last, p->last)))
            return refuse("%s: is the file of %s and of %s; an output needs a "
                          "file of its own",
                          name, q->option, option);
    places_n++; /* of 64 inputs by --data and some 30 others */
    return EOS_DONE;
}

/* A name that an option gives, or NULL.  What is made beside it takes two. */
static int place(const char *option, enum file_kind kind, const char *name,
                 const char *suffix)
{
    const bool whole = kind == CHECKPOINT || kind == ARRAY;
    char path[PATH], folder[PATH];
    struct stat info;
    bool there;

    if (!name)
        return EOS_DONE;
    if (!*name)
        return refuse("%s: the name is empty; a file's is needed", option);
    for (size_t i = 0; i < 1 + (size_t)whole; i++) {
        if ((size_t)snprintf(path, sizeof path, "%s%s%s", name, suffix,
                             i ? ".tmp" : "") >= sizeof path)
            return refuse("%s: the name is too long: %.60s...", option, name);
        there = !stat(path, &info);
        if (!there && kind == INPUT)
            break; /* whoever reads it tells */
        if (there && kind == LOG && !S_ISREG(info.st_mode) &&
            !S_ISDIR(info.st_mode))
            break; /* a device or a pipe takes what it gets */
        if (!there && !lstat(path, &info))
            return refuse("%s: is a symbolic link to nothing; %s needs a file",
                          path, option);
        folder_of(path, folder);
        if (!there && stat(folder, &info))
            return cannot(EOS_USAGE, path, "create");
        if (place_add(option, kind, path, &info, there) ||
            (kind != INPUT &&
             replaceable(option, kind, path, i || kind == LOCK)))
            return failed;
    }
    return EOS_DONE;
}

/* A run's vectors: at its end all but the last, eos train's the first. */
static const char *const saved_as[] = {
    "-gd.npy", "-pg.npy", "-gf.npy", "-v.npy", "-u.npy", "-instability.npy"};
static const char *const derived_as[] = {"/grad.npy", "/hvp.npy", "/d3.npy",
                                         "/d4.npy", "/u.npy"};

/* All that the configuration names, of which so many vectors are saved. */
static int places_check(size_t saved)
{
    static const char *const streams[] = {"standard output", "standard error"};
    const char *slow = config.stats == EOS_FULL ? config.log : NULL;
    struct stat info;

    places_n = 0;
    for (size_t i = 0; i < config.ndata; i++)
        if (place("--data", INPUT, config.data[i], ""))
            return failed;
    if (place("--test", INPUT, config.test, "") ||
        place("--init", INPUT, config.init, "") ||
        place("--direction", INPUT, config.direction, ""))
        return failed;
    for (size_t i = 0; i < 2; i++)
        if (!fstat(STDOUT_FILENO + (int)i, &info) && S_ISREG(info.st_mode) &&
            place_add(streams[i], STREAM, streams[i], &info, true))
            return failed;
    if (place("--log", LOG, config.log, "") ||
        place("--log", LOG, slow, ".slow") ||
        place("--checkpoint", CHECKPOINT, config.checkpoint, "") ||
        place("--checkpoint", LOCK, config.checkpoint, ".lock"))
        return failed;
    for (size_t i = 0; i < saved; i++)
        if (place("--save", ARRAY, config.save, saved_as[i]))
            return failed;
    if (config.out && !*config.out)
        return refuse("--out: the name is empty; a folder's is needed");
    for (size_t i = 0; config.out && !stat(config.out, &info) && i < 5; i++)
        if (place("--out", ARRAY, config.out, derived_as[i]))
            return failed;
    return EOS_DONE;
}

/* A lock on a file for as long as it is open; where its file system has none,
 * the run goes on without. */
static int lock(int fd, const char *name)
{
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat info;

    if (fstat(fd, &info) || !S_ISREG(info.st_mode) ||
        !fcntl(fd, F_SETLK, &all) || (errno != EACCES && errno != EAGAIN))
        return EOS_DONE;
    return refuse("%s: another run writes there; wait for its end, or give "
                  "another name",
                  name);
}

static int lock_try(const char *name, const char *suffix)
{
    char path[PATH];
    struct stat info;
    int fd, status;

    if (!name)
        return EOS_DONE;
    snprintf(path, sizeof path, "%s%s", name, suffix);
    if (stat(path, &info) || !S_ISREG(info.st_mode))
        return EOS_DONE; /* a pipe's reader would take this for its writer */
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return EOS_DONE;
    status = lock(fd, name);
    close(fd);
    return status;
}

/* ------------------------------------------------------------------------
 * 5  Data
 *
 * A CIFAR-10 record is a label and three planes of 32 x 32 bytes.  Inside
 * eos an image is HWC, index (y * 32 + x) * 3 + c, and stays bytes; it is
 * normalised, (byte - mean[c]) / std[c], where a kernel packs it.  The
 * transformer takes sentences instead, lines of a file as that of SST-2.
 * ------------------------------------------------------------------------ */

/* Images, or for the transformer sentences, one after another. */
struct set {
    size_t n;
    unsigned char (*rows)[PIXELS];
    uint16_t (*tokens)[SENTENCE]; /* 0 after a sentence's last */
    size_t length;                /* tokens that a sentence is filled up to */
    unsigned char *label; /* 0 .. 9; of two classes 0 (cat, negative), 1 */
};

enum { PASS_MAX = SAMPLES > TEST_SAMPLES ? SAMPLES : TEST_SAMPLES };
static unsigned char train_label[SAMPLES], test_label[TEST_SAMPLES];

static struct set train = {.label = train_label};
static struct set test = {.label = test_label};
static double data_mean[CHANNELS], data_inverse_std[CHANNELS];
static struct { /* the same for TILE inputs, as kernels read */
    struct {
        float f32[TILE];
        double f64[TILE];
    } mean, inverse_std;
} norm;
static size_t vocabulary; /* V: different tokens of training, and 0 */
static uint64_t data_hash, test_hash; /* of the records in use, as they come */
static bool test_more; /* the test file has more than there is room for */

static bool two_classes(void)
{
    return config.loss == EOS_BMSE || config.loss == EOS_LOGISTIC;
}

static bool sentences(void)
{
    return config.model == EOS_TRANSFORMER;
}

static void data_room(void)
{
    const size_t n = config.samples, tests = config.test ? TEST_SAMPLES : 0;

    train.rows = room_take(sentences() ? 0 : n, PIXELS);
    test.rows = room_take(sentences() ? 0 : tests, PIXELS);
    train.tokens = room_take(sentences() ? n : 0, sizeof *train.tokens);
    test.tokens = room_take(sentences() ? tests : 0, sizeof *test.tokens);
}

/* A set that is being filled.  Of two classes, 0 (cats, negative) and 1 (dogs,
 * positive), all of 0 come first, each in the order of the files; a test set,
 * whose number is not known, stays in the order of its file. */
struct filling {
    struct set *set;
    size_t want;     /* samples; of training's two classes half of each */
    size_t taken[2]; /* of each class */
    size_t seen;     /* images of any label */
    bool more;       /* the last file has more than were taken */
    uint64_t hash;   /* of the samples taken */
};

/* Gives a sample of a label, of two classes 0 or 1, its place in the set;
 * false where it has none, for its class is full. */
static bool filling_take(struct filling *f, size_t label, size_t *at)
{
    *at = f->set->n;
    if (two_classes()) {
        if (f->set == &train) {
            if (f->taken[label] == f->want / 2)
                return false;
            *at = label * (f->want / 2) + f->taken[label];
        }
        f->taken[label]++;
    }
    f->set->label[*at] = (unsigned char)label;
    f->set->n++;
    return true;
}

/* Takes a record, if it belongs to the set: its image comes as three planes. */
static void filling_put(struct filling *f, const unsigned char *record)
{
    const unsigned char *planes = record + 1;
    size_t at, label = record[0];

    f->seen++;
    if (two_classes()) {
        if (label != CAT && label != DOG)
            return;
        label = label == DOG;
    }
    if (!filling_take(f, label, &at))
        return;
    f->hash = hash_bytes(f->hash, record, RECORD);
    for (size_t pixel = 0; pixel < SIDE * SIDE; pixel++)
        for (size_t c = 0; c < CHANNELS; c++)
            f->set->rows[at][pixel * CHANNELS + c] =
                planes[c * SIDE * SIDE + pixel];
}

/* --- Sentences ---
 *
 * A file as GLUE's of SST-2: a header, then lines `sentence TAB label`, label 0
 * (negative) or 1.  A token, a word in messages, is a run of bytes between
 * blanks. */
static const char header[] = "sentence\tlabel";
enum { LONGEST = 1 << 14 }; /* bytes of a line, its end included */

/* A file of lines.  The current one has a 0 for its end, \n or \r\n. */
static struct lines {
    const char *name;
    int fd;
    size_t number, n; /* of the line, from 1 on; its bytes */
    char *line;       /* NULL after the last one */
    size_t at, have;  /* bytes of the buffer that are used, that are read */
    char buffer[LONGEST + 1];
} source;

/* Goes on to the next line; of one that is too long come LONGEST bytes. */
static int lines_next(struct lines *l)
{
    char *end = memchr(l->buffer + l->at, '\n', l->have - l->at);
    ssize_t got;

    if (!end) {
        l->have -= l->at;
        memmove(l->buffer, l->buffer + l->at, l->have);
        l->at = 0;
        got = read_all(l->fd, l->buffer + l->have, LONGEST - l->have);
        if (got < 0)
            return cannot(EOS_USAGE, l->name, "read");
        l->have += (size_t)got;
        end = memchr(l->buffer, '\n', l->have);
    }
    l->number++;
    l->line = l->have > l->at ? l->buffer + l->at : NULL;
    if (!l->line)
        return EOS_DONE;
    l->at = end ? (size_t)(end + 1 - l->buffer) : l->have;
    if (!end)
        end = l->buffer + l->have;
    else if (end > l->line && end[-1] == '\r')
        end--;
    *end = 0;
    l->n = (size_t)(end - l->line);
    return EOS_DONE;
}

/* The training sentences' tokens, from 1 on in the order they are read. */
enum { SLOTS = 2 * TOKENS };
static struct {
    size_t count;            /* of them, 0 included */
    uint16_t slot[SLOTS];    /* a hash table of them, 0: free */
    uint16_t number[TOKENS]; /* of each in the order of the set */
    uint32_t end[TOKENS]; /* of its text; that of the one before: its begin */
    char text[32 * TOKENS];
} words;

/* A token's number, or 0: unknown or, where it is to be learnt, no room. */
static size_t word_number(const char *text, size_t n, bool learn)
{
    size_t slot = (size_t)(hash_bytes(HASH_START, text, n) % SLOTS), w, begin;

    for (; (w = words.slot[slot]); slot = (slot + 1) % SLOTS) {
        begin = words.end[w - 1];
        if (words.end[w] - begin == n && !memcmp(words.text + begin, text, n))
            return w;
    }
    w = words.count;
    begin = words.end[w - 1];
    if (!learn || w == TOKENS || n > sizeof words.text - begin)
        return 0;
    memcpy(words.text + begin, text, n);
    words.end[w] = (uint32_t)(begin + n);
    words.slot[slot] = (uint16_t)w;
    words.count++;
    return w;
}

/* Numbers the tokens in order of first use over the set as it is placed. */
static void words_order(void)
{
    size_t last = 0;

    memset(words.number, 0, sizeof words.number);
    for (size_t i = 0; i < train.n; i++)
        for (size_t k = 0; k < train.length && train.tokens[i][k]; k++) {
            uint16_t *number = &words.number[train.tokens[i][k]];

            if (!*number)
                *number = (uint16_t)++last;
            train.tokens[i][k] = *number;
        }
    vocabulary = words.count;
}

/* Goes on to the next token of a sentence: its bytes, 0 at the end. */
static size_t token_next(const char **at)
{
    *at += strspn(*at, " ");
    return strcspn(*at, " \t");
}

/* Takes the sentence of a line, if it belongs to the set. */
static int sentence_put(struct filling *f, const struct lines *l)
{
    const bool learn = f->set == &train;
    const char *tab = strchr(l->line, '\t'), *at;
    const char *wrong = l->n == LONGEST          ? "has over 16383 bytes"
                        : strlen(l->line) < l->n ? "has a NUL byte"
                        : !tab                   ? "has no tab"
                        : strcmp(tab, "\t0") && strcmp(tab, "\t1")
                            ? "has another label or a second tab"
                            : NULL;
    size_t place, w, n, k = 0;

    if (wrong)
        return refuse(
            "%s: line %zu %s; a sentence, a tab and 0 or 1 are wanted", l->name,
            l->number, wrong);
    for (at = l->line; (n = token_next(&at)); at += n)
        k++;
    if (k < 1 || k > SENTENCE)
        return refuse("%s: line %zu has %zu words; 1 to %d are wanted", l->name,
                      l->number, k, SENTENCE);
    if (!filling_take(f, tab[1] == '1', &place))
        return EOS_DONE;
    f->hash = hash_bytes(f->hash, l->line, l->n);
    f->hash = hash_bytes(f->hash, "\n", 1);
    if (f->set->length < k)
        f->set->length = k;
    memset(f->set->tokens[place], 0, sizeof *f->set->tokens);
    for (at = l->line, k = 0; (n = token_next(&at)); at += n) {
        w = word_number(at, n, learn);
        if (learn && !w)
            return refuse("%s: line %zu has one word too many for this build, "
                          "which has room for %d different ones of %zu bytes "
                          "in all; fewer --samples, or make TOKENS=%d",
                          l->name, l->number, TOKENS - 1, sizeof words.text,
                          TOKENS < 32768 ? 2 * TOKENS : 65536);
        f->set->tokens[place][k++] = (uint16_t)(learn ? w : words.number[w]);
    }
    return EOS_DONE;
}

/* The sentences of one file, until the set is full. */
static int sentences_read(struct filling *f, const char *name, int fd)
{
    struct lines *l = &source;

    l->name = name;
    l->fd = fd;
    l->number = l->at = l->have = 0;
    if (lines_next(l))
        return failed;
    if (!l->line || l->n != sizeof header - 1 || strcmp(l->line, header))
        return refuse("%s: line 1 is not sentence<TAB>label, the header of a "
                      "file of sentences, which --model transformer takes",
                      name);
    while (!lines_next(l)) {
        f->more = l->line;
        if (!l->line || f->set->n == f->want)
            return EOS_DONE;
        if (sentence_put(f, l))
            break;
    }
    return failed;
}

/* The built-in sentences.  A word is a number from 2 to 2047.  Its octave, 2
 * and 3, 4 to 7 and so on, is drawn first, each as likely, and then the word in
 * it: so its frequency falls as one over its rank, as Zipf's law has it.  After
 * each word the sentence ends with a chance of a tenth, and after the 30th.  A
 * third of the words are pairs of a negative one, even, and a positive one; of
 * a pair that of the label comes in three cases of four.  Sentence i depends on
 * i alone.  What they share with SST-2's is in bench/RESULTS.md. */
static void synth_sentence(uint64_t i, struct lines *l)
{
    uint64_t rng = 0x776f7264 + (i << 24), bits = rng_next(&rng);
    const unsigned label = (unsigned)(bits >> 63);
    char *to = l->buffer;

    for (int k = 0; k < 30 && (!k || (bits >> 40) % 10); k++) {
        unsigned word;

        bits = rng_next(&rng);
        word = 2u << bits % 10;
        word += (unsigned)(bits >> 8) & (word - 1);
        if (word / 2 % 3 == 0 && (bits >> 24) % 2)
            word = (word & ~1u) + label;
        to += snprintf(to, 8, "%u ", word);
    }
    to += snprintf(to, 8, "\t%u", label);
    l->name = "the built-in set";
    l->number = (size_t)i + 1;
    l->line = l->buffer;
    l->n = (size_t)(to - l->buffer);
}

/* --- Images --- */

/* The records of one file, until the set is full.  The size of every file is
 * checked, also of those that are not needed. */
static int records_read(struct filling *f, const char *name, int fd)
{
    unsigned char record[RECORD];
    struct stat info;
    ssize_t got = read_all(fd, record, RECORD);

    if (got >= (ssize_t)sizeof header &&
        !memcmp(record, header, sizeof header - 1))
        return refuse("%s: line 1 is the header of sentences, which are for "
                      "--model transformer; CIFAR-10 records are wanted",
                      name);
    if (!fstat(fd, &info) && S_ISREG(info.st_mode) &&
        (info.st_size == 0 || info.st_size % RECORD))
        return refuse("%s: %lld bytes, not a multiple of the %d of a "
                      "CIFAR-10 record",
                      name, (long long)info.st_size, RECORD);
    for (size_t index = 0;; index++) {
        if (got < 0)
            return cannot(EOS_USAGE, name, "read");
        if (f->set->n == f->want || (!got && index))
            break;
        if (got < RECORD)
            return refuse("%s: ends within a record of %d bytes", name, RECORD);
        if (record[0] >= CLASSES)
            return refuse("%s: record %zu has label %d; CIFAR-10 "
                          "labels are 0 to 9",
                          name, index, record[0]);
        filling_put(f, record);
        got = read_all(fd, record, RECORD);
    }
    while (got == RECORD && two_classes() && record[0] != CAT &&
           record[0] != DOG) /* they are none of the set's */
        got = read_all(fd, record, RECORD);
    f->more = got > 0;
    return EOS_DONE;
}

/* The built-in set: fields with a 1/f amplitude spectrum, as natural images
 * have, by an inverse Fourier transform.  Each class has VARIANTS prototypes:
 * an image is one, shifted, plus a field of its own, at a contrast of its own.
 * Record i depends on i alone.  The numbers were chosen so that the MLP's loss,
 * accuracy and sharpness go as on CIFAR-10 (bench/RESULTS.md). */
enum { VARIANTS = 4, SHIFT = 3 };
static const double synth_class = 0.4;     /* share of the prototype */
static const double synth_mean = 3;        /* amplitude at f = 0, 1/f above */
static const double synth_chroma = 0.2;    /* colour against brightness */
static const double synth_contrast = 35;   /* bytes a standard deviation */
static const double synth_variation = 0.6; /* of the contrast: 0.4 to 1.6 */

static double complex synth_root[SIDE];
static float synth_proto[CLASSES][VARIANTS][CHANNELS][SIDE][SIDE];

/* to[n] = the inverse transform of n elements `stride` apart: that of the even
 * ones and that of the odd ones, joined. */
static void synth_line(const double complex *from, size_t stride, size_t n,
                       double complex *to)
{
    size_t half = n / 2;

    if (n == 1) {
        *to = *from;
        return;
    }
    synth_line(from, 2 * stride, half, to);
    synth_line(from + stride, 2 * stride, half, to + half);
    for (size_t k = 0; k < half; k++) {
        double complex odd = synth_root[k * (SIDE / n)] * to[half + k];

        to[half + k] = to[k] - odd;
        to[k] += odd;
    }
}

/* Two independent fields of variance 1, the real and the imaginary part, from
 * random coefficients of amplitude 1/|f|.  The second transform finds its lines
 * in the columns that the first one leaves. */
static void synth_fields(uint64_t *rng, double complex field[SIDE][SIDE])
{
    static double complex wave[SIDE][SIDE], half_way[SIDE][SIDE];
    double power = 0, scale;

    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++) {
            double fx = x <= SIDE / 2 ? (double)x : (double)x - SIDE;
            double fy = y <= SIDE / 2 ? (double)y : (double)y - SIDE;
            double f2 = fx * fx + fy * fy;

            scale = f2 > 0 ? 1 / sqrt(f2) : synth_mean;
            power += scale * scale;
            wave[x][y] = scale * rng_sign_unit(rng);
            wave[x][y] += scale * rng_sign_unit(rng) * I;
        }
    for (size_t y = 0; y < SIDE; y++)
        synth_line(&wave[0][y], SIDE, SIDE, half_way[y]);
    for (size_t x = 0; x < SIDE; x++)
        synth_line(&half_way[0][x], SIDE, SIDE, wave[x]);
    scale = 1 / sqrt(power / 3); /* re^2 and im^2 average 1/3 a term */
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++)
            field[y][x] = scale * wave[x][y];
}

/* A colour field: one brightness and two weaker opponent colours. */
static void synth_image(uint64_t *rng, float image[CHANNELS][SIDE][SIDE])
{
    static double complex first[SIDE][SIDE], second[SIDE][SIDE];

    synth_fields(rng, first);
    synth_fields(rng, second);
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++) {
            double grey = creal(first[y][x]);
            double red = synth_chroma * cimag(first[y][x]);
            double blue = synth_chroma * creal(second[y][x]);

            image[0][y][x] = (float)(grey + red);
            image[1][y][x] = (float)(grey - red);
            image[2][y][x] = (float)grey + (float)blue;
        }
}

/* The prototypes.  The roots, exp(2 pi i k / SIDE), come by halving angles:
 * square roots are exact everywhere, libm's cosine is not. */
static void synth_start(void)
{
    double c = -1, s = 0; /* of the angle 2 pi step / SIDE */
    uint64_t rng = 1;
    size_t step;

    for (synth_root[0] = 1, step = SIDE / 2; step; step /= 2) {
        for (size_t k = 0; k < SIDE; k += 2 * step)
            synth_root[k + step] = synth_root[k] * (c + s * I);
        s = sqrt((1 - c) / 2);
        c = sqrt((1 + c) / 2);
    }
    for (size_t i = 0; i < CLASSES * VARIANTS; i++)
        synth_image(&rng, synth_proto[i / VARIANTS][i % VARIANTS]);
}

/* Record i; returns its label.  `pets`: only cats and dogs get an image. */
static int synth_record(uint64_t i, bool pets, unsigned char record[RECORD])
{
    static float own[CHANNELS][SIDE][SIDE];
    uint64_t rng = 0x656f73 + (i << 24), bits = rng_next(&rng);
    size_t label = (size_t)(bits % CLASSES);
    float(*proto)[SIDE][SIDE] = synth_proto[label][bits / CLASSES % VARIANTS];
    size_t dx = (size_t)(bits / 100 % SHIFT);
    size_t dy = (size_t)(bits / 1000 % SHIFT);
    const double rest = sqrt(1 - synth_class * synth_class);
    const double unit = (double)(bits / 10000 % 1000) / 500 - 1;
    const double contrast = synth_contrast * (1 + synth_variation * unit);

    record[0] = (unsigned char)label;
    if (pets && label != CAT && label != DOG)
        return record[0];
    synth_image(&rng, own);
    for (size_t c = 0; c < CHANNELS; c++)
        for (size_t y = 0; y < SIDE; y++)
            for (size_t x = 0; x < SIDE; x++) {
                float shared = proto[c][(y + dy) % SIDE][(x + dx) % SIDE];
                double sum =
                    rest * (double)own[c][y][x] + synth_class * (double)shared;
                double value = fmin(fmax(127.5 + contrast * sum, 0), 255);

                record[1 + (c * SIDE + y) * SIDE + x] =
                    (unsigned char)(value + 0.5);
            }
    return record[0];
}

int eos_synth(uint64_t records)
{
    unsigned char record[RECORD];

    synth_start();
    for (uint64_t i = 0; i < records; i++) {
        synth_record(i, false, record);
        if (write_all(STDOUT_FILENO, record, sizeof record))
            return cannot(EOS_FAILED, "standard output", "write");
    }
    return EOS_DONE;
}

/* Mean and population standard deviation of each channel of training. */
static int data_normalise(void)
{
    double n = (double)train.n * SIDE * SIDE;

    for (size_t c = 0; c < CHANNELS; c++) {
        double sum = 0, squares = 0; /* the sum is of integers: exact */

        for (size_t i = 0; i < train.n; i++)
            for (size_t at = c; at < PIXELS; at += CHANNELS)
                sum += train.rows[i][at];
        data_mean[c] = sum / n;
        for (size_t i = 0; i < train.n; i++)
            for (size_t at = c; at < PIXELS; at += CHANNELS) {
                double d = train.rows[i][at] - data_mean[c];

                squares += d * d;
            }
        if (!(squares > 0))
            return refuse("%s: channel %zu is the same in every pixel; "
                          "it cannot be normalised",
                          config.ndata ? config.data[0] : "the built-in set",
                          c);
        data_inverse_std[c] = 1 / sqrt(squares / n);
    }
    for (size_t at = 0; at < TILE; at++) {
        norm.mean.f64[at] = data_mean[at % CHANNELS];
        norm.inverse_std.f64[at] = data_inverse_std[at % CHANNELS];
        norm.mean.f32[at] = (float)norm.mean.f64[at];
        norm.inverse_std.f32[at] = (float)norm.inverse_std.f64[at];
    }
    return EOS_DONE;
}

/* --- Both sets --- */

static int data_read(struct filling *f, const char *name)
{
    int status, fd = open(name, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return cannot(EOS_USAGE, name, "open");
    status = (sentences() ? sentences_read : records_read)(f, name, fd);
    close(fd);
    return status;
}

static int synth_fill(struct filling *f)
{
    unsigned char record[RECORD];

    if (!sentences())
        synth_start();
    for (uint64_t i = 0; f->set->n < f->want; i++)
        if (sentences()) {
            synth_sentence(i, &source);
            if (sentence_put(f, &source))
                return failed;
        } else {
            synth_record(i, two_classes(), record);
            filling_put(f, record);
        }
    return EOS_DONE;
}

static int train_load(void)
{
    const bool halves = two_classes(); /* of an even number of samples */
    struct filling f = {&train, config.samples, .hash = HASH_START};
    const char *last = config.ndata ? config.data[config.ndata - 1] : "";

    f.want -= halves && f.want % 2;
    train.n = train.length = 0;
    memset(words.slot, 0, sizeof words.slot);
    words.count = 1;
    for (size_t i = 0; i < config.ndata; i++)
        if (data_read(&f, config.data[i]))
            return failed;
    if (!config.ndata && synth_fill(&f))
        return failed;
    data_hash = f.hash;
    words_order();
    if (train.n == f.want)
        return sentences() ? EOS_DONE : data_normalise();
    if (halves)
        return refuse("%s: %zu %s and %zu %s; --samples %zu needs "
                      "%zu of each (at most --samples %zu with this data)",
                      last, f.taken[0], sentences() ? "negative" : "cats",
                      f.taken[1], sentences() ? "positive sentences" : "dogs",
                      f.want, f.want / 2, 2 * size_min(f.taken[0], f.taken[1]));
    return refuse("%s: %zu records in all; --samples %zu or fewer "
                  "fit this data",
                  last, f.seen, f.seen);
}

static int data_load(void)
{
    struct filling f = {&test, TEST_SAMPLES, .hash = HASH_START};

    test.n = 0;
    if (train_load())
        return failed;
    test.length = train.length;
    if (config.test && data_read(&f, config.test))
        return failed;
    test_hash = f.hash;
    test_more = f.more;
    if (test_more)
        tell("%s: has more than the %d test samples that this build has room "
             "for: the first are used",
             config.test, TEST_SAMPLES);
    if (config.test && !test.n)
        return refuse("%s: no %s in it", config.test,
                      sentences() ? "sentence" : "cat or dog");
    return EOS_DONE;
}

/* ------------------------------------------------------------------------
 * 6  Network
 *
 * For a direction v let theta(s) = theta + s v.  Every quantity that depends
 * on s is a truncated power series, coefficients k = 0 .. K, carried through
 * the forward and the backward pass (Taylor mode).  If the gradient of L at
 * theta(s) is the sum of g_k s^k, then g_0 is the gradient, g_1 the Hessian
 * times v, 2 g_2 the third derivative at (v, v), 6 g_3 the fourth at (v, v, v).
 *
 * A network is a table of layers.  A layer reads the one before it and makes
 * the series of its output, [order][sample][y][x][channel]; on the way back it
 * turns delta, the series of the loss's derivative with respect to its output,
 * into that of its input, and adds to the gradient of its weights.  A new kind
 * of layer is one function in kinds[], a new network is a table.
 * ------------------------------------------------------------------------ */

enum layer_kind { IMAGE, LINEAR, SWISH, NORM, ADD, MEAN, EMBED, ATTEND, KINDS };

/* A layer: what a table says of it, then what net_lay() makes of that.  Sizes
 * and places count the numbers of one order and one sample. */
struct layer {
    enum layer_kind kind;
    size_t c;      /* channels, an image's a multiple of PAD; 0: the outputs */
    size_t from;   /* it reads the layer so many before it; 0: the last one */
    size_t with;   /* ADD: so many before it is the other one that it reads */
    size_t window; /* LINEAR: a convolution with window x window taps */
    size_t stride; /* of its window; 0: 1 */
    size_t pool;   /* SWISH: takes the mean of pool x pool pixels, too */
    size_t groups; /* NORM: of channels, over all pixels; 0: each pixel alone */
    size_t heads;  /* ATTEND: into so many go the channels */
    bool plain;    /* LINEAR: without biases */
    bool zero;     /* its weights begin as zeros */
    bool winograd; /* by Winograd's algorithm */

    const struct layer *x;    /* the layer that it reads */
    const struct layer *skip; /* ADD: the other one */
    const struct layer *last; /* the last one that reads this */
    size_t readers;
    size_t h, w, row;       /* pixels; a pixel's channels, in whole vectors */
    size_t border;          /* pixels of zeros around an image */
    size_t line, origin, n; /* a line of pixels, the first one's place; all */
    size_t in;              /* its weight is a matrix [in][c]; 0: it has none */
    size_t theta, bias, end;          /* their places in the parameter vector */
    size_t degree;                    /* of its series as a polynomial in s */
    bool first;                       /* reads the image: delta ends here */
    bool stored;                      /* its series stands in the store */
    size_t value, delta, save, saved; /* places of its series */
    size_t panels;                    /* of its delta in the store */
    size_t pack, turned, start;       /* of the packed weights and biases */
    size_t sum;                       /* of its gradient's sum */
};

/* clang-format off */
static const struct layer mlp_table[] = {
    {.kind = IMAGE, .c = PIXELS},
    {.kind = LINEAR, .c = HIDDEN}, {.kind = SWISH},
    {.kind = LINEAR, .c = HIDDEN}, {.kind = SWISH},
    {.kind = LINEAR},
};
static const struct layer cnn_table[] = {
    {.kind = IMAGE, .c = CHANNELS},
    {.kind = LINEAR, .c = FILTERS, .window = 3}, {.kind = SWISH, .pool = 2},
    {.kind = LINEAR, .c = FILTERS, .window = 3, .winograd = true},
    {.kind = SWISH, .pool = 2},
    {.kind = LINEAR},
};

/* ResNet18.  A block adds to its input; the first one of a stage halves the
 * sides of the image, and so does what it adds to.  (Images of 4 x 4 pixels
 * have too few patches for Winograd's algorithm to gain by.) */
#define NORMED(C, S, WINOGRAD)                                           \
    {.kind = LINEAR, .c = C, .window = 3, .stride = S, .plain = true,    \
     .winograd = WINOGRAD}, {.kind = NORM, .groups = 16}
#define RES_BLOCK(C)                                                     \
    NORMED(C, 1, C < 128), {.kind = SWISH}, NORMED(C, 1, C < 128),       \
    {.kind = ADD, .with = 6}, {.kind = SWISH}
#define RES_HALVE(C)                                                     \
    NORMED(C, 2, false), {.kind = SWISH}, NORMED(C, 1, C < 128),         \
    {.kind = LINEAR, .c = C, .from = 6, .window = 1, .stride = 2,        \
     .plain = true}, {.kind = NORM, .groups = 16},                       \
    {.kind = ADD, .with = 3}, {.kind = SWISH}
static const struct layer resnet_table[] = {
    {.kind = IMAGE, .c = CHANNELS},
    NORMED(16, 1, false), {.kind = SWISH},
    RES_BLOCK(16), RES_BLOCK(16),
    RES_HALVE(32), RES_BLOCK(32),
    RES_HALVE(64), RES_BLOCK(64),
    RES_HALVE(128), RES_BLOCK(128),
    {.kind = MEAN}, {.kind = LINEAR, .zero = true},
};

/* The transformer: queries, keys and values of a layer all read its input. */
#define LINE(FROM) {.kind = LINEAR, .c = WIDTH, .window = 1, .from = FROM}
#define ENCODER                                                          \
    LINE(1), LINE(2), LINE(3), {.kind = ATTEND, .heads = 2}, LINE(1), \
    {.kind = ADD, .with = 6}, {.kind = NORM},                            \
    LINE(1), {.kind = SWISH}, LINE(1),                                   \
    {.kind = ADD, .with = 4}, {.kind = NORM}
static const struct layer transformer_table[] = {
    {.kind = EMBED, .c = WIDTH},
    ENCODER, ENCODER,
    {.kind = MEAN}, {.kind = LINEAR, .zero = true},
};
/* clang-format on */

/* A network: its table, the samples that go through it together, and when its
 * weight gradients are summed.  Late: after all samples of a block, for which
 * the series that they are made from wait in the store (large weights, small
 * images).  Else each tile adds its own at once to one of so many parts, in the
 * precision of the pass for so many samples until they are added in float64. */
static const struct network {
    const struct layer *table;
    size_t layers, tile;
    bool late;
    size_t parts, flush;
} networks[] = {
#define TABLE(t) t, sizeof t / sizeof *t
    [EOS_MLP] = {TABLE(mlp_table), TILE, true, 0, 0},
    [EOS_CNN] = {TABLE(cnn_table), 1, false, PARTS, 4},
    [EOS_RESNET18] = {TABLE(resnet_table), 1, false, 32, 16},
    [EOS_TRANSFORMER] = {TABLE(transformer_table), 1, false, 32, 16},
};

enum {
    LAYERS_MAX = 68,
    CHANNELS_MAX = 128, /* of a layer that is normalised */
    PAD = 16,           /* a multiple of every kernel's vector */
    SLAB = 96,          /* rows of a weight gradient that are summed together */
    DEPTH = 96,         /* inputs that a product with an image takes at once */
    STRETCH = 96,       /* samples that a sum takes at once */
    APART = 8,          /* rows that lie next to each other: no power of two */
    WIN_POINTS = 16,    /* of a patch in Winograd's algorithm */
    PACK_ROWS = 64,     /* rows of a weight that a task packs */
    WIN_APART = 32 /* numbers between the sums of its points: for the cache */
};

_Static_assert(sizeof resnet_table <= LAYERS_MAX * sizeof *resnet_table,
               "room for the longest table");
_Static_assert(PIXELS % DEPTH == 0 && DEPTH % TILE == 0, "depths fill it");
_Static_assert(PIXELS % SLAB == 0 && SLAB % TILE == 0, "slabs fill an image");
_Static_assert((int)TILE <= STRETCH && SLAB <= DEPTH, "scratch is enough");

/* The network of the run; laid out anew for sentences of another length. */
static struct net {
    struct layer layer[LAYERS_MAX];
    const struct network *table;
    size_t length; /* tokens of a sentence */
    size_t layers, tile;
    bool late;
    size_t classes; /* C: outputs */
    size_t params;  /* p */
    /* Numbers in all: of a worker's series, of the largest scratch of a layer,
     * of sums; of the store's series and panels; of packed weights. */
    size_t mem, scratch, sums, rows, panels, first_panel, packs;
} net;

static size_t up(size_t n, size_t m)
{
    return pieces(n, m) * m;
}

/* The patches of a layer's image, one point of each; apart for the cache. */
static size_t win_plane(const struct layer *l)
{
    return (l->h / 2 * (l->w / 2) + 1) * l->c;
}

/* How often a weight meets an image's channels: once for each of its taps. */
static size_t layer_taps(const struct layer *l)
{
    return l->window ? l->window * l->window : 1;
}

/* A layer's shape from that of the one it reads: that, unless it is told. */
static void layer_shape(struct layer *l)
{
    const struct layer *x = l->x;
    const bool flat = l->kind == LINEAR && !l->window;
    const bool alone = flat || l->kind == MEAN || l->kind == EMBED;
    size_t weights;

    l->pool = size_max(l->pool, 1);
    l->stride = size_max(l->stride, 1);
    if (l->kind == IMAGE) {
        l->h = l->w = l->c == CHANNELS ? SIDE : 1;
        l->row = l->c;
        return;
    }
    l->first = x && x->kind == IMAGE;
    l->h = alone ? 1 : x->h / l->pool / l->stride;
    l->w = l->kind == EMBED ? net.length
           : alone          ? 1
                            : x->w / l->pool / l->stride;
    if (!l->c)
        l->c = l->kind == LINEAR ? net.classes : x->c;
    l->row = up(l->c, PAD);
    l->degree = ORDERS - 1;
    if (l->kind == LINEAR) {
        l->degree = size_min(x->degree + 1, ORDERS - 1);
        l->in = (flat ? x->h * x->w : layer_taps(l)) * x->c;
    }
    if (l->kind == NORM)
        l->in = 1; /* the gains; its biases are the shifts */
    weights = l->kind == EMBED ? vocabulary + SENTENCE : l->in;
    l->theta = net.params;
    l->bias = l->theta + weights * l->c;
    l->end = l->bias + (l->in && !l->plain ? l->c : 0);
    net.params = l->end;
}

static size_t placed(size_t *end, size_t n)
{
    size_t at = *end;

    *end += n;
    return at;
}

/* Where a layer's series stand.  Delta takes the place of what nobody needs any
 * more when it is made: a sum's that of one summand, any other that of the
 * series, unless several layers add to it or attention reads on. */
static void layer_place(struct layer *l)
{
    const struct layer *x = l->x;
    const size_t pixels = l->h * l->w;

    l->line = (l->w + 2 * l->border) * l->row;
    l->origin = l->border * (l->line + l->row);
    l->n = up((l->h + 2 * l->border) * l->line, PAD);
    l->stored = net.late && l->kind == SWISH;
    if (l->kind == ADD)
        l->value = x->value;
    else if (l->kind != IMAGE || !net.late)
        l->value = placed(l->stored ? &net.rows : &net.mem, l->n);
    l->delta = l->value;
    if (l->kind != IMAGE && l->last &&
        (l->stored || l->readers > 1 || l->last->kind == ATTEND))
        l->delta = placed(&net.mem, l->n);
    if (l->kind == NORM)
        l->saved = (l->groups ? 1 : pixels) * l->row;
    if (l->kind == ATTEND) {
        const size_t row = up(pixels, PAD), head = l->c / l->heads;

        l->saved = l->heads * pixels * row;
        net.scratch = size_max(net.scratch, ORDERS * (head + pixels) * row);
    }
    l->save = placed(&net.mem, l->saved);
}

/* Where its packed weights, its biases and the sums of its gradient stand. */
static void layer_pack(struct layer *l)
{
    const struct layer *x = l->x;
    const size_t taps = layer_taps(l), in = l->in / taps;
    const size_t points = l->winograd ? WIN_POINTS : taps;
    const bool back = l->kind == LINEAR && !l->first;
    size_t sums = net.late ? 0 : l->in * l->row;

    if (!l->in)
        return;
    if (net.late) {
        l->panels = placed(l->first ? &net.first_panel : &net.panels, l->row);
        net.sums = size_max(net.sums, SLAB * l->row);
        net.scratch = size_max(net.scratch, STRETCH * (DEPTH + APART));
    }
    if (l->winograd) {
        const size_t plane = size_max(win_plane(x), win_plane(l));

        net.scratch =
            size_max(net.scratch, WIN_POINTS * (1 + 2 * net.tile) * plane);
        sums = WIN_POINTS * (x->c * l->c + WIN_APART);
    }
    l->sum = placed(&net.sums, sums);
    l->pack = placed(&net.packs, points * in * l->row);
    l->turned = placed(&net.packs, back ? points * l->c * up(in, PAD) : 0);
    l->start = placed(&net.packs, l->row);
}

/* Who reads whom.  What a window slides over, x and delta, has a border. */
static void layer_link(struct layer *l)
{
    struct layer *x = l - size_max(l->from, 1), *skip = l - l->with;

    if (l == net.layer)
        return;
    l->x = x;
    x->readers++;
    x->last = l;
    if (l->with) {
        l->skip = skip;
        skip->readers++;
        skip->last = l;
    }
    if (l->kind == ATTEND) /* keys and queries stand before the values */
        x[-1].last = x[-2].last = l;
    if (l->window > 1)
        x->border = 1;
}

static void net_lay(const struct network *t, size_t length)
{
    memset(&net, 0, sizeof net);
    net.table = t;
    net.length = length;
    net.layers = t->layers;
    net.tile = t->tile;
    net.late = t->late;
    net.classes = two_classes() ? 1 : CLASSES;
    for (size_t i = 0; i < net.layers; i++) {
        struct layer *l = &net.layer[i];

        *l = t->table[i];
        layer_link(l);
        layer_shape(l);
        l->border = l->window > 1 && !l->first;
    }
    for (size_t i = 0; i < net.layers; i++) {
        layer_place(&net.layer[i]);
        layer_pack(&net.layer[i]);
    }
}

size_t eos_params(void)
{
    return net.params;
}

void eos_init(uint64_t seed, double *theta)
{
    uint64_t rng = seed;

    memset(theta, 0, net.params * sizeof *theta);
    for (const struct layer *l = net.layer; l < net.layer + net.layers; l++) {
        const double fan_in = (double)(l->in ? l->in : l->c);

        for (size_t i = l->theta; i < l->bias && !l->zero; i++)
            theta[i] =
                l->kind == NORM
                    ? 1
                    : (double)(float)(rng_sign_unit(&rng) / sqrt(fan_in));
    }
}

/* What a pass computes. */
struct pass {
    size_t order; /* K */
    const struct set *set;
    const double *theta, *v; /* v: for K > 0 */
    double *out;             /* g_K; NULL: loss and accuracy only */
    bool keep, kept;   /* z_0 of a late network's first layer: store, use */
    size_t begin, end; /* samples whose series are in the store, or parts */
    size_t room;       /* samples that it has room for */
};
/* Of each sample, from one pass to the next. */
static double pass_loss[PASS_MAX];
static unsigned char pass_hit[PASS_MAX];

/* Arrays of numbers in the precision of the pass. */
union reals {
    float *f32;
    double *f64;
};

/* The memory of a pass: each worker's (series, a layer's scratch, sums), packed
 * weights of theta and of v, the store, z_0 of the first layer, the parts. */
static struct {
    union reals work, packed[2], store, kept;
    size_t work_one, store_bytes;
    size_t workers, slots; /* that there is room for; no number depends on it */
    double *parts;
} memory;

/* Room for n float32 or m float64 numbers. */
static union reals room_reals(size_t n, size_t m)
{
    const size_t bytes = size_max(n * sizeof(float), m * sizeof(double));

    return (union reals){.f32 = room_take(bytes, 1)};
}

/* Numbers of a worker's memory, of the store for one sample. */
static size_t work_numbers(size_t orders)
{
    return net.mem * net.tile * orders + up(net.scratch, PAD) + net.sums;
}

static size_t store_numbers(size_t orders)
{
    return (net.rows + net.panels) * orders + net.first_panel;
}

/* Where float32 is what was asked for, float64 passes are of order 0. */
static size_t net_orders(void)
{
    return config.deriv == EOS_F64 ? ORDERS : 1;
}

static size_t part_count(size_t n)
{
    return pieces(n, pieces(n, net.table->parts));
}

static void net_room(void)
{
    const bool f64 = config.deriv == EOS_F64;
    const size_t orders = net_orders();
    const size_t blocks = size_min(CHUNK, pieces(config.samples, BLOCK));
    const size_t z_0 = config.samples * net.first_panel;

    memory.packed[0] = room_reals(net.packs, net.packs);
    memory.packed[1] = room_reals(net.packs, f64 ? net.packs : 0);
    if (!net.late)
        return;
    memory.store_bytes =
        BLOCK * size_max(blocks * store_numbers(ORDERS) * sizeof(float),
                         (f64 && blocks > 3 ? blocks / 2 : 1) *
                             store_numbers(orders) * sizeof(double));
    memory.store.f32 = room_take(memory.store_bytes, 1);
    memory.kept = room_reals(f64 ? 0 : z_0, f64 ? z_0 : 0);
}

/* The last to take room: workers and parts, as many as are of use and fit. */
static void net_room_workers(void)
{
    enum { EACH = 8, SMALL = 1 << 24 };
    const size_t left = room_used < ROOM ? ROOM - room_used : 0;
    const size_t parts = net.late ? 0 : part_count(config.samples);
    const size_t part = vec_stride(net.params) * sizeof(double);
    const size_t one = up(size_max(work_numbers(ORDERS) * sizeof(float),
                                   work_numbers(net_orders()) * sizeof(double)),
                          64);
    size_t workers = size_max(1, size_min(config.threads, THREADS)), slots;

    while (workers > 1 &&
           workers * one + size_min(parts, 2 * workers) * part > left)
        workers--;
    slots = left > workers * one ? (left - workers * one) / part : 0;
    slots = size_min(slots, size_max(EACH * workers, SMALL / part));
    memory.work_one = one;
    memory.workers = workers;
    memory.work.f32 = room_take(workers, one);
    memory.slots = size_min(parts, size_max(1, slots));
    memory.parts = room_vectors(net.params, memory.slots);
}

/* Work on weights is cut into tasks of so many rows of one layer. */
static const struct layer *task_rows(size_t task, size_t rows, size_t *first)
{
    const struct layer *l = net.layer;

    while (task >= pieces(l->in, rows))
        task -= pieces(l++->in, rows);
    *first = task * rows;
    return l;
}

static size_t task_count(size_t rows)
{
    size_t tasks = 0;

    for (size_t i = 0; i < net.layers; i++)
        tasks += pieces(net.layer[i].in, rows);
    return tasks;
}

/* of() with the order of the pass, a constant inside: the one place where it is
 * told apart.  (No function: clang does not unroll through a pointer.) */
#define BY_ORDER(of, l, j, back)              \
    ((j)->p->order == 0   ? of(0, l, j, back) \
     : (j)->p->order == 1 ? of(1, l, j, back) \
     : (j)->p->order == 2 ? of(2, l, j, back) \
                          : of(3, l, j, back))

/* What products start with where there is no bias: as long as any row. */
static _Alignas(64) double zeros[4096];

#define REGION
#include "eos.c"
#undef REGION
#endif /* !REGION */

#if defined REAL && !defined PART /* once for each instance: */

/* The names of this instance. */
#define job N(job)
#define series N(series)

/* --- The activation and the losses --- */

/* swish(z) = z s(z), s the logistic function: s' = q z' with q = s (1 - s),
 * hence k s_k = sum_(j=1..k) j z_j q_(k-j); swish' = s + a - a s. */
INLINE TARGET void N(act_swish)(const size_t order, const V *z, V *a, V *d)
{
    const V one = v_set(1);
    V s[ORDERS], q[ORDERS], sum;

    UNROLL
    for (size_t k = 0; k <= order; k++) {
        if (k == 0) {
            s[0] = one / (one + v_exp((V){0} - z[0]));
        } else {
            sum = (V){0};
            UNROLL
            for (size_t j = 1; j <= k; j++)
                sum = v_fma(v_set((REAL)j) * z[j], q[k - j], sum);
            s[k] = sum * v_set((REAL)(1.0 / (double)k));
        }
        q[k] = s[k];
        UNROLL
        for (size_t j = 0; j <= k; j++)
            q[k] = v_fma((V){0} - s[j], s[k - j], q[k]);
        a[k] = z[0] * s[k];
        UNROLL
        for (size_t j = 1; j <= k; j++)
            a[k] = v_fma(z[j], s[k - j], a[k]);
        d[k] = s[k] + a[k];
        UNROLL
        for (size_t j = 0; j <= k; j++)
            d[k] = v_fma((V){0} - a[j], s[k - j], d[k]);
    }
}

/* delta_k(z) = sum_j delta_j(a) d_(k-j). */
INLINE TARGET V N(act_product)(const size_t k, const V *x, const V *d)
{
    V sum = x[0] * d[k];

    UNROLL
    for (size_t j = 1; j <= k; j++)
        sum = v_fma(x[j], d[k - j], sum);
    return sum;
}

/* From the outputs' series of one sample, f_k[c] at f[k * step + c], to its
 * loss and, in place of f, the series of dl/df times scale. */
static TARGET void N(loss_mse)(size_t order, REAL *f, size_t step, int label,
                               REAL scale, double *loss)
{
    *loss = 0;
    for (size_t c = 0; c < net.classes; c++) {
        f[c] -= net.classes == 1 ? (REAL)(2 * label - 1)
                                 : (REAL)(c == (size_t)label);
        *loss += (double)f[c] * (double)f[c];
        for (size_t k = 0; k <= order; k++)
            f[k * step + c] *= 2 * scale;
    }
}

/* e = exp(f) / sum_0: k e_k = sum_(j=1..k) j f_j e_(k-j); with E the sum of
 * e over the classes (E_0 = 1), p = e / E: p_k = e_k - sum_(j<k) p_j E_(k-j),
 * and dl/df = p - onehot. */
static TARGET void N(loss_ce)(size_t order, REAL *f, size_t step, int label,
                              REAL scale, double *loss)
{
    REAL e[ORDERS][CLASSES], p[ORDERS][CLASSES], total[ORDERS];
    REAL most = f[0], rest = 0;
    size_t best = 0;

    for (size_t c = 1; c < net.classes; c++)
        if (f[c] > most)
            most = f[best = c];
    for (size_t c = 0; c < net.classes; c++) {
        e[0][c] = v_exp1(f[c] - most);
        rest += c == best ? 0 : e[0][c];
    }
    *loss = log1p_pos((double)rest) + (double)(most - f[label]);
    for (size_t k = 0; k <= order; k++) {
        total[k] = 0;
        for (size_t c = 0; c < net.classes; c++) {
            if (k == 0) {
                e[0][c] /= 1 + rest;
            } else {
                e[k][c] = 0;
                for (size_t j = 1; j <= k; j++)
                    e[k][c] += (REAL)j * f[j * step + c] * e[k - j][c];
                e[k][c] /= (REAL)k;
            }
            total[k] += e[k][c];
        }
        for (size_t c = 0; c < net.classes; c++) {
            p[k][c] = e[k][c];
            for (size_t j = 0; j < k; j++)
                p[k][c] -= p[j][c] * total[k - j];
        }
    }
    for (size_t k = 0; k <= order; k++)
        for (size_t c = 0; c < net.classes; c++)
            f[k * step + c] =
                scale * (p[k][c] - (REAL)(k == 0 && c == (size_t)label));
}

/* m = -f y: l = log(1 + e^m), dl/df = -y s(m), s as in swish. */
static TARGET void N(loss_logistic)(size_t order, REAL *f, size_t step,
                                    int label, REAL scale, double *loss)
{
    REAL y = (REAL)(2 * label - 1), m = -f[0] * y;
    REAL e = v_exp1(m > 0 ? -m : m), s[ORDERS], q[ORDERS];

    *loss = log1p_pos((double)e) + (double)(m > 0 ? m : 0);
    for (size_t k = 0; k <= order; k++) {
        if (k == 0) {
            s[0] = (m > 0 ? 1 : e) / (1 + e);
        } else {
            s[k] = 0;
            for (size_t j = 1; j <= k; j++)
                s[k] += (REAL)j * -y * f[j * step] * q[k - j];
            s[k] /= (REAL)k;
        }
        q[k] = s[k];
        for (size_t j = 0; j <= k; j++)
            q[k] -= s[j] * s[k - j];
    }
    for (size_t k = 0; k <= order; k++)
        f[k * step] = scale * -y * s[k];
}

static TARGET void N(loss_series)(const struct pass *p, size_t sample, REAL *f,
                                  size_t step)
{
    const int label = p->set->label[sample];
    const REAL scale = (REAL)(1 / (double)p->set->n);
    double *loss = &pass_loss[sample];
    size_t best = 0;

    for (size_t c = 1; c < net.classes; c++)
        if (f[c] > f[best])
            best = c;
    pass_hit[sample] = net.classes == 1 ? (label ? f[0] > 0 : f[0] < 0)
                                        : best == (size_t)label;
    if (config.loss == EOS_CE)
        N(loss_ce)(p->order, f, step, label, scale, loss);
    else if (config.loss == EOS_LOGISTIC)
        N(loss_logistic)(p->order, f, step, label, scale, loss);
    else
        N(loss_mse)(p->order, f, step, label, scale, loss);
}

/* --- Where a layer finds its numbers --- */

/* What a worker does: samples first .. first + n, from `at` in the store. */
struct job {
    const struct pass *p;
    size_t first, n, at;
    REAL *mem;     /* the series that are not in the store, of a tile */
    REAL *scratch; /* a layer's own, while it runs */
    REAL *sums;    /* gradients since they were last added to out */
    double *out;   /* the gradient, or a part of it, in the flat layout */
};

static struct job N(job_of)(const struct pass *p, size_t worker)
{
    REAL *mem = memory.work.PREC + worker * (memory.work_one / sizeof(REAL));
    REAL *scratch = mem + net.mem * net.tile * (p->order + 1);
    REAL *sums = scratch + up(net.scratch, PAD);

    return (struct job){
        .p = p, .mem = mem, .scratch = scratch, .sums = sums, .out = p->out};
}

/* Coefficient k of a layer's series or, back, of its delta: the first pixel of
 * the job's sample s. */
INLINE REAL *series(const struct job *j, const struct layer *l, bool back,
                    size_t k, size_t s)
{
    const bool stored = l->stored && !back;
    const size_t held = stored ? j->p->room : net.tile;
    const size_t place = back ? l->delta : l->value;

    return (stored ? memory.store.PREC + j->at * l->n : j->mem) +
           (place * (j->p->order + 1) + k * l->n) * held + s * l->n + l->origin;
}

/* From a coefficient to the next. */
INLINE size_t N(step)(const struct job *j, const struct layer *l, bool back)
{
    return l->n * (l->stored && !back ? j->p->room : net.tile);
}

/* What a layer saves of a sample for the way back. */
INLINE REAL *N(saved)(const struct job *j, const struct layer *l, size_t k,
                      size_t s)
{
    return j->mem + (l->save * (j->p->order + 1) + k * l->saved) * net.tile +
           s * l->saved;
}

/* The highest order of this pass in which a layer's series is not zero. */
INLINE size_t N(degree)(const struct job *j, const struct layer *l)
{
    return size_min(j->p->order, l->degree);
}

/* The packed weights of theta (0) or v (1); what the sums of order k start
 * with, a layer's bias or zero. */
INLINE const REAL *N(packed)(size_t of, size_t at)
{
    return memory.packed[of].PREC + at;
}

INLINE const REAL *N(start)(const struct layer *l, bool back, size_t k)
{
    return k < 2 && !back ? N(packed)(k, l->start) : (const REAL *)zeros;
}

/* A vector of each coefficient; those above the degree are zero. */
INLINE TARGET void N(load)(const size_t order, size_t degree, const REAL *from,
                           size_t step, V *to)
{
    UNROLL
    for (size_t k = 0; k <= order; k++)
        to[k] = k <= degree ? v_load(from + k * step) : (V){0};
}

INLINE TARGET void N(store)(const size_t order, const V *from, REAL *to,
                            size_t step)
{
    UNROLL
    for (size_t k = 0; k <= order; k++)
        v_store(to + k * step, from[k]);
}

/* --- Images --- */

/* So many normalised inputs, whole tiles, of which each begins with red. */
INLINE TARGET void N(normalise)(const unsigned char *bytes, size_t len,
                                REAL *to)
{
    for (size_t at = 0; at < len; at += TILE) {
        UNROLL
        for (size_t i = 0; i < TILE; i += LANES)
            v_store(to + at + i,
                    (N(v_bytes)(bytes + at + i) - v_load(norm.mean.PREC + i)) *
                        v_load(norm.inverse_std.PREC + i));
    }
}

/* A convolution's image; a late network's comes from image_rows(). */
static TARGET void N(image)(const struct layer *l, const struct job *j,
                            bool back)
{
    const size_t line = l->w * l->c;

    for (size_t s = 0; s < j->n && !net.late && !back; s++)
        for (size_t y = 0; y < l->h; y++) {
            const unsigned char *bytes = j->p->set->rows[j->first + s];
            REAL *to = series(j, l, false, 0, s) + y * l->line;

            N(normalise)(bytes + y * line, line, to);
        }
}

/* Inputs i .. i + len of n images from the first on, as rows of a matrix.
 * Images are far apart in memory, so those to come are asked for ahead. */
static TARGET void N(image_rows)(const struct set *set, size_t first, size_t n,
                                 size_t i, size_t len, REAL *to)
{
    enum { AHEAD = 8 };

    for (size_t s = first; s < first + n; s++, to += len + APART) {
        const unsigned char *bytes = set->rows[s] + i;

        __builtin_prefetch(bytes + AHEAD * PIXELS);
        __builtin_prefetch(bytes + AHEAD * PIXELS + 64);
        N(normalise)(bytes, len, to);
    }
}

/* --- Winograd's algorithm F(2 x 2, 3 x 3): a faster convolution ---
 *
 * (A reader may skip this: it computes what the next part does.)  For each
 * 2 x 2 patch of the output y, from the 4 x 4 pixels d that it depends on and
 * the window's weights g,
 *
 *     y = A' (sum over channels of (G g G') o (B' d B)) A
 *
 *          1  0 -1  0         1    0    0          1  1  1  0
 *     B' = 0  1  1  0    G = 1/2  1/2  1/2    A' = 0  1 -1 -1
 *          0 -1  1  0        1/2 -1/2  1/2
 *          0  1  0 -1         0    0    1
 *
 * with o the product point by point: a matrix product [patch][in] by [in][out]
 * for each of the 16 points, 16 multiplications where a direct one takes 36.
 * It is linear in g and in d, so orders multiply as those of any product, and
 * are summed before A' is applied.  Back to d it is the same with the weights
 * turned round and transposed; back to g it is
 *
 *     dL/dg = G' (sum over patches of (B' d B) o (A dL/dy A')) G. */

/* B' of four numbers. */
INLINE TARGET void N(win_in)(const V *x, V *y)
{
    y[0] = x[0] - x[2];
    y[1] = x[1] + x[2];
    y[2] = x[2] - x[1];
    y[3] = x[1] - x[3];
}

/* A of two. */
INLINE TARGET void N(win_spread)(const V *x, V *y)
{
    y[0] = x[0];
    y[1] = x[0] + x[1];
    y[2] = x[0] - x[1];
    y[3] = -x[1];
}

/* A' of four. */
INLINE TARGET void N(win_out)(const V *x, V *y)
{
    y[0] = x[0] + x[1] + x[2];
    y[1] = x[1] - x[2] - x[3];
}

/* G' of four. */
INLINE TARGET void N(win_weigh)(const V *x, V *y)
{
    const V half = v_set((REAL)0.5);

    y[0] = x[0] + half * (x[1] + x[2]);
    y[1] = half * (x[1] - x[2]);
    y[2] = x[3] + half * (x[1] + x[2]);
}

/* x = M x M' for one of these matrices M, from x from to x to. */
INLINE TARGET void N(win_both)(void (*times)(const V *, V *), size_t from,
                               size_t to, V x[4][4])
{
    V t[4][4], column[4], y[4];

    UNROLL
    for (size_t j = 0; j < from; j++) {
        UNROLL
        for (size_t i = 0; i < from; i++)
            column[i] = x[i][j];
        times(column, y);
        UNROLL
        for (size_t i = 0; i < to; i++)
            t[i][j] = y[i];
    }
    UNROLL
    for (size_t i = 0; i < to; i++)
        times(t[i], x[i]);
}

/* Each patch's points from an image of l's shape: B' d B of its 4 x 4 pixels,
 * which begin one before it, or A d A' of its 2 x 2. */
INLINE TARGET void N(win_points)(const struct layer *l, const size_t side,
                                 const REAL *image, REAL *point)
{
    const size_t plane = win_plane(l);
    V x[4][4];

    image -= side == 4 ? l->line + l->row : 0;
    for (size_t py = 0; py < l->h; py += 2)
        for (size_t px = 0; px < l->w; px += 2, point += l->c)
            for (size_t c = 0; c < l->c; c += LANES) {
                const REAL *d = image + py * l->line + px * l->row + c;

                UNROLL
                for (size_t i = 0; i < side; i++) {
                    UNROLL
                    for (size_t j = 0; j < side; j++)
                        x[i][j] = v_load(d + i * l->line + j * l->row);
                }
                if (side == 4)
                    N(win_both)(N(win_in), 4, 4, x);
                else
                    N(win_both)(N(win_spread), 2, 4, x);
                UNROLL
                for (size_t i = 0; i < WIN_POINTS; i++)
                    v_store(point + c + i * plane, x[i / 4][i % 4]);
            }
}

/* start + A' m A of each patch, an image of l's shape; without a start it is
 * added to what is there. */
static TARGET void N(win_result)(const struct layer *l, const REAL *m,
                                 const REAL *start, REAL *image)
{
    const size_t plane = win_plane(l);
    V x[4][4];

    for (size_t py = 0; py < l->h; py += 2)
        for (size_t px = 0; px < l->w; px += 2, m += l->c)
            for (size_t c = 0; c < l->c; c += LANES) {
                REAL *to = image + py * l->line + px * l->row + c;

                UNROLL
                for (size_t i = 0; i < WIN_POINTS; i++)
                    x[i / 4][i % 4] = v_load(m + c + i * plane);
                N(win_both)(N(win_out), 4, 2, x);
                UNROLL
                for (size_t i = 0; i < 4; i++) {
                    REAL *at = to + i / 2 * l->line + i % 2 * l->row;
                    const V first = v_load(start ? start + c : at);

                    v_store(at, first + x[i / 2][i % 2]);
                }
            }
}

/* Coefficient k of the layer's output or, on the way back, of its input's
 * delta; the points that it comes from wait in scratch for order k + 1. */
static TARGET void N(win_series)(const struct layer *l, const struct job *j,
                                 bool back, size_t k)
{
    const struct layer *x = back ? l : l->x, *z = back ? l->x : l;
    const size_t weight = back ? l->turned : l->pack;
    const REAL *start = back && z->last != l ? NULL : N(start)(l, back, k);
    const size_t image = WIN_POINTS * win_plane(x);
    struct walk walk = walk_times(x->c, x->c, z->c, z->c, NULL);
    REAL *m = j->scratch, *point[2];

    for (size_t s = 0; s < j->n; s++) {
        const REAL *from = series(j, x, back, k, s);
        REAL *to = series(j, z, back, k, s);

        for (size_t of = 0; of <= (k > 0); of++) /* of theta, of v */
            point[of] =
                m + WIN_POINTS * win_plane(z) + (s * 2 + (k - of) % 2) * image;
        N(win_points)(x, 4, from, point[0]);
        for (size_t of = 0; of <= (k > 0); of++) {
            const REAL *w = N(packed)(of, weight);

            walk.start = of ? NULL : zeros;
            for (size_t i = 0; i < WIN_POINTS; i++)
                gemm(&walk, z->h / 2 * (z->w / 2), z->c,
                     point[of] + i * win_plane(x), w + i * x->c * z->c,
                     m + i * win_plane(z));
        }
        N(win_result)(z, m, start, to);
    }
}

/* Adds (B' d_k B) o (A delta_(K-k) A') to the sums. */
static TARGET void N(win_add)(const struct layer *l, const struct job *j,
                              size_t k)
{
    const struct layer *x = l->x;
    const size_t area = x->c * l->c + WIN_APART;
    const struct walk walk = walk_sum(l->h / 2 * (l->w / 2), x->c, l->c, l->c);
    REAL *m = j->scratch, *point = m + WIN_POINTS * win_plane(l);

    for (size_t s = 0; s < j->n; s++) {
        N(win_points)(l, 2, series(j, l, true, j->p->order - k, s), m);
        N(win_points)(x, 4, series(j, x, false, k, s), point);
        for (size_t i = 0; i < WIN_POINTS; i++)
            gemm(&walk, x->c, l->c, point + i * win_plane(x),
                 m + i * win_plane(l), j->sums + l->sum + i * area);
    }
}

/* out[9][in][c] += G' sum G. */
static TARGET void N(win_flush)(const struct layer *l, const REAL *sum,
                                double *out)
{
    const size_t area = l->x->c * l->c;
    V x[4][4];

    for (size_t at = 0; at < area; at += LANES) {
        REAL g[9 * LANES];

        UNROLL
        for (size_t i = 0; i < WIN_POINTS; i++)
            x[i / 4][i % 4] = v_load(sum + i * (area + WIN_APART) + at);
        N(win_both)(N(win_weigh), 4, 3, x);
        UNROLL
        for (size_t i = 0; i < 9; i++)
            v_store(g + i * LANES, x[i / 3][i % 3]);
        gemm_sum(9, LANES, g, LANES, out + at, area);
    }
}

/* G of three numbers. */
INLINE void N(win_filter)(double x0, double x1, double x2, double *y)
{
    y[0] = x0;
    y[1] = 0.5 * (x0 + x2 + x1);
    y[2] = 0.5 * (x0 + x2 - x1);
    y[3] = x2;
}

/* G g G' of the weights from one channel on, and that of g turned round and
 * transposed: its points 0 and 3 change places. */
static void N(win_pack)(const struct layer *l, const double *g, size_t in,
                        REAL *packed)
{
    static const size_t turned[] = {3, 1, 2, 0};
    const size_t n = l->x->c, area = n * l->c;
    double x[3][4], y[4];

    for (size_t c = 0; c < l->c; c++) {
        const double *at = g + in * l->c + c;

        for (size_t j = 0; j < 3; j++, at += area)
            N(win_filter)(at[0], at[3 * area], at[6 * area], x[j]);
        for (size_t i = 0; i < 4; i++) {
            N(win_filter)(x[0][i], x[1][i], x[2][i], y);
            for (size_t j = 0; j < 4; j++) {
                const size_t back = 4 * turned[i] + turned[j];

                packed[l->pack + (4 * i + j) * area + in * l->c + c] =
                    (REAL)y[j];
                packed[l->turned + back * area + c * n + in] = (REAL)y[j];
            }
        }
    }
}

/* --- Linear layers and convolutions ---
 *
 *   forward   z_k = W a_k + V a_(k-1)   (+ b for k = 0, + its v for k = 1)
 *   back      delta_k(a) = W' delta_k(z) + V' delta_(k-1)(z)
 *   gradient  g_K = sum_j  a_j delta_(K-j)(z)
 *
 * The inputs of the network do not depend on s: a_k = 0 for k > 0.  A
 * convolution is this at every pixel, for the window around it: with the
 * channels innermost the taps of a window's row lie side by side, and a product
 * walks over them as they are.  On the way back the window is turned round. */

/* The taps of a window that meet the pixels `phase` after each whole stride. */
struct N(taps) {
    size_t last, n; /* the last one, how many */
    size_t shift;   /* pixels from delta's to the one that it meets */
};

static struct N(taps) N(taps_of)(const struct layer *l, size_t phase)
{
    const size_t half = l->window / 2, first = (phase + half) % l->stride;
    struct N(taps) t = {0};

    if (first < l->window) {
        t.n = (l->window - 1 - first) / l->stride + 1;
        t.last = first + (t.n - 1) * l->stride;
        t.shift = (phase + half + l->stride - t.last) / l->stride;
    }
    return t;
}

/* Back through a convolution with a stride: tap t at pixel o of z met pixel
 * stride o + t - window / 2 of x.  Pixels of x with the same phase meet the
 * same taps, side by side in z: a product for each phase, added. */
static TARGET void N(weigh_phase)(const struct layer *l, const REAL *from,
                                  const REAL *weight, size_t phase_y,
                                  size_t phase_x, REAL *to)
{
    const struct layer *x = l->x;
    const struct N(taps) ty = N(taps_of)(l, phase_y);
    const struct N(taps) tx = N(taps_of)(l, phase_x);
    struct walk walk = walk_times(l->c, l->row, 0, l->stride * x->row, NULL);

    walk.segs = tx.n;
    walk.a.seg = l->row;
    walk.b.depth = l->window * l->window * l->c;
    walk.b.seg = l->stride * l->c;
    to += phase_y * x->line + phase_x * x->row;
    from += tx.shift * l->row - l->row;
    for (size_t i = 0; i < ty.n; i++) {
        const size_t row = l->window - 1 - ty.last + i * l->stride;

        walk.b.first = (row * l->window + l->window - 1 - tx.last) * l->c;
        for (size_t y = 0; y < l->h && tx.n; y++)
            gemm(&walk, l->w, x->c,
                 from + (y + i + ty.shift) * l->line - l->line, weight,
                 to + y * l->stride * x->line);
    }
}

/* to = start + W times from, or W' times from on the way back, for all samples
 * of the job; without a start it is added to what is there. */
static TARGET void N(weigh)(const struct layer *l, const struct job *j,
                            bool back, const REAL *from, const REAL *weight,
                            const REAL *start, REAL *to)
{
    const struct layer *x = back ? l : l->x, *z = back ? l->x : l;
    const size_t depth = l->window ? l->window * x->c : back ? l->c : l->in;
    const size_t line = l->stride * x->line;
    struct walk walk = walk_times(depth, l->stride * x->row, 0, z->row, start);

    if (!l->window) {
        walk.a.row = x->n;
        walk.c_row = z->n;
        gemm(&walk, j->n, back ? l->in : l->c, from, weight, to);
        return;
    }
    if (back && l->stride > 1) {
        if (start)
            memset(to - z->origin, 0, j->n * z->n * sizeof *to);
        for (size_t s = 0; s < j->n; s++, from += x->n, to += z->n)
            for (size_t i = 0; i < l->stride; i++)
                for (size_t k = 0; k < l->stride; k++)
                    N(weigh_phase)(l, from, weight, i, k, to);
        return;
    }
    walk.segs = l->window;
    walk.a.seg = x->line;
    walk.b.depth = l->window * depth;
    from -= l->window / 2 * (x->line + x->row);
    for (size_t s = 0; s < j->n; s++)
        for (size_t y = 0; y < z->h; y++)
            gemm(&walk, z->w, z->c, from + s * x->n + y * line, weight,
                 to + s * z->n + y * z->line);
}

/* Coefficient k of the products.  Of the layers that read an input the last one
 * is the first to reach its delta on the way back; the others add to it. */
static TARGET void N(weigh_series)(const struct layer *l, const struct job *j,
                                   bool back, size_t k)
{
    const struct layer *x = back ? l : l->x, *z = back ? l->x : l;
    const size_t weight = back ? l->turned : l->pack;
    const REAL *start = back && z->last != l ? NULL : N(start)(l, back, k);
    REAL *to = series(j, z, back, k, 0);

    for (size_t of = 0; of <= (k > 0); of++) /* of theta, of v */
        if (back || k - of <= x->degree) {
            const REAL *from = series(j, x, back, k - of, 0);

            N(weigh)(l, j, back, from, N(packed)(of, weight), start, to);
            start = NULL;
        }
}

/* A late network's first layer: z_0 and z_1, some inputs at a time. */
static TARGET void N(linear_first)(const struct layer *l, const struct job *j)
{
    const struct pass *p = j->p;
    REAL *z = series(j, l, false, 0, 0);
    const size_t first = j->first * l->row, n = j->n * l->row;
    struct walk walk = walk_times(DEPTH, DEPTH + APART, 0, l->row, NULL);

    walk.b.depth = l->in;
    for (; walk.b.first < l->in && (p->order || !p->kept);
         walk.b.first += DEPTH) {
        N(image_rows)(p->set, j->first, j->n, walk.b.first, DEPTH, j->scratch);
        for (size_t k = p->kept; k <= N(degree)(j, l); k++) {
            walk.start = walk.b.first ? NULL : N(start)(l, false, k);
            gemm(&walk, j->n, l->c, j->scratch, N(packed)(k, l->pack),
                 series(j, l, false, k, 0));
        }
    }
    if (p->kept) {
        memcpy(z, memory.kept.PREC + first, n * sizeof *z);
    } else if (p->keep) { /* also by a float64 pass for float32 ones */
        for (size_t i = 0; i < n; i++)
            if (config.deriv == EOS_F32)
                memory.kept.f32[first + i] = (float)z[i];
            else
                memory.kept.f64[first + i] = (double)z[i];
    }
}

/* Where coefficient k of delta waits for the sums: of a block's samples, in
 * panels of a micro-tile's columns.  Of the first layer only K is needed. */
INLINE REAL *N(panels)(const struct job *j, const struct layer *l, size_t k)
{
    const size_t orders = j->p->order + 1;
    const size_t before = l->first ? net.rows * orders
                                   : net.rows * orders + net.first_panel +
                                         l->panels * orders + k * l->row;

    return memory.store.PREC + before * j->p->room +
           j->at / BLOCK * BLOCK * l->row;
}

static TARGET void N(linear_panels)(const struct layer *l, const struct job *j,
                                    size_t k)
{
    const size_t vectors = pieces(l->c, LANES);
    const REAL *from = series(j, l, true, k, 0);
    REAL *to = N(panels)(j, l, k);
    size_t nv;

    for (size_t v = 0; v < vectors; v += nv) {
        nv = gemm_group(vectors - v, NV);
        for (size_t s = 0; s < j->n; s++)
            for (size_t i = 0; i < nv; i++)
                v_store(to + (v * BLOCK + (j->at % BLOCK + s) * nv + i) * LANES,
                        v_load(from + s * l->row + (v + i) * LANES));
    }
}

/* The gradient of rows i .. i + m of the weight, from a block's samples. */
static TARGET void N(linear_sum)(const struct layer *l, const struct job *j,
                                 size_t i, size_t m)
{
    const struct layer *x = l->x;
    struct walk walk = walk_sum(0, l->first ? m + APART : x->n, 0, l->row);

    walk.b.depth = BLOCK;
    for (size_t k = 0; k <= N(degree)(j, x); k++) {
        const REAL *b = N(panels)(j, l, j->p->order - k);

        memset(j->sums, 0, m * l->row * sizeof *j->sums);
        for (walk.b.first = 0; walk.b.first < j->n; walk.b.first += STRETCH) {
            const size_t s = walk.b.first, first = j->first + s;
            const REAL *a = j->scratch;

            walk.len = size_min(STRETCH, j->n - s);
            if (l->first)
                N(image_rows)(j->p->set, first, walk.len, i, m, j->scratch);
            else
                a = series(j, x, false, k, s) + i;
            gemm(&walk, m, l->c, a, b, j->sums);
        }
        gemm_sum(m, l->c, j->sums, l->row, j->out + l->theta + i * l->c, l->c);
    }
}

/* The gradient of the biases, likewise. */
static TARGET void N(linear_biases)(const struct layer *l, const struct job *j)
{
    const size_t vectors = pieces(l->c, LANES);
    const REAL *from = N(panels)(j, l, j->p->order);
    size_t nv;

    for (size_t v = 0; v < vectors; v += nv) {
        const size_t at = v * LANES;

        nv = gemm_group(vectors - v, NV);
        gemm_rows(j->n, size_min(nv * LANES, l->c - at), from + at * BLOCK,
                  nv * LANES, j->out + l->bias + at);
    }
}

/* The gradient of a tile's samples, added to the sums of a part: of a
 * convolution some lines at a time, so that they stay in the nearest cache. */
static TARGET void N(linear_add)(const struct layer *l, const struct job *j,
                                 size_t k)
{
    const struct layer *x = l->x;
    const REAL *a = series(j, x, false, k, 0);
    const REAL *dz = series(j, l, true, j->p->order - k, 0);
    const size_t lines = size_min(l->h, 512 / sizeof(REAL) / l->w);
    const size_t across = l->window * x->c, line = l->stride * x->line;
    struct walk walk = walk_sum(j->n, x->n, l->n, l->row);

    if (!l->window) {
        gemm(&walk, l->in, l->c, a, dz, j->sums + l->sum);
        return;
    }
    walk = walk_sum(l->w, l->stride * x->row, l->row, l->row);
    walk.segs = lines;
    walk.a.seg = line;
    walk.b.seg = l->line;
    a -= l->window / 2 * (x->line + x->row);
    for (size_t s = 0; s < j->n; s++, a += x->n, dz += l->n)
        for (size_t y = 0; y < l->h; y += lines)
            for (size_t i = 0; i < l->window; i++)
                gemm(&walk, across, l->c, a + y * line + i * x->line,
                     dz + y * l->line, j->sums + l->sum + i * across * l->row);
}

static TARGET void N(part_add)(const struct layer *l, const struct job *j)
{
    const size_t order = j->p->order;

    for (size_t k = 0; k <= N(degree)(j, l->x); k++)
        if (l->winograd)
            N(win_add)(l, j, k);
        else
            N(linear_add)(l, j, k);
    for (size_t s = 0; s < j->n && !l->plain; s++)
        for (size_t y = 0; y < l->h; y++)
            gemm_rows(l->w, l->c, series(j, l, true, order, s) + y * l->line,
                      l->row, j->out + l->bias);
}

static TARGET void N(linear)(const struct layer *l, const struct job *j,
                             bool back)
{
    const size_t most = back ? j->p->order : N(degree)(j, l);

    if (back && !net.late)
        N(part_add)(l, j);
    for (size_t k = l->first ? most : 0; k <= most && back && net.late; k++)
        N(linear_panels)(l, j, k);
    if (l->first && net.late && !back)
        N(linear_first)(l, j);
    for (size_t k = 0; k <= most && !(l->first && (back || net.late)); k++)
        if (l->winograd)
            N(win_series)(l, j, back, k);
        else
            N(weigh_series)(l, j, back, k);
}

/* --- Swish, and the mean of pool x pool pixels ---
 *
 * a = swish(z) as a series; delta_k(z) = sum_j delta_j(a) d_(k-j) with d the
 * series of swish'(z).  That takes the place of z, and delta(z) its own. */

/* The series of a pixel's mean. */
INLINE TARGET void N(swish_mean)(const size_t order, const struct layer *l,
                                 REAL *z, size_t z_step, REAL *a, size_t a_step)
{
    const struct layer *x = l->x;
    const V share = v_set((REAL)1 / (REAL)(l->pool * l->pool));
    V sum[ORDERS] = {0};

    for (size_t y = 0; y < l->pool; y++)
        for (size_t i = 0; i < l->pool; i++) {
            REAL *at = z + y * x->line + i * x->row;
            V zs[ORDERS], as[ORDERS], ds[ORDERS];

            N(load)(order, x->degree, at, z_step, zs);
            N(act_swish)(order, zs, as, ds);
            N(store)(order, ds, at, z_step);
            UNROLL
            for (size_t k = 0; k <= order; k++)
                sum[k] = y + i ? sum[k] + as[k] : as[k];
        }
    UNROLL
    for (size_t k = 0; k <= order; k++)
        v_store(a + k * a_step, l->pool > 1 ? sum[k] * share : sum[k]);
}

INLINE TARGET void N(swish_slope)(const size_t order, const struct layer *l,
                                  REAL *z, size_t z_step, const REAL *da,
                                  size_t a_step)
{
    const struct layer *x = l->x;
    const V share = v_set((REAL)1 / (REAL)(l->pool * l->pool));
    V mean[ORDERS], ds[ORDERS];

    N(load)(order, order, da, a_step, mean);
    UNROLL
    for (size_t k = 0; k <= order; k++)
        mean[k] = l->pool > 1 ? mean[k] * share : mean[k];
    for (size_t y = 0; y < l->pool; y++)
        for (size_t i = 0; i < l->pool; i++) {
            REAL *at = z + y * x->line + i * x->row;

            N(load)(order, order, at, z_step, ds);
            UNROLL
            for (size_t k = 0; k <= order; k++)
                if (k == order || !x->first)
                    v_store(at + k * z_step, N(act_product)(k, mean, ds));
        }
}

INLINE TARGET void N(swish_of)(const size_t order, const struct layer *l,
                               const struct job *j, bool back)
{
    const struct layer *x = l->x;
    const size_t z_step = N(step)(j, x, true), a_step = N(step)(j, l, back);

    for (size_t s = 0; s < j->n; s++)
        for (size_t y = 0; y < l->h; y++) {
            REAL *z = series(j, x, false, 0, s) + l->pool * y * x->line;
            REAL *a = series(j, l, back, 0, s) + y * l->line;

            for (size_t i = 0; i < l->w;
                 i++, z += l->pool * x->row, a += l->row)
                for (size_t c = 0; c < l->c; c += LANES)
                    if (back)
                        N(swish_slope)(order, l, z + c, z_step, a + c, a_step);
                    else
                        N(swish_mean)(order, l, z + c, z_step, a + c, a_step);
        }
}

static TARGET void N(swish)(const struct layer *l, const struct job *j,
                            bool back)
{
    BY_ORDER(N(swish_of), l, j, back);
}

/* --- Normalisation ---
 *
 * Over the pixels and the channels of a group, or the channels of a pixel,
 *
 *   m = mean of x,  u = mean of (x - m)^2 + 1e-6,  r = u^(-1/2),
 *   x^ = (x - m) r,  y = gain x^ + shift,
 *
 * products of series all of them, and from u r' = -u' r / 2
 *
 *   k u_0 r_k = sum_(j=1..k) (j / 2 - k) u_j r_(k-j).
 *
 * Back, with d = gain delta(y): delta(x) = (d - mean of d - x^ mean of d x^) r.
 * x^ takes the place of x, and delta(x) its own. */

/* What is normalised together: lines of w pixels of a sample. */
struct N(norm) {
    const struct layer *l;
    size_t w;
    size_t group, count; /* channels of a group, its numbers */
    REAL *x, *y; /* the first pixel's series; back y is that of delta(y) */
    size_t x_step, y_step;
    REAL *root; /* r, saved for the way back */
    size_t root_step;
    REAL mean[ORDERS][CHANNELS_MAX];   /* m; back the mean of d */
    REAL square[ORDERS][CHANNELS_MAX]; /* u; back the mean of d x^ */
};

/* to += gain from: the gains of theta and v at channel c. */
INLINE TARGET void N(norm_gain)(const size_t order, const struct layer *l,
                                size_t c, const V *from, V *to)
{
    UNROLL
    for (size_t k = 0; k <= order; k++) {
        to[k] = v_fma(v_load(N(packed)(0, l->pack) + c), from[k], to[k]);
        if (k)
            to[k] =
                v_fma(v_load(N(packed)(1, l->pack) + c), from[k - 1], to[k]);
    }
}

/* Forward: sums of x or, about its mean, of squares.  Back: of delta(y) and of
 * delta(y) x^. */
INLINE TARGET void N(norm_sums)(const size_t order, bool back, bool about,
                                struct N(norm) * n)
{
    const struct layer *l = n->l, *x = l->x;

    for (size_t c = 0; c < l->c; c += LANES) {
        V sum[ORDERS] = {0}, square[ORDERS] = {0}, m[ORDERS] = {0};

        if (about)
            N(load)(order, order, n->mean[0] + c, CHANNELS_MAX, m);
        for (size_t y = 0; y < l->h; y++)
            for (size_t i = 0; i < n->w; i++) {
                const REAL *at = n->x + y * x->line + i * x->row + c;
                const REAL *dy = n->y + y * l->line + i * l->row + c;
                const size_t degree = back ? order : x->degree;
                V xs[ORDERS], ds[ORDERS];

                N(load)(order, degree, at, n->x_step, xs);
                if (back)
                    N(load)(order, order, dy, n->y_step, ds);
                UNROLL
                for (size_t k = 0; k <= order; k++) {
                    xs[k] -= m[k];
                    ds[k] = back ? ds[k] : xs[k];
                    sum[k] += ds[k];
                }
                UNROLL
                for (size_t k = 0; k <= order; k++)
                    if (back || about)
                        square[k] += N(act_product)(k, ds, xs);
            }
        if (!about)
            N(store)(order, sum, n->mean[0] + c, CHANNELS_MAX);
        N(store)(order, square, n->square[0] + c, CHANNELS_MAX);
    }
}

static TARGET void N(fill)(REAL *to, size_t n, REAL x)
{
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        v_store(to + i, v_set(x));
    for (; i < n; i++)
        to[i] = x;
}

/* From sums over pixels to means over the channels of a group, which are added
 * by halves: the same bits at any vector width. */
static TARGET void N(norm_means)(size_t order, const struct N(norm) * n,
                                 REAL (*x)[CHANNELS_MAX])
{
    const size_t c = n->l->c, group = n->group;

    for (size_t k = 0; k <= order; k++)
        for (REAL *g = x[k]; g < x[k] + c; g += group) {
            for (size_t left = group, half; left > 1; left = half) {
                size_t i = half = pieces(left, 2);

                for (; half >= LANES && i + LANES <= left; i += LANES)
                    v_store(g + i - half, v_load(g + i - half) + v_load(g + i));
                for (; i < left; i++)
                    g[i - half] += g[i];
            }
            N(fill)(g, group, g[0] / (REAL)n->count);
        }
}

static TARGET void N(norm_roots)(size_t order, struct N(norm) * n)
{
    for (size_t g = 0; g < n->l->c; g += n->group) {
        const REAL u = n->square[0][g] + (REAL)1e-6;
        REAL r[ORDERS] = {1 / (REAL)sqrt((double)u)};

        for (size_t k = 1; k <= order; k++) {
            for (size_t j = 1; j <= k; j++)
                r[k] += ((REAL)j / 2 - (REAL)k) * n->square[j][g] * r[k - j];
            r[k] /= (REAL)k * u;
        }
        for (size_t k = 0; k <= order; k++)
            N(fill)(n->root + k * n->root_step + g, n->group, r[k]);
    }
}

/* A pixel's channels from c on: x^ and y, or back delta(x) from delta(y). */
INLINE TARGET void N(norm_pixel)(const size_t order, bool back,
                                 const struct N(norm) * n, size_t c, REAL *at,
                                 REAL *out)
{
    V x[ORDERS], y[ORDERS], m[ORDERS], q[ORDERS], r[ORDERS], d[ORDERS];

    N(load)(order, order, n->mean[0] + c, CHANNELS_MAX, m);
    N(load)(order, order, n->square[0] + c, CHANNELS_MAX, q);
    N(load)(order, order, n->root + c, n->root_step, r);
    N(load)(order, back ? order : n->l->x->degree, at, n->x_step, x);
    if (back)
        N(load)(order, order, out, n->y_step, y);
    UNROLL
    for (size_t k = 0; k <= order; k++)
        d[k] = (back ? -N(act_product)(k, x, q) : x[k]) - m[k];
    if (back)
        N(norm_gain)(order, n->l, c, y, d);
    UNROLL
    for (size_t k = 0; k <= order; k++) {
        x[k] = N(act_product)(k, d, r);
        y[k] = v_load(N(start)(n->l, false, k) + c);
    }
    N(store)(order, x, at, n->x_step);
    if (back)
        return;
    N(norm_gain)(order, n->l, c, x, y);
    N(store)(order, y, out, n->y_step);
}

/* The gradient of gains and shifts, of order K; then sums of d and d x^. */
INLINE TARGET void N(norm_add)(const size_t order, const struct job *j,
                               struct N(norm) * n)
{
    const struct layer *l = n->l;
    REAL *gain = j->sums + l->sum;

    for (size_t c = 0; c < l->c; c += LANES) {
        V x[ORDERS], sum[ORDERS] = {0}, square[ORDERS] = {0};

        v_store(gain + c, v_load(gain + c) + v_load(n->square[order] + c));
        N(load)(order, order, n->square[0] + c, CHANNELS_MAX, x);
        N(norm_gain)(order, l, c, x, square);
        N(store)(order, square, n->square[0] + c, CHANNELS_MAX);
        gemm_rows(1, LANES, n->mean[order] + c, 0, j->out + l->bias + c);
        N(load)(order, order, n->mean[0] + c, CHANNELS_MAX, x);
        N(norm_gain)(order, l, c, x, sum);
        N(store)(order, sum, n->mean[0] + c, CHANNELS_MAX);
    }
}

INLINE TARGET void N(norm_region)(const size_t order, const struct job *j,
                                  bool back, struct N(norm) * n)
{
    const struct layer *l = n->l, *x = l->x;

    N(norm_sums)(order, back, false, n);
    if (back)
        N(norm_add)(order, j, n);
    N(norm_means)(order, n, n->mean);
    if (!back)
        N(norm_sums)(order, false, true, n);
    N(norm_means)(order, n, n->square);
    if (!back)
        N(norm_roots)(order, n);
    for (size_t y = 0; y < l->h; y++)
        for (size_t i = 0; i < n->w; i++)
            for (size_t c = 0; c < l->c; c += LANES) {
                REAL *at = n->x + y * x->line + i * x->row + c;
                REAL *out = n->y + y * l->line + i * l->row + c;

                N(norm_pixel)(order, back, n, c, at, out);
            }
}

INLINE TARGET void N(norm_of)(const size_t order, const struct layer *l,
                              const struct job *j, bool back)
{
    const struct layer *x = l->x;
    const size_t regions = l->groups ? 1 : l->w;
    struct N(norm) n;

    n.l = l;
    n.w = l->w / regions;
    n.group = l->groups ? l->c / l->groups : l->c;
    n.count = n.group * l->h * n.w;
    n.x_step = N(step)(j, x, false);
    n.y_step = N(step)(j, l, back);
    n.root_step = l->saved * net.tile;
    for (size_t s = 0; s < j->n; s++)
        for (size_t i = 0; i < regions; i++) {
            n.x = series(j, x, false, 0, s) + i * x->row;
            n.y = series(j, l, back, 0, s) + i * l->row;
            n.root = N(saved)(j, l, 0, s) + i * l->row;
            N(norm_region)(order, j, back, &n);
        }
}

static TARGET void N(norm)(const struct layer *l, const struct job *j,
                           bool back)
{
    BY_ORDER(N(norm_of), l, j, back);
}

/* --- Sums of two layers, and means over all pixels --- */

/* to = or += scale times from, an image each; of one pixel: for every one. */
static TARGET void N(spread)(const struct layer *f, const REAL *from,
                             const struct layer *t, REAL *to, bool begin,
                             REAL scale)
{
    const size_t many = f->h * f->w > 1;

    for (size_t y = 0; y < t->h; y++)
        for (size_t x = 0; x < t->w; x++)
            for (size_t c = 0; c < t->c; c += LANES) {
                const REAL *at = from + many * (y * f->line + x * f->row) + c;
                const V add = v_set(scale) * v_load(at);
                REAL *sum = to + y * t->line + x * t->row + c;

                v_store(sum, begin ? add : v_load(sum) + add);
            }
}

/* The sum takes the place of x, and its delta is that of x. */
static TARGET void N(add)(const struct layer *l, const struct job *j, bool back)
{
    const struct layer *f = back ? l : l->skip, *t = back ? l->skip : l;

    for (size_t k = 0; k <= j->p->order; k++)
        for (size_t s = 0; s < j->n; s++) {
            const REAL *from = series(j, f, back, k, s);
            REAL *to = series(j, t, back, k, s);

            N(spread)(f, from, t, to, back && t->last == l, 1);
        }
}

static TARGET void N(mean)(const struct layer *l, const struct job *j,
                           bool back)
{
    const struct layer *x = l->x;
    const REAL share = (REAL)1 / (REAL)(x->h * x->w);

    for (size_t k = 0; k <= j->p->order; k++)
        for (size_t s = 0; s < j->n; s++) {
            REAL *from = series(j, x, back, k, s);
            REAL *to = series(j, l, back, k, s);

            if (back)
                N(spread)(l, to, x, from, true, share);
            for (size_t c = 0; c < l->c && !back; c += LANES) {
                V sum = {0};

                for (size_t y = 0; y < x->h; y++)
                    for (size_t i = 0; i < x->w; i++)
                        sum += v_load(from + y * x->line + i * x->row + c);
                v_store(to + c, sum * v_set(share));
            }
        }
}

/* --- Embedding: a row for the token, and one for its place ---
 *
 * Both come from the parameter vector itself, for a sentence touches few of
 * them: h = token[x_t] + position[t].  A row's gradient is a sum of delta_K. */

static TARGET void N(embedding)(const struct layer *l, const struct job *j,
                                bool back)
{
    const struct pass *p = j->p;

    for (size_t i = 0; i < j->n * l->w; i++) {
        const size_t s = i / l->w, t = i % l->w;
        const size_t word = l->theta + p->set->tokens[j->first + s][t] * l->c;
        const size_t place = l->theta + (vocabulary + t) * l->c;

        for (size_t k = back ? p->order : 0; k <= p->order; k++) {
            const double *x = k ? p->v : p->theta;
            REAL *h = series(j, l, back, k, s) + t * l->row;

            if (back) {
                gemm_rows(1, l->c, h, 0, j->out + word);
                gemm_rows(1, l->c, h, 0, j->out + place);
            }
            for (size_t c = 0; c < l->c && !back; c++)
                h[c] = k < 2 ? (REAL)(x[word + c] + x[place + c]) : 0;
        }
    }
}

/* --- Attention ---
 *
 * For each head, with q, k, v its columns of the three layers before,
 *
 *   scores s = q k' / sqrt(columns),  p = softmax of each row,  y = p v,
 *
 * products of series of matrices, (q k')_n = sum_j q_(n-j) k_j', and softmax
 * as in ce above.  Back: delta(v) = p' delta(y), delta(p) = delta(y) v', and
 * delta(s) = p o (delta(p) - each row's sum of p o delta(p)), then delta(q) and
 * delta(k) likewise.  p is saved, and delta(s) is scratch. */

/* A series of matrices: to the next coefficient, row, column. */
struct N(matrices) {
    REAL *at;
    size_t next, row, step;
};

static struct N(matrices) N(transposed)(struct N(matrices) a)
{
    return (struct N(matrices)){a.at, a.next, a.step, a.row};
}

/* Coefficient k of a head's columns of a layer, or of delta. */
static struct N(matrices) N(columns)(const struct job *j, const struct layer *l,
                                     bool back, size_t sample, size_t column)
{
    return (struct N(matrices)){series(j, l, back, 0, sample) + column,
                                N(step)(j, l, back), l->row, 1};
}

/* C = A B, [m][depth] by [depth][n], to the order of the pass. */
static TARGET void N(multiply)(const struct job *j, size_t m, size_t n,
                               size_t depth, struct N(matrices) a,
                               struct N(matrices) b, struct N(matrices) c)
{
    struct walk walk = walk_times(depth, a.row, b.row, c.row, NULL);

    walk.a.step = a.step;
    for (size_t k = 0; k <= j->p->order; k++) {
        walk.start = zeros;
        for (size_t i = 0; i <= k; i++) {
            gemm(&walk, m, n, a.at + (k - i) * a.next, b.at + i * b.next,
                 c.at + k * c.next);
            walk.start = NULL;
        }
    }
}

/* A copy of x', with rows of whole vectors, in the scratch of the job. */
static TARGET struct N(matrices)
    N(turn)(const struct job *j, size_t m, size_t n, struct N(matrices) x)
{
    const size_t row = up(m, PAD);

    for (size_t k = 0; k <= j->p->order; k++) {
        REAL *to = j->scratch + k * n * row;

        memset(to, 0, n * row * sizeof *to);
        for (size_t i = 0; i < m; i++)
            for (size_t c = 0; c < n; c++)
                to[c * row + i] = x.at[k * x.next + i * x.row + c];
    }
    return (struct N(matrices)){j->scratch, n * row, row, 1};
}

/* The sum of a vector's first few, in their order. */
INLINE TARGET REAL N(sum_first)(V x, size_t n, REAL sum)
{
    for (size_t i = 0; i < LANES && i < n; i++)
        sum += x[i];
    return sum;
}

/* Each row of n scores, in place. */
INLINE TARGET void N(softmax)(const size_t order, size_t n, REAL scale,
                              struct N(matrices) p)
{
    V s[ORDERS], e[ORDERS];

    for (REAL *row = p.at; row < p.at + n * p.row; row += p.row) {
        REAL most = row[0], total[ORDERS] = {0};

        for (size_t c = 1; c < n; c++)
            most = row[c] > most ? row[c] : most;
        for (size_t c = 0; c < n; c += LANES) {
            N(load)(order, order, row + c, p.next, s);
            e[0] = v_exp((s[0] - v_set(most)) * v_set(scale));
            UNROLL
            for (size_t k = 1; k <= order; k++) {
                e[k] = (V){0};
                UNROLL
                for (size_t i = 1; i <= k; i++)
                    e[k] += v_set((REAL)i * scale / (REAL)k) * s[i] * e[k - i];
            }
            N(store)(order, e, row + c, p.next);
            for (size_t k = 0; k <= order; k++)
                total[k] = N(sum_first)(e[k], n - c, total[k]);
        }
        for (size_t c = 0; c < n; c += LANES) {
            N(load)(order, order, row + c, p.next, e);
            UNROLL
            for (size_t k = 0; k <= order; k++) {
                UNROLL
                for (size_t i = 0; i < k; i++)
                    e[k] -= e[i] * v_set(total[k - i]);
                e[k] /= v_set(total[0]);
            }
            N(store)(order, e, row + c, p.next);
        }
    }
}

/* Each row of delta(p) to delta(s), in place. */
INLINE TARGET void N(softmax_back)(const size_t order, size_t n, REAL scale,
                                   struct N(matrices) p, struct N(matrices) d)
{
    V ps[ORDERS], ds[ORDERS], to[ORDERS];

    for (size_t i = 0; i < n; i++, p.at += p.row, d.at += d.row) {
        REAL dot[ORDERS] = {0};

        for (size_t c = 0; c < n; c += LANES) {
            N(load)(order, order, p.at + c, p.next, ps);
            N(load)(order, order, d.at + c, d.next, ds);
            UNROLL
            for (size_t k = 0; k <= order; k++) {
                to[k] = N(act_product)(k, ps, ds);
                dot[k] = N(sum_first)(to[k], n - c, dot[k]);
            }
        }
        for (size_t c = 0; c < n; c += LANES) {
            N(load)(order, order, p.at + c, p.next, ps);
            N(load)(order, order, d.at + c, d.next, ds);
            UNROLL
            for (size_t k = 0; k <= order; k++)
                ds[k] -= v_set(dot[k]);
            UNROLL
            for (size_t k = 0; k <= order; k++)
                to[k] = N(act_product)(k, ps, ds) * v_set(scale);
            N(store)(order, to, d.at + c, d.next);
        }
    }
}

/* One head of one sample, its columns of queries, keys, values. */
INLINE TARGET void N(attend)(const size_t order, const struct layer *l,
                             const struct job *j, bool back, size_t s,
                             size_t head)
{
    const size_t t = l->w, d = l->c / l->heads, row = up(t, PAD), at = head * d;
    const REAL scale = (REAL)(1 / sqrt((double)d));
    const struct N(matrices) q = N(columns)(j, l->x - 2, false, s, at);
    const struct N(matrices) k = N(columns)(j, l->x - 1, false, s, at);
    const struct N(matrices) v = N(columns)(j, l->x, false, s, at);
    const struct N(matrices) y = N(columns)(j, l, back, s, at);
    const struct N(matrices) dq = N(columns)(j, l->x - 2, true, s, at);
    const struct N(matrices) dk = N(columns)(j, l->x - 1, true, s, at);
    const struct N(matrices) dv = N(columns)(j, l->x, true, s, at);
    struct N(matrices) p = {N(saved)(j, l, 0, s), l->saved * net.tile, row, 1};
    struct N(matrices) ds = {j->scratch + ORDERS * d * row, t * row, row, 1};

    p.at += head * t * row;
    if (!back) {
        N(multiply)(j, t, t, d, q, N(turn)(j, t, d, k), p);
        N(softmax)(order, t, scale, p);
        N(multiply)(j, t, d, t, p, v, y);
        return;
    }
    N(multiply)(j, t, t, d, y, N(turn)(j, t, d, v), ds);
    N(multiply)(j, t, d, t, N(transposed)(p), y, dv);
    N(softmax_back)(order, t, scale, p, ds);
    N(multiply)(j, t, d, t, ds, k, dq);
    N(multiply)(j, t, d, t, N(transposed)(ds), q, dk);
}

INLINE TARGET void N(attend_of)(const size_t order, const struct layer *l,
                                const struct job *j, bool back)
{
    for (size_t s = 0; s < j->n; s++)
        for (size_t head = 0; head < l->heads; head++)
            N(attend)(order, l, j, back, s, head);
}

static TARGET void N(attention)(const struct layer *l, const struct job *j,
                                bool back)
{
    BY_ORDER(N(attend_of), l, j, back);
}

/* --- The pass --- */

static void (*const N(kinds)[KINDS])(const struct layer *, const struct job *,
                                     bool back) = {
    [IMAGE] = N(image),     [LINEAR] = N(linear),    [SWISH] = N(swish),
    [NORM] = N(norm),       [ADD] = N(add),          [MEAN] = N(mean),
    [EMBED] = N(embedding), [ATTEND] = N(attention),
};

/* The job's samples through all layers, and back. */
static TARGET void N(run_tile)(const struct job *j)
{
    const struct layer *last = &net.layer[net.layers - 1];

    for (const struct layer *l = net.layer; l <= last; l++)
        N(kinds)[l->kind](l, j, false);
    for (size_t s = 0; s < j->n; s++) {
        REAL *f = series(j, last, false, 0, s);

        N(loss_series)(j->p, j->first + s, f, last->n * net.tile);
    }
    for (const struct layer *l = last; l >= net.layer && j->p->out; l--)
        N(kinds)[l->kind](l, j, true);
}

/* Late networks.  First a task is a tile of samples: */
static TARGET void N(tile_task)(size_t worker, size_t task, const void *work)
{
    const struct pass *p = work;
    struct job j = N(job_of)(p, worker);

    j.at = task * net.tile;
    j.first = p->begin + j.at;
    j.n = size_min(net.tile, p->end - j.first);
    N(run_tile)(&j);
}

/* Then SLAB rows of a weight from row i on, over all samples of the store. */
static TARGET void N(sum_rows)(const struct pass *p, size_t worker,
                               const struct layer *l, size_t i)
{
    struct job j = N(job_of)(p, worker);
    const size_t n = p->end - p->begin;

    for (j.at = 0; j.at < n; j.at += BLOCK) {
        j.first = p->begin + j.at;
        j.n = size_min(BLOCK, n - j.at);
        N(linear_sum)(l, &j, i, size_min(SLAB, l->in - i));
        if (i == 0)
            N(linear_biases)(l, &j);
    }
}

static void N(sum_task)(size_t worker, size_t task, const void *work)
{
    size_t i;
    const struct layer *l = task_rows(task, SLAB, &i);

    N(sum_rows)(work, worker, l, i);
}

/* A border is zero before the series that it surrounds is written. */
static TARGET void N(border)(const struct layer *l, REAL *image)
{
    memset(image, 0, l->origin * sizeof *image);
    for (size_t y = 0; y < l->h; y++) /* right of one line, left of the next */
        memset(image + l->origin + y * l->line + l->w * l->row, 0,
               2 * l->row * sizeof *image);
    memset(image + (l->h + 1) * l->line, 0, l->line * sizeof *image);
}

static TARGET void N(part_flush)(const struct job *j)
{
    for (const struct layer *l = net.layer; l < net.layer + net.layers; l++) {
        REAL *sum = j->sums + l->sum;

        if (l->winograd)
            N(win_flush)(l, sum, j->out + l->theta);
        else
            gemm_sum(l->in, l->c, sum, l->row, j->out + l->theta, l->c);
    }
    memset(j->sums, 0, net.sums * sizeof *j->sums);
}

/* The others.  Task: a share of the samples, fixed by their number alone. */
static TARGET void N(part_task)(size_t worker, size_t task, const void *work)
{
    const struct pass *p = work;
    const size_t n = p->set->n, share = pieces(n, net.table->parts);
    const size_t first = (p->begin + task) * share;
    const size_t end = size_min(first + share, n);
    struct job j = N(job_of)(p, worker);
    size_t since = 0;

    j.out = nth(memory.parts, net.params, task);
    if (p->out)
        memset(j.out, 0, net.params * sizeof *j.out);
    memset(j.sums, 0, net.sums * sizeof *j.sums);
    for (const struct layer *l = net.layer; l < net.layer + net.layers; l++)
        for (size_t k = 0; k <= p->order && l->border; k++)
            for (size_t s = 0; s < net.tile; s++)
                N(border)(l, series(&j, l, false, k, s) - l->origin);
    for (j.first = first; j.first < end; j.first += j.n) {
        j.n = size_min(net.tile, end - j.first);
        N(run_tile)(&j);
        since += j.n;
        if (p->out && (since >= net.table->flush || j.first + j.n == end)) {
            N(part_flush)(&j);
            since = 0;
        }
    }
}

/* Row k of a packed matrix [depth][n], from x[0], x[step], ..: in panels as
 * wide as a micro-tile, the last one filled up with zeros. */
INLINE void N(pack_row)(size_t k, size_t depth, size_t n, const double *x,
                        size_t step, REAL *to)
{
    const size_t vectors = pieces(n, LANES);
    size_t nv, i;

    for (size_t v = 0; v < vectors; v += nv) {
        REAL *at = to + v * LANES * depth;
        size_t m;

        nv = gemm_group(vectors - v, NV);
        at += k * nv * LANES;
        m = size_min(nv * LANES, n - v * LANES);
        for (i = 0; i < m; i++, x += step)
            at[i] = (REAL)*x;
        for (; i < nv * LANES; i++)
            at[i] = 0;
    }
}

/* Rows first .. of one layer's weight, forward and turned round, of x. */
static TARGET void N(pack_layer)(const struct layer *l, size_t first,
                                 const double *x, REAL *packed)
{
    const size_t taps = layer_taps(l), in = l->in / taps;
    size_t end = first + PACK_ROWS;

    x += l->theta;
    for (size_t k = first; k < size_min(end, l->in); k++)
        if (!l->winograd)
            N(pack_row)(k, l->in, l->c, x + k * l->c, 1, packed + l->pack);
        else if (k < in)
            N(win_pack)(l, x, k, packed);
    if (l->first || l->winograd || l->kind != LINEAR)
        return;
    end = end < l->in ? end : taps * l->c; /* the last task takes the rest */
    for (size_t k = first; k < size_min(end, taps * l->c); k++) {
        const double *from = x + (taps - 1 - k / l->c) * in * l->c + k % l->c;

        N(pack_row)(k, taps * l->c, in, from, l->c, packed + l->turned);
    }
}

static TARGET void N(pack_task)(size_t worker, size_t task, const void *work)
{
    const struct pass *p = work;
    size_t first;
    const struct layer *l = task_rows(task, PACK_ROWS, &first);

    (void)worker;
    for (size_t side = 0; side <= (p->order > 0); side++) {
        const double *x = side ? p->v : p->theta;
        REAL *packed = memory.packed[side].PREC;

        if (side == 0 && l->first && p->kept)
            continue;
        N(pack_layer)(l, first, x, packed);
        for (size_t c = 0; c < l->row && !first; c++)
            packed[l->start + c] =
                l->bias + c < l->end ? (REAL)x[l->bias + c] : 0;
    }
}

/* Parts, as many at a time as there is room for, which are then added up. */
static void N(parts_pass)(struct pass *p)
{
    const size_t parts = part_count(p->set->n);
    double ones[PARTS];

    for (size_t i = 0; i < PARTS; i++)
        ones[i] = 1;
    for (p->begin = 0; p->begin < parts; p->begin = p->end) {
        p->end = size_min(p->begin + memory.slots, parts);
        parallel(p->end - p->begin, N(part_task), p);
        if (p->out)
            vec_combine(net.params, p->out, p->begin ? p->out : NULL,
                        p->end - p->begin, ones, memory.parts);
    }
}

static void N(net_pass)(struct pass *p)
{
    const size_t n = p->set->n;

    parallel(task_count(PACK_ROWS), N(pack_task), p);
    if (!net.late) {
        N(parts_pass)(p);
        return;
    }
    p->room = memory.store_bytes / sizeof(REAL) / store_numbers(p->order + 1) /
              BLOCK * BLOCK;
    if (p->out)
        memset(p->out, 0, net.params * sizeof *p->out);
    for (p->begin = 0; p->begin < n; p->begin = p->end) {
        p->end = size_min(p->begin + p->room, n);
        parallel(pieces(p->end - p->begin, net.tile), N(tile_task), p);
        if (p->out)
            parallel(task_count(SLAB), N(sum_task), p);
    }
}

#endif /* an instance */

#if defined REAL && defined PART /* what a benchmark adds to each instance */
#include PART
#endif

#ifndef REGION
/* ------------------------------------------------------------------------
 * 7  Derivatives
 * ------------------------------------------------------------------------ */

/* The kernels of this machine, best first. */
struct kernel {
    const char *name;
    int isa;                        /* how it multiplies and adds */
    void (*pass[2])(struct pass *); /* by precision */
};

/* clang-format off */
static const struct kernel kernels[] = {
#if WITH_AVX512
    {"avx512", ISA_AVX512, {net_pass_avx512_f32, net_pass_avx512_f64}},
#endif
#if WITH_AVX2
    {"avx2",   ISA_AVX2,   {net_pass_avx2_f32,   net_pass_avx2_f64}},
#endif
#if WITH_CFMA
    {"c",      ISA_FMA,    {net_pass_cfma_f32,   net_pass_cfma_f64}},
#endif
#if WITH_NEON
    {"neon",   ISA_NEON,   {net_pass_neon_f32,   net_pass_neon_f64}},
#endif
#if WITH_C
    {"c",      ISA_PLAIN,  {net_pass_c_f32,      net_pass_c_f64}},
#endif
};
/* clang-format on */
enum { KERNELS = sizeof kernels / sizeof *kernels };
static const struct kernel *kernel;

static bool isa_runs(int isa)
{
    switch (isa) {
#if defined __x86_64__
    case ISA_AVX512:
        return __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl");
    case ISA_AVX2:
        return __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2");
    case ISA_FMA:
        return __builtin_cpu_supports("fma");
#endif
    default:
        return true;
    }
}

static int kernel_choose(void)
{
    const char *name = getenv("EOS_KERNEL");

    if (name && !*name)
        name = NULL;
    for (size_t i = 0; i < KERNELS; i++)
        if ((!name || !strcmp(name, kernels[i].name)) &&
            isa_runs(kernels[i].isa)) {
            kernel = &kernels[i];
            return EOS_DONE;
        }
    for (size_t i = 0; i < KERNELS; i++)
        if (!name || !strcmp(name, kernels[i].name))
            return refuse("EOS_KERNEL=%s: this processor lacks it; leave "
                          "EOS_KERNEL unset for the best it has, or make "
                          "without KERNELS",
                          kernels[i].name);
    return refuse("EOS_KERNEL=%s: no such kernel in this build; the best it "
                  "has is %s",
                  name, kernels[0].name);
}

/* A point at which derivatives are taken: theta stays as it is meanwhile. */
struct point {
    const double *theta;
    uint64_t number; /* no two points have the same */
};

static struct point point_at(const double *theta)
{
    static uint64_t points;

    return (struct point){theta, ++points};
}

/* The number of the point where z_0 of the MLP's first layer was computed,
 * which all orders share and the network keeps, in the precision of Hessian
 * products, until another point's takes its place. */
static uint64_t first_layer;

static size_t hvps; /* Hessian products so far */

/* One pass of order K over a set; returns the mean loss. */
static double taylor(struct point at, enum eos_precision precision, int order,
                     const struct set *s, const double *v, double *out)
{
    struct pass p = {.order = (size_t)order,
                     .set = s,
                     .theta = at.theta,
                     .v = v,
                     .out = out};
    double sum = 0;

    if (s->length != net.length)
        net_lay(net.table, s->length);
    p.keep = s == &train && net.late && precision >= config.deriv;
    p.kept = p.keep && precision == config.deriv && first_layer == at.number;
    kernel->pass[precision](&p);
    if (p.keep)
        first_layer = at.number;
    for (size_t i = 0; i < s->n; i++)
        sum += pass_loss[i];
    return sum / (double)s->n;
}

/* The gradient of L; returns L. */
static double gradient(struct point at, enum eos_precision precision,
                       double *out)
{
    return taylor(at, precision, 0, &train, NULL, out);
}

/* out = (Hessian of L) v */
static void hessian(struct point at, const double *v, double *out)
{
    hvps++;
    taylor(at, config.deriv, 1, &train, v, out);
}

/* out = third derivative of L at (v, v) */
static void third(struct point at, const double *v, double *out)
{
    taylor(at, config.deriv, 2, &train, v, out);
    vec_scale(net.params, out, 2, out);
}

/* out = fourth derivative of L at (v, v, v) */
static void fourth(struct point at, const double *v, double *out)
{
    taylor(at, config.deriv, 3, &train, v, out);
    vec_scale(net.params, out, 6, out);
}

/* L and, where it is asked for, accuracy on a set; float64. */
static double loss_on(struct point at, const struct set *s, double *accuracy)
{
    double loss = taylor(at, EOS_F64, 0, s, NULL, NULL);
    size_t hits = 0;

    for (size_t i = 0; i < s->n; i++)
        hits += pass_hit[i];
    if (accuracy)
        *accuracy = isfinite(loss) ? (double)hits / (double)s->n : (double)NAN;
    return isfinite(loss) ? loss : (double)NAN;
}

double eos_loss(const double *theta, double *accuracy)
{
    return loss_on(point_at(theta), &train, accuracy);
}

double eos_gradient(const double *theta, double *out)
{
    return gradient(point_at(theta), EOS_F64, out);
}

void eos_hessian(const double *theta, const double *v, double *out)
{
    hessian(point_at(theta), v, out);
}

void eos_third(const double *theta, const double *v, double *out)
{
    third(point_at(theta), v, out);
}

void eos_fourth(const double *theta, const double *v, double *out)
{
    fourth(point_at(theta), v, out);
}

/* ------------------------------------------------------------------------
 * 8  Sharpness
 *
 * The k algebraically largest eigenpairs of the Hessian by Rayleigh-Ritz on
 * a small orthonormal basis.  Each step adds the residual of the first pair
 * that is not good enough, preconditioned by what is known of the outliers, at
 * one product; a full basis is restarted with the leading Ritz vectors and the
 * target's previous one.  With a basis of three
 * that is LOBPCG; a few more vectors save products when it starts cold.
 * ------------------------------------------------------------------------ */

/* y = (operator at the point) x */
typedef void operator_fn(struct point at, const double *x, double *y);

/* A residual below which one that no longer falls is at rounding's floor. */
#define EIG_FLOOR 3e-5

/* The running solve.  What it found stays here until the next one starts. */
static struct eig {
    size_t p; /* elements of a vector */
    operator_fn *apply;
    struct point at;
    size_t m, cap;          /* vectors in the basis, at most */
    double t[BASIS][BASIS]; /* the operator on the basis */
    double value[BASIS];    /* Ritz values, largest first */
    double y[BASIS][BASIS]; /* y[i]: coefficients of Ritz vector i */
    double last[BASIS];     /* the target's before the last step */
    double resid[EIG_MAX];  /* |Hu - Su| / |S| */
    bool value_only;        /* all that is asked of the last pair wanted */
    size_t unconverged;     /* solves that ended far from their goal */
    uint64_t rng;
} eig;

/* Its vectors: the basis, the operator's images of it (in float32 where the
 * Hessian products are), and `next` for a guess, a residual or an image. */
static struct {
    size_t room; /* vectors there is room for */
    double *basis, *next;
    struct vecs image;
} krylov;

/* The leading eigenvectors: gradient descent's until the track begins, then
 * those of theta+.  They are guesses for all trajectories and precondition
 * their residuals.  The first, and those of several directions, are of the last
 * solve, the others of the last thorough search. */
static struct outliers {
    size_t known;
    bool dagger; /* theta+'s */
    double value[EIG_MAX];
    struct vecs u;
} outliers;

static size_t eig_wanted(void)
{
    size_t pairs = config.unstable > 1 ? config.unstable + 1 : 2;

    return size_min(EIG_MAX, size_max(pairs, config.neigs));
}

static void eig_room(size_t p)
{
    krylov.room = size_min(BASIS, 2 * eig_wanted() + 6);
    krylov.basis = room_vectors(p, krylov.room);
    krylov.next = room_vectors(p, 1);
    krylov.image = room_kept(p, krylov.room, config.deriv == EOS_F32);
    outliers = (struct outliers){.u = room_kept(p, EIG_MAX, true)};
}

static void swap(double *a, double *b, size_t n)
{
    for (; n--; a++, b++) {
        const double was = *a;

        *a = *b;
        *b = was;
    }
}

/* (a, b) turned by the angle of cosine c and sine s. */
static void rotate(double c, double s, double *a, double *b)
{
    const double p = *a, q = *b;

    *a = c * p - s * q;
    *b = s * p + c * q;
}

/* Eigenvalues, descending, and vectors y[i], by cyclic Jacobi rotations. */
static void jacobi(size_t m, double a[BASIS][BASIS], double *value,
                   double y[BASIS][BASIS])
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++)
            y[i][j] = i == j;
    for (size_t sweep = 0; sweep < 60; sweep++) {
        double off = 0, all = 0;

        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < m; j++) {
                all += a[i][j] * a[i][j];
                off += i == j ? 0 : a[i][j] * a[i][j];
            }
        if (!(off > 1e-34 * all))
            break;
        for (size_t i = 0; i < m; i++)
            for (size_t j = i + 1; j < m; j++) {
                double tau, t, c, s;

                if (a[i][j] == 0)
                    continue;
                tau = (a[j][j] - a[i][i]) / (2 * a[i][j]);
                t = (tau < 0 ? -1 : 1) / (fabs(tau) + sqrt(1 + tau * tau));
                c = 1 / sqrt(1 + t * t);
                s = t * c;
                for (size_t k = 0; k < m; k++)
                    rotate(c, s, &a[k][i], &a[k][j]);
                for (size_t k = 0; k < m; k++) {
                    rotate(c, s, &a[i][k], &a[j][k]);
                    rotate(c, s, &y[i][k], &y[j][k]);
                }
            }
    }
    for (size_t i = 0; i < m; i++)
        value[i] = a[i][i];
    for (size_t i = 0; i < m; i++) /* largest first */
        for (size_t j = i + 1; j < m; j++)
            if (value[j] > value[i]) {
                swap(&value[i], &value[j], 1);
                swap(y[i], y[j], m);
            }
}

/* x -= its projection on the basis, and again where that was most of it: what
 * is left then is orthogonal to rounding.  Returns its norm relative to what x
 * had, and normalises x. */
static double eig_orthogonalise(double *x)
{
    double dot[BASIS], before = vec_norm(eig.p, x), after = before, had;

    for (size_t round = 0; round < 2 && eig.m; round++) {
        vec_dots(eig.p, eig.m, krylov.basis, x, dot);
        for (size_t j = 0; j < eig.m; j++)
            dot[j] = -dot[j];
        vec_combine(eig.p, x, x, eig.m, dot, krylov.basis);
        had = after;
        after = vec_norm(eig.p, x);
        if (after > 0.5 * had)
            break;
    }
    if (after > 0)
        vec_scale(eig.p, x, 1 / after, x);
    return before > 0 ? after / before : 0;
}

static void eig_random(double *x)
{
    for (size_t i = 0; i < eig.p; i++)
        x[i] = rng_sign_unit(&eig.rng);
}

static double *eig_basis(size_t i)
{
    return nth(krylov.basis, eig.p, i);
}

/* Adds a direction to the basis, at one product; one that the basis holds
 * already is passed over.  krylov.next, which may be x, gets the image. */
static bool eig_append(const double *x)
{
    size_t m = eig.m;

    if (m == eig.cap)
        return false;
    vec_copy(eig.p, eig_basis(m), x);
    if (!(eig_orthogonalise(eig_basis(m)) > 1e-9))
        return false;
    eig.apply(eig.at, eig_basis(m), krylov.next);
    vecs_write(eig.p, krylov.image, m, krylov.next);
    eig.m++;
    vec_dots(eig.p, eig.m, krylov.basis, krylov.next, eig.t[m]);
    for (size_t i = 0; i < m; i++)
        eig.t[i][m] = eig.t[m][i];
    eig.last[m] = 0;
    return true;
}

static bool eig_append_random(void)
{
    eig_random(krylov.next);
    return eig_append(krylov.next);
}

/* Begins a solve for the operator at the point, without any guess. */
static void eig_start(size_t p, operator_fn *apply, struct point at,
                      size_t wanted)
{
    eig.p = p;
    eig.apply = apply;
    eig.at = at;
    eig.m = 0;
    eig.cap = size_min(size_min(krylov.room, 2 * wanted + 6), p);
    eig.value_only = false;
    memset(eig.last, 0, sizeof eig.last);
}

static void eig_ritz(void)
{
    double t[BASIS][BASIS];

    memcpy(t, eig.t, sizeof t);
    jacobi(eig.m, t, eig.value, eig.y);
}

/* out = Ritz vector i */
static void eig_vector(size_t i, double *out)
{
    vec_combine(eig.p, out, NULL, eig.m, eig.y[i], krylov.basis);
}

/* A residual relative to its eigenvalue; that of H = 0 is 0. */
static double eig_relative(double residual, double value)
{
    return residual > 0 ? residual / fabs(value) : residual;
}

/* r = H x - value x for Ritz pair i; returns |r| / |value|. */
static double eig_residual_of(size_t i, double *r)
{
    double coef[BASIS];

    vecs_combine(eig.p, r, NULL, eig.m, eig.y[i], krylov.image);
    for (size_t j = 0; j < eig.m; j++)
        coef[j] = -eig.value[i] * eig.y[i][j];
    vec_combine(eig.p, r, r, eig.m, coef, krylov.basis);
    return eig_relative(vec_norm(eig.p, r), eig.value[i]);
}

/* The running restart: vector i < m of the new basis is sum_j coef[i][j] old
 * vector j, and so are the images. */
static struct {
    size_t m;
    double coef[BASIS][BASIS];
} turn;

static void eig_turn_task(size_t worker, size_t task, const void *work)
{
    const struct vecs both[2] = {{.f64 = krylov.basis}, krylov.image};
    const size_t stride = vec_stride(eig.p);
    const size_t end = size_min((task + 1) * CHUNK_SUM, eig.p);
    double old[BASIS], sum;
    size_t b, e, i, j;

    (void)worker, (void)work;
    for (b = 0; b < 2; b++)
        for (e = task * CHUNK_SUM; e < end; e++) {
            for (j = 0; j < eig.m; j++)
                old[j] = both[b].f64 ? both[b].f64[j * stride + e]
                                     : (double)both[b].f32[j * stride + e];
            for (i = 0; i < turn.m; i++) {
                for (sum = 0, j = 0; j < eig.m; j++)
                    sum += turn.coef[i][j] * old[j];
                if (both[b].f64)
                    both[b].f64[i * stride + e] = sum;
                else
                    both[b].f32[i * stride + e] = (float)sum;
            }
        }
}

/* Restart with the leading Ritz vectors and what is new in eig.last. */
static void eig_restart(size_t leading)
{
    double *last = turn.coef[leading], length = 0, dot, t[BASIS][BASIS];
    size_t j, a;

    memcpy(turn.coef, eig.y, sizeof turn.coef);
    memcpy(last, eig.last, sizeof eig.last);
    for (a = 0; a < 2; a++)
        for (size_t i = 0; i < leading; i++) {
            for (dot = 0, j = 0; j < eig.m; j++)
                dot += turn.coef[i][j] * last[j];
            for (j = 0; j < eig.m; j++)
                last[j] -= dot * turn.coef[i][j];
        }
    for (j = 0; j < eig.m; j++)
        length += last[j] * last[j];
    length = sqrt(length);
    for (j = 0; j < eig.m && length > 1e-6; j++)
        last[j] /= length;
    turn.m = leading + (length > 1e-6);
    parallel(pieces(eig.p, CHUNK_SUM), eig_turn_task, NULL);
    for (size_t i = 0; i < turn.m; i++)
        for (j = 0; j < turn.m; j++)
            for (t[i][j] = 0, a = 0; a < eig.m; a++)
                for (size_t b = 0; b < eig.m; b++)
                    t[i][j] += turn.coef[i][a] * eig.t[a][b] * turn.coef[j][b];
    memcpy(eig.t, t, sizeof t);
    memset(eig.last, 0, sizeof eig.last);
    eig.m = turn.m;
    eig_ritz();
}

/* Steps for one pair change the others, and a pair from outside may take the
 * place of one that stalled.  Returns the first of `wanted` pairs whose
 * residual is above what was good enough there, or `wanted`. */
static size_t eig_recheck(size_t wanted, const double *enough)
{
    size_t target = wanted;

    for (size_t i = wanted; i-- && wanted > 1;) {
        eig.resid[i] = eig_residual_of(i, krylov.next);
        if (eig.resid[i] > enough[i])
            target = i;
    }
    return target;
}

/* The residual that is good enough for pair i.  Where the value alone is asked
 * for it is sqrt(tol), because the value's error is of second order. */
static double eig_goal(size_t i, size_t wanted, double tol)
{
    return eig.value_only && i + 1 == wanted ? sqrt(tol) : tol;
}

/* The leading eigenvalues of a network of C classes are some C that stand apart
 * from all others, and their space turns slowly (Gur-Ari, Roberts, Dyer 2018).
 * So the part that a residual r has in that space, as it was found before, is
 * solved for: component j takes the factor S / (S - lambda_j) that it has in
 * the error relative to those of eigenvalues near 0 (Davidson 1975).  Where
 * that did not help the last time r is taken as it is: what is wrong of the
 * factors or vectors costs products, not accuracy. */
static void eig_precondition(size_t target, double *r)
{
    enum { MOST = 30 };
    const double S = eig.value[target];
    double part[EIG_MAX], gap;
    size_t m = 0;

    while (m < outliers.known && outliers.value[m] > S / 4)
        m++;
    vecs_dots(eig.p, m, outliers.u, r, part);
    for (size_t j = 0; j < m; j++) {
        gap = 1 - outliers.value[j] / S;
        part[j] *= j == target ? 0 : (gap * MOST > 1 ? 1 / gap : MOST) - 1;
    }
    vecs_combine(eig.p, r, r, m, part, outliers.u);
}

/* Iterates until the residuals of the first `wanted` pairs are at most their
 * goals.  Rounding sets a floor (float32 products: some 1e-6).  A target that
 * stops improving is left as it is, and its residual tells. */
static void eig_iterate(size_t wanted, double tol)
{
    double best = INFINITY, enough[EIG_MAX], goal;
    bool stalled;
    size_t target = 0, idle = 0;

    for (size_t rounds = 0; rounds < 2000; rounds++) {
        while (eig.m < wanted)
            if (!eig_append_random() && eig.m == eig.cap)
                return;
        eig_ritz();
        for (;; best = INFINITY, idle = 0, target++) {
            if (target == wanted)
                target = eig_recheck(wanted, enough);
            if (target == wanted)
                return;
            eig.resid[target] = eig_residual_of(target, krylov.next);
            idle = eig.resid[target] < 0.95 * best ? 0 : idle + 1;
            best = fmin(best, eig.resid[target]);
            stalled = idle >= (best < EIG_FLOOR ? 8 : 60) ||
                      !(eig.resid[target] < INFINITY);
            goal = eig_goal(target, wanted, tol);
            if (!(eig.resid[target] <= goal) && !stalled)
                break;
            enough[target] = fmax(goal, 4 * best);
        }
        if (eig.m == eig.cap)
            eig_restart(size_min(wanted + 2, eig.cap - 2));
        memcpy(eig.last, eig.y[target], sizeof eig.last);
        if (!idle)
            eig_precondition(target, krylov.next);
        if (!eig_append(krylov.next) && !eig_append_random())
            return;
    }
}

/* How many steps of the Lanczos kind from a random vector show an eigenvalue
 * `sought` in a space where all others lie from `bottom` to `found`.  They grow
 * its share of the vector by Chebyshev's polynomial T_m(1 + 2 g), g = (sought
 * - found) / (found - bottom) (Kaniel, Paige, Saad).  The share begins at about
 * 1 / sqrt(p); in one of a hundred draws it is 80 times smaller. */
static double eig_steps(double sought, double found, double bottom)
{
    const double g =
        (sought - found) / fmax(found - bottom, 1e-9 * fabs(sought));

    return g > 0 ? 1 + log(160 * sqrt((double)eig.p)) / acosh(1 + 2 * g)
                 : INFINITY;
}

/* A residual cannot show that a pair was missed: that a multiple eigenvalue was
 * found once, say.  So a random vector orthogonal to the pairs is iterated
 * until an eigenvalue 2 % above the last of them would have shown.  The largest
 * that it does find, with its residual for an error bound, stands for all
 * others.  Returns whether a pair has shown, to be iterated on. */
static bool eig_missed(size_t wanted)
{
    enum { STEPS = 100 };
    const double size = fmax(fabs(eig.value[0]), fabs(eig.value[eig.m - 1]));
    const double sought = eig.value[wanted - 1] + 0.02 * size;
    double known[EIG_MAX], bottom = 0;

    if (eig.p <= wanted || eig.cap < wanted + 2)
        return false;
    memcpy(known, eig.value, wanted * sizeof *known);
    memset(eig.last, 0, sizeof eig.last);
    eig_restart(wanted);
    eig_random(krylov.next);
    for (size_t step = 1; step < STEPS && eig_append(krylov.next); step++) {
        double found, bound;

        eig_ritz();
        for (size_t i = 0; i < wanted; i++)
            if (eig.value[i] > known[i] + 1e-3 * size)
                return true;
        for (size_t i = 0; i < eig.m; i++)
            bottom = fmin(bottom, eig.value[i]);
        found = eig.value[wanted];
        eig_residual_of(wanted, krylov.next);
        bound = vec_norm(eig.p, krylov.next);
        if (!(bound > 0) ||
            (double)step >= eig_steps(sought, found + bound, bottom))
            break;
        if (eig.m == eig.cap)
            eig_restart(
                size_max(size_min(wanted + 2, eig.cap - 2), eig.cap - 3));
        memcpy(eig.last, eig.y[wanted], sizeof eig.last);
    }
    eig_ritz();
    return false;
}

/* The first `wanted` pairs; with `all`, every copy of an eigenvalue. */
static void eig_solve(size_t wanted, double tol, bool all)
{
    for (size_t round = 0; round <= EIG_MAX; round++) {
        eig_iterate(wanted, tol);
        if (!all || !eig_missed(wanted))
            break;
    }
}

/* Plain power iteration for one pair after the other, the ones found projected
 * out.  Where it lands on a negative eigenvalue, of larger magnitude, or on
 * none, since one of each sign is as large, it repeats on H + |Hx| I. */
static void eig_power(size_t wanted, double tol)
{
    double *x = krylov.next, *hx = eig_basis(wanted);

    for (size_t i = 0; i < wanted; i++) {
        double shift = 0, value = 0, resid, best = INFINITY;
        size_t idle = 0;

        eig.m = i; /* what is found is the basis */
        vec_copy(eig.p, x, eig_basis(i));
        eig_orthogonalise(x);
        for (size_t round = 0; round < 20000; round++) {
            eig.apply(eig.at, x, hx);
            value = vec_dot(eig.p, x, hx);
            vec_add(eig.p, eig_basis(i), hx, -value, x);
            resid = eig_relative(vec_norm(eig.p, eig_basis(i)), value);
            idle = resid < 0.999 * best ? 0 : idle + 1;
            best = resid < best ? resid : best;
            if (!(resid < INFINITY))
                break;
            if (resid > tol && idle <= 200) {
                vec_add(eig.p, x, hx, -shift, x);
            } else if ((value >= 0 && best < EIG_FLOOR) || shift < 0) {
                break;
            } else { /* what is left of x lacks the top vector */
                shift = -vec_norm(eig.p, hx);
                best = INFINITY;
                idle = 0;
                eig_random(x);
            }
            eig_orthogonalise(x);
        }
        vec_copy(eig.p, eig_basis(i), x);
        eig.value[i] = value;
        eig.resid[i] = resid;
        memset(eig.y[i], 0, sizeof eig.y[i]);
        eig.y[i][i] = 1;
    }
    for (size_t i = 1; i < wanted; i++) /* largest first */
        for (size_t j = i; j && eig.value[j] > eig.value[j - 1]; j--) {
            swap(&eig.value[j], &eig.value[j - 1], 1);
            swap(&eig.resid[j], &eig.resid[j - 1], 1);
            swap(eig.y[j], eig.y[j - 1], BASIS);
        }
    eig.m = wanted;
}

/* What a trajectory remembers of its last solves. */
enum { HISTORY = 5, SKETCH = 64 };
struct warm {
    bool dagger;                /* it is theta+ */
    size_t known, newest;       /* solves, the place of the last one */
    double value[EIG_MAX];      /* the top eigenvalues; S is the first */
    double resid[EIG_MAX];      /* |Hu - Su| / |S| of each */
    double at[HISTORY][SKETCH]; /* where the solves were */
    struct vecs u;              /* and their vectors, HISTORY of them */
};

static void warm_room(struct warm *w)
{
    memset(w, 0, sizeof *w);
    w->u = room_kept(net.params, HISTORY, true);
}

/* What a solve leaves of the outliers: the vectors that were wanted, of which u
 * is the first, and after a thorough search those below them that it has seen
 * well enough. */
static void outliers_keep(size_t wanted, bool thorough, const double *u)
{
    const size_t most = thorough ? size_min(eig.m, EIG_MAX) : wanted;
    size_t i;

    vecs_write(eig.p, outliers.u, 0, u);
    for (i = 1; i < most; i++) {
        if (i >= wanted && !(eig_residual_of(i, krylov.next) <= 0.1))
            break;
        eig_vector(i, krylov.next);
        vecs_write(eig.p, outliers.u, i, krylov.next);
    }
    memcpy(outliers.value, eig.value, i * sizeof *eig.value);
    outliers.known = thorough ? i : size_max(outliers.known, i);
}

/* --- Guesses ---
 *
 * u is a smooth function of theta: where theta is near a combination sum_j c_j
 * theta_j, sum_j c_j = 1, of a trajectory's last points, u is near sum_j c_j
 * u_j.  That extrapolates along a smooth path, finds that gradient descent at
 * the edge has period two, and takes a projection the way of the one before.
 * The c minimise |theta - sum_j c_j theta_j|^2 + rho |c|^2, with rho against
 * noise in the u_j.  With D_ij = (theta - theta_i).(theta - theta_j) they are
 * (D + rho)^-1 (1 .. 1), divided by their sum.  Sketches of the theta_j are
 * enough for D: sums of the elements with random signs in SKETCH classes have
 * nearly the same inner products (Charikar, Chen, Farach-Colton 2002). */

static void sketch_of(const double *theta, double *sketch)
{
    memset(sketch, 0, SKETCH * sizeof *sketch);
    for (size_t begin = 0; begin < net.params; begin += CHUNK_SUM) {
        const size_t end = size_min(begin + CHUNK_SUM, net.params);
        uint64_t rng = begin / CHUNK_SUM;
        double sum[SKETCH] = {0};

        for (size_t i = begin; i < end; i += SKETCH) {
            const uint64_t signs = rng_next(&rng);

            for (size_t j = 0; j < SKETCH && i + j < end; j++)
                sum[j] += (signs >> j & 1 ? 1 : -1) * theta[i + j];
        }
        for (size_t j = 0; j < SKETCH; j++)
            sketch[j] += sum[j];
    }
}

/* (a - b).(a - c) */
static double sketch_product(const double *a, const double *b, const double *c)
{
    double sum = 0;

    for (size_t i = 0; i < SKETCH; i++)
        sum += (a[i] - b[i]) * (a[i] - c[i]);
    return sum;
}

/* The guess for u at the point of this sketch; false without any. */
static bool warm_guess(const struct warm *w, const double *here, double *x)
{
    double D[BASIS][BASIS], value[BASIS], y[BASIS][BASIS], c[HISTORY] = {0};
    double rho = 1e-200, all = 0;

    if (!w->known)
        return false;
    for (size_t i = 0; i < w->known; i++) {
        for (size_t j = 0; j < w->known; j++)
            D[i][j] = sketch_product(here, w->at[i], w->at[j]);
        rho += 8e-6 * D[i][i] / (double)w->known;
    }
    jacobi(w->known, D, value, y);
    for (size_t j = 0; j < w->known; j++) {
        double sum = 0;

        for (size_t i = 0; i < w->known; i++)
            sum += y[j][i];
        for (size_t i = 0; i < w->known; i++)
            c[i] += y[j][i] * sum / (fmax(value[j], 0) + rho);
    }
    for (size_t i = 0; i < w->known; i++)
        all += c[i];
    for (size_t i = 0; i < w->known; i++)
        c[i] /= all;
    vecs_combine(net.params, x, NULL, w->known, c, w->u);
    return true;
}

/* Remembers u of a point.  At theta+ it takes the place of the last one where
 * that is less than a tenth of its own step away: a projection's last round
 * stands for all. */
static void warm_store(struct warm *w, const double *here, const double *u)
{
    const double *last = w->at[w->newest];
    const double *before = w->at[(w->newest + HISTORY - 1) % HISTORY];

    if (!w->dagger || w->known < 2 ||
        !(sketch_product(here, last, last) <
          0.01 * sketch_product(last, before, before)))
        w->newest = w->known ? (w->newest + 1) % HISTORY : 0;
    if (w->known == w->newest)
        w->known++;
    memcpy(w->at[w->newest], here, sizeof *w->at);
    vecs_write(net.params, w->u, w->newest, u);
}

/* u along the last one; at first its largest component is positive. */
static void warm_sign(const struct warm *w, double *u)
{
    size_t most = 0;
    double along;

    if (w->known) {
        vecs_read(net.params, krylov.next, w->u, w->newest);
        along = vec_dot(net.params, u, krylov.next);
    } else {
        for (size_t i = 0; i < net.params; i++)
            if (fabs(u[i]) > fabs(u[most]))
                most = i;
        along = u[most];
    }
    if (along < 0)
        vec_scale(net.params, u, -1, u);
}

/* A warm start from the trajectory's own vectors.  The second leading one joins
 * where its eigenvalue is near the top one or more pairs are wanted.  A
 * thorough search takes a random vector too, and so finds an eigenvalue that
 * overtakes from outside.  Vectors of nearly equal eigenvalues turn among
 * themselves and cannot be extrapolated: with several directions theta+ takes
 * its last. */
static void solve_lobpcg(const struct warm *w, const double *here,
                         size_t wanted, bool thorough)
{
    const bool pairs = config.unstable > 1 && outliers.dagger;
    const bool block = pairs && w->dagger;
    size_t most = thorough ? size_max(wanted, 2) : wanted;

    eig.value_only = pairs && wanted > 1;
    if (!block && warm_guess(w, here, krylov.next) && eig_append(krylov.next) &&
        outliers.known > 1 && eig.t[0][0] < 1.02 * outliers.value[1] &&
        most < 2)
        most = 2;
    most = size_min(most, outliers.known);
    for (size_t i = !thorough && !block; i < most; i++) {
        vecs_read(eig.p, krylov.next, outliers.u, i);
        eig_append(krylov.next);
    }
    if (thorough)
        eig_append_random();
    eig_solve(wanted, config.tol, thorough && wanted > 1);
}

/* The `wanted` top eigenpairs at a point: their values and residuals in w, and
 * the first vector in u. */
static void sharpness(struct point at, struct warm *w, size_t wanted,
                      bool thorough, double *u)
{
    double here[SKETCH];
    bool far = false;

    thorough = thorough || !w->known;
    sketch_of(at.theta, here);
    eig_start(net.params, hessian, at, wanted);
    if (config.eig == EOS_LOBPCG)
        solve_lobpcg(w, here, wanted, thorough);
    for (size_t i = 0; i < wanted && config.eig == EOS_POWER; i++)
        if (i && i < outliers.known)
            vecs_read(eig.p, eig_basis(i), outliers.u, i);
        else if (i || !warm_guess(w, here, eig_basis(0)))
            eig_random(eig_basis(i));
    if (config.eig == EOS_POWER)
        eig_power(wanted, config.tol);
    for (size_t i = 0; i < wanted; i++) {
        w->value[i] = eig.value[i];
        w->resid[i] = eig.resid[i];
        far = far || (isfinite(eig.value[i]) && /* else it is lost */
                      !(eig.resid[i] <= 10 * eig_goal(i, wanted, config.tol)));
    }
    if (far && !eig.unconverged++ && !config.out) /* eos deriv ends with it */
        tell("an eigenpair's residual is above 10 tol; `# summary unconverged` "
             "counts such solves");
    eig_vector(0, u);
    if (w->dagger || !outliers.dagger) {
        outliers_keep(wanted, thorough, u);
        outliers.dagger = w->dagger;
    }
    warm_sign(w, u);
    warm_store(w, here, u);
}

/* ------------------------------------------------------------------------
 * 9  Dynamics
 *
 * The paper's, for one eigenvalue at the edge.  theta+ is the constrained
 * trajectory, on which the sharpness S is at most 2/eta, the edge; u is the
 * eigenvector of S there, P_perp = 1 - uu', grad S_perp = P_perp grad S.  Two
 * coordinates of a displacement v = theta - theta+ matter,
 *     x = u.v,   y = grad S_perp.v,
 * and follow eq. (3), the simplified dynamics, which is the toy of section 16:
 *     x' = -(1 + eta y) x,   y' = y + eta (alpha - beta x^2 / 2).
 * So x grows until it pushes the sharpness back: self-stabilization.  What
 * several eigenvalues need, and who chooses between them, is in section 9b.
 * ------------------------------------------------------------------------ */

static struct paths {
    double *gd;   /* gradient descent */
    double *pg;   /* theta+: projected gradient; approach: the check before */
    double *gf;   /* gradient flow */
    double *cf;   /* --central: central flow */
    double *v[2]; /* prediction: theta - theta+; generalized */
} path;

/* What they remember for their next solve. */
static struct {
    struct warm gd, pg, gf, cf, pr[2];
} warm;

/* What is known at theta+, by measure() and predict_prepare().  U = (u_1, ..)
 * are the k unstable directions, of which the paper has one.  T_ij, A_ij =
 * -grad L.T_ij, G = (T_ij.T_mn) and covariance Sigma are --unstable's (9b). */
static struct dagger {
    double L, S, resid, su; /* su = (grad S).u */
    double lambda2;         /* the last one measured */
    bool flat;              /* where beta has been 0, to rounding */
    double alpha, beta, delta2, gamma, eps, newton_x, gradnorm, gradperp;
    double pull[DIRECTIONS]; /* generalized: U' grad L(theta+ + U x) */
    size_t k;
    double lambda[DIRECTIONS + 1], A[PAIRS], G[PAIRS][PAIRS], Sigma[PAIRS];
    double sigma;    /* tr Sigma */
    double unsolved; /* the most that a solution of sdcp lacked */
    double *grad;    /* of L */
    double *u;       /* u_1 and, with --unstable, u_2 .. u_k */
    double *T;       /* grad S_perp = grad S - (grad S.u) u */
    double *Hv[2];   /* Hessian times the predictions' v, generalized v_perp */
    double *T_ij;    /* of the pairs i <= j < k */
    bool whole;      /* the T_ij keep their components along U */
    struct point at;
    struct warm *warm;
} dagger;
static struct dagger central; /* the same at a point of central flow */

/* Two vectors for the function that runs: `in` for a point or a direction that
 * is none of the above, `out` for what a derivative gives.  A callee that reads
 * or writes them for its caller gets them as arguments. */
static struct {
    double *in, *out;
} scratch;

static bool several(void)
{
    return config.unstable > 1;
}

/* Room for what is known at a point: of so many pairs i <= j. */
static void dagger_room(struct dagger *d, struct warm *w, size_t pairs)
{
    const size_t p = net.params;

    *d = (struct dagger){.grad = room_vectors(p, 1),
                         .u = room_vectors(p, size_max(config.unstable, 1)),
                         .T = room_vectors(p, 1),
                         .T_ij = room_vectors(p, pairs),
                         .warm = w};
    warm_room(w);
}

/* Only what the options ask for takes room. */
static void dynamics_room(void)
{
    const size_t p = net.params, K = size_max(config.unstable, 1);
    const size_t pairs = K * (K + 1) / 2;
    double **const one[] = {&scratch.in, &scratch.out, &path.gd, &path.pg};

    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        *one[i] = room_vectors(p, 1);
    warm_room(&warm.gd); /* up to here: what the approach goes on with */
    path.gf = room_vectors(p, 1);
    dagger_room(&dagger, &warm.pg, several() ? pairs : 0);
    dagger.at = point_at(path.pg);
    warm.pg.dagger = true;
    for (size_t i = 0; i < 1 + (size_t)config.generalized; i++) {
        path.v[i] = room_vectors(p, 1);
        dagger.Hv[i] = room_vectors(p, 1);
        warm_room(&warm.pr[i]);
    }
    warm_room(&warm.gf);
    if (!config.central)
        return;
    path.cf = room_vectors(p, 1);
    dagger_room(&central, &warm.cf, pairs);
    central.whole = true;
}

/* The quantities of Section 4 at theta, from a gradient in this precision and a
 * solve for `wanted` eigenvalues. */
static void measure_one(struct dagger *d, const double *theta,
                        enum eos_precision precision, size_t wanted,
                        bool thorough)
{
    const size_t p = net.params;
    double along_T;

    d->at = point_at(theta);
    d->L = gradient(d->at, precision, d->grad);
    sharpness(d->at, d->warm, wanted, thorough, d->u);
    d->k = 1;
    d->S = d->warm->value[0];
    d->resid = d->warm->resid[0];
    if (wanted > 1)
        d->lambda2 = d->warm->value[1];
    third(d->at, d->u, d->T);
    d->su = vec_dot(p, d->T, d->u);
    vec_axpy(p, -d->su, d->u, d->T);
    d->beta = vec_dot(p, d->T, d->T);
    d->flat = d->flat || sqrt(d->beta) <= 1e-12 * fabs(d->S);
    along_T = vec_dot(p, d->grad, d->T);
    d->alpha = -along_T;
    d->delta2 = 2 * d->alpha / d->beta;
    d->gradnorm = vec_norm(p, d->grad);
    d->gamma = d->alpha / (d->gradnorm * sqrt(d->beta));
    d->eps = d->alpha >= 0 ? config.lr * sqrt(d->alpha) : (double)NAN;
    d->newton_x = vec_dot(p, d->u, d->grad) / d->S;
    vec_add(p, scratch.out, d->grad, -d->newton_x * d->S, d->u);
    vec_axpy(p, -along_T / d->beta, d->T, scratch.out);
    d->gradperp = vec_norm(p, scratch.out);
}

/* Eq. (2), the constrained trajectory, is theta+ <- proj_M(theta+ - eta grad
 * L(theta+)), M = {S <= 2/eta, u.grad L = 0}.  A round of proj_M,
 *     theta <- theta - max(0, S - 2/eta) grad S_perp / beta - (u.grad L / S) u,
 * is a step along grad S_perp that takes S down to the edge, and a Newton step
 * along u.  Returns its length. */
static double project_one(const struct dagger *d, double *theta)
{
    const double excess = d->S - 2 / config.lr;
    const double down = excess > 0 ? excess / d->beta : 0;

    if (down > 0)
        vec_axpy(net.params, -down, d->T, theta);
    vec_axpy(net.params, -d->newton_x, d->u, theta);
    return sqrt(down * down * d->beta + d->newton_x * d->newton_x);
}

/* x = U'v, the coordinates in the unstable directions; the paper's u.v. */
static void along(const struct dagger *d, const double *v, double *x)
{
    vec_dots(net.params, d->k, d->u, v, x);
}

/* x = U'v, to = (1 - UU') v; the paper's u.v and v_perp. */
static void perp(const struct dagger *d, const double *v, double *x, double *to)
{
    double back[DIRECTIONS];

    along(d, v, x);
    for (size_t i = 0; i < d->k; i++)
        back[i] = -x[i];
    vec_combine(net.params, to, v, d->k, back, d->u);
}

/* What the predictions' next step needs at theta+: (Hessian) v, generalized
 * (Hessian) v_perp and u.grad L(theta+ + x u). */
static void predict_prepare(struct dagger *d, double *const v[2])
{
    double x[DIRECTIONS];

    hessian(d->at, v[0], d->Hv[0]);
    if (!config.generalized)
        return;
    perp(d, v[1], x, scratch.in);
    hessian(d->at, scratch.in, d->Hv[1]);
    vec_combine(net.params, scratch.in, d->at.theta, d->k, x, d->u);
    gradient(point_at(scratch.in), EOS_F64, scratch.out);
    along(d, scratch.out, d->pull);
}

/* Eq. (5), the prediction,
 *     v <- v - eta [ (x^2 - delta^2)/2 grad S_perp + (Hessian) v + x y u ],
 * and that of Appendix F, the generalized one,
 *     v <- v - eta [ (x^2 - delta^2)/2 grad S_perp + (Hessian) v_perp
 *                    + u (u.grad L(theta+ + x u)) + x y u ]. */
static void predict_one(const struct dagger *d, size_t which, double *v)
{
    const size_t p = net.params;
    const double x = vec_dot(p, d->u, v), y = vec_dot(p, d->T, v);
    const double along_u = x * y + (which ? d->pull[0] : 0);

    vec_axpy(p, -config.lr, d->Hv[which], v);
    vec_axpy(p, -config.lr * 0.5 * (x * x - d->delta2), d->T, v);
    vec_axpy(p, -config.lr * along_u, d->u, v);
}

/* A trajectory at one step, v = theta - theta+. */
struct seen {
    double L, S, resid;
    double x;           /* u.v */
    double taylor, avg; /* S+ + grad S.v, S+ + grad S_perp.v */
    double dist;        /* |v| */
    double S2, xnorm;   /* the second eigenvalue; |U'v| */
};

static void seen_offset(struct seen *s, const struct dagger *d, const double *v)
{
    const size_t p = net.params;
    double x[DIRECTIONS];

    along(d, v, x);
    s->x = x[0];
    s->xnorm = sqrt(sum_products(x, x, d->k));
    s->avg = d->S + vec_dot(p, d->T, v);
    s->taylor = s->avg + d->su * s->x;
    s->dist = vec_norm(p, v);
}

/* S at a point, S2 where it is wanted; NaN where the loss is.  u is scratch. */
static void seen_sharpness(struct seen *s, struct point at, struct warm *w,
                           size_t wanted, bool thorough, double *u)
{
    for (size_t i = 0; i < EIG_MAX; i++)
        w->value[i] = w->resid[i] = (double)NAN;
    if (isfinite(s->L))
        sharpness(at, w, wanted, thorough, u);
    s->S = w->value[0];
    s->S2 = w->value[1];
    s->resid = w->resid[0];
}

/* ------------------------------------------------------------------------
 * 9b  Past the paper: several eigenvalues at the edge (--unstable)
 *
 * With T_ij = (1 - UU') (third derivative at (u_i, u_j)) in the place of grad
 * S_perp, what was a number becomes a symmetric k x k matrix, and max(0, .) the
 * solution of a complementarity problem.
 * ------------------------------------------------------------------------ */

/* A symmetric matrix is a vector of its pairs i <= j. */
static size_t pair_of(size_t i, size_t j)
{
    return i < j ? j * (j + 1) / 2 + i : i * (i + 1) / 2 + j;
}

/* The pairs in their order, and how often each stands in the matrix. */
static const struct {
    unsigned char i, j, count;
} pair[PAIRS] = {
    /* clang-format off */
    {0, 0, 1},
    {0, 1, 2}, {1, 1, 1},
    {0, 2, 2}, {1, 2, 2}, {2, 2, 1},
    {0, 3, 2}, {1, 3, 2}, {2, 3, 2}, {3, 3, 1},
    {0, 4, 2}, {1, 4, 2}, {2, 4, 2}, {3, 4, 2}, {4, 4, 1},
    {0, 5, 2}, {1, 5, 2}, {2, 5, 2}, {3, 5, 2}, {4, 5, 2}, {5, 5, 1},
    /* clang-format on */
};

/* --- The complementarity problem ---
 *
 * The symmetric k x k matrix S >= 0 that minimises <C, S> + <S, G S> / 2, or
 *     S >= 0,   Z = C + G S >= 0,   <S, Z> = 0,
 * by a semismooth Newton method.  Off-diagonal elements are multiplied by
 * sqrt(2), so that <A, B> = a.b, and C and G are scaled to norm 1.  S is a
 * solution where r(x) = x - p(x) vanishes, p(x) = (x - c - G x)+ with ()+ the
 * projection on the cone, which drops the negative eigenvalues.  r has a slope
 * almost everywhere, and Newton's step is taken where it makes |r| smaller;
 * elsewhere x goes to p(x), a step of projected gradient descent, along which
 * |r| never grows.  S = p(x) is >= 0 by construction, and |r| bounds what Z
 * lacks. */
struct cone {
    size_t k, n; /* n = k (k + 1) / 2 pairs */
    double c[PAIRS], g[PAIRS][PAIRS];
    double p[PAIRS], r[PAIRS];                 /* at the x looked at last */
    double value[BASIS], vector[BASIS][BASIS]; /* of x - c - G x */
};

/* to = the pairs of the symmetric part of sqrt(count) v_a v_b'. */
static void cone_product(const struct cone *q, size_t a, size_t b, double *to)
{
    const double *x = q->vector[a], *y = q->vector[b];

    for (size_t e = 0; e < q->n; e++) {
        const size_t i = pair[e].i, j = pair[e].j;

        to[e] = 0.5 * (x[i] * y[j] + x[j] * y[i]) *
                sqrt((a == b ? 1 : 2) * pair[e].count);
    }
}

static void cone_times(const struct cone *q, const double *x, double *gx)
{
    for (size_t e = 0; e < q->n; e++)
        gx[e] = sum_products(q->g[e], x, q->n);
}

/* p and r at x; returns |r|. */
static double cone_residual(struct cone *q, const double *x)
{
    double gx[PAIRS], one[PAIRS], w[BASIS][BASIS];

    cone_times(q, x, gx);
    for (size_t e = 0; e < q->n; e++)
        w[pair[e].i][pair[e].j] = w[pair[e].j][pair[e].i] =
            (x[e] - q->c[e] - gx[e]) / sqrt(pair[e].count);
    jacobi(q->k, w, q->value, q->vector);
    memset(q->p, 0, sizeof q->p);
    for (size_t a = 0; a < q->k; a++) {
        cone_product(q, a, a, one);
        for (size_t e = 0; e < q->n && !(q->value[a] <= 0); e++)
            q->p[e] += q->value[a] * one[e];
    }
    for (size_t e = 0; e < q->n; e++)
        q->r[e] = x[e] - q->p[e];
    return sqrt(sum_products(q->r, q->r, q->n));
}

/* x <- a^-1 x, by elimination with column pivots; a is lost. */
static void eliminate(size_t n, double (*a)[PAIRS], double *x)
{
    size_t i, most;

    for (size_t k = 0; k < n; k++) {
        for (most = k, i = k + 1; i < n; i++)
            if (fabs(a[i][k]) > fabs(a[most][k]))
                most = i;
        swap(a[k], a[most], n);
        swap(&x[k], &x[most], 1);
        for (i = k + 1; i < n; i++) {
            const double times = a[i][k] / a[k][k];

            for (size_t j = k; j < n; j++)
                a[i][j] -= times * a[k][j];
            x[i] -= times * x[k];
        }
    }
    for (size_t k = n; k--;) {
        for (size_t j = k + 1; j < n; j++)
            x[k] -= a[k][j] * x[j];
        x[k] /= a[k][k];
    }
}

/* step = (slope of r)^-1 r.  The slope is 1 - D (1 - G), where D, that of the
 * projection, has the eigenvectors v_a v_b' and the eigenvalues 1 (both values
 * positive), 0 (none) or the positive one's share.  What is added to the
 * diagonal keeps it regular where G is not. */
static void cone_newton(const struct cone *q, double *step)
{
    double slope[PAIRS][PAIRS], one[PAIRS], row[PAIRS];

    for (size_t i = 0; i < q->n; i++)
        for (size_t j = 0; j < q->n; j++)
            slope[i][j] = i == j ? 1 + 1e-13 : 0;
    for (size_t e = 0; e < q->n; e++) {
        const size_t a = pair[e].i, b = pair[e].j; /* value[a] >= value[b] */
        const double up = q->value[a], down = q->value[b];
        const double share = up <= 0 ? 0 : down > 0 ? 1 : up / (up - down);

        cone_product(q, a, b, one);
        cone_times(q, one, row);
        for (size_t i = 0; i < q->n; i++)
            for (size_t j = 0; j < q->n; j++)
                slope[i][j] -= share * one[i] * (one[j] - row[j]);
    }
    memcpy(step, q->r, sizeof q->r);
    eliminate(q->n, slope, step);
}

/* Steps from x until none gets nearer; returns what Z lacks relative to what
 * it is made of, |r| / (1 + |G x|). */
static double cone_solve(struct cone *q, double *x)
{
    enum { ROUNDS = 60 };
    double step[PAIRS], trial[PAIRS], p[PAIRS], gx[PAIRS], t;
    double now = cone_residual(q, x), before = INFINITY;

    for (size_t round = 0; round < ROUNDS && now < before; round++) {
        before = now;
        memcpy(p, q->p, sizeof p);
        cone_newton(q, step);
        for (t = 1; t > 1e-3; t *= 0.5) {
            for (size_t e = 0; e < q->n; e++)
                trial[e] = x[e] - t * step[e];
            now = cone_residual(q, trial);
            if (now < (1 - 0.1 * t) * before)
                break;
        }
        if (t <= 1e-3) {
            memcpy(trial, p, sizeof trial);
            now = cone_residual(q, trial);
        }
        if (now < before)
            memcpy(x, trial, sizeof trial);
    }
    now = cone_residual(q, x);
    cone_times(q, x, gx);
    return now / (1 + sqrt(sum_products(gx, gx, q->n)));
}

/* S from the pairs of C and of G; returns what cone_solve does: at most 1e-12,
 * unless there is no solution or G is all but singular.  Where G is nearly so,
 * problems with G + ridge lead there, each from the solution before. */
static double sdcp(size_t k, const double *C, double (*G)[PAIRS], double *S)
{
    struct cone q = {.k = k, .n = k * (k + 1) / 2};
    double x[PAIRS] = {0}, best[PAIRS], root[PAIRS], c, g, left, then;
    double ridge = 0, next = 1;

    for (size_t i = 0; i < q.n; i++)
        root[i] = sqrt(pair[i].count);
    for (size_t i = 0; i < q.n; i++) {
        q.c[i] = root[i] * C[i];
        for (size_t j = 0; j < q.n; j++)
            q.g[i][j] = root[i] * root[j] * G[i][j];
    }
    c = sqrt(sum_products(q.c, q.c, PAIRS));
    g = sqrt(sum_products(q.g[0], q.g[0], PAIRS * PAIRS));
    g = g > 0 ? g : 1;
    for (size_t i = 0; i < q.n; i++) {
        q.c[i] /= c > 0 ? c : 1;
        for (size_t j = 0; j < q.n; j++)
            q.g[i][j] /= g;
    }
    left = cone_solve(&q, x);
    memcpy(best, q.p, sizeof best);
    if (left > 1e-12) {
        for (memset(x, 0, sizeof x); ridge != next; cone_solve(&q, x)) {
            for (size_t i = 0; i < q.n; i++)
                q.g[i][i] += next - ridge;
            ridge = next;
            next = next > 1e-13 ? next / 8 : 0;
        }
        then = cone_solve(&q, x);
        if (then < left)
            memcpy(best, q.p, sizeof best);
        left = fmin(left, then);
    }
    for (size_t i = 0; i < q.n; i++)
        S[i] = c / g * best[i] / root[i];
    return left;
}

/* --- Steps --- */

static double *dagger_T(const struct dagger *d, size_t i, size_t j)
{
    return nth(d->T_ij, net.params, pair_of(i, j));
}

/* to = from + sum_i x_i u_i + sum_a m_a T_a over the pairs a */
static void combine(const struct dagger *d, double *to, const double *from,
                    const double *x, const double *m)
{
    vec_combine(net.params, to, from, d->k, x, d->u);
    vec_combine(net.params, to, to, d->k * (d->k + 1) / 2, m, d->T_ij);
}

/* T_ij = P d_ij, P = 1 - UU', d_ij the third derivative of L at (u_i, u_j):
 * d_ij = [d(u_i + u_j) - d_ii - d_jj] / 2 with d(v) that at (v, v).  d_11 is
 * grad S.  `whole` ones are the d_ij.  Then A and G. */
static void several_tensor(struct dagger *d)
{
    const size_t p = net.params, n = d->k * (d->k + 1) / 2;
    double x[DIRECTIONS];

    for (size_t j = 0; j < d->k; j++) {
        if (j == 0)
            vec_add(p, dagger_T(d, 0, 0), d->T, d->su, d->u);
        else
            third(d->at, nth(d->u, p, j), dagger_T(d, j, j));
        for (size_t i = 0; i < j; i++) {
            double *to = dagger_T(d, i, j);

            vec_add(p, scratch.in, nth(d->u, p, i), 1, nth(d->u, p, j));
            third(d->at, scratch.in, to);
            vec_scale(p, to, 0.5, to);
            vec_axpy(p, -0.5, dagger_T(d, i, i), to);
            vec_axpy(p, -0.5, dagger_T(d, j, j), to);
        }
    }
    for (size_t a = 0; a < n && !d->whole; a++)
        perp(d, nth(d->T_ij, p, a), x, nth(d->T_ij, p, a));
    vec_dots(p, n, d->T_ij, d->grad, d->A);
    for (size_t a = 0; a < n; a++) {
        d->A[a] = -d->A[a];
        vec_dots(p, a + 1, d->T_ij, nth(d->T_ij, p, a), d->G[a]);
        for (size_t b = 0; b < a; b++)
            d->G[b][a] = d->G[a][b];
    }
}

/* After a solve for K + 1 eigenvalues: k, u_2 .. u_k and their tensors. */
static void several_measure(struct dagger *d)
{
    const size_t most = config.unstable;

    memcpy(d->lambda, d->warm->value, (most + 1) * sizeof *d->lambda);
    for (; d->k < most && d->lambda[d->k] > config.band / config.lr; d->k++) {
        eig_vector(d->k, nth(d->u, net.params, d->k));
        d->resid = fmax(d->resid, d->warm->resid[d->k]);
    }
    several_tensor(d);
}

/* S = sdcp((2/eta) 1 - Lambda - a A, g G) = sdcp(.., G) / g */
static void several_sdcp(struct dagger *d, double a, double g, double *S)
{
    double C[PAIRS] = {0}, left;

    for (size_t e = 0; e < d->k * (d->k + 1) / 2; e++)
        C[e] = (pair[e].count == 1 ? 2 / config.lr - d->lambda[pair[e].i] : 0) -
               a * d->A[e];
    left = sdcp(d->k, C, d->G, S);
    d->unsolved = left > d->unsolved ? left : d->unsolved;
    for (size_t e = 0; e < d->k * (d->k + 1) / 2; e++)
        S[e] /= g;
}

/* Sigma = sdcp((2/eta) 1 - Lambda - h A, (h / 2) G), the covariance of the
 * oscillation: with it none is above 2/eta after a step of length h. */
static void several_covariance(struct dagger *d, double h)
{
    size_t i;

    several_sdcp(d, h, h / 2, d->Sigma);
    for (d->sigma = 0, i = 0; i < d->k; i++)
        d->sigma += d->Sigma[pair_of(i, i)];
}

/* theta <- theta - sum_ij Z_ij T_ij - U Lambda^-1 U' grad L, Z the smallest
 * that leaves no eigenvalue above 2/eta: Z = sdcp((2/eta) 1 - Lambda, G).
 * Returns the length of that step. */
static double project_several(struct dagger *d, double *theta)
{
    const size_t n = d->k * (d->k + 1) / 2;
    double Z[PAIRS], x[DIRECTIONS], squares;

    several_sdcp(d, 0, 1, Z);
    along(d, d->grad, x);
    for (size_t i = 0; i < d->k; i++)
        x[i] /= -d->lambda[i];
    for (size_t a = 0; a < n; a++)
        Z[a] *= -pair[a].count;
    combine(d, theta, theta, x, Z);
    squares = sum_products(x, x, d->k);
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++)
            squares += Z[a] * d->G[a][b] * Z[b];
    return sqrt(squares);
}

/* With x = U'v and Y_ij = T_ij.v,
 *     v <- v - eta [ sum_ij (x_i x_j - Sigma_ij)/2 T_ij + (Hessian) v + UYx ],
 * generalized with (Hessian)(v - U x) + U U' grad L(theta+ + U x). */
static void predict_several(const struct dagger *d, size_t which, double *v)
{
    double x[DIRECTIONS], along_U[DIRECTIONS], Y[PAIRS], m[PAIRS];
    size_t a;

    along(d, v, x);
    vec_dots(net.params, d->k * (d->k + 1) / 2, d->T_ij, v, Y);
    for (size_t i = 0; i < d->k; i++) {
        along_U[i] = which ? d->pull[i] : 0;
        for (size_t j = 0; j < d->k; j++) {
            a = pair_of(i, j);
            along_U[i] += Y[a] * x[j];
            m[a] = pair[a].count *
                   (-config.lr * 0.5 * (x[i] * x[j] - d->Sigma[a]));
        }
        along_U[i] *= -config.lr;
    }
    vec_axpy(net.params, -config.lr, d->Hv[which], v);
    combine(d, v, v, along_U, m);
}

/* --- One eigenvalue or several --- */

/* Everything at theta, with lambda2 if it is due. */
static void measure(struct dagger *d, const double *theta,
                    enum eos_precision precision, bool second)
{
    measure_one(d, theta, precision,
                several() ? config.unstable + 1 : 1 + (size_t)second, second);
    if (several() || d->whole)
        several_measure(d);
}

/* theta <- proj_M(theta), and everything there.  A round is left out where it
 * changes nothing.  Convergence is quadratic: after two steps of lengths s and
 * r s the next one has about r^3 s, which is rounding where it is below tol^2
 * times the first step.  What a gradient in float32 leaves of u.grad L the next
 * round takes away: so the first one may have it. */
static void project(struct dagger *d, double *theta, bool second)
{
    double step, first = 0, last = 0, r;

    for (size_t round = 0; round < config.proj; round++) {
        measure(d, theta, round || config.proj < 2 ? EOS_F64 : config.deriv,
                false);
        step = several() ? project_several(d, theta) : project_one(d, theta);
        r = step / last;
        if (round == 0)
            first = step;
        else if (r * r * step <= config.tol * config.tol * first)
            break;
        last = step;
    }
    measure(d, theta, EOS_F64, second);
    if (several())
        several_covariance(d, config.lr);
}

/* --- Central flow (--central) ---
 *
 * Where gradient descent goes on average (Cohen, Damian, Talwalkar, Kolter,
 * Lee 2024, arXiv 2410.24206): d_ij as above,
 *     theta' = -grad L - sum_ij Sigma_ij / 2 d_ij,
 * Sigma >= 0 such that no eigenvalue leaves the edge.  With dLambda_ij / dt =
 * d_ij.theta' = A_ij - (G Sigma)_ij / 2 that is Sigma of section 9b, for steps
 * as short as flow needs.  The loss is on average L + tr(Lambda Sigma) / 2. */

static void central_move(const struct dagger *d, double h, double *theta)
{
    double m[PAIRS];

    for (size_t a = 0; a < d->k * (d->k + 1) / 2; a++)
        m[a] = -0.5 * h * pair[a].count * d->Sigma[a];
    vec_axpy(net.params, -h, d->grad, theta);
    vec_combine(net.params, theta, theta, d->k * (d->k + 1) / 2, m, d->T_ij);
}

double eos_sharpness(const double *theta, size_t k, double *value, double *u)
{
    warm.pg.known = outliers.known = 0;
    sharpness(point_at(theta), &warm.pg, k, true, u);
    memcpy(value, warm.pg.value, k * sizeof *value);
    return warm.pg.resid[0];
}

void eos_project(double *theta)
{
    warm.pg.known = outliers.known = 0;
    project(&dagger, theta, false);
}

/* ------------------------------------------------------------------------
 * 10  Log and terminal
 *
 * A log is for programs: every column, 17 significant digits.  Standard
 * output is for people: some columns, at most 100 wide.  One table of columns
 * makes the rows of both.
 * ------------------------------------------------------------------------ */

static struct text out = {.name = "standard output", .fd = STDOUT_FILENO};
static struct text logfile = {.name = "log", .fd = -1};
static struct text slowfile = {.name = "slow", .fd = -1}; /* --stats full */

/* What has to hold for columns to be there. */
enum {
    LAST = 1,         /* they end */
    SCREEN = 2,       /* on the terminal, not in the log */
    TESTED = 4,       /* there is a test set */
    PAPER = 8,        /* --generalized is not asked for */
    GENERALIZED = 16, /* it is */
    ONE = 32,         /* --unstable is 1 */
    SEVERAL = 64,     /* it is more */
    EVERYTHING = 128, /* --stats full */
    APPROACHING = 256,
    TRAINING = 512,
    CENTRAL = 1024, /* --central */
    NEIGS = 2048    /* --neigs is more than 1 */
};

/* A column, or by its type several: the first of a series, whose name ends in a
 * number, goes on to --neigs, or to one more than --unstable. */
struct column {
    const char *name;
    const void *at;    /* where the value is found */
    int width, digits; /* on the terminal; 0: it is only in the log */
    enum { DOUBLE, SIZE, TO_NEIGS, TO_UNSTABLE } type;
    unsigned when; /* all that has to hold */
};

static double column_value(const struct column *c, size_t i)
{
    return c->type == SIZE ? (double)*(const size_t *)c->at
                           : ((const double *)c->at)[i];
}

static size_t column_series(const struct column *c)
{
    size_t first = (size_t)(c->name[strlen(c->name) - 1] - '0');
    size_t last = c->type == TO_NEIGS ? config.neigs : config.unstable + 1;

    return c->type < TO_NEIGS ? 1 : last < first ? 0 : last - first + 1;
}

/* The names or the values of a row; what is not finite is nan, which printf may
 * write as -nan. */
static void log_line(struct text *t, const struct column *c, unsigned have,
                     bool names)
{
    if (names)
        text_put(t, "# columns:");
    for (; c->when != LAST; c++)
        for (size_t i = 0; !(c->when & ~have) && i < column_series(c); i++) {
            const int stem = (int)strlen(c->name) - 1;
            const double x = column_value(c, i);

            if (names)
                text_put(t, " %.*s%c", stem, c->name, c->name[stem] + (int)i);
            else if (c->type == SIZE)
                text_put(t, " %10.0f", x);
            else if (!isfinite(x))
                text_put(t, " %24s", "nan");
            else
                text_put(t, " %24.16e", x);
        }
    text_put(t, "\n");
}

/* Columns of the terminal that standard output is, or as many as a row has. */
static size_t out_width(void)
{
#if defined TIOCGWINSZ
    struct winsize size;

    if (isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) &&
        size.ws_col)
        return size.ws_col;
#endif
    return SIZE_MAX;
}

/* The same for people, with fewer digits where columns would touch. */
static void out_line(const struct column *c, unsigned have, bool names)
{
    size_t left = out_width();

    for (; c->when != LAST; c++) {
        char number[64] = "nan";
        int digits = c->digits;

        if (c->when & ~(have | SCREEN) || !c->width)
            continue;
        if ((size_t)c->width > left)
            break;
        left -= (size_t)c->width;
        if (isfinite(column_value(c, 0)))
            while (snprintf(number, sizeof number, "%.*g", digits,
                            column_value(c, 0)) >= c->width &&
                   digits > 1)
                digits--;
        text_put(&out, "%*s", c->width, names ? c->name : number);
    }
    text_put(&out, "\n");
}

static int logs_check(void)
{
    return text_check(&logfile) || text_check(&out) ? failed : EOS_DONE;
}

static void block_start(struct text *t)
{
    if (t->mark.blocks++)
        text_put(t, "\n\n");
    t->mark.named = false;
    if (t == &logfile)
        out.mark.named = false;
}

/* The names before a block's first row, and the row. */
static int row_write(const struct column *table, unsigned have, bool names_only)
{
    if (!logfile.mark.named)
        log_line(&logfile, table, have, true);
    if (!out.mark.named)
        out_line(table, have, true);
    logfile.mark.named = out.mark.named = true;
    if (!names_only) {
        log_line(&logfile, table, have, false);
        out_line(table, have, false);
    }
    return logs_check();
}

/* No line for people is longer than 100 columns: some blanks end one. */
static void fold(char *line)
{
    enum { WIDE = 100 };
    char *end;

    for (; strlen(line) > WIDE; line = end + 1) {
        for (end = line + WIDE; end > line && *end != ' '; end--)
            continue;
        if (end == line)
            return;
        *end = '\n';
    }
}

LIKE_PRINTF(1, 2)
static void note(const char *format, ...)
{
    char line[PATH];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    text_put(&logfile, "# %s\n", line);
    fold(line);
    text_put(&out, "%s\n", line);
}

static const char *all_digits(double x)
{
    static char text[32];

    snprintf(text, sizeof text, "%.17g", x);
    return isfinite(x) ? text : "nan";
}

/* --- Progress, on standard error --- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* How fast steps go; in an approach, how S grew between the last two checks. */
struct pace {
    double began, told;   /* when it began, when it last told; 0: not yet */
    size_t first;         /* step at `began` */
    size_t checks, check; /* how many, the step of the last one */
    double S, growth;     /* then; per step, since the one before */
};

/* The step at which S comes to 2/eta if it goes on growing as it does. */
static void pace_reach(const struct pace *p, char *to, size_t size)
{
    const double goal = 2 / config.lr;
    double steps = (goal - p->S) / p->growth;

    if (p->checks < 2)
        snprintf(to, size, " to 2/eta = %.4g", goal);
    else if (!(p->growth > 0) || steps > 1e9)
        snprintf(to, size, ", S = %.4g of %.4g and not growing", p->S, goal);
    else
        snprintf(to, size, ", S = %.4g of %.4g: there near step %.0f", p->S,
                 goal, (double)p->check + steps);
}

/* After a few steps and then once a minute, on a terminal at every step.
 * steps: how many there will be; 0: unknown. */
static void pace_tell(struct pace *p, const char *phase, size_t step,
                      size_t steps)
{
    const bool terminal = isatty(STDERR_FILENO);
    const double now = seconds();
    double each = (now - p->began) / (double)(step - p->first);
    double left = each * (double)(steps - step);
    char line[160], rest[80];

    if (p->began <= 0) { /* the first step is slower than the others */
        p->began = now;
        p->first = step;
        return;
    }
    if (!terminal &&
        (step < p->first + 4 || (p->told > 0 && now < p->told + 60)))
        return;
    p->told = now;
    if (steps)
        snprintf(rest, sizeof rest, " of %zu, %.0f:%02.0f left", steps,
                 floor(left / 60), floor(fmod(left, 60)));
    else
        pace_reach(p, rest, sizeof rest);
    snprintf(line, sizeof line, "%s%s: step %zu%s, %.3g steps a second%s",
             terminal ? "\r" : "eos: ", phase, step, rest, 1 / each,
             terminal && step != steps ? "   " : "\n");
    write_all(STDERR_FILENO, line, strlen(line));
}

/* --- Opening a log --- */

/* The opening comments: every option of the toy, or of run and train, whose
 * logs can be compared line by line, and what else makes the numbers. */
static void log_header(struct text *t, const char *command)
{
    const unsigned commands = strcmp(command, "toy") ? RUN | TRAIN : TOY;
    char text[64];

    text_put(t, "# eos: %s\n# command: %s\n", VERSION, command);
    for (size_t i = 0; i < OPTIONS; i++)
        if (options[i].commands & commands && options[i].kind != FILES) {
            const char *value = option_text(&options[i], text, sizeof text);

            text_put(t, "# %s: %s\n", options[i].name, value ? value : "none");
        }
    if (commands == TOY)
        return;
    for (size_t i = 0; i < config.ndata; i++)
        text_put(t, "# data: %s\n", config.data[i]);
    if (!config.ndata)
        text_put(t, "# data: built-in synthetic set\n");
    if (test_more)
        text_put(t, "# test samples: the first %zu of more in the file\n",
                 test.n);
    text_put(t,
             "# parameters: %zu\n# data checksum: %016" PRIx64 "\n"
             "# kernel: %s\n# workers: %zu\n",
             net.params, data_hash, kernel->name, pool.workers);
}

/* Reads n bytes into a hash; false where there are fewer. */
static bool hash_read(int fd, uint64_t n, uint64_t *hash)
{
    unsigned char bytes[8192];

    while (n) {
        size_t some = n < sizeof bytes ? (size_t)n : sizeof bytes;

        if (read_all(fd, bytes, some) != (ssize_t)some)
            return false;
        *hash = hash_bytes(*hash, bytes, some);
        n -= some;
    }
    return true;
}

/* Opens a log, if it has a name.  Cut at `old`, where a checkpoint saw it, it
 * goes on; another run's is left alone, an empty one or none begins anew, and a
 * device or a pipe takes what comes. */
static int log_open(struct text *t, const char *name, const struct mark *old,
                    const char *command)
{
    uint64_t hash = HASH_START;
    struct stat info;
    bool goes_on, regular;

    t->mark = (struct mark){0};
    if (!name)
        return EOS_DONE;
    t->name = name;
    regular = stat(name, &info) || S_ISREG(info.st_mode);
    t->fd =
        open(name, O_CREAT | O_CLOEXEC | (regular ? O_RDWR : O_WRONLY), 0666);
    if (t->fd < 0)
        return cannot(EOS_USAGE, name, "create");
    if (lock(t->fd, name))
        return failed;
    goes_on = old && regular && !fstat(t->fd, &info) && info.st_size;
    if (goes_on && (!old->size || !hash_read(t->fd, old->size, &hash) ||
                    hash != old->hash))
        return refuse("%s: is not the log that the checkpoint goes on with; "
                      "name another, or remove it",
                      name);
    if (goes_on)
        t->mark = *old;
    if (regular && (ftruncate(t->fd, (off_t)t->mark.size) ||
                    lseek(t->fd, (off_t)t->mark.size, SEEK_SET) < 0))
        return goes_on ? cannot(EOS_FAILED, name, "cut it to the checkpoint")
                       : cannot(EOS_USAGE, name, "empty it");
    if (!goes_on)
        log_header(t, command);
    return EOS_DONE;
}

/* ------------------------------------------------------------------------
 * 11  Statistics and summary: how well the theory predicts
 * ------------------------------------------------------------------------ */

static struct {
    size_t t, hvps;
    struct seen gd, pr[2], gf, cf;
    double th_L, th_S, mean_L, cf_mean_L, test_L, test_accuracy;
    double gd_eigs[EIG_MAX], gd_resids[EIG_MAX];
} row;

enum { WINDOW = 100 };
#define GOOD 0.05 /* an error of a window's mean that the theory may have */
/* What it assumes of eps and eta lambda2: that they are below these. */
#define EPS_SMALL 0.1
#define GAP_SMALL 1.9

/* Prediction a against truth b: relative errors, Pearson correlation. */
struct score {
    double n, error, worst, mean_a, mean_b, aa, bb, ab;
};

/* Relative error of the mean of a against that of b over windows. */
struct window {
    double a, b, windows, good, error, worst;
};

/* Swings: the loss rises above that of theta+ by more than twice what it is on
 * average there, delta^2/eta, peaks, and comes back below that average. */
enum { SWINGS = 400 };
#define ALIKE 4.0 /* as high to this factor, a swing may be another's */
struct swings {
    bool up;
    size_t t, n; /* of the running one's peak so far; swings */
    double peak;
    struct {
        size_t t;
        double height;
    } at[SWINGS];
};

static struct stats {
    size_t rows;
    struct score L[2], S[2]; /* prediction, generalized prediction */
    struct window mean_L, pr_L, cf_L;
    struct swings gd, pr;
    double eps, eigengap; /* the largest eps, and eta lambda2 */
    double hvps, resid;
    double x2, sigma; /* --unstable: sums of |U'd|^2, of tr Sigma */
    double *ratio;    /* |gd_x| / delta, or negative: undefined */
} stats;

/* The larger; NaN if either is. */
static double worse(double a, double b)
{
    return a > b || isnan(a) ? a : b;
}

static void score_add(struct score *s, double a, double b)
{
    double error = fabs(a - b) / fabs(b);
    double da = a - s->mean_a, db = b - s->mean_b;

    s->n++;
    s->error += error;
    s->worst = worse(s->worst, error);
    s->mean_a += da / s->n;
    s->mean_b += db / s->n;
    s->aa += da * (a - s->mean_a);
    s->bb += db * (b - s->mean_b);
    s->ab += da * (b - s->mean_b);
}

static void window_add(struct window *w, double a, double b, size_t t)
{
    double error;

    w->a += a;
    w->b += b;
    if ((t + 1) % WINDOW)
        return;
    error = fabs(w->a - w->b) / fabs(w->b);
    w->windows++;
    w->good += error <= GOOD;
    w->error += error;
    w->worst = worse(w->worst, error);
    w->a = w->b = 0;
}

static void swings_add(struct swings *s, double above, double mean, size_t t)
{
    if (s->up && above < mean && s->n < SWINGS) {
        s->at[s->n].t = s->t;
        s->at[s->n++].height = s->peak;
        s->up = false;
    }
    if (!s->up && mean > 0 && above > 2 * mean) {
        s->up = true;
        s->peak = 0;
    }
    if (s->up && above > s->peak) {
        s->peak = above;
        s->t = t;
    }
}

/* The swing nearest to step t, or one of `but` itself; SWINGS without any. */
static size_t swing_near(const struct swings *s, size_t t, size_t but)
{
    size_t best = SWINGS, gap = SIZE_MAX;

    for (size_t i = 0; i < s->n; i++) {
        const size_t to = s->at[i].t < t ? t - s->at[i].t : s->at[i].t - t;

        if (i != but && to < gap) {
            best = i;
            gap = to;
        }
    }
    return best;
}

/* A swing is predicted if a predicted one is the nearest to it, and it to that,
 * no farther away than a quarter of the way to descent's next one, or of that
 * from the start, and about as high: where delta is next to nothing, so is what
 * counts as a swing.  Delays and logarithms of height ratios add up. */
static size_t swings_matched(const struct swings *gd, const struct swings *pr,
                             double *delay, double *ratio)
{
    size_t matched = 0;

    *delay = *ratio = 0;
    for (size_t i = 0; i < gd->n; i++) {
        const size_t t = gd->at[i].t, next = swing_near(gd, t, i);
        const size_t j = swing_near(pr, t, SWINGS);
        double gap = (double)t, late, height;

        if (j == SWINGS || swing_near(gd, pr->at[j].t, SWINGS) != i)
            continue;
        height = log(pr->at[j].height / gd->at[i].height);
        if (next < SWINGS)
            gap = fmin(gap, fabs((double)gd->at[next].t - (double)t));
        late = (double)pr->at[j].t - (double)t;
        if (fabs(late) > gap / 4 || fabs(height) > log(ALIKE))
            continue;
        matched++;
        *delay += late;
        *ratio += height;
    }
    return matched;
}

static void stats_row(void)
{
    const double mean = row.mean_L - dagger.L;
    size_t t = row.t;

    for (size_t i = 0; i < 1 + (size_t)config.generalized; i++) {
        score_add(&stats.L[i], row.pr[i].L, row.gd.L);
        score_add(&stats.S[i], row.pr[i].S, row.gd.S);
        stats.resid = fmax(stats.resid, row.pr[i].resid);
    }
    stats.resid = fmax(fmax(stats.resid, central.resid),
                       fmax(row.gd.resid, fmax(row.gf.resid, dagger.resid)));
    window_add(&stats.mean_L, row.mean_L, row.gd.L, t);
    window_add(&stats.pr_L, row.pr[0].L, row.gd.L, t);
    swings_add(&stats.gd, row.gd.L - dagger.L, mean, t);
    swings_add(&stats.pr, row.pr[config.generalized].L - dagger.L, mean, t);
    window_add(&stats.cf_L, row.cf_mean_L, row.gd.L, t);
    stats.ratio[t] =
        dagger.delta2 > 0 ? fabs(row.gd.x) / sqrt(dagger.delta2) : -1;
    stats.eps = fmax(stats.eps, dagger.eps);
    if (!several())
        stats.eigengap = fmax(stats.eigengap, config.lr * dagger.lambda2);
    stats.hvps += (double)row.hvps;
    stats.x2 += row.gd.xnorm * row.gd.xnorm;
    stats.sigma += dagger.sigma;
    stats.rows = t + 1;
}

/* The mean of |gd_x| / delta over the second half of the rows. */
static double stats_ratio(void)
{
    double sum = 0, n = 0;

    for (size_t i = (stats.rows + 1) / 2; i < stats.rows; i++)
        if (!(stats.ratio[i] < 0)) {
            sum += stats.ratio[i];
            n++;
        }
    return sum / n;
}

/* --- --stats full: what the theory assumes of theta+ (Appendix E) ---
 *
 * How second and third derivatives act along the trajectories, for d^ =
 * d_perp / |d_perp|, d = theta - theta+, and g^ likewise of grad L;
 *     beta_{s->t} = grad S_perp_(t+1) . w_(t+1),  w_(s+1) = grad S_perp_s,
 *     w_(t+1) = (I - eta Hessian_t) P_perp_t w_t,
 * one product a step for each start s; rho3 and rho4, the size of the third
 * and the fourth derivative; F(x) = L(theta+ + x u). */

enum {
    STARTS = 4,      /* starts s at a time: each lives STARTS * SELDOM steps */
    RHO_ROUNDS = 20, /* of power iteration */
    PROFILE = 100    /* points of F */
};

/* What is judged, by its worst value over the rows. */
enum claim {
    /* clang-format off */
    TOP_UNIQUE, SHARPENING, ALIGNED, EIGENGAP, SMALL_EPS, COUPLED, ALONG_H,
    NORM_H, NORM_D3, GRAD_D3, SIZE_D3, SIZE_D4, SUBQUADRATIC, CLAIMS
    /* clang-format on */
};

static struct full {
    double dHd[2], Hd[2], D3d[2]; /* gradient descent, prediction */
    double D3g;
    double beta[STARTS];       /* beta_{s->t-1} */
    double start_norm[STARTS]; /* |grad S_perp_s| */
    double rho3, rho4;         /* the last ones measured */
    double worst[CLAIMS];
} full;
static double *full_w; /* STARTS vectors */

static void stats_room(void)
{
    memset(&stats, 0, sizeof stats);
    full_w = room_vectors(net.params, config.stats == EOS_FULL ? STARTS : 0);
    stats.ratio = room_take(config.resume ? STEPS_MAX : config.steps,
                            sizeof *stats.ratio);
}

/* How many starts are live at row t: so many of full_w are in use. */
static size_t full_starts(size_t t)
{
    return size_min(STARTS, pieces(t, SELDOM));
}

/* to = P_perp x / |P_perp x|; false where that is undefined. */
static bool unit_perp(const double *x, double *to)
{
    const size_t p = net.params;
    double length;

    vec_add(p, to, x, -vec_dot(p, dagger.u, x), dagger.u);
    length = vec_norm(p, to);
    if (!(length > 0 && length < INFINITY))
        return false;
    vec_scale(p, to, 1 / length, to);
    return true;
}

static double third_norm(const double *x)
{
    third(dagger.at, x, scratch.out);
    return vec_norm(net.params, scratch.out);
}

/* |d^.Hd^|, |Hd^|, |D3(d^, d^)| of a trajectory; d may be scratch. */
static void full_offset(size_t which, const double *d)
{
    const size_t p = net.params;

    full.dHd[which] = full.Hd[which] = full.D3d[which] = (double)NAN;
    if (!unit_perp(d, scratch.in))
        return;
    hessian(dagger.at, scratch.in, scratch.out);
    full.dHd[which] = fabs(vec_dot(p, scratch.in, scratch.out));
    full.Hd[which] = vec_norm(p, scratch.out);
    full.D3d[which] = third_norm(scratch.in);
}

static void full_measure(size_t t)
{
    const size_t p = net.params;

    vec_add(p, scratch.in, path.gd, -1, path.pg);
    full_offset(0, scratch.in);
    full_offset(1, path.v[0]);
    full.D3g = unit_perp(dagger.grad, scratch.in) ? third_norm(scratch.in)
                                                  : (double)NAN;
    for (size_t i = 0; i < STARTS; i++)
        full.beta[i] = i < full_starts(t)
                           ? vec_dot(p, dagger.T, nth(full_w, p, i))
                           : (double)NAN;
}

/* w_t becomes w_(t+1).  A new start takes the place of the oldest. */
static void full_advance(size_t t)
{
    const size_t p = net.params, place = t / SELDOM % STARTS;

    for (size_t i = 0; i < full_starts(t); i++) {
        double *w = nth(full_w, p, i);

        if (t % SELDOM == 0 && i == place)
            continue;
        vec_axpy(p, -vec_dot(p, dagger.u, w), dagger.u, w);
        hessian(dagger.at, w, scratch.in);
        vec_axpy(p, -config.lr, scratch.in, w);
    }
    if (t % SELDOM == 0) {
        vec_copy(p, nth(full_w, p, place), dagger.T);
        full.start_norm[place] = sqrt(dagger.beta);
    }
}

/* v.D(v) after RHO_ROUNDS times v <- D(v) / |D(v)|, which begin with u. */
static double full_rho(operator_fn *derivative)
{
    const size_t p = net.params;

    vec_copy(p, scratch.in, dagger.u);
    for (size_t round = 0; round < RHO_ROUNDS; round++) {
        derivative(dagger.at, scratch.in, scratch.out);
        vec_scale(p, scratch.in, 1 / vec_norm(p, scratch.out), scratch.out);
    }
    derivative(dagger.at, scratch.in, scratch.out);
    return vec_dot(p, scratch.in, scratch.out);
}

/* What the theory wants: the worst value, the least or the largest, within a
 * bound.  "Of the order of one" is read as a factor of 10 at most. */
static const struct {
    const char *name, *what;
    bool least;
    double bound;
} claims[CLAIMS] = {
    /* clang-format off */
[TOP_UNIQUE]   = {"unique", "the top eigenvalue is unique: lambda2/S", 0, 1},
[SHARPENING]   = {"alpha", "progressive sharpening: alpha", 1, 0},
[ALIGNED]      = {"gamma", "of the size it could have: gamma", 1, 0.1},
[EIGENGAP]     = {"eigengap", "one unstable eigenvalue: lambda2 eta", 0,
                  GAP_SMALL},
[SMALL_EPS]    = {"eps", "the error scale is small: eps", 0, EPS_SMALL},
[COUPLED]      = {"beta_st", "beta_st/(|dS_s||dS_(t+1)|)", 1, 0.1},
[ALONG_H]      = {"dHd", "Assumption 5: eta |d.Hd|/eps", 0, 10},
[NORM_H]       = {"Hd", "Assumption 5: eta |Hd|/eps", 0, 10},
[NORM_D3]      = {"D3d", "Assumption 5: |D3(d,d)|/(eps rho3)", 0, 10},
[GRAD_D3]      = {"D3g", "Assumption 5: |D3(g,g)|/(eps rho3)", 0, 10},
[SIZE_D3]      = {"rho3", "third derivative: rho3/sqrt(beta)", 0, 10},
[SIZE_D4]      = {"rho4", "fourth derivative: |rho4|/(eta rho3^2)", 0, 10},
[SUBQUADRATIC] = {"F", "sub-quadratic: eta F(delta)/delta^2", 0, 1},
    /* clang-format on */
};

static void full_judge(enum claim c, double x) /* NaN does not count */
{
    full.worst[c] = (claims[c].least ? fmin : fmax)(full.worst[c], x);
}

static void full_judge_row(void)
{
    const double T = sqrt(dagger.beta), third_scale = dagger.eps * full.rho3;
    const double scale = dagger.eps / config.lr;

    full_judge(TOP_UNIQUE, dagger.lambda2 / dagger.S);
    full_judge(EIGENGAP, dagger.lambda2 * config.lr);
    full_judge(SHARPENING, dagger.alpha);
    full_judge(ALIGNED, dagger.gamma);
    full_judge(SMALL_EPS, dagger.eps);
    for (size_t i = 0; i < STARTS; i++)
        full_judge(COUPLED, full.beta[i] / (T * full.start_norm[i]));
    for (size_t i = 0; i < 2; i++) {
        full_judge(ALONG_H, full.dHd[i] / scale);
        full_judge(NORM_H, full.Hd[i] / scale);
        full_judge(NORM_D3, full.D3d[i] / third_scale);
    }
    full_judge(GRAD_D3, full.D3g / third_scale);
    full_judge(SIZE_D3, full.rho3 / T);
    full_judge(SIZE_D4, fabs(full.rho4) / (config.lr * full.rho3 * full.rho3));
}

/* F at x */
static double full_loss(double x)
{
    vec_add(net.params, scratch.in, path.pg, x, dagger.u);
    return loss_on(point_at(scratch.in), &train, NULL);
}

/* A block of the slow log.  Fbar, the mean of F at +-delta, is less than
 * delta^2 / eta where F is sub-quadratic. */
static int full_slow(size_t t)
{
    const double delta = dagger.alpha >= 0 ? sqrt(dagger.delta2) : (double)NAN;
    double ratio = (double)NAN;

    if (delta >= 0) {
        ratio = full_loss(delta);
        ratio = (0.5 * (ratio + full_loss(-delta)) - dagger.L) /
                (delta * delta / config.lr);
    }
    full_judge(SUBQUADRATIC, ratio);
    block_start(&slowfile);
    text_put(&slowfile, "# step: %zu\n", t);
    text_put(&slowfile, "# rho3: %s\n", all_digits(full.rho3));
    text_put(&slowfile, "# rho4: %s\n", all_digits(full.rho4));
    text_put(&slowfile, "# alpha: %s\n", all_digits(dagger.alpha));
    text_put(&slowfile, "# beta: %s\n", all_digits(dagger.beta));
    text_put(&slowfile, "# delta: %s\n", all_digits(delta));
    text_put(&slowfile, "# F at 0: %s\n", all_digits(dagger.L));
    text_put(&slowfile, "# (Fbar at delta) eta / delta^2: %s\n# F: %s\n",
             all_digits(ratio),
             ratio < 1    ? "sub-quadratic"
             : ratio >= 1 ? "super-quadratic"
                          : "nan");
    for (size_t i = 0; i < PROFILE && delta >= 0; i++) {
        const double x = delta * (10.0 * (double)i / (PROFILE - 1) - 5);

        text_put(&slowfile, "%s %24.16e %24.16e\n", i ? "" : "# columns: x F\n",
                 x, full_loss(x));
    }
    return text_check(&slowfile);
}

/* The full statistics of row t; then (unless the run stays) w_(t+1). */
static int full_step(size_t t, bool stay)
{
    const bool slow = t % SELDOM == 0;

    for (size_t i = 0; i < CLAIMS && t == 0; i++)
        full.worst[i] = (double)NAN;
    full_measure(t);
    if (slow) {
        full.rho3 = full_rho(third);
        full.rho4 = full_rho(fourth);
    }
    full_judge_row();
    if (!stay)
        full_advance(t);
    return slow ? full_slow(t) : EOS_DONE;
}

/* --- The summary --- */

static void summary_claims(void)
{
    for (size_t i = 0; i < CLAIMS; i++) {
        const bool least = claims[i].least;
        const double x = full.worst[i], bound = claims[i].bound;

        note("%s %s %g", claims[i].what, least ? ">" : "<", bound);
        note("summary assumed_%s_%s: %s", claims[i].name, least ? "min" : "max",
             all_digits(x));
        note("summary assumed_%s: %s", claims[i].name,
             isnan(x)                          ? "nan"
             : (least ? x > bound : x < bound) ? "held"
                                               : "failed");
    }
}

/* The last line, and the only one of training alone. */
static int summary_unconverged(void)
{
    note("summary unconverged: %zu", eig.unconverged);
    return logs_check();
}

/* All digits in the log, four on the terminal. */
static void summary_line(const char *name, const char *of, double x)
{
    text_put(&logfile, "# summary %s%s: %s\n", name, of, all_digits(x));
    if (!isfinite(x))
        text_put(&out, "summary %s%s: nan\n", name, of);
    else
        text_put(&out, "summary %s%s: %.4g\n", name, of, x);
}

static void summary_score(const char *name, const struct score *s)
{
    summary_line(name, "_err_mean", s->error / s->n);
    summary_line(name, "_err_max", s->worst);
    summary_line(name, "_corr", s->ab / sqrt(s->aa * s->bb));
}

/* What a reader of the verdict is to know besides: what it does not judge, and
 * where the theory, if it fails, was not meant to hold. */
static void summary_limits(bool fails, char *to, size_t size)
{
    const size_t left = stats.rows % WINDOW;
    size_t n = 0;

    to[0] = 0;
    if (left)
        n += (size_t)snprintf(to, size, "; not judged: %zu rows", left);
    if (stats.gd.up)
        n += (size_t)snprintf(to + n, size - n, "%s a swing under way",
                              left ? " and" : "; not judged:");
    if (fails && stats.eps > EPS_SMALL)
        n += (size_t)snprintf(to + n, size - n,
                              "; eps is up to %.2g, not small", stats.eps);
    if (fails && stats.eigengap > GAP_SMALL)
        snprintf(to + n, size - n, "; a second eigenvalue comes to the edge");
}

/* One line for whom the numbers are new.  The means hold where those of all
 * windows are right to GOOD, the swings where three of four are predicted. */
static void summary_verdict(size_t matched, double delay, const char *stop)
{
    const struct window *w = &stats.mean_L;
    const bool means = w->windows > 0 && w->good >= w->windows;
    const bool swings = 4 * matched >= 3 * stats.gd.n;
    const bool fails = !means && (w->windows > 0 || !swings);
    char mean[80] = "", swing[120] = "", limits[160];

    if (!(w->windows > 0) && !stats.gd.n) {
        note("verdict: %s, under 100 rows and without a swing",
             strcmp(stop, "diverged") ? "too short to tell" : "diverged");
        return;
    }
    if (w->windows > 0)
        snprintf(mean, sizeof mean,
                 ": mean loss within %.2g %% in %.0f of %.0f windows",
                 100 * (means ? w->worst : GOOD), w->good, w->windows);
    if (stats.gd.n)
        snprintf(swing, sizeof swing, "%s %zu of %zu swings predicted",
                 w->windows > 0 ? ";" : ":", matched, stats.gd.n);
    if (matched)
        snprintf(swing + strlen(swing), sizeof swing - strlen(swing),
                 ", %.1f steps %s on average", fabs(delay),
                 delay < 0 ? "early" : "late");
    summary_limits(fails, limits, sizeof limits);
    note("verdict: theory %s%s%s%s",
         fails    ? "fails"
         : swings ? "holds"
                  : "holds on average",
         mean, swing, limits);
}

static int summary_write(const char *stop)
{
    const struct window *mean = &stats.mean_L, *pr = &stats.pr_L;
    const struct window *cf = &stats.cf_L;
    const bool windows = mean->windows > 0, flows = config.central && windows;
    double delay, ratio;
    const size_t matched = swings_matched(&stats.gd, &stats.pr, &delay, &ratio);
    const struct {
        const char *name;
        bool here;
        double value;
    } lines[] = {
        {"window_meanL_err_mean", windows, mean->error / mean->windows},
        {"window_meanL_err_max", windows, mean->worst},
        {"window_pr_L_err_mean", windows, pr->error / pr->windows},
        {"window_pr_L_err_max", windows, pr->worst},
        {"window_cf_L_err_mean", flows, cf->error / cf->windows},
        {"window_cf_L_err_max", flows, cf->worst},
        {"x_over_delta", true, stats_ratio()},
        {"x2_over_sigma", several(),
         stats.sigma > 0 ? stats.x2 / stats.sigma : (double)NAN},
        {"gd_dist", true, row.gd.dist},
        {"gf_dist", true, row.gf.dist},
        {"cf_dist", config.central, row.cf.dist},
        {"swings", true, (double)stats.gd.n},
        {"swings_predicted", true, (double)matched},
        {"swing_delay_mean", matched > 0, delay / (double)matched},
        {"swing_height_ratio", matched > 0, exp(ratio / (double)matched)},
        {"hvps_per_step", true, stats.hvps / (double)stats.rows},
        {"resid_max", true, stats.resid},
    };

    text_put(&out, "\n");
    note("summary steps: %zu", stats.rows);
    note("summary stop: %s", stop);
    for (size_t i = 0; i < 1 + (size_t)config.generalized && stats.rows; i++) {
        summary_score(i ? "pgen_L" : "pr_L", &stats.L[i]);
        summary_score(i ? "pgen_S" : "pr_S", &stats.S[i]);
    }
    for (size_t i = 0; i < sizeof lines / sizeof *lines && stats.rows; i++)
        if (lines[i].here)
            summary_line(lines[i].name, "", lines[i].value);
    if (config.stats == EOS_FULL && stats.rows)
        summary_claims();
    if (summary_unconverged())
        return failed;
    if (stats.rows)
        summary_verdict(matched, delay / (double)matched, stop);
    return logs_check();
}

/* ------------------------------------------------------------------------
 * 12  Checkpoints and signals
 *
 * A checkpoint holds all that the next step reads: a run that goes on gives the
 * bits of one that never stopped.  The file: a text of CKPT_TEXT bytes, the
 * state, and a hash of both.
 * ------------------------------------------------------------------------ */

#define CKPT_MAGIC "eos checkpoint 9\n" /* the first line of the text */
enum { CKPT_TEXT = 2048 };

/* Where the run stands, between two steps. */
static struct progress {
    enum { APPROACH, TRACK, TRAIN_ALONE } phase;
    size_t step;    /* the next one */
    size_t checks;  /* sharpness measurements so far: approach, training */
    size_t last;    /* the step of the last one */
    double dt;      /* units of time from one to the next */
    bool measured;  /* the approach went back to this point */
    size_t still;   /* the step at which the loss was last looked at, */
    double still_L; /* and what it was then */
    size_t counted; /* Hessian products that rows have counted */
    size_t steps, max_steps; /* of the configuration then */
    struct mark log, slow;   /* what the logs held */
} progress;
static bool resumed; /* it comes from a checkpoint */

/* What is done with each region of the state: it is written or read.  One may
 * decide which others there are, and so comes before them. */
typedef int region_fn(void *at, size_t bytes);

/* The vectors lie in the room as dynamics_room() and stats_room() take them:
 * the approach's from path.gd to path.gf, the others up to stats.ratio. */
static int regions_each(region_fn *each)
{
    struct warm *const warms[] = {&warm.gd,    &warm.pg,    &warm.gf,
                                  &warm.pr[0], &warm.pr[1], &warm.cf};
    const double *end;

    for (size_t i = 0; i < sizeof warms / sizeof *warms; i++)
        if (each(warms[i], offsetof(struct warm, u)))
            return failed;
    if (each(&progress, offsetof(struct progress, slow.named)) ||
        each(&hvps, sizeof hvps) || each(&eig.rng, sizeof eig.rng) ||
        each(&eig.unconverged, sizeof eig.unconverged) ||
        each(&row, sizeof row) || each(&full, sizeof full) ||
        each(&dagger, offsetof(struct dagger, grad)) ||
        each(&outliers, offsetof(struct outliers, u)) ||
        each(outliers.u.f32,
             EIG_MAX * vec_stride(net.params) * sizeof(float)) ||
        each(&stats, offsetof(struct stats, ratio)) ||
        each(stats.ratio,
             size_min(stats.rows, STEPS_MAX) * sizeof *stats.ratio))
        return failed;
    end = progress.phase == TRACK ? stats.ratio : path.gf;
    return each(path.gd, (size_t)(end - path.gd) * sizeof *end);
}

static struct {
    struct whole file;
    int fd;
    uint64_t hash;        /* of what is written so far */
    char text[CKPT_TEXT]; /* of this run, and zeros */
    char lock[PATH];      /* CHECKPOINT.lock, while there is one */
} ckpt;

static int ckpt_put(void *bytes, size_t n)
{
    ckpt.hash = hash_bytes(ckpt.hash, bytes, n);
    return whole_write(&ckpt.file, bytes, n);
}

static int ckpt_get(void *bytes, size_t n)
{
    if (read_all(ckpt.fd, bytes, n) == (ssize_t)n)
        return EOS_DONE;
    return cannot(EOS_USAGE, config.checkpoint, "read");
}

/* The options that shape the numbers, and whose memory the state is. */
static void ckpt_text(const char *command)
{
    const uint16_t one = 1;
    const bool little = *(const unsigned char *)&one;
    char text[64], *to = ckpt.text;
    size_t n;

    n = (size_t)snprintf(to, CKPT_TEXT,
                         CKPT_MAGIC "eos: %s\nmachine: %zu bits, "
                                    "%s-endian\ncommand: %s\n",
                         VERSION, 8 * sizeof(size_t), little ? "little" : "big",
                         command);
    for (size_t i = 0; i < OPTIONS; i++)
        if (options[i].shapes)
            n += (size_t)snprintf(to + n, CKPT_TEXT - n, "%s: %s\n",
                                  options[i].name,
                                  option_text(&options[i], text, sizeof text));
    snprintf(to + n, CKPT_TEXT - n,
             "init: %s\ndata checksum: %016" PRIx64 "\ntest samples: %zu\n"
             "test checksum: %016" PRIx64 "\nstart checksum: %016" PRIx64 "\n",
             config.init ? "a file" : "the seed", data_hash, test.n, test_hash,
             hash_bytes(HASH_START, path.gd, net.params * sizeof *path.gd));
}

static int ckpt_write(void)
{
    unsigned char tail[8];

    if (text_check(&logfile) || text_check(&slowfile))
        return failed;
    fsync(logfile.fd);  /* before the checkpoint that counts on them; pipes */
    fsync(slowfile.fd); /* refuse: not an error */
    progress.steps = config.steps;
    progress.max_steps = config.max_steps;
    progress.log = logfile.mark;
    progress.slow = slowfile.mark;
    ckpt.hash = HASH_START;
    if (whole_open(&ckpt.file, config.checkpoint) ||
        ckpt_put(ckpt.text, CKPT_TEXT) || regions_each(ckpt_put))
        return failed;
    put_le(tail, ckpt.hash, 8);
    return ckpt_put(tail, sizeof tail) || whole_close(&ckpt.file) ? failed
                                                                  : EOS_DONE;
}

/* Reads a checkpoint's text; false where the file is none. */
static bool ckpt_begins(int fd, char *text)
{
    return read_all(fd, text, CKPT_TEXT) == CKPT_TEXT && !text[CKPT_TEXT - 1] &&
           !memcmp(text, CKPT_MAGIC, sizeof CKPT_MAGIC - 1);
}

/* Is the file whole, is it ours?  Leaves it at its state. */
static int ckpt_verify(char *text)
{
    unsigned char tail[8];
    struct stat info;
    uint64_t hash;

    if (!ckpt_begins(ckpt.fd, text))
        return refuse("%s: not a checkpoint of this eos; --resume needs a file "
                      "that --checkpoint wrote",
                      config.checkpoint);
    hash = hash_bytes(HASH_START, text, CKPT_TEXT);
    if (fstat(ckpt.fd, &info) ||
        !hash_read(ckpt.fd, (uint64_t)info.st_size - CKPT_TEXT - 8, &hash) ||
        ckpt_get(tail, 8) || get_le(tail, 8) != hash)
        return refuse("%s: damaged: its checksum does not hold; an older copy "
                      "or a new start is needed",
                      config.checkpoint);
    return lseek(ckpt.fd, CKPT_TEXT, SEEK_SET) < 0
               ? cannot(EOS_USAGE, config.checkpoint, "read")
               : EOS_DONE;
}

/* The first line in which the file's text and this run's differ. */
static int ckpt_compare(const char *then)
{
    const char *now = ckpt.text;

    while (*now || *then) {
        int a = (int)strcspn(then, "\n"), b = (int)strcspn(now, "\n");

        if (a != b || memcmp(then, now, (size_t)a))
            return refuse("%s: was made with %.*s, this run has %.*s; --resume "
                          "needs the same options and data",
                          config.checkpoint, a, then, b, now);
        then += a + (then[a] == '\n');
        now += b + (now[b] == '\n');
    }
    return EOS_DONE;
}

/* --resume: goes on from the checkpoint where there is one. */
static int ckpt_resume(void)
{
    char then[CKPT_TEXT];

    ckpt.fd = open(config.checkpoint, O_RDONLY | O_CLOEXEC);
    if (ckpt.fd < 0 && errno == ENOENT) {
        tell("%s: no checkpoint yet: starting afresh", config.checkpoint);
        return EOS_DONE;
    }
    if (ckpt.fd < 0)
        return cannot(EOS_USAGE, config.checkpoint, "open");
    resumed =
        !ckpt_verify(then) && !ckpt_compare(then) && !regions_each(ckpt_get);
    close(ckpt.fd);
    return resumed ? EOS_DONE : failed;
}

/* A run of the same options is replaced by --fresh alone. */
static int ckpt_spare(void)
{
    char text[CKPT_TEXT];
    int fd = open(config.checkpoint, O_RDONLY | O_CLOEXEC);
    bool same = fd >= 0 && ckpt_begins(fd, text) && !strcmp(text, ckpt.text);

    if (fd >= 0)
        close(fd);
    if (!same)
        return EOS_DONE;
    return refuse("%s: holds a run of the same options: --resume goes on with "
                  "it, --fresh replaces it, another name or deleting it keeps "
                  "both or none",
                  config.checkpoint);
}

static void ckpt_unlock(void)
{
    unlink(ckpt.lock);
}

/* CHECKPOINT.lock is there and locked while a run keeps a checkpoint.  A run
 * that ends may remove it before we have the lock: then we try again. */
static int ckpt_lock(void)
{
    char name[PATH];
    struct stat there, ours;
    int fd;

    snprintf(name, sizeof name, "%s.lock", config.checkpoint);
    do {
        fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return cannot(EOS_USAGE, config.checkpoint, "create");
        if (lock(fd, config.checkpoint))
            return failed;
    } while ((stat(name, &there) || fstat(fd, &ours) ||
              there.st_ino != ours.st_ino) &&
             !close(fd));
    memcpy(ckpt.lock, name, sizeof name);
    atexit(ckpt_unlock);
    return EOS_DONE;
}

/* --- Signals: SIGINT and SIGTERM end the run at the next boundary, a second
 * one at once --- */

static volatile sig_atomic_t caught;

static void signal_caught(int number)
{
    if (caught)
        _exit(128 + number);
    caught = number;
}

/* Between two steps: a checkpoint, or the end where a signal asked for it. */
static int boundary(void)
{
    static size_t since;
    int asked = caught;

    since++;
    if (config.checkpoint && (asked || since > config.every)) {
        since = 1;
        if (ckpt_write())
            return failed;
    }
    if (!asked)
        return EOS_DONE;
    return fail(128 + asked, "stopped by %s before step %zu%s",
                asked == SIGINT ? "SIGINT" : "SIGTERM", progress.step,
                config.checkpoint ? "; the same command with --resume goes on"
                                  : "");
}

/* ------------------------------------------------------------------------
 * 13  Start: defaults, room, what a command opens before its first step
 * ------------------------------------------------------------------------ */

struct eos_config eos_defaults(void)
{
    return (struct eos_config){
        /* clang-format off */
        .samples = SAMPLES < 5000 ? SAMPLES : 5000,
        .steps = 2000, .max_steps = 100000, .stop_lambda2 = 1.9,
        .unstable = 1, .band = 1.8, .proj = 3, .neigs = 1, .sharp = 10,
        .every = 25, .alpha = 1, .alpha2 = 0.5, .beta = 1, .x0 = 0.1
        /* clang-format on */
    };
}

static int lr_check(void)
{
    if (isfinite(2 / config.lr))
        return EOS_DONE;
    return refuse("--lr: %g is too small: 2/eta is not finite", config.lr);
}

/* Lays out what the options need beside the data. */
static int room_lay(void)
{
    size_t k = UNSTABLE;

    net_room();
    eig_room(net.params);
    dynamics_room();
    stats_room();
    net_room_workers();
    if (room_used <= ROOM)
        return EOS_DONE;
    while (k < 6 && ROOM_FOR(k) < room_used)
        k++;
    return refuse("these options need %zu MB, this build has %zu: fewer of "
                  "them, or make UNSTABLE=%zu, which has %zu",
                  room_used / 1000000 + 1, ROOM / 1000000, k,
                  ROOM_FOR(k) / 1000000);
}

int eos_start(const struct eos_config *c)
{
    static const double default_lr[4][4] = {
        /* mse, ce, bmse, logistic: by sweeps, bench/RESULTS.md */
        {0.005, 0.02, 0.005, 0.03},
        {0.005, 0.02, 0.01, 0.04},
        {0.0025, 0.02, 0.02, 0.02},
        {0, 0, 0.02, 0.1}, /* a sentence is negative or positive */
    };
    char loss[16];

    config = *c;
    if (config.samples < 1 || config.samples > SAMPLES)
        return refuse("--samples: %zu is above this build's capacity of %d; "
                      "make SAMPLES=%zu builds a larger one",
                      config.samples, SAMPLES, config.samples);
    if (sentences() && !two_classes())
        return refuse("--loss: %s is for ten classes; --model transformer "
                      "takes bmse or logistic",
                      option_of(FIELD(loss), loss, sizeof loss));
    if (two_classes() && config.samples % 2)
        return refuse("--samples: %zu is odd; two classes take half each",
                      config.samples);
    if (config.unstable < 1 || config.unstable > UNSTABLE)
        return refuse("--unstable: this build has room for %d; make "
                      "UNSTABLE=%zu builds a larger one",
                      UNSTABLE, config.unstable);
    if (config.lr <= 0)
        config.lr = default_lr[config.model][config.loss];
    if (config.tol <= 0)
        config.tol = 1e-4;
    if (!config.threads)
        config.threads = processors();
    if (lr_check())
        return failed;
    room_clear();
    data_room();
    if (kernel_choose() || data_load())
        return failed;
    net_lay(&networks[config.model], size_max(train.length, test.length));
    if (room_lay())
        return failed;
    if (config.threads > memory.workers)
        tell("--threads: this build has room for %zu; make %s=%zu builds a "
             "larger one",
             memory.workers, memory.workers < THREADS ? "UNSTABLE" : "THREADS",
             memory.workers < THREADS ? UNSTABLE + 1 : config.threads);
    pool_start(memory.workers);
    return EOS_DONE;
}

const char *eos_error(void)
{
    return failure;
}

/* Saves a vector under an option's name; without one, whether it can be. */
static int save(const char *option, const char *begin, const char *end,
                const double *x)
{
    static char name[PATH];

    if (!begin)
        return EOS_DONE;
    if ((size_t)snprintf(name, sizeof name, "%s%s", begin, end) >= sizeof name)
        return refuse("%s: the name is too long", option);
    return x ? npy_write(name, net.params, x) : whole_try(name);
}

/* Locks, checkpoint, logs; a run that goes on with other bounds says so. */
static int files_open(const char *command)
{
    const bool everything = config.stats == EOS_FULL;
    static char slow[PATH];

    if (lock_try(config.log, "") || lock_try(config.checkpoint, ".lock") ||
        (everything && lock_try(config.log, ".slow")))
        return failed;
    if (config.checkpoint) {
        ckpt_text(command);
        if ((!config.resume && !config.fresh && ckpt_spare()) ||
            whole_try(config.checkpoint) || ckpt_lock() ||
            (config.resume && ckpt_resume()))
            return failed;
    }
    if (log_open(&logfile, config.log, resumed ? &progress.log : NULL, command))
        return failed;
    if (logfile.mark.blocks && progress.steps != config.steps)
        text_put(&logfile, "# steps: %zu\n", config.steps);
    if (logfile.mark.blocks && progress.max_steps != config.max_steps)
        text_put(&logfile, "# max-steps: %zu\n", config.max_steps);
    if (resumed && !logfile.mark.blocks)
        logfile.mark.blocks = 1; /* it was in a log that is gone */
    if (!config.log || !everything)
        return EOS_DONE;
    snprintf(slow, sizeof slow, "%s.slow", config.log);
    return log_open(&slowfile, slow, resumed ? &progress.slow : NULL, command);
}

static void greet(const char *command, int fd)
{
    const char *data =
        config.ndata ? config.data[0] : "the built-in synthetic set";
    const char *slash = strrchr(data, '/');
    char line[256], model[16], loss[16];

    snprintf(line, sizeof line,
             "%s: %s, %s, %zu %s of %.30s, eta = %g, seed %" PRIu64 "\n",
             command, option_of(FIELD(model), model, sizeof model),
             option_of(FIELD(loss), loss, sizeof loss), train.n,
             sentences() ? "sentences" : "images", slash ? slash + 1 : data,
             config.lr, config.seed);
    fold(line);
    write_all(fd, line, strlen(line));
}

/* All that comes before a command's first step; theta is in path.gd then. */
static int begin(const struct eos_config *c, const char *command)
{
    const bool deriv = !strcmp(command, "deriv");
    struct sigaction action = {.sa_handler = signal_caught,
                               .sa_flags = SA_RESTART};

    config = *c;
    if (config.resume && !config.checkpoint)
        return refuse("--resume: needs --checkpoint FILE");
    if (config.resume && config.fresh)
        return refuse("--fresh and --resume: one or the other");
    if (places_check(!strcmp(command, "run") ? 6 : 1) || eos_start(c))
        return failed;
    if (!config.init)
        eos_init(config.seed, path.gd);
    else if (npy_read(config.init, net.params, path.gd))
        return failed;
    if (save("--save", config.save, saved_as[0], NULL) || files_open(command))
        return failed;
    greet(command, deriv ? STDERR_FILENO : STDOUT_FILENO);
    if (deriv)
        return EOS_DONE;
    tell("about %zu MB of memory, %zu thread%s", room_used / 1000000 + 2,
         pool.workers, pool.workers > 1 ? "s" : "");
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return EOS_DONE;
}

/* ------------------------------------------------------------------------
 * 14  The run: approach, track, training alone
 * ------------------------------------------------------------------------ */

static int diverged(const char *what, size_t step)
{
    return fail(EOS_DIVERGED,
                "%s diverged: the loss is not finite at step %zu; a "
                "smaller --lr than %g is needed",
                what, step, config.lr);
}

static unsigned columns_here(void)
{
    return (test.n ? TESTED : 0) | (config.generalized ? GENERALIZED : PAPER) |
           (several() ? SEVERAL : ONE) |
           (config.stats == EOS_FULL ? EVERYTHING : 0) |
           (config.central ? CENTRAL : 0) | (config.neigs > 1 ? NEIGS : 0) |
           (progress.phase == TRAIN_ALONE ? TRAINING : APPROACHING);
}

/* --- Gradient descent alone: the approach, and eos train --- */

/* A point where the sharpness is measured. */
static struct {
    size_t step, hvps;
    double time, L, accuracy, S_eta, test_L, test_accuracy;
} check;

static const struct column check_columns[] = {
    {"step", &check.step, 8, 7, SIZE, 0},
    {"time", &check.time, 10, 6, 0, 0},
    {"L", &check.L, 12, 6, 0, 0},
    {"acc", &check.accuracy, 9, 4, 0, 0},
    {"S", &warm.gd.value[0], 11, 6, 0, 0},
    {"S eta", &check.S_eta, 9, 4, 0, SCREEN},
    {"S2", &warm.gd.value[1], 11, 6, 0, SCREEN | NEIGS},
    {"resid", &warm.gd.resid[0], 9, 2, 0, 0},
    {"hvps", &check.hvps, 7, 5, SIZE, 0},
    {"S2", &warm.gd.value[1], 0, 0, TO_NEIGS, TRAINING},
    {"test_L", &check.test_L, 0, 0, 0, TESTED},
    {"test_acc", &check.test_accuracy, 10, 4, 0, TESTED},
    {"S2", &warm.gd.value[1], 0, 0, TO_NEIGS, APPROACHING},
    {"resid2", &warm.gd.resid[1], 0, 0, TO_NEIGS, 0},
    {.when = LAST}};

/* S, and the top eigenvalues; one search in ten is thorough. */
static void check_sharpness(struct point at)
{
    sharpness(at, &warm.gd, config.neigs, progress.checks++ % 10 == 0,
              scratch.out);
}

/* L and accuracy at theta, and S there (training alone) or at the midpoint of
 * the coming step (the approach).  If the first midpoint is beyond the edge, it
 * may be far away, so that S is measured at theta_0 instead. */
static int descent_check(size_t step, struct point at, const double *grad,
                         bool alone)
{
    const size_t before = hvps;

    check.step = step;
    check.time = (double)step * config.lr;
    check.L = loss_on(at, &train, &check.accuracy);
    if (test.n)
        check.test_L = loss_on(at, &test, &check.test_accuracy);
    if (alone) {
        check_sharpness(at);
    } else {
        vec_add(net.params, scratch.in, at.theta, -0.5 * config.lr, grad);
        check_sharpness(point_at(scratch.in));
    }
    if (!alone && step == 0 && !(warm.gd.value[0] < 2 / config.lr)) {
        warm.gd.known = 0;
        check_sharpness(at);
    }
    check.hvps = hvps - before;
    check.S_eta = warm.gd.value[0] * config.lr;
    return row_write(check_columns, columns_here(), false);
}

/* Whether the loss has stopped changing, over STILL steps. */
static int approach_still(size_t n, struct point at)
{
    enum { STILL = 1000 };
    double L, before = progress.still_L;

    if (n % STILL || (n && n < progress.still + STILL))
        return EOS_DONE;
    L = loss_on(at, &train, NULL);
    progress.still = n;
    progress.still_L = L;
    if (n == 0 || !(L < 1e-12 || fabs(L - before) <= 1e-12 * fabs(before)))
        return EOS_DONE;
    return fail(EOS_UNREACHED,
                "the loss no longer changes: L = %g at step %zu as %d steps "
                "before, S = %.6g, 2/eta = %.6g; a larger --lr or more "
                "--samples reach the edge",
                L, n, STILL, warm.gd.value[0], 2 / config.lr);
}

/* After a check: whether this is the instability.  dt shrinks as S rises; an
 * overshoot goes back to the check before, and every step is checked then. */
static bool approach_ends(size_t n, struct pace *pace)
{
    const double S = warm.gd.value[0], goal = 2 / config.lr;

    if (S >= goal && (n == 0 || progress.dt <= config.lr)) {
        if (n == 0) {
            note("the sharpness is at 2/eta at the start: tracking from there");
            note("S eta = %.4g; it starts below the edge with --lr < %.3g",
                 S * config.lr, goal / S * config.lr);
        }
        note("instability at step %zu: S = %.6g, 2/eta = %.6g", n, S, goal);
        return true;
    }
    if (S >= goal) {
        note("back to step %zu", progress.last);
        vec_copy(net.params, path.gd, path.pg);
        progress.step = progress.last;
        progress.dt = 0;
        progress.measured = true;
        return false;
    }
    vec_copy(net.params, path.pg, path.gd);
    progress.last = n;
    pace->growth = (S - pace->S) / (double)(n - pace->check);
    pace->S = S;
    pace->check = n;
    pace->checks++;
    if (S >= 0.5 * goal)
        progress.dt = fmin(progress.dt, 0.1);
    if (S >= 0.75 * goal)
        progress.dt = fmin(progress.dt, 0.01);
    return false;
}

/* Plain gradient descent: the approach, measured every dt units of time, until
 * the sharpness at a step's midpoint reaches 2/eta, or training alone. */
static int descend(bool alone, double *theta, double *grad)
{
    const size_t last = alone ? config.steps : config.max_steps;
    struct pace pace = {0};
    bool falls;

    if (!resumed) {
        block_start(&logfile);
        progress.phase = alone ? TRAIN_ALONE : APPROACH;
        progress.dt = 1;
    }
    for (;;) {
        const size_t n = progress.step;
        const struct point at = point_at(theta);
        const double time = (double)(n - progress.last) * config.lr;
        const bool due = alone
                             ? n % config.sharp == 0 || n == last
                             : !progress.measured &&
                                   (n == 0 || time >= progress.dt * (1 - 1e-9));

        if (boundary())
            return failed;
        if (!isfinite(gradient(at, config.deriv, grad)))
            return diverged("gradient descent", n);
        if (!alone && approach_still(n, at))
            return failed;
        if (due) {
            if (descent_check(n, at, grad, alone))
                return failed;
            if (!alone && approach_ends(n, &pace))
                return EOS_DONE;
            if (progress.measured)
                continue; /* it went back */
        }
        progress.measured = false;
        if (n >= last)
            break;
        vec_axpy(net.params, -config.lr, grad, theta);
        progress.step++;
        pace_tell(&pace, alone ? "train" : "approach", n + 1,
                  alone ? config.steps : 0);
    }
    if (alone)
        return EOS_DONE;
    falls = pace.checks > 1 && pace.growth < 0;
    return fail(EOS_UNREACHED,
                "instability not reached in %zu steps: S = %.6g%s, "
                "2/eta = %.6g; try a larger --lr or %s",
                last, warm.gd.value[0], falls ? " and falling" : "",
                2 / config.lr, falls ? "more --samples" : "--max-steps");
}

/* --- The track --- */

/* The log's columns in their order, then the terminal's. */
static const struct column track_columns[] = {
    /* clang-format off */
    {"step", &row.t, 8, 7, SIZE, 0},
    {"gd_L", .at = &row.gd.L},            {"gd_S", .at = &row.gd.S},
    {"gd_x", .at = &row.gd.x},            {"gd_Staylor", .at = &row.gd.taylor},
    {"gd_Savg", .at = &row.gd.avg},       {"gd_dist", .at = &row.gd.dist},
    {"pr_L", .at = &row.pr[0].L},         {"pr_S", .at = &row.pr[0].S},
    {"pr_x", .at = &row.pr[0].x},
    {"pr_Staylor", .at = &row.pr[0].taylor},
    {"pr_Savg", .at = &row.pr[0].avg},    {"pr_dist", .at = &row.pr[0].dist},
    {"gf_L", .at = &row.gf.L},            {"gf_S", .at = &row.gf.S},
    {"gf_dist", .at = &row.gf.dist},      {"pg_L", .at = &dagger.L},
    {"pg_S", .at = &dagger.S},            {"pg_S2", .at = &dagger.lambda2},
    {"alpha", .at = &dagger.alpha},       {"beta", .at = &dagger.beta},
    {"gamma", .at = &dagger.gamma},       {"delta2", .at = &dagger.delta2},
    {"eps", .at = &dagger.eps},           {"newton_x", .at = &dagger.newton_x},
    {"gradnorm", .at = &dagger.gradnorm}, {"gradperp", .at = &dagger.gradperp},
    {"hvps", .at = &row.hvps, .type = SIZE},
    {"gd_resid", .at = &row.gd.resid},    {"pr_resid", .at = &row.pr[0].resid},
    {"gf_resid", .at = &row.gf.resid},    {"pg_resid", .at = &dagger.resid},
    {"th_L", .at = &row.th_L},            {"th_S", .at = &row.th_S},
    {"mean_L", .at = &row.mean_L},
    {"pgen_L", &row.pr[1].L, 0, 0, 0, GENERALIZED},
    {"pgen_S", &row.pr[1].S, 0, 0, 0, GENERALIZED},
    {"pgen_x", &row.pr[1].x, 0, 0, 0, GENERALIZED},
    {"pgen_Staylor", &row.pr[1].taylor, 0, 0, 0, GENERALIZED},
    {"pgen_Savg", &row.pr[1].avg, 0, 0, 0, GENERALIZED},
    {"pgen_dist", &row.pr[1].dist, 0, 0, 0, GENERALIZED},
    {"gd_test_L", &row.test_L, 0, 0, 0, TESTED},
    {"gd_test_acc", &row.test_accuracy, 0, 0, 0, TESTED},
    {"gd_S2", &row.gd_eigs[1], 0, 0, TO_NEIGS, ONE},
    {"gd_S3", &row.gd_eigs[2], 0, 0, TO_NEIGS, SEVERAL},
    {"gd_dHd", &full.dHd[0], 0, 0, 0, EVERYTHING},
    {"gd_Hd", &full.Hd[0], 0, 0, 0, EVERYTHING},
    {"gd_D3d", &full.D3d[0], 0, 0, 0, EVERYTHING},
    {"pr_dHd", &full.dHd[1], 0, 0, 0, EVERYTHING},
    {"pr_Hd", &full.Hd[1], 0, 0, 0, EVERYTHING},
    {"pr_D3d", &full.D3d[1], 0, 0, 0, EVERYTHING},
    {"g_D3g", &full.D3g, 0, 0, 0, EVERYTHING},
    {"beta_s1", &full.beta[0], 0, 0, 0, EVERYTHING},
    {"beta_s2", &full.beta[1], 0, 0, 0, EVERYTHING},
    {"beta_s3", &full.beta[2], 0, 0, 0, EVERYTHING},
    {"beta_s4", &full.beta[3], 0, 0, 0, EVERYTHING},
    {"k", &dagger.k, 0, 0, SIZE, SEVERAL},
    {"pg_S3", &dagger.lambda[2], 0, 0, TO_UNSTABLE, SEVERAL},
    {"gd_S2", &row.gd.S2, 0, 0, 0, SEVERAL},
    {"pr_S2", &row.pr[0].S2, 0, 0, 0, SEVERAL},
    {"sigma", &dagger.sigma, 0, 0, 0, SEVERAL},
    {"gd_xnorm", &row.gd.xnorm, 0, 0, 0, SEVERAL},
    {"pr_xnorm", &row.pr[0].xnorm, 0, 0, 0, SEVERAL},
    {"pgen_xnorm", &row.pr[1].xnorm, 0, 0, 0, SEVERAL | GENERALIZED},
    {"cf_L", &row.cf.L, 0, 0, 0, CENTRAL},
    {"cf_S", &row.cf.S, 0, 0, 0, CENTRAL},
    {"cf_dist", &row.cf.dist, 0, 0, 0, CENTRAL},
    {"cf_mean_L", &row.cf_mean_L, 0, 0, 0, CENTRAL},
    {"gd_resid2", &row.gd_resids[1], 0, 0, TO_NEIGS, 0},
    {"gd_L", &row.gd.L, 12, 5, 0, SCREEN},
    {"pr_L", &row.pr[0].L, 12, 5, 0, SCREEN | PAPER},
    {"pr_L", &row.pr[1].L, 12, 5, 0, SCREEN | GENERALIZED},
    {"pg_L", &dagger.L, 12, 5, 0, SCREEN},
    {"gf_L", &row.gf.L, 12, 5, 0, SCREEN},
    {"gd_S", &row.gd.S, 9, 5, 0, SCREEN},
    {"pr_S", &row.pr[0].S, 9, 5, 0, SCREEN | PAPER},
    {"pr_S", &row.pr[1].S, 9, 5, 0, SCREEN | GENERALIZED},
    {"pg_S", &dagger.S, 9, 5, 0, SCREEN},
    {"gf_S", &row.gf.S, 9, 5, 0, SCREEN},
    {"hvps", &row.hvps, 7, 5, SIZE, SCREEN},
    {.when = LAST}
    /* clang-format on */
};

/* theta = theta+ + v for a prediction: its loss and sharpness there. */
static void track_prediction(const struct dagger *d, size_t which,
                             const double *v, bool thorough)
{
    struct seen *s = &row.pr[which];
    size_t wanted = which == 0 && several() ? 2 : 1;
    struct point at;

    seen_offset(s, d, v);
    vec_add(net.params, scratch.in, d->at.theta, 1, v);
    at = point_at(scratch.in);
    s->L = loss_on(at, &train, NULL);
    seen_sharpness(s, at, &warm.pr[which], wanted, thorough, scratch.out);
}

/* Gradient flow: its row, then m Euler sub-steps of eta / m. */
static void track_flow(const struct dagger *d, double *theta, bool thorough,
                       bool stay)
{
    const size_t p = net.params;
    struct point at = point_at(theta);
    double substeps;

    vec_add(p, scratch.in, theta, -1, d->at.theta);
    row.gf.dist = vec_norm(p, scratch.in);
    row.gf.L = loss_on(at, &train, NULL);
    if (row.t == 0) { /* at instability S is 2/eta by definition */
        row.gf.S = 2 / config.lr;
        row.gf.resid = 0;
    } else {
        seen_sharpness(&row.gf, at, &warm.gf, 1, thorough, scratch.out);
    }
    if (stay || !isfinite(row.gf.L))
        return;
    substeps = fmax(1, ceil(config.lr * row.gf.S));
    if (!(substeps <= FLOW_STEPS)) { /* it has run away: lost from here on */
        theta[0] = (double)NAN;
        return;
    }
    for (size_t i = 0; i < (size_t)substeps; i++, at = point_at(theta)) {
        gradient(at, config.deriv, scratch.out);
        vec_axpy(p, -config.lr / substeps, scratch.out, theta);
    }
}

/* Central flow: its row, then m sub-steps of eta / m. */
static void track_central(const struct dagger *d, struct dagger *c,
                          double *theta, bool stay)
{
    double substeps, h;

    row.cf.L = row.cf.S = row.cf.dist = row.cf_mean_L = (double)NAN;
    if (!isfinite(theta[0]))
        return;
    vec_add(net.params, scratch.in, theta, -1, d->at.theta);
    row.cf.dist = vec_norm(net.params, scratch.in);
    measure(c, theta, EOS_F64, false);
    row.cf.L = c->L;
    row.cf.S = c->S;
    /* on the edge S is 2/eta to rounding, and two sub-steps are enough */
    substeps = fmax(1, ceil(config.lr * c->S * (1 - 1e-3)));
    if (!(substeps <= FLOW_STEPS)) { /* it has run away: lost from here on */
        theta[0] = (double)NAN;
        return;
    }
    h = config.lr / substeps;
    several_covariance(c, h);
    row.cf_mean_L = c->L;
    for (size_t i = 0; i < c->k; i++)
        row.cf_mean_L += 0.5 * c->lambda[i] * c->Sigma[pair_of(i, i)];
    for (size_t i = 0; i < (size_t)substeps && !stay; i++) {
        if (i) {
            measure(c, theta, config.deriv, false);
            several_covariance(c, h);
        }
        central_move(c, h, theta);
    }
}

/* Says so, once, where the theory is not meant to hold from the start. */
static void track_warn(const struct dagger *d)
{
    if (row.t == 0 && d->eps > EPS_SMALL)
        tell("eps = %.3g at the start, and the theory wants it below %g: a "
             "smaller --lr has a smaller one",
             d->eps, EPS_SMALL);
}

/* Says so where a complementarity problem was not solved: in theory where the
 * T_ij depend on each other. */
static void track_unsolved(void)
{
    const double left = fmax(dagger.unsolved, central.unsolved);

    if (left > 1e-12)
        note("step %zu: complementarity solved to %.1e only", row.t, left);
    dagger.unsolved = central.unsolved = 0;
}

static int track_lost(size_t t)
{
    if (!isfinite(row.gd.L))
        return diverged("gradient descent", t);
    if (dagger.flat)
        return fail(EOS_DIVERGED,
                    "the constrained trajectory is undefined at step %zu: it "
                    "divides by S and beta, and one of them was 0, as at a "
                    "flat point",
                    t);
    return diverged("the constrained trajectory", t);
}

/* Gradient descent: its part of the row, then theta <- theta - eta grad L,
 * unless the run stays or is lost.  Returns false where it is lost. */
static bool track_descent(const struct dagger *d, double *theta, bool thorough,
                          bool stay)
{
    const size_t p = net.params;
    const struct point at = point_at(theta);
    double *grad = scratch.out, *u = scratch.in; /* grad waits for S */
    size_t wanted = size_max(thorough ? config.neigs : 1, several() ? 2 : 1);
    bool alive;

    vec_add(p, scratch.in, theta, -1, d->at.theta);
    seen_offset(&row.gd, d, scratch.in);
    row.gd.L = gradient(at, EOS_F64, grad);
    if (test.n)
        row.test_L = loss_on(at, &test, &row.test_accuracy);
    seen_sharpness(&row.gd, at, &warm.gd, wanted, thorough, u);
    if (thorough) {
        memcpy(row.gd_eigs, warm.gd.value, sizeof row.gd_eigs);
        memcpy(row.gd_resids, warm.gd.resid, sizeof row.gd_resids);
    }
    alive = isfinite(row.gd.L) && isfinite(d->L) && isfinite(d->S);
    if (alive && !stay)
        vec_axpy(p, -config.lr, grad, theta);
    return alive;
}

/* Measures row t, writes it, and (unless the run stays) makes update t. */
static int track_step(struct paths *now, struct dagger *d, size_t t, bool stay,
                      size_t *counted)
{
    const bool thorough = t % SELDOM == 0;
    const size_t predictions = 1 + (size_t)config.generalized;
    bool alive;

    first_layer = 0; /* as in a run that is resumed here */
    row.t = t;
    if (config.stats == EOS_FULL && full_step(t, stay))
        return failed;
    alive = track_descent(d, now->gd, thorough, stay);
    for (size_t i = 0; i < predictions; i++)
        track_prediction(d, i, now->v[i], thorough);
    track_flow(d, now->gf, thorough, stay || !alive);
    if (config.central)
        track_central(d, &central, now->cf, stay || !alive);
    row.th_L = d->L + row.pr[0].x * row.pr[0].x / config.lr;
    row.th_S = 2 / config.lr + vec_dot(net.params, d->T, now->v[0]) +
               d->su * row.pr[0].x;
    row.mean_L = d->L + (several() ? d->sigma : fmax(0, d->delta2)) / config.lr;
    track_unsolved();
    track_warn(d);
    row.hvps = hvps - *counted;
    *counted = hvps;
    stats_row();
    if (row_write(track_columns, columns_here(), false))
        return failed;
    if (!alive)
        return track_lost(t);
    if (stay)
        return EOS_DONE;
    for (size_t i = 0; i < predictions; i++)
        (several() ? predict_several : predict_one)(d, i, now->v[i]);
    vec_axpy(net.params, -config.lr, d->grad, now->pg); /* eq. (2) */
    project(d, now->pg, (t + 1) % SELDOM == 0);
    predict_prepare(d, now->v);
    return EOS_DONE;
}

/* theta+, gradient flow and v from theta_gd; --kick moves theta_gd first.  The
 * first search at theta+ is given descent's u: with the second vector of the
 * approach and a random one alone, it might find the second eigenvector. */
static void track_start(struct paths *now, struct dagger *d)
{
    const size_t p = net.params;

    vec_copy(p, now->pg, now->gd);
    if (config.kick > 0) {
        project(d, now->pg, false);
        if (d->delta2 > 0)
            vec_axpy(p, config.kick * sqrt(d->delta2), d->u, now->gd);
        else
            note("no kick: alpha < 0 at the first theta+, delta is undefined");
        vec_copy(p, now->pg, now->gd);
    }
    vec_copy(p, now->gf, now->gd);
    if (config.central)
        vec_copy(p, now->cf, now->gd);
    project(d, now->pg, true);
    for (size_t i = 0; i < 1 + (size_t)config.generalized; i++)
        vec_add(p, now->v[i], now->gd, -1, now->pg);
    predict_prepare(d, now->v);
}

/* Where lambda2 ends a track on its first row, with S FAR times above 2/eta,
 * descent may simply diverge: this looks LOOK steps ahead, to tell the user. */
static int track_survives(void)
{
    enum { FAR = 100, LOOK = 20 };

    vec_copy(net.params, scratch.in, path.gd);
    for (size_t i = 0; i < LOOK && row.gd.S > FAR * 2 / config.lr; i++) {
        if (!isfinite(
                gradient(point_at(scratch.in), config.deriv, scratch.out)))
            return diverged("gradient descent", i);
        vec_axpy(net.params, -config.lr, scratch.out, scratch.in);
    }
    return EOS_DONE;
}

/* A run's summary, but where it failed for another reason than its numbers. */
static int run_end(int status, bool stay)
{
    const char *stop = stay ? "lambda2" : "steps";

    if (status == EOS_UNREACHED)
        stop = progress.step < config.max_steps ? "stalled" : "max-steps";
    else if (status == EOS_DIVERGED)
        stop = "diverged";
    else if (status > 128)
        stop = "signal";
    else if (status)
        return status;
    return summary_write(stop) ? failed : status;
}

static int track(struct paths *now, struct dagger *d)
{
    struct pace pace = {0};
    bool stay = false;
    int status = EOS_DONE;

    if (progress.phase != TRACK) {
        block_start(&logfile);
        progress.counted = hvps;
        track_start(now, d);
        progress.phase = TRACK;
        progress.step = 0;
    }
    row_write(track_columns, columns_here(), true);
    while (!status && !stay && progress.step < config.steps &&
           !(status = boundary())) {
        double next = several() ? d->lambda[config.unstable] : d->lambda2;

        stay = next > config.stop_lambda2 / config.lr;
        status = track_step(now, d, progress.step, stay, &progress.counted);
        progress.step++;
        pace_tell(&pace, "track", progress.step, config.steps);
    }
    if (!status && stay && progress.step == 1)
        status = track_survives();
    return run_end(status, stay);
}

/* --- The commands run and train --- */

int eos_run(const struct eos_config *c)
{
    int status;

    if (c->from_instability && !c->init)
        return refuse("--from-instability: needs --init FILE.npy");
    if (begin(c, "run"))
        return failed;
    if (progress.phase != TRACK) {
        if (!config.from_instability && descend(false, path.gd, dagger.grad))
            return run_end(failed, false);
        if (save("--save", config.save, saved_as[5], path.gd))
            return failed;
    }
    status = track(&path, &dagger);
    for (size_t i = 0; i < 5 && (!status || status == EOS_DIVERGED); i++) {
        const double *const all[] = {path.gd, path.pg, path.gf, path.v[0],
                                     dagger.u};

        if (save("--save", config.save, saved_as[i], all[i]))
            return failed;
    }
    return status;
}

int eos_train(const struct eos_config *c)
{
    if (begin(c, "train") || descend(true, path.gd, dagger.grad) ||
        summary_unconverged() ||
        save("--save", config.save, saved_as[0], path.gd))
        return failed;
    return EOS_DONE;
}

/* ------------------------------------------------------------------------
 * 15  deriv: all derivatives at given parameters, for other programs to compare
 * ------------------------------------------------------------------------ */

static int deriv_print(const double norms[3])
{
    const struct {
        const char *name;
        double value;
    } lines[] = {
        /* clang-format off */
        {"L", dagger.L}, {"grad", dagger.gradnorm}, {"hvp", norms[0]},
        {"d3", norms[1]}, {"d4", norms[2]}, {"S", dagger.S},
        {"lambda2", dagger.lambda2}, {"resid", dagger.resid},
        {"alpha", dagger.alpha}, {"beta", dagger.beta}
        /* clang-format on */
    };

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        text_put(&out, "%s %s\n", lines[i].name, all_digits(lines[i].value));
    if (text_check(&out))
        return failed;
    if (!isfinite(dagger.L))
        return fail(EOS_DIVERGED, "deriv: the loss is not finite at these "
                                  "parameters");
    if (!isfinite(norms[0]) || !isfinite(norms[1]) || !isfinite(norms[2]) ||
        !isfinite(dagger.S))
        return fail(EOS_DIVERGED,
                    "deriv: a derivative is not finite at these parameters%s",
                    config.deriv == EOS_F32 ? "; --deriv f64 has a larger range"
                                            : "");
    if (eig.unconverged)
        return fail(EOS_FAILED,
                    "deriv: the residual of an eigenpair is above 10 tol "
                    "(tol = %g): S or lambda2 may be off",
                    config.tol);
    return EOS_DONE;
}

int eos_deriv(const struct eos_config *c)
{
    static operator_fn *const order[] = {hessian, third, fourth};
    struct eos_config exact = *c;
    struct stat info;
    const double *v;
    double norms[3];

    if (!c->out)
        return refuse("--out: eos deriv needs a folder for its results");
    if (exact.tol <= 0)
        exact.tol = exact.deriv == EOS_F64 ? 1e-10 : 1e-6;
    if (begin(&exact, "deriv") ||
        (config.direction && npy_read(config.direction, net.params, path.v[0])))
        return failed;
    if (mkdir(config.out, 0777) && errno != EEXIST)
        return cannot(EOS_USAGE, config.out, "create the folder");
    if (stat(config.out, &info) || !S_ISDIR(info.st_mode))
        return refuse("%s: is no folder", config.out);
    if (access(config.out, W_OK))
        return cannot(EOS_USAGE, config.out, "write there");
    v = config.direction ? path.v[0] : dagger.u;
    measure(&dagger, path.gd, EOS_F64, true);
    if (save("--out", config.out, derived_as[0], dagger.grad))
        return failed;
    for (size_t i = 0; i < 3; i++) {
        order[i](dagger.at, v, scratch.in);
        norms[i] = vec_norm(net.params, scratch.in);
        if (save("--out", config.out, derived_as[1 + i], scratch.in))
            return failed;
    }
    if (save("--out", config.out, derived_as[4], dagger.u))
        return failed;
    return deriv_print(norms);
}

/* ------------------------------------------------------------------------
 * 16  Toy: Section 4 of the paper and its Appendix B
 *
 * x is in R^K, y and A are symmetric K x K matrices, <A, y> = tr Ay:
 *     L(x, y, z) = x'(2/eta + sqrt(beta) y) x / 2 - <A, y> / sqrt(beta) - z.
 * Gradient descent on it is, with Y = sqrt(beta) y, the recursion
 *     x <- -(1 + eta Y) x,   Y <- Y + eta (A - beta xx' / 2).
 * K = 1 is the paper's case, A = alpha: the recursion follows the ODE
 *     X' = X Y,   Y' = alpha - beta X^2 / 2
 * in |x| and Y, which conserves h(beta X^2 / 2 alpha) + Y^2 / alpha, h(w) =
 * w - 1 - log w.  With K = 2, Y is the sum of its changes: where it stays
 * bounded the mean of xx' tends to 2 A / beta, which only A >= 0 allows; else Y
 * sinks along some direction and x dies out there, and the mean tends to
 * Sigma = sdcp(-A, beta / 2), A's positive part times 2 / beta.
 * ------------------------------------------------------------------------ */

enum { TOY_MOST = 2, TOY_MATRIX = 3 }; /* pairs 11, 12, 22 */

struct toy {
    size_t k, n; /* directions, pairs of them */
    double gd_x[TOY_MOST], gd_y[TOY_MATRIX], gd_z;
    double x[TOY_MOST], y[TOY_MATRIX]; /* of the recursion; y is Y */
    double ode[2];                     /* X, Y: k = 1 */
    double A[TOY_MATRIX];
    double sum[TOY_MATRIX], sigma[TOY_MATRIX]; /* of its xx' so far; Sigma */
    size_t step;
    double invariant, cov[TOY_MATRIX], cov_err; /* what a row adds */
};

/* log w comes from log(1 + y) for y >= 0. */
static double toy_invariant(const struct toy *s)
{
    double w = config.beta * s->ode[0] * s->ode[0] / (2 * config.alpha);
    double log_w = w >= 1 ? log1p_pos(w - 1) : -log1p_pos((1 - w) / w);

    return w - 1 - log_w + s->ode[1] * s->ode[1] / config.alpha;
}

/* A step of length h by the classical Runge-Kutta method. */
static void toy_ode(double s[2], double h)
{
    static const double part[] = {0, 0.5, 0.5, 1}, weight[] = {1, 2, 2, 1};
    double slope[2] = {0}, sum[2] = {0};

    for (size_t i = 0; i < 4; i++) {
        const double X = s[0] + part[i] * h * slope[0];
        const double Y = s[1] + part[i] * h * slope[1];

        slope[0] = X * Y;
        slope[1] = config.alpha - 0.5 * config.beta * X * X;
        for (size_t j = 0; j < 2; j++)
            sum[j] += weight[i] * slope[j];
    }
    for (size_t j = 0; j < 2; j++)
        s[j] += h / 6 * sum[j];
}

/* xx' */
static void toy_square(size_t k, const double *x, double *xx)
{
    for (size_t a = 0; a < k * (k + 1) / 2; a++)
        xx[a] = x[pair[a].i] * x[pair[a].j];
}

/* to = (a + b y) x */
static void toy_times(size_t k, double a, double b, const double *y,
                      const double *x, double *to)
{
    size_t j;

    for (size_t i = 0; i < k; i++)
        for (to[i] = 0, j = 0; j < k; j++)
            to[i] += ((i == j ? a : 0) + b * y[pair_of(i, j)]) * x[j];
}

static void toy_step(struct toy *s)
{
    const double eta = config.lr, b = sqrt(config.beta);
    double xx[TOY_MATRIX], slope[TOY_MOST];

    toy_square(s->k, s->gd_x, xx);
    toy_times(s->k, 2 / eta, b, s->gd_y, s->gd_x, slope);
    for (size_t i = 0; i < s->k; i++)
        s->gd_x[i] -= eta * slope[i];
    for (size_t i = 0; i < s->n; i++)
        s->gd_y[i] -= eta * (0.5 * b * xx[i] - s->A[i] / b);
    s->gd_z += eta;
    toy_square(s->k, s->x, xx);
    toy_times(s->k, 1, eta, s->y, s->x, slope);
    for (size_t i = 0; i < s->k; i++)
        s->x[i] = -slope[i];
    for (size_t i = 0; i < s->n; i++)
        s->y[i] += eta * (s->A[i] - 0.5 * config.beta * xx[i]);
    toy_square(s->k, s->x, xx);
    for (size_t i = 0; i < s->n; i++)
        s->sum[i] += xx[i];
    toy_ode(s->ode, eta);
}

static void toy_start(struct toy *s, size_t k)
{
    const double A[TOY_MATRIX] = {config.alpha, config.alpha12, config.alpha2};
    double g[PAIRS][PAIRS] = {{0}}, minus[PAIRS];

    *s = (struct toy){.k = k, .n = k * (k + 1) / 2};
    for (size_t a = 0; a < s->n; a++) {
        s->A[a] = A[a];
        minus[a] = -A[a];
        g[a][a] = config.beta / (2 * pair[a].count);
        s->gd_y[a] = pair[a].count == 1 ? config.y0 : 0;
        s->y[a] = sqrt(config.beta) * s->gd_y[a];
    }
    for (size_t i = 0; i < k; i++)
        s->gd_x[i] = s->x[i] = config.x0;
    s->ode[0] = fabs(config.x0);
    s->ode[1] = s->y[0];
    toy_square(k, s->x, s->sum);
    sdcp(k, minus, g, s->sigma);
}

/* |cov - Sigma| / |Sigma| */
static double toy_error(const double *cov, const double *sigma)
{
    double error = 0, length = 0, d;

    for (size_t i = 0; i < TOY_MATRIX; i++) {
        d = cov[i] - sigma[i];
        error += pair[i].count * d * d;
        length += pair[i].count * sigma[i] * sigma[i];
    }
    return sqrt(error / length);
}

static struct toy toy_now;

/* gd_z is not shown: it is n eta. */
static const struct column toy_columns[] = {
    {"step", &toy_now.step, 8, 7, SIZE, 0},
    {"gd_x", &toy_now.gd_x[0], 12, 5, 0, ONE},
    {"gd_y", &toy_now.gd_y[0], 12, 5, 0, ONE},
    {"gd_x1", &toy_now.gd_x[0], 0, 0, 0, SEVERAL},
    {"gd_x2", &toy_now.gd_x[1], 0, 0, 0, SEVERAL},
    {"gd_y11", &toy_now.gd_y[0], 0, 0, 0, SEVERAL},
    {"gd_y12", &toy_now.gd_y[1], 0, 0, 0, SEVERAL},
    {"gd_y22", &toy_now.gd_y[2], 0, 0, 0, SEVERAL},
    {"gd_z", .at = &toy_now.gd_z},
    {"rec_x", &toy_now.x[0], 12, 5, 0, ONE},
    {"rec_y", &toy_now.y[0], 12, 5, 0, ONE},
    {"ode_X", &toy_now.ode[0], 12, 5, 0, ONE},
    {"ode_Y", &toy_now.ode[1], 12, 5, 0, ONE},
    {"invariant", &toy_now.invariant, 12, 5, 0, ONE},
    {"rec_x1", &toy_now.x[0], 10, 4, 0, SEVERAL},
    {"rec_x2", &toy_now.x[1], 10, 4, 0, SEVERAL},
    {"rec_y11", &toy_now.y[0], 10, 4, 0, SEVERAL},
    {"rec_y12", &toy_now.y[1], 10, 4, 0, SEVERAL},
    {"rec_y22", &toy_now.y[2], 10, 4, 0, SEVERAL},
    {"cov11", &toy_now.cov[0], 10, 4, 0, SEVERAL},
    {"cov12", &toy_now.cov[1], 10, 4, 0, SEVERAL},
    {"cov22", &toy_now.cov[2], 10, 4, 0, SEVERAL},
    {"cov_err", &toy_now.cov_err, 10, 4, 0, SEVERAL},
    {.when = LAST}};

int eos_toy(const struct eos_config *c)
{
    struct toy *s = &toy_now;

    config = *c;
    if (config.unstable < 1 || config.unstable > TOY_MOST)
        return refuse("--unstable: %zu; eos toy takes 1 or 2", config.unstable);
    if (config.lr <= 0)
        config.lr = 0.05;
    if (lr_check() || places_check(0) ||
        log_open(&logfile, config.log, NULL, "toy"))
        return failed;
    block_start(&logfile);
    toy_start(s, config.unstable);
    if (s->k > 1)
        text_put(&logfile, "# sigma: %.17g %.17g %.17g\n", s->sigma[0],
                 s->sigma[1], s->sigma[2]);
    for (; s->step <= config.steps; s->step++, toy_step(s)) {
        for (size_t i = 0; i < TOY_MATRIX; i++)
            s->cov[i] = s->sum[i] / ((double)s->step + 1);
        s->cov_err = toy_error(s->cov, s->sigma);
        s->invariant = toy_invariant(s);
        if (row_write(toy_columns, s->k > 1 ? SEVERAL : ONE, false))
            return failed;
        if (!isfinite(s->gd_x[0] + s->gd_x[s->k - 1] + s->gd_y[0]))
            return diverged("gradient descent", s->step);
    }
    return EOS_DONE;
}

/* ------------------------------------------------------------------------
 * 17  Command line and main
 * ------------------------------------------------------------------------ */

static const struct command {
    const char *name;
    unsigned bit;
    int (*call)(const struct eos_config *);
    const char *arguments, *what;
} commands[] = {
    {"run", RUN, eos_run, "",
     "gradient descent to the edge, then four trajectories beside it"},
    {"train", TRAIN, eos_train, "",
     "gradient descent with a sharpness log, past the edge"},
    {"deriv", DERIV, eos_deriv, "",
     "loss, its first four derivatives and the top eigenpair"},
    {"toy", TOY, eos_toy, "",
     "the paper's Section 4 model: descent, recursion, ODE"},
    {"synth", SYNTH, NULL, " N",
     "N records of the built-in images to standard output"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static int parse_integer(const char *name, const char *text, double low,
                         double high, uint64_t *to)
{
    unsigned long long n;
    char *end;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end)
        return refuse("%s: '%s' is not a whole number", name, text);
    if (!strcmp(name, "--samples") && (errno || n > SAMPLES))
        return refuse("--samples: %s is above this build's capacity of %d; "
                      "make SAMPLES=%s builds a larger one",
                      text, SAMPLES, text);
    if (errno || (double)n < low || (double)n > high)
        return isinf(high) ? refuse("%s: %s is out of range: 0 to %" PRIu64,
                                    name, text, UINT64_MAX)
                           : refuse("%s: %s is out of range: %.0f to %.0f",
                                    name, text, low, high);
    *to = n;
    return EOS_DONE;
}

/* A number; infinity only where the limit itself makes sense. */
static int parse_number(const struct option_spec *o, const char *name,
                        const char *text, double *to)
{
    const bool tol = o->field == FIELD(tol);
    bool forever;
    char *end;
    double x;

    errno = 0;
    x = strtod(text, &end);
    forever = o->field == FIELD(stop_lambda2) && !errno;
    if (end == text || *end || isnan(x))
        return refuse("%s: '%s' is not a number", name, text);
    if (x < o->low || (o->open && x <= o->low) || x > o->high ||
        (tol && x >= o->high) || (isinf(x) && !forever))
        return refuse("%s: %s is out of range: %s %g and %s", name, text,
                      o->open ? "above" : "at least", o->low,
                      forever          ? "up to inf"
                      : isinf(o->high) ? "finite"
                      : tol            ? "below 1"
                                       : "at most 2");
    *to = x;
    return EOS_DONE;
}

/* The index of text in a list "a|b|c". */
static int parse_choice(const struct option_spec *o, const char *name,
                        const char *text, int *to)
{
    const char *at = o->value;
    size_t width;

    for (*to = 0; at; (*to)++) {
        width = strcspn(at, "|");
        if (width == strlen(text) && !strncmp(at, text, width))
            return EOS_DONE;
        at = at[width] ? at + width + 1 : NULL;
    }
    return refuse("%s: '%s' is none of %s", name, text, o->value);
}

static int parse_value(const struct option_spec *o, const char *text,
                       struct eos_config *c)
{
    enum { FILES_MAX = sizeof c->data / sizeof *c->data };
    void *to = (char *)c + o->field;
    char name[32];
    uint64_t n;

    snprintf(name, sizeof name, "--%s", o->name);
    switch (o->kind) {
    case FLAG:
        *(bool *)to = true;
        return EOS_DONE;
    case COUNT:
        if (parse_integer(name, text, o->low, o->high, &n))
            return failed;
        *(size_t *)to = (size_t)n;
        return EOS_DONE;
    case SEED:
        return parse_integer(name, text, 0, INFINITY, to);
    case NUMBER:
        return parse_number(o, name, text, to);
    case CHOICE:
        return parse_choice(o, name, text, to);
    case FILES:
        if (c->ndata == FILES_MAX)
            return refuse("%s: at most %d files", name, FILES_MAX);
        c->data[c->ndata++] = text;
        return EOS_DONE;
    case TEXT:
        if (o->field == FIELD(test) && c->test)
            return refuse("%s: is given twice; one file is read", name);
        *(const char **)to = text;
    }
    return EOS_DONE;
}

_Static_assert(sizeof(enum eos_model) == sizeof(int) &&
                   sizeof(enum eos_stats) == sizeof(int),
               "a choice is stored as an int");

/* Usage of a command, or of all: what holds for every command at the end. */
static int help(const struct command *c)
{
    char left[64];

    if (c) {
        text_put(&out, "usage: eos %s%s [OPTION]...\n%s\n\n", c->name,
                 c->arguments, c->what);
        for (size_t i = 0; i < OPTIONS; i++)
            if (options[i].commands & c->bit) {
                snprintf(left, sizeof left, "--%s %s", options[i].name,
                         options[i].value ? options[i].value : "");
                text_put(&out, "  %-29s %s\n", left, options[i].help);
            }
        text_put(&out, "  %-29s %s\n", "--help", "this");
    } else {
        text_put(&out,
                 "eos %s: self-stabilization at the edge of stability "
                 "(Damian, Nichani, Lee 2023)\n\n"
                 "usage: eos [COMMAND] [OPTION]...\n\n",
                 VERSION);
        for (size_t i = 0; i < COMMANDS; i++)
            text_put(&out, "  eos %s%-*s %s\n", commands[i].name,
                     (int)(9 - strlen(commands[i].name)), commands[i].arguments,
                     commands[i].what);
        text_put(&out, "\nWithout a command eos runs. eos COMMAND --help "
                       "lists the options of one, eos\n--version tells the "
                       "version. Without --data it makes images or sentences "
                       "of\nits own. A run that stops goes on by the same "
                       "command with --resume, if it\nhad --checkpoint.\n");
    }
    text_put(&out,
             "\n%sExit status: 0 done, 1 failure while running, 2 bad "
             "arguments or input, 3\ninstability not reached, 4 "
             "diverged, 130 or 143 stopped by SIGINT or SIGTERM\nafter "
             "a checkpoint, if one is kept.\n",
             !c || c->bit & NETS
                 ? "Environment: EOS_KERNEL=avx512|avx2|neon|c forces a "
                   "kernel [the best one].\n"
                 : "");
    return text_check(&out);
}

/* Options of the command; optind is left at the first argument that is none. */
static int parse(const struct command *c, int argc, char **argv,
                 struct eos_config *to, bool *helped)
{
    enum { HELP = 256, FIRST }; /* beyond what getopt returns by itself */
    static struct option table[OPTIONS + 2];
    const char *word;
    size_t n = 0;
    int found;

    for (size_t i = 0; i < OPTIONS; i++)
        if (options[i].commands & c->bit)
            table[n++] = (struct option){
                options[i].name,
                options[i].kind == FLAG ? no_argument : required_argument, NULL,
                FIRST + (int)i};
    table[n] = (struct option){"help", no_argument, NULL, HELP};
    table[n + 1] = (struct option){0};
    opterr = 0;
    for (;;) {
        word = optind < argc ? argv[optind] : "";
        found = getopt_long(argc, argv, "+:h", table, NULL);
        if (found == -1)
            return EOS_DONE;
        if (found == ':')
            return refuse("%s: needs a value", word);
        if (found == HELP || found == 'h')
            *helped = true;
        else if (found < FIRST)
            return refuse("%s: no such option of eos %s; eos %s --help lists "
                          "them",
                          word, c->name, c->name);
        else if (parse_value(&options[found - FIRST], optarg, to))
            return failed;
    }
}

static int perform(const struct command *c, int argc, char **argv)
{
    struct eos_config to = eos_defaults();
    const int expected = *c->arguments != 0;
    bool helped = false;
    uint64_t records;

    if (parse(c, argc, argv, &to, &helped))
        return failed;
    if (helped)
        return help(c);
    if (optind + expected < argc)
        return refuse("%s: unexpected argument; options begin with --",
                      argv[optind + expected]);
    if (optind + expected > argc)
        return refuse("eos %s: needs%s", c->name, c->arguments);
    if (c->call)
        return c->call(&to);
    if (parse_integer("eos synth", argv[optind], 1, 1e9, &records))
        return failed;
    return eos_synth(records);
}

static int choose(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "-";
    const bool asked = !strcmp(word, "help");

    if (!strcmp(word, "--help") || !strcmp(word, "-h") || (asked && argc == 2))
        return help(NULL);
    if (!strcmp(word, "--version")) {
        text_put(&out, "eos %s\n", VERSION);
        return text_check(&out);
    }
    if (*word == '-')
        return perform(&commands[0], argc, argv);
    if (asked)
        word = argv[2];
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(word, commands[i].name))
            return asked ? help(&commands[i])
                         : perform(&commands[i], argc - 1, argv + 1);
    return refuse("%s%s: no such command; eos --help lists them",
                  asked ? "help " : "", word);
}

#ifndef EOS_TEST
int main(int argc, char **argv)
{
    int status, fd;

    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error */
    signal(SIGXFSZ, SIG_IGN); /* and so is a file above its limit */
    do /* so that no file takes the number of a closed standard one; not */
        fd = open("/dev/null", O_RDONLY); /* writable: writing stays an error */
    while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
    status = choose(argc, argv);
    if (status)
        tell("%s", failure);
    return status;
}
#endif

#endif /* !REGION */
