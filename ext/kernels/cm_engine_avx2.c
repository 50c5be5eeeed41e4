/* The level avx2 of the engine's kernels. */
#if defined(__x86_64__)
#define CM_LEVEL 2
#include "cm_engine_kernels.h"
#else
typedef int cm_engine_avx2_not_here;
#endif
