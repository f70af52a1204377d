/*
 * eos.h: the parts of eos that main, the tests and other programs call.
 *
 * Usage: fill a struct eos_config (eos_defaults gives every field a value),
 * eos_start it once, then call what you need:
 *
 *     struct eos_config c = eos_defaults();
 *     c.samples = 1000;
 *     if (eos_start(&c)) puts(eos_error());
 *     eos_init(0, theta);
 *     loss = eos_gradient(theta, g);
 *
 * Conventions.  All state is static: one problem at a time, one calling
 * thread.  Parameters and every vector beside them are double[eos_params()],
 * in the flat layout of the README.  "The paper" is Damian, Nichani, Lee,
 * ICLR 2023.  Functions that return int return an exit status, EOS_DONE when
 * all went well; eos_error() then tells what did not.  The numeric functions
 * cannot fail: where the loss is not finite, neither are they.
 */
#ifndef EOS_H
#define EOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses of the program and of the functions that can fail. */
enum {
    EOS_DONE = 0,      /* also where lambda2 ended the track */
    EOS_FAILED = 1,    /* while running: a file could not be written, or an
                        * eigenpair of eos_deriv did not converge */
    EOS_USAGE = 2,     /* bad arguments or bad input */
    EOS_UNREACHED = 3, /* the sharpness did not reach 2/eta */
    EOS_DIVERGED = 4   /* the loss is not finite */
    /* 128 + the number of a signal that stopped a run between two steps */
};

enum eos_model { EOS_MLP, EOS_CNN, EOS_RESNET18, EOS_TRANSFORMER };
enum eos_loss { EOS_MSE, EOS_CE, EOS_BMSE, EOS_LOGISTIC };
enum eos_precision { EOS_F32, EOS_F64 };
enum eos_eigensolver { EOS_LOBPCG, EOS_POWER };
enum eos_stats { EOS_BASIC, EOS_FULL };

/* Everything that the command line decides; ranges as in the README. */
struct eos_config {
    enum eos_model model;
    enum eos_loss loss;
    const char *data[64]; /* files in order, CIFAR-10 binary ones, for the
                           * transformer SST-2 ones; none: built-in */
    size_t ndata;
    const char *test;      /* test file or NULL */
    size_t samples;        /* n, at most the SAMPLES of the build */
    double lr;             /* learning rate eta; 0: the default for the loss */
    uint64_t seed;         /* of the initialisation */
    size_t steps;          /* of the track, of training, of the toy */
    size_t max_steps;      /* of the approach */
    const char *init;      /* .npy of starting parameters or NULL */
    bool from_instability; /* init is at instability: no approach */
    bool generalized;      /* adds the prediction of Appendix F */
    bool central;          /* adds the central flow, arXiv 2410.24206 */
    double stop_lambda2;   /* the track ends at lambda2 > this / eta */
    double kick;           /* the track starts at x = kick * delta */
    size_t unstable;       /* K: directions that may be unstable at once, at
                            * most the UNSTABLE of the build */
    double band;           /* one counts where lambda > this / eta; <= 2 */
    size_t proj;           /* rounds of a projection */
    double tol;            /* residual of an eigenpair over |S|; 0: default */
    enum eos_eigensolver eig;
    enum eos_precision deriv; /* of Hessian and higher products */
    enum eos_stats stats;     /* full: what Appendix E checks; bench/LOG.md */
    size_t neigs;             /* top eigenvalues in the log */
    size_t sharp;             /* eos_train: steps between sharpnesses */
    size_t threads;           /* 0: one for each processor of the process */
    const char *log, *save;   /* file, name prefix; or NULL */
    const char *checkpoint;   /* file of the whole state, or NULL */
    size_t every;             /* steps from one checkpoint to the next */
    bool resume;              /* go on from the checkpoint */
    bool fresh;               /* replace one of the same options */
    const char *direction;    /* eos_deriv: .npy of V or NULL for u */
    const char *out;          /* eos_deriv: folder */
    double alpha, beta;       /* eos_toy */
    double alpha2, alpha12;   /* eos_toy, unstable 2: A = (alpha, alpha12,
                               * alpha2) */
    double x0, y0;            /* eos_toy */
};

/* The defaults of the command line. */
struct eos_config eos_defaults(void);

/* Lays out the room for what the configuration asks for, loads the data and
 * starts the threads.  May be called again with another configuration: the
 * threads stay, all vectors are lost. */
int eos_start(const struct eos_config *config);

/* One line on the last failure, without a newline. */
const char *eos_error(void);

/* p, the number of parameters: with ten classes 656,810 of the MLP, 30,634 of
 * the CNN, 701,466 of ResNet18; 64 (V + 64) + 50,497 of the transformer with V
 * different tokens. */
size_t eos_params(void);

/* theta[p] <- weights uniform in +-1/sqrt(fan_in) from splitmix64(seed),
 * rounded to float32; gains one; biases, shifts and the head of ResNet18 and of
 * the transformer zero. */
void eos_init(uint64_t seed, double *theta);

/* L(theta), the mean loss over the training set, and the share of samples
 * classified right; float64. */
double eos_loss(const double *theta, double *accuracy);

/* out[p] <- grad L(theta), float64; returns L(theta). */
double eos_gradient(const double *theta, double *out);

/* out[p] <- the Hessian of L at theta times v; the third derivative at
 * (v, v); the fourth at (v, v, v): one Taylor-mode pass each, in the
 * configured precision.  v is used as it is, not normalised. */
void eos_hessian(const double *theta, const double *v, double *out);
void eos_third(const double *theta, const double *v, double *out);
void eos_fourth(const double *theta, const double *v, double *out);

/* The k <= 8 algebraically largest eigenvalues of the Hessian at theta into
 * value[k], largest first, and the top eigenvector into u[p] (unit length, the
 * component of largest magnitude positive).  Returns |Hu - Su| / |S|, 0 where
 * H = 0.  Starts cold: the run's own solves are warm.  A multiple eigenvalue
 * appears as often as it is asked for.  Costs more products where k is above
 * what the configuration asks for (neigs, unstable + 1, 2). */
double eos_sharpness(const double *theta, size_t k, double *value, double *u);

/* theta <- proj_M(theta), onto the paper's stable set M = {S <= 2/eta,
 * u.grad L = 0}, by the configured number of rounds; with unstable > 1 of all
 * directions in the band. */
void eos_project(double *theta);

/* The commands, each from eos_start to the last line of its log, one of them
 * once in the life of a process: the main job; gradient descent with a
 * sharpness log; derivatives into a folder; the toy of Section 4.  No file that
 * they write is one that they read, or anything but a file of its kind:
 * EOS_USAGE before anything is opened for writing. */
int eos_run(const struct eos_config *config);
int eos_train(const struct eos_config *config);
int eos_deriv(const struct eos_config *config);
int eos_toy(const struct eos_config *config);

/* `records` records of the built-in images, in CIFAR-10 format, to standard
 * output. */
int eos_synth(uint64_t records);

#endif
