/*
 * Two more instances of the region, for the tests alone: the geometry of the
 * AVX-512 kernels (wide) and of the NEON kernels (slim), compiled to what
 * every machine has.  The one text is thereby tested in all its shapes.
 * Expects REGION.
 */
#if defined __x86_64__
#define EXTRA_TARGET __attribute__((target("fma")))
#define EXTRA_MULTIPLY_ADD ISA_FMA
#else
#define EXTRA_TARGET
#define EXTRA_MULTIPLY_ADD ISA_PLAIN
#endif
/* Nothing here crosses a file.  GCC warns at the very end: hence no pop.  One
 * note of it ("has changed in GCC 4.6") goes by the flag -Wno-psabi alone. */
#pragma GCC diagnostic ignored "-Wpsabi"
#define ISA wide
#define VBYTES 64
#define MR 8
#define TARGET EXTRA_TARGET
#define MULTIPLY_ADD EXTRA_MULTIPLY_ADD
#include "../eos.c"
#define ISA slim
#define VBYTES 16
#define MR 8
#define TARGET EXTRA_TARGET
#define MULTIPLY_ADD EXTRA_MULTIPLY_ADD
#include "../eos.c"
#undef EXTRA_TARGET
#undef EXTRA_MULTIPLY_ADD
