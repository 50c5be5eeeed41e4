/* The level avx512 of the engine's kernels. */
#if defined(__x86_64__)
#define CM_LEVEL 512
#include "cm_engine_kernels.h"
#else
typedef int cm_engine_avx512_not_here;
#endif
