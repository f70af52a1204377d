/*
 * The tests that see eos.c from inside, in one program, for eos.c is compiled
 * once for all of them.  Each file compiles alone too.  faults.h comes first:
 * eos.c must see it.
 */
#include "faults.h"
#include "test_numbers.c"
#include "test_kernels.c"
#include "test_data.c"
#include "test_network.c"
#include "test_derivatives.c"
#include "test_layers.c"
#include "test_eig.c"
#include "test_golden.c"
#include "test_dynamics.c"
#include "test_run.c"
#include "test_toy.c"
#include "test_stats.c"
#include "test_unstable.c"
#include "test_faults.c"
#include "test_cli.c"
#include "test_ckpt.c"
