/* test_engine.c with a table of kernels of its own: the scalar ones, under the thread sanitizer. */
#define RACE 1
#include "test_engine.c"
