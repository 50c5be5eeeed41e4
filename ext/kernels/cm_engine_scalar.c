/* The scalar level of the engine's kernels. */
#define CM_LEVEL 0
#include "cm_engine_kernels.h"
