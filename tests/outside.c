/* The tests that know the program alone: they compile without eos.c. */
#include "test_files.c"
#include "test_input.c"
